-- Columns that are kept encrypted: what can't be, and how it is said; and that
-- no constraint or index looks at one.

begin;

select plan(23);

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
            'null, name text, phone text, short varchar(20), n int, doc jsonb, '
            'preset text default ''x'', '
            'state text collate "C" not null, '
            'version bigint not null, created_at timestamptz not null, '
            'created_by uuid, updated_at timestamptz not null, '
            'primary key (tenant_id, id))';
    execute ddl;
    perform tenon.resource('shop.item', path => 'items',
                           search => '{name}');
    execute declaration;
    raise exception 'accepted';
exception when others then
    get stacked diagnostics message = message_text,
                            hint    = pg_exception_hint;
    reset role;
    return concat_ws(' | ', message, nullif(hint, ''));
end
$$;

create temporary table refused (ddl text, declaration text, answer text);

insert into refused
values
('', $$select tenon.field('shop.item', 'n', encrypted => true)$$,
 'table shop.item: column n is encrypted, but is integer | Only text can be '
 'kept encrypted, and only where the column has no length of its own: make '
 'it text.'),
('', $$select tenon.field('shop.item', 'short', encrypted => true)$$,
 'table shop.item: column short is encrypted, but is character varying(20) | '
 'Only text can be kept encrypted, and only where the column has no length of '
 'its own: make it text.'),
('', $$select tenon.field('shop.item', 'doc', encrypted => true)$$,
 'table shop.item: column doc is encrypted, but is jsonb | Only text can be '
 'kept encrypted, and only where the column has no length of its own: make '
 'it text.'),
('', $$select tenon.field('shop.item', 'phone', encrypted => true,
                          filter => true)$$,
 'table shop.item: column phone is encrypted, so the database can''t compare '
 'it | Leave out filter, sort and search, or encrypted.'),
('', $$select tenon.field('shop.item', 'phone', encrypted => true,
                          sort => true)$$,
 'table shop.item: column phone is encrypted, so the database can''t compare '
 'it | Leave out filter, sort and search, or encrypted.'),
('', $$select tenon.field('shop.item', 'name', encrypted => true)$$,
 'table shop.item: column name is encrypted, so the database can''t compare '
 'it | Leave out filter, sort and search, or encrypted.'),
('', $$select tenon.field('shop.item', 'phone', encrypted => true,
                          read_only => true)$$,
 'table shop.item: column phone is encrypted, so the API must be able to '
 'write it anew | Leave out read_only and create_only, or encrypted: under a '
 'new key it is encrypted again.'),
('', $$select tenon.field('shop.item', 'phone', encrypted => true,
                          create_only => true)$$,
 'table shop.item: column phone is encrypted, so the API must be able to '
 'write it anew | Leave out read_only and create_only, or encrypted: under a '
 'new key it is encrypted again.'),
('', $$select tenon.states('shop.item', 'state', 'new -> old');
       select tenon.field('shop.item', 'state', encrypted => true)$$,
 'table shop.item: column state is encrypted, but holds states | States are '
 'compared by the database: leave out encrypted.'),
('', $$select tenon.field('shop.item', 'preset', encrypted => true)$$,
 'table shop.item: column preset is encrypted, but default value for column '
 'preset of table shop.item looks at it | It would look at what the value is '
 'encrypted to: drop that (a default, too), or leave out encrypted.'),
($$alter table shop.item add constraint ours check (phone <> '')$$,
 $$select tenon.field('shop.item', 'phone', encrypted => true)$$,
 'table shop.item: column phone is encrypted, but constraint ours on table '
 'shop.item looks at it | It would look at what the value is encrypted to: '
 'drop that (a default, too), or leave out encrypted.'),
($$create unique index ours on shop.item (tenant_id, phone)$$,
 $$select tenon.field('shop.item', 'phone', encrypted => true)$$,
 'table shop.item: column phone is encrypted, but index shop.ours looks at '
 'it | It would look at what the value is encrypted to: drop that (a default, '
 'too), or leave out encrypted.'),
($$create index ours on shop.item (tenant_id) where phone is not null$$,
 $$select tenon.field('shop.item', 'phone', encrypted => true)$$,
 'table shop.item: column phone is encrypted, but index shop.ours looks at '
 'it | It would look at what the value is encrypted to: drop that (a default, '
 'too), or leave out encrypted.'),
($$alter table shop.item add column tail text generated always as
   (right(phone, 2)) stored$$,
 $$select tenon.field('shop.item', 'phone', encrypted => true)$$,
 'table shop.item: column phone is encrypted, but default value for column '
 'tail of table shop.item looks at it | It would look at what the value is '
 'encrypted to: drop that (a default, too), or leave out encrypted.');

select is(tap.declare(ddl, declaration), answer,
          'refused: ' || split_part(answer, ' | ', 1))
  from refused;


-- What may be ------------------------------------------------------------------

select is(tap.declare('', declaration), 'accepted', 'accepted: ' || declaration)
  from (values
        ($$select tenon.field('shop.item', 'phone', encrypted => true)$$),
        ($$select tenon.field('shop.item', 'phone', encrypted => true,
                              pii => true, min => 1, max => 30,
                              pattern => '^[0-9]+$')$$),
        ($$select tenon.field('shop.item', 'phone', encrypted => true,
                              one_of => '{a,b}')$$),
        -- what a declaration of before has made is no obstacle
        ($$select tenon.field('shop.item', 'phone', min => 1, max => 30,
                              pattern => '^[0-9]+$');
           select tenon.field('shop.item', 'phone', encrypted => true,
                              max => 30)$$)) as d (declaration);

-- The limits are the API's to check: the server would see something else.
select set_config('role', 'tenon_owner', true);
select tenon.app_begin('shop');
create table shop.item (
    tenant_id   uuid        not null,
    id          uuid        not null,
    phone       text,
    name        text,
    version     bigint      not null,
    created_at  timestamptz not null,
    created_by  uuid,
    updated_at  timestamptz not null,
    primary key (tenant_id, id)
);
select tenon.resource('shop.item', path => 'items');
select tenon.field('shop.item', 'phone', max => 30, pattern => '^[0-9]+$');
select tenon.field('shop.item', 'name', max => 30);
select set_config('role', 'none', true);

create function tap.checks()
returns setof text
language sql
as $$
    select conname::text from pg_constraint
     where conrelid = 'shop.item'::regclass and contype = 'c'
$$;

select set_eq('select tap.checks()',
              array['item_phone_length', 'item_phone_format',
                    'item_name_length'],
              'limits of a field are constraints');

select set_config('role', 'tenon_owner', true);
select tenon.field('shop.item', 'phone', max => 30, pattern => '^[0-9]+$',
                   encrypted => true);
select set_config('role', 'none', true);

select set_eq('select tap.checks()', array['item_name_length'],
              'and none once it is encrypted');

select is((select encrypted from tenon.field
            where resource = 'item' and name = 'phone'), true,
          'which workers read');
select is((select encrypted from tenon.field
            where resource = 'item' and name = 'name'), false,
          'of each field');

select is((select count(*) from pg_proc
            where pronamespace = 'tenon'::regnamespace and proname = 'field'),
          1::bigint, 'there is one tenon.field() to call');

select * from finish();
rollback;
