#!/usr/bin/perl

# PostgreSQL that is there and doesn't answer: no request waits longer than
# its limits, what can't wait is refused at once, the worker stays live, and
# service is back by itself.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Select ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(http => '
    tenon_pool_size       1;
    tenon_queue_size      4;
    tenon_queue_timeout   500ms;
    tenon_connect_timeout 500ms;
    tenon_timeout         1s;
');
my ($worker) = $s->workers;
my $c = $s->alone($worker, sub {
    my $c = $s->connect;
    $c->request(GET => '/live', host => 'tenon.localhost');
    return $c;
});

# All these on one worker, whose pool is one connection.
sub ask {
    my ($method, $path, %o) = @_;
    my $began = time;
    $c->write($s->bytes($method, $path, as => 'alice', %o));
    my $r = $c->response;
    $r->{seconds} = time - $began;
    return $r;
}

# The processes of PostgreSQL that serve workers; with it all, the main one.
sub backends {
    my ($all) = @_;
    my @pids = split /\n/, $s->psql('
        select pid from pg_stat_activity where usename = $$tenon_api$$');
    push @pids, $s->shell('as_pg head -1 "$var/pg/postmaster.pid"') =~ /(\d+)/
        if $all;
    return @pids;
}

# Runs $code while these processes are stopped.
sub stalled {
    my ($code, @pids) = @_;
    kill STOP => @pids;
    my @result = eval { $code->() };
    my $error = $@;
    kill CONT => @pids;
    die $error if $error;
    return @result;
}

# Locks a task's row for so many seconds; the process that does.
sub locked {
    my ($s, $id, $seconds) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        eval { $s->psql("begin;
                  select set_config('tenon.tenant', tenant_id::text, true)
                    from teamos.task where id = '$id' for update;
                  select pg_sleep($seconds); commit"); 1 }
            or print {*STDERR} $@;
        POSIX::_exit(0);
    }
    $s->wait_until(3, sub { $s->psql("
        select count(*) from pg_stat_activity
         where query like '%pg_sleep%' and wait_event = 'PgSleep'") });
    return $pid;
}

sub quiet {
    my ($s) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return unlike do { local (@ARGV, $/) = $s->error_log; <> },
        qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';
}

my $task = ask(GET => 'tasks?limit=1')->json->{data}[0];
my $at = "tasks/$task->{id}";

subtest 'a read that is not answered' => sub {
    my ($r, $next) = stalled(sub { ask(GET => $at), ask(GET => $at) },
                             backends());
    problem_is $r, 503, 'unavailable', 'is given up';
    cmp_ok $r->{seconds}, '<', 2, 'within its time';
    status_is $next, 200, 'the next has a new connection';
};

subtest 'a write that is not answered' => sub {
    my ($r) = stalled(sub { ask(PATCH => $at, json => { title => 'stalled' }) },
                      backends());
    problem_is $r, 503, 'outcome_unknown', 'may have been made, or not';
    cmp_ok $r->{seconds}, '<', 2, 'is said within its time';
    sleep 0.3;
    my $now = ask(GET => $at)->json;
    is $now->{version} - $task->{version}, $now->{title} eq 'stalled' ? 1 : 0,
        'and was made whole, or not at all';
};

subtest 'a crowd before a database that stalls' => sub {
    my @crowd = map { $s->alone($worker, sub { $s->connect }) } 1 .. 60;
    my $began = time;
    my @r = stalled(sub {
        $_->write($s->bytes(GET => $at, as => 'alice')) for @crowd;
        return map { my $r = $_->response;
                     $r->{seconds} = time - $began;
                     $r } @crowd;
    }, backends());

    my @refused = grep { $_->{status} != 200 } @r;
    is_deeply [map { problem_faults($_, 503) } @refused], [],
        'who is not served gets 503 with Retry-After';
    my @busy = grep { $_->json->{code} eq 'busy' } @refused;
    cmp_ok scalar @busy, '>', 0, 'the queue is bounded: '
        . @busy . ' find it full';
    my ($slowest) = sort { $b <=> $a } map { $_->{seconds} } @r;
    cmp_ok $slowest, '<', 2.5, sprintf 'the last after %.1f s', $slowest;
    ok $s->wait_until(3, sub { ask(GET => $at)->{status} == 200 }),
        'then service goes on';
};

subtest 'no database at all' => sub {
    my @pids = backends('all');
    my ($first, $live, $ready, $after) = stalled(sub {
        my $first = ask(GET => $at);
        my $live = ask(GET => '/live');
        my $ready = ask(GET => '/ready');
        my $after = ask(GET => $at);
        return $first, $live, $ready, $after;
    }, @pids);

    problem_is $first, 503, 'unavailable', 'what was sent is given up';
    status_is $live, 200, '/live: the worker is well';
    cmp_ok $live->{seconds}, '<', 0.2, 'and waits for nothing';
    status_is $ready, 503, '/ready: it can not serve';
    cmp_ok $ready->{seconds}, '<', 2, 'is said within its time';
    is $after->{status}, 503, 'nor can it a request';

    my $began = time;
    ok $s->wait_until(5, sub { ask(GET => $at)->{status} == 200 }),
        'service is back by itself';
    my $took = time - $began;
    cmp_ok $took, '<', 3, sprintf 'in %.0f ms', 1000 * $took;
    status_is ask(GET => '/ready'), 200, '/ready says so';
};

subtest 'a row that somebody has locked' => sub {
    my $pid = locked($s, $task->{id}, 2.5);
    my $r = ask(PATCH => $at, json => { title => 'waits' });
    ok $r->{status} == 200 || !problem_faults($r, 503),
        "a write waits for it, or is told to come back ($r->{status})";
    cmp_ok $r->{seconds}, '<', 4, 'within its time';
    waitpid $pid, 0;
    status_is ask(PATCH => $at, json => { title => 'then' }), 200,
        'then it goes on';
};

quiet($s);
is_deeply [grep { $_ == $worker } $s->workers], [$worker], 'no worker died';
undef $c;
$s->stop;

# The pool as it is by default, and one with a single connection to spare.
for my $size (4, 2) {
    subtest "a crowd before one locked row, $size connections" => sub {
        my $s = TenonServer->new(http => "tenon_pool_size $size;");
        my ($worker) = $s->workers;
        $s->token('alice');
        my ($writers, $readers) = $s->alone($worker, sub {
            my @c = map {
                my $c = $s->connect;
                $c->request(GET => '/live', host => 'tenon.localhost');
                $c;
            } 1 .. 20;
            return [@c[0 .. 15]], [@c[16 .. 19]];
        });
        my ($task, $free) = @{ $s->request(GET => 'tasks?limit=2',
                                           as => 'alice')->json->{data} };
        my $patch = sub {
            my ($c, $task, $title) = @_;
            $c->write($s->bytes(PATCH => "tasks/$task->{id}", as => 'alice',
                                json => { title => $title }));
        };

        my $pid = locked($s, $task->{id}, 3);
        my $began = time;
        $patch->($writers->[$_], $task, "writer $_") for 0 .. $#$writers;

        my (@reads, $slowest);
        for my $n (1 .. 5) {
            my $at = time;
            $_->write($s->bytes(GET => 'tasks?limit=50', as => 'alice'))
                for @$readers;
            push @reads, map { $_->response->{status} } @$readers;
            my $took = time - $at;
            $slowest = $took if !defined $slowest || $took > $slowest;
            sleep 0.1;
        }
        cmp_ok time - $began, '<', 3, 'while the row is locked';
        is_deeply \@reads, [(200) x 20], '20 lists are read';
        cmp_ok $slowest, '<', 1, sprintf 'the slowest in %.3f s', $slowest;

        my @wrong = map {
            my $r = $_->response;
            $r->{status} == 200 ? () : problem_faults($r, 503, 'busy');
        } @$writers;
        is_deeply \@wrong, [], 'who writes is told to come back';
        cmp_ok time - $began, '<', 4, 'within its time';

        $patch->($writers->[0], $free, 'another row');
        status_is $writers->[0]->response, 200, 'another row can be written';
        waitpid $pid, 0;
        $patch->($writers->[0], $task, 'at last');
        status_is $writers->[0]->response, 200, 'then that one too';
        quiet($s);
    };
}

# Workers that have never seen the database wait for it only until they know
# that it is away.
subtest 'workers that begin without a database' => sub {
    my $s = TenonServer->new;
    my $pg_ctl = sub {
        $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s -m fast \
                       "$1" > /dev/null 2>&1 9>&-', $_[0]);
    };
    my @old = $s->workers;
    my $id = $s->request(GET => 'tasks?limit=1', as => 'alice')
               ->json->{data}[0]{id};
    $pg_ctl->('stop');
    $s->reload;
    $s->wait_until(5, sub {
        my %now = map { $_ => 1 } $s->workers;
        keys %now == @old && !grep { $now{$_} } @old;
    });
    sleep 0.3;
    for my $path ("tasks/$id", '/ready') {
        my $began = time;
        problem_is $s->request(GET => $path, as => 'alice'), 503,
            'unavailable', "$path: refused";
        cmp_ok time - $began, '<', 0.5, 'at once';
    }
    status_is $s->request(GET => '/live'), 200, '/live: the worker is well';
    $pg_ctl->('start');
    ok $s->wait_until(3, sub {
        $s->request(GET => "tasks/$id", as => 'alice')->{status} == 200;
    }), 'service begins when the database does';
};

# Writes get their turn though reads never end.
subtest 'reads without end, and a write' => sub {
    my $s = TenonServer->new(http => 'tenon_pool_size 2;');
    my ($worker) = $s->workers;
    $s->token('alice');
    my ($writer, @readers) = $s->alone($worker, sub {
        map {
            my $c = $s->connect;
            $c->request(GET => '/live', host => 'tenon.localhost');
            $c;
        } 0 .. 24;
    });
    my ($task) = @{ $s->request(GET => 'tasks?limit=1', as => 'alice')
                      ->json->{data} };
    my $bytes = $s->bytes(GET => 'tasks?limit=100', as => 'alice');
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        my $end = time + 3;
        my $select = IO::Select->new(map { $_->{socket} } @readers);
        my %of = map { ("$_->{socket}" => $_) } @readers;
        $_->write($bytes) for @readers;
        while (time < $end) {
            for my $socket ($select->can_read(0.5)) {
                $of{"$socket"}->response;
                $of{"$socket"}->write($bytes);
            }
        }
        POSIX::_exit(0);
    }
    sleep 0.3;
    my @took = map {
        my $began = time;
        $writer->write($s->bytes(PATCH => "tasks/$task->{id}", as => 'alice',
                                 json => { title => "write $_" }));
        my $r = $writer->response;
        $r->{status} == 200 ? time - $began : 99;
    } 1 .. 20;
    waitpid $pid, 0;
    my ($slowest) = sort { $b <=> $a } @took;
    cmp_ok $slowest, '<', 1, sprintf '20 are made, the slowest in %.3f s',
        $slowest;
    quiet($s);
};

done_testing;
