-- Billing: what a tenant's plan is and has. Which plan it is, and what that
-- entitles to, was found out before the endpoint (libcore/billing), and comes
-- as :plan_name, :entitlement, :changes_at and :subscription.

-- Looked up together with who asks.
-- name: find_plan
select plan, status, owing_since, trial_ends_at, grace, read_only, ends_at,
       features, limits, subscription, month_begins, month_ends
  from tenon.find_plan(:token_tenant::uuid);

-- One row in any case: who has subscribed to nothing has a plan all the same.
-- Of several the one that counts is told, else one that goes on, else the newest.
-- name: billing_subscription
select s.id, :plan_name::text as plan, :entitlement::text as entitlement,
       :changes_at::timestamptz as entitlement_changes_at, s.status,
       s.plan as subscribed_plan, s.provider, s.quantity, s.owing_since,
       s.trial_ends_at, s.current_period_start, s.current_period_end,
       coalesce(s.cancel_at_period_end, false) as cancel_at_period_end,
       s.cancel_at, s.canceled_at, s.ended_at,
       coalesce(s.version, 0) as version, s.created_at, s.updated_at
  from (values (1)) always
  left join lateral (
       select s.*
         from tenon.subscription s
        where s.tenant_id = :tenant::uuid
        order by s.id is not distinct from :subscription::uuid desc,
                 s.status in ('canceled', 'incomplete_expired'),
                 coalesce(s.provider_created_at, s.created_at) desc,
                 s.id desc
        limit 1) s on true;

-- What an app counts by itself isn't known here: null.
-- name: billing_entitlements
select :plan_name::text as plan, :entitlement::text as entitlement,
       :changes_at::timestamptz as changes_at,
       to_json(tenon.told_features(p.features, o.features_added,
                                   o.features_removed)) as features,
       coalesce(
           (select json_agg(
                       json_build_object(
                           'name', l.name, 'soft', l.soft, 'hard', l.hard,
                           'period', l.period,
                           'used',
                           case when l.name = 'seats'
                                then tenon.seats_taken(1000000)
                                when l.name in ('api_calls', 'api_rate')
                                then coalesce(
                                    (select t.used
                                       from tenon.usage_total t
                                      where t.tenant_id = :tenant::uuid
                                        and t.meter = l.name
                                        and t.period = l.period
                                        and t.begins = span.begins), 0)
                                when m.name is not null
                                then tenon.usage_figure(
                                    :tenant::uuid, m.name, m.aggregate,
                                    span.name, span.begins, span.ends)
                           end)
                       order by l.name)
              from tenon.told_limits(
                       :plan_name::text, o.limits,
                       (select s.quantity
                          from tenon.subscription s
                         where s.tenant_id = :tenant::uuid
                           and s.id = :subscription::uuid
                           and s.plan = :plan_name::text)) l
              left join tenon.meter m on m.name = l.name
                                     and not m.retired
             cross join lateral (
                   select each.name, p.begins, p.ends
                     from (select coalesce(l.period, 'month')) each (name)
                    cross join tenon.usage_period(:tenant::uuid, each.name,
                                                  now()) p) span),
           '[]') as limits,
       coalesce(p.version, 0) + coalesce(o.version, 0) as version
  from (values (1)) always
  left join tenon.plan p on p.name = :plan_name::text
  left join tenon.plan_override o
         on o.tenant_id = :tenant::uuid
        and (o.ends_at is null or o.ends_at > now());

-- name: plan_override_update
with {{idem}},
     done as materialized (
       select changed.refused, changed.granted
         from idem
        cross join lateral tenon.set_plan_override(
                :id::uuid,
                case when :mask::bigint & 2 <> 0
                     then jsonb_build_object('plan', :plan::text)
                     else '{}' end
                || case when :mask::bigint & 4 <> 0
                        then jsonb_build_object('features_added',
                                                :features_added::jsonb)
                        else '{}' end
                || case when :mask::bigint & 8 <> 0
                        then jsonb_build_object('features_removed',
                                                :features_removed::jsonb)
                        else '{}' end
                || case when :mask::bigint & 16 <> 0
                        then jsonb_build_object('limits', :limits::jsonb)
                        else '{}' end
                || case when :mask::bigint & 32 <> 0
                        then jsonb_build_object('ends_at',
                                                :ends_at::timestamptz)
                        else '{}' end
                || case when :mask::bigint & 64 <> 0
                        then jsonb_build_object('reason', :reason::text)
                        else '{}' end,
                :match::bigint[], :event_id::uuid, :salt::bytea) changed
        where idem.go and idem.fingerprint is null),
     shown as materialized (
       select :id::text as id, (done.granted).plan::text,
              to_json(coalesce((done.granted).features_added, '{}'))::text
                  as features_added,
              to_json(coalesce((done.granted).features_removed, '{}'))::text
                  as features_removed,
              coalesce((done.granted).limits, '[]')::text as limits,
              (done.granted).ends_at::text, (done.granted).reason::text,
              coalesce((done.granted).version, 0)::text as version,
              (done.granted).updated_at::text
         from done
        where done.refused is null),
     {{kept}}
select done.refused,
       coalesce(shown.id, idem.outcome ->> 'id') as id,
       coalesce(shown.plan, idem.outcome ->> 'plan') as plan,
       coalesce(shown.features_added, idem.outcome ->> 'features_added')
           as features_added,
       coalesce(shown.features_removed, idem.outcome ->> 'features_removed')
           as features_removed,
       coalesce(shown.limits, idem.outcome ->> 'limits') as limits,
       coalesce(shown.ends_at, idem.outcome ->> 'ends_at') as ends_at,
       coalesce(shown.reason, idem.outcome ->> 'reason') as reason,
       coalesce(shown.version, idem.outcome ->> 'version') as version,
       idem.go as idem_go, idem.fingerprint as idem_fingerprint
  from idem
  left join done on true
  left join shown on true;
