#!/usr/bin/perl
# queries.pl: the platform's named statements as C.
#
#   perl libcore/queries.pl          schema/queries/*.sql > build/gen/queries.c
#   perl libcore/queries.pl --header schema/queries/*.sql > build/gen/queries.h
#
# "-- name: X" begins a statement, ";" ends it; every ":name" becomes a
# parameter, in order of first appearance; "::" is a cast. The C is what
# tn__bound_compile() makes at run time of an app's statements.
#
# "-- fragment: X" begins text that several statements share: "{{X}}" inserts
# it, in any file.

use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

# The names that the request's context gives values to: one list, for both.
my $bind = $0 =~ s/queries\.pl$/model\/bind.c/r;
open my $in, '<', $bind or die "$bind: $!\n";
my %context = map { /^ +\{ TN_STR_C\("(\w+)"\), (TN__BIND_\w+) \},$/ } <$in>;
die "$bind: no names of the context\n" unless %context;

my $header = @ARGV && $ARGV[0] eq '--header' && shift @ARGV;
my $origin = "/* Generated from schema/queries/ by libcore/queries.pl. */\n\n";

if ($header) {
    header();
    exit;
}

print $origin, "#include \"gen/queries.h\"\n";

my (%seen, %fragment);

for my $file (@ARGV) {
    my @parts = parts($file);

    while (my ($what, $name, $sql) = splice @parts, 0, 3) {
        $fragment{$name} = $sql if $what eq 'fragment';
    }
}

for my $file (@ARGV) {
    my @parts = parts($file);

    while (my ($what, $name, $sql) = splice @parts, 0, 3) {
        next if $what eq 'fragment';
        die "$file: $name is there twice\n" if $seen{$name}++;
        my $deep = 0; # a fragment may insert others
        while ($sql =~ s/\{\{(\w+)\}\}/
            $fragment{$1} \/\/ die "$file: $name: no fragment $1\n"/ge) {
            die "$file: $name: fragments without end\n" if ++$deep > 9;
        }
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
        $quoted = join "\n        \"", map { "$_\"" }
          $quoted =~ /((?:\\.|[^\\]){1,68})/gs; # escapes stay whole

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

# What a file holds: (name or fragment, its name, its text), … without comments.
sub parts {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    my (undef, @parts) = split /^-- (name|fragment): *(\w+) *\n/m, $text;
    s/^\s*--.*\n//mg for @parts;
    return @parts;
}


# tn__q_X for every X, and three lists: what reads the catalogue, in the order of
# its file; what tenond runs; and all others, which nginx's workers prepare.
sub header {
    my %list = (QUERY => [], CATALOGUE_QUERY => [], WORK_QUERY => []);

    for my $file (@ARGV) {
        open my $in, '<', $file or die "$file: $!\n";
        my $to = $file =~ m{/catalogue\.sql$}  ? 'CATALOGUE_QUERY'
               : $file =~ m{/work[^/]*\.sql$} ? 'WORK_QUERY' : 'QUERY';
        push @{ $list{$to} }, map { /^-- name: *(\w+)/ ? $1 : () } <$in>;
    }

    print $origin, "#ifndef TN__QUERIES_H\n#define TN__QUERIES_H\n\n",
      "#include \"libcore/model/model.h\"\n";

    for my $name (sort keys %list) {
        print "\n#define TN__${name}_MAP(X)",
          map({ " \\\n    X($_)" } @{ $list{$name} }), "\n\n",
          map { "extern const tn__bound tn__q_$_;\n" } @{ $list{$name} };
    }

    print "\n#endif\n";
    return;
}
