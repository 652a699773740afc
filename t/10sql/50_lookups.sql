-- The look-ups made before the tenant is known: what they find, and that
-- nobody can bend them.

begin;

select plan(41);

select results_eq(
    $$ select p.proname::text collate "default",
              p.proowner::regrole::text,
              p.proconfig collate "default",
              p.provolatile::text
         from pg_proc p
        where p.pronamespace = 'tenon'::regnamespace and p.prosecdef
        order by p.proname collate "C" $$,
    $$ values
       ('every_tenant',      'tenon_lookup', '{search_path=pg_catalog}'::text[], 's'),
       ('find_membership',   'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_memberships',  'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_session',      'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_tenant',       'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_tenant_by_id', 'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_user_tenants', 'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('log_change',        'tenon_owner',  '{search_path=pg_catalog}', 'v') $$,
    'definer functions are tenon_lookup''s, but for the trigger that logs, '
    'with a fixed search_path');

select is(run(role, '', $$ select tenon.find_tenant('acme') $$), '42501',
          format('%s can''t call them', role))
  from unnest(array['tenon_owner', 'tenon_feed', 'tenon_worker']) as role;

select is(run(role, '', 'select count(*) from tenon.every_tenant()'), want,
          format('%s and the list of tenants', role))
  from (values ('tenon_owner',  '2'),
               ('tenon_api',    '42501'),
               ('tenon_app',    '42501'),
               ('tenon_feed',   '42501'),
               ('tenon_worker', '42501')) as t (role, want);

select is(run('tenon_lookup', '', 'select password_hash from tenon."user"'),
          '42501', 'their owner can''t read a password hash');


-- Tenants

select is(run('tenon_api', '', $$ select slug || ' ' || status || ' ' || name
                                    from tenon.find_tenant('acme') $$),
          'acme active Acme Inc.', 'a tenant is found by its slug');

select is(run('tenon_api', '', $$ select tenant_id
                                    from tenon.find_tenant('nobody') $$),
          null, 'an unknown one is not');

select is(run('tenon_api', '', $$ select slug from
                                  tenon.find_tenant_by_id(tap.globex()::uuid) $$),
          'globex', 'or by its id');


-- Memberships

insert into tenon.member (tenant_id, realm_id, user_id, role)
values (globex()::uuid, realm()::uuid, '01900000-000a-7000-8000-000000000202',
        'member');

create function tap.tenants(who text)
returns text
language sql
as $$
    select run('tenon_api', globex(), format(
        'select string_agg(slug || '' '' || role, '', '' order by slug)
           from tenon.find_memberships(%L, %L)',
        tap.realm(), '01900000-000a-7000-8000-000000000' || who))
$$;

create function tap.membership(who text, ref text, realm text default realm())
returns text
language sql
as $$
    select run('tenon_api', '', format(
        'select slug || '' '' || status || '' '' || role
           from tenon.find_membership(%L, %L, %L)',
        realm, '01900000-000a-7000-8000-000000000' || who, ref))
$$;

select is(tap.tenants('202'), 'acme admin, globex member',
          'a user''s tenants are found, whichever asks');
select is(tap.tenants('203'), 'acme member', 'and of each user their own');

select is(tap.membership('202', 'globex'), 'globex active member',
          'one of them by its slug');
select is(tap.membership('202', acme()), 'acme active admin', 'or by its id');
select is(tap.membership('202', upper(acme())), 'acme active admin',
          'however that is written');
select is(tap.membership('203', 'globex'), null,
          'not one that the user is no member of');
select is(tap.membership('203', globex()), null, 'by its id neither');
select is(tap.membership('202', 'nobody'), null, 'nor one that isn''t there');
select is(tap.membership('202', 'acme', globex()), null,
          'nor that of a user of another realm');
select is(tap.membership('202', null), null, 'nor one that isn''t named');

savepoint whole;
update tenon.tenant set deleted_at = now() where slug = 'globex';
select is(tap.tenants('202'), 'acme admin', 'a deleted one is no more');
select is(tap.membership('202', 'globex'), null, 'named neither');
rollback to whole;

update tenon.tenant set status = 'suspended' where slug = 'globex';
select is(tap.membership('202', 'globex'), 'globex suspended member',
          'a suspended one says so');
rollback to whole;

update tenon.member set deleted_at = now() where tenant_id = globex()::uuid;
select is(tap.tenants('202'), 'acme admin', 'nor is one that the user left');
select is(tap.membership('202', 'globex'), null, 'named neither');
select set_eq(
    $$ select tenon.find_user_tenants(tap.realm()::uuid,
              '01900000-000a-7000-8000-000000000202')::text $$,
    array[acme()], 'a change to the user doesn''t concern it');
rollback to whole;


-- Sessions

insert into tenon.session (tenant_id, id, realm_id, user_id, expires_at)
values (acme()::uuid, '01900000-000a-7000-8000-000000000601', realm()::uuid,
        '01900000-000a-7000-8000-000000000203', now() + interval '1 hour');

create function tap.session(tenant text default acme())
returns text
language sql
as $$
    select run('tenon_api', '', format(
        'select slug || '' '' || status || '' '' || role
           from tenon.find_session(%L, %L)',
        tenant, '01900000-000a-7000-8000-000000000601'))
$$;

select is(tap.session(), 'acme active member', 'a session is found');
select is(tap.session(globex()), null, 'in its own tenant only');

savepoint whole;

update tenon.session set expires_at = now();
select is(tap.session(), null, 'expired, it is not');
rollback to whole;

update tenon.session set revoked_at = now();
select is(tap.session(), null, 'nor revoked');
rollback to whole;

update tenon."user" set status = 'disabled';
select is(tap.session(), null, 'nor with its user disabled');
rollback to whole;

update tenon."user" set deleted_at = now();
select is(tap.session(), null, 'nor deleted');
rollback to whole;

update tenon.tenant set deleted_at = now();
select is(tap.session(), null, 'nor with its tenant deleted');
select is(run('tenon_api', '', $$ select slug
                                    from tenon.find_tenant('acme') $$),
          null, 'and a deleted tenant is not found at all');
rollback to whole;

update tenon.tenant set status = 'suspended';
select is(tap.session(), 'acme suspended member',
          'with its tenant suspended, it says so');
rollback to whole;

update tenon.member set deleted_at = now()
 where user_id = '01900000-000a-7000-8000-000000000203';
select is(tap.session(), null, 'nor when its user is no member any more');

update tenon.member set deleted_at = null,
                        created_at = now() + interval '1 microsecond'
 where user_id = '01900000-000a-7000-8000-000000000203';
select is(tap.session(), null, 'nor one of a membership that began later');
rollback to whole;

delete from tenon.member where user_id = '01900000-000a-7000-8000-000000000203';
select is((select count(*) from tenon.session), 0::bigint,
          'a member deleted for good takes their sessions along');


select * from finish();

rollback;
