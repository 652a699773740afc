#!/usr/bin/perl

# The schema as `tenonctl migrate` would make it, on a cluster of its own, with
# TeamOS and its demo data; then every *.sql beside this file, each a pgTAP
# script in one session, as one subtest.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TAP::Parser ();
use TenonPg ();

my $root   = "$FindBin::Bin/../..";
my $schema = "$root/schema";
my $pg     = TenonPg->new;
my $super  = $pg->conninfo('tenon');
my $owner  = $pg->conninfo('tenon', 'tenon_owner');

local $ENV{PGOPTIONS} = '-c client_min_messages=warning';

$pg->sql('create database tenon');

# Twice: each file that says it may be run again is.
for (1, 2) {
    $pg->psql('-d', $super, '-1', '-f', "$schema/bootstrap.sql");
}

for my $file (glob "$schema/migrations/*.sql") {
    $pg->psql('-d', $owner, '-1', '-f', $file);
}

for (1, 2) {
    local $ENV{PGOPTIONS} =
        "$ENV{PGOPTIONS} -c tenon.demo_password_hash=not-a-hash";
    $pg->psql('-d', $owner, '-1', map { ('-f', $_) }
              glob("$schema/apps/teamos/[0-9]*.sql"),
              "$schema/apps/teamos/demo.sql");
}

$pg->psql('-d', $super, '-1', '-f', "$FindBin::Bin/prelude.psql");

my ($newest) = map { m{/(\d+)_} ? $1 + 0 : () }
    reverse sort glob "$schema/migrations/*.sql";
open my $in, '<', "$root/include/tenon/base.h" or die "base.h: $!\n";
my ($built) = map { /^#define TN_SCHEMA_VERSION (\d+)$/ ? $1 : () } <$in>;
is $built, $newest, 'base.h names the newest migration';

# For 30_events.sql, which sets what it names.
open $in, '<', "$schema/queries/identity.sql" or die "identity.sql: $!\n";
my ($signup) = do { local $/; <$in> } =~ /^-- name: signup\n(.+?);$/ms;

# For 81_calls.sql: what workers read.
open $in, '<', "$schema/queries/catalogue.sql" or die "catalogue.sql: $!\n";
my %read = do { local $/; <$in> } =~ /^-- name: (\w+)\n(.+?);$/msg;

# For 88_flags.sql: each of a line, repeated characters written out.
open $in, '<', "$FindBin::Bin/../data/versions.txt" or die "versions.txt: $!\n";
my $versions = join "\n", map { s/(.)\*(\d+)$/$1 x $2/er } grep { !/^#/ }
    map { chomp; $_ } <$in>;

# For 89_stripe.sql: with its names as format() has them.
open $in, '<', "$schema/queries/work_stripe.sql"
    or die "work_stripe.sql: $!\n";
my ($ask) = do { local $/; <$in> }
    =~ /^-- name: stripe_subscription_ask\n(.+?);$/ms;
$ask =~ s{(?<!:):acting\b}{%1\$L}g;
$ask =~ s{(?<!:):received_at\b}{%2\$L}g;
$ask =~ s{(?<!:):subscription\b}{'sub_1'}g;
$ask =~ s{(?<!:):final\b}{'{canceled}'}g;

for my $file (sort glob "$FindBin::Bin/*.sql") {
    my ($name) = $file =~ m{([^/]+)\.sql$};

    subtest $name => sub {
        my $parser = TAP::Parser->new({
            exec => ['sh', '-c', 'exec "$@" 2>&1', 'sh', 'psql', '-AtqX',
                     '-v', 'ON_ERROR_STOP=1', '-v', "signup=$signup",
                     (map { ('-v', "$_=$read{$_}") } sort keys %read),
                     '-v', "versions=$versions", '-v', "ask=$ask",
                     '-d', $super, '-f', $file],
        });

        while (my $line = $parser->next) {
            if ($line->is_test) {
                ok $line->is_ok, $line->description =~ s/^- //r;
            }
            elsif ($line->is_comment || $line->is_unknown) {
                diag $line->as_string if $line->as_string =~ /\S/;
            }
        }

        is $parser->exit, 0, 'the script ran to its end';
        is $parser->tests_run, $parser->tests_planned // -1,
            'as many tests as planned';
    };
}

done_testing;
