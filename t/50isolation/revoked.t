#!/usr/bin/perl

# What somebody may no longer do, they can't at the next request, on every
# worker: a role is taken, a membership ends, an organization is deleted, a
# session is closed; though each worker knew them a moment before. Nobody else
# loses anything.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $rounds = 10;
my $s = TenonServer->new;
my @workers = $s->workers;

# A connection that this worker serves.
my %at = map {
    my $pid = $_;
    ($pid => $s->alone($pid, sub {
        my $c = $s->connect;
        $c->request(GET => '/live', host => 'tenon.localhost');
        return $c;
    }))
} @workers;

sub ask {
    my ($pid, $method, $path, %o) = @_;
    $at{$pid}->write($s->bytes($method, $path, %o));
    return $at{$pid}->response;
}

# What each worker answers to the same, in their order.
sub everywhere {
    my (@request) = @_;
    return join ' ', map { ask($_, @request)->{status} } @workers;
}

sub all_say { return join ' ', ($_[0]) x @workers }

# By one worker after the other, so that the others have to be told.
sub by_turns {
    my ($round, @request) = @_;
    return ask($workers[$round % @workers], @request);
}

subtest 'a role' => sub {
    my $erin = $s->hire('erin', 'acme', 'admin');
    my @log = (GET => 'audit/events?limit=1', as => 'erin');
    my @seen;
    for my $round (1 .. $rounds) {
        for my $case ([member => 403], [admin => 200]) {
            my ($role, $status) = @$case;
            my $r = by_turns($round, PATCH => "members/$erin->{id}",
                             as => 'alice', json => { role => $role });
            push @seen, "$round: $role: $r->{status} $r->{body}"
                if $r->{status} != 200;
            my $got = everywhere(@log);
            push @seen, "$round, as $role: $got"
                if $got ne all_say($status);
        }
    }
    is_deeply \@seen, [], "is lost and won at once, $rounds times";
    is everywhere(GET => 'audit/events?limit=1', as => 'bob'), all_say(200),
        'and bob is an admin as before';
};

# A role of the tenant's own loses a permission, and gets it back; and one whose
# role is such a one is given another.
subtest 'a permission' => sub {
    my %body = (name => 'auditor', title => 'Auditor', permissions => [
        { permission => 'tenon.audit_event:read' },
        { permission => 'tenon.member:read' }]);
    my $r = $s->request(POST => 'roles', as => 'alice', json => \%body);
    status_is $r, 201, 'a role is made';
    my $role = $r->json->{id};
    my $member = $s->hire('audrey', 'acme', 'member');
    my @log = (GET => 'audit/events?limit=1', as => 'audrey');
    my @seen;
    everywhere(@log);
    $r = by_turns(0, PATCH => "members/$member->{id}", as => 'alice',
                  json => { role => 'auditor' });
    status_is $r, 200, 'and given';
    is everywhere(@log), all_say(200), 'it holds at once';
    for my $round (1 .. $rounds) {
        for my $case ([1, 403], [0, 200]) {
            my ($from, $status) = @$case;
            $r = by_turns($round, PATCH => "roles/$role", as => 'alice',
                          json => { permissions => [
                              @{ $body{permissions} }[$from .. 1]] });
            push @seen, "$round: $r->{status} $r->{body}"
                if $r->{status} != 200;
            my $got = everywhere(@log);
            push @seen, "$round, from $from: $got" if $got ne all_say($status);
        }
    }
    is_deeply \@seen, [], "is lost and won at once, $rounds times";
    is everywhere(GET => 'members?limit=1', as => 'audrey'), all_say(200),
        'what it holds besides stays';
    is everywhere(GET => 'audit/events?limit=1', as => 'bob'), all_say(200),
        'and bob is an admin as before';
};

subtest 'a membership' => sub {
    my @seen;
    for my $round (1 .. $rounds) {
        my $member = $s->hire("guest$round", 'acme', 'member');
        my @me = (GET => 'me', as => "guest$round");
        my $got = everywhere(@me);
        push @seen, "$round, a member: $got" if $got ne all_say(200);
        my $by = $round % 2 ? 'bob' : "guest$round";
        my $r = by_turns($round, DELETE => "members/$member->{id}",
                         as => $by);
        push @seen, "$round: $r->{status} $r->{body}" if $r->{status} != 204;
        $got = everywhere(@me);
        push @seen, "$round, by $by: $got" if $got =~ /2/;
    }
    is_deeply \@seen, [], "ends at once, $rounds times";
    is everywhere(GET => 'me', as => 'carol'), all_say(200),
        'and carol is a member as before';
};

subtest 'a session' => sub {
    my @seen;
    for my $round (1 .. 3) {
        my @token = map { $s->login('carol')->json->{access_token} } 1, 2;
        everywhere(GET => 'me', at => 'acme', token => $_) for @token;
        by_turns($round, POST => 'auth/logout', at => 'acme',
                 token => $token[0]);
        my @got = map { everywhere(GET => 'me', at => 'acme', token => $_) }
            @token;
        push @seen, "@got" if "@got" ne all_say(401) . ' ' . all_say(200);
    }
    is_deeply \@seen, [], 'ends at once, and no other';
};

subtest 'an organization' => sub {
    my @seen;
    for my $round (1 .. 3) {
        my $slug = "gone-$round";
        $s->found($slug);
        $s->hire("boss$round", $slug, 'owner');
        $s->hire("clerk$round", $slug, 'member');
        my @people = ("boss$round", "clerk$round");
        everywhere(GET => 'me', as => $_) for @people;
        my $r = by_turns($round, DELETE => 'tenant', as => $people[0]);
        push @seen, "$r->{status} $r->{body}" if $r->{status} != 204;
        for my $who (@people) {
            for my $where ([], [host => 'tenon.localhost'],
                           [host => 'tenon.localhost',
                            headers => ['Tenon-Tenant' => $slug]]) {
                my $got = everywhere(GET => 'me', as => $who, @$where);
                push @seen, "$who @$where: $got" if $got =~ /2/;
            }
        }
        my $got = everywhere(POST => 'auth/login', at => $slug, json => {
            email => "boss$round\@$slug.test", password => $s->password });
        push @seen, "login: $got" if $got ne all_say(404);
    }
    is_deeply \@seen, [], 'takes its sessions along at once';
    is everywhere(GET => 'me', as => 'dave'), all_say(200),
        'and another stays';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
