#!/usr/bin/perl

# One's own sessions: a list of those that hold, an end to one or to all others
# at once and on every worker, an end by themselves; and one's own name.

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

# What each worker answers to the same, in their order.
sub everywhere {
    my (@request) = @_;
    return join ' ', map {
        $at{$_}->write($s->bytes(@request));
        $at{$_}->response->{status};
    } @workers;
}

sub all_say { return join ' ', ($_[0]) x @workers }

sub by {
    my ($token, $method, $path, %o) = @_;
    return $s->request($method, $path, at => 'acme', token => $token, %o);
}

sub token { return $s->login($_[0])->json->{access_token} }

sub sessions {
    my ($token, $query) = @_;
    my $r = by($token, GET => 'me/sessions' . ($query // ''));
    status_is $r, 200, 'a list of sessions' . ($query // '');
    return @{ $r->json->{data} };
}

sub current {
    my ($token) = @_;
    return (grep { $_->{current} } sessions($token))[0]{id};
}

sub events {
    my ($action) = @_;
    return $s->psql("select e.resource, e.outcome, count(*), max(b.metadata::text)
                       from tenon.event e join tenon.event_body b
                         on b.tenant_id = e.tenant_id and b.at = e.at
                        and b.event_id = e.id
                      where e.action = '$action' group by 1, 2");
}

subtest 'a list' => sub {
    my $new = $s->request(
        POST => 'auth/login', at => 'acme',
        headers => ['User-Agent' => 'Tricorder 1.0'],
        json => { email => 'carol@acme.test', password => $s->password },
    )->json->{access_token};
    my @other = map { token('carol') } 1 .. 3;
    $s->request(POST => 'auth/login', at => 'acme',
                headers => ['Tenon-Session' => 'cookie'],
                json => { email => 'carol@acme.test',
                          password => $s->password });
    token('alice');
    my @got = sessions($new);
    is @got, 5, 'one\'s own that hold';
    is_deeply [map { $_->{created_at} } @got],
        [reverse sort map { $_->{created_at} } @got], 'newest first';
    is_deeply [sort keys %{ $got[0] }],
        [qw(created_at current expires_at id impersonated ip kind
            last_used_at mfa user_agent)], 'as they are described';
    my ($here) = grep { $_->{current} } @got;
    is_deeply [map { $_->{id} } grep { $_->{current} } @got], [$here->{id}],
        'one of them is the one that asks';
    is $here->{user_agent}, 'Tricorder 1.0', 'with what opened it';
    is $here->{ip}, '127.0.0.1', 'and from where';
    is_deeply [map { $_->{kind} } @got], ['cookie', ('token') x 4],
        'of either kind';
    is_deeply [map { $_->{mfa} ? 1 : 0 } @got], [(0) x 5], 'none with a factor';
    my (@paged, $cursor);
    do {
        my $r = by($new, GET => 'me/sessions?limit=2'
                               . ($cursor ? "&cursor=$cursor" : ''));
        push @paged, @{ $r->json->{data} };
        $cursor = $r->json->{next_cursor};
    } while $cursor && @paged < 20;
    is_deeply [map { $_->{id} } @paged], [map { $_->{id} } @got],
        'page by page as well';
    $s->psql("update tenon.session set expires_at = now()
               where id = '$got[1]{id}'");
    $s->psql("update tenon.session set idle_ttl = 300,
                     last_used_at = now() - interval '301 seconds'
               where id = '$got[2]{id}'");
    is_deeply [map { $_->{id} } sessions($new)],
        [map { $got[$_]{id} } 0, 3, 4], 'those that have ended are gone';
    is by($new, GET => 'me/sessions?sort=ip')->{status}, 400,
        'it is a list like others';
};

subtest 'an end to one' => sub {
    my ($mine, $lost) = (token('carol'), token('carol'));
    my $id = current($lost);
    is everywhere(GET => 'me', at => 'acme', token => $lost), all_say(200),
        'it is known everywhere';
    my $r = by($mine, DELETE => "me/sessions/$id");
    status_is $r, 204, 'is made by another of the same person';
    is everywhere(GET => 'me', at => 'acme', token => $lost), all_say(401),
        'and holds at once on every worker';
    is everywhere(GET => 'me', at => 'acme', token => $mine), all_say(200),
        'for no other';
    problem_is by($mine, DELETE => "me/sessions/$id"), 404, 'not_found',
        'a second time there is none';
    is events('session.revoked'), 'tenon.session|success|1|', 'it is in the log';

    my $key = [headers => ['Idempotency-Key' => 'k1']];
    $id = current(my $next = token('carol'));
    is_deeply [map { by($mine, DELETE => "me/sessions/$id", @$key)->{status} }
               1, 2], [204, 204], 'under a key it is done once';
    is events('session.revoked'), 'tenon.session|success|2|', 'and logged once';

    my $others = current($s->token('alice'));
    my $foreign = $s->request(GET => 'me/sessions', as => 'dave')
        ->json->{data}[0]{id};
    my $absent = by($mine, DELETE => 'me/sessions/'
                         . '01900000-7777-7000-8000-0123456789ab',
                    headers => ['X-Request-Id' => 'same']);
    for ($others, $foreign, 'nonsense') {
        is by($mine, DELETE => "me/sessions/$_",
              headers => ['X-Request-Id' => 'same'])->visible,
            $absent->visible, "$_ is as one that isn't there";
    }
    status_is $s->request(GET => 'me', as => $_), 200, "$_\'s is as it was"
        for qw(alice dave);

    status_is by($mine, DELETE => 'me/sessions/' . current($mine)), 204,
        'one\'s own is as good as a logout';
    is everywhere(GET => 'me', at => 'acme', token => $mine), all_say(401),
        'on every worker';
};

subtest 'an end to all others' => sub {
    my $mine = token('carol');
    my @others = map { token('carol') } 1 .. 3;
    my $cookie = $s->request(
        POST => 'auth/login', at => 'acme',
        headers => ['Tenon-Session' => 'cookie'],
        json => { email => 'carol@acme.test', password => $s->password },
    )->header('Set-Cookie') =~ s/;.*//r;
    everywhere(GET => 'me', at => 'acme', token => $_) for @others, $mine;
    everywhere(GET => 'me', at => 'acme', headers => [Cookie => $cookie]);
    status_is by($mine, DELETE => 'me/sessions'), 204, 'is made';
    is everywhere(GET => 'me', at => 'acme', token => $_), all_say(401),
        'and holds at once on every worker' for @others;
    is everywhere(GET => 'me', at => 'acme', headers => [Cookie => $cookie]),
        all_say(401), 'for a browser too';
    is everywhere(GET => 'me', at => 'acme', token => $mine), all_say(200),
        'not for the one that asked';
    is_deeply [map { $_->{current} ? 1 : 0 } sessions($mine)], [1],
        'which is left alone';
    like events('session.others_revoked'),
        qr/\Atenon\.user\|success\|1\|\{"sessions": \d+\}\z/,
        'it is in the log once';
    status_is by($mine, DELETE => 'me/sessions'), 204, 'with none left';
    like events('session.others_revoked'), qr/\|success\|1\|/, 'nothing is';
    is everywhere(GET => 'me', as => 'alice'), all_say(200),
        'and nobody else lost anything';
};

subtest 'an end by itself' => sub {
    my $token = token('carol');
    my $id = current($token);
    my $set = sub { $s->psql("update tenon.session set $_[0] where id = '$id'") };
    my $ends = sub {
        return $s->wait_until(8, sub {
            everywhere(GET => 'me', at => 'acme', token => $token)
                eq all_say(401);
        });
    };
    my $age = sub {
        return $s->psql("select last_used_at > now() - interval '30 seconds'
                           from tenon.session where id = '$id'");
    };
    $set->("idle_ttl = 300, last_used_at = now() - interval '200 seconds'");
    ok $s->wait_until(8, sub {
        everywhere(GET => 'me', at => 'acme', token => $token);
        $age->() eq 't';
    }), 'its use is written down';
    $set->("last_used_at = now() - interval '301 seconds'");
    ok $ends->(), 'unused for too long, it has ended';
    $set->("last_used_at = now(), expires_at = now() - interval '1 second'");
    ok $ends->(), 'however much it was used, it ends';
};

subtest 'one\'s name' => sub {
    my $token = token('carol');
    my $r = by($token, GET => 'me');
    my $etag = $r->header('ETag');
    $r = by($token, PATCH => 'me', json => { name => 'Carol C.' },
            headers => ['If-Match' => $etag]);
    status_is $r, 200, 'is changed';
    is $r->json->{name}, 'Carol C.', 'and answered';
    is_deeply $r->json, by($token, GET => 'me')->json, 'as it is read';
    is $r->header('ETag'), by($token, GET => 'me')->header('ETag'),
        'under the same tag';
    isnt $r->header('ETag'), $etag, 'which is a new one';
    problem_is by($token, PATCH => 'me', json => { name => 'Late' },
                  headers => ['If-Match' => $etag]), 412,
        'precondition_failed', 'who read the old one is told';
    status_is by($token, PATCH => 'me', json => { name => 'Carol C.' }), 200,
        'the same once more';
    status_is by($token, PATCH => 'me', json => {}), 200, 'and nothing';
    is by($token, GET => 'me')->json->{name}, 'Carol C.', 'change nothing';
    is events('user.updated') =~ s/\|$//r, 'tenon.user|success|1',
        'it is in the log once';
    unlike $s->psql("select string_agg(b.before::text || b.after::text, '')
                       from tenon.event e join tenon.event_body b
                         on b.event_id = e.id
                      where e.action = 'user.updated'"),
        qr/argon|password/, 'without the password\'s hash';
    for my $case ([name => '', 'too_short'], [name => undef, 'wrong_type'],
                  [name => 7, 'wrong_type'], [name => 'x' x 201, 'too_long'],
                  [email => 'x@y.z', 'read_only'],
                  [role => 'owner', 'read_only'], [id => 'x', 'read_only']) {
        my ($field, $value, $fault) = @$case;
        problem_is by($token, PATCH => 'me', json => { $field => $value }),
            422, 'invalid_fields', "not just any $field: $fault",
            "/$field" => $fault;
    }
    is by($token, GET => 'me')->json->{role}, 'member', 'a role is not changed';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
