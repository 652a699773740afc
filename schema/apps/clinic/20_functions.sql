-- Clinic: what can be done to a visit beyond changing its fields, and what can
-- be asked beyond lists.
--
-- These are ordinary functions. They run for the tenant of the request, whose
-- rows row security shows them; tenon.current_tenant() and
-- tenon.current_actor() say which tenant and who. They name the tenant all the
-- same: two walls are better than one.

create or replace function clinic.check_in(
    visit  uuid,
    room   text,
    note   text default null)
returns clinic.visit
language plpgsql
as $$
declare
    checked_in  clinic.visit;
begin
    if exists (
        select
          from clinic.visit v
         where v.tenant_id = tenon.current_tenant()
           and v.room      = check_in.room
           and v.status    in ('checked_in', 'in_treatment'))
    then
        raise exception 'Room % is taken.', room
            using errcode    = 'TN409',
                  column     = 'room',
                  constraint = 'room_taken';
    end if;

    update clinic.visit v
       set status     = 'checked_in',
           room       = check_in.room,
           arrived_at = now()
     where v.tenant_id = tenon.current_tenant()
       and v.id        = visit
    returning v.* into checked_in;

    if note is not null then
        insert into clinic.note
               (tenant_id,              visit_id, content, created_by)
        values (tenon.current_tenant(), visit,    note,
                tenon.current_actor());
    end if;

    return checked_in;
end
$$;

comment on function clinic.check_in(uuid, text, text) is
    'The patient has arrived and is shown into a free room';


create or replace function clinic.day_plan(
    day        date,
    clinician  uuid default null)
returns table (
    visit_id      uuid,
    starts_at     timestamptz,
    status        text,
    room          text,
    clinician_id  uuid,
    patient_id    uuid,
    patient       text)
language sql stable
as $$
    select v.id, v.starts_at, v.status, v.room, v.clinician_id, p.id, p.name
      from clinic.visit   v
      join clinic.patient p on p.tenant_id = v.tenant_id
                           and p.id        = v.patient_id
     where v.tenant_id  = tenon.current_tenant()
       and v.starts_at >= day_plan.day::timestamp at time zone 'UTC'
       and v.starts_at <  (day_plan.day + 1)::timestamp at time zone 'UTC'
       and v.status    <> 'cancelled'
       and (day_plan.clinician is null
            or v.clinician_id = day_plan.clinician)
       -- Scope own is of tables; a function says itself whose rows it shows.
       and (v.clinician_id = tenon.current_actor()
            or exists (
               select
                 from tenon.member m
                where m.tenant_id  = tenon.current_tenant()
                  and m.user_id    = tenon.current_actor()
                  and m.role       in ('owner', 'admin')
                  and m.deleted_at is null))
     order by v.starts_at, v.id
$$;

comment on function clinic.day_plan(date, uuid) is
    'The visits of a day (UTC) in their order, of one clinician or of all; a '
    'member sees only their own';


create or replace function clinic.waiting_times(
    day                  date,
    out patients         bigint,
    out mean_minutes     numeric,
    out longest_minutes  numeric)
language sql stable
as $$
    select count(*),
           round(avg(extract(epoch from w.waited) / 60), 1),
           round(max(extract(epoch from w.waited) / 60), 1)
      from (select greatest(v.starts_at - v.arrived_at, interval '0') as waited
              from clinic.visit v
             where v.tenant_id  = tenon.current_tenant()
               and v.arrived_at is not null
               and v.starts_at >= waiting_times.day::timestamp
                                  at time zone 'UTC'
               and v.starts_at <  (waiting_times.day + 1)::timestamp
                                  at time zone 'UTC') as w
$$;

comment on function clinic.waiting_times(date) is
    'How long those who came on a day (UTC) waited for their appointment';
