#!/usr/bin/perl

# Reads that come in one turn of a worker's event loop share a connection, four
# at most (docs/adr/0017-reads-of-a-turn.md); one that comes alone takes an idle
# one. Told by the backends that wait: the table is locked, and the worker stopped
# while the requests arrive.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my ($worker) = $s->workers;
my $list = $s->bytes(GET => 'tasks?limit=1', as => 'alice');

# Time to look at who waits.
$s->psql("alter role tenon_api set lock_timeout = '4s';
          select pg_terminate_backend(pid) from pg_stat_activity
           where usename = 'tenon_api'");

# Who asks is known, so that a list is the first thing asked of the database;
# and all connections have joined.
$s->wait_until(10, sub { connections(1); backends('true') == 4 * $s->workers })
    or die "the pool isn't full\n";

sub backends {
    my ($condition) = @_;
    return $s->psql("select count(*) from pg_stat_activity
                      where usename = 'tenon_api' and $condition");
}

# Connections that this worker has: it has answered on each.
sub connections {
    my ($n) = @_;
    return $s->alone($worker, sub {
        map {
            my $c = $s->connect;
            $c->write($list);
            $c->response;
            $c;
        } 1 .. $n;
    });
}

my $sleeper = "usename <> 'tenon_api' and wait_event = 'PgSleep'";

# How many backends wait when $n reads come at once.
sub share {
    my ($n) = @_;
    my @c = connections($n);
    my $locker = fork // die "fork: $!\n";
    if ($locker == 0) {
        # Without a word when it is ended.
        eval { $s->psql('begin; lock table teamos.task in access exclusive mode;
                         select pg_sleep(60)') };
        POSIX::_exit(0);
    }
    $s->wait_until(10, sub { $s->psql(
        "select count(*) from pg_stat_activity where $sleeper") })
        or die "the table isn't locked\n";
    $s->asleep($worker, sub { $_->write($list) for @c });

    # They were sent in one go.
    my $waiting = "wait_event_type = 'Lock'";
    my $most = 0;
    $s->wait_until(2, sub { $most = backends($waiting) });
    my $again = backends($waiting);
    $most = $again if $again > $most;

    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where $sleeper");
    waitpid $locker, 0;
    is grep({ $_->response->{status} == 200 } @c), $n,
        "$n reads at once are answered";
    return $most;
}

is share(1), 1, 'one takes one';
is share(4), 1, 'four take one';
is share(5), 2, 'the fifth takes another';

done_testing;
