#!/usr/bin/perl

# Lists against the database: every way to filter answers just the rows that a
# plain query answers.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonServer ();

my $server = TenonServer->new;
my $acme   = "tenant_id = (select tenant_id from tenon.tenant "
    . "where slug = 'acme') and deleted_at is null";

my ($middle) = $server->psql("select to_char(created_at at time zone 'UTC', "
    . q{'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')}
    . " from teamos.task where $acme order by created_at offset 4 limit 1");

for (
    ['status=todo'             => "status = 'todo'"],
    ['status=todo,done'        => "status in ('todo', 'done')"],
    ['status[ne]=todo'         => "status <> 'todo'"],
    ['priority=high,urgent&status=todo,in_progress' =>
        "priority in ('high', 'urgent') and status in ('todo', 'in_progress')"],
    ["created_at[gt]=$middle"  => "created_at > '$middle'"],
    ["created_at[gte]=$middle" => "created_at >= '$middle'"],
    ["created_at[lt]=$middle"  => "created_at < '$middle'"],
    ["created_at[lte]=$middle" => "created_at <= '$middle'"],
    ["created_at=$middle"      => "created_at = '$middle'"],
    ['assignee_id[ne]=01900000-000a-7000-8000-000000000203' =>
        "assignee_id is distinct from '01900000-000a-7000-8000-000000000203'"],
    ['project_id=01900000-000a-7000-8000-000000000401,'
        . '01900000-000a-7000-8000-000000000402' =>
        "project_id in ('01900000-000a-7000-8000-000000000401', "
        . "'01900000-000a-7000-8000-000000000402')"],
) {
    my ($query, $where) = @$_;
    my $r = $server->request(GET => "tasks?$query", as => 'alice');
    is $r->{status}, 200, $query;
    is_deeply [map { $_->{id} } @{ $r->json->{data} }],
        [split /\n/, $server->psql(
            "select id from teamos.task where $acme and $where "
            . 'order by created_at desc, id desc')],
        '... answers those rows, newest first';

    # and a row at a time through cursors
    my @ids;
    my $cursor = '';
    for (1 .. 20) {
        my $page = $server->request(
            GET => "tasks?$query&limit=1$cursor", as => 'alice')->json;
        push @ids, map { $_->{id} } @{ $page->{data} };
        last if !defined $page->{next_cursor};
        $cursor = "&cursor=$page->{next_cursor}";
    }
    is_deeply \@ids, [map { $_->{id} } @{ $r->json->{data} }],
        '... also page by page';
}

my $r = $server->request(GET => 'tasks?fields=id,title&limit=2', as => 'alice');
is_deeply [map { join ' ', sort keys %$_ } @{ $r->json->{data} }],
    ['id title', 'id title'], 'fields= answers exactly those';

$r = $server->request(GET => 'audit/events?at[gte]=2000-01-01T00:00:00Z&limit=1',
                      as => 'alice');
is scalar @{ $r->json->{data} }, 1, 'events by time';

done_testing;
