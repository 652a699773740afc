-- The catalogue as workers read it at their start: declarations joined with
-- what PostgreSQL itself knows of the tables.

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
  from tenon."grant"
 order by role, permission, scope;

-- name: catalogue_resources
select app, name, path, format('%I.%I', schema_name, table_name) as relation,
       soft_delete, owner_column, parent, parent_column, search, require_match
  from tenon.resource
 order by app, name;

-- name: catalogue_fields
select r.app, r.name, a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       f.min, f.max, f.pattern,
       to_json(coalesce(f.one_of,
                        (select array_agg(s.name order by s.position)
                           from tenon.state s
                          where s.app = r.app and s.resource = r.name
                            and s.field = a.attname))),
       coalesce(f.filter, false), coalesce(f.sort, false),
       coalesce(f.read_only, false), coalesce(f.create_only, false)
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
