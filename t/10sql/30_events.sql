-- The log: what it proves, what can't be done to it, and that no change slips
-- past it.

begin;

select plan(57);

create function tap.last_event()
returns tenon.audit_event
language sql
as $$
    -- As they lie: ids made in the same millisecond have no order.
    select a.*
      from tenon.event e
      join tenon.audit_event a using (tenant_id, at, id)
     where e.at = now()
     order by e.tableoid, e.ctid desc
     limit 1
$$;

create function tap.events()
returns bigint
language sql
as $$ select count(*) from tenon.event $$;


-- Append-only ----------------------------------------------------------------

select is(run('tenon_api', acme(), 'update tenon.event set actor = null'),
          '42501', 'tenon_api can''t update an event');
select is(run('tenon_api', acme(), 'delete from tenon.event'),
          '42501', 'nor delete one');
select is(run('tenon_api', acme(), 'update tenon.event_body set ip = null'),
          '42501', 'nor update a body');
select is(run('tenon_api', acme(), 'delete from tenon.event_body'),
          '42501', 'nor delete one');
select is(run('tenon_api', acme(), 'select count(*) from tenon.event_default'),
          '42501', 'nor reach a partition past its parent');


-- log_event ------------------------------------------------------------------

set local tenon.actor      = '01900000-000a-7000-8000-000000000201';
set local tenon.request_id = 'req-1';
set local tenon.ip         = '192.0.2.7';
set local tenon.user_agent = 'curl';

select is(run('tenon_api', acme(),
              $$ select tenon.log_event(
                     '01900000-000a-7000-8000-00000000e001', 'task.updated',
                     'teamos.task', '01900000-000a-7000-8000-000000000501', 2,
                     '{"title": "a"}', '{"title": "é"}', null, '\x00ff') $$),
          '01900000-000a-7000-8000-00000000e001',
          'log_event returns the id it was given');

select results_eq(
    $$ select e.actor::text, e.outcome collate "default", e.version, e.request_id, b.ip,
              b.user_agent, b.after, e.xid = pg_current_xact_id(), e.epoch
         from tenon.event e
         join tenon.event_body b
           on (b.tenant_id, b.at, b.event_id) = (e.tenant_id, e.at, e.id)
        where e.id = '01900000-000a-7000-8000-00000000e001'
          and e.tenant_id = acme()::uuid $$,
    $$ values ('01900000-000a-7000-8000-000000000201', 'success', 2::bigint,
               'req-1', '192.0.2.7', 'curl', '{"title": "é"}'::jsonb, true,
               1) $$,
    'both rows say who, whence and what');

select is(
    (select commitment from tenon.event
      where id = '01900000-000a-7000-8000-00000000e001'),
    sha256('\x00ff'::bytea || convert_to(
        '{"ip": "192.0.2.7", "after": {"title": "é"}, "before": '
        '{"title": "a"}, "metadata": null, "user_agent": "curl"}', 'UTF8')),
    'the commitment is the salted hash of the body''s text');

select is_empty(
    $$ select e.id
         from tenon.event e
         left join tenon.event_body b
           on (b.tenant_id, b.at, b.event_id) = (e.tenant_id, e.at, e.id)
        where e.commitment is distinct from tenon.commitment(
              b.salt, b.before, b.after, b.metadata, b.ip, b.user_agent) $$,
    'every commitment can be made again from its body');

select is(run('tenon_api', '',
              $$ select tenon.log_event(
                     tenon.uuid7(), 'x', null, null, null, null, null, null,
                     '\x00') $$),
          '42501', 'without a tenant there is no event');


-- The trigger ----------------------------------------------------------------

create temporary table before as select events() as n;

select is(run('tenon_api', acme(),
              $$ update teamos.task set title = 'by the API'
                  where id = '01900000-000a-7000-8000-000000000503' $$),
          '1', 'the API updates a task');

select is(events(), n, 'and no trigger logs it') from before;

select is((select version from teamos.task
            where id = '01900000-000a-7000-8000-000000000503'), 1::bigint,
          'nor touches its version');

select is(run('tenon_owner', acme(),
              $$ update teamos.task set title = 'by hand'
                  where id = '01900000-000a-7000-8000-000000000503' $$),
          '1', 'the owner updates it by hand');

select is(events(), n + 1, 'and it is logged') from before;

select results_eq(
    $$ select e.tenant_id::text, e.action collate "default",
              e.resource collate "default", e.version,
              e.before ->> 'title', e.after ->> 'title',
              e.after ? 'tenant_id'
         from last_event() e $$,
    $$ values (acme(), 'task.updated', 'teamos.task', 2::bigint,
               'by the API', 'by hand', false) $$,
    'with what was before and after');

select is((select version from teamos.task
            where id = '01900000-000a-7000-8000-000000000503'), 2::bigint,
          'and the row has a new version');

select is(run('tenon_owner', acme(),
              $$ update teamos.task set deleted_at = now()
                  where id = '01900000-000a-7000-8000-000000000503' $$), '1',
          'a task is deleted softly');
select is((last_event()).action, 'task.deleted',
          'a soft deletion is one in the log');

select is(run('tenon_owner', acme(),
              $$ update teamos.task set deleted_at = null
                  where id = '01900000-000a-7000-8000-000000000503' $$), '1',
          'it is restored');
select is((last_event()).action, 'task.restored', 'and so is its end');

select is(run('tenon_owner', acme(),
              $$ delete from teamos.task
                  where id = '01900000-000a-7000-8000-000000000503' $$), '1',
          'it is deleted for good');
select results_eq(
    'select e.action collate "default", e.after from last_event() e',
    $$ values ('task.deleted', null::jsonb) $$,
    'a real deletion leaves nothing after');

update teamos.project set name = name || '!';

select results_eq(
    $$ select e.tenant_id::text, count(*) from tenon.event e
        where e.action = 'project.updated' group by 1 order by 1 $$,
    $$ values (acme(), 3::bigint), (globex(), 1::bigint) $$,
    'a superuser''s sweep over all tenants is logged to each');

select is(current_setting('tenon.tenant', true), '',
          'and leaves the tenant setting as it was');

delete from before;
insert into before select events();

select is(run('tenon_api', acme(), 'delete from tenon.member'), '42501',
          'the API deletes no member for good');
select is(run('tenon_api', acme(),
              $$ update tenon.member
                    set deleted_at = now(), version = version + 1
                  where user_id = '01900000-000a-7000-8000-000000000203' $$),
          '1', 'it removes carol');
select is((select count(*) from teamos.task
            where assignee_id = '01900000-000a-7000-8000-000000000203'),
          4::bigint, 'her tasks stay hers');
select is(events(), n, 'and no trigger fires') from before;

select is(run('tenon_owner', acme(),
              $$ delete from tenon.member
                  where user_id = '01900000-000a-7000-8000-000000000203' $$),
          '1', 'the owner deletes her for good');

select results_eq(
    $$ select count(*), min(version) from teamos.task
        where id in ('01900000-000a-7000-8000-000000000501',
                     '01900000-000a-7000-8000-000000000506',
                     '01900000-000a-7000-8000-000000000508',
                     '01900000-000a-7000-8000-000000000509')
          and assignee_id is null $$,
    'values (4::bigint, 2::bigint)',
    'her tasks lose their assignee and get a new version');

select is(events(), n + 5, 'and that is logged, task by task') from before;


-- Users and sessions, past the API ---------------------------------------------

set local tenon.realm = '00000000-0000-7000-8000-000000000001';

insert into tenon.member (tenant_id, realm_id, user_id, role)
values (globex()::uuid, realm()::uuid, '01900000-000a-7000-8000-000000000202',
        'member');

select is(run('tenon_owner', acme(),
              $$ update tenon."user" set name = 'Bobby', password_hash = 'new'
                  where id = '01900000-000a-7000-8000-000000000202' $$),
          '1', 'the owner renames bob, who is in two tenants');

select results_eq(
    $$ select e.tenant_id::text, e.resource collate "default", e.version,
              e.before ->> 'name', e.after ->> 'name'
         from tenon.audit_event e
        where e.action = 'user.updated'
          and e.resource_id = '01900000-000a-7000-8000-000000000202'
        order by 1 $$,
    $$ values (acme(),   'tenon.user', 2::bigint, 'Bob', 'Bobby'),
              (globex(), 'tenon.user', 2::bigint, 'Bob', 'Bobby') $$,
    'each of them logs it, with a new version');

select is_empty(
    $$ select from tenon.event_body
        where before ? 'password_hash' or after ? 'password_hash'
           or before ? 'realm_id'      or after ? 'realm_id' $$,
    'no event holds a password hash, nor says the realm');

select is((select version from tenon."user"
            where id = '01900000-000a-7000-8000-000000000202'), 2::bigint,
          'the user''s version has moved');

select is(run('tenon_owner', acme(),
              $$ insert into tenon.session (tenant_id, id, realm_id, user_id,
                                            expires_at)
                 values (tap.acme()::uuid,
                         '01900000-000a-7000-8000-000000000601',
                         tap.realm()::uuid,
                         '01900000-000a-7000-8000-000000000202', now()) $$),
          '1', 'the owner opens a session');
select is((last_event()).action, 'session.created', 'which is logged');

select is(run('tenon_owner', acme(),
              'update tenon.session set revoked_at = now()'),
          '1', 'revokes it');
select results_eq(
    $$ select e.action collate "default", e.resource_id::text,
              e.before -> 'revoked_at', e.after ->> 'revoked_at' ~ 'Z$',
              e.after ? 'realm_id'
         from last_event() e $$,
    $$ values ('session.revoked', '01900000-000a-7000-8000-000000000601',
               'null'::jsonb, true, false) $$,
    'which is logged as what it is');

create table tap.bell (rings int);
grant insert on tap.bell to tenon_owner;
create function tap.ring()
returns trigger
language plpgsql
as $$
begin
    update tenon.session set user_agent = 'bell';
    return null;
end
$$;
create trigger ring after insert on tap.bell
    for each row execute function tap.ring();

select is(run('tenon_owner', acme(), 'insert into tap.bell values (1)'),
          '1', 'a trigger of somebody else''s changes a session');
select results_eq(
    $$ select e.action collate "default", e.after ->> 'user_agent'
         from last_event() e $$,
    $$ values ('session.updated', 'bell') $$, 'which is logged, too');

select is(run('tenon_owner', acme(),
              $$ update tenon.member set deleted_at = now()
                  where user_id = '01900000-000a-7000-8000-000000000202' $$),
          '1', 'the owner removes bob');
select results_eq(
    'select e.action collate "default", e.version from last_event() e',
    $$ values ('member.deleted', 2::bigint) $$, 'which is logged');
select is(run('tenon_owner', acme(),
              $$ update tenon.member set deleted_at = null
                  where user_id = '01900000-000a-7000-8000-000000000202' $$),
          '1', 'and brings him back');
select is((last_event()).action, 'member.restored', 'which is logged, too');

select is(run('tenon_owner', acme(),
              $$ delete from tenon.member
                  where user_id = '01900000-000a-7000-8000-000000000202' $$),
          '1', 'the owner deletes bob for good');
select is((select count(*) from tenon.session), 0::bigint,
          'with every session of his');
select is(
    (select count(*) from tenon.event where action = 'session.deleted'),
    0::bigint, 'which nobody logs: they may be any number');


-- Sign-up --------------------------------------------------------------------

\set realm '''00000000-0000-7000-8000-000000000001'''
\set tenant '''01900000-000c-7000-8000-000000000001'''
\set user_id '''01900000-000c-7000-8000-000000000201'''
\set member_id '''01900000-000c-7000-8000-000000000301'''
\set event_id '''01900000-000c-7000-8000-00000000e001'''
\set one_time_id '''01900000-000c-7000-8000-00000000f001'''
\set member_event_id '''01900000-000c-7000-8000-00000000e002'''
\set salt '''\\x00'''
\set member_salt '''\\x01'''
\set email '''eve@initech.test'''
\set name '''Eve'''
\set password_hash '''not-a-hash'''
\set organization_name '''Initech'''
\set organization_slug '''initech'''
\set own_realm '''f'''

set local tenon.tenant = :tenant;
set local role tenon_api;
\o /dev/null
:signup;
\o
reset role;

delete from tenon.member where tenant_id = :tenant;
delete from tenon.tenant where tenant_id = :tenant;

create temporary table image as
select e.resource, max(b.after::text)::jsonb as signed_up,
       max(b.before::text)::jsonb as by_trigger
  from tenon.event e
  join tenon.event_body b
    on (b.tenant_id, b.at, b.event_id) = (e.tenant_id, e.at, e.id)
 where e.tenant_id = :tenant
 group by e.resource;

select results_eq(
    $$ select resource collate "default", by_trigger from image order by 1 $$,
    $$ select resource collate "default", signed_up from image order by 1 $$,
    'an image of sign-up''s is that of the trigger for the same row');

select results_eq(
    $$ select resource collate "default",
              (select string_agg(key, ' ' order by key)
                 from jsonb_object_keys(signed_up) as key)
         from image order by 1 $$,
    $$ values ('tenon.member',
               'created_at created_by id role updated_at user_id version'),
              ('tenon.tenant',
               'created_at created_by id name slug status updated_at version')
    $$,
    'and has what a response shows');


-- Who it was -----------------------------------------------------------------

select results_eq(
    $$ select distinct e.actor ->> 'type', e.actor ->> 'id'
         from tenon.audit_event e
        where e.tenant_id = acme()::uuid
          and e.request_id = 'req-1'
          and e.action = 'task.updated'
          and e.resource_id = '01900000-000a-7000-8000-000000000501' $$,
    $$ values ('user', '01900000-000a-7000-8000-000000000201') $$,
    'an actor is a user');

set local tenon.actor = '';

select run('tenon_api', acme(),
           $$ select tenon.log_event(tenon.uuid7(), 'user.login', 'tenon.user',
                                     null, null, null, null, null, '\x00',
                                     'failure') $$) is null as ignored
\gset

set local tenon.request_id = '';

select run('tenon_api', acme(),
           $$ select tenon.log_event(tenon.uuid7(), 'tidied', null, null, null,
                                     null, null, null, '\x00') $$) is null
       as ignored
\gset

select results_eq(
    $$ select e.action collate "default", e.actor ->> 'type'
         from tenon.audit_event e
        where e.actor ->> 'id' is null
          and e.action in ('user.login', 'tidied')
        order by 1 $$,
    $$ values ('tidied', 'system'), ('user.login', 'anonymous') $$,
    'or nobody yet, in a request, or the system, outside of one');


-- Partitions -----------------------------------------------------------------

select is(
    (select count(*) from pg_inherits
      where inhparent in ('tenon.event'::regclass,
                          'tenon.event_body'::regclass)),
    2 * (14 + 1)::bigint,
    'last month to twelve months ahead, and DEFAULT, of both tables');

insert into tenon.event (tenant_id, at, id, action, commitment)
values (acme()::uuid, now() + interval '14 months',
        '01900000-000a-7000-8000-00000000e002', 'x', '');

select is(
    (select tableoid::regclass::text from tenon.event
      where id = '01900000-000a-7000-8000-00000000e002'),
    'tenon.event_default', 'DEFAULT catches what no month does');

select is(run('tenon_owner', '', 'select tenon.make_partitions(15)'), '6',
          'three months more, of both tables');

select matches(
    (select tableoid::regclass::text from tenon.event
      where id = '01900000-000a-7000-8000-00000000e002'),
    '^tenon\.event_\d{4}_\d\d$', 'and what DEFAULT held is in its month');


select * from finish();

rollback;
