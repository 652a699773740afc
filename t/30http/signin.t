#!/usr/bin/perl

# What stands around a password: an address that is verified, a password that
# is changed or forgotten, the lockout that says nothing, hashes that are
# renewed.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $token_text = qr/\A[A-Za-z0-9_-]{86}\z/;
my $next = 0;

# Guesses come from an address of their own, so that what is counted for one
# subtest is not counted for another.
sub from { return '127.0.1.' . (1 + $_[0]) }

sub login {
    my ($email, $password, %o) = @_;
    my $c = $s->connect($o{from});
    return $c->request(POST => '/api/v1/auth/login',
                       host => ($o{at} // 'acme') . '.tenon.localhost',
                       headers => [fixed_id(), Connection => 'close'],
                       json => { email => $email, password => $password });
}

sub post {
    my ($path, $json, %o) = @_;
    return $s->request(POST => $path, json => $json, at => 'acme', %o);
}

# A new member of acme: { id, user_id, email }.
sub somebody {
    my (%o) = @_;
    my $name = 'person' . ++$next;
    return { %{ $s->hire($name, $o{at} // 'acme', $o{role} // 'member') },
             name => $name };
}

sub me {
    my ($token, %o) = @_;
    return $s->request(GET => 'me', token => $token, at => 'acme', %o);
}

sub events {
    my ($action, $user) = @_;
    return map { JSON::PP::decode_json($_) } split /\n/, $s->psql("
        select json_build_object('outcome', e.outcome, 'actor', e.actor,
                                 'metadata', b.metadata, 'tenant', t.slug)
          from tenon.event e
          join tenon.event_body b on b.event_id = e.id
          join tenon.tenant t on t.tenant_id = e.tenant_id
         where e.action = '$action' and e.resource_id = '$user'
         order by e.at, e.id");
}

sub attempts {
    return $s->psql('select count(*) from tenon.login_attempt');
}

sub new_password { return 'another horse ' . ++$next }


subtest 'an address is verified' => sub {
    my $r = $s->request(POST => 'auth/signup', host => 'tenon.localhost',
        json => { email => 'Vera@verify.test', password => 'correct horse',
                  name => 'Vera', organization => {
                      name => 'Verify', slug => 'verify' } });
    status_is $r, 201, 'sign-up';
    my $user = $r->json->{user}{id};
    my @at = (at => 'verify');
    my $token = login('vera@verify.test', 'correct horse', @at)
        ->json->{access_token};
    ok !me($token, @at)->json->{email_verified}, 'it isn\'t at first';
    my $secret = $s->mailed('vera@verify.test', 'verify');
    like $secret, $token_text, 'a token is in the outbox';

    problem_is post('auth/email/verify', { token => $_ }, @at), 422,
        'invalid_fields', 'what is no token', '/token' => 'not_found'
        for 'x' x 86, 'short', "${secret}A", $secret =~ tr/A-Za-z/a-zA-Z/r;
    problem_is post('auth/email/verify', { token => $secret }), 422,
        'invalid_fields', 'at another organization\'s', '/token' => 'not_found';
    problem_is post('auth/password/reset', { token => $secret,
                    password => 'correct horse' }, @at), 422,
        'invalid_fields', 'for another purpose', '/token' => 'not_found';

    status_is post('auth/email/resend', undef, token => $token, @at,
                   body => ''), 204, 'sent again';
    my $newer = $s->mailed('vera@verify.test', 'verify');
    isnt $newer, $secret, 'another one';
    problem_is post('auth/email/verify', { token => $secret }, @at), 410,
        'secret_spent', 'which replaces the first';
    my $etag = me($token, @at)->header('ETag');
    status_is post('auth/email/verify', { token => $newer }, @at,
                   token => $token), 204, 'the new one is good';
    ok me($token, @at)->json->{email_verified}, 'and shown';
    isnt me($token, @at)->header('ETag'), $etag, 'under another ETag';
    problem_is post('auth/email/verify', { token => $newer }, @at), 410,
        'secret_spent', 'once';
    is scalar events('user.email_verified', $user), 1, 'one event';

    status_is post('auth/email/resend', undef, token => $token, @at,
                   body => ''), 204, 'who is verified is told nothing else';
    is $s->psql("select count(*) from tenon.one_time
                  where used_at is null and user_id = '$user'"), 0,
        'and is sent nothing';
    status_is post('auth/email/resend', undef, token => $token, @at,
                   body => ''), 204, 'a third time';
    problem_is post('auth/email/resend', undef, token => $token, @at,
                    body => ''), 429, 'rate_limited', 'not a fourth';
};

# Whoever signed up with an address first need not be who reads it.
subtest 'a token alone verifies nobody\'s account' => sub {
    my $p = somebody();
    my $other = somebody();
    my $rows = sub { $s->psql("select email_verified_at is not null
                                 from tenon.\"user\"
                                where id = '$p->{user_id}'") };
    my $session = login($p->{email}, $s->password)->json->{access_token};
    my $stranger = login($other->{email}, $s->password)->json->{access_token};
    my $token = sub {
        status_is post('auth/email/resend', undef, token => $session,
                       body => ''), 204, 'a token is sent';
        return $s->mailed($p->{email}, 'verify');
    };
    my $verify = sub {
        my ($token, %more) = @_;
        my %o = map { ($_ => delete $more{$_}) }
            grep { exists $more{$_} } qw(at from headers token);
        return post('auth/email/verify', { token => $token, %more },
                    headers => [fixed_id()], %o);
    };

    my $secret = $token->();
    my $alone = $verify->($secret);
    problem_is $alone, 401, 'unauthenticated', 'the token alone';
    like $alone->json->{detail}, qr/sign in .* password .* resets/,
        'which says what would do';
    is $verify->($secret, token => $stranger)->visible, $alone->visible,
        'with somebody else\'s session, the same';
    is $verify->($secret, token => 'x.y.z')->{body}, $alone->{body},
        'as with what is no session';
    is $verify->($secret, headers => [fixed_id(),
        Cookie => '__Host-tenon=none'])->visible, $alone->visible,
        'or a cookie that is none';

    $s->psql('delete from tenon.login_attempt');
    my $guess = $verify->($secret, password => 'guess');
    problem_is $guess, 401, 'invalid_credentials', 'with a guess';
    is $s->psql('select failures from tenon.login_attempt'), 1,
        'which is counted as any other';
    is_deeply [map { $_->{outcome} }
               events('user.email_verified', $p->{user_id})], ['failure'],
        'and written down';
    $s->psql("update tenon.login_attempt set failures = 20,
                     locked_until = now() + interval '900 seconds'");
    is $verify->($secret, password => $s->password)->visible, $guess->visible,
        'the right one neither, during a lock';
    my $key = $s->request(POST => 'api-keys', as => 'alice', proven => 1,
        json => { name => 'k', scopes => ['teamos.task:read'] })
        ->json->{secret};
    problem_is $verify->($secret, token => $key), 403, 'forbidden',
        'nor by an API key';
    is $rows->(), 'f', 'nothing was verified';
    $s->psql('delete from tenon.login_attempt');

    status_is $verify->($secret, password => $s->password, token => $stranger),
        204, 'the password will do, whoever else is signed in';
    is $rows->(), 't', 'it was verified';
    is((events('user.email_verified', $p->{user_id}))[-1]{actor},
       $p->{user_id}, 'by themselves, says the log');
    problem_is $verify->($secret, password => $s->password), 410,
        'secret_spent', 'once';

    # In a browser: the cookie counts, where its own page sends it.
    $s->psql("update tenon.\"user\" set email_verified_at = null
               where id = '$p->{user_id}'");
    $secret = $token->();
    my $cookie = (split /;/, post('auth/login', { email => $p->{email},
        password => $s->password }, headers => [
            'Tenon-Session' => 'cookie'])->header('Set-Cookie'))[0];
    problem_is $verify->($secret, headers => [Cookie => $cookie,
        'Sec-Fetch-Site' => 'cross-site']), 403, 'csrf_refused',
        'another site\'s page doesn\'t verify';
    status_is $verify->($secret, headers => [Cookie => $cookie,
        'Sec-Fetch-Site' => 'same-origin']), 204, 'our own does';
    is $rows->(), 't', 'verified';
};

subtest 'fifty verifications by one token' => sub {
    my $p = somebody();
    my $session = login($p->{email}, $s->password)->json->{access_token};
    post('auth/email/resend', undef, token => $session, body => '');
    my $secret = $s->mailed($p->{email}, 'verify');
    my @c = map { $s->connect(from($_)) } 1 .. 50;
    $c[$_]->write($s->bytes(POST => 'auth/email/verify', at => 'acme',
        token => $session, json => { token => $secret })) for 0 .. $#c;
    my @status = sort map { $_->response->{status} } @c;
    is_deeply [grep { $_ != 410 && $_ != 503 } @status], [204],
        'one is done: ' . join ' ', @status;
    is scalar events('user.email_verified', $p->{user_id}), 1, 'one event';
};

subtest 'an invitation verifies the address' => sub {
    $s->verify('dave@globex.test');
    for my $email ('new@invited.test', 'dave@globex.test') {
        status_is $s->request(POST => 'invitations', as => 'alice', json =>
            { email => $email, role => 'member' }), 201, "$email is invited";
        my $r = post('invitations/accept', { token => $s->mailed($email),
            $email =~ /new/ ? (name => 'New', password => 'correct horse')
                            : (password => $s->password) });
        status_is $r, 200, 'and joins';
        my $token = login($email, $email =~ /new/ ? 'correct horse'
                                                  : $s->password)
            ->json->{access_token};
        ok me($token)->json->{email_verified}, 'verified';
    }
};

subtest 'a password is changed' => sub {
    my $p = somebody();
    my $password = new_password();
    my ($here, $other) = map { login($p->{email}, $s->password)
        ->json->{access_token} } 1 .. 2;
    $s->found('branch') if !$s->psql("select count(*) from tenon.tenant
                                       where slug = 'branch'");
    $s->hire($p->{name}, 'branch', 'member');
    my $elsewhere = login($p->{email}, $s->password, at => 'branch')
        ->json->{access_token};
    my $branch = sub { me($elsewhere, at => 'branch') };
    status_is me($here), 200, 'a session' for 1;
    status_is me($other), 200, 'another';
    status_is $branch->(), 200, 'and one in another organization';

    problem_is post('auth/password/change', { current_password => 'guess',
        password => $password }, token => $here), 422,
        'reauthentication_failed', 'not without the old one';
    status_is me($here), 200, 'and the session goes on';
    is_deeply [map { "$_->{outcome} $_->{actor}" }
               events('user.password_changed', $p->{user_id})],
        ["failure $p->{user_id}"], 'which is written down';
    problem_is post('auth/password/change', { current_password =>
        $s->password, password => 'short' }, token => $here), 422,
        'invalid_fields', 'nor to a short one', '/password' => 'too_short';
    my $r = post('auth/password/change', { current_password => $s->password,
                 password => $password }, token => $here);
    status_is $r, 204, 'changed';

    # On each worker: what they know of a session is of the node.
    for my $worker ($s->workers) {
        my ($a, $b, $c) = $s->alone($worker, sub {
            return (me($here), me($other), $branch->()) });
        status_is $a, 200, "worker $worker: this session goes on";
        problem_is $b, 401, 'unauthenticated', 'the other is over';
        problem_is $c, 401, 'unauthenticated', 'so is that elsewhere';
    }
    problem_is login($p->{email}, $s->password), 401, 'invalid_credentials',
        'the old password is none';
    status_is login($p->{email}, $password), 200, 'the new one is';
    is_deeply [sort map { "$_->{tenant} $_->{metadata}{reason} "
                          . $_->{metadata}{sessions} }
               events('session.revoked', $p->{user_id})],
        ['acme password_changed 1', 'branch password_changed 1'],
        'each organization heard of it';
    is scalar events('user.password_changed', $p->{user_id}), 2,
        'and of the change';
};

# Those that have checked the old password when it goes are too late.
subtest 'logins and switches while a password changes' => sub {
    my $p = somebody();
    $s->hire($p->{name}, 'branch', 'member');
    my $password = $s->password;
    for my $round (1 .. 4) {
        my $here = login($p->{email}, $password, from => from(9))
            ->json->{access_token};
        my $old = login($p->{email}, $password, from => from(9))->json;
        my $new = new_password();
        my @c = map { $s->connect(from(10 + $_)) } 0 .. 6;
        my $change = $s->connect(from(20));
        $change->write($s->bytes(POST => 'auth/password/change', at => 'acme',
            token => $here, json => { current_password => $password,
                                      password => $new }));
        for my $i (0 .. $#c) {
            sleep 0.02;
            $c[$i]->write($i % 2
                ? $s->bytes(POST => 'auth/login', at => 'acme', json => {
                      email => $p->{email}, password => $password })
                : $s->bytes(POST => 'auth/tenant', at => 'acme',
                            token => $old->{access_token}, json => {
                                tenant => 'branch',
                                refresh_token => $old->{refresh_token} }));
        }
        my $r = $change->response;
        if ($r->{status} != 204) {
            is $r->{status}, 503, 'no place in the queue';
            next;
        }
        $password = $new;
        my @got = map { $_->response } @c;
        my @alive = grep {
            my $slug = $_->json->{tenant}{slug};
            $s->request(GET => 'me', at => $slug,
                        token => $_->json->{access_token})->{status} == 200
        } grep { $_->{status} == 200 } @got;
        is @alive, 0, 'none of the sessions lives: '
            . join ' ', map { $_->{status} } @got;
        status_is me($here), 200, 'but the one that changed it';
    }
};

subtest 'a password is forgotten' => sub {
    my $p = somebody();
    my $password = new_password();
    my $session = login($p->{email}, $s->password)->json->{access_token};
    status_is me($session), 200, 'a session';

    my @answers = map { post('auth/password/forgot', { email => $_ },
                             headers => [fixed_id()]) }
        $p->{email}, 'nobody@nowhere.test', 'eve@globex.test';
    is_deeply [map { $_->visible } @answers[1, 2]],
        [($answers[0]->visible) x 2],
        'the same answer for known, unknown, and one of elsewhere';
    status_is $answers[0], 204, 'nothing is said';
    cmp_ok $s->psql("select count(*) from tenon.one_time
                      where purpose = 'reset'"), '>=', 2,
        'a row for who has it, one for the others';
    is $s->psql("select string_agg(outcome, ' ' order by at, id)
                   from tenon.event where action = 'user.reset_requested'"),
        'success failure failure', 'an event for each';

    my $first = $s->mailed($p->{email}, 'reset');
    post('auth/password/forgot', { email => uc $p->{email} });
    my $token = $s->mailed($p->{email}, 'reset');
    isnt $token, $first, 'asked for again, in another spelling';
    problem_is post('auth/password/reset', { token => $first,
        password => $password }), 410, 'secret_spent',
        'the first one is void';
    problem_is post('auth/password/reset', { token => $token,
        password => 'short' }), 422, 'invalid_fields', 'a short password',
        '/password' => 'too_short';
    status_is post('auth/password/reset', { token => $token,
        password => $password }), 204, 'reset';
    problem_is me($session), 401, 'unauthenticated', 'every session is over';
    problem_is post('auth/password/reset', { token => $token,
        password => $password }), 410, 'secret_spent', 'once';
    my $r = login($p->{email}, $password);
    status_is $r, 200, 'the new password is good';
    ok me($r->json->{access_token})->json->{email_verified},
        'who read the token reads the address';
    is scalar events('user.password_reset', $p->{user_id}), 1, 'an event';

    $s->psql("update tenon.one_time set used_at = null,
                     expires_at = now() - interval '1 second'
               where user_id = '$p->{user_id}' and purpose = 'reset'");
    problem_is post('auth/password/reset', { token => $token,
        password => $password }), 410, 'secret_spent', 'not when expired';

    # Known or not: as many as are worth while.
    for my $email ($p->{email}, 'nobody@nowhere.test') {
        my $rows = sub { $s->psql('select count(*) from tenon.one_time') };
        post('auth/password/forgot', { email => $email }) for 1 .. 3;
        my $before = $rows->();
        status_is post('auth/password/forgot', { email => $email }), 204,
            "$email: asked for too often";
        is $rows->(), $before, 'does nothing';
    }
};

subtest 'fifty resets by one token' => sub {
    my $p = somebody();
    $s->psql("delete from tenon.one_time");
    post('auth/password/forgot', { email => $p->{email} });
    my $token = $s->mailed($p->{email}, 'reset');
    my @c = map { $s->connect(from($_)) } 1 .. 6;
    $c[$_]->write($s->bytes(POST => 'auth/password/reset', json => {
        token => $token, password => "correct horse $_" })) for 0 .. $#c;
    my @status = sort map { $_->response->{status} } @c;
    is_deeply [grep { $_ == 204 } @status], [204], 'one is done: ' .
        join ' ', @status;
    is_deeply [grep { !/^(?:204|410|503)$/ } @status], [], 'the rest refused';
};

subtest 'an identity is locked, and nobody is told' => sub {
    my $p = somebody();
    my ($known, $unknown) = ($p->{email}, "x$p->{email}");
    my @last;
    for my $n (1 .. 9) {
        for my $email ($known, $unknown) {
            my $r = login($email, "guess $n", from => from(2));
            push @last, $r->visible;
            status_is $r, 401, "$email: guess $n" if $n == 9;
        }
    }
    status_is login($known, $s->password, from => from(2)), 200,
        'nine are forgiven';

    $s->psql('delete from tenon.login_attempt');
    login($_, 'guess', from => from(2)) for $known, $unknown;
    $s->psql('update tenon.login_attempt set failures = 13');
    push @last, login($_, 'guess', from => from(2))->visible
        for $known, $unknown;
    is $s->psql("select count(*) from tenon.login_attempt
                  where failures = 14
                    and locked_until - last_at = interval '16 seconds'"), 2,
        'both are locked: sixteen seconds after the fourteenth';
    push @last, map { $_->visible }
        login($known, $s->password, from => from(2)),
        login($unknown, $s->password, from => from(2)),
        login($known, 'guess', from => from(2));
    my %answer = map { ($_ => 1) } @last;
    is keys %answer, 1, 'the right password is told what a wrong one is';
    is $s->psql("select count(*) from tenon.login_attempt
                  where failures = 14"), 2,
        'what comes during the lock isn\'t counted';

    my @locked = events('user.locked_out', $p->{user_id});
    is scalar @locked, 1, 'one event for the lock';
    is $locked[0]{metadata}{failures}, 14, 'with how many there were';
    is $locked[0]{outcome}, 'refused', 'as a refusal';
    is $s->psql("select count(*) from tenon.event e
                   join tenon.event_body b on b.event_id = e.id
                  where e.action = 'user.locked_out' and e.resource_id is null
                    and b.metadata ->> 'failures' = '14'"),
        1, 'and one for the unknown';

    # Other ways to try a password are locked alike.
    $s->psql("update tenon.login_attempt set locked_until = now()
               where locked_until is not null");
    my $session = login($known, $s->password, from => from(2));
    status_is $session, 200, 'after the lock the right one is right';
    is $s->psql("select string_agg(failures::text, ' ' order by failures)
                   from tenon.login_attempt"), '0 14', 'and begins anew';
    $session = $session->json->{access_token};
    $s->psql("update tenon.login_attempt set failures = 20,
                     locked_until = now() + interval '900 seconds'
               where failures = 0");
    problem_is post('auth/password/change', { current_password =>
        $s->password, password => new_password() }, token => $session), 422,
        'reauthentication_failed', 'a change of password heeds the lock';

    # A reset ends it: who reads the address is who they are.
    $s->psql('delete from tenon.one_time');
    post('auth/password/forgot', { email => $known });
    my $password = new_password();
    status_is post('auth/password/reset', { token =>
        $s->mailed($known, 'reset'), password => $password }), 204, 'a reset';
    status_is login($known, $password, from => from(3)), 200, 'ends the lock';
};

subtest 'fifty guesses at once are counted one by one' => sub {
    my $p = somebody();
    my @c = map { $s->connect(from(4)) } 1 .. 12;
    $_->write($s->bytes(POST => 'auth/login', at => 'acme', json => {
        email => $p->{email}, password => 'guess' })) for @c;
    my $refused = grep { $_->response->{status} == 401 } @c;
    my $failures = $s->psql("
        select max(failures) from tenon.login_attempt
         where last_at > now() - interval '20 seconds'");
    cmp_ok $failures, '>=', $refused < 10 ? $refused : 10,
        "$refused refused, $failures counted";
};

subtest 'an address that guesses too much' => sub {
    my $p = somebody();
    my $address = from(5);
    my $left = 200;
    while ($left > 0) {
        my @c = map { $s->connect($address) } 1 .. 4;
        $c[$_]->write($s->bytes(POST => 'auth/login', at => 'acme', json => {
            email => "many$left-$_\@acme.test", password => 'guess' }))
            for 0 .. $#c;
        $left -= grep { $_->response->{status} == 401 } @c;
    }
    my $wrong = login($p->{email}, 'guess', from => $address);
    my $right = login($p->{email}, $s->password, from => $address);
    problem_is $right, 401, 'invalid_credentials', 'is refused silently';
    is $right->visible, $wrong->visible, 'as if it had guessed wrong';
    status_is login($p->{email}, $s->password, from => from(6)), 200,
        'from elsewhere it is right';
};

subtest 'a hash of other parameters is renewed' => sub {
    my $p = somebody();
    my $hash = sub { $s->psql("select password_hash from tenon.\"user\"
                                where id = '$p->{user_id}'") };
    # "correct horse", made with 8 MiB and one pass.
    $s->psql("update tenon.\"user\" set password_hash = '"
             . '$argon2id$v=19$m=8192,t=1,p=1$'
             . 'yHL8vMbeHmT7CngIPCTRSQ$Srab96OEUbj7wDIcwPxUfvq/gg/XgrBbwR0qPFPNaWM'
             . "' where id = '$p->{user_id}'");
    my $before = $hash->();
    status_is login($p->{email}, 'guess', from => from(7)), 401, 'a guess';
    is $hash->(), $before, 'changes nothing';
    status_is login($p->{email}, 'correct horse', from => from(7)), 200,
        'the right password';
    my $renewed = $hash->();
    like $renewed, qr/\A\$argon2id\$v=19\$m=65536,t=2,p=1\$/,
        'gives it the parameters of today';
    status_is login($p->{email}, 'correct horse', from => from(7)), 200,
        'it is the same password';
    is $hash->(), $renewed, 'and stays';
    is_deeply [map { $_->{metadata} } grep { $_->{metadata} } map {
        JSON::PP::decode_json($_) } split /\n/, $s->psql("
        select json_build_object('metadata', b.metadata)
          from tenon.event e join tenon.event_body b on b.event_id = e.id
         where e.action = 'user.login' and e.actor = '$p->{user_id}'
           and e.outcome = 'success'")],
        [{ password_rehashed => JSON::PP::true }], 'one login tells';
};

subtest 'keys of who lost the password' => sub {
    my $p = somebody(role => 'admin');
    $s->found('branch') if !$s->psql("select count(*) from tenon.tenant
                                       where slug = 'branch'");
    $s->hire($p->{name}, 'branch', 'admin');
    my $key = sub {
        my ($slug, $token, $proof) = @_;
        my $r = $s->request(POST => 'api-keys', at => $slug, token => $token,
                            json => { name => 'k', refresh_token => $proof,
                                      scopes => ['tenon.member:read'] });
        status_is $r, 201, "a key in $slug";
        return [$slug, $r->json->{secret}];
    };
    my (%token, %proof);
    ($token{$_}, $proof{$_}) = @{ login($p->{email}, $s->password, at => $_)
        ->json }{qw(access_token refresh_token)} for qw(acme branch);
    my @keys = map { $key->($_, $token{$_}, $proof{$_}) }
        qw(acme acme branch);
    my $alices = $key->('acme', $s->token('alice'), $s->proof('alice'));
    my $say = sub { join ' ', map { $s->request(GET => 'members',
        at => $_->[0], token => $_->[1])->{status} } @_ };
    is $say->(@keys, $alices), '200 200 200 200', 'they are good';

    my $password = new_password();
    status_is post('auth/password/change', {
        current_password => $s->password, password => $password },
        token => $token{acme}), 204, 'a change';
    is $say->(@keys, $alices), '200 200 200 200', 'leaves them';

    status_is post('auth/password/forgot', { email => $p->{email} }), 204,
        'forgotten';
    status_is post('auth/password/reset', {
        token => $s->mailed($p->{email}, 'reset'),
        password => new_password() }), 204, 'a reset';
    for my $worker ($s->workers) {
        is $s->alone($worker, sub { $say->(@keys, $alices) }),
            '401 401 401 200', "revokes them, in every organization, at once"
            . " on worker $worker";
    }
    is $s->psql("select count(*) from tenon.api_key_secret s
                   join tenon.api_key k on k.tenant_id = s.tenant_id
                    and k.id = s.api_key_id
                  where k.created_by = '$p->{user_id}'"), 0,
        'their secrets are gone';
    is_deeply [sort map { "$_->{tenant} $_->{metadata}{api_keys} "
                          . $_->{metadata}{reason} }
               events('api_key.revoked', $p->{user_id})],
        ['acme 2 password_reset', 'branch 1 password_reset'],
        'each organization hears how many';
};

is_deeply [$s->alarms], [], 'no alarms';
done_testing;
