#!/usr/bin/perl

# What the audit log tells of those who were refused, and how it is asked: an
# attack is told without becoming a flood of writes.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $nobody = '01900000-7777-7000-8000-0123456789ab';
my %user = map { $_ => $s->request(GET => 'me', as => $_)->json->{id} }
    qw(alice bob carol dave);

sub events {
    my ($query, $who) = @_;
    my @events;
    my $path = "audit/events?limit=100&$query";
    while (defined $path) {
        my $r = $s->request(GET => $path, as => $who // 'alice');
        die "$path: $r->{body}\n" if $r->{status} != 200;
        push @events, @{ $r->json->{data} };
        ($path) = map { /<(.*)>; rel="next"/ } $r->headers('Link');
    }
    return @events;
}

my ($alices) = grep { $_->{created_by} eq $user{alice} }
    @{ $s->request(GET => 'tasks?limit=100', as => 'alice')->json->{data} };

subtest 'a refused attempt is an event' => sub {
    my %action = (
        'PATCH tenant'       => ['tenant.updated', undef,
                                 PATCH => 'tenant', json => {}],
        'DELETE tenant'      => ['tenant.deleted', undef, DELETE => 'tenant'],
        'POST invitations'   => ['member.invited', undef,
                                 POST => 'invitations', json => {}],
        "alice's task"       => ['task.updated', $alices->{id},
                                 PATCH => "tasks/$alices->{id}",
                                 json => { title => 'mine' }],
        "alice's task, gone" => ['task.deleted', $alices->{id},
                                 DELETE => "tasks/$alices->{id}"],
    );
    for my $name (sort keys %action) {
        my ($action, $row, @request) = @{ $action{$name} };
        my $id = 'refused-' . ($name =~ tr/A-Za-z/-/cr);
        problem_is $s->request(@request, as => 'carol', headers =>
                               ['X-Request-Id' => $id,
                                'User-Agent' => 'audit.t']),
            403, 'forbidden', $name;
        my @events = events("request_id=$id");
        is @events, 1, 'one event' or next;
        my ($e) = @events;
        is_deeply [@$e{qw(action outcome resource_id before after)}],
            [$action, 'refused', $row, undef, undef], 'what was tried';
        is_deeply $e->{actor}, { type => 'user', id => $user{carol},
                                 impersonator => undef }, 'by whom';
        is_deeply [@$e{qw(ip user_agent)}], ['127.0.0.1', 'audit.t'],
            'from where';
        like $e->{metadata}{attempts}, qr/\A[1-9]\d*\z/, 'which attempt';
    }

    # A row that carol can't see is not named.
    $s->request(PATCH => "members/$nobody", as => 'carol',
                json => { role => 'admin' },
                headers => ['X-Request-Id' => 'refused-nobody']);
    is_deeply [map { $_->{resource_id} } events('request_id=refused-nobody')],
        [undef], 'what is not there is not named';
};

subtest 'the last owner who would go' => sub {
    my ($alice) = grep { $_->{user_id} eq $user{alice} }
        @{ $s->request(GET => 'members', as => 'alice')->json->{data} };
    problem_is $s->request(DELETE => "members/$alice->{id}", as => 'alice',
                           headers => ['X-Request-Id' => 'last-owner']),
        409, 'last_owner', 'is refused';
    is_deeply [map { [@$_{qw(action outcome resource_id)}, $_->{metadata}{code}] }
               events('request_id=last-owner')],
        [['member.removed', 'refused', $alice->{id}, 'last_owner']],
        'and that is written down';
};

subtest 'a token of elsewhere' => sub {
    problem_is $s->request(GET => 'tasks', as => 'dave', at => 'acme',
                           headers => ['X-Request-Id' => 'mismatch-1']),
        403, 'tenant_mismatch', "dave at acme's";
    my @told = events('request_id=mismatch-1', 'dave');
    is_deeply [map { "$_->{outcome} $_->{actor}{id}" } @told],
        ["refused $user{dave}"], 'is told to the organization he belongs to';
    is_deeply [events('request_id=mismatch-1')], [],
        'which the other learns nothing of';
};

subtest 'a flood is counted, not written' => sub {
    $s->hire('mallory', 'acme', 'member');
    my $id = $s->request(GET => 'me', as => 'mallory')->json->{id};
    my $c = $s->connect;
    my $bytes = $s->bytes(DELETE => 'tenant', as => 'mallory');
    my %answer;
    for (1 .. 20) {
        $c->write($bytes x 50);
        $answer{ $c->response->{status} }++ for 1 .. 50;
    }
    is_deeply \%answer, { 403 => 1000 }, '1,000 refusals';
    my @events = grep { $_->{outcome} eq 'refused' } events("actor=$id");
    cmp_ok scalar @events, '<=', 13, 'are few events';
    is_deeply [sort { $a <=> $b } map { $_->{metadata}{attempts} } @events],
        [1 .. 10, 100, 1000], 'the first ten, then powers of ten';
    problem_is $s->request(PATCH => 'tenant', as => 'mallory', json => {}),
        403, 'forbidden', 'something else of hers';
    is_deeply [map { $_->{metadata}{attempts} }
               events("actor=$id&outcome=refused&action=tenant.updated")],
        [1], 'is not lost in the noise';
    problem_is $s->request(DELETE => 'tenant', as => 'carol'), 403,
        'forbidden', "carol's attempt";
    is((events("actor=$user{carol}&outcome=refused&action=tenant.deleted"))
       [0]{metadata}{attempts} < 100, 1, 'is counted by itself');
};

subtest 'failed logins' => sub {
    $s->hire('victor', 'acme', 'member');
    my $fail = sub {
        return $s->request(POST => 'auth/login', at => 'acme', json => {
            email => $_[0], password => 'wrong horse' });
    };
    my $attempts = sub {
        my @events = events('outcome=failure');
        return [sort { $a <=> $b } map { $_->{metadata}{attempts} } @events];
    };

    problem_is $fail->('victor@acme.test'), 401, 'invalid_credentials',
        'a guess';
    $fail->('victor@acme.test') for 2 .. 30;
    is_deeply $attempts->(), [1 .. 10], '30 guesses at one address, ten events';

    # Whether anybody has the address makes no difference. Addresses share a
    # few counters; one of these has another than victor's.
    for my $nobody (1 .. 5) {
        $fail->("nobody$nobody\@acme.test") for 1 .. 12;
        last if @{ $attempts->() } > 10;
    }
    is_deeply $attempts->(), [sort { $a <=> $b } (1 .. 10) x 2],
        'as many of an address that nobody has';

    my @events = events('outcome=failure');
    is_deeply [grep { $_->{actor}{type} ne 'anonymous' } @events], [],
        'of nobody known';
    my $text = join ' ', map { JSON::PP->new->canonical->encode($_) } @events;
    unlike $text, qr/wrong horse/, 'without the password';
    is_deeply [events('outcome=failure', 'dave')], [],
        'another organization has none of it';
};

subtest 'filters' => sub {
    my @all = events('');
    my $same = sub {
        my ($query, $keep) = @_;
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        my @want = map { $_->{id} } grep { $keep->($_) } @all;
        my %of = map { $_->{id} => 1 } @all;
        is_deeply [grep { $of{$_} } map { $_->{id} } events($query)], \@want,
            "$query: " . @want;
        cmp_ok scalar @want, '<', scalar @all, '... some';
        return;
    };
    my @bob = map { $s->request(POST => 'projects', as => 'bob',
                                json => { name => "audit $_" })->json } 1, 2;
    status_is $s->request(PATCH => "projects/$bob[0]{id}", as => 'alice',
                          json => { name => 'audited' }), 200, 'a change';
    @all = events('');

    $same->("actor=$user{bob}",
            sub { ($_[0]{actor}{id} // '') eq $user{bob} });
    $same->('action=project.created',
            sub { $_[0]{action} eq 'project.created' });
    $same->('action=project.created,project.updated',
            sub { $_[0]{action} =~ /^project\.(?:cre|upd)ated$/ });
    $same->('resource=teamos.project',
            sub { ($_[0]{resource} // '') eq 'teamos.project' });
    $same->("resource_id=$bob[0]{id}",
            sub { ($_[0]{resource_id} // '') eq $bob[0]{id} });
    $same->('outcome=refused', sub { $_[0]{outcome} eq 'refused' });
    $same->("outcome=success&actor=$user{alice}&action=project.updated",
            sub { $_[0]{action} eq 'project.updated' });
    my $at = $all[3]{at};
    $same->("at[gt]=$at", sub { $_[0]{at} gt $at });
    $same->("at[lte]=$at", sub { $_[0]{at} le $at });
    $same->("at[gte]=$at&outcome[ne]=success",
            sub { $_[0]{at} ge $at && $_[0]{outcome} ne 'success' });

    is_deeply [map { $_->{id} } reverse events('sort=at')],
        [map { $_->{id} } events('')], 'sort=at';
    for my $case (['actor=x', actor => 'bad_format'],
                  ['outcome=maybe', outcome => 'not_in_set'],
                  ['resource_id=7', resource_id => 'bad_format'],
                  ['at[gte]=now', 'at[gte]' => 'bad_format']) {
        my ($query, @fault) = @$case;
        problem_is $s->request(GET => "audit/events?$query", as => 'alice'),
            400, 'invalid_parameter', $query, @fault;
    }
    for my $query ('ip=127.0.0.1', 'tenant_id=x', 'metadata=x', 'version=1') {
        is_deeply [problem_faults($s->request(
            GET => "audit/events?$query", as => 'alice'),
            400, 'unknown_parameter')], [], "no filter: $query";
    }
};

subtest 'every change has its event, every event its change' => sub {
    for my $table (qw(project task comment)) {
        is $s->psql("
            select count(*) from teamos.$table t
             where created_at > now() - interval '1 hour' and not exists (
                   select from tenon.event e
                    where e.tenant_id = t.tenant_id and e.resource_id = t.id
                      and e.version = t.version)
               and created_by <> all ('{$user{dave}}')"),
            0, "$table: rows without the event of their version";
        is $s->psql("
            select count(*) from tenon.event e
             where e.resource = 'teamos.$table' and e.outcome = 'success'
               and not exists (select from teamos.$table t
                                where t.tenant_id = e.tenant_id
                                  and t.id = e.resource_id
                                  and t.version >= e.version)"),
            0, "$table: events without a change";
    }
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
