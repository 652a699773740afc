#!/usr/bin/perl

# tenonctl against a database of its own: migrations are applied once and
# never change; apps load whole or not at all; errors name file and line;
# the doctor finds what was broken on purpose.

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
refused("$load bad", qr{/bad/1\.sql:6: .*\n  hint: }, 'a refused declaration');
spew('apps/bad/1.sql', "$begin\n"
   . "/* ü */ select 'é',\n    nope\n  from bad.t;\n");
refused("$load bad", qr{/bad/1\.sql:3: column "nope"}, 'an unknown column');
spew('apps/bad/1.sql', "$begin\n");
refused("$load bad", qr{its files declare nothing}, 'an app that begins none');
is($pg->psql('-d', $owner, '-c', "select to_regnamespace('bad')") =~ /\S/,
   '', 'nothing of a bad app stays');

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

($status, $out) = ctl($owner, 'nonsense');
is($status, 2, 'called the wrong way: exit code 2');

done_testing;
