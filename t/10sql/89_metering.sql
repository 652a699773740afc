-- Units: what meters refuse to be, what is recorded of them, how that is counted
-- into totals, and what a hard limit lets through.

begin;

select plan(83);

-- As if it had been there for long.
update tenon.tenant set created_at = now() - interval '60 days';


-- Declarations ---------------------------------------------------------------

create schema shop authorization tenon_owner;

create function tap.declare(declaration text)
returns text
language plpgsql
as $$
declare
    message  text;
    hint     text;
begin
    -- Undone in any case: the block's exception takes it all back.
    set local role tenon_owner;
    perform tenon.app_begin('shop');
    execute declaration;
    raise exception 'accepted';
exception when others then
    get stacked diagnostics message = message_text,
                            hint    = pg_exception_hint;
    reset role;
    return concat_ws(' | ', message, nullif(hint, ''));
end
$$;

create temporary table refused (declaration text, answer text);

insert into refused
values
($$select tenon.meter('Bytes')$$,
 '''Bytes'' can''t be the name of a meter | %'),
($$select tenon.meter('bytes', 'avg')$$,
 'meter bytes can''t be ''avg'' | Its aggregate is %'),
($$select tenon.meter('bytes', writes => '{read}')$$,
 'meter bytes can''t count the writes {read} | %'),
($$select tenon.meter('bytes', writes => '{}')$$,
 'meter bytes can''t count the writes {} | %'),
($$select tenon.meter('api_calls')$$,
 'meter api_calls: api_calls is counted by the platform itself | %'),
($$select tenon.meter('tasks_created')$$,
 'meter tasks_created: meter tasks_created is app teamos''s | %'),
($$select tenon.meter('bytes'), tenon.meter('bytes')$$,
 'meter bytes is declared twice | %'),
($$select tenon.check_meter('resource item', 'seats', 1, null)$$,
 'resource item: seats is counted by the platform itself | %'),
($$select tenon.check_meter('query all', 'looks', 1, null)$$,
 'query all: it can''t count as looks | A query writes nothing down.%'),
($$select tenon.meter('bytes', 'last'),
          tenon.check_meter('resource item', 'bytes', 1, null)$$,
 'resource item: meter bytes is last, which writes can''t count as | %'),
($$select tenon.check_meter('resource item', 'bytes', 1, null),
          tenon.meter('bytes', 'max')$$,
 'meter bytes was sum, and can''t be max now | %'),
($$select tenon.check_meter('resource item', 'bytes', 1, null),
          tenon.meter('bytes', 'count')$$, 'accepted'),
($$select tenon.meter('bytes'), tenon.plan('gold'),
          tenon.plan_limit('gold', 'bytes', hard => 3)$$,
 'plan gold: limit bytes has no period, and what a meter counts is counted '
 'in one | Give the limit a period: %'),
($$select tenon.plan('gold'), tenon.plan_limit('gold', 'bytes', hard => 3),
          tenon.meter('bytes')$$,
 'plan gold: limit bytes has no period, %'),
($$select tenon.meter('bytes'), tenon.plan('gold'),
          tenon.plan_limit('gold', 'bytes', hard => 3, period => 'day')$$,
 'accepted');

select ok(tap.declare(declaration) like answer,
          declaration || ': ' || tap.declare(declaration))
  from refused;


-- What is retired ------------------------------------------------------------

set local role tenon_owner;
select tenon.app_begin('shop');
select tenon.check_meter('resource item', 'items', 2, null);
select tenon.meter('sizes', 'max', unit => 'cm');
select tenon.app_end('shop');
reset role;

select results_eq(
    $$ select name collate "default", aggregate collate "default", unit,
              declared, retired
         from tenon.meter where app = 'shop' order by 1 $$,
    $$ values ('items', 'sum', null, false, false),
              ('sizes', 'max', 'cm', true, false) $$,
    'what a write names is a meter by itself');

set local role tenon_owner;
select tenon.app_begin('shop');
select tenon.meter('sizes', 'max', title => 'Sizes!');
select tenon.app_end('shop');
reset role;

select results_eq(
    $$ select name collate "default", title, retired
         from tenon.meter where app = 'shop' order by 1 $$,
    $$ values ('items', 'Items', true), ('sizes', 'Sizes!', false) $$,
    'one that is no longer declared is retired');

select ok(tap.declare($$select tenon.meter('sizes', 'last')$$)
          like 'meter sizes was max, and can''t be last now | %',
          'what it was it stays');


-- What is reported -----------------------------------------------------------

create function tap.event(n int, meter text default 'minutes_processed',
                          quantity bigint default null,
                          value text default null, at timestamptz default null)
returns jsonb
language sql
as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'id', '01900000-0000-7000-8089-' || lpad(n::text, 12, '0'),
        'meter', meter, 'quantity', quantity, 'value', value, 'at', at))
$$;

create function tap.record(variadic events jsonb[])
returns text
language sql
as $$
    select run('tenon_api', acme(), format(
        'select coalesce(r.refused, jsonb_array_length(r.told)::text)
           from tenon.record_usage(%L, %L, ''pro'', tenon.uuid7(),
                                   ''\x00'') r', acme(), to_jsonb(events)))
$$;

create function tap.used(meter text, period text default 'month')
returns bigint
language sql
as $$
    select run('tenon_api', acme(), format(
        'select tenon.usage_figure(%1$L, m.name, m.aggregate, %2$L, p.begins,
                                   p.ends)
           from tenon.meter m
          cross join tenon.usage_period(%1$L, %2$L, now()) p
          where m.name = %3$L', acme(), period, meter))::bigint
$$;

create function tap.total(meter text, period text default 'month')
returns bigint
language sql
as $$
    select coalesce(sum(t.used), 0)::bigint from tenon.usage_total t
     where t.tenant_id = acme()::uuid and t.meter = $1 and t.period = $2
$$;

-- Round after round, until one counts nothing; how many that were.
create function tap.roll_up()
returns bigint
language plpgsql
as $$
declare
    n       bigint := 0;
    before  bigint := -1;
    got     jsonb;
begin
    while n > before loop
        before := n;
        got    := null;

        loop
            got := run('tenon_worker', '', format(
                'select to_jsonb(r) from tenon.roll_up_usage(%L, %L, %L) r',
                got ->> 'tenant', got ->> 'meter', got ->> 'begins'))::jsonb;
            exit when got ->> 'tenant' is null;
            n := n + (got ->> 'counted')::bigint;
        end loop;
    end loop;

    return n;
end
$$;

select is(tap.record(tap.event(1, quantity => 5), tap.event(2)), '2',
          'what is reported is told');
select is(tap.used('minutes_processed'), 6::bigint, 'and counts');
select is(tap.total('minutes_processed'), 0::bigint, 'before any total has it');
select is(tap.record(tap.event(1, quantity => 5)), '1', 'again');
select is(tap.used('minutes_processed'), 6::bigint, 'it counts once');
select is(tap.record(tap.event(1, quantity => 6)),
          'invalid_fields /events/0/id duplicate was recorded before, and says '
          'something else', 'what says something else isn''t the same');
select is(tap.record(tap.event(1, quantity => 5, at => now()
                                                 - interval '1 s')),
          'invalid_fields /events/0/id duplicate was recorded before, and says '
          'something else', 'nor what is of another time');
select is(tap.record(tap.event(3), tap.event(3, quantity => 2)),
          'invalid_fields /events/1/id duplicate is the id of another one '
          'here, which says something else', 'nor twice in one body');
select is(tap.record(tap.event(3), tap.event(3)), '2', 'the same is, once');
select is(tap.used('minutes_processed'), 7::bigint, 'as one');
select is(tap.record(tap.event(4, 'items')),
          'invalid_fields /events/0/meter not_in_set is no meter here',
          'what is retired takes no more');
select is(tap.record(tap.event(4, at => now() - interval '35 days 1 s'),
                     tap.event(5, at => now() + interval '301 s')),
          'invalid_fields /events/0/at out_of_range is more than 35 days ago;'
          '/events/1/at out_of_range is more than 5 minutes ahead',
          'nothing comes too late, or too early');
update tenon.tenant set created_at = now() - interval '20 days';
select is(tap.record(tap.event(4, at => now() - interval '20 days 1 s'),
                     tap.event(5, at => now() - interval '36 days'),
                     tap.event(6, at => now() - interval '20 days')),
          'invalid_fields /events/0/at out_of_range is before the organization '
          'was made;/events/1/at out_of_range is more than 35 days ago',
          'nor what nobody can have used');
update tenon.tenant set created_at = now() - interval '60 days';
select is(tap.record(tap.event(4, at => now() - interval '35 days'),
                     tap.event(5, at => now() + interval '300 s')), '2',
          'but up to then');

update tenon.usage_event
   set at = at - interval '2 days', begins = begins - interval '2 days'
 where id = '01900000-0000-7000-8089-000000000004';
select is(tap.record(tap.event(4)), '1',
          'what was taken is answered, however old it is by now');
delete from tenon.usage_event where id::text ~ '8089-00000000000[45]$';

select is(run('tenon_api', globex(), format(
              'select count(*) from tenon.usage_event where tenant_id = %L',
              acme())), '0', 'another tenant sees none of it');
select is(run('tenon_api', globex(), format(
              'insert into tenon.usage_event (tenant_id, meter, begins, ends)
               values (%L, ''minutes_processed'', now(), now()
                       + interval ''1 day'')', acme())), '42501',
          'nor reports for it');
select is(run('tenon_api', acme(), 'update tenon.usage_event set quantity = 9'),
          '42501', 'what is recorded stays so');
select is(run('tenon_api', acme(), 'delete from tenon.usage_event'), '42501',
          'and stays');


-- Totals ---------------------------------------------------------------------

select is(tap.roll_up(), 3::bigint, 'it is counted');
select is(tap.roll_up(), 0::bigint, 'once');
select is(current_setting('tenon.tenant', true), '',
          'and no tenant''s context is left behind');
select is(tap.total('minutes_processed'), 7::bigint, 'into the month''s total');
select is(tap.total('minutes_processed', 'day'), 7::bigint, 'and the day''s');
select is(tap.used('minutes_processed'), 7::bigint, 'which changes no figure');
select is(tap.used('minutes_processed', 'hour'), 7::bigint,
          'of an hour, either');

select is(tap.record(
              tap.event(11, 'active_users', value => 'a'),
              tap.event(12, 'active_users', value => 'b'),
              tap.event(13, 'active_users', value => 'a'),
              tap.event(14, 'peak_connections', quantity => 4),
              tap.event(15, 'peak_connections', quantity => 9),
              tap.event(16, 'storage_bytes', quantity => 70,
                        at => now() - interval '1 ms'),
              tap.event(17, 'storage_bytes', quantity => 90,
                        at => now() - interval '2 ms')), '7', 'other kinds');
create temporary table before as
select m.name, p.period, tap.used(m.name, p.period)
  from tenon.meter m
 cross join (values ('month'), ('day'), ('hour')) p (period)
 where m.app = 'teamos';
select results_eq(
    $$ select name collate "default", used from before
        where period = 'month' and used > 0 order by 1 $$,
    $$ values ('active_users', 2::bigint), ('minutes_processed', 7),
              ('peak_connections', 9), ('storage_bytes', 70) $$,
    'are what each makes of them');
select is(tap.roll_up(), 7::bigint, 'are counted');
select is(count(*), 0::bigint, 'to the same')
  from before b
 where tap.used(b.name, b.period) <> b.used;
select is(tap.record(tap.event(18, 'active_users', value => 'b'),
                     tap.event(19, 'active_users', value => 'c'),
                     tap.event(20, 'peak_connections', quantity => 8),
                     tap.event(21, 'storage_bytes', quantity => 10)), '4',
          'more');
select is(tap.roll_up(), 4::bigint, 'is counted');
select results_eq(
    $$ select meter collate "default", used from tenon.usage_total
        where tenant_id = acme()::uuid and period = 'month'
          and meter <> 'api_calls' order by 1 $$,
    $$ values ('active_users', 3::bigint), ('minutes_processed', 7),
              ('peak_connections', 9), ('storage_bytes', 10) $$,
    'up and down');

-- As much as there can be.
update tenon.usage_total set used = 9223372036854775800
 where tenant_id = acme()::uuid and meter = 'minutes_processed';
select is(tap.record(tap.event(22, quantity => 1000000000000)), '1',
          'what is more than can be counted');
select is(tap.roll_up(), 1::bigint, 'keeps nobody from counting');
select is(tap.total('minutes_processed'), 9223372036854775807,
          'the total stands still');

select is(run('tenon_api', acme(), statement), want, message)
  from (values
        ('update tenon.usage_total set used = 0', '42501',
         'nobody sets a total back'),
        ('update tenon.usage_event set counted = true', '42501',
         'or says that something is counted'),
        (format('select tenon.add_usage(%L, ''minutes_processed'', ''day'', '
                'now(), now() + interval ''1 day'', -1)', acme()), 'P0001',
         'or takes something away'),
        (format('select tenon.move_usage(%L, ''minutes_processed'', ''day'', '
                'now(), now(), -1, null, null)', acme()), '42501',
         'in any way'))
       as t (statement, want, message);
select is(run('tenon_worker', acme(), 'delete from tenon.usage_total'), '0',
          'nor is one purged that isn''t over');
insert into tenon.usage_flush (tenant_id, id)
values (acme()::uuid, gen_random_uuid());
select is(run('tenon_worker', acme(), 'delete from tenon.usage_flush'), '0',
          'nor a flush');


-- Who has much ---------------------------------------------------------------

create function tap.used_by(tenant text, n int, begins timestamptz,
                            lasts interval, at timestamptz,
                            meter text default 'tasks_created',
                            quantity bigint default 1,
                            value text default null)
returns void
language sql
as $$
    insert into tenon.usage_event (tenant_id, meter, quantity, value, at,
                                   begins, ends)
    select tenant::uuid, meter, quantity, value, at, begins, begins + lasts
      from generate_series(1, n)
$$;

create function tap.months(meter text, of_period text default 'month')
returns text
language sql
as $$
    select string_agg(concat_ws(' ', case t.tenant_id when acme()::uuid
                                     then 'acme' else 'globex' end,
                                to_char(t.begins, 'MM-DD'),
                                to_char(t.ends, 'MM-DD'), t.used), ', '
                      order by t.tenant_id, t.begins)
      from tenon.usage_total t
     where t.meter = months.meter
       and t.period = of_period
$$;

set local timezone = 'UTC';
delete from tenon.usage_total;

select tap.used_by(acme(), 2500, '2026-03-01', '31 days', '2026-03-05');
select tap.used_by(globex(), 1, '2026-03-01', '31 days', '2026-03-05');
select is(run('tenon_worker', '',
              'select to_jsonb(r) - ''tenant'' - ''meter''
                 from tenon.roll_up_usage() r')::jsonb,
          '{"begins": "2026-03-01T00:00:00+00:00", "counted": 1000}',
          'some at a time are counted');
select is(tap.months('tasks_created'), 'acme 03-01 04-01 1000',
          'and of that month alone');
select is(run('tenon_worker', '', format(
              'select r.tenant::text || r.counted
                 from tenon.roll_up_usage(%L, ''tasks_created'',
                                          ''2026-03-01'') r', acme())),
          globex() || '1', 'then comes the one behind');
select is(run('tenon_worker', '', format(
              'select coalesce(r.tenant::text, ''none'') || r.counted
                 from tenon.roll_up_usage(%L, ''tasks_created'',
                                          ''2026-03-01'') r', globex())),
          'none0', 'until there is none');
select is(run('tenon_api', acme(), format(
              'select tenon.usage_figure(%L, ''tasks_created'', ''sum'',
                          ''month'', ''2026-03-01'', ''2026-04-01'')',
              acme())), '2500', 'what isn''t counted yet is there all the same');
select is(tap.roll_up(), 1500::bigint, 'the rest is counted');
select is(tap.months('tasks_created'),
          'acme 03-01 04-01 2500, globex 03-01 04-01 1', 'each once');
select is(tap.months('tasks_created', 'day'),
          'acme 03-05 03-06 2500, globex 03-05 03-06 1', 'by days as well');

-- One whose use can't be counted.
create function tap.broken()
returns trigger
language plpgsql
as $$ begin raise exception 'broken'; end $$;
create trigger tap_broken
    before insert or update on tenon.usage_total
    for each row when (new.tenant_id = '01900000-000a-7000-8000-000000000001')
    execute function tap.broken();
select tap.used_by(acme(), 1, '2026-03-01', '31 days', '2026-03-06');
select tap.used_by(globex(), 1, '2026-03-01', '31 days', '2026-03-06');
set local client_min_messages = error;
select is(tap.roll_up(), 1::bigint, 'what can''t be counted stops nobody');
reset client_min_messages;
select is(tap.months('tasks_created'),
          'acme 03-01 04-01 2500, globex 03-01 04-01 2', 'behind it');
drop trigger tap_broken on tenon.usage_total;
select is(tap.roll_up(), 1::bigint, 'and is when it can be');


-- Months that move -----------------------------------------------------------

delete from tenon.usage_total;
select tap.used_by(acme(), 1, '2026-05-01', '14 days', '2026-05-02');
select tap.used_by(acme(), 1, '2026-05-01', '30 days', '2026-05-21');
select is(tap.roll_up(), 2::bigint, 'of a month that was made longer');
select is(tap.months('tasks_created'), 'acme 05-01 05-31 2',
          'all of it is in the total');
select tap.used_by(acme(), 1, '2026-05-01', '31 days', '2026-05-31');
select is(tap.roll_up(), 1::bigint, 'once more');
select is(tap.months('tasks_created'), 'acme 05-01 06-01 3', 'it moves along');

-- A day on which a month ends is of two.
delete from tenon.usage_total;
select tap.used_by(acme(), 2, '2026-06-10 12:00', '30 days',
                   '2026-07-10 06:00', m.name, m.quantity, m.value),
       tap.used_by(acme(), 2, '2026-07-10 12:00', '31 days',
                   '2026-07-10 18:00', m.name, m.quantity - 1, m.value)
  from (values ('active_users', 1, 'x'), ('peak_connections', 9, null),
               ('storage_bytes', 9, null), ('tasks_created', 2, null))
       as m (name, quantity, value);
select is(tap.roll_up(), 16::bigint, 'of two months that share a day');
select is(string_agg(tap.months(m, 'month'), '; ' order by m),
          'acme 06-10 07-10 1, acme 07-10 08-10 1; '
          'acme 06-10 07-10 9, acme 07-10 08-10 8; '
          'acme 06-10 07-10 9, acme 07-10 08-10 8; '
          'acme 06-10 07-10 4, acme 07-10 08-10 2', 'each has its own')
  from unnest(array['active_users', 'peak_connections', 'storage_bytes',
                    'tasks_created']) m;
select is(string_agg(tap.months(m, 'day'), '; ' order by m),
          'acme 07-10 07-11 1; acme 07-10 07-11 9; acme 07-10 07-11 8; '
          'acme 07-10 07-11 6', 'and the day has both')
  from unnest(array['active_users', 'peak_connections', 'storage_bytes',
                    'tasks_created']) m;
delete from tenon.usage_event
 where tenant_id = globex()::uuid or begins < '2026-08-01';


-- Who pays for nothing -------------------------------------------------------

create function tap.record_some(most int, variadic events jsonb[])
returns text
language sql
as $$
    select run('tenon_api', acme(), format(
        'select coalesce(r.refused, jsonb_array_length(r.told)::text)
           from tenon.record_usage(%L, %L, null, tenon.uuid7(), ''\x00'',
                                   %s) r',
        acme(), to_jsonb(events),
        (select count(*) + most from tenon.usage_event
          where tenant_id = acme()::uuid and created_at >= now())))
$$;

select is(tap.record_some(2, tap.event(31), tap.event(32), tap.event(32)),
          '3', 'reports so much a day');
select ok(tap.record_some(0, tap.event(33))
          like 'payment_required: Without a plan that is paid for this '
               'organization may report % events a day %', 'and no more');
select is(tap.record_some(0, tap.event(32)), '1',
          'but what was taken is answered');


-- Purge ----------------------------------------------------------------------

update tenon.usage_event
   set begins = begins - interval '75 days', ends = ends - interval '75 days',
       at = at - interval '75 days', counted = id::text like '%1'
 where tenant_id = acme()::uuid;
create temporary table over as
select count(*) filter (where counted)::text as n, count(*) as all
  from tenon.usage_event;
select is(run('tenon_worker', '', 'delete from tenon.usage_event'), n,
          'what is over and counted goes')
  from over;
select is((select count(*) from tenon.usage_event), o.all - o.n::bigint,
          'and nothing else')
  from over o;

select * from finish();
rollback;
