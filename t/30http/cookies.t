#!/usr/bin/perl

# Sessions of browsers: the cookie, what it is good for, and which pages may act
# by it.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
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

# What acme's log says of refusals by that name: of whom, and how many.
sub told {
    my ($action, $type) = @_;
    my $r = $s->request(GET => "audit/events?limit=100&action=$action",
                        as => 'alice');
    return map { JSON::PP->new->canonical->encode($_->{metadata}) }
        grep { $_->{outcome} eq 'refused' && $_->{actor}{type} eq $type
               && !defined $_->{resource_id} && $_->{ip} eq '127.0.0.1' }
        @{ $r->json->{data} };
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
    is_deeply [told('auth.cookie_refused', 'anonymous')],
        [map { qq({"attempts":$_,"code":"unauthenticated"}) } reverse 1 .. 10],
        'the organization hears of it, though not each time';
    problem_is by('x', GET => 'me', at => 'globex'), 401, 'unauthenticated',
        'another' for 1, 2;
    is $s->psql("select count(*) from tenon.event e
                   join tenon.tenant t using (tenant_id)
                  where t.slug = 'globex'
                    and e.action = 'auth.cookie_refused'"), 2,
        'of what happens to it';
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
                      where action = 'auth.csrf_refused'"), '<=', 40,
        'some of it, however much there is';
    is_deeply [told('auth.csrf_refused', 'anonymous')],
        [map { qq({"attempts":$_,"code":"csrf_refused"}) } reverse 1 .. 10],
        'those of logins, who is whose is not known, too';
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
    my $made = $s->request(POST => 'tenants', as => 'carol', proven => 1,
                           json => { name => 'Second', slug => 'second' });
    status_is $made, 201, 'there is a second one';
    my (undef, $cookie) = log_in('carol');
    problem_is by($cookie, POST => 'auth/tenant', json => $where), 409,
        'state_conflict', 'a host of one organization keeps its cookie';
    my $proof = [refresh_token => $s->proof('carol')];
    problem_is $s->request(POST => 'auth/tenant', as => 'carol',
                           headers => ['Tenon-Session' => 'cookie'],
                           json => { %$where, @$proof }), 409,
        'state_conflict', 'by a token neither';
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
                           json => { tenant => 'acme', @$proof }), 409,
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
    problem_is by($copy, GET => 'me'), 401, 'unauthenticated',
        'the old one is not, on any worker' for @workers, @workers;
    problem_is by($other, GET => 'me'), 401, 'unauthenticated',
        'another session has ended' for @workers;
    problem_is by($copy, DELETE => 'me/sessions'), 401, 'unauthenticated',
        'nor does it replace the new one';
    status_is by($new, GET => 'me'), 200, 'which stays good';
};

# A connection that each worker serves.
my %at = map {
    my $pid = $_;
    ($pid => $s->alone($pid, sub {
        my $c = $s->connect;
        $c->request(GET => '/live', host => 'tenon.localhost');
        return $c;
    }))
} @workers;

sub everywhere {
    my ($cookie) = @_;
    return join ' ', map {
        $at{$_}->write($s->bytes(GET => 'me', at => 'acme', headers =>
                                 [Cookie => "__Host-tenon=$cookie"]));
        $at{$_}->response->{status};
    } @workers;
}

subtest 'another password' => sub {
    my $p = $s->hire('changer', 'acme', 'member');
    my (undef, $cookie) = log_in('changer');
    is everywhere($cookie), join(' ', (200) x @workers), 'a cookie';
    my $r = by($cookie, POST => 'auth/password/change', json => {
        current_password => $s->password, password => 'another one' });
    status_is $r, 204, 'and another password';
    is everywhere($cookie), join(' ', (401) x @workers),
        'the old cookie is refused at the next request of every worker';
    is everywhere(value($r)), join(' ', (200) x @workers), 'not the new one';
};

# What is asked by one cookie several times at once, held up in the database
# until all have been let in.
subtest 'two at once by one cookie' => sub {
    my $p = $s->hire('twice', 'acme', 'member');
    my (undef, $cookie) = log_in('twice');
    my $id = by($cookie, GET => 'me/sessions')->json->{data}[0]{id};
    my @c = map { $s->connect } 1, 2;
    my $lock = fork // die "fork: $!\n";
    if (!$lock) {
        $s->psql("begin; select from tenon.session where id = '$id' for update;
                  select pg_sleep(0.4); commit");
        require POSIX;
        POSIX::_exit(0);
    }
    ok $s->wait_until(5, sub { $s->psql("
        select count(*) from pg_stat_activity
         where query like '%pg_sleep(0.4)%' and pid <> pg_backend_pid()")
    }), 'the session\'s row is held';
    $_->write($s->bytes(DELETE => 'me/sessions', at => 'acme', headers =>
                        [Cookie => "__Host-tenon=$cookie"])) for @c;
    my @r = map { $_->response } @c;
    waitpid $lock, 0;
    is_deeply [map { $_->{status} } @r], [204, 204], 'both are done';
    my @new = grep { defined } map { value($_) } @r;
    is @new, 1, 'one of them replaces the cookie';
    status_is by($new[0], GET => 'me'), 200, 'and that one is good';
    is $s->psql("select generation from tenon.session where id = '$id'"), 1,
        'it was replaced once';
};

# Who is told no keeps the cookie: nobody tells a browser of a secret in an
# error.
subtest 'a change that was refused' => sub {
    my $p = $s->hire('keeper', 'acme', 'member');
    my ($r, $cookie) = log_in('keeper');
    my $generation = sub {
        return $s->psql("select string_agg(generation::text, ' '
                                           order by created_at)
                           from tenon.session
                          where user_id = '$p->{user_id}'");
    };
    my $change = sub {
        return by($cookie, POST => 'auth/password/change',
                  json => { current_password => $s->password,
                            password => 'correct horse battery' });
    };
    $s->psql("update tenon.login_attempt
                 set locked_until = now() + interval '5 minutes'");
    $r = $change->();
    problem_is $r, 422, 'reauthentication_failed',
        'during a lock, the password';
    is $r->header('Set-Cookie'), undef, 'no cookie is told';
    is $generation->(), 0, 'nor made';
    $s->psql('update tenon.login_attempt set locked_until = null');

    my @key = ('Idempotency-Key' => 'the same');
    status_is by($cookie, DELETE => 'me/sessions', headers => [@key]), 204,
        'the others end';
    is $generation->(), 1, 'and the cookie is replaced, though there were none';
    (undef, $cookie) = log_in('keeper');
    $s->psql("update tenon.idempotency
                 set fingerprint = fingerprint || '\\x00'");
    $r = by($cookie, DELETE => 'me/sessions', headers => [@key]);
    problem_is $r, 422, 'idempotency_mismatch', 'by a key that was another\'s';
    is $r->header('Set-Cookie'), undef, 'no cookie is told';
    is $generation->(), '1 0', 'nor made';

    $r = $change->();
    status_is $r, 204, 'the password is changed';
    like value($r), qr/\Atns_/, 'and so is the cookie';
    status_is by(value($r), GET => 'me'), 200, 'to one that is good';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
