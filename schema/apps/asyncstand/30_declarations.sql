-- AsyncStand: what the API serves, to whom. Owners and admins set teams and
-- stand-ups up; members answer. Everybody who reads a row reads its history.

select tenon.app_begin('asyncstand');


-- Teams

select tenon.resource('asyncstand.team', path => 'teams',
                      soft_delete => true, search => '{name}');

select tenon.field('asyncstand.team', 'name',        min => 1, max => 100,
                   sort => true);
select tenon.field('asyncstand.team', 'timezone',    min => 1, max => 64);
select tenon.field('asyncstand.team', 'description', max => 1000);

select tenon.allow('owner',  'team', '{read,create,update,delete,restore,history}');
select tenon.allow('admin',  'team', '{read,create,update,delete,restore,history}');
select tenon.allow('member', 'team', '{read,history}');


select tenon.resource('asyncstand.team_member', path => 'team-members',
                      parent => 'team', owner => 'user_id');

select tenon.field('asyncstand.team_member', 'team_id', filter => true,
                   create_only => true);
select tenon.field('asyncstand.team_member', 'user_id', filter => true,
                   create_only => true);

select tenon.allow('owner',  'team_member', '{read,create,delete,history}');
select tenon.allow('admin',  'team_member', '{read,create,delete,history}');
select tenon.allow('member', 'team_member', '{read,history}');
select tenon.allow('member', 'team_member', '{delete}', scope => 'own');


-- Stand-ups, as they are set up

select tenon.resource('asyncstand.standup_config', path => 'standup-configs',
                      parent => 'team', soft_delete => true,
                      require_match => true);

select tenon.field('asyncstand.standup_config', 'team_id', filter => true,
                   create_only => true);
select tenon.field('asyncstand.standup_config', 'name', min => 1, max => 100,
                   sort => true);
select tenon.field('asyncstand.standup_config', 'weekdays', max => 27,
                   pattern => '^(mon|tue|wed|thu|fri|sat|sun)'
                              '(,(mon|tue|wed|thu|fri|sat|sun))*$');
select tenon.field('asyncstand.standup_config', 'time_of_day', max => 5,
                   pattern => '^([01][0-9]|2[0-3]):[0-5][0-9]$');
select tenon.field('asyncstand.standup_config', 'response_minutes',
                   min => 5, max => 10080);
select tenon.field('asyncstand.standup_config', 'is_active', filter => true);

select tenon.action('asyncstand.standup_config', 'start',
                    'asyncstand.start_standup',
                    summary => 'Ask the team now');

select tenon.allow('owner',  'standup_config', '{read,create,update,delete,restore,history,start}');
select tenon.allow('admin',  'standup_config', '{read,create,update,delete,restore,history,start}');
select tenon.allow('member', 'standup_config', '{read,history}');


select tenon.resource('asyncstand.question', path => 'questions',
                      parent => 'standup_config', soft_delete => true,
                      require_match => true);

select tenon.field('asyncstand.question', 'config_id', filter => true,
                   create_only => true);
select tenon.field('asyncstand.question', 'position', min => 1, max => 50,
                   sort => true);
select tenon.field('asyncstand.question', 'content',  min => 1, max => 500);

select tenon.allow('owner',  'question', '{read,create,update,delete,restore,history}');
select tenon.allow('admin',  'question', '{read,create,update,delete,restore,history}');
select tenon.allow('member', 'question', '{read,history}');


select tenon.resource('asyncstand.config_member',
                      path => 'standup-config-members',
                      parent => 'standup_config');

select tenon.field('asyncstand.config_member', 'config_id', filter => true,
                   create_only => true);
select tenon.field('asyncstand.config_member', 'team_member_id',
                   create_only => true);

select tenon.allow('owner',  'config_member', '{read,create,delete,history}');
select tenon.allow('admin',  'config_member', '{read,create,delete,history}');
select tenon.allow('member', 'config_member', '{read,history}');


-- Stand-ups, as they happen

select tenon.resource('asyncstand.standup', path => 'standups',
                      parent => 'standup_config');

select tenon.field('asyncstand.standup', 'config_id', filter => true,
                   read_only => true);
select tenon.field('asyncstand.standup', 'day',       filter => true,
                   sort => true, read_only => true);
select tenon.field('asyncstand.standup', 'status',    filter => true,
                   read_only => true);
select tenon.field('asyncstand.standup', 'closes_at', read_only => true);
select tenon.field('asyncstand.standup', 'closed_at', read_only => true);

select tenon.states('asyncstand.standup', 'status', 'open -> closed');

select tenon.action('asyncstand.standup', 'close', 'asyncstand.close_standup',
                    states  => '{open}',
                    summary => 'Take no more answers');

select tenon.allow('owner',  'standup', '{read,history,close}');
select tenon.allow('admin',  'standup', '{read,history,close}');
select tenon.allow('member', 'standup', '{read,history}');


select tenon.resource('asyncstand.answer', path => 'answers',
                      parent => 'standup', search => '{content}');

select tenon.field('asyncstand.answer', 'standup_id',  filter => true,
                   create_only => true);
select tenon.field('asyncstand.answer', 'question_id', filter => true,
                   create_only => true);
select tenon.field('asyncstand.answer', 'content', min => 1, max => 4000);

select tenon.allow('owner',  'answer', '{read,create,history}');
select tenon.allow('admin',  'answer', '{read,create,history}');
select tenon.allow('member', 'answer', '{read,create,history}');
select tenon.allow('owner',  'answer', '{update}', scope => 'own');
select tenon.allow('admin',  'answer', '{update}', scope => 'own');
select tenon.allow('member', 'answer', '{update}', scope => 'own');


select tenon.resource('asyncstand.participation', path => 'participations',
                      parent => 'standup', owner => 'user_id');

select tenon.field('asyncstand.participation', 'standup_id', filter => true,
                   read_only => true);
select tenon.field('asyncstand.participation', 'user_id',    filter => true,
                   read_only => true);
select tenon.field('asyncstand.participation', 'asked',      read_only => true);
select tenon.field('asyncstand.participation', 'answered',   read_only => true);
select tenon.field('asyncstand.participation', 'outcome',    filter => true,
                   read_only => true,
                   one_of => '{complete,partial,missing}');

select tenon.allow('owner',  'participation', '{read,history}');
select tenon.allow('admin',  'participation', '{read,history}');
select tenon.allow('member', 'participation', '{read,history}', scope => 'own');


-- Questions about many

select tenon.query('participation_rate', 'asyncstand.participation_rate',
                   reads   => '{participation,standup}',
                   slow    => true,
                   summary => 'Who takes part, and how much');

select tenon.allow('owner', 'participation_rate', '{read}');
select tenon.allow('admin', 'participation_rate', '{read}');


select tenon.app_end('asyncstand');
