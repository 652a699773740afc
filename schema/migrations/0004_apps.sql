-- 0004_apps.sql: apps with functions of their own. Declared actions and
-- queries, limits of their arguments, search in JSON, what a later release
-- will meter; apps that go again; and loads that keep nobody waiting.
--
-- Run as tenon_owner. An app's functions run as tenon_app, whom every policy
-- binds; its wrappers are the only way there, and tenon_api's alone.


-- Declarations ---------------------------------------------------------------

alter table tenon.resource
  add column search_columns    text[],
  add column usage             text    collate "C",
  add column units             int     not null default 1,
  add column requires_feature  text    collate "C";

comment on column tenon.resource.search_columns is
    'What ?q= looks in';
comment on column tenon.resource.usage is
    'What a request counts as, so many units each; kept for metering';
comment on column tenon.resource.requires_feature is
    'The feature that a tenant must have; kept for plans';

alter table tenon.field
  add column contains  text collate "C";

comment on column tenon.field.contains is
    'The function that ?FIELD[contains]= asks for ids';


create table tenon.action (
    app               text   collate "C" not null,
    resource          text   collate "C" not null,
    name              text   collate "C" not null,
    function          text   collate "C" not null,
    wrapper           text   collate "C" not null,
    answers           text   collate "C" not null,
    states            text[],
    state_field       text   collate "C",
    summary           text,
    usage             text   collate "C",
    units             int    not null,
    requires_feature  text   collate "C",

    primary key (app, resource, name),
    unique (wrapper),
    foreign key (app, resource) references tenon.resource on delete cascade,
    constraint action_answers_set
         check (answers in ('nothing', 'row', 'one'))
);

comment on table tenon.action is
    'global: a function that the API serves as POST /v1/PATH/{id}/NAME';
comment on column tenon.action.function is
    'The author''s, in the app''s schema';
comment on column tenon.action.wrapper is
    'What the API calls: runs the function as tenon_app';
comment on column tenon.action.states is
    'The states of state_field in which the row must be; null is any';


create table tenon.query (
    app               text    collate "C" not null references tenon.app,
    name              text    collate "C" not null,
    function          text    collate "C" not null,
    wrapper           text    collate "C" not null,
    answers           text    collate "C" not null,
    reads             text[]  not null,
    slow              boolean not null,
    summary           text,
    usage             text    collate "C",
    units             int     not null,
    requires_feature  text    collate "C",

    primary key (app, name),
    -- The paths of all apps are one space.
    constraint query_name_key unique (name),
    constraint query_answers_set check (answers in ('one', 'many'))
);

comment on table tenon.query is
    'global: a function that the API serves as GET /v1/queries/NAME';
comment on column tenon.query.reads is
    'The resources it reads; kept for caches';


create table tenon.param (
    app       text collate "C" not null references tenon.app,
    function  text collate "C" not null,
    name      text collate "C" not null,
    min       bigint,
    max       bigint,
    pattern   text,
    one_of    text[],

    primary key (app, function, name)
);

comment on table tenon.param is
    'global: what the type of a function''s argument doesn''t say';

grant select
   on tenon.action, tenon.query, tenon.param
   to tenon_api;

-- Actions are verbs, and named as functions are.
alter table tenon.permission drop constraint permission_name_format;

alter table tenon.permission add constraint permission_name_format
      check (name ~ '^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$');


-- What functions of apps may ask ----------------------------------------------

create function tenon.current_tenant()
returns uuid
language sql stable parallel safe
as $$
    select nullif(pg_catalog.current_setting('tenon.tenant', true), '')::uuid
$$;

comment on function tenon.current_tenant() is
    'The tenant of the request; null where there is none';


create function tenon.current_actor()
returns uuid
language sql stable parallel safe
as $$
    select nullif(pg_catalog.current_setting('tenon.actor', true), '')::uuid
$$;

comment on function tenon.current_actor() is
    'The user who makes the request; null where there is none';

-- The API's, too: its statements run an app's triggers and defaults.
grant execute
   on function tenon.current_tenant(),
               tenon.current_actor()
   to tenon_api, tenon_app;

grant usage on schema tenon to tenon_app;

-- New rows have ids.
grant execute on function tenon.uuid7() to tenon_app;

-- Who is a member, in which role. No names or addresses: these are of the
-- realm, which other tenants share.
grant select (tenant_id, id, user_id, role, created_at, deleted_at)
   on tenon.member
   to tenon_app;


-- An app that moves its data goes through the tenants one by one.
create function tenon.every_tenant()
returns setof uuid
language sql stable security definer
set search_path = pg_catalog
as $$
    select t.tenant_id from tenon.tenant t
$$;

comment on function tenon.every_tenant() is
    'All tenants, deleted ones too, for the owner: who changes rows by hand '
    'sets tenon.tenant to each of them';

grant create on schema tenon to tenon_lookup;

alter function tenon.every_tenant() owner to tenon_lookup;

set local role tenon_lookup;
grant execute on function tenon.every_tenant() to tenon_owner;
set local role tenon_owner;

revoke create on schema tenon from tenon_lookup;


-- Events of an action ----------------------------------------------------------

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
            uuid_send(gen_random_uuid()));
    end loop;

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.log_change() is
    'Trigger, with app.resource as argument: logs a change made by any role '
    'but tenon_api, whose statements log for themselves; names the action '
    'that made it';


-- Loads that keep nobody waiting -----------------------------------------------
--
-- Most of an app that is loaded again is as it was. What is as it should be
-- isn't touched: ALTER TABLE, CREATE POLICY and CREATE INDEX lock out readers
-- or writers, though they change nothing.

create or replace function tenon.set_index(res tenon.resource, suffix text, columns text[])
returns void
language plpgsql
set client_min_messages = warning
as $$
declare
    rel     oid     := format('%I.%I', res.schema_name,
                              res.table_name)::regclass;
    name    text    := tenon.object_name(res.table_name, suffix);
    -- What is referred to asks for all rows that do when it goes, also for
    -- those deleted softly: an index over the living wouldn't serve.
    living  boolean := res.soft_delete
                       and not tenon.is_reference(rel, columns[2]);
    known   oid     := to_regclass(format('%I.%I', res.schema_name, name));
begin
    if known is null then
        execute format('create index %I on %I.%I (%s)%s',
                       name, res.schema_name, res.table_name,
                       (select string_agg(quote_ident(c), ', ' order by n)
                          from unnest(columns) with ordinality as u (c, n)),
                       case when living
                            then ' where deleted_at is null' else '' end);
    elsif not exists (select from pg_index
                       where indexrelid = known and indrelid = rel)
    then
        perform tenon.refuse(
            format('resource %s: its index %s has the name of something else',
                   res.name, name),
            'Rename that, or one of the two tables or columns that the name '
            'is made of.');
    elsif not (select indisvalid from pg_index where indexrelid = known) then
        perform tenon.refuse(
            format('resource %s: its index %s was not built to the end',
                   res.name, name),
            format('Wait for who is building it; if nobody is: drop index '
                   '%I.%I.', res.schema_name, name));
    end if;
end
$$;


create function tenon.set_privileges(rel regclass, role text, wanted text[])
returns void
language plpgsql
as $$
declare
    given  text[];
begin
    select coalesce(array_agg(p order by p), '{}') into given
      from (select lower(a.privilege_type) as p
              from pg_class c
             cross join aclexplode(c.relacl) a
             where c.oid = rel and a.grantee = role::regrole
             union all
            select format('%s (%I)', lower(a.privilege_type), t.attname)
              from pg_attribute t
             cross join aclexplode(t.attacl) a
             where t.attrelid = rel and a.grantee = role::regrole
               and not t.attisdropped) as have;

    if given is distinct from (select coalesce(array_agg(w order by w), '{}')
                                 from unnest(wanted) as w)
    then
        -- Taking it from the table takes it from the columns, too.
        execute format('revoke all on %s from %I', rel, role);

        if cardinality(wanted) > 0 then
            execute format('grant %s on %s to %I',
                           array_to_string(wanted, ', '), rel, role);
        end if;
    end if;
end
$$;

comment on function tenon.set_privileges(regclass, text, text[]) is
    'Gives a role on a table what is wanted (select, update (title), …), and '
    'takes all else';


create function tenon.set_usage(place text, role text, wanted boolean)
returns void
language plpgsql
as $$
begin
    if has_schema_privilege(role, place, 'usage') <> wanted then
        execute format(case when wanted
                            then 'grant usage on schema %I to %I'
                            else 'revoke usage on schema %I from %I' end,
                       place, role);
    end if;
end
$$;

comment on function tenon.set_usage(text, text, boolean) is
    'Lets a role into a schema, or no longer';


create function tenon.set_definer(
    fun_owner   text,
    place       text,
    name        text,
    arguments   text,
    result      text,
    volatility  text,
    path        text,
    body        text,
    note        text)
returns text
language plpgsql
set client_min_messages = warning
as $$
declare
    fun   text := format('%I.%I', place, name);
    me    text := current_setting('role');
    kept  boolean := false;
    old   record;
begin
    for old in
        select p.oid, p.oid::regprocedure as sign,
               pg_get_function_arguments(p.oid)  = arguments
               and pg_get_function_result(p.oid) = result as same_call,
               p.prosecdef and p.prosrc = body
               and p.provolatile = left(volatility, 1)::"char"
               and p.proconfig = array['search_path=' || path] as same_body,
               p.proowner = fun_owner::regrole as ours,
               (select array_agg(a.grantee)
                  from aclexplode(p.proacl) a
                 where a.grantee <> p.proowner)
               is not distinct from array['tenon_api'::regrole::oid]
                   as same_grants
          from pg_proc p
         where p.pronamespace = quote_ident(place)::regnamespace
           and p.proname      = set_definer.name
    loop
        if not old.ours then
            perform tenon.refuse(
                format('schema %I has a function %s of its own', place, fun),
                'Drop or rename it: the declaration makes one of that name.');
        end if;

        if old.same_call and old.same_body and old.same_grants then
            kept := true;
        elsif not old.same_call then
            perform set_config('role', fun_owner, true);
            execute format('drop function %s', old.sign);
            perform set_config('role', me, true);
        end if;
    end loop;

    if kept then
        return fun;
    end if;

    -- Made by its owner-to-be, who needs CREATE at this moment only.
    execute format('grant create on schema %I to %I', place, fun_owner);
    perform set_config('role', fun_owner, true);

    execute format('create or replace function %s(%s) returns %s '
                   'language sql %s security definer set search_path = %s '
                   'as %L', fun, arguments, result, volatility, path, body);

    execute format('revoke all on function %s from public', fun);
    execute format('grant execute on function %s to tenon_api', fun);
    execute format('comment on function %s is %L', fun, note);

    perform set_config('role', me, true);
    execute format('revoke create on schema %I from %I', place, fun_owner);

    return fun;
end
$$;

comment on function tenon.set_definer(text, text, text, text, text, text,
                                      text, text, text) is
    'Makes a function that runs as one of the roles without a login, and that '
    'only the API may call; returns its quoted name';


create or replace function tenon.protect(rel regclass, full_name text)
returns void
language plpgsql
set client_min_messages = warning
as $$
declare
    other  text;
    name   text;
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

    if not (select relrowsecurity and relforcerowsecurity from pg_class
             where oid = rel)
    then
        execute format('alter table %s enable row level security, '
                       'force row level security', rel);
    end if;

    -- As that of the platform's own tables, word for word.
    if not exists (
        select
          from pg_policy p
          join pg_policy m on m.polrelid = 'tenon.member'::regclass
                          and m.polname  = p.polname
         where p.polrelid = rel
           and p.polname  = 'tenant'
           and (p.polcmd, p.polpermissive, p.polroles)
               = (m.polcmd, m.polpermissive, m.polroles)
           and pg_get_expr(p.polqual, p.polrelid)
               = pg_get_expr(m.polqual, m.polrelid)
           and pg_get_expr(p.polwithcheck, p.polrelid)
               = pg_get_expr(m.polwithcheck, m.polrelid))
    then
        execute format('drop policy if exists tenant on %s', rel);
        execute format(
            'create policy tenant on %s '
            'using (tenant_id = '
            'nullif(current_setting(''tenon.tenant'', true), '''')::uuid) '
            'with check (tenant_id = '
            'nullif(current_setting(''tenon.tenant'', true), '''')::uuid)',
            rel);
    end if;

    for name in
        select m.tgname
          from pg_trigger m
         where m.tgrelid = 'tenon.member'::regclass
           and m.tgname in ('tenon_touch', 'tenon_log')
           and not exists (
               select
                 from pg_trigger t
                where t.tgrelid   = rel
                  and t.tgname    = m.tgname
                  and t.tgenabled = m.tgenabled
                  and pg_get_triggerdef(t.oid)
                      = replace(replace(pg_get_triggerdef(m.oid),
                                        ' ON tenon.member ',
                                        format(' ON %s ', rel)),
                                quote_literal('tenon.member'),
                                quote_literal(full_name)))
    loop
        execute format(
            case name
            when 'tenon_touch' then
                'create or replace trigger tenon_touch before update on %1$s '
                'for each row when (current_user <> ''tenon_api'') '
                'execute function tenon.touch()'
            else
                'create or replace trigger tenon_log '
                'after insert or update or delete on %1$s '
                'for each row when (current_user <> ''tenon_api'') '
                'execute function tenon.log_change(%2$L)'
            end, rel, full_name);
    end loop;
end
$$;


-- Search, in texts and in JSON -----------------------------------------------

create function tenon.set_search_index(
    res      tenon.resource,
    name     text,
    what     text,
    opclass  text)
returns void
language plpgsql
set client_min_messages = warning
as $$
declare
    rel     regclass := format('%I.%I', res.schema_name,
                               res.table_name)::regclass;
    living  text     := case when res.soft_delete
                             then 'deleted_at is null' end;
    note    text     := concat_ws(' where ', 'declared: ' || what, living);
    index   text     := format('%I.%I', res.schema_name, name);
    known   text     := obj_description(to_regclass(index), 'pg_class');
begin
    if to_regclass(index) is not null
       and (coalesce(known, '') not like 'declared: %'
            or not exists (select from pg_index
                            where indexrelid = to_regclass(index)
                              and indrelid   = rel))
       or exists (select from pg_proc p
                   where p.pronamespace = quote_ident(
                                            res.schema_name)::regnamespace
                     and p.proname      = name
                     and p.proowner    <> 'tenon_search'::regrole)
    then
        perform tenon.refuse(
            format('schema %I has an index or function %s of its own',
                   res.schema_name, name),
            'Drop or rename it: the search makes one of that name.');
    end if;

    -- Unchanged: making it anew would read all of the table.
    if known is distinct from note then
        execute format('drop index if exists %s', index);
        execute format('create index %I on %s using gin '
                       '(tenant_id, (%s) %s)%s',
                       name, rel, what, opclass, ' where ' || living);
        execute format('comment on index %s is %L', index, note);
    end if;
end
$$;

comment on function tenon.set_search_index(tenon.resource, text, text, text)
    is 'Makes the index of a search, when it is new or over something else';


create or replace function tenon.set_search(res tenon.resource, columns text[])
returns void
language plpgsql
as $$
declare
    what    text := tenon.search_text(columns);
    name    text := tenon.object_name(res.table_name, 'search');
    living  text := case when res.soft_delete then 'deleted_at is null' end;
    fun     text;
begin
    perform tenon.set_search_index(res, name, what,
                                   format('%I.gin_trgm_ops', n.nspname))
       from pg_opclass   o
       join pg_namespace n on n.oid = o.opcnamespace
      where o.opcname = 'gin_trgm_ops';

    perform tenon.set_usage(res.schema_name, 'tenon_search', true);

    -- One name for both: indexes and functions have spaces of their own.
    fun := tenon.set_definer(
        'tenon_search', res.schema_name, name, 'q text', 'SETOF uuid',
        'stable', 'pg_catalog', format(
        $body$
            select t.id
              from %I.%I t
             where t.tenant_id = nullif(current_setting('tenon.tenant', true),
                                        '')::uuid
               and %s
               and %s like
                   '%%' || replace(replace(replace(
                               lower($1 collate pg_catalog."und-x-icu"),
                               E'\\', E'\\\\'), '%%', E'\\%%'), '_', E'\\_')
                        || '%%'
        $body$, res.schema_name, res.table_name, coalesce(living, 'true'),
        what),
        'The ids of the tenant''s living rows whose '
        || array_to_string(columns, ' or ') || ' holds a text, in any case');

    update tenon.resource r
       set search = fun
     where r.app = res.app and r.name = res.name;
end
$$;


create function tenon.set_contains(res tenon.resource, field text)
returns text
language plpgsql
as $$
declare
    name    text := tenon.object_name(res.table_name, field, 'contains');
    living  text := case when res.soft_delete then 'deleted_at is null' end;
begin
    if not exists (select from pg_extension where extname = 'btree_gin') then
        perform tenon.refuse(
            format('resource %s: search needs the extension btree_gin',
                   res.name),
            'Run schema/bootstrap.sql again, as a superuser; in some systems '
            'a package postgresql-contrib has it.');
    end if;

    perform tenon.set_search_index(res, name, quote_ident(field),
                                   'pg_catalog.jsonb_path_ops');

    perform tenon.set_usage(res.schema_name, 'tenon_search', true);

    return tenon.set_definer(
        'tenon_search', res.schema_name, name, 'doc jsonb', 'SETOF uuid',
        'stable', 'pg_catalog', format(
        $body$
            select t.id
              from %I.%I t
             where t.tenant_id = nullif(current_setting('tenon.tenant', true),
                                        '')::uuid
               and %s
               and t.%I @> $1
        $body$, res.schema_name, res.table_name, coalesce(living, 'true'),
        field),
        format('The ids of the tenant''s living rows whose %s contains a JSON '
               'value', field));
end
$$;

comment on function tenon.set_contains(tenon.resource, text) is
    'Makes the index and the function of a search in a jsonb column; returns '
    'the function''s quoted name';


create or replace function tenon.drop_searches(app text)
returns void
language plpgsql
as $$
declare
    place   text := (select a.schema_name from tenon.app a
                      where a.name = drop_searches.app);
    me      text := current_setting('role');
    wanted  text[];
    old     record;
begin
    select array_agg(r.search) into wanted
      from (select search from tenon.resource
             where schema_name = place
            union all
            select f.contains
              from tenon.field    f
              join tenon.resource r on r.app = f.app and r.name = f.resource
             where r.schema_name = place) as r
     where r.search is not null;

    wanted := coalesce(wanted, '{}');

    for old in
        select p.oid::regprocedure as fun
          from pg_proc p
         where p.pronamespace = quote_ident(place)::regnamespace
           and p.proowner     = 'tenon_search'::regrole
           and p.prosecdef
           and format('%I.%I', place, p.proname) <> all (wanted)
    loop
        perform set_config('role', 'tenon_search', true);
        execute format('drop function %s', old.fun);
        perform set_config('role', me, true);
    end loop;

    -- An index of a search has its function's name.
    for old in
        select c.oid::regclass as index
          from pg_class c
         where c.relnamespace = quote_ident(place)::regnamespace
           and c.relkind in ('i', 'I')
           and obj_description(c.oid, 'pg_class') like 'declared: %'
           and format('%I.%I', place, c.relname) <> all (wanted)
    loop
        execute format('drop index %s', old.index);
    end loop;

    if cardinality(wanted) = 0 then
        perform tenon.set_usage(place, 'tenon_search', false);
    end if;
end
$$;


-- Grants ---------------------------------------------------------------------

create function tenon.set_search_access(rel regclass, columns text[])
returns void
language plpgsql
as $$
declare
    known   record;
begin
    select p.polpermissive and p.polcmd = 'r'
           and p.polroles = array['tenon_search'::regrole::oid]
           and pg_get_expr(p.polqual, p.polrelid) = 'true' as right_one
      into known
      from pg_policy p
     where p.polrelid = rel and p.polname = 'search';

    if found and not (known.right_one and cardinality(columns) > 0) then
        execute format('drop policy search on %s', rel);
    end if;

    if cardinality(columns) > 0 and known.right_one is not true then
        execute format('create policy search on %s for select '
                       'to tenon_search using (true)', rel);
    end if;

    perform tenon.set_privileges(
        rel, 'tenon_search',
        array(select distinct format('select (%I)', c)
                from unnest(columns) as c));
end
$$;

comment on function tenon.set_search_access(regclass, text[]) is
    'Lets the searches read these columns of all tenants, and no others';


create or replace function tenon.set_grants(app text)
returns void
language plpgsql
as $$
declare
    place  text    := (select a.schema_name from tenon.app a
                        where a.name = set_grants.app);
    calls  boolean := exists (select from tenon.action a
                               where a.app = set_grants.app)
                      or exists (select from tenon.query q
                                  where q.app = set_grants.app);
    rel    record;
    fun    regprocedure;
begin
    -- Tables that are served, and those that were.
    for rel in
        select c.oid::regclass as id, r as res, r.app is not null as served,
               array(select format('update (%I)', a.attname)
                       from pg_attribute a
                       left join tenon.field f on f.app      = r.app
                                              and f.resource = r.name
                                              and f.name     = a.attname
                      where a.attrelid = c.oid
                        and a.attnum > 0
                        and not a.attisdropped
                        and a.attname not in ('tenant_id', 'id', 'created_by',
                                              'created_at')
                        and (a.attname <> 'deleted_at' or r.soft_delete)
                        and (a.attname in ('version', 'updated_at',
                                           'deleted_at')
                             or not coalesce(f.read_only or f.create_only,
                                             false))) as updates,
               coalesce(r.search_columns, '{}')
               || array(select f.name
                          from tenon.field f
                         where f.app      = r.app
                           and f.resource = r.name
                           and f.contains is not null) as searched
          from pg_class c
          left join tenon.resource r on r.schema_name = place
                                    and r.table_name  = c.relname
         where c.relnamespace = quote_ident(place)::regnamespace
           and c.relkind in ('r', 'p')
           and (r.app is not null
                or exists (select from pg_trigger t
                            where t.tgrelid = c.oid
                              and t.tgname  = 'tenon_log'))
         order by c.relname
    loop
        -- UPDATE is given by column: the rest of a row is settled when it is
        -- made.
        perform tenon.set_privileges(
            rel.id, 'tenon_api',
            case when rel.served
                 then array['select', 'insert'] || rel.updates
                      || case when (rel.res).soft_delete
                              then array[]::text[] else array['delete'] end
                 else '{}' end);

        perform tenon.set_privileges(
            rel.id, 'tenon_app',
            case when rel.served and calls
                 then array['select', 'insert', 'update', 'delete']
                 else '{}' end);

        perform tenon.set_search_access(
            rel.id,
            case when cardinality(rel.searched) > 0
                 then array['tenant_id', 'id'] || rel.searched
                      || case when (rel.res).soft_delete
                              then array['deleted_at']
                              else array[]::text[] end
                 else '{}' end);
    end loop;

    perform tenon.set_usage(place, 'tenon_api',
                            exists (select from tenon.resource r
                                     where r.schema_name = place) or calls);
    perform tenon.set_usage(place, 'tenon_app', calls);

    -- What the author wrote may call what else the author wrote: as
    -- tenon_app, whoever calls, so these are no way around anything.
    for fun in
        select p.oid
          from pg_proc p
         where p.pronamespace = quote_ident(place)::regnamespace
           and p.proowner     = current_user::regrole
           and p.prokind      = 'f'
           and not p.prosecdef
           and calls <> exists (select from aclexplode(p.proacl) a
                                 where a.grantee = 'tenon_app'::regrole)
    loop
        execute format(case when calls
                            then 'grant execute on function %s to tenon_app'
                            else 'revoke all on function %s from tenon_app'
                            end, fun);
    end loop;
end
$$;

comment on function tenon.set_grants(text) is
    'Gives tenon_api what the endpoints of an app''s resources do to their '
    'tables, tenon_app what its functions may do to them, tenon_search what '
    'is searched, and none of them anything else';


-- App ------------------------------------------------------------------------

create or replace function tenon.app_begin(app text, schema_name text default null)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    other  text;
begin
    if app !~ '^[a-z][a-z0-9_]{0,30}$' or app in ('tenon', 'public') then
        perform tenon.refuse(
            format('%L can''t be the name of an app', app),
            'Use lower-case letters, digits and _, starting with a letter; '
            'tenon and public are taken.');
    end if;

    schema_name := coalesce(schema_name, app);

    if to_regnamespace(quote_ident(schema_name)) is null then
        perform tenon.refuse(
            format('app %s: there is no schema %s', app, schema_name),
            format('Create it first: create schema %I.', schema_name));
    end if;

    -- One load at a time: paths and permission numbers are shared by all.
    lock table tenon.app in share row exclusive mode;

    select a.name into other
      from tenon.app a
     where a.schema_name = app_begin.schema_name
       and a.name <> app;

    if found then
        perform tenon.refuse(
            format('app %s: schema %s is that of app %s', app, schema_name,
                   other),
            'Each app has a schema of its own: create another, or let that '
            'app go first with tenon.app_drop.');
    end if;

    insert into tenon.app as a (name, schema_name)
    values (app, schema_name)
        on conflict (name) do update
       set schema_name = excluded.schema_name,
           loaded_at   = now();

    perform tenon.clear_app(app);
    perform set_config('tenon.app', app, true);
end
$$;


create function tenon.clear_app(app text)
returns void
language sql
as $$
    -- Declarations are made anew, so what is no longer declared is gone.
    -- Permissions stay: their numbers must never mean something else.
    delete from tenon."grant"  g where g.app = clear_app.app;
    delete from tenon.resource r where r.app = clear_app.app;
    delete from tenon.query    q where q.app = clear_app.app;
    delete from tenon.param    p where p.app = clear_app.app;
$$;

comment on function tenon.clear_app(text) is
    'Takes back all that an app declared; its actions and fields go with its '
    'resources';


create function tenon.drop_wrappers(app text)
returns void
language plpgsql
as $$
declare
    place  text := (select a.schema_name from tenon.app a
                     where a.name = drop_wrappers.app);
    me     text := current_setting('role');
    fun    regprocedure;
begin
    for fun in
        select p.oid
          from pg_proc p
         where p.pronamespace = quote_ident(place)::regnamespace
           and p.proowner     = 'tenon_app'::regrole
           and p.prosecdef
           and not exists (select from tenon.action a
                            where a.wrapper = format('%I.%I', place,
                                                     p.proname))
           and not exists (select from tenon.query q
                            where q.wrapper = format('%I.%I', place,
                                                     p.proname))
    loop
        perform set_config('role', 'tenon_app', true);
        execute format('drop function %s', fun);
        perform set_config('role', me, true);
    end loop;
end
$$;

comment on function tenon.drop_wrappers(text) is
    'Takes away the wrappers of actions and queries that an app no longer '
    'declares';


create function tenon.check_sessions(app text)
returns void
language plpgsql stable
as $$
declare
    fun  record;
begin
    -- What is kept for the session is there for the next tenant's request on
    -- the connection. This finds what was written without a thought; whoever
    -- puts it into a string for EXECUTE has been told.
    select f.sign into fun
      from (select p.oid::regprocedure as sign,
                   regexp_replace(p.prosrc, '--[^\n]*', '', 'g') as source
              from tenon.app a
              join pg_proc p on p.pronamespace
                                = quote_ident(a.schema_name)::regnamespace
              join pg_language l on l.oid = p.prolang
                                and l.lanname in ('sql', 'plpgsql')
             where a.name = check_sessions.app
               and not p.prosecdef) as f
     cross join lateral regexp_matches(
               f.source,
               '\m(set_config|pg_(?:try_)?advisory_(?:un)?lock(?:_shared|_all)?)'
               '\s*\(|(?:^|;|\m(?:begin|then|else|loop)\M)\s*'
               '(set|reset|discard|listen|load)\s', 'i') as m (match)
     order by f.sign::text
     limit 1;

    if found then
        perform tenon.refuse(
            format('function %s changes what the session keeps', fun.sign),
            'Connections serve all tenants: leave out set_config, SET, LISTEN '
            'and locks of the session. A lock until the end of the request is '
            'pg_advisory_xact_lock.');
    end if;
end
$$;

comment on function tenon.check_sessions(text) is
    'Refuses functions of an app that would leave something behind on a '
    'connection';


create function tenon.check_whole(app text)
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

comment on function tenon.check_whole(text) is
    'Refuses what only all declarations of an app together can show';


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

    perform tenon.check_whole(app);

    for res in
        select r.*, p.table_name as parent_table
          from tenon.resource r
          left join tenon.resource p on p.app = r.app and p.name = r.parent
         where r.app = app_end.app
           and r.parent is not null
         order by r.name
    loop
        if res.parent_table is null then
            perform tenon.refuse(
                format('resource %s: its parent %s is not a resource of '
                       'app %s', res.name, res.parent, app),
                'Declare the parent, or mend the name.');
        end if;

        perform tenon.set_parent_column(app, res.name);
    end loop;

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
    perform tenon.drop_wrappers(app);
    perform tenon.set_grants(app);

    update tenon.catalogue_version
       set version = version + 1
    returning version into new_version;

    perform set_config('tenon.app', '', true);

    return new_version;
end
$$;


create function tenon.app_drop(app text)
returns bigint
language plpgsql
set search_path = pg_catalog
as $$
declare
    user_of      record;
    new_version  bigint;
begin
    lock table tenon.app in share row exclusive mode;

    if not exists (select from tenon.app a where a.name = app_drop.app) then
        perform tenon.refuse(
            format('there is no app %L', app),
            (select coalesce('Apps are: ' || string_agg(a.name, ', '
                                                        order by a.name)
                             || '.', 'No app is loaded.')
               from tenon.app a));
    end if;

    if nullif(current_setting('tenon.app', true), '') is not null then
        perform tenon.refuse(
            format('app %s can''t go while app %s is being declared', app,
                   tenon.current_app()),
            'End that with tenon.app_end first.');
    end if;

    -- What another app's keys lead to must be readable for its writes.
    select o.app, o.name into user_of
      from tenon.resource r
      join pg_constraint  k on k.contype   = 'f'
                           and k.confrelid = format('%I.%I', r.schema_name,
                                                    r.table_name)::regclass
      join tenon.resource o on format('%I.%I', o.schema_name,
                                      o.table_name)::regclass = k.conrelid
     where r.app = app_drop.app
       and o.app <> r.app
     limit 1;

    if found then
        perform tenon.refuse(
            format('app %s can''t go: resource %s of app %s refers to it', app,
                   user_of.name, user_of.app),
            'Let that app go first, or drop its foreign key.');
    end if;

    perform tenon.clear_app(app);
    perform tenon.drop_searches(app);
    perform tenon.drop_wrappers(app);
    perform tenon.set_grants(app);

    delete from tenon.app a where a.name = app_drop.app;

    update tenon.catalogue_version
       set version = version + 1
    returning version into new_version;

    return new_version;
end
$$;

comment on function tenon.app_drop(text) is
    'Ends the serving of an app: declarations, grants, searches and wrappers '
    'go; tables, rows, their policies and constraints, events and permission '
    'numbers stay. Returns the new version of the catalogue';


-- What the API runs ------------------------------------------------------------

create function tenon.check_runnable(what text, tree text)
returns void
language plpgsql stable
as $$
declare
    fun  regprocedure;
begin
    -- pg_depend has those of a body and of the defaults in one: so the
    -- expression itself is looked at, as PostgreSQL keeps it.
    select p.oid into fun
      from regexp_matches(tree, ':(?:op)?funcid ([0-9]+)', 'g') as m (id)
      join pg_proc p on p.oid = m.id[1]::oid
     where not has_function_privilege('tenon_api', p.oid, 'execute')
     limit 1;

    if found then
        perform tenon.refuse(
            format('%s calls %s, which tenon_api may not call', what, fun),
            format('The API''s own statements run it: grant execute on '
                   'function %s to tenon_api, or do without it there.', fun));
    end if;
end
$$;

comment on function tenon.check_runnable(text, text) is
    'Refuses an expression that the API''s statements would break at';


create function tenon.check_expressions(rel regclass)
returns void
language plpgsql stable
as $$
declare
    part  record;
begin
    for part in
        select format('column %s: its default', a.attname) as what,
               d.adbin::text as tree
          from pg_attrdef   d
          join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
         where d.adrelid = rel
        union all
        select 'constraint ' || c.conname, c.conbin::text
          from pg_constraint c
         where c.conrelid = rel and c.contype = 'c'
        union all
        select 'index ' || i.indexrelid::regclass,
               concat(i.indexprs::text, i.indpred::text)
          from pg_index i
         where i.indrelid = rel
    loop
        perform tenon.check_runnable(
            format('table %s: %s', rel, part.what), part.tree);
    end loop;

    select a.attname, s.oid::regclass as sequence into part
      from pg_attrdef   d
      join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
      join pg_depend    u on u.classid    = 'pg_attrdef'::regclass
                         and u.objid      = d.oid
                         and u.refclassid = 'pg_class'::regclass
      join pg_class     s on s.oid = u.refobjid
     where d.adrelid = rel
       and case when s.relkind = 'S'
                then not has_sequence_privilege('tenon_api', s.oid, 'usage')
                end
     limit 1;

    if found then
        perform tenon.refuse(
            format('table %s: column %s: its default takes from sequence %s, '
                   'which tenon_api may not use', rel, part.attname,
                   part.sequence),
            format('Make the column: generated by default as identity; or '
                   'grant usage on sequence %s to tenon_api, tenon_app.',
                   part.sequence));
    end if;
end
$$;

comment on function tenon.check_expressions(regclass) is
    'Refuses a table whose defaults, checks or indexes call what the API may '
    'not';


-- Resource -------------------------------------------------------------------

create function tenon.check_meter(what text, usage text, units int,
                                  requires_feature text)
returns void
language plpgsql stable
as $$
declare
    form  constant text := '^[a-z][a-z0-9_.]{0,62}$';
begin
    if usage !~ form or requires_feature !~ form then
        perform tenon.refuse(
            format('%s: %L can''t be the name of a %s', what,
                   case when usage !~ form then usage
                        else requires_feature end,
                   case when usage !~ form then 'usage' else 'feature' end),
            'Use lower-case letters, digits, _ and dots, starting with a '
            'letter, 63 at most.');
    end if;

    if units is null or units not between 1 and 1000000 then
        perform tenon.refuse(
            format('%s: it can''t count as %s units', what,
                   coalesce(units::text, 'null')),
            'Use 1 to 1000000.');
    end if;
end
$$;

comment on function tenon.check_meter(text, text, int, text) is
    'Refuses what can''t be metered later';


-- The old one would stay beside a new one with more parameters, and no call
-- could tell them apart.
drop function tenon.resource(text, text, text, text, boolean, text, text,
                             text[], boolean);

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
    requires_feature  text    default null)
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
           require_match, search, usage, units, requires_feature
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

    if search is not null then
        perform tenon.check_search(res, search);
    end if;

    insert into tenon.resource select res.*;

    perform tenon.protect(rel, res.app || '.' || res.name);

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
                                   text, text[], boolean, text, int, text) is
    'Declares a table as a resource at /v1/PATH: checks that it can be served '
    'safely, then gives it policy, triggers, list index, search, permissions';


-- Field ----------------------------------------------------------------------

create function tenon.check_limits(
    what     text,
    type     oid,
    min      bigint,
    max      bigint,
    pattern  text,
    one_of   text[])
returns void
language plpgsql stable
as $$
declare
    is_text  boolean := type in ('text'::regtype, 'varchar'::regtype);
    is_num   boolean := type in ('int2'::regtype, 'int4'::regtype,
                                 'int8'::regtype, 'numeric'::regtype,
                                 'float4'::regtype, 'float8'::regtype);
begin
    if (min is not null or max is not null) and not is_text and not is_num
    then
        perform tenon.refuse(
            format('%s has no length or range to limit', what),
            'min and max are for text (characters) and numbers (value).');
    end if;

    if min > max then
        perform tenon.refuse(
            format('%s has min %s above max %s', what, min, max),
            'Swap them.');
    end if;

    if (pattern is not null or one_of is not null) and not is_text then
        perform tenon.refuse(format('%s is not text', what),
                             'pattern and one_of are for text.');
    end if;

    if cardinality(one_of) = 0 or array_position(one_of, null) is not null
    then
        perform tenon.refuse(
            format('%s may be one of nothing', what),
            'Name the values that are allowed, or leave out one_of.');
    end if;

    begin
        perform '' ~ pattern;
    exception when invalid_regular_expression then
        perform tenon.refuse(
            format('%s: %L is no regular expression', what, pattern),
            'Mend the pattern.');
    end;
end
$$;

comment on function tenon.check_limits(text, oid, bigint, bigint, text,
                                       text[]) is
    'Refuses limits that don''t fit a type';


drop function tenon.field(text, text, bigint, bigint, text, text[], boolean,
                          boolean, boolean, boolean, boolean);

create function tenon.field(
    relation     text,
    field        text,
    min          bigint  default null,
    max          bigint  default null,
    pattern      text    default null,
    one_of       text[]  default null,
    filter       boolean default false,
    sort         boolean default false,
    read_only    boolean default false,
    create_only  boolean default false,
    pii          boolean default false,
    search       boolean default false)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    res      tenon.resource := tenon.declared(relation);
    col      pg_attribute   := tenon.field_column(relation, field);
    rel      regclass       := to_regclass(relation);
    is_text  boolean := col.atttypid in ('text'::regtype, 'varchar'::regtype);
    fun      text;
    range    text;
begin
    perform tenon.check_limits(
        format('table %s: column %s', relation, field), col.atttypid, min,
        max, pattern, one_of);

    if filter or sort then
        perform tenon.check_keyset(relation, col, sort);
    end if;

    if search then
        if col.atttypid <> 'jsonb'::regtype then
            perform tenon.refuse(
                format('table %s: column %s is searched, but is no jsonb',
                       relation, field),
                'Text is searched by the whole resource: '
                'tenon.resource(…, search => ''{…}'').');
        end if;

        fun := tenon.set_contains(res, field);
    end if;

    insert into tenon.field
    values (res.app, res.name, field.field, min, max, pattern, one_of, filter,
            sort, read_only, create_only, pii, fun)
        on conflict on constraint field_pkey do update
       set min         = excluded.min,
           max         = excluded.max,
           pattern     = excluded.pattern,
           one_of      = excluded.one_of,
           filter      = excluded.filter,
           sort        = excluded.sort,
           read_only   = excluded.read_only,
           create_only = excluded.create_only,
           pii         = excluded.pii,
           contains    = excluded.contains;

    range := format(
        case when min is null and max is null then null
             when max is null then '%1$s >= %2$s'
             when min is null then '%1$s <= %3$s'
             else '%1$s between %2$s and %3$s' end,
        case when is_text then format('char_length(%I)', field.field)
             else quote_ident(field.field) end,
        min, max);

    perform tenon.set_check(
        rel, tenon.object_name(res.table_name, field.field, 'length'),
        case when is_text then range end);

    perform tenon.set_check(
        rel, tenon.object_name(res.table_name, field.field, 'range'),
        case when not is_text then range end);

    perform tenon.set_check(
        rel, tenon.object_name(res.table_name, field.field, 'format'),
        case when pattern is not null
             then format('%I ~ %L', field.field, pattern) end);

    perform tenon.set_check(
        rel, tenon.object_name(res.table_name, field.field, 'set'),
        case when one_of is not null
             then format('%I = any (%L::text[])', field.field, one_of) end);

    if filter then
        perform tenon.set_index(res, field.field || '_filter',
                                array['tenant_id', field.field, 'created_at',
                                      'id']);
    end if;

    if sort then
        perform tenon.set_index(res, field.field || '_sort',
                                array['tenant_id', field.field, 'id']);
    end if;
end
$$;

comment on function tenon.field(text, text, bigint, bigint, text, text[],
                                boolean, boolean, boolean, boolean, boolean,
                                boolean) is
    'Declares what a column''s type doesn''t say; limits become check '
    'constraints, filter and sort become indexes, search an index and a '
    'function';


-- Functions ------------------------------------------------------------------

create function tenon.check_type(what text, type oid)
returns void
language plpgsql stable
as $$
begin
    if type not in ('text'::regtype, 'uuid'::regtype, 'int8'::regtype,
                    'int4'::regtype, 'int2'::regtype, 'numeric'::regtype,
                    'float8'::regtype, 'bool'::regtype,
                    'timestamptz'::regtype, 'date'::regtype,
                    'jsonb'::regtype)
    then
        perform tenon.refuse(
            format('%s is %s, which can''t be served', what,
                   format_type(type, null)),
            'Use text, uuid, bigint, integer, smallint, numeric, double '
            'precision, boolean, timestamptz, date or jsonb.');
    end if;
end
$$;

comment on function tenon.check_type(text, oid) is
    'Refuses a type that no answer or argument can have';


create function tenon.app_function(what text, function text)
returns pg_proc
language plpgsql stable
as $$
declare
    place  text := (select a.schema_name from tenon.app a
                     where a.name = tenon.current_app());
    fun    pg_proc;
    signs  text[];
begin
    select p.* into fun
      from pg_proc p
     where p.pronamespace = quote_ident(place)::regnamespace
       and function in (p.proname, place || '.' || p.proname,
                        format('%I.%I', place, p.proname))
     limit 1;

    if not found then
        perform tenon.refuse(
            format('%s: there is no function %s in schema %I', what, function,
                   place),
            format('Create it first, and name it with its schema: %I.NAME.',
                   place));
    end if;

    -- The oldest first: `create or replace` with other arguments has made a
    -- new one beside it.
    signs := array(select p.oid::regprocedure::text
                     from pg_proc p
                    where p.pronamespace = fun.pronamespace
                      and p.proname      = fun.proname
                    order by p.oid);

    if cardinality(signs) > 1 then
        perform tenon.refuse(
            format('%s: there are %s functions %s: %s', what,
                   cardinality(signs), function,
                   array_to_string(signs, ', ')),
            format('A name must say which is meant. Where arguments have '
                   'changed, put before the new one: drop function if exists '
                   '%s;', signs[1]));
    end if;

    if fun.prokind <> 'f'
       or fun.prolang not in (select oid from pg_language
                               where lanname in ('sql', 'plpgsql'))
    then
        perform tenon.refuse(
            format('%s: %s is no function in SQL or PL/pgSQL', what, function),
            'Write it as: create function … language sql (or plpgsql).');
    end if;

    if fun.prosecdef then
        perform tenon.refuse(
            format('%s: function %s is security definer', what, function),
            'Leave that out: it would run with its owner''s rights. What the '
            'declaration makes around it runs as tenon_app.');
    end if;

    if fun.proowner <> current_user::regrole then
        perform tenon.refuse(
            format('%s: function %s belongs to %s', what, function,
                   fun.proowner::regrole),
            format('alter function %s owner to %I.',
                   fun.oid::regprocedure, current_user));
    end if;

    return fun;
end
$$;

comment on function tenon.app_function(text, text) is
    'A function that the author of the app wrote; refuses what can''t be '
    'called safely';


create function tenon.function_arguments(fun pg_proc)
returns table (n bigint, name text, type oid)
language sql stable
as $$
    -- proargnames and proallargtypes have the outputs among them.
    select row_number() over (order by a.n), coalesce(fun.proargnames[a.n], ''), a.type
      from unnest(coalesce(fun.proallargtypes, fun.proargtypes::oid[]))
           with ordinality as a (type, n)
     where coalesce(fun.proargmodes[a.n], 'i') in ('i', 'b', 'v')
$$;

comment on function tenon.function_arguments(pg_proc) is
    'What a function takes, in order';


create function tenon.function_columns(fun pg_proc)
returns table (n bigint, name text, type oid)
language sql stable
as $$
    select a.n, coalesce(fun.proargnames[a.n], ''), a.type
      from unnest(fun.proallargtypes) with ordinality as a (type, n)
     where fun.proargmodes[a.n] in ('o', 't')
    union all
    select a.attnum, a.attname, a.atttypid
      from pg_type      t
      join pg_attribute a on a.attrelid = t.typrelid
                         and a.attnum > 0
                         and not a.attisdropped
     where t.oid = fun.prorettype
$$;

comment on function tenon.function_columns(pg_proc) is
    'What a function answers: its outputs, or the columns of its row type';


create function tenon.check_arguments(what text, fun pg_proc)
returns void
language plpgsql stable
as $$
declare
    arg  record;
begin
    if fun.proargmodes && '{b,v}'::"char"[] then
        perform tenon.refuse(
            format('%s: function %s has an INOUT or VARIADIC argument', what,
                   fun.oid::regproc),
            'Use IN arguments, and returns table (…) for what it answers.');
    end if;

    -- A request's mask has a bit for each (TN__FIELDS_MAX of libcore is 62).
    if fun.pronargs > 60 then
        perform tenon.refuse(
            format('%s: function %s has more than 60 arguments', what,
                   fun.oid::regproc),
            'Put some into one of type jsonb.');
    end if;

    for arg in select * from tenon.function_arguments(fun) order by n loop

        if arg.name !~ '^[a-z][a-z0-9_]*$' then
            perform tenon.refuse(
                format('%s: argument %s of function %s %s', what, arg.n,
                       fun.oid::regproc,
                       case arg.name when '' then 'has no name'
                       else format('can''t be named %L', arg.name) end),
                'Requests name it: use lower-case letters, digits and _, '
                'starting with a letter.');
        end if;

        perform tenon.check_type(
            format('%s: argument %s of function %s', what, arg.name,
                   fun.oid::regproc), arg.type);
    end loop;

    perform tenon.check_runnable(
        format('%s: a default of function %s', what, fun.oid::regproc),
        fun.proargdefaults::text);
end
$$;

comment on function tenon.check_arguments(text, pg_proc) is
    'Refuses a function whose arguments no request can give';


create function tenon.check_answer(what text, fun pg_proc)
returns void
language plpgsql stable
as $$
declare
    col     record;
    served  boolean := exists (select from pg_type t
                                 join pg_class     c on c.oid = t.typrelid
                                 join pg_namespace n on n.oid = c.relnamespace
                                 join tenon.resource r
                                   on r.schema_name = n.nspname
                                  and r.table_name  = c.relname
                                where t.oid = fun.prorettype);
begin
    if (select count(*) from tenon.function_columns(fun)) > 60 then
        perform tenon.refuse(
            format('%s: function %s answers more than 60 columns', what,
                   fun.oid::regproc),
            'Put some into one of type jsonb.');
    end if;

    for col in select * from tenon.function_columns(fun) order by n loop

        if col.name = '' then
            perform tenon.refuse(
                format('%s: function %s answers a column without a name',
                       what, fun.oid::regproc),
                'Name it: responses do.');
        end if;

        continue when served and col.name in ('tenant_id', 'deleted_at');

        perform tenon.check_type(
            format('%s: column %s of what function %s answers', what,
                   col.name, fun.oid::regproc), col.type);
    end loop;
end
$$;

comment on function tenon.check_answer(text, pg_proc) is
    'Refuses a function whose columns no response can show';


create function tenon.set_wrapper(name text, fun pg_proc, answers text,
                                  note text)
returns text
language plpgsql
as $$
declare
    place    text;
    takes    text;
    gives    text;
    columns  text;
    width    bigint;
begin
    select n.nspname into place
      from pg_namespace n where n.oid = fun.pronamespace;

    select string_agg(format('%I %s', a.name, format_type(a.type, null)),
                      ', ' order by a.n)
      into takes
      from tenon.function_arguments(fun) a;

    gives := pg_get_function_result(fun.oid);

    -- One answer is one row at most, however it was written.
    if answers = 'one' and fun.proargmodes && '{o,t}'::"char"[] then

        select string_agg(format('OUT %I %s', c.name,
                                 format_type(c.type, null)),
                          ', ' order by c.n), count(*)
          into columns, width
          from tenon.function_columns(fun) c;

        takes := concat_ws(', ', takes, columns);
        gives := case width when 1
                 then (select format_type(c.type, null)
                         from tenon.function_columns(fun) c)
                 else 'record' end;
    end if;

    perform tenon.set_usage(place, 'tenon_app', true);

    return tenon.set_definer(
        'tenon_app', place, name, coalesce(takes, ''), gives,
        case fun.provolatile when 'v' then 'volatile' else 'stable' end,
        format('pg_catalog, %I, pg_temp', place),
        format(case answers when 'nothing' then 'select %s(%s)'
                            else 'select * from %s(%s)' end,
               format('%I.%I', place, fun.proname),
               (select string_agg('$' || a.n, ', ' order by a.n)
                  from tenon.function_arguments(fun) a)),
        note);
end
$$;

comment on function tenon.set_wrapper(text, pg_proc, text, text) is
    'Makes what the API calls: runs the author''s function as tenon_app, and '
    'takes all arguments';


create function tenon.action(
    relation          text,
    name              text,
    function          text,
    states            text[] default null,
    state_field       text   default null,
    summary           text   default null,
    usage             text   default null,
    units             int    default 1,
    requires_feature  text   default null)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    res      tenon.resource := tenon.declared(relation);
    what     text := format('action %s.%s', res.name, name);
    called   text := tenon.object_name(res.table_name, name, 'action');
    answers  text;
    fun      pg_proc;
    ret      pg_type;
begin
    -- The last names are those of events, or make the name of an operation
    -- that every resource has.
    if name !~ '^[a-z][a-z0-9_]{0,30}$'
       or name in ('read', 'create', 'update', 'delete', 'history', 'restore',
                   'rollback', 'created', 'updated', 'deleted', 'restored',
                   'get', 'list', 'roll_back')
    then
        perform tenon.refuse(
            format('resource %s: %L can''t be the name of an action', res.name,
                   name),
            'Use lower-case letters, digits and _, starting with a letter, '
            '31 at most, and no verb that every resource has.');
    end if;

    if exists (select from tenon.action a
                where a.app = res.app and a.resource = res.name
                  and a.name = action.name)
    then
        perform tenon.refuse(format('%s is declared twice', what),
                             'Drop or rename one of them.');
    end if;

    if exists (select from tenon.action a
                where a.wrapper = format('%I.%I', res.schema_name, called))
    then
        perform tenon.refuse(
            format('%s: another action''s function is called %s, too', what,
                   called),
            'Its name is made of table and action: rename the action.');
    end if;

    perform tenon.check_meter(what, usage, units, requires_feature);

    fun := tenon.app_function(what, function);
    perform tenon.check_arguments(what, fun);

    if fun.pronargs = 0 or fun.proargtypes[0] <> 'uuid'::regtype then
        perform tenon.refuse(
            format('%s: the first argument of function %s is no uuid', what,
                   function),
            'It is the row''s id: let it begin (id uuid, …).');
    end if;

    if fun.provolatile <> 'v' then
        perform tenon.refuse(
            format('%s: function %s is not volatile', what, function),
            'Leave out stable or immutable: an action changes something.');
    end if;

    select t.* into ret from pg_type t where t.oid = fun.prorettype;

    answers := case
               when fun.proargmodes && '{t}'::"char"[] then 'one'
               when fun.proretset then null
               when fun.proargmodes && '{o}'::"char"[] then 'one'
               when ret.oid = 'void'::regtype then 'nothing'
               when ret.typrelid = to_regclass(relation) then 'row'
               when ret.typtype = 'c' then 'one'
               end;

    if answers is null then
        perform tenon.refuse(
            format('%s: function %s returns %s', what, function,
                   pg_get_function_result(fun.oid)),
            format('Let it return void, %s (the changed row), or table (…) '
                   'with named columns, of which the first row counts.',
                   to_regclass(relation)));
    end if;

    if answers = 'one' then
        perform tenon.check_answer(what, fun);
    end if;

    state_field := tenon.action_states(what, res, states, state_field);

    insert into tenon.action
    values (res.app, res.name, action.name, fun.proname,
            tenon.set_wrapper(called, fun, answers, format(
                'Calls %s as tenon_app: action %s of %s', fun.oid::regproc,
                name, res.name)),
            answers, states, state_field, summary, usage, units,
            requires_feature);

    perform tenon.add_permission(format('%s.%s:%s', res.app, res.name, name));
end
$$;

comment on function tenon.action(text, text, text, text[], text, text, text,
                                 int, text) is
    'Declares a function as an action on one row, at POST '
    '/v1/PATH/{id}/NAME: checks that it can be called safely, then makes the '
    'wrapper that the API calls, and its permission';


create function tenon.action_states(what text, res tenon.resource,
                                    states text[], state_field text)
returns text
language plpgsql stable
as $$
declare
    fields  text[] := array(select distinct s.field
                              from tenon.state s
                             where s.app = res.app and s.resource = res.name);
    wrong   text;
begin
    if states is null and state_field is null then
        return null;
    end if;

    if coalesce(cardinality(states), 0) = 0 then
        perform tenon.refuse(
            format('%s: it names no state', what),
            'Name those in which it may be called, or leave out states and '
            'state_field.');
    end if;

    if state_field is null and cardinality(fields) = 1 then
        state_field := fields[1];
    end if;

    if state_field is null or state_field <> all (fields) then
        perform tenon.refuse(
            case when state_field is not null
                 then format('%s: column %s has no states', what, state_field)
                 when cardinality(fields) = 0
                 then format('%s: resource %s has no states', what, res.name)
                 else format('%s: resource %s has several fields with states',
                             what, res.name) end,
            case when cardinality(fields) > 1
                 then format('Name one: state_field => ''%s''.', fields[1])
                 else format('Declare them first: select tenon.states(%L, …).',
                             format('%I.%I', res.schema_name,
                                    res.table_name)) end);
    end if;

    select s into wrong
      from unnest(states) as s
     where not exists (select from tenon.state k
                        where k.app = res.app and k.resource = res.name
                          and k.field = state_field and k.name = s)
     limit 1;

    if found then
        perform tenon.refuse(
            format('%s: %s has no state %L', what, state_field, wrong),
            (select format('Its states are: %s.',
                           string_agg(k.name, ', ' order by k.position))
               from tenon.state k
              where k.app = res.app and k.resource = res.name
                and k.field = state_field));
    end if;

    return state_field;
end
$$;

comment on function tenon.action_states(text, tenon.resource, text[], text) is
    'The field whose states an action names; refuses states that it hasn''t';


create function tenon.query(
    name              text,
    function          text,
    reads             text[]  default '{}',
    slow              boolean default false,
    summary           text    default null,
    usage             text    default null,
    units             int     default 1,
    requires_feature  text    default null)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    this_app  text := tenon.current_app();
    what      text := 'query ' || name;
    called    text := tenon.object_name(name, 'query');
    taken     text;
    answers   text;
    fun       pg_proc;
    ret       pg_type;
begin
    if name !~ '^[a-z][a-z0-9_]{0,30}$' then
        perform tenon.refuse(
            format('app %s: %L can''t be the name of a query', this_app, name),
            'Use lower-case letters, digits and _, starting with a letter, '
            '31 at most.');
    end if;

    select q.app into taken from tenon.query q where q.name = query.name;

    if found then
        perform tenon.refuse(
            case when taken = this_app
                 then format('%s is declared twice', what)
                 else format('%s: app %s has one of that name', what, taken)
                 end,
            'All apps'' queries lie under /v1/queries: rename one of them.');
    end if;

    if exists (select from tenon.resource r
                where r.app = this_app and r.name = query.name)
    then
        perform tenon.refuse(
            format('%s has the name of a resource', what),
            'Both would be read by one permission: rename one of them.');
    end if;

    perform tenon.check_meter(what, usage, units, requires_feature);

    select r into taken
      from unnest(reads) as r
     where not exists (select from tenon.resource k
                        where k.app = this_app and k.name = r)
     limit 1;

    if found or reads is null then
        perform tenon.refuse(
            format('%s: it reads %L, which is not a resource of app %s', what,
                   taken, this_app),
            'Declare it first, or mend the name.');
    end if;

    fun := tenon.app_function(what, function);
    perform tenon.check_arguments(what, fun);

    if fun.provolatile = 'v' then
        perform tenon.refuse(
            format('%s: function %s is volatile', what, function),
            'Add stable: a query changes nothing.');
    end if;

    select t.* into ret from pg_type t where t.oid = fun.prorettype;

    if not coalesce(fun.proargmodes && '{o,t}'::"char"[], false)
       and ret.typtype <> 'c'
    then
        perform tenon.refuse(
            format('%s: function %s returns %s', what, function,
                   pg_get_function_result(fun.oid)),
            'Let it return table (…) with named columns, rows of a table, or '
            'one such row.');
    end if;

    answers := case when fun.proretset then 'many' else 'one' end;
    perform tenon.check_answer(what, fun);

    insert into tenon.query
    values (this_app, query.name, fun.proname,
            tenon.set_wrapper(called, fun, answers, format(
                'Calls %s as tenon_app: query %s', fun.oid::regproc, name)),
            answers, reads, slow, summary, usage, units, requires_feature);

    perform tenon.add_permission(format('%s.%s:read', this_app, name));
end
$$;

comment on function tenon.query(text, text, text[], boolean, text, text, int,
                                text) is
    'Declares a function as a query at GET /v1/queries/NAME: checks that it '
    'can be called safely, then makes the wrapper that the API calls, and its '
    'permission';


create function tenon.param(
    function  text,
    param     text,
    min       bigint default null,
    max       bigint default null,
    pattern   text   default null,
    one_of    text[] default null)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    what  text    := format('param %s of function %s', param, function);
    fun   pg_proc := tenon.app_function(what, function);
    arg   record;
begin
    select a.* into arg
      from tenon.function_arguments(fun) a
     where a.name = param;

    if not found then
        perform tenon.refuse(
            format('%s: there is no such argument', what),
            (select coalesce('Its arguments are: '
                             || string_agg(a.name, ', ' order by a.n) || '.',
                             'It takes none.')
               from tenon.function_arguments(fun) a));
    end if;

    perform tenon.check_limits(what, arg.type, min, max, pattern, one_of);

    insert into tenon.param
    values (tenon.current_app(), fun.proname, param, min, max, pattern, one_of)
        on conflict on constraint param_pkey do update
       set min     = excluded.min,
           max     = excluded.max,
           pattern = excluded.pattern,
           one_of  = excluded.one_of;
end
$$;

comment on function tenon.param(text, text, bigint, bigint, text, text[]) is
    'Declares what the type of a function''s argument doesn''t say; the API '
    'refuses requests by it';


-- Allow ----------------------------------------------------------------------

create or replace function tenon.allow(
    role      text,
    resource  text,
    verbs     text[],
    scope     text default 'tenant')
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    this_app   text := tenon.current_app();
    full_name  text;
    kind       text;
    res        tenon.resource;
    verb       text;
    known      text[];
    bit        int;
    had        text;
begin
    full_name := case when resource like '%.%' then resource
                      else this_app || '.' || resource end;

    if not exists (select from tenon.role r where r.name = allow.role) then
        perform tenon.refuse(
            format('there is no role %L', role),
            (select format('Roles are: %s.',
                           string_agg(r.name, ', '
                                      order by r.rank desc nulls last,
                                               r.name))
               from tenon.role r));
    end if;

    select r.* into res
      from tenon.resource r
     where r.app || '.' || r.name = full_name
       and r.app = this_app;

    kind := case when found then 'resource' else 'query' end;

    if kind = 'query'
       and not exists (select from tenon.query q
                        where q.app || '.' || q.name = full_name
                          and q.app = this_app)
    then
        perform tenon.refuse(
            format('%s is not a resource or query of app %s', full_name,
                   this_app),
            'Declare it before saying who may use it.');
    end if;

    if scope not in ('tenant', 'own') then
        perform tenon.refuse(
            format('%s %s: there is no scope %L', kind, full_name, scope),
            'Use tenant or own.');
    end if;

    if kind = 'query' and scope = 'own' then
        perform tenon.refuse(
            format('query %s: it has no rows that could be somebody''s own',
                   full_name),
            'Leave out scope; the function may ask tenon.current_actor() who '
            'reads.');
    end if;

    if coalesce(array_length(verbs, 1), 0) = 0 then
        perform tenon.refuse(
            format('%s %s: %s is allowed nothing', kind, full_name, role),
            'Name verbs, or drop the line.');
    end if;

    known := case when kind = 'query' then array['read'] else
             array['read', 'create', 'update', 'delete', 'history']
             || case when res.soft_delete then array['restore']
                     else array[]::text[] end
             || array(select a.name::text
                        from tenon.action a
                       where a.app = res.app and a.resource = res.name
                       order by a.name) end;

    foreach verb in array verbs loop

        if verb <> all (known) then
            perform tenon.refuse(
                format('%s %s has no verb %L', kind, full_name, verb),
                format('Verbs are %s.%s%s', array_to_string(known, ', '),
                       case when not res.soft_delete
                            then ' restore needs soft_delete => true.' end,
                       case when kind = 'resource'
                            then ' An action is one once it is declared.'
                            end));
        end if;

        select p.number into bit
          from tenon.permission p
         where p.name = full_name || ':' || verb;

        insert into tenon."grant" as g (role, permission, scope, app)
        values (role, bit, scope, this_app)
            on conflict on constraint grant_pkey do nothing;

        select g.scope into had
          from tenon."grant" g
         where g.role = allow.role and g.permission = bit;

        if scope = 'own' and verb = 'read' then
            perform tenon.set_index(res, res.owner_column || '_own',
                                    array['tenant_id', res.owner_column,
                                          'created_at', 'id']);
        end if;

        if had <> scope then
            perform tenon.refuse(
                format('%s:%s is allowed to %s twice, as %s and as %s',
                       full_name, verb, role, had, scope),
                'Keep one: tenant includes own.');
        end if;
    end loop;
end
$$;

comment on function tenon.allow(text, text, text[], text) is
    'Grants verbs on a resource, actions among them, or reading a query, to a '
    'role: in the whole tenant or on own rows only; what isn''t allowed is '
    'refused';
