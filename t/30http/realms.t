#!/usr/bin/perl

# Tenants with users of their own: signing up makes a realm with the tenant, an
# e-mail address is unique within it alone, and its people belong nowhere else.
# Who has one address in two such tenants is two people. Tenants come from the
# subdomain; unknown and suspended ones are refused; a token of one at the
# other's host is refused, and stands in its own tenant's log.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(http => 'tenon_signup_realm own;');
my $email = 'ann@people.test';
my %password = (voho => 'the first password', rival => 'another password');
my (%token, %proof);

sub signup {
    my ($slug, %o) = @_;
    return $s->request(
        POST => 'auth/signup', host => 'tenon.localhost', json => {
            email => $o{email} // $email, password => $password{$slug} //
                'correct horse', name => 'Ann', organization => {
                name => ucfirst $slug, slug => $slug } });
}

sub login {
    my ($slug, $password, %o) = @_;
    return $s->request(POST => 'auth/login', at => $slug, json => {
        email => $o{email} // $email, password => $password });
}

sub me { return $s->request(GET => 'me', at => $_[0], token => $_[1]) }

# "action outcome" of the newest events of a tenant, as psql reads them.
sub count_events {
    my ($slug, $action) = @_;
    return $s->psql("select count(*) from tenon.event e
                       join tenon.tenant t using (tenant_id)
                      where t.slug = '$slug' and e.action = '$action'
                        and e.outcome = 'refused'");
}


subtest 'one address, two people' => sub {
    my %user;
    for my $slug (qw(voho rival)) {
        my $r = signup($slug);
        status_is $r, 201, "signing up for $slug";
        $user{$slug} = $r->json->{user}{id};
    }
    isnt $user{voho}, $user{rival}, 'two users';
    is $s->psql("select count(distinct u.realm_id) from tenon.\"user\" u
                   join tenon.realm r using (realm_id)
                  where u.email = '$email' and r.kind = 'own'"), 2,
        'in two realms';
    problem_is signup('voho', email => 'eve@people.test'), 409, 'slug_taken',
        'a slug is taken once', '/organization/slug' => 'duplicate';
    is $s->psql("select count(*) from tenon.realm where name = 'voho'"), 1,
        'and a sign-up that fails leaves no realm behind';

    for my $slug (qw(voho rival)) {
        my $r = login($slug, $password{$slug});
        status_is $r, 200, "a login to $slug";
        is $r->json->{user}{id}, $user{$slug}, 'as its own user';
        $token{$slug} = $r->json->{access_token};
        $proof{$slug} = $r->json->{refresh_token};
        my ($other) = grep { $_ ne $slug } qw(voho rival);
        problem_is login($slug, $password{$other}), 401,
            'invalid_credentials', 'not by the other\'s password';
        is me($slug, $token{$slug})->json->{id}, $user{$slug}, 'who is who';
    }
};

subtest 'the shared realm is another' => sub {
    problem_is login('acme', $password{voho}), 401, 'invalid_credentials',
        'people of a realm are nobody in the shared one';
    problem_is login('voho', $s->password, email => 'alice@acme.test'), 401,
        'invalid_credentials', 'and the other way round';
    is signup('third', email => 'alice@acme.test')->{status}, 201,
        'an address of the shared realm signs up as a new person';
    status_is $s->login('alice'), 200, 'whose own password stays';
};

subtest 'V3: what names a tenant agrees' => sub {
    problem_is me('nobody', $token{voho}), 404, 'tenant_unknown',
        'an unknown tenant';
    problem_is login('nobody', $password{voho}), 404, 'tenant_unknown',
        'at a login, too';

    my ($own, $other) = map { count_events($_, 'auth.tenant_mismatch') }
        qw(voho rival);
    problem_is me('rival', $token{voho}), 403, 'tenant_mismatch',
        'a token at the other\'s host';
    is count_events('voho', 'auth.tenant_mismatch'), $own + 1,
        'an event in its own tenant\'s log';
    is count_events('rival', 'auth.tenant_mismatch'), $other,
        'and none in the other\'s';
    problem_is $s->request(GET => 'me', at => 'voho', token => $token{voho},
                           headers => ['Tenon-Tenant' => 'rival']), 403,
        'tenant_mismatch', 'a header beside the host';
    problem_is $s->request(GET => 'me', host => 'tenon.localhost',
                           token => $token{voho},
                           headers => ['Tenon-Tenant' => 'rival']), 403,
        'tenant_mismatch', 'or in its place';
    status_is $s->request(GET => 'me', host => 'tenon.localhost',
                          token => $token{voho}), 200, 'a token alone';
};

subtest 'its people belong nowhere else' => sub {
    my $r = $s->request(GET => 'me/tenants', at => 'voho',
                        token => $token{voho});
    is_deeply [map { $_->{slug} } @{ $r->json->{data} }], ['voho'],
        'one tenant each';
    problem_is $s->request(POST => 'tenants', at => 'voho',
                           token => $token{voho}, json => {
                               name => 'More', slug => 'more',
                               refresh_token => $proof{voho} }), 409,
        'own_realm', 'a further one is refused';
    is $s->psql("select count(*) from tenon.tenant where slug = 'more'"), 0,
        'and not made';
    problem_is $s->request(POST => 'auth/tenant', at => 'voho',
                           token => $token{voho}, json => {
                               tenant => 'rival',
                               refresh_token => $proof{voho} }), 422, 'invalid_fields',
        'there is no way to the other\'s', '/tenant' => 'not_found';
    status_is $s->request(POST => 'tenants', as => 'alice', proven => 1,
        json => { name => 'More', slug => 'more' }), 201,
        'the shared realm\'s people make as many as before';
};

subtest 'invitations' => sub {
    my $kim = 'kim@people.test';
    for my $slug (qw(voho rival)) {
        status_is $s->request(POST => 'invitations', at => $slug,
                              token => $token{$slug}, json => {
                                  email => $kim, role => 'member' }), 201,
            "to $slug";
        my $secret = $s->mailed($kim);
        my ($other) = grep { $_ ne $slug } qw(voho rival);
        my @accept = (json => { token => $secret, name => 'Kim',
                                password => "kim of $slug" });
        problem_is $s->request(POST => 'invitations/accept', at => $other,
                               @accept), 403, 'tenant_mismatch',
            'not at the other\'s host';
        status_is $s->request(POST => 'invitations/accept', at => $slug,
                              @accept), 200,
            'a new person, whatever the address is elsewhere';
        status_is login($slug, "kim of $slug", email => $kim), 200,
            'with a password of their own';
    }
    problem_is login('voho', 'kim of rival', email => $kim), 401,
        'invalid_credentials', 'which is no other\'s';
};

subtest 'V1: a suspended tenant' => sub {
    my ($voho) = @{ $s->request(GET => 'platform/tenants?slug=voho',
                                as => 'root')->json->{data} };
    is $voho->{user_realm}, 'own', 'the platform sees whose its users are';
    status_is $s->request(POST => "platform/tenants/$voho->{id}/suspend",
                          as => 'root'), 200, 'is suspended';
    problem_is me('voho', $token{voho}), 403, 'tenant_inactive',
        'and refuses its people at once';
    ok $s->wait_until(8, sub {
        login('voho', $password{voho})->{status} == 403 }),
        'logins too, within seconds';
    status_is me('rival', $token{rival}), 200, 'the other\'s are served';
    status_is $s->request(POST => "platform/tenants/$voho->{id}/reactivate",
                          as => 'root'), 200, 'reactivated';
    ok $s->wait_until(8, sub {
        login('voho', $password{voho})->{status} == 200 }), 'it serves again';
};

subtest 'made by the platform' => sub {
    my $r = $s->request(POST => 'platform/tenants', as => 'root', json => {
        name => 'Fourth', slug => 'fourth', user_realm => 'own',
        owner_email => $email, owner_name => 'Ann' });
    status_is $r, 201, 'with users of its own';
    is $r->json->{user_realm}, 'own', 'as it says';
    is $s->psql("select count(distinct realm_id) from tenon.\"user\"
                  where email = '$email'"), 3, 'a third person of that address';
};

is_deeply [$s->alarms], [], 'no alarms';

done_testing;
