#!/usr/bin/perl

# tenond: jobs are done once, tried again, given up; by several at a time, and
# whatever becomes of them and of PostgreSQL meanwhile.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use File::Temp ();
use Test::More;
use TenonPg;
use TenonWorker;
use Time::HiRes qw(sleep time);

my $root = "$Bin/../..";
my $platform = '00000000-0000-7000-8000-000000000002';
my ($status, $out);


# ---- settings ----

sub file {
    my ($text) = @_;
    my $file = File::Temp->new;
    print {$file} $text;
    close $file;
    return $file;
}

sub refused {
    my ($text, $pattern, $what) = @_;
    my $file = file($text);
    ($status, $out) = TenonWorker::settings('--check', '--config', "$file");
    is $status, 2, "$what: refused";
    like $out, $pattern, 'and it says what, where and why';
}

my $good = file("# a comment\n\n  jobs  3 \nprepare off\n"
              . "database host=/x dbname=y\r\n");
($status, $out) = TenonWorker::settings('--check', '--config', "$good");
is $status, 0, 'good settings' or diag $out;
is +(TenonWorker::settings('--check', '--config', "$good", '--jobs', 'x'))[0],
    2, 'an option is looked at, too';
is +(TenonWorker::settings('--check', '--config', '/none'))[0], 2,
    'a file must be there';
is +(TenonWorker::settings('now'))[0], 2, 'it takes no words';
is +(TenonWorker::settings('--help'))[0], 0, 'it helps';
refused("jobs 3\nspeed 7\n", qr/:2: there is no setting "speed"/,
        'an unknown setting');
refused("jobs 0\n", qr/:1: jobs can't be "0": it is a number from 1 to 256/,
        'a number out of range');
refused("jobs 3x\n", qr/jobs can't be "3x"/, 'no number');
refused("database bogus\n", qr/database isn't of libpq's form/, 'no conninfo');
refused("database host=/x hosst=/y password=hunter2\n",
        qr/\A(?!.*hunter2).*has a setting that libpq doesn't know/s,
        'an unknown setting of libpq\'s');
refused("stripe_api api.stripe.com\n", qr/stripe_api can't be "api.stripe.com"/,
        'no URL');
refused("stripe_key /none\n", qr{stripe_key: /none: No such file}, 'no file');
refused("stripe_key /dev/null\n", qr/is no regular file/, 'not a file');

sub key_file {
    my ($text, $mode) = @_;
    my $file = file($text);
    chmod $mode, "$file" or die;
    return $file;
}

my $key = key_file("sk_test_0123456789abcdef\n", 0644);
refused("stripe_key $key\n", qr/accessible by others, its mode must be 0600/,
        'a key that all may read');
for my $mode (0600, 0640) {
    chmod $mode, "$key" or die;
    is +(TenonWorker::settings('--check', '--stripe_key', "$key"))[0], 0,
        sprintf '%o will do', $mode;
}
for my $text ('', "\n", "sk_a\nsk_b\n", "sk_a b\n", "sk_a\r\n",
              'k' x 256) {
    $key = key_file($text, 0600);
    refused("stripe_key $key\n",
            qr/\A(?!.*sk_a).*must hold one line with a key/s,
            'what is no key');
}
$key = key_file('k' x 255, 0600);
is +(TenonWorker::settings('--check', '--stripe_key', "$key"))[0], 0,
    'the longest';
refused("jobs\n", qr/:1: jobs has no value/, 'no value');
refused("log_level loud\n", qr/it is one of error, warn, notice or info|LEVEL/,
        'an unknown word');
refused('jobs ' . ' ' x 5000 . "3\n", qr/:1: the line is too long/,
        'an endless line');
like +(TenonWorker::settings('--check', '--config',
                             '' . file("jobs 0\npoll_interval 1\n")))[1],
    qr/jobs.*poll_interval/s, 'all that is wrong is told';


# ---- a database ----

my $pg    = TenonPg->new;
my $super = $pg->conninfo('tenon');
chmod 0711, $pg->dir or die; # tenond is somebody else
local $ENV{PGOPTIONS} = '-c client_min_messages=warning';

sub sql { return $pg->psql('-d', $super, '-c', $_[0]) }

# By nobody: no trigger sees it.
sub set_up {
    my (@statements) = @_;
    return sql(join ';', 'set session_replication_role = replica',
               @statements);
}

sub until_is {
    my ($sql, $want, $what) = @_;
    my $end = time + 30;
    my $got;
    while (time < $end && ($got = sql($sql)) ne $want) {
        sleep 0.05;
    }
    return is $got, $want, $what;
}

$pg->sql('create database tenon');
$pg->psql('-d', $super, '-1', '-f', "$root/schema/bootstrap.sql");
$pg->psql('-d', $super, '-c',
          "alter role tenon_worker set lock_timeout = '25s'");
my @migrations = sort glob "$root/schema/migrations/*.sql";
my ($jobs) = grep { $migrations[$_] =~ /_jobs[.]sql\z/ } 0 .. $#migrations;

sub migrate {
    for my $file (@_) {
        $pg->psql('-d', $pg->conninfo('tenon', 'tenon_owner'), '-1', '-f',
                  $file);
    }
    return;
}

my $w = TenonWorker->new($pg);
my $old = qr/lacks the schema that this tenond needs, \d+: run `tenonctl migr/;
ok $w->wait_for(qr/$old/), 'without a schema it says so';
is $w->stop, 0, 'and stops';
migrate(@migrations[0 .. $jobs - 1]);
$w = TenonWorker->new($pg);
ok $w->wait_for(qr/$old.*42501/), 'with an older one, too';
is $w->stop, 0, 'and stops';
migrate(@migrations[$jobs .. $#migrations]);

$w = TenonWorker->new($pg);
ok $w->wait_for(qr/schema 0, and this tenond needs \d+: run `tenonctl migr/),
    'it waits for the schema that it needs';
is $w->stop, 0, 'and stops all the same';

sql("insert into tenon.migration (version, name, checksum)
     select n, 'x', 'x' from generate_series(1, ${\ scalar @migrations}) n");


# ---- the schedule ----

my @w = map { TenonWorker->new($pg) } 1 .. 2;
until_is("select count(*), max(status), max(attempts), max(tenant_id::text)
            from tenon.job where kind = 'purge'",
         "1|done|1|$platform", 'a purge a day, by one of two');
is $_->stop, 0, 'stopped' for @w;
$w = TenonWorker->new($pg);
$w->wait_for(qr/looking for work/);
sleep 0.5;
is sql("select count(*) from tenon.job where kind = 'purge'"), '1',
    'not again on the same day';
is sql("select count(*) from tenon.event where resource = 'tenon.job'"),
    '0', 'no event tells of it';
$w->stop;

# One that failed, and is tried again when the next is long due.
set_up("delete from tenon.job where kind = 'usage.roll_up'",
       "insert into tenon.job (tenant_id, kind, key, run_at)
        values ('$platform', 'usage.roll_up', 'before',
                now() + interval '1 hour')");
$w = TenonWorker->new($pg);
until_is("select count(*) from tenon.job where kind = 'usage.roll_up'", '2',
         'the next is planned all the same');
$w->stop;

# One that takes longer than its period, or failed and is tried again soon.
for my $state ("status = 'running', lease_until = now() + interval '1 hour'",
               "status = 'queued', run_at = now() + interval '30 seconds'") {
    set_up("delete from tenon.job where kind in ('purge', 'usage.roll_up')",
           "insert into tenon.job (tenant_id, kind, key)
            values ('$platform', 'usage.roll_up', 'before')",
           "update tenon.job set $state where key = 'before'");
    $w = TenonWorker->new($pg);
    until_is("select count(*) from tenon.job where kind = 'purge'", '1',
             'with another kind under way, one is planned');
    is sql("select string_agg(key, ' ') from tenon.job
             where kind = 'usage.roll_up'"), 'before',
        "none is beside one that has $state";
    $w->stop;
}
set_up("update tenon.job
           set status = 'done', lease_until = null, finished_at = now()
         where key = 'before'");
$w = TenonWorker->new($pg);
until_is("select count(*) from tenon.job where kind = 'usage.roll_up'", '2',
         'once that is over the next is');


# ---- many, by two ----

# As many, of some tenants; a purge each.
sub queue {
    my ($n, %o) = @_;
    $o{status} //= 'queued';
    $o{kind}   //= 'purge';
    set_up('delete from tenon.job where key is null', <<"SQL");
insert into tenon.job (tenant_id, kind, status, attempts, lease_until)
select '$platform', '$o{kind}', '$o{status}', ${\ ($o{attempts} // 0)},
       ${\ ($o{lease} // 'null')}
  from generate_series(1, $n)
SQL
    return;
}

my $mine = "from tenon.job where key is null";

queue(400);
push @w, TenonWorker->new($pg);
until_is("select count(*), min(status), max(status), max(attempts) $mine",
         '400|done|done|1', 'each of 400 is done, once');
$w[-1]->stop;

queue(1, kind => 'of_tomorrow');
sleep 0.3;
is sql("select status, attempts $mine"), 'queued|0',
    'what it doesn\'t know it leaves alone';


# However much is over, and whatever the planner knows of it.
sql('alter table tenon.job set (autovacuum_enabled = off)');
set_up("insert into tenon.job (tenant_id, kind, status, finished_at)
        select '$platform', 'purge', 'done', now()
          from generate_series(1, 50000)");
my $queries = do { local (@ARGV, $/) = "$root/schema/queries/work.sql"; <> };
for my $name (qw(job_plan job_claim job_release job_done job_failed)) {
    my ($text) = $queries =~ /^-- name: $name\n(.+?);$/ms;
    $text =~ s/^--.*\n//mg;
    my (%number, @types);
    $text =~ s{(?<!:):(\w+)::([\w\[\]]+)}{
        push @types, $2 unless $number{$1};
        '$' . ($number{$1} ||= @types) . "::$2" }ge;
    my $plan = $pg->psql(
        '-d', $pg->conninfo('tenon', 'tenon_worker'), '-c',
        "set plan_cache_mode = force_generic_plan;
         prepare p (" . join(', ', @types) . ") as $text;
         explain execute p (" . join(', ', ('null') x @types) . ')');
    unlike $plan, qr/Seq Scan on job/, "$name reads by an index" or diag $plan;
    like $plan, qr/Scan.* on job/, 'and it reads';

    next if $name ne 'job_claim';
    set_up('delete from tenon.job where key is null',
           "insert into tenon.job (tenant_id, kind, run_at)
            select '$platform', k, now() - d * interval '1 minute'
              from unnest('{crowd,crowd,crowd,alone,few,few}'::text[])
                   with ordinality u (k, nth)
             cross join lateral (select 10 - nth) x (d)");
    my %value = (n => '2', lease => '60', kinds => q{'{crowd,alone,few}'});
    my @value = map { $value{$_} } sort { $number{$a} <=> $number{$b} }
        keys %number;
    my $claim = sub {
        my @rows = split /\n/, $pg->psql(
            '-d', $pg->conninfo('tenon', 'tenon_worker'), '-c',
            'set tenon.tenant = ' . "'$platform'", '-c',
            "prepare p (" . join(', ', @types) . ") as $text", '-c',
            'execute p (' . join(', ', @value) . ')');
        return join ' ', sort map { (split /\|/)[2] // () } @rows;
    };
    is $claim->(), 'alone crowd', 'of a crowd and others one each';
    is $claim->(), 'crowd few', 'who has none running comes first';
    is $claim->(), 'crowd few', 'and then who has fewer';
    is $claim->(), '', 'until there are no more';
}


# ---- leases ----

queue(1, status => 'running', lease => "now() + interval '1 hour'");
sleep 0.3;
is sql("select status, attempts $mine"), 'running|0',
    'what another does is left to it';
queue(1, status => 'running', lease => 'now()', attempts => 1);
until_is("select status, attempts $mine", 'done|2',
         'until its lease runs out');

queue(1, status => 'running', lease => 'now()', attempts => 8);
until_is("select status, attempts, last_error ~ 'again and again',
                 finished_at is not null $mine", 'dead|9|t|t',
         'whoever begins it dies: it is not begun for ever');
until_is(q{select action, outcome, actor is null from tenon.event
            where resource = 'tenon.job'},
         'job.dead|success|t', 'and its tenant hears of it');


# ---- failures ----

sql('revoke execute on function tenon.purge(int) from tenon_worker');
queue(20);
until_is("select count(*), max(last_error),
                 bool_and(status <> 'queued' or run_at between updated_at
                          and updated_at
                            + interval '10 s' * 2 ^ (attempts - 1))
          $mine and attempts > 0",
         '20|database error 42501|t', 'what failed waits');
cmp_ok sql("select count(distinct run_at) $mine"), '>=', 15,
    'each for a while of its own';
queue(1, attempts => 7);
until_is("select status, attempts, last_error $mine",
         'dead|8|database error 42501', 'after eight attempts it is dead');
like $w->log, qr/attempt 8 failed: database error 42501; it is dead/,
    'and the log says so';
sql('grant execute on function tenon.purge(int) to tenon_worker');
is $w->stop, 0, 'stopped';


# ---- ends ----

# Somebody locks what a purge needs, for as long as $code runs.
sub locked {
    my ($code) = @_;
    my $pid = open my $psql, '|-', 'psql', '-XAtq', $super or die "psql: $!\n";
    $psql->autoflush;
    print {$psql} "begin; lock table tenon.idempotency;\n";
    until_is("select count(*) from pg_locks
               where relation = 'tenon.idempotency'::regclass
                 and mode = 'AccessExclusiveLock' and granted", '1',
             'a lock is held');
    my @result = $code->();
    print {$psql} "rollback;\n";
    close $psql;
    return @result;
}

queue(30);
locked(sub {
    $w = TenonWorker->new($pg, connections => 2, jobs => 10);
    until_is("select count(*) filter (where status = 'running'),
                     count(*) filter (where status = 'queued') $mine",
             '10|20', 'ten are taken');
    until_is(q{select count(*) from pg_stat_activity
                where usename = 'tenon_worker' and wait_event_type = 'Lock'},
             '2', 'two of them under way');
    kill TERM => $w->pid;
    until_is("select count(*) filter (where status = 'running'),
                     count(*) filter (where status = 'queued'
                                        and attempts = 0) $mine",
             '2|28', 'asked to stop, it gives back what it hasn\'t begun');
});
is $w->ended, 0, 'and ends';
is sql("select count(*) filter (where status = 'done'),
               count(*) filter (where status = 'queued' and attempts = 0)
          $mine"), '0|30', 'when the two have given way after their batch';

queue(3);
locked(sub {
    $w = TenonWorker->new($pg, stop_timeout => 300);
    until_is("select count(*) $mine and status = 'running'", '3', 'three run');
    is $w->stop, 0, 'the end doesn\'t wait for ever';
});
like $w->log, qr/stopped with 3 jobs under way: their leases will run out/,
    'and it says what it leaves';
$w = TenonWorker->new($pg);
sleep 0.3;
is sql("select count(*) $mine and status = 'running'"), '3',
    'nobody takes them at once';
set_up("update tenon.job set lease_until = now() where status = 'running'");
until_is("select count(*), min(attempts) $mine and status = 'done'", '3|2',
         'but when their leases are over');

locked(sub {
    queue(3);
    until_is("select count(*) $mine and status = 'running'", '3', 'three run');
    $w->kill;
});
$w = TenonWorker->new($pg);
set_up("update tenon.job set lease_until = now() where status = 'running'");
until_is("select count(*), min(attempts) $mine and status = 'done'", '3|2',
         'so after a crash');

# What takes its connection with it, twice, is not sent a third time.
locked(sub {
    queue(1);
    my @pids;
    for my $time (1, 2) {
        my $waits = "from pg_stat_activity where usename = 'tenon_worker'
                     and wait_event_type = 'Lock'";
        until_is("select count(*) $waits", '1', "sent $time times");
        push @pids, sql("select pid $waits");
        sql("select pg_terminate_backend($pids[-1])");
        until_is("select count(*) $waits and pid = $pids[-1]", '0',
                 'and it is gone');
    }
    isnt $pids[0], $pids[1], 'by another connection';
    ok $w->wait_for(qr/attempt 1 was lost: the database can't be reached/),
        'then no more';
});
is sql("select status, attempts $mine"), 'running|1', 'its lease is left';

# Who wakes up late, and finds its job taken, changes nothing.
locked(sub {
    queue(1);
    until_is("select count(*) $mine and status = 'running'", '1', 'one runs');
    kill STOP => $w->pid;
});
sql(q{select pg_terminate_backend(pid) from pg_stat_activity
       where usename = 'tenon_worker'});
set_up("update tenon.job set lease_until = now() where status = 'running'");
my $other = TenonWorker->new($pg);
until_is("select status, attempts $mine", 'done|2', 'another has done it');
my $version = sql("select version $mine");
kill CONT => $w->pid;
ok $w->wait_for(qr/attempt 1 was lost: its lease ran out/),
    'who was asleep hears that it lost it';
is sql("select version $mine"), $version, 'and changed nothing';
$other->stop;


# ---- PostgreSQL goes ----

for my $mode (qw(fast immediate)) {
    queue(600);
    until_is("select count(*) > 50 $mine and status = 'done'", 't',
             'some are done');
    $pg->restart($mode);
    # What a claim took whose answer was lost comes back with its lease.
    sleep 2;
    set_up("update tenon.job set lease_until = now() where status = 'running'
            and lease_until > now() + interval '1 s'");
    until_is("select count(*) $mine and status = 'done'", '600',
             "all, after a restart ($mode)");
}
like $w->log, qr/database: .*database: connected/s, 'the log tells of it';
is $w->stop, 0, 'by one and the same tenond';

undef $pg;
done_testing;
