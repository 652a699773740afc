#!/usr/bin/perl

# AsyncStand's story (rows A1, A5 without the clock, A9, A10 and A13 of the
# product): a team in one time zone, a stand-up with questions, its answers,
# who took part, and the history of all of it. Over HTTP, beside TeamOS.

use strict;
use utf8;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(apps => ['teamos', 'asyncstand']);
my $nobody = '01900000-7777-7000-8000-0123456789ab';
my %user = map { $_ => $s->request(GET => 'me', as => $_)->json->{id} }
    qw(alice bob carol dave);
$s->hire('erin', 'acme', 'member');
$user{erin} = $s->request(GET => 'me', as => 'erin')->json->{id};

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

sub version { return (headers => ['If-Match' => qq("$_[0]")]) }

my (%team, %member, %config, @question, %standup);

subtest 'A1 a team of the organization' => sub {
    problem_is as('bob', POST => 'teams', json => {
                      name => '', timezone => '' }),
        422, 'invalid_fields', 'all faults at once',
        '/name' => 'too_short', '/timezone' => 'too_short';
    my $r = as('bob', POST => 'teams', json => {
        name => 'Kernel', timezone => 'Mars/Olympus' });
    problem_is $r, 422, 'invalid_fields', 'a time zone that there is',
        '/timezone' => 'refused';
    like $r->json->{errors}[0]{detail} . $r->json->{detail}, qr{Mars/Olympus},
        'in words';

    %team = %{ make('bob', 'teams', name => 'Kernel',
                    timezone => 'Pacific/Kiritimati') };
    is $team{timezone}, 'Pacific/Kiritimati', 'a team';
    problem_is as('bob', POST => 'teams', json => { name => 'Kernel' }), 409,
        'duplicate', 'of one name', '/name' => 'duplicate';
    problem_is as('carol', POST => 'teams', json => { name => 'Mine' }), 403,
        'forbidden', 'members make none';
    problem_is as('bob', PATCH => "teams/$team{id}",
                  json => { timezone => 'Nowhere' }),
        422, 'invalid_fields', 'nor is it moved nowhere',
        '/timezone' => 'refused';

    for my $who (qw(carol erin alice)) {
        $member{$who} = make('bob', 'team-members', team_id => $team{id},
                             user_id => $user{$who})->{id};
    }
    problem_is as('bob', POST => 'team-members', json => {
                      team_id => $team{id}, user_id => $user{carol} }),
        409, 'duplicate', 'nobody twice',
        '/team_id' => 'duplicate', '/user_id' => 'duplicate';
    problem_is as('bob', POST => 'team-members', json => {
                      team_id => $team{id}, user_id => $user{dave} }),
        422, 'invalid_fields', 'only of the organization',
        '/user_id' => 'not_found';
    is scalar rows(as('carol', GET => "teams/$team{id}/team-members")), 3,
        'the team';
    problem_is as('carol', DELETE => "team-members/$member{erin}"), 403,
        'forbidden', 'one sends nobody else away';
    status_is as('alice', DELETE => "team-members/$member{alice}"), 204,
        'but may leave';
};

subtest 'A5, A9 a stand-up is set up' => sub {
    problem_is as('bob', POST => 'standup-configs', json => {
                      team_id => $team{id}, name => 'Daily',
                      weekdays => 'mon,someday', time_of_day => '25:00',
                      response_minutes => 1 }),
        422, 'invalid_fields', 'all faults at once',
        '/weekdays' => 'bad_format', '/time_of_day' => 'bad_format',
        '/response_minutes' => 'out_of_range';
    %config = %{ make('bob', 'standup-configs', team_id => $team{id},
                      name => 'Daily', time_of_day => '09:30') };
    is_deeply [@config{qw(weekdays response_minutes is_active)}],
        ['mon,tue,wed,thu,fri', 480, JSON::PP::true()], 'with defaults';

    problem_is as('bob', PATCH => "standup-configs/$config{id}",
                  json => { response_minutes => 60 }),
        428, 'precondition_required', 'changed by who has read it';
    my $r = as('bob', PATCH => "standup-configs/$config{id}", version(1),
               json => { response_minutes => 60 });
    status_is $r, 200, 'so';
    problem_is as('alice', PATCH => "standup-configs/$config{id}", version(1),
                  json => { response_minutes => 90 }),
        412, 'precondition_failed', 'of two at once, one';

    problem_is as('bob', POST => "standup-configs/$config{id}/start",
                  version(2)), 409, 'state_conflict', 'with nothing to ask';

    @question = map { make('bob', 'questions', config_id => $config{id}, %$_) }
        { position => 1, content => 'What did you do?' },
        { position => 2, content => 'What is next?' },
        { position => 3, content => 'Anything else?',
          is_required => JSON::PP::false() };
    problem_is as('bob', POST => 'questions', json => {
                      config_id => $config{id}, position => 2,
                      content => 'x' }),
        409, 'duplicate', 'each in its place',
        '/config_id' => 'duplicate', '/position' => 'duplicate';
    is_deeply [map { $_->{content} } rows(as('carol', GET =>
            "standup-configs/$config{id}/questions?sort=position"))],
        ['What did you do?', 'What is next?', 'Anything else?'], 'in order';

    make('bob', 'standup-config-members', config_id => $config{id},
         team_member_id => $member{$_}) for qw(carol erin);
    my %elsewhere = %{ make('bob', 'teams', name => 'Elsewhere') };
    my $other = make('bob', 'team-members', team_id => $elsewhere{id},
                     user_id => $user{alice})->{id};
    $r = as('bob', POST => 'standup-config-members', json => {
        config_id => $config{id}, team_member_id => $other });
    problem_is $r, 422, 'invalid_fields', 'who is asked is in the team',
        '/team_member_id' => 'refused';
};

subtest 'A5 a stand-up' => sub {
    problem_is as('bob', POST => 'standups', json => {}), 403, 'forbidden',
        'is not made like a row';
    problem_is as('carol', POST => "standup-configs/$config{id}/start",
                  version(2)), 403, 'forbidden', 'nor by everybody';
    problem_is as('bob', POST => "standup-configs/$config{id}/start"), 428,
        'precondition_required', 'nor blindly';
    my @key = ('If-Match' => '"2"', 'Idempotency-Key' => 'today');
    my $r = as('bob', POST => "standup-configs/$config{id}/start",
               headers => \@key);
    status_is $r, 200, 'it is started';
    %standup = %{ $r->json };
    is_deeply [sort keys %standup],
        [qw(closes_at day participants standup_id)], 'what came of it';
    is $standup{participants}, 2, 'who is asked';
    is $standup{day}, $s->psql("select (now() at time zone
        'Pacific/Kiritimati')::date"), "today, where the team is";
    my $again = as('bob', POST => "standup-configs/$config{id}/start",
                   headers => \@key);
    is $again->{body}, $r->{body}, 'the same request again is the same';
    problem_is as('bob', POST => "standup-configs/$config{id}/start",
                  version(2)), 409, 'duplicate', 'one a day';

    my $id = $standup{id} = $standup{standup_id};
    my ($event) = rows(as('alice', GET =>
        'audit/events?action=standup.created'));
    is_deeply [$event->{resource_id}, $event->{actor}{id},
               $event->{metadata}{cause}],
        [$id, $user{bob}, 'standup_config.start'], 'the log: by whom, how';
    status_is as('carol', GET => "standups/$id"), 200, 'it is there';
};

sub answer {
    my ($who, $n, $text) = @_;
    return as($who, POST => 'answers', json => {
        standup_id => $standup{id}, question_id => $question[$n]{id},
        content => $text });
}

subtest 'A5 answers' => sub {
    status_is answer('carol', 0, 'Wrote tests.'), 201, 'an answer';
    status_is answer('carol', 1, 'More tests.'), 201, 'and another';
    my $r = answer('carol', 1, 'Even more.');
    problem_is $r, 409, 'duplicate', 'once each',
        map { ("/$_" => 'duplicate') }
        qw(standup_id question_id created_by);
    $r = answer('alice', 0, 'I am not in it.');
    problem_is $r, 403, 'forbidden', 'only by who is asked';
    is $r->json->{reason}, 'not_asked', 'why, for programs';

    my $else = make('bob', 'standup-configs', team_id => $team{id},
                    name => 'Retro');
    my $question = make('bob', 'questions', config_id => $else->{id},
                        position => 1, content => 'Why?');
    problem_is as('carol', POST => 'answers', json => {
                      standup_id => $standup{id}, content => 'x',
                      question_id => $question->{id} }),
        422, 'invalid_fields', 'to its own questions',
        '/question_id' => 'refused';

    status_is answer('erin', 2, 'Birthday on Friday!'), 201,
        'erin says the least';
    my ($mine) = rows(as('erin', GET => "standups/$standup{id}/answers?q=birth"));
    is $mine->{created_by}, $user{erin}, 'who said what';
    problem_is as('carol', PATCH => "answers/$mine->{id}",
                  json => { content => 'x' }), 403, 'forbidden',
        "nobody changes another's";
    status_is as('erin', PATCH => "answers/$mine->{id}",
                 json => { content => 'Birthday on Thursday!' }), 200,
        'the own, yes';
};

subtest 'A5 participation' => sub {
    problem_is as('carol', POST => "standups/$standup{id}/close"), 403,
        'forbidden', 'not closed by everybody';
    my $r = as('bob', POST => "standups/$standup{id}/close");
    status_is $r, 200, 'it is closed';
    is_deeply [@{ $r->json }{qw(status version)}], ['closed', 2], 'so it says';
    my $request = $r->header('X-Request-Id');
    $r = as('bob', POST => "standups/$standup{id}/close");
    problem_is $r, 409, 'state_conflict', 'once';
    $r = answer('erin', 0, 'Too late.');
    problem_is $r, 409, 'state_conflict', 'no answers any more';
    is $r->json->{reason}, 'standup_closed', 'why';
    my ($mine) = rows(as('erin', GET => 'answers?q=birth'));
    problem_is as('erin', PATCH => "answers/$mine->{id}",
                  json => { content => 'x' }), 409, 'state_conflict',
        'nor changes';

    my %of = map { $_->{user_id} => $_ }
        rows(as('bob', GET => "standups/$standup{id}/participations"));
    is_deeply [@{ $of{ $user{carol} } }{qw(asked answered outcome)}],
        [2, 2, 'complete'], 'carol has answered all';
    is_deeply [@{ $of{ $user{erin} } }{qw(asked answered outcome)}],
        [2, 0, 'partial'], 'erin some';
    is scalar(keys %of), 2, 'nobody else was asked';
    is_deeply [map { $_->{user_id} } rows(as('carol', GET =>
        "standups/$standup{id}/participations"))], [$user{carol}],
        'members see their own';
    my @events = rows(as('alice', GET => "audit/events?request_id=$request"));
    is_deeply [sort map { $_->{action} } @events],
        [qw(participation.created participation.created standup.close)],
        'one request, all of it logged';
    is_deeply [map { $_->{metadata}{cause} } grep {
        $_->{action} eq 'participation.created' } @events],
        [('standup.close') x 2], 'with its cause';
};

subtest 'A10 a question about many' => sub {
    my $path = "queries/participation-rate?team=$team{id}&since=2020-01-01";
    my $r = as('bob', GET => $path);
    status_is $r, 200, 'who takes part';
    is_deeply [map { { %$_ } } rows($r)], [
        { user_id => $user{carol}, standups => 1, complete => 1,
          partial => 0, missing => 0, rate => 1 },
        { user_id => $user{erin}, standups => 1, complete => 0,
          partial => 1, missing => 0, rate => 0 } ], 'and how much';
    is_deeply [rows(as('bob', GET => "$path&until=2020-12-31"))], [],
        'in its time';
    is_deeply [rows(as('dave', GET => $path))], [], 'at home';
    problem_is as('bob', GET => 'queries/participation-rate?since=now'), 400,
        'invalid_parameter', 'typed',
        team => 'required', since => 'bad_format';
    problem_is as('carol', GET => $path), 403, 'forbidden',
        'for who leads';
};

subtest 'A13 the history of everything' => sub {
    as('bob', PATCH => "questions/$question[1]{id}", version(1),
       json => { content => 'What is next, really?' });
    my ($answer) = rows(as('erin', GET => 'answers?q=birth'));
    my %row = (
        teams                    => $team{id},
        'team-members'           => $member{carol},
        'standup-configs'        => $config{id},
        questions                => $question[1]{id},
        'standup-config-members' => (rows(as('bob', GET =>
            "standup-configs/$config{id}/standup-config-members")))[0]{id},
        standups                 => $standup{id},
        answers                  => $answer->{id},
        participations           => (rows(as('carol', GET =>
            'participations')))[0]{id},
    );
    my @served = grep { m{\A/v1/([a-z-]+)/\{id\}/history\z} &&
                        !/projects|tasks|comments/ }
        sort keys %{ $s->openapi->{paths} };
    is_deeply [map { m{/v1/([a-z-]+)/} } @served], [sort keys %row],
        'every resource has one';
    for my $path (sort keys %row) {
        my $r = as('carol', GET => "$path/$row{$path}/history");
        status_is $r, 200, "$path/{id}/history";
        like +(rows($r))[-1]{action}, qr/\.created\z/, 'from the beginning';
    }
    is_deeply [map { $_->{action} } rows(as('carol', GET =>
            "standups/$standup{id}/history"))],
        ['standup.close', 'standup.created'], 'actions by their names';

    my $r = as('bob', POST => "questions/$question[1]{id}/rollback",
               version(2), json => { version => 1 });
    status_is $r, 200, 'and back';
    is $r->json->{content}, 'What is next?', 'as it was';
};

subtest 'the demo' => sub {
    my ($daily) = rows(as('wanda', GET => 'standup-configs'));
    is $daily->{name}, 'Daily', 'has a stand-up';
    my $r = as('vic', POST => "standup-configs/$daily->{id}/start",
               headers => ['If-Match' => '*']);
    status_is $r, 200, 'which can be started';
    is $r->json->{participants}, 2, 'for two';
    is scalar rows(as('yan', GET => 'standups')), 1, 'who see it';
};

subtest 'isolation' => sub {
    my %id = ('teams' => $team{id}, 'standups' => $standup{id},
              'standup-configs' => $config{id});
    for my $try (map({ my $path = $_; map { ["$path/%s$_"] }
                       '', '/history' } sort keys %id),
                 ['standups/%s/answers'], ['standups/%s/participations'],
                 ['standup-configs/%s/start', 1], ['standups/%s/close', 1]) {
        my ($path, $post) = @$try;
        my ($kind) = split m{/}, $path;
        my ($foreign, $absent) = map {
            as('dave', ($post ? 'POST' : 'GET') => sprintf($path, $_),
               headers => [fixed_id(), 'If-Match' => '*'])
        } $id{$kind}, $nobody;
        is $foreign->{status}, 404, $path;
        is $foreign->visible, $absent->visible, 'as if it were not there';
    }
    is_deeply [rows(as('dave', GET => $_))], [], "no foreign $_"
        for 'teams', 'team-members', 'standup-configs', 'questions',
            'standups', 'answers', 'participations', 'answers?q=birth';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
