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

# A server with many tasks of acme that one word finds, and connections to
# one of its workers.
sub server {
    my ($http, $n) = @_;
    my $s = TenonServer->new(http => $http);
    $s->psql("
        insert into teamos.task (tenant_id, project_id, title)
        select tenant_id, id, 'a common word, ' || n
          from (select p.tenant_id, p.id
                  from teamos.project p
                  join tenon.tenant t using (tenant_id)
                 where t.slug = 'acme'
                 limit 1) p, generate_series(1, $rows) n;
        analyze teamos.task");
    $s->token($_) for qw(alice dave);
    my ($worker) = $s->workers;
    my @c = $s->alone($worker, sub {
        map {
            my $c = $s->connect;
            $c->request(GET => '/live', host => 'tenon.localhost');
            $c;
        } 1 .. $n;
    });
    return ($s, @c);
}

sub search {
    my ($s, $n) = @_;
    return $s->bytes(GET => "tasks?q=common&limit=$n", as => 'alice');
}

# Sends $bytes $times over $c, one after the other, while each of $searchers
# sends one search after the other. ([answers to $bytes], [to searches]), those
# that came until the last of the former.
sub beside_searches {
    my ($s, $searchers, $c, $times, $bytes) = @_;
    my %of = map { ("$_->{socket}" => $_) } $c, @$searchers;
    my $select = IO::Select->new(map { $_->{socket} } values %of);
    my (@answers, @found, %sent, $began);
    my $n = 0;

    $_->write(search($s, 1 + $n++ % 100)) for @$searchers;
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
                $from->write(search($s, 1 + $n++ % 100));
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
        my ($s, $c, @searchers) = server("tenon_pool_size $size;", 13);
        my ($project) = @{ $s->request(GET => 'projects', as => 'dave')
                             ->json->{data} };
        $c->write(search($s, 3));
        is scalar @{ $c->response->json->{data} }, 3, 'a search finds tasks';

        my ($reads, $found, $rest) = beside_searches(
            $s, \@searchers, $c, 100,
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
            $s, \@searchers, $c, 10,
            $s->bytes(POST => 'projects', as => 'dave',
                      json => { name => 'beside' }));
        is_deeply statuses(map { $_->{status} } @$writes), { 201 => 10 },
            '10 writes';
        note sprintf 'the slowest write took %.3f s', slowest(@$writes);
    };
}

subtest 'searches leave half of the queue' => sub {
    my ($s, @c) = server('tenon_queue_size 8;', 24);
    my @readers = splice @c, 0, 4;
    my $began = time;
    $_->write(search($s, 5)) for @c;
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

subtest 'a single connection serves both' => sub {
    my ($s, @c) = server('tenon_pool_size 1;', 2);
    $c[0]->write(search($s, 5));
    $c[1]->write($s->bytes(GET => 'tenant', as => 'dave'));
    status_is $_->response, 200, 'an answer' for @c;
};

done_testing;
