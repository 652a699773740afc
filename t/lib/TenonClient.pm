package TenonClient;

# A plain HTTP/1.1 connection to loopback, close enough to the bytes that a
# test can send what no client library would.
#
#     my $c = TenonClient->new($port);     # or ($port, '127.0.0.2'): from there
#     my $c = TenonClient->new('/path');   # a unix socket's
#     $c->write(TenonClient::bytes('GET', '/live', host => 'x', ...));
#     my $r = $c->response;                # or response(head => 1)
#     $r->{status}; $r->{body}; $r->header('ETag'); $r->headers('Link');
#     $r->json->{id};
#     $r = $c->request('GET', '/live', host => 'x');    # both in one
#     $c->closed;                          # has the server closed it?
#     $c->close;  $c->reset;               # FIN, or RST
#
# A response is undef when the connection ended before one began; half a
# response dies. Every wait is bounded (10 s).

use strict;
use warnings;

use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use JSON::PP ();
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);

use constant WAIT => 10;

my $json = JSON::PP->new->utf8->canonical;

sub new {
    my ($class, $port, $from) = @_;
    my $local = $port =~ m{/};
    my $socket = $local ? IO::Socket::UNIX->new(Peer => $port)
                        : IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $port,
        Timeout  => WAIT,
        $from ? (LocalAddr => $from) : (),
    );
    $socket or die "connect to $port: $!\n";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1 if !$local;
    binmode $socket;
    return bless { socket => $socket, buffer => '' }, $class;
}

# A request as bytes. Options: host; headers => [Name => value, ...]; json =>
# data, or body => bytes; chunked => 1 sends the body in chunks.
sub bytes {
    my ($method, $target, %o) = @_;
    my @headers = @{ $o{headers} || [] };
    my $body = exists $o{json} ? $json->encode($o{json}) : $o{body};
    my %given;

    for (my $i = 0; $i < @headers; $i += 2) {
        $given{ lc $headers[$i] } = 1;
    }
    unshift @headers, Host => $o{host} unless $given{host};
    if (defined $body) {
        push @headers, 'Content-Type' => 'application/json'
            unless $given{'content-type'};
        if ($o{chunked}) {
            push @headers, 'Transfer-Encoding' => 'chunked';
            $body = join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
                unpack('(a16384)*', $body), '';
        }
        elsif (!$given{'content-length'}) {
            push @headers, 'Content-Length' => length $body;
        }
    }

    my $out = "$method $target HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $out .= "$name: $value\r\n" if defined $value;
    }
    return "$out\r\n" . ($body // '');
}

sub write {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $select = IO::Select->new($self->{socket});
    while (length $bytes) {
        $select->can_write(WAIT) or die "the server doesn't read\n";
        my $n = syswrite $self->{socket}, $bytes;
        return 0 unless defined $n;
        substr $bytes, 0, $n, '';
    }
    return 1;
}

sub request {
    my ($self, $method, $target, %o) = @_;
    $self->write(bytes($method, $target, %o));
    return $self->response(head => $method eq 'HEAD');
}

sub response {
    my ($self, %o) = @_;
    my $head;

    for (;;) {
        if ($self->{buffer} =~ s/\A(.*?\r\n)\r\n//s) {
            $head = $1;
            last if $head !~ m{\AHTTP/1\.1 1\d\d };
            next;
        }
        next if $self->_fill;
        die "half a response: $self->{buffer}\n" if length $self->{buffer};
        return undef;
    }

    my ($line, @lines) = split /\r\n/, $head;
    my ($status) = $line =~ m{\AHTTP/1\.[01] (\d{3})}
        or die "not a status line: $line\n";
    my $r = TenonClient::Response->new($status, $head,
                                       map { [split /:\s*/, $_, 2] } @lines);

    if ($o{head} || $status == 204 || $status == 304) {
        $r->{body} = '';
    }
    elsif (($r->header('Transfer-Encoding') // '') eq 'chunked') {
        $r->{body} = $self->_chunks;
    }
    elsif (defined(my $length = $r->header('Content-Length'))) {
        $r->{body} = $self->_take($length);
    }
    else {
        1 while $self->_fill;
        $r->{body} = delete $self->{buffer};
    }
    return $r;
}

# 1 when the server has closed the connection, 0 when it is open and quiet.
sub closed {
    my ($self, $wait) = @_;
    return 0 if length $self->{buffer};
    return 0 unless IO::Select->new($self->{socket})->can_read($wait // 0);
    return $self->_fill ? 0 : 1;
}

sub port { return $_[0]{socket}->sockport }

sub close { return CORE::close($_[0]{socket}) }

sub reset {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    return CORE::close($self->{socket});
}

sub _fill {
    my ($self) = @_;
    IO::Select->new($self->{socket})->can_read(WAIT)
        or die 'no answer within ' . WAIT . " s\n";
    my $n = sysread $self->{socket}, $self->{buffer}, 65536,
        length $self->{buffer};
    return $n;
}

sub _take {
    my ($self, $n) = @_;
    while (length $self->{buffer} < $n) {
        $self->_fill or die "half a body\n";
    }
    return substr $self->{buffer}, 0, $n, '';
}

sub _chunks {
    my ($self) = @_;
    my $body = '';
    for (;;) {
        my $size;
        until (defined $size) {
            if ($self->{buffer} =~ s/\A([0-9a-fA-F]+)\r\n//) {
                $size = hex $1;
                next;
            }
            $self->_fill or die "half a chunk\n";
        }
        my $chunk = $self->_take($size + 2);
        return $body if $chunk eq "\r\n";
        $body .= substr $chunk, 0, -2;
    }
}


package TenonClient::Response;

# As new lines: the head's bytes are kept for tests that compare answers.
sub new {
    my ($class, $status, $head, @headers) = @_;
    return bless {
        status  => $status,
        head    => $head,
        headers => \@headers,
    }, $class;
}

sub headers {
    my ($self, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name }
        @{ $self->{headers} };
}

sub header { return ($_[0]->headers($_[1]))[0] }

sub json {
    my ($self) = @_;
    return $self->{json} //= eval { $json->decode($self->{body}) }
        // die "not JSON: $self->{status} $self->{body}\n";
}

# All that a client sees but the clock, and what is left of its own requests.
sub visible {
    my ($self) = @_;
    return $self->{head} =~ s/^(?:Date|RateLimit): .*?\r\n//mgr . "\r\n"
        . $self->{body};
}

1;
