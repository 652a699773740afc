-- Sign-up, login, logout, and what one sees of oneself.

-- name: signup
with home as (
       insert into tenon.realm (realm_id, name, kind)
       select :realm::uuid, :organization_slug::text, 'own'
        where :own_realm::boolean),
     -- Of nobody's that anybody knows: unverified, and a member nowhere.
     taken as materialized (
       select t.id, t.version
         from tenon.take_over(:realm::uuid, :email::text, :name::text,
                              :password_hash::text, false) t
        where not :own_realm::boolean),
     made as (
       insert into tenon."user" (realm_id, id, email, name, password_hash)
       select :realm::uuid, :user_id::uuid, :email::text, :name::text,
              :password_hash::text
        where not exists (select from taken)
       returning id, email, name),
     account as (
       select id, email, name
         from made
        union all
       select taken.id, :email::text, :name::text
         from taken),
     directory as (
       insert into tenon.tenant_slug (slug, tenant_id, realm_id)
       values (:organization_slug::text, :tenant::uuid, :realm::uuid)),
     organization as (
       insert into tenon.tenant (tenant_id, realm_id, name, slug, created_by)
       select :tenant::uuid, :realm::uuid, :organization_name::text,
              :organization_slug::text, account.id
         from account
       returning *),
     membership as (
       insert into tenon.member (tenant_id, id, realm_id, user_id, role,
                                 created_by)
       select :tenant::uuid, :member_id::uuid, :realm::uuid, account.id,
              'owner', account.id
         from account
       returning *),
     token as (
       insert into tenon.one_time (realm_id, id, tenant_id, user_id, purpose,
                                   email, expires_at)
       select :realm::uuid, :one_time_id::uuid, organization.tenant_id,
              account.id, 'verify', account.email, now() + interval '7 days'
         from account, organization),
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
                null, :member_salt::bytea) as member_event,
              (select tenon.log_event(
                        tenon.uuid7(), 'user.taken_over', 'tenon.user',
                        taken.id, taken.version, null, null, null,
                        uuid_send(gen_random_uuid()))
                 from taken) as taken_event
         from organization, membership)
select json_build_object('id', account.id, 'email', account.email,
                         'name', account.name) as "user",
       json_build_object('id', organization.tenant_id,
                         'name', organization.name,
                         'slug', organization.slug) as tenant,
       account.id as user_id
  from account, organization, logged;

-- One row for whoever asks: known or not, member or not. A deleted tenant has
-- no members.
-- name: login_find
select u.id, u.email, u.name, u.password_hash, m.role, t.name,
       f.user_id is not null as mfa,
       coalesce(a.locked_until > now(), false) as locked
  from (values (1)) always
  left join tenon.tenant t
         on t.tenant_id = :tenant::uuid and t.deleted_at is null
  left join tenon."user" u
         on u.realm_id = :realm::uuid and u.email = :email::text
        and u.deleted_at is null and u.status = 'active'
  left join tenon.member m
         on m.tenant_id = t.tenant_id and m.user_id = u.id
        and m.deleted_at is null
  left join tenon.totp f
         on f.realm_id = :realm::uuid and f.user_id = u.id
        and f.confirmed_at is not null
  left join tenon.login_attempt a
         on a.realm_id = :realm::uuid and a.key = :attempt_key::bytea;

-- No row: locked meanwhile. By a code, which ends the count of failures.
-- fragment: unlocked
attempt as (
       insert into tenon.login_attempt as a (realm_id, key, failures)
       values (:realm::uuid, :attempt_key::bytea, 0)
       on conflict (realm_id, key)
       do update set failures = 0, locked_until = null, last_at = now()
        where coalesce(a.locked_until <= now(), true)
       returning a.failures)

-- The same by a password where a code was not asked for: of who has a second
-- factor it ends no count, or codes could be guessed between passwords.
-- fragment: unlocked_by_password
attempt as (
       insert into tenon.login_attempt as a (realm_id, key, failures)
       values (:realm::uuid, :attempt_key::bytea, 0)
       on conflict (realm_id, key)
       do update set failures = case when tenon.has_factor(:realm::uuid,
                                                           :user_id::uuid)
                                     then a.failures else 0 end,
                     locked_until = null, last_at = now()
        where coalesce(a.locked_until <= now(), true)
       returning a.failures)

-- The user's row, held, with the password that was checked: who changes it
-- comes before or after, and then sees the session that is opened here. Always
-- behind the attempt's row.
-- fragment: same_person
person as materialized (
       select u.id, u.email, u.version
         from attempt
        cross join tenon."user" u
        where u.realm_id = :realm::uuid and u.id = :user_id::uuid
          and u.password_hash is not distinct from :password_hash::text
          and u.deleted_at is null and u.status = 'active'
          for no key update of u)

-- Nobody has more than a hundred in a tenant: `crowded` is what had to go for
-- this one.
-- fragment: new_session
opened as (
       {{session_row}}
         from admitted
         join tenon.member m on m.tenant_id = :tenant::uuid
                            and m.user_id = admitted.id
                            and m.deleted_at is null
       returning id, user_id),
     room as materialized (
       select opened.id,
              tenon.end_oldest(:realm::uuid, :tenant::uuid, opened.user_id)
                  as crowded
         from opened)

-- No row: the membership ended, the password was changed, a second factor came
-- into force or the identity was locked while the password was checked.
-- name: login_done
with {{unlocked_by_password}},
     {{same_person}},
     renewed as (
       update tenon."user" u
          set password_hash = :renewed_hash::text
         from person
        where :renewed_hash::text is not null
          and u.realm_id = :realm::uuid and u.id = person.id
       returning u.id),
     admitted as materialized (
       select person.id
         from person
        where not tenon.has_factor(:realm::uuid, person.id)),
     {{new_session}}
select tenon.log_event(:event_id::uuid, 'user.login', 'tenon.session',
                       opened.id, null, null, null,
                       case when renewed.id is not null
                            then jsonb_build_object('password_rehashed', true)
                        end, :salt::bytea) as event,
       opened.crowded
  from room opened
  left join renewed on true;

-- The password was right, and half the way: failures stay counted until the
-- code is right too, else one who knows the password could begin anew at will.
-- name: login_challenged
with attempt as (
       insert into tenon.login_attempt as a (realm_id, key, failures)
       values (:realm::uuid, :attempt_key::bytea, 0)
       on conflict (realm_id, key)
       do update set last_at = now()
        where coalesce(a.locked_until <= now(), true)
       returning a.failures),
     renewed as (
       update tenon."user" u
          set password_hash = :renewed_hash::text
         from attempt
        where :renewed_hash::text is not null
          and u.realm_id = :realm::uuid and u.id = :user_id::uuid
          and u.password_hash = :password_hash::text
       returning u.id)
select tenon.log_event(:event_id::uuid, 'user.mfa_challenged', 'tenon.user',
                       :user_id::uuid, null, null, null,
                       case when renewed.id is not null
                            then jsonb_build_object('password_rehashed', true)
                        end, :salt::bytea) as event,
       renewed.id is not null as renewed
  from attempt
  left join renewed on true;

-- The attempt is always counted, unless it comes during a lock; after a day
-- without any the count begins anew. The event is for those that are notable; a
-- lock has one of its own, the first ten of an identity and each hundredth
-- behind them. Whether anybody has the address makes no difference.
-- name: login_failed
with attempt as (
       insert into tenon.login_attempt as a (realm_id, key, failures)
       values (:realm::uuid, :attempt_key::bytea, 1)
       on conflict (realm_id, key)
       do update
          set (failures, locked_until) = (
                select n.failures,
                       case when n.locked then a.locked_until
                            else now() + tenon.lock_time(n.failures) end
                  from (select coalesce(a.locked_until > now(), false),
                               case when a.locked_until > now()
                                    then a.failures
                                    when a.last_at < now() - interval '1 day'
                                    then 1
                                    else a.failures + 1 end)
                       as n (locked, failures)),
              last_at = now()
       returning a.failures, a.locked_until)
select case when :metadata::jsonb is not null
            then tenon.log_event(
                   :event_id::uuid, :action::text, 'tenon.user',
                   :user_id::uuid, null, null, null, :metadata::jsonb,
                   :salt::bytea, 'failure')
        end as failed_event,
       case when attempt.locked_until
                 = now() + tenon.lock_time(attempt.failures)
             and (attempt.failures < 20 or attempt.failures % 100 = 0)
            then tenon.log_event(
                   tenon.uuid7(), 'user.locked_out', 'tenon.user',
                   :user_id::uuid, null, null, null,
                   jsonb_build_object('failures', attempt.failures,
                                      'locked_until', attempt.locked_until),
                   uuid_send(gen_random_uuid()), 'refused')
        end as locked_event
  from attempt;

-- Out of all that this sign-in opened; `tenants` is where there was more.
-- name: logout
with {{held_user}},
     closed as (
       update tenon.session s
          set revoked_at = now()
         from held
        where s.tenant_id = :tenant::uuid and s.id = :session::uuid
          and s.revoked_at is null
       returning s.id, coalesce(s.family, s.id) as family),
     logged as materialized (
       select closed.family,
              tenon.log_event(:event_id::uuid, 'user.logout', 'tenon.session',
                              closed.id, null, null, null, null,
                              :salt::bytea)
         from closed)
select (select string_agg(e::text, ',')
          from tenon.end_family(:realm::uuid, :actor::uuid,
                                array[logged.family], 'logout') as e)
           as tenants
  from logged;

-- One statement, whatever is shown: what one may do is known here already, as
-- each request is measured by it, and only passes through.
-- name: me
select u.id, u.email, u.name, m.role,
       json_build_object('id', t.tenant_id, 'name', t.name,
                         'slug', t.slug) as tenant,
       u.email_verified_at is not null as email_verified,
       f.user_id is not null as mfa_enabled,
       cardinality(f.recovery) as recovery_codes_left,
       :impersonator::uuid is not null as impersonated,
       :permissions::json as permissions,
       case when k.id is not null
            then json_build_object('id', k.id, 'name', k.name,
                                   'scopes', k.scopes) end as api_key,
       u.version + m.version + t.version + coalesce(k.version, 0)
           as version
  from tenon.member m
  join tenon."user" u on u.realm_id = m.realm_id and u.id = m.user_id
  join tenon.tenant t on t.tenant_id = m.tenant_id
  left join tenon.totp f on f.realm_id = u.realm_id and f.user_id = u.id
                        and f.confirmed_at is not null
  left join tenon.api_key k on k.tenant_id = m.tenant_id
                           and k.id = :api_key::uuid
 where m.tenant_id = :tenant::uuid and m.user_id = :actor::uuid
   and m.deleted_at is null;
