-- Pages of Stripe's that an owner asks for (libcore/stripe/session_endpoints.c).
-- How a write goes tells the top of people.sql. The job that has a page made has
-- its id (work_checkout.sql).

-- A host that isn't this tenant's on the base domain, or the operator's, must be
-- one of its verified domains: :…_host is null where it needn't be asked. The
-- tenant's row is held: what is counted under it stays so.
-- name: checkout_create
with {{idem}},
     {{here}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when not {{plan_sold}}
                or tenon.is_foreign_host(:success_host::text)
                or tenon.is_foreign_host(:cancel_host::text)
              then 'invalid_fields '
                   || concat_ws(
                        ';',
                        case when not {{plan_sold}}
                             then '/plan not_in_set is no plan that is sold '
                                  || 'by Stripe here' end,
                        case when tenon.is_foreign_host(:success_host::text)
                             then '/success_url refused {{leads_away}}' end,
                        case when tenon.is_foreign_host(:cancel_host::text)
                             then '/cancel_url refused {{leads_away}}' end)
              when exists (
                   select
                     from tenon.subscription s
                    where s.tenant_id = :tenant::uuid
                      and s.provider = 'stripe'
                      and s.status not in ('incomplete', 'incomplete_expired',
                                           'canceled'))
              then 'state_conflict: There is a subscription already: it is '
                   || 'changed in the portal (POST '
                   || '/v1/billing/portal-sessions).'
              {{too_many}}
              end as refused,
              idem.go and idem.fingerprint is null as fresh
         from idem
         left join here on true
         {{recent}}),
     done as (
       insert into tenon.billing_session (tenant_id, id, kind, plan, quantity,
                                          success_url, cancel_url, created_by)
       select :tenant::uuid, :id::uuid, 'checkout', :plan::text,
              coalesce(:quantity::bigint, 1), :success_url::text,
              :cancel_url::text, :actor::uuid
         from verdict v
        where v.fresh and v.refused is null
       returning *),
     queued as (
       insert into tenon.job (tenant_id, id, kind, input)
       select :tenant::uuid, done.id, 'stripe.checkout', '{}'
         from done
       returning id),
     {{session_logged}},
     shown as materialized (
       select done.id::text, done.plan::text, done.quantity::text,
              done.success_url::text, done.cancel_url::text,
              'pending' as status, null::text as url,
              null::text as expires_at, null::text as error,
              done.version::text, done.created_at::text,
              done.created_by::text
         from done
        cross join logged
        cross join queued),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.plan, idem.outcome ->> 'plan') as plan,
       coalesce(shown.quantity, idem.outcome ->> 'quantity') as quantity,
       coalesce(shown.success_url, idem.outcome ->> 'success_url')
           as success_url,
       coalesce(shown.cancel_url, idem.outcome ->> 'cancel_url')
           as cancel_url,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       null::text as url, null::text as expires_at, null::text as error,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at')
           as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       {{told}};

-- A plan that can be had, and that one of Stripe's prices goes by.
-- fragment: plan_sold
exists (
                   select
                     from tenon.plan p
                     join tenon.plan_price c on c.plan = p.name
                    where p.name = :plan::text and not p.retired
                      and c.provider = 'stripe' and not c.retired)

-- fragment: leads_away
must lead to this organization: to its own host, or one of its verified domains

-- fragment: too_many
when here.tenant_id is not null
               and recent.frees_in is not null
              then 'rate_limited ' || recent.frees_in
                   || ': 30 pages were asked for within an hour: use one of '
                   || 'them, or wait.'

-- In how many seconds the 30th before it will be an hour old; null: there are
-- fewer.
-- fragment: recent
left join lateral (
              select greatest(1, ceil(date_part('epoch', s.created_at
                                              + interval '1 hour' - now()))
                             )::bigint as frees_in
                from tenon.billing_session s
               where s.tenant_id = :tenant::uuid
                 and s.created_at > now() - interval '1 hour'
               order by s.created_at desc
              offset 29
               limit 1) recent on true

-- fragment: session_logged
logged as (
       select tenon.log_event(
                :event_id::uuid, 'billing_session.created',
                'tenon.billing_session', done.id, done.version, null,
                tenon.image('tenon.billing_session'::regclass,
                            to_jsonb(done) - 'url'),
                jsonb_build_object('kind', done.kind), :salt::bytea)
         from done)

-- name: portal_create
with {{idem}},
     {{here}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when tenon.is_foreign_host(:return_host::text)
              then 'invalid_fields /return_url refused {{leads_away}}'
              when not exists (
                   select
                     from tenon.billing_customer c
                    where c.tenant_id = :tenant::uuid
                      and c.provider = 'stripe')
               and not exists (
                   select
                     from tenon.subscription s
                    where s.tenant_id = :tenant::uuid
                      and s.provider = 'stripe'
                      and s.customer_id is not null)
              then 'state_conflict: There is nothing to see to yet: subscribe '
                   || 'to a plan first (POST /v1/billing/checkout-sessions).'
              {{too_many}}
              end as refused,
              idem.go and idem.fingerprint is null as fresh
         from idem
         left join here on true
         {{recent}}),
     done as (
       insert into tenon.billing_session (tenant_id, id, kind, return_url,
                                          created_by)
       select :tenant::uuid, :id::uuid, 'portal', :return_url::text,
              :actor::uuid
         from verdict v
        where v.fresh and v.refused is null
       returning *),
     queued as (
       insert into tenon.job (tenant_id, id, kind, input)
       select :tenant::uuid, done.id, 'stripe.portal', '{}'
         from done
       returning id),
     {{session_logged}},
     shown as materialized (
       select done.id::text, done.return_url::text, 'pending' as status,
              null::text as url, null::text as expires_at,
              null::text as error, done.version::text,
              done.created_at::text, done.created_by::text
         from done
        cross join logged
        cross join queued),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.return_url, idem.outcome ->> 'return_url')
           as return_url,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       null::text as url, null::text as expires_at, null::text as error,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at')
           as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       {{told}};
