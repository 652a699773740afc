-- Events that others send in (libcore/webhook/inbound.c).

-- The event, the job that works on it, and that it came. No row: it is there
-- already, and whoever brought it first has done all that. One that was given up
-- is worked on once more: somebody has had it sent again.
-- name: inbound_store
with stored as (
       insert into tenon.inbound_event (tenant_id, id, provider, external_id,
                                        type, body)
       values (:tenant::uuid, :inbound_id::uuid, :provider::text,
               :external_id::text, :type::text, :body::text)
           on conflict (tenant_id, provider, external_id) do nothing
       returning id, provider, external_id, type),
     taken as (
       select id, provider, external_id, type
         from stored
        union all
       select e.id, e.provider, e.external_id, e.type
         from tenon.inbound_event e
        where e.tenant_id = :tenant::uuid and e.provider = :provider::text
          and e.external_id = :external_id::text and e.status = 'failed'),
     queued as (
       insert into tenon.job (tenant_id, id, kind, input)
       select :tenant::uuid, :job_id::uuid, :job::text,
              jsonb_build_object('event', taken.id)
         from taken)
select tenon.log_event(:event_id::uuid, 'inbound.received',
                       'tenon.inbound_event', taken.id, null, null,
                       jsonb_build_object('provider', taken.provider,
                                          'external_id', taken.external_id,
                                          'type', taken.type),
                       null, :salt::bytea)
  from taken;
