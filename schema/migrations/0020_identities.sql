-- 0020_identities.sql: an identity that was unlinked stays so.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0020_identities.sql
--
-- Where its row went, the next token with a verified address linked it anew.


alter table tenon.user_identity
  add column unlinked_at timestamptz;

comment on column tenon.user_identity.unlinked_at is
    'Since when nobody is meant by it, whatever addresses say, until it is '
    'linked by hand';

grant select (unlinked_at)
   on tenon.user_identity
   to tenon_lookup;


create or replace function tenon.log_identity()
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
            case when tg_op = 'DELETE' or existing.unlinked_at is not null
                 then 'user.identity_unlinked'
                 when tg_op = 'INSERT' or old.unlinked_at is not null
                 then 'user.identity_linked'
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


grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create or replace function tenon.find_subject(issuer text, subject text,
                                              tenant text, email text)
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
        select i.user_id, i.id as identity_id, i.unlinked_at
          from named n
          join tenon.user_identity i on i.realm_id = n.realm_id
         where i.issuer  = $1
           and i.subject = $2),
    fitting as materialized (
        select u.id as user_id, null::uuid as identity_id
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
           and m.deleted_at is null),
    meant as (
        select k.user_id, k.identity_id
          from known k
         where k.unlinked_at is null
        union all
        select * from fitting)
    select n.tenant_id, n.realm_id, n.slug, n.name, n.status, p.user_id,
           p.identity_id
      from named n
      left join meant p on true
$$;

comment on function tenon.find_subject(text, text, text, text) is
    'Whom an identity provider means by a subject, in the tenant of a slug or '
    'id: the user it is linked to; else, without an identity yet, the active '
    'member whose own verified address is the one that the provider has '
    'verified (null: it has not); else nobody, and user_id is null: also where '
    'the identity was unlinked. No row: there is no such tenant';


create or replace function tenon.find_identity(tenant uuid, identity uuid)
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
           and i.unlinked_at is null
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

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;
