package BenchPeer;

# The Fastify service of bench/peers/: installed (npm ci, under build/peers/),
# started over a BenchServer's database, gone with the object.
#
#     my $p = BenchPeer->new($bench, workers => 2, connections => 4);
#     $p->port; $p->pids;     # of all of its processes
#     $p->versions;           # "Fastify 5.12.8, pg 8.23.1, …"
#     $p->get('list');        # a TenonClient::Response, of BenchServer's

use strict;
use warnings;

use Digest::SHA ();
use File::Copy ();
use File::Path ();
use IO::Socket::INET ();
use JSON::PP ();
use MIME::Base64 ();
use Time::HiRes qw(sleep);

use TenonClient ();

my ($root) = __FILE__ =~ m{\A(.*?)/?bench/lib/BenchPeer\.pm\z};
$root = '.' unless length $root;
my $source = "$root/bench/peers";

sub new {
    my ($class, $bench, %o) = @_;
    my $self = bless { bench => $bench, owner => $$ }, $class;
    my $server = $bench->server;
    my $place = $bench->files . '/peer';

    # Where the workers' user can read it; the checkout may be closed.
    system('cp', '-r', _installed(), $place) == 0 or die "cp failed\n";
    File::Copy::copy("$source/fastify.js", $place) or die "fastify.js: $!\n";
    system('chmod', '-R', 'a+rX', $place) == 0 or die "chmod failed\n";
    my $logs = $bench->files . '/peer-log';
    mkdir $logs or die "$logs: $!\n";
    chmod 01777, $logs;

    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "no free port: $!\n";
    $self->{port} = $socket->sockport;
    close $socket;

    my %statements = map {
        ($BenchServer::OPERATION{$_} => $bench->statement($_)) }
        keys %BenchServer::OPERATION;
    my $conf = $bench->write('peer.json', JSON::PP::encode_json({
        port        => $self->{port} + 0,
        workers     => $o{workers} + 0,
        connections => $o{connections} + 0,
        database    => { host => $server->var . '/run', port => 5432,
                         database => 'tenon', user => 'tenon_api' },
        log         => "$logs/access.log",
        domain      => 'tenon.localhost',
        prefix      => '/api/v1',
        publicKey   => $self->_public_key,
        statements  => \%statements,
    }));

    # exec: the pid is node's own.
    $self->{pid} = fork // die "fork: $!\n";
    if ($self->{pid} == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$logs/out";
        open STDERR, '>&', \*STDOUT;
        delete @ENV{ grep { /^PG/ } keys %ENV };
        @ENV{qw(BENCH_CONF NODE_ENV HOME)} = ($conf, 'production', '/');
        my @user = $> == 0 ? qw(setpriv --reuid=www-data --regid=www-data
                                --init-groups) : ();
        chdir '/';
        # a young generation of 16 MB is little for this many short lives
        exec @user, 'node', '--max-semi-space-size=64', "$place/fastify.js"
            or exit 127;
    }
    my $said = '';
    for (1 .. 200) {
        $said = -e "$logs/out" ? _slurp("$logs/out") // '' : '';
        return $self if $said =~ /^ready$/m;
        die "the peer does not start:\n$said\n"
            if waitpid($self->{pid}, 1) == $self->{pid};
        sleep 0.05;
    }
    die "the peer is not ready after 10 s:\n$said\n";
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner} || !$self->{pid};
    local ($?, $!);
    my @pids = $self->pids;
    kill TERM => @pids;
    waitpid $self->{pid}, 0;
    $self->{pid} = 0;
    return;
}

sub port { return $_[0]{port} }

sub pids {
    my ($self) = @_;
    open my $in, '<', "/proc/$self->{pid}/task/$self->{pid}/children"
        or return $self->{pid};
    return ($self->{pid}, map { split ' ' } <$in>);
}

sub versions {
    my ($self) = @_;
    my $node = `node --version`;
    chomp $node;
    my $json = JSON::PP::decode_json(_slurp("$source/package.json"));
    my $d = $json->{dependencies};
    return "Node.js $node, " . join ', ', map { "$_ $d->{$_}" } sort keys %$d;
}

sub get {
    my ($self, $what) = @_;
    my $r = $self->{bench}->request($what);
    my $c = TenonClient->new($self->{port});
    my %headers = (%{ $r->{headers} }, Connection => 'close');
    $headers{'Content-Length'} = length $r->{body} if $r->{body};
    $c->write("$r->{method} $r->{path} HTTP/1.1\r\n"
        . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
        . "\r\n" . ($r->{body} // ''));
    return $c->response;
}

# Out of what Tenon tells everybody.
sub _public_key {
    my ($self) = @_;
    my $set = $self->{bench}->server->request(
        GET => '/.well-known/jwks.json', host => 'tenon.localhost')->json;
    my $x = $set->{keys}[0]{x} =~ tr{-_}{+/}r;
    my $der = pack('H*', '302a300506032b6570032100')
        . MIME::Base64::decode_base64("$x=");
    return "-----BEGIN PUBLIC KEY-----\n" . MIME::Base64::encode_base64($der)
        . "-----END PUBLIC KEY-----\n";
}

# The folder with node_modules, as package-lock.json pins them.
sub _installed {
    my $pinned = Digest::SHA::sha1_hex(
        map { _slurp("$source/$_") } qw(package.json package-lock.json));
    my $place = "$root/build/peers/" . substr $pinned, 0, 12;
    return $place if -e "$place/installed";

    File::Path::remove_tree("$root/build/peers");
    File::Path::make_path($place);
    for my $name (qw(package.json package-lock.json)) {
        File::Copy::copy("$source/$name", $place) or die "$name: $!\n";
    }
    my $out = `cd '$place' && npm ci --ignore-scripts --no-audit --no-fund \\
               < /dev/null 2>&1`;
    die "npm ci failed (--no-peer measures without Fastify):\n$out" if $? != 0;
    open my $done, '>', "$place/installed" or die "$place: $!\n";
    close $done;
    return $place;
}

sub _slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

1;
