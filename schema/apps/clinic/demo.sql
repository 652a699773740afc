-- demo.sql: two practices to try the clinic with.
--
--     lakeside  nora owner, omar admin, petra member, quinn member
--     hilltop   rosa owner
--
-- Run as tenon_owner after the app is loaded, with the password's Argon2id
-- hash (one for all five) in a setting:
--
--     PGOPTIONS='-c tenon.demo_password_hash=$argon2id$…' \
--         psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f demo.sql
--
-- Does nothing when the slug lakeside is taken, so that it never touches what
-- somebody has made of it. Ids are UUIDv7 in shape, and readable: the last
-- group tells what it is (1 tenant, 2 user, 3 member, 4 patient, 5 visit, 6
-- note, 7 prescription), the second whose (000c lakeside, 000d hilltop).

do $$
declare
    realm     constant uuid := '00000000-0000-7000-8000-000000000001';
    lakeside  constant uuid := '01900000-000c-7000-8000-000000000001';
    hilltop   constant uuid := '01900000-000d-7000-8000-000000000001';

    nora      constant uuid := '01900000-000c-7000-8000-000000000201';
    omar      constant uuid := '01900000-000c-7000-8000-000000000202';
    petra     constant uuid := '01900000-000c-7000-8000-000000000203';
    quinn     constant uuid := '01900000-000c-7000-8000-000000000204';
    rosa      constant uuid := '01900000-000d-7000-8000-000000000201';

    today     constant timestamptz := date_trunc('day', now(), 'UTC');

    hash   text := nullif(current_setting('tenon.demo_password_hash', true),
                          '');
    taken  boolean;
begin
    -- Only the look-up role sees whose the slugs are.
    set local role tenon_lookup;
    taken := exists (select from tenon.tenant_slug where slug = 'lakeside');
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
           (realm_id, id,    email,                 name,    password_hash)
    values (realm,    nora,  'nora@lakeside.test',  'Nora',  hash),
           (realm,    omar,  'omar@lakeside.test',  'Omar',  hash),
           (realm,    petra, 'petra@lakeside.test', 'Petra', hash),
           (realm,    quinn, 'quinn@lakeside.test', 'Quinn', hash),
           (realm,    rosa,  'rosa@hilltop.test',   'Rosa',  hash);


    perform set_config('tenon.tenant', lakeside::text, true);
    perform set_config('tenon.actor',  nora::text, true);

    insert into tenon.tenant_slug
           (slug,       tenant_id, realm_id)
    values ('lakeside', lakeside,  realm);

    insert into tenon.tenant
           (tenant_id, realm_id, name,              slug,       created_by)
    values (lakeside,  realm,    'Lakeside Clinic', 'lakeside', nora);

    insert into tenon.member
           (tenant_id, realm_id, id, user_id, role, created_by)
    values (lakeside, realm, '01900000-000c-7000-8000-000000000301', nora,
            'owner',  nora),
           (lakeside, realm, '01900000-000c-7000-8000-000000000302', omar,
            'admin',  nora),
           (lakeside, realm, '01900000-000c-7000-8000-000000000303', petra,
            'member', nora),
           (lakeside, realm, '01900000-000c-7000-8000-000000000304', quinn,
            'member', nora);

    insert into clinic.patient
           (tenant_id, id, name, birth_date, email, phone, record, created_at,
            created_by)
    select lakeside,
           ('01900000-000c-7000-8000-000000000' || p.id)::uuid,
           p.name, p.born::date, p.email, p.phone, p.record::jsonb,
           now() - p.age::interval, omar
      from (values
            ('401', 'Ana Torres',    '1984-02-29', 'ana@mail.test', '+43 1 5550101',
             '{"blood": "0+", "allergies": ["penicillin"]}',         '90 days'),
            ('402', 'Ben Okafor',    '1951-11-03', null,            '01 5550102',
             '{"blood": "A-", "insurer": {"name": "Alpha", "number": "77-1"}}',
                                                                     '60 days'),
            ('403', 'Chi Wen',       '2019-06-17', 'wen@mail.test', null,
             '{"allergies": ["nuts", "penicillin"]}',                '30 days'),
            ('404', 'Dora Lindqvist', null,        null,            null,
             '{}',                                                   '2 days')
           ) as p (id, name, born, email, phone, record, age);

    insert into clinic.visit
           (tenant_id, id, patient_id, clinician_id, starts_at, reason,
            status, room, arrived_at, created_by)
    select lakeside,
           ('01900000-000c-7000-8000-000000000' || v.id)::uuid,
           ('01900000-000c-7000-8000-000000000' || v.patient)::uuid,
           v.clinician, today + v.at::interval, v.reason, v.status, v.room,
           today + v.arrived::interval, omar
      from (values
            ('501', '401', petra, '-7 days 9 hours', 'Sore throat',
             'done',         '1', '-7 days 8 hours 50 minutes'),
            ('502', '402', quinn, '8 hours',         'Blood pressure',
             'in_treatment', '2', '7 hours 45 minutes'),
            ('503', '403', petra, '9 hours',         'Vaccination',
             'booked',       null, null),
            ('504', '401', petra, '10 hours',        'Check-up',
             'booked',       null, null),
            ('505', '404', quinn, '11 hours',        'First visit',
             'cancelled',    null, null)
           ) as v (id, patient, clinician, at, reason, status, room, arrived);

    insert into clinic.note
           (tenant_id, id, visit_id, content, created_by)
    values (lakeside, '01900000-000c-7000-8000-000000000601',
            '01900000-000c-7000-8000-000000000501',
            'No fever. Throat red, tonsils swollen.', petra),
           (lakeside, '01900000-000c-7000-8000-000000000602',
            '01900000-000c-7000-8000-000000000502',
            '150 over 95 in rest.', quinn);

    insert into clinic.prescription
           (tenant_id, id, visit_id, medicine, dose, unit, per_day, until,
            created_by)
    values (lakeside, '01900000-000c-7000-8000-000000000701',
            '01900000-000c-7000-8000-000000000501', 'Azithromycin', 500, 'mg',
            1, (today at time zone 'UTC')::date - 4, petra);


    perform set_config('tenon.tenant', hilltop::text, true);
    perform set_config('tenon.actor',  rosa::text, true);

    insert into tenon.tenant_slug
           (slug,      tenant_id, realm_id)
    values ('hilltop', hilltop,   realm);

    insert into tenon.tenant
           (tenant_id, realm_id, name,               slug,      created_by)
    values (hilltop,   realm,    'Hilltop Practice', 'hilltop', rosa);

    insert into tenon.member
           (tenant_id, realm_id, id, user_id, role, created_by)
    values (hilltop, realm, '01900000-000d-7000-8000-000000000301', rosa,
            'owner', rosa);

    insert into clinic.patient
           (tenant_id, id, name, record, created_by)
    values (hilltop, '01900000-000d-7000-8000-000000000401', 'Ana Torres',
            '{"allergies": ["penicillin"]}', rosa);

    insert into clinic.visit
           (tenant_id, id, patient_id, clinician_id, starts_at, created_by)
    values (hilltop, '01900000-000d-7000-8000-000000000501',
            '01900000-000d-7000-8000-000000000401', rosa,
            today + interval '9 hours', rosa);

    perform set_config('tenon.tenant', '', true);
    perform set_config('tenon.realm',  '', true);
    perform set_config('tenon.actor',  '', true);
end
$$;
