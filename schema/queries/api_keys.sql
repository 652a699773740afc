-- API keys. How a write goes tells the top of people.sql. A key acts as the
-- member who made it: so only they change it or replace its secret, but
-- whoever may delete keys revokes anybody's. The secret itself is never here. Who
-- gets one proves the session that asks ({{proof}} in sessions.sql).

-- Of two, one that makes a key and one that revokes all there are
-- (tenon.revoke_api_keys), the second waits for the user's row: a key that was
-- begun meanwhile is refused, since the session has ended, or is among those.
-- name: api_key_create
with {{idem}},
     {{proof}},
     me as materialized (
       select m.user_id, m.created_at
         from idem
        cross join held
        cross join tenon.member m
        where idem.go and idem.fingerprint is null
          and m.tenant_id = :tenant::uuid and m.user_id = :actor::uuid
          for no key update of m),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when {{unproven}}
              when {{bad_expiry}}
              then 'invalid_fields /expires_at out_of_range'
              when tenon.api_key_count(me.user_id) >= 100
              then 'limit_reached: You have 100 API keys here already: revoke '
                   || 'one first.'
              else tenon.scopes_refused(:tenant::uuid, :actor::uuid,
                                        :scopes::jsonb)
              end as refused,
              idem.go and idem.fingerprint is null as fresh
         from idem
         left join me on true),
     done as (
       insert into tenon.api_key (tenant_id, id, name, scopes, expires_at,
                                  created_by, created_at)
       select :tenant::uuid, :id::uuid, :name::text, {{scopes}},
              :expires_at::timestamptz, :actor::uuid,
              -- Behind what it counts from, whichever clock told that.
              greatest(clock_timestamp(), me.created_at,
                       held.api_keys_from + interval '1 microsecond')
         from verdict v
        cross join me
        cross join held
        where v.fresh and v.refused is null
       returning *),
     secret as (
       insert into tenon.api_key_secret (tenant_id, api_key_id, hash)
       select :tenant::uuid, done.id, :secret_hash::bytea
         from done),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'api_key.created', 'tenon.api_key',
                done.id, done.version, null,
                tenon.image('tenon.api_key'::regclass, to_jsonb(done)),
                null, :salt::bytea)
         from done),
     shown as materialized (
       select done.id::text, done.name::text, done.prefix::text,
              to_jsonb(done.scopes)::text as scopes, 'active' as status,
              done.expires_at::text, null::text as last_used_at,
              null::text as last_used_ip, done.rotated_at::text,
              done.version::text, done.created_at::text,
              done.created_by::text, done.updated_at::text
         from done
        cross join logged),
     {{kept}}
select v.refused, {{shown_key}},
       null::text as secret,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- fragment: bad_expiry
(:expires_at::timestamptz <= now()
 or :expires_at::timestamptz > now() + interval '5 years')

-- fragment: scopes
(select array_agg(s.scope order by s.scope)
   from jsonb_array_elements_text(:scopes::jsonb) as s (scope))

-- fragment: shown_key
coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.prefix, idem.outcome ->> 'prefix') as prefix,
       coalesce(shown.scopes, idem.outcome ->> 'scopes') as scopes,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       coalesce(shown.expires_at, idem.outcome ->> 'expires_at')
           as expires_at,
       coalesce(shown.last_used_at, idem.outcome ->> 'last_used_at')
           as last_used_at,
       coalesce(shown.last_used_ip, idem.outcome ->> 'last_used_ip')
           as last_used_ip,
       coalesce(shown.rotated_at, idem.outcome ->> 'rotated_at')
           as rotated_at,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at')
           as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       coalesce(shown.updated_at, idem.outcome ->> 'updated_at')
           as updated_at

-- A living one: neither revoked by itself nor with all of its maker's.
-- fragment: locked_key
locked as materialized (
       select k.*
         from idem
        cross join tenon.api_key k
         left join tenon."user" u on u.realm_id = :realm::uuid
                                 and u.id = k.created_by
        where idem.go and idem.fingerprint is null
          and k.tenant_id = :tenant::uuid and k.id = :id::uuid
          and k.deleted_at is null
          and (u.api_keys_from is null or k.created_at > u.api_keys_from)
          for no key update of k)

-- fragment: changed_key
shown as materialized (
       select t.id::text, coalesce(done.name, t.name)::text as name,
              t.prefix::text,
              to_jsonb(coalesce(done.scopes, t.scopes))::text as scopes,
              'active' as status,
              case when done.id is null then t.expires_at
                   else done.expires_at end::text as expires_at,
              used.last_used_at::text,
              host(used.last_used_ip)::text as last_used_ip,
              coalesce(done.rotated_at, t.rotated_at)::text as rotated_at,
              coalesce(done.version, t.version)::text as version,
              t.created_at::text, t.created_by::text,
              coalesce(done.updated_at, t.updated_at)::text as updated_at
         from verdict v
        cross join locked t
         left join done on true
         left join logged on true
         left join used on true
        where v.refused is null)

-- fragment: used_key
used as materialized (
       select s.last_used_at, s.last_used_ip
         from tenon.api_key_secret s
        where s.tenant_id = :tenant::uuid and s.api_key_id = :id::uuid
        order by s.last_used_at desc nulls last
        limit 1)

-- name: api_key_update
with {{idem}},
     {{locked_key}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when t.id is null then 'not_found'
              when t.created_by <> :actor::uuid then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'
              when t.expires_at <= now() then 'state_conflict'
              when {{bad_expiry}}
              then 'invalid_fields /expires_at out_of_range'
              when :scopes::jsonb is not null
              then tenon.scopes_refused(:tenant::uuid, :actor::uuid,
                                        :scopes::jsonb)
              end as refused
         from idem
         left join locked t on true),
     asked as materialized (
       select t.id, t.version,
              coalesce(:name::text, t.name) as name,
              coalesce({{scopes}}, t.scopes) as scopes,
              case when :sets_expiry::boolean then :expires_at::timestamptz
                   else t.expires_at end as expires_at
         from verdict v
        cross join locked t
        where v.refused is null),
     done as (
       update tenon.api_key k
          set name = a.name, scopes = a.scopes, expires_at = a.expires_at,
              version = a.version + 1, updated_at = now()
         from asked a
        where k.tenant_id = :tenant::uuid and k.id = a.id
          and (k.name, k.scopes, k.expires_at)
              is distinct from (a.name, a.scopes, a.expires_at)
       returning k.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'api_key.updated', 'tenon.api_key',
                done.id, done.version,
                tenon.image('tenon.api_key'::regclass, to_jsonb(t)),
                tenon.image('tenon.api_key'::regclass, to_jsonb(done)),
                null, :salt::bytea)
         from done
         join locked t on t.id = done.id),
     {{used_key}},
     {{changed_key}},
     {{kept}}
select v.refused, {{shown_key}},
       exists (select from done) as changed,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- Of the secrets there were the current one may stay for a while; what was
-- replaced before that goes now. By a key only that key itself is rotated: no
-- other's secret is handed to it. A key is its own proof: it lasts already.
-- name: api_key_rotate
with {{idem}},
     {{proof}},
     {{locked_key}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when :api_key::uuid is null and {{unproven}}
              when t.id is null then 'not_found'
              when t.created_by <> :actor::uuid then 'forbidden'
              when t.id <> :api_key::uuid then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'
              when t.expires_at <= now() then 'state_conflict'
              end as refused
         from idem
         left join locked t on true),
     {{used_key}},
     gone as (
       delete from tenon.api_key_secret s
        using verdict v, locked t
        where v.refused is null
          and s.tenant_id = :tenant::uuid and s.api_key_id = t.id
          and (s.ends_at is not null or :overlap_seconds::int = 0)
       returning s.ends_at),
     ends as (
       update tenon.api_key_secret s
          set ends_at = now()
                        + make_interval(secs => :overlap_seconds::int)
         from verdict v, locked t
        where v.refused is null
          and s.tenant_id = :tenant::uuid and s.api_key_id = t.id
          and s.ends_at is null and :overlap_seconds::int > 0
       returning s.ends_at),
     done as (
       update tenon.api_key k
          set rotated_at = now(), version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null
          and k.tenant_id = :tenant::uuid and k.id = t.id
       returning k.*),
     secret as (
       insert into tenon.api_key_secret (tenant_id, api_key_id, hash,
                                         last_used_at, last_used_ip)
       select :tenant::uuid, done.id, :secret_hash::bytea, used.last_used_at,
              used.last_used_ip
         from done
         -- Behind these: there is one current secret at a time.
        cross join (select count(*) from gone) gone
        cross join (select count(*) from ends) ends
         left join used on true),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'api_key.rotated', 'tenon.api_key',
                done.id, done.version,
                tenon.image('tenon.api_key'::regclass, to_jsonb(t)),
                tenon.image('tenon.api_key'::regclass, to_jsonb(done)),
                jsonb_build_object('overlap_seconds', :overlap_seconds::int),
                :salt::bytea)
         from done
         join locked t on t.id = done.id),
     {{changed_key}},
     {{kept}}
select v.refused, {{shown_key}},
       null::text as secret,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- name: api_key_delete
with {{idem}},
     {{locked_key}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when t.id is null then 'not_found'
              when t.created_by <> :own::uuid then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'
              end as refused
         from idem
         left join locked t on true),
     done as (
       update tenon.api_key k
          set deleted_at = now(), version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null
          and k.tenant_id = :tenant::uuid and k.id = t.id
       returning k.id, k.version),
     gone as (
       delete from tenon.api_key_secret s
        using done
        where s.tenant_id = :tenant::uuid and s.api_key_id = done.id),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'api_key.revoked', 'tenon.api_key',
                done.id, done.version,
                tenon.image('tenon.api_key'::regclass, to_jsonb(t)), null,
                jsonb_build_object('created_by', t.created_by),
                :salt::bytea)
         from done
         join locked t on t.id = done.id),
     shown as materialized (
       select done.id::text
         from done
        cross join logged),
     {{kept}}
select v.refused, idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;
