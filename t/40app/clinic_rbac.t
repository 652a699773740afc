#!/usr/bin/perl

# Every endpoint of the clinic, called as nobody and as each role, on a row of
# the caller's own and on another's: as t/data/clinic_rbac.txt says, which is
# written by hand.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my @roles = qw(anonymous owner admin member);
my $s = TenonServer->new(apps => ['teamos', 'clinic']);
my $n = 0;

sub table {
    my $file = "$FindBin::Bin/../data/clinic_rbac.txt";
    open my $in, '<', $file or die "$file: $!\n";
    my %table;
    while (<$in>) {
        next if /^#|^\s*$/;
        my ($method, $path, @may) = split;
        die "$file:$.: not four columns\n" if @may != @roles;
        die "$file:$.: what is this?\n"
            if grep { !/\A(?:allow|own|mine|deny)\z/ } @may;
        die "$file:$.: a second time\n" if $table{"$method $path"};
        @{ $table{"$method $path"} }{@roles} = @may;
    }
    return %table;
}

my %table = table();

# The demo's people, and one more of each role whose rows are another's.
sub person {
    my ($name, $role) = @_;
    return { name => $name, %{ $s->hire($name, 'lakeside', $role) } };
}
my %caller = map { $_ => person("my$_", $_) } qw(owner admin member);
my $other = person('other', 'member');

sub make {
    my ($who, $path, %body) = @_;
    my $r = $s->request(POST => $path, as => $who, json => \%body);
    die "no $path by $who: $r->{status} $r->{body}\n" if $r->{status} != 201;
    return $r->json->{id};
}

my $patient = make('nora', 'patients', name => 'A parent');
my $visit = a_visit($other);

sub a_visit {
    my ($whose) = @_;
    $n++;
    return make('nora', 'visits', patient_id => $patient,
                clinician_id => $whose->{user_id},
                starts_at => sprintf('2031-%02d-%02dT%02d:00:00Z',
                                     1 + $n / 672, 1 + $n / 24 % 28, $n % 24));
}

# Rows as they are owned: a visit by its clinician, the others by their maker.
# Who may make none owns none, unless SQL says so.
my %row = (
    patients => sub {
        return make($_[0]{name}, 'patients', name => 'rbac ' . ++$n);
    },
    visits => \&a_visit,
    notes => sub {
        return make($_[0]{name}, 'notes', visit_id => $visit, content => 'n');
    },
    prescriptions => sub {
        my ($whose) = @_;
        my $id = make('petra', 'prescriptions', visit_id => $visit,
                      medicine => 'x', dose => 1);
        $s->psql("update clinic.prescription
                     set created_by = '$whose->{user_id}' where id = '$id'");
        return $id;
    },
);
my %body = (
    patients      => sub { { name => 'rbac' } },
    visits        => sub { { patient_id => $patient,
                             clinician_id => $other->{user_id},
                             starts_at => sprintf '2033-01-01T00:%02d:00Z',
                                                  ++$n % 60 } },
    notes         => sub { { visit_id => $visit, content => 'rbac' } },
    prescriptions => sub { { visit_id => $visit, medicine => 'x',
                             dose => 1 } },
);
my %change = (patients => 'name', visits => 'reason', notes => 'content',
              prescriptions => 'unit');

sub try {
    my ($name, $role, $which, $may) = @_;
    my $caller = $caller{$role};
    my $whose = $which eq 'own' && $caller ? $caller : $other;
    my ($method, $path) = split / /, $name;
    my ($kind, $tail) = $path =~ m{\A/v1/(\w+)(?:/\{id\}(?:/([a-z-]+))?)?};
    $tail //= '';
    my @o;

    if ($path =~ /\{id\}/) {
        my $id = $row{$kind}->($whose);
        $path =~ s/\{id\}/$id/;
        $s->request(DELETE => "$kind/$id", as => 'nora')
            if $tail eq 'restore';
    }
    if ($method eq 'POST') {
        @o = $tail eq 'restore'  ? ()
           : $tail eq 'rollback' ? (json => { version => 1 })
           : $tail eq 'check-in' ? (json => { room => 'R' . ++$n })
                                 : (json => $body{$kind}->());
    }
    elsif ($method eq 'PATCH') {
        @o = (json => { $change{$kind} => 'ml' });
    }
    push @o, headers => ['If-Match' => '*']
        if $kind eq 'prescriptions' && $method ne 'GET';
    $path .= '?day=2031-01-01' if $kind eq 'queries';

    my $r = $s->request($method, "/api$path", at => 'lakeside',
                        $caller ? (as => $caller->{name}) : (), @o);
    my $text = "$role: $name" . ($name =~ /\{id\}/ ? ", $which row" : '');
    my $served = $may eq 'allow' || ($which eq 'own' && $may ne 'deny');
    return $served ? like $r->{status}, qr/\A20[0-9]\z/, $text
                   || diag $r->{body}
         : !$caller ? problem_is $r, 401, 'unauthenticated', "not $text"
         : $may eq 'mine' ? problem_is $r, 404, 'not_found', "none $text"
                          : problem_is $r, 403, 'forbidden', "not $text";
}

subtest 'the table and the served endpoints are the same' => sub {
    my %served = map { $_->{name} => 1 }
        grep { $_->{path} =~
               m{\A/v1/(?:patients|visits|notes|prescriptions|queries)\b} }
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
            try($name, $role, 'own', $may)
                if $name =~ /\{id\}/ && $role ne 'anonymous';
            try($name, $role, 'another', $may);
        }
    };
}

subtest 'lists hold what a role may see' => sub {
    my $mine = a_visit($caller{member});
    my %ids = map {
        my $role = $_;
        ($role => { map { $_->{id} => 1 } @{ $s->request(
            GET => "patients/$patient/visits?limit=100",
            as => $caller{$role}{name})->json->{data} } })
    } qw(owner member);
    ok $ids{owner}{$mine} && $ids{owner}{$visit}, 'the owner all';
    ok $ids{member}{$mine} && !$ids{member}{$visit}, 'a clinician their own';
};

is_deeply [$s->alarms], [], 'nothing alarmed nginx';

done_testing;
