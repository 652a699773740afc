#!/usr/bin/perl

# The stand-in for Stripe's API (t/lib/TenonStripe.pm) is taken for it by Stripe's
# own library (stripe, from npm): its objects, lists, errors, keys and events.

use strict;
use warnings;

use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use JSON::PP ();

use Test::More;
use TenonCheck;
use TenonNpm ();
use TenonServer ();
use TenonStripe ();

my $source = "$FindBin::Bin/stripe";
my $tools = TenonNpm::install($source, 'stripe');
my $work = File::Temp->newdir('tenon-stripe-XXXXXX', TMPDIR => 1);

# Modules are looked for beside the program.
symlink "$tools/node_modules", "$work/node_modules" or die "symlink: $!\n";
TenonServer::_spew("$work/api.mjs", TenonServer::_slurp("$source/api.mjs"));

my $stripe = TenonStripe->new(prices => ['pro', 'team']);
my $subscription = $stripe->subscribe(
    customer => $stripe->customer->{id}, price => 'pro', status => 'trialing');
my $event = $stripe->event('customer.subscription.created', $subscription);
TenonServer::_spew("$work/event", $event);
my $signature = TenonServer::stripe_signature(undef, $event);

$ENV{TENON_STRIPE_URL} = $stripe->url;
$ENV{TENON_STRIPE_KEY} = $stripe->key;
open my $told, '-|', 'node', "$work/api.mjs", 'pro', "$work/event", $signature,
    TenonServer::STRIPE_SECRET or die "node: $!\n";
my %told = map { @{ JSON::PP::decode_json($_) } } <$told>;
close $told;
is $?, 0, 'Stripe\'s library is content';

my ($yes, $no) = (JSON::PP::true, JSON::PP::false);
my %want = (
    customer      => ['customer', "Acme & S\x{f6}hne", 't1'],
    again         => [$yes, 'true'],
    another       => ['StripeIdempotencyError', 400, undef, undef],
    prices        => [['pro', 'recurring']],
    page          => ['checkout.session', 'open', $yes, $yes],
    'the same'    => $yes,
    portal        => ['billing_portal.session', 'https://a.test/'],
    subscriptions => 0,
    'no price'    => ['StripeInvalidRequestError', 400, 'resource_missing',
                      'line_items[0][price]'],
    'no subscription' => ['StripeInvalidRequestError', 404, 'resource_missing',
                          'id'],
    unknown       => ['StripeInvalidRequestError', 400, 'parameter_unknown',
                      'nonsense'],
    'no key'      => ['StripeAuthenticationError', 401, undef, undef],
    event         => ['event', 'customer.subscription.created', 'subscription',
                      $yes],
);
is_deeply $told{$_}, $want{$_}, $_ for sort keys %want;

my %version = map { ($_->{version} // '') => 1 } $stripe->requests;
is_deeply [keys %version], [TenonStripe::VERSION],
    'it asks in the version that the stand-in speaks';
like TenonServer::_slurp("$FindBin::Bin/../../libcore/stripe/stripe.h"),
    qr/TN__STRIPE_VERSION "${\ TenonStripe::VERSION }"/, 'and so do we';

done_testing;
