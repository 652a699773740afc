-- 0003_contract.sql: what the rest of the HTTP contract needs: outcomes kept
-- under an Idempotency-Key, invitations, people as the API shows them, tenants
-- that are made, left and deleted, search, and the purge of what has run out.
--
-- Run as tenon_owner, after bootstrap.sql was run again: it has a new role and
-- two extensions.

do $$
declare
    lacking  text;
    broken   text;
begin
    -- Roles are of the whole cluster, extensions of one database: here may be
    -- what another database's bootstrap brought, and nothing else.
    select string_agg(what, ', ' order by what) into lacking
      from (select 'role tenon_search' as what
             where not exists (select from pg_catalog.pg_roles
                                where rolname = 'tenon_search')
            union all
            select 'extension ' || name
              from unnest(array['btree_gin', 'pg_trgm']) as name
             where not exists (select from pg_catalog.pg_extension
                                where extname = name)) as part;

    if lacking is not null then
        raise exception 'database % lacks: %', current_database(), lacking
            using hint = 'Run schema/bootstrap.sql again in it, as a '
                         'superuser: it makes what has come new, and may be '
                         'run at any time.';
    end if;

    -- One that is broken would be kept, by its name, and serve nobody.
    select string_agg(indexrelid::regclass::text, ', ') into broken
      from pg_catalog.pg_index
     where indexrelid = any (array[to_regclass('tenon.session_ended'),
                                   to_regclass('tenon.login_attempt_idle'),
                                   to_regclass('tenon.member_living')])
       and not indisvalid;

    if broken is not null then
        raise exception 'not built to the end: %', broken
            using hint = 'Wait for who is building it; if nobody is, drop it.';
    end if;
end
$$;


-- Indexes on tables that have rows already ----------------------------------
--
-- Where these are large, they are built by hand beforehand (docs/operations.md,
-- "Upgrading"), since a migration is one transaction and can't do without a
-- lock. First of all, before anything shuts readers out.

create index if not exists session_ended on tenon.session
       (least(expires_at, revoked_at));

create index if not exists login_attempt_idle on tenon.login_attempt
       (last_at);


-- Idempotency ----------------------------------------------------------------

create table tenon.idempotency (
    tenant_id    uuid        not null,
    key          bytea       not null,
    fingerprint  bytea       not null,
    outcome      jsonb       not null,
    at           timestamptz not null default now(),

    -- And no key to tenon.tenant: these rows die within a day, and looking up
    -- their tenant would be paid by every write.
    primary key (tenant_id, key)
);

create index idempotency_at on tenon.idempotency (at);

comment on table tenon.idempotency is
    'tenant: what a request with an Idempotency-Key did, written by the same '
    'statement; counts for 24 hours';
comment on column tenon.idempotency.key is
    'MAC of tenant, actor, method, path and the client''s key';
comment on column tenon.idempotency.fingerprint is
    'Hash of the body: another one under the same key is a mistake';
comment on column tenon.idempotency.outcome is
    'The statement''s columns by name, as text: the answer is made from them '
    'anew';


-- Invitations ----------------------------------------------------------------

create table tenon.invitation (
    tenant_id    uuid        not null,
    id           uuid        not null default tenon.uuid7(),
    realm_id     uuid        not null,
    email        text        collate "C" not null,
    role         text        collate "C" not null references tenon.role,
    status       text        collate "C" not null default 'pending',
    invited_by   uuid        not null,
    expires_at   timestamptz not null,
    accepted_at  timestamptz,
    accepted_by  uuid,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id),

    foreign key (tenant_id, realm_id)
     references tenon.tenant (tenant_id, realm_id),

    constraint invitation_email_lower check (email = lower(email)),
    constraint invitation_status_set  check (status in ('pending', 'accepted'))
);

-- One at a time: who invites anew revokes one that has expired first.
create unique index invitation_email_key on tenon.invitation
       (tenant_id, email)
 where status = 'pending' and deleted_at is null;

create index invitation_list on tenon.invitation (tenant_id, created_at, id)
 where deleted_at is null;

comment on table tenon.invitation is
    'tenant: an address that may become a member; its token is a MAC over the '
    'ids, so nothing here could be used to accept it';
comment on column tenon.invitation.status is
    'A token works once: while its invitation is pending, living and not '
    'expired';
comment on column tenon.invitation.invited_by is
    'A user, who may be no member any more; then it can''t be accepted';
comment on column tenon.invitation.accepted_by is
    'The user who accepted it';


create or replace function tenon.image(relation oid, changed jsonb)
returns jsonb
language sql stable
set search_path = pg_catalog
as $$
    -- Built by the API's statements too (libcore/model/sql.c): the same row
    -- must look the same whoever changed it.
    select jsonb_object_agg(
               case when relation = 'tenon.tenant'::regclass
                     and key = 'tenant_id'
                    then 'id' else key end,
               case when a.atttypid = 'timestamptz'::regtype
                     and jsonb_typeof(value) = 'string'
                    then to_jsonb(to_char((value #>> '{}')::timestamptz
                                              at time zone 'UTC',
                                          'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                    else value
                end)
      from jsonb_each(changed)
      join pg_attribute a on a.attrelid = relation and a.attname = key
     where key <> 'deleted_at'
       and (key <> 'tenant_id' or relation = 'tenon.tenant'::regclass)
       and (key not in ('realm_id', 'password_hash')
            or relation not in ('tenon.tenant'::regclass,
                                'tenon.member'::regclass,
                                'tenon.session'::regclass,
                                'tenon.invitation'::regclass,
                                'tenon."user"'::regclass))
$$;

create trigger tenon_touch
    before update on tenon.invitation
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.invitation
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.invitation');


-- Members who leave ------------------------------------------------------------

-- Their row stays: were it deleted, it would take along every session they
-- opened and change every row that names them, so that a member with enough of
-- these could not be removed at all.
alter table tenon.member add column if not exists deleted_at timestamptz;

comment on column tenon.member.deleted_at is
    'When they left; who returns gets the same row, with a new created_at';

-- Under a name of its own, so that it can be there before the other goes.
create index if not exists member_living on tenon.member
       (tenant_id, created_at, id)
 where deleted_at is null;

drop index tenon.member_list;

comment on table tenon.session is
    'tenant: one sign-in of a member; counts while the membership lives, and '
    'not for one that began later';


-- People as the API shows them ------------------------------------------------
--
-- Read under the policies of who asks: the context names tenant and realm.

create view tenon.member_view
with (security_invoker = true) as
select m.tenant_id,
       m.id,
       m.user_id,
       u.email,
       u.name,
       m.role,
       m.version,
       m.created_at,
       m.updated_at,
       m.created_by
  from tenon.member m
  join tenon."user" u
    on u.realm_id = m.realm_id
   and u.id       = m.user_id
 where m.deleted_at is null;

comment on view tenon.member_view is
    'A member with the name and address of the user';


create view tenon.invitation_view
with (security_invoker = true) as
select i.tenant_id,
       i.id,
       i.email,
       i.role,
       case when i.status = 'pending' and i.expires_at <= now()
            then 'expired'
            else i.status end as status,
       i.invited_by,
       i.expires_at,
       i.version,
       i.created_at,
       i.created_by,
       i.updated_at
  from tenon.invitation i
 where i.deleted_at is null;

comment on view tenon.invitation_view is
    'An invitation that wasn''t revoked: pending, accepted or expired';


create view tenon.access_view
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
          from tenon."grant"    g
          join tenon.permission p on p.number = g.permission
         where g.role = m.role) as permissions,
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

comment on view tenon.access_view is
    'Who has access to what, by which role, and who gave it (who invited, not '
    'who accepted): the access review';


-- Row security ---------------------------------------------------------------

alter table tenon.idempotency enable row level security,
                              force  row level security;
alter table tenon.invitation  enable row level security,
                              force  row level security;

create policy tenant on tenon.idempotency
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.invitation
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);


-- Grants ---------------------------------------------------------------------

grant select,
      insert,
      update (fingerprint, outcome, at)
   on tenon.idempotency
   to tenon_api;

grant select,
      insert,
      update (status, accepted_at, accepted_by, version, updated_at,
              deleted_at)
   on tenon.invitation
   to tenon_api;

grant update (name, version, updated_at, deleted_at)
   on tenon.tenant
   to tenon_api;

-- The last two for one who returns.
grant update (role, version, updated_at, deleted_at, created_at, created_by)
   on tenon.member
   to tenon_api;

grant select
   on tenon.member_view, tenon.invitation_view, tenon.access_view
   to tenon_api;

grant select (created_at, deleted_at)
   on tenon.member
   to tenon_lookup;

grant select (created_at)
   on tenon.session
   to tenon_lookup;


-- Look-ups: living members only ------------------------------------------------

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create or replace function tenon.find_session(tenant uuid, session uuid)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, user_id uuid, role text)
language sql stable security definer
set search_path = pg_catalog
as $$
    select t.tenant_id, t.realm_id, t.slug, t.name, t.status, m.user_id, m.role
      from tenon.session s
      join tenon.tenant  t on t.tenant_id = s.tenant_id
      join tenon.member  m on m.tenant_id = s.tenant_id
                          and m.user_id   = s.user_id
      join tenon."user"  u on u.realm_id  = m.realm_id
                          and u.id        = m.user_id
     where s.tenant_id = $1
       and s.id        = $2
       and s.revoked_at is null
       and s.expires_at > now()
       -- Who returns doesn't bring along what was signed in before.
       and s.created_at >= m.created_at
       and m.deleted_at is null
       and t.deleted_at is null
       and u.deleted_at is null
       and u.status     = 'active'
$$;

comment on function tenon.find_session(uuid, uuid) is
    'A session that still holds: not revoked nor expired, its user active and '
    'a member since before it began, its tenant living (suspended shows in '
    'status)';


create or replace function tenon.find_user_tenants(realm uuid, user_id uuid)
returns setof uuid
language sql stable security definer
set search_path = pg_catalog
as $$
    select m.tenant_id
      from tenon.member m
     where m.realm_id = $1
       and m.user_id  = $2
       and m.deleted_at is null
$$;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;


-- A user's tenants -----------------------------------------------------------

create function tenon.find_memberships(realm uuid, user_id uuid)
returns table (id uuid, name text, slug text, status text, role text,
               created_at timestamptz)
language sql stable security definer
set search_path = pg_catalog
as $$
    select t.tenant_id, t.name, t.slug, t.status, m.role, m.created_at
      from tenon.member m
      join tenon.tenant t on t.tenant_id = m.tenant_id
     where m.realm_id = $1
       and m.user_id  = $2
       and m.deleted_at is null
       and t.deleted_at is null
$$;

comment on function tenon.find_memberships(uuid, uuid) is
    'The tenants of a user, suspended ones too (see status), deleted ones '
    'not; created_at is when the user joined';


create function tenon.find_membership(realm uuid, user_id uuid, ref text)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, role text)
language sql stable security definer
set search_path = pg_catalog
as $$
    select t.tenant_id, t.realm_id, t.slug, t.name, t.status, m.role
      from tenon.member m
      join tenon.tenant t on t.tenant_id = m.tenant_id
     where m.realm_id = $1
       and m.user_id  = $2
       and m.deleted_at is null
       and t.deleted_at is null
       and case when $3 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                then t.tenant_id = $3::uuid
                else exists (select
                               from tenon.tenant_slug s
                              where s.slug      = $3
                                and s.tenant_id = t.tenant_id)
            end
$$;

comment on function tenon.find_membership(uuid, uuid, text) is
    'One tenant of a user, by slug or id; nothing where the user is no member';

grant execute
   on function tenon.find_memberships(uuid, uuid),
               tenon.find_membership(uuid, uuid, text)
   to tenon_api;

grant create on schema tenon to tenon_lookup;

alter function tenon.find_memberships(uuid, uuid)      owner to tenon_lookup;
alter function tenon.find_membership(uuid, uuid, text) owner to tenon_lookup;

revoke create on schema tenon from tenon_lookup;


-- A further tenant -----------------------------------------------------------

create function tenon.create_tenant(
    new_tenant       uuid,
    realm            uuid,
    slug             text,
    name             text,
    owner            uuid,
    member_id        uuid,
    event_id         uuid,
    salt             bytea,
    member_event_id  uuid,
    member_salt      bytea)
returns tenon.tenant
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking      text := current_setting('tenon.tenant', true);
    made        tenon.tenant;
    membership  tenon.member;
begin
    -- What is of the new tenant is written as the new tenant; what else the
    -- statement does, as the one that asked.
    perform set_config('tenon.tenant', new_tenant::text, true);

    insert into tenon.tenant_slug (slug, tenant_id, realm_id)
    values (slug, new_tenant, realm);

    insert into tenon.tenant (tenant_id, realm_id, name, slug, created_by)
    values (new_tenant, realm, name, slug, owner)
    returning * into made;

    insert into tenon.member (tenant_id, id, realm_id, user_id, role,
                              created_by)
    values (new_tenant, member_id, realm, owner, 'owner', owner)
    returning * into membership;

    perform tenon.log_event(
        event_id, 'tenant.created', 'tenon.tenant', new_tenant, made.version,
        null, tenon.image('tenon.tenant'::regclass, to_jsonb(made)), null,
        salt);

    perform tenon.log_event(
        member_event_id, 'member.created', 'tenon.member', membership.id,
        membership.version, null,
        tenon.image('tenon.member'::regclass, to_jsonb(membership)), null,
        member_salt);

    perform set_config('tenon.tenant', coalesce(asking, ''), true);

    return made;
end
$$;

comment on function tenon.create_tenant(uuid, uuid, text, text, uuid, uuid,
                                        uuid, bytea, uuid, bytea) is
    'Makes a tenant with its slug, its owner and both events, in the midst of '
    'a statement of another tenant; for the API, whose changes no trigger '
    'logs';

grant execute
   on function tenon.create_tenant(uuid, uuid, text, text, uuid, uuid, uuid,
                                   bytea, uuid, bytea)
   to tenon_api;


-- Permissions ----------------------------------------------------------------

insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from unnest(array['tenon.invitation:read',
                    'tenon.invitation:create',
                    'tenon.invitation:delete']) as p (name)
 cross join (values ('owner'), ('admin')) as r (role);

-- To leave is to delete one's own membership.
insert into tenon."grant" (role, permission, scope, app)
values ('member', tenon.add_permission('tenon.member:delete'), 'own',
        'tenon');


-- Reserved slugs -------------------------------------------------------------

-- Names by which machines find a proxy, a mail server or a gateway without
-- being told. A tenant that has one already keeps it.
alter table tenon.tenant_slug drop constraint tenant_slug_reserved;

alter table tenon.tenant_slug add constraint tenant_slug_reserved
      check (slug <> all (array[
             'abuse', 'account', 'admin', 'administrator', 'api', 'app',
             'assets', 'auth', 'autodiscover', 'billing', 'blog', 'cdn',
             'console', 'dashboard', 'docs', 'ftp', 'help', 'hostmaster',
             'imap', 'isatap', 'localhost', 'login', 'mail', 'metrics', 'ns1',
             'ns2', 'platform', 'pop3', 'postmaster', 'root', 'signup', 'smtp',
             'static', 'status', 'support', 'system', 'tenon', 'webmaster',
             'webmail', 'wpad', 'www'])) not valid;

do $$
declare
    taken  boolean;
begin
    set local role tenon_lookup;
    taken := exists (select from tenon.tenant_slug
                      where slug in ('autodiscover', 'isatap', 'wpad'));
    set local role tenon_owner;

    if not taken then
        alter table tenon.tenant_slug
              validate constraint tenant_slug_reserved;
    end if;
end
$$;


-- Purge ----------------------------------------------------------------------
--
-- By tenon_worker, across tenants and realms: its policies show it what has
-- run out and nothing else.

create policy purge on tenon.idempotency to tenon_worker
 using (at < now() - interval '24 hours');

create policy purge on tenon.login_attempt to tenon_worker
 using (last_at < now() - interval '30 days');

create policy purge on tenon.session to tenon_worker
 using (least(expires_at, revoked_at) < now() - interval '30 days');

grant select (ctid, at),
      delete
   on tenon.idempotency
   to tenon_worker;

grant select (ctid, last_at),
      delete
   on tenon.login_attempt
   to tenon_worker;

grant select (ctid, expires_at, revoked_at),
      delete
   on tenon.session
   to tenon_worker;

-- Its end was logged when it came: sweeping it out is no change to log. Nor is
-- what a member who is deleted for good takes along, which may be any number.
drop trigger tenon_log on tenon.session;

create trigger tenon_log
    after insert or update on tenon.session
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.session');

create trigger tenon_log_delete
    after delete on tenon.session
    for each row when (current_user not in ('tenon_api', 'tenon_worker')
                       and pg_trigger_depth() = 0)
    execute function tenon.log_change('tenon.session');


create function tenon.purge(batch int default 10000)
returns bigint
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    n     bigint;
    gone  bigint := 0;
begin
    -- The conditions stand outside again: a row that was renewed meanwhile is
    -- looked at once more, by them alone.
    delete from tenon.idempotency
     where ctid = any (array(select i.ctid
                               from tenon.idempotency i
                              where i.at < now() - interval '24 hours'
                              limit batch))
       and at < now() - interval '24 hours';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.login_attempt
     where ctid = any (array(select a.ctid
                               from tenon.login_attempt a
                              where a.last_at < now() - interval '30 days'
                              limit batch))
       and last_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.session
     where ctid = any (array(select s.ctid
                               from tenon.session s
                              where least(s.expires_at, s.revoked_at)
                                    < now() - interval '30 days'
                              limit batch))
       and least(expires_at, revoked_at) < now() - interval '30 days';
    get diagnostics n = row_count;

    return gone + n;
end
$$;

comment on function tenon.purge(int) is
    'Removes what has run out, so many rows of each kind at most: outcomes of '
    'Idempotency-Keys after a day, failed sign-ins and ended sessions after '
    'thirty; returns how many. Run it as tenon_worker until that is 0';

grant execute on function tenon.purge(int) to tenon_worker;


-- Search ---------------------------------------------------------------------
--
-- Under row security LIKE waits for the policy, and with it every index for
-- it. So a definer function finds ids: it is tenon_search's, whom a policy of
-- its own lets read the searched columns of all tenants, and says itself which
-- tenant it means. What it finds is read under the tenant's policy as always.

alter table tenon.resource
  add column search         text    collate "C",
  add column require_match  boolean not null default false;

comment on column tenon.resource.search is
    'The function that ?q= asks for ids';
comment on column tenon.resource.require_match is
    'Whether a change must say If-Match';


create function tenon.search_text(columns text[])
returns text
language sql immutable
as $$
    -- A line break between: no word shall run from one column into the next.
    select format('lower((%s) collate pg_catalog."und-x-icu")',
                  string_agg(format('coalesce(%I, '''')', c),
                             ' || E''\n'' || ' order by n))
      from unnest(columns) with ordinality as u (c, n)
$$;

comment on function tenon.search_text(text[]) is
    'The expression over a table''s columns that is searched, and indexed';


create function tenon.check_search(res tenon.resource, columns text[])
returns void
language plpgsql stable
as $$
declare
    rel   regclass := format('%I.%I', res.schema_name,
                             res.table_name)::regclass;
    name  text;
begin
    if (select count(*) from pg_extension
         where extname in ('pg_trgm', 'btree_gin')) < 2
    then
        perform tenon.refuse(
            format('resource %s: search needs the extensions pg_trgm and '
                   'btree_gin', res.name),
            'Run schema/bootstrap.sql again, as a superuser; in some systems '
            'a package postgresql-contrib has them.');
    end if;

    if to_regcollation('pg_catalog."und-x-icu"') is null then
        perform tenon.refuse(
            format('resource %s: search needs the collation und-x-icu',
                   res.name),
            'Use a PostgreSQL built with ICU, and a database in UTF-8.');
    end if;

    if cardinality(columns) = 0 then
        perform tenon.refuse(
            format('resource %s: search names no column', res.name),
            'Name text columns: search => ''{title}''.');
    end if;

    foreach name in array columns loop
        if not exists (select from pg_attribute a
                        where a.attrelid = rel
                          and a.attname  = name
                          and a.attnum   > 0
                          and not a.attisdropped
                          and a.atttypid in ('text'::regtype,
                                             'varchar'::regtype))
        then
            perform tenon.refuse(
                format('resource %s: search column %s is missing or no text',
                       res.name, name),
                'Name columns of type text or varchar.');
        end if;
    end loop;
end
$$;

comment on function tenon.check_search(tenon.resource, text[]) is
    'Refuses a search that can''t be served';


create function tenon.set_search(res tenon.resource, columns text[])
returns void
language plpgsql
set client_min_messages = warning
as $$
declare
    rel     regclass := format('%I.%I', res.schema_name,
                               res.table_name)::regclass;
    what    text     := tenon.search_text(columns);
    living  text     := case when res.soft_delete
                             then 'deleted_at is null' end;
    note    text     := concat_ws(' where ', 'declared: ' || what, living);
    index   text     := tenon.object_name(res.table_name, 'search');
    -- One name for both: indexes and functions have spaces of their own.
    fun     text     := format('%I.%I', res.schema_name, index);
    known   text     := obj_description(to_regclass(fun), 'pg_class');
    me      text     := current_setting('role');
    trgm    text;
begin
    if (known is null or known not like 'declared: %')
       and to_regclass(fun) is not null
       or exists (select from pg_proc p
                   where p.pronamespace = quote_ident(
                                            res.schema_name)::regnamespace
                     and p.proname      = index
                     and p.proowner    <> 'tenon_search'::regrole)
    then
        perform tenon.refuse(
            format('schema %I has an index or function %s of its own',
                   res.schema_name, index),
            'Drop or rename it: the search makes one of that name.');
    end if;

    -- Unchanged: making it anew would read all of the table.
    if known is distinct from note then
        execute format('drop index if exists %s', fun);

        select format('%I.gin_trgm_ops', n.nspname) into trgm
          from pg_opclass   o
          join pg_namespace n on n.oid = o.opcnamespace
         where o.opcname = 'gin_trgm_ops';

        execute format('create index %I on %s using gin '
                       '(tenant_id, (%s) %s)%s',
                       index, rel, what, trgm, ' where ' || living);
        execute format('comment on index %s is %L', fun, note);
    end if;

    execute format('drop policy if exists search on %s', rel);
    execute format('create policy search on %s for select to tenon_search '
                   'using (true)', rel);

    execute format('revoke select on %s from tenon_search', rel);
    execute format('grant select (%s) on %s to tenon_search',
                   (select string_agg(quote_ident(c), ', ')
                      from unnest(array['tenant_id', 'id'] || columns
                                  || case when res.soft_delete
                                          then array['deleted_at']
                                          else array[]::text[] end) as c),
                   rel);

    -- Made by its owner-to-be, who needs CREATE at this moment only.
    execute format('grant usage, create on schema %I to tenon_search',
                   res.schema_name);
    perform set_config('role', 'tenon_search', true);

    execute format(
        $make$
        create or replace function %s(q text)
        returns setof uuid
        language sql stable security definer
        set search_path = pg_catalog
        as $body$
            select t.id
              from %s t
             where t.tenant_id = nullif(current_setting('tenon.tenant', true),
                                        '')::uuid
               and %s
               and %s like
                   '%%' || replace(replace(replace(
                               lower($1 collate pg_catalog."und-x-icu"),
                               E'\\', E'\\\\'), '%%', E'\\%%'), '_', E'\\_')
                        || '%%'
        $body$
        $make$, fun, rel, coalesce(living, 'true'), what);

    execute format('revoke all on function %s(text) from public', fun);
    execute format('grant execute on function %s(text) to tenon_api', fun);
    execute format('comment on function %s(text) is %L', fun,
                   'The ids of the tenant''s living rows whose '
                   || array_to_string(columns, ' or ')
                   || ' holds a text, in any case');

    perform set_config('role', me, true);
    execute format('revoke create on schema %I from tenon_search',
                   res.schema_name);

    update tenon.resource r
       set search = fun
     where r.app = res.app and r.name = res.name;
end
$$;

comment on function tenon.set_search(tenon.resource, text[]) is
    'Makes the index, the policy and the function of a resource''s search';


create function tenon.drop_searches(app text)
returns void
language plpgsql
as $$
declare
    place  text := (select a.schema_name from tenon.app a
                     where a.name = drop_searches.app);
    me     text := current_setting('role');
    old    record;
begin
    for old in
        select p.oid::regprocedure as fun
          from pg_proc p
         where p.pronamespace = quote_ident(place)::regnamespace
           and p.proowner     = 'tenon_search'::regrole
           and p.prosecdef
           and format('%I.%I', place, p.proname) not in (
               select r.search
                 from tenon.resource r
                where r.search is not null)
    loop
        perform set_config('role', 'tenon_search', true);
        execute format('drop function %s', old.fun);
        perform set_config('role', me, true);
    end loop;

    for old in
        select c.oid::regclass as rel,
               format('%I.%I', place, c.relname || '_search') as index
          from pg_policy p
          join pg_class  c on c.oid = p.polrelid
         where c.relnamespace = quote_ident(place)::regnamespace
           and p.polname      = 'search'
           and p.polroles     = array['tenon_search'::regrole::oid]
           and not exists (
               select
                 from tenon.resource r
                where r.schema_name = place
                  and r.table_name  = c.relname
                  and r.search is not null)
    loop
        execute format('drop policy search on %s', old.rel);
        execute format('drop index if exists %s', old.index);
        execute format('revoke select on %s from tenon_search', old.rel);
    end loop;

    if not exists (select from tenon.resource r
                    where r.schema_name = place and r.search is not null)
    then
        execute format('revoke usage on schema %I from tenon_search', place);
    end if;
end
$$;

comment on function tenon.drop_searches(text) is
    'Takes away the searches that an app no longer declares';


create or replace function tenon.protect(rel regclass, full_name text)
returns void
language plpgsql
set client_min_messages = warning
as $$
declare
    other  text;
begin
    -- Policies add up: any second one could only let more rows through. That
    -- of a search lets through to a role that nobody signs in as.
    select polname into other
      from pg_policy
     where polrelid = rel
       and polname <> 'tenant'
       and polpermissive
       and (polname, polcmd, polroles)
           is distinct from ('search', 'r'::"char",
                             array['tenon_search'::regrole::oid])
     limit 1;

    if found then
        perform tenon.refuse(
            format('table %s: policy %I widens what the tenant policy lets '
                   'through', rel, other),
            'Drop it, or make it restrictive.');
    end if;

    execute format('alter table %s enable row level security, '
                   'force row level security', rel);
    execute format('drop policy if exists tenant on %s', rel);
    execute format(
        'create policy tenant on %s '
        'using (tenant_id = '
        'nullif(current_setting(''tenon.tenant'', true), '''')::uuid) '
        'with check (tenant_id = '
        'nullif(current_setting(''tenon.tenant'', true), '''')::uuid)', rel);

    execute format(
        'create or replace trigger tenon_touch before update on %s '
        'for each row when (current_user <> ''tenon_api'') '
        'execute function tenon.touch()', rel);
    execute format(
        'create or replace trigger tenon_log '
        'after insert or update or delete on %s '
        'for each row when (current_user <> ''tenon_api'') '
        'execute function tenon.log_change(%L)', rel, full_name);
end
$$;


create or replace function tenon.app_end(app text)
returns bigint
language plpgsql
set search_path = pg_catalog
as $$
declare
    res  record;
    con  record;
    new_version  bigint;
begin
    if tenon.current_app() <> app then
        perform tenon.refuse(
            format('app_end(%L) ends an app that was not begun', app),
            format('The app being declared is %s.', tenon.current_app()));
    end if;

    for res in
        select r.*, p.table_name as parent_table, p.schema_name as parent_schema
          from tenon.resource r
          left join tenon.resource p on p.app = r.app and p.name = r.parent
         where r.app = app_end.app
         order by r.name
    loop
        if not exists (
            select
              from tenon."grant" g
              join tenon.permission p on p.number = g.permission
             where g.app = app_end.app
               and split_part(p.name, ':', 1) = res.app || '.' || res.name)
        then
            perform tenon.refuse(
                format('resource %s: nobody is allowed anything', res.name),
                format('Say who may do what: select tenon.allow(''member'', '
                       '%L, ''{read}'').', res.name));
        end if;

        if res.parent is not null then
            if res.parent_table is null then
                perform tenon.refuse(
                    format('resource %s: its parent %s is not a resource of '
                           'app %s', res.name, res.parent, app),
                    'Declare the parent, or mend the name.');
            end if;

            perform tenon.set_parent_column(app, res.name);
        end if;
    end loop;

    perform tenon.set_grants(app);

    -- A rule that is no longer declared must no longer bind.
    for con in
        select c.conrelid::regclass as rel, c.conname as name
          from tenon.resource r
          join pg_namespace n on n.nspname = r.schema_name
          join pg_class     t on t.relnamespace = n.oid
                             and t.relname = r.table_name
          join pg_constraint c on c.conrelid = t.oid and c.contype = 'c'
         where r.app = app_end.app
           and obj_description(c.oid, 'pg_constraint') like 'declared: %'
           and not exists (
               select
                 from tenon.field f
                where f.app = r.app
                  and f.resource = r.name
                  and c.conname in (
                      r.table_name || '_' || f.name || '_length',
                      r.table_name || '_' || f.name || '_range',
                      r.table_name || '_' || f.name || '_format',
                      r.table_name || '_' || f.name || '_set',
                      r.table_name || '_' || f.name || '_states'))
    loop
        perform tenon.set_check(con.rel, con.name, null);
    end loop;

    perform tenon.drop_searches(app);

    update tenon.catalogue_version
       set version = version + 1
    returning version into new_version;

    perform set_config('tenon.app', '', true);

    return new_version;
end
$$;


-- The old one would stay beside a new one with more parameters, and no call
-- could tell them apart.
drop function tenon.resource(text, text, text, text, boolean, text, text);

create function tenon.resource(
    relation       text,
    path           text,
    name           text    default null,
    parent         text    default null,
    soft_delete    boolean default false,
    cache          text    default 'private',
    owner          text    default 'created_by',
    search         text[]  default null,
    require_match  boolean default false)
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
           require_match
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
                       'invitation', 'event', 'audit_event', 'idempotency')
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
                'roles', 'permissions', 'api-keys', 'accounts', 'domains',
                'branding', 'queries', 'audit', 'billing', 'usage', 'flags',
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
            'Names are unique within an app: give another with name => ….');
    end if;

    if cache not in ('none', 'private', 'public') then
        perform tenon.refuse(
            format('resource %s: there is no cache policy %L', res.name,
                   cache),
            'Use none, private or public.');
    end if;

    perform tenon.check_columns(rel, soft_delete);
    perform tenon.check_keys(rel);

    if not exists (select from pg_attribute
                    where attrelid = rel and attname = owner
                      and atttypid = 'uuid'::regtype and not attisdropped)
    then
        perform tenon.refuse(
            format('resource %s: owner column %s is missing or no uuid',
                   res.name, owner),
            'Name a column that holds a user''s id: owner => ….');
    end if;

    if search is not null then
        perform tenon.check_search(res, search);
    end if;

    insert into tenon.resource select res.*;

    perform tenon.protect(rel, res.app || '.' || res.name);

    execute format('grant usage on schema %I to tenon_api', res.schema_name);

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
                                   text, text[], boolean) is
    'Declares a table as a resource at /v1/PATH: checks that it can be served '
    'safely, then gives it policy, triggers, grants, list index, search, '
    'permissions';
