#!/usr/bin/perl

# Roles: those of a tenant's own, what they may hold and who may give them;
# that nobody comes by more than they have, alone or together with others; and
# how the owner's goes from one to another.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $n = 0;
my %member = map { ("$_->[0]" => "01900000-000a-7000-8000-00000000030$_->[1]") }
    ['alice', 1], ['bob', 2], ['carol', 3];
my $nobody = '01900000-7777-7000-8000-0123456789ab';

# [permission, scope] as a body has it; without a scope: 'tenant'.
sub grants {
    return [map { my ($name, $scope) = split / /;
                  { permission => $name, $scope ? (scope => $scope) : () } }
            @_];
}

sub told {
    my ($r) = @_;
    return [map { "$_->{permission} $_->{scope}" }
            @{ $r->json->{permissions} }];
}

sub define {
    my ($as, $name, @holds) = @_;
    return $s->request(POST => 'roles', as => $as, json => {
        name => $name, title => ucfirst $name, permissions => grants(@holds) });
}

sub change {
    my ($as, $id, %body) = @_;
    return $s->request(PATCH => "roles/$id", as => $as, json => \%body);
}

sub give {
    my ($as, $id, $role, %o) = @_;
    return $s->request(PATCH => "members/$id", as => $as,
                       json => { role => $role }, %o);
}

sub invite {
    my ($as, $role) = @_;
    my $email = 'r' . ++$n . '@roles.test';
    return ($email, $s->request(POST => 'invitations', as => $as, json => {
        email => $email, role => $role }));
}

sub accept_it {
    my ($email) = @_;
    return $s->request(POST => 'invitations/accept', at => 'acme', json => {
        token => $s->mailed($email), name => 'R',
        password => 'correct horse' });
}

sub event {
    my ($action) = @_;
    return $s->request(GET => "audit/events?action=$action&limit=1",
                       as => 'alice')->json->{data}[0];
}

sub role_of {
    return $s->psql("select role from tenon.member where id = '$_[0]'");
}

sub owners {
    my ($tenant) = @_;
    return $s->psql("select count(*) from tenon.member m
                       join tenon.tenant t using (tenant_id)
                      where t.slug = '$tenant' and m.role = 'owner'
                        and m.deleted_at is null");
}


subtest 'what comes with it' => sub {
    my $r = $s->request(GET => 'roles?shipped=true&limit=100', as => 'carol');
    status_is $r, 200, 'is listed';
    is_deeply [sort map { "$_->{name} $_->{level}" } @{ $r->json->{data} }],
        ['account_owner account', 'account_user account', 'admin tenant',
         'guest tenant', 'member tenant', 'moderator tenant', 'owner tenant',
         'tenant_admin tenant'], 'the shipped roles, but for the platform\'s';
    my ($guest) = grep { $_->{name} eq 'guest' } @{ $r->json->{data} };
    is_deeply $guest->{permissions},
        [{ permission => 'tenon.flag:evaluate', scope => 'tenant' },
         { permission => 'tenon.share:delete', scope => 'own' },
         { permission => 'tenon.share:read', scope => 'own' },
         { permission => 'tenon.tenant:read', scope => 'tenant' }],
        'with what they hold';
    my $one = $s->request(GET => "roles/$guest->{id}", as => 'carol');
    is_deeply $one->json, $guest, 'one is read by its id';
    like $one->header('ETag'), qr/\A"\d+"\z/, 'with an ETag';
    is $s->request(GET => "roles/$guest->{id}", as => 'dave')->{status}, 200,
        'which is the same everywhere';
    problem_is $s->request(PATCH => "roles/$guest->{id}", as => 'alice',
                           json => { title => 'x' }),
        409, 'state_conflict', 'it can not be changed';
    problem_is $s->request(DELETE => "roles/$guest->{id}", as => 'alice'),
        409, 'state_conflict', 'nor deleted';

    $r = $s->request(GET => 'permissions?limit=100&sort=name', as => 'carol');
    my %p = map { $_->{name} => $_ } @{ $r->json->{data} };
    is_deeply [sort keys %{ $p{'teamos.task:update'} }],
        [qw(description name scopes)], 'permissions are listed';
    is_deeply $p{'teamos.task:update'}{scopes}, ['tenant', 'own'],
        'with their scopes';
    is_deeply $p{'tenon.role:read'}{scopes}, ['tenant'],
        'not all of which have rows of one\'s own';
    my @first = map { $_->{name} } @{ $s->request(
        GET => 'permissions?limit=2', as => 'carol')->json->{data} };
    is_deeply \@first, [reverse((sort keys %p)[-2, -1])], 'page by page';
};

subtest 'one of its own' => sub {
    my $r = define('alice', 'reviewer', 'teamos.task:read',
                   'teamos.task:update own', 'tenon.member:read tenant');
    status_is $r, 201, 'is made';
    my $role = $r->json;
    is_deeply [sort keys %$role],
        [qw(created_at id level name permissions shipped title updated_at
            version)], 'its members';
    is "$role->{name} $role->{level} $role->{version}", 'reviewer tenant 1',
        'what it is';
    ok !$role->{shipped}, 'it is nobody else\'s';
    is_deeply told($r), ['teamos.task:read tenant', 'teamos.task:update own',
                         'tenon.member:read tenant'], 'what it holds';
    is $r->header('Location'), "/api/v1/roles/$role->{id}", 'Location';
    my $read = $s->request(GET => "roles/$role->{id}", as => 'carol');
    is $read->{body}, $r->{body}, 'it reads as it was answered';
    is $read->header('ETag'), $r->header('ETag'), 'under the same ETag';
    problem_is $s->request(GET => "roles/$role->{id}", as => 'dave'), 404,
        'not_found', 'elsewhere there is none';
    is_deeply event('role.created')->{after}{permissions}[1],
        { permission => 'teamos.task:update', scope => 'own' },
        'the event has what it holds';

    my $rita = $s->hire('rita', 'acme', 'member');
    status_is give('bob', $rita->{id}, 'reviewer'), 200, 'is given';
    my @as = (as => 'rita');
    is $s->request(GET => 'me', @as)->json->{role}, 'reviewer', 'me shows it';
    is $s->request(GET => 'me/tenants', @as)->json->{data}[0]{role},
        'reviewer', 'so do the memberships';
    status_is $s->request(GET => 'tasks', @as), 200, 'what it holds is served';
    problem_is $s->request(GET => 'projects', @as), 403, 'forbidden',
        'and nothing else';
    problem_is $s->request(POST => 'tasks', @as, json => {}), 403, 'forbidden',
        'not even what a member may';
    my $review = $s->request(GET => 'audit/access?role=reviewer', as => 'bob')
        ->json->{data};
    is_deeply [map { $_->{permission} } @{ $review->[0]{permissions} }],
        ['teamos.task:read', 'teamos.task:update', 'tenon.member:read'],
        'the access review shows what it holds';
    is scalar @{ $s->request(GET => 'members?role=reviewer,owner',
                             as => 'bob')->json->{data} }, 2,
        'members are found by it';

    $r = change('alice', $role->{id}, permissions => grants(
        'teamos.task:read own', 'teamos.project:read'));
    status_is $r, 200, 'is changed';
    is $r->json->{version}, 2, 'one version on';
    is_deeply told($r), ['teamos.project:read tenant', 'teamos.task:read own'],
        'it holds what was sent';
    is $s->request(GET => "roles/$role->{id}", as => 'bob')->{body},
        $r->{body}, 'and reads so';
    status_is $s->request(GET => 'projects', @as), 200,
        'from the next request on';
    is_deeply $s->request(GET => 'tasks', @as)->json->{data}, [],
        'in its new scope';
    problem_is $s->request(GET => 'members', @as), 403, 'forbidden',
        'what it held is gone';
    my $event = event('role.updated');
    is_deeply [map { scalar @{ $event->{$_}{permissions} } } qw(before after)],
        [3, 2], 'the event has both';
    is change('alice', $role->{id}, title => 'Other')->json->{version}, 3,
        'a title';
    is change('alice', $role->{id}, title => 'Other', permissions => grants(
        'teamos.project:read', 'teamos.task:read own'))->json->{version}, 3,
        'what changes nothing is no version';
    problem_is $s->request(PATCH => "roles/$role->{id}", as => 'alice',
                           json => { title => 'x' },
                           headers => ['If-Match' => '"1"']),
        412, 'precondition_failed', 'a version gone by';

    my $hold = (invite('alice', 'reviewer'))[1];
    $r = $s->request(DELETE => "roles/$role->{id}", as => 'alice');
    problem_is $r, 409, 'state_conflict', 'in use it stays';
    like $r->json->{detail}, qr/members: 1, invitations: 1/,
        'which names who has it';
    status_is give('alice', $rita->{id}, 'guest'), 200, 'nobody has it';
    status_is $s->request(DELETE => 'invitations/' . $hold->json->{id},
                          as => 'alice'), 204, 'nor will';
    status_is $s->request(DELETE => "roles/$role->{id}", as => 'alice'), 204,
        'it is deleted';
    problem_is $s->request($_ => "roles/$role->{id}", as => 'alice', json =>
                           $_ eq 'PATCH' ? { title => 'x' } : undef),
        404, 'not_found', "then gone: $_" for qw(GET PATCH DELETE);
    problem_is give('alice', $rita->{id}, 'reviewer'), 422, 'invalid_fields',
        'and can not be given', '/role' => 'not_in_set';
    is event('role.deleted')->{before}{name}, 'reviewer', 'as the log says';
    status_is define('alice', 'reviewer'), 201, 'its name is free again';
};

subtest 'what can not be' => sub {
    problem_is define('alice', 'admin'), 409, 'duplicate',
        'the name of a shipped one', '/name' => 'duplicate';
    problem_is define('alice', 'reviewer'), 409, 'duplicate',
        'the name of another', '/name' => 'duplicate';
    problem_is define('alice', 'odd', 'teamos.task:fly', 'teamos.task:read',
                      'teamos.task:read own', 'tenon.role:read own'),
        422, 'invalid_fields', 'permissions that are none',
        '/permissions/0/permission' => 'not_in_set',
        '/permissions/2/permission' => 'duplicate',
        '/permissions/3/scope' => 'not_in_set';
    problem_is $s->request(POST => 'roles', as => 'alice', json => {
        name => 'Odd', level => 'galaxy', shipped => \1,
        permissions => [1, { scope => 'all' }] }),
        422, 'invalid_fields', 'all that is wrong at once',
        '/name' => 'bad_format', '/title' => 'required',
        '/level' => 'not_in_set', '/shipped' => 'read_only',
        '/permissions/0' => 'wrong_type',
        '/permissions/1/permission' => 'required',
        '/permissions/1/scope' => 'not_in_set';
    problem_is $s->request(POST => 'roles', as => 'alice', json => {
        name => 'odd', title => 'Odd', level => 'platform' }),
        422, 'invalid_fields', 'a level of the platform',
        '/level' => 'not_in_set';
    problem_is $s->request(DELETE => "roles/$_", as => 'alice'), 404,
        'not_found', "no role: $_" for $nobody, 'nonsense';

    my ($first, $again) = map {
        $s->request(POST => 'roles', as => 'alice', json => {
            name => 'twice', title => 'T' },
            headers => ['Idempotency-Key' => 'roles-twice'])
    } 1, 2;
    is $again->{body}, $first->{body}, 'the same key makes one';
    is $again->header('Idempotency-Replayed'), 'true', 'and says so';

    my @made;
    for (1 .. 120) {
        my $r = define('dave', 'many' . ++$n);
        push @made, $r->json->{id} if $r->{status} == 201;
        next if $r->{status} == 201;
        problem_is $r, 409, 'limit_reached', 'not more than so many';
        last;
    }
    is scalar @made, 100, 'a hundred';
};

# One who may make roles and give them, but not much else.
subtest 'nobody gives what they do not hold' => sub {
    my @may = ('tenon.role:read', 'tenon.role:create', 'tenon.role:update',
               'tenon.role:delete', 'tenon.member:read',
               'tenon.member:update', 'tenon.member:delete',
               'tenon.invitation:create', 'tenon.invitation:read',
               'tenon.invitation:delete', 'teamos.task:read own');
    my $clerk = define('alice', 'clerk', @may)->json->{id};
    my $boss = define('alice', 'boss', @may, 'tenon.tenant:update')
        ->json->{id};
    my $cleo = $s->hire('cleo', 'acme', 'clerk');
    my $max = $s->hire('max', 'acme', 'guest');

    problem_is define('cleo', 'greedy', 'teamos.task:read own',
                      'teamos.task:read tenant'), 422, 'invalid_fields',
        'faults come before rights within them',
        '/permissions/1/permission' => 'duplicate';
    problem_is define('cleo', 'greedy', 'teamos.task:read',
                      'tenon.role:read', 'tenon.tenant:delete'),
        403, 'forbidden', 'a role of more than one holds',
        '/permissions/0' => 'refused', '/permissions/2' => 'refused';
    my $r = define('cleo', 'modest', 'teamos.task:read own',
                   'tenon.role:read');
    status_is $r, 201, 'one of less';
    my $modest = $r->json->{id};

    problem_is change('cleo', $modest, permissions => grants(
        'tenon.audit_event:read')), 403, 'forbidden', 'nor is it widened so',
        '/permissions/0' => 'refused';
    problem_is change('cleo', $clerk, permissions => grants(
        @may, 'tenon.audit_event:read')), 403, 'forbidden',
        'nor the role they have themselves', '/permissions/11' => 'refused';
    problem_is change('cleo', $boss, title => 'Mine'), 403, 'forbidden',
        'one that holds more is not theirs to change';
    problem_is $s->request(DELETE => "roles/$boss", as => 'cleo'), 403,
        'forbidden', 'nor to delete';

    for my $role ('boss', 'admin', 'owner', 'tenant_admin', 'member') {
        problem_is give('cleo', $max->{id}, $role), 403, 'forbidden',
            "nor to give: $role";
        problem_is give('cleo', $cleo->{id}, $role), 403, 'forbidden',
            "nor to take: $role";
        problem_is +(invite('cleo', $role))[1], 403, 'forbidden',
            "nor to invite to: $role";
    }
    problem_is give('cleo', $max->{id}, 'guest'), 403, 'forbidden',
        'a guest reads the tenant, which they may not';
    problem_is $s->request(DELETE => "members/$member{bob}", as => 'cleo'),
        403, 'forbidden', 'nor to remove one of more';
    $s->psql("update tenon.member set role = 'modest'
               where id = '$max->{id}'");
    status_is give('cleo', $max->{id}, 'clerk'), 200, 'their own they give';
    status_is give('cleo', $max->{id}, 'modest'), 200, 'and take';

    my ($email, $invited) = invite('cleo', 'clerk');
    status_is $invited, 201, 'and invite to';
    status_is change('alice', $clerk, permissions => grants(
        @may, 'tenon.tenant:read')), 200, 'an owner widens it';
    status_is give('alice', $cleo->{id}, 'modest'), 200,
        'and the giver has less';
    problem_is accept_it($email), 410, 'secret_spent',
        'what they invited to is theirs to give no more';
    status_is $s->request(DELETE => "members/$cleo->{id}", as => 'cleo'), 403,
        'who may not leave does not';
    is event('member.removed')->{outcome}, 'refused', 'and that is in the log';

    ($email, $invited) = invite('alice', 'boss');
    $s->psql("update tenon.tenant_role set deleted_at = now()
               where id = '$boss'");
    problem_is accept_it($email), 410, 'secret_spent',
        'an invitation to a role that is gone';
    status_is $s->request(DELETE => 'invitations/' . $invited->json->{id},
                          as => 'alice'), 204, 'can be taken back';
};

subtest 'a tenant admin runs the tenant in the owner\'s stead' => sub {
    my $tara = $s->hire('tara', 'acme', 'tenant_admin');
    my $temp = $s->hire('temp', 'acme', 'member');
    status_is $s->request(GET => $_, as => 'tara'), 200, "reads $_"
        for qw(tenant members invitations roles audit/events tasks projects);
    status_is give('tara', $temp->{id}, $_), 200, "gives $_"
        for qw(admin tenant_admin moderator guest);
    problem_is give('tara', $temp->{id}, 'owner'), 403, 'forbidden',
        'but not the owner\'s';
    problem_is give('tara', $member{alice}, 'admin'), 403, 'forbidden',
        'nor takes it';
    problem_is $s->request(DELETE => "members/$member{alice}", as => 'tara'),
        403, 'forbidden', 'nor sends one away';
    problem_is define('tara', 'heir', 'tenon.tenant:delete'), 403,
        'forbidden', 'nor makes one like it', '/permissions/0' => 'refused';
    problem_is $s->request(POST => 'tenant/transfer', as => 'tara', json => {
        member_id => $tara->{id} }), 403, 'forbidden', 'nor helps themselves';

    # Not even one whose own role holds it all.
    my @all = map { $_->{name} . ($_->{scopes}[0] eq 'own' ? ' own' : '') }
        @{ $s->request(GET => 'permissions?limit=100', as => 'alice')
           ->json->{data} };
    status_is define('alice', 'heir', @all), 201, 'a role of everything';
    my $hera = $s->hire('hera', 'acme', 'heir');
    problem_is give('hera', $temp->{id}, 'owner'), 403, 'forbidden',
        'makes no owner';
    problem_is $s->request(POST => 'tenant/transfer', as => 'hera', json => {
        member_id => $hera->{id} }), 403, 'forbidden', 'nor takes over';
};

subtest 'the owner\'s goes to another' => sub {
    $s->found('relay');
    my $ann = $s->hire('ann', 'relay', 'owner');
    my $ben = $s->hire('ben', 'relay', 'member');
    my $go = sub {
        my ($as, $to, @o) = @_;
        return $s->request(POST => 'tenant/transfer', as => $as,
                           json => { member_id => $to }, @o);
    };
    problem_is $go->('ann', $_), 422, 'invalid_fields', "to no member: $_",
        '/member_id' => 'not_found' for $nobody, $member{carol};
    problem_is $go->('ann', $ann->{id}), 422, 'invalid_fields', 'to oneself',
        '/member_id' => 'not_in_set';
    problem_is $go->('ben', $ben->{id}), 403, 'forbidden', 'by a member';
    my @key = (headers => ['Idempotency-Key' => 'relay']);
    my $r = $go->('ann', $ben->{id}, @key);
    status_is $r, 200, 'it goes';
    is "$r->{json}{id} $r->{json}{role} $r->{json}{version}",
        "$ben->{id} owner 2", 'the new owner is answered' if $r->json;
    is role_of($ann->{id}) . ' ' . role_of($ben->{id}), 'admin owner',
        'one is it, the other was';
    problem_is $s->request(PATCH => 'tenant', as => 'ann', json => {}), 403,
        'forbidden', 'from the next request on';
    status_is $s->request(PATCH => 'tenant', as => 'ben', json => {}), 200,
        'for both';
    my @events = map { "$_->{action} $_->{outcome}" } grep {
        $_->{action} =~ /role_changed|transferred/ && $_->{outcome} ne 'refused'
    } @{ $s->request(GET => 'audit/events', as => 'ben')->json->{data} };
    is_deeply [sort @events],
        ['member.role_changed success', 'member.role_changed success',
         'tenant.transferred success'], 'all of which is in the log';

    # Everybody hands it on at once, to anybody: never is there none.
    my $cat = $s->hire('cat', 'relay', 'owner');
    my %id = (ann => $ann->{id}, ben => $ben->{id}, cat => $cat->{id});
    my (@wrong, %seen);
    for my $round (1 .. 40) {
        $s->psql("update tenon.member set role = 'owner'
                   where id in ('$id{ann}', '$id{ben}')");
        $s->psql("update tenon.member set role = 'member'
                   where id = '$id{cat}'");
        my @r = map { my $c = $s->connect; $c->write($_); $c } (
            $s->bytes(POST => 'tenant/transfer', as => 'ann',
                      json => { member_id => $id{ben} }),
            $s->bytes(POST => 'tenant/transfer', as => 'ben',
                      json => { member_id => $round % 2 ? $id{ann}
                                                        : $id{cat} }));
        my $status = join ' ', map { $_->response->{status} } @r;
        $seen{$status}++;
        push @wrong, "round $round: $status, owners: " . owners('relay')
            if owners('relay') < 1 || $status !~ /200/ || $status =~ /5/;
    }
    is_deeply \@wrong, [], 'somebody owns it, forty times';
    note join ', ', map { "$_: $seen{$_}" } sort keys %seen;
};

# The last moment before somebody has it: either they get it, and it stays, or
# it is gone, and they don't.
subtest 'deleted and given at once' => sub {
    my $temp = $s->hire('tempo', 'acme', 'member');
    $s->hire('tess', 'acme', 'tenant_admin'); # an owner's row is locked by both
    $s->token('tess');
    my (@wrong, %seen);
    for my $round (1 .. 40) {
        my $role = define('alice', "brief$round", 'tenon.member:read')->json;
        my ($gone, $given) = map { my $c = $s->connect; $c->write($_); $c } (
            $s->bytes(DELETE => "roles/$role->{id}", as => 'tess'),
            $s->bytes(PATCH => "members/$temp->{id}", as => 'bob',
                      json => { role => "brief$round" }));
        my $status = join ' ', map { $_->response->{status} } $gone, $given;
        $seen{$status}++;
        push @wrong, "round $round: $status"
            if $status !~ /\A(?:204 422|409 200)\z/;
        give('alice', $temp->{id}, 'member');
        $s->request(DELETE => "roles/$role->{id}", as => 'alice');
    }
    is_deeply \@wrong, [], 'one of both';
    note join ', ', map { "$_: $seen{$_}" } sort keys %seen;
};

# The same with who gives it held up behind the decision, where luck seldom
# stops them: nobody writes events, so neither ends.
subtest 'deleted while it is being given' => sub {
    $s->psql("alter role tenon_api set lock_timeout = '4s'");
    my %old = map { $_ => 1 } $s->workers;
    $s->reload;
    ok $s->wait_until(10, sub { !grep { $old{$_} } $s->workers }),
        'workers that wait longer for a lock';
    my $waiting = sub {
        my ($n) = @_;
        return $s->wait_until(4, sub { $n == $s->psql(
            "select count(*) from pg_stat_activity
              where usename = 'tenon_api' and wait_event_type = 'Lock'") });
    };
    my $temp = $s->hire('temple', 'acme', 'member');
    my $role = define('alice', 'sudden', 'tenon.member:read')->json;
    status_is $s->request(GET => 'me', as => $_), 200, "$_ is known"
        for qw(tess bob);
    my ($give, $delete) = map { $s->connect } 1, 2;

    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        eval { $s->psql('set application_name = holder; begin;
                         lock table tenon.event in share mode;
                         select pg_sleep(20); commit') };
        POSIX::_exit(0);
    }
    ok $s->wait_until(5, sub { $s->psql(
        "select count(*) from pg_locks l join pg_stat_activity a using (pid)
          where a.application_name = 'holder' and l.granted
            and l.relation = 'tenon.event'::regclass") }), 'no event is written';
    $give->write($s->bytes(PATCH => "members/$temp->{id}", as => 'bob',
                           json => { role => 'sudden' }));
    ok $waiting->(1), 'who gives it waits';
    $delete->write($s->bytes(DELETE => "roles/$role->{id}", as => 'tess'));
    ok $waiting->(2), 'so does who deletes it';
    $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
               where application_name = 'holder'");
    waitpid $pid, 0;
    is join(' ', map { $_->response->{status} } $give, $delete), '200 409',
        'it is given, and stays';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
