#!/usr/bin/perl

# storm.pl [SECONDS [ROUNDS [JOBS]]]: what a crowd that signs in costs others.
#
# Somebody who is signed in lists tasks, one request after the other. Beside them,
# in turn: nobody; a thousand connections every 1.25 s whose logins have no
# password, so that nothing is hashed (what the crowd costs by being there, and
# what its own program takes of the cores); the same crowd with passwords.
#
# All of it shares the machine's cores, the crowd's program and PostgreSQL too.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../t/lib";

use POSIX ();
use Time::HiRes qw(sleep time);

use TenonServer ();

my ($seconds, $rounds, $jobs) = (@ARGV, (5, 5, 2)[@ARGV .. 2]);
for ($seconds, $rounds, $jobs) {
    /\A[1-9]\d*\z/ or die "seconds, rounds and jobs are positive, not $_\n";
}

use constant CROWD => 1000;
use constant EVERY => 1.25; # seconds

my $s = TenonServer->new(http =>
    "keepalive_requests 1000000; tenon_hash_jobs $jobs;");
$s->token('bob'); # before the fork

my @sides = ('nobody', 'no password', 'password');
my %took;

for my $round (0 .. $rounds - 1) {
    my @turn = @sides;
    push @turn, splice @turn, 0, $round % @turn;
    for my $side (@turn) {
        push @{ $took{$side} }, measure($side);
        sleep 1; # what is under way ends
    }
}

printf "%-14s %10s %24s %10s\n", 'the crowd', 'p50, ms',
    'p99, ms (least to most)', 'requests';
for my $side (@sides) {
    my ($p50, $p99, $n) = map { my $i = $_;
        [sort { $a <=> $b } map { $_->[$i] } @{ $took{$side} }] } 0 .. 2;
    printf "%-14s %10.2f %8.2f (%5.2f to %5.2f) %10d\n", $side,
        $p50->[$#$p50 / 2], $p99->[$#$p99 / 2], @$p99[0, -1], $n->[$#$n / 2];
}


# The median and the 99th percentile of others' times, and how many there were.
sub measure {
    my ($side) = @_;
    pipe my $out, my $in or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        close $out;
        syswrite $in, join ' ', others();
        POSIX::_exit(0);
    }
    close $in;
    crowd($side eq 'password') if $side ne 'nobody';
    my $text = <$out>;
    waitpid $pid, 0;
    defined $text or die "a request was refused\n";
    return [split / /, $text];
}

sub others {
    my @took;
    my $c = $s->connect('127.0.0.3');
    my $bytes = $s->bytes(GET => 'tasks?limit=5', as => 'bob');
    my $end = time + $seconds;
    while (time < $end) {
        my $began = time;
        $c->write($bytes);
        my $r = $c->response;
        $r && $r->{status} == 200 or POSIX::_exit(1);
        push @took, 1000 * (time - $began);
        sleep 0.002;
    }
    @took = sort { $a <=> $b } @took;
    return ($took[$#took / 2], $took[0.99 * $#took], scalar @took);
}

sub crowd {
    my ($hashed) = @_;
    my $end = time + $seconds;
    while (time < $end) {
        my $next = time + EVERY;
        my @c = map { $s->connect('127.1.' . $_ % 250 . '.1') } 1 .. CROWD;
        for my $i (0 .. $#c) {
            $c[$i]->write($s->bytes(POST => 'auth/login', at => 'acme',
                json => { email => "x$i\@acme.test",
                          $hashed ? (password => 'a guess') : () }));
        }
        $_->response for @c;
        $_->close for @c;
        sleep $next - time if $next > time;
    }
    return;
}
