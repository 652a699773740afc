-- 0008_roles.sql: what the shipped roles may do, what a role holds, whether it
-- was shipped or is the tenant's own, and who may give it: who holds all that
-- it holds (docs/adr/0022-roles-by-sets.md).
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0008_roles.sql


-- Shipped roles --------------------------------------------------------------

-- The same on every installation, so that a client may keep it.
alter table tenon.role add column id uuid not null
      generated always as (md5('tenon.role.' || name)::uuid) stored;

alter table tenon.role add constraint role_id_key unique (id);

comment on column tenon.role.id is
    'Its id in the API, made of its name';

insert into tenon."grant" (role, permission, scope, app)
select g.role, tenon.add_permission(p.name), g.scope, 'tenon'
  from (values
        (array['owner', 'tenant_admin'],
         array['tenon.tenant:read', 'tenon.tenant:update',
               'tenon.member:read', 'tenon.member:create',
               'tenon.member:update', 'tenon.member:delete',
               'tenon.invitation:read', 'tenon.invitation:create',
               'tenon.invitation:delete', 'tenon.audit_event:read',
               'tenon.role:read', 'tenon.role:create', 'tenon.role:update',
               'tenon.role:delete'],
         'tenant'),
        (array['owner'],
         array['tenon.tenant:delete', 'tenon.tenant:transfer'],
         'tenant'),
        (array['admin', 'member', 'moderator'],
         array['tenon.role:read'],
         'tenant'),
        (array['moderator', 'guest'],
         array['tenon.tenant:read'],
         'tenant'),
        (array['moderator'],
         array['tenon.member:read'],
         'tenant'),
        (array['moderator'],
         array['tenon.member:delete'],
         'own')) as x (roles, permissions, scope)
 cross join lateral unnest(x.permissions) with ordinality as p (name, nth)
 cross join lateral (select unnest(x.roles) as role, x.scope) as g
 order by p.nth, g.role
    on conflict (role, permission) do nothing;


-- What roles on the platform may do is no app's to say.
create function tenon.refuse_platform_grant()
returns trigger
language plpgsql
set search_path = pg_catalog
as $$
begin
    perform tenon.refuse(
        format('role %s is held on the platform, not in a tenant', new.role),
        (select format('Roles that an app may allow something: %s.',
                       string_agg(r.name, ', ' order by r.name))
           from tenon.role r
          where r.level <> 'platform'));
    return null;
end
$$;

comment on function tenon.refuse_platform_grant() is
    'Trigger: refuses an app that allows something to a role of the platform';

create function tenon.is_platform_role(role text)
returns boolean
language sql stable
set search_path = pg_catalog
as $$
    select exists (select from tenon.role r
                    where r.name = $1 and r.level = 'platform')
$$;

comment on function tenon.is_platform_role(text) is
    'Whether a role is held on the platform';

create trigger grant_platform
    before insert on tenon."grant"
    for each row
    when (new.app <> 'tenon' and tenon.is_platform_role(new.role))
    execute function tenon.refuse_platform_grant();


-- An app says what an owner may; who runs the tenant in the owner's stead may
-- the same, without a line in every app, loaded long ago or not yet written.
create view tenon.shipped_grant
with (security_invoker = true) as
select g.role,
       g.permission,
       g.scope
  from tenon."grant" g
 union all
select 'tenant_admin',
       g.permission,
       g.scope
  from tenon."grant"    g
  join tenon.permission p on p.number = g.permission
 where g.role = 'owner'
   and g.app <> 'tenon'
   and not exists (
       select
         from tenon."grant"    said
         join tenon.permission of on of.number = said.permission
        where said.role = 'tenant_admin'
          and said.app  = g.app
          and split_part(of.name, ':', 1) = split_part(p.name, ':', 1));

comment on view tenon.shipped_grant is
    'What the shipped roles hold: tenon.grant, and for tenant_admin what an app '
    'allows the owner, resource by resource, unless the app says something of '
    'tenant_admin there itself';


-- Permissions as the API shows them ------------------------------------------

create view tenon.permission_view
with (security_invoker = true) as
select md5('tenon.permission.' || p.name)::uuid as id,
       p.number,
       p.name,
       coalesce(a.summary, q.summary,
                case w.verb when 'history' then 'Read the history of'
                            else initcap(left(w.verb, 1)) || substr(w.verb, 2)
                end || ' ' || w.noun) as description,
       array_remove(array[
           case when held.anywhere then 'tenant' end,
           case when held.own or r.name is not null then 'own' end],
           null) as scopes
  from tenon.permission p
  join (select g.permission,
               bool_or(g.scope = 'tenant') as anywhere,
               bool_or(g.scope = 'own')    as own
          from tenon.shipped_grant g
          join tenon.role          o on o.name = g.role
                                    and o.level <> 'platform'
         group by g.permission) as held on held.permission = p.number
 cross join lateral (
       select replace(split_part(p.name, ':', 2), '_', ' ') as verb,
              replace(split_part(split_part(p.name, ':', 1), '.', 2),
                      '_', ' ') as noun) as w
  left join tenon.resource r
         on r.app || '.' || r.name = split_part(p.name, ':', 1)
  left join tenon.action a
         on a.app = r.app and a.resource = r.name
        and a.name = split_part(p.name, ':', 2)
  left join tenon.query q
         on q.app || '.' || q.name = split_part(p.name, ':', 1);

comment on view tenon.permission_view is
    'What a role in a tenant can hold: what a shipped one does, in no wider '
    'scope. Own rows there are of every resource of an app; of Tenon''s own '
    'endpoints only some know whose a row is, and a shipped role shows which';


-- What a role holds ----------------------------------------------------------
--
-- All of these are volatile: each call sees what has been committed before it,
-- so a statement that has waited for a lock judges by what it waited for, not
-- by what was so when it began.

create function tenon.role_level(tenant uuid, role text)
returns text
language sql volatile
set search_path = pg_catalog
as $$
    select coalesce((select r.level
                       from tenon.role r
                      where r.name = $2),
                    (select o.level
                       from tenon.tenant_role o
                      where o.tenant_id = $1
                        and o.name      = $2
                        and o.deleted_at is null))
$$;

comment on function tenon.role_level(uuid, text) is
    'Where a role is held: platform, tenant or account; null: there is none by '
    'that name';


create function tenon.is_member_role(tenant uuid, role text)
returns boolean
language sql volatile
set search_path = pg_catalog
as $$
    select coalesce(l.level = 'tenant'
                    or l.level = 'platform'
                       and $1 = '00000000-0000-7000-8000-000000000002',
                    false)
      from (select tenon.role_level($1, $2) as level) as l
$$;

comment on function tenon.is_member_role(uuid, text) is
    'Whether members of this tenant may hold a role: its own and the shipped '
    'ones of level tenant, and those of the platform where that is the tenant';


create function tenon.role_holds(tenant uuid, role text)
returns table (permission int, scope text)
language sql volatile
set search_path = pg_catalog
as $$
    select g.permission, g.scope
      from tenon.shipped_grant g
     where g.role = $2
     union all
    select g.permission, g.scope
      from tenon.tenant_role  o
      join tenon.tenant_grant g on g.tenant_id = o.tenant_id
                               and g.role_id   = o.id
     where o.tenant_id = $1
       and o.name      = $2
       and o.deleted_at is null
       and not exists (select from tenon.role r where r.name = $2)
$$;

comment on function tenon.role_holds(uuid, text) is
    'What a role may do, shipped or the tenant''s own; no rows where there is '
    'none';


create function tenon.role_may(tenant uuid, role text, permission text)
returns text
language sql volatile
set search_path = pg_catalog
as $$
    select h.scope
      from tenon.permission p
      join tenon.role_holds($1, $2) h on h.permission = p.number
     where p.name = $3
$$;

comment on function tenon.role_may(uuid, text, text) is
    'In which scope a role holds a permission; null: it doesn''t';


create function tenon.role_gives(tenant uuid, role text)
returns table (permission int, scope text)
language sql volatile
set search_path = pg_catalog
as $$
    select h.permission, h.scope
      from tenon.role_holds($1, $2) h
     union
    select g.permission, g.scope
      from tenon.shipped_grant g
      join tenon.role          o on o.name = g.role
                                and o.level <> 'platform'
     where $2 = 'owner'
        or $2 = 'tenant_admin' and g.role <> 'owner'
$$;

comment on function tenon.role_gives(uuid, text) is
    'What a role may hand on: what it holds. An owner hands on all that a role '
    'in a tenant can hold, and a tenant admin all but what is the owner''s '
    'alone: an app may keep from them what is others'' work (prescribing), but '
    'they say whose work it is';


create function tenon.role_covers(tenant uuid, giver text, given text)
returns boolean
language sql volatile
set search_path = pg_catalog
as $$
    select $2 is not null
       and ($3 <> 'owner' or $2 = 'owner')
       and (tenon.role_level($1, $3) is distinct from 'platform'
            or coalesce(tenon.role_level($1, $2) = 'platform', false))
       and not exists (
           select
             from tenon.role_holds($1, $3) h
            where not exists (
                  select
                    from tenon.role_gives($1, $2) g
                   where g.permission = h.permission
                     and g.scope in ('tenant', h.scope)))
$$;

comment on function tenon.role_covers(uuid, text, text) is
    'Whether who has the one role may give and take the other: holds all that '
    'it holds, in no narrower scope. Only an owner gives or takes the owner''s, '
    'and only the platform its own. A role that is no more holds nothing';


create function tenon.grants_refused(
    tenant   uuid,
    giver    text,
    grants   jsonb,
    pointer  text,
    handing  boolean default true)
returns text
language sql volatile
set search_path = pg_catalog
as $$
    with given as (
        select $4 || '/' || (e.nth - 1)              as at,
               e.nth,
               e.one ->> 'permission'                as name,
               coalesce(e.one ->> 'scope', 'tenant') as scope
          from jsonb_array_elements($3) with ordinality as e (one, nth)),
    mine as materialized (
        select g.permission, g.scope
          from tenon.role_gives($1, $2) g
         where $5
         union all
        select h.permission, h.scope
          from tenon.role_holds($1, $2) h
         where not $5),
    judged as (
        select g.nth,
               case when p.number is null
                    then g.at || '/permission not_in_set is no permission that '
                         'can be held here: GET permissions lists them'
                    when exists (select from given other
                                  where other.name = g.name
                                    and other.nth  < g.nth)
                    then g.at || '/permission duplicate is there twice'
                    when g.scope <> all (p.scopes)
                    then g.at || '/scope not_in_set must be '
                         || array_to_string(p.scopes, ' or ') || ' here'
                    end as wrong,
               case when not exists (
                         select
                           from mine m
                          where m.permission = p.number
                            and m.scope in ('tenant', g.scope))
                    then g.at || ' refused is more than your role holds'
                    end as beyond
          from given g
          left join tenon.permission_view p on p.name = g.name)
    select coalesce('invalid_fields ' || string_agg(wrong, ';' order by nth),
                    'forbidden ' || string_agg(beyond, ';' order by nth))
      from judged
$$;

comment on function tenon.grants_refused(uuid, text, jsonb, text, boolean) is
    'Why a role may not hand on [{permission, scope}], as a statement''s '
    '`refused` (libcore/model/model.h), by pointers below the given one; null: '
    'it may. Not handing on but for itself (a key''s scopes): what it holds '
    'counts, not what it may give';


create function tenon.grants_told(grants jsonb)
returns json
language sql immutable strict
set search_path = pg_catalog
as $$
    select coalesce(json_agg(json_build_object(
                        'permission', one ->> 'permission',
                        'scope', coalesce(one ->> 'scope', 'tenant'))
                    order by one ->> 'permission' collate "C"), '[]')
      from jsonb_array_elements($1) as e (one)
$$;

comment on function tenon.grants_told(jsonb) is
    '[{permission, scope}] in order and whole, as a role shows it';


create function tenon.role_told(tenant uuid, role text)
returns json
language sql volatile
set search_path = pg_catalog
as $$
    select coalesce(json_agg(json_build_object('permission', p.name,
                                               'scope', h.scope)
                             order by p.name), '[]')
      from tenon.role_holds($1, $2) h
      join tenon.permission p on p.number = h.permission
$$;

comment on function tenon.role_told(uuid, text) is
    'What a role holds, as the API shows it';


create function tenon.role_count(tenant uuid)
returns bigint
language sql volatile
set search_path = pg_catalog
as $$
    select count(*)
      from tenon.tenant_role o
     where o.tenant_id = $1
       and o.deleted_at is null
$$;

comment on function tenon.role_count(uuid) is
    'How many roles of its own a tenant has';


create function tenon.role_holders(tenant uuid, role text)
returns text
language sql volatile
set search_path = pg_catalog
as $$
    select nullif(concat_ws(', ',
               case when m.n > 0 then 'members: ' || m.n end,
               case when i.n > 0 then 'invitations: ' || i.n end,
               case when a.n > 0 then 'members of accounts: ' || a.n end), '')
      from (select count(*) as n
              from tenon.member
             where tenant_id = $1 and member.role = $2
               and deleted_at is null) as m,
           (select count(*) as n
              from tenon.invitation
             where tenant_id = $1 and invitation.role = $2
               and deleted_at is null and status = 'pending'
               and expires_at > now()) as i,
           (select count(*) as n
              from tenon.account_member
             where tenant_id = $1 and account_member.role = $2
               and deleted_at is null) as a
$$;

comment on function tenon.role_holders(uuid, text) is
    'Who has a role or was invited to it, in words; null: nobody';


create function tenon.set_role_grants(tenant uuid, role_id uuid, grants jsonb)
returns void
language sql volatile
set search_path = pg_catalog
as $$
    delete from tenon.tenant_grant g
     where g.tenant_id = $1
       and g.role_id   = $2
       and not exists (
           select
             from jsonb_array_elements($3) as e (one)
             join tenon.permission p on p.name = e.one ->> 'permission'
            where p.number = g.permission);

    insert into tenon.tenant_grant as g (tenant_id, role_id, permission, scope)
    select $1, $2, p.number, coalesce(e.one ->> 'scope', 'tenant')
      from jsonb_array_elements($3) as e (one)
      join tenon.permission p on p.name = e.one ->> 'permission'
        on conflict (tenant_id, role_id, permission) do update
       set scope = excluded.scope
     where g.scope <> excluded.scope;
$$;

comment on function tenon.set_role_grants(uuid, uuid, jsonb) is
    'Makes [{permission, scope}] all that a role of the tenant''s own holds; '
    'its row is locked';


-- Roles as the API shows them ------------------------------------------------

create view tenon.role_view
with (security_invoker = true) as
select t.tenant_id,
       r.id,
       r.name,
       r.title,
       r.level,
       true as shipped,
       (select coalesce(json_agg(json_build_object('permission', p.name,
                                                   'scope', g.scope)
                                 order by p.name), '[]')
          from tenon.shipped_grant g
          join tenon.permission    p on p.number = g.permission
         where g.role = r.name) as permissions,
       c.version,
       t.created_at,
       t.created_at as updated_at,
       null::uuid   as created_by
  from tenon.tenant t
 cross join tenon.role r
 cross join tenon.catalogue_version c
 where t.deleted_at is null
   and (r.level <> 'platform'
        or t.tenant_id = '00000000-0000-7000-8000-000000000002')
 union all
select o.tenant_id,
       o.id,
       o.name,
       o.title,
       o.level,
       false,
       (select coalesce(json_agg(json_build_object('permission', p.name,
                                                   'scope', g.scope)
                                 order by p.name), '[]')
          from tenon.tenant_grant g
          join tenon.permission   p on p.number = g.permission
         where g.tenant_id = o.tenant_id
           and g.role_id   = o.id),
       o.version,
       o.created_at,
       o.updated_at,
       o.created_by
  from tenon.tenant_role o
 where o.deleted_at is null;

comment on view tenon.role_view is
    'The roles that can be held in a tenant, with what they hold: the shipped '
    'ones, whose version is that of the catalogue, and its own';


create or replace view tenon.access_view
with (security_invoker = true) as
select m.tenant_id,
       m.id,
       m.user_id,
       u.email,
       u.name,
       m.role,
       (select coalesce(json_agg(json_build_object('permission', p.name,
                                                   'scope', g.scope)
                                 order by p.name), '[]')
          from (select s.permission, s.scope
                  from tenon.shipped_grant s
                 where s.role = m.role
                 union all
                select t.permission, t.scope
                  from tenon.tenant_role  o
                  join tenon.tenant_grant t on t.tenant_id = o.tenant_id
                                           and t.role_id   = o.id
                 where o.tenant_id = m.tenant_id
                   and o.name      = m.role
                   and o.deleted_at is null) as g
          join tenon.permission p on p.number = g.permission) as permissions,
       case when given.action = 'member.joined'
            then m.created_by
            else given.actor end as granted_by,
       given.at as granted_at,
       m.version,
       m.created_at
  from tenon.member m
  join tenon."user" u
    on u.realm_id = m.realm_id
   and u.id       = m.user_id
  left join lateral (
       select e.action, e.actor, e.at
         from tenon.event e
        where e.tenant_id   = m.tenant_id
          and e.resource_id = m.id
          and e.resource    = 'tenon.member'
          and e.action in ('member.created', 'member.joined',
                           'member.role_changed', 'member.updated',
                           'member.restored')
          and e.outcome     = 'success'
        order by e.at desc, e.id desc
        limit 1) as given on true
 where m.deleted_at is null;


-- Changes that don't come through the API ------------------------------------

create function tenon.touch_role()
returns trigger
language plpgsql
set search_path = pg_catalog
as $$
begin
    -- Its own triggers give it a version and write the event.
    update tenon.tenant_role o
       set updated_at = now()
     where o.tenant_id = coalesce(new.tenant_id, old.tenant_id)
       and o.id        = coalesce(new.role_id, old.role_id);

    return null;
end
$$;

comment on function tenon.touch_role() is
    'Trigger: what a role holds was changed, so the role was';

create trigger tenon_log
    after insert or update or delete on tenon.tenant_grant
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch_role();


-- Grants ---------------------------------------------------------------------

grant insert,
      update (title, version, updated_at, deleted_at)
   on tenon.tenant_role
   to tenon_api;

grant insert,
      update (scope),
      delete
   on tenon.tenant_grant
   to tenon_api;

grant select
   on tenon.shipped_grant, tenon.permission_view, tenon.role_view
   to tenon_api;

grant execute
   on function tenon.role_level(uuid, text),
               tenon.is_member_role(uuid, text),
               tenon.role_holds(uuid, text),
               tenon.role_may(uuid, text, text),
               tenon.role_gives(uuid, text),
               tenon.role_covers(uuid, text, text),
               tenon.grants_refused(uuid, text, jsonb, text, boolean),
               tenon.grants_told(jsonb),
               tenon.role_told(uuid, text),
               tenon.role_count(uuid),
               tenon.role_holders(uuid, text),
               tenon.set_role_grants(uuid, uuid, jsonb)
   to tenon_api;
