#!/usr/bin/perl

# An app is loaded into a running server, unloaded, and loaded again, while
# TeamOS is read and written: no worker ends, no request fails or waits long,
# and what the load brought goes without a trace, but for the rows.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use File::Temp ();
use JSON::PP ();
use POSIX ();
use Test::More;
use TenonCheck;
use TenonClient ();
use TenonServer ();
use Time::HiRes qw(sleep time);

my $s = TenonServer->new;
my @tasks = map { $_->{id} } @{ $s->request(
    GET => 'tasks', as => 'carol')->json->{data} };
my $project = $s->request(GET => 'projects',
                          as => 'carol')->json->{data}[0]{id};
my $json = JSON::PP->new->canonical;

sub document {
    my $r = $s->request(GET => 'openapi.json', host => 'tenon.localhost');
    status_is $r, 200, 'openapi.json';
    return $r;
}


# ---- TeamOS at work ----

my $work = File::Temp->newdir('load-XXXXXX', TMPDIR => 1);
my @at_work;

END {
    local $?;
    kill TERM => @at_work;
    waitpid $_, 0 for @at_work;
}

# One client after the other request, over connections that are kept; each
# outcome is a line. For a minute at most.
sub client {
    my ($n) = @_;
    my $end = time + 60;
    my ($c, $used, $i) = (undef, 0, 0);
    open my $out, '>', "$work/$n" or die "$work/$n: $!\n";

    until (-e "$work/stop" || time > $end) {
        my @request = (
            [GET => 'tasks?limit=5'],
            [POST => 'tasks', json => { project_id => $project,
                                        title => "load $n " . ++$i }],
            [GET => "tasks/$tasks[$i % @tasks]"],
            [PATCH => "tasks/$tasks[$i % @tasks]",
             json => { title => "load $n $i" }],
            [GET => 'projects'],
        );
        for my $request (@request) {
            my ($method, $path, @o) = @$request;
            my $began = time;
            my $said = eval {
                if (!$c || $used++ >= 500) {
                    $c = $s->connect;
                    $used = 0;
                }
                $c->write($s->bytes($method, $path, as => 'alice', @o));
                my $r = $c->response;
                $r ? $r->{status} : 'closed';
            } // $@ =~ s/\s+/ /gr;
            $c = undef if $said !~ /\A\d+\z/;
            printf {$out} "%s %.3f %s %s\n", $said, time - $began, $method,
                $path;
        }
    }
    close $out;
    return;
}

sub begin_work {
    $s->token('alice');
    for my $n (1, 2) {
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            client($n);
            POSIX::_exit(0);
        }
        push @at_work, $pid;
    }
    sleep 0.5;
    return;
}

sub end_work {
    open my $stop, '>', "$work/stop" or die "$work/stop: $!\n";
    waitpid $_, 0 for splice @at_work;
    my @lines = do { local @ARGV = glob "$work/[0-9]"; <> };
    my @bad = grep { !/\A20[01] / } @lines;
    my ($longest) = sort { $b <=> $a } map { (split)[1] } @lines;
    cmp_ok scalar @lines, '>', 100, @lines . ' requests meanwhile';
    is_deeply \@bad, [], 'none failed';
    note "the longest took $longest s";
    cmp_ok $longest, '<', 5, 'none waited long';
    return;
}

my $before = document();
my @workers = $s->workers;
my $rows;

begin_work();

subtest 'loading into running workers' => sub {
    problem_is $s->request(GET => 'patients', as => 'alice'), 404,
        'not_found', 'there is no clinic';
    my $out = $s->load('clinic', demo => 1);
    like $out, qr/loaded app clinic, catalogue version \d+/, 'tenonctl says so';
    is_deeply [$s->workers], \@workers, 'the same workers';

    my $r = $s->request(GET => 'patients', as => 'petra');
    status_is $r, 200, 'the clinic is served';
    is scalar @{ $r->json->{data} }, 4, 'with its demo patients';
    is_deeply $s->request(GET => 'patients', as => 'alice')->json->{data}, [],
        'which are not those of acme';
    status_is $s->request(POST => 'patients', as => 'petra',
                          json => { name => 'Fay' }), 201, 'one more';

    my ($old, $new) = ($before->json, document()->json);
    my @changed = grep { $json->encode($new->{paths}{$_} // '') ne
                         $json->encode($old->{paths}{$_}) }
        sort keys %{ $old->{paths} };
    is_deeply \@changed, [], "what TeamOS's document said, it says";
    cmp_ok scalar keys %{ $new->{paths} }, '>',
        scalar keys %{ $old->{paths} }, 'and more';
};

subtest 'loads wait for nobody' => sub {
    # A writer in the midst of a transaction, and a reader of everything.
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        eval { $s->psql(q{
            begin;
            update teamos.task set title = title
             where tenant_id = '01900000-000b-7000-8000-000000000001';
            select count(*) from clinic.patient;
            select pg_sleep(8);
            rollback}) };
        POSIX::_exit(0);
    }
    $s->wait_until(5, sub { $s->psql(q{
        select count(*) from pg_stat_activity
         where query like '%pg_sleep(8)%' and pid <> pg_backend_pid()
           and wait_event = 'PgSleep'}) }) or die "nobody writes\n";
    for my $app (qw(teamos clinic)) {
        my $began = time;
        my $out = eval { $s->load($app) } // $@;
        like $out, qr/loaded app $app/, "$app again, unchanged";
        note sprintf '%s: %.2f s', $app, time - $began;
    }
    is waitpid($pid, POSIX::WNOHANG()), 0, 'while they were at it';
    $s->psql(q{select pg_terminate_backend(pid) from pg_stat_activity
                where wait_event = 'PgSleep'});
    waitpid $pid, 0;
};

subtest 'a load that fails changes nothing' => sub {
    my $dir = File::Temp->newdir('apps-XXXXXX', TMPDIR => 1);
    chmod 0755, "$dir";
    mkdir "$dir/broken";
    open my $out, '>', "$dir/broken/10.sql" or die "$dir: $!\n";
    print {$out} "create schema broken;\n",
        "select tenon.app_begin('broken');\n",
        "select tenon.resource('clinic.patient', path => 'stolen');\n",
        "select tenon.app_end('broken');\n";
    close $out;
    my $version = $s->adopted;
    my $said = eval { $s->load('broken', dir => "$dir") } // $@;
    like $said, qr/failed/, 'tenonctl fails';
    is $s->adopted, $version, 'the catalogue is as it was';
    is $s->psql("select count(*) from pg_namespace
                  where nspname = 'broken'"), 0, 'nothing of it is there';
    status_is $s->request(GET => 'patients', as => 'petra'), 200,
        'and all is served';
};

subtest 'unloading' => sub {
    $rows = $s->psql('select count(*) from clinic.patient');
    my $token = $s->token('petra');
    $s->unload('clinic');
    is_deeply [$s->workers], \@workers, 'the same workers';
    my $after = document();
    ok $after->{body} eq $before->{body}, 'the document is as before';
    is $after->header('ETag'), $before->header('ETag'), 'to the byte';

    my @path = ('patients', 'visits', 'visits/' .
                '01900000-000c-7000-8000-000000000501/check-in',
                'queries/day-plan?day=2031-01-01');
    my $absent = $s->request(GET => 'no-such-thing', at => 'lakeside',
                             token => $token, headers => [fixed_id()]);
    for my $path (@path) {
        is $s->request(GET => $path, at => 'lakeside', token => $token,
                       headers => [fixed_id()])->visible, $absent->visible,
            "$path: as what never was";
    }
    status_is $s->request(GET => 'me', as => 'petra'), 200,
        'its people are still people';
    status_is $s->request(GET => 'tasks', as => 'carol'), 200,
        'TeamOS is served';
    is $s->psql('select count(*) from clinic.patient'), $rows,
        'the rows are kept';
    is $s->psql("select count(*) from tenon.\"grant\" g
                   join tenon.permission p on p.number = g.permission
                  where p.name like 'clinic.%'"), 0, 'no grants are';

    # Nor may a worker touch its tables any more, or call its functions.
    is $s->psql(q{
        select count(*) from pg_class c
         where c.relnamespace = 'clinic'::regnamespace and c.relkind = 'r'
           and (has_table_privilege('tenon_api', c.oid, 'select')
                or has_any_column_privilege('tenon_api', c.oid, 'update'))}),
        0, 'nor privileges';
    is $s->psql(q{
        select count(*) from pg_proc p
         where p.pronamespace = 'clinic'::regnamespace and p.prosecdef}), 0,
        'nor wrappers';
};

subtest 'and back' => sub {
    $s->load('clinic');
    is_deeply [$s->workers], \@workers, 'the same workers';
    my $r = $s->request(GET => 'patients', as => 'petra');
    is scalar @{ $r->json->{data} }, $rows - 1, 'its patients are back';
    status_is $s->request(GET => 'patients?q=fay', as => 'petra'), 200,
        'and found';
    my ($event) = @{ $s->request(GET => 'audit/events?resource=clinic.patient',
                                 as => 'nora')->json->{data} };
    is $event->{action}, 'patient.created', 'the log has kept its events';
    status_is $s->request(
        POST => 'visits/01900000-000c-7000-8000-000000000503/check-in',
        as => 'petra', json => { room => '4' }), 200, 'the action works';
    status_is $s->request(GET => 'queries/day-plan?day=2031-01-01',
                          as => 'petra'), 200, 'the query too';
    $s->unload('clinic');
    ok document()->{body} eq $before->{body}, 'and gone again';
};

end_work();
is_deeply [$s->workers], \@workers, 'the same workers throughout';

# Every write that was acknowledged is there.
my $acknowledged = grep { /\A201 / }
    do { local @ARGV = glob "$work/[0-9]"; <> };
is $s->psql("select count(*) from teamos.task where title like 'load _ %'
                and not id = any ('{" . join(',', @tasks) . "}')"),
    $acknowledged, "all $acknowledged tasks that were made are there";

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
