#!/usr/bin/perl

# Apps are loaded into running workers: no worker goes, no request fails, and
# each of them soon serves what is new. A catalogue that can't be
# served is logged once and the old one stays. Load after load, and reload after
# reload, workers don't grow.
#
# 8 loads and 8 reloads; TENON_LONG=1: 100 of each (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

use constant ROUNDS  => $ENV{TENON_LONG} ? 100 : 8;
use constant CLIENTS => 3;

# What is waited for is that it happens. A worker asks for the version each second
# and compiles what it finds, so it takes one or two where the machine has time;
# who never does it fails, however long that limit.
use constant WITHIN => 10;

# What an allocator keeps goes up and down by a megabyte or so, and no further: 60
# loads end where 10 do. A leak goes up alone. So the most that a worker has while
# it warms up is compared with the least in the second half of what comes behind: a
# catalogue (1.5 MiB) leaked at each of 8 loads is 5 of them by then, and this is
# one of the 20 MiB that a worker has.
use constant GROWTH => 1.05;
use constant WARM   => 5;

# However slow the machine is, nobody is refused for waiting for a connection.
my $s = TenonServer->new(http => 'tenon_pool_size 4; tenon_queue_size 512;
                                  tenon_queue_timeout 8s;');
my @workers = $s->workers;
my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };

diag ROUNDS . ' loads, ' . ROUNDS . ' reloads';


# ---- clients: each a process that writes down what went wrong ----

my $run = 0;

# Starts clients that run until they are told. $anew: a connection for each
# request, else one is kept as long as the server likes.
sub clients {
    my ($anew) = @_;
    my $name = $s->dir . '/run-' . ++$run;
    my @pids;
    for my $n (1 .. CLIENTS) {
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            open my $out, '>', "$name-$n" or POSIX::_exit(1);
            my %count = eval { client($n, "$name-stop", $anew) };
            print {$out} "$_\t$count{$_}\n" for sort keys %count;
            print {$out} "died: $@\t1\n" if $@;
            close $out;
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }
    return { name => $name, pids => \@pids };
}

# How often each answer came: by status, or by what broke.
sub client {
    my ($n, $stop, $anew) = @_;
    my ($c, $task, $i, %count) = (undef, undef, 0);
    my $end = time + 600;
    until (-e $stop || time > $end) {
        my ($method, $path, $json) = !$task || ++$i % 10 == 0
            ? (POST => 'tasks', { project_id => $project->{id},
                                  title => "client $n task $i" })
            : $i % 5 == 0
            ? (PATCH => "tasks/$task", { title => "client $n, $i" })
            : $i % 2 ? (GET => 'tasks?limit=5') : (GET => "tasks/$task");
        my $r = eval {
            $c //= $s->connect;
            $c->write($s->bytes($method, $path, as => 'alice',
                $json ? (json => $json) : (),
                $anew ? (headers => [Connection => 'close']) : ()));
            $c->response // die "connection lost\n";
        };
        my $what = $r ? $r->{status} : "lost: $@";
        $what .= ' ' . ($r->json->{code} // '') if $r && $r->{status} >= 300;
        $count{$what}++;
        $task = $r->json->{id} if $r && $r->{status} == 201;
        undef $c if !$r || ($r->header('Connection') // '') eq 'close';
        sleep 0.003;
    }
    return %count;
}

# Ends them; what they saw must all be well.
sub all_served {
    my ($clients, $name) = @_;
    open my $out, '>', "$clients->{name}-stop" or die "stop: $!\n";
    close $out;
    waitpid $_, 0 for @{ $clients->{pids} };

    my %count;
    for my $n (1 .. CLIENTS) {
        open my $in, '<', "$clients->{name}-$n" or die "client $n: $!\n";
        while (<$in>) {
            chomp;
            my ($what, $times) = /\A(.*)\t(\d+)\z/;
            $count{$what} += $times;
        }
    }
    my $served = ($count{200} // 0) + ($count{201} // 0);
    my @odd = map { "$_: $count{$_}" } grep { !/\A20[01]\z/ } sort keys %count;
    is_deeply \@odd, [], "$name: all of $served requests are served";
    cmp_ok $served, '>', 20, "$name: and they were many";
    return;
}


# ---- catalogues ----

my $apps = $s->dir . '/apps';
$s->shell('mkdir "$1" && cp -r schema/apps/teamos "$1/" && chmod -R a+rX "$1"',
          $apps);

sub load {
    return $s->tenonctl('app load', 'teamos', '--dir', $apps)
        =~ /catalogue version (\d+)$/m ? $1 : die "no version\n";
}

# Adds a file to the app, or replaces it.
sub file {
    my ($name, $text) = @_;
    open my $out, '>', "$apps/teamos/$name" or die "$name: $!\n";
    print {$out} $text;
    close $out;
    chmod 0644, "$apps/teamos/$name";
    return;
}

sub log_lines {
    my ($pattern) = @_;
    open my $in, '<', $s->error_log or die "error.log: $!\n";
    return grep { $_ =~ $pattern } <$in>;
}

# The workers that have said that they serve this version.
sub serving {
    my ($version) = @_;
    my %pid = map { /\] (\d+)#/ ? ($1 => 1) : () }
        log_lines(qr/catalogue version $version is served$/);
    return grep { $pid{$_} } $s->workers;
}

sub served {
    my ($version) = @_;
    return $s->wait_until(WITHIN, sub { serving($version) == @workers });
}

sub has_colour {
    my $r = $s->request(GET => 'tasks?limit=1', as => 'alice');
    return $r->{status} == 200 && exists $r->json->{data}[0]{colour};
}

sub bump {
    return $s->psql("$_[0]; update tenon.catalogue_version
                               set version = version + 1 returning version")
        =~ /(\d+)\z/ ? $1 : die;
}

# The least and the most of some numbers.
sub least { return (sort { $a <=> $b } @_)[0] }
sub most  { return (sort { $b <=> $a } @_)[0] }

# KiB and descriptors of these processes.
sub sizes {
    return map {
        open my $in, '<', "/proc/$_/status" or die "process $_: $!\n";
        my ($kb) = do { local $/; <$in> } =~ /^VmRSS:\s+(\d+) kB/m;
        my @fds = glob "/proc/$_/fd/*";
        [$_, $kb, scalar @fds];
    } @_;
}


subtest 'a changed app is served by running workers' => sub {
    my $clients = clients();

    # One whose body is under way while the catalogue changes.
    my $bytes = $s->bytes(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'begun before' });
    my @slow = map {
        $s->alone($_, sub {
            my $c = $s->connect;
            $c->write(substr $bytes, 0, -5);
            $c->closed(0.1);
            $c;
        });
    } @workers;

    file('15_colour.sql', 'alter table teamos.task
                              add column if not exists colour text;');
    my $version = load();
    my $began = time;
    ok served($version), 'each worker serves it';
    diag sprintf 'after %.1f s', time - $began;

    for my $pid (@workers) {
        ok $s->alone($pid, \&has_colour), "worker $pid knows the new field";
        status_is $s->alone($pid, sub {
            $s->request(POST => 'tasks', as => 'alice', json => {
                project_id => $project->{id}, title => 'red',
                colour => 'red' });
        }), 201, 'and takes it';
    }

    sleep 1.2; # what comes behind a second is late

    for my $c (@slow) {
        $c->write(substr $bytes, -5);
        my $r = $c->response;
        status_is $r, 201, 'a request that began before is answered';
        ok exists $r->json->{colour}, 'as one of now: its body came late';
    }

    all_served($clients, 'a load');
    is_deeply [$s->workers], \@workers, 'by the workers that were there';
};

subtest 'a catalogue that cannot be served' => sub {
    my $clients = clients();
    my $bad = bump("update tenon.field set pattern = '('
                     where resource = 'task' and name = 'title'");
    my $line = qr/catalogue version $bad is not usable/;

    ok $s->wait_until(WITHIN + 1, sub { log_lines($line) == @workers }),
        'each worker says so';
    like +(log_lines($line))[0], qr/version \d+ is served on: .*title/,
        'and names the field';
    sleep 2.5;
    is scalar(my @lines = log_lines($line)), @workers, 'once';
    ok has_colour(), 'the old one serves';

    my $good = bump("update tenon.field set pattern = null
                      where resource = 'task' and name = 'title'");
    ok served($good), 'one that is mended is served';
    all_served($clients, 'a bad catalogue');
};

subtest 'a catalogue that cannot be read, then not be served' => sub {
    my $bad = bump('revoke select on tenon.field from tenon_api');
    my $line = qr/catalogue version $bad is not usable.*permission denied/;
    ok $s->wait_until(WITHIN + 1, sub { log_lines($line) == @workers }),
        'each worker says that it may not read it';
    $s->psql("update tenon.field set pattern = '('
               where resource = 'task' and name = 'title';
              grant select on tenon.field to tenon_api");
    $line = qr/catalogue version $bad is not usable.*title/;
    ok $s->wait_until(WITHIN + 1, sub { log_lines($line) == @workers }),
        'then what is wrong with it';
    my $good = bump("update tenon.field set pattern = null
                      where resource = 'task' and name = 'title'");
    ok served($good), 'one that is mended is served';
};

subtest 'a statement that cannot be prepared' => sub {
    # Connections that are made anew meet a table that has gone.
    $s->psql('alter table teamos.comment rename to gone');
    $s->psql('select pg_terminate_backend(pid) from pg_stat_activity
               where usename = $$tenon_api$$');
    ok $s->wait_until(5, sub {
        my $r = eval { $s->request(GET => 'tasks?limit=1', as => 'alice') };
        $r && $r->{status} == 200;
    }), 'takes no other with it';
    ok log_lines(qr/\[warn\].*tenon: statement \w+ can't be prepared yet: .*comment/),
        'and is named';
    $s->psql('alter table teamos.gone rename to comment');
    my $version = bump('select 1');
    ok served($version), 'and the next load is served';
    ok $s->wait_until(5, sub {
        my $r = $s->request(GET => 'comments?limit=1', as => 'alice');
        $r->{status} == 200;
    }), 'with the table that is back';
};

subtest 'many loads' => sub {
    my $clients = clients();
    my $swap = sub {
        my $version = load();
        return served($version) ? 0 : 1;
    };

    # What each worker has after each load.
    my $late = 0;
    my @readings = map {
        $late += $swap->();
        [sizes(@workers)];
    } 1 .. WARM + ROUNDS;

    is $late, 0, 'each is served';
    all_served($clients, 'all the while');
    is_deeply [$s->workers], \@workers, 'by the workers that were there';

    my @warm = @readings[0 .. WARM - 1];
    my @late = @readings[WARM + ROUNDS / 2 .. $#readings];
    for my $i (0 .. $#workers) {
        my $kb  = most(map { $_->[$i][1] } @warm);
        my $fds = most(map { $_->[$i][2] } @warm);
        my $now = least(map { $_->[$i][1] } @late);
        diag "worker $workers[$i]: "
            . join ' ', map { $_->[$i][1] } @readings;
        cmp_ok $now, '<', $kb * GROWTH,
            "a worker's memory went from $kb to $now KiB";

        # those of the clients came and went
        $now = least(map { $_->[$i][2] } @late);
        cmp_ok $now, '<=', $fds + CLIENTS + 1,
            "its descriptors from $fds to $now";
    }
};

subtest 'many reloads of nginx' => sub {
    my $clients = clients('anew');
    my $late = 0;
    my $again = sub {
        my %old = map { $_ => 1 } $s->workers;
        $s->reload;
        $late += !$s->wait_until(5, sub {
            my @now = $s->workers;
            @now == @workers && !grep { $old{$_} } @now;
        });
    };

    $again->() for 1 .. 5;
    my ($before) = sizes($s->master);
    $again->() for 1 .. ROUNDS;
    my ($after) = sizes($s->master);

    all_served($clients, ROUNDS . ' reloads');
    is $late, 0, 'each brings new workers';
    cmp_ok $after->[1], '<', $before->[1] * GROWTH,
        "the master's memory went from $before->[1] to $after->[1] KiB";

    # those of workers that just went may not be closed yet
    cmp_ok $after->[2], '<=', $before->[2] + 2 * @workers,
        "its descriptors from $before->[2] to $after->[2]";
    my $version = load();
    ok served($version), 'which serve what is loaded';
};

subtest 'one connection, one place in the queue' => sub {
    my $file = $s->dir . '/nginx.conf';
    my $conf = do { local (@ARGV, $/) = $file; <> };
    $conf =~ s/(tenon_pool_size) 4; (tenon_queue_size) 512;/$1 1; $2 1;/
        or die "no pool in $file\n";
    $s->stop;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $conf;
    close $out or die "$file: $!\n";
    $s->start;

    my $tasks = sub {
        my $r = $s->request(GET => 'tasks?limit=1', as => 'alice');
        return $r->{status};
    };
    my ($gone) = $s->tenonctl('app unload', 'teamos')
        =~ /catalogue version (\d+)$/m;
    ok served($gone), 'an app that is unloaded';
    is $tasks->(), 404, 'is not served';
    ok served(load()), 'one that is loaded';
    is $tasks->(), 200, 'is, with what was there';
};

is_deeply [log_lines(qr/\[(?:alert|crit|emerg)\]/)], [],
    'nothing alarmed nginx';

done_testing;
