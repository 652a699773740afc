-- Feature flags. How a write goes tells the top of people.sql. Flags of a tenant
-- change one after another, behind its row: all of them together have a most
-- (tenon.flags_refused).

-- name: flag_create
with {{idem}},
     {{here}},
     asked as materialized (
       select a.type, a.variants, a.default_variant,
              coalesce(:off_variant::text, a.default_variant) as off_variant,
              tenon.flag_rules(coalesce(:rules::jsonb, '[]')) as rules
         from (select coalesce(:type::text, 'boolean') as type,
                      coalesce(:variants::jsonb,
                               case when coalesce(:type::text, 'boolean')
                                         = 'boolean'
                                    then '{"on": true, "off": false}'::jsonb
                                    end) as variants,
                      coalesce(:default_variant::text,
                               case when coalesce(:type::text, 'boolean')
                                         = 'boolean'
                                    then 'off' end) as default_variant) a),
     judged as materialized (
       select a.*,
              tenon.flag_faults(a.type, a.variants, a.default_variant,
                                a.off_variant, a.rules) as faults
         from asked a),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when j.faults is not null then 'invalid_fields ' || j.faults
              when exists (
                   select
                     from tenon.flag f
                    where f.tenant_id = :tenant::uuid
                      and f.key = :key::text)
              then 'duplicate /key duplicate'
              when here.tenant_id is not null
              then tenon.flags_refused(:tenant::uuid, :id::uuid,
                                       octet_length(:key::text) + 2
                                       + octet_length(tenon.flag_document(
                                             1, j.variants, j.default_variant,
                                             j.off_variant, true, j.rules)))
              end as refused,
              idem.go and idem.fingerprint is null as fresh
         from idem
        cross join judged j
         left join here on true),
     done as (
       insert into tenon.flag (tenant_id, id, key, description, type, enabled,
                               variants, default_variant, off_variant, rules,
                               created_by)
       select :tenant::uuid, :id::uuid, :key::text,
              coalesce(:description::text, ''), a.type,
              coalesce(:enabled::boolean, true), a.variants,
              a.default_variant, a.off_variant, a.rules, :actor::uuid
         from verdict v
        cross join asked a
        where v.fresh and v.refused is null
       returning *),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'flag.created', 'tenon.flag', done.id,
                done.version, null,
                tenon.image('tenon.flag'::regclass, to_jsonb(done)),
                jsonb_build_object('key', done.key), :salt::bytea)
         from done),
     shown as materialized (
       select {{flag_columns}}
         from done f
        cross join logged),
     {{kept}}
select v.refused,
       {{flag_shown}}
       {{told}};

-- fragment: flag_columns
f.id::text, f.key::text, f.description::text, f.type::text,
              f.enabled::text, f.variants::text, f.default_variant::text,
              f.off_variant::text, f.rules::text, f.version::text,
              f.created_at::text, f.created_by::text, f.updated_at::text

-- fragment: flag_shown
coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.key, idem.outcome ->> 'key') as key,
       coalesce(shown.description, idem.outcome ->> 'description')
           as description,
       coalesce(shown.type, idem.outcome ->> 'type') as type,
       coalesce(shown.enabled, idem.outcome ->> 'enabled') as enabled,
       coalesce(shown.variants, idem.outcome ->> 'variants') as variants,
       coalesce(shown.default_variant, idem.outcome ->> 'default_variant')
           as default_variant,
       coalesce(shown.off_variant, idem.outcome ->> 'off_variant')
           as off_variant,
       coalesce(shown.rules, idem.outcome ->> 'rules') as rules,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       coalesce(shown.created_at, idem.outcome ->> 'created_at') as created_at,
       coalesce(shown.created_by, idem.outcome ->> 'created_by')
           as created_by,
       coalesce(shown.updated_at, idem.outcome ->> 'updated_at')
           as updated_at,

-- Behind the tenant's row.
-- fragment: flag_locked
locked as materialized (
       select f.*
         from idem
        cross join here
        cross join tenon.flag f
        where idem.go and idem.fingerprint is null
          and f.tenant_id = :tenant::uuid and f.id = :id::uuid
          for no key update of f)

-- Where there are too many, by SQL, each can still be switched off.
-- name: flag_update
with {{idem}},
     {{here}},
     {{flag_locked}},
     asked as materialized (
       select l.id, l.version, l.key, l.type,
              coalesce(:description::text, l.description) as description,
              coalesce(:enabled::boolean, l.enabled) as enabled,
              coalesce(:variants::jsonb, l.variants) as variants,
              coalesce(:default_variant::text, l.default_variant)
                  as default_variant,
              coalesce(:off_variant::text, l.off_variant) as off_variant,
              coalesce(tenon.flag_rules(:rules::jsonb), l.rules) as rules,
              octet_length(tenon.flag_document(
                  l.version, l.variants, l.default_variant, l.off_variant, true,
                  l.rules)) as bytes
         from locked l),
     sized as materialized (
       select a.*,
              octet_length(tenon.flag_document(
                  a.version, a.variants, a.default_variant, a.off_variant, true,
                  a.rules)) as becomes
         from asked a),
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when a.id is null then 'not_found'
              when a.version <> all (:match::bigint[])
              then 'precondition_failed'
              else coalesce(
                   'invalid_fields '
                   || tenon.flag_faults(a.type, a.variants, a.default_variant,
                                        a.off_variant, a.rules),
                   case when a.becomes > a.bytes
                        then tenon.flags_refused(
                                 :tenant::uuid, :id::uuid,
                                 octet_length(a.key) + 2 + a.becomes) end)
              end as refused
         from idem
         left join sized a on true),
     done as (
       update tenon.flag f
          set description = a.description, enabled = a.enabled,
              variants = a.variants, default_variant = a.default_variant,
              off_variant = a.off_variant, rules = a.rules,
              version = a.version + 1, updated_at = now()
         from verdict v, asked a
        where v.refused is null
          and f.tenant_id = :tenant::uuid and f.id = a.id
          and (f.description, f.enabled, f.variants, f.default_variant,
               f.off_variant, f.rules)
              is distinct from (a.description, a.enabled, a.variants,
                                a.default_variant, a.off_variant, a.rules)
       returning f.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'flag.updated', 'tenon.flag', done.id,
                done.version,
                tenon.image('tenon.flag'::regclass, to_jsonb(l)),
                tenon.image('tenon.flag'::regclass, to_jsonb(done)),
                jsonb_build_object('key', done.key), :salt::bytea)
         from done
         join locked l on l.id = done.id),
     shown as materialized (
       select {{flag_columns}}
         from (select done.*
                 from done
                cross join logged
                union all
               select l.*
                 from verdict v
                cross join locked l
                where v.refused is null
                  and not exists (select from done)) f),
     {{kept}}
select v.refused,
       {{flag_shown}}
       exists (select from done) as changed,
       {{told}};

-- name: flag_delete
with {{idem}},
     {{here}},
     {{flag_locked}},
     verdict as materialized (
       select case
              when not idem.go or idem.fingerprint is not null then null
              when l.id is null then 'not_found'
              when l.version <> all (:match::bigint[])
              then 'precondition_failed'
              end as refused
         from idem
         left join locked l on true),
     done as (
       delete from tenon.flag f
        using verdict v, locked l
        where v.refused is null
          and f.tenant_id = :tenant::uuid and f.id = l.id
       returning f.*),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'flag.deleted', 'tenon.flag', done.id,
                done.version,
                tenon.image('tenon.flag'::regclass, to_jsonb(done)), null,
                jsonb_build_object('key', done.key), :salt::bytea)
         from done),
     shown as materialized (
       select done.id::text
         from done
        cross join logged),
     {{kept}}
select v.refused, idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true;

-- All of them, a line each: the key, a separator, and what is evaluated.
-- name: flags_load
select coalesce(string_agg(f.key || chr(31)
                           || tenon.flag_document(
                                  f.version, f.variants, f.default_variant,
                                  f.off_variant, f.enabled, f.rules),
                           chr(10) order by f.key), '') as flags
  from tenon.flag f
 where f.tenant_id = :tenant::uuid;
