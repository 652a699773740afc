-- TeamOS: what the API serves, to whom.

select tenon.app_begin('teamos');


-- Projects

select tenon.resource('teamos.project', path => 'projects',
                      soft_delete => true, search => '{name}');

select tenon.field('teamos.project', 'name', min => 1, max => 200);

select tenon.allow('owner',  'project', '{read,create,update,delete,restore,history}');
select tenon.allow('admin',  'project', '{read,create,update,delete,restore,history}');
select tenon.allow('member', 'project', '{read,create}');
select tenon.allow('member', 'project', '{update,delete}', scope => 'own');


-- What is used besides calls

select tenon.meter('tasks_created', 'count', unit => 'task',
                   writes => '{create}');
select tenon.meter('minutes_processed', 'sum', unit => 'minute');
select tenon.meter('active_users', 'unique', unit => 'user');
select tenon.meter('peak_connections', 'max', unit => 'connection');
select tenon.meter('storage_bytes', 'last', unit => 'byte');


-- Tasks

select tenon.resource('teamos.task', path => 'tasks', parent => 'project',
                      soft_delete => true, search => '{title}',
                      usage => 'tasks_created');

select tenon.field('teamos.task', 'project_id',  filter => true);
select tenon.field('teamos.task', 'title',       min => 1, max => 200);
select tenon.field('teamos.task', 'priority',    filter => true,
                   one_of => '{low,medium,high,urgent}');
select tenon.field('teamos.task', 'status',      filter => true);
select tenon.field('teamos.task', 'assignee_id', filter => true);

select tenon.states('teamos.task', 'status',
                    'todo -> in_progress -> done, in_progress -> todo');

select tenon.allow('owner',  'task', '{read,create,update,delete,restore,history}');
select tenon.allow('admin',  'task', '{read,create,update,delete,restore,history}');
select tenon.allow('member', 'task', '{read,create}');
select tenon.allow('member', 'task', '{update,delete}', scope => 'own');


-- Comments

select tenon.resource('teamos.comment', path => 'comments', parent => 'task',
                      soft_delete => true, search => '{content}');

select tenon.field('teamos.comment', 'task_id', filter => true);
select tenon.field('teamos.comment', 'content', min => 1, max => 10000);

select tenon.allow('owner',  'comment', '{read,create,update,delete,restore,history}');
select tenon.allow('admin',  'comment', '{read,create,update,delete,restore,history}');
select tenon.allow('member', 'comment', '{read,create}');
select tenon.allow('member', 'comment', '{update,delete}', scope => 'own');


-- Plans

select tenon.plan('free', by_default => true);
select tenon.plan_limit('free', 'api_calls', hard => 1000, soft => 800,
                        period => 'month');

select tenon.plan('pro', amount => 2900, currency => 'USD');
select tenon.plan_limit('pro', 'api_calls', hard => 50000, soft => 40000,
                        period => 'month');
select tenon.plan_limit('pro', 'api_rate', hard => 6000, period => 'minute');
select tenon.plan_price('pro', 'stripe', 'teamos_pro_monthly');

select tenon.plan('enterprise');


select tenon.app_end('teamos');
