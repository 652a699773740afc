#!/usr/bin/perl

# Accounts and the roles held in them, on a tenant whose app knows nothing of
# them: what may lie where, who may give what, and many who move at once.

use strict;
use warnings;

use FindBin ();
use POSIX ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $random = '01900000-7777-7000-8000-0123456789ab';
my $n = 0;
my %user = map { $_ => $s->psql(
    "select id from tenon.\"user\" where email like '$_\@%'") }
    qw(alice bob carol dave);

sub call {
    my ($who, $method, $path, $json, @headers) = @_;
    return $s->request($method, $path, as => $who,
                       $json ? (json => $json) : (),
                       headers => [fixed_id(), @headers]);
}

sub made {
    my ($r) = @_;
    return $r->json->{id} // die "not made: $r->{status} $r->{body}\n";
}

sub account {
    my ($who, $parent, $name) = @_;
    return made(call($who, POST => 'accounts', {
        name => $name // 'A' . ++$n, $parent ? (parent_id => $parent) : () }));
}

sub give {
    my ($who, $account, $whom, $role) = @_;
    return call($who, POST => 'account-members', {
        account_id => $account, user_id => $user{$whom}, role => $role });
}

subtest 'an account' => sub {
    my $r = call('alice', POST => 'accounts', { name => 'Agency',
                                                kind => 'agency' });
    status_is $r, 201, 'made';
    my $id = $r->json->{id};
    is $r->header('Location'), "/api/v1/accounts/$id", 'with its place';
    is_deeply [@{ $r->json }{qw(name kind parent_id version created_by)}],
        ['Agency', 'agency', undef, 1, $user{alice}], 'as asked for';
    is account('alice', undef, 'Team') =~ s/.*//r, '', 'a team by default';
    $r = call('alice', GET => "accounts/$id");
    status_is $r, 200, 'read';
    my $etag = $r->header('ETag');
    $r = call('bob', PATCH => "accounts/$id", { name => 'New' },
              'If-Match' => $etag);
    is $r->json->{name}, 'New', 'renamed by an admin';
    problem_is call('bob', PATCH => "accounts/$id", { name => 'X' },
                    'If-Match' => $etag), 412, 'precondition_failed', 'once';
    status_is call('bob', PATCH => "accounts/$id", {}), 200, 'left alone';
    my @key = ('Idempotency-Key' => 'make it once');
    my ($first, $again) = map {
        call('alice', POST => 'accounts', { name => 'Once' }, @key) } 1, 2;
    is $again->{body}, $first->{body}, 'made once under a key';
    is $again->header('Idempotency-Replayed'), 'true', 'and replayed';
    for my $bad ({}, { name => '' }, { name => 'x' x 201 },
                 { name => 'x', kind => 'No Kind' }, { name => 'x', id => $id },
                 { name => 'x', parent_id => 'x' }, { name => undef }) {
        status_is call('alice', POST => 'accounts', $bad), 422, 'refused';
    }
    problem_is call('alice', POST => 'accounts', {
        name => 'x', parent_id => $random }), 422, 'invalid_fields',
        'in no account', '/parent_id' => 'not_found';
    my $child = account('alice', $id);
    problem_is call('alice', DELETE => "accounts/$id"), 409,
        'state_conflict', 'what holds accounts stays';
    status_is call('alice', DELETE => "accounts/$child"), 204, 'empty, it goes';
    status_is call('alice', DELETE => "accounts/$id"), 204, 'then this';
    status_is call('alice', GET => "accounts/$id"), 404, 'gone';
    status_is call('alice', PATCH => "accounts/$id", { name => 'x' }), 404,
        'for good';
    is $s->psql("select string_agg(action, ' ' order by at, id)
                   from tenon.event where resource_id = '$id'
                    and outcome = 'success'"),
        'account.created account.updated account.deleted', 'all written down';
};

subtest 'where it may lie' => sub {
    my @chain = (account('alice'));
    push @chain, account('alice', $chain[-1]) for 2 .. 16;
    problem_is call('alice', POST => 'accounts', {
        name => 'deep', parent_id => $chain[-1] }), 422, 'invalid_fields',
        'not 17 deep', '/parent_id' => 'out_of_range';
    my @two = (account('alice'));
    push @two, account('alice', $two[0]);
    problem_is call('alice', PATCH => "accounts/$two[0]", {
        parent_id => $chain[14] }), 422, 'invalid_fields',
        'nor with what it holds', '/parent_id' => 'out_of_range';
    status_is call('alice', PATCH => "accounts/$two[0]", {
        parent_id => $chain[13] }), 200, 'but 16';
    for my $into (@chain[0, 1, 15]) {
        problem_is call('alice', PATCH => "accounts/$chain[0]", {
            parent_id => $into }), 422, 'invalid_fields', 'not in itself',
            '/parent_id' => 'refused';
    }
    status_is call('alice', PATCH => "accounts/$two[0]", {
        parent_id => undef }), 200, 'to the top';
    is call('alice', GET => "accounts/$two[0]")->json->{parent_id}, undef,
        'there it is';
};

subtest 'many move at once, and no circle closes' => sub {
    my $circle = q{
        with recursive up (start, id) as (
            select id, parent_id from tenon.account where deleted_at is null
             union
            select up.start, a.parent_id
              from up join tenon.account a on a.id = up.id)
        select count(*) from up where start = id};
    for my $round (1 .. 15) {
        my @pair = map { account('alice') } 1 .. 3;
        my @c = map {
            my $c = $s->connect;
            $c->write($s->bytes(
                PATCH => "accounts/$pair[$_]", as => 'alice',
                json => { parent_id => $pair[($_ + 1) % 3] }));
            $c;
        } 0 .. 2;
        my $got = join ' ', sort map { $_->response->{status} } @c;
        is $got, '200 200 422', "round $round: one of three is refused";
    }
    is $s->psql($circle), 0, 'no account lies in itself';
};

subtest 'roles in an account' => sub {
    my $top = account('alice');
    my $sub = account('alice', $top);
    my $other = account('alice');
    my $r = give('alice', $top, 'carol', 'account_owner');
    status_is $r, 201, 'given';
    is_deeply [@{ $r->json }{qw(account_id user_id email role)}],
        [$top, $user{carol}, 'carol@acme.test', 'account_owner'], 'and told';
    my $role = $r->json->{id};
    my ($mine) = grep { $_->{id} eq $top }
        @{ call('carol', GET => 'me/accounts')->json->{data} };
    is $mine->{role}, 'account_owner', 'she finds it among her accounts';
    ok +(grep { "$_->{permission} $_->{scope}" eq 'tenon.account:update tenant'
              } @{ $mine->{permissions} }), 'with what she may do there';
    my %may = map { $_->{permission} => $_->{scope} }
        @{ call('carol', GET => 'me')->json->{permissions} };
    is $may{'tenon.account:update'}, 'accounts', 'and me says where to look';
    is $may{'teamos.task:read'}, 'tenant', 'what holds everywhere does';
    ok !exists $may{'tenon.tenant:update'}, 'and what does not is not there';
    problem_is give('alice', $top, 'carol', 'account_user'), 409, 'duplicate',
        'one for each', '/user_id' => 'duplicate';
    for my $not (qw(member owner guest nothing super_admin)) {
        problem_is give('alice', $top, 'bob', $not), 422, 'invalid_fields',
            "$not is held elsewhere", '/role' => 'not_in_set';
    }
    problem_is give('alice', $random, 'dave', 'none'), 422, 'invalid_fields',
        'all at once', '/account_id' => 'not_found', '/user_id' =>
        'not_found', '/role' => 'not_in_set';

    # By what carol holds, not by her role in the tenant.
    is join(' ', sort map { $_->{id} }
            @{ call('carol', GET => 'accounts')->json->{data} }),
        join(' ', sort $top, $sub), 'she sees what she reaches';
    status_is give('carol', $sub, 'bob', 'account_user'), 201, 'gives there';
    problem_is give('carol', $other, 'bob', 'account_user'), 422,
        'invalid_fields', 'not elsewhere', '/account_id' => 'not_found';
    is give('carol', $other, 'bob', 'account_user')->visible,
        give('carol', $random, 'bob', 'account_user')->visible,
        'which is as if it were not';
    problem_is call('carol', POST => 'accounts', { name => 'x' }), 422,
        'invalid_fields', 'makes none at the top', '/parent_id' => 'required';
    my $made = account('carol', $sub);
    status_is call('carol', GET => "accounts/$made"), 200, 'but below';
    status_is call('carol', PATCH => "accounts/$made",
                   { parent_id => $top }), 200, 'moves it within';
    problem_is call('carol', PATCH => "accounts/$made",
                    { parent_id => undef }), 422, 'invalid_fields',
        'not out', '/parent_id' => 'required';
    problem_is call('carol', PATCH => "accounts/$made",
                    { parent_id => $other }), 422, 'invalid_fields',
        'nor away', '/parent_id' => 'not_found';
    problem_is call('carol', PATCH => "accounts/$top",
                    { parent_id => $sub }), 403, 'forbidden',
        'nor what lies where she doesn\'t reach';
    status_is call('carol', DELETE => "accounts/$made"), 204, 'deletes it';
    status_is call('alice', DELETE => "account-members/$role"), 204, 'taken';
    problem_is call('carol', GET => 'accounts'), 403, 'forbidden', 'at once';
};

subtest 'nobody gives more than they hold there' => sub {
    my $top = account('alice');
    my $r = call('alice', POST => 'roles', {
        name => 'account_clerk', title => 'Clerk', level => 'account',
        permissions => [
            map { { permission => "tenon.$_", scope => 'tenant' } }
            qw(account:read account_member:read account_member:create
               account_member:update account_member:delete)] });
    status_is $r, 201, 'a role of the tenant\'s own';
    status_is give('alice', $top, 'carol', 'account_clerk'), 201, 'given';
    status_is call('carol', GET => "accounts/$top"), 200, 'it holds';
    problem_is call('carol', PATCH => "accounts/$top", { name => 'x' }), 403,
        'forbidden', 'no further than it says';
    $user{guy} = $s->hire('guy', 'acme', 'member')->{user_id};
    problem_is give('carol', $top, 'guy', 'account_owner'), 403, 'forbidden',
        'more than her own';
    my $role = made(give('carol', $top, 'guy', 'account_user'));
    problem_is call('carol', PATCH => "account-members/$role",
                    { role => 'account_owner' }), 403, 'forbidden',
        'nor later';
    status_is call('alice', PATCH => "account-members/$role",
                   { role => 'account_owner' }), 200, 'who holds it may';
    problem_is call('carol', PATCH => "account-members/$role",
                    { role => 'account_user' }), 403, 'forbidden',
        'nor takes what is above';
    problem_is call('carol', DELETE => "account-members/$role"), 403,
        'forbidden', 'nor away';
    problem_is call('alice', PATCH => "account-members/$role",
                    { role => 'member' }), 422, 'invalid_fields',
        'a role of the tenant is none', '/role' => 'not_in_set';
};

subtest 'nobody gains or loses by a move what the mover couldn\'t give' => sub {
    my $top = account('alice');
    my ($unit, $under, $aside) = map { account('alice', $top) } 1 .. 3;
    status_is call('alice', POST => 'roles', {
        name => 'account_mover', title => 'Mover', level => 'account',
        permissions => [ map { { permission => "tenon.$_", scope => 'tenant' } }
                         qw(account:read account:update) ] }), 201,
        'a role that only moves accounts';
    $user{max} = $s->hire('max', 'acme', 'member')->{user_id};
    $user{olga} = $s->hire('olga', 'acme', 'member')->{user_id};
    made(give('alice', $top, 'max', 'account_mover'));
    my $move = sub {
        my ($who, $to) = @_;
        return call($who, PATCH => "accounts/$unit", { parent_id => $to });
    };
    my $can = sub {
        my ($who) = @_;
        return call($who, PATCH => "accounts/$unit", { name => "by $who" })
            ->{status};
    };
    my $refused = sub {
        my ($r, $name) = @_;
        problem_is $r, 403, 'forbidden', $name, '/parent_id' => 'refused';
        return;
    };
    status_is $move->('max', $under), 200, 'where nobody gains, he moves it';
    status_is $move->('max', $top), 200, 'and back';

    my $olga = made(give('alice', $under, 'olga', 'account_owner'));
    problem_is give('max', $unit, 'olga', 'account_owner'), 403, 'forbidden',
        'he can\'t give her the account';
    $refused->($move->('max', $under), 'nor move it under her');
    is $can->('olga'), 404, 'she has gained nothing';
    is $s->psql("select count(*) from tenon.event
                  where resource_id = '$unit' and outcome = 'refused'
                    and actor = '$user{max}'"), 1, 'which is written down';
    is call('max', PATCH => "accounts/$unit",
            { parent_id => $random })->{status}, 422, 'what isn\'t there';
    my $deep = account('alice', $under);
    $refused->($move->('max', $deep), 'nor under what lies under her');

    is $move->('alice', $deep)->{status}, 200, 'who may give that, moves it';
    is $can->('olga'), 200, 'and she has it';
    $refused->($move->('max', $aside), 'he can\'t take it from her either');
    is $can->('olga'), 200, 'so she has it still';
    status_is $move->('max', $under), 200, 'but move it within what she holds';
    status_is $move->('alice', $aside), 200, 'who may take, does';
    is $can->('olga'), 404, 'and it is gone';

    # She holds the whole: nothing comes to her by a second role below.
    my $whole = made(give('alice', $top, 'olga', 'account_owner'));
    status_is $move->('max', $under), 200, 'she had that before';
    status_is $move->('max', $aside), 200, 'and has it after';
    status_is call('alice', DELETE => "account-members/$whole"), 204, 'taken';
    status_is call('alice', DELETE => "account-members/$olga"), 204, 'both';

    # Nor where she comes to hold it while he waits.
    my $giving = fork // die "fork: $!\n";
    if (!$giving) {
        eval { $s->psql("
            begin;
            select set_config('tenon.tenant', tenant_id::text, true)
              from tenon.account where id = '$under';
            select tenon.lock_accounts();
            insert into tenon.account_member (tenant_id, account_id, user_id,
                                              role)
            select tenant_id, id, '$user{olga}', 'account_owner'
              from tenon.account where id = '$under';
            set application_name = 'giving';
            do \$\$ begin
                for i in 1 .. 500 loop
                    exit when exists (select from pg_locks where not granted);
                    perform pg_sleep(0.01);
                end loop;
            end \$\$;
            commit"); 1 } or warn $@;
        POSIX::_exit(0);
    }
    ok $s->wait_until(5, sub { $s->psql(
        "select count(*) from pg_stat_activity
          where application_name = 'giving'") }), 'somebody gives her the place';
    $refused->($move->('max', $under), 'he has waited, and is refused');
    waitpid $giving, 0;
    status_is $move->('alice', $under), 200, 'hers';
    status_is $move->('alice', $aside), 200, 'and not';
    status_is call('alice', DELETE => 'account-members/' . $s->psql(
        "select id from tenon.account_member where deleted_at is null
            and account_id = '$under' and user_id = '$user{olga}'")), 204,
        'taken again';

    # Nor does he gain himself.
    made(give('alice', $under, 'max', 'account_owner'));
    $refused->($move->('max', $under), 'not to where he holds more');
    problem_is call('max', DELETE => "accounts/$unit"), 403, 'forbidden',
        'which he doesn\'t here';

    # Who has left counts for nothing.
    made(give('alice', $aside, 'olga', 'account_owner'));
    $refused->($move->('max', $top), 'she holds where it lies');
    status_is $s->request(DELETE => 'members/' . $s->psql(
        "select id from tenon.member where user_id = '$user{olga}'"),
        as => 'alice'), 204, 'she leaves';
    status_is $move->('max', $top), 200, 'and is in nobody\'s way';

    # Who manages the moved account and nothing else.
    $user{una} = $s->hire('una', 'acme', 'member')->{user_id};
    made(give('alice', $_, 'una', 'account_owner')) for $unit, $aside;
    problem_is $move->('una', $aside), 403, 'forbidden',
        'she must hold the place it is taken from';
    problem_is call('una', PATCH => "accounts/$unit", { parent_id => $under }),
        403, 'forbidden', 'and reaches no other';
};

subtest 'a thousand accounts, and no more' => sub {
    $user{mary} = $s->hire('mary', 'acme', 'member')->{user_id};
    my $top = account('alice');
    $s->psql("insert into tenon.account (tenant_id, parent_id, name)
              select tenant_id, id, 'many ' || n
                from tenon.account, generate_series(1, 999) n
               where id = '$top'");
    my $sub = $s->psql("select id from tenon.account
                         where parent_id = '$top' limit 1");
    my $role = give('alice', $top, 'mary', 'account_user');
    status_is $role, 201, '1,000 can be held';
    my $r = call('mary', GET => 'accounts?limit=100');
    is scalar @{ $r->json->{data} }, 100, 'and are listed';
    status_is call('mary', GET => "accounts/$sub"), 200, 'each is read';
    problem_is call('alice', POST => 'accounts', {
        name => 'x', parent_id => $sub }), 409, 'state_conflict', 'no more';
    my $free = account('alice');
    problem_is call('alice', PATCH => "accounts/$free", {
        parent_id => $sub }), 409, 'state_conflict', 'by no move';
    problem_is give('alice', $free, 'mary', 'account_user'), 409,
        'state_conflict', 'by no role';
    status_is give('alice', $sub, 'mary', 'account_owner'), 201,
        'another role in one of them is no further one';
    status_is call('alice', DELETE => 'account-members/' .
                   $role->json->{id}), 204, 'without the first';
    status_is call('alice', PATCH => "accounts/$free", {
        parent_id => $sub }), 200, 'there is room';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
