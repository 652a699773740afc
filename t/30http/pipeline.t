#!/usr/bin/perl

# A warm authenticated read costs one send to PostgreSQL and one pipeline: the
# context, the statement, one Sync; also of somebody who reaches 200 accounts, or
# by a key of every scope there is. Seen by strace, so skipped where a process
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

my $s = TenonServer->new(apps => ['teamos', 'clinic', 'asyncstand', 'mono']);
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

# Carol holds a role in one account, in which 199 others lie.
$s->psql(q{
    begin;
    create temp table made as
    select tenon.uuid7() as id, n from generate_series(1, 200) n;
    insert into tenon.account (tenant_id, id, parent_id, name)
    select t.tenant_id, made.id, case when made.n > 1 then top.id end, 'A' || made.n
      from tenon.tenant t, made, made top
     where t.slug = 'acme' and top.n = 1
     order by made.n;
    insert into tenon.account_member (tenant_id, account_id, user_id, role)
    select m.tenant_id, made.id, m.user_id, 'account_user'
      from made, tenon.member m
      join tenon."user" u on u.id = m.user_id
     where made.n = 1 and u.email = 'carol@acme.test';
    commit});

my @scopes = split /\n/, $s->psql(q{
    select p.name || case g.scope when 'own' then ':own' else '' end
      from tenon."grant" g
      join tenon.permission p on p.number = g.permission
     where g.role = 'owner'
     order by 1});
my $key = $s->request(POST => 'api-keys', as => 'alice', proven => 1, json => {
    name => 'all', scopes => \@scopes });
status_is $key, 201, 'a key of ' . @scopes . ' scopes';

my @reads = (
    ['me'            => 'me', as => 'alice'],
    ['a list'        => 'tasks', as => 'alice'],
    ['a row'         => 'tasks/01900000-000a-7000-8000-000000000502',
     as => 'alice'],
    ['by 200 accounts' => 'accounts?limit=100', as => 'carol'],
    ['by a key'      => 'tasks', at => 'acme',
     token => $key->json->{secret}],
);

for my $read (@reads) {
    my ($name, $path, @who) = @$read;
    my $get = sub {
        $connection->write($s->bytes(GET => $path, @who));
        return $connection->response;
    };

    my ($r, $sent);
    for (1 .. 3) {
        # Every connection of the pool has its statements, the zone its entries:
        # for five seconds from when they were made, so one try in a few may
        # find them gone.
        $get->() for 1 .. 20;
        $sent = sent_during(sub { $r = $get->() });
        plan skip_all => 'this process may not trace another' if !$sent;
        last if @$sent == 1;
    }

    status_is $r, 200, "$name answers";
    is scalar @$sent, 1, "$name: one send to PostgreSQL";
    my $types = join '', map { messages($_) } @$sent;
    is $types =~ tr/S//, 1, "$name: one Sync";
    is $types =~ tr/E//, 2, "$name: two statements, the context and its own";
    like $types, qr/\A[BDE]+S\z/, "$name: nothing is parsed again ($types)";
}

my $refused = sub {
    $connection->write($s->bytes(GET => 'nothing', as => 'alice'));
    $connection->response;
    $connection->write($s->bytes(GET => 'me', token => 'garbage'));
    $connection->response;
    $connection->request(GET => '/live', host => 'tenon.localhost');
};
my $sent;
for (1 .. 3) {
    $refused->(); # as above; and each second the worker asks for itself
    $sent = sent_during($refused);
    last if !@$sent;
}
is scalar @$sent, 0, '404, 401 and /live cost PostgreSQL nothing';

done_testing;
