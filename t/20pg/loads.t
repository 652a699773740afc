#!/usr/bin/perl

# Loads under traffic: an app that is loaded again as it is, or beside another,
# or goes, waits for nobody who reads or writes and keeps nobody waiting; what
# is read meanwhile is the old catalogue.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use File::Basename qw(basename);
use Test::More;
use TenonPg;

my $schema = "$Bin/../../schema";
my $pg     = TenonPg->new;
my $super  = $pg->conninfo('tenon');
my $owner  = $pg->conninfo('tenon', 'tenon_owner');
my $api    = $pg->conninfo('tenon', 'tenon_api');
my $acme   = '01900000-000a-7000-8000-000000000001';
my $alice  = '01900000-000a-7000-8000-000000000201';
my $begin  = "begin; select set_config('tenon.tenant', '$acme', true)";
my $newest = 'select version from tenon.catalogue_version';

local $ENV{PGOPTIONS} = '-c client_min_messages=warning -c lock_timeout=1s';

$pg->sql('create database tenon');
$pg->psql('-d', $super, '-1', '-f', "$schema/bootstrap.sql");
$pg->psql('-d', $owner, '-1', '-f', $_) for glob "$schema/migrations/*.sql";

# Locks that neither a reader nor a writer of rows would wait for.
my $harmless = q{'AccessShareLock', 'RowShareLock', 'RowExclusiveLock',
                 'ShareUpdateExclusiveLock'};

# What a transaction holds at its end beyond these. Of the platform's tables
# the API reads some and writes others; no load writes those.
my $held = qq{
    select l.mode || ' on ' || l.relation::regclass
      from pg_locks l
      join pg_class c on c.oid = l.relation
     where l.pid = pg_backend_pid()
       and l.mode not in ($harmless)
       and not (c.oid in ('tenon.app'::regclass, 'tenon.permission'::regclass)
                and l.mode = 'ShareRowExclusiveLock')};

my %app = map { basename($_) => [sort glob "$_/[0-9]*.sql"] }
    glob "$schema/apps/*";

# One with everything that can be declared.
my $file = $pg->dir . '/stock.sql';
open my $out, '>', $file or die "$file: $!\n";
print {$out} <<'SQL';
create schema if not exists stock;
create table if not exists stock.place (
    tenant_id uuid not null references tenon.tenant,
    id uuid not null default tenon.uuid7(), name text collate "C" not null,
    version bigint not null default 1,
    created_at timestamptz not null default now(), created_by uuid,
    updated_at timestamptz not null default now(), deleted_at timestamptz,
    primary key (tenant_id, id));
create table if not exists stock.part (
    tenant_id uuid not null references tenon.tenant,
    id uuid not null default tenon.uuid7(), place_id uuid not null,
    name text collate "C" not null, number int not null default 0,
    state text collate "C" not null default 'new', doc jsonb, day date,
    version bigint not null default 1,
    created_at timestamptz not null default now(), created_by uuid,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id), unique (tenant_id, name),
    foreign key (tenant_id, place_id) references stock.place on delete cascade);
comment on table stock.part is 'A part';
create or replace function stock.count(id uuid, number int, note text default null)
returns stock.part language sql as $$
    update stock.part set number = $2 where id = $1 returning * $$;
create or replace function stock.sums(place uuid default null)
returns table (parts bigint, number bigint) language sql stable as $$
    select count(*), sum(number) from stock.part
     where place is null or place_id = place $$;
select tenon.app_begin('stock');
select tenon.resource('stock.place', path => 'places', soft_delete => true,
                      search => '{name}');
select tenon.allow('member', 'place', '{read,create,update,delete,restore}');
select tenon.resource('stock.part', path => 'parts', parent => 'place',
                      search => '{name,state}', require_match => true);
select tenon.field('stock.part', 'name', min => 1, max => 80, pattern => '^.',
                   filter => true, sort => true, create_only => true);
select tenon.field('stock.part', 'number', min => 0, read_only => true);
select tenon.field('stock.part', 'doc', search => true);
select tenon.states('stock.part', 'state', 'new -> used -> gone');
select tenon.param('stock.count', 'number', min => 0, max => 1000);
select tenon.action('stock.part', 'count', 'stock.count', states => '{new}');
select tenon.query('sums', 'stock.sums', reads => '{part}');
select tenon.allow('owner', 'part', '{read,create,update,delete,history,count}');
select tenon.allow('member', 'part', '{read,update,count}', scope => 'own');
select tenon.allow('member', 'sums', '{read}');
select tenon.app_end('stock');
SQL
close $out or die "$file: $!\n";
chmod 0644, $file;
$app{stock} = [$file];

sub load {
    my ($name, @more) = @_;
    my $out = eval {
        $pg->psql('-d', $owner, '-1', (map { ('-f', $_) } @{ $app{$name} }),
                  @more);
    };
    return defined $out ? $out : "failed: $@";
}

unlike load($_), qr/failed/, "$_ is loaded"
    for grep { $_ ne 'stock' } sort keys %app;

{
    local $ENV{PGOPTIONS} =
        "$ENV{PGOPTIONS} -c tenon.demo_password_hash=not-a-hash";
    $pg->psql('-d', $owner, '-1', '-f', "$schema/apps/teamos/demo.sql");
}


# One that comes new, and one that goes, beside others

for my $what ("\\i $file", "select tenon.app_drop('stock')", "\\i $file") {
    my $last    = $pg->psql('-d', $owner, '-c', $newest);
    my $loading = session("begin;\n$what\n");
    my $out = eval {
        $pg->psql('-d', $api, '-o', '/dev/null', '-c', "$begin; "
            . "insert into teamos.project (tenant_id, name)
               values ('$acme', 'x'); "
            . "update teamos.task set assignee_id = '$alice'; "
            . "select count(*) from teamos.task_search('a'); "
            . "insert into tenon.session (tenant_id, id, realm_id, user_id,
                                          expires_at)
               select tenant_id, tenon.uuid7(), realm_id, user_id, now()
                 from tenon.member; "
            . "select tenon.log_event(tenon.uuid7(), 'x', null, null, null,
                                      null, null, null, ''); "
            . "update tenon.idempotency set at = now(); "
            . 'commit');
    } // "failed: $@";
    is $out, '', "while one does $what, others are served";
    is $pg->psql('-d', $api, '-c', $newest), $last, 'by the old catalogue';
    is done($loading, 'commit'), 0, 'and then it is done';
    is $pg->psql('-d', $api, '-c', $newest), $last + 1, 'with a new one';
}


# What a load holds

for my $name (sort keys %app) {
    my $out = load($name, '-c', "select 'locks:'", '-c', $held);
    like $out, qr/locks:/, "$name is loaded again";
    is $out =~ s/.*locks:\s*//sr, '', 'and locks nobody out';
}


# Those who are there already

my $tables = $pg->psql('-d', $super, '-c', q{
    select string_agg(format('%I.%I', schema_name, table_name), ', ')
      from tenon.resource});
my $rows = join "; ", map { "select count(*) from $_" } split /, /, $tables;

my $busy = session(
    "$begin; $rows; lock table $tables in row exclusive mode");

unlike load($_), qr/failed/, "$_ is loaded while its tables are written to"
    for sort keys %app;

is done($busy, 'commit'), 0, 'who wrote goes on';


# Those who come while a load isn't at its end

for my $name (sort keys %app) {
    my $files   = join '', map { "\\i $_\n" } @{ $app{$name} };
    my $last    = $pg->psql('-d', $owner, '-c', $newest);
    my $loading = session("begin;\n$files");
    my $out = eval {
        $pg->psql('-d', $api, '-c',
                  "$begin; $rows; delete from stock.part; commit; $newest");
    } // "failed: $@";
    is +(split /\n/, $out)[-1], $last,
        "$name: rows are read and written meanwhile";
    is done($loading, 'commit'), 0, 'and then it is loaded';
}


# A load that changes something waits, and gives up rather than hold others up

$busy = session("$begin; $rows");
my $text = do { local (@ARGV, $/) = $file; <> };
$text =~ s/max => 80/max => 81/ or die;
open $out, '>', $file or die "$file: $!\n";
print {$out} $text;
close $out or die "$file: $!\n";
{
    open my $kept, '>&', \*STDERR or die;
    open STDERR, '>', '/dev/null' or die;
    like load('stock'), qr/failed/, 'one with another limit waits for readers';
    open STDERR, '>&', $kept or die;
}
done($busy, 'commit');
unlike load('stock'), qr/failed/, 'and works when they are gone';

undef $pg;
done_testing;

# A psql that has done what it was told and waits with its transaction open.
sub session {
    my ($sql) = @_;
    open my $to, '|-', 'psql', '-AtqX', '-v', 'ON_ERROR_STOP=1', '-o',
        '/dev/null', '-d', "$owner application_name=busy"
        or die "psql: $!\n";
    $to->autoflush(1);
    print {$to} "$sql;\nselect 'ready';\n";

    for (1 .. 300) {
        my $n = $pg->psql('-d', $super, '-c', q{
            select count(*) from pg_stat_activity
             where application_name = 'busy' and query = 'select ''ready'';'
               and state = 'idle in transaction'});
        return $to if $n == 1;
        select undef, undef, undef, 0.05;
    }

    die "the session never got ready\n";
}

sub done {
    my ($to, $sql) = @_;
    print {$to} "$sql;\n";
    close $to;
    return $? >> 8;
}
