#!/usr/bin/perl

# What a request says beside its body: conditions (If-Match, If-None-Match,
# a resource that demands one), methods (HEAD, OPTIONS, 405), and the ids that
# follow it (X-Request-Id, traceparent).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $nobody = '01900000-7777-7000-8000-0123456789ab';

sub alice { return $s->request(@_[0, 1], as => 'alice', @_[2 .. $#_]) }

my $project = alice(POST => 'projects', json => { name => 'If' })->json;
my $at = "projects/$project->{id}";

sub patched {
    my ($match, $json) = @_;
    return alice(PATCH => $at, json => $json || { name => 'If' },
                 headers => ['If-Match' => $match]);
}

sub version { return alice(GET => $at)->json->{version} }

subtest 'If-Match' => sub {
    for my $match ('"1"', 'W/"1"', '*', '"7", "1"', '"x", W/"1"', '"1" , "9"') {
        $s->psql("update teamos.project set version = 1
                   where id = '$project->{id}' and version <> 1");
        status_is patched($match), 200, "$match holds";
        is version(), 2, 'and the change is made';
    }
    for my $match ('"1"', '"7", "9"', '""', '"2', '2', 'W/2', 'w/"2"', '"02"',
                   '"+2"', '" 2"', '"2 "', "'2'", '"2.0"', '"-2"',
                   '"18446744073709551618"') {
        problem_is patched($match), 412, 'precondition_failed',
            "$match does not";
    }
    is version(), 2, 'nothing was changed';
    problem_is patched('"9"', { name => '', colour => 1 }), 422,
        'invalid_fields', 'the body is looked at first',
        '/name' => 'too_short', '/colour' => 'unknown_field';
    problem_is alice(PATCH => "projects/$nobody", json => {},
                     headers => ['If-Match' => '*']),
        404, 'not_found', '* of nothing';
    problem_is patched('"1"', {}), 412, 'precondition_failed',
        'an empty patch has a condition too';
    status_is patched('"2"', {}), 200, 'which may hold';
    problem_is alice(DELETE => $at, headers => ['If-Match' => '"1"']), 412,
        'precondition_failed', 'DELETE';

    my $tenant = alice(GET => 'tenant');
    problem_is alice(PATCH => 'tenant', json => { name => 'x' },
                     headers => ['If-Match' => '"99"']),
        412, 'precondition_failed', 'PATCH tenant';
    status_is alice(PATCH => 'tenant', json => { name => 'Acme' },
                    headers => ['If-Match' => $tenant->header('ETag')]),
        200, 'PATCH tenant by its ETag';
    problem_is alice(DELETE => 'tenant', headers => ['If-Match' => '"1"']),
        412, 'precondition_failed', 'DELETE tenant';
    my ($carol) = grep { $_->{email} eq 'carol@acme.test' }
        @{ alice(GET => 'members')->json->{data} };
    problem_is alice(DELETE => "members/$carol->{id}",
                     headers => ['If-Match' => '"99"']),
        412, 'precondition_failed', 'DELETE members';
    my $invited = alice(POST => 'invitations', json => {
        email => 'if@acme.test', role => 'member' })->json;
    problem_is alice(DELETE => "invitations/$invited->{id}",
                     headers => ['If-Match' => '"99"']),
        412, 'precondition_failed', 'DELETE invitations';
};

subtest 'If-None-Match' => sub {
    my $tag = alice(GET => $at)->header('ETag');
    for my $match ($tag, "W/$tag", '*', qq("x", $tag), qq("x",$tag , "y")) {
        my $r = alice(GET => $at, headers => ['If-None-Match' => $match]);
        status_is $r, 304, $match;
        is $r->{body}, '', 'no body';
        is $r->header('ETag'), $tag, 'the ETag';
        is $r->header('Cache-Control'), 'private, no-cache', 'Cache-Control';
        ok length $r->header('X-Request-Id'), 'X-Request-Id';
        is $r->header('Content-Type'), undef, 'of no type';
    }
    for my $match ('"1"', '"x"', $tag =~ s/"//gr, '') {
        next if $match eq $tag;
        status_is alice(GET => $at, headers => ['If-None-Match' => $match]),
            200, "'$match' is another";
    }
    for my $path (qw(me tenant)) {
        my $r = alice(GET => $path);
        my $again = alice(GET => $path, headers =>
                              ['If-None-Match' => $r->header('ETag')]);
        status_is $again, 304, "$path unchanged";
    }
    status_is alice(HEAD => $at, headers => ['If-None-Match' => $tag]), 304,
        'HEAD as well';
    problem_is alice(GET => "projects/$nobody",
                     headers => ['If-None-Match' => '*']),
        404, 'not_found', '* of nothing';
};

# An app of one table, in which nobody overwrites what they have not seen.
subtest 'a resource that demands If-Match' => sub {
    my $apps = $s->dir . '/apps';
    mkdir $_ for $apps, "$apps/strict";
    chmod 0755, $apps, "$apps/strict";
    open my $out, '>', "$apps/strict/10_all.sql" or die "$apps: $!\n";
    print {$out} <<'SQL';
create schema if not exists strict;
create table if not exists strict.page (
    tenant_id  uuid        not null,
    id         uuid        not null default tenon.uuid7(),
    text       text        not null,
    version    bigint      not null default 1,
    created_at timestamptz not null default now(),
    created_by uuid,
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    primary key (tenant_id, id));
select tenon.app_begin('strict');
select tenon.resource('strict.page', path => 'pages', soft_delete => true,
                      require_match => true);
select tenon.field('strict.page', 'text', min => 1, max => 100);
select tenon.allow('owner', 'page',
                   '{read,create,update,delete,restore,history}');
select tenon.app_end('strict');
SQL
    close $out or die "$apps: $!\n";
    $s->tenonctl('app load', 'strict', '--dir', $apps);
    $s->reload;
    my $r;
    ok $s->wait_until(5, sub {
        $r = alice(POST => 'pages', json => { text => 'first' });
        $r->{status} == 201;
    }), 'POST needs none' or diag $r->{body};
    $s->wait_until(5, sub { @{[$s->workers]} == 2 });
    my $page = 'pages/' . $r->json->{id};

    problem_is alice(PATCH => $page, json => { text => 'blind' }), 428,
        'precondition_required', 'PATCH without';
    problem_is alice(DELETE => $page), 428, 'precondition_required',
        'DELETE without';
    problem_is alice(POST => "$page/rollback", json => { version => 1 }), 428,
        'precondition_required', 'rollback without';
    problem_is alice(PATCH => $page, json => { text => 'blind' },
                     headers => ['If-Match' => '"7"']),
        412, 'precondition_failed', 'a wrong one';
    is alice(GET => $page)->json->{text}, 'first', 'nothing was changed';
    status_is alice(PATCH => $page, json => { text => 'second' },
                    headers => ['If-Match' => '"1"']), 200, 'the right one';
    status_is alice(POST => "$page/rollback", json => { version => 1 },
                    headers => ['If-Match' => '"2"']), 200, 'rollback';
    status_is alice(DELETE => $page, headers => ['If-Match' => '"3"']), 204,
        'DELETE';
    problem_is alice(POST => "$page/restore"), 428, 'precondition_required',
        'restore without';
    status_is alice(POST => "$page/restore",
                    headers => ['If-Match' => '"4"']), 200, 'restore';
};

subtest 'methods' => sub {
    my %allow = (
        'tasks'               => 'GET, HEAD, POST, OPTIONS',
        "$at"                 => 'GET, HEAD, PATCH, DELETE, OPTIONS',
        "$at/tasks"           => 'GET, HEAD, OPTIONS',
        "$at/history"         => 'GET, HEAD, OPTIONS',
        "$at/rollback"        => 'POST, OPTIONS',
        "$at/restore"         => 'POST, OPTIONS',
        'me'                  => 'GET, HEAD, PATCH, OPTIONS',
        'me/sessions'         => 'GET, HEAD, DELETE, OPTIONS',
        'auth/refresh'        => 'POST, OPTIONS',
        'me/tenants'          => 'GET, HEAD, OPTIONS',
        'tenant'              => 'GET, HEAD, PATCH, DELETE, OPTIONS',
        'tenants'             => 'POST, OPTIONS',
        'members'             => 'GET, HEAD, OPTIONS',
        "members/$nobody"     => 'GET, HEAD, PATCH, DELETE, OPTIONS',
        'invitations'         => 'GET, HEAD, POST, OPTIONS',
        "invitations/$nobody" => 'GET, HEAD, DELETE, OPTIONS',
        'auth/login'          => 'POST, OPTIONS',
        'auth/tenant'         => 'POST, OPTIONS',
        'audit/events'        => 'GET, HEAD, OPTIONS',
        'audit/access'        => 'GET, HEAD, OPTIONS',
        '/live'               => 'GET, HEAD, OPTIONS',
    );
    # Whatever the order in which a path's rows stand.
    my $sorted = sub { join ', ', sort split /, /, $_[0] // '' };
    for my $path (sort keys %allow) {
        my $want = $sorted->($allow{$path});
        my $r = $s->request(PUT => $path, at => 'acme', body => '{}');
        problem_is $r, 405, 'method_not_allowed', "PUT $path";
        is $sorted->($r->header('Allow')), $want, "$path: Allow of the 405";
        $r = $s->request(OPTIONS => $path, at => 'acme');
        status_is $r, 204, "OPTIONS $path, without a token";
        is $sorted->($r->header('Allow')), $want, "$path: Allow";
        is $r->{body}, '', "$path: no body";
    }
    is alice(PUT => 'tasks')->header('Allow'), 'GET, HEAD, POST, OPTIONS',
        'in this very form';
    problem_is $s->request(OPTIONS => 'nothing', at => 'acme'), 404,
        'not_found', 'OPTIONS of an unknown path';
    status_is $s->request(OPTIONS => 'tasks', at => 'nowhere'), 204,
        'OPTIONS asks for no tenant';
    problem_is $s->request($_ => 'tasks', at => 'acme'), 405,
        'method_not_allowed', $_ for qw(PATCH DELETE BREW);
    is $s->psql("select count(*) from teamos.task
                  where title = 'never'"), 0, 'nothing came of it';
};

subtest 'HEAD' => sub {
    for my $path ('tasks?limit=1', $at, 'me', 'tenant', 'members',
                  "$at/tasks", "$at/history", 'audit/events?limit=1',
                  "projects/$nobody") {
        my ($get, $head) = map { alice($_ => $path, headers => [fixed_id()]) }
            'GET', 'HEAD';
        is $head->{body}, '', "HEAD $path has no body";
        next if $path =~ /^audit/;
        my ($of_head, $of_get) = map {
            $_->{head} =~ s/^(?:Date|RateLimit): .*?\r\n//mgr } $head, $get;
        is $of_head, $of_get, 'and the same head as GET';
    }
    status_is alice(HEAD => 'auth/login'), 405, 'HEAD of a POST';
};

subtest 'request ids' => sub {
    for my $id ('abc', 'A-b_c.9', 'x' x 128,
                '8e03978e-40d5-43dd-bc93-6894a57f9324') {
        my $r = alice(GET => 'tenant', headers => ['X-Request-Id' => $id]);
        is $r->header('X-Request-Id'), $id, "taken: $id";
    }
    for my $id ('', 'x' x 129, 'a b', "a\tb", '<x>', 'a;b', '"a"', "\xc3\xa9",
                'a,b') {
        my $r = alice(GET => 'tenant', headers => ['X-Request-Id' => $id]);
        like $r->header('X-Request-Id'), qr/\A[0-9a-f-]{36}\z/,
            "made anew, not: $id";
        my @all = $r->headers('X-Request-Id');
        is @all, 1, 'and told once';
    }
    my $r = alice(POST => 'projects', json => { name => 'traced' },
                  headers => ['X-Request-Id' => 'trace-me-1']);
    my ($event) = @{ alice(GET => 'audit/events?request_id=trace-me-1')
                       ->json->{data} };
    is $event->{resource_id}, $r->json->{id}, 'the event has it';
    $r = alice(GET => 'nothing', headers => ['X-Request-Id' => 'trace-me-2']);
    is $r->json->{request_id}, 'trace-me-2', 'so has a problem';
    like do { local (@ARGV, $/) = $s->access_log; <> },
        qr/"request_id":"trace-me-2"/, 'and the access log';
};

subtest 'traceparent' => sub {
    my $trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    my $span = '00f067aa0ba902b7';
    for my $flags ('00', '01') {
        my $r = alice(GET => 'tenant', headers =>
                          [traceparent => "00-$trace-$span-$flags"]);
        my $back = $r->header('traceparent') // '';
        like $back, qr/\A00-$trace-[0-9a-f]{16}-$flags\z/, "flags $flags";
        unlike $back, qr/$span/, 'with a span of our own';
        unlike $back, qr/-0{16}-/, 'that is one';
    }
    my %seen = map { (alice(GET => 'tenant', headers =>
        [traceparent => "00-$trace-$span-01"])->header('traceparent') // '')
        => 1 } 1 .. 5;
    is keys %seen, 5, 'a new span each time';
    like do { local (@ARGV, $/) = $s->access_log; <> },
        qr/"trace_id":"$trace"/, 'the access log has the trace';

    for my $bad ("00-$trace-$span", '00-' . '0' x 32 . "-$span-01",
                 "00-$trace-" . '0' x 16 . '-01', "ff-$trace-$span-01",
                 uc "00-$trace-$span-01", "00-$trace-$span-01-x", 'x', '',
                 "00-$trace-${span}0-01", "00-$trace-$span-0g") {
        my $r = alice(GET => 'tenant', headers => [traceparent => $bad]);
        status_is $r, 200, "'$bad' is no reason to refuse";
        unlike $r->header('traceparent') // '', qr/$trace|x/,
            'but not passed on';
    }
    my $r = alice(GET => 'nothing', headers =>
                      [traceparent => "00-$trace-$span-01"]);
    like $r->header('traceparent') // '', qr/\A00-$trace-/,
        'a refusal is traced too';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
