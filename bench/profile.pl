#!/usr/bin/perl

# profile.pl [PATH…]: where a worker's time goes, for list, read and create
# (those named, or all): user instructions by function, from callgrind, which
# a busy machine doesn't change; then samples of user and kernel, from perf,
# where it is there.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../t/lib";

use BenchCallgrind ();
use BenchServer ();

my $requests = 2000; # under callgrind
my $seconds  = 6;    # under perf
my $rows     = 40;   # functions shown

my @paths = @ARGV ? @ARGV : qw(list read create);
for (@paths) {
    $BenchServer::OPERATION{$_} or die "list, read or create, not $_\n";
}
my $bench  = BenchServer->new;
my $server = $bench->server;
my $out    = $bench->files . '/profile';
mkdir $out or die "$out: $!\n";
chmod 01777, $out;

my %sampled = map { $_ => sampled($_) } grep { has('perf') } @paths;
has('valgrind') or die "valgrind is not installed (make packages-bench)\n";
for my $what (@paths) {
    print "# $what\n\n", counted($what), $sampled{$what} // '';
}
exit 0;

sub has {
    my ($program) = @_;
    return grep { -x "$_/$program" } split /:/, $ENV{PATH};
}


# ---- perf: both workers, as they serve ----

sub sampled {
    my ($what) = @_;
    my $pids = join ',', $server->workers;
    my $file = "$out/$what.perf";
    $bench->wrk($what, 8, 1);
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec qw(perf record -e cpu-clock -F 2000 -p), $pids, '-o', $file,
            '--', 'sleep', $seconds - 1 or exit 127;
    }
    $bench->wrk($what, 8, $seconds);
    waitpid $pid, 0;
    return "perf refuses to sample here\n\n" if !-s $file;

    my (%object, %symbol, $n);
    for my $line (`perf script -i $file -F ip,sym,dso 2>/dev/null`) {
        my ($symbol, $object) = $line =~ /^\s*[0-9a-f]+\s+(.*?)\s+\((.*)\)\s*$/
            or next;
        $object =~ s{.*/}{};
        $object =~ s/^\[kernel.*/kernel/;
        # a library without symbols is one row
        $symbol = '(no symbols)' if $symbol eq '[unknown]';
        $n++;
        $object{$object}++;
        $symbol{"$object $symbol"}++;
    }
    return "no samples\n\n" if !$n;
    return "## perf: $n samples, by object, then by function\n\n"
        . join('', map { shares($n, %$_) } \%object, \%symbol);
}

sub shares {
    my ($all, %n) = @_;
    my @names = sort { $n{$b} <=> $n{$a} } keys %n;
    splice @names, $rows if @names > $rows;
    return join('', map { sprintf "%5.1f%%  %s\n", 100 * $n{$_} / $all, $_ }
                    @names) . "\n";
}


# ---- callgrind: one process ----

sub counted {
    my ($what) = @_;
    my $worker = BenchCallgrind->start($bench, $what);
    $worker->ask($what, $requests);
    $worker->stop;
    my $counts = $worker->file;

    my ($self, $with) = map { [`callgrind_annotate --threshold=100 --auto=no --inclusive=$_ \\
        $counts 2>/dev/null`] } qw(no yes);
    my ($total) = map { tr/,//dr } map { /^\s*([\d,]+) .*PROGRAM TOTALS/ } @$self;
    return sprintf("## callgrind: %.0f user instructions per request, the "
        . "catalogue's making\n## and warming up included\n\n### by function\n\n",
        $total / $requests) . functions(1, @$self)
        . "\n### with what they call\n\n" . functions(0, @$with) . "\n";
}

# callgrind_annotate's rows, shares first, without places. A function that was
# inlined here and there has several; so has a library without symbols.
sub functions {
    my ($sum, @lines) = @_;
    my %share;
    for my $line (@lines) {
        my ($share, $name) = $line =~ /^\s*[\d,]+ \(\s*([\d.]+)%\)\s+(\S.*)$/
            or next;
        next if $name =~ /PROGRAM TOTALS|^<counts for/;
        my ($object) = $name =~ m{\[.*/(.*?)\]$};
        $name =~ s/\s*\[.*//;
        $name =~ s/^.*://;
        $name = '(no symbols) ' . ($object // '') if $name =~ /^0x/;
        next if $name =~ /^\(below main\)|^__libc_start|ld-linux/;
        if ($sum) {
            $share{$name} += $share;
        }
        elsif ($share > ($share{$name} // 0)) {
            $share{$name} = $share;
        }
    }
    my @names = sort { $share{$b} <=> $share{$a} || $a cmp $b } keys %share;
    splice @names, $rows if @names > $rows;
    return join '', map { sprintf "%5.1f%%  %s\n", $share{$_}, $_ } @names;
}
