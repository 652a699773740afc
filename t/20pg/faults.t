#!/usr/bin/perl

# Runs the program of the same name against a cluster of its own, which it
# may stop and start.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";
use TenonPg;

my $pg = TenonPg->new;
$ENV{TENON_CONNINFO} = $pg->conninfo;
$ENV{TENON_PG_RESTART} = $pg->command('-l', $pg->log, '-m', 'fast', 'restart');
$ENV{TENON_PG_START} = $pg->command('-l', $pg->log, 'start');
$ENV{TENON_PG_STOP} = $pg->command('-m', 'fast', 'stop');
my $program = ($ENV{TENON_BUILD} // "$Bin/../../build") . '/t/20pg/faults';
exit(system($program) ? 1 : 0);
