#!/usr/bin/perl

# Sessions of browsers: the cookie, what it is good for, and which pages may act
# by it.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my @workers = $s->workers;

# A login for a cookie: (response, the cookie's value).
sub log_in {
    my ($who, %o) = @_;
    my $headers = delete $o{headers} || [];
    my $r = $s->request(
        POST => 'auth/login', at => 'acme', %o,
        headers => ['Tenon-Session' => 'cookie', @$headers],
        json => { email => "$who\@acme.test", password => $s->password },
    );
    return ($r, value($r));
}

sub value {
    my ($r) = @_;
    return (($r->header('Set-Cookie') // '') =~ /\A__Host-tenon=([^;]*)/)[0];
}

# By a cookie.
sub by {
    my ($cookie, $method, $path, %o) = @_;
    my $headers = delete $o{headers} || [];
    return $s->request($method, $path, at => 'acme', %o,
                       headers => [Cookie => "a=b; __Host-tenon=$cookie; c=d",
                                   @$headers]);
}

subtest 'a login' => sub {
    my ($r, $cookie) = log_in('carol');
    status_is $r, 200, 'is asked for a cookie';
    like $r->header('Set-Cookie'),
        qr{\A__Host-tenon=tns_[A-Za-z0-9_-]{70};[ ]Secure;[ ]HttpOnly;
           [ ]SameSite=Lax;[ ]Path=/;[ ]Max-Age=2592000\z}x, 'and gives it';
    is_deeply [@{ $r->json }{qw(access_token token_type expires_in
                                refresh_token)}], [(undef) x 4],
        'and no token that a script could take';
    is $r->json->{user}{email}, 'carol@acme.test', 'it says who';
    is $r->header('Cache-Control'), 'no-store', 'nothing keeps it';
    $r = by($cookie, GET => 'me');
    status_is $r, 200, 'the cookie is good';
    is $r->json->{email}, 'carol@acme.test', 'for who logged in';
    like join(', ', $r->headers('Vary')), qr/\bCookie\b/, 'answers vary by it';
    like $r->header('Cache-Control'), qr/private/, 'and are private';
    is $r->header('Set-Cookie'), undef, 'it is set once';
    isnt((log_in('carol'))[1], $cookie, 'another login is another session');
    status_is by($cookie, POST => 'projects', json => { name => 'Roof' }), 201,
        'who is no browser needs no more';
    problem_is by($cookie, GET => 'me', at => 'globex'), 403,
        'tenant_mismatch', 'it is good in its own organization';
    status_is by($cookie, GET => 'me', host => 'tenon.localhost'), 200,
        'wherever that is named or none is';
};

subtest 'a header and a cookie' => sub {
    my (undef, $cookie) = log_in('carol');
    my $r = by($cookie, GET => 'me', headers =>
        [Authorization => 'Bearer ' . $s->token('alice')]);
    is $r->json->{email}, 'alice@acme.test', 'the header is meant';
    problem_is by($cookie, GET => 'me', headers =>
        [Authorization => 'Bearer nonsense']), 401, 'unauthenticated',
        'though it be wrong';
    status_is by($cookie, POST => 'projects', json => { name => 'Roof' },
                 headers => [Authorization => 'Bearer ' . $s->token('alice'),
                             'Sec-Fetch-Site' => 'cross-site']), 201,
        'and no browser adds it by itself';
    problem_is by($cookie, GET => 'me', headers =>
        [Cookie => '__Host-tenon=tns_x']), 400, 'malformed_request',
        'of two cookies neither is believed';
    problem_is $s->request(GET => 'me', as => 'alice', headers =>
        ['Tenon-Session' => 'biscuit']), 400, 'malformed_request',
        'a mode that there isn\'t is refused';
};

subtest 'what is none' => sub {
    my (undef, $cookie) = log_in('carol');
    my @wrong;
    for my $at (0 .. length($cookie) - 1) {
        my $forged = $cookie;
        substr($forged, $at, 1) = substr($forged, $at, 1) eq 'B' ? 'C' : 'B';
        my $r = by($forged, GET => 'me');
        push @wrong, "$at: $r->{status}" if $r->{status} != 401;
    }
    is_deeply \@wrong, [], 'no letter of one may be another';
    problem_is by('', GET => 'me'), 401, 'unauthenticated', 'nor all of them';
    my $login = $s->login('carol')->json;
    for my $name (qw(access_token refresh_token)) {
        problem_is by($login->{$name}, GET => 'me'), 401, 'unauthenticated',
            "the $name isn't one";
    }
    problem_is by($login->{refresh_token} =~ s/\Atnr/tns/r, GET => 'me'), 401,
        'unauthenticated', 'under another name neither';
    problem_is $s->request(GET => 'me', at => 'acme', token => $cookie), 401,
        'unauthenticated', 'and a cookie is no token';
};

subtest 'pages of other origins' => sub {
    my (undef, $cookie) = log_in('carol');
    my $own = 'http://acme.tenon.localhost';
    my @cases = (
        [['Sec-Fetch-Site' => 'same-origin'] => 1],
        [['Sec-Fetch-Site' => 'none'] => 1],
        [['Sec-Fetch-Site' => 'same-site'] => 0],
        [['Sec-Fetch-Site' => 'cross-site'] => 0],
        [['Sec-Fetch-Site' => 'whatever'] => 0],
        [['Sec-Fetch-Site' => ''] => 0],
        [['Sec-Fetch-Site' => 'cross-site', Origin => $own] => 0],
        [['Sec-Fetch-Site' => 'same-origin', Origin => 'http://evil'] => 1],
        [[Origin => $own] => 1],
        [[Origin => 'https://acme.tenon.localhost'] => 1],
        [[Origin => 'http://globex.tenon.localhost'] => 0],
        [[Origin => 'https://acme.tenon.localhost.evil.test'] => 0],
        [[Origin => 'https://evil.test'] => 0],
        [[Origin => "$own:8080"] => 0],
        [[Origin => 'null'] => 0],
        [[Origin => ''] => 0],
        [[Origin => 'ftp://acme.tenon.localhost'] => 0],
        [[] => 1],
    );
    my @wrong;
    for my $case (@cases) {
        my ($headers, $pass) = @$case;
        for my $what ([POST => 'projects', json => { name => 'Roof' }],
                      [PATCH => 'me', json => { name => 'Carol' }],
                      [DELETE => 'me/sessions/' . '0' x 8
                               . '-0000-7000-8000-000000000000']) {
            my $r = by($cookie, @$what, headers => $headers);
            my $refused = $r->{status} == 403
                && $r->json->{code} eq 'csrf_refused';
            push @wrong, "@$headers: $what->[0]: $r->{status} $r->{body}"
                if $refused == $pass;
        }
        my $r = by($cookie, GET => 'me', headers => $headers);
        push @wrong, "@$headers: GET: $r->{status}" if $r->{status} != 200;
        $r = (log_in('carol', headers => $headers))[0];
        push @wrong, "@$headers: a login: $r->{status}"
            if ($r->{status} == 200) != $pass;
        $r = $s->request(POST => 'projects', as => 'carol',
                         headers => [@$headers], json => { name => 'Roof' });
        push @wrong, "@$headers: by a token: $r->{status}"
            if $r->{status} != 201;
    }
    is_deeply \@wrong, [], 'change nothing by a cookie, and may read';
    is $s->psql("select distinct e.outcome, u.email
                   from tenon.event e
                   join tenon.\"user\" u on u.id = e.actor
                  where e.action = 'auth.csrf_refused'"),
        'refused|carol@acme.test', 'it is in the log';
    cmp_ok $s->psql("select count(*) from tenon.event
                      where action = 'auth.csrf_refused'"), '<=', 30,
        'some of it, however much there is';
};

subtest 'over TLS' => sub {
    my (undef, $cookie) = log_in('carol');
    my $port = $s->https('acme', 'me') =~ m{:(\d+)/} ? $1 : 0;
    my @post = ('-o', '/dev/null', '-w', '%{http_code}', '-X', 'PATCH',
                '-H', 'Content-Type: application/json',
                '-H', "Cookie: __Host-tenon=$cookie", '-d', '{"name":"Carol"}');
    my $host = "acme.tenon.localhost:$port";
    my %got = map { $_ => $s->curl(@post, '-H', "Origin: $_",
                                   $s->https('acme', 'me')) }
        "https://$host", "http://$host", 'https://acme.tenon.localhost';
    is_deeply \%got, { "https://$host" => 200, "http://$host" => 403,
                       'https://acme.tenon.localhost' => 403 },
        'scheme and port count';
};

subtest 'the way out' => sub {
    my ($r, $cookie) = log_in('carol');
    my (undef, $other) = log_in('carol');
    $r = by($cookie, POST => 'auth/logout');
    status_is $r, 204, 'logout';
    is $r->header('Set-Cookie'), '__Host-tenon=; Secure; HttpOnly; '
        . 'SameSite=Lax; Path=/; Max-Age=0', 'takes the cookie back';
    problem_is by($cookie, GET => 'me'), 401, 'unauthenticated',
        'which is good no more' for @workers;
    status_is by($other, GET => 'me'), 200, 'another is';
};

subtest 'other organizations' => sub {
    my $where = { tenant => 'second' };
    my $made = $s->request(POST => 'tenants', as => 'carol',
                           json => { name => 'Second', slug => 'second' });
    status_is $made, 201, 'there is a second one';
    my (undef, $cookie) = log_in('carol');
    problem_is by($cookie, POST => 'auth/tenant', json => $where), 409,
        'state_conflict', 'a host of one organization keeps its cookie';
    problem_is $s->request(POST => 'auth/tenant', as => 'carol',
                           headers => ['Tenon-Session' => 'cookie'],
                           json => $where), 409, 'state_conflict',
        'by a token neither';
    my @base = (host => 'tenon.localhost');
    my ($r, $there) = log_in('carol', @base,
                             headers => ['Tenon-Tenant' => 'acme']);
    status_is $r, 200, 'the base domain is of none';
    $r = by($there, POST => 'auth/tenant', json => $where, @base);
    status_is $r, 200, 'so its cookie changes';
    is $r->json->{access_token}, undef, 'from cookie to cookie';
    my $second = value($r);
    is by($second, GET => 'me', @base)->json->{tenant}{slug}, 'second',
        'and is of the other one';
    is by($there, GET => 'me', @base)->json->{tenant}{slug}, 'acme',
        'the old one stays what it was';
    my ($age) = $r->header('Set-Cookie') =~ /Max-Age=(\d+)/;
    ok $age <= 2592000 && $age > 2592000 - 600, 'it ends with that one';
    problem_is $s->request(POST => 'auth/tenant', as => 'carol', @base,
                           headers => ['Tenon-Session' => 'cookie'],
                           json => { tenant => 'acme' }), 409,
        'state_conflict', 'tokens don\'t become a cookie';
};

subtest 'a new secret' => sub {
    my ($r, $cookie) = log_in('carol');
    my (undef, $other) = log_in('carol');
    my $copy = $cookie;
    $r = by($cookie, DELETE => 'me/sessions');
    status_is $r, 204, 'comes with the end of all others';
    my $new = value($r);
    like $new, qr/\Atns_/, 'the browser is told';
    isnt $new, $copy, 'another one';
    status_is by($new, GET => 'me'), 200, 'which is good' for @workers;
    status_is by($copy, GET => 'me'), 200,
        'the old one for what is on its way' for @workers;
    problem_is by($other, GET => 'me'), 401, 'unauthenticated',
        'another session has ended' for @workers;
    $s->psql("update tenon.session set rotated_at = rotated_at
                     - interval '11 seconds' where kind = 'cookie'");
    ok $s->wait_until(8, sub {
        !grep { by($copy, GET => 'me')->{status} != 401 } @workers, @workers;
    }), 'and after that no more';
    status_is by($new, GET => 'me'), 200, 'the new one is';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
