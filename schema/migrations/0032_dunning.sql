-- 0032_dunning.sql: what a tenant was last told that its plan entitles it to,
-- and when that is to be looked at again.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0032_dunning.sql


-- What was told --------------------------------------------------------------

create table tenon.entitlement (
    tenant_id     uuid        primary key,
    plan          text        collate "C",
    entitlement   text        collate "C",
    changes_at    timestamptz,
    trial_told    timestamptz,
    asked_at      timestamptz,
    due_at        timestamptz not null default now(),
    version       bigint      not null default 1,

    constraint entitlement_set
         check (entitlement in ('none', 'trial', 'full', 'grace', 'read_only',
                                'suspended'))
)
with (fillfactor = 70);

create index entitlement_due on tenon.entitlement (due_at);

comment on table tenon.entitlement is
    'tenant: what a tenant was last told of its plan; what a request is '
    'served by is worked out anew (libcore/billing)';
comment on column tenon.entitlement.plan is
    'Null: nothing is billed, or it wasn''t looked at yet';
comment on column tenon.entitlement.entitlement is
    'Null: it wasn''t looked at yet, and the first look is told to nobody';
comment on column tenon.entitlement.changes_at is
    'When it is something else, if nothing happens until then';
comment on column tenon.entitlement.trial_told is
    'The end of a trial that was told of before it came';
comment on column tenon.entitlement.asked_at is
    'When the provider was last asked of what it should have told';
comment on column tenon.entitlement.due_at is
    'When it is to be looked at; once a day in any case';
comment on column tenon.entitlement.version is
    'Changes whenever that does: what was worked out of an older one isn''t '
    'told';

alter table tenon.entitlement enable row level security,
                              force  row level security;

create policy tenant on tenon.entitlement
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy lookup on tenon.entitlement
   for select to tenon_lookup using (true);

grant select (tenant_id, version, due_at)
   on tenon.entitlement
   to tenon_lookup;

grant select,
      update (plan, entitlement, changes_at, trial_told, asked_at, due_at,
              version)
   on tenon.entitlement
   to tenon_worker;


-- Each tenant has one --------------------------------------------------------

-- All at once, and before anything is locked: that is why the key to tenant is
-- added at the end. What is left for then is few. The lookup's role sees all.
create policy fill on tenon.entitlement
    to tenon_lookup
 using (true)
with check (true);

grant insert (tenant_id, due_at),
      update (due_at)
   on tenon.entitlement
   to tenon_lookup;

set local role tenon_lookup;

insert into tenon.entitlement (tenant_id, due_at)
select t.tenant_id,
       case when t.deleted_at is null then now() else 'infinity' end
  from tenon.tenant t
 where t.tenant_id <> tenon.platform();

set local role tenon_owner;


-- When it is to be looked at -------------------------------------------------

create function tenon.mark_entitlement()
returns trigger
language plpgsql
-- Whoever changes what decides it needs no right to have jobs done.
security definer
set search_path = pg_catalog
as $$
declare
    kept   text := current_setting('tenon.tenant', true);
    whose  uuid := case when tg_op = 'DELETE' then old.tenant_id
                        else new.tenant_id end;
    look   timestamptz := now();
begin
    if whose = tenon.platform() then
        return null;
    end if;

    if tg_table_name = 'tenant' then
        look := case when new.deleted_at is null then now()
                     else 'infinity' end;
    end if;

    perform set_config('tenon.tenant', whose::text, true);

    insert into tenon.entitlement as e (tenant_id, due_at)
    values (whose, look)
        on conflict (tenant_id) do update
       set due_at = look, version = e.version + 1;

    -- A new tenant hasn't been told anything that could change.
    if tg_table_name <> 'tenant' then
        perform set_config('tenon.tenant', tenon.platform()::text, true);

        insert into tenon.job (tenant_id, kind)
        select tenon.platform(), 'billing.entitlements'
         where not exists (select
                             from tenon.job j
                            where j.tenant_id = tenon.platform()
                              and j.kind      = 'billing.entitlements'
                              and j.status    = 'queued'
                              and j.run_at   <= now());
    end if;

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.mark_entitlement() is
    'Trigger: what a tenant''s plan entitles it to is to be looked at, at once '
    'where that may have changed';

revoke execute on function tenon.mark_entitlement() from public;


-- Who is gone is charged no more ---------------------------------------------

create function tenon.cancel_subscriptions()
returns trigger
language plpgsql
-- Whoever deletes a tenant needs no right to have jobs done.
security definer
set search_path = pg_catalog
as $$
declare
    kept  text := current_setting('tenon.tenant', true);
begin
    perform set_config('tenon.tenant', new.tenant_id::text, true);

    insert into tenon.job (tenant_id, kind)
    select t.tenant_id, 'stripe.cancel'
      from tenon.tenant t
     where t.tenant_id = new.tenant_id
       and t.deleted_at is not null
       and (exists (select
                      from tenon.subscription s
                     where s.tenant_id = t.tenant_id
                       and s.provider  = 'stripe'
                       and s.external_id is not null
                       and not s.cancel_at_period_end
                       and s.status not in ('incomplete',
                                            'incomplete_expired',
                                            'canceled'))
            or exists (select
                         from tenon.billing_session p
                        where p.tenant_id = t.tenant_id
                          and p.kind = 'checkout'
                          and p.expires_at > now()));

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.cancel_subscriptions() is
    'Trigger: what a tenant that is deleted subscribes to at Stripe is '
    'canceled, by a job, to the end of what is paid for';

revoke execute on function tenon.cancel_subscriptions() from public;


-- A period that is over, and nobody tells of the next ------------------------

create function tenon.period_over(ends timestamptz)
returns timestamptz
language sql stable
as $$
    select ends + interval '72 hours'
$$;

comment on function tenon.period_over(timestamptz) is
    'When a provider should have told long since how it goes on behind a '
    'period''s end: from then on it is asked, and what it said last no longer '
    'counts as paid';

-- A limit for each that is paid for -------------------------------------------

alter table tenon.plan_limit
  add per_quantity boolean not null default false,
  add constraint plan_limit_per_quantity
         check (not per_quantity or name = 'seats');

comment on column tenon.plan_limit.per_quantity is
    'Whether there is so much of it for each that the subscription has of its '
    'price (tenon.subscription.quantity)';

create or replace view tenon.plan_view
with (security_invoker = true) as
select md5('tenon.plan.' || p.name)::uuid as id,
       p.name,
       p.position,
       p.title,
       p.amount,
       p.currency,
       p.period,
       p.trial_days,
       to_json(p.features) as features,
       coalesce((select json_agg(json_build_object(
                                     'name', l.name, 'soft', l.soft,
                                     'hard', l.hard, 'period', l.period,
                                     'per_quantity', l.per_quantity,
                                     'overage_amount', l.overage_amount,
                                     'overage_units', l.overage_units)
                                 order by l.name)
                   from tenon.plan_limit l
                  where l.plan = p.name), '[]') as limits,
       p.version,
       p.trial_at_signup,
       exists (select
                 from tenon.plan_price c
                where c.plan = p.name
                  and c.provider = 'stripe'
                  and not c.retired) as purchasable
  from tenon.plan p
 where not p.retired;

drop function tenon.plan_limit(text, text, bigint, bigint, text, bigint,
                               bigint);

create function tenon.plan_limit(
    plan            text,
    name            text,
    hard            bigint  default null,
    soft            bigint  default null,
    period          text    default null,
    overage_amount  bigint  default null,
    overage_units   bigint  default null,
    per_quantity    boolean default false)
returns void
language plpgsql
set search_path = pg_catalog
as $$
begin
    perform tenon.declared_plan(plan);

    if name !~ '^[a-z][a-z0-9_.]{0,62}$' then
        perform tenon.refuse(
            format('plan %s: %L can''t be the name of a limit', plan, name),
            'Use lower-case letters, digits, _ and dots, starting with a '
            'letter, 63 at most.');
    end if;

    if (hard is null and soft is null) or hard < 0 or soft < 0
       or soft > hard
    then
        perform tenon.refuse(
            format('plan %s: limit %s can''t be hard %s, soft %s', plan, name,
                   coalesce(hard::text, 'null'), coalesce(soft::text, 'null')),
            'Give hard, soft or both, from 0 on; soft is at most hard.');
    end if;

    if period not in ('minute', 'hour', 'day', 'month') then
        perform tenon.refuse(
            format('plan %s: limit %s can''t be of a %s', plan, name, period),
            'Use minute, hour, day or month; leave it out for a limit on how '
            'many there are.');
    end if;

    if (name = 'seats') <> (period is null)
       and name in ('seats', 'api_calls', 'api_rate')
    then
        perform tenon.refuse(
            format('plan %s: limit %s can''t be of period %s', plan, name,
                   coalesce(period, 'null')),
            'Seats are how many there are, and have none; calls are counted '
            'in one.');
    end if;

    if per_quantity is null or (per_quantity and name <> 'seats') then
        perform tenon.refuse(
            format('plan %s: limit %s can''t be per_quantity %s', plan, name,
                   coalesce(per_quantity::text, 'null')),
            'Seats alone can be by what is paid for: per_quantity => true; '
            'else leave it out.');
    end if;

    if exists (select
                 from tenon.plan_limit l
                where l.plan = plan_limit.plan
                  and l.name = plan_limit.name)
    then
        perform tenon.refuse(
            format('plan %s: limit %s is declared twice', plan, name),
            'Take one of them away.');
    end if;

    insert into tenon.plan_limit (plan, name, soft, hard, period,
                                  overage_amount, overage_units, per_quantity)
    values (plan_limit.plan, plan_limit.name, plan_limit.soft,
            plan_limit.hard, plan_limit.period, plan_limit.overage_amount,
            plan_limit.overage_units, plan_limit.per_quantity);
end
$$;

comment on function tenon.plan_limit(text, text, bigint, bigint, text, bigint,
                                     bigint, boolean) is
    'Declares how much of something a plan allows: seats (of them so many for '
    'each that is paid for, if per_quantity), api_calls, api_rate, or a unit';

drop function tenon.told_limits(text, jsonb);

-- Without a search_path of its own it is planned with whoever asks it.
create function tenon.told_limits(of_plan text, overrides jsonb,
                                  quantity bigint default 1)
returns table (name text, soft bigint, hard bigint, period text,
               overage_amount bigint, overage_units bigint)
language sql stable
as $$
    select coalesce(l.name, o.one ->> 'name'),
           case when o.one is not null then (o.one ->> 'soft')::bigint
                when l.per_quantity
                then least(l.soft::numeric * coalesce(quantity, 1),
                           9223372036854775807)::bigint
                else l.soft end,
           case when o.one is not null then (o.one ->> 'hard')::bigint
                when l.per_quantity
                then least(l.hard::numeric * coalesce(quantity, 1),
                           9223372036854775807)::bigint
                else l.hard end,
           case when l.name is not null then l.period
                when o.one ->> 'name' = 'api_rate' then 'minute'
                when o.one ->> 'name' <> 'seats' then 'month' end,
           l.overage_amount,
           l.overage_units
      from (select l.*
              from tenon.plan_limit l
             where l.plan = of_plan) l
      full join (select one
                   from jsonb_array_elements(overrides) one) o
        on o.one ->> 'name' = l.name
     order by 1
$$;

comment on function tenon.told_limits(text, jsonb, bigint) is
    'A plan''s limits, by how many of it are paid for; those of an override in '
    'their place. One that the plan doesn''t have is of a month, but for '
    'seats, and for api_rate, which is of a minute';

revoke execute on function tenon.told_limits(text, jsonb, bigint)
  from public;
grant execute on function tenon.told_limits(text, jsonb, bigint)
   to tenon_api, tenon_lookup;


grant execute on function tenon.period_over(timestamptz)
   to tenon_lookup, tenon_worker;

grant select (current_period_end, quantity)
   on tenon.subscription
   to tenon_lookup;

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

drop function tenon.find_plan(uuid);

create function tenon.find_plan(tenant uuid)
returns table (plan text, status text, owing_since bigint,
               trial_ends_at bigint, grace bigint, read_only bigint,
               ends_at bigint, features text, limits text,
               subscription uuid, month_begins bigint, month_ends bigint)
language plpgsql stable security definer
set search_path = pg_catalog
as $$
#variable_conflict use_column
begin
    -- Not `language sql`: that is planned anew at each call.
    return query
    with mine as (
        select t.tenant_id, t.created_at
          from tenon.tenant t
         where t.tenant_id = $1
           and t.tenant_id <> tenon.platform()
           and t.deleted_at is null
           and exists (select from tenon.plan p where not p.retired)),
    override as (
        select o.plan, o.features_added, o.features_removed, o.limits,
               o.ends_at
          from tenon.plan_override o
         where o.tenant_id = $1
           and (o.ends_at is null or o.ends_at > now())),
    -- Those that go on; who has a great many of them loses none that is paid.
    subscribed as (
        select s.id, s.plan, s.status, s.owing_since, s.trial_ends_at,
               s.quantity,
               row_number() over (order by s.began desc, s.id desc) as nth
          from (select s.id, s.plan, s.status, s.quantity,
                       case when s.status = 'active'
                            then tenon.period_over(s.current_period_end)
                            else s.owing_since end as owing_since,
                       s.trial_ends_at,
                       coalesce(s.provider_created_at, s.created_at) as began
                  from tenon.subscription s
                 where s.tenant_id = $1
                   and s.status not in ('incomplete', 'incomplete_expired',
                                        'canceled')
                 order by array_position('{active,trialing,past_due}'::text[],
                                         s.status), 7 desc, s.id desc
                 limit 16) s),
    -- The first that entitles to anything counts, and of subscriptions the
    -- best (libcore/billing/plan.c).
    candidate (place, nth, plan, status, owing_since, trial_ends_at,
               subscription, quantity) as (
        select 1, 1, o.plan, 'active', null::timestamptz, null::timestamptz,
               null::uuid, (select max(s.quantity)
                              from subscribed s
                             where s.plan = o.plan)
          from override o
         where o.plan is not null
        union all
        select 2, s.nth, s.plan, s.status, s.owing_since, s.trial_ends_at,
               s.id, s.quantity
          from subscribed s
        union all
        select 3, 1, p.name, 'trialing', null,
               mine.created_at + make_interval(days => p.trial_days), null,
               null
          from tenon.plan p
         cross join mine
         where p.trial_at_signup
           and not p.retired
           and mine.created_at + make_interval(days => p.trial_days) > now()
           and not exists (select
                             from tenon.subscription s
                            where s.tenant_id = $1
                              and s.ran)
        union all
        select 4, 1, p.name, 'active', null, null, null, null
          from tenon.plan p
         where p.by_default
           and not p.retired
        union all
        select 5, 1, 'none', '', null, null, null, null)
    select c.plan,
           c.status,
           case when isfinite(c.owing_since)
                then (extract(epoch from c.owing_since) * 1000000)::bigint end,
           (extract(epoch from least(c.trial_ends_at,
                                     '9999-12-31 00:00:00+00'))
            * 1000000)::bigint,
           p.grace_days * 86400000000,
           p.read_only_days * 86400000000,
           (extract(epoch from least(case when isfinite(o.ends_at)
                                          then o.ends_at end,
                                     case when c.place = 3
                                          then c.trial_ends_at end))
            * 1000000)::bigint,
           (select string_agg(f.name, ',' order by f.name)
              from (select unnest(p.features)
                     union
                    select unnest(o.features_added)
                    except
                    select unnest(o.features_removed)) f (name)),
           (select string_agg(concat_ws(':', l.name, coalesce(l.soft::text, ''),
                                        coalesce(l.hard::text, ''),
                                        coalesce(l.period, '')), ';')
              from tenon.told_limits(c.plan, o.limits, c.quantity) l),
           c.subscription,
           (extract(epoch from month.begins) * 1000000)::bigint,
           (extract(epoch from month.ends) * 1000000)::bigint
      from mine
     cross join candidate c
     cross join tenon.usage_period($1, 'month', now()) month
      left join tenon.plan p on p.name = c.plan
      left join override o on true
     order by c.place, c.nth;
end
$$;

comment on function tenon.find_plan(uuid) is
    'What a tenant''s plan may be, the first that entitles to anything being '
    'it: as the platform grants it, as subscribed (of several the one that '
    'entitles to most), as begun with, and by default; and its month, in which '
    'use is counted. Times and spans are microseconds; no row: nothing is '
    'billed';

revoke execute on function tenon.find_plan(uuid) from public;
grant execute on function tenon.find_plan(uuid) to tenon_api;


create function tenon.due_entitlements(most int)
returns table (tenant_id uuid, version bigint, plan text, status text,
               owing_since bigint, trial_ends_at bigint, grace bigint,
               read_only bigint, ends_at bigint, subscription uuid)
language sql stable security definer
set search_path = pg_catalog
as $$
    select e.tenant_id, e.version, p.plan, p.status, p.owing_since,
           p.trial_ends_at, p.grace, p.read_only, p.ends_at, p.subscription
      from (select e.tenant_id, e.version, e.due_at
              from tenon.entitlement e
             where e.due_at <= now()
             order by e.due_at
             limit most) e
      left join lateral tenon.find_plan(e.tenant_id)
           with ordinality p (plan, status, owing_since, trial_ends_at, grace,
                              read_only, ends_at, features, limits,
                              subscription, month_begins, month_ends, nth)
             on true
     order by e.due_at, e.tenant_id, p.nth
$$;

comment on function tenon.due_entitlements(int) is
    'Tenants whose plan is to be looked at, so many at most, with what '
    'tenon.find_plan() says of each; one whom nobody bills has one row of '
    'nulls';

revoke execute on function tenon.due_entitlements(int) from public;
grant execute on function tenon.due_entitlements(int) to tenon_worker;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;


create function tenon.refetch_subscriptions(tenant uuid)
returns bigint
language plpgsql volatile
-- Jobs are made here of nothing but what is known to be overdue.
security definer
set search_path = pg_catalog
as $$
declare
    kept     text := current_setting('tenon.tenant', true);
    overdue  text[];
begin
    perform set_config('tenon.tenant', tenant::text, true);

    overdue := array(
        select s.external_id
          from tenon.subscription s
         where s.tenant_id = tenant
           and s.provider  = 'stripe'
           and s.external_id is not null
           and s.status not in ('incomplete', 'incomplete_expired',
                                'canceled')
           and tenon.period_over(s.current_period_end) <= now());

    perform set_config('tenon.tenant', tenon.platform()::text, true);

    insert into tenon.job (tenant_id, kind, input)
    select tenon.platform(), 'stripe.subscription',
           jsonb_build_object('subscription', o.external_id)
      from unnest(overdue) o (external_id);

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return cardinality(overdue);
end
$$;

comment on function tenon.refetch_subscriptions(uuid) is
    'Has those of a tenant''s subscriptions asked for whose period is long '
    'over; returns how many';

revoke execute on function tenon.refetch_subscriptions(uuid) from public;
grant execute on function tenon.refetch_subscriptions(uuid) to tenon_worker;


-- It is told -----------------------------------------------------------------

create function tenon.tell_entitlement(
    tenant         uuid,
    seen           bigint,
    plan           text,
    entitlement    text,
    subscription   uuid,
    changes_at     timestamptz,
    trial_ends_at  timestamptz,
    event_id       uuid,
    salt           bytea)
returns boolean
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    was     tenon.entitlement;
    remind  timestamptz := trial_ends_at - interval '3 days';
    lapses  timestamptz;
    asks    boolean;
begin
    select e.* into was
      from tenon.entitlement e
     where e.tenant_id = tenant
       and e.version   = seen
       for no key update;

    -- Somebody was faster, or it is another since it was looked at.
    if not found then
        return false;
    end if;

    select min(tenon.period_over(s.current_period_end)) into lapses
      from tenon.subscription s
     where s.tenant_id = tenant
       and s.status not in ('incomplete', 'incomplete_expired', 'canceled');

    asks := lapses <= now()
            and coalesce(was.asked_at, '-infinity')
                < now() - interval '11 hours'
            and tenon.refetch_subscriptions(tenant) > 0;

    -- A day and no more, any moment of its second half: who is looked at for
    -- the first time together isn't for ever.
    update tenon.entitlement e
       set plan        = tell_entitlement.plan,
           entitlement = tell_entitlement.entitlement,
           changes_at  = tell_entitlement.changes_at,
           trial_told  = case when remind <= now() then trial_ends_at
                              else was.trial_told end,
           asked_at    = case when asks then now() else was.asked_at end,
           due_at      = least(tell_entitlement.changes_at,
                               case when remind > now() then remind end,
                               case when lapses > now() then lapses end,
                               now() + interval '1 day'
                                       * (1 + random()) / 2),
           version     = was.version + 1
     where e.tenant_id = tenant;

    if was.entitlement is not null
       and (was.plan, was.entitlement)
           is distinct from (plan, entitlement)
    then
        perform tenon.log_event(
            event_id, 'subscription.entitlement_changed', 'tenon.subscription',
            subscription, null, null, null,
            jsonb_build_object('from', was.entitlement,
                               'to', entitlement,
                               'from_plan', was.plan,
                               'to_plan', plan,
                               'changes_at', changes_at),
            salt);
    end if;

    if remind <= now() and was.trial_told is distinct from trial_ends_at then
        perform tenon.log_event(
            tenon.uuid7(), 'subscription.trial_will_end', 'tenon.subscription',
            subscription, null, null, null,
            jsonb_build_object('plan', plan, 'trial_ends_at', trial_ends_at),
            uuid_send(gen_random_uuid()));
    end if;

    return true;
end
$$;

comment on function tenon.tell_entitlement(uuid, bigint, text, text, uuid,
                                           timestamptz, timestamptz, uuid,
                                           bytea) is
    'Writes down what the current tenant''s plan entitles it to, and tells the '
    'tenant where that has changed, and of a trial that is about to end; false '
    'where that was worked out of what no longer is so';

revoke execute
    on function tenon.tell_entitlement(uuid, bigint, text, text, uuid,
                                       timestamptz, timestamptz, uuid, bytea)
  from public;
grant execute
   on function tenon.tell_entitlement(uuid, bigint, text, text, uuid,
                                      timestamptz, timestamptz, uuid, bytea)
   to tenon_worker;


-- A plan's version moves with all that it has --------------------------------

alter table tenon.plan add contents text collate "C";

comment on column tenon.plan.contents is
    'What its limits and prices come to: its version moves when they do';

create function tenon.plan_contents(plan text)
returns text
language sql stable
set search_path = pg_catalog
as $$
    select md5(concat_ws(
               ' ',
               (select jsonb_agg(to_jsonb(l) order by l.name)
                  from tenon.plan_limit l
                 where l.plan = plan_contents.plan),
               (select jsonb_agg(to_jsonb(c)
                                 order by c.provider, c.external_id)
                  from tenon.plan_price c
                 where c.plan = plan_contents.plan)))
$$;

comment on function tenon.plan_contents(text) is
    'What a plan''s limits and prices come to, in short';

update tenon.plan p set contents = tenon.plan_contents(p.name);

create function tenon.move_plan()
returns trigger
language plpgsql
set search_path = pg_catalog
as $$
begin
    -- At the end of a load, when it has all of them again.
    update tenon.plan p
       set contents = c.contents,
           version  = p.version + (p.contents is not null)::int
      from (select tenon.plan_contents(new.name) as contents) c
     where p.name = new.name
       and p.contents is distinct from c.contents;

    return null;
end
$$;

comment on function tenon.move_plan() is
    'Trigger: a plan whose limits or prices are others has another version';

create constraint trigger tenon_move
    after insert or update on tenon.plan
    deferrable initially deferred
    for each row execute function tenon.move_plan();


-- A claim goes by kind -------------------------------------------------------

-- From here on tables are locked that requests use. What is large is built
-- beforehand, while they go on (docs/operations.md), and found here.

create index if not exists job_claim on tenon.job (kind, run_at)
 where status = 'queued';

-- So that one job at a time waits for what has just changed, and is found.
create index if not exists job_entitlements on tenon.job (tenant_id, run_at)
 where kind = 'billing.entitlements' and status = 'queued';

-- Jobs of a schedule that went well: they are purged sooner than others.
create index if not exists job_planned_over on tenon.job (finished_at)
 where status = 'done' and input = '{}'
   and tenant_id = '00000000-0000-7000-8000-000000000002';

drop index tenon.job_due;


-- Jobs of a schedule ---------------------------------------------------------

-- Who was made by a schedule, and went well, says nothing after a day: some are
-- made each minute.
drop policy purge on tenon.job;

create policy purge on tenon.job as restrictive for delete to tenon_worker
 using (finished_at < now() - interval '30 days'
        or finished_at < now() - interval '1 day' and status = 'done'
           and tenant_id = '00000000-0000-7000-8000-000000000002'::uuid
           and input = '{}');

insert into tenon.purge_rule (relation, condition)
values ('tenon.job',
        $$finished_at < now() - interval '1 day' and status = 'done'
          and tenant_id = '00000000-0000-7000-8000-000000000002'
          and input = '{}'$$);


-- Triggers -------------------------------------------------------------------

-- What a trigger plans is no news.
drop trigger tenon_log on tenon.job;

create trigger tenon_log
    after insert or update or delete on tenon.job
    for each row when (current_user not in ('tenon_api', 'tenon_worker')
                       and pg_trigger_depth() = 0)
    execute function tenon.log_change('tenon.job');

create trigger tenon_mark
    after insert or delete on tenon.subscription
    for each row execute function tenon.mark_entitlement();

create trigger tenon_mark_changed
    after update on tenon.subscription
    for each row
    when ((old.plan, old.status, old.owing_since, old.trial_ends_at,
           old.current_period_end, old.provider_created_at, old.ran)
          is distinct from
          (new.plan, new.status, new.owing_since, new.trial_ends_at,
           new.current_period_end, new.provider_created_at, new.ran))
    execute function tenon.mark_entitlement();

create trigger tenon_mark
    after insert or delete on tenon.plan_override
    for each row execute function tenon.mark_entitlement();

create trigger tenon_mark_changed
    after update on tenon.plan_override
    for each row
    when ((old.plan, old.ends_at) is distinct from (new.plan, new.ends_at))
    execute function tenon.mark_entitlement();

create trigger tenon_mark
    after insert or update of deleted_at on tenon.tenant
    for each row execute function tenon.mark_entitlement();

create trigger tenon_cancel
    after update of deleted_at on tenon.tenant
    for each row when (old.deleted_at is null and new.deleted_at is not null)
    execute function tenon.cancel_subscriptions();

-- Also what was paid in its last moment.
create trigger tenon_cancel
    after insert or update of status on tenon.subscription
    for each row execute function tenon.cancel_subscriptions();

alter table tenon.entitlement
  add constraint entitlement_tenant_id_fkey
      foreign key (tenant_id) references tenon.tenant on delete cascade;

-- Who came, or went, since all were looked at above, has no row, or another.
set local role tenon_lookup;

insert into tenon.entitlement as e (tenant_id, due_at)
select t.tenant_id,
       case when t.deleted_at is null then now() else 'infinity' end
  from tenon.tenant t
  left join tenon.entitlement k on k.tenant_id = t.tenant_id
 where t.tenant_id <> tenon.platform()
   and (k.tenant_id is null
        or isfinite(k.due_at) <> (t.deleted_at is null))
    on conflict (tenant_id) do update
   set due_at = excluded.due_at;

set local role tenon_owner;

drop policy fill on tenon.entitlement;

revoke insert (tenant_id, due_at),
       update (due_at)
    on tenon.entitlement
  from tenon_lookup;
