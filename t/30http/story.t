#!/usr/bin/perl

# One organization's first day, over HTTP: sign-up, login, projects and tasks,
# what members may do, what the audit log tells of it, logout.

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

my %erin = (
    email        => 'erin@initech.test',
    password     => 'correct horse battery',
    name         => 'Erin',
    organization => { name => 'Initech', slug => 'initech' },
);

# As erin, owner of initech: set when she has logged in.
my $token;
sub erin {
    my ($method, $path, %o) = @_;
    return $s->request($method, $path, at => 'initech', token => $token, %o);
}

sub sign_up {
    return $s->request(POST => 'auth/signup', host => 'tenon.localhost',
                       json => {%erin, @_});
}

subtest 'service endpoints need no tenant and no token' => sub {
    for my $path ('/live', '/ready') {
        my $r = $s->request(GET => $path, host => 'tenon.localhost');
        status_is $r, 200, $path;
        is $r->header('Cache-Control'), 'no-store', "$path is never cached";
    }

    my $r = $s->request(GET => '/.well-known/jwks.json',
                        host => 'tenon.localhost');
    status_is $r, 200, 'jwks.json';
    my ($key) = @{ $r->json->{keys} };
    is join(' ', @$key{qw(kty crv alg use)}), 'OKP Ed25519 EdDSA sig',
        'an Ed25519 key';
    ok !exists $key->{d}, 'the private part stays inside';
};

subtest 'sign-up' => sub {
    my $r = sign_up();
    status_is $r, 201, 'makes a user and an organization';
    is_deeply [sort keys %{ $r->json }], ['tenant', 'user'],
        'answers {user, tenant}';
    is $r->json->{user}{email}, 'erin@initech.test', 'user';
    like $r->json->{user}{id}, $uuid, 'with a UUIDv7';
    is $r->json->{tenant}{slug}, 'initech', 'tenant';
    unlike $r->{body}, qr/password|hash/, 'no password comes back';
    is $r->header('Cache-Control'), 'no-store', 'is never cached';

    problem_is sign_up(organization => { name => 'I', slug => 'initech-2' }),
        409, 'email_taken', 'the address again', '/email' => 'duplicate';
    problem_is sign_up(email => 'ERIN@Initech.test',
                       organization => { name => 'I', slug => 'initech-2' }),
        409, 'email_taken', 'the address in capitals', '/email' => 'duplicate';
    problem_is sign_up(email => 'frank@initech.test'),
        409, 'slug_taken', 'the slug again',
        '/organization/slug' => 'duplicate';
    is $s->psql("select count(*) from tenon.\"user\"
                  where email like 'frank%'"), 0,
        'a refused sign-up leaves no user behind';

    problem_is
        $s->request(POST => 'auth/signup', host => 'tenon.localhost', json => {
            email        => 'not an address',
            password     => 'short',
            organization => { name => '', slug => 'No!', plan => 'pro' },
            admin        => \1,
        }),
        422, 'invalid_fields', 'all faults at once',
        '/email'             => 'bad_format',
        '/password'          => 'too_short',
        '/name'              => 'required',
        '/organization/name' => 'too_short',
        '/organization/slug' => 'bad_format',
        '/organization/plan' => 'unknown_field',
        '/admin'             => 'unknown_field';

    problem_is $s->request(POST => 'auth/signup', at => 'acme',
                           json => {%erin, email => 'x@initech.test'}),
        404, 'not_found', 'only on the base domain';
};

subtest 'login' => sub {
    my $login = sub {
        return $s->request(POST => 'auth/login', at => 'initech',
                           json => { email => $erin{email},
                                     password => $erin{password}, @_ });
    };

    my $wrong = $login->(password => 'wrong horse', );
    problem_is $wrong, 401, 'invalid_credentials', 'a wrong password';
    my $nobody = $login->(email => 'nobody@initech.test');
    problem_is $nobody, 401, 'invalid_credentials', 'nobody';
    is $wrong->json->{detail}, $nobody->json->{detail}, 'in the same words';
    problem_is $s->request(POST => 'auth/login', at => 'acme',
                           json => { email => $erin{email},
                                     password => $erin{password} }),
        401, 'invalid_credentials', "another organization's host";

    my $r = $login->();
    status_is $r, 200, 'the right one';
    my $answer = $r->json;
    is_deeply [sort keys %$answer],
        [qw(access_token expires_in mfa_token refresh_token tenant token_type
            user)],
        'members';
    is $answer->{token_type}, 'Bearer', 'token_type';
    cmp_ok $answer->{expires_in}, '>', 0, 'expires_in';
    like $answer->{refresh_token}, qr/\Atnr_/, 'and a refresh token';
    is $answer->{tenant}{slug}, 'initech', 'tenant';
    is $r->header('Cache-Control'), 'no-store', 'is never cached';
    $token = $answer->{access_token};

    status_is $login->(email => 'Erin@INITECH.test'), 200,
        'the address in capitals';
};

subtest 'me and tenant' => sub {
    my $r = erin(GET => 'me');
    is_deeply [sort keys %{ $r->json }],
        [qw(api_key email email_verified id impersonated mfa_enabled name
            permissions recovery_codes_left role tenant)],
        'members of me';
    is $r->json->{role}, 'owner', 'who signs up is the owner';
    is $r->json->{tenant}{slug}, 'initech', 'of this organization';
    like $r->header('ETag'), qr/\A"\d+-[-0-9a-f]+"\z/, 'me has an ETag';

    $r = erin(GET => 'tenant');
    status_is $r, 200, 'tenant';
    is $r->json->{slug}, 'initech', 'is the own one';
    is $r->header('ETag'), qq("$r->{json}{version}"), 'ETag is the version';
};

subtest 'a tenant is named by host, header or token' => sub {
    my $id = erin(GET => 'tenant')->json->{id};
    my %way = (
        'the host in capitals'  => [host => 'INITECH.Tenon.LOCALHOST'],
        'the header, by slug'   => [host => 'tenon.localhost', headers =>
                                    ['Tenon-Tenant' => 'initech']],
        'the header, by id'     => [host => 'tenon.localhost', headers =>
                                    ['Tenon-Tenant' => $id]],
        'the host and a header' => [headers => ['Tenon-Tenant' => 'initech']],
        'the token alone'       => [host => 'tenon.localhost'],
    );
    for my $name (sort keys %way) {
        my $r = erin(GET => 'me', @{ $way{$name} });
        status_is $r, 200, $name;
        is $r->json->{tenant}{id}, $id, "$name: this one";
    }
    status_is $s->request(POST => 'auth/login', host => 'tenon.localhost',
                          headers => ['Tenon-Tenant' => 'initech'],
                          json => { email    => $erin{email},
                                    password => $erin{password} }),
        200, 'login by header';
};

my ($project, $task);

subtest 'a project and a task' => sub {
    my $r = erin(POST => 'projects', json => { name => 'Y2K' });
    status_is $r, 201, 'POST projects';
    $project = $r->json;
    is_deeply [sort keys %$project],
        [qw(created_at created_by id name updated_at version)],
        'tenant_id and deleted_at stay inside';
    is $r->header('Location'), "/api/v1/projects/$project->{id}", 'Location';
    like $project->{id}, $uuid, 'id';
    like $project->{created_at}, $time, 'created_at';
    is $project->{version}, 1, 'version';
    is $r->header('ETag'), '"1"', 'ETag';

    $r = erin(POST => 'tasks', json => { project_id => $project->{id},
                                         title => 'Größe 東京 🎉' });
    status_is $r, 201, 'POST tasks';
    $task = $r->json;
    is_deeply [sort keys %$task],
        [qw(assignee_id created_at created_by id priority project_id status
            title updated_at version)], 'members';
    is "$task->{status} $task->{priority}", 'todo medium', 'defaults';
    is $task->{assignee_id}, undef, 'unassigned';
    is $task->{title}, 'Größe 東京 🎉', 'any language'
        or diag $r->{body};

    $r = erin(GET => "tasks/$task->{id}");
    status_is $r, 200, 'GET tasks/{id}';
    is_deeply $r->json, $task, 'what was made';
    is $r->header('Cache-Control'), 'private, no-cache',
        'private, and to be revalidated';
    status_is erin(GET => "tasks/\U$task->{id}"), 200, 'an id in capitals';
};

subtest 'lists' => sub {
    my @ids = ($task->{id});
    for my $n (1 .. 6) {
        push @ids, erin(POST => 'tasks', json => {
            project_id => $project->{id},
            title      => "task $n",
            priority   => $n <= 2 ? 'high' : 'low',
        })->json->{id};
    }

    my $walk = sub {
        my ($query) = @_;
        my (@pages, @links);
        my $target = "tasks?$query";
        while (defined $target && @pages < 10) {
            my $r = erin(GET => $target);
            return "$r->{status}" if $r->{status} != 200;
            push @pages, [map { $_->{id} } @{ $r->json->{data} }];
            my ($link) = map { /\A<([^>]*)>; rel="next"\z/ }
                $r->headers('Link');
            my $cursor = $r->json->{next_cursor};
            push @links, defined $link == defined $cursor &&
                (!defined $link || index($link, "cursor=$cursor") > 0);
            $target = $link;
        }
        ok !(grep { !$_ } @links), "Link goes with next_cursor: $query";
        return \@pages;
    };

    is_deeply $walk->('limit=3'),
        [[reverse @ids[4 .. 6]], [reverse @ids[1 .. 3]], [$ids[0]]],
        'newest first, in three pages';
    is_deeply $walk->('limit=3&sort=created_at'),
        [[@ids[0 .. 2]], [@ids[3 .. 5]], [$ids[6]]], 'oldest first';
    is_deeply $walk->('priority=high&limit=1'), [[$ids[2]], [$ids[1]]],
        'filtered, in two pages';
    is_deeply $walk->("project_id=$project->{id}&status=todo"),
        [[reverse @ids]], 'several filters';
    is_deeply $walk->('status=done'), [[]], 'nothing found is an empty list';

    my $r = erin(GET => 'tasks?limit=1');
    is_deeply [sort keys %{ $r->json }], [qw(data next_cursor)],
        'a list has data and next_cursor';
    like $r->json->{next_cursor}, qr/\A[A-Za-z0-9._~-]+\z/,
        'a cursor needs no escaping';
    is_deeply $r->json->{data}[0], erin(GET => "tasks/$ids[6]")->json,
        'its rows are the resource';
};

subtest 'conditional requests' => sub {
    my $at = "tasks/$task->{id}";

    my $r = erin(GET => $at, headers => ['If-None-Match' => '"1"']);
    status_is $r, 304, 'unchanged';
    is $r->{body}, '', 'has no body';
    is $r->header('ETag'), '"1"', 'and the ETag';

    $r = erin(PATCH => $at, json => { title => 'second' },
              headers => ['If-Match' => '"1"']);
    status_is $r, 200, 'PATCH of the version seen';
    is $r->json->{title}, 'second', 'answers the resource';
    is $r->json->{version}, 2, 'one version on';
    is $r->header('ETag'), '"2"', 'with its ETag';

    problem_is erin(PATCH => $at, json => { title => 'lost' },
                    headers => ['If-Match' => '"1"']),
        412, 'precondition_failed', 'PATCH of a version gone by';
    is erin(GET => $at)->json->{title}, 'second', 'changed nothing';

    status_is erin(PATCH => $at, json => { priority => 'low' },
                   headers => ['If-Match' => 'W/"2"', 'Content-Type' =>
                               'application/merge-patch+json']),
        200, 'a weak tag, as gzip makes them; merge-patch+json';
    status_is erin(GET => $at, headers => ['If-None-Match' => '"2"']), 200,
        'changed';

    $r = erin(PATCH => $at, json => {});
    status_is $r, 200, 'an empty patch';
    is $r->json->{version}, 3, 'changes nothing';

    problem_is erin(DELETE => $at, headers => ['If-Match' => '"1"']),
        412, 'precondition_failed', 'DELETE of a version gone by';
};

subtest 'states' => sub {
    my $at = "tasks/$task->{id}";
    problem_is erin(PATCH => $at, json => { status => 'done' }),
        409, 'state_conflict', 'todo to done', '/status' => 'not_in_set';
    for my $status (qw(in_progress todo in_progress done)) {
        my $r = erin(PATCH => $at, json => { status => $status });
        status_is $r, 200, "to $status";
        is $r->json->{status}, $status, 'is so';
    }
    problem_is erin(PATCH => $at, json => { status => 'todo' }),
        409, 'state_conflict', 'done is final', '/status' => 'not_in_set';
    status_is erin(PATCH => $at, json => { title => 'late', status => 'done' }),
        200, 'the state it has already';
};

my $version;

subtest 'delete' => sub {
    my $at = "tasks/$task->{id}";
    $version = erin(GET => $at)->json->{version};

    my $r = erin(DELETE => $at);
    status_is $r, 204, 'DELETE';
    is $r->{body}, '', 'has no body';
    problem_is erin(GET => $at), 404, 'not_found', 'then it is gone';
    problem_is erin(PATCH => $at, json => { title => 'x' }), 404, 'not_found',
        'can not be changed';
    problem_is erin(DELETE => $at), 404, 'not_found', 'nor deleted again';
    ok !(grep { $_->{id} eq $task->{id} }
         @{ erin(GET => 'tasks?limit=100')->json->{data} }), 'nor listed';
};

subtest 'the audit log tells it all' => sub {
    my $r = erin(GET => "audit/events?resource_id=$task->{id}&limit=100");
    status_is $r, 200, 'audit/events';
    my @events = reverse @{ $r->json->{data} };
    my $last = $#events;

    is_deeply [sort keys %{ $events[0] }],
        [qw(action actor after at before id ip metadata outcome request_id
            resource resource_id user_agent version)], 'members';
    is_deeply [map { $_->{action} } @events],
        ['task.created', ('task.updated') x ($version - 1), 'task.deleted'],
        'one event for each change, none for what was refused';
    is_deeply [map { $_->{version} } @events], [1 .. $last + 1],
        'by version';

    my $me = erin(GET => 'me')->json->{id};
    is_deeply [grep { $_->{actor}{id} ne $me || $_->{outcome} ne 'success' ||
                      $_->{ip} ne '127.0.0.1' } @events], [],
        'who, from where, with which outcome';

    is $events[0]{before}, undef, 'nothing before the first';
    is $events[0]{after}{status}, 'todo', 'after the first';
    is $events[1]{before}{title}, 'Größe 東京 🎉', 'before the second';
    is $events[1]{after}{title}, 'second', 'after the second';

    $r = erin(POST => 'projects', json => { name => 'Traced' },
              headers => ['X-Request-Id' => 'erin.was-here_1',
                          'User-Agent' => 'story/1']);
    is $r->header('X-Request-Id'), 'erin.was-here_1',
        "the caller's X-Request-Id comes back";
    my ($event) = @{ erin(GET => "audit/events?resource_id=$r->{json}{id}")
                     ->json->{data} } if $r->json;
    is $event->{request_id}, 'erin.was-here_1', 'and is in the event';
    is $event->{user_agent}, 'story/1', 'as is the user agent';

    my @actions = map { $_->{action} }
        @{ erin(GET => 'audit/events?limit=100')->json->{data} };
    for my $action (qw(tenant.created member.created user.login)) {
        ok scalar(grep { $_ eq $action } @actions), "$action is there";
    }
    ok scalar(grep { $_->{action} eq 'user.login' &&
                     $_->{outcome} eq 'failure' }
              @{ erin(GET => 'audit/events?limit=100')->json->{data} }),
        'failed logins too';
};

subtest 'a member has the own scope' => sub {
    my ($rows) = $s->request(GET => 'tasks?limit=100', as => 'alice')
                   ->json->{data};
    my $of = sub {
        my $who = $s->request(GET => 'me', as => $_[0])->json->{id};
        return (grep { $_->{created_by} eq $who } @$rows)[0]{id};
    };
    my ($hers, $alices) = ($of->('carol'), $of->('alice'));

    status_is $s->request(GET => "tasks/$alices", as => 'carol'), 200,
        "carol reads alice's task";
    problem_is $s->request(PATCH => "tasks/$alices", as => 'carol',
                           json => { title => 'mine now' }),
        403, 'forbidden', 'but may not change it';
    problem_is $s->request(PATCH => "tasks/$alices", as => 'carol', json => {}),
        403, 'forbidden', 'not even by an empty patch';
    problem_is $s->request(DELETE => "tasks/$alices", as => 'carol'),
        403, 'forbidden', 'nor delete it';
    status_is $s->request(PATCH => "tasks/$hers", as => 'carol',
                          json => { title => 'mine' }), 200, 'her own she may';
    status_is $s->request(PATCH => "tasks/$alices", as => 'bob',
                          json => { title => 'an admin may' }), 200,
        "bob, an admin, may change alice's";
    problem_is $s->request(GET => 'audit/events', as => 'carol'),
        403, 'forbidden', 'the audit log is not for members';
    status_is $s->request(GET => 'audit/events', as => 'bob'), 200,
        'but for admins';
};

subtest 'references' => sub {
    my $bob = $s->request(GET => 'me', as => 'bob')->json->{id};
    my ($acme) = @{ $s->request(GET => 'projects', as => 'alice')
                      ->json->{data} };
    status_is $s->request(POST => 'tasks', as => 'alice', json => {
                  project_id => $acme->{id}, title => 'for bob',
                  assignee_id => $bob }), 201, 'an assignee is a member';
    problem_is erin(POST => 'tasks', json => {
                   project_id => $project->{id}, title => 'x',
                   assignee_id => $bob }),
        422, 'invalid_fields', 'of this organization',
        '/assignee_id' => 'not_found';
    problem_is erin(POST => 'tasks', json => {
                   project_id => $acme->{id}, title => 'x' }),
        422, 'invalid_fields', 'and so is a project',
        '/project_id' => 'not_found';

    status_is erin(DELETE => "projects/$project->{id}"), 204,
        'a project is deleted';
    problem_is erin(POST => 'tasks', json => {
                   project_id => $project->{id}, title => 'x' }),
        422, 'invalid_fields', 'and takes no more tasks',
        '/project_id' => 'not_found';
};

subtest 'HTTPS and HTTP/2' => sub {
    my @as = ('-H', 'Authorization: Bearer ' . $s->token('alice'));
    my $out = $s->curl('--http2', '-w', '\n%{http_version} %{http_code}', @as,
                       $s->https('acme', 'me'));
    like $out, qr/"email":"alice\@acme\.test"/, 'me';
    like $out, qr/\n2 200\z/, 'over HTTP/2, with a certificate that verifies';

    $out = $s->curl('--http2', '-w', '\n%{http_code} %{content_type}', @as,
                    '-X', 'PATCH', '-H', 'Content-Type: application/json',
                    '-d', '{"title":7}',
                    $s->https('acme', "tasks/$task->{id}"));
    like $out, qr{\n422 application/problem\+json\z}, 'a refusal';
};

subtest 'logout' => sub {
    for my $pid ($s->workers) {
        status_is $s->alone($pid, sub { erin(GET => 'me') }), 200,
            "worker $pid knows the session";
    }
    my $r = erin(POST => 'auth/logout');
    status_is $r, 204, 'logout';
    for my $pid ($s->workers) {
        my $after = $s->alone($pid, sub { erin(GET => 'me') });
        problem_is $after, 401, 'unauthenticated',
            "worker $pid refuses it at once";
        like $after->header('WWW-Authenticate'), qr/\ABearer error=/,
            'and says how to sign in';
    }
};

done_testing;
