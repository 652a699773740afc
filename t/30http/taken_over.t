#!/usr/bin/perl

# Whoever signs up with somebody else's address keeps nobody out: its owner gets
# the account by an invitation, by signing up, or by a reset, and nothing that
# was the other's is good any more. And asking for addresses that are nobody's
# leaves few rows and events.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my @base = (host => 'tenon.localhost');
my ($squatters, $theirs, $own) = (0, 'squatting horse', 'an honest horse');

sub post {
    my ($path, $json, %o) = @_;
    return $s->request(POST => $path, %o, $json ? (json => $json) : (body => ''));
}

sub sign_up {
    my ($email, $password, $slug, %o) = @_;
    return post('auth/signup', { email => $email, password => $password,
        name => $o{name} // 'Squatter',
        organization => { name => $slug, slug => $slug } }, @base);
}

sub login {
    my ($email, $password, $at) = @_;
    return post('auth/login', { email => $email, password => $password },
                at => $at);
}

# Somebody signs up with an address that isn't theirs, and makes all that they
# could come back by: { email, user, slug, session, refresh, key }.
sub squatter {
    my $slug = 'squat' . ++$squatters;
    my $email = "victim$squatters\@honest.test";
    my $r = sign_up($email, $theirs, $slug);
    status_is $r, 201, "$email: somebody else signs up";
    my %p = (email => $email, slug => $slug, user => $r->json->{user}{id});
    $r = login($email, $theirs, $slug)->json;
    @p{qw(session refresh)} = @$r{qw(access_token refresh_token)};
    $r = post('api-keys', { name => 'back door', scopes => ['tenon.tenant:read'],
                              refresh_token => $p{refresh} },
              at => $slug, token => $p{session});
    status_is $r, 201, 'an API key';
    $p{key} = $r->json->{secret};
    status_is $s->request(GET => 'tenant', at => $slug, token => $_), 200,
        'a way in' for @p{qw(session key)};
    $s->psql("insert into tenon.totp (realm_id, user_id, secret, confirmed_at)
              select realm_id, id, 'of the squatter', now()
                from tenon.\"user\" where id = '$p{user}'");
    return \%p;
}

# Every way back in is shut, and the account is as if it were new.
sub is_over {
    my ($p, $verified) = @_;
    for my $credential (qw(session key)) {
        my $r = $s->request(GET => 'tenant', at => $p->{slug},
                            token => $p->{$credential});
        ok $r->{status} == 401 || $r->{status} == 404, "no $credential any more"
            or diag "$r->{status} $r->{body}";
    }
    my $r = post('auth/refresh', { refresh_token => $p->{refresh} },
                 at => $p->{slug});
    ok $r->{status} == 401 || $r->{status} == 404, 'no refresh token'
        or diag "$r->{status} $r->{body}";
    is $s->psql("
        select (select count(*) from tenon.totp where user_id = u.id),
               u.email_verified_at is not null
          from tenon.\"user\" u where u.id = '$p->{user}'"),
        '0|' . ($verified ? 't' : 'f'), 'no second factor';
    return;
}

sub events {
    my ($action, $user) = @_;
    return $s->psql("select string_agg(t.slug || ' ' || coalesce(e.actor::text,
                                       '-'), ', ' order by e.at, e.id)
                       from tenon.event e
                       join tenon.tenant t on t.tenant_id = e.tenant_id
                      where e.action = '$action' and e.resource_id = '$user'");
}

sub invite {
    my ($email) = @_;
    status_is post('invitations', { email => $email, role => 'member' },
                   as => 'alice'), 201, "$email is invited";
    return $s->mailed($email);
}

sub forgot {
    my ($email, %o) = @_;
    return post('auth/password/forgot', { email => $email }, %o ? %o : @base);
}


subtest 'by an invitation' => sub {
    my $p = squatter();
    my $token = invite($p->{email});
    is post('invitations/preview', { token => $token }, @base)
        ->json->{has_account}, JSON::PP::false,
        'an account that nobody verified is none';
    problem_is post('invitations/accept', { token => $token,
        password => $theirs }, @base), 422, 'invalid_fields',
        'its password is not asked for', '/name' => 'required';

    # Locked by guesses: that is no matter of who reads the address.
    login($p->{email}, 'guess', $p->{slug}) for 1 .. 10;
    my $r = post('invitations/accept', { token => $token, name => 'Vic',
        password => $own }, @base);
    status_is $r, 200, 'name and password of who reads the address';
    is $r->json->{user}{id}, $p->{user}, 'of the same account';
    is $r->json->{user}{name}, 'Vic', 'under the new name';
    is_over($p, 1);

    $r = login($p->{email}, $own, 'acme');
    status_is $r, 200, 'its owner logs in';
    my $me = $s->request(GET => 'me', at => 'acme',
                         token => $r->json->{access_token})->json;
    ok $me->{email_verified}, 'verified';
    is "$me->{name} $me->{role}", 'Vic member', 'as themselves';
    status_is login($p->{email}, $theirs, $_), 401, "no squatter at $_"
        for 'acme', $p->{slug};
    status_is login($p->{email}, $own, $p->{slug}), 200,
        'what they founded is the owner\'s';
    is events('user.taken_over', $p->{user}), "acme $p->{user}", 'an event';
    is events('session.revoked', $p->{user}), "$p->{slug} $p->{user}",
        'and one where sessions ended';
    problem_is post('invitations/accept', { token => $token, name => 'Vic',
        password => $own }, @base), 410, 'secret_spent', 'once';
};

subtest 'what is verified is not taken over' => sub {
    my $p = squatter();
    $s->psql("update tenon.\"user\" set email_verified_at = now()
               where id = '$p->{user}'");
    my $token = invite($p->{email});
    status_is post('invitations/accept', { token => $token, name => 'Thief',
        password => $own }, @base), 401, 'it takes the password';
    $s->psql("update tenon.login_attempt set failures = 7");
    status_is post('invitations/accept', { token => $token,
        password => $theirs }, @base), 200, 'which is right';
    is $s->psql("select string_agg(failures::text, ' ' order by failures desc)
                   from tenon.login_attempt where last_at > now()
                        - interval '1 minute' and failures <> 7"), '',
        'and ends no count: the second factor is still to be shown';
    status_is $s->request(GET => 'tenant', at => $p->{slug},
                          token => $p->{key}), 200, 'nothing is over';
    is events('user.taken_over', $p->{user}), '', 'nor written';
};

subtest 'by signing up' => sub {
    my $p = squatter();
    problem_is sign_up($p->{email}, $own, 'honest'), 409, 'email_taken',
        'not while it belongs to an organization', '/email' => 'duplicate';
    status_is $s->request(GET => 'tenant', at => $p->{slug},
                          token => $p->{key}), 200, 'of whose nothing is over';
    status_is $s->request(DELETE => 'tenant', at => $p->{slug},
                          token => $p->{session}), 204,
        'the squatter leaves the account alone';

    my $r = sign_up($p->{email}, $own, 'honest', name => 'Vic');
    status_is $r, 201, 'its owner signs up';
    is_deeply $r->json->{user}, { id => $p->{user}, email => $p->{email},
                                  name => 'Vic' }, 'and has the account';
    is_over($p, 0);
    is $s->psql("select count(*) from tenon.one_time
                  where user_id = '$p->{user}' and used_at is null"), 1,
        'one token is on its way';
    $r = login($p->{email}, $own, 'honest');
    status_is $r, 200, 'logs in';
    my $token = $r->json->{access_token};
    my $me = $s->request(GET => 'me', at => 'honest', token => $token)->json;
    is "$me->{role} $me->{name}", 'owner Vic', 'owns the organization';
    status_is login($p->{email}, $theirs, 'honest'), 401, 'alone';
    is events('user.taken_over', $p->{user}), "honest $p->{user}", 'an event';
    status_is post('auth/email/verify', { token =>
        $s->mailed($p->{email}, 'verify') }, at => 'honest', token => $token),
        204, 'and verifies the address';

    status_is $s->request(DELETE => 'tenant', at => 'honest',
                          token => $token), 204, 'once verified';
    problem_is sign_up($p->{email}, $theirs, 'again'), 409, 'email_taken',
        'an address is its owner\'s, whatever they belong to',
        '/email' => 'duplicate';
    is $s->psql("select count(*) from tenon.tenant_slug
                  where slug = 'again'"), 0, 'and nothing is left of the try';
};

subtest 'by signing up, several at once' => sub {
    my $p = squatter();
    $s->request(DELETE => 'tenant', at => $p->{slug}, token => $p->{session});
    my @c = map { $s->connect } 1 .. 4;
    $c[$_]->write($s->bytes(POST => 'auth/signup', @base, json => {
        email => $p->{email}, password => "$own $_", name => "Vic $_",
        organization => { name => "At once $_", slug => "at-once-$_" } }))
        for 0 .. $#c;
    my @status = map { $_->response->{status} } @c;
    my @got = grep { $status[$_] == 201 } 0 .. $#c;
    is @got, 1, "one gets it: @status";
    is_deeply [grep { !/^(?:201|409|503)$/ } @status], [], 'the others don\'t';
    status_is login($p->{email}, "$own $got[0]", "at-once-$got[0]"), 200,
        'and it is theirs';
    is $s->psql("select count(*) from tenon.member m
                  where m.user_id = '$p->{user}' and m.deleted_at is null
                    and m.tenant_id in (select tenant_id from tenon.tenant
                                         where slug like 'at-once%')"), 1,
        'alone';
};

subtest 'by a reset on the base domain' => sub {
    my $p = squatter();
    status_is forgot($p->{email}), 204, 'forgotten, of whatever organization';
    my $token = $s->mailed($p->{email}, 'reset');
    problem_is post('auth/password/reset', { token => $token,
        password => $own }, at => $p->{slug}), 422, 'invalid_fields',
        'it is no organization\'s', '/token' => 'not_found';
    status_is post('auth/password/reset', { token => $token,
        password => $own }, @base), 204, 'reset on the base domain';
    is_over($p, 1);
    problem_is post('auth/password/reset', { token => $token,
        password => $theirs }, @base), 410, 'secret_spent', 'once';
    status_is login($p->{email}, $own, $p->{slug}), 200, 'the owner is in';
    status_is login($p->{email}, $theirs, $p->{slug}), 401, 'alone';
    is events('user.reset_requested', $p->{user}), 'platform -',
        'the platform\'s log says who asked';
    is events('user.password_reset', $p->{user}), "platform $p->{user}",
        'and who was let in';

    # A member nowhere.
    $p = squatter();
    $s->request(DELETE => 'tenant', at => $p->{slug}, token => $p->{session});
    status_is forgot($p->{email}), 204, 'who is a member nowhere';
    status_is post('auth/password/reset', { token =>
        $s->mailed($p->{email}, 'reset'), password => $own }, @base), 204,
        'gets the account too';
    is_over($p, 1);
    status_is post('invitations/accept', { token => invite($p->{email}),
        password => $own }, @base), 200, 'and joins by its password';

    # Nobody is told who has an address.
    my %answer = map { (forgot($_, @base, headers => [fixed_id()])->visible
                        => 1) }
        'alice@acme.test', 'nobody@honest.test', 'root@platform.test';
    is keys %answer, 1, 'one answer to all';
    $p = squatter();
    status_is forgot($p->{email}, at => $p->{slug}), 204, 'at an organization\'s';
    problem_is post('auth/password/reset', { token =>
        $s->mailed($p->{email}, 'reset'), password => $own }, @base), 422,
        'invalid_fields', 'it is no token of the base domain\'s',
        '/token' => 'not_found';
    problem_is post('auth/password/forgot', { email => $p->{email} },
                    host => 'nobody.example'), 404, 'tenant_unknown',
        'another host that names nobody';
};

# What one request for a new password writes, whoever has the address.
sub wrote {
    my ($email, %o) = @_;
    my $sum = sub { $s->psql("
        select (select coalesce(max(xmin::text::bigint), 0)
                  from tenon.one_time),
               (select count(*) from tenon.event),
               (select count(*) from tenon.event_body)") };
    my ($xmin, @before) = split /\|/, $sum->();
    status_is forgot($email, %o), 204, $email;
    my ($last, @after) = split /\|/, $sum->();
    return join ' ', $s->psql("select count(*) from tenon.one_time
        where xmin::text::bigint > $xmin"), map { $after[$_] - $before[$_] } 0, 1;
}

subtest 'addresses that are nobody\'s' => sub {
    forgot('x@made-up.test', at => 'acme');
    $s->psql('delete from tenon.one_time');
    is wrote($_, at => 'acme'), '1 1 1', 'a row, and an event'
        for 'carol@acme.test', 'y@made-up.test', 'y@made-up.test',
            'eve@globex.test';

    my $events = $s->psql('select count(*) from tenon.event');
    for my $n (1 .. 50) {
        my @c = map { $s->connect("127.0.2.$n") } 1 .. 2;
        for my $try (1 .. 10) {
            $c[$_]->write($s->bytes(POST => 'auth/password/forgot', at => 'acme',
                json => { email => "made-up-$n-$try-$_\@acme.test" }))
                for 0 .. $#c;
            for my $c (@c) {
                my $status = $c->response->{status};
                die "$status\n" if $status != 204;
            }
        }
    }
    my $rows = $s->psql('select count(*) from tenon.one_time
                          where user_id is null');
    cmp_ok $rows, '<=', 256, "a thousand of them leave $rows rows";
    cmp_ok $rows, '>', 100, 'not few enough to make each other wait';
    $events = $s->psql('select count(*) from tenon.event') - $events;
    cmp_ok $events, '<=', 640, "and $events events";
    cmp_ok $events, '>', 300, 'from which it is seen';

    status_is forgot('bob@acme.test', at => 'acme'), 204, 'meanwhile';
    like $s->mailed('bob@acme.test', 'reset'), qr/\A[\w-]{86}\z/,
        'who has an address gets a token';
};

is_deeply [$s->alarms], [], 'no alarms';

done_testing;
