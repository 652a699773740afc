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
my $last   = File::Temp->newdir;

local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
system('cp', glob("$schema/migrations/000[12]_*.sql"), "$old/") == 0
    or die "cp failed\n";
system('cp', glob("$schema/migrations/000[123]_*.sql"), "$last/") == 0
    or die "cp failed\n";

open my $in, '<', "$root/docs/operations.md" or die "operations.md: $!\n";
my $operations = do { local $/; <$in> };
my ($by_hand) = $operations =~ /^## Upgrading\n.*?^```sql\n(.+?)^```/ms;
ok defined $by_hand, 'the commands are there';

# A database of an older schema: 2, or that of another folder.
sub database {
    my ($name, $dir) = @_;
    $pg->sql("create database $name");
    $pg->psql('-d', $pg->conninfo($name), '-1', '-f', "$schema/bootstrap.sql");
    my ($status, $out) = migrate($name, $dir // "$old");
    is $status, 0, "$name: an older schema" or diag $out;
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


# From schema 3, with an app, its people and their rows. The app is today's, but
# for what it couldn't say then.

sub of_then {
    my ($name) = @_;
    open my $from, '<', "$schema/apps/teamos/$name" or die "$name: $!\n";
    my $sql = do { local $/; <$from> };
    $sql =~ s/^select tenon\.(?:plan|meter)\w*\(.*?;\n//gms;
    $sql =~ s/^ *insert into tenon\.(?:subscription|plan_override)\b.*?;\n//gms;
    $sql =~ s/,\s*(?:usage|units) => '[^']*'//g;
    open my $to, '>', "$old/$name" or die "$name: $!\n";
    print $to $sql;
    close $to or die "$name: $!\n";
    return ('-f', "$old/$name");
}

database('lived', "$last");
{
    local $ENV{PGOPTIONS} =
        "$ENV{PGOPTIONS} -c tenon.demo_password_hash=not-a-hash";
    $pg->psql('-d', $pg->conninfo('lived', 'tenon_owner'), '-1',
              map { of_then($_) }
              qw(10_tables.sql 20_declarations.sql demo.sql));
}

my $everything = join ' union all ', map {
    "select '$_' as what, to_jsonb(t) - array['search_columns', 'usage', "
    . "'units', 'requires_feature', 'contains', 'loaded_at'] as row from $_ t"
} qw(tenon.tenant tenon.member tenon."user" tenon.event tenon.event_body
     tenon.permission tenon."grant" tenon.app tenon.resource tenon.field
     tenon.state tenon.transition teamos.project teamos.task teamos.comment);
my $made = q{
    select pg_get_indexdef(indexrelid), indexrelid from pg_index
     where indrelid::regclass::text ~ '^teamos[.]'
    union all
    select proname || proacl::text, oid from pg_proc
     where pronamespace = 'teamos'::regnamespace
    union all
    select pg_get_constraintdef(oid), oid from pg_constraint
     where connamespace = 'teamos'::regnamespace
    union all
    select pg_get_triggerdef(oid), oid from pg_trigger
     where tgrelid::regclass::text ~ '^teamos[.]' and not tgisinternal
    union all
    select polname || polrelid::regclass, oid from pg_policy
     where polrelid::regclass::text ~ '^teamos[.]'};

# Read past row security.
sub all_of {
    my ($sql) = @_;
    return join "\n", sort split /\n/, $pg->psql('-d', $pg->conninfo('lived'),
                                                 '-c', $sql);
}

my $objects = all_of($made);
all_of("create table public.was as $everything");
cmp_ok all_of('select count(*) from public.was'), '>', 100,
    'there is something to keep';

($status, $out) = migrate('lived', "$schema/migrations");
is $status, 0, 'from schema 3 to the newest' or diag $out;
# A newer schema may have columns and rows besides.
is all_of("with now as materialized ($everything)
           select what, row from public.was
            where not exists (select from now
                               where now.what = was.what
                                 and now.row @> was.row)"), '',
    'every row is as it was';
is all_of($made), $objects, 'and so is what the app declared';

my $task = '01900000-000a-7000-8000-000000000501';
my $tenant = q{set tenon.tenant = '01900000-000a-7000-8000-000000000001'};
$pg->psql('-d', $pg->conninfo('lived', 'tenon_owner'), '-c', $tenant, '-c',
          "update teamos.task set title = 'by hand' where id = '$task'");
is $pg->psql('-d', $pg->conninfo('lived', 'tenon_api'), '-c', $tenant, '-c',
             "select action || ' ' || version from tenon.audit_event
               where resource_id = '$task' order by at desc limit 1"),
    'task.updated 2', 'the old app goes on, and its log';

$pg->psql('-d', $pg->conninfo('lived', 'tenon_owner'), '-1', '-f',
          "$schema/apps/teamos/20_declarations.sql");
is all_of($made), $objects, 'loaded again, it finds what it declared';
is $pg->psql('-d', $pg->conninfo('lived', 'tenon_api'), '-c', $tenant, '-c',
             q{select count(*) from teamos.task_search('by hand')}), '1',
    'and searches';


# Domains of tenants that were deleted before deletion gave them up.

my $before = File::Temp->newdir;
for my $file (sort glob "$schema/migrations/*.sql") {
    last if $file =~ /_account_moves\.sql\z/;
    system('cp', $file, "$before/") == 0 or die "cp failed\n";
}
$pg->sql('create database ended');
$pg->psql('-d', $pg->conninfo('ended'), '-1', '-f', "$schema/bootstrap.sql");
($status, $out) = migrate('ended', "$before");
is $status, 0, 'ended: the schema before' or diag $out;
$pg->psql('-d', $pg->conninfo('ended'), '-c', q{
    with t (id, name, ended) as (
        values ('01900000-00ee-7000-8000-000000000001'::uuid, 'gone', now()),
               ('01900000-00ee-7000-8000-000000000002'::uuid, 'here', null)),
    r as (select realm_id as realm from tenon.realm limit 1),
    s as (insert into tenon.tenant_slug (slug, tenant_id, realm_id)
          select name, id, realm from t, r),
    made as (
        insert into tenon.tenant (tenant_id, realm_id, name, slug, deleted_at)
        select id, realm, name, name, ended from t, r)
    insert into tenon.domain (tenant_id, domain, verified_at)
    select id, name || '.example', now() from t});
($status, $out) = migrate('ended', "$schema/migrations");
is $status, 0, 'ended: the newest schema' or diag $out;
my $kept = 'select string_agg(domain, \' \') from tenon.';
is $pg->psql('-d', $pg->conninfo('ended'), '-c', "$kept$_"), 'here.example',
    "$_: only who is there has a domain" for qw(domain tenant_domain);
is $pg->psql('-d', $pg->conninfo('ended'), '-c', q{
    select string_agg(tenant_id::text, ' ') from tenon.event
     where action = 'domain.deleted'}),
    '01900000-00ee-7000-8000-000000000001', 'and the other\'s log says so';


# What 0032 locks: its indexes can be built beforehand, and each tenant, who is
# gone apart, has a row of it, also without a session's tenant.

my $undunned = File::Temp->newdir;
for my $file (sort glob "$schema/migrations/*.sql") {
    last if $file =~ /_dunning\.sql\z/;
    system('cp', $file, "$undunned/") == 0 or die "cp failed\n";
}
database('owing', "$undunned");
my $tenants = '01900000-00ef-7000-8000-00000000000';
$pg->psql('-d', $pg->conninfo('owing'), '-c', qq{
    with t (id, name, ended) as (
        values ('${tenants}1'::uuid, 'gone', now()),
               ('${tenants}2'::uuid, 'here', null)),
    r as (select realm_id as realm from tenon.realm limit 1),
    s as (insert into tenon.tenant_slug (slug, tenant_id, realm_id)
          select name, id, realm from t, r)
    insert into tenon.tenant (tenant_id, realm_id, name, slug, deleted_at)
    select id, realm, name, name, ended from t, r});
my ($dunning) = glob "$schema/migrations/*_dunning.sql";
open $in, '<', $dunning or die "$dunning: $!\n";
my @early = do { local $/; <$in> }
    =~ /^create index if not exists (\w+ on tenon\.job .+?);$/gms;
sql('owing', map { "create index concurrently $_" } @early);
my $early = q{select string_agg(i.indexrelid::text, ' ' order by i.indexrelid)
                from pg_index i
               where i.indexrelid in (}
          . join(', ', map { "'tenon." . (split ' ')[0] . "'::regclass" } @early)
          . ')';
cmp_ok scalar @early, '==', 3, 'owing: indexes to build by hand';
$built = sql('owing', $early);
($status, $out) = migrate('owing', "$schema/migrations");
is $status, 0, 'owing: the newest schema' or diag $out;
is sql('owing', $early), $built, 'it keeps what was built by hand';
is indexes('owing'), indexes('plain'), 'and that is what it would build';
is $pg->psql('-d', $pg->conninfo('owing'), '-c', q{
    select string_agg(t.name || ' ' || isfinite(e.due_at), ', ' order by name)
      from tenon.entitlement e
      join tenon.tenant t using (tenant_id)}), 'gone false, here true',
    'each tenant is to be looked at, but who is gone';
is $pg->psql('-d', $pg->conninfo('owing'), '-c', q{
    select has_column_privilege('tenon_lookup', 'tenon.entitlement', 'due_at',
                                'update'),
           (select string_agg(polname, ' ' order by polname) from pg_policy
             where polrelid = 'tenon.entitlement'::regclass)}),
    'f|lookup tenant', 'nobody is left with a right to change that';
# Who came while the file ran, before its triggers were there.
database('busy', "$undunned");
$pg->psql('-d', $pg->conninfo('busy'), '-c', qq{
    with r as (select realm_id as realm from tenon.realm limit 1),
    s as (insert into tenon.tenant_slug (slug, tenant_id, realm_id)
          select 'here', '${tenants}2', realm from r)
    insert into tenon.tenant (tenant_id, realm_id, name, slug)
    select '${tenants}2', realm, 'here', 'here' from r});
my $realm = $pg->psql('-d', $pg->conninfo('busy'), '-c',
                      'select realm_id from tenon.realm limit 1');
open $in, '<', $dunning or die "$dunning: $!\n";
my $text = do { local $/; <$in> };
$text =~ s/^(?=-- When it is to be looked at -)/
reset role;
insert into tenon.tenant_slug (slug, tenant_id, realm_id)
values ('came', '${tenants}3', '$realm');
insert into tenon.tenant (tenant_id, realm_id, name, slug)
values ('${tenants}3', '$realm', 'came', 'came');
update tenon.tenant set deleted_at = now() where tenant_id = '${tenants}2';
set local role tenon_owner;
/m or die "0032 has another shape\n";
my $meanwhile = File::Temp->new;
print {$meanwhile} "set local role tenon_owner;\n$text";
close $meanwhile;
$pg->psql('-d', $pg->conninfo('busy'), '-1', '-f', "$meanwhile");
is $pg->psql('-d', $pg->conninfo('busy'), '-c', q{
    select string_agg(t.name || ' ' || isfinite(e.due_at), ', ' order by name)
      from tenon.entitlement e
      join tenon.tenant t using (tenant_id)}), 'came true, here false',
    'nor is who comes or goes meanwhile left out';


# What "Before a load on a large table" builds by hand is what a load makes, and
# a load keeps it.

$pg->psql('-d', $pg->conninfo('lived', 'tenon_owner'), '-1',
          map { ('-f', $_) } sort glob "$schema/apps/clinic/[0-9]*.sql");
my ($large) = $operations =~
    /^### Before a load on a large table\n.*?^```sql\n(.+?)^```/ms;
@commands = grep { /\S/ } split /;\n/, $large // '';
my @built = map { /^(?:create|alter table .* add) .*?(patient_\w+)\n/m ? $1 : () } @commands;
is_deeply \@built,
    [qw(patient_record_contains patient_search patient_name_length)],
    'two searches and a limit to build by hand';
my $by_name = 'in (' . join(', ', map { "'$_'" } @built) . ')';
my $same = qq{
    select pg_get_indexdef(oid), obj_description(oid, 'pg_class'), oid
      from pg_class where relname $by_name
    union all
    select pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'), oid
      from pg_constraint where conname $by_name};
my $loaded = all_of($same);
sql('lived', map { /^create index concurrently (\w+)/m ? "drop index clinic.$1"
               : /constraint (\w+)\n? +check/
               ? "alter table clinic.patient drop constraint $1" : () }
             @commands);
is all_of($same), '', 'all of it is away';
sql('lived', @commands);
$built = all_of($same);
is $built =~ s/\d+$//gmr, $loaded =~ s/\d+$//gmr, 'built as a load does'
    or diag $loaded;
$pg->psql('-d', $pg->conninfo('lived', 'tenon_owner'), '-1',
          map { ('-f', $_) } sort glob "$schema/apps/clinic/[0-9]*.sql");
is all_of($same), $built, 'and a load keeps it';


# "Backup": dumped and restored as that section does.

my ($backup) = $operations =~ /^## Backup\n.*?^```sh\n(.+?)^```/ms;
my $dir = $pg->dir;
for my $step (grep { !/^tenonctl/ } split /\n/, $backup // '') {
    my $run = $step =~ s/^pg_dump -Fc tenon/pg_dump -Fc lived/r
                    =~ s/tenon\.dump/$dir\/tenon.dump/r
                    =~ s/-f schema/-f $schema/r;
    local @ENV{qw(PGHOST PGPORT PGUSER)} = ($dir, $pg->port, 'postgres');
    $out = qx{{ $run; } 2>&1};
    is $?, 0, $step or diag $out;
}
my $digest = "select md5(string_agg(e::text, '' order by e::text))"
           . "  from ($everything) e";
is $pg->psql('-d', $pg->conninfo('restored'), '-c', $digest),
    $pg->psql('-d', $pg->conninfo('lived'), '-c', $digest),
    'every row is there again';
unlike eval {
    $pg->psql('-d', $pg->conninfo('restored', 'tenon_owner'), '-1',
              map { ('-f', $_) } sort glob "$schema/apps/asyncstand/[0-9]*.sql")
} // "failed: $@", qr/failed/, 'another app is loaded there';

undef $pg;
done_testing;
