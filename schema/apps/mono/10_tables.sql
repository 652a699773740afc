-- Mono: profiles of people, and the work they show, kept by the branches of an
-- agency. Each row belongs to an account.
--
-- Plain tables; what the API makes of them is said in 30_declarations.sql.
-- Safe to run again: a change to a table that holds data is an ALTER of its
-- own, in a file after this one.

create schema if not exists mono;

comment on schema mono is
    'Mono: profiles and their work, by branch of an agency';


create table if not exists mono.profile (
    tenant_id     uuid        not null references tenon.tenant,
    id            uuid        not null default tenon.uuid7(),
    account_id    uuid        not null,
    type          text        collate "C" not null default 'model',
    display_name  text        collate "C" not null,
    status        text        collate "C" not null default 'draft',
    data          jsonb       not null default '{}',
    version       bigint      not null default 1,
    created_at    timestamptz not null default now(),
    created_by    uuid,
    updated_at    timestamptz not null default now(),
    deleted_at    timestamptz,

    primary key (tenant_id, id),

    -- What a piece of work holds on to: it goes where its profile goes.
    constraint profile_account_key
        unique (tenant_id, id, account_id),

    foreign key (tenant_id, account_id)
     references tenon.account (tenant_id, id)
);

comment on table mono.profile is
    'A person as an agency presents them';
comment on column mono.profile.account_id is
    'The branch that represents them';
comment on column mono.profile.data is
    'What the type asks for: measurements, languages, links';


create table if not exists mono.work (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    account_id  uuid        not null,
    profile_id  uuid        not null,
    title       text        collate "C" not null,
    year        int,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),

    primary key (tenant_id, id),

    foreign key (tenant_id, account_id)
     references tenon.account (tenant_id, id),

    foreign key (tenant_id, profile_id)
     references mono.profile (tenant_id, id),

    constraint work_follows_profile
       foreign key (tenant_id, profile_id, account_id)
    references mono.profile (tenant_id, id, account_id) on update cascade
);

comment on table mono.work is
    'A job that a profile shows';
comment on column mono.work.account_id is
    'That of the profile, always';
