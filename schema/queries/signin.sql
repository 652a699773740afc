-- What stands around a password: addresses that are verified, one-time tokens,
-- the second factor. The fragments are in identity.sql.

-- A token more for an address; those before it are void, those too that were
-- made while this waited for the person's row. Held are always, in this order:
-- the attempt's row, the person's, tokens'.
-- fragment: void_tokens
voided as materialized (
       select o.id, o.tenant_id, o.email, o.expires_at
         from person
        cross join lateral tenon.void_tokens(:realm::uuid, person.id,
                                             :purpose::text) o),
     cleared as materialized (
       select count(*) as n
         from voided)

-- name: email_resend
with person as materialized (
       select u.id, u.email
         from tenon."user" u
        where u.realm_id = :realm::uuid and u.id = :actor::uuid
          and u.email_verified_at is null and u.deleted_at is null
          for no key update of u),
     {{void_tokens}},
     done as (
       insert into tenon.one_time (realm_id, id, tenant_id, user_id, purpose,
                                   email, expires_at)
       select :realm::uuid, :one_time_id::uuid, :tenant::uuid, person.id,
              :purpose::text, person.email, now() + interval '7 days'
         from person
        cross join cleared
       returning user_id)
select tenon.log_event(:event_id::uuid, 'user.verification_requested',
                       'tenon.user', done.user_id, null, null, null, null,
                       :salt::bytea)
  from done;

-- Before an address is verified: whose it is. No row: there is no such token
-- here. `live` is false of one that was used, replaced or has expired, and of
-- one whose address is its user's no more.
-- name: verify_find
select o.used_at is null and o.expires_at > now() and u.id is not null as live,
       u.id, u.email, u.password_hash
  from tenon.one_time o
  left join tenon."user" u
         on u.realm_id = :realm::uuid and u.id = o.user_id
        and u.email = o.email and u.status = 'active'
        and u.deleted_at is null
 where o.realm_id = :realm::uuid and o.id = :one_time_id::uuid
   and o.tenant_id = :tenant::uuid and o.purpose = :purpose::text;

-- The person's row is held before any of a token: the one that is used must be
-- among those that this voids, so it counts once.
-- fragment: verified
{{void_tokens}},
     done as (
       update tenon."user" u
          set email_verified_at = coalesce(u.email_verified_at, now()),
              version = person.version + 1, updated_at = now()
         from person
         join voided v on v.id = :one_time_id::uuid
                      and v.tenant_id = :tenant::uuid
                      and v.email = person.email and v.expires_at > now()
        where u.realm_id = :realm::uuid and u.id = person.id
       returning u.id, u.version),
     logged as (
       select tenon.log_event(:event_id::uuid, 'user.email_verified',
                              'tenon.user', done.id, done.version, null, null,
                              null, :salt::bytea)
         from done)
select done.id is not null as live
  from person
  left join done on true
  left join logged on true

-- By whoever is signed in as the person. No row: they are nobody any more.
-- name: email_verify
with person as materialized (
       select u.id, u.email, u.version
         from tenon."user" u
        where u.realm_id = :realm::uuid and u.id = :actor::uuid
          and u.deleted_at is null and u.status = 'active'
          for no key update of u),
     {{verified}};

-- By the password. No row: locked, or the password is another by now.
-- name: email_verify_by_password
with {{unlocked_by_password}},
     {{same_person}},
     {{verified}};

-- Whoever is asked for, a row is written: a new one, or of an address that is
-- nobody's the one that it shares with others of its kind (:nobody_id), so that
-- asking for many leaves few. The event is for those that are notable. On the
-- base domain (:realm_wide) it is for everybody of the realm, else for members.
-- name: password_forgot
with known as materialized (
       select u.id, u.email
         from tenon."user" u
        where u.realm_id = :realm::uuid and u.email = :email::text
          and u.deleted_at is null and u.status = 'active'
          and (:realm_wide::boolean
               or exists (select
                            from tenon.member m
                           where m.tenant_id = :tenant::uuid
                             and m.user_id = u.id
                             and m.deleted_at is null))
          for no key update of u),
     person as materialized (
       select known.id, known.email
         from (values (1)) always
         left join known on true),
     {{void_tokens}},
     done as (
       insert into tenon.one_time (realm_id, id, tenant_id, user_id, purpose,
                                   email, expires_at)
       select :realm::uuid,
              case when person.id is null then :nobody_id::uuid
                   else :one_time_id::uuid end,
              :tenant::uuid, person.id, :purpose::text, person.email,
              now() + interval '1 hour'
         from person
        cross join cleared
           on conflict (realm_id, id) do update
          set created_at = now(), expires_at = excluded.expires_at
       returning user_id)
select case when :metadata::jsonb is not null
            then tenon.log_event(:event_id::uuid, 'user.reset_requested',
                                 'tenon.user', done.user_id, null, null, null,
                                 :metadata::jsonb, :salt::bytea,
                                 case when done.user_id is null
                                      then 'failure' else 'success' end)
        end
  from done;

-- Those that tenon.end_sessions tells.
-- fragment: their_tenants
(select string_agg(x.id::text, ',')
          from tenon.find_newest_tenants(:realm::uuid, u.id, 1000)
               as x (id))

-- Before a password is hashed for it.
-- name: reset_find
select o.used_at is null and o.expires_at > now() and u.id is not null as live,
       u.id, u.email,
       {{their_tenants}} as tenants
  from tenon.one_time o
  left join tenon."user" u
         on u.realm_id = :realm::uuid and u.id = o.user_id
        and u.email = o.email and u.status = 'active'
        and u.deleted_at is null
 where o.realm_id = :realm::uuid and o.id = :one_time_id::uuid
   and o.tenant_id = :tenant::uuid and o.purpose = :purpose::text;

-- It shows who reads the address, so it verifies that as well, and ends a lock;
-- the count of wrong codes goes on, or who reads the mail could guess for ever.
-- Where nobody had shown that before, the second factor is of whoever made the
-- account, be that somebody else: it goes with the password. API keys always go:
-- whoever had the account could make them, and who resets can't list them first.
-- `tenants` is where sessions were ended; no row: it was used.
-- name: reset_done
with token as materialized (
       select o.user_id, o.email
         from tenon.one_time o
        where o.realm_id = :realm::uuid and o.id = :one_time_id::uuid
          and o.tenant_id = :tenant::uuid and o.purpose = :purpose::text
          and o.used_at is null and o.expires_at > now()),
     attempt as (
       insert into tenon.login_attempt as a (realm_id, key, failures)
       select :realm::uuid, :attempt_key::bytea, 0
         from token
       on conflict (realm_id, key)
       do update set failures = case when tenon.has_factor(
                                               :realm::uuid,
                                               (select user_id from token))
                                     then a.failures else 0 end,
                     locked_until = null, last_at = now()
       returning a.failures),
     person as materialized (
       select u.id, u.version, u.email_verified_at is null as unverified
         from token
        cross join attempt
         join tenon."user" u
           on u.realm_id = :realm::uuid and u.id = token.user_id
          and u.email = token.email and u.status = 'active'
          and u.deleted_at is null
          for no key update of u),
     {{void_tokens}},
     done as (
       update tenon."user" u
          set password_hash = :password_hash::text,
              email_verified_at = coalesce(u.email_verified_at, now()),
              version = person.version + 1, updated_at = now()
         from person
         join voided v on v.id = :one_time_id::uuid
        where u.realm_id = :realm::uuid and u.id = person.id
       returning u.id, u.version, person.unverified),
     logged as materialized (
       select done.id,
              tenon.log_event(:event_id::uuid, 'user.password_reset',
                              'tenon.user', done.id, done.version, null, null,
                              null, :salt::bytea),
              case when done.unverified
                   then tenon.drop_factor(:realm::uuid, done.id,
                                          'unverified_address')
               end as dropped
         from done)
select logged.id,
       (select string_agg(ended::text, ',')
          from tenon.end_sessions(:realm::uuid, logged.id, null,
                                  'password_reset') as ended) as tenants,
       tenon.revoke_api_keys(:realm::uuid, logged.id, 'password_reset')
           as api_keys
  from logged;

-- The person who asks.
-- name: person_find
select u.id, u.email, u.password_hash,
       {{their_tenants}} as tenants
  from tenon."user" u
 where u.realm_id = :realm::uuid and u.id = :actor::uuid
   and u.deleted_at is null;

-- As reset_done; none: locked, or the password is another by now.
-- name: password_change
with {{unlocked_by_password}},
     {{same_person}},
     {{void_tokens}},
     done as (
       update tenon."user" u
          set password_hash = :new_hash::text, version = person.version + 1,
              updated_at = now()
         from person
        cross join cleared
        where u.realm_id = :realm::uuid and u.id = person.id
       returning u.id, u.version),
     logged as materialized (
       select done.id,
              tenon.log_event(:event_id::uuid, 'user.password_changed',
                              'tenon.user', done.id, done.version, null, null,
                              null, :salt::bytea)
         from done)
select logged.id,
       (select string_agg(ended::text, ',')
          from tenon.end_sessions(:realm::uuid, logged.id, :session::uuid,
                                  'password_changed') as ended) as tenants
  from logged;


-- The second factor ----------------------------------------------------------

-- Asked for anew, the device gets a new secret, until a code has confirmed one.
-- None: locked, or the password is another by now.
-- name: totp_enrol
with {{unlocked_by_password}},
     {{same_person}},
     done as (
       insert into tenon.totp as f (realm_id, user_id, secret)
       select :realm::uuid, person.id, :secret::text
         from person
       on conflict (realm_id, user_id)
       do update set secret = excluded.secret, created_at = now(),
                     last_step = 0
        where f.confirmed_at is null
       returning f.user_id),
     logged as (
       select tenon.log_event(:event_id::uuid, 'user.mfa_enrolled',
                              'tenon.user', done.user_id, null, null, null,
                              null, :salt::bytea)
         from done)
select person.email, done.user_id is not null as made
  from person
  left join done on true
  left join logged on true;

-- What a code is checked against: of who asks, or of who has the password
-- already and shows the second factor (:user_id). What isn't confirmed within
-- an hour is asked for anew.
-- name: totp_find
select u.id, u.email, u.name, u.password_hash, m.role, t.name,
       case when f.confirmed_at is not null
              or f.created_at > now() - interval '1 hour'
            then f.secret
        end as secret,
       f.last_step, f.confirmed_at is not null as confirmed,
       array_to_string(f.recovery, ',') as recovery,
       case when u.id = :actor::uuid
            then {{their_tenants}}
        end as tenants
  from tenon."user" u
  join tenon.tenant t
    on t.tenant_id = :tenant::uuid and t.deleted_at is null
  join tenon.member m
    on m.tenant_id = t.tenant_id and m.user_id = u.id
   and m.deleted_at is null
  left join tenon.totp f
         on f.realm_id = :realm::uuid and f.user_id = u.id
 where u.realm_id = :realm::uuid and u.id = :user_id::uuid
   and u.deleted_at is null and u.status = 'active';

-- Sessions that were opened without it end, but for the one that asks.
-- No row: locked, or not the factor that was shown.
-- name: totp_confirm
with {{unlocked}},
     {{same_person}},
     used as (
       update tenon.totp f
          set confirmed_at = now(), last_step = :step::bigint,
              recovery = :recovery_codes::text[]
         from person
        where f.realm_id = :realm::uuid and f.user_id = person.id
          and f.confirmed_at is null and f.secret = :secret::text
       returning f.user_id),
     done as (
       update tenon."user" u
          set version = u.version + 1, updated_at = now()
         from used
        where u.realm_id = :realm::uuid and u.id = used.user_id
       returning u.id, u.version),
     logged as materialized (
       select done.id,
              tenon.log_event(:event_id::uuid, 'user.mfa_enabled',
                              'tenon.user', done.id, done.version, null, null,
                              null, :salt::bytea)
         from done)
select logged.id,
       (select string_agg(ended::text, ',')
          from tenon.end_sessions(:realm::uuid, logged.id, :session::uuid,
                                  'mfa_enabled') as ended) as tenants
  from logged;

-- A code is spent where it is newer than the last, or among those that are
-- left; :step says which kind it is.
-- fragment: spent_code
used as (
       update tenon.totp f
          set last_step = coalesce(:step::bigint, f.last_step),
              recovery = array_remove(f.recovery, :recovery_code::text)
         from person
        where f.realm_id = :realm::uuid and f.user_id = person.id
          and f.confirmed_at is not null
          and case when :step::bigint is not null
                   then f.last_step < :step::bigint
                   else :recovery_code::text = any (f.recovery)
               end
       returning f.user_id as id, cardinality(f.recovery) as left_over)

-- No row: as login_done, or the code was used meanwhile.
-- name: mfa_done
with {{unlocked}},
     {{same_person}},
     {{spent_code}},
     admitted as (
       select used.id, used.left_over
         from used),
     {{new_session}}
select tenon.log_event(:event_id::uuid, 'user.login', 'tenon.session',
                       opened.id, null, null, null,
                       jsonb_build_object(
                         'mfa', case when :step::bigint is null
                                     then 'recovery_code' else 'totp' end,
                         'recovery_codes_left', admitted.left_over),
                       :salt::bytea) as event,
       opened.crowded
  from room opened
 cross join admitted;

-- name: recovery_renew
with {{unlocked}},
     {{same_person}},
     used as (
       update tenon.totp f
          set last_step = :step::bigint,
              recovery = :recovery_codes::text[]
         from person
        where f.realm_id = :realm::uuid and f.user_id = person.id
          and f.confirmed_at is not null and f.last_step < :step::bigint
       returning f.user_id)
select tenon.log_event(:event_id::uuid, 'user.recovery_codes_renewed',
                       'tenon.user', used.user_id, null, null, null, null,
                       :salt::bytea)
  from used;

-- name: totp_disable
with {{unlocked}},
     {{same_person}},
     gone as (
       delete from tenon.totp f
        using person
        where f.realm_id = :realm::uuid and f.user_id = person.id
          and f.confirmed_at is not null
          and case when :step::bigint is not null
                   then f.last_step < :step::bigint
                   else :recovery_code::text = any (f.recovery)
               end
       returning f.user_id),
     done as (
       update tenon."user" u
          set version = u.version + 1, updated_at = now()
         from gone
        where u.realm_id = :realm::uuid and u.id = gone.user_id
       returning u.id, u.version),
     logged as materialized (
       select done.id,
              tenon.log_event(:event_id::uuid, 'user.mfa_disabled',
                              'tenon.user', done.id, done.version, null, null,
                              null, :salt::bytea)
         from done)
select logged.id,
       (select string_agg(ended::text, ',')
          from tenon.end_sessions(:realm::uuid, logged.id, :session::uuid,
                                  'mfa_disabled') as ended) as tenants
  from logged;
