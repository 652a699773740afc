-- 0025_billing.sql: plans as data, what tenants subscribe to, and what the
-- platform grants one of them besides.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0025_billing.sql


-- Plans ----------------------------------------------------------------------

create table tenon.plan (
    name             text    collate "C" primary key,
    app              text    collate "C" not null,
    position         int     not null,
    title            text    not null,
    amount           bigint,
    currency         text    collate "C",
    period           text    collate "C" not null,
    features         text[]  not null,
    by_default       boolean not null,
    trial_days       int,
    trial_at_signup  boolean not null,
    grace_days       int,
    read_only_days   int,
    retired          boolean not null default false,
    version          bigint  not null default 1,

    constraint plan_name_format check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint plan_period_set  check (period in ('month', 'year')),
    constraint plan_currency_format check (currency ~ '^[A-Z]{3}$'),
    constraint plan_amount_range check (amount >= 0),
    constraint plan_price_whole
         check ((amount is null) = (currency is null)),
    constraint plan_days_range
         check (trial_days between 1 and 3650
                and grace_days between 0 and 3650
                and read_only_days between 0 and 3650),
    constraint plan_trial_days check (not trial_at_signup
                                      or trial_days is not null)
);

-- Where a tenant is that has subscribed to nothing; and where it begins.
create unique index plan_default on tenon.plan (by_default)
 where by_default and not retired;
create unique index plan_trial on tenon.plan (trial_at_signup)
 where trial_at_signup and not retired;

comment on table tenon.plan is
    'global: what a tenant can subscribe to; one that is no longer declared is '
    'retired: nobody begins it, and who has it keeps it';
comment on column tenon.plan.amount is
    'In minor units of the currency, a period; null: by agreement';
comment on column tenon.plan.grace_days is
    'For how long who owes may do all; null: for ever';
comment on column tenon.plan.read_only_days is
    'And may read, behind that, before it is suspended; null: for ever';


create table tenon.plan_limit (
    plan            text   collate "C" not null references tenon.plan
                                       on delete cascade,
    name            text   collate "C" not null,
    soft            bigint,
    hard            bigint,
    period          text   collate "C",
    overage_amount  bigint,
    overage_units   bigint,

    primary key (plan, name),

    constraint plan_limit_name_format
         check (name ~ '^[a-z][a-z0-9_.]{0,62}$'),
    constraint plan_limit_range check (soft >= 0 and hard >= 0),
    constraint plan_limit_order check (soft <= hard),
    constraint plan_limit_period_set
         check (period in ('hour', 'day', 'month')),
    constraint plan_limit_overage
         check ((overage_amount is null) = (overage_units is null)
                and overage_amount >= 0 and overage_units >= 1)
);

comment on table tenon.plan_limit is
    'global: how much a plan allows; of what it doesn''t name, any amount';
comment on column tenon.plan_limit.soft is
    'What is beyond it is told of';
comment on column tenon.plan_limit.hard is
    'What is beyond it is refused';
comment on column tenon.plan_limit.period is
    'In which it is counted; null: it is on how many there are';
comment on column tenon.plan_limit.overage_amount is
    'What so many units (overage_units) beyond the soft limit cost, in minor '
    'units of the plan''s currency';


create table tenon.plan_price (
    provider     text collate "C" not null,
    external_id  text collate "C" not null,
    plan         text collate "C" not null references tenon.plan
                                  on delete cascade,
    retired      boolean not null default false,

    primary key (provider, external_id)
);

comment on table tenon.plan_price is
    'global: by which plan a provider''s price goes; one that is no longer '
    'declared is retired, and still tells the plan of who pays it';
comment on column tenon.plan_price.external_id is
    'Stripe''s price id, or its lookup_key, which is the same in test and live';

create view tenon.plan_view
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
                                     'overage_amount', l.overage_amount,
                                     'overage_units', l.overage_units)
                                 order by l.name)
                   from tenon.plan_limit l
                  where l.plan = p.name), '[]') as limits,
       p.version
  from tenon.plan p
 where not p.retired;

comment on view tenon.plan_view is
    'The plans that can be had, as the API shows them';

grant select on tenon.plan_view to tenon_api;

grant select
   on tenon.plan, tenon.plan_limit, tenon.plan_price
   to tenon_api, tenon_worker;

grant select
   on tenon.plan, tenon.plan_limit
   to tenon_lookup;


-- Subscriptions --------------------------------------------------------------

create table tenon.subscription (
    tenant_id             uuid        not null references tenon.tenant,
    id                    uuid        not null default tenon.uuid7(),
    plan                  text        collate "C" not null
                                      references tenon.plan,
    provider              text        collate "C" not null,
    customer_id           text        collate "C",
    external_id           text        collate "C",
    status                text        collate "C" not null,
    quantity              bigint      not null default 1,
    owing_since           timestamptz,
    trial_ends_at         timestamptz,
    current_period_start  timestamptz,
    current_period_end    timestamptz,
    cancel_at_period_end  boolean     not null default false,
    provider_at           timestamptz,
    provider_created_at   timestamptz,
    ran                   boolean     not null default false,
    version               bigint      not null default 1,
    created_at            timestamptz not null default now(),
    created_by            uuid,
    updated_at            timestamptz not null default now(),

    primary key (tenant_id, id),

    constraint subscription_external_key
        unique (tenant_id, provider, external_id),
    constraint subscription_status_length
         check (char_length(status) between 1 and 64),
    constraint subscription_owing
         check (status in ('incomplete', 'incomplete_expired', 'trialing',
                           'active', 'canceled')
                or owing_since is not null),
    constraint subscription_trial
         check (status <> 'trialing' or trial_ends_at is not null)
);

create index subscription_list on tenon.subscription
       (tenant_id, created_at, id);

comment on table tenon.subscription is
    'tenant: what a tenant pays for, as its provider says; what that entitles '
    'to is ours (libcore/billing)';
comment on column tenon.subscription.status is
    'The provider''s word, also one that isn''t known here';
comment on column tenon.subscription.owing_since is
    'Since when money is due without having come; null: none is';
comment on column tenon.subscription.provider_at is
    'Of when the newest is that the provider said of it';
comment on column tenon.subscription.provider_created_at is
    'When it was begun, by the provider''s clock: words of it may come in any '
    'order';
comment on column tenon.subscription.ran is
    'Whether it ever was more than begun: kept by a trigger';


create function tenon.subscription_ran()
returns trigger
language plpgsql
set search_path = pg_catalog
as $$
begin
    -- Who gives up while paying hasn't had anything. One that is first heard
    -- of as canceled ran before.
    if tg_op = 'INSERT' then
        new.ran := new.status not in ('incomplete', 'incomplete_expired');
    else
        new.ran := old.ran
                   or new.status not in ('incomplete', 'incomplete_expired',
                                         'canceled');
    end if;

    return new;
end
$$;

comment on function tenon.subscription_ran() is
    'Trigger: a subscription that ran once has run';

create trigger tenon_ran
    before insert or update on tenon.subscription
    for each row execute function tenon.subscription_ran();


create table tenon.billing_ref (
    provider     text collate "C" not null,
    kind         text collate "C" not null,
    external_id  text collate "C" not null,
    tenant_id    uuid not null,

    constraint billing_ref_pkey primary key (provider, kind, external_id),

    constraint billing_ref_kind_set check (kind in ('customer',
                                                    'subscription'))
);

comment on table tenon.billing_ref is
    'directory: a provider''s customer or subscription to its tenant, which '
    'the provider doesn''t name; kept by a trigger on tenon.subscription, read '
    'by definer functions only. What was one tenant''s is never another''s';


create table tenon.plan_override (
    tenant_id         uuid        not null references tenon.tenant,
    id                uuid        not null default tenon.uuid7(),
    plan              text        collate "C" references tenon.plan,
    features_added    text[]      not null default '{}',
    features_removed  text[]      not null default '{}',
    limits            jsonb       not null default '[]',
    ends_at           timestamptz,
    reason            text,
    version           bigint      not null default 1,
    created_at        timestamptz not null default now(),
    created_by        uuid,
    updated_at        timestamptz not null default now(),

    primary key (tenant_id, id),

    constraint plan_override_one unique (tenant_id)
);

comment on table tenon.plan_override is
    'tenant: what the platform grants a tenant besides, or instead of, its '
    'plan';
comment on column tenon.plan_override.plan is
    'Instead of what it subscribes to; null: that';
comment on column tenon.plan_override.limits is
    '[{"name", "soft", "hard"}]: instead of the plan''s of that name';
comment on column tenon.plan_override.ends_at is
    'From then on none of it holds; null: without end';


create trigger tenon_touch
    before update on tenon.subscription
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.subscription
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.subscription');

create trigger tenon_touch
    before update on tenon.plan_override
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.plan_override
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.plan_override');

alter table tenon.subscription  enable row level security,
                                force  row level security;
alter table tenon.billing_ref   enable row level security,
                                force  row level security;
alter table tenon.plan_override enable row level security,
                                force  row level security;

create policy tenant on tenon.subscription
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.plan_override
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.billing_ref for insert
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

-- Not just to look up: the trigger below is its function.
create policy lookup on tenon.billing_ref to tenon_lookup using (true);

create policy lookup on tenon.subscription
   for select to tenon_lookup using (true);

create policy lookup on tenon.plan_override
   for select to tenon_lookup using (true);

-- What the platform shows of it, as it shows tenants (0009).
create policy platform on tenon.plan_override
   for select to tenon_api
 using (nullif(current_setting('tenon.tenant', true), '')::uuid
        = '00000000-0000-7000-8000-000000000002'::uuid);

grant select on tenon.subscription to tenon_api;

grant select,
      insert (tenant_id, plan, features_added, features_removed, limits,
              ends_at, reason, created_by),
      update (plan, features_added, features_removed, limits, ends_at, reason,
              version, updated_at)
   on tenon.plan_override
   to tenon_api;

grant select (tenant_id, id, plan, status, owing_since, trial_ends_at,
              provider_created_at, ran, created_at)
   on tenon.subscription
   to tenon_lookup;

grant select (tenant_id, plan, features_added, features_removed, limits,
              ends_at)
   on tenon.plan_override
   to tenon_lookup;

grant select, insert
   on tenon.billing_ref
   to tenon_lookup;


grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.find_billing_tenant(provider text, kind text,
                                          external_id text)
returns uuid
language sql stable security definer
set search_path = pg_catalog
as $$
    select r.tenant_id
      from tenon.billing_ref r
     where r.provider    = $1
       and r.kind        = $2
       and r.external_id = $3
$$;

comment on function tenon.find_billing_tenant(text, text, text) is
    'Whose a provider''s customer or subscription is; null: nobody''s here';


create function tenon.enter_billing_ref()
returns trigger
language plpgsql security definer
set search_path = pg_catalog
as $$
declare
    wanted  record;
begin
    for wanted in
        select r.kind, r.external_id
          from (values ('customer', new.customer_id),
                       ('subscription', new.external_id))
               as r (kind, external_id)
         where r.external_id is not null
    loop
        insert into tenon.billing_ref (provider, kind, external_id, tenant_id)
        values (new.provider, wanted.kind, wanted.external_id, new.tenant_id)
            on conflict on constraint billing_ref_pkey do nothing;

        if not found
           and tenon.find_billing_tenant(new.provider, wanted.kind,
                                         wanted.external_id)
               is distinct from new.tenant_id
        then
            raise unique_violation using
                message = format('the %s %s of %s is another tenant''s',
                                 wanted.kind, wanted.external_id,
                                 new.provider),
                schema = 'tenon', table = 'billing_ref',
                constraint = 'billing_ref_pkey';
        end if;
    end loop;

    return null;
end
$$;

comment on function tenon.enter_billing_ref() is
    'Trigger: the directory holds whose a provider''s customers and '
    'subscriptions are; a second tenant''s fails on billing_ref_pkey';

revoke execute
    on function tenon.find_billing_tenant(text, text, text),
                tenon.enter_billing_ref()
  from public;

grant execute on function tenon.find_billing_tenant(text, text, text)
   to tenon_worker;
grant execute on function tenon.enter_billing_ref() to tenon_owner;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;

create trigger tenon_enter
    after insert or update of tenant_id, provider, customer_id, external_id
    on tenon.subscription
    for each row execute function tenon.enter_billing_ref();


-- Declarations ---------------------------------------------------------------

create or replace function tenon.clear_app(app text)
returns void
language sql
as $$
    -- Declarations are made anew, so what is no longer declared is gone.
    -- Permissions stay: their numbers must never mean something else. So do
    -- plans and their prices: somebody may have one.
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
$$;


create function tenon.plan(
    name             text,
    title            text    default null,
    amount           bigint  default null,
    currency         text    default null,
    period           text    default 'month',
    features         text[]  default '{}',
    by_default       boolean default false,
    trial_days       int     default null,
    trial_at_signup  boolean default false,
    grace_days       int     default 7,
    read_only_days   int     default 14)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    this_app  text := tenon.current_app();
    other     record;
    bad       text;
begin
    if name !~ '^[a-z][a-z0-9_]{0,62}$' or name = 'none' then
        perform tenon.refuse(
            format('%L can''t be the name of a plan', name),
            'Use lower-case letters, digits and _, starting with a letter, 63 '
            'at most; none is what a tenant has that has no plan.');
    end if;

    select f into bad
      from unnest(features) f
     where f is null or f !~ '^[a-z][a-z0-9_.]{0,62}$'
     limit 1;

    if found then
        perform tenon.refuse(
            format('plan %s: %L can''t be the name of a feature', name, bad),
            'Use lower-case letters, digits, _ and dots, starting with a '
            'letter, 63 at most.');
    end if;

    if period not in ('month', 'year') or (amount is null) <> (currency is null)
       or amount < 0 or currency !~ '^[A-Z]{3}$'
    then
        perform tenon.refuse(
            format('plan %s can''t cost %s %s a %s', name,
                   coalesce(amount::text, 'null'), coalesce(currency, 'null'),
                   period),
            'Give amount, in minor units, with currency, three capital '
            'letters, or neither; period is month or year.');
    end if;

    if trial_days not between 1 and 3650 or grace_days not between 0 and 3650
       or read_only_days not between 0 and 3650
       or (trial_at_signup and trial_days is null)
    then
        perform tenon.refuse(
            format('plan %s: trial_days %s, grace_days %s and read_only_days '
                   '%s can''t be', name, coalesce(trial_days::text, 'null'),
                   coalesce(grace_days::text, 'null'),
                   coalesce(read_only_days::text, 'null')),
            'Use days up to 3650, trial_days from 1 on, and give them with '
            'trial_at_signup; grace_days and read_only_days may be null: for '
            'ever.');
    end if;

    select p.app, p.retired into other
      from tenon.plan p
     where p.name = plan.name;

    if found and other.app <> this_app and not other.retired then
        perform tenon.refuse(
            format('plan %s is declared by app %s', name, other.app),
            'A database has one set of plans: declare them in one app, or '
            'give this one another name.');
    end if;

    if found and other.app = this_app and not other.retired then
        perform tenon.refuse(
            format('plan %s is declared twice', name),
            'Take one of them away.');
    end if;

    select p.name, p.by_default and plan.by_default as by_default into other
      from tenon.plan p
     where not p.retired
       and (p.by_default and plan.by_default
            or p.trial_at_signup and plan.trial_at_signup)
     limit 1;

    if found then
        perform tenon.refuse(
            format('plan %s: there can''t be two, and %s is one already, '
                   'that are %s', name, other.name,
                   case when other.by_default then 'by_default'
                        else 'trial_at_signup' end),
            'Say so of one of them.');
    end if;

    insert into tenon.plan as p (name, app, position, title, amount, currency,
                                 period, features, by_default, trial_days,
                                 trial_at_signup, grace_days, read_only_days)
    select plan.name, this_app,
           (select count(*) + 1 from tenon.plan o
             where o.app = this_app and not o.retired),
           coalesce(plan.title, initcap(replace(plan.name, '_', ' '))),
           plan.amount, plan.currency, plan.period,
           array(select distinct f from unnest(plan.features) f order by f),
           plan.by_default, plan.trial_days, plan.trial_at_signup,
           plan.grace_days, plan.read_only_days
        on conflict on constraint plan_pkey do update
       set app = excluded.app, position = excluded.position,
           title = excluded.title, amount = excluded.amount,
           currency = excluded.currency, period = excluded.period,
           features = excluded.features, by_default = excluded.by_default,
           trial_days = excluded.trial_days,
           trial_at_signup = excluded.trial_at_signup,
           grace_days = excluded.grace_days,
           read_only_days = excluded.read_only_days,
           retired = false,
           version = p.version
                     + ((p.app, p.position, p.title, p.amount, p.currency,
                         p.period, p.features, p.by_default, p.trial_days,
                         p.trial_at_signup, p.grace_days, p.read_only_days)
                        is distinct from
                        (excluded.app, excluded.position, excluded.title,
                         excluded.amount, excluded.currency, excluded.period,
                         excluded.features, excluded.by_default,
                         excluded.trial_days, excluded.trial_at_signup,
                         excluded.grace_days, excluded.read_only_days))::int;

    delete from tenon.plan_limit l where l.plan = plan.name;
end
$$;

comment on function tenon.plan(text, text, bigint, text, text, text[], boolean,
                               int, boolean, int, int) is
    'Declares a plan: what it costs, which features it has, whether tenants '
    'begin with it, and how long who owes may go on';


create function tenon.declared_plan(plan text)
returns void
language plpgsql stable
as $$
begin
    if not exists (select
                     from tenon.plan p
                    where p.name = declared_plan.plan
                      and p.app  = tenon.current_app()
                      and not p.retired)
    then
        perform tenon.refuse(
            format('%s is not a plan of app %s', coalesce(plan, 'null'),
                   tenon.current_app()),
            format('Declare it first: select tenon.plan(%L, …).', plan));
    end if;
end
$$;

comment on function tenon.declared_plan(text) is
    'Refuses what isn''t a plan that was declared in this load';


create function tenon.plan_limit(
    plan            text,
    name            text,
    hard            bigint default null,
    soft            bigint default null,
    period          text   default null,
    overage_amount  bigint default null,
    overage_units   bigint default null)
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

    if period not in ('hour', 'day', 'month') then
        perform tenon.refuse(
            format('plan %s: limit %s can''t be of a %s', plan, name, period),
            'Use hour, day or month; leave it out for a limit on how many '
            'there are.');
    end if;

    if (name = 'seats') <> (period is null) and name in ('seats', 'api_calls')
    then
        perform tenon.refuse(
            format('plan %s: limit %s can''t be of period %s', plan, name,
                   coalesce(period, 'null')),
            'Seats are how many there are, and have none; calls are counted '
            'in one.');
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
                                  overage_amount, overage_units)
    values (plan_limit.plan, plan_limit.name, plan_limit.soft,
            plan_limit.hard, plan_limit.period, plan_limit.overage_amount,
            plan_limit.overage_units);
end
$$;

comment on function tenon.plan_limit(text, text, bigint, bigint, text, bigint,
                                     bigint) is
    'Declares how much of something a plan allows: seats, api_calls, or a unit '
    'of a resource''s or action''s usage';


create function tenon.plan_price(plan text, provider text, external_id text)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    other  text;
begin
    perform tenon.declared_plan(plan);

    -- One that is retired may become another plan's; who pays it goes with it.
    insert into tenon.plan_price as c (plan, provider, external_id)
    values (plan_price.plan, plan_price.provider, plan_price.external_id)
        on conflict on constraint plan_price_pkey do update
       set plan = excluded.plan, retired = false
     where c.retired;

    if not found then
        select c.plan into other
          from tenon.plan_price c
         where c.provider    = plan_price.provider
           and c.external_id = plan_price.external_id;

        perform tenon.refuse(
            format('plan %s: price %s of %s is plan %s''s', plan, external_id,
                   provider, other),
            'A price goes by one plan: declare it once, or make another one '
            'at the provider.');
    end if;
end
$$;

comment on function tenon.plan_price(text, text, text) is
    'Declares by which of a provider''s prices a plan is sold';


-- What a tenant may ----------------------------------------------------------

create function tenon.told_features(features text[], added text[],
                                    removed text[])
returns text[]
language sql immutable
set search_path = pg_catalog
as $$
    select array(select f from unnest(features) f
                  union
                 select f from unnest(added) f
                 except
                 select f from unnest(removed) f
                  order by 1)
$$;

comment on function tenon.told_features(text[], text[], text[]) is
    'A plan''s features, with what an override adds and without what it takes '
    'away';


create function tenon.told_limits(of_plan text, overrides jsonb)
returns table (name text, soft bigint, hard bigint, period text,
               overage_amount bigint, overage_units bigint)
language sql stable
set search_path = pg_catalog
as $$
    select coalesce(l.name, o.one ->> 'name'),
           case when o.one is null then l.soft
                else (o.one ->> 'soft')::bigint end,
           case when o.one is null then l.hard
                else (o.one ->> 'hard')::bigint end,
           case when l.name is not null then l.period
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

comment on function tenon.told_limits(text, jsonb) is
    'A plan''s limits, those of an override in their place. One that the plan '
    'doesn''t have is of a month, but for seats';


create function tenon.seats_taken(most bigint)
returns bigint
language sql volatile
set search_path = pg_catalog
as $$
    select count(*)
      from (select
              from tenon.member m
             where m.tenant_id = tenon.current_tenant()
               and m.deleted_at is null
             union all
            select
              from tenon.invitation i
             where i.tenant_id = tenon.current_tenant()
               and i.status = 'pending'
               and i.expires_at > now()
               and i.deleted_at is null
             limit most) taken
$$;

comment on function tenon.seats_taken(bigint) is
    'How many seats of a tenant are taken, by members and open invitations; '
    'counts no further than `most`';

grant execute
   on function tenon.seats_taken(bigint),
               tenon.told_features(text[], text[], text[]),
               tenon.told_limits(text, jsonb)
   to tenon_api;

grant execute
   on function tenon.told_features(text[], text[], text[]),
               tenon.told_limits(text, jsonb)
   to tenon_lookup;


grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.find_plan(tenant uuid)
returns table (plan text, status text, owing_since bigint,
               trial_ends_at bigint, grace bigint, read_only bigint,
               ends_at bigint, features text, limits text,
               subscription uuid)
language sql stable security definer
set search_path = pg_catalog
as $$
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
               row_number() over (order by s.began desc, s.id desc) as nth
          from (select s.id, s.plan, s.status, s.owing_since, s.trial_ends_at,
                       coalesce(s.provider_created_at, s.created_at) as began
                  from tenon.subscription s
                 where s.tenant_id = $1
                   and s.status not in ('incomplete', 'incomplete_expired',
                                        'canceled')
                 order by array_position('{active,trialing,past_due}'::text[],
                                         s.status), 6 desc, s.id desc
                 limit 16) s),
    -- The first that entitles to anything counts, and of subscriptions the
    -- best (libcore/billing/plan.c).
    candidate (place, nth, plan, status, owing_since, trial_ends_at,
               subscription) as (
        select 1, 1, o.plan, 'active', null::timestamptz, null::timestamptz,
               null::uuid
          from override o
         where o.plan is not null
        union all
        select 2, s.nth, s.plan, s.status, s.owing_since, s.trial_ends_at,
               s.id
          from subscribed s
        union all
        select 3, 1, p.name, 'trialing', null,
               mine.created_at + make_interval(days => p.trial_days), null
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
        select 4, 1, p.name, 'active', null, null, null
          from tenon.plan p
         where p.by_default
           and not p.retired
        union all
        select 5, 1, 'none', '', null, null, null)
    select c.plan,
           c.status,
           (extract(epoch from c.owing_since) * 1000000)::bigint,
           (extract(epoch from c.trial_ends_at) * 1000000)::bigint,
           p.grace_days * 86400000000,
           p.read_only_days * 86400000000,
           (extract(epoch from least(o.ends_at,
                                     case when c.place = 3
                                          then c.trial_ends_at end))
            * 1000000)::bigint,
           array_to_string(tenon.told_features(p.features, o.features_added,
                                               o.features_removed), ','),
           (select string_agg(concat_ws(':', l.name, coalesce(l.soft::text, ''),
                                        coalesce(l.hard::text, ''),
                                        coalesce(l.period, '')), ';')
              from tenon.told_limits(c.plan, o.limits) l),
           c.subscription
      from mine
     cross join candidate c
      left join tenon.plan p on p.name = c.plan
      left join override o on true
     order by c.place, c.nth
$$;

comment on function tenon.find_plan(uuid) is
    'What a tenant''s plan may be, the first that entitles to anything being '
    'it: as the platform grants it, as subscribed (of several the one that '
    'entitles to most), as begun with, and by default. Times and spans are '
    'microseconds; no row: nothing is billed';

revoke execute on function tenon.find_plan(uuid) from public;
grant execute on function tenon.find_plan(uuid) to tenon_api;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;


-- What the platform grants ---------------------------------------------------

create view tenon.plan_override_view
with (security_invoker = true) as
select tenon.platform() as tenant_id,
       t.tenant_id      as id,
       o.plan,
       to_json(coalesce(o.features_added, '{}'))   as features_added,
       to_json(coalesce(o.features_removed, '{}')) as features_removed,
       coalesce(o.limits, '[]')                    as limits,
       o.ends_at,
       o.reason,
       coalesce(o.version, 0)                      as version,
       coalesce(o.created_at, t.created_at)        as created_at,
       o.created_by,
       coalesce(o.updated_at, t.created_at)        as updated_at
  from tenon.tenant t
  left join tenon.plan_override o on o.tenant_id = t.tenant_id
 where t.deleted_at is null
   and t.tenant_id <> tenon.platform()
   and nullif(current_setting('tenon.tenant', true), '')::uuid
       = tenon.platform();

comment on view tenon.plan_override_view is
    'What the platform grants each tenant besides its plan; of one that it '
    'grants nothing, version 0';

grant select on tenon.plan_override_view to tenon_api;


create function tenon.override_refused(plan text, features jsonb,
                                       limits jsonb)
returns text
language sql stable
set search_path = pg_catalog
as $$
    select 'invalid_fields ' || string_agg(fault, ';' order by fault)
      from (select '/plan not_in_set is no plan' as fault
             where plan is not null
               and not exists (select
                                 from tenon.plan p
                                where p.name = override_refused.plan
                                  and not p.retired)
            union all
            select format('/limits/%s/soft out_of_range is more than hard',
                          l.nth - 1)
              from jsonb_array_elements(limits) with ordinality l (one, nth)
             where (l.one ->> 'soft')::bigint > (l.one ->> 'hard')::bigint
            union all
            select format('/limits/%s/name duplicate is there twice',
                          l.nth - 1)
              from (select l.nth,
                           row_number() over (partition by l.one ->> 'name'
                                              order by l.nth) as same
                      from jsonb_array_elements(limits)
                           with ordinality l (one, nth)) l
             where l.same > 1
            union all
            select format('/features_removed/%s duplicate is added as well',
                          f.nth - 1)
              from jsonb_array_elements_text(features -> 'removed')
                   with ordinality f (name, nth)
             where features -> 'added' ? f.name) faults
$$;

comment on function tenon.override_refused(text, jsonb, jsonb) is
    'What is wrong with what the platform would grant; null: nothing';


create function tenon.set_plan_override(
    target    uuid,
    changes   jsonb,
    match     bigint[],
    event_id  uuid,
    salt      bytea,
    out refused  text,
    out granted  tenon.plan_override)
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    actor   uuid := nullif(current_setting('tenon.actor', true), '')::uuid;
    was     tenon.plan_override;
begin
    -- The second wall: whoever calls this asks from the platform.
    if asking is distinct from tenon.platform()::text then
        raise exception 'only the platform grants what a plan doesn''t have';
    end if;

    -- The tenant's row and event are its own. Whoever grants the first thing
    -- holds the tenant, so that there is one first.
    perform set_config('tenon.tenant', target::text, true);

    perform
       from tenon.tenant t
      where t.tenant_id = target
        and t.tenant_id <> tenon.platform()
        and t.deleted_at is null
        for no key update;

    if not found then
        refused := 'not_found';
        perform set_config('tenon.tenant', asking, true);
        return;
    end if;

    select o.* into was
      from tenon.plan_override o
     where o.tenant_id = target
       for no key update;

    granted := was;

    if coalesce(was.version, 0) <> all (match) then
        refused := 'precondition_failed';
        perform set_config('tenon.tenant', asking, true);
        return;
    end if;

    granted.plan := case when changes ? 'plan' then changes ->> 'plan'
                         else was.plan end;
    granted.features_added :=
        case when changes ? 'features_added'
             then array(select jsonb_array_elements_text(
                                   changes -> 'features_added'))
             else coalesce(was.features_added, '{}') end;
    granted.features_removed :=
        case when changes ? 'features_removed'
             then array(select jsonb_array_elements_text(
                                   changes -> 'features_removed'))
             else coalesce(was.features_removed, '{}') end;
    granted.limits :=
        case when changes ? 'limits'
             then (select coalesce(jsonb_agg(jsonb_build_object(
                                       'name', l.one -> 'name',
                                       'soft', l.one -> 'soft',
                                       'hard', l.one -> 'hard')
                                       order by l.nth), '[]')
                     from jsonb_array_elements(changes -> 'limits')
                          with ordinality l (one, nth))
             else coalesce(was.limits, '[]') end;
    granted.ends_at := case when changes ? 'ends_at'
                            then (changes ->> 'ends_at')::timestamptz
                            else was.ends_at end;
    granted.reason := case when changes ? 'reason'
                           then changes ->> 'reason' else was.reason end;

    refused := tenon.override_refused(
        -- one that was granted stays, though it is retired since
        case when granted.plan is distinct from was.plan
             then granted.plan end,
        jsonb_build_object('added', granted.features_added,
                           'removed', granted.features_removed),
        granted.limits);

    if refused is null and was.id is null and changes <> '{}' then
        insert into tenon.plan_override
               (tenant_id, plan, features_added, features_removed, limits,
                ends_at, reason, created_by)
        values (target, granted.plan, granted.features_added,
                granted.features_removed, granted.limits, granted.ends_at,
                granted.reason, actor)
        returning * into granted;
    elsif refused is null and was.id is not null
          and granted is distinct from was
    then
        update tenon.plan_override o
           set plan             = granted.plan,
               features_added   = granted.features_added,
               features_removed = granted.features_removed,
               limits           = granted.limits,
               ends_at          = granted.ends_at,
               reason           = granted.reason,
               version          = was.version + 1,
               updated_at       = now()
         where o.tenant_id = target
        returning * into granted;
    end if;

    if refused is null and granted.version is distinct from was.version then
        perform tenon.log_event(
            event_id,
            case when was.id is null then 'plan_override.created'
                 else 'plan_override.updated' end,
            'tenon.plan_override', granted.id, granted.version,
            case when was.id is not null
                 then tenon.image('tenon.plan_override'::regclass,
                                  to_jsonb(was)) end,
            tenon.image('tenon.plan_override'::regclass, to_jsonb(granted)),
            null, salt);

        -- And the platform's, in a log that the tenant's end doesn't touch.
        perform set_config('tenon.tenant', asking, true);
        perform tenon.log_event(
            tenon.uuid7(), 'plan_override.updated', 'tenon.platform', target,
            granted.version, null, null,
            jsonb_build_object('plan', granted.plan,
                               'reason', granted.reason),
            uuid_send(gen_random_uuid()));
    end if;

    perform set_config('tenon.tenant', asking, true);
end
$$;

comment on function tenon.set_plan_override(uuid, jsonb, bigint[], uuid,
                                            bytea) is
    'Grants a tenant what its plan doesn''t have, from the platform, with an '
    'event in both logs; `changes` holds what is to be another';

grant execute
   on function tenon.set_plan_override(uuid, jsonb, bigint[], uuid, bytea),
               tenon.override_refused(text, jsonb, jsonb)
   to tenon_api;


-- Permissions ----------------------------------------------------------------

-- The owner's alone: who pays decides.
insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from unnest(array['tenon.billing:read', 'tenon.billing:update']) as p (name)
 cross join (values ('owner'), ('super_admin')) as r (role);
