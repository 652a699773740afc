-- demo.sql: two organizations to try AsyncStand with.
--
--     harbor  uma owner, vic admin, wanda member, yan member
--     summit  zoe owner
--
-- Run as tenon_owner after the app is loaded, with the password's Argon2id
-- hash (one for all five) in a setting:
--
--     PGOPTIONS='-c tenon.demo_password_hash=$argon2id$…' \
--         psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f demo.sql
--
-- Does nothing when the slug harbor is taken, so that it never touches what
-- somebody has made of it. Ids are UUIDv7 in shape, and readable: the last
-- group tells what it is (1 tenant, 2 user, 3 member, 4 team, 5 team member, 6
-- config, 7 question, 8 config member), the second whose (000e harbor, 000f
-- summit).

do $$
declare
    realm   constant uuid := '00000000-0000-7000-8000-000000000001';
    harbor  constant uuid := '01900000-000e-7000-8000-000000000001';
    summit  constant uuid := '01900000-000f-7000-8000-000000000001';

    uma     constant uuid := '01900000-000e-7000-8000-000000000201';
    vic     constant uuid := '01900000-000e-7000-8000-000000000202';
    wanda   constant uuid := '01900000-000e-7000-8000-000000000203';
    yan     constant uuid := '01900000-000e-7000-8000-000000000204';
    zoe     constant uuid := '01900000-000f-7000-8000-000000000201';

    crew    constant uuid := '01900000-000e-7000-8000-000000000401';
    daily   constant uuid := '01900000-000e-7000-8000-000000000601';

    hash   text := nullif(current_setting('tenon.demo_password_hash', true),
                          '');
    taken  boolean;
begin
    -- Only the look-up role sees whose the slugs are.
    set local role tenon_lookup;
    taken := exists (select from tenon.tenant_slug where slug = 'harbor');
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
    values (realm,    uma,   'uma@harbor.test',   'Uma',   hash),
           (realm,    vic,   'vic@harbor.test',   'Vic',   hash),
           (realm,    wanda, 'wanda@harbor.test', 'Wanda', hash),
           (realm,    yan,   'yan@harbor.test',   'Yan',   hash),
           (realm,    zoe,   'zoe@summit.test',   'Zoe',   hash);


    perform set_config('tenon.tenant', harbor::text, true);
    perform set_config('tenon.actor',  uma::text, true);

    insert into tenon.tenant_slug
           (slug,     tenant_id, realm_id)
    values ('harbor', harbor,    realm);

    insert into tenon.tenant
           (tenant_id, realm_id, name,             slug,     created_by)
    values (harbor,    realm,    'Harbor Studios', 'harbor', uma);

    insert into tenon.member
           (tenant_id, realm_id, id, user_id, role, created_by)
    values (harbor, realm, '01900000-000e-7000-8000-000000000301', uma,
            'owner',  uma),
           (harbor, realm, '01900000-000e-7000-8000-000000000302', vic,
            'admin',  uma),
           (harbor, realm, '01900000-000e-7000-8000-000000000303', wanda,
            'member', uma),
           (harbor, realm, '01900000-000e-7000-8000-000000000304', yan,
            'member', uma);

    insert into asyncstand.team
           (tenant_id, id,   name,   timezone,        created_by)
    values (harbor,    crew, 'Crew', 'Europe/Vienna', vic);

    insert into asyncstand.team_member
           (tenant_id, id, team_id, user_id, created_by)
    values (harbor, '01900000-000e-7000-8000-000000000501', crew, vic,   vic),
           (harbor, '01900000-000e-7000-8000-000000000502', crew, wanda, vic),
           (harbor, '01900000-000e-7000-8000-000000000503', crew, yan,   vic);

    insert into asyncstand.standup_config
           (tenant_id, id,    team_id, name,    time_of_day, created_by)
    values (harbor,    daily, crew,    'Daily', '09:30',     vic);

    insert into asyncstand.question
           (tenant_id, id, config_id, position, content, is_required,
            created_by)
    values (harbor, '01900000-000e-7000-8000-000000000701', daily, 1,
            'What did you get done?', true, vic),
           (harbor, '01900000-000e-7000-8000-000000000702', daily, 2,
            'What is next?', true, vic),
           (harbor, '01900000-000e-7000-8000-000000000703', daily, 3,
            'Is anything in your way?', false, vic);

    insert into asyncstand.config_member
           (tenant_id, id, config_id, team_member_id, created_by)
    values (harbor, '01900000-000e-7000-8000-000000000801', daily,
            '01900000-000e-7000-8000-000000000502', vic),
           (harbor, '01900000-000e-7000-8000-000000000802', daily,
            '01900000-000e-7000-8000-000000000503', vic);


    perform set_config('tenon.tenant', summit::text, true);
    perform set_config('tenon.actor',  zoe::text, true);

    insert into tenon.tenant_slug
           (slug,     tenant_id, realm_id)
    values ('summit', summit,    realm);

    insert into tenon.tenant
           (tenant_id, realm_id, name,     slug,     created_by)
    values (summit,    realm,    'Summit', 'summit', zoe);

    insert into tenon.member
           (tenant_id, realm_id, id, user_id, role, created_by)
    values (summit, realm, '01900000-000f-7000-8000-000000000301', zoe,
            'owner', zoe);

    perform set_config('tenon.tenant', '', true);
    perform set_config('tenon.realm',  '', true);
    perform set_config('tenon.actor',  '', true);
end
$$;
