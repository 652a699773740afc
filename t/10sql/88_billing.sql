-- Plans: what can't be declared, what stays when it is no longer, and which of
-- several a tenant's is.

begin;

select plan(49);

-- What the demo's tenants are granted besides would change all of it.
delete from tenon.plan_override;

create schema shop authorization tenon_owner;

create function tap.declare(declaration text)
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
    execute declaration;
    raise exception 'accepted';
exception when others then
    get stacked diagnostics message = message_text,
                            hint    = pg_exception_hint;
    reset role;
    return concat_ws(' | ', message, nullif(hint, ''));
end
$$;

create temporary table refused (declaration text, answer text);

insert into refused
values
($$select tenon.plan('Gold')$$, '''Gold'' can''t be the name of a plan | %'),
($$select tenon.plan('none')$$, '''none'' can''t be the name of a plan | %'),
($$select tenon.plan('free')$$, 'plan free is declared by app teamos | %'),
($$select tenon.plan('gold'), tenon.plan('gold')$$,
 'plan gold is declared twice | %'),
($$select tenon.plan('gold', by_default => true)$$,
 'plan gold: there can''t be two, and free is one already, that are '
 'by_default | %'),
($$select tenon.plan('gold', trial_days => 3, trial_at_signup => true),
          tenon.plan('tin', trial_days => 3, trial_at_signup => true)$$,
 'plan tin: there can''t be two, and gold is one already, that are '
 'trial_at_signup | %'),
($$select tenon.plan('gold', features => '{a,B}')$$,
 'plan gold: ''B'' can''t be the name of a feature | %'),
($$select tenon.plan('gold', features => '{a,null}')$$,
 'plan gold: NULL can''t be the name of a feature | %'),
($$select tenon.plan('gold', amount => 1)$$,
 'plan gold can''t cost 1 null a month | %'),
($$select tenon.plan('gold', amount => 1, currency => 'usd')$$,
 'plan gold can''t cost 1 usd a month | %'),
($$select tenon.plan('gold', period => 'week')$$,
 'plan gold can''t cost null null a week | %'),
($$select tenon.plan('gold', grace_days => -1)$$,
 'plan gold: trial_days null, grace_days -1 and read_only_days 14 can''t be '
 '| %'),
($$select tenon.plan('gold', trial_at_signup => true)$$,
 'plan gold: trial_days null, % can''t be | %'),
($$select tenon.plan_limit('free', 'seats', hard => 1)$$,
 'free is not a plan of app shop | Declare it first: %'),
($$select tenon.plan('gold'), tenon.plan_limit('gold', 'Seats', hard => 1)$$,
 'plan gold: ''Seats'' can''t be the name of a limit | %'),
($$select tenon.plan('gold'), tenon.plan_limit('gold', 'seats')$$,
 'plan gold: limit seats can''t be hard null, soft null | %'),
($$select tenon.plan('gold'),
          tenon.plan_limit('gold', 'seats', hard => 1, soft => 2)$$,
 'plan gold: limit seats can''t be hard 1, soft 2 | %'),
($$select tenon.plan('gold'),
          tenon.plan_limit('gold', 'api_calls', hard => 1,
                           period => 'week')$$,
 'plan gold: limit api_calls can''t be of a week | %'),
($$select tenon.plan('gold'),
          tenon.plan_limit('gold', 'seats', hard => 1, period => 'month')$$,
 'plan gold: limit seats can''t be of period month | %'),
($$select tenon.plan('gold'),
          tenon.plan_limit('gold', 'api_calls', hard => 1)$$,
 'plan gold: limit api_calls can''t be of period null | %'),
($$select tenon.plan('gold'),
          tenon.plan_limit('gold', 'api_rate', hard => 1)$$,
 'plan gold: limit api_rate can''t be of period null | %'),
($$select tenon.plan('gold'),
          tenon.plan_limit('gold', 'api_rate', hard => 1,
                           period => 'minute')$$,
 'accepted'),
($$select tenon.plan('gold'),
          tenon.plan_limit('gold', 'api_calls', hard => 1, period => 'month',
                           per_quantity => true)$$,
 'plan gold: limit api_calls can''t be per_quantity true | Seats alone %'),
($$select tenon.plan('gold'),
          tenon.plan_limit('gold', 'seats', hard => 1, per_quantity => null)$$,
 'plan gold: limit seats can''t be per_quantity null | %'),
($$select tenon.plan_price('gold', 'stripe', 'price_1')$$,
 'gold is not a plan of app shop | %'),
($$select tenon.plan('gold'), tenon.plan_limit('gold', 'seats', hard => 1),
          tenon.plan_limit('gold', 'seats', hard => 2)$$,
 'plan gold: limit seats is declared twice | %'),
($$select tenon.plan('gold'), tenon.plan_price('gold', 'stripe', 'price_1'),
          tenon.plan('tin'), tenon.plan_price('tin', 'stripe', 'price_1')$$,
 'plan tin: price price_1 of stripe is plan gold''s | %'),
($$select tenon.plan('gold'),
          tenon.plan_price('gold', 'stripe', 'teamos_pro_monthly')$$,
 'plan gold: price teamos_pro_monthly of stripe is plan pro''s | %'),
($$select tenon.plan('gold', features => '{a.b}', amount => 0,
                     currency => 'EUR', grace_days => null),
          tenon.plan_limit('gold', 'seats', soft => 2)$$,
 'accepted');

select is_empty(
    $$ select declaration, declare(declaration), answer
         from refused where declare(declaration) not like answer $$,
    'what can''t be is refused, and says what, where and how to mend it');


-- What is no longer declared -------------------------------------------------

set local role tenon_owner;
select tenon.app_begin('shop');
select tenon.plan('gold', amount => 500, currency => 'USD',
                  features => '{b,a,a}');
select tenon.plan_limit('gold', 'seats', hard => 7);
select tenon.plan_price('gold', 'stripe', 'price_old');
select tenon.plan_price('gold', 'stripe', 'price_moved');
select tenon.app_end('shop');
reset role;

select results_eq(
    $$ select version, features, position from tenon.plan
        where name = 'gold' $$,
    $$ values (1::bigint, '{a,b}'::text[], 1) $$,
    'a plan is declared');

set local role tenon_owner;
select tenon.app_begin('shop');
select tenon.plan('gold', amount => 500, currency => 'USD',
                  features => '{a,b}');
select tenon.plan_limit('gold', 'seats', hard => 7);
select tenon.plan_price('gold', 'stripe', 'price_new');
select tenon.plan('silver');
select tenon.plan_price('silver', 'stripe', 'price_moved');
select tenon.app_end('shop');
reset role;

select results_eq(
    $$ select external_id collate "default", plan collate "default", retired
         from tenon.plan_price
        where external_id like 'price\_%' order by 1 $$,
    $$ values ('price_moved', 'silver', false), ('price_new', 'gold', false),
              ('price_old', 'gold', true) $$,
    'a price moves to another plan, and one that is old is still known');

select is((select version from tenon.plan where name = 'gold'), 1::bigint,
          'once more, it is the same');

create function tap.found(tenant text)
returns text
language sql
as $$
    select run('tenon_api', tenant,
               format('select string_agg(concat_ws('' '', plan, status, '
                      'nullif(features, ''''), limits), '' | '') '
                      'from tenon.find_plan(%L)', tenant))
$$;

select is(found(globex()),
          'free active api_calls:800:1000:month | none ',
          'who has subscribed to nothing has the default plan');

select set_config('tenon.tenant', globex(), true);
insert into tenon.subscription (tenant_id, plan, provider, status)
values (globex()::uuid, 'gold', 'stripe', 'active');

select is(found(globex()),
          'gold active a,b seats::7: | free active api_calls:800:1000:month '
          '| none ',
          'in front of it is what it subscribes to');

set local role tenon_owner;
select tenon.app_begin('shop');
select tenon.app_end('shop');
reset role;

select is(found(globex()),
          'gold active a,b seats::7: | free active api_calls:800:1000:month '
          '| none ',
          'which it keeps when the plan is retired');

select is(run('tenon_api', globex(),
              $$ select count(*)::text from tenon.plan_view
                  where name = 'gold' $$), '0',
          'though nobody can have it any more');

set local role tenon_owner;
select tenon.app_drop('shop');
reset role;

select ok((select retired from tenon.plan where name = 'gold'),
          'also when the app goes');


-- Which of several -----------------------------------------------------------

select set_config('tenon.tenant', globex(), true);
update tenon.subscription set status = 'canceled'
 where tenant_id = globex()::uuid;
insert into tenon.subscription (tenant_id, plan, provider, status, created_at,
                                trial_ends_at)
values (globex()::uuid, 'pro', 'stripe', 'trialing', now() - interval '1 day',
        '2026-11-21 00:00:00.000001+00');

select is(split_part(found(globex()), ' ', 1), 'pro',
          'what goes on counts, and not what has ended');
select results_eq(
    $$ select trial_ends_at, grace, read_only,
              subscription = (select id from tenon.subscription
                               where tenant_id = globex()::uuid
                                 and status = 'trialing')
         from tenon.find_plan(globex()::uuid) limit 1 $$,
    $$ values (1795219200000001::bigint, 604800000000::bigint,
               1209600000000::bigint, true) $$,
    'its times are told in microseconds, and which one it is');

insert into tenon.plan_override (tenant_id, plan, features_added, limits)
values (globex()::uuid, 'enterprise', '{z}',
        '[{"name": "api_calls", "hard": 5}, {"name": "seats", "soft": 1},
          {"name": "api_rate", "hard": 9}]');

select is(found(globex()),
          'enterprise active z api_calls::5:month;api_rate::9:minute;seats:1:: '
          '| pro trialing z api_calls::5:month;api_rate::9:minute;seats:1:: '
          '| free active z api_calls::5:month;api_rate::9:minute;seats:1:: '
          '| none  z api_calls::5:month;api_rate::9:minute;seats:1::',
          'what the platform grants comes first, and changes all of them');

update tenon.plan_override set ends_at = now() - interval '1 second',
       features_removed = '{exports}'
 where tenant_id = globex()::uuid;

select is(split_part(found(globex()), ' | ', 1),
          'pro trialing api_calls:40000:50000:month;api_rate::6000:minute',
          'until it ends');

update tenon.plan_override
   set ends_at = '2100-01-01 00:00:00+00', plan = null,
       features_added = '{a,b}', features_removed = '{a}', limits = '[]'
 where tenant_id = globex()::uuid;

select results_eq(
    $$ select features, ends_at from tenon.find_plan(globex()::uuid)
        limit 1 $$,
    $$ values ('b'::text, 4102444800000000::bigint) $$,
    'which is told; taken away counts more than added');

delete from tenon.plan_override where tenant_id = globex()::uuid;
delete from tenon.subscription where tenant_id = globex()::uuid;
update tenon.plan set trial_at_signup = true, trial_days = 30
 where name = 'pro';
update tenon.tenant set created_at = now() - interval '29 days'
 where tenant_id = globex()::uuid;

select is(split_part(found(globex()), ' ', 1), 'pro',
          'a new tenant begins with a trial');
select is((select trial_ends_at = ends_at from tenon.find_plan(globex()::uuid)
            limit 1), true, 'which ends');

update tenon.tenant set created_at = now() - interval '30 days'
 where tenant_id = globex()::uuid;

select is(split_part(found(globex()), ' ', 1), 'free', 'after its days');

update tenon.plan set trial_days = 60 where name = 'pro';
insert into tenon.subscription (tenant_id, plan, provider, external_id, status)
values (globex()::uuid, 'pro', 'stripe', 'sub_shy', 'incomplete');
select is(split_part(found(globex()), ' | ', 1),
          'pro trialing api_calls:40000:50000:month;api_rate::6000:minute',
          'it goes on while somebody tries to pay');
update tenon.subscription set status = 'incomplete_expired'
 where external_id = 'sub_shy';
select is(split_part(found(globex()), ' | ', 1),
          'pro trialing api_calls:40000:50000:month;api_rate::6000:minute', 'and fails');
insert into tenon.subscription (tenant_id, plan, provider, external_id, status)
values (globex()::uuid, 'pro', 'stripe', 'sub_off', 'incomplete');
update tenon.subscription set status = 'canceled'
 where external_id = 'sub_off';
update tenon.subscription set status = 'canceled', quantity = 2
 where external_id = 'sub_off';
select is(split_part(found(globex()), ' | ', 1),
          'pro trialing api_calls:40000:50000:month;api_rate::6000:minute', 'or gives up');
update tenon.subscription set status = 'active' where external_id = 'sub_off';
update tenon.subscription set status = 'canceled'
 where external_id = 'sub_off';
select is(found(globex()), 'free active api_calls:800:1000:month | none ',
          'and is no more to be had after a subscription that ran');
delete from tenon.subscription where tenant_id = globex()::uuid;
insert into tenon.subscription (tenant_id, plan, provider, status)
values (globex()::uuid, 'pro', 'stripe', 'canceled');
select is(found(globex()), 'free active api_calls:800:1000:month | none ',
          'nor after one that is first heard of at its end');

-- Whatever order the words of it came in, and however many there are.
delete from tenon.subscription where tenant_id = globex()::uuid;
insert into tenon.subscription (tenant_id, plan, provider, status, owing_since,
                                provider_created_at, created_at)
values (globex()::uuid, 'gold', 'stripe', 'past_due', now(),
        now() - interval '2 days', now()),
       (globex()::uuid, 'pro', 'stripe', 'past_due', now(),
        now() - interval '1 day', now() - interval '9 days');
select is(split_part(found(globex()), ' ', 1), 'pro',
          'the newest is the one that its provider made last');
insert into tenon.subscription (tenant_id, plan, provider, status,
                                provider_created_at)
values (globex()::uuid, 'enterprise', 'stripe', 'active',
        now() - interval '3 days');
insert into tenon.subscription (tenant_id, plan, provider, status, owing_since)
select globex()::uuid, 'pro', 'stripe', s.status, now()
  from unnest('{incomplete,unpaid,past_due}'::text[]) as s (status)
 cross join generate_series(1, 20);
select is((select count(*)
             from tenon.find_plan(globex()::uuid)
            where subscription is not null), 16::bigint,
          'some of very many are looked at');
select is((select count(*)
             from tenon.find_plan(globex()::uuid)
            where plan = 'enterprise' and status = 'active'), 1::bigint,
          'among them the one that is paid');

-- By what is paid for.
create function tap.seats()
returns text
language sql
as $$
    select split_part(tap.found(globex()), ' | ', 1)
$$;

delete from tenon.subscription where tenant_id = globex()::uuid;
insert into tenon.plan_limit (plan, name, soft, hard, per_quantity)
values ('enterprise', 'seats', 2, 3, true);
insert into tenon.subscription (tenant_id, plan, provider, status, quantity)
values (globex()::uuid, 'enterprise', 'stripe', 'active', 7);
select is(seats(), 'enterprise active seats:14:21:',
          'so many seats for each that is paid for');
update tenon.subscription set quantity = 9000000000000000000
 where tenant_id = globex()::uuid;
select is(seats(), 'enterprise active seats:9223372036854775807'
                   ':9223372036854775807:', 'as many as can be');
insert into tenon.plan_override (tenant_id, limits)
values (globex()::uuid, '[{"name": "seats", "hard": 5}]');
select is(seats(), 'enterprise active seats::5:',
          'what the platform grants is how many there are');
update tenon.plan_override set limits = '[]', plan = 'enterprise'
 where tenant_id = globex()::uuid;
update tenon.subscription set quantity = 4 where tenant_id = globex()::uuid;
select is(seats(), 'enterprise active seats:8:12:',
          'of a plan that is granted and paid for, too');
delete from tenon.subscription where tenant_id = globex()::uuid;
update tenon.plan_override set ends_at = 'infinity'
 where tenant_id = globex()::uuid;
select is(seats(), 'enterprise active seats:2:3:',
          'one, where nothing is paid; and for ever is no end');
delete from tenon.plan_override where tenant_id = globex()::uuid;
delete from tenon.plan_limit where plan = 'enterprise';

select is(run('tenon_api', tenon.platform()::text,
              $$ select count(*)::text
                   from tenon.find_plan(tenon.platform()) $$), '0',
          'the platform is billed by nobody');

update tenon.plan set retired = true;
select is(found(globex()), null, 'nor is anybody where there are no plans');


-- Whose they are -------------------------------------------------------------

select is(run('tenon_api', acme(),
              $$ select count(*)::text from tenon.subscription
                  where tenant_id <> acme()::uuid $$), '0',
          'another tenant''s subscriptions aren''t seen');
select is(run('tenon_api', acme(),
              $$ insert into tenon.subscription (tenant_id, plan, provider,
                                                 status)
                 values (acme()::uuid, 'pro', 'stripe', 'active') $$),
          '42501', 'and the API makes none');
select is(run('tenon_api', acme(),
              format($$ insert into tenon.plan_override (tenant_id, plan)
                        values (%L, 'pro') $$, globex())),
          '42501', 'nor grants another tenant anything');
select throws_ok(
    format($$ insert into tenon.subscription (tenant_id, plan, provider,
                                              status)
              values (%L, 'pro', 'stripe', 'past_due') $$, globex()),
    '23514', null, 'who owes owes since some time');
select throws_ok(
    format($$ insert into tenon.subscription (tenant_id, plan, provider,
                                              status)
              values (%L, 'pro', 'stripe', 'on_hold') $$, globex()),
    '23514', null, 'also by a word that nobody knows');
select throws_ok(
    format($$ insert into tenon.subscription (tenant_id, plan, provider,
                                              status)
              values (%L, 'pro', 'stripe', 'trialing') $$, globex()),
    '23514', null, 'and a trial ends');


-- Whose at the provider ------------------------------------------------------

select set_config('tenon.tenant', globex(), true);
insert into tenon.subscription (tenant_id, plan, provider, customer_id,
                                external_id, status)
values (globex()::uuid, 'pro', 'stripe', 'cus_1', 'sub_1', 'canceled'),
       (globex()::uuid, 'pro', 'stripe', 'cus_1', 'sub_2', 'active');
delete from tenon.subscription where external_id = 'sub_1';
select results_eq(
    $$ select run('tenon_worker', '', format(
                  'select tenon.find_billing_tenant(%L, %L, %L)::text',
                  r.provider, r.kind, r.id))
         from (values ('stripe', 'customer', 'cus_1'),
                      ('stripe', 'subscription', 'sub_1'),
                      ('stripe', 'subscription', 'sub_2'),
                      ('stripe', 'subscription', 'cus_1'),
                      ('paddle', 'subscription', 'sub_2'))
              as r (provider, kind, id) $$,
    $$ values (globex()), (globex()), (globex()), (null::text), (null) $$,
    'a customer and a subscription lead to their tenant');
select is(run('tenon_api', globex(), format(
              $$ select tenon.find_billing_tenant('stripe', 'customer',
                                                  'cus_1')::text $$)),
          '42501', 'for the worker alone');

select set_config('tenon.tenant', acme(), true);
select throws_ok(
    format($$ insert into tenon.subscription (tenant_id, plan, provider,
                                              %I, status)
              values (%L, 'pro', 'stripe', %L, 'active') $$, r.named, acme(),
           r.id),
    '23505', r.message, 'nobody else has the ' || r.named)
  from (values ('external_id', 'sub_1',
                'the subscription sub_1 of stripe is another tenant''s'),
               ('customer_id', 'cus_1',
                'the customer cus_1 of stripe is another tenant''s'))
       as r (named, id, message);


-- Seats ----------------------------------------------------------------------

select is(run('tenon_api', acme(), 'select tenon.seats_taken(1000)'),
          (select count(*)::text from tenon.member
            where tenant_id = acme()::uuid and deleted_at is null),
          'members take seats');
select is(run('tenon_api', acme(), 'select tenon.seats_taken(2)'), '2',
          'which are counted no further than needed');

select set_config('tenon.tenant', acme(), true);
insert into tenon.invitation (tenant_id, id, realm_id, email, role,
                              invited_by, expires_at, deleted_at)
select acme()::uuid, tenon.uuid7(), realm()::uuid, v.email, 'member',
       m.user_id, now() + v.span, v.gone
  from tenon.member m
 cross join (values ('a@x.test', interval '1 day', null::timestamptz),
                    ('b@x.test', interval '-1 day', null),
                    ('c@x.test', interval '1 day', now())) v (email, span,
                                                              gone)
 where m.tenant_id = acme()::uuid and m.role = 'owner' limit 3;

select is(run('tenon_api', acme(), 'select tenon.seats_taken(1000)'),
          (select (count(*) + 1)::text from tenon.member
            where tenant_id = acme()::uuid and deleted_at is null),
          'so do open invitations, and no others');

select is(run('tenon_api', null, 'select tenon.seats_taken(1000)'), '0',
          'without a tenant there are none');


-- Faults of an override ------------------------------------------------------

select is(run('tenon_api', acme(),
              $$ select tenon.override_refused('gold', '{}', '[]') $$),
          'invalid_fields /plan not_in_set is no plan',
          'a plan that can''t be had can''t be granted');
select is(run('tenon_api', acme(),
              $$ select tenon.override_refused(null,
                     '{"added": ["a"], "removed": ["b", "a"]}', '[]') $$),
          'invalid_fields /features_removed/1 duplicate is added as well',
          'nor is one feature added and removed');
select is(run('tenon_api', acme(),
              $$ select tenon.override_refused(null, '{}', '[]') $$),
          null, 'nothing is in order');

select * from finish();

rollback;
