-- 0007_encryption.sql: fields of apps that are kept encrypted.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0007_encryption.sql
--
-- The server never has a key: the API encrypts before a value gets here and
-- decrypts what it answers (docs/adr/0019). So of such a column the database
-- can compare, check and index nothing, and a declaration that would have it do
-- so is refused.


alter table tenon.field
  add column encrypted  boolean not null default false;

comment on column tenon.field.encrypted is
    'The API keeps it encrypted: tn1.KEY.…; text of another form is not '
    'encrypted yet';


create function tenon.check_encrypted(
    relation   text,
    col        pg_attribute,
    res        tenon.resource,
    looked_at  boolean,
    fixed      boolean)
returns void
language plpgsql stable
as $$
declare
    what  text := format('table %s: column %s is encrypted', relation,
                         col.attname);
    user_of_it  text;
begin
    if col.atttypid <> 'text'::regtype then
        perform tenon.refuse(
            format('%s, but is %s', what,
                   format_type(col.atttypid, col.atttypmod)),
            'Only text can be kept encrypted, and only where the column has '
            'no length of its own: make it text.');
    end if;

    if looked_at or col.attname = any (res.search_columns) then
        perform tenon.refuse(
            what || ', so the database can''t compare it',
            'Leave out filter, sort and search, or encrypted.');
    end if;

    if fixed then
        perform tenon.refuse(
            what || ', so the API must be able to write it anew',
            'Leave out read_only and create_only, or encrypted: under a new '
            'key it is encrypted again.');
    end if;

    if exists (select
                 from tenon.state s
                where s.app = res.app and s.resource = res.name
                  and s.field = col.attname)
    then
        perform tenon.refuse(
            what || ', but holds states',
            'States are compared by the database: leave out encrypted.');
    end if;

    -- What a declaration has made is taken back by the load itself.
    select pg_describe_object(d.classid, d.objid, d.objsubid)
      into user_of_it
      from pg_depend d
     where d.refclassid  = 'pg_class'::regclass
       and d.refobjid    = col.attrelid
       and d.refobjsubid = col.attnum
       and (d.classid in ('pg_constraint'::regclass, 'pg_policy'::regclass,
                          'pg_attrdef'::regclass)
            or d.classid = 'pg_class'::regclass
               and (select relkind from pg_class
                     where oid = d.objid) in ('i', 'I'))
       and coalesce(obj_description(d.objid,
                                    (select relname from pg_class
                                      where oid = d.classid)), '')
           not like 'declared: %'
     order by 1
     limit 1;

    if found then
        perform tenon.refuse(
            format('%s, but %s looks at it', what, user_of_it),
            'It would look at what the value is encrypted to: drop that (a '
            'default, too), or leave out encrypted.');
    end if;
end
$$;

comment on function tenon.check_encrypted(text, pg_attribute, tenon.resource,
                                          boolean, boolean) is
    'Refuses to keep a column encrypted that the database would have to look '
    'into';


-- The old one would stay beside it, and no call could tell them apart.
drop function tenon.field(text, text, bigint, bigint, text, text[], boolean,
                          boolean, boolean, boolean, boolean, boolean);

create function tenon.field(
    relation     text,
    field        text,
    min          bigint  default null,
    max          bigint  default null,
    pattern      text    default null,
    one_of       text[]  default null,
    filter       boolean default false,
    sort         boolean default false,
    read_only    boolean default false,
    create_only  boolean default false,
    pii          boolean default false,
    search       boolean default false,
    encrypted    boolean default false)
returns void
language plpgsql
set search_path = pg_catalog
as $$
declare
    res      tenon.resource := tenon.declared(relation);
    col      pg_attribute   := tenon.field_column(relation, field);
    rel      regclass       := to_regclass(relation);
    is_text  boolean := col.atttypid in ('text'::regtype, 'varchar'::regtype);
    fun      text;
    range    text;
begin
    perform tenon.check_limits(
        format('table %s: column %s', relation, field), col.atttypid, min,
        max, pattern, one_of);

    if encrypted then
        perform tenon.check_encrypted(relation, col, res,
                                      filter or sort or search,
                                      read_only or create_only);
    end if;

    if filter or sort then
        perform tenon.check_keyset(relation, col, sort);
    end if;

    if search then
        if col.atttypid <> 'jsonb'::regtype then
            perform tenon.refuse(
                format('table %s: column %s is searched, but is no jsonb',
                       relation, field),
                'Text is searched by the whole resource: '
                'tenon.resource(…, search => ''{…}'').');
        end if;

        fun := tenon.set_contains(res, field);
    end if;

    insert into tenon.field
           (app, resource, name, min, max, pattern, one_of, filter, sort,
            read_only, create_only, pii, contains, encrypted)
    values (res.app, res.name, field.field, min, max, pattern, one_of, filter,
            sort, read_only, create_only, pii, fun, encrypted)
        on conflict on constraint field_pkey do update
       set min         = excluded.min,
           max         = excluded.max,
           pattern     = excluded.pattern,
           one_of      = excluded.one_of,
           filter      = excluded.filter,
           sort        = excluded.sort,
           read_only   = excluded.read_only,
           create_only = excluded.create_only,
           pii         = excluded.pii,
           contains    = excluded.contains,
           encrypted   = excluded.encrypted;

    -- Of what is encrypted the server sees nothing that it could check; the
    -- API does, before it encrypts.
    range := format(
        case when encrypted or min is null and max is null then null
             when max is null then '%1$s >= %2$s'
             when min is null then '%1$s <= %3$s'
             else '%1$s between %2$s and %3$s' end,
        case when is_text then format('char_length(%I)', field.field)
             else quote_ident(field.field) end,
        min, max);

    perform tenon.set_check(
        rel, tenon.object_name(res.table_name, field.field, 'length'),
        case when is_text then range end);

    perform tenon.set_check(
        rel, tenon.object_name(res.table_name, field.field, 'range'),
        case when not is_text then range end);

    perform tenon.set_check(
        rel, tenon.object_name(res.table_name, field.field, 'format'),
        case when pattern is not null and not encrypted
             then format('%I ~ %L', field.field, pattern) end);

    perform tenon.set_check(
        rel, tenon.object_name(res.table_name, field.field, 'set'),
        case when one_of is not null and not encrypted
             then format('%I = any (%L::text[])', field.field, one_of) end);

    if filter then
        perform tenon.set_index(res, field.field || '_filter',
                                array['tenant_id', field.field, 'created_at',
                                      'id']);
    end if;

    if sort then
        perform tenon.set_index(res, field.field || '_sort',
                                array['tenant_id', field.field, 'id']);
    end if;
end
$$;

comment on function tenon.field(text, text, bigint, bigint, text, text[],
                                boolean, boolean, boolean, boolean, boolean,
                                boolean, boolean) is
    'Declares what a column''s type doesn''t say; limits become check '
    'constraints, filter and sort become indexes, search an index and a '
    'function; what is encrypted is checked by the API alone';
