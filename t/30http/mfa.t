#!/usr/bin/perl

# The second factor, with oathtool as the device: it comes into force by a code,
# is asked for at login, takes each code once, and goes by password and code.

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
    my $r = post('auth/mfa/totp', undef, token => $p->{token});
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

    my $first = post('auth/mfa/totp', undef, token => $token)->json;
    my $r = post('auth/mfa/totp', undef, token => $token);
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
    problem_is post('auth/mfa/totp', undef, token => $token), 409,
        'state_conflict', 'not twice';
    is scalar events("user.mfa_$_", $p->{user_id}), $_ eq 'enabled' ? 1 : 2,
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

subtest 'asked for at login' => sub {
    my $p = guarded();
    my $r = login($p);
    status_is $r, 200, 'the password is right';
    is_deeply [@{ $r->json }{qw(access_token refresh_token)}], [undef, undef],
        'which is not enough';
    my $token = $r->json->{mfa_token};
    like $token, qr/\A[A-Za-z0-9_-]{139}\z/, 'but leads to a token';
    is $r->json->{expires_in}, 300, 'of five minutes';
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
                    token => $p->{token}), 401, 'invalid_credentials',
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
    problem_is $disable->('guess', code($p->{secret})), 401,
        'invalid_credentials', 'not without the password';
    problem_is $disable->($s->password, '000000'), 401,
        'invalid_credentials', 'nor without a code';
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

is_deeply [$s->alarms], [], 'no alarms';
done_testing;
