#!/usr/bin/perl

# One address that guesses passwords takes hashing from itself, not from those
# who sign in elsewhere.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Select ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

# An address is the connection's, or what X-Real-IP says. However slow hashes are
# here, nobody is refused for waiting.
my $s = TenonServer->new(http => 'tenon_queue_timeout 8s;',
                         server => 'set_real_ip_from 127.0.0.0/8;');
my @workers = $s->workers;

my %crowds = (
    'one address' => [sub { undef }],
    'one house of IPv6, by many addresses' =>
        [sub { sprintf '2001:db8::%x', 1 + $_[0] }, '2001:db8:0:1::1'],
);

# A good login is repeated on each worker: the queue is a worker's own.
for my $worker (@workers) { for my $crowd (sort keys %crowds) {
    my ($from, $elsewhere) = @{ $crowds{$crowd} };
    my $login = sub {
        my ($address, $email, $password) = @_;
        return $s->bytes(POST => 'auth/login', at => 'acme',
            headers => [$address ? ('X-Real-IP' => $address) : ()],
            json => { email => $email, password => $password });
    };
    my $guess = sub {
        my ($n) = @_;
        return $login->($from->($n), "nobody-$n\@acme.test",
                        "guess number $n");
    };
    my $good = $login->($elsewhere, 'alice@acme.test', $s->password);

    my (@crowd, $other);
    $s->alone($worker, sub {
        @crowd = map { $s->connect('127.0.0.1') } 1 .. 64;
        $other = $s->connect('127.0.0.2');
        $_->request(GET => '/live', host => 'tenon.localhost')
            for @crowd, $other;
    });

    $crowd[$_]->write($guess->($_)) for 0 .. $#crowd;
    my $began = time;
    $other->write($good);
    my $r = $other->response;
    status_is $r, 200, "worker $worker, $crowd: another one signs in";
    my $seconds = time - $began;

    # Of the queue, 16 by default, one address has half: those who wait before
    # another are 8, with the 2 that are being hashed. How long that takes is the
    # machine's affair; how many they are is not. While the crowd comes in some
    # are done already, and others take their places.
    my @before = grep { IO::Select->new($_->{socket})->can_read(0) } @crowd;
    my @r = map { $_->response } @crowd;
    my %early = map { $_ => 1 } @before;
    my $hashed = grep { $early{ $crowd[$_] } && $r[$_]{status} != 503 }
        0 .. $#crowd;
    cmp_ok $hashed, '<=', 16,
        sprintf 'behind %d of the crowd, in %.1f s', $hashed, $seconds;
    my %count;
    $count{"$_->{status} " . $_->json->{code}}++ for @r;
    note join ', ', map { "$_: $count{$_}" } sort keys %count;
    cmp_ok $count{'503 busy'} // 0, '>', 0, 'the crowd is bounded';
    is_deeply [grep { !/^(?:503 busy|401 invalid_credentials|429 .*)$/ }
               keys %count], [], 'else refused for its passwords';
    is_deeply [map { problem_faults($_, 503) }
               grep { $_->{status} == 503 } @r], [], 'each told to come back';
} }

# The crowd on one worker, the other address on another: permits are shared.
SKIP: {
    skip 'one worker only', 1 if @workers < 2;
    my (@crowd, $other);
    $s->alone($workers[0], sub {
        @crowd = map { $s->connect('127.0.0.1') } 1 .. 16;
        $_->request(GET => '/live', host => 'tenon.localhost') for @crowd;
    });
    $s->alone($workers[1], sub {
        $other = $s->connect('127.0.0.2');
        $other->request(GET => '/live', host => 'tenon.localhost');
    });

    # Each of the crowd asks again as soon as it is answered.
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        my ($end, $n) = (time + 4, 0);
        my $ask = sub { $_[0]->write($s->bytes(POST => 'auth/login',
            at => 'acme', json => { email => 'x' . $n++ . '@acme.test',
                                    password => 'some guess' })) };
        $ask->($_) for @crowd;
        my $select = IO::Select->new;
        my %of = map { $select->add($_->{socket}); ("$_->{socket}" => $_) }
            @crowd;
        while (time < $end) {
            for my $socket ($select->can_read(0.5)) {
                $of{"$socket"}->response;
                $ask->($of{"$socket"});
            }
        }
        POSIX::_exit(0);
    }
    sleep(0.5);
    for my $try (1 .. 3) {
        my $began = time;
        $other->write($s->bytes(POST => 'auth/login', at => 'acme', json => {
            email => 'alice@acme.test', password => $s->password }));
        status_is $other->response, 200,
            sprintf 'another worker signs in meanwhile, in %.1f s',
                time - $began;
    }
    waitpid $pid, 0;
}

done_testing;
