#!/usr/bin/perl

# Mono over HTTP: rows belong to accounts. Who holds a role in one sees and
# changes that account's and those of the accounts that lie in it; a role given
# or taken, an account moved counts at the next request, on every worker.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(apps => ['mono']);
my $n = 0;

# The demo's ids, by their ends.
sub north { return sprintf '01900000-0012-7000-8000-%012d', shift }
sub south { return sprintf '01900000-0013-7000-8000-%012d', shift }
my %account = (agency => north(401), berlin => north(402),
               lisbon => north(403));
my %user = (ada => north(201), ben => north(202), cem => north(203),
            dina => north(204), eve => north(205));
my $random = '01900000-7777-7000-8000-0123456789ab';

sub call {
    my ($who, $method, $path, $json, @headers) = @_;
    return $s->request($method, $path, as => $who,
                       $json ? (json => $json) : (),
                       headers => [fixed_id(), @headers]);
}

sub made {
    my ($r) = @_;
    return $r->json->{id} // die "not made: $r->{status} $r->{body}\n";
}

sub profile {
    my ($who, $in, %more) = @_;
    return made(call($who, POST => 'profiles', {
        account_id => $account{$in}, display_name => 'P' . ++$n, %more }));
}

sub names {
    my ($who, $path) = @_;
    my $r = call($who, GET => $path);
    return "$r->{status}" if $r->{status} != 200;
    return join ', ', sort map { $_->{display_name} // $_->{title} //
                                 $_->{name} } @{ $r->json->{data} };
}

my $all = 'Anouk Adler, Bela Brandt, Clara Costa, Duo Delta';

subtest 'lists hold the accounts that one reaches' => sub {
    is names('ada', 'profiles'), $all, 'the tenant\'s owner all';
    is names('ben', 'profiles'), $all, 'who owns the agency its branches, too';
    is names('cem', 'profiles'), 'Anouk Adler, Bela Brandt', 'Berlin\'s';
    is names('dina', 'profiles'), 'Clara Costa', 'Lisbon\'s';
    is names('eve', 'profiles'), '', 'nothing is shared with eve yet';
    is names('eve', 'works'), '403', 'and work is not for her at all';
    is names('cem', 'profiles?sort=display_name&limit=1'), 'Anouk Adler',
        'by name';
    is names('cem', 'profiles?q=Costa'), '', 'a search finds no more';
    is names('dina', 'profiles?q=Costa'), 'Clara Costa', 'than one sees';
    is names('cem', "profiles?account_id=$account{lisbon}"), '',
        'nor does a filter';
    is names('ben', "profiles?account_id=$account{lisbon}"), 'Clara Costa',
        'which is there for who sees the account';
    is names('cem', 'works'), 'Winter coats', 'another resource';
    is names('cem', 'profiles/' . north(601) . '/works'), 'Winter coats',
        'nested';
    is names('cem', 'profiles/' . north(603) . '/works'), '404',
        'and not in what is not seen';

    my ($next, @seen) = ('');
    for (1 .. 5) {
        my $r = call('ben', GET => "profiles?limit=1$next");
        push @seen, $r->json->{data}[0]{display_name};
        my $cursor = $r->json->{next_cursor} or last;
        $next = "&cursor=$cursor";
    }
    is join(', ', sort @seen), $all, 'page by page';
};

subtest 'accounts and their members' => sub {
    is names('ada', 'accounts'), 'Berlin, Lisbon, Northlight', 'all';
    is names('ben', 'accounts'), 'Berlin, Lisbon, Northlight', 'from above';
    is names('cem', 'accounts'), 'Berlin', 'one\'s own';
    is names('eve', 'accounts'), '403', 'none';
    is names('ben', 'account-members'), 'Ben, Cem, Dina', 'their members';
    is names('dina', 'account-members'), 'Dina', 'of one\'s own account';
    is names('dina', "accounts/$account{lisbon}/members"), 'Dina', 'nested';
    is names('dina', "accounts/$account{berlin}/members"), '404', 'unseen';
    is call('cem', GET => "accounts/$account{agency}")->visible,
        call('cem', GET => "accounts/$random")->visible,
        'what lies around one\'s own is as if it were not';
};

# Foreign as absent, by each way to one row.
subtest 'another account\'s rows are not there' => sub {
    my $theirs = north(603);
    my @ways = (
        [GET => ''], [PATCH => '', { display_name => 'X' }],
        [PATCH => '', {}], [DELETE => ''], [GET => '/history'],
        [POST => '/restore'], [POST => '/publish', {}],
        [POST => '/rollback', { version => 1 }], [GET => '/works'],
    );
    my $before = $s->psql("select md5(string_agg(p::text, '' order by id))
                             from mono.profile p");
    for my $way (@ways) {
        my ($method, $tail, $json) = @$way;
        for my $who (qw(cem eve)) {
            for my $header ([], ['If-Match' => '"1"'],
                            ['Idempotency-Key' => 'k' . ++$n]) {
                next if $method eq 'GET' && @$header;
                my ($foreign, $absent) = map {
                    call($who, $method, "profiles/$_$tail", $json, @$header)
                } $theirs, $random;
                is $foreign->visible, $absent->visible,
                    "$who $method $tail @$header: $foreign->{status}";
                like $foreign->{status}, qr/\A40[34]\z/, 'refused';
            }
        }
    }
    is $s->psql("select md5(string_agg(p::text, '' order by id))
                   from mono.profile p"), $before, 'nothing has changed';
};

subtest 'what is seen and not allowed is refused' => sub {
    my $bens = north(602);
    for my $try ([PATCH => "profiles/$bens", { display_name => 'X' }],
                 [PATCH => "profiles/$bens", {}],
                 [DELETE => "profiles/$bens"]) {
        problem_is call('cem', @$try), 403, 'forbidden', "@$try[0, 1]";
    }
    problem_is call('cem', POST => "profiles/$bens/publish", {}),
        403, 'forbidden', 'an action that no role of theirs has';
    like $s->psql("select string_agg(action || ' ' || outcome, ',')
                     from tenon.event where resource_id = '$bens'
                      and actor = '$user{cem}'"),
        qr/profile\.updated refused/, 'and written down';
    status_is call('cem', GET => "profiles/$bens/history"), 404,
        'history is for one\'s own';
    status_is call('ben', GET => "profiles/$bens/history"), 200, 'or the owner';
};

subtest 'own rows within an account' => sub {
    my $mine = profile('cem', 'berlin');
    status_is call('cem', PATCH => "profiles/$mine",
                   { display_name => 'Mine' }), 200, 'changed';
    status_is call('cem', PATCH => "profiles/$mine", {}), 200, 'left alone';
    status_is call('cem', GET => "profiles/$mine/history"), 200, 'looked back';
    problem_is call('cem', POST => "profiles/$mine/publish", {}), 403,
        'forbidden', 'not published';
    is call('ben', POST => "profiles/$mine/publish", {})->json->{status},
        'published', 'which the owner above does';
    status_is call('cem', DELETE => "profiles/$mine"), 204, 'deleted';
    problem_is call('cem', POST => "profiles/$mine/restore"), 403, 'forbidden',
        'not restored';
    status_is call('ben', POST => "profiles/$mine/restore"), 200,
        'which the owner above does';
    status_is call('ben', POST => "profiles/$mine/rollback", { version => 1 }),
        200, 'rolled back';
    is $s->psql("select count(*) from tenon.event
                  where resource_id = '$mine' and outcome = 'success'
                    and action <> 'profile.created'
                    and (scope_before, scope_after) is distinct from
                        ('$account{berlin}'::uuid,
                         case when action <> 'profile.deleted'
                              then '$account{berlin}'::uuid end)"), '0',
        'each event says whose the row was, and is';
};

subtest 'a new row is of an account that one reaches' => sub {
    my %p = (display_name => 'New');
    for my $bad ($account{lisbon}, $account{agency}, $random, south(401)) {
        problem_is call('cem', POST => 'profiles', { %p, account_id => $bad }),
            422, 'invalid_fields', 'not there', '/account_id' => 'not_found';
    }
    is call('cem', POST => 'profiles', { %p, account_id => $account{lisbon} })
           ->visible,
        call('cem', POST => 'profiles', { %p, account_id => $random })->visible,
        'a foreign one as none';
    problem_is call('cem', POST => 'profiles', \%p), 422, 'invalid_fields',
        'it must be said', '/account_id' => 'required';
    problem_is call('eve', POST => 'profiles',
                    { %p, account_id => $account{berlin} }), 403, 'forbidden',
        'who holds none makes none';
    problem_is call('cem', POST => 'works', {
        account_id => $account{berlin}, profile_id => north(603),
        title => 'X' }), 422, 'invalid_fields',
        'a parent that one doesn\'t see is none', '/profile_id' => 'not_found';
    status_is call('cem', POST => 'works', {
        account_id => $account{berlin}, profile_id => north(602),
        title => 'X' }), 201, 'one that one sees is one';
    problem_is call('ada', POST => 'profiles', { %p, account_id => $random }),
        422, 'invalid_fields', 'nor for the owner', '/account_id' =>
        'not_found';
};

subtest 'a row moves between accounts that one reaches' => sub {
    my $id = profile('ben', 'berlin');
    my $work = made(call('ben', POST => 'works', {
        account_id => $account{berlin}, profile_id => $id, title => 'W' }));
    my $mine = profile('dina', 'lisbon');
    problem_is call('dina', PATCH => "profiles/$mine",
                    { account_id => $account{berlin} }), 422,
        'invalid_fields', 'not out of reach', '/account_id' => 'not_found';
    status_is call('dina', PATCH => "profiles/$mine",
                   { account_id => $account{lisbon}, display_name => 'Same' }),
        200, 'where it is may be said';
    status_is call('ben', PATCH => "profiles/$id",
                   { account_id => $account{lisbon} }), 200, 'with both';
    status_is call('cem', GET => "profiles/$id"), 404, 'gone from Berlin';
    status_is call('dina', GET => "profiles/$id"), 200, 'come to Lisbon';
    status_is call('dina', GET => "works/$work"), 200, 'with its work';
    is $s->psql("select scope_before || ' ' || scope_after from tenon.event
                  where resource_id = '$id' and action = 'profile.updated'"),
        "$account{berlin} $account{lisbon}", 'the event says from where to where';
    problem_is call('dina', POST => "profiles/$id/rollback", { version => 1 }),
        422, 'invalid_fields', 'nobody rolls back to where they don\'t reach',
        '/account_id' => 'not_found';
    status_is call('ben', POST => "profiles/$id/rollback", { version => 1 }),
        200, 'who reaches both does';
    status_is call('cem', GET => "profiles/$id"), 200, 'and it is back';
};

# Every worker answers alike.
sub everywhere {
    my @call = @_;
    return join ' ', map {
        my $pid = $_;
        $s->alone($pid, sub { call(@call)->{status} });
    } $s->workers;
}

sub all_say {
    my ($status) = @_;
    return join ' ', ($status) x @{[$s->workers]};
}

subtest 'counts at the next request, everywhere' => sub {
    my @look = ('eve', GET => 'profiles/' . north(601));
    is everywhere(@look), all_say(404), 'eve sees nothing of Berlin\'s';
    for my $round (1 .. 3) {
        my $role = made(call('ben', POST => 'account-members', {
            account_id => $account{berlin}, user_id => $user{eve},
            role => 'account_user' }));
        is everywhere(@look), all_say(200), 'with a role there she does';
        my @change = ('eve', PATCH => 'profiles/' . north(602), {});
        is everywhere(@change), all_say(403), 'but changes nothing of ben\'s';
        status_is call('ben', PATCH => "account-members/$role",
                       { role => 'account_owner' }), 200, 'a role more';
        is everywhere(@change), all_say(200), 'and she does';
        status_is call('ben', DELETE => "account-members/$role"), 204, 'taken';
        is everywhere(@look), all_say(404), 'it is over';
    }

    my @lisbon = ('cem', GET => 'profiles/' . north(603));
    is everywhere(@lisbon), all_say(404), 'cem sees nothing of Lisbon\'s';
    status_is call('ben', PATCH => "accounts/$account{lisbon}",
                   { parent_id => $account{berlin} }), 200, 'Lisbon moves';
    is everywhere(@lisbon), all_say(200), 'into Berlin: now he does';
    my $deep = made(call('ben', POST => 'accounts', {
        name => 'Porto', kind => 'desk', parent_id => $account{lisbon} }));
    my $there = made(call('ben', POST => 'profiles', {
        account_id => $deep, display_name => 'Deep' }));
    is everywhere('cem', GET => "profiles/$there"), all_say(200),
        'a new account is its holders\' at once';
    status_is call('ben', PATCH => "accounts/$account{lisbon}",
                   { parent_id => $account{agency} }), 200, 'and back';
    is everywhere(@lisbon), all_say(404), 'it is over';
    is everywhere('cem', GET => "profiles/$there"), all_say(404), 'below, too';
    problem_is call('ben', DELETE => "accounts/$deep"), 409, 'state_conflict',
        'an account with rows stays';
    status_is call('ben', DELETE => "profiles/$there"), 204, 'without them';
    status_is call('ben', DELETE => "accounts/$deep"), 204, 'it goes';
    status_is call('ben', GET => "accounts/$deep"), 404, 'and is gone';
};

subtest 'single rows are shared' => sub {
    my $id = north(602);
    my %share = (resource => 'mono.profile', resource_id => $id,
                 user_id => $user{eve});
    for my $who (qw(cem dina eve)) {
        like call($who, POST => 'shares', \%share)->{status},
            qr/\A(?:403|422)\z/, "$who can't share it";
    }
    is call('dina', POST => 'shares', \%share)->visible =~ s/$id/ID/r,
        call('dina', POST => 'shares', { %share, resource_id => $random })
            ->visible =~ s/$random/ID/r, 'a row out of reach is none';
    problem_is call('ben', POST => 'shares', { %share,
        resource => 'mono.work' }), 422, 'invalid_fields', 'not declared',
        '/resource' => 'not_in_set';
    problem_is call('ben', POST => 'shares', { %share, user_id => $random,
        resource_id => $random }), 422, 'invalid_fields', 'nobody, nothing',
        '/user_id' => 'not_found', '/resource_id' => 'not_found';

    my $read = made(call('ben', POST => 'shares', \%share));
    problem_is call('ben', POST => 'shares', \%share), 409, 'duplicate',
        'once', '/user_id' => 'duplicate';
    is names('eve', 'profiles'), 'Bela Brandt', 'eve sees one row';
    status_is call('eve', GET => "profiles/$id"), 200, 'reads it';
    problem_is call('eve', PATCH => "profiles/$id", { type => 'artist' }),
        403, 'forbidden', 'and may not change it';
    status_is call('eve', DELETE => "profiles/$id"), 403, 'nor delete it';
    is names('eve', 'shares'), 'Eve', 'she sees what is shared with her';
    is names('cem', 'shares'), '', 'and no other';
    status_is call('ben', DELETE => "shares/$read"), 204, 'no longer shared';
    status_is call('eve', GET => "profiles/$id"), 404, 'no longer seen';

    my $write = made(call('ben', POST => 'shares',
                          { %share, access => 'update' }));
    my $etag = call('eve', GET => "profiles/$id")->header('ETag');
    status_is call('eve', PATCH => "profiles/$id", { type => 'artist' },
                   'If-Match' => $etag), 200, 'changed';
    problem_is call('eve', PATCH => "profiles/$id",
                    { account_id => $account{lisbon} }), 422,
        'invalid_fields', 'not moved', '/account_id' => 'not_found';
    is $s->psql("select account_id from tenon.share where id = '$write'"),
        $account{berlin}, 'a share is of the row\'s account';
    status_is call('ben', PATCH => "profiles/$id",
                   { account_id => $account{lisbon} }), 200, 'the row moves';
    is names('dina', 'shares'), 'Eve', 'and its share goes along';
    status_is call('dina', DELETE => "shares/$write"), 204,
        'which who owns the account ends';
    status_is call('ben', PATCH => "profiles/$id",
                   { account_id => $account{berlin} }), 200, 'back';
};

subtest 'an API key has what its scopes say, not what was shared' => sub {
    my ($mine, $shared) = (undef, north(602));
    status_is call('ada', POST => 'roles', {
        name => 'key_maker', title => 'Makes keys', permissions => [
            (map { { permission => "tenon.$_" } }
             qw(api_key:create api_key:read api_key:delete)),
            (map { { permission => "mono.profile:$_", scope => 'own' } }
             qw(read update)) ] }), 201, 'a role that makes keys';
    status_is call('ada', PATCH => 'members/' . north(305),
                   { role => 'key_maker' }), 200, 'eve gets it';
    my $share = made(call('ben', POST => 'shares', {
        resource => 'mono.profile', resource_id => $shared,
        user_id => $user{eve}, access => 'update' }));
    my $role = made(call('ben', POST => 'account-members', {
        account_id => $account{lisbon}, user_id => $user{eve},
        role => 'account_user' }));
    $mine = profile('eve', 'lisbon');
    my $own = call('eve', GET => "profiles/$mine")->json->{display_name};
    like names('eve', 'profiles'), qr/\ABela Brandt, .*\b$own\b/,
        'eve herself sees the shared row, too';

    my $key = sub {
        my (@scopes) = @_;
        my $r = call('eve', POST => 'api-keys', {
            name => "@scopes", scopes => \@scopes,
            refresh_token => $s->proof('eve') });
        status_is $r, 201, "a key: @scopes";
        my $secret = $r->json->{secret};
        return sub {
            my ($method, $path, $json) = @_;
            return $s->request($method, $path, at => 'northlight',
                               token => $secret, $json ? (json => $json) : (),
                               headers => [fixed_id()]);
        };
    };
    my $seen = sub {
        my ($with) = @_;
        my $r = $with->(GET => 'profiles');
        return $r->{status} == 200
            ? join ', ', sort map { $_->{display_name} } @{ $r->json->{data} }
            : $r->{status};
    };

    my $reads = $key->('mono.profile:read:own');
    is $seen->($reads), $own, 'it lists her own, no shared row';
    is $reads->(GET => "profiles/$mine")->{status}, 200, 'reads that';
    is $reads->(GET => "profiles/$shared")->visible =~ s/$shared/ID/r,
        $reads->(GET => "profiles/$random")->visible =~ s/$random/ID/r,
        'and no other: as if it were not';
    is $reads->(PATCH => "profiles/$mine", { type => 'actor' })->{status}, 403,
        'it changes none';
    my $writes = $key->('mono.profile:read:own', 'mono.profile:update:own');
    is $writes->(PATCH => "profiles/$mine", { type => 'actor' })->{status},
        200, 'with the scope, her own';
    problem_is $writes->(PATCH => "profiles/$shared", { type => 'actor' }),
        404, 'not_found', 'not what is shared with her to change';
    my $none = $key->('tenon.api_key:read');
    is $seen->($none), 403, 'without a scope for profiles, none';
    is $none->(GET => "profiles/$shared")->{status}, 403, 'nor this';
    is $none->(GET => 'shares')->{status}, 403, 'nor the shares';
    is call('eve', PATCH => "profiles/$shared", { type => 'speaker' })
        ->{status}, 200, 'she may, as ever';

    status_is call('ben', DELETE => "shares/$share"), 204, 'over';
    status_is call('ben', DELETE => "account-members/$role"), 204, 'too';
    status_is call('ada', PATCH => 'members/' . north(305),
                   { role => 'member' }), 200, 'she is a member again';
};

subtest 'openapi.json says whose rows they are' => sub {
    my $paths = call('ada', GET => 'openapi.json')->json->{paths};
    my %about = map { $_ => $paths->{$_} } grep { /profiles|works/ }
        keys %$paths;
    my $says = sub {
        my ($path, $method) = @_;
        return $about{"/v1/$path"}{$method}{description};
    };
    like $says->('profiles', 'get'), qr/of your accounts only.*shared with/s,
        'a list of what can be shared';
    unlike $says->('works', 'get'), qr/shared with/, 'and what can\'t';
    like $says->('works', 'get'), qr/403 where you hold it in none/,
        'refused when one has nothing of it';
    like $says->('profiles/{id}', 'patch'),
        qr/shared with you for this\. .*: 404; .* is 403\./, 'a change';
    unlike $says->('profiles/{id}', 'delete'), qr/shared/, 'not by a share';
    unlike $says->('profiles/{id}/history', 'get'), qr/shared/,
        'nor looked back at';
    like $says->('profiles', 'post'), qr/422 `not_found`/, 'a new one';
};

subtest 'who left has lost it' => sub {
    my $role = made(call('ben', POST => 'account-members', {
        account_id => $account{berlin}, user_id => $user{eve},
        role => 'account_user' }));
    my %share = (resource => 'mono.profile', resource_id => north(603),
                 user_id => $user{eve});
    made(call('ben', POST => 'shares', \%share));
    $s->psql("update tenon.member set deleted_at = now()
               where user_id = '$user{eve}';
              update tenon.member set deleted_at = null, created_at = now()
               where user_id = '$user{eve}'");
    sleep 1;
    ok $s->login('eve'), 'eve is back';
    my $token = $s->login('eve')->json->{access_token};
    my $r = $s->request(GET => 'profiles', at => 'northlight',
                        token => $token);
    is_deeply $r->json->{data}, [], 'without what she had';
    is names('dina', 'shares'), '', 'nobody lists it';
    my %again = (account_id => $account{berlin}, user_id => $user{eve},
                 role => 'account_user');
    status_is call('ben', POST => 'account-members', \%again), 201,
        'a role can be given again';
    status_is call('ben', POST => 'shares', \%share), 201, 'and a share';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
