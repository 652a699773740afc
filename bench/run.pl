#!/usr/bin/perl

# run.pl [SECONDS [ROUNDS]]: what Tenon costs over what it stands on. List and
# create through nginx (wrk, keep-alive, plain HTTP, one tenant) beside pgbench
# running the same statements in one pipeline with one Sync, on the same
# cluster, in turns; medians and ratios as a Markdown table on stdout.
#
# Before anything is timed, both sides' answers are compared.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../t/lib";

use JSON::PP ();
use TenonServer ();

my ($seconds, $rounds) = (@ARGV, 4, 5)[0, 1];
$rounds = $ARGV[1] // 5;

my $clients = 8;             # wrk's connections and pgbench's
my $tasks   = 100_000;       # in all; a fifth is acme's
my $acme    = '01900000-000a-7000-8000-000000000001';
my $realm   = '00000000-0000-7000-8000-000000000001';
my $project = '01900000-000a-7000-8000-000000000401';

my $server = TenonServer->new;
my $token  = $server->token('alice');

fill();
my %statement = statements();
my %file = (
    list   => script(list   => $statement{listTasks}),
    create => script(create => $statement{createTask}),
);

compare();

my %figure;
for my $round (1 .. $rounds) {
    for my $what (qw(list create)) {
        push @{ $figure{$what}{pgbench} }, pgbench($what);
        my ($rate, $cpu) = wrk($what);
        push @{ $figure{$what}{tenon} }, $rate;
        push @{ $figure{$what}{cpu} }, $cpu;
        printf STDERR "%d/%d %-6s pgbench %6.0f/s  tenon %6.0f/s\n",
            $round, $rounds, $what, map { $figure{$what}{$_}[-1] }
            qw(pgbench tenon);
    }
}

print "| path | pgbench/s | Tenon/s | ratio (min–max) | worker CPU/request |\n",
    "|---|---|---|---|---|\n";

for my $what (qw(list create)) {
    my $f = $figure{$what};
    my @ratio = sort { $a <=> $b }
        map { $f->{tenon}[$_] / $f->{pgbench}[$_] } 0 .. $#{ $f->{tenon} };
    printf "| %s | %.0f | %.0f | %.2f (%.2f–%.2f) | %.0f µs |\n",
        $what eq 'list' ? 'list of 20 tasks' : 'create a task',
        median(@{ $f->{pgbench} }), median(@{ $f->{tenon} }), median(@ratio),
        @ratio[0, -1], median(@{ $f->{cpu} });
}

my ($requests) = $server->psql('select count(*) from teamos.task');
print STDERR "tasks in the end: $requests\n";


# ---- setting up ----

# acme has a fifth of the rows, other tenants the rest, so that a statement
# that reads more than its tenant shows.
sub fill {
    $server->psql(<<"SQL");
set session_replication_role = replica;
insert into teamos.task (tenant_id, id, project_id, title, created_by,
                         created_at)
select case when n % 5 = 0 then '$acme'::uuid
            else md5((n % 200)::text)::uuid end,
       gen_random_uuid(), '$project', 'Task number ' || n,
       '01900000-000a-7000-8000-000000000201', now() - n * interval '1 second'
  from generate_series(1, $tasks) n;
set session_replication_role = origin;
analyze;
SQL
    return;
}

sub statements {
    my $text = $server->shell('
        tenonctl_as "$web_user" doctor --statements \
            --database "$api_db"');
    return map { /^(\w+)\t(.+)$/ ? ($1, $2) : () } split /\n/, $text;
}

# The statement for pgbench: what stays the same is a variable, what must be
# new each time is made by the server.
sub script {
    my ($what, $sql) = @_;
    my %value = $what eq 'list' ? (1 => $acme, 2 => 21) : ();

    if ($what eq 'create') {
        $sql = create_values($sql);
    }
    $sql =~ s/\$(\d+)/:p$1/g;

    # pgbench would take :MI and :SS of a time format for its variables
    $sql =~ s/HH24:MI:SS/HH24":"MI":"SS/g;

    my $file = $server->dir . "/$what.sql";
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} "\\startpipeline\n",
        "select set_config('tenon.tenant', :tenant::text, true), ",
        "set_config('tenon.realm', :realm::text, true)",
        $what eq 'create'
            ? ", set_config('tenon.actor', '01900000-000a-7000-8000-"
              . "000000000201', true), set_config('tenon.request_id', 'x', "
              . "true), set_config('tenon.ip', '127.0.0.1', true), "
              . "set_config('tenon.user_agent', '', true)"
            : '',
        ";\n$sql;\n\\endpipeline\n";
    close $out or die "$file: $!\n";
    chmod 0644, $file;
    return [$file, map { ('-D', "p$_=$value{$_}") } keys %value];
}

# Parameters by what they are cast to and where they stand.
sub create_values {
    my ($sql) = @_;
    my ($columns, $values) =
        $sql =~ /insert into teamos\."?task"? as t \((.*?)\) select (.*?) from idem, ref/
        or die "createTask is not what this script knows\n";
    my @columns = map { s/["\s]//gr } split /,/, $columns;
    my %by_name;
    @by_name{@columns} = split_top($values);

    my %fixed = (
        tenant_id  => "'$acme'",
        id         => 'gen_random_uuid()',
        created_by => "'01900000-000a-7000-8000-000000000201'",
        project_id => "'$project'",
        title      => "'Made by the bench'",
    );
    for my $name (keys %fixed) {
        my ($n) = $by_name{$name} =~ /\$(\d+)::(?:uuid|text)/ or next;
        $sql =~ s/\$$n\b/$fixed{$name}/g;
    }

    # mask: project_id and title; what isn't given has its default
    $sql =~ s/\$\d+::bigint/6::bigint/g;
    my ($event) = $sql =~ /user_agent\) select '$acme'::uuid, \$(\d+)::uuid/
        or die "createTask writes no event body that this script knows\n";
    $sql =~ s/\$$event\b::uuid/(select id from done)/g;
    my ($salt) = $sql =~ /tenon\.commitment\(\$(\d+)::bytea/
        or die "createTask salts no event\n";
    $sql =~ s/\$$salt\b/'\\x00112233445566778899aabbccddeeff'/g;
    $sql =~ s/\$\d+::bytea/null::bytea/g; # no Idempotency-Key
    $sql =~ s/\$\d+::(text|uuid)/null::$1/g;
    return $sql;
}

sub split_top {
    my ($text) = @_;
    my ($depth, @parts) = (0, '');
    for my $c (split //, $text) {
        $depth++ if $c eq '(';
        $depth-- if $c eq ')';
        if ($c eq ',' && $depth == 0) { push @parts, ''; next }
        $parts[-1] .= $c;
    }
    return @parts;
}

# The first page through HTTP and through SQL; one create of each kind.
sub compare {
    my $list = $server->request(GET => 'tasks?limit=20', as => 'alice')->json;
    my @ids  = split /\n/, $server->psql(
        "select id from teamos.task where tenant_id = '$acme' and deleted_at "
        . "is null order by created_at desc, id desc limit 20");
    die "the lists differ\n"
        if "@ids" ne join ' ', map { $_->{id} } @{ $list->{data} };

    my @before = counts();
    $server->request(POST => 'tasks', as => 'alice', json => {
        project_id => $project, title => 'Made by the bench' })->{status} == 201
        or die "create failed\n";
    my @between = counts();
    run_pgbench('create', '-t', 1, '-c', 1);
    my @after = counts();
    for my $i (0 .. 2) {
        die "a create does not write the same rows\n"
            if $between[$i] - $before[$i] != 1 || $after[$i] - $between[$i] != 1;
    }
    return;
}

sub counts {
    return split /\|/, $server->psql(
        'select (select count(*) from teamos.task), '
        . '(select count(*) from tenon.event), '
        . '(select count(*) from tenon.event_body)');
}


# ---- measuring ----

sub run_pgbench {
    my ($what, @arg) = @_;
    my ($file, @define) = @{ $file{$what} };
    return $server->shell('
        as "$web_user" "$pg_bin/pgbench" -h "$run" -p 5432 -U tenon_api -n \
            -M prepared "$@" tenon 2>&1',
        '-f', $file, '-D', "tenant=$acme", '-D', "realm=$realm", @define, @arg);
}

sub pgbench {
    my ($what) = @_;
    my $out = run_pgbench($what, '-c', $clients, '-j', 1, '-T', $seconds);
    die "pgbench failed:\n$out" if $out !~ /failed transactions: 0 /;
    return $out =~ /^tps = ([\d.]+)/m ? $1 : die $out;
}

sub wrk {
    my ($what) = @_;
    my $lua = $server->dir . '/wrk.lua';
    open my $out, '>', $lua or die "$lua: $!\n";
    print {$out} $what eq 'list'
        ? "wrk.path = '/api/v1/tasks?limit=20'\n"
        : "wrk.path = '/api/v1/tasks'\nwrk.method = 'POST'\n"
          . "wrk.headers['Content-Type'] = 'application/json'\n"
          . "wrk.body = '{\"project_id\":\"$project\","
          . "\"title\":\"Made by the bench\"}'\n";
    close $out or die "$lua: $!\n";

    my $before = cpu();
    my $text = `wrk -t1 -c$clients -d${seconds}s -s $lua \\
        -H 'Host: acme.tenon.localhost' -H 'Authorization: Bearer $token' \\
        http://127.0.0.1:@{[ $server->port ]}/ 2>&1`;
    my $used = cpu() - $before;

    die "wrk failed:\n$text" if $text =~ /Non-2xx|Socket errors/;
    my ($requests) = $text =~ /(\d+) requests in/ or die $text;
    my ($rate)     = $text =~ m{Requests/sec:\s+([\d.]+)} or die $text;
    return ($rate, $used * 1e6 / $requests);
}

# CPU seconds of all workers so far.
sub cpu {
    my $ticks = 0;
    for my $pid ($server->workers) {
        open my $in, '<', "/proc/$pid/stat" or next;
        my @field = split ' ', (<$in> =~ s/.*\) //r);
        $ticks += $field[11] + $field[12];
    }
    return $ticks / 100;
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[ $#sorted / 2 ];
}
