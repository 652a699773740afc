-- Clinic: what the API serves, to whom. Owners and admins run the practice;
-- members are its clinicians, whose visits are those they are named in.

select tenon.app_begin('clinic');


-- Patients

select tenon.resource('clinic.patient', path => 'patients',
                      soft_delete => true, search => '{name}');

select tenon.field('clinic.patient', 'name',  min => 1, max => 200,
                   sort => true, pii => true);
select tenon.field('clinic.patient', 'birth_date', filter => true,
                   pii => true);
select tenon.field('clinic.patient', 'email', max => 254, pii => true,
                   pattern => '^[^@ ]+@[^@ ]+$');
select tenon.field('clinic.patient', 'phone', max => 30, pii => true,
                   encrypted => true,
                   pattern => '^[+]?[0-9 ()/-]+$');
select tenon.field('clinic.patient', 'record', search => true);

select tenon.allow('owner',  'patient', '{read,create,update,delete,restore,history}');
select tenon.allow('admin',  'patient', '{read,create,update,delete,restore,history}');
select tenon.allow('member', 'patient', '{read,create,update}');


-- Visits

select tenon.resource('clinic.visit', path => 'visits', parent => 'patient',
                      owner => 'clinician_id');

select tenon.field('clinic.visit', 'patient_id',   filter => true,
                   create_only => true);
select tenon.field('clinic.visit', 'clinician_id', filter => true);
select tenon.field('clinic.visit', 'starts_at',    filter => true,
                   sort => true);
select tenon.field('clinic.visit', 'reason',       max => 1000);
select tenon.field('clinic.visit', 'status',       filter => true);
select tenon.field('clinic.visit', 'room',         read_only => true);
select tenon.field('clinic.visit', 'arrived_at',   read_only => true);

select tenon.states('clinic.visit', 'status',
                    'booked -> checked_in -> in_treatment -> done, '
                    'booked -> cancelled, booked -> missed, '
                    'checked_in -> cancelled, missed -> booked');

select tenon.action('clinic.visit', 'check_in', 'clinic.check_in',
                    states  => '{booked}',
                    summary => 'The patient has arrived');
select tenon.param('clinic.check_in', 'room', min => 1, max => 20,
                   pattern => '^[A-Z0-9]+(-[A-Z0-9]+)*$');
select tenon.param('clinic.check_in', 'note', min => 1, max => 10000);

select tenon.allow('owner',  'visit', '{read,create,update,delete,history,check_in}');
select tenon.allow('admin',  'visit', '{read,create,update,history,check_in}');
select tenon.allow('member', 'visit', '{read,update,history,check_in}',
                   scope => 'own');


-- Notes

select tenon.resource('clinic.note', path => 'notes', parent => 'visit',
                      search => '{content}');

select tenon.field('clinic.note', 'visit_id', filter => true,
                   create_only => true);
select tenon.field('clinic.note', 'content',  min => 1, max => 10000);

select tenon.allow('owner',  'note', '{read,create,update,delete,history}');
select tenon.allow('admin',  'note', '{read,create,history}');
select tenon.allow('member', 'note', '{read,create}');
select tenon.allow('member', 'note', '{update,delete}', scope => 'own');


-- Prescriptions: written once, changed only by who has read the last version.

select tenon.resource('clinic.prescription', path => 'prescriptions',
                      parent => 'visit', require_match => true);

select tenon.field('clinic.prescription', 'visit_id', filter => true,
                   create_only => true);
select tenon.field('clinic.prescription', 'medicine', min => 1, max => 200,
                   create_only => true);
select tenon.field('clinic.prescription', 'dose',     min => 0, max => 10000);
select tenon.field('clinic.prescription', 'unit',
                   one_of => '{mg,ml,drops,tablets}');
select tenon.field('clinic.prescription', 'per_day',  min => 1, max => 24);
select tenon.field('clinic.prescription', 'until',    filter => true);

select tenon.allow('owner',  'prescription', '{read,history}');
select tenon.allow('admin',  'prescription', '{read}');
select tenon.allow('member', 'prescription', '{read,create}');
select tenon.allow('member', 'prescription', '{update}', scope => 'own');


-- Questions

select tenon.query('day_plan', 'clinic.day_plan',
                   reads   => '{visit,patient}',
                   summary => 'The visits of a day');

select tenon.query('waiting_times', 'clinic.waiting_times',
                   reads   => '{visit}',
                   slow    => true,
                   summary => 'How long patients waited');

select tenon.allow('owner',  'day_plan', '{read}');
select tenon.allow('admin',  'day_plan', '{read}');
select tenon.allow('member', 'day_plan', '{read}');

select tenon.allow('owner',  'waiting_times', '{read}');
select tenon.allow('admin',  'waiting_times', '{read}');


select tenon.app_end('clinic');
