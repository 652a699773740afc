-- What every batch of a tenant begins with: the context that row-level
-- security, triggers and functions read. It lasts until the batch's Sync.

-- name: context
select set_config('tenon.tenant', :tenant::text, true),
       set_config('tenon.realm', :realm::text, true);

-- name: context_write
select set_config('tenon.tenant', :tenant::text, true),
       set_config('tenon.realm', :realm::text, true),
       set_config('tenon.actor', coalesce(:actor::text, ''), true),
       set_config('tenon.request_id', :request_id::text, true),
       set_config('tenon.ip', coalesce(:ip::text, ''), true),
       set_config('tenon.user_agent', coalesce(:user_agent::text, ''), true);

-- name: ready
select coalesce(max(version), 0)::bigint as schema_version
  from tenon.migration;
