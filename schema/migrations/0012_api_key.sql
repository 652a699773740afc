-- 0012_api_key.sql: API keys: secrets by which programs ask as the member who
-- made them, narrowed to the scopes of the key.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0012_api_key.sql


-- Keys -----------------------------------------------------------------------

create table tenon.api_key (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    name         text        not null,
    prefix       text        collate "C" not null
                 generated always as (
                     'tnk_' || left(translate(encode(uuid_send(id), 'base64'),
                                              '+/', '-_'), 12)) stored,
    scopes       text[]      collate "C" not null,
    expires_at   timestamptz,
    rotated_at   timestamptz,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid        not null,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id),

    -- Who made it is a member, or was one.
    foreign key (tenant_id, created_by)
     references tenon.member (tenant_id, user_id) on delete cascade,

    constraint api_key_name_length check (char_length(name) between 1 and 200),
    constraint api_key_scopes_bound check (cardinality(scopes)
                                           between 1 and 200)
);

create index api_key_list on tenon.api_key (tenant_id, created_at, id)
 where deleted_at is null;

create index api_key_created_by on tenon.api_key (tenant_id, created_by);

comment on table tenon.api_key is
    'tenant: a key by which a program asks as the member who made it';
comment on column tenon.api_key.prefix is
    'How the key begins: it holds the id';
comment on column tenon.api_key.scopes is
    'Permissions by name, in the whole tenant, or with ":own" behind for what '
    'the member made: never more than the member may at that moment';
comment on column tenon.api_key.expires_at is
    'Null: never';
comment on column tenon.api_key.rotated_at is
    'When its secret was replaced last; null: it never was';
comment on column tenon.api_key.deleted_at is
    'When it was revoked; its secrets went with that';


create table tenon.api_key_secret (
    tenant_id     uuid        not null,
    api_key_id    uuid        not null,
    hash          bytea       not null,
    ends_at       timestamptz,
    last_used_at  timestamptz,
    last_used_ip  inet,
    created_at    timestamptz not null default now(),

    primary key (tenant_id, api_key_id, hash),

    foreign key (tenant_id, api_key_id)
     references tenon.api_key (tenant_id, id) on delete cascade,

    constraint api_key_secret_hash_length check (octet_length(hash) = 32)
);

-- One that holds for good; what came before it has an end.
create unique index api_key_secret_current on tenon.api_key_secret
       (tenant_id, api_key_id)
 where ends_at is null;

comment on table tenon.api_key_secret is
    'tenant: the secret of an API key, and the one before it for a while; the '
    'API can''t read the hashes';
comment on column tenon.api_key_secret.hash is
    'BLAKE2b-256 of the 24 random bytes of the secret, which lie nowhere';
comment on column tenon.api_key_secret.ends_at is
    'Null: it is the current one';
comment on column tenon.api_key_secret.last_used_at is
    'To within a minute; a new secret begins with what was known of the key';


-- Scopes ---------------------------------------------------------------------

-- Volatile, as what it asks: it judges by what has been committed when it is
-- called.
create function tenon.scopes_refused(tenant uuid, user_id uuid, scopes jsonb)
returns text
language sql volatile
set search_path = pg_catalog
as $$
    select regexp_replace(
               tenon.grants_refused(
                   $1, m.role,
                   (select jsonb_agg(
                               case when s.scope like '%:%:own'
                                    then jsonb_build_object(
                                             'permission', left(s.scope, -4),
                                             'scope', 'own')
                                    else jsonb_build_object(
                                             'permission', s.scope)
                               end order by s.n)
                      from jsonb_array_elements_text($3)
                           with ordinality as s (scope, n)),
                   '/scopes', false),
               '(/scopes/[0-9]+)/(permission|scope) ', '\1 ', 'g')
      from (values (1)) always
      left join tenon.member m on m.tenant_id = $1
                              and m.user_id   = $2
                              and m.deleted_at is null
$$;

comment on function tenon.scopes_refused(uuid, uuid, jsonb) is
    'Why a member can''t give these scopes to a key, as a statement''s '
    '`refused`: one is no permission, or more than they may themselves; null: '
    'they can';

grant execute on function tenon.scopes_refused(uuid, uuid, jsonb)
   to tenon_api;


-- Changes that don't come through the API ------------------------------------

create trigger tenon_touch
    before update on tenon.api_key
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.api_key
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.api_key');


-- Keys as the API shows them ---------------------------------------------------

create view tenon.api_key_view
with (security_invoker = true) as
select k.tenant_id,
       k.id,
       k.name,
       k.prefix,
       to_jsonb(k.scopes) as scopes,
       case when k.expires_at <= now() then 'expired'
            when m.user_id is null     then 'orphaned'
            else 'active' end as status,
       k.expires_at,
       s.last_used_at,
       host(s.last_used_ip) as last_used_ip,
       k.rotated_at,
       k.version,
       k.created_at,
       k.created_by,
       k.updated_at
  from tenon.api_key k
  left join tenon.member m
    on m.tenant_id   = k.tenant_id
   and m.user_id     = k.created_by
   and m.created_at <= k.created_at
   and m.deleted_at is null
  left join lateral (
       select s.last_used_at, s.last_used_ip
         from tenon.api_key_secret s
        where s.tenant_id  = k.tenant_id
          and s.api_key_id = k.id
        order by s.last_used_at desc nulls last
        limit 1) as s on true
 where k.deleted_at is null;

comment on view tenon.api_key_view is
    'A key that wasn''t revoked: active, expired, or orphaned: who made it is '
    'no member any more, and then it opens nothing';


-- Row security ---------------------------------------------------------------

alter table tenon.api_key        enable row level security,
                                 force  row level security;
alter table tenon.api_key_secret enable row level security,
                                 force  row level security;

create policy tenant on tenon.api_key
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.api_key_secret
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy lookup on tenon.api_key
   for select to tenon_lookup using (true);

create policy lookup on tenon.api_key_secret
   for select to tenon_lookup using (true);

-- To write down that a key was used (tenon.find_api_key).
create policy used on tenon.api_key_secret
   for update to tenon_lookup using (true);


-- Grants ---------------------------------------------------------------------

grant select,
      insert (tenant_id, id, name, scopes, expires_at, created_by),
      update (name, scopes, expires_at, rotated_at, version, updated_at,
              deleted_at)
   on tenon.api_key
   to tenon_api;

grant select (tenant_id, api_key_id, ends_at, last_used_at, last_used_ip),
      insert (tenant_id, api_key_id, hash, last_used_at, last_used_ip),
      update (ends_at),
      delete
   on tenon.api_key_secret
   to tenon_api;

grant select
   on tenon.api_key_view
   to tenon_api;

grant select (tenant_id, id, scopes, expires_at, created_at, created_by,
              deleted_at)
   on tenon.api_key
   to tenon_lookup;

grant select,
      update (last_used_at, last_used_ip)
   on tenon.api_key_secret
   to tenon_lookup;

grant select
   on tenon.permission
   to tenon_lookup;


-- Look-up --------------------------------------------------------------------

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.find_api_key(tenant uuid, api_key uuid, hash bytea,
                                   ip inet)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, user_id uuid, role text, roles text,
               accounts text, generation int, impersonator uuid,
               scopes text, ttl_ms bigint)
language sql volatile security definer
set search_path = pg_catalog
as $$
    with found as materialized (
        select t.tenant_id, t.realm_id, t.slug, t.name, t.status, m.user_id,
               m.role, tenon.held_accounts(k.tenant_id, m.user_id) as accounts,
               k.scopes, s.last_used_at,
               least(k.expires_at, s.ends_at) as ends_at
          from tenon.api_key k
          join tenon.api_key_secret s on s.tenant_id  = k.tenant_id
                                     and s.api_key_id = k.id
          join tenon.tenant  t on t.tenant_id = k.tenant_id
          join tenon.member  m on m.tenant_id = k.tenant_id
                              and m.user_id   = k.created_by
          join tenon."user"  u on u.realm_id  = m.realm_id
                              and u.id        = m.user_id
         where k.tenant_id = $1
           and k.id        = $2
           and s.hash      = $3
           and k.deleted_at is null
           and (k.expires_at is null or k.expires_at > now())
           and (s.ends_at is null or s.ends_at > now())
           -- Who returns doesn't bring along the keys made before.
           and k.created_at >= m.created_at
           and m.deleted_at is null
           and t.deleted_at is null
           and u.deleted_at is null
           and u.status     = 'active'),
    -- Not for every request, and nobody waits for another's.
    stale as materialized (
        select s.tenant_id, s.api_key_id, s.hash
          from found f
          join tenon.api_key_secret s on s.tenant_id  = $1
                                     and s.api_key_id = $2
                                     and s.hash       = $3
         where coalesce(f.last_used_at < now() - interval '1 minute', true)
           for no key update of s skip locked),
    touched as (
        update tenon.api_key_secret s
           set last_used_at = date_trunc('minute', now()),
               last_used_ip = $4
          from stale
         where s.tenant_id  = stale.tenant_id
           and s.api_key_id = stale.api_key_id
           and s.hash       = stale.hash)
    select f.tenant_id, f.realm_id, f.slug, f.name, f.status, f.user_id,
           f.role,
           tenon.own_roles(f.tenant_id, f.role || array(
               select split_part(held, ':', 2)
                 from unnest(string_to_array(f.accounts, ',')) held)),
           f.accounts, 0, null::uuid,
           (select coalesce(string_agg(
                       p.number || case when p.name = s.scope
                                        then 't' else 'o' end,
                       ',' order by p.number), '')
              from unnest(f.scopes) as s (scope)
              join tenon.permission p
                on p.name in (s.scope, left(s.scope, -4))
               and s.scope in (p.name, p.name || ':own')),
           case when f.ends_at is not null
                then greatest(1, floor(extract(epoch from f.ends_at - now())
                                       * 1000))::bigint end
      from found f
$$;

comment on function tenon.find_api_key(uuid, uuid, bytea, inet) is
    'Who asks by a key and a secret of it that still holds: not revoked, '
    'expired nor replaced, its maker active and a member since before it was '
    'made; writes down that it was used. The row is find_session()''s, and '
    'behind it what the key may do at most ("12t,13o") and for how many '
    'milliseconds it holds (null: without end)';

revoke execute on function tenon.find_api_key(uuid, uuid, bytea, inet)
  from public;

grant execute on function tenon.find_api_key(uuid, uuid, bytea, inet)
   to tenon_api;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;


-- Permissions ----------------------------------------------------------------

-- Keys bind the organization to other programs: its owners and admins make
-- them. Nobody's key may do more than who made it.
insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from unnest(array['tenon.api_key:read',
                    'tenon.api_key:create',
                    'tenon.api_key:update',
                    'tenon.api_key:delete']) as p (name)
 cross join (values ('owner'), ('admin'), ('tenant_admin'),
                    ('super_admin')) as r (role);
