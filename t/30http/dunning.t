#!/usr/bin/perl

# A tenant hears of what its plan entitles it to: when it owes, step by step as
# time passes, when it has paid, before its trial ends; and where Stripe's word
# was lost, Stripe is asked.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();
use TenonStripe ();

my $stripe = TenonStripe->new(prices => ['teamos_pro_monthly']);
my $s = TenonServer->new(stripe => 1, tenond => { poll_interval => 50 },
                         asks => $stripe);
my $acme = $s->psql("select tenant_id from tenon.tenant where slug = 'acme'");

# What alice reads in her log, the newest last: entitlement from and to.
sub told {
    my ($action) = @_;
    return map { $_->{metadata} } reverse @{ $s->request(
        GET => 'audit/events?limit=50&action=subscription.'
            . ($action // 'entitlement_changed'), as => 'alice')->json->{data} };
}

sub heard {
    my ($from, $to, $what, $plan) = @_;
    my @all;
    ok $s->wait_until(10, sub {
        @all = told();
        @all && $all[-1]{from} eq $from && $all[-1]{to} eq $to
            && (!$plan || $all[-1]{to_plan} eq $plan);
    }), $what or diag explain \@all;
    return $all[-1];
}

sub shown {
    return $s->request(GET => 'billing/subscription', as => 'alice')->json;
}

# In the tenant's context, as work by hand is done.
sub hand {
    my ($sql) = @_;
    return $s->psql("begin;
        set local tenon.tenant = '$acme';
        $sql;
        commit");
}

# Until what is due now has been looked at.
sub settled {
    return $s->wait_until(10, sub {
        $s->psql("select count(*) from tenon.entitlement
                   where due_at <= now()") eq '0';
    });
}

# The first look at all of them is told to nobody.
$s->psql("insert into tenon.job (tenant_id, kind)
          values (tenon.platform(), 'billing.entitlements')");
ok settled(), 'all are looked at';
is_deeply [told()], [], 'and nobody is told of it';
hand("delete from tenon.plan_override where tenant_id = '$acme';
      delete from tenon.subscription where tenant_id = '$acme'");
heard('full', 'full', 'that nothing is subscribed to any more', 'free');

my $id = $s->psql('select tenon.uuid7()');
hand("insert into tenon.subscription (tenant_id, id, plan, provider, status,
                                      trial_ends_at)
      values ('$acme', '$id', 'pro', 'invoice', 'trialing',
              now() + interval '30 days')");

subtest 'a trial' => sub {
    my $at = heard('full', 'trial', 'is told')->{changes_at};
    ok defined $at, 'with its end';
    is_deeply [told('trial_will_end')], [], 'of which nothing is said yet';
    hand("update tenon.subscription
             set trial_ends_at = now() + interval '2 days' where id = '$id'");
    ok $s->wait_until(10, sub { told('trial_will_end') == 1 }),
        'three days before it is';
    hand("update tenon.subscription set provider_created_at = now()
           where id = '$id'");
    ok settled(), 'looked at once more';
    is scalar(my @all = told('trial_will_end')), 1, 'and once only';
};

subtest 'one that owes' => sub {
    hand("update tenon.subscription
             set status = 'past_due', trial_ends_at = null,
                 owing_since = now() - interval '7 days' + interval '15 seconds'
           where id = '$id'");
    my $grace = heard('trial', 'grace', 'is told at once');
    ok defined $grace->{changes_at}, 'and until when that is so';
    ok $s->wait_until(10, sub { shown()->{entitlement} eq 'grace' }),
        'as it is served';

    # as time passes: nobody says anything any more
    ok $s->wait_until(30, sub { shown()->{entitlement} eq 'read_only' }),
        'until it isn\'t any more';
    is $s->psql("select due_at <= now() from tenon.entitlement
                  where tenant_id = '$acme'"), 't', 'a step is due';
    $s->psql("insert into tenon.job (tenant_id, kind)
              values (tenon.platform(), 'billing.entitlements')");
    heard('grace', 'read_only', 'is told by the next round');

    hand("update tenon.subscription
             set owing_since = now() - interval '22 days' where id = '$id'");
    heard('read_only', 'suspended', 'at its end');
    hand("update tenon.subscription
             set status = 'active', owing_since = null where id = '$id'");
    heard('suspended', 'full', 'whoever pays is told at once', 'pro');
    # a plan that refuses is up to half a second old
    ok $s->wait_until(5, sub {
        $s->request(POST => 'projects', as => 'alice',
                    json => { name => 'Back' })->{status} == 201 }),
        'and is back';
    my ($event) = @{ $s->request(GET => 'audit/events?limit=1&action='
        . 'subscription.entitlement_changed', as => 'alice')->json->{data} };
    is_deeply [$event->{actor}{type}, @$event{qw(resource resource_id)}],
        ['system', 'tenon.subscription', $id], 'nobody did it';
};

subtest 'what the platform grants' => sub {
    hand("insert into tenon.plan_override (tenant_id, plan)
          values ('$acme', 'enterprise')");
    heard('full', 'full', 'is told', 'enterprise');
    hand("delete from tenon.plan_override where tenant_id = '$acme'");
    heard('full', 'full', 'and its end', 'pro');
};

subtest 'a word that was lost' => sub {
    hand("delete from tenon.subscription where tenant_id = '$acme'");
    heard('full', 'full', 'a new begin', 'free');
    my $customer = $stripe->customer(name => 'Acme');
    my $sub = $stripe->subscribe(customer => $customer->{id},
                                 price => 'teamos_pro_monthly');
    $stripe->requests;

    # Stripe ended it a month ago, and its event didn't come.
    $stripe->change($sub->{id}, status => 'canceled');
    hand("insert into tenon.subscription
                 (tenant_id, plan, provider, customer_id, external_id, status,
                  cancel_at_period_end, current_period_end)
          values ('$acme', 'pro', 'stripe', '$customer->{id}', '$sub->{id}',
                  'active', true, now() - interval '73 hours')");
    ok $s->wait_until(20, sub { (shown()->{status} // '') eq 'canceled' }),
        'is asked for';
    is_deeply [map { "$_->{method} $_->{path}" } $stripe->requests],
        ["GET /v1/subscriptions/$sub->{id}"], 'once';
    ok $s->wait_until(10, sub { (told())[-1]{to_plan} eq 'free' }),
        'and what it is now is told';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
