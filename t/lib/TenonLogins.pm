package TenonLogins;

# Logins that are refused, one kind beside the other: what bench/timing.pl times
# and t/30http/refused_logins.t compares.
#
#     my $l = TenonLogins->new($server, $people);   # so many of each kind
#     $l->kinds;                     # names; the first two are the same kind
#     $l->bytes($kind, $n, @headers);
#
# The n-th login of a kind is by the n-th of its people, over and over: nobody
# is asked for so often as to be locked by it, if there are a fifth as many as
# logins. Each has failed once already, so that all write to a row that is there.

use strict;
use warnings;

use JSON::PP ();

my @kinds = (
    # name, where they are members, what is so about them
    ['unknown',             undef,    ''],
    ['unknown (control)',   undef,    ''],
    ['wrong password',      'acme',   ''],
    ['locked',              'acme',   ''],
    ['disabled',            'acme',   'disabled'],
    ['of another tenant',   'globex', ''],
    ['second factor',       'acme',   'totp'],
);

sub new {
    my ($class, $server, $people) = @_;
    my $self = bless { s => $server, people => $people }, $class;
    $self->_make($_) for 0 .. $#kinds;
    for my $kind (grep { $kinds[$_][0] ne 'locked' } 0 .. $#kinds) {
        $self->_fail($kind, $_) for 1 .. $people;
    }
    $server->psql('update tenon.login_attempt set failures = 0');
    my ($locked) = grep { $kinds[$_][0] eq 'locked' } 0 .. $#kinds;
    $self->_fail($locked, $_) for 1 .. $people;
    $server->psql("update tenon.login_attempt
                      set failures = 30,
                          locked_until = now() + interval '1 day'
                    where failures = 1");
    return $self;
}

sub kinds { return map { $_->[0] } @kinds }

sub bytes {
    my ($self, $kind, $n, @headers) = @_;
    return $self->{s}->bytes(POST => 'auth/login', at => 'acme',
        headers => [@headers],
        json => { email => $self->_email($kind, $n % $self->{people} + 1),
                  password => 'not the password' });
}

# Right passwords that must not count; the same places.
sub right {
    my ($self, $kind, $n, @headers) = @_;
    return $self->{s}->bytes(POST => 'auth/login', at => 'acme',
        headers => [@headers],
        json => { email => $self->_email($kind, $n % $self->{people} + 1),
                  password => $self->{s}->password });
}

sub _email {
    my ($self, $kind, $n) = @_;
    return "kind$kind-$n\@acme.test";
}

sub _fail {
    my ($self, $kind, $n) = @_;
    my $c = $self->{s}->connect;
    $c->write($self->bytes($kind, $n));
    my $r = $c->response;
    die "$r->{status} $r->{body}\n" if $r->{status} != 401;
    $c->close;
    return;
}

sub _make {
    my ($self, $kind) = @_;
    my ($name, $tenant, $what) = @{ $kinds[$kind] };
    return if !defined $tenant;
    my $status = $what eq 'disabled' ? 'disabled' : 'active';
    $self->{s}->psql("
        begin;
        select set_config('tenon.tenant', tenant_id::text, true),
               set_config('tenon.realm', realm_id::text, true)
          from tenon.tenant where slug = '$tenant';
        insert into tenon.\"user\" (realm_id, id, email, name, password_hash,
                                  status)
        select u.realm_id, tenon.uuid7(), 'kind$kind-' || n || '\@acme.test',
               'Kind', u.password_hash, '$status'
          from tenon.\"user\" u, generate_series(1, $self->{people}) n
         where u.email = 'alice\@acme.test';
        insert into tenon.member (tenant_id, realm_id, user_id, role)
        select t.tenant_id, t.realm_id, u.id, 'member'
          from tenon.tenant t
          join tenon.\"user\" u on u.email like 'kind$kind-%'
         where t.slug = '$tenant';
        insert into tenon.totp (realm_id, user_id, secret, confirmed_at)
        select u.realm_id, u.id, 'none that could be read', now()
          from tenon.\"user\" u
         where '$what' = 'totp' and u.email like 'kind$kind-%';
        commit");
    return;
}

1;
