#!/usr/bin/perl

# Every endpoint of Mono, of accounts and of shares, called as nobody, as each
# role of the tenant and of an account, on a row of the caller's own, on
# another's of the same account and on one of an account out of reach: served
# or refused as t/data/mono_rbac.txt says, which is written by hand.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my @roles = qw(anonymous owner admin member account_owner account_user);
my $s = TenonServer->new(apps => ['teamos', 'mono']);
my $n = 0;

sub table {
    my $file = "$FindBin::Bin/../data/mono_rbac.txt";
    open my $in, '<', $file or die "$file: $!\n";
    my %table;
    while (<$in>) {
        next if /^#|^\s*$/;
        my ($method, $path, @may) = split;
        die "$file:$.: not four columns\n" if @may != @roles;
        die "$file:$.: what is this?\n"
            if grep { !/\A(?:allow|own|mine|deny|none)\z/ } @may;
        die "$file:$.: a second time\n" if $table{"$method $path"};
        @{ $table{"$method $path"} }{@roles} = @may;
    }
    return %table;
}

my %table = table();

sub make {
    my ($who, $path, %body) = @_;
    my $r = $s->request(POST => $path, as => $who, json => \%body);
    die "no $path by $who: $r->{status} $r->{body}\n" if $r->{status} != 201;
    return $r->json->{id};
}

# Ada's branch and another, and who holds what in it.
my %account = map { $_ => make('ada', 'accounts', name => $_) }
    qw(here elsewhere);
my %caller = map {
    my $role = $_;
    my $name = "my_$role" =~ s/_//gr;
    my $person = $s->hire($name, 'northlight',
                          $role =~ /^account/ ? 'member' : $role);
    make('ada', 'account-members', account_id => $account{here},
         user_id => $person->{user_id}, role => $role)
        if $role =~ /^account/;
    ($role => { name => $name, %$person });
} grep { $_ ne 'anonymous' } @roles;
my $other = { name => 'ada', user_id => $s->psql(
    'select id from tenon."user" where email like \'ada@%\'') };

# Rows as they are owned: by who made them, SQL says who.
my %row = (
    profiles => sub {
        my ($whose, $where) = @_;
        my $id = make('ada', 'profiles', account_id => $account{$where},
                      display_name => 'P' . ++$n);
        $s->psql("update mono.profile set created_by = '$whose->{user_id}'
                   where id = '$id'");
        return $id;
    },
    works => sub {
        my ($whose, $where) = @_;
        return make('ada', 'works', account_id => $account{$where},
                    title => 'W', profile_id => profile($whose, $where));
    },
    accounts => sub {
        my ($whose, $where) = @_;
        return make('ada', 'accounts', parent_id => $account{$where},
                    name => 'A' . ++$n);
    },
    'account-members' => sub {
        my ($whose, $where) = @_;
        my $someone = $s->hire('m' . ++$n, 'northlight', 'member');
        return make('ada', 'account-members', account_id => $account{$where},
                    user_id => $someone->{user_id}, role => 'account_user');
    },
    shares => sub {
        my ($whose, $where) = @_;
        return make('ada', 'shares', resource => 'mono.profile',
                    resource_id => profile($other, $where),
                    user_id => $whose->{user_id});
    },
);

sub profile { return $row{profiles}->(@_) }

my %body = (
    profiles => sub { { account_id => $account{ $_[0] },
                        display_name => 'New' } },
    works    => sub { { account_id => $account{ $_[0] }, title => 'New',
                        profile_id => profile($other, $_[0]) } },
    accounts => sub { { parent_id => $account{ $_[0] }, name => 'New' } },
    'account-members' => sub {
        my $someone = $s->hire('m' . ++$n, 'northlight', 'member');
        return { account_id => $account{ $_[0] }, role => 'account_user',
                 user_id => $someone->{user_id} };
    },
    shares   => sub { { resource => 'mono.profile',
                        resource_id => profile($other, $_[0]),
                        user_id => $caller{member}{user_id} } },
);
my %change = (profiles => { display_name => 'X' }, works => { title => 'X' },
              accounts => { name => 'X' },
              'account-members' => { role => 'account_owner' });

sub try {
    my ($name, $role, $which, $may) = @_;
    my $caller = $caller{$role};
    my ($method, $path) = split / /, $name;
    my ($kind, $tail) = $path =~ m{\A/v1/([a-z-]+)(?:/\{id\}(?:/(\w+))?)?};
    $tail //= '';
    my $where = $which eq 'out of reach' ? 'elsewhere' : 'here';
    my $by_row = $path =~ /\{id\}/;

    if ($by_row) {
        my $id = $row{$kind}->($which eq 'own' && $caller ? $caller : $other,
                               $where);
        $path =~ s/\{id\}/$id/;
        $s->request(DELETE => "$kind/$id", as => 'ada') if $tail eq 'restore';
    }
    my @o = $tail eq 'rollback' ? (json => { version => 1 })
          : $method eq 'PATCH'  ? (json => $change{$kind})
          : $method eq 'POST' && !$by_row ? (json => $body{$kind}->($where))
          : ();
    my $r = $s->request($method, "/api$path", at => 'northlight',
                        $caller ? (as => $caller->{name}) : (), @o);
    my $text = "$role: $name" . ($by_row ? ", a row $which" : ", $which");
    my $out = $which eq 'out of reach' && $role =~ /^account/;
    return problem_is $r, 401, 'unauthenticated', "not $text" if !$caller;
    return problem_is $r, 403, 'forbidden', "not $text" if $may eq 'deny';
    return like $r->{status}, qr/\A20[0-9]\z/, $text
        if !$by_row && $method eq 'GET';
    return problem_is $r, 422, 'invalid_fields', "none $text",
        ($kind eq 'shares' ? '/resource_id' : $kind eq 'accounts' ?
         '/parent_id' : '/account_id') => 'not_found',
        $kind eq 'works' ? ('/profile_id' => 'not_found') : ()
        if !$by_row && $out;
    return problem_is $r, 404, 'not_found', "none $text"
        if $may eq 'none' || ($may eq 'mine' && $which ne 'own') ||
           ($out && $which ne 'own');
    return problem_is $r, 403, 'forbidden', "not $text"
        if $may eq 'own' && $which ne 'own';
    return like $r->{status}, qr/\A20[0-9]\z/, $text || diag $r->{body};
}

subtest 'the table and the served endpoints are the same' => sub {
    my %served = map { $_->{name} => 1 }
        grep { $_->{path} =~
               m{\A/v1/(?:profiles|works|accounts|account-members|shares)\b} }
        $s->endpoints;
    is_deeply [grep { !$table{$_} } sort keys %served], [],
        'every endpoint has a line';
    is_deeply [grep { !$served{$_} } sort keys %table], [],
        'every line has an endpoint';
};

for my $name (sort keys %table) {
    subtest $name => sub {
        for my $role (@roles) {
            my $may = $table{$name}{$role};
            try($name, $role, $_, $may)
                for $name =~ /\{id\}/ && $role ne 'anonymous' ? 'own' : (),
                    'here', 'out of reach';
        }
    };
}

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
