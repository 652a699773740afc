#!/usr/bin/perl

# tenonctl against a database of its own: migrations are applied once and
# never change; months ahead are made at every run; apps load whole or not at
# all; errors name file and line; nobody waits long behind a lock; the doctor
# finds what was broken on purpose.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use File::Path qw(make_path);
use File::Temp ();
use Test::More;
use TenonPg;

my $root  = "$Bin/../..";
my $ctl   = ($ENV{TENON_BUILD} // "$root/build") . '/bin/tenonctl';
my $pg    = TenonPg->new;
my $owner = $pg->conninfo('tenon', 'tenon_owner');
my $api   = $pg->conninfo('tenon', 'tenon_api');
my $dir   = File::Temp->newdir;

$pg->sql('create database tenon');
$pg->psql('-d', $pg->conninfo('tenon'), '-1', '-f',
          "$root/schema/bootstrap.sql");
system('cp', '-r', "$root/schema/migrations", "$root/schema/apps", "$dir/")
    == 0 or die "cp failed\n";

sub spew {
    my ($path, $text) = @_;
    open my $out, '>', "$dir/$path" or die "$path: $!\n";
    print {$out} $text;
    close $out or die "$path: $!\n";
    return;
}

sub ctl {
    my ($conninfo, @args) = @_;
    local $ENV{TENON_DATABASE} = $conninfo;
    my $out = qx{'$ctl' @args 2>&1};
    return ($? >> 8, $out);
}

sub refused {
    my ($args, $message, $name) = @_;
    my ($status, $out) = ctl($owner, $args);
    is($status, 1, "$name: refused");
    like($out, $message, "$name: says why");
    return;
}

my $migrate = "migrate --dir $dir/migrations";
my $load    = "app load --dir $dir/apps";

my ($status, $out) = ctl($owner, $migrate);
is($status, 0, 'migrations apply') or diag($out);
($status, $out) = ctl($owner, $migrate);
like($out, qr/^up to date: /, 'a second time there is nothing to do');

spew('migrations/0900_broken.sql', "create table tenon.half (a int);\n\nnope;");
refused($migrate, qr{/0900_broken\.sql:3: syntax error}, 'a broken file');
is($pg->psql('-d', $owner, '-c', "select to_regclass('tenon.half')") =~ /\S/,
   '', 'nothing of a broken file stays');
unlink "$dir/migrations/0900_broken.sql";

spew('migrations/0900_ends.sql', 'select 1; commit;');
refused($migrate, qr{:1: begins or ends a transaction}, 'a COMMIT in a file');
unlink "$dir/migrations/0900_ends.sql";

spew('migrations/none.sql', 'select 1;');
refused($migrate, qr/NNNN_name\.sql/, 'a file without a number');
unlink "$dir/migrations/none.sql";

rename "$dir/migrations/0001_platform.sql", "$dir/kept";
refused($migrate, qr/0001_platform\.sql, but the file is missing|comes before/,
        'a missing file');
system('cp', "$dir/kept", "$dir/migrations/0001_platform.sql");
system("echo '-- more' >> $dir/migrations/0001_platform.sql");
refused($migrate, qr/was changed after it was applied/, 'a changed file');

($status, $out) = ctl($owner, "$load teamos --check");
is($status, 0, 'an app can be tried') or diag($out);
is($pg->psql('-d', $owner, '-c', "select to_regclass('teamos.task')") =~ /\S/,
   '', 'which changes nothing');
($status, $out) = ctl($owner, "$load teamos");
is($status, 0, 'an app loads') or diag($out);
($status, $out) = ctl($owner, "$load teamos");
is($status, 0, 'and again') or diag($out);

make_path("$dir/apps/bad");
my $begin = "create schema bad; create table bad.t (a int);";
spew('apps/bad/1.sql', "$begin select tenon.app_begin('bad');\n"
   . "create function bad.f() returns int language sql begin atomic\n"
   . "    select case when true then 1 end; end;\n"
   . "select 'ü;', \$q\$ ; \$q\$ /* ; */; -- ;\n\n"
   . "select tenon.field('bad.t',\n    'a');\n");
refused("$load bad", qr{/bad/1\.sql:6: .*\n  hint: .*\n\z},
        'a refused declaration');
spew('apps/bad/demo.sql', 'select 1;');
spew('short', "short\n");
refused("$load bad --demo --demo-password-file $dir/short",
        qr{\A\S+ \S+/short: a password has 8 to 1024 bytes\n\z},
        'a bad password, before any SQL runs');
unlink "$dir/apps/bad/demo.sql";
spew('apps/bad/1.sql', "$begin select tenon.app_begin('bad');\n"
   . "do \$\$ begin perform 1 / 0; end \$\$;\n");
refused("$load bad", qr{\n  in: SQL statement "SELECT 1 / 0"\n},
        'an error in a block');
spew('apps/bad/1.sql', "$begin\n"
   . "/* ü */ select 'é',\n    nope\n  from bad.t;\n");
refused("$load bad", qr{/bad/1\.sql:3: column "nope"}, 'an unknown column');
spew('apps/bad/1.sql', "$begin\n");
refused("$load bad", qr{its files declare nothing}, 'an app that begins none');
is($pg->psql('-d', $owner, '-c', "select to_regnamespace('bad')") =~ /\S/,
   '', 'nothing of a bad app stays');


# What SQL accepts and a worker couldn't serve is refused while it can be.

my $version = 'select version from tenon.catalogue_version';
my $served = $pg->psql('-d', $owner, '-c', $version);
sub teamos_with {
    my ($name, $sql) = @_;
    spew("apps/teamos/$name", $sql);
    return "$dir/apps/teamos/$name";
}

# PostgreSQL's \y, the edge of a word, is not PCRE's.
my $more = teamos_with('30_more.sql', q{
    update tenon.field set pattern = '\ybug' where name = 'title'});
for my $check ('', ' --check') {
    refused("$load teamos$check", qr/^tenonctl: app teamos: .*title.*\\ybug/m,
            "a pattern that can't be compiled$check");
}
unlink $more;

$more = teamos_with('30_more.sql',
                    'alter table teamos.task drop column deleted_at cascade');
refused("$load teamos", qr{^tenonctl: app teamos: \w+ /v1/\S+: .*deleted_at}m,
        "a statement that can't be parsed");
unlink $more;

is($pg->psql('-d', $owner, '-c', $version), $served,
   'the catalogue is the one that was there');


# Apps are listed, and go as they came.

my $apps = 'app list';
($status, $out) = ctl($owner, $apps);
is($status, 0, 'apps are listed') or diag($out);
like($out, qr/\Ateamos\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t\d+\n\z/,
     'with when they were loaded, and their size');

refused('app unload nothing', qr/there is no app/, 'an app that is not there');
($status, $out) = ctl($owner, 'app unload teamos');
is($status, 0, 'an app is unloaded') or diag($out);
like($out, qr{^  no longer served: /v1/tasks$}m, 'what went is said');
like($out, qr/tables, their rows and their events stay/, 'and what stays');
isnt($pg->psql('-d', $owner, '-c', $version), $served,
     'workers get to know of it');
like($pg->psql('-d', $owner, '-c', "select to_regclass('teamos.task')"),
     qr/task/, 'its tables are there');
is((ctl($owner, $apps))[1], '', 'nothing is listed');
($status, $out) = ctl($api, 'doctor');
is($status, 0, 'the doctor finds the database well without it') or diag($out);
is((ctl($owner, 'app unload'))[0], 2, 'unload wants a name');
is((ctl($owner, 'app list teamos'))[0], 2, 'list wants none');

($status, $out) = ctl($owner, "$load teamos");
is($status, 0, 'it can be loaded again') or diag($out);

($status, $out) = ctl($owner, "$load clinic");
is($status, 0, 'one with actions and queries loads') or diag($out);
($status, $out) = ctl($owner, 'app unload clinic');
is($status, 0, 'and is unloaded') or diag($out);
like($out, qr{^  no longer served: /v1/visits/\{id\}/check-in$}m,
     'actions that went are said');
like($out, qr{^  no longer served: /v1/queries/\S+$}m, 'and queries');

($status, $out) = ctl($api, 'doctor');
is($status, 0, 'the doctor finds the database well') or diag($out);

my $super = $pg->conninfo('tenon');
$pg->psql('-d', $super, '-c', 'revoke select on teamos.task from tenon_api');
($status, $out) = ctl($api, 'doctor');
is($status, 1, 'a right that is missing is found');
like($out, qr{^FAIL GET /v1/tasks }m, 'and the endpoint that needs it named');
$pg->psql('-d', $super, '-c', 'grant select on teamos.task to tenon_api');

$pg->psql('-d', $super, '-c',
          'alter table teamos.task no force row level security');
($status, $out) = ctl($api, 'doctor');
like($out, qr{^FAIL tables .*\n +teamos\.task$}m, 'so is a wall taken down');

$pg->psql('-d', $super, '-c',
          'alter table teamos.task force row level security');


# Months ahead: missed by the doctor, made by migrate though it is up to date.

my $month = $pg->psql('-d', $super, '-c', q{
    select 'event_' || to_char(date_trunc('month', now() at time zone 'UTC')
                               + interval '1 month', 'YYYY_MM')});
system('cp', "$dir/kept", "$dir/migrations/0001_platform.sql");

$pg->psql('-d', $super, '-c', "drop table tenon.$month");
($status, $out) = ctl($api, 'doctor');
is($status, 1, 'a month that is missing is found');
like($out, qr{^FAIL events .*\n +there is no tenon\.$month; run tenonctl}m,
     'and what to do said');
($status, $out) = ctl($owner, $migrate);
is($status, 0, 'migrate has no migration to apply') or diag($out);
like($out, qr/^up to date: .*\nmade 1 partitions? of events$/m,
     'but makes the month');
($status, $out) = ctl($api, 'doctor');
is($status, 0, 'the doctor finds the database well again') or diag($out);

# Two callers: the first holds its transaction open for a while.
my $call = 'select tenon.make_partitions(14)';
my $first = background('-c', 'begin', '-c', $call, '-c',
                       'select pg_sleep(1.5)', '-c', 'commit');
until ($pg->psql('-d', $super, '-c', q{
    select count(*) from pg_locks where locktype = 'advisory' and granted})) {
    select undef, undef, undef, 0.02;
}
is($pg->psql('-d', $owner, '-c', $call), 0,
   'the second of two callers waits, and finds all made');
like(join('', <$first>), qr/^4$/m, 'by the first');
close $first;


# A lock that somebody holds: given up, said clearly, nothing changed.

sub background {
    my (@arg) = @_;
    open my $in, '-|', 'sh', '-c', 'exec "$@" 2>/dev/null', 'sh', 'psql',
        '-AtqX', '-d', $owner, @arg or die "psql: $!\n";
    return $in;
}

sub blocked {
    my ($table, $args, $name) = @_;
    my $holder = background('-c', 'begin', '-c', "lock table $table",
                            '-c', 'select pg_sleep(60)');
    my $pid;
    until ($pid = $pg->psql('-d', $super, '-c', qq{
        select pid from pg_locks where granted and locktype = 'relation'
           and mode = 'AccessExclusiveLock'
           and relation = '$table'::regclass})) {
        select undef, undef, undef, 0.02;
    }
    refused($args, qr/lock timeout\n(?:.*\n)*  hint: another session/, $name);
    $pg->psql('-d', $super, '-c', "select pg_terminate_backend($pid)");
    close $holder;
    return;
}

blocked('teamos.task', "$load teamos", 'a load whose table is locked');
spew('migrations/0900_alter.sql', "alter table tenon.role add column x int;");
blocked('tenon.role', $migrate, 'a migration whose table is locked');
unlink "$dir/migrations/0900_alter.sql";
$pg->psql('-d', $super, '-c', "drop table tenon.$month");
blocked('tenon.event_default', $migrate, 'a month whose DEFAULT is locked');
($status, $out) = ctl($owner, $migrate);
is($status, 0, 'which may simply be run again') or diag($out);


# By hand, as schema/README.md says: tenonctl goes on from there.

open my $readme, '<', "$root/schema/README.md" or die "README.md: $!\n";
my ($by_hand) = do { local $/; <$readme> } =~ /^```sh\n(createdb.+?)^```/ms;
{
    local @ENV{qw(PGHOST PGPORT PGUSER PGOPTIONS)} =
        ($pg->dir, $pg->port, 'postgres', '-c client_min_messages=warning');
    $by_hand =~ s/\btenon\b(?=\s*$| -[Uf]| \\)/by_hand/mg;
    is(system('sh', '-ec', "cd '$root' && { $by_hand } >/dev/null"), 0,
       'the recipe runs');
}
($status, $out) = ctl($pg->conninfo('by_hand', 'tenon_owner'), $migrate);
is($status, 0, 'tenonctl knows what was done by hand') or diag($out);
like($out, qr/^up to date: /, 'and has nothing to add');
($status, $out) = ctl($pg->conninfo('by_hand', 'tenon_api'), 'doctor');
is($status, 0, 'the doctor finds it well') or diag($out);

($status, $out) = ctl($owner, 'nonsense');
is($status, 2, 'called the wrong way: exit code 2');

done_testing;
