-- Accounts, and who holds which role in them. How a write goes tells the top
-- of people.sql. :reach holds the accounts in which the actor may do this,
-- :sight those that it may see; null is all of the tenant's. What changes who
-- reaches which account goes one after another: the functions that decide it
-- wait for their turn, and then look (tenon.lock_accounts).

-- name: account_create
with {{idem}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when :parent_id::uuid is null and :reach::uuid[] is not null
              then 'invalid_fields /parent_id required is required: your roles '
                   || 'hold in accounts, so name the one that it shall lie in'
              when :parent_id::uuid <> all (:reach::uuid[])
              then 'invalid_fields /parent_id not_found'
              else tenon.place_account(null, :parent_id::uuid)
              end as refused
         from idem),
     done as (
       insert into tenon.account (tenant_id, id, parent_id, kind, name,
                                  created_by)
       select :tenant::uuid, :id::uuid, :parent_id::uuid,
              coalesce(:kind::text, 'team'), :name::text, :actor::uuid
         from idem
        cross join verdict v
        where idem.go and idem.fingerprint is null and v.refused is null
       returning *),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'account.created', 'tenon.account',
                done.id, done.version, null,
                tenon.image('tenon.account'::regclass, to_jsonb(done)), null,
                :salt::bytea, 'success', null, done.id)
         from done),
     shown as materialized (
       select done.id::text, done.parent_id::text, done.kind::text,
              done.name::text, done.version::text, done.created_at::text,
              done.created_by::text, done.updated_at::text
         from done
        cross join logged),
     {{kept}}
select v.refused,
       {{account_shown}}
       {{told}};

-- fragment: account_shown
coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.parent_id, idem.outcome ->> 'parent_id') as parent_id,
       coalesce(shown.kind, idem.outcome ->> 'kind') as kind,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       coalesce(shown.updated_at, idem.outcome ->> 'updated_at')
           as updated_at,

-- The account, where somebody may see it.
-- fragment: account_locked
locked as materialized (
       select a.*
         from idem
        cross join tenon.account a
        where idem.go and idem.fingerprint is null
          and a.tenant_id = :tenant::uuid and a.id = :id::uuid
          and a.deleted_at is null
          and (:sight::uuid[] is null or a.id = any (:sight::uuid[]))
          for no key update of a)

-- What any change of one is refused for first.
-- fragment: account_refused
when not idem.go or idem.fingerprint is not null then null
              when t.id is null then 'not_found'
              when t.id <> all (:reach::uuid[]) then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'

-- What is deleted is told by its id.
-- fragment: gone_shown
shown as materialized (
       select done.id::text
         from done
        cross join logged)

-- Moving takes the account from where it lay, so the actor must reach that,
-- too. And who holds roles around the one place and not around the other gains
-- or loses rights: the actor must be one to give and take them. (Bit 2 of :mask
-- is parent_id's.)
-- name: account_update
with {{idem}},
     {{account_locked}},
     wanted as materialized (
       select case when :mask::bigint & 2 <> 0 then :parent_id::uuid
                   else t.parent_id end as parent_id,
              coalesce(:kind::text, t.kind) as kind,
              coalesce(:name::text, t.name) as name,
              :mask::bigint & 2 <> 0
              and not coalesce(:parent_id::uuid = t.parent_id,
                               :parent_id::uuid is null
                               and t.parent_id is null) as moves
         from locked t),
     verdict as materialized (
       select case
              {{account_refused}}
              when not w.moves then null
              when :reach::uuid[] is not null
               and coalesce(t.parent_id <> all (:reach::uuid[]), true)
              then 'forbidden'
              when w.parent_id is null and :reach::uuid[] is not null
              then 'invalid_fields /parent_id required is required: your roles '
                   || 'hold in accounts, so name the one that it shall lie in'
              when w.parent_id <> all (:reach::uuid[])
              then 'invalid_fields /parent_id not_found'
              else coalesce(
                       tenon.place_account(t.id, w.parent_id),
                       case when not tenon.may_move_account(
                                         :actor::uuid, t.id, w.parent_id)
                            then 'forbidden /parent_id refused would give or '
                                 || 'take rights that your own roles don''t '
                                 || 'hold in this account: who may give and '
                                 || 'take the roles held there can move it'
                            end)
              end as refused
         from idem
         left join locked t on true
         left join wanted w on true),
     done as (
       update tenon.account a
          set parent_id = w.parent_id, kind = w.kind, name = w.name,
              version = t.version + 1, updated_at = now()
         from verdict v, locked t, wanted w
        where v.refused is null
          and (t.parent_id, t.kind, t.name)
              is distinct from (w.parent_id, w.kind, w.name)
          and a.tenant_id = :tenant::uuid and a.id = t.id
       returning a.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid,
                case when w.moves then 'account.moved'
                     else 'account.updated' end,
                'tenon.account', done.id, done.version,
                tenon.image('tenon.account'::regclass, to_jsonb(t)),
                tenon.image('tenon.account'::regclass, to_jsonb(done)), null,
                :salt::bytea, 'success', t.id, t.id)
         from done
        cross join locked t
        cross join wanted w),
     shown as materialized (
       select t.id::text, w.parent_id::text, w.kind::text, w.name::text,
              coalesce(done.version, t.version)::text as version,
              t.created_at::text, t.created_by::text,
              coalesce(done.updated_at, t.updated_at)::text as updated_at
         from verdict v
        cross join locked t
        cross join wanted w
         left join done on true
         left join logged on true
        where v.refused is null),
     {{kept}}
select v.refused,
       {{account_shown}}
       {{told}};

-- name: account_delete
with {{idem}},
     {{account_locked}},
     verdict as materialized (
       select case
              {{account_refused}}
              else tenon.leave_account(t.id)
              end as refused
         from idem
         left join locked t on true),
     done as (
       update tenon.account a
          set deleted_at = now(), version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null
          and a.tenant_id = :tenant::uuid and a.id = t.id
       returning a.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'account.deleted', 'tenon.account',
                done.id, done.version,
                tenon.image('tenon.account'::regclass, to_jsonb(t)), null,
                null, :salt::bytea, 'success', t.id, null)
         from done
        cross join locked t),
     {{gone_shown}},
     {{kept}}
select v.refused, {{told}};

-- What is asked for is told at once; whether it may be given, only of what is
-- there.
-- name: account_member_create
with {{idem}},
     named as materialized (
       select a.id as account, m.user_id as member, m.created_at as since,
              tenon.is_account_role(:role::text) as role
         from idem
         left join tenon.account a
                on a.tenant_id = :tenant::uuid and a.id = :account_id::uuid
               and a.deleted_at is null
               and (:reach::uuid[] is null or a.id = any (:reach::uuid[]))
         left join tenon.member m
                on m.tenant_id = :tenant::uuid and m.user_id = :user_id::uuid
               and m.deleted_at is null),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when n.account is null or n.member is null or not n.role
              then 'invalid_fields ' || concat_ws(
                       ';',
                       case when n.account is null
                            then '/account_id not_found' end,
                       case when n.member is null
                            then '/user_id not_found' end,
                       case when not n.role then '/role not_in_set' end)
              when not tenon.may_hand_account_role(:actor::uuid, n.account,
                                                   :role::text)
              then 'forbidden'
              else tenon.hold_account(n.member, n.account)
              end as refused
         from idem
        cross join named n),
     -- What they held before they left, and came back.
     gone as (
       update tenon.account_member h
          set deleted_at = now(), version = h.version + 1, updated_at = now()
         from idem, verdict v, named n
        where idem.go and idem.fingerprint is null and v.refused is null
          and h.tenant_id = :tenant::uuid and h.user_id = n.member
          and h.account_id = n.account and h.created_at < n.since
          and h.deleted_at is null
       returning h.*),
     cleared as materialized (
       select count(tenon.log_event(
                tenon.uuid7(), 'account_member.deleted',
                'tenon.account_member', gone.id, gone.version, null, null,
                jsonb_build_object('reason', 'left'),
                uuid_send(gen_random_uuid()), 'success', gone.account_id,
                null))
         from gone),
     done as (
       insert into tenon.account_member (tenant_id, id, account_id, user_id,
                                         role, created_by)
       select :tenant::uuid, :id::uuid, n.account, n.member, :role::text,
              :actor::uuid
         from idem
        cross join verdict v
        cross join named n
        cross join cleared
        where idem.go and idem.fingerprint is null and v.refused is null
       returning *),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'account_member.created',
                'tenon.account_member', done.id, done.version, null,
                tenon.image('tenon.account_member'::regclass, to_jsonb(done)),
                null, :salt::bytea, 'success', null, done.account_id)
         from done),
     shown as materialized (
       select done.id::text, done.account_id::text, done.user_id::text,
              u.email::text, u.name::text, done.role::text,
              done.version::text, done.created_at::text
         from done
         join tenon."user" u on u.realm_id = :realm::uuid
                            and u.id = done.user_id
        cross join logged),
     {{kept}}
select v.refused,
       {{account_member_shown}}
       {{told}};

-- fragment: account_member_shown
coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.account_id, idem.outcome ->> 'account_id')
           as account_id,
       coalesce(shown.user_id, idem.outcome ->> 'user_id') as user_id,
       coalesce(shown.email, idem.outcome ->> 'email') as email,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.role, idem.outcome ->> 'role') as role,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,

-- The role, where somebody may see it: in a living account, of a member.
-- fragment: account_member_locked
locked as materialized (
       select h.*
         from idem
        cross join tenon.account_member h
         join tenon.account a on a.tenant_id = h.tenant_id
                             and a.id = h.account_id
                             and a.deleted_at is null
         join tenon.member m on m.tenant_id = h.tenant_id
                            and m.user_id = h.user_id
                            and m.deleted_at is null
                            and m.created_at <= h.created_at
        where idem.go and idem.fingerprint is null
          and h.tenant_id = :tenant::uuid and h.id = :id::uuid
          and h.deleted_at is null
          and (:sight::uuid[] is null or h.account_id = any (:sight::uuid[]))
          for no key update of h)

-- fragment: account_member_refused
when not idem.go or idem.fingerprint is not null then null
              when t.id is null then 'not_found'
              when t.account_id <> all (:reach::uuid[]) then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'

-- name: account_member_update
with {{idem}},
     {{account_member_locked}},
     verdict as materialized (
       select case
              {{account_member_refused}}
              when not tenon.is_account_role(coalesce(:role::text, t.role))
              then 'invalid_fields /role not_in_set'
              when not (tenon.may_hand_account_role(
                            :actor::uuid, t.account_id, t.role)
                        and tenon.may_hand_account_role(
                            :actor::uuid, t.account_id,
                            coalesce(:role::text, t.role)))
              then 'forbidden'
              end as refused
         from idem
         left join locked t on true),
     done as (
       update tenon.account_member h
          set role = :role::text, version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null and t.role <> :role::text
          and h.tenant_id = :tenant::uuid and h.id = t.id
       returning h.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'account_member.role_changed',
                'tenon.account_member', done.id, done.version,
                tenon.image('tenon.account_member'::regclass, to_jsonb(t)),
                tenon.image('tenon.account_member'::regclass, to_jsonb(done)),
                jsonb_build_object('from', t.role, 'to', done.role),
                :salt::bytea, 'success', t.account_id, t.account_id)
         from done
        cross join locked t),
     shown as materialized (
       select t.id::text, t.account_id::text, t.user_id::text,
              u.email::text, u.name::text,
              coalesce(done.role, t.role)::text as role,
              coalesce(done.version, t.version)::text as version,
              t.created_at::text
         from verdict v
        cross join locked t
         join tenon."user" u on u.realm_id = :realm::uuid
                            and u.id = t.user_id
         left join done on true
         left join logged on true
        where v.refused is null),
     {{kept}}
select v.refused,
       {{account_member_shown}}
       {{told}};

-- name: account_member_delete
with {{idem}},
     {{account_member_locked}},
     verdict as materialized (
       select case
              {{account_member_refused}}
              when not tenon.may_hand_account_role(:actor::uuid, t.account_id,
                                                   t.role)
              then 'forbidden'
              end as refused
         from idem
         left join locked t on true),
     done as (
       update tenon.account_member h
          set deleted_at = now(), version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null
          and h.tenant_id = :tenant::uuid and h.id = t.id
       returning h.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'account_member.deleted',
                'tenon.account_member', done.id, done.version,
                tenon.image('tenon.account_member'::regclass, to_jsonb(t)),
                null, jsonb_build_object('role', t.role),
                :salt::bytea, 'success', t.account_id, null)
         from done
        cross join locked t),
     {{gone_shown}},
     {{kept}}
select v.refused, {{told}};

-- A row is shared by who may do to it what they share, in its account or in
-- the whole tenant.
-- name: share_create
with {{idem}},
     {{asking}},
     named as materialized (
       select g.there, g.account, m.user_id as member, m.created_at as since
         from idem
         left join lateral tenon.share_target(:resource::text,
                                              :resource_id::uuid) g
                on idem.go and idem.fingerprint is null
         left join tenon.member m
                on m.tenant_id = :tenant::uuid and m.user_id = :user_id::uuid
               and m.deleted_at is null),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              {{session_ended}}
              when n.there is null
              then 'invalid_fields /resource not_in_set is no resource whose '
                   || 'rows can be shared'
              when not w.here or n.member is null
              then 'invalid_fields ' || concat_ws(
                       ';',
                       case when not w.here
                            then '/resource_id not_found' end,
                       case when n.member is null
                            then '/user_id not_found' end)
              when exists (
                   select
                     from tenon.permission p
                    where p.name in (:resource::text || ':read',
                                     :resource::text || ':'
                                     || coalesce(:access::text, 'read'))
                      and not exists (
                          select
                            from tenon.holds_in_account(:actor::uuid,
                                                        n.account) h
                           where h.permission = p.number
                             and h.scope = 'tenant'))
              then 'forbidden'
              end as refused
         from idem
        cross join named n
        cross join lateral (
              select coalesce(n.there and (:reach::uuid[] is null
                                           or n.account = any (:reach::uuid[])),
                              false) as here) w),
     -- What was shared with them before they left, and came back.
     gone as (
       update tenon.share s
          set deleted_at = now(), version = s.version + 1, updated_at = now()
         from idem, verdict v, named n
        where idem.go and idem.fingerprint is null and v.refused is null
          and s.tenant_id = :tenant::uuid and s.user_id = n.member
          and s.resource_id = :resource_id::uuid
          and s.resource = :resource::text and s.created_at < n.since
          and s.deleted_at is null
       returning s.*),
     cleared as materialized (
       select count(tenon.log_event(
                tenon.uuid7(), 'share.deleted', 'tenon.share', gone.id,
                gone.version, null, null,
                jsonb_build_object('reason', 'left'),
                uuid_send(gen_random_uuid()), 'success', gone.account_id,
                null))
         from gone),
     done as (
       insert into tenon.share (tenant_id, id, resource, resource_id,
                                account_id, user_id, access, created_by)
       select :tenant::uuid, :id::uuid, :resource::text, :resource_id::uuid,
              n.account, n.member, coalesce(:access::text, 'read'),
              :actor::uuid
         from idem
        cross join verdict v
        cross join named n
        cross join cleared
        where idem.go and idem.fingerprint is null and v.refused is null
       returning *),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'share.created', 'tenon.share', done.id,
                done.version, null,
                tenon.image('tenon.share'::regclass, to_jsonb(done)), null,
                :salt::bytea, 'success', null, done.account_id)
         from done),
     shown as materialized (
       select done.id::text, done.resource::text, done.resource_id::text,
              done.account_id::text, done.user_id::text, u.email::text,
              u.name::text, done.access::text, done.version::text,
              done.created_at::text, done.created_by::text
         from done
         join tenon."user" u on u.realm_id = :realm::uuid
                            and u.id = done.user_id
        cross join logged),
     {{kept}}
select v.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.resource, idem.outcome ->> 'resource') as resource,
       coalesce(shown.resource_id, idem.outcome ->> 'resource_id')
           as resource_id,
       coalesce(shown.account_id, idem.outcome ->> 'account_id')
           as account_id,
       coalesce(shown.user_id, idem.outcome ->> 'user_id') as user_id,
       coalesce(shown.email, idem.outcome ->> 'email') as email,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.access, idem.outcome ->> 'access') as access,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       {{told}};

-- name: share_delete
with {{idem}},
     locked as materialized (
       select s.*
         from idem
        cross join tenon.share s
        where idem.go and idem.fingerprint is null
          and s.tenant_id = :tenant::uuid and s.id = :id::uuid
          and s.deleted_at is null
          and (:sight::uuid[] is null or s.account_id = any (:sight::uuid[])
               or s.user_id = :sight_any::uuid)
          for no key update of s),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when t.id is null then 'not_found'
              when :reach::uuid[] is not null
               and not coalesce(t.account_id = any (:reach::uuid[]), false)
               and not coalesce(t.user_id = :own::uuid, false)
              then 'forbidden'
              when t.version <> all (:match::bigint[])
              then 'precondition_failed'
              end as refused
         from idem
         left join locked t on true),
     done as (
       update tenon.share s
          set deleted_at = now(), version = t.version + 1, updated_at = now()
         from verdict v, locked t
        where v.refused is null
          and s.tenant_id = :tenant::uuid and s.id = t.id
       returning s.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'share.deleted', 'tenon.share', done.id,
                done.version,
                tenon.image('tenon.share'::regclass, to_jsonb(t)), null,
                null, :salt::bytea, 'success', t.account_id, null)
         from done
        cross join locked t),
     {{gone_shown}},
     {{kept}}
select v.refused, {{told}};
