#!/usr/bin/perl
# queries.pl: the platform's named statements as C.
#
#   perl libcore/queries.pl schema/queries/*.sql > build/gen/queries.c
#
# "-- name: X" begins a statement, ";" ends it; every ":name" becomes a
# parameter, in order of first appearance; "::" is a cast. The C is what
# tn__bound_compile() makes at run time of an app's statements.

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

my %context = map { $_ => 'TN__BIND_' . uc }
  qw(tenant realm actor session request_id ip user_agent event_id salt id mask);

print "/* Generated from schema/queries/ by libcore/queries.pl. */\n\n",
  "#include \"libcore/model/queries.h\"\n";

my %seen;

for my $file (@ARGV) {
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    my @parts = split /^-- name: *(\w+) *\n/m, $text;
    shift @parts;

    while (my ($name, $sql) = splice @parts, 0, 2) {
        die "$file: $name is there twice\n" if $seen{$name}++;
        $sql =~ s/^\s*--.*\n//mg;
        $sql =~ s/\s+/ /g;
        $sql =~ s/^ | $//g;
        $sql =~ s/ ?;$// or die "$file: $name has no semicolon at its end\n";

        my (@names, %number);
        $sql =~ s{('[^']*'|"[^"]*"|::)|:([a-z_][a-z0-9_]*)}{
            defined $1 ? $1 : do {
                push @names, $2 unless $number{$2};
                $number{$2} ||= @names;
                "\$$number{$2}"
            }
        }ge;

        my $hash = 'tn_' . substr sha256_hex($sql), 0, 32;
        (my $quoted = $sql) =~ s/(["\\])/\\$1/g;
        $quoted = join "\n        \"", map { "$_\"" } $quoted =~ /(.{1,68})/gs;

        print "\n\nstatic const tn__bind binds_${name}[] = {\n";
        printf "    { %s, 0, TN_STR_C(\"%s\") },\n",
          $context{$_} // 'TN__BIND_LOCAL', $_
          for @names;
        print "    { TN__BIND_LOCAL, 0, { NULL, 0 } },\n};\n\n",
          "const tn__bound tn__q_${name} = {\n",
          "    .stmt = {\n        .name = TN_STR_C(\"$hash\"),\n",
          "        .sql = TN_STR_C(\n        \"$quoted),\n",
          "        .nparams = ", scalar @names, ",\n    },\n",
          "    .binds = binds_$name,\n};\n";
    }
}
