#!/usr/bin/perl

# Whoever is refused at login is told the same, after the same statements, which
# wrote the same: who isn't known, guessed wrong, is locked, disabled, of another
# tenant, or has a second factor. That it takes the same time is bench/timing.pl's to show.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;

use TenonCheck;
use TenonLogins ();
use TenonServer ();

my $s = TenonServer->new;
my $logins = TenonLogins->new($s, 2);
my @kinds = $logins->kinds;

# What PostgreSQL runs, by its own log; but for what a worker looks up now and
# then whoever asks.
$s->psql("alter system set log_statement = 'all'");
$s->psql('select pg_reload_conf()');
my ($file) = glob $s->var . '/pg/log*';
($file) = glob "$file/*" if -d $file;

sub log_text {
    my ($from) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    seek $in, $from, 0;
    local $/;
    return <$in> // '';
}

sub statements {
    my ($bytes) = @_;
    my $from = -s $file;
    my $r = $s->connect;
    $r->write($bytes);
    $r = $r->response;
    $s->wait_until(5, sub { log_text($from) =~ /insert into tenon\.login_attempt/ })
        or die "no attempt is written\n";
    return ($r, join ' ', map { /execute (tn_\w+)/ && !/find_tenant|catalogue_version/ ? $1 : () }
                          split /\n/, log_text($from));
}

# What is there of what a refusal writes; the attempts of the last transaction
# that wrote one, and whether its event is of the same.
sub rows {
    return $s->psql('
        with last as (select xmin, count(*) as n
                        from tenon.login_attempt
                       group by 1 order by max(last_at) desc limit 1)
        select (select count(*) from tenon.login_attempt),
               (select count(*) from tenon.event),
               (select count(*) from tenon.event_body),
               n, (select count(*) from tenon.event e where e.xmin = last.xmin),
               (select count(*) from tenon.event_body b
                 where b.xmin = last.xmin)
          from last');
}

my (%answer, %statements, %wrote);
my @same = (fixed_id(), Connection => 'close');

for my $kind (0 .. $#kinds) {
    for my $n (0, 1) {
        my @before = split /\|/, rows();
        my ($r, $ran) = statements($logins->bytes($kind, $n, @same));
        is $r->{status}, 401, "$kinds[$kind]: refused";
        my @after = split /\|/, rows();
        push @{ $wrote{join ' ', map({ $after[$_] - $before[$_] } 0 .. 2),
                       @after[3 .. 5]} }, $kinds[$kind];
        push @{ $answer{ $r->visible } }, $kinds[$kind];
        push @{ $statements{$ran} }, $kinds[$kind];
    }
}

my ($locked) = grep { $kinds[$_] eq 'locked' } 0 .. $#kinds;
my ($disabled) = grep { $kinds[$_] eq 'disabled' } 0 .. $#kinds;
my ($elsewhere) = grep { $kinds[$_] eq 'of another tenant' } 0 .. $#kinds;

for my $kind ($locked, $disabled, $elsewhere) {
    my ($r, $ran) = statements($logins->right($kind, 0, @same));
    is $r->{status}, 401, "$kinds[$kind]: refused with the right password";
    push @{ $answer{ $r->visible } }, $kinds[$kind];
    push @{ $statements{$ran} }, $kinds[$kind];
}

is_deeply [keys %wrote], ['0 1 1 1 1 1'],
    'one row was there and is written, and its event, in one transaction'
    or diag explain \%wrote;
is keys %answer, 1, 'one answer to all' or diag explain \%answer;
is keys %statements, 1, 'after the same statements' or diag explain \%statements;
like((keys %statements)[0], qr/\A(?:tn_\w+ ){3}tn_\w+\z/, 'four of them');

done_testing;
