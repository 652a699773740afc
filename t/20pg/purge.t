#!/usr/bin/perl

# tenonctl purge: removes what has run out, in as many batches as it takes,
# and says how much it was.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use Test::More;
use TenonPg;

my $root   = "$Bin/../..";
my $ctl    = ($ENV{TENON_BUILD} // "$root/build") . '/bin/tenonctl';
my $pg     = TenonPg->new;
my $super  = $pg->conninfo('tenon');
my $worker = $pg->conninfo('tenon', 'tenon_worker');

local $ENV{PGOPTIONS} = '-c client_min_messages=warning';

$pg->sql('create database tenon');
$pg->psql('-d', $super, '-1', '-f', "$root/schema/bootstrap.sql");
for my $file (glob "$root/schema/migrations/*.sql") {
    $pg->psql('-d', $pg->conninfo('tenon', 'tenon_owner'), '-1', '-f', $file);
}

sub purge {
    my ($conninfo, @args) = @_;
    local $ENV{TENON_DATABASE} = $conninfo;
    my $out = qx{'$ctl' purge @args 2>&1};
    return ($? >> 8, $out);
}

my ($status, $out) = purge($worker);
is $status, 0, 'there is nothing to remove';
is $out, "removed 0 rows\n", 'and it says so';

$pg->psql('-d', $super, '-c', <<'SQL');
insert into tenon.idempotency (tenant_id, key, fingerprint, outcome, at)
select gen_random_uuid(), '', '', '{}',
       now() - case when n % 10 = 0 then '1 hour' else '25 hours' end::interval
  from generate_series(1, 25000) as n
SQL

($status, $out) = purge($worker);
is $out, "removed 22500 rows\n", 'all that has run out is removed';
is $pg->psql('-d', $super, '-c', 'select count(*) from tenon.idempotency'),
    '2500', 'and nothing else';

($status, $out) = purge($pg->conninfo('tenon', 'tenon_api'));
is $status, 1, 'not for anybody';
like $out, qr/permission denied for function purge/, 'who hears why';

($status, $out) = purge($worker, 'now');
is $status, 2, 'called the wrong way: exit code 2';

done_testing;
