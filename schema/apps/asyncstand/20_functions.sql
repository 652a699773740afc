-- AsyncStand: what is done to a stand-up, what is asked about many, and the
-- rules between rows that declarations can't say.

create or replace function asyncstand.start_standup(config uuid)
returns table (
    standup_id    uuid,
    day           date,
    closes_at     timestamptz,
    participants  bigint)
language plpgsql
as $$
declare
    at         asyncstand.standup_config;
    today      date;
    people     bigint;
    made       asyncstand.standup;
begin
    select c.* into at
      from asyncstand.standup_config c
     where c.tenant_id = tenon.current_tenant()
       and c.id        = config;

    if not at.is_active then
        raise exception 'This stand-up is paused.'
            using errcode = 'TN409', constraint = 'config_paused';
    end if;

    if not exists (select
                     from asyncstand.question q
                    where q.tenant_id = tenon.current_tenant()
                      and q.config_id = config
                      and q.deleted_at is null)
    then
        raise exception 'There is nothing to ask: add a question first.'
            using errcode = 'TN409', constraint = 'no_questions';
    end if;

    select count(*) into people
      from asyncstand.config_member m
     where m.tenant_id = tenon.current_tenant()
       and m.config_id = config;

    select (now() at time zone t.timezone)::date into today
      from asyncstand.team t
     where t.tenant_id = tenon.current_tenant()
       and t.id        = at.team_id;

    insert into asyncstand.standup
           (tenant_id, config_id, day, closes_at, created_by)
    values (tenon.current_tenant(), config, today,
            now() + make_interval(mins => at.response_minutes),
            tenon.current_actor())
    returning * into made;

    return query select made.id, made.day, made.closes_at, people;
end
$$;

comment on function asyncstand.start_standup(uuid) is
    'Asks the team today''s questions, by hand';


create or replace function asyncstand.close_standup(standup uuid)
returns asyncstand.standup
language plpgsql
as $$
declare
    closed  asyncstand.standup;
begin
    update asyncstand.standup s
       set status = 'closed', closed_at = now()
     where s.tenant_id = tenon.current_tenant()
       and s.id        = standup
    returning s.* into closed;

    insert into asyncstand.participation
           (tenant_id, standup_id, user_id, asked, answered, outcome,
            created_by)
    select closed.tenant_id, closed.id, p.user_id, p.asked, p.answered,
           case when p.answered >= p.asked then 'complete'
                when p.said > 0            then 'partial'
                else                            'missing' end,
           tenon.current_actor()
      from (select t.user_id,
                   count(distinct q.id) filter (where q.is_required) as asked,
                   count(distinct a.id) filter (where q.is_required)
                       as answered,
                   count(distinct a.id) as said
              from asyncstand.config_member m
              join asyncstand.team_member   t on t.tenant_id = m.tenant_id
                                             and t.id = m.team_member_id
              join asyncstand.question      q on q.tenant_id = m.tenant_id
                                             and q.config_id = m.config_id
                                             and q.deleted_at is null
              left join asyncstand.answer   a on a.tenant_id   = q.tenant_id
                                             and a.question_id = q.id
                                             and a.standup_id  = closed.id
                                             and a.created_by  = t.user_id
             where m.tenant_id = closed.tenant_id
               and m.config_id = closed.config_id
             group by t.user_id) as p;

    return closed;
end
$$;

comment on function asyncstand.close_standup(uuid) is
    'Takes no more answers, and keeps who took part';


create or replace function asyncstand.participation_rate(
    team   uuid,
    since  date,
    until  date default null)
returns table (
    user_id   uuid,
    standups  bigint,
    complete  bigint,
    partial   bigint,
    missing   bigint,
    rate      numeric)
language sql stable
as $$
    select p.user_id,
           count(*),
           count(*) filter (where p.outcome = 'complete'),
           count(*) filter (where p.outcome = 'partial'),
           count(*) filter (where p.outcome = 'missing'),
           round(sum(least(p.answered, p.asked))::numeric
                 / nullif(sum(p.asked), 0), 3)
      from asyncstand.participation  p
      join asyncstand.standup        s on s.tenant_id = p.tenant_id
                                      and s.id        = p.standup_id
      join asyncstand.standup_config c on c.tenant_id = s.tenant_id
                                      and c.id        = s.config_id
     where p.tenant_id = tenon.current_tenant()
       and c.team_id   = participation_rate.team
       and s.day      >= participation_rate.since
       and (participation_rate.until is null
            or s.day <= participation_rate.until)
     group by p.user_id
     order by 6 desc nulls last, 1
$$;

comment on function asyncstand.participation_rate(uuid, date, date) is
    'How much of what was asked each person of a team has answered';


-- Rules between rows. A trigger runs for whoever writes, the API included, and
-- what it raises is told to the client.

create or replace function asyncstand.check_team()
returns trigger
language plpgsql
as $$
begin
    perform now() at time zone new.timezone;
    return new;
exception
    when invalid_parameter_value then
        raise exception '% is no time zone; write one like Europe/Vienna.',
            new.timezone
            using errcode = 'TN422', column = 'timezone';
end
$$;

comment on function asyncstand.check_team() is
    'A team''s time zone is one that PostgreSQL knows';


create or replace function asyncstand.check_config_member()
returns trigger
language plpgsql
as $$
begin
    if not exists (
        select
          from asyncstand.team_member    t
          join asyncstand.standup_config c on c.tenant_id = t.tenant_id
                                          and c.team_id   = t.team_id
         where t.tenant_id = new.tenant_id
           and t.id        = new.team_member_id
           and c.id        = new.config_id)
    then
        raise exception 'This person is not in the team of the stand-up.'
            using errcode = 'TN422', column = 'team_member_id';
    end if;

    return new;
end
$$;

comment on function asyncstand.check_config_member() is
    'Who is asked at a stand-up is in its team';


create or replace function asyncstand.check_answer()
returns trigger
language plpgsql
as $$
declare
    standup  asyncstand.standup;
begin
    -- Locked, so that it isn't closed between this and the answer.
    select s.* into standup
      from asyncstand.standup s
     where s.tenant_id = new.tenant_id
       and s.id        = new.standup_id
       for share;

    if standup.status <> 'open' then
        raise exception 'This stand-up is closed.'
            using errcode = 'TN409', constraint = 'standup_closed';
    end if;

    if not exists (select from asyncstand.question q
                    where q.tenant_id = new.tenant_id
                      and q.id        = new.question_id
                      and q.config_id = standup.config_id)
    then
        raise exception 'This is not asked at this stand-up.'
            using errcode = 'TN422', column = 'question_id';
    end if;

    if not exists (select
                     from asyncstand.config_member m
                     join asyncstand.team_member   t
                       on t.tenant_id = m.tenant_id
                      and t.id        = m.team_member_id
                    where m.tenant_id = new.tenant_id
                      and m.config_id = standup.config_id
                      and t.user_id   = new.created_by)
    then
        raise exception 'Only who is asked can answer.'
            using errcode = 'TN403', constraint = 'not_asked';
    end if;

    return new;
end
$$;

comment on function asyncstand.check_answer() is
    'Answers are given while the stand-up is open, to its questions, by whom '
    'it asks';


-- A trigger that is there stays: to replace it would wait for who writes.
do $$
begin
    if not exists (select from pg_trigger
                    where tgrelid = 'asyncstand.team'::regclass
                      and tgname  = 'check_team')
    then
        create trigger check_team
            before insert or update of timezone on asyncstand.team
            for each row execute function asyncstand.check_team();
    end if;

    if not exists (select from pg_trigger
                    where tgrelid = 'asyncstand.config_member'::regclass
                      and tgname  = 'check_config_member')
    then
        create trigger check_config_member
            before insert or update on asyncstand.config_member
            for each row execute function asyncstand.check_config_member();
    end if;

    if not exists (select from pg_trigger
                    where tgrelid = 'asyncstand.answer'::regclass
                      and tgname  = 'check_answer')
    then
        create trigger check_answer
            before insert or update on asyncstand.answer
            for each row execute function asyncstand.check_answer();
    end if;
end
$$;
