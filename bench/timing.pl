#!/usr/bin/perl

# Whether refused logins can be told apart by how long they take.
#
#     bench/timing.pl [SAMPLES]            make timing SAMPLES=500
#
# So many logins (2,000) of each kind, one after the other over one connection,
# the kinds mixed anew each round, so that whatever else the machine does falls
# on all alike. "unknown" is there twice: how far these two lie apart is what
# chance does.
#
# A kind's delta is the median of what it took longer than the first kind of the
# same round, between the bounds within which that median lies nineteen times of
# twenty. Fails unless all of that is within a millisecond: on a busy machine
# chance alone does more, and then nothing is shown.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../t/lib";

use List::Util qw(shuffle);
use Time::HiRes qw(time);

use TenonLogins ();
use TenonServer ();

my $samples = $ARGV[0] // 2000;
die "usage: bench/timing.pl [SAMPLES]\n" if $samples !~ /\A[1-9]\d*\z/;

# Five logins each: half as many as lock.
my $s = TenonServer->new;
my $logins = TenonLogins->new($s, 1 + int $samples / 5);
my @kinds = $logins->kinds;
my ($c, @took);

for my $n (0 .. $samples - 1) {
    # before nginx has enough of it
    $c = $s->connect if $n % 50 == 0;

    for my $kind (shuffle 0 .. $#kinds) {
        my $bytes = $logins->bytes($kind, $n);
        my $began = time;
        $c->write($bytes);
        my $r = $c->response;
        push @{ $took[$kind] }, time - $began;
        die "$kinds[$kind]: $r->{status} $r->{body}\n" if $r->{status} != 401;
    }
}

sub quantile {
    my ($q, @t) = @_;
    @t = sort { $a <=> $b } @t;
    return 1000 * $t[int $q * $#t];
}

# The median and its bounds, by the ranks of a sorted sample.
sub delta {
    my ($kind) = @_;
    my @d = map { $took[$kind][$_] - $took[0][$_] } 0 .. $samples - 1;
    my $half = 0.98 / sqrt $samples;
    return map { quantile($_ < 0 ? 0 : $_ > 1 ? 1 : $_, @d) }
        0.5, 0.5 - $half, 0.5 + $half;
}

my $failed = 0;
printf "%-20s %9s %9s %9s %9s %17s   of %d\n", '', 'median', 'p10', 'p90',
    'delta', 'between', $samples;

for my $kind (0 .. $#kinds) {
    my ($delta, $low, $high) = delta($kind);
    my $what = $low > 1 || $high < -1 ? '   more than 1 ms'
        : $high - $low > 2 ? '   too noisy to tell' : '';
    $failed++ if $what;
    printf "%-20s %6.2f ms %6.2f ms %6.2f ms %+6.2f ms %+6.2f .. %+6.2f%s\n",
        $kinds[$kind], map({ quantile($_, @{ $took[$kind] }) } 0.5, 0.1, 0.9),
        $delta, $low, $high, $what;
}

exit $failed ? 1 : 0;
