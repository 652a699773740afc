-- Clinic: patients, their visits, and what is written down at a visit.
--
-- Plain tables; what may be called is in 20_functions.sql, what the API makes
-- of it all is said in 30_declarations.sql. Safe to run again: a change to a
-- table that holds data is an ALTER of its own, in a file after this one.

create schema if not exists clinic;

comment on schema clinic is
    'Clinic: patients and visits of a practice, with notes and prescriptions';


create table if not exists clinic.patient (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    name        text        collate "C" not null,
    birth_date  date,
    email       text,
    phone       text,
    record      jsonb       not null default '{}',
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),
    deleted_at  timestamptz,

    primary key (tenant_id, id)
);

comment on table clinic.patient is
    'Whom the practice treats';
comment on column clinic.patient.record is
    'What is known of them beyond the columns: allergies, blood group, insurer';


create table if not exists clinic.visit (
    tenant_id     uuid        not null references tenon.tenant,
    id            uuid        not null default tenon.uuid7(),
    patient_id    uuid        not null,
    clinician_id  uuid        not null,
    starts_at     timestamptz not null,
    reason        text        not null default '',
    status        text        collate "C" not null default 'booked',
    room          text        collate "C",
    arrived_at    timestamptz,
    version       bigint      not null default 1,
    created_at    timestamptz not null default now(),
    created_by    uuid,
    updated_at    timestamptz not null default now(),

    primary key (tenant_id, id),

    foreign key (tenant_id, patient_id) references clinic.patient,
    foreign key (tenant_id, clinician_id)
     references tenon.member (tenant_id, user_id),

    -- Nobody is treated in the waiting room; clinic.check_in() gives a room.
    constraint visit_has_room
         check (status not in ('checked_in', 'in_treatment')
                or room is not null)
);

comment on table clinic.visit is
    'An appointment of a patient with a clinician';
comment on column clinic.visit.clinician_id is
    'The user_id of a member; the visit is theirs';
comment on column clinic.visit.room is
    'Where the patient is, or was';

-- One patient at a time: for each clinician, and in each room. Looked for
-- first, since even "if not exists" would wait for who writes.
do $$
begin
    if to_regclass('clinic.visit_slot') is null then
        create unique index visit_slot
            on clinic.visit (tenant_id, clinician_id, starts_at)
         where status <> 'cancelled';
    end if;

    if to_regclass('clinic.visit_room') is null then
        create unique index visit_room
            on clinic.visit (tenant_id, room)
         where status in ('checked_in', 'in_treatment');
    end if;
end
$$;


create table if not exists clinic.note (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    visit_id    uuid        not null,
    content     text        not null,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),

    primary key (tenant_id, id),

    foreign key (tenant_id, visit_id) references clinic.visit
            on delete cascade
);

comment on table clinic.note is
    'What is written down at a visit';


create table if not exists clinic.prescription (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    visit_id    uuid        not null,
    medicine    text        not null,
    dose        numeric     not null,
    unit        text        collate "C" not null default 'mg',
    per_day     smallint    not null default 1,
    until       date,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),

    primary key (tenant_id, id),

    foreign key (tenant_id, visit_id) references clinic.visit
);

comment on table clinic.prescription is
    'A medicine that a clinician prescribed at a visit';
