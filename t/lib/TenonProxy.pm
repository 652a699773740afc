package TenonProxy;

# A bad line between nginx and PostgreSQL, which knows the protocol: it breaks
# at a byte of our choice of a batch of our choice, in either direction.
#
#     my $p = TenonProxy->new($server);  # nginx goes through it from now on
#     my $p = TenonProxy->new($server, unix => 1);    # else over loopback TCP
#     $p->watch($text);                  # batches that hold this text…
#     $p->seen;                          # …and what they were:
#                                        #   { sent => [['B', 40], …],
#                                        #     got => [['2', 5], …] }, …
#     $p->arm($text, batch => 1, side => 'got', at => 17, how => 'cut');
#     $p->met;                           # has it come to that?
#     $p->fired;                         # the same, and disarms
#     $p->release;                       # cuts what stalls
#     $p->slowly(1);                     # all goes by single bytes, until 0;
#                                        #   what is long, by few at first
#     $p->opened;                        # connections so far
#
# `batch` counts those that hold the text, from 0; `at` bytes of it (`sent`), or
# of its answer (`got`), still get through. Then: `cut` closes both ends, `reset`
# does it by RST, `stall` lets nothing pass any more until nginx gives up.
#
# A text of "startup" is a connection's beginning, "prepare" the statements that
# it prepares. A batch is all up to a Sync, its answer all up to ReadyForQuery.
#
# The proxy is a process of its own, as the workers' user: the server's peer
# authentication takes it for them. It ends with the object.

use strict;
use warnings;

use File::Temp ();
use IO::Handle ();
use IO::Select ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use JSON::PP ();
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC SOL_SOCKET SO_LINGER IPPROTO_TCP
              TCP_NODELAY);
use Time::HiRes qw(sleep);

use constant STATEMENTS => 20; # a batch of more Parses prepares
use constant LOTS => 8192;     # hundreds of statements go by larger pieces
use constant PIECE => 64;

my $json = JSON::PP->new->latin1->canonical;

sub new {
    my ($class, $server, %o) = @_;
    my $dir = File::Temp->newdir('tenon-proxy-XXXXXX', TMPDIR => 1);
    chmod 0777, "$dir";
    my $listener = $o{unix}
        ? IO::Socket::UNIX->new(Local => "$dir/.s.PGSQL.5432", Listen => 64)
        : IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64);
    die "no listener: $!\n" if !$listener;
    chmod 0777, "$dir/.s.PGSQL.5432";

    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!\n";
    $_->autoflush(1) for $ours, $theirs;

    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        close $ours;
        eval { serve($listener, $theirs, $server->var . '/run/.s.PGSQL.5432');
               1 } or print {*STDERR} "proxy: $@";
        POSIX::_exit(0);
    }
    close $theirs;

    my $self = bless {
        owner => $$, dir => $dir, pid => $pid, control => $ours,
        server => $server,
    }, $class;
    $self->{conninfo} = 'user=tenon_api dbname=tenon sslmode=disable ' . ($o{unix}
        ? "host=$dir port=5432"
        : 'host=127.0.0.1 port=' . $listener->sockport);
    lead($server, $self->{conninfo});
    return $self;
}

# Makes nginx reach its database so; starts it anew.
sub lead {
    my ($server, $conninfo) = @_;
    my $file = $server->dir . '/nginx.conf';
    my $conf = TenonServer::_slurp($file);
    $conf =~ s/(tenon_database\s+)"[^"]*";/$1"$conninfo";/
        or die "no tenon_database in $file\n";
    TenonServer::_spew($file, $conf);
    $server->start;
    return;
}

sub conninfo { return $_[0]{conninfo} }

sub watch  { return $_[0]->_ask(watch => $_[1]) }
sub seen   { return @{ $_[0]->_ask('seen') } }
sub fired  { return $_[0]->_ask('fired') }
sub met    { return $_[0]->_ask('met') }
sub release { return $_[0]->_ask('release') }
sub slowly { return $_[0]->_ask(slowly => $_[1]) }
sub opened { return $_[0]->_ask('opened') }

sub arm {
    my ($self, $text, %o) = @_;
    return $self->_ask(arm => { text => $text, batch => 0, %o });
}

sub _ask {
    my ($self, @question) = @_;
    print { $self->{control} } $json->encode([@question]), "\n";
    my $line = readline $self->{control};
    die "the proxy is gone\n" if !defined $line;
    return $json->decode($line)->[0];
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ($?, $!);
    close $self->{control};
    waitpid $self->{pid}, 0;
    return;
}


# ---- the process ----

# Both ends of a connection: { front, back: sockets; out => { front, back }:
# bytes that wait to be written; in => { front, back }: of a message, or a
# batch, that isn't whole; batches: those not answered, oldest first; end: how,
# once all is written }.
my (%by, $armed, $wanted, $watched, @seen, $fired, $slowly, $opened);

sub serve {
    my ($listener, $control, $target) = @_;
    my @as = $> == 0 ? (getpwnam 'www-data')[2, 3] : ();
    POSIX::setgid($as[1]), POSIX::setuid($as[0]) if @as;
    $SIG{PIPE} = $SIG{INT} = 'IGNORE';
    ($watched, $fired, $slowly, $opened) = ('', 0, 0, 0);
    my $read = IO::Select->new($listener, $control);

    for (;;) {
        my $write = IO::Select->new(map {
            my $c = $_;
            map { length $c->{out}{$_} ? $c->{$_} : () } qw(front back)
        } grep { !$_->{closed} } values %by);
        my ($in, $out) = IO::Select->select($read, $write, undef, 60);
        for my $socket (@{ $in || [] }) {
            if ($socket == $listener) {
                open_line(scalar $listener->accept, $target, $read);
            }
            elsif ($socket == $control) {
                answer($control, $read) or return;
            }
            elsif (my $c = $by{$socket}) {
                take($c, $socket == $c->{front} ? 'front' : 'back');
                finish($c, $read) if $c->{end};
            }
        }
        for my $socket (@{ $out || [] }) {
            my $c = $by{$socket} or next;
            put($c, $socket == $c->{front} ? 'front' : 'back');
            finish($c, $read) if $c->{end};
        }
    }
}

sub answer {
    my ($control, $read) = @_;
    my $line = readline $control;
    return 0 if !defined $line;
    my ($what, $arg) = @{ $json->decode($line) };
    my $result = 1;
    if ($what eq 'watch') {
        $watched = $arg;
        @seen = ();
    }
    elsif ($what eq 'seen') {
        $result = [map { { sent => $_->{sent}, got => $_->{got} } } @seen];
    }
    elsif ($what eq 'arm') {
        ($armed, $wanted, $fired) = ($arg, $arg, 0);
    }
    elsif ($what eq 'fired') {
        ($result, $armed, $wanted) = ($fired, undef, undef);
    }
    elsif ($what eq 'met') {
        $result = $fired;
    }
    elsif ($what eq 'release') {
        my @stalled = grep { $_->{stalled} } values %by;
        for my $c (@stalled) {
            $c->{end} = 'cut';
            @{ $c->{out} }{qw(front back)} = ('', '');
            finish($c, $read);
        }
    }
    elsif ($what eq 'slowly') {
        $slowly = $arg;
    }
    elsif ($what eq 'opened') {
        $result = $opened;
    }
    print {$control} $json->encode([$result]), "\n";
    return 1;
}

sub open_line {
    my ($front, $target, $read) = @_;
    my $back = IO::Socket::UNIX->new(Peer => $target)
        or return close $front;
    setsockopt $front, IPPROTO_TCP, TCP_NODELAY, 1
        if $front->isa('IO::Socket::INET');
    my $c = { front => $front, back => $back,
              out => { front => '', back => '' },
              in => { front => '', back => '' },
              batches => [], fresh => 1 };
    for my $socket ($front, $back) {
        $socket->blocking(0);
        $by{$socket} = $c;
        $read->add($socket);
    }
    $opened++;
    return;
}

sub take {
    my ($c, $end) = @_;
    my $n = sysread $c->{$end}, my $bytes, 65536;
    if (!$n) {
        return if !defined $n && $!{EAGAIN};
        $c->{end} = 'cut';
        @{ $c->{out} }{qw(front back)} = ('', '')
            if $end eq 'front' || $c->{stalled};
        $c->{over} = 1;
        return;
    }
    return if $c->{stalled} || $c->{end};
    $c->{in}{$end} .= $bytes;
    $end eq 'front' ? batches($c) : answers($c);
    return;
}

# Whole messages at the front of a buffer: [type, length], …
sub messages {
    my ($buffer, $at) = @_;
    my @list;
    while (length($buffer) - $at >= 5) {
        my $n = 1 + unpack 'N', substr $buffer, $at + 1, 4;
        last if length($buffer) - $at < $n;
        push @list, [substr($buffer, $at, 1), $n];
        $at += $n;
    }
    return @list;
}

# What nginx sends goes on by whole batches.
sub batches {
    my ($c) = @_;
    if ($c->{fresh}) {
        return if length $c->{in}{front} < 4;
        my $n = unpack 'N', $c->{in}{front};
        return if length $c->{in}{front} < $n;
        $c->{fresh} = 0;
        batch($c, substr($c->{in}{front}, 0, $n, ''), 'startup', ['', $n]);
    }

    my (@batch, $bytes);
    for my $message (messages($c->{in}{front}, 0)) {
        push @batch, $message;
        $bytes += $message->[1];
        next if $message->[0] !~ /[SX]/;
        my $parses = grep { $_->[0] eq 'P' } @batch;
        batch($c, substr($c->{in}{front}, 0, $bytes, ''),
              $parses > STATEMENTS ? 'prepare' : '', @batch);
        (@batch, $bytes) = ();
    }
    return;
}

sub batch {
    my ($c, $bytes, $kind, @messages) = @_;
    return if $c->{end} || $c->{stalled};
    my $batch = { sent => \@messages, got => [], passed => 0 };
    my $is = sub { length $_[0] &&
                   ($kind ? $kind eq $_[0] : index($bytes, $_[0]) >= 0) };
    push @seen, $batch if $is->($watched);
    if ($armed && $is->($armed->{text}) && $armed->{batch}-- == 0) {
        $batch->{fault} = $armed;
        $armed = undef;
    }
    push @{ $c->{batches} }, $batch if $messages[-1][0] ne 'X';

    my $fault = $batch->{fault};
    if ($fault && $fault->{side} eq 'sent') {
        $c->{out}{back} .= substr $bytes, 0, $fault->{at};
        fail($c, $fault);
        return;
    }
    $c->{out}{back} .= $bytes;
    fail($c, $fault) if $fault && $fault->{at} == 0;
    return;
}

# What the server sends goes on by whole messages.
sub answers {
    my ($c) = @_;
    my @messages = messages($c->{in}{back}, 0);
    for my $message (@messages) {
        my ($type, $n) = @$message;
        my $bytes = substr $c->{in}{back}, 0, $n, '';
        my $batch = $c->{batches}[0];
        push @{ $batch->{got} }, $message if $batch;
        shift @{ $c->{batches} } if $type eq 'Z';

        my $fault = $batch ? $batch->{fault} : undef;
        if ($fault && $batch->{passed} + $n >= $fault->{at}) {
            $c->{out}{front} .= substr $bytes, 0,
                $fault->{at} - $batch->{passed};
            fail($c, $fault);
            return;
        }
        $batch->{passed} += $n if $batch;
        $c->{out}{front} .= $bytes;
    }
    return;
}

sub fail {
    my ($c, $fault) = @_;
    $fired = 1;
    if ($fault->{how} eq 'stall') {
        $c->{stalled} = 1;
    }
    else {
        $c->{end} = $fault->{how};
    }
    return;
}

sub put {
    my ($c, $end) = @_;
    my $n = syswrite $c->{$end}, $c->{out}{$end},
        !$slowly ? length $c->{out}{$end} :
        length $c->{out}{$end} > LOTS ? PIECE : 1;
    if (defined $n) {
        substr $c->{out}{$end}, 0, $n, '';
    }
    elsif (!$!{EAGAIN}) {
        $c->{out}{$end} = '';
        $c->{end} //= 'cut';
    }
    return;
}

# Closes once all has gone that was to go.
sub finish {
    my ($c, $read) = @_;
    return if $c->{closed} || grep { length } values %{ $c->{out} };
    $c->{closed} = 1;

    # One that ended before it came to its fault leaves it to the next.
    if ($wanted && !$fired &&
        grep { $_->{fault} && $_->{fault} == $wanted } @{ $c->{batches} })
    {
        $wanted->{batch} = 0;
        $armed = $wanted;
    }
    setsockopt $c->{front}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
        if $c->{end} eq 'reset';
    for my $socket (@$c{qw(front back)}) {
        delete $by{$socket};
        $read->remove($socket);
        close $socket;
    }
    return;
}

1;
