#!/usr/bin/perl

# A load that creates a table with a foreign key to tenon.member holds a lock
# on that until it commits, and parsing the platform's own writes waits for it.
# Connections that are made meanwhile serve all the same, with statements parsed
# as they come: reads are answered, and so are writes to other tables.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

use constant WITHIN => 2; # seconds from the fault to service
use constant HELD   => 6; # seconds that the lock is held

my $s = TenonServer->new;
my $lacks = qr/\[warn\].*tenon: statement tn_\w+ can't be prepared yet: /;
my $again = qr/\[notice\].*tenon: all statements are prepared again/;
$s->token('alice');

# Holds the lock in a session of its own, at most HELD seconds.
sub lock_member {
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        eval { $s->psql('set application_name = holder;
                         begin;
                         lock table tenon.member in share row exclusive mode;
                         select pg_sleep(' . HELD . ');
                         commit') };
        POSIX::_exit(0);
    }
    my $held = "select count(*) from pg_locks
                 where relation = 'tenon.member'::regclass and granted
                   and mode = 'ShareRowExclusiveLock'";
    $s->wait_until(5, sub { $s->psql($held) }) or die "no lock\n";
    return $pid;
}

sub unlock {
    my ($pid) = @_;
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where application_name = 'holder'");
    waitpid $pid, 0;
    return;
}

sub kill_backends {
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where usename = 'tenon_api'");
    return;
}

sub log_lines {
    my ($pattern) = @_;
    open my $in, '<', $s->error_log or die "error.log: $!\n";
    return grep { $_ =~ $pattern } <$in>;
}

# The status of a read, 0 when there was no answer.
sub read_tasks {
    my $r = eval { $s->request(GET => 'tasks?limit=1', as => 'alice') };
    return $r ? $r->{status} : 0;
}

# Reads are answered by each worker in time, and go on being so.
sub reads_go_on {
    my ($name) = @_;
    my $began = time;
    for my $pid ($s->workers) {
        my $left = WITHIN - (time - $began);
        ok $s->wait_until($left < 0 ? 0 : $left, sub {
            $s->alone($pid, \&read_tasks) == 200;
        }), sprintf '%s: worker %d reads after %.1f s', $name, $pid,
            time - $began;
    }
    my @status = map { sleep 0.05; read_tasks() } 1 .. 20;
    is_deeply [grep { $_ != 200 } @status], [], "$name: and reads on";
    my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                         ->json->{data} };
    status_is $s->request(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => $name }), 201,
        "$name: what needs no lock of that table is written";
    return;
}

# What is opened now has everything again: each worker says so once.
sub all_prepared {
    my ($name) = @_;
    kill_backends();
    ok $s->wait_until(5, sub { log_lines($again) == $s->workers }),
        "$name: then all is prepared";
    is read_tasks(), 200, "$name: and read";
    return;
}

sub forget_log {
    truncate $s->error_log, 0 or die "error.log: $!\n";
    return;
}


subtest 'backends are killed' => sub {
    forget_log();
    my $holder = lock_member();
    kill_backends();
    reads_go_on('killed');
    my %said = map { /\] (\d+)#/ ? ($1 => 1) : () } my @said = log_lines($lacks);
    is scalar @said, keys %said, 'a worker says once what it lacks';
    is keys %said, $s->workers, 'and each does';
    is_deeply [grep { !/connection closed|terminating/ } $s->alarms], [],
        'it is no error';
    unlock($holder);
    all_prepared('killed');
};

subtest 'nginx is reloaded' => sub {
    forget_log();
    my %old = map { $_ => 1 } $s->workers;
    my $holder = lock_member();
    $s->reload;
    ok $s->wait_until(5, sub {
        my @now = $s->workers;
        @now == keys %old && !grep { $old{$_} } @now;
    }), 'there are new workers';
    reads_go_on('reloaded');
    unlock($holder);
    all_prepared('reloaded');
};

subtest 'the lock outlasts tenon_connect_timeout' => sub {
    $s->psql("alter role tenon_api set lock_timeout = '5s'");
    kill_backends();
    ok $s->wait_until(5, sub { read_tasks() == 200 }), 'as the role has it';
    my $holder = lock_member();
    kill_backends();
    ok $s->wait_until(HELD - 1, sub { read_tasks() == 200 }),
        'the next connections prepare nothing';
    unlock($holder);
};

done_testing;
