#!/usr/bin/perl

# TLS to PostgreSQL, verify-full, with client certificates: works, for payloads
# from 1 B to 400 KB in both directions as in plain text; and a server that
# can't prove who it is gets nothing, while the log says why.
#
# TENON_LONG=1: payloads of 70 sizes, not of 25 (make chaos).

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use File::Temp ();
use Test::More;
use Time::HiRes qw(time);

use TenonCheck;
use TenonProxy ();
use TenonServer ();

use constant LARGEST => 409_600;
use constant STEPS => $ENV{TENON_LONG} ? 60 : 15;
use constant NAME => 'db.tenon.test';

my $s = TenonServer->new(http => 'keepalive_requests 1000000;');

# ---- two authorities; certificates for the server and for tenon_api ----

my $dir = File::Temp->newdir('tenon-tls-XXXXXX', TMPDIR => 1);
chmod 0755, "$dir";
my $web = $> == 0 ? 'www-data' : (getpwuid $>)[0];
my $pg = $> == 0 ? 'postgres' : $web;

sub openssl {
    return TenonServer::_output('sh', '-c', 'openssl "$@" 2>> "$0"',
                                "$dir/openssl.log", @_);
}

# $name.crt and .key: signed by $ca, or by itself.
sub certificate {
    my ($name, $subject, $ca, $owner, @more) = @_;
    my @new = (qw(req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes),
               '-subj', "/CN=$subject", '-keyout', "$dir/$name.key");
    if ($ca) {
        openssl(@new, '-out', "$dir/$name.csr");
        openssl(qw(x509 -req -CAcreateserial -days 2), '-in', "$dir/$name.csr",
                '-CA', "$dir/$ca.crt", '-CAkey', "$dir/$ca.key",
                '-out', "$dir/$name.crt", @more);
    }
    else {
        openssl(@new, qw(-x509 -days 2), '-out', "$dir/$name.crt");
    }
    chmod 0600, "$dir/$name.key";
    chmod 0644, "$dir/$name.crt";
    chown +(getpwnam $owner)[2, 3], "$dir/$name.key" if $owner;
    return;
}

certificate('ca', 'Test Authority', undef, undef);
certificate('stranger', 'Some Authority', undef, undef);
certificate('client', 'tenon_api', 'ca', $web);
certificate('right', NAME, 'ca', $pg);
certificate('unknown', NAME, 'stranger', $pg);
certificate('other', 'db.example.org', 'ca', $pg);
certificate('expired', NAME, 'ca', $pg, '-days', '-1');

# An address of our own: the port is the socket's.
my $address = sprintf '127.%d.%d.%d', 1 + int rand 250, int rand 250,
    1 + int rand 250;

sub serve_as {
    my ($name, $how) = @_;
    TenonServer::_spew("$dir/tls.conf", $name ? <<"CONF" : "ssl = off\n");
ssl = on
ssl_cert_file = '$dir/$name.crt'
ssl_key_file = '$dir/$name.key'
ssl_ca_file = '$dir/ca.crt'
CONF
    chmod 0644, "$dir/tls.conf";
    # Every start.sh writes pg_hba.conf anew.
    $s->shell('as_pg tee -a "$var/pg/pg_hba.conf" > /dev/null \
                   <<< "hostssl tenon tenon_api 127.0.0.0/8 cert"');
    $s->shell('as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s "$1" \
                   > /dev/null 2>&1', $how);
    return;
}

TenonServer::_spew("$dir/address.conf", "listen_addresses = '$address'\n");
chmod 0644, "$dir/address.conf";
$s->shell('
    as_pg tee -a "$var/pg/postgresql.conf" > /dev/null \
        <<< "include \'$1/address.conf\'
include \'$1/tls.conf\'"', "$dir");
serve_as('right', 'restart');

my $conninfo = 'host=' . NAME . " hostaddr=$address port=5432 dbname=tenon " .
    "user=tenon_api sslmode=verify-full sslrootcert=$dir/ca.crt " .
    "sslcert=$dir/client.crt sslkey=$dir/client.key";

# A text as long as any.
$s->psql('update tenon.field set max = ' . 2 * LARGEST .
         " where resource = 'comment' and name = 'content'");
$s->psql("do \$\$ declare c text; begin
    for c in select conname from pg_constraint
              where conrelid = 'teamos.comment'::regclass and contype = 'c'
                and pg_get_constraintdef(oid) like '%content%' loop
        execute format('alter table teamos.comment drop constraint %I', c);
    end loop; end \$\$");

# ---- payloads ----

sub sizes {
    my %at = map { $_ => 1 } 1, 2, 8191 .. 8193, 16_383 .. 16_385, 32_768,
        65_535, 65_536, LARGEST;
    $at{ 1 + int(($_ / STEPS) ** 2 * LARGEST) } = 1 for 1 .. STEPS - 1;
    my @sizes = sort { $a <=> $b } grep { $_ <= LARGEST } keys %at;
    return @sizes;
}

sub sweep {
    my ($how) = @_;
    my $c = $s->connect;
    my $task = $s->request(GET => 'tasks?limit=1', as => 'alice')
        ->json->{data}[0];
    my ($began, $bytes, @wrong) = (time, 0);
    my @sizes = sizes();
    for my $n (@sizes) {
        my $text = substr join('', 'a' .. 'z', 'A' .. 'Z', 0 .. 8) x
            (1 + $n / 61), 0, $n;
        $c->write($s->bytes(POST => 'comments', as => 'alice', json => {
            task_id => $task->{id}, content => $text }));
        my $made = $c->response;
        if ($made->{status} != 201 || $made->json->{content} ne $text) {
            push @wrong, "$n: created: $made->{status} " .
                substr $made->{body}, 0, 200;
            next;
        }
        $c->write($s->bytes(GET => 'comments/' . $made->json->{id},
                            as => 'alice'));
        my $read = $c->response;
        push @wrong, "$n: read: $read->{status}"
            if $read->{status} != 200 || $read->{body} ne $made->{body};
        $bytes += $n;
    }
    # All of them again, in as many pages as the server likes.
    my ($got, $pages, $cursor) = (0, 0);
    do {
        my $list = $s->request(
            GET => 'comments?limit=100&sort=-created_at' .
                ($cursor ? "&cursor=$cursor" : ''), as => 'alice');
        push @wrong, "list: $list->{status}" if $list->{status} != 200;
        $got += length $list->{body};
        $cursor = $list->json->{next_cursor};
        $pages++;
    } while $cursor && $pages < 100;
    push @wrong, "list: $got of $bytes" if $got < $bytes;
    is_deeply \@wrong, [], sprintf
        '%s: %d sizes up to %d bytes, and a list of %.1f MB in %d pages, in %.1f s', $how,
        scalar @sizes, LARGEST, $got / 1e6, $pages, time - $began;
    $s->psql("delete from teamos.comment where length(content) > 0");
    return;
}

TenonProxy::lead($s, $conninfo);
is $s->psql('
    select count(*) > 1, bool_and(s.ssl), bool_and(s.client_dn = $$/CN=tenon_api$$),
           min(s.version)
      from pg_stat_ssl s join pg_stat_activity a using (pid)
     where a.usename = $$tenon_api$$'), 't|t|t|TLSv1.3',
    'workers are connected by TLS, with their certificate';
sweep('TLS');

# ---- a server that is not who it should be ----

sub log_since {
    my ($at) = @_;
    return substr TenonServer::_slurp($s->error_log), $at;
}

for (['unknown', 'of an authority that is not ours',
      qr/certificate verify failed/],
     ['other', 'for another name',
      qr/server certificate for "db\.example\.org" does not match host name/],
     ['expired', 'that has expired', qr/certificate verify failed/],
     [undef, '(none, no TLS)', qr/server does not support SSL/]) {
    my ($name, $what, $says) = @$_;
    subtest "a certificate $what" => sub {
        my $at = -s $s->error_log;
        serve_as($name, 'reload');
        ok $s->wait_until(5, sub {
            $s->psql("select pg_terminate_backend(pid) from pg_stat_activity
                       where usename = 'tenon_api'");
            $s->request(GET => 'tasks?limit=1', as => 'alice')
                ->{status} == 503;
        }), 'connections end';
        my @r = map { $s->request(GET => 'tasks?limit=1', as => 'alice') }
            1 .. 5;
        problem_is $_, 503, 'unavailable', 'refused' for @r;
        ok $s->wait_until(5, sub { log_since($at) =~ $says }),
            'the log says why' or diag log_since($at);
        ok $s->wait_until(5, sub { # a backend that was ended takes a moment
            $s->psql("select count(*) from pg_stat_activity
                       where usename = 'tenon_api'") == 0;
        }), 'nobody is connected';
        serve_as('right', 'reload');
        ok $s->wait_until(5, sub {
            $s->request(GET => 'tasks?limit=1', as => 'alice')
                ->{status} == 200;
        }), 'with the right one service is back';
        my ($line) = grep { $_ =~ $says } split /\n/, log_since($at);
        note $line // 'nothing';
    };
}

# ---- the same payloads without ----

TenonProxy::lead($s, 'host=' . $s->var . '/run port=5432 dbname=tenon ' .
                     'user=tenon_api');
sweep('plain text');

unlike TenonServer::_slurp($s->error_log), qr/\[(?:alert|crit|emerg)\]/,
    'nothing alarmed nginx';

done_testing;
