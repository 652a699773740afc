#!/usr/bin/perl

# A proxy between nginx and PostgreSQL cuts, resets or stalls the connection at
# every message of the protocol, within it and behind it, in both directions:
# no client gets a wrong answer, the same request with the same Idempotency-Key
# has one effect, service goes on, and nobody sees another tenant's rows, whose
# requests run beside.
#
# TENON_LONG=1: at every byte, by cut and by reset (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonProxy ();
use TenonServer ();

# The next request is served within: a stalled line is given up after
# tenon_timeout (600 ms here), and it may lie on one more that broke; the rest is
# for a machine that has other things to do.
use constant BACK_MS => 2000;

my $long = $ENV{TENON_LONG};

# Every case costs a connection.
my $s = TenonServer->new(http => '
    tenon_pool_size 20;
    tenon_timeout   600ms;
    tenon_connect_timeout 10s;
    keepalive_requests 1000000;
');
my %tenant = map { split /\|/ } split /\n/,
    $s->psql('select slug, tenant_id from tenon.tenant');
my $p = TenonProxy->new($s);
my ($worker) = $s->workers;
my ($ours, $theirs) = $s->alone($worker, sub { map { $s->connect } 1, 2 });
$s->token($_) for qw(alice dave);

# What either tenant must never read of the other.
my %foreign = map {
    my $other = $_ eq 'acme' ? 'globex' : 'acme';
    my $ids = join '|', split /\n/, $s->psql("
        select '$tenant{$other}' union all
        select id::text from teamos.task where tenant_id = '$tenant{$other}'
        union all
        select id::text from teamos.project
         where tenant_id = '$tenant{$other}'");
    $_ => qr/$ids/;
} qw(acme globex);

sub ask {
    my ($c, $bytes) = @_;
    $c->write($bytes);
    return $c->response;
}

# What is asked beside every case, and its only right answer.
my $beside = $s->bytes(GET => 'tasks?limit=5', as => 'dave');
my $told = ask($theirs, $beside)->{body};

my (%count, @wrong, $slowest);

# Is it an answer that a fault may have?
sub judge {
    my ($name, $r, $tenant) = @_;
    my @faults = !$r ? 'no answer' :
        $r->{status} =~ /^20[014]$/ ? () : problem_faults($r, 503);
    my $code = !$r || $r->{status} < 300 ? '' :
        eval { $r->json->{code} } // '';
    push @faults, "code $code"
        if $code !~ /^(?:|unavailable|busy|outcome_unknown)$/;
    push @faults, "a row of the other tenant"
        if $r && $r->{body} =~ $foreign{$tenant};
    push @wrong, "$name: @faults" if @faults;
    $count{join ' ', $r ? $r->{status} : 'none', $code || ()}++;
    return $code;
}

# Again until it is done; in how many ms.
sub again {
    my ($name, $bytes) = @_;
    my $began = time;
    my $r;
    for (;;) {
        $r = ask($ours, $bytes);
        last if $r->{status} < 300;
        push @wrong, "$name, again: $r->{status} $r->{body}"
            if $r->{status} != 503 &&
               $r->{body} !~ /"idempotency_in_progress"/;
        last if time - $began > 5;
        sleep 0.01;
    }
    my $ms = 1000 * (time - $began);
    $slowest = $ms if $ms > $slowest;
    push @wrong, sprintf '%s: served again after %.0f ms', $name, $ms
        if $ms > BACK_MS || $r->{status} >= 300;
    push @wrong, "$name, again: a row of the other tenant"
        if $r->{body} =~ $foreign{acme};
    return $r;
}

# Where to break off a series of messages: [bytes that pass, at its end].
sub places {
    my (@messages) = @_;
    my (%at, $start);
    $start = 0;
    $at{0} = 1;
    for my $message (@messages) {
        my $n = $message->[1];
        $at{ $start + $_ } //= 0 for $long ? 1 .. $n - 1
            : grep { $_ < $n } int($n / 2), $n - 1;
        $at{ $start += $n } = 1;
    }
    return map { [$_, $at{$_}] } sort { $a <=> $b } keys %at;
}

# Every [batch, side, at, how] of what a request sends and gets.
sub cases {
    my ($text, $bytes, %o) = @_;
    $p->watch($text);
    my $r = ask($ours, $bytes);
    my @batches = $p->seen;
    $p->watch('');
    my (@cases, $n, $stalls);
    for my $batch (0 .. $#batches) {
        for my $side (qw(sent got)) {
            for my $place (places(@{ $batches[$batch]{$side} })) {
                my ($at, $whole) = @$place;
                next if $o{whole} && !$whole && !$long;
                push @cases, map { [$batch, $side, $at, $_] }
                    $long ? qw(cut reset) : $n++ % 2 ? 'cut' : 'reset';
                push @cases, [$batch, $side, $at, 'stall']
                    if $long ? $whole : !($stalls++ % 20);
            }
        }
    }
    return ($r, \@cases, scalar @batches);
}

# Runs a request per case; $make says its text, bytes and what to repeat.
sub scenario {
    my ($what, $make, %o) = @_;
    my ($n, $missed, %how) = (0, 0);
    (%count, @wrong) = ();
    $slowest = 0;
    my ($text, $bytes) = $make->($n);
    my ($r, $cases, $batches) = cases($text, $bytes, %o);
    cmp_ok $batches, '>', 0, "$what: $batches batches" or diag $r->{body};
    my (@codes, $began);
    $began = time;
    my $run = sub {
        my ($batch, $side, $at, $how) = @_;
        my $name = "$what, batch $batch, $how at $at of $side";
        ($text, $bytes) = $make->(++$n);
        $p->arm($text, batch => $batch, side => $side, at => $at, how => $how);
        my @order = $n % 2 ? ($theirs, $ours) : ($ours, $theirs);
        $_->write($_ == $ours ? $bytes : $beside) for @order;
        my $answer = $ours->response;
        push @codes, judge($name, $answer, 'acme');
        my $other = $theirs->response;
        judge("$name, beside", $other, 'globex');
        push @wrong, "$name: another answer beside: $other->{body}"
            if $other->{status} == 200 && $other->{body} ne $told;
        my $fired = $p->fired;
        $how{$how}++ if $fired;
        $o{check}->($name, $answer) if $o{check} && $answer->{status} < 300;
        again($name, $o{after} || $bytes);
        return $fired;
    };
    # A batch in between, such as the look at a session, may take a place; or
    # the line before breaks off only now. Then the case is tried again.
    for my $case (@$cases) {
        $run->(@$case) || $run->(@$case) || $run->(@$case) || $missed++;
    }
    is_deeply \@wrong, [], sprintf
        '%s: %d faults (%s) in %.0f s: %s; served again after at most %.0f ms',
        $what, scalar @$cases,
        join(', ', map { "$how{$_} $_" } sort keys %how) || 'none',
        time - $began,
        join(', ', map { "$count{$_} x $_" } sort keys %count), $slowest;
    # What else was on the line when the places were counted, such as the look at
    # the catalogue's version each second, isn't there again.
    cmp_ok $missed, '<=', 3, "$missed missed, three times each";
    return ($n, @codes);
}

sub kept {
    return $s->psql('select count(*) from tenon.idempotency');
}

my $list = $s->bytes(GET => 'tasks?limit=5&status=done', as => 'alice');
my ($project) = @{ ask($ours, $s->bytes(GET => 'projects', as => 'alice'))
                     ->json->{data} };

subtest 'list' => sub {
    my $right = ask($ours, $list)->{body};
    scenario('list', sub { 'done', $list }, check => sub {
        my ($name, $r) = @_;
        push @wrong, "$name: another list" if $r->{body} ne $right;
    });
};

# Title => how many rows have it; and the same of events.
sub titles {
    my ($action, $like) = @_;
    return { map { split /\|/ } split /\n/, $s->psql("
        select b.after->>'title', count(*) from tenon.event e
          join tenon.event_body b
            on b.tenant_id = e.tenant_id and b.event_id = e.id
         where e.action = '$action' and b.after->>'title' like '$like'
         group by 1") };
}

subtest 'create' => sub {
    my $before = kept();
    my ($n) = scenario('create', sub {
        my ($n) = @_;
        my $title = "proxied $n.";
        return ($title, $s->bytes(
            POST => 'tasks', as => 'alice',
            headers => ['Idempotency-Key' => "create-$n"],
            json => { project_id => $project->{id}, title => $title }));
    });
    my $want = { map { ("proxied $_." => 1) } 0 .. $n };
    is_deeply { map { split /\|/ } split /\n/, $s->psql("
        select title, count(*) from teamos.task
         where title like 'proxied %' group by 1") }, $want,
        ($n + 1) . ' tasks, each once';
    is_deeply titles('task.created', 'proxied %'), $want, 'each logged once';
    is kept() - $before, $n + 1, 'each key kept once';
};

# Without a key nobody may send it twice, and nobody does.
subtest 'create without a key' => sub {
    my ($n, @codes) = scenario('create', sub {
        my ($n) = @_;
        my $title = "keyless $n.";
        return ($title, $s->bytes(
            POST => 'tasks', as => 'alice',
            json => { project_id => $project->{id}, title => $title }));
    }, whole => 1, after => $list);
    my %rows = map { split /\|/ } split /\n/, $s->psql("
        select title, count(*) from teamos.task
         where title like 'keyless %' group by 1");
    my %made;
    for my $i (0 .. $n) {
        my $code = $i ? $codes[$i - 1] : '';
        my $rows = $rows{"keyless $i."} // 0;
        $made{"$rows after " . ($code || 'success')}++;
    }
    is_deeply [grep { !/^1 after success$|^[01] after outcome_unknown$/ &&
                      !/^0 after (?:unavailable|busy)$/ } sort keys %made],
        [], join ', ', map { "$made{$_} x $_" } sort keys %made;
};

subtest 'PATCH' => sub {
    my $task = ask($ours, $s->bytes(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'to patch' }))->json;
    my $before = kept();
    my ($n) = scenario('PATCH', sub {
        my ($n) = @_;
        my $title = "patched $n.";
        return ($title, $s->bytes(
            PATCH => "tasks/$task->{id}", as => 'alice',
            headers => ['Idempotency-Key' => "patch-$n"],
            json => { title => $title }));
    });
    is_deeply titles('task.updated', 'patched %'),
        { map { ("patched $_." => 1) } 0 .. $n },
        ($n + 1) . ' changes, each once';
    is kept() - $before, $n + 1, 'each key kept once';
    my $now = ask($ours, $s->bytes(GET => "tasks/$task->{id}", as => 'alice'))
        ->json;
    is $now->{title}, "patched $n.", 'the last is the last';
    is $now->{version}, $task->{version} + $n + 1, 'and counted';
};

subtest 'DELETE' => sub {
    my @ids = split /\n/, $s->psql("
        begin;
        select set_config('tenon.tenant', '$tenant{acme}', true);
        insert into teamos.task (tenant_id, project_id, title)
        select '$tenant{acme}', '$project->{id}', 'to delete'
          from generate_series(1, " . ($long ? 20000 : 500) . ")
        returning id;
        commit");
    shift @ids;
    my $before = kept();
    my ($n) = scenario('DELETE', sub {
        my ($n) = @_;
        return ($ids[$n], $s->bytes(
            DELETE => "tasks/$ids[$n]", as => 'alice',
            headers => ['Idempotency-Key' => "delete-$n"]));
    });
    is $s->psql("select count(*) from teamos.task
                  where title = 'to delete' and deleted_at is not null"),
        $n + 1, ($n + 1) . ' tasks are deleted';
    is $s->psql("select count(*), count(distinct resource_id) from tenon.event
                  where action = 'task.deleted'"),
        join('|', $n + 1, $n + 1), 'each logged once';
    is kept() - $before, $n + 1, 'each key kept once';
};

subtest 'login' => sub {
    my $bytes = $s->bytes(POST => 'auth/login', at => 'acme', json => {
        email => 'alice@acme.test', password => $s->password });
    my $sessions = "select count(*) from tenon.session
                     where tenant_id = '$tenant{acme}'";
    my $before = $s->psql($sessions);
    my ($n, @codes) = scenario('login', sub { $tenant{acme}, $bytes },
                               whole => 1, after => $list);
    my $made = $s->psql($sessions) - $before;
    my $ok = 1 + grep { $_ eq '' } @codes;
    my $unknown = grep { $_ eq 'outcome_unknown' } @codes;
    ok $made >= $ok && $made <= $ok + $unknown,
        "$made sessions: $ok acknowledged, $unknown unknown";
};

# New connections that break while they are being made: those who ask have
# the others meanwhile. None stalls until tenon_connect_timeout: after that its
# worker prepares nothing for half a minute (stall.t), and there would be
# nothing to break.
subtest 'connecting' => sub {
    my (@broken, %seen, %kinds);
    my $turn = 0;
    for my $kind (qw(startup prepare)) {
        $p->watch($kind);
        $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
                   where usename = 'tenon_api' limit 1");
        $s->wait_until(3, sub { my ($b) = $p->seen;
                                $b && $b->{got}[-1] &&
                                $b->{got}[-1][0] eq 'Z' });
        my ($batch) = $p->seen;
        $p->watch('');
        for my $side (qw(sent got)) {
            my @places = places(@{ $batch->{$side} });
            # Of hundreds of statements every so many; all of the few.
            my $step = $long ? 1 + int(@places / 200) : 1 + int(@places / 4);
            for my $i (grep { !($_ % $step) } 0 .. $#places) {
                my $how = (qw(cut reset stall))[$turn++ % 3];
                $p->arm($kind, side => $side, at => $places[$i][0],
                        how => $how);
                $s->psql("select pg_terminate_backend(pid)
                            from pg_stat_activity
                           where usename = 'tenon_api' limit 1");
                my $began = time;
                my ($fired, $r) = (0);
                until ($fired || time - $began > 20) {
                    $r = ask($ours, $list);
                    $seen{ $r->{status} }++;
                    push @broken, "$kind $side $places[$i][0]: $r->{body}"
                        if $r->{status} != 200;
                    $fired = $p->met;
                    sleep 0.02 if !$fired;
                }
                $p->fired;
                $p->release;
                push @broken, "$kind $side $places[$i][0]: nobody connected"
                    if !$fired;
                $kinds{"$kind $how"}++;
            }
        }
    }
    is_deeply \@broken, [], sprintf 'while %s, %d lists are read', join(', ',
        map { "$kinds{$_} x $_" } sort keys %kinds), $seen{200} // 0;
};

subtest 'by single bytes' => sub {
    $p->slowly(1);
    (%count, @wrong) = ();
    my $began = time;
    for my $n (1 .. 10) {
        if ($n == 5) {
            my $before = $p->opened;
            $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
                       where usename = 'tenon_api' limit 1");
            ok $s->wait_until(20, sub { $p->opened > $before }),
                'a connection is made';
        }
        $theirs->write($beside);
        judge("list $n", ask($ours, $list), 'acme');
        my $other = $theirs->response;
        judge("list $n, beside", $other, 'globex');
        my $title = "by bytes $n";
        judge("create $n", ask($ours, $s->bytes(
            POST => 'tasks', as => 'alice', json => {
                project_id => $project->{id}, title => $title })), 'acme');
    }
    $p->slowly(0);
    is_deeply \@wrong, [], sprintf '%s in %.1f s', join(', ',
        map { "$count{$_} x $_" } sort keys %count), time - $began;
    # But what is sent on the connection just when it is ended.
    cmp_ok +($count{200} // 0) + ($count{201} // 0), '>=', 25,
        'nearly all of 30 are served';
};

is_deeply [grep { $_ == $worker } $s->workers], [$worker], 'no worker died';

subtest 'the same over a unix socket' => sub {
    undef $_ for $p, $ours, $theirs;
    $p = TenonProxy->new($s, unix => 1);
    ($worker) = $s->workers;
    ($ours, $theirs) = $s->alone($worker, sub { map { $s->connect } 1, 2 });
    scenario('list', sub { 'done', $list }, whole => 1);
    my $before = kept();
    my ($n) = scenario('create', sub {
        my ($n) = @_;
        my $title = "over a socket $n.";
        return ($title, $s->bytes(
            POST => 'tasks', as => 'alice',
            headers => ['Idempotency-Key' => "socket-$n"],
            json => { project_id => $project->{id}, title => $title }));
    }, whole => 1);
    is $s->psql("select count(*), count(distinct title) from teamos.task
                  where title like 'over a socket %'"),
        join('|', $n + 1, $n + 1), ($n + 1) . ' tasks, each once';
    is kept() - $before, $n + 1, 'each key kept once';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';

done_testing;
