#!/usr/bin/perl

# Every wrong request gets its own status, code and field faults, always as
# problem+json, and changes nothing. The cases are t/data/wrong_input.txt;
# those that are no HTTP at all, and so get their answer from nginx, are below.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;

my $alice = $s->request(GET => 'me', as => 'alice')->json->{id};
my ($task) = grep { $_->{created_by} eq $alice }
    @{ $s->request(GET => 'tasks?limit=100', as => 'alice')->json->{data} };
my ($foreign) = @{ $s->request(GET => 'projects', as => 'dave')
                     ->json->{data} };
my $token = $s->token('dave');
my %member = map { $_->{email} => $_->{id} }
    @{ $s->request(GET => 'members', as => 'alice')->json->{data} };
my %invited = map {
    my $email = "$_\@acme.test";
    my $r = $s->request(POST => 'invitations', as => 'alice', json => {
        email => $email, role => 'member' });
    die "not invited: $r->{body}\n" if $r->{status} != 201;
    ($_ => { id => $r->json->{id}, token => $s->mailed($email) });
} qw(frank grace);
$s->request(DELETE => "invitations/$invited{grace}{id}", as => 'alice');

my %value = (
    project         => $task->{project_id},
    task            => $task->{id},
    foreign         => $foreign->{id},
    token           => $token,
    proof           => $s->proof('alice'),
    'token:flipped' => substr($token, 0, -8) . reverse(substr $token, -8),
    owner           => $member{'alice@acme.test'},
    member          => $member{'carol@acme.test'},
    invitation      => $invited{frank}{id},
    invited         => $invited{frank}{token},
    revoked         => $invited{grace}{token},
);

sub fill {
    my ($text) = @_;
    $text =~ s/\{(bytes|list|raw):(\w+)\}/
        $1 eq 'bytes' ? 'x' x $2 :
        $1 eq 'raw'   ? pack('H*', $2) : '[' x $2 . ']' x $2/ge;
    $text =~ s/\{(\w+(?::flipped)?)\}/$value{$1} \/\/ "{$1}"/ge;
    return $text;
}

sub cases {
    open my $in, '<:raw', "$FindBin::Bin/../data/wrong_input.txt"
        or die "wrong_input.txt: $!\n";
    my @cases;

    while (my $line = <$in>) {
        chomp $line;
        next if $line eq '' || $line =~ /^#/;
        my $at = "wrong_input.txt:$.";

        if ($line !~ s/^  //) {
            push @cases, { name => $line, at => $at, headers => [],
                           faults => [], answer => [] };
            next;
        }

        my $case = $cases[-1];
        my $answered = $case->{status};
        if (!$case->{method}) {
            @$case{qw(method path as where)} =
                $line =~ m{^([A-Z]+) (/.*?)(?: as (\w+))?(?: at (\S+))?$}
                or die "$at: no request line\n";
        }
        elsif ($line =~ /^(\d{3}) (\w+)$/ && !$answered) {
            @$case{qw(status code)} = ($1, $2);
        }
        elsif ($line =~ /^\|(?: (.*))?$/ && !$answered) {
            $case->{body} = fill($1 // '');
        }
        elsif ($line eq 'chunked') {
            $case->{chunked} = 1;
        }
        elsif ($line =~ /^([A-Za-z-]+):(?: (.*))?$/) {
            push @{ $case->{ $answered ? 'answer' : 'headers' } },
                $1, defined $2 ? fill($2) : undef;
        }
        elsif ($line =~ /^(\S+) (\w+)$/ && $answered) {
            push @{ $case->{faults} }, $1 eq '-' ? '' : $1, $2;
        }
        else {
            die "$at: what is this?\n";
        }
    }
    return @cases;
}

sub tables {
    return $s->psql('select t::text from teamos.task t order by id;
                     select p::text from teamos.project p order by id;
                     select c::text from teamos.comment c order by id;
                     select m::text from tenon.member m order by id;
                     select i::text from tenon.invitation i order by id;
                     select t::text from tenon.tenant t order by tenant_id;
                     select count(*) from tenon.event
                      where action !~ $$^user\.log$$
                        and outcome = $$success$$');
}

my @cases = cases();
my $before = tables();

cmp_ok scalar @cases, '>=', 30, scalar @cases . ' cases';

for my $case (@cases) {
    my %o = (
        headers => $case->{headers},
        chunked => $case->{chunked},
        $case->{as} ne 'nobody' ? (as => $case->{as}) : (),
        exists $case->{body} ? (body => $case->{body}) : (),
        ($case->{where} // '') eq '-' ? (host => 'tenon.localhost') :
        defined $case->{where} ? (at => $case->{where}) : (),
    );
    my $r = $s->request($case->{method}, fill($case->{path}), %o);

    problem_is $r, $case->{status}, $case->{code}, $case->{name},
        @{ $case->{faults} } or diag "  $case->{at}";

    my @answer = @{ $case->{answer} };
    while (my ($name, $want) = splice @answer, 0, 2) {
        my $got = $r->header($name) // '';
        $got = join ', ', sort split /, */, $got if $name eq 'Allow';
        is $got, $want, "$case->{name}: $name";
    }
}

is tables(), $before, 'none of them changed anything';

subtest "nginx's own refusals" => sub {
    my $raw = sub {
        my ($bytes) = @_;
        my $c = $s->connect;
        $c->write($bytes);
        return $c->response;
    };
    my $host = "Host: acme.tenon.localhost\r\n";

    problem_is $raw->("what is this\r\n\r\n"), 400, 'malformed_request',
        'not a request line';
    problem_is $raw->("GET /api/v1/me HTTP/1.1\r\n\r\n"), 400,
        'malformed_request', 'no Host';
    problem_is $raw->("GET /api/v1/me HTTP/1.1\r\n${host}Host: b\r\n\r\n"),
        400, 'malformed_request', 'two Hosts';
    problem_is $raw->("GET /api/v1/me HTTP/1.1\r\n$host" .
                      'X: ' . 'x' x 40_000 . "\r\n\r\n"),
        400, 'malformed_request', 'a huge header';
    problem_is $raw->('GET /api/v1/me?' . 'x' x 40_000 .
                      " HTTP/1.1\r\n$host\r\n"),
        414, 'malformed_request', 'a huge request line';
    problem_is $raw->("POST /api/v1/tasks HTTP/1.1\r\n$host" .
                      "Content-Length: 1\r\n" .
                      "Transfer-Encoding: chunked\r\n\r\n"),
        400, 'malformed_request', 'two lengths of one body';
    problem_is $raw->("POST /api/v1/tasks HTTP/1.1\r\n$host" .
                      "Content-Length: -1\r\n\r\n"),
        400, 'malformed_request', 'a negative length';
    problem_is $raw->("POST /api/v1/tasks HTTP/1.1\r\n$host" .
                      "Content-Length: 99999999\r\n\r\n"),
        413, 'too_large', 'a length beyond client_max_body_size';
    problem_is $raw->($s->bytes(POST => 'tasks', as => 'alice', headers => [
                          'Transfer-Encoding' => 'chunked',
                          'Content-Type' => 'application/json']) .
                      "zz\r\n"),
        400, 'malformed_request', 'a chunk without a size';
};

subtest 'too large, by each version of HTTP' => sub {
    my $file = $s->dir . '/large';
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} '"' . 'x' x 2_000_000 . '"';
    close $out;
    open $out, '>', "$file-login" or die "$file-login: $!\n";
    print {$out} '"' . 'x' x 20_000 . '"';
    close $out;

    for my $version ('1.1', '2') {
        for my $case (['tasks', $file], ['auth/login', "$file-login"],
                      ['auth/signup', "$file-login"]) {
            my ($path, $body) = @$case;
            my ($head, $text) = split /\r\n\r\n/, $s->curl(
                "--http$version", '-i', '-H', 'Expect:', '-H',
                'Content-Type: application/json', '--data-binary', "\@$body",
                $s->https('acme', $path)), 2;
            like $head, qr{\AHTTP/\Q$version\E 413}, "$path, HTTP/$version";
            like $head, qr{^content-type: application/problem\+json\r?$}mi,
                'a problem';
            is JSON::PP::decode_json($text)->{code}, 'too_large', 'too_large';
        }
    }
};

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr/\[(?:alert|crit|emerg)\]/, 'and nothing alarmed nginx';

done_testing;
