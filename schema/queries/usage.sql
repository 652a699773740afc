-- Usage: what tenants have used, by period (schema/migrations/0030_usage.sql).

-- What a node has counted, of many tenants at once; it sets their contexts
-- itself. Once for each :flush, however often it comes.
-- name: flush_usage
select t.total
  from unnest(tenon.flush_usage(:flush::uuid, :tenants::uuid[],
                                :meters::text[], :periods::text[],
                                :begins::bigint[], :ends::bigint[],
                                :softs::bigint[], :hards::bigint[],
                                :units::bigint[]))
       with ordinality t (total, nth)
 order by t.nth;

-- What counters of the node's begin with. A row for each, in their order.
-- name: find_usage
select coalesce(t.used, 0) as used
  from unnest(:meters::text[], :periods::text[], :begins::bigint[])
       with ordinality m (meter, period, begins, nth)
  left join tenon.usage_total t
         on t.tenant_id = :tenant::uuid
        and t.meter = m.meter
        and t.period = m.period
        and t.begins = 'epoch'::timestamptz
                       + m.begins * interval '1 microsecond'
 order by m.nth;
