-- Events that came in: the platform's alone, each once, and jobs with them.

begin;

select plan(16);

\set platform '\'00000000-0000-7000-8000-000000000002\''

create function tap.store(tenant text, external text, n int)
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'insert into tenon.inbound_event (tenant_id, id, provider, external_id,
                                          type, body)
         values (%L, %L, ''stripe'', %L, ''ping'', ''{}'')
             on conflict (tenant_id, provider, external_id) do nothing',
        tenant, '01900000-0000-7000-8088-' || lpad(n::text, 12, '0'), external))
$$;

select is(store(:platform, 'evt_1', 1), '1', 'an event is stored');
select is(store(:platform, 'evt_1', 2), '0', 'once');
select is(store(:platform, 'evt_2', 3), '1', 'another is, too');
select is(store(:platform, 'evt_1', 3), '0', 'whatever its own id');

select is(run('tenon_api', :platform,
              'select count(*) from tenon.inbound_event
                where external_id in (''evt_1'', ''evt_2'')'), '2',
          'the platform sees them');
select is(run('tenon_api', acme(),
              'select count(*) from tenon.inbound_event'), '0',
          'nobody else does');
select is(run('tenon_api', acme(), $$
              insert into tenon.inbound_event (tenant_id, id, provider,
                                               external_id, type, body)
              values ('00000000-0000-7000-8000-000000000002',
                      '01900000-0000-7000-8088-000000000009', 'stripe',
                      'evt_9', 'ping', '{}') $$), '42501',
          'nor writes them');
select is(run('tenon_api', :platform, 'select body from tenon.inbound_event'),
          '42501', 'the API doesn''t read what is in them');
select is(run('tenon_api', :platform,
              'update tenon.inbound_event set status = ''processed'''),
          '42501', 'nor says that they are done');
select is(run('tenon_api', :platform, 'delete from tenon.inbound_event'),
          '42501', 'nor takes them away');

select is(run('tenon_api', acme(), $$
              insert into tenon.job (tenant_id, id, kind, input)
              values ('00000000-0000-7000-8000-000000000002',
                      '01900000-0000-7000-8088-000000000009', 'stripe.event',
                      '{}') $$), '42501',
          'nobody makes jobs for the platform');

update tenon.inbound_event set status = 'failed', processed_at = now()
 where external_id = 'evt_2';

select is(b.before ->> 'status' || ' ' || (b.after ->> 'status'),
          'received failed', 'a change by hand is in the log')
  from tenon.event e
  join tenon.event_body b
    on (b.tenant_id, b.at, b.event_id) = (e.tenant_id, e.at, e.id)
 where e.action = 'inbound_event.updated' and e.tenant_id = :platform;

select is(count(*), 0::bigint, 'what it says isn''t')
  from tenon.event_body b
 where b.tenant_id = :platform and b.at = now()
   and (b.before ? 'body' or b.after ? 'body');

select throws_ok(
    $$ update tenon.inbound_event set status = 'processed' $$, '23514', null,
    'what is done says when');
select throws_ok(
    $$ update tenon.inbound_event set provider = 'paypal' $$, '23514', null,
    'only of those who may send');
select is(run('tenon_worker', '', 'select tenon.purge()'), '0',
          'what isn''t done stays');

select * from finish();
rollback;
