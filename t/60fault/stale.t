#!/usr/bin/perl

# Result types of prepared statements change under load ("cached plan must not
# change result type"): what the server refused for that, writes too, is sent
# again. Nothing that was acknowledged is lost or doubled, and nobody is refused.
#
# TENON_LONG=1: for a minute (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonServer ();

use constant CLIENTS => 6;

my $long = $ENV{TENON_LONG};
my $seconds = $long ? 60 : 8;

my $s = TenonServer->new(http => 'keepalive_requests 1000000;');
my $json = JSON::PP->new->utf8->canonical;
my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };
my ($task) = @{ $s->request(GET => 'tasks?limit=1', as => 'alice')
                  ->json->{data} };

# Creates with titles of their own, changes of one task, lists; a line each:
# [kind, title, status, code, body if it is odd].
sub client {
    my ($n, $end, $out) = @_;
    $out->autoflush(1);
    my $c = $s->connect;
    for (my $i = 1; time < $end; $i++) {
        my $title = "stale $n.$i.";
        for ([create => $s->bytes(POST => 'tasks', as => 'alice', json => {
                  project_id => $project->{id}, title => $title })],
             [change => $s->bytes(PATCH => "tasks/$task->{id}",
                                  as => 'alice', json => { title => $title })],
             [list => $s->bytes(GET => 'tasks?limit=3', as => 'alice')]) {
            my ($kind, $bytes) = @$_;
            $c->write($bytes);
            my $r = $c->response // die "no answer\n";
            print {$out} $json->encode([$kind, $title, $r->{status},
                $r->{status} < 300 ? ('', '')
                    : (eval { $r->json->{code} } // '', $r->{body})]), "\n";
            sleep 0.005;
        }
    }
    return;
}

$s->token('alice');
my $end = time + $seconds;
my @pids = map {
    my $n = $_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open my $out, '>', $s->dir . "/client-$n" or POSIX::_exit(1);
        eval { client($n, $end, $out); 1 } or print {*STDERR} "$n: $@";
        POSIX::_exit(0);
    }
    $pid;
} 1 .. CLIENTS;

# The type of a served column, there and back.
my ($changes, @to) = (0, 'varchar', 'text');
sleep 1;
while (time < $end - 1) {
    $s->psql("set lock_timeout = '2s';
              alter table teamos.task
              alter column priority type $to[$changes++ % 2]");
    sleep 0.7;
}
waitpid $_, 0 for @pids;

my (%count, @odd, %created, %changed);
for my $n (1 .. CLIENTS) {
    open my $in, '<', $s->dir . "/client-$n" or die "client-$n: $!\n";
    for (map { $json->decode($_) } <$in>) {
        my ($kind, $title, $status, $code, $body) = @$_;
        $count{join ' ', $kind, $status, $code || ()}++;
        push @odd, "$kind: $body" if $status >= 300;
        $created{$title} = 1 if $kind eq 'create' && $status == 201;
        $changed{$title} = 1 if $kind eq 'change' && $status == 200;
    }
}
my $log = do { local (@ARGV, $/) = $s->error_log; <> };
my $stale = () = $s->shell('as_pg cat "$var/pg/log"')
    =~ /ERROR:.*cached plan must not change result type/g;
is_deeply \@odd, [], "$changes changes of a type under load: " . join ', ',
    map { "$count{$_} x $_" } sort keys %count;
cmp_ok $stale, '>', $changes,
    "$stale batches were refused for it";

sub titles {
    my ($sql) = @_;
    return { map { split /\|/ } split /\n/, $s->psql($sql) };
}
my $rows = titles("select title, count(*) from teamos.task
                    where title like 'stale %' and id <> '$task->{id}'
                    group by 1");
is_deeply $rows, \%created,
    keys(%created) . ' acknowledged, none lost or doubled, no other';
for my $kind (['task.created', \%created], ['task.updated', \%changed]) {
    my ($action, $acknowledged) = @$kind;
    is_deeply titles("
        select b.after->>'title', count(*) from tenon.event e
          join tenon.event_body b
            on b.tenant_id = e.tenant_id and b.event_id = e.id
         where e.action = '$action' and b.after->>'title' like 'stale %'
         group by 1"), $acknowledged, "$action: each logged once";
}
is $s->request(GET => "tasks/$task->{id}", as => 'alice')->json->{version},
    $task->{version} + keys %changed, keys(%changed) . ' changes, each counted';

unlike $log, qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';

done_testing;
