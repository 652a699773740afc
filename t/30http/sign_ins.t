#!/usr/bin/perl

# What one sign-in opens: a session elsewhere takes the secret of the one that
# asks, not just its access token; and whatever ends one of them ends them all,
# in every organization, on every worker, and each hears only of its own.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my @workers = $s->workers;

# A connection that each worker serves.
my %at = map {
    my $pid = $_;
    ($pid => $s->alone($pid, sub {
        my $c = $s->connect;
        $c->request(GET => '/live', host => 'tenon.localhost');
        return $c;
    }))
} @workers;

# A session is { slug, access_token, refresh_token, id }.
sub opened {
    my ($r, $what) = @_;
    status_is $r, 200, $what;
    my $session = { %{ $r->json }, slug => $r->json->{tenant}{slug} };
    my $list = by($session, GET => 'me/sessions')->json->{data};
    $session->{id} = (grep { $_->{current} } @$list)[0]{id};
    return $session;
}

sub by {
    my ($session, $method, $path, %o) = @_;
    return $s->request($method, $path, at => $session->{slug},
                       token => $session->{access_token}, %o);
}

sub log_in {
    my ($who, $slug) = @_;
    return opened($s->request(
        POST => 'auth/login', at => $slug // 'acme',
        json => { email => "$who\@acme.test", password => $s->password }),
        "$who logs in at " . ($slug // 'acme'));
}

sub ask {
    my ($session, $slug, $proof) = @_;
    return by($session, POST => 'auth/tenant', json => {
        tenant => $slug, defined $proof ? (refresh_token => $proof) : () });
}

sub go {
    my ($session, $slug) = @_;
    return opened(ask($session, $slug, $session->{refresh_token}),
                  "from $session->{slug} to $slug");
}

sub refresh {
    my ($session) = @_;
    return $s->request(POST => 'auth/refresh', at => $session->{slug},
                       json => { refresh_token => $session->{refresh_token} });
}

# What every worker says of each session: "200 401".
sub alive {
    return join ' ', map {
        my $session = $_;
        my %status = map {
            $at{$_}->write($s->bytes(GET => 'me', at => $session->{slug},
                                     token => $session->{access_token}));
            ($at{$_}->response->{status} => 1);
        } @workers;
        join '/', sort keys %status;
    } @_;
}

sub later {
    my ($session) = @_;
    $s->psql("update tenon.session set rotated_at = rotated_at
                     - interval '11 seconds' where id = '$session->{id}'");
    return;
}

# Of an organization: "action resource outcome metadata", in order.
sub events {
    my ($slug, $since) = @_;
    return $s->psql("
        select e.action || ' ' || e.resource || ' ' || e.outcome
               || coalesce(' ' || b.metadata::text, '')
          from tenon.event e
          join tenon.event_body b on b.tenant_id = e.tenant_id
           and b.at = e.at and b.event_id = e.id
          join tenon.tenant t on t.tenant_id = e.tenant_id
         where t.slug = '$slug' and e.at > '$since'
         order by e.at, e.action, e.resource");
}

sub now { return $s->psql('select clock_timestamp()') }

for my $slug (qw(second third)) {
    status_is $s->request(POST => 'tenants', as => 'carol', proven => 1,
                          json => { name => ucfirst $slug, slug => $slug }),
        201, "carol has a $slug organization";
}

subtest 'what an access token alone is good for' => sub {
    my $here = log_in('carol');
    my $other = log_in('carol');
    my $alice = log_in('alice');
    problem_is ask($here, 'second'), 422, 'invalid_fields',
        'it opens nothing elsewhere', '/refresh_token' => 'required';
    problem_is ask($here, 'acme'), 422, 'invalid_fields',
        'and does not renew itself', '/refresh_token' => 'required';
    problem_is by($here, POST => 'auth/tenant', json => {}), 422,
        'invalid_fields', 'all that is missing is named at once',
        '/tenant' => 'required', '/refresh_token' => 'required';
    problem_is ask($here, 'second', 7), 422, 'invalid_fields', 'a number',
        '/refresh_token' => 'wrong_type';
    my %wrong = ('of another session' => $other->{refresh_token},
                 'of somebody else' => $alice->{refresh_token},
                 'an access token' => substr($here->{access_token}, 0, 200),
                 'changed' => $here->{refresh_token} =~ s/.\z/_/r,
                 'nothing' => '');
    for my $name (sort keys %wrong) {
        problem_is ask($here, 'second', $wrong{$name}), 401, 'unauthenticated',
            "a refresh token: $name";
    }
    is alive($here, $other, $alice), '200 200 200', 'nobody lost anything';
    my $there = go($here, 'second');
    is alive($here, $there), '200 200', 'with its own it goes there';
    go($here, 'third');
    status_is ask($here, 'acme', $here->{refresh_token}), 200,
        'which stays good for more';
    status_is refresh($here), 200, 'and for new tokens';
};

subtest 'a refresh token that was replaced' => sub {
    my $here = log_in('carol');
    my %new = (%$here, %{ refresh($here)->json });
    status_is ask($here, 'second', $here->{refresh_token}), 200,
        'is good for seconds, as for refreshing';
    my $there = go(\%new, 'second');
    later($here);
    my $since = now();
    problem_is ask(\%new, 'third', $here->{refresh_token}), 401,
        'unauthenticated', 'then it is a copy';
    is alive(\%new, $there), '401 401', 'and all of the sign-in have ended';
    is events('acme', $since),
        'session.reused tenon.session refused {"expected": 1, "generation": 0}',
        'its organization is told';
    is events('second', $since), 'session.revoked tenon.user success '
        . '{"reason": "session_reused", "sessions": 2}', 'so is the other';
};

subtest 'a copy that is refreshed' => sub {
    my $here = log_in('carol');
    my $other = log_in('carol', 'second');
    my $there = go($here, 'second');
    my %new = (%$here, %{ refresh($here)->json });
    later($here);
    is alive(\%new, $there, $other), '200 200 200', 'so far';
    problem_is refresh($here), 401, 'unauthenticated', 'it is refused';
    is alive(\%new, $there, $other), '401 401 200',
        'it takes along what was opened from it, and no other sign-in';
    problem_is refresh($there), 401, 'unauthenticated', 'for good';
};

subtest 'the way out' => sub {
    for my $from (0 .. 2) {
        my $here = log_in('carol');
        my $there = go($here, 'second');
        my @all = ($here, $there, go($there, 'third'));
        my @others = (log_in('carol'), log_in('carol', 'third'));
        is $s->psql('select count(*), count(family), min(family::text)
                       from tenon.session where id in ('
                    . join(',', map { "'$_->{id}'" } @all) . ')'),
            "3|2|$here->{id}", 'one sign-in';
        is alive(@all, @others), '200 200 200 200 200', 'all are open';
        my $since = now();
        my ($asking, @rest) = @all[$from, grep { $_ != $from } 0 .. 2];
        my $r = by($asking, POST => 'auth/logout');
        status_is $r, 204, "out of $asking->{slug}";
        is $r->{body}, '', 'which says nothing of the others';
        is alive(@all, @others), '401 401 401 200 200',
            'is out of all, at once, on every worker';
        is events($asking->{slug}, $since),
            'user.logout tenon.session success', 'one organization hears so';
        for my $one (@rest) {
            is events($one->{slug}, $since), 'session.revoked tenon.user '
                . 'success {"reason": "logout", "sessions": 1}',
                "$one->{slug} of its own";
            my @foreign = map { $_->{id} }
                grep { $_->{slug} ne $one->{slug} } @all;
            is $s->psql("
                select count(*)
                  from tenon.event e
                  join tenon.event_body b on b.tenant_id = e.tenant_id
                   and b.at = e.at and b.event_id = e.id
                  join tenon.tenant t on t.tenant_id = e.tenant_id
                 where t.slug = '$one->{slug}' and (" . join(' or ', map {
                    "(e.*)::text || (b.*)::text like '%$_%'" } @foreign) . ')'),
                0, 'and of no session elsewhere';
        }
    }
};

subtest 'an end by the list' => sub {
    my $mine = log_in('carol');
    my $lost = log_in('carol');
    my $there = go($lost, 'second');
    my $mine_there = go($mine, 'second');
    is_deeply [sort map { $_->{id} }
               grep { $_->{id} eq $there->{id} || $_->{id} eq $lost->{id} }
               @{ by($mine, GET => 'me/sessions')->json->{data} }],
        [$lost->{id}], 'a list shows this organization\'s';
    problem_is by($mine, DELETE => "me/sessions/$there->{id}"), 404,
        'not_found', 'and ends no other';
    my $key = [headers => ['Idempotency-Key' => 'end']];
    for (1, 2) {
        my $r = by($mine, DELETE => "me/sessions/$lost->{id}", @$key);
        status_is $r, 204, 'one of them ends';
        is $r->{body}, '', 'without a word';
    }
    is alive($lost, $there, $mine, $mine_there), '401 401 200 200',
        'with what was opened from it';
    my $second = $s->psql("select tenant_id from tenon.tenant
                            where slug = 'second'");
    is $s->psql("select count(*) from tenon.idempotency
                  where outcome::text like '%$second%'"), 0,
        'what is kept of the request names no other organization';

    my $since = now();
    $lost = log_in('carol');
    $there = go($lost, 'third');
    my $again = go($mine_there, 'acme');
    is alive($again), '200', 'there and back';
    status_is by($mine, DELETE => 'me/sessions'), 204, 'all others end';
    is alive($lost, $there, $again), '401 401 401', 'with what they opened';
    is alive($mine, $mine_there), '200 200', 'not what the one that asks did';
    like events('third', $since),
        qr/"reason": "session_revoked", "sessions": \d+\}\z/, 'it is told';
};

subtest 'at the same time' => sub {
    for my $round (1 .. 10) {
        my $here = log_in('carol');
        my @c = map { $s->connect } 0 .. 5;
        my $out = $s->connect;
        for my $i (0 .. $#c) {
            $c[$i]->write($s->bytes(
                POST => 'auth/tenant', at => 'acme',
                token => $here->{access_token},
                json => { tenant => $i % 2 ? 'second' : 'third',
                          refresh_token => $here->{refresh_token} }));
            $out->write($s->bytes(POST => 'auth/logout', at => 'acme',
                                  token => $here->{access_token})) if $i == 2;
        }
        is $out->response->{status}, 204, 'out';
        my @r = map { $_->response } @c;
        my @alive = grep {
            $_->{status} == 200
                && $s->request(GET => 'me', at => $_->json->{tenant}{slug},
                               token => $_->json->{access_token})->{status}
                   == 200
        } @r;
        is @alive, 0, 'nothing that was opened meanwhile lives: '
            . join ' ', map { $_->{status} } @r;
    }
};

subtest 'a member who was removed, an organization that is suspended' => sub {
    my $here = log_in('carol');
    my $there = go($here, 'second');
    $s->psql("update tenon.tenant set status = 'suspended'
               where slug = 'second'");
    status_is by($here, POST => 'auth/logout'), 204, 'out';
    $s->psql("update tenon.tenant set status = 'active'
               where slug = 'second'");
    ok $s->wait_until(8, sub { alive($there) eq '401' }),
        'is out of one that was suspended, once it is not';
};

subtest 'nothing of a proof is written down' => sub {
    my $here = log_in('carol');
    go($here, 'second');
    ask($here, 'nowhere', $here->{refresh_token});
    ask($here, 'second', $here->{refresh_token} =~ s/.\z/_/r);
    my $secret = substr $here->{refresh_token}, 4, 60;
    for my $log ($s->error_log, $s->access_log) {
        open my $in, '<', $log or die "$log: $!\n";
        is scalar(grep { index($_, $secret) >= 0 } <$in>), 0, 'in no log';
    }
    is $s->psql("select count(*) from tenon.event_body
                  where (event_body.*)::text like '%$secret%'"), 0,
        'nor event';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
