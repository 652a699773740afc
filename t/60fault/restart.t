#!/usr/bin/perl

# Faults under load: PostgreSQL restarted, crashed and cut off, a worker
# killed, nginx reloaded, while clients go on creating tasks with titles that
# occur once. What was acknowledged is there, once; what was refused is not;
# refusals are 503 problem+json; service is back within 2 s of PostgreSQL.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Socket::UNIX ();
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

use constant CLIENTS => 4;
use constant LIMIT_MS => 5000; # fails above; the target is 2000

my $s = TenonServer->new;
my $json = JSON::PP->new->utf8->canonical;
my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };

# What a change to the world is called, and when it began: [time, name].
my @phases;
sub phase { push @phases, [time, $_[0]]; return }


# ---- clients: each a process, each attempt a line in its file ----

# [title, began, ended, status, code, what is wrong with the answer]; status
# 0 is a connection that broke before its answer: the outcome is unknown.
sub client {
    my ($n, $end, $out) = @_;
    my ($c, $i) = (undef, 0);
    $out->autoflush(1);

    while (time < $end) {
        my $title = sprintf 'client %d task %d', $n, ++$i;
        my $began = time;
        my $r = eval {
            $c //= $s->connect;
            $c->write($s->bytes(POST => 'tasks', as => 'alice', json => {
                project_id => $project->{id}, title => $title }));
            $c->response;
        };
        my @wrong = !$r ? () :
            $r->{status} == 201 ? () : problem_faults($r, $r->{status});
        print {$out} $json->encode([
            $title, $began, time, $r ? $r->{status} : 0,
            $r && $r->{status} != 201
                ? eval { $r->json->{code} } // $r->{body} : '', "@wrong",
        ]), "\n";
        undef $c if !$r || ($r->header('Connection') // '') eq 'close' ||
                    $c->closed;
        sleep $r && $r->{status} == 201 ? 0.005 : 0.02;
    }
    return;
}

my @files;
sub start_clients {
    my ($seconds) = @_;
    my $end = time + $seconds;
    my @pids;
    for my $n (1 .. CLIENTS) {
        my $file = $s->dir . "/client-$n";
        push @files, $file;
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            open my $out, '>', $file or POSIX::_exit(1);
            eval { client($n, $end, $out); 1 } or print {*STDERR} $@;
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }
    return @pids;
}

sub attempts {
    my @rows;
    for my $file (@files) {
        open my $in, '<', $file or die "$file: $!\n";
        push @rows, map { $json->decode($_) } <$in>;
    }
    return sort { $a->[2] <=> $b->[2] } @rows;
}


# ---- faults ----

# Does PostgreSQL take connections? Asked as a client does, without a wait.
sub accepts {
    local $SIG{PIPE} = 'IGNORE';
    my $socket = IO::Socket::UNIX->new(
        Peer => $s->var . '/run/.s.PGSQL.5432') or return 0;
    my $start = pack('N', 196608) . "user\0nobody\0database\0tenon\0\0";
    syswrite $socket, pack('N', 4 + length $start) . $start or return 0;
    sysread $socket, my $answer, 1000 or return 0;
    return $answer !~ /C57P03\0/;
}

# Restarts PostgreSQL in this mode; when it took connections again.
sub restart {
    my ($mode) = @_;
    phase("restart, $mode");
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        eval { $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s \
                              -m "$1" restart > /dev/null 2>&1', $mode); 1 }
            or print {*STDERR} $@;
        POSIX::_exit(0);
    }
    my $limit = time + 20;
    sleep 0.002 while accepts() && time < $limit;
    sleep 0.002 while !accepts() && time < $limit;
    my $back = time;
    waitpid $pid, 0;
    return $back;
}

my %back;

subtest 'load and faults' => sub {
    $s->token('alice');
    my @pids = start_clients(14);
    my $began = time;
    my $at = sub { my $wait = $began + $_[0] - time;
                   sleep $wait if $wait > 0; return };

    $at->(1);
    $back{fast} = restart('fast');
    $at->(4);
    $back{immediate} = restart('immediate');

    $at->(8);
    phase('a backend ended');
    # who was just restarted may not have one yet
    ok $s->wait_until(10, sub { $s->psql("
        select pg_terminate_backend(pid) from pg_stat_activity
         where usename = 'tenon_api' limit 1") eq 't' }), 'a backend is ended';

    $at->(9.5);
    my @before = $s->workers;
    my ($killed, $other) = @before[0, -1];
    my $c = $s->alone($other, sub {
        my $c = $s->connect;
        $c->request(GET => '/live', host => 'tenon.localhost');
        return $c;
    });
    phase('a worker killed');
    kill KILL => $killed;
    my @went = map {
        sleep 0.02;
        my $r = eval {
            $c->write($s->bytes(GET => 'me', as => 'alice'));
            $c->response;
        };
        $r && $r->{status} == 200 ? 1 : 0;
    } 1 .. 30;
    is scalar(grep { !$_ } @went), 0, "the other worker's clients go on"
        if $other != $killed;
    ok $s->wait_until(2, sub {
        my @now = $s->workers;
        @now == @before && !grep { $_ == $killed } @now;
    }), 'the master starts another worker';
    for my $pid ($s->workers) {
        status_is $s->alone($pid, sub { $s->request(GET => 'me',
                                                    as => 'alice') }),
            200, "worker $pid serves";
    }

    waitpid $_, 0 for @pids;
    phase('over');
};

my @all = attempts();
my %count;
$count{ $_->[3] . ($_->[4] ? " $_->[4]" : '') }++ for @all;
note "attempts: ", join ', ', map { "$_: $count{$_}" } sort keys %count;

subtest 'answers while it lasted' => sub {
    cmp_ok $count{201}, '>', 200, "$count{201} tasks acknowledged";
    my @odd = grep { $_->[3] && $_->[3] != 201 && $_->[3] != 503 } @all;
    is_deeply [map { "$_->[3] $_->[4]" } @odd], [], 'else only 503';
    is_deeply [grep { $_->[5] } @all], [],
        'each a problem+json with Retry-After';
    is_deeply [grep { !/^(?:201|0|503 (?:unavailable|busy|outcome_unknown))$/ }
               sort keys %count], [], 'of the three codes for that';

    # Only a worker's death breaks connections, and each client had one.
    my ($killed) = map { $_->[0] } grep { $_->[1] eq 'a worker killed' }
        @phases;
    my @broken = grep { $_->[3] == 0 } @all;
    is_deeply [map { sprintf '%s at %+.3f s', $_->[0], $_->[2] - $killed }
               grep { abs($_->[2] - $killed) > 1 } @broken], [],
        "connections broke only when the worker was killed";
    cmp_ok scalar @broken, '<=', CLIENTS, 'at most one of each client';

    my ($slowest) = sort { $b <=> $a } map { $_->[2] - $_->[1] } @all;
    cmp_ok $slowest, '<', 5,
        sprintf 'nobody waited longer than %.0f ms', 1000 * $slowest;
};

for my $mode (qw(fast immediate)) {
    my ($first) = grep { $_->[3] == 201 && $_->[2] >= $back{$mode} } @all;
    my $ms = $first ? 1000 * ($first->[2] - $back{$mode}) : 1e9;
    my ($down) = map { $_->[0] } grep { $_->[1] eq "restart, $mode" } @phases;
    cmp_ok $ms, '<', LIMIT_MS, sprintf
        '%s restart (away for %.0f ms): first success %.0f ms after ' .
        'PostgreSQL is back', $mode, 1000 * ($back{$mode} - $down), $ms;
    diag sprintf 'above the target of 2000 ms: %.0f ms', $ms if $ms > 2000;
}

subtest 'what was acknowledged is there, what was refused is not' => sub {
    my %there;
    $there{$_}++ for split /\n/, $s->psql(
        "select title from teamos.task where title like 'client %'");
    my %events = map { split /\|/ } split /\n/, $s->psql(
        "select b.after->>'title', count(*) from tenon.event e
           join tenon.event_body b
             on b.tenant_id = e.tenant_id and b.event_id = e.id
          where e.action = 'task.created'
            and b.after->>'title' like 'client %' group by 1");

    my @acknowledged = map { $_->[0] } grep { $_->[3] == 201 } @all;
    my @refused = map { $_->[0] }
        grep { $_->[3] >= 400 && $_->[4] ne 'outcome_unknown' } @all;

    is_deeply [grep { !$there{$_} } @acknowledged], [],
        scalar @acknowledged . ' acknowledged, none missing';
    is_deeply [grep { $there{$_} > 1 } keys %there], [], 'none twice';
    is_deeply [grep { $there{$_} } @refused], [],
        scalar @refused . ' refused, none there';
    is_deeply \%events, \%there, 'each with its event, and no event without';
};

subtest 'a reload loses no new connection' => sub {
    my @first = $s->workers;
    my ($end, @pids) = (time + 2.5);
    for my $n (1 .. 2) {
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            open my $out, '>', $s->dir . "/reload-$n" or POSIX::_exit(1);
            while (time < $end) {
                my $r = eval { $s->request(GET => 'me', as => 'alice') };
                print {$out} $r ? $r->{status} : "lost: $@", "\n";
            }
            close $out;
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }

    for (1 .. 3) {
        sleep 0.5;
        $s->reload;
    }
    waitpid $_, 0 for @pids;

    my %seen;
    for my $n (1 .. 2) {
        open my $in, '<', $s->dir . "/reload-$n" or die "reload-$n: $!\n";
        chomp, $seen{$_}++ while <$in>;
    }
    my $served = $seen{200} // 0;
    is_deeply [sort keys %seen], [200],
        "3 reloads, $served requests, all served";
    cmp_ok $served, '>', 100, 'and they were many';
    ok $s->wait_until(5, sub {
        my %now = map { $_ => 1 } $s->workers;
        keys %now == @first && !grep { $now{$_} } @first;
    }), 'by new workers';
};

# Who is killed may hold a zone's lock, which the master then takes away.
unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:crit|emerg)\]|\[alert\](?!.*(?:exited on signal 9|was locked by))/,
    'nothing but the kill alarmed nginx';

done_testing;
