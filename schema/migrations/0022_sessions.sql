-- 0022_sessions.sql: a session ends in the same time however many organizations
-- its person belongs to; nobody founds organizations without end; what was
-- ended by a time is over wherever it is shown or counted, whatever the clocks
-- say.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0022_sessions.sql


-- Indexes on tables that have rows already ----------------------------------
--
-- Where these are large, they may be built by hand beforehand, `concurrently`.

-- Takes the place of session_family, which knew one tenant at a time.
create index if not exists session_sign_in on tenon.session
       (realm_id, user_id, coalesce(family, id), expires_at)
 where revoked_at is null;

create index if not exists member_newest on tenon.member
       (realm_id, user_id, created_at, tenant_id)
 where deleted_at is null;

create index if not exists tenant_founder on tenon.tenant
       (realm_id, created_by, created_at);

create index if not exists tenant_founder_living on tenon.tenant
       (realm_id, created_by)
 where deleted_at is null;


-- Look-ups -------------------------------------------------------------------
--
-- A function like these is a fence: what is asked of it is done before anything
-- outside can limit it. So each has its own limit, and begins where that is
-- reached soon. What is then looked up by its key is fenced off from all other
-- conditions: else a planner that knows little of the table yet would read a
-- partial index that has those, from end to end.

grant select (realm_id)
   on tenon.session
   to tenon_lookup;

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.find_open_sessions(
    realm    uuid,
    user_id  uuid,
    kept     uuid,
    most     int)
returns table (tenant_id uuid, id uuid)
language sql stable security definer
set search_path = pg_catalog
as $$
    select s.tenant_id, s.id
      from tenon.session s
     where s.realm_id = $1
       and s.user_id  = $2
       and s.revoked_at is null
       and s.expires_at > now()
       and s.id is distinct from $3
     limit $4
$$;

comment on function tenon.find_open_sessions(uuid, uuid, uuid, int) is
    'Sessions of a user but one that are not revoked nor expired, in whatever '
    'tenant, so many at most';


create function tenon.find_sign_ins(
    realm     uuid,
    user_id   uuid,
    families  uuid[],
    kept      uuid,
    most      int)
returns table (tenant_id uuid, id uuid)
language sql stable security definer
set search_path = pg_catalog
as $$
    select s.tenant_id, s.id
      from unnest($3) as f (id)
     cross join lateral (select s.tenant_id, s.id
                           from tenon.session s
                          where s.realm_id = $1
                            and s.user_id  = $2
                            and coalesce(s.family, s.id) = f.id
                            and s.revoked_at is null
                            and s.expires_at > now()
                            and s.id is distinct from $4
                          limit $5) s
     limit $5
$$;

comment on function tenon.find_sign_ins(uuid, uuid, uuid[], uuid, int) is
    'As find_open_sessions, of these sign-ins';


create function tenon.find_newest_tenants(realm uuid, user_id uuid, most int)
returns setof uuid
language sql stable security definer
set search_path = pg_catalog
as $$
    with newest as materialized (
        select m.tenant_id, m.created_at
          from tenon.member m
         where m.realm_id = $1
           and m.user_id  = $2
           and m.deleted_at is null
         order by m.created_at desc, m.tenant_id desc
         limit $3)
    select n.tenant_id
      from newest n
     cross join lateral (select t.deleted_at
                           from tenon.tenant t
                          where t.tenant_id = n.tenant_id
                         offset 0) t
     where t.deleted_at is null
     order by n.created_at desc, n.tenant_id desc
$$;

comment on function tenon.find_newest_tenants(uuid, uuid, int) is
    'The tenants that a user joined last, so many at most';


create function tenon.find_key_tenants(realm uuid, maker uuid, most int)
returns setof uuid
language sql stable security definer
set search_path = pg_catalog
as $$
    select f.id
      from tenon.find_newest_tenants($1, $2, $3) as f (id)
     where exists (select
                     from tenon.api_key k
                    where k.tenant_id  = f.id
                      and k.created_by = $2
                      and k.deleted_at is null
                   offset 0)
$$;

comment on function tenon.find_key_tenants(uuid, uuid, int) is
    'Those of find_newest_tenants in which the user has made API keys';


create function tenon.founding_refused(realm uuid, founder uuid)
returns text
language sql volatile security definer
set search_path = pg_catalog
as $$
    select case
           when (select count(*)
                   from (select
                           from tenon.tenant t
                          where t.realm_id   = $1
                            and t.created_by = $2
                            and t.deleted_at is null
                          limit 1000) t) >= 1000
           then 'limit_reached: You have founded 1,000 organizations: delete '
                'one first.'
           when (select count(*)
                   from (select
                           from tenon.tenant t
                          where t.realm_id   = $1
                            and t.created_by = $2
                            and t.created_at > now() - interval '1 day'
                          limit 100) t) >= 100
           then 'limit_reached: You have founded 100 organizations within a '
                'day: found the next one tomorrow.'
           end
$$;

comment on function tenon.founding_refused(uuid, uuid) is
    'Why a user can''t found one tenant more, as a statement''s `refused`; '
    'null: they can. Ask behind the lock of the user''s row';


-- By its name first: a user may have many.
create or replace function tenon.find_membership(realm uuid, user_id uuid,
                                                 ref text)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, role text)
language sql stable security definer
set search_path = pg_catalog
as $$
    with named as materialized (
        select case when $3 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                    then $3::uuid
                    else (select s.tenant_id
                            from tenon.tenant_slug s
                           where s.slug = $3)
                end as id)
    select t.tenant_id, t.realm_id, t.slug, t.name, t.status, m.role
      from named n
     cross join lateral (select m.realm_id, m.role, m.deleted_at
                           from tenon.member m
                          where m.tenant_id = n.id
                            and m.user_id   = $2
                         offset 0) m
     cross join lateral (select t.*
                           from tenon.tenant t
                          where t.tenant_id = n.id
                         offset 0) t
     where m.realm_id = $1
       and m.deleted_at is null
       and t.deleted_at is null
$$;

revoke execute
    on function tenon.find_open_sessions(uuid, uuid, uuid, int),
                tenon.find_sign_ins(uuid, uuid, uuid[], uuid, int),
                tenon.find_newest_tenants(uuid, uuid, int),
                tenon.find_key_tenants(uuid, uuid, int),
                tenon.founding_refused(uuid, uuid)
  from public;

grant execute
   on function tenon.find_open_sessions(uuid, uuid, uuid, int),
               tenon.find_sign_ins(uuid, uuid, uuid[], uuid, int),
               tenon.find_newest_tenants(uuid, uuid, int),
               tenon.find_key_tenants(uuid, uuid, int),
               tenon.founding_refused(uuid, uuid)
   to tenon_api;

drop function tenon.find_family(uuid, uuid, uuid[]);

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;


-- What ends in every tenant --------------------------------------------------

-- Rows are told by their key alone: with a condition more a planner that knows
-- little of the table yet would read all that are open in the tenant. They are
-- locked in the order of their ids; whoever else ends many of them without the
-- user's row (tenant_delete, member_delete) waits for none. Events are what
-- takes time, one for each tenant: so there is a most of these.
create function tenon.mark_sessions(
    ended     uuid,
    tenants   uuid[],
    sessions  uuid[],
    reason    text)
returns setof uuid
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    theirs  uuid;
    ids     uuid[];
    n       bigint;
begin
    -- What is of a tenant is changed as that tenant, under its policies.
    for theirs, ids in
        select u.tenant, array_agg(u.session order by u.session)
          from unnest(tenants, sessions) as u (tenant, session)
         group by u.tenant
         order by u.tenant
         limit 250
    loop
        perform set_config('tenon.tenant', theirs::text, true);

        with locked as materialized (
            select l.id, l.revoked_at
              from unnest(ids) as i (id)
             cross join lateral (
                   select s.id, s.revoked_at
                     from tenon.session s
                    where s.tenant_id = theirs
                      and s.id        = i.id
                      for no key update of s) l)
        update tenon.session s
           set revoked_at = now()
          from locked l
         where s.tenant_id = theirs
           and s.id        = l.id
           and l.revoked_at is null;
        get diagnostics n = row_count;

        if n > 0 then
            perform tenon.log_event(
                tenon.uuid7(), 'session.revoked', 'tenon.user', ended, null,
                null, null,
                jsonb_build_object('sessions', n, 'reason', reason),
                uuid_send(gen_random_uuid()));
            return next theirs;
        end if;
    end loop;

    perform set_config('tenon.tenant', coalesce(asking, ''), true);
end
$$;

comment on function tenon.mark_sessions(uuid, uuid[], uuid[], text) is
    'Marks sessions of a user as ended, each in its tenant, which hears of its '
    'own, in 250 tenants at most; returns those that had any. For the two '
    'below';


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
    tenants   uuid[];
    sessions  uuid[];
    told      uuid[];
begin
    -- Never back: the clock may be another one than the last time.
    update tenon."user" u
       set sessions_from = greatest(clock_timestamp(),
                                    u.sessions_from
                                    + interval '1 microsecond'),
           session_kept = kept
     where u.realm_id = realm
       and u.id       = ended;

    -- Each statement here looks anew: a session that was opened while this
    -- waited for the user's row is seen.
    select array_agg(f.tenant_id), array_agg(f.id) into tenants, sessions
      from tenon.find_open_sessions(realm, ended, kept, 1000) f;

    told := array(select m
                    from tenon.mark_sessions(ended, tenants, sessions, reason)
                         as m);

    return query
        select unnest(told)
         union
        select f from tenon.find_newest_tenants(realm, ended, 1000) as f;
end
$$;

comment on function tenon.end_sessions(uuid, uuid, uuid, text) is
    'Ends all sessions of a user but one, in every tenant they belong to. A '
    'thousand are marked at most, in 250 tenants; returned are these and the '
    'thousand that were joined last. The others'' don''t count from now on '
    'either (user.sessions_from). For the API, in the midst of a statement '
    'that holds the user''s row';


create or replace function tenon.end_families(
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
    tenants   uuid[];
    sessions  uuid[];
begin
    select array_agg(f.tenant_id), array_agg(f.id) into tenants, sessions
      from tenon.find_sign_ins(realm, ended, families, kept, 1000) f;

    -- Too many to mark one by one: then all of theirs end.
    if cardinality(sessions) = 1000
        or (select count(distinct u.tenant)
              from unnest(tenants) as u (tenant)) > 250
    then
        return query
            select e from tenon.end_sessions(realm, ended, kept, reason) as e;
    else
        return query
            select m
              from tenon.mark_sessions(ended, tenants, sessions, reason) as m;
    end if;
end
$$;

comment on function tenon.end_families(uuid, uuid, uuid[], uuid, text) is
    'Ends the sessions of a user that belong to these sign-ins, but one, in '
    'every tenant, each of which hears of its own; returns the tenants that '
    'had any. Where these are a thousand or more, or in more than 250 '
    'tenants, all the user''s sessions but that one end (tenon.end_sessions). '
    'For the API, in the midst of a statement that holds the user''s row';


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
       set api_keys_from = greatest(clock_timestamp(),
                                    u.api_keys_from
                                    + interval '1 microsecond')
     where u.realm_id = realm
       and u.id       = maker;

    for theirs in
        select f from tenon.find_key_tenants(realm, maker, 1000) as f
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
        select f from tenon.find_newest_tenants(realm, person, 1000) as f
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


-- How a session begins -------------------------------------------------------

create function tenon.session_begins(realm uuid, person uuid)
returns timestamptz
language sql volatile
set search_path = pg_catalog
as $$
    select greatest(clock_timestamp(),
                    (select u.sessions_from + interval '1 microsecond'
                       from tenon."user" u
                      where u.realm_id = $1
                        and u.id       = $2))
$$;

comment on function tenon.session_begins(uuid, uuid) is
    'When a session of a user''s begins that is opened now: behind the time '
    'that ended all before it, also where another database''s clock told '
    'that. Ask behind the lock of the user''s row';


create function tenon.end_oldest(realm uuid, tenant uuid, person uuid)
returns text
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    since  timestamptz;
    kept   uuid;
    gone   uuid[];
    one    uuid;
begin
    select u.sessions_from, u.session_kept into since, kept
      from tenon."user" u
     where u.realm_id = realm
       and u.id       = person;

    with crowd as materialized (
        select s.id, s.created_at
          from tenon.session s
         where s.tenant_id = tenant
           and s.user_id   = person
           and s.revoked_at is null
           and s.expires_at > now()
           and s.impersonator is null
           and (since is null or s.created_at > since or s.id = kept)
         order by s.created_at desc, s.id desc
        offset 100
         limit 100),
    done as (
        update tenon.session s
           set revoked_at = now()
          from crowd
         where s.tenant_id = tenant
           and s.id        = crowd.id
        returning s.id)
    select array_agg(done.id order by done.id) into gone from done;

    foreach one in array coalesce(gone, '{}')
    loop
        perform tenon.log_event(
            tenon.uuid7(), 'session.revoked', 'tenon.session', one, null,
            null, null, jsonb_build_object('reason', 'limit_reached'),
            uuid_send(gen_random_uuid()));
    end loop;

    return array_to_string(gone, ',');
end
$$;

comment on function tenon.end_oldest(uuid, uuid, uuid) is
    'After a session was opened: ends the oldest of that user in that tenant '
    'where there are more than a hundred, each with its event; returns their '
    'ids, with commas between, all but always one. Null: there was room. For '
    'the API, in the midst of a statement that holds the user''s row';


create or replace function tenon.make_room(tenant uuid, person uuid)
returns uuid
language sql volatile
set search_path = pg_catalog
as $$
    select split_part(tenon.end_oldest(
                          nullif(current_setting('tenon.realm', true),
                                 '')::uuid, $1, $2), ',', 1)::uuid
$$;

comment on function tenon.make_room(uuid, uuid) is
    'The first of what end_oldest returns: for workers of the version before';


-- API keys that were revoked by a time ----------------------------------------

create or replace view tenon.api_key_view
with (security_invoker = true) as
select k.tenant_id,
       k.id,
       k.name,
       k.prefix,
       to_jsonb(k.scopes) as scopes,
       case when k.expires_at <= now() then 'expired'
            when m.created_at <= k.created_at and m.deleted_at is null
            then 'active'
            else 'orphaned' end as status,
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
    on m.tenant_id = k.tenant_id
   and m.user_id   = k.created_by
  left join tenon."user" u
    on u.realm_id = m.realm_id
   and u.id       = m.user_id
  left join lateral (
       select s.last_used_at, s.last_used_ip
         from tenon.api_key_secret s
        where s.tenant_id  = k.tenant_id
          and s.api_key_id = k.id
        order by s.last_used_at desc nulls last
        limit 1) as s on true
 where k.deleted_at is null
   and (u.api_keys_from is null or k.created_at > u.api_keys_from);

create or replace function tenon.api_key_count(maker uuid)
returns bigint
language sql volatile
set search_path = pg_catalog
as $$
    select count(*)
      from tenon.api_key k
      left join tenon.member m on m.tenant_id = k.tenant_id
                              and m.user_id   = k.created_by
      left join tenon."user" u on u.realm_id = m.realm_id
                              and u.id       = m.user_id
     where k.tenant_id = tenon.current_tenant()
       and k.created_by = $1
       and k.deleted_at is null
       and (k.expires_at is null or k.expires_at > now())
       and (u.api_keys_from is null or k.created_at > u.api_keys_from)
$$;

-- Behind the time that revoked all before it, whichever clock told that.
grant insert (created_at)
   on tenon.api_key
   to tenon_api;

grant execute
   on function tenon.mark_sessions(uuid, uuid[], uuid[], text),
               tenon.session_begins(uuid, uuid),
               tenon.end_oldest(uuid, uuid, uuid)
   to tenon_api;


-- Last, since it keeps everybody from the table until all of this is done.
drop index if exists tenon.session_family;
