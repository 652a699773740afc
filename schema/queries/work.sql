-- What tenond runs, as tenon_worker. nginx's workers prepare the statements of
-- all other files ahead, but not those of work*.sql: tenon_api may not run them.

-- What a schedule asks for: one job for each period, whoever comes first, and
-- none while one of the kind is at it or has its turn within a period: it would
-- do the same work. An index serves each question.
-- name: job_plan
insert into tenon.job (tenant_id, kind, key)
select '00000000-0000-7000-8000-000000000002', :kind::text,
       (extract(epoch from now())::bigint / :every::bigint)::text
 where not exists (select
                     from tenon.job j
                    where j.tenant_id = '00000000-0000-7000-8000-000000000002'
                      and j.kind      = :kind::text
                      and j.status    = 'queued'
                      and j.run_at    < now() + :every::bigint
                                                * interval '1 second')
   and not exists (select
                     from tenon.job j
                    where j.tenant_id = '00000000-0000-7000-8000-000000000002'
                      and j.kind      = :kind::text
                      and j.status    = 'running')
    on conflict (tenant_id, kind, key) where key is not null do nothing
returning id::text;

-- What is due, and what somebody took and didn't end in time. By ctid: where
-- the planner knows little of the table, a join would read all of it. What was
-- changed since this statement began isn't found by it, and waits for the next.
-- Of what is due the kind comes first of which the fewest are running: so a
-- crowd of one kind doesn't keep the others waiting.
-- name: job_claim
with overdue as materialized (
       select j.ctid as place
         from tenon.job j
        where j.status = 'running' and j.lease_until < now()
          and j.kind = any (:kinds::text[])
        order by j.lease_until
        limit :n::int
          for update skip locked),
     running as materialized (
       select j.kind, count(*) as n
         from tenon.job j
        where j.status = 'running'
        group by j.kind),
     first as materialized (
       select j.place, j.run_at,
              coalesce(r.n, 0) + row_number() over (
                partition by k.kind order by j.run_at) as turn
         from unnest(:kinds::text[]) as k (kind)
         left join running r on r.kind = k.kind
        cross join lateral (
              select j.ctid as place, j.run_at
                from tenon.job j
               where j.status = 'queued' and j.run_at <= now()
                 and j.kind = k.kind
               order by j.run_at
               limit :n::int
                 for update skip locked) j),
     due as materialized (
       select f.place
         from first f
        order by f.turn, f.run_at
        limit greatest(:n::int - (select count(*) from overdue), 0))
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

-- In the tenant's context that a step has named, else in the job's own.
-- name: job_hold
select tenon.hold_job(:tenant::uuid, :id::uuid, :version::bigint,
                      :lease::int, :acting::uuid);

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
select (tenon.purge(1000) + tenon.forget_pages(1000))::text as gone;

-- Of the month behind the one that is named, or of the first.
-- name: usage_roll_up
select tenant::text, meter, begins::text, counted::text
  from tenon.roll_up_usage(:after_tenant::uuid, :after_meter::text,
                           :after_begins::timestamptz);
