#!/usr/bin/perl

# What the pages say and what the code says are the same: error codes, field
# codes, directives, variables; and every link between pages leads somewhere.

use strict;
use warnings;

use File::Basename qw(dirname);
use FindBin ();
use Test::More;

my $root = "$FindBin::Bin/../..";

my $base   = slurp('include/tenon/base.h');
my $errors = slurp('docs/errors.md');

my ($map)   = $base =~ /define TN_ERROR_MAP\(X\)(.*?)\n\n/s;
my %in_code = map { /^(\d+)\s+(\w+)/ ? ($2, $1) : () }
    map { s/[",\\]/ /gr =~ s/^\s+//r } $map =~ /X\(\w+,\s*(.*?"[a-z_]+")/gs;
my %in_page = reverse $errors =~ /^\| (\d+) \| `(\w+)`/mg;
is_deeply \%in_page, \%in_code, 'docs/errors.md lists every code and status';

($map) = $base =~ /define TN_FIELD_FAULT_MAP\(X\)(.*?)\n\n/s;
my ($list) = $errors =~ /^In `errors\[\]\.code`:(.*?)\n\n?\z/ms;
is_deeply [sort $list =~ /`(\w+)`/g], [sort $map =~ /X\(\w+,\s*"(\w+)"/g],
    'and every field code';

my $module = slurp('ngx_module/ngx_http_tenon_module.c');
is_deeply [sort keys %{{ map { $_ => 1 }
               slurp('docs/directives.md') =~ /^#+ (tenon\w*)$/mg }}],
    [sort $module =~ /\{ ngx_string\("(tenon\w*)"\)/g],
    'docs/directives.md has every directive, and no other';

my $variables = slurp('ngx_module/ngx_http_tenon_variables.c');
is_deeply [sort keys %{{ map { $_ => 1 }
               slurp('docs/variables.md') =~ /\$(tenon_\w+)/g }}],
    [sort $variables =~ /ngx_string\("(tenon_\w+)"\)/g],
    'docs/variables.md has every variable, and no other';

chdir $root or die "$root: $!\n";

my @pages = split /\n/,
    `find . -name '*.md' -not -path './build/*' -not -path './var/*' -not -path '*/node_modules/*'`;
my @dead;
for my $page (@pages) {
    for my $link (slurp($page) =~ /\]\(([^)#\s]+)[^)]*\)/g) {
        next if $link =~ /^[a-z]+:/;
        push @dead, "$page: $link" if !-e dirname($page) . "/$link";
    }
}
is_deeply \@dead, [], 'no link between pages leads nowhere';

my ($readme, $minimal) = (slurp('README.md'), slurp('conf.example/minimal.conf'));
like $readme, qr/\Q$minimal\E/, 'README shows conf.example/minimal.conf';

done_testing;

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file =~ m{^\.?/} ? $file : "$root/$file"
        or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}
