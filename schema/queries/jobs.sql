-- Jobs over the API. How a write goes tells the top of people.sql; what tenond
-- does with them is in work.sql.

-- A running one is left alone, and no lock of it waited for: tenond holds it
-- while it works.
-- fragment: job_found
seen as materialized (
       select j.*
         from idem
        cross join tenon.job j
        where idem.go and idem.fingerprint is null
          and j.tenant_id = :tenant::uuid and j.id = :id::uuid),
     locked as materialized (
       select j.*
         from seen
         join tenon.job j on j.tenant_id = :tenant::uuid and j.id = seen.id
        where seen.status <> 'running' and j.status <> 'running'
          for no key update of j),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when seen.id is null then 'not_found'
              when coalesce(l.version, seen.version)
                   <> all (:match::bigint[])
              then 'precondition_failed'
              when l.id is null
              then 'state_conflict: It is running; wait for its end.'

-- fragment: job_shown
shown as materialized (
       select done.id::text, done.kind::text, done.status::text,
              done.input::text, done.attempts::text, done.run_at::text,
              done.last_error::text, done.finished_at::text,
              done.version::text, done.created_at::text,
              done.updated_at::text
         from done
        cross join logged),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.kind, idem.outcome ->> 'kind') as kind,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       coalesce(shown.input, idem.outcome ->> 'input') as input,
       coalesce(shown.attempts, idem.outcome ->> 'attempts') as attempts,
       coalesce(shown.run_at, idem.outcome ->> 'run_at') as run_at,
       coalesce(shown.last_error, idem.outcome ->> 'last_error')
           as last_error,
       coalesce(shown.finished_at, idem.outcome ->> 'finished_at')
           as finished_at,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.updated_at, idem.outcome ->> 'updated_at')
           as updated_at,
       {{told}}

-- name: job_retry
with {{idem}},
     {{job_found}}
              when l.status = 'done'
              then 'state_conflict: It is done.'
              end as refused
         from idem
         left join seen on true
         left join locked l on true),
     done as (
       update tenon.job j
          set status = 'queued', attempts = 0, run_at = now(),
              finished_at = null, version = l.version + 1, updated_at = now()
         from verdict v, locked l
        where v.refused is null
          and j.tenant_id = :tenant::uuid and j.id = l.id
       returning j.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'job.retried', 'tenon.job', done.id,
                done.version,
                tenon.image('tenon.job'::regclass, to_jsonb(l)),
                tenon.image('tenon.job'::regclass, to_jsonb(done)),
                jsonb_build_object('kind', done.kind), :salt::bytea)
         from done
         join locked l on l.id = done.id),
     {{job_shown}};

-- name: job_cancel
with {{idem}},
     {{job_found}}
              when l.status <> 'queued'
              then 'state_conflict: It is ' || l.status || ' already.'
              end as refused
         from idem
         left join seen on true
         left join locked l on true),
     done as (
       update tenon.job j
          set status = 'canceled', finished_at = now(),
              version = l.version + 1, updated_at = now()
         from verdict v, locked l
        where v.refused is null
          and j.tenant_id = :tenant::uuid and j.id = l.id
       returning j.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'job.canceled', 'tenon.job', done.id,
                done.version,
                tenon.image('tenon.job'::regclass, to_jsonb(l)),
                tenon.image('tenon.job'::regclass, to_jsonb(done)),
                jsonb_build_object('kind', done.kind), :salt::bytea)
         from done
         join locked l on l.id = done.id),
     {{job_shown}};
