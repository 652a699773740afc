-- 0005_principal.sql: who asks, and by what right: sessions that rotate and
-- fall asleep, roles that a tenant makes itself, accounts within a tenant, and
-- events that name an impersonator or an API key. What looks up a credential
-- answers one row, the same whatever the credential (tenon.find_session).
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0005_principal.sql


-- Shipped roles --------------------------------------------------------------

alter table tenon.role add column level text collate "C" not null
      default 'tenant';

alter table tenon.role add constraint role_level_set
      check (level in ('platform', 'tenant', 'account'));

alter table tenon.role alter column rank drop not null;

comment on column tenon.role.level is
    'Where it can be held: on the platform, in a tenant, in an account';
comment on column tenon.role.rank is
    'The order in which roles are shown; null for those outside of it';

insert into tenon.role
       (name,            title,               rank, level)
values ('guest',         'Guest',             0,    'tenant'),
       ('tenant_admin',  'Tenant admin',      null, 'tenant'),
       ('moderator',     'Content moderator', null, 'tenant'),
       ('account_owner', 'Account owner',     null, 'account'),
       ('account_user',  'Account user',      null, 'account'),
       ('super_admin',   'Super admin',       null, 'platform');


-- Roles of a tenant's own ----------------------------------------------------

create table tenon.tenant_role (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    name         text        collate "C" not null,
    title        text        not null,
    level        text        collate "C" not null default 'tenant',
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id),

    constraint tenant_role_name_format
         check (name ~ '^[a-z][a-z0-9_]{1,62}$'),
    constraint tenant_role_title_length
         check (char_length(title) between 1 and 200),
    constraint tenant_role_level_set check (level in ('tenant', 'account'))
);

create unique index tenant_role_name_key on tenon.tenant_role
       (tenant_id, name)
 where deleted_at is null;

create index tenant_role_list on tenon.tenant_role
       (tenant_id, created_at, id)
 where deleted_at is null;

comment on table tenon.tenant_role is
    'tenant: a role that the tenant defines itself; its name is none of '
    'tenon.role''s';


create table tenon.tenant_grant (
    tenant_id   uuid             not null,
    role_id     uuid             not null,
    permission  int              not null references tenon.permission,
    scope       text collate "C" not null default 'tenant',

    primary key (tenant_id, role_id, permission),

    foreign key (tenant_id, role_id)
     references tenon.tenant_role (tenant_id, id) on delete cascade,

    constraint tenant_grant_scope_set check (scope in ('tenant', 'own'))
);

comment on table tenon.tenant_grant is
    'tenant: which permission a role of the tenant''s own holds, as '
    'tenon.grant says it of the shipped ones';


-- A role is a name: a shipped one or one of the tenant's own, which no one key
-- can point at. The statements that give a role look it up.
alter table tenon.member     drop constraint member_role_fkey;
alter table tenon.invitation drop constraint invitation_role_fkey;


-- Accounts -------------------------------------------------------------------

create table tenon.account (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    parent_id    uuid,
    kind         text        collate "C" not null default 'team',
    name         text        not null,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id),

    foreign key (tenant_id, parent_id)
     references tenon.account (tenant_id, id),

    constraint account_kind_format check (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint account_name_length check (char_length(name) between 1 and 200),
    constraint account_not_own_parent check (parent_id <> id)
);

create index account_list on tenon.account (tenant_id, created_at, id)
 where deleted_at is null;

create index account_children on tenon.account (tenant_id, parent_id, id)
 where deleted_at is null;

comment on table tenon.account is
    'tenant: a part of the tenant (team, agency, branch), nested';
comment on column tenon.account.parent_id is
    'The account it lies in; null at the top';


create table tenon.account_member (
    tenant_id    uuid        not null,
    id           uuid        not null default tenon.uuid7(),
    account_id   uuid        not null,
    user_id      uuid        not null,
    role         text        collate "C" not null,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id),

    foreign key (tenant_id, account_id)
     references tenon.account (tenant_id, id),

    foreign key (tenant_id, user_id)
     references tenon.member (tenant_id, user_id)
);

create unique index account_member_user_key on tenon.account_member
       (tenant_id, user_id, account_id)
 where deleted_at is null;

create index account_member_list on tenon.account_member
       (tenant_id, created_at, id)
 where deleted_at is null;

comment on table tenon.account_member is
    'tenant: a role that a member holds in an account and in what lies in it';


-- Sessions -------------------------------------------------------------------

alter table tenon.session
  add column kind          text        collate "C" not null default 'token',
  add column generation    int         not null default 0,
  add column rotated_at    timestamptz not null default now(),
  add column last_used_at  timestamptz not null default now(),
  add column idle_ttl      int,
  add column impersonator  uuid,
  add column mfa           boolean     not null default false;

alter table tenon.session add constraint session_kind_set
      check (kind in ('token', 'cookie'));

comment on column tenon.session.kind is
    'token: access and refresh tokens; cookie: a browser''s';
comment on column tenon.session.generation is
    'How often its secret was replaced: refresh tokens and cookies are made '
    'of it and a key that lies elsewhere, so none of them lies here';
comment on column tenon.session.rotated_at is
    'When it was replaced last';
comment on column tenon.session.last_used_at is
    'To within a minute';
comment on column tenon.session.idle_ttl is
    'Seconds without use after which it ends; null: none';
comment on column tenon.session.impersonator is
    'Who acts as the user, on the platform; null: the user';

-- That it was used (tenon.find_session) is no change to log.
drop trigger tenon_log on tenon.session;

create trigger tenon_log
    after insert or update on tenon.session
    for each row when (current_user not in ('tenon_api', 'tenon_lookup'))
    execute function tenon.log_change('tenon.session');


-- Events ---------------------------------------------------------------------

alter table tenon.event add column api_key uuid;

comment on column tenon.event.api_key is
    'The API key by which the actor''s request came; null: none';
comment on column tenon.event.impersonator is
    'Who acted as the actor; null: the actor';

-- The context says so, for each way that an event is written.
alter table tenon.event
      alter column impersonator
      set default nullif(current_setting('tenon.impersonator', true), '')::uuid,
      alter column api_key
      set default nullif(current_setting('tenon.api_key', true), '')::uuid;

revoke insert (impersonator) on tenon.event from tenon_api;

create or replace view tenon.audit_event
with (security_invoker = true) as
select e.tenant_id,
       e.id,
       e.at,
       e.action,
       e.outcome,
       json_build_object('type', case when e.api_key is not null
                                      then 'api_key'
                                      when e.actor is not null then 'user'
                                      when e.request_id is not null
                                      then 'anonymous'
                                      else 'system' end,
                         'id', coalesce(e.api_key, e.actor),
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
    'Its actor is a user, an API key (actor_id is whose), anonymous (a request '
    'before anybody signed in: a failed login), or the system (no request at '
    'all)';


-- Changes that don't come through the API ------------------------------------

create trigger tenon_touch
    before update on tenon.tenant_role
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.tenant_role
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.role');

create trigger tenon_touch
    before update on tenon.account
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.account
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.account');

create trigger tenon_touch
    before update on tenon.account_member
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.account_member
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.account_member');


-- Row security ---------------------------------------------------------------

alter table tenon.tenant_role    enable row level security,
                                 force  row level security;
alter table tenon.tenant_grant   enable row level security,
                                 force  row level security;
alter table tenon.account        enable row level security,
                                 force  row level security;
alter table tenon.account_member enable row level security,
                                 force  row level security;

create policy tenant on tenon.tenant_role
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.tenant_grant
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.account
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.account_member
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy lookup on tenon.tenant_role
   for select to tenon_lookup using (true);

create policy lookup on tenon.tenant_grant
   for select to tenon_lookup using (true);

create policy lookup on tenon.account
   for select to tenon_lookup using (true);

create policy lookup on tenon.account_member
   for select to tenon_lookup using (true);

-- To write down that a session was used (tenon.find_session).
create policy used on tenon.session
   for update to tenon_lookup using (true);


-- Grants ---------------------------------------------------------------------

grant select
   on tenon.tenant_role, tenon.tenant_grant, tenon.account,
      tenon.account_member
   to tenon_api;

grant select (tenant_id, id, name, level, deleted_at)
   on tenon.tenant_role
   to tenon_lookup;

grant select
   on tenon.tenant_grant
   to tenon_lookup;

grant select (tenant_id, id, parent_id, deleted_at)
   on tenon.account
   to tenon_lookup;

grant select (tenant_id, account_id, user_id, role, deleted_at)
   on tenon.account_member
   to tenon_lookup;

grant select (generation, last_used_at, idle_ttl, impersonator),
      update (last_used_at)
   on tenon.session
   to tenon_lookup;


-- Look-ups -------------------------------------------------------------------

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.held_accounts(tenant uuid, user_id uuid)
returns text
language sql stable security definer
set search_path = pg_catalog
as $$
    with recursive held (account_id, role) as (
        select m.account_id, m.role
          from tenon.account_member m
          join tenon.account a on a.tenant_id = m.tenant_id
                              and a.id        = m.account_id
         where m.tenant_id = $1
           and m.user_id   = $2
           and m.deleted_at is null
           and a.deleted_at is null
         union
        select a.id, h.role
          from held h
          join tenon.account a on a.tenant_id = $1
                              and a.parent_id = h.account_id
         where a.deleted_at is null)
    select string_agg(account_id || ':' || role, ',' order by account_id, role)
      from held
$$;

comment on function tenon.held_accounts(uuid, uuid) is
    'The accounts in which a member holds a role, with all that lie in them: '
    '"uuid:role,uuid:role", or null';


create function tenon.own_roles(tenant uuid, roles text[])
returns text
language sql stable security definer
set search_path = pg_catalog
as $$
    select string_agg(d.definition, ';' order by d.definition)
      from (select r.name || '=' || coalesce(string_agg(
                       g.permission || left(g.scope, 1), ','
                       order by g.permission), '') as definition
              from tenon.tenant_role r
              left join tenon.tenant_grant g on g.tenant_id = r.tenant_id
                                            and g.role_id   = r.id
             where r.tenant_id = $1
               and r.name = any ($2)
               and r.deleted_at is null
             group by r.id, r.name) d
$$;

comment on function tenon.own_roles(uuid, text[]) is
    'What those of the named roles may do that the tenant defines itself: '
    '"name=12t,13o;…" by permission and scope (tenant, own), or null';


drop function tenon.find_session(uuid, uuid);

create function tenon.find_session(tenant uuid, session uuid)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, user_id uuid, role text, roles text,
               accounts text, generation int, impersonator uuid)
language sql volatile security definer
set search_path = pg_catalog
as $$
    with found as materialized (
        select t.tenant_id, t.realm_id, t.slug, t.name, t.status, m.user_id,
               m.role, tenon.held_accounts(s.tenant_id, m.user_id) as accounts,
               s.generation, s.impersonator, s.last_used_at
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
           and (s.idle_ttl is null
                or s.last_used_at + make_interval(secs => s.idle_ttl) > now())
           -- Nobody acts as another for longer than they may at the platform,
           -- whose id is fixed (0009).
           and (s.impersonator is null
                or exists (select
                             from tenon.member p
                            where p.tenant_id
                                  = '00000000-0000-7000-8000-000000000002'
                              and p.user_id = s.impersonator
                              and p.role    = 'super_admin'
                              and p.deleted_at is null))
           -- Who returns doesn't bring along what was signed in before.
           and s.created_at >= m.created_at
           and m.deleted_at is null
           and t.deleted_at is null
           and u.deleted_at is null
           and u.status     = 'active'),
    -- Not for every request, and nobody waits for another's.
    stale as materialized (
        select s.tenant_id, s.id
          from found f
          join tenon.session s on s.tenant_id = $1 and s.id = $2
         where f.last_used_at < now() - interval '1 minute'
           for no key update of s skip locked),
    touched as (
        update tenon.session s
           set last_used_at = now()
          from stale
         where s.tenant_id = stale.tenant_id
           and s.id        = stale.id)
    select f.tenant_id, f.realm_id, f.slug, f.name, f.status, f.user_id,
           f.role,
           tenon.own_roles(f.tenant_id, f.role || array(
               select split_part(held, ':', 2)
                 from unnest(string_to_array(f.accounts, ',')) held)),
           f.accounts, f.generation, f.impersonator
      from found f
$$;

comment on function tenon.find_session(uuid, uuid) is
    'Who asks by a session that still holds: not revoked, expired nor idle, '
    'its user active and a member since before it began, its tenant living '
    '(suspended shows in status); writes down that it was used. The row is '
    'what every look-up of a credential answers: role is a name, roles what '
    'those may do that the tenant defines itself, accounts where else the user '
    'holds one';

-- The default privileges of 0001 are the owner's, not this role's.
revoke execute
    on function tenon.held_accounts(uuid, uuid),
                tenon.own_roles(uuid, text[]),
                tenon.find_session(uuid, uuid)
  from public;

grant execute on function tenon.find_session(uuid, uuid) to tenon_api;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;
