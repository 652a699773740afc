package BenchCallgrind;

# One nginx process under callgrind, its own master, serving what a BenchServer
# has: user instructions of a whole worker, which a busy machine doesn't change.
#
#     my $c = BenchCallgrind->start($bench, 'list');
#     $c->ask('list', 300);            # so many requests, on one connection
#     my $n = $c->count(sub { ... });  # instructions meanwhile
#     $c->stop;                        # the rest, since the last count:
#     $c->file;                        # a file for callgrind_annotate
#
# count() is exact to the request: a file that nginx serves is a mark, as
# callgrind writes down what it has and begins anew where nginx opens it.

use strict;
use warnings;

my $mark = 'ngx_open_cached_file'; # of all that is asked for, `static` alone

sub start {
    my ($class, $bench, $name) = @_;
    my $server = $bench->server;
    my $folder = $bench->files . '/callgrind';
    -d $folder or mkdir $folder or die "$folder: $!\n";
    chmod 01777, $folder;
    my $counts = "$folder/$name";
    _stand_alone($server);
    my $nginx = $server->var . '/nginx';
    my @user = $> == 0 ? qw(setpriv --reuid=www-data --regid=www-data
                            --init-groups) : ();
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDOUT, '>', "$counts.out";
        open STDERR, '>&', \*STDOUT;
        # what runs outside of the event loop is the start, not a request
        exec @user, qw(valgrind --tool=callgrind
            --toggle-collect=ngx_process_events_and_timers),
            "--dump-before=$mark", "--callgrind-out-file=$counts", 'nginx',
            '-p', "$nginx/", '-e', "$nginx/error.log", '-c',
            "$nginx/nginx.conf", '-g', 'daemon off; master_process off;'
            or exit 127;
    }
    my $self = bless { bench => $bench, pid => $pid, owner => $$,
                       counts => $counts, marks => 0 }, $class;
    $server->wait_until(60, sub {
        my $r = eval { $server->request(GET => '/ready',
                                        host => 'tenon.localhost') };
        return $r && $r->{status} == 200;
    }) or die "not ready after 60 s\n";
    return $self;
}

# nginx as the workers' user, from what its master alone may read.
sub _stand_alone {
    my ($server) = @_;
    $server->shell('
        stop_nginx
        sed -i "s/^user .*//" "$nginx/nginx.conf"
        [ "$(id -u)" != 0 ] ||
            chown -R "$web_user" "$nginx" "$var/keys" "$var/tls"');
    return;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill QUIT => $pid;
    waitpid $pid, 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ($?, $@, $!);
    $self->stop;
    return;
}

sub file { return $_[0]{counts} }

sub ask {
    my ($self, $what, $n) = @_;
    my $r = $self->{bench}->request($what);
    my %headers = %{ $r->{headers} };
    $headers{'Content-Length'} = length $r->{body} if $r->{body};
    my $bytes = "$r->{method} $r->{path} HTTP/1.1\r\n"
        . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
        . "\r\n" . ($r->{body} // '');
    for (1 .. $n) {
        # nginx closes a connection behind 1,000 requests
        $self->{c} = $self->{bench}->server->connect
            if $self->{asked}++ % 900 == 0;
        $self->{c}->write($bytes);
        my $answer = $self->{c}->response or die "$what: no answer\n";
        die "$what: answered $answer->{status}\n"
            if $answer->{status} != $r->{status};
    }
    return;
}

# Of a dump that is read already nothing is kept, but with `keep` a copy there.
sub count {
    my ($self, $code, $keep) = @_;
    $self->_mark;
    $code->();
    my $dump = $self->_mark;
    my ($n) = _slurp($dump) =~ /^totals: (\d+)$/m
        or die "$dump has no total\n";
    rename $dump, $keep or die "$keep: $!\n" if $keep;
    unlink $dump;
    return $n;
}

sub _mark {
    my ($self) = @_;
    my $last = "$self->{counts}." . $self->{marks};
    unlink $last;
    $self->ask('static', 1);
    my $dump = "$self->{counts}." . ++$self->{marks};
    -s $dump or die "callgrind knows no $mark: $dump is missing\n";
    return $dump;
}

sub _slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar(<$in>) // '';
}

1;
