-- Members and invitations. A write is one statement that decides, changes and
-- logs (the comment on WRITE in libcore/model/model.h says what its columns
-- and parameters are):
--
--     idem      whether it is the first under its Idempotency-Key
--     locked    the rows it decides by, locked in the order of their ids; none
--               when it was done before or a twin is at work
--     verdict   why not, or null
--     done      the change
--     logged    its event
--     shown     what is answered
--     kept      and kept for a repetition

-- The rows of all owners are locked with the one that is changed: of two who
-- demote each other the second finds what the first left. So is the actor's:
-- the role it has now counts, not the one it had when it signed in. And behind
-- them that of the role which is given, where it is the tenant's own: it stays
-- until it is held (role_delete in roles.sql).
-- name: member_update
with {{idem}},
     locked as materialized (
       select m.*
         from idem
        cross join tenon.member m
        where idem.go and idem.fingerprint is null
          and m.tenant_id = :tenant::uuid and m.deleted_at is null
          and m.id in ({{owners_and}} :id::uuid)
        order by m.id
          for no key update of m),
     {{given}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when t.id is null then 'not_found'
              when t.user_id <> :own::uuid then 'forbidden'
              when not tenon.role_covers(:tenant::uuid, me.role, t.role)
              then 'forbidden'
              when :role::text is not null and not {{is_role}} then {{no_role}}
              when :role::text is not null
               and not tenon.role_covers(:tenant::uuid, me.role, :role::text)
              then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'
              when t.role = 'owner' and :role::text <> 'owner'
               and (select count(*) from locked where role = 'owner') < 2
              then 'last_owner'
              end as refused
         from idem
        cross join given
         left join locked t on t.id = :id::uuid
         left join locked me on me.user_id = :actor::uuid),
     done as (
       update tenon.member m
          set role = :role::text, version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null and t.id = :id::uuid
          and t.role <> :role::text
          and m.tenant_id = :tenant::uuid and m.id = t.id
       returning m.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'member.role_changed', 'tenon.member',
                done.id, done.version,
                tenon.image('tenon.member'::regclass, to_jsonb(t)),
                tenon.image('tenon.member'::regclass, to_jsonb(done)),
                jsonb_build_object('from', t.role, 'to', done.role),
                :salt::bytea)
         from done
         join locked t on t.id = done.id),
     shown as materialized (
       select t.id::text, t.user_id::text, u.email::text, u.name::text,
              coalesce(done.role, t.role)::text as role,
              coalesce(done.version, t.version)::text as version,
              t.created_at::text
         from verdict v
         join locked t on t.id = :id::uuid
         join tenon."user" u on u.realm_id = :realm::uuid
                            and u.id = t.user_id
         left join done on true
         left join logged on true
        where v.refused is null),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.user_id, idem.outcome ->> 'user_id') as user_id,
       coalesce(shown.email, idem.outcome ->> 'email') as email,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.role, idem.outcome ->> 'role') as role,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- Whom a change of members is decided by: owners, the actor, and the one named
-- behind it. Each by an index of its own; `or` would read all members.
-- fragment: owners_and
select o.id
                         from tenon.member o
                        where o.tenant_id = :tenant::uuid
                          and o.role = 'owner' and o.deleted_at is null
                        union all
                       select a.id
                         from tenon.member a
                        where a.tenant_id = :tenant::uuid
                          and a.user_id = :actor::uuid
                        union all
                       select

-- fragment: given
given as materialized (
       select count(*)
         from (select r.id
                 from tenon.tenant_role r
                where (select count(*) from locked) > 0
                  and r.tenant_id = :tenant::uuid and r.name = :role::text
                  and r.deleted_at is null
                  for share of r) r)

-- fragment: is_role
tenon.is_member_role(:tenant::uuid, :role::text)

-- fragment: no_role
'invalid_fields /role not_in_set is no role that members have here'

-- What a member did must not make them irremovable, so this costs the same
-- whatever it was: the row stays, and with it what refers to it. Without a
-- living member no session counts; the newest are marked as ended as well, a
-- bounded number of them. By their key alone: where the planner knows little of
-- the table yet, "not revoked" once more would have it read the index of those,
-- of all users, for each row. None is waited for (tenant_delete).
-- name: member_delete
with {{idem}},
     locked as materialized (
       select m.*
         from idem
        cross join tenon.member m
        where idem.go and idem.fingerprint is null
          and m.tenant_id = :tenant::uuid and m.deleted_at is null
          and m.id in ({{owners_and}} :id::uuid)
        order by m.id
          for no key update of m),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when t.id is null then 'not_found'
              when t.user_id <> :own::uuid then 'forbidden'
              when t.user_id <> :actor::uuid
               and not tenon.role_covers(:tenant::uuid, me.role, t.role)
              then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'
              when t.role = 'owner'
               and (select count(*) from locked where role = 'owner') < 2
              then 'last_owner'
              end as refused
         from idem
         left join locked t on t.id = :id::uuid
         left join locked me on me.user_id = :actor::uuid),
     done as (
       update tenon.member m
          set deleted_at = now(), version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null and t.id = :id::uuid
          and m.tenant_id = :tenant::uuid and m.id = t.id
       returning m.id, m.user_id, m.version),
     newest as materialized (
       select s.id
         from done
        cross join lateral (
              select s.id
                from tenon.session s
               where s.tenant_id = :tenant::uuid and s.user_id = done.user_id
                 and s.revoked_at is null and s.expires_at > now()
               order by s.created_at desc, s.id desc
               limit 10000
                 for no key update of s skip locked) s),
     closed as (
       update tenon.session s
          set revoked_at = now()
         from newest
        where s.tenant_id = :tenant::uuid and s.id = newest.id),
     logged as (
       select tenon.log_event(
                :event_id::uuid,
                case when t.user_id = :actor::uuid then 'member.left'
                     else 'member.removed' end,
                'tenon.member', t.id, done.version,
                tenon.image('tenon.member'::regclass, to_jsonb(t)), null,
                jsonb_build_object('user_id', t.user_id, 'role', t.role),
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

-- The tenant's row, held where there is a most of something in it.
-- fragment: here
here as materialized (
       select t.tenant_id
         from idem
        cross join tenon.tenant t
        where idem.go and idem.fingerprint is null
          and t.tenant_id = :tenant::uuid
          for no key update of t)

-- An invitation that has run out makes way for a new one to its address.
-- name: invitation_create
with {{idem}},
     {{asking}},
     {{here}},
     locked as materialized (
       select m.role
         from here
         join tenon.member m on m.tenant_id = here.tenant_id
                            and m.user_id = :actor::uuid
                            and m.deleted_at is null
          for share of m),
     {{given}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              {{session_ended}}
              when not {{is_role}} then {{no_role}}
              when not tenon.role_covers(:tenant::uuid, me.role, :role::text)
              then 'forbidden'
              when exists (
                   select
                     from tenon."user" u
                     join tenon.member m on m.tenant_id = :tenant::uuid
                                        and m.user_id = u.id
                                        and m.deleted_at is null
                    where u.realm_id = :realm::uuid
                      and u.email = :email::text and u.deleted_at is null)
                or exists (
                   select
                     from tenon.invitation i
                    where i.tenant_id = :tenant::uuid
                      and i.email = :email::text and i.status = 'pending'
                      and i.deleted_at is null and i.expires_at > now())
              then 'duplicate /email duplicate'
              when :seats::bigint is not null
               and tenon.seats_taken(:seats::bigint) >= :seats::bigint
              then 'plan_limit: All seats of the plan are taken: remove a '
                   || 'member, revoke an invitation, or choose a larger plan.'
              when tenon.invitation_count() >= 1000
              then 'limit_reached: There are 1,000 open invitations already: '
                   || 'revoke one, or wait until one is accepted or expires.'
              end as refused,
              idem.go and idem.fingerprint is null as fresh
         from idem
        cross join given
         left join locked me on true),
     stale as materialized (
       select i.*
         from verdict v
        cross join tenon.invitation i
        where v.fresh and v.refused is null
          and i.tenant_id = :tenant::uuid and i.email = :email::text
          and i.status = 'pending' and i.deleted_at is null
          and i.expires_at <= now()
          for no key update of i),
     gone as (
       update tenon.invitation i
          set deleted_at = now(), version = stale.version + 1,
              updated_at = now()
         from stale
        where i.tenant_id = :tenant::uuid and i.id = stale.id
       returning i.*),
     replaced as materialized (
       select count(tenon.log_event(
                tenon.uuid7(), 'invitation.revoked', 'tenon.invitation',
                gone.id, gone.version,
                tenon.image('tenon.invitation'::regclass, to_jsonb(stale)),
                null,
                jsonb_build_object('email', gone.email, 'role', gone.role,
                                   'reason', 'expired'),
                uuid_send(gen_random_uuid())))
         from gone
         join stale on stale.id = gone.id),
     done as (
       insert into tenon.invitation (tenant_id, id, realm_id, email, role,
                                     invited_by, created_by, expires_at)
       select :tenant::uuid, :id::uuid, :realm::uuid, :email::text,
              :role::text, :actor::uuid, :actor::uuid,
              now() + interval '7 days'
         from verdict v
        cross join replaced
        where v.fresh and v.refused is null
       returning *),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'member.invited', 'tenon.invitation',
                done.id, done.version, null,
                tenon.image('tenon.invitation'::regclass, to_jsonb(done)),
                jsonb_build_object('email', done.email, 'role', done.role),
                :salt::bytea)
         from done),
     shown as materialized (
       select done.id::text, done.email::text, done.role::text,
              done.status::text, done.invited_by::text,
              done.expires_at::text, done.version::text,
              done.created_at::text
         from done
        cross join logged),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.email, idem.outcome ->> 'email') as email,
       coalesce(shown.role, idem.outcome ->> 'role') as role,
       coalesce(shown.status, idem.outcome ->> 'status') as status,
       coalesce(shown.invited_by, idem.outcome ->> 'invited_by')
           as invited_by,
       coalesce(shown.expires_at, idem.outcome ->> 'expires_at')
           as expires_at,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- name: invitation_delete
with {{idem}},
     locked as materialized (
       select i.*
         from idem
        cross join tenon.invitation i
        where idem.go and idem.fingerprint is null
          and i.tenant_id = :tenant::uuid and i.id = :id::uuid
          and i.deleted_at is null
          for no key update of i),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when t.id is null then 'not_found'
              when not tenon.role_covers(:tenant::uuid, me.role, t.role)
              then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'
              when t.status <> 'pending' then 'state_conflict'
              end as refused
         from idem
         left join locked t on true
         left join tenon.member me on me.tenant_id = :tenant::uuid
                                  and me.user_id = :actor::uuid
                                  and me.deleted_at is null),
     done as (
       update tenon.invitation i
          set deleted_at = now(), version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null
          and i.tenant_id = :tenant::uuid and i.id = t.id
       returning i.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'invitation.revoked', 'tenon.invitation',
                done.id, done.version,
                tenon.image('tenon.invitation'::regclass, to_jsonb(t)), null,
                jsonb_build_object('email', done.email, 'role', done.role),
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

-- What is known of an invitation before any work is done for it, and what was
-- answered under the same key before: one row, whatever there is.
-- name: invitation_find
with {{idem}}
select coalesce(i.status = 'pending' and i.expires_at > now()
                and {{still_given}}, false) as live,
       u.id, u.status, u.password_hash, m.id as member_id, i.email,
       u.email_verified_at is not null as verified,
       case when u.email_verified_at is null
            then {{their_tenants}}
        end as tenants,
       idem.outcome ->> 'user' as "user",
       idem.outcome ->> 'tenant' as tenant,
       idem.outcome ->> 'member' as member,
       true as idem_go, idem.fingerprint as idem_fingerprint
  from idem
  left join tenon.invitation i
         on i.tenant_id = :tenant::uuid and i.id = :invitation_id::uuid
        and i.deleted_at is null
  left join tenon.member giver
         on giver.tenant_id = :tenant::uuid and giver.user_id = i.invited_by
        and giver.deleted_at is null
  left join tenon."user" u
         on u.realm_id = :realm::uuid and u.email = i.email
        and u.deleted_at is null
  left join tenon.member m
         on m.tenant_id = :tenant::uuid and m.user_id = u.id
        and m.deleted_at is null;

-- For whoever is about to accept: nothing that they couldn't learn by accepting.
-- name: invitation_preview
select json_build_object('name', t.name, 'slug', t.slug) as tenant, i.email,
       u.email_verified_at is not null as has_account, i.role, i.expires_at
  from tenon.invitation i
  join tenon.tenant t on t.tenant_id = i.tenant_id
  join tenon.member giver
         on giver.tenant_id = i.tenant_id and giver.user_id = i.invited_by
        and giver.deleted_at is null
  left join tenon."user" u
         on u.realm_id = :realm::uuid and u.email = i.email
        and u.deleted_at is null
 where i.tenant_id = :tenant::uuid and i.id = :invitation_id::uuid
   and i.deleted_at is null
   and i.status = 'pending' and i.expires_at > now() and {{still_given}};

-- fragment: still_given
tenon.is_member_role(:tenant::uuid, i.role)
                and tenon.role_covers(:tenant::uuid, giver.role, i.role)
                and tenon.role_may(:tenant::uuid, giver.role,
                                   'tenon.invitation:create') is not null

-- Who was a member before is one again, by the same row. No outputs: somebody
-- else has used the invitation meanwhile, or who gave it may no longer; or the
-- account was `locked`, or `known`: verified meanwhile.
--
-- The token shows who reads the address. An account that nobody had shown that
-- of is theirs (:take_over), whoever made it, as after a reset; of any other the
-- password was right, which ends the count of failures as at login.
-- name: invitation_accept
with {{idem}},
     invitation as materialized (
       select i.*
         from idem
        cross join tenon.invitation i
        where idem.go and idem.fingerprint is null
          and i.tenant_id = :tenant::uuid and i.id = :invitation_id::uuid
          and i.status = 'pending' and i.expires_at > now()
          and i.deleted_at is null
          for no key update of i),
     giver as materialized (
       select m.role
         from invitation i
         join tenon.member m on m.tenant_id = :tenant::uuid
                            and m.user_id = i.invited_by
                            and m.deleted_at is null
          for share of m),
     given as materialized (
       select count(*)
         from (select r.id
                 from invitation i
                 join tenon.tenant_role r on r.tenant_id = :tenant::uuid
                                         and r.name = i.role
                                         and r.deleted_at is null
                where (select count(*) from giver) > 0
                  for share of r) r),
     attempt as (
       insert into tenon.login_attempt as a (realm_id, key, failures)
       select :realm::uuid, :attempt_key::bytea, 0
         from invitation
        where :attempt_key::bytea is not null
       on conflict (realm_id, key)
       do update set failures = case when :password_hash::text is null
                                      and tenon.has_factor(:realm::uuid,
                                                           :user_id::uuid)
                                     then a.failures else 0 end,
                     locked_until = null, last_at = now()
        where :password_hash::text is not null
           or coalesce(a.locked_until <= now(), true)
       returning a.failures),
     unlocked as materialized (
       select :attempt_key::bytea is null
              or exists (select from attempt) as holds),
     live as materialized (
       select i.*
         from invitation i
        cross join giver
        cross join given
         join unlocked on unlocked.holds
        where given.count < 2 and {{still_given}}),
     taken as materialized (
       select t.id, t.version, t.tenants, live.email
         from live
        cross join lateral tenon.take_over(:realm::uuid, live.email,
                                           :name::text, :password_hash::text,
                                           true) t
        where :take_over::boolean),
     account as (
       insert into tenon."user" (realm_id, id, email, name, password_hash,
                                 email_verified_at)
       select :realm::uuid, :user_id::uuid, live.email, :name::text,
              :password_hash::text, now()
         from live
        where :password_hash::text is not null
          and :take_over::boolean is not true
       returning id, email, name),
     person as (
       select id, email, name
         from account
        union all
       select taken.id, taken.email, :name::text
         from taken
        union all
       select u.id, u.email, u.name
         from tenon."user" u
        where u.realm_id = :realm::uuid and u.id = :user_id::uuid
          and u.deleted_at is null and u.status = 'active'
          and :password_hash::text is null),
     verified as (
       update tenon."user" u
          set email_verified_at = now(), version = u.version + 1,
              updated_at = now()
         from live
        where :password_hash::text is null
          and u.realm_id = :realm::uuid and u.id = :user_id::uuid
          and u.email = live.email and u.email_verified_at is null),
     joined as (
       insert into tenon.member (tenant_id, id, realm_id, user_id, role,
                                 created_by)
       select :tenant::uuid, :member_id::uuid, :realm::uuid, person.id,
              live.role, live.invited_by
         from live
        cross join person
           on conflict (tenant_id, user_id) do update
          set role = excluded.role, version = member.version + 1,
              created_at = now(), created_by = excluded.created_by,
              updated_at = now(), deleted_at = null
        where member.deleted_at is not null
       returning *),
     done as (
       update tenon.invitation i
          set status = 'accepted', accepted_at = now(),
              accepted_by = joined.user_id, version = live.version + 1,
              updated_at = now()
         from live, joined
        where i.tenant_id = :tenant::uuid and i.id = live.id
       returning i.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'member.joined', 'tenon.member',
                joined.id, joined.version, null,
                tenon.image('tenon.member'::regclass, to_jsonb(joined)),
                jsonb_build_object('email', done.email, 'role', done.role,
                                   'invitation_id', done.id,
                                   'invited_by', done.invited_by),
                :salt::bytea) as member_event,
              tenon.log_event(
                tenon.uuid7(), 'invitation.accepted', 'tenon.invitation',
                done.id, done.version,
                tenon.image('tenon.invitation'::regclass, to_jsonb(live)),
                tenon.image('tenon.invitation'::regclass, to_jsonb(done)),
                null, uuid_send(gen_random_uuid())) as invitation_event,
              (select tenon.log_event(
                        tenon.uuid7(), 'user.taken_over', 'tenon.user',
                        taken.id, taken.version, null, null, null,
                        uuid_send(gen_random_uuid()))
                 from taken) as taken_event
         from joined
        cross join done
        cross join live),
     shown as materialized (
       select json_build_object('id', person.id, 'email', person.email,
                                'name', person.name)::text as "user",
              json_build_object('id', t.tenant_id, 'name', t.name,
                                'slug', t.slug)::text as tenant,
              json_build_object(
                'id', joined.id, 'user_id', joined.user_id,
                'email', person.email, 'name', person.name,
                'role', joined.role, 'version', joined.version,
                'created_at',
                to_char(joined.created_at at time zone 'UTC',
                        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text as member
         from joined
        cross join person
        cross join logged
         join tenon.tenant t on t.tenant_id = :tenant::uuid),
     {{kept}}
select coalesce(shown."user", idem.outcome ->> 'user') as "user",
       coalesce(shown.tenant, idem.outcome ->> 'tenant') as tenant,
       coalesce(shown.member, idem.outcome ->> 'member') as member,
       exists (select from invitation) and not unlocked.holds as locked,
       :take_over::boolean and exists (select from live)
       and not exists (select from taken) as known,
       (select taken.tenants from taken) as tenants,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join unlocked
  left join shown on true;
