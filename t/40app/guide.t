#!/usr/bin/perl

# docs/apps.md does what it says: its files are written, its commands are run,
# one after the other as a reader would type them, and what it shows as their
# output is what they print. `…` stands for anything.
#
# A block of SQL belongs to the file that the line before it names: "`FILE`:"
# is its whole text, "Before `app_end` in `FILE`:" and "At the end of `FILE`:"
# add to it. A block of shell is followed by its output, if it shows any.

use strict;
use utf8;
use warnings;

use Cwd ();
use Encode ();
use File::Path ();
use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Select ();
use IPC::Open2 ();

use Test::More;

binmode Test::More->builder->$_, ":utf8" for qw(output failure_output);

use TenonServer ();
use Time::HiRes qw(time);

use constant WAIT => 60;

my $root = Cwd::realpath("$FindBin::Bin/../..");
my $s = TenonServer->new;
my $place = File::Temp->newdir('guide-XXXXXX', TMPDIR => 1);
chmod 0755, "$place";
symlink "$root/build", "$place/build" or die "build: $!\n";
symlink $s->var, "$place/var" or die "var: $!\n";

# One shell for all of it: later blocks use what earlier ones have set.
my ($shell_out, $shell_in);
my $blocks = 0;
my $shell = IPC::Open2::open2($shell_out, $shell_in, 'env', '-i',
    "PATH=$ENV{PATH}", "HOME=$place", 'LC_ALL=C.UTF-8', 'bash', '--norc');
binmode $_, ':raw' for $shell_out, $shell_in;
END {
    local $?;
    if ($shell) {
        kill KILL => $shell;
        waitpid $shell, 0;
    }
}
$shell_in->autoflush(1);
run("cd '$place' && exec 2>&1 && make() { :; }");

sub run {
    my ($text) = @_;
    my $mark = 'end-of-block-' . ++$blocks;
    my $out = '';
    my $end = time + WAIT;
    my $select = IO::Select->new($shell_out);

    print {$shell_in} Encode::encode_utf8($text), "\necho; echo $mark \$?\n";
    until ($out =~ s/\n?\n\Q$mark\E (\d+)\n\z//) {
        $select->can_read($end - time) or die "no end of:\n$text\n$out\n";
        sysread $shell_out, $out, 65536, length $out
            or die "the shell has gone:\n$text\n$out\n";
    }
    return Encode::decode_utf8($out);
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>:encoding(UTF-8)', "$place/$file" or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
    return;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<:encoding(UTF-8)', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

# Line breaks and indentation are the page's own.
sub pattern {
    my ($shown) = @_;
    return join '.*?', map { join '\s*', map { quotemeta } /\S/g }
        split /…/, $shown, -1;
}

sub same {
    my ($got, $shown, $name) = @_;
    my $want = pattern($shown);
    my $flat = $got =~ s/\s+//gr;
    my $ok = ok $flat =~ /\A$want\z/s, $name;
    diag "what came:\n$got\nwhat is shown:\n$shown" if !$ok;
    return $ok;
}

my $page = slurp("$root/docs/apps.md");
my ($guide) = $page =~ /\A(.*?)^# The declarations$/ms
    or die "the guide has no end\n";
my @parts = split /^```(\w*)\n(.*?)^```\n/ms, $guide;
my $before = shift @parts;
my ($files, $ran) = (0, 0);

while (my ($kind, $text, $after) = splice @parts, 0, 3) {
    my ($line) = $before =~ /((?:[^\n]+\n)+)\n?\z/;
    $line = ($line // '') =~ s/\s+/ /gr;
    $before = $after // '';

    if ($kind eq 'sql') {
        $files++;
        my ($how, $file) = $line =~
            /(Before `app_end` in|At the end of)? `([a-z0-9_\/.]+)`: \z/
            or die "whose block is this?\n$line\n$text\n";
        $file =~ m{\A(?:apps/library/)?\w+\.sql\z} or die "where is $file?\n";
        if (!$how) {
            spew($file, $text);
            next;
        }
        my $old = slurp("$place/$file");
        if ($how =~ /^At/) {
            spew($file, $old . $text);
            next;
        }
        $old =~ s/^(?=select tenon\.app_end)/$text\n/m
            or die "$file has no app_end\n";
        spew($file, $old);
        next;
    }

    next if $kind eq 'text';    # an example of something else
    die "a block of $kind without commands:\n$text\n" if $kind ne 'sh';
    my $shown = '';
    if ($before =~ /\A\s*\z/ && ($parts[0] // '') =~ /\A(?:text|json)\z/) {
        (undef, $shown, $before) = splice @parts, 0, 3;
    }
    my $port = $s->port;
    $text =~ s/localhost:8080/localhost:$port/g;

    # Workers look for a new catalogue once a second; the reader is slower.
    my $got = '';
    for my $step (split /(?<=\n)(?=call |curl |sleep )/, $text) {
        $got .= run($step);
        $got .= "\n";
        $s->adopted if $step =~ /tenonctl app (?:un)?load/;
    }
    $ran++;
    my ($first) = $text =~ /\A(.*)/;
    same($got, $shown, $first);
}

cmp_ok $files, '>=', 10, "$files blocks of SQL";
cmp_ok $ran, '>=', 10, "$ran blocks of commands";

# The reference has every argument that there is, and no other.
my %argument;
for my $row (split /\n/, $s->psql(q{
        select p.proname, array_to_string(p.proargnames, ' ')
          from pg_proc p
         where p.pronamespace = 'tenon'::regnamespace
           and p.proname in ('resource', 'field', 'states', 'action', 'query',
                             'param', 'allow')})) {
    my ($name, $arguments) = split /\|/, $row;
    my ($section) = $page =~ /^### tenon\.$name$(.*?)^##?#? /ms
        or fail "tenon.$name is not described";
    my ($later) = $page =~ /^### Kept for later$(.*?)^# /ms;
    next if !defined $section || $name =~ /\A(?:states|allow|param)\z/;
    is_deeply [grep { "$section$later" !~ /`$_`/ } split / /, $arguments], [],
        "tenon.$name: every argument is there";
    my %known = map { $_ => 1 } split / /, $arguments;
    is_deeply [grep { !$known{$_} }
               map { /`(\w+)`/g } $section =~ /^\| (`[^|]*) \|/mg], [],
        'and no other';
}

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
