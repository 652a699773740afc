-- Search: what it finds, that it never finds what is another tenant's, and
-- that it comes and goes with its declaration.

begin;

select plan(55);

set local role tenon_owner;
select set_config('tenon.tenant', acme(), true) as ignored \gset
update teamos.task set title = '100% of "Étage" b_c\d'
 where id = '01900000-000a-7000-8000-000000000509';
select set_config('tenon.tenant', '', true) as ignored \gset
reset role;

create function tap.found(q text, tenant text default acme(),
                          name text default 'teamos.task_search')
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'select string_agg(right(id::text, 3), '' '' order by id)
           from %s(%L) as id', name, q))
$$;


-- What is found ---------------------------------------------------------------

select is(tap.found(q), want, format('%s: %s', coalesce(q, 'null'), what))
  from (values
        ('typeface',       '501',         'a word'),
        ('TypeFace',       '501',         'in any case'),
        ('ypef',           '501',         'or a part of one'),
        ('the landing p',  '502',         'or several'),
        ('o',              '501 503 504 506 507 508 509 510',
                                          'or a letter'),
        ('nothing',        null,          'or nothing'),
        ('étage',          '509',         'beyond ASCII, too'),
        ('ÉTAGE',          '509',         'in any case'),
        ('100% of',        '509',         'a % means itself'),
        ('1%of',           null,          'and nothing else'),
        ('b_c',            '509',         'so does _'),
        ('o_e',            null,          'and nothing else'),
        ('c\d',            '509',         'and \'),
        ('\d',             '509',         'anywhere'),
        ('"étage"',        '509',         'and quotes'),
        (''' or true --',  null,          'a text is a text'),
        (null,             null,          'what isn''t asked isn''t found')
       ) as t (q, want, what);

select is(tap.found('draft', name => 'teamos.comment_search'), '701',
          'comments are searched in what they say');
select is(tap.found('app', name => 'teamos.project_search'), '402',
          'projects in their names');


-- Isolation ------------------------------------------------------------------

select is(tap.found('a', globex()), '501 502', 'another tenant finds its own');
select is(tap.found('typeface', globex()), null, 'and nothing else');
select is(tap.found('a', ''), null, 'no tenant finds nothing');
select is(tap.found('a', 'nonsense'), '22P02', 'nonsense is an error');
select is(run('tenon_api', acme(),
              $$ select count(*) from teamos.task
                  where id in (select teamos.task_search('a')) $$),
          run('tenon_api', acme(),
              $$ select count(*) from teamos.task where title ~* 'a' $$),
          'what is found is read under the policy');

select is(run(role, acme(), $$ select teamos.task_search('a') $$), '42501',
          format('%s can''t search', role))
  from unnest(array['tenon_owner', 'tenon_feed', 'tenon_worker',
                    'tenon_lookup']) as role;

select is(run('tenon_search', '', 'select priority from teamos.task'), '42501',
          'a search''s owner reads the searched columns only');
select is(run('tenon_search', '', 'select id from tenon.member'), '42501',
          'and no table of the platform''s');
select is(run('tenon_search', acme(), $$ update teamos.task set title = 'x' $$),
          '42501', 'and writes nothing');
select is(run('tenon_owner', '', 'select count(*) from teamos.task'), '0',
          'its policy is not the owner''s, who gave it the functions');

savepoint whole;
update teamos.task set deleted_at = now()
 where id = '01900000-000a-7000-8000-000000000501';
select is(tap.found('typeface'), null, 'what is deleted isn''t found');
rollback to whole;

select results_eq(
    $$ select p.proname::text collate "default", p.proowner::regrole::text,
              p.proconfig collate "default", p.provolatile::text
         from pg_proc p
        where p.pronamespace = 'teamos'::regnamespace
        order by p.proname collate "C" $$,
    $$ select n || '_search', 'tenon_search',
              '{search_path=pg_catalog}'::text[], 's'
         from unnest(array['comment', 'project', 'task']) as n $$,
    'its functions are its own, with a fixed search_path');


-- The declaration -------------------------------------------------------------

create schema shop authorization tenon_owner;

create function tap.declare(ddl text, declaration text)
returns text
language plpgsql
as $$
declare
    message  text;
    hint     text;
begin
    -- Undone in any case: the block's exception takes it all back.
    set local role tenon_owner;
    perform tenon.app_begin('shop');
    execute ddl;
    execute declaration;
    raise exception 'accepted';
exception when others then
    get stacked diagnostics message = message_text,
                            hint    = pg_exception_hint;
    reset role;
    return concat_ws(' | ', message, nullif(hint, ''));
end
$$;

create function tap.item(more text default '')
returns text
language sql
as $$
    select 'create table shop.item (tenant_id uuid not null, id uuid not null, '
           '"Na''me %s" text, note varchar(9), q text, n int, '
           'version bigint not null, created_at timestamptz not null, '
           'created_by uuid, updated_at timestamptz not null, '
           'primary key (tenant_id, id));' || more
$$;

select ok(declare(tap.item(more), format(
              'select tenon.resource(''shop.item'', path => ''items'', '
              'search => %L)', search)) like answer, what)
  from (values
        ('', array['nope'], 'resource item: search column nope is missing or '
                            'no text | Name columns of type text or varchar.',
         'a column that isn''t there'),
        ('', array['n'],    'resource item: search column n is missing %',
         'one that is no text'),
        ('', array['tenant_id'], 'resource item: search column tenant_id %',
         'a system column'),
        ('', array[]::text[], 'resource item: search names no column | %',
         'no column'),
        ('create index item_search on shop.item (n)', array['note'],
         'schema shop has an index or function item_search of its own | %',
         'an index of that name'),
        ('create function shop.item_search(q text) returns setof uuid '
         'language sql as $x$ select null::uuid $x$', array['note'],
         'schema shop has an index or function item_search of its own | %',
         'a function of that name'),
        ('create policy search on shop.item using (true)', array['note'],
         'table shop.item: policy search widens %', 'a policy for all'),
        ('create policy search on shop.item to tenon_search using (true)',
         array['note'], 'table shop.item: policy search widens %',
         'one that writes'),
        ('create policy other on shop.item for select to tenon_search '
         'using (true)', array['note'],
         'table shop.item: policy other widens %', 'one of another name'),
        ('create policy search on shop.item for select to tenon_api, '
         'tenon_search using (true)', array['note'],
         'table shop.item: policy search widens %', 'one for others, too'),
        ('', array['Na''me %s', 'note', 'q'], 'accepted', 'columns of any name')
       ) as t (more, search, answer, what);

create function tap.left_of_search()
returns setof text
language sql
as $$
       select polname::text from pg_policy
        where polrelid = to_regclass('shop.item') and polname <> 'tenant'
       union all
       select relname from pg_class where relname = 'item_search'
       union all
       select proname from pg_proc where proname = 'item_search'
       union all
       select attname from pg_attribute
        where attrelid = to_regclass('shop.item')
          and has_column_privilege('tenon_search', attrelid, attnum, 'select')
       union all
       select search from tenon.resource where app = 'shop'
          and search is not null
       union all
       select nspname from pg_namespace
        where nspname = 'shop'
          and has_schema_privilege('tenon_search', oid, 'usage')
$$;

select tap.item() as ddl \gset

create procedure tap.load(search text[])
language plpgsql
as $$
begin
    perform tenon.app_begin('shop');
    perform tenon.resource('shop.item', path => 'items', search => search,
                           require_match => true);
    perform tenon.allow('member', 'item', '{read}');
    perform tenon.app_end('shop');
end
$$;

set local role tenon_owner;
:ddl;
call tap.load(array['Na''me %s', 'note', 'q']);

select set_config('tenon.tenant', acme(), true) as ignored \gset
insert into shop.item
values (acme()::uuid, '01900000-000a-7000-8000-000000000901', 'first', 'line',
        null, 1, 1, now(), null, now()),
       (acme()::uuid, '01900000-000a-7000-8000-000000000902', null, null,
        'lined', 1, 1, now(), null, now());
select set_config('tenon.tenant', '', true) as ignored \gset
reset role;

select is(tap.found('LINE', name => 'shop.item_search'), '901 902',
          'several columns are searched, null or not');
select is(tap.found('tl', name => 'shop.item_search'), null,
          'and none runs into the next');

select results_eq(
    $$ select search collate "default", require_match from tenon.resource
        where app = 'shop' $$,
    $$ values ('shop.item_search', true) $$,
    'the catalogue says how to search, and that a change says If-Match');

create temporary table made as
select 'shop.item_search'::regclass::oid as index;

set local role tenon_owner;
call tap.load(array['Na''me %s', 'note', 'q']);
reset role;
select is('shop.item_search'::regclass::oid, index,
          'declared again, the index stays') from made;

set local role tenon_owner;
call tap.load(array['note']);
reset role;
select isnt('shop.item_search'::regclass::oid, index,
            'with other columns, it is made anew') from made;
select is(run('tenon_search', '', 'select q from shop.item'), '42501',
          'and a column that is no longer searched isn''t read');
select is(tap.found('line', name => 'shop.item_search'), '901',
          'nor found in');

set local role tenon_owner;
call tap.load(null);
reset role;

select is_empty('select left_of_search()',
                'no longer declared, nothing of it is left');

set local role tenon_owner;
call tap.load(array['note']);
\o /dev/null
select tenon.app_begin('shop');
select tenon.app_end('shop');
\o
reset role;

select is_empty('select left_of_search()',
                'nor of one whose table isn''t served any more');

select is(tap.found('typeface'), '501', 'and other apps'' searches are there');


select * from finish();

rollback;
