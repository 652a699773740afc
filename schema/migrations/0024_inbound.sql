-- 0024_inbound.sql: events that others send in, stored as they came.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0024_inbound.sql


-- The job that works on an event is made with it -----------------------------

grant insert (tenant_id, id, kind, input) on tenon.job to tenon_api;


-- Events that came in --------------------------------------------------------

create table tenon.inbound_event (
    tenant_id     uuid        not null references tenon.tenant,
    id            uuid        not null,
    provider      text        collate "C" not null,
    external_id   text        collate "C" not null,
    type          text        collate "C" not null,
    body          text        not null,
    status        text        collate "C" not null default 'received',
    received_at   timestamptz not null default now(),
    processed_at  timestamptz,

    primary key (tenant_id, id),

    -- The same one again is no other.
    constraint inbound_event_external unique (tenant_id, provider,
                                              external_id),

    constraint inbound_event_provider_set check (provider in ('stripe')),
    constraint inbound_event_status_set
         check (status in ('received', 'processed', 'failed')),
    constraint inbound_event_processed
         check ((status = 'received') = (processed_at is null))
);

create index inbound_event_over on tenon.inbound_event (processed_at)
 where processed_at is not null;

comment on table tenon.inbound_event is
    'tenant: an event that somebody else has sent and signed; the platform''s, '
    'whichever tenant it will turn out to be about';
comment on column tenon.inbound_event.external_id is
    'The sender''s id of it, by which a repetition is known';
comment on column tenon.inbound_event.type is
    'What the sender calls it: checkout.session.completed';
comment on column tenon.inbound_event.body is
    'The very text that was signed; it is JSON, so ::jsonb reads it';
comment on column tenon.inbound_event.status is
    'received until its job is done with it; failed: the job gave it up';

alter table tenon.inbound_event enable row level security,
                                force  row level security;

create policy tenant on tenon.inbound_event
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

grant insert (tenant_id, id, provider, external_id, type, body),
      select (tenant_id, id, provider, external_id, type)
   on tenon.inbound_event
   to tenon_api;

create function tenon.log_inbound()
returns trigger
language plpgsql
-- So whoever changes a row logs it, and can't log what didn't happen.
security definer
set search_path = pg_catalog
as $$
declare
    changed  tenon.inbound_event := coalesce(new, old);
    kept     text := current_setting('tenon.tenant', true);
begin
    perform set_config('tenon.tenant', changed.tenant_id::text, true);

    perform tenon.log_event(
        tenon.uuid7(),
        'inbound_event.' || case tg_op when 'INSERT' then 'created'
                                       when 'UPDATE' then 'updated'
                                       else 'deleted' end,
        'tenon.inbound_event', changed.id, null,
        case when tg_op <> 'INSERT'
             then tenon.image(tg_relid, to_jsonb(old) - 'body') end,
        case when tg_op <> 'DELETE'
             then tenon.image(tg_relid, to_jsonb(new) - 'body') end,
        null, uuid_send(gen_random_uuid()));

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.log_inbound() is
    'Trigger: logs a change of an event that came in, but for what is in it: '
    'that may be of people whom its sender knows';

-- What a job does with it is the job's to log.
create trigger tenon_log
    after insert or update or delete on tenon.inbound_event
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.log_inbound();


-- Purge ----------------------------------------------------------------------

create policy purge on tenon.inbound_event to tenon_worker
 using (processed_at < now() - interval '90 days');

grant select (ctid, processed_at),
      delete
   on tenon.inbound_event
   to tenon_worker;

create or replace function tenon.purge(batch int default 10000)
returns bigint
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    n     bigint;
    gone  bigint := 0;
begin
    -- The conditions stand outside again: a row that was renewed meanwhile is
    -- looked at once more, by them alone.
    delete from tenon.idempotency
     where ctid = any (array(select i.ctid
                               from tenon.idempotency i
                              where i.at < now() - interval '24 hours'
                              limit batch))
       and at < now() - interval '24 hours';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.login_attempt
     where ctid = any (array(select a.ctid
                               from tenon.login_attempt a
                              where a.last_at < now() - interval '30 days'
                              limit batch))
       and last_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.one_time
     where ctid = any (array(select o.ctid
                               from tenon.one_time o
                              where o.expires_at < now() - interval '30 days'
                              limit batch))
       and expires_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    -- Secrets go with their key.
    delete from tenon.api_key
     where ctid = any (array(select k.ctid
                               from tenon.api_key k
                              where least(k.expires_at, k.deleted_at)
                                    < now() - interval '30 days'
                              limit batch))
       and least(expires_at, deleted_at) < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.invitation
     where ctid = any (array(select i.ctid
                               from tenon.invitation i
                              where least(i.expires_at, i.accepted_at,
                                          i.deleted_at)
                                    < now() - interval '30 days'
                              limit batch))
       and least(expires_at, accepted_at, deleted_at)
           < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.share
     where ctid = any (array(select s.ctid
                               from tenon.share s
                              where s.deleted_at < now() - interval '30 days'
                              limit batch))
       and deleted_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.account_member
     where ctid = any (array(select h.ctid
                               from tenon.account_member h
                              where h.deleted_at < now() - interval '30 days'
                              limit batch))
       and deleted_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.tenant_role
     where ctid = any (array(select r.ctid
                               from tenon.tenant_role r
                              where r.deleted_at < now() - interval '30 days'
                              limit batch))
       and deleted_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.totp
     where ctid = any (array(select f.ctid
                               from tenon.totp f
                              where f.confirmed_at is null
                                and f.created_at < now() - interval '30 days'
                              limit batch))
       and confirmed_at is null
       and created_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.session
     where ctid = any (array(select s.ctid
                               from tenon.session s
                              where least(s.expires_at, s.revoked_at)
                                    < now() - interval '30 days'
                              limit batch))
       and least(expires_at, revoked_at) < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.job
     where ctid = any (array(select j.ctid
                               from tenon.job j
                              where j.finished_at < now() - interval '30 days'
                              limit batch))
       and finished_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    -- Longer than any sender repeats one: until then it is known again.
    delete from tenon.inbound_event
     where ctid = any (array(select e.ctid
                               from tenon.inbound_event e
                              where e.processed_at < now()
                                                     - interval '90 days'
                              limit batch))
       and processed_at < now() - interval '90 days';
    get diagnostics n = row_count;

    return gone + n;
end
$$;

comment on function tenon.purge(int) is
    'Removes what has run out, so many rows of each kind at most: outcomes of '
    'Idempotency-Keys after a day; after thirty failed sign-ins, one-time '
    'tokens, ended sessions, API keys that were revoked or expired, '
    'invitations that were accepted, revoked or expired, what is deleted of '
    'shares, roles in accounts and roles of a tenant''s own, second factors '
    'that were never confirmed, jobs that are over; after ninety, events that '
    'came in and were worked on. Returns how many. Run it as tenon_worker '
    'until that is 0';
