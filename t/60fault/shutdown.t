#!/usr/bin/perl

# A worker that is to go while the database doesn't answer: it goes when
# worker_shutdown_timeout is over, and leaves nobody without a word but those
# whose connection nginx itself cuts.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(main => 'worker_shutdown_timeout 1s;');
my ($task) = @{ $s->request(GET => 'tasks?limit=1', as => 'alice')
                  ->json->{data} };

for my $round (1 .. 2) {
    my @old = $s->workers;
    my @clients = map {
        $s->alone($_, sub {
            map {
                my $c = $s->connect;
                $c->request(GET => '/live', host => 'tenon.localhost');
                $c;
            } 1 .. 6;
        });
    } @old;

    my @backends = split /\n/, $s->psql('
        select pid from pg_stat_activity where usename = $$tenon_api$$');
    kill STOP => @backends;
    my $n = 0;
    for my $c (@clients) {
        $c->write($n++ % 2
            ? $s->bytes(GET => "tasks/$task->{id}", as => 'alice')
            : $s->bytes(PATCH => "tasks/$task->{id}", as => 'alice',
                        json => { title => "round $round, $n" }));
    }
    sleep 0.2;
    my $began = time;
    $s->reload;
    ok $s->wait_until(5, sub { !grep { kill 0 => $_ } @old }),
        sprintf 'the old workers go, after %.1f s', time - $began;

    my @answers = grep { defined } map { eval { $_->response } } @clients;
    is_deeply [map { problem_faults($_, 503) } @answers], [],
        'answers are problems: ' . join ' ',
            sort map { $_->json->{code} } @answers;
    kill CONT => @backends;
    status_is $s->request(GET => "tasks/$task->{id}", as => 'alice'), 200,
        'the new ones serve';
}

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';

done_testing;
