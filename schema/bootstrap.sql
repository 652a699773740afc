-- bootstrap.sql: the database roles of Tenon, and what the database itself
-- grants them.
--
-- Run once by a superuser, in the database that Tenon shall live in: part of
-- it is granted on the current database, so that must be there first. Running
-- it again mends what has drifted and changes nothing else:
--
--     createdb tenon
--     psql -v ON_ERROR_STOP=1 -1 -d tenon -f schema/bootstrap.sql
--
-- No role gets a password here: use peer or certificate authentication, or
-- give the login roles one with \password.

do $$
declare
    r record;
begin
    for r in
        select *
          from (values
                ('tenon_owner',  'login',
                 'Tenon: owns schemas and tables, runs migrations'),
                ('tenon_api',    'login',
                 'Tenon: nginx workers; owns nothing, subject to every policy'),
                ('tenon_app',    'nologin',
                 'Tenon: owner of the functions that apps define'),
                ('tenon_lookup', 'nologin',
                 'Tenon: owner of look-ups made before the tenant is known'),
                ('tenon_search', 'nologin',
                 'Tenon: owner of the functions that search an app''s table'),
                ('tenon_feed',   'login',
                 'Tenon: reads the event feed of all tenants, nothing else'),
                ('tenon_worker', 'login',
                 'Tenon: background jobs')
               ) as role (name, login, purpose)
    loop
        if not exists (select from pg_catalog.pg_roles where rolname = r.name)
        then
            execute format('create role %I', r.name);
        end if;

        execute format('alter role %I %s nosuperuser nocreatedb nocreaterole '
                       'noreplication nobypassrls', r.name, r.login);
        execute format('comment on role %I is %L', r.name, r.purpose);
    end loop;
end
$$;


-- The owner gives functions to these, so it must be a member of them; but
-- NOINHERIT, or their policies (`using (true)`) would be the owner's as well,
-- and the owner shall see one tenant at a time like everybody else.
alter role tenon_owner noinherit;

grant tenon_app, tenon_lookup, tenon_search to tenon_owner;

-- What is encrypted anew under another key (tenonctl encryption) is changed as
-- the API changes it: under its policies, and no new version of the row.
grant tenon_api to tenon_owner;


-- What an index for ?q= is made of: trigrams, behind a tenant's id.
create extension if not exists pg_trgm   schema public;
create extension if not exists btree_gin schema public;


-- Statements are fully qualified: a search_path is only a way to be tricked.
alter role tenon_api    set search_path = pg_catalog;
alter role tenon_feed   set search_path = pg_catalog;
alter role tenon_worker set search_path = pg_catalog;

-- Text results are what C reads: their form must not depend on the cluster.
alter role tenon_api    set timezone  = 'UTC';
alter role tenon_api    set datestyle = 'ISO';
alter role tenon_feed   set timezone  = 'UTC';
alter role tenon_feed   set datestyle = 'ISO';
alter role tenon_worker set timezone  = 'UTC';
alter role tenon_worker set datestyle = 'ISO';

-- Many requests share one connection: what is slow or stuck must end before
-- the requests queued behind it run into their own deadlines.
alter role tenon_api set statement_timeout                   = '5s';
alter role tenon_api set lock_timeout                        = '500ms';
alter role tenon_api set idle_in_transaction_session_timeout = '10s';

-- A batch of a job's ends well before its lease does (TN_WORK_LEASE).
alter role tenon_worker set statement_timeout                   = '30s';
alter role tenon_worker set lock_timeout                        = '5s';
alter role tenon_worker set idle_in_transaction_session_timeout = '30s';

-- Short prepared statements with tenant-first keys: one plan fits all tenants,
-- and neither planning again nor compiling ever pays.
alter role tenon_api set plan_cache_mode = force_generic_plan;
alter role tenon_api set jit             = off;


do $$
begin
    -- Schemas (tenon and one per app) are the owner's to make, nobody else's.
    execute format('grant create on database %I to tenon_owner',
                   current_database());

    -- A temporary table can stand in front of a real one by name.
    execute format('revoke temporary on database %I from public',
                   current_database());
end
$$;
