-- demo.sql: two organizations to try TeamOS with.
--
--     acme    alice owner, bob admin, carol member
--     globex  dave owner
--
-- Run as tenon_owner after the app is loaded, with the password's Argon2id
-- hash (one for all four) in a setting:
--
--     PGOPTIONS='-c tenon.demo_password_hash=$argon2id$…' \
--         psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f demo.sql
--
-- Does nothing when the slug acme is taken, so that it never touches what
-- somebody has made of it. Ids are UUIDv7 in shape, and readable: the last
-- group tells what it is (1 tenant, 2 user, 3 member, 4 project, 5 task, 7
-- comment, 8 subscription, 9 what is granted besides), the second whose (000a
-- acme, 000b globex).

do $$
declare
    realm   constant uuid := '00000000-0000-7000-8000-000000000001';
    acme    constant uuid := '01900000-000a-7000-8000-000000000001';
    globex  constant uuid := '01900000-000b-7000-8000-000000000001';

    alice   constant uuid := '01900000-000a-7000-8000-000000000201';
    bob     constant uuid := '01900000-000a-7000-8000-000000000202';
    carol   constant uuid := '01900000-000a-7000-8000-000000000203';
    dave    constant uuid := '01900000-000b-7000-8000-000000000201';

    website constant uuid := '01900000-000a-7000-8000-000000000401';
    mobile  constant uuid := '01900000-000a-7000-8000-000000000402';
    office  constant uuid := '01900000-000a-7000-8000-000000000403';
    rocket  constant uuid := '01900000-000b-7000-8000-000000000401';

    -- So much that nobody who tries it out is refused for it.
    plenty  constant jsonb := '[{"name": "api_calls", "hard": 1000000000},
                                {"name": "api_rate",  "hard": 1000000000}]';

    hash    text := nullif(current_setting('tenon.demo_password_hash', true),
                           '');
    taken   boolean;
begin
    -- Only the look-up role sees whose the slugs are.
    set local role tenon_lookup;
    taken := exists (select from tenon.tenant_slug where slug = 'acme');
    set local role tenon_owner;

    if taken then
        return;
    end if;

    if hash is null then
        raise exception 'tenon.demo_password_hash is not set'
            using hint = 'Give the hash of the demo password: '
                         'PGOPTIONS=''-c tenon.demo_password_hash=…''.';
    end if;

    perform set_config('tenon.realm', realm::text, true);

    insert into tenon."user"
           (realm_id, id,    email,               name,    password_hash)
    values (realm,    alice, 'alice@acme.test',   'Alice', hash),
           (realm,    bob,   'bob@acme.test',     'Bob',   hash),
           (realm,    carol, 'carol@acme.test',   'Carol', hash),
           (realm,    dave,  'dave@globex.test',  'Dave',  hash);


    perform set_config('tenon.tenant', acme::text, true);
    perform set_config('tenon.actor',  alice::text, true);

    insert into tenon.tenant_slug
           (slug,   tenant_id, realm_id)
    values ('acme', acme,      realm);

    insert into tenon.tenant
           (tenant_id, realm_id, name,        slug,   created_by)
    values (acme,      realm,    'Acme Inc.', 'acme', alice);

    insert into tenon.member
           (tenant_id, realm_id, id, user_id, role, created_by)
    values (acme, realm, '01900000-000a-7000-8000-000000000301', alice,
            'owner',  alice),
           (acme, realm, '01900000-000a-7000-8000-000000000302', bob,
            'admin',  alice),
           (acme, realm, '01900000-000a-7000-8000-000000000303', carol,
            'member', alice);

    -- As Stripe would have said it.
    insert into tenon.subscription
           (tenant_id, id, plan, provider, status, current_period_start,
            current_period_end)
    values (acme, '01900000-000a-7000-8000-000000000801', 'pro', 'stripe',
            'active', now() - interval '9 days', now() + interval '21 days');

    insert into tenon.plan_override
           (tenant_id, id, limits, reason, created_by)
    values (acme, '01900000-000a-7000-8000-000000000901', plenty,
            'To try it with', alice);

    insert into teamos.project
           (tenant_id, id,      name,               created_at,                   created_by)
    values (acme,      website, 'Website relaunch', now() - interval '9 days',    alice),
           (acme,      mobile,  'Mobile app',       now() - interval '8 days',    bob),
           (acme,      office,  'Office move',      now() - interval '7 days',    carol);

    insert into teamos.task
           (tenant_id, id, project_id, title, priority, status, assignee_id,
            created_at, created_by)
    select acme,
           ('01900000-000a-7000-8000-000000000' || t.id)::uuid,
           t.project, t.title, t.priority, t.status, t.assignee,
           now() - t.age::interval, t.creator
      from (values
            ('501', website, 'Choose a typeface',         'low',    'done',        carol, '6 days',   alice),
            ('502', website, 'Write the landing page',    'high',   'in_progress', alice, '5 days',   alice),
            ('503', website, 'Redirect the old addresses', 'medium', 'todo',       bob,   '4 days',   bob),
            ('504', website, 'Check contrast and focus',  'medium', 'todo',        null,  '3 days',   carol),
            ('505', mobile,  'Sketch the sign-in screen', 'medium', 'done',        bob,   '70 hours', bob),
            ('506', mobile,  'Crash on a cold start',     'urgent', 'in_progress', carol, '60 hours', carol),
            ('507', mobile,  'Offline mode',              'low',    'todo',        null,  '50 hours', bob),
            ('508', office,  'Book the movers',           'high',   'in_progress', carol, '40 hours', carol),
            ('509', office,  'Order desks',               'medium', 'todo',        carol, '30 hours', carol),
            ('510', office,  'Tell the post office',      'low',    'todo',        alice, '20 hours', alice)
           ) as t (id, project, title, priority, status, assignee, age, creator);


    insert into teamos.comment
           (tenant_id, id, task_id, content, created_at, created_by)
    select acme,
           ('01900000-000a-7000-8000-000000000' || c.id)::uuid,
           ('01900000-000a-7000-8000-000000000' || c.task)::uuid,
           c.content, now() - c.age::interval, c.creator
      from (values
            ('701', '502', 'The first draft is in the shared folder.',   '70 hours', alice),
            ('702', '502', 'Looks good. The headline could be shorter.', '69 hours', bob),
            ('703', '506', 'Happens on every third start here.',         '58 hours', carol),
            ('704', '506', 'A trace is attached to the build log.',      '57 hours', bob),
            ('705', '508', 'Two offers so far; a third one is coming.',  '30 hours', carol)
           ) as c (id, task, content, age, creator);


    perform set_config('tenon.tenant', globex::text, true);
    perform set_config('tenon.actor',  dave::text, true);

    insert into tenon.tenant_slug
           (slug,     tenant_id, realm_id)
    values ('globex', globex,    realm);

    insert into tenon.tenant
           (tenant_id, realm_id, name,           slug,     created_by)
    values (globex,    realm,    'Globex Corp.', 'globex', dave);

    insert into tenon.member
           (tenant_id, realm_id, id, user_id, role, created_by)
    values (globex, realm, '01900000-000b-7000-8000-000000000301', dave,
            'owner', dave);

    insert into tenon.plan_override
           (tenant_id, id, limits, reason, created_by)
    values (globex, '01900000-000b-7000-8000-000000000901', plenty,
            'To try it with', dave);

    insert into teamos.project
           (tenant_id, id,     name,          created_by)
    values (globex,    rocket, 'Moon rocket', dave);

    insert into teamos.task
           (tenant_id, id, project_id, title, priority, created_by)
    values (globex, '01900000-000b-7000-8000-000000000501', rocket,
            'Find a launch site', 'urgent', dave),
           (globex, '01900000-000b-7000-8000-000000000502', rocket,
            'Hire an astronaut',  'medium', dave);

    insert into teamos.comment
           (tenant_id, id, task_id, content, created_by)
    values (globex, '01900000-000b-7000-8000-000000000701',
            '01900000-000b-7000-8000-000000000501',
            'As close to the equator as we can get.', dave);

    perform set_config('tenon.tenant', '', true);
    perform set_config('tenon.realm',  '', true);
    perform set_config('tenon.actor',  '', true);
end
$$;
