#!/usr/bin/perl

# The clinic: an app that is nothing but SQL, by a client that knows the API
# alone. Patients with personal fields and a document, visits that belong to a
# clinician and have states, notes two levels deep, an action, two queries.

use strict;
use utf8;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use POSIX ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(apps => ['teamos', 'clinic']);
my $nobody = '01900000-7777-7000-8000-0123456789ab';
my $json = JSON::PP->new->canonical;

# The demo's people and rows, by the ends of their ids.
sub demo { return sprintf '01900000-000c-7000-8000-000000000%03d', $_[0] }
my %is = (nora => demo(201), omar => demo(202), petra => demo(203),
          quinn => demo(204));

my %shape = (
    patient      => [qw(birth_date created_at created_by email id name phone
                        record updated_at version)],
    visit        => [qw(arrived_at clinician_id created_at created_by id
                        patient_id reason room starts_at status updated_at
                        version)],
    note         => [qw(content created_at created_by id updated_at version
                        visit_id)],
    prescription => [qw(created_at created_by dose id medicine per_day unit
                        until updated_at version visit_id)],
);

sub shape_is {
    my ($row, $shape) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply [sort keys %$row], $shape{$shape}, "all of a $shape";
}

sub as {
    my ($who, $method, $path, %o) = @_;
    return $s->request($method, $path, as => $who, %o);
}

sub rows { return @{ $_[0]->json->{data} } }

sub make {
    my ($who, $path, %body) = @_;
    my $r = as($who, POST => $path, json => \%body);
    die "no $path: $r->{status} $r->{body}\n" if $r->{status} != 201;
    return $r->json;
}

my $hour = 0;
sub a_visit {
    my (%with) = @_;
    return make('omar', 'visits', patient_id => demo(401),
                clinician_id => $is{petra},
                starts_at => sprintf('2031-05-%02dT%02d:00:00Z',
                                     1 + $hour / 24, $hour++ % 24),
                %with);
}

# The names that a list of patients finds.
sub found {
    my ($who, $query) = @_;
    my $r = as($who, GET => "patients?sort=name&$query");
    die "$query: $r->{status} $r->{body}\n" if $r->{status} != 200;
    return join ', ', map { $_->{name} } rows($r);
}

sub escaped {
    my ($text) = @_;
    return join '', map { /[A-Za-z0-9]/ ? $_ : sprintf '%%%02X', ord }
        split //, $text;
}

subtest 'patients' => sub {
    my %eve = (name => 'Eve Ångström', birth_date => '2000-02-29',
               email => 'eve@mail.test', phone => '+46 8 555 01',
               record => { blood => 'B+', weights => [61.5, 62] });
    my $r = as('omar', POST => 'patients', json => \%eve);
    status_is $r, 201, 'one is made';
    my $eve = $r->json;
    shape_is $eve, 'patient';
    is_deeply { map { $_ => $eve->{$_} } keys %eve }, \%eve, 'as it was sent';
    is $eve->{created_by}, $is{omar}, 'by whom';
    is $r->header('Location'), "/api/v1/patients/$eve->{id}", 'where it is';

    my $path = "patients/$eve->{id}";
    $r = as('petra', GET => $path);
    status_is $r, 200, 'a clinician reads it';
    is_deeply $r->json, $eve, 'the same';
    is as('petra', GET => $path, headers => ['If-None-Match' =>
        $r->header('ETag')])->{status}, 304, 'unchanged';
    is_deeply as('petra', GET => "$path?fields=name,birth_date")->json,
        { name => $eve{name}, birth_date => '2000-02-29' }, 'a part of it';

    $r = as('petra', PATCH => $path, headers => ['If-Match' => '"1"'],
            json => { birth_date => undef, record => { blood => '0-' } });
    status_is $r, 200, 'a clinician changes it';
    is_deeply [@{ $r->json }{qw(birth_date email version)}],
        [undef, 'eve@mail.test', 2], 'what was sent, nothing else';
    problem_is as('petra', PATCH => $path, json => { phone => undef },
                  headers => ['If-Match' => '"1"']),
        412, 'precondition_failed', 'not over a change unseen';

    problem_is as('petra', DELETE => $path), 403, 'forbidden',
        'a clinician deletes none';
    status_is as('omar', DELETE => $path), 204, 'an admin does';
    problem_is as('omar', GET => $path), 404, 'not_found', 'it is gone';
    problem_is as('omar', POST => 'visits', json => {
                      patient_id => $eve->{id}, clinician_id => $is{petra},
                      starts_at => '2031-01-01T08:00:00Z' }),
        422, 'invalid_fields', 'and gets no visit',
        '/patient_id' => 'not_found';
    status_is as('omar', POST => "$path/restore"), 200, 'and back';
};

subtest 'all faults at once' => sub {
    problem_is as('omar', POST => 'patients', json => {
            birth_date => '2023-02-29', email => 'nobody', phone => 'call me',
            record => undef, shoe_size => 44, id => $nobody,
            tenant_id => $nobody }),
        422, 'invalid_fields', 'of a patient',
        '/name' => 'required', '/birth_date' => 'bad_format',
        '/email' => 'bad_format', '/phone' => 'bad_format',
        '/record' => 'wrong_type', '/shoe_size' => 'unknown_field',
        '/id' => 'read_only', '/tenant_id' => 'read_only';
    problem_is as('omar', POST => 'visits', json => {
            starts_at => 'tomorrow', clinician_id => 'petra', room => '1',
            status => 'asleep' }),
        422, 'invalid_fields', 'of a visit',
        '/patient_id' => 'required', '/starts_at' => 'bad_format',
        '/clinician_id' => 'bad_format', '/room' => 'read_only',
        '/status' => 'not_in_set';
    problem_is as('petra', POST => 'prescriptions', json => {
            visit_id => demo(501), medicine => '', dose => -1,
            unit => 'spoons', per_day => 25, until => '31.12.2026' }),
        422, 'invalid_fields', 'of a prescription',
        '/medicine' => 'too_short', '/dose' => 'out_of_range',
        '/unit' => 'not_in_set', '/per_day' => 'out_of_range',
        '/until' => 'bad_format';

    for my $bad ('1984-2-9', '1984-02-30', '1984-13-01', '10000-01-01',
                 '0000-01-01', '1984-02-29T00:00:00Z', '-001-01-01', '') {
        problem_is as('omar', POST => 'patients', json => {
                          name => 'x', birth_date => $bad }),
            422, 'invalid_fields', "\"$bad\" is no date",
            '/birth_date' => 'bad_format';
    }
    problem_is as('omar', POST => 'patients', json => {
                      name => 'x', birth_date => 19840229 }),
        422, 'invalid_fields', 'nor is a number',
        '/birth_date' => 'wrong_type';
    for my $good ('0001-01-01', '9999-12-31', '1900-02-28', '2000-02-29') {
        is make('omar', 'patients', name => 'Old', birth_date => $good)
            ->{birth_date}, $good, $good;
    }
    as('omar', DELETE => "patients/$_->{id}")
        for rows(as('omar', GET => 'patients?q=Old'));
};

subtest 'found by a part of the name' => sub {
    is found('petra', 'q=tor'), 'Ana Torres', 'in any case';
    is found('petra', 'q=wen&birth_date[gte]=2019-01-01'), 'Chi Wen',
        'and by date';
    is found('petra', 'birth_date=1984-02-29,1951-11-03'),
        'Ana Torres, Ben Okafor', 'dates filter';
    is found('petra', 'birth_date[lt]=1951-11-04'), 'Ben Okafor', 'by range';
    problem_is as('petra', GET => 'patients?birth_date[gt]=yesterday'), 400,
        'invalid_parameter', 'only dates',
        'birth_date[gt]' => 'bad_format';
};

subtest 'found by what the document holds' => sub {
    my $contains = sub {
        my ($value, $more) = @_;
        return found('petra', 'record[contains]=' .
                     escaped($json->encode($value)) . ($more // ''));
    };
    is $contains->({ allergies => ['penicillin'] }), 'Ana Torres, Chi Wen',
        'an entry of a list';
    is $contains->({ allergies => ['penicillin', 'nuts'] }), 'Chi Wen',
        'two';
    is $contains->({ insurer => { name => 'Alpha' } }), 'Ben Okafor',
        'deep inside';
    is $contains->({ blood => 'penicillin' }), '', 'only in its place';
    is $contains->({ allergies => ['penicillin'] }, '&q=wen'), 'Chi Wen',
        'with a search';
    is $contains->({ allergies => ['penicillin'] }, '&birth_date=1984-02-29'),
        'Ana Torres', 'with a filter';

    my $query = 'record[contains]=' .
        escaped($json->encode({ allergies => ['penicillin'] }));
    my $r = as('petra', GET => "patients?sort=name&limit=1&$query");
    my $next = $r->json->{next_cursor};
    ok defined $next, 'page by page';
    is_deeply [map { $_->{name} } rows($r),
               rows(as('petra', GET =>
                       "patients?sort=name&limit=1&$query&cursor=$next"))],
        ['Ana Torres', 'Chi Wen'], 'each once';
    problem_is as('petra', GET => "patients?sort=name&cursor=$next"), 400,
        'invalid_cursor', "the cursor is that list's";

    for my $bad ('', '{', '"blood"', '7', 'null', '{"a":1}x', '{"a":1,"a":2}') {
        problem_is as('petra', GET => 'patients?record[contains]=' .
                      escaped($bad)),
            400, 'invalid_parameter', "refused: $bad",
            'record[contains]' => 'bad_format';
    }
    problem_is as('petra', GET => 'patients?name[contains]=%7B%7D'), 400,
        'unknown_parameter', 'documents only',
        'name[contains]' => 'unknown_field';

    # However long the list of patients grows.
    my $plan = $s->psql(q{
        begin;
        select set_config('tenon.tenant',
                          '01900000-000c-7000-8000-000000000001', true);
        set local session_replication_role = replica;
        insert into clinic.patient (tenant_id, name, record)
        select '01900000-000c-7000-8000-000000000001', 'p' || n,
               jsonb_build_object('n', n)
          from generate_series(1, 20000) as n;
        analyze clinic.patient;
        set local enable_seqscan = off;
        explain (costs off)
        select t.id from clinic.patient t
         where t.tenant_id = '01900000-000c-7000-8000-000000000001'
           and t.record @> '{"n": 77}' and t.deleted_at is null;
        rollback});
    like $plan, qr/Bitmap Index Scan on \w*record/, 'an index serves it';
};

subtest 'visits and their states' => sub {
    my $visit = a_visit(reason => 'Cough');
    shape_is $visit, 'visit';
    is_deeply [@$visit{qw(status room arrived_at)}], ['booked', undef, undef],
        'booked';

    problem_is as('omar', POST => 'visits', json => {
                      patient_id => demo(402), clinician_id => $is{petra},
                      starts_at => $visit->{starts_at} }),
        409, 'duplicate', 'one patient at a time',
        '/clinician_id' => 'duplicate', '/starts_at' => 'duplicate';
    problem_is as('omar', POST => 'visits', json => {
                      patient_id => $nobody, clinician_id => $nobody,
                      starts_at => '2031-01-01T08:00:00Z' }),
        422, 'invalid_fields', 'of a patient with a member',
        '/patient_id' => 'not_found', '/clinician_id' => 'not_found';

    my $path = "visits/$visit->{id}";
    problem_is as('omar', PATCH => $path, json => { status => 'done' }),
        409, 'state_conflict', 'not done before it began',
        '/status' => 'not_in_set';
    problem_is as('omar', PATCH => $path, json => { status => 'checked_in' }),
        422, 'invalid_fields', 'not in treatment without a room';
    problem_is as('omar', PATCH => $path, json => {
                      room => '1', patient_id => demo(402) }),
        422, 'invalid_fields', 'nor can the API give one',
        '/room' => 'read_only', '/patient_id' => 'read_only';
    status_is as('omar', PATCH => $path, json => { status => 'missed' }), 200,
        'it is missed';
    status_is as('omar', PATCH => $path, json => { status => 'booked' }), 200,
        'and booked again';
    status_is as('omar', PATCH => $path, json => { status => 'cancelled' }),
        200, 'and cancelled';
    status_is as('omar', POST => 'visits', json => {
                     patient_id => demo(402), clinician_id => $is{petra},
                     starts_at => $visit->{starts_at} }),
        201, 'then the time is free';

    is_deeply [map { $_->{id} } rows(as('omar', GET =>
            'visits?sort=starts_at&starts_at[lt]=2031-01-01T00:00:00Z&limit=2'
            . '&status[ne]=cancelled'))],
        [demo(501), demo(502)], 'sorted, filtered';
};

subtest 'each clinician has their own' => sub {
    my $petras = a_visit();
    my $quinns = a_visit(clinician_id => $is{quinn});
    my @mine = rows(as('petra', GET => 'visits?limit=100'));
    is_deeply [grep { $_->{clinician_id} ne $is{petra} } @mine], [],
        'a list has only these';
    ok scalar(grep { $_->{id} eq $petras->{id} } @mine), 'all of these';
    is_deeply [rows(as('petra', GET => "visits?clinician_id=$is{quinn}"))],
        [], "no filter shows another's";
    is_deeply [map { $_->{clinician_id} } rows(as('quinn', GET =>
            "patients/" . demo(401) . '/visits'))], [$is{quinn}],
        "nor does a patient's list";

    for my $try ([GET => ''], [PATCH => '', json => { reason => 'x' }],
                 [GET => '/history'], [GET => '/notes'],
                 [POST => '/rollback', json => { version => 1 }],
                 [POST => '/check-in', json => { room => '9' }]) {
        my ($method, $tail, @o) = @$try;
        problem_is as('petra', $method => "visits/$quinns->{id}$tail", @o),
            404, 'not_found', "not there: $method $tail";
    }
    status_is as('petra', PATCH => "visits/$petras->{id}",
                 json => { reason => 'x' }), 200, 'the own is';
    problem_is as('petra', POST => 'visits', json => {
                      patient_id => demo(401), clinician_id => $is{petra},
                      starts_at => '2031-01-01T08:00:00Z' }),
        403, 'forbidden', 'booking is for the desk';

    status_is as('petra', PATCH => "visits/$petras->{id}",
                 json => { clinician_id => $is{quinn} }), 200,
        'one may hand a visit over';
    problem_is as('petra', GET => "visits/$petras->{id}"), 404, 'not_found',
        'and has it no longer';
    status_is as('quinn', GET => "visits/$petras->{id}"), 200, 'the other has';
};

subtest 'the action' => sub {
    my $visit = a_visit();
    my $path = "visits/$visit->{id}/check-in";
    my $notes = sub {
        return rows(as('omar', GET => "visits/$_[0]/notes"));
    };

    # What is wrong is said before anything is done.
    problem_is as('omar', POST => $path), 415, 'unsupported_media_type',
        'arguments are needed';
    problem_is as('omar', POST => $path, json => {}), 422, 'invalid_fields',
        'by name', '/room' => 'required';
    problem_is as('omar', POST => $path, json => {
                      room => 'the back room', note => '', doctor => 'x',
                      visit => $nobody }),
        422, 'invalid_fields', 'all faults at once',
        '/room' => 'bad_format', '/note' => 'too_short',
        '/doctor' => 'unknown_field', '/visit' => 'unknown_field';
    problem_is as('omar', POST => $path, json => { room => 7 }), 422,
        'invalid_fields', 'typed', '/room' => 'wrong_type';
    problem_is as('omar', POST => $path, json => { room => undef }), 422,
        'invalid_fields', 'not null', '/room' => 'wrong_type';
    problem_is as('omar', POST => $path, body => '{"room":'), 400,
        'malformed_json', 'JSON';
    problem_is as('omar', GET => $path), 405, 'method_not_allowed', 'a POST';
    problem_is as('omar', POST => "$path?room=7"), 400, 'unknown_parameter',
        'in the body', room => 'unknown_field';
    problem_is as('omar', POST => "visits/$nobody/check-in",
                  json => { room => '7' }), 404, 'not_found', 'a visit';
    problem_is as('omar', POST => $path, json => { room => '7' },
                  headers => ['If-Match' => '"2"']),
        412, 'precondition_failed', 'of this version';
    is $s->psql("select status from clinic.visit
                  where id = '$visit->{id}'"), 'booked', 'nothing is done';

    my @key = (headers => ['If-Match' => '"1"',
                           'Idempotency-Key' => 'check-in 1']);
    my $r = as('omar', POST => $path, @key,
               json => { room => '7', note => 'Walks with a stick.' });
    status_is $r, 200, 'checked in';
    shape_is $r->json, 'visit';
    is_deeply [@{ $r->json }{qw(status room version)}], ['checked_in', '7', 2],
        'the visit as it is now';
    is $r->header('ETag'), '"2"', 'with its ETag';
    is_deeply $r->json, as('omar', GET => "visits/$visit->{id}")->json,
        'as it is read';
    my ($note, @more) = $notes->($visit->{id});
    is_deeply [@$note{qw(content created_by)}, scalar @more],
        ['Walks with a stick.', $is{omar}, 0], 'and a note is written';

    my $again = as('omar', POST => $path, @key,
                   json => { room => '7', note => 'Walks with a stick.' });
    status_is $again, 200, 'the same request again';
    is $again->header('Idempotency-Replayed'), 'true', 'is a replay';
    is $again->{body}, $r->{body}, 'answers the same';
    is scalar($notes->($visit->{id})), 1, 'does nothing';
    problem_is as('omar', POST => $path, @key, json => { room => '8' }), 422,
        'idempotency_mismatch', 'another under that key';

    $r = as('omar', POST => $path, json => { room => '8' });
    problem_is $r, 409, 'state_conflict', 'only once';
    like $r->json->{detail}, qr/checked_in.*booked/, 'why';

    # What the function raises.
    my $other = a_visit();
    $r = as('omar', POST => "visits/$other->{id}/check-in",
            json => { room => '7', note => 'never written' });
    problem_is $r, 409, 'state_conflict', 'the room is taken',
        '/room' => 'refused';
    is_deeply [@{ $r->json }{qw(detail reason)}],
        ['Room 7 is taken.', 'room_taken'], 'in words, and for programs';
    is_deeply [$notes->($other->{id})], [], 'and nothing is written';
    status_is as('omar', POST => "visits/$other->{id}/check-in",
                 json => { room => '8', note => undef }), 200,
        'an argument with a default may be left out, or null';
    is_deeply [$notes->($other->{id})], [], 'then there is no note';

    status_is as('petra', PATCH => "visits/$visit->{id}",
                 json => { status => $_ }), 200, $_
        for qw(in_treatment done);
    status_is as('omar', POST => 'visits/' . a_visit()->{id} . '/check-in',
                 json => { room => '7' }), 200, 'the room is free again';

    # Of many at once, one gets the room.
    my @visits = map { a_visit()->{id} } 1 .. 8;
    my @c = map { $s->connect } @visits;
    $c[$_]->write($s->bytes(POST => "visits/$visits[$_]/check-in",
                            as => 'omar', json => { room => 'X' }))
        for 0 .. $#visits;
    my @status = sort map { $_->response->{status} } @c;
    is_deeply \@status, [200, (409) x 7], 'of eight at once, one';
    is $s->psql("select count(*) from clinic.visit
                  where room = 'X' and status = 'checked_in'"), 1, 'really';
};

subtest 'the log says why' => sub {
    my $visit = a_visit();
    my $r = as('omar', POST => "visits/$visit->{id}/check-in",
               json => { room => 'L1', note => 'For the log.' });
    my $request = $r->json && $r->header('X-Request-Id');
    my @events = rows(as('nora', GET => "audit/events?request_id=$request"));
    my %of = map { $_->{action} => $_ } @events;
    is_deeply [sort keys %of], ['note.created', 'visit.check_in'],
        'two things happened in that request';
    my ($done, $note) = @of{qw(visit.check_in note.created)};
    is_deeply $done->{actor}, { type => 'user', id => $is{omar},
                                impersonator => undef }, 'who';
    is_deeply $_->{actor}, $done->{actor}, 'the same for both' for $note;
    is_deeply [@$done{qw(resource resource_id version outcome ip)}],
        ['clinic.visit', $visit->{id}, 2, 'success', '127.0.0.1'], 'to what';
    is_deeply [$done->{before}{status}, $done->{after}{status},
               $done->{after}{room}], ['booked', 'checked_in', 'L1'],
        'before and after';
    is $note->{metadata}{cause}, 'visit.check_in', 'the other was caused by it';
    is $note->{after}{content}, 'For the log.', 'what it was';

    is_deeply [map { $_->{action} }
               rows(as('petra', GET => "visits/$visit->{id}/history"))],
        ['visit.check_in', 'visit.created'], 'the history has it';
    problem_is as('petra', POST => "visits/$visit->{id}/rollback",
                  json => { version => 1 }), 409, 'state_conflict',
        'the states have no way back';

    # A refused attempt, too.
    problem_is as('rosa', POST => "visits/$visit->{id}/check-in",
                  json => { room => 'L1' }), 404, 'not_found', 'elsewhere';
    my $patient = make('omar', 'patients', name => 'Log');
    problem_is as('petra', DELETE => "patients/$patient->{id}"), 403,
        'forbidden', 'a clinician tries to delete a patient';
    my ($refused) = rows(as('nora', GET => 'audit/events?outcome=refused'));
    is_deeply [@$refused{qw(action resource)}, $refused->{actor}{id}],
        ['patient.deleted', 'clinic.patient', $is{petra}], 'and it is logged';
};

subtest 'history and rollback' => sub {
    my $patient = make('omar', 'patients', name => 'Gus',
                       record => { blood => 'A+' },
                       birth_date => '1970-01-01');
    my $path = "patients/$patient->{id}";
    as('omar', PATCH => $path, json => { record => { blood => 'AB-' },
                                         birth_date => undef });
    my $r = as('omar', POST => "$path/rollback", json => { version => 1 });
    status_is $r, 200, 'back';
    is_deeply [@{ $r->json }{qw(record birth_date version)}],
        [{ blood => 'A+' }, '1970-01-01', 3], 'document and date too';
    my @history = rows(as('omar', GET => "$path/history"));
    is_deeply [map { $_->{action} } @history],
        [qw(patient.rolled_back patient.updated patient.created)], 'all of it';
    is_deeply $history[1]{after}{record}, { blood => 'AB-' },
        'the document of then';
};

subtest 'two levels deep' => sub {
    my $visit = a_visit();
    my $note = make('petra', 'notes', visit_id => $visit->{id},
                    content => 'Heart sounds normal.');
    shape_is $note, 'note';
    my $other = make('quinn', 'notes', visit_id => $visit->{id},
                     content => 'Seen in passing.');
    is_deeply [map { $_->{id} }
               rows(as('petra', GET => "visits/$visit->{id}/notes"))],
        [$other->{id}, $note->{id}], 'patient, visit, notes';
    is_deeply [map { $_->{id} } rows(as('petra', GET => 'notes?q=heart'))],
        [$note->{id}], 'searched';
    problem_is as('quinn', PATCH => "notes/$note->{id}",
                  json => { content => 'x' }), 403, 'forbidden',
        "nobody changes another's";
    status_is as('petra', PATCH => "notes/$note->{id}",
                 json => { content => 'Heart sounds normal, regular.' }), 200,
        'the own, yes';
    problem_is as('petra', PATCH => "notes/$note->{id}",
                  json => { visit_id => demo(502) }), 422, 'invalid_fields',
        'a note stays at its visit', '/visit_id' => 'read_only';

    # A visit takes its notes along; the log tells of both.
    problem_is as('omar', DELETE => "visits/$visit->{id}"), 403, 'forbidden',
        'only the owner deletes visits';
    my $r = as('nora', DELETE => "visits/$visit->{id}");
    status_is $r, 204, 'she does';
    problem_is as('petra', GET => "notes/$note->{id}"), 404, 'not_found',
        'its notes are gone';
    is_deeply [sort map { $_->{action} } rows(as('nora', GET =>
            'audit/events?request_id=' . $r->header('X-Request-Id')))],
        [qw(note.deleted note.deleted visit.deleted)], 'and all is logged';

    my $done = a_visit();
    make('petra', 'prescriptions', visit_id => $done->{id},
         medicine => 'Ibuprofen', dose => 400);
    problem_is as('nora', DELETE => "visits/$done->{id}"), 409,
        'state_conflict', 'a visit with a prescription stays';
};

subtest 'a change must know what it changes' => sub {
    my $p = make('petra', 'prescriptions', visit_id => demo(501),
                 medicine => 'Ibuprofen', dose => 0.25, unit => 'ml',
                 per_day => 3, until => '2031-01-31');
    shape_is $p, 'prescription';
    is_deeply [@$p{qw(dose per_day until)}], [0.25, 3, '2031-01-31'],
        'numbers and dates';
    my $path = "prescriptions/$p->{id}";
    problem_is as('petra', PATCH => $path, json => { per_day => 2 }), 428,
        'precondition_required', 'not without If-Match';
    problem_is as('petra', PATCH => $path, json => { per_day => 2 },
                  headers => ['If-Match' => '"7"']), 412,
        'precondition_failed', 'nor with another';
    my $r = as('petra', PATCH => $path, json => { per_day => 2 },
               headers => ['If-Match' => '"1"']);
    status_is $r, 200, 'with the right one';
    problem_is as('petra', PATCH => $path, json => { medicine => 'Aspirin' },
                  headers => ['If-Match' => '"2"']), 422, 'invalid_fields',
        'what was prescribed stays', '/medicine' => 'read_only';
    problem_is as('quinn', PATCH => $path, json => { per_day => 1 },
                  headers => ['If-Match' => '"2"']), 403, 'forbidden',
        'by who did';
};

subtest 'the query' => sub {
    my $visit = a_visit(starts_at => '2032-03-01T09:00:00Z');
    a_visit(starts_at => '2032-03-01T08:00:00Z',
            clinician_id => $is{quinn}, patient_id => demo(402));
    a_visit(starts_at => '2032-03-02T00:00:00Z');
    my $cancelled = a_visit(starts_at => '2032-03-01T10:00:00Z');
    as('omar', PATCH => "visits/$cancelled->{id}",
       json => { status => 'cancelled' });

    my $path = 'queries/day-plan?day=2032-03-01';
    my $r = as('omar', GET => $path);
    status_is $r, 200, 'the plan of a day';
    is_deeply [sort keys %{ $r->json }], [qw(data next_cursor)], 'a list';
    is_deeply [map { $_->{starts_at} =~ s/\.000000//r . " $_->{patient}" }
               rows($r)],
        ['2032-03-01T08:00:00Z Ben Okafor', '2032-03-01T09:00:00Z Ana Torres'],
        'its visits';
    is_deeply { map { $_ => (rows($r))[1]{$_} }
                qw(visit_id clinician_id patient_id status room) },
        { visit_id => $visit->{id}, clinician_id => $is{petra},
          patient_id => demo(401), status => 'booked', room => undef },
        'all of one';
    is $r->json->{next_cursor}, undef, 'in one page';
    is $r->header('Cache-Control'), 'private, no-cache', 'for who asked';
    is_deeply [map { $_->{patient} } rows(as('petra', GET =>
            "$path&clinician=$is{petra}"))], ['Ana Torres'],
        'by clinician';
    is_deeply [map { $_->{patient} } rows(as('petra', GET => $path))],
        ['Ana Torres'], 'a member sees only their own';
    is_deeply [rows(as('petra', GET => "$path&clinician=$is{quinn}"))], [],
        'whomever they ask for';
    is_deeply [rows(as('omar', GET => "$path&clinician=$nobody"))], [],
        'of nobody';
    as('omar', PATCH => "visits/$visit->{id}",
       json => { starts_at => '2032-03-01T07:00:00Z' });
    is +(rows(as('omar', GET => $path)))[0]{visit_id}, $visit->{id},
        'a change shows at once';

    problem_is as('omar', GET => 'queries/day-plan'), 400,
        'invalid_parameter', 'a day is needed', day => 'required';
    problem_is as('omar', GET =>
                  'queries/day-plan?day=today&clinician=petra'),
        400, 'invalid_parameter', 'all faults at once',
        day => 'bad_format', clinician => 'bad_format';
    problem_is as('omar', GET => "$path&limit=5"), 400, 'unknown_parameter',
        'no others', limit => 'unknown_field';
    problem_is as('omar', GET => "$path&day=2032-03-02"), 400,
        'invalid_parameter', 'once', day => 'duplicate';
    problem_is as('omar', POST => 'queries/day-plan', json => {}), 405,
        'method_not_allowed', 'read only';
    problem_is $s->request(GET => $path, at => 'lakeside'), 401,
        'unauthenticated', 'not for everybody';

    $r = as('nora', GET => 'queries/waiting-times?day=2032-03-01');
    status_is $r, 200, 'a query that answers one row';
    is_deeply $r->json, { patients => 0, mean_minutes => undef,
                          longest_minutes => undef }, 'the bare object';
    my $today = POSIX::strftime('%Y-%m-%d', gmtime);
    $r = as('omar', GET => "queries/waiting-times?day=$today");
    is_deeply [@{ $r->json }{qw(patients mean_minutes)}], [1, 15],
        'with numbers' if $r->header('Date') !~ / 23:59:/;
    problem_is as('petra', GET => "queries/waiting-times?day=$today"), 403,
        'forbidden', 'not for clinicians';
};

subtest 'the document has it all' => sub {
    my $paths = $s->openapi->{paths};
    my %want = (
        '/v1/patients'                   => 'get post',
        '/v1/patients/{id}'              => 'delete get patch',
        '/v1/patients/{id}/history'      => 'get',
        '/v1/patients/{id}/rollback'     => 'post',
        '/v1/patients/{id}/restore'      => 'post',
        '/v1/patients/{id}/visits'       => 'get',
        '/v1/visits'                     => 'get post',
        '/v1/visits/{id}'                => 'delete get patch',
        '/v1/visits/{id}/history'        => 'get',
        '/v1/visits/{id}/rollback'       => 'post',
        '/v1/visits/{id}/check-in'       => 'post',
        '/v1/visits/{id}/notes'          => 'get',
        '/v1/visits/{id}/prescriptions'  => 'get',
        '/v1/notes'                      => 'get post',
        '/v1/notes/{id}'                 => 'delete get patch',
        '/v1/notes/{id}/history'         => 'get',
        '/v1/notes/{id}/rollback'        => 'post',
        '/v1/prescriptions'              => 'get post',
        '/v1/prescriptions/{id}'         => 'delete get patch',
        '/v1/prescriptions/{id}/history' => 'get',
        '/v1/prescriptions/{id}/rollback' => 'post',
        '/v1/queries/day-plan'           => 'get',
        '/v1/queries/waiting-times'      => 'get',
    );
    my %have = map {
        my $path = $_;
        ($path => join ' ', sort grep { /^(?:get|post|put|patch|delete)$/ }
             keys %{ $paths->{$path} })
    } grep { m{^/v1/(?:patients|visits|notes|prescriptions|queries)\b} }
        keys %$paths;
    is_deeply \%have, \%want, 'every endpoint';

    my $action = $paths->{'/v1/visits/{id}/check-in'}{post};
    is $action->{operationId}, 'checkInVisit', 'a name for the action';
    is $action->{summary}, 'The patient has arrived', 'what it does';
    my ($media) = grep { /json/ } keys %{ $action->{requestBody}{content} };
    my $body = $s->schema($action->{requestBody}{content}{$media}{schema});
    is_deeply [$body->{required}, sort keys %{ $body->{properties} }],
        [['room'], qw(note room)], 'its arguments';
    is_deeply [@{ $s->schema($body->{properties}{room}) }{
               qw(type minLength maxLength)}], ['string', 1, 20],
        'their limits';
    ok $action->{requestBody}{required}, 'a body is needed';

    my $query = $paths->{'/v1/queries/day-plan'}{get};
    is $query->{operationId}, 'queryDayPlan', 'a name for the query';
    my %parameter = map { $_->{name} => $_ }
        map { $s->schema($_) } @{ $query->{parameters} };
    ok $parameter{day}{required} && !$parameter{clinician}{required},
        'its parameters';
    is $parameter{day}{schema}{format}, 'date', 'a date';

    %parameter = map { $_->{name} => $_ } map { $s->schema($_) }
        @{ $paths->{'/v1/patients'}{get}{parameters} };
    ok $parameter{'record[contains]'}, 'the search in the document';
    my $patient = $s->schema($s->openapi->{components}{schemas}{Patient});
    is_deeply [sort grep { $patient->{properties}{$_}{'x-pii'} }
               keys %{ $patient->{properties} }],
        [qw(birth_date email name phone)], 'what is personal';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
