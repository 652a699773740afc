-- What tenants have used: added once for each flush, told once for each
-- threshold, and by periods that go by the subscription.

begin;

select plan(58);

-- What the demo's tenants are granted besides would change all of it.
delete from tenon.plan_override;


-- Flushes --------------------------------------------------------------------

create function tap.flush(id int, units bigint[], soft bigint default -1,
                          hard bigint default -1, begins text default
                          '2026-11-01', period text default 'month')
returns text
language sql
as $$
    -- acme's first, then globex', then that of nobody
    select run('tenon_api', '', format(
        'select tenon.flush_usage(%L, %L, %L, %L, %L, %L, %L, %L, %L)::text',
        '00000000-0000-4000-8000-' || lpad(id::text, 12, '0'),
        (array[acme(), globex(),
               '01900000-ffff-7000-8000-000000000001'])[:cardinality(units)],
        (array['api_calls', 'api_calls', 'api_calls'])[:cardinality(units)],
        array_fill(period, array[cardinality(units)]),
        array_fill(extract(epoch from begins::timestamptz)::bigint * 1000000,
                   array[cardinality(units)]),
        array_fill(extract(epoch from begins::timestamptz
                                      + ('1 ' || period)::interval)::bigint
                   * 1000000, array[cardinality(units)]),
        array_fill(soft, array[cardinality(units)]),
        array_fill(hard, array[cardinality(units)]), units))
$$;

select is(tap.flush(1, '{3,5,7}'), '{3,5,-1}',
          'what was counted is added, but of a tenant that isn''t there');
select is(tap.flush(1, '{3,5,7}'), '{3,5,-1}',
          'the same flush adds nothing, and tells the totals');
select is(tap.flush(2, '{4,0}'), '{7,5}', 'another adds; 0 only asks');
select is(tap.flush(3, '{0}', begins => '2026-10-01'), '{0}',
          'a period in which nothing was used isn''t written down');
select is(tap.flush(4, '{1}', begins => '2026-11-02', period => 'day'),
          '{1}', 'periods of other lengths are counted apart');

select results_eq(
    $$ select period collate "default", begins, ends, used
         from tenon.usage_total
        where tenant_id = acme()::uuid order by 1 $$,
    $$ values ('day', '2026-11-02 00:00+00'::timestamptz,
               '2026-11-03 00:00+00'::timestamptz, 1::bigint),
              ('month', '2026-11-01 00:00+00', '2026-12-01 00:00+00', 7) $$,
    'and lie there under their begin');

select is((select count(*) from tenon.usage_flush
            where tenant_id = tenon.platform()), 4::bigint,
          'a flush is the platform''s');
select is(current_setting('tenon.tenant', true), '',
          'no tenant''s context is left behind');

-- To the microsecond, and with the largest numbers.
select is(run('tenon_api', '', $$
    select tenon.flush_usage(gen_random_uuid(), array[tap.acme()::uuid],
               '{api_calls}', '{minute}', '{1795219200123457}',
               '{1795219260123457}', '{-1}', '{-1}',
               '{4611686018427387903}')::text $$), '{4611686018427387903}',
    'any number can be added');
select is((select (extract(epoch from begins) * 1000000)::bigint
             from tenon.usage_total where period = 'minute'),
          1795219200123457, 'and a begin is kept to the microsecond');

select is(run('tenon_api', acme(),
              $$ select count(*) from tenon.usage_total
                  where tenant_id <> tap.acme()::uuid $$), '0',
          'another tenant''s totals aren''t seen');
select is(run('tenon_api', acme(), format(
              $$ select tenon.add_usage(%L, 'api_calls', 'month',
                     '2026-11-01', '2026-12-01', 1) $$, globex())),
          '42501', 'nor added to');
select is(run('tenon_api', acme(),
              'update tenon.usage_total set begins = now()'), '42501',
          'nor is a period moved');
select is(run('tenon_worker', acme(), format(
              $$ select tenon.add_usage(%L, 'tasks', 'day', '2026-11-01',
                     '2026-11-02', 2) $$, acme())), '2',
          'the worker adds as well');
select is(run('tenon_worker', '',
              $$ select tenon.flush_usage(gen_random_uuid(), '{}', '{}', '{}',
                     '{}', '{}', '{}', '{}', '{}') $$), '42501',
          'but flushes nothing');


-- Thresholds -----------------------------------------------------------------

create function tap.told(meter text default 'api_calls')
returns text
language sql
as $$
    select string_agg(concat_ws(' ', b.metadata ->> 'kind',
                                b.metadata ->> 'limit',
                                b.metadata ->> 'percent',
                                b.metadata ->> 'used'), ', '
                      order by (b.metadata ->> 'kind') desc,
                               (b.metadata ->> 'limit')::int,
                               (b.metadata ->> 'percent')::int)
      from tenon.event e
      join tenon.event_body b on b.tenant_id = e.tenant_id
                             and b.event_id = e.id
     where e.tenant_id = tap.acme()::uuid
       and e.action = 'usage.threshold_reached'
       and b.metadata ->> 'meter' = told.meter
$$;

select is(tap.flush(10, '{72}', 100, 120), '{79}', 'below the first threshold');
select is(tap.told(), null, 'nobody is told');
select is(tap.flush(11, '{1}', 100, 120), '{80}', 'at it');
select is(tap.told(), 'soft 100 80 80', 'the tenant is');
select is(tap.flush(11, '{1}', 100, 120), '{80}', 'the same flush again');
select is(tap.flush(12, '{1}', 100, 120), '{81}', 'and the next');
select is(tap.told(), 'soft 100 80 80', 'tell nothing more');
select is(tap.flush(13, '{60}', 100, 120), '{141}', 'both others at once');
select is(tap.told(),
          'soft 100 80 80, soft 100 100 141, hard 120 100 141',
          'are told of as well');
select is(tap.flush(14, '{0}', -1, 150), '{141}', 'another limit');
select is(tap.told(),
          'soft 100 80 80, soft 100 100 141, hard 120 100 141, '
          'hard 150 80 141',
          'has thresholds of its own: of the hard one, where there is no '
          'soft one');
select is(tap.flush(15, '{0}', 100, 120), '{141}', 'the one before again');
select is(tap.told(),
          'soft 100 80 80, soft 100 100 141, hard 120 100 141, '
          'hard 150 80 141', 'is told of already');
select is(tap.flush(16, '{1}', 0, 0), '{142}',
          'of a limit of none there is nothing to tell');
select is(tap.flush(18, '{-2}'), '{140}', 'what is given back is less');
select is(tap.flush(18, '{-2}'), '{140}', 'once');
select is(tap.flush(19, '{-5}', begins => '2026-09-01'), '{0}',
          'where nothing was used it''s nothing');
select is(tap.flush(21, '{7}', begins => '2026-09-01'), '{7}', 'nor a debt');
select is(tap.flush(22, '{-9}', begins => '2026-09-01'), '{0}',
          'and never less than that');
select is(tap.flush(17, '{900}', 10, 20, period => 'hour'), '{900}',
          'of an hour''s neither');
select is(tap.told(),
          'soft 100 80 80, soft 100 100 141, hard 120 100 141, '
          'hard 150 80 141', 'nobody is told');
select is((select count(*) from tenon.event
            where tenant_id = globex()::uuid
              and action = 'usage.threshold_reached'), 0::bigint,
          'nor any other tenant');


-- Periods --------------------------------------------------------------------

create function tap.period(period text, at text, role text default 'tenon_api')
returns text
language sql
as $$
    select run(role, globex(), format(
        $q$ select to_char(begins at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
                   || ' ' || to_char(ends at time zone 'UTC',
                                     'YYYY-MM-DD HH24:MI:SS')
              from tenon.usage_period(%L, %L, %L) $q$, globex(), period, at))
$$;

set local timezone = 'Europe/Berlin';
select is(tap.period('minute', '2026-03-29 00:59:59.999999+00'),
          '2026-03-29 00:59:00 2026-03-29 01:00:00', 'a minute');
select is(tap.period('hour', '2026-03-29 00:59:59.999999+00'),
          '2026-03-29 00:00:00 2026-03-29 01:00:00', 'an hour');
select is(tap.period('day', '2026-03-29 00:59:59.999999+00'),
          '2026-03-29 00:00:00 2026-03-30 00:00:00',
          'a day is UTC''s, whatever the session''s zone is');
select is(tap.period('week', '2026-03-29 00:00+00'), 'P0001',
          'there is no other');

update tenon.tenant set created_at = '2025-08-31 10:00:00+00'
 where tenant_id = globex()::uuid;

create temporary table months (at text, want text);
insert into months
values ('2026-01-31 09:59:59+00', '2025-12-31 10:00:00 2026-01-31 10:00:00'),
       ('2026-01-31 10:00:00+00', '2026-01-31 10:00:00 2026-02-28 10:00:00'),
       ('2026-02-28 09:59:59+00', '2026-01-31 10:00:00 2026-02-28 10:00:00'),
       ('2026-02-28 10:00:00+00', '2026-02-28 10:00:00 2026-03-31 10:00:00'),
       ('2026-03-31 09:00:00+00', '2026-02-28 10:00:00 2026-03-31 10:00:00'),
       ('2024-02-29 10:00:00+00', '2024-02-29 10:00:00 2024-03-31 10:00:00');

select is_empty(
    $$ select at, tap.period('month', at), want from months
        where tap.period('month', at) is distinct from want $$,
    'a month goes by when the tenant was made, or ends with the month');


-- A subscription of now moves it, but where a month ends: dates are by now().
create function tap.at(days int)
returns timestamptz
language sql
as $$
    select date_trunc('day', now(), 'UTC') + days * interval '24 hours'
$$;

create function tap.month(at timestamptz)
returns text
language sql
as $$
    -- in days from today
    select concat_ws(' ', (extract(epoch from begins - tap.at(0)) / 86400)::int,
                     (extract(epoch from ends - tap.at(0)) / 86400)::int)
      from tenon.usage_period(globex()::uuid, 'month', at)
$$;

create function tap.subscribe(id text, status text, begins timestamptz,
                              ends timestamptz)
returns text
language sql
as $$
    select run('tenon_worker', globex(), format(
        $q$ insert into tenon.subscription
                   (tenant_id, plan, provider, external_id, status,
                    current_period_start, current_period_end)
            values (%L, 'pro', 'stripe', %L, %L, %L, %L)
            returning status $q$, globex(), id, status, begins, ends))
$$;

-- When the month under way ends, and the one behind it.
create function tap.ends()
returns timestamptz
language sql
as $$
    select ends from tenon.usage_period(globex()::uuid, 'month', now())
$$;

update tenon.tenant set created_at = tap.at(-3) - interval '1 month'
 where tenant_id = globex()::uuid;
create temporary table before as
select ends from tenon.usage_period(globex()::uuid, 'month', now());

select is(tap.subscribe('sub_week', 'active', tap.at(-1), tap.at(6)),
          '1', 'what is paid by the week');
select is((select count(*) from tenon.usage_anchor
            where tenant_id = globex()::uuid), 0::bigint,
          'has no month');
update tenon.subscription set status = 'canceled'
 where external_id = 'sub_week';

select is(tap.subscribe('sub_month', 'active', tap.at(-1),
                        tap.at(-1) + interval '1 month'),
          '1', 'who subscribes in a month');
select is(tap.ends(), (select ends from before),
          'keeps that month, and what was used in it');
select is((select p.begins
             from tenon.usage_period(globex()::uuid, 'month', tap.ends()) p),
          (select ends from before), 'the next begins where it ends');
select ok((select p.ends - p.begins between interval '672 hours'
                                        and interval '1416 hours'
                  and extract(day from p.ends at time zone 'UTC')
                      in (extract(day from tap.at(-1) at time zone 'UTC'), 28,
                          29, 30)
             from tenon.usage_period(globex()::uuid, 'month', tap.ends()) p),
          'and ends, not too soon, with one that is paid for');

-- Not by cancelling and subscribing again, as often as one likes.
do $$
begin
    for i in 1 .. 5 loop
        update tenon.subscription set status = 'canceled'
         where tenant_id = tap.globex()::uuid;
        perform tap.subscribe('sub_again_' || i, 'active', tap.at(0)
                              + i * interval '1 hour',
                              tap.at(0) + i * interval '1 hour'
                              + case when i % 2 = 0 then interval '1 month'
                                     else interval '1 year' end);
    end loop;
end
$$;
select is(tap.ends(), (select ends from before),
          'nor is there another month for who cancels and subscribes again, '
          'by month or by year');
select is((select array_agg(a.anchor) from tenon.usage_anchor a
            where a.tenant_id = globex()::uuid),
          array[tap.at(0) + interval '5 hours'],
          'it goes by the last one behind it');

select is((select p.begins
             from tenon.usage_period(acme()::uuid, 'month', now()) p),
          (select s.current_period_start from tenon.subscription s
            where s.tenant_id = acme()::uuid),
          'who was subscribed before has had no other month');

-- Nobody has a month of less, wherever one looks.
select is_empty(
    $$ select d, p.begins, p.ends
         from generate_series(-100, 900, 7) d
        cross join lateral tenon.usage_period(globex()::uuid, 'month',
                                              tap.at(d)) p
        where p.ends - p.begins < interval '672 hours'
           or p.ends - p.begins > interval '1440 hours'
           or tap.at(d) < p.begins
           or tap.at(d) >= p.ends
           or (select q.begins
                 from tenon.usage_period(globex()::uuid, 'month', p.ends) q)
              <> p.ends $$,
    'months follow each other, and none is short');

-- What has begun stays: as if it were a year later.
update tenon.usage_anchor
   set begins_at = '2025-01-10 12:00:00+00', anchor = '2025-01-31 08:00:00+00'
 where tenant_id = globex()::uuid;
insert into tenon.usage_anchor (tenant_id, begins_at, anchor)
values (globex()::uuid, '2025-05-31 08:00:00+00', '2025-05-15 09:00:00+00');
update tenon.tenant set created_at = '2024-10-10 12:00:00+00'
 where tenant_id = globex()::uuid;

create temporary table history (at text, want text);
insert into history
values ('2025-01-10 11:59+00', '2024-12-10 12:00:00 2025-01-10 12:00:00'),
       ('2025-01-10 12:00+00', '2025-01-10 12:00:00 2025-02-28 08:00:00'),
       ('2025-02-10 12:00+00', '2025-01-10 12:00:00 2025-02-28 08:00:00'),
       ('2025-03-02 12:00+00', '2025-02-28 08:00:00 2025-03-31 08:00:00'),
       ('2025-05-31 07:59+00', '2025-04-30 08:00:00 2025-05-31 08:00:00'),
       ('2025-05-31 08:00+00', '2025-05-31 08:00:00 2025-07-15 09:00:00'),
       ('2025-07-15 09:00+00', '2025-07-15 09:00:00 2025-08-15 09:00:00');
select is_empty(
    $$ select at, tap.period('month', at), want from history
        where tap.period('month', at) is distinct from want $$,
    'what comes late is of the month that was');

select is(run('tenon_api', globex(), 'delete from tenon.usage_anchor'),
          '42501', 'nobody but who is told of a subscription moves it');

select results_eq(
    $$ select month_begins, month_ends
         from tenon.find_plan(globex()::uuid) limit 1 $$,
    $$ select (extract(epoch from begins) * 1000000)::bigint,
              (extract(epoch from ends) * 1000000)::bigint
         from tenon.usage_period(globex()::uuid, 'month', now()) $$,
    'a plan tells the month it is');


-- Purge ----------------------------------------------------------------------

select is(tap.flush(20, '{1}', begins => '2020-01-01', period => 'minute'),
          '{1}', 'old ones');
insert into tenon.usage_flush (tenant_id, id, at)
values (globex()::uuid, '00000000-0000-4000-8000-000000000098',
        now() - interval '59 days'),
       (globex()::uuid, '00000000-0000-4000-8000-000000000099',
        now() - interval '61 days');
select run('tenon_worker', '', 'select tenon.purge(1000)');
select is((select count(*) from tenon.usage_total where ends < '2021-01-01')
          + (select count(*) from tenon.usage_flush
              where at < now() - interval '60 days'), 0::bigint,
          'go, and so do flushes that nobody will repeat');
select is((select count(*) from tenon.usage_flush
            where at < now() - interval '1 day'), 1::bigint,
          'but no younger one');


select * from finish();

rollback;
