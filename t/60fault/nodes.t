#!/usr/bin/perl

# Two nodes on one database: each counts in memory of its own, and knows within
# a flush what the other has counted. Together they pass a limit by no more than
# they count in that time; what is in the database is what they served; when one
# is killed as a whole, it loses no more than it counted since its last flush.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Socket::INET ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonClient ();
use TenonServer ();

use constant HARD => 300;

my $s = TenonServer->new;
$s->psql("delete from tenon.plan_override;
          update tenon.plan_limit set hard = @{[HARD]}, soft = @{[HARD]}");

# ---- another node: the same settings, other ports, other files ----

my @sockets = map {
    IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "no free port: $!\n"
} 1, 2;
my ($http, $https) = map { $_->sockport } @sockets;
@sockets = ();
my ($one, $two) = map { $s->var . "/$_" } qw(nginx nginx2);
$s->shell('cp -a "$1" "$2"; rm -f "$2"/*.log "$2"/nginx.pid', $one, $two);
my $conf = TenonServer::_slurp("$one/nginx.conf");
$conf =~ s/\Q$one\E/$two/g;
$conf =~ s/:\Q$s->{http}\E\b/:$http/g;
$conf =~ s/:\Q$s->{https}\E\b/:$https/g;
TenonServer::_spew("$two/nginx.conf", $conf);

sub start_two {
    $s->shell('"$(command -v nginx)" -p "$1/" -e "$1/error.log" \
                   -c "$1/nginx.conf" < /dev/null > "$1/start.log" 2>&1 9>&-',
              $two);
    $s->wait_until(10, sub { eval { TenonClient->new($http)->request(
        'GET', '/ready', host => 'tenon.localhost')->{status} == 200 } })
        or die "the second node isn't ready\n";
    return 0 + TenonServer::_slurp("$two/nginx.pid");
}

# The master, and its workers with it.
sub family {
    my ($master) = @_;
    return $master, map { m{/(\d+)/stat} } grep {
        (eval { TenonServer::_slurp($_) } // '') =~ /\) \S $master /
    } glob '/proc/[0-9]*/stat';
}

my $master = start_two();
END { local $?; kill TERM => $master if $master }

my $bytes = $s->bytes(GET => 'tasks?limit=1', as => 'dave');
my $served = 0;
sub ask {
    my ($port) = @_;
    my $c = TenonClient->new($port);
    $c->write($bytes);
    my $r = $c->response;
    $served++ if $r->{status} == 200;
    $c->close;
    return $r;
}

sub used {
    return $s->psql("select coalesce(sum(used), 0) from tenon.usage_total
                      where meter = 'api_calls'");
}

subtest 'the limit' => sub {
    # 20 in each half of a second, at one node, then at the other.
    my (%refused, %rate);
    my $began = time;
    for my $n (0 .. 24) {
        my $port = ($s->{http}, $http)[$n % 2];
        my @status = map { ask($port)->{status} } 1 .. 20;
        $refused{$port} //= time - $began if grep { $_ == 402 } @status;
        my $wait = $began + 0.5 * ($n + 1) - time;
        sleep $wait if $wait > 0;
    }
    is scalar keys %refused, 2, sprintf 'both refuse, after %.1f and %.1f s',
        values %refused;
    cmp_ok $served, '>=', HARD, 'not before it is used up';
    cmp_ok $served, '<=', HARD + 60, 'nor long after: ' . $served;
    problem_is ask($_), 402, 'plan_limit', 'and go on to' for $s->{http}, $http;
    ok $s->wait_until(5, sub { used() == $served }), 'what they served is '
        . 'in the database';
    sleep 1.3;
    is used(), $served, 'and no more';
};

subtest 'a node is killed' => sub {
    $s->psql('update tenon.plan_limit set hard = 1000000, soft = 999999');
    is ask($_)->{status}, 200, 'a larger limit holds at once'
        for $s->{http}, $http;
    ask($http) for 1 .. 30;
    ok $s->wait_until(5, sub { used() == $served }), 'all is there';
    ask($http) for 1 .. 10;
    my @family = family($master);
    kill KILL => @family;
    $s->wait_until(5, sub { !grep { kill 0 => $_ } @family });
    sleep 1.3;
    my $lost = $served - used();
    cmp_ok $lost, '<=', 10, "killed as a whole, it loses what it had not "
        . "flushed: $lost";
    cmp_ok $lost, '>=', 0, 'and doubles nothing';

    unlink "$two/nginx.pid";
    $master = start_two();
    $served -= $lost;
    ask($_) for ($s->{http}, $http) x 5;
    ok $s->wait_until(5, sub { used() == $served }), 'the next one goes on';
};

subtest 'a node is stopped' => sub {
    ask($http) for 1 .. 10;
    kill QUIT => $master;
    ok $s->wait_until(5, sub { !-e "$two/nginx.pid" }), 'it goes';
    $master = 0;
    ask($s->{http}) for 1 .. 3;
    ok $s->wait_until(5, sub { used() == $served }), 'and leaves nothing behind';
};

done_testing;
