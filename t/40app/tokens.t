#!/usr/bin/perl

# Tokens and the library that others use for them (jose, from npm): it verifies
# ours through our JWKS while keys are rotated and nginx is reloaded under load;
# ours accepts those that it makes, of issuers that are configured, and refuses
# the wrong ones.

use strict;
use warnings;

use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use IPC::Open2 qw(open2);
use IPC::Open3 qw(open3);
use JSON::PP ();
use Symbol qw(gensym);

use Test::More;
use TenonCheck;
use TenonNpm ();
use TenonServer ();

my $source = "$FindBin::Bin/tokens";
my $tools = TenonNpm::install($source, 'tokens');
my $json = JSON::PP->new->canonical;
my $work = File::Temp->newdir('tenon-tokens-XXXXXX', TMPDIR => 1);
chmod 0755, $work;

# Modules are looked for beside the program.
spew("$work/tokens.mjs", slurp("$source/tokens.mjs"));
symlink "$tools/node_modules", "$work/node_modules" or die "symlink: $!\n";

my $keys = program('keys');
my $strangers = program('keys');
my ($signer, $to_signer, $from_signer);
spew("$work/jwks.json", $json->encode($keys->{public}));

my $id = 'https://id.example.com';
my $s = TenonServer->new(http => "
    tenon_issuer $id jwks=$work/jwks.json tenant_claim=org;
    tenon_issuer $id/globex jwks=$work/jwks.json tenant=globex audience=tenon
                 user_claim=oid;");

my %good = (iss => $id, aud => 'https://tenon.localhost', sub => 'alice at id',
            org => 'acme', iat => time, exp => time + 900);


subtest 'who is not linked' => sub {
    my %said = (%good, email => 'Alice@ACME.test', email_verified => JSON::PP::true);
    status($_->[1], 401, $_->[0]) for (
        ['without an address', { %good }],
        ['with one that we haven\'t verified', { %said }],
    );
    $s->psql(q{update tenon."user" set email_verified_at = now()
                where email in ('alice@acme.test', 'bob@acme.test')});
    status({ %said, email_verified => $_, nonce => 1 }, 401, 'with one that they haven\'t')
        for JSON::PP::false, 'true', undef;
    status({ %said, email => 'dave@globex.test' }, 401, 'with a stranger\'s');
    status({ %said, org => 'globex' }, 401, 'in another organization');
    is identities(), '', 'nobody is';
    is $s->psql("select distinct t.slug, e.outcome, e.actor is null,
                        b.metadata ->> 'issuer', b.metadata ->> 'subject'
                   from tenon.event e
                   join tenon.event_body b
                     on b.tenant_id = e.tenant_id and b.event_id = e.id
                   join tenon.tenant t on t.tenant_id = e.tenant_id
                  where e.action = 'auth.subject_refused' order by 1"),
        "acme|refused|t|$id|alice at id", 'and that is told where it was';

    sleep 1.1;
    my $r = ask({ %said });
    is $r->{status}, 200, 'with one that both have verified they are'
        or diag $r->{body};
    is $r->json->{email}, 'alice@acme.test', 'to who has it';
    is identities(), "$id|alice at id|alice\@acme.test", 'once';
    status({ %good, nonce => 2 }, 200, 'then without an address, too');
    status({ %said, email => 'bob@acme.test' }, 200, 'the address may change');
    is identities(), "$id|alice at id|alice\@acme.test", 'which changes nothing';
    my ($event) = grep { $_->{action} eq 'user.identity_linked' }
        @{ $s->request(GET => 'audit/events?limit=50',
                       as => 'alice')->json->{data} };
    is $event->{metadata}{issuer}, $id, 'the log says so'
        or diag explain $event;
    is $event->{actor}{id}, $event->{resource_id}, 'and who';
};

subtest 'tenonctl user' => sub {
    my @who = ('--tenant', 'globex', '--issuer', "$id/globex", '--subject', '42');
    my %claims = (iss => "$id/globex", aud => ['x', 'tenon'], oid => '42',
                  sub => 'whoever', exp => time + 60);
    status({ %claims }, 401, 'nobody yet', 'globex');
    $s->tenonctl('user link', @who, '--email', 'Dave@globex.test');
    sleep 1.1;
    status({ %claims }, 200, 'linked by hand', 'globex');
    status({ %claims }, 403, 'for that organization only', 'acme');
    $s->tenonctl('user unlink', @who);
    $s->wait_until(8, sub { ask({ %claims }, at => 'globex')->{status} == 401 });
    status({ %claims }, 401, 'and no more', 'globex');
    is $s->psql(q{select string_agg(action, ' ' order by at, id)
                    from tenon.event where action like 'user.identity%'
                     and actor is null}),
        'user.identity_linked user.identity_unlinked', 'both are in the log';

    $s->psql(q{update tenon."user" set email_verified_at = now()
                where email = 'dave@globex.test'});
    status({ %claims, email => 'dave@globex.test', email_verified => JSON::PP::true,
             jti => 'again' }, 401, 'no verified address links it again',
           'globex');
    $s->tenonctl('user link', @who, '--email', 'dave@globex.test');
    status({ %claims, jti => 'by hand' }, 200, 'a hand does', 'globex');
};

subtest 'what reaches beyond the organization' => sub {
    for (['PATCH me', { name => 'Mallory' }], ['GET me/tenants'],
         ['DELETE me/sessions'],
         ['POST tenants', { name => 'More', slug => 'more' }]) {
        my ($what, $json) = @$_;
        my $r = ask({ %good, jti => $what },
                    request => [split(/ /, $what), $json ? (json => $json) : ()]);
        is $r->{status}, 403, "$what takes a session of ours"
            or diag $r->{body};
    }
};

subtest 'what is accepted' => sub {
    for my $by (qw(rs es ed)) {
        my $r = ask({ %good, nonce => $by }, by => $by);
        is $r->{status}, 200, $by or diag $r->{body};
        $r = ask({ %good, nonce => "$by w" }, by => $by,
                 request => [POST => 'projects', json => { name => $by }]);
        is $r->{status}, 201, 'and may do what its user may';
    }
    status({ %good }, 200, 'without a kid', 'acme', { alg => 'RS256' });
};

subtest 'what is refused' => sub {
    my @cases = (
        ['somebody else\'s key', {}, {}, $strangers],
        ['another key\'s id', {}, { kid => 'es' }],
        ['an unknown id', {}, { kid => 'none' }],
        ['RS512', {}, { alg => 'RS512' }],
        ['PS256', {}, { alg => 'PS256' }],
        ['HS256 with the public key', {}, { alg => 'HS256' }],
        ['no signature', {}, { alg => 'none' }],
        ['a key of its own', {}, { jwk => $strangers->{public}{keys}[0] },
            $strangers],
        ['an address of keys', {}, { jku => 'https://evil.example' }],
        ['a critical extension', {}, { crit => ['exp'], exp => 1 }],
        ['another type', {}, { typ => 'dpop+jwt' }],
        ['another issuer', { iss => 'https://evil.example' }],
        ['us', { iss => 'https://tenon.localhost' }],
        ['the other issuer', { iss => "$id/globex" }],
        ['another audience', { aud => 'somebody' }],
        ['no audience', { aud => undef }],
        ['the end', { exp => time - 1 }],
        ['no end', { exp => undef }],
        ['the future', { nbf => time + 600 }],
        ['issued in the future', { iat => time + 600 }],
        ['no subject', { sub => undef }],
        ['nobody of ours', { sub => 'mallory' }],
        ['no organization', { org => undef }],
        ['an unknown organization', { org => 'nowhere' }],
        ['the platform', { org => 'platform' }],
    );
    for my $case (@cases) {
        my ($name, $claims, $header, $by) = @$case;
        my %claims = (%good, %$claims);
        delete $claims{$_} for grep { !defined $claims{$_} } keys %claims;
        status({ %claims }, 401, $name, 'acme',
               { alg => 'RS256', kid => 'rs', typ => 'JWT', %{ $header || {} } },
               $by);
    }
    status({ %good }, 403, 'another organization\'s host', 'globex');
};

subtest 'a membership that ends' => sub {
    my $erin = $s->hire('erin', 'acme', 'member');
    $s->tenonctl('user link', '--tenant', 'acme', '--issuer', $id, '--subject',
                 'erin', '--email', 'erin@acme.test');
    my @erin = ({ %good, sub => 'erin' });
    my $token = tokens({ by => 'ed', claims => $erin[0] })->[0];
    my @ask = (GET => 'me', at => 'acme', token => $token);
    is $s->request(@ask)->{status}, 200, 'counts';
    is $s->request(DELETE => "members/$erin->{id}", as => 'alice')->{status},
        204, 'until it ends';
    is $s->request(@ask)->{status}, 401, 'from the next request on';
};

subtest 'a rotation under load' => sub {
    local $ENV{TENON_PORT}  = $s->port;
    local $ENV{TENON_HOST}  = 'acme.tenon.localhost';
    local $ENV{TENON_LOGIN} = $json->encode(
        { email => 'bob@acme.test', password => $s->password });
    my $pid = open3(my $in, my $out, my $err = gensym,
                    node('tokens.mjs', 'verify'));
    local $SIG{ALRM} = sub { die "no token was verified in time\n" };
    alarm 60;
    like scalar <$err>, qr/^kid /, 'it verifies';
    sleep 2;
    my $file = $s->var . '/keys/signing.key';
    $s->shell('build/bin/tenonctl keys rotate --force --file "$1"', $file);
    my %old = map { $_ => 1 } $s->workers;
    $s->reload;
    ok $s->wait_until(20, sub {
        my @now = $s->workers;
        @now && !grep { $old{$_} } @now;
    }), 'all workers are new';
    like scalar <$err>, qr/^kid /, 'a token of the new key is verified';
    sleep 2;
    close $in;
    my $said = do { local $/; <$out> };
    waitpid $pid, 0;
    alarm 0;
    my $seen = $json->decode($said);
    is_deeply $seen->{failures}, [], 'nothing failed';
    is @{ $seen->{kids} }, 2, 'tokens of both keys were verified';
    cmp_ok $seen->{logins}, '>', 1, "$seen->{logins} logins";
    cmp_ok $seen->{requests}, '>', 100, "$seen->{requests} requests";
};

is_deeply [$s->alarms], [], 'nothing in the log that should not be there';
done_testing;


# ---- tokens ----

sub ask {
    my ($claims, %o) = @_;
    my $by = $o{by} // 'rs';
    my ($token) = @{ tokens({ by => $by, claims => $claims,
                              header => $o{header} }, $o{keys}) };
    my ($method, $path, @more) = @{ $o{request} || [GET => 'me'] };
    return $s->request($method, $path, at => $o{at} // 'acme',
                       token => $token, @more);
}

sub status {
    my ($claims, $status, $name, $at, $header, $keys) = @_;
    my $r = ask($claims, at => $at, header => $header, keys => $keys);
    is $r->{status}, $status, $name or diag $r->{body};
    return;
}

sub tokens {
    my ($one, $of) = @_;
    my %alg = (rs => 'RS256', es => 'ES256', ed => 'EdDSA');
    $one->{header} //= { alg => $alg{ $one->{by} }, kid => $one->{by},
                         typ => 'JWT' };
    return signed({ keys => $of || $keys, tokens => [$one] });
}

# One program signs them all: its start takes longer than its work.
sub signed {
    my ($asked) = @_;
    $signer //= open2($from_signer, $to_signer, node('tokens.mjs', 'sign'));
    print {$to_signer} $json->encode($asked), "\n";
    return $json->decode(scalar <$from_signer> // die "the signer is gone\n");
}

sub identities {
    return $s->psql(q{select issuer, subject, email
                        from tenon.user_identity i
                        join tenon."user" u on u.id = i.user_id
                       order by i.id});
}


# ---- programs and files ----

sub node {
    my @command = @_;
    return ('node', '--require', "$FindBin::Bin/client/localhost.cjs",
            "$work/$command[0]", @command[1 .. $#command]);
}

sub program {
    my ($command) = @_;
    my $line = join ' ', map { "'$_'" } node('tokens.mjs', $command);
    my $out = `$line < /dev/null`;
    die "$command failed\n" if $? != 0;
    return $json->decode($out);
}

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
