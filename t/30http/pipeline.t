#!/usr/bin/perl

# A warm authenticated read costs one send to PostgreSQL and one pipeline: the
# context, the statement, one Sync. Seen by strace, so skipped where a process
# may not be traced.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;
use TenonCheck;
use TenonServer ();

plan skip_all => 'strace is not installed'
    unless grep { -x "$_/strace" } split /:/, $ENV{PATH};

my $s = TenonServer->new;
my ($worker) = $s->workers;
my $trace = $s->dir . '/trace';

# What the worker sends to PostgreSQL while $code runs: a list of bytes.
sub sent_during {
    my ($code) = @_;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDERR, '>', '/dev/null';
        exec('strace', '-qq', '-f', '-yy', '-xx', '-s', 1 << 20,
             '-o', $trace, '-e', 'trace=sendto,sendmsg,write,writev',
             '-p', $worker) or POSIX::_exit(127);
    }

    my $attached = $s->wait_until(5, sub {
        waitpid($pid, POSIX::WNOHANG()) == $pid ||
            qx(grep TracerPid: /proc/$worker/status) =~ /:\s*$pid$/m;
    });
    return if !$attached || !kill 0, $pid;

    $code->();
    kill INT => $pid;
    waitpid $pid, 0;

    # The worker talks to nobody else over a unix socket.
    open my $in, '<', $trace or die "$trace: $!\n";
    return [
        map { /^\d+ +\w+\(\d+<UNIX\S*, "((?:\\x[0-9a-f]{2})*)"/
              ? pack('H*', $1 =~ s{\\x}{}gr) : () } <$in>
    ];
}

# The types of the protocol's messages in what was sent, in order.
sub messages {
    my ($bytes) = @_;
    my $types = '';
    while (length $bytes) {
        my ($type, $length) = unpack 'a1N', $bytes;
        $types .= $type;
        substr $bytes, 0, $length + 1, '';
    }
    return $types;
}

my $connection = $s->alone($worker, sub {
    my $c = $s->connect;
    $c->request(GET => '/live', host => 'tenon.localhost');
    return $c;
});

my @reads = (
    ['me'            => 'me'],
    ['a list'        => 'tasks'],
    ['a row'         => 'tasks/01900000-000a-7000-8000-000000000502'],
);

for my $read (@reads) {
    my ($name, $path) = @$read;
    my $get = sub {
        $connection->write($s->bytes(GET => $path, as => 'alice'));
        return $connection->response;
    };

    # Every connection of the pool has its statements, the zone its entries.
    $get->() for 1 .. 20;

    my $r;
    my $sent = sent_during(sub { $r = $get->() });
    plan skip_all => 'this process may not trace another' if !$sent;

    status_is $r, 200, "$name answers";
    is scalar @$sent, 1, "$name: one send to PostgreSQL";
    my $types = join '', map { messages($_) } @$sent;
    is $types =~ tr/S//, 1, "$name: one Sync";
    is $types =~ tr/E//, 2, "$name: two statements, the context and its own";
    like $types, qr/\A[BDE]+S\z/, "$name: nothing is parsed again ($types)";
}

my $sent = sent_during(sub {
    $connection->write($s->bytes(GET => 'nothing', as => 'alice'));
    $connection->response;
    $connection->write($s->bytes(GET => 'me', token => 'garbage'));
    $connection->response;
    $connection->request(GET => '/live', host => 'tenon.localhost');
});
is scalar @$sent, 0, '404, 401 and /live cost PostgreSQL nothing';

done_testing;
