#!/usr/bin/perl

# nginx's own limits and logs know the tenant: the module finds it out before
# limit_req looks.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP qw(decode_json);
use POSIX ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $burst = 5;
my $s = TenonServer->new(
    http   => 'limit_req_zone $tenon_tenant zone=few:1m rate=1r/m;
               limit_req_zone $member_of zone=members:1m rate=1r/m;
               limit_req_zone $stranger zone=strangers:1m rate=1r/m;',
    server => "location /few/ { tenon;
                                 limit_req zone=few burst=$burst nodelay; }
               location /split/ { tenon;
                                 limit_req zone=members burst=$burst nodelay;
                                 limit_req zone=strangers burst=50 nodelay; }",
);
my $allowed = $burst + 1;
my $get = sub {
    my ($who, %o) = @_;
    return $s->request(GET => '/few/v1/me', as => $who, %o);
};

$s->token($_) for qw(alice bob carol dave);

status_is $get->('alice'), 200, "request $_ of acme" for 1 .. $allowed;

my $r = $get->('alice');
problem_is $r, 429, 'rate_limited', 'one more is refused';
like $r->header('Retry-After'), qr/\A[1-9]\d*\z/, 'and told when to retry';

problem_is $get->('bob'), 429, 'rate_limited',
    'so is everybody else of acme';
problem_is $get->('alice', headers => ['Tenon-Tenant' => 'acme'],
                  host => 'tenon.localhost'), 429, 'rate_limited',
    'whichever way acme is named';
status_is $get->('dave'), 200, 'globex has a limit of its own';
status_is $s->request(GET => 'me', as => 'alice'), 200,
    'and the other location another';

# The two maps of conf.example/.
subtest 'strangers take nothing from a tenant' => sub {
    my $ask = sub { return $s->request(GET => '/split/v1/me', @_) };
    my %flood = (none => [], bad => [token => 'garbage'],
                 unknown => [at => 'nobody-has-this-name'],
                 guest => [token => $s->token('dave'), at => 'acme',
                           headers => ['Tenon-Tenant' => 'globex']]);
    my %answers;
    for my $n (1 .. 30) {
        $answers{$_}{ $ask->(@{ $flood{$_} })->{status} }++
            for sort keys %flood;
    }
    is_deeply [sort keys %{ $answers{$_} }],
        [$_ eq 'unknown' ? 404 : $_ eq 'guest' ? 403 : 401, 429], "$_: limited by address"
        for sort keys %flood;

    status_is $ask->(as => 'alice'), 200, "request $_ of acme" for 1 .. $allowed;
    problem_is $ask->(as => 'bob'), 429, 'rate_limited', 'one more is refused';
    status_is $ask->(as => 'dave'), 200, 'globex has a limit of its own';

    my $c = $s->connect('127.0.0.2');
    is $c->request(GET => '/split/v1/me', host => 'acme.tenon.localhost')
         ->{status}, 401, 'and another address too';
};

subtest 'a refused POST takes its body with it' => sub {
    my $c = $s->connect;
    $c->write($s->bytes(POST => '/few/v1/tasks', as => 'alice',
                        body => $s->bytes(GET => 'me', as => 'alice')));
    problem_is $c->response, 429, 'rate_limited', 'a 429';
    $c->write($s->bytes(GET => 'tenant', as => 'alice'));
    is $c->response->json->{slug}, 'acme', "the next request's own answer";
};

# A flood of what isn't allowed must not become a flood of events.
subtest 'all workers count together what a member is refused' => sub {
    my @children;
    for (1 .. 4) {
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            $s->request(GET => 'audit/events', as => 'carol') for 1 .. 26;
            POSIX::_exit(0);
        }
        push @children, $pid;
    }
    waitpid $_, 0 for @children;

    is $s->psql("
        select string_agg(n::text, ' ' order by n)
          from (select (b.metadata->>'attempts')::int as n
                  from tenon.event e
                  join tenon.event_body b on b.event_id = e.id
                 where e.outcome = 'refused'
                   and b.metadata->>'code' = 'forbidden') x"),
        '1 2 3 4 5 6 7 8 9 10 100', 'of 104 refusals 11 are written down';
};

subtest 'the access log tells who' => sub {
    my $id = $s->request(GET => 'me', as => 'dave')->json->{id};
    my $trace = '0af7651916cd43dd8448eb211c80319c';
    my @trace = (traceparent => "00-$trace-b7ad6b7169203331-01");
    my $r = $s->request(GET => 'tasks', as => 'dave', headers => [
                            'X-Request-Id' => 'find-me', @trace]);
    my $seek = sub {
        my ($request_id) = @_;
        open my $in, '<', $s->access_log or die "access log: $!\n";
        my ($row) = grep { $_->{request_id} eq $request_id }
            map { decode_json($_) } <$in>;
        return $row || {};
    };
    ok $s->wait_until(2, sub { %{ $seek->('find-me') } }), 'by request id';
    my $row = $seek->('find-me');
    is $row->{tenant}, 'globex', 'tenant';
    is $row->{user}, $id, 'user';
    is "$row->{status} $row->{method} $row->{path}", '200 GET /api/v1/tasks',
        'status, method, path';
    is $row->{trace_id}, $trace, 'trace';
    like $row->{duration}, qr{\A\d+(?:\.\d+)?\z}, 'duration';

    $s->request(GET => 'tasks', at => 'acme', token => 'garbage',
                headers => ['X-Request-Id' => 'a-refusal']);
    $s->wait_until(2, sub { %{ $seek->('a-refusal') } });
    $row = $seek->('a-refusal');
    is "$row->{status} $row->{tenant} [$row->{user}]", '401 acme []',
        'refused: the tenant, and nobody';
    is $row->{trace_id}, '', 'of no trace';

    $s->request(GET => '/few/v1/me', as => 'alice',
                headers => ['X-Request-Id' => 'too-many', @trace]);
    $s->wait_until(2, sub { %{ $seek->('too-many') } });
    $row = $seek->('too-many');
    is "$row->{status} $row->{tenant}", '429 acme', 'limited: the tenant';
    is $row->{trace_id}, $trace, 'and the trace';

    $s->request(GET => 'me', as => 'dave', headers => [
                    'X-Request-Id' => 'no-trace',
                    traceparent => "00-$trace\"x-b7ad6b7169203331-01"]);
    $s->wait_until(2, sub { %{ $seek->('no-trace') } });
    is $seek->('no-trace')->{trace_id}, '', 'one that is none is not logged';
};

done_testing;
