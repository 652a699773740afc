-- Roles of a tenant's own, and the owner's, which goes from one to another. How
-- a write goes tells the top of people.sql. What a role holds, and who may give
-- it, is asked of functions (0008_roles.sql), which see what was committed
-- while the statement waited for its locks.

-- The tenant's row is locked: there is a most of roles. And the actor's: the
-- role it has now counts, until the new one is there.
-- name: role_create
with {{idem}},
     {{here}},
     me as materialized (
       select m.role
         from here
         join tenon.member m on m.tenant_id = here.tenant_id
                            and m.user_id = :actor::uuid
                            and m.deleted_at is null
          for share of m),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when me.role is null then 'forbidden'
              when :level::text = 'platform'
              then 'invalid_fields /level not_in_set is shipped only'
              when tenon.role_level(:tenant::uuid, :name::text) is not null
              then 'duplicate /name duplicate'
              when tenon.role_count(:tenant::uuid) >= 100
              then 'limit_reached: There are 100 roles already.'
              else tenon.grants_refused(:tenant::uuid, me.role,
                                        :permissions::jsonb, '/permissions')
              end as refused,
              idem.go and idem.fingerprint is null as fresh
         from idem
         left join me on true),
     done as (
       insert into tenon.tenant_role (tenant_id, id, name, title, level,
                                      created_by)
       select :tenant::uuid, :id::uuid, :name::text, :title::text,
              coalesce(:level::text, 'tenant'), :actor::uuid
         from verdict v
        where v.fresh and v.refused is null
       returning *),
     granted as (
       insert into tenon.tenant_grant (tenant_id, role_id, permission, scope)
       select :tenant::uuid, done.id, p.number,
              coalesce(g.one ->> 'scope', 'tenant')
         from done
        cross join jsonb_array_elements(:permissions::jsonb) g (one)
         join tenon.permission p on p.name = g.one ->> 'permission'),
     told as materialized (
       select done.*,
              coalesce(tenon.grants_told(:permissions::jsonb), '[]'::json)
                  as permissions
         from done),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'role.created', 'tenon.role',
                told.id, told.version, null,
                tenon.image('tenon.tenant_role'::regclass,
                            to_jsonb(told) - 'permissions')
                || jsonb_build_object('permissions', told.permissions),
                null, :salt::bytea)
         from told),
     shown as materialized (
       select told.id::text, told.name::text, told.title::text,
              told.level::text, 'f' as shipped, told.permissions::text,
              told.version::text, told.created_at::text,
              told.updated_at::text
         from told
        cross join logged),
     {{kept}}
select v.refused, {{role_outputs}},
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- fragment: role_outputs
coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.name, idem.outcome ->> 'name') as name,
       coalesce(shown.title, idem.outcome ->> 'title') as title,
       coalesce(shown.level, idem.outcome ->> 'level') as level,
       coalesce(shown.shipped, idem.outcome ->> 'shipped') as shipped,
       coalesce(shown.permissions, idem.outcome ->> 'permissions')
           as permissions,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.updated_at, idem.outcome ->> 'updated_at')
           as updated_at

-- Its own row is locked behind the actor's, as where roles are given.
-- name: role_update
with {{idem}},
     {{role_locked}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when l.id is null and {{is_shipped}}
              then 'state_conflict: This role is shipped with Tenon.'
              when l.id is null then 'not_found'
              when not tenon.role_covers(:tenant::uuid, me.role, l.name)
              then 'forbidden: It holds more than your role does.'
              when l.version <> all (:match::bigint[])
              then 'precondition_failed'
              else tenon.grants_refused(:tenant::uuid, me.role,
                                        :permissions::jsonb, '/permissions')
              end as refused
         from idem
         left join me on true
         left join locked l on true),
     wanted as materialized (
       select l.*, l.told as held,
              coalesce(:title::text, l.title) as new_title,
              coalesce(tenon.grants_told(:permissions::jsonb), l.told)
                  as holds
         from verdict v
        cross join told l
        where v.refused is null),
     done as (
       update tenon.tenant_role r
          set title = w.new_title, version = w.version + 1,
              updated_at = now()
         from wanted w
        where (w.new_title <> w.title or w.holds::text <> w.held::text)
          and r.tenant_id = :tenant::uuid and r.id = w.id
       returning r.*),
     granted as materialized (
       select count(tenon.set_role_grants(:tenant::uuid, done.id,
                                          :permissions::jsonb))
         from done
        where :permissions::jsonb is not null),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'role.updated', 'tenon.role',
                done.id, done.version,
                tenon.image('tenon.tenant_role'::regclass,
                            to_jsonb(l) - 'told')
                || jsonb_build_object('permissions', w.held),
                tenon.image('tenon.tenant_role'::regclass, to_jsonb(done))
                || jsonb_build_object('permissions', w.holds),
                null, :salt::bytea)
         from done
        cross join granted
        cross join wanted w
        cross join told l),
     shown as materialized (
       select w.id::text, w.name::text, w.new_title::text as title,
              w.level::text, 'f' as shipped, w.holds::text as permissions,
              coalesce(done.version, w.version)::text as version,
              w.created_at::text,
              coalesce(done.updated_at, w.updated_at)::text as updated_at
         from wanted w
         left join done on true
         left join logged on true),
     {{kept}}
select v.refused, {{role_outputs}},
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- fragment: role_locked
me as materialized (
       select m.role
         from idem
        cross join tenon.member m
        where idem.go and idem.fingerprint is null
          and m.tenant_id = :tenant::uuid and m.user_id = :actor::uuid
          and m.deleted_at is null
          for share of m),
     locked as materialized (
       select r.*
         from idem
        cross join tenon.tenant_role r
        where idem.go and idem.fingerprint is null
          and (select count(*) from me) < 2
          and r.tenant_id = :tenant::uuid and r.id = :id::uuid
          and r.deleted_at is null
          for no key update of r),
     told as materialized (
       select l.*, tenon.role_told(:tenant::uuid, l.name) as told
         from locked l)

-- fragment: is_shipped
exists (select
          from tenon.role_view s
         where s.tenant_id = :tenant::uuid and s.id = :id::uuid and s.shipped)

-- Who gives a role holds its row for share until that is done, so here whoever
-- has it is counted.
-- name: role_delete
with {{idem}},
     {{role_locked}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when l.id is null and {{is_shipped}}
              then 'state_conflict: This role is shipped with Tenon.'
              when l.id is null then 'not_found'
              when not tenon.role_covers(:tenant::uuid, me.role, l.name)
              then 'forbidden: It holds more than your role does.'
              when l.version <> all (:match::bigint[])
              then 'precondition_failed'
              else 'state_conflict: It is in use ('
                   || tenon.role_holders(:tenant::uuid, l.name)
                   || '): give them another role first.'
              end as refused
         from idem
         left join me on true
         left join locked l on true),
     done as (
       update tenon.tenant_role r
          set deleted_at = now(), version = l.version + 1, updated_at = now()
         from verdict v, locked l
        where v.refused is null
          and r.tenant_id = :tenant::uuid and r.id = l.id
       returning r.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'role.deleted', 'tenon.role',
                done.id, done.version,
                tenon.image('tenon.tenant_role'::regclass,
                            to_jsonb(l) - 'told')
                || jsonb_build_object('permissions', l.told),
                null, null, :salt::bytea)
         from done
        cross join told l),
     shown as materialized (
       select done.id::text
         from done
        cross join logged),
     {{kept}}
select v.refused, idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- The rows of all owners are locked with that of the one who becomes one, in
-- the order of their ids, as where a member's role is changed: the owner's goes
-- from one to the other in one statement, and at least one owner is left,
-- whoever hurries.
-- name: tenant_transfer
with {{idem}},
     locked as materialized (
       select m.*
         from idem
        cross join tenon.member m
        where idem.go and idem.fingerprint is null
          and m.tenant_id = :tenant::uuid and m.deleted_at is null
          and m.id in ({{owners_and}} :member_id::uuid)
        order by m.id
          for no key update of m),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when me.role is distinct from 'owner' then 'forbidden'
              when t.id is null then 'invalid_fields /member_id not_found'
              when t.id = me.id
              then 'invalid_fields /member_id not_in_set is yourself'
              end as refused
         from idem
         left join locked me on me.user_id = :actor::uuid
         left join locked t on t.id = :member_id::uuid),
     done as (
       update tenon.member m
          set role = case when l.id = :member_id::uuid then 'owner'
                          else 'admin' end,
              version = l.version + 1, updated_at = now()
         from verdict v, locked l
        where v.refused is null
          and (l.user_id = :actor::uuid
               or l.id = :member_id::uuid and l.role <> 'owner')
          and m.tenant_id = :tenant::uuid and m.id = l.id
       returning m.*),
     changed as materialized (
       select count(tenon.log_event(
                tenon.uuid7(), 'member.role_changed', 'tenon.member',
                done.id, done.version,
                tenon.image('tenon.member'::regclass, to_jsonb(l)),
                tenon.image('tenon.member'::regclass, to_jsonb(done)),
                jsonb_build_object('from', l.role, 'to', done.role),
                uuid_send(gen_random_uuid())))
         from done
         join locked l on l.id = done.id),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'tenant.transferred', 'tenon.tenant',
                :tenant::uuid, null, null, null,
                jsonb_build_object('from', done.user_id, 'to', t.user_id),
                :salt::bytea)
         from done
         join locked t on t.id = :member_id::uuid
        cross join changed
        where done.user_id = :actor::uuid),
     shown as materialized (
       select t.id::text, t.user_id::text, u.email::text, u.name::text,
              'owner' as role,
              coalesce(done.version, t.version)::text as version,
              t.created_at::text
         from logged
         join locked t on t.id = :member_id::uuid
         join tenon."user" u on u.realm_id = :realm::uuid
                            and u.id = t.user_id
         left join done on done.id = t.id),
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
