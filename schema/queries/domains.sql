-- Domains of a tenant's own. How a write goes tells the top of people.sql.

-- That another tenant has it is nobody's business here: whose it is shows when
-- it is verified.
-- name: domain_create
with {{idem}},
     {{here}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when exists (
                   select
                     from tenon.domain d
                    where d.tenant_id = :tenant::uuid
                      and d.domain = :domain::text)
              then 'duplicate /domain duplicate'
              when here.tenant_id is not null and tenon.domain_count() >= 100
              then 'limit_reached: There are 100 domains already: delete one '
                   || 'first.'
              end as refused,
              idem.go and idem.fingerprint is null as fresh
         from idem
         left join here on true),
     done as (
       insert into tenon.domain (tenant_id, id, domain, created_by)
       select :tenant::uuid, :id::uuid, :domain::text, :actor::uuid
         from verdict v
        where v.fresh and v.refused is null
       returning *),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'domain.created', 'tenon.domain', done.id,
                done.version, null,
                tenon.image('tenon.domain'::regclass, to_jsonb(done)),
                jsonb_build_object('domain', done.domain), :salt::bytea)
         from done),
     shown as materialized (
       select done.id::text, done.domain::text, 'pending' as status,
              json_build_object('name', '_tenon-challenge.' || done.domain,
                                'type', 'TXT',
                                'value', done.challenge)::text as challenge,
              done.verified_at::text, done.version::text,
              done.created_at::text, done.created_by::text
         from done
        cross join logged),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.domain, idem.outcome ->> 'domain') as domain,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       coalesce(shown.challenge, idem.outcome ->> 'challenge') as challenge,
       coalesce(shown.verified_at, idem.outcome ->> 'verified_at')
           as verified_at,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- The directory follows by a trigger. What was deleted meanwhile was not there.
-- name: domain_delete
with {{idem}},
     seen as materialized (
       select d.*
         from idem
        cross join tenon.domain d
        where idem.go and idem.fingerprint is null
          and d.tenant_id = :tenant::uuid and d.id = :id::uuid),
     done as (
       delete from tenon.domain d
        using seen
        where d.tenant_id = :tenant::uuid and d.id = seen.id
          and (d.version <> all (:match::bigint[])) is not true
       returning d.*),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null
                or done.id is not null then null
              when seen.version <> all (:match::bigint[])
              then 'precondition_failed'
              else 'not_found'
              end as refused
         from idem
         left join seen on true
         left join done on true),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'domain.deleted', 'tenon.domain', done.id,
                done.version,
                tenon.image('tenon.domain'::regclass, to_jsonb(done)), null,
                jsonb_build_object('domain', done.domain), :salt::bytea)
         from done),
     shown as materialized (
       select done.id::text
         from done
        cross join logged),
     {{kept}}
select v.refused, idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;
