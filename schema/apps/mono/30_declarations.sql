-- Mono: what the API serves, to whom. Owners and admins of the tenant see all
-- of it; who holds a role in an account sees that account's rows, and those of
-- the accounts that lie in it.

select tenon.app_begin('mono');


-- Profiles

select tenon.resource('mono.profile', path => 'profiles', soft_delete => true,
                      account => 'account_id', search => '{display_name}',
                      shareable => true);

select tenon.field('mono.profile', 'type', filter => true,
                   one_of => '{model,actor,speaker,artist}');
select tenon.field('mono.profile', 'display_name', min => 1, max => 200,
                   sort => true, pii => true);
select tenon.field('mono.profile', 'status', filter => true,
                   read_only => true);
select tenon.states('mono.profile', 'status',
                    'draft -> published -> archived, archived -> draft');

select tenon.action('mono.profile', 'publish', 'mono.publish',
                    states  => '{draft}',
                    summary => 'Show it to the world');

select tenon.allow('owner',         'profile', '{read,create,update,delete,restore,history,publish}');
select tenon.allow('admin',         'profile', '{read,create,update,delete,restore,history,publish}');
select tenon.allow('account_owner', 'profile', '{read,create,update,delete,restore,history,publish}');
select tenon.allow('account_user',  'profile', '{read,create}');
select tenon.allow('account_user',  'profile', '{update,delete,history}',
                   scope => 'own');


-- Work

select tenon.resource('mono.work', path => 'works', parent => 'profile',
                      account => 'account_id');

select tenon.field('mono.work', 'account_id', create_only => true);
select tenon.field('mono.work', 'profile_id', filter => true,
                   create_only => true);
select tenon.field('mono.work', 'title', min => 1, max => 200, sort => true);
select tenon.field('mono.work', 'year',  min => 1900, max => 2100,
                   filter => true);

select tenon.allow('owner',         'work', '{read,create,update,delete,history}');
select tenon.allow('admin',         'work', '{read,create,update,delete,history}');
select tenon.allow('account_owner', 'work', '{read,create,update,delete,history}');
select tenon.allow('account_user',  'work', '{read,create,update}');


select tenon.app_end('mono');
