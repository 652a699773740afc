#!/usr/bin/perl

# Internal redirects into a location with tenon: what was begun in the first
# location ends there, refused or given up, and never goes on in the second.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP qw(decode_json);
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(server => '
    location /adm/ {
        tenon prefix=/adm;
        deny all;
        error_page 403 = /ready;
    }
    location /static/ {
        tenon prefix=/static;
        deny all;
        error_page 403 = /plain;
    }
    location = /plain { return 200 "$tenon_tenant/$tenon_user"; }
    location /readers/ {
        tenon prefix=/readers;
        limit_except GET { deny all; }
        error_page 403 = /api/v1/tasks;
    }
    location /named/ {
        tenon prefix=/named;
        limit_except GET { deny all; }
        error_page 403 = @named;
    }
    location @named { tenon prefix=/named; }
    location /kept/ {
        tenon prefix=/kept;
        limit_except GET { deny all; }
        error_page 403 /.tenon/problem;
    }
    location /try/ {
        tenon prefix=/try;
        try_files /nonexistent /api/v1/tasks;
    }
    location /early/ {
        tenon prefix=/early;
        set $early "$tenon_tenant";
        try_files /nonexistent /late/v1/me;
    }
    location /late/ {
        tenon prefix=/late;
        set $late "$tenon_tenant";
        add_header Late "$tenon_operation";
    }
');

my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };
my $me = $s->request(GET => 'me', as => 'alice')->json;
my $count = sub { $s->psql("select count(*) from teamos.task") };
my $tasks = $count->();
my $task = sub { (json => { project_id => $project->{id}, title => $_[0] }) };

sub log_row {
    my ($id) = @_;
    my $row;
    $s->wait_until(2, sub {
        open my $in, '<', $s->access_log or die "access log: $!\n";
        ($row) = grep { $_->{request_id} eq $id } map { decode_json($_) } <$in>;
        return $row;
    });
    return $row || {};
}

subtest 'deny, then error_page with "="' => sub {
    for my $path ('/adm/v1/tasks', '/adm/v1/me', '/adm/live') {
        my $r = $s->request(GET => $path, as => 'alice');
        status_is $r, 200, $path;
        is $r->{body}, '{"status":"ready"}', 'is answered by /ready alone';
    }
    my $r = $s->request(POST => '/adm/v1/tasks', as => 'alice',
                        $task->('denied'));
    is $r->{body}, '{"status":"ready"}', 'a POST too, as GET';
    is $count->(), $tasks, 'and makes nothing';
};

subtest 'into a location without tenon' => sub {
    my $r = $s->request(GET => '/static/v1/tasks', as => 'alice');
    status_is $r, 200, 'answered';
    is $r->{body}, "acme/$me->{id}", 'variables still tell who it was';
};

subtest 'limit_except' => sub {
    status_is $s->request(GET => '/readers/v1/tasks', as => 'alice'), 200,
        'what may pass does';
    my $r = $s->request(POST => '/readers/v1/tasks', as => 'alice',
                        $task->('sneaked in'));
    is $count->(), $tasks, 'a POST that is refused makes nothing';
    status_is $r, 200, 'but is led on';
    ok $r->json->{data}, 'to the list, as GET';

    $r = $s->request(POST => '/kept/v1/tasks', as => 'alice',
                     $task->('kept out'));
    problem_is $r, 403, 'forbidden', 'to tenon_problem: 403';
    is $count->(), $tasks, 'and makes nothing';

    my $c = $s->connect;
    $c->write($s->bytes(POST => '/readers/v1/tasks', as => 'alice',
                        body => $s->bytes(GET => 'me', as => 'alice')));
    ok $c->response->json->{data}, 'its body is dropped:';
    $c->write($s->bytes(GET => 'tenant', as => 'alice'));
    is $c->response->json->{slug}, 'acme', "the next request's own answer";
};

subtest 'a named location keeps URI and method' => sub {
    my $r = $s->request(POST => '/named/v1/tasks', as => 'alice',
                        $task->('by name'));
    status_is $r, 201, 'where it may be made';
    is $count->(), $tasks + 1, 'it is, once';
    $tasks++;
};

subtest 'try_files' => sub {
    my $id = 'try-files-1';
    my $r = $s->request(GET => '/try/v1/me', as => 'alice',
                        headers => ['X-Request-Id' => $id]);
    status_is $r, 200, 'led on';
    ok $r->json->{data}, 'serves the second URI, the list of tasks';
    is $r->header('X-Request-Id'), $id, 'under the id of the request';
    my $row = log_row($id);
    is "$row->{tenant} $row->{user}", "acme $me->{id}", 'the log tells who';

    $r = $s->request(POST => '/try/v1/tasks', as => 'alice',
                     $task->('tried'));
    status_is $r, 201, 'a POST keeps its method';
    is $count->(), $tasks + 1, 'and makes one task, not two';

    problem_is $s->request(GET => '/try/v1/me', token => 'garbage'), 401,
        'unauthenticated', 'a refusal is that of the second';
};

subtest 'variables that were looked at early' => sub {
    my $r = $s->request(GET => '/early/v1/tasks', as => 'alice');
    status_is $r, 200, 'led on';
    is $r->json->{id}, $me->{id}, 'to /late/v1/me';
    is $r->header('Late'), 'getMe', 'whose operation is told';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';

done_testing;
