-- 0030_usage.sql: what tenants have used, by period: totals that nodes add to
-- what they have counted, each flush once.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0030_usage.sql


-- Totals ---------------------------------------------------------------------

create table tenon.usage_total (
    tenant_id  uuid        not null references tenon.tenant,
    meter      text        collate "C" not null,
    period     text        collate "C" not null,
    begins     timestamptz not null,
    ends       timestamptz not null,
    used       bigint      not null default 0,
    told       text[]      not null default '{}',

    primary key (tenant_id, meter, period, begins),

    constraint usage_total_meter_format
         check (meter ~ '^[a-z][a-z0-9_.]{0,62}$'),
    constraint usage_total_period_set
         check (period in ('minute', 'hour', 'day', 'month')),
    constraint usage_total_order check (begins < ends),
    constraint usage_total_range check (used >= 0)
)
-- Those of now are updated every second: there is room for the next version.
with (fillfactor = 50);

-- What has run out is found by these. None moves: an end never changes.
create index usage_total_short_over on tenon.usage_total (ends)
 where period in ('minute', 'hour');
create index usage_total_day_over on tenon.usage_total (ends)
 where period = 'day';

comment on table tenon.usage_total is
    'tenant: how much a tenant has used of something in a period; only '
    'tenon.add_usage() adds to it';
comment on column tenon.usage_total.told is
    'Which thresholds it has passed that were told: limit:amount:percent';


create table tenon.usage_flush (
    tenant_id  uuid        not null references tenon.tenant,
    id         uuid        not null,
    at         timestamptz not null default now(),

    primary key (tenant_id, id)
);

-- There is one each second of each node: what is purged is found by this.
create index usage_flush_at on tenon.usage_flush (at);

comment on table tenon.usage_flush is
    'tenant: which flushes were added, so that one that comes again isn''t; '
    'all are the platform''s, since each is of many tenants';


alter table tenon.usage_total enable row level security,
                              force  row level security;
alter table tenon.usage_flush enable row level security,
                              force  row level security;

create policy tenant on tenon.usage_total
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.usage_flush
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

-- Who adds does it by tenon.add_usage(): what was used isn't taken back.
grant select on tenon.usage_total to tenon_api, tenon_worker;

grant select,
      insert (tenant_id, id)
   on tenon.usage_flush
   to tenon_api;


-- A minute's say nothing that an hour's don't, and there are many. A flush that
-- wasn't heard of for so long is of a node that is gone: one that was cut off
-- for less still finds what it has sent.
create policy purge on tenon.usage_total to tenon_worker
 using (period in ('minute', 'hour') and ends < now() - interval '2 days'
        or period = 'day' and ends < now() - interval '400 days');

create policy purge on tenon.usage_flush to tenon_worker
 using (at < now() - interval '60 days');

-- Nor does it take others, in whichever tenant's context it is.
create policy purge_only on tenon.usage_total as restrictive
   for delete to tenon_worker
 using (period in ('minute', 'hour') and ends < now() - interval '2 days'
        or period = 'day' and ends < now() - interval '400 days');

create policy purge_only on tenon.usage_flush as restrictive
   for delete to tenon_worker
 using (at < now() - interval '60 days');

grant delete on tenon.usage_total to tenon_worker;

grant select (ctid, at),
      delete
   on tenon.usage_flush
   to tenon_worker;

-- What runs out at two times has two rules: an index serves each.
alter table tenon.purge_rule
 drop constraint purge_rule_pkey,
  add primary key (relation, condition);

insert into tenon.purge_rule (relation, condition)
values ('tenon.usage_total',
        $$period in ('minute', 'hour') and ends < now() - interval '2 days'$$),
       ('tenon.usage_total',
        $$period = 'day' and ends < now() - interval '400 days'$$),
       ('tenon.usage_flush',
        $$at < now() - interval '60 days'$$);

-- Of many that have run out a batch would be read from the table's beginning,
-- and the next one from there again, over all that is gone. What no index
-- serves is read so all the same, at a price that mustn't look like one worth
-- compiling for.
alter function tenon.purge(int)
  set enable_seqscan = off
  set jit = off;


create function tenon.log_usage()
returns trigger
language plpgsql
-- So whoever adds what was used logs it, and can't log what didn't happen.
security definer
set search_path = pg_catalog
as $$
declare
    passed  text;
begin
    foreach passed in array new.told loop
        continue when passed = any (old.told);

        perform tenon.log_event(
            tenon.uuid7(), 'usage.threshold_reached', 'tenon.usage', null,
            null, null, null,
            jsonb_build_object(
                'meter', new.meter,
                'limit', split_part(passed, ':', 2)::bigint,
                'kind', split_part(passed, ':', 1),
                'percent', split_part(passed, ':', 3)::int,
                'used', new.used,
                'period', new.period,
                'begins_at', new.begins,
                'ends_at', new.ends),
            uuid_send(gen_random_uuid()));
    end loop;

    return null;
end
$$;

comment on function tenon.log_usage() is
    'Trigger: logs the thresholds that a tenant''s use of something has passed';

create trigger tenon_log
    after update of told on tenon.usage_total
    for each row execute function tenon.log_usage();


create function tenon.add_usage(
    tenant  uuid,
    meter   text,
    period  text,
    begins  timestamptz,
    ends    timestamptz,
    units   bigint,
    soft    bigint default null,
    hard    bigint default null)
returns bigint
language plpgsql volatile
-- So nobody else needs the right to change a total.
security definer
set search_path = pg_catalog
as $$
declare
    total   tenon.usage_total;
    passed  text[];
begin
    -- Nodes count ahead, and give back what cost nothing.
    if units < 0 and meter not in ('api_calls', 'api_rate') then
        raise exception 'what was used of % can''t be taken back', meter;
    end if;

    if units = 0 then
        select t.* into total
          from tenon.usage_total t
         where t.tenant_id = tenant
           and t.meter     = add_usage.meter
           and t.period    = add_usage.period
           and t.begins    = add_usage.begins;

        if not found then
            return 0;
        end if;
    else
        -- What is given back is less than nothing, and comes after what was
        -- taken; only a correction by hand can have left less than that.
        insert into tenon.usage_total as t
               (tenant_id, meter, period, begins, ends, used)
        values (tenant, add_usage.meter, add_usage.period, add_usage.begins,
                add_usage.ends, greatest(units, 0))
            on conflict on constraint usage_total_pkey do update
           set used = greatest(t.used + units, 0),
               ends = greatest(t.ends, excluded.ends)
        returning * into total;
    end if;

    -- Of a minute or an hour nobody wants to hear.
    if period in ('minute', 'hour')
       or total.used < coalesce(soft, hard)::numeric * 0.8
       or coalesce(soft, hard) is null
    then
        return total.used;
    end if;

    passed := array(
        select format('%s:%s:%s', l.kind, l.amount, l.percent)
          from (values ('soft', soft, 80), ('soft', soft, 100),
                       ('hard', case when soft is null then hard end, 80),
                       ('hard', hard, 100)) l (kind, amount, percent)
         where l.amount > 0
           and total.used::numeric * 100 >= l.amount::numeric * l.percent
        except
        select unnest(total.told));

    if passed <> '{}' then
        update tenon.usage_total t
           set told = t.told || passed
         where t.tenant_id = tenant
           and t.meter     = add_usage.meter
           and t.period    = add_usage.period
           and t.begins    = add_usage.begins
           and not t.told && passed;
    end if;

    return total.used;
end
$$;

comment on function tenon.add_usage(uuid, text, text, timestamptz, timestamptz,
                                    bigint, bigint, bigint) is
    'Adds to what the current tenant has used in a period, and returns the '
    'total; less than 0 gives requests back. Where it passes 80 or 100 percent '
    'of the soft limit (else of the hard one), or reaches the hard one, the '
    'tenant is told, once for each amount. Who adds to several does so in the '
    'order of their key';


create function tenon.flush_usage(
    flush    uuid,
    tenants  uuid[],
    meters   text[],
    periods  text[],
    begins   bigint[],
    ends     bigint[],
    softs    bigint[],
    hards    bigint[],
    units    bigint[])
returns bigint[]
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    one     record;
    is_new  boolean;
    totals  bigint[] := array_fill(-1::bigint, array[cardinality(tenants)]);
begin
    perform set_config('tenon.tenant', tenon.platform()::text, true),
            set_config('tenon.actor', '', true);

    insert into tenon.usage_flush (tenant_id, id)
    values (tenon.platform(), flush)
        on conflict do nothing;

    is_new := found;

    -- In the order of the key, so that no two nodes wait for each other.
    for one in
        select u.nth, u.tenant, u.meter, u.period,
               'epoch'::timestamptz + u.begins * interval '1 microsecond'
                   as begins,
               'epoch'::timestamptz + u.ends * interval '1 microsecond'
                   as ends,
               nullif(u.soft, -1) as soft, nullif(u.hard, -1) as hard,
               u.units
          from unnest(tenants, meters, periods, begins, ends, softs, hards,
                      units)
               with ordinality u (tenant, meter, period, begins, ends, soft,
                                  hard, units, nth)
         order by u.tenant, u.meter collate "C", u.period collate "C",
                  u.begins
    loop
        perform set_config('tenon.tenant', one.tenant::text, true);

        if exists (select from tenon.tenant t where t.tenant_id = one.tenant)
        then
            totals[one.nth] := tenon.add_usage(
                one.tenant, one.meter, one.period, one.begins, one.ends,
                case when is_new then one.units else 0 end,
                one.soft, one.hard);
        end if;
    end loop;

    perform set_config('tenon.tenant', '', true);

    return totals;
end
$$;

comment on function tenon.flush_usage(uuid, uuid[], text[], text[], bigint[],
                                      bigint[], bigint[], bigint[],
                                      bigint[]) is
    'Adds what a node has counted, once for each flush, and returns the totals '
    'in the order of what was given; -1: the tenant is gone. Times are '
    'microseconds since 1970; a limit of -1 is none';


-- Periods --------------------------------------------------------------------

-- By what a tenant's months go. It moves with the subscription, but only where a
-- month ends, and what was stays: else whoever subscribes anew would have a
-- quota anew, and what comes late would be counted in months that never were.
create table tenon.usage_anchor (
    tenant_id  uuid         not null references tenon.tenant,
    begins_at  timestamptz  not null,
    anchor     timestamptz  not null,

    primary key (tenant_id, begins_at)
);

comment on table tenon.usage_anchor is
    'tenant: from when on its months go by which time; before the first one, by '
    'when the tenant was made. What has begun never changes';

alter table tenon.usage_anchor enable row level security,
                               force  row level security;

create policy tenant on tenon.usage_anchor
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy lookup on tenon.usage_anchor
   for select to tenon_lookup using (true);

grant select on tenon.usage_anchor to tenon_api, tenon_worker, tenon_lookup;


create function tenon.month_by(
    anchor      timestamptz,
    at          timestamptz,
    out begins  timestamptz,
    out ends    timestamptz)
language plpgsql immutable
set search_path = pg_catalog
as $$
declare
    -- All of it in UTC, where a day has 24 hours.
    mark    timestamp := anchor at time zone 'UTC';
    moment  timestamp := at at time zone 'UTC';
    n       int := (extract(year from moment) - extract(year from mark)) * 12
                   + extract(month from moment) - extract(month from mark);
begin
    if mark + n * interval '1 month' > moment then
        n := n - 1;
    end if;

    begins := (mark + n * interval '1 month') at time zone 'UTC';
    ends   := (mark + (n + 1) * interval '1 month') at time zone 'UTC';
end
$$;

comment on function tenon.month_by(timestamptz, timestamptz) is
    'The month by an anchor that a time lies in: of the 31st, from the end of '
    'one month to the end of the next';


create function tenon.usage_period(
    tenant      uuid,
    period      text,
    at          timestamptz,
    out begins  timestamptz,
    out ends    timestamptz)
language plpgsql stable
set search_path = pg_catalog
as $$
declare
    since    timestamptz; -- from when on it goes by the anchor
    anchor   timestamptz;
    soonest  timestamptz; -- before which its first month doesn't end
    first    timestamptz;
begin
    if period in ('minute', 'hour', 'day') then
        begins := date_trunc(period, at, 'UTC');
        ends   := (begins at time zone 'UTC' + ('1 ' || period)::interval)
                  at time zone 'UTC';
        return;
    end if;

    if period is distinct from 'month' then
        raise exception 'there is no period %', coalesce(period, 'null');
    end if;

    select a.begins_at, a.anchor
      into since, anchor
      from tenon.usage_anchor a
     where a.tenant_id = tenant
       and a.begins_at <= at
     order by a.begins_at desc
     limit 1;

    if not found then
        select t.created_at
          into anchor
          from tenon.tenant t
         where t.tenant_id = tenant;
    end if;

    select m.begins, m.ends
      into begins, ends
      from tenon.month_by(anchor, at) m;

    -- From one anchor to another it is a long month, never a short one.
    soonest := since + interval '672 hours';

    select case when m.begins = soonest then m.begins else m.ends end
      into first
      from tenon.month_by(anchor, soonest) m;

    if at < first then
        begins := since;
        ends   := first;
    end if;

    -- Where another begins there is an end, whatever was made of it since.
    ends := least(ends, (select min(a.begins_at)
                           from tenon.usage_anchor a
                          where a.tenant_id = tenant
                            and a.begins_at > at));
end
$$;

comment on function tenon.usage_period(uuid, text, timestamptz) is
    'The minute, hour, day or month of a tenant that a time lies in. A month '
    'begins at the time of month at which its subscription is paid, or, '
    'without one, at which the tenant was made (tenon.usage_anchor)';


create function tenon.wanted_anchor(tenant uuid)
returns timestamptz
language sql stable
set search_path = pg_catalog
as $$
    select case
               -- It is paid for from then on.
               when s.status = 'trialing'
                   then coalesce(s.current_period_end, s.current_period_start)
               -- Of the 31st, in a month behind a shorter one.
               when s.current_period_end at time zone 'UTC'
                    - interval '1 month'
                    = s.current_period_start at time zone 'UTC'
                   then s.current_period_end
               else s.current_period_start
           end
      from tenon.subscription s
     where s.tenant_id = tenant
       and s.status not in ('incomplete', 'incomplete_expired', 'canceled')
       and s.current_period_start is not null
       -- What is paid by the week has no month.
       and (s.status = 'trialing'
            or s.current_period_end is null
            or s.current_period_end - s.current_period_start
               >= interval '672 hours')
     order by array_position('{active,trialing,past_due}'::text[], s.status),
              coalesce(s.provider_created_at, s.created_at) desc, s.id desc
     limit 1
$$;

comment on function tenon.wanted_anchor(uuid) is
    'By what a tenant''s months are to go, as its subscriptions are now; null: '
    'as they do';


create function tenon.keep_anchor()
returns trigger
language plpgsql
-- Whoever writes what a provider says sets no anchor otherwise.
security definer
set search_path = pg_catalog
as $$
declare
    kept    text := current_setting('tenon.tenant', true);
    wanted  timestamptz;
    anchor  timestamptz;
    made    timestamptz;
    until   timestamptz; -- the month that stays as it is
begin
    perform set_config('tenon.tenant', new.tenant_id::text, true);

    wanted := tenon.wanted_anchor(new.tenant_id);

    if wanted is not null then
        select t.created_at
          into made
          from tenon.tenant t
         where t.tenant_id = new.tenant_id;

        anchor := coalesce((select a.anchor
                              from tenon.usage_anchor a
                             where a.tenant_id = new.tenant_id
                               and a.begins_at <= now()
                             order by a.begins_at desc
                             limit 1), made);

        select m.ends
          into until
          from tenon.usage_period(new.tenant_id, 'month', now()) m;

        -- Who was subscribed before the tenant was made has had no other.
        if new.current_period_start <= made
           and not exists (select
                             from tenon.usage_anchor a
                            where a.tenant_id = new.tenant_id)
        then
            until := new.current_period_start;
        end if;

        if (select m.begins from tenon.month_by(anchor, wanted) m) = wanted
        then
            delete from tenon.usage_anchor a
             where a.tenant_id = new.tenant_id
               and a.begins_at > now();
        else
            insert into tenon.usage_anchor (tenant_id, begins_at, anchor)
            values (new.tenant_id, until, wanted)
                on conflict on constraint usage_anchor_pkey do update
               set anchor = excluded.anchor;
        end if;
    end if;

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.keep_anchor() is
    'Trigger: behind the month under way a tenant''s months go by its '
    'subscription';

create trigger tenon_anchor
    after insert or update of status, current_period_start, current_period_end
    on tenon.subscription
    for each row execute function tenon.keep_anchor();


-- Nothing was counted before: who has subscribed goes by that from the first.
do $$
declare
    t  uuid;
begin
    for t in select tenon.every_tenant() loop
        perform set_config('tenon.tenant', t::text, true);

        insert into tenon.usage_anchor (tenant_id, begins_at, anchor)
        select n.tenant_id, least(n.created_at, tenon.wanted_anchor(t)),
               tenon.wanted_anchor(t)
          from tenon.tenant n
         where n.tenant_id = t
           and tenon.wanted_anchor(t) is not null;
    end loop;

    perform set_config('tenon.tenant', '', true);
end
$$;


grant execute
   on function tenon.add_usage(uuid, text, text, timestamptz, timestamptz,
                               bigint, bigint, bigint),
               tenon.usage_period(uuid, text, timestamptz),
               tenon.month_by(timestamptz, timestamptz)
   to tenon_api, tenon_worker;

grant execute
   on function tenon.flush_usage(uuid, uuid[], text[], text[], bigint[],
                                 bigint[], bigint[], bigint[], bigint[])
   to tenon_api;

grant execute
   on function tenon.usage_period(uuid, text, timestamptz),
               tenon.month_by(timestamptz, timestamptz)
   to tenon_lookup;


-- Limits ---------------------------------------------------------------------

alter table tenon.plan_limit
 drop constraint plan_limit_period_set,
  add constraint plan_limit_period_set
         check (period in ('minute', 'hour', 'day', 'month'));
