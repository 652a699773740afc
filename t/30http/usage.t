#!/usr/bin/perl

# Units: reported once each by their ids, recorded by the writes that use them,
# counted in the organization's months, refused behind a hard limit, shown with
# what the plan allows.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(tenond => 1);
# As if they had been there for long.
$s->psql("update tenon.tenant set created_at = now() - interval '60 days'");

# What the demo's tenants are granted besides would change all of it.
$s->psql('delete from tenon.plan_override');
my %tenant = map { $_->{slug} => $_->{id} }
    @{ $s->request(GET => 'platform/tenants', as => 'root')->json->{data} };

# The demo's, which lifts the plan's limits.
$s->psql("delete from tenon.plan_override where tenant_id = '$tenant{acme}'");

my $n = 0;
sub id { return sprintf '0198%04x-0000-7000-8000-%012x', $$ & 0xffff, ++$n }

sub report {
    my ($events, %o) = @_;
    return $s->request(POST => 'usage/events', as => 'alice',
                       json => { events => $events }, %o);
}

sub usage {
    my ($who) = @_;
    my $r = $s->request(GET => 'usage', as => $who // 'alice');
    status_is $r, 200, 'use is shown';
    return { map { $_->{name} => $_ } @{ $r->json->{meters} } };
}

sub used { return usage($_[1])->{ $_[0] }{used} }

sub at { return POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + $_[0])) }

sub grant {
    my ($slug, @limits) = @_;
    my $r = $s->request(PATCH => "platform/tenants/$tenant{$slug}/billing",
                        as => 'root', json => { limits => \@limits });
    status_is $r, 200, 'limits are granted';
    return;
}

# What all the events of a meter come to, and what the totals hold of it.
sub rows {
    my ($what, $meter) = @_;
    return $s->psql($what eq 'events'
        ? "select coalesce(sum(quantity), 0) from tenon.usage_event
            where tenant_id = '$tenant{acme}' and meter = '$meter'"
        : "select coalesce(sum(used), 0) from tenon.usage_total
            where tenant_id = '$tenant{acme}' and meter = '$meter'
              and period = '$what'");
}

sub logged {
    my ($action, $meter) = @_;
    my $of = $meter ? "and b.metadata ->> 'meter' = '$meter'" : '';
    return $s->psql("select count(*)
                       from tenon.event e
                       join tenon.event_body b on b.event_id = e.id
                      where e.action = '$action' and e.outcome = 'success'
                        and e.tenant_id = '$tenant{acme}' $of");
}


subtest 'meters are data' => sub {
    my $meters = usage();
    is_deeply [sort keys %$meters],
        [qw(active_users api_calls minutes_processed peak_connections
            storage_bytes tasks_created)], 'as declared, and calls';
    my $one = $meters->{minutes_processed};
    is_deeply [@$one{qw(title unit aggregate period used soft hard overage)}],
        ['Minutes Processed', 'minute', 'sum', 'month', 0, undef, undef, 0],
        'with what the plan allows';
    cmp_ok $one->{begins_at}, 'lt', at(0), 'in a month that has begun';
    cmp_ok $one->{ends_at}, 'gt', at(0), 'and has not ended';
    is $meters->{api_calls}{hard}, 50000, 'calls with their limit';
};

subtest 'who may' => sub {
    for my $who (qw(alice bob)) {
        status_is $s->request(GET => 'usage', as => $who), 200, "$who reads";
        status_is report([{ id => id(), meter => 'peak_connections',
                            quantity => 0 }], as => $who), 200,
            'and reports';
    }
    problem_is $s->request(GET => $_, as => 'carol'), 403, 'forbidden',
        "a member doesn't: $_" for qw(usage usage/events);
    problem_is report([{ id => id(), meter => 'minutes_processed' }],
                      as => 'carol'), 403, 'forbidden', 'nor reports';
    problem_is report([{ id => id(), meter => 'minutes_processed' }],
                      as => undef), 401, 'unauthenticated', 'nobody does';
};

subtest 'an event is recorded once' => sub {
    my $event = { id => id(), meter => 'minutes_processed', quantity => 3,
                  at => at(-60) };
    my $first = report([$event]);
    status_is $first, 200, 'it is reported';
    my $told = $first->json->{events};
    is_deeply [@{ $told->[0] }{qw(id meter quantity value)}],
        [@$event{qw(id meter quantity)}, undef], 'and told';
    is used('minutes_processed'), 3, 'it counts at once';
    my $again = report([$event]);
    status_is $again, 200, 'it comes again';
    is $again->{body}, $first->{body}, 'and is answered as before';
    is used('minutes_processed'), 3, 'and counts no more';
    is logged('usage.recorded'), 3, 'nor is it logged again';

    problem_is report([{ %$event, quantity => 4 }]), 422, 'invalid_fields',
        'what says something else under its id is refused',
        '/events/0/id' => 'duplicate';
    problem_is report([{ %$event, at => at(-61) }]), 422, 'invalid_fields',
        'of another time, too', '/events/0/id' => 'duplicate';
    delete $event->{at};
    status_is report([$event]), 200, 'of no time is the one of then';

    my $other = $s->request(POST => 'usage/events', as => 'dave',
                            json => { events => [$event] });
    status_is $other, 200, 'another organization has ids of its own';
    is used('minutes_processed', 'dave'), 3, 'and use of its own';
    is used('minutes_processed'), 3, 'which is not ours';
};

subtest 'all or nothing, and every fault at once' => sub {
    my $before = used('minutes_processed');
    my $good = { id => id(), meter => 'minutes_processed' };
    my $r = report([
        $good,
        { id => id(), meter => 'nothing' },
        { id => id(), meter => 'minutes_processed', value => 'x' },
        { id => id(), meter => 'active_users' },
        { id => id(), meter => 'active_users', value => 'a', quantity => 1 },
        { id => id(), meter => 'storage_bytes' },
        { id => id(), meter => 'minutes_processed', at => at(-35 * 86400 - 60) },
        { id => id(), meter => 'minutes_processed', at => at(400) },
        { %$good, quantity => 2 },
    ]);
    problem_is $r, 422, 'invalid_fields', 'nine of which one is right',
        '/events/1/meter' => 'not_in_set', '/events/2/value' => 'refused',
        '/events/3/value' => 'required', '/events/4/quantity' => 'refused',
        '/events/5/quantity' => 'required', '/events/6/at' => 'out_of_range',
        '/events/7/at' => 'out_of_range', '/events/8/id' => 'duplicate';
    is used('minutes_processed'), $before, 'record nothing';

    problem_is report([{ id => 'x', meter => 'M', quantity => -1, at => 'now',
                         more => 1 }]), 422, 'invalid_fields', 'forms',
        '/events/0/id' => 'bad_format', '/events/0/meter' => 'bad_format',
        '/events/0/quantity' => 'out_of_range',
        '/events/0/at' => 'bad_format', '/events/0/more' => 'unknown_field';
    problem_is report([{ id => id(), meter => 'minutes_processed',
                         quantity => 1.5 }]), 422, 'invalid_fields',
        'no fractions', '/events/0/quantity' => 'wrong_type';
    problem_is report([{}]), 422, 'invalid_fields', 'nothing',
        '/events/0/id' => 'required', '/events/0/meter' => 'required';
    problem_is report([]), 422, 'invalid_fields', 'none',
        '/events' => 'too_short';
    problem_is report([map { { id => id(), meter => 'minutes_processed' } }
                       1 .. 101]), 422, 'invalid_fields', 'too many',
        '/events' => 'too_long';
    status_is report([$good, $good]), 200, 'one twice is one';
    is used('minutes_processed'), $before + 1, 'and counts once';
};

subtest 'what a meter makes of them' => sub {
    status_is report([
        (map { { id => id(), meter => 'active_users', value => $_ } }
         qw(a b a c)),
        (map { { id => id(), meter => 'peak_connections', quantity => $_ } }
         5, 9, 7),
        { id => id(), meter => 'storage_bytes', quantity => 500,
          at => at(-10) },
        { id => id(), meter => 'storage_bytes', quantity => 900,
          at => at(-20) },
    ]), 200, 'of all kinds';
    my $meters = usage();
    is $meters->{active_users}{used}, 3, 'values that differ';
    is $meters->{peak_connections}{used}, 9, 'the largest';
    is $meters->{storage_bytes}{used}, 500, 'the last, by its time';

    # The same once they are counted, by whoever comes first.
    $s->psql('select tenon.count_usage(e.tenant_id, e.meter, e.begins, e.ends)
                from (select distinct tenant_id, meter, begins, ends
                        from tenon.usage_event) e
               cross join lateral set_config(\'tenon.tenant\',
                                             e.tenant_id::text, true)');
    is_deeply { map { $_ => usage()->{$_}{used} } keys %$meters },
        { map { $_ => $_ eq 'api_calls' ? usage()->{$_}{used}
                                        : $meters->{$_}{used} }
          keys %$meters }, 'and nothing is another once it is rolled up';
    is $s->psql("select count(*) from tenon.usage_event where not counted"),
        0, 'which all is';
    status_is report([
        { id => id(), meter => 'active_users', value => 'c' },
        { id => id(), meter => 'active_users', value => 'd' },
        { id => id(), meter => 'storage_bytes', quantity => 100 },
    ]), 200, 'then more';
    is used('active_users'), 4, 'who was there counts no more';
    is used('storage_bytes'), 100, 'what is less now is less';
    is rows(events => 'minutes_processed'), rows(month => 'minutes_processed'),
        'the sum of what was accepted is the total';
};

subtest 'a late event' => sub {
    my $before = used('minutes_processed');
    my $late = { id => id(), meter => 'minutes_processed', quantity => 70,
                 at => at(-34 * 86400) };
    status_is report([$late]), 200, 'is taken';
    is used('minutes_processed'), $before, 'and is not of this month';
    is $s->psql("select coalesce(min(e.begins), now())
                        <= now() - interval '34 days'
                   from tenon.usage_event e where e.id = '$late->{id}'"), 't',
        'but of its own';
};

subtest 'what a write counts as' => sub {
    my $before = used('tasks_created');
    my $project = $s->request(POST => 'projects', as => 'alice',
                              json => { name => 'Units' })->json->{id};
    my $make = sub {
        return $s->request(POST => 'tasks', as => 'alice',
                           json => { project_id => $project, @_ });
    };
    my $r = $make->(title => 'one');
    status_is $r, 201, 'a task is made';
    is used('tasks_created'), $before + 1, 'and counted';
    status_is $s->request(PATCH => "tasks/" . $r->json->{id}, as => 'alice',
                          json => { title => 'two' }), 200, 'one is changed';
    status_is $s->request(DELETE => "tasks/" . $r->json->{id}, as => 'alice'),
        204, 'and deleted';
    is used('tasks_created'), $before + 1, 'which is not what is counted';
    my @key = (headers => ['Idempotency-Key' => 'once']);
    for (1, 2) {
        status_is $s->request(POST => 'tasks', as => 'alice', @key,
                              json => { project_id => $project,
                                        title => 'keyed' }), 201,
            'one under a key';
    }
    is used('tasks_created'), $before + 2, 'counts once';
    status_is $make->(title => ''), 422, 'one that is refused';
    status_is $s->request(POST => 'tasks', as => 'alice',
                          json => { project_id => id(), title => 'x' }), 422,
        'in a project that is none';
    is used('tasks_created'), $before + 2, 'does not';

    my $list = $s->request(GET => 'usage/events?meter=tasks_created&limit=1',
                           as => 'bob');
    status_is $list, 200, 'they are listed';
    my ($event) = @{ $list->json->{data} };
    is_deeply [@$event{qw(meter quantity resource)}],
        ['tasks_created', 1, 'teamos.task'], 'with what made them';

    grant(acme => { name => 'tasks_created', hard => $before + 4 });
    status_is $make->(title => 'three'), 201, 'up to the limit';
    status_is $make->(title => 'four'), 201, 'they are made';
    my $refused = $make->(title => 'five');
    my $p = problem_is $refused, 402, 'plan_limit', 'and no more';
    is $refused->json->{reason}, 'tasks_created', 'it says of what';
    is $s->psql("select count(*) from teamos.task where title = 'five'"), 0,
        'nothing is written';
    my $task = $s->request(GET => "projects/$project/tasks", as => 'alice')
        ->json->{data}[0]{id};
    status_is $s->request(PATCH => "tasks/$task", as => 'alice',
                          json => { title => 'still' }), 200,
        'what does not count goes on';
    is usage()->{tasks_created}{hard}, $before + 4, 'the limit is shown';
    grant(acme => { name => 'tasks_created', hard => $before + 5 });
    status_is $make->(title => 'five'), 201, 'one more, when more are allowed';
    status_is $make->(title => 'six'), 402, 'and no more';
    grant('acme');
    status_is $make->(title => 'seven'), 201, 'without a limit it goes on';
};

subtest 'a hard limit on what is reported' => sub {
    my $used = used('minutes_processed');
    my $event = sub {
        return { id => id(), meter => 'minutes_processed', quantity => $_[0] };
    };
    grant(acme => { name => 'minutes_processed', soft => $used + 5,
                    hard => $used + 10 },
                  { name => 'storage_bytes', hard => 1000 });
    problem_is report([$event->(4), $event->(7)]), 402, 'plan_limit',
        'all of them are too much';
    is used('minutes_processed'), $used, 'and none is recorded';
    my $most = $event->(10);
    status_is report([$most]), 200, 'up to the limit';
    status_is report([$most]), 200, 'and once more the same';
    problem_is report([$event->(1)]), 402, 'plan_limit', 'then nothing';
    status_is report([$event->(0)]), 200, 'but what adds nothing';
    my $shown = usage()->{minutes_processed};
    is_deeply [@$shown{qw(used soft hard overage)}],
        [$used + 10, $used + 5, $used + 10, 5], 'it is shown';
    is logged('usage.threshold_reached', 'minutes_processed'), 3,
        'passing 80 and 100 % of soft, and hard, is told once each';

    my $bytes = sub {
        return report([{ id => id(), meter => 'storage_bytes',
                         quantity => $_[0] }]);
    };
    problem_is $bytes->(1001), 402, 'plan_limit', 'a measure that is too much';
    status_is $bytes->(1000), 200, 'one that is not';
    grant(acme => { name => 'storage_bytes', hard => 10 });
    status_is $bytes->(900), 200, 'less than before is always taken';
    problem_is $bytes->(901), 402, 'plan_limit', 'more is not';
    grant('acme');
};

subtest 'what nobody can have used' => sub {
    my $r = $s->request(POST => 'usage/events', as => 'alice', json => {
        events => [{ id => id(), meter => 'minutes_processed',
                     at => at(-30 * 86400) }] });
    status_is $r, 200, 'long ago is taken';
    $s->psql("update tenon.tenant set created_at = now() - interval '20 days'
               where slug = 'acme'");
    problem_is report([{ id => id(), meter => 'minutes_processed',
                         at => at(-30 * 86400) }]), 422, 'invalid_fields',
        'before the organization was there is not',
        '/events/0/at' => 'out_of_range';
};

sub limits {
    my $r = $s->request(GET => 'billing/entitlements', as => 'alice');
    status_is $r, 200, 'limits are told';
    return { map { $_->{name} => $_->{used} } @{ $r->json->{limits} } };
}

subtest 'it is a call like any other' => sub {
    grant(acme => { name => 'minutes_processed', soft => 1 },
                  { name => 'api_calls', hard => 1_000_000 });
    my $event = { id => id(), meter => 'minutes_processed' };
    for my $r (report([$event]),
               $s->request(GET => 'usage', as => 'alice'),
               $s->request(GET => 'usage/events', as => 'alice')) {
        status_is $r, 200, 'it is served';
        like $r->header('RateLimit'), qr/"api_calls";r=9/, 'and counted';
    }
    my $calls;
    ok $s->wait_until(10, sub {
        $calls = limits()->{api_calls};
        return $calls >= 3;
    }), 'limits tell how many calls';
    is limits()->{minutes_processed}, used('minutes_processed'),
        'and how many units';

    grant(acme => { name => 'api_calls', hard => 0 });
    problem_is report([{ id => id(), meter => 'minutes_processed' }]), 402,
        'plan_limit', 'who has no calls left reports none';
    problem_is $s->request(GET => $_, as => 'alice'), 402, 'plan_limit',
        "nor reads $_" for qw(usage usage/events);
    limits();
    status_is $s->request(GET => 'billing/subscription', as => 'alice'), 200,
        'but may see to billing';
    grant('acme');
};

subtest 'who pays for nothing' => sub {
    $s->psql("
        insert into tenon.subscription (tenant_id, plan, provider, external_id,
                                        status, owing_since)
        values ('$tenant{globex}', 'pro', 'stripe', 'sub_late', 'unpaid',
                now() - interval '300 days');
        update tenon.plan set by_default = false;
        insert into tenon.usage_event (tenant_id, meter, begins, ends)
        select '$tenant{globex}', 'tasks_created', now() - interval '1 day',
               now() + interval '20 days'
          from generate_series(1, 9900)");
    grant('globex');
    is $s->request(GET => 'billing/entitlements', as => 'dave')
        ->json->{entitlement}, 'suspended', 'owes too much';
    my @left = map { { id => id(), meter => 'minutes_processed' } } 1 .. 100
        - $s->psql("select count(*) - 9900 from tenon.usage_event
                     where tenant_id = '$tenant{globex}'");
    status_is report(\@left, as => 'dave'), 200, 'reports so much a day';
    problem_is report([{ id => id(), meter => 'minutes_processed' }],
                      as => 'dave'), 402, 'payment_required', 'and no more';
    status_is report(\@left, as => 'dave'), 200, 'what was taken is answered';
};

done_testing;
