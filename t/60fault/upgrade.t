#!/usr/bin/perl

# A binary upgrade (USR2, then QUIT to the old master), which a new module or
# library needs, loses no request. An app that is loaded meanwhile is served by
# the old workers and by the new ones.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $old = $s->master;
my @old = $s->workers;
my $file = $s->dir . '/answers';
$s->token('alice');

my $end = time + 3;
my $pid = fork // die "fork: $!\n";
if ($pid == 0) {
    open my $out, '>', $file or POSIX::_exit(1);
    while (time < $end) {
        my $r = eval { $s->request(GET => 'me', as => 'alice') };
        print {$out} $r ? $r->{status} : "lost: $@", "\n";
    }
    close $out;
    POSIX::_exit(0);
}

sleep 0.5;
kill USR2 => $old;
ok $s->wait_until(5, sub {
    my $now = eval { $s->master };
    return $now && $now != $old && $s->workers;
}), 'there is a new master, and it has workers';

my ($version) = $s->tenonctl('app load', 'teamos', '--dir',
                             $s->var . '/stage/schema/apps')
    =~ /catalogue version (\d+)$/m;
ok $s->wait_until(3, sub {
    open my $in, '<', $s->error_log or die "error.log: $!\n";
    my %pid = map { /\] (\d+)#.* catalogue version \Q$version\E is served$/
                        ? ($1 => 1) : () } <$in>;
    return !grep { !$pid{$_} } @old, $s->workers;
}), 'old and new workers serve what is loaded';
kill QUIT => $old;
ok $s->wait_until(8, sub { !kill 0 => $old }), 'the old one goes';
waitpid $pid, 0;

my %seen;
open my $in, '<', $file or die "$file: $!\n";
chomp, $seen{$_}++ while <$in>;
is_deeply [keys %seen], [200], "all of $seen{200} requests are served";
status_is $s->request(GET => 'me', as => 'alice'), 200, 'and the next';

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';

done_testing;
