-- Jobs: who may do what with them, how a claim is held, what is told of them.

begin;

select plan(37);

\set mine '\'01900000-0000-7000-8010-000000000001\''
\set other '\'01900000-0000-7000-8010-000000000002\''

set session_replication_role = replica;

delete from tenon.job;

insert into tenon.job (tenant_id, id, kind, status, version, lease_until)
values (acme()::uuid,   :mine,  'purge', 'running', 5,
        now() + interval '1 minute'),
       (globex()::uuid, :other, 'purge', 'running', 5,
        now() + interval '1 minute');

set session_replication_role = origin;

-- The platform's, about another tenant.
\set platform '\'00000000-0000-7000-8000-000000000002\''
\set event    '\'01900000-0000-7000-8010-000000000003\''
\set about    '\'01900000-0000-7000-8010-000000000004\''

create function tap.hold(job text, version int, lease text default 'null')
returns text
language sql
as $$
    select run('tenon_worker', null, format(
        'select tenon.hold_job(%L, %L, %s, %s)', acme(), job, version, lease))
$$;


-- Who sees what

select is(run('tenon_api', acme(), 'select count(*) from tenon.job'), '1',
          'a tenant sees its own jobs');
select is(run('tenon_api', '', 'select count(*) from tenon.job'), '0',
          'nobody sees nobody''s');
select is(run('tenon_worker', '', 'select count(*) from tenon.job'), '2',
          'a worker sees all');
select is(run('tenon_worker', '', 'update tenon.job set kind = ''other'''),
          '42501', 'and changes none into another');
select is(run('tenon_worker', '', 'update tenon.job set input = ''{}'''),
          '42501', 'nor what it is about');
select is(run('tenon_worker', '', format(
              'insert into tenon.job (tenant_id, kind, input)
               values (%L, ''purge'', ''{}'')', acme())),
          '42501', 'nor thinks one up');
select is(run('tenon_api', acme(), 'delete from tenon.job'), '42501',
          'the API deletes none');
select is(run('tenon_worker', '', 'delete from tenon.job'), '0',
          'a worker removes none that isn''t over');
select is(run('tenon_worker', acme(), 'delete from tenon.job'), '0',
          'not of the tenant''s whose job it is at, either');
select is(run('tenon_api', acme(),
              'update tenon.job set lease_until = now()'), '42501',
          'nor gives out leases');
select is(run('tenon_api', acme(),
              'update tenon.job set status = ''lost'''), '23514',
          'there is no other state');
select is(run('tenon_api', acme(), 'update tenon.job set status = ''done'''),
          '23514', 'and each goes with its times');
select is(run('tenon_api', acme(), format(
              'select tenon.hold_job(%L, %L, 5, null)', acme(), :mine)),
          '42501', 'the API holds none');


-- How it is held

select is(hold(:mine, 4), 'TNJ01', 'an older claim doesn''t count');
select is(hold(:mine, 6), 'TNJ01', 'nor one to come');
select is(hold(:other, 5), 'TNJ01', 'nor one to another tenant''s');
select is(hold('01900000-0000-7000-8010-00000000dead', 5), 'TNJ01',
          'nor to one that isn''t there');
select is(current_setting('tenon.tenant', true), '', 'and sets no tenant');

select is(hold(:mine, 5), '', 'the claim that there is');
select is(current_setting('tenon.tenant', true), acme(),
          'sets the job''s tenant');
select is((select lease_until from tenon.job where id = :mine),
          now() + interval '1 minute', 'and leaves the lease');
select is(hold(:mine, 5, '90'), '', 'or prolongs it');
select is((select lease_until from tenon.job where id = :mine),
          now() + interval '90 seconds', 'by so much');


select pg_stat_get_xact_tuples_hot_updated('tenon.job'::regclass) as hot,
       pg_stat_get_xact_tuples_updated('tenon.job'::regclass) as all
\gset

select is(hold(:mine, 5, '60') || hold(:mine, 5, '61'), '', 'again and again');
select is(pg_stat_get_xact_tuples_hot_updated('tenon.job'::regclass) - :hot
          || ' of '
          || pg_stat_get_xact_tuples_updated('tenon.job'::regclass) - :all,
          '2 of 2', 'and no index has to know');


-- In another tenant

create function tap.act(tenant text, job text, version int, acting text)
returns text
language sql
as $$
    select run('tenon_worker', null, format(
        'select tenon.hold_job(%L, %L, %s, 60, %L)', tenant, job, version,
        acting))
$$;

set session_replication_role = replica;
insert into tenon.job (tenant_id, id, kind, status, version, lease_until,
                       input)
values (:platform, :event, 'stripe.event', 'running', 5,
        now() + interval '1 minute', jsonb_build_object('event', :about));
insert into tenon.inbound_event (tenant_id, id, provider, external_id, type,
                                 body)
values (:platform, :about, 'stripe', 'evt_1', 'ping', '{"id": "evt_1"}');
set session_replication_role = origin;

select is(act(:platform, :event, 4, globex()), 'TNJ01',
          'an older claim doesn''t count there, either');
select is(act(:platform, :event, 5, globex()), '', 'a job of the platform''s');
select is(current_setting('tenon.tenant', true), globex(),
          'acts in a tenant');
select is(run('tenon_worker', globex(),
              'select body from tenon.inbound_event'), '{"id": "evt_1"}',
          'and knows there what it is about');
select is(act(:platform, :event, 5, null) || current_setting('tenon.tenant'),
          :platform, 'or in its own');
select is(act(acme(), :mine, 5, globex()), '42501',
          'a tenant''s acts in no other');
select is(act(acme(), :mine, 5, acme()) || current_setting('tenon.tenant'),
          acme(), 'but its own');

create function tap.becomes(state text)
returns text
language sql
as $$
    select run('tenon_worker', null, format(
        'update tenon.job
            set status = %L, version = version + 1,
                finished_at = case when %1$L in (''done'', ''dead'',
                                                 ''canceled'') then now() end,
                lease_until = case when %1$L = ''running'' then now() end
          where kind = ''stripe.event''', state));
    select e.status || ' ' || (e.processed_at is not null)
      from tenon.inbound_event e
     where e.external_id = 'evt_1'
$$;

select is((select string_agg(s || ': ' || becomes(s), ', ' order by nth)
             from unnest(array['queued', 'running', 'dead', 'queued',
                               'canceled', 'queued', 'running', 'done'])
                  with ordinality as s (s, nth)),
          'queued: received false, running: received false, '
          'dead: failed true, queued: received false, '
          'canceled: failed true, queued: received false, '
          'running: received false, done: processed true',
          'an event is as its job is');
select is((select count(*) from tenon.event e
            where e.resource = 'tenon.inbound_event'), 0::bigint,
          'of which the job''s event tells');

delete from tenon.job where kind = 'stripe.event';


-- What is told

select run('tenon_worker', null,
           'update tenon.job set status = ''done'', finished_at = now(),
                                 lease_until = null
             where tenant_id = ''' || acme() || '''') as done,
       set_config('tenon.cause', 'job.dead', true) as cause,
       set_config('tenon.cause_id', :other, true) as cause_id,
       run('tenon_worker', null,
           'update tenon.job set status = ''dead'', finished_at = now(),
                                 lease_until = null
             where tenant_id = ''' || globex() || '''') as dead
\gset

select is(:'done' || :'dead', '11', 'one is done, one dead');
select is((select string_agg(e.action || ' ' || (e.tenant_id = globex()::uuid),
                             ', ')
             from tenon.event e
            where e.resource = 'tenon.job'
              and e.tenant_id <> :platform),
          'job.dead true', 'the tenant of the dead one is told, and no more');


-- How long it stays

set session_replication_role = replica;
insert into tenon.job (tenant_id, kind, status, finished_at)
select acme()::uuid, 'purge', s, now() - d * interval '1 day'
  from unnest(array['done', 'dead', 'canceled']) s
 cross join unnest(array[29, 31]) d;
set session_replication_role = origin;

select is(run('tenon_worker', '', 'delete from tenon.job'), '3',
          'what was over for 30 days may go');

select * from finish();

rollback;
