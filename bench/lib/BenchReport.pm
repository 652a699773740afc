package BenchReport;

# Markdown out of run.pl's figures.
#
#     my $r = BenchReport->new(figure => {what => {side => [runs]}},
#                              memory => {side => [processes]}, facts => {});
#     print $r->tables;      # what was measured
#     print $r->page;        # the same, with where and how

use strict;
use warnings;

use POSIX ();

my ($root) = __FILE__ =~ m{\A(.*?)/?bench/lib/BenchReport\.pm\z};
$root = '.' unless length $root;

my %title = (
    list       => 'list of 20 tasks',
    read       => 'read one task',
    create     => 'create a task, with its event',
    'no token' => '401, no token',
    'no route' => '404, signed in, no such route',
);
my %against = (
    pgbench      => 'pgbench, same statements',
    fastify      => 'Fastify, same work',
    static       => 'nginx, a file of the same size',
    'return 401' => 'nginx `return 401`',
    'return 404' => 'nginx `return 404`',
);
my @order = (
    ['list', 'pgbench', 0.95], ['list', 'fastify', 6], ['list', 'static'],
    ['read', 'pgbench'], ['read', 'fastify'],
    ['create', 'pgbench', 0.9], ['create', 'fastify', 4],
    ['no token', 'return 401', 0.9], ['no route', 'return 404', 0.9],
);

sub new {
    my ($class, %self) = @_;
    return bless \%self, $class;
}

sub tables {
    my ($self) = @_;
    return join "\n", $self->rates, $self->costs, $self->memory;
}

sub rates {
    my ($self) = @_;
    my $out = "| path | against | its requests/s | Tenon's requests/s "
        . "| ratio (min–max) | target |\n|---|---|---|---|---|---|\n";
    for my $row (@order) {
        my ($what, $side, $target) = @$row;
        my $tenon = $self->{figure}{$what}{tenon};
        my $other = $self->{figure}{$what}{$side} or next;
        my @ratio = map { $tenon->[$_]{rate} / $other->[$_]{rate} }
            0 .. $#$tenon;
        $out .= sprintf "| %s | %s | %s | %s | %s | %s |\n", $title{$what},
            $against{$side}, spread('%.0f', map { $_->{rate} } @$other),
            spread('%.0f', map { $_->{rate} } @$tenon),
            spread('%.2f', @ratio), defined $target ? "≥ $target" : '';
    }
    return $out;
}

sub costs {
    my ($self) = @_;
    my $out = "| path | served by | server: user + system | PostgreSQL "
        . "| load generator | all |\n|---|---|---|---|---|---|\n";
    for my $what ('list', 'read', 'create', 'no token', 'no route') {
        for my $side ('tenon', 'fastify', 'pgbench', 'static', 'return 401',
                      'return 404') {
            my $runs = $self->{figure}{$what}{$side} or next;
            my %of = map { my $part = $_;
                           ($part => median(map { $_->{$part} } @$runs)) }
                qw(user system database load);
            $out .= sprintf "| %s | %s | %s | %.0f | %.0f | %.0f |\n",
                $title{$what},
                $side eq 'tenon' ? 'Tenon' : $against{$side},
                $side eq 'pgbench' ? '–'
                    : sprintf('%.0f + %.0f', @of{qw(user system)}),
                $side =~ /static|return/ ? 0 : $of{database}, $of{load},
                $of{user} + $of{system} + $of{load}
                + ($side =~ /static|return/ ? 0 : $of{database});
        }
    }
    return $out;
}

sub memory {
    my ($self) = @_;
    my $out = "| process | PSS | private |\n|---|---|---|\n";
    for my $side ('Tenon', 'Fastify') {
        my $n = 0;
        for my $m (@{ $self->{memory}{$side} || [] }) {
            $out .= sprintf "| %s, worker %d | %.1f MB | %.1f MB |\n", $side,
                ++$n, @$m{qw(pss private)};
        }
    }
    return $out;
}

sub page {
    my ($self) = @_;
    my $f = $self->{facts};
    my ($cpu) = file('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)$/m;
    my ($memory) = file('/proc/meminfo') =~ /^MemTotal:\s*(\d+)/m;
    my ($cores) = output('getconf', '_NPROCESSORS_ONLN');
    my ($commit) = output('git', '-C', $root, 'describe', '--always',
                          '--dirty', '--abbrev=12');
    my ($nginx) = output('nginx', '-v') =~ m{nginx/([\d.]+)};
    my ($wrk) = output('wrk', '-v') =~ /^wrk (\S+)/m;
    my ($pg) = output('/usr/lib/postgresql/15/bin/postgres', '--version')
        =~ /([\d.]+)/;
    my ($kernel) = (POSIX::uname())[2];

    return <<"PAGE";
# What it costs: results

Made by `make bench`; [README.md](README.md) says how to read it. Trust ratios
and CPU times, not rates: the load generator runs on the same cores.

| | |
|---|---|
| taken | @{[POSIX::strftime('%Y-%m-%d %H:%M UTC', gmtime)]}, commit $commit |
| machine | ${\ ($cpu // 'unknown') }, $cores cores, @{[int($memory / 1048576 + 0.5)]} GB, Linux $kernel |
| other programs | took $f->{others} of the cores meanwhile; above some percent, take it again |
| versions | nginx $nginx, PostgreSQL $pg, wrk $wrk |
| peer | $f->{peer} |
| settings | $f->{workers} workers (of nginx, and of the peer) with $f->{connections} connections each; $f->{clients} keep-alive connections of wrk, $f->{clients} of pgbench; plain HTTP, unix socket; $f->{settings} |
| data | $f->{tasks} tasks, a fifth of them the tenant's |
| how | $f->{rounds} rounds of $f->{seconds} s per path and side, in turns; medians (least–most) |
| compared first | lists and reads of Tenon and Fastify byte by byte, and with SQL; rows written by a create of: $f->{compared} |

## Rates

A ratio is taken within each round, then the median of those.

@{[$self->rates]}
## CPU time per request, µs

All processes that a request occupies: nginx's workers or the peer, every
process of PostgreSQL, wrk or pgbench.

@{[$self->costs]}
## Memory after the run

@{[$self->memory]}
PAGE
}

sub spread {
    my ($format, @values) = @_;
    my @sorted = sort { $a <=> $b } @values;
    return sprintf "$format ($format–$format)", median(@values),
        @sorted[0, -1];
}

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}

sub file {
    my ($name) = @_;
    open my $in, '<', $name or return '';
    local $/;
    return scalar <$in>;
}

# What a program prints, to either side; '' when it isn't there.
sub output {
    my (@command) = @_;
    my $pid = open my $in, '-|';
    defined $pid or return '';
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or exit 127;
    }
    my $text = do { local $/; <$in> } // '';
    close $in;
    chomp $text;
    return $text;
}

1;
