-- What a tenant was last told of its entitlement: when it is looked at, that a
-- change is told once, and whom a lost word is asked of. And which version a plan
-- has.

begin;

select plan(37);

\set sub '\'01900000-0000-7000-8032-000000000001\''

create function tap.due()
returns text
language sql
as $$
    select run('tenon_worker', '',
               'select string_agg(distinct tenant_id::text, '','')
                  from tenon.due_entitlements(50)')
$$;

create function tap.row_of(tenant text)
returns tenon.entitlement
language sql
as $$
    select e from tenon.entitlement e where e.tenant_id = tenant::uuid
$$;

-- As libcore/job/dunning.c does, with what it has worked out.
create function tap.tell(tenant text, told text, plan text default 'pro',
                         changes text default 'null',
                         trial text default 'null', seen bigint default null)
returns text
language sql
as $$
    select run('tenon_worker', tenant, format(
        'select tenon.tell_entitlement(%L, %s, %L, %L, null, %s, %s,
                                       tenon.uuid7(),
                                       uuid_send(gen_random_uuid()))',
        tenant, coalesce(seen, (row_of(tenant)).version), plan, told, changes,
        trial))
$$;

create function tap.told(tenant text)
returns table (action text, metadata jsonb)
language sql
as $$
    select e.action, b.metadata
      from tenon.event e
      join tenon.event_body b on b.tenant_id = e.tenant_id
                             and b.event_id  = e.id
     where e.tenant_id = tenant::uuid
       and e.action in ('subscription.entitlement_changed',
                        'subscription.trial_will_end')
     order by e.id
$$;

create function tap.jobs(of_kind text)
returns bigint
language sql
as $$
    select count(*)
      from tenon.job j
     where j.kind = of_kind and j.status = 'queued'
       and j.tenant_id = tenon.platform()
$$;


-- Each tenant has a row ------------------------------------------------------

select set_eq('select tenant_id from tenon.entitlement',
              'select tenant_id from tenon.tenant
                where tenant_id <> tenon.platform()',
              'what every tenant was told is kept, but for the platform');
select is(run('tenon_worker', acme(), 'select count(*) from tenon.entitlement'),
          '1', 'each tenant''s apart');
select is(run('tenon_api', acme(), 'select count(*) from tenon.entitlement'),
          '42501', 'and nothing for requests');
select is(run('tenon_worker', acme(),
              'insert into tenon.entitlement (tenant_id)
               values (tenon.uuid7())'), '42501', 'nobody makes one');
select is(run('tenon_api', acme(),
              'select count(*) from tenon.due_entitlements(1)'), '42501',
          'nor asks for those of all');


-- When it is looked at -------------------------------------------------------

delete from tenon.plan_override;
update tenon.entitlement set due_at = now() + interval '1 day';
delete from tenon.job where kind = 'billing.entitlements';
select is(due(), null, 'nothing is due');

insert into tenon.subscription (tenant_id, id, plan, provider, external_id,
                                status, current_period_end)
values (acme()::uuid, :sub, 'pro', 'stripe', 'sub_dun', 'active',
        now() + interval '20 days');
select is(due(), acme(), 'one whose subscription is new is, at once');
select is(jobs('billing.entitlements'), 1::bigint, 'and a job is there for it');
select is((select count(*) from tenon.event where action = 'job.created'),
          0::bigint, 'which is no news');

insert into tenon.plan_override (tenant_id, plan)
values (globex()::uuid, 'pro');
select is(due(), concat_ws(',', least(acme(), globex()),
                           greatest(acme(), globex())),
          'so is one that the platform grants something');
select is(jobs('billing.entitlements'), 1::bigint, 'and one job does for both');

delete from tenon.plan_override where tenant_id = globex()::uuid;
select is(tell(globex(), 'full', 'free'), 'true', 'a first look');
select is(tell(acme(), 'full'), 'true', 'of both');
select is(due(), null, 'then nobody is');
select is_empty(format('select * from told(%L)', acme()),
                'and nobody is told of it');
select ok((row_of(acme())).due_at
          between now() + interval '12 hours' and now() + interval '24 hours',
          'the next look is within a day');

update tenon.subscription set quantity = 7 where id = :sub;
select is(due(), null, 'what decides nothing isn''t looked at');

update tenon.subscription set status = 'past_due', owing_since = now()
 where id = :sub;
select is(due(), acme(), 'a step is');


-- A change is told once ------------------------------------------------------

select is(tell(acme(), 'grace', changes => 'now() + interval ''1 hour''',
               seen => (row_of(acme())).version - 1), 'false',
          'what was worked out of what is over isn''t told');
select is(tell(acme(), 'grace', changes => 'now() + interval ''1 hour'''), 'true',
          'else it is');
select is((row_of(acme())).due_at, now() + interval '1 hour',
          'and looked at when it changes next');
select results_eq(
    format('select action::text collate "C", metadata ->> ''from'', metadata ->> ''to'',
                   metadata ->> ''to_plan'',
                   (metadata ->> ''changes_at'')::timestamptz
              from told(%L)', acme()),
    $$ values ('subscription.entitlement_changed'::text collate "C", 'full',
               'grace', 'pro', now() + interval '1 hour') $$,
    'with what it was and is, and until when');
select is(tell(acme(), 'grace'), 'true', 'looked at once more');
select is((select count(*) from told(acme())), 1::bigint,
          'it is the same, and not told again');
select is(tell(acme(), 'full', 'free'), 'true', 'paid, and another plan');
select results_eq(
    format('select metadata ->> ''to'', metadata ->> ''from_plan'',
                   metadata ->> ''to_plan''
              from told(%L) offset 1', acme()),
    $$ values ('full', 'pro', 'free') $$, 'is told as well');


-- A trial is about to end ----------------------------------------------------

select is(tell(globex(), 'trial', 'free',
               trial => 'now() + interval ''4 days'''), 'true', 'a trial');
select cmp_ok((row_of(globex())).due_at, '<=', now() + interval '1 day',
              'is looked at three days before its end');
select is((select count(*) from told(globex())
            where action like '%trial%'), 0::bigint, 'it isn''t told yet');
select tell(globex(), 'trial', 'free', trial => 'now() + interval ''3 days''')
  from generate_series(1, 3);
select is((select array_agg((metadata ->> 'trial_ends_at')::timestamptz)
             from told(globex()) where action like '%trial%'),
          array[now() + interval '3 days'], 'then it is, once');


-- A word that was lost -------------------------------------------------------

update tenon.subscription
   set status = 'active', owing_since = null,
       current_period_end = now() - interval '71 hours'
 where id = :sub;
select tell(acme(), 'full');
select is(jobs('stripe.subscription'), 0::bigint,
          'who is late by less than three days isn''t asked of');
select ok((select owing_since is not null
             from tenon.find_plan(acme()::uuid) where status = 'active'
            limit 1),
          'the plan says when it is');
update tenon.subscription
   set current_period_end = now() - interval '72 hours'
 where id = :sub;
select tell(acme(), 'grace') from generate_series(1, 3);
select is((select array_agg(j.input) from tenon.job j
            where j.kind = 'stripe.subscription'),
          array['{"subscription": "sub_dun"}'::jsonb],
          'then the provider is asked, once in half a day');
select is(run('tenon_api', acme(), format(
              'select tenon.refetch_subscriptions(%L)', acme())), '42501',
          'by nobody else');


-- A plan's version -----------------------------------------------------------

create schema shop authorization tenon_owner;

create function tap.load(seats int, price text)
returns bigint
language plpgsql
as $$
begin
    set constraints all immediate;
    set constraints all deferred;
    set local role tenon_owner;
    perform tenon.app_begin('shop');
    perform tenon.plan('gold'), tenon.plan_limit('gold', 'seats', hard => seats),
            tenon.plan_price('gold', 'stripe', price);
    reset role;
    set constraints all immediate;
    set constraints all deferred;
    return (select p.version from tenon.plan p where p.name = 'gold');
end
$$;

create temporary table versions as
select load(7, 'price_1') as first, load(7, 'price_1') as same,
       load(8, 'price_1') as limits, load(8, 'price_2') as prices;

select is(same, first, 'what is declared again is the same') from versions;
select cmp_ok(limits, '>', same, 'other limits are another version')
  from versions;
select cmp_ok(prices, '>', limits, 'and so are other prices') from versions;

select * from finish();
rollback;
