-- 0017_account_moves.sql: who gains by an account's move; domains of tenants that
-- were deleted; API keys that are of no use any more.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0017_account_moves.sql


-- Moving an account ----------------------------------------------------------

create function tenon.may_move_account(actor uuid, account uuid, parent uuid)
returns boolean
language sql volatile
set search_path = pg_catalog
as $$
    with recursive around (id, parent_id, place) as (
        select a.id, a.parent_id, p.place
          from tenon.account moved
         cross join lateral (values (moved.parent_id, 'old'),
                                    ($3,              'new')) as p (id, place)
          join tenon.account a on a.tenant_id = moved.tenant_id
                              and a.id        = p.id
         where moved.tenant_id = tenon.current_tenant()
           and moved.id = $2
           and a.deleted_at is null
         union
        select a.id, a.parent_id, around.place
          from around
          join tenon.account a on a.tenant_id = tenon.current_tenant()
                              and a.id        = around.parent_id
         where a.deleted_at is null),
    -- Roles that count in the moved account, in which of the two places.
    held (user_id, role, place) as materialized (
        select h.user_id, h.role, p.place
          from (select around.id, around.place
                  from around
                 union all
                select $2, own.place
                  from (values ('old'), ('new')) as own (place)) as p
          join tenon.account_member h on h.tenant_id  = tenon.current_tenant()
                                     and h.account_id = p.id
                                     and h.deleted_at is null
          join tenon.member m on m.tenant_id = h.tenant_id
                             and m.user_id   = h.user_id
                             and m.deleted_at is null
                             and m.created_at <= h.created_at),
    -- What many have alike is looked at once.
    turns (was, becomes) as materialized (
        select distinct
               array_agg(distinct h.role) filter (where h.place = 'old'),
               array_agg(distinct h.role) filter (where h.place = 'new')
          from (select held.user_id, held.role, held.place
                  from held
                 union all
                select m.user_id, m.role, whole.place
                  from tenon.member m
                 cross join (values ('old'), ('new')) as whole (place)
                 where m.tenant_id = tenon.current_tenant()
                   and m.user_id in (select held.user_id from held)) as h
         group by h.user_id),
    gives (role, permission, scope) as materialized (
        select r.role, g.permission, g.scope
          from (select distinct unnest(t.was || t.becomes) as role
                  from turns t) as r
         cross join lateral tenon.role_holds(tenon.current_tenant(),
                                             r.role) g),
    beyond (role, permission, scope) as materialized (
        select g.role, g.permission, g.scope
          from gives g
         where not exists (
               select
                 from tenon.holds_in_account($1, $2) mine
                where mine.permission = g.permission
                  and mine.scope in ('tenant', g.scope)))
    select not exists (
           select
             from turns t
            cross join lateral (values (t.was, t.becomes),
                                       (t.becomes, t.was)) as s (one, other)
             join beyond b on b.role = any (s.one)
            where t.was <> t.becomes
              and not exists (
                  select
                    from gives g
                   where g.role = any (s.other)
                     and g.permission = b.permission
                     and g.scope in ('tenant', b.scope)))
$$;

comment on function tenon.may_move_account(uuid, uuid, uuid) is
    'Whether who moves an account into another (null: to the top) may hand on '
    'in it all that anybody gains or loses by that: roles that hold around the '
    'one place and not around the other';

grant execute on function tenon.may_move_account(uuid, uuid, uuid)
   to tenon_api;


-- Domains of deleted tenants -------------------------------------------------
--
-- Deleting a tenant releases its domains (tenant_delete): here those of who went
-- before.

do $$
declare
    tenant  uuid;
    kept    text := current_setting('tenon.tenant', true);
begin
    for tenant in select tenon.every_tenant() loop
        perform set_config('tenon.tenant', tenant::text, true);

        delete from tenon.domain d
         using tenon.tenant t
         where d.tenant_id = tenant
           and t.tenant_id = tenant
           and t.deleted_at is not null;
    end loop;

    perform set_config('tenon.tenant', coalesce(kept, ''), true);
end
$$;


-- Purge ----------------------------------------------------------------------
--
-- A key that was revoked or has expired never opens again.

create policy purge on tenon.api_key to tenon_worker
 using (least(expires_at, deleted_at) < now() - interval '30 days');

grant select (ctid, expires_at, deleted_at),
      delete
   on tenon.api_key
   to tenon_worker;

-- Its end was logged when it came, or known from the beginning.
drop trigger tenon_log on tenon.api_key;

create trigger tenon_log
    after insert or update on tenon.api_key
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.api_key');

create trigger tenon_log_delete
    after delete on tenon.api_key
    for each row when (current_user not in ('tenon_api', 'tenon_worker'))
    execute function tenon.log_change('tenon.api_key');


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
    'Idempotency-Keys after a day; failed sign-ins, one-time tokens, ended '
    'sessions, revoked and expired API keys after thirty; returns how many. '
    'Run it as tenon_worker until that is 0';
