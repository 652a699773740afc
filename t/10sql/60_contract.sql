-- Invitations, outcomes kept under a key, people as the API shows them, a
-- tenant made from another one, and the purge.

begin;

select plan(48);

\set acme   '''01900000-000a-7000-8000-000000000001'''
\set globex '''01900000-000b-7000-8000-000000000001'''
\set alice  '''01900000-000a-7000-8000-000000000201'''
\set bob    '''01900000-000a-7000-8000-000000000202'''


-- Idempotency ----------------------------------------------------------------

create function tap.keep(tenant text, fingerprint text default '\x01')
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'insert into tenon.idempotency (tenant_id, key, fingerprint, outcome)
         values (%L, ''\x0a'', %L, ''{"id": "1"}'')
             on conflict (tenant_id, key) do update
            set fingerprint = excluded.fingerprint,
                outcome = excluded.outcome, at = now()', tenant, fingerprint))
$$;

select is(tap.keep(acme()),   '1', 'an outcome is kept');
select is(tap.keep(globex()), '1', 'another tenant''s equal key is its own');
select is(tap.keep(acme(), '\x02'), '1', 'one that has run out is kept anew');

select is(run('tenon_api', tenant,
              'select string_agg(fingerprint::text, '','')
                 from tenon.idempotency'), want, 'a tenant sees its own')
  from (values (acme(), '\x02'), (globex(), '\x01')) as t (tenant, want);

select is(run('tenon_api', globex(),
              $$ insert into tenon.idempotency
                        (tenant_id, key, fingerprint, outcome)
                 values (tap.acme()::uuid, '\x0b', '', '{}') $$), '42501',
          'and keeps nothing for another');

select is(run('tenon_api', acme(), 'delete from tenon.idempotency'), '42501',
          'the API forgets nothing');


-- Invitations ----------------------------------------------------------------

create function tap.invite(email text, tenant text default acme(),
                           expires text default '7 days')
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'insert into tenon.invitation (tenant_id, realm_id, email, role,
                                       invited_by, expires_at)
         values (%L, %L, %L, ''member'',
                 ''01900000-000a-7000-8000-000000000201'',
                 now() + interval %L)',
        tenant, realm(), email, expires))
$$;

select is(tap.invite('eve@acme.test'), '1', 'an address is invited');
select is(tap.invite('eve@acme.test'), '23505', 'once at a time');
select is(tap.invite('eve@acme.test', globex()), '1',
          'and by another tenant, too');
select is(tap.invite('Eve@acme.test'), '23514', 'in one spelling');
select is(tap.invite('old@acme.test', expires => '-1 second'), '1',
          'one that has expired');
select is(tap.invite('gone@acme.test'), '1', 'one that will be revoked');

select is(run('tenon_api', acme(),
              $$ update tenon.invitation set deleted_at = now()
                  where email = 'gone@acme.test' $$), '1', 'which it is');

select is(run('tenon_api', acme(),
              $$ select string_agg(email || ' ' || status, ', '
                                   order by email)
                   from tenon.invitation_view $$),
          'eve@acme.test pending, old@acme.test expired',
          'the living are shown, and what they are now');

select is(tap.invite('gone@acme.test'), '1',
          'who was revoked can be invited again');

select is(run('tenon_api', acme(),
              $$ update tenon.invitation set email = 'x' $$), '42501',
          'whom it is for stays');
select is(run('tenon_api', globex(),
              $$ update tenon.invitation set deleted_at = now()
                  where tenant_id = tap.acme()::uuid $$), '0',
          'another tenant can''t revoke it');

select is(run('tenon_owner', acme(),
              $$ update tenon.invitation set deleted_at = now()
                  where email = 'old@acme.test' $$), '1',
          'the owner revokes one by hand');
select results_eq(
    $$ select e.action collate "default", e.version, e.before ->> 'status',
              e.before ? 'realm_id' or e.before ? 'tenant_id'
         from tenon.audit_event e where e.resource = 'tenon.invitation' $$,
    $$ values ('invitation.deleted', 2::bigint, 'pending', false) $$,
    'which is logged, and says no realm');


-- People ---------------------------------------------------------------------

set local tenon.realm = '00000000-0000-7000-8000-000000000001';

select is(run('tenon_api', acme(),
              $$ select string_agg(name || ' ' || email || ' ' || role, ', '
                                   order by name) from tenon.member_view $$),
          'Alice alice@acme.test owner, Bob bob@acme.test admin, '
          'Carol carol@acme.test member', 'members have names and addresses');
select is(run('tenon_api', '', 'select count(*) from tenon.member_view'), '0',
          'of no tenant there are none');

create function tap.access(want text, who text default 'bob@acme.test',
                           tenant text default acme())
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'select %s from tenon.access_view where email = %L', want, who))
$$;

select is(tap.access('role || '' '' || granted_by || '' ''
                      || (granted_at = created_at)'),
          'admin 01900000-000a-7000-8000-000000000201 true',
          'who gave a role is known from the log');

set local tenon.actor = '01900000-000a-7000-8000-000000000203';
select run('tenon_api', acme(), $$
    select count(tenon.log_event(tenon.uuid7(), action, 'tenon.member',
                                 '01900000-000a-7000-8000-000000000302', 1,
                                 null, null, null, '\x00', outcome))
      from (values ('member.role_changed', 'refused'),
                   ('member.invited', 'success')) as t (action, outcome) $$)
       as ignored \gset

select is(tap.access('granted_by'), '01900000-000a-7000-8000-000000000201',
          'what was refused, or is no grant, changed nothing');

update tenon.event set at = at - interval '1 hour'
 where tenant_id = :acme and action = 'member.created';
select run('tenon_api', acme(), $$
    select tenon.log_event(tenon.uuid7(), 'member.role_changed',
                           'tenon.member',
                           '01900000-000a-7000-8000-000000000302', 2, null,
                           null, null, '\x00') $$) as ignored \gset

select is(tap.access('granted_by'), '01900000-000a-7000-8000-000000000203',
          'the last change counts');

savepoint whole;
select run('tenon_api', acme(), $$
    select tenon.log_event(tenon.uuid7(), 'member.joined', 'tenon.member',
                           '01900000-000a-7000-8000-000000000302', 3, null,
                           null, null, '\x00') $$) as ignored \gset
update tenon.event set at = at + interval '1 second'
 where action = 'member.joined';
select is(tap.access('granted_by'), '01900000-000a-7000-8000-000000000201',
          'of one who joined it is who invited, not who joined');

update tenon.member set deleted_at = now()
 where id = '01900000-000a-7000-8000-000000000302';
select is(tap.access('count(*)'), '0', 'one who left has no access');
select is(run('tenon_api', acme(), 'select count(*) from tenon.member_view'),
          '2', 'and is no member');
rollback to whole;

select is(tap.access('(permissions -> 0)::text'),
          '{"permission" : "teamos.comment:create", "scope" : "tenant"}',
          'permissions are named, with their scope');
select is(tap.access('(select string_agg(p ->> ''permission'', '' '')
                         from json_array_elements(permissions) p
                        where p ->> ''scope'' = ''own''
                          and p ->> ''permission'' like ''tenon.member%'')',
                     'carol@acme.test'),
          'tenon.member:delete', 'a member may leave');
select is(tap.access('count(*)', 'bob@acme.test', globex()), '0',
          'and nobody reviews another tenant');

select set_eq(
    $$ select g.role || ' ' || p.name || ' ' || g.scope
         from tenon."grant" g join tenon.permission p on p.number = permission
        where g.app = 'tenon'
          and p.name !~ '^tenon\.(account|account_member|share):' $$,
    $$ select r || ' tenon.' || p || ' tenant'
         from unnest(array['owner', 'tenant_admin', 'admin', 'member',
                           'moderator', 'guest']) r,
              unnest(array['tenant:read', 'tenant:update', 'tenant:delete',
                           'tenant:transfer', 'member:read', 'member:create',
                           'member:update', 'member:delete',
                           'audit_event:read', 'invitation:read',
                           'invitation:create', 'invitation:delete',
                           'role:read', 'role:create', 'role:update',
                           'role:delete']) p
        where r = 'owner'
           or r = 'tenant_admin'
          and p not in ('tenant:delete', 'tenant:transfer')
           or r = 'admin'
          and (p in ('tenant:read', 'audit_event:read', 'role:read')
               or p like 'member:%' or p like 'invitation:%')
           or r in ('member', 'moderator')
          and p in ('tenant:read', 'member:read', 'role:read')
           or r = 'guest' and p = 'tenant:read'
       union all
       select r || ' tenon.api_key:' || p || ' tenant'
         from unnest(array['owner', 'admin', 'tenant_admin',
                           'super_admin']) r,
              unnest(array['read', 'create', 'update', 'delete']) p
       union all
       select r || ' tenon.domain:' || verb || ' tenant'
         from unnest(array['owner', 'super_admin', 'tenant_admin',
                           'admin']) r,
              unnest(array['read', 'create', 'delete']) verb
        where r <> 'admin' or verb = 'read'
       union all
       select r || ' tenon.job:' || verb || ' tenant'
         from unnest(array['owner', 'super_admin', 'tenant_admin',
                           'admin']) r,
              unnest(array['read', 'update']) verb
        where r <> 'admin' or verb = 'read'
        union all
       select r || ' tenon.billing:' || verb || ' tenant'
         from unnest(array['owner', 'super_admin']) r,
              unnest(array['read', 'update']) verb
        union all
       select r || ' tenon.usage:' || verb || ' tenant'
         from unnest(array['owner', 'super_admin', 'tenant_admin',
                           'admin']) r,
              unnest(array['read', 'create']) verb
        union all
       select r || ' tenon.flag:' || verb || ' tenant'
         from unnest(array['owner', 'super_admin', 'tenant_admin', 'admin',
                           'member', 'moderator', 'guest']) r,
              unnest(array['read', 'create', 'update', 'delete',
                           'evaluate']) verb
        where r in ('owner', 'super_admin', 'tenant_admin')
           or verb = 'evaluate'
       union all
       select 'super_admin tenon.' || p || ' tenant'
         from unnest(array['tenant:read', 'tenant:update',
                           'member:read', 'member:create', 'member:update',
                           'member:delete', 'audit_event:read',
                           'invitation:read', 'invitation:create',
                           'invitation:delete', 'role:read', 'role:create',
                           'role:update', 'role:delete', 'platform:read',
                           'platform:create', 'platform:update',
                           'platform:impersonate']) p
       union all
       values ('member tenon.member:delete own'),
              ('moderator tenon.member:delete own') $$,
    'roles may do on the platform what is written here, a second time');

select set_eq(
    $$ select g.role || ' ' || p.name || ' ' || g.scope
         from tenon."grant" g join tenon.permission p on p.number = permission
        where g.app = 'tenon'
          and p.name ~ '^tenon\.(account|account_member|share):' $$,
    $$ select r || ' tenon.' || p || ' tenant'
         from unnest(array['owner', 'super_admin', 'tenant_admin', 'admin',
                           'account_owner']) r,
              unnest(array['account:read', 'account:create', 'account:update',
                           'account:delete', 'account_member:read',
                           'account_member:create', 'account_member:update',
                           'account_member:delete', 'share:read',
                           'share:create', 'share:delete']) p
       union all
       values ('account_user tenon.account:read tenant'),
              ('account_user tenon.account_member:read tenant')
       union all
       select r || ' tenon.share:' || verb || ' own'
         from unnest(array['member', 'moderator', 'guest']) r,
              unnest(array['read', 'delete']) verb $$,
    'and in accounts, and of shares');


-- A further tenant -----------------------------------------------------------

create function tap.found(slug text, tenant text default acme())
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'select t.slug || '' '' || t.name || '' '' || t.version || '' ''
                || (current_setting(''tenon.tenant'') = %2$L)
           from tenon.create_tenant(
                ''01900000-000c-7000-8000-000000000001'', %3$L, %1$L,
                ''Initech'',
                ''01900000-000a-7000-8000-000000000202'',
                ''01900000-000c-7000-8000-000000000301'',
                ''01900000-000c-7000-8000-00000000e001'', ''\x00'',
                ''01900000-000c-7000-8000-00000000e002'', ''\x01'') t',
        slug, tenant, realm()))
$$;

select is(tap.found('acme'), '23505', 'a slug that is taken is taken');
select is(tap.found('wpad'), '23514', 'a reserved one is reserved');
select is(tap.found('initech'), 'initech Initech 1 true',
          'a tenant is made, and the one that asked stays the current one');

select results_eq(
    $$ select m.role collate "default", m.user_id::text, m.created_by::text
         from tenon.member m
        where m.tenant_id = '01900000-000c-7000-8000-000000000001' $$,
    $$ select 'owner', u, u
         from (values ('01900000-000a-7000-8000-000000000202')) as v (u) $$,
    'whoever made it owns it');
select set_eq(
    $$ select e.action collate "default", e.after ->> 'role', e.version
         from tenon.audit_event e
        where e.tenant_id = '01900000-000c-7000-8000-000000000001' $$,
    $$ values ('tenant.created', null,    1::bigint),
              ('member.created', 'owner', 1) $$,
    'both events are the new tenant''s');
select is(run('tenon_api', '', $$ select name
                                    from tenon.find_tenant('initech') $$),
          'Initech', 'and it is found');


-- Purge ----------------------------------------------------------------------

select is(run('tenon_worker', '', 'select tenon.purge()'), '0',
          'there is nothing to remove');

insert into tenon.idempotency (tenant_id, key, fingerprint, outcome, at)
select :acme, decode(lpad(to_hex(n), 4, '0'), 'hex'), '', '{}',
       now() - interval '23 hours' - n * interval '2 hours'
  from generate_series(0, 4) as n;

insert into tenon.login_attempt (realm_id, key, last_at)
select realm()::uuid, decode(lpad(to_hex(n), 4, '0'), 'hex'),
       now() - interval '29 days' - n * interval '2 days'
  from generate_series(0, 2) as n;

insert into tenon.session (tenant_id, id, realm_id, user_id, expires_at,
                           revoked_at)
select :acme, ('01900000-000a-7000-8000-00000000060' || n)::uuid,
       realm()::uuid, :alice, now() + expires::interval,
       now() + revoked::interval
  from (values (1, '1 hour',   null),
               (2, '-29 days', null),
               (3, '-31 days', null),
               (4, '1 hour',   '-31 days'),
               (5, '1 hour',   '-1 hour')) as s (n, expires, revoked);

insert into tenon.api_key (tenant_id, id, name, scopes, created_by,
                           expires_at, deleted_at)
select :acme, ('01900000-000a-7000-8000-00000000070' || n)::uuid, 'k' || n,
       '{tenon.tenant:read}', :alice, now() + expires::interval,
       now() + deleted::interval
  from (values (1, null,       null),
               (2, '1 hour',   null),
               (3, '-29 days', null),
               (4, '-31 days', null),
               (5, null,       '-29 days'),
               (6, null,       '-31 days'),
               (7, '1 hour',   '-31 days')) as k (n, expires, deleted);

insert into tenon.api_key_secret (tenant_id, api_key_id, hash)
select tenant_id, id, decode(repeat(right(id::text, 2), 32), 'hex')
  from tenon.api_key
 where name in ('k1', 'k3', 'k4');

create temporary table before as select count(*) as n from tenon.event;

select is(run('tenon_worker', '', 'select tenon.purge(3)'), '10',
          'what has run out is removed, so many of a kind');
select is(run('tenon_worker', '', 'select tenon.purge(3)'), '1',
          'and the rest the next time');
select is(run('tenon_worker', '', 'select tenon.purge(3)'), '0',
          'until nothing is left');

select set_eq(
    $$ select right(id::text, 3) from tenon.session
        where user_id = '01900000-000a-7000-8000-000000000201'
       union all
       select 'k' || encode(key, 'hex') from tenon.idempotency
       union all
       select 'a' || encode(key, 'hex') from tenon.login_attempt
       union all
       select name from tenon.api_key where name ~ '^k.$'
       union all
       select 's' || encode(substr(hash, 1, 1), 'hex')
         from tenon.api_key_secret $$,
    array['601', '602', '605', 'k0000', 'k0a', 'a0000',
          'k1', 'k2', 'k3', 'k5', 's01', 's03'],
    'and nothing else');

select is((select count(*) from tenon.event), n,
          'that a session or a key ended is not logged twice') from before;

select is(run('tenon_worker', '', 'delete from tenon.' || t), '0',
          'what hasn''t run out is none of the worker''s: ' || t)
  from unnest(array['session', 'api_key']) as t;
select is(run('tenon_api', acme(), 'select tenon.purge()'), '42501',
          'nor the API''s to purge');


select * from finish();

rollback;
