-- AsyncStand: teams that report to each other in writing, at their own time.
--
-- Plain tables; what may be called is in 20_functions.sql, what the API makes
-- of it all is said in 30_declarations.sql. Safe to run again: a change to a
-- table that holds data is an ALTER of its own, in a file after this one.
--
-- The organization and its members are the platform's (tenon.tenant,
-- tenon.member); a team is some of these.

create schema if not exists asyncstand;

comment on schema asyncstand is
    'AsyncStand: stand-ups in writing, of teams across time zones';


create table if not exists asyncstand.team (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    name         text        collate "C" not null,
    timezone     text        not null default 'UTC',
    description  text        not null default '',
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id)
);

comment on table asyncstand.team is
    'People who stand up together';
comment on column asyncstand.team.timezone is
    'A name of the IANA database; a stand-up''s day begins at midnight there';


create table if not exists asyncstand.team_member (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    team_id     uuid        not null,
    user_id     uuid        not null,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),

    primary key (tenant_id, id),
    constraint team_member_key unique (tenant_id, team_id, user_id),

    foreign key (tenant_id, team_id) references asyncstand.team,
    foreign key (tenant_id, user_id)
     references tenon.member (tenant_id, user_id)
             on delete cascade
);

comment on table asyncstand.team_member is
    'Who belongs to a team';
comment on column asyncstand.team_member.user_id is
    'The user_id of a member of the organization';


create table if not exists asyncstand.standup_config (
    tenant_id         uuid        not null references tenon.tenant,
    id                uuid        not null default tenon.uuid7(),
    team_id           uuid        not null,
    name              text        collate "C" not null,
    weekdays          text        collate "C" not null default 'mon,tue,wed,thu,fri',
    time_of_day       text        collate "C" not null default '09:00',
    response_minutes  int         not null default 480,
    is_active         boolean     not null default true,
    version           bigint      not null default 1,
    created_at        timestamptz not null default now(),
    created_by        uuid,
    updated_at        timestamptz not null default now(),
    deleted_at        timestamptz,

    primary key (tenant_id, id),

    foreign key (tenant_id, team_id) references asyncstand.team
);

comment on table asyncstand.standup_config is
    'When a team is asked, and how long it may take to answer';
comment on column asyncstand.standup_config.time_of_day is
    'In the team''s time zone';


create table if not exists asyncstand.question (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    config_id    uuid        not null,
    position     int         not null,
    content      text        not null,
    is_required  boolean     not null default true,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id),

    foreign key (tenant_id, config_id) references asyncstand.standup_config
);

comment on table asyncstand.question is
    'What is asked at a stand-up';


create table if not exists asyncstand.config_member (
    tenant_id       uuid        not null references tenon.tenant,
    id              uuid        not null default tenon.uuid7(),
    config_id       uuid        not null,
    team_member_id  uuid        not null,
    version         bigint      not null default 1,
    created_at      timestamptz not null default now(),
    created_by      uuid,
    updated_at      timestamptz not null default now(),

    primary key (tenant_id, id),
    constraint config_member_key unique (tenant_id, config_id, team_member_id),

    foreign key (tenant_id, config_id) references asyncstand.standup_config,
    foreign key (tenant_id, team_member_id)
     references asyncstand.team_member
             on delete cascade
);

comment on table asyncstand.config_member is
    'Who of the team is asked';


create table if not exists asyncstand.standup (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    config_id   uuid        not null,
    day         date        not null,
    status      text        collate "C" not null default 'open',
    closes_at   timestamptz not null,
    closed_at   timestamptz,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),

    primary key (tenant_id, id),
    constraint standup_day unique (tenant_id, config_id, day),

    foreign key (tenant_id, config_id) references asyncstand.standup_config
);

comment on table asyncstand.standup is
    'One stand-up (StandupInstance): a config on a day';
comment on column asyncstand.standup.day is
    'In the team''s time zone';


create table if not exists asyncstand.answer (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    standup_id   uuid        not null,
    question_id  uuid        not null,
    content      text        not null,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),

    primary key (tenant_id, id),
    constraint answer_key
        unique (tenant_id, standup_id, question_id, created_by),

    foreign key (tenant_id, standup_id)  references asyncstand.standup,
    foreign key (tenant_id, question_id) references asyncstand.question
);

comment on table asyncstand.answer is
    'What somebody says to a question; created_by says who';


create table if not exists asyncstand.participation (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    standup_id  uuid        not null,
    user_id     uuid        not null,
    asked       int         not null,
    answered    int         not null,
    outcome     text        collate "C" not null,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),

    primary key (tenant_id, id),
    constraint participation_key unique (tenant_id, standup_id, user_id),

    foreign key (tenant_id, standup_id) references asyncstand.standup,
    foreign key (tenant_id, user_id)
     references tenon.member (tenant_id, user_id)
             on delete cascade
);

comment on table asyncstand.participation is
    'Who took part in a stand-up (ParticipationSnapshot), as it was when it '
    'closed';
comment on column asyncstand.participation.asked is
    'Required questions';


-- What is unique among the living. Looked for first, since even "if not
-- exists" would wait for who writes.
do $$
begin
    if to_regclass('asyncstand.team_name') is null then
        create unique index team_name
            on asyncstand.team (tenant_id, name)
         where deleted_at is null;
    end if;

    if to_regclass('asyncstand.standup_config_name') is null then
        create unique index standup_config_name
            on asyncstand.standup_config (tenant_id, team_id, name)
         where deleted_at is null;
    end if;

    if to_regclass('asyncstand.question_position') is null then
        create unique index question_position
            on asyncstand.question (tenant_id, config_id, position)
         where deleted_at is null;
    end if;
end
$$;
