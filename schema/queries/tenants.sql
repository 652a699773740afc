-- Tenants: their own row, further ones, and the way from one to another. How a
-- write goes tells the top of people.sql.

-- name: tenant
select t.tenant_id as id, t.name, t.slug, t.status, t.version, t.created_at,
       t.created_by, t.updated_at
  from tenon.tenant t
 where t.tenant_id = :tenant::uuid and t.deleted_at is null;

-- name: tenant_update
with {{idem}},
     locked as materialized (
       select t.*
         from idem
        cross join tenon.tenant t
        where idem.go and idem.fingerprint is null
          and t.tenant_id = :tenant::uuid and t.deleted_at is null
          for no key update of t),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when l.tenant_id is null then 'not_found'
              when l.version <> all (:match::bigint[])
              then 'precondition_failed'
              end as refused
         from idem
         left join locked l on true),
     done as (
       update tenon.tenant t
          set name = :name::text, version = l.version + 1, updated_at = now()
         from verdict v, locked l
        where v.refused is null and l.name <> :name::text
          and t.tenant_id = :tenant::uuid and t.tenant_id = l.tenant_id
       returning t.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'tenant.updated', 'tenon.tenant',
                done.tenant_id, done.version,
                tenon.image('tenon.tenant'::regclass, to_jsonb(l)),
                tenon.image('tenon.tenant'::regclass, to_jsonb(done)),
                null, :salt::bytea)
         from done
        cross join locked l),
     shown as materialized (
       select l.tenant_id::text as id,
              coalesce(done.name, l.name)::text as name, l.slug::text,
              l.status::text,
              coalesce(done.version, l.version)::text as version,
              l.created_at::text, l.created_by::text,
              coalesce(done.updated_at, l.updated_at)::text as updated_at
         from verdict v
        cross join locked l
         left join done on true
         left join logged on true
        where v.refused is null),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.slug, idem.outcome ->> 'slug') as slug,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       coalesce(shown.updated_at, idem.outcome ->> 'updated_at')
           as updated_at,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- The slug stays taken, and every session ends with the tenant; the newest are
-- marked as ended, so many that it can always be done. Not those that somebody
-- else holds at this moment: who ends a person's sessions everywhere and who
-- ends everybody's here would each wait for the other.
-- name: tenant_delete
with {{idem}},
     locked as materialized (
       select t.*
         from idem
        cross join tenon.tenant t
        where idem.go and idem.fingerprint is null
          and t.tenant_id = :tenant::uuid and t.deleted_at is null
          for no key update of t),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when l.tenant_id is null then 'not_found'
              when l.version <> all (:match::bigint[])
              then 'precondition_failed'
              end as refused
         from idem
         left join locked l on true),
     done as (
       update tenon.tenant t
          set deleted_at = now(), version = l.version + 1, updated_at = now()
         from verdict v, locked l
        where v.refused is null
          and t.tenant_id = :tenant::uuid and t.tenant_id = l.tenant_id
       returning t.tenant_id, t.version),
     newest as materialized (
       select s.id
         from done
        cross join lateral (
              select s.id
                from tenon.session s
               where s.tenant_id = :tenant::uuid and s.revoked_at is null
               order by s.id desc
               limit 10000
                 for no key update of s skip locked) s),
     closed as (
       update tenon.session s
          set revoked_at = now()
         from newest
        where s.tenant_id = :tenant::uuid and s.id = newest.id
       returning s.id),
     -- The directory follows by a trigger: others may have them.
     released as (
       delete from tenon.domain d
        using done
        where d.tenant_id = :tenant::uuid
       returning d.*),
     given_up as materialized (
       select count(tenon.log_event(
                tenon.uuid7(), 'domain.deleted', 'tenon.domain', d.id,
                d.version,
                tenon.image('tenon.domain'::regclass, to_jsonb(d)), null,
                jsonb_build_object('domain', d.domain,
                                   'reason', 'tenant_deleted'),
                uuid_send(gen_random_uuid()))) as n
         from released d),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'tenant.deleted', 'tenon.tenant',
                done.tenant_id, done.version,
                tenon.image('tenon.tenant'::regclass, to_jsonb(l)), null,
                jsonb_build_object('sessions',
                                   (select count(*) from closed),
                                   'domains', g.n),
                :salt::bytea)
         from done
        cross join locked l
        cross join given_up g),
     shown as materialized (
       select done.tenant_id::text as id
         from done
        cross join logged),
     {{kept}}
select v.refused, idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- The new tenant's rows and events are its own; what is kept of the request
-- is the tenant's that asked. The user's row, held, lets nobody found two at a
-- time: they are counted behind it.
-- name: tenant_create
with {{idem}},
     {{proof}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when {{unproven}}
              when exists (
                   select
                     from tenon.realm r
                    where r.realm_id = :realm::uuid and r.kind = 'own')
              then 'own_realm'
              else tenon.founding_refused(:realm::uuid, held.id)
              end as refused
         from idem
         left join held on true),
     done as materialized (
       select made.*
         from idem
        cross join verdict v
        cross join lateral tenon.create_tenant(
                :id::uuid, :realm::uuid, :slug::text, :name::text,
                :actor::uuid, tenon.uuid7(), :event_id::uuid, :salt::bytea,
                tenon.uuid7(), uuid_send(gen_random_uuid())) made
        where idem.go and idem.fingerprint is null and v.refused is null),
     shown as materialized (
       select done.tenant_id::text as id, done.name::text, done.slug::text,
              done.status::text, done.version::text, done.created_at::text,
              done.created_by::text, done.updated_at::text
         from done),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.slug, idem.outcome ->> 'slug') as slug,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       coalesce(shown.updated_at, idem.outcome ->> 'updated_at')
           as updated_at,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- No row: the session that asks has ended, though this node may not know it
-- yet. A row without a tenant: there is none of the user's by that name.
-- name: switch_find
select t.tenant_id, t.realm_id, t.slug, t.name, t.status, u.email,
       u.name as user_name, s.expires_at::text,
       greatest(extract(epoch from s.expires_at - now()), 1)::bigint as lasts,
       coalesce(s.family, s.id) as family, s.mfa,
       {{is_proven}} as proven
  from tenon.find_session(:tenant::uuid, :session::uuid) asking
  join tenon.session s on s.tenant_id = :tenant::uuid
                      and s.id = :session::uuid
  join tenon."user" u on u.realm_id = :realm::uuid and u.id = :actor::uuid
  left join tenon.find_membership(:realm::uuid, :actor::uuid,
                                  :tenant_ref::text) t on true;

-- It ends with the one that asked at the latest: no way of going to and fro
-- makes a session longer. None is opened where the membership ended meanwhile.
-- The user's row, held, orders this with whoever ends all sessions of theirs: the
-- one that asks must still be there behind it.
-- name: switch_done
with person as materialized (
       select u.id
         from tenon."user" u
        where u.realm_id = :realm::uuid and u.id = :actor::uuid
          for no key update of u),
     admitted as materialized (
       select f.user_id as id
         from person
        cross join lateral tenon.find_session(
                :from_tenant::uuid,
                case when person.id = :actor::uuid
                     then :from_session::uuid end) f),
     {{new_session}}
select tenon.log_event(:event_id::uuid, 'user.switched_tenant',
                       'tenon.session', opened.id, null, null, null, null,
                       :salt::bytea) as event,
       opened.crowded
  from room opened;
