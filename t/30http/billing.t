#!/usr/bin/perl

# Plans, what a tenant subscribes to, and what that lets it do: features, seats,
# grace, reading only, nothing; what the platform grants besides; and that all of
# it holds at the next request on every worker of the node.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my %tenant = map { $_->{slug} => $_->{id} }
    @{ $s->request(GET => 'platform/tenants', as => 'root')->json->{data} };
my $acme = $tenant{acme};

# What the demo's tenants are granted besides would change all of it.
$s->psql('delete from tenon.plan_override');

# What only its app and its provider would do, done in SQL.
sub as_tenant {
    my ($tenant, $sql) = @_;
    return $s->psql("begin; select set_config('tenon.tenant', '$tenant', true);
                     $sql; commit");
}

sub subscribe {
    my ($status, $since, %more) = @_;
    my $owing = defined $since ? "now() - interval '$since'" : 'null';
    as_tenant($acme, "
        delete from tenon.subscription where tenant_id = '$acme';
        insert into tenon.subscription (tenant_id, plan, provider, external_id,
                                        status, owing_since, trial_ends_at)
        values ('$acme', 'pro', 'stripe', 'sub_1', '$status', $owing,
                @{[ $more{trial} // 'null' ]})");
    fresh();
}

sub grant {
    my ($tenant, %json) = @_;
    return $s->request(PATCH => "platform/tenants/$tenant/billing",
                       as => 'root', json => \%json);
}

# A change by the API is what makes the node read anew at once.
my $n = 0;
sub fresh { status_is grant($acme, reason => 'look ' . ++$n), 200, 'read anew' }

sub read_as {
    my ($who, $what) = @_;
    return $s->request(GET => "billing/$what", as => $who);
}

sub entitlement { return read_as('alice', 'entitlements')->json->{entitlement} }

sub names { return [map { $_->{name} } @{ $_[0] }] }


subtest 'plans are data' => sub {
    my $r = read_as('alice', 'plans?sort=position');
    status_is $r, 200, 'the owner reads them';
    my @plans = @{ $r->json->{data} };
    is_deeply names(\@plans), [qw(free pro enterprise)], 'as declared';
    is_deeply [@{ $plans[1] }{qw(title amount currency period)}],
        ['Pro', 2900, 'USD', 'month'], 'with a price';
    my $told = sub {
        return [map { [@$_{qw(trial_days trial_at_signup purchasable)}] }
                @{ read_as('alice', 'plans?sort=position')->json->{data} }];
    };
    my ($yes, $no) = (JSON::PP::true, JSON::PP::false);
    is_deeply $told->(), [[undef, $no, $no], [undef, $no, $yes],
                          [undef, $no, $no]], 'and whether Stripe sells it';
    $s->psql("update tenon.plan set trial_days = 14, trial_at_signup = true
               where name = 'pro';
              update tenon.plan_price set retired = true where plan = 'pro'");
    is_deeply $told->()->[1], [14, $yes, $no],
        'not by a retired price; and when it is tried';
    $s->psql("update tenon.plan set trial_days = null, trial_at_signup = false
               where name = 'pro';
              update tenon.plan_price set retired = false where plan = 'pro'");

    # What a page for visitors is made with.
    my $key = $s->request(POST => 'api-keys', as => 'alice', proven => 1,
                          json => { name => 'pricing', scopes =>
                                        ['tenon.billing:read'] });
    status_is $key, 201, 'a key of the owner\'s';
    is_deeply names($s->request(GET => 'billing/plans?sort=position',
                                at => 'acme', token => $key->json->{secret})
                        ->json->{data} || []),
        names(\@plans), 'reads them, too';
    is_deeply $plans[0]{limits},
        [{ name => 'api_calls', soft => 800, hard => 1000, period => 'month',
           per_quantity => JSON::PP::false,
           overage_amount => undef, overage_units => undef }], 'and limits';
    is_deeply $plans[2]{limits}, [], 'or none';
    is $plans[2]{amount}, undef, 'by agreement';
};

subtest 'the owner alone sees to billing' => sub {
    for my $what (qw(plans subscription)) {
        problem_is read_as($_, $what), 403, 'forbidden', "$_: $what"
            for qw(bob carol);
    }
    problem_is $s->request(GET => "billing/$_"), 401, 'unauthenticated',
        "nobody: $_" for qw(plans subscription entitlements);
    for my $who (qw(bob carol)) {
        my $r = read_as($who, 'entitlements');
        status_is $r, 200, "$who knows what can be done";
        is_deeply $r->json, read_as('alice', 'entitlements')->json,
            'as the owner does';
        is_deeply [sort keys %{ $r->json }],
            [qw(changes_at entitlement features limits plan version)],
            'and not what it costs';
    }
};

subtest 'who has subscribed to nothing' => sub {
    my $r = read_as('dave', 'subscription');
    status_is $r, 200, 'has a plan all the same';
    my $body = $r->json;
    is_deeply [@$body{qw(id plan entitlement status)}],
        [undef, 'free', 'full', undef], 'the default one';
    my $e = read_as('dave', 'entitlements');
    is_deeply [@{ $e->json }{qw(plan entitlement changes_at features)}],
        ['free', 'full', undef, []], 'which entitles to this';
    is $e->json->{limits}[0]{hard}, 1000, 'and so many calls';
    status_is $s->request(GET => 'billing/entitlements', as => 'dave',
        headers => ['If-None-Match' => $e->header('ETag')]), 304,
        'it is told when nothing changed';
};

subtest 'a subscription' => sub {
    subscribe('active');
    my $body = read_as('alice', 'subscription')->json;
    is_deeply [@$body{qw(plan subscribed_plan entitlement status provider)}],
        [qw(pro pro full active stripe)], 'is what it says';
    like $body->{id}, qr/\A[0-9a-f-]{36}\z/, 'has an id';
    is read_as('alice', 'entitlements')->json->{limits}[0]{hard}, 50000,
        'and allows more';
    is read_as('dave', 'subscription')->json->{plan}, 'free',
        'others have what they had';
    my ($event) = @{ $s->request(
        GET => 'audit/events?action=subscription.created',
        as => 'alice')->json->{data} };
    is $event->{after}{plan}, 'pro', 'and stands in the log';
    subscribe('canceled');
    $body = read_as('alice', 'subscription')->json;
    is_deeply [@$body{qw(plan subscribed_plan entitlement status)}],
        [qw(free pro full canceled)], 'canceled, the default plan is back';
    my $etag = read_as('alice', 'subscription')->header('ETag');
    subscribe('incomplete');
    my $r = $s->request(GET => 'billing/subscription', as => 'alice',
                        headers => ['If-None-Match' => $etag]);
    status_is $r, 200, 'who tries to pay again is told so';
    is_deeply [@{ $r->json }{qw(plan status)}], [qw(free incomplete)],
        'though it is nothing yet';
    subscribe('on_hold', '1 day');
    $body = read_as('alice', 'subscription')->json;
    is_deeply [@$body{qw(plan status entitlement)}], [qw(pro on_hold grace)],
        'a word nobody knows is kept, and nobody is cut off for it';
};

subtest 'several subscriptions' => sub {
    subscribe('active');
    for (['sub_2', 'unpaid', '30 days', 'enterprise', 1],
         ['sub_3', 'past_due', '1 day', 'enterprise', 2],
         ['sub_4', 'incomplete', undef, 'enterprise', 3]) {
        my ($id, $status, $since, $plan, $day) = @$_;
        my $owing = $since ? "now() - interval '$since'" : 'null';
        as_tenant($acme, "
            insert into tenon.subscription (tenant_id, plan, provider,
                   external_id, status, owing_since, provider_created_at)
            values ('$acme', '$plan', 'stripe', '$id', '$status', $owing,
                    now() + interval '$day days')");
    }
    fresh();
    my $seen = sub {
        return join ' ', @{ read_as('alice', 'subscription')->json }
            {qw(plan entitlement subscribed_plan status)};
    };
    is $seen->(), 'pro full pro active', 'the one that is paid counts';
    as_tenant($acme, "update tenon.subscription set status = 'canceled'
                       where external_id = 'sub_1'");
    fresh();
    is $seen->(), 'enterprise grace enterprise past_due',
        'without it, the one that entitles to most';
    as_tenant($acme, "update tenon.subscription set status = 'canceled'
                       where external_id = 'sub_3'");
    fresh();
    is $seen->(), 'enterprise suspended enterprise unpaid', 'then what is left';
    status_is grant($acme, plan => 'enterprise'), 200, 'a plan is granted';
    is $seen->(), 'enterprise full enterprise unpaid',
        'and what is subscribed to is told all the same';
    status_is grant($acme, plan => undef), 200, 'no longer';
    subscribe('active');
};

subtest 'who owes' => sub {
    my $task = $s->request(GET => 'projects?limit=1', as => 'alice')
        ->json->{data}[0];
    my $path = "projects/$task->{id}";
    my $write = sub { $s->request(PATCH => $path, as => 'alice',
                                  json => { name => $task->{name} }) };

    my $flag = $s->request(POST => 'flags', as => 'alice',
                           json => { key => 'owed' })->json;

    subscribe('past_due', '6 days');
    is entitlement(), 'grace', 'has some days';
    status_is $write->(), 200, 'and does what it did';

    subscribe('past_due', '8 days');
    is entitlement(), 'read_only', 'then reads';
    status_is $s->request(GET => $path, as => 'carol'), 200, 'all there is';
    problem_is $write->(), 402, 'payment_required', 'and writes no more';
    problem_is $s->request(POST => 'tasks', as => 'carol', json => {}), 402,
        'payment_required', 'nobody does, and no body is looked at';
    problem_is $s->request(POST => 'invitations', as => 'alice', json => {}),
        402, 'payment_required', 'nor are people invited';
    status_is $s->request(PATCH => "flags/$flag->{id}", as => 'alice',
                          json => { enabled => JSON::PP::false }), 200,
        'but a flag is switched off';

    subscribe('past_due', '22 days');
    is entitlement(), 'suspended', 'then nothing';
    for my $worker ($s->workers) {
        my $c = $s->alone($worker, sub { $s->connect });
        $c->write($s->bytes(GET => $path, as => 'carol'));
        problem_is $c->response, 402, 'payment_required', 'on any worker';
    }
    problem_is $s->request(GET => 'members', as => 'alice'), 402,
        'payment_required', 'of the platform either';
    status_is $s->request(GET => 'me', as => 'carol'), 200,
        'but one\'s own account';
    status_is $s->login('alice'), 200, 'and signing in';
    status_is read_as('alice', 'subscription'), 200, 'and billing';
    problem_is read_as('carol', 'subscription'), 403, 'forbidden',
        'to whom it was open';
    status_is $s->request(GET => 'jobs', as => 'alice'), 200,
        'and reading what is done for it';
    status_is $s->request(POST => '/ofrep/v1/evaluate/flags', as => 'carol',
                          json => {}), 200,
        'and what flags are, which products ask for';
    problem_is $s->request(POST => 'flags', as => 'alice',
                           json => { key => 'unpaid' }), 402,
        'payment_required', 'but not making any';
    is read_as('carol', 'entitlements')->json->{entitlement}, 'suspended',
        'and why, for everybody';
    problem_is $s->request(DELETE => "members/$acme", as => 'alice'), 404,
        'not_found', 'and taking rights away';
    status_is $s->request(GET => 'projects', as => 'dave'), 200,
        'and others are served as ever';

    subscribe('active');
    is entitlement(), 'full', 'who pays is back at once';
    status_is $write->(), 200, 'and writes';
    my ($event) = @{ $s->request(
        GET => 'audit/events?outcome=refused&action=project.updated',
        as => 'alice')->json->{data} };
    is $event->{metadata}{code}, 'payment_required',
        'what was refused stands in the log';
};

subtest 'a trial' => sub {
    subscribe('trialing', undef, trial => "now() + interval '2 days'");
    my $body = read_as('alice', 'subscription')->json;
    is $body->{entitlement}, 'trial', 'is one';
    is $body->{entitlement_changes_at}, $body->{trial_ends_at},
        'and says how long';
    subscribe('trialing', undef, trial => "now() - interval '1 day'");
    is entitlement(), 'grace', 'behind its end money is due';
    subscribe('active');
};

subtest 'features' => sub {
    $s->psql("update tenon.resource set requires_feature = 'boards'
               where app = 'teamos' and name = 'comment';
              update tenon.plan set features = '{boards,exports}'
               where name = 'pro';
              update tenon.catalogue_version set version = version + 1");
    $s->adopted;
    fresh();
    status_is $s->request(GET => 'comments', as => 'alice'), 200,
        'who has it is served';
    my $r = $s->request(GET => 'comments', as => 'dave');
    problem_is $r, 402, 'feature_required', 'who has it not is not';
    is $r->json->{reason}, 'boards', 'and is told what it takes';
    like $r->json->{detail}, qr/"boards".*"free"/, 'in words as well';
    status_is $s->request(GET => 'tasks', as => 'dave'), 200,
        'what needs none is served';

    my $etag = $s->request(GET => "platform/tenants/$tenant{globex}/billing",
                           as => 'root')->header('ETag');
    is $etag, '"0"', 'the platform has granted nothing yet';
    $r = $s->request(PATCH => "platform/tenants/$tenant{globex}/billing",
        as => 'root', headers => ['If-Match' => $etag],
        json => { features_added => ['boards'], reason => 'a promise' });
    status_is $r, 200, 'and does';
    status_is $s->request(GET => 'comments', as => 'dave'), 200,
        'which holds at the next request';
    is_deeply read_as('dave', 'entitlements')->json->{features}, ['boards'],
        'and is told';
    status_is grant($tenant{globex}, features_added => [],
                    features_removed => []), 200, 'taken back';
    problem_is $s->request(GET => 'comments', as => 'dave'), 402,
        'feature_required', 'is gone';
    status_is grant($acme, features_removed => ['boards']), 200,
        'one of the plan is taken away';
    problem_is $s->request(GET => 'comments', as => 'carol'), 402,
        'feature_required', 'is gone';
    status_is grant($acme, features_removed => []), 200, 'given back';
    status_is $s->request(GET => 'comments', as => 'carol'), 200, 'is there';
};

subtest 'seats' => sub {
    my ($members) = map { scalar @$_ }
        $s->request(GET => 'members?limit=100', as => 'alice')->json->{data};
    my $seats = $members + 2;
    status_is grant($acme, limits => [{ name => 'seats', hard => $seats }]),
        200, "$seats seats";
    my $seat = sub {
        my ($l) = grep { $_->{name} eq 'seats' }
            @{ read_as('alice', 'entitlements')->json->{limits} };
        return $l;
    };
    is_deeply [@{ $seat->() }{qw(hard period used)}],
        [$seats, undef, $members], 'members take them';
    my $invite = sub {
        return $s->request(POST => 'invitations', as => 'alice', json => {
            email => "$_[0]\@seats.test", role => 'member' });
    };
    my $first = $invite->('a');
    status_is $first, 201, 'and who is invited';
    status_is $invite->('b'), 201, 'up to the last';
    is $seat->()->{used}, $seats, 'all are taken';
    my $r = $invite->('c');
    problem_is $r, 402, 'plan_limit', 'and no more';
    like $r->json->{detail}, qr/larger plan/, 'says what helps';
    status_is $s->request(DELETE => 'invitations/' . $first->json->{id},
                          as => 'alice'), 204, 'one is revoked';
    status_is $invite->('c'), 201, 'and another has its seat';

    # One seat is left, and many want it.
    status_is grant($acme, limits => [{ name => 'seats',
                                        hard => $seats + 1 }]), 200, 'one more';
    my @open = map {
        my $c = $s->connect;
        $c->write($s->bytes(POST => 'invitations', as => 'alice', json => {
            email => "race$_\@seats.test", role => 'member' }));
        $c;
    } 1 .. 8;
    my %status;
    $status{ $_->response->{status} }++ for @open;
    is_deeply \%status, { 201 => 1, 402 => 7 }, 'one gets it';
    is_deeply grant($acme)->json->{limits},
        [{ name => 'seats', soft => undef, hard => $seats + 1 }],
        'what was granted is told whole';
    status_is grant($acme, limits => []), 200, 'no limit any more';
    status_is $invite->('z'), 201, 'all the same again';
};

subtest 'what the platform grants' => sub {
    my $path = "platform/tenants/$acme/billing";
    status_is grant($acme, plan => 'enterprise'), 200, 'a plan';
    my $body = read_as('alice', 'subscription')->json;
    is_deeply [@$body{qw(plan subscribed_plan)}], [qw(enterprise pro)],
        'instead of what is paid for';
    is_deeply read_as('alice', 'entitlements')->json->{limits}, [],
        'with its limits';
    status_is grant($acme, ends_at => '2020-01-01T00:00:00Z'), 200,
        'until a time';
    is read_as('alice', 'subscription')->json->{plan}, 'pro',
        'which is over';
    status_is grant($acme, ends_at => undef, plan => undef), 200, 'none';

    problem_is grant($acme, plan => 'gold',
        limits => [{ name => 'x', soft => 2, hard => 1 }, { name => 'x' }],
        features_added => ['a'], features_removed => ['a']),
        422, 'invalid_fields', 'every fault is told',
        '/plan' => 'not_in_set', '/limits/0/soft' => 'out_of_range',
        '/limits/1/name' => 'duplicate', '/features_removed/0' => 'duplicate';
    problem_is grant($acme, limits => [{ hard => -1 }], plan => 7), 422,
        'invalid_fields', 'also by the fields',
        '/limits/0/name' => 'required', '/limits/0/hard' => 'out_of_range',
        '/plan' => 'wrong_type';
    my $now = $s->request(GET => $path, as => 'root');
    problem_is $s->request(PATCH => $path, as => 'root',
        headers => ['If-Match' => '"0"'], json => { reason => 'x' }), 412,
        'precondition_failed', 'not over a newer one';
    my $same = grant($acme);
    is $same->json->{version}, $now->json->{version},
        'an empty patch changes nothing';
    is_deeply $same->json, $now->json, 'and answers what there is';
    for my $who (qw(alice root)) {
        my $events = $s->request(GET => 'audit/events?limit=1&action=' .
            'plan_override.updated', as => $who)->json->{data};
        is scalar @$events, 1, "it stands in the log of ${who}'s";
    }
    problem_is $s->request(GET => $path, as => 'alice'), 403, 'forbidden',
        'an owner grants nothing';
    problem_is grant('0192f0c0-0000-7000-8000-00000000dead', plan => undef),
        404, 'not_found', 'nobody, nothing';
    my ($platform) = $s->psql('select tenon.platform()');
    problem_is grant($platform, plan => undef), 404, 'not_found',
        'the platform itself is billed by nobody';
    like $s->psql("select set_config('tenon.tenant', '$acme', false);
        set role tenon_api;
        select count(*) from tenon.plan_override_view"), qr/\n0\z/,
        'in the context of a tenant the view is empty';
    my $out = eval { $s->psql("select set_config('tenon.tenant', '$acme',
                                                 false);
        set role tenon_api;
        select tenon.set_plan_override('$acme', '{\"plan\": null}', null,
                                       tenon.uuid7(), '\\x00')") } // $@;
    like $out, qr/only the platform/, 'and the function refuses';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
