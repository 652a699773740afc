#!/usr/bin/perl

# What one person did never makes another thing impossible: a hundred sessions,
# of which the oldest goes; any number of them end at once; what can be made
# without end has a most.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;

sub by {
    my ($token, $method, $path, %o) = @_;
    return $s->request($method, $path, at => 'acme', token => $token, %o);
}

sub token { return $s->login($_[0])->json->{access_token} }

sub me { return by($_[0], GET => 'me')->{status} }

my $acme  = $s->psql("select tenant_id from tenon.tenant where slug = 'acme'");
my $realm = $s->psql("select realm_id from tenon.tenant where slug = 'acme'");

sub user {
    return $s->psql("select id from tenon.\"user\"
                      where realm_id = '$realm' and email = '$_[0]\@acme.test'");
}

sub living {
    return $s->psql("select count(*) from tenon.session
                      where tenant_id = '$acme' and user_id = '$_[0]'
                        and revoked_at is null and expires_at > now()");
}

# Sessions that nobody has the tokens of.
sub fill {
    my ($user, $n, $age) = @_;
    $s->psql("set session_replication_role = replica;
              insert into tenon.session (tenant_id, id, realm_id, user_id,
                                         created_at, expires_at)
              select '$acme', tenon.uuid7(), '$realm', '$user',
                     m.created_at + $age * n * interval '1 us',
                     now() + interval '1 day'
                from generate_series(1, $n) n
                join tenon.member m on m.tenant_id = '$acme'
                                   and m.user_id = '$user'");
}

sub quickly {
    my ($what, $code) = @_;
    my $begun = time;
    my $r = $code->();
    status_is $r, 204, $what;
    cmp_ok time - $begun, '<', 4, 'within seconds';
}

subtest 'a hundred sessions' => sub {
    my $carol = user('carol');
    my $first = token('carol');
    fill($carol, 99, 0);
    # older than all others, and known to the worker that is asked first
    $s->psql("update tenon.session
                 set created_at = (select created_at from tenon.member
                                    where tenant_id = '$acme'
                                      and user_id = '$carol')
               where tenant_id = '$acme' and user_id = '$carol'");
    my $oldest = (grep { $_->{current} }
                  @{ by($first, GET => 'me/sessions?limit=100')
                         ->json->{data} })[0]{id};
    $s->psql("update tenon.session set created_at = created_at
                     + interval '1 ms'
               where tenant_id = '$acme' and user_id = '$carol'
                 and id <> '$oldest'");
    is living($carol), 100, 'are there';
    is me($first), 200, 'the oldest is good';

    my $next = token('carol');
    is living($carol), 100, 'one more, and there are as many';
    is me($first), 401, 'the oldest has ended, on this node at once';
    is me($next), 200, 'the new one is good';
    is $s->psql("select count(*), max(b.metadata::text)
                   from tenon.event e
                   join tenon.event_body b on b.tenant_id = e.tenant_id
                    and b.at = e.at and b.event_id = e.id
                  where e.action = 'session.revoked'
                    and e.resource_id = '$oldest'"),
        '1|{"reason": "limit_reached"}', 'which its event says';
};

subtest 'where there are more, all that had to go are gone' => sub {
    my $nell = $s->hire('nell', 'acme', 'member')->{user_id};
    my @old = map { token('nell') } 1, 2;
    $s->psql("set session_replication_role = replica;
              insert into tenon.session (tenant_id, id, realm_id, user_id,
                                         created_at, expires_at)
              select '$acme', tenon.uuid7(), '$realm', '$nell',
                     clock_timestamp(), now() + interval '1 day'
                from generate_series(1, 101) n");
    is me($_), 200, 'known to the worker' for @old, @old;
    my $next = token('nell');
    is living($nell), 100, 'a hundred are left';
    is me($_), 401, 'an old one has ended, at once' for @old;
    is me($next), 200, 'the new one is good';
};

subtest 'another database, whose clock is behind' => sub {
    my $ned = $s->hire('ned', 'acme', 'admin')->{user_id};
    my $old = token('ned');
    $s->psql("update tenon.\"user\"
                 set sessions_from = clock_timestamp() + interval '1 hour'
               where id = '$ned'");
    my $token = token('ned');
    is me($token), 200, 'a session that is opened now counts';
    status_is by($token, DELETE => 'me/sessions'), 204,
        'all others end';
    is me($token), 200, 'this one goes on';
    is scalar @{ by($token, GET => 'me/sessions')->json->{data} }, 1,
        'alone';
    is me(token('ned')), 200, 'the next ones count';
};

subtest 'any number of sessions end' => sub {
    my $bob  = user('bob');
    my $mine = token('bob');
    my $old  = token('bob');
    fill($bob, 20_000, 1);

    quickly 'all others at once', sub { by($mine, DELETE => 'me/sessions') };
    is me($mine), 200, 'the one that asks goes on';
    is me($old), 401, 'an older one does not';
    cmp_ok living($bob), '>', 15_000, 'though most are not marked';
    is scalar @{ by($mine, GET => 'me/sessions')->json->{data} }, 1,
        'nor listed';
    is $s->psql("select count(*) from tenon.session s
                  where s.tenant_id = '$acme' and s.user_id = '$bob'
                    and exists (select from tenon.find_session('$acme',
                                                               s.id))"),
        1, 'and count no more';

    my $third = token('bob');
    is me($third), 200, 'one that is opened now counts';

    quickly 'a new password', sub {
        by($third, POST => 'auth/password/change',
           json => { current_password => $s->password,
                     password => 'another horse battery' }) };
    is me($third), 200, 'the one that asks goes on';
    is me($mine), 401, 'the one that was kept before does not';
};

subtest 'API keys of one member' => sub {
    my $alice = user('alice');
    my $login = $s->login('alice')->json;
    my $token = $login->{access_token};
    my %new = (json => { name => 'k', scopes => ['tenon.tenant:read'],
                         refresh_token => $login->{refresh_token} });
    $s->psql("insert into tenon.api_key (tenant_id, id, name, scopes,
                                         created_by)
              select '$acme', tenon.uuid7(), 'n' || n,
                     array['tenon.tenant:read'], '$alice'
                from generate_series(1, 99) n");
    my $key = by($token, POST => 'api-keys', %new);
    status_is $key, 201, 'the hundredth';
    problem_is by($token, POST => 'api-keys', %new), 409, 'limit_reached',
        'no more';
    status_is by($token, DELETE => 'api-keys/' . $key->json->{id}), 204,
        'one less';
    status_is by($token, POST => 'api-keys', %new), 201, 'one more';

    # Revoked by a time, as a reset does with more than it can mark.
    my ($one) = @{ by($token, GET => 'api-keys?limit=1')->json->{data} };
    $s->psql("update tenon.\"user\" set api_keys_from = clock_timestamp()
               where id = '$alice'");
    is_deeply by($token, GET => 'api-keys')->json->{data}, [],
        'what a time has revoked is not listed';
    for my $call ([GET => ''], [PATCH => '', json => { name => 'x' }],
                  [POST => '/rotate', json => { overlap_seconds => 0,
                      refresh_token => $login->{refresh_token} }],
                  [DELETE => '']) {
        my ($method, $path, @body) = @$call;
        problem_is by($token, $method => "api-keys/$one->{id}$path", @body),
            404, 'not_found', "$method$path: it isn't there";
    }
    $s->psql("update tenon.\"user\"
                 set api_keys_from = clock_timestamp() + interval '1 hour'
               where id = '$alice'");
    my $r = by($token, POST => 'api-keys', %new);
    status_is $r, 201, 'nor in the way of another';
    is me($r->json->{secret}), 200,
        'which counts, though that time is yet to come';
};

subtest 'organizations of one founder' => sub {
    my $alice = user('alice');
    my $login = $s->login('alice')->json;
    my $token = $login->{access_token};
    my @proof = (refresh_token => $login->{refresh_token});
    my $n = $s->psql("select count(*) from tenon.tenant
                       where created_by = '$alice'");
    $s->psql("set session_replication_role = replica;
              insert into tenon.tenant (tenant_id, realm_id, name, slug,
                                        created_by, created_at)
              select tenon.uuid7(), '$realm', 'n', 'n' || n, '$alice',
                     now() - interval '2 days'
                from generate_series(1, 1000 - $n) n");
    my %new = (json => { name => 'One more', slug => 'one-more', @proof });
    problem_is by($token, POST => 'tenants', %new), 409, 'limit_reached',
        'a thousand, and no more';
    $s->psql("update tenon.tenant set deleted_at = now()
               where created_by = '$alice' and slug ~ '^n[0-9]'
                 and substr(slug, 2)::int <= 100");
    status_is by($token, POST => 'tenants', %new), 201,
        'one that is gone is none';
    $s->psql("update tenon.tenant set created_at = now()
               where created_by = '$alice' and slug ~ '^n[0-9]'
                 and substr(slug, 2)::int <= 99");
    problem_is by($token, POST => 'tenants', json => {
        name => 'Again', slug => 'again', @proof }), 409, 'limit_reached',
        'a hundred within a day, and no more';
};

subtest 'open invitations of an organization' => sub {
    my $token = token('alice');
    $s->psql("insert into tenon.invitation (tenant_id, id, realm_id, email,
                                            role, invited_by, expires_at)
              select '$acme', tenon.uuid7(), '$realm', 'n' || n || '\@n.test',
                     'member', '" . user('alice') . "',
                     now() + interval '1 day'
                from generate_series(1, 1000) n");
    my %new = (json => { email => 'one-more@n.test', role => 'member' });
    problem_is by($token, POST => 'invitations', %new), 409, 'limit_reached',
        'a thousand, and no more';
    $s->psql("update tenon.invitation set expires_at = now()
               where tenant_id = '$acme' and email = 'n1\@n.test'");
    status_is by($token, POST => 'invitations', %new), 201,
        'one that has run out is none';
};

subtest 'accounts of an organization' => sub {
    my $token = token('alice');
    my $n = $s->psql("select count(*) from tenon.account
                       where tenant_id = '$acme' and deleted_at is null");
    $s->psql("set session_replication_role = replica;
              insert into tenon.account (tenant_id, id, name)
              select '$acme', tenon.uuid7(), 'n' || n
                from generate_series(1, 10000 - $n) n");
    problem_is by($token, POST => 'accounts', json => { name => 'One more' }),
        409, 'limit_reached', 'ten thousand, and no more';
};

is_deeply [$s->alarms], [], 'no alarms';

done_testing;
