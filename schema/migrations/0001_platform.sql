-- 0001_platform.sql: identities, tenants, access, the event log.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0001_platform.sql
--
-- Every table belongs to one class, which decides its policy (README.md):
-- tenant, realm, directory, global, feed. All but the global ones have row
-- security ENABLEd and FORCEd, so that not even their owner can forget to say
-- whose rows it means.

create schema if not exists tenon;

comment on schema tenon is
    'Tenon: identities, tenants, access, events, and the catalogue of apps';

-- What is not granted below is not granted: functions too, now and later.
revoke all on schema tenon from public;

alter default privileges revoke execute on functions from public;

grant usage on schema tenon
   to tenon_api, tenon_lookup, tenon_feed, tenon_worker;


-- Migrations -----------------------------------------------------------------

create table if not exists tenon.migration (
    version     int         primary key,
    name        text        not null,
    checksum    text        not null,
    applied_at  timestamptz not null default now()
);

comment on table tenon.migration is
    'global: which files of schema/migrations have been applied; '
    'written by tenonctl migrate';

grant select on tenon.migration to tenon_api;


-- Ids ------------------------------------------------------------------------

create function tenon.uuid7()
returns uuid
language sql volatile parallel safe
as $$
    -- A version 4 UUID with its first 48 bits replaced by milliseconds; two
    -- bits more turn version 4 (0100) into 7 (0111). RFC 9562, 5.7.
    select encode(
               set_bit(set_bit(
                   overlay(uuid_send(gen_random_uuid())
                           placing substring(int8send(
                               (extract(epoch from clock_timestamp())
                                * 1000)::bigint) from 3)
                           from 1 for 6),
                   52, 1), 53, 1),
               'hex')::uuid
$$;

comment on function tenon.uuid7() is
    'A new UUIDv7: the default of id columns, and a helper for work by hand; '
    'the API brings ids of its own';

grant execute on function tenon.uuid7() to tenon_api;


-- Realm: identities ----------------------------------------------------------

create table tenon.realm (
    realm_id    uuid        primary key,
    name        text        not null,
    created_at  timestamptz not null default now()
);

comment on table tenon.realm is
    'realm: a space of identities; shared by many tenants, or one tenant''s '
    'own';


create table tenon."user" (
    realm_id       uuid        not null references tenon.realm,
    id             uuid        not null default tenon.uuid7(),
    email          text        collate "C" not null,
    name           text        not null,
    password_hash  text,
    status         text        collate "C" not null default 'active',
    version        bigint      not null default 1,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    deleted_at     timestamptz,

    primary key (realm_id, id),

    -- One spelling per address, or the unique index below means nothing.
    constraint user_email_lower check (email = lower(email)),
    constraint user_status_set  check (status in ('active', 'disabled'))
);

-- Among the living: a deleted user's address may sign up again.
create unique index user_email_key on tenon."user" (realm_id, email)
 where deleted_at is null;

comment on table tenon."user" is
    'realm: one person; belongs to tenants through tenon.member';
comment on column tenon."user".password_hash is
    'Argon2id in its usual text form; null for those who can''t sign in by '
    'password';


create table tenon.login_attempt (
    realm_id  uuid        not null references tenon.realm,
    key       bytea       not null,
    failures  int         not null default 0,
    first_at  timestamptz not null default now(),
    last_at   timestamptz not null default now(),

    primary key (realm_id, key)
);

comment on table tenon.login_attempt is
    'realm: failed sign-ins per identity, for the silent lockout';
comment on column tenon.login_attempt.key is
    'HMAC of realm and e-mail, kept for unknown addresses like for known '
    'ones: else the extra write would tell them apart';


-- Global: roles and permissions ----------------------------------------------

create table tenon.role (
    name   text collate "C" primary key,
    title  text not null,
    rank   int  not null unique
);

comment on table tenon.role is
    'global: the roles that Tenon ships with';
comment on column tenon.role.rank is
    'Nobody gives or takes a role above their own';


create table tenon.permission (
    number  int  primary key,
    name    text collate "C" not null unique,

    constraint permission_number_positive check (number > 0),
    constraint permission_name_format
         check (name ~ '^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*:[a-z]+$')
);

comment on table tenon.permission is
    'global: permissions by number, which is a bit in a principal''s set; '
    'append-only';


create function tenon.refuse_change()
returns trigger
language plpgsql
as $$
begin
    raise exception 'tenon.% is append-only', tg_table_name
        using hint = 'Permission numbers are bits that running workers hold; '
                     'leave old rows as they are.';
end
$$;

comment on function tenon.refuse_change() is
    'Trigger: refuses the statement';

create trigger permission_append_only
    before update or delete or truncate on tenon.permission
    for each statement execute function tenon.refuse_change();


create function tenon.add_permission(permission_name text)
returns int
language plpgsql
as $$
declare
    found_number  int;
begin
    -- max + 1 rather than a sequence: no holes after a rollback, and the lock
    -- keeps two loads from taking the same number.
    lock table tenon.permission in share row exclusive mode;

    select number into found_number
      from tenon.permission
     where name = permission_name;

    if found_number is null then
        insert into tenon.permission (number, name)
        select coalesce(max(number), 0) + 1, permission_name
          from tenon.permission
        returning number into found_number;
    end if;

    return found_number;
end
$$;

comment on function tenon.add_permission(text) is
    'The number of a permission, new or known; numbers are never reused, '
    'because workers swap catalogues at different moments';


create table tenon."grant" (
    role        text collate "C" not null references tenon.role,
    permission  int              not null references tenon.permission,
    scope       text collate "C" not null default 'tenant',
    app         text collate "C" not null,

    primary key (role, permission),

    constraint grant_scope_set check (scope in ('tenant', 'own'))
);

comment on table tenon."grant" is
    'global: which role holds which permission, in the whole tenant or for '
    'own rows only';
comment on column tenon."grant".app is
    'Who declared it: an app, or ''tenon'' for the platform';

grant select on tenon.role, tenon.permission, tenon."grant" to tenon_api;


-- Directory ------------------------------------------------------------------

create table tenon.tenant_slug (
    slug       text collate "C" not null,
    tenant_id  uuid not null,
    realm_id   uuid not null,

    constraint tenant_slug_pkey primary key (slug),

    -- For the key by which a tenant proves that it is to be found here. The
    -- other way round would lead from a table that every node of a cluster
    -- has a copy of to one that is spread over them.
    unique (tenant_id, realm_id, slug),

    constraint tenant_slug_format
         check (slug ~ '^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$'),

    -- Host names that operators want for themselves, or that a reader would
    -- take for the platform's own.
    constraint tenant_slug_reserved
         check (slug <> all (array[
                'abuse', 'account', 'admin', 'administrator', 'api', 'app',
                'assets', 'auth', 'billing', 'blog', 'cdn', 'console',
                'dashboard', 'docs', 'ftp', 'help', 'hostmaster', 'imap',
                'localhost', 'login', 'mail', 'metrics', 'ns1', 'ns2',
                'platform', 'pop3', 'postmaster', 'root', 'signup', 'smtp',
                'static', 'status', 'support', 'system', 'tenon', 'webmaster',
                'webmail', 'www']))
);

comment on table tenon.tenant_slug is
    'directory: host name to tenant, before any tenant is known; read by '
    'definer functions only, so nobody can list who the customers are';


-- Tenant ---------------------------------------------------------------------

create table tenon.tenant (
    tenant_id   uuid        primary key,
    realm_id    uuid        not null references tenon.realm,
    name        text        not null,
    slug        text        collate "C" not null,
    status      text        collate "C" not null default 'active',
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),
    deleted_at  timestamptz,

    -- Lets the keys of members prove that they name its realm.
    unique (tenant_id, realm_id),

    -- Entered in the directory first, or by the same statement: a name that
    -- nobody can look up is none.
    foreign key (tenant_id, realm_id, slug)
     references tenon.tenant_slug (tenant_id, realm_id, slug),

    constraint tenant_name_length check (char_length(name) between 1 and 200),
    constraint tenant_status_set  check (status in ('active', 'suspended'))
);

comment on table tenon.tenant is
    'tenant: an organization, the boundary of isolation';


create table tenon.member (
    tenant_id   uuid        not null,
    id          uuid        not null default tenon.uuid7(),
    realm_id    uuid        not null,
    user_id     uuid        not null,
    role        text        collate "C" not null references tenon.role,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),

    primary key (tenant_id, id),
    unique (tenant_id, user_id),

    foreign key (tenant_id, realm_id)
     references tenon.tenant (tenant_id, realm_id),

    foreign key (realm_id, user_id)
     references tenon."user" (realm_id, id)
);

create index member_list on tenon.member (tenant_id, created_at, id);

-- The tenants of a user: the one question that isn't asked within a tenant.
create index member_user on tenon.member (realm_id, user_id);

comment on table tenon.member is
    'tenant: a user''s membership in a tenant, with one role';


create table tenon.session (
    tenant_id   uuid        not null,
    id          uuid        not null,
    realm_id    uuid        not null,
    user_id     uuid        not null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    revoked_at  timestamptz,
    ip          text,
    user_agent  text,

    primary key (tenant_id, id),

    -- Who is removed from the tenant is signed out of it, by the same row.
    foreign key (tenant_id, user_id)
     references tenon.member (tenant_id, user_id) on delete cascade
);

create index session_list on tenon.session
       (tenant_id, user_id, created_at, id);

comment on table tenon.session is
    'tenant: one sign-in of a member';


-- Feed: the event log --------------------------------------------------------

create table tenon.event (
    tenant_id     uuid        not null,
    at            timestamptz not null default now(),
    id            uuid        not null,
    epoch         int         not null default 1,
    xid           xid8        not null default pg_current_xact_id(),
    actor         uuid,
    impersonator  uuid,
    action        text        collate "C" not null,
    outcome       text        collate "C" not null default 'success',
    resource      text        collate "C",
    resource_id   uuid,
    version       bigint,
    request_id    text,
    scope_before  uuid,
    scope_after   uuid,
    commitment    bytea       not null,

    primary key (tenant_id, at, id),

    constraint event_outcome_set
         check (outcome in ('success', 'refused', 'failure'))
) partition by range (at);

-- The feed reads all tenants in commit order: below the oldest transaction
-- still running, by (xid, id).
create index event_feed on tenon.event (xid, id);

-- An id says enough: a UUID is not used by two resources.
create index event_history on tenon.event
       (tenant_id, resource_id, at, id);

comment on table tenon.event is
    'feed: one row per change, written by the change''s own statement: audit '
    'record, history, outbox and cache invalidation at once; never updated';
comment on column tenon.event.epoch is
    'Starts anew after a logical restore, which rewinds xids';
comment on column tenon.event.action is
    'task.created, member.deleted, user.login';
comment on column tenon.event.resource is
    'app.resource, the platform''s own as tenon.member';
comment on column tenon.event.scope_before is
    'Account or owner that could see the row before the change';
comment on column tenon.event.scope_after is
    'Account or owner that can see it now';
comment on column tenon.event.commitment is
    'tenon.commitment() of the body: proves what the body said, even once '
    'it is erased';


create table tenon.event_body (
    tenant_id   uuid        not null,
    at          timestamptz not null default now(),
    event_id    uuid        not null,
    subject_id  uuid,
    salt        bytea       not null,
    before      jsonb,
    after       jsonb,
    metadata    jsonb,
    ip          text,
    user_agent  text,

    primary key (tenant_id, at, event_id)
) partition by range (at);

comment on table tenon.event_body is
    'feed: what an event says of people; may be erased, while tenon.event '
    'stays';
comment on column tenon.event_body.salt is
    'Random, so that an erased body can''t be guessed from its commitment';


create function tenon.make_partitions(months int default 12)
returns int
language plpgsql
set search_path = pg_catalog
set lock_timeout = 0
as $$
declare
    parent      text;
    part        text;
    month       timestamp;
    first_month timestamp := date_trunc('month', now() at time zone 'UTC');
    made        int       := 0;
begin
    -- Two callers would both find a month missing. Its number is "tenon" in
    -- ASCII and one more: tenonctl holds the one before it meanwhile.
    perform pg_advisory_xact_lock(499917942639);

    -- What queues behind a lock that we wait for must not run into the
    -- lock_timeout of tenon_api (bootstrap.sql).
    perform set_config('lock_timeout', '1s', true);

    foreach parent in array array['event', 'event_body'] loop

        -- A missing month must never fail a write: DEFAULT takes it.
        if to_regclass('tenon.' || parent || '_default') is null then
            execute format('create table tenon.%I partition of tenon.%I '
                           'default', parent || '_default', parent);
            -- Rows are reached through the parent and its policies; forced
            -- row security without a policy shuts the side door.
            execute format('alter table tenon.%I enable row level security, '
                           'force row level security', parent || '_default');
        end if;

        for month in
            select generate_series(first_month - interval '1 month',
                                   first_month + months * interval '1 month',
                                   interval '1 month')
        loop
            part := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
            continue when to_regclass('tenon.' || part) is not null;

            -- Made apart and attached: unlike CREATE … PARTITION OF, this
            -- doesn't lock writers out of the parent.
            execute format('create table tenon.%I (like tenon.%I including '
                           'defaults including constraints including indexes)',
                           part, parent);

            -- What DEFAULT caught meanwhile moves to where it belongs.
            execute format('alter table tenon.%I no force row level security',
                           parent || '_default');
            execute format('with moved as (delete from tenon.%I '
                           'where at >= %L and at < %L returning *) '
                           'insert into tenon.%I select * from moved',
                           parent || '_default',
                           month at time zone 'UTC',
                           (month + interval '1 month') at time zone 'UTC',
                           part);
            execute format('alter table tenon.%I force row level security',
                           parent || '_default');

            execute format('alter table tenon.%I attach partition tenon.%I '
                           'for values from (%L) to (%L)',
                           parent, part,
                           month at time zone 'UTC',
                           (month + interval '1 month') at time zone 'UTC');
            execute format('alter table tenon.%I enable row level security, '
                           'force row level security', part);

            made := made + 1;
        end loop;
    end loop;

    return made;
end
$$;

comment on function tenon.make_partitions(int) is
    'Makes the event partitions from last month to so many months ahead, and '
    'DEFAULT; returns how many were missing. May be called at any time, by '
    'several at once; tenonctl migrate does, month by month. It gives up '
    'where somebody keeps the tables locked for over a second';

select tenon.make_partitions();


create function tenon.commitment(
    salt        bytea,
    before      jsonb,
    after       jsonb,
    metadata    jsonb,
    ip          text,
    user_agent  text)
returns bytea
language sql stable parallel safe
as $$
    -- jsonb's text is one form per value (keys ordered, spaces fixed), so the
    -- hash can be made again from the stored columns.
    select sha256(salt || convert_to(
               jsonb_build_object('before',     before,
                                  'after',      after,
                                  'metadata',   metadata,
                                  'ip',         ip,
                                  'user_agent', user_agent)::text,
               'UTF8'))
$$;

comment on function tenon.commitment(bytea, jsonb, jsonb, jsonb, text, text) is
    'Salted SHA-256 of an event''s body: what tenon.event.commitment holds';


create function tenon.log_event(
    event_id     uuid,
    action       text,
    resource     text,
    resource_id  uuid,
    version      bigint,
    before       jsonb,
    after        jsonb,
    metadata     jsonb,
    salt         bytea,
    outcome      text default 'success')
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
            version, request_id, commitment)
    values (tenant, event_id, actor, action, outcome, resource, resource_id,
            version, request_id,
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
                                    jsonb, jsonb, bytea, text) is
    'Writes an event and its body for the current tenant; who and whence come '
    'from the settings tenon.actor, request_id, ip, user_agent. Call it in '
    'the statement that makes the change: select … from done';

grant execute
   on function tenon.commitment(bytea, jsonb, jsonb, jsonb, text, text),
               tenon.log_event(uuid, text, text, uuid, bigint, jsonb, jsonb,
                               jsonb, bytea, text)
   to tenon_api;


create view tenon.audit_event
with (security_invoker = true) as
select e.tenant_id,
       e.id,
       e.at,
       e.action,
       e.outcome,
       json_build_object('type', case when e.actor is not null then 'user'
                                      when e.request_id is not null
                                      then 'anonymous'
                                      else 'system' end,
                         'id', e.actor,
                         'impersonator', e.impersonator) as actor,
       e.actor                                           as actor_id,
       e.resource,
       e.resource_id,
       e.version,
       e.request_id,
       b.ip,
       b.user_agent,
       b.metadata,
       b.before,
       b.after
  from tenon.event e
  left join tenon.event_body b
    on b.tenant_id = e.tenant_id
   and b.at        = e.at
   and b.event_id  = e.id;

comment on view tenon.audit_event is
    'An event as the API shows it; the body''s columns are null once erased. '
    'Its actor is a user, anonymous (a request before anybody signed in: a '
    'failed login), or the system (no request at all)';


-- Changes that don't come through the API ------------------------------------

create function tenon.touch()
returns trigger
language plpgsql
set search_path = pg_catalog
as $$
begin
    -- A version that stays is an ETag that lies.
    if new.version = old.version then
        new.version    := old.version + 1;
        new.updated_at := now();
    end if;

    return new;
end
$$;

comment on function tenon.touch() is
    'Trigger: a row changed by hand, or by a foreign key''s ON DELETE, gets '
    'its new version as one changed by the API does';


create function tenon.image(relation oid, changed jsonb)
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
                                'tenon."user"'::regclass))
$$;

comment on function tenon.image(oid, jsonb) is
    'A row as events hold it and responses show it: no tenant_id (a tenant''s '
    'own is its id), realm_id, password_hash, deleted_at; times as RFC 3339 '
    'in UTC';

-- Sign-up calls it. So does the trigger below for a row that a foreign key's
-- ON DELETE changed: the change is the table owner's, but the trigger runs as
-- who deleted.
grant execute on function tenon.image(oid, jsonb) to tenon_api;


create function tenon.find_user_tenants(realm uuid, user_id uuid)
returns setof uuid
language sql stable security definer
set search_path = pg_catalog
as $$
    select m.tenant_id
      from tenon.member m
     where m.realm_id = $1
       and m.user_id  = $2
$$;

comment on function tenon.find_user_tenants(uuid, uuid) is
    'The tenants that a user is a member of: whom a change to the user '
    'concerns';


create function tenon.log_change()
returns trigger
language plpgsql
set search_path = pg_catalog
as $$
declare
    before    jsonb;
    after     jsonb;
    existing  jsonb;
    verb      text;
    tenants   uuid[];
    tenant    uuid;
    kept      text := current_setting('tenon.tenant', true);
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
            null,
            uuid_send(gen_random_uuid()));
    end loop;

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.log_change() is
    'Trigger, with app.resource as argument: logs a change made by any role '
    'but tenon_api, whose statements log for themselves';

create trigger tenon_touch
    before update on tenon.tenant
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.tenant
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.tenant');

create trigger tenon_touch
    before update on tenon.member
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.member
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.member');

create trigger tenon_log
    after insert or update or delete on tenon.session
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.session');

create trigger tenon_touch
    before update on tenon."user"
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

-- One who comes or goes is no member yet or any more (a key forbids it), so
-- there is nobody whom it would concern.
create trigger tenon_log
    after update on tenon."user"
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.user');


-- Row security ---------------------------------------------------------------
--
-- nullif: after its first use in a session a setting reads '' rather than
-- NULL, and unset must deny, not fail. No sub-select: so the comparison is an
-- index condition, and Citus can distribute the table.

alter table tenon.realm         enable row level security,
                                force  row level security;
alter table tenon."user"        enable row level security,
                                force  row level security;
alter table tenon.login_attempt enable row level security,
                                force  row level security;
alter table tenon.tenant        enable row level security,
                                force  row level security;
alter table tenon.member        enable row level security,
                                force  row level security;
alter table tenon.session       enable row level security,
                                force  row level security;
alter table tenon.tenant_slug   enable row level security,
                                force  row level security;
alter table tenon.event         enable row level security,
                                force  row level security;
alter table tenon.event_body    enable row level security,
                                force  row level security;

create policy realm on tenon.realm
     using (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid)
with check (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid);

create policy realm on tenon."user"
     using (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid)
with check (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid);

create policy realm on tenon.login_attempt
     using (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid)
with check (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid);

create policy tenant on tenon.tenant
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.member
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.session
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.event
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.event_body
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

-- A tenant may enter its own name and nothing can be read back.
create policy tenant on tenon.tenant_slug for insert
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy lookup on tenon.tenant_slug
   for select to tenon_lookup using (true);

create policy lookup on tenon.tenant
   for select to tenon_lookup using (true);

create policy lookup on tenon.member
   for select to tenon_lookup using (true);

create policy lookup on tenon.session
   for select to tenon_lookup using (true);

create policy lookup on tenon."user"
   for select to tenon_lookup using (true);

create policy feed on tenon.event
   for select to tenon_feed using (true);

create policy feed on tenon.event_body
   for select to tenon_feed using (true);


-- Grants ---------------------------------------------------------------------
--
-- The API: the verbs that its endpoints need today. Who adds an endpoint adds
-- its grants, in the migration that goes with it. Columns are named where a
-- row has parts that no endpoint may change.

grant select, insert
   on tenon."user", tenon.tenant, tenon.member
   to tenon_api;

grant insert
   on tenon.tenant_slug
   to tenon_api;

grant select,
      insert,
      update (failures, last_at)
   on tenon.login_attempt
   to tenon_api;

grant select,
      insert,
      update (revoked_at)
   on tenon.session
   to tenon_api;

-- When an event happened and in which transaction is the database's to say:
-- nobody backdates one behind the feed.
grant select,
      insert (tenant_id, id, actor, impersonator, action, outcome, resource,
              resource_id, version, request_id, commitment)
   on tenon.event
   to tenon_api;

grant select,
      insert (tenant_id, event_id, subject_id, salt, before, after, metadata,
              ip, user_agent)
   on tenon.event_body
   to tenon_api;

grant select
   on tenon.audit_event
   to tenon_api;

-- The look-ups: what their four functions read, and no password hash.
grant select
   on tenon.tenant_slug, tenon.tenant
   to tenon_lookup;

grant select (tenant_id, realm_id, user_id, role)
   on tenon.member
   to tenon_lookup;

grant select (tenant_id, id, user_id, expires_at, revoked_at)
   on tenon.session
   to tenon_lookup;

grant select (realm_id, id, status, deleted_at)
   on tenon."user"
   to tenon_lookup;

-- The feed: events of all tenants.
grant select on tenon.event, tenon.event_body to tenon_feed;

-- tenon_worker and tenon_app: nothing yet. Jobs and app functions bring their
-- grants with the migrations that introduce them.


-- Look-ups before the tenant is known ----------------------------------------

create function tenon.find_tenant(slug text)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text)
language sql stable security definer
set search_path = pg_catalog
as $$
    select t.tenant_id, t.realm_id, t.slug, t.name, t.status
      from tenon.tenant_slug s
      join tenon.tenant t on t.tenant_id = s.tenant_id
     where s.slug = $1
       and t.deleted_at is null
$$;

comment on function tenon.find_tenant(text) is
    'The tenant of a slug, suspended ones too (see status), deleted ones not';


create function tenon.find_tenant_by_id(id uuid)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text)
language sql stable security definer
set search_path = pg_catalog
as $$
    select t.tenant_id, t.realm_id, t.slug, t.name, t.status
      from tenon.tenant t
     where t.tenant_id = $1
       and t.deleted_at is null
$$;

comment on function tenon.find_tenant_by_id(uuid) is
    'The tenant of an id, suspended ones too (see status), deleted ones not';


create function tenon.find_session(tenant uuid, session uuid)
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
       and t.deleted_at is null
       and u.deleted_at is null
       and u.status     = 'active'
$$;

comment on function tenon.find_session(uuid, uuid) is
    'A session that still holds: not revoked nor expired, its user active and '
    'a member, its tenant living (suspended shows in status)';

grant execute
   on function tenon.find_tenant(text),
               tenon.find_tenant_by_id(uuid),
               tenon.find_session(uuid, uuid)
   to tenon_api;

-- Last, since from here on they are no longer the owner's to change: a later
-- migration says `set local role tenon_lookup` first. The new owner needs
-- CREATE on the schema at this moment only.
grant create on schema tenon to tenon_lookup;

alter function tenon.find_tenant(text)          owner to tenon_lookup;
alter function tenon.find_tenant_by_id(uuid)    owner to tenon_lookup;
alter function tenon.find_session(uuid, uuid)   owner to tenon_lookup;
alter function tenon.find_user_tenants(uuid, uuid)
                                                owner to tenon_lookup;

-- For the trigger on "user", which runs as who changes the row.
set local role tenon_lookup;
grant execute on function tenon.find_user_tenants(uuid, uuid) to tenon_owner;
set local role tenon_owner;

revoke create on schema tenon from tenon_lookup;


-- What every installation starts with ----------------------------------------

select set_config('tenon.realm', '00000000-0000-7000-8000-000000000001', true);

insert into tenon.realm (realm_id, name)
values ('00000000-0000-7000-8000-000000000001', 'default');

select set_config('tenon.realm', '', true);

insert into tenon.role
       (name,     title,    rank)
values ('owner',  'Owner',  3),
       ('admin',  'Admin',  2),
       ('member', 'Member', 1);

insert into tenon."grant" (role, permission, scope, app)
select r.role, p.number, 'tenant', 'tenon'
  from (select name, tenon.add_permission(name) as number
          from unnest(array['tenon.tenant:read',
                            'tenon.tenant:update',
                            'tenon.tenant:delete',
                            'tenon.member:read',
                            'tenon.member:create',
                            'tenon.member:update',
                            'tenon.member:delete',
                            'tenon.audit_event:read']) as name
       ) as p
  join (values ('owner',  '.'),
               ('admin',  '^tenon\.(tenant:read|member:|audit_event:read)'),
               ('member', '^tenon\.(tenant|member):read$')
       ) as r (role, pattern)
    on p.name ~ r.pattern;
