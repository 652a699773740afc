-- 0014_signin.sql: what stands around a password: addresses that are verified,
-- one-time tokens, the silent lockout, a second factor.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0014_signin.sql


alter table tenon."user" add column if not exists
      email_verified_at timestamptz;

comment on column tenon."user".email_verified_at is
    'When somebody showed by a token sent there that they read this address; '
    'null: nobody did';


-- One-time tokens ------------------------------------------------------------

create table tenon.one_time (
    realm_id    uuid        not null,
    id          uuid        not null,
    tenant_id   uuid        not null,
    user_id     uuid,
    purpose     text        collate "C" not null,
    email       text        collate "C",
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    used_at     timestamptz,

    primary key (realm_id, id),

    foreign key (realm_id, user_id)
     references tenon."user" (realm_id, id),

    constraint one_time_purpose_set check (purpose in ('verify', 'reset')),
    constraint one_time_email       check ((user_id is null)
                                           = (email is null))
);

-- Those of a user that might still be used: few, whatever was asked for.
create index one_time_open on tenon.one_time (realm_id, user_id, purpose)
 where used_at is null;

create index one_time_ended on tenon.one_time (expires_at);

comment on table tenon.one_time is
    'realm: a token that was sent to an address; it is a MAC over the ids, so '
    'nothing here could be used instead of it';
comment on column tenon.one_time.tenant_id is
    'The tenant on whose host it was asked for, and must be used';
comment on column tenon.one_time.user_id is
    'Null where nobody has the address that was asked for: the row is written '
    'all the same, else the missing write would tell';
comment on column tenon.one_time.email is
    'Where it was sent; if the user''s address is another by now, it is spent';
comment on column tenon.one_time.used_at is
    'When it was used, or replaced by a newer one';


-- Lockout --------------------------------------------------------------------

alter table tenon.login_attempt add column locked_until timestamptz;

comment on column tenon.login_attempt.failures is
    'In a row; those during a lock are not counted';
comment on column tenon.login_attempt.locked_until is
    'Until then no password is right';


create function tenon.lock_time(failures int)
returns interval
language sql immutable parallel safe
as $$
    select case when failures >= 10
                then make_interval(
                         secs => least(900, 2 ^ least(failures - 10, 10)))
            end
$$;

comment on function tenon.lock_time(int) is
    'For how long an identity is locked after so many failures in a row: from '
    'the tenth on 1, 2, 4… seconds, at most 15 minutes; before that null';

grant execute on function tenon.lock_time(int) to tenon_api;

grant update (locked_until) on tenon.login_attempt to tenon_api;


-- The second factor ----------------------------------------------------------

create table tenon.totp (
    realm_id      uuid        not null,
    user_id       uuid        not null,
    secret        text        not null,
    created_at    timestamptz not null default now(),
    confirmed_at  timestamptz,
    last_step     bigint      not null default 0,
    recovery      text[]      collate "C" not null default '{}',

    primary key (realm_id, user_id),

    foreign key (realm_id, user_id)
     references tenon."user" (realm_id, id)
);

comment on table tenon.totp is
    'realm: a user''s second factor: time-based codes (RFC 6238) and codes for '
    'when the device is lost';
comment on column tenon.totp.secret is
    'Sealed: of no use without a key that lies elsewhere';
comment on column tenon.totp.confirmed_at is
    'When a code showed that the device has it; null: asked for, not in force';
comment on column tenon.totp.last_step is
    'The time step of the last code that was taken: each is taken once';
comment on column tenon.totp.recovery is
    'MACs of the recovery codes that are left';


-- Sessions that end with a password ------------------------------------------

create function tenon.end_sessions(
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
begin
    -- What is of a tenant is changed as that tenant, under its policies. Each
    -- statement here looks anew: a session that was opened while this waited
    -- for the user's row is seen.
    for theirs in
        select m.id
          from tenon.find_memberships(realm, ended) m
         order by m.id
    loop
        perform set_config('tenon.tenant', theirs::text, true);

        update tenon.session s
           set revoked_at = now()
         where s.tenant_id = theirs
           and s.user_id   = ended
           and s.revoked_at is null
           and s.expires_at > now()
           and s.id is distinct from kept;
        get diagnostics n = row_count;

        if n > 0 then
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
    'Ends all sessions of a user but one, in every tenant they belong to, each '
    'of which hears of it; returns those tenants. For the API, in the midst of '
    'a statement that holds the user''s row';

grant execute
   on function tenon.end_sessions(uuid, uuid, uuid, text)
   to tenon_api;


-- Row security, grants -------------------------------------------------------

alter table tenon.one_time enable row level security,
                           force  row level security;
alter table tenon.totp     enable row level security,
                           force  row level security;

create policy realm on tenon.one_time
     using (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid)
with check (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid);

create policy realm on tenon.totp
     using (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid)
with check (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid);

grant select,
      insert,
      update (used_at)
   on tenon.one_time
   to tenon_api;

grant select,
      insert,
      update (secret, created_at, confirmed_at, last_step, recovery),
      delete
   on tenon.totp
   to tenon_api;

grant update (password_hash, email_verified_at, version, updated_at)
   on tenon."user"
   to tenon_api;


-- Purge ----------------------------------------------------------------------

create policy purge on tenon.one_time to tenon_worker
 using (expires_at < now() - interval '30 days');

grant select (ctid, expires_at),
      delete
   on tenon.one_time
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
    'Idempotency-Keys after a day, failed sign-ins, one-time tokens and ended '
    'sessions after thirty; returns how many. Run it as tenon_worker until '
    'that is 0';
