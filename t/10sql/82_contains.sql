-- Search in JSON: what ?FIELD[contains]= finds, that it keeps to the tenant,
-- that it uses its index, and that it goes with its declaration.

begin;

select plan(43);

create schema shop authorization tenon_owner;

create procedure tap.load(doc boolean, more boolean default false,
                          name boolean default false,
                          soft boolean default false)
language plpgsql
as $$
begin
    perform tenon.app_begin('shop');
    perform tenon.resource('shop.item', path => 'items', soft_delete => soft,
                           search => case when name then array['name'] end);
    perform tenon.field('shop.item', 'doc', search => doc);
    perform tenon.field('shop.item', 'more "of"', search => more);
    perform tenon.allow('member', 'item', '{read}');
    perform tenon.app_end('shop');
end
$$;

set local role tenon_owner;
create table shop.item (
    tenant_id uuid not null, id uuid not null default tenon.uuid7(),
    doc jsonb, "more ""of""" jsonb, name text, secret text,
    version bigint not null default 1,
    created_at timestamptz not null default now(), created_by uuid,
    updated_at timestamptz not null default now(), deleted_at timestamptz,
    primary key (tenant_id, id));
call tap.load(true);
reset role;


-- What is found ---------------------------------------------------------------

create procedure tap.fill(tenant text, n text, doc jsonb)
language sql
as $$
    insert into shop.item (tenant_id, id, doc, "more ""of""", name)
    values (tenant::uuid, ('01900000-000a-7000-8000-000000000' || n)::uuid,
            doc, doc, doc::text)
$$;

call tap.fill(acme(), 'a01', '{"kind": "saw", "sizes": [1, 2, 3], "of": {"a": null}}');
call tap.fill(acme(), 'a02', '{"kind": "SAW", "sizes": [3]}');
call tap.fill(acme(), 'a03', '["saw", {"kind": "saw"}]');
call tap.fill(acme(), 'a04', null);
call tap.fill(globex(), 'a05', '{"kind": "saw"}');

create function tap.found(doc text, tenant text default acme(),
                          fun text default 'shop.item_doc_contains')
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'select string_agg(right(id::text, 3), '' '' order by id)
           from %s(%L) as id', fun, doc))
$$;

select is(tap.found(doc), want, format('%s: %s', coalesce(doc, 'null'), what))
  from (values
        ('{"kind": "saw"}',            'a01',         'a member'),
        ('{"sizes": [3]}',             'a01 a02',     'an element'),
        ('{"sizes": [3, 1]}',          'a01',         'several, in any order'),
        ('{"of": {"a": null}}',        'a01',         'deep down'),
        ('{"of": {"a": 1}}',           null,          'and not another value'),
        ('[{"kind": "saw"}]',          'a03',         'in an array'),
        ('{}',                         'a01 a02',     'every object'),
        ('[]',                         'a03',         'every array'),
        ('"saw"',                      'a03',         'a bare value'),
        ('nonsense',                   '22P02',       'nonsense is an error'),
        ('{"kind": "x'' or true --"}', null,          'a text is a text'),
        (null,                         null,          'what isn''t asked')
       ) as t (doc, want, what);


-- Isolation ------------------------------------------------------------------

select is(tap.found('{"kind": "saw"}', globex()), 'a05',
          'another tenant finds its own');
select is(tap.found('{}', ''), null, 'no tenant finds nothing');
select is(tap.found('{}', 'nonsense'), '22P02', 'nonsense is an error');
select is(run(role, acme(), $$ select shop.item_doc_contains('{}') $$), '42501',
          format('%s can''t search', role))
  from unnest(array['tenon_owner', 'tenon_feed', 'tenon_worker',
                    'tenon_lookup', 'tenon_app']) as role;
select is(run('tenon_search', '', 'select ' || c || ' from shop.item limit 1'),
          '42501', 'a search''s owner doesn''t read ' || c)
  from unnest(array['name', 'secret', '"more ""of"""']) as c;
select is(run('tenon_search', acme(), 'delete from shop.item'), '42501',
          'and writes nothing');
select results_eq(
    $$ select p.proowner::regrole::text, p.prosecdef,
              p.proconfig collate "default", p.provolatile::text,
              p.proacl::text
         from pg_proc p where p.proname = 'item_doc_contains' $$,
    $$ values ('tenon_search', true, '{search_path=pg_catalog}'::text[], 's',
               '{tenon_search=X/tenon_search,tenon_api=X/tenon_search}') $$,
    'the function is a definer''s, for the API alone');
select is(contains collate "default", 'shop.item_doc_contains',
          'the catalogue says what to ask')
  from tenon.field where app = 'shop' and name = 'doc';


-- At size ----------------------------------------------------------------------

-- As the API, whose changes no trigger logs.
select is(run('tenon_api', tenant, format(
              'insert into shop.item (tenant_id, id, doc)
               select %L, gen_random_uuid(), jsonb_build_object(''n'', n, ''even'', n %% 2 = 0)
                 from generate_series(1, 50000) n', tenant)), '50000',
          'a tenant has 50,000 rows')
  from unnest(array[acme(), globex()]) as tenant;

analyze shop.item;
select gin_clean_pending_list('shop.item_doc_contains') >= 0 as ignored \gset

create temporary table scans as
select pg_stat_get_xact_numscans('shop.item'::regclass) as whole,
       pg_stat_get_xact_numscans('shop.item_doc_contains'::regclass) as index;

select is(run('tenon_api', acme(),
              $$ select count(*) from shop.item_doc_contains('{"n": 4711}') $$),
          '1', 'the tenant''s one is found');
select is(run('tenon_api', globex(),
              $$ select count(*) from shop.item i
                  where i.id in (select shop.item_doc_contains('{"n": 4711}'))
              $$), '1', 'and read, by another');

select results_eq(
    $$ select pg_stat_get_xact_numscans('shop.item'::regclass) - whole,
              pg_stat_get_xact_numscans('shop.item_doc_contains'::regclass)
              - index from scans $$,
    $$ values (0::bigint, 2::bigint) $$,
    'through the index, and the table is never read as a whole');

select is(run('tenon_api', acme(),
              $$ select count(*) from shop.item_doc_contains('{"even": true}') $$),
          '25000', 'half of a tenant is half of it');


-- The declaration -------------------------------------------------------------

create function tap.left_of_search()
returns setof text
language sql
as $$
       select polname::text from pg_policy
        where polrelid = to_regclass('shop.item') and polname <> 'tenant'
       union all
       select relname from pg_class where relname like 'item_%contains'
       union all
       select proname from pg_proc where proname like 'item_%contains'
       union all
       select attname from pg_attribute
        where attrelid = to_regclass('shop.item')
          and has_column_privilege('tenon_search', attrelid, attnum, 'select')
       union all
       select nspname from pg_namespace
        where nspname = 'shop'
          and has_schema_privilege('tenon_search', oid, 'usage')
$$;

create temporary table made as
select c.oid, c.ctid::text as place
  from pg_class c where relname = 'item_doc_contains'
 union all
select oid, ctid::text from pg_proc where proname = 'item_doc_contains'
 union all
select oid, ctid::text from pg_policy where polrelid = 'shop.item'::regclass;

set local role tenon_owner;
call tap.load(true);
reset role;
select set_eq(
    $$ select c.oid, c.ctid::text as place
         from pg_class c where relname = 'item_doc_contains'
        union all
       select oid, ctid::text from pg_proc where proname = 'item_doc_contains'
        union all
       select oid, ctid::text from pg_policy
        where polrelid = 'shop.item'::regclass $$,
    'table made', 'declared again, index, function and policies stay');

-- Not logged: 100,000 events would take a minute.
set local session_replication_role = replica;
delete from shop.item where doc ? 'n';
set local session_replication_role = origin;

set local role tenon_owner;
call tap.load(true, more => true, name => true, soft => true);
reset role;
select is(tap.found('{"kind": "SAW"}', fun => 'shop."item_more ""of""_contains"'),
          'a02', 'a column of any name is searched');
select is(tap.found('saw', fun => 'shop.item_search'), 'a01 a02 a03',
          'texts beside');
select set_eq(
    $$ select attname::text from pg_attribute
        where attrelid = 'shop.item'::regclass and attnum > 0
          and has_column_privilege('tenon_search', attrelid, attnum, 'select') $$,
    array['tenant_id', 'id', 'doc', 'more "of"', 'name', 'deleted_at'],
    'and only what is searched is read');

update shop.item set deleted_at = now() where id::text like '%a02';
select is(tap.found('{}'), 'a01', 'what is deleted isn''t found');

set local role tenon_owner;
call tap.load(true, soft => true);
reset role;
select set_eq('select left_of_search()',
              array['search', 'item_doc_contains', 'item_doc_contains',
                    'tenant_id', 'id', 'doc', 'deleted_at', 'shop'],
              'what is no longer declared goes');

set local role tenon_owner;
call tap.load(false, soft => true);
reset role;
select is_empty('select left_of_search()', 'and so does the last of it');

create function tap.declare(ddl text)
returns text
language plpgsql
as $$
declare
    message  text;
begin
    set local role tenon_owner;
    execute ddl;
    call tap.load(true);
    raise exception 'accepted';
exception when others then
    get stacked diagnostics message = message_text;
    reset role;
    return message;
end
$$;

select is(tap.declare(ddl), 'schema shop has an index or function '
                            'item_doc_contains of its own', what)
  from (values
        ('create index item_doc_contains on shop.item (name)',
         'an index of that name isn''t touched'),
        ('create table shop.item_doc (contains int); comment on table '
         'shop.item_doc is ''x''; create index item_doc_contains on '
         'shop.item_doc (contains); comment on index shop.item_doc_contains '
         'is ''declared: contains''', 'nor one of another table'),
        ('create function shop.item_doc_contains(doc jsonb) returns setof uuid '
         'language sql as ''select null::uuid''', 'nor a function'))
       as t (ddl, what);

select is(tap.declare('select'), 'accepted', 'else it is made anew');


select * from finish();

rollback;
