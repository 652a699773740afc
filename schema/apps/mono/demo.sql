-- demo.sql: two agencies to try Mono with.
--
--     northlight  ada owner; members: ben account_owner of the agency, cem
--                 account_user of its branch in Berlin, dina account_owner of
--                 the one in Lisbon, eve in none
--     southlight  finn owner, gus account_user of its agency
--
-- Run as tenon_owner after the app is loaded, with the password's Argon2id
-- hash (one for all) in a setting:
--
--     PGOPTIONS='-c tenon.demo_password_hash=$argon2id$…' \
--         psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f demo.sql
--
-- Does nothing when the slug northlight is taken, so that it never touches what
-- somebody has made of it. Ids are UUIDv7 in shape, and readable: the last
-- group tells what it is (1 tenant, 2 user, 3 member, 4 account, 5 role in one,
-- 6 profile, 7 work), the second whose (0012 northlight, 0013 southlight).

do $$
declare
    realm       constant uuid := '00000000-0000-7000-8000-000000000001';
    northlight  constant uuid := '01900000-0012-7000-8000-000000000001';
    southlight  constant uuid := '01900000-0013-7000-8000-000000000001';

    ada         constant uuid := '01900000-0012-7000-8000-000000000201';
    ben         constant uuid := '01900000-0012-7000-8000-000000000202';
    cem         constant uuid := '01900000-0012-7000-8000-000000000203';
    dina        constant uuid := '01900000-0012-7000-8000-000000000204';
    eve         constant uuid := '01900000-0012-7000-8000-000000000205';
    finn        constant uuid := '01900000-0013-7000-8000-000000000201';
    gus         constant uuid := '01900000-0013-7000-8000-000000000202';

    agency      constant uuid := '01900000-0012-7000-8000-000000000401';
    berlin      constant uuid := '01900000-0012-7000-8000-000000000402';
    lisbon      constant uuid := '01900000-0012-7000-8000-000000000403';
    elsewhere   constant uuid := '01900000-0013-7000-8000-000000000401';

    hash   text := nullif(current_setting('tenon.demo_password_hash', true),
                          '');
    taken  boolean;
begin
    -- Only the look-up role sees whose the slugs are.
    set local role tenon_lookup;
    taken := exists (select from tenon.tenant_slug where slug = 'northlight');
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
           (realm_id, id,   email,                  name,   password_hash)
    values (realm,    ada,  'ada@northlight.test',  'Ada',  hash),
           (realm,    ben,  'ben@northlight.test',  'Ben',  hash),
           (realm,    cem,  'cem@northlight.test',  'Cem',  hash),
           (realm,    dina, 'dina@northlight.test', 'Dina', hash),
           (realm,    eve,  'eve@northlight.test',  'Eve',  hash),
           (realm,    finn, 'finn@southlight.test', 'Finn', hash),
           (realm,    gus,  'gus@southlight.test',  'Gus',  hash);


    perform set_config('tenon.tenant', northlight::text, true);
    perform set_config('tenon.actor',  ada::text, true);

    insert into tenon.tenant_slug
           (slug,         tenant_id,  realm_id)
    values ('northlight', northlight, realm);

    insert into tenon.tenant
           (tenant_id,  realm_id, name,         slug,         created_by)
    values (northlight, realm,    'Northlight', 'northlight', ada);

    insert into tenon.member
           (tenant_id, realm_id, id, user_id, role, created_by)
    values (northlight, realm, '01900000-0012-7000-8000-000000000301', ada,
            'owner',  ada),
           (northlight, realm, '01900000-0012-7000-8000-000000000302', ben,
            'member', ada),
           (northlight, realm, '01900000-0012-7000-8000-000000000303', cem,
            'member', ada),
           (northlight, realm, '01900000-0012-7000-8000-000000000304', dina,
            'member', ada),
           (northlight, realm, '01900000-0012-7000-8000-000000000305', eve,
            'member', ada);

    insert into tenon.account
           (tenant_id,  id,     parent_id, kind,     name,         created_by)
    values (northlight, agency, null,      'agency', 'Northlight', ada),
           (northlight, berlin, agency,    'branch', 'Berlin',     ada),
           (northlight, lisbon, agency,    'branch', 'Lisbon',     ada);

    insert into tenon.account_member
           (tenant_id, id, account_id, user_id, role, created_by)
    values (northlight, '01900000-0012-7000-8000-000000000501', agency, ben,
            'account_owner', ada),
           (northlight, '01900000-0012-7000-8000-000000000502', berlin, cem,
            'account_user',  ben),
           (northlight, '01900000-0012-7000-8000-000000000503', lisbon, dina,
            'account_owner', ben);

    insert into mono.profile
           (tenant_id, id, account_id, type, display_name, status, data,
            created_at, created_by)
    select northlight,
           ('01900000-0012-7000-8000-000000000' || p.id)::uuid,
           p.account, p.type, p.name, p.status, p.data::jsonb,
           now() - p.age::interval, p.by
      from (values
            ('601', berlin, 'model',   'Anouk Adler', 'published',
             '{"height": 178, "languages": ["de", "fr"]}', '30 days', cem),
            ('602', berlin, 'speaker', 'Bela Brandt', 'draft',
             '{"topics": ["seas", "maps"]}',               '20 days', ben),
            ('603', lisbon, 'model',   'Clara Costa', 'published',
             '{"height": 181, "languages": ["pt"]}',       '10 days', dina),
            ('604', agency, 'artist',  'Duo Delta',   'published',
             '{}',                                         '5 days',  ben)
           ) as p (id, account, type, name, status, data, age, by);

    insert into mono.work
           (tenant_id, id, account_id, profile_id, title, year, created_by)
    values (northlight, '01900000-0012-7000-8000-000000000701', berlin,
            '01900000-0012-7000-8000-000000000601', 'Winter coats', 2024, cem),
           (northlight, '01900000-0012-7000-8000-000000000702', lisbon,
            '01900000-0012-7000-8000-000000000603', 'Swimwear', 2025, dina);


    perform set_config('tenon.tenant', southlight::text, true);
    perform set_config('tenon.actor',  finn::text, true);

    insert into tenon.tenant_slug
           (slug,         tenant_id,  realm_id)
    values ('southlight', southlight, realm);

    insert into tenon.tenant
           (tenant_id,  realm_id, name,         slug,         created_by)
    values (southlight, realm,    'Southlight', 'southlight', finn);

    insert into tenon.member
           (tenant_id, realm_id, id, user_id, role, created_by)
    values (southlight, realm, '01900000-0013-7000-8000-000000000301', finn,
            'owner',  finn),
           (southlight, realm, '01900000-0013-7000-8000-000000000302', gus,
            'member', finn);

    insert into tenon.account
           (tenant_id,  id,        kind,     name,         created_by)
    values (southlight, elsewhere, 'agency', 'Southlight', finn);

    insert into tenon.account_member
           (tenant_id, id, account_id, user_id, role, created_by)
    values (southlight, '01900000-0013-7000-8000-000000000501', elsewhere, gus,
            'account_user', finn);

    insert into mono.profile
           (tenant_id, id, account_id, display_name, created_by)
    values (southlight, '01900000-0013-7000-8000-000000000601', elsewhere,
            'Anouk Adler', gus);

    perform set_config('tenon.tenant', '', true);
    perform set_config('tenon.realm',  '', true);
    perform set_config('tenon.actor',  '', true);
end
$$;
