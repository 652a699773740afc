#!/usr/bin/perl

# Requests that come twice (Idempotency-Key): what was done once is answered
# again, byte for byte, and not done again; through restarts, a crash of the
# worker that did it, and many at once. Keys of others are others' keys.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use Time::HiRes qw(sleep);

use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my ($project) = @{ $s->request(GET => 'projects', as => 'alice')
                     ->json->{data} };
my $keys = 0;

sub new_key { return sprintf 'key-%d-%s', ++$keys, 'x' x ($keys % 7) }

sub keyed {
    my ($key, $method, $path, %o) = @_;
    return $s->request($method, $path, as => 'alice', %o, headers => [
        'Idempotency-Key' => $key, @{ $o{headers} || [] }]);
}

sub new_task {
    return $s->request(POST => 'tasks', as => 'alice', json => {
        project_id => $project->{id}, title => 'a task' })->json;
}

sub new_project {
    my ($name, %o) = @_;
    return keyed($o{key} // new_key(), POST => 'projects', %o,
                 json => { name => $name });
}

sub projects {
    my ($name) = @_;
    return $s->psql("select count(*) from teamos.project
                      where name = '$name'");
}

sub events {
    return $s->psql("select count(*) from tenon.event
                      where outcome = 'success' and action <> 'user.login'");
}

sub replayed { return ($_[0]->header('Idempotency-Replayed') // '') eq 'true' }

# An answer but for what says that it is a replay.
sub said {
    my ($r) = @_;
    return $r->visible =~ s/^Idempotency-Replayed: true\r\n//mr;
}

# The same request twice: the second does nothing and says the same. $between
# happens in between.
sub twice {
    my ($name, $status, $method, $path, %o) = @_;
    my $between = delete $o{between};
    my $key = new_key();
    my $before = events();
    my @headers = (fixed_id(), @{ delete $o{headers} || [] });

    my $first = keyed($key, $method, $path, %o, headers => \@headers);
    status_is $first, $status, $name;
    ok !defined $first->header('Idempotency-Replayed'),
        "$name: the first is no replay";
    my $did = events() - $before;
    $between->($first) if $between;

    $before = events();
    my $second = keyed($key, $method, $path, %o, headers => \@headers);
    status_is $second, $status, "$name, again";
    ok replayed($second), "$name, again: says so";
    is said($second), said($first), "$name, again: the same to the byte";
    is events() - $before, 0, "$name, again: nothing is done ($did before)";

    return $first;
}

subtest 'every kind of write' => sub {
    my $made = twice('POST projects', 201, POST => 'projects',
                     json => { name => 'twice' });
    like $made->header('Location'), qr{\A/api/v1/projects/}, 'with Location';
    is $made->header('ETag'), '"1"', 'and ETag';
    is projects('twice'), 1, 'is one project';
    my $id = $made->json->{id};

    my $task = twice('POST tasks', 201, POST => 'tasks', json => {
        project_id => $id, title => "\x{1F389} \"quoted\" \\ \n" })->json;
    my $at = "tasks/$task->{id}";
    twice('POST tasks, deleted in between', 201, POST => 'tasks', json => {
        project_id => $id, title => 'short-lived' }, between => sub {
            status_is $s->request(DELETE => 'tasks/' . $_[0]->json->{id},
                                  as => 'alice'), 204, 'deleted';
        });
    twice('POST comments', 201, POST => 'comments', json => {
        task_id => $task->{id}, content => 'c' x 10_000 });

    my $change = sub {
        my ($title) = @_;
        return sub {
            status_is $s->request(PATCH => $at, as => 'alice',
                                  json => { title => $title }), 200,
                'somebody changes it in between';
        };
    };
    twice('PATCH tasks', 200, PATCH => $at, json => { title => 'second' },
          between => $change->('third'));
    is $s->request(GET => $at, as => 'alice')->json->{title}, 'third',
        'the replay did not overwrite it';
    twice('PATCH with If-Match', 200, PATCH => $at, headers =>
              ['If-Match' => '"3"'], json => { title => 'fourth' });
    twice('PATCH with nothing', 200, PATCH => $at, json => {},
          between => $change->('fifth'));
    twice('POST rollback', 200, POST => "$at/rollback",
          json => { version => 2 }, between => $change->('sixth'));
    twice('DELETE', 204, DELETE => $at);
    twice('POST restore', 200, POST => "$at/restore");
    twice('DELETE, restored in between', 204, DELETE => $at, between => sub {
        status_is $s->request(POST => "$at/restore", as => 'alice'), 200,
            'restored';
    });
    status_is $s->request(GET => $at, as => 'alice'), 200,
        'the replay did not delete it again';
};

subtest 'people and organizations' => sub {
    my $tenant = twice('POST tenants', 201, POST => 'tenants', proven => 1,
        json => { name => 'Second', slug => 'second' })->json;
    is $s->psql("select count(*) from tenon.tenant where slug = 'second'"), 1,
        'is one organization';
    twice('PATCH tenant', 200, PATCH => 'tenant', json => { name => 'Acme 2' });

    my $invited = twice('POST invitations', 201, POST => 'invitations',
        json => { email => 'frank@acme.test', role => 'member' })->json;
    is $s->psql("select count(*) from tenon.invitation
                  where email = 'frank\@acme.test'"), 1, 'is one invitation';

    my $joined = twice('POST invitations/accept', 200,
        POST => 'invitations/accept', as => undef,
        json => { token => $s->mailed('frank@acme.test'), name => 'Frank',
                  password => 'correct horse battery' })->json;
    is $s->psql("select count(*) from tenon.member_view
                  where email = 'frank\@acme.test'"), 1, 'is one member';

    my $member = "members/$joined->{member}{id}";
    twice('PATCH members', 200, PATCH => $member, json => { role => 'admin' },
          between => sub {
              status_is $s->request(PATCH => $member, as => 'alice',
                                    json => { role => 'member' }), 200,
                  'changed back';
          });
    is $s->request(GET => $member, as => 'alice')->json->{role}, 'member',
        'the replay did not change it again';
    twice('DELETE members', 204, DELETE => $member);

    my $other = $s->request(POST => 'invitations', as => 'alice', json => {
        email => 'grace@acme.test', role => 'member' })->json;
    twice('DELETE invitations', 204, DELETE => "invitations/$other->{id}");
};

subtest 'another body is refused' => sub {
    my $key = new_key();
    status_is new_project('first', key => $key), 201, 'the first';
    problem_is new_project('second', key => $key), 422, 'idempotency_mismatch',
        'another body under its key';
    problem_is keyed($key, POST => 'projects', body => '{ "name": "first" }'),
        422, 'idempotency_mismatch', 'even the same in other bytes';
    ok replayed(new_project('first', key => $key)),
        'the first is answered as before';
    is join(' ', projects('first'), projects('second')), '1 0', 'it alone';
};

subtest 'keys of others are others' => sub {
    my $key = new_key();
    my @r = map { new_project('theirs', key => $key, as => $_) }
        qw(alice bob carol dave);
    is_deeply [map { $_->{status} } @r], [201, 201, 201, 201],
        'four people, one key';
    ok !(grep { defined $_->header('Idempotency-Replayed') } @r),
        'none is a replay';
    is projects('theirs'), 4, 'four projects';
    is_deeply [map { new_project('theirs', key => $key, as => $_)
                         ->json->{id} } qw(alice bob carol dave)],
        [map { $_->json->{id} } @r], 'each meets the own one again';

    $s->hire('dave', 'acme', 'member');
    my $login = $s->request(POST => 'auth/login', at => 'acme', json => {
        email => 'dave@globex.test', password => $s->password });
    my %there = (as => undef, at => 'acme', key => $key,
                 token => $login->json->{access_token});
    my $r = new_project('theirs', %there);
    status_is $r, 201, 'one person in two organizations';
    ok !replayed($r), 'has two keys';
    ok replayed(new_project('theirs', %there)), 'and each once';
    is projects('theirs'), 5, 'five projects';

    my $task = new_task();
    $key = new_key();
    status_is keyed($key, PATCH => "tasks/$task->{id}", json => {}), 200,
        'PATCH of a task';
    my $other = new_task();
    $r = keyed($key, PATCH => "tasks/$other->{id}", json => {});
    status_is $r, 200, 'another path';
    ok !replayed($r), 'is another request';
    is $r->json->{id}, $other->{id}, 'with its own answer';
    $r = keyed($key, DELETE => "tasks/$task->{id}");
    status_is $r, 204, 'another method';
    ok !replayed($r), 'is another request';

    $key = new_key();
    status_is new_project('by a session', key => $key), 201, 'one session';
    my $token = $s->login('alice')->json->{access_token};
    ok replayed($s->request(POST => 'projects', token => $token,
                            headers => ['Idempotency-Key' => $key],
                            json => { name => 'by a session' })),
        'the same person by another session meets the key again';
};

subtest 'what was refused keeps nothing' => sub {
    my $key = new_key();
    my $task = new_task();
    my $gone = new_task();
    $s->request(DELETE => "tasks/$gone->{id}", as => 'alice');

    problem_is keyed($key, POST => 'projects', json => { name => '' }),
        422, 'invalid_fields', 'a 422', '/name' => 'too_short';
    problem_is keyed($key, POST => 'projects', body => '{'),
        400, 'malformed_json', 'a 400';
    problem_is keyed($key, POST => 'projects', body => 'x', headers => [
                         'Content-Type' => 'text/plain']),
        415, 'unsupported_media_type', 'a 415';
    my $r = new_project('mended', key => $key);
    status_is $r, 201, 'then the request as it should be';
    ok !replayed($r), 'is new';

    $key = new_key();
    my $at = "tasks/$task->{id}";
    problem_is keyed($key, PATCH => $at, json => { title => 'x' },
                     headers => ['If-Match' => '"7"']),
        412, 'precondition_failed', 'a 412';
    problem_is keyed($key, PATCH => $at, json => { status => 'done' }),
        409, 'state_conflict', 'a 409', '/status' => 'not_in_set';
    problem_is keyed($key, PATCH => $at, json => {
                         assignee_id => '01900000-7777-7000-8000-000000000000'
                     }),
        422, 'invalid_fields', 'a reference to nothing',
        '/assignee_id' => 'not_found';
    problem_is keyed($key, PATCH => $at, as => 'carol',
                     json => { title => 'x' }),
        403, 'forbidden', 'a 403';
    $r = keyed($key, PATCH => $at, json => { title => 'right' });
    status_is $r, 200, 'then one that is right';
    ok !replayed($r), 'is new';

    $key = new_key();
    problem_is keyed($key, PATCH => "tasks/$gone->{id}", json => {}),
        404, 'not_found', 'a 404';
    status_is $s->request(POST => "tasks/$gone->{id}/restore", as => 'alice'),
        200, 'restored';
    status_is keyed($key, PATCH => "tasks/$gone->{id}", json => {}), 200,
        'a 404 once is no 404 forever';
    is $s->psql("select count(*) from tenon.idempotency
                  where outcome is null"), 0, 'no key without an outcome';
};

subtest 'how a key is written' => sub {
    for my $case (
        ['one character',   'k'],
        ['255 characters',  'k' x 255],
        ['with a space',    'a key'],
        ['with a comma',    'a,key'],
        ['all of ASCII',    join '', map { chr } 0x23 .. 0x5b, 0x5d .. 0x7e],
        ['a UUID',          '8e03978e-40d5-43dd-bc93-6894a57f9324'],
    ) {
        my ($name, $key) = @$case;
        my $r = new_project($name, key => $key);
        status_is $r, 201, $name;
        my $quoted = new_project($name, key => qq("$key"));
        ok replayed($quoted), "$name, quoted: the same key";
        is $quoted->{body}, $r->{body}, "$name, quoted: the same answer";
    }

    for my $case (
        ['256 characters',         'k' x 256],
        ['256 characters, quoted', '"' . 'k' x 256 . '"'],
        ['2,000 characters',       'k' x 2000],
        ['nothing',                ''],
        ['quoted nothing',         '""'],
        ['a tab',                  "a\tb"],
        ['a control character',    "a\x01b"],
        ['DEL',                    "a\x7fb"],
        ['a letter beyond ASCII',  "caf\xc3\xa9"],
        ['a control character in quotes', "\"a\x1fb\""],
    ) {
        my ($name, $key) = @$case;
        problem_is new_project('badly keyed', key => $key), 400,
            'malformed_request', $name;
    }
    is projects('badly keyed'), 0, 'nothing was done';
};

subtest 'where a key is ignored' => sub {
    my $key = new_key();
    my $login = sub {
        my ($given) = @_;
        return $s->request(POST => 'auth/login', at => 'acme', headers =>
                               ['Idempotency-Key' => $given],
                           json => { email    => 'carol@acme.test',
                                     password => $s->password });
    };
    my @r = map { $login->($key) } 1, 2;
    is_deeply [map { $_->{status} } @r], [200, 200], 'two logins by one key';
    isnt $r[0]->json->{access_token}, $r[1]->json->{access_token},
        'are two sessions';
    ok !(grep { replayed($_) } @r), 'neither is a replay';
    status_is $login->('k' x 256), 200, 'even one too long';
    status_is keyed($key, POST => 'auth/logout', as => undef,
                    token => $r[0]->json->{access_token}), 204, 'logout';
    ok !replayed(keyed($key, GET => 'me')), 'GET';
    is $s->psql("select count(*) from tenon.idempotency
                  where outcome::text ~ 'access_token|password'"), 0,
        'no secret is kept';
};

subtest 'nobody learns from a key' => sub {
    my $key = new_key();
    status_is new_project('private', key => $key), 201, 'made by alice';
    problem_is new_project('private', key => $key, as => undef), 401,
        'unauthenticated', 'the key without a token';
    problem_is new_project('private', key => $key, as => 'alice',
                           at => 'globex'),
        403, 'tenant_mismatch', 'in another organization';
};

sub restart_postgresql {
    $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s -m fast \
                   restart > /dev/null 2>&1 9>&-');
    for my $worker ($s->workers) {
        $s->wait_until(10, sub {
            $s->alone($worker, sub {
                $s->request(GET => 'tenant', as => 'alice')->{status} == 200;
            });
        }) or die "worker $worker doesn't come back\n";
    }
    return;
}

subtest 'a key outlives restarts' => sub {
    my $key = new_key();
    my $first = new_project('lasting', key => $key, headers => [fixed_id()]);
    status_is $first, 201, 'made';
    for my $case (['PostgreSQL', \&restart_postgresql],
                  ['nginx', sub { $s->stop; $s->start }]) {
        my ($name, $restart) = @$case;
        $restart->();
        my $r = new_project('lasting', key => $key, headers => [fixed_id()]);
        ok replayed($r), "after a restart of $name";
        is said($r), said($first), 'the same answer';
    }
    is projects('lasting'), 1, 'one project';
};

subtest 'a key lasts 24 hours' => sub {
    my $key = new_key();
    my $first = new_project('dated', key => $key)->json->{id};
    my $age = sub {
        $s->psql("update tenon.idempotency set at = now() - interval '$_[0]'
                   where outcome ->> 'id' = '$first'");
    };
    $age->('23 hours 59 minutes');
    ok replayed(new_project('dated', key => $key)), 'nearly a day old';
    $age->('24 hours 1 minute');
    my $r = new_project('dated', key => $key);
    status_is $r, 201, 'older';
    ok !replayed($r), 'is a new request';
    ok replayed(new_project('dated', key => $key)), 'and kept anew';
    is projects('dated'), 2, 'two projects';
};

# The worker dies after PostgreSQL has all it needs to commit, before it could
# answer: a trigger holds the commit back meanwhile.
subtest 'a crash between commit and answer' => sub {
    plan skip_all => 'one worker only' if (my @workers = $s->workers) < 2;
    $s->psql(q{
        create function public.hold() returns trigger language plpgsql
            as $$ begin perform pg_sleep(1); return null; end $$;
        create constraint trigger hold after insert on teamos.project
            deferrable initially deferred for each row
            when (new.name = 'crashed') execute function public.hold();
    });

    my $key = new_key();
    my $c = $s->alone($workers[0], sub {
        my $c = $s->connect;
        $c->request(GET => '/live', host => 'tenon.localhost');
        return $c;
    });
    my $bytes = $s->bytes(POST => 'projects', as => 'alice',
                          headers => ['Idempotency-Key' => $key],
                          json => { name => 'crashed' });
    $c->write($bytes);
    sleep 0.4;

    my $twin = new_project('crashed', key => $key);
    problem_is $twin, 409, 'idempotency_in_progress',
        'a twin meanwhile is told so at once';
    like $twin->header('Retry-After') // '', qr/\A[1-9]\d*\z/,
        'and when to try again';

    kill KILL => $workers[0];
    is eval { $c->response }, undef, 'the worker dies without an answer';
    ok $s->wait_until(5, sub { projects('crashed') == 1 }),
        'PostgreSQL commits all the same';
    ok $s->wait_until(5, sub { @{[$s->workers]} == @workers }),
        'a new worker comes';

    my $r = new_project('crashed', key => $key);
    status_is $r, 201, 'the retry';
    ok replayed($r), 'is answered from what was kept';
    is $r->json->{name}, 'crashed', 'with the project';
    is projects('crashed'), 1, 'made once';
    $s->psql('drop trigger hold on teamos.project;
              drop function public.hold()');
};

subtest 'many at once' => sub {
    my $rounds = $ENV{TENON_LONG} ? 200 : 40;
    my $twins = 50;
    my @c = map { $s->connect } 1 .. $twins;
    my (%seen, @wrong);

    # Both workers, and every connection of the pool, have served before.
    for (1, 2) {
        $_->write($s->bytes(GET => 'me', as => 'alice')) for @c;
        $_->response for @c;
    }

    for my $round (1 .. $rounds) {
        my $bytes = $s->bytes(POST => 'projects', as => 'alice',
                              headers => ['Idempotency-Key' => new_key()],
                              json => { name => 'at once' });
        $_->write($bytes) for @c;
        my @r = map { $_->response } @c;

        my @fresh = grep { $_->{status} == 201 && !replayed($_) } @r;
        my @again = grep { $_->{status} == 201 && replayed($_) } @r;
        my @twins = grep { $_->{status} == 409 } @r;
        $seen{'201 fresh'} += @fresh;
        $seen{'201 replayed'} += @again;
        $seen{409} += @twins;
        push @wrong, "round $round: " . @fresh . ' fresh' if @fresh != 1;
        push @wrong, "round $round: another replay: $_->{body}"
            for grep { $_->{body} ne $fresh[0]{body} } @again;
        for my $r (@twins) {
            push @wrong, problem_faults($r, 409, 'idempotency_in_progress');
            push @wrong, 'no Retry-After'
                if ($r->header('Retry-After') // '') !~ /\A[1-9]\d*\z/;
        }
        push @wrong, "round $round: $_->{status} $_->{body}"
            for grep { $_->{status} !~ /\A(?:201|409)\z/ } @r;
    }

    is_deeply \@wrong, [], "$twins twins, $rounds times: " .
        join ', ', map { "$seen{$_} × $_" } sort keys %seen
        or diag join "\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)];
    is projects('at once'), $rounds, 'one project each';
    is $s->psql("select count(*), count(distinct resource_id)
                   from tenon.event e
                  where action = 'project.created' and exists (
                        select from teamos.project p
                         where p.id = e.resource_id and p.name = 'at once')"),
        "$rounds|$rounds", 'one event each';
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:crit|emerg)\]|\[error\].*tenon: (?!database connection lost)/,
    'nothing alarmed nginx but what was done to it';

done_testing;
