-- Every table belongs to one class and has that class's policy; roles and
-- grants are exactly those written down here, a second time and by hand.

begin;

select plan(22);


-- Classes --------------------------------------------------------------------

create temporary table class (name text primary key, class text not null);

insert into class
values ('tenon.realm',             'realm'),
       ('tenon."user"',            'realm'),
       ('tenon.login_attempt',     'realm'),
       ('tenon.one_time',          'realm'),
       ('tenon.totp',              'realm'),
       ('tenon.user_identity',     'realm'),
       ('tenon.tenant',            'tenant'),
       ('tenon.member',            'tenant'),
       ('tenon.session',           'tenant'),
       ('tenon.invitation',        'tenant'),
       ('tenon.idempotency',       'tenant'),
       ('tenon.api_key',           'tenant'),
       ('tenon.api_key_secret',    'tenant'),
       ('tenon.tenant_role',       'tenant'),
       ('tenon.tenant_grant',      'tenant'),
       ('tenon.account',           'tenant'),
       ('tenon.account_member',    'tenant'),
       ('tenon.domain',            'tenant'),
       ('tenon.share',             'tenant'),
       ('tenon.job',               'tenant'),
       ('tenon.inbound_event',     'tenant'),
       ('tenon.subscription',      'tenant'),
       ('tenon.plan_override',     'tenant'),
       ('tenon.billing_session',   'tenant'),
       ('tenon.billing_customer',  'tenant'),
       ('tenon.subscription_fetch', 'tenant'),
       ('tenon.usage_total',       'tenant'),
       ('tenon.usage_flush',       'tenant'),
       ('tenon.usage_anchor',      'tenant'),
       ('tenon.usage_event',       'tenant'),
       ('tenon.meter',             'global'),
       ('tenon.entitlement',       'tenant'),
       ('tenon.billing_ref',       'directory'),
       ('tenon.plan',              'global'),
       ('tenon.plan_limit',        'global'),
       ('tenon.plan_price',        'global'),
       ('tenon.purge_rule',        'global'),
       ('tenon.flag',              'tenant'),
       ('tenon.tenant_slug',       'directory'),
       ('tenon.tenant_domain',     'directory'),
       ('tenon.event',             'feed'),
       ('tenon.event_body',        'feed'),
       ('tenon.migration',         'global'),
       ('tenon.role',              'global'),
       ('tenon.permission',        'global'),
       ('tenon."grant"',           'global'),
       ('tenon.app',               'global'),
       ('tenon.resource',          'global'),
       ('tenon.field',             'global'),
       ('tenon.state',             'global'),
       ('tenon.transition',        'global'),
       ('tenon.action',            'global'),
       ('tenon.query',             'global'),
       ('tenon.param',             'global'),
       ('tenon.catalogue_version', 'global'),
       ('teamos.project',          'tenant'),
       ('teamos.task',             'tenant'),
       ('teamos.comment',          'tenant');

create temporary view ours as
select c.oid, c.relname, n.nspname, c.relrowsecurity, c.relforcerowsecurity,
       c.relispartition, c.relowner,
       format('%I.%I', n.nspname, c.relname) as name
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('tenon', 'teamos')
   and c.relkind in ('r', 'p');

select set_eq(
    'select name from ours where not relispartition',
    'select name from class',
    'every table has a class, and every class its table');

select is_empty(
    $$ select name from ours join class using (name)
        where nspname = 'tenon'
          and split_part(obj_description(oid, 'pg_class'), ':', 1) <> class $$,
    'a platform table''s comment begins with its class');

select is_empty(
    $$ select name from ours where obj_description(oid, 'pg_class') is null
                               and not relispartition $$,
    'every table has a comment');

select is_empty(
    $$ select p.oid::regprocedure
         from pg_proc p
        where p.pronamespace = 'tenon'::regnamespace
          and obj_description(p.oid, 'pg_proc') is null $$,
    'every function has a comment');

select is_empty(
    $$ select oid::regclass from pg_class
        where relnamespace = 'tenon'::regnamespace
          and relkind in ('v', 'm')
          and reloptions is distinct from array['security_invoker=true'] $$,
    'every view reads under the policies of who asks');

select is_empty(
    $$ select oid::regclass from pg_class
        where relnamespace = 'tenon'::regnamespace
          and relkind = 'v'
          and obj_description(oid, 'pg_class') is null $$,
    'and has a comment');

select is_empty(
    $$ select name from ours left join class using (name)
        where class is distinct from 'global'
          and not (relrowsecurity and relforcerowsecurity) $$,
    'all but global tables have row security enabled and forced, '
    'partitions too');

select set_eq(
    $$ select name, polname::text, polcmd::text, polroles::regrole[]::text,
              coalesce(pg_get_expr(polqual, polrelid), '-')      as using_,
              coalesce(pg_get_expr(polwithcheck, polrelid), '-') as check_
         from pg_policy join ours on ours.oid = polrelid $$,
    $$ with want (name, policy, verb, roles, using_, check_) as (
       with tenant (expr) as (
            values ('(tenant_id = (NULLIF(current_setting(''tenon.tenant'''
                    '::text, true), ''''::text))::uuid)')),
            realm (expr) as (
            values ('(realm_id = (NULLIF(current_setting(''tenon.realm'''
                    '::text, true), ''''::text))::uuid)'))
       select name, 'tenant', '*', '{-}', expr, expr
         from class, tenant where class in ('tenant', 'feed')
       union all
       select name, 'realm', '*', '{-}', expr, expr
         from class, realm where class = 'realm'
       union all
       select name, 'tenant', 'a', '{-}', '-', expr
         from class, tenant where class = 'directory'
       union all
       select name, 'lookup', 'r', '{tenon_lookup}', 'true', '-'
         from class where name in ('tenon.tenant_slug', 'tenon.tenant',
                                   'tenon.member', 'tenon.session',
                                   'tenon."user"', 'tenon.user_identity',
                                   'tenon.tenant_role',
                                   'tenon.tenant_grant', 'tenon.account',
                                   'tenon.account_member', 'tenon.domain',
                                   'tenon.api_key', 'tenon.api_key_secret',
                                   'tenon.subscription',
                                   'tenon.plan_override',
                                   'tenon.usage_anchor')
       union all
       select name, 'feed', 'r', '{tenon_feed}', 'true', '-'
         from class where class = 'feed'
       union all
       select name, 'search', 'r', '{tenon_search}', 'true', '-'
         from class where name like 'teamos.%'
       union all
       values ('tenon.tenant_domain', 'lookup', '*', '{tenon_lookup}', 'true',
               '-'),
              ('tenon.billing_ref', 'lookup', '*', '{tenon_lookup}', 'true',
               '-'),
              ('tenon.tenant', 'platform', 'r', '{tenon_api}',
               '((NULLIF(current_setting(''tenon.tenant''::text, true), '
               '''''::text))::uuid = '
               '''00000000-0000-7000-8000-000000000002''::uuid)', '-'),
              ('tenon.job', 'worker', '*', '{tenon_worker}', 'true', 'true'),
              ('tenon.plan_override', 'platform', 'r', '{tenon_api}',
               '((NULLIF(current_setting(''tenon.tenant''::text, true), '
               '''''::text))::uuid = '
               '''00000000-0000-7000-8000-000000000002''::uuid)', '-'),
              ('tenon.job', 'purge', 'd', '{tenon_worker}',
               '((finished_at < (now() - ''30 days''::interval)) OR '
               '((finished_at < (now() - ''1 day''::interval)) AND '
               '(status = ''done''::text) AND (tenant_id = '
               '''00000000-0000-7000-8000-000000000002''::uuid) AND '
               '(input = ''{}''::jsonb)))', '-'),
              ('tenon.entitlement', 'lookup', 'r', '{tenon_lookup}', 'true',
               '-'),
              ('tenon.session', 'used', 'w', '{tenon_lookup}', 'true', '-'),
              ('tenon.api_key_secret', 'used', 'w', '{tenon_lookup}', 'true',
               '-'),
              ('tenon.idempotency', 'purge', '*', '{tenon_worker}',
               '(at < (now() - ''24:00:00''::interval))', '-'),
              ('tenon.login_attempt', 'purge', '*', '{tenon_worker}',
               '(last_at < (now() - ''30 days''::interval))', '-'),
              ('tenon.one_time', 'purge', '*', '{tenon_worker}',
               '(expires_at < (now() - ''30 days''::interval))', '-'),
              ('tenon.api_key', 'purge', '*', '{tenon_worker}',
               '(LEAST(expires_at, deleted_at) < '
               '(now() - ''30 days''::interval))', '-'),
              ('tenon.invitation', 'purge', '*', '{tenon_worker}',
               '(LEAST(expires_at, accepted_at, deleted_at) < '
               '(now() - ''30 days''::interval))', '-'),
              ('tenon.inbound_event', 'purge', '*', '{tenon_worker}',
               '(processed_at < (now() - ''90 days''::interval))', '-'),
              ('tenon.inbound_event', 'purge_only', 'd', '{tenon_worker}',
               '(processed_at < (now() - ''90 days''::interval))', '-'),
              ('tenon.billing_session', 'purge', '*', '{tenon_worker}',
               '(created_at < (now() - ''30 days''::interval))', '-'),
              ('tenon.billing_session', 'purge_only', 'd', '{tenon_worker}',
               '(created_at < (now() - ''30 days''::interval))', '-'),
              ('tenon.billing_session', 'over', 'w', '{tenon_worker}',
               '((expires_at < now()) AND (url IS NOT NULL))',
               '((expires_at < now()) AND (url IS NULL))'),
              ('tenon.billing_session', 'seen_over', 'r', '{tenon_worker}',
               '(expires_at < now())', '-'),
              ('tenon.inbound_event', 'worker', 'r', '{tenon_worker}',
               '(tenant_id = '
               '''00000000-0000-7000-8000-000000000002''::uuid)', '-'),
              ('tenon.usage_total', 'purge', '*', '{tenon_worker}',
               '(((period = ANY (ARRAY[''minute''::text, ''hour''::text])) '
               'AND (ends < (now() - ''2 days''::interval))) OR '
               '((period = ''day''::text) AND '
               '(ends < (now() - ''400 days''::interval))))', '-'),
              ('tenon.usage_total', 'purge_only', 'd', '{tenon_worker}',
               '(((period = ANY (ARRAY[''minute''::text, ''hour''::text])) '
               'AND (ends < (now() - ''2 days''::interval))) OR '
               '((period = ''day''::text) AND '
               '(ends < (now() - ''400 days''::interval))))', '-'),
              ('tenon.usage_event', 'worker', '*', '{tenon_worker}', 'true',
               'true'),
              ('tenon.usage_event', 'purge', 'd', '{tenon_worker}',
               '(counted AND (ends < (now() - ''40 days''::interval)))', '-'),
              ('tenon.usage_flush', 'purge', '*', '{tenon_worker}',
               '(at < (now() - ''60 days''::interval))', '-'),
              ('tenon.usage_flush', 'purge_only', 'd', '{tenon_worker}',
               '(at < (now() - ''60 days''::interval))', '-'),
              ('tenon.share', 'purge', '*', '{tenon_worker}',
               '(deleted_at < (now() - ''30 days''::interval))', '-'),
              ('tenon.account_member', 'purge', '*', '{tenon_worker}',
               '(deleted_at < (now() - ''30 days''::interval))', '-'),
              ('tenon.tenant_role', 'purge', '*', '{tenon_worker}',
               '(deleted_at < (now() - ''30 days''::interval))', '-'),
              ('tenon.totp', 'purge', '*', '{tenon_worker}',
               '((confirmed_at IS NULL) AND '
               '(created_at < (now() - ''30 days''::interval)))', '-'),
              ('tenon.session', 'purge', '*', '{tenon_worker}',
               '(LEAST(expires_at, revoked_at) < '
               '(now() - ''30 days''::interval))', '-'))
       select * from want $$,
    'policies are those of the class, and no others');

select is_empty(
    $$ select name from ours join pg_attribute a on a.attrelid = ours.oid
         join class using (name)
        where class = 'global' and attname in ('tenant_id', 'realm_id') $$,
    'a global table holds nothing of a tenant or realm');


-- Covert channels ------------------------------------------------------------

select is_empty(
    $$ select i.indexrelid::regclass
         from pg_index i
         join ours  on ours.oid = i.indrelid
         join class using (name)
         join pg_attribute a on a.attrelid = i.indrelid
                            and a.attnum   = i.indkey[0]
        where i.indisunique
          and class in ('tenant', 'feed')
          and a.attname <> 'tenant_id' $$,
    'every unique key of a tenant or feed table starts with tenant_id');

select is_empty(
    $$ select i.indexrelid::regclass
         from pg_index i
         join ours  on ours.oid = i.indrelid
         join class using (name)
         join pg_attribute a on a.attrelid = i.indrelid
                            and a.attnum   = i.indkey[0]
        where i.indisunique
          and class = 'realm'
          and a.attname <> 'realm_id' $$,
    'every unique key of a realm table starts with realm_id');

select is_empty(
    $$ select c.conrelid::regclass, c.conname
         from pg_constraint c
         join ours  on ours.oid = c.conrelid
         join class f using (name)
         join class t on t.name = c.confrelid::regclass::text
         join pg_attribute a on a.attrelid = c.conrelid
                            and a.attnum   = c.conkey[1]
        where c.contype = 'f'
          and t.class  in ('tenant', 'feed')
          and a.attname <> 'tenant_id' $$,
    'every foreign key to a tenant table starts with tenant_id');


-- Roles ----------------------------------------------------------------------

select set_eq(
    $$ select rolname::text, rolcanlogin, rolinherit,
              rolsuper or rolcreaterole or rolcreatedb or rolreplication
                       or rolbypassrls
         from pg_roles where rolname like 'tenon%' $$,
    $$ values ('tenon_owner',  true,  false, false),
              ('tenon_api',    true,  true,  false),
              ('tenon_app',    false, true,  false),
              ('tenon_lookup', false, true,  false),
              ('tenon_search', false, true,  false),
              ('tenon_feed',   true,  true,  false),
              ('tenon_worker', true,  true,  false) $$,
    'roles are those of the design, none with a privilege of the cluster');

select set_eq(
    $$ select roleid::regrole::text, member::regrole::text
         from pg_auth_members
        where roleid::regrole::text like 'tenon%'
           or member::regrole::text like 'tenon%' $$,
    $$ values ('tenon_api',    'tenon_owner'),
              ('tenon_app',    'tenon_owner'),
              ('tenon_lookup', 'tenon_owner'),
              ('tenon_search', 'tenon_owner') $$,
    'only the owner is a member of anything');

select is_empty(
    $$ select classid::regclass, objid from pg_shdepend
        where deptype = 'o'
          and refobjid in ('tenon_api'::regrole, 'tenon_feed'::regrole,
                           'tenon_worker'::regrole) $$,
    'tenon_api, tenon_feed and tenon_worker own nothing');

select is_empty(
    $$ select name from ours where relowner <> 'tenon_owner'::regrole $$,
    'every table is the owner''s');

select set_eq(
    $$ select unnest(setconfig) from pg_db_role_setting
        where setrole = 'tenon_api'::regrole $$,
    array['search_path=pg_catalog', 'TimeZone=UTC', 'DateStyle=ISO',
          'statement_timeout=5s', 'lock_timeout=500ms',
          'idle_in_transaction_session_timeout=10s',
          'plan_cache_mode=force_generic_plan', 'jit=off'],
    'tenon_api starts with its settings');


-- Grants ---------------------------------------------------------------------

create temporary table granted as
select case a.grantee when 0 then 'public' else a.grantee::regrole::text end
           as role,
       format('%I.%I', n.nspname, c.relname) as name,
       lower(a.privilege_type) as verb
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 cross join aclexplode(c.relacl) a
 where n.nspname in ('tenon', 'teamos')
   and a.grantee <> c.relowner
union all
select case a.grantee when 0 then 'public' else a.grantee::regrole::text end,
       format('%I.%I', n.nspname, c.relname),
       lower(a.privilege_type) || ' '
       || string_agg(t.attname, ' ' order by t.attname)
  from pg_attribute t
  join pg_class c on c.oid = t.attrelid
  join pg_namespace n on n.oid = c.relnamespace
 cross join aclexplode(t.attacl) a
 where n.nspname in ('tenon', 'teamos')
 group by 1, 2, a.privilege_type;

select set_eq(
    $$ select role, name, string_agg(verb, ', ' order by verb) from granted
        group by role, name $$,
    $$ values
    ('tenon_api', 'tenon."user"',            'insert, select, update api_keys_from email_verified_at name password_hash session_kept sessions_from updated_at version'),
    ('tenon_api', 'tenon.login_attempt',     'insert, select, update failures last_at locked_until'),
    ('tenon_api', 'tenon.one_time',          'insert, select, update created_at expires_at used_at'),
    ('tenon_api', 'tenon.totp',              'delete, insert, select, update confirmed_at created_at last_step recovery secret'),
    ('tenon_api', 'tenon.tenant',            'insert, select, update deleted_at name status updated_at version'),
    ('tenon_api', 'tenon.user_identity',     'insert id issuer realm_id subject user_id, select, update issuer'),
    ('tenon_api', 'tenon.member',            'insert, select, update created_at created_by deleted_at role updated_at version'),
    ('tenon_api', 'tenon.invitation',        'insert, select, update accepted_at accepted_by deleted_at status updated_at version'),
    ('tenon_api', 'tenon.idempotency',       'insert, select, update at fingerprint outcome'),
    ('tenon_api', 'tenon.member_view',       'select'),
    ('tenon_api', 'tenon.invitation_view',   'select'),
    ('tenon_api', 'tenon.access_view',       'select'),
    ('tenon_api', 'tenon.platform_tenant_view', 'select'),
    ('tenon_api', 'tenon.realm',             'insert, select'),
    ('tenon_api', 'tenon.session',           'insert, select, update generation last_used_at revoked_at rotated_at'),
    ('tenon_api', 'tenon.tenant_slug',       'insert'),
    ('tenon_api', 'tenon.domain',            'delete, insert created_by domain id tenant_id, select'),
    ('tenon_api', 'tenon.domain_view',       'select'),
    ('tenon_api', 'tenon.flag',              'delete, insert created_by default_variant description enabled id key off_variant rules tenant_id type variants, select, update default_variant description enabled off_variant rules updated_at variants version'),
    ('tenon_api', 'tenon.event',             'insert action actor commitment id outcome request_id resource resource_id scope_after scope_before tenant_id version, select'),
    ('tenon_api', 'tenon.event_body',        'insert after before event_id ip metadata salt subject_id tenant_id user_agent, select'),
    ('tenon_api', 'tenon.audit_event',       'select'),
    ('tenon_api', 'tenon.account',           'insert created_by id kind name parent_id tenant_id, select, update deleted_at kind name parent_id updated_at version'),
    ('tenon_api', 'tenon.account_member',    'insert account_id created_by id role tenant_id user_id, select, update deleted_at role updated_at version'),
    ('tenon_api', 'tenon.account_member_view', 'select'),
    ('tenon_api', 'tenon.share',             'insert access account_id created_by id resource resource_id tenant_id user_id, select, update deleted_at updated_at version'),
    ('tenon_api', 'tenon.share_view',        'select'),
    ('tenon_app', 'tenon.account',           'select deleted_at id kind name parent_id tenant_id'),
    ('tenon_app', 'tenon.account_member',    'select account_id created_at deleted_at role tenant_id user_id'),
    ('tenon_api', 'tenon.tenant_role',       'insert, select, update deleted_at title updated_at version'),
    ('tenon_api', 'tenon.tenant_grant',      'delete, insert, select, update scope'),
    ('tenon_api', 'tenon.shipped_grant',     'select'),
    ('tenon_api', 'tenon.permission_view',   'select'),
    ('tenon_api', 'tenon.role_view',         'select'),
    ('tenon_api', 'tenon.api_key',           'insert created_at created_by expires_at id name scopes tenant_id, select, update deleted_at expires_at name rotated_at scopes updated_at version'),
    ('tenon_api', 'tenon.api_key_secret',    'delete, insert api_key_id hash last_used_at last_used_ip tenant_id, select api_key_id ends_at last_used_at last_used_ip tenant_id, update ends_at'),
    ('tenon_api', 'tenon.api_key_view',      'select'),
    ('tenon_api', 'tenon.job',               'insert id input kind tenant_id, select, update attempts finished_at last_error run_at status updated_at version'),
    ('tenon_api', 'tenon.plan',              'select'),
    ('tenon_api', 'tenon.plan_limit',        'select'),
    ('tenon_api', 'tenon.plan_price',        'select'),
    ('tenon_api', 'tenon.plan_view',         'select'),
    ('tenon_api', 'tenon.subscription',      'select'),
    ('tenon_api', 'tenon.plan_override',     'insert created_by ends_at features_added features_removed limits plan reason tenant_id, select, update ends_at features_added features_removed limits plan reason updated_at version'),
    ('tenon_api', 'tenon.plan_override_view', 'select'),
    ('tenon_api', 'tenon.billing_session',   'insert cancel_url created_by id kind plan quantity return_url success_url tenant_id, select'),
    ('tenon_api', 'tenon.billing_session_view', 'select'),
    ('tenon_api', 'tenon.checkout_session_view', 'select'),
    ('tenon_api', 'tenon.portal_session_view', 'select'),
    ('tenon_worker', 'tenon.billing_session', 'delete, select, update expires_at external_id updated_at url version'),
    ('tenon_worker', 'tenon.tenant',         'select deleted_at name tenant_id version'),
    ('tenon_api', 'tenon.billing_customer',  'select'),
    ('tenon_worker', 'tenon.billing_customer', 'insert external_id provider tenant_id, select external_id provider tenant_id'),
    ('tenon_worker', 'tenon.subscription',   'insert cancel_at cancel_at_period_end canceled_at current_period_end current_period_start customer_id ended_at external_id livemode owing_since plan price_id provider provider_at provider_created_at quantity status tenant_id trial_ends_at, select, update cancel_at cancel_at_period_end canceled_at current_period_end current_period_start customer_id ended_at livemode owing_since plan price_id provider_at provider_created_at quantity status trial_ends_at'),
    ('tenon_worker', 'tenon.subscription_fetch', 'insert asked external_id provider tenant_id, select, update asked heard heard_of'),
    ('tenon_api', 'tenon.usage_total',       'select'),
    ('tenon_api', 'tenon.usage_flush',       'insert id tenant_id, select'),
    ('tenon_api', 'tenon.usage_anchor',      'select'),
    ('tenon_worker', 'tenon.usage_anchor',   'select'),
    ('tenon_lookup', 'tenon.usage_anchor',   'select'),
    ('tenon_worker', 'tenon.usage_total',    'delete, select'),
    ('tenon_worker', 'tenon.usage_flush',    'delete, select at ctid'),
    ('tenon_api', 'tenon.usage_event',       'insert at begins created_by ends hard id meter period quantity resource resource_id soft tenant_id value, select'),
    ('tenon_worker', 'tenon.usage_event',    'delete, select'),
    ('tenon_api', 'tenon.meter',             'select'),
    ('tenon_worker', 'tenon.meter',          'select'),
    ('tenon_worker', 'tenon.subscription',   'insert cancel_at cancel_at_period_end canceled_at current_period_end current_period_start customer_id ended_at external_id livemode owing_since plan price_id provider provider_at provider_created_at quantity status tenant_id trial_ends_at, select, update cancel_at cancel_at_period_end canceled_at current_period_end current_period_start customer_id ended_at livemode owing_since plan price_id provider_at provider_created_at quantity status trial_ends_at'),
    ('tenon_worker', 'tenon.entitlement',    'select, update asked_at changes_at due_at entitlement plan trial_told version'),
    ('tenon_lookup', 'tenon.entitlement',    'select due_at tenant_id version'),
    ('tenon_worker', 'tenon.subscription_fetch', 'insert asked external_id provider tenant_id, select, update asked heard heard_of'),
    ('tenon_worker', 'tenon.plan',           'select'),
    ('tenon_worker', 'tenon.plan_limit',     'select'),
    ('tenon_worker', 'tenon.plan_price',     'select'),
    ('tenon_worker', 'tenon.purge_rule',     'select'),
    ('tenon_lookup', 'tenon.plan',           'select'),
    ('tenon_lookup', 'tenon.plan_limit',     'select'),
    ('tenon_lookup', 'tenon.subscription',   'select created_at current_period_end id owing_since plan provider_created_at quantity ran status tenant_id trial_ends_at'),
    ('tenon_lookup', 'tenon.billing_ref',    'insert, select'),
    ('tenon_lookup', 'tenon.plan_override',  'select ends_at features_added features_removed limits plan tenant_id'),
    ('tenon_api', 'tenon.migration',         'select'),
    ('tenon_api', 'tenon.role',              'select'),
    ('tenon_api', 'tenon.permission',        'select'),
    ('tenon_api', 'tenon."grant"',           'select'),
    ('tenon_api', 'tenon.app',               'select'),
    ('tenon_api', 'tenon.resource',          'select'),
    ('tenon_api', 'tenon.field',             'select'),
    ('tenon_api', 'tenon.state',             'select'),
    ('tenon_api', 'tenon.transition',        'select'),
    ('tenon_api', 'tenon.action',            'select'),
    ('tenon_api', 'tenon.query',             'select'),
    ('tenon_api', 'tenon.param',             'select'),
    ('tenon_api', 'tenon.catalogue_version', 'select'),
    ('tenon_api', 'teamos.project',          'insert, select, update deleted_at name updated_at version'),
    ('tenon_api', 'teamos.task',             'insert, select, update assignee_id deleted_at priority project_id status title updated_at version'),
    ('tenon_api', 'teamos.comment',          'insert, select, update content deleted_at task_id updated_at version'),
    ('tenon_app', 'tenon.member',            'select created_at deleted_at id role tenant_id user_id'),
    ('tenon_search', 'teamos.project',       'select deleted_at id name tenant_id'),
    ('tenon_search', 'teamos.task',          'select deleted_at id tenant_id title'),
    ('tenon_search', 'teamos.comment',       'select content deleted_at id tenant_id'),
    ('tenon_worker', 'tenon.api_key',        'delete, select ctid deleted_at expires_at'),
    ('tenon_worker', 'tenon.account_member', 'delete, select ctid deleted_at'),
    ('tenon_worker', 'tenon.idempotency',    'delete, select at ctid'),
    ('tenon_api', 'tenon.inbound_event',     'insert body external_id id provider tenant_id type, select external_id id provider status tenant_id type'),
    ('tenon_worker', 'tenon.inbound_event',  'delete, select body ctid external_id id processed_at provider received_at tenant_id type'),
    ('tenon_worker', 'tenon.event',          'insert action actor commitment id outcome request_id resource resource_id scope_after scope_before tenant_id version'),
    ('tenon_worker', 'tenon.event_body',     'insert after before event_id ip metadata salt subject_id tenant_id user_agent'),
    ('tenon_worker', 'tenon.invitation',     'delete, select accepted_at ctid deleted_at expires_at'),
    ('tenon_worker', 'tenon.share',          'delete, select ctid deleted_at'),
    ('tenon_worker', 'tenon.tenant_role',    'delete, select ctid deleted_at'),
    ('tenon_worker', 'tenon.totp',           'delete, select confirmed_at created_at ctid'),
    ('tenon_worker', 'tenon.job',            'delete, insert id key kind tenant_id, select, update attempts finished_at last_error lease_until run_at status updated_at version'),
    ('tenon_worker', 'tenon.migration',      'select'),
    ('tenon_worker', 'tenon.login_attempt',  'delete, select ctid last_at'),
    ('tenon_worker', 'tenon.one_time',       'delete, select ctid expires_at'),
    ('tenon_worker', 'tenon.session',        'delete, select ctid expires_at revoked_at'),
    ('tenon_feed', 'tenon.event',            'select'),
    ('tenon_feed', 'tenon.event_body',       'select'),
    ('tenon_lookup', 'tenon.tenant_slug',    'select'),
    ('tenon_lookup', 'tenon.tenant',         'select'),
    ('tenon_lookup', 'tenon.domain',         'select challenge created_at domain id tenant_id verified_at'),
    ('tenon_lookup', 'tenon.tenant_domain',  'delete, insert, select'),
    ('tenon_lookup', 'tenon.member',         'select created_at deleted_at realm_id role tenant_id user_id'),
    ('tenon_lookup', 'tenon.tenant_role',    'select deleted_at id level name tenant_id'),
    ('tenon_lookup', 'tenon.tenant_grant',   'select'),
    ('tenon_lookup', 'tenon.account',        'select deleted_at id parent_id tenant_id'),
    ('tenon_lookup', 'tenon.account_member', 'select account_id created_at deleted_at role tenant_id user_id'),
    ('tenon_lookup', 'tenon.api_key',        'select created_at created_by deleted_at expires_at id scopes tenant_id'),
    ('tenon_lookup', 'tenon.api_key_secret', 'select, update last_used_at last_used_ip'),
    ('tenon_lookup', 'tenon.permission',     'select'),
    ('tenon_lookup', 'tenon."user"',         'select api_keys_from deleted_at email email_verified_at id realm_id session_kept sessions_from status'),
    ('tenon_lookup', 'tenon.user_identity',
     'select id issuer realm_id subject unlinked_at user_id'),
    ('tenon_lookup', 'tenon.session',        'select created_at expires_at family generation id idle_ttl impersonator kind last_used_at realm_id revoked_at rotated_at tenant_id user_id, update last_used_at') $$,
    'table grants are exactly these');

select set_eq(
    $$ select case a.grantee when 0 then 'public'
                             else a.grantee::regrole::text end,
              p.proname::text
         from pg_proc p
        cross join aclexplode(coalesce(p.proacl,
                                       acldefault('f', p.proowner))) a
        where p.pronamespace in ('tenon'::regnamespace,
                                 'teamos'::regnamespace)
          and a.grantee <> p.proowner $$,
    $$ values ('tenon_api', 'uuid7'),
              ('tenon_api', 'commitment'),
              ('tenon_api', 'image'),
              ('tenon_api', 'log_event'),
              ('tenon_api', 'find_tenant'),
              ('tenon_api', 'find_tenant_by_id'),
              ('tenon_api', 'find_tenant_by_domain'),
              ('tenon_api', 'find_session'),
              ('tenon_api', 'find_subject'),
              ('tenon_api', 'find_identity'),
              ('tenon_api', 'find_cookie'),
              ('tenon_api', 'find_api_key'),
              ('tenon_api', 'find_plan'),
              ('tenon_api', 'seats_taken'),
              ('tenon_api', 'add_usage'),
              ('tenon_api', 'flush_usage'),
              ('tenon_api', 'usage_period'),
              ('tenon_lookup', 'usage_period'),
              ('tenon_api', 'month_by'),
              ('tenon_lookup', 'month_by'),
              ('tenon_worker', 'month_by'),
              ('tenon_worker', 'add_usage'),
              ('tenon_worker', 'usage_period'),
              ('tenon_api', 'usage_figure'),
              ('tenon_api', 'count_usage'),
              ('tenon_api', 'usage_room'),
              ('tenon_api', 'usage_asked'),
              ('tenon_api', 'usage_faults'),
              ('tenon_api', 'usage_over'),
              ('tenon_api', 'record_usage'),
              ('tenon_worker', 'usage_figure'),
              ('tenon_worker', 'count_usage'),
              ('tenon_worker', 'roll_up_usage'),
              ('tenon_api', 'told_features'),
              ('tenon_api', 'told_limits'),
              ('tenon_lookup', 'told_features'),
              ('tenon_lookup', 'told_limits'),
              ('tenon_api', 'set_plan_override'),
              ('tenon_api', 'is_foreign_host'),
              ('tenon_api', 'override_refused'),
              ('tenon_api', 'scopes_refused'),
              ('tenon_api', 'find_memberships'),
              ('tenon_api', 'find_open_sessions'),
              ('tenon_api', 'find_sign_ins'),
              ('tenon_api', 'find_newest_tenants'),
              ('tenon_api', 'find_key_tenants'),
              ('tenon_api', 'founding_refused'),
              ('tenon_api', 'mark_sessions'),
              ('tenon_api', 'session_begins'),
              ('tenon_api', 'end_oldest'),
              ('tenon_api', 'end_family'),
              ('tenon_api', 'end_families'),
              ('tenon_api', 'make_room'),
              ('tenon_api', 'void_tokens'),
              ('tenon_api', 'domain_count'),
              ('tenon_api', 'flag_value_fits'),
              ('tenon_api', 'flag_version_fits'),
              ('tenon_api', 'flag_numbers_fit'),
              ('tenon_api', 'flag_weight_fits'),
              ('tenon_api', 'flag_condition_faults'),
              ('tenon_api', 'flag_rule_faults'),
              ('tenon_api', 'flag_faults'),
              ('tenon_api', 'flag_rules'),
              ('tenon_api', 'flag_document'),
              ('tenon_api', 'flags_refused'),
              ('tenon_api', 'invitation_count'),
              ('tenon_api', 'api_key_count'),
              ('tenon_api', 'revoke_api_keys'),
              ('tenon_api', 'find_membership'),
              ('tenon_api', 'create_tenant'),
              ('tenon_api', 'platform'),
              ('tenon_lookup', 'platform'),
              ('tenon_api', 'platform_create_tenant'),
              ('tenon_api', 'set_tenant_status'),
              ('tenon_api', 'impersonate'),
              ('tenon_api', 'role_level'),
              ('tenon_api', 'is_member_role'),
              ('tenon_api', 'role_holds'),
              ('tenon_api', 'role_may'),
              ('tenon_api', 'role_gives'),
              ('tenon_api', 'role_covers'),
              ('tenon_api', 'grants_refused'),
              ('tenon_api', 'grants_told'),
              ('tenon_api', 'role_told'),
              ('tenon_api', 'role_count'),
              ('tenon_api', 'role_holders'),
              ('tenon_api', 'set_role_grants'),
              ('tenon_api', 'end_sessions'),
              ('tenon_api', 'drop_factor'),
              ('tenon_api', 'take_over'),
              ('tenon_api', 'has_factor'),
              ('tenon_api', 'lock_time'),
              ('tenon_api', 'project_search'),
              ('tenon_api', 'task_search'),
              ('tenon_api', 'comment_search'),
              ('tenon_api', 'current_tenant'),
              ('tenon_api', 'current_actor'),
              ('tenon_api', 'hold_account'),
              ('tenon_api', 'holds_in_account'),
              ('tenon_api', 'is_account_role'),
              ('tenon_api', 'leave_account'),
              ('tenon_api', 'lock_accounts'),
              ('tenon_api', 'may_hand_account_role'),
              ('tenon_api', 'may_move_account'),
              ('tenon_api', 'place_account'),
              ('tenon_api', 'reached'),
              ('tenon_api', 'share_target'),
              ('tenon_app', 'current_tenant'),
              ('tenon_app', 'current_actor'),
              ('tenon_app', 'uuid7'),
              ('tenon_worker', 'purge'),
              ('tenon_worker', 'hold_job'),
              ('tenon_worker', 'uuid7'),
              ('tenon_worker', 'keep_subscription'),
              ('tenon_worker', 'due_entitlements'),
              ('tenon_worker', 'forget_pages'),
              ('tenon_worker', 'tell_duplicate'),
              ('tenon_worker', 'tell_entitlement'),
              ('tenon_worker', 'refetch_subscriptions'),
              ('tenon_worker', 'period_over'),
              ('tenon_lookup', 'period_over'),
              ('tenon_worker', 'platform'),
              ('tenon_worker', 'log_event'),
              ('tenon_worker', 'commitment'),
              ('tenon_worker', 'image'),
              ('tenon_worker', 'find_billing_tenant'),
              ('tenon_owner', 'enter_billing_customer'),
              ('tenon_owner', 'enter_billing_ref'),
              ('tenon_owner', 'enter_domain'),
              ('tenon_owner', 'every_tenant'),
              ('tenon_owner', 'find_user_tenants') $$,
    'functions run for tenon_api and only these, but for the owner''s five, the '
    'worker''s, and what functions of apps may ask');

select set_eq(
    $$ select case a.grantee when 0 then 'public'
                             else a.grantee::regrole::text end,
              n.nspname::text, lower(a.privilege_type)
         from pg_namespace n
        cross join aclexplode(n.nspacl) a
        where n.nspname in ('tenon', 'teamos')
          and a.grantee <> n.nspowner $$,
    $$ values ('tenon_api',    'tenon',  'usage'),
              ('tenon_lookup', 'tenon',  'usage'),
              ('tenon_feed',   'tenon',  'usage'),
              ('tenon_worker', 'tenon',  'usage'),
              ('tenon_app',    'tenon',  'usage'),
              ('tenon_api',    'teamos', 'usage'),
              ('tenon_search', 'teamos', 'usage') $$,
    'schemas may be used, and nothing may be created in them');

select ok(
    not has_database_privilege('tenon_api', current_database(), 'temporary'),
    'tenon_api can''t put a temporary table in front of a real one');

select is(
    (select array_agg(p.oid::regprocedure::text order by p.proname)
       from pg_proc p
       join pg_namespace n on n.oid = p.pronamespace
      where n.nspname in ('tenon', 'teamos') and p.prosecdef),
    array['tenon.add_usage(uuid,text,text,timestamp with time zone,'
          'timestamp with time zone,bigint,bigint,bigint)',
          'tenon.cancel_subscriptions()',
          'teamos.comment_search(text)',
          'tenon.count_usage(uuid,text,timestamp with time zone,'
          'timestamp with time zone,integer)',
          'tenon.due_entitlements(integer)',
          'tenon.enter_billing_customer()',
          'tenon.enter_billing_ref()',
          'tenon.enter_domain()', 'tenon.every_tenant()',
          'tenon.find_api_key(uuid,uuid,bytea,inet)',
          'tenon.find_billing_tenant(text,text,text)',
          'tenon.find_cookie(uuid,uuid,integer)',
          'tenon.find_identity(uuid,uuid)',
          'tenon.find_key_tenants(uuid,uuid,integer)',
          'tenon.find_membership(uuid,uuid,text)',
          'tenon.find_memberships(uuid,uuid)',
          'tenon.find_newest_tenants(uuid,uuid,integer)',
          'tenon.find_open_sessions(uuid,uuid,uuid,integer)',
          'tenon.find_plan(uuid)',
          'tenon.find_session(uuid,uuid)',
          'tenon.find_sign_ins(uuid,uuid,uuid[],uuid,integer)',
          'tenon.find_subject(text,text,text,text)', 'tenon.find_tenant(text)',
          'tenon.find_tenant_by_domain(text)', 'tenon.find_tenant_by_id(uuid)',
          'tenon.find_user_tenants(uuid,uuid)',
          'tenon.founding_refused(uuid,uuid)',
          'tenon.held_accounts(uuid,uuid)',
          'tenon.keep_anchor()', 'tenon.log_billing_session()',
          'tenon.log_change()',
          'tenon.log_identity()', 'tenon.log_inbound()', 'tenon.log_usage()',
          'tenon.mark_entitlement()',
          'tenon.move_shares()',
          'tenon.own_roles(uuid,text[])',
          'teamos.project_search(text)', 'tenon.refetch_subscriptions(uuid)',
          'teamos.task_search(text)',
          'tenon.tell_inbound()'],
    'only look-ups, searches, triggers and what counts run as definer');


select * from finish();

rollback;
