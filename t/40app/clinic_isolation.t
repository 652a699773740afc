#!/usr/bin/perl

# Two practices share the clinic's tables. No endpoint of it, by any role, with
# any id, body, filter, search or query, shows one the other's rows, tells that
# they are there, or changes them; then once more with row-level security taken
# down, and PostgreSQL's part alone.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(apps => ['teamos', 'clinic']);
my $random = '01900000-7777-7000-8000-0123456789ab';
my $n = 0;
my $sent = 0;

my %side = (
    lakeside => { people => [qw(nora omar petra), undef], owner => 'nora' },
    hilltop  => { people => ['rosa', undef],              owner => 'rosa' },
);

sub id_of {
    my ($sql) = @_;
    return (split /\n/, $s->psql($sql))[0] // die "none: $sql\n";
}

# A row of each kind on both sides; texts that each can be known by.
for my $slug (sort keys %side) {
    my $side = $side{$slug};
    $side->{slug} = $slug;
    my $tenant = $side->{tenant} = id_of(
        "select tenant_id from tenon.tenant where slug = '$slug'");
    $side->{member} = id_of("select user_id from tenon.member
                              where tenant_id = '$tenant' order by 1");
    my $make = sub {
        my ($who, $path, %body) = @_;
        my $r = $s->request(POST => $path, as => $who, json => \%body);
        die "no $path: $r->{body}\n" if $r->{status} != 201;
        return $r->json->{id};
    };
    my $owner = $side->{owner};
    $s->hire("dr$slug", $slug, 'member');
    my $patient = $make->($owner, 'patients', name => "Common $slug",
                          birth_date => '1999-09-09',
                          record => { common => 'both', secret => $slug });
    my $visit = $make->($owner, 'visits', patient_id => $patient,
                        clinician_id => $side->{member},
                        starts_at => '2035-01-01T10:00:00Z');
    $side->{row} = {
        patients => $patient, visits => $visit,
        notes => $make->($owner, 'notes', visit_id => $visit,
                         content => "common note of $slug"),
        prescriptions => $make->("dr$slug", 'prescriptions',
            visit_id => $visit, medicine => "common of $slug", dose => 1),
    };
}

my @tables = split /\n/, $s->psql(
    "select c.oid::regclass from pg_class c
      where c.relnamespace = 'clinic'::regnamespace and c.relkind = 'r'
      order by 1");
cmp_ok scalar @tables, '==', 4, "tables: @tables";

sub digest {
    my ($side) = @_;
    return $s->psql(join ' union all ', map {
        "select '$_', count(*), md5(coalesce(string_agg(t::text, e'\\n'
                                                       order by t::text), ''))
           from $_ t where tenant_id = '$side->{tenant}'" }
        @tables, 'tenon.member');
}

# Every id of the tenant's rows.
sub ids {
    my ($side) = @_;
    return map { $_ => 1 } split /\n/, $s->psql(join ' union all ', map {
        "select id::text from $_ where tenant_id = '$side->{tenant}'" }
        @tables);
}

sub ask {
    my ($who, $side, $method, $path, %o) = @_;
    $sent++;
    return $s->request($method, $path, defined $who ? (as => $who) : (),
                       at => $side->{slug}, %o,
                       headers => [fixed_id(), @{ $o{headers} || [] }]);
}

# What an endpoint takes when all is right.
sub body {
    my ($side, $method, $kind, $tail) = @_;
    return () if $method eq 'GET' || $method eq 'DELETE' || $tail eq 'restore';
    return (json => { version => 1 }) if $tail eq 'rollback';
    return (json => { room => 'I' . ++$n }) if $tail eq 'check-in';
    return (json => { {patients => 'name', visits => 'reason',
                       notes => 'content', prescriptions => 'unit'}->{$kind}
                      => 'ml' });
}

sub try_ids {
    my ($who, $side, $other) = @_;
    my $name = $who // 'nobody';
    my @wrong;
    my $tried = 0;

    for my $endpoint ($s->endpoints) {
        my ($kind, $tail) = $endpoint->{path} =~
            m{\A/v1/(patients|visits|notes|prescriptions)/\{id\}/?(.*)} or next;
        my $method = $endpoint->{method};
        my @body = body($side, $method, $kind, $tail);
        for my $headers ([], ['If-Match' => '*'], ['If-Match' => '"1"'],
                         ['Idempotency-Key' => 'the same for all']) {
            next if @$headers && $method eq 'GET';
            my ($foreign, $absent) = map {
                ask($who, $side, $method,
                    "/api" . $endpoint->{path} =~ s/\{id\}/$_/r, @body,
                    headers => $headers)
            } $other->{row}{$kind}, $random;
            $tried++;
            my $what = "$endpoint->{name} @$headers: $foreign->{status}";
            push @wrong, $what if $foreign->{status} !~ /\A(?:40[134]|428)\z/;
            push @wrong, "$what differs: $foreign->{body} $absent->{body}"
                if $foreign->visible ne $absent->visible;
        }
    }
    is_deeply \@wrong, [], "$name: $tried requests, foreign as random";
    return;
}

sub try_bodies {
    my ($who, $side, $other) = @_;
    my $member = $other->{member};
    my $row = $other->{row};
    my $own = $side->{row};
    my %at = (clinician_id => $side->{member},
              starts_at => '2035-02-01T10:00:00Z');
    my @places = (
        ['visits', { %at, patient_id => $own->{patients} }, 'patient_id',
         $row->{patients}],
        ['visits', { %at, patient_id => $own->{patients} }, 'clinician_id',
         $member],
        ['notes', { content => 'x' }, 'visit_id', $row->{visits}],
        ['prescriptions', { medicine => 'x', dose => 1 }, 'visit_id',
         $row->{visits}],
    );
    my @wrong;
    for my $place (@places) {
        my ($path, $body, $field, $foreign) = @$place;
        my ($r, $absent) = map {
            ask($who, $side, POST => $path, json => { %$body, $field => $_ })
        } $foreign, $random;
        my $what = "POST $path $field: $r->{status} $r->{body}";
        push @wrong, $what if $r->{status} !~ /\A(?:401|403|422)\z/;
        push @wrong, "$what, differs" if $r->visible ne $absent->visible;
        $r = ask($who, $side, POST => $path, json => {
            %$body, $field => $_, tenant_id => $other->{tenant} })
            for $foreign;
        push @wrong, "tenant_id in $path: $r->{status} $r->{body}"
            if $r->{status} !~ /\A40[13]\z/ &&
               ($r->{status} != 422 || !grep { $_->{pointer} eq '/tenant_id' &&
                   $_->{code} eq 'read_only' } @{ $r->json->{errors} });
    }
    my $r = ask($who, $side, POST => "visits/$own->{visits}/check-in", json => {
        room => 'T1', tenant_id => $other->{tenant}, tenant => 'x' });
    push @wrong, "tenant_id in an action: $r->{status} $r->{body}"
        if $r->{status} !~ /\A(?:401|403|404|422)\z/;
    ($r, my $absent) = map {
        ask($who, $side, PATCH => "visits/$own->{visits}",
            json => { clinician_id => $_ })
    } $member, $random;
    push @wrong, "PATCH clinician_id: $r->{status} $r->{body}"
        if $r->{status} =~ /\A2/ || $r->visible ne $absent->visible;
    is_deeply \@wrong, [], ($who // 'nobody') . ': nothing points elsewhere';
    return;
}

# Every answer to a question, with no id and no text of the other side's.
sub try_lists {
    my ($who, $side, $other) = @_;
    my %foreign = ids($other);
    my $row = $other->{row};
    my $both = 'record[contains]=%7B%22common%22%3A%22both%22%7D';
    my $theirs = "record[contains]=%7B%22secret%22%3A%22$other->{slug}%22%7D";
    my @own = ('patients', 'patients?q=common', "patients?$both",
               "patients?$both&q=common", 'patients?birth_date=1999-09-09',
               'visits', 'notes', 'notes?q=common', 'prescriptions',
               'queries/day-plan?day=2035-01-01');
    my @none = ("patients?$theirs", "patients?q=common%20$other->{slug}",
                "visits?patient_id=$row->{patients}",
                "visits?clinician_id=$other->{member}",
                "notes?visit_id=$row->{visits}",
                "prescriptions?visit_id=$row->{visits}",
                "queries/day-plan?day=2035-01-01&clinician=$other->{member}");
    my @wrong;
    for my $path (@own, @none) {
        my $r = ask($who, $side, GET => $path);
        my $refused = $r->{status} =~ /\A40[13]\z/;
        push @wrong, "$path: $r->{status} $r->{body}"
            if $r->{status} != 200 && !$refused;
        push @wrong, "$path tells $_" for grep { $foreign{$_} }
            $r->{body} =~ /\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b/g;
        push @wrong, "$path tells a text" if $r->{body} =~ /$other->{slug}/;
        next if $refused;
        my $rows = @{ $r->json->{data} || [] };
        my $none = grep { $_ eq $path } @none;
        push @wrong, "$path: $rows rows" if $none && $rows;
        push @wrong, "$path: none" if !$none && !$rows &&
            ($who // '') eq $side->{owner};
    }
    if (defined $who) {
        my $r = ask($who, $side, GET => 'queries/day-plan?day=2035-01-01' .
                    "&tenant_id=$other->{tenant}");
        push @wrong, "a query with a tenant: $r->{status}"
            if $r->{status} != 400;
    }
    is_deeply \@wrong, [], ($who // 'nobody') . ': lists, searches, queries';
    return;
}

sub matrix {
    for my $slug (sort keys %side) {
        my $side = $side{$slug};
        my ($other) = grep { $_ != $side } values %side;
        my $before = digest($other);
        for my $who (@{ $side->{people} }) {
            try_ids($who, $side, $other);
            try_bodies($who, $side, $other);
            try_lists($who, $side, $other);
        }
        is digest($other), $before, "nothing of $other->{slug} has changed";
    }
    return;
}

subtest 'all walls up' => sub { matrix() };

subtest 'what one has is no hindrance to the other' => sub {
    for my $side (@side{qw(lakeside hilltop)}) {
        my $r = ask($side->{owner}, $side, POST => 'visits', json => {
            patient_id => $side->{row}{patients},
            clinician_id => $side->{member},
            starts_at => '2035-03-01T10:00:00Z' });
        status_is $r, 201, 'the same minute';
        status_is ask($side->{owner}, $side, POST => 'visits/' .
                      $r->json->{id} . '/check-in', json => {
                      room => 'SAME' }), 200, 'the same room';
    }
};

subtest 'a token is good at home' => sub {
    for my $path ("visits/$side{hilltop}{row}{visits}/check-in",
                  "visits/$random/check-in") {
        problem_is $s->request(POST => $path, at => 'hilltop',
                               token => $s->token('nora'),
                               json => { room => '1' }),
            403, 'tenant_mismatch', $path;
    }
    problem_is $s->request(GET => 'queries/day-plan?day=2035-01-01',
                           at => 'hilltop', token => $s->token('nora')),
        403, 'tenant_mismatch', 'for queries too';
};

subtest 'a key is nobody else\'s' => sub {
    my @key = ('Idempotency-Key' => 'check-in of both');
    for my $side (@side{qw(lakeside hilltop)}) {
        my $r = ask($side->{owner}, $side, POST => 'visits', json => {
            patient_id => $side->{row}{patients},
            clinician_id => $side->{member},
            starts_at => '2035-04-01T10:00:00Z' });
        $r = ask($side->{owner}, $side, POST => 'visits/' . $r->json->{id} .
                 '/check-in', headers => [@key], json => { room => 'KEY' });
        status_is $r, 200, 'it is new here';
        is $r->header('Idempotency-Replayed'), undef, 'not a replay';
    }
};

subtest 'PostgreSQL alone' => sub {
    my ($own, $other) = @side{qw(lakeside hilltop)};
    my $before = digest($other);
    my $as_api = sub {
        my ($tenant, $sql) = @_;
        return eval { $s->psql("
            begin;
            select set_config('tenon.tenant', '$tenant', true);
            $sql; commit", role => 'tenon_api') } // $@;
    };
    for my $call (
        "clinic.check_in('$other->{row}{visits}', 'Z9')",
        "clinic.day_plan('2035-01-01')",
        "clinic.waiting_times('2035-01-01')") {
        like $as_api->($other->{tenant}, "select 'got', * from $call"),
            qr/\b42501\b/, "not past the wrapper: $call";
    }
    for my $tenant ($own->{tenant}, '') {
        my $whose = $tenant ? 'the other' : 'no tenant';
        unlike $as_api->($tenant, "select 'got', (t).id from
            clinic.visit_check_in_action('$other->{row}{visits}', 'Z9', null)
            as t"), qr/got\|[0-9a-f]/, "$whose: an action finds no row";
        unlike $as_api->($tenant, "select 'got', t.visit_id from
            clinic.day_plan_query('2035-01-01', '$other->{member}') as t"),
            qr/got/, "$whose: nor a query";
        unlike $as_api->($tenant, "select 'got', f from
            clinic.patient_record_contains('{\"secret\":\"hilltop\"}') as f"),
            qr/got/, "$whose: nor a search";
    }
    like $as_api->($other->{tenant}, "
        select set_config('tenon.actor', '$other->{member}', true);
        select 'got', t.visit_id from
        clinic.day_plan_query('2035-01-01', '$other->{member}') as t"),
        qr/got/, 'its own tenant does';
    is digest($other), $before, 'nothing has changed';
    like eval { $s->psql("begin; set local role tenon_app;
                          select count(*) from teamos.task; commit") } // $@,
        qr/\b42501\b/, "an app's function has no business elsewhere";
};

subtest 'predicates alone' => sub {
    $s->psql(join '', map { "alter table $_ disable row level security;" }
                      @tables);
    like $s->psql("select 'seen', count(distinct tenant_id) > 1
                     from clinic.patient", role => 'tenon_api'), qr/seen\|t/,
        'the wall is down';
    eval { matrix(); 1 } or fail "the matrix broke off: $@";
    $s->psql(join '', map { "alter table $_ enable row level security;" }
                      @tables);
};

note "$sent requests";
is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
