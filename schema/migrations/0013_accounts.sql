-- 0013_accounts.sql: accounts at work. Who holds a role in one, within what
-- bounds; which of an app's rows belong to an account; rows that are shared
-- with somebody one by one.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0013_accounts.sql


-- Declarations ---------------------------------------------------------------

alter table tenon.resource
  add column account_column  text    collate "C",
  add column shareable       boolean not null default false;

comment on column tenon.resource.account_column is
    'Holds the account that a row belongs to; null: rows belong to the tenant';
comment on column tenon.resource.shareable is
    'Whether single rows can be shared with members';


-- Bounds ---------------------------------------------------------------------
--
-- All that changes who reaches which account happens one at a time within a
-- tenant: what one finds is still so when it commits.

create function tenon.lock_accounts()
returns uuid
language plpgsql
set search_path = pg_catalog
as $$
declare
    tenant  uuid := tenon.current_tenant();
begin
    perform from tenon.tenant t where t.tenant_id = tenant for no key update;
    return tenant;
end
$$;

comment on function tenon.lock_accounts() is
    'Waits until nobody else changes the tenant''s accounts or who holds roles '
    'in them; the next statement of the caller sees what the last one did';


create function tenon.reached(tenant uuid, users uuid[], also uuid)
returns bigint
language sql volatile
set search_path = pg_catalog
as $$
    with recursive held (user_id, account_id) as (
        (select m.user_id, m.account_id
           from tenon.account_member m
           join tenon.account a on a.tenant_id = m.tenant_id
                               and a.id        = m.account_id
          where m.tenant_id = $1
            and m.user_id = any ($2)
            and m.deleted_at is null
            and a.deleted_at is null
          union all
         select u, $3
           from unnest($2) as u
          where $3 is not null)
         union
        select h.user_id, a.id
          from held h
          join tenon.account a on a.tenant_id = $1
                              and a.parent_id = h.account_id
         where a.deleted_at is null)
    select coalesce(max(n), 0)
      from (select count(*) as n from held group by user_id) as each
$$;

comment on function tenon.reached(uuid, uuid[], uuid) is
    'The most accounts that one of these users reaches, or would reach with '
    'one more: those they hold a role in and all that lie in them';


create function tenon.place_account(account uuid, parent uuid)
returns text
language plpgsql
set search_path = pg_catalog
as $$
declare
    tenant  uuid := tenon.lock_accounts();
    path    uuid[];
    height  int;
    users   uuid[];
begin
    with recursive up (id, parent_id, n) as (
        select a.id, a.parent_id, 1
          from tenon.account a
         where a.tenant_id = tenant
           and a.id = parent
           and a.deleted_at is null
         union all
        select a.id, a.parent_id, up.n + 1
          from up
          join tenon.account a on a.tenant_id = tenant
                              and a.id        = up.parent_id
         where up.n <= 16)
    select coalesce(array_agg(up.id), '{}') into path from up;

    if parent is not null and cardinality(path) = 0 then
        return 'invalid_fields /parent_id not_found';
    end if;

    if account = any (path) then
        return 'invalid_fields /parent_id refused is this account, or lies in '
               'it';
    end if;

    with recursive down (id, n) as (
        select account, 1
         union all
        select a.id, down.n + 1
          from down
          join tenon.account a on a.tenant_id = tenant
                              and a.parent_id = down.id
         where a.deleted_at is null
           and down.n <= 16)
    select max(down.n) into height from down;

    if cardinality(path) + height > 16 then
        return 'invalid_fields /parent_id out_of_range would nest accounts '
               'more than 16 deep';
    end if;

    -- Few enough for anybody to reach them all?
    if (select count(*) from tenon.account a
         where a.tenant_id = tenant and a.deleted_at is null) < 1000
    then
        return null;
    end if;

    select array_agg(distinct m.user_id) into users
      from tenon.account_member m
     where m.tenant_id  = tenant
       and m.account_id = any (path)
       and m.deleted_at is null;

    -- Those who hold the way up reach all that comes below it.
    if tenon.reached(tenant, users, account)
       + (account is null)::int > 1000
    then
        return 'state_conflict: Somebody would reach more than 1,000 accounts: '
               'put it where fewer are held, or take a role back first.';
    end if;

    return null;
end
$$;

comment on function tenon.place_account(uuid, uuid) is
    'Why an account (null: a new one) can''t lie in another (null: at the '
    'top), as a statement''s refusal; null when it can. Until the transaction '
    'ends nobody else changes accounts';


create function tenon.hold_account(user_id uuid, account uuid)
returns text
language plpgsql
set search_path = pg_catalog
as $$
declare
    tenant  uuid := tenon.lock_accounts();
begin
    if (select count(*) from tenon.account a
         where a.tenant_id = tenant and a.deleted_at is null) <= 1000
    then
        return null;
    end if;

    return case when tenon.reached(tenant, array[user_id], account) > 1000
                then 'state_conflict: They would reach more than 1,000 '
                     'accounts: give the role in fewer.' end;
end
$$;

comment on function tenon.hold_account(uuid, uuid) is
    'Why a user can''t get a role in an account: they would reach more than '
    '1,000; null when they can';


create function tenon.leave_account(account uuid)
returns text
language plpgsql
set search_path = pg_catalog
as $$
declare
    tenant  uuid := tenon.lock_accounts();
    res     record;
    used    boolean;
begin
    if exists (select from tenon.account a
                where a.tenant_id = tenant
                  and a.parent_id = account
                  and a.deleted_at is null)
    then
        return 'state_conflict: Accounts lie in it: move or delete them first.';
    end if;

    for res in
        select r.schema_name, r.table_name, r.account_column, r.soft_delete,
               r.name
          from tenon.resource r
         where r.account_column is not null
         order by r.app, r.name
    loop
        execute format('select exists (select from %I.%I where tenant_id = $1 '
                       'and %I = $2%s)', res.schema_name, res.table_name,
                       res.account_column,
                       case when res.soft_delete
                            then ' and deleted_at is null' else '' end)
           into used
          using tenant, account;

        if used then
            return format('state_conflict: Rows of %s belong to it: move or '
                          'delete them first.', res.name);
        end if;
    end loop;

    return null;
end
$$;

comment on function tenon.leave_account(uuid) is
    'Why an account can''t go: it holds accounts, or rows; null when it can';


-- Who may give a role --------------------------------------------------------

create function tenon.holds_in_account(actor uuid, account uuid)
returns table (permission int, scope text)
language sql volatile
set search_path = pg_catalog
as $$
    with recursive up (id, parent_id) as (
        select a.id, a.parent_id
          from tenon.account a
         where a.tenant_id = tenon.current_tenant()
           and a.id = $2
           and a.deleted_at is null
         union
        select a.id, a.parent_id
          from up
          join tenon.account a on a.tenant_id = tenon.current_tenant()
                              and a.id        = up.parent_id
         where a.deleted_at is null),
    named (role) as (
        select m.role
          from tenon.member m
         where m.tenant_id = tenon.current_tenant()
           and m.user_id = $1
           and m.deleted_at is null
         union
        select h.role
          from tenon.account_member h
          join tenon.member m on m.tenant_id = h.tenant_id
                             and m.user_id   = h.user_id
                             and m.deleted_at is null
                             and m.created_at <= h.created_at
          join up on up.id = h.account_id
         where h.tenant_id = tenon.current_tenant()
           and h.user_id = $1
           and h.deleted_at is null)
    select g.permission, g.scope
      from named n
     cross join lateral tenon.role_gives(tenon.current_tenant(), n.role) g
$$;

comment on function tenon.holds_in_account(uuid, uuid) is
    'What a member may hand on in an account, by their roles in the tenant, in '
    'the account and in those that it lies in (tenon.role_gives); where it is '
    'no account (null), by that in the tenant';


create function tenon.may_hand_account_role(actor uuid, account uuid, role text)
returns boolean
language sql volatile
set search_path = pg_catalog
as $$
    with held as materialized (
        select h.permission, h.scope
          from tenon.holds_in_account($1, $2) h)
    select not exists (
           select
             from tenon.role_holds(tenon.current_tenant(), $3) g
            where not exists (
                  select
                    from held
                   where held.permission = g.permission
                     and held.scope in ('tenant', g.scope)))
$$;

comment on function tenon.may_hand_account_role(uuid, uuid, text) is
    'Whether who gives or takes a role in an account may do there all that it '
    'allows: nobody gives or takes more';


create function tenon.is_account_role(role text)
returns boolean
language sql volatile
set search_path = pg_catalog
as $$
    select coalesce(tenon.role_level(tenon.current_tenant(), $1) = 'account',
                    false)
$$;

comment on function tenon.is_account_role(text) is
    'Whether a role, shipped or the tenant''s own, is one to hold in accounts';

grant execute
   on function tenon.lock_accounts(),
               tenon.reached(uuid, uuid[], uuid),
               tenon.place_account(uuid, uuid),
               tenon.hold_account(uuid, uuid),
               tenon.leave_account(uuid),
               tenon.holds_in_account(uuid, uuid),
               tenon.may_hand_account_role(uuid, uuid, text),
               tenon.is_account_role(text)
   to tenon_api;


-- Members of accounts as the API shows them ----------------------------------

create view tenon.account_member_view
with (security_invoker = true) as
select h.tenant_id,
       h.id,
       h.account_id,
       h.user_id,
       u.email,
       u.name,
       h.role,
       h.version,
       h.created_at,
       h.created_by,
       h.updated_at
  from tenon.account_member h
  join tenon.account a on a.tenant_id = h.tenant_id
                      and a.id        = h.account_id
                      and a.deleted_at is null
  join tenon.member  m on m.tenant_id = h.tenant_id
                      and m.user_id   = h.user_id
                      and m.deleted_at is null
  join tenon."user"  u on u.realm_id  = m.realm_id
                      and u.id        = m.user_id
 where h.deleted_at is null
   and h.created_at >= m.created_at;

comment on view tenon.account_member_view is
    'A role in an account, with the name and address of the user; those that '
    'were given before somebody left don''t count';

create index account_member_account on tenon.account_member
       (tenant_id, account_id, created_at, id)
 where deleted_at is null;

grant select on tenon.account_member_view to tenon_api;

grant insert (tenant_id, id, parent_id, kind, name, created_by),
      update (parent_id, kind, name, version, updated_at, deleted_at)
   on tenon.account
   to tenon_api;

grant insert (tenant_id, id, account_id, user_id, role, created_by),
      update (role, version, updated_at, deleted_at)
   on tenon.account_member
   to tenon_api;

-- What functions of apps may ask.
grant select (tenant_id, id, parent_id, kind, name, deleted_at)
   on tenon.account
   to tenon_app;

grant select (tenant_id, account_id, user_id, role, created_at, deleted_at)
   on tenon.account_member
   to tenon_app;


-- Permissions ----------------------------------------------------------------

insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from unnest(array['tenon.account:read',
                    'tenon.account:create',
                    'tenon.account:update',
                    'tenon.account:delete',
                    'tenon.account_member:read',
                    'tenon.account_member:create',
                    'tenon.account_member:update',
                    'tenon.account_member:delete']) as p (name)
 cross join (values ('owner'), ('admin'), ('tenant_admin'), ('account_owner'),
                    ('super_admin')) as r (role);

insert into tenon."grant" (role, permission, scope, app)
select 'account_user', tenon.add_permission(p.name), 'tenant', 'tenon'
  from unnest(array['tenon.account:read',
                    'tenon.account_member:read']) as p (name);


-- Who left -------------------------------------------------------------------

grant create on schema tenon to tenon_lookup;

grant select (created_at) on tenon.account_member to tenon_lookup;

set local role tenon_lookup;

create or replace function tenon.held_accounts(tenant uuid, user_id uuid)
returns text
language sql stable security definer
set search_path = pg_catalog
as $$
    with recursive held (account_id, role) as (
        select h.account_id, h.role
          from tenon.account_member h
          join tenon.member  m on m.tenant_id = h.tenant_id
                              and m.user_id   = h.user_id
          join tenon.account a on a.tenant_id = h.tenant_id
                              and a.id        = h.account_id
         where h.tenant_id = $1
           and h.user_id   = $2
           and h.deleted_at is null
           and a.deleted_at is null
           -- Who returns doesn't bring along what they held before.
           and h.created_at >= m.created_at
         union
        select a.id, h.role
          from held h
          join tenon.account a on a.tenant_id = $1
                              and a.parent_id = h.account_id
         where a.deleted_at is null)
    select string_agg(account_id || ':' || role, ',' order by account_id, role)
      from held
$$;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;


-- Events say whose the row was -----------------------------------------------

drop function tenon.log_event(uuid, text, text, uuid, bigint, jsonb, jsonb,
                              jsonb, bytea, text);

create function tenon.log_event(
    event_id      uuid,
    action        text,
    resource      text,
    resource_id   uuid,
    version       bigint,
    before        jsonb,
    after         jsonb,
    metadata      jsonb,
    salt          bytea,
    outcome       text default 'success',
    scope_before  uuid default null,
    scope_after   uuid default null)
returns uuid
language plpgsql volatile
as $$
declare
    tenant      uuid := nullif(current_setting('tenon.tenant',     true), '');
    actor       uuid := nullif(current_setting('tenon.actor',      true), '');
    request_id  text := nullif(current_setting('tenon.request_id', true), '');
    ip          text := nullif(current_setting('tenon.ip',         true), '');
    user_agent  text := nullif(current_setting('tenon.user_agent', true), '');
begin
    insert into tenon.event
           (tenant_id, id, actor, action, outcome, resource, resource_id,
            version, request_id, scope_before, scope_after, commitment)
    values (tenant, event_id, actor, action, outcome, resource, resource_id,
            version, request_id, scope_before, scope_after,
            tenon.commitment(salt, before, after, metadata, ip, user_agent));

    insert into tenon.event_body
           (tenant_id, event_id, subject_id, salt, before, after, metadata,
            ip, user_agent)
    values (tenant, event_id, actor, salt, before, after, metadata,
            ip, user_agent);

    return event_id;
end
$$;

comment on function tenon.log_event(uuid, text, text, uuid, bigint, jsonb,
                                    jsonb, jsonb, bytea, text, uuid, uuid) is
    'Writes an event and its body for the current tenant; who and whence come '
    'from the settings tenon.actor, request_id, ip, user_agent. The scopes are '
    'the account that the row belonged to, and belongs to now. Call it in the '
    'statement that makes the change: select … from done';

grant execute
   on function tenon.log_event(uuid, text, text, uuid, bigint, jsonb, jsonb,
                               jsonb, bytea, text, uuid, uuid)
   to tenon_api;

grant insert (scope_before, scope_after) on tenon.event to tenon_api;


create or replace function tenon.log_change()
returns trigger
language plpgsql
-- So whoever changes a row logs it, and can't log what didn't happen.
security definer
set search_path = pg_catalog
as $$
declare
    before    jsonb;
    after     jsonb;
    existing  jsonb;
    metadata  jsonb;
    verb      text;
    tenants   uuid[];
    tenant    uuid;
    kept      text := current_setting('tenon.tenant', true);
    cause     text := nullif(current_setting('tenon.cause', true), '');
    account   text := case tg_argv[0]
                      when 'tenon.account' then 'id'
                      when 'tenon.account_member' then 'account_id'
                      else (select r.account_column
                              from tenon.resource r
                             where r.app  = split_part(tg_argv[0], '.', 1)
                               and r.name = split_part(tg_argv[0], '.', 2))
                      end;
begin
    if tg_op <> 'INSERT' then before := to_jsonb(old); end if;
    if tg_op <> 'DELETE' then after  := to_jsonb(new); end if;

    existing := coalesce(after, before);

    -- Soft deletion is an update to the database, but not to the reader; so
    -- is the end of a session. (A child may be made while the deletion of its
    -- parent isn't committed yet: README.md, "Soft delete".)
    verb := case
            when tg_op = 'INSERT' then 'created'
            when tg_op = 'DELETE' then 'deleted'
            when before ->> 'deleted_at' is null
             and after  ->> 'deleted_at' is not null then 'deleted'
            when before ->> 'deleted_at' is not null
             and after  ->> 'deleted_at' is null     then 'restored'
            when tg_argv[0] = 'tenon.session'
             and before ->> 'revoked_at' is null
             and after  ->> 'revoked_at' is not null then 'revoked'
            else 'updated'
            end;

    -- An action's change to its own row bears its name; what it did besides
    -- says where it came from.
    if verb = 'updated'
       and split_part(cause, '.', 1) = split_part(tg_argv[0], '.', 2)
       and existing ->> 'id' = current_setting('tenon.cause_id', true)
    then
        verb := split_part(cause, '.', 2);
    elsif cause is not null then
        metadata := jsonb_build_object('cause', cause);
    end if;

    -- The row says whose event it is: a superuser's statement may touch many
    -- tenants, with no tenant set or another one. A user is every tenant's
    -- that has them as a member.
    if existing ? 'tenant_id' then
        tenants := array[existing ->> 'tenant_id'];
    else
        tenants := array(select tenon.find_user_tenants(
                                (existing ->> 'realm_id')::uuid,
                                (existing ->> 'id')::uuid));
    end if;

    foreach tenant in array tenants loop

        perform set_config('tenon.tenant', tenant::text, true);

        perform tenon.log_event(
            tenon.uuid7(),
            split_part(tg_argv[0], '.', 2) || '.' || verb,
            tg_argv[0],
            coalesce(existing ->> 'id', existing ->> 'tenant_id')::uuid,
            (existing ->> 'version')::bigint,
            tenon.image(tg_relid, before),
            tenon.image(tg_relid, after),
            metadata,
            uuid_send(gen_random_uuid()),
            'success',
            (before ->> account)::uuid,
            (after  ->> account)::uuid);
    end loop;

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;


-- Resources of accounts -------------------------------------------------------

create function tenon.check_account(res tenon.resource)
returns void
language plpgsql stable
as $$
declare
    rel  regclass := format('%I.%I', res.schema_name, res.table_name)::regclass;
    col  pg_attribute;
begin
    select a.* into col
      from pg_attribute a
     where a.attrelid = rel
       and a.attname  = res.account_column
       and a.attnum   > 0
       and not a.attisdropped;

    if col.attrelid is null or col.atttypid <> 'uuid'::regtype
       or not exists (
           select
             from pg_constraint c
            where c.conrelid  = rel
              and c.contype   = 'f'
              and c.confrelid = 'tenon.account'::regclass
              and c.conkey    = array[
                  (select attnum from pg_attribute
                    where attrelid = rel and attname = 'tenant_id'),
                  col.attnum]
              and c.confdeltype in ('a', 'r'))
    then
        perform tenon.refuse(
            format('resource %s: account column %s is no reference to an '
                   'account', res.name, res.account_column),
            format('Let the table hold: %1$I uuid not null, foreign key '
                   '(tenant_id, %1$I) references tenon.account (tenant_id, '
                   'id).', res.account_column));
    end if;

    -- What nobody named, nobody was asked about.
    if col.atthasdef then
        perform tenon.refuse(
            format('resource %s: account column %s has a default', res.name,
                   res.account_column),
            'Drop it: whoever makes a row says which account''s it is.');
    end if;

    if res.account_column = res.owner_column then
        perform tenon.refuse(
            format('resource %s: column %s can''t be account and owner',
                   res.name, res.account_column),
            'An owner is a user: name another column.');
    end if;
end
$$;

comment on function tenon.check_account(tenon.resource) is
    'Refuses an account column that can''t say whose a row is';


create function tenon.check_account_grants(app text)
returns void
language plpgsql stable
as $$
declare
    bad  record;
begin
    select r.name, f.name as field into bad
      from tenon.resource r
      join tenon.field    f on f.app      = r.app
                           and f.resource = r.name
                           and f.name     = r.account_column
     where r.app = check_account_grants.app
       and f.read_only
     limit 1;

    if found then
        perform tenon.refuse(
            format('resource %s: account column %s is read_only', bad.name,
                   bad.field),
            'Whoever makes a row says which account''s it is: use '
            'create_only.');
    end if;

    select g.role, p.name into bad
      from tenon."grant"    g
      join tenon.role       k on k.name = g.role and k.level = 'account'
      join tenon.permission p on p.number = g.permission
      left join tenon.resource r
             on r.app = g.app
            and r.app || '.' || r.name = split_part(p.name, ':', 1)
     where g.app = check_account_grants.app
       and r.account_column is null
     order by p.name, g.role
     limit 1;

    if found then
        perform tenon.refuse(
            format('%s is allowed %s, which belongs to no account', bad.role,
                   bad.name),
            'A role that is held in accounts needs resources declared with '
            'account => …; else allow a role of the tenant.');
    end if;
end
$$;

comment on function tenon.check_account_grants(text) is
    'Refuses grants to roles of accounts where rows belong to none';


create or replace function tenon.check_whole(app text)
returns void
language plpgsql stable
as $$
declare
    bad  record;
begin
    select what, who, verb into bad
      from (select 'resource ' || r.name as what, r.name as who,
                   'read' as verb, r.app || '.' || r.name || ':%' as need
              from tenon.resource r
             where r.app = check_whole.app
            union all
            select format('action %s.%s', a.resource, a.name), a.resource,
                   a.name, format('%s.%s:%s', a.app, a.resource, a.name)
              from tenon.action a
             where a.app = check_whole.app
            union all
            select 'query ' || q.name, q.name, 'read',
                   format('%s.%s:read', q.app, q.name)
              from tenon.query q
             where q.app = check_whole.app) as declared
     where not exists (
           select
             from tenon."grant"    g
             join tenon.permission p on p.number = g.permission
            where g.app = check_whole.app
              and p.name like replace(declared.need, '_', '\_'))
     order by what
     limit 1;

    if found then
        perform tenon.refuse(
            format('%s: nobody is allowed anything', bad.what),
            format('Say who may do what: select tenon.allow(''member'', '
                   '%L, ''{%s}'').', bad.who, bad.verb));
    end if;

    select a.resource, a.name, c.name as child, c.path into bad
      from tenon.action   a
      join tenon.resource c on c.app    = a.app
                           and c.parent = a.resource
                           and c.path   = replace(a.name, '_', '-')
     where a.app = check_whole.app
     limit 1;

    if found then
        perform tenon.refuse(
            format('action %s.%s: its path is that of the child resource %s',
                   bad.resource, bad.name, bad.child),
            format('Give the action another name: …/{id}/%s can''t be both.',
                   bad.path));
    end if;

    -- The files of an app may have gone on after declaring them.
    for bad in
        select c.what, format('%I.%I', p.schema_name, c.function) as function
          from (select a.app, a.function,
                       format('action %s.%s', a.resource, a.name) as what
                  from tenon.action a
                 union all
                select q.app, q.function, 'query ' || q.name
                  from tenon.query q) as c
          join tenon.app p on p.name = c.app
         where c.app = check_whole.app
         order by 1
    loop
        perform tenon.app_function(bad.what, bad.function);
    end loop;

    perform tenon.check_sessions(app);
    perform tenon.check_account_grants(app);

    select p.function, p.name into bad
      from tenon.param p
     where p.app = check_whole.app
       and not exists (select from tenon.action a
                        where a.app = p.app and a.function = p.function)
       and not exists (select from tenon.query q
                        where q.app = p.app and q.function = p.function)
     limit 1;

    if found then
        perform tenon.refuse(
            format('param %s of function %s: no action or query calls that',
                   bad.name, bad.function),
            'Declare the action or query, or drop the line.');
    end if;
end
$$;


-- The old one would stay beside a new one with more parameters, and no call
-- could tell them apart.
drop function tenon.resource(text, text, text, text, boolean, text, text,
                             text[], boolean, text, int, text);

create function tenon.resource(
    relation          text,
    path              text,
    name              text    default null,
    parent            text    default null,
    soft_delete       boolean default false,
    cache             text    default 'private',
    owner             text    default 'created_by',
    search            text[]  default null,
    require_match     boolean default false,
    usage             text    default null,
    units             int     default 1,
    requires_feature  text    default null,
    account           text    default null,
    shareable         boolean default false)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    app    text     := tenon.current_app();
    rel    regclass := to_regclass(relation);
    taken  text;
    res    tenon.resource;
begin
    if rel is null
       or (select relkind from pg_class where oid = rel) not in ('r', 'p')
    then
        perform tenon.refuse(
            format('app %s: there is no table %s', app, relation),
            'Create it first, and name it with its schema: schema.table.');
    end if;

    select app, coalesce(resource.name, c.relname), n.nspname, c.relname,
           path, parent, null, soft_delete, cache, owner, null,
           require_match, search, usage, units, requires_feature, account,
           shareable
      into res
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     where c.oid = rel;

    if res.schema_name <> (select a.schema_name from tenon.app a
                            where a.name = app)
    then
        perform tenon.refuse(
            format('table %s is not in the schema of app %s', relation, app),
            'An app serves tables of its own schema only.');
    end if;

    -- Actions in the log start with it: member.created shall mean one thing.
    if res.name !~ '^[a-z][a-z0-9_]*$'
       or res.name in ('tenant', 'tenant_slug', 'member', 'user', 'session',
                       'invitation', 'event', 'audit_event', 'idempotency',
                       'account', 'account_member', 'share')
    then
        perform tenon.refuse(
            format('table %s: %L can''t be the name of a resource', relation,
                   res.name),
            'Use lower-case letters, digits and _, and no name of the '
            'platform''s own; give another with name => ….');
    end if;

    if path !~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' then
        perform tenon.refuse(
            format('resource %s: %L can''t be a path', res.name, path),
            'Use lower-case letters, digits and single hyphens, as in '
            'line-items.');
    end if;

    if path in ('auth', 'me', 'tenant', 'tenants', 'members', 'invitations',
                'roles', 'permissions', 'api-keys', 'accounts',
                'account-members', 'shares', 'domains', 'branding', 'queries', 'audit', 'billing', 'usage', 'flags',
                'events', 'webhooks', 'inbound', 'jobs', 'exports',
                'erasures', 'openapi.json', 'history', 'rollback', 'restore')
    then
        perform tenon.refuse(
            format('resource %s: path %s belongs to the platform', res.name,
                   path),
            'Choose another path.');
    end if;

    select format('resource %s of app %s', r.name, r.app) into taken
      from tenon.resource r
     where r.path = resource.path;

    if found then
        perform tenon.refuse(
            format('resource %s: path %s is taken by %s', res.name, path,
                   taken),
            'Choose another path.');
    end if;

    if exists (select from tenon.resource r
                where r.app = res.app and r.name = res.name)
    then
        perform tenon.refuse(
            format('resource %s is declared twice', res.name),
            'Names are unique: give another with name => ….');
    end if;

    -- What clients know its endpoints by is made of it (createVisit), and all
    -- apps share one document.
    select format('app %s', r.app) into taken
      from tenon.resource r
     where r.name = res.name;

    if found then
        perform tenon.refuse(
            format('resource %s: its name is taken by %s', res.name, taken),
            format('All apps share one document: give another with '
                   'name => ''%s_%s''.', res.app, res.name));
    end if;

    if exists (select from tenon.query q
                where q.app = res.app and q.name = res.name)
    then
        perform tenon.refuse(
            format('resource %s has the name of a query', res.name),
            'Both would be read by one permission: rename one of them.');
    end if;

    if cache not in ('none', 'private', 'public') then
        perform tenon.refuse(
            format('resource %s: there is no cache policy %L', res.name,
                   cache),
            'Use none, private or public.');
    end if;

    perform tenon.check_meter('resource ' || res.name, usage, units,
                              requires_feature);
    perform tenon.check_columns(rel, soft_delete);
    perform tenon.check_keys(rel);
    perform tenon.check_expressions(rel);

    if not exists (select from pg_attribute
                    where attrelid = rel and attname = owner
                      and atttypid = 'uuid'::regtype and not attisdropped)
    then
        perform tenon.refuse(
            format('resource %s: owner column %s is missing or no uuid',
                   res.name, owner),
            'Name a column that holds a user''s id: owner => ….');
    end if;

    if account is not null then
        perform tenon.check_account(res);
    end if;

    if search is not null then
        perform tenon.check_search(res, search);
    end if;

    insert into tenon.resource select res.*;

    perform tenon.protect(rel, res.app || '.' || res.name);
    perform tenon.set_shares(res);

    perform tenon.set_index(res, 'list', array['tenant_id', 'created_at',
                                               'id']);

    -- Where what is referred to takes this row along or is taken from it, all
    -- that refer to it are looked for: not by reading the whole tenant.
    perform tenon.set_index(res, a.attname || '_filter',
                            array['tenant_id', a.attname, 'created_at', 'id'])
       from pg_attribute a
      where a.attrelid = rel
        and a.attnum > 0
        and tenon.is_reference(rel, a.attname, array['c', 'n', 'd']::"char"[]);

    if account is not null then
        perform tenon.set_index(res, account || '_filter',
                                array['tenant_id', account, 'created_at',
                                      'id']);
    end if;

    if search is not null then
        perform tenon.set_search(res, search);
    end if;

    perform tenon.add_permission(app || '.' || res.name || ':' || v)
       from unnest(array['read', 'create', 'update', 'delete', 'history']
                   || case when soft_delete then array['restore']
                           else array[]::text[] end) as v;
end
$$;

comment on function tenon.resource(text, text, text, text, boolean, text,
                                   text, text[], boolean, text, int, text,
                                   text, boolean) is
    'Declares a table as a resource at /v1/PATH: checks that it can be served '
    'safely, then gives it policy, triggers, list index, search, permissions';


-- Shares ---------------------------------------------------------------------

create table tenon.share (
    tenant_id    uuid        not null,
    id           uuid        not null default tenon.uuid7(),
    resource     text        collate "C" not null,
    resource_id  uuid        not null,
    account_id   uuid,
    user_id      uuid        not null,
    access       text        collate "C" not null default 'read',
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id),

    foreign key (tenant_id, user_id)
     references tenon.member (tenant_id, user_id),

    foreign key (tenant_id, account_id)
     references tenon.account (tenant_id, id),

    constraint share_access_set check (access in ('read', 'update'))
);

create unique index share_user_key on tenon.share
       (tenant_id, resource_id, user_id, resource)
 where deleted_at is null;

create index share_list on tenon.share (tenant_id, created_at, id)
 where deleted_at is null;

create index share_of_user on tenon.share (tenant_id, user_id, created_at, id)
 where deleted_at is null;

create index share_of_account on tenon.share
       (tenant_id, account_id, created_at, id)
 where deleted_at is null;

comment on table tenon.share is
    'tenant: a row of a shareable resource that a member may see, or change, '
    'whatever their roles';
comment on column tenon.share.account_id is
    'That of the row, where it belongs to one: tenon.move_shares keeps it so';
comment on column tenon.share.access is
    'update: read, too';

create trigger tenon_touch
    before update on tenon.share
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.share
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.share');

alter table tenon.share enable row level security,
                        force  row level security;

create policy tenant on tenon.share
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

grant select,
      insert (tenant_id, id, resource, resource_id, account_id, user_id,
              access, created_by),
      update (version, updated_at, deleted_at)
   on tenon.share
   to tenon_api;


create view tenon.share_view
with (security_invoker = true) as
select s.tenant_id,
       s.id,
       s.resource,
       s.resource_id,
       s.account_id,
       s.user_id,
       u.email,
       u.name,
       s.access,
       s.version,
       s.created_at,
       s.created_by,
       s.updated_at
  from tenon.share  s
  join tenon.member m on m.tenant_id = s.tenant_id
                     and m.user_id   = s.user_id
                     and m.deleted_at is null
                     and m.created_at <= s.created_at
  join tenon."user" u on u.realm_id  = m.realm_id
                     and u.id        = m.user_id
 where s.deleted_at is null;

comment on view tenon.share_view is
    'A shared row, with the name and address of whom it is shared with';

grant select on tenon.share_view to tenon_api;


create function tenon.share_target(resource text, resource_id uuid)
returns table (there boolean, account uuid)
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    res  tenon.resource;
begin
    select r.* into res
      from tenon.resource r
     where r.app || '.' || r.name = share_target.resource
       and r.shareable;

    if res.app is null then
        return;
    end if;

    there := false;
    execute format('select true, %s from %I.%I where tenant_id = $1 '
                   'and id = $2%s',
                   coalesce(quote_ident(res.account_column), 'null::uuid'),
                   res.schema_name, res.table_name,
                   case when res.soft_delete
                        then ' and deleted_at is null' else '' end)
       into there, account
      using tenon.current_tenant(), resource_id;
    there := coalesce(there, false);
    return next;
end
$$;

comment on function tenon.share_target(text, uuid) is
    'Whether there is such a row, and whose account''s it is; no row where the '
    'resource is none that is shared';

grant execute on function tenon.share_target(text, uuid) to tenon_api;


create function tenon.move_shares()
returns trigger
language plpgsql
-- Whoever may move a row need not be one who shares rows.
security definer
set search_path = pg_catalog
as $$
begin
    update tenon.share s
       set account_id = (to_jsonb(new) ->> tg_argv[1])::uuid
     where s.tenant_id   = new.tenant_id
       and s.resource_id = new.id
       and s.resource    = tg_argv[0]
       and s.deleted_at is null;

    return null;
end
$$;

comment on function tenon.move_shares() is
    'Trigger, with app.resource and its account column: where a row goes, what '
    'it was shared for goes along';


create function tenon.set_shares(res tenon.resource)
returns void
language plpgsql
set client_min_messages = warning
as $$
declare
    rel     regclass := format('%I.%I', res.schema_name,
                               res.table_name)::regclass;
    wanted  text     := format(
        'after update on %s for each row when (old.%I is distinct from new.%I) '
        'execute function tenon.move_shares(%L, %L)', rel,
        coalesce(res.account_column, 'id'), coalesce(res.account_column, 'id'),
        res.app || '.' || res.name, res.account_column);
begin
    if res.shareable and res.account_column is not null then
        if obj_description((select t.oid from pg_trigger t
                             where t.tgrelid = rel
                               and t.tgname = 'tenon_shares'), 'pg_trigger')
           is distinct from wanted
        then
            execute 'create or replace trigger tenon_shares ' || wanted;
            execute format('comment on trigger tenon_shares on %s is %L', rel,
                           wanted);
        end if;
    elsif exists (select from pg_trigger t
                   where t.tgrelid = rel and t.tgname = 'tenon_shares')
    then
        execute format('drop trigger tenon_shares on %s', rel);
    end if;
end
$$;

comment on function tenon.set_shares(tenon.resource) is
    'Gives a table the trigger that its shares need, or takes it';


insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from unnest(array['tenon.share:read',
                    'tenon.share:create',
                    'tenon.share:delete']) as p (name)
 cross join (values ('owner'), ('admin'), ('tenant_admin'), ('account_owner'),
                    ('super_admin')) as r (role);

-- What was shared with oneself.
insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'own', 'tenon'
  from unnest(array['tenon.share:read',
                    'tenon.share:delete']) as p (name)
 cross join (values ('member'), ('moderator'), ('guest')) as r (role);
