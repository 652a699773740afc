-- Use: what a tenant has used of each meter, and events that are reported. How a
-- node counts calls is in usage.sql.

-- Calls are counted where the plan has a limit on them, in its period; units
-- always.
-- name: usage_read
with limited as materialized (
       select l.*
         from tenon.told_limits(
                  :plan_name::text,
                  (select o.limits
                     from tenon.plan_override o
                    where o.tenant_id = :tenant::uuid
                      and (o.ends_at is null or o.ends_at > now()))) l
        where :plan_name::text is not null),
     metered (name, title, unit, aggregate, position, calls) as (
       select 'api_calls', 'API calls', 'call', 'count', 0, true
        where exists (select from limited where name = 'api_calls')
        union all
       select m.name, m.title, m.unit, m.aggregate, 1, false
         from tenon.meter m
        where not m.retired),
     shown as (
       select m.*, period.name as period, p.begins, p.ends, l.soft, l.hard,
              case when not m.calls and period.name <> 'month'
                   then tenon.usage_figure(:tenant::uuid, m.name, m.aggregate,
                                           'month', month.begins, month.ends)
              end as used_in_month,
              case when m.calls
                   then coalesce((select t.used
                                    from tenon.usage_total t
                                   where t.tenant_id = :tenant::uuid
                                     and t.meter = m.name
                                     and t.period = period.name
                                     and t.begins = p.begins), 0)
                   else tenon.usage_figure(:tenant::uuid, m.name, m.aggregate,
                                           period.name, p.begins, p.ends)
              end as used
         from metered m
         left join limited l on l.name = m.name
        cross join lateral (select coalesce(l.period, 'month')) period (name)
        cross join lateral tenon.usage_period(:tenant::uuid, period.name,
                                              now()) p
        cross join tenon.usage_period(:tenant::uuid, 'month', now()) month)
select month.begins as begins_at, month.ends as ends_at,
       coalesce(
           (select json_agg(
                       json_build_object(
                           'name', s.name, 'title', s.title, 'unit', s.unit,
                           'aggregate', s.aggregate, 'period', s.period,
                           'begins_at',
                           to_char(s.begins at time zone 'UTC',
                                   'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                           'ends_at',
                           to_char(s.ends at time zone 'UTC',
                                   'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                           'used', s.used, 'soft', s.soft, 'hard', s.hard,
                           'overage', greatest(s.used - s.soft, 0),
                           'used_in_month',
                           case when s.period = 'month' then s.used
                                else s.used_in_month end)
                       order by s.position, s.name)
              from shown s),
           '[]') as meters
  from tenon.usage_period(:tenant::uuid, 'month', now()) month;

-- name: usage_record
with {{idem}},
     done as materialized (
       select made.refused, made.told
         from idem
        cross join lateral tenon.record_usage(
                :tenant::uuid, :events::jsonb, :plan_name::text,
                :event_id::uuid, :salt::bytea,
                most => :most_events::bigint) made
        where idem.go and idem.fingerprint is null),
     shown as materialized (
       select done.told::text as events
         from done
        where done.refused is null),
     {{kept}}
select done.refused,
       coalesce(shown.events, idem.outcome ->> 'events') as events,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
  left join done on true
  left join shown on true;
