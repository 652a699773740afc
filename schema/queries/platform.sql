-- The platform: its people see and run the tenants. Each function writes what
-- is the tenant's as the tenant, and refuses to be called from anywhere but
-- the platform. How a write goes tells the top of people.sql.

-- name: platform_tenant_create
with {{idem}},
     done as materialized (
       select made.*
         from idem
        cross join lateral tenon.platform_create_tenant(
                :id::uuid, :slug::text, :name::text, :user_realm::text,
                :owner_email::text, :owner_name::text, :event_id::uuid,
                :salt::bytea) made
        where idem.go and idem.fingerprint is null),
     shown as materialized (
       select done.tenant_id::text as id, done.name::text, done.slug::text,
              done.status::text, coalesce(:user_realm::text, 'shared') as user_realm,
              done.version::text, done.created_at::text,
              done.created_by::text, done.updated_at::text
         from done),
     {{kept}}
select null::text as refused,
       {{platform_tenant}},
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
  left join shown on true;

-- fragment: platform_tenant
coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.slug, idem.outcome ->> 'slug') as slug,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       coalesce(shown.user_realm, idem.outcome ->> 'user_realm')
           as user_realm,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       coalesce(shown.updated_at, idem.outcome ->> 'updated_at')
           as updated_at

-- fragment: platform_status_shown
shown as materialized (
       select (done.tenant).tenant_id::text as id, (done.tenant).name::text,
              (done.tenant).slug::text, (done.tenant).status::text,
              case when (done.tenant).realm_id
                        = '00000000-0000-7000-8000-000000000001'
                   then 'shared' else 'own' end as user_realm,
              (done.tenant).version::text, (done.tenant).created_at::text,
              (done.tenant).created_by::text, (done.tenant).updated_at::text
         from done
        where done.refused is null)

-- name: platform_tenant_suspend
with {{idem}},
     done as materialized (
       select changed.refused, changed.tenant
         from idem
        cross join lateral tenon.set_tenant_status(
                :id::uuid, 'suspended', :match::bigint[], :event_id::uuid,
                :salt::bytea) changed
        where idem.go and idem.fingerprint is null),
     {{platform_status_shown}},
     {{kept}}
select done.refused,
       {{platform_tenant}},
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
  left join done on true
  left join shown on true;

-- name: platform_tenant_reactivate
with {{idem}},
     done as materialized (
       select changed.refused, changed.tenant
         from idem
        cross join lateral tenon.set_tenant_status(
                :id::uuid, 'active', :match::bigint[], :event_id::uuid,
                :salt::bytea) changed
        where idem.go and idem.fingerprint is null),
     {{platform_status_shown}},
     {{kept}}
select done.refused,
       {{platform_tenant}},
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
  left join done on true
  left join shown on true;

-- name: platform_impersonate
select refused, realm_id, slug, tenant_name, email, name
  from tenon.impersonate(:id::uuid, :user_id::uuid, :session_id::uuid,
                         :seconds::int, :reason::text, :ip::text,
                         :user_agent::text, :event_id::uuid, :salt::bytea);
