-- What ends with a user, however much it is; who reaches how many accounts.

begin;

select plan(19);

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

select ok(as_api(format('tenon.make_room(%L, %L)', acme(), user_id))
          is not null, 'room is made')
  from who;
select ok(not counts('01900000-0000-7000-8009-000000000b54'),
          'the hundred and first has gone');
select ok(counts('01900000-0000-7000-8009-000000000b55'),
          'the hundredth is there');


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

select is(as_api(format('tenon.image(''tenon."user"''::regclass, %L)',
                        to_jsonb(u)))::jsonb
          ?| array['sessions_from', 'session_kept', 'api_keys_from'],
          false, 'no event tells which')
  from tenon."user" u
  join who on who.user_id = u.id;


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
