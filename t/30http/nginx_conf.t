#!/usr/bin/perl

# What `nginx -t` says of each directive: wrong values, wrong places, missing
# companions are refused with file and line, in nginx's own words. No database
# is needed, nor asked.
#
# TENON_BUILD names the build folder (default: build).

use strict;
use warnings;

use Cwd ();
use File::Temp ();
use Test::More;

my $build = Cwd::abs_path($ENV{TENON_BUILD} || 'build');
my $module = ($build || '') . '/ngx/ngx_http_tenon_module.so';
my ($nginx) = grep { -x } '/usr/sbin/nginx', '/usr/local/sbin/nginx';

plan skip_all => 'no nginx here' unless $nginx;
plan skip_all => "no module at $module" unless -e $module;

my $dir = File::Temp->newdir('tenon-conf-XXXXXX', TMPDIR => 1);
my $conf = "$dir/nginx.conf";

write_file("$dir/good.key", 'A' x 43 . "\n", 0600);
write_file("$dir/bare.key", 'A' x 43, 0640);
write_file("$dir/two.key", 'A' x 43 . "\n" . 'C' x 42 . "A\n", 0600);
write_file("$dir/open.key", 'A' x 43 . "\n", 0644);
write_file("$dir/short.key", 'A' x 42 . "\n", 0600);
write_file("$dir/long.key", 'A' x 44 . "\n", 0600);
write_file("$dir/lines.key", 'A' x 43 . "\n\n", 0600);
write_file("$dir/bits.key", 'A' x 42 . "B\n", 0600);
write_file("$dir/plus.key", 'A' x 42 . "+\n", 0600);
write_file("$dir/empty.key", '', 0600);
mkdir "$dir/folder.key", 0700;
write_file("$dir/stripe", "whsec_0123456789abcdef\n", 0600);

# What `tenon` needs, each on a line of its own.
my %need = (
    zone     => 'tenon_zone tenon:1m;',
    database => 'tenon_database "host=/nowhere dbname=tenon";',
    signing  => "tenon_signing_key $dir/good.key;",
    secret   => "tenon_secret $dir/bare.key;",
    encryption => "tenon_encryption_key $dir/two.key;",
);
my $all = join ' ', @need{qw(zone database signing secret encryption)};


# ---- what is fine ----

accepted('the module without a directive', '');
accepted('everything that it needs', $all, 'location /api/ { tenon; }');
accepted('all directives', "$all
    tenon_base_domain Tenon.Localhost; tenon_pool_size 100;
    tenon_cors_origins https://app.example.com http://localhost:5173;
    tenon_queue_size 1; tenon_queue_timeout 500ms; tenon_connect_timeout 1s;
    tenon_timeout 1m; tenon_hash_jobs 64; tenon_hash_queue 1; tenon_hsts 365d;
    tenon_inbound stripe $dir/stripe;
    tenon_token_ttl 1s; tenon_session_ttl 3650d; tenon_session_idle 2m;",
    'location /api/ { tenon; } location = /p { internal; tenon_problem; }');
accepted('a prefix for a regular expression', $all,
    'location ~ ^/v[12]/ { tenon prefix=/; }');
accepted('a prefix in a named location', $all,
    'location @api { tenon prefix=/api; }');
accepted('companions without a user', $all);
accepted('tenon_problem alone', '', 'location = /p { tenon_problem; }');
accepted('a block of "if" in the location', $all,
    'location /api/ { tenon; if ($arg_x) { set $y 1; } }');


# ---- missing companions: at the line of the directive that needs them ----

for my $name (qw(zone database signing secret encryption)) {
    my %rest = %need;
    delete $rest{$name};
    my ($directive) = split / /, $need{$name};
    refused("tenon without $directive", join(' ', values %rest),
        "location /api/ {\n tenon;\n}",
        qr/"tenon" requires the "$directive" directive/, 3);
}


# ---- tenon, tenon_problem ----

refused('an unknown parameter', $all, 'location /a { tenon path=/a; }',
    qr/invalid parameter "path=\/a"/);
refused('a prefix without slash', $all, 'location /a { tenon prefix=a; }',
    qr/invalid prefix "a"/);
refused('an empty prefix', $all, 'location /a { tenon prefix=; }',
    qr/invalid prefix ""/);
refused('a regular expression without prefix', $all,
    'location ~ /a { tenon; }', qr/"tenon" requires the "prefix" parameter/);
refused('a named location without prefix', $all,
    'location @a { tenon; }', qr/"tenon" requires the "prefix" parameter/);
refused('tenon twice', $all, 'location /a { tenon; tenon; }',
    qr/"tenon" directive is duplicate/);
refused('too many arguments', $all, 'location /a { tenon prefix=/a b; }',
    qr/invalid number of arguments in "tenon" directive/);
refused('tenon in server', $all, 'tenon;',
    qr/"tenon" directive is not allowed here/);
refused('tenon in http', "$all tenon;", '',
    qr/"tenon" directive is not allowed here/);
refused('tenon in if', $all, 'location /a { if ($arg_x) { tenon; } }',
    qr/"tenon" directive is not allowed here/);
refused('tenon_problem in server', '', 'tenon_problem;',
    qr/"tenon_problem" directive is not allowed here/);
refused('tenon_problem twice', '',
    'location /a { tenon_problem; tenon_problem; }',
    qr/"tenon_problem" directive is duplicate/);
refused('tenon_problem with an argument', '',
    'location /a { tenon_problem on; }',
    qr/invalid number of arguments in "tenon_problem" directive/);


# ---- http level: place and number ----

my %value = (
    tenon_zone            => 'other:1m',
    tenon_database        => 'dbname=x',
    tenon_base_domain     => 'example.com',
    tenon_cors_origins    => '*',
    tenon_signing_key     => "$dir/good.key",
    tenon_secret          => "$dir/good.key",
    tenon_encryption_key  => "$dir/good.key",
    tenon_hsts            => 'off',
    tenon_pool_size       => '4',
    tenon_queue_size      => '512',
    tenon_queue_timeout   => '2s',
    tenon_connect_timeout => '3s',
    tenon_timeout         => '10s',
    tenon_hash_jobs       => '2',
    tenon_hash_queue      => '16',
    tenon_token_ttl       => '15m',
    tenon_session_ttl     => '30d',
    tenon_session_idle    => '0',
);

for my $name (sort keys %value) {
    refused("$name twice", "$name $value{$name}; $name $value{$name};", '',
        qr/"$name" directive is duplicate/);
    refused("$name in server", '', "$name $value{$name};",
        qr/"$name" directive is not allowed here/);
    refused("$name in location", '', "location /a { $name $value{$name}; }",
        qr/"$name" directive is not allowed here/);
    refused("$name without a value", "$name;", '',
        qr/invalid number of arguments in "$name" directive/);
}


# ---- http level: values ----

refused('a zone without size', 'tenon_zone tenon;', '',
    qr/invalid zone size "tenon"/);
refused('a zone without name', 'tenon_zone :1m;', '',
    qr/invalid zone size ":1m"/);
refused('a zone with a bad size', 'tenon_zone tenon:big;', '',
    qr/invalid zone size "tenon:big"/);
refused('a zone too small', 'tenon_zone tenon:8k;', '',
    qr/zone "tenon:8k" is too small/);
refused('no database', 'tenon_database "";', '',
    qr/empty connection string in "tenon_database" directive/);

for my $domain ('""', '.example.com', 'example.com.', 'a..b', 'a_b', 'a/b') {
    refused("base domain $domain", "tenon_base_domain $domain;", '',
        qr/invalid domain name/);
}

accepted("users $_", "tenon_signup_realm $_;") for 'shared', 'own';
refused('users of nobody', 'tenon_signup_realm none;', '',
    qr/invalid value "none"/);

accepted("origin $_", "tenon_cors_origins $_;")
    for 'http://localhost', 'http://localhost:443', 'https://a.example:80',
        'http://127.0.0.1:65535', 'https://[::1]:8443', 'https://xn--bcher-kva.example';

for my $origin ('""', 'example.com', '//example.com', 'null', '**',
                'ftp://example.com', 'HTTPS://example.com',
                'https://', 'http:///', 'https://example.com/',
                'https://example.com/app', 'https://example.com?x',
                'https://Example.com', 'https://*.example.com',
                'https://example.com.', 'https://.example.com', 'https://a..b',
                'https://me@example.com', '"https://a.example b.example"',
                'https://example.com:', 'https://example.com:0',
                'https://example.com:443', 'http://example.com:80',
                'https://example.com:08443', 'https://example.com:65536',
                'https://example.com:x', 'https://:443', 'https://[::1',
                'https://[]', 'https://[::1]8443', 'https://[g]') {
    refused("origin $origin", "tenon_cors_origins http://fine.example $origin;",
        '', qr/invalid origin "\Q${\($origin =~ tr,",,dr)}\E", it must be/);
}
refused("origins $_", "tenon_cors_origins $_;", '',
    qr/"\*" is all origins: no other .* in "tenon_cors_origins" directive/)
    for '* https://a.example', 'https://a.example *', '* *';
refused('an origin twice', 'tenon_cors_origins https://a.example
    https://b.example https://a.example;', '',
    qr/duplicate origin "https:\/\/a\.example"/);

my %bounds = (
    tenon_pool_size  => [1, 100],
    tenon_queue_size => [1, 65536],
    tenon_hash_jobs  => [1, 64],
    tenon_hash_queue => [1, 65536],
);

for my $name (sort keys %bounds) {
    my ($low, $high) = @{ $bounds{$name} };
    for my $n ($low - 1, $high + 1) {
        refused("$name $n", "$name $n;", '',
            qr/value must be between $low and $high/);
    }
    refused("$name many", "$name many;", '', qr/invalid number/);
}

for my $name (qw(tenon_token_ttl tenon_session_ttl tenon_session_idle)) {
    refused("$name $_", "$name $_;", '', qr/"$name" directive invalid value/)
        for qw(x soon -1);
    my $zero = $name =~ /idle/ ? '119s' : '0';
    refused("$name $_", "$name $_;", '', qr/"$name" directive must be /)
        for $zero, '3651d';
}

for my $name (qw(tenon_queue_timeout tenon_connect_timeout tenon_timeout)) {
    for my $time ('0', 'soon', '-1') {
        refused("$name $time", "$name $time;", '',
            qr/"$name" directive invalid value/);
    }
}

for my $time ('soon', '-1', '1ms') {
    refused("tenon_hsts $time", "tenon_hsts $time;", '',
        qr/"tenon_hsts" directive invalid value/);
}


# ---- key files ----

my %fault = (
    tenon_signing_key => qr/, line \d: a key is 32 bytes in base64url/,
    tenon_encryption_key => qr/, line \d: a key is 32 bytes in base64url/,
    tenon_secret      => qr/ does not hold 32 bytes/,
);

for my $name (qw(tenon_signing_key tenon_encryption_key tenon_secret)) {
    refused("$name: no file", "$name $dir/none.key;", '',
        qr/"$name": open\(\) "\Q$dir\E\/none\.key" failed \(2: No such/);
    refused("$name: a folder", "$name $dir/folder.key;", '',
        qr/"$name": "\Q$dir\E\/folder\.key" is not a regular file/);
    refused("$name: readable by others", "$name $dir/open.key;", '',
        qr/"$name": file "\Q$dir\E\/open\.key" is accessible by others/);
    for my $file (qw(short long lines bits plus empty)) {
        refused("$name: $file", "$name $dir/$file.key;", '',
            qr/"$name": file "\Q$dir\E\/$file\.key"$fault{$name}/);
    }
    # relative names start from the folder of nginx.conf
    accepted("$name: a relative name", "$name good.key;");
}

# a ring of them
write_file("$dir/ring.key", join('', map { "$_\n" } 'A' x 43,
    'B' . 'A' x 42 . ' 2026-11-21T10:00:00Z', 'C' . 'A' x 42), 0600);
write_file("$dir/twice.key", join('', ('A' x 43 . "\n") x 2), 0600);
write_file("$dir/undated.key", 'A' x 43 . " yesterday\n", 0600);
write_file("$dir/many.key", join('', map { "${_}A" . 'A' x 41 . "\n" }
    'A' .. 'I'), 0600);
accepted('tenon_signing_key: three keys', "tenon_signing_key $dir/ring.key;");
refused('tenon_secret: three keys', "tenon_secret $dir/ring.key;", '',
    qr/does not hold 32 bytes/);
refused('tenon_signing_key: a key twice', "tenon_signing_key $dir/twice.key;",
    '', qr/"\Q$dir\E\/twice\.key", line 2: this key is there already/);
refused('tenon_signing_key: no time', "tenon_signing_key $dir/undated.key;",
    '', qr/line 1: behind a key and one blank stands a time/);
refused('tenon_signing_key: nine keys', "tenon_signing_key $dir/many.key;",
    '', qr/line 9: there are too many keys/);


# ---- issuers ----

my $key = '{"kty":"OKP","crv":"Ed25519",'
        . '"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}';
write_file("$dir/jwks.json", "{\"keys\":[$key]}\n", 0644);
write_file("$dir/free.json", "{\"keys\":[$key]}\n", 0666);
write_file("$dir/text.json", "keys\n", 0644);
write_file("$dir/none.json", '{"keys":[]}', 0644);
write_file("$dir/secret.json",
    "{\"keys\":[$key,{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", 0644);
write_file("$dir/huge.json", ' ' x 300_000, 0644);
my $issuer = "tenon_issuer https://id.example.com jwks=$dir/jwks.json";

accepted('an issuer', "$all $issuer tenant=acme audience=tenon;",
    'location /api/ { tenon; }');
accepted('two issuers with everything', "$all tenon_base_domain example.com;
    $issuer tenant_claim=org user_claim=oid audience=a;
    tenon_issuer https://b jwks=jwks.json tenant_claim=org;",
    'location /api/ { tenon; }');
refused('an issuer twice', "$issuer tenant=a; $issuer tenant=b;", '',
    qr/duplicate issuer "https:\/\/id\.example\.com"/);
refused('an issuer without keys', 'tenon_issuer a tenant=b;', '',
    qr/invalid number of arguments|requires the "jwks" parameter/);
refused('an issuer with two other things', 'tenon_issuer a tenant=b user_claim=c;',
    '', qr/"tenon_issuer" requires the "jwks" parameter/);
refused('an issuer in server', '', "$issuer tenant=a;",
    qr/"tenon_issuer" directive is not allowed here/);
refused('an issuer without a tenant', "$issuer audience=a;", '',
    qr/requires either the "tenant" or the "tenant_claim" parameter/);
refused('an issuer with two', "$issuer tenant=a tenant_claim=b;", '',
    qr/requires either the "tenant" or the "tenant_claim" parameter/);
refused('a tenant that can be none', "$issuer tenant=A/B;", '',
    qr/a tenant is named by its slug or its id/);
refused('an issuer\'s parameter twice', "$issuer tenant=a tenant=b;", '',
    qr/invalid parameter "tenant=b"/);
refused('an empty one', "$issuer tenant=a audience=;", '',
    qr/invalid parameter "audience="/);
refused('an unknown one', "$issuer tenant=a alg=none;", '',
    qr/invalid parameter "alg=none"/);
refused('no audience and no domain', "$all $issuer tenant=a;",
    'location /api/ { tenon; }',
    qr/issuer "https:\/\/id\.example\.com" requires the "audience"/);

for my $case ([nowhere => qr/open\(\) .* failed/],
              [free    => qr/is accessible by others, its mode must be 0644/],
              [text    => qr/file "\S+": /],
              [none    => qr/there is no key for RS256, ES256 or EdDSA/],
              [secret  => qr/secret\.json", key 2: a symmetric key/],
              [huge    => qr/is too large/]) {
    my ($file, $why) = @$case;
    refused("keys: $file", "tenon_issuer a jwks=$dir/$file.json tenant=b;", '',
        $why);
}


# ---- who may send events in ----

my $whsec = 'whsec_0123456789abcde';
my %secrets = (
    two      => ["${whsec}f\n${whsec}g\n"],
    'no end' => ["${whsec}f"],
    empty    => ['', 1, qr/there is no secret/],
    blank    => ["\n", 1, qr/there is no secret/],
    gap      => ["${whsec}f\n\n", 2, qr/is empty/],
    short    => ["whsec_\n", 1, qr/is not as long as a signing secret/],
    api_key  => ["sk_live_0123456789abcdef\n", 1,
                 qr/is no signing secret: those of Stripe begin/],
    twice    => ["${whsec}f\n" x 2, 2, qr/is there twice/],
    crlf     => ["${whsec}f\r\n", 1, qr/holds a blank/],
    five     => [join('', map { "$whsec$_\n" } 1 .. 5), 5,
                 qr/is one more than the 4 secrets/],
    huge     => ['whsec_' . 'x' x 100_000, 1, qr/is not as long/],
);
for my $name (sort keys %secrets) {
    my ($text, $line, $why) = @{ $secrets{$name} };
    my $file = "$dir/stripe-" . $name =~ s/ /_/r;
    write_file($file, $text, 0600);
    if ($why) {
        refused("secrets: $name", "tenon_inbound stripe $file;", '',
            qr/"tenon_inbound": file "\Q$file\E", line $line: $why/);
    }
    else {
        accepted("secrets: $name", "tenon_inbound stripe $file;");
    }
}
accepted('secrets: a relative name', 'tenon_inbound stripe stripe;');
refused('secrets: no file', "tenon_inbound stripe $dir/none;", '',
    qr/"tenon_inbound": open\(\) "\Q$dir\E\/none" failed \(2: No such/);
chmod 0644, "$dir/stripe" or die "chmod: $!\n";
refused('secrets: readable by others', "tenon_inbound stripe $dir/stripe;", '',
    qr/file "\Q$dir\E\/stripe" is accessible by others/);
chmod 0600, "$dir/stripe" or die "chmod: $!\n";
refused('somebody unknown', "tenon_inbound paypal $dir/stripe;", '',
    qr/invalid provider "paypal", it must be "stripe"/);
refused('stripe twice', "tenon_inbound stripe $dir/stripe;
    tenon_inbound stripe $dir/stripe-two;", '', qr/duplicate provider "stripe"/);
refused('no file', 'tenon_inbound stripe;', '',
    qr/invalid number of arguments in "tenon_inbound" directive/);
refused('tenon_inbound in server', '', "tenon_inbound stripe $dir/stripe;",
    qr/"tenon_inbound" directive is not allowed here/);
unlike(run_test("$all tenon_inbound stripe $dir/stripe;", '', '-T'),
    qr/whsec_/, 'no secret in the output of -T');

my $told = run_test($all, 'location /api/ { tenon; }', '-T');
unlike($told, qr/A{40}/, 'no key in the output of -T');

done_testing();


sub write_file {
    my ($name, $text, $mode) = @_;
    open my $f, '>', $name or die "$name: $!\n";
    print $f $text;
    close $f or die "$name: $!\n";
    chmod $mode, $name if defined $mode;
}

# Runs `nginx -t` over a configuration with $http in the http block, from line
# 20, and $server in the server block, from line 30. Returns what it prints.
sub run_test {
    my ($http, $server, @flags) = @_;
    $http =~ s/\n\s*/ /g;

    my @lines = (
        "load_module $module;",
        "pid $dir/nginx.pid;",
        "error_log $dir/error.log;",
        'events { }',
        'http {',
        "access_log off;",
        map({ "${_}_temp_path $dir/$_;" }
            qw(client_body proxy fastcgi uwsgi scgi)),
    );
    $#lines = 18;
    push @lines, $http;
    $#lines = 27;
    push @lines, "server { listen unix:$dir/http;", $server || '', '} }', '';

    write_file($conf, join "\n", map { defined $_ ? $_ : '' } @lines);

    @flags = ('-t') unless @flags;
    open my $out, '-|', "$nginx @flags -p $dir -c $conf -e $dir/e.log 2>&1"
        or die "$nginx: $!\n";
    my $text = do { local $/; <$out> };
    close $out;
    return $text;
}

sub accepted {
    my ($what, $http, $server) = @_;
    my $out = run_test($http, $server);
    like($out, qr/test is successful/, "accepted: $what");
    unlike($out, qr/\[(?:emerg|alert|crit|error|warn)\]/, '  in silence');
}

# $line: within $server; else the line of the block that isn't empty.
sub refused {
    my ($what, $http, $server, $words, $line) = @_;
    my $out = run_test($http, $server);
    my $at = $server ? 30 + ($line ? $line - 2 : 0) : 20;
    like($out, qr/\[emerg\][^\n]*$words[^\n]* in \Q$conf\E:$at\n/,
        "refused: $what");
}
