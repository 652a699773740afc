-- Sign-up, login, logout, and what one sees of oneself.

-- name: signup
with account as (
       insert into tenon."user" (realm_id, id, email, name, password_hash)
       values (:realm::uuid, :user_id::uuid, :email::text, :name::text,
               :password_hash::text)
       returning id, email, name),
     directory as (
       insert into tenon.tenant_slug (slug, tenant_id, realm_id)
       values (:organization_slug::text, :tenant::uuid, :realm::uuid)),
     organization as (
       insert into tenon.tenant (tenant_id, realm_id, name, slug, created_by)
       values (:tenant::uuid, :realm::uuid, :organization_name::text,
               :organization_slug::text, :user_id::uuid)
       returning *),
     membership as (
       insert into tenon.member (tenant_id, id, realm_id, user_id, role,
                                 created_by)
       values (:tenant::uuid, :member_id::uuid, :realm::uuid, :user_id::uuid,
               'owner', :user_id::uuid)
       returning *),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'tenant.created', 'tenon.tenant',
                organization.tenant_id, organization.version, null,
                tenon.image('tenon.tenant'::regclass, to_jsonb(organization)),
                null, :salt::bytea) as tenant_event,
              tenon.log_event(
                :member_event_id::uuid, 'member.created', 'tenon.member',
                membership.id, membership.version, null,
                tenon.image('tenon.member'::regclass, to_jsonb(membership)),
                null, :member_salt::bytea) as member_event
         from organization, membership)
select json_build_object('id', account.id, 'email', account.email,
                         'name', account.name) as "user",
       json_build_object('id', organization.tenant_id,
                         'name', organization.name,
                         'slug', organization.slug) as tenant
  from account, organization, logged;

-- One row for whoever asks: known or not, member or not. A deleted tenant has
-- no members.
-- name: login_find
select u.id, u.email, u.name, u.password_hash, m.role, t.name
  from (values (1)) always
  left join tenon.tenant t
         on t.tenant_id = :tenant::uuid and t.deleted_at is null
  left join tenon."user" u
         on u.realm_id = :realm::uuid and u.email = :email::text
        and u.deleted_at is null and u.status = 'active'
  left join tenon.member m
         on m.tenant_id = t.tenant_id and m.user_id = u.id
        and m.deleted_at is null;

-- No row: the membership ended while the password was checked.
-- name: login_done
with attempt as (
       insert into tenon.login_attempt (realm_id, key, failures)
       values (:realm::uuid, :attempt_key::bytea, 0)
       on conflict (realm_id, key)
       do update set failures = 0, last_at = now()
       returning failures),
     opened as (
       insert into tenon.session (tenant_id, id, realm_id, user_id,
                                  expires_at, ip, user_agent)
       select :tenant::uuid, :session_id::uuid, :realm::uuid, :user_id::uuid,
              now() + make_interval(secs => :session_ttl::double precision),
              :ip::text, :user_agent::text
         from attempt
         join tenon.member m on m.tenant_id = :tenant::uuid
                            and m.user_id = :user_id::uuid
                            and m.deleted_at is null
       returning id)
select tenon.log_event(:event_id::uuid, 'user.login', 'tenon.session',
                       opened.id, null, null, null, null, :salt::bytea)
  from opened;

-- The attempt is always counted, the event is for those that are notable.
-- name: login_failed
with attempt as (
       insert into tenon.login_attempt (realm_id, key, failures)
       values (:realm::uuid, :attempt_key::bytea, 1)
       on conflict (realm_id, key)
       do update set failures = login_attempt.failures + 1, last_at = now()
       returning failures)
select tenon.log_event(:event_id::uuid, 'user.login', 'tenon.user',
                       :user_id::uuid, null, null, null, :metadata::jsonb,
                       :salt::bytea, 'failure')
  from attempt
 where :metadata::jsonb is not null;

-- name: logout
with closed as (
       update tenon.session
          set revoked_at = now()
        where tenant_id = :tenant::uuid and id = :session::uuid
          and revoked_at is null
       returning id)
select tenon.log_event(:event_id::uuid, 'user.logout', 'tenon.session',
                       closed.id, null, null, null, null, :salt::bytea)
  from closed;

-- name: me
select u.id, u.email, u.name, m.role,
       json_build_object('id', t.tenant_id, 'name', t.name,
                         'slug', t.slug) as tenant,
       u.version || '.' || m.version || '.' || t.version as version
  from tenon.member m
  join tenon."user" u on u.realm_id = m.realm_id and u.id = m.user_id
  join tenon.tenant t on t.tenant_id = m.tenant_id
 where m.tenant_id = :tenant::uuid and m.user_id = :actor::uuid
   and m.deleted_at is null;
