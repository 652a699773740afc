#!/usr/bin/perl

# What tenants use is counted in memory that workers share, and flushed to the
# database each second: workers killed, in the midst of a flush too, while the
# database sleeps, or waits for a lock; PostgreSQL restarted; nginx reloaded,
# quit, stopped. What is in the database afterwards is what was answered: not
# one more, not one less. Only a request that had no answer may be counted or
# not.
#
# TENON_LONG=1: for minutes (make chaos).

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
my $s = TenonServer->new(http => 'keepalive_requests 1000000;');

# Before anybody asks, so that nobody has the plans as they were.
$s->psql('delete from tenon.plan_override;
          update tenon.plan_limit set hard = 1000000000, soft = 999999999');
$s->token($_) for qw(alice dave);

# What has been counted: answers told to be (sure), and requests that had none.
my %sure = map { $_ => 0 } qw(acme globex);
my %open = %sure;
my %at = (alice => 'acme', dave => 'globex');

# Whether an answer says that its request was counted: what was refused by a
# limit says so, too, and no limit is reached here.
sub counted { return defined $_[0]->header('RateLimit') }

sub ask {
    my ($who) = @_;
    my $r = $s->request(GET => 'tasks?limit=1', as => $who);
    status_is $r, 200, 'answered' if $r->{status} != 200;
    $sure{ $at{$who} }++ if counted($r);
    return $r;
}

sub in_database {
    return map { split /\|/ } split /\n/, $s->psql("
        select t.slug, sum(u.used) from tenon.usage_total u
          join tenon.tenant t using (tenant_id)
         where u.meter = 'api_calls' group by 1");
}

# Waits until all of it is there. Not more: a flush that is sent twice would be
# seen here, or by whoever looks next.
sub all_there {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %used;
    $s->wait_until(15, sub {
        %used = in_database();
        return !grep { ($used{$_} // 0) < $sure{$_} } keys %sure;
    });
    sleep 1.3; # another flush
    %used = in_database();
    my @wrong = grep { ($used{$_} // 0) < $sure{$_}
                       || ($used{$_} // 0) > $sure{$_} + $open{$_} } keys %sure;
    ok !@wrong, sprintf '%s: %s', $name, join ', ',
        map { sprintf '%s %d, answered %d%s', $_, $used{$_} // 0, $sure{$_},
                  $open{$_} ? ", not answered $open{$_}" : '' }
        sort keys %sure;

    # What wasn't answered is known from now on.
    %sure = map { $_ => $used{$_} // 0 } keys %sure;
    %open = map { $_ => 0 } keys %open;
    return;
}

sub backends {
    return split /\n/, $s->psql("
        select pid from pg_stat_activity where usename = 'tenon_api'");
}

# Does something in a transaction, which stays open until it is let go.
sub hold {
    my ($sql, $server) = @_;
    $server //= $s;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        # Without a word when it is ended.
        eval { $server->psql("set application_name = holder;
                              begin; $sql; select pg_sleep(600)") };
        POSIX::_exit(0);
    }
    $server->wait_until(10, sub { $server->psql("
        select count(*) from pg_stat_activity
         where application_name = 'holder' and wait_event = 'PgSleep'") })
        or die "nothing is held\n";
    return $pid;
}

sub let_go {
    my ($pid, $server) = @_;
    ($server // $s)->psql("select pg_terminate_backend(pid)
        from pg_stat_activity where application_name = 'holder'");
    waitpid $pid, 0;
    return;
}

# Kills all workers; waits for the next ones to serve.
sub kill_workers {
    my @old = $s->workers;
    kill KILL => @old;
    $s->wait_until(10, sub {
        my %now = map { $_ => 1 } $s->workers;
        return keys %now == @old && !grep { $now{$_} } @old;
    }) or die "no new workers\n";
    return;
}


# ---- one after the other: exactly ----

subtest 'a second later it is in the database' => sub {
    ask('alice') for 1 .. 20;
    ask('dave') for 1 .. 7;
    is $sure{acme}, 20, 'each answer says that it was counted';
    all_there('there');
    is $s->request(GET => 'tasks?limit=1', as => 'alice')->header('RateLimit')
        =~ /r=(\d+)/ && 1000000000 - $1, 21, 'and what is left is told';
    $sure{acme}++;
};

# The flush waits for a lock, its worker is killed, the next one sends it again
# and waits, too; then both are let go.
subtest 'killed while the database waits for a lock' => sub {
    $s->psql('alter role tenon_api set lock_timeout = 0');
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where usename = 'tenon_api'");
    $s->wait_until(5, sub { $s->request(GET => '/ready',
        host => 'tenon.localhost')->{status} == 200 });
    all_there('before');

    my $holder = hold('lock table tenon.usage_total in exclusive mode');
    my $waiting = sub { 0 + $s->psql("
        select count(*) from pg_stat_activity
         where usename = 'tenon_api' and wait_event_type = 'Lock'
           and query like '%flush_usage%'") };
    ok $s->wait_until(10, sub { $s->psql("
        select count(*) from pg_stat_activity
         where application_name = 'holder' and wait_event = 'PgSleep'") }),
        'the totals are locked';

    for my $round (1 .. 3) {
        ask('alice') for 1 .. 5 * $round;
        ask('dave') for 1 .. $round;
        ok $s->wait_until(10, sub { $waiting->() >= $round }),
            "round $round: a flush waits, and those of who was killed: "
            . $waiting->();
        kill_workers();
    }
    let_go($holder);
    all_there('let go');
    $s->psql('alter role tenon_api reset lock_timeout');
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where usename = 'tenon_api'");
};

# The database sleeps with the flush in its ear; another backend writes it down;
# then the first wakes up, and does as it was told.
subtest 'killed while the database sleeps' => sub {
    for my $round (1 .. 2) {
        $s->wait_until(5, sub { $s->request(GET => '/ready',
            host => 'tenon.localhost')->{status} == 200 });
        ask('alice') for 1 .. 11;
        ask('dave') for 1 .. 3;
        my @asleep = backends();
        kill STOP => @asleep;
        sleep 2.2; # a flush is sent, whenever the last one was
        kill_workers();
        all_there("round $round: the next worker has flushed it");
        kill CONT => @asleep;
        $s->wait_until(10, sub {
            my %now = map { $_ => 1 } backends();
            return !grep { $now{$_} } @asleep;
        });
        all_there('those that slept have added nothing');
    }
};

# One tenant's row can't be written, or is locked: the others' are.
subtest 'what is refused holds up nobody else' => sub {
    my $id = $s->psql("select tenant_id from tenon.tenant
                        where slug = 'globex'");
    $s->psql("create function public.no() returns trigger language plpgsql
              as \$\$ begin raise 'not this one'; end \$\$;
              create trigger no before update on tenon.usage_total
                 for each row when (new.tenant_id = '$id')
                 execute function public.no()");
    for my $what ('by a trigger', 'for a lock') {
        my $holder = $what =~ /lock/ && hold("
            select set_config('tenon.tenant', '$id', true);
            select from tenon.usage_total where tenant_id = '$id' for update");
        my %before = in_database();
        ask('alice'), ask('dave') for 1 .. 6;
        my %used;
        ok $s->wait_until(12, sub {
            %used = in_database();
            return $used{acme} == $sure{acme};
        }), "refused $what: the others' is there";
        is $used{globex}, $before{globex}, 'and that one not';
        $s->psql('drop trigger no on tenon.usage_total;
                  drop function public.no()') if !$holder;
        let_go($holder) if $holder;
        all_there('then it is');
    }
    like TenonServer::_slurp($s->error_log), do {
        my $hex = $id =~ s/-//gr;
        qr/usage of tenant \Q$hex\E, "api_calls", is refused .* not this one/;
    }, 'the log says whose, and why';
};

# ---- ends of nginx: exactly ----

sub end_nginx {
    my ($signal) = @_;
    my $master = $s->master;
    my @workers = $s->workers;
    my $began = time;
    kill $signal => $master;
    $s->wait_until(10, sub { !-e $s->var . '/nginx/nginx.pid' })
        or die "nginx doesn't end\n";
    my $took = time - $began;
    return ($took, grep { kill 0 => $_ } @workers);
}

for my $signal (qw(QUIT TERM)) {
    subtest "nginx is ended by SIG$signal" => sub {
        ask('alice') for 1 .. 9;
        ask('dave') for 1 .. 4;
        my ($took) = end_nginx($signal);
        cmp_ok $took, '<', 4, sprintf 'it is gone after %.2f s', $took;
        my %used = in_database();
        is_deeply \%used, \%sure, 'all is in the database by then';
        $s->start;
        is $s->request(GET => 'tasks?limit=1', as => 'alice')
            ->header('RateLimit') =~ /r=(\d+)/ && 1000000000 - $1,
            ++$sure{acme}, 'a new one begins with it';
        all_there('and goes on');
    };

    subtest "SIG$signal while the database sleeps" => sub {
        all_there('before');
        my @asleep = backends();
        ask('alice') for 1 .. 5;
        my $postmaster = $s->shell('head -1 "$var/pg/postmaster.pid"') + 0;
        kill STOP => @asleep, $postmaster;
        my ($took) = end_nginx($signal);
        kill CONT => $postmaster, @asleep;
        cmp_ok $took, '<', 5, sprintf 'it goes all the same, after %.2f s',
            $took;

        # The flush may have been sent: then it is there, else the log says
        # what is lost.
        sleep 1;
        my %used = in_database();
        my ($lost) = TenonServer::_slurp($s->error_log)
            =~ /tenon: (\d+) units of \d+ counters are lost/;
        my $missing = $sure{acme} - $used{acme};
        cmp_ok $missing, '<=', $lost // 0, "$missing are lost, and that is "
            . 'said: ' . ($lost // 'nothing');
        cmp_ok $missing, '>=', 0, 'none is counted twice';
        %sure = (%sure, %used);
        truncate $s->error_log, 0;
        $s->start;
    };
}

# ---- under load ----

sub client {
    my ($n, $end, $out) = @_;
    my $who = $n % 3 ? 'alice' : 'dave';
    my $bytes = $s->bytes(GET => 'tasks?limit=1', as => $who);
    my %count = (answers => 0, counted => 0, open => 0);
    my $c;
    while (time < $end) {
        my $sent;
        my $r = eval {
            $c //= $s->connect;
            $sent = 1;
            $c->write($bytes);
            $c->response;
        };
        if ($r) {
            $count{answers}++;
            $count{counted}++ if counted($r);
            sleep 0.01 if $r->{status} != 200;
        } else {
            $count{open}++ if $sent;
            sleep 0.02;
        }
        undef $c if !$r || ($r->header('Connection') // '') eq 'close';
    }
    print {$out} $json->encode({ %count, tenant => $at{$who} });
    return;
}

sub under_load {
    my ($what, $seconds, $code) = @_;
    my $end = time + $seconds;
    my @pids = map {
        my $n = $_;
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            open my $out, '>', $s->dir . "/usage-$n" or POSIX::_exit(1);
            eval { client($n, $end, $out); 1 } or print {*STDERR} $@;
            close $out;
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. CLIENTS;
    my $done = $code->($end - 1);
    waitpid $_, 0 for @pids;

    my $answers = 0;
    for my $n (1 .. CLIENTS) {
        my $count = $json->decode(TenonServer::_slurp($s->dir . "/usage-$n"));
        $answers += $count->{answers};
        $sure{ $count->{tenant} } += $count->{counted};
        $open{ $count->{tenant} } += $count->{open};
    }
    $s->wait_until(10, sub {
        eval { $s->request(GET => '/ready', host => 'tenon.localhost')
                 ->{status} == 200 } });
    cmp_ok $answers, '>', 50, "$what: $done; $answers answers";
    all_there($what);
    return;
}

sub until_end {
    my ($end, $every, $code) = @_;
    my $n = 0;
    while (time < $end) {
        $code->($n++);
        sleep $every;
    }
    return $n;
}

subtest 'workers are killed' => sub {
    under_load('killed', $long ? 120 : 6, sub {
        my ($end) = @_;
        return until_end($end, 0.35, sub {
            my @workers = $s->workers;
            kill KILL => $workers[rand @workers] if @workers;
        }) . ' kills';
    });
};

subtest 'PostgreSQL is restarted at once' => sub {
    under_load('restarts', $long ? 120 : 6, sub {
        my ($end) = @_;
        sleep 0.5;
        return until_end($end, 1.5, sub {
            $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s \
                           -m immediate restart > /dev/null 2>&1 9>&-');
        }) . ' immediate restarts';
    });
};

subtest 'nginx is reloaded' => sub {
    under_load('reloads', $long ? 60 : 4, sub {
        my ($end) = @_;
        return until_end($end, 0.7, sub { $s->reload }) . ' reloads';
    });
};

# Old workers that go on with what they have leave the flush to the new ones.
subtest 'old workers stay' => sub {
    all_there('before');
    my @old = $s->workers;
    my @slow = map {
        my $pid = $_;
        $s->alone($pid, sub {
            my $c = $s->connect;
            $c->write($s->bytes(POST => 'tasks', as => 'alice', headers => [
                'Content-Type' => 'application/json',
                'Content-Length' => 100 ]) . '{');
            $c;
        });
    } @old;
    $open{acme} += @slow;
    sleep 0.3;
    $s->reload;
    ok $s->wait_until(10, sub {
        my %now = map { $_ => 1 } $s->workers;
        return keys %now == @old && !grep { $now{$_} } @old;
    }), 'there are new workers';
    sleep 1.5;
    ask('alice') for 1 .. 5;
    my $began = time;
    ok $s->wait_until(10, sub { my %used = in_database();
                                $used{acme} >= $sure{acme} }),
        sprintf 'what they count is there after %.1f s', time - $began;
    cmp_ok time - $began, '<', 4, 'soon';
    is scalar(grep { kill 0 => $_ } @old), scalar @old, 'and the old ones too';
    $_->close for @slow;
    all_there('they have gone');
};

# The old workers' memory is theirs alone then: the last of them flushes it.
subtest 'nginx is reloaded with zones of other sizes' => sub {
    my $file = $s->var . '/nginx/nginx.conf';
    my $conf = TenonServer::_slurp($file);
    under_load('other zones', $long ? 60 : 4, sub {
        my ($end) = @_;
        return until_end($end, 0.9, sub {
            my $size = 8 + $_[0] % 2;
            TenonServer::_spew($file,
                $conf =~ s/(tenon_zone\s+tenon):16m;/$1:${size}m;/r);
            $s->reload;
        }) . ' reloads';
    });
    TenonServer::_spew($file, $conf);
    $s->reload;
};

# Each has counters of its own then, as two nodes have.
subtest 'the binary is upgraded' => sub {
    under_load('upgrades', $long ? 30 : 4, sub {
        my ($end) = @_;
        return until_end($end, 0.5, sub {
            my $old = $s->master;
            kill USR2 => $old;
            $s->wait_until(5, sub {
                my $now = eval { $s->master };
                return $now && $now != $old && $s->workers;
            }) or die "no new master\n";
            sleep 0.5;
            kill QUIT => $old;
            $s->wait_until(8, sub { !kill 0 => $old })
                or die "the old master stays\n";
        }) . ' upgrades';
    });
};

subtest 'all of it' => sub {
    under_load('all', $long ? 180 : 7, sub {
        my ($end) = @_;
        my ($kills, $restarts, $reloads) = (0, 0, 0);
        until_end($end, 0.4, sub {
            my ($n) = @_;
            my @workers = $s->workers;
            $kills += kill KILL => $workers[rand @workers] if @workers;
            $restarts++, $s->shell('
                as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s \
                    -m immediate restart > /dev/null 2>&1 9>&-')
                if $n % 5 == 2;
            $reloads++, $s->reload if $n % 3 == 1;
        });
        return "$kills kills, $restarts restarts, $reloads reloads";
    });
};

# ---- more tenants than a zone has counters ----

subtest 'a small zone' => sub {
    $s->stop;
    my $small = TenonServer->new(zone => '64k');
    my @slugs = map { "org$_" } 1 .. 40;
    my %token;
    for my $slug (@slugs) {
        $small->found($slug);
        $small->hire('alice', $slug, 'member');
        $token{$slug} = $small->request(POST => 'auth/login', at => $slug,
            json => { email => 'alice@acme.test',
                      password => $small->password })->json->{access_token};
    }
    my $get = sub { $small->request(GET => 'tasks?limit=1', at => $_[0],
                                    token => $token{$_[0]}) };
    my %told = map { $_ => 0 } @slugs;
    my %status;
    my $round = sub {
        my ($pause) = @_;
        my $n = 0;
        %status = ();
        for my $slug (@slugs) {
            sleep 1.2 if $pause && $n++ == 20; # a flush
            my $r = $get->($slug);
            my $code = $r->{status} == 200 ? 200
                : join ' ', $r->{status}, $r->json->{code};
            $status{$code}++;
            $told{$slug}++ if $r->{status} == 200;
        }
    };
    my $used = sub {
        return { map { split /\|/ } split /\n/, $small->psql("
            select t.slug, sum(u.used) from tenon.usage_total u
              join tenon.tenant t using (tenant_id)
             where u.meter = 'api_calls' group by 1") };
    };
    my $there = sub { join(' ', %{{ %told, %{ $used->() } }}{sort keys %told})
                          eq join(' ', %told{sort keys %told}) };

    for (1 .. 2) {
        $round->('pause');
        is_deeply \%status, { 200 => 40 },
            'what is flushed gives way: all are served';
        sleep 1.2;
    }
    ok $small->wait_until(10, $there), 'and counted';

    my $holder = hold('lock table tenon.usage_total in exclusive mode', $small);
    $round->();
    cmp_ok $status{'503 busy'} // 0, '>=', 8,
        'what isn\'t gives no way: ' . join ', ',
        map { "$status{$_} x $_" } sort keys %status;
    let_go($holder, $small);
    ok $small->wait_until(15, sub {
        $round->();
        return ($status{200} // 0) == 40;
    }), 'all are served again';
    ok $small->wait_until(10, $there), 'and counted';
    is_deeply $used->(), \%told, 'exactly';
    like TenonServer::_slurp($small->error_log), qr/no room for more counters/,
        'the log says so';
    is scalar(() = TenonServer::_slurp($small->error_log)
        =~ /no room for more counters/g), 1, 'once';
};

done_testing;
