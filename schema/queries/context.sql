-- What every batch of a tenant begins with: the context that row-level
-- security, triggers and functions read. It lasts until the batch's Sync.

-- name: context
select set_config('tenon.tenant', :tenant::text, true),
       set_config('tenon.realm', :realm::text, true);

-- Where an app's function reads: it may ask who asks, and a GET changes
-- nothing, whatever the function calls.
-- name: context_actor
select set_config('tenon.tenant', :tenant::text, true),
       set_config('tenon.realm', :realm::text, true),
       set_config('tenon.actor', coalesce(:actor::text, ''), true),
       set_config('transaction_read_only', 'on', true);

-- name: context_write
select set_config('tenon.tenant', :tenant::text, true),
       set_config('tenon.realm', :realm::text, true),
       set_config('tenon.actor', coalesce(:actor::text, ''), true),
       set_config('tenon.request_id', :request_id::text, true),
       set_config('tenon.ip', coalesce(:ip::text, ''), true),
       set_config('tenon.user_agent', coalesce(:user_agent::text, ''), true),
       set_config('tenon.impersonator', coalesce(:impersonator::text, ''),
                  true),
       set_config('tenon.api_key', coalesce(:api_key::text, ''), true);

-- The same where the request has an Idempotency-Key: only one of several at a
-- time gets to work under it, and none waits for another. The lock is let go
-- once its transaction can be seen by all.
-- name: context_keyed
select set_config('tenon.tenant', :tenant::text, true),
       set_config('tenon.realm', :realm::text, true),
       set_config('tenon.actor', coalesce(:actor::text, ''), true),
       set_config('tenon.request_id', :request_id::text, true),
       set_config('tenon.ip', coalesce(:ip::text, ''), true),
       set_config('tenon.user_agent', coalesce(:user_agent::text, ''), true),
       set_config('tenon.go',
                  pg_try_advisory_xact_lock(:idem_lock::bigint)::text, true),
       set_config('tenon.impersonator', coalesce(:impersonator::text, ''),
                  true),
       set_config('tenon.api_key', coalesce(:api_key::text, ''), true);

-- What a write with an Idempotency-Key begins and ends with; the app's
-- resources have the same out of libcore/model/sql.c. A statement changes
-- something only where idem.go and idem.fingerprint is null, and answers
-- idem_go and idem_fingerprint at its end.
-- fragment: idem
idem as materialized (
       select (:idem_key::bytea is null
               or current_setting('tenon.go', true) = 'true') as go,
              p.fingerprint, p.outcome
         from (values (1)) always
         left join tenon.idempotency p
                on p.tenant_id = :tenant::uuid and p.key = :idem_key::bytea
               and p.at > now() - interval '24 hours')

-- Keeps what `shown` holds: the outputs by name, as text.
-- fragment: kept
kept as (
       insert into tenon.idempotency (tenant_id, key, fingerprint, outcome)
       select :tenant::uuid, :idem_key::bytea, :idem_hash::bytea,
              to_jsonb(shown)
         from shown
        where :idem_key::bytea is not null
           on conflict (tenant_id, key) do update
          set fingerprint = excluded.fingerprint, outcome = excluded.outcome,
              at = now())

-- Before the statement of an app's action: its changes say where they come
-- from (tenon.log_change).
-- name: cause
select set_config('tenon.cause', :cause::text, true),
       set_config('tenon.cause_id', :id::text, true);

-- A request that was refused; whoever sent it is signed in, or a stranger. What
-- a stranger holds may be of a tenant that is gone.
-- name: refused
select tenon.log_event(:event_id::uuid, :action::text, :resource::text,
                       :resource_id::uuid, null, null, null, :metadata::jsonb,
                       :salt::bytea, 'refused')
  from tenon.tenant
 where tenant_id = :tenant::uuid and deleted_at is null;

-- name: ready
select coalesce(max(version), 0)::bigint as schema_version
  from tenon.migration;

-- The last columns of every write, and whence they come.
-- fragment: told
idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
 cross join verdict v
  left join shown on true
