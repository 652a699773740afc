#!/usr/bin/perl

# Feature flags: managed by owners, evaluated over OFREP by everybody of the
# organization, out of shared memory; a change holds at the next request of every
# worker.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Digest::SHA qw(sha256);
use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $ofrep = '/ofrep/v1/evaluate/flags';

sub make {
    my ($key, %o) = @_;
    my $r = $s->request(POST => 'flags', as => 'alice',
                        json => { key => $key, %o });
    status_is $r, 201, "$key is made";
    return $r->json;
}

sub change {
    my ($flag, %o) = @_;
    return $s->request(PATCH => "flags/$flag->{id}", as => 'alice',
                       json => \%o);
}

sub evaluate {
    my ($key, $context, %o) = @_;
    return $s->request(POST => defined $key ? "$ofrep/$key" : $ofrep,
                       as => 'carol', json => { context => $context || {} },
                       %o);
}

# "SPLIT on 1"
sub told {
    my ($r) = @_;
    return "$r->{status} $r->{body}" if $r->{status} != 200;
    my $value = $r->json;
    return "$value->{reason} $value->{variant} $value->{metadata}{version}";
}

sub ofrep_is {
    my ($r, $status, $code, $error, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $p = eval { $r->json } || {};
    is_deeply [problem_faults($r, $status, $code)], [], $name;
    is $p->{errorCode}, $error, "$name: $error";
    is $p->{errorDetails}, $p->{detail}, "$name: and why";
    return $p;
}


subtest 'a boolean, with nothing said of it' => sub {
    my $flag = make('plain');
    is_deeply [@$flag{qw(type enabled variants default_variant off_variant
                         rules description version)}],
        ['boolean', $true, { on => $true, off => $false }, 'off', 'off', [],
         '', 1], 'is off for everybody';
    my $r = evaluate('plain');
    status_is $r, 200, 'is evaluated';
    is_deeply $r->json, { key => 'plain', value => $false, reason => 'STATIC',
                          variant => 'off', metadata => { version => 1 } },
        'as OFREP has it';
    like $r->header('Content-Type'), qr{\Aapplication/json}, 'in JSON';
    is $r->header('Cache-Control'), 'private, no-cache', 'for nobody to keep';
    is told(evaluate('plain', {}, as => $_)), 'STATIC off 1', "for $_"
        for qw(alice bob);
};

subtest 'rules' => sub {
    my $flag = make('checkout', rules => [
        { name => 'Staff', variant => 'on', when => [
            { attribute => 'email', op => 'ends_with',
              values => ['@acme.test'] },
            { attribute => 'version', op => 'semver_gte',
              values => ['2.1.0'] }] },
        { when => [{ attribute => 'plan', op => 'in',
                     values => ['pro', 'team'] }],
          split => [{ variant => 'on', weight => 20 },
                    { variant => 'off', weight => 80 }] },
    ]);
    is_deeply $flag->{rules}[1], {
        name => undef, variant => undef, split => [
            { variant => 'on', weight => 20 },
            { variant => 'off', weight => 80 }],
        when => [{ attribute => 'plan', op => 'in',
                   values => ['pro', 'team'] }] }, 'are shown whole';

    is told(evaluate('checkout')), 'DEFAULT off 1', 'none holds';
    is told(evaluate('checkout', { email => 'x@acme.test',
                                   version => 'v2.10.0' })),
        'TARGETING_MATCH on 1', 'the first';
    is told(evaluate('checkout', { email => 'x@acme.test',
                                   version => '2.1.0-rc.1' })),
        'DEFAULT off 1', 'with all its conditions';

    my %got;
    for my $n (1 .. 40) {
        my $hash = unpack 'N', sha256("checkout:user-$n");
        my $want = $hash * 100 / 2**32 < 20 ? 'on' : 'off';
        my $got = told(evaluate('checkout', { plan => 'pro',
                                              targetingKey => "user-$n" }));
        $got{$got eq "SPLIT $want 1" ? 'right' : "user-$n: $got"}++;
    }
    is_deeply \%got, { right => 40 }, 'a share is what anybody can compute';
    my $p = ofrep_is evaluate('checkout', { plan => 'pro' }), 400,
        'targeting_key_missing', 'TARGETING_KEY_MISSING', 'without a key';
    is $p->{key}, 'checkout', 'of this flag';

    # What was read can be sent back.
    my $r = change($flag, rules => $flag->{rules});
    status_is $r, 200, 'the same rules';
    is $r->json->{version}, 1, 'change nothing';
    status_is change($flag), 200, 'nor does nothing at all';
};

subtest 'other types' => sub {
    make('theme', type => 'string', default_variant => 'light',
         variants => { light => '#fff', dark => '#000' });
    make('limit', type => 'integer', default_variant => 'a',
         variants => { a => 9007199254740991 });
    make('rate', type => 'float', default_variant => 'a',
         variants => { a => 0.25 });
    make('menu', type => 'object', default_variant => 'a',
         variants => { a => { items => ['x', { y => JSON::PP::null }] } });
    is_deeply [map { evaluate($_)->json->{value} } qw(theme limit rate menu)],
        ['#fff', 9007199254740991, 0.25,
         { items => ['x', { y => undef }] }], 'have values of theirs';
};

subtest 'the kill switch' => sub {
    my $flag = make('kill', default_variant => 'on',
                    rules => [{ variant => 'on' }]);
    is $flag->{off_variant}, 'on', 'off is the default, where nothing is said';
    is told(evaluate('kill')), 'TARGETING_MATCH on 1', 'on';
    status_is change($flag, off_variant => 'off', enabled => $false), 200,
        'switched off';
    is told(evaluate('kill')), 'DISABLED off 2', 'whatever the rules say';
};

subtest 'what can\'t be' => sub {
    my $post = sub {
        return $s->request(POST => 'flags', as => 'alice',
                           json => { key => 'bad', @_ });
    };
    problem_is $post->(default_variant => 'x', off_variant => 'y', rules => [
                   {}, { variant => 'z' },
                   { split => [{ variant => 'on', weight => 0 }] },
                   { variant => 'on', when => [
                       { attribute => 'a', op => 'lt', values => ['1'] },
                       { attribute => 'a', op => 'in' }] }]),
        422, 'invalid_fields', 'is told all at once',
        '/default_variant' => 'not_in_set', '/off_variant' => 'not_in_set',
        '/rules/0' => 'required', '/rules/1/variant' => 'not_in_set',
        '/rules/2/split' => 'out_of_range',
        '/rules/3/when/0/values/0' => 'wrong_type',
        '/rules/3/when/1/values' => 'too_short';
    problem_is $post->(type => 'string'), 422, 'invalid_fields',
        'text without variants', '/variants' => 'required';
    problem_is $post->(variants => { on => 1, off => $false }), 422,
        'invalid_fields', 'another type', '/variants/on' => 'wrong_type';
    problem_is $post->(key => 'plain'), 409, 'duplicate', 'a key that there is',
        '/key' => 'duplicate';

    my $raw = sub {
        my ($members) = @_;
        return $s->request(POST => 'flags', as => 'alice',
                           body => qq({"key":"bad",$members}));
    };
    problem_is $raw->('"type":"float","default_variant":"a","variants":' .
                      '{"a":1e16,"b":9007199254740991,"c":0.1}'), 422,
        'invalid_fields', 'a number that isn\'t exact',
        '/variants/a' => 'out_of_range';
    problem_is $raw->('"rules":[{"variant":"on","when":[' .
                      '{"attribute":"a","op":"gt","values":[1.7e18]},' .
                      '{"attribute":"a","op":"semver_gt",' .
                      '"values":["1.2.3-01"]}]}]'), 422,
        'invalid_fields', 'nor one that is compared',
        '/rules/0/when/0/values/0' => 'out_of_range',
        '/rules/0/when/1/values/0' => 'bad_format';

    # A change of one half that breaks the other.
    my $flag = make('halves', rules => [{ variant => 'on' }]);
    problem_is change($flag, variants => { off => $false }), 422,
        'invalid_fields', 'a variant that is needed',
        '/rules/0/variant' => 'not_in_set';
    my $r = $s->request(PATCH => "flags/$flag->{id}", as => 'alice',
                        json => { enabled => $false },
                        headers => ['If-Match' => '"7"']);
    problem_is $r, 412, 'precondition_failed', 'another version';
    is told(evaluate('halves')), 'TARGETING_MATCH on 1', 'it is as it was';
};

subtest 'contexts that can\'t be' => sub {
    ofrep_is evaluate('no-such-flag'), 404, 'not_found', 'FLAG_NOT_FOUND',
        'no such flag';
    ofrep_is evaluate(undef, [7]), 400, 'invalid_context', 'INVALID_CONTEXT',
        'no object';
    ofrep_is evaluate('plain', { targetingKey => 7 }), 400, 'invalid_context',
        'INVALID_CONTEXT', 'no key';
    ofrep_is $s->request(POST => "$ofrep/plain", as => 'carol', body => '{'),
        400, 'malformed_json', 'PARSE_ERROR', 'no JSON';
    ofrep_is evaluate('plain', { a => [1 .. 101] }), 400, 'invalid_context',
        'INVALID_CONTEXT', 'too long an array';
    ofrep_is evaluate('%ff'), 404, 'not_found', 'FLAG_NOT_FOUND', 'no text';
    status_is $s->request(POST => "$ofrep/plain", as => 'carol',
                          body => '{"context":{"a":"' . 'x' x 70_000 . '"}}'),
        413, 'too much';
    my $r = $s->request(POST => "/api$ofrep/plain", as => 'carol', json => {});
    is told($r), 'STATIC off 1', 'below the API it is the same';
};

subtest 'all at once' => sub {
    my $r = evaluate(undef, { plan => 'pro' });
    status_is $r, 200, 'all';
    my @keys = map { $_->{key} } @{ $r->json->{flags} };
    is_deeply \@keys, [sort @keys], 'in the order of their keys';
    my %flag = map { $_->{key} => $_ } @{ $r->json->{flags} };
    is $flag{checkout}{errorCode}, 'TARGETING_KEY_MISSING',
        'what can\'t be evaluated is told in its place';
    is $flag{theme}{value}, '#fff', 'and the others are';

    my $etag = $r->header('ETag');
    ok $etag, 'there is an ETag';
    for my $tag ($etag, "W/$etag", "\"x\", $etag") {
        my $again = evaluate(undef, { plan => 'pro' },
                             headers => ['If-None-Match' => $tag]);
        is "$again->{status} [$again->{body}]", '304 []', "as $tag has it";
        is $again->header('ETag'), $etag, 'which is told again';
    }
    status_is evaluate(undef, { plan => 'pro', targetingKey => 'user-1' },
                       headers => ['If-None-Match' => $etag]), 200,
        'not for another answer';
    make('one-more');
    status_is evaluate(undef, { plan => 'pro' },
                       headers => ['If-None-Match' => $etag]), 200,
        'nor after a change';
};

subtest 'no trip to the database' => sub {
    $s->psql("alter system set log_statement = 'all'");
    $s->psql('select pg_reload_conf()');
    my ($file) = glob $s->var . '/pg/log*';
    ($file) = glob "$file/*" if -d $file;
    my $loads = sub {
        my ($from) = @_;
        open my $in, '<', $file or die "$file: $!\n";
        seek $in, $from, 0;
        return scalar grep { /execute tn_.*tenon\.flag_document/ } <$in>;
    };

    my $from = -s $file;
    my $flag = make('trip');
    my $n = 0;
    my %got;
    my $c = $s->connect;
    my $until = time + 2;
    while (time < $until && $n < 2000) {
        $c->write($s->bytes(POST => $n % 2 ? "$ofrep/trip" : $ofrep,
                            as => 'carol', json => {}));
        my $r = $c->response;
        $got{ $r->{status} }++;
        $n++;
        $c = $s->connect
            if ($r->header('Connection') // '') eq 'close';
    }
    is_deeply [keys %got], [200], "$n evaluations";
    cmp_ok $loads->($from), '<=', 2,
        'after one look: two, where two workers looked at one time';
    $s->psql('alter system reset log_statement');
    $s->psql('select pg_reload_conf()');
};

subtest 'a change holds at the next request of every worker' => sub {
    my $flag = make('flip');
    my @workers = $s->workers;
    my %wrong;
    my @on = map { $s->connect } 1 .. 8;
    for my $round (1 .. 40) {
        my $variant = $round % 2 ? 'on' : 'off';
        my $r = change($flag, default_variant => $variant);
        $flag = $r->json;
        for my $c (@on) {
            $c->write($s->bytes(POST => "$ofrep/flip", as => 'carol',
                                json => {}));
            my $got = told($c->response);
            my $want = "STATIC $variant $flag->{version}";
            $wrong{"$got, not $want"}++ if $got ne $want;
        }
    }
    is_deeply \%wrong, {}, 'forty times, ' . @workers . ' workers';

    # What SQL does, or another node, within five seconds.
    $s->psql("update tenon.flag set enabled = false where key = 'flip'");
    ok $s->wait_until(7, sub {
        told(evaluate('flip')) =~ /\ADISABLED/ }), 'SQL\'s own in a while';
    is $s->psql("select action from tenon.event where resource = 'tenon.flag'
                  order by at desc, id desc limit 1"), 'flag.updated',
        'and is logged';
    status_is $s->request(DELETE => "flags/$flag->{id}", as => 'alice'), 204,
        'deleted';
    status_is evaluate('flip'), 404, 'is gone at once';
};

subtest 'more than a cell, and than there may be' => sub {
    my $long = make('long', type => 'string', default_variant => 'a',
                    variants => { a => 'x' x 15_000, b => 'y' });
    is evaluate('long')->json->{value}, 'x' x 15_000, 'a long one' for 1, 2;
    my $r;
    for my $n (1 .. 8) {
        $r = $s->request(POST => 'flags', as => 'alice', json => {
            key => "long-$n", type => 'string', default_variant => 'a',
            variants => { a => 'x' x 15_000 } });
        last if $r->{status} != 201;
    }
    problem_is $r, 409, 'limit_reached', 'all together have a most';
    is scalar(grep { length($_->{value}) == 15_000 }
              @{ evaluate(undef, { targetingKey => 'u' })->json->{flags} }), 7,
        'what there is is told' for 1, 2;
    problem_is change($long, variants => { a => 'x' x 17_000, b => 'y' }), 422,
        'invalid_fields', 'and so has each', '/rules' => 'too_long';
};

subtest 'an API key evaluates as far as its scopes go' => sub {
    my $key = sub {
        return $s->request(POST => 'api-keys', as => 'alice', proven => 1,
                           json => { name => 'k', scopes => [@_] })
            ->json->{secret};
    };
    my $sdk = $key->('tenon.flag:evaluate');
    my $r = $s->request(POST => "$ofrep/plain", token => $sdk, json => {});
    is told($r), 'STATIC off 1', 'by the scope for it';
    problem_is $s->request(GET => 'flags', token => $sdk), 403, 'forbidden',
        'which shows no rules';
    problem_is $s->request(POST => "$ofrep/plain", json => {},
                           token => $key->('tenon.flag:read')),
        403, 'forbidden', 'not by another';
};

subtest 'tenants' => sub {
    status_is evaluate('plain', {}, as => 'dave'), 404,
        'another one has no such flag';
    is_deeply evaluate(undef, {}, as => 'dave')->json, { flags => [] },
        'and none at all';
    problem_is evaluate('plain', {}, as => 'dave', at => 'acme'), 403,
        'tenant_mismatch', 'nor is it told of others';
    my $r = $s->request(POST => 'flags', as => 'dave', json => {
        key => 'plain', default_variant => 'on' });
    status_is $r, 201, 'the same key is its own';
    is told(evaluate('plain', {}, as => 'dave')), 'STATIC on 1', 'there';
    is told(evaluate('plain')), 'STATIC off 1', 'and here';
    problem_is $s->request(POST => "$ofrep/plain", at => 'acme', json => {}),
        401, 'unauthenticated', 'a stranger hears nothing';
    problem_is $s->request(GET => 'flags', as => 'bob'), 403, 'forbidden',
        'nor an admin of rules';
};

subtest 'the last one of five hundred, several at a time' => sub {
    $s->psql("insert into tenon.flag (tenant_id, key, variants,
                                      default_variant, off_variant)
              select t.tenant_id, 'many-' || n, '{\"on\": true}', 'on', 'on'
                from tenon.tenant t, generate_series(1, 498) n
               where t.slug = 'globex'");
    my @on = map { $s->connect } 1 .. 8;
    $on[$_]->write($s->bytes(POST => 'flags', as => 'dave',
                             json => { key => "last-$_" })) for 0 .. 7;
    my %got;
    $got{ $_->{status} . ' ' . ($_->json->{code} // 'made') }++
        for map { $_->response } @on;
    is_deeply \%got, { '201 made' => 1, '409 limit_reached' => 7 },
        'is one' or diag explain \%got;
    $_->close for @on;

    is scalar @{ evaluate(undef, {}, as => 'dave')->json->{flags} }, 500,
        'all are evaluated';

    $s->psql("insert into tenon.flag (tenant_id, key, variants,
                                      default_variant, off_variant)
              select t.tenant_id, 'beyond', '{\"on\": true}', 'on', 'on'
                from tenon.tenant t where t.slug = 'globex'");
    my $flag = $s->request(GET => 'flags?key=many-1', as => 'dave')
        ->json->{data}[0];
    my $r = $s->request(PATCH => "flags/$flag->{id}", as => 'dave',
                        json => { enabled => $false });
    status_is $r, 200, 'where SQL has made more, one can be switched off';
    $r = $s->request(PATCH => "flags/$flag->{id}", as => 'dave',
                     json => { rules => [{ variant => 'on' }] });
    problem_is $r, 409, 'limit_reached', 'but none can grow';

    # Of all that a node keeps, names are a part, too.
    my $long = 'v' x 60;
    $s->psql("update tenon.flag
                 set variants = jsonb_build_object('on', true, '$long', true)
               where key = 'many-2'");
    $flag = $s->request(GET => 'flags?key=many-2', as => 'dave')
        ->json->{data}[0];
    problem_is $s->request(PATCH => "flags/$flag->{id}", as => 'dave',
                           json => { default_variant => $long }), 409,
        'limit_reached', 'not by the name of a default';
};

subtest 'the log' => sub {
    my $r = $s->request(
        GET => 'audit/events?resource=tenon.flag&limit=100', as => 'alice');
    my %seen = map { $_->{action} => $_ } @{ $r->json->{data} };
    ok $seen{$_}, $_ for qw(flag.created flag.updated flag.deleted);
    is $seen{'flag.deleted'}{metadata}{key}, 'flip', 'says which';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';
done_testing;
