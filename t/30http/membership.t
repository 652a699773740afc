#!/usr/bin/perl

# What a membership and a session are worth, and for how long: nobody makes
# themselves irremovable by what they did, nobody who returns brings old tokens
# along, an invitation is worth what its giver may do, and no switch makes a
# session longer.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();
use Time::HiRes qw(time);

my $s = TenonServer->new;

sub invite {
    my ($as, $email, $role) = @_;
    my $r = $s->request(POST => 'invitations', as => $as,
                        json => { email => $email, role => $role });
    status_is $r, 201, "$as invites $email";
    return $s->mailed($email);
}

sub accept_it {
    my ($token, %o) = @_;
    return $s->request(POST => 'invitations/accept', host => 'tenon.localhost',
                       json => { token => $token, password => $s->password,
                                 %o });
}

# A member of acme who has logged in: (what hire() tells, how to ask as them).
sub hired {
    my ($who, $role) = @_;
    my $member = $s->hire($who, 'acme', $role);
    return ($member, [at => 'acme', token => $s->token($who)]);
}

# 'alice', 'bob', …, or the id of a user.
my %name = map { my $id = $s->request(GET => 'me', as => $_)->json->{id};
                 ($id => $_) } qw(alice bob carol dave);

sub granted_by {
    my ($user) = @_;
    my $row = $s->request(GET => "audit/access?user_id=$user",
                          as => 'alice')->json->{data}[0];
    return $name{ $row->{granted_by} // '' } // $row->{granted_by};
}

sub switch {
    my ($tenant, $proof, @as) = @_;
    return $s->request(POST => 'auth/tenant', @as, json => {
        tenant => $tenant, refresh_token => $proof });
}

sub sessions {
    my ($user) = @_;
    return $s->psql("select count(*) from tenon.session
                      where user_id = '$user'");
}


subtest 'whatever a member did, they can be removed' => sub {
    my ($mole, $as) = hired('mole', 'member');
    my $project = $s->request(POST => 'projects', as => 'alice',
                              json => { name => 'Holes' })->json->{id};
    $s->psql("
        set session_replication_role = replica;
        insert into tenon.session (tenant_id, id, realm_id, user_id,
                                   expires_at)
        select m.tenant_id, tenon.uuid7(), m.realm_id, m.user_id,
               now() + interval '30 days'
          from tenon.member m, generate_series(1, 20000)
         where m.id = '$mole->{id}';
        insert into teamos.task (tenant_id, project_id, title, assignee_id)
        select m.tenant_id, '$project', 'hole ' || n, m.user_id
          from tenon.member m, generate_series(1, 20000) n
         where m.id = '$mole->{id}'");
    status_is $s->request(GET => 'me', @$as), 200, 'the mole is there';
    my $events = $s->psql('select count(*) from tenon.event');

    my $start = time;
    status_is $s->request(DELETE => "members/$mole->{id}", as => 'alice'),
        204, 'and is removed';
    note sprintf 'in %.0f ms', 1000 * (time - $start);

    is $s->psql('select count(*) from tenon.event') - $events, 1,
        'by one event';
    problem_is $s->request(GET => 'me', @$as), 401, 'unauthenticated',
        'the token is dead at the next request';
    problem_is $s->request(GET => "members/$mole->{id}", as => 'alice'), 404,
        'not_found', 'no member any more';
    is scalar(grep { $_->{user_id} eq $mole->{user_id} }
              map { @{ $s->request(GET => "$_?user_id=$mole->{user_id}",
                                   as => 'alice')->json->{data} } }
              'members', 'audit/access'), 0, 'in no list';
    problem_is $s->request(PATCH => "members/$mole->{id}", as => 'alice',
                           json => { role => 'owner' }), 404, 'not_found',
        'not to be promoted';
    problem_is $s->request(DELETE => "members/$mole->{id}", as => 'alice'),
        404, 'not_found', 'nor removed twice';
    problem_is $s->login('mole'), 401, 'invalid_credentials',
        'and can not log in';

    my $tasks = $s->request(
        GET => "tasks?assignee_id=$mole->{user_id}&limit=1", as => 'alice')
        ->json->{data};
    my $task = $tasks->[0];
    is $task->{version}, 1, 'what was theirs to do stays as it is';
    my $r = $s->request(PATCH => "tasks/$task->{id}", as => 'alice',
                        json => { title => 'filled' });
    status_is $r, 200, 'and can be changed';
    is $r->json->{assignee_id}, $mole->{user_id}, 'still theirs';
    problem_is $s->request(POST => 'tasks', as => 'alice', json => {
        project_id => $project, title => 'x',
        assignee_id => $mole->{user_id} }),
        422, 'invalid_fields', 'but nothing new is given to them',
        '/assignee_id' => 'not_found';

    $s->verify($mole->{email});
    $r = accept_it(invite('bob', $mole->{email}, 'admin'));
    status_is $r, 200, 'they may be invited again';
    my $back = $r->json->{member};
    is "$back->{id} $back->{role} $back->{version}", "$mole->{id} admin 3",
        'the same membership, as another role';
    cmp_ok $back->{created_at}, 'gt', $task->{created_at}, 'from now on';
    is granted_by($mole->{user_id}), 'bob', 'given by who invited';
    problem_is $s->request(GET => 'me', @$as), 401, 'unauthenticated',
        'the old token stays dead';
    problem_is $s->request(GET => 'me', at => 'acme', token => $s->token('mole')),
        401, 'unauthenticated', 'however often it is sent';
    is $s->psql("
        begin;
        set local role tenon_lookup;
        select count(*)
          from tenon.session s
         cross join lateral tenon.find_session(s.tenant_id, s.id) f
         where s.user_id = '$mole->{user_id}';
        commit"), 0, 'and so is every old session';

    delete $s->{token}{mole};
    my $token = $s->token('mole');
    is $s->request(GET => 'me', at => 'acme', token => $token)
         ->json->{role}, 'admin', 'a new one is good';
    status_is $s->request(PATCH => "tasks/$task->{id}", as => 'alice',
                          json => { assignee_id => $mole->{user_id} }), 200,
        'and work can be given to them';

    status_is $s->request(DELETE => "members/$mole->{id}", at => 'acme',
                          token => $token), 204, 'then they leave';
    problem_is $s->request(GET => 'me', at => 'acme', token => $token), 401,
        'unauthenticated', 'with that token';
};

subtest 'one who left is none of the owners' => sub {
    my ($olga) = hired('olga', 'owner');
    my ($alice) = map { $_->{id} } @{ $s->request(
        GET => 'members?role=owner&sort=created_at', as => 'alice')
        ->json->{data} };
    status_is $s->request(DELETE => "members/$olga->{id}", as => 'alice'),
        204, 'an owner is removed';
    problem_is $s->request(DELETE => "members/$alice", as => 'alice'), 409,
        'last_owner', 'the other one is the last';
    problem_is $s->request(PATCH => "members/$alice", as => 'alice',
                           json => { role => 'member' }), 409, 'last_owner',
        'in every way';
    is scalar @{ $s->request(GET => 'me/tenants', as => 'dave')
        ->json->{data} }, 1, 'me/tenants of another';
};

subtest 'who has left has left everywhere' => sub {
    my $member = $s->hire('dave', 'acme', 'member');
    is_deeply [sort map { $_->{slug} } @{ $s->request(
        GET => 'me/tenants', as => 'dave')->json->{data} }],
        ['acme', 'globex'], 'dave is in two organizations';
    status_is $s->request(DELETE => "members/$member->{id}", as => 'alice'),
        204, 'then in one';
    is_deeply [map { $_->{slug} } @{ $s->request(
        GET => 'me/tenants', as => 'dave')->json->{data} }], ['globex'],
        'which is all he sees';
    problem_is switch('acme', $s->proof('dave'), as => 'dave'), 422, 'invalid_fields',
        'there is no way back', '/tenant' => 'not_found';
};

subtest 'an invitation is worth what its giver may do' => sub {
    my ($ada) = hired('ada', 'admin');
    my $token = invite('ada', 'ed@worth.test', 'member');
    status_is $s->request(PATCH => "members/$ada->{id}", as => 'alice',
                          json => { role => 'member' }), 200,
        'who invited may no longer invite';
    problem_is accept_it($token, name => 'Ed'), 410, 'secret_spent',
        'and what they gave is worth nothing';
    is $s->psql("select count(*) from tenon.\"user\"
                  where email = 'ed\@worth.test'"), 0, 'nor makes an account';
    status_is $s->request(PATCH => "members/$ada->{id}", as => 'alice',
                          json => { role => 'admin' }), 200, 'until they may';
    my $r = accept_it($token, name => 'Ed');
    status_is $r, 200, 'then it is good';
    is granted_by($r->json->{user}{id}), $ada->{user_id},
        'the review tells who invited, not who accepted';
    status_is $s->request(PATCH => "members/$r->{json}{member}{id}",
                          as => 'bob', json => { role => 'admin' }), 200,
        'bob makes more of them';
    is granted_by($r->json->{user}{id}), 'bob', 'which the review tells, too';
};

subtest 'a switch makes no session longer' => sub {
    my $here = $s->hire('sam', 'acme', 'member');
    $s->{tenant_of}{sam} = 'acme';
    $s->psql("
        begin;
        select set_config('tenon.tenant', t.tenant_id::text, true)
          from tenon.tenant t where slug = 'globex';
        insert into tenon.member (tenant_id, realm_id, user_id, role)
        select t.tenant_id, t.realm_id, '$here->{user_id}', 'member'
          from tenon.tenant t where slug = 'globex';
        commit");
    my @as = (at => 'acme', token => $s->token('sam'));
    $s->psql("update tenon.session set expires_at = now() + interval '1 hour'
               where user_id = '$here->{user_id}'");

    my $r = switch('acme', $s->proof('sam'), @as);
    status_is $r, 200, 'to where one is';
    is $r->json->{user}{email}, $here->{email}, 'answers as ever';
    is sessions($here->{user_id}), 1, 'and opens no session';
    status_is $s->request(GET => 'me', at => 'acme',
                          token => $r->json->{access_token}), 200,
        'the token is good';

    $r = switch('globex', $s->proof('sam'), @as);
    status_is $r, 200, 'to another';
    is sessions($here->{user_id}), 2, 'opens one';
    is $s->psql("select count(distinct expires_at) from tenon.session
                  where user_id = '$here->{user_id}'"), 1,
        'which ends with the one that asked';
    my @there = (at => 'globex', token => $r->json->{access_token});
    $r = switch('acme', $r->json->{refresh_token}, @there);
    status_is $r, 200, 'and back';
    is $s->psql("select count(distinct expires_at) from tenon.session
                  where user_id = '$here->{user_id}'"), 1,
        'which gains nothing';
    is $s->psql("select count(*) from tenon.session
                  where user_id = '$here->{user_id}'
                    and expires_at > now() + interval '1 hour'"), 0,
        'nor outlives the hour';

    status_is $s->request(POST => 'auth/logout', @as), 204,
        'to log out of one';
    problem_is $s->request(GET => 'me', @there), 401, 'unauthenticated',
        'is to log out of what it opened';

    # The node may think a session alive for some seconds; a new one is only
    # made of one that is.
    my ($tess, $of_tess) = hired('tess', 'member');
    status_is $s->request(GET => 'me', @$of_tess), 200, 'a session is known';
    $s->psql("update tenon.session set revoked_at = now()
               where user_id = '$tess->{user_id}'");
    problem_is switch('acme', $s->proof('tess'), @$of_tess), 401, 'unauthenticated',
        'but what was revoked elsewhere makes no token';
};

done_testing;
