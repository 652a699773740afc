#!/usr/bin/perl

# Every endpoint, called as nobody and as each role, on a row of the caller's
# own and on another's: served or refused as t/data/rbac.txt says, which is
# written by hand. The endpoints are openapi.json's; those that the table
# forgets, or that it alone knows, fail.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my @roles = qw(anonymous owner admin member);
my $s = TenonServer->new;
my $n = 0;

sub table {
    open my $in, '<', "$FindBin::Bin/../data/rbac.txt"
        or die "rbac.txt: $!\n";
    my %table;
    while (<$in>) {
        next if /^#|^\s*$/;
        my ($method, $path, @may) = split;
        die "rbac.txt:$.: not four columns\n" if @may != @roles;
        die "rbac.txt:$.: what is this?\n"
            if grep { !/\A(?:allow|own|deny)\z/ } @may;
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
    return { name => $name,
             %{ $s->hire($name, $tenant // 'acme', $role) } };
}

# The people who call, and those whose rows are another's.
my %caller = map { $_ => somebody($_) } grep { $_ ne 'anonymous' } @roles;
my $other = somebody('member');

sub made {
    my ($r) = @_;
    return $r->json->{id} // die "not made: $r->{status} $r->{body}\n";
}

sub make {
    my ($who, $path, %body) = @_;
    return made($s->request(POST => $path, as => $who, json => \%body));
}

my %parent;
$parent{project} = make('alice', 'projects', name => 'parent');
$parent{task} = make('alice', 'tasks', project_id => $parent{project},
                     title => 'parent');

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
    'POST /v1/auth/tenant' => sub { { json => { tenant => 'acme' } } },
    'PATCH /v1/tenant' => sub { { json => { name => 'Acme ' . ++$n } } },
    'DELETE /v1/tenant' => sub {
        my ($caller, $whose, $role) = @_;
        my $slug = 'gone-' . ++$n;
        $s->found($slug);
        return { at => $slug } if !$caller;
        return { as => somebody($role, $slug)->{name} };
    },
    'POST /v1/tenants' => sub {
        return { json => { name => 'T', slug => 'made-' . ++$n } };
    },
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
    'POST /v1/invitations/accept' => sub {
        my $email = 'i' . ++$n . '@acme.test';
        make('alice', 'invitations', email => $email, role => 'member');
        return { json => { token => $s->mailed($email), name => 'I',
                           password => 'correct horse' } };
    },
);

# An invitation is the caller's own when they made it; who may not is asked
# about one of alice's.
sub an_invitation {
    my ($caller, $whose, $role) = @_;
    my $by = $caller && $whose->{id} eq $caller->{id} &&
             $role ne 'member' ? $whose->{name} : 'alice';
    return { id => make($by, 'invitations', role => 'member',
                        email => 'i' . ++$n . '@acme.test') };
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

    my $id = make($whose->{name}, $path, $fill->());
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
    $path =~ s/\{id\}/$id/ if defined $id;
    $path = "/api$path" if $path =~ m{\A/v1/};

    my $r = $s->request($method, $path, $caller ? (as => $caller->{name}) : (),
                        $path =~ m{\A/api} ? (at => 'acme') : (), %$call,
                        defined $call->{as} ? (at => undef) : ());
    my $text = "$role: $name" . ($name =~ /\{id\}/ ? ", $which row" : '');
    return $want ? like $r->{status}, qr/\A20[0-9]\z/, $text
               || diag $r->{body}
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

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
