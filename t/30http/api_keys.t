#!/usr/bin/perl

# API keys: made with scopes that their maker has, shown once, and worth no
# more than the maker at any moment; rotated with an overlap or without,
# revoked at once on every worker; forged ones cost the database nothing, and
# none lies anywhere.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use File::Temp ();
use JSON::PP ();
use MIME::Base64 qw(decode_base64url encode_base64url);
use Test::More;
use Time::HiRes qw(sleep time);
use TenonCheck;
use TenonServer ();

my $sockets = File::Temp->newdir('tenon-XXXXXX', TMPDIR => 1);
chmod 0755, "$sockets";
my $s = TenonServer->new(server => "listen unix:$sockets/http;");
my $key_text = qr/\Atnk_[A-Za-z0-9_-]{91}\z/;
my @shown;    # every secret there was
my $n = 0;

sub make {
    my ($as, $scopes, %o) = @_;
    my $headers = delete $o{headers};
    return $s->request(POST => 'api-keys', as => $as, proven => 1,
                       $headers ? (headers => $headers) : (),
                       json => { name => 'key ' . ++$n, scopes => $scopes,
                                 %o });
}

# A key: { id, secret, … }.
sub key {
    my $r = make(@_);
    status_is $r, 201, "$_[0] makes a key" or die;
    push @shown, $r->json->{secret};
    return $r->json;
}

sub with_key {
    my ($key, $method, $path, %o) = @_;
    my $secret = ref $key ? $key->{secret} : $key;
    return $s->request($method, $path, at => 'acme', token => $secret, %o);
}

sub status_of { return with_key(@_)->{status} }

# The newest event of an action, as alice reads it.
sub event {
    my ($action, %o) = @_;
    my $query = join '', map { "&$_=$o{$_}" } sort keys %o;
    my $r = $s->request(GET => "audit/events?action=$action&limit=1$query",
                        as => 'alice');
    return $r->{status} == 200 ? $r->json->{data}[0] : undef;
}

my @task = qw(teamos.project:read teamos.project:create teamos.task:read
              teamos.task:create teamos.task:update);

subtest 'a key is made, shown once, and asks as its maker' => sub {
    my $r = make('alice', \@task, expires_at => undef);
    status_is $r, 201, 'made' or return;
    my $key = $r->json;
    push @shown, $key->{secret};
    like $key->{secret}, $key_text, 'its secret is there';
    is $key->{prefix}, substr($key->{secret}, 0, 16), 'and begins so';
    is $r->header('Cache-Control'), 'no-store', 'nobody keeps the answer';
    like $r->header('Location'), qr{/v1/api-keys/\Q$key->{id}\E\z},
        'its path';
    is_deeply $key->{scopes}, [sort @task], 'its scopes';
    is "$key->{status} $key->{version}", 'active 1', 'it is active';
    is $key->{last_used_at}, undef, 'and was not used';

    my $me = with_key($key, GET => 'me');
    status_is $me, 200, 'me';
    is $me->json->{email}, 'alice@acme.test', 'is alice';
    is_deeply $me->json->{api_key},
        { map { $_ => $key->{$_} } qw(id name scopes) }, 'by this key';
    is_deeply [sort map { $_->{permission} } @{ $me->json->{permissions} }],
        [sort @task], 'who may do what the key says';
    is $s->request(GET => 'me', as => 'alice')->json->{api_key}, undef,
        'who has none in a session';

    my $project = with_key($key, POST => 'projects', json => { name => 'K' });
    status_is $project, 201, 'it makes a project';
    is $project->json->{created_by}, $key->{created_by},
        'which is its maker\'s';
    my $event = event('project.created',
                      resource_id => $project->json->{id});
    is_deeply $event->{actor},
        { type => 'api_key', id => $key->{id}, impersonator => undef },
        'by the key, says the log';

    $r = $s->request(GET => "api-keys/$key->{id}", as => 'bob');
    status_is $r, 200, 'bob reads it';
    ok !exists $r->json->{secret}, 'without its secret';
    like $r->json->{last_used_at}, qr/\A20\S+:00(?:\.0+)?Z\z/,
        'when it was used';
    is $r->json->{last_used_ip}, '127.0.0.1', 'from where';
    my ($row) = grep { $_->{id} eq $key->{id} }
        @{ $s->request(GET => 'api-keys', as => 'bob')->json->{data} };
    is_deeply $row, $r->json, 'the list shows the same';
    is event('api_key.created', resource_id => $key->{id})
        ->{after}{prefix}, $key->{prefix}, 'its making was logged';

    problem_is with_key($key, GET => 'members'), 403, 'forbidden',
        'what is not among its scopes it may not do';
    is event('member.listed', outcome => 'refused')->{actor}{id},
        $key->{id}, 'and that is logged as well';
};

# What leaks out of a log is over within minutes, and so is all that it may do.
subtest 'an access token alone makes none and renews none' => sub {
    my $alice = $s->login('alice')->json;
    my $other = $s->login('alice')->json;
    my $bob   = $s->login('bob')->json;
    my $old   = key('alice', \@task);
    my %new   = (name => 'leaked', scopes => \@task);
    my $ask = sub {
        my ($path, $json, $proof, $token) = @_;
        return $s->request(POST => $path, at => 'acme',
            token => $token // $alice->{access_token},
            json => { %$json, $proof ? (refresh_token => $proof) : () });
    };
    my @calls = (['api-keys', \%new],
                 ["api-keys/$old->{id}/rotate", { overlap_seconds => 60 }],
                 ['tenants', { name => 'L', slug => 'leaked' }]);
    my $rows = sub { $s->psql("
        select (select count(*) from tenon.api_key),
               (select count(*) from tenon.api_key_secret),
               (select count(*) from tenon.tenant)") };
    my $before = $rows->();
    my $rotated = $s->request(POST => 'auth/refresh', at => 'acme', json => {
        refresh_token => $alice->{refresh_token} })->json;
    my $again = $s->request(POST => 'auth/refresh', at => 'acme', json => {
        refresh_token => $rotated->{refresh_token} })->json;
    for my $call (@calls) {
        problem_is $ask->(@$call), 422, 'invalid_fields',
            "$call->[0], with nothing else", '/refresh_token' => 'required';
        problem_is $ask->(@$call, @$_), 401, 'unauthenticated',
            "$call->[0], with $_->[2]" for
            ['tnr_' . 'A' x 70, undef, 'a forged one'],
            [$other->{refresh_token}, undef, 'that of another session'],
            [$bob->{refresh_token}, undef, 'that of another person'],
            [$alice->{refresh_token}, undef, 'one that was used up'],
            [$again->{refresh_token}, $bob->{access_token},
             'the right one under another token'];
    }
    is $rows->(), $before, 'nothing was made';
    is event($_, outcome => 'refused')->{metadata}{code}, 'unauthenticated',
        "the log tells of $_" for qw(api_key.created api_key.rotated
                                     tenant.created);
    my $end = $s->request(GET => 'me', at => 'acme',
                          token => $again->{access_token});
    status_is $end, 200, 'and the session goes on';

    # The one that was in force a moment ago is a lost answer's.
    status_is $ask->(@{ $calls[0] }, $rotated->{refresh_token}), 201,
        'the one before, within seconds';
    my $made = $ask->(@{ $calls[0] }, $again->{refresh_token});
    status_is $made, 201, 'the right one';
    push @shown, $made->json->{secret};
    my $r = $ask->(@{ $calls[1] }, $again->{refresh_token});
    status_is $r, 200, 'rotates';
    push @shown, $r->json->{secret};
    $s->psql("update tenon.session set rotated_at = now() - interval '11 s'
               where rotated_at is not null");
    problem_is $ask->(@{ $calls[0] }, $rotated->{refresh_token}), 401,
        'unauthenticated', 'later not';

    # By SQL, so that this node keeps what it knows for seconds.
    my ($id) = decode_base64url(($again->{access_token} =~ /\.(.*)\./)[0])
        =~ /"sid":"([^"]+)"/;
    $s->psql("update tenon.session set revoked_at = now() where id = '$id'");
    problem_is $ask->(@{ $calls[0] }, $again->{refresh_token}), 401,
        'unauthenticated', 'nor for a session that has ended elsewhere';
    unlike $s->psql("select coalesce(string_agg(b::text || e::text, ''), '')
                       from tenon.event_body b
                       join tenon.event e on e.id = b.event_id"),
        qr/tnr_/, 'no event holds one';
};

# Its cookie came with the request, and is the session's secret.
subtest 'by a cookie' => sub {
    my $r = $s->request(POST => 'auth/login', at => 'acme',
        headers => ['Tenon-Session' => 'cookie'],
        json => { email => 'alice@acme.test', password => $s->password });
    my $cookie = $r->header('Set-Cookie') =~ s/;.*//r;
    my @by = (at => 'acme', headers => [Cookie => $cookie]);
    my $key = $s->request(POST => 'api-keys', @by, json => {
        name => 'page', scopes => \@task });
    status_is $key, 201, 'a page makes one';
    push @shown, $key->json->{secret};
    $r = $s->request(POST => 'api-keys/' . $key->json->{id} . '/rotate', @by,
                     json => { overlap_seconds => 0 });
    status_is $r, 200, 'and renews it';
    push @shown, $r->json->{secret};
    my ($id) = split /\n/, $s->psql("select id from tenon.session
        where kind = 'cookie' order by created_at desc limit 1");
    $s->psql("update tenon.session set generation = generation + 1
               where id = '$id'");
    problem_is $s->request(POST => 'api-keys', @by, json => {
        name => 'page', scopes => \@task }), 401, 'unauthenticated',
        'not by one that was replaced elsewhere';
};

subtest 'scopes' => sub {
    problem_is make('alice', []), 422, 'invalid_fields', 'none',
        '/scopes' => 'too_short';
    problem_is make('alice', undef), 422, 'invalid_fields', 'null',
        '/scopes' => 'wrong_type';
    problem_is make('alice', 'teamos.task:read'), 422, 'invalid_fields',
        'a text', '/scopes' => 'wrong_type';
    problem_is make('alice', ['teamos.task:read', 'all', 7,
                              'teamos.task:read']),
        422, 'invalid_fields', 'each fault at its place',
        '/scopes/1' => 'bad_format', '/scopes/2' => 'wrong_type';
    problem_is make('alice', ['teamos.task:read', 'teamos.task:read:own']),
        422, 'invalid_fields', 'one permission twice',
        '/scopes/1' => 'duplicate';
    problem_is make('alice', ['tenon.tenant:update:own']), 422,
        'invalid_fields', 'own, where nothing is anybody\'s own',
        '/scopes/0' => 'not_in_set';
    problem_is make('alice', ['teamos.task:read', 'teamos.task:fly']),
        422, 'invalid_fields', 'no such permission',
        '/scopes/1' => 'not_in_set';
    problem_is make('bob', ['teamos.task:read', 'tenon.tenant:delete']),
        403, 'forbidden', 'an admin can\'t give what only owners have',
        '/scopes/1' => 'refused';
    problem_is make('carol', ['teamos.task:read']), 403, 'forbidden',
        'a member makes no keys';
    is event('api_key.created', outcome => 'refused')->{actor}{type},
        'user', 'which is logged';
    problem_is $s->request(POST => 'api-keys', as => 'alice', proven => 1,
                           json => {
        name => 'x', scopes => ['teamos.task:read'], prefix => 'tnk_x' }),
        422, 'invalid_fields', 'what is ours to say',
        '/prefix' => 'read_only';

    my $own = key('alice', ['teamos.project:read', 'teamos.project:create',
                            'teamos.project:update:own']);
    my $mine = with_key($own, POST => 'projects', json => { name => 'own' })
        ->json->{id};
    my $theirs = $s->request(POST => 'projects', as => 'bob',
                             json => { name => 'bob' })->json->{id};
    is status_of($own, PATCH => "projects/$mine", json => { name => 'o' }),
        200, 'with :own, what its maker made is changed';
    problem_is with_key($own, PATCH => "projects/$theirs",
                        json => { name => 'o' }),
        403, 'forbidden', 'and nothing else';
};

subtest 'what a key can not do' => sub {
    my $all = key('alice', [map { @$_ } [
        map { "tenon.$_" } qw(member:read member:update member:delete
            invitation:create invitation:read tenant:update api_key:read
            api_key:create api_key:update api_key:delete domain:create
            domain:delete account:read account:create account:update
            account_member:create account_member:update account_member:delete
            share:create share:delete)]]);
    for my $case ([POST => 'auth/logout'], [GET => 'me/tenants'],
                  [POST => 'auth/tenant', { tenant => 'acme' }],
                  [POST => 'tenants', { name => 'x', slug => 'x-by-key' }],
                  [POST => 'invitations',
                   { email => 'k@acme.test', role => 'owner' }],
                  [PATCH => 'members/01900000-000a-7000-8000-000000000302',
                   { role => 'owner' }],
                  [POST => 'api-keys',
                   { name => 'x', scopes => ['tenon.member:read'] }],
                  [PATCH => "api-keys/$all->{id}", { name => 'x' }],
                  [DELETE => 'me/sessions'], [GET => 'me/sessions'],
                  [PATCH => 'me', { name => 'x' }],
                  [POST => 'domains', { domain => 'key.example' }],
                  [DELETE => "domains/$all->{id}"],
                  [PATCH => "accounts/$all->{id}", { parent_id => undef }],
                  [POST => 'account-members', { account_id => $all->{id},
                   user_id => $all->{created_by}, role => 'account_owner' }],
                  [PATCH => "account-members/$all->{id}",
                   { role => 'account_owner' }],
                  [DELETE => "account-members/$all->{id}"],
                  [POST => 'shares', { resource => 'teamos.project',
                   resource_id => $all->{id}, user_id => $all->{created_by} }],
                  [DELETE => "shares/$all->{id}"]) {
        my ($method, $path, $json) = @$case;
        my $r = with_key($all, $method, $path,
                         $json ? (json => $json) : ());
        problem_is $r, 403, 'forbidden', "$method $path";
        like $r->json->{detail}, qr/sign in as a person/, 'says why';
    }
    is status_of($all, GET => 'members'), 200, 'but what it may';
    is status_of($all, POST => 'accounts', json => { name => 'by a key' }),
        201, 'and may make';

    my $other = key('alice', ['teamos.task:read']);
    problem_is with_key($all, POST => "api-keys/$other->{id}/rotate",
                        json => { overlap_seconds => 0 }),
        403, 'forbidden', 'no other key\'s secret is handed to it';
    my $r = with_key($all, POST => "api-keys/$all->{id}/rotate",
                     json => { overlap_seconds => 0 });
    status_is $r, 200, 'it rotates itself';
    push @shown, $r->json->{secret};
    is status_of($all, GET => 'members'), 401, 'its old secret is over';
    is status_of($r->json->{secret}, DELETE => "api-keys/$other->{id}"),
        204, 'and revokes another';
    is status_of($other, GET => 'tasks'), 401, 'which is dead';
};

# Behind a proxy on the same machine, that doesn't say who it asks for.
subtest 'over a unix socket, where clients have no address' => sub {
    my $key = key('alice', \@task);
    my $c = TenonClient->new("$sockets/http");
    $c->write($s->bytes(GET => 'me', at => 'acme', token => $key->{secret}));
    my $r = $c->response;
    status_is $r, 200, 'a key is good there' or return;
    is $r->json->{email}, 'alice@acme.test', 'and its maker\'s';
    is $s->psql("select last_used_at is not null and last_used_ip is null
                   from tenon.api_key_secret where api_key_id = '$key->{id}'"),
        't', 'it was used from nowhere';
};

subtest 'a key of another tenant' => sub {
    my $key = key('alice', \@task);
    my $before = $s->request(
        GET => 'audit/events?action=auth.tenant_mismatch', as => 'alice')
        ->json->{data};
    problem_is $s->request(GET => 'tasks', at => 'globex',
                           token => $key->{secret}),
        403, 'tenant_mismatch', 'is refused at its host';
    my $event = event('auth.tenant_mismatch');
    is $event->{actor}{id}, $key->{id}, 'and logged where it belongs';
    problem_is with_key($key, GET => 'tasks',
                        headers => ['Tenon-Tenant' => 'globex']),
        403, 'tenant_mismatch', 'the header is no way either';
    is $s->request(GET => 'tasks', host => 'tenon.localhost',
                   token => $key->{secret})->{status}, 200,
        'it names its tenant itself';
};

subtest 'expiry' => sub {
    my $in = sub {
        my @t = gmtime(time + $_[0]);
        return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $t[5] + 1900,
            $t[4] + 1, @t[3, 2, 1, 0];
    };
    problem_is make('alice', \@task, expires_at => $in->(-60)), 422,
        'invalid_fields', 'not in the past',
        '/expires_at' => 'out_of_range';
    problem_is make('alice', \@task, expires_at => $in->(6 * 366 * 86400)),
        422, 'invalid_fields', 'nor too far', '/expires_at' => 'out_of_range';

    my $key = key('alice', \@task, expires_at => $in->(3));
    is status_of($key, GET => 'tasks'), 200, 'until then it holds';
    my $end = time + 8;
    sleep 0.05 while status_of($key, GET => 'tasks') == 200 && time < $end;
    is status_of($key, GET => 'tasks'), 401, 'then not';
    my $late = $s->psql("select extract(epoch from now() - expires_at)
                           from tenon.api_key where id = '$key->{id}'");
    cmp_ok $late, '<', 2, 'and not a moment longer, kept or not';
    is $s->request(GET => "api-keys/$key->{id}", as => 'alice')
        ->json->{status}, 'expired', 'it shows';
    problem_is $s->request(PATCH => "api-keys/$key->{id}", as => 'alice',
                           json => { expires_at => undef }),
        409, 'state_conflict', 'and is not brought back';
    problem_is $s->request(POST => "api-keys/$key->{id}/rotate",
                           as => 'alice', proven => 1,
                           json => { overlap_seconds => 0 }),
        409, 'state_conflict', 'nor rotated';
};

subtest 'PATCH' => sub {
    my $key = key('alice', \@task);
    my $path = "api-keys/$key->{id}";
    my $r = $s->request(PATCH => $path, as => 'alice', json => {
        name => 'renamed', scopes => ['teamos.task:read'] },
        headers => ['If-Match' => '"1"']);
    status_is $r, 200, 'name and scopes';
    is "$r->{body}" =~ /"secret"/ ? 'told' : '', '', 'no secret';
    is_deeply [@{ $r->json }{qw(name version)}], ['renamed', 2], 'changed';
    is $r->header('ETag'), $s->request(GET => $path, as => 'alice')
        ->header('ETag'), 'one validator on read and write';
    is status_of($key, GET => 'tasks'), 200, 'what is left works';
    is status_of($key, GET => 'projects'), 403, 'what went does not';
    problem_is $s->request(PATCH => $path, as => 'alice', json => {
        name => 'again' }, headers => ['If-Match' => '"1"']),
        412, 'precondition_failed', 'not over another change';
    problem_is $s->request(PATCH => $path, as => 'bob',
                           json => { name => 'bob' }),
        403, 'forbidden', 'another\'s key is not changed';
    problem_is $s->request(POST => "$path/rotate", as => 'bob', proven => 1,
                           json => { overlap_seconds => 0 }),
        403, 'forbidden', 'nor rotated: it asks as alice';
    problem_is $s->request(PATCH => $path, as => 'alice', json => {
        scopes => ['teamos.task:fly'] }), 422, 'invalid_fields',
        'scopes are looked at', '/scopes/0' => 'not_in_set';
    is_deeply [grep { $_->{id} eq $key->{id} }
               @{ $s->request(GET => 'api-keys', as => 'dave')
                  ->json->{data} }], [], 'another tenant sees nothing';
    problem_is $s->request(GET => $path, as => 'dave'), 404, 'not_found',
        'nor reads it';
    is $s->request(GET => "api-keys?created_by=$key->{created_by}&limit=1",
                   as => 'alice')->json->{data}[0]{created_by},
        $key->{created_by}, 'the list filters';
};

subtest 'Idempotency-Key' => sub {
    my @once = (headers => ['Idempotency-Key' => 'make-a-key']);
    my %o = (name => 'once', scopes => ['teamos.task:read']);
    my @make = (POST => 'api-keys', as => 'alice', proven => 1, json => \%o,
                @once);
    my $first = $s->request(@make);
    status_is $first, 201, 'made';
    push @shown, $first->json->{secret};
    my $again = $s->request(@make);
    status_is $again, 201, 'the same again';
    is $again->header('Idempotency-Replayed'), 'true', 'is a replay';
    is_deeply $again->json, { %{ $first->json }, secret => undef },
        'of all but the secret';

    my $path = 'api-keys/' . $first->json->{id} . '/rotate';
    my @rotate = (as => 'alice', proven => 1, json => { overlap_seconds => 60 },
                  headers => ['Idempotency-Key' => 'rotate-it']);
    my $one = $s->request(POST => $path, @rotate);
    my $two = $s->request(POST => $path, @rotate);
    push @shown, $one->json->{secret};
    is_deeply $two->json, { %{ $one->json }, secret => undef },
        'nor does rotating rotate twice';
    is status_of($one->json->{secret}, GET => 'tasks'), 200,
        'its secret holds';

    my $key = key('alice', \@task);
    my @same = (json => { name => 'by whom' },
                headers => ['Idempotency-Key' => 'two-actors']);
    my @id = map { $_->json->{id} }
        $s->request(POST => 'projects', as => 'alice', @same),
        with_key($key, POST => 'projects', @same);
    isnt $id[0], $id[1], 'a key and its maker are two actors';
};

subtest 'rotation' => sub {
    my $key = key('alice', \@task);
    is status_of($key, GET => 'tasks'), 200, 'in use';
    for my $bad (-1, 86401, 'x', undef) {
        is $s->request(POST => "api-keys/$key->{id}/rotate", as => 'alice',
                       proven => 1, json => { overlap_seconds => $bad })->{status}, 422,
            'overlap ' . ($bad // 'null');
    }
    my $rotate = sub {
        my ($overlap) = @_;
        my $r = $s->request(POST => "api-keys/$key->{id}/rotate",
                            as => 'alice', proven => 1,
                            json => { overlap_seconds => $overlap });
        status_is $r, 200, "rotated, overlap $overlap";
        push @shown, $r->json->{secret};
        return $r->json;
    };
    my $second = $rotate->(2);
    like $second->{secret}, $key_text, 'there is another';
    isnt $second->{secret}, $key->{secret}, 'secret';
    is $second->{prefix}, $key->{prefix}, 'of the same key';
    my $until = time + 2;
    is status_of($key, GET => 'tasks'), 200, 'the old one holds';
    is status_of($second, GET => 'tasks'), 200, 'beside the new one';
    sleep 0.05
        while status_of($key, GET => 'tasks') == 200 && time < $until + 5;
    cmp_ok time, '<', $until + 1, 'it ends with the overlap';
    is status_of($second, GET => 'tasks'), 200, 'the new one does not';

    my $third = $rotate->(3600);
    my $fourth = $rotate->(0);
    is join(' ', map { status_of($_, GET => 'tasks') }
            $key, $second, $third, $fourth), '401 401 401 200',
        'without overlap only the newest holds';
    is_deeply event('api_key.rotated')->{metadata},
        { overlap_seconds => 0 }, 'which is logged';
    is $s->psql("select count(*) from tenon.api_key_secret
                  where api_key_id = '$key->{id}'"), 1, 'no others are kept';
};

subtest 'a key is worth what its maker is' => sub {
    my $erin = $s->hire('erin', 'acme', 'admin');
    my $key = key('erin', ['tenon.member:read', 'tenon.invitation:read',
                           'teamos.project:read',
                           'teamos.project:create',
                           'teamos.project:update']);
    my $other = $s->request(POST => 'projects', as => 'bob',
                            json => { name => 'bob' })->json->{id};
    is status_of($key, GET => 'invitations'), 200, 'an admin\'s';
    is status_of($key, PATCH => "projects/$other", json => { name => 'e' }),
        200, 'changes anything';
    $s->request(PATCH => "members/$erin->{id}", as => 'alice',
                json => { role => 'member' });
    is status_of($key, GET => 'invitations'), 403, 'a member\'s does not';
    is status_of($key, PATCH => "projects/$other", json => { name => 'e' }),
        403, 'nor another\'s project';
    my $mine = with_key($key, POST => 'projects', json => { name => 'mine' });
    is status_of($key, PATCH => 'projects/' . $mine->json->{id},
                 json => { name => 'still' }), 200, 'but what is its own';
    is status_of($key, GET => 'members'), 200, 'and what members do';
    $s->request(PATCH => "members/$erin->{id}", as => 'alice',
                json => { role => 'owner' });
    is status_of($key, PATCH => 'tenant', json => { name => 'x' }), 403,
        'an owner\'s is no more than its scopes';

    $s->request(DELETE => "members/$erin->{id}", as => 'alice');
    is status_of($key, GET => 'members'), 401, 'without its maker it is dead';
    is $s->request(GET => "api-keys/$key->{id}", as => 'alice')
        ->json->{status}, 'orphaned', 'which shows';
    $s->psql("update tenon.member set deleted_at = null, created_at = now()
               where id = '$erin->{id}'");
    sleep 0.01;
    my $end = time + 7;
    is status_of($key, GET => 'members'), 401,
        'who returns does not bring it along';
};

subtest 'on every worker, at once' => sub {
    my @workers = $s->workers;
    cmp_ok scalar @workers, '>', 1, 'there are several';
    my %at = map {
        my $pid = $_;
        ($pid => $s->alone($pid, sub {
            my $c = $s->connect;
            $c->request(GET => '/live', host => 'tenon.localhost');
            return $c;
        }))
    } @workers;
    my $everywhere = sub {
        my ($secret) = @_;
        return join ' ', map {
            $at{$_}->write($s->bytes(GET => 'tasks?limit=1', at => 'acme',
                                     token => $secret));
            $at{$_}->response->{status};
        } @workers;
    };
    my $all = sub { join ' ', ($_[0]) x @workers };
    my @wrong;
    for my $round (1 .. 8) {
        my $key = key('alice', ['teamos.task:read']);
        my $got = $everywhere->($key->{secret}) . ' '
            . $everywhere->($key->{secret});
        push @wrong, "$round: fresh $got" if $got =~ /[^20 ]/;

        my $r = $s->request(POST => "api-keys/$key->{id}/rotate",
                            as => 'alice', proven => 1,
                            json => { overlap_seconds => 0 });
        my $new = $r->json->{secret};
        push @shown, $new;
        $got = $everywhere->($key->{secret});
        push @wrong, "$round: replaced $got" if $got ne $all->(401);
        $got = $everywhere->($new);
        push @wrong, "$round: new $got" if $got ne $all->(200);

        $s->request(PATCH => "api-keys/$key->{id}", as => 'alice',
                    json => { scopes => ['teamos.project:read'] });
        $got = $everywhere->($new);
        push @wrong, "$round: narrowed $got" if $got ne $all->(403);

        $s->request(DELETE => "api-keys/$key->{id}", as => 'alice');
        $got = $everywhere->($new);
        push @wrong, "$round: revoked $got" if $got ne $all->(401);
    }
    is_deeply \@wrong, [], 'replaced, narrowed and revoked';
};

subtest 'a forged key never reaches the database' => sub {
    my $key = key('alice', ['teamos.task:read']);
    is status_of($key, GET => 'tasks'), 200, 'the right one opens';
    (my $text = $key->{secret}) =~ s/\Atnk_//;
    my $raw = decode_base64url($text);
    is length $raw, 68, 'it is of this length';

    my @bad = ('tnk_', 'tnk_x', "tnk_$text=", "tnk_${text}A",
               substr("tnk_$text", 0, -1), 'tnk_' . 'A' x 91,
               "TNK_$text", "tnk_$text.$text.$text", 'tnk_' . 'A' x 3000,
               "tnr_$text", $text);
    for my $bit (0 .. 8 * 68 - 1) {
        my $flipped = $raw;
        vec($flipped, $bit, 1) ^= 1;
        push @bad, 'tnk_' . encode_base64url($flipped);
    }
    # $s's connection is kept: no TLS, no new one for each.
    my $bytes = sub {
        $s->bytes(GET => 'me', host => 'tenon.localhost', token => $_[0]);
    };
    my $statements = sub {
        $s->psql('select pg_stat_force_next_flush()');
        sleep 1.1;
        return $s->psql("select xact_commit + xact_rollback
                           from pg_stat_database
                          where datname = current_database()");
    };
    my $before = $statements->();
    my $began = time;
    my %status;
    my $c = $s->connect;
    for my $i (0 .. 9_999) {
        $c->write($bytes->($bad[$i % @bad]));
        my $r = $c->response;
        $status{ $r ? $r->{status} : 'none' }++;
        $c = $s->connect
            if !$r || ($r->header('Connection') // '') eq 'close';
    }
    my $took = time - $began;
    my $after = $statements->();
    is join(' ', sort keys %status), '401', '10,000 are 401';
    # Each of the 555 would be looked up once at least. Workers ask for the
    # catalogue's version every second, and a server's process tells its count
    # of what was before up to ten seconds late.
    my $polls = 200 + 4 * ($took + 3);
    cmp_ok $after - $before, '<', $polls,
        'and cost no transaction (' . ($after - $before) . ')';
    is status_of($key, GET => 'tasks'), 200, 'the right one still opens';
};

subtest 'no secret lies anywhere' => sub {
    cmp_ok scalar @shown, '>', 20, 'there were many';
    my $dump = $s->shell('as_pg pg_dump -h "$run" -d tenon');
    cmp_ok length $dump, '>', 10_000, 'the database, as text';
    my $logs = join '', map { local (@ARGV, $/) = $_; -e $_ ? <> : '' }
        $s->error_log, $s->access_log, glob($s->var . '/*/*log*');
    cmp_ok length $logs, '>', 1000, 'and every log';
    my @found;
    for my $secret (@shown) {
        (my $text = $secret) =~ s/\Atnk_//;
        my $random = substr decode_base64url($text), 32, 24;
        my @forms = (substr($secret, 60), unpack('H*', $random),
                     encode_base64url($random));
        push @found, grep { index($dump, $_) >= 0 || index($logs, $_) >= 0 }
            @forms;
    }
    is_deeply \@found, [], 'hold none of them';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
