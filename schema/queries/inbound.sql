-- Events that others send in (libcore/webhook/inbound.c).

-- The event, the job that works on it, and that it came. No row: it is there
-- already, and whoever brought it first has done all that.
-- name: inbound_store
with stored as (
       insert into tenon.inbound_event (tenant_id, id, provider, external_id,
                                        type, body)
       values (:tenant::uuid, :inbound_id::uuid, :provider::text,
               :external_id::text, :type::text, :body::text)
           on conflict (tenant_id, provider, external_id) do nothing
       returning id, provider, external_id, type),
     queued as (
       insert into tenon.job (tenant_id, id, kind, input)
       select :tenant::uuid, :job_id::uuid, :job::text,
              jsonb_build_object('event', stored.id)
         from stored)
select tenon.log_event(:event_id::uuid, 'inbound.received',
                       'tenon.inbound_event', stored.id, null, null,
                       jsonb_build_object('provider', stored.provider,
                                          'external_id', stored.external_id,
                                          'type', stored.type),
                       null, :salt::bytea)
  from stored;
