#!/usr/bin/perl

# Every endpoint, called as nobody and as each role, on a row of the caller's
# own and on another's: served or refused as t/data/rbac.txt says, which is
# written by hand. The endpoints are openapi.json's; those that the table
# forgets, or that it alone knows, fail.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

my @roles = qw(anonymous owner tenant_admin admin member moderator guest);
my $s = TenonServer->new(stripe => 1);
my $n = 0;

sub table {
    open my $in, '<', "$FindBin::Bin/../data/rbac.txt"
        or die "rbac.txt: $!\n";
    my %table;
    while (<$in>) {
        next if /^#|^\s*$/;
        my ($method, $path, @may) = split;
        die "rbac.txt:$.: not its columns\n" if @may != @roles;
        die "rbac.txt:$.: what is this?\n"
            if grep { !/\A(?:allow|own|mine|deny)\z/ } @may;
        die "rbac.txt:$.: a second time\n" if $table{"$method $path"};
        @{ $table{"$method $path"} }{@roles} = @may;
    }
    return %table;
}

my %table = table();

# Somebody new of this role in acme: { name, id, user_id, email }.
sub somebody {
    my ($role, $tenant) = @_;
    my $name = $role . ++$n;
    return { name => $name, role => $role,
             %{ $s->hire($name, $tenant // 'acme', $role) } };
}

# The people who call, and those whose rows are another's.
my %caller = map { $_ => somebody($_) } grep { $_ ne 'anonymous' } @roles;
my $other = somebody('member');

sub made {
    my ($r) = @_;
    return $r->json->{id} // die "not made: $r->{status} $r->{body}\n";
}

# Whether this role may call it at all.
sub may {
    my ($role, $name) = @_;
    return $table{$name}{$role} ne 'deny';
}

sub make {
    my ($who, $path, %body) = @_;
    return made($s->request(POST => $path, as => $who, json => \%body));
}

my %parent;
$parent{project} = make('alice', 'projects', name => 'parent');
$parent{task} = make('alice', 'tasks', project_id => $parent{project},
                     title => 'parent');

# TeamOS shares nothing; what SQL says of it, its workers needn't know.
$s->psql("update tenon.resource set shareable = true where name = 'project'");

my %body = (
    projects => sub { (name => 'rbac ' . ++$n) },
    tasks    => sub { (project_id => $parent{project},
                       title => 'rbac ' . ++$n) },
    comments => sub { (task_id => $parent{task}, content => 'rbac') },
);
my %change = (projects => 'name', tasks => 'title', comments => 'content');

# What a call needs to succeed: { path, json, as, at … }. $whose makes the row
# it is about.
my %call = (
    'POST /v1/auth/signup' => sub {
        my $slug = 'rbac-' . ++$n;
        return { at => undef, host => 'tenon.localhost', json => {
            email => "$slug\@$slug.test", password => 'correct horse',
            name => 'R', organization => { name => 'R', slug => $slug } } };
    },
    'POST /v1/auth/login' => sub {
        return { json => { email => 'alice@acme.test',
                           password => $s->password } };
    },
    'POST /v1/auth/logout' => sub {
        my ($caller) = @_;
        return {} if !$caller;
        return { as => undef, token =>
                     $s->login($caller->{name})->json->{access_token} };
    },
    'POST /v1/auth/tenant' => sub {
        my ($caller) = @_;
        return { json => {
            tenant => 'acme',
            refresh_token => $s->proof($caller ? $caller->{name} : 'alice'),
        } };
    },
    'POST /v1/auth/refresh' => sub {
        return { json => { refresh_token =>
                               $s->login('alice')->json->{refresh_token} } };
    },
    'POST /v1/inbound/stripe' => sub {
        my $body = '{"id":"evt_' . ++$n . '","type":"ping"}';
        return { at => undef, host => 'tenon.localhost', body => $body,
                 headers => ['Stripe-Signature' =>
                                 $s->stripe_signature($body)] };
    },
    'PATCH /v1/me' => sub { { json => { name => 'R ' . ++$n } } },
    # Another's is there for nobody (t/30http/sessions.t): one more of the
    # caller's.
    'DELETE /v1/me/sessions/{id}' => sub {
        my $who = $_[0] ? $_[0]{name} : 'alice';
        $s->token($who);
        $s->login($who);
        return { id => $s->request(GET => 'me/sessions?limit=1', as => $who)
                     ->json->{data}[0]{id} };
    },
    'POST /v1/auth/email/verify' => sub {
        my $p = somebody('member');
        my $r = $s->request(POST => 'auth/email/resend', as => $p->{name});
        status_is $r, 204, 'a token to verify by';
        return { json => { token => $s->mailed($p->{email}, 'verify'),
                           password => $s->password } };
    },
    'POST /v1/auth/email/resend' => \&as_anew,
    'POST /v1/auth/password/forgot' => sub {
        return { json => { email => 'f' . ++$n . '@acme.test' } };
    },
    'POST /v1/auth/password/reset' => sub {
        my $p = somebody('member');
        my $r = $s->request(POST => 'auth/password/forgot', at => 'acme',
                            json => { email => $p->{email} });
        status_is $r, 204, 'a token to reset by';
        return { json => { token => $s->mailed($p->{email}, 'reset'),
                           password => 'correct horse' } };
    },
    'POST /v1/auth/password/change' => sub {
        return { %{ as_anew(@_) }, json => {
            current_password => $s->password, password => $s->password } };
    },
    'POST /v1/auth/mfa/totp' => sub {
        return { %{ as_anew(@_) }, json => { password => $s->password } };
    },
    'POST /v1/auth/mfa/totp/confirm' => sub {
        my $call = as_anew(@_);
        $call->{json} = { code => guard($call->{as}, 'asked') };
        return $call;
    },
    'POST /v1/auth/mfa/totp/disable' => sub {
        my $call = as_anew(@_);
        $call->{json} = { code => guard($call->{as}),
                          password => $s->password };
        return $call;
    },
    'POST /v1/auth/mfa/recovery-codes' => sub {
        my $call = as_anew(@_);
        $call->{json} = { code => guard($call->{as}) };
        return $call;
    },
    'POST /v1/auth/mfa/verify' => sub {
        my $p = somebody('member');
        my $code = guard($p->{name});
        return { json => { code => $code, mfa_token =>
                               $s->login($p->{name})->json->{mfa_token} } };
    },
    'PATCH /v1/tenant' => sub { { json => { name => 'Acme ' . ++$n } } },
    'DELETE /v1/tenant' => sub {
        my ($caller, $whose, $role) = @_;
        my $slug = 'gone-' . ++$n;
        $s->found($slug);
        return { at => $slug } if !$caller;
        return { as => somebody($role, $slug)->{name} };
    },
    'POST /v1/tenants' => sub {
        return { json => { name => 'T', slug => 'made-' . ++$n }, proven(@_) };
    },
    'POST /v1/tenant/transfer' => sub {
        my ($caller, $whose, $role) = @_;
        my $slug = 'handed-' . ++$n;
        $s->found($slug);
        my %to = (json => { member_id => somebody('member', $slug)->{id} });
        return { at => $slug, %to } if !$caller;
        return { as => somebody($role, $slug)->{name}, %to };
    },
    'POST /v1/roles' => sub {
        return { json => { name => 'r' . ++$n, title => 'R' } };
    },
    'GET /v1/roles/{id}' => \&a_role,
    'PATCH /v1/roles/{id}' => sub { { json => { title => 'X' }, %{ &a_role } } },
    'DELETE /v1/roles/{id}' => \&a_role,
    'GET /v1/members/{id}' => sub { { id => $_[1]{id} } },
    'PATCH /v1/members/{id}' => sub {
        my ($caller, $whose, $role) = @_;
        my $own = $caller && $whose->{id} eq $caller->{id};
        return { id => $whose->{id},
                 json => { role => $own ? $role : 'member' } };
    },
    'DELETE /v1/members/{id}' => sub {
        my ($caller, $whose, $role) = @_;
        return { id => somebody('member')->{id} }
            if !$caller || $whose->{id} ne $caller->{id};
        my $leaver = somebody($role);
        return { as => $leaver->{name}, id => $leaver->{id} };
    },
    'POST /v1/invitations' => sub {
        return { json => { email => 'i' . ++$n . '@acme.test',
                           role => 'member' } };
    },
    'GET /v1/invitations/{id}' => \&an_invitation,
    'DELETE /v1/invitations/{id}' => \&an_invitation,
    'POST /v1/domains' => sub {
        return { json => { domain => 'd' . ++$n . '.example' } };
    },
    'GET /v1/domains/{id}' => \&a_domain,
    'DELETE /v1/domains/{id}' => \&a_domain,
    'POST /v1/billing/checkout-sessions' => sub {
        # The demo's subscription is nobody's of Stripe's meanwhile.
        $s->psql("update tenon.subscription set provider = 'other'");
        return { json => { plan => 'pro', map { $_ =>
            'https://acme.tenon.localhost/' } qw(success_url cancel_url) } };
    },
    'POST /v1/billing/portal-sessions' => sub {
        $s->psql("insert into tenon.billing_customer (tenant_id, provider,
                                                      external_id)
                  select tenant_id, 'stripe', 'cus_rbac' from tenon.tenant
                   where slug = 'acme' on conflict do nothing");
        return { json => { return_url => 'https://acme.tenon.localhost/' } };
    },
    'GET /v1/billing/checkout-sessions/{id}' => sub {
        { id => a_page('checkout') }
    },
    'GET /v1/billing/portal-sessions/{id}' => sub {
        { id => a_page('portal') }
    },
    (map { $_ => sub { { id => a_job() } } }
         'GET /v1/jobs/{id}', 'POST /v1/jobs/{id}/retry',
         'POST /v1/jobs/{id}/cancel'),
    'POST /v1/usage/events' => sub {
        return { json => { events => [
            { id => sprintf('0197%04x-0000-7000-8000-%012x', $$ & 0xffff,
                            ++$n),
              meter => 'minutes_processed' }] } };
    },
    'POST /v1/flags' => sub { { json => { key => 'rbac-' . ++$n } } },
    'GET /v1/flags/{id}' => sub { { id => a_flag()->{id} } },
    'PATCH /v1/flags/{id}' => sub {
        return { id => a_flag()->{id}, json => { enabled => JSON::PP::false } };
    },
    'DELETE /v1/flags/{id}' => sub { { id => a_flag()->{id} } },
    'POST /ofrep/v1/evaluate/flags' => sub { { json => {} } },
    'POST /ofrep/v1/evaluate/flags/{key}' => sub {
        return { key => a_flag()->{key}, json => {} };
    },
    'POST /v1/api-keys' => sub { { json => { a_key() }, proven(@_) } },
    'GET /v1/api-keys/{id}' => \&an_api_key,
    'PATCH /v1/api-keys/{id}' => sub {
        return { %{ an_api_key(@_) }, json => { name => 'rbac ' . ++$n } };
    },
    'POST /v1/api-keys/{id}/rotate' => sub {
        return { %{ an_api_key(@_) }, json => { overlap_seconds => 0 },
                 proven(@_) };
    },
    'DELETE /v1/api-keys/{id}' => \&an_api_key,
    'POST /v1/accounts' => sub { { json => { name => 'rbac' } } },
    'GET /v1/accounts/{id}' => sub { { id => an_account() } },
    'PATCH /v1/accounts/{id}' => sub {
        return { id => an_account(), json => { name => 'changed' } };
    },
    'DELETE /v1/accounts/{id}' => sub { { id => an_account() } },
    'GET /v1/accounts/{id}/members' => sub { { id => an_account() } },
    'POST /v1/account-members' => sub {
        return { json => { account_id => an_account(), role => 'account_user',
                           user_id => $other->{user_id} } };
    },
    (map { $_ => sub { { id => an_other_role() } } }
        'GET /v1/account-members/{id}', 'DELETE /v1/account-members/{id}'),
    'PATCH /v1/account-members/{id}' => sub {
        return { id => an_other_role(), json => { role => 'account_owner' } };
    },
    'POST /v1/shares' => sub { { json => { a_share_of($_[1]) } } },
    'GET /v1/shares/{id}' => sub { { id => a_share($_[1]) } },
    'DELETE /v1/shares/{id}' => sub { { id => a_share($_[1]) } },
    'POST /v1/invitations/preview' => sub {
        my $email = 'i' . ++$n . '@acme.test';
        make('alice', 'invitations', email => $email, role => 'member');
        return { json => { token => $s->mailed($email) } };
    },
    'POST /v1/invitations/accept' => sub {
        my $email = 'i' . ++$n . '@acme.test';
        make('alice', 'invitations', email => $email, role => 'member');
        return { json => { token => $s->mailed($email), name => 'I',
                           password => 'correct horse' } };
    },
);

# With what shows that the caller, if there is one, has the session.
sub proven {
    my ($caller) = @_;
    return $caller ? (proven => 1) : ();
}

# Flags are the organization's.
sub a_flag {
    my $key = 'rbac-' . ++$n;
    return { key => $key, id => make('alice', 'flags', key => $key) };
}

# Accounts belong to nobody; a share to whom something is shared with.
sub an_account {
    return make('alice', 'accounts', name => 'rbac ' . ++$n);
}

sub an_other_role {
    return make('alice', 'account-members', account_id => an_account(),
                user_id => $other->{user_id}, role => 'account_user');
}

sub a_share {
    my ($whose) = @_;
    return make('alice', 'shares', a_share_of($whose));
}

sub a_share_of {
    my ($whose) = @_;
    return (resource => 'teamos.project', user_id => $whose->{user_id},
            resource_id => make('alice', 'projects', name => 'rbac ' . ++$n));
}

# Somebody of the same role, whose account may change.
sub as_anew {
    my ($caller, $whose, $role) = @_;
    return { $caller ? (as => somebody($role)->{name}) : () };
}

# A second factor of theirs, asked for or in force; a code that is good for it.
sub guard {
    my ($name, $asked) = @_;
    return '123456' if !defined $name;
    my $secret = $s->request(POST => 'auth/mfa/totp', as => $name,
                             json => { password => $s->password })
        ->json->{secret};
    my $code = sub { qx{oathtool --totp --base32 $secret} =~ /(\d+)/ ? "$1" : '' };
    return $code->() if $asked;
    my $r = $s->request(POST => 'auth/mfa/totp/confirm', as => $name,
                        json => { code => $code->() });
    status_is $r, 200, 'a second factor';
    $s->psql('update tenon.totp set last_step = 0');
    return $code->();
}

# An invitation is the caller's own when they made it; who may not is asked
# about one of alice's.
sub an_invitation {
    my ($caller, $whose, $role) = @_;
    my $by = $caller && $whose->{id} eq $caller->{id} &&
             may($role, 'POST /v1/invitations') ? $whose->{name} : 'alice';
    return { id => make($by, 'invitations', role => 'member',
                        email => 'i' . ++$n . '@acme.test') };
}

# So is a domain, which owners alone make.
sub a_domain {
    my ($caller, $whose, $role) = @_;
    my $by = $caller && $whose->{id} eq $caller->{id} &&
             $role eq 'owner' ? $whose->{name} : 'alice';
    return { id => make($by, 'domains', domain => 'd' . ++$n . '.example') };
}

# A job is nobody's, and made by nobody over the API.
sub a_job {
    return $s->psql(q{insert into tenon.job (tenant_id, kind)
                      select tenant_id, 'purge' from tenon.tenant
                       where slug = 'acme'
                      returning id});
}

sub a_page {
    my ($kind) = @_;
    my $back = $kind eq 'portal' ? "null, null, null, null, 'https://a.b/'"
                     : "'pro', 1, 'https://a.b/', 'https://a.b/', null";
    return $s->psql("insert into tenon.billing_session
                            (tenant_id, id, kind, plan, quantity, success_url,
                             cancel_url, return_url)
                     select tenant_id, tenon.uuid7(), '$kind', $back
                       from tenon.tenant where slug = 'acme'
                     returning id");
}

sub a_key {
    return (name => 'rbac ' . ++$n, scopes => ['tenon.member:read']);
}

# So is a key.
sub an_api_key {
    my ($caller, $whose, $role) = @_;
    my $by = $caller && $whose->{id} eq $caller->{id} &&
             may($role, 'POST /v1/api-keys') ? $whose->{name} : 'alice';
    return { id => made($s->request(POST => 'api-keys', as => $by,
                                    proven => 1, json => { a_key() })) };
}

# The same of a role.
sub a_role {
    my ($caller, $whose, $role) = @_;
    my $by = $caller && $whose->{id} eq $caller->{id} &&
             may($role, 'POST /v1/roles') ? $whose->{name} : 'alice';
    return { id => make($by, 'roles', name => 'r' . ++$n, title => 'R') };
}

# A row that is somebody's own, also where their role makes none.
sub own_row {
    my ($whose, $path, $fill) = @_;
    return make($whose->{name}, $path, $fill->())
        if may($whose->{role}, "POST /v1/$path");
    my $id = make('alice', $path, $fill->());
    my $table = 'teamos.' . $path =~ s/s\z//r;
    $s->psql("update $table set created_by = '$whose->{user_id}'
               where id = '$id'");
    return $id;
}

# The call of an app's resource.
sub resource_call {
    my ($name, $whose) = @_;
    my ($method, $path, $tail) =
        $name =~ m{\A(\w+) /v1/(\w+)(?:/\{id\}(/\w+)?)?\z} or return {};
    my $fill = $body{$path} or return {};
    $tail //= '';

    return { json => { $fill->() } } if $method eq 'POST' && $name !~ /\{id/;
    return {} if $name !~ /\{id/;

    my $id = own_row($whose, $path, $fill);
    return { id => $id, json => { $change{$path} => 'changed' } }
        if $method eq 'PATCH';
    return { id => $id, json => { version => 1 } } if $tail eq '/rollback';
    status_is $s->request(DELETE => "$path/$id", as => 'alice'), 204,
        "a $path to restore" if $tail eq '/restore';
    return { id => $id };
}

sub try {
    my ($name, $role, $which, $want) = @_;
    my $caller = $caller{$role};
    my $whose = $which eq 'own' && $caller ? $caller : $other;
    my $call = $call{$name} ? $call{$name}->($caller, $whose, $role)
                            : resource_call($name, $whose);
    my ($method, $path) = split / /, $name;
    my $id = delete $call->{id};
    my $key = delete $call->{key};
    $path =~ s/\{id\}/$id/ if defined $id;
    $path =~ s/\{key\}/$key/ if defined $key;
    $path = "/api$path" if $path =~ m{\A/v1/};

    my $r = $s->request($method, $path, $caller ? (as => $caller->{name}) : (),
                        $path =~ m{\A/api} ? (at => 'acme') : (), %$call,
                        defined $call->{as} ? (at => undef) : ());
    my $text = "$role: $name" . ($name =~ /\{id\}/ ? ", $which row" : '');
    return $want ? like $r->{status}, qr/\A20[0-9]\z/, $text
               || diag $r->{body}
         : $table{$name}{$role} eq 'mine'
             ? problem_is $r, 404, 'not_found', "none $text"
         : $caller ? problem_is $r, 403, 'forbidden', "not $text"
                   : problem_is $r, 401, 'unauthenticated', "not $text";
}

subtest 'the table and the served endpoints are the same' => sub {
    my %served = map { $_->{name} => 1 } $s->endpoints;
    is_deeply [grep { !$table{$_} } sort keys %served], [],
        'every endpoint has a line';
    is_deeply [grep { !$served{$_} } sort keys %table], [],
        'every line has an endpoint';
};

for my $name (sort keys %table) {
    subtest $name => sub {
        for my $role (@roles) {
            my $may = $table{$name}{$role};
            try($name, $role, 'own', $may ne 'deny')
                if $role ne 'anonymous' && $name =~ /\{id\}/;
            try($name, $role, 'another', $may eq 'allow');
        }
    };
}

# Who runs the platform, in the platform's tenant: as an owner, but for what
# would end it or hand it on; and no app is theirs. They ask for what isn't
# there, with nothing: whether they may is said first.
subtest 'a super admin' => sub {
    my %not = map { $_ => 1 } 'DELETE /v1/tenant', 'POST /v1/tenant/transfer',
        grep { m{ /v1/(?:projects|tasks|comments)\b} } keys %table;
    for my $name (grep { !m{/auth/} } sort keys %table) {
        my ($method, $path) = split / /, $name;
        $path =~ s/\{id\}/$other->{id}/;
        $path =~ s/\{key\}/no-such-flag/;
        my $r = $s->request($method, $path =~ m{\A/v1} ? "/api$path" : $path,
                            as => 'root');
        $not{$name} ? problem_is $r, 403, 'forbidden', "not $name"
                    : isnt $r->{status}, 403, $name;
    }
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
