-- 0015_sessions.sql: sessions that one sign-in opened end together; a cookie
-- that was replaced opens nothing; a reset of the password revokes API keys.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0015_sessions.sql


alter table tenon.session add column family uuid;

create index session_family on tenon.session (tenant_id, family)
 where family is not null;

comment on column tenon.session.family is
    'The session of the sign-in that this one was opened from, in whatever '
    'tenant that is; null: it is the sign-in''s own';

grant select (family)
   on tenon.session
   to tenon_lookup;


-- Look-ups -------------------------------------------------------------------

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create or replace function tenon.find_cookie(tenant uuid, session uuid,
                                             asked int)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, user_id uuid, role text, roles text,
               accounts text, generation int, impersonator uuid)
language sql volatile security definer
set search_path = pg_catalog
as $$
    select f.tenant_id, f.realm_id, f.slug, f.name, f.status, f.user_id,
           f.role, f.roles, f.accounts, $3, f.impersonator
      from tenon.session s
     cross join lateral tenon.find_session(s.tenant_id, s.id) f
     where s.tenant_id  = $1
       and s.id         = $2
       and s.kind       = 'cookie'
       and s.generation = $3
$$;

comment on function tenon.find_cookie(uuid, uuid, int) is
    'What find_session answers, for a cookie: its generation is the session''s. '
    'One that was replaced has no grace: it is replaced where the password or '
    'the second factor is another, or all others are to end';


create function tenon.find_family(realm uuid, user_id uuid, families uuid[])
returns setof uuid
language sql stable security definer
set search_path = pg_catalog
as $$
    select t.tenant_id
      from tenon.member m
      join tenon.tenant t on t.tenant_id = m.tenant_id
     where m.realm_id = $1
       and m.user_id  = $2
       and m.deleted_at is null
       and t.deleted_at is null
       and exists (select
                     from tenon.session s
                    where s.tenant_id = m.tenant_id
                      and s.user_id   = m.user_id
                      and (s.id = any ($3) or s.family = any ($3))
                      and s.revoked_at is null
                      and s.expires_at > now())
$$;

comment on function tenon.find_family(uuid, uuid, uuid[]) is
    'The tenants in which a user has open sessions of these sign-ins';

revoke execute on function tenon.find_family(uuid, uuid, uuid[]) from public;

grant execute on function tenon.find_family(uuid, uuid, uuid[]) to tenon_api;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;


-- What ends in every tenant --------------------------------------------------

create function tenon.end_family(
    realm     uuid,
    ended     uuid,
    families  uuid[],
    reason    text)
returns setof uuid
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    theirs  uuid;
    n       bigint;
begin
    -- As tenon.end_sessions: in each tenant as that tenant.
    for theirs in
        select f.tenant_id
          from tenon.find_family(realm, ended, families) as f (tenant_id)
         order by f.tenant_id
    loop
        perform set_config('tenon.tenant', theirs::text, true);

        update tenon.session s
           set revoked_at = now()
         where s.tenant_id = theirs
           and s.user_id   = ended
           and (s.id = any (families) or s.family = any (families))
           and s.revoked_at is null
           and s.expires_at > now();
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

comment on function tenon.end_family(uuid, uuid, uuid[], text) is
    'Ends the sessions of a user that belong to these sign-ins, in every '
    'tenant, each of which hears of its own; returns the tenants that had any. '
    'For the API, in the midst of a statement that holds the user''s row';


create function tenon.revoke_api_keys(realm uuid, maker uuid, reason text)
returns bigint
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    theirs  uuid;
    n       bigint;
    total   bigint := 0;
begin
    for theirs in
        select m.id
          from tenon.find_memberships(realm, maker) m
         order by m.id
    loop
        perform set_config('tenon.tenant', theirs::text, true);

        update tenon.api_key k
           set deleted_at = now(), version = k.version + 1, updated_at = now()
         where k.tenant_id  = theirs
           and k.created_by = maker
           and k.deleted_at is null;
        get diagnostics n = row_count;

        if n > 0 then
            delete from tenon.api_key_secret s
             where s.tenant_id = theirs
               and s.api_key_id in (select k.id
                                      from tenon.api_key k
                                     where k.tenant_id  = theirs
                                       and k.created_by = maker
                                       and k.deleted_at is not null);
            perform tenon.log_event(
                tenon.uuid7(), 'api_key.revoked', 'tenon.user', maker, null,
                null, null,
                jsonb_build_object('api_keys', n, 'reason', reason),
                uuid_send(gen_random_uuid()));
            total := total + n;
        end if;
    end loop;

    perform set_config('tenon.tenant', coalesce(asking, ''), true);

    return total;
end
$$;

comment on function tenon.revoke_api_keys(uuid, uuid, text) is
    'Revokes all API keys that a user made, in every tenant they belong to, '
    'each of which hears how many; returns how many in all. For the API, in '
    'the midst of a statement that holds the user''s row';

grant execute
   on function tenon.end_family(uuid, uuid, uuid[], text),
               tenon.revoke_api_keys(uuid, uuid, text)
   to tenon_api;
