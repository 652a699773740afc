#!/usr/bin/perl

# The second factor, with oathtool as the device: it comes into force by a code,
# is asked for at login, takes each code once, and goes by password and code.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $next = 0;

sub post {
    my ($path, $json, %o) = @_;
    return $s->request(POST => $path, at => 'acme', %o,
                       $json ? (json => $json) : (body => ''));
}

sub login {
    my ($p, %o) = @_;
    return post('auth/login', { email => $p->{email},
                password => $o{password} // $s->password });
}

# The code that a device shows, so many steps from now.
sub code {
    my ($secret, $steps) = @_;
    my $at = '@' . int(time + 30 * ($steps // 0));
    open my $in, '-|', 'oathtool', '--totp', '--base32', '--now', $at, $secret
        or die "oathtool: $!\n";
    chomp(my $code = <$in>);
    close $in or die "oathtool failed\n";
    return $code;
}

# Asks for one: that takes the password.
sub enrol {
    my ($token, $password) = @_;
    return post('auth/mfa/totp', { password => $password // $s->password },
                token => $token);
}

# Codes must not change between being made and being used, nor be used up by the
# test before: what was used is forgotten.
sub settle {
    my ($p) = @_;
    sleep 30 - time % 30 + 0.1 if 30 - time % 30 < 12;
    $s->psql("update tenon.totp set last_step = 0
               where user_id = '$p->{user_id}'");
    return;
}

# A member with a second factor: { …, token, secret, codes }.
sub guarded {
    my $p = $s->hire('guarded' . ++$next, 'acme', 'member');
    $p->{token} = login($p)->json->{access_token};
    my $r = enrol($p->{token});
    status_is $r, 200, "$p->{email} asks for a second factor";
    $p->{secret} = $r->json->{secret};
    settle($p);
    $r = post('auth/mfa/totp/confirm', { code => code($p->{secret}) },
              token => $p->{token});
    status_is $r, 200, 'and confirms it';
    $p->{codes} = $r->json->{recovery_codes};
    return $p;
}

sub challenge {
    my ($p) = @_;
    return login($p)->json->{mfa_token};
}

sub answer {
    my ($token, $code, %o) = @_;
    return post('auth/mfa/verify', { mfa_token => $token, code => "$code" }, %o);
}

sub me { return $s->request(GET => 'me', token => $_[0], at => 'acme') }

sub events {
    my ($action, $user) = @_;
    return map { JSON::PP::decode_json($_) } split /\n/, $s->psql("
        select json_build_object('outcome', e.outcome,
                                 'metadata', b.metadata)
          from tenon.event e
          join tenon.event_body b on b.event_id = e.id
         where e.action = '$action'
           and '$user' in (e.resource_id, e.actor)
         order by e.at, e.id");
}


subtest 'not guessed into force' => sub {
    my $p = $s->hire('slow', 'acme', 'member');
    my $token = login($p)->json->{access_token};
    my $secret = enrol($token)->json->{secret};
    my $confirm = sub {
        return post('auth/mfa/totp/confirm', { code => $_[0] },
                    token => $token);
    };
    my $wrong = code($secret) eq '000000' ? '000001' : '000000';

    settle($p);
    my %told;
    $told{ $confirm->($wrong)->{status} }++ for 1 .. 10;
    is_deeply \%told, { 422 => 10 }, 'ten guesses';
    problem_is $confirm->(code($secret)), 422, 'invalid_fields',
        'then the right one is refused alike', '/code' => 'refused';
    is $s->psql("select count(*) from tenon.totp
                  where user_id = '$p->{user_id}'
                    and confirmed_at is not null"), 0, 'nothing is in force';
    cmp_ok $s->psql("select count(*) from tenon.event
                      where actor = '$p->{user_id}' and outcome = 'failure'
                        and action = 'user.mfa_enabled'"), '>', 0,
        'the log tells';

    $s->psql("delete from tenon.login_attempt");
    $s->psql("update tenon.totp set created_at = now() - interval '61 minutes'
               where user_id = '$p->{user_id}'");
    problem_is $confirm->(code($secret)), 409, 'state_conflict',
        'what lay for an hour is asked for anew';
};


subtest 'an old hash is renewed, behind the factor, too' => sub {
    my $p = guarded();
    my $hash = sub { $s->psql("select password_hash from tenon.\"user\"
                                where id = '$p->{user_id}'") };
    # "correct horse", made with 8 MiB and one pass.
    $s->psql("update tenon.\"user\" set password_hash = '"
             . '$argon2id$v=19$m=8192,t=1,p=1$'
             . 'yHL8vMbeHmT7CngIPCTRSQ$Srab96OEUbj7wDIcwPxUfvq/gg/XgrBbwR0qPFPNaWM'
             . "' where id = '$p->{user_id}'");
    settle($p);
    my $r = login($p, password => 'correct horse');
    status_is $r, 200, 'the password';
    like $hash->(), qr/\A\$argon2id\$v=19\$m=65536,t=2,p=1\$/,
        'has a hash of today\'s parameters';
    status_is answer($r->json->{mfa_token}, code($p->{secret})), 200,
        'and the code opens a session';
};


subtest 'into force' => sub {
    my $p = $s->hire('first', 'acme', 'member');
    my $token = login($p)->json->{access_token};
    my $etag = me($token)->header('ETag');
    ok !me($token)->json->{mfa_enabled}, 'there is none at first';
    problem_is post('auth/mfa/totp/confirm', { code => '123456' },
                    token => $token), 409, 'state_conflict',
        'nothing to confirm';
    problem_is post('auth/mfa/recovery-codes', { code => '123456' },
                    token => $token), 409, 'state_conflict', 'nor to renew';
    problem_is post('auth/mfa/totp/disable', { code => '123456',
                    password => $s->password }, token => $token), 409,
        'state_conflict', 'nor to disable';

    my $first = enrol($token)->json;
    my $r = enrol($token);
    my ($secret, $uri) = @{ $r->json }{qw(secret uri)};
    isnt $secret, $first->{secret}, 'asked for twice, another secret';
    like $secret, qr/\A[A-Z2-7]{32}\z/, 'of 160 bits';
    is $uri, 'otpauth://totp/tenon.localhost:first%40acme.test?secret='
        . "$secret&issuer=tenon.localhost&algorithm=SHA1&digits=6&period=30",
        'as a device takes it';
    my $row = $s->psql("select secret from tenon.totp
                         where user_id = '$p->{user_id}'");
    like $row, qr/\Atn1\./, 'sealed in the database';
    unlike $row, qr/\Q$secret\E/, 'not as it is';
    status_is login($p), 200, 'not in force yet';

    settle($p);
    problem_is post('auth/mfa/totp/confirm', { code => code($first->{secret}) },
                    token => $token), 422, 'invalid_fields',
        'a code of the first secret', '/code' => 'refused';
    problem_is post('auth/mfa/totp/confirm', { code => '12345x' },
                    token => $token), 422, 'invalid_fields', 'no code at all',
        '/code' => 'bad_format';
    my $code = code($secret);
    $r = post('auth/mfa/totp/confirm', { code => $code }, token => $token);
    status_is $r, 200, 'the code';
    my @codes = @{ $r->json->{recovery_codes} };
    is scalar @codes, 10, 'ten recovery codes';
    is_deeply [grep { !/\A[a-z2-7]{5}-[a-z2-7]{5}\z/ } @codes], [],
        'for people';
    ok me($token)->json->{mfa_enabled}, 'in force';
    isnt me($token)->header('ETag'), $etag, 'under another ETag';
    problem_is enrol($token), 409, 'state_conflict', 'not twice';
    is scalar events("user.mfa_$_", $p->{user_id}), 2, # a failure, too
        "event user.mfa_$_" for qw(enrolled enabled);
    is $s->psql("select count(*) from tenon.event_body
                  where coalesce(before::text, '') || coalesce(after::text, '')
                        || coalesce(metadata::text, '') ~ '$secret|$codes[0]'"),
        0, 'no event tells a secret';

    $r = login($p);
    status_is $r, 200, 'login';
    problem_is answer($r->json->{mfa_token}, $code), 401,
        'invalid_credentials', 'the code that confirmed is used up';
};

subtest 'a session that was stolen makes none' => sub {
    my $p = $s->hire('stepup', 'acme', 'member');
    my $token = login($p)->json->{access_token};
    my $rows = sub { $s->psql("select count(*) from tenon.totp
                                where user_id = '$p->{user_id}'") };
    problem_is post('auth/mfa/totp', {}, token => $token), 422,
        'invalid_fields', 'without the password', '/password' => 'required';
    problem_is post('auth/mfa/totp', undef, token => $token), 400,
        'malformed_json', 'nor with nothing at all';
    $s->psql('delete from tenon.login_attempt');
    problem_is enrol($token, 'guess'), 422, 'reauthentication_failed',
        'nor with a guess';
    is $s->psql('select failures from tenon.login_attempt'), 1,
        'which is counted as any other';
    is_deeply [map { $_->{outcome} }
               events('user.mfa_enrolled', $p->{user_id})], ['failure'],
        'and written down';
    $s->psql("update tenon.login_attempt set failures = 20,
                     locked_until = now() + interval '900 seconds'");
    problem_is enrol($token), 422, 'reauthentication_failed',
        'the right one neither, during a lock';
    is $rows->(), 0, 'nothing was made';
    $s->psql('delete from tenon.login_attempt');

    my $key = $s->request(POST => 'api-keys', as => 'alice', proven => 1,
        json => { name => 'k', scopes => ['teamos.task:read'] })
        ->json->{secret};
    like $key, qr/\Atnk_/, 'a key';
    problem_is enrol($key), 403, 'forbidden', 'nor does a key make one';

    my $hash = $s->psql("update tenon.\"user\" set password_hash = null
                          where id = '$p->{user_id}' returning id");
    my $r = enrol($token);
    problem_is $r, 409, 'state_conflict', 'nor who has no password';
    like $r->json->{detail}, qr{auth/password/forgot}, 'who is told what to do';
    is $rows->(), 0, 'nothing was made';
};

subtest 'asked for at login' => sub {
    my $p = guarded();
    my $r = login($p);
    status_is $r, 200, 'the password is right';
    is_deeply [@{ $r->json }{qw(access_token refresh_token)}], [undef, undef],
        'which is not enough';
    my $token = $r->json->{mfa_token};
    like $token, qr/\A[A-Za-z0-9_-]{139}\z/, 'but leads to a token';
    is $r->json->{expires_in}, 300, 'of five minutes';
    is $r->json->{token_type}, undef, 'which is no bearer\'s';
    problem_is me($token), 401, 'unauthenticated', 'which is no access token';
    is scalar events('user.mfa_challenged', $p->{user_id}), 1, 'an event';

    my @wrong = map { login($_, password => 'guess') } $p,
        { email => 'nobody@acme.test' };
    is $wrong[0]{status}, 401, 'a wrong password is told the usual';
    is $wrong[0]->json->{detail}, $wrong[1]->json->{detail},
        'as for anybody else';

    settle($p);
    my $code = code($p->{secret});
    my $bad = sprintf '%06d', ($code + 1) % 1000000;
    problem_is answer($token, $bad), 401, 'invalid_credentials', 'a wrong code';
    problem_is answer($token, code($p->{secret}, -3)), 401,
        'invalid_credentials', 'one of a minute and a half ago';
    problem_is answer($token =~ tr/A-Za-z/a-zA-Z/r, $code), 401,
        'invalid_credentials', 'a forged token';
    problem_is answer($token, $code, at => 'globex'), 401,
        'invalid_credentials', 'the right one at another organization\'s';
    $r = answer($token, $code);
    status_is $r, 200, 'the right code';
    status_is me($r->json->{access_token}), 200, 'a session';
    is $r->json->{mfa_token}, undef, 'and nothing to be done';
    is $s->psql("select mfa from tenon.session where user_id = '$p->{user_id}'
                  order by created_at desc limit 1"), 't', 'which says so';
    problem_is answer(challenge($p), $code), 401, 'invalid_credentials',
        'each code once';
    status_is answer(challenge($p), code($p->{secret}, 1)), 200,
        'a clock that is fast is forgiven';
    problem_is answer(challenge($p), $code), 401, 'invalid_credentials',
        'then nothing older';
    my ($login) = grep { ($_->{metadata} || {})->{mfa} }
        events('user.login', $p->{user_id});
    is $login->{metadata}{mfa}, 'totp', 'the event says how';
};

subtest 'fifty uses of one code' => sub {
    my $p = guarded();
    settle($p);
    my @token = map { challenge($p) } 1 .. 5;
    my $code = code($p->{secret});
    my @c = map { $s->connect } @token;
    $c[$_]->write($s->bytes(POST => 'auth/mfa/verify', at => 'acme', json => {
        mfa_token => $token[$_], code => "$code" })) for 0 .. $#c;
    my @status = sort map { $_->response->{status} } @c;
    is_deeply \@status, [200, (401) x $#c], 'open one session';
};

subtest 'recovery codes' => sub {
    my $p = guarded();
    my @codes = @{ $p->{codes} };
    my $r = answer(challenge($p), uc $codes[3] =~ s/-/ /r);
    status_is $r, 200, 'one opens a session, however it is typed';
    is me($p->{token})->json->{recovery_codes_left}, 9, 'nine are left';
    problem_is answer(challenge($p), $codes[3]), 401, 'invalid_credentials',
        'once';
    problem_is answer(challenge($p), 'aaaaa-aaaaa'), 401,
        'invalid_credentials', 'not any';
    status_is answer(challenge($p), $codes[4]), 200, 'another';
    my ($login) = grep { ($_->{metadata} || {})->{mfa} }
        events('user.login', $p->{user_id});
    is_deeply $login->{metadata}, { mfa => 'recovery_code',
                                    recovery_codes_left => 9 }, 'the event';

    settle($p);
    problem_is post('auth/mfa/recovery-codes', { code => '000000' },
                    token => $p->{token}), 422, 'reauthentication_failed',
        'new ones take a code';
    $r = post('auth/mfa/recovery-codes', { code => code($p->{secret}) },
              token => $p->{token});
    status_is $r, 200, 'which is right';
    my @new = @{ $r->json->{recovery_codes} };
    is scalar @new, 10, 'ten again';
    problem_is answer(challenge($p), $codes[5]), 401, 'invalid_credentials',
        'the old ones are void';
    status_is answer(challenge($p), $new[0]), 200, 'the new ones good';
    is_deeply [map { $_->{outcome} }
               events('user.recovery_codes_renewed', $p->{user_id})],
        [qw(failure success)], 'both are in the log';
};

subtest 'guesses are counted, and lock' => sub {
    my $p = guarded();
    $s->psql('delete from tenon.login_attempt');
    my $token = challenge($p);
    settle($p);
    problem_is answer($token, '000000'), 401, 'invalid_credentials', 'a guess';
    challenge($p) for 1 .. 2;
    is $s->psql('select failures from tenon.login_attempt'), 1,
        'the password alone doesn\'t begin anew';
    $s->psql('update tenon.login_attempt set failures = 15');
    my $wrong = answer($token, '000000', headers => [fixed_id()]);
    my $right = answer($token, code($p->{secret}), headers => [fixed_id()]);
    is $s->psql('select failures from tenon.login_attempt'), 16, 'locked';
    is $right->visible, $wrong->visible,
        'the right code is told what a wrong one is';
    status_is login($p), 401, 'nor is the password right meanwhile';
    $s->psql('update tenon.login_attempt set locked_until = now()');
    status_is answer($token, code($p->{secret}, 1)), 200, 'until the lock is over';
    is $s->psql('select failures from tenon.login_attempt'), 0,
        'then it begins anew';
};

subtest 'out of force' => sub {
    my $p = guarded();
    my $stale = challenge($p);
    settle($p);
    my $disable = sub {
        my ($password, $code) = @_;
        return post('auth/mfa/totp/disable', { password => $password,
                    code => $code }, token => $p->{token});
    };
    problem_is $disable->('guess', code($p->{secret})), 422,
        'reauthentication_failed', 'not without the password';
    problem_is $disable->($s->password, '000000'), 422,
        'reauthentication_failed', 'nor without a code';
    status_is $disable->($s->password, code($p->{secret})), 204, 'with both';
    is login($p)->json->{mfa_token}, undef, 'login asks for none';
    ok !me($p->{token})->json->{mfa_enabled}, 'and me says so';
    problem_is answer($stale, $p->{codes}[0]), 401, 'invalid_credentials',
        'a token from before is worth nothing';
    is_deeply [map { $_->{outcome} }
               events('user.mfa_disabled', $p->{user_id})],
        [qw(failure failure success)], 'all three are in the log';
};

subtest 'a new password ends what the old one began' => sub {
    my $p = guarded();
    my $token = challenge($p);
    status_is post('auth/password/change', { current_password => $s->password,
                   password => 'another horse' }, token => $p->{token}), 204,
        'changed';
    settle($p);
    problem_is answer($token, code($p->{secret})), 401,
        'invalid_credentials', 'the second step of a login by the old one';
};

subtest 'what ends with the change' => sub {
    my $p = $s->hire('wide', 'acme', 'member');
    $s->found('branch');
    $s->hire('wide', 'branch', 'member');
    my $next = sub {
        my ($slug, %o) = @_;
        return $s->request(POST => 'auth/login', at => $slug, %o, json => {
            email => $p->{email}, password => $s->password });
    };
    my $over = sub {
        my ($what, @sessions) = @_;
        for my $worker ($s->workers) {
            for (@sessions) {
                my ($slug, $token) = @$_;
                my $r = $s->alone($worker, sub { $s->request(
                    GET => 'me', at => $slug, token => $token) });
                problem_is $r, 401, 'unauthenticated',
                    "$what: over in $slug, at worker $worker";
            }
        }
    };
    my $here = $next->('acme')->json->{access_token};
    my @others = map { [$_ => $next->($_)->json->{access_token}] }
        qw(acme branch);
    status_is $s->request(GET => 'me', at => $_->[0], token => $_->[1]), 200,
        "a session in $_->[0]" for @others, ['acme', $here];
    my $secret = post('auth/mfa/totp', { password => $s->password },
                      token => $here)->json->{secret};
    settle($p);
    status_is post('auth/mfa/totp/confirm', { code => code($secret) },
                   token => $here), 200, 'a second factor comes into force';
    $over->('confirmed', @others);
    status_is me($here), 200, 'the session that asked goes on';

    settle($p);
    my $cookie = $s->request(
        POST => 'auth/mfa/verify', at => 'acme',
        headers => ['Tenon-Session' => 'cookie'], json => {
            mfa_token => $next->('acme')->json->{mfa_token},
            code => code($secret) })->header('Set-Cookie') =~ s/;.*//r;
    settle($p);
    my $branch = $s->request(POST => 'auth/mfa/verify', at => 'branch', json => {
        mfa_token => $next->('branch')->json->{mfa_token},
        code => code($secret) });
    status_is $branch, 200, 'one in branch, with a code';
    settle($p);
    my $r = $s->request(
        POST => 'auth/mfa/totp/disable', at => 'acme',
        headers => [Cookie => $cookie],
        json => { password => $s->password, code => code($secret) });
    status_is $r, 204, 'it goes';
    $over->('disabled', [acme => $here],
            [branch => $branch->json->{access_token}]);
    for my $worker ($s->workers) {
        my ($old, $new) = $s->alone($worker, sub {
            return map { $s->request(GET => 'me', at => 'acme',
                                     headers => [Cookie => $_]) }
                $cookie, $r->header('Set-Cookie') =~ s/;.*//r;
        });
        problem_is $old, 401, 'unauthenticated',
            "the old cookie is refused, at worker $worker";
        status_is $new, 200, 'the new one is not';
    }
    is $s->psql("
        select string_agg(t.slug || ' ' || b.metadata::text, E'\n'
                          order by e.at, t.slug)
          from tenon.event e
          join tenon.event_body b on b.tenant_id = e.tenant_id
           and b.at = e.at and b.event_id = e.id
          join tenon.tenant t on t.tenant_id = e.tenant_id
         where e.action = 'session.revoked'
           and e.resource_id = '$p->{user_id}'"), join("\n",
        'acme {"reason": "mfa_enabled", "sessions": 1}',
        'branch {"reason": "mfa_enabled", "sessions": 1}',
        'acme {"reason": "mfa_disabled", "sessions": 1}',
        'branch {"reason": "mfa_disabled", "sessions": 1}'),
        'each organization hears of it';
};

# A login by the password alone has begun and waits for the user's row, which is
# let go only then: what its statement saw when it began was no factor.
subtest 'a second factor comes into force during a login' => sub {
    for my $round (1 .. 3) {
        my $p = $s->hire("late$round", 'acme', 'member');
        $s->psql("insert into tenon.totp (realm_id, user_id, secret)
                  select realm_id, id, 'x' from tenon.\"user\"
                   where id = '$p->{user_id}'");
        my $waiting = "select from pg_stat_activity
                        where usename = 'tenon_api'
                          and wait_event_type = 'Lock'";
        pipe my $in, my $out or die "pipe: $!\n";
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            my $met = eval { $s->psql("
                begin;
                select from tenon.\"user\" where id = '$p->{user_id}'
                   for no key update;
                update tenon.totp set confirmed_at = now()
                 where user_id = '$p->{user_id}';
                set application_name = 'late$round';
                do \$\$ begin
                    for i in 1 .. 1000 loop
                        perform pg_stat_clear_snapshot();
                        if exists ($waiting) then
                            perform set_config('t.met', 'met', false);
                            exit;
                        end if;
                        perform pg_sleep(0.01);
                    end loop;
                end \$\$;
                select current_setting('t.met', true);
                commit") } // $@;
            syswrite $out, $met;
            POSIX::_exit(0);
        }
        close $out;
        ok $s->wait_until(5, sub { $s->psql("
            select count(*) from pg_stat_activity
             where application_name = 'late$round'") }), 'the row is held';
        my $r = login($p);
        my $met = do { local $/; <$in> };
        waitpid $pid, 0;
        like $met, qr/^met$/m, 'until a login waits for it';
        status_is $r, 401, 'which is refused';
        is $s->psql("select count(*) from tenon.session
                      where user_id = '$p->{user_id}'"), 0,
            'and opens no session';
    }
};

# Whoever made the account may not be who reads the address.
subtest 'a reset by who reads the address' => sub {
    $s->found('branch') if !$s->psql("select count(*) from tenon.tenant
                                       where slug = 'branch'");
    for my $verified (0, 1) {
        my $p = guarded();
        my ($name) = $p->{email} =~ /(.*)@/;
        $s->hire($name, 'branch', 'member');
        $s->psql("update tenon.\"user\" set email_verified_at = now()
                   where id = '$p->{user_id}'") if $verified;
        my $stale = challenge($p);
        post('auth/password/forgot', { email => $p->{email} });
        status_is post('auth/password/reset', {
            token => $s->mailed($p->{email}, 'reset'),
            password => 'mine by now' }), 204, 'reset';
        my $r = login($p, password => 'mine by now');
        is $s->psql("select count(*) from tenon.totp
                      where user_id = '$p->{user_id}'"), $verified,
            $verified ? 'an owner who lost the password has the factor still'
                      : 'the factor of who had never shown it is theirs is gone';
        is !!$r->json->{mfa_token}, !!$verified, 'login asks for it, or not';
        problem_is answer($stale, $p->{codes}[0]), 401, 'invalid_credentials',
            'what the old password began is over';
        is $s->psql("
            select string_agg(t.slug || ' ' || (b.metadata ->> 'reason'), ','
                              order by t.slug)
              from tenon.event e
              join tenon.event_body b on b.event_id = e.id
              join tenon.tenant t on t.tenant_id = e.tenant_id
             where e.action = 'user.mfa_disabled'
               and e.resource_id = '$p->{user_id}'"),
            $verified ? '' : 'acme unverified_address,branch unverified_address',
            'which each of their organizations hears of';
    }
};

subtest 'device and codes are lost' => sub {
    my $reset = sub {
        return $s->shell('tenonctl_as "$pg_user" user reset-mfa \
                              --database "$owner_db" "$@" 2>&1 || echo "exit $?"',
                         @_);
    };
    my $p = guarded();
    my ($name) = $p->{email} =~ /(.*)@/;
    $s->hire($name, 'branch', 'member');
    my $stale = challenge($p);
    my $branch = answer($s->request(POST => 'auth/login', at => 'branch',
        json => { email => $p->{email}, password => $s->password })
        ->json->{mfa_token}, $p->{codes}[0], at => 'branch')
        ->json->{access_token};
    my $there = sub { $s->request(GET => 'me', token => $branch,
                                  at => 'branch')->{status} };
    is $there->(), 200, 'a session in another organization';

    like $reset->('--email', $p->{email}), qr/needs --tenant.*usage.*exit 2/s,
        'whose user it is must be said';
    like $reset->('--tenant', 'acme', '--email', $p->{email}, '--subject', 'x'),
        qr/reset-mfa takes no --subject.*exit 2/s, 'and nothing else';
    like $reset->('--tenant', 'nowhere', '--email', $p->{email}),
        qr/there is no tenant "nowhere".*exit 1/s, 'no tenant';
    like $reset->('--tenant', 'globex', '--email', $p->{email}),
        qr/globex has no member with the address.*exit 1/s, 'no member';
    is $there->(), 200, 'nothing was done';

    is $reset->('--tenant', 'acme', '--email', uc $p->{email}),
        uc($p->{email}) . ': the second factor is gone, and every session is '
        . "over; organizations: 2\n", 'done';
    $s->wait_until(8, sub { $there->() == 401 });
    is $there->(), 401, 'a session anywhere ends within seconds';
    problem_is me($p->{token}), 401, 'unauthenticated', 'one here as well';
    problem_is answer($stale, $p->{codes}[1]), 401, 'invalid_credentials',
        'a login half way is worth nothing';
    my $r = login($p);
    is $r->json->{mfa_token}, undef, 'the password is enough';
    ok !me($r->json->{access_token})->json->{mfa_enabled}, 'and me says so';
    for my $slug ('acme', 'branch') {
        is $s->psql("
            select string_agg(e.action || ' ' || (b.metadata ->> 'reason')
                              || coalesce(' ' || e.actor::text, ''), ','
                              order by e.action)
              from tenon.event e
              join tenon.event_body b on b.event_id = e.id
              join tenon.tenant t on t.tenant_id = e.tenant_id
             where e.resource_id = '$p->{user_id}' and t.slug = '$slug'
               and b.metadata ? 'reason'"),
            'session.revoked mfa_reset,user.mfa_disabled operator',
            "$slug reads that an operator did it";
    }
    is $s->psql("select count(*) from tenon.event
                  where resource_id = '$p->{user_id}'
                    and action = 'user.updated'"), 0, 'and nothing twice';
    like $reset->('--tenant', 'acme', '--email', $p->{email}),
        qr/has no second factor.*exit 1/s, 'again, there is none';
};

subtest 'by a cookie' => sub {
    my $p = $s->hire('baker', 'acme', 'member');
    my $cookie = post('auth/login', { email => $p->{email},
                      password => $s->password },
                      headers => ['Tenon-Session' => 'cookie'])
        ->header('Set-Cookie') =~ s/;.*//r;
    my $by = sub {
        my $r = post(@_, headers => [Cookie => $cookie]);
        $cookie = $1 if ($r->header('Set-Cookie') // '') =~ /\A([^;]+)/;
        return $r;
    };
    my $generation = sub {
        return $s->psql("select generation from tenon.session
                          where user_id = '$p->{user_id}'");
    };
    my $secret = $by->('auth/mfa/totp', { password => $s->password })
        ->json->{secret};
    settle($p);
    status_is $by->('auth/mfa/totp/confirm', { code => code($secret) }), 200,
        'confirmed';
    is $generation->(), 1, 'for another cookie';

    $s->psql("update tenon.login_attempt
                 set locked_until = now() + interval '5 minutes'");
    settle($p);
    for my $case (['recovery-codes'],
                  ['totp/disable', password => $s->password]) {
        my ($path, @more) = @$case;
        my $r = $by->("auth/mfa/$path", { code => code($secret), @more });
        problem_is $r, 422, 'reauthentication_failed',
            "$path, during a lock";
        is $r->header('Set-Cookie'), undef, 'no cookie is told';
    }
    is $generation->(), 1, 'nor made';

    $s->psql('update tenon.login_attempt set locked_until = null');
    status_is $by->('auth/mfa/recovery-codes', { code => code($secret) }), 200,
        'recovery codes';
    settle($p);
    status_is $by->('auth/mfa/totp/disable', { code => code($secret),
                    password => $s->password }), 204, 'and none any more';
    is $generation->(), 3, 'each for another cookie';
    status_is $s->request(GET => 'me', at => 'acme',
                          headers => [Cookie => $cookie]), 200,
        'the last of which is good';
};

is_deeply [$s->alarms], [], 'no alarms';
done_testing;
