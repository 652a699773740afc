-- 0002_catalogue.sql: the catalogue of apps, and the functions that apps
-- declare themselves with.
--
-- An app is plain tables plus calls, all in one transaction:
--
--     select tenon.app_begin('teamos');
--     select tenon.resource('teamos.task', path => 'tasks', …);
--     select tenon.field('teamos.task', 'title', min => 1, max => 200);
--     select tenon.allow('member', 'task', '{read,create}');
--     select tenon.app_end('teamos');
--
-- A declaration is the only place where a rule stands: what it says becomes a
-- row that workers read, and a constraint, index, policy or grant on the
-- table. What can't be served safely is refused here, with what is wrong,
-- where, and how to mend it; a load is one transaction, so a refused one
-- leaves the old catalogue serving.
--
-- The functions that apps call fix their search_path, and those they call run
-- under it: a relation is always named with its schema.


-- Tables ---------------------------------------------------------------------

create table tenon.app (
    name         text        collate "C" primary key,
    schema_name  text        collate "C" not null unique,
    loaded_at    timestamptz not null default now()
);

comment on table tenon.app is
    'global: the apps of this database, each with an SQL schema of its own';


create table tenon.resource (
    app            text    collate "C" not null references tenon.app,
    name           text    collate "C" not null,
    schema_name    text    collate "C" not null,
    table_name     text    collate "C" not null,
    path           text    collate "C" not null,
    parent         text    collate "C",
    parent_column  text    collate "C",
    soft_delete    boolean not null,
    cache          text    collate "C" not null,
    owner_column   text    collate "C" not null,

    primary key (app, name),
    unique (schema_name, table_name),
    constraint resource_path_key unique (path),
    constraint resource_cache_set
         check (cache in ('none', 'private', 'public'))
);

comment on table tenon.resource is
    'global: a table that the API serves as /v1/PATH';
comment on column tenon.resource.parent_column is
    'The column that refers to the parent; found from the foreign key';
comment on column tenon.resource.owner_column is
    'Holds the user whom a grant of scope ''own'' means';


create table tenon.field (
    app          text    collate "C" not null,
    resource     text    collate "C" not null,
    name         text    collate "C" not null,
    min          bigint,
    max          bigint,
    pattern      text,
    one_of       text[],
    filter       boolean not null default false,
    sort         boolean not null default false,
    read_only    boolean not null default false,
    create_only  boolean not null default false,
    pii          boolean not null default false,

    primary key (app, resource, name),
    foreign key (app, resource) references tenon.resource on delete cascade
);

comment on table tenon.field is
    'global: what a column''s type doesn''t say; a column without a row here '
    'is an ordinary, writable field';
comment on column tenon.field.min is
    'Characters for text, value for numbers';


create table tenon.state (
    app       text collate "C" not null,
    resource  text collate "C" not null,
    field     text collate "C" not null,
    name      text collate "C" not null,
    position  int  not null,

    primary key (app, resource, field, name),
    unique (app, resource, field, position),
    foreign key (app, resource, field) references tenon.field on delete cascade
);

comment on table tenon.state is
    'global: the states of a field in declared order; position 1 is the '
    'initial one';


create table tenon.transition (
    app         text collate "C" not null,
    resource    text collate "C" not null,
    field       text collate "C" not null,
    from_state  text collate "C" not null,
    to_state    text collate "C" not null,

    primary key (app, resource, field, from_state, to_state),
    foreign key (app, resource, field, from_state) references tenon.state
            on delete cascade,
    foreign key (app, resource, field, to_state)   references tenon.state
            on delete cascade
);

comment on table tenon.transition is
    'global: which state may follow which';


create table tenon.catalogue_version (
    one      boolean primary key default true,
    version  bigint  not null,

    constraint catalogue_version_one check (one)
);

comment on table tenon.catalogue_version is
    'global: one row, counted up with every load of an app; workers compare '
    'it, and every cache entry carries the one it was made under';

insert into tenon.catalogue_version (version) values (1);

grant select
   on tenon.app, tenon.resource, tenon.field, tenon.state, tenon.transition,
      tenon.catalogue_version
   to tenon_api;


-- Helpers --------------------------------------------------------------------

create function tenon.refuse(what text, mend text)
returns void
language plpgsql
as $$
begin
    raise exception using message = what, hint = mend,
                          errcode = 'invalid_object_definition';
end
$$;

comment on function tenon.refuse(text, text) is
    'Refuses a declaration: what is wrong and where, and how to mend it';


create function tenon.current_app()
returns text
language plpgsql stable
as $$
declare
    app  text := nullif(current_setting('tenon.app', true), '');
begin
    if app is null then
        perform tenon.refuse(
            'no app is being declared',
            'Start with select tenon.app_begin(''name''), in the same '
            'transaction (psql -1).');
    end if;

    return app;
end
$$;

comment on function tenon.current_app() is
    'The app between app_begin and app_end; refuses when there is none';


create function tenon.declared(relation text)
returns tenon.resource
language plpgsql stable
as $$
declare
    res  tenon.resource;
    rel  regclass := to_regclass(relation);
begin
    select r.* into res
      from tenon.resource r
      join pg_class     c on c.relname = r.table_name
      join pg_namespace n on n.oid     = c.relnamespace
                         and n.nspname = r.schema_name
     where c.oid = rel
       and r.app = tenon.current_app();

    if res.app is null then
        perform tenon.refuse(
            format('%s is not a resource of app %s', relation,
                   tenon.current_app()),
            format('Declare it first: select tenon.resource(%L, path => …).',
                   relation));
    end if;

    return res;
end
$$;

comment on function tenon.declared(text) is
    'The resource that a table was declared as in this load';


create function tenon.object_name(variadic parts text[])
returns text
language plpgsql immutable
as $$
declare
    whole  text := array_to_string(parts, '_');
begin
    -- PostgreSQL would cut it, and two long names might become one.
    if octet_length(whole) > 63 then
        perform tenon.refuse(
            format('%s is too long for a name in PostgreSQL (63 bytes)',
                   whole),
            'Give the table or the column a shorter name.');
    end if;

    return whole;
end
$$;

comment on function tenon.object_name(text[]) is
    'The name of a constraint or index made by a declaration';


create function tenon.set_check(rel regclass, name text, expression text)
returns void
language plpgsql
as $$
declare
    note  text := 'declared: ' || coalesce(expression, '');
    con   oid;
begin
    select oid into con
      from pg_constraint
     where conrelid = rel and conname = name;

    -- Unchanged: adding it anew would lock the table and read all of it.
    if expression is not null
       and obj_description(con, 'pg_constraint') = note
    then
        return;
    end if;

    -- What somebody wrote in the table's own SQL isn't ours to drop.
    if con is not null
       and coalesce(obj_description(con, 'pg_constraint'), '')
           not like 'declared: %'
    then
        if expression is not null then
            perform tenon.refuse(
                format('table %s has a constraint %s of its own', rel, name),
                'Drop or rename it: the declaration makes one of that name.');
        end if;
        return;
    end if;

    if con is not null then
        execute format('alter table %s drop constraint %I', rel, name);
    end if;

    if expression is not null then
        execute format('alter table %s add constraint %I check (%s)',
                       rel, name, expression);
        execute format('comment on constraint %I on %s is %L',
                       name, rel, note);
    end if;
end
$$;

comment on function tenon.set_check(regclass, text, text) is
    'Makes a declared check constraint what it should be; a null expression '
    'drops it';


create function tenon.is_reference(rel oid, column_name text,
                                   actions "char"[] default null)
returns boolean
language sql stable
as $$
    select exists (
           select
             from pg_constraint c
             join pg_attribute  a on a.attrelid = c.conrelid
                                 and a.attnum   = c.conkey[2]
            where c.conrelid = rel
              and c.contype  = 'f'
              and array_length(c.conkey, 1) = 2
              and a.attname  = column_name
              and (actions is null or c.confdeltype = any (actions)))
$$;

comment on function tenon.is_reference(oid, text, "char"[]) is
    'Whether a foreign key (tenant_id, column) leads from there, with one of '
    'these actions on delete';


create function tenon.set_index(res tenon.resource, suffix text, columns text[])
returns void
language plpgsql
set client_min_messages = warning
as $$
declare
    rel     oid     := format('%I.%I', res.schema_name,
                              res.table_name)::regclass;
    -- What is referred to asks for all rows that do when it goes, also for
    -- those deleted softly: an index over the living wouldn't serve.
    living  boolean := res.soft_delete
                       and not tenon.is_reference(rel, columns[2]);
begin
    execute format('create index if not exists %I on %I.%I (%s)%s',
                   tenon.object_name(res.table_name, suffix),
                   res.schema_name, res.table_name,
                   (select string_agg(quote_ident(c), ', ' order by n)
                      from unnest(columns) with ordinality as u (c, n)),
                   case when living
                        then ' where deleted_at is null' else '' end);
end
$$;

comment on function tenon.set_index(tenon.resource, text, text[]) is
    'Makes an index of a resource; over living rows where deletion is soft, '
    'unless a foreign key needs all';


create function tenon.set_grants(app text)
returns void
language plpgsql
as $$
declare
    res  record;
begin
    -- UPDATE is given by column: the rest of a row is settled when it is made.
    -- (Taking it from the table takes it from the columns, too.)
    for res in
        select format('%I.%I', r.schema_name, r.table_name) as rel,
               r.soft_delete,
               string_agg(quote_ident(a.attname), ', ' order by a.attnum)
                   as columns
          from tenon.resource r
          join pg_attribute a on a.attrelid = format('%I.%I', r.schema_name,
                                                     r.table_name)::regclass
                             and a.attnum > 0
                             and not a.attisdropped
                             and a.attname not in ('tenant_id', 'id',
                                                   'created_by', 'created_at')
                             and (a.attname <> 'deleted_at' or r.soft_delete)
          left join tenon.field f on f.app      = r.app
                                 and f.resource = r.name
                                 and f.name     = a.attname
         where r.app = set_grants.app
           and (a.attname in ('version', 'updated_at', 'deleted_at')
                or not coalesce(f.read_only or f.create_only, false))
         group by r.schema_name, r.table_name, r.soft_delete
         order by 1
    loop
        execute format('revoke update, delete on %s from tenon_api', res.rel);
        execute format('grant select, insert, update (%s) on %s to tenon_api',
                       res.columns, res.rel);

        if not res.soft_delete then
            execute format('grant delete on %s to tenon_api', res.rel);
        end if;
    end loop;
end
$$;

comment on function tenon.set_grants(text) is
    'Gives tenon_api what the endpoints of an app''s resources do to their '
    'tables, and nothing else';


-- App ------------------------------------------------------------------------

create function tenon.app_begin(app text, schema_name text default null)
returns void
language plpgsql
set search_path = pg_catalog
as $$
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

    insert into tenon.app as a (name, schema_name)
    values (app, schema_name)
        on conflict (name) do update
       set schema_name = excluded.schema_name,
           loaded_at   = now();

    -- Declarations are made anew, so what is no longer declared is gone.
    -- Permissions stay: their numbers must never mean something else.
    delete from tenon."grant"  g where g.app = app_begin.app;
    delete from tenon.resource r where r.app = app_begin.app;

    perform set_config('tenon.app', app, true);
end
$$;

comment on function tenon.app_begin(text, text) is
    'Starts the declaration of an app, whose tables lie in the schema of the '
    'same name unless told otherwise; all until app_end is one transaction';


create function tenon.app_end(app text)
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

    update tenon.catalogue_version
       set version = version + 1
    returning version into new_version;

    perform set_config('tenon.app', '', true);

    return new_version;
end
$$;

comment on function tenon.app_end(text) is
    'Ends the declaration of an app: checks what only the whole can show, and '
    'returns the new version of the catalogue';


create function tenon.set_parent_column(app text, resource text)
returns void
language plpgsql
as $$
declare
    res      tenon.resource;
    columns  text[];
begin
    select r.* into res
      from tenon.resource r
     where r.app = set_parent_column.app
       and r.name = set_parent_column.resource;

    select array_agg(a.attname::text
                     order by a.attname <> res.parent || '_id', a.attname)
      into columns
      from tenon.resource p
      join pg_constraint  c on c.contype = 'f'
                           and array_length(c.conkey, 1) = 2
                           and c.conrelid  = format('%I.%I', res.schema_name,
                                               res.table_name)::regclass
                           and c.confrelid = format('%I.%I', p.schema_name,
                                               p.table_name)::regclass
      join pg_attribute   a on a.attrelid = c.conrelid
                           and a.attnum   = c.conkey[2]
     where p.app = res.app
       and p.name = res.parent;

    if columns is null then
        perform tenon.refuse(
            format('resource %s: no foreign key leads to its parent %s',
                   resource, res.parent),
            format('Add to table %I.%I: foreign key (tenant_id, %s_id) '
                   'references the parent''s table.', res.schema_name,
                   res.table_name, res.parent));
    end if;

    update tenon.resource r
       set parent_column = columns[1]
     where r.app = res.app
       and r.name = res.name;
end
$$;

comment on function tenon.set_parent_column(text, text) is
    'Finds the column by which a resource refers to its parent: PARENT_id '
    'where several foreign keys lead there';


-- Resource -------------------------------------------------------------------

create function tenon.check_columns(rel regclass, soft_delete boolean)
returns void
language plpgsql stable
as $$
declare
    want  record;
    have  record;
begin
    -- A request's mask has a bit for each (TN__FIELDS_MAX of libcore is 62).
    if (select count(*) from pg_attribute
         where attrelid = rel and attnum > 0 and not attisdropped) > 60
    then
        perform tenon.refuse(
            format('table %s: it has more than 60 columns', rel),
            'Move some to a table of their own, or into one jsonb column.');
    end if;

    for want in
        select *
          from (values
                ('tenant_id',  'uuid',                     true,  true),
                ('id',         'uuid',                     true,  true),
                ('version',    'bigint',                   true,  true),
                ('created_at', 'timestamp with time zone', true,  true),
                ('created_by', 'uuid',                     false, true),
                ('updated_at', 'timestamp with time zone', true,  true),
                ('deleted_at', 'timestamp with time zone', false, soft_delete)
               ) as w (name, type, not_null, needed)
         where needed
    loop
        select format_type(atttypid, atttypmod) as type,
               attnotnull                       as not_null
          into have
          from pg_attribute
         where attrelid = rel
           and attname  = want.name
           and attnum   > 0
           and not attisdropped;

        if not found then
            perform tenon.refuse(
                format('table %s: system column %s is missing', rel,
                       want.name),
                format('Add it: %s %s%s.', want.name, want.type,
                       case when want.not_null then ' not null' else '' end));
        end if;

        -- created_by may be null, since the system creates rows too; a
        -- deleted_at that can't be null would make every row a deleted one.
        if have.type <> want.type
           or (want.not_null and not have.not_null)
           or (want.name in ('created_by', 'deleted_at') and have.not_null)
        then
            perform tenon.refuse(
                format('table %s: system column %s is %s%s', rel, want.name,
                       have.type,
                       case when have.not_null then ' not null' else '' end),
                format('It must be: %s %s%s.', want.name, want.type,
                       case when want.not_null then ' not null' else '' end));
        end if;
    end loop;
end
$$;

comment on function tenon.check_columns(regclass, boolean) is
    'Refuses a table whose system columns are missing or of the wrong type, or '
    'that has more columns than can be served';


create function tenon.check_keys(rel regclass)
returns void
language plpgsql stable
as $$
declare
    tenant  int2 := (select attnum from pg_attribute
                      where attrelid = rel and attname = 'tenant_id');
    key     record;
    pkey    text[];
begin
    select array_agg(a.attname::text order by k.n)
      into pkey
      from pg_constraint c
     cross join unnest(c.conkey) with ordinality as k (attnum, n)
      join pg_attribute a on a.attrelid = rel and a.attnum = k.attnum
     where c.conrelid = rel
       and c.contype  = 'p';

    if pkey is distinct from array['tenant_id', 'id'] then
        perform tenon.refuse(
            format('table %s: the primary key is (%s)', rel,
                   coalesce(array_to_string(pkey, ', '), 'missing')),
            'It must be: primary key (tenant_id, id).');
    end if;

    -- Keys are checked beyond row security. One that spans tenants would
    -- answer whether another tenant has a value, or point at its row.
    for key in
        select i.indexrelid::regclass as name
          from pg_index i
         where i.indrelid = rel
           and i.indisunique
           and i.indkey[0] <> tenant
    loop
        perform tenon.refuse(
            format('table %s: unique key %s doesn''t start with tenant_id',
                   rel, key.name),
            'Put tenant_id first: a key across tenants tells one what '
            'another has.');
    end loop;

    for key in
        select c.conname as name
          from pg_constraint c
         where c.conrelid = rel
           and c.contype  = 'f'
           and exists (select from pg_attribute a
                        where a.attrelid = c.confrelid
                          and a.attname  = 'tenant_id'
                          and not a.attisdropped)
           and (c.conkey[1] <> tenant
                or (select a.attname from pg_attribute a
                     where a.attrelid = c.confrelid
                       and a.attnum   = c.confkey[1]) <> 'tenant_id')
    loop
        perform tenon.refuse(
            format('table %s: foreign key %s doesn''t start with tenant_id',
                   rel, key.name),
            'Write it as: foreign key (tenant_id, other_id) references '
            'other, so that it can''t leave the tenant.');
    end loop;
end
$$;

comment on function tenon.check_keys(regclass) is
    'Refuses a table with a primary, unique or foreign key that could cross '
    'tenants; realm and global tables have no tenant_id and may be referred '
    'to';


create function tenon.protect(rel regclass, full_name text)
returns void
language plpgsql
set client_min_messages = warning
as $$
declare
    other  text;
begin
    -- Policies add up: any second one could only let more rows through.
    select polname into other
      from pg_policy
     where polrelid = rel
       and polname <> 'tenant'
       and polpermissive
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

comment on function tenon.protect(regclass, text) is
    'Row security and triggers of a resource';


create function tenon.resource(
    relation     text,
    path         text,
    name         text    default null,
    parent       text    default null,
    soft_delete  boolean default false,
    cache        text    default 'private',
    owner        text    default 'created_by')
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
           path, parent, null, soft_delete, cache, owner
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
       or res.name in ('tenant', 'member', 'user', 'session', 'audit_event')
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
                'erasures', 'openapi.json')
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

    perform tenon.add_permission(app || '.' || res.name || ':' || v)
       from unnest(array['read', 'create', 'update', 'delete', 'history']
                   || case when soft_delete then array['restore']
                           else array[]::text[] end) as v;
end
$$;

comment on function tenon.resource(text, text, text, text, boolean, text,
                                   text) is
    'Declares a table as a resource at /v1/PATH: checks that it can be served '
    'safely, then gives it policy, triggers, grants, list index, permissions';


-- Field ----------------------------------------------------------------------

create function tenon.field_column(relation text, field text)
returns pg_attribute
language plpgsql stable
as $$
declare
    col  pg_attribute;
begin
    select a.* into col
      from pg_attribute a
     where a.attrelid = to_regclass(relation)
       and a.attname  = field
       and a.attnum   > 0
       and not a.attisdropped;

    if col.attrelid is null or field in ('tenant_id', 'deleted_at') then
        perform tenon.refuse(
            format('table %s has no column %s to declare', relation, field),
            'Mend the name; tenant_id and deleted_at stay inside.');
    end if;

    return col;
end
$$;

comment on function tenon.field_column(text, text) is
    'The column of a field; refuses when there is none';


create function tenon.check_keyset(
    relation  text,
    col       pg_attribute,
    sort      boolean)
returns void
language plpgsql stable
as $$
begin
    -- One value in a query string can't say which JSON is meant, and under
    -- row security no index on it is used.
    if col.atttypid in ('json'::regtype, 'jsonb'::regtype) then
        perform tenon.refuse(
            format('table %s: column %s sorts or filters, but is %s', relation,
                   col.attname, col.atttypid::regtype),
            'Give what shall be sorted or filtered by a column of its own.');
    end if;

    -- Any other collation makes an index slower, and breaks it when the
    -- system's library changes its rules.
    if col.attcollation <> 0 and col.attcollation <> '"C"'::regcollation then
        perform tenon.refuse(
            format('table %s: column %s sorts or filters, but is not collate '
                   '"C"', relation, col.attname),
            format('alter table %s alter column %I type %s collate "C".',
                   relation, col.attname,
                   format_type(col.atttypid, col.atttypmod)));
    end if;

    -- Under row security only leakproof comparisons may use an index.
    if (select typtype from pg_type where oid = col.atttypid) = 'e' then
        perform tenon.refuse(
            format('table %s: column %s sorts or filters, but is an enum',
                   relation, col.attname),
            'Use text collate "C" with one_of => …: under row security an '
            'enum''s index isn''t used.');
    end if;

    if sort and not col.attnotnull then
        perform tenon.refuse(
            format('table %s: column %s sorts, but may be null', relation,
                   col.attname),
            format('alter table %s alter column %I set not null: a page '
                   'can''t go on after a null.', relation, col.attname));
    end if;
end
$$;

comment on function tenon.check_keyset(text, pg_attribute, boolean) is
    'Refuses a column that can''t serve filters or keyset paging';


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
    pii          boolean default false)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    res      tenon.resource := tenon.declared(relation);
    col      pg_attribute   := tenon.field_column(relation, field);
    rel      regclass       := to_regclass(relation);
    is_text  boolean := col.atttypid in ('text'::regtype, 'varchar'::regtype);
    is_num   boolean := col.atttypid in ('int2'::regtype, 'int4'::regtype,
                                         'int8'::regtype, 'numeric'::regtype,
                                         'float4'::regtype, 'float8'::regtype);
    range    text;
begin
    if (min is not null or max is not null) and not is_text and not is_num
    then
        perform tenon.refuse(
            format('table %s: column %s has no length or range to limit',
                   relation, field),
            'min and max are for text (characters) and numbers (value).');
    end if;

    if min > max then
        perform tenon.refuse(
            format('table %s: column %s has min %s above max %s', relation,
                   field, min, max),
            'Swap them.');
    end if;

    if (pattern is not null or one_of is not null) and not is_text then
        perform tenon.refuse(
            format('table %s: column %s is not text', relation, field),
            'pattern and one_of are for text.');
    end if;

    if filter or sort then
        perform tenon.check_keyset(relation, col, sort);
    end if;

    insert into tenon.field
    values (res.app, res.name, field.field, min, max, pattern, one_of, filter,
            sort, read_only, create_only, pii)
        on conflict on constraint field_pkey do update
       set min         = excluded.min,
           max         = excluded.max,
           pattern     = excluded.pattern,
           one_of      = excluded.one_of,
           filter      = excluded.filter,
           sort        = excluded.sort,
           read_only   = excluded.read_only,
           create_only = excluded.create_only,
           pii         = excluded.pii;

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
        case when is_num then range end);

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
                                boolean, boolean, boolean, boolean, boolean) is
    'Declares what a column''s type doesn''t say; limits become check '
    'constraints, filter and sort become indexes';


-- States ---------------------------------------------------------------------

create function tenon.states(relation text, field text, transitions text)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    res      tenon.resource := tenon.declared(relation);
    col      pg_attribute   := tenon.field_column(relation, field);
    chain    text;
    steps    text[];
    initial  text;
    preset   text;
begin
    if col.atttypid <> 'text'::regtype or not col.attnotnull then
        perform tenon.refuse(
            format('table %s: column %s can''t hold states', relation, field),
            'It must be: text collate "C" not null.');
    end if;

    insert into tenon.field (app, resource, name)
    values (res.app, res.name, field)
        on conflict on constraint field_pkey do nothing;

    delete from tenon.state s
     where s.app = res.app
       and s.resource = res.name
       and s.field = states.field;

    foreach chain in array string_to_array(transitions, ',') loop

        select array_agg(btrim(step) order by n) into steps
          from unnest(string_to_array(chain, '->')) with ordinality
               as s (step, n);

        if array_length(steps, 1) < 2
           or exists (select from unnest(steps) as s
                       where s !~ '^[a-z][a-z0-9_]*$')
        then
            perform tenon.refuse(
                format('table %s: %L is no chain of states', relation,
                       btrim(chain)),
                'Write: todo -> in_progress -> done, in_progress -> todo.');
        end if;

        insert into tenon.state (app, resource, field, name, position)
        select res.app, res.name, states.field, s.step,
               (select count(*) from tenon.state k
                 where k.app = res.app and k.resource = res.name
                   and k.field = states.field)
               + row_number() over (order by s.n)
          from (select step, pg_catalog.min(n) as n
                  from unnest(steps) with ordinality as u (step, n)
                 group by step) as s
         where not exists (
               select from tenon.state k
                where k.app = res.app and k.resource = res.name
                  and k.field = states.field and k.name = s.step);

        insert into tenon.transition
               (app, resource, field, from_state, to_state)
        select res.app, res.name, states.field, steps[i], steps[i + 1]
          from generate_series(1, array_length(steps, 1) - 1) as i
            on conflict do nothing;
    end loop;

    select s.name into initial
      from tenon.state s
     where s.app = res.app and s.resource = res.name
       and s.field = states.field and s.position = 1;

    select pg_get_expr(d.adbin, d.adrelid) into preset
      from pg_attrdef d
     where d.adrelid = col.attrelid and d.adnum = col.attnum;

    if preset is not null and preset <> quote_literal(initial) || '::text' then
        perform tenon.refuse(
            format('table %s: column %s starts as %s, its states as %s',
                   relation, field, preset, initial),
            'The first state named is the initial one; give the column the '
            'same default.');
    end if;

    perform tenon.set_check(
        to_regclass(relation),
        tenon.object_name(res.table_name, field, 'states'),
        (select format('%I = any (%L::text[])', states.field,
                       array_agg(s.name order by s.position))
           from tenon.state s
          where s.app = res.app and s.resource = res.name
            and s.field = states.field));
end
$$;

comment on function tenon.states(text, text, text) is
    'Declares a state machine in a text column, as chains: ''todo -> doing -> '
    'done, doing -> todo''; the first state named is the initial one';


-- Allow ----------------------------------------------------------------------

create function tenon.allow(
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
    verb       text;
    bit        int;
    known      text;
begin
    full_name := case when resource like '%.%' then resource
                      else this_app || '.' || resource end;

    if not exists (select from tenon.role r where r.name = allow.role) then
        perform tenon.refuse(
            format('there is no role %L', role),
            (select format('Roles are: %s.',
                           string_agg(r.name, ', ' order by r.rank desc))
               from tenon.role r));
    end if;

    if scope not in ('tenant', 'own') then
        perform tenon.refuse(
            format('resource %s: there is no scope %L', full_name, scope),
            'Use tenant or own.');
    end if;

    if not exists (select from tenon.resource r
                    where r.app || '.' || r.name = full_name
                      and r.app = this_app)
    then
        perform tenon.refuse(
            format('%s is not a resource of app %s', full_name, this_app),
            'Declare it before saying who may use it.');
    end if;

    if coalesce(array_length(verbs, 1), 0) = 0 then
        perform tenon.refuse(
            format('resource %s: %s is allowed nothing', full_name, role),
            'Name verbs, or drop the line.');
    end if;

    foreach verb in array verbs loop

        select p.number into bit
          from tenon.permission p
         where p.name = full_name || ':' || verb
           and (verb <> 'restore'
                or exists (select from tenon.resource r
                            where r.app || '.' || r.name = full_name
                              and r.soft_delete));

        if not found then
            perform tenon.refuse(
                format('resource %s has no verb %L', full_name, verb),
                'Verbs are read, create, update, delete, history, and restore '
                'where deletion is soft.');
        end if;

        insert into tenon."grant" as g (role, permission, scope, app)
        values (role, bit, scope, this_app)
            on conflict on constraint grant_pkey do nothing;

        select g.scope into known
          from tenon."grant" g
         where g.role = allow.role and g.permission = bit;

        if scope = 'own' and verb = 'read' then
            perform tenon.set_index(r, r.owner_column || '_own',
                                    array['tenant_id', r.owner_column,
                                          'created_at', 'id'])
               from tenon.resource r
              where r.app = this_app
                and r.app || '.' || r.name = full_name;
        end if;

        if known <> scope then
            perform tenon.refuse(
                format('%s:%s is allowed to %s twice, as %s and as %s',
                       full_name, verb, role, known, scope),
                'Keep one: tenant includes own.');
        end if;
    end loop;
end
$$;

comment on function tenon.allow(text, text, text[], text) is
    'Grants verbs on a resource to a role, in the whole tenant or on own rows '
    'only; what isn''t allowed is refused';
