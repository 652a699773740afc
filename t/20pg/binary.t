#!/usr/bin/perl

# Runs the program of the same name against a cluster of its own.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";
use TenonPg;

my $pg = TenonPg->new;
$ENV{TENON_CONNINFO} = $pg->conninfo;
my $program = ($ENV{TENON_BUILD} // "$Bin/../../build") . '/t/20pg/binary';
exit(system($program) ? 1 : 0);
