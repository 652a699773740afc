#!/usr/bin/perl

# Events of Stripe's that come in: taken once, however often and however many at
# a time they are sent, and by whom; with one bit changed they aren't; what was
# said to be taken is there, with its job and its event.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Select ();
use List::Util qw(shuffle);
use Test::More;
use Time::HiRes qw(time);

use TenonCheck;
use TenonServer ();

my $older = 'whsec_' . 'fedcba9876543210' x 2;
my $s = TenonServer->new(stripe => 1);
my $next = 0;

# A body as Stripe writes it: indented, with a number and text beyond ASCII.
sub event {
    my ($id, %o) = @_;
    my $type = $o{type} // 'invoice.paid';
    my $more = $o{more} // '';
    return <<"JSON";
{
  "id": "$id",
  "object": "event",
  "api_version": "2024-06-20",
  "created": 1795276800,
  "data": {
    "object": {"id": "in_$id", "object": "invoice", "amount_paid": 2900,
               "customer_name": "Zo\xc3\xab", "tax": 1.10$more}
  },
  "livemode": false,
  "type": "$type"
}
JSON
}

# How often each is there: events, jobs, and lines in the log, by Stripe's id.
sub kept {
    my ($like) = @_;
    return $s->psql("
        select count(*), count(distinct e.external_id),
               (select count(*)
                  from tenon.job j
                 where j.kind = 'stripe.event' and j.status = 'queued'
                   and j.input ->> 'event' in (
                       select id::text from tenon.inbound_event
                        where external_id like '$like')),
               (select count(*)
                  from tenon.audit_event a
                 where a.action = 'inbound.received'
                   and a.resource_id in (
                       select id from tenon.inbound_event
                        where external_id like '$like'))
          from tenon.inbound_event e
         where e.external_id like '$like'");
}

subtest 'taken, to the byte' => sub {
    my $body = event('evt_first');
    my $r = $s->stripe($body);
    status_is $r, 204, 'an event';
    is $r->{body}, '', 'and nothing is said';
    is $r->header('Cache-Control'), 'no-store', 'nor kept';
    is kept('evt_first'), '1|1|1|1', 'it is there, with its job and its event';
    is $s->psql("select body from tenon.inbound_event
                  where external_id = 'evt_first'"), $body,
        'as it came';
    is $s->psql("
        select t.slug, e.provider, e.type, e.status,
               e.body::jsonb #>> '{data,object,customer_name}',
               j.tenant_id = e.tenant_id, j.attempts
          from tenon.inbound_event e
          join tenon.tenant t using (tenant_id)
          join tenon.job j on j.input ->> 'event' = e.id::text
         where e.external_id = 'evt_first'"),
        "platform|stripe|invoice.paid|received|Zo\xc3\xab|t|0",
        'the platform\'s, to be worked on';
    is $s->psql("
        select a.outcome, a.actor ->> 'type', a.after ->> 'external_id',
               a.after ->> 'type', a.resource
          from tenon.audit_event a
         where a.action = 'inbound.received'"),
        'success|anonymous|evt_first|invoice.paid|tenon.inbound_event',
        'the log says what came, and not what is in it';
};

subtest 'again' => sub {
    my $body = event('evt_first');
    status_is $s->stripe($body), 204, 'the same is taken';
    status_is $s->stripe($body, at => time - 200), 204, 'signed before';
    status_is $s->stripe(event('evt_first', type => 'other.type')), 204,
        'another of its id, too';
    is kept('evt_first'), '1|1|1|1', 'and nothing is done';
    status_is $s->stripe(event('evt_second')), 204, 'one of another id';
    is kept('evt_second'), '1|1|1|1', 'is another';
};

subtest 'late' => sub {
    my $body = event('evt_late');
    my $bytes = $s->bytes(POST => '/api/v1/inbound/stripe',
        host => 'tenon.localhost', body => $body,
        headers => ['Stripe-Signature' => $s->stripe_signature($body)]);
    my $c = $s->connect;
    $c->write(substr $bytes, 0, -1);
    sleep 2;
    $c->write(substr $bytes, -1);
    status_is $c->response, 204, 'a body that took its time is taken';
    is kept('evt_late'), '1|1|1|1', 'once';
    is $s->psql("select body from tenon.inbound_event
                  where external_id = 'evt_late'"), $body, 'as it came';
};

subtest 'signatures' => sub {
    my $body = event('evt_forged');
    my $good = $s->stripe_signature($body);
    my $other = $s->stripe_signature($body, secret => $older);
    my @refused = (
        ['another secret', header => $other],
        ['an empty secret', secret => ''],
        ['none', header => ''],
        ['nonsense', header => 'nonsense'],
        ['no time', header => $good =~ s/\At=\d+,//r],
        ['another time', header => $good =~ s/\At=(\d+)/'t=' . ($1 + 1)/er],
        ['v0 instead of v1', header => $good =~ s/v1=/v0=/r],
        ['in upper case', header => $good =~ s/v1=(.*)/'v1=' . uc $1/er],
        ['301 seconds old', at => time - 301],
        ['301 seconds ahead', at => int(time) + 303],
        ['a day old', at => time - 86400],
        ['twice', header => $good, headers => ['Stripe-Signature' => $good]],
    );
    for my $case (@refused) {
        my ($name, @o) = @$case;
        problem_is $s->stripe($body, @o), 400, 'signature_refused', $name;
    }
    my $r = $s->request(POST => '/api/v1/inbound/stripe', body => $body,
                        host => 'tenon.localhost');
    problem_is $r, 400, 'signature_refused', 'no header';
    is kept('evt_forged'), '0|0|0|0', 'nothing of it is there';

    status_is $s->stripe($body, header => "$other," . $good =~ s/.*,//r), 204,
        'one of several is enough';
    status_is $s->stripe($body, at => time - 298), 204, '298 seconds old';
    status_is $s->stripe($body, at => time + 298), 204, '298 seconds ahead';
};

# The bytes count, not what they mean.
subtest 'every bit of a body' => sub {
    my $body = '{"id":"evt_bits","type":"a.b"}';
    my $good = $s->stripe_signature($body, at => time + 60);
    my $c = $s->connect;
    my %seen;
    for my $bit (0 .. 8 * length($body) - 1) {
        my $changed = $body;
        vec($changed, $bit, 1) ^= 1;
        my $r = $s->stripe($changed, header => $good, on => $c);
        $seen{"$r->{status} " . $r->json->{code}}++;
    }
    for my $bit (0 .. 8 * length($good) - 1) {
        my $changed = $good;
        vec($changed, $bit, 1) ^= 1;
        next if $changed =~ /[\x00-\x1f\x7f]/; # no header at all: nginx's own
        my $r = $s->stripe($body, header => $changed, on => $c);
        $seen{"$r->{status} " . $r->json->{code}}++;
    }
    is_deeply [keys %seen], ['400 signature_refused'],
        'is signed, and so is every one of the header';
    is kept('evt_bits'), '0|0|0|0', 'nothing of it is there';
    status_is $s->stripe($body, header => $good, on => $c), 204,
        'unchanged it is good';
};

subtest 'what is no event' => sub {
    my @wrong = (
        ['no JSON', '{"id":', 400, 'malformed_json'],
        ['nothing', '', 400, 'malformed_json'],
        ['a name twice', '{"id":"a","id":"b","type":"c"}', 400,
         'malformed_json'],
        ['bytes', "\xff\xfe", 400, 'malformed_json'],
        ['a list', '[]', 422, 'invalid_fields', '' => 'wrong_type'],
        ['no id, no type', '{}', 422, 'invalid_fields', '/id' => 'required',
         '/type' => 'required'],
        ['a number for an id', '{"id":1,"type":"a"}', 422, 'invalid_fields',
         '/id' => 'wrong_type'],
        ['a long id', '{"id":"' . 'x' x 256 . '","type":""}', 422,
         'invalid_fields', '/id' => 'too_long', '/type' => 'too_short'],
    );
    for my $case (@wrong) {
        my ($name, $body, $status, $code, @faults) = @$case;
        problem_is $s->stripe($body), $status, $code, "signed: $name", @faults;
        problem_is $s->stripe($body, secret => $older), 400,
            'signature_refused', 'and where it isn\'t, nobody looks';
    }
    like do { local (@ARGV, $/) = $s->error_log; <> },
        qr/\[error\].*tenon: an event with a good signature is not as it/,
        'an operator hears of what was signed and not taken';

    my $long = event('evt_long', more => ', "x": "' . 'x' x 262144 . '"');
    problem_is $s->stripe($long), 413, 'too_large', 'more than 256 KiB';
    problem_is $s->stripe(event('evt_type'),
                          headers => ['Content-Type' => 'text/plain']),
        415, 'unsupported_media_type', 'text';

    my $large = event('evt_large', more => ', "x": "' . 'x' x 261000 . '"');
    status_is $s->stripe($large), 204, 'nearly 256 KiB';
    is $s->psql("select length(body) from tenon.inbound_event
                  where external_id = 'evt_large'"),
        length($large) - 1, 'are there' or diag length $large;
};

subtest 'where' => sub {
    my $body = event('evt_where');
    my @sign = ('Stripe-Signature' => $s->stripe_signature($body));
    my $post = sub {
        my (%o) = @_;
        return $s->request(POST => '/api/v1/inbound/stripe', body => $body,
                           headers => \@sign, %o);
    };
    problem_is $post->(at => 'acme'), 404, 'not_found', 'not at a tenant\'s';
    problem_is $post->(host => 'nobody.example'), 404, 'not_found',
        'nor elsewhere';
    problem_is $s->request(GET => '/api/v1/inbound/stripe',
                           host => 'tenon.localhost'),
        405, 'method_not_allowed', 'nothing is read there';
    problem_is $s->request(POST => '/api/v1/inbound/paypal', body => $body,
                           host => 'tenon.localhost'),
        404, 'not_found', 'nor for others';
    is kept('evt_where'), '0|0|0|0', 'nothing is there';
};

# A flood of forgeries is told, and doesn't become one in the log.
subtest 'refusals are told to the platform' => sub {
    my $count = sub {
        return $s->psql("select count(*) from tenon.audit_event
                          where action = 'inbound.signature_refused'");
    };
    my $before = $count->();
    cmp_ok $before, '>', 0, 'those above are there';
    is $s->psql("select distinct t.slug, a.outcome, a.metadata ->> 'code'
                   from tenon.audit_event a
                   join tenon.tenant t using (tenant_id)
                  where a.action = 'inbound.signature_refused'"),
        'platform|refused|signature_refused', 'in its log';
    my $c = $s->connect;
    for (1 .. 300) {
        $s->stripe('{}', header => 't=1,v1=a', on => $c);
    }
    cmp_ok $count->() - $before, '<=', 2, 'of 300 more hardly any';
};

# Sixteen at a time, each event five times, in any order; a worker is killed
# meanwhile, and PostgreSQL crashes. What isn't said to be taken is sent again, as
# Stripe does.
subtest 'a crowd' => sub {
    my $n = $ENV{TENON_LONG} ? 10_000 : 300;
    my @todo = shuffle map { my $id = sprintf 'evt_crowd_%05d', $_;
                             ($id) x 5 } 1 .. $n;
    my $all = @todo;
    my ($killed, $crashed, %status, %taken);
    my @free;
    my %busy; # socket => [connection, id]
    my $select = IO::Select->new;

    while (@todo || %busy) {
        while (@todo && keys(%busy) < 16) {
            my $id = pop @todo;
            my $c = pop @free || eval { $s->connect };
            if (!$c) {
                push @todo, $id;
                last;
            }
            my $body = event($id);
            my $sent = eval {
                $c->write(TenonClient::bytes(
                    POST => '/api/v1/inbound/stripe', body => $body,
                    host => 'tenon.localhost',
                    headers => ['Stripe-Signature' =>
                                    $s->stripe_signature($body)]));
                1;
            };
            if (!$sent) {
                push @todo, $id;
                next;
            }
            $busy{ $c->{socket} } = [$c, $id];
            $select->add($c->{socket});
        }
        for my $socket ($select->can_read(10)) {
            my ($c, $id) = @{ delete $busy{$socket} };
            $select->remove($socket);
            my $r = eval { $c->response };
            $status{ $r ? $r->{status} : 'none' }++;
            if ($r && $r->{status} == 204) {
                $taken{$id}++;
                push @free, $c
                    if ($r->header('Connection') // '') ne 'close';
            }
            else {
                push @todo, $id;
            }
        }
        if (!$killed && @todo < $all / 2) {
            kill KILL => $killed = ($s->workers)[0];
            @free = ();
        }
        if (!$crashed && @todo < $all / 4) {
            $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s \
                           -m immediate restart > /dev/null 2>&1');
            $crashed = 1;
        }
    }

    diag join ', ', map { "$_: $status{$_}" } sort keys %status;
    is $status{204}, $all, "$all of 16 connections are answered 204";
    cmp_ok $status{none} // 0, '<=', 16, 'sent again: what was at work then';
    is_deeply [grep { !/\A(?:204|none|503)\z/ } keys %status], [],
        'no other answer';
    is $crashed, 1, 'PostgreSQL was away';
    is keys %taken, $n, 'each event was';
    is kept('evt_crowd_%'), "$n|$n|$n|$n",
        'and is there once, with one job and one event';
};

subtest 'secrets are changed by a reload' => sub {
    my $file = $s->dir . '/stripe.secret';
    my $write = sub {
        open my $out, '>', $file or die "$file: $!\n";
        print {$out} map { "$_\n" } @_;
        close $out or die "$file: $!\n";
        my %old = map { $_ => 1 } $s->workers;
        kill HUP => $s->master;
        $s->wait_until(20, sub {
            my @now = $s->workers;
            return @now && !grep { $old{$_} } @now;
        }) or die "not reloaded\n";
    };
    my $body = event('evt_reload');
    $write->($older, TenonServer::STRIPE_SECRET);
    status_is $s->stripe($body), 204, 'the old one goes on';
    status_is $s->stripe($body, secret => $older), 204, 'beside the new one';
    $write->($older);
    problem_is $s->stripe($body), 400, 'signature_refused', 'until it is gone';
    status_is $s->stripe($body, secret => $older), 204, 'the new one stays';
};

subtest 'nobody learns a secret' => sub {
    my $secret = TenonServer::STRIPE_SECRET;
    for my $log ($s->error_log, $s->access_log, $s->var . '/pg/log') {
        open my $in, '<', $log or die "$log: $!\n";
        is scalar(grep { /\Q$secret\E|\Q$older\E/ } <$in>), 0, "not from $log";
    }
};

done_testing;
