-- 0018_bounds.sql: what one person did never makes another thing impossible.
-- Ending a user's sessions costs the same however many there are; so do looking
-- who reaches an account, and listing one's sessions. What can be made without
-- end has a most, and what is over goes.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0018_bounds.sql


-- Indexes on tables that have rows already ----------------------------------
--
-- Where these are large, they may be built by hand beforehand, `concurrently`.

create index if not exists session_open on tenon.session
       (tenant_id, user_id, created_at, id)
 where revoked_at is null;

create index if not exists member_role on tenon.member
       (tenant_id, role, created_at, id)
 where deleted_at is null;

create index if not exists api_key_maker on tenon.api_key
       (tenant_id, created_by)
 where deleted_at is null;


-- What no longer counts ------------------------------------------------------

alter table tenon."user"
  add column sessions_from  timestamptz,
  add column session_kept   uuid,
  add column api_keys_from  timestamptz;

comment on column tenon."user".sessions_from is
    'Sessions that were opened before don''t count, in whatever tenant, but '
    'for session_kept; null: all do';
comment on column tenon."user".session_kept is
    'The one that went on when all others were ended';
comment on column tenon."user".api_keys_from is
    'API keys that were made before don''t count, in whatever tenant; null: '
    'all do';

grant update (sessions_from, session_kept, api_keys_from)
   on tenon."user"
   to tenon_api;

grant select (sessions_from, session_kept, api_keys_from)
   on tenon."user"
   to tenon_lookup;


-- The three are nobody's business: one is the id of another tenant's session.
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
       and (key not in ('sessions_from', 'session_kept', 'api_keys_from')
            or relation <> 'tenon."user"'::regclass)
       and (key <> 'family' or relation <> 'tenon.session'::regclass)
$$;


-- Look-ups -------------------------------------------------------------------

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create or replace function tenon.find_session(tenant uuid, session uuid)
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
           -- Nor does what was opened before all were ended (end_sessions).
           and (u.sessions_from is null
                or s.created_at > u.sessions_from
                or s.id = u.session_kept)
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

create or replace function tenon.find_api_key(tenant uuid, api_key uuid,
                                              hash bytea, ip inet)
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
           -- Nor does what was made before all were revoked.
           and (u.api_keys_from is null or k.created_at > u.api_keys_from)
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

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;


-- What ends in every tenant --------------------------------------------------
--
-- The user's row says that they have ended. Rows are marked and tenants told
-- of it so many at most: that must not take longer the more there are.

create or replace function tenon.end_sessions(
    realm    uuid,
    ended    uuid,
    kept     uuid,
    reason   text)
returns setof uuid
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    theirs  uuid;
    n       bigint;
    room    bigint := 1000;
begin
    update tenon."user" u
       set sessions_from = clock_timestamp(), session_kept = kept
     where u.realm_id = realm
       and u.id       = ended;

    -- What is of a tenant is changed as that tenant, under its policies. Each
    -- statement here looks anew: a session that was opened while this waited
    -- for the user's row is seen.
    for theirs in
        select m.id
          from tenon.find_memberships(realm, ended) m
         order by m.created_at desc, m.id
         limit 1000
    loop
        perform set_config('tenon.tenant', theirs::text, true);

        with newest as materialized (
            select s.id
              from tenon.session s
             where s.tenant_id = theirs
               and s.user_id   = ended
               and s.revoked_at is null
               and s.expires_at > now()
               and s.id is distinct from kept
             order by s.created_at desc, s.id desc
             limit room)
        update tenon.session s
           set revoked_at = now()
          from newest
         where s.tenant_id = theirs
           and s.id        = newest.id;
        get diagnostics n = row_count;

        if n > 0 then
            room := room - n;
            perform tenon.log_event(
                tenon.uuid7(), 'session.revoked', 'tenon.user', ended, null,
                null, null,
                jsonb_build_object('sessions', n, 'reason', reason),
                uuid_send(gen_random_uuid()));
        end if;

        return next theirs;
    end loop;

    perform set_config('tenon.tenant', coalesce(asking, ''), true);
end
$$;

comment on function tenon.end_sessions(uuid, uuid, uuid, text) is
    'Ends all sessions of a user but one, in every tenant they belong to. A '
    'thousand are marked at most, and a thousand tenants hear of it and are '
    'returned, those that were joined last; the others'' don''t count from now '
    'on either (user.sessions_from). For the API, in the midst of a statement '
    'that holds the user''s row';


create function tenon.end_families(
    realm     uuid,
    ended     uuid,
    families  uuid[],
    kept      uuid,
    reason    text)
returns setof uuid
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    theirs  uuid;
    n       bigint;
    room    bigint := 1000;
begin
    -- As tenon.end_sessions: in each tenant as that tenant.
    for theirs in
        select f.tenant_id
          from tenon.find_family(realm, ended, families) as f (tenant_id)
         limit 1000
    loop
        perform set_config('tenon.tenant', theirs::text, true);

        with theirs_open as materialized (
            select s.id
              from tenon.session s
             where s.tenant_id = theirs
               and s.user_id   = ended
               and (s.id = any (families) or s.family = any (families))
               and s.id is distinct from kept
               and s.revoked_at is null
               and s.expires_at > now()
             limit room)
        update tenon.session s
           set revoked_at = now()
          from theirs_open t
         where s.tenant_id = theirs
           and s.id        = t.id;
        get diagnostics n = row_count;

        if n > 0 then
            room := room - n;
            perform tenon.log_event(
                tenon.uuid7(), 'session.revoked', 'tenon.user', ended, null,
                null, null,
                jsonb_build_object('sessions', n, 'reason', reason),
                uuid_send(gen_random_uuid()));
            return next theirs;
        end if;

        exit when room = 0;
    end loop;

    perform set_config('tenon.tenant', coalesce(asking, ''), true);

    -- More than can be marked one by one: then all of theirs end.
    if room = 0 or exists (
           select
             from tenon.find_family(realm, ended, families) as f (tenant_id)
           offset 999)
    then
        return query select e from tenon.end_sessions(realm, ended, kept,
                                                      reason) as e;
    end if;
end
$$;

comment on function tenon.end_families(uuid, uuid, uuid[], uuid, text) is
    'Ends the sessions of a user that belong to these sign-ins, but one, in '
    'every tenant, each of which hears of its own; returns the tenants that '
    'had any. Where these are a thousand or more, all the user''s sessions '
    'but that one end (tenon.end_sessions). For the API, in the midst of a '
    'statement that holds the user''s row';

create or replace function tenon.end_family(
    realm     uuid,
    ended     uuid,
    families  uuid[],
    reason    text)
returns setof uuid
language sql volatile
set search_path = pg_catalog
as $$
    select tenon.end_families($1, $2, $3, null, $4)
$$;


create function tenon.make_room(tenant uuid, person uuid)
returns uuid
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    gone  uuid;
begin
    for gone in
        with oldest as materialized (
            select s.id
              from tenon.session s
             where s.tenant_id = tenant
               and s.user_id   = person
               and s.revoked_at is null
               and s.expires_at > now()
               and s.impersonator is null
             order by s.created_at desc, s.id desc
            offset 100
             limit 100)
        update tenon.session s
           set revoked_at = now()
          from oldest
         where s.tenant_id = tenant
           and s.id        = oldest.id
        returning s.id
    loop
        perform tenon.log_event(
            tenon.uuid7(), 'session.revoked', 'tenon.session', gone, null,
            null, null, jsonb_build_object('reason', 'limit_reached'),
            uuid_send(gen_random_uuid()));
    end loop;

    return gone;
end
$$;

comment on function tenon.make_room(uuid, uuid) is
    'After a session was opened: ends the oldest of that user in that tenant '
    'where there are more than a hundred, each with its event; returns one of '
    'them, which is all but always the only one. For the API, in the midst of '
    'a statement that holds the user''s row';


create or replace function tenon.revoke_api_keys(realm uuid, maker uuid,
                                                 reason text)
returns bigint
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    theirs  uuid;
    ended   uuid[];
    room    bigint := 1000;
begin
    update tenon."user" u
       set api_keys_from = clock_timestamp()
     where u.realm_id = realm
       and u.id       = maker;

    for theirs in
        select m.id
          from tenon.find_memberships(realm, maker) m
         order by m.created_at desc, m.id
         limit 1000
    loop
        perform set_config('tenon.tenant', theirs::text, true);

        with newest as materialized (
            select k.id
              from tenon.api_key k
             where k.tenant_id  = theirs
               and k.created_by = maker
               and k.deleted_at is null
             limit room),
        done as (
            update tenon.api_key k
               set deleted_at = now(), version = k.version + 1,
                   updated_at = now()
              from newest
             where k.tenant_id = theirs
               and k.id        = newest.id
               and k.deleted_at is null
            returning k.id)
        select array_agg(done.id) into ended from done;

        if ended is not null then
            delete from tenon.api_key_secret s
             where s.tenant_id  = theirs
               and s.api_key_id = any (ended);
            perform tenon.log_event(
                tenon.uuid7(), 'api_key.revoked', 'tenon.user', maker, null,
                null, null,
                jsonb_build_object('api_keys', cardinality(ended),
                                   'reason', reason),
                uuid_send(gen_random_uuid()));
            room := room - cardinality(ended);
        end if;

        exit when room = 0;
    end loop;

    perform set_config('tenon.tenant', coalesce(asking, ''), true);

    return 1000 - room;
end
$$;

comment on function tenon.revoke_api_keys(uuid, uuid, text) is
    'Revokes all API keys that a user made, in every tenant they belong to. A '
    'thousand are marked at most, and a thousand tenants hear how many, those '
    'that were joined last; the others don''t count from now on either '
    '(user.api_keys_from). Returns how many were marked. For the API, in the '
    'midst of a statement that holds the user''s row';


create or replace function tenon.drop_factor(realm uuid, person uuid,
                                             reason text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    theirs  uuid;
begin
    delete from tenon.totp f
     where f.realm_id = realm
       and f.user_id  = person;

    if not found then
        return false;
    end if;

    -- It guarded the person's way into each of them.
    for theirs in
        select m.id
          from tenon.find_memberships(realm, person) m
         order by m.created_at desc, m.id
         limit 1000
    loop
        perform set_config('tenon.tenant', theirs::text, true);
        perform tenon.log_event(
            tenon.uuid7(), 'user.mfa_disabled', 'tenon.user', person, null,
            null, null, jsonb_build_object('reason', reason),
            uuid_send(gen_random_uuid()));
    end loop;

    perform set_config('tenon.tenant', coalesce(asking, ''), true);

    return true;
end
$$;


-- One-time tokens ------------------------------------------------------------

create function tenon.void_tokens(realm uuid, person uuid, purpose text)
returns setof tenon.one_time
language sql volatile
set search_path = pg_catalog
as $$
    update tenon.one_time o
       set used_at = now()
     where o.realm_id = $1
       and o.user_id  = $2
       and o.purpose  = $3
       and o.used_at is null
    returning o.*
$$;

comment on function tenon.void_tokens(uuid, uuid, text) is
    'Marks a user''s tokens of a purpose as used. It looks anew: where the '
    'user''s row is held, also at those that were made while that was waited '
    'for';


-- Accounts -------------------------------------------------------------------

-- Nobody knows beforehand how many hold how much: without the setting each pair
-- of holders would be compared.
create or replace function tenon.reached(tenant uuid, users uuid[], also uuid)
returns bigint
language sql volatile
set search_path = pg_catalog
set enable_nestloop = off
as $$
    with recursive held (user_id, account_id) as materialized (
        select m.user_id, m.account_id
          from tenon.account_member m
          join tenon.account a on a.tenant_id = m.tenant_id
                              and a.id        = m.account_id
                              and a.deleted_at is null
         where m.tenant_id = $1
           and m.user_id = any ($2)
           and m.deleted_at is null
         union
        select u.id, $3
          from unnest($2) as u (id)
         where $3 is not null),
    -- What lies in each of these accounts, itself too: once, however many hold
    -- it.
    lies (top, id) as (
        select distinct h.account_id, h.account_id
          from held h
         union all
        select l.top, a.id
          from lies l
          join tenon.account a on a.tenant_id = $1
                              and a.parent_id = l.id
                              and a.deleted_at is null),
    size (top, n) as materialized (
        select l.top, count(*)
          from lies l
         group by l.top),
    -- What is held above, too, is counted there.
    below (user_id, account_id, top) as materialized (
        select h.user_id, h.account_id, l.top
          from lies l
          join held h on h.account_id = l.id
         where l.id <> l.top
           and l.id in (select size.top from size)),
    nested (user_id, account_id) as materialized (
        select b.user_id, b.account_id
          from below b
          join held above on above.user_id    = b.user_id
                         and above.account_id = b.top)
    select coalesce(max(each.n), 0)::bigint
      from (select sum(s.n) as n
              from (select h.user_id, h.account_id
                      from held h
                    except
                    select w.user_id, w.account_id
                      from nested w) as top
              join size s on s.top = top.account_id
             group by top.user_id) as each
$$;

create or replace function tenon.hold_account(user_id uuid, account uuid)
returns text
language plpgsql
set search_path = pg_catalog
as $$
declare
    tenant  uuid := tenon.lock_accounts();
begin
    -- What was there when the statement began may have gone while this waited.
    if not exists (select from tenon.account a
                    where a.tenant_id = tenant
                      and a.id = account
                      and a.deleted_at is null)
    then
        return 'invalid_fields /account_id not_found';
    end if;

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

create or replace function tenon.place_account(account uuid, parent uuid)
returns text
language plpgsql
set search_path = pg_catalog
as $$
declare
    tenant  uuid := tenon.lock_accounts();
    path    uuid[];
    height  int;
    users   uuid[];
    living  bigint;
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

    select count(*) into living
      from tenon.account a
     where a.tenant_id = tenant
       and a.deleted_at is null;

    if account is null and living >= 10000 then
        return 'limit_reached: There are 10,000 accounts already: delete one '
               'first.';
    end if;

    -- Few enough for anybody to reach them all?
    if living < 1000 then
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


-- What there is a most of ----------------------------------------------------
--
-- Counted behind a lock, so by functions, which look anew.

create function tenon.domain_count()
returns bigint
language sql volatile
set search_path = pg_catalog
as $$
    select count(*)
      from tenon.domain d
     where d.tenant_id = tenon.current_tenant()
$$;

comment on function tenon.domain_count() is
    'How many domains a tenant has';


create function tenon.invitation_count()
returns bigint
language sql volatile
set search_path = pg_catalog
as $$
    select count(*)
      from tenon.invitation i
     where i.tenant_id = tenon.current_tenant()
       and i.status = 'pending'
       and i.expires_at > now()
       and i.deleted_at is null
$$;

comment on function tenon.invitation_count() is
    'How many invitations of a tenant are open';


create function tenon.api_key_count(maker uuid)
returns bigint
language sql volatile
set search_path = pg_catalog
as $$
    select count(*)
      from tenon.api_key k
     where k.tenant_id = tenon.current_tenant()
       and k.created_by = $1
       and k.deleted_at is null
       and (k.expires_at is null or k.expires_at > now())
$$;

comment on function tenon.api_key_count(uuid) is
    'How many API keys of a member''s there are in a tenant, not revoked nor '
    'expired';

grant execute
   on function tenon.end_families(uuid, uuid, uuid[], uuid, text),
               tenon.make_room(uuid, uuid),
               tenon.void_tokens(uuid, uuid, text),
               tenon.domain_count(),
               tenon.invitation_count(),
               tenon.api_key_count(uuid)
   to tenon_api;


-- Purge ----------------------------------------------------------------------
--
-- What was deleted, ran out or was never finished: its event says what it was.

create index invitation_over on tenon.invitation
       (least(expires_at, accepted_at, deleted_at));

create policy purge on tenon.invitation to tenon_worker
 using (least(expires_at, accepted_at, deleted_at)
        < now() - interval '30 days');

grant select (ctid, expires_at, accepted_at, deleted_at),
      delete
   on tenon.invitation
   to tenon_worker;

drop trigger tenon_log on tenon.invitation;

create trigger tenon_log
    after insert or update on tenon.invitation
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.invitation');

create trigger tenon_log_delete
    after delete on tenon.invitation
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.log_change('tenon.invitation');

create index share_over on tenon.share (deleted_at)
 where deleted_at is not null;

create policy purge on tenon.share to tenon_worker
 using (deleted_at < now() - interval '30 days');

grant select (ctid, deleted_at),
      delete
   on tenon.share
   to tenon_worker;

drop trigger tenon_log on tenon.share;

create trigger tenon_log
    after insert or update on tenon.share
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.share');

create trigger tenon_log_delete
    after delete on tenon.share
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.log_change('tenon.share');

create index account_member_over on tenon.account_member (deleted_at)
 where deleted_at is not null;

create policy purge on tenon.account_member to tenon_worker
 using (deleted_at < now() - interval '30 days');

grant select (ctid, deleted_at),
      delete
   on tenon.account_member
   to tenon_worker;

drop trigger tenon_log on tenon.account_member;

create trigger tenon_log
    after insert or update on tenon.account_member
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.account_member');

create trigger tenon_log_delete
    after delete on tenon.account_member
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.log_change('tenon.account_member');

create index tenant_role_over on tenon.tenant_role (deleted_at)
 where deleted_at is not null;

create policy purge on tenon.tenant_role to tenon_worker
 using (deleted_at < now() - interval '30 days');

grant select (ctid, deleted_at),
      delete
   on tenon.tenant_role
   to tenon_worker;

drop trigger tenon_log on tenon.tenant_role;

create trigger tenon_log
    after insert or update on tenon.tenant_role
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.role');

create trigger tenon_log_delete
    after delete on tenon.tenant_role
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.log_change('tenon.role');

-- What a role granted goes with it, and changes no role.
drop trigger tenon_log on tenon.tenant_grant;

create trigger tenon_log
    after insert or update on tenon.tenant_grant
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch_role();

create trigger tenon_log_delete
    after delete on tenon.tenant_grant
    for each row when (current_user <> 'tenon_api'
                       and pg_trigger_depth() = 0)
    execute function tenon.touch_role();

create index totp_over on tenon.totp (created_at)
 where confirmed_at is null;

create policy purge on tenon.totp to tenon_worker
 using (confirmed_at is null
        and created_at < now() - interval '30 days');

grant select (ctid, created_at, confirmed_at),
      delete
   on tenon.totp
   to tenon_worker;


create or replace function tenon.purge(batch int default 10000)
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

    delete from tenon.one_time
     where ctid = any (array(select o.ctid
                               from tenon.one_time o
                              where o.expires_at < now() - interval '30 days'
                              limit batch))
       and expires_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    -- Secrets go with their key.
    delete from tenon.api_key
     where ctid = any (array(select k.ctid
                               from tenon.api_key k
                              where least(k.expires_at, k.deleted_at)
                                    < now() - interval '30 days'
                              limit batch))
       and least(expires_at, deleted_at) < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.invitation
     where ctid = any (array(select i.ctid
                               from tenon.invitation i
                              where least(i.expires_at, i.accepted_at,
                                          i.deleted_at)
                                    < now() - interval '30 days'
                              limit batch))
       and least(expires_at, accepted_at, deleted_at)
           < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.share
     where ctid = any (array(select s.ctid
                               from tenon.share s
                              where s.deleted_at < now() - interval '30 days'
                              limit batch))
       and deleted_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.account_member
     where ctid = any (array(select h.ctid
                               from tenon.account_member h
                              where h.deleted_at < now() - interval '30 days'
                              limit batch))
       and deleted_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.tenant_role
     where ctid = any (array(select r.ctid
                               from tenon.tenant_role r
                              where r.deleted_at < now() - interval '30 days'
                              limit batch))
       and deleted_at < now() - interval '30 days';
    get diagnostics n = row_count;
    gone := gone + n;

    delete from tenon.totp
     where ctid = any (array(select f.ctid
                               from tenon.totp f
                              where f.confirmed_at is null
                                and f.created_at < now() - interval '30 days'
                              limit batch))
       and confirmed_at is null
       and created_at < now() - interval '30 days';
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
    'Idempotency-Keys after a day; after thirty failed sign-ins, one-time '
    'tokens, ended sessions, API keys that were revoked or expired, '
    'invitations that were accepted, revoked or expired, what is deleted of '
    'shares, roles in accounts and roles of a tenant''s own, second factors '
    'that were never confirmed. Returns how many. Run it as tenon_worker until '
    'that is 0';
