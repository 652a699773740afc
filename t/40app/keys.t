#!/usr/bin/perl

# `tenonctl keys`: the file of signing keys is made, listed and rotated, whole
# or not at all; what it holds is told by ids, never by secrets.

use strict;
use warnings;

use Fcntl qw(LOCK_EX);
use File::Temp ();
use FindBin ();

use Test::More;

my $ctl = ($ENV{TENON_BUILD} // "$FindBin::Bin/../../build") . '/bin/tenonctl';
my $dir = File::Temp->newdir;
my $file = "$dir/signing.key";

my ($status, $out) = keys_('new');
is $status, 0, 'a ring is made';
my @new = ids($out);
is_deeply [map { $_->[0] } @new], [qw(signing next)],
    'a key that signs and the next one';
is +(stat $file)[2] & 07777, 0600, 'which nobody else may read';
is lines() =~ tr/\n//, 2, 'a line each';

($status, $out) = keys_('new');
is $status, 1, 'none is written over';
like $out, qr/can't write \Q$file\E: File exists/, 'it says so';

($status, $out) = keys_('list');
is_deeply [ids($out)], \@new, 'they are listed';
unlike $out, qr/\Q$_\E/, 'without secrets' for lines() =~ /^(\S{43})/mg;

my $before = lines();
($status, $out) = keys_('rotate');
is $status, 1, 'the next key must have been published';
like $out, qr/wait until it is ten minutes old, or say --force/, 'it says so';
is lines(), $before, 'and nothing changes';

# published long ago
spew($before =~ s/ \S+/ 2020-01-01T00:00:00Z/gr);
chmod 0640, $file;
symlink $file, "$dir/link" or die "symlink: $!\n";
($status, $out) = keys_('rotate', "$dir/link");
is $status, 0, 'then it signs' or diag $out;
my @once = ids($out);
is_deeply [map { "@$_[0, 1]" } @once[0, 2]],
    ["signing $new[1][1]", "previous $new[0][1]"], 'the last one is kept';
is @once, 3, 'beside a new next one';
ok -l "$dir/link", 'a link stays one';
is +(stat $file)[2] & 07777, 0640, 'the mode stays';
is_deeply [glob "$dir/*"], ["$dir/link", $file], 'and nothing lies about';

# the key before signed until long ago, the one before it until now
spew(lines() =~ s/(.* )\S+\n\z/${1}2020-01-01T00:00:00Z\n/sr);
($status, $out) = keys_('rotate', $file, '--force');
my @twice = ids($out);
is_deeply [map { $_->[1] } @twice[0, 2]], [$once[1][1], $once[0][1]],
    'another rotation';
is @twice, 3, 'drops what nobody can have a token of';

# tokens that live longer need their key for longer
my $hours = sub {
    my @t = gmtime(time - 3600 * $_[0]);
    return sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $t[5] + 1900, $t[4] + 1,
        @t[3, 2, 1, 0];
};
for my $case ([[], 3], [['--ttl 7500'], 3], [['--ttl 11h'], 4], [['--ttl 1d'], 4],
              [['--ttl 5m'], 3]) {
    my ($more, $n) = @$case;
    my ($first, $second, $third) = split /\n/, lines();
    spew(join '', map { s/ \S+// ; "$_ " . $hours->(3) . "\n" }
         $first, $second, $third);
    ($status, $out) = keys_('rotate', $file, '--force', @$more);
    is ids($out), $n, "rotate @$more: $n keys";
}
for my $bad ('1x', '', '-1', '1.5h', '99999999999999999999d', 'h') {
    ($status, $out) = keys_('rotate', $file, "--force --ttl '$bad'");
    is $status, 2, "--ttl '$bad' is a wrong call";
    like $out, qr/--ttl/, 'it says so';
}

# without times nothing is known to be old
spew(lines() =~ s/ \S+//gr);
($status, $out) = keys_('rotate');
is $status, 0, 'a file without times is rotated';
is ids($out), 4, 'and keeps all';
keys_('rotate', $file, '--force') for 1 .. 4;
is lines() =~ tr/\n//, 8, 'a ring grows to eight';
my $full = lines();
($status, $out) = keys_('rotate', $file, '--force');
is $status, 1, 'and no further';
is lines(), $full, 'nothing is lost';

spew('A' x 43);
($status, $out) = keys_('rotate');
is_deeply [map { $_->[0] } ids($out)], [qw(signing next)],
    'a file of one key gets its next one';
like lines(), qr/\AA{43}\n/, 'and the one goes on signing';

open my $lock, '<', $file or die "$file: $!\n";
flock $lock, LOCK_EX or die "$file: $!\n";
($status, $out) = keys_('rotate', $file, '--force');
like $out, qr/is being changed; try again/, 'one rotation at a time';
close $lock;

for my $case (["A\n", qr/:1: a key is 32 bytes/],
              ['A' x 43 . "\n" . 'A' x 43 . "\n", qr/:2: this key is there/],
              ['', qr/:1: a key is/]) {
    my ($text, $why) = @$case;
    spew($text);
    ($status, $out) = keys_('list');
    is $status, 1, 'a broken file is refused';
    like $out, $why, 'with its line';
}

($status, $out) = keys_('list', "$dir/none");
like $out, qr/can't open \Q$dir\E\/none: No such file/, 'an absent one, too';
($status, $out) = keys_('rotate', $dir);
is $status, 1, 'a folder, too';
is +(keys_('turn'))[0], 2, 'an unknown word is a wrong call';

done_testing;


sub keys_ {
    my ($command, $name, @more) = @_;
    $name //= $file;
    my $said = qx{'$ctl' keys $command --file '$name' @more 2>&1};
    return ($? >> 8, $said);
}

sub ids {
    my ($said) = @_;
    return map { [(split)[0, 1]] } grep { /^(?:signing|next|previous) / }
        split /\n/, $said;
}

sub lines {
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in> // '';
}

sub spew {
    my ($text) = @_;
    open my $f, '>', $file or die "$file: $!\n";
    print {$f} $text;
    close $f or die "$file: $!\n";
    return;
}
