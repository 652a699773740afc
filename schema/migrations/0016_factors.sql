-- 0016_factors.sql: a second factor that goes without its owner's code.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0016_factors.sql


create function tenon.drop_factor(realm uuid, person uuid, reason text)
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
         order by m.id
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

comment on function tenon.drop_factor(uuid, uuid, text) is
    'Removes a user''s second factor with its recovery codes, in force or only '
    'asked for; every tenant they belong to hears of it. False: there was '
    'none. Call it where the user''s row is held';

revoke execute
    on function tenon.drop_factor(uuid, uuid, text)
  from public;

grant execute
   on function tenon.drop_factor(uuid, uuid, text)
   to tenon_api;


-- Volatile, so that a statement that has waited for the user's row sees what
-- whoever held it has done.
create function tenon.has_factor(realm uuid, person uuid)
returns boolean
language sql volatile
set search_path = pg_catalog
as $$
    select exists (select
                     from tenon.totp f
                    where f.realm_id = realm
                      and f.user_id = person
                      and f.confirmed_at is not null);
$$;

comment on function tenon.has_factor(uuid, uuid) is
    'Whether a second factor of the user''s is in force by now, also where the '
    'statement began before. Ask behind the lock of the user''s row';

revoke execute
    on function tenon.has_factor(uuid, uuid)
  from public;

grant execute
   on function tenon.has_factor(uuid, uuid)
   to tenon_api;
