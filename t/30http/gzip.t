#!/usr/bin/perl

# nginx's gzip over our answers: it makes ETags weak on the way out, and what
# comes back in If-None-Match and If-Match means the same version.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Uncompress::Gunzip ();
use JSON::PP qw(decode_json);
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(
    http => 'gzip on; gzip_vary on; gzip_min_length 1;
             gzip_types application/json application/problem+json;',
);

# As a browser asks.
sub zipped {
    my ($method, $path, %o) = @_;
    return $s->request($method, $path, as => 'alice', %o, headers => [
        'Accept-Encoding' => 'gzip, deflate', @{ $o{headers} || [] },
    ]);
}

sub unzip {
    my ($r) = @_;
    my $out;
    IO::Uncompress::Gunzip::gunzip(\$r->{body} => \$out, Strict => 1)
        or return "not gzip: $IO::Uncompress::Gunzip::GunzipError";
    return $out;
}

my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };
my $task = $s->request(POST => 'tasks', as => 'alice', json => {
    project_id => $project->{id}, title => 'squeeze',
})->json;
my $path = "tasks/$task->{id}";

my $plain = $s->request(GET => $path, as => 'alice');
is $plain->header('ETag'), '"1"', 'unasked: the tag is strong';
is $plain->header('Content-Encoding'), undef, 'and nothing is compressed';

my $r = zipped(GET => $path);
status_is $r, 200, 'asked for gzip';
is $r->header('Content-Encoding'), 'gzip', 'it is';
is unzip($r), $plain->{body}, 'the same bytes inside';
is $r->header('ETag'), 'W/"1"', 'the tag is weak';
like join(', ', $r->headers('Vary')), qr/\bAccept-Encoding\b/,
    'caches are told that there are two';
like join(', ', $r->headers('Vary')), qr/\bAuthorization\b/,
    'and that it is one of many';

subtest 'If-None-Match' => sub {
    for my $tag ('W/"1"', '"1"', '"7", W/"1"', '*') {
        for my $how (\&zipped, sub { $s->request(@_, as => 'alice') }) {
            my $r = $how->(GET => $path, headers => ['If-None-Match' => $tag]);
            status_is $r, 304, $tag;
            is $r->{body}, '', 'without a body';
            is $r->header('Content-Encoding'), undef, 'of any encoding';
            like $r->header('ETag'), qr{\A(?:W/)?"1"\z}, 'with its tag';
        }
    }
    my $r = zipped(GET => $path, headers => ['If-None-Match' => 'W/"2"']);
    status_is $r, 200, 'another version';
};

subtest 'If-Match' => sub {
    my $r = zipped(PATCH => $path, json => { title => 'squeezed' },
                   headers => ['If-Match' => 'W/"1"']);
    status_is $r, 200, 'the weak tag of what was read is good for a write';
    is $r->header('ETag'), 'W/"2"', 'whose answer has the next one';
    is decode_json(unzip($r))->{version}, 2, 'of that version';

    $r = zipped(PATCH => $path, json => { title => 'lost' },
                headers => ['If-Match' => 'W/"1"']);
    problem_is $r, 412, 'precondition_failed', 'it is good once';

    status_is zipped(DELETE => $path, headers => ['If-Match' => 'W/"2"']),
        204, 'a DELETE takes it';
};

subtest 'a narrowed body has a weak tag of its own' => sub {
    my $one = "projects/$project->{id}";
    my $whole = zipped(GET => $one)->header('ETag');
    my $part = zipped(GET => "$one?fields=id,name")->header('ETag');
    like $part, qr{\AW/"\d+-\d+"\z}, 'weak';
    status_is zipped(GET => "$one?fields=id,name",
                     headers => ['If-None-Match' => $part]), 304, 'its own';
    status_is zipped(GET => "$one?fields=id,name",
                     headers => ['If-None-Match' => $whole]), 200,
        'not that of the whole';
};

# nginx compresses 200, 403 and 404.
subtest 'a problem' => sub {
    my $r = zipped(GET => 'tasks/01900000-0000-7000-8000-000000000000');
    status_is $r, 404, 'not found';
    is $r->header('Content-Encoding'), 'gzip', 'compressed';
    $r->{body} = unzip($r);
    problem_is $r, 404, 'not_found', 'and whole';
};

subtest 'HEAD' => sub {
    my $r = zipped(HEAD => 'me');
    status_is $r, 200, 'answered';
    is $r->{body}, '', 'without a body';
};

subtest 'one connection, compressed and not' => sub {
    my $c = $s->connect;
    for my $encoding ('gzip', 'identity', 'gzip;q=0', 'gzip') {
        $c->write($s->bytes(GET => 'me', as => 'alice',
                            headers => ['Accept-Encoding' => $encoding]));
        my $r = $c->response;
        my $gzip = ($r->header('Content-Encoding') // '') eq 'gzip';
        is $gzip ? 1 : 0, $encoding eq 'gzip' ? 1 : 0, $encoding;
        my $me = decode_json($gzip ? unzip($r) : $r->{body});
        is $me->{email}, 'alice@acme.test', 'whole';
    }
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';

done_testing;
