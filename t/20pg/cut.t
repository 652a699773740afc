#!/usr/bin/perl

# Runs the program of the same name against a cluster of its own; the program
# puts a bad line in front of it, listening in a directory of its own.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin qw($Bin);
use lib "$Bin/../lib";
use TenonPg;

my $pg = TenonPg->new;
$ENV{TENON_CONNINFO} = $pg->conninfo;
$ENV{TENON_PG_SOCKET} = $pg->socket;
$ENV{TENON_LINE_DIR} = tempdir('tenon-line-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $program = ($ENV{TENON_BUILD} // "$Bin/../../build") . '/t/20pg/cut';
exit(system($program) ? 1 : 0);
