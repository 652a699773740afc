-- Sessions: how one begins, goes on and ends; what one changes of oneself. How
-- a write goes tells the top of people.sql.

-- A new session of the member m, whose user's row is held. What a step doesn't
-- say is none: an earlier end than its time to live, a second factor, a sign-in
-- other than its own. It begins now, not with the transaction: all may have
-- been ended (tenon.end_sessions) while that waited. And behind what it counts
-- from, also where the database's clock is another one than then.
-- fragment: session_row
insert into tenon.session (tenant_id, id, realm_id, user_id, kind, mfa,
                           idle_ttl, expires_at, ip, user_agent, family,
                           created_at)
       select :tenant::uuid, :session_id::uuid, :realm::uuid, m.user_id,
              :session_kind::text, coalesce(:session_mfa::boolean, false),
              :session_idle::int,
              least(now() + make_interval(secs =>
                                          :session_ttl::double precision),
                    :session_end::timestamptz),
              :ip::text, :user_agent::text, :session_family::uuid,
              greatest(tenon.session_begins(:realm::uuid, m.user_id),
                       m.created_at)

-- The user's row, held, orders what ends a sign-in with what opens sessions of
-- it: held before any session's.
-- fragment: held_user
held as materialized (
       select u.id, u.sessions_from, u.session_kept, u.api_keys_from
         from tenon."user" u
        where u.realm_id = :realm::uuid and u.id = :actor::uuid
          for no key update of u)

-- Whether the session that asks counts still: this node may not know yet that it
-- has ended. What is made here lasts. Issuers' tokens and API keys have none.
-- fragment: asking
asking as materialized (
       select s.user_id
         from idem
        cross join lateral tenon.find_session(:tenant::uuid,
                                              :session::uuid) s
        where idem.go and idem.fingerprint is null)

-- fragment: session_ended
when :session::uuid is not null and not exists (select from asking)
              then 'unauthenticated: The session has ended: sign in again.'

-- Whether who asks has shown the secret in force of the session s: of a cookie
-- none but that; of tokens the one before as well, for as long as refresh_state
-- takes that for a lost answer.
-- fragment: is_proven
(s.generation = :refresh_generation::int
        or (s.kind = 'token'
            and s.generation = :refresh_generation::int + 1
            and s.rotated_at > now() - interval '10 seconds'))

-- One row where the session that asks counts still and is proven, asked behind
-- the user's row (and of that row, lest it be asked before), so that nobody is
-- ending it meanwhile. Nothing is asked of a request that is repeated: its answer
-- holds no secret.
-- fragment: proof
{{held_user}},
     proof as materialized (
       select s.id
         from idem
        cross join held
        cross join lateral tenon.find_session(
                :tenant::uuid,
                case when held.id = :actor::uuid
                     then :session::uuid end) asking
         join tenon.session s on s.tenant_id = :tenant::uuid
                             and s.id = :session::uuid
        where idem.go and idem.fingerprint is null and {{is_proven}})

-- fragment: unproven
not exists (select from proof)
              then 'unauthenticated: The session is not proven: what was sent '
                   || 'is not good, or not any more. Sign in again.'

-- name: find_cookie
select tenant_id, realm_id, slug, name, status, user_id, role, roles, accounts,
       generation, impersonator
  from tenon.find_cookie(:token_tenant::uuid, :token_session::uuid,
                         :token_generation::int);

-- Of several at once with one token, one changes the row; the others wait for
-- it and no longer, since nothing locks the row before. No impersonator's:
-- those end.
-- name: refresh_rotate
with rotated as (
       update tenon.session
          set generation = generation + 1, rotated_at = now(),
              last_used_at = now()
        where tenant_id = :tenant::uuid and id = :session::uuid
          and kind = 'token' and impersonator is null
          and revoked_at is null and expires_at > now()
          and (idle_ttl is null
               or last_used_at + make_interval(secs => idle_ttl) > now())
          and generation = :refresh_generation::int
       returning id)
select tenon.log_event(:event_id::uuid, 'session.refreshed', 'tenon.session',
                       rotated.id, null, null, null, null, :salt::bytea)
  from rotated;

-- Behind it, in the same batch: its snapshot is a new one, so it sees whoever
-- was first. A token that is neither the one just used nor its immediate
-- parent, within seconds, is a copy: the session ends, and with it all others
-- of that sign-in; `tenants` is where.
-- name: refresh_state
with found as materialized (
       select s.id, s.user_id, s.generation, s.expires_at,
              coalesce(s.family, s.id) as family,
              s.generation = :refresh_generation::int + 1
              and s.rotated_at > now() - interval '10 seconds' as good
         from tenon.session s
        where s.tenant_id = :tenant::uuid and s.id = :session::uuid
          and s.kind = 'token' and s.impersonator is null
          and s.revoked_at is null and s.expires_at > now()
          and (s.idle_ttl is null
               or s.last_used_at + make_interval(secs => s.idle_ttl)
                  > now())),
     held as materialized (
       select u.id
         from found
         join tenon."user" u
           on u.realm_id = :realm::uuid and u.id = found.user_id
        where not found.good
          for no key update of u),
     ended as (
       update tenon.session s
          set revoked_at = now()
         from found
        cross join held
        where s.tenant_id = :tenant::uuid
          and s.id = found.id and s.revoked_at is null
       returning s.id),
     logged as materialized (
       select tenon.log_event(
                tenon.uuid7(), 'session.reused', 'tenon.session', ended.id,
                null, null, null,
                jsonb_build_object('generation', :refresh_generation::int,
                                   'expected', found.generation),
                uuid_send(gen_random_uuid()), 'refused') as event
         from ended
        cross join found)
select found.good, found.generation,
       greatest(extract(epoch from found.expires_at - now()), 1)::bigint
           as lasts,
       u.email, u.name, t.name as tenant_name,
       (select string_agg(e::text, ',')
          from logged
         cross join lateral tenon.end_family(
                  :realm::uuid, found.user_id, array[found.family],
                  'session_reused') as e) as tenants
  from found
  join tenon."user" u on u.realm_id = :realm::uuid and u.id = found.user_id
  join tenon.tenant t on t.tenant_id = :tenant::uuid;

-- The secret of the session that asks is replaced, where that is a cookie's.
-- Only for the secret that is in force: of two requests by one cookie, both on
-- their way, the second replaces nothing. And only behind a change that was made,
-- which its event shows: where that was refused nobody is told a new secret.
-- name: session_rotate
update tenon.session
   set generation = generation + 1, rotated_at = now()
 where tenant_id = :tenant::uuid and id = :session::uuid
   and kind = 'cookie' and revoked_at is null and expires_at > now()
   and generation = :presented_generation::int
   and exists (select
                 from tenon.event e
                where e.tenant_id = :tenant::uuid and e.at = now()
                  and e.id = :event_id::uuid)
returning generation,
          greatest(extract(epoch from expires_at - now()), 1)::bigint as lasts;

-- With it all others of that sign-in end; `tenants` is where there were any.
-- name: session_end
with {{idem}},
     {{held_user}},
     locked as materialized (
       select s.id, coalesce(s.family, s.id) as family
         from idem
        cross join held
        cross join tenon.session s
        where idem.go and idem.fingerprint is null
          and s.tenant_id = :tenant::uuid and s.id = :id::uuid
          and s.user_id = :actor::uuid
          and s.revoked_at is null and s.expires_at > now()
          for no key update of s),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when l.id is null then 'not_found'
              end as refused
         from idem
         left join locked l on true),
     done as (
       update tenon.session s
          set revoked_at = now()
         from verdict v, locked l
        where v.refused is null
          and s.tenant_id = :tenant::uuid and s.id = l.id
       returning s.id),
     logged as materialized (
       select tenon.log_event(
                :event_id::uuid, 'session.revoked', 'tenon.session', done.id,
                null, null, null, null, :salt::bytea)
         from done),
     relatives as materialized (
       select e.tenant_id
         from locked
        cross join logged
        cross join lateral tenon.end_families(
                :realm::uuid, :actor::uuid, array[locked.family],
                nullif(:session::uuid, locked.id),
                'session_revoked') as e (tenant_id)),
     shown as materialized (
       select done.id::text
         from done
        cross join logged),
     {{kept}}
select v.refused,
       (select string_agg(r.tenant_id::text, ',')
          from relatives r) as tenants,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- All but the one that asks, whose cookie is replaced behind this. The sign-ins
-- that they are of end elsewhere too, but for its own. Where there are a thousand
-- of them or more, all that the person has end everywhere: that can always be
-- done.
-- name: sessions_end
with {{idem}},
     {{held_user}},
     others as materialized (
       select s.id, coalesce(s.family, s.id) as family
         from idem
        cross join held
        cross join tenon.session s
        where idem.go and idem.fingerprint is null
          and s.tenant_id = :tenant::uuid and s.user_id = :actor::uuid
          and s.id is distinct from :session::uuid
          and s.revoked_at is null and s.expires_at > now()
          and (held.sessions_from is null
               or s.created_at > held.sessions_from
               or s.id = held.session_kept)
        order by s.created_at desc, s.id desc
        limit 1000
          for no key update of s),
     done as (
       update tenon.session s
          set revoked_at = now()
         from others
        where s.tenant_id = :tenant::uuid and s.id = others.id
       returning s.id),
     ended as materialized (
       select count(done.id) as n
         from idem
         left join done on true
        where idem.go and idem.fingerprint is null),
     logged as materialized (
       select tenon.log_event(
                :event_id::uuid, 'session.others_revoked', 'tenon.user',
                :actor::uuid, null, null, null,
                jsonb_build_object('sessions', ended.n), :salt::bytea)
         from ended
        cross join idem
        where ended.n > 0
           or (idem.go and idem.fingerprint is null
               and exists (select
                             from tenon.session s
                            where s.tenant_id = :tenant::uuid
                              and s.id = :session::uuid
                              and s.kind = 'cookie'))),
     relatives as materialized (
       select e.tenant_id
         from logged
         join ended on ended.n < 1000
        cross join lateral tenon.end_families(
                :realm::uuid, :actor::uuid,
                (select array_agg(distinct o.family)
                   from others o
                  where o.family is distinct from (
                        select coalesce(s.family, s.id)
                          from tenon.session s
                         where s.tenant_id = :tenant::uuid
                           and s.id = :session::uuid)),
                :session::uuid, 'session_revoked') as e (tenant_id)
        union all
       select e.tenant_id
         from logged
         join ended on ended.n >= 1000
        cross join lateral tenon.end_sessions(
                :realm::uuid, :actor::uuid, :session::uuid,
                'session_revoked') as e (tenant_id)),
     shown as materialized (
       select ended.n::text as sessions
         from ended
         left join logged on true),
     {{kept}}
select null::text as refused,
       (select string_agg(r.tenant_id::text, ',')
          from relatives r) as tenants,
       exists (select from logged) as any_ended,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
  left join shown on true;

-- The person's own row, which every organization of the realm shows; the event
-- is of the one where it was changed. The version is of all that is shown: each
-- of the three only grows.
-- name: me_update
with {{idem}},
     locked as materialized (
       select u.*
         from idem
        cross join tenon."user" u
        where idem.go and idem.fingerprint is null
          and u.realm_id = :realm::uuid and u.id = :actor::uuid
          and u.deleted_at is null
          for no key update of u),
     around as materialized (
       select m.role, m.version + t.version as version, t.tenant_id,
              t.name, t.slug
         from tenon.member m
         join tenon.tenant t on t.tenant_id = m.tenant_id
        where m.tenant_id = :tenant::uuid and m.user_id = :actor::uuid
          and m.deleted_at is null),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when l.id is null or a.tenant_id is null then 'not_found'
              when l.version + a.version <> all (:match::bigint[])
              then 'precondition_failed'
              end as refused
         from idem
         left join locked l on true
         left join around a on true),
     done as (
       update tenon."user" u
          set name = :name::text, version = l.version + 1, updated_at = now()
         from verdict v, locked l
        where v.refused is null and l.name <> :name::text
          and u.realm_id = :realm::uuid and u.id = l.id
       returning u.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'user.updated', 'tenon.user', done.id,
                done.version,
                tenon.image('tenon."user"'::regclass, to_jsonb(l)),
                tenon.image('tenon."user"'::regclass, to_jsonb(done)),
                null, :salt::bytea)
         from done
        cross join locked l),
     shown as materialized (
       select l.id::text, l.email::text,
              coalesce(done.name, l.name)::text as name, a.role::text,
              json_build_object('id', a.tenant_id, 'name', a.name,
                                'slug', a.slug)::text as tenant,
              (l.email_verified_at is not null)::text as email_verified,
              (f.user_id is not null)::text as mfa_enabled,
              cardinality(f.recovery)::text as recovery_codes_left,
              (:impersonator::uuid is not null)::text as impersonated,
              :permissions::text as permissions,
              (coalesce(done.version, l.version) + a.version)::text as version
         from verdict v
        cross join locked l
        cross join around a
         left join tenon.totp f on f.realm_id = :realm::uuid
                               and f.user_id = l.id
                               and f.confirmed_at is not null
         left join done on true
         left join logged on true
        where v.refused is null),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.email, idem.outcome ->> 'email') as email,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.role, idem.outcome ->> 'role') as role,
       coalesce(shown.tenant, idem.outcome ->> 'tenant') as tenant,
       coalesce(shown.email_verified, idem.outcome ->> 'email_verified')
           as email_verified,
       coalesce(shown.mfa_enabled, idem.outcome ->> 'mfa_enabled')
           as mfa_enabled,
       coalesce(shown.recovery_codes_left,
                idem.outcome ->> 'recovery_codes_left')
           as recovery_codes_left,
       coalesce(shown.impersonated, idem.outcome ->> 'impersonated')
           as impersonated,
       coalesce(shown.permissions, idem.outcome ->> 'permissions')
           as permissions,
       null::text as api_key,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;
