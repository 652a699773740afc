#!/usr/bin/perl

# Refresh tokens: each is good once, whoever hurries; who lost the answer asks
# again within seconds; a copy ends the session, on every worker, and is told
# to the log. None of them is an access token, and no access token is one.
#
# TENON_LONG=1: a hundred rounds of fifty at once (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use Test::More;
use TenonCheck;
use TenonServer ();

use constant ROUNDS  => $ENV{TENON_LONG} ? 100 : 10;
use constant AT_ONCE => 50;

my $s = TenonServer->new(http => 'tenon_token_ttl 5m; tenon_session_ttl 2h;
                                  tenon_session_idle 10m;');
my $json = JSON::PP->new->canonical;
my $form = qr/\Atnr_[A-Za-z0-9_-]{70}\z/;

sub refresh {
    my ($token, %o) = @_;
    return $s->request(POST => 'auth/refresh',
                       json => { refresh_token => $token },
                       $o{host} || $o{at} ? () : (at => 'acme'), %o);
}

sub me {
    my ($token, %o) = @_;
    return $s->request(GET => 'me', at => 'acme', token => $token, %o);
}

sub events {
    my ($action) = @_;
    return $s->psql("select outcome || ' ' || count(*) from tenon.event
                      where action = '$action' group by outcome");
}

# Its last use was longer ago than the grace.
sub later {
    my ($login) = @_;
    my (undef, $claims) = split /\./, $login->{access_token};
    $claims =~ tr{-_}{+/};
    my $sid = $json->decode(decode_base64($claims))->{sid};
    $s->psql("update tenon.session set rotated_at = rotated_at
                     - interval '11 seconds' where id = '$sid'");
    return $sid;
}

subtest 'a new one for an old one' => sub {
    my $login = $s->login('carol')->json;
    like $login->{refresh_token}, $form, 'login gives one';
    my $r = refresh($login->{refresh_token});
    status_is $r, 200, 'it is good for new tokens';
    is $r->header('Cache-Control'), 'no-store', 'which nothing keeps';
    my $new = $r->json;
    is_deeply [sort keys %$new], [sort keys %$login], 'as login answers them';
    is_deeply [@$new{qw(user tenant expires_in)}],
        [@$login{qw(user tenant expires_in)}], 'of the same person';
    is $new->{expires_in}, 300, 'for as long as tenon_token_ttl says';
    is $s->psql('select distinct round(extract(epoch from
                                              expires_at - created_at)),
                        idle_ttl
                   from tenon.session'), '7200|600',
        'of a session that ends as the other directives say';
    like $new->{refresh_token}, $form, 'with a refresh token';
    isnt $new->{refresh_token}, $login->{refresh_token}, 'that is another';
    status_is me($new->{access_token}), 200, 'the access token is good';
    status_is me($login->{access_token}), 200, 'so is the one before';
    status_is refresh($new->{refresh_token}, host => 'tenon.localhost'), 200,
        'on the base domain as well';
    is events('session.refreshed'), 'success 2', 'each is in the log';
};

subtest 'an answer that was lost' => sub {
    my $login = $s->login('carol')->json;
    my @got = map { refresh($login->{refresh_token}) } 1 .. 3;
    is_deeply [map { $_->{status} } @got], [200, 200, 200], 'may be asked for';
    is keys %{ { map { $_->json->{refresh_token} => 1 } @got } }, 1,
        'and is the same successor';
};

subtest 'a copy' => sub {
    for my $case (['after the grace', sub { later($_[0]) }],
                  ['within it, of a grandparent', sub { }]) {
        my ($name, $wait) = @$case;
        my $before = events('session.reused') || 'refused 0';
        my $login = $s->login('carol')->json;
        my $new = refresh($login->{refresh_token})->json;
        my $newer = refresh($new->{refresh_token})->json;
        status_is me($newer->{access_token}), 200, "$name: good so far";
        $wait->($login);
        my $r = refresh($login->{refresh_token});
        problem_is $r, 401, 'unauthenticated', "$name: refused";
        for (1 .. 4) {
            problem_is me($newer->{access_token}), 401, 'unauthenticated',
                "$name: the session has ended at once";
        }
        problem_is refresh($newer->{refresh_token}), 401, 'unauthenticated',
            "$name: with the whole family";
        my ($n) = $before =~ /(\d+)/;
        is events('session.reused'), 'refused ' . ($n + 1),
            "$name: once in the log";
    }
    my $parent = $s->login('carol')->json;
    my $child = refresh($parent->{refresh_token})->json;
    later($parent);
    problem_is refresh($parent->{refresh_token}), 401, 'unauthenticated',
        'the parent itself, when the grace is over';
    problem_is refresh($child->{refresh_token}), 401, 'unauthenticated',
        'takes the child along';
};

subtest 'what is none' => sub {
    my $login = $s->login('carol')->json;
    my $token = $login->{refresh_token};
    problem_is me($token), 401, 'unauthenticated',
        'a refresh token is no access token';
    problem_is refresh($login->{access_token} =~ s/\A(.{100}).*/$1/sr), 401,
        'unauthenticated', 'an access token is no refresh token';
    my $cookie = $s->request(
        POST => 'auth/login', at => 'acme',
        headers => ['Tenon-Session' => 'cookie'],
        json => { email => 'carol@acme.test', password => $s->password }
    )->header('Set-Cookie');
    my ($value) = $cookie =~ /=([^;]+)/;
    problem_is refresh($value), 401, 'unauthenticated', 'nor is a cookie';
    problem_is refresh($value =~ s/\Atns/tnr/r), 401, 'unauthenticated',
        'under another name neither';
    my @wrong;
    for my $at (4 .. length($token) - 1) {
        my $forged = $token;
        substr($forged, $at, 1) = substr($forged, $at, 1) eq 'B' ? 'C' : 'B';
        my $r = refresh($forged);
        push @wrong, "$at: $r->{status}" if $r->{status} != 401;
    }
    is_deeply \@wrong, [], 'no letter of one may be another';
    for my $case (['' => 401], ['tnr_' => 401], ["tnr_\x{e4}" => 401],
                  ['x' x 201 => 422], [undef, 422], [7, 422]) {
        my ($text, $status) = @$case;
        my $r = refresh($text);
        push @wrong, ($text // 'null') . ": $r->{status}"
            if $r->{status} != $status;
    }
    is_deeply \@wrong, [], 'and what is nothing like one is refused';
    status_is refresh($token), 200, 'the right one is good all the same';
};

subtest 'where it belongs' => sub {
    my $token = $s->login('carol')->json->{refresh_token};
    problem_is refresh($token, at => 'globex'), 403, 'tenant_mismatch',
        'not on the host of another organization';
    problem_is refresh($token, at => 'nobody'), 404, 'tenant_unknown',
        'nor where there is none';
    problem_is refresh($token, host => 'tenon.localhost',
                       headers => ['Tenon-Tenant' => 'globex']),
        403, 'tenant_mismatch', 'nor where a header names another';
    is $s->psql("select t.slug, e.outcome, count(*)
                   from tenon.event e join tenon.tenant t using (tenant_id)
                  where e.action = 'auth.tenant_mismatch'
                  group by t.slug, e.outcome"), 'acme|refused|2', 'which its own organization is told';
    status_is refresh($token), 200, 'and it is good as before';
};

subtest 'a session that has ended' => sub {
    my %ends = (
        'by logout' => sub { $s->request(POST => 'auth/logout', at => 'acme',
                                         token => $_[0]{access_token}) },
        'by its time' => sub { $s->psql("update tenon.session
            set expires_at = now() where id = '" . later($_[0]) . "'") },
        'unused for too long' => sub { $s->psql("update tenon.session
            set idle_ttl = 300, last_used_at = now() - interval '301 seconds'
            where id = '" . later($_[0]) . "'") },
        'by an impersonator' => sub { $s->psql("update tenon.session
            set impersonator = user_id where id = '" . later($_[0]) . "'") },
    );
    for my $how (sort keys %ends) {
        my $login = $s->login('carol')->json;
        $ends{$how}->($login);
        problem_is refresh($login->{refresh_token}), 401, 'unauthenticated',
            "$how: its token too";
    }
};

subtest AT_ONCE . ' at once, ' . ROUNDS . ' times' => sub {
    my @c = map { $s->connect } 1 .. AT_ONCE;
    my $token = $s->login('carol')->json->{refresh_token};
    my (@wrong, %status);
    my $began = time;
    for my $round (1 .. ROUNDS) {
        my $bytes = $s->bytes(POST => 'auth/refresh', at => 'acme',
                              json => { refresh_token => $token });
        $_->write($bytes) for @c;
        my %next;
        for my $c (@c) {
            my $r = $c->response;
            $status{ $r->{status} }++;
            $next{ $r->json->{refresh_token} }++ if $r->{status} == 200;
        }
        push @wrong, "$round: " . keys(%next) . ' successors'
            if keys %next != 1;
        ($token) = keys %next or last;
    }
    note time - $began, ' s';
    is_deeply \@wrong, [], 'one successor each';
    is_deeply \%status, { 200 => ROUNDS * AT_ONCE }, 'that all are told';
    status_is refresh($token), 200, 'and the last one is good';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
