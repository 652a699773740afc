-- Domains of tenants: each sees its own, several may name one, one has it; the
-- directory follows the rows, and nobody reads it but the look-up.

begin;

select plan(29);

create function tap.say(domain text, tenant text default acme())
returns text
language sql
as $$
    select run('tenon_api', tenant, format(
        'insert into tenon.domain (tenant_id, id, domain)
         values (%L, tenon.uuid7(), %L)', tenant, domain))
$$;

create function tap.verify(domain text, tenant text default acme(),
                           at text default 'now()')
returns text
language sql
as $$
    select run('tenon_owner', tenant, format(
        'update tenon.domain set verified_at = %s where domain = %L',
        at, domain))
$$;

create function tap.found(domain text)
returns text
language sql
as $$
    select run('tenon_api', '', format(
        'select slug from tenon.find_tenant_by_domain(%L)', domain))
$$;


-- Rows

select is(tap.say('app.example.com'), '1', 'a tenant says a domain is its own');
select is(tap.say('app.example.com', globex()), '1', 'and so does another');
select is(tap.say('app.example.com'), '23505', 'not twice');
select is(run('tenon_api', globex(), format(
              'insert into tenon.domain (tenant_id, id, domain)
               values (%L, tenon.uuid7(), ''x.example.com'')', acme())),
          '42501', 'none says so for another');
select is(run('tenon_api', acme(), 'select count(*) from tenon.domain_view'),
          '1', 'each sees its own');
select is(run('tenon_api', '', 'select count(*) from tenon.domain'), '0',
          'and nobody, no one''s');
select is(tap.say(name), '23514', format('"%s" is no domain', name))
  from unnest(array['localhost', 'A.example', '192.0.2.1', 'a..example',
                    '-a.example', 'a_b.example', 'a.example.']) name;
select is((select count(distinct challenge) from tenon.domain
            where challenge ~ '^tenon-verification=[0-9a-f]{64}$'), 2::bigint,
          'each row has a challenge of its own');


-- Verified by an operator alone

select is(run('tenon_api', acme(),
              'update tenon.domain set verified_at = now()'),
          '42501', 'the API verifies nothing');
select is(run('tenon_api', acme(), format(
              'insert into tenon.domain (tenant_id, id, domain, verified_at)
               values (%L, tenon.uuid7(), ''x.example.com'', now())', acme())),
          '42501', 'nor makes one that is');
select is(run('tenon_api', acme(), format(
              'insert into tenon.tenant_domain (domain, tenant_id)
               values (''x.example.com'', %L)', acme())),
          '42501', 'nor enters one');
select is(run('tenon_api', acme(), 'select domain from tenon.tenant_domain'),
          '42501', 'nor lists them');
select is(tap.found('app.example.com'), null, 'pending, it names nobody');

select set_config('tenon.cause', 'domain.verified', true) as cause,
       set_config('tenon.cause_id', (select id::text from tenon.domain
                                      where tenant_id = acme()::uuid), true)
       as cause_id \gset
select is(tap.verify('app.example.com'), '1', 'one is verified');
select is((select string_agg(action || ' ' || version, ',') from tenon.event
            where resource = 'tenon.domain' and tenant_id = acme()::uuid),
          'domain.verified 2', 'its event says so');
select is(tap.found('app.example.com'), 'acme', 'and names its tenant');
select is(tap.verify('app.example.com', globex()), '23505',
          'a second tenant''s is not');

savepoint whole;
update tenon.tenant set status = 'suspended' where tenant_id = acme()::uuid;
select is(run('tenon_api', '', $$ select status from
              tenon.find_tenant_by_domain('app.example.com') $$),
          'suspended', 'a suspended tenant says so');
update tenon.tenant set deleted_at = now() where tenant_id = acme()::uuid;
select is(tap.found('app.example.com'), null, 'a deleted one is not found');
rollback to whole;

select is(run('tenon_api', acme(), 'delete from tenon.domain'), '1',
          'its tenant gives it up');
select is(tap.verify('app.example.com', globex()), '1',
          'and the other has it verified');
select is(tap.found('app.example.com'), 'globex', 'it is that one''s now');
select is(tap.verify('app.example.com', globex(), 'null')
          || coalesce(tap.found('app.example.com'), ' nobody'), '1 nobody',
          'until it is released');


select * from finish();

rollback;
