#!/usr/bin/perl

# Fields that are kept encrypted: who uses the API sees their text; who reads
# the database, a copy of it or its files doesn't. A value is good at its own
# place only.

use strict;
use utf8;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(apps => ['clinic']);
my $json = JSON::PP->new->canonical;
my $sealed = qr/\Atn1\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{56,}\z/;

sub as {
    my ($who, $method, $path, %o) = @_;
    return $s->request($method => $path, as => $who, %o);
}

# What a column holds: a server's own eyes.
sub kept {
    my ($id, $column) = @_;
    $column //= 'phone';
    return $s->psql("select $column from clinic.patient where id = '$id'");
}

sub phone { return $_[0]->json->{phone} }


# ---- there and back ----

my $number = '+49 30 90210 771';
my $other  = '+49 30 90210 772';

my $res = as('omar', POST => 'patients',
             json => { name => 'Ida', phone => $number },
             headers => ['Idempotency-Key' => 'ida']);
is $res->{status}, 201, 'a patient is made';
is phone($res), $number, 'the answer shows the number';
my $ida = $res->json->{id};

like kept($ida), $sealed, 'the table has it encrypted';
is phone(as('omar', GET => "patients/$ida")), $number, 'reading shows it';
is_deeply [map { $_->{phone} } grep { $_->{id} eq $ida }
               @{ as('omar', GET => 'patients')->json->{data} }],
    [$number], 'so does a list';
is_deeply [sort keys %{ as('omar', GET => "patients/$ida?fields=id,phone")
                        ->json }], ['id', 'phone'], 'and fields=';
is as('omar', GET => "patients/$ida?fields=name")->json->{phone}, undef,
    'but not where it isn\'t asked for';

my $again = as('omar', POST => 'patients',
               json => { name => 'Ida', phone => $number },
               headers => ['Idempotency-Key' => 'ida']);
is $again->{body}, $res->{body}, 'a repeated request has the same answer';
is $again->header('Idempotency-Replayed'), 'true', 'which is the kept one';

my $first = kept($ida);
$res = as('omar', PATCH => "patients/$ida", json => { phone => $other });
is phone($res), $other, 'a change shows what is new';
isnt kept($ida), $first, 'and keeps something else';
$res = as('omar', PATCH => "patients/$ida", json => { name => 'Ida B.' });
is phone($res), $other, 'a change of something else leaves it';
$first = kept($ida);
as('omar', PATCH => "patients/$ida", json => { phone => $other });
isnt kept($ida), $first, 'the same text is never kept the same way twice';

$res = as('omar', PATCH => "patients/$ida", json => { phone => undef });
is phone($res), undef, 'null is null';
is kept($ida, 'phone is null'), 't', 'in the table as well';
is phone(as('omar', POST => "patients/$ida/rollback",
            json => { version => 1 })), $number, 'rolling back brings it back';
like kept($ida), $sealed, 'encrypted';

is as('omar', DELETE => "patients/$ida")->{status}, 204, 'deleted';
is phone(as('omar', POST => "patients/$ida/restore")), $number,
    'and restored, with its number';


# ---- what is refused is told of the text ----

for my $bad (['call me', 'bad_format'], ['1' x 31, 'too_long']) {
    $res = as('omar', PATCH => "patients/$ida", json => { phone => $bad->[0] });
    problem_is $res, 422, 'invalid_fields', "$bad->[1] is told before it is "
        . 'encrypted', '/phone' => $bad->[1];
}
$res = as('omar', GET => 'patients?phone=%2B49');
is $res->{status}, 400, 'nobody can filter by it';


# ---- histories ----

my @history = @{ as('omar', GET => "patients/$ida/history")->json->{data} };
is $history[-1]{after}{phone}, $number, 'the history shows what it was';
is_deeply [map { [$_->{before}{phone}, $_->{after}{phone}] }
               grep { $_->{version} == 2 } @history],
    [[$number, $other]], 'before and after';
my ($event) = grep { $_->{action} eq 'patient.updated' }
    @{ as('nora', GET => 'audit/events?resource=clinic.patient')->json->{data} };
like $json->encode($event), qr/"phone":"\+49/, 'the audit log, too';
unlike $s->psql('select before, after from tenon.event_body'), qr/90210/,
    'while the events are kept encrypted';


# ---- what is written by SQL ----

my $ana = '01900000-000c-7000-8000-000000000401';
is kept($ana), '+43 1 5550101', 'the demo\'s rows came by SQL, as text';
is phone(as('omar', GET => "patients/$ana")), '+43 1 5550101',
    'which is shown as it is';


# ---- whoever has the database has not the text ----

my $dump = $s->shell('as_pg pg_dump -h "$run" -p 5432 -U postgres tenon');
like $dump, qr/Ida B\./, 'a dump has what isn\'t encrypted';
unlike $dump, qr/90210 77/, 'and nothing of what is';
unlike $s->shell('cat "$var"/pg/log "$nginx"/*.log'), qr/90210 77/,
    'nor has a log';


# ---- a value is good at its own place only ----

my ($jon) = as('omar', POST => 'patients', json => { name => 'Jon' })->json->{id};
my ($una) = as('rosa', POST => 'patients', json => { name => 'Una' })->json->{id};

my %moved = (
    'another row'    => [omar => $jon, 'phone', kept($ida)],
    'another tenant' => [rosa => $una, 'phone', kept($ida)],
    'a damaged one'  => [omar => $ida, 'phone', substr(kept($ida), 0, -1) . 'A'],
);
for my $what (sort keys %moved) {
    my ($who, $id, $column, $text) = @{ $moved{$what} };
    $s->psql("update clinic.patient set $column = '$text' where id = '$id'");
    $res = as($who, GET => "patients/$id");
    problem_is $res, 500, 'internal', "$what is an error of the server's";
    unlike $res->{body}, qr/tn1\./, 'which tells nothing';
    my $list = as($who, GET => 'patients');
    is $list->{status}, 200, 'the list it is in is there';
    unlike $list->{body}, qr/tn1\./, 'and tells nothing either';
    is_deeply [map { $_->{phone} } grep { $_->{id} eq $id }
                   @{ $list->json->{data} }], [undef], 'it is null in it';
    is as($who, GET => "patients/$id?fields=name")->{status}, 200,
        'what else there is can be read';
    $res = as($who, PATCH => "patients/$id", json => { email => 'x@y.test' });
    is $res->{status}, 200, 'and changed';
    is phone($res), undef, 'which shows it as null';
    is as($who, PATCH => "patients/$id", json => { phone => '1' })->{status},
        200, 'and it can be set anew';
}

# ---- text that only begins like it ----

for my $text ('tn1.', 'tn1.AAAAAA.', 'tn1.AAAAAA.' . 'A' x 53,
              'tn1.AAAAAA.' . 'A' x 53 . '!', 'tn1.AAAAA.' . 'A' x 60) {
    $s->psql("update clinic.patient set phone = '$text' where id = '$ida'");
    is phone(as('omar', GET => "patients/$ida")), $text,
        "$text was never encrypted, and is shown";
    is as('omar', GET => 'patients')->{status}, 200, 'in a list as well';
}
as('omar', PATCH => "patients/$ida", json => { phone => $number });

my @log = grep { /decrypted/ } split /\n/,
    $s->shell('cat "$nginx/error.log"');
like $log[0], qr/clinic\.patient\.phone of $ida can't be decrypted: it is damaged/, 'the log says where';
unlike "@log", qr/tn1\./, 'and no value';

done_testing();
