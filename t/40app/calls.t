#!/usr/bin/perl

# What an app's functions may count on when they are served as actions and
# queries: called once or not at all, on a row that is locked and looked at; what
# they refuse with and what they change is told and logged as theirs; of any
# other error nobody learns more than that there was one.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use Time::HiRes qw(sleep);
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $none = '01890a5d-ac96-774b-bcce-b302099a8057';

$s->psql(<<'SQL', role => 'tenon_owner');
begin;
create schema trial;
create table trial.ward (
    tenant_id uuid not null references tenon.tenant,
    id uuid not null default tenon.uuid7(), version bigint not null default 1,
    created_at timestamptz not null default now(), created_by uuid,
    updated_at timestamptz not null default now(), deleted_at timestamptz,
    visits int not null default 0,
    primary key (tenant_id, id));
create table trial.visit (
    tenant_id uuid not null references tenon.tenant,
    id uuid not null default tenon.uuid7(), version bigint not null default 1,
    created_at timestamptz not null default now(), created_by uuid,
    updated_at timestamptz not null default now(), deleted_at timestamptz,
    ward_id uuid not null, status text collate "C" not null default 'booked',
    day date, slot text collate "C", record jsonb,
    calls int not null default 0,
    primary key (tenant_id, id),
    foreign key (tenant_id, ward_id) references trial.ward,
    constraint visit_slot_key unique (tenant_id, day, slot));

create function trial.check_in(visit uuid, note text default null,
                               on_day date default '2026-05-05',
                               weight smallint default 5)
returns trial.visit language plpgsql as $$
declare
    v trial.visit;
begin
    case note
    when 'over' then
        raise exception 'The visit is over.'
              using errcode = 'TN409', constraint = 'visit_over';
    when 'field' then
        raise exception 'No such note.' using errcode = 'TN422', column = 'note';
    when 'plain' then raise exception 'Plainly no.';
    when 'forbid' then raise exception 'Not you.' using errcode = 'TN403';
    when 'slow' then raise exception 'Slowly.' using errcode = 'TN429';
    when 'nobody' then
        update trial.visit t set calls = calls + 100 where t.id = visit;
        return null;
    when 'zero' then perform 1 / 0;
    when 'broken' then perform trial.no_such_function();
    when 'forge' then perform (E'1\n[alert] \x1b[31mforged')::int;
    when 'late' then raise exception 'Too late.' using errcode = '57014';
    when 'taken' then
        update trial.visit t set day = '2026-01-01', slot = 'a'
         where t.id = visit;
    else null;
    end case;

    update trial.visit t
       set status = 'in', calls = calls + weight, day = on_day
     where t.id = visit returning * into v;
    update trial.ward w set visits = visits + 1 where w.id = v.ward_id;
    return v;
end $$;

create function trial.cancel(visit uuid)
returns void language sql
as 'update trial.visit t set calls = calls + 1 where t.id = visit';

create function trial.quote(visit uuid, days int)
returns table (price numeric, due date, who uuid) language sql
as $$ select days * 1.5, date '2026-02-01' + days, tenon.current_actor() $$;

create function trial.board(status text default 'booked', since date default null,
                            n int default 1)
returns table (id uuid, day date, calls int, record jsonb)
language sql stable
as $$ select v.id, v.day, v.calls, v.record
        from trial.visit v, generate_series(1, n)
       where v.status = board.status and (since is null or v.day >= since) $$;

create function trial.whoami(out who uuid, out tenant uuid)
language sql stable
as 'select tenon.current_actor(), tenon.current_tenant()';

create function trial.touch_all() returns bigint language sql
as 'with done as (update trial.visit set calls = calls + 1 returning 1)
    select count(*) from done';

create function trial.sneak(out touched bigint)
language sql stable
as 'select trial.touch_all()';

create function trial.locked(out held bigint)
language plpgsql stable as $$
begin
    select v.calls into held from trial.visit v limit 1 for update;
end $$;

create function trial.guard() returns trigger language plpgsql as $$
begin
    if new.slot = 'never' then
        raise exception 'Never.' using errcode = 'TN422', column = 'slot',
                                       constraint = 'never_ever';
    end if;
    return new;
end $$;
create trigger guard before insert or update on trial.visit
   for each row execute function trial.guard();

select tenon.app_begin('trial');
select tenon.resource('trial.ward', path => 'wards', soft_delete => true);
select tenon.resource('trial.visit', path => 'visits', parent => 'ward',
                      soft_delete => true);
select tenon.field('trial.visit', 'status', filter => true);
select tenon.field('trial.visit', 'day', filter => true);
select tenon.field('trial.visit', 'record', search => true, pii => true);
select tenon.states('trial.visit', 'status', 'booked -> in, booked -> off');
select tenon.param('trial.check_in', 'note', max => 10, pattern => '^[a-z]*$');
select tenon.action('trial.visit', 'check_in', function => 'trial.check_in',
                    states => '{booked}');
select tenon.action('trial.visit', 'cancel', function => 'trial.cancel');
select tenon.action('trial.visit', 'quote', function => 'trial.quote');
select tenon.query('board', function => 'trial.board', reads => '{visit}');
select tenon.query('whoami', function => 'trial.whoami');
select tenon.query('sneak', function => 'trial.sneak');
select tenon.query('locked', function => 'trial.locked');
select tenon.allow('owner', 'ward', '{read,create,update,delete,restore,history}');
select tenon.allow('owner', 'visit', '{read,create,update,delete,restore,history,check_in,cancel,quote}');
select tenon.allow('member', 'ward', '{read,create}');
select tenon.allow('member', 'visit', '{read,create}');
select tenon.allow('member', 'visit', '{check_in}', scope => 'own');
select tenon.allow('owner', 'board', '{read}');
select tenon.allow('owner', 'whoami', '{read}');
select tenon.allow('owner', 'sneak', '{read}');
select tenon.allow('owner', 'locked', '{read}');
select tenon.allow('member', 'whoami', '{read}');
select tenon.app_end('trial');
commit;
SQL

my $report = $s->shell('tenonctl_as "$web_user" doctor '
        . '--database "$api_db" || true');
like $report, qr/^all is well$/m, 'the statements fit' or diag $report;

$s->reload;
my $ward;
$s->wait_until(10, sub {
    $ward = $s->request(POST => 'wards', as => 'alice', json => {});
    $ward->{status} == 201;
});
$ward = $ward->json->{id};

sub visit {
    my (%o) = @_;
    my $as = delete $o{as} || 'alice';
    my $r = $s->request(POST => 'visits', as => $as,
                        json => { ward_id => $ward, %o });
    status_is $r, 201, 'a visit is booked';
    return $r->json->{id};
}

sub act {
    my ($id, $action, %o) = @_;
    return $s->request(POST => "visits/$id/$action", as => 'alice', %o);
}

sub logged { local (@ARGV, $/) = $s->error_log; return scalar <> }

sub calls { $s->request(GET => "visits/$_[0]", as => 'alice')->json->{calls} }

my $taken = visit(day => '2026-01-01', slot => 'a', record => { a => [1, 2] });

subtest 'an action answers' => sub {
    my $id = visit();
    my $r = act($id, 'check-in', json => { note => undef, weight => 2 });
    status_is $r, 200, 'the row';
    is $r->header('ETag'), '"2"', 'with its version';
    is_deeply [@{ $r->json }{qw(id status calls day version)}],
        [$id, 'in', 2, '2026-05-05', 2], 'as it is now';

    $r = act($id, 'quote', json => { days => 2 });
    status_is $r, 200, 'an object of its own';
    like $r->{body}, qr/\A\{"price":3.0,"due":"2026-02-03","who":"[^"]+"\}\z/,
        'and knows who asks';
    is $r->header('ETag'), undef, 'with no version';

    $r = act($id, 'cancel');
    status_is $r, 204, 'nothing';
    is calls($id), 3, 'and is done';
};

subtest 'defaults' => sub {
    my $id = visit();
    status_is act($id, 'check-in'), 200, 'without a body';
    is calls($id), 5, 'are the function\'s';
    status_is act(visit(), 'check-in', body => '', chunked => 1), 200,
        'with an empty one of unknown length as well';
};

subtest 'what is refused before the function is called' => sub {
    my $mine = visit(as => 'carol');
    problem_is act($none, 'check-in'), 404, 'not_found', 'no such row';
    problem_is act('x', 'check-in'), 404, 'not_found', 'no id';
    problem_is act($taken, 'check-in', as => 'carol'), 403, 'forbidden',
        'not one\'s own';
    problem_is act($mine, 'cancel', as => 'carol'), 403, 'forbidden',
        'not at all';
    problem_is act($mine, 'check-in', as => 'dave'), 404, 'not_found',
        'another organization\'s';
    problem_is act($mine, 'check-in', headers => ['If-Match' => '"2"']),
        412, 'precondition_failed', 'another version';
    problem_is act($mine, 'check-in', json => {
                       note => 'x' x 11, on_day => '2026-02-30',
                       weight => 40000, foo => 1, tenant_id => $none }),
        422, 'invalid_fields', 'bad arguments, all at once',
        '/note' => 'too_long', '/on_day' => 'bad_format',
        '/weight' => 'out_of_range', '/foo' => 'unknown_field',
        '/tenant_id' => 'unknown_field';
    problem_is act($mine, 'quote', json => {}), 422, 'invalid_fields',
        'a missing one', '/days' => 'required';
    problem_is act($mine, 'cancel', json => { x => 1 }), 422,
        'invalid_fields', 'one too many', '/x' => 'unknown_field';
    is calls($mine), 0, 'nothing was called';

    status_is act($mine, 'check-in', as => 'carol'), 200, 'one\'s own';
    my $r = act($mine, 'check-in', as => 'carol');
    problem_is $r, 409, 'state_conflict', 'in another state';
    is $r->json->{detail}, 'The status is in; it must be booked.',
        'which is named';

    my $gone = visit();
    $s->request(DELETE => "visits/$gone", as => 'alice');
    problem_is act($gone, 'cancel'), 404, 'not_found', 'a deleted row';

    my $other = $s->request(POST => 'wards', as => 'alice', json => {})
        ->json->{id};
    my $orphan = visit(ward_id => $other);
    $s->request(DELETE => "wards/$other", as => 'alice');
    problem_is act($orphan, 'cancel'), 409, 'state_conflict',
        'a row whose parent is deleted';
};

subtest 'what the function itself refuses' => sub {
    my $id = visit();
    my $say = sub { act($id, 'check-in', json => { note => $_[0] }) };

    my $r = $say->('over');
    problem_is $r, 409, 'state_conflict', 'TN409';
    is_deeply [@{ $r->json }{qw(detail reason)}],
        ['The visit is over.', 'visit_over'], 'with detail and reason';
    $r = $say->('field');
    problem_is $r, 422, 'invalid_fields', 'TN422', '/note' => 'refused';
    is $r->json->{detail}, 'No such note.', 'with its detail';
    problem_is $say->('plain'), 409, 'state_conflict', 'a plain raise';
    problem_is $say->('forbid'), 403, 'forbidden', 'TN403';
    $r = $say->('slow');
    problem_is $r, 429, 'rate_limited', 'TN429';
    is $r->header('Retry-After'), 1, 'says when to come again';
    problem_is $say->('nobody'), 404, 'not_found', 'no row';
    problem_is $say->("over\n"), 422, 'invalid_fields', 'a line feed behind it',
        '/note' => 'bad_format';
    $r = $say->('taken');
    problem_is $r, 409, 'duplicate', 'a key that is taken';
    like $r->json->{detail}, qr/the same day, slot\.\z/, 'with its fields';
    is calls($id), 0, 'nothing of it stays';

    for my $case (['zero', 422, 'invalid_fields', 'division by zero'],
                  ['broken', 500, 'internal', 'no_such_function'],
                  ['forge', 422, 'invalid_fields', '1?[alert] ?[31mforged'],
                  ['late', 503, 'busy', 'Too late.']) {
        my ($note, $status, $code, $secret) = @$case;
        $r = $say->($note);
        problem_is $r, $status, $code, "an error: $note";
        unlike $r->{body}, qr/\Q$secret/, 'which is not shown';
        like logged(), qr/trial\.visit_check_in_action: database error .*\Q$secret/,
            'but logged';
    }
};

subtest 'triggers and keys of a table' => sub {
    my $r = $s->request(POST => 'visits', as => 'alice', json => {
        ward_id => $ward, slot => 'never' });
    problem_is $r, 422, 'invalid_fields', 'a trigger refuses',
        '/slot' => 'refused';
    is_deeply [@{ $r->json }{qw(detail reason)}], ['Never.', 'never_ever'],
        'in its own words';
    problem_is $s->request(POST => 'visits', as => 'alice', json => {
                   ward_id => $ward, day => '2026-01-01', slot => 'a' }),
        409, 'duplicate', 'a key names its fields',
        '/day' => 'duplicate', '/slot' => 'duplicate';
};

subtest 'once under a key' => sub {
    my $id = visit();
    my %key = (headers => ['Idempotency-Key' => 'one']);
    my $first = act($id, 'check-in', %key);
    my $again = act($id, 'check-in', %key);
    status_is $again, 200, 'answered again';
    is $again->{body}, $first->{body}, 'the same';
    is $again->header('Idempotency-Replayed'), 'true', 'and marked';
    is calls($id), 5, 'called once';
    problem_is act($id, 'check-in', %key, json => { weight => 1 }), 422,
        'idempotency_mismatch', 'another body is another request';

    %key = (headers => ['Idempotency-Key' => 'two']);
    $first = act($id, 'quote', %key, json => { days => 3 });
    is act($id, 'quote', %key, json => { days => 3 })->{body},
        $first->{body}, 'an object is kept';
    status_is act($id, 'cancel', %key), 204, 'so is nothing';
    status_is act($id, 'cancel', %key), 204, 'again';
    is calls($id), 6, 'called once';
};

subtest 'once under a race' => sub {
    my $id = visit();
    my @c = map { $s->connect } 1 .. 8;
    my $bytes = $s->bytes(POST => "visits/$id/check-in", as => 'alice');
    $_->write($bytes) for @c;
    my @status = sort map { $_->response->{status} } @c;
    is_deeply \@status, [200, (409) x 7], 'one checks in, the others are late';
    is calls($id), 5, 'called once';
    is $s->psql("select count(*) from tenon.event
                  where resource_id = '$id' and action = 'visit.check_in'
                    and outcome = 'success'"), 1, 'logged once';
};

subtest 'the log' => sub {
    my $id = visit();
    act($id, 'check-in', headers => ['X-Request-Id' => 'trial-log']);
    is_deeply [map { "$_->{action} $_->{version}" }
                   @{ $s->request(GET => "visits/$id/history", as => 'alice')
                          ->json->{data} }],
        ['visit.check_in 2', 'visit.created 1'], 'a row has its action';
    is $s->psql("select e.action, b.metadata ->> 'cause', b.before ->> 'visits'
                        < b.after ->> 'visits'
                   from tenon.event e
                   join tenon.event_body b on b.event_id = e.id
                  where e.request_id = 'trial-log'
                    and e.resource = 'trial.ward'"),
        'ward.updated|visit.check_in|t', 'another has the cause';
    like $s->psql("select string_agg(distinct action, ' ') from tenon.event
                    where outcome = 'refused'"),
        qr/visit\.cancel.*visit\.check_in/, 'refusals have the action, too';
};

subtest 'queries' => sub {
    my $r = $s->request(GET => 'queries/board', as => 'alice');
    status_is $r, 200, 'without parameters';
    is $r->header('Cache-Control'), 'private, no-cache', 'for nobody else';
    ok !(grep { !exists $_->{day} } @{ $r->json->{data} }), 'have columns';
    is_deeply $s->request(GET => 'queries/board?since=2026-01-01', as => 'alice')
        ->json->{data},
        [{ id => $taken, day => '2026-01-01', calls => 0,
           record => { a => [1, 2] } }], 'with one';
    problem_is $s->request(GET => 'queries/board?since=2026-02-30&n=x&z=1',
                           as => 'alice'),
        400, 'unknown_parameter', 'bad ones, all at once',
        since => 'bad_format', n => 'bad_format', z => 'unknown_field';
    problem_is $s->request(GET => 'queries/board?n=1&n=2', as => 'alice'),
        400, 'invalid_parameter', 'one twice', n => 'duplicate';
    is @{ $s->request(GET => 'queries/board?since=2026-01-01&n=1000',
                      as => 'alice')->json->{data} }, 1000, 'a thousand rows';
    problem_is $s->request(GET => 'queries/board?since=2026-01-01&n=1001',
                           as => 'alice'),
        500, 'internal', 'no more';
    like logged(), qr/trial\.board_query answered more than 1,000 rows/,
        'which is logged';
    problem_is $s->request(GET => 'queries/sneak', as => 'alice'),
        500, 'internal', 'a GET changes nothing, whatever it calls';
    like logged(), qr/sneak_query: .*read-only transaction/, 'which is logged, too';
    problem_is $s->request(GET => 'queries/locked', as => 'alice'),
        500, 'internal', 'what a function itself may not';
    like logged(), qr/trial\.locked_query: database error 0A000: /,
        'which is logged, with its name';
    problem_is $s->request(GET => 'queries/board', as => 'carol'),
        403, 'forbidden', 'who may not';
    is $s->request(GET => 'queries/whoami', as => 'carol')->{body},
        sprintf('{"who":"%s","tenant":"%s"}',
                $s->request(GET => 'me', as => 'carol')->json->{id},
                $s->request(GET => 'tenant', as => 'carol')->json->{id}),
        'one object, of who asks';
};

# As after a load that this worker has not followed yet.
subtest 'what is gone' => sub {
    my $change = sub { $s->psql($_[0]) };
    my $changing = sub {
        my ($r, $name) = @_;
        problem_is $r, 503, 'unavailable', $name;
        like $r->json->{detail}, qr/^The app is being changed/, 'and says why';
        is $r->header('Retry-After'), 1, 'and when to come again';
    };

    $change->('alter function trial.whoami_query() rename to moved');
    $changing->($s->request(GET => 'queries/whoami', as => 'alice'),
                'a function');
    like logged(), qr/trial\.whoami_query: database error 42883: /,
        'which is logged';
    $change->('alter function trial.moved() rename to whoami_query');
    status_is $s->request(GET => 'queries/whoami', as => 'alice'), 200,
        'it is back';

    $change->('alter table trial.ward rename column visits to moved');
    $changing->($s->request(GET => 'wards', as => 'alice'), 'a column');
    $change->('alter table trial.ward rename column moved to visits');
    $change->('revoke select on trial.ward from tenon_api');
    $changing->($s->request(GET => 'wards', as => 'alice'), 'a right');
    $change->('grant select on trial.ward to tenon_api');
    status_is $s->request(GET => 'wards', as => 'alice'), 200, 'all is back';
};

subtest 'JSON and dates in lists' => sub {
    my $ids = sub {
        my $r = $s->request(GET => "visits?fields=id&$_[0]", as => 'alice');
        return [map { $_->{id} } @{ $r->json->{data} }];
    };
    is_deeply $ids->('record[contains]={"a":[2]}'), [$taken], 'contained';
    is_deeply $ids->('record[contains]={"a":[3]}'), [], 'not contained';
    is_deeply $ids->('day[lte]=2026-01-01'), [$taken], 'until a day';
    is_deeply $ids->('day=2026-01-01,2026-01-02&record[contains]={"a":[2]}'),
        [$taken], 'both';
    for my $all ('{}', '[]', '{"a":[]}') {
        problem_is $s->request(GET => "visits?record[contains]=$all",
                               as => 'alice'),
            400, 'invalid_parameter', "what all hold: $all",
            'record[contains]' => 'bad_format';
    }
    problem_is $s->request(GET => 'visits?record[contains]=1&day=2026-1-1',
                           as => 'alice'),
        400, 'invalid_parameter', 'neither',
        'record[contains]' => 'bad_format', 'day' => 'bad_format';
    is_deeply $s->request(GET => 'visits?record[contains]={"a":[2]}',
                          as => 'dave')
        ->json->{data}, [], 'in another organization nothing';
};

done_testing;
