-- Who asks, of which tenant: before a tenant is known, so through the
-- definer lookups.

-- name: find_tenant
select tenant_id, realm_id, slug, name, status
  from tenon.find_tenant(:slug::text);

-- name: find_tenant_by_id
select tenant_id, realm_id, slug, name, status
  from tenon.find_tenant_by_id(:tenant_ref::uuid);

-- name: find_session
select tenant_id, realm_id, slug, name, status, user_id, role, roles, accounts,
       generation, impersonator
  from tenon.find_session(:token_tenant::uuid, :token_session::uuid);

-- The row of find_session, for a token of an issuer outside.
-- name: find_identity
select tenant_id, realm_id, slug, name, status, user_id, role, roles, accounts,
       generation, impersonator
  from tenon.find_identity(:token_tenant::uuid, :token_session::uuid);

-- name: find_subject
select tenant_id, realm_id, slug, name, status, user_id, identity_id
  from tenon.find_subject(:issuer::text, :subject::text, :named_tenant::text,
                          :verified_email::text);

-- Two at a time link once: the second gets what the first made.
-- name: link_identity
with linked as (
       insert into tenon.user_identity (realm_id, id, issuer, subject, user_id)
       values (:realm::uuid, :identity_id::uuid, :issuer::text, :subject::text,
               :actor::uuid)
           on conflict (realm_id, issuer, subject)
           do update set issuer = excluded.issuer
       returning id, user_id),
     logged as (
       select tenon.log_event(
                :event_id::uuid, 'user.identity_linked', 'tenon.user',
                user_id, null, null, null,
                jsonb_build_object('issuer', :issuer::text,
                                   'subject', :subject::text), :salt::bytea)
         from linked
        where id = :identity_id::uuid)
select linked.id, linked.user_id
  from linked left join logged on true;

-- name: find_tenant_by_domain
select tenant_id, realm_id, slug, name, status
  from tenon.find_tenant_by_domain(:host_domain::text);

-- name: find_api_key
select tenant_id, realm_id, slug, name, status, user_id, role, roles, accounts,
       generation, impersonator, scopes, ttl_ms
  from tenon.find_api_key(:token_tenant::uuid, :token_session::uuid,
                          :token_hash::bytea, :ip::inet);
