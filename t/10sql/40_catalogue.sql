-- Declarations: what they make of a table, what they refuse and how they say
-- it, and that loading an app again changes nothing.

begin;

select plan(70);

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

create function tap.item(extra text default null,
                         keys text default 'primary key (tenant_id, id)')
returns text
language sql
as $$
    select 'create table shop.item (tenant_id uuid not null, id uuid not null, '
           'version bigint not null, created_at timestamptz not null, '
           'created_by uuid, updated_at timestamptz not null, '
           || coalesce(extra || ', ', '') || keys || ')'
$$;


-- Refused: tables ------------------------------------------------------------

create temporary table refused (ddl text, declaration text, answer text);

insert into refused
values
('select', $$select tenon.resource('shop.none', path => 'items')$$,
 'app shop: there is no table shop.none | Create it first, %'),

(item(keys => 'primary key (id)'),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: the primary key is (id) | '
 'It must be: primary key (tenant_id, id).'),

(item(keys => 'unique (tenant_id, id)'),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: the primary key is (missing) | %'),

(replace(item(), 'version bigint not null, ', ''),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: system column version is missing | '
 'Add it: version bigint not null.'),

(replace(item(), 'version bigint', 'version int'),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: system column version is integer not null | '
 'It must be: version bigint not null.'),

(replace(item(), 'created_by uuid', 'created_by uuid not null'),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: system column created_by is uuid not null | '
 'It must be: created_by uuid.'),

(item(),
 $$select tenon.resource('shop.item', path => 'items', soft_delete => true)$$,
 'table shop.item: system column deleted_at is missing | '
 'Add it: deleted_at timestamp with time zone.'),

(item('code text unique'),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: unique key shop.item_code_key doesn''t start with '
 'tenant_id | Put tenant_id first: %'),

('create table shop.other (tenant_id uuid, id uuid unique); '
 || item('other_id uuid references shop.other (id)'),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: foreign key item_other_id_fkey doesn''t start with '
 'tenant_id | Write it as: foreign key (tenant_id, other_id) %'),

(item() || '; create policy wide on shop.item using (true)',
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: policy wide widens what the tenant policy lets through | %'),

(item((select string_agg('c' || n || ' text', ', ')
         from generate_series(1, 55) n)),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: it has more than 60 columns | Move some %'),

(item(), $$select tenon.resource('shop.item', path => 'tasks')$$,
 'resource item: path tasks is taken by resource task of app teamos | '
 'Choose another path.'),

(item(), $$select tenon.resource('shop.item', path => 'items', name => 'task')$$,
 'resource task: its name is taken by app teamos | All apps share one document: '
 'give another with name => ''shop_task''.'),

('create function shop.next() returns int language sql as ''select 1''; '
 || item('number int default shop.next() + 1'),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: column number: its default calls shop.next(), which '
 'tenon_api may not call | The API''s own statements run it: grant execute on '
 'function shop.next() to tenon_api, or do without it there.'),

('create function shop.fine(n int) returns boolean language sql immutable as '
 '''select n > 1''; ' || item('number int check (shop.fine(number))'),
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: constraint item_number_check calls shop.fine(integer), %'),

('create function shop.fine(n int) returns int language sql immutable as '
 '''select n''; ' || item('number int')
 || '; create index item_fine on shop.item (shop.fine(number))',
 $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: index shop.item_fine calls shop.fine(integer), %'),

(item('number serial'), $$select tenon.resource('shop.item', path => 'items')$$,
 'table shop.item: column number: its default takes from sequence '
 'shop.item_number_seq, which tenon_api may not use | Make the column: '
 'generated by default as identity; or grant usage on sequence '
 'shop.item_number_seq to tenon_api, tenon_app.'),

('create function shop.next() returns int language sql as ''select 1''; '
 'grant execute on function shop.next() to tenon_api; '
 || item('number int default shop.next() check (number > 0), '
         'line int generated always as identity'),
 $$select tenon.resource('shop.item', path => 'items')$$, 'accepted'),

(item(), $$select tenon.resource('shop.item', path => 'members')$$,
 'resource item: path members belongs to the platform | %'),

(item(), $$select tenon.resource('shop.item', path => 'history')$$,
 'resource item: path history belongs to the platform | %'),

(item(), $$select tenon.resource('shop.item', path => 'items', name => 'event')$$,
 'table shop.item: ''event'' can''t be the name of a resource | %'),

(item(), $$select tenon.resource('shop.item', path => 'Items')$$,
 'resource item: ''Items'' can''t be a path | %'),

(item(), $$select tenon.resource('shop.item', path => 'items',
                                 name => 'member')$$,
 'table shop.item: ''member'' can''t be the name of a resource | %'),

(item(), $$select tenon.resource('shop.item', path => 'items');
           select tenon.resource('shop.item', path => 'things')$$,
 'resource item is declared twice | %'),

(item(), $$select tenon.resource('teamos.task', path => 'todos')$$,
 'table teamos.task is not in the schema of app shop | %'),

(item(), $$select tenon.resource('shop.item', path => 'items',
                                 owner => 'nobody')$$,
 'resource item: owner column nobody is missing or no uuid | %'),

(item(), $$select tenon.resource('shop.item', path => 'items',
                                 cache => 'forever')$$,
 'resource item: there is no cache policy ''forever'' | %');


-- Refused: fields, states, grants, the whole ----------------------------------

insert into refused
select item('name text not null, kind text collate "C", n int, doc jsonb, '
            'state text collate "C" not null default ''b'''),
       $$select tenon.resource('shop.item', path => 'items'); $$ || d, a
  from (values
($$select tenon.field('shop.item', 'colour')$$,
 'table shop.item has no column colour to declare | %'),

($$select tenon.field('shop.item', 'tenant_id')$$,
 'table shop.item has no column tenant_id to declare | %'),

($$select tenon.field('teamos.task', 'title')$$,
 'teamos.task is not a resource of app shop | Declare it first: %'),

($$select tenon.field('shop.item', 'name', sort => true)$$,
 'table shop.item: column name sorts or filters, but is not collate "C" | '
 'alter table shop.item alter column name type text collate "C".'),

($$select tenon.field('shop.item', 'doc', filter => true)$$,
 'table shop.item: column doc sorts or filters, but is jsonb | %'),

($$select tenon.field('shop.item', 'kind', sort => true)$$,
 'table shop.item: column kind sorts, but may be null | %'),

($$select tenon.field('shop.item', 'created_at', min => 1)$$,
 'table shop.item: column created_at has no length or range to limit | %'),

($$select tenon.field('shop.item', 'n', min => 3, max => 2)$$,
 'table shop.item: column n has min 3 above max 2 | Swap them.'),

($$select tenon.field('shop.item', 'n', pattern => 'x')$$,
 'table shop.item: column n is not text | %'),

($$select tenon.states('shop.item', 'kind', 'a -> b')$$,
 'table shop.item: column kind can''t hold states | %'),

($$select tenon.states('shop.item', 'state', 'a -> b, c')$$,
 'table shop.item: ''c'' is no chain of states | Write: %'),

($$select tenon.states('shop.item', 'state', 'a -> b')$$,
 'table shop.item: column state starts as ''b''::text, its states as a | %'),

($$select tenon.allow('king', 'item', '{read}')$$,
 'there is no role ''king'' | Roles are: owner, admin, member, guest, account_owner, account_user, '
 'moderator, super_admin, tenant_admin.'),

($$select tenon.allow('member', 'item', '{peek}')$$,
 'resource shop.item has no verb ''peek'' | Verbs are read, create, update, '
 'delete, history. restore needs %'),

($$select tenon.allow('member', 'item', '{restore}')$$,
 'resource shop.item has no verb ''restore'' | %'),

($$select tenon.allow('member', 'item', '{read}', scope => 'world')$$,
 'resource shop.item: there is no scope ''world'' | %'),

($$select tenon.allow('member', 'teamos.task', '{delete}')$$,
 'teamos.task is not a resource or query of app shop | %'),

($$select tenon.allow('member', 'item', '{read}');
   select tenon.allow('member', 'item', '{read}', scope => 'own')$$,
 'shop.item:read is allowed to member twice, as tenant and as own | %'),

($$select tenon.app_end('shop')$$,
 'resource item: nobody is allowed anything | Say who may do what: %'),

($$select tenon.app_end('teamos')$$,
 'app_end(''teamos'') ends an app that was not begun | %')) as r (d, a);

insert into refused
select item(), $$select tenon.resource('shop.item', path => 'items',
                                       parent => '$$ || parent || $$');
                 select tenon.allow('member', 'item', '{read}');
                 select tenon.app_end('shop')$$, answer
  from (values
        ('nothing', 'resource item: its parent nothing is not a resource of '
                    'app shop | %'),
        ('item',    'resource item: no foreign key leads to its parent item '
                    '| Add to table %')) as p (parent, answer);

select alike(tap.declare(ddl, declaration), answer,
             'refused: ' || split_part(answer, ' | ', 1))
  from refused;

select is(run('tenon_owner', '',
              $$ select tenon.field('teamos.task', 'title') $$), '42P17',
          'outside app_begin and app_end nothing is declared');

select is(tap.declare(item(), $$
              select tenon.resource('shop.item', path => 'items');
              select tenon.allow('member', 'item', '{read}');
              select tenon.app_end('shop') $$),
          'accepted', 'and what is right is accepted');


-- Loaded again ---------------------------------------------------------------

create temporary table snapshot as
select 'permission' as what, number::text as id, name as value
  from tenon.permission
union all
select 'constraint', oid::text, pg_get_constraintdef(oid)
  from pg_constraint where connamespace = 'teamos'::regnamespace
union all
select 'index', indexrelid::text, pg_get_indexdef(indexrelid)
  from pg_index where indrelid in ('teamos.project'::regclass,
                                   'teamos.task'::regclass)
union all
select 'grant', role || permission, scope from tenon."grant"
union all
select 'row', id::text, t::text from teamos.task t
union all
select 'event', id::text, e::text from tenon.event e;

create temporary table version as
select version as n from tenon.catalogue_version;

set local role tenon_owner;
set local client_min_messages = warning;
\ir ../../schema/apps/teamos/10_tables.sql
\o /dev/null
\ir ../../schema/apps/teamos/20_declarations.sql
\o
reset role;

select set_eq(
    'table snapshot',
    $$ select 'permission', number::text, name from tenon.permission
       union all
       select 'constraint', oid::text, pg_get_constraintdef(oid)
         from pg_constraint where connamespace = 'teamos'::regnamespace
       union all
       select 'index', indexrelid::text, pg_get_indexdef(indexrelid)
         from pg_index where indrelid in ('teamos.project'::regclass,
                                          'teamos.task'::regclass)
       union all
       select 'grant', role || permission, scope from tenon."grant"
       union all
       select 'row', id::text, t::text from teamos.task t
       union all
       select 'event', id::text, e::text from tenon.event e $$,
    'a reload keeps permission numbers, constraints, indexes, grants, rows');

select is(version, n + 1, 'but the catalogue has a new version')
  from tenon.catalogue_version, version;


-- What a declaration makes ---------------------------------------------------

select results_eq(
    $$ select name, position from tenon.state
        where resource = 'task' order by position $$,
    $$ values ('todo' collate "C", 1), ('in_progress', 2), ('done', 3) $$,
    'states are kept in order, the initial one first');

select set_eq(
    $$ select from_state, to_state from tenon.transition
        where resource = 'task' $$,
    $$ values ('todo', 'in_progress'), ('in_progress', 'done'),
              ('in_progress', 'todo') $$,
    'and so are the transitions');

select is((select parent_column from tenon.resource where name = 'task'),
          'project_id', 'the parent''s column comes from the foreign key');

select is(run('tenon_api', acme(), format(
              $$ insert into teamos.task (tenant_id, project_id, title,
                                          priority, status)
                 values (tap.acme()::uuid,
                         '01900000-000a-7000-8000-000000000401',
                         %L, %L, %L) $$, title, priority, status)),
          '23514', format('the table itself refuses %s', what))
  from (values ('',               'low', 'todo', 'an empty title'),
               (repeat('x', 201), 'low', 'todo', 'a long one'),
               ('x',              'no',  'todo', 'an unknown priority'),
               ('x',              'low', 'no',   'an unknown status')
       ) as t (title, priority, status, what);

-- 200 characters, 400 bytes.
select is(run('tenon_api', acme(), format(
              $$ insert into teamos.task (tenant_id, project_id, title)
                 values (tap.acme()::uuid,
                         '01900000-000a-7000-8000-000000000401', %L) $$,
              repeat('é', 200))),
          '1', 'and counts characters, not bytes');

select set_eq(
    $$ select indexrelid::regclass::text, indpred is not null
         from pg_index where indrelid = 'teamos.task'::regclass $$,
    $$ values ('teamos.task_pkey',               false),
              ('teamos.task_list',               true),
              ('teamos.task_project_id_filter',  false),
              ('teamos.task_priority_filter',    true),
              ('teamos.task_status_filter',      true),
              ('teamos.task_assignee_id_filter', false),
              ('teamos.task_search',             true) $$,
    'indexes are over the living, those of foreign keys over all');

savepoint whole;
set local role tenon_owner;
\o /dev/null
create table shop.item (
    tenant_id uuid not null, id uuid not null, version bigint not null,
    created_at timestamptz not null, created_by uuid,
    updated_at timestamptz not null, sold_to uuid, fixed text, shown text,
    free text,
    primary key (tenant_id, id),
    foreign key (tenant_id, sold_to)
     references tenon.member (tenant_id, user_id) on delete cascade);
grant update, delete on shop.item to tenon_api;
select tenon.app_begin('shop');
select tenon.resource('shop.item', path => 'items');
select tenon.field('shop.item', 'fixed', create_only => true);
select tenon.field('shop.item', 'shown', read_only => true);
select tenon.allow('owner', 'item', '{read}');
select tenon.allow('member', 'item', '{read}', scope => 'own');
select tenon.app_end('shop');
\o
reset role;

select is(pg_get_indexdef('shop.item_created_by_own'::regclass) ~
          '\(tenant_id, created_by, created_at, id\)', true,
          'lists of own rows have their index');

select set_eq(
    $$ select attname::text from pg_attribute
        where attrelid = 'shop.item'::regclass and attnum > 0
          and has_column_privilege('tenon_api', attrelid, attnum, 'update') $$,
    array['version', 'updated_at', 'sold_to', 'free'],
    'the API may update what endpoints do, whatever was granted before');

select is(has_table_privilege('tenon_api', 'shop.item', 'delete'), true,
          'and delete where deletion is for good');

select isnt(to_regclass('shop.item_sold_to_filter'), null,
            'a foreign key that takes rows along has its index undeclared');
rollback to whole;

select throws_ok('update tenon.permission set number = number + 100', 'P0001',
                 'tenon.permission is append-only',
                 'a permission is never renumbered');

select throws_ok('delete from tenon.permission', 'P0001',
                 'tenon.permission is append-only', 'nor taken away');


-- A rule that is dropped, a limit that is moved --------------------------------

set local role tenon_owner;
\o /dev/null
select tenon.app_begin('teamos');
select tenon.resource('teamos.task', path => 'tasks', soft_delete => true);
select tenon.field('teamos.task', 'title', max => 300);
select tenon.allow('owner', 'task', '{read}');
select tenon.app_end('teamos');
\o
reset role;

select results_eq(
    $$ select conname::text collate "default", pg_get_constraintdef(oid)
         from pg_constraint
        where conrelid = 'teamos.task'::regclass and contype = 'c' $$,
    $$ values ('task_title_length', 'CHECK ((char_length(title) <= 300))') $$,
    'constraints follow the declarations');

select is((select count(*) from tenon."grant" where app = 'teamos'), 1::bigint,
          'and so do grants');


select * from finish();

rollback;
