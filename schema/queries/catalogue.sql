-- The catalogue as workers read it, at their start and whenever its version is
-- another: declarations joined with what PostgreSQL itself knows of the tables.

-- name: catalogue_version
select c.version, coalesce((select max(m.version) from tenon.migration m), 0)
  from tenon.catalogue_version c;

-- name: catalogue_roles
select name
  from tenon.role
 order by name;

-- name: catalogue_permissions
select number, name
  from tenon.permission
 order by number;

-- name: catalogue_grants
select role, permission, scope
  from tenon.shipped_grant
 order by role, permission, scope;

-- name: catalogue_resources
select r.app, r.name, r.path,
       format('%I.%I', r.schema_name, r.table_name) as relation, r.soft_delete,
       r.owner_column, r.parent, r.parent_column, r.search, r.require_match,
       r.usage, case when m.aggregate = 'count' then 1 else r.units end,
       r.requires_feature, r.account_column, r.shareable, to_json(m.writes)
  from tenon.resource r
  left join tenon.meter m on m.name = r.usage
 order by r.app, r.name;

-- name: catalogue_fields
select r.app, r.name, a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       f.min, f.max, f.pattern,
       to_json(coalesce(f.one_of,
                        (select array_agg(s.name order by s.position)
                           from tenon.state s
                          where s.app = r.app and s.resource = r.name
                            and s.field = a.attname))),
       coalesce(f.filter or a.attname = r.account_column, false),
       coalesce(f.sort, false),
       coalesce(f.read_only, false), coalesce(f.create_only, false),
       coalesce(f.pii, false), f.contains, coalesce(f.encrypted, false)
  from tenon.resource r
  join pg_catalog.pg_namespace n on n.nspname = r.schema_name
  join pg_catalog.pg_class c on c.relnamespace = n.oid
                            and c.relname = r.table_name
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0
                                and not a.attisdropped
  left join pg_catalog.pg_attrdef d on d.adrelid = c.oid
                                   and d.adnum = a.attnum
  left join tenon.field f on f.app = r.app and f.resource = r.name
                         and f.name = a.attname
 order by r.app, r.name, a.attnum;

-- Foreign keys (tenant_id, column) of resources: what must be there when the
-- column is written.
-- name: catalogue_references
select r.app, r.name, a.attname, format('%I.%I', tn.nspname, t.relname),
       ta.attname,
       exists (select from pg_catalog.pg_attribute x
                where x.attrelid = t.oid and x.attname = 'deleted_at'),
       a.attname = coalesce(r.parent_column, '')
  from tenon.resource r
  join pg_catalog.pg_namespace n on n.nspname = r.schema_name
  join pg_catalog.pg_class c on c.relnamespace = n.oid
                            and c.relname = r.table_name
  join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype = 'f'
                                 and array_length(k.conkey, 1) = 2
  join pg_catalog.pg_attribute a on a.attrelid = c.oid
                                and a.attnum = k.conkey[2]
  join pg_catalog.pg_class t on t.oid = k.confrelid
  join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
  join pg_catalog.pg_attribute ta on ta.attrelid = t.oid
                                 and ta.attnum = k.confkey[2]
  join pg_catalog.pg_attribute first on first.attrelid = c.oid
                                    and first.attnum = k.conkey[1]
                                    and first.attname = 'tenant_id'
 order by r.app, r.name, a.attname;

-- name: catalogue_transitions
select app, resource, field, from_state, to_state
  from tenon.transition
 order by app, resource, field, from_state, to_state;

-- Actions, and queries (whose resource is null).
-- name: catalogue_calls
select a.app, 'action' as kind, a.resource, a.name, a.wrapper, a.answers,
       to_json(a.states), a.state_field, a.summary, false as slow, a.usage,
       case when m.aggregate = 'count' then 1 else a.units end as units,
       a.requires_feature, '[]'::json as reads
  from tenon.action a
  left join tenon.meter m on m.name = a.usage
 union all
select app, 'query', null, name, wrapper, answers, null, null, summary, slow,
       usage, units, requires_feature, to_json(reads)
  from tenon.query
 order by 1, 2, 3, 4;

-- What they take, but for the id of an action's row, which is in the path.
-- name: catalogue_params
select c.app, c.kind, c.resource, c.name, arg.name,
       format_type(arg.type, null),
       pg_catalog.pg_get_function_arg_default(p.oid, arg.place::int),
       m.min, m.max, m.pattern, to_json(m.one_of)
  from (select app, 'action' as kind, resource, name, function
          from tenon.action
         union all
        select app, 'query', null, name, function
          from tenon.query) as c
  join tenon.app a on a.name = c.app
  join pg_catalog.pg_namespace n on n.nspname = a.schema_name
  join pg_catalog.pg_proc p on p.pronamespace = n.oid
                           and p.proname = c.function
 cross join lateral (
       select x.place, row_number() over (order by x.place) as nth,
              p.proargnames[x.place] as name, x.type
         from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]))
              with ordinality as x (type, place)
        where coalesce(p.proargmodes[x.place], 'i') = 'i') as arg
  left join tenon.param m on m.app = c.app and m.function = c.function
                         and m.name = arg.name
 where c.kind = 'query' or arg.nth > 1
 order by c.app, c.kind, c.resource, c.name, arg.place;

-- What those answer that answer one object or many.
-- name: catalogue_columns
select c.app, c.kind, c.resource, c.name, col.name,
       format_type(col.type, null)
  from (select app, 'action' as kind, resource, name, function, answers
          from tenon.action
         union all
        select app, 'query', null, name, function, answers
          from tenon.query) as c
  join tenon.app a on a.name = c.app
  join pg_catalog.pg_namespace n on n.nspname = a.schema_name
  join pg_catalog.pg_proc p on p.pronamespace = n.oid
                           and p.proname = c.function
 cross join lateral (
       select x.place, p.proargnames[x.place] as name, x.type
         from unnest(p.proallargtypes) with ordinality as x (type, place)
        where p.proargmodes[x.place] in ('o', 't')
        union all
       select t.attnum, t.attname, t.atttypid
         from pg_catalog.pg_type y
         join pg_catalog.pg_class k on k.oid = y.typrelid
         join pg_catalog.pg_namespace kn on kn.oid = k.relnamespace
         join pg_catalog.pg_attribute t on t.attrelid = k.oid
                                       and t.attnum > 0
                                       and not t.attisdropped
        where y.oid = p.prorettype
          and (t.attname not in ('tenant_id', 'deleted_at')
               or not exists (select
                                from tenon.resource r
                               where r.schema_name = kn.nspname
                                 and r.table_name = k.relname))) as col
 where c.answers in ('one', 'many')
 order by c.app, c.kind, c.resource, c.name, col.place;

-- Unique keys, for saying which fields are taken.
-- name: catalogue_keys
select r.app, r.name, i.relname, a.attname
  from tenon.resource r
  join pg_catalog.pg_namespace n on n.nspname = r.schema_name
  join pg_catalog.pg_class c on c.relnamespace = n.oid
                            and c.relname = r.table_name
  join pg_catalog.pg_index x on x.indrelid = c.oid and x.indisunique
                            and not x.indisprimary
  join pg_catalog.pg_class i on i.oid = x.indexrelid
 cross join lateral unnest(x.indkey::int2[]) with ordinality
       as k (attnum, place)
  join pg_catalog.pg_attribute a on a.attrelid = c.oid
                                and a.attnum = k.attnum
 where k.place <= x.indnkeyatts
   and a.attname <> 'tenant_id'
 order by r.app, r.name, i.relname, k.place;

-- Another version than the first: a load came between.
-- name: catalogue_version_after
select c.version, coalesce((select max(m.version) from tenon.migration m), 0)
  from tenon.catalogue_version c;
