-- 0023_jobs.sql: work that is done apart from requests, by tenond.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0023_jobs.sql


-- Jobs -----------------------------------------------------------------------

create table tenon.job (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    kind         text        collate "C" not null,
    key          text        collate "C",
    status       text        collate "C" not null default 'queued',
    input        jsonb       not null default '{}',
    attempts     int         not null default 0,
    run_at       timestamptz not null default now(),
    lease_until  timestamptz,
    last_error   text        collate "C",
    finished_at  timestamptz,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),

    primary key (tenant_id, id),

    constraint job_status_set
         check (status in ('queued', 'running', 'done', 'dead', 'canceled')),
    constraint job_lease_held
         check ((status = 'running') = (lease_until is not null)),
    constraint job_finished
         check ((status in ('done', 'dead', 'canceled'))
                = (finished_at is not null)),
    constraint job_kind_format
         check (kind ~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)*$'
                and length(kind) <= 63),
    constraint job_error_length
         check (length(last_error) <= 1000)
)
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);

create unique index job_once_key on tenon.job (tenant_id, kind, key)
 where key is not null;

create index job_list   on tenon.job (tenant_id, created_at, id);
create index job_status on tenon.job (tenant_id, status, created_at, id);

create index job_due on tenon.job (run_at) where status = 'queued';

-- Not on lease_until: it is prolonged with each batch, and no index need know.
-- There are few that run.
create index job_lease on tenon.job (kind) where status = 'running';

create index job_over  on tenon.job (finished_at)
 where finished_at is not null;

comment on table tenon.job is
    'tenant: a piece of work that tenond does; those of the platform and of '
    'its schedule are the platform tenant''s';
comment on column tenon.job.kind is
    'What is to be done: a row of the table of kinds in libtenon; a tenond '
    'that doesn''t know it leaves the job alone';
comment on column tenon.job.key is
    'Of several jobs of a kind with one key there is one only: a scheduled '
    'one''s is its period; null: none';
comment on column tenon.job.input is
    'What it is about: ids, never secrets';
comment on column tenon.job.attempts is
    'How often it was begun since it was made, or retried by hand';
comment on column tenon.job.run_at is
    'Not before then';
comment on column tenon.job.lease_until is
    'While it runs: who does it is taken for dead from then on, and another '
    'takes it';
comment on column tenon.job.version is
    'Changes with every claim: what is done under an older one doesn''t count';


-- Changes that don't come through the API ------------------------------------
--
-- tenond's own steps are the job's life and no news; that it gave up is.

create trigger tenon_touch
    before update on tenon.job
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.job
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.log_change('tenon.job');

create trigger tenon_log_dead
    after update of status on tenon.job
    for each row when (current_user = 'tenon_worker' and new.status = 'dead')
    execute function tenon.log_change('tenon.job');


-- Row security ---------------------------------------------------------------

alter table tenon.job enable row level security,
                      force  row level security;

create policy tenant on tenon.job
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

-- Whose job it is shows when it is claimed.
create policy worker on tenon.job to tenon_worker
     using (true)
with check (true);

-- No other policy lets more of them be removed: not that of the tenant whose
-- job it is at.
create policy purge on tenon.job as restrictive for delete to tenon_worker
 using (finished_at < now() - interval '30 days');


-- Grants ---------------------------------------------------------------------

grant select,
      update (status, attempts, run_at, last_error, finished_at, version,
              updated_at)
   on tenon.job
   to tenon_api;

grant select,
      insert (tenant_id, id, kind, key),
      update (status, attempts, run_at, lease_until, last_error, finished_at,
              version, updated_at),
      delete
   on tenon.job
   to tenon_worker;


-- One attempt ----------------------------------------------------------------

create function tenon.hold_job(tenant uuid, job uuid, claim bigint, lease int)
returns void
language plpgsql volatile
set search_path = pg_catalog
as $$
begin
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

    perform set_config('tenon.tenant',     tenant::text, true),
            set_config('tenon.actor',      '',           true),
            set_config('tenon.request_id', '',           true),
            set_config('tenon.ip',         '',           true),
            set_config('tenon.user_agent', '',           true);
end
$$;

comment on function tenon.hold_job(uuid, uuid, bigint, int) is
    'What every batch of a job begins with: fails, and the batch with it, '
    'unless the job is still running under this claim; holds it until the '
    'batch is committed; prolongs its lease by so many seconds (null: leaves '
    'it); sets the tenant''s context';

grant execute on function tenon.uuid7() to tenon_worker;
grant select  on tenon.migration        to tenon_worker;

revoke execute on function tenon.hold_job(uuid, uuid, bigint, int) from public;
grant  execute on function tenon.hold_job(uuid, uuid, bigint, int)
    to tenon_worker;


-- Permissions ----------------------------------------------------------------

insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from (values ('tenon.job:read',   null),
               ('tenon.job:update', 'admin')) as p (name, but)
 cross join (values ('owner'), ('super_admin'), ('tenant_admin'),
                    ('admin')) as r (role)
 where r.role is distinct from p.but;


-- Purge ----------------------------------------------------------------------

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

    return gone + n;
end
$$;

comment on function tenon.purge(int) is
    'Removes what has run out, so many rows of each kind at most: outcomes of '
    'Idempotency-Keys after a day; after thirty failed sign-ins, one-time '
    'tokens, ended sessions, API keys that were revoked or expired, '
    'invitations that were accepted, revoked or expired, what is deleted of '
    'shares, roles in accounts and roles of a tenant''s own, second factors '
    'that were never confirmed, jobs that are over. Returns how many. Run it '
    'as tenon_worker until that is 0';
