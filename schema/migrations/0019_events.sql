-- 0019_events.sql: refusals that a tenant hears of.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0019_events.sql


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
        select i.user_id, i.id as identity_id
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
        select * from known
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
    'verified (null: it has not); else nobody, and user_id is null. No row: '
    'there is no such tenant';

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;
