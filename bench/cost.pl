#!/usr/bin/perl

# cost.pl [--keep FOLDER] [CHECKOUT|COMMIT|COMMIT+…]: what plans, limits and flags cost
# a request: user instructions of a whole nginx worker per authenticated
# request, of those checkouts named and then of this one. The first is what the
# others are compared with. A commit is built below build/commits/. COMMIT+ is
# it with cost-saved.patch: what was made quicker since and has nothing to do with
# plans, so that the rest of the difference is what plans cost.
#
# A worker is asked until it is warm; then blocks of requests are counted, each
# by itself, and the middle one is told. Timers (a look at the catalogue each
# second) and what the zone forgets after five seconds fall into few blocks, so
# they aren't in it: they cost a busy worker nothing that could be seen. What a
# second costs in which nobody asks is told apart.
#
# FOLDER gets a block of each, for callgrind_annotate.

use strict;
use warnings;

use FindBin ();
use Getopt::Long ();
use POSIX qw(uname);
my $root;
BEGIN { ($root) = $FindBin::Bin =~ m{(.*)/bench\z} }
use lib "$root/bench/lib";

my $warm   = 300;
my $block  = 100; # requests
my $blocks = 15;
my $idle   = 4;   # seconds

# What there is in the database. Each says all of it.
my %set = (
    'no plan'            => [retired => 'true'],
    'plan, no limit'     => [],
    'plan, quota'        => [limits => [q{'api_calls', 1000000, 'month'}]],
    'plan, quota, rate'  => [limits => [q{'api_calls', 1000000, 'month'},
                                        q{'api_rate', 100000, 'minute'}]],
    '… and 100 flags'    => [limits => [q{'api_calls', 1000000, 'month'},
                                        q{'api_rate', 100000, 'minute'}],
                             flags => 100],
);
my @sets  = ('no plan', 'plan, no limit', 'plan, quota', 'plan, quota, rate',
             '… and 100 flags');
my @paths = qw(read list);

Getopt::Long::GetOptions('keep=s' => \my $keep, 'count' => \my $count)
    or die "usage: cost.pl [--keep FOLDER] [CHECKOUT|COMMIT...]\n";
if ($count) {
    count();
    exit 0;
}
if (defined $keep) {
    -d $keep or mkdir $keep or die "$keep: $!\n";
}
report(map { side($_) } @ARGV, $root);
exit 0;


# ---- sides: each in a process of its own, with its checkout's library ----

sub side {
    my ($named) = @_;
    my $checkout = -d $named ? $named : built($named);
    my $name = $named eq $root ? 'this' : $named;
    my %side = (name => $name, commit => commit($named));
    open my $in, '-|', $^X, "-I$checkout/t/lib", $0, '--count',
        defined $keep ? ('--keep', "$keep/" . $name =~ s{.*/}{}r) : ()
        or die "$checkout: $!\n";
    while (<$in>) {
        chomp;
        my ($set, $what, @n) = split /\t/;
        push @{ $side{rows} }, [$set, $what, @n];
        printf STDERR "%-12s %-20s %-10s %s\n", $name, $set, $what, $n[0];
    }
    close $in or die "$checkout can't be counted\n";
    return \%side;
}

# An unpacked and built copy of a commit's files.
sub built {
    my ($named) = @_;
    my ($commit, $patched) = $named =~ /^(.*?)(\+?)\z/;
    chomp(my $id = `git -C '$root' rev-parse --verify -q '$commit^{commit}'`);
    length $id or die "$commit is no built checkout, and no commit\n";
    my $folder = "$root/build/commits/$id$patched";
    system('bash', '-euc', q{
        mkdir -p "$2"
        if [ ! -e "$2/Makefile" ]; then
            git -C "$0" archive "$1" | tar -x -C "$2"
            [ -z "$3" ] || patch -s -p1 -d "$2" < "$0/bench/cost-saved.patch"
        fi
        make -C "$2" --no-print-directory all >&2
    }, $root, $id, $folder, $patched) == 0 or die "$named can't be built\n";
    return $folder;
}

sub commit {
    my ($named) = @_;
    return $named if !-d $named;
    chomp(my $id = `git -C '$named' describe --always --dirty --exclude '*'`);
    return $id;
}


# ---- one side ----

sub count {
    require BenchServer;
    require BenchCallgrind;
    local $| = 1;
    my $bench = BenchServer->new(tasks => 2000);
    my $server = $bench->server;
    my $plans = $server->psql(q{select to_regclass('tenon.plan')}) ne '';

    for my $set ($plans ? @sets : 'before plans') {
        my %set = @{ $set{$set} || [] };
        next if $plans && !put($bench, %set);
        my $worker = BenchCallgrind->start($bench, 'cost');
        for my $what (@paths, $set{flags} ? 'evaluate' : ()) {
            told($set, $what, counted($worker, $set, $what));
        }
        told($set, 'idle second', map { $_ / $idle }
             spread(map { $worker->count(sub { sleep $idle }) } 1 .. 3));
        $worker->stop;
    }
    return;
}

sub told {
    my ($set, $what, @n) = @_;
    print join("\t", $set, $what, map { sprintf '%.0f', $_ } @n), "\n";
    return;
}

# 0 when this checkout has no such limits.
sub put {
    my ($bench, %o) = @_;
    my $server = $bench->server;
    my $limits = join ' ', map {
        my ($name, $hard, $period) = split /, /;
        "insert into tenon.plan_limit (plan, name, hard, period)
         select name, $name, $hard, $period from tenon.plan;"
    } @{ $o{limits} || [] };
    return 0 if $limits =~ /'minute'/ && $server->psql(
        q{select pg_get_constraintdef(oid) from pg_constraint
           where conname = 'plan_limit_period_set'}) !~ /minute/;

    $server->psql('
        set session_replication_role = replica;
        update tenon.plan set retired = ' . ($o{retired} // 'false') . ";
        delete from tenon.plan_limit;
        delete from tenon.plan_override;
        $limits
        delete from tenon.flag;
        insert into tenon.flag (tenant_id, key, variants, default_variant,
                                off_variant)
        select '" . $bench->tenant . "', 'flag-' || n,
               '{\"on\": true, \"off\": false}', 'on', 'off'
          from generate_series(1, " . ($o{flags} // 0) . ') n');
    return 1;
}

# Instructions per request: the middle, the fewest, the most.
sub counted {
    my ($worker, $set, $what) = @_;
    my ($mark) = spread(map { $worker->count(sub { }) } 1 .. 5);
    $worker->ask($what, $warm);
    my $file = defined $keep ? "$keep-$set-$what" =~ s/[ ,…]+/-/gr : undef;
    return map { ($_ - $mark) / $block }
        spread(map { $worker->count(sub { $worker->ask($what, $block) },
                                    $file) } 1 .. $blocks);
}

sub spread {
    my @n = sort { $a <=> $b } @_;
    return @n[$#n / 2, 0, -1];
}


# ---- the report ----

sub report {
    my @sides = @_;
    my ($nginx) = `nginx -v 2>&1` =~ m{nginx/(\S+)};
    my ($valgrind) = `valgrind --version` =~ m{-(\S+)};
    print "# What plans, limits and flags cost: results\n\n"
        . "Made by `make bench-cost`; [README.md](README.md) says how to read "
        . "it.\n\nnginx $nginx, valgrind $valgrind, " . (uname())[4]
        . "; blocks of $block requests, the middle of $blocks.\n\n"
        . "| checkout | in the database | asked for | instructions | fewest to "
        . "most | than before | than the one in front | "
        . "than without a plan |\n|---|---|---|---:|---|---:|---:|---:|\n";
    my %before = map { $_->[1] => $_->[2] } @{ $sides[0]{rows} };
    my %front;
    for my $side (@sides) {
        my %plain = map { $_->[0] eq 'no plan' ? ($_->[1] => $_->[2]) : () }
            @{ $side->{rows} };
        for my $row (@{ $side->{rows} }) {
            my ($set, $what, @n) = @$row;
            printf "| %s | %s | %s | %d | %d–%d | %s | %s | %s |\n",
                $side->{commit}, $set, $what, @n,
                $side == $sides[0] ? '' : more($n[0], $before{$what}),
                more($n[0], $front{$what}),
                $set eq 'no plan' ? '' : more($n[0], $plain{$what});
        }
        %front = map { $_->[1] => $_->[2] } @{ $side->{rows} };
    }
    return;
}

sub more {
    my ($n, $than) = @_;
    return '' if !$than;
    return sprintf '%+d, %+.2f %%', $n - $than, 100 * ($n - $than) / $than;
}
