#!/usr/bin/perl

# A zone too small for all that several people reach: what they reach gives way,
# and what has to last doesn't. They are served all the same.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;

use TenonCheck;
use TenonServer ();

# Some hundred cells; six people need 34 each, beside what everybody needs.
my $s = TenonServer->new(zone => '64k');
my @people = map { "far$_" } 1 .. 6;
$s->hire($_, 'acme', 'member') for @people;
$s->psql(q{
    begin;
    create temp table made as
    select tenon.uuid7() as id, n from generate_series(1, 1000) n;
    insert into tenon.account (tenant_id, id, parent_id, name)
    select t.tenant_id, made.id, case when made.n > 1 then top.id end,
           'A' || made.n
      from tenon.tenant t, made, made top
     where t.slug = 'acme' and top.n = 1
     order by made.n;
    insert into tenon.account_member (tenant_id, account_id, user_id, role)
    select m.tenant_id, made.id, m.user_id, 'account_user'
      from made, tenon.member m
      join tenon."user" u on u.id = m.user_id
     where made.n = 1 and u.email like 'far_@acme.test';
    commit});

sub forget {
    my $r = $s->request(POST => 'auth/password/forgot', at => 'acme',
                        json => { email => 'bob@acme.test' });
    status_is $r, 204, 'a token is asked for';
    return $s->mailed('bob@acme.test', 'reset');
}

my @sent = map { forget() } 1 .. 3;
is keys %{{ map { $_ => 1 } @sent }}, 3, 'three are sent';
is forget(), $sent[-1], 'no fourth one within a quarter of an hour';

my %status;
for my $round (1 .. 6) {
    for my $who (@people) {
        my $r = $s->request(GET => 'accounts?limit=1', as => $who);
        $status{"$r->{status} " . scalar @{ $r->json->{data} || [] }}++;
    }
}
is_deeply \%status, { '200 1' => 36 }, 'who reaches much is served';
is forget(), $sent[-1], 'and nobody has lost count';

my $log = do { local (@ARGV, $/) = $s->error_log; <> };
like $log, qr/tenon_zone "tenon" is full/, 'though the zone is full';

done_testing;
