package TenonWorker;

# tenond for a test that has a cluster of its own (TenonPg):
#
#     my $w = TenonWorker->new($pg, poll_interval => 20);
#     $w->pid;
#     $w->log;                    # all that it said
#     $w->wait_for(qr/stopped/);  # until it says so; false after 20 seconds
#     $w->stop;                   # SIGTERM; its exit code
#     $w->kill;                   # SIGKILL
#     TenonWorker::settings(@args);   # exit code and output, without a loop
#
# It never runs as root: as `nobody` then, from a copy of the program.

use strict;
use warnings;

use File::Copy ();
use File::Temp ();
use POSIX ();
use Time::HiRes qw(sleep time);

my ($root) = __FILE__ =~ m{\A(.*?)/?t/lib/TenonWorker\.pm\z};
$root = '.' unless length $root;
my $build = $ENV{TENON_BUILD} // "$root/build";

# A killed test leaves none behind.
my %live;
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP PIPE);
END { local $?; CORE::kill(KILL => keys %live) }

sub new {
    my ($class, $pg, %set) = @_;
    my $dir = File::Temp->newdir('tenond-XXXXXX', TMPDIR => 1);
    chmod 0755, "$dir";

    for my $file ('bin/tenond', 'lib/libtenon.so.1') {
        my ($name) = $file =~ m{([^/]+)\z};
        File::Copy::copy("$build/$file", "$dir/$name") or die "$file: $!\n";
        chmod 0755, "$dir/$name";
    }

    %set = (database => $pg->conninfo('tenon', 'tenon_worker'),
            poll_interval => 20, log_level => 'info', %set);
    my $self = bless { dir => $dir, log => "$dir/log" }, $class;
    my @as = $> ? () : ('setpriv', '--reuid=nobody', '--regid=nogroup',
                        '--clear-groups');

    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', $self->{log};
        open STDERR, '>&', \*STDOUT;
        delete local $ENV{TENON_DATABASE};
        chdir '/';
        exec @as, 'env', "LD_LIBRARY_PATH=$dir", "$dir/tenond",
            map { ("--$_", $set{$_}) } sort keys %set
            or POSIX::_exit(127);
    }

    $live{$pid} = 1;
    $self->{pid} = $pid;
    return $self;
}

sub pid { return $_[0]{pid} }

sub log {
    my ($self) = @_;
    open my $in, '<', $self->{log} or return '';
    local $/;
    return scalar(<$in>) // '';
}

sub wait_for {
    my ($self, $pattern) = @_;
    my $end = time + 20;
    until ($self->log =~ $pattern) {
        return 0 if time > $end;
        sleep 0.02;
    }
    return 1;
}

sub stop {
    my ($self) = @_;
    CORE::kill(TERM => $self->{pid});
    return $self->ended;
}

sub kill {
    my ($self) = @_;
    CORE::kill(KILL => $self->{pid});
    return $self->ended;
}

# Its exit code, once it has ended; undef for a signal.
sub ended {
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;
    waitpid $pid, 0;
    delete $live{$pid};
    return $? & 127 ? undef : $? >> 8;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@, $!);
    $self->kill if $self->{pid};
    return;
}

sub settings {
    my (@args) = @_;
    my $command = join ' ', map { quotemeta } "$build/bin/tenond", @args;
    my $out = qx{$command 2>&1};
    return ($? >> 8, $out);
}

1;
