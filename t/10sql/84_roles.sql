-- Roles by what they hold: which covers which, what may be put into one, and
-- what a tenant's own are worth.

begin;

select plan(36);

\set acme '\'01900000-000a-7000-8000-000000000001\''

create function tap.as_acme(want text)
returns text
language sql
as $$ select run('tenon_api', acme(), 'select ' || want) $$;

create function tap.covers(giver text, given text)
returns boolean
language sql
as $$
    select as_acme(format('tenon.role_covers(%L, %L, %L)', acme(), giver,
                          given))::boolean
$$;


-- The shipped ones

select set_eq(
    $$ select g.name || ' ' || r.name
         from unnest(array['owner', 'tenant_admin', 'admin', 'member',
                           'moderator', 'guest', 'super_admin']) g (name),
              unnest(array['owner', 'tenant_admin', 'admin', 'member',
                           'moderator', 'guest', 'super_admin']) r (name)
        where tap.covers(g.name, r.name) $$,
    $$ values ('owner owner'), ('owner tenant_admin'), ('owner admin'),
              ('owner member'), ('owner moderator'), ('owner guest'),
              ('tenant_admin tenant_admin'), ('tenant_admin admin'),
              ('tenant_admin member'), ('tenant_admin moderator'),
              ('tenant_admin guest'),
              ('admin admin'), ('admin member'), ('admin moderator'),
              ('admin guest'),
              ('member member'), ('member moderator'), ('member guest'),
              ('moderator moderator'), ('moderator guest'),
              ('guest guest'),
              ('super_admin super_admin'), ('super_admin moderator'),
              ('super_admin guest') $$,
    'who may give which of the shipped roles');

select is(tap.covers(null, 'guest'), false, 'nobody gives nothing');
select is(tap.covers('gone', 'guest'), false, 'nor does a role that is none');
select is(tap.covers('guest', 'gone'), true, 'which can be taken by anybody');

select is(as_acme(format('tenon.role_level(%L, %L)', acme(), name)), level,
          coalesce(level, 'none') || ': ' || name)
  from (values ('owner', 'tenant'), ('account_user', 'account'),
               ('super_admin', 'platform'), ('gone', null)) as t (name, level);

select is(as_acme(format('tenon.is_member_role(%L, %L)', tenant, name)), want,
          format('members of %s hold %s: %s', tenant, name, want))
  from (values (acme(), 'guest', 'true'), (acme(), 'account_user', 'false'),
               (acme(), 'super_admin', 'false'), (acme(), 'gone', 'false'),
               ('00000000-0000-7000-8000-000000000002', 'super_admin',
                'true')) as t (tenant, name, want);


-- What apps allow

create function tap.tasks(who text)
returns bigint
language sql
as $$
    select count(*)
      from tenon.shipped_grant g
      join tenon.permission p on p.number = g.permission
     where g.role = who and p.name like 'teamos.task:%'
$$;

select is(tap.tasks('tenant_admin'), tap.tasks('owner'),
          'a tenant admin may in an app what its owner may');

savepoint said;
insert into tenon."grant" (role, permission, scope, app)
select 'tenant_admin', number, 'own', 'teamos'
  from tenon.permission where name = 'teamos.task:read';
select is(tap.tasks('tenant_admin'), 1::bigint,
          'unless the app says otherwise, there');
select is(tap.covers('tenant_admin', 'member'), true,
          'though it hands on what others may');
rollback to said;

select throws_like(
    $$ insert into tenon."grant" (role, permission, scope, app)
       select 'super_admin', number, 'tenant', 'teamos'
         from tenon.permission where name = 'teamos.task:read' $$,
    'role super_admin is held on the platform, not in a tenant',
    'an app allows the platform''s roles nothing');


-- A tenant's own

create function tap.refused(giver text, grants jsonb)
returns text
language sql
as $$
    select as_acme(format('tenon.grants_refused(%L, %L, %L, %L)', acme(),
                          giver, grants, '/p'))
$$;

create function tap.has(variadic names text[])
returns jsonb
language sql
as $$
    select jsonb_agg(jsonb_build_object('permission', split_part(n, ' ', 1),
                                        'scope', split_part(n, ' ', 2)))
      from unnest(names) as n
$$;

insert into tenon.tenant_role (tenant_id, id, name, title)
values (:acme, '01900000-000a-7000-8000-000000000f01', 'wide', 'Wide'),
       (:acme, '01900000-000a-7000-8000-000000000f02', 'narrow', 'Narrow'),
       (:acme, '01900000-000a-7000-8000-000000000f03', 'empty', 'Empty');

select tenon.set_role_grants(:acme, id, grants)
  from (values ('01900000-000a-7000-8000-000000000f01'::uuid,
                tap.has('teamos.task:update tenant',
                        'teamos.task:read tenant')),
               ('01900000-000a-7000-8000-000000000f02',
                tap.has('teamos.task:update own'))) as t (id, grants)
\g /dev/null

select is(tap.covers(giver, given), want,
          format('%s covers %s: %s', giver, given, want))
  from (values ('wide', 'narrow', true), ('narrow', 'wide', false),
               ('member', 'narrow', true), ('member', 'wide', false),
               ('admin', 'wide', true), ('narrow', 'empty', true),
               ('guest', 'empty', true), ('wide', 'owner', false))
       as t (giver, given, want);

select is(tap.refused('member', tap.has('teamos.task:update own')), null,
          'what one holds can be handed on');
select is(tap.refused('member', tap.has('teamos.task:read tenant',
                                        'teamos.task:update tenant')),
          'forbidden /p/1 refused is more than your role holds',
          'but in no wider scope');
select alike(tap.refused('owner', tap.has('teamos.task:fly tenant',
                                         'tenon.role:read own',
                                         'tenon.member:read tenant',
                                         'tenon.member:read tenant')),
            'invalid_fields /p/0/permission not_in_set %;/p/1/scope '
            'not_in_set must be tenant here;/p/3/permission duplicate %',
            'nor what is none, is nobody''s own, or there twice');
select is(as_acme(format(
              'tenon.grants_refused(%L, ''tenant_admin'', %L, ''/s'', false)',
              acme(), tap.has('tenon.tenant:transfer tenant'))),
          'forbidden /s/0 refused is more than your role holds',
          'for oneself it is what one holds that counts');

update tenon.tenant_role set deleted_at = now() where name = 'wide';
select is(as_acme(format('count(*) from tenon.role_holds(%L, ''wide'')',
                         acme())), '0', 'a deleted one holds nothing');

select is((select array_agg(e.action || ' ' || e.version order by e.id)::text
             from tenon.event e
            where e.resource_id = '01900000-000a-7000-8000-000000000f01'),
          '{"role.created 1","role.updated 2","role.updated 3",'
          '"role.deleted 4"}',
          'what SQL changes of a role is in its log');

select is(run('tenon_api', globex(),
              'select count(*) from tenon.role_view where not shipped'), '0',
          'another tenant sees none of them');
select is(run('tenon_api', globex(), format(
              'select count(*) from tenon.role_holds(%L, ''narrow'')',
              acme())), '0', 'and they hold nothing there');
select is(run('tenon_api', globex(), format(
              'insert into tenon.tenant_grant values (%L, %L, 1)', acme(),
              '01900000-000a-7000-8000-000000000f03')), '42501',
          'nor can it put anything in');

update tenon.member set role = 'narrow'
 where tenant_id = :acme and role = 'member';
select is(as_acme(format('tenon.role_holders(%L, ''narrow'')', acme())),
          'members: 1', 'holders are counted');
select set_config('tenon.realm', realm(), true) \g /dev/null
select is(run('tenon_api', acme(),
              'select permissions::jsonb::text from tenon.access_view
                where role = ''narrow'''),
          '[{"scope": "own", "permission": "teamos.task:update"}]',
          'and the review shows what they may');

select * from finish();

rollback;
