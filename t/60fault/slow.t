#!/usr/bin/perl

# Reads that take long have a lane of their own: however many of them one
# tenant sends, the others' reads and writes go on beside them.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Select ();
use Test::More;
use Time::HiRes qw(time);

use TenonCheck;
use TenonServer ();

my $rows = 150_000;

# Tasks of acme that one word finds; that they come is no event.
my $s = TenonServer->new(http => '
    tenon_pool_size     4;
    tenon_queue_size    512;
    tenon_queue_timeout 2s;
');
$s->psql("
    alter role tenon_api set statement_timeout = '9s';
    set session_replication_role = replica;
    insert into teamos.task (tenant_id, project_id, title)
    select tenant_id, id, 'a common word, ' || n
      from (select p.tenant_id, p.id
              from teamos.project p
              join tenon.tenant t using (tenant_id)
             where t.slug = 'acme'
             limit 1) p, generate_series(1, $rows) n;
    analyze teamos.task");

my $worker;

# The server with a pool and a queue of these sizes, in which one may wait for
# so many seconds; connections to one of its workers.
sub connections {
    my ($n, $pool, $queue, $wait) = @_;
    $wait //= 2;
    my $file = $s->dir . '/nginx.conf';
    my $conf = do { local (@ARGV, $/) = $file; <> };
    $conf =~ s/(tenon_pool_size) +\d+;/$1 $pool;/ or die "no pool in $file\n";
    $conf =~ s/(tenon_queue_size) +\d+;/$1 $queue;/
        or die "no queue in $file\n";
    $conf =~ s/(tenon_queue_timeout) +\d+s;/$1 ${wait}s;/
        or die "no time in $file\n";
    $s->stop;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $conf;
    close $out or die "$file: $!\n";
    $s->start;
    $s->token($_) for qw(alice dave);
    ($worker) = $s->workers;
    return $s->alone($worker, sub {
        map {
            my $c = $s->connect;
            $c->request(GET => '/live', host => 'tenon.localhost');
            $c;
        } 1 .. $n;
    });
}

sub search {
    my ($n) = @_;
    return $s->bytes(GET => "tasks?q=common&limit=$n", as => 'alice');
}

# Sends $bytes $times over $c, one after the other, while each of $searchers
# sends one search after the other. ([answers to $bytes], [to searches]), those
# that came until the last of the former.
sub beside_searches {
    my ($searchers, $c, $times, $bytes) = @_;
    my %of = map { ("$_->{socket}" => $_) } $c, @$searchers;
    my $select = IO::Select->new(map { $_->{socket} } values %of);
    my (@answers, @found, %sent, $began);
    my $n = 0;

    $_->write(search(1 + $n++ % 100)) for @$searchers;
    select undef, undef, undef, 0.2;
    $began = time;
    $c->write($bytes);

    while (@answers < $times) {
        my @ready = $select->can_read(10) or die "no answer\n";
        for my $from (map { $of{"$_"} } @ready) {
            my $r = $from->response;
            if ($from == $c) {
                push @answers, { %$r, seconds => time - $began };
                last if @answers == $times;
                $began = time;
                $c->write($bytes);
            }
            else {
                push @found, $r->{status};
                $from->write(search(1 + $n++ % 100));
            }
        }
    }
    # What is still under way.
    my @rest = map { $_->response->{status} } @$searchers;
    return (\@answers, \@found, \@rest);
}

sub statuses {
    my %count;
    $count{$_}++ for @_;
    return \%count;
}

sub slowest {
    my ($slowest) = sort { $b <=> $a } map { $_->{seconds} } @_;
    return $slowest;
}

for my $size (4, 2) {
    subtest "searches without end, $size connections" => sub {
        my ($c, @searchers) = connections(13, $size, 512);
        my ($project) = @{ $s->request(GET => 'projects', as => 'dave')
                             ->json->{data} };
        $c->write(search(3));
        is scalar @{ $c->response->json->{data} }, 3, 'a search finds tasks';

        my ($reads, $found, $rest) = beside_searches(
            \@searchers, $c, 100,
            $s->bytes(GET => "projects/$project->{id}", as => 'dave'));
        is_deeply statuses(map { $_->{status} } @$reads), { 200 => 100 },
            "100 reads of another tenant";
        cmp_ok scalar @$found, '<', 50,
            @$found . ' searches were answered meanwhile';
        cmp_ok slowest(@$reads), '<', 1,
            sprintf 'the slowest read took %.3f s', slowest(@$reads);
        my $searches = statuses(@$found, @$rest);
        ok $searches->{200}, 'searches are answered too';
        is_deeply [grep { $_ != 200 && $_ != 503 } keys %$searches], [],
            'or told to come back';

        my ($writes) = beside_searches(
            \@searchers, $c, 10,
            $s->bytes(POST => 'projects', as => 'dave',
                      json => { name => 'beside' }));
        is_deeply statuses(map { $_->{status} } @$writes), { 201 => 10 },
            sprintf '10 writes, the slowest in %.3f s', slowest(@$writes);
    };
}

subtest 'searches leave half of the queue' => sub {
    my @c = connections(24, 4, 8);
    my @readers = splice @c, 0, 4;
    $s->asleep($worker, sub { $_->write(search(5)) for @c });
    select undef, undef, undef, 0.2;
    $_->write($s->bytes(GET => 'tenant', as => 'dave')) for @readers;
    is_deeply statuses(map { $_->response->{status} } @readers), { 200 => 4 },
        'reads find room';

    my @r = map { $_->response } @c;
    my @refused = grep { $_->{status} != 200 } @r;
    is_deeply [map { problem_faults($_, 503, 'busy') } @refused], [],
        'who finds none is told to come back';
    cmp_ok @r - @refused, '>=', 1, @r - @refused . ' of 20 were answered';
    cmp_ok @r - @refused, '<=', 5, 'one at a time, with four behind it';
};

# However long the search takes.
subtest 'a single connection serves both' => sub {
    my @c = connections(2, 1, 512, 9);
    $c[0]->write(search(5));
    $c[1]->write($s->bytes(GET => 'tenant', as => 'dave'));
    status_is $_->response, 200, 'an answer' for @c;
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';

done_testing;
