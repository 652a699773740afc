#!/usr/bin/perl

# What a plan limits in the path of requests: so many calls a month, so many a
# minute. Exact over both workers, each tenant by itself, told by headers, and
# never by a plan of yesterday.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use TenonCheck;
use TenonServer ();

my $hard = 1000;
my $s = TenonServer->new;
my %id = map { $_->{slug} => $_->{id} }
    @{ $s->request(GET => 'platform/tenants', as => 'root')->json->{data} };
my ($acme, $globex) = @id{qw(acme globex)};
my $tasks = 'tasks?limit=1';

sub grant {
    my ($tenant, @limits) = @_;
    my $r = $s->request(PATCH => "platform/tenants/$tenant/billing",
                        as => 'root', json => { limits => \@limits });
    status_is $r, 200, 'the platform grants a limit';
}

# As a webhook has it written: no worker is told.
sub behind_our_backs {
    my ($tenant, $limits) = @_;
    $s->psql("begin;
              select set_config('tenon.tenant', '$tenant', true);
              update tenon.plan_override set limits = '$limits'
               where tenant_id = '$tenant';
              commit");
}

sub total {
    my ($tenant, $meter) = @_;
    return 0 + ($s->psql("select sum(used) from tenon.usage_total
                           where tenant_id = '$tenant'
                             and meter = '$meter'") || 0);
}

# The items of a list of RateLimit or RateLimit-Policy, by name.
sub limits {
    my ($r, $header) = @_;
    my @all = $r->headers($header);
    is @all, 1, "one $header";
    my %of;
    for my $item (split /, /, $all[0] // '') {
        my ($name, %param) = $item =~ /\A"([a-z_.]+)"/;
        ok defined $name, 'a name in quotes' or diag $item;
        like $item, qr/\A"[a-z_.]+"(?:;[a-z]=[0-9]+)+\z/, 'with numbers';
        $of{$name} = { $item =~ /;([a-z])=([0-9]+)/g };
    }
    return \%of;
}

# 64 at once, on both workers alike: how many were answered with which status.
sub burst {
    my ($who, $each) = @_;
    my $bytes = $s->bytes(GET => $tasks, as => $who);
    my @connections = map {
        $s->alone($_, sub { map { $s->connect } 1 .. 32 })
    } $s->workers;
    pipe my $from, my $to or die "pipe: $!\n";
    my @pids;

    for my $c (@connections) {
        push @pids, fork // die "fork: $!\n";
        next if $pids[-1];
        my %n;
        for (1 .. $each) {
            $c->write($bytes);
            $n{ $c->response->{status} }++;
        }
        syswrite $to, join('', map { "$_ $n{$_}\n" } sort keys %n);
        POSIX::_exit(0);
    }

    CORE::close $to;
    my %n;
    while (my $line = <$from>) {
        $line =~ /\A(\d+) (\d+)\n\z/ or die "burst: $line";
        $n{$1} += $2;
    }
    waitpid $_, 0 for @pids;
    return \%n;
}


subtest 'exactly as many as there may be' => sub {
    grant($_, { name => 'api_calls', soft => 800, hard => $hard })
        for $acme, $globex;

    status_is $s->request(GET => $tasks, as => 'dave'), 200, 'another tenant';
    is_deeply burst('alice', 25), { 200 => $hard, 402 => 64 * 25 - $hard },
        "64 at once on both workers: $hard are served";

    my $r = $s->request(GET => $tasks, as => 'bob');
    problem_is $r, 402, 'plan_limit', 'nobody of them gets one more';
    is $r->json->{reason}, 'api_calls', 'and is told of what';
    is $r->header('Retry-After'), undef, 'waiting doesn\'t help';
    is limits($r, 'RateLimit')->{api_calls}{r}, 0, 'none is left';

    status_is $s->request(GET => 'me', as => 'alice'), 200,
        'one\'s own account is served all the same';
    status_is $s->request(GET => 'billing/plans', as => 'alice'), 200,
        'and what is needed to pay';

    $r = $s->request(GET => $tasks, as => 'dave');
    status_is $r, 200, 'the other tenant has lost none';
    is limits($r, 'RateLimit')->{api_calls}{r}, $hard - 2, 'but its own two';
    is_deeply burst('dave', 25),
        { 200 => $hard - 2, 402 => 64 * 25 - $hard + 2 }, 'and gets the rest';

    $s->wait_until(5, sub { total($acme, 'api_calls') == $hard
                            && total($globex, 'api_calls') == $hard });
    is total($acme, 'api_calls'), $hard, 'and that is what is written down';
    is total($globex, 'api_calls'), $hard, 'of each';

    my @told = split /\n/, $s->psql(
        "select concat_ws(' ', metadata ->> 'kind', metadata ->> 'limit',
                          metadata ->> 'percent')
           from tenon.event_body b
           join tenon.event e on e.tenant_id = b.tenant_id
                             and e.id = b.event_id
          where e.tenant_id = '$acme'
            and e.action = 'usage.threshold_reached'
          order by 1");
    is_deeply \@told, ["hard $hard 100", 'soft 800 100', 'soft 800 80'],
        'but tells of each threshold once';
};

subtest 'more is had at the next request' => sub {
    sleep 0.6; # what a worker knows of the plan isn't younger then
    problem_is $s->request(GET => $tasks, as => 'alice'), 402, 'plan_limit',
        'at the limit';
    my $at = time;
    behind_our_backs($acme, '[{"name": "api_calls", "hard": 1500}]');
    my $r;
    $s->wait_until(2, sub {
        $r = $s->request(GET => $tasks, as => 'alice');
        $r->{status} == 200 });
    status_is $r, 200, 'after an upgrade of which no worker was told';
    cmp_ok time - $at, '<', 1, 'within a second';
    is limits($r, 'RateLimit-Policy')->{api_calls}{q}, 1500, 'it is the new';
    is limits($r, 'RateLimit')->{api_calls}{r}, 499, 'and what is left of it';
};

subtest 'what was used outlives the node' => sub {
    $s->stop;
    $s->start;
    my $r = $s->request(GET => $tasks, as => 'alice');
    status_is $r, 200, 'after a restart';
    is limits($r, 'RateLimit')->{api_calls}{r}, 498, 'none is given back';
    problem_is $s->request(GET => $tasks, as => 'dave'), 402, 'plan_limit',
        'nor where none was left';
};

subtest 'a rate' => sub {
    grant($globex, { name => 'api_calls', hard => 100000 },
                 { name => 'api_rate', hard => 5 });
    # Acme's plan has a rate, so that some of its minute is used.
    $s->wait_until(30, sub { time % 60 < 45 }); # all in one minute
    my @r = map { $s->request(GET => $tasks, as => 'dave') } 1 .. 7;
    is_deeply [map { $_->{status} } @r], [(200) x 5, 429, 429],
        'as many as there may be in a minute';

    my ($policy, $left) = (limits($r[0], 'RateLimit-Policy'),
                           limits($r[0], 'RateLimit'));
    is_deeply $policy->{api_rate}, { q => 5, w => 60 }, 'its policy';
    is $left->{api_rate}{r}, 4, 'what is left';
    cmp_ok $left->{api_rate}{t}, '<=', 60, 'in the minute';
    is $policy->{api_calls}{q}, 100000, 'beside the quota\'s';
    cmp_ok $policy->{api_calls}{w}, '>=', 28 * 86400, 'which is of a month';
    cmp_ok $policy->{api_calls}{w}, '<=', 31 * 86400, 'and not more';
    cmp_ok $left->{api_calls}{t}, '<=', $policy->{api_calls}{w},
        'that is under way';

    problem_is $r[5], 429, 'rate_limited', 'and one more';
    is $r[5]->json->{reason}, 'api_rate', 'is told of what';
    like $r[5]->header('Retry-After'), qr/\A(?:[1-5]?[0-9]|60)\z/,
        'and when to come again';
    is $r[5]->header('Retry-After'),
        limits($r[5], 'RateLimit')->{api_rate}{t}, 'as the headers say';
    is limits($r[6], 'RateLimit')->{api_calls}{r},
        $left->{api_calls}{r} - 4, 'who is refused loses nothing';

    status_is $s->request(GET => $tasks, as => 'dave',
                          headers => [Origin => 'https://app.test']), 429,
        'for a page of another origin as well';
};

subtest 'what one has already costs nothing' => sub {
    grant($globex, { name => 'api_calls', hard => 100000 },
                   { name => 'api_rate' });
    my $task = $s->request(GET => $tasks, as => 'dave')->json->{data}[0]
        || $s->request(POST => 'tasks', as => 'dave',
                       json => { title => 'Once' })->json;
    my $at = "tasks/$task->{id}";
    my $r = $s->request(GET => $at, as => 'dave');
    status_is $r, 200, 'a task';
    my $left = limits($r, 'RateLimit')->{api_calls}{r};
    my $same = sub {
        return $s->request(GET => $at, as => 'dave',
                           headers => ['If-None-Match' => $r->header('ETag')]);
    };

    for my $n (1 .. 3) {
        sleep 1.2 if $n == 3; # what was taken has been flushed meanwhile
        my $again = $same->();
        status_is $again, 304, 'which hasn\'t changed';
        is limits($again, 'RateLimit')->{api_calls}{r}, $left,
            'is given back';
    }

    is limits($s->request(GET => $at, as => 'dave'), 'RateLimit')
        ->{api_calls}{r}, $left - 1, 'and so the next one says';
    my $all = 100000 - $left + 1;
    $s->wait_until(5, sub { total($globex, 'api_calls') == $all });
    is total($globex, 'api_calls'), $all, 'and what is written down';
};

subtest 'where nothing is limited, nothing is told' => sub {
    grant($acme, { name => 'api_calls' }, { name => 'api_rate' });
    my $r = $s->request(GET => $tasks, as => 'alice');
    status_is $r, 200, 'it is served';
    is $r->header('RateLimit'), undef, 'without a limit';
    is $r->header('RateLimit-Policy'), undef, 'or a policy';
};

is_deeply [$s->alarms], [], 'and the log has nothing to say';

done_testing;
