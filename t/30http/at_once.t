#!/usr/bin/perl

# What is counted, voided or ended behind a lock holds for those who waited for
# it, too: whoever comes second sees what the first one did. Told by having both
# wait: the row is held until all that is to come at once is there.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use IO::Select ();
use POSIX ();
use Test::More;

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;

# Time for all to come, and for a deadlock to be found as one.
$s->psql("alter role tenon_api set lock_timeout = '8s';
          alter role tenon_api set statement_timeout = '10s';
          select pg_terminate_backend(pid, 10000) from pg_stat_activity
           where usename = 'tenon_api'");

# Until each worker has other connections than those that were ended.
for my $pid ($s->workers) {
    $s->alone($pid, sub {
        $s->wait_until(10, sub {
            $s->request(POST => 'auth/login', at => 'acme', json => {
                email => 'nobody@acme.test', password => 'not this one',
            })->{status} == 401 }) });
}

my ($acme, $realm) = split /\|/, $s->psql(
    "select tenant_id, realm_id from tenon.tenant where slug = 'acme'");

sub user {
    return $s->psql("select id from tenon.\"user\"
                      where realm_id = '$realm' and email = '$_[0]'");
}

sub of_user { return "select from tenon.\"user\" where id = '$_[0]'" }

# Holds what the query locks while the code runs, a few seconds at most.
sub holding {
    my ($query, $code) = @_;
    my $holder = fork // die "fork: $!\n";
    if ($holder == 0) {
        eval { $s->psql("set application_name = holder; begin;
                         $query for update; select pg_sleep(30)") };
        POSIX::_exit(0);
    }
    my $sleeps = "select count(*) from pg_stat_activity
                   where application_name = 'holder'
                     and wait_event = 'PgSleep'";
    $s->wait_until(10, sub { $s->psql($sleeps) }) or die "nothing is held\n";
    my @result = $code->();
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where application_name = 'holder'");
    waitpid $holder, 0;
    return @result;
}

sub send_it {
    my $c = $s->connect;
    $c->write($s->bytes(@{ $_[0] }));
    return $c;
}

# Waits until so many requests wait for a lock.
sub wait_for {
    my ($n, $seconds) = @_;
    return $s->wait_until($seconds // 20, sub {
        $s->psql("select count(*) from pg_stat_activity
                   where usename = 'tenon_api'
                     and wait_event_type = 'Lock'") >= $n });
}

# The answers to requests that all waited for what the query locks.
sub held {
    my ($query, @requests) = @_;
    my $n = @requests > 4 ? 4 : @requests; # connections of one worker
    my @c = holding($query, sub {
        my @c = map { send_it($_) } @requests;
        ok wait_for($n), "$n wait";
        return @c;
    });
    return map { $_->response } @c;
}

sub statuses { return join ' ', sort map { $_->{status} } @_ }

# Open sessions of a user in acme that nobody has the tokens of; their ids, in
# order, which is that of their beginnings.
sub fill {
    my ($user, $n, $family) = @_;
    $family = $family ? "'$family'" : 'null';
    return grep { /-/ } split /\n/, $s->psql("
        set session_replication_role = replica;
        with made as (
            insert into tenon.session (tenant_id, id, realm_id, user_id,
                                       created_at, expires_at, family)
            select '$acme', i.id, '$realm', '$user',
                   m.created_at + i.n * interval '1 us',
                   now() + interval '1 day', $family
              from tenon.member m
             cross join (select u.id, row_number() over (order by u.id) as n
                           from (select tenon.uuid7() as id
                                   from generate_series(1, $n)) u) i
             where m.tenant_id = '$acme' and m.user_id = '$user'
            returning id)
        select id from made order by id");
}

sub open_sessions {
    return $s->psql("select count(*) from tenon.session
                      where tenant_id = '$acme' and user_id = '$_[0]'
                        and revoked_at is null and expires_at > now()");
}

subtest 'of two tokens for one purpose, one is good' => sub {
    my $user = user('carol@acme.test');
    my @forgot = (POST => 'auth/password/forgot', at => 'acme',
                  json => { email => 'carol@acme.test' });
    is statuses(held(of_user($user), \@forgot, \@forgot)), '204 204',
        'two are asked for';
    is $s->psql("select count(*), count(*) filter (where used_at is null)
                   from tenon.one_time
                  where user_id = '$user' and purpose = 'reset'"), '2|1',
        'the other is void';
};

subtest 'a token that is used twice at once is used once' => sub {
    my $token = $s->mailed('carol@acme.test', 'reset');
    my @r = held(of_user(user('carol@acme.test')), map {
        [POST => 'auth/password/reset', at => 'acme', json => {
            token => $token, password => "a new horse battery $_" }]
    } 1, 2);
    my ($won) = grep { $r[$_ - 1]{status} == 204 } 1, 2;
    is grep({ $_->{status} == 204 } @r), 1, 'one password is set';
    cmp_ok +(sort { $a <=> $b } map { $_->{status} } @r)[1], '>=', 400,
        'one is refused';
    status_is $s->request(POST => 'auth/login', at => 'acme', json => {
        email => 'carol@acme.test',
        password => "a new horse battery $won" }), 200, 'it is the one';
};

subtest 'a hundred sessions, however many come at once' => sub {
    my $bob = user('bob@acme.test');
    status_is $s->request(POST => 'tenants', as => 'bob',
                          proven => 1,
                          json => { name => 'Far', slug => 'far' }), 201,
        'bob is in two organizations';
    my $far = $s->request(POST => 'auth/login', at => 'far', json => {
        email => 'bob@acme.test', password => $s->password })->json;
    fill($bob, 100 - open_sessions($bob));
    is open_sessions($bob), 100, 'as many as there may be';

    # Neither of a password, which would be hashed, nor of one worker.
    my @switch = (POST => 'auth/tenant', at => 'far',
                  token => $far->{access_token},
                  json => { tenant => 'acme',
                            refresh_token => $far->{refresh_token} });
    my @login = (POST => 'auth/login', at => 'acme', json => {
        email => 'bob@acme.test', password => $s->password });
    my @r = held(of_user($bob), (\@switch) x 96, (\@login) x 4);
    is_deeply [grep { $_->{status} !~ /\A(?:200|503)\z/ } @r], [],
        'a hundred more are opened, or told to come back';
    cmp_ok grep({ $_->{status} == 200 } @r), '>=', 50, 'most of them opened';
    is open_sessions($bob), 100, 'and there are a hundred';
};

# Accounts with many in them, below which a user's role reaches.
sub tree {
    my ($n) = @_;
    return $s->psql("
        set session_replication_role = replica;
        with top as (
            insert into tenon.account (tenant_id, id, name)
            values ('$acme', tenon.uuid7(), 'top')
            returning id),
        below as (
            insert into tenon.account (tenant_id, id, parent_id, name)
            select '$acme', tenon.uuid7(), top.id, 'n' || n
              from top, generate_series(1, $n) n)
        select id from top") =~ s/\A\s+//r;
}

my $here = "select from tenon.tenant where tenant_id = '$acme'";

subtest 'roles in many accounts, given at once' => sub {
    my $nils = $s->hire('nils', 'acme', 'member')->{user_id};
    my @r = held($here, map {
        [POST => 'account-members', as => 'alice', json => {
            account_id => tree(600), user_id => $nils,
            role => 'account_user' }]
    } 1, 2);
    is statuses(@r), '201 409', 'one fits';
    my ($no) = grep { $_->{status} == 409 } @r;
    problem_is $no, 409, 'state_conflict', 'the other would be too many';
};

subtest 'accounts moved at once below who holds many' => sub {
    my $nora = $s->hire('nora', 'acme', 'member')->{user_id};
    my $top = tree(1);
    status_is $s->request(POST => 'account-members', as => 'alice', json => {
        account_id => $top, user_id => $nora, role => 'account_user' }), 201,
        'one holds an account';
    my @r = held($here, map {
        [PATCH => 'accounts/' . tree(600), as => 'alice',
         json => { parent_id => $top }]
    } 1, 2);
    is statuses(@r), '200 409', 'one is moved into it';
    my ($no) = grep { $_->{status} == 409 } @r;
    problem_is $no, 409, 'state_conflict', 'the other would be too much';
};

# One ends a sign-in, the session that is named first, then the others by their
# ids; another everybody's here. Whichever way that one goes, the two would meet
# at a session that is held by a third, and each want what the other has.
sub meet {
    my ($who, $name, $named_last, @request) = @_;
    my $member = $s->hire($name, 'acme', 'member');
    my $user = $member->{user_id};
    my @early = $named_last ? fill($user, 3) : ();
    my $login = $s->login($name)->json;
    my $id = $s->psql("select id from tenon.session
                        where user_id = '$user' order by id desc limit 1");
    my @ids = @early ? @early : fill($user, 3, $id);
    $s->psql("set session_replication_role = replica;
              update tenon.session set family = '$id'
               where user_id = '$user' and id <> '$id'");
    $request[1] .= $member->{id} if $request[1] =~ m{/\z};

    my @both = ([DELETE => "me/sessions/$id", at => 'acme',
                 token => $login->{access_token}], \@request);
    @both = reverse @both if $named_last;
    my @c = holding("select from tenon.session where id = '$ids[1]'", sub {
        my @sent;
        for my $n (1, 2) {
            push @sent, my $c = send_it($both[$n - 1]);
            my $answered = IO::Select->new($c->{socket});
            ok $s->wait_until(5, sub {
                $answered->can_read(0) || wait_for($n, 0) }),
                'waits, or is done';
        }
        return @sent;
    });
    my @r = map { $_->response } @c;
    @r = reverse @r if $named_last;
    like $r[0]{status}, $named_last ? qr/\A(?:204|40[14])\z/ : qr/\A204\z/,
        'the sign-in ends, unless all had ended before';
    status_is $r[1], 204, "$who goes";
    return;
}

subtest 'a sign-in ends while a member goes' => sub {
    meet('a member', 'max', 0, DELETE => 'members/', as => 'alice');
};

subtest 'a member goes while a sign-in ends' => sub {
    meet('a member', 'mo', 1, DELETE => 'members/', as => 'alice');
};

subtest 'the organization goes while a sign-in ends' => sub {
    meet('the organization', 'mia', 1, DELETE => 'tenant', as => 'alice');
};

is_deeply [grep { !/terminating connection/ } $s->alarms], [], 'no alarms';

done_testing;
