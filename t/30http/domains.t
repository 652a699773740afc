#!/usr/bin/perl

# Domains of a tenant's own: said to be theirs by whoever owns the tenant,
# verified by an operator who finds the challenge in their DNS, and from then on
# as good as the subdomain. One domain is one tenant's, and what others say of
# it shows nowhere.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Socket::INET ();
use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();
use Time::HiRes qw(sleep time);

my $s = TenonServer->new;
my $app = 'app.acme.example';


# ---- a name server on loopback ----

# It answers for the TXT records in a file, "name text" a line; and badly for
# names that say so.
my $zone = $s->dir . '/zone';
my $dns = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp')
    or die "no UDP port: $!\n";
my $resolver = '127.0.0.1:' . $dns->sockport;

sub name_server {
    while (defined $dns->recv(my $query, 512)) {
        my ($id) = unpack 'n', $query;
        my ($name, $at) = ('', 12);
        while (my $n = ord substr $query, $at, 1) {
            $name .= ($name eq '' ? '' : '.') . substr $query, $at + 1, $n;
            $at += $n + 1;
        }
        next if $name =~ /mute/;
        open my $in, '<', $zone or die "$zone: $!\n";
        my @texts = map { /^\Q$name\E (.*)$/ ? $1 : () } <$in>;
        my $answer = pack('nnnnnn', $id, @texts ? 0x8180 : 0x8183, 1,
                          scalar @texts, 0, 0) .
            substr $query, 12, $at + 5 - 12;
        for my $text (@texts) {
            # in two strings, as long ones come
            my $data = join '', map { chr(length) . $_ }
                $text =~ /\A(.{1,20})(.+)?\z/ ? grep { defined } $1, $2 : '';
            $answer .= pack('nnnNn', 0xc00c, 16, 1, 60, length $data) . $data;
        }
        $answer = substr $answer, 0, length($answer) - 7 if $name =~ /broken/;
        $dns->send($answer);
    }
    exit 0;
}

sub records {
    my (@lines) = @_;
    open my $out, '>', $zone or die "$zone: $!\n";
    print {$out} "$_\n" for @lines;
    close $out or die "$zone: $!\n";
    return;
}

records();
my $server = fork // die "fork: $!\n";
if (!$server) {
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
    eval { name_server() };
    require POSIX;
    POSIX::_exit(1);
}
END { local $?; kill TERM => $server if $server }


# ---- helpers ----

# (exit code, what is said): of a tenonctl domain command.
sub ctl {
    my (@arg) = @_;
    my $text = $s->shell('
        tenonctl_as "$pg_user" domain --database "$owner_db" "$@" 2>&1 &&
            echo "exit 0" || echo "exit $?"', @arg);
    $text =~ s/exit (\d+)\s*\z// or die "no exit code: $text\n";
    return ($1, $text);
}

sub verify { return ctl('verify', '--resolver' => $resolver, @_) }

sub add {
    my ($as, $domain, %o) = @_;
    return $s->request(POST => 'domains', as => $as,
                       json => { domain => $domain }, %o);
}

sub txt { return "$_[0]{challenge}{name} $_[0]{challenge}{value}" }

# As somebody, to a host of any name.
sub at {
    my ($host, $method, $path, %o) = @_;
    $o{token} = $s->token(delete $o{as}) if $o{as};
    return $s->request($method, $path, host => $host, %o);
}

sub events {
    my ($tenant, $action) = @_;
    return $s->psql("select count(*) from tenon.event e
                       join tenon.tenant t using (tenant_id)
                      where t.slug = '$tenant' and e.action = '$action'
                        and (e.outcome = 'success'
                             or e.action like 'auth.%')");
}

# Whose tenant a host names to a login that fails: none is 404.
sub names {
    my ($host) = @_;
    my $r = at($host, POST => 'auth/login',
               json => { email => 'nobody@people.test', password => 'none' });
    return $r->json->{code};
}

my ($acme, $globex);


subtest 'a domain is said to be the tenant\'s' => sub {
    my $r = add('alice', $app);
    status_is $r, 201, 'the owner adds it';
    $acme = $r->json;
    is_deeply [sort keys %$acme],
        [qw(challenge created_at created_by domain id status verified_at
            version)], 'its members';
    is $acme->{status}, 'pending', 'pending';
    is $acme->{verified_at}, undef, 'not verified';
    is_deeply [@{ $acme->{challenge} }{qw(name type)}],
        ["_tenon-challenge.$app", 'TXT'], 'the record that is asked for';
    like $acme->{challenge}{value}, qr/\Atenon-verification=[0-9a-f]{64}\z/,
        'what it must hold';
    is $r->header('Location'), "/api/v1/domains/$acme->{id}", 'Location';
    is_deeply $s->request(GET => "domains/$acme->{id}", as => 'bob')->json,
        $acme, 'an admin reads it';
    is_deeply $s->request(GET => 'domains?status=pending', as => 'bob')
        ->json->{data}, [$acme], 'in the list, too';
    is events('acme', 'domain.created'), 1, 'its event';

    problem_is add('bob', 'b.example.org'), 403, 'forbidden',
        'an admin adds none';
    problem_is $s->request(GET => 'domains', as => 'carol'), 403, 'forbidden',
        'a member sees none';
    problem_is add('alice', $app), 409, 'duplicate', 'not twice',
        '/domain' => 'duplicate';

    my @key = (headers => ['Idempotency-Key' => 'domain']);
    my $first = add('alice', 'keyed.example.org', @key);
    my $again = add('alice', 'keyed.example.org', @key);
    is $again->{body}, $first->{body}, 'a repetition has the same challenge';
    status_is $s->request(DELETE => 'domains/' . $first->json->{id},
                          as => 'alice'), 204, 'and is deleted';
};

subtest 'names that are none' => sub {
    for my $name ('localhost', 'example', '.example.com', 'a..example.com',
                  'example.com.', '-a.example.com', 'a-.example.com',
                  'a_b.example.com', '192.0.2.1', '[2001:db8::1]', '::1',
                  'example.com:443', 'https://example.com', '*.example.com',
                  "example.com\n", ' example.com', "b\x{fc}cher.example",
                  'ab--c.example.com', 'AB--c.example.com', 'example.c',
                  'example.123', 'x' x 64 . '.example.com',
                  join('.', ('abcdefgh') x 28, 'toolong'), '') {
        my $r = add('alice', $name);
        problem_is $r, 422, 'invalid_fields', JSON::PP::encode_json([$name]),
            '/domain' => length $name > 253 ? 'too_long' : 'bad_format';
    }
    for my $name ('tenon.localhost', 'acme.tenon.localhost',
                  'a.b.tenon.localhost', 'Acme.TENON.localhost') {
        my $r = add('alice', $name);
        problem_is $r, 422, 'invalid_fields', $name, '/domain' => 'refused';
        is $r->json->{errors}[0]{detail}, "lies in the platform's own domain",
            'and why';
    }
    for my $name ('xn--bcher-kva.example', 'a.co', 'nottenon.localhost',
                  '1.2.3.4.example', 'a-b.c--d.example') {
        my $r = add('alice', $name);
        status_is $r, 201, $name;
        $s->request(DELETE => 'domains/' . $r->json->{id}, as => 'alice');
    }
};

subtest 'upper case is taken for lower' => sub {
    my $r = add('alice', 'Shop.EXAMPLE.Org');
    status_is $r, 201, 'accepted';
    my $d = $r->json;
    is $d->{domain}, 'shop.example.org', 'kept in lower case';
    is $d->{challenge}{name}, '_tenon-challenge.shop.example.org',
        'and asked for so';
    problem_is add('alice', 'SHOP.example.org'), 409, 'duplicate',
        'the same once more', '/domain' => 'duplicate';
    status_is $s->request(DELETE => "domains/$d->{id}", as => 'alice'), 204,
        'deleted';
    $d = add('alice', 'XN--bcher-KVA.example')->json;
    is $d->{domain}, 'xn--bcher-kva.example', 'other scripts as well';
    $s->request(DELETE => "domains/$d->{id}", as => 'alice');
};

subtest 'pending, it names nobody' => sub {
    is names($app), 'tenant_unknown', 'a login finds no tenant';
    status_is at($app, GET => 'me', as => 'alice'), 200,
        'a token alone does, as on any host';
    is at($app, GET => 'me', as => 'dave')->json->{tenant}{slug}, 'globex',
        'whosoever it is';
};

subtest 'two tenants say it is theirs' => sub {
    my $r = add('dave', $app);
    status_is $r, 201, 'the second may';
    $globex = $r->json;
    isnt $globex->{challenge}{value}, $acme->{challenge}{value},
        'its challenge is another';
};

subtest 'verification' => sub {
    my ($status, $text) = verify($app);
    is $status, 1, 'without a record: exit code 1';
    like $text, qr/^tenonctl: \Q$app\E \(acme\): _tenon-challenge\.\Q$app\E: there is no such name$/m,
        'and why';

    records("_tenon-challenge.$app something else");
    ($status, $text) = verify($app);
    is $status, 1, 'with another';
    like $text, qr/none of its TXT records holds the challenge/, 'it says so';
    is names($app), 'tenant_unknown', 'it names nobody still';

    records("_tenon-challenge.$app something else", txt($acme));
    ($status, $text) = verify();
    is $status, 1, 'one of several pending';
    like $text, qr/^\Q$app\E is verified: acme$/m, 'is verified';
    like $text, qr/\Q$app\E \(globex\).*none of its TXT/, 'the other is not';

    my $r = $s->request(GET => "domains/$acme->{id}", as => 'alice')->json;
    is $r->{status}, 'verified', 'the API says so';
    ok $r->{verified_at}, 'and when';
    is $r->{version}, 2, 'a new version';
    is events('acme', 'domain.verified'), 1, 'an event';

    my $event = $s->request(GET => 'audit/events?action=domain.verified',
                            as => 'alice')->json->{data}[0];
    is $event->{resource_id}, $acme->{id}, 'of this domain';
    is $event->{actor}{type}, 'system', 'by nobody of the tenant';

    ok $s->wait_until(8, sub { names($app) eq 'invalid_credentials' }),
        'within seconds it names the tenant';

    # Both records at once: as DNS would have it that changes hands.
    records(txt($acme), txt($globex));
    ($status, $text) = verify($app);
    is $status, 1, 'a second tenant can\'t have it too';
    like $text, qr/\Q$app\E: it is another tenant's already/, 'it says why';
    is_deeply $s->request(GET => "domains/$globex->{id}", as => 'dave')->json,
        $globex, 'in whose API nothing is to be seen of that';
    is events('globex', 'domain.verified'), 0, 'nor in its log';

    records();
    ($status, $text) = verify($app);
    is $status, 1, 'a record that is gone is told';
    like $text, qr/\(acme\): .*no such name; it stays verified$/m,
        'but undoes nothing';
    is names($app), 'invalid_credentials', 'it names the tenant still';

    ($status, $text) = verify();
    unlike $text, qr/\(acme\)/, 'what is verified is not looked at unasked';
};

subtest 'tenonctl domain' => sub {
    my ($status, $text) = ctl('list');
    is $status, 0, 'a list';
    like $text, qr/^acme +\Q$app\E +verified +_tenon-challenge\.\Q$app\E TXT "\Q$acme->{challenge}{value}\E"$/m,
        'of every tenant\'s';
    (undef, $text) = ctl('list', '--json');
    is_deeply [map { "$_->{tenant} $_->{status}" }
               @{ JSON::PP::decode_json($text) }],
        ['acme verified', 'globex pending'], 'as JSON';

    for (['verify', 'nowhere.example'], ['verify', '--force'],
         ['verify', '--force', $app], ['verify', '--resolver', 'here'],
         ['release']) {
        ($status, $text) = ctl(@$_);
        is $status, 1, "refused: @$_";
        like $text, qr/^tenonctl: /, 'with a reason';
    }
    is +(ctl('nonsense'))[0], 2, 'no such action';
    is +(ctl('verify', '--nonsense'))[0], 2, 'no such option';

    my $mute = add('alice', 'mute.example')->json;
    my $broken = add('alice', 'broken.example')->json;
    records(txt($mute), txt($broken));
    my $start = time;
    ($status, $text) = verify('mute.example');
    is $status, 1, 'nobody answers';
    like $text, qr/no resolver answered/, 'it says so';
    cmp_ok time - $start, '<', 20, 'in bounded time';
    ($status, $text) = verify('broken.example');
    is $status, 1, 'an answer cut short';
    like $text, qr/can't be read|no resolver|failed/, 'is none';

    ($status, $text) = ctl('verify', '--force', 'MUTE.example');
    is $status, 0, 'an operator may know better';
    is $s->request(GET => "domains/$mute->{id}", as => 'alice')
        ->json->{status}, 'verified', 'and is believed';
    $s->request(DELETE => "domains/$_->{id}", as => 'alice')
        for $mute, $broken;
};

subtest 'as good as the subdomain' => sub {
    my $r = at($app, POST => 'auth/login',
               json => { email => 'alice@acme.test',
                         password => $s->password });
    status_is $r, 200, 'a login there';
    is $r->json->{tenant}{slug}, 'acme', 'is one to the tenant';
    my $token = $r->json->{access_token};
    is at($app, GET => 'me', token => $token)->json->{tenant}{slug}, 'acme',
        'its token holds there';
    status_is at('acme.tenon.localhost', GET => 'me', token => $token), 200,
        'and at the subdomain';

    $r = at($app, POST => 'projects', token => $token,
            json => { name => 'by domain' });
    status_is $r, 201, 'what is made there';
    like $r->header('Location'), qr{\A/api/v1/projects/}, 'has a path';
    like at($app, GET => 'tasks?limit=1', token => $token)->header('Link'),
        qr{\A</api/v1/tasks\?}, 'and so have links';

    problem_is at($app, POST => 'auth/signup', json => {}), 404, 'not_found',
        'nobody signs up there';

    my $invited = $s->request(
        POST => 'invitations', as => 'dave',
        json => { email => 'kim@people.test', role => 'member' });
    status_is $invited, 201, 'an invitation to another tenant';
    my @accept = (json => { token => $s->mailed('kim@people.test'),
                            name => 'Kim', password => 'correct horse' });
    problem_is at($app, POST => 'invitations/accept', @accept), 403,
        'tenant_mismatch', 'is not accepted there';
    problem_is at($app, POST => 'invitations/accept', @accept,
                  headers => ['Tenon-Tenant' => 'globex']), 403,
        'tenant_mismatch', 'nor with its own header';
    status_is at('other.example', POST => 'invitations/accept', @accept,
                 headers => ['Tenon-Tenant' => 'globex']), 200,
        'but where nobody else is named';
};

subtest 'all that name a tenant agree' => sub {
    my %host = (
        'acme.tenon.localhost'   => 'acme',
        'globex.tenon.localhost' => 'globex',
        $app                     => 'acme',
        'tenon.localhost'        => undef,
        'elsewhere.example'      => undef,
        '127.0.0.1'              => undef,
    );
    for my $host (sort keys %host) {
        for my $header (undef, 'acme', 'globex') {
            for my $who (undef, 'alice', 'dave') {
                my @named = grep { defined } $host{$host}, $header,
                    $who && ($who eq 'alice' ? 'acme' : 'globex');
                my %named = map { $_ => 1 } @named;
                my $r = at($host, GET => 'me', as => $who, headers =>
                           [$header ? ('Tenon-Tenant' => $header) : ()]);
                my $name = join ', ', $host, $header // '-', $who // 'nobody';
                keys %named > 1
                    ? problem_is $r, 403, 'tenant_mismatch', $name
                    : !$who ? problem_is $r, 401, 'unauthenticated', $name
                    : is $r->json->{tenant}{slug}, $named[0], $name;
            }
        }
    }

    my %token;
    for my $host (sort keys %host) {
        for my $header (undef, 'acme', 'globex') {
            for my $who ('alice', 'dave') {
                $token{$who} //= $s->login($who)->json->{refresh_token};
                my $home = $who eq 'alice' ? 'acme' : 'globex';
                my %named = map { $_ => 1 } grep { defined }
                    $host{$host}, $header, $home;
                my $r = at($host, POST => 'auth/refresh',
                           json => { refresh_token => $token{$who} }, headers =>
                           [$header ? ('Tenon-Tenant' => $header) : ()]);
                my $name = join ', ', 'refresh', $host, $header // '-', $who;
                if (keys %named > 1) {
                    problem_is $r, 403, 'tenant_mismatch', $name;
                    next;
                }
                status_is $r, 200, $name;
                $token{$who} = $r->json->{refresh_token};
                my $me = at('tenon.localhost', GET => 'me',
                            token => $r->json->{access_token});
                is $me->json->{id}, $r->json->{user}{id}, 'who asks there';
            }
        }
    }

    $s->psql("update tenon.session
                 set idle_ttl = 300, last_used_at = now() - interval '301 s'
               where expires_at > now() and revoked_at is null");
    for my $header (undef, 'acme') {
        problem_is at($app, POST => 'auth/refresh',
                      json => { refresh_token => $token{alice} }, headers =>
                      [$header ? ('Tenon-Tenant' => $header) : ()]), 401,
            'unauthenticated', 'one that is asleep stays so, '
            . ($header // 'no header');
    }
    $s->psql('update tenon.session set idle_ttl = null');

    my $before = events('globex', 'auth.tenant_mismatch');
    my $acmes = events('acme', 'auth.tenant_mismatch');
    problem_is at($app, GET => 'tasks', as => 'dave'), 403, 'tenant_mismatch',
        'a token at another tenant\'s domain';
    is events('globex', 'auth.tenant_mismatch'), $before + 1,
        'is an event of the token\'s tenant';
    is events('acme', 'auth.tenant_mismatch'), $acmes, 'and of no other';
};

subtest 'deleted, it is free' => sub {
    my $before = events('acme', 'domain.deleted');
    is names($app), 'invalid_credentials', 'it was the tenant\'s';
    problem_is $s->request(DELETE => "domains/$acme->{id}", as => 'bob'), 403,
        'forbidden', 'an admin deletes none';
    problem_is $s->request(DELETE => "domains/$acme->{id}", as => 'alice',
                           headers => ['If-Match' => '"1"']), 412,
        'precondition_failed', 'of another version not';
    problem_is $s->request(DELETE => "domains/$acme->{id}", as => 'dave'), 404,
        'not_found', 'another tenant\'s not';
    status_is $s->request(DELETE => "domains/$acme->{id}", as => 'alice',
                          headers => ['If-Match' => '"2"']), 204,
        'the owner gives it up';
    is names($app), 'tenant_unknown', 'on every worker' for 1 .. 8;
    is events('acme', 'domain.deleted'), $before + 1, 'its event';
    problem_is $s->request(GET => "domains/$acme->{id}", as => 'alice'), 404,
        'not_found', 'it is gone';

    records(txt($globex));
    my ($status) = verify($app);
    is $status, 0, 'the other tenant has it verified';
    ok $s->wait_until(8, sub { names($app) eq 'invalid_credentials' }),
        'and within seconds it names that one';
    is at($app, GET => 'me', as => 'dave')->json->{tenant}{slug}, 'globex',
        'who is at home there now';

    ($status) = ctl('release', $app);
    is $status, 0, 'an operator takes it back';
    is events('globex', 'domain.released'), 1, 'with an event';
    is $s->request(GET => "domains/$globex->{id}", as => 'dave')
        ->json->{status}, 'pending', 'it is pending again';
    ok $s->wait_until(8, sub { names($app) eq 'tenant_unknown' }),
        'and names nobody, within seconds';
};

subtest 'the directory is what the domains say' => sub {
    is $s->psql('select count(*) from tenon.tenant_domain'), 0, 'empty now';
    my ($status) = ctl('verify', '--force', $app);
    is $status, 0, 'forced';
    is $s->psql('select domain from tenon.tenant_domain'), $app, 'entered';
    $s->psql("update tenon.domain set domain = 'moved.example'
               where id = '$globex->{id}'");
    is $s->psql('select domain from tenon.tenant_domain'), 'moved.example',
        'by hand, too';
    $s->psql("delete from tenon.domain where id = '$globex->{id}'");
    is $s->psql('select count(*) from tenon.tenant_domain'), 0, 'and left';
    like eval { $s->psql('select * from tenon.tenant_domain',
                         role => 'tenon_api') } // $@,
        qr/permission denied/, 'the API can\'t list it';
};

subtest 'a tenant that ends' => sub {
    my $id = $s->found('initech');
    $s->hire('lumbergh', 'initech', 'owner');
    my $d = add('lumbergh', 'initech.example')->json;
    records(txt($d));
    is +(verify('initech.example'))[0], 0, 'verified';
    ok $s->wait_until(8, sub {
        names('initech.example') eq 'invalid_credentials' }), 'named';
    status_is $s->request(DELETE => 'tenant', as => 'lumbergh'), 204, 'gone';
    is names('initech.example'), 'tenant_unknown', 'with its domain, at once'
        for 1 .. 4;

    my $of = "from tenon.domain where tenant_id = '$id'";
    is $s->psql("select count(*) $of"), 0, 'which is its no more';
    is $s->psql("select resource_id, b.metadata ->> 'domain',
                        b.metadata ->> 'reason'
                   from tenon.event e
                   join tenon.event_body b on b.tenant_id = e.tenant_id
                                          and b.event_id = e.id
                  where e.tenant_id = '$id'
                    and e.action = 'domain.deleted'"),
        "$d->{id}|initech.example|tenant_deleted", 'says its log';
    my $next = add('dave', 'initech.example')->json;
    records(txt($next));
    is +(verify('initech.example'))[0], 0, 'another tenant can have it';
    ok $s->wait_until(8, sub {
        names('initech.example') eq 'invalid_credentials' }), 'and be named';
    is at('initech.example', GET => 'me', as => 'dave')
        ->json->{tenant}{slug}, 'globex', 'that one';
    status_is $s->request(DELETE => "domains/$next->{id}", as => 'dave'), 204,
        'until it is given up';
};

subtest 'as many as there may be' => sub {
    my $n = $s->psql("select count(*) from tenon.domain d
                        join tenon.tenant t using (tenant_id)
                       where t.slug = 'acme'");
    $s->psql("
        insert into tenon.domain (tenant_id, domain)
        select tenant_id, 'n' || n || '.example'
          from tenon.tenant, generate_series(1, 100 - $n) n
         where slug = 'acme'");
    problem_is add('alice', 'toomany.example'), 409, 'limit_reached',
        'a hundred, and no more';
};

is_deeply [$s->alarms], [], 'no alarms';

done_testing;
