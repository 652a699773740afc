-- 0031_usage_events.sql: units that tenants use: meters as declarations, what is
-- recorded of them, and how that gets into the totals.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0031_usage_events.sql


-- Meters ---------------------------------------------------------------------

create table tenon.meter (
    name       text    collate "C" primary key,
    app        text    collate "C" not null,
    title      text    not null,
    unit       text,
    aggregate  text    collate "C" not null,
    writes     text[]  not null,
    declared   boolean not null,
    retired    boolean not null default false,

    constraint meter_name_format check (name ~ '^[a-z][a-z0-9_.]{0,62}$'),
    constraint meter_aggregate_set
         check (aggregate in ('sum', 'count', 'unique', 'max', 'last')),
    constraint meter_writes_set
         check (writes <@ '{create,update,delete,restore,rollback}')
);

comment on table tenon.meter is
    'global: what is counted of tenants'' use besides their calls; one that is '
    'no longer declared is retired: nothing more is recorded of it';
comment on column tenon.meter.writes is
    'Which writes of the resources that name it as their usage count';
comment on column tenon.meter.declared is
    'By tenon.meter(); else it is implied by who names it as their usage';

grant select on tenon.meter to tenon_api, tenon_worker;


create or replace function tenon.clear_app(app text)
returns void
language sql
as $$
    -- Declarations are made anew, so what is no longer declared is gone.
    -- Permissions stay: their numbers must never mean something else. So do
    -- plans, their prices, and meters: somebody may have one, or have used it.
    delete from tenon."grant"  g where g.app = clear_app.app;
    delete from tenon.resource r where r.app = clear_app.app;
    delete from tenon.query    q where q.app = clear_app.app;
    delete from tenon.param    p where p.app = clear_app.app;
    update tenon.plan_price c
       set retired = true
      from tenon.plan p
     where p.name = c.plan
       and p.app  = clear_app.app;
    update tenon.plan p set retired = true where p.app = clear_app.app;
    update tenon.meter m
       set retired = true, declared = false
     where m.app = clear_app.app;
$$;


create function tenon.free_meter(what text, name text)
returns void
language plpgsql stable
set search_path = pg_catalog
as $$
declare
    other  text;
begin
    if name in ('seats', 'api_calls', 'api_rate') then
        perform tenon.refuse(
            format('%s: %s is counted by the platform itself', what, name),
            'Give it another name.');
    end if;

    select m.app into other
      from tenon.meter m
     where m.name = free_meter.name
       and m.app <> tenon.current_app()
       and not m.retired;

    if found then
        perform tenon.refuse(
            format('%s: meter %s is app %s''s', what, name, other),
            'A database has one set of meters: give it another name.');
    end if;

    select l.plan into other
      from tenon.plan_limit l
      join tenon.plan p on p.name = l.plan
     where l.name = free_meter.name
       and l.period is null
       and not p.retired
     limit 1;

    if found then
        perform tenon.refuse(
            format('plan %s: limit %s has no period, and what a meter '
                   'counts is counted in one', other, name),
            'Give the limit a period: minute, hour, day or month.');
    end if;
end
$$;

comment on function tenon.free_meter(text, text) is
    'Refuses what can''t be the name of a meter of the app that is loaded';


create or replace function tenon.check_meter(what text, usage text, units int,
                                             requires_feature text)
returns void
language plpgsql volatile
as $$
declare
    form  constant text := '^[a-z][a-z0-9_.]{0,62}$';
    how   text;
begin
    if usage !~ form or requires_feature !~ form then
        perform tenon.refuse(
            format('%s: %L can''t be the name of a %s', what,
                   case when usage !~ form then usage
                        else requires_feature end,
                   case when usage !~ form then 'usage' else 'feature' end),
            'Use lower-case letters, digits, _ and dots, starting with a '
            'letter, 63 at most.');
    end if;

    if units is null or units not between 1 and 1000000 then
        perform tenon.refuse(
            format('%s: it can''t count as %s units', what,
                   coalesce(units::text, 'null')),
            'Use 1 to 1000000.');
    end if;

    if usage is null then
        return;
    end if;

    if what like 'query %' then
        perform tenon.refuse(
            format('%s: it can''t count as %s', what, usage),
            'A query writes nothing down. Count actions and writes of '
            'resources, or report what is used to POST /v1/usage/events; '
            'calls are counted as api_calls.');
    end if;

    perform tenon.free_meter(what, usage);

    -- Who names it before it is declared, or without that.
    insert into tenon.meter as m (name, app, title, aggregate, writes,
                                  declared)
    values (usage, tenon.current_app(),
            initcap(translate(usage, '_.', '  ')), 'sum',
            '{create,update,delete,restore,rollback}', false)
        on conflict on constraint meter_pkey do update
       set app = excluded.app, retired = false
     where m.retired;

    select m.aggregate into how
      from tenon.meter m
     where m.name = usage;

    if how not in ('sum', 'count') then
        perform tenon.refuse(
            format('%s: meter %s is %s, which writes can''t count as', what,
                   usage, how),
            'Declare the meter with aggregate => ''sum'' or ''count''.');
    end if;
end
$$;

comment on function tenon.check_meter(text, text, int, text) is
    'Refuses what can''t be metered; a usage that isn''t declared is a meter by '
    'itself';


create function tenon.meter(
    name       text,
    aggregate  text   default 'sum',
    title      text   default null,
    unit       text   default null,
    writes     text[] default '{create,update,delete,restore,rollback}')
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    was  tenon.meter;
begin
    if name !~ '^[a-z][a-z0-9_.]{0,62}$' then
        perform tenon.refuse(
            format('%L can''t be the name of a meter', name),
            'Use lower-case letters, digits, _ and dots, starting with a '
            'letter, 63 at most.');
    end if;

    if aggregate not in ('sum', 'count', 'unique', 'max', 'last') then
        perform tenon.refuse(
            format('meter %s can''t be %L', name, aggregate),
            'Its aggregate is sum, count, unique, max or last.');
    end if;

    if not writes <@ '{create,update,delete,restore,rollback}'::text[]
       or writes is null or writes = '{}'
    then
        perform tenon.refuse(
            format('meter %s can''t count the writes %s', name,
                   coalesce(writes::text, 'null')),
            'Use create, update, delete, restore and rollback.');
    end if;

    perform tenon.free_meter('meter ' || name, name);

    select m.* into was
      from tenon.meter m
     where m.name = meter.name;

    if was.declared then
        perform tenon.refuse(format('meter %s is declared twice', name),
                             'Take one of them away.');
    end if;

    -- A total that was a sum can't become a maximum.
    if was.aggregate <> aggregate
       and not (was.aggregate in ('sum', 'count')
                and aggregate in ('sum', 'count'))
    then
        perform tenon.refuse(
            format('meter %s was %s, and can''t be %s now', name,
                   was.aggregate, aggregate),
            'What was used is added up in that way already: declare a meter '
            'of another name. (A resource''s or action''s usage is sum or '
            'count.)');
    end if;

    insert into tenon.meter as m (name, app, title, unit, aggregate, writes,
                                  declared)
    values (meter.name, tenon.current_app(),
            coalesce(meter.title,
                     initcap(translate(meter.name, '_.', '  '))),
            meter.unit, meter.aggregate, meter.writes, true)
        on conflict on constraint meter_pkey do update
       set app = excluded.app, title = excluded.title, unit = excluded.unit,
           aggregate = excluded.aggregate, writes = excluded.writes,
           declared = true, retired = false;
end
$$;

comment on function tenon.meter(text, text, text, text, text[]) is
    'Declares what is counted of tenants'' use: by the usage of resources and '
    'actions that name it, and by events that are reported';


create function tenon.check_limit()
returns trigger
language plpgsql
set search_path = pg_catalog
as $$
begin
    if exists (select
                 from tenon.meter m
                where m.name = new.name
                  and not m.retired)
    then
        perform tenon.refuse(
            format('plan %s: limit %s has no period, and what a meter '
                   'counts is counted in one', new.plan, new.name),
            'Give the limit a period: minute, hour, day or month.');
    end if;

    return new;
end
$$;

comment on function tenon.check_limit() is
    'Trigger: refuses a limit on how many there are of what is counted in '
    'periods';

create trigger tenon_check
    before insert on tenon.plan_limit
    for each row when (new.period is null and new.name <> 'seats')
    execute function tenon.check_limit();


-- What is recorded -----------------------------------------------------------

create table tenon.usage_event (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    meter        text        collate "C" not null,
    quantity     bigint      not null default 1,
    value        text        collate "C",
    at           timestamptz not null default now(),
    begins       timestamptz not null,
    ends         timestamptz not null,
    soft         bigint,
    hard         bigint,
    period       text        collate "C",
    counted      boolean     not null default false,
    resource     text        collate "C",
    resource_id  uuid,
    created_at   timestamptz not null default now(),
    created_by   uuid,

    primary key (tenant_id, id),

    constraint usage_event_quantity_range
         check (quantity between 0 and 1000000000000),
    constraint usage_event_value_length
         check (char_length(value) between 1 and 255),
    constraint usage_event_period check (at >= begins and at < ends)
)
with (fillfactor = 90);

create index usage_event_list on tenon.usage_event
       (tenant_id, created_at, id);
create index usage_event_list_of on tenon.usage_event
       (tenant_id, meter, created_at, id);
create index usage_event_at on tenon.usage_event
       (tenant_id, meter, at, id);
create index usage_event_value on tenon.usage_event
       (tenant_id, meter, value, at)
 where value is not null;
create index usage_event_uncounted on tenon.usage_event
       (tenant_id, meter, begins, ends)
 where not counted;
create index usage_event_over on tenon.usage_event (ends);

comment on table tenon.usage_event is
    'tenant: what a tenant has used, once each: reported, or recorded by the '
    'write that used it. Its totals are in usage_total; a row stays until '
    'nothing of its period can come any more';
comment on column tenon.usage_event.id is
    'Who reports it gives it: one that is there is not recorded again';
comment on column tenon.usage_event.value is
    'Of a meter that counts unique ones: which';
comment on column tenon.usage_event.begins is
    'Of the month of the tenant''s in which it counts; until: ends';
comment on column tenon.usage_event.period is
    'In which the limits soft and hard held when it was recorded; null: none '
    'did';
comment on column tenon.usage_event.counted is
    'Whether the totals have it';

alter table tenon.usage_event enable row level security,
                              force  row level security;

create policy tenant on tenon.usage_event
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

-- Whose it is shows when it is rolled up.
create policy worker on tenon.usage_event to tenon_worker
     using (true)
with check (true);

create policy purge on tenon.usage_event as restrictive
   for delete to tenon_worker
 using (counted and ends < now() - interval '40 days');

grant select,
      insert (tenant_id, id, meter, quantity, value, at, begins, ends, soft,
              hard, period, resource, resource_id, created_by)
   on tenon.usage_event
   to tenon_api;

grant select,
      delete
   on tenon.usage_event
   to tenon_worker;

-- What is older than 35 days isn't taken any more.
insert into tenon.purge_rule (relation, condition)
values ('tenon.usage_event',
        $$counted and ends < now() - interval '40 days'$$);


-- Figures --------------------------------------------------------------------

create function tenon.usage_figure(
    tenant     uuid,
    meter      text,
    aggregate  text,
    period     text,
    begins     timestamptz,
    ends       timestamptz)
returns bigint
language plpgsql stable
set search_path = pg_catalog
as $$
declare
    -- Of an hour or a minute there is no total, and all are looked at.
    summed    constant boolean := period in ('day', 'month');
    -- What counts in a month has it written down; of other periods its time
    -- says so.
    of_month  constant boolean := period = 'month';
    lowest    constant timestamptz := case when of_month then begins
                                           else '-infinity' end;
    highest   constant timestamptz := case when of_month then begins
                                           else 'infinity' end;
    until     constant timestamptz := case when of_month then 'infinity'
                                           else ends end;
    total     bigint;
    figure    numeric;
begin
    if summed then
        select t.used into total
          from tenon.usage_total t
         where t.tenant_id = tenant
           and t.meter     = usage_figure.meter
           and t.period    = usage_figure.period
           and t.begins    = usage_figure.begins;
    end if;

    total := coalesce(total, 0);

    if aggregate = 'last' then
        select e.quantity into figure
          from tenon.usage_event e
         where e.tenant_id = tenant
           and e.meter     = usage_figure.meter
           and e.at       >= usage_figure.begins
           and e.at        < until
           and e.begins   >= lowest
           and e.begins   <= highest
         order by e.at desc, e.id desc
         limit 1;

        return coalesce(figure::bigint, total);
    end if;

    if summed and aggregate = 'unique' then
        select total + count(distinct e.value) into figure
          from tenon.usage_event e
         where e.tenant_id = tenant
           and e.meter     = usage_figure.meter
           and not e.counted
           and e.at       >= usage_figure.begins
           and e.at        < until
           and e.begins   >= lowest
           and e.begins   <= highest
           and not exists (select
                             from tenon.usage_event o
                            where o.tenant_id = tenant
                              and o.meter     = usage_figure.meter
                              and o.value     = e.value
                              and o.at       >= usage_figure.begins
                              and o.at        < until
                              and o.begins   >= lowest
                              and o.begins   <= highest
                              and o.counted);
    elsif summed then
        select case aggregate
               when 'max' then greatest(total, max(e.quantity))
               else total + coalesce(sum(e.quantity), 0)
               end
          into figure
          from tenon.usage_event e
         where e.tenant_id = tenant
           and e.meter     = usage_figure.meter
           and not e.counted
           and e.at       >= usage_figure.begins
           and e.at        < until
           and e.begins   >= lowest
           and e.begins   <= highest;
    else
        select case aggregate
               when 'unique' then count(distinct e.value)
               when 'max' then coalesce(max(e.quantity), 0)
               else coalesce(sum(e.quantity), 0)
               end
          into figure
          from tenon.usage_event e
         where e.tenant_id = tenant
           and e.meter     = usage_figure.meter
           and e.at       >= usage_figure.begins
           and e.at        < usage_figure.ends;
    end if;

    return least(figure, 9223372036854775807)::bigint;
end
$$;

comment on function tenon.usage_figure(uuid, text, text, text, timestamptz,
                                       timestamptz) is
    'What a tenant has used of a meter in a period: the total, and what isn''t '
    'counted yet. It stands still at the largest bigint';


create function tenon.move_usage(
    tenant  uuid,
    meter   text,
    period  text,
    begins  timestamptz,
    ends    timestamptz,
    units   bigint,
    soft    bigint,
    hard    bigint)
returns bigint
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    total  bigint;
begin
    if units >= 0 then
        return tenon.add_usage(tenant, meter, period, begins, ends, units,
                               soft, hard);
    end if;

    update tenon.usage_total t
       set used = t.used + units
     where t.tenant_id = tenant
       and t.meter     = move_usage.meter
       and t.period    = move_usage.period
       and t.begins    = move_usage.begins
    returning t.used into total;

    return total;
end
$$;

comment on function tenon.move_usage(uuid, text, text, timestamptz,
                                     timestamptz, bigint, bigint, bigint) is
    'As tenon.add_usage(), and down as well: the last of what is measured may '
    'be less than the one before';


create function tenon.count_usage(
    tenant  uuid,
    meter   text,
    begins  timestamptz,
    ends    timestamptz,
    most    int default 1000)
returns bigint
language plpgsql volatile
-- So nobody else needs the right to say that something is counted.
security definer
set search_path = pg_catalog
as $$
declare
    how    text;
    n      bigint;
    parts  bigint;
begin
    -- Whoever counts this meter holds it, with all of its months and days;
    -- what others have recorded and committed shows behind that.
    perform pg_advisory_xact_lock(hashtext(tenant::text), hashtext(meter));

    select coalesce((select m.aggregate
                       from tenon.meter m
                      where m.name = count_usage.meter), 'sum')
      into how;

    -- One statement, so that what is added is what is marked.
    with fresh as materialized (
        select e.id, e.quantity, e.value, e.at, e.ends, e.soft, e.hard,
               e.period, e.created_at, date_trunc('day', e.at, 'UTC') as day
          from tenon.usage_event e
         where e.tenant_id = tenant
           and e.meter     = count_usage.meter
           and e.begins    = count_usage.begins
           and not e.counted
         limit most),
    -- Of a value the month, and the day, may have one already.
    news as (
        select f.*,
               how = 'unique'
               and not exists (select
                                 from tenon.usage_event o
                                where o.tenant_id = tenant
                                  and o.meter     = count_usage.meter
                                  and o.value     = f.value
                                  and o.at       >= count_usage.begins
                                  and o.begins    = count_usage.begins
                                  and o.counted) as in_month,
               how = 'unique'
               and not exists (select
                                 from tenon.usage_event o
                                where o.tenant_id = tenant
                                  and o.meter     = count_usage.meter
                                  and o.value     = f.value
                                  and o.at       >= f.day
                                  and o.at        < f.day + interval '24 hours'
                                  and o.counted) as in_day
          from fresh f),
    part as materialized (
        select case when grouping(w.day) = 1 then 'month' else 'day' end
                   as period,
               coalesce(w.day, count_usage.begins) as begins,
               coalesce(w.day + interval '24 hours',
                        greatest(count_usage.ends, max(w.ends))) as ends,
               sum(w.quantity) as added, max(w.quantity) as largest,
               case when grouping(w.day) = 1
                    then count(distinct w.value) filter (where w.in_month)
                    else count(distinct w.value) filter (where w.in_day)
               end as differing
          from news w
         group by grouping sets ((), (w.day))
        having count(*) > 0),
    figure as materialized (
        select p.period, p.begins, p.ends,
               case how
               when 'last'
               then tenon.usage_figure(tenant, count_usage.meter, how,
                                       p.period, p.begins, p.ends) - t.used
               when 'max' then greatest(p.largest - t.used, 0)
               else least(case how when 'unique' then p.differing
                                   else p.added end,
                          9223372036854775807 - t.used)::bigint
               end as units
          from part p
         cross join lateral (
               select coalesce(sum(t.used), 0)::bigint as used
                 from tenon.usage_total t
                where t.tenant_id = tenant
                  and t.meter     = count_usage.meter
                  and t.period    = p.period
                  and t.begins    = p.begins) t),
    latest as materialized (
        select f.period, f.soft, f.hard
          from fresh f
         order by f.created_at desc, f.id desc
         limit 1),
    marked as (
        update tenon.usage_event e
           set counted = true
          from fresh f
         where e.tenant_id = tenant
           and e.id        = f.id
        returning e.id),
    moved as materialized (
        select tenon.move_usage(
                   tenant, count_usage.meter, f.period, f.begins, f.ends,
                   f.units,
                   case when l.period = f.period then l.soft end,
                   case when l.period = f.period then l.hard end) as used
          from figure f
         cross join latest l)
    select (select count(*) from marked), count(m.used) into n, parts
      from moved m;

    return n;
end
$$;

comment on function tenon.count_usage(uuid, text, timestamptz, timestamptz,
                                      int) is
    'Adds what is recorded in a month of the current tenant, and isn''t counted '
    'yet, to the totals of that month and its days, so many at most; returns '
    'how many that were. Holds the meter: who does so for several does it in '
    'the order of their names';


create function tenon.usage_room(
    tenant  uuid,
    meter   text,
    units   bigint,
    period  text,
    hard    bigint)
returns boolean
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    month  record;
    part   record;
begin
    if hard is null then
        return true;
    end if;

    month := tenon.usage_period(tenant, 'month', now());
    part  := month;

    perform tenon.count_usage(tenant, meter, month.begins, month.ends);

    if period <> 'month' then
        part := tenon.usage_period(tenant, period, now());
    end if;

    return tenon.usage_figure(tenant, meter, 'sum', period, part.begins,
                              part.ends)::numeric + units <= hard;
end
$$;

comment on function tenon.usage_room(uuid, text, bigint, text, bigint) is
    'Whether a tenant may use so much more of what is added up, now; holds the '
    'meter until what is used is recorded and committed. A null limit is none';


create function tenon.roll_up_usage(
    inout tenant   uuid        default null,
    inout meter    text        default null,
    inout begins   timestamptz default null,
    out   counted  bigint)
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    one     record;
begin
    select e.tenant_id, e.meter, e.begins, e.ends into one
      from tenon.usage_event e
     where not e.counted
       and (e.tenant_id, e.meter, e.begins)
           > (coalesce(tenant, '00000000-0000-0000-0000-000000000000'),
              coalesce(roll_up_usage.meter, ''),
              coalesce(roll_up_usage.begins, '-infinity'))
     order by e.tenant_id, e.meter, e.begins
     limit 1;

    tenant  := one.tenant_id;
    meter   := one.meter;
    begins  := one.begins;
    counted := 0;

    if tenant is null then
        return;
    end if;

    -- Whatever is wrong with one tenant's, the others' are counted.
    begin
        perform set_config('tenon.tenant', tenant::text, true);
        counted := tenon.count_usage(tenant, meter, begins, one.ends);
    exception
        when query_canceled or others then
            raise warning 'what tenant % has used of % since % isn''t '
                          'counted: %', tenant, meter, begins, sqlerrm;
    end;

    perform set_config('tenon.tenant', coalesce(asking, ''), true);
end
$$;

comment on function tenon.roll_up_usage(uuid, text, timestamptz) is
    'Counts some of what is recorded and isn''t counted yet, of the first month '
    'of a tenant''s meter behind the one that is named; returns which that was '
    'and how many, or null where none is left. Run it as tenon_worker, each '
    'time in a transaction of its own, until a round from null to null counts '
    'nothing';


-- What is reported -----------------------------------------------------------

create function tenon.usage_asked(events jsonb)
returns table (nth bigint, id uuid, meter text, aggregate text,
               quantity bigint, has_quantity boolean, value text,
               at timestamptz)
language sql stable
set search_path = pg_catalog
as $$
    select e.nth - 1,
           (e.one ->> 'id')::uuid,
           e.one ->> 'meter',
           m.aggregate,
           coalesce((e.one ->> 'quantity')::numeric::bigint, 1),
           e.one ->> 'quantity' is not null,
           e.one ->> 'value',
           (e.one ->> 'at')::timestamptz
      from jsonb_array_elements(events) with ordinality e (one, nth)
      left join tenon.meter m on m.name = e.one ->> 'meter'
                             and not m.retired
$$;

comment on function tenon.usage_asked(jsonb) is
    'What a body reports, a row each, in its order; aggregate is null where '
    'there is no such meter';


create function tenon.usage_faults(tenant uuid, events jsonb)
returns text
language sql volatile
set search_path = pg_catalog
as $$
    with asked as materialized (
        select a.*,
               e.id is not null as known,
               e.id is not null
               and (e.meter <> a.meter or e.quantity <> a.quantity
                    or e.value is distinct from a.value
                    or e.at <> coalesce(a.at, e.at)
                    or e.resource is not null) as other
          from tenon.usage_asked(events) a
          left join tenon.usage_event e on e.tenant_id = tenant
                                       and e.id        = a.id)
    select 'invalid_fields ' || string_agg(f.fault, ';' order by f.nth)
      from (select a.nth,
                   format('/events/%s/meter not_in_set is no meter here',
                          a.nth) as fault
              from asked a
             where a.aggregate is null
            union all
            select a.nth,
                   format('/events/%s/quantity required is required: this '
                          'meter keeps the %s one', a.nth,
                          case a.aggregate when 'max' then 'largest'
                                           else 'last' end)
              from asked a
             where a.aggregate in ('max', 'last')
               and not a.has_quantity
            union all
            select a.nth,
                   format('/events/%s/quantity refused must be left out: '
                          'this meter counts %s', a.nth,
                          case a.aggregate when 'count' then 'events'
                                           else 'values' end)
              from asked a
             where a.aggregate in ('count', 'unique')
               and a.has_quantity
            union all
            select a.nth,
                   format('/events/%s/value required is required: this meter '
                          'counts the values that differ', a.nth)
              from asked a
             where a.aggregate = 'unique'
               and a.value is null
            union all
            select a.nth,
                   format('/events/%s/value refused must be left out: this '
                          'meter counts no values', a.nth)
              from asked a
             where a.aggregate <> 'unique'
               and a.value is not null
            union all
            select a.nth,
                   format('/events/%s/at out_of_range %s', a.nth,
                          case when a.at > now()
                               then 'is more than 5 minutes ahead'
                               when a.at < now() - interval '35 days'
                               then 'is more than 35 days ago'
                               else 'is before the organization was made' end)
              from asked a
             where not a.known
               and a.at not between (select greatest(t.created_at,
                                                     now()
                                                     - interval '35 days')
                                       from tenon.tenant t
                                      where t.tenant_id = tenant)
                                and now() + interval '5 minutes'
            union all
            select a.nth,
                   format('/events/%s/id duplicate was recorded before, and '
                          'says something else', a.nth)
              from asked a
             where a.other
            union all
            select b.nth,
                   format('/events/%s/id duplicate is the id of another one '
                          'here, which says something else', b.nth)
              from asked b
             where exists (select
                             from asked a
                            where a.id  = b.id
                              and a.nth < b.nth
                              and (a.meter, a.quantity, a.value, a.at)
                                  is distinct from
                                  (b.meter, b.quantity, b.value, b.at))) f
$$;

comment on function tenon.usage_faults(uuid, jsonb) is
    'What is wrong with what a body reports; null: nothing';


create function tenon.usage_over(
    tenant  uuid,
    events  jsonb,
    limits  jsonb,
    before  jsonb)
returns jsonb
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    one     record;
    figure  bigint;
    found   jsonb := '{}';
begin
    for one in
        select distinct a.meter collate "C" as meter, a.aggregate,
               l.period, l.hard,
               p.begins, p.ends, m.begins as month, m.ends as month_ends
          from (select a.meter, a.aggregate, coalesce(e.at, a.at, now()) as at
                  from tenon.usage_asked(events) a
                  left join tenon.usage_event e on e.tenant_id = tenant
                                               and e.id        = a.id) a
          join jsonb_to_recordset(limits)
               as l (meter text, hard bigint, period text)
            on l.meter = a.meter
         cross join tenon.usage_period(tenant, l.period, a.at) p
         cross join tenon.usage_period(tenant, 'month', a.at) m
         where l.hard is not null
         order by 1, m.begins, p.begins
    loop
        perform tenon.count_usage(tenant, one.meter, one.month,
                                  one.month_ends);
        figure := tenon.usage_figure(tenant, one.meter, one.aggregate,
                                     one.period, one.begins, one.ends);

        found := found || jsonb_build_object(
            one.meter || ' ' || extract(epoch from one.begins), figure);

        -- Who reports less than before is never told that it is too much.
        if before is not null and figure > one.hard
           and figure > coalesce((before ->> (one.meter || ' '
                                   || extract(epoch from one.begins)))::bigint,
                                 0)
        then
            return to_jsonb(format(
                'plan_limit: The plan allows %s of %s a %s, and this would '
                'be %s.', one.hard, one.meter, one.period, figure));
        end if;
    end loop;

    return found;
end
$$;

comment on function tenon.usage_over(uuid, jsonb, jsonb, jsonb) is
    'What is used of what has a hard limit, in the periods of what a body '
    'reports, whose meters it holds; or, as text, why that is too much and more '
    'than before';


create function tenon.record_usage(
    tenant     uuid,
    events     jsonb,
    plan_name  text,
    event_id   uuid,
    salt       bytea,
    most       bigint default null,
    out refused  text,
    out told     jsonb)
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    actor   uuid := nullif(current_setting('tenon.actor', true), '')::uuid;
    limits  jsonb;
    before  jsonb;
    after   jsonb;
    wanted  bigint;
    today   bigint;
    made    jsonb;
begin
    refused := tenon.usage_faults(tenant, events);

    if refused is not null then
        return;
    end if;

    select coalesce(jsonb_agg(jsonb_build_object(
                        'meter', l.name, 'soft', l.soft, 'hard', l.hard,
                        'period', coalesce(l.period, 'month'))), '[]')
      into limits
      from tenon.told_limits(
               plan_name,
               (select o.limits
                  from tenon.plan_override o
                 where o.tenant_id = tenant
                   and (o.ends_at is null or o.ends_at > now()))) l
     where plan_name is not null;

    select count(distinct a.id) into wanted
      from tenon.usage_asked(events) a
     where not exists (select
                         from tenon.usage_event e
                        where e.tenant_id = tenant
                          and e.id        = a.id);

    if wanted > 0 and most is not null then
        select count(*) into today
          from (select
                  from tenon.usage_event e
                 where e.tenant_id   = tenant
                   and e.created_at >= date_trunc('day', now(), 'UTC')
                 limit most) e;

        if today + wanted > most then
            refused := format(
                'payment_required: Without a plan that is paid for this '
                'organization may report %s events a day (of UTC), and this '
                'would be more.', most);
            return;
        end if;
    end if;

    -- All or nothing: what can't be is undone up to here.
    begin
        if wanted > 0 then
            before := tenon.usage_over(tenant, events, limits, null);
        end if;

        with put as (
            insert into tenon.usage_event
                   (tenant_id, id, meter, quantity, value, at, begins, ends,
                    soft, hard, period, created_by)
            select tenant, a.id, a.meter, a.quantity, a.value, a.at,
                   p.begins, p.ends, l.soft, l.hard, l.period, actor
              from (select distinct on (a.id) a.id, a.meter, a.quantity,
                           a.value, coalesce(a.at, now()) as at
                      from tenon.usage_asked(events) a
                     order by a.id, a.nth) a
             cross join tenon.usage_period(tenant, 'month', a.at) p
              left join jsonb_to_recordset(limits)
                   as l (meter text, soft bigint, hard bigint, period text)
                     on l.meter = a.meter
             order by a.id
                on conflict (tenant_id, id) do nothing
            returning usage_event.meter)
        select jsonb_build_object(
                   'events', coalesce(sum(m.n), 0),
                   'meters', coalesce(jsonb_object_agg(m.meter, m.n), '{}'))
          into made
          from (select p.meter, count(*) as n
                  from put p
                 group by p.meter) m;

        -- Somebody else has recorded one meanwhile: the same?
        if (made ->> 'events')::bigint <> wanted then
            refused := tenon.usage_faults(tenant, events);
        end if;

        if refused is null and wanted > 0 then
            after := tenon.usage_over(tenant, events, limits, before);

            if jsonb_typeof(after) = 'string' then
                refused := after #>> '{}';
            end if;
        end if;

        if refused is not null then
            raise exception 'refused' using errcode = 'TNU01';
        end if;
    exception
        when sqlstate 'TNU01' then
            return;
    end;

    if (made ->> 'events')::bigint > 0 then
        perform tenon.log_event(event_id, 'usage.recorded', 'tenon.usage',
                                null, null, null, null, made, salt);
    end if;

    select jsonb_agg(jsonb_build_object(
                         'id', e.id, 'meter', e.meter,
                         'quantity', e.quantity, 'value', e.value,
                         'at', to_char(e.at at time zone 'UTC',
                                       'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                         'created_at',
                         to_char(e.created_at at time zone 'UTC',
                                 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                     order by a.nth)
      into told
      from tenon.usage_asked(events) a
      join tenon.usage_event e on e.tenant_id = tenant
                              and e.id        = a.id;
end
$$;

comment on function tenon.record_usage(uuid, jsonb, text, uuid, bytea,
                                       bigint) is
    'Records what a body reports, all of it or nothing, each id once, and tells '
    'what is recorded of it; or why not. No more than about so many a day: null '
    'is any number';

grant execute
   on function tenon.usage_figure(uuid, text, text, text, timestamptz,
                                  timestamptz),
               tenon.count_usage(uuid, text, timestamptz, timestamptz, int)
   to tenon_api, tenon_worker;

grant execute
   on function tenon.usage_room(uuid, text, bigint, text, bigint),
               tenon.usage_asked(jsonb),
               tenon.usage_faults(uuid, jsonb),
               tenon.usage_over(uuid, jsonb, jsonb, jsonb),
               tenon.record_usage(uuid, jsonb, text, uuid, bytea, bigint)
   to tenon_api;

grant execute
   on function tenon.roll_up_usage(uuid, text, timestamptz)
   to tenon_worker;


-- Permissions ----------------------------------------------------------------

insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from unnest(array['tenon.usage:read', 'tenon.usage:create']) as p (name)
 cross join (values ('owner'), ('super_admin'), ('tenant_admin'),
                    ('admin')) as r (role);
