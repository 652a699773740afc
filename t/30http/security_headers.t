#!/usr/bin/perl

# Headers that every answer has, whoever made it: the core, the module without
# one, nginx before either. Strict-Transport-Security over TLS, where it is
# wanted.

use strict;
use utf8;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(http => 'tenon_hsts 1h;', server => <<'CONF');
location = /told/404 { return 404; }
location = /told/429 { return 429; }
location = /told/503 { return 503; }
CONF

my %want = (
    'X-Content-Type-Options'  => 'nosniff',
    'Content-Security-Policy' => "default-src 'none'; frame-ancestors 'none'",
    'Referrer-Policy'         => 'no-referrer',
    'Cross-Origin-Resource-Policy' => 'same-origin',
);

# All values of a header, as they stand in a head.
sub values_of {
    my ($head, $name) = @_;
    return [$head =~ /^\Q$name\E: ([^\r\n]*)\r?$/img];
}

sub head_of {
    my ($path, @arg) = @_;
    my ($label, $rest) = @$path;
    my $out = $s->curl('-i', '-o', '-', @arg, $s->https($label, $rest));
    return (split /\r?\n\r?\n/, $out, 2)[0];
}

my $bearer = 'Authorization: Bearer ' . $s->token('alice');
my $etag = $s->request(GET => 'me', as => 'alice')->header('ETag') // '"1"';

my @cases = (
    ['200', [acme => 'tasks'], '-H', $bearer],
    ['200', [acme => 'tasks'], '-I', '-H', $bearer],
    ['200', [acme => '/live']],
    ['200', [acme => '/.well-known/jwks.json']],
    ['204', [acme => 'tasks'], '-X', 'OPTIONS', '-H',
     'Origin: https://app.test', '-H', 'Access-Control-Request-Method: GET'],
    ['201', [acme => 'projects'], '-H', $bearer, '-H',
     'Content-Type: application/json', '-d', '{"name":"Headers"}'],
    ['401', [acme => 'tasks']],
    ['404', [acme => 'nothing'], '-H', $bearer],
    ['405', [acme => 'tasks'], '-X', 'PUT', '-H', $bearer],
    ['400', [acme => 'tasks'], '-H', $bearer, '-H',
     'Content-Type: application/json', '-d', '{'],
    ['404', [acme => '/nowhere']],
    ['404', [acme => '/told/404']],
    ['429', [acme => '/told/429']],
    ['503', [acme => '/told/503']],
    ['400', [acme => '/%00']],
);

for my $case (@cases) {
    my ($status, @request) = @$case;
    my $what = "$status of $request[0][1]"
        . ($request[1] && $request[1] =~ /\A-[IX]/ ? " @request[1, 2]" : '');
    my $head = head_of(@request);
    like $head, qr{\AHTTP/\S+ $status\b}, $what;
    is_deeply values_of($head, $_), [$want{$_}], "$what: $_, once"
        for sort keys %want;
    is_deeply values_of($head, 'Strict-Transport-Security'),
        ['max-age=3600'], "$what: over TLS from now on";
}

my $plain = $s->request(GET => '/live');
is $plain->header('Strict-Transport-Security'), undef,
    'without TLS nothing is said of it';
is $plain->header('X-Content-Type-Options'), 'nosniff', 'the others are there';

done_testing();
