-- The look-ups made before the tenant is known: what they find, and that
-- nobody can bend them.

begin;

select plan(77);

select results_eq(
    $$ select p.proname::text collate "default",
              p.proowner::regrole::text,
              p.proconfig collate "default",
              p.provolatile::text
         from pg_proc p
        where p.pronamespace = 'tenon'::regnamespace and p.prosecdef
        order by p.proname collate "C" $$,
    $$ values
       ('add_usage',         'tenon_owner',  '{search_path=pg_catalog}'::text[], 'v'),
       ('cancel_subscriptions', 'tenon_owner', '{search_path=pg_catalog}', 'v'),
       ('count_usage',       'tenon_owner',  '{search_path=pg_catalog}', 'v'),
       ('due_entitlements',  'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('enter_billing_customer', 'tenon_lookup', '{search_path=pg_catalog}', 'v'),
       ('enter_billing_ref', 'tenon_lookup', '{search_path=pg_catalog}', 'v'),
       ('enter_domain',      'tenon_lookup', '{search_path=pg_catalog}', 'v'),
       ('every_tenant',      'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_api_key',      'tenon_lookup', '{search_path=pg_catalog}', 'v'),
       ('find_billing_tenant', 'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_cookie',       'tenon_lookup', '{search_path=pg_catalog}', 'v'),
       ('find_identity',     'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_key_tenants',  'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_membership',   'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_memberships',  'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_newest_tenants', 'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_open_sessions', 'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_plan',         'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_session',      'tenon_lookup', '{search_path=pg_catalog}', 'v'),
       ('find_sign_ins',     'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_subject',      'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_tenant',       'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_tenant_by_domain', 'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_tenant_by_id', 'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('find_user_tenants', 'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('founding_refused',  'tenon_lookup', '{search_path=pg_catalog}', 'v'),
       ('held_accounts',     'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('keep_anchor',       'tenon_owner',  '{search_path=pg_catalog}', 'v'),
       ('log_billing_session', 'tenon_owner', '{search_path=pg_catalog}', 'v'),
       ('log_change',        'tenon_owner',  '{search_path=pg_catalog}', 'v'),
       ('log_identity',      'tenon_owner',  '{search_path=pg_catalog}', 'v'),
       ('log_inbound',       'tenon_owner',  '{search_path=pg_catalog}', 'v'),
       ('log_usage',         'tenon_owner',  '{search_path=pg_catalog}', 'v'),
       ('mark_entitlement',  'tenon_owner',  '{search_path=pg_catalog}', 'v'),
       ('move_shares',       'tenon_owner',  '{search_path=pg_catalog}', 'v'),
       ('own_roles',         'tenon_lookup', '{search_path=pg_catalog}', 's'),
       ('refetch_subscriptions', 'tenon_owner', '{search_path=pg_catalog}', 'v'),
       ('tell_inbound',      'tenon_owner',  '{search_path=pg_catalog}', 'v') $$,
    'definer functions are tenon_lookup''s, but for triggers and what counts, '
    'with a fixed search_path');

select is(run(role, '', $$ select tenon.find_tenant('acme') $$), '42501',
          format('%s can''t call them', role))
  from unnest(array['tenon_owner', 'tenon_feed', 'tenon_worker']) as role;

select is(run(role, '', 'select count(*) from tenon.every_tenant()'), want,
          format('%s and the list of tenants', role))
  from (values ('tenon_owner',  '3'),
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

create function tap.cookie(generation int)
returns text
language sql
as $$
    select run('tenon_api', '', format(
        'select slug || '' '' || role || '' '' || generation
           from tenon.find_cookie(%L, %L, %s)',
        acme(), '01900000-000a-7000-8000-000000000601', generation))
$$;

select is(tap.cookie(0), null, 'by no cookie: it is one of tokens');

savepoint whole;

update tenon.session
   set kind = 'cookie', generation = 4, rotated_at = now();
select is(tap.cookie(4), 'acme member 4', 'a cookie''s is, by its generation');
select is(tap.cookie(3), null, 'not by the one before, not for a second');
select is(tap.cookie(5), null, 'nor by one that is to come');
rollback to whole;

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

update tenon.tenant set deleted_at = now() where slug <> 'platform';
select is(tap.session(), null, 'nor with its tenant deleted');
select is(run('tenon_api', '', $$ select slug
                                    from tenon.find_tenant('acme') $$),
          null, 'and a deleted tenant is not found at all');
rollback to whole;

update tenon.tenant set status = 'suspended' where slug <> 'platform';
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

-- Identities at providers outside

create function tap.subject(subject text, tenant text default 'acme',
                            email text default null, issuer text default 'i')
returns text
language sql
as $$
    select run('tenon_api', '', format(
        'select slug || '' '' || status || '' ''
                || coalesce(right(user_id::text, 3) || '' ''
                            || coalesce(right(identity_id::text, 3), ''new''),
                            ''nobody'')
           from tenon.find_subject(%L, %L, %L, %L)',
        issuer, subject, tenant, email))
$$;

create function tap.identity(tenant text default acme())
returns text
language sql
as $$
    select run('tenon_api', '', format(
        'select slug || '' '' || status || '' '' || role
           from tenon.find_identity(%L, %L)',
        tenant, '01900000-000a-7000-8000-000000000701'))
$$;

insert into tenon.user_identity (realm_id, id, issuer, subject, user_id)
values (realm()::uuid, '01900000-000a-7000-8000-000000000701', 'i', 's',
        '01900000-000a-7000-8000-000000000203');

select is(tap.subject('s'), 'acme active 203 701', 'a subject is found');
select is(tap.subject('s', acme()), 'acme active 203 701', 'by a tenant''s id');
select is(tap.subject('S'), 'acme active nobody', 'letter by letter');
select is(tap.subject('s', issuer => 'j'), 'acme active nobody',
          'of its issuer only');
select is(tap.subject('s', 'nobody'), null, 'in a tenant that there is');
select is(tap.identity(), 'acme active member', 'who that is, too');
select is(tap.identity(globex()), null, 'where they are a member');

update tenon."user" set email = 'new@acme.test'
 where id = '01900000-000a-7000-8000-000000000202';
savepoint unverified;
select is(tap.subject('t', email => 'new@acme.test'), 'acme active nobody',
          'an address that wasn''t verified links nobody');
update tenon."user" set email_verified_at = now();
select is(tap.subject('t', email => 'new@acme.test'), 'acme active 202 new',
          'one that was does');
select is(tap.subject('s', email => 'new@acme.test'), 'acme active 203 701',
          'but changes no identity');
select is(tap.subject('t'), 'acme active nobody', 'nor does none');
update tenon."user" set status = 'disabled';
select is(tap.subject('t', email => 'new@acme.test'), 'acme active nobody',
          'nor that of one who is disabled');
rollback to unverified;
update tenon."user" set email_verified_at = now();
update tenon.member set deleted_at = now();
select is(tap.subject('t', email => 'new@acme.test'), 'acme active nobody',
          'nor that of one who left');
select is(tap.identity(), null, 'whose identity counts no more');
rollback to unverified;
update tenon."user" set status = 'disabled';
select is(tap.identity(), null, 'nor that of one who is disabled');
rollback to unverified;
update tenon.tenant set deleted_at = now() where slug <> 'platform';
select is(tap.identity(), null, 'nor in a tenant that is deleted');
rollback to unverified;
update tenon.tenant set status = 'suspended' where slug <> 'platform';
select is(tap.identity(), 'acme suspended member', 'a suspended one says so');
rollback to unverified;

select is((select count(*) from tenon.event
            where action = 'user.identity_linked' and tenant_id = acme()::uuid
              and resource_id = '01900000-000a-7000-8000-000000000203'),
          1::bigint, 'a link made by hand is in the log');
update tenon.user_identity set unlinked_at = now();
select is((select count(*) from tenon.event
            where action = 'user.identity_unlinked'
              and tenant_id = acme()::uuid),
          1::bigint, 'and that it was taken away');
select is(tap.identity(), null, 'which counts no more');
update tenon."user" set email_verified_at = now()
 where email = 'new@acme.test';
select is(tap.subject('s', email => 'new@acme.test'), 'acme active nobody',
          'and a verified address links nobody to it');
delete from tenon.user_identity;

-- API keys

insert into tenon.api_key (tenant_id, id, name, scopes, created_by)
values (acme()::uuid, '01900000-000a-7000-8000-000000000702', 'key',
        '{tenon.member:read,tenon.member:delete:own,tenon.gone:read}',
        '01900000-000a-7000-8000-000000000203');

insert into tenon.api_key_secret (tenant_id, api_key_id, hash, ends_at)
values (acme()::uuid, '01900000-000a-7000-8000-000000000702',
        decode(repeat('11', 32), 'hex'), null),
       (acme()::uuid, '01900000-000a-7000-8000-000000000702',
        decode(repeat('22', 32), 'hex'), now() + interval '10 seconds');

create function tap.api_key(hash text default '11', tenant text default acme())
returns text
language sql
as $$
    select run('tenon_api', '', format(
        'select slug || '' '' || role || '' ''
                || (select string_agg(p.name || right(one, 1), '' ''
                                      order by p.name)
                      from unnest(string_to_array(k.scopes, '','')) one
                      join tenon.permission p
                        on p.number = rtrim(one, ''to'')::int)
                || '' '' || coalesce(ttl_ms::text, ''for good'')
           from tenon.find_api_key(%L, %L, %L, %L) k',
        tenant, '01900000-000a-7000-8000-000000000702',
        '\x' || repeat(hash, 32), '192.0.2.1'))
$$;

select is(tap.api_key(),
          'acme member tenon.member:deleteo tenon.member:readt for good',
          'an API key is found by its secret, with its scopes');
select is(tap.api_key('22'),
          'acme member tenon.member:deleteo tenon.member:readt 10000',
          'and by the one before, for a while');
select is(tap.api_key('33'), null, 'not by another');
select is(tap.api_key('11', globex()), null, 'nor in another tenant');
select is((select host(last_used_ip) from tenon.api_key_secret
            where ends_at is null), '192.0.2.1', 'its use is written down');
select is(run('tenon_api', acme(), 'select hash from tenon.api_key_secret'),
          '42501', 'the API can''t read the hashes');

savepoint key;

update tenon.api_key_secret set ends_at = now() where ends_at is not null;
select is(tap.api_key('22'), null, 'a secret ends with its overlap');

update tenon.api_key set expires_at = now();
select is(tap.api_key(), null, 'a key when it expires');
rollback to key;

update tenon.api_key set deleted_at = now();
select is(tap.api_key(), null, 'or is revoked');
rollback to key;

update tenon.member set created_at = now() + interval '1 microsecond'
 where user_id = '01900000-000a-7000-8000-000000000203';
select is(tap.api_key(), null, 'or its maker became a member later');
rollback to key;

update tenon."user" set status = 'disabled';
select is(tap.api_key(), null, 'or is disabled');
rollback to key;


delete from tenon.member where user_id = '01900000-000a-7000-8000-000000000203';
select is((select count(*) from tenon.session), 0::bigint,
          'a member deleted for good takes their sessions along');


select * from finish();

rollback;
