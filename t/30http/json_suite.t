#!/usr/bin/perl

# JSONTestSuite, each file as the body of a request: what must be refused is a
# 400 that says where, what must be accepted is taken for JSON, and what may be
# either is never more than a refusal.
#
# The suite is looked for in $TENON_VECTORS, else in ../shared/vectors.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $suite = ($ENV{TENON_VECTORS} || "$FindBin::Bin/../../../shared/vectors") .
    '/jsontestsuite/test_parsing';
plan skip_all => "no JSONTestSuite in $suite" if !-d $suite;

# Right by RFC 8259; names twice and NUL are refused on purpose.
my %refused = map { ("y_$_.json" => 1) }
    qw(object_duplicated_key object_duplicated_key_and_value
       object_escaped_null_in_key string_null_escape);

my $s = TenonServer->new;
my $c = $s->connect;

# The answer to a body that holds this text, as it is or as a field's value.
sub answer {
    my ($body) = @_;
    $c->write($s->bytes(POST => 'projects', as => 'alice', body => $body));
    my $r = $c->response;
    $c = $s->connect if ($r->header('Connection') // '') eq 'close';
    return $r;
}

my (%n, @wrong);
for my $file (sort glob "$suite/*.json") {
    my ($name, $kind) = $file =~ m{/((\w)_[^/]*)\z} or next;
    my $text = do { local (@ARGV, $/) = $file; <> } // '';
    $n{$kind}++;

    for my $body ($text, qq({"name":"x","more":$text})) {
        # Within an object, an end too early may be somewhere else.
        my $within = $body ne $text;
        next if $within && $kind eq 'n';
        my $r = answer($body);
        my $code = $kind eq 'n' || $refused{$name} ? 'malformed_json' :
                   $kind eq 'y' ? 'invalid_fields' :
                   $r->{status} == 400 ? 'malformed_json' : 'invalid_fields';
        my $status = $code eq 'malformed_json' ? 400 : 422;
        my @faults = problem_faults($r, $status, $code);
        push @faults, 'says nothing'
            if $status == 400 && !@faults && $r->json->{detail} !~ /\w/;
        push @wrong, "$name: @faults $r->{body}" if @faults;
    }
}

is_deeply \@wrong, [], 'every file gets its answer: ' .
    join ', ', map { "$n{$_} × $_" } sort keys %n;
cmp_ok $n{n}, '>', 150, 'must be refused';
cmp_ok $n{y}, '>', 80, 'must be accepted';

# Integers that a double can't hold, in whatever place.
for my $number (qw(9007199254740992 -9007199254740992 9007199254740993
                   123456789012345678901234567890)) {
    for my $body (qq({"name":$number}), qq({"more":{"deep":[$number]}}),
                  $number) {
        my $r = answer($body);
        is_deeply [problem_faults($r, 400, 'malformed_json')], [],
            "refused: $body";
    }
}
for my $number (qw(9007199254740991 -9007199254740991 1e300 0.1 -0)) {
    problem_is answer(qq({"name":"x","more":$number})), 422,
        'invalid_fields', "$number is a number", '/more' => 'unknown_field';
}

is $s->psql("select count(*) from teamos.project where name = 'x'"), 0,
    'nothing was made';
unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
