#!/usr/bin/perl

# The attacks of t/data/jwt.txt, which says how it is read, against a server
# with its own keys and somebody's own session; then what `tenonctl keys rotate`
# and a reload do to tokens.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(decode_base64url encode_base64url);

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $work = File::Temp->newdir;
my $file = $s->var . '/keys/signing.key';
my $good = $s->token('alice');
my (undef, $payload) = split /\./, $good;
my %claims = %{ JSON::PP->new->decode(decode_base64url($payload)) };

# Seeds as PKCS #8, for openssl.
my ($seed) = slurp($file) =~ /\A(\S{43})/ or die "$file: no key\n";
my %secret = (key => decode_base64url($seed), other => 'o' x 32);
spew("$work/$_.der",
     pack('H*', '302e020100300506032b657004220420') . $secret{$_})
    for keys %secret;
my %public = map {
    my $der = `openssl pkey -inform DER -in $work/$_.der -pubout -outform DER`;
    ($_ => substr $der, -32)
} keys %secret;

my %variable = (
    kid => header($good)->{kid},
    x   => encode_base64url($public{key}),
    ox  => encode_base64url($public{other}),
    iss => $claims{iss},
    sub => $claims{sub},
    tid => $claims{tid},
    sid => $claims{sid},
    pad => 'A' x 7000,
);

my ($attacks, $fine) = (0, 0);

for my $case (cases("$FindBin::Bin/../data/jwt.txt")) {
    my $r = $s->request(GET => 'me', at => 'acme', token => token($case));

    if ($case->{fine}) {
        is $r->{status}, 200, $case->{name} or diag $r->{body};
        $fine++;
    }
    elsif ($case->{claims} =~ /\$pad/) {
        # nginx's own limit of a header may come first
        like $r->{status}, qr/\A40[01]\z/, $case->{name};
        $attacks++;
    }
    else {
        is $r->{status}, 401, $case->{name} or diag $r->{body};
        $attacks++;
    }
}

cmp_ok $attacks, '>=', 40, "$attacks attacks";
is $fine, 2, 'and two that are none';
is $s->request(GET => 'me', as => 'alice')->{status}, 200,
    'alice\'s own token still is one';

subtest 'keys are rotated' => sub {
    my @before = published();
    is @before, 2, 'a key signs, the next one is published';
    is header($good)->{kid}, $before[0], 'the first one signs';

    my $out = keys_command('rotate');
    like $out, qr/ten minutes/, 'no sooner than verifiers know the next one';
    is_deeply [published()], \@before, 'so nothing changes';

    my @stat = stat $file;
    keys_command('rotate', '--force');
    is_deeply [(stat $file)[2, 4, 5]], [@stat[2, 4, 5]],
        'its mode and owners stay';
    reload();
    my @after = published();
    is_deeply [@after[0, 2]], [$before[1], $before[0]],
        'the next key signs, the one that did is kept';
    is @after, 3, 'and there is a new next one';
    is $s->request(GET => 'me', as => 'alice')->{status}, 200,
        'a token of the old key counts';
    my $new = $s->login('alice')->json->{access_token};
    is header($new)->{kid}, $before[1], 'new ones are of the new key';
    is $s->request(GET => 'me', at => 'acme', token => $new)->{status}, 200,
        'and count';

    # what has been kept for longer than tokens live goes
    my @lines = split /\n/, slurp($file);
    $lines[2] =~ s/ .*/ 2001-01-01T00:00:00Z/;
    spew($file, join '', map { "$_\n" } @lines);
    keys_command('rotate', '--force');
    reload();
    my @last = published();
    is_deeply [@last[0, 2]], [@after[1, 0]], 'another rotation';
    is @last, 3, 'drops the oldest';
    is $s->request(GET => 'me', as => 'alice')->{status}, 401,
        'whose tokens count no more, though workers had seen them';
    is $s->request(GET => 'me', at => 'acme', token => $new)->{status}, 200,
        'those of the one before do';
};

is_deeply [$s->alarms], [], 'nothing in the log that should not be there';
done_testing;


# ---- the server's keys ----

sub keys_command {
    my (@command) = @_;
    return $s->shell('f=$1
        shift
        build/bin/tenonctl keys "$@" --file "$f" 2>&1 || true',
        $file, @command);
}

# Until the workers that had the old keys are gone.
sub reload {
    my %old = map { $_ => 1 } $s->workers;
    $s->reload;
    $s->wait_until(20, sub {
        my @now = $s->workers;
        @now && !grep { $old{$_} } @now;
    }) or die "old workers stay\n";
    return;
}

sub published {
    my $r = $s->request(GET => '/.well-known/jwks.json',
                        host => 'tenon.localhost');
    return map { $_->{kid} } @{ $r->json->{keys} };
}


# ---- tokens ----

sub header {
    my ($token) = @_;
    return JSON::PP->new->decode(decode_base64url(
        (split /\./, $token)[0]));
}

sub cases {
    my ($name) = @_;
    my @cases;
    for (split /\n/, slurp($name)) {
        next if /^#/ || !/\S/;
        if (/^\S/) {
            push @cases, {
                name   => $_,
                header => '{"alg":"EdDSA","typ":"at+jwt","kid":"$kid"}',
                claims => '{$claims}',
                signed => 'key',
                token  => '$h.$p.$s',
            };
        }
        elsif (/^  fine$/) {
            $cases[-1]{fine} = 1;
        }
        elsif (/^  (header|claims|signed|token) (.*)/) {
            $cases[-1]{$1} = $2;
        }
        else {
            die "$name: what is \"$_\"?\n";
        }
    }
    return @cases;
}

sub expand {
    my ($text) = @_;
    my $now = time;
    my %text = (map({ $_ => qq("$claims{$_}") } qw(iss aud sub tid sid)),
                iat => $now, nbf => $now, exp => $now + 900);
    $text =~ s{\$claims(?:-(\w+))?}{
        my $but = $1 // '';
        join ',', map { qq("$_":$text{$_}) } grep { $_ ne $but }
            qw(iss aud sub tid sid iat nbf exp)
    }ge;
    $text =~ s/\$now([+-]\d+)/$now + $1/ge;
    $text =~ s{\$(\w+)}{$variable{$1} // die "no variable \$$1\n"}ge;
    return $text;
}

sub token {
    my ($case) = @_;
    my %part = (h => encode_base64url(expand($case->{header})),
                p => encode_base64url(expand($case->{claims})));
    $part{s} = signature($case->{signed}, "$part{h}.$part{p}");
    return $case->{token} =~ s/\$([hps])/$part{$1}/gr;
}

sub signature {
    my ($how, $text) = @_;
    return '' if $how eq 'none';
    return encode_base64url(hmac_sha256($text, $public{key}))
        if $how eq 'hmac-raw';
    return encode_base64url(hmac_sha256($text, $variable{x}))
        if $how eq 'hmac-x';
    spew("$work/text", $text);
    my $raw = `openssl pkeyutl -sign -rawin -keyform DER -inkey $work/$how.der -in $work/text`;
    die "openssl can't sign\n" if length $raw != 64;
    return encode_base64url($raw);
}


# ---- files ----

sub slurp {
    my ($name) = @_;
    open my $in, '<:raw', $name or die "$name: $!\n";
    local $/;
    return scalar <$in>;
}

sub spew {
    my ($name, $text) = @_;
    open my $out, '>:raw', $name or die "$name: $!\n";
    print {$out} $text;
    close $out or die "$name: $!\n";
    return;
}
