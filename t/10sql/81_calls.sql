-- Actions and queries at work: as whom they run, what they see, what they
-- leave in the log; and what becomes of them when an app is loaded again.

begin;

select plan(92);

\set hammer '01900000-000a-7000-8000-000000000a01'
\set nail   '01900000-000a-7000-8000-000000000a02'
\set saw    '01900000-000b-7000-8000-000000000a01'


-- An app ---------------------------------------------------------------------

create schema shop authorization tenon_owner;

create procedure tap.load(more text default '', limits boolean default true)
language plpgsql
as $$
begin
    perform tenon.app_begin('shop');
    perform tenon.resource('shop.item', path => 'items', soft_delete => true,
                           usage => 'items', units => 2,
                           requires_feature => 'shop');
    perform tenon.field('shop.item', 'state', read_only => true);
    perform tenon.field('shop.item', 'name', pii => true);
    perform tenon.states('shop.item', 'state',
                         'new -> sold, new -> cheap, cheap -> sold');
    perform tenon.resource('shop.bill', path => 'bills', parent => 'item');
    perform tenon.allow('owner', 'bill', '{read}');
    perform tenon.allow('owner', 'item', '{read}');

    if limits then
        perform tenon.param('shop.sell', 'total', min => 1, max => 9);
        perform tenon.param('shop.sell', 'note', pattern => '^x',
                            one_of => '{x,xy}');
        perform tenon.action('shop.item', 'sell', 'shop.sell',
                             states => '{new,cheap}', summary => 'Sold!',
                             usage => 'sales', units => 3,
                             requires_feature => 'shop.sales');
        perform tenon.action('shop.item', 'scrap', 'scrap');
        perform tenon.action('shop.item', 'raze', 'raze');
        perform tenon.action('shop.item', 'price', 'shop.price');
        perform tenon.action('shop.item', 'weigh', 'shop.weigh');
        perform tenon.action('shop.item', 'steal', 'shop.steal');
        perform tenon.action('shop.item', 'peek', 'shop.peek');
        perform tenon.query('everything', 'shop.everything', slow => true,
                            reads => '{item}');
        perform tenon.query('count_all', 'shop.count_all');
        perform tenon.allow('owner', 'item',
                            '{sell,scrap,raze,price,weigh,steal,peek}');
        perform tenon.allow('member', 'item', '{sell}', scope => 'own');
        perform tenon.allow('owner', 'everything', '{read}');
        perform tenon.allow('owner', 'shop.count_all', '{read}');
    end if;

    execute coalesce(nullif(more, ''), 'select');
    perform tenon.app_end('shop');
end
$$;

set local role tenon_owner;

create table shop.item (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    name        text        collate "C" not null,
    state       text        collate "C" not null default 'new',
    sold_to     uuid,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid        default tenon.current_actor(),
    updated_at  timestamptz not null default now(),
    deleted_at  timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, name),
    foreign key (tenant_id, sold_to)
     references tenon.member (tenant_id, user_id));

create table shop.bill (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    item_id     uuid        not null,
    total       int         not null,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, item_id) references shop.item on delete cascade);

create index on shop.bill (tenant_id, item_id);
create unique index bill_once on shop.bill (tenant_id, item_id, lower(total::text), created_at)
       include (total);

-- Not served: no policy keeps its rows apart.
create table shop.secret (word text);
insert into shop.secret values ('abracadabra');

-- As careless as can be: says nowhere whose rows it means.
create function shop.sell(id uuid, total int, note text default 'x',
                          out_of date default null)
returns shop.item
language plpgsql
as $$
declare
    sold  shop.item;
begin
    insert into shop.bill (tenant_id, item_id, total)
    select i.tenant_id, i.id, sell.total from item i where i.id = sell.id;
    update shop.item i set state = 'cheap' where i.id <> sell.id;
    update shop.item i
       set state = 'sold', sold_to = tenon.current_actor()
     where i.id = sell.id
    returning * into sold;
    return sold;
end
$$;

create function shop.scrap(id uuid)
returns void
language sql
as $$
    delete from shop.bill;
    update shop.item set deleted_at = now() where id = $1;
$$;

create function shop.raze(id uuid)
returns void
language sql
as $$ delete from shop.item i where i.id = $1 $$;

create function shop.price(id uuid)
returns table (total int)
language sql
as $$ select total from shop.bill order by created_at desc, total $$;

create function shop.weigh(id uuid, out grams int, out dear boolean)
language sql
as $$ select count(*)::int, true from shop.item $$;

create function shop.steal(id uuid, tenant uuid)
returns void
language sql
as $$ insert into shop.item (tenant_id, name) values (tenant, 'stolen') $$;

create function shop.peek(id uuid, what text)
returns void
language plpgsql
as $$ begin execute what; end $$;

create function shop.everything()
returns setof shop.item
language plpgsql stable
as $$ begin return query select * from item; end $$;

create function shop.count_all(out n bigint)
language plpgsql stable
as $$ begin n := helper(); end $$;

create function shop.helper()
returns bigint
language sql stable
as $$ select count(*) from shop.item $$;

create function shop.overlord()
returns bigint
language sql security definer
as $$ select 1 $$;

call tap.load();

select set_config('tenon.tenant', acme(), true) as ignored \gset
insert into shop.item (tenant_id, id, name)
values (acme()::uuid, :'hammer', 'hammer'), (acme()::uuid, :'nail', 'nail');
select set_config('tenon.tenant', globex(), true) as ignored \gset
insert into shop.item (tenant_id, id, name)
values (globex()::uuid, :'saw', 'saw');
select set_config('tenon.tenant', '', true) as ignored \gset
reset role;

create function tap.items()
returns text
language sql
as $$
    select string_agg(concat_ws(' ', name, state, version), ', '
                      order by name)
      from shop.item where deleted_at is null
$$;

create table tap.seen as select id from tenon.event;

create function tap.since()
returns table (action text, who text, cause text, version bigint)
language sql
as $$
    select a.action, a.after ->> 'name', a.metadata ->> 'cause', a.version
      from tenon.event e
      join tenon.audit_event a using (tenant_id, at, id)
     where e.id not in (select id from tap.seen)
$$;



-- Who may call what ------------------------------------------------------------

select set_eq(
    $$ select p.proname::text, p.proowner::regrole::text, p.prosecdef,
              p.proconfig::text as config, a.grantee::regrole::text as role
         from pg_proc p
        cross join aclexplode(p.proacl) a
        where p.pronamespace = 'shop'::regnamespace
          and a.grantee <> p.proowner $$,
    $$ select n || '_action' as name, 'tenon_app' as owner, true as definer,
              '{"search_path=pg_catalog, shop, pg_temp"}' as config,
              'tenon_api' as role
         from unnest(array['item_sell', 'item_scrap', 'item_raze', 'item_price',
                           'item_weigh', 'item_steal', 'item_peek']) as n
       union all
       select n || '_query', 'tenon_app', true,
              '{"search_path=pg_catalog, shop, pg_temp"}', 'tenon_api'
         from unnest(array['everything', 'count_all']) as n
       union all
       select n, 'tenon_owner', false, null, 'tenon_app'
         from unnest(array['sell', 'scrap', 'raze', 'price', 'weigh', 'steal', 'peek',
                           'everything', 'count_all', 'helper']) as n $$,
    'wrappers are for the API, what the author wrote is for them, a definer''s '
    'is for nobody');

select is_empty(
    $$ select p.oid::regprocedure
         from pg_proc p
        where p.pronamespace = 'shop'::regnamespace and p.proacl is null $$,
    'and nothing is for the public');

select is(run('tenon_api', acme(), call), '42501', 'the API can''t call ' || call)
  from unnest(array[
       $$ select shop.everything() $$,
       $$ select shop.helper() $$,
       $$ select shop.overlord() $$,
       $$ select shop.scrap('01900000-000a-7000-8000-000000000a01') $$])
       as call;

select is(run(role, acme(), 'select shop.count_all_query()'), '42501',
          format('%s can''t call a wrapper', role))
  from unnest(array['tenon_owner', 'tenon_feed', 'tenon_worker',
                    'tenon_lookup', 'tenon_search']) as role;

select set_eq(
    $$ select case a.grantee when 0 then 'public'
                             else a.grantee::regrole::text end,
              c.relname::text, string_agg(lower(a.privilege_type), ' '
                                          order by a.privilege_type)
         from pg_class c cross join aclexplode(c.relacl) a
        where c.relnamespace = 'shop'::regnamespace
          and a.grantee <> c.relowner
        group by 1, 2 $$,
    $$ values ('tenon_api', 'item', 'insert select'),
              ('tenon_api', 'bill', 'delete insert select'),
              ('tenon_app', 'item', 'delete insert select update'),
              ('tenon_app', 'bill', 'delete insert select update') $$,
    'functions may do to the app''s tables what they need, and nothing to one '
    'that isn''t served');


-- An action --------------------------------------------------------------------

select is(run('tenon_api', acme(), format(
              'update shop.item set state = ''sold'' where id = %L',
              :'hammer')), '42501', 'what is read_only the API can''t write');

set local tenon.actor      = '01900000-000a-7000-8000-000000000202';
set local tenon.request_id = 'req-1';
set local tenon.cause      = 'item.sell';
set local tenon.cause_id   = :'hammer';

select is(run('tenon_api', acme(), format(
              'select concat_ws('' '', name, state, version, sold_to)
                 from shop.item_sell_action(%L, 7, null, null)', :'hammer')),
          'hammer sold 2 01900000-000a-7000-8000-000000000202',
          'but an action can: its function runs as tenon_app');

select is(tap.items(), 'hammer sold 2, nail cheap 2, saw new 1',
          'and for one tenant, whatever it forgot to say');

select set_eq(
    'select * from tap.since()',
    $$ values ('item.sell',    'hammer', null,        2::bigint),
              ('item.updated', 'nail',   'item.sell', 2),
              ('bill.created', null,     'item.sell', 1) $$,
    'the log names the action, and the cause of what it did besides');

select results_eq(
    $$ select distinct a.actor_id::text, a.request_id, a.actor ->> 'type'
         from tenon.audit_event a where id not in (select id from tap.seen) $$,
    $$ values ('01900000-000a-7000-8000-000000000202', 'req-1', 'user') $$,
    'and who it was');

select is_empty(
    $$ select e.id
         from tenon.event e
         left join tenon.event_body b
           on (b.tenant_id, b.at, b.event_id) = (e.tenant_id, e.at, e.id)
        where e.commitment is distinct from tenon.commitment(
              b.salt, b.before, b.after, b.metadata, b.ip, b.user_agent) $$,
    'commitments hold the cause, too');

insert into tap.seen select id from tenon.event;
set local tenon.cause    = 'item.scrap';
set local tenon.cause_id = :'hammer';

select is(run('tenon_api', acme(), format(
              'select shop.item_scrap_action(%L)', :'hammer')), null,
          'an action may answer nothing');
select set_eq(
    'select * from tap.since()',
    $$ values ('item.deleted', 'hammer',   'item.scrap', 3::bigint),
              ('bill.deleted', null::text, 'item.scrap', 1) $$,
    'what is deleted is deleted in the log');

insert into tap.seen select id from tenon.event;
set local tenon.cause    = '';
set local tenon.cause_id = '';

select is(run('tenon_owner', acme(), format(
              'update shop.item set deleted_at = null where id = %L',
              :'hammer')), '1', 'by hand');
select set_eq('select * from tap.since()',
              $$ values ('item.restored', 'hammer', null, 4::bigint) $$,
              'there is no cause');

select is(run('tenon_api', acme(), format(
              'select total is null from shop.item_price_action(%L)',
              :'hammer')), 'true', 'one answer without a row is empty');
select is(run('tenon_api', acme(), format(
              'select shop.item_sell_action(%L, n, null, null)
                 from generate_series(1, 3) n', :'hammer')) is not null, true,
          'it is sold three times');
select is(run('tenon_api', acme(), format(
              'select array_agg(total) from shop.item_price_action(%L)',
              :'hammer')), '{1}', 'one answer is one row');
select is(run('tenon_api', acme(), format(
              'select p from shop.item_weigh_action(%L) p', :'hammer')),
          '(2,t)', 'or several columns');


insert into tap.seen select id from tenon.event;
set local tenon.cause    = 'item.raze';
set local tenon.cause_id = :'hammer';
savepoint whole;
select is(run('tenon_api', acme(), format(
              'select shop.item_raze_action(%L)', :'hammer')), null,
          'what hangs on a row goes with it');
select set_eq('select action, cause from tap.since()',
              $$ values ('item.deleted', 'item.raze'),
                        ('bill.deleted', 'item.raze') $$,
              'and is logged, though a key took it along');
rollback to whole;
set local tenon.cause    = '';
set local tenon.cause_id = '';

select is(run('tenon_api', acme(), 'select tenon.current_actor()'),
          '01900000-000a-7000-8000-000000000202',
          'defaults and triggers may ask who, too');
select is(run('tenon_api', acme(), 'select tenon.current_tenant()'), acme(),
          'and for whom');


-- Another tenant -----------------------------------------------------------------

select is(run('tenon_api', acme(), 'select count(*) from shop.everything_query()'),
          '2', 'a query sees the tenant''s rows');
select is(run('tenon_api', globex(),
              'select string_agg(name, '','') from shop.everything_query()'),
          'saw', 'and no other''s');
select is(run('tenon_api', acme(), 'select shop.count_all_query()'), '2',
          'nor what it calls');
select is(run('tenon_api', globex(), 'select shop.count_all_query()'), '1',
          'with the plan of another tenant''s call');
select is(run('tenon_api', '', 'select shop.count_all_query()'), '0',
          'no tenant has nothing');
select is(run('tenon_api', 'nonsense', 'select shop.count_all_query()'),
          '22P02', 'nonsense is an error');

delete from tap.seen;
insert into tap.seen select id from tenon.event;

select is(run('tenon_api', globex(), format(
              'select s is null from shop.item_sell_action(%L, 1, null, null) s',
              :'hammer')), 'true', 'an id of acme''s is nothing in globex');
select is(run('tenon_api', '', format(
              'select s is null from shop.item_sell_action(%L, 1, null, null) s',
              :'hammer')), 'true', 'nor anything with no tenant');
select is((select count(*) from tap.since() where action <> 'item.updated'),
          0::bigint, 'and nothing is sold there');
select is(run('tenon_api', globex(), format(
              'select shop.item_steal_action(%L, %L)', :'saw', acme())),
          '42501', 'nothing is put into another tenant');
select is(run('tenon_api', '', format(
              'select shop.item_steal_action(%L, %L)', :'saw', acme())),
          '42501', 'nor with none');
select is(run('tenon_api', globex(), format(
              'select shop.item_steal_action(%L, %L)', :'saw', globex())),
          null, 'but into one''s own');


-- What a function can't reach, even one that runs what it is told ----------------

create function tap.peek(what text, tenant text default acme())
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'select shop.item_peek_action(null, %L)', what))
$$;

select is(tap.peek(what), '42501', 'a function can''t: ' || what)
  from unnest(array[
       'select word from shop.secret',
       'select id from teamos.task',
       'select password_hash from tenon."user"',
       'select email from tenon."user"',
       'select email from tenon.member_view',
       'select email from tenon.invitation',
       'select id from tenon.session',
       'select outcome from tenon.idempotency',
       'select name from tenon.tenant',
       'select slug from tenon.tenant_slug',
       'select id from tenon.event',
       'select action from tenon.audit_event',
       'select name from tenon."grant", tenon.permission',
       'select count(*) from tenon.app',
       'update tenon.member set role = ''owner''',
       'delete from tenon.member',
       $$ insert into tenon."grant" values ('member', 1, 'tenant', 'x') $$,
       $$ insert into tenon.event (tenant_id) values (null) $$,
       $$ select tenon.log_event(null, 'x', '', null, 1, '{}', '{}', '{}', '') $$,
       $$ select tenon.find_tenant('acme') $$,
       $$ select tenon.app_drop('teamos') $$,
       $$ select teamos.task_search('a') $$,
       'select shop.overlord()',
       'set local role tenon_owner',
       'set session authorization postgres',
       'create table shop.mine (a int)',
       'create temporary table item (a int)',
       'alter table shop.item disable row level security',
       'drop policy tenant on shop.item',
       'alter table shop.item disable trigger all',
       'set local session_replication_role = replica',
       'truncate shop.item',
       'lock table tenon.app',
       'copy shop.item to program ''true''']) as what;

select is(tap.peek('do $x$ begin if (select count(*) from tenon.member)
                    <> 3 then raise exception ''x''; end if; end $x$'),
          null, 'it sees who is a member');
select is(tap.peek('do $x$ begin if (select count(*) from tenon.member)
                    <> 0 then raise exception ''x''; end if; end $x$', ''),
          null, 'of the tenant');
select is(tap.peek('set local row_security = off; delete from shop.item'),
          '42501', 'it may ask for all rows, and is refused');

-- A temporary table of that name, which only a superuser could make.
create temporary table item as select * from shop.item limit 0;
grant all on item to public;
select is(run('tenon_api', acme(),
              'select count(*) from shop.everything_query()'), '2',
          'a name without a schema means the app''s');
drop table pg_temp.item;


-- What workers read ---------------------------------------------------------------

create temporary view calls (app, kind, resource, name, wrapper, answers,
                             states, state_field, summary, slow, usage, units,
                             requires_feature, reads) as :catalogue_calls;
create temporary view params (app, kind, resource, call, name, type, preset,
                              min, max, pattern, one_of)
    as :catalogue_params;
create temporary view columns (app, kind, resource, call, name, type)
    as :catalogue_columns;
create temporary view keys (app, resource, key, name) as :catalogue_keys;

select results_eq(
    $$ select kind, resource::text collate "default",
              name::text collate "default", wrapper::text collate "default",
              answers::text collate "default", states::text, slow,
              usage::text collate "default", units,
              requires_feature::text collate "default", reads::text
         from calls where app = 'shop' $$,
    $$ values
       ('action', 'item', 'peek', 'shop.item_peek_action', 'nothing', null::text, false, null::text, 1, null::text, '[]'),
       ('action', 'item', 'price', 'shop.item_price_action', 'one', null, false, null, 1, null, '[]'),
       ('action', 'item', 'raze', 'shop.item_raze_action', 'nothing', null, false, null, 1, null, '[]'),
       ('action', 'item', 'scrap', 'shop.item_scrap_action', 'nothing', null, false, null, 1, null, '[]'),
       ('action', 'item', 'sell', 'shop.item_sell_action', 'row', '["new","cheap"]', false, 'sales', 3, 'shop.sales', '[]'),
       ('action', 'item', 'steal', 'shop.item_steal_action', 'nothing', null, false, null, 1, null, '[]'),
       ('action', 'item', 'weigh', 'shop.item_weigh_action', 'one', null, false, null, 1, null, '[]'),
       ('query', null, 'count_all', 'shop.count_all_query', 'one', null, false, null, 1, null, '[]'),
       ('query', null, 'everything', 'shop.everything_query', 'many', null, true, null, 1, null, '["item"]') $$,
    'workers read actions and queries');

select results_eq(
    $$ select p::text from params p where app = 'shop' $$,
    array['(shop,action,item,peek,what,text,,,,,)',
          '(shop,action,item,sell,total,integer,,1,9,,)',
          '(shop,action,item,sell,note,text,''x''::text,,,^x,"[""x"",""xy""]")',
          '(shop,action,item,sell,out_of,date,NULL::date,,,,)',
          '(shop,action,item,steal,tenant,uuid,,,,,)'],
    'arguments in their order, with limits and defaults, without the id');

select results_eq(
    $$ select c::text from columns c where app = 'shop' $$,
    array['(shop,action,item,price,total,integer)',
          '(shop,action,item,weigh,grams,integer)',
          '(shop,action,item,weigh,dear,boolean)',
          '(shop,query,,count_all,n,bigint)',
          '(shop,query,,everything,id,uuid)',
          '(shop,query,,everything,name,text)',
          '(shop,query,,everything,state,text)',
          '(shop,query,,everything,sold_to,uuid)',
          '(shop,query,,everything,version,bigint)',
          '(shop,query,,everything,created_at,"timestamp with time zone")',
          '(shop,query,,everything,created_by,uuid)',
          '(shop,query,,everything,updated_at,"timestamp with time zone")'],
    'what they answer, without what stays inside');

select results_eq(
    $$ select k::text from keys k where app = 'shop' $$,
    array['(shop,bill,bill_once,item_id)',
          '(shop,bill,bill_once,created_at)',
          '(shop,item,item_tenant_id_name_key,name)'],
    'and the fields of unique keys');


-- Loaded again ---------------------------------------------------------------------

create temporary table made as
select oid, ctid::text as place, proname, proacl::text from pg_proc
 where pronamespace = 'shop'::regnamespace;

set local role tenon_owner;
call tap.load();
reset role;

select set_eq(
    $$ select oid, ctid::text as place, proname, proacl::text from pg_proc
        where pronamespace = 'shop'::regnamespace $$,
    'select * from made', 'loaded again, no function is touched');

set local role tenon_owner;
create or replace function shop.count_all(out n bigint)
language sql stable as 'select 42';
call tap.load();
reset role;
select is(run('tenon_api', acme(), 'select shop.count_all_query()'), '42',
          'a function may be replaced');
select is((select oid from pg_proc where proname = 'count_all_query'),
          (select oid from made where proname = 'count_all_query'),
          'its wrapper stays');

set local role tenon_owner;
drop function shop.count_all;
create function shop.count_all(plus int, out n bigint, out m text)
language sql stable as 'select 42 + $1, ''x''';
call tap.load();
reset role;
select is(run('tenon_api', acme(), 'select q from shop.count_all_query(1) q'),
          '(43,x)', 'with other arguments, it has a new one');
select is((select count(*) from pg_proc where proname = 'count_all_query'),
          1::bigint, 'and only that');

update pg_proc set proacl = null where proname = 'count_all_query';
set local role tenon_owner;
call tap.load();
reset role;
select is(run('tenon_feed', acme(), 'select shop.count_all_query(1)'), '42501',
          'a wrapper that was opened is shut again');

set local role tenon_owner;
call tap.load(limits => false);
reset role;
select is_empty(
    $$ select p.proname from pg_proc p
        where p.pronamespace = 'shop'::regnamespace
          and (p.proowner = 'tenon_app'::regrole
               or has_function_privilege('tenon_app', p.oid, 'execute')) $$,
    'no longer declared, wrappers are gone');
select is_empty(
    $$ select c.relname from pg_class c
        where c.relnamespace = 'shop'::regnamespace and c.relkind = 'r'
          and has_table_privilege('tenon_app', c.oid,
                                  'select, insert, update, delete')
       union all
       select 'shop' where has_schema_privilege('tenon_app', 'shop', 'usage') $$,
    'and so is the way to the tables');


select * from finish();

rollback;
