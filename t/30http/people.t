#!/usr/bin/perl

# Who belongs to a tenant: members and their roles, invitations and what they
# are worth, further tenants and the way from one to another; and that a tenant
# never loses its last owner, whoever hurries.
#
# TENON_LONG=1: a hundred times (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

use constant ROUNDS => $ENV{TENON_LONG} ? 100 : 15;

my $s = TenonServer->new;
my $token_text = qr/\A[A-Za-z0-9_-]{86}\z/;
my %member = map { ("$_->[0]" => "01900000-000a-7000-8000-00000000030$_->[1]") }
    ['alice', 1], ['bob', 2], ['carol', 3];
my $foreign = '01900000-000b-7000-8000-000000000301';
my $nobody = '01900000-7777-7000-8000-0123456789ab';

# What would have been mailed: address => token.
sub outbox {
    my ($tenant) = @_;
    my $text = $s->shell("build/bin/tenonctl outbox --json --tenant $tenant");
    return { map { $_->{email} => $_->{token} }
             @{ JSON::PP::decode_json($text) } };
}

sub invite {
    my ($as, $email, $role, %o) = @_;
    return $s->request(POST => 'invitations', as => $as,
                       json => { email => $email, role => $role }, %o);
}

sub accept_it {
    my ($token, %o) = @_;
    my $at = delete $o{at};
    my $headers = delete $o{headers} || [];
    return $s->request(POST => 'invitations/accept', json => {
        token => $token, %o,
    }, headers => $headers,
    $at ? (at => $at) : (host => 'tenon.localhost'));
}

# One who is invited to acme, joins, and logs in: (member's id, token).
sub newcomer {
    my ($name, $role) = @_;
    my $email = "$name\@people.test";
    invite('alice', $email, $role);
    my $r = accept_it(outbox('acme')->{$email}, name => ucfirst $name,
                      password => 'correct horse');
    status_is $r, 200, "$name joins as $role";
    return ($r->json->{member}{id}, login($email));
}

sub login {
    my ($email, %o) = @_;
    return $s->request(POST => 'auth/login', at => $o{at} // 'acme',
                       json => { email => $email, password =>
                                 $o{password} // 'correct horse' })
             ->json->{access_token};
}

sub role_of {
    my ($id) = @_;
    return $s->psql("select role from tenon.member where id = '$id'");
}

# The newest event of an action: of acme, as alice reads it.
sub event {
    my ($action, %o) = @_;
    my $r = $s->request(GET => "audit/events?action=$action&limit=1",
                        as => 'alice', %o);
    return $r->{status} == 200 ? $r->json->{data}[0] : undef;
}


subtest 'the boxes: who may do what' => sub {
    status_is invite('alice', 'boxes@people.test', 'member'), 201,
        'an invitation to look at';
    my ($invitation) = map { $_->{id} }
        @{ $s->request(GET => 'invitations', as => 'alice')->json->{data} };
    my @box = (
        # method, path, body, owner, admin, member
        [GET    => 'members', undef, 200, 200, 200],
        [GET    => "members/$member{bob}", undef, 200, 200, 200],
        [PATCH  => "members/$member{carol}", {}, 200, 200, 403],
        [PATCH  => "members/$member{carol}", { role => 'owner' },
         undef, 403, 403],
        [PATCH  => "members/$member{alice}", { role => 'member' },
         409, 403, 403],
        [DELETE => "members/$member{alice}", undef, 409, 403, 403],
        [DELETE => "members/$member{bob}", undef, undef, undef, 403],
        [GET    => 'invitations', undef, 200, 200, 403],
        [GET    => "invitations/$invitation", undef, 200, 200, 403],
        [POST   => 'invitations',
         { email => 'box@people.test', role => 'owner' }, undef, 403, 403],
        [POST   => 'invitations',
         { email => 'box@people.test', role => 'member' }, undef, undef, 403],
        [DELETE => "invitations/$invitation", undef, undef, undef, 403],
        [GET    => 'tenant', undef, 200, 200, 200],
        [PATCH  => 'tenant', {}, 200, 403, 403],
        [DELETE => 'tenant', undef, undef, 403, 403],
        [GET    => 'audit/access', undef, 200, 200, 403],
        [GET    => 'me/tenants', undef, 200, 200, 200],
    );
    for my $box (@box) {
        my ($method, $path, $body, @want) = @$box;
        for my $who (qw(alice bob carol)) {
            my $want = shift @want // next;
            my $r = $s->request($method, $path, as => $who,
                                $body ? (json => $body) : ());
            my $name = join ' ', $who, $method, $path =~ s/[0-9a-f-]{36}/{id}/r,
                $body ? JSON::PP::encode_json($body) : ();
            $want == 403 ? problem_is $r, 403, 'forbidden', $name
                         : status_is $r, $want, $name;
        }
    }
    status_is $s->request(DELETE => "invitations/$invitation", as => 'bob'),
        204, 'bob DELETE invitations/{id}';
};

subtest 'members are listed and read' => sub {
    my $r = $s->request(GET => 'members?sort=created_at', as => 'carol');
    is_deeply [map { "$_->{name} $_->{role}" } @{ $r->json->{data} }],
        ['Alice owner', 'Bob admin', 'Carol member'], 'everybody';
    is_deeply [sort keys %{ $r->json->{data}[0] }],
        [qw(created_at email id name role user_id version)], 'their members';
    $r = $s->request(GET => 'members?role=admin', as => 'carol');
    is_deeply [map { $_->{name} } @{ $r->json->{data} }], ['Bob'], 'by role';
    my $user = $r->json->{data}[0]{user_id};
    $r = $s->request(GET => "members?user_id=$user&fields=name", as => 'carol');
    is_deeply $r->json->{data}, [{ name => 'Bob' }], 'by user, narrowed';
    $r = $s->request(GET => "members/$member{bob}", as => 'carol');
    is $r->header('ETag'), '"1"', 'one has an ETag';
    status_is $s->request(GET => "members/$member{bob}", as => 'carol',
                          headers => ['If-None-Match' => '"1"']), 304,
        'that answers 304';
    problem_is $s->request(GET => "members/$_", as => 'alice'), 404,
        'not_found', "no member: $_" for $foreign, $nobody, 'nonsense';
    problem_is $s->request(GET => 'members?plan=pro', as => 'alice'), 400,
        'unknown_parameter', 'an unknown filter', 'plan' => 'unknown_field';
};

subtest 'an invitation' => sub {
    my $r = invite('bob', 'Zed@People.test', 'member');
    status_is $r, 201, 'is made';
    my $zed = $r->json;
    is_deeply [sort keys %$zed],
        [qw(created_at email expires_at id invited_by role status version)],
        'its members';
    is "$zed->{email} $zed->{role} $zed->{status}",
        'zed@people.test member pending', 'the address in lower case';
    is $r->header('Location'), "/api/v1/invitations/$zed->{id}", 'Location';
    is $r->header('ETag'), '"1"', 'ETag';
    is_deeply $s->request(GET => "invitations/$zed->{id}", as => 'bob')->json,
        $zed, 'it can be read';
    unlike $r->{body}, qr/token/, 'its token is in no answer';
    my $token = outbox('acme')->{'zed@people.test'};
    like $token, $token_text, 'and in the outbox';
    my $seen = $s->request(POST => 'invitations/preview',
                           host => 'tenon.localhost',
                           json => { token => $token });
    status_is $seen, 200, 'who has it may look at it';
    is_deeply $seen->json,
        { tenant => { name => 'Acme Inc.', slug => 'acme' },
          email => 'zed@people.test', has_account => JSON::PP::false,
          role => 'member', expires_at => $zed->{expires_at} },
        'and sees where it leads';
    problem_is $s->request(POST => 'invitations/preview', at => 'acme',
                           json => { token => 'x' . $token }), 410,
        'secret_spent', 'which a bad one does not';
    is $s->psql("select count(*) from tenon.invitation i, tenon.event_body b
                  where i::text like '%$token%' or b::text like '%$token%'"),
        0, 'but not in the database';
    is_deeply event('member.invited')->{metadata},
        { email => 'zed@people.test', role => 'member' }, 'the event names it';

    problem_is invite('alice', 'zed@people.test', 'admin'), 409, 'duplicate',
        'a second one to the address', '/email' => 'duplicate';
    problem_is invite('alice', 'CAROL@acme.test', 'member'), 409, 'duplicate',
        'one to a member', '/email' => 'duplicate';
    problem_is $s->request(POST => 'invitations', as => 'alice', json => {
        email => 'no address', role => 'The King', status => 'accepted' }),
        422, 'invalid_fields', 'all that is wrong with one at once',
        '/email' => 'bad_format', '/role' => 'bad_format',
        '/status' => 'read_only';
    for my $role (qw(king account_user super_admin)) {
        problem_is invite('alice', 'king@people.test', $role), 422,
            'invalid_fields', "a role that nobody has here: $role",
            '/role' => 'not_in_set';
        problem_is $s->request(PATCH => "members/$member{carol}",
                               as => 'alice', json => { role => $role }),
            422, 'invalid_fields', "for a member: $role",
            '/role' => 'not_in_set';
    }
    problem_is $s->request(POST => 'invitations', as => 'alice', json => {}),
        422, 'invalid_fields', 'an empty one',
        '/email' => 'required', '/role' => 'required';
    status_is invite('dave', 'zed@people.test', 'member'), 201,
        'another tenant may invite the same address';

    problem_is $s->request(DELETE => "invitations/$zed->{id}", as => 'bob',
                           headers => ['If-Match' => '"7"']),
        412, 'precondition_failed', 'revoked with a version gone by';
    problem_is $s->request(DELETE => "invitations/$zed->{id}", as => 'dave'),
        404, 'not_found', 'revoked from elsewhere';
    status_is $s->request(DELETE => "invitations/$zed->{id}", as => 'bob',
                          headers => ['If-Match' => '"1"']), 204, 'revoked';
    problem_is $s->request($_ => "invitations/$zed->{id}", as => 'bob'), 404,
        'not_found', "then gone: $_" for qw(GET DELETE);
    problem_is accept_it($token, name => 'Zed', password => 'correct horse'),
        410, 'secret_spent', 'a revoked one can not be accepted';
    is event('invitation.revoked')->{metadata}{email}, 'zed@people.test',
        'and that is in the log';

    status_is invite('alice', 'boss@people.test', 'owner'), 201,
        'an owner invites an owner';
    my ($boss) = map { $_->{id} } @{ $s->request(
        GET => 'invitations?role=owner&status=pending', as => 'bob')
        ->json->{data} };
    problem_is $s->request(DELETE => "invitations/$boss", as => 'bob'), 403,
        'forbidden', 'which an admin can not take back';
    status_is $s->request(DELETE => "invitations/$boss", as => 'alice'), 204,
        'but an owner can';
};

subtest 'a stranger joins, works and leaves' => sub {
    status_is invite('alice', 'erin@people.test', 'member'), 201, 'invited';
    my $token = outbox('acme')->{'erin@people.test'};

    problem_is accept_it($token), 422, 'invalid_fields', 'without an account',
        '/name' => 'required', '/password' => 'required';
    problem_is accept_it($token, name => 'Erin', password => 'short'), 422,
        'invalid_fields', 'a short password', '/password' => 'too_short';
    problem_is accept_it($token, at => 'globex', name => 'Erin',
                         password => 'correct horse'),
        403, 'tenant_mismatch', "at another tenant's host";
    problem_is accept_it($token, name => 'Erin', password => 'correct horse',
                         headers => ['Tenon-Tenant' => 'globex']),
        403, 'tenant_mismatch', 'under the header of another';

    my @flipped = map {
        my $t = $token;
        substr($t, $_, 1) = substr($t, $_, 1) eq 'A' ? 'B' : 'A';
        $t;
    } 0, 30, 60;
    for my $forged (@flipped, '', 'x', "$token$token", substr($token, 1),
                    "${token}=", 'A' x 86) {
        my $r = accept_it($forged, name => 'Erin', password => 'correct horse');
        problem_is $r, 422, 'invalid_fields',
            'a forged token: ' . substr($forged, 0, 8),
            '/token' => 'not_found' if length $forged <= 200;
    }

    for my $t ($token, 'forged') {
        problem_is accept_it($t, at => 'nowhere', name => 'Erin',
                             password => 'correct horse'),
            404, 'tenant_unknown', 'at the host of no tenant';
        problem_is accept_it($t, name => 'Erin', password => 'correct horse',
                             headers => ['Tenon-Tenant' => $_]),
            404, 'tenant_unknown', "with Tenon-Tenant: $_"
            for 'nowhere', $nobody;
    }

    my $r = accept_it($token, at => 'acme', name => 'Erin',
                      password => 'correct horse');
    status_is $r, 200, 'accepted';
    my $erin = $r->json;
    is_deeply [map { join ' ', sort keys %{ $erin->{$_} } }
               qw(user tenant member)],
        ['email id name', 'id name slug',
         'created_at email id name role user_id version'],
        'answers user, tenant and member';
    is "$erin->{user}{email} $erin->{tenant}{slug} $erin->{member}{role}",
        'erin@people.test acme member', 'who, where, as what';
    is $erin->{member}{user_id}, $erin->{user}{id}, 'one and the same';
    is $r->header('Cache-Control'), 'no-store', 'is never cached';
    unlike $r->{body}, qr/hash|password|token/, 'and holds no secret';
    is_deeply $s->request(GET => "members/$erin->{member}{id}", as => 'alice')
        ->json, $erin->{member}, 'the member is the member';
    problem_is accept_it($token, name => 'Erin', password => 'correct horse'),
        410, 'secret_spent', 'a second time';

    my $event = event('member.joined');
    is $event->{actor}{id}, $erin->{user}{id}, 'the event: who';
    is_deeply [@{ $event->{metadata} }{qw(email role)}],
        ['erin@people.test', 'member'], 'as what';
    is $event->{after}{role}, 'member', 'and what came of it';

    my $bearer = login('erin@people.test');
    my @as = (at => 'acme', token => $bearer);
    is $s->request(GET => 'me', @as)->json->{role}, 'member', 'logs in';
    problem_is $s->request(PATCH => 'tenant', @as, json => { name => 'x' }),
        403, 'forbidden', 'is a member';

    my $at = "members/$erin->{member}{id}";
    $r = $s->request(PATCH => $at, as => 'bob', json => { role => 'admin' },
                     headers => ['If-Match' => '"1"']);
    status_is $r, 200, 'is made an admin';
    is $r->json->{version}, 2, 'one version on';
    is $r->header('ETag'), '"2"', 'with its ETag';
    is $s->request(GET => 'me', @as)->json->{role}, 'admin',
        'from the next request on';
    status_is $s->request(GET => 'audit/access', @as), 200,
        'and may what admins may';
    is_deeply event('member.role_changed')->{metadata},
        { from => 'member', to => 'admin' }, 'the event says from what to what';

    problem_is $s->request(PATCH => $at, as => 'bob', json => {
        role => 'member' }, headers => ['If-Match' => '"1"']),
        412, 'precondition_failed', 'a version gone by';
    $r = $s->request(PATCH => $at, as => 'bob', json => {});
    is "$r->{status} $r->{json}{version}", '200 2', 'nothing to change'
        if $r->json;
    $r = $s->request(PATCH => $at, as => 'bob', json => { role => 'admin' });
    is "$r->{status} $r->{json}{version}", '200 2', 'the role they have'
        if $r->json;
    problem_is $s->request(PATCH => $at, as => 'bob', json => {
        role => undef, email => 'x@y.z', rank => 3 }),
        422, 'invalid_fields', 'what can not be',
        '/role' => 'wrong_type', '/email' => 'read_only',
        '/rank' => 'unknown_field';
    problem_is $s->request(PATCH => "members/$_", as => 'bob',
                           json => { role => 'member' }),
        404, 'not_found', "of no member: $_"
        for $foreign, $nobody, 'nonsense';

    status_is $s->request(DELETE => $at, @as), 204, 'leaves';
    problem_is $s->request(GET => 'me', @as), 401, 'unauthenticated',
        'and is signed out by that';
    problem_is $s->request(GET => $at, as => 'alice'), 404, 'not_found',
        'is no member any more';
    my $left = event('member.left');
    is $left->{actor}{id}, $erin->{user}{id}, 'left by themselves';
    is $left->{before}{role}, 'admin', 'as an admin';
    problem_is $s->request(POST => 'auth/login', at => 'acme', json => {
        email => 'erin@people.test', password => 'correct horse' }),
        401, 'invalid_credentials', 'can not sign in here';

    status_is invite('alice', 'erin@people.test', 'member'), 201,
        'may be invited again';
    $token = outbox('acme')->{'erin@people.test'};
    problem_is accept_it($token), 422, 'invalid_fields',
        'but the token alone is not enough for the account there is',
        '/password' => 'required';
    problem_is accept_it($token, name => 'Erin', password => 'not the one'),
        401, 'invalid_credentials', 'nor is any password';
    $r = accept_it($token, password => 'correct horse');
    status_is $r, 200, 'and joins with the account there is';
    is $r->json->{user}{id}, $erin->{user}{id}, 'the same person';
    is $r->json->{user}{name}, 'Erin', 'by the name they have';
};

subtest 'a member who is removed' => sub {
    my ($id, $bearer) = newcomer('rob', 'member');
    my ($other) = newcomer('rita', 'member');
    my @as = (at => 'acme', token => $bearer);
    problem_is $s->request(DELETE => "members/$other", @as), 403, 'forbidden',
        'a member removes nobody else';
    problem_is $s->request(DELETE => "members/$id", as => 'bob',
                           headers => ['If-Match' => '"9"']),
        412, 'precondition_failed', 'with a version gone by';
    status_is $s->request(GET => 'me', @as), 200, 'still there';
    my ($project) = map { $_->{id} } @{
        $s->request(GET => 'projects?limit=1', as => 'alice')->json->{data} };
    my $task = $s->request(POST => 'tasks', as => 'alice', json => {
        project_id => $project, title => 'for rob',
        assignee_id => $s->request(GET => 'me', @as)->json->{id} })->json;
    status_is $s->request(DELETE => "members/$id", as => 'bob'), 204,
        'removed by an admin';
    problem_is $s->request(GET => 'me', @as), 401, 'unauthenticated',
        'signed out at the next request';
    my $event = event('member.removed');
    is $event->{resource_id}, $id, 'the event: whom';
    is $event->{metadata}{role}, 'member', 'what they were';
    my $after = $s->request(GET => "tasks/$task->{id}", as => 'alice')->json;
    is_deeply $after, $task, 'their tasks stay as they are';
    problem_is $s->request(DELETE => "members/$id", as => 'bob'), 404,
        'not_found', 'a second time';
    status_is $s->request(DELETE => "members/$other", as => 'alice'), 204,
        'the other one too';
};

subtest 'someone of another tenant joins, and goes to and fro' => sub {
    status_is invite('bob', 'dave@globex.test', 'admin'), 201, 'invited';
    my $token = outbox('acme')->{'dave@globex.test'};
    $s->verify('dave@globex.test');

    my $failures = sub {
        return $s->psql('select coalesce(sum(failures), 0)
                           from tenon.login_attempt');
    };
    my $before = $failures->();
    problem_is accept_it($token, name => 'Dave'), 422, 'invalid_fields',
        'without a password', '/password' => 'required';
    is $failures->(), $before, 'is no failed sign-in';
    problem_is accept_it($token, password => 'not the one'), 401,
        'invalid_credentials', 'a password that is not theirs';
    is $failures->(), $before + 1, 'counts as a failed sign-in';
    is event('user.login')->{outcome}, 'failure',
        'and is in the log as one';
    my $r = accept_it($token, password => $s->password, name => 'Ignored');
    status_is $r, 200, 'the right one';
    is $r->json->{user}{name}, 'Dave', 'the name stays';
    is $r->json->{member}{role}, 'admin', 'an admin here';

    $r = $s->request(GET => 'me/tenants?sort=created_at', as => 'dave');
    is_deeply [map { "$_->{slug} $_->{role} $_->{status}" }
               @{ $r->json->{data} }],
        ['globex owner active', 'acme admin active'], 'me/tenants has both';
    is_deeply [sort keys %{ $r->json->{data}[0] }],
        [qw(created_at id name role slug status)], 'their members';
    is scalar @{ $s->request(GET => 'me/tenants', as => 'carol')
        ->json->{data} }, 1, 'others see their own';
    my $page = $s->request(GET => 'me/tenants?limit=1', as => 'dave')->json;
    is $page->{data}[0]{slug}, 'acme', 'in pages';
    is $s->request(GET => "me/tenants?limit=1&cursor=$page->{next_cursor}",
                   as => 'dave')->json->{data}[0]{slug}, 'globex',
        'one after the other';

    my $switch = sub {
        return $s->request(POST => 'auth/tenant', as => 'dave',
                           json => { tenant => $_[0],
                                     refresh_token => $s->proof('dave') });
    };
    $r = $switch->('acme');
    status_is $r, 200, 'auth/tenant';
    is_deeply [sort keys %{ $r->json }],
        [qw(access_token expires_in mfa_token refresh_token tenant
            token_type user)],
        'answers as login does';
    is $r->json->{tenant}{slug}, 'acme', 'with the other tenant';
    is $r->header('Cache-Control'), 'no-store', 'is never cached';
    my @there = (at => 'acme', token => $r->json->{access_token});
    is $s->request(GET => 'me', @there)->json->{role}, 'admin',
        'and its token is good on its host';
    is $s->request(GET => 'me', as => 'dave')->json->{role}, 'owner',
        'the old one stays good on its own';
    problem_is $s->request(GET => 'me', at => 'globex',
                           token => $r->json->{access_token}),
        403, 'tenant_mismatch', 'and only there';
    is $switch->($r->json->{tenant}{id})->{status}, 200, 'by id';
    is event('user.switched_tenant')->{actor}{id}, $r->json->{user}{id},
        'it is in the log of the tenant they came to';

    my @absent = map { $switch->($_) } 'umbrella', $nobody, 'ACME';
    problem_is $_, 422, 'invalid_fields', 'no tenant of theirs',
        '/tenant' => 'not_found' for @absent;
    problem_is $s->request(POST => 'auth/tenant', as => 'carol',
                           json => { tenant => 'globex',
                                     refresh_token => $s->proof('carol') }),
        422, 'invalid_fields', 'one that is there, but not theirs',
        '/tenant' => 'not_found';

    status_is $s->request(POST => 'auth/logout', @there), 204, 'logs out';
    problem_is $s->request(GET => 'me', @there), 401, 'unauthenticated',
        'of this tenant';
    problem_is $s->request(GET => 'me', as => 'dave'), 401, 'unauthenticated',
        'and of the other: it was one sign-in';
    delete $s->{token}{dave};

    problem_is invite('alice', 'dave@globex.test', 'member'), 409,
        'duplicate', 'a member is not invited again', '/email' => 'duplicate';
};

subtest 'an invitation is worth what its giver is' => sub {
    my ($id, $bearer) = newcomer('ada', 'admin');
    my @as = (at => 'acme', token => $bearer);
    for my $name (qw(one two three)) {
        status_is $s->request(POST => 'invitations', @as, json => {
            email => "$name\@worth.test", role => 'admin' }), 201,
            "$name is invited by ada";
    }
    my $token = outbox('acme');
    my %person = (name => 'X', password => 'correct horse');
    status_is accept_it($token->{'one@worth.test'}, %person), 200,
        'ada is an admin: one joins';
    $s->request(PATCH => "members/$id", as => 'alice',
                json => { role => 'member' });
    problem_is accept_it($token->{'two@worth.test'}, %person), 410,
        'secret_spent', 'ada is a member now: two can not become an admin';
    $s->request(DELETE => "members/$id", as => 'alice');
    problem_is accept_it($token->{'three@worth.test'}, %person), 410,
        'secret_spent', 'ada is gone: three can not join';
    is $s->psql("select count(*) from tenon.\"user\"
                  where email in ('two\@worth.test', 'three\@worth.test')"),
        0, 'and neither has an account';
};

subtest 'an account that is there first is not the invited one' => sub {
    status_is $s->request(POST => 'auth/signup', host => 'tenon.localhost',
                          json => {
        email => 'victim@corp.test', name => 'Mallory',
        password => 'mallory knows it',
        organization => { name => 'M', slug => 'mallory' } }), 201,
        'mallory signs up with an address that is not hers';
    invite('alice', 'victim@corp.test', 'admin');
    my $token = outbox('acme')->{'victim@corp.test'};
    problem_is accept_it($token, password => 'mallory knows it'), 422,
        'invalid_fields', 'what mallory knows is not asked for',
        '/name' => 'required';
    my $r = accept_it($token, name => 'Victim', password => 'correct horse');
    status_is $r, 200, 'who has the token is who reads the address';
    is $r->json->{user}{name}, 'Victim', 'and has the account';
    ok !login('victim@corp.test', password => 'mallory knows it', at => $_),
        "mallory is nobody at $_" for 'acme', 'mallory';
    ok login('victim@corp.test'), 'whose it is gets in';
};

subtest 'an invitation ends' => sub {
    invite('alice', 'late@people.test', 'member');
    my $token = outbox('acme')->{'late@people.test'};
    $s->psql("update tenon.invitation set expires_at = now()
               where email = 'late\@people.test'");
    problem_is accept_it($token, name => 'L', password => 'correct horse'),
        410, 'secret_spent', 'after a week';
    my $r = $s->request(GET => 'invitations?status=expired', as => 'alice');
    is_deeply [map { $_->{email} } @{ $r->json->{data} }],
        ['late@people.test'], 'is listed as expired';
    ok !outbox('acme')->{'late@people.test'}, 'and no longer in the outbox';
    status_is invite('alice', 'late@people.test', 'member'), 201,
        'the address may be invited anew';
    $r = $s->request(GET => 'invitations', as => 'alice');
    is scalar(grep { $_->{email} eq 'late@people.test' }
              @{ $r->json->{data} }), 1, 'and there is one to it';
    status_is accept_it(outbox('acme')->{'late@people.test'}, name => 'L',
                        password => 'correct horse'), 200, 'which is good';
    ($r) = map { $_->{id} } grep { $_->{email} eq 'late@people.test' }
        @{ $s->request(GET => 'invitations?status=accepted', as => 'alice')
             ->json->{data} };
    problem_is $s->request(DELETE => "invitations/$r", as => 'alice'), 409,
        'state_conflict', 'what was accepted can not be revoked';
};

subtest 'the same key, the same answer' => sub {
    my @key = (headers => ['Idempotency-Key' => 'people-1']);
    my $twice = sub {
        my ($name, $send) = @_;
        my ($first, $again) = ($send->(), $send->());
        is $again->{status}, $first->{status}, "$name: status";
        is $again->{body}, $first->{body}, "$name: body";
        is $again->header('Idempotency-Replayed'), 'true', "$name: replayed";
        return $first;
    };
    my $r = $twice->('invite', sub {
        invite('alice', 'key@people.test', 'member', @key) });
    status_is $r, 201, 'invited';
    my $token = outbox('acme')->{'key@people.test'};
    $r = $twice->('accept', sub {
        accept_it($token, name => 'Kim', password => 'correct horse', @key) });
    status_is $r, 200, 'accepted';
    my $id = $r->json->{member}{id};
    problem_is accept_it($token, name => 'Kit', password => 'correct horse',
                         @key),
        422, 'idempotency_mismatch', 'another body';
    problem_is accept_it($token, name => 'Kim', password => 'correct horse'),
        410, 'secret_spent', 'and no key, no answer';
    $twice->('change a role', sub {
        $s->request(PATCH => "members/$id", as => 'alice', @key,
                    json => { role => 'admin' }) });
    is $s->request(GET => "members/$id", as => 'alice')->json->{version}, 2,
        'changed once';
    $twice->('remove', sub {
        $s->request(DELETE => "members/$id", as => 'alice', @key) });
    $twice->('rename', sub {
        $s->request(PATCH => 'tenant', as => 'alice', @key,
                    json => { name => 'Acme Inc.' }) });
};

subtest 'the last owner stays' => sub {
    my $at = "members/$member{alice}";
    for my $role (qw(admin member)) {
        problem_is $s->request(PATCH => $at, as => 'alice',
                               json => { role => $role }),
            409, 'last_owner', "can not become $role";
    }
    problem_is $s->request(DELETE => $at, as => 'alice'), 409, 'last_owner',
        'can not leave';
    status_is $s->request(PATCH => $at, as => 'alice',
                          json => { role => 'owner' }), 200,
        'can stay an owner';

    my ($id, $bearer) = newcomer('olga', 'owner');
    status_is $s->request(PATCH => $at, as => 'alice',
                          json => { role => 'admin' }), 200,
        'with another one there, ownership passes';
    problem_is $s->request(PATCH => "members/$id", as => 'alice',
                           json => { role => 'admin' }),
        403, 'forbidden', 'and can not be taken back';
    problem_is $s->request(DELETE => "members/$id", at => 'acme',
                           token => $bearer),
        409, 'last_owner', 'the new one is the last now';
    status_is $s->request(PATCH => $at, at => 'acme', token => $bearer,
                          json => { role => 'owner' }), 200,
        'and makes the old one an owner again';
    status_is $s->request(DELETE => "members/$id", at => 'acme',
                          token => $bearer), 204, 'then may leave';
};

# Two connections, each with a worker of its own, so that their statements
# meet in the database.
my @two = map {
    my $pid = $_;
    $s->alone($pid, sub {
        my $c = $s->connect;
        $c->write($s->bytes(GET => 'me', as => 'alice'));
        $c->response;
        $c;
    });
} ($s->workers)[0, 1];

sub both {
    my (@requests) = @_;
    $two[$_]->write($requests[$_]) for 0, 1;
    return map { $_->response } @two;
}

subtest 'two owners in a hurry, ' . ROUNDS . ' times' => sub {
    my ($id, $bearer) = newcomer('otto', 'owner');
    my %as = (alice => [as => 'alice'],
              otto => [at => 'acme', token => $bearer]);
    my %id = (alice => $member{alice}, otto => $id);
    my (%seen, @wrong);

    for my $round (1 .. ROUNDS) {
        my @verb = $round % 3 ? (PATCH => { role => 'admin' })
                              : (PATCH => { role => 'member' });
        my ($a, $o) = both(
            $s->bytes($verb[0], "members/$id{otto}", @{ $as{alice} },
                      json => $verb[1]),
            $s->bytes($verb[0], "members/$id{alice}", @{ $as{otto} },
                      json => $verb[1]),
        );
        my $status = join ' ', sort $a->{status}, $o->{status};
        $seen{$status}++;
        push @wrong, "round $round: $status" if $status !~ /^200 40[39]$/;
        my @owners = grep { role_of($id{$_}) eq 'owner' } qw(alice otto);
        push @wrong, "round $round: owners: @owners" if @owners != 1;
        last if !@owners;
        my ($other) = grep { $_ ne $owners[0] } qw(alice otto);
        $s->request(PATCH => "members/$id{$other}", @{ $as{ $owners[0] } },
                    json => { role => 'owner' });
    }
    is_deeply \@wrong, [], 'one owner remains, every time';
    note join ', ', map { "$_: $seen{$_}" } sort keys %seen;

    (%seen, @wrong) = ();
    for my $round (1 .. ROUNDS) {
        my @r = both(map {
            $s->bytes(PATCH => "members/$id{$_}", @{ $as{$_} },
                      json => { role => 'admin' })
        } qw(alice otto));
        my $status = join ' ', sort map { $_->{status} } @r;
        $seen{$status}++;
        push @wrong, "round $round: $status" if $status ne '200 409';
        my @owners = grep { role_of($id{$_}) eq 'owner' } qw(alice otto);
        push @wrong, "round $round: owners: @owners" if @owners != 1;
        last if !@owners;
        my ($other) = grep { $_ ne $owners[0] } qw(alice otto);
        $s->request(PATCH => "members/$id{$other}", @{ $as{ $owners[0] } },
                    json => { role => 'owner' });
    }
    is_deeply \@wrong, [], 'nor do both step down at once';
    note join ', ', map { "$_: $seen{$_}" } sort keys %seen;

    my ($a, $o) = both($s->bytes(DELETE => "members/$id{otto}",
                                 @{ $as{alice} }),
                       $s->bytes(DELETE => "members/$id{otto}",
                                 @{ $as{otto} }));
    like join(' ', sort map { $_->{status} } $a, $o), qr/^204 40[14]$/,
        'removed and leaving at once: it happens once';
};

subtest 'two accept one invitation at once' => sub {
    my @wrong;
    for my $round (1 .. 10) {
        my $email = "twin$round\@people.test";
        invite('alice', $email, 'member');
        my $token = outbox('acme')->{$email};
        my @r = both(map {
            $s->bytes(POST => 'invitations/accept', at => 'acme', json => {
                token => $token, name => "Twin $_",
                password => 'correct horse' })
        } 1, 2);
        my $status = join ' ', sort map { $_->{status} } @r;
        my $members = $s->psql(
            "select count(*) from tenon.member m
               join tenon.\"user\" u on u.id = m.user_id
              where u.email = '$email'");
        push @wrong, "round $round: $status, $members members"
            if $status ne '200 410' || $members != 1;
    }
    is_deeply \@wrong, [], 'one joins, the other is too late';

    my @invited = both(map {
        $s->bytes(POST => 'invitations', as => $_, json => {
            email => 'both@people.test', role => 'member' })
    } 'alice', 'bob');
    is join(' ', sort map { $_->{status} } @invited), '201 409',
        'two invite one address at once: it is invited once';
    my ($second) = grep { $_->{status} == 409 } @invited;
    problem_is $second, 409, 'duplicate', 'the other is told',
        '/email' => 'duplicate';

    my @made = both(map {
        $s->bytes(POST => 'tenants', as => 'bob', proven => 1, json => {
            name => 'Twice', slug => 'twice' },
            headers => ['Idempotency-Key' => 'twice'])
    } 1, 2);
    ok !(grep { $_->{status} !~ /^(?:201|409)$/ } @made),
        'one key, two requests at once: ' .
        join ' ', map { $_->{status} } @made;
    is $s->psql("select count(*) from tenon.tenant where slug = 'twice'"), 1,
        'make one tenant';

    my $email = 'shared@people.test';
    invite($_, $email, 'member') for 'alice', 'dave';
    my @r = both(map {
        $s->bytes(POST => 'invitations/accept', at => $_, json => {
            token => outbox($_)->{$email}, name => 'Shared',
            password => 'correct horse' })
    } 'acme', 'globex');
    my ($late) = grep { $_->{status} != 200 } @r;
    is scalar(grep { $_->{status} == 200 } @r) + ($late ? 1 : 0), 2,
        'two tenants invite one address: at least one joins at once';
    problem_is $late, 409, 'email_taken', 'the other is told to try again'
        if $late && $late->{status} == 409;
    is $s->psql("select count(*) from tenon.\"user\" where email = '$email'"),
        1, 'there is one account';
};

subtest 'the tenant' => sub {
    my $r = $s->request(GET => 'tenant', as => 'alice');
    my $v = $r->json->{version};
    $r = $s->request(PATCH => 'tenant', as => 'alice',
                     json => { name => 'Acme Ltd.' },
                     headers => ['If-Match' => qq("$v")]);
    status_is $r, 200, 'is renamed';
    is "$r->{json}{name} $r->{json}{slug}", 'Acme Ltd. acme', 'the slug stays'
        if $r->json;
    is $r->header('ETag'), '"' . ($v + 1) . '"', 'one version on';
    problem_is $s->request(PATCH => 'tenant', as => 'alice',
                           json => { name => 'Lost' },
                           headers => ['If-Match' => qq("$v")]),
        412, 'precondition_failed', 'a version gone by';
    is $s->request(PATCH => 'tenant', as => 'alice', json => {})
        ->json->{version}, $v + 1, 'an empty patch changes nothing';
    problem_is $s->request(PATCH => 'tenant', as => 'alice', json => {
        slug => 'other', name => '', tenant_id => $nobody }),
        422, 'invalid_fields', 'what can not be', '/slug' => 'read_only',
        '/name' => 'too_short', '/tenant_id' => 'read_only';
    my $event = event('tenant.updated');
    is "$event->{before}{name} -> $event->{after}{name}",
        'Acme Inc. -> Acme Ltd.', 'the event has both names';
};

subtest 'further tenants, and their end' => sub {
    my $make = sub {
        my ($name, $slug, @key) = @_;
        return $s->request(POST => 'tenants', as => 'carol', proven => 1,
                           json => { name => $name, slug => $slug },
                           @key ? (headers => \@key) : ());
    };
    my @key = ('Idempotency-Key' => 'carols-own');
    my ($first, $again) = map { $make->('Carols', 'carols', @key) } 1, 2;
    status_is $first, 201, 'anybody makes one';
    is $first->header($_), undef, "no $_: it is another host's"
        for qw(Location ETag);
    is $again->{body}, $first->{body}, 'the same key makes no second';
    is $again->header('Idempotency-Replayed'), 'true', 'but tells the first';
    is $s->psql("select count(*) from tenon.tenant where name = 'Carols'"), 1,
        'there is one';
    problem_is $make->('Others', 'other', @key), 422, 'idempotency_mismatch',
        'another body';
    problem_is $make->('Carols', 'carols'), 409, 'slug_taken',
        'a slug that is taken', '/slug' => 'duplicate';
    problem_is $make->('Carols', $_), 422, 'invalid_fields',
        "a reserved one: $_", '/slug' => 'not_in_set' for qw(www wpad);
    problem_is $make->('', 'No Slug'), 422, 'invalid_fields', 'nonsense',
        '/name' => 'too_short', '/slug' => 'bad_format';
    problem_is $s->request(POST => 'tenants', at => 'acme', json => {}), 401,
        'unauthenticated', 'a stranger makes none';

    my $session = $s->request(POST => 'auth/tenant', as => 'carol',
                              json => { tenant => 'carols', refresh_token =>
                                        $s->proof('carol') })->json;
    my @as = (at => 'carols', token => $session->{access_token});
    is $s->request(GET => 'me', @as)->json->{role}, 'owner',
        'who makes it owns it';
    my @actions = map { $_->{action} }
        @{ $s->request(GET => 'audit/events?sort=at', @as)->json->{data} };
    is_deeply [sort @actions[0, 1]], ['member.created', 'tenant.created'],
        'its log begins with it';
    is_deeply [map { $_->{slug} } @{ $s->request(
        GET => 'me/tenants', @as)->json->{data} }], ['carols', 'acme'],
        'me/tenants lists it';

    my $second = login('carol@acme.test', at => 'carols',
                       password => $s->password);
    status_is $s->request(GET => 'me', at => 'carols', token => $second), 200,
        'a second session';
    problem_is $s->request(DELETE => 'tenant', @as,
                           headers => ['If-Match' => '"7"']),
        412, 'precondition_failed', 'deleted with a version gone by';
    status_is $s->request(DELETE => 'tenant', @as,
                          headers => ['If-Match' => '"1"']), 204, 'deleted';
    for my $bearer ($session->{access_token}, $second) {
        problem_is $s->request(GET => 'me', host => 'tenon.localhost',
                               token => $bearer), 401, 'unauthenticated',
            'its sessions are dead at the next request';
        problem_is $s->request(GET => 'me', at => 'carols', token => $bearer),
            404, 'tenant_unknown', 'and its host names nothing';
    }
    is_deeply [map { $_->{slug} } @{ $s->request(
        GET => 'me/tenants', as => 'carol')->json->{data} }], ['acme'],
        'me/tenants no longer lists it';
    problem_is $s->request(POST => 'auth/tenant', as => 'carol',
                           json => { tenant => 'carols',
                                     refresh_token => $s->proof('carol') }),
        422, 'invalid_fields', 'there is no way there',
        '/tenant' => 'not_found';
    problem_is $make->('Carols', 'carols'), 409, 'slug_taken',
        'and the slug stays taken', '/slug' => 'duplicate';
    is $s->psql("select metadata ->> 'sessions' from tenon.event e
                   join tenon.event_body b on b.event_id = e.id
                  where e.action = 'tenant.deleted'
                    and e.outcome = 'success'"), 2,
        'the event counts the sessions it ended';
};

subtest 'the access review' => sub {
    my $r = $s->request(GET => 'audit/access?role=admin,owner&sort=created_at',
                        as => 'bob');
    status_is $r, 200, 'is there for admins';
    my ($alice) = grep { $_->{email} eq 'alice@acme.test' }
        @{ $r->json->{data} };
    is_deeply [sort keys %$alice],
        [qw(created_at email granted_at granted_by id name permissions role
            user_id)], 'its members';
    is_deeply [grep { $_->{permission} eq 'tenon.tenant:delete' }
               @{ $alice->{permissions} }],
        [{ permission => 'tenon.tenant:delete', scope => 'tenant' }],
        'what an owner may';
    my ($dave) = grep { $_->{email} eq 'dave@globex.test' }
        @{ $r->json->{data} };
    is $dave->{role}, 'admin', 'who came from elsewhere is in it';
    my $carol = $s->request(GET => "audit/access?user_id=" .
        $s->request(GET => 'me', as => 'carol')->json->{id}, as => 'bob')
        ->json->{data}[0];
    is_deeply [map { $_->{scope} } grep {
        $_->{permission} eq 'tenon.member:delete' } @{ $carol->{permissions} }],
        ['own'], 'a member may leave';
};

subtest 'the outbox' => sub {
    invite('alice', 'last@people.test', 'member');
    my $lines = $s->shell('build/bin/tenonctl outbox --tenant acme');
    my ($line) = grep { /last\@people/ } split /\n/, $lines;
    like $line, qr/^acme +invitation +last\@people\.test +member +[0-9TZ:-]+ +\S{86}$/,
        'has a line for each';
    like $s->shell('build/bin/tenonctl outbox --tenant none 2>&1 || true'),
        qr/there is no tenant "none"/, 'knows whom there is not';
    is_deeply JSON::PP::decode_json($s->shell(
        'build/bin/tenonctl outbox --json --tenant acme')),
        JSON::PP::decode_json($s->shell(
        'build/bin/tenonctl outbox --json --tenant acme --secret - '
        . '--database "$owner_db" < "$var/keys/secret.key"')),
        'takes key and database where it is told to';
};

done_testing;
