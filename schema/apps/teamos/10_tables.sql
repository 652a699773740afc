-- TeamOS: projects, their tasks, and what is said about them.
--
-- Plain tables; what the API makes of them is said in 20_declarations.sql.
-- Safe to run again: a change to a table that holds data is an ALTER of its
-- own, in a file after this one.

create schema if not exists teamos;

comment on schema teamos is
    'TeamOS: projects and tasks of a team, with comments';


create table if not exists teamos.project (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    name        text        collate "C" not null,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),
    deleted_at  timestamptz,

    primary key (tenant_id, id)
);

comment on table teamos.project is
    'What a team works on; holds tasks';


create table if not exists teamos.task (
    tenant_id    uuid        not null references tenon.tenant,
    id           uuid        not null default tenon.uuid7(),
    project_id   uuid        not null,
    title        text        not null,
    priority     text        collate "C" not null default 'medium',
    status       text        collate "C" not null default 'todo',
    assignee_id  uuid,
    version      bigint      not null default 1,
    created_at   timestamptz not null default now(),
    created_by   uuid,
    updated_at   timestamptz not null default now(),
    deleted_at   timestamptz,

    primary key (tenant_id, id),

    foreign key (tenant_id, project_id) references teamos.project,

    -- An assignee is a member when they are assigned, and stays the task's
    -- when they leave: their row does, too. Only one that is deleted for good
    -- leaves the task unassigned.
    foreign key (tenant_id, assignee_id)
     references tenon.member (tenant_id, user_id)
             on delete set null (assignee_id)
);

comment on table teamos.task is
    'One piece of work in a project';
comment on column teamos.task.assignee_id is
    'The user_id of a member, or of one who has left';


create table if not exists teamos.comment (
    tenant_id   uuid        not null references tenon.tenant,
    id          uuid        not null default tenon.uuid7(),
    task_id     uuid        not null,
    content     text        not null,
    version     bigint      not null default 1,
    created_at  timestamptz not null default now(),
    created_by  uuid,
    updated_at  timestamptz not null default now(),
    deleted_at  timestamptz,

    primary key (tenant_id, id),

    foreign key (tenant_id, task_id) references teamos.task
);

comment on table teamos.comment is
    'What somebody says about a task';
