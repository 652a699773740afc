#!/usr/bin/perl

# A crowd that signs in, and part of it goes away before it is answered: memory
# is bounded by the permits, which are the jobs' and not the clients'; whoever
# finds no place is told at once to come back; others are served meanwhile (how
# long they wait bench/storm.pl says).
#
# TENON_LONG=1: a thousand at a time, ten times over (make chaos).

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

my $long   = $ENV{TENON_LONG};
my $crowd  = $long ? 1000 : 200;
my $rounds = $long ? 10 : 2;

use constant HASH_KB => 65536; # of one password; two jobs may run
use constant JOBS    => 2;

my $s = TenonServer->new(http => 'keepalive_requests 1000000;');
$s->token('bob'); # not of the crowd: of a crowd's sessions the oldest end

sub memory {
    my ($pid, $what) = @_;
    open my $in, '<', "/proc/$pid/status" or die "worker $pid: $!\n";
    my ($kb) = map { /^$what:\s+(\d+) kB/ ? $1 : () } <$in>;
    return $kb;
}

# Of some seconds of requests, in a process of its own: the 99th percentile.
sub others {
    my ($seconds, $meanwhile) = @_;
    pipe my $out, my $in or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        my ($end, @took) = time + $seconds;
        my $c = $s->connect('127.0.0.3');
        my $bytes = $s->bytes(GET => 'tasks?limit=5', as => 'bob');
        while (time < $end) {
            my $began = time;
            $c->write($bytes);
            my $r = $c->response or POSIX::_exit(1);
            if ($r->{status} != 200) {
                print {*STDERR} "# $r->{status} $r->{body}\n";
                POSIX::_exit(1);
            }
            push @took, time - $began;
            sleep 0.002;
        }
        @took = sort { $a <=> $b } @took;
        syswrite $in, sprintf "%.6f %d", $took[0.99 * $#took], scalar @took;
        POSIX::_exit(0);
    }

    close $in;
    $meanwhile->($seconds) if $meanwhile;
    my $text = <$out>;
    waitpid $pid, 0;
    is $?, 0, 'the others are all served';
    return split / /, $text // '0 0';
}

# The priorities of all threads of a worker that are its event loop's, or not.
sub priorities {
    my ($pid) = @_;
    my (%loop, %other);
    for my $file (glob "/proc/$pid/task/*/stat") {
        open my $in, '<', $file or next; # it has ended
        my ($nice) = (split / /, (<$in> // '') =~ s/\A.*\) //r)[16];
        $file =~ m{/task/$pid/} ? $loop{$nice}++ : $other{$nice}++
            if defined $nice;
    }
    return (\%loop, \%other);
}

# One round: all write, a third leave at once; what the rest was told.
sub storm {
    my ($n) = @_;
    my (%count, @late, %at);
    my @c = map { $s->connect } 1 .. $n;
    my $began = time;
    for my $i (0 .. $#c) {
        $c[$i]->write($s->bytes(POST => 'auth/login', at => 'acme', json => {
            email => $i % 2 ? 'alice@acme.test' : "x$i\@acme.test",
            password => $i % 4 ? $s->password : 'a guess' }));
    }
    my @stay;
    for my $i (0 .. $#c) {
        if ($i % 3 == 0) {
            $i % 2 ? $c[$i]->reset : $c[$i]->close;
            next;
        }
        push @stay, $c[$i];
    }
    for my $c (@stay) {
        my $r = $c->response;
        my $what = $r ? $r->{status} : 'nothing';
        $what .= ' without Retry-After'
            if $r && $r->{status} == 503 && !$r->header('Retry-After');
        $count{$what}++;
        $c->close;
    }
    return (\%count, time - $began);
}

my @workers = $s->workers;

subtest 'a hash gives way to the event loop' => sub {
    my $c = $s->connect;
    my $seen = 0;
    for (1 .. 20) {
        $c->write($s->bytes(POST => 'auth/login', at => 'acme', json => {
            email => 'alice@acme.test', password => $s->password }));
        my $end = time + 1;
        my $answer = IO::Select->new($c->{socket});
        while (!$seen && time < $end && !$answer->can_read(0)) {
            $seen = grep { (priorities($_))[1]{10} } @workers;
        }
        is $c->response->{status}, 200, 'somebody signs in';
        last if $seen;
    }
    ok $seen, 'by a thread of low priority';
    is_deeply [map { [priorities($_)] } @workers],
        [map { [{ 0 => 1 }, { 0 => 32 }] } @workers],
        'which is gone then, and no other thread has it';
};

my %before = map { $_ => memory($_, 'VmRSS') } @workers;
my $seconds = $long ? 20 : 3;

my ($quiet, $n) = others($seconds);
my %told;
my ($loud, $m) = others($seconds, sub {
    my $end = time + $_[0];
    for (my $round = 0; $round < $rounds || time < $end; $round++) {
        my ($count) = storm($crowd);
        $told{$_} += $count->{$_} for keys %$count;
    }
});

note join ', ', map { "$_: $told{$_}" } sort keys %told;
is_deeply [grep { !/\A(?:200|401|429|503)\z/ } sort keys %told], [],
    'signed in, refused, or told when to come back';
cmp_ok $told{503} // 0, '>', 0, 'the crowd is bounded';
cmp_ok(($told{200} // 0) + ($told{401} // 0), '>', 0, 'and some are served');

for my $pid (@workers) {
    my $peak = memory($pid, 'VmHWM') - $before{$pid};
    note sprintf 'worker %d: %d MB before, %d MB more at most', $pid,
        $before{$pid} / 1024, $peak / 1024;
    cmp_ok $peak, '<', JOBS * HASH_KB + 65536,
        'memory is that of two hashes, however many ask';
}

# The jobs of those who left have ended, and given their permits back.
my $r;
ok $s->wait_until(20, sub {
    $r = $s->login('bob');
    return $r->{status} == 200;
}), 'then one signs in again';
is_deeply [grep { memory($_, 'VmRSS') > $before{$_} + 65536 } @workers], [],
    'and the memory is given back';
is_deeply [sort { $a <=> $b } $s->workers], [sort { $a <=> $b } @workers],
    'no worker was lost';

diag sprintf '99th percentile of others: %.2f ms in quiet (%d), %.2f ms in '
    . 'the storm (%d): %.1f times', 1000 * $quiet, $n, 1000 * $loud, $m,
    $quiet ? $loud / $quiet : 0;

is_deeply [$s->alarms], [], 'no alarms';
done_testing;
