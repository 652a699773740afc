#!/usr/bin/perl

# PostgreSQL under load: backends ended in mid-pipeline, one after the other;
# immediate restarts; every connection held up by a locked row; statements and
# locks that take too long. No acknowledged write is lost or doubled, nothing
# that was refused is there, waits are bounded, and service is back.
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
my $s = TenonServer->new(http => '
    tenon_queue_size    20;
    tenon_queue_timeout 1s;
    tenon_timeout       5s;
    keepalive_requests  1000000;
');
$s->token($_) for qw(alice dave);
my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };
my $theirs = $s->request(GET => 'tasks?limit=5', as => 'dave')->{body};

# ---- load: creates of acme, lists of globex ----

# [title, status, code, what is wrong], a line each.
sub client {
    my ($name, $end, $out) = @_;
    $out->autoflush(1);
    my $c = $s->connect;
    for (my $i = 1; time < $end; $i++) {
        my $title = "$name.$i.";
        $c->write($s->bytes(POST => 'tasks', as => 'alice', json => {
            project_id => $project->{id}, title => $title }));
        my $r = $c->response // die "no answer\n";
        my $code = $r->{status} == 201 ? '' : $r->json->{code};
        print {$out} $json->encode([$title, $r->{status}, $code,
            $code ? join '; ', problem_faults($r, 503) : '']), "\n";

        $c->write($s->bytes(GET => 'tasks?limit=5', as => 'dave'));
        $r = $c->response // die "no answer\n";
        print {$out} $json->encode(['', $r->{status}, '',
            $r->{status} != 200 ? join '; ', problem_faults($r, 503)
            : $r->{body} ne $theirs ? "another list: $r->{body}" : '']), "\n";
        sleep $code ? 0.02 : 0.002;
    }
    return;
}

# Runs $code, which does the damage, under load; what the clients were told
# against what is there.
sub under_load {
    my ($what, $seconds, $code) = @_;
    my $end = time + $seconds;
    my $name = $what =~ s/\W+/-/gr;
    my @pids = map {
        my $n = $_;
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            open my $out, '>', $s->dir . "/$name-$n" or POSIX::_exit(1);
            eval { client("$name $n", $end, $out); 1 }
                or print {$out} $json->encode(['', 0, '', "died: $@"]), "\n";
            close $out;
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. CLIENTS;
    my $done = $code->($end - 1);
    waitpid $_, 0 for @pids;

    my (%count, @wrong, %told);
    for my $n (1 .. CLIENTS) {
        for (split /\n/, TenonServer::_slurp($s->dir . "/$name-$n")) {
            my ($title, $status, $code, $wrong) = @{ $json->decode($_) };
            $count{join ' ', $status, $code || ()}++;
            push @wrong, "$title $wrong" if length $wrong;
            $told{$title} = $code if length $title;
        }
    }
    is_deeply \@wrong, [], sprintf '%s: %s; %s', $what, $done, join ', ',
        map { "$count{$_} x $_" } sort keys %count;

    my %rows = map { split /\|/ } split /\n/, $s->psql("
        select title, count(*) from teamos.task
         where title like '$name %' group by 1");
    my %events = map { split /\|/ } split /\n/, $s->psql("
        select b.after->>'title', count(*) from tenon.event e
          join tenon.event_body b
            on b.tenant_id = e.tenant_id and b.event_id = e.id
         where e.action = 'task.created'
           and b.after->>'title' like '$name %' group by 1");
    my @ok = grep { $told{$_} eq '' } keys %told;
    my @refused = grep { $told{$_} =~ /^(?:unavailable|busy)$/ } keys %told;
    is_deeply [grep { !$rows{$_} } @ok], [],
        scalar @ok . ' acknowledged, none lost';
    is_deeply [grep { $rows{$_} > 1 } keys %rows], [], 'none doubled';
    is_deeply [grep { $rows{$_} } @refused], [],
        scalar @refused . ' refused, none there';
    is_deeply \%events, \%rows, 'each with its event';
    my $began = time;
    ok $s->wait_until(2, sub {
        $s->request(GET => 'me', as => 'alice')->{status} == 200;
    }), sprintf 'served again after %.0f ms', 1000 * (time - $began);
    return \%count;
}

subtest 'backends are ended' => sub {
    my $count = under_load('backends ended', $long ? 120 : 6, sub {
        my ($end) = @_;
        # Those that work first, so that it hits a pipeline.
        my ($n) = $s->psql(sprintf q{
            do $$ declare n int := 0; begin
                while clock_timestamp() < to_timestamp(%.3f) loop
                    perform pg_stat_clear_snapshot();
                    n := n + count(*) filter (where t) from (
                        select pg_terminate_backend(pid) t from (
                            select pid from pg_stat_activity
                             where usename = 'tenon_api'
                             order by state = 'active' desc, random()
                             limit 1) a) b;
                    perform pg_sleep(0.03);
                end loop;
                raise notice '%% ended', n;
            end $$}, $end) =~ /(\d+) ended/;
        return "$n ended";
    });
    cmp_ok $count->{201} // 0, '>', 20, 'and many were served';
};

subtest 'PostgreSQL is restarted at once' => sub {
    under_load('restarts', $long ? 120 : 8, sub {
        my ($end) = @_;
        my $n = 0;
        sleep 0.5;
        while (time < $end) {
            $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s \
                           -m immediate restart > /dev/null 2>&1 9>&-');
            $n++;
            sleep 1.5;
        }
        return "$n immediate restarts";
    });
};

# ---- a locked row ----

my ($worker) = $s->workers;

sub task {
    return $s->request(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => $_[0] })->json->{id};
}

sub connections {
    my ($n) = @_;
    return $s->alone($worker, sub { map { $s->connect } 1 .. $n });
}

# Holds a row until it is let go.
sub hold {
    my ($id) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        # Without a word when it is ended.
        eval { $s->psql("set application_name = holder;
            begin;
            select set_config('tenon.tenant', tenant_id::text, true)
              from teamos.task where id = '$id' for update;
            select pg_sleep(600)") };
        POSIX::_exit(0);
    }
    $s->wait_until(10, sub { $s->psql("
        select count(*) from pg_stat_activity
         where application_name = 'holder' and wait_event = 'PgSleep'") })
        or die "the row is not locked\n";
    return $pid;
}

sub let_go {
    my ($pid) = @_;
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where application_name = 'holder'");
    waitpid $pid, 0;
    return;
}

# Seconds that the requests to a path took, in the order of their answers, as
# nginx has it.
sub durations {
    my ($path) = @_;
    return map { $_->{duration} } grep { $_->{path} =~ /\Q$path\E$/ }
        map { $json->decode($_) }
        split /\n/, TenonServer::_slurp($s->access_log);
}

subtest 'a pool that is used up' => sub {
    my $id = task('the row');
    my @c = connections(60);
    my $holder = hold($id);
    $s->asleep($worker, sub {
        my $n = 0;
        $_->write($s->bytes(PATCH => "tasks/$id", as => 'alice', json => {
            title => 'used up ' . $n++ })) for @c;
    });
    my $began = time;
    my @r = map { $_->response } @c;
    my $last = time - $began;
    is_deeply [map { problem_faults($_, 503, 'busy') } @r], [],
        '60 writes to a locked row are told to come back';

    # The others waited for the lock, half a second at least (lock_timeout of
    # the role), or in the queue for longer.
    my $early = 0;
    for my $seconds (durations("tasks/$id")) {
        last if $seconds >= 0.4;
        $early++;
    }
    cmp_ok $early, '<=', 60 - 20 - 1, "$early at once";
    cmp_ok $early, '>=', 60 - 20 - 3,
        'no more: three wait for the lock, and the queue holds 20';

    # In a second those three give up at most twice and make room, and those
    # behind them still wait for the lock.
    my $queued = grep { $_->json->{detail} =~ /queue is full/ } @r;
    cmp_ok $queued - $early, '>=', 20 - 3 - 3,
        'waits are bounded: ' . ($queued - $early) . ' in the queue';
    cmp_ok $last, '<', 4, sprintf 'all: the last is told after %.1f s', $last;

    let_go($holder);
    $c[0]->write($s->bytes(PATCH => "tasks/$id", as => 'alice',
                           json => { title => 'at last' }));
    status_is $c[0]->response, 200, 'then the row can be written';
    is $s->request(GET => "tasks/$id", as => 'alice')->json->{version}, 2,
        'nothing of the refused was done';
};

# ---- time-outs of the role ----

subtest 'lock_timeout of the role' => sub {
    my $id = task('locked');
    $s->psql("alter role tenon_api set lock_timeout = '200ms'");
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where usename = 'tenon_api'");
    $s->wait_until(3, sub { $s->request(GET => 'me', as => 'alice')
                              ->{status} == 200 });
    my $holder = hold($id);
    my $began = time;
    my $r = $s->request(PATCH => "tasks/$id", as => 'alice',
                        json => { title => 'no' });
    my $took = time - $began;
    problem_is $r, 503, 'busy', sprintf 'a write is told to come back ' .
        'after %.0f ms', 1000 * $took;
    let_go($holder);
    is $s->request(GET => "tasks/$id", as => 'alice')->json->{title},
        'locked', 'and has done nothing';
    $s->psql('alter role tenon_api reset lock_timeout');
};

subtest 'statement_timeout of the role' => sub {
    my $id = task('slow');
    $s->psql("alter role tenon_api set statement_timeout = '300ms'");
    $s->psql("alter role tenon_api set lock_timeout = 0");
    $s->psql("create function public.nap() returns trigger language plpgsql
              as \$\$ begin perform pg_sleep(9); return new; end \$\$;
              create trigger nap before update on teamos.task
                 for each row when (new.title = 'nap')
                 execute function public.nap()");
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where usename = 'tenon_api'");
    $s->wait_until(3, sub { $s->request(GET => 'me', as => 'alice')
                              ->{status} == 200 });
    my $began = time;
    my $r = $s->request(PATCH => "tasks/$id", as => 'alice',
                        json => { title => 'nap' });
    my $took = time - $began;
    ok !problem_faults($r, 503), sprintf 'a write is ended after %.0f ms: %s',
        1000 * $took, eval { $r->json->{code} } // $r->{status};
    isnt eval { $r->json->{code} } // '', 'outcome_unknown',
        'its outcome is known';
    cmp_ok $took, '<', 4, 'by the server';
    is $s->request(GET => "tasks/$id", as => 'alice')->json->{title}, 'slow',
        'and has done nothing';
    $s->psql('drop trigger nap on teamos.task; drop function public.nap();
              alter role tenon_api reset statement_timeout;
              alter role tenon_api reset lock_timeout');
};

unlike TenonServer::_slurp($s->error_log), qr/\[(?:alert|crit|emerg)\]/,
    'nothing alarmed nginx';

done_testing;
