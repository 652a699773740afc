#!/usr/bin/perl

# Events of Stripe's, from where they come in to what a tenant may: a subscription
# is what Stripe says it is, whichever events came, how often and in which order;
# at once; and what can't be kept says why. Then many of them, doubled, shuffled,
# over many connections, with tenond killed and PostgreSQL restarted meanwhile:
# TENON_LONG=1 makes that 10,000 five times over sixteen connections.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use List::Util qw(shuffle);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();
use TenonStripe ();

my $long = $ENV{TENON_LONG};
my $seed = $ENV{TENON_SEED} // time ^ $$;
srand $seed;
diag "TENON_SEED=$seed";

my $stripe = TenonStripe->new(prices => ['teamos_pro_monthly', 'ent']);
my $s = TenonServer->new(stripe => 1, tenond => 1, asks => $stripe);
my ($acme, $globex) = map { tenant($_) } qw(acme globex);
my $customer = $stripe->customer(name => 'Acme')->{id};

sub tenant {
    return $s->psql("select tenant_id from tenon.tenant where slug = '$_[0]'");
}

# As a job of its would have.
sub is_customer {
    my ($tenant, $id) = @_;
    return $s->psql("begin; select set_config('tenon.tenant', '$tenant', true);
                     insert into tenon.billing_customer
                     values ('$tenant', 'stripe', '$id'); commit");
}

# Sent, and worked on; how that ended.
sub happens {
    my ($type, $object, %o) = @_;
    my $body = $stripe->event($type, $object, %o);
    my ($id) = $body =~ /"id":"(evt_\w+)"/;
    $s->stripe($body)->{status} == 204 or die "not taken\n";
    return $id if $o{unawaited};
    return outcome($id);
}

sub outcome {
    my ($id) = @_;
    my $got;
    $s->wait_until(20, sub {
        $got = $s->psql("select e.status,
                                case when j.status = 'queued'
                                      and j.run_at <= now() then 'due'
                                     else j.status end, j.last_error
                           from tenon.inbound_event e
                           join tenon.job j on j.input ->> 'event' = e.id::text
                          where e.external_id = '$id'
                          order by j.id desc limit 1");
        $got !~ /^received\|(?:due|running)/;
    });
    return $got;
}

sub kept {
    my ($sub) = @_;
    return $s->psql("select plan, status, quantity, version, owing_since is null
                       from tenon.subscription where external_id = '$sub'");
}

sub as_alice {
    my ($what) = @_;
    return $s->request(GET => "billing/$what", as => 'alice')->json;
}

# What waits for another attempt, or for a lease to run out, waits no longer.
sub hurry {
    $s->psql("update tenon.job set run_at = now()
               where status = 'queued' and attempts > 0;
              update tenon.job set lease_until = now()
               where status = 'running'");
    return;
}

$s->psql("delete from tenon.subscription where tenant_id = '$acme'");
is_customer($acme, $customer);
my $sub = $stripe->subscribe(customer => $customer,
                             price => 'teamos_pro_monthly', quantity => 3);

subtest 'a subscription' => sub {
    is as_alice('subscription')->{plan}, 'free', 'who has none';
    is happens('customer.subscription.created', $sub), 'processed|done|',
        'hears of one';
    is kept($sub->{id}), 'pro|active|3|1|t', 'which is kept';
    # A node that has looked at the plan lately finds it anew within seconds.
    ok $s->wait_until(6, sub { as_alice('subscription')->{plan} eq 'pro' }),
        'and counts';
    my $told = as_alice('subscription');
    is_deeply [@$told{qw(plan entitlement status subscribed_plan quantity)}],
        ['pro', 'full', 'active', 'pro', 3], 'with all of it';
    is $s->psql("select price_id, livemode, customer_id, ran,
                        extract(epoch from current_period_end)::bigint
                          - extract(epoch from current_period_start)::bigint
                   from tenon.subscription
                  where external_id = '$sub->{id}'"),
        "$sub->{items}{data}[0]{price}{id}|f|$customer|t|2592000",
        'as Stripe says';
    is $s->psql("select string_agg(a.action || ' '
                            || coalesce(a.actor ->> 'type', '-') || ' '
                            || (a.metadata ->> 'cause'), ', ')
                   from tenon.audit_event a
                  where a.tenant_id = '$acme'
                    and a.resource = 'tenon.subscription'
                    and a.at > now() - interval '1 minute'
                    and a.action <> 'subscription.deleted'"),
        'subscription.created system stripe.customer.subscription.created',
        'its log says so';
};

subtest 'whatever is said in whatever order' => sub {
    $stripe->change($sub->{id}, status => 'past_due');
    is happens('customer.subscription.updated', $sub), 'processed|done|',
        'an event that says what was';
    is kept($sub->{id}), 'pro|past_due|3|2|f', 'tells that there is news';
    ok $s->wait_until(6, sub {
        as_alice('subscription')->{entitlement} eq 'grace' }), 'who owes';
    $stripe->change($sub->{id}, status => 'active');
    is happens('invoice.paid', { id => 'in_1', object => 'invoice',
                                 customer => $customer,
                                 subscription => $sub->{id} }),
        'processed|done|', 'and pays';
    is kept($sub->{id}), 'pro|active|3|3|t', 'owes nothing';
    ok $s->wait_until(6, sub {
        as_alice('subscription')->{entitlement} eq 'full' }), 'may do all';

    $stripe->change($sub->{id}, cancel_at_period_end => JSON::PP::true);
    is happens('invoice.updated', {
        id => 'in_2', object => 'invoice', customer => { id => $customer },
        parent => { subscription_details => { subscription => {
            id => $sub->{id} } } } }), 'processed|done|',
        'also where newer objects have it';
    is kept($sub->{id}), 'pro|active|3|4|t', 'something else is new';
    $stripe->requests;
    is happens('customer.updated', $stripe->object($customer)),
        'processed|done|', 'what is about no subscription';
    is happens('payment_method.attached', { id => 'pm_1' }),
        'processed|done|', 'or nobody knows';
    is_deeply [$stripe->requests], [], 'is nothing to ask for';
};

subtest 'together' => sub {
    $stripe->requests;
    $stripe->fail('GET /v1/subscriptions/', slow => 400);
    my @id = map { happens('customer.subscription.updated', $sub,
                           unawaited => 1) } 1 .. 10;
    is_deeply [map { outcome($_) } @id], [('processed|done|') x 10],
        'ten at once';
    my @asked = $stripe->requests;
    cmp_ok scalar @asked, '<=', 10, 'are not asked for more often';
    is kept($sub->{id}), 'pro|active|3|4|t', 'and nothing is new';
};

subtest 'an older answer that comes later' => sub {
    $stripe->fail('GET /v1/subscriptions/', slow => 1000);
    $stripe->requests;
    my $first = happens('customer.subscription.updated', $sub, unawaited => 1);
    ok $s->wait_until(10, sub { scalar(() = $stripe->requests) }),
        'one is asked for';
    $stripe->change($sub->{id}, status => 'unpaid');
    is happens('customer.subscription.updated', $sub), 'processed|done|',
        'another overtakes it';
    is kept($sub->{id}), 'pro|unpaid|3|5|f', 'and is kept';
    is outcome($first), 'processed|done|', 'the first comes to its end';
    is kept($sub->{id}), 'pro|unpaid|3|5|f', 'and changes nothing';
    $stripe->change($sub->{id}, status => 'active');
    is happens('customer.subscription.updated', $sub), 'processed|done|',
        'paid';
};

subtest 'whose it is' => sub {
    my $other = $stripe->customer(name => 'Nobody')->{id};
    my $theirs = $stripe->subscribe(customer => $other,
        price => 'teamos_pro_monthly',
        metadata => { tenant_id => $globex });
    is happens('checkout.session.completed', {
        id => 'cs_1', object => 'checkout.session', customer => $other,
        subscription => $theirs->{id}, client_reference_id => $globex,
        metadata => { tenant_id => $globex } }), 'processed|done|',
        'who isn\'t known';
    is kept($theirs->{id}), '', 'is nobody, whatever it says';
    is $s->psql("select a.after is null, a.metadata ->> 'type'
                   from tenon.audit_event a
                  where a.action = 'inbound.ignored'"),
        't|checkout.session.completed', 'and the platform\'s log says so';

    is_customer($globex, $other);
    is happens('customer.subscription.updated', $theirs), 'processed|done|',
        'once it is known';
    is $s->psql("select tenant_id from tenon.subscription
                  where external_id = '$theirs->{id}'"), $globex,
        'it is theirs';
    $stripe->change($theirs->{id}, customer => $customer);
    like happens('customer.subscription.updated', $theirs),
        qr/^received\|queued\|database error 23505, constraint billing_ref/,
        'and never another\'s';
    $stripe->change($theirs->{id}, customer => $other);
    hurry();
};

subtest 'what can\'t be kept' => sub {
    my $strange = $stripe->subscribe(customer => $customer,
        price => $stripe->price('strange')->{id});
    my $id = happens('customer.subscription.created', $strange,
                     unawaited => 1);
    like outcome($id), qr/^received\|queued\|no plan goes by price price_\w+ /,
        'a price that isn\'t declared';
    is kept($strange->{id}), '', 'is no plan\'s';
    $s->psql("insert into tenon.plan_price
              values ('stripe', 'strange', 'enterprise')");
    hurry();
    is outcome($id), 'processed|done|', 'once it is';
    is kept($strange->{id}), 'enterprise|active|1|1|t', 'it is kept';

    $stripe->fail('GET /v1/subscriptions/', status => 500, times => 1000);
    $id = happens('customer.subscription.updated', $sub, unawaited => 1);
    like outcome($id), qr/^received\|queued\|Stripe answered 500/,
        'where Stripe is down';
    $s->psql("update tenon.job set run_at = now(), attempts = 19
               where status = 'queued' and attempts > 0");
    like outcome($id), qr/^failed\|dead\|Stripe answered 500/,
        'it is tried again, and not for ever';
    $stripe->heal;
    my ($job) = grep { $_->{status} eq 'dead' } @{ $s->request(
        GET => 'jobs?status=dead', as => 'root')->json->{data} };
    is $job->{kind}, 'stripe.event', 'the platform sees it';
    status_is $s->request(POST => "jobs/$job->{id}/retry", as => 'root'), 200,
        'and says once more';
    is outcome($id), 'processed|done|', 'so it is done';
    status_is $s->request(POST => "jobs/$job->{id}/retry", as => 'root'), 409,
        'not again';

    $stripe->fail('GET /v1/subscriptions/', body => '{"error":{}}',
                  status => 400);
    is happens('invoice.paid', { id => 'in_9', object => 'invoice',
                                 customer => $customer,
                                 subscription => $sub->{id} },
               id => 'evt_again') =~ s/,.*//r,
        'failed|dead|Stripe answered 400', 'what Stripe refuses is given up';
    is happens('invoice.paid', { id => 'in_9', object => 'invoice' },
               id => 'evt_again'), 'processed|done|',
        'until it is sent again';
    is $s->psql("select count(*), count(distinct j.status)
                   from tenon.job j
                   join tenon.inbound_event e
                     on e.id::text = j.input ->> 'event'
                  where e.external_id = 'evt_again'"), '2|2',
        'by a job of its own';
    is happens('invoice.paid', {}, id => 'evt_again'), 'processed|done|',
        'then it is a repetition';
    is $s->psql("select count(*) from tenon.audit_event
                  where action = 'inbound.received'
                    and after ->> 'external_id' = 'evt_again'"), 2,
        'and the log has what was taken';

    is happens('customer.subscription.updated', {
        %$sub, id => 'sub_nowhere' }) =~ s/:.*//r,
        'received|queued|Stripe knows no such subscription',
        'what Stripe doesn\'t know';
    is kept('sub_nowhere'), '', 'is nothing';
    $s->psql("delete from tenon.job where status = 'queued'");
};

subtest 'an end' => sub {
    my $over = $stripe->change($sub->{id}, status => 'canceled',
                               canceled_at => int time, ended_at => int time);
    $stripe->delete($sub->{id});
    is happens('customer.subscription.deleted', $over), 'processed|done|',
        'that Stripe has forgotten already';
    like kept($sub->{id}), qr/^pro\|canceled\|3\|\d+\|t$/, 'is one';
    $stripe->put({ %$over, status => 'active', canceled_at => undef });
    $stripe->requests;
    is happens('customer.subscription.updated', $over), 'processed|done|',
        'whatever is said then';
    like kept($sub->{id}), qr/^pro\|canceled\|/, 'it stays one';
    is_deeply [$stripe->requests], [], 'and isn\'t asked for';
};

subtest 'at once' => sub {
    my $id = happens('customer.updated', $stripe->object($customer));
    for (1 .. 30) {
        happens('customer.updated', $stripe->object($customer));
    }
    my ($most, $median) = split /\|/, $s->psql("
        select round(max(ms)), round(percentile_disc(0.5) within group
                                     (order by ms))
          from (select extract(epoch from finished_at - created_at) * 1000
                           as ms
                  from tenon.job
                 where kind = 'stripe.event' and attempts = 1
                   and status = 'done'
                 order by created_at desc limit 30) j");
    diag "from commit to done: median $median ms, at most $most ms";
    cmp_ok $median, '<=', 1000, 'nobody waits for long';
};


# ---- many ----

# What becomes of a subscription in its life, in an order that Stripe has; each
# with the object as it is then.
my %next = (
    incomplete => [qw(active active active incomplete_expired)],
    trialing   => [qw(active active past_due canceled paused)],
    active     => [qw(active active active past_due past_due canceled)],
    past_due   => [qw(active active unpaid unpaid canceled)],
    unpaid     => [qw(active active active canceled)],
    paused     => [qw(active active canceled)],
);

sub pick { return $_[rand @_] }

sub life {
    my ($n, $begin, $id, $whose, $prices) = @_;
    my %o = (%$begin, id => $id, customer => $whose,
             status => pick(qw(incomplete trialing active)));
    $o{trial_end} = $o{created} + 14 * 86400 if $o{status} eq 'trialing';
    my @life;
    for my $step (1 .. $n) {
        if ($step > 1 && (my $to = $next{ $o{status} })) {
            $o{status} = pick(@$to);
            $o{current_period_start} += 3600;
            $o{current_period_end} += 3600;
            my $quantity = 1 + int rand 9;
            my ($price) = pick(@$prices);
            $o{items} = { object => 'list', data => [
                { id => "si_$id", object => 'subscription_item',
                  price => $price, quantity => $quantity }] };
            $o{cancel_at_period_end} =
                rand() < 0.2 ? JSON::PP::true : JSON::PP::false;
            @o{qw(canceled_at ended_at)} = ($o{current_period_start}) x 2
                if $o{status} eq 'canceled';
        }
        my $invoice = { id => "in_${id}_$step", object => 'invoice',
                        customer => $whose, subscription => $id };
        my ($type, $object) =
              $step == 1 ? ('customer.subscription.created', { %o })
            : $o{status} eq 'canceled'
                ? ('customer.subscription.deleted', { %o })
            : @{ pick(['customer.subscription.updated', { %o }],
                      ['invoice.paid', $invoice],
                      ['invoice.payment_failed', $invoice],
                      ['checkout.session.completed',
                       { id => "cs_${id}_$step", object => 'checkout.session',
                         customer => $whose, subscription => $id }]) };
        push @life, [$type, $object, { %o }];
    }
    return \@life;
}

# Over so many connections, each of another process's; how many were taken.
sub storm {
    my ($connections, @bodies) = @_;
    my @pids;
    for my $c (0 .. $connections - 1) {
        my @mine = @bodies[grep { $_ % $connections == $c } 0 .. $#bodies];
        my $pid = fork // die "fork: $!\n";
        if ($pid) {
            push @pids, $pid;
            next;
        }
        my $on;
        my $bad = 0;
        for my $body (@mine) {
            my $taken;
            for my $try (1 .. 100) {
                $taken = eval {
                    $on //= $s->connect;
                    my $r = $s->stripe($body, on => $on);
                    $r && $r->{status} == 204;
                };
                last if $taken;
                undef $on;
                sleep 0.1;
            }
            $bad++ if !$taken;
        }
        POSIX::_exit($bad ? 1 : 0);
    }
    return @pids;
}

sub wait_for_all {
    my ($seconds) = @_;
    return $s->wait_until($seconds, sub {
        sleep 0.5;
        !$s->psql("select count(*) from tenon.job
                    where kind = 'stripe.event'
                      and status in ('queued', 'running')");
    });
}

sub tenond_pid {
    open my $in, '<', $s->var . '/tenond/tenond.pid' or return;
    return 0 + <$in>;
}

my $compared = join ', ', map { "s.$_" } qw(
                  plan status quantity price_id trial_ends_at
                  current_period_start current_period_end
                  cancel_at_period_end canceled_at ended_at livemode
                  provider_created_at);

# Each subscription with what is to be compared, by its number.
sub state_of {
    my ($universe) = @_;
    return { map { /\A(\d+)\|(.*)/s ? ($1, $2) : () } split /\n/, $s->psql("
        select substr(s.external_id, 12)::int,
               t.slug = '$universe-' || substr(s.customer_id, 11),
               s.owing_since is null, $compared
          from tenon.subscription s
          join tenon.tenant t using (tenant_id)
         where s.external_id like 'sub\\_many\\_$universe\\_%' order by 1") };
}

subtest 'many' => sub {
    my ($subs, $steps, $times, $connections, $tenants) =
        $long ? (1000, 10, 5, 16, 100) : (40, 6, 3, 8, 8);
    my @prices = map { $stripe->object($_->{id}) // $_ }
        map { $stripe->price($_) } qw(many_pro many_ent);
    $s->psql("insert into tenon.plan_price
              values ('stripe', 'many_pro', 'pro'),
                     ('stripe', 'many_ent', 'enterprise')");
    my $begin = $stripe->subscribe(customer => $customer, price => 'many_pro',
                                   created => 1_790_000_000);

    # Two times the same: a is in order, b isn't.
    for my $u (qw(a b)) {
        $s->psql("set session_replication_role = replica;
                  insert into tenon.tenant_slug (slug, tenant_id, realm_id)
                  select '$u-' || n, md5('$u' || n)::uuid,
                         (select realm_id from tenon.tenant
                           where slug = 'acme')
                    from generate_series(0, $tenants - 1) n;
                  insert into tenon.tenant (tenant_id, realm_id, slug, name)
                  select tenant_id, realm_id, slug, slug
                    from tenon.tenant_slug where slug ~ '^$u-';
                  insert into tenon.billing_customer
                  select tenant_id, 'stripe', 'cus_many_' || replace(slug, '-', '')
                    from tenon.tenant where slug ~ '^$u-';
                  insert into tenon.billing_ref
                  select 'stripe', 'customer', external_id, tenant_id
                    from tenon.billing_customer
                   where external_id like 'cus\\_many\\_$u%'");
    }
    my (%life, %universe);
    for my $n (0 .. $subs - 1) {
        my $random = int rand 2 ** 31;
        for my $u (qw(a b)) {
            srand $random;
            my $life = life($steps, $begin, "sub_many_${u}_$n",
                            "cus_many_$u" . $n % $tenants, \@prices);
            push @{ $life{$u} }, $life;
        }
        srand $random + 1;
    }
    for my $u (qw(a b)) {
        for my $step (0 .. $steps - 1) {
            for my $n (0 .. $subs - 1) {
                my ($type, $object, $is) = @{ $life{$u}[$n][$step] };
                push @{ $universe{$u} }, [$step, $is, $stripe->event(
                    $type, $object, id => "evt_${u}_${n}_$step")];
            }
        }
    }

    # In order: one by one, each when it has happened.
    my $t = time;
    for my $step (0 .. $steps - 1) {
        my @now = grep { $_->[0] == $step } @{ $universe{a} };
        $stripe->put(map { $_->[1] } @now);
        my ($pid) = storm(1, map { $_->[2] } @now);
        waitpid $pid, 0;
        is $?, 0, 'all are taken';
        ok wait_for_all(600), "step $step is worked on";
    }
    diag sprintf '%d in order: %.1f s', scalar @{ $universe{a} }, time - $t;

    # The first half has happened, and is told of, and told again; then the
    # rest, while that is worked on.
    $t = time;
    my $half = int($steps / 2);
    my @first = grep { $_->[0] < $half } @{ $universe{b} };
    my @second = grep { $_->[0] >= $half } @{ $universe{b} };
    $stripe->put(map { $_->[1] } grep { $_->[0] == $half - 1 } @first);
    my @pids = storm($connections,
        shuffle map { my $e = $_; map { $e->[2] } 2 .. $times } @first);
    sleep($long ? 10 : 1);

    kill KILL => tenond_pid();
    $s->start;
    waitpid $_, 0 for @pids;
    $stripe->put(map { $_->[1] } grep { $_->[0] == $steps - 1 } @second);
    @pids = storm($connections,
        shuffle((map { my $e = $_; map { $e->[2] } 1 .. $times } @second),
                map { $_->[2] } @first));
    sleep($long ? 10 : 0.5);
    $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s -m immediate \
                   restart');
    sleep($long ? 5 : 0.5);
    kill KILL => tenond_pid();
    $s->start;
    my $bad = 0;
    for my $pid (@pids) {
        waitpid $pid, 0;
        $bad++ if $?;
    }
    is $bad, 0, 'all are taken, in the end';
    my $sent = time - $t;
    hurry() if !$long;
    $s->wait_until($long ? 900 : 60, sub { hurry(); wait_for_all(20) });
    diag sprintf '%d, %d times over %d connections: sent in %.1f s, done '
        . 'after %.1f s', scalar @{ $universe{b} }, $times, $connections,
        $sent, time - $t;

    is $s->psql("select count(*), count(distinct e.external_id),
                        min(e.status), max(e.status), count(j.id),
                        count(j.id) filter (where j.status = 'done')
                   from tenon.inbound_event e
                   left join tenon.job j on j.input ->> 'event' = e.id::text
                  where e.external_id like 'evt\\_b\\_%'"),
        join('|', ($subs * $steps) x 2, 'processed', 'processed',
             ($subs * $steps) x 2), 'each is worked on, once';
    my ($in_order, $shuffled) = map { state_of($_) } qw(a b);
    is scalar keys %$in_order, $subs, 'every subscription is there';
    is_deeply $shuffled, $in_order,
        'and is what it would be had each come in order, once';
    my %status;
    for my $n (0 .. $subs - 1) {
        $status{ $life{b}[$n][-1][2]{status} }++;
    }
    is_deeply { map { /(\w+)\|(\d+)/ } split /\n/, $s->psql("
        select status, count(*) from tenon.subscription
         where external_id like 'sub\\_many\\_b\\_%' group by 1") }, \%status,
        'and what Stripe has: ' . join ', ', map { "$_ $status{$_}" }
        sort keys %status;
    is $s->psql("select count(*)
                   from tenon.subscription s
                  where s.external_id like 'sub\\_many\\_%'
                    and s.version <> (select count(*)
                                        from tenon.event e
                                       where e.tenant_id = s.tenant_id
                                         and e.resource = 'tenon.subscription'
                                         and e.resource_id = s.id
                                         and e.version is not null)"), 0,
        'each change of it is in its log, and no more';
};

is_deeply [grep { !/tenond|terminat|database|PostgreSQL|connect/i }
           $s->alarms], [], 'nothing alarming';
done_testing;
