#!/usr/bin/perl

# What apps declare is served by indexes: every endpoint of the clinic and of
# AsyncStand is called while their tables hold 25,000 rows of many tenants, and
# no large table is read from end to end, by statements or inside of functions.
#
# TENON_LONG=1: 100,000 rows (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();
use Time::HiRes qw(sleep);

my $rows = $ENV{TENON_LONG} ? 100_000 : 25_000;

my $s = TenonServer->new(apps => ['teamos', 'clinic', 'asyncstand']);

my $report = $s->shell('tenonctl_as "$web_user" doctor '
    . '--database "$api_db" || true');
like $report, qr/^all is well$/m, 'tenonctl doctor finds nothing wrong';

# Most are of 50 tenants that nobody signs in to; one in 500 is lakeside's or
# acme's, whose people ask.
$s->psql(<<"SQL");
set session_replication_role = replica;

create temp table whose as
select n, case when n % 500 = 0 then t.tenant_id
               else md5((n % 50)::text)::uuid end as tenant
  from generate_series(1, $rows) n,
       (select tenant_id from tenon.tenant where slug = 'lakeside') as t;
create temp table team_of as
select n, case when n % 500 = 0 then t.tenant_id
               else md5((n % 50)::text)::uuid end as tenant
  from generate_series(1, $rows) n,
       (select tenant_id from tenon.tenant where slug = 'acme') as t;

insert into clinic.patient (tenant_id, id, name, birth_date, record, created_at)
select tenant, md5('p' || n)::uuid, 'Patient ' || n,
       date '1950-01-01' + n % 20000, jsonb_build_object('number', n),
       now() - n * interval '1 second'
  from whose;
insert into clinic.visit (tenant_id, id, patient_id, clinician_id, starts_at,
                          created_at)
select tenant, md5('v' || n)::uuid, md5('p' || n)::uuid, md5('c' || n)::uuid,
       timestamptz '2040-01-01 00:00Z' + n * interval '1 hour',
       now() - n * interval '1 second'
  from whose;
insert into clinic.note (tenant_id, id, visit_id, content, created_at)
select tenant, md5('n' || n)::uuid, md5('v' || n)::uuid, 'Note ' || n,
       now() - n * interval '1 second'
  from whose;
insert into clinic.prescription (tenant_id, id, visit_id, medicine, dose,
                                 created_at)
select tenant, md5('r' || n)::uuid, md5('v' || n)::uuid, 'M' || n, 1,
       now() - n * interval '1 second'
  from whose;

insert into asyncstand.team (tenant_id, id, name)
select tenant, md5('t' || n)::uuid, 'Team ' || n from team_of;
insert into asyncstand.standup_config (tenant_id, id, team_id, name)
select tenant, md5('f' || n)::uuid, md5('t' || n)::uuid, 'Daily' from team_of;
insert into asyncstand.question (tenant_id, id, config_id, position, content)
select tenant, md5('q' || n)::uuid, md5('f' || n)::uuid, 1, 'Well?' from team_of;
insert into asyncstand.standup (tenant_id, id, config_id, day, closes_at)
select tenant, md5('s' || n)::uuid, md5('f' || n)::uuid,
       date '2040-01-01' + n % 365, now() from team_of;
insert into asyncstand.answer (tenant_id, id, standup_id, question_id, content)
select tenant, md5('a' || n)::uuid, md5('s' || n)::uuid, md5('q' || n)::uuid,
       'Answer ' || n from team_of;
insert into asyncstand.participation (tenant_id, id, standup_id, user_id, asked,
                                      answered, outcome)
select tenant, md5('x' || n)::uuid, md5('s' || n)::uuid, md5('u' || n)::uuid,
       1, 1, 'complete' from team_of;
SQL
$s->psql('analyze');

sub a_row {
    my ($kind) = @_;
    return $s->psql("select md5('$kind' || n)::uuid
                       from generate_series(500, $rows, 500) n limit 1");
}
my %id = (patients => a_row('p'), visits => a_row('v'), notes => a_row('n'),
          prescriptions => a_row('r'), teams => a_row('t'),
          'standup-configs' => a_row('f'), questions => a_row('q'),
          standups => a_row('s'), answers => a_row('a'),
          participations => a_row('x'));
my %who = map { $_ => /\A(?:patients|visits|notes|prescriptions)\z/
                    ? 'nora' : 'alice' } keys %id;

my @large = split /\n/, $s->psql(
    "select oid::regclass from pg_class where relkind = 'r'
        and reltuples > 10000 order by 1");
cmp_ok scalar @large, '>=', 10, "large tables: @large";

# Whole readings of each, once all sessions have told of theirs.
sub readings {
    sleep 1.2;
    return { map { split /\|/ } split /\n/, $s->psql(
        "select relid::regclass, seq_scan from pg_stat_user_tables
          where relid::regclass::text = any ('{" . join(',', @large) . "}')") };
}

# Seven times each: by then PostgreSQL would have chosen a plan for all.
sub call {
    my ($who, $method, $path, @o) = @_;
    my ($first) = map { $s->request($method, $path, as => $who, @o) } 1 .. 7;
    return $first;
}

my @calls = (
    (map { [$who{$_}, GET => "$_?limit=5"], [$who{$_}, GET => "$_/$id{$_}"] }
         sort keys %id),
    (map { ['nora', GET => "patients?limit=5&$_"] }
         'q=patient%205000', 'record[contains]=%7B%22number%22%3A5000%7D',
         'birth_date=1963-09-09', 'sort=name'),
    (map { ['nora', GET => "visits?limit=5&$_"] }
         'starts_at[gte]=2041-01-01T00:00:00Z', "patient_id=$id{patients}",
         'sort=starts_at'),
    ['nora', GET => "visits/$id{visits}/notes"],
    ['nora', GET => 'queries/day-plan?day=2040-01-21'],
    ['nora', GET => 'queries/waiting-times?day=2040-01-21'],
    ['nora', POST => "visits/$id{visits}/check-in", json => { room => 'P1' }],
    ['alice', GET =>
         "queries/participation-rate?team=$id{teams}&since=2040-01-01"],
    ['alice', POST => "standup-configs/$id{'standup-configs'}/start",
     headers => ['If-Match' => '*']],
    ['alice', POST => "standups/$id{standups}/close"],
);

my $before = readings();
for my $call (@calls) {
    my ($who, $method, $path) = @$call;
    status_is call(@$call), 200, "$method $path";
}
my $after = readings();
my @whole = grep { $after->{$_} != $before->{$_} } @large;
is_deeply \@whole, [], 'no large table is read from end to end';

# Which call it was.
for my $call (@whole ? @calls : ()) {
    $before = readings();
    call(@$call);
    $after = readings();
    diag "$call->[1] $call->[2] reads $_"
        for grep { $after->{$_} != $before->{$_} } @large;
}

# A reading of all of it would have been seen.
$before = readings();
$s->psql("select count(*) from clinic.note where content = 'x'");
cmp_ok readings()->{'clinic.note'}, '>', $before->{'clinic.note'},
    'and one would be seen';

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
