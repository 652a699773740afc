#!/usr/bin/perl

# Runs the program of the same name twice: over the unix socket, and over
# loopback with TLS.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";
use Test::More tests => 2;
use TenonPg;

my $pg = TenonPg->new(tls => 1);
my $program = ($ENV{TENON_BUILD} // "$Bin/../../build") . '/t/20pg/payload';

for my $way ('conninfo', 'conninfo_tls') {
    $ENV{TENON_CONNINFO} = $pg->$way;
    my $out = qx{'$program' 2>&1};
    is($?, 0, "payloads, $way") or diag($out);
}
