-- 0006_tokens.sql: who users are at identity providers outside, whose tokens
-- nginx accepts by their keys (tenon_issuer).
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0006_tokens.sql


-- Verified addresses ---------------------------------------------------------

-- What a provider says of an address links only to an account whose own
-- address was verified: else whoever signed up with it first gets the rest.
alter table tenon."user" add column if not exists
      email_verified_at timestamptz;

comment on column tenon."user".email_verified_at is
    'When its holder showed that the address is theirs; null: not yet';


-- Identities -----------------------------------------------------------------

create table tenon.user_identity (
    realm_id    uuid        not null,
    id          uuid        not null default tenon.uuid7(),
    issuer      text        collate "C" not null,
    subject     text        collate "C" not null,
    user_id     uuid        not null,
    created_at  timestamptz not null default now(),

    primary key (realm_id, id),
    unique (realm_id, issuer, subject),

    foreign key (realm_id, user_id)
     references tenon."user" (realm_id, id),

    constraint user_identity_issuer_length
         check (octet_length(issuer) between 1 and 255),
    constraint user_identity_subject_length
         check (octet_length(subject) between 1 and 255)
);

create index user_identity_user on tenon.user_identity (realm_id, user_id);

comment on table tenon.user_identity is
    'realm: who a user is at an identity provider outside';
comment on column tenon.user_identity.issuer is
    'The provider, as its tokens'' iss names it';
comment on column tenon.user_identity.subject is
    'The user there: sub, or the claim that tenon_issuer says';


create function tenon.log_identity()
returns trigger
language plpgsql security definer
set search_path = pg_catalog
as $$
declare
    existing  tenon.user_identity;
    tenant    uuid;
    kept      text := current_setting('tenon.tenant', true);
begin
    existing := case when tg_op = 'DELETE' then old else new end;

    -- A user is every tenant's that has them as a member.
    for tenant in select tenon.find_user_tenants(existing.realm_id,
                                                 existing.user_id)
    loop
        perform set_config('tenon.tenant', tenant::text, true);

        perform tenon.log_event(
            tenon.uuid7(),
            case tg_op when 'INSERT' then 'user.identity_linked'
                       when 'DELETE' then 'user.identity_unlinked'
                       else 'user.identity_changed' end,
            'tenon.user', existing.user_id, null, null, null,
            jsonb_build_object('issuer', existing.issuer,
                               'subject', existing.subject),
            uuid_send(gen_random_uuid()));
    end loop;

    perform set_config('tenon.tenant', coalesce(kept, ''), true);

    return null;
end
$$;

comment on function tenon.log_identity() is
    'Trigger: logs, in each tenant of its user, that an identity was linked or '
    'taken away by any role but tenon_api, whose statement logs for itself';

create trigger tenon_log
    after insert or update or delete on tenon.user_identity
    for each row when (current_user <> 'tenon_api')
    execute function tenon.log_identity();


-- Row security and grants ----------------------------------------------------

alter table tenon.user_identity enable row level security,
                                force  row level security;

create policy realm on tenon.user_identity
     using (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid)
with check (realm_id = nullif(current_setting('tenon.realm', true),
                              '')::uuid);

create policy lookup on tenon.user_identity
   for select to tenon_lookup using (true);

grant select,
      insert (realm_id, id, issuer, subject, user_id),
      update (issuer)
   on tenon.user_identity
   to tenon_api;

grant select (realm_id, id, issuer, subject, user_id)
   on tenon.user_identity
   to tenon_lookup;

grant select (email, email_verified_at)
   on tenon."user"
   to tenon_lookup;


-- Look-ups -------------------------------------------------------------------

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.find_subject(issuer text, subject text, tenant text,
                                   email text)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, user_id uuid, identity_id uuid)
language sql stable security definer
set search_path = pg_catalog
as $$
    with named as materialized (
        select t.tenant_id, t.realm_id, t.slug, t.name, t.status
          from tenon.tenant t
         where t.deleted_at is null
           and t.tenant_id =
               case when $3 ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                    then $3::uuid
                    else (select s.tenant_id
                            from tenon.tenant_slug s
                           where s.slug = $3)
                end),
    known as materialized (
        select i.id, i.user_id
          from named n
          join tenon.user_identity i on i.realm_id = n.realm_id
         where i.issuer  = $1
           and i.subject = $2)
    select n.tenant_id, n.realm_id, n.slug, n.name, n.status, k.user_id, k.id
      from named n, known k
    union all
    select n.tenant_id, n.realm_id, n.slug, n.name, n.status, u.id, null
      from named n
      join tenon."user" u on u.realm_id  = n.realm_id
                         and u.email     = $4
      join tenon.member m on m.tenant_id = n.tenant_id
                         and m.user_id   = u.id
     where not exists (select from known)
       and n.status     = 'active'
       and u.status     = 'active'
       and u.deleted_at is null
       and u.email_verified_at is not null
       and m.deleted_at is null
$$;

comment on function tenon.find_subject(text, text, text, text) is
    'Whom an identity provider means by a subject, in the tenant of a slug or '
    'id: the user it is linked to; else, without an identity yet, the active '
    'member whose own verified address is the one that the provider has '
    'verified (null: it has not)';


create function tenon.find_identity(tenant uuid, identity uuid)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, user_id uuid, role text, roles text,
               accounts text, generation int, impersonator uuid)
language sql stable security definer
set search_path = pg_catalog
as $$
    with found as materialized (
        select t.tenant_id, t.realm_id, t.slug, t.name, t.status, m.user_id,
               m.role, tenon.held_accounts(t.tenant_id, m.user_id) as accounts
          from tenon.tenant        t
          join tenon.user_identity i on i.realm_id  = t.realm_id
          join tenon.member        m on m.tenant_id = t.tenant_id
                                    and m.user_id   = i.user_id
          join tenon."user"        u on u.realm_id  = m.realm_id
                                    and u.id        = m.user_id
         where t.tenant_id = $1
           and i.id        = $2
           and m.deleted_at is null
           and t.deleted_at is null
           and u.deleted_at is null
           and u.status     = 'active')
    select f.tenant_id, f.realm_id, f.slug, f.name, f.status, f.user_id,
           f.role,
           tenon.own_roles(f.tenant_id, f.role || array(
               select split_part(held, ':', 2)
                 from unnest(string_to_array(f.accounts, ',')) held)),
           f.accounts, 0, null::uuid
      from found f
$$;

comment on function tenon.find_identity(uuid, uuid) is
    'Who asks by a token of an identity provider: the user of an identity, '
    'active and a member of the tenant, which is living (suspended shows in '
    'status); the row of tenon.find_session';

revoke execute on function tenon.find_subject(text, text, text, text),
                           tenon.find_identity(uuid, uuid)
  from public;

grant execute on function tenon.find_subject(text, text, text, text),
                          tenon.find_identity(uuid, uuid)
   to tenon_api;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;
