-- 0027_purge.sql: what is removed when it has run out, as rows: a table that
-- comes with a migration says of itself what may go, and nothing else changes.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0027_purge.sql


create table tenon.purge_rule (
    relation   regclass primary key,
    condition  text     not null
);

comment on table tenon.purge_rule is
    'global: which rows have run out, and are removed by tenon.purge(); what '
    'it doesn''t name is kept';
comment on column tenon.purge_rule.condition is
    'SQL, of the relation''s columns alone: it runs as who purges';

grant select on tenon.purge_rule to tenon_worker;

insert into tenon.purge_rule (relation, condition)
values ('tenon.idempotency',
        $$at < now() - interval '24 hours'$$),
       ('tenon.login_attempt',
        $$last_at < now() - interval '30 days'$$),
       ('tenon.one_time',
        $$expires_at < now() - interval '30 days'$$),
       -- Secrets go with their key.
       ('tenon.api_key',
        $$least(expires_at, deleted_at) < now() - interval '30 days'$$),
       ('tenon.invitation',
        $$least(expires_at, accepted_at, deleted_at)
          < now() - interval '30 days'$$),
       ('tenon.share',
        $$deleted_at < now() - interval '30 days'$$),
       ('tenon.account_member',
        $$deleted_at < now() - interval '30 days'$$),
       ('tenon.tenant_role',
        $$deleted_at < now() - interval '30 days'$$),
       ('tenon.totp',
        $$confirmed_at is null and created_at < now() - interval '30 days'$$),
       ('tenon.session',
        $$least(expires_at, revoked_at) < now() - interval '30 days'$$),
       ('tenon.job',
        $$finished_at < now() - interval '30 days'$$),
       -- Longer than any sender repeats one: until then it is known again.
       ('tenon.inbound_event',
        $$processed_at < now() - interval '90 days'$$);


create or replace function tenon.purge(batch int default 10000)
returns bigint
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    rule  tenon.purge_rule;
    n     bigint;
    gone  bigint := 0;
begin
    for rule in
        select * from tenon.purge_rule r order by r.relation::text
    loop
        -- The condition stands outside again: a row that was renewed meanwhile
        -- is looked at once more, by that alone.
        execute format('delete from %1$s
                         where ctid = any (array(select ctid
                                                   from %1$s
                                                  where %2$s
                                                  limit $1))
                           and (%2$s)', rule.relation, rule.condition)
          using batch;
        get diagnostics n = row_count;
        gone := gone + n;
    end loop;

    return gone;
end
$$;

comment on function tenon.purge(int) is
    'Removes what has run out, so many rows of each kind at most '
    '(tenon.purge_rule). Returns how many. Run it as tenon_worker until that '
    'is 0';
