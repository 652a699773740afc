-- 0011_domains.sql: domains of a tenant's own, which count once it was shown
-- that they are the tenant's.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0011_domains.sql


-- Domains --------------------------------------------------------------------

create table tenon.domain (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    domain       text        collate "C" not null,
    challenge    text        collate "C" not null
                             default 'tenon-verification='
                                     || encode(uuid_send(gen_random_uuid())
                                               || uuid_send(gen_random_uuid()),
                                               'hex'),
    verified_at  timestamptz,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),

    primary key (tenant_id, id),

    constraint domain_name_key unique (tenant_id, domain),

    constraint domain_name_format
         check (length(domain) <= 253
                and domain ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z]([a-z0-9-]{0,61}[a-z0-9])$')
);

create index domain_list on tenon.domain (tenant_id, created_at, id);

comment on table tenon.domain is
    'tenant: a host name that the tenant says is its own; several may say so '
    'of one, and one of them is right';
comment on column tenon.domain.challenge is
    'What a TXT record at _tenon-challenge.<domain> must hold: no secret';
comment on column tenon.domain.verified_at is
    'When it was found there, or an operator said so; the row stands in '
    'tenon.tenant_domain while this is set';


create table tenon.tenant_domain (
    domain     text collate "C" not null,
    tenant_id  uuid not null,

    constraint tenant_domain_pkey primary key (domain)
);

comment on table tenon.tenant_domain is
    'directory: a verified domain to its tenant, before any tenant is known; '
    'kept by a trigger on tenon.domain, read by definer functions only';


create view tenon.domain_view
with (security_invoker = true) as
select d.tenant_id,
       d.id,
       d.domain,
       case when d.verified_at is null
            then 'pending'
            else 'verified' end as status,
       json_build_object('name', '_tenon-challenge.' || d.domain,
                         'type', 'TXT',
                         'value', d.challenge) as challenge,
       d.verified_at,
       d.version,
       d.created_at,
       d.created_by,
       d.updated_at
  from tenon.domain d;

comment on view tenon.domain_view is
    'A domain, and the DNS record that shows whose it is';


-- Changes that don't come through the API ------------------------------------

create trigger tenon_touch
    before update on tenon.domain
    for each row when (current_user <> 'tenon_api')
    execute function tenon.touch();

create trigger tenon_log
    after insert or update or delete on tenon.domain
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_change('tenon.domain');


-- Row security ---------------------------------------------------------------

alter table tenon.domain        enable row level security,
                                force  row level security;
alter table tenon.tenant_domain enable row level security,
                                force  row level security;

create policy tenant on tenon.domain
     using (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid)
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy tenant on tenon.tenant_domain for insert
with check (tenant_id = nullif(current_setting('tenon.tenant', true),
                               '')::uuid);

create policy lookup on tenon.domain
   for select to tenon_lookup using (true);

-- Not just to look up: the trigger below is its function.
create policy lookup on tenon.tenant_domain to tenon_lookup using (true);


-- Grants ---------------------------------------------------------------------
--
-- Whether a domain is verified is not for the API to say.

grant select,
      insert (tenant_id, id, domain, created_by),
      delete
   on tenon.domain
   to tenon_api;

grant select
   on tenon.domain_view
   to tenon_api;

grant select (tenant_id, id, domain, challenge, verified_at, created_at)
   on tenon.domain
   to tenon_lookup;

grant select, insert, delete
   on tenon.tenant_domain
   to tenon_lookup;


-- Look-ups -------------------------------------------------------------------

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.find_tenant_by_domain(domain text)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text)
language sql stable security definer
set search_path = pg_catalog
as $$
    select t.tenant_id, t.realm_id, t.slug, t.name, t.status
      from tenon.tenant_domain d
      join tenon.tenant t on t.tenant_id = d.tenant_id
     where d.domain = $1
       and t.deleted_at is null
$$;

comment on function tenon.find_tenant_by_domain(text) is
    'The tenant whose verified domain this is, suspended ones too (see '
    'status), deleted ones not';


create function tenon.enter_domain()
returns trigger
language plpgsql security definer
set search_path = pg_catalog
as $$
begin
    if tg_op <> 'INSERT' and old.verified_at is not null then
        delete from tenon.tenant_domain d
         where d.domain    = old.domain
           and d.tenant_id = old.tenant_id;
    end if;

    if tg_op <> 'DELETE' and new.verified_at is not null then
        insert into tenon.tenant_domain (domain, tenant_id)
        values (new.domain, new.tenant_id);
    end if;

    return null;
end
$$;

comment on function tenon.enter_domain() is
    'Trigger: the directory holds the verified domains, whoever changes them; '
    'a second tenant''s fails on tenant_domain_pkey';

revoke execute
    on function tenon.find_tenant_by_domain(text),
                tenon.enter_domain()
  from public;

grant execute on function tenon.find_tenant_by_domain(text) to tenon_api;
grant execute on function tenon.enter_domain() to tenon_owner;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;

create trigger tenon_enter
    after insert or update of tenant_id, domain, verified_at or delete
    on tenon.domain
    for each row execute function tenon.enter_domain();


-- Permissions ----------------------------------------------------------------

insert into tenon."grant" (role, permission, scope, app)
select r.role, tenon.add_permission(p.name), 'tenant', 'tenon'
  from (values ('tenon.domain:read',   null),
               ('tenon.domain:create', 'admin'),
               ('tenon.domain:delete', 'admin')) as p (name, but)
 cross join (values ('owner'), ('super_admin'), ('tenant_admin'),
                    ('admin')) as r (role)
 where r.role is distinct from p.but;
