#!/usr/bin/perl

# run.pl [--no-peer] [--results FILE] [SECONDS [ROUNDS]]: what Tenon costs over
# what it stands on, and beside what else one would write. README.md says what
# is measured; FILE gets the whole report, stdout its tables.
#
# Answers are compared first. It fails where they differ or where a request
# is answered otherwise than it should be, never on a time.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../t/lib";

use Getopt::Long ();
use JSON::PP ();
use MIME::Base64 ();

use BenchPeer ();
use BenchReport ();
use BenchServer ();

my ($no_peer, $results);
Getopt::Long::GetOptions('no-peer' => \$no_peer, 'results=s' => \$results)
    or die "usage: run.pl [--no-peer] [--results FILE] [SECONDS [ROUNDS]]\n";
my ($seconds, $rounds) = ($ARGV[0] // 4, $ARGV[1] // 5);
for ($seconds, $rounds) {
    /\A[1-9]\d*\z/ or die "seconds and rounds are positive numbers, not $_\n";
}

my $clients     = 8; # wrk's connections and pgbench's
my $connections = 4; # tenon_pool_size, of which run.pl changes nothing

# What runs in a round, in an order that turns with it.
my %sides = (
    list       => [qw(pgbench tenon fastify static)],
    read       => [qw(pgbench tenon fastify)],
    create     => [qw(pgbench tenon fastify)],
    'no token' => ['tenon', 'return 401'],
    'no route' => ['tenon', 'return 404'],
);
my @paths = ('list', 'read', 'create', 'no token', 'no route');

my $bench = BenchServer->new;
my $peer  = $no_peer ? undef : BenchPeer->new($bench,
    workers => scalar $bench->server->workers, connections => $connections);
my ($postmaster) = split /\n/, $bench->server->shell(
    'head -1 "$var/pg/postmaster.pid"');

my $compared = compare();
warm();

my %figure;
for my $round (1 .. $rounds) {
    for my $what (@paths) {
        my @sides = grep { $peer || $_ ne 'fastify' } @{ $sides{$what} };
        push @sides, splice @sides, 0, $round % @sides;
        for my $side (@sides) {
            my $f = measure($what, $side);
            push @{ $figure{$what}{$side} }, $f;
            printf STDERR "%d/%d %-8s %-10s %7.0f/s\n", $round, $rounds, $what,
                $side, $f->{rate};
        }
    }
}

my $report = BenchReport->new(
    figure  => \%figure,
    memory  => { Tenon => [map { memory($_) } $bench->server->workers],
                 $peer ? (Fastify => [map { memory($_) }
                                      grep { $_ != ($peer->pids)[0] }
                                      $peer->pids]) : () },
    facts   => {
        seconds => $seconds, rounds => $rounds, clients => $clients,
        connections => $connections, others => others(),
        workers => scalar $bench->server->workers,
        tasks => $BenchServer::TASKS, compared => $compared,
        peer => $peer ? $peer->versions : 'not measured (--no-peer)',
        settings => join(', ', split /\n/, $bench->server->psql(
            "select name || '=' || current_setting(name) from unnest(array["
            . "'fsync', 'synchronous_commit', 'shared_buffers', "
            . "'max_connections']) name")),
    },
);
print $report->tables;
if (defined $results) {
    open my $out, '>', $results or die "$results: $!\n";
    print {$out} $report->page;
    close $out or die "$results: $!\n";
    print STDERR "the report is $results\n";
}
exit 0;


# ---- the same answers ----

# Says what was compared; dies where something differs.
sub compare {
    my %ours = map { $_ => answer($_, ask_tenon($_)) } qw(list read);
    my %rows = map { $_ => $bench->rows($_) } qw(list read);
    my @ids = map { $_->{id} } @{ $ours{list}{data} };
    die "the lists of Tenon and SQL differ\n"
        if "@ids" ne join ' ', map { $_->{id} } @{ $rows{list} };
    for my $row ([$ours{read}, $rows{read}[0]],
                 map { [$ours{list}{data}[$_], $rows{list}[$_]] } 0 .. $#ids) {
        my ($here, $there) = @$row;
        for my $name (sort keys %$here) {
            my ($is, $should) = map { time_text($_->{$name}) } $here, $there;
            die "$name differs: Tenon $is, SQL $should\n" if $is ne $should;
        }
    }

    if ($peer) {
        for my $what (qw(list read)) {
            my ($tenon, $fastify) = map { $_->{body} =~ s/("next_cursor":")[^"]*/$1/r }
                ask_tenon($what), answered($what, $peer->get($what));
            die "$what differs:\n Tenon   $tenon\n Fastify $fastify\n"
                if $tenon ne $fastify;
        }
        my @last = map { cursor($_) } ask_tenon('list')->json->{next_cursor},
            $peer->get('list')->json->{next_cursor};
        die "the cursors lead to different places: @last\n"
            if $last[0] ne $last[1];
    }

    my %written = (
        Tenon   => written(sub { ask_tenon('create') }),
        pgbench => written(sub { $bench->pgbench('create', '-t', 1, '-c', 1) }),
        $peer ? (Fastify => written(sub {
            answered('create', $peer->get('create')) })) : (),
    );
    for my $side (sort keys %written) {
        die "a create writes other rows:\n Tenon $written{Tenon}\n"
            . " $side $written{$side}\n" if $written{$side} ne $written{Tenon};
    }
    return join ', ', sort keys %written;
}

sub ask_tenon {
    my ($what) = @_;
    my $r = $bench->request($what);
    return answered($what, $bench->server->request(
        $r->{method} => $r->{path}, as => 'alice',
        $r->{body} ? (json => JSON::PP::decode_json($r->{body})) : ()));
}

sub answered {
    my ($what, $r) = @_;
    my $status = $what eq 'create' ? 201 : 200;
    die "$what: answered $r->{status}\n$r->{body}\n"
        if $r->{status} != $status;
    return $r;
}

sub answer { return $_[1]->json }

# PostgreSQL's JSON has times without their last noughts.
sub time_text {
    my ($value) = @_;
    return 'null' if !defined $value;
    return $value if $value !~ /\A\d{4}-\d\d-\d\dT[\d:]+(\.\d+)?(Z|\+00:00)\z/;
    return $value =~ s/(Z|\+00:00)\z//r =~ s/(\.\d*?)0*\z/$1/r =~ s/\.\z//r;
}

# What a cursor says behind its seal of 16 bytes.
sub cursor {
    my ($text) = @_;
    $text =~ tr{-_}{+/};
    return substr MIME::Base64::decode_base64($text . '=' x (-length($text) % 4)),
        16;
}

# The rows that one create adds, but for what is new or of the request.
sub written {
    my ($create) = @_;
    my $counts = 'select (select count(*) from teamos.task), '
        . '(select count(*) from tenon.event), '
        . '(select count(*) from tenon.event_body), '
        . '(select count(*) from tenon.idempotency)';
    my @before = split /\|/, $bench->server->psql($counts);
    $create->();
    my @after = split /\|/, $bench->server->psql($counts);
    my @more = map { $after[$_] - $before[$_] } 0 .. $#after;
    die "a create adds @more rows, not 1 1 1 0\n" if "@more" ne '1 1 1 0';

    my $new = q{'id', 'created_at', 'updated_at'};
    return $bench->server->psql(<<"SQL");
select (select to_jsonb(t) - array[$new] from teamos.task t
         order by created_at desc limit 1),
       (select to_jsonb(e) - array['id', 'at', 'resource_id', 'request_id',
                                   'commitment', 'sequence', 'xid']
          from tenon.event e order by at desc limit 1),
       (select (to_jsonb(b) - array['event_id', 'at', 'salt', 'after', 'ip',
                                    'user_agent'])
               || jsonb_build_object('after', b.after - array[$new])
          from tenon.event_body b order by at desc limit 1)
SQL
}

# Connections, plans, caches, compiled JavaScript: none of it is measured.
sub warm {
    for my $what (qw(list read create)) {
        for my $side ('tenon', $peer ? 'fastify' : ()) {
            run($what, $side, $side eq 'fastify' ? 2 : 1);
        }
    }
    return;
}


# ---- measuring ----

# One run: the rate, and the CPU time per request, in µs, of the server
# (nginx's workers or the peer), of PostgreSQL and of the load generator.
sub measure {
    my ($what, $side) = @_;
    my @pids = $side eq 'pgbench' ? ()
             : $side eq 'fastify' ? $peer->pids : $bench->server->workers;

    my @before = (cpu(@pids), database_cpu(), load_cpu(), machine_cpu());
    my ($requests, $rate) = run($what, $side, $seconds);
    my @after = (cpu(@pids), database_cpu(), load_cpu(), machine_cpu());

    my @used = map { $after[$_] - $before[$_] } 0 .. $#after;
    my ($busy, $all) = splice @used, 4;
    my $others = $busy;
    $others -= $_ for @used;
    my @cost = map { 1e6 * $_ / $requests } @used;
    return { rate => $rate, user => $cost[0], system => $cost[1],
             database => $cost[2], load => $cost[3],
             others => $others > 0 ? $others / $all : 0 };
}

sub run {
    my ($what, $side, $for) = @_;
    if ($side eq 'pgbench') {
        my $out = $bench->pgbench($what, '-c', $clients, '-j', 1, '-T', $for);
        my ($n) = $out =~ /transactions actually processed: (\d+)/ or die $out;
        my ($rate) = $out =~ /^tps = ([\d.]+)/m or die $out;
        return ($n, $rate);
    }

    my $request = $side eq 'static' || $side =~ /^return/ ? $side : $what;
    my $out = $bench->wrk($request, $clients, $for,
                          $side eq 'fastify' ? $peer->port : undef);
    my ($n) = $out =~ /(\d+) requests in/ or die "wrk failed:\n$out";
    my ($bad) = $out =~ /Non-2xx or 3xx responses: (\d+)/;
    my $wanted = $bench->request($request)->{status} >= 400 ? $n : 0;
    die "$what, $side: answered otherwise than it should be:\n$out"
        if $out =~ /Socket errors/ || ($bad // 0) != $wanted;
    my ($rate) = $out =~ m{Requests/sec:\s+([\d.]+)} or die $out;
    return ($n, $rate);
}

# User and system seconds of these processes so far.
sub cpu {
    my (@pids) = @_;
    my @sum = (0, 0);
    for my $pid (@pids) {
        my @field = stat_fields($pid) or next;
        $sum[$_] += $field[11 + $_] / 100 for 0, 1;
    }
    return @sum;
}

# Of PostgreSQL: living children of the postmaster, and those that ended.
sub database_cpu {
    my $ticks = 0;
    my @of = stat_fields($postmaster);
    $ticks += $of[$_] for 11 .. 14;
    open my $in, '<', "/proc/$postmaster/task/$postmaster/children"
        or die "the postmaster is gone\n";
    for my $pid (map { split ' ' } <$in>) {
        my @field = stat_fields($pid) or next;
        $ticks += $field[11] + $field[12];
    }
    return $ticks / 100;
}

# Of wrk and pgbench: children of ours that ended.
sub load_cpu {
    my (undef, undef, $user, $system) = times;
    return $user + $system;
}

# Seconds of all cores so far: those that anybody used, or another machine on
# the same host took, and all.
sub machine_cpu {
    open my $in, '<', '/proc/stat' or die "/proc/stat: $!\n";
    my (undef, @ticks) = split ' ', <$in>;
    my $all = 0;
    $all += $_ for @ticks[0 .. 7];
    return (($all - $ticks[3] - $ticks[4]) / 100, $all / 100);
}

# The fields of /proc/PID/stat behind the name; utime is the 12th.
sub stat_fields {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or return;
    my $line = <$in> // return;
    return split ' ', $line =~ s/.*\) //r;
}

# What others took of the machine while we measured: the median of all runs.
sub others {
    my @shares = sort { $a <=> $b }
        map { $_->{others} } map { @$_ } map { values %$_ } values %figure;
    return sprintf '%.0f %%', 100 * $shares[ @shares / 2 ];
}

# { pss, private } of a process, in MB.
sub memory {
    my ($pid) = @_;
    my %kb = (Pss => 0, Private => 0);
    open my $in, '<', "/proc/$pid/smaps_rollup" or die "smaps_rollup: $!\n";
    while (my $line = <$in>) {
        $kb{$1} += $2 if $line =~ /^(Pss|Private)(?:_Clean|_Dirty)?:\s+(\d+)/;
    }
    return { pss => $kb{Pss} / 1024, private => $kb{Private} / 1024 };
}
