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

# Of each kind one that is over for long, one that is since yesterday, and one
# that is in force.
$pg->psql('-d', $super, '-c', <<'SQL');
set session_replication_role = replica;
create temporary table age (n, days) as
values (1, 40), (2, 1), (3, null);
insert into tenon.invitation (tenant_id, realm_id, email, role, invited_by,
                              expires_at, status, accepted_at)
select gen_random_uuid(), gen_random_uuid(), 'a@b.test', 'member',
       gen_random_uuid(), now() + interval '1 day',
       case when days is null then 'pending' else 'accepted' end,
       now() - days * interval '1 day'
  from age;
insert into tenon.share (tenant_id, resource, resource_id, user_id, deleted_at)
select gen_random_uuid(), 'a.b', gen_random_uuid(), gen_random_uuid(),
       now() - days * interval '1 day'
  from age;
insert into tenon.account_member (tenant_id, account_id, user_id, role,
                                  deleted_at)
select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'account_user',
       now() - days * interval '1 day'
  from age;
insert into tenon.tenant_role (tenant_id, name, title, deleted_at)
select gen_random_uuid(), 'a_role', 'A role', now() - days * interval '1 day'
  from age;
insert into tenon.tenant_grant (tenant_id, role_id, permission)
select r.tenant_id, r.id, p.number
  from tenon.tenant_role r
 cross join (select number from tenon.permission limit 1) p;
insert into tenon.totp (realm_id, user_id, secret, created_at, confirmed_at)
select gen_random_uuid(), gen_random_uuid(), 'x',
       now() - interval '40 days' * (n % 2),
       case when n = 3 then now() end
  from age;
insert into tenon.job (tenant_id, kind, status, finished_at)
select gen_random_uuid(), 'purge',
       case when days is null then 'queued' else 'dead' end,
       now() - days * interval '1 day'
  from age;
insert into tenon.inbound_event (tenant_id, id, provider, external_id, type,
                                 body, status, received_at, processed_at)
select gen_random_uuid(), gen_random_uuid(), 'stripe', 'evt_' || n, 'ping',
       '{}', case when days is null then 'received' else 'processed' end,
       now() - interval '1 year', now() - days * interval '2.5 days'
  from age;
SQL

my $events = $pg->psql('-d', $super, '-c', 'select count(*) from tenon.event');
($status, $out) = purge($worker);
is $out, "removed 7 rows\n", 'what is over for long goes';
is $pg->psql('-d', $super, '-c', <<'SQL'), '2|2|2|2|2|2|2|2', 'nothing else does';
select (select count(*) from tenon.invitation),
       (select count(*) from tenon.share),
       (select count(*) from tenon.account_member),
       (select count(*) from tenon.tenant_role),
       (select count(*) from tenon.tenant_grant),
       (select count(*) from tenon.totp),
       (select count(*) from tenon.job),
       (select count(*) from tenon.inbound_event)
SQL
is $pg->psql('-d', $super, '-c', 'select count(*) from tenon.event'), $events,
    'and no event is written';

# What grows with what tenants do is found by an index, round for round, and not
# by reading what stays.
$pg->psql('-d', $super, '-c', <<'SQL');
set session_replication_role = replica;
insert into tenon.usage_total (tenant_id, meter, period, begins, ends)
select gen_random_uuid(), 'api_rate', p.period,
       now() - p.days * interval '1 day' - interval '1 hour',
       now() - p.days * interval '1 day'
  from (values ('minute', 1), ('minute', 3), ('hour', 1), ('hour', 3),
               ('day', 399), ('day', 401), ('month', 1000)) p (period, days)
 cross join generate_series(1, 2000);
insert into tenon.job (tenant_id, kind, status, finished_at, input)
select j.tenant, 'purge', j.status, now() - j.days * interval '1 day',
       j.input::jsonb
  from (values (tenon.platform(),  'done', 2,  '{}'),
               (tenon.platform(),  'done', 2,  '{"of": 1}'),
               (tenon.platform(),  'dead', 2,  '{}'),
               (gen_random_uuid(), 'done', 2,  '{}'),
               (gen_random_uuid(), 'done', 31, '{}')) j (tenant, status, days,
                                                         input)
 cross join generate_series(1, 2000);
SQL
$pg->psql('-d', $super, '-c', 'analyze tenon.usage_total, tenon.job');

my $scans = q{
    select string_agg(relname || ' ' || seq_scan, ', ' order by relname)
      from pg_stat_user_tables
     where schemaname = 'tenon' and relname in ('job', 'usage_total')};
my $before = $pg->psql('-d', $super, '-c', $scans);
($status, $out) = purge($worker);
is $out, "removed 10000 rows\n", 'use and jobs that have run out';
is $pg->psql('-d', $super, '-c', $scans), $before, 'and no table was read for it';
is $pg->psql('-d', $super, '-c', <<'SQL'), 'job_planned_over, usage_total_day_over, usage_total_short_over', 'but what is theirs';
select string_agg(indexrelname, ', ' order by indexrelname)
  from pg_stat_user_indexes
 where indexrelname ~ '^(job_planned|usage_total_.*)_over$'
   and idx_tup_read >= 2000
SQL
is $pg->psql('-d', $super, '-c', <<'SQL'), 'day 2000, hour 2000, minute 2000, month 2000', 'use of late stays';
select string_agg(period || ' ' || n, ', ' order by period)
  from (select period, count(*) as n
          from tenon.usage_total
         group by period) t
SQL
is $pg->psql('-d', $super, '-c', <<'SQL'), '6000', 'and so do others\' jobs';
select count(*) from tenon.job where finished_at < now() - interval '36 hours'
SQL

($status, $out) = purge($pg->conninfo('tenon', 'tenon_api'));
is $status, 1, 'not for anybody';
like $out, qr/permission denied for function purge/, 'who hears why';

($status, $out) = purge($worker, 'now');
is $status, 2, 'called the wrong way: exit code 2';

done_testing;
