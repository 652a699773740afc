package TenonNpm;

# Other people's programs from npm, for a test:
#
#     my $folder = TenonNpm::install("$FindBin::Bin/client", 'client');
#
# What the lock file in the first names is put into build/NAME/, once, without
# running any scripts of it; the folder that has node_modules is returned.
# Without node, or without a registry in reach, the whole test is skipped; in
# CI it fails.

use strict;
use warnings;

use Cwd ();
use Digest::SHA ();
use Fcntl qw(LOCK_EX);
use File::Copy ();
use File::Path ();
use Test::More;

my ($root) = __FILE__ =~ m{\A(.*?)/?t/lib/TenonNpm\.pm\z};
$root = Cwd::realpath(length $root ? $root : '.');

sub install {
    my ($source, $name) = @_;
    my @pins = qw(package.json package-lock.json);
    my $pinned = Digest::SHA::sha1_hex(map { _slurp("$source/$_") } @pins);
    my $all = "$root/build/$name";
    my $place = "$all/" . substr $pinned, 0, 12;

    for my $program (qw(node npm)) {
        _absent("$program is not installed")
            if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
    }
    File::Path::make_path($all);
    open my $lock, '>', "$all/lock" or die "$all/lock: $!\n";
    flock $lock, LOCK_EX or die "$all/lock: $!\n";
    return $place if -e "$place/installed";

    # What other lock files named is of no use now.
    File::Path::remove_tree(grep { -d } glob "$all/*");
    File::Path::make_path($place);
    File::Copy::copy("$source/$_", $place) or die "$_: $!\n" for @pins;

    my $quick = $ENV{CI} ? '' : '--fetch-retries=0';
    my $out = `cd '$place' && npm ci --ignore-scripts --no-audit --no-fund \\
               $quick < /dev/null 2>&1`;
    if ($? != 0) {
        _absent('no registry in reach', $out)
            if $out =~ /\b(?:ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|
                             ECONNREFUSED|ECONNRESET|EHOSTUNREACH)\b/x;
        BAIL_OUT("npm ci failed:\n$out");
    }
    open my $done, '>', "$place/installed" or die "$place/installed: $!\n";
    return $place;
}

sub _absent {
    my ($why, $out) = @_;
    BAIL_OUT("programs of npm are needed in CI: $why\n" . ($out // ''))
        if $ENV{CI};
    plan skip_all => "programs of npm are not there: $why";
}

sub _slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/;
    return scalar(<$in>) // '';
}

1;
