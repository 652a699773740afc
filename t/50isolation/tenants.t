#!/usr/bin/perl

# No tenant sees, changes or learns of another's rows. Every endpoint, every
# place where a request can name something, each with an own, a foreign, a
# random and a malformed value, by every role and by nobody: foreign and random
# get the same bytes, and no row of the other tenant changes. Then once more
# with row-level security taken down, so that the statements' own predicates
# stand alone; the other walls, each alone, are for walls.t.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();
use TenonSides ();

my $s = TenonServer->new;
my $w = TenonSides->new($s);
my $random    = '01900000-7777-7000-8000-0123456789ab';
my $malformed = '01900000-7777-7000-8000-0123456789';
my $uuid = qr/\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;
my $sent = 0;

cmp_ok scalar $w->resources, '>', 1, 'resources: ' .
    join ' ', map { $_->{path} } $w->resources;

subtest 'every endpoint is tried' => sub {
    is_deeply [$w->tried], [map { $_->{name} } $s->endpoints],
        'those of openapi.json';

    # The document is made of the rows; so that it can't forget one of them.
    my %built;
    for my $file (glob "$FindBin::Bin/../../libcore/*/*.c") {
        open my $in, '<', $file or die "$file: $!\n";
        my $text = do { local $/; <$in> };
        while ($text =~ /\.method\s=\sTN_STR_C\("(\w+)"\),\s*
                         \.path\s=\sTN_STR_C\("([^"]+)"\)/gx) {
            $built{"$1 $2"} = 1;
        }
    }
    cmp_ok scalar keys %built, '>', 0, 'rows are found in the source';
    is_deeply [sort keys %{ $w->platform }], [sort keys %built],
        'the platform has the same';
};


# ---- one place in one request ----

sub is_served { return $_[0] =~ /\A20[014]\z/ }

# $send->($value) answers for a value there. Own values must be served, unless
# the role may not at all.
sub try_place {
    my ($name, $send, %value) = @_;
    my %r;
    for my $kind (qw(own foreign random malformed)) {
        next unless defined $value{$kind};
        $r{$kind} = $send->($value{$kind});
        $sent++;
    }

    my @wrong;
    my ($own, $foreign) = map { $r{$_}{status} } qw(own foreign);
    my $refused = $own =~ /\A40[13]\z/;
    push @wrong, "own $own: $r{own}{body}" if !is_served($own) && !$refused;
    push @wrong, "anybody gets in: $own" if $name =~ /^nobody/ && $own != 401;
    push @wrong, "a role lacks: $own" if $name !~ /^nobody/ && $own == 401;
    push @wrong, "foreign $foreign: $r{foreign}{body}"
        if !$refused && $foreign eq $own && $foreign ne '200';
    push @wrong, 'foreign and random differ: ' . $r{foreign}->visible .
        ' -- ' . $r{random}->visible
        if $r{foreign}->visible ne $r{random}->visible;
    push @wrong, 'a foreign value is told: ' . $r{foreign}{body}
        if $value{foreign} ne $value{random} &&
           $r{foreign}{body} =~ /\Q$value{foreign}\E/;
    push @wrong, "malformed $r{malformed}{status}: $r{malformed}{body}"
        if $r{malformed} && !$refused &&
           $r{malformed}{status} !~ /\A4(?:00|01|03|04|22)\z/;
    for my $r (grep { $_->{status} >= 400 } values %r) {
        push @wrong, problem_faults($r, $r->{status});
    }
    ok !@wrong, $name or diag join "\n", @wrong;
    return;
}

# As somebody of this side, on its host; undef is nobody.
sub ask {
    my ($who, $side, $method, $path, %o) = @_;
    return $s->request($method, $path, defined $who ? (as => $who) : (),
                       at => $side->{slug}, %o,
                       headers => [fixed_id(), @{ $o{headers} || [] }]);
}

sub name_of { return $_[0] // 'nobody' }

# All rows of a list that this person sees; and none with a foreign id.
sub all_own {
    my ($who, $side, $path, $foreign) = @_;
    my (@ids, @told);
    while (defined $path && @ids < 5000) {
        my $r = ask($who, $side, GET => $path);
        last if $r->{status} =~ /\A40[13]\z/;
        return ([], ["$path: $r->{status} $r->{body}"]) if $r->{status} != 200;
        push @ids, map { $_->{id} } @{ $r->json->{data} };
        push @told, grep { $foreign->{$_} }
            $r->{body} =~ /"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"/g;
        ($path) = map { /<(.*?)>/ } $r->headers('Link');
    }
    return (\@ids, \@told);
}


# ---- an app's resources ----

sub try_row {
    my ($who, $side, $other, $resource) = @_;
    my $path = $resource->{path};
    my ($text) = @{ $resource->{texts} };
    my %id = (foreign => $other->{row}{$path}, random => $random,
              malformed => $malformed);
    my @change = (json => { $text => 'changed' });
    my @places = (
        ['PATCH If-Match: "1"', '', @change, headers => ['If-Match' => '"1"']],
        ['PATCH If-Match: *', '', @change, headers => ['If-Match' => '*']],
        ['PATCH', '', @change],
        ['PATCH {}', '', json => {}],
        ['PATCH by key', '', json => {},
         headers => ['Idempotency-Key' => 'the same for all']],
        ['GET', ''],
        ['GET', '?fields=id'],
        ['GET If-None-Match', '', headers => ['If-None-Match' => '"99"']],
        ['GET', '/history'],
        ['GET', '/history?limit=1'],
        ['POST', '/rollback', json => { version => 1 }],
        ['DELETE If-Match: *', '', headers => ['If-Match' => '*']],
    );

    $id{own} = $w->create($who, $side, $resource);
    for my $place (@places) {
        my ($what, $tail, @o) = @$place;
        my ($method) = split / /, $what;
        try_place name_of($who) . ": $what $path/{id}$tail",
            sub { ask($who, $side, $method, "$path/$_[0]$tail", @o) }, %id;
    }

    if ($resource->{soft_delete}) {
        my %deleted = (%id, foreign => $other->{deleted}{$path});
        for my $place (['GET', '/history'], ['POST', '/restore']) {
            my ($method, $tail) = @$place;
            $deleted{own} = $w->create_deleted($who, $side, $resource);
            try_place name_of($who) . ": $method $path/{id}$tail, deleted",
                sub { ask($who, $side, $method, "$path/$_[0]$tail") },
                %deleted;
        }
    }

    # A key that somebody there has used says nothing here.
    my $row = $w->create($who, $side, $resource);
    try_place name_of($who) . ": PATCH $path/{id}, Idempotency-Key", sub {
        ask($who, $side, PATCH => "$path/$row", json => {},
            headers => ['Idempotency-Key' => $_[0]]);
    },
        own       => $side->{key},
        foreign   => $other->{key},
        random    => 'a key that nobody has used',
        malformed => "a bad\x01key";
    return;
}

sub try_references {
    my ($who, $side, $other, $resource) = @_;
    my $path = $resource->{path};
    for my $reference (@{ $resource->{references} }) {
        my $name = $reference->{name};
        my $key = "$reference->{table}.$reference->{column}";
        my %value = (
            own       => $w->value($side, $key),
            foreign   => $w->value($other, $key),
            random    => $random,
            malformed => $malformed,
        );
        my $row = $w->create($who, $side, $resource);
        my $body = $w->body($side, $resource);

        try_place name_of($who) . ": POST $path, $name in the body", sub {
            ask($who, $side, POST => $path, json => {%$body, $name => $_[0]});
        }, %value;
        try_place name_of($who) . ": PATCH $path/{id}, $name in the body", sub {
            ask($who, $side, PATCH => "$path/$row", json => { $name => $_[0] });
        }, %value;
        next if !$reference->{filter};

        # The oldest alone: a next page's link would repeat the value.
        my $first = "created_at[lte]=$side->{oldest}{$path}";
        try_place name_of($who) . ": GET $path?$name$_->[0]=$_->[1]", sub {
            ask($who, $side, GET => "$path?$first&$name$_->[0]=$_->[1]$_[0]");
        }, %value for ['', ''], ['[ne]', ''], ['', "$value{own},"];
    }
    return;
}

sub try_resource {
    my ($who, $side, $other, $resource, $foreign) = @_;
    my $path = $resource->{path};

    try_row($who, $side, $other, $resource);
    try_references($who, $side, $other, $resource);

    my $cursor = $side->{cursor}{"/v1/$path"};
    try_place name_of($who) . ": GET $path?cursor=", sub {
        ask($who, $side, GET => "$path?cursor=$_[0]");
    },
        own       => $cursor,
        foreign   => $other->{cursor}{"/v1/$path"},
        random    => scalar reverse($cursor),
        malformed => 'x';

    my @lists = ($path, $resource->{search} ? "$path?q=isolation" : ());
    if (my $parent = $resource->{parent}) {
        push @lists, "$parent->{path}/$side->{row}{ $parent->{path} }/$path";
        try_place name_of($who) . ": GET $parent->{path}/{id}/$path", sub {
            ask($who, $side, GET => "$parent->{path}/$_[0]/$path?limit=1");
        },
            own       => $side->{row}{ $parent->{path} },
            foreign   => $other->{row}{ $parent->{path} },
            random    => $random,
            malformed => $malformed;
    }
    for my $list (@lists) {
        my ($ids, $told) = all_own($who, $side, $list, $foreign);
        is_deeply $told, [], name_of($who) . ": GET $list tells own rows only";
        next if $list ne $path || !defined $who;
        my $n = $s->psql("select count(*) from $resource->{table}
                           where tenant_id = '$side->{id}'
                             and deleted_at is null");
        is scalar @$ids, $n, name_of($who) . ': and all of them';
    }
    return;
}


# ---- the platform's ----

sub proven {
    my ($who, $json) = @_;
    return $json if !$json || !grep { $_ eq '{proof}' } values %$json;
    my $proof = defined $who ? $s->proof($who) : 'none';
    return { map { ($_ => $json->{$_} eq '{proof}' ? $proof : $json->{$_}) }
             keys %$json };
}

sub try_platform {
    my ($who, $side, $other, $foreign) = @_;

    for my $row (sort keys %{ $w->platform }) {
        my ($method, $path) = split / /, $row;
        my $json = proven($who, $w->platform->{$row}{json});
        for my $position (@{ $w->platform->{$row}{positions} }) {
            my ($where, $name, $source) = @$position;
            next if $source eq 'elsewhere';
            my %value = values_of($side, $other, $where, $path, $source)
                or next;
            try_place name_of($who) . ": $row, $name ($source) in the $where",
            sub {
                return ask($who, $side, $method, "/api$path?$name=$_[0]")
                    if $where eq 'query';
                return ask($who, $side, $method, "/api$path",
                           json => {%{ $json || {} }, $name => $_[0]})
                    if $where eq 'body';
                return ask($who, $side, $method,
                           "/api" . $path =~ s/\{$name\}/$_[0]/r,
                           $json ? (json => $json) : ());
            }, %value;
        }

        next if $row !~ m!\AGET /v1/[^{]*\z!;
        my $r = ask($who, $side, GET => "/api$path");
        next if $r->{status} != 200 || $r->{body} !~ /\A\{"data":/;
        my (undef, $told) = all_own($who, $side, "/api$path", $foreign);
        is_deeply $told, [], name_of($who) . ": $row tells own rows only";
    }

    # On a host that names a tenant, a header can only agree.
    try_place name_of($who) . ': Tenon-Tenant', sub {
        ask($who, $side, GET => 'me', headers => ['Tenon-Tenant' => $_[0]]);
    },
        own => $side->{id}, foreign => $other->{id}, random => $random,
        malformed => $malformed;
    return;
}

sub values_of {
    my ($side, $other, $where, $path, $source) = @_;
    if ($source eq 'cursor') {
        my ($own, $foreign) = map { $_->{cursor}{$path} } $side, $other;
        die "no second page of $path\n" if !defined $own || !defined $foreign;
        return (own => $own, foreign => $foreign,
                random => scalar reverse($own), malformed => 'x');
    }
    my %value = (own => $w->value($side, $source),
                 foreign => $w->value($other, $source));
    my $is_id = $value{foreign} =~ $uuid && $source !~ /\.request_id\z/;
    $value{own} = $w->fresh($side, $source =~ s/\.\w+\z//r)
        if $where eq 'path';
    $value{random} = $is_id ? $random : 'no-such-thing';
    $value{malformed} = $malformed if $is_id;
    return %value;
}

# A token is good on its own tenant's hosts only, whatever it asks for there.
sub try_token {
    my ($who, $other) = @_;
    my @asked = map {
        my ($method, $path) = split / /;
        my $list = $path =~ m{\A/v1/(\w+)} ? $1 : '';
        $path !~ m{\A/v1/(?!auth/|openapi|inbound/|invitations/(?:accept|preview))} ? () :
        $path =~ /\{id\}/
            ? map { [$method, "/api" . $path =~ s/\{id\}/$_/r] }
                  $other->{row}{$list} // $random, $random
            : [$method, "/api$path"];
    } $w->tried;
    my %answer;
    for my $asked (@asked) {
        my ($method, $target) = @$asked;
        my $r = ask($who, $other, $method, $target,
                    $method =~ /POST|PATCH/ ? (body => '{}') : ());
        push @{ $answer{ $r->visible } }, "$method $target";
        problem_is $r, 403, 'tenant_mismatch',
            "$who at $other->{slug}: $method $target"
            if @{ $answer{ $r->visible } } == 1;
        $sent++;
    }
    is keys %answer, 1, "$who at $other->{slug}: one answer to all " . @asked;
    return;
}

sub matrix {
    for my $side ($w->sides) {
        my $other = $w->side($side->{other});
        my $foreign = $w->ids($other);
        my $before = $w->digest($other);

        for my $who (@{ $side->{people} }) {
            try_resource($who, $side, $other, $_, $foreign)
                for $w->resources;
            try_platform($who, $side, $other, $foreign);
            try_token($who, $other) if defined $who;
        }

        is_deeply $w->digest($other), $before,
            "nothing of $other->{slug} has changed";
    }
    return;
}


# ---- the walls, together and without the policies ----

subtest 'all walls up' => sub { matrix() };

subtest 'login knows nobody of elsewhere' => sub {
    my ($dave, $nobody) = map {
        $s->request(POST => 'auth/login', at => 'acme', headers => [fixed_id()],
                    json => { email => $_, password => $s->password })
    } 'dave@globex.test', 'zoe@globex.test';
    problem_is $dave, 401, 'invalid_credentials', "dave at acme's";
    is $dave->visible, $nobody->visible, 'as one who is not there';
};

# A session is one person's, whoever else is a member.
subtest 'sessions of elsewhere' => sub {
    my ($own, $other) = $w->sides;
    for my $who (grep { defined } @{ $own->{people} }) {
        $s->login($who);
        my ($old) = map { $_->{id} } grep { !$_->{current} }
            @{ ask($who, $own, GET => 'me/sessions')->json->{data} };
        my $foreign = ask($other->{owner}, $other, GET => 'me/sessions?limit=1')
            ->json->{data}[0]{id};
        my $before = $w->digest($other);
        try_place "$who: DELETE /v1/me/sessions/{id}", sub {
            ask($who, $own, DELETE => "me/sessions/$_[0]");
        },
            own => $old, foreign => $foreign, random => $random,
            malformed => $malformed;
        is_deeply $w->digest($other), $before, 'and nothing there has changed';
    }
};

# A refresh token that is put together of two is a forgery.
subtest 'refresh tokens of elsewhere' => sub {
    my ($own, $other) = map {
        $s->login($_->{owner})->json->{refresh_token}
    } $w->sides;
    my $refresh = sub {
        return $s->request(POST => 'auth/refresh', at => 'acme',
                           json => { refresh_token => $_[0] });
    };
    problem_is $refresh->($other), 403, 'tenant_mismatch', "globex's at acme's";
    problem_is $refresh->(substr($own, 0, 25) . substr $other, 25), 401,
        'unauthenticated', 'one that is put together of both';
    status_is $refresh->($own), 200, "acme's own is good";
};

# Nor does one of elsewhere prove a session of here, or end one.
subtest 'proofs of elsewhere' => sub {
    my ($own, $other) = map { $s->login($_->{owner})->json } $w->sides;
    my ($acme) = $w->sides;
    my $key = $w->fresh($acme, 'tenon.api_key');
    for my $case (['auth/tenant', tenant => 'acme'],
                  ['tenants', name => 'P', slug => 'proven'],
                  ['api-keys', name => 'P', scopes => ['tenon.member:read']],
                  ["api-keys/$key/rotate", overlap_seconds => 0]) {
        my ($path, %json) = @$case;
        my $go = sub {
            return $s->request(POST => $path, at => 'acme',
                               token => $own->{access_token},
                               headers => [fixed_id()],
                               json => { %json, refresh_token => $_[0] });
        };
        my ($foreign, @forged) = map { $go->($_) }
            $other->{refresh_token}, 'tnr_' . 'A' x 70,
            substr($own->{refresh_token}, 0, 25)
            . substr $other->{refresh_token}, 25;
        problem_is $foreign, 401, 'unauthenticated',
            "globex's at acme's: $path";
        is_deeply [map { $_->visible } @forged], [($foreign->visible) x 2],
            'is as one that nobody made';
        status_is $s->request(GET => 'me', at => $_->{tenant}{slug},
                              token => $_->{access_token}), 200,
            "the session of $_->{tenant}{slug} goes on" for $own, $other;
        like $go->($own->{refresh_token})->{status}, qr/\A20[01]\z/,
            'by its own it is proven';
    }
};

# What one of a person's tokens is for, the others are not; none of them counts
# at another organization's, be it of the same realm or of a realm of its own,
# nor for somebody who is a member of both.
sub secrets_of {
    my ($email, $at) = @_;
    my $ask = sub {
        my ($path, %json) = @_;
        return $s->request(POST => "auth/$path", at => $at, json => {%json});
    };
    my $login = sub { $ask->('login', email => $email,
                             password => $s->password)->json };
    my $token = $login->()->{access_token};
    my %secret;
    status_is $s->request(POST => 'auth/email/resend', at => $at, body => '',
                          token => $token), 204, "$email at $at: resend";
    $secret{verify} = $s->mailed($email, 'verify');
    $ask->('password/forgot', email => $email);
    $secret{reset} = $s->mailed($email, 'reset');
    status_is $s->request(POST => 'auth/mfa/totp', at => $at, token => $token,
                          json => { password => $s->password }), 200,
        'a second factor';
    $s->psql("update tenon.totp f set confirmed_at = now()
                from tenon.\"user\" u join tenon.tenant t using (realm_id)
               where f.user_id = u.id and f.realm_id = u.realm_id
                 and u.email = '$email' and t.slug = '$at'");
    $secret{mfa} = $login->()->{mfa_token};
    ok !(grep { !defined } values %secret), 'a token of each kind';
    return ($token, \%secret);
}

# An organization whose users are its own; alice's address is another's there.
sub found_apart {
    my ($slug, $email) = @_;
    status_is $s->request(POST => 'platform/tenants', as => 'root', json => {
        name => 'Apart', slug => $slug, user_realm => 'own',
        owner_email => $email, owner_name => 'Apart' }), 201, "$slug is founded";
    $s->request(POST => 'auth/password/forgot', at => $slug,
                json => { email => $email });
    status_is $s->request(POST => 'auth/password/reset', at => $slug, json => {
        token => $s->mailed($email, 'reset'), password => $s->password }), 204,
        'its owner has a password';
    $s->psql("update tenon.\"user\" u set email_verified_at = null
                from tenon.tenant t
               where t.realm_id = u.realm_id and t.slug = '$slug'");
    return;
}

subtest 'one-time tokens and second steps of elsewhere' => sub {
    my ($own, $other) = $w->sides;
    $s->hire('both', 'globex', 'member');
    $s->hire('both', 'acme', 'member');
    $s->hire('here', 'acme', 'member');
    found_apart('apart', 'here@acme.test');

    my ($session, $here) = secrets_of('here@acme.test', 'acme');
    my (undef, $apart) = secrets_of('here@acme.test', 'apart');
    my $member = $s->request(POST => 'auth/login', at => 'acme', json => {
        email => 'both@globex.test', password => $s->password })
        ->json->{access_token};
    my (undef, $both) = secrets_of('both@globex.test', 'globex');
    my $kept = sub { $s->psql("
        select json_agg(u order by u.id)::text || json_agg(f)::text
               || (select json_agg(o order by o.id) from tenon.one_time o)
          from tenon.\"user\" u left join tenon.totp f on f.user_id = u.id
         where u.email in ('here\@acme.test', 'both\@globex.test')") };
    my ($before, $rows) = ($w->digest($other), $kept->());

    my %use = (
        verify => sub { ('email/verify', { token => $_[0],
                         password => $s->password }, $_[1]) },
        reset  => sub { ('password/reset', { token => $_[0],
                         password => 'correct horse' }) },
        mfa    => sub { ('mfa/verify', { mfa_token => $_[0],
                         code => '123456' }) },
    );
    my $try = sub {
        my ($purpose, $token, $as) = @_;
        my ($path, $json, $with) = $use{$purpose}->($token, $as);
        $sent++;
        return $s->request(POST => "auth/$path", at => 'acme', json => $json,
                           headers => [fixed_id()],
                           $with ? (token => $with) : ());
    };
    for my $purpose (sort keys %use) {
        my $none = $try->($purpose, 'x' x length $here->{$purpose});
        problem_is $none, $purpose eq 'mfa'
            ? (401, 'invalid_credentials', 'mfa: what is no token')
            : (422, 'invalid_fields', "$purpose: what is no token",
               '/token' => 'not_found');
        my %tried = (
            'another realm\'s, of the same address' => $apart->{$purpose},
            'another organization\'s, of a member'   => $both->{$purpose},
            map { ("one to $_" => $here->{$_}) }
                grep { $_ ne $purpose } sort keys %use,
        );
        is $try->($purpose, $tried{$_})->visible, $none->visible,
            "$purpose: $_ is none" for sort keys %tried;
        # put together: the ids of this one, the MAC of that
        my $n = length($here->{$purpose}) - 43;
        is $try->($purpose, substr($here->{$purpose}, 0, $n)
                  . substr $_->{$purpose}, $n)->visible, $none->visible,
            "$purpose: nor ids of one with the MAC of another"
            for $apart, $both;
    }
    for my $as ($session, $member) {
        my $none = $try->('verify', 'x' x length $here->{verify}, $as);
        is $try->('verify', $_->{verify}, $as)->visible, $none->visible,
            'signed in, none either' for $apart, $both;
    }
    is_deeply $w->digest($other), $before, 'nothing of globex has changed';
    is $kept->(), $rows, 'no user, factor or token either';

    status_is $try->('verify', $here->{verify}), 204, 'its own verifies';
    status_is $try->('reset', $here->{reset}), 204, 'and resets';
};

# A token names its organization, and is worth nothing at another's host.
subtest 'invitations to elsewhere' => sub {
    my ($own, $other) = $w->sides;
    my %token = map {
        my $email = "guest\@$_->{slug}.test";
        my $r = $s->request(POST => 'invitations', as => $_->{owner},
                            json => { email => $email, role => 'member' });
        status_is $r, 201, "$email is invited";
        ($_->{slug} => $s->mailed($email));
    } $own, $other;
    my $before = $w->digest($other);
    my $preview = sub {
        my ($token, @where) = @_;
        return $s->request(POST => 'invitations/preview', @where,
                           json => { token => $token });
    };
    my $accept = sub {
        my ($token, @where) = @_;
        return $s->request(POST => 'invitations/accept', @where, json => {
            token => $token, name => 'G', password => 'correct horse' });
    };
    problem_is $accept->($token{globex}, at => 'acme'), 403,
        'tenant_mismatch', "globex's at acme's host";
    problem_is $accept->($token{globex}, host => 'tenon.localhost',
                         headers => ['Tenon-Tenant' => 'acme']),
        403, 'tenant_mismatch', 'under a header that names acme';

    for my $where ([at => 'acme'],
                   [host => 'tenon.localhost',
                    headers => ['Tenon-Tenant' => 'acme']]) {
        problem_is $preview->($token{globex}, @$where), 403,
            'tenant_mismatch', "nor is globex's shown at acme's";
    }
    is $preview->($token{globex}, at => 'globex')->json->{tenant}{slug},
        'globex', 'but at its own';

    # The tenant is in front: another's in its place makes it a forgery.
    my $forged = substr($token{acme}, 0, 21) . substr $token{globex}, 21;
    for my $where ([at => 'acme'], [host => 'tenon.localhost']) {
        problem_is $accept->($forged, @$where), 422, 'invalid_fields',
            "a token put together of both at $where->[1]",
            '/token' => 'not_found';
        problem_is $preview->($forged, @$where), 410, 'secret_spent',
            "and shows nothing at $where->[1]";
    }
    is_deeply $w->digest($other), $before, 'nothing of globex has changed';
};

subtest 'nobody of elsewhere becomes an owner' => sub {
    my ($own, $other) = $w->sides;
    my $before = $w->digest($other);
    my ($foreign, $none) = map {
        ask($own->{owner}, $own, POST => 'tenant/transfer',
            json => { member_id => $_ })
    } $w->value($other, 'tenon.member.id'), $random;
    problem_is $foreign, 422, 'invalid_fields', 'a member of globex',
        '/member_id' => 'not_found';
    is $foreign->visible, $none->visible, 'as one who is not there';
    is_deeply $w->digest($other), $before, 'nothing of globex has changed';
};

subtest 'predicates alone' => sub {
    my @secured = map { $_->[0] } $w->rows(q{
        select oid::regclass from pg_class
         where relrowsecurity and not relispartition order by 1});
    cmp_ok scalar @secured, '>=', scalar $w->tables,
        'every table of tenants was under row-level security';

    $s->psql(join '', map { "alter table $_ disable row level security;" }
                      @secured);
    is $s->psql("begin;
                 select set_config('tenon.tenant', '', true);
                 select count(distinct tenant_id) > 1 from teamos.task;
                 commit", role => 'tenon_api'), "\nt", 'the wall is down';
    eval { matrix(); 1 } or fail "the matrix broke off: $@";
    $s->psql(join '', map { "alter table $_ enable row level security;" }
                      @secured);
    is $s->psql('select count(*) from teamos.task', role => 'tenon_api'), 0,
        'and up again';
};

note "$sent requests";
done_testing;
