#!/usr/bin/perl

# Clients that go away, a thousand times in each phase of a request: before its
# body is whole, while it waits for the database, in the queue, while its
# password is hashed, while the answer is sent. Descriptors, database
# connections and memory of the worker are back to the start, and it serves.
#
# TENON_LONG=1: ten thousand times (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

use constant AT_A_TIME => 50;
use constant RSS_KB => 6144; # may stay, however many leave: malloc keeps it

my $times = $ENV{TENON_LONG} ? 10_000 : 1000;

my $s = TenonServer->new(http => '
    tenon_pool_size     3;
    tenon_queue_timeout 3s;
    tenon_timeout       8s;
    keepalive_requests  1000000;
');
my ($worker) = $s->workers;
$s->token($_) for qw(alice dave);

my ($task) = @{ $s->request(GET => 'tasks?limit=1', as => 'alice')
                  ->json->{data} };
my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };

# An answer that doesn't fit into a socket.
$s->psql("
    insert into teamos.comment (tenant_id, task_id, content)
    select tenant_id, id, repeat('long ', 1900)
      from teamos.task, generate_series(1, 90) where id = '$task->{id}'");

sub descriptors {
    my @fds = glob "/proc/$worker/fd/*";
    return scalar @fds;
}

sub rss {
    return (TenonServer::_slurp("/proc/$worker/status") =~ /RssAnon:\s+(\d+)/)[0];
}

sub backends {
    return $s->psql("select count(*) from pg_stat_activity
                      where usename = 'tenon_api'");
}

sub state { return [descriptors(), backends(), rss()] }

# $n aborted requests, some at a time, by FIN and RST in turn.
sub abort {
    my ($n, $bytes, $wait, $buffer) = @_;
    my $sent = 0;
    while ($n > 0) {
        my @c = $s->alone($worker, sub {
            map {
                my $c = $s->connect;
                setsockopt $c->{socket}, SOL_SOCKET, SO_RCVBUF, $buffer
                    if $buffer;
                $c->write($bytes->($sent++));
                $c;
            } 1 .. ($n < AT_A_TIME ? $n : AT_A_TIME);
        });
        sleep $wait if $wait;
        for my $i (0 .. $#c) {
            $i % 2 ? $c[$i]->close : $c[$i]->reset;
        }
        $n -= @c;
    }
    return $sent;
}

# Holds a task's row until the process is told to let go.
sub lock_row {
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        # Without a word when it is ended.
        eval { $s->psql("begin;
            select set_config('tenon.tenant', tenant_id::text, true)
              from teamos.task where id = '$task->{id}' for update;
            select pg_sleep(600)") };
        POSIX::_exit(0);
    }
    $s->wait_until(5, sub { $s->psql("
        select count(*) from pg_stat_activity
         where query like '%pg_sleep(600)%' and wait_event = 'PgSleep'") })
        or die "the row is not locked\n";
    return $pid;
}

sub unlock_row {
    my ($pid) = @_;
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where query like '%pg_sleep(600)%' and wait_event = 'PgSleep'");
    waitpid $pid, 0;
    return;
}

my $create = sub {
    return $s->bytes(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => "aborted $_[0]." });
};
my $list = $s->bytes(GET => 'tasks?limit=5', as => 'dave');

my @phases = (
    ['before the body is whole', 0.02,
     sub { my $b = $create->(@_); substr $b, 0, length($b) - 20 }],
    ['while the row is locked, or in the queue behind', 0.05,
     sub { $s->bytes(PATCH => "tasks/$task->{id}", as => 'alice',
                     json => { title => "aborted $_[0]." }) }, locked => 1],
    ['as soon as it is sent', 0, $create],
    ['while a password is hashed, or waits for that', 0.02,
     sub { $s->bytes(POST => 'auth/login', at => 'acme', json => {
               email => "nobody$_[0]\@acme.test", password => 'no such one' }) }],
    ['while the answer is sent', 0.05,
     sub { $s->bytes(GET => 'comments?limit=100', as => 'alice') },
     buffer => 2048],
);

# What the worker needs once for all of that comes first.
my $warm = sub {
    for my $phase (@phases) {
        my ($name, $wait, $bytes, %o) = @$phase;
        abort(6 * AT_A_TIME, sub { $bytes->("warm $_[0]") }, $wait, $o{buffer});
    }
    $s->wait_until(20, sub { status($list) == 200 });
};

sub status {
    my ($bytes) = @_;
    my $c = $s->alone($worker, sub { $s->connect });
    $c->write($bytes);
    my $r = $c->response;
    return $r ? $r->{status} : 0;
}

$warm->();
my $first;
$s->wait_until(10, sub { sleep 0.5; $first = state(); $first->[2] < 60_000 });
note sprintf 'before: %d descriptors, %d database connections, %d KB', @$first;

for my $phase (@phases) {
    my ($name, $wait, $bytes, %o) = @$phase;
    my $n = $times;
    my $before = state();
    my $began = time;
    my $lock = $o{locked} ? lock_row() : undef;
    abort($n, $bytes, $wait, $o{buffer});
    my $took = time - $began;

    # Others are served while what the leavers sent is still under way.
    my $served = status($list) if $lock;
    unlock_row($lock) if $lock;

    my $after;
    my $ok = $s->wait_until(20, sub {
        $after = state();
        # A hash has 64 MB while it is at work.
        return $after->[0] <= $before->[0] && $after->[1] <= $before->[1] &&
               $after->[2] <= $before->[2] + RSS_KB;
    });
    ok $ok, sprintf '%s: %d clients leave in %.1f s; descriptors %d, then ' .
        '%d; database connections %d, then %d; memory %d KB, then %d KB',
        $name, $n, $took, map { ($before->[$_], $after->[$_]) } 0 .. 2;
    is $served, 200, '  others are served meanwhile' if $lock;
    is status($list), 200, '  and then';
}

my $last;
$s->wait_until(10, sub {
    $last = state();
    $last->[0] <= $first->[0] && $last->[2] <= $first->[2] + RSS_KB;
});
cmp_ok $last->[2] - $first->[2], '<=', RSS_KB, sprintf
    'memory of the worker: %d KB at first, %d KB at last', $first->[2],
    $last->[2];
cmp_ok $last->[0], '<=', $first->[0], "$first->[0] descriptors, $last->[0]";
is $last->[1], $first->[1], "$first->[1] database connections, $last->[1]";

# Nobody was told anything: each is there once or not at all, with its event.
my ($rows, $most) = split /\|/, $s->psql("
    select count(*), coalesce(max(n), 0)
      from (select count(*) n from teamos.task
             where title ~ '^aborted [0-9]+[.]' and id <> '$task->{id}'
             group by title) t");
cmp_ok $most, '<=', 1, "$rows of the tasks were made, none twice";
is $s->psql("
    select count(*) from tenon.event e
      join tenon.event_body b
        on b.tenant_id = e.tenant_id and b.event_id = e.id
     where e.action = 'task.created'
       and b.after->>'title' ~ '^aborted [0-9]+[.]'"), $rows,
    'each with its event';

is_deeply [grep { $_ == $worker } $s->workers], [$worker], 'no worker died';
unlike TenonServer::_slurp($s->error_log), qr/\[(?:alert|crit|emerg)\]/,
    'nothing alarmed nginx';

done_testing;
