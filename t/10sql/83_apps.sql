-- Apps that go, and what a load mends: whatever was changed by hand on a
-- served table is as declared again.

begin;

select plan(39);

create function tap.message(statement text)
returns text
language plpgsql
as $$
declare
    message  text;
    hint     text;
begin
    set local role tenon_owner;
    execute statement;
    raise exception 'accepted';
exception when others then
    get stacked diagnostics message = message_text,
                            hint    = pg_exception_hint;
    reset role;
    return concat_ws(' | ', message, nullif(hint, ''));
end
$$;


-- What a load mends --------------------------------------------------------------

create function tap.state()
returns table (what text, id text, value text)
language sql
as $$
    select 'policy', polname::text, concat_ws(' ', polcmd, polpermissive,
           polroles::regrole[], pg_get_expr(polqual, polrelid),
           pg_get_expr(polwithcheck, polrelid))
      from pg_policy where polrelid = 'teamos.task'::regclass
    union all
    select 'trigger', tgname, tgenabled::text || pg_get_triggerdef(oid)
      from pg_trigger where tgrelid = 'teamos.task'::regclass
       and not tgisinternal
    union all
    select 'table', relname, concat_ws(' ', relrowsecurity,
           relforcerowsecurity)
      from pg_class where oid = 'teamos.task'::regclass
    union all
    select 'grant', a.grantee::regrole::text, a.privilege_type
      from pg_class c cross join aclexplode(c.relacl) a
     where c.oid = 'teamos.task'::regclass
    union all
    select 'column', a.grantee::regrole::text || t.attname, a.privilege_type
      from pg_attribute t cross join aclexplode(t.attacl) a
     where t.attrelid = 'teamos.task'::regclass
    union all
    select 'function', p.oid::regprocedure::text, p.prosrc || p.proacl::text
      from pg_proc p where p.pronamespace = 'teamos'::regnamespace
    union all
    select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
      from pg_index where indrelid = 'teamos.task'::regclass
    union all
    select 'schema', a.grantee::regrole::text, a.privilege_type
      from pg_namespace n cross join aclexplode(n.nspacl) a
     where n.nspname = 'teamos'
$$;

create temporary table kept as select * from tap.state();

create function tap.mended(by_hand text)
returns boolean
language plpgsql
as $$
begin
    execute by_hand;

    if not exists (select * from tap.state() except select * from kept)
       and not exists (select * from kept except select * from tap.state())
    then
        return false;
    end if;

    return null;
end
$$;

select is(tap.mended(by_hand), null, by_hand)
  from unnest(array[
       'alter table teamos.task disable row level security',
       'alter table teamos.task no force row level security',
       'alter policy tenant on teamos.task using (true)',
       'alter policy tenant on teamos.task with check (true)',
       'alter policy search on teamos.task using (priority = ''low'')',
       'alter table teamos.task disable trigger tenon_log',
       'drop trigger tenon_touch on teamos.task',
       'drop index teamos.task_status_filter',
       'grant truncate, trigger on teamos.task to tenon_api',
       'grant update (tenant_id) on teamos.task to tenon_api',
       'revoke select on teamos.task from tenon_api',
       'grant select on teamos.task to tenon_search, tenon_app',
       'revoke usage on schema teamos from tenon_api',
       'grant execute on function teamos.task_search to public',
       'revoke execute on function teamos.task_search from tenon_api',
       'alter function teamos.task_search set search_path = teamos',
       'alter function teamos.task_search security invoker',
       'drop function teamos.task_search'])
       as by_hand;

set local role tenon_owner;
set local client_min_messages = warning;
\o /dev/null
\ir ../../schema/apps/teamos/20_declarations.sql
\o
reset role;

select set_eq('select * from tap.state()', 'table kept',
              'all of this is mended by the next load');

-- What was there and is no longer declared.
set local role tenon_owner;
\o /dev/null
select tenon.app_begin('teamos');
select tenon.resource('teamos.project', path => 'projects');
select tenon.allow('owner', 'project', '{read}');
select tenon.app_end('teamos');
\o
reset role;

select is(run('tenon_api', acme(), 'select count(*) from teamos.task'), '42501',
          'a table that is no longer served can''t be read');
select is(run('tenon_owner', '', 'select count(*) from teamos.task'), '0',
          'and keeps its policy');

set local role tenon_owner;
\o /dev/null
\ir ../../schema/apps/teamos/20_declarations.sql
\o
reset role;

select set_eq('select * from tap.state()', 'table kept',
              'declared again, all is as it was');


-- Refused -----------------------------------------------------------------------

select is(tap.message($$ select tenon.app_drop('nothing') $$),
          'there is no app ''nothing'' | Apps are: teamos.',
          'an app that isn''t there can''t go');
select is(tap.message($$ select tenon.app_begin('teamos');
                         select tenon.app_drop('teamos') $$),
          'app teamos can''t go while app teamos is being declared | End that '
          'with tenon.app_end first.', 'nor one in the midst of its load');

select is(tap.message($$ select tenon.app_begin('shop', 'teamos') $$),
          'app shop: schema teamos is that of app teamos | Each app has a '
          'schema of its own: create another, or let that app go first with '
          'tenon.app_drop.', 'nor are two apps in one schema');

create schema shop authorization tenon_owner;
set local role tenon_owner;
\o /dev/null
create table shop.item (
    tenant_id uuid not null, id uuid not null default tenon.uuid7(),
    task_id uuid, doc jsonb, name text,
    version bigint not null default 1,
    created_at timestamptz not null default now(), created_by uuid,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, task_id) references teamos.task);
create function shop.f(id uuid) returns void language sql as 'select';
create function shop.g() returns table (n int) language sql stable as 'select 1';
select tenon.app_begin('shop');
select tenon.resource('shop.item', path => 'items', search => '{name}');
select tenon.field('shop.item', 'doc', search => true);
select tenon.field('shop.item', 'name', max => 3);
select tenon.action('shop.item', 'sell', 'shop.f');
select tenon.query('finder', 'shop.g');
select tenon.allow('member', 'item', '{read,sell}');
select tenon.allow('member', 'finder', '{read}');
select tenon.app_end('shop');
select set_config('tenon.tenant', acme(), true);
insert into shop.item (tenant_id, name) values (acme()::uuid, 'saw');
select set_config('tenon.tenant', '', true);
\o
reset role;

select is(tap.message($$ select tenon.app_drop('teamos') $$),
          'app teamos can''t go: resource item of app shop refers to it | Let '
          'that app go first, or drop its foreign key.',
          'nor one that another needs');
select is(run(role, '', $$ select tenon.app_drop('shop') $$), '42501',
          format('%s lets no app go', role))
  from unnest(array['tenon_api', 'tenon_app', 'tenon_worker']) as role;


-- An app that goes -----------------------------------------------------------------

create temporary table before as
select version from tenon.catalogue_version;
create temporary table stays as
select 'permission' as what, number::text as id, name from tenon.permission
union all
select 'event', id::text, action from tenon.event
union all
select 'row', id::text, name from shop.item
union all
select 'constraint', oid::text, pg_get_constraintdef(oid)
  from pg_constraint where conrelid = 'shop.item'::regclass;

select is(run('tenon_owner', '', $$ select tenon.app_drop('shop') $$),
          (version + 1)::text, 'an app goes, with a new version')
  from before;

select is_empty(
    $$ select app from tenon.resource where app = 'shop'
        union all select app from tenon.field where app = 'shop'
        union all select app from tenon.action where app = 'shop'
        union all select app from tenon.query where app = 'shop'
        union all select app from tenon.param where app = 'shop'
        union all select app from tenon."grant" where app = 'shop'
        union all select name from tenon.app where name = 'shop' $$,
    'its declarations are gone');
select is_empty(
    $$ select c.relname::text
         from pg_class c
        cross join unnest(array['tenon_api', 'tenon_app', 'tenon_search'])
              as role
        where c.relnamespace = 'shop'::regnamespace and c.relkind = 'r'
          and (has_any_column_privilege(role, c.oid, 'select, insert, update')
               or has_table_privilege(role, c.oid, 'delete'))
        union all
       select role
         from unnest(array['tenon_api', 'tenon_app', 'tenon_search']) as role
        where has_schema_privilege(role, 'shop', 'usage')
        union all
       select p.proname
         from pg_proc p
        where p.pronamespace = 'shop'::regnamespace
          and p.proname not in ('f', 'g')
        union all
       select c.relname
         from pg_class c
        where c.relnamespace = 'shop'::regnamespace
          and c.relname in ('item_search', 'item_doc_contains') $$,
    'so are grants, wrappers and searches');
select is(run('tenon_owner', '', 'select count(*) from shop.item'), '0',
          'what stays keeps its policy');
select set_eq(
    $$ select 'permission' as what, number::text as id, name
         from tenon.permission
        union all select 'event', id::text, action from tenon.event
        union all select 'row', id::text, name from shop.item
        union all
       select 'constraint', oid::text, pg_get_constraintdef(oid)
         from pg_constraint where conrelid = 'shop.item'::regclass $$,
    'table stays', 'rows, constraints, events and permission numbers stay');
select set_eq('select * from tap.state()', 'table kept',
              'and another app is as it was');

select is(run('tenon_owner', '', $$ select tenon.app_drop('teamos') $$),
          (version + 2)::text, 'the last one may go, too') from before;
select is_empty('select app from tenon.resource', 'and nothing is served');

set local role tenon_owner;
\o /dev/null
\ir ../../schema/apps/teamos/20_declarations.sql
\o
reset role;
select set_eq('select * from tap.state()', 'table kept',
              'until it is loaded again, and all is as it was');
select is(run('tenon_api', acme(), 'select count(*) from teamos.task'), '10',
          'with its rows');


select * from finish();

rollback;
