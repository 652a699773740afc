#!/usr/bin/perl

# Use that is reported and recorded while workers are killed, PostgreSQL crashes
# and tenond dies: clients know nothing of Idempotency-Keys, and send the same ids
# again until they are answered. The sum of what was accepted is the sum of what
# is billed, to the unit; what a write counts as is there once for each row. And
# a hard limit lets through exactly what it says, however many ask at once.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

use constant CLIENTS => 6;

my $long = $ENV{TENON_LONG};
my $json = JSON::PP->new->utf8->canonical;
my $s = TenonServer->new(tenond => 1, http => 'keepalive_requests 1000000;');
my %tenant = map { $_->{slug} => $_->{id} }
    @{ $s->request(GET => 'platform/tenants', as => 'root')->json->{data} };
my %tasks_before = tasks();
$s->token($_) for qw(alice dave root);
my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };

sub uuid {
    my ($client, $n) = @_;
    return sprintf '0199%04x-0000-7000-8000-%012x', $client, $n;
}

sub grant {
    my ($slug, @limits) = @_;
    return $s->request(PATCH => "platform/tenants/$tenant{$slug}/billing",
                       as => 'root', json => { limits => \@limits });
}

sub one { return $s->psql($_[0]) }

sub tasks {
    return map { split /\|/ } split /\n/, $s->psql(
        'select id, 1 from teamos.task');
}

# Runs so many clients, each a process with a file of lines; what they wrote.
sub clients {
    my ($n, $code, $meanwhile) = @_;
    my @pids = map {
        my $i = $_;
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            open my $out, '>', $s->dir . "/metering-$i" or POSIX::_exit(1);
            $out->autoflush(1);
            eval { $code->($i, $out); 1 } or print {$out} "died $@\n";
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. $n;
    $meanwhile->() if $meanwhile;
    waitpid $_, 0 for @pids;
    return map { split /\n/, TenonServer::_slurp($s->dir . "/metering-$_") }
        1 .. $n;
}

# Asks until there is an answer that settles it.
sub settle {
    my ($c, $limit, @request) = @_;
    my $tries = 0;
    while (time < $limit) {
        $tries++;
        my $r = eval {
            $$c //= $s->connect;
            $$c->write($s->bytes(@request));
            $$c->response;
        };
        undef $$c if !$r || ($r->header('Connection') // '') eq 'close'
            || $$c->closed;
        return ($r, $tries) if $r && $r->{status} != 503;
        sleep 0.02;
    }
    return (undef, $tries);
}


# ---- faults ----

sub crash_postgres {
    $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s -m immediate \
                    restart > /dev/null 2>&1');
    return;
}

sub kill_worker {
    my ($pid) = $s->workers;
    kill KILL => $pid;
    return;
}

# A claim of its dies with the session that took it; the lease ends by itself.
sub break_tenond {
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where usename = 'tenon_worker'");
    return;
}

subtest 'what is accepted is what is billed' => sub {
    my $seconds = $long ? 120 : 8;
    my $end = time + $seconds;
    my @lines = clients(CLIENTS, sub {
        my ($client, $out) = @_;
        my ($c, $n) = (undef, 0);
        while (time < $end) {
            my @events = map { { id => uuid($client, ++$n),
                                 meter => 'minutes_processed',
                                 quantity => 1 + $n % 7 } } 1 .. 3;
            my ($r, $tries) = settle(\$c, $end + 20,
                POST => 'usage/events', as => 'alice',
                json => { events => \@events });
            my $sum = 0;
            $sum += $_->{quantity} for @events;
            print {$out} join(' ', 'event', $r ? $r->{status} : 0, $sum,
                              $tries), "\n";

            # Whether one that breaks is there nobody knows: its row says.
            eval {
                $c //= $s->connect;
                $c->write($s->bytes(POST => 'tasks', as => 'alice', json => {
                    project_id => $project->{id}, title => "m $client $n" }));
                my $r = $c->response // die "no answer\n";
                print {$out} "task $r->{status}\n";
                1;
            } or undef $c;
        }
    }, sub {
        for my $fault (\&kill_worker, \&crash_postgres, \&break_tenond,
                       \&kill_worker, \&crash_postgres) {
            sleep $seconds / 7;
            $fault->();
        }
    });

    my (%count, $accepted, $again);
    for (@lines) {
        my ($what, $status, $sum, $tries) = split / /;
        $count{"$what $status"}++;
        next if $what ne 'event' || $status != 200;
        $accepted += $sum;
        $again += $tries > 1;
    }
    note join ', ', map { "$_: $count{$_}" } sort keys %count;
    is_deeply [grep { !/^(?:event 200|task (?:201|503))$/ } keys %count], [],
        'every report was settled';
    cmp_ok $count{'event 200'}, '>', 100, "$count{'event 200'} of them";
    cmp_ok $again, '>', 0, "$again were sent more than once";

    my $of = "tenant_id = '$tenant{acme}' and meter = 'minutes_processed'";
    is one("select sum(quantity) from tenon.usage_event where $of"), $accepted,
        "$accepted units accepted, and recorded";
    my $shown;
    ok $s->wait_until(20, sub {
        $shown = $s->request(GET => 'usage', as => 'alice');
        $shown->{status} == 200;
    }), 'it is shown once the database is back';
    is_deeply [map { $_->{used} } grep { $_->{name} eq 'minutes_processed' }
               @{ $shown->json->{meters} }], [$accepted],
        'all of it, counted or not';
    ok $s->wait_until(150, sub {
        one("select count(*) from tenon.usage_event where not counted") == 0;
    }), 'tenond counts the rest';
    is one("select sum(used) from tenon.usage_total
             where $of and period = '$_'"), $accepted, "and billed: by $_"
        for qw(month day);

    my %now = tasks();
    my @made = grep { !$tasks_before{$_} } keys %now;
    my %units = map { split /\|/ } split /\n/, one("
        select resource_id, count(*) from tenon.usage_event
         where tenant_id = '$tenant{acme}' and meter = 'tasks_created'
         group by 1");
    is_deeply [grep { ($units{$_} // 0) != 1 } @made], [],
        scalar @made . ' tasks, each counted once';
    is scalar keys %units, scalar @made, 'and nothing that isn\'t there';
};

subtest 'a hard limit under many at once' => sub {
    my $hard = 1000;
    my $used = one("select coalesce(sum(quantity), 0) from tenon.usage_event
                     where tenant_id = '$tenant{globex}'
                       and meter = 'minutes_processed'");
    status_is grant(globex => { name => 'minutes_processed',
                                hard => $used + $hard }), 200, 'is granted';
    my $others = one("select count(*) from tenon.usage_event
                       where tenant_id = '$tenant{acme}'");
    my @lines = clients(64, sub {
        my ($client, $out) = @_;
        my $c;
        for my $n (1 .. 20) {
            my ($r) = settle(\$c, time + 60, POST => 'usage/events',
                as => 'dave',
                json => { events => [{ id => uuid(1000 + $client, $n),
                                       meter => 'minutes_processed' }] });
            print {$out} $r ? $r->{status} : 0, "\n";
        }
    });
    my %count;
    $count{$_}++ for @lines;
    is_deeply \%count, { 200 => $hard, 402 => 64 * 20 - $hard },
        "of 1280 by 64 clients exactly $hard are accepted";
    is one("select sum(quantity) from tenon.usage_event
             where tenant_id = '$tenant{globex}'
               and meter = 'minutes_processed'"), $used + $hard,
        'and recorded';
    is one("select count(*) from tenon.usage_event
             where tenant_id = '$tenant{acme}'"), $others,
        'the other organization has nothing to do with it';
};

subtest 'a hard limit on what writes count as' => sub {
    my $made = one("select count(*) from tenon.usage_event
                     where tenant_id = '$tenant{acme}'
                       and meter = 'tasks_created'");
    status_is grant(acme => { name => 'tasks_created', hard => $made + 50 }),
        200, 'is granted';
    my $rows = one('select count(*) from teamos.task');
    my @lines = clients(16, sub {
        my ($client, $out) = @_;
        my $c;
        for my $n (1 .. 6) {
            my ($r) = settle(\$c, time + 60, POST => 'tasks', as => 'alice',
                json => { project_id => $project->{id},
                          title => "limit $client $n" });
            print {$out} $r ? $r->{status} : 0, "\n";
        }
    });
    my %count;
    $count{$_}++ for @lines;
    is_deeply \%count, { 201 => 50, 402 => 16 * 6 - 50 },
        'exactly 50 tasks are made';
    is one('select count(*) from teamos.task'), $rows + 50, 'and are there';
};

done_testing;
