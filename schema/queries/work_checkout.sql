-- What tenond runs to have a page of Stripe's made (libcore/stripe/session.c).
-- The job has the page's id.

-- No row: it is there, or has been purged, or the tenant is gone. Prices are told a line each. Who has
-- subscribed before tries nothing any more; Stripe takes two years of it at most.
-- name: session_asked
select s.kind, s.plan, s.quantity::text, s.success_url, s.cancel_url,
       s.return_url,
       coalesce((select c.external_id
                   from tenon.billing_customer c
                  where c.tenant_id = s.tenant_id
                    and c.provider = 'stripe'),
                (select b.customer_id
                   from tenon.subscription b
                  where b.tenant_id = s.tenant_id
                    and b.provider = 'stripe'
                    and b.customer_id is not null
                  order by b.created_at desc
                  limit 1)) as customer,
       t.name, t.version::text as name_version,
       (select string_agg(c.external_id, e'\n' order by c.external_id)
          from tenon.plan_price c
         where c.plan = s.plan and c.provider = 'stripe'
           and not c.retired) as prices,
       case when p.trial_days is not null and not p.trial_at_signup
             and not exists (select
                               from tenon.subscription b
                              where b.tenant_id = s.tenant_id and b.ran)
            then least(p.trial_days, 730)::text end as trial_days,
       case when s.kind = 'checkout' and {{subscribed}}
            then 't' end as live
  from tenon.billing_session s
  join tenon.tenant t on t.tenant_id = s.tenant_id
                     and t.deleted_at is null
  left join tenon.plan p on p.name = s.plan
 where s.tenant_id = :tenant::uuid and s.id = :id::uuid
   and s.external_id is null;

-- The tenant's customer: this one, if it had none. No row: another was stored
-- in this very moment.
-- name: customer_store
with stored as (
       insert into tenon.billing_customer (tenant_id, provider, external_id)
       values (:tenant::uuid, 'stripe', :customer::text)
           on conflict (tenant_id, provider) do nothing
       returning external_id)
select external_id
  from stored
 union all
select c.external_id
  from tenon.billing_customer c
 where c.tenant_id = :tenant::uuid and c.provider = 'stripe';

-- One that ended is no more in the way.
-- fragment: subscribed
exists (
              select
                from tenon.subscription b
               where b.tenant_id = :tenant::uuid
                 and b.provider = 'stripe'
                 and b.status not in ('incomplete', 'incomplete_expired',
                                      'canceled'))

-- All of the tenant's on which it could subscribe, in one order for all jobs.
-- fragment: pages
pages as materialized (
       select s.*
         from tenon.billing_session s
        where s.tenant_id = :tenant::uuid
          and (s.id = :id::uuid
               or s.kind = 'checkout' and (s.external_id is null
                                           or s.expires_at > now()))
        order by s.id
          for no key update)

-- Its address is told where no other page is open: all of them are held, so that
-- of two which are ready together one sees the other.
-- name: session_ready
with {{pages}},
     old as materialized (
       select p.*, p.kind = 'checkout' and {{subscribed}} as live,
              case when p.kind = 'checkout'
                   then (select min(o.external_id)
                           from pages o
                          where o.id <> p.id) end as other
         from pages p
        where p.id = :id::uuid and p.external_id is null),
     done as (
       update tenon.billing_session s
          set external_id = :external_id::text, url = :url::text,
              expires_at = to_timestamp(:expires::bigint),
              version = old.version + 1, updated_at = now()
         from old
        where s.tenant_id = :tenant::uuid and s.id = old.id
          and not old.live and old.other is null
       returning s.*),
     logged as materialized (
       select tenon.log_event(
                :event_id::uuid, 'billing_session.ready',
                'tenon.billing_session', done.id, done.version,
                tenon.image('tenon.billing_session'::regclass,
                            to_jsonb(p) - 'url'),
                tenon.image('tenon.billing_session'::regclass,
                            to_jsonb(done) - 'url'),
                jsonb_build_object('kind', done.kind), :salt::bytea)
         from done
         join pages p on p.id = done.id)
select case when exists (select from logged) then 't' end as ready,
       case when old.live then 't' end as live,
       case when not old.live then old.other end as other
  from old;

-- Another page of the tenant's is no longer open. No row: it was paid for a
-- subscription of which nothing was heard yet.
-- name: session_over
with {{pages}},
     known as materialized (
       select
        where :paid_for::text is null
           or exists (select
                        from tenon.subscription s
                       where s.tenant_id = :tenant::uuid
                         and s.provider = 'stripe'
                         and s.external_id = :paid_for::text)),
     old as materialized (
       select p.*
         from pages p
        cross join known
        where p.external_id = :other::text),
     done as (
       update tenon.billing_session s
          set expires_at = now(), url = null, version = old.version + 1,
              updated_at = now()
         from old
        where s.tenant_id = :tenant::uuid and s.id = old.id
       returning s.*),
     logged as materialized (
       select tenon.log_event(
                tenon.uuid7(),
                case when :paid_for::text is null
                     then 'billing_session.expired'
                     else 'billing_session.completed' end,
                'tenon.billing_session', done.id, done.version,
                tenon.image('tenon.billing_session'::regclass,
                            to_jsonb(old) - 'url'),
                tenon.image('tenon.billing_session'::regclass,
                            to_jsonb(done) - 'url'),
                jsonb_build_object('kind', done.kind), :salt::bytea)
         from done
         join old on old.id = done.id)
select count(logged.*)::text
  from known
  left join logged on true
having count(*) > 0;

-- What a tenant that is gone still subscribes to, and on which pages it could.
-- name: stripe_cancel_asked
select 'subscription', s.external_id
  from tenon.subscription s
  join tenon.tenant t on t.tenant_id = s.tenant_id
 where s.tenant_id = :tenant::uuid and s.provider = 'stripe'
   and s.external_id is not null and t.deleted_at is not null
   and not s.cancel_at_period_end
   and s.status not in ('incomplete', 'incomplete_expired', 'canceled')
 union all
select 'page', p.external_id
  from tenon.billing_session p
  join tenon.tenant t on t.tenant_id = p.tenant_id
 where p.tenant_id = :tenant::uuid and p.kind = 'checkout'
   and p.expires_at > now() and t.deleted_at is not null
 limit 200;
