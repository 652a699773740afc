-- What tenants are told of what their plan entitles them to (libcore/job/
-- dunning.c).

-- name: entitlement_due
select tenant_id::text, version::text, plan, status, owing_since::text,
       trial_ends_at::text, grace::text, read_only::text, ends_at::text,
       subscription::text
  from tenon.due_entitlements(:most::int);

-- Times are microseconds since 1970.
-- name: entitlement_tell
select tenon.tell_entitlement(
           :acting::uuid, :seen::bigint, :plan::text, :entitlement::text,
           :subscription::uuid,
           to_timestamp(:changes_at::bigint / 1000000.0),
           to_timestamp(:trial_ends_at::bigint / 1000000.0),
           :event_id::uuid, :salt::bytea) as told;

-- name: entitlement_more
insert into tenon.job (tenant_id, kind)
values (:tenant::uuid, 'billing.entitlements')
returning id::text;

-- Of a tenant whom telling has failed.
-- name: entitlement_put_off
update tenon.entitlement e
   set due_at = now() + interval '1 hour'
 where e.tenant_id = :acting::uuid and e.version = :seen::bigint
returning e.tenant_id::text;
