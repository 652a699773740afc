#!/usr/bin/perl

# TeamOS end to end, as its product document asks (rows T1 to T18 of what this
# version serves), by a client that knows the contract alone: HTTP, and the
# outbox where an invitation's secret lies until there is mail.

use strict;
use utf8;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $hex = qr{[0-9a-f]};
my $uuid = qr{\A$hex{8}-$hex{4}-7$hex{3}-[89ab]$hex{3}-$hex{12}\z};
my $time = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z\z/;
my $nobody = '01900000-7777-7000-8000-0123456789ab';
my $password = 'correct horse battery';

# The members of each answer, exactly.
my %shape = (
    me         => [qw(api_key email email_verified id impersonated mfa_enabled
                      name permissions recovery_codes_left role tenant)],
    member     => [qw(created_at email id name role user_id version)],
    invitation => [qw(created_at email expires_at id invited_by role status
                      version)],
    event      => [qw(action actor after at before id ip metadata outcome
                      request_id resource resource_id user_agent version)],
    actor      => [qw(id impersonator type)],
    project    => [qw(created_at created_by id name updated_at version)],
    task       => [qw(assignee_id created_at created_by id priority
                      project_id status title updated_at version)],
    comment    => [qw(content created_at created_by id task_id updated_at
                      version)],
    login      => [qw(access_token expires_in mfa_token refresh_token tenant
                      token_type user)],
    membership => [qw(created_at id name role slug status)],
    access     => [qw(created_at email granted_at granted_by id name
                      permissions role user_id)],
);

sub shape_is {
    my ($row, $shape, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply [sort keys %$row], $shape{$shape}, $name;
}

# Who is signed in where: name => [slug, token].
my (%token, %proof);
sub as {
    my ($who, $method, $path, %o) = @_;
    my ($slug, $token) = @{ $token{$who} || die "who is $who?\n" };
    return $s->request($method, $path, at => $slug, token => $token, %o);
}

sub log_in {
    my ($who, $slug) = @_;
    my $r = $s->request(POST => 'auth/login', at => $slug, json => {
        email => "$who\@initech.test", password => $password });
    if ($r->{status} == 200) {
        $token{$who} = [$slug, $r->json->{access_token}];
        $proof{$who} = $r->json->{refresh_token};
    }
    return $r;
}

sub rows { return @{ $_[0]->json->{data} } }

# Every row of a list, through all its pages.
sub all {
    my ($who, $path) = @_;
    my @rows;
    while (defined $path) {
        my $r = as($who, GET => $path);
        die "$path: $r->{status} $r->{body}\n" if $r->{status} != 200;
        push @rows, rows($r);
        ($path) = map { /\A<(.*)>; rel="next"\z/ } $r->headers('Link');
    }
    return @rows;
}

sub events {
    my ($query) = @_;
    return all('peter', "audit/events?limit=100&$query");
}

sub member_of {
    my ($who) = @_;
    return (grep { $_->{email} eq "$who\@initech.test" }
            all('peter', 'members'))[0];
}

subtest 'T1 sign-up, login, sessions' => sub {
    my $r = $s->request(POST => 'auth/signup', host => 'tenon.localhost',
        json => { email => 'peter@initech.test', password => $password,
                  name => 'Peter',
                  organization => { name => 'Initech', slug => 'initech' } });
    status_is $r, 201, 'POST auth/signup';
    is_deeply [sort keys %{ $r->json }], [qw(tenant user)], 'answers both';
    is_deeply [@{ $r->json->{user} }{qw(email name)}],
        ['peter@initech.test', 'Peter'], 'user';
    is $r->json->{tenant}{slug}, 'initech', 'tenant';
    like $r->json->{$_}{id}, $uuid, "$_ has an id" for qw(user tenant);

    $r = log_in('peter', 'initech');
    status_is $r, 200, 'POST auth/login';
    shape_is $r->json, 'login', 'its members';
    is $r->json->{token_type}, 'Bearer', 'a bearer token';
    like $r->json->{refresh_token}, qr/\Atnr_/, 'with a refresh token';
    like $r->json->{expires_in}, qr/\A[1-9]\d*\z/, 'expires_in';
    is $r->header('Cache-Control'), 'no-store', 'kept nowhere';

    $r = as('peter', GET => 'me');
    status_is $r, 200, 'GET me';
    shape_is $r->json, 'me', 'its members';
    is_deeply [@{ $r->json }{qw(email name role)}],
        ['peter@initech.test', 'Peter', 'owner'], 'the owner';
    is $r->json->{tenant}{slug}, 'initech', 'of the organization';

    my ($slug, $first) = @{ $token{peter} };
    log_in('peter', 'initech');
    status_is $s->request(GET => 'me', at => $slug, token => $first), 200,
        'two sessions at once';
    status_is $s->request(POST => 'auth/logout', at => $slug, token => $first),
        204, 'POST auth/logout';
    problem_is $s->request(GET => 'me', at => $slug, token => $first), 401,
        'unauthenticated', 'ends this session';
    status_is as('peter', GET => 'me'), 200, 'and no other';
};

my %joined;

subtest 'T3 members: invite, change role, remove' => sub {
    for my $case ([bill => 'admin'], [milton => 'member'],
                  [samir => 'member']) {
        my ($who, $role) = @$case;
        my $email = "$who\@initech.test";
        my $r = as('peter', POST => 'invitations', json => {
            email => $email, role => $role });
        status_is $r, 201, "$who is invited";
        my $invitation = $r->json;
        shape_is $invitation, 'invitation', 'its members';
        is_deeply [@$invitation{qw(email role status version)}],
            [$email, $role, 'pending', 1], 'what was asked for';
        is $invitation->{invited_by}, as('peter', GET => 'me')->json->{id},
            'invited by';
        like $invitation->{$_}, $time, $_ for qw(created_at expires_at);
        is $r->header('Location'), "/api/v1/invitations/$invitation->{id}",
            'Location';
        is $r->header('ETag'), '"1"', 'ETag';
        unlike $r->{body}, qr/token/, 'the secret is not told';
        is_deeply as('peter', GET => "invitations/$invitation->{id}")->json,
            $invitation, 'GET invitations/{id}';

        problem_is as('peter', POST => 'invitations', json => {
                          email => "\u$email", role => $role }),
            409, 'duplicate', 'once', '/email' => 'duplicate';

        my $token = $s->mailed($email);
        my %accept = (token => $token, name => "\u$who",
                      password => $password);
        problem_is $s->request(POST => 'invitations/accept',
                               host => 'tenon.localhost',
                               json => { token => $token }),
            422, 'invalid_fields', 'who is new says more',
            '/name' => 'required', '/password' => 'required';
        $r = $s->request(POST => 'invitations/accept',
                         host => 'tenon.localhost', json => \%accept);
        status_is $r, 200, "$who accepts";
        is_deeply [sort keys %{ $r->json }], [qw(member tenant user)],
            'answers all three';
        shape_is $r->json->{member}, 'member', 'the membership';
        is_deeply [@{ $r->json->{member} }{qw(email name role)}],
            [$email, "\u$who", $role], 'is as invited';
        is $r->json->{member}{user_id}, $r->json->{user}{id}, 'of the user';
        is $r->json->{tenant}{slug}, 'initech', 'in the organization';
        problem_is $s->request(POST => 'invitations/accept',
                               host => 'tenon.localhost', json => \%accept),
            410, 'secret_spent', 'a secret serves once';
        is as('peter', GET => "invitations/$invitation->{id}")
             ->json->{status}, 'accepted', 'then it is accepted';
        status_is log_in($who, 'initech'), 200, "$who logs in";
        $joined{$who} = $r->json->{member};
    }

    my $r = as('peter', GET => 'members');
    status_is $r, 200, 'GET members';
    shape_is $_, 'member', "$_->{name}: members" for rows($r);
    is_deeply [map { "$_->{name} $_->{role}" } rows($r)],
        ['Samir member', 'Milton member', 'Bill admin', 'Peter owner'],
        'newest first';
    is_deeply [map { $_->{name} } all('peter', 'members?role=member')],
        [qw(Samir Milton)], 'filtered by role';

    my $at = "members/$joined{samir}{id}";
    $r = as('peter', GET => $at);
    status_is $r, 200, 'GET members/{id}';
    is_deeply $r->json, $joined{samir}, 'what the invitation answered';
    is $r->header('ETag'), '"1"', 'ETag';
    problem_is as('peter', PATCH => $at, json => { role => 'admin' },
                  headers => ['If-Match' => '"9"']),
        412, 'precondition_failed', 'PATCH of a version that is none';
    $r = as('peter', PATCH => $at, json => { role => 'admin' },
            headers => ['If-Match' => '"1"']);
    status_is $r, 200, 'PATCH members/{id}';
    is_deeply [@{ $r->json }{qw(role version)}], ['admin', 2], 'is an admin';
    status_is as('samir', GET => 'audit/events?limit=1'), 200,
        'at the next request';
    $r = as('peter', PATCH => $at, json => { role => 'member' });
    status_is $r, 200, 'and back';
    problem_is as('samir', GET => 'audit/events?limit=1'), 403, 'forbidden',
        'at the next request too';
    problem_is as('peter', PATCH => $at, json => { role => 'king' }),
        422, 'invalid_fields', 'not into a role that is none',
        '/role' => 'not_in_set';

    status_is as('peter', DELETE => $at), 204, 'DELETE members/{id}';
    like as('samir', GET => 'me')->{status}, qr/\A40[13]\z/,
        'is out at the next request';
    problem_is as('peter', GET => $at), 404, 'not_found', 'and no member';
    problem_is log_in('samir', 'initech'), 401, 'invalid_credentials',
        'nor can log in';
    is scalar(grep { $_->{id} eq $joined{samir}{id} }
              all('peter', 'members')), 0, 'nor is listed';
};

subtest 'T3 the last owner stays' => sub {
    my $at = 'members/' . member_of('peter')->{id};
    problem_is as('peter', DELETE => $at), 409, 'last_owner',
        'can not leave';
    problem_is as('peter', PATCH => $at, json => { role => 'admin' }), 409,
        'last_owner', 'nor be demoted';

    my $bill = "members/$joined{bill}{id}";
    problem_is as('bill', PATCH => $bill, json => { role => 'owner' }), 403,
        'forbidden', 'nobody gives more than they have';
    problem_is as('bill', PATCH => $at, json => { role => 'member' }), 403,
        'forbidden', 'nor takes it from who has more';
    problem_is as('bill', DELETE => $at), 403, 'forbidden',
        'nor removes them';
    problem_is as('bill', POST => 'invitations', json => {
                      email => 'bob@initech.test', role => 'owner' }),
        403, 'forbidden', 'nor invites above';

    status_is as('peter', PATCH => $bill, json => { role => 'owner' }), 200,
        'with a second owner';
    status_is as('peter', PATCH => $at, json => { role => 'admin' }), 200,
        'the first may go down';
    problem_is as('peter', PATCH => $at, json => { role => 'owner' }), 403,
        'forbidden', 'and not up again by himself';
    status_is as('bill', PATCH => $at, json => { role => 'owner' }), 200,
        'but by the other';
    status_is as('peter', PATCH => $bill, json => { role => 'admin' }), 200,
        'who goes back';
};

my %project;

subtest 'T2 organizations: create, select, delete' => sub {
    my $r = as('peter', GET => 'tenant');
    status_is $r, 200, 'GET tenant';
    my $tenant = $r->json;
    for my $member (qw(id name slug version created_at created_by
                       updated_at)) {
        ok exists $tenant->{$member}, "tenant has $member";
    }
    is $r->header('ETag'), qq("$tenant->{version}"), 'ETag';
    $r = as('peter', PATCH => 'tenant', json => { name => 'Initech Ltd.' });
    status_is $r, 200, 'PATCH tenant';
    is_deeply [@{ $r->json }{qw(name slug version)}],
        ['Initech Ltd.', 'initech', $tenant->{version} + 1], 'is renamed';
    problem_is as('peter', PATCH => 'tenant', json => { slug => 'initrode' }),
        422, 'invalid_fields', 'the slug stays', '/slug' => 'read_only';

    $r = as('peter', POST => 'tenants', json => {
        name => 'Penetrode', slug => 'penetrode',
        refresh_token => $proof{peter} });
    status_is $r, 201, 'POST tenants';
    is $r->json->{slug}, 'penetrode', 'is a second organization';
    my $second = $r->json->{id};
    like $second, $uuid, 'with an id';
    problem_is as('peter', POST => 'tenants', json => {
                      name => 'P', slug => 'penetrode',
                      refresh_token => $proof{peter} }),
        409, 'slug_taken', 'a slug is taken once', '/slug' => 'duplicate';

    my @mine = all('peter', 'me/tenants');
    shape_is $_, 'membership', "me/tenants: $_->{slug}" for @mine;
    is_deeply [sort map { "$_->{slug} $_->{role}" } @mine],
        ['initech owner', 'penetrode owner'], 'GET me/tenants';
    is_deeply [map { "$_->{slug} $_->{role}" } all('milton', 'me/tenants')],
        ['initech member'], 'tells each person their own';

    $r = as('peter', POST => 'auth/tenant', json => {
        tenant => 'penetrode', refresh_token => $proof{peter} });
    status_is $r, 200, 'POST auth/tenant, by slug';
    shape_is $r->json, 'login', 'answers as login does';
    is $r->json->{tenant}{id}, $second, 'with the other organization';
    is $r->header('Cache-Control'), 'no-store', 'kept nowhere';
    $token{there} = ['penetrode', $r->json->{access_token}];
    $proof{there} = $r->json->{refresh_token};

    $r = $s->request(GET => 'tenant', host => 'tenon.localhost',
                     token => $token{there}[1]);
    is $r->json->{slug}, 'penetrode', 'the token alone names it';
    is as('there', GET => 'me')->json->{role}, 'owner', 'on its host too';
    problem_is $s->request(GET => 'me', at => 'initech',
                           token => $token{there}[1]),
        403, 'tenant_mismatch', 'but no other organization';
    is scalar(all('there', 'projects')), 0, 'it is empty';

    $r = as('there', POST => 'auth/tenant',
            json => { tenant => $tenant->{id},
                      refresh_token => $proof{there} });
    status_is $r, 200, 'POST auth/tenant, by id';
    is $r->json->{tenant}{slug}, 'initech', 'and back';
    $token{peter} = ['initech', $r->json->{access_token}];
    $proof{peter} = $r->json->{refresh_token};
    for my $elsewhere ('acme', 'nowhere', $nobody) {
        problem_is as('peter', POST => 'auth/tenant',
                      json => { tenant => $elsewhere,
                                refresh_token => $proof{peter} }),
            422, 'invalid_fields', "not to $elsewhere",
            '/tenant' => 'not_found';
    }

    # What is selected lasts until the next login, and dies with it.
    my $r2 = $s->request(POST => 'auth/login', at => 'penetrode', json => {
        email => 'peter@initech.test', password => $password });
    status_is $r2, 200, 'login there';
    $token{there} = ['penetrode', $r2->json->{access_token}];
    my $also = $s->request(POST => 'auth/login', at => 'penetrode', json => {
        email => 'peter@initech.test', password => $password });
    $token{also} = ['penetrode', $also->json->{access_token}];
    status_is as('also', GET => 'me'), 200, 'twice';

    problem_is as('milton', DELETE => 'tenant'), 403, 'forbidden',
        'DELETE tenant is not for members';
    problem_is as('bill', DELETE => 'tenant'), 403, 'forbidden',
        'nor for admins';
    status_is as('there', DELETE => 'tenant'), 204, 'DELETE tenant, the owner';
    problem_is as('there', GET => 'me'), 404, 'tenant_unknown',
        'it is gone at the next request';
    problem_is as('also', GET => 'me'), 404, 'tenant_unknown',
        'for every session';
    my $by_token = $s->request(GET => 'me', host => 'tenon.localhost',
                               token => $token{also}[1]);
    ok $by_token->{status} =~ /\A40[134]\z/, 'named by the token alone too'
        or diag $by_token->{body};
    problem_is $s->request(POST => 'auth/login', at => 'penetrode', json => {
                   email => 'peter@initech.test', password => $password }),
        404, 'tenant_unknown', 'and for logins';
    is_deeply [map { $_->{slug} } all('peter', 'me/tenants')], ['initech'],
        'me/tenants has lost it';
    problem_is as('peter', POST => 'auth/tenant',
                  json => { tenant => 'penetrode',
                            refresh_token => $proof{peter} }),
        422, 'invalid_fields', 'nobody goes back', '/tenant' => 'not_found';
    problem_is as('peter', POST => 'tenants', json => {
                      name => 'P', slug => 'penetrode',
                      refresh_token => $proof{peter} }),
        409, 'slug_taken', 'its slug stays taken', '/slug' => 'duplicate';
};

my (%task, %comment);

subtest 'T4 projects, tasks, comments' => sub {
    my $r = as('milton', POST => 'projects', json => { name => 'Y2K' });
    status_is $r, 201, 'POST projects, by a member';
    %project = %{ $r->json };
    shape_is \%project, 'project', 'its members';
    is $r->header('Location'), "/api/v1/projects/$project{id}", 'Location';
    is $r->header('ETag'), '"1"', 'ETag';

    $r = as('milton', POST => 'tasks', json => {
        project_id => $project{id}, title => 'Find my stapler' });
    status_is $r, 201, 'POST tasks';
    %task = %{ $r->json };
    shape_is \%task, 'task', 'its members';
    is_deeply [@task{qw(priority status assignee_id)}],
        ['medium', 'todo', undef], 'defaults';

    $r = as('milton', PATCH => "tasks/$task{id}", json => {
        priority => 'urgent', status => 'in_progress',
        assignee_id => $joined{milton}{user_id} });
    status_is $r, 200, 'PATCH tasks/{id}';
    is_deeply [@{ $r->json }{qw(priority status assignee_id title version)}],
        ['urgent', 'in_progress', $joined{milton}{user_id},
         'Find my stapler', 2], 'what was given, and nothing else';
    problem_is as('peter', POST => 'tasks', json => {
                      project_id => $project{id}, title => 'x',
                      priority => 'HIGH' }),
        422, 'invalid_fields', 'a priority that is none',
        '/priority' => 'not_in_set';

    $r = as('milton', POST => 'comments', json => {
        task_id => $task{id}, content => 'It is the red one.' });
    status_is $r, 201, 'POST comments';
    %comment = %{ $r->json };
    shape_is \%comment, 'comment', 'its members';
    is_deeply [map { $_->{id} } all('bill', "tasks/$task{id}/comments")],
        [$comment{id}], 'GET tasks/{id}/comments';
    is_deeply [map { $_->{id} } all('bill', "comments?task_id=$task{id}")],
        [$comment{id}], 'the same by filter';
    is_deeply [map { $_->{id} } all('bill', "projects/$project{id}/tasks")],
        [$task{id}], 'GET projects/{id}/tasks';

    status_is as('milton', DELETE => "tasks/$task{id}"), 204, 'DELETE';
    problem_is as('peter', GET => "tasks/$task{id}"), 404, 'not_found',
        'gone by id';
    is scalar(all('peter', 'tasks')), 0, 'and from the list';
    problem_is as('peter', PATCH => "comments/$comment{id}",
                  json => { content => 'x' }),
        409, 'state_conflict', 'what belongs to it can not be changed';
    $r = as('peter', POST => "tasks/$task{id}/restore");
    status_is $r, 200, 'POST tasks/{id}/restore';
    is $r->json->{title}, 'Find my stapler', 'as it was';
    is $r->header('ETag'), qq("$r->{json}{version}"), 'with its ETag';
    problem_is as('peter', POST => "tasks/$task{id}/restore"), 409,
        'state_conflict', 'only what is deleted';

    $r = as('peter', GET => "tasks/$task{id}/history");
    status_is $r, 200, 'GET tasks/{id}/history';
    is_deeply [map { $_->{action} } rows($r)],
        [qw(task.restored task.deleted task.updated task.created)],
        'newest first';
    shape_is $_, 'event', "$_->{action} is an event" for rows($r);
    $r = as('peter', POST => "tasks/$task{id}/rollback",
            json => { version => 1 });
    status_is $r, 200, 'POST tasks/{id}/rollback';
    is_deeply [@{ $r->json }{qw(status priority assignee_id)}],
        ['todo', 'medium', undef], 'as it was made';
};

subtest 'T8 audit: who did what' => sub {
    my $peter = as('peter', GET => 'me')->json->{id};
    my %who = (peter => $peter,
               map { $_ => $joined{$_}{user_id} } keys %joined);
    my $one = sub {
        my ($query, $name) = @_;
        my @events = events($query);
        ok scalar @events, $name;
        shape_is $events[0], 'event', "$name: its members" if @events;
        return $events[0] || {};
    };

    my $event = $one->("action=task.created&resource_id=$task{id}",
                       'task.created');
    shape_is $event->{actor}, 'actor', 'the actor';
    is_deeply $event->{actor}, { type => 'user', id => $who{milton},
                                 impersonator => undef }, 'is who did it';
    is_deeply [@$event{qw(outcome resource version)}],
        ['success', 'teamos.task', 1], 'what it was';
    is_deeply [$event->{before}, $event->{after}{title}],
        [undef, 'Find my stapler'], 'before and after';
    is $event->{ip}, '127.0.0.1', 'from where';

    $event = $one->('action=member.invited&outcome=success', 'member.invited');
    is $event->{actor}{id}, $peter, 'by whom';
    is_deeply [@{ $event->{metadata} }{qw(email role)}],
        ['samir@initech.test', 'member'], 'whom, as what';
    is $one->('action=member.joined', 'member.joined')->{actor}{id},
        $who{samir}, 'by the one who joined';
    $event = $one->('action=member.role_changed', 'member.role_changed');
    ok exists $event->{metadata}{$_}, "from what to what: $_"
        for qw(from to);
    $one->("action=$_", $_)
        for qw(member.removed tenant.updated task.deleted task.restored
               task.rolled_back comment.created project.created);

    # Failed and refused attempts too.
    $s->request(POST => 'auth/login', at => 'initech', json => {
        email => 'milton@initech.test', password => 'wrong horse' });
    $event = $one->('outcome=failure', 'a failed login');
    is $event->{actor}{type}, 'anonymous', 'by nobody known';

    problem_is as('milton', DELETE => 'tenant'), 403, 'forbidden',
        'milton tries to delete it all';
    $event = $one->('outcome=refused', 'a refused attempt');
    is_deeply [$event->{actor}{id}, $event->{action}],
        [$who{milton}, 'tenant.deleted'], 'who tried what';

    is_deeply [map { $_->{id} } events("actor=$who{milton}")],
        [map { $_->{id} } grep { ($_->{actor}{id} // '') eq $who{milton} }
         events('')], 'by actor';
    is_deeply [map { $_->{id} } events('resource=teamos.comment')],
        [map { $_->{id} } grep { ($_->{resource} // '') eq 'teamos.comment' }
         events('')], 'by resource';

    # No way to write it, no way around it.
    my @before = events('');
    for my $try ([POST => 'audit/events', { action => 'x' }],
                 [DELETE => "audit/events/$before[0]{id}"],
                 [PATCH => "audit/events/$before[0]{id}", {}]) {
        my ($method, $path, $json) = @$try;
        like as('peter', $method, $path, $json ? (json => $json) : ())
            ->{status}, qr/\A40[45]\z/, "$method $path";
    }
};

subtest 'T10 RBAC at every entry' => sub {
    my %try = (
        'GET tasks'     => [GET => 'tasks'],
        'POST projects' => [POST => 'projects', json => { name => 'x' }],
        'GET members'   => [GET => 'members'],
        'GET tenant'    => [GET => 'tenant'],
        'GET history'   => [GET => "tasks/$task{id}/history"],
    );
    for my $name (sort keys %try) {
        my @try = @{ $try{$name} };
        my $r = $s->request(@try, at => 'initech');
        problem_is $r, 401, 'unauthenticated', "$name: not signed in";
        like $r->header('WWW-Authenticate'), qr/\ABearer/, 'how to';
        problem_is $s->request(@try, at => 'initech',
                               token => $s->token('dave')),
            403, 'tenant_mismatch', "$name: no member";
    }
    problem_is as('milton', GET => 'audit/events'), 403, 'forbidden',
        'a member whose role does not allow it';
};

subtest 'T11 all or nothing' => sub {
    my $before = join ' ', map { scalar all('peter', $_) }
        qw(projects tasks comments);
    my @successes = events('outcome=success');
    problem_is as('peter', POST => 'tasks', json => {
                      project_id => $project{id}, title => 'half',
                      assignee_id => $nobody }),
        422, 'invalid_fields', 'one wrong field',
        '/assignee_id' => 'not_found';
    problem_is as('peter', PATCH => "tasks/$task{id}", json => {
                      title => 'half', status => 'done' }),
        409, 'state_conflict', 'one wrong change',
        '/status' => 'not_in_set';
    is join(' ', map { scalar all('peter', $_) } qw(projects tasks comments)),
        $before, 'and there is nothing new';
    is as('peter', GET => "tasks/$task{id}")->json->{title},
        'Find my stapler', 'nor anything changed';
    is scalar(events('outcome=success')), scalar @successes,
        'nor an event of it';
};

subtest 'T12 pagination' => sub {
    my @titles = map { "page $_" } 1 .. 7;
    as('milton', POST => 'tasks', json => {
        project_id => $project{id}, title => $_ }) for @titles;

    my @seen;
    my $path = "projects/$project{id}/tasks?limit=3";
    my @sizes;
    while (defined $path) {
        my $r = as('bill', GET => $path);
        status_is $r, 200, $path;
        is_deeply [sort keys %{ $r->json }], [qw(data next_cursor)],
            'data and next_cursor';
        push @seen, map { $_->{title} } rows($r);
        push @sizes, scalar rows($r);
        my $cursor = $r->json->{next_cursor};
        ($path) = map { /\A<(.*)>; rel="next"\z/ } $r->headers('Link');
        is defined $path, defined $cursor, 'Link and next_cursor agree';
        like $path, qr/\Q$cursor\E/, 'on the place' if defined $path;
        like $path, qr{\A/api/v1/projects/}, 'path-absolute' if defined $path;
    }
    is_deeply \@seen, [reverse('Find my stapler', @titles)],
        'each once, newest first';
    is_deeply \@sizes, [3, 3, 2], 'in three pages';
    problem_is as('bill', GET => "tasks?limit=$_"), 400, 'invalid_parameter',
        "limit=$_", limit => 'out_of_range' for 0, 101;
    is scalar rows(as('bill', GET => 'tasks?limit=100')), 8, 'limit=100';
};

subtest 'T13 what each role may' => sub {
    my %of = (peter => 'owner', bill => 'admin', milton => 'member');
    my $bills = as('bill', POST => 'tasks', json => {
        project_id => $project{id}, title => 'TPS reports' })->json->{id};
    my $miltons = as('milton', POST => 'tasks', json => {
        project_id => $project{id}, title => 'Move my desk' })->json->{id};
    my @boxes = (
        ['reads the organization', [1, 1, 1], GET => 'tenant'],
        ['renames it', [1, 0, 0], PATCH => 'tenant', json => {}],
        ['reads the members', [1, 1, 1], GET => 'members'],
        ['reads invitations', [1, 1, 0], GET => 'invitations'],
        ['reads the audit log', [1, 1, 0], GET => 'audit/events'],
        ['reviews access', [1, 1, 0], GET => 'audit/access'],
        ['makes projects', [1, 1, 1], POST => 'projects',
         json => { name => 'x' }],
        ['reads tasks', [1, 1, 1], GET => "tasks/$bills"],
        ["changes bill's task", [1, 1, 0], PATCH => "tasks/$bills",
         json => { priority => 'low' }],
        ["changes milton's task", [1, 1, 1], PATCH => "tasks/$miltons",
         json => { priority => 'low' }],
    );
    for my $box (@boxes) {
        my ($what, $may, @request) = @$box;
        my @who = qw(peter bill milton);
        for my $i (0 .. 2) {
            my $r = as($who[$i], @request);
            $may->[$i] ? like $r->{status}, qr/\A20[01]\z/,
                             "$of{$who[$i]} $what"
                       : problem_is $r, 403, 'forbidden',
                             "not $of{$who[$i]}: $what";
        }
    }
    problem_is as('milton', DELETE => "tasks/$bills"), 403, 'forbidden',
        "a member deletes no other's";
    status_is as('milton', DELETE => "tasks/$miltons"), 204, 'but the own';
    status_is as('bill', DELETE => "tasks/$bills"), 204, 'an admin any';
};

subtest 'T16 the order of checks' => sub {
    my $bad = { colour => 'red' };
    problem_is $s->request(GET => 'nothing', at => 'nowhere'), 404,
        'not_found', 'route before tenant';
    problem_is $s->request(PUT => 'tasks', at => 'nowhere'), 405,
        'method_not_allowed', 'method before tenant';
    problem_is $s->request(GET => 'tasks', at => 'nowhere'), 404,
        'tenant_unknown', 'tenant before authentication';
    problem_is $s->request(POST => 'tasks', at => 'initech', json => $bad),
        401, 'unauthenticated', 'authentication before the body';
    problem_is as('milton', PATCH => 'tenant', json => $bad), 403,
        'forbidden', 'role before the body: 403, not 422';
    problem_is as('milton', PATCH => 'tenant', body => '{'), 403,
        'forbidden', 'even if it is no JSON';
    problem_is as('milton', POST => 'invitations', json => $bad), 403,
        'forbidden', 'for invitations too';
    problem_is as('peter', PATCH => "tasks/$nobody", json => $bad), 422,
        'invalid_fields', 'the body before the database',
        '/colour' => 'unknown_field';
};

subtest 'T17 references' => sub {
    my $globex = ($s->request(GET => 'projects', as => 'dave')
                    ->json->{data} || [])->[0]{id};
    my $dave = $s->request(GET => 'me', as => 'dave')->json->{id};
    for my $case (['another organization', $globex], ['nobody', $nobody]) {
        my ($name, $id) = @$case;
        problem_is as('peter', POST => 'tasks', json => {
                          project_id => $id, title => 'x' }),
            422, 'invalid_fields', "a project of $name",
            '/project_id' => 'not_found';
        problem_is as('peter', POST => 'comments', json => {
                          task_id => $id, content => 'x' }),
            422, 'invalid_fields', "a task of $name",
            '/task_id' => 'not_found';
    }
    for my $who ($dave, $joined{samir}{user_id}) {
        problem_is as('peter', POST => 'tasks', json => {
                          project_id => $project{id}, title => 'x',
                          assignee_id => $who }),
            422, 'invalid_fields', 'an assignee who is no member',
            '/assignee_id' => 'not_found';
    }
    status_is as('peter', DELETE => "projects/$project{id}"), 204,
        'a project is deleted';
    problem_is as('peter', POST => 'tasks', json => {
                      project_id => $project{id}, title => 'x' }),
        422, 'invalid_fields', 'and takes no more tasks',
        '/project_id' => 'not_found';
    problem_is as('peter', GET => "projects/$project{id}/tasks"), 404,
        'not_found', 'nor lists any';
    status_is as('peter', POST => "projects/$project{id}/restore"), 200,
        'until it is restored';
};

subtest 'T18 access review' => sub {
    my $peter = as('peter', GET => 'me')->json->{id};
    my @rows = all('peter', 'audit/access?limit=1');
    shape_is $_, 'access', "$_->{name}: its members" for @rows;
    is_deeply [sort map { "$_->{email} $_->{role}" } @rows],
        ['bill@initech.test admin', 'milton@initech.test member',
         'peter@initech.test owner'], 'who has access';

    my %of = map { $_->{role} => $_ } @rows;
    my $may = sub {
        my ($role) = @_;
        return { map { $_->{permission} => $_->{scope} }
                 @{ $of{$role}{permissions} } };
    };
    is $may->('member')->{'teamos.task:update'}, 'own', 'to what: member';
    is $may->('admin')->{'teamos.task:update'}, 'tenant', 'admin';
    ok !exists $may->('admin')->{'tenon.tenant:delete'}, 'not everything';
    ok exists $may->('owner')->{'tenon.tenant:delete'}, 'owner';
    is $of{admin}{granted_by}, $peter, 'who gave it';
    like $_->{granted_at}, $time, 'and when' for @rows;
    is $of{admin}{id}, $joined{bill}{id}, 'a row is a membership';
    problem_is as('milton', GET => 'audit/access'), 403, 'forbidden',
        'not for members';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
