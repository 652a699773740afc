-- 0021_signin.sql: an address that nobody verified keeps nobody out; asking
-- for addresses that are nobody's leaves a bounded number of rows.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0021_signin.sql


-- Accounts that nobody had verified ------------------------------------------

create function tenon.take_over(
    realm          uuid,
    address        text,
    name           text,
    password_hash  text,
    verified       boolean)
returns table (id uuid, version bigint, tenants text)
language plpgsql volatile
set search_path = pg_catalog
as $$
begin
    -- Each statement looks anew: behind this lock nobody verifies the address,
    -- and whoever did so before is seen.
    select u.id into take_over.id
      from tenon."user" u
     where u.realm_id = realm
       and u.email    = address
       and u.status   = 'active'
       and u.email_verified_at is null
       and u.deleted_at is null
       for no key update of u;

    if take_over.id is null
       or not verified
          and exists (select
                        from tenon.find_memberships(realm, take_over.id))
    then
        return;
    end if;

    update tenon."user" u
       set name = take_over.name, password_hash = take_over.password_hash,
           email_verified_at = case when verified then now() end,
           version = u.version + 1, updated_at = now()
     where u.realm_id = realm
       and u.id       = take_over.id
    returning u.version into take_over.version;

    -- It is they who ask, whoever the request began as.
    perform set_config('tenon.actor', take_over.id::text, true);

    perform tenon.void_tokens(realm, take_over.id, purpose)
       from unnest('{verify,reset}'::text[]) as purpose;
    perform tenon.drop_factor(realm, take_over.id, 'unverified_address');

    select coalesce(string_agg(ended::text, ','), '') into tenants
      from tenon.end_sessions(realm, take_over.id, null, 'taken_over') as ended;

    perform tenon.revoke_api_keys(realm, take_over.id, 'taken_over');

    return next;
end
$$;

comment on function tenon.take_over(uuid, text, text, text, boolean) is
    'Gives an account whose address nobody had verified to who is here now: '
    'its password and name are new; sessions, API keys, second factor and '
    'tokens of whoever made it are gone. By a token that was sent to the '
    'address (verified) wherever it is a member; else only where it is one '
    'nowhere. Returns the tenants in which sessions ended, with commas '
    'between; no row: there is no such account. For the API, which logs it';

revoke execute
    on function tenon.take_over(uuid, text, text, text, boolean)
  from public;

grant execute
   on function tenon.take_over(uuid, text, text, text, boolean)
   to tenon_api;


-- One-time tokens that nobody gets -------------------------------------------

grant update (created_at, expires_at)
   on tenon.one_time
   to tenon_api;

comment on column tenon.one_time.tenant_id is
    'The tenant on whose host it was asked for, and must be used; the '
    'platform''s: on the base domain';
comment on column tenon.one_time.user_id is
    'Null where nobody has the address that was asked for: then the row is '
    'one of a few that all such addresses share, and is written anew each '
    'time, else the missing write would tell';

comment on column tenon.login_attempt.failures is
    'In a row; those during a lock are not counted, nor those before a day '
    'in which there was none';
