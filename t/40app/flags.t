#!/usr/bin/perl

# Flags as OpenFeature's own SDKs see them (from npm): the OFREP provider of
# servers asks for each flag, that of browsers for all of them, by ETag.

use strict;
use warnings;

use Digest::SHA ();
use File::Copy ();
use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonNpm ();
use TenonServer ();

my $source = "$FindBin::Bin/flags";
my $tools = TenonNpm::install($source, 'flags');
my $work = File::Temp->newdir('tenon-flags-XXXXXX', TMPDIR => 1);
chmod 0755, $work;

# Modules are looked for beside the program.
symlink "$tools/node_modules", "$work/node_modules" or die "symlink: $!\n";
File::Copy::copy("$source/flags.mjs", "$work") or die "flags.mjs: $!\n";

my $s = TenonServer->new;
my %made;
my ($true, $false) = (JSON::PP::true, JSON::PP::false);

sub make {
    my ($key, %o) = @_;
    my $r = $s->request(POST => 'flags', as => 'alice',
                        json => { key => $key, %o });
    status_is $r, 201, "$key is made";
    $made{$key} = $r->json->{id};
    return;
}

make('checkout', rules => [{ variant => 'on', when => [
    { attribute => 'plan', op => 'in', values => ['pro'] }] }]);
make('shared', rules => [{ split => [{ variant => 'on', weight => 766 },
                                     { variant => 'off', weight => 234 }] }]);
make('theme', type => 'string', default_variant => 'dark',
     variants => { dark => '#000' });
make('limit', type => 'integer', default_variant => 'a',
     variants => { a => 42 });
make('menu', type => 'object', default_variant => 'a',
     variants => { a => { items => ['x'] } });

my $key = $s->request(POST => 'api-keys', as => 'alice', proven => 1,
    json => { name => 'SDK', scopes => ['tenon.flag:evaluate'] })
    ->json->{secret};
my @command = ('node', '--require', "$FindBin::Bin/client/localhost.cjs",
               "$work/flags.mjs",
               'http://acme.tenon.localhost:' . $s->port, $key,
               $made{checkout}, $s->token('alice'));
my $out = do {
    open my $in, '-|', @command or die "node: $!\n";
    local $/;
    <$in> // '';
};
my $said = eval { JSON::PP::decode_json($out) } || {};
ok $said->{browser}{after}, 'the SDKs run to their end' or diag $out;

sub is_told {
    my ($got, $name, @want) = @_;
    is_deeply [map { defined && ref ne 'HASH' ? "$_" : $_ }
               @{ $got || {} }{qw(value variant reason errorCode)}],
        [map { defined && ref ne 'HASH' ? "$_" : $_ } @want], $name;
    return;
}

my $server = $said->{server};
is_told $server->{boolean}, 'a boolean', 1, 'on', 'TARGETING_MATCH', undef;
is_told $server->{split}, 'a share', share() ? (1, 'on') : (0, 'off'),
    'SPLIT', undef;
is_told $server->{string}, 'text', '#000', 'dark', 'STATIC', undef;
is_told $server->{number}, 'a number', 42, 'a', 'STATIC', undef;
is_told $server->{object}, 'an object', { items => ['x'] }, 'a', 'STATIC',
    undef;
is_told $server->{fallback}, 'the default', 0, 'off', 'DEFAULT', undef;
is_told $server->{keyless}, 'who has no key', 1, undef, 'ERROR',
    'TARGETING_KEY_MISSING';
is_told $server->{unknown}, 'no such flag', 1, undef, 'ERROR',
    'FLAG_NOT_FOUND';
is_told $server->{mistaken}, 'another type', 'none', undef, 'ERROR',
    'TYPE_MISMATCH';

my $browser = $said->{browser};
is_told $browser->{before}, 'in a browser', 1, 'on', 'TARGETING_MATCH', undef;
is_deeply $browser->{polls}, [200, 304, 304, 304],
    'which asks whether something changed';
is_deeply $browser->{changed}, ['checkout'], 'and hears what did';
is_told $browser->{after}, 'so that it is off', 0, 'off', 'DISABLED', undef;

is_deeply [$s->alarms], [], 'nothing alarmed nginx';
done_testing;

sub share {
    return unpack('N', Digest::SHA::sha256('shared:user-1')) * 1000 / 2**32 < 766;
}
