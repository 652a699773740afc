-- Pages of a provider's: whose they are, how far they are by their job, and
-- that they go.

begin;

select plan(20);

create function tap.page(n int)
returns uuid
language sql immutable
as $$
    select ('01900000-0000-7000-8089-' || lpad(n::text, 12, '0'))::uuid
$$;

create function tap.told(n int)
returns text
language sql
as $$
    select concat_ws(' ', v.status, v.url, v.error)
      from tenon.billing_session_view v
     where v.id = page(n)
$$;

select is(run('tenon_api', acme(), format($$
              insert into tenon.billing_session
                     (tenant_id, id, kind, plan, quantity, success_url,
                      cancel_url)
              values (%L, %L, 'checkout', 'pro', 1, 'https://a/', 'https://a/')
              $$, acme(), page(1))), '1', 'a page is asked for');
select is(run('tenon_api', acme(), format($$
              insert into tenon.billing_session (tenant_id, id, kind,
                                                 return_url)
              values (%L, %L, 'portal', 'https://a/')
              $$, globex(), page(2))), '42501', 'but none for another tenant');
select is(run('tenon_api', globex(),
              'select count(*) from tenon.billing_session_view'), '0',
          'another tenant sees none');
select is(run('tenon_api', acme(),
              'update tenon.billing_session set url = ''https://a/'''),
          '42501', 'where it is isn''t said by who asks');
select is(run('tenon_api', acme(), 'delete from tenon.billing_session'),
          '42501', 'nor is it taken away');
select throws_ok(format($$
    insert into tenon.billing_session (tenant_id, id, kind, return_url, plan)
    values (%L, %L, 'portal', 'https://a/', 'pro') $$, acme(), page(3)),
    '23514', null, 'a portal has no plan');

select is(told(1), 'failed It was given up.', 'nobody makes it');
insert into tenon.job (tenant_id, id, kind)
values (acme()::uuid, page(1), 'stripe.checkout');
select is(told(1), 'pending', 'its job does');
update tenon.job
   set status = 'dead', finished_at = now(), last_error = 'Stripe said no'
 where id = page(1);
select is(told(1), 'failed Stripe said no', 'or gave up, and says why');
update tenon.job set status = 'queued', finished_at = null
 where id = page(1);
select is(told(1), 'pending Stripe said no',
          'and is told to try again: what went wrong is told as long');

select is(run('tenon_worker', globex(), format($$
              update tenon.billing_session
                 set external_id = 'cs_1', url = 'https://c/1',
                     expires_at = now() + interval '1 day'
               where id = %L $$, page(1))), '0',
          'a job of another tenant doesn''t find it');
select is(run('tenon_worker', acme(), format($$
              update tenon.billing_session
                 set external_id = 'cs_1', url = 'https://c/1',
                     expires_at = now() + interval '1 day'
               where id = %L $$, page(1))), '1', 'the tenant''s own makes it');
select is(told(1), 'ready https://c/1', 'and there it is');

update tenon.billing_session set expires_at = now() where id = page(1);
select is(told(1), 'expired', 'until it runs out');
select is(run('tenon_worker', tenon.platform()::text,
              'update tenon.billing_session set expires_at = now(), url = null'),
          '0', 'a job of the platform''s forgets none that is good');
update tenon.billing_session set expires_at = now() - interval '1 second'
 where id = page(1);
select is(run('tenon_worker', tenon.platform()::text, $$
              update tenon.billing_session set url = 'https://other/'
               where expires_at < now() and url is not null $$),
          '42501', 'and changes none');
select is(run('tenon_worker', tenon.platform()::text,
              'select tenon.forget_pages(10)'),
          '1', 'but forgets what is no good any more');
select is(count(*), 0::bigint, 'its address is in no event')
  from tenon.event_body b
 where b.at = now() and (b.before ? 'url' or b.after ? 'url');

select is(run('tenon_worker', acme(), 'delete from tenon.billing_session'),
          '0', 'it stays for a while');
update tenon.billing_session set created_at = now() - interval '31 days'
 where id = page(1);
select is(run('tenon_worker', '', 'select tenon.purge()'), '1',
          'and goes after a month');

select * from finish();
rollback;
