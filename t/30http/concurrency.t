#!/usr/bin/perl

# Many at once: racing writers, requests that share a connection, bodies that
# nobody reads, and clients that go away at every point.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my @workers = $s->workers;
my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };

sub new_task {
    return $s->request(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => $_[0] })->json;
}

# A connection that this worker serves.
sub at_worker {
    my ($pid) = @_;
    return $s->alone($pid, sub {
        my $c = $s->connect;
        $c->request(GET => '/live', host => 'tenon.localhost');
        return $c;
    });
}

subtest 'two writers of one version: one wins' => sub {
    plan skip_all => 'one worker only' if @workers < 2;
    my $rounds = 50;
    my $task = new_task('raced');
    my @c = map { at_worker($_) } @workers[0, 1];
    my (%seen, $wrong);

    for my $version (1 .. $rounds) {
        for my $i (0, 1) {
            $c[$i]->write($s->bytes(
                PATCH   => "tasks/$task->{id}",
                as      => 'alice',
                headers => ['If-Match' => qq("$version")],
                json    => { title => "round $version by $i" },
            ));
        }
        my @r = map { $_->response } @c;
        my $statuses = join ' ', sort map { $_->{status} } @r;
        $seen{$statuses}++;
        my ($won) = grep { $_->{status} == 200 } @r;
        my ($lost) = grep { $_->{status} == 412 } @r;
        $wrong //= join "\n", "round $version:", map { $_->{body} } @r
            if !$won || $won->json->{version} != $version + 1 ||
               problem_faults($lost, 412, 'precondition_failed');
    }

    is_deeply \%seen, { '200 412' => $rounds },
        "$rounds rounds over two workers, each one 200 and one 412";
    is $wrong, undef, 'the winner has the next version';
    is $s->psql("select count(*), count(distinct version), max(version)
                   from tenon.event
                  where resource_id = '$task->{id}'
                    and action = 'task.updated'"),
        join('|', $rounds, $rounds, $rounds + 1),
        'and each round one event';
};

subtest 'HEAD' => sub {
    my $c = $s->connect;
    my $get = $c->request(GET => '/api/v1/me', host => 'acme.tenon.localhost',
        headers => [Authorization => 'Bearer ' . $s->token('alice')]);
    $c->write($s->bytes(HEAD => 'me', as => 'alice'));
    my $head = $c->response(head => 1);
    status_is $head, 200, 'HEAD me';
    is $head->header('Content-Length'), length $get->{body},
        'the length of what GET sends';
    is $head->header('ETag'), $get->header('ETag'), 'the ETag too';

    $c->write($s->bytes(HEAD => 'nothing', as => 'alice'));
    status_is $c->response(head => 1), 404, 'HEAD of nothing';
    status_is $c->request(GET => '/live', host => 'x.tenon.localhost'), 200,
        'no body was left on the connection';
};

subtest 'pipelined requests are answered in order' => sub {
    my $c = $s->connect;
    my @paths = qw(me tenant tasks?limit=1 nothing projects?limit=1 me);
    $c->write(join '', map { $s->bytes(GET => $_, as => 'alice') } @paths);
    my @r = map { $c->response } @paths;
    is_deeply [map { $_->{status} } @r], [200, 200, 200, 404, 200, 200],
        'statuses';
    my $me = 'api_key,email,email_verified,id,impersonated,mfa_enabled,name,'
        . 'permissions,recovery_codes_left,role,tenant';
    is_deeply [map { join ',', sort keys %{ $_->json } } @r[0, 2, 5]],
        [$me, 'data,next_cursor', $me], 'bodies';

    # Each body is at once a request: read as one, it would make a task.
    my $inner = $s->bytes(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'pipelined' });
    $c->write(join '', map { $inner } 1 .. 5);
    is_deeply [map { $c->response->{status} } 1 .. 5], [(201) x 5],
        'five writes at once';
    is $s->psql("select count(*) from teamos.task
                  where title = 'pipelined'"), 5, 'are five rows';
};

# The body of each is a whole request for a task. Were it taken for the next
# request, there would be one more answer and one more row.
subtest 'a refused request takes its body with it' => sub {
    my $smuggled = $s->bytes(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'smuggled' });
    my @cases = (
        ['a 401',               401, POST   => 'tasks', at => 'acme'],
        ['a 404',               404, POST   => 'nothing', as => 'alice'],
        ['404, no location',  404, POST   => '/nothing', as => 'alice'],
        ['404, no tenant',    404, POST   => 'tasks', as => 'alice',
                                   at     => 'nowhere'],
        ['a 405',               405, PUT    => 'tasks', as => 'alice'],
        ['a 403',               403, POST   => 'tasks', as => 'dave',
                                   at     => 'acme'],
        ['a 415',               415, POST   => 'tasks', as => 'alice',
                                   headers => ['Content-Type' => 'text/html']],
        ['400, not JSON',     400, POST   => 'tasks', as => 'alice'],
        ['GET with a body',   200, GET    => 'me', as => 'alice'],
        ['a list with one',   200, GET    => 'tasks?limit=1', as => 'alice'],
        ['DELETE with a body', 404, DELETE => "tasks/$project->{id}",
                                   as     => 'alice'],
    );

    for my $chunked (0, 1) {
        for my $case (@cases) {
            my ($name, $status, $method, $path, %o) = @$case;
            $name .= ', chunked' if $chunked;
            my $c = $s->connect;
            $c->write($s->bytes($method, $path, %o, body => $smuggled,
                                chunked => $chunked));
            status_is $c->response, $status, $name;
            next if $c->closed;
            $c->write($s->bytes(GET => 'tenant', as => 'alice'));
            my $r = $c->response or next;
            is $r->json->{slug} // '', 'acme', "$name: the next request's own"
                or diag $r->{body};
        }
    }

    # 413: what comes after a length too large to read can only be dropped.
    my $c = $s->connect;
    $c->write($s->bytes(POST => 'tasks', as => 'alice', body => $smuggled,
                        headers => ['Content-Length' => 3_000_000]));
    problem_is $c->response, 413, 'too_large', 'a 413';
    ok $c->closed(6), 'then the connection ends';

    is $s->psql("select count(*) from teamos.task
                  where title = 'smuggled'"), 0, 'nothing was smuggled in';
};

subtest 'a slow body' => sub {
    my $c = $s->connect;
    my $bytes = $s->bytes(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'byte by byte' });
    my ($head, $body) = $bytes =~ /\A(.*?\r\n\r\n)(.*)\z/s;
    $c->write($head);
    $c->write($_) for split //, $body;
    status_is $c->response, 201, 'arrives byte by byte';
};

sub descriptors {
    return map { my @fds = glob "/proc/$_/fd/*"; scalar @fds } @workers;
}

sub clients {
    my $port = $s->port;
    return scalar grep { /^ESTAB/ } qx(ss -Htn "sport = :$port");
}

sub backends {
    return $s->psql("select count(*) from pg_stat_activity
                      where usename = 'tenon_api' and state <> 'idle'");
}

subtest 'clients that go away leave nothing behind' => sub {
    my $post = $s->bytes(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'gone' });
    my ($head, $body) = $post =~ /\A(.*?\r\n\r\n)(.*)\z/s;
    my $login = $s->bytes(POST => 'auth/login', json => {
        email => 'alice@acme.test', password => 'wrong' });
    my $get = $s->bytes(GET => 'tasks', as => 'alice');
    my %phase = (
        'before a byte'         => '',
        'in the request line'   => 'GET /api/v1/ta',
        'in the headers'        => substr($head, 0, length($head) - 10),
        'before the body'       => $head,
        'in the body'           => $head . substr($body, 0, 10),
        'while PostgreSQL works' => $post,
        'while it reads'        => $get,
        'while it hashes'       => $login,
        'with more to come'     => $get x 20,
    );

    # All that grows once and stays: the pool's connections, temporary files.
    for my $worker (@workers) {
        $s->alone($worker, sub {
            my @c = map { $s->connect } 1 .. 12;
            $_->write($get) for @c;
            $_->response for @c;
            $_->close for @c;
        });
    }
    $s->wait_until(5, sub { clients() == 0 });

    my @fds = descriptors();
    for my $name (sort keys %phase) {
        for my $i (1 .. 100) {
            my $c = $s->connect;
            $c->write($phase{$name}) if length $phase{$name};
            select undef, undef, undef, $i % 5 * 0.0005;
            $i % 2 ? $c->reset : $c->close;
        }
        ok $s->wait_until(8, sub { clients() == 0 }), "$name, 100 times";
    }

    ok $s->wait_until(8, sub { backends() eq '0' }),
        'no statement is left running';
    ok $s->wait_until(8, sub { "@{[descriptors()]}" eq "@fds" }),
        "descriptors are back to the start (@fds)"
        or diag "now @{[descriptors()]}";
    is_deeply [$s->workers], \@workers, 'no worker died';
    status_is $s->alone($_, sub { $s->request(GET => 'me', as => 'alice') }),
        200, "worker $_ goes on" for @workers;
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:alert|crit|emerg)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
