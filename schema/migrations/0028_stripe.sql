-- 0028_stripe.sql: what Stripe says of a subscription is fetched and kept, by
-- jobs that act in the tenant whose it is.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0028_stripe.sql


-- A job of the platform's acts in a tenant -----------------------------------

drop function tenon.hold_job(uuid, uuid, bigint, int);

-- Without the last it is as it was, for a tenond of the version before.
create function tenon.hold_job(tenant uuid, job uuid, claim bigint, lease int,
                               acting uuid default null)
returns void
language plpgsql volatile
set search_path = pg_catalog
as $$
begin
    if acting <> tenant and tenant <> tenon.platform() then
        raise exception 'job % is a tenant''s, and can''t act in another', job
              using errcode = '42501',
                    hint = 'What acts in tenants is a job of the platform''s.';
    end if;

    if lease is null then
        perform
           from tenon.job j
          where j.tenant_id = hold_job.tenant
            and j.id        = hold_job.job
            and j.version   = hold_job.claim
            and j.status    = 'running'
            for no key update;
    else
        update tenon.job j
           set lease_until = now() + lease * interval '1 second'
         where j.tenant_id = hold_job.tenant
           and j.id        = hold_job.job
           and j.version   = hold_job.claim
           and j.status    = 'running';
    end if;

    if not found then
        raise exception 'job % is no longer held', job
              using errcode = 'TNJ01',
                    hint = 'Its lease ran out and another has taken it.';
    end if;

    perform set_config('tenon.tenant', coalesce(acting, tenant)::text, true),
            set_config('tenon.actor',      '', true),
            set_config('tenon.request_id', '', true),
            set_config('tenon.ip',         '', true),
            set_config('tenon.user_agent', '', true);
end
$$;

comment on function tenon.hold_job(uuid, uuid, bigint, int, uuid) is
    'What every batch of a job begins with: fails, and the batch with it, '
    'unless the job is still running under this claim; holds it until the '
    'batch is committed; prolongs its lease by so many seconds (null: leaves '
    'it); sets the context of the tenant in which it acts (null: its own; '
    'another only where it is the platform''s)';

revoke execute on function tenon.hold_job(uuid, uuid, bigint, int, uuid)
  from public;
grant  execute on function tenon.hold_job(uuid, uuid, bigint, int, uuid),
                          tenon.platform()
    to tenon_worker;

-- What it does there it tells there.
grant execute
   on function tenon.log_event(uuid, text, text, uuid, bigint, jsonb, jsonb,
                               jsonb, bytea, text, uuid, uuid),
               tenon.commitment(bytea, jsonb, jsonb, jsonb, text, text),
               tenon.image(oid, jsonb)
   to tenon_worker;

grant insert (tenant_id, id, actor, action, outcome, resource, resource_id,
              version, request_id, scope_before, scope_after, commitment)
   on tenon.event
   to tenon_worker;

grant insert (tenant_id, event_id, subject_id, salt, before, after, metadata,
              ip, user_agent)
   on tenon.event_body
   to tenon_worker;


-- How an event's job ended is how the event did ------------------------------
--
-- By whatever road: its step, its last attempt, a person, a person once more.

create function tenon.tell_inbound()
returns trigger
language plpgsql
-- So neither who does a job nor who cancels it can say anything else.
security definer
set search_path = pg_catalog
as $$
declare
    kept  text := current_setting('tenon.tenant', true);
begin
    perform set_config('tenon.tenant', new.tenant_id::text, true);

    update tenon.inbound_event e
       set status = told.status,
           processed_at = case when told.status <> 'received' then now() end
      from (select case new.status when 'done'     then 'processed'
                                   when 'dead'     then 'failed'
                                   when 'canceled' then 'failed'
                                   else 'received' end as status) told
     where e.tenant_id = new.tenant_id
       and e.id        = (new.input ->> 'event')::uuid
       and e.status    is distinct from told.status;

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.tell_inbound() is
    'Trigger: the event that a job is about is processed, failed or waits '
    'again, as the job does';

revoke execute on function tenon.tell_inbound() from public;

create trigger tenon_inbound
    after update of status on tenon.job
    for each row when (new.kind = 'stripe.event'
                       and new.status is distinct from old.status)
    execute function tenon.tell_inbound();

-- One that is sent again when it was given up has a new job.
create trigger tenon_inbound_again
    after insert on tenon.job
    for each row when (new.kind = 'stripe.event')
    execute function tenon.tell_inbound();

-- The job's own event tells of that.
drop trigger tenon_log on tenon.inbound_event;

create trigger tenon_log
    after insert or update or delete on tenon.inbound_event
    for each row when (current_user not in ('tenon_api', 'tenon_worker')
                       and pg_trigger_depth() = 0)
    execute function tenon.log_inbound();

-- Rows of the platform alone, in whichever tenant the job acts.
create policy worker on tenon.inbound_event for select to tenon_worker
 using (tenant_id = '00000000-0000-7000-8000-000000000002'::uuid);

-- No other policy lets more of them be removed.
create policy purge_only on tenon.inbound_event
    as restrictive for delete to tenon_worker
 using (processed_at < now() - interval '90 days');

grant select (tenant_id, id, provider, external_id, type, body, received_at)
   on tenon.inbound_event
   to tenon_worker;

grant select (status)
   on tenon.inbound_event
   to tenon_api;


-- Customers ------------------------------------------------------------------
--
-- A tenant is its provider's customer before it subscribes to anything.

create table tenon.billing_customer (
    tenant_id    uuid        not null references tenon.tenant,
    provider     text        collate "C" not null,
    external_id  text        collate "C" not null,
    created_at   timestamptz not null default now(),

    primary key (tenant_id, provider),

    constraint billing_customer_provider_set check (provider in ('stripe')),
    constraint billing_customer_external_length
         check (char_length(external_id) between 1 and 255)
);

comment on table tenon.billing_customer is
    'tenant: which customer of a provider''s a tenant is; one, for good';

alter table tenon.billing_customer enable row level security,
                                   force  row level security;

create policy tenant on tenon.billing_customer
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create trigger tenon_log
    after insert or update or delete on tenon.billing_customer
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.billing_customer');

grant select
   on tenon.billing_customer
   to tenon_api;

grant select (tenant_id, provider, external_id),
      insert (tenant_id, provider, external_id)
   on tenon.billing_customer
   to tenon_worker;

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.enter_billing_customer()
returns trigger
language plpgsql security definer
set search_path = pg_catalog
as $$
begin
    insert into tenon.billing_ref (provider, kind, external_id, tenant_id)
    values (new.provider, 'customer', new.external_id, new.tenant_id)
        on conflict on constraint billing_ref_pkey do nothing;

    if not found
       and tenon.find_billing_tenant(new.provider, 'customer',
                                     new.external_id)
           is distinct from new.tenant_id
    then
        raise unique_violation using
            message = format('the customer %s of %s is another tenant''s',
                             new.external_id, new.provider),
            schema = 'tenon', table = 'billing_ref',
            constraint = 'billing_ref_pkey';
    end if;

    return null;
end
$$;

comment on function tenon.enter_billing_customer() is
    'Trigger: the directory holds whose a provider''s customers are; a second '
    'tenant''s fails on billing_ref_pkey';

revoke execute on function tenon.enter_billing_customer() from public;
grant execute on function tenon.enter_billing_customer() to tenon_owner;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;

create trigger tenon_enter
    after insert or update of tenant_id, provider, external_id
    on tenon.billing_customer
    for each row execute function tenon.enter_billing_customer();


-- Subscriptions as their provider tells of them ------------------------------

alter table tenon.subscription
  add price_id     text        collate "C",
  add cancel_at    timestamptz,
  add canceled_at  timestamptz,
  add ended_at     timestamptz,
  add livemode     boolean;

comment on column tenon.subscription.price_id is
    'The provider''s price by which it has its plan (tenon.plan_price)';
comment on column tenon.subscription.quantity is
    'How many of that price are paid for: seats, where it is per seat';
comment on column tenon.subscription.cancel_at is
    'When it will end, if that was said for a time';
comment on column tenon.subscription.canceled_at is
    'When somebody said that it ends; it may go on until then';
comment on column tenon.subscription.ended_at is
    'When it ended';
comment on column tenon.subscription.livemode is
    'Whether money moves; null: not told';
comment on column tenon.subscription.provider_at is
    'As of when the provider said of it what is here';

grant select,
      insert (tenant_id, plan, provider, customer_id, external_id, status,
              quantity, owing_since, trial_ends_at, current_period_start,
              current_period_end, cancel_at_period_end, provider_at,
              provider_created_at, price_id, cancel_at, canceled_at, ended_at,
              livemode),
      update (plan, customer_id, status, quantity, owing_since, trial_ends_at,
              current_period_start, current_period_end, cancel_at_period_end,
              provider_at, provider_created_at, price_id, cancel_at,
              canceled_at, ended_at, livemode)
   on tenon.subscription
   to tenon_worker;


-- Jobs keep each other from writing down what is older. Each takes a number
-- before it asks; what is written is of the highest that was heard. Whatever is
-- written under a number tells of all that was so when that was taken.

create table tenon.subscription_fetch (
    tenant_id    uuid        not null references tenon.tenant,
    provider     text        collate "C" not null,
    external_id  text        collate "C" not null,
    asked        bigint      not null,
    heard        bigint      not null default 0,
    heard_of     timestamptz,

    primary key (tenant_id, provider, external_id)
)
with (fillfactor = 70);

comment on table tenon.subscription_fetch is
    'tenant: in which order jobs ask a provider of a subscription';
comment on column tenon.subscription_fetch.asked is
    'The number of whoever began to ask last';
comment on column tenon.subscription_fetch.heard is
    'That of the answer that was written down last; an older one isn''t';
comment on column tenon.subscription_fetch.heard_of is
    'When that number was taken: what came in before is in the answer';

alter table tenon.subscription_fetch enable row level security,
                                     force  row level security;

create policy tenant on tenon.subscription_fetch
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

grant select,
      insert (tenant_id, provider, external_id, asked),
      update (asked, heard, heard_of)
   on tenon.subscription_fetch
   to tenon_worker;


-- Both are charged, and one counts: a person is to end one of them. Of two that
-- come at once the second waits for the first (tenon.mark_entitlement), and sees
-- it.
create function tenon.tell_duplicate(
    tenant       uuid,
    provider     text,
    id           uuid,
    external_id  text,
    status       text)
returns void
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    kept    text := current_setting('tenon.tenant', true);
    others  text[];
    said    jsonb;
begin
    if status in ('incomplete', 'incomplete_expired', 'canceled') then
        return;
    end if;

    others := array(
        select s.external_id
          from tenon.subscription s
         where s.tenant_id = tell_duplicate.tenant
           and s.provider  = tell_duplicate.provider
           and s.id       <> tell_duplicate.id
           and s.status not in ('incomplete', 'incomplete_expired',
                                'canceled')
         order by s.id
         limit 10);

    if others = '{}' then
        return;
    end if;

    said := jsonb_build_object('provider', provider,
                               'external_id', external_id,
                               'others', to_jsonb(others));

    perform tenon.log_event(
        tenon.uuid7(), 'subscription.duplicate', 'tenon.subscription', id,
        null, null, null, said, uuid_send(gen_random_uuid()));

    perform set_config('tenon.tenant', tenon.platform()::text, true);

    perform tenon.log_event(
        tenon.uuid7(), 'subscription.duplicate', 'tenon.subscription', id,
        null, null, null, said || jsonb_build_object('tenant_id', tenant),
        uuid_send(gen_random_uuid()));

    perform set_config('tenon.tenant', coalesce(kept, ''), true);
end
$$;

comment on function tenon.tell_duplicate(uuid, text, uuid, text, text) is
    'Tells a tenant and the platform where a subscription goes on beside '
    'another of the same provider';

revoke execute on function tenon.tell_duplicate(uuid, text, uuid, text, text)
  from public;
grant execute on function tenon.tell_duplicate(uuid, text, uuid, text, text)
   to tenon_worker;


create function tenon.keep_subscription(
    tenant       uuid,
    provider     text,
    external_id  text,
    asked        bigint,
    asked_at     timestamptz,
    said         jsonb,
    deaf         text[])
returns text
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    told     record;
    was      tenon.subscription;
    becomes  tenon.subscription;
    made_id  uuid;
begin
    -- Held, so that what is written down goes by the numbers.
    update tenon.subscription_fetch f
       set heard    = keep_subscription.asked,
           heard_of = keep_subscription.asked_at
     where f.tenant_id   = keep_subscription.tenant
       and f.provider    = keep_subscription.provider
       and f.external_id = keep_subscription.external_id
       and f.heard       < keep_subscription.asked;

    if not found then
        return 'outdated';
    end if;

    select s.* into was
      from tenon.subscription s
     where s.tenant_id   = keep_subscription.tenant
       and s.provider    = keep_subscription.provider
       and s.external_id = keep_subscription.external_id
       for no key update;

    if was.status = any (deaf) then
        return 'late';
    end if;

    select t.* into told
      from jsonb_to_record(said)
           as t (plan text, price_id text, quantity bigint, customer_id text,
                 status text, owes boolean, due bigint, trial_end bigint,
                 current_period_start bigint, current_period_end bigint,
                 cancel_at_period_end boolean, cancel_at bigint,
                 canceled_at bigint, ended_at bigint, created bigint,
                 livemode boolean);

    -- Of what is over before it was heard of, by a price that is none here.
    if was.id is null and told.plan is null then
        return 'unneeded';
    end if;

    becomes                       := was;
    becomes.plan                  := coalesce(told.plan, was.plan);
    becomes.price_id              := told.price_id;
    becomes.quantity              := told.quantity;
    becomes.customer_id           := told.customer_id;
    becomes.status                := told.status;
    becomes.trial_ends_at         := to_timestamp(told.trial_end);
    becomes.current_period_start  := to_timestamp(told.current_period_start);
    becomes.current_period_end    := to_timestamp(told.current_period_end);
    becomes.cancel_at_period_end  := told.cancel_at_period_end;
    becomes.cancel_at             := to_timestamp(told.cancel_at);
    becomes.canceled_at           := to_timestamp(told.canceled_at);
    becomes.ended_at              := to_timestamp(told.ended_at);
    becomes.provider_created_at   := to_timestamp(told.created);
    becomes.livemode              := told.livemode;

    -- The first that was due counts for as long as anything is.
    becomes.owing_since :=
        case when told.owes
             then coalesce(was.owing_since,
                           least(to_timestamp(told.due), now()))
        end;

    if becomes is not distinct from was then
        return 'same';
    end if;

    if was.id is null then
        insert into tenon.subscription
               (tenant_id, plan, provider, customer_id, external_id, status,
                quantity, owing_since, trial_ends_at, current_period_start,
                current_period_end, cancel_at_period_end, provider_at,
                provider_created_at, price_id, cancel_at, canceled_at,
                ended_at, livemode)
        values (tenant, becomes.plan, provider, becomes.customer_id,
                external_id, becomes.status, becomes.quantity,
                becomes.owing_since, becomes.trial_ends_at,
                becomes.current_period_start, becomes.current_period_end,
                becomes.cancel_at_period_end, asked_at,
                becomes.provider_created_at, becomes.price_id,
                becomes.cancel_at, becomes.canceled_at, becomes.ended_at,
                becomes.livemode)
        returning subscription.id into made_id;

        perform tenon.tell_duplicate(tenant, provider, made_id, external_id,
                                     becomes.status);

        return 'created';
    end if;

    update tenon.subscription s
       set plan                 = becomes.plan,
           customer_id          = becomes.customer_id,
           status               = becomes.status,
           quantity             = becomes.quantity,
           owing_since          = becomes.owing_since,
           trial_ends_at        = becomes.trial_ends_at,
           current_period_start = becomes.current_period_start,
           current_period_end   = becomes.current_period_end,
           cancel_at_period_end = becomes.cancel_at_period_end,
           provider_at          = asked_at,
           provider_created_at  = becomes.provider_created_at,
           price_id             = becomes.price_id,
           cancel_at            = becomes.cancel_at,
           canceled_at          = becomes.canceled_at,
           ended_at             = becomes.ended_at,
           livemode             = becomes.livemode
     where s.tenant_id = tenant
       and s.id        = was.id;

    if was.status in ('incomplete', 'incomplete_expired', 'canceled') then
        perform tenon.tell_duplicate(tenant, provider, was.id, external_id,
                                     becomes.status);
    end if;

    return 'updated';
end
$$;

comment on function tenon.keep_subscription(uuid, text, text, bigint,
                                            timestamptz, jsonb, text[]) is
    'Writes down what a provider answered to who asked under that number: '
    'unless a later one is written already (outdated), or it is in one of the '
    'states `deaf`, in which that word changes nothing (late). Times in `said` '
    'are seconds since 1970';

revoke execute
    on function tenon.keep_subscription(uuid, text, text, bigint, timestamptz,
                                        jsonb, text[])
  from public;
grant execute
   on function tenon.keep_subscription(uuid, text, text, bigint, timestamptz,
                                       jsonb, text[])
   to tenon_worker;
