#!/usr/bin/perl

# Behind pgbouncer in transaction mode, which gives every batch another server
# connection and knows nothing of prepared statements (Debian has 1.18):
# "tenon_prepare off" works, and a tenant's context never reaches another's
# requests, though both share a few server connections.
#
# TENON_LONG=1: more requests (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use File::Temp ();
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonProxy ();
use TenonServer ();

my ($pgbouncer) = grep { -x } '/usr/sbin/pgbouncer', '/usr/bin/pgbouncer';
plan skip_all => 'pgbouncer is not installed' if !$pgbouncer;

use constant SERVERS => 3; # connections that the pooler has

my $rounds = $ENV{TENON_LONG} ? 400 : 40;
my $json = JSON::PP->new->utf8->canonical;
my $s = TenonServer->new(http => 'keepalive_requests 1000000;');

# ---- pgbouncer, as the workers' user: PostgreSQL knows it as tenon_api ----

my $dir = File::Temp->newdir('tenon-pgb-XXXXXX', TMPDIR => 1);
my @as = $> == 0 ? (getpwnam 'www-data')[2, 3] : ();
chown @as, "$dir" if @as;
chmod 0755, "$dir";
TenonServer::_spew("$dir/users.txt", qq("tenon_api" ""\n));
TenonServer::_spew("$dir/pgbouncer.ini", sprintf <<'INI', $s->var, SERVERS);
[databases]
tenon = host=%1$s/run port=5432 dbname=tenon user=tenon_api pool_size=%2$d

[pgbouncer]
listen_addr =
unix_socket_dir = .
listen_port = 6432
auth_type = any
auth_file = users.txt
pool_mode = transaction
max_client_conn = 200
query_wait_timeout = 5
INI
chmod 0644, glob "$dir/*";

my $pooler;

sub start_pooler {
    unlink "$dir/.s.PGSQL.6432";
    $pooler = fork // die "fork: $!\n";
    return if $pooler;
    chdir "$dir" or POSIX::_exit(1);
    POSIX::setgid($as[1]), POSIX::setuid($as[0]) if @as;
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', 'log';
    open STDERR, '>&', \*STDOUT;
    exec $pgbouncer, 'pgbouncer.ini' or POSIX::_exit(127);
}

END {
    if ($pooler) {
        local $?;
        kill INT => $pooler;
        waitpid $pooler, 0;
    }
}
start_pooler();
$s->wait_until(5, sub { -S "$dir/.s.PGSQL.6432" })
    or BAIL_OUT('pgbouncer does not start: ' . TenonServer::_slurp("$dir/log"));

my $through = "host=$dir port=6432 dbname=tenon user=tenon_api";

sub set_prepare {
    my ($value) = @_;
    my $file = $s->dir . '/nginx.conf';
    my $conf = TenonServer::_slurp($file);
    $conf =~ s/^\s*tenon_prepare .*?\n//m;
    $conf =~ s/^(\s*tenon_database .*\n)/$1    tenon_prepare $value;\n/m
        or die "no tenon_database in $file\n";
    TenonServer::_spew($file, $conf);
    return;
}

# What a request costs the worker and PostgreSQL, in clock ticks of CPU.
sub ticks {
    my @pids = ($s->workers, split /\n/, $s->psql("
        select pid from pg_stat_activity where usename = 'tenon_api'"));
    my ($sum) = (0);
    for my $pid (@pids) {
        my @stat = split ' ', (TenonServer::_slurp("/proc/$pid/stat")
            =~ s/\A.*\) //sr);
        $sum += $stat[11] + $stat[12];
    }
    return $sum;
}

sub cost {
    my ($n) = @_;
    my $c = $s->connect;
    my @bytes = map { $s->bytes(GET => 'tasks?limit=20', as => $_) }
        qw(alice dave);
    for my $bytes (@bytes) { $c->write($bytes); $c->response }
    my $before = ticks();
    for my $i (1 .. $n) {
        $c->write($bytes[$i % 2]);
        die "no list\n" if $c->response->{status} != 200;
    }
    return (ticks() - $before) / $n;
}

# ---- straight to PostgreSQL: what does it cost? ----

my (%cost, @ratios);
for my $round (1 .. 3) {
    for my $value ($round % 2 ? qw(on off) : qw(off on)) {
        set_prepare($value);
        $s->start;
        $cost{$value} = cost(3000);
    }
    push @ratios, $cost{off} / $cost{on};
}
my ($median) = (sort { $a <=> $b } @ratios)[1];
note sprintf 'CPU of worker and server per list, off to on: %s',
    join ', ', map { sprintf '%.2f', $_ } @ratios;
cmp_ok $median, '>', 1, sprintf 'statements that are parsed each time cost ' .
    '%.2f times the CPU (median of %d pairs)', $median, scalar @ratios;

# ---- through pgbouncer ----

set_prepare('off');
TenonProxy::lead($s, $through);
$s->{token} = {};

subtest 'everything works' => sub {
    status_is $s->login('alice'), 200, 'login';
    my $list = $s->request(GET => 'tasks?limit=2', as => 'alice');
    status_is $list, 200, 'list';
    status_is $s->request(GET => 'tasks?q=the', as => 'alice'), 200, 'search';
    my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                         ->json->{data} };
    my @create = (POST => 'tasks', as => 'alice',
                  headers => ['Idempotency-Key' => 'through the pooler'],
                  json => { project_id => $project->{id},
                            title => 'through the pooler' });
    my $r = $s->request(@create);
    status_is $r, 201, 'create';
    my $again = $s->request(@create);
    is $again->{body}, $r->{body}, 'again: the same answer';
    is $s->psql("select count(*) from teamos.task
                  where title = 'through the pooler'"), 1, 'one row';
    my $id = $r->json->{id};
    status_is $s->request(PATCH => "tasks/$id", as => 'alice',
                          json => { title => 'patched' }), 200, 'PATCH';
    status_is $s->request(GET => "tasks/$id/history", as => 'alice'), 200,
        'history';
    problem_is $s->request(GET => "tasks/$id", as => 'dave'), 404, 'not_found',
        'for another tenant it is not there';
    status_is $s->request(DELETE => "tasks/$id", as => 'alice'), 204, 'DELETE';
    status_is $s->request(GET => '/ready', host => 'tenon.localhost'), 200,
        '/ready';
};

# 50 clients, half of each tenant; each knows what it may see.
subtest '50 clients of two tenants on ' . SERVERS . ' connections' => sub {
    my %tenant = map { split /\|/ } split /\n/,
        $s->psql('select slug, tenant_id from tenon.tenant');
    my %side = (acme => 'alice', globex => 'dave');
    my %project;
    for my $slug (keys %side) {
        ($project{$slug}) = map { $_->{id} } @{
            $s->request(GET => 'projects', as => $side{$slug})->json->{data} };
        $project{$slug} //= $s->request(
            POST => 'projects', as => $side{$slug},
            json => { name => 'Pooled' })->json->{id};
    }
    my $began = time;
    my @pids = map {
        my $n = $_;
        my $slug = $n % 2 ? 'acme' : 'globex';
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            $pooler = 0;
            open my $out, '>', $s->dir . "/pooled-$n" or POSIX::_exit(1);
            eval { pooled($n, $slug, $side{$slug}, $project{$slug}, $out); 1 }
                or print {$out} "died: $@";
            close $out;
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. 50;
    waitpid $_, 0 for @pids;
    my $took = time - $began;

    my (%count, @odd);
    for my $n (1 .. 50) {
        for (split /\n/, TenonServer::_slurp($s->dir . "/pooled-$n")) {
            /^(?:create 201|list 200)$/ ? $count{$_}++ : push @odd, "$n: $_";
        }
    }
    is_deeply \@odd, [], sprintf '%s in %.1f s, none with a row of others',
        join(', ', map { "$count{$_} x $_" } sort keys %count), $took;
    is $s->psql("select count(*) from teamos.task where title like 'pooled %'"),
        50 * $rounds, 'every create made one row';
    is $s->psql("select count(*) from teamos.task
                  where title like 'pooled %'
                    and (title like '% acme %')
                     <> (tenant_id = '$tenant{acme}')"), 0,
        'each in its own tenant';
    is $s->psql("select count(*) from tenon.event e
                  join tenon.event_body b on b.tenant_id = e.tenant_id
                   and b.event_id = e.id
                 where e.action = 'task.created'
                   and b.after->>'title' like 'pooled %'
                   and (b.after->>'title' like '% acme %')
                     = (e.tenant_id = '$tenant{acme}')"), 50 * $rounds,
        'and each event';
    cmp_ok $s->psql("select count(*) from pg_stat_activity
                      where usename = 'tenon_api'"), '<=', SERVERS,
        'on at most ' . SERVERS . ' connections';
};

sub pooled {
    my ($n, $slug, $who, $project, $out) = @_;
    my $c = $s->connect;
    my $other = $slug eq 'acme' ? 'globex' : 'acme';
    for my $i (1 .. $rounds) {
        my $r = $c->write($s->bytes(
            POST => 'tasks', as => $who,
            headers => ['Idempotency-Key' => "$n-$i"],
            json => { project_id => $project,
                      title => "pooled $slug $n.$i" })) && $c->response;
        print {$out} "create $r->{status}",
            $r->{status} == 201 ? '' : " $r->{body}", "\n";
        $r = $c->write($s->bytes(GET => 'tasks?limit=10&sort=-created_at',
                                 as => $who)) && $c->response;
        print {$out} "list $r->{status}",
            $r->{status} != 200 ? " $r->{body}" :
            $r->{body} =~ /pooled $other/ ? " with others' rows" : '', "\n";
    }
    return;
}

# Nothing of a context stays on a server connection.
subtest 'what the next one finds' => sub {
    my %left;
    for (1 .. 30) {
        $s->request(GET => 'tasks?limit=1', as => $_) for qw(alice dave);
        my $out = $s->shell('
            as "$web_user" psql -AtqX "$1" -c "
                select coalesce(nullif(current_setting(\'tenon.tenant\', true),
                                       \'\'), \'nothing\'),
                       (select count(*) from teamos.task),
                       (select count(*) from pg_prepared_statements)"',
            $through);
        chomp $out;
        $left{$out}++;
    }
    is_deeply \%left, { 'nothing|0|0' => 30 },
        'no tenant, no row, no name, 30 times';
};

# A pooler that goes is a database that goes.
subtest 'pgbouncer goes and comes' => sub {
    my $r = $s->request(GET => 'tasks?limit=1', as => 'alice');
    status_is $r, 200, 'before';
    kill KILL => $pooler;
    waitpid $pooler, 0;
    $r = $s->request(GET => 'tasks?limit=1', as => 'alice');
    problem_is $r, 503, 'unavailable', 'without it';
    start_pooler();
    ok $s->wait_until(4, sub {
        $s->request(GET => 'tasks?limit=1', as => 'alice')->{status} == 200;
    }), 'service is back with it';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]|does not exist|already exists/,
    'nothing alarmed nginx';

done_testing;
