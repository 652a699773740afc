#!/usr/bin/perl

# Pages of other origins: what a browser is told before and with each answer,
# whoever makes it: the core, nginx, or the module before the core can.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $page = 'https://app.example.com';

my $s = TenonServer->new(
    http   => 'limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;
               limit_req_zone $server_name zone=all:1m rate=1r/m;',
    server => 'location /few/ { tenon; limit_req zone=one; }
               location /none/ { tenon; limit_req zone=all; }
               location /denied/ { tenon; deny all; }
               location /small/ { tenon; client_max_body_size 1k; }
               location /gone/ { return 410; }
               location /upstream/ { proxy_pass http://127.0.0.1:1; }
               location /slow/ { return 503; }',
);

# As a page of an origin asks.
sub from {
    my ($origin, $method, $path, %o) = @_;
    return $s->request($method, $path, %o, headers => [
        Origin => $origin, @{ $o{headers} || [] } ]);
}

sub preflight {
    my ($origin, $method, $path, %o) = @_;
    return from($origin, OPTIONS => $path, %o, headers => [
        'Access-Control-Request-Method' => $method,
        'Access-Control-Request-Headers' =>
            'authorization,content-type,idempotency-key,if-match',
        @{ $o{headers} || [] },
    ]);
}

# The words of a list header, in lower case.
sub words {
    my ($r, $name) = @_;
    return map { lc } split /\s*,\s*/, join ',', $r->headers($name);
}

# May a page of $origin read this answer, and what it needs of it?
sub readable {
    my ($r, $origin, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @wrong;
    my @allowed = $r->headers('Access-Control-Allow-Origin');
    push @wrong, "allowed: @allowed, not $origin" if "@allowed" ne $origin;
    push @wrong, 'cookies are asked for'
        if $r->header('Access-Control-Allow-Credentials');

    push @wrong, 'Vary is given twice for Origin'
        if 1 < grep { $_ eq 'origin' } words($r, 'Vary');

    my %exposed = map { $_ => 1 } words($r, 'Access-Control-Expose-Headers');
    for my $header (qw(ETag Location Link X-Request-Id Retry-After
                       Idempotency-Replayed traceparent)) {
        next if !defined $r->header($header);
        push @wrong, "$header is not exposed" if !$exposed{ lc $header };
    }
    push @wrong, 'Vary lacks Origin'
        if $origin ne '*' && !grep { $_ eq 'origin' } words($r, 'Vary');
    ok !@wrong, $name or diag "$_" for @wrong ? @wrong : '';
    return;
}

sub unreadable {
    my ($r, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @lines = grep { /^Access-Control-/i } split /\r\n/, $r->{head};
    return is "@lines", '', $name;
}

my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };

# What everybody refuses, each in its way: name, status, code, request.
my @refusals = (
    ['the core: no token'   => 401, 'unauthenticated', GET => 'me'],
    ['the core: no path'    => 404, 'not_found', GET => '/api/v1/nothing'],
    ['the core: no tenant'  => 404, 'tenant_unknown', GET => 'me',
        at => 'nobody-has-this-name', token => 'garbage'],
    ['the core: no method'  => 405, 'method_not_allowed', PUT => 'me'],
    ['the core: not JSON'   => 400, 'malformed_json', POST => 'tasks',
        as => 'alice', body => '{'],
    ['a limit'              => 429, 'rate_limited', GET => '/few/v1/me'],
    ['a rule of access'     => 403, 'forbidden', GET => '/denied/v1/me'],
    ['a body too large'     => 413, 'too_large', POST => '/small/v1/tasks',
        as => 'alice', body => 'x' x 2000],
    ['a chunked one'        => 413, 'too_large', POST => '/small/v1/tasks',
        as => 'alice', body => 'x' x 2000, chunked => 1],
    ['an unknown method'    => 405, undef, TRACE => 'me'],
    ['no location'          => 404, 'not_found', GET => '/elsewhere'],
    ['a location'           => 410, undef, GET => '/gone/'],
    ['an upstream'          => 502, 'unavailable', GET => '/upstream/'],
    ['nginx: 503'           => 503, 'unavailable', GET => '/slow/'],
);

# The limit's one request.
$s->request(GET => '/few/v1/me');

sub refusals {
    my ($origin, $check) = @_;
    for my $refusal (@refusals) {
        my ($name, $status, $code, $method, $path, %o) = @$refusal;
        my $r = from($origin, $method => $path, %o);
        problem_is $r, $status, $code, $name;
        $check->($r, $name);
    }
    return;
}


# conf.example/nginx.conf says: all origins.
subtest 'tenon_cors_origins *' => sub {
    my $r = from($page, GET => 'me', as => 'alice');
    status_is $r, 200, 'a page asks';
    readable $r, '*', 'and may read the answer';
    like $r->json->{email}, qr/alice/, 'which is what it is for others';

    $r = from($page, POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'from a page' });
    status_is $r, 201, 'a write';
    readable $r, '*', 'may be read, with Location and ETag';
    readable from($page, GET => 'tasks/' . $r->json->{id}, as => 'alice',
                  headers => ['If-None-Match' => $r->header('ETag')]),
        '*', 'not modified';
    readable from($page, DELETE => 'tasks/' . $r->json->{id}, as => 'alice'),
        '*', 'deleted';
    readable from('null', GET => '/live', host => 'tenon.localhost'), '*',
        'a page without an origin';
    refusals($page, sub { readable $_[0], '*', '  may be read' });
};

subtest 'a preflight' => sub {
    for my $path ('tasks', 'tasks/01900000-000a-7000-8000-000000000502',
                  'auth/login', 'me') {
        my $r = preflight($page, POST => $path);
        status_is $r, 204, "$path: without a token";
        readable $r, '*', 'for the page';
        is $r->header($_), undef, "without $_"
            for 'Content-Type', 'Content-Length', 'Transfer-Encoding';
        like $r->header('X-Request-Id'), qr/./, 'with an id';
    }

    my $r = preflight($page, PATCH => 'tasks/x');
    is_deeply [sort map { uc } words($r, 'Access-Control-Allow-Methods')],
        [sort map { uc } words($r, 'Allow')], 'the methods that there are';
    is_deeply [grep { /^(?:get|head|patch|delete|options)$/ }
                   words($r, 'Allow')],
        [words($r, 'Allow')], 'and no others';
    my %allowed = map { $_ => 1 } words($r, 'Access-Control-Allow-Headers');
    is join(' ', grep { !$allowed{ lc $_ } } qw(
        Authorization Content-Type If-Match If-None-Match Idempotency-Key
        Tenon-Tenant X-Request-Id traceparent tracestate baggage)), '',
        'all headers of the API, and of a browser that traces';
    is $r->header('Access-Control-Max-Age'), 600, 'good for ten minutes';

    status_is preflight($page, GET => 'me', at => 'nobody-has-this-name'),
        204, 'no tenant is looked for';
    problem_is preflight($page, GET => 'nothing'), 404, 'not_found',
        'an unknown path has none';
    problem_is preflight($page, GET => '/denied/v1/me'), 403, 'forbidden',
        'rules of access hold';

    my $plain = $s->request(OPTIONS => 'me');
    status_is $plain, 204, 'OPTIONS of no page';
    like $plain->header('Allow'), qr/\bGET\b.*\bOPTIONS\b/, 'tells methods';

    my $h2 = $s->curl('-i', '-X', 'OPTIONS', '-H', "Origin: $page",
                      '-H', 'Access-Control-Request-Method: GET',
                      $s->https('acme', 'me'));
    like $h2, qr/\AHTTP\/2 204 .*^access-control-allow-origin: \*\r$/msi,
        'over HTTP/2';
    unlike $h2, qr/^content-(?:type|length):/mi, 'without a body there too';
};

subtest 'limits count no preflight' => sub {
    my $path = '/none/v1/me';
    status_is preflight($page, GET => $path), 204, "preflight $_" for 1 .. 3;
    status_is from($page, GET => $path, as => 'alice'), 200,
        'the request is the first that counts';
    my $r = from($page, GET => $path, as => 'alice');
    problem_is $r, 429, 'rate_limited', 'the second is one too many';
    readable $r, '*', 'which the page may read';
    status_is preflight($page, GET => $path), 204,
        'and its preflight is answered still';
    problem_is from($page, OPTIONS => '/none/v1/nothing'), 429,
        'rate_limited', 'OPTIONS of what is not there does count';
};

subtest 'a body with OPTIONS is dropped' => sub {
    my $smuggled = $s->bytes(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'smuggled' });
    my %bodies = (small => $smuggled, large => 'x' x 200_000 . $smuggled,
                  empty => '');
    for my $size (sort keys %bodies) {
        for my $chunked (0, 1) {
            my $c = $s->connect;
            for my $path ('/api/v1/tasks', '/api/v1/nothing') {
                my $name = "$size, $path" . ($chunked ? ', chunked' : '');
                $c->write($s->bytes(OPTIONS => $path, body => $bodies{$size},
                                    chunked => $chunked,
                                    headers => [Origin => $page]));
                my $r = $c->response;
                status_is $r, $path =~ /nothing/ ? 404 : 204, $name;
                $c->write($s->bytes(GET => 'tenant', as => 'alice'));
                is eval { $c->response->json->{slug} }, 'acme',
                    "the next request's own answer";
            }
        }
    }

    my $c = $s->connect;
    $c->write($s->bytes(OPTIONS => 'tasks', body => $smuggled) .
              $s->bytes(GET => 'tenant', as => 'alice'));
    status_is $c->response, 204, 'pipelined';
    is $c->response->json->{slug}, 'acme', 'with the next request';

    $c->write($s->bytes(OPTIONS => 'tasks', headers => [
        'Content-Type' => 'application/json', 'Content-Length' => 10,
        Expect => '100-continue' ]));
    status_is $c->response, 204, 'before the body has come';
    $c->write('0123456789' . $s->bytes(GET => 'tenant', as => 'alice'));
    is $c->response->json->{slug}, 'acme', 'which is dropped when it does';

    is $s->psql("select count(*) from teamos.task where title = 'smuggled'"),
        0, 'nothing was smuggled in';
};


sub origins {
    my ($directive) = @_;
    my $file = $s->dir . '/nginx.conf';
    my $conf = do { local (@ARGV, $/) = $file; <> };
    $conf =~ s/^(\s*)tenon_cors_origins[^;]*;/$1$directive/m
        or $conf =~ s/^(\s*)(?=tenon_base_domain)/$1$directive$1/m or die;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $conf;
    close $out or die "$file: $!\n";
    $s->start;
    $s->request(GET => '/few/v1/me');
    return;
}

origins("tenon_cors_origins $page http://localhost:5173;");

subtest 'origins by name' => sub {
    for my $origin ($page, 'http://localhost:5173') {
        my $r = from($origin, GET => 'me', as => 'alice');
        status_is $r, 200, $origin;
        readable $r, $origin, 'may read the answer';
        readable preflight($origin, GET => 'me'), $origin, 'and is told so';
        refusals($origin, sub { readable $_[0], $origin, '  may be read' });
    }

    for my $origin ('https://evil.example', "$page.evil.example", "$page:8443",
                    'http://app.example.com', 'https://APP.example.com',
                    'https://app.example.co', 'null', '*',
                    "$page http://localhost:5173", 'http://localhost', '') {
        my $r = from($origin, GET => 'me', as => 'alice');
        status_is $r, 200, "\"$origin\": answered as any program is";
        unreadable $r, 'but not for the page';
        ok scalar(grep { $_ eq 'origin' } words($r, 'Vary')),
            'and not from a cache for another';
        unreadable preflight($origin, GET => 'me'), 'nor before';
    }
    refusals('https://evil.example',
             sub { unreadable $_[0], '  may not be read' });
    unreadable $s->request(GET => 'me', as => 'alice'), 'no page, no headers';
};

subtest 'before and without the database' => sub {
    $s->shell('as_pg pg_ctl -D "$var/pg" -s -w -m immediate stop');
    my $r;
    $s->wait_until(5, sub {
        ($r = from($page, GET => 'me', as => 'alice'))->{status} == 503;
    });
    problem_is $r, 503, 'unavailable', 'the database is gone';
    readable $r, $page, 'which the page may read';

    my @old = $s->workers;
    $s->reload;
    $s->wait_until(5, sub {
        my %old = map { $_ => 1 } @old;
        my @now = $s->workers;
        return @now == @old && !grep { $old{$_} } @now;
    });
    $r = from($page, GET => 'me', as => 'alice');
    problem_is $r, 503, 'unavailable', 'workers that never saw it';
    readable $r, $page, 'say so to the page';
    unreadable from('https://evil.example', GET => 'me'), 'and to no other';
    $s->start;
};

origins('');

subtest 'without the directive' => sub {
    unreadable from($page, GET => 'me', as => 'alice'), 'no page may read';
    unreadable preflight($page, GET => 'me'), 'nor ask';
    refusals($page, sub { unreadable $_[0], '  may not be read' });
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]/, 'nothing alarmed nginx';

done_testing;
