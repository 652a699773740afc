-- 0026_flags.sql: feature flags of a tenant.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0026_flags.sql


-- Whether variants and rules fit together ---------------------------------------

create function tenon.flag_value_fits(type text, value jsonb)
returns boolean
language sql immutable
set search_path = pg_catalog
as $$
    select case $1
           when 'boolean' then jsonb_typeof($2) = 'boolean'
           when 'string'  then jsonb_typeof($2) = 'string'
           when 'object'  then jsonb_typeof($2) = 'object'
           when 'float'   then jsonb_typeof($2) = 'number'
           when 'integer' then case when jsonb_typeof($2) = 'number'
                                    then ($2)::numeric = trunc(($2)::numeric)
                                     and abs(($2)::numeric)
                                         <= 9007199254740991
                                    else false end
           else false end
$$;

comment on function tenon.flag_value_fits(text, jsonb) is
    'Whether a value is one of a flag''s type';


-- Here a text is whole, so that `$` is its end. libcore/flags/condition.c reads
-- versions in the same way: t/data/versions.txt is of both.
create function tenon.flag_version_fits(version text)
returns boolean
language sql immutable
set search_path = pg_catalog
as $$
    select octet_length($1) <= 256
       and $1 ~ ('^v?(0|[1-9][0-9]{0,14})[.](0|[1-9][0-9]{0,14})'
                 '[.](0|[1-9][0-9]{0,14})'
                 '(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)'
                 '([.](0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)){0,15})?'
                 '([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+){0,15})?$')
$$;

comment on function tenon.flag_version_fits(text) is
    'Whether text is a version as semver.org has it, which conditions compare';


-- What evaluates flags reads JSON in which integers are exact (RFC 7493); what a
-- body says as 1e16 is written out as one that isn't.
create function tenon.flag_numbers_fit(value jsonb)
returns boolean
language sql immutable
set search_path = pg_catalog
as $$
    select not jsonb_path_exists($1, 'strict $.** ? (@ > 9007199254740991
                                                  || @ < -9007199254740991)')
$$;

comment on function tenon.flag_numbers_fit(jsonb) is
    'Whether all numbers in a value are within 2^53-1 either way';


create function tenon.flag_condition_faults(at text, condition jsonb)
returns text
language sql immutable
set search_path = pg_catalog
as $$
    select case
           when jsonb_typeof($2 -> 'attribute') is distinct from 'string'
             or jsonb_typeof($2 -> 'op') is distinct from 'string'
             or ($2 ->> 'op') <> all (array[
                    'in', 'not_in', 'starts_with', 'ends_with', 'contains',
                    'lt', 'lte', 'gt', 'gte', 'semver_lt', 'semver_lte',
                    'semver_gt', 'semver_gte', 'exists', 'not_exists'])
             or jsonb_typeof($2 -> 'values') is distinct from 'array'
           then $1 || ' bad_format is no condition'
           when ($2 ->> 'op') in ('exists', 'not_exists')
           then case when jsonb_array_length($2 -> 'values') > 0
                     then $1 || '/values too_long must be left out here' end
           when jsonb_array_length($2 -> 'values') = 0
           then $1 || '/values too_short must have at least 1 element here'
           when jsonb_array_length($2 -> 'values') > 100
           then $1 || '/values too_long'
           when ($2 ->> 'op') ~ '^(semver_)?[lg]te?$'
            and jsonb_array_length($2 -> 'values') > 1
           then $1 || '/values too_long must have exactly 1 element here'
           else (select string_agg(
                            $1 || '/values/' || (v.nth - 1) || ' ' || w.wrong,
                            ';' order by v.nth)
                   from jsonb_array_elements($2 -> 'values')
                        with ordinality as v (one, nth)
                  cross join lateral (
                        select case
                               when ($2 ->> 'op') in ('in', 'not_in')
                               then case when jsonb_typeof(v.one) not in
                                              ('string', 'number', 'boolean')
                                         then 'wrong_type must be a string, a '
                                              'number or a boolean'
                                         when not tenon.flag_numbers_fit(v.one)
                                         then 'out_of_range must be within '
                                              '2^53-1 either way' end
                               when ($2 ->> 'op') in ('lt', 'lte', 'gt', 'gte')
                               then case when jsonb_typeof(v.one) <> 'number'
                                         then 'wrong_type must be a number here'
                                         when not tenon.flag_numbers_fit(v.one)
                                         then 'out_of_range must be within '
                                              '2^53-1 either way' end
                               when jsonb_typeof(v.one) <> 'string'
                               then 'wrong_type must be a string here'
                               when ($2 ->> 'op') like 'semver%'
                                and not tenon.flag_version_fits(v.one #>> '{}')
                               then 'bad_format must be a version as semver.org '
                                    'has it: 1.2.3'
                               end as wrong) as w)
           end
$$;

comment on function tenon.flag_condition_faults(text, jsonb) is
    'What is wrong with a condition of a flag''s rule, as a statement''s faults '
    '(libcore/model/model.h) by pointers below the given one; null: nothing';


create function tenon.flag_weight_fits(weight jsonb)
returns boolean
language sql immutable
set search_path = pg_catalog
as $$
    select coalesce(tenon.flag_value_fits('integer', $1)
                    and $1 between '0' and '100000', false)
$$;

comment on function tenon.flag_weight_fits(jsonb) is
    'Whether this may be the weight of a share';


create function tenon.flag_rule_faults(at text, rule jsonb, variants jsonb)
returns text
language sql immutable
set search_path = pg_catalog
as $$
    select case
           when jsonb_typeof($2) is distinct from 'object'
             or jsonb_typeof($2 -> 'when') is distinct from 'array'
           then $1 || ' bad_format is no rule'
           when coalesce(jsonb_typeof($2 -> 'variant') = 'string', false)
                = coalesce(jsonb_typeof($2 -> 'split') = 'array', false)
           then $1 || ' required needs either a variant or a split'
           else concat_ws(';',
                case when jsonb_typeof($2 -> 'variant') = 'string'
                      and not $3 ? ($2 ->> 'variant')
                     then $1 || '/variant not_in_set is no variant of this flag'
                     end,
                case when jsonb_typeof($2 -> 'split') = 'array'
                     then (select concat_ws(';',
                                  string_agg(
                                      case
                                      when not tenon.flag_weight_fits(
                                                   s.one -> 'weight')
                                      then $1 || '/split/' || (s.nth - 1)
                                           || '/weight out_of_range'
                                      when not coalesce(
                                               $3 ? (s.one ->> 'variant'), false)
                                      then $1 || '/split/' || (s.nth - 1)
                                           || '/variant not_in_set is no '
                                              'variant of this flag'
                                      end, ';' order by s.nth),
                                  case when coalesce(bool_and(
                                               s.one -> 'weight' = '0'), true)
                                       then $1 || '/split out_of_range needs a '
                                            'weight above zero' end)
                             from jsonb_array_elements($2 -> 'split')
                                  with ordinality as s (one, nth)) end,
                (select string_agg(
                            tenon.flag_condition_faults(
                                $1 || '/when/' || (c.nth - 1), c.one),
                            ';' order by c.nth)
                   from jsonb_array_elements($2 -> 'when')
                        with ordinality as c (one, nth)))
           end
$$;

comment on function tenon.flag_rule_faults(text, jsonb, jsonb) is
    'The same of a rule, of a flag with these variants; null or empty: nothing';


create function tenon.flag_faults(
    type             text,
    variants         jsonb,
    default_variant  text,
    off_variant      text,
    rules            jsonb)
returns text
language sql immutable
set search_path = pg_catalog
as $$
    select nullif(case
           when $2 is null
           then '/variants required is required of a flag that is no boolean'
           when jsonb_typeof($2) <> 'object' or $2 = '{}'
           then '/variants wrong_type must be an object with a member at least'
           when jsonb_typeof($5) is distinct from 'array'
           then '/rules wrong_type must be an array'
           when octet_length($2::text) + octet_length($5::text) > 16384
           then '/rules too_long come to more than 16 KB, with the variants'
           when (select count(*) from jsonb_object_keys($2)) > 50
           then '/variants too_long must have at most 50 members'
           else concat_ws(';',
                (select string_agg(
                            case when v.key !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'
                                 then '/variants bad_format has a name that is '
                                      'none: letters, digits, dots, dashes and '
                                      'underscores'
                                 when not tenon.flag_value_fits($1, v.value)
                                 then '/variants/' || v.key || ' wrong_type is '
                                      'no ' || $1 || ' as the flag is'
                                 when not tenon.flag_numbers_fit(v.value)
                                 then '/variants/' || v.key || ' out_of_range '
                                      'has a number beyond 2^53-1' end,
                            ';' order by v.key)
                   from jsonb_each($2) v),
                case when $3 is null
                     then '/default_variant required'
                     when not $2 ? $3
                     then '/default_variant not_in_set is no variant of this '
                          'flag' end,
                case when $4 is not null and not $2 ? $4
                     then '/off_variant not_in_set is no variant of this flag'
                     end,
                (select string_agg(nullif(tenon.flag_rule_faults(
                                              '/rules/' || (r.nth - 1),
                                              r.one, $2), ''),
                                   ';' order by r.nth)
                   from jsonb_array_elements($5)
                        with ordinality as r (one, nth)))
           end, '')
$$;

comment on function tenon.flag_faults(text, jsonb, text, text, jsonb) is
    'What is wrong with a flag, all at once, as a statement''s faults '
    '(libcore/model/model.h); null: nothing';


create function tenon.flag_rules(rules jsonb)
returns jsonb
language sql immutable strict
set search_path = pg_catalog
as $$
    select coalesce(jsonb_agg(jsonb_build_object(
                        'name', r.one -> 'name',
                        'when', (select coalesce(jsonb_agg(
                                            jsonb_build_object(
                                                'attribute', c.one -> 'attribute',
                                                'op', c.one -> 'op',
                                                'values', coalesce(
                                                    c.one -> 'values', '[]'))
                                            order by c.nth), '[]')
                                   from jsonb_array_elements(coalesce(
                                            r.one -> 'when', '[]'))
                                        with ordinality as c (one, nth)),
                        'variant', r.one -> 'variant',
                        'split', r.one -> 'split')
                    order by r.nth), '[]')
      from jsonb_array_elements($1) with ordinality as r (one, nth)
$$;

comment on function tenon.flag_rules(jsonb) is
    'Rules as a flag shows them: each member is there';


-- Flags ------------------------------------------------------------------------

create table tenon.flag (
    tenant_id        uuid        not null references tenon.tenant,
    id               uuid        not null default tenon.uuid7(),
    key              text        collate "C" not null,
    description      text        not null default '',
    type             text        collate "C" not null default 'boolean',
    enabled          boolean     not null default true,
    variants         jsonb       not null,
    default_variant  text        collate "C" not null,
    off_variant      text        collate "C" not null,
    rules            jsonb       not null default '[]',
    version          bigint      not null default 1,
    created_at       timestamptz not null default now(),
    created_by       uuid,
    updated_at       timestamptz not null default now(),

    primary key (tenant_id, id),

    constraint flag_key_key unique (tenant_id, key),

    constraint flag_key_format
         check (key ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
    constraint flag_description_length
         check (char_length(description) <= 1000),
    constraint flag_type_set
         check (type in ('boolean', 'string', 'integer', 'float', 'object')),
    constraint flag_fits
         check (tenon.flag_faults(type, variants, default_variant, off_variant,
                                  rules) is null)
);

create index flag_list on tenon.flag (tenant_id, created_at, id);

comment on table tenon.flag is
    'tenant: a feature flag: values, and rules that say who gets which';
comment on column tenon.flag.enabled is
    'The kill switch: off answers off_variant, whatever the rules say';
comment on column tenon.flag.variants is
    'Values of the flag''s type by name';
comment on column tenon.flag.rules is
    'In order; the first whose conditions hold decides '
    '(libcore/flags/evaluate.c)';


create function tenon.flag_document(
    version          bigint,
    variants         jsonb,
    default_variant  text,
    off_variant      text,
    enabled          boolean,
    rules            jsonb)
returns text
language sql immutable
set search_path = pg_catalog
as $$
    select jsonb_build_object(
               'version', $1,
               'enabled', $5,
               'variants', $2,
               'default', $3,
               'off', $4,
               'rules', (select coalesce(jsonb_agg(
                                    jsonb_strip_nulls(r.one) - 'name'
                                    order by r.nth), '[]')
                           from jsonb_array_elements($6)
                                with ordinality as r (one, nth)))::text
$$;

comment on function tenon.flag_document(bigint, jsonb, text, text, boolean,
                                        jsonb) is
    'A flag as it is evaluated (libcore/flags/evaluate.h): one line of JSON';


-- Volatile: it counts what was committed while the statement waited for the
-- tenant's row.
create function tenon.flags_refused(tenant uuid, flag uuid, bytes int)
returns text
language sql volatile
set search_path = pg_catalog
as $$
    select case
           when count(*) >= 500
           then 'limit_reached: There are 500 flags already: delete one first.'
           when coalesce(sum(octet_length(f.key) + 2
                             + octet_length(tenon.flag_document(
                                   f.version, f.variants, f.default_variant,
                                   f.off_variant, f.enabled, f.rules))), 0)
                + $3 > 110000
           then 'limit_reached: The flags of an organization come to no more '
                || 'than 110,000 bytes.'
           end
      from tenon.flag f
     where f.tenant_id = $1
       and f.id <> $2
$$;

comment on function tenon.flags_refused(uuid, uuid, int) is
    'Why there is no room for a flag of so many bytes beside the tenant''s '
    'others, as a statement''s `refused`; null: there is. A node keeps all of '
    'them in its zone';


-- Changes that don't come through the API ----------------------------------------

create trigger tenon_touch
    before update on tenon.flag
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.flag
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.flag');


-- Row security -------------------------------------------------------------------

alter table tenon.flag enable row level security,
                       force  row level security;

create policy tenant on tenon.flag
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);


-- Grants -------------------------------------------------------------------------

grant select,
      insert (tenant_id, id, key, description, type, enabled, variants,
              default_variant, off_variant, rules, created_by),
      update (description, enabled, variants, default_variant, off_variant,
              rules, version, updated_at),
      delete
   on tenon.flag
   to tenon_api;

grant execute on function tenon.flag_value_fits(text, jsonb),
                          tenon.flag_version_fits(text),
                          tenon.flag_numbers_fit(jsonb),
                          tenon.flag_weight_fits(jsonb),
                          tenon.flag_condition_faults(text, jsonb),
                          tenon.flag_rule_faults(text, jsonb, jsonb),
                          tenon.flag_faults(text, jsonb, text, text, jsonb),
                          tenon.flag_rules(jsonb),
                          tenon.flag_document(bigint, jsonb, text, text,
                                              boolean, jsonb),
                          tenon.flags_refused(uuid, uuid, int)
   to tenon_api;


-- Permissions --------------------------------------------------------------------

-- Flags are the owners' to set. What they answer all shipped roles are told; a
-- role of a tenant's own where the permission is given to it.
insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from unnest(array['tenon.flag:read',
                    'tenon.flag:create',
                    'tenon.flag:update',
                    'tenon.flag:delete']) as p (name)
 cross join (values ('owner'), ('tenant_admin'), ('super_admin')) as r (role)
union all
select r.role, tenon.add_permission('tenon.flag:evaluate'), 'tenant', 'tenon'
  from (values ('owner'), ('tenant_admin'), ('admin'), ('member'),
               ('moderator'), ('guest'), ('super_admin')) as r (role);
