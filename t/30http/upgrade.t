#!/usr/bin/perl

# Who has used up a plan and pays for a larger one is served within a second of
# Stripe's word of it: webhook, job, Stripe's answer, plan, next request.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use List::Util qw(min);
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();
use TenonStripe ();

# The machine may be busy with something else in one of them.
use constant TRIES => 5;

my $stripe = TenonStripe->new(prices => ['teamos_pro_monthly']);
my $s = TenonServer->new(stripe => 1, tenond => 1, asks => $stripe);
my $customer = $stripe->customer(name => 'Acme')->{id};
my $acme = $s->psql("select tenant_id from tenon.tenant where slug = 'acme'");

# One who has a customer at Stripe, and no plan but the default one.
$s->psql("delete from tenon.subscription where tenant_id = '$acme';
          delete from tenon.plan_override where tenant_id = '$acme';
          begin;
          select set_config('tenon.tenant', '$acme', true);
          insert into tenon.billing_customer
          values ('$acme', 'stripe', '$customer');
          commit");

sub status { return $s->request(GET => 'tasks?limit=1', as => 'alice')->{status} }

sub says {
    my ($type, $object) = @_;
    status_is $s->stripe($stripe->event($type, $object)), 204, $type;
    return;
}

ok $s->wait_until(10, sub {
    my $r = $s->request(GET => 'billing/subscription', as => 'alice')->json;
    return $r->{plan} eq 'free' }), 'the default plan';

my $served = 0;
$served++ while $served <= 1000 && status() == 200;
is $served, 1000, 'is used up';

my @took;
for (1 .. TRIES) {
    is status(), 402, 'there is no more';
    my $sub = $stripe->subscribe(customer => $customer,
                                 price => 'teamos_pro_monthly');
    says('customer.subscription.created', $sub);
    my $at = time;
    ok $s->wait_until(20, sub { status() == 200 }), 'who pays is served';
    push @took, time - $at;

    my $over = $stripe->change($sub->{id}, status => 'canceled',
                               canceled_at => int time, ended_at => int time);
    says('customer.subscription.deleted', $over);
    ok $s->wait_until(20, sub { status() == 402 }), 'who ends it isn\'t';
}

cmp_ok min(@took), '<', 1, 'within a second';
diag sprintf 'seconds from the event to the plan: %s',
    join ' ', map { sprintf '%.2f', $_ } @took;

is_deeply [$s->alarms], [], 'and the log has nothing to say';

done_testing;
