#!/usr/bin/perl

# Accounts and the roles held in them, on a tenant whose app knows nothing of
# them: what may lie where, who may give what, and many who move at once.

use strict;
use warnings;

use FindBin ();
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
