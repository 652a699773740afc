#!/usr/bin/perl

# openapi.json as frontend developers use it, with their own tools: a linter
# finds nothing, openapi-typescript makes types of it that a strict compiler
# takes, a small client written in these types does a whole story, and a
# validating proxy between finds no answer that contradicts the document.
#
# The tools come from npm, as t/40app/client/package-lock.json pins them, into
# build/client/, once per lock file. Without them and without a registry the
# test is skipped; not in CI.

use strict;
use warnings;

use Cwd ();
use File::Copy ();
use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use Test::More;
use TenonCheck;
use TenonNpm ();
use TenonServer ();
use TenonStripe ();

my $root = Cwd::realpath("$FindBin::Bin/../..");
my $source = "$FindBin::Bin/client";
my $json = JSON::PP->new->utf8->canonical->pretty;

# Nothing of this calls home.
$ENV{REDOCLY_TELEMETRY} = 'off';
$ENV{REDOCLY_SUPPRESS_UPDATE_NOTICE} = 'true';
$ENV{NO_UPDATE_NOTIFIER} = 1;
$ENV{NO_COLOR} = 1;

my $tools = TenonNpm::install($source, 'client');
# TeamOS, and Mono for rows that belong to accounts.
my $stripe = TenonStripe->new(prices => ['teamos_pro_monthly']);
my $s = TenonServer->new(apps => ['teamos', 'mono'], tenond => 1,
                         asks => $stripe,
                          stripe => 1);
my $work = File::Temp->newdir('run-XXXXXX', DIR => $tools);
# Jobs of the platform's, of which each story finds one that waits.
$s->psql(q{insert into tenon.job (tenant_id, kind, run_at)
           select tenant_id, 'purge', now() + interval '1 day'
             from tenon.tenant, generate_series(1, 5) where slug = 'platform'});
my $proxy;

END {
    local $?;
    if ($proxy) {
        kill TERM => $proxy;
        waitpid $proxy, 0;
    }
}

my $r = $s->request(GET => 'openapi.json', host => 'tenon.localhost');
status_is $r, 200, 'openapi.json needs no tenant and no token'
    or stop('there is no openapi.json');
my $document = $r->json;
spew("$work/openapi.json", $r->{body});
File::Copy::copy($_, $work) or die "$_: $!\n"
    for glob "$source/*.ts $source/*.cjs $source/*.json $source/*.yaml";

subtest 'the linter' => sub {
    my ($status, $out) = node('@redocly/cli/bin/cli.js', 'lint',
                              '--format=json', 'openapi.json');
    my ($report) = eval { $json->decode_prefix($out =~ s/\A[^{]*//r) };
    is $status, 0, 'finds no error' or diag $out;
    is_deeply [map { "$_->{ruleId}: $_->{message} at " . join ' ',
                     map { $_->{pointer} // '' } @{ $_->{location} } }
                   @{ $report->{problems} || ['no report'] }],
        [], 'and nothing to warn of';
};

my $client = '';
subtest 'the types' => sub {
    # What has a default may be left out of what is sent.
    my ($status, $out) = node('openapi-typescript/bin/cli.js', 'openapi.json',
                              '--default-non-nullable=false',
                              '-o', 'schema.ts');
    is $status, 0, 'are made' or diag $out;
    ($status, $out) = node('typescript/bin/tsc', '-p', '.');
    is $status, 0, 'and compile strictly, with a client that uses them'
        or $client = $out;
};
stop("there is no client:\n$client") if length $client;

outbox("$work/outbox");
my %client = (
    TENON_ORIGIN   => 'http://tenon.localhost:' . $s->port,
    TENON_OUTBOX   => "$work/outbox",
    TENON_PASSWORD => $s->password,
    TENON_STRIPE_SECRET => TenonServer::STRIPE_SECRET,
);

subtest 'the story, straight' => sub {
    program('story.js', %client, TENON_RUN => 'straight');
};

# Through the proxy: every operation, and what it answers to wrong requests.
my $port = proxy();
$client{TENON_PROXY} = "http://127.0.0.1:$port";

subtest 'the proxy sees what it should' => sub {
    my $c = TenonClient->new($port);
    for my $case ([GET => 'status code'], [POST => 'required property'],
                  [PUT => 'additional properties']) {
        my ($method, $what) = @$case;
        my $answer = $c->request($method, '/no-such-thing', host => 'x');
        is $answer->{status}, 404, "$method: the server's answer";
        like $answer->header('sl-violations') // '', qr/$what/,
            "a planted contradiction is reported: $what";
    }
};

my %called;
subtest 'the story, through the proxy' => sub {
    %called = program('story.js', %client, TENON_RUN => 'checked');
};

subtest 'wrong requests, through the proxy' => sub {
    program('refusals.js', %client);
};

my @idle;
for my $path (sort keys %{ $document->{paths} }) {
    for my $method (qw(get post put patch delete)) {
        my $operation = $document->{paths}{$path}{$method} or next;
        push @idle, $operation->{operationId}
            unless grep { /^2/ } @{ $called{ uc($method) . " $path" } || [] };
    }
}
is_deeply \@idle, [], 'the story leaves no operation out';

done_testing;


# ---- the tools ----

# Runs a program of the tools, or one of ours, in the work folder.
sub node {
    my ($program, @arg) = @_;
    my $file = -e "$tools/node_modules/$program"
        ? "$tools/node_modules/$program" : $program;
    my $out = File::Temp->new;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        chdir $work or POSIX::_exit(127);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$out";
        open STDERR, '>&', \*STDOUT;
        exec 'node', '--require', "$work/localhost.cjs", $file, @arg
            or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return ($?, slurp("$out"));
}

# One of our programs: its checks become ours. Returns what it called.
sub program {
    my ($name, %env) = @_;
    my %calls;
    my $checks = 0;
    my ($status, $out);
    {
        local @ENV{ keys %env } = values %env;
        ($status, $out) = node("out/$name");
    }
    for my $line (split /\n/, $out) {
        if ($line =~ /^(not )?ok \d+ - (.*)/) {
            $checks++;
            ok !$1, $2;
        }
        elsif ($line =~ /^# called (\S+ \S+) (\d+)/) {
            push @{ $calls{$1} }, $2;
        }
        elsif ($line !~ /^1\.\.(\d+)$/ || $1 != $checks) {
            diag $line;
        }
    }
    like $out, qr/^1\.\.$checks$/m, 'all checks are here';
    is $status, 0, 'a good end';
    return %calls;
}

# A program that prints what would have been mailed.
sub outbox {
    my ($file) = @_;
    my %env = %{ $s->{env} };
    spew($file, join "\n", '#!/bin/bash',
         (map { "export $_='$env{$_}'" } sort keys %env),
         ". '$root/scripts/common.sh'",
         'tenonctl_as "$pg_user" outbox --json --secret - \\',
         '    --database "$owner_db" < "$var/keys/secret.key"', '');
    chmod 0755, $file;
    return;
}

# Starts the proxy with the document, made as narrow as it reads: a member
# that it doesn't name is a contradiction too. Beside it three contradictions
# to the server that the proxy must find. Returns the port.
sub proxy {
    my $copy = $json->decode($r->{body});
    my %never = (
        get  => { 200 => {} },
        post => { 404 => { required => ['never_there'] } },
        put  => { 404 => { properties => { code => {} } } },
    );
    for my $method (keys %never) {
        my ($status, $schema) = %{ $never{$method} };
        $copy->{paths}{'/no-such-thing'}{$method}{responses}{$status} = {
            description => 'Never so',
            content     => { 'application/problem+json' => {
                schema => { type => 'object', %$schema },
            } },
        };
        $copy->{paths}{'/no-such-thing'}{servers} = [{ url => '/' }];
    }
    close_objects($copy->{components}{schemas});
    close_objects($copy->{paths});
    my $schemas = $copy->{components}{schemas};
    demand_rows($_) for $copy->{paths},
        map { $schemas->{$_} } grep { $_ ne 'TaskList' } keys %$schemas;

    # The proxy takes no notice of servers.
    $copy->{paths} = { map {
        my $servers = delete $copy->{paths}{$_}{servers};
        my $before = ($servers || $copy->{servers})->[0]{url} =~ s{/\z}{}r;
        ("$before$_" => $copy->{paths}{$_});
    } keys %{ $copy->{paths} } };

    delete $copy->{servers};
    spew("$work/proxy.json", $json->encode($copy));

    my $free = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
        or die "no free port: $!\n";
    my $port = $free->sockport;
    close $free;

    $proxy = fork // die "fork: $!\n";
    if ($proxy == 0) {
        chdir $work or POSIX::_exit(127);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', 'proxy.log';
        open STDERR, '>&', \*STDOUT;
        exec 'node', '--require', "$work/localhost.cjs",
            "$tools/node_modules/\@stoplight/prism-cli/dist/index.js",
            'proxy', '--host', '127.0.0.1', '--port', $port, '--cors=false',
            'proxy.json', 'http://tenon.localhost:' . $s->port
            or POSIX::_exit(127);
    }
    my $open = $s->wait_until(30, sub {
        waitpid($proxy, POSIX::WNOHANG()) == 0
            or die "the proxy ended:\n" . slurp("$work/proxy.log");
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
    });
    die "the proxy doesn't listen\n" . slurp("$work/proxy.log") if !$open;
    return $port;
}

# Parts of an allOf stay open: each names some of the members.
sub close_objects {
    my ($node) = @_;
    if (ref $node eq 'ARRAY') {
        close_objects($_) for @$node;
    }
    elsif (ref $node eq 'HASH') {
        $node->{additionalProperties} //= JSON::PP::false
            if grep({ $_ eq 'object' } ref $node->{type} eq 'ARRAY'
                        ? @{ $node->{type} } : $node->{type} // '') &&
               ref $node->{properties} eq 'HASH';
        close_objects($node->{$_}) for grep { $_ ne 'allOf' } keys %$node;
    }
    return;
}

# A row "or what ?fields= leaves of it" is a whole row: only the story's list of
# tasks asks for less.
sub demand_rows {
    my ($node) = @_;
    if (ref $node eq 'ARRAY') {
        demand_rows($_) for @$node;
    }
    elsif (ref $node eq 'HASH') {
        my ($row, $part) = map { $_->{'$ref'} // '' } @{ $node->{anyOf} || [] };
        %$node = ('$ref' => $row) if defined $part && $part eq "${row}Part";
        demand_rows($_) for values %$node;
    }
    return;
}

# What comes after would only repeat this.
sub stop {
    my ($why) = @_;
    fail 'goes on';
    diag $why;
    done_testing;
    exit 1;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/;
    return scalar(<$in>) // '';
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>:raw', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
    return;
}
