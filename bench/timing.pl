#!/usr/bin/perl

# Whether refused logins can be told apart by how long they take.
#
#     bench/timing.pl [SAMPLES]            make timing SAMPLES=500
#
# So many logins (2,000) of each kind, one after the other over one connection,
# the kinds mixed anew each round, so that whatever else the machine does falls
# on all alike. "unknown" is there twice: how far these two lie apart is what
# chance does. Fails where a kind's median is more than a millisecond away from
# the first's.

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

my @median = map { quantile(0.5, @$_) } @took;
my $failed = 0;
printf "%-20s %9s %9s %9s %9s   of %d\n", '', 'median', 'p10', 'p90', 'delta',
    $samples;

for my $kind (0 .. $#kinds) {
    my $delta = $median[$kind] - $median[0];
    $failed++ if abs $delta > 1;
    printf "%-20s %6.2f ms %6.2f ms %6.2f ms %+6.2f ms%s\n", $kinds[$kind],
        $median[$kind], quantile(0.1, @{ $took[$kind] }),
        quantile(0.9, @{ $took[$kind] }), $delta,
        abs $delta > 1 ? '   more than 1 ms' : '';
}

exit $failed ? 1 : 0;
