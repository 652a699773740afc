-- 0029_checkout.sql: pages of a provider's on which an owner pays, or sees to
-- what is paid: asked for here, made by jobs.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0029_checkout.sql


create table tenon.billing_session (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null,
    kind         text        collate "C" not null,
    plan         text        collate "C" references tenon.plan,
    quantity     bigint,
    success_url  text,
    cancel_url   text,
    return_url   text,
    external_id  text        collate "C",
    url          text,
    expires_at   timestamptz,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),

    primary key (tenant_id, id),

    constraint billing_session_external_key unique (tenant_id, external_id),
    constraint billing_session_kind_set
         check (kind in ('checkout', 'portal')),
    constraint billing_session_asked
         check (case kind when 'checkout'
                     then plan is not null and quantity >= 1
                          and success_url is not null
                          and cancel_url is not null and return_url is null
                     else plan is null and quantity is null
                          and success_url is null and cancel_url is null
                          and return_url is not null end),
    constraint billing_session_made
         check (num_nulls(external_id, expires_at) in (0, 2)
                and (url is null or external_id is not null))
);

create index billing_session_over on tenon.billing_session (created_at);

create index billing_session_recent on tenon.billing_session
       (tenant_id, created_at);

create index billing_session_keys on tenon.billing_session (expires_at)
 where url is not null;

comment on table tenon.billing_session is
    'tenant: a page of Stripe''s that an owner asked for; the job of the same '
    'id has it made';
comment on column tenon.billing_session.kind is
    'checkout: to subscribe to a plan; portal: to see to what is paid';
comment on column tenon.billing_session.external_id is
    'Stripe''s id of it; null: it isn''t made yet';
comment on column tenon.billing_session.url is
    'Whoever has it sees what the owner would, until expires_at: in no log, '
    'and not kept for longer';

create view tenon.billing_session_view
with (security_invoker = true) as
select s.tenant_id,
       s.id,
       s.kind,
       s.plan,
       s.quantity,
       s.success_url,
       s.cancel_url,
       s.return_url,
       case when s.external_id is null
            then case when j.status in ('queued', 'running')
                      then 'pending'
                      else 'failed' end
            when s.expires_at > now()
            then 'ready'
            else 'expired' end as status,
       case when s.expires_at > now() then s.url end as url,
       s.expires_at,
       case when s.external_id is null
            then case when j.status in ('queued', 'running')
                      then j.last_error
                      else coalesce(j.last_error, 'It was given up.') end
            end as error,
       s.version,
       s.created_at,
       s.created_by
  from tenon.billing_session s
  left join tenon.job j on j.tenant_id = s.tenant_id
                       and j.id        = s.id;

comment on view tenon.billing_session_view is
    'Pages of a provider''s as the API shows them: how far it is, by the job '
    'that has it made; and the address while it is any good';

create view tenon.checkout_session_view
with (security_invoker = true) as
select v.tenant_id, v.id, v.plan, v.quantity, v.success_url, v.cancel_url,
       v.status, v.url, v.expires_at, v.error, v.version, v.created_at,
       v.created_by
  from tenon.billing_session_view v
 where v.kind = 'checkout';

comment on view tenon.checkout_session_view is
    'Those of them on which a plan is paid';

create view tenon.portal_session_view
with (security_invoker = true) as
select v.tenant_id, v.id, v.return_url, v.status, v.url, v.expires_at,
       v.error, v.version, v.created_at, v.created_by
  from tenon.billing_session_view v
 where v.kind = 'portal';

comment on view tenon.portal_session_view is
    'Those of them on which an owner sees to what is paid';


-- Changes that don't come through the API ------------------------------------

create trigger tenon_touch
    before update on tenon.billing_session
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.touch();

create function tenon.log_billing_session()
returns trigger
language plpgsql
-- So whoever changes a row logs it, and can't log what didn't happen.
security definer
set search_path = pg_catalog
as $$
declare
    changed  tenon.billing_session := coalesce(new, old);
    kept     text := current_setting('tenon.tenant', true);
begin
    perform set_config('tenon.tenant', changed.tenant_id::text, true);

    perform tenon.log_event(
        tenon.uuid7(),
        'billing_session.' || case tg_op when 'INSERT' then 'created'
                                         when 'UPDATE' then 'updated'
                                         else 'deleted' end,
        'tenon.billing_session', changed.id, changed.version,
        case when tg_op <> 'INSERT'
             then tenon.image(tg_relid, to_jsonb(old) - 'url') end,
        case when tg_op <> 'DELETE'
             then tenon.image(tg_relid, to_jsonb(new) - 'url') end,
        null, uuid_send(gen_random_uuid()));

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.log_billing_session() is
    'Trigger: logs a change of a billing session, but for its address: that is '
    'a key to it';

create trigger tenon_log
    after insert or update or delete on tenon.billing_session
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.log_billing_session();


-- Row security ---------------------------------------------------------------

alter table tenon.billing_session enable row level security,
                                  force  row level security;

create policy tenant on tenon.billing_session
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

-- Stripe repeats for three days what it tells of one, and a trial may be
-- between; longer than both it need not be known.
create policy purge on tenon.billing_session to tenon_worker
 using (created_at < now() - interval '30 days');

-- No other policy lets more of them be removed.
create policy purge_only on tenon.billing_session
    as restrictive for delete to tenon_worker
 using (created_at < now() - interval '30 days');

-- An address is forgotten when it is no good any more.
create policy over on tenon.billing_session
   for update to tenon_worker
 using (expires_at < now() and url is not null)
  with check (expires_at < now() and url is null);

create policy seen_over on tenon.billing_session
   for select to tenon_worker
 using (expires_at < now());

create function tenon.forget_pages(batch int)
returns bigint
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    n  bigint;
begin
    update tenon.billing_session s
       set url = null
     where s.ctid = any (array(select o.ctid
                                 from tenon.billing_session o
                                where o.expires_at < now()
                                  and o.url is not null
                                limit batch))
       and s.expires_at < now()
       and s.url is not null;

    get diagnostics n = row_count;
    return n;
end
$$;

comment on function tenon.forget_pages(int) is
    'Forgets the addresses of so many pages at most that are no good any '
    'more. Returns how many. Run it as tenon_worker';

revoke execute on function tenon.forget_pages(int) from public;
grant execute on function tenon.forget_pages(int) to tenon_worker;

insert into tenon.purge_rule (relation, condition)
values ('tenon.billing_session', $$created_at < now() - interval '30 days'$$);


-- Where a page may lead back to ----------------------------------------------

create function tenon.is_foreign_host(host text)
returns boolean
language sql stable
set search_path = pg_catalog
as $$
    select host is not null
           and not exists (select
                             from tenon.domain d
                            where d.tenant_id = tenon.current_tenant()
                              and d.domain    = host
                              and d.verified_at is not null)
$$;

comment on function tenon.is_foreign_host(text) is
    'Whether a host is none of the tenant''s verified domains; null is not '
    'asked about';

grant execute on function tenon.is_foreign_host(text) to tenon_api;


-- Grants ---------------------------------------------------------------------

grant select,
      insert (tenant_id, id, kind, plan, quantity, success_url, cancel_url,
              return_url, created_by)
   on tenon.billing_session
   to tenon_api;

grant select
   on tenon.billing_session_view,
      tenon.checkout_session_view,
      tenon.portal_session_view
   to tenon_api;

grant select,
      update (external_id, url, expires_at, version, updated_at),
      delete
   on tenon.billing_session
   to tenon_worker;

grant select (tenant_id, name, version, deleted_at)
   on tenon.tenant
   to tenon_worker;
