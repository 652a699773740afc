package TenonCheck;

# What several tests say of an answer.
#
#     status_is($r, 201, 'a task is made');
#     problem_is($r, 422, 'invalid_fields', 'no title',
#                '/title' => 'required');
#
# problem_is() holds every promise about errors: the media type, the members,
# the request's id in header and body; and exactly these field faults, in any
# order.

use strict;
use warnings;

use Exporter qw(import);
use Test::More;

our @EXPORT = qw(status_is problem_is problem_faults fixed_id);

sub status_is {
    my ($r, $status, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = is $r ? $r->{status} : 'no answer', $status, $name;
    diag $r->{body} if !$ok && $r;
    return $ok;
}

sub problem_is {
    my ($r, $status, $code, $name, @faults) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @wrong = problem_faults($r, $status, $code);

    if ($r && !@wrong) {
        my $got = $r->json->{errors} || [];
        my @want;
        while (my ($pointer, $fault) = splice @faults, 0, 2) {
            push @want, "$pointer $fault";
        }
        my $text = join ', ', sort map { "$_->{pointer} $_->{code}" } @$got;
        my $want = join ', ', sort @want;
        push @wrong, "faults are: $text; not: $want" if $text ne $want;
        push @wrong, 'a fault without detail'
            if grep { !length($_->{detail} // '') } @$got;
    }

    my $ok = ok !@wrong, $name;
    if (!$ok) {
        diag "  $_" for @wrong;
        diag $r->{body} if $r;
    }
    return $ok;
}

# What is wrong with $r as a problem of this status and code.
sub problem_faults {
    my ($r, $status, $code) = @_;
    return 'no answer' unless $r;

    my @wrong;
    my $type = $r->header('Content-Type') // '';
    push @wrong, "status $r->{status}, not $status" if $r->{status} != $status;
    push @wrong, "Content-Type $type" if $type ne 'application/problem+json';

    my $p = eval { $r->json };
    return @wrong, 'the body is not JSON' unless ref $p eq 'HASH';

    for my $member (qw(type title status code request_id)) {
        push @wrong, "no $member" unless length($p->{$member} // '');
    }
    push @wrong, "code $p->{code}, not $code"
        if defined $code && ($p->{code} // '') ne $code;
    push @wrong, "status $p->{status} in the body"
        if ($p->{status} // 0) ne $r->{status};
    push @wrong, 'an empty detail'
        if exists $p->{detail} && !length($p->{detail} // '');
    push @wrong, 'X-Request-Id is not the request_id'
        if ($r->header('X-Request-Id') // '') ne ($p->{request_id} // '');
    push @wrong, 'no Retry-After'
        if $r->{status} =~ /^(?:429|503)$/ &&
           ($r->header('Retry-After') // '') !~ /^\d+$/;
    # OpenFeature's protocol wants some beside (t/30http/flags.t).
    my $ofrep = defined $p->{errorCode} ? 'key|errorCode|errorDetails' : 'type';
    my @extra = sort grep {
        !/^(?:type|title|status|detail|code|request_id|errors|reason|$ofrep)$/
    } keys %$p;
    push @wrong, "also has @extra" if @extra;
    return @wrong;
}

# The same X-Request-Id for requests whose answers are compared.
sub fixed_id {
    return ('X-Request-Id' => 'the-same-request-id');
}

1;
