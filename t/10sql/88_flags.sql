-- What may be a flag, and what there is to say of one that may not; the same
-- holds for rows that come in past the API.

begin;

select plan(61);

create function tap.faults(
    variants jsonb default '{"on": true, "off": false}',
    dflt text default 'off', rules jsonb default '[]',
    type text default 'boolean', off text default 'off')
returns text
language sql
as $$
    select tenon.flag_faults(type, variants, dflt, off,
                             tenon.flag_rules(rules))
$$;

create function tap.condition(condition text, want text)
returns text
language sql
as $$
    select is(tap.faults(rules => format('[{"when": [%s], "variant": "on"}]',
                                         $1)::jsonb),
              $2, $1)
$$;


-- Variants -------------------------------------------------------------------

select is(tap.faults(), null, 'a boolean flag');
select is(tap.faults('{"a": "x"}', 'a', type => 'string', off => 'a'), null,
          'text');
select is(tap.faults('{"a": 1, "b": 2.0}', 'a', type => 'integer', off => 'b'),
          null, 'integers');
select is(tap.faults('{"a": 1.5}', 'a', type => 'float', off => 'a'), null,
          'numbers');
select is(tap.faults('{"a": {}}', 'a', type => 'object', off => 'a'), null,
          'objects');
select is(tap.faults(null, 'a', type => 'string'),
          '/variants required is required of a flag that is no boolean',
          'no variants');
select alike(tap.faults(v), '/variants wrong_type%', 'no variants: ' || v::text)
  from unnest(array['[]', '{}', '7', '"on"']::jsonb[]) v;
select is(tap.faults('{"on": 1, "off": false, "a": "x"}'),
          '/variants/a wrong_type is no boolean as the flag is;'
          '/variants/on wrong_type is no boolean as the flag is',
          'values of other types, all of them');
select alike(tap.faults(format('{"a": %s}', v)::jsonb, 'a', off => 'a',
                        type => 'integer'),
             '/variants/a wrong_type%', 'no integer: ' || v)
  from unnest(array['1.5', '"1"', 'null', '9007199254740992']) v;
select alike(tap.faults(format('{"a": %s}', v)::jsonb, 'a', off => 'a',
                        type => 'float'),
             '/variants/a out_of_range%', 'an integer that isn''t exact: ' || v)
  from unnest(array['1e16', '-1e16', '1.7e18', '9007199254740992']) v;
select is(tap.faults('{"a": 9007199254740991, "b": -9007199254740991,
                       "c": 1e-9}', 'a', type => 'float', off => 'a'), null,
          'those that are');
select is(tap.faults('{"a": {"b": [1, {"c": 1e16}]}}', 'a', off => 'a',
                     type => 'object'),
          '/variants/a out_of_range has a number beyond 2^53-1',
          'nor may one be deeper within');
select alike(tap.faults('{"on": true, "off": false, "a b;c": true}'),
             '/variants bad_format%', 'a name that is none');
select is(tap.faults(dflt => 'x', off => 'y'),
          '/default_variant not_in_set is no variant of this flag;'
          '/off_variant not_in_set is no variant of this flag',
          'variants that there are not');
select is(tap.faults('{"a": "x"}', null, type => 'string', off => null),
          '/default_variant required', 'no default');
select alike(tap.faults((select jsonb_object_agg('v' || n, true)
                           from generate_series(1, 51) n), 'v1', off => 'v1'),
             '/variants too_long%', 'too many');
select alike(tap.faults(jsonb_build_object('a', repeat('x', 17000)), 'a',
                        type => 'string', off => 'a'),
             '/rules too_long%', 'too much');


-- Rules ----------------------------------------------------------------------

select is(tap.faults(rules => '[{"variant": "on"},
                                {"split": [{"variant": "on", "weight": 1},
                                           {"variant": "off", "weight": 0}]}]'),
          null, 'rules');
select is(tap.faults(rules => '[{}, {"variant": "x"},
                                {"variant": "on",
                                 "split": [{"variant": "on", "weight": 1}]}]'),
          '/rules/0 required needs either a variant or a split;'
          '/rules/1/variant not_in_set is no variant of this flag;'
          '/rules/2 required needs either a variant or a split',
          'all that is wrong with them');
select is(tap.faults(rules => '[{"split": [{"variant": "on", "weight": 0},
                                           {"variant": "x", "weight": 0}]}]'),
          '/rules/0/split/1/variant not_in_set is no variant of this flag;'
          '/rules/0/split out_of_range needs a weight above zero',
          'shares');
select is(tap.faults(rules => format(
              '[{"split": [{"variant": "on", "weight": %s},
                           {"variant": "off", "weight": 1}]}]', v)::jsonb),
          null, 'a weight: ' || v)
  from unnest(array['0', '20.0', '1e5']) v;
select is(tap.faults(rules => format(
              '[{"split": [{"variant": "on", "weight": %s},
                           {"variant": "off", "weight": 1}]}]', v)::jsonb),
          '/rules/0/split/0/weight out_of_range', 'no weight: ' || v)
  from unnest(array['-1', '100001', '0.5', '"1"', 'null']) v;
select alike(tenon.flag_faults('boolean', '{"a": true}', 'a', 'a', v),
             '/rules%', 'no rules: ' || v::text)
  from unnest(array['{}', '[7]', '[{"when": 7, "variant": "a"}]',
                    '[{"when": [7], "variant": "a"}]',
                    '[{"when": [], "split": [7]}]']::jsonb[]) v;

select tap.condition('{"attribute": "a", "op": "in", "values": ["x", 1, true]}',
                     null);
select tap.condition('{"attribute": "a", "op": "exists"}', null);
select tap.condition('{"attribute": "a", "op": "exists", "values": [1]}',
                     '/rules/0/when/0/values too_long must be left out here');
select tap.condition('{"attribute": "a", "op": "in", "values": []}',
                     '/rules/0/when/0/values too_short must have at least 1 '
                     'element here');
select tap.condition('{"attribute": "a", "op": "lt", "values": [1, 2]}',
                     '/rules/0/when/0/values too_long must have exactly 1 '
                     'element here');
select tap.condition('{"attribute": "a", "op": "lt", "values": ["1"]}',
                     '/rules/0/when/0/values/0 wrong_type must be a number '
                     'here');
select tap.condition('{"attribute": "a", "op": "in", "values": [1, {}, null]}',
                     '/rules/0/when/0/values/1 wrong_type must be a string, a '
                     'number or a boolean;'
                     '/rules/0/when/0/values/2 wrong_type must be a string, a '
                     'number or a boolean');
select tap.condition('{"attribute": "a", "op": "contains", "values": [1]}',
                     '/rules/0/when/0/values/0 wrong_type must be a string '
                     'here');
select tap.condition('{"attribute": "a", "op": "semver_gt", "values": ["1.2"]}',
                     '/rules/0/when/0/values/0 bad_format must be a version as '
                     'semver.org has it: 1.2.3');
select tap.condition('{"attribute": "a", "op": "semver_gt",
                       "values": ["v1.2.3-rc.1+5"]}', null);
select tap.condition('{"attribute": "a", "op": "gt", "values": [1.7e18]}',
                     '/rules/0/when/0/values/0 out_of_range must be within '
                     '2^53-1 either way');
select tap.condition('{"attribute": "a", "op": "in", "values": [1, -1e16]}',
                     '/rules/0/when/0/values/1 out_of_range must be within '
                     '2^53-1 either way');
select is((select string_agg(v.line, ', ')
             from regexp_split_to_table(:'versions', '\n') v (line)
            where tenon.flag_version_fits(substr(v.line, 3))
                  <> (v.line like '+%')),
          null, 'versions, and what are none');
select tap.condition('{"attribute": "a", "op": "like", "values": ["x"]}',
                     '/rules/0/when/0 bad_format is no condition');


-- The table ------------------------------------------------------------------

\o /dev/null
select set_config('tenon.tenant', acme(), true);
\o

select throws_ok(
    $$ insert into tenon.flag (tenant_id, key, variants, default_variant,
                               off_variant)
       values (acme()::uuid, 'sql', '{"on": 1}', 'on', 'on') $$,
    '23514', null, 'SQL makes no flag that can''t be evaluated');

select lives_ok(
    $$ insert into tenon.flag (tenant_id, key, variants, default_variant,
                               off_variant, rules)
       values (acme()::uuid, 'sql', '{"on": true, "off": false}', 'on', 'off',
               tenon.flag_rules('[{"name": "n", "variant": "on"}]')) $$,
    'but one that can');

select is((select tenon.flag_document(version, variants, default_variant,
                                      off_variant, enabled, rules)::jsonb
             from tenon.flag f
            where f.key = 'sql'),
          '{"version": 1, "enabled": true, "default": "on", "off": "off",
            "variants": {"on": true, "off": false},
            "rules": [{"when": [], "variant": "on"}]}'::jsonb,
          'which is evaluated as this');

select is(tenon.flags_refused(acme()::uuid, tenon.uuid7(), 100), null,
          'there is room for another');
select alike(tenon.flags_refused(acme()::uuid, tenon.uuid7(), 110000),
             'limit_reached:%', 'not for any');

select * from finish();

rollback;
