-- What tenond runs for kinds of work that ask Stripe (libcore/stripe).

-- What an event is about and whose that is. Which events there are needn't be
-- known: it is the object in them that counts.
-- name: stripe_event
with event as materialized (
       select e.external_id, e.type, e.received_at,
              e.body::jsonb -> 'livemode' as livemode,
              e.body::jsonb #> '{data,object}' as object
         from tenon.inbound_event e
        where e.tenant_id = :tenant::uuid
          and e.id = (:input::jsonb ->> 'event')::uuid),
     -- A reference is an id, or the object that has it.
     named as materialized (
       select e.*,
              case e.object ->> 'object'
              when 'subscription' then e.object -> 'id'
              when 'checkout.session' then e.object -> 'subscription'
              when 'invoice'
              then coalesce(nullif(e.object -> 'subscription', 'null'),
                            e.object #> '{parent,subscription_details,
                                          subscription}')
              end as subscription,
              e.object -> 'customer' as customer
         from event e),
     ids as materialized (
       select n.*, coalesce(n.subscription ->> 'id',
                            n.subscription #>> '{}') as subscription_id,
              coalesce(n.customer ->> 'id', n.customer #>> '{}') as customer_id
         from named n)
select i.type, i.external_id, i.received_at::text, i.livemode::text,
       i.object::text, i.subscription_id, i.customer_id,
       case when i.subscription_id is not null
            then coalesce(tenon.find_billing_tenant('stripe', 'subscription',
                                                    i.subscription_id),
                          tenon.find_billing_tenant('stripe', 'customer',
                                                    i.customer_id))
       end::text as tenant
  from ids i;

-- The same of a subscription that nobody told of.
-- name: stripe_overdue
select 'overdue' as type, null::text as external_id,
       now()::text as received_at, null::text as livemode,
       null::text as object, i.subscription as subscription_id,
       null::text as customer_id,
       tenon.find_billing_tenant('stripe', 'subscription',
                                 i.subscription)::text as tenant
  from (values (:input::jsonb ->> 'subscription')) i (subscription);

-- Nobody's here: others may use the same account of Stripe's.
-- name: stripe_ignored
select tenon.log_event(:event_id::uuid, 'inbound.ignored',
                       'tenon.inbound_event',
                       (:input::jsonb ->> 'event')::uuid, null, null, null,
                       jsonb_build_object('provider', 'stripe',
                                          'external_id', :external_id::text,
                                          'type', :type::text),
                       :salt::bytea);

-- A number to ask under. No row: what came in by then was heard of already, or
-- it is over, and nothing that can be said changes that.
-- name: stripe_subscription_ask
insert into tenon.subscription_fetch as f (tenant_id, provider, external_id,
                                           asked)
select :acting::uuid, 'stripe', :subscription::text, 1
 where not exists (
       select
         from tenon.subscription s
        where s.tenant_id = :acting::uuid and s.provider = 'stripe'
          and s.external_id = :subscription::text
          and s.status = any (:final::text[]))
   and not exists (
       select
         from tenon.subscription_fetch h
        where h.tenant_id = :acting::uuid and h.provider = 'stripe'
          and h.external_id = :subscription::text
          and h.heard_of > :received_at::timestamptz and h.heard_of <= now())
    on conflict (tenant_id, provider, external_id) do update
   set asked = f.asked + 1
returning f.asked::text, now()::text;

-- name: stripe_prices
select c.external_id, c.plan
  from tenon.plan_price c
 where c.provider = 'stripe';

-- name: stripe_subscription_keep
select tenon.keep_subscription(:acting::uuid, 'stripe', :subscription::text,
                               :asked::bigint, :asked_at::timestamptz,
                               :said::jsonb, :deaf::text[]);

-- name: stripe_customer_keep
insert into tenon.billing_customer (tenant_id, provider, external_id)
values (:acting::uuid, 'stripe', :customer::text)
    on conflict (tenant_id, provider) do nothing;
