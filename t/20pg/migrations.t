#!/usr/bin/perl

# The way to a new version's schema, as docs/operations.md has it under
# "Upgrading": what it builds by hand beforehand is what the migration would
# have built, and a database that isn't ready is refused and left as it was.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use File::Temp ();
use Test::More;
use TenonPg;

my $root   = "$Bin/../..";
my $schema = "$root/schema";
my $ctl    = ($ENV{TENON_BUILD} // "$root/build") . '/bin/tenonctl';
my $pg     = TenonPg->new;
my $old    = File::Temp->newdir;

local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
system('cp', glob("$schema/migrations/000[12]_*.sql"), "$old/") == 0
    or die "cp failed\n";

open my $in, '<', "$root/docs/operations.md" or die "operations.md: $!\n";
my ($by_hand) = do { local $/; <$in> }
    =~ /^## Upgrading\n.*?^```sql\n(.+?)^```/ms;
ok defined $by_hand, 'the commands are there';

# A database of schema 2.
sub database {
    my ($name) = @_;
    $pg->sql("create database $name");
    $pg->psql('-d', $pg->conninfo($name), '-1', '-f', "$schema/bootstrap.sql");
    my ($status, $out) = migrate($name, "$old");
    is $status, 0, "$name: schema 2" or diag $out;
    return;
}

sub migrate {
    my ($name, $dir) = @_;
    local $ENV{TENON_DATABASE} = $pg->conninfo($name, 'tenon_owner');
    my $out = qx{'$ctl' migrate --dir '$dir' 2>&1};
    return ($? >> 8, $out);
}

sub refused {
    my ($name, $message, $what) = @_;
    my ($status, $out) = migrate($name, "$schema/migrations");
    is $status, 1, "$what: refused";
    like $out, $message, "$what: says why";
    is sql($name, 'select max(version) from tenon.migration'), '2',
        "$what: the schema is as it was";
    return;
}

sub sql {
    my ($name, @sql) = @_;
    return $pg->psql('-d', $pg->conninfo($name, 'tenon_owner'),
                     map { ('-c', $_) } @sql);
}

sub indexes {
    my ($name) = @_;
    return sql($name, q{
        select pg_get_indexdef(indexrelid), indisvalid, indisready
          from pg_index
         where indrelid in (select oid from pg_class
                             where relnamespace = 'tenon'::regnamespace)
         order by indexrelid::regclass::text});
}

database('plain');
my ($status, $out) = migrate('plain', "$schema/migrations");
is $status, 0, 'plain: the newest schema' or diag $out;

database('prepared');
my @commands = grep { /\S/ } split /;\n/, $by_hand;
cmp_ok scalar @commands, '>=', 4, 'commands to build by hand';
sql('prepared', @commands);
my $oid = q{select 'tenon.session_ended'::regclass::oid};
my $built = sql('prepared', $oid);
($status, $out) = migrate('prepared', "$schema/migrations");
is $status, 0, 'prepared: the newest schema' or diag $out;
is sql('prepared', $oid), $built, 'it keeps what was built by hand';
is indexes('prepared'), indexes('plain'), 'and that is what it would build';


# The role is there, since another database's bootstrap made it.

database('second');
$pg->psql('-d', $pg->conninfo('second'),
          '-c', 'drop extension pg_trgm; drop extension btree_gin');
refused('second', qr/database second lacks: extension btree_gin, extension pg_trgm\n(?:.*\n)*.*bootstrap\.sql/,
        'without the extensions');

$pg->psql('-d', $pg->conninfo('second'), '-1', '-f', "$schema/bootstrap.sql");
sql('second', 'create index session_ended on tenon.session (ip)');
$pg->psql('-d', $pg->conninfo('second'), '-c', q{
    update pg_index set indisvalid = false
     where indexrelid = 'tenon.session_ended'::regclass});
refused('second', qr/not built to the end: tenon\.session_ended/,
        'an index that broke off');
sql('second', 'drop index tenon.session_ended');
($status, $out) = migrate('second', "$schema/migrations");
is $status, 0, 'second: the newest schema' or diag $out;

done_testing;
