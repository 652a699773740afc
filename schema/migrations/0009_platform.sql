-- 0009_platform.sql: the platform: a tenant with a fixed id, whose people run
-- the others: see, make, suspend and reactivate them, and act as their users.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0009_platform.sql


-- The platform tenant --------------------------------------------------------

-- "platform" is nobody's but the platform's.
alter table tenon.tenant_slug drop constraint tenant_slug_reserved;

alter table tenon.tenant_slug add constraint tenant_slug_reserved
      check (tenant_id = '00000000-0000-7000-8000-000000000002'
             or slug <> all (array[
             'abuse', 'account', 'admin', 'administrator', 'api', 'app',
             'assets', 'auth', 'autodiscover', 'billing', 'blog', 'cdn',
             'console', 'dashboard', 'docs', 'ftp', 'help', 'hostmaster',
             'imap', 'isatap', 'localhost', 'login', 'mail', 'metrics', 'ns1',
             'ns2', 'platform', 'pop3', 'postmaster', 'root', 'signup', 'smtp',
             'static', 'status', 'support', 'system', 'tenon', 'webmaster',
             'webmail', 'wpad', 'www'])) not valid;

do $$
declare
    taken  boolean;
begin
    set local role tenon_lookup;
    taken := exists (select from tenon.tenant_slug
                      where slug in ('autodiscover', 'isatap', 'wpad'));
    set local role tenon_owner;

    if not taken then
        alter table tenon.tenant_slug
              validate constraint tenant_slug_reserved;
    end if;
end
$$;

-- It ends with no request: nobody could make it anew.
alter table tenon.tenant add constraint tenant_platform_lives
      check (tenant_id <> '00000000-0000-7000-8000-000000000002'
             or (deleted_at is null and status = 'active'));

create function tenon.platform()
returns uuid
language sql immutable parallel safe
as $$ select '00000000-0000-7000-8000-000000000002'::uuid $$;

comment on function tenon.platform() is
    'The id of the platform tenant';

grant execute on function tenon.platform() to tenon_api, tenon_lookup;

select set_config('tenon.realm', '00000000-0000-7000-8000-000000000001', true),
       set_config('tenon.tenant', tenon.platform()::text, true);

insert into tenon.tenant_slug (slug, tenant_id, realm_id)
values ('platform', tenon.platform(), '00000000-0000-7000-8000-000000000001');

insert into tenon.tenant (tenant_id, realm_id, name, slug)
values (tenon.platform(), '00000000-0000-7000-8000-000000000001', 'Platform',
        'platform');

select set_config('tenon.realm', '', true),
       set_config('tenon.tenant', '', true);


-- What its people may do -----------------------------------------------------

insert into tenon."grant" (role, permission, scope, app)
select 'super_admin', tenon.add_permission(name), 'tenant', 'tenon'
  from unnest(array['tenon.platform:read',
                    'tenon.platform:create',
                    'tenon.platform:update',
                    'tenon.platform:impersonate']) as name;

-- Their own tenant they run as an owner does, but can't end it.
insert into tenon."grant" (role, permission, scope, app)
select 'super_admin', g.permission, g.scope, 'tenon'
  from tenon."grant" g
  join tenon.permission p on p.number = g.permission
 where g.role = 'owner'
   and g.app  = 'tenon'
   and p.name not in ('tenon.tenant:delete', 'tenon.tenant:transfer');


-- Tenants as the platform sees them ------------------------------------------

-- Reading, in the platform's own context, and nothing but the tenants' rows.
create policy platform on tenon.tenant
   for select to tenon_api
 using (nullif(current_setting('tenon.tenant', true), '')::uuid
        = '00000000-0000-7000-8000-000000000002'::uuid);

create index tenant_list on tenon.tenant (created_at, tenant_id)
 where deleted_at is null;

create view tenon.platform_tenant_view
with (security_invoker = true) as
select tenon.platform() as tenant_id,
       t.tenant_id      as id,
       t.name,
       t.slug,
       t.status,
       case when t.realm_id = '00000000-0000-7000-8000-000000000001'
            then 'shared'
            else 'own' end as user_realm,
       t.version,
       t.created_at,
       t.created_by,
       t.updated_at
  from tenon.tenant t
 where t.deleted_at is null
   and t.tenant_id <> tenon.platform()
   and nullif(current_setting('tenon.tenant', true), '')::uuid
       = tenon.platform();

comment on view tenon.platform_tenant_view is
    'Every tenant but the platform itself, as a row of the platform''s: in any '
    'other context its policy shows nothing';

grant select on tenon.platform_tenant_view to tenon_api;

grant update (status) on tenon.tenant to tenon_api;


create function tenon.set_tenant_status(
    target    uuid,
    status    text,
    match     bigint[],
    event_id  uuid,
    salt      bytea,
    out refused  text,
    out tenant   tenon.tenant)
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    was     tenon.tenant;
begin
    -- The second wall: whoever calls this asks from the platform.
    if asking is distinct from tenon.platform()::text then
        raise exception 'only the platform changes the status of a tenant';
    end if;

    -- The tenant's row and event are its own.
    perform set_config('tenon.tenant', target::text, true);

    select t.* into was
      from tenon.tenant t
     where t.tenant_id = target
       and t.tenant_id <> tenon.platform()
       and t.deleted_at is null
       for no key update;

    if not found then
        refused := 'not_found';
    elsif was.version <> all (match) then
        refused := 'precondition_failed';
    elsif was.status = set_tenant_status.status then
        tenant := was;
    else
        update tenon.tenant t
           set status = set_tenant_status.status, version = was.version + 1,
               updated_at = now()
         where t.tenant_id = target
        returning t.* into tenant;

        perform tenon.log_event(
            event_id,
            case status when 'active' then 'tenant.reactivated'
                        else 'tenant.suspended' end,
            'tenon.tenant', target, tenant.version,
            tenon.image('tenon.tenant'::regclass, to_jsonb(was)),
            tenon.image('tenon.tenant'::regclass, to_jsonb(tenant)),
            null, salt);

        -- And the platform's, in a log that the tenant's end doesn't touch.
        perform set_config('tenon.tenant', asking, true);
        perform tenon.log_event(
            tenon.uuid7(),
            case status when 'active' then 'tenant.reactivated'
                        else 'tenant.suspended' end,
            'tenon.platform', target, tenant.version, null, null,
            jsonb_build_object('slug', tenant.slug),
            uuid_send(gen_random_uuid()));
    end if;

    perform set_config('tenon.tenant', asking, true);
end
$$;

comment on function tenon.set_tenant_status(uuid, text, bigint[], uuid,
                                            bytea) is
    'Suspends or reactivates a tenant from the platform, with an event in both '
    'logs; changes nothing where it is so already';

grant execute
   on function tenon.set_tenant_status(uuid, text, bigint[], uuid, bytea)
   to tenon_api;


-- Making tenants --------------------------------------------------------------

alter table tenon.realm add column kind text collate "C" not null
      default 'shared';

alter table tenon.realm add constraint realm_kind_set
      check (kind in ('shared', 'own'));

comment on column tenon.realm.kind is
    'shared: of any number of tenants; own: of the one that it was made with, '
    'so that an e-mail address is unique within that tenant';

grant select, insert on tenon.realm to tenon_api;


create function tenon.platform_create_tenant(
    new_tenant   uuid,
    slug         text,
    name         text,
    realm_kind   text,
    owner_email  text,
    owner_name   text,
    event_id     uuid,
    salt         bytea)
returns tenon.tenant
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking  text := current_setting('tenon.tenant', true);
    realm   text := current_setting('tenon.realm',  true);
    home    uuid := '00000000-0000-7000-8000-000000000001';
    owner   uuid;
    made    tenon.tenant;
begin
    if asking is distinct from tenon.platform()::text then
        raise exception 'only the platform makes tenants of others';
    end if;

    if realm_kind = 'own' then
        home := tenon.uuid7();
    end if;

    perform set_config('tenon.realm', home::text, true);

    if realm_kind = 'own' then
        insert into tenon.realm (realm_id, name, kind)
        values (home, platform_create_tenant.slug, 'own');
    end if;

    -- Who is known stays who they are, name and all; who is new has no
    -- password yet, and gets one by way of a forgotten one.
    select u.id into owner
      from tenon."user" u
     where u.realm_id = home
       and u.email    = owner_email
       and u.deleted_at is null;

    -- Who has signed up with an address may not be whose it is.
    if exists (select
                 from tenon."user" u
                where u.realm_id = home
                  and u.id       = owner
                  and (u.status <> 'active'
                       or u.email_verified_at is null
                      and u.password_hash is not null)) then
        raise exception 'the owner''s address is not verified'
            using errcode = 'check_violation',
                  constraint = 'platform_owner_verified';
    end if;

    if owner is null then
        owner := tenon.uuid7();

        insert into tenon."user" (realm_id, id, email, name)
        values (home, owner, owner_email, owner_name);
    end if;

    made := tenon.create_tenant(
                new_tenant, home, slug, name, owner, tenon.uuid7(), event_id,
                salt, tenon.uuid7(), uuid_send(gen_random_uuid()));

    perform tenon.log_event(
        tenon.uuid7(), 'tenant.created', 'tenon.platform', new_tenant,
        made.version, null, null,
        jsonb_build_object('slug', slug, 'realm', realm_kind),
        uuid_send(gen_random_uuid()));

    perform set_config('tenon.realm', coalesce(realm, ''), true);

    return made;
end
$$;

comment on function tenon.platform_create_tenant(uuid, text, text, text, text,
                                                 text, uuid, bytea) is
    'Makes a tenant for somebody else, in the shared realm or one of its own, '
    'from the platform; the owner''s address is a user''s, or becomes one';

grant execute
   on function tenon.platform_create_tenant(uuid, text, text, text, text, text,
                                            uuid, bytea)
   to tenon_api;


-- Acting as somebody ---------------------------------------------------------

create function tenon.impersonate(
    target      uuid,
    user_id     uuid,
    session     uuid,
    seconds     int,
    reason      text,
    ip          text,
    user_agent  text,
    event_id    uuid,
    salt        bytea,
    out refused      text,
    out realm_id     uuid,
    out slug         text,
    out tenant_name  text,
    out email        text,
    out name         text)
language plpgsql volatile
set search_path = pg_catalog
as $$
declare
    asking   text := current_setting('tenon.tenant', true);
    realm    text := current_setting('tenon.realm',  true);
    actor    uuid := nullif(current_setting('tenon.actor', true), '')::uuid;
    subject  record;
begin
    if asking is distinct from tenon.platform()::text or actor is null then
        raise exception 'only people of the platform act as others';
    end if;

    select t.realm_id, t.slug, t.name, t.status into subject
      from tenon.find_tenant_by_id(target) t
     where t.tenant_id <> tenon.platform();

    if not found then
        refused := 'not_found';
        return;
    end if;

    if subject.status <> 'active' then
        refused := 'tenant_inactive';
        return;
    end if;

    realm_id    := subject.realm_id;
    slug        := subject.slug;
    tenant_name := subject.name;

    perform set_config('tenon.tenant', target::text, true),
            set_config('tenon.realm',  subject.realm_id::text, true);

    select u.email, u.name into email, name
      from tenon.member m
      join tenon."user" u on u.realm_id = m.realm_id
                         and u.id       = m.user_id
     where m.tenant_id = target
       and m.user_id   = impersonate.user_id
       and m.deleted_at is null
       and u.deleted_at is null
       and u.status = 'active';

    if not found then
        refused := 'invalid_fields /user_id not_found';
    else
        insert into tenon.session (tenant_id, id, realm_id, user_id,
                                   expires_at, ip, user_agent, impersonator)
        values (target, session, subject.realm_id, impersonate.user_id,
                now() + make_interval(secs => seconds), impersonate.ip,
                impersonate.user_agent, actor);

        -- In the tenant's log the user is the actor and who acts for them
        -- stands beside, as in all that follows.
        perform set_config('tenon.actor', impersonate.user_id::text, true),
                set_config('tenon.impersonator', actor::text, true);
        perform tenon.log_event(
            event_id, 'user.impersonated', 'tenon.session', session, null,
            null, null, jsonb_build_object('reason', reason), salt);
        perform set_config('tenon.actor', actor::text, true),
                set_config('tenon.impersonator', '', true),
                set_config('tenon.tenant', asking, true);
        perform tenon.log_event(
            tenon.uuid7(), 'user.impersonated', 'tenon.platform', target, null,
            null, null,
            jsonb_build_object('reason', reason, 'slug', subject.slug,
                               'user_id', impersonate.user_id,
                               'session_id', session),
            uuid_send(gen_random_uuid()));
    end if;

    perform set_config('tenon.tenant', asking, true),
            set_config('tenon.realm',  coalesce(realm, ''), true);
end
$$;

comment on function tenon.impersonate(uuid, uuid, uuid, int, text, text, text,
                                      uuid, bytea) is
    'Opens a session in which the platform''s actor acts as a user of a '
    'tenant, with an event in both logs';

grant execute
   on function tenon.impersonate(uuid, uuid, uuid, int, text, text, text, uuid,
                                 bytea)
   to tenon_api;
