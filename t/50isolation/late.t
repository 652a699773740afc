#!/usr/bin/perl

# What is taken from somebody while the body of a request of theirs is still
# coming is taken from that request, too, on every worker; and who makes an API
# key while all that they have is revoked has none behind it.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my @workers = $s->workers;
my $project = $s->request(POST => 'projects', as => 'alice',
                          json => { name => 'late' })->json;

# A request on each worker whose body lacks its last byte.
sub hold {
    my ($what, %o) = @_;
    my %body = (
        'a key' => ['api-keys', { name => 'held',
            scopes => ['tenon.member:read'] }],
        'an invitation' => ['invitations', { email => 'held@example.com',
            role => 'member' }],
        'an organization' => ['tenants', { name => 'Held',
            slug => "held-$$" }],
        'a task' => ['tasks', { project_id => $project->{id},
            title => 'held' }],
        'a login' => ['auth/login', { email => 'boss@sleeper.test',
            password => $s->password }],
    );
    my ($path, $json) = @{ $body{$what} };
    my $bytes = $s->bytes(POST => $path, %o, json => $json,
                          proven => scalar $path =~ /keys|tenants/);
    my ($all, $last) = $bytes =~ /\A(.*)(.)\z/s;
    my @c = map {
        my $pid = $_;
        $s->alone($pid, sub {
            my $c = $s->connect;
            $c->request(GET => '/live', host => 'tenon.localhost');
            return $c;
        })
    } @workers;
    $_->write($all) for @c;
    return sub {
        $_->write($last) for @c;
        return map { $_->response } @c;
    };
}

sub told { return map { "$_->{status} " . ($_->json->{code} // '-') } @_ }

sub post {
    my ($path, $json, %o) = @_;
    return $s->request(POST => $path, json => $json, at => 'acme', %o);
}

sub reset_password {
    my ($p) = @_;
    post('auth/password/forgot', { email => $p->{email} });
    return post('auth/password/reset', {
        token => $s->mailed($p->{email}, 'reset'),
        password => 'another horse entirely' });
}

# They wait while others are held, and a while longer: a body is late behind a
# second, and the last of them may not have been looked at at once.
my $victim = $s->hire('victim', 'acme', 'owner');
my $erin = $s->hire('erin', 'acme', 'admin');
my $leaver = $s->hire('leaver', 'acme', 'member');
my $sleeper = $s->found('sleeper');
$s->hire('boss', 'sleeper', 'owner');
my %held = (
    nothing => { 'a task' => hold('a task', as => 'carol') },
    reset   => { map { ($_ => hold($_, as => 'victim')) } 'a key',
                 'an invitation', 'an organization', 'a task' },
    role    => { 'an invitation' => hold('an invitation', as => 'erin') },
    member  => { 'a task' => hold('a task', as => 'leaver') },
    tenant  => { 'a login' => hold('a login', at => 'sleeper'),
                 map { ($_ => hold($_, as => 'boss')) } 'an invitation',
                 'a key' },
);
sleep 3;

sub all_of {
    my ($group, $want, $name) = @_;
    for my $what (sort keys %{ $held{$group} }) {
        is_deeply [told($held{$group}{$what}->())], [($want) x @workers],
            "$what: $name";
    }
    return;
}

subtest 'nothing' => sub {
    all_of(nothing => '201 -', 'is made, as late as it is');
};

subtest 'all sessions, by a reset' => sub {
    status_is reset_password($victim), 204, 'the victim resets the password';
    all_of(reset => '401 unauthenticated', 'isn\'t made behind it');
    for (['api_key', 'created_by'], ['invitation', 'invited_by'],
         ['tenant', 'created_by']) {
        my ($table, $by) = @$_;
        is $s->psql("select count(*) from tenon.$table
                      where $by = '$victim->{user_id}'"), 0, "no $table";
    }
};

subtest 'a role' => sub {
    status_is $s->request(PATCH => "members/$erin->{id}", as => 'alice',
                          json => { role => 'member' }), 200, 'is taken';
    all_of(role => '403 forbidden', 'who lost it invites nobody');
};

subtest 'a membership' => sub {
    status_is $s->request(DELETE => "members/$leaver->{id}", as => 'alice'),
        204, 'ends';
    all_of(member => '401 unauthenticated', 'goes with it');
    is $s->psql("select count(*) from teamos.task
                  where created_by = '$leaver->{user_id}'"), 0,
        'no row is written';
};

subtest 'an organization' => sub {
    status_is $s->request(POST => "platform/tenants/$sleeper/suspend",
                          as => 'root'), 200, 'is suspended';
    all_of(tenant => '403 tenant_inactive', 'is nothing to go on with');
};

# Held up in the database: the key is begun while the revocation has been made
# and is not committed yet.
subtest 'a key made at that moment' => sub {
    my $p = $s->hire('moment', 'acme', 'admin');
    $s->token('moment');
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        eval { $s->psql("
            begin;
            select set_config('tenon.realm', realm_id::text, true),
                   set_config('tenon.tenant', tenant_id::text, true)
              from tenon.tenant where slug = 'acme';
            select from tenon.\"user\" where id = '$p->{user_id}'
               for no key update;
            select tenon.end_sessions(realm_id, id, null, 'test'),
                   tenon.revoke_api_keys(realm_id, id, 'test')
              from tenon.\"user\" where id = '$p->{user_id}';
            select pg_sleep(0.5);
            commit") };
        POSIX::_exit(0);
    }
    ok $s->wait_until(5, sub { $s->psql("
        select count(*) from pg_stat_activity
         where query like '%pg_sleep(0.5)%' and pid <> pg_backend_pid()
           and wait_event = 'PgSleep'") }), 'all that they have is revoked';
    problem_is $s->request(POST => 'api-keys', as => 'moment', proven => 1,
        json => { name => 'late', scopes => ['tenon.member:read'] }),
        401, 'unauthenticated', 'the key is refused';
    waitpid $pid, 0;
    is $s->psql("select count(*) from tenon.api_key
                  where created_by = '$p->{user_id}'"), 0, 'there is none';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
