#!/usr/bin/perl

# What lists promise beyond filters (lists.t): search, order, cursors that
# can't be bent, links, fields, and one answer for every way to ask wrongly.

use strict;
use utf8;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Encode ();
use Test::More;
use TenonCheck;
use TenonServer ();

binmode $_, ':utf8' for Test::More->builder->output,
    Test::More->builder->failure_output;

my $s = TenonServer->new;

sub alice { return $s->request(@_[0, 1], as => 'alice', @_[2 .. $#_]) }

sub escaped {
    return join '', map { /[A-Za-z0-9]/ ? $_ : sprintf '%%%02X', ord }
        split //, Encode::encode('UTF-8', $_[0]);
}

sub ids {
    my ($path) = @_;
    my $r = alice(GET => $path);
    return "$r->{status} $r->{body}" if $r->{status} != 200;
    return join ' ', map { $_->{id} } @{ $r->json->{data} };
}

my $project = alice(POST => 'projects', json => { name => 'Lists' })->json;

sub task {
    my (%with) = @_;
    my $r = alice(POST => 'tasks', json => {
        project_id => $project->{id}, title => 'x', %with });
    die $r->{body} if $r->{status} != 201;
    return $r->json->{id};
}

subtest 'search' => sub {
    my %task = map { $_ => task(title => $_) }
        'Größe der STRASSE', '100% sure_thing', 'back\\slash', "it's",
        "two\nlines", 'Ελληνικός', '東京タワー', 'percent 100x';
    my $found = sub {
        my ($q) = @_;
        return ids('tasks?q=' . escaped($q));
    };

    for my $case (
        ['strasse',    'Größe der STRASSE', 'whatever the case'],
        ['GRÖSS',      undef,               'letter by letter'],
        ['gröSSe',     undef,               'an ß is no ss'],
        ['GRÖßE',      'Größe der STRASSE', 'beyond ASCII'],
        ['ße der st',  'Größe der STRASSE', 'in the middle'],
        ['100%',       '100% sure_thing',   'a per cent sign is one'],
        ['e_t',        '100% sure_thing',   'an underscore is one'],
        ['k\\s',       'back\\slash',       'a backslash is one'],
        ["it's",       "it's",              'a quote is one'],
        ["o\nl",       "two\nlines",        'over a line end'],
        ['ΕΛΛΗΝΙΚ',    'Ελληνικός',         'Greek'],
        ['京タ',       '東京タワー',        'two characters of Japanese'],
        ['no such',    undef,               'what is not there'],
    ) {
        my ($q, $title, $name) = @$case;
        is $found->($q), defined $title ? $task{$title} : '', "$name: $q";
    }

    is $found->(' sure'), $task{'100% sure_thing'}, 'a space counts';
    is ids('tasks?q=sure&status=done'), '', 'beside a filter';
    is ids('tasks?q=sure&status=todo&sort=created_at&fields=id'),
        $task{'100% sure_thing'}, 'beside everything else';
    problem_is alice(GET => "tasks?q=$_"), 400, 'invalid_parameter',
        'less than two characters or three bytes', q => 'out_of_range'
        for 'a', 'ab', '%C3%A9';
    problem_is alice(GET => 'tasks?q='), 400, 'invalid_parameter',
        'nothing to search for', q => 'out_of_range';
    problem_is alice(GET => 'tasks?q=' . 'x' x 201), 400,
        'invalid_parameter', 'far too much', q => 'out_of_range';
    problem_is alice(GET => 'members?q=alice'), 400, 'unknown_parameter',
        'where no search is declared', q => 'unknown_field';

    status_is alice(DELETE => "tasks/$task{q(it's)}"), 204, 'deleted';
    is $found->("it's"), '', 'is found no more';
    status_is $s->request(GET => 'tasks?q=sure', as => 'dave'), 200, 'dave';
    is_deeply $s->request(GET => 'tasks?q=sure', as => 'dave')->json->{data},
        [], 'finds nothing of acme';

    my @many = map { task(title => "needle $_") } 1 .. 5;
    my ($path, @paged) = ('tasks?q=needle&limit=2');
    while (defined $path) {
        my $r = alice(GET => $path);
        push @paged, map { $_->{id} } @{ $r->json->{data} };
        ($path) = map { /<(.*)>; rel="next"/ } $r->headers('Link');
    }
    is_deeply \@paged, [reverse @many], 'page by page';
};

subtest 'order' => sub {
    my @all = split / /, ids('tasks?limit=100');
    is ids('tasks?limit=100&sort=-created_at'), "@all", '-created_at';
    is ids('tasks?limit=100&sort=created_at'), join(' ', reverse @all),
        'created_at';
    for my $sort ('title', 'updated_at', '-nothing', 'created_at,id', '',
                  '--created_at', '+created_at', 'CREATED_AT') {
        problem_is alice(GET => 'tasks?sort=' . escaped($sort)), 400,
            'invalid_parameter', "not by '$sort'", sort => 'not_in_set';
    }

    # Rows of one moment are told apart by their ids.
    my @ids = map { task(title => "tie $_") } 1 .. 5;
    $s->psql("update teamos.task set created_at = '2026-01-01T00:00:00Z'
               where title like 'tie %'");
    for my $case (['-created_at', reverse sort @ids],
                  ['created_at', sort @ids]) {
        my ($sort, @want) = @$case;
        my ($path, @paged) = ("tasks?q=tie&limit=2&sort=$sort");
        while (defined $path) {
            my $r = alice(GET => $path);
            push @paged, map { $_->{id} } @{ $r->json->{data} };
            ($path) = map { /<(.*)>; rel="next"/ } $r->headers('Link');
        }
        is_deeply \@paged, \@want, "$sort: ties by id, page by page";
    }
};

subtest 'cursors' => sub {
    my $page = alice(GET => 'tasks?limit=2&status=todo');
    my $cursor = $page->json->{next_cursor};
    like $cursor, qr/\A[A-Za-z0-9._~-]+\z/, 'needs no escaping';
    status_is alice(GET => "tasks?limit=2&status=todo&cursor=$cursor"), 200,
        'serves its list';
    status_is alice(GET => "tasks?limit=9&status=todo&cursor=$cursor"), 200,
        'with another limit too';
    status_is $s->request(GET => "tasks?limit=2&status=todo&cursor=$cursor",
                          as => 'bob'), 200, 'and other people of the tenant';

    for my $case (
        ['another filter',    'tasks?status=done'],
        ['no filter',         'tasks?limit=2'],
        ['one more filter',   'tasks?status=todo&priority=low'],
        ['several values',    'tasks?status=todo,done'],
        ['the other order',   'tasks?status=todo&sort=created_at'],
        ['a search',          'tasks?status=todo&q=xyz'],
        ['another list',      'projects?limit=2'],
        ['a nested list',     "projects/$project->{id}/tasks?status=todo"],
        ['the audit log',     'audit/events?limit=2'],
    ) {
        my ($name, $path) = @$case;
        problem_is alice(GET => "$path&cursor=$cursor"), 400,
            'invalid_cursor', $name;
    }
    problem_is $s->request(GET => "tasks?status=todo&cursor=$cursor",
                           as => 'dave'), 400, 'invalid_cursor',
        'another tenant';

    # A plain list's, where nothing but the list itself differs.
    $cursor = alice(GET => 'tasks?limit=2')->json->{next_cursor};
    my $row = $page->json->{data}[0]{id};
    for my $path ('projects', 'comments', 'members', 'invitations',
                  'me/tenants', 'audit/access', 'audit/events',
                  "projects/$project->{id}/tasks", "tasks/$row/comments",
                  "tasks/$row/history") {
        problem_is alice(GET => "$path?limit=2&cursor=$cursor"), 400,
            'invalid_cursor', "tasks' at $path";
    }

    $cursor = $page->json->{next_cursor};
    my @tampered;
    for my $i (0 .. length($cursor) - 1) {
        for my $with (qw(A z -)) {
            my $bent = $cursor;
            next if substr($bent, $i, 1) eq $with;
            substr $bent, $i, 1, $with;
            my $r = alice(GET => "tasks?status=todo&cursor=$bent");
            push @tampered, "$i $with: $r->{status}"
                if problem_faults($r, 400, 'invalid_cursor');
        }
    }
    # The last character holds bits that a decoder may drop; none is let by.
    is_deeply \@tampered, [], 'every character of it counts';
    problem_is alice(GET => "tasks?status=todo&cursor=$_"), 400,
        'invalid_cursor', 'cut or lengthened'
        for substr($cursor, 0, -1), "${cursor}A", "A$cursor", "$cursor=",
            'A' x 5000;
};

subtest 'links' => sub {
    my $r = alice(GET => 'tasks?limit=1&priority=medium&fields=id');
    my @links = $r->headers('Link');
    is @links, 1, 'one Link';
    my ($target) = $links[0] =~ m{\A<(/api/v1/tasks\?[^>]*)>; rel="next"\z};
    ok $target, 'to the next page, path-absolute' or diag $links[0];
    my %query = map { split /=/ } split /&/, $target =~ s/.*\?//r;
    is_deeply \%query, { limit => 1, priority => 'medium', fields => 'id',
                         cursor => $r->json->{next_cursor} },
        'with all that was asked';
    is alice(GET => 'tasks?status=done&limit=100')->header('Link'), undef,
        'no Link at the end';
    is alice(GET => 'tasks?status=done&limit=100')->json->{next_cursor},
        undef, 'nor a cursor';

    # With brackets, commas and what else needs an escape.
    my $path = 'tasks?limit=1&created_at%5Bgte%5D=2020-01-01T00%3A00%3A00Z' .
        '&status=todo,in_progress&q=' . escaped('tie');
    my $first = alice(GET => $path);
    ($target) = ($first->header('Link') // '') =~ /<(.*)>/;
    my $second = alice(GET => $target);
    status_is $second, 200, 'a link with escapes works';
    isnt $second->json->{data}[0]{id}, $first->json->{data}[0]{id},
        'and goes on';
};

subtest 'fields' => sub {
    my $id = task(title => 'some of it');
    my $r = alice(GET => "tasks/$id?fields=title,version");
    is_deeply $r->json, { title => 'some of it', version => 1 },
        'of one row, exactly those';
    isnt $r->header('ETag'), '"1"', 'another representation, another ETag';
    status_is alice(GET => "tasks/$id?fields=title,version",
                    headers => ['If-None-Match' => $r->header('ETag')]), 304,
        'which validates it';
    status_is alice(GET => "tasks/$id?fields=title",
                    headers => ['If-None-Match' => $r->header('ETag')]), 200,
        'and no other choice';
    is_deeply alice(GET => "tasks/$id?fields=version,title")->json,
        $r->json, 'in any order';

    for my $fields ('nothing', 'tenant_id', 'deleted_at', 'id,nothing', '',
                    'id,', ',', 'Title', '*') {
        my $answer = alice(GET => "tasks?fields=" . escaped($fields));
        is $answer->{status}, 400, "fields=$fields" or diag $answer->{body};
        is_deeply [problem_faults($answer, 400, 'invalid_parameter')], [],
            'is a problem';
    }
};

subtest 'filters, asked wrongly' => sub {
    for my $case (
        ['created_at[foo]=2020-01-01T00:00:00Z', 'unknown_parameter'],
        ['created_at[gte]=yesterday',     'invalid_parameter'],
        ['created_at[gte]=2020-13-01T00:00:00Z', 'invalid_parameter'],
        ['created_at[gte]=2020-02-30T00:00:00Z', 'invalid_parameter'],
        ['created_at[gte]=2020-01-01',    'invalid_parameter'],
        ['created_at[gte]=',              'invalid_parameter'],
        ['status=todo,late',              'invalid_parameter'],
        ['status=todo,',                  'invalid_parameter'],
        ['status=',                       'invalid_parameter'],
        ['status[ne]=late',               'invalid_parameter'],
        ['status=todo&status=done',       'invalid_parameter'],
        ['project_id=x,y',                'invalid_parameter'],
        ['tenant_id=01900000-000b-7000-8000-000000000001',
         'unknown_parameter'],
        ['title[gt]=a',                   'unknown_parameter'],
        ['Status=todo',                   'unknown_parameter'],
        ['[gte]=1',                       'unknown_parameter'],
        ['created_at[gte=2020-01-01T00:00:00Z', 'unknown_parameter'],
        ['offset=10',                     'unknown_parameter'],
        ['page=2',                        'unknown_parameter'],
        ['=x',                            'unknown_parameter'],
    ) {
        my ($query, $code) = @$case;
        my $r = alice(GET => "tasks?$query");
        is_deeply [problem_faults($r, 400, $code)], [], $query
            or diag $r->{body};
        ok scalar @{ $r->json->{errors} || [] }, '... and names it';
    }
    my $nobody = '01900000-7777-7000-8000-0123456789ab';
    is ids("tasks?project_id=$nobody"), '', 'an absent id finds nothing';
    is ids('tasks?created_at[gte]=2020-01-01T00:00:00Z' .
           '&created_at[lt]=2020-01-02T00:00:00Z'), '', 'a range of nothing';
    is ids('tasks?created_at[gte]=2026-01-01T01:00:00%2B01:00' .
           '&created_at[lte]=2026-01-01T00:00:00Z&limit=1&sort=created_at'),
        ids('tasks?created_at=2026-01-01T00:00:00Z&limit=1&sort=created_at'),
        'an offset is the same moment';
};

subtest 'lists of the platform keep the same rules' => sub {
    $s->hire("p$_", 'acme', 'member') for 1 .. 4;
    alice(POST => 'invitations', json => { email => "i$_\@acme.test",
                                           role => 'member' }) for 1 .. 3;
    alice(POST => 'tenants', proven => 1, json => { name => $_, slug => $_ })
        for qw(first-more second-more);
    for my $list (qw(members invitations audit/events audit/access
                     me/tenants)) {
        my ($path, @paged) = ("$list?limit=2");
        while (defined $path && @paged < 500) {
            my $r = alice(GET => $path);
            status_is $r, 200, $path if $r->{status} != 200;
            last if $r->{status} != 200;
            push @paged, map { $_->{id} } @{ $r->json->{data} };
            ($path) = map { /<(.*)>; rel="next"/ } $r->headers('Link');
        }
        my %once = map { $_ => 1 } @paged;
        cmp_ok scalar @paged, '>', 2, "$list has pages";
        is scalar keys %once, scalar @paged, "$list: each row once";
        problem_is alice(GET => "$list?limit=101"), 400, 'invalid_parameter',
            "$list?limit=101", limit => 'out_of_range';
        problem_is alice(GET => "$list?colour=red"), 400, 'unknown_parameter',
            "$list?colour=red", colour => 'unknown_field';
        problem_is alice(GET => "$list?cursor=x"), 400, 'invalid_cursor',
            "$list?cursor=x";
    }
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
