-- Row security alone keeps tenants apart: no statement here says whose rows it
-- means, as if the first wall had been forgotten.

begin;

select plan(35);


-- No tenant ------------------------------------------------------------------

select is(current_setting('tenon.tenant', true), null,
          'in a new session the setting was never set');

select is(run('tenon_api', null, 'select count(*) from teamos.task'), '0',
          'a tenant that was never set sees nothing');

select is(run('tenon_api', '', 'select count(*) from teamos.task'), '0',
          'an empty tenant sees nothing');

select is(run('tenon_api', '',
              $$ insert into teamos.project (tenant_id, name)
                 values (tap.acme()::uuid, 'x') $$), '42501',
          'an empty tenant writes nothing');

select is(run('tenon_api', 'nonsense', 'select count(*) from teamos.task'),
          '22P02', 'a tenant that is no uuid is an error');

select is(run('tenon_owner', '', 'select count(*) from teamos.task'), '0',
          'the owner without a tenant sees nothing: forced');

select is(run('tenon_owner', '', 'select count(*) from tenon.event'), '0',
          'nor any event');


-- Two tenants ----------------------------------------------------------------

select is(run('tenon_api', acme(), 'select count(*) from teamos.task'), '10',
          'acme sees its ten tasks');

select is(run('tenon_api', globex(), 'select count(*) from teamos.task'), '2',
          'globex sees its two');

select is(run('tenon_api', globex(),
              $$ select count(*) from teamos.task
                  where id = '01900000-000a-7000-8000-000000000501' $$), '0',
          'an id of acme''s finds nothing in globex');

select is(run('tenon_api', globex(),
              $$ update teamos.task set title = 'x'
                  where tenant_id = tap.acme()::uuid $$), '0',
          'globex can''t update a task of acme''s');

select is(run('tenon_api', globex(),
              $$ update teamos.task set tenant_id = tap.acme()::uuid $$),
          '42501', 'nor move its own there');

select is(run('tenon_owner', globex(),
              $$ update teamos.task set tenant_id = tap.acme()::uuid $$),
          '42501', 'nor could it with a right to that column: the policy');

select is(run('tenon_api', globex(),
              $$ insert into teamos.project (tenant_id, name)
                 values (tap.acme()::uuid, 'x') $$), '42501',
          'nor insert one there');

select is(run('tenon_api', globex(),
              $$ insert into teamos.task (tenant_id, project_id, title)
                 values (tap.globex()::uuid,
                         '01900000-000a-7000-8000-000000000401', 'x') $$),
          '23503', 'nor refer to a project of acme''s');

select is(run('tenon_api', globex(),
              $$ insert into teamos.task (tenant_id, project_id, title,
                                          assignee_id)
                 values (tap.globex()::uuid,
                         '01900000-000b-7000-8000-000000000401', 'x',
                         '01900000-000a-7000-8000-000000000201') $$),
          '23503', 'nor give a task to a member of acme''s');

select is(run('tenon_api', globex(),
              $$ insert into teamos.project (tenant_id, id, name)
                 values (tap.globex()::uuid,
                         '01900000-000a-7000-8000-000000000401', 'x') $$),
          '1', 'an id that acme has is free in globex: no covert channel');

select is(run('tenon_api', acme(), 'select count(*) from tenon.tenant'), '1',
          'a tenant sees one tenant: itself');

select is(run('tenon_api', acme(), 'select count(*) from tenon.member'), '3',
          'and its own members');

select is(run('tenon_owner', acme(),
              $$ delete from tenon.member
                  where tenant_id = tap.globex()::uuid $$), '0',
          'another''s can''t be removed, even by the owner');

select is(run('tenon_owner', acme(), 'select count(*) from teamos.task'), '10',
          'the owner sees one tenant at a time, too');


-- Realm ----------------------------------------------------------------------

select is(run('tenon_api', acme(), 'select count(*) from tenon."user"'), '0',
          'without a realm there are no users');

select is(run('tenon_api', acme(),
              $$ with realm as materialized (
                      select set_config('tenon.realm', tap.realm(), true))
                 select count(*) from realm, tenon."user" $$), '4',
          'with one, its users');

set local tenon.realm = '01900000-0000-7000-8000-00000000ffff';

select is(run('tenon_api', acme(), 'select count(*) from tenon."user"'), '0',
          'in another realm, none of them');

select is(run('tenon_api', acme(),
              $$ insert into tenon."user" (realm_id, email, name)
                 values (tap.realm()::uuid, 'x@acme.test', 'x') $$), '42501',
          'nor can one be added from there');


-- Directory ------------------------------------------------------------------

select is(run('tenon_api', acme(), 'select count(*) from tenon.tenant_slug'),
          '42501', 'nobody lists the slugs');

select is(run('tenon_api', acme(),
              $$ insert into tenon.tenant_slug
                 values ('mine', tap.globex()::uuid, tap.realm()::uuid) $$),
          '42501', 'a slug can''t be entered for another tenant');

select is(run('tenon_api', acme(),
              $$ insert into tenon.tenant_slug
                 values ('globex', tap.acme()::uuid, tap.realm()::uuid) $$),
          '23505', 'nor one that is taken');

select is(run('tenon_owner', acme(),
              $$ update tenon.tenant set slug = 'acme-2' $$),
          '23503', 'a tenant has no name that isn''t in the directory');

select is(run('tenon_owner', acme(),
              $$ update tenon.tenant set slug = 'globex' $$),
          '23503', 'nor one that is another''s there');

select is(run('tenon_owner', acme(),
              $$ with entered as (
                      insert into tenon.tenant_slug
                      values ('acme-2', tap.acme()::uuid, tap.realm()::uuid))
                 update tenon.tenant set slug = 'acme-2' returning slug $$),
          'acme-2', 'one statement enters it and takes it');

select is(run('tenon_api', acme(),
              format($$ insert into tenon.tenant_slug
                        values (%L, tap.acme()::uuid, tap.realm()::uuid) $$,
                     slug)),
          '23514', format('%L is no slug', slug))
  from unnest(array['www', '-acme', 'A']) as slug;


-- Feed -----------------------------------------------------------------------

select is(run('tenon_feed', '',
              'select count(distinct tenant_id) from tenon.event'), '3',
          'the feed reads events of all tenants');


select * from finish();

rollback;
