#!/usr/bin/perl

# What a client may not set stays as it is: every write of openapi.json, with
# each member that it answers and doesn't take, and with each that some table
# has and no client should know of. Each is refused by its pointer, alone and
# all together, and nothing changes.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use Test::More;
use TenonCheck;
use TenonServer ();
use TenonSides ();

my $s = TenonServer->new;
my $w = TenonSides->new($s);
my ($acme) = $w->sides;
my $uuid = '01900000-7777-7000-8000-0123456789ab';

# Columns of any table, and what others' systems have fallen for.
my @inside = (
    (map { $_->[0] } $w->rows(q{
        select distinct attname from pg_attribute a
          join pg_class c on c.oid = a.attrelid
         where c.relkind in ('r', 'p') and attnum > 0 and not attisdropped
           and c.relnamespace::regnamespace::text in ('tenon', 'teamos')
           and attname ~ '^[a-z_]+$' and attname <> 'key'
         order by 1})),
    qw(owner_id is_admin admin permissions scope __proto__ constructor),
);

# A request of each kind that would be served.
my %valid = (
    'POST /v1/auth/signup' => {
        email => 'mass@mass.test', password => 'correct horse', name => 'M',
        organization => { name => 'M', slug => 'mass' } },
    'POST /v1/auth/login' => {
        email => 'alice@acme.test', password => $s->password },
    'POST /v1/auth/tenant' => {
        tenant => 'acme', refresh_token => $s->proof('alice') },
    'POST /v1/auth/refresh' => { refresh_token => 'tnr_' . 'A' x 70 },
    'PATCH /v1/me' => { name => 'Mass' },
    'POST /v1/auth/email/verify' => {
        token => 'x' x 86, password => 'a guess' },
    'POST /v1/auth/password/forgot' => { email => 'nobody@acme.test' },
    'POST /v1/auth/password/reset' => {
        token => 'x' x 86, password => 'correct horse' },
    'POST /v1/auth/password/change' => {
        current_password => 'a guess', password => 'correct horse' },
    'POST /v1/auth/mfa/totp' => { password => 'a guess' },
    'POST /v1/auth/mfa/totp/confirm' => { code => '123456' },
    'POST /v1/auth/mfa/totp/disable' => {
        password => 'a guess', code => '123456' },
    'POST /v1/auth/mfa/recovery-codes' => { code => '123456' },
    'POST /v1/auth/mfa/verify' => {
        mfa_token => 'x' x 139, code => '123456' },
    'PATCH /v1/tenant' => { name => 'Mass' },
    'POST /v1/platform/tenants' => {
        name => 'Mass', slug => 'mass-platform', user_realm => 'shared',
        owner_email => 'mass@mass.test', owner_name => 'M' },
    'PATCH /v1/platform/tenants/{id}/billing' => {
        plan => undef, features_added => [], features_removed => [],
        limits => [], ends_at => undef, reason => 'mass' },
    'POST /v1/billing/checkout-sessions' => {
        plan => 'pro', quantity => 1,
        success_url => 'https://acme.tenon.localhost/',
        cancel_url => 'https://acme.tenon.localhost/' },
    'POST /v1/billing/portal-sessions' => {
        return_url => 'https://acme.tenon.localhost/' },
    'POST /v1/platform/tenants/{id}/impersonate' => {
        user_id => $uuid, reason => 'mass' },
    'POST /v1/tenants' => {
        name => 'Mass', slug => 'mass', refresh_token => $s->proof('alice') },
    'PATCH /v1/members/{id}' => { role => 'admin' },
    'POST /v1/domains' => { domain => 'mass.example' },
    'POST /v1/accounts' => { name => 'Mass' },
    'PATCH /v1/accounts/{id}' => { name => 'Mass' },
    'POST /v1/account-members' => {
        account_id => $w->value($acme, 'tenon.account.id'),
        user_id => $w->value($acme, 'tenon.member.user_id'),
        role => 'account_user' },
    'PATCH /v1/account-members/{id}' => { role => 'account_owner' },
    'POST /v1/shares' => {
        resource => 'teamos.project',
        resource_id => $w->value($acme, 'teamos.project.id'),
        user_id => $w->value($acme, 'tenon.member.user_id') },
    'POST /v1/tenant/transfer' => { member_id => $uuid },
    'POST /v1/roles' => {
        name => 'mass', title => 'M', level => 'tenant', permissions => [] },
    'PATCH /v1/roles/{id}' => { title => 'M', permissions => [] },
    'POST /v1/invitations' => { email => 'mass@acme.test', role => 'member' },
    'POST /v1/api-keys' => {
        name => 'Mass', scopes => ['tenon.member:read'],
        refresh_token => $s->proof('alice') },
    'PATCH /v1/api-keys/{id}' => { name => 'Mass' },
    'POST /v1/api-keys/{id}/rotate' => {
        overlap_seconds => 0, refresh_token => $s->proof('alice') },
    'POST /v1/usage/events' => {
        events => [{ id => $uuid, meter => 'minutes_processed' }] },
    'POST /v1/flags' => { key => 'mass' },
    'PATCH /v1/flags/{id}' => { description => 'mass' },
    'POST /v1/invitations/preview' => { token => 'x' x 86 },
    'POST /v1/invitations/accept' => {
        token => 'x' x 86, name => 'M', password => 'correct horse' },
    (map {
        my $path = $_->{path};
        ("POST /v1/$path"               => $w->body($acme, $_),
         "PATCH /v1/$path/{id}"         => { $_->{texts}[0] => 'mass' },
         "POST /v1/$path/{id}/rollback" => { version => 1 })
    } $w->resources),
);

my %row = (
    (map { $_->{path} => $acme->{row}{ $_->{path} } } $w->resources),
    members => $w->fresh($acme, 'tenon.member'),
    platform => $uuid,
    accounts => $w->fresh($acme, 'tenon.account'),
    'account-members' => $w->fresh($acme, 'tenon.account_member'),
    roles   => $w->fresh($acme, 'tenon.tenant_role'),
    'api-keys' => $w->fresh($acme, 'tenon.api_key'),
    flags   => $w->fresh($acme, 'tenon.flag'),
);

sub value {
    my ($name) = @_;
    return $name =~ /version|count|number|attempts/ ? 7 :
           $name =~ /_at\z/                         ? '2020-01-01T00:00:00Z' :
           $name =~ /^is_|admin|living/             ? JSON::PP::true :
           $name =~ /id\z|_by\z/                    ? $uuid :
           $name eq 'role'                          ? 'owner' : 'x';
}

sub call {
    my ($endpoint, $json) = @_;
    my ($collection) = $endpoint->{path} =~ m{\A/v1/([^/]+)};
    my $path = $endpoint->{path} =~ s/\{id\}/$row{$collection}/r;
    return $s->request($endpoint->{method}, "/api$path",
                       as => $path =~ m{/platform/} ? 'root' : 'alice',
                       $path =~ /signup/ ? (host => 'tenon.localhost') : (),
                       json => $json);
}

sub properties {
    my ($content) = @_;
    my ($media) = map { $content->{$_} } grep { /json/ } sort keys %$content;
    return $media ? $s->schema($media->{schema})->{properties} || {} : {};
}

sub everything {
    my %all = map { my $side = $_; map { ("$side->{slug} $_" =>
                                          $w->digest($side)->{$_}) }
                    grep { !/login|attempt|session|one_time/ } $w->tables } $w->sides;
    return \%all;
}

# What somebody else has signed is kept as it is, and sets nothing; what flags are
# evaluated for is written nowhere (t/30http/flags.t).
my @writes = grep {
    my $body = $_->{description}{requestBody};
    $body && $_->{path} =~ m{\A/v1/}
        && !$body->{content}{'application/json'}{schema}{additionalProperties}
} $s->endpoints;
cmp_ok scalar @writes, '>', 10, scalar @writes . ' writes take a body';
my $before = everything();

for my $endpoint (@writes) {
    my $name = $endpoint->{name};
    subtest $name => sub {
        my $valid = $valid{$name};
        ok $valid, 'a body that is right is known' or return;
        my $description = $endpoint->{description};
        my $in = properties($description->{requestBody}{content});
        my ($answer) = map { $description->{responses}{$_} }
            grep { /\A2/ } sort keys %{ $description->{responses} };
        my $out = properties($s->schema($answer)->{content} || {});
        is_deeply [grep { !$in->{$_} } sort keys %$valid], [],
            'it is what the document says';

        my $own = $name !~ m{/auth/|/(?:rollback|accept|preview|
                                    impersonate|transfer|rotate)\z}x;
        my %seen;
        my @not = grep { !$in->{$_} && !$seen{$_}++ } sort keys %$out, @inside;
        my @wrong;
        for my $field (@not) {
            my $r = call($endpoint, { %$valid, $field => value($field) });
            my @faults = problem_faults($r, 422, 'invalid_fields');
            my ($fault, @more) = @{ @faults ? [] : $r->json->{errors} };
            push @wrong, "$field: @faults $r->{body}" if @faults;
            # What the same resource shows is there, but not to be written.
            my $code = $own && $out->{$field} ? 'read_only'
                     : '(?:read_only|unknown_field)';
            push @wrong, "$field: $r->{body}"
                if !@faults && (@more || $fault->{pointer} ne "/$field" ||
                                $fault->{code} !~ /\A$code\z/);
        }
        is_deeply \@wrong, [], 'each alone: ' . join ' ', @not;

        my @some = splice @not, 0, 50;
        my $r = call($endpoint, { %$valid, map { $_ => value($_) } @some });
        my @faults = problem_faults($r, 422, 'invalid_fields');
        is_deeply \@faults, [], 'all together are refused';
        is_deeply [sort map { $_->{pointer} } @{ $r->json->{errors} || [] }],
            [sort map { "/$_" } @some], 'each by its pointer';
    };
}

is_deeply everything(), $before, 'nothing has changed';

unlike do { local (@ARGV, $/) = $s->error_log; <> },
    qr{\[(?:crit|emerg|alert)\]|\[error\].*tenon:}, 'nothing alarmed nginx';

done_testing;
