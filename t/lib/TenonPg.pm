package TenonPg;

# A PostgreSQL cluster of its own for a test: in a fresh directory, reached
# over a unix socket only, gone with the object.
#
#     my $pg = TenonPg->new;                  # initdb, start
#     my $pg = TenonPg->new(tls => 1);        # and TLS on loopback
#     $pg->conninfo;  $pg->conninfo('other'); # for libpq: superuser postgres
#     $pg->sql('select 1');                   # psql -AtX; dies on an error
#     $pg->psql('-f', 'file.sql');            # the same with any arguments
#     $pg->stop; $pg->start; $pg->restart;    # 'fast' or another mode
#     $pg->crash;                             # kill -9, all of it
#
# PostgreSQL refuses to run as root; then it runs as user postgres, whose
# files are made readable to it. Needs nothing but Perl and PostgreSQL 15.

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET ();
use POSIX ();

sub new {
    my ($class, %arg) = @_;

    my $dir = File::Temp->newdir('tenon-pg-XXXXXX', TMPDIR => 1);
    my $self = bless {
        dir   => $dir,
        bin   => _bin(),
        port  => 5432,
        owner => $$,
        as    => [],
    }, $class;

    if ($> == 0) {
        my ($uid, $gid) = (getpwnam('postgres'))[2, 3];
        die "no user postgres to run PostgreSQL as\n" unless defined $uid;
        chown $uid, $gid, "$dir" or die "$dir: $!\n";
        $self->{as} = ['setpriv', '--reuid=postgres', '--regid=postgres',
                       '--init-groups'];
    }

    $self->_run('initdb', '-D', "$dir/data", '-U', 'postgres', '-A', 'trust',
                '-E', 'UTF8', '--locale=C', '--no-sync');

    my %conf = (
        listen_addresses        => "''",
        unix_socket_directories => "'$dir'",
        fsync                   => 'off',
        synchronous_commit      => 'off',
        full_page_writes        => 'off',
        max_connections         => 60,
        shared_buffers          => '32MB',
        timezone                => "'UTC'",
        log_timezone            => "'UTC'",
        %{ $arg{conf} || {} },
    );

    if ($arg{tls}) {
        $self->{port} = _free_port();
        $self->_certificate;
        $conf{listen_addresses} = "'127.0.0.1'";
        $conf{ssl} = 'on';
    }

    $conf{port} = $self->{port};

    open my $out, '>>', "$dir/data/postgresql.conf" or die "$dir: $!\n";
    print {$out} map { "$_ = $conf{$_}\n" } sort keys %conf;
    close $out or die "$dir: $!\n";

    $self->start;
    return $self;
}

sub dir    { return "$_[0]{dir}" }
sub port   { return $_[0]{port} }
sub socket { return "$_[0]{dir}/.s.PGSQL.$_[0]{port}" }
sub log    { return "$_[0]{dir}/log" }

sub conninfo {
    my ($self, $database, $user) = @_;
    return sprintf 'host=%s port=%d user=%s dbname=%s', $self->dir,
        $self->port, $user || 'postgres', $database || 'postgres';
}

sub conninfo_tls {
    my ($self, $database, $user) = @_;
    return sprintf 'host=127.0.0.1 port=%d user=%s dbname=%s sslmode=require',
        $self->port, $user || 'postgres', $database || 'postgres';
}

# A shell command for test programs, as pg_ctl with these arguments.
sub command {
    my ($self, @arg) = @_;
    return join ' ', 'cd / &&', (map { quotemeta } $self->_ctl(@arg)),
        '</dev/null >/dev/null 2>&1';
}

sub start {
    my ($self) = @_;
    $self->_run_list($self->_ctl('-l', $self->log, 'start'));
    $self->{running} = 1;
    return $self;
}

sub stop {
    my ($self, $mode) = @_;
    $self->_run_list($self->_ctl('-m', $mode || 'fast', 'stop'));
    $self->{running} = 0;
    return $self;
}

sub restart {
    my ($self, $mode) = @_;
    $self->_run_list($self->_ctl('-l', $self->log, '-m', $mode || 'fast',
                                 'restart'));
    return $self;
}

# Every process of the cluster at once, as a power cut would.
sub crash {
    my ($self) = @_;
    my $main = $self->pid;
    my @pids = map { m{^/proc/(\d+)/stat$} && _parent($1) == $main ? $1 : () }
        glob '/proc/[0-9]*/stat';
    kill 'KILL', $main, @pids;
    select undef, undef, undef, 0.02 while grep { kill 0, $_ } $main, @pids;
    unlink $self->dir . '/data/postmaster.pid';
    $self->{running} = 0;
    return $self;
}

sub pid {
    my ($self) = @_;
    open my $in, '<', $self->dir . '/data/postmaster.pid' or return;
    my $pid = <$in>;
    return 0 + $pid;
}

sub psql {
    my ($self, @arg) = @_;
    my ($in, @out);
    open $in, '-|', "$self->{bin}/psql", '-AtqX', '-v', 'ON_ERROR_STOP=1',
        '-d', $self->conninfo, @arg or die "psql: $!\n";
    @out = <$in>;
    close $in or die "psql failed: @arg\n";
    my $out = join '', @out;
    chomp $out;
    return $out;
}

sub sql {
    my ($self, $sql, $database) = @_;
    return $self->psql('-d', $self->conninfo($database), '-c', $sql);
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner} || !$self->{running};
    local ($?, $@);
    eval { $self->stop('immediate') };
    return;
}

sub _ctl {
    my ($self, @arg) = @_;
    return (@{ $self->{as} }, "$self->{bin}/pg_ctl", '-s', '-w', '-t', '60',
            '-D', $self->dir . '/data', @arg);
}

sub _run {
    my ($self, $program, @arg) = @_;
    return $self->_run_list(@{ $self->{as} }, "$self->{bin}/$program", @arg);
}

# From /, for the caller's directory may be closed to the server's user.
sub _run_list {
    my ($self, @list) = @_;
    my $log = $self->dir . '/tools.log';
    my $pid = fork;
    die "fork: $!\n" unless defined $pid;
    if ($pid == 0) {
        chdir '/';
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>&', \*STDOUT;
        exec @list or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return if $? == 0;
    my $text = '';
    for my $file ($log, $self->log) {
        open my $in, '<', $file or next;
        local $/;
        $text .= <$in> // '';
    }
    die "failed: @list\n$text";
}

sub _certificate {
    my ($self) = @_;
    my $data = $self->dir . '/data';
    $self->_run_list(@{ $self->{as} }, 'openssl', 'req', '-x509', '-newkey',
                     'rsa:2048', '-nodes', '-days', '2', '-subj',
                     '/CN=localhost', '-keyout', "$data/server.key", '-out',
                     "$data/server.crt");
    return;
}

sub _free_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "no free port: $!\n";
    return $socket->sockport;
}

sub _parent {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or return 0;
    my $line = <$in> // '';
    return $line =~ /\) \S (\d+) / ? $1 : 0;
}

sub _bin {
    for my $dir ($ENV{TENON_PG_BIN} // (), '/usr/lib/postgresql/15/bin',
                 split /:/, $ENV{PATH} // '') {
        return $dir if -x "$dir/initdb";
    }
    die "PostgreSQL's initdb is not to be found; set TENON_PG_BIN\n";
}

1;
