-- Who asks, of which tenant: before a tenant is known, so through the
-- definer lookups.

-- name: find_tenant
select tenant_id, realm_id, slug, name, status
  from tenon.find_tenant(:slug::text);

-- name: find_tenant_by_id
select tenant_id, realm_id, slug, name, status
  from tenon.find_tenant_by_id(:tenant_ref::uuid);

-- name: find_session
select tenant_id, realm_id, slug, name, status, user_id, role
  from tenon.find_session(:token_tenant::uuid, :token_session::uuid);
