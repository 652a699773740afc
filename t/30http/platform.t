#!/usr/bin/perl

# The platform's people: they see, make, suspend and reactivate tenants, and act
# as their users; nobody else does any of it; all of it stands in both logs.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my %tenant = map { $_->{slug} => $_ }
    @{ $s->request(GET => 'platform/tenants', as => 'root')->json->{data} };

subtest 'tenants are listed' => sub {
    is_deeply [sort keys %tenant], [qw(acme globex)],
        'all but the platform itself';
    is_deeply [sort keys %{ $tenant{acme} }],
        [sort qw(id name slug status user_realm version created_at created_by
                 updated_at)], 'with these members';
    my $r = $s->request(GET => 'platform/tenants?slug=globex', as => 'root');
    is_deeply [map { $_->{id} } @{ $r->json->{data} }], [$tenant{globex}{id}],
        'one by its slug';
    $r = $s->request(GET => "platform/tenants/$tenant{acme}{id}",
                     as => 'root');
    is_deeply $r->json, $tenant{acme}, 'and by its id';
    $r = $s->request(GET => 'platform/tenants?limit=1', as => 'root')->json;
    my $next = $s->request(GET => 'platform/tenants?limit=1&cursor=' .
                           $r->{next_cursor}, as => 'root')->json;
    is_deeply [sort map { $_->{data}[0]{slug} } $r, $next],
        [qw(acme globex)], 'page by page';
};

subtest 'by nobody else' => sub {
    for my $path ('platform/tenants', "platform/tenants/$tenant{acme}{id}") {
        problem_is $s->request(GET => $path, as => 'alice'), 403, 'forbidden',
            "an owner: GET $path";
        problem_is $s->request(GET => $path, at => 'platform',
                               token => $s->token('alice')),
            403, 'tenant_mismatch', "at the platform's host: GET $path";
    }
    for my $verb (qw(suspend reactivate impersonate)) {
        problem_is $s->request(
            POST => "platform/tenants/$tenant{globex}{id}/$verb",
            as => 'alice', json => $verb eq 'impersonate'
                ? { user_id => $tenant{acme}{id}, reason => 'x' } : undef),
            403, 'forbidden', "an owner: $verb";
    }
    like $s->psql("select set_config('tenon.tenant', tenant_id::text, false)
                     from tenon.tenant where slug = 'acme';
                   set role tenon_api;
                   select count(*) from tenon.platform_tenant_view"), qr/\n0\z/,
        'in the context of another tenant the view is empty';
    for my $call ('tenon.set_tenant_status(tenon.uuid7(), $$suspended$$, null,
                   tenon.uuid7(), $$x$$)',
                  'tenon.impersonate(tenon.uuid7(), tenon.uuid7(),
                   tenon.uuid7(), 1, null, null, null, tenon.uuid7(), $$x$$)',
                  'tenon.platform_create_tenant(tenon.uuid7(), $$x$$, $$x$$,
                   null, $$x$$, $$x$$, tenon.uuid7(), $$x$$)') {
        my ($name) = $call =~ /^tenon\.(\w+)/;
        my $out = eval { $s->psql("
            select set_config('tenon.tenant', tenant_id::text, false),
                   set_config('tenon.actor', tenant_id::text, false)
              from tenon.tenant where slug = 'acme';
            set role tenon_api; select $call") } // $@;
        like $out, qr/only (?:the|people of the) platform/,
            "nor does $name work there";
    }
};

subtest 'nor by a key of theirs' => sub {
    problem_is $s->request(POST => 'api-keys', as => 'root', proven => 1,
        json => { name => 'watch', scopes => ["tenon.platform:$_"] }), 422,
        'invalid_fields', "none is let: $_", '/scopes/0' => 'not_in_set'
        for qw(read create update impersonate);
    my $key = $s->request(POST => 'api-keys', as => 'root', proven => 1,
        json => { name => 'watch', scopes => ['tenon.tenant:read'] })->json;
    my @by = (at => 'platform', token => $key->{secret});
    status_is $s->request(GET => 'tenant', @by), 200, 'one that is';
    problem_is $s->request(GET => 'platform/tenants', @by), 403, 'forbidden',
        'sees no tenant';
    my $path = "platform/tenants/$tenant{globex}{id}";
    for my $case (['platform/tenants', { name => 'K', slug => 'by-a-key',
                   owner_email => 'k@k.test', owner_name => 'K' }],
                  ["$path/suspend"], ["$path/reactivate"],
                  ["$path/impersonate",
                   { user_id => $tenant{acme}{id}, reason => 'x' }]) {
        my ($to, $json) = @$case;
        my $r = $s->request(POST => $to, @by, $json ? (json => $json) : ());
        problem_is $r, 403, 'forbidden', "nor POST $to";
        like $r->json->{detail}, qr/sign in as a person/, 'says why';
    }
};

subtest 'suspended and reactivated' => sub {
    $s->token('alice');
    status_is $s->request(GET => 'me', as => 'alice'), 200, 'served before';
    my $r = $s->request(POST => "platform/tenants/$tenant{acme}{id}/suspend",
                        as => 'root');
    status_is $r, 200, 'suspended';
    is $r->json->{status}, 'suspended', 'and says so';
    for my $worker ($s->workers) {
        my $c = $s->alone($worker, sub { $s->connect });
        $c->write($s->bytes(GET => 'me', as => 'alice'));
        problem_is $c->response, 403, 'tenant_inactive',
            'nobody gets in, on any worker';
    }
    status_is $s->request(GET => 'me', as => 'dave'), 200,
        'others are as before';
    my $again = $s->request(
        POST => "platform/tenants/$tenant{acme}{id}/suspend", as => 'root');
    is $again->json->{version}, $r->json->{version}, 'twice is once';
    problem_is $s->request(
        POST => "platform/tenants/$tenant{acme}{id}/reactivate", as => 'root',
        headers => ['If-Match' => '"1"']), 412, 'precondition_failed',
        'an older version is not what is meant';
    status_is $s->request(
        POST => "platform/tenants/$tenant{acme}{id}/reactivate",
        as => 'root', headers => ['If-Match' => $r->header('ETag')]), 200,
        'reactivated';
    ok $s->wait_until(7, sub {
        $s->request(GET => 'me', as => 'alice')->{status} == 200;
    }), 'and served again';
    for my $who (qw(alice root)) {
        my $events = $s->request(
            GET => "audit/events?resource_id=$tenant{acme}{id}",
            as => $who)->json->{data};
        is_deeply [map { $_->{action} } @$events[0, 1]],
            [qw(tenant.reactivated tenant.suspended)], "in the log of ${who}'s";
    }
    my ($platform) = $s->psql("select tenon.platform()");
    for my $verb (qw(suspend impersonate)) {
        problem_is $s->request(
            POST => "platform/tenants/$platform/$verb", as => 'root',
            json => $verb eq 'suspend' ? undef
                : { user_id => $platform, reason => 'x' }),
            404, 'not_found', "the platform itself can't be: $verb";
    }
    problem_is $s->request(DELETE => 'tenant', as => 'root'), 403, 'forbidden',
        'nor deleted';
};

subtest 'made for somebody' => sub {
    my %body = (name => 'Initech', slug => 'initech',
                owner_email => 'Bill@initech.test', owner_name => 'Bill');
    my $r = $s->request(POST => 'platform/tenants', as => 'root',
                        json => \%body);
    status_is $r, 201, 'made';
    is $r->header('Location'),
        '/api/v1/platform/tenants/' . $r->json->{id}, 'and to be found';
    is $r->json->{user_realm}, 'shared', 'with users like most';
    is $s->psql("select u.email, m.role, u.password_hash is null
                   from tenon.member m join tenon.\"user\" u on u.id = m.user_id
                  where m.tenant_id = '" . $r->json->{id} . "'"),
        'bill@initech.test|owner|t', 'its owner has no password yet';
    problem_is $s->request(POST => 'platform/tenants', as => 'root',
                           json => \%body), 409, 'slug_taken', 'once',
        '/slug', 'duplicate';
    problem_is $s->request(POST => 'platform/tenants', as => 'root', json => {
        %body, slug => 'platform' }), 422, 'invalid_fields',
        'not the platform', '/slug', 'not_in_set';
    problem_is $s->request(POST => 'platform/tenants', as => 'root', json => {
        %body, slug => 'www' }), 422, 'invalid_fields', 'nor a reserved name',
        '/slug', 'not_in_set';

    problem_is $s->request(POST => 'platform/tenants', as => 'root', json => {
        %body, slug => 'squatted', owner_email => 'carol@acme.test' }), 422,
        'invalid_fields', 'nor for an address that nobody has verified',
        '/owner_email', 'refused';

    $r = $s->request(POST => 'platform/tenants', as => 'root', json => {
        name => 'Own', slug => 'own-people', user_realm => 'own',
        owner_email => 'alice@acme.test', owner_name => 'Another Alice' });
    status_is $r, 201, 'with users of its own';
    is $r->json->{user_realm}, 'own', 'says so';
    is $s->psql("select count(distinct realm_id) from tenon.\"user\"
                  where email = 'alice\@acme.test'"), 2,
        'so that an address may be another person';
};

subtest 'acting as a user' => sub {
    my $alice = $s->request(GET => 'me', as => 'alice')->json;
    my $path = "platform/tenants/$tenant{acme}{id}/impersonate";
    problem_is $s->request(POST => $path, as => 'root', json => {
        user_id => $alice->{id} }), 422, 'invalid_fields',
        'not without a reason', '/reason', 'required';
    problem_is $s->request(POST => $path, as => 'root', json => {
        user_id => $s->request(GET => 'me', as => 'dave')->json->{id},
        reason => 'x' }), 422, 'invalid_fields', 'nor as somebody else\'s',
        '/user_id', 'not_found';
    my $sessions = sub { $s->psql('select count(*) from tenon.session
                                    where impersonator is not null') };
    my $login = $s->request(
        POST => 'auth/login', at => 'platform',
        headers => ['Tenon-Session' => 'cookie'],
        json => { email => 'root@platform.test', password => $s->password });
    my ($cookie) = $login->header('Set-Cookie') =~ /\A([^;]+)/;
    for my $by ([at => 'platform', headers => [Cookie => $cookie]],
                [as => 'root', headers => ['Tenon-Session' => 'cookie']]) {
        problem_is $s->request(POST => $path, @$by, json => {
            user_id => $alice->{id}, reason => 'x' }), 409, 'state_conflict',
            'nor for a cookie, which is given no tokens';
        is $sessions->(), 0, 'no session is made for nobody';
    }
    my $r = $s->request(POST => $path, as => 'root', json => {
        user_id => $alice->{id}, reason => 'ticket 4711' });
    status_is $r, 200, 'a session';
    my $session = $r->json;
    is $session->{refresh_token}, undef, 'that ends by itself';
    my $as = $s->request(GET => 'me', at => 'acme',
                         token => $session->{access_token});
    is_deeply [@{ $as->json }{qw(id impersonated)}],
        [$alice->{id}, JSON::PP::true], 'me says so';
    ok !$alice->{impersonated}, 'of her alone it doesn\'t';
    isnt $as->header('ETag'), $s->request(GET => 'me', as => 'alice')
        ->header('ETag'), 'nor under the same tag';
    is_deeply [map { $_->{impersonated} ? 1 : 0 } @{ $s->request(
        GET => 'me/sessions?limit=1', as => 'alice')->json->{data} }], [1],
        'and she finds it among her sessions';
    is_deeply $session->{user}, { map { $_ => $alice->{$_} } qw(id email name) },
        'as her';
    my $me = $s->request(GET => 'me', at => 'acme',
                         token => $session->{access_token});
    is $me->json->{id}, $alice->{id}, 'who she is there';
    my $project = $s->request(POST => 'projects', at => 'acme',
                              token => $session->{access_token},
                              json => { name => 'helped' })->json;
    for my $case ([PATCH => 'me', { name => 'Mallory' }],
                  [DELETE => 'me/sessions'],
                  [DELETE => "me/sessions/$project->{id}"],
                  [POST => 'tenants', { name => 'X', slug => 'x-acted' }],
                  [POST => 'tenant/transfer', { member_id => $alice->{id} }],
                  [POST => 'auth/tenant', { tenant => 'acme' }],
                  [POST => 'api-keys', { name => 'x',
                   scopes => ['tenon.member:read'] }],
                  [PATCH => "api-keys/$project->{id}", { name => 'x' }],
                  [POST => "api-keys/$project->{id}/rotate",
                   { overlap_seconds => 0 }]) {
        my ($method, $to, $json) = @$case;
        problem_is $s->request($method => $to, at => 'acme',
                               token => $session->{access_token},
                               $json ? (json => $json) : ()),
            403, 'forbidden', "but not $method $to";
    }
    is $s->request(GET => 'me', as => 'alice')->{status}, 200,
        'nor ends her own sessions';
    my $root = $s->request(GET => 'me', as => 'root')->json;
    for my $id ($project->{id}, undef) {
        my ($event) = grep { $id || $_->{action} eq 'user.impersonated' }
            @{ $s->request(GET => 'audit/events?limit=20' .
                           ($id ? "&resource_id=$id" : ''),
                           as => 'alice')->json->{data} };
        is_deeply $event->{actor}, { type => 'user', id => $alice->{id},
                                     impersonator => $root->{id} },
            "$event->{action} says who acted as whom";
        is $event->{metadata}{reason}, 'ticket 4711', 'and why' if !$id;
    }
    is $s->psql("select count(*) from tenon.session
                  where impersonator is not null
                    and expires_at between now() + interval '10 minutes'
                                       and now() + interval '15 minutes'"), 1,
        'for 15 minutes at most';
    status_is $s->request(POST => 'auth/logout', at => 'acme',
                          token => $session->{access_token}), 204, 'or less';
    problem_is $s->request(GET => 'me', at => 'acme',
                           token => $session->{access_token}), 401,
        'unauthenticated', 'then it is over';
};

subtest 'tenonctl admin' => sub {
    ok !eval { $s->tenonctl('admin add', 'carol@acme.test'); 1 },
        'nobody by an address that they have not verified';
    $s->tenonctl('admin add', 'ada@platform.test', '--name', 'Ada');
    $s->tenonctl('admin add', 'ada@platform.test', '--name', 'Ada');
    like $s->tenonctl('admin list'), qr/^ada\@platform\.test\tAda\t/m,
        'makes one, once';
    is $s->psql("select count(*) from tenon.member m
                   join tenon.\"user\" u on u.id = m.user_id
                  where u.email = 'ada\@platform.test'"), 1, 'is one row';
};

subtest 'acting ends with the right to' => sub {
    my $alice = $s->request(GET => 'me', as => 'alice')->json;
    my $token = $s->request(
        POST => "platform/tenants/$tenant{acme}{id}/impersonate", as => 'root',
        json => { user_id => $alice->{id}, reason => 'x' })
        ->json->{access_token};
    for my $call ([invitations => { email => 'back@door.test',
                                    role => 'owner' }],
                  [roles => { name => 'door', title => 'Door' }]) {
        problem_is $s->request(POST => $call->[0], at => 'acme',
                               token => $token, json => $call->[1]),
            403, 'forbidden', "leaves nothing behind: $call->[0]";
    }
    $s->psql("update tenon.member set role = 'guest'
               where tenant_id = tenon.platform() and role = 'super_admin'");
    ok $s->wait_until(7, sub {
        $s->request(GET => 'me', at => 'acme', token => $token)
            ->{status} == 401;
    }), 'and is over once the right is gone';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
