#!/usr/bin/perl

# Every statement that workers prepare fits the schema (tenonctl doctor). And
# every endpoint's own, at 100,000 rows, planned once for all tenants as the
# workers' role plans it, reads no large table from end to end.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonServer ();

my $server = TenonServer->new;
my $ctl    = 'tenonctl_as "$web_user" doctor '
    . '--database "$api_db"';

my $report = $server->shell("$ctl || true");
like $report, qr/^all is well$/m, 'tenonctl doctor finds nothing wrong';
diag $report if $report !~ /^all is well$/m;

# A column that goes must be missed: the doctor can say no.
$server->psql('alter table tenon.tenant rename column name to title');
like $server->shell("$ctl || true"), qr/^FAIL/m,
    'and says so when a statement does not fit';
$server->psql('alter table tenon.tenant rename column title to name');

# As wide as a resource may be, and more than a function of PostgreSQL's takes;
# with an action and a query.
my $columns = join ', ', map { "c$_ text collate \"C\"" } 1 .. 52;
$server->psql(<<"SQL", role => 'tenon_owner');
begin;
create schema wide;
create table wide.item (
    tenant_id uuid not null, id uuid not null, version bigint not null default 1,
    created_at timestamptz not null default now(), created_by uuid,
    updated_at timestamptz not null default now(), $columns,
    unique (tenant_id, c2),
    primary key (tenant_id, id));
create function wide.rename(item uuid, name text, suffix text default 'x')
returns wide.item language sql
as \$\$ update wide.item t set c1 = name || suffix where t.id = item
      returning t.* \$\$;
create function wide.named(name text default null)
returns table (id uuid, c1 text) language sql stable
as \$\$ select t.id, t.c1 from wide.item t where t.c1 = name \$\$;
select tenon.app_begin('wide');
select tenon.resource('wide.item', path => 'items');
select tenon.action('wide.item', 'rename', function => 'wide.rename');
select tenon.query('named', function => 'wide.named');
select tenon.allow('member', 'item', '{read,create,update,delete,rename}');
select tenon.allow('member', 'named', '{read}');
select tenon.app_end('wide');
commit;
SQL
$report = $server->shell("$ctl || true");
like $report, qr/^all is well$/m, 'a wide table is served as well';
$server->reload;
my $made;
$server->wait_until(5, sub {
    $made = $server->request(POST => 'items', as => 'carol',
                             json => { c1 => 'first', c52 => 'last' });
    $made->{status} == 201;
});
is $made->{status}, 201, 'and written, with its event';
is $server->psql("select after ->> 'c1' || (after ->> 'c52') "
        . "from tenon.event_body where after ? 'c52'"), 'firstlast',
    'which holds all of it';
is $server->request(POST => 'items/' . $made->json->{id} . '/rename',
                    as => 'carol', json => { name => 'last' })
    ->json->{c1}, 'lastx', 'and an action answers all of it';

$server->psql(<<'SQL');
set session_replication_role = replica;
insert into teamos.project (tenant_id, id, name, created_at)
select md5((n % 50)::text)::uuid, md5('p' || n)::uuid, 'p' || n,
       now() - n * interval '1 second'
  from generate_series(1, 100000) n;
insert into teamos.task (tenant_id, id, project_id, title, created_at)
select md5((n % 50)::text)::uuid, md5('t' || n)::uuid,
       md5('p' || n)::uuid, 't' || n, now() - n * interval '1 second'
  from generate_series(1, 100000) n;
insert into wide.item (tenant_id, id, c1, c2)
select md5((n % 50)::text)::uuid, md5('i' || n)::uuid, 'i' || n, 'i' || n
  from generate_series(1, 100000) n;
insert into tenon.event (tenant_id, id, at, action, commitment)
select md5((n % 50)::text)::uuid, md5('e' || n)::uuid,
       now() - n * interval '1 second', 'made.up', '\x00'
  from generate_series(1, 100000) n;
insert into tenon.event_body (tenant_id, at, event_id, salt)
select tenant_id, at, id, '\x00' from tenon.event where action = 'made.up';
insert into tenon."user" (realm_id, id, email, name, password_hash)
select '00000000-0000-7000-8000-000000000001', md5('u' || n)::uuid,
       'u' || n || '@plans.test', 'u', 'x'
  from generate_series(1, 100000) n;
insert into tenon.tenant (tenant_id, realm_id, name, slug)
select md5('n' || n)::uuid, '00000000-0000-7000-8000-000000000001', 'n',
       'plans-' || n
  from generate_series(1, 100000) n;
insert into tenon.member (tenant_id, id, realm_id, user_id, role)
select md5('n' || n)::uuid, md5('m' || n)::uuid,
       '00000000-0000-7000-8000-000000000001', md5('u' || n)::uuid, 'owner'
  from generate_series(1, 100000) n;
set session_replication_role = origin;
analyze;
SQL

# The pages of empty partitions are none: reading them so costs nothing.
my %large = map { $_ => 1 } split /\n/, $server->psql(
    'select relname from pg_class where reltuples > 1000');

my %statement = map { /^(\w+)\t(.+)$/ ? ($1, $2) : () }
    split /\n/, $server->shell("$ctl --statements");
cmp_ok scalar keys %statement, '>', 10, 'there are statements';
is_deeply [grep { !$statement{$_} } qw(renameItem queryNamed)], [],
    'of actions and queries as well';

for my $name (sort keys %statement) {
    my $n = 0;
    for my $number ($statement{$name} =~ /\$(\d+)/g) {
        $n = $number if $number > $n;
    }
    my $plan = JSON::PP::decode_json($server->psql(
        "prepare p as $statement{$name};\n"
        . 'explain (format json) execute p'
        . ($n ? '(' . join(', ', ('null') x $n) . ')' : ''),
        role => 'tenon_api'));

    is_deeply [sequential($plan->[0]{Plan})], [],
        "$name reads no table from end to end";
}

done_testing;

sub sequential {
    my ($node) = @_;
    my @found = map { sequential($_) } @{ $node->{Plans} || [] };
    push @found, $node->{'Relation Name'}
        if $node->{'Node Type'} =~ /Seq Scan/ && $large{ $node->{'Relation Name'} };
    return @found;
}
