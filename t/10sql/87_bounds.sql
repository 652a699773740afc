-- What ends with a user, however much it is; who reaches how many accounts.

begin;

select plan(39);

\set acme '\'01900000-000a-7000-8000-000000000001\''
\set realm '(select realm_id from tenon.tenant where tenant_id = :acme)'

create temporary table who as
select t.realm_id, m.user_id
  from tenon.member m
  join tenon.tenant t using (tenant_id)
 where m.tenant_id = :acme
 order by m.user_id
 limit 1;

grant select on who to public;

create function tap.as_api(want text)
returns text
language sql
as $$
    select set_config('tenon.realm', (select realm_id::text from who), true);
    select run('tenon_api', acme(), 'select ' || want)
$$;

create function tap.counts(session uuid)
returns boolean
language sql
as $$
    select exists (select from tenon.find_session(acme()::uuid, $1))
$$;

update tenon.member set created_at = now() - interval '1 day'
 where tenant_id = :acme;

set session_replication_role = replica;

insert into tenon.session (tenant_id, id, realm_id, user_id, created_at,
                           expires_at, family)
select :acme, ('01900000-0000-7000-8009-' || lpad(to_hex(n), 12, '0'))::uuid,
       realm_id, user_id, now() - interval '1 hour' + n * interval '1 ms',
       now() + interval '1 day',
       case when n % 2 = 0 then '01900000-0000-7000-8009-000000000001'::uuid end
  from who, generate_series(1, 3000) n;

set session_replication_role = origin;

\set oldest '\'01900000-0000-7000-8009-000000000001\''
\set second '\'01900000-0000-7000-8009-000000000002\''
\set newest '\'01900000-0000-7000-8009-000000000bb8\''

select ok(counts(:oldest) and counts(:newest), 'sessions count');


-- One more than a hundred

select is(array_length(string_to_array(
              as_api(format('tenon.end_oldest(%L, %L, %L)', realm_id, acme(),
                            user_id)), ','), 1), 100,
          'room is made, and said what had to go')
  from who;
select ok(not counts('01900000-0000-7000-8009-000000000b54'),
          'the hundred and first has gone');
select ok(counts('01900000-0000-7000-8009-000000000b55'),
          'the hundredth is there');


select ok(as_api(format('tenon.make_room(%L, %L)', acme(), user_id))::uuid
          is not null, 'a worker of the version before is told one of them')
  from who;


-- A sign-in

savepoint sign_in;

select ok(as_api(format(
              '(select count(*) from tenon.end_families(%L, %L, %L, %L, '
              '''test''))', realm_id, user_id,
              array[:oldest], '01900000-0000-7000-8009-000000000bb7'))::int > 0,
          'a sign-in of more than a thousand sessions ends')
  from who;
select ok(not counts(:second) and not counts(:newest), 'with all of them');
select ok(counts('01900000-0000-7000-8009-000000000bb7'),
          'what is to be kept goes on');
select ok(not counts('01900000-0000-7000-8009-000000000b55'),
          'and all others end with it');

rollback to sign_in;


-- All of them

select is(as_api(format(
              '(select count(*) from tenon.end_sessions(%L, %L, %L, ''test''))',
              realm_id, user_id, :second))::int > 0, true, 'all end')
  from who;
select is((select count(*) from tenon.session s, who
            where s.tenant_id = :acme and s.user_id = who.user_id
              and counts(s.id)), 1::bigint, 'but one');
select ok(counts(:second), 'the one that was to be kept');
select cmp_ok((select count(*) from tenon.session s, who
                where s.tenant_id = :acme and s.user_id = who.user_id
                  and revoked_at is null)::int, '>', 1000,
              'though most are not marked');

insert into tenon.session (tenant_id, id, realm_id, user_id, created_at,
                           expires_at)
select :acme, '01900000-0000-7000-8009-00000000ffff', realm_id, user_id,
       clock_timestamp(), now() + interval '1 day'
  from who;
select ok(counts('01900000-0000-7000-8009-00000000ffff'),
          'a session that is opened now counts');


-- Who was told that all have ended is told of none of these again

select is(as_api(format('tenon.end_oldest(%L, %L, %L)', realm_id, acme(),
                        user_id)), null,
          'what a time has ended takes no room')
  from who;


-- Another database's clock was ahead

update tenon."user" u
   set sessions_from = clock_timestamp() + interval '1 hour',
       session_kept  = null
  from who
 where u.realm_id = who.realm_id and u.id = who.user_id;

create function tap.begin_session(n text)
returns uuid
language sql
as $$
    insert into tenon.session (tenant_id, id, realm_id, user_id, created_at,
                               expires_at)
    select acme()::uuid, ('01900000-0000-7000-8009-0000000eee' || n)::uuid,
           realm_id, user_id,
           as_api(format('tenon.session_begins(%L, %L)', realm_id,
                         user_id))::timestamptz,
           now() + interval '1 day'
      from who
    returning id
$$;

select ok(counts(begin_session('01')) and counts(begin_session('02')),
          'sessions count though their beginning is yet to come');
select ok(as_api(format('(select count(*) from tenon.end_sessions(%L, %L, '
                        'null, ''test''))', realm_id, user_id)) is not null
          and not counts('01900000-0000-7000-8009-0000000eee01'),
          'and all end once more')
  from who;
update tenon.session set revoked_at = null
 where id = '01900000-0000-7000-8009-0000000eee02';
select ok(not counts('01900000-0000-7000-8009-0000000eee02'),
          'by the time, too, which never goes back');
select ok(counts(begin_session('03')), 'the next ones count');

select is(as_api(format('tenon.image(''tenon."user"''::regclass, %L)',
                        to_jsonb(u)))::jsonb
          ?| array['sessions_from', 'session_kept', 'api_keys_from'],
          false, 'no event tells which')
  from tenon."user" u
  join who on who.user_id = u.id;


-- However many tenants

set session_replication_role = replica;

insert into tenon.tenant (tenant_id, realm_id, name, slug, created_by,
                          created_at)
select ('01900000-0000-7000-800c-' || lpad(to_hex(n), 12, '0'))::uuid,
       realm_id, 't' || n, 'org' || n, user_id,
       now() - interval '2 days' + n * interval '1 s'
  from who, generate_series(1, 3000) n;

insert into tenon.tenant_slug (slug, tenant_id, realm_id)
select slug, tenant_id, realm_id
  from tenon.tenant
 where slug ~ '^org[0-9]';

insert into tenon.member (tenant_id, realm_id, user_id, role, created_at)
select t.tenant_id, who.realm_id, who.user_id, 'owner', t.created_at
  from tenon.tenant t, who
 where t.created_by = who.user_id and t.slug ~ '^org[0-9]';

insert into tenon.session (tenant_id, id, realm_id, user_id, created_at,
                           expires_at, family)
select t.tenant_id, tenon.uuid7(), who.realm_id, who.user_id,
       clock_timestamp() + interval '2 hours', now() + interval '1 day',
       case when t.slug in ('org7', 'org8')
            then '01900000-0000-7000-8009-0000000eee03'::uuid
            else '01900000-0000-7000-8009-0000000eee04' end
  from tenon.tenant t, who
 where t.created_by = who.user_id and t.slug ~ '^org[0-9]';

set session_replication_role = origin;

-- What a call reads and changes of these tables, in rows.
create function tap.costs(call text, out result text, out reads bigint,
                          out changes bigint)
language plpgsql
as $$
declare
    asked  text := 'select sum(coalesce(pg_stat_get_xact_tuples_fetched(c.oid), 0)
                               + coalesce(pg_stat_get_xact_tuples_returned(c.oid),
                                          0)),
                           sum(pg_stat_get_xact_tuples_updated(c.oid))
                      from pg_class c
                     where c.oid in (select i.indexrelid from pg_index i
                                      where i.indrelid = any ($1))
                        or c.oid = any ($1)';
    tables oid[] := array['tenon.session', 'tenon.member',
                          'tenon.tenant']::regclass[];
    r      bigint;
    c      bigint;
begin
    execute asked into r, c using tables;
    result := as_api(call);
    execute asked into reads, changes using tables;
    reads   := reads - r;
    changes := changes - c;
end
$$;

savepoint sign_in;

select unnest(array[
       is(c.result, '3', 'a sign-in ends where it had sessions'),
       cmp_ok(c.reads, '<', 50::bigint, 'and reads no others'),
       is(c.changes, 3::bigint, 'nor changes any')])
  from who, costs(format(
      '(select count(*) from tenon.end_families(%L, %L, %L, null, ''test''))',
      realm_id, user_id, array['01900000-0000-7000-8009-0000000eee03'])) c;

rollback to sign_in;

select unnest(array[
       cmp_ok(c.reads, '<', 20000::bigint,
              'one that had too many reads a bounded number'),
       cmp_ok(c.changes, '<=', 1001::bigint, 'and changes a thousand'),
       cmp_ok(c.result::int, '<=', 1250, 'of which these hear and a thousand')])
  from who, costs(format(
      '(select count(*) from tenon.end_families(%L, %L, %L, null, ''test''))',
      realm_id, user_id, array['01900000-0000-7000-8009-0000000eee04'])) c;

rollback to sign_in;

select unnest(array[
       is(c.result, 't42', 'one tenant is found by its name'),
       cmp_ok(c.reads, '<', 20::bigint, 'without a look at all others')])
  from who, costs(format('(select f.name from tenon.find_membership(%L, %L, '
                         '''org42'') f)', realm_id, user_id)) c;


-- Founders

update tenon.tenant set deleted_at = now()
 where slug ~ '^org[0-9]' and substr(slug, 4)::int > 999;
update tenon.tenant set created_by = null
  from who
 where created_by = who.user_id and slug !~ '^org[0-9]';

create function tap.refused()
returns text
language sql
as $$
    select as_api(format('tenon.founding_refused(%L, %L)', realm_id, user_id))
      from who
$$;

select is(refused(), null, 'with 999 living ones one may found another');
update tenon.tenant set deleted_at = null where slug = 'org1000';
select matches(refused(), '^limit_reached: .*1,000', 'a thousand are enough');
update tenon.tenant set deleted_at = now()
 where slug ~ '^org[0-9]' and substr(slug, 4)::int > 500;
update tenon.tenant set created_at = now() - interval '23 hours'
 where slug ~ '^org[0-9]' and substr(slug, 4)::int between 900 and 998;
select is(refused(), null, 'and 99 within a day');
update tenon.tenant set created_at = now() - interval '23 hours'
 where slug = 'org999';
select matches(refused(), '^limit_reached: .* 100 .*tomorrow',
               'a hundred are enough, be they deleted');

rollback to sign_in;


-- API keys that a time has revoked

insert into tenon.api_key (tenant_id, id, name, scopes, created_by,
                           created_at)
select :acme, '01900000-0000-7000-800d-000000000001', 'k',
       array['tenon.member:read'], user_id, now()
  from who;

create function tap.keys()
returns text
language sql
as $$
    select as_api(format('tenon.api_key_count(%L)', user_id)) || ' '
           || run('tenon_api', acme(),
                  'select count(*) from tenon.api_key_view where id = '
                  '''01900000-0000-7000-800d-000000000001''')
      from who
$$;

select is(keys(), '1 1', 'an API key is counted and shown');
update tenon."user" u set api_keys_from = clock_timestamp()
  from who where u.id = who.user_id;
select is(keys(), '0 0', 'not one that has been revoked with all');


-- Accounts

set session_replication_role = replica;

insert into tenon.account (tenant_id, id, parent_id, name)
select :acme, ('01900000-0000-7000-800a-' || lpad(n::text, 12, '0'))::uuid,
       ('01900000-0000-7000-800a-' || lpad(above::text, 12, '0'))::uuid, 'a'
  from (values (1, null), (11, 1), (111, 11), (112, 11), (12, 1), (2, null),
               (21, 2)) as a (n, above);

insert into tenon.account_member (tenant_id, account_id, user_id, role)
select :acme, ('01900000-0000-7000-800a-' || lpad(n::text, 12, '0'))::uuid,
       ('01900000-0000-7000-800b-00000000000' || who)::uuid, 'account_user'
  from (values (1, 11), (1, 111), (1, 2), (2, 21), (3, 1)) as h (who, n);

set session_replication_role = origin;

select is(as_api(format('tenon.reached(%L, %L, %L)', acme(), users, also)),
          want, 'reached: ' || want || ' ' || coalesce(also::text, ''))
  from (values
        (array['01900000-0000-7000-800b-000000000001'], null::uuid, '5'),
        (array['01900000-0000-7000-800b-000000000001',
               '01900000-0000-7000-800b-000000000002'], null, '5'),
        (array['01900000-0000-7000-800b-000000000001'],
         '01900000-0000-7000-800a-000000000001', '7'),
        (array['01900000-0000-7000-800b-000000000002'],
         '01900000-0000-7000-800a-000000000012', '2'),
        (array['01900000-0000-7000-800b-000000000009'], null, '0'))
    as t (users, also, want);

select * from finish();

rollback;
