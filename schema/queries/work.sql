-- What tenond runs, as tenon_worker. nginx's workers prepare the statements of
-- all other files ahead, but not those of work*.sql: tenon_api may not run them.

-- What a schedule asks for: one job for each period, whoever comes first.
-- name: job_plan
insert into tenon.job (tenant_id, kind, key)
values ('00000000-0000-7000-8000-000000000002', :kind::text,
        (extract(epoch from now())::bigint / :every::bigint)::text)
    on conflict (tenant_id, kind, key) where key is not null do nothing
returning id::text;

-- What is due, and what somebody took and didn't end in time. By ctid: where
-- the planner knows little of the table, a join would read all of it. What was
-- changed since this statement began isn't found by it, and waits for the next.
-- name: job_claim
with overdue as materialized (
       select j.ctid as place
         from tenon.job j
        where j.status = 'running' and j.lease_until < now()
          and j.kind = any (:kinds::text[])
        order by j.lease_until
        limit :n::int
          for update skip locked),
     due as materialized (
       select j.ctid as place
         from tenon.job j
        where j.status = 'queued' and j.run_at <= now()
          and j.kind = any (:kinds::text[])
        order by j.run_at
        limit greatest(:n::int - (select count(*) from overdue), 0)
          for update skip locked)
update tenon.job j
   set status = 'running', attempts = j.attempts + 1,
       lease_until = now() + :lease::int * interval '1 second',
       version = j.version + 1, updated_at = now()
 where j.ctid = any (array(select place from overdue
                           union all
                           select place from due))
   and j.status in ('queued', 'running')
returning j.tenant_id::text, j.id::text, j.kind, j.version::text,
          j.attempts::text, j.input::text;

-- Claimed and not begun: as if it had never been taken.
-- name: job_release
update tenon.job j
   set status = 'queued', attempts = j.attempts - 1, lease_until = null,
       version = j.version + 1, updated_at = now()
  from unnest(:tenants::uuid[], :ids::uuid[], :versions::bigint[])
       as r (tenant_id, id, version)
 where j.tenant_id = r.tenant_id and j.id = r.id and j.version = r.version
   and j.status = 'running'
returning j.id::text;

-- name: job_hold
select tenon.hold_job(:tenant::uuid, :id::uuid, :version::bigint,
                      :lease::int);

-- In the batch that has done it: both are committed, or neither.
-- name: job_done
update tenon.job j
   set status = 'done', lease_until = null, last_error = null,
       finished_at = now(), version = j.version + 1, updated_at = now()
 where j.tenant_id = :tenant::uuid and j.id = :id::uuid
   and j.version = :version::bigint and j.status = 'running'
returning j.status;

-- Again after so many milliseconds; null: never.
-- name: job_failed
update tenon.job j
   set status = case when :delay::bigint is null then 'dead'
                     else 'queued' end,
       run_at = case when :delay::bigint is null then j.run_at
                     else now() + :delay::bigint * interval '1 millisecond'
                end,
       finished_at = case when :delay::bigint is null then now() end,
       lease_until = null, last_error = left(:error::text, 1000),
       version = j.version + 1, updated_at = now()
 where j.tenant_id = :tenant::uuid and j.id = :id::uuid
   and j.version = :version::bigint and j.status = 'running'
returning j.status;

-- name: job_purge
select tenon.purge(1000)::text as gone;
