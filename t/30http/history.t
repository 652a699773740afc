#!/usr/bin/perl

# What happened to a row and how it goes back: history, rollback, restore, and
# the rows of a parent.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $nobody = '01900000-7777-7000-8000-0123456789ab';

sub alice {
    my ($method, $path, %o) = @_;
    return $s->request($method, $path, as => 'alice', %o);
}

sub make {
    my ($path, %body) = @_;
    my $r = alice(POST => $path, json => \%body);
    die "$path: $r->{body}\n" if $r->{status} != 201;
    return $r->json;
}

sub events {
    my ($path, $query) = @_;
    my $r = alice(GET => "$path/history" . ($query // ''));
    die "$path: $r->{body}\n" if $r->{status} != 200;
    return @{ $r->json->{data} };
}

my $project = make('projects', name => 'History');
my $alice = alice(GET => 'me')->json->{id};

subtest 'history' => sub {
    my $task = make('tasks', project_id => $project->{id}, title => 'first');
    my $at = "tasks/$task->{id}";
    for my $change ({ title => 'second' }, { priority => 'high' },
                    { assignee_id => $alice }) {
        status_is alice(PATCH => $at, json => $change), 200, 'a change';
    }
    status_is alice(PATCH => $at, json => {}), 200, 'and none';
    problem_is alice(PATCH => $at, json => { status => 'done' }), 409,
        'state_conflict', 'and one refused', '/status' => 'not_in_set';

    my @events = events($at);
    is_deeply [map { "$_->{version} $_->{action}" } @events],
        ['4 task.updated', '3 task.updated', '2 task.updated',
         '1 task.created'], 'newest first; none of what was not done';
    is_deeply [sort keys %{ $events[0] }],
        [qw(action actor after at before id ip metadata outcome request_id
            resource resource_id user_agent version)], 'each an event';
    is_deeply [map { $_->{resource_id} } @events], [($task->{id}) x 4],
        'of this row';
    is_deeply [$events[2]{before}{title}, $events[2]{after}{title}],
        ['first', 'second'], 'before and after';
    is_deeply [grep { exists $_->{after}{tenant_id} ||
                      exists(($_->{before} || {})->{tenant_id}) } @events],
        [], 'tenant_id stays inside';

    my @log = grep { $_->{outcome} eq 'success' }
        @{ alice(GET => "audit/events?resource_id=$task->{id}")
           ->json->{data} };
    is_deeply \@events, \@log, 'the same as in the audit log';

    my @paged;
    my $path = "$at/history?limit=3";
    while (defined $path) {
        my $r = alice(GET => $path);
        push @paged, @{ $r->json->{data} };
        ($path) = map { /<(.*)>; rel="next"/ } $r->headers('Link');
    }
    is_deeply \@paged, \@events, 'page by page';
    is_deeply [reverse events($at, '?sort=at')], \@events, 'oldest first';

    my $other = make('tasks', project_id => $project->{id}, title => 'other');
    my $cursor = alice(GET => "$at/history?limit=1")->json->{next_cursor};
    problem_is alice(GET => "tasks/$other->{id}/history?cursor=$cursor"), 400,
        'invalid_cursor', 'a cursor belongs to its row';

    status_is alice(DELETE => $at), 204, 'deleted';
    is((events($at))[0]{action}, 'task.deleted', 'history outlives the row');

    problem_is alice(GET => "tasks/$nobody/history"), 404, 'not_found',
        'of a row that never was';
    problem_is alice(GET => 'tasks/x/history'), 404, 'not_found',
        'of what is no id';
    problem_is $s->request(GET => "$at/history", as => 'carol'), 403,
        'forbidden', 'not for members';
    problem_is alice(GET => "$at/history?colour=red"), 400,
        'unknown_parameter', 'parameters it lacks',
        colour => 'unknown_field';
    problem_is alice(POST => "$at/history", json => {}), 405,
        'method_not_allowed', 'nobody writes it';
};

subtest 'rollback' => sub {
    my $task = make('tasks', project_id => $project->{id}, title => 'one',
                    priority => 'low');
    my $at = "tasks/$task->{id}";
    my $to = sub {
        my ($version, %o) = @_;
        return alice(POST => "$at/rollback", json => { version => $version },
                     %o);
    };
    alice(PATCH => $at, json => { title => 'two', assignee_id => $alice });
    alice(PATCH => $at, json => { title => 'three', priority => 'urgent' });

    my $r = $to->(1);
    status_is $r, 200, 'to the first version';
    my $now = $r->json;
    is_deeply [@$now{qw(title priority assignee_id status)}],
        ['one', 'low', undef, 'todo'], 'every field as it was';
    is $now->{version}, 4, 'as a new version';
    is $r->header('ETag'), '"4"', 'with its ETag';
    is_deeply [@$now{qw(id created_at created_by)}],
        [@$task{qw(id created_at created_by)}], 'who and when stay';
    is_deeply alice(GET => $at)->json, $now, 'and so it is read';
    my ($event) = events($at);
    is_deeply [@$event{qw(action version)}], ['task.rolled_back', 4],
        'an event of its own';
    is_deeply [$event->{before}{title}, $event->{after}{title}],
        ['three', 'one'], 'with before and after';

    status_is $to->(3), 200, 'forth again';
    is alice(GET => $at)->json->{title}, 'three', 'to what was undone';
    status_is $to->(2, headers => ['If-Match' => '"5"']), 200,
        'with If-Match of this version';
    problem_is $to->(1, headers => ['If-Match' => '"5"']), 412,
        'precondition_failed', 'and of one gone by';

    for my $version (7, 99, 9007199254740991) {
        problem_is $to->($version), 422, 'invalid_fields',
            "version $version never was", '/version' => 'not_found';
    }
    problem_is $to->($_), 422, 'invalid_fields', "version $_",
        '/version' => 'out_of_range' for 0, -1;
    problem_is $to->('1'), 422, 'invalid_fields', 'text',
        '/version' => 'wrong_type';
    problem_is alice(POST => "$at/rollback", json => {}), 422,
        'invalid_fields', 'no version', '/version' => 'required';
    problem_is alice(POST => "$at/rollback", json => {
                         version => 1, title => 'x' }), 422,
        'invalid_fields', 'more than a version', '/title' => 'unknown_field';

    # What it goes back to must be allowed now.
    alice(PATCH => $at, json => { status => 'in_progress' });
    alice(PATCH => $at, json => { status => 'done' });
    problem_is $to->(1), 409, 'state_conflict', 'done stays done';
    is alice(GET => $at)->json->{status}, 'done', 'and nothing changed';

    my $assigned = make('tasks', project_id => $project->{id}, title => 'x',
                        assignee_id => $s->hire('erin', 'acme', 'member')
                                         ->{user_id});
    alice(PATCH => "tasks/$assigned->{id}", json => { assignee_id => undef });
    $s->psql("delete from tenon.member m using tenon.\"user\" u
               where u.id = m.user_id and u.email = 'erin\@acme.test'");
    problem_is alice(POST => "tasks/$assigned->{id}/rollback",
                     json => { version => 1 }),
        422, 'invalid_fields', 'who was assigned is gone',
        '/assignee_id' => 'not_found';

    problem_is alice(POST => "tasks/$nobody/rollback",
                     json => { version => 1 }), 404, 'not_found', 'no row';
    problem_is $s->request(POST => "$at/rollback", as => 'carol',
                           json => { version => 1 }), 403, 'forbidden',
        'not for members';
    status_is alice(DELETE => $at), 204, 'deleted';
    problem_is $to->(2), 404, 'not_found', 'then it is gone for rollback too';
};

subtest 'restore' => sub {
    my $parent = make('projects', name => 'Parent');
    my $task = make('tasks', project_id => $parent->{id}, title => 'deleted');
    my $at = "tasks/$task->{id}";
    my $restore = sub { alice(POST => "$at/restore", @_) };

    problem_is $restore->(), 409, 'state_conflict', 'what is not deleted';
    status_is alice(DELETE => $at), 204, 'deleted';
    problem_is $restore->(headers => ['If-Match' => '"1"']), 412,
        'precondition_failed', 'by a version gone by';
    my $r = $restore->(headers => ['If-Match' => '"2"']);
    status_is $r, 200, 'by the version that deletion made';
    is $r->json->{version}, 3, 'is a new version';
    is $r->header('ETag'), '"3"', 'with its ETag';
    is_deeply [@{ $r->json }{qw(id title created_at created_by)}],
        [@$task{qw(id title created_at created_by)}], 'the same row';
    is_deeply alice(GET => $at)->json, $r->json, 'and there to read';
    is_deeply [map { $_->{action} } events($at)],
        [qw(task.restored task.deleted task.created)], 'by its events';

    alice(DELETE => $at);
    alice(DELETE => "projects/$parent->{id}");
    problem_is $restore->(), 409, 'state_conflict', 'its project is deleted';
    status_is alice(POST => "projects/$parent->{id}/restore"), 200,
        'the project first';
    status_is $restore->(), 200, 'then the task';

    problem_is alice(POST => "tasks/$nobody/restore"), 404, 'not_found',
        'what never was';
    alice(DELETE => $at);
    problem_is $s->request(POST => "$at/restore", as => 'carol'), 403,
        'forbidden', 'not for members';
    status_is $restore->(body => '{}'), 200, 'with an empty object';
    is $s->psql("select deleted_at is null from teamos.task
                  where id = '$task->{id}'"), 't', 'it lives';
};

subtest 'rows of a parent' => sub {
    my $parent = make('projects', name => 'Nested');
    my @ids = map { make('tasks', project_id => $parent->{id},
                         title => "task $_",
                         priority => $_ % 2 ? 'high' : 'low')->{id} } 1 .. 5;
    my $at = "projects/$parent->{id}/tasks";
    my $list = sub { map { $_->{id} } @{ alice(GET => $_[0])->json->{data} } };

    is_deeply [$list->($at)], [reverse @ids], 'newest first';
    is_deeply [$list->("$at?priority=high")], [@ids[4, 2, 0]], 'filtered';
    is_deeply [$list->("$at?sort=created_at&limit=2")], [@ids[0, 1]],
        'sorted';
    is_deeply [$list->("$at?q=TASK%203")], [$ids[2]], 'searched';
    is_deeply alice(GET => "$at?fields=title&limit=1")->json->{data},
        [{ title => 'task 5' }], 'with fields';
    is_deeply [$list->("$at?project_id=$project->{id}")], [],
        'a filter can only take away';

    my ($path, @paged) = ("$at?limit=2");
    while (defined $path) {
        my $r = alice(GET => $path);
        push @paged, map { $_->{id} } @{ $r->json->{data} };
        ($path) = map { /<(.*)>; rel="next"/ } $r->headers('Link');
        like $path, qr{\A/api/v1/projects/$parent->{id}/tasks\?},
            'the next page lies at the parent too' if defined $path;
    }
    is_deeply \@paged, [reverse @ids], 'page by page';
    my $cursor = alice(GET => "$at?limit=2")->json->{next_cursor};
    problem_is alice(GET => "projects/$project->{id}/tasks?cursor=$cursor"),
        400, 'invalid_cursor', "another parent's cursor";
    problem_is alice(GET => "tasks?cursor=$cursor"), 400, 'invalid_cursor',
        'nor of the whole list';

    my $foreign = $s->request(GET => 'projects', as => 'dave')
        ->json->{data}[0]{id};
    my @r = map { alice(GET => "projects/$_/tasks", headers => [fixed_id()]) }
        $foreign, $nobody, 'x';
    problem_is $_, 404, 'not_found', 'a parent that is not there' for @r;
    is $r[0]->visible, $r[1]->visible, 'foreign and absent alike';
    status_is alice(GET => "projects/$foreign/tasks", as => 'dave'), 200,
        'its own people read it';

    status_is alice(DELETE => "projects/$parent->{id}"), 204, 'deleted';
    problem_is alice(GET => $at), 404, 'not_found', 'takes its list along';
    is_deeply [$list->("tasks?project_id=$parent->{id}")], [reverse @ids],
        'though the rows live on';
    problem_is alice(PATCH => "tasks/$ids[0]", json => { title => 'x' }), 409,
        'state_conflict', 'and can not be changed';
    problem_is alice(POST => $at, json => { title => 'x' }), 405,
        'method_not_allowed', 'a nested list is for reading';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
