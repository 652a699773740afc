#!/usr/bin/perl

# reach.pl [SECONDS [ROUNDS [CHECKOUT…]]]: what it costs to ask as somebody who
# reaches many accounts: requests a second and transactions a request, of this
# checkout and of others (built ones) beside it, taking turns.
#
# Asked for is the list of works of Mono, which is bound to the accounts that the
# principal reaches; there are none, so that the statement itself stays small.

use strict;
use warnings;

use FindBin ();
my ($root) = $FindBin::Bin =~ m{(.*)/bench\z};

my @sizes = (1, 5, 50, 200, 1000);

if (@ARGV && $ARGV[0] eq '--serve') {
    serve();
    exit 0;
}

my ($seconds, $rounds, @others) = (@ARGV, (4, 3)[@ARGV > 2 ? () : @ARGV .. 1]);
for ($seconds, $rounds) {
    /\A[1-9]\d*\z/ or die "seconds and rounds are positive numbers, not $_\n";
}

my @sides = map { side($_) } $root, @others;
my %rate;
for my $round (1 .. $rounds) {
    for my $size (@sizes) {
        my @turn = @sides;
        push @turn, splice @turn, 0, $round % @turn;
        push @{ $rate{$_->{name}}{$size} }, rate($_, $size) for @turn;
    }
}

printf "%-24s %8s %24s %14s\n", 'checkout', 'accounts', 'requests/s',
    'transactions';
for my $side (@sides) {
    my $count = transactions($side);
    for my $size (@sizes) {
        my ($n) = wrk($side, $size, '-c8', "-d$seconds")
            =~ /(\d+) requests in/;
        my $before = $count;
        $count = transactions($side);
        my @r = sort { $a <=> $b } @{ $rate{$side->{name}}{$size} };
        printf "%-24s %8d %8.0f (%5.0f to %5.0f) %14.2f\n", $side->{name},
            $size, $r[$#r / 2], @r[0, -1], ($count - $before) / $n;
    }
}


# ---- a server, in a process of its own with its checkout's library ----

sub side {
    my ($checkout) = @_;
    pipe my $from, my $out or die "pipe: $!\n";
    pipe my $in, my $to or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        close $_ for $from, $to;
        open STDIN, '<&', $in or die "stdin: $!\n";
        open STDOUT, '>&', $out or die "stdout: $!\n";
        exec $^X, "-I$checkout/t/lib", $0, '--serve' or die "exec: $!\n";
    }
    close $_ for $out, $in;
    $to->autoflush(1);
    my $self = { name => $checkout eq $root ? 'this' : $checkout, pid => $pid,
                 from => $from, to => $to };
    chomp(my $line = <$from> // die "$checkout doesn't serve\n");
    ($self->{port}, @{ $self->{token} }{@sizes}) = split / /, $line;
    return $self;
}

END {
    for my $side (@sides) {
        close $side->{to};
        waitpid $side->{pid}, 0;
    }
}

sub serve {
    require TenonServer;
    my $s = TenonServer->new(apps => ['mono']);
    my @token;
    for my $n (@sizes) {
        $s->psql("
            begin;
            create temp table made as
            select tenon.uuid7() as id, n from generate_series(1, $n) n;
            create temp table who as
            select t.tenant_id, t.realm_id, tenon.uuid7() as id,
                   u.password_hash
              from tenon.tenant t, tenon.\"user\" u
             where t.slug = 'northlight' and u.email like 'ada\@%';
            insert into tenon.\"user\" (realm_id, id, email, name,
                                        password_hash)
            select realm_id, id, 'reach$n\@northlight.test', 'Reach $n',
                   password_hash from who;
            insert into tenon.member (tenant_id, realm_id, user_id, role)
            select tenant_id, realm_id, id, 'guest' from who;
            insert into tenon.account (tenant_id, id, parent_id, name)
            select who.tenant_id, made.id,
                   case when made.n > 1 then top.id end, 'A' || made.n
              from who, made, made top
             where top.n = 1
             order by made.n;
            insert into tenon.account_member
                   (tenant_id, account_id, user_id, role)
            select who.tenant_id, made.id, who.id, 'account_user'
              from made, who
             where made.n = 1;
            commit");
        $s->{tenant_of}{"reach$n"} = 'northlight';
        push @token, $s->token("reach$n");
    }
    $s->psql('vacuum analyze');
    $| = 1;
    print join(' ', $s->port, @token), "\n";
    while (<STDIN>) {
        my $n = $s->psql("select pg_stat_get_db_xact_commit(oid)
                            from pg_database where datname = 'tenon'");
        print "$n\n";
    }
    return;
}


# ---- figures ----

sub wrk {
    my ($side, $size, @how) = @_;
    open my $out, '-|', 'wrk', '-t1', @how, '-H',
        'Host: northlight.tenon.localhost', '-H',
        "Authorization: Bearer $side->{token}{$size}",
        "http://127.0.0.1:$side->{port}/api/v1/works?limit=1"
        or die "wrk: $!\n";
    my $text = do { local $/; <$out> };
    close $out or die "wrk fails\n$text";
    die "refused: $text" if $text =~ /Non-2xx/;
    return $text;
}

sub rate {
    my ($side, $size) = @_;
    wrk($side, $size, '-c8', '-d1');
    my ($rate) = wrk($side, $size, '-c8', "-d$seconds")
        =~ m{Requests/sec:\s+([\d.]+)} or die "wrk says no rate\n";
    printf STDERR "%-24s %5d %7.0f/s\n", $side->{name}, $size, $rate;
    return $rate;
}

# So far. PostgreSQL's processes tell once they have been idle for ten seconds.
sub transactions {
    my ($side) = @_;
    sleep 11;
    $side->{to}->print("\n");
    return 0 + readline $side->{from};
}
