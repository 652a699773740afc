-- Actions, queries and limits of arguments: what is refused, and how it is
-- said; and what a declaration that is right makes.

begin;

select plan(101);

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
    execute 'create table shop.item (tenant_id uuid not null, id uuid not '
            'null, name text, doc jsonb, price money, '
            'state text collate "C" not null default ''new'', '
            'version bigint not null, created_at timestamptz not null, '
            'created_by uuid, updated_at timestamptz not null, '
            'primary key (tenant_id, id)); '
            'create table shop.part (like shop.item, '
            'item_id uuid not null, primary key (tenant_id, id), '
            'foreign key (tenant_id, item_id) references shop.item)';
    perform tenon.resource('shop.item', path => 'items');
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

-- create function shop.f(…) returns …, doing nothing.
create function tap.f(takes text, gives text, more text default '',
                      name text default 'f')
returns text
language sql
as $$
    select format('create function shop.%s(%s) %s language plpgsql %s '
                  'as $f$ begin end $f$;', name, takes,
                  'returns ' || nullif(gives, ''), more)
$$;

create temporary table refused (ddl text, declaration text, answer text);

\set sell '$$select tenon.action(''shop.item'', ''sell'', ''shop.f'')$$'
\set find '$$select tenon.query(''finder'', ''shop.f'')$$'


-- Functions that can't be called ----------------------------------------------

insert into refused
values
('select', :sell,
 'action item.sell: there is no function shop.f in schema shop | Create it '
 'first, and name it with its schema: shop.NAME.'),

('select', $$select tenon.action('shop.item', 'sell', 'pg_catalog.now')$$,
 'action item.sell: there is no function pg_catalog.now in schema shop | %'),

('select', $$select tenon.action('shop.item', 'sell', 'shop.f; drop')$$,
 'action item.sell: there is no function shop.f; drop in schema shop | %'),

(tap.f('id uuid', 'void') || tap.f('id uuid, n int', 'void'), :sell,
 'action item.sell: there are 2 functions shop.f: shop.f(uuid), '
 'shop.f(uuid,integer) | A name must say which is meant. Where arguments have '
 'changed, put before the new one: drop function if exists shop.f(uuid);'),

('create function shop.later() returns date language sql as ''select now()::date''; '
 || tap.f('id uuid, due date default shop.later() + 1', 'void'), :sell,
 'action item.sell: a default of function shop.f calls shop.later(), which '
 'tenon_api may not call | The API''s own statements run it: grant execute on '
 'function shop.later() to tenon_api, or do without it there.'),

('create function shop.later() returns date language sql as ''select now()::date''; '
 'grant execute on function shop.later() to tenon_api; '
 || tap.f('id uuid, due date default shop.later(), of uuid default '
          'tenon.current_actor()', 'void'), :sell, 'accepted'),

('create function shop.later() returns date language sql as ''select now()::date''; '
 'create function shop.f(id uuid, due date default now()) returns void '
 'language sql begin atomic select shop.later(); end', :sell, 'accepted'),

(tap.f('id uuid', 'void', 'security definer'), :sell,
 'action item.sell: function shop.f is security definer | Leave that out: it '
 'would run with its owner''s rights. %'),

($$create function shop.f(id uuid) returns void language internal
   as 'pg_sleep'$$, :sell, '%permission denied for language internal%'),

('create procedure shop.f(id uuid) language sql as ''select 1''', :sell,
 'action item.sell: shop.f is no function in SQL or PL/pgSQL | Write it %'),

('create aggregate shop.f(numeric) (sfunc = numeric_add, stype = numeric)',
 :sell, 'action item.sell: shop.f is no function in SQL or PL/pgSQL | %'),

('reset role; create function shop.f(id uuid) returns void language sql as '
 '''select''; set local role tenon_owner', :sell,
 'action item.sell: function shop.f belongs to postgres | alter function '
 'shop.f(uuid) owner to tenon_owner.'),

(tap.f('id uuid, int', 'void'), :sell,
 'action item.sell: argument 2 of function shop.f has no name | Requests '
 'name it: %'),

(tap.f('id uuid, "Wert" int', 'void'), :sell,
 'action item.sell: argument 2 of function shop.f can''t be named ''Wert'' '
 '| %'),

(tap.f('id uuid, cost money', 'void'), :sell,
 'action item.sell: argument cost of function shop.f is money, which can''t '
 'be served | Use text, uuid, bigint, integer, %, date or jsonb.'),

(tap.f('id uuid, names text[]', 'void'), :sell,
 'action item.sell: argument names of function shop.f is text[], which %'),

(tap.f('id uuid, old shop.item', 'void'), :sell,
 'action item.sell: argument old of function shop.f is shop.item, which %'),

('create domain shop.word as text; ' || tap.f('id uuid, w shop.word', 'void'),
 :sell, 'action item.sell: argument w of function shop.f is shop.word, %'),

(tap.f('id uuid, inout n int', ''), :sell,
 'action item.sell: function shop.f has an INOUT or VARIADIC argument | Use '
 'IN arguments, %'),

(tap.f('id uuid, variadic n int[]', 'void'), :sell,
 'action item.sell: function shop.f has an INOUT or VARIADIC argument | %'),

((select tap.f(string_agg('a' || n || ' uuid', ', '), 'void')
    from generate_series(1, 61) n), :sell,
 'action item.sell: function shop.f has more than 60 arguments | Put some %'),

('create function shop.item_sell_action() returns void language sql as '
 '''select''; ' || tap.f('id uuid', 'void'), :sell,
 'schema shop has a function shop.item_sell_action of its own | Drop or '
 'rename it: %');


-- Actions ----------------------------------------------------------------------

insert into refused
values
(tap.f('', 'void'), :sell,
 'action item.sell: the first argument of function shop.f is no uuid | It is '
 'the row''s id: let it begin (id uuid, …).'),

(tap.f('name text, id uuid', 'void'), :sell,
 'action item.sell: the first argument of function shop.f is no uuid | %'),

(tap.f('id uuid', 'void', 'stable'), :sell,
 'action item.sell: function shop.f is not volatile | Leave out stable %'),

(tap.f('id uuid', 'int'), :sell,
 'action item.sell: function shop.f returns integer | Let it return void, '
 'shop.item (the changed row), or table (…) %'),

(tap.f('id uuid', 'setof shop.item'), :sell,
 'action item.sell: function shop.f returns SETOF shop.item | %'),

(tap.f('id uuid, out a int, out b int', 'setof record'), :sell,
 'action item.sell: function shop.f returns SETOF record | %'),

(tap.f('id uuid', 'record'), :sell,
 'action item.sell: function shop.f returns record | %'),

(tap.f('id uuid', 'jsonb'), :sell,
 'action item.sell: function shop.f returns jsonb | %'),

(tap.f('id uuid', 'table (cost money)'), :sell,
 'action item.sell: column cost of what function shop.f answers is money, %'),

(tap.f('id uuid, out int', ''), :sell,
 'action item.sell: function shop.f answers a column without a name | Name '
 'it: responses do.'),

((select tap.f('id uuid', 'table (' || string_agg('c' || n || ' int', ', ')
                          || ')') from generate_series(1, 61) n), :sell,
 'action item.sell: function shop.f answers more than 60 columns | %'),

(tap.f('id uuid', 'void'), :sell || '; ' || :sell,
 'action item.sell is declared twice | Drop or rename %'),

('create table shop.item_b (like shop.item, primary key (tenant_id, id)); '
 || tap.f('id uuid', 'void'),
 $$select tenon.resource('shop.item_b', path => 'b');
   select tenon.action('shop.item', 'b_c', 'shop.f');
   select tenon.action('shop.item_b', 'c', 'shop.f')$$,
 'action item_b.c: another action''s function is called item_b_c_action, too '
 '| %'),

('select', $$select tenon.action('shop.part', 'sell', 'shop.f')$$,
 'shop.part is not a resource of app shop | Declare it first: %'),

(tap.f('id uuid', 'void'),
 :sell || $$; select tenon.allow('member', 'item', '{sell}');
            alter function shop.f security definer;
            select tenon.app_end('shop')$$,
 'action item.sell: function shop.f is security definer | %'),

(tap.f('', 'table (n int)', 'stable'),
 :find || '; select tenon.allow(''member'', ''finder'', ''{read}''); '
 || 'select tenon.allow(''member'', ''item'', ''{read}''); '
 || tap.f('a int', 'table (n int)', 'stable')
 || 'select tenon.app_end(''shop'')',
 'query finder: there are 2 functions shop.f: shop.f(), shop.f(integer) | %'),

('create table shop.item_b (like shop.item, primary key (tenant_id, id)); '
 'create index item_b_list on shop.item (name)',
 $$select tenon.resource('shop.item_b', path => 'b')$$,
 'resource item_b: its index item_b_list has the name of something else | %'),

('create index item_name_filter on shop.item (name); '
 'alter table shop.item alter name type text collate "C"; reset role; '
 'update pg_index set indisvalid = false where indexrelid = '
 '''shop.item_name_filter''::regclass; set local role tenon_owner',
 $$select tenon.field('shop.item', 'name', filter => true)$$,
 'resource item: its index item_name_filter was not built to the end | %'),

(tap.f('id uuid', 'void'), :sell || $$; select tenon.app_end('shop')$$,
 'action item.sell: nobody is allowed anything | Say who may do what: select '
 'tenon.allow(''member'', ''item'', ''{sell}'').'),

(tap.f('id uuid', 'void'),
 $$select tenon.resource('shop.part', path => 'spare-parts',
                         parent => 'item');
   select tenon.action('shop.item', 'spare_parts', 'shop.f');
   select tenon.allow('member', 'part', '{read}');
   select tenon.allow('member', 'item', '{read,spare_parts}');
   select tenon.app_end('shop')$$,
 'action item.spare_parts: its path is that of the child resource part | Give '
 'the action another name: …/{id}/spare-parts can''t be both.');

insert into refused
select tap.f('id uuid', 'void'),
       format('select tenon.action(''shop.item'', %L, ''shop.f'')', name),
       format('resource item: %L can''t be the name of an action | %%', name)
  from unnest(array['Sell', 'sell-out', '1st', '', 'update', 'rollback',
                    'deleted', 'get', 'list', 'roll_back',
                    repeat('s', 32)]) as name;


-- What a session would keep ------------------------------------------------------

insert into refused
select 'create function shop.f(id uuid) returns void language plpgsql as $f$ '
       'begin ' || body || ' end $f$;',
       $$select tenon.action('shop.item', 'sell', 'shop.f');
         select tenon.allow('member', 'item', '{read,sell}');
         select tenon.app_end('shop')$$,
       case when kept
            then 'function shop.f(uuid) changes what the session keeps | '
                 'Connections serve all tenants: leave out set_config, SET, %'
            else 'accepted' end
  from (values
('perform set_config(''lock_timeout'', ''0'', false);', true),
('perform pg_catalog.SET_CONFIG (''tenon.tenant'', ''x'', true);', true),
('set lock_timeout = 0;', true),
('if true then Reset all; end if;', true),
('perform 1; set local statement_timeout = 0;', true),
('perform pg_advisory_lock(1);', true),
('perform pg_try_advisory_lock_shared(1);', true),
('listen news;', true),
('-- set_config(''a'', ''b'', false)
  perform pg_advisory_xact_lock(1);', false),
('update shop.item set name = ''set'' where false; delete from shop.item;',
 false),
('insert into shop.item (tenant_id, id, version, created_at, updated_at)
  values (null, null, 1, now(), now()) on conflict (tenant_id, id) do update
  set name = ''x'';', false)) as b (body, kept);


-- States of actions --------------------------------------------------------------

insert into refused
select tap.f('id uuid', 'void'),
       replace(d, 'sell(', 'select tenon.action(''shop.item'', ''sell'', '
                           '''shop.f'', '), a
  from (values
($$sell(states => '{new}')$$,
 'action item.sell: resource item has no states | Declare them first: select '
 'tenon.states(''shop.item'', …).'),

($$select tenon.states('shop.item', 'state', 'new -> sold');
   sell(states => '{old}')$$,
 'action item.sell: state has no state ''old'' | Its states are: new, sold.'),

($$select tenon.states('shop.item', 'state', 'new -> sold');
   sell(states => '{new}', state_field => 'name')$$,
 'action item.sell: column name has no states | %'),

($$select tenon.states('shop.item', 'state', 'new -> sold');
   sell(states => '{}')$$,
 'action item.sell: it names no state | %'),

($$select tenon.states('shop.item', 'state', 'new -> sold');
   sell(state_field => 'state')$$,
 'action item.sell: it names no state | %'),

($$alter table shop.item alter name set not null;
   select tenon.states('shop.item', 'state', 'new -> sold');
   select tenon.states('shop.item', 'name', 'a -> b');
   sell(states => '{new}')$$,
 'action item.sell: resource item has several fields with states | Name one: '
 'state_field => ''name''.')) as r (d, a);


-- Queries ----------------------------------------------------------------------

insert into refused
values
(tap.f('', 'table (n int)'), :find,
 'query finder: function shop.f is volatile | Add stable: a query changes '
 'nothing.'),

(tap.f('', 'bigint', 'stable'), :find,
 'query finder: function shop.f returns bigint | Let it return table (…) with '
 'named columns, rows of a table, or one such row.'),

(tap.f('', 'setof text', 'stable'), :find,
 'query finder: function shop.f returns SETOF text | %'),

(tap.f('', 'void', 'stable'), :find,
 'query finder: function shop.f returns void | %'),

(tap.f('', 'setof shop.item', 'stable'), :find,
 'query finder: column price of what function shop.f answers is money, %'),

(tap.f('cost money', 'table (n int)', 'stable'), :find,
 'query finder: argument cost of function shop.f is money, %'),

(tap.f('', 'table (n int)', 'stable'),
 $$select tenon.query('item', 'shop.f')$$,
 'query item has the name of a resource | Both would be read by one '
 'permission: %'),

(tap.f('', 'table (n int)', 'stable'),
 $$select tenon.query('part', 'shop.f');
   select tenon.resource('shop.part', path => 'parts')$$,
 'resource part has the name of a query | %'),

(tap.f('', 'table (n int)', 'stable'),
 $$select tenon.query('no way', 'shop.f')$$,
 'app shop: ''no way'' can''t be the name of a query | %'),

(tap.f('', 'table (n int)', 'stable'), :find || '; ' || :find,
 'query finder is declared twice | %'),

('reset role; insert into tenon.query values (''teamos'', ''finder'', ''f'', '
 '''f'', ''one'', ''{}'', false, null, null, 1); set local role tenon_owner',
 :find, 'query finder: app teamos has one of that name | All apps'' queries '
 'lie under /v1/queries: rename one of them.'),

(tap.f('', 'table (n int)', 'stable'),
 $$select tenon.query('finder', 'shop.f', reads => '{item,car}')$$,
 'query finder: it reads ''car'', which is not a resource of app shop | %'),

(tap.f('', 'table (n int)', 'stable'),
 :find || $$; select tenon.allow('member', 'item', '{read}');
            select tenon.app_end('shop')$$,
 'query finder: nobody is allowed anything | Say who may do what: select '
 'tenon.allow(''member'', ''finder'', ''{read}'').');


-- Limits, meters, grants ---------------------------------------------------------

insert into refused
select tap.f('id uuid, note text, n int', 'void')
       || tap.f('', 'table (n int)', 'stable', 'g'),
       replace(d, 'limit(', 'select tenon.param(''shop.f'', '), a
  from (values
($$limit('colour', max => 3)$$,
 'param colour of function shop.f: there is no such argument | Its arguments '
 'are: id, note, n.'),

($$select tenon.param('shop.g', 'n')$$,
 'param n of function shop.g: there is no such argument | It takes none.'),

($$select tenon.param('shop.h', 'n')$$,
 'param n of function shop.h: there is no function shop.h in schema shop | %'),

($$limit('id', max => 3)$$,
 'param id of function shop.f has no length or range to limit | %'),

($$limit('n', min => 3, max => 2)$$,
 'param n of function shop.f has min 3 above max 2 | Swap them.'),

($$limit('n', pattern => 'x')$$,
 'param n of function shop.f is not text | pattern and one_of are for text.'),

($$limit('note', pattern => '(')$$,
 'param note of function shop.f: ''('' is no regular expression | %'),

($$limit('note', one_of => '{}')$$,
 'param note of function shop.f may be one of nothing | %'),

($$limit('note', max => 3);
   select tenon.allow('member', 'item', '{read}');
   select tenon.app_end('shop')$$,
 'param note of function f: no action or query calls that | %'),

($$select tenon.action('shop.item', 'sell', 'shop.f', usage => 'Sales')$$,
 'action item.sell: ''Sales'' can''t be the name of a usage | %'),

($$select tenon.query('finder', 'shop.g', requires_feature => 'a b')$$,
 'query finder: ''a b'' can''t be the name of a feature | %'),

($$select tenon.query('finder', 'shop.g', units => 0)$$,
 'query finder: it can''t count as 0 units | Use 1 to 1000000.'),

($$select tenon.resource('shop.part', path => 'parts', units => 1000001)$$,
 'resource part: it can''t count as 1000001 units | %'),

($$select tenon.action('shop.item', 'sell', 'shop.f');
   select tenon.allow('member', 'item', '{read,buy}')$$,
 'resource shop.item has no verb ''buy'' | Verbs are read, create, update, '
 'delete, history, sell. restore needs soft_delete => true. An action is one '
 'once it is declared.'),

($$select tenon.allow('member', 'item', '{sell}')$$,
 'resource shop.item has no verb ''sell'' | %'),

($$select tenon.query('finder', 'shop.g');
   select tenon.allow('member', 'finder', '{read,update}')$$,
 'query shop.finder has no verb ''update'' | Verbs are read.'),

($$select tenon.query('finder', 'shop.g');
   select tenon.allow('member', 'finder', '{read}', scope => 'own')$$,
 'query shop.finder: it has no rows that could be somebody''s own | Leave out '
 'scope; %'),

($$select tenon.field('shop.item', 'name', search => true)$$,
 'table shop.item: column name is searched, but is no jsonb | Text is '
 'searched by the whole resource: %')) as r (d, a);

select alike(tap.declare(ddl, declaration), answer,
             'refused: ' || split_part(answer, ' | ', 1))
  from refused;


select * from finish();

rollback;
