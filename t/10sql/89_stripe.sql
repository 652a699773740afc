-- What jobs of the platform's keep of a tenant's billing, and may.

begin;

select plan(29);


-- Customers ------------------------------------------------------------------

create function tap.customer(context text, tenant text, id text)
returns text
language sql
as $$
    select run('tenon_worker', context, format(
        'insert into tenon.billing_customer (tenant_id, provider, external_id)
         values (%L, ''stripe'', %L)', tenant, id))
$$;

select is(customer(acme(), acme(), 'cus_a'), '1', 'a tenant is a customer');
select is(run('tenon_worker', '', $$ select tenon.find_billing_tenant(
                                         'stripe', 'customer', 'cus_a') $$),
          acme(), 'which leads to it');
select is(customer(globex(), acme(), 'cus_b'), '42501',
          'nobody makes another tenant one');
select is(customer(globex(), globex(), 'cus_a'), '23505',
          'a customer is one tenant''s');
select is(customer(acme(), acme(), 'cus_c'), '23505', 'and a tenant is one');
select is((select string_agg(e.action || ' ' || (e.tenant_id = acme()::uuid),
                             ', ')
             from tenon.event e
            where e.resource = 'tenon.billing_customer'),
          'billing_customer.created true', 'its log says so');


-- Subscriptions --------------------------------------------------------------

create function tap.keep(asked int, said jsonb, deaf text default '{}')
returns text
language sql
as $$
    select run('tenon_worker', globex(), format(
        'select tenon.keep_subscription(%L, ''stripe'', ''sub_1'', %s, %L, %L,
                                        %L)',
        globex(), asked, now(), jsonb_build_object(
            'plan', 'pro', 'price_id', 'price_1', 'quantity', 3,
            'customer_id', 'cus_b', 'status', 'active', 'owes', false,
            'current_period_start', 1790000000,
            'current_period_end', 1792592000,
            'cancel_at_period_end', false, 'created', 1790000000,
            'livemode', false) || said, deaf))
$$;

select set_config('tap.ask', :'ask', true) as ask \gset

create function tap.ask(received text default '-infinity')
returns text
language sql
as $$
    select run('tenon_worker', globex(), format(
        'with a as (' || current_setting('tap.ask')
        || ') select asked from a', globex(), received))
$$;

create function tap.kept()
returns text
language sql
as $$
    select concat_ws(' ', s.plan, s.status, s.quantity, s.version)
      from tenon.subscription s
     where s.tenant_id = globex()::uuid and s.external_id = 'sub_1'
$$;

select is(keep(1, '{}'), 'outdated', 'who has no number writes nothing');
select is(ask(), '1', 'a number');
select is(ask(), '2', 'the next');
select is(kept(), null, 'nothing is written yet');
select is(keep(2, '{}'), 'created', 'the second is heard first');
select is(kept(), 'pro active 3 1', 'and written down');
select is(keep(1, '{"status": "past_due", "owes": true}'), 'outdated',
          'the first comes late');
select is(keep(2, '{"quantity": 4}'), 'outdated', 'a batch that is sent twice');
select is(kept(), 'pro active 3 1', 'changes nothing');
select is(run('tenon_worker', '', $$ select tenon.find_billing_tenant(
                                         'stripe', 'subscription', 'sub_1') $$),
          globex(), 'whose it is can be looked up');

select is(ask((now() - interval '1 s')::text), null,
          'what came in before isn''t asked for again');
select is(ask((now() + interval '1 s')::text), '3', 'what came since is');
select is(keep(3, '{}'), 'same', 'if nothing is new');
select is(kept(), 'pro active 3 1', 'nothing is written');

select ask() as number \gset
select is(keep(4, '{"status": "past_due", "owes": true, "due": 1790000000}'),
          'updated', 'who owes');
select is((select owing_since from tenon.subscription
            where external_id = 'sub_1'), to_timestamp(1790000000),
          'owes since then');
select ask() as number \gset
select is(keep(5, '{"status": "unpaid", "owes": true, "due": 1791000000}')
          || ' ' || (select owing_since = to_timestamp(1790000000)
                       from tenon.subscription where external_id = 'sub_1'),
          'updated true', 'and not only since the newest invoice');
select ask() as number \gset
select is(keep(6, '{"plan": null, "status": "canceled", "canceled_at": 1791000001,
                   "ended_at": 1791000001}'), 'updated',
          'an end, by a price that isn''t known any more');
select is(kept(), 'pro canceled 3 4', 'has its plan still');
select ask() as number \gset
select is(keep(7, '{}', '{canceled,incomplete_expired}'), 'late',
          'nothing leads out of it');
select is(kept(), 'pro canceled 3 4', 'it stays');

select is((select string_agg(e.action || ' ' || (b.before ->> 'status') || ' > '
                             || (b.after ->> 'status'), ', '
                             order by e.version)
             from tenon.event e
             join tenon.event_body b
               on (b.tenant_id, b.at, b.event_id)
                  = (e.tenant_id, e.at, e.id)
            where e.resource = 'tenon.subscription'
              and e.tenant_id = globex()::uuid
              and e.action = 'subscription.updated'),
          'subscription.updated active > past_due, '
          'subscription.updated past_due > unpaid, '
          'subscription.updated unpaid > canceled',
          'the log has what changed, and only that');
select is(run('tenon_worker', acme(),
              $$ select count(*) from tenon.subscription
                  where external_id = 'sub_1' $$), '0',
          'a worker sees a tenant''s where it acts');


select * from finish();

rollback;
