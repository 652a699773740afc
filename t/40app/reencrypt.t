#!/usr/bin/perl

# Keys of what is encrypted come and go while the service is used: no request
# fails, no change is lost, and afterwards the old key opens nothing any more.

use strict;
use utf8;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use JSON::PP ();
use POSIX ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(apps => ['clinic']);
my $file = $s->var . '/keys/encryption.key';

sub as {
    my ($who, $method, $path, %o) = @_;
    return $s->request($method => $path, as => $who, %o);
}

sub encryption {
    return $s->shell('
        TENON_VAR=$var build/bin/tenonctl encryption "$@" \
            --database "$owner_db" 2>&1 || echo "exit $?"', @_);
}

# What `list` says: { place => [[key, values, events, replays], …] }.
sub uses {
    my %uses;
    for my $line (split /\n/, encryption('list')) {
        my ($place, $key, undef, @n) = split ' ', $line;
        push @{ $uses{$place} }, [$key, @n] if @n == 3;
    }
    return \%uses;
}

sub reload {
    my @before = $s->workers;
    $s->reload;
    $s->wait_until(20, sub {
        my %is = map { $_ => 1 } $s->workers;
        return keys(%is) == @before && !grep { $is{$_} } @before;
    }) or die "the old workers stay\n";
    return;
}

# Clients who go on meanwhile: each changes a patient of its own and reads it
# back. Answers what went wrong.
sub meanwhile {
    my ($code, @ids) = @_;
    my $stop = $s->dir . '/stop';
    my @children;
    for my $id (@ids) {
        pipe my $in, my $out or die "pipe: $!\n";
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            my ($n, @wrong) = (0);
            until (-e $stop) {
                my $phone = sprintf '+1 %06d', ++$n;
                for my $method ('PATCH', 'GET') {
                    my $r = eval {
                        as('omar', $method => "patients/$id",
                           $method eq 'PATCH' ? (json => { phone => $phone })
                                              : ());
                    };
                    push @wrong, "$method $n: "
                        . ($r ? "$r->{status} $r->{body}" : $@)
                        if !$r || $r->{status} != 200
                           || $r->json->{phone} ne $phone;
                }
            }
            print {$out} JSON::PP::encode_json([$n, @wrong]);
            close $out;
            POSIX::_exit(0);
        }
        close $out;
        push @children, [$pid, $in];
    }
    $code->();
    open my $end, '>', $stop or die "$stop: $!\n";
    my ($turns, @wrong) = (0);
    for (@children) {
        my ($pid, $in) = @$_;
        local $/;
        my ($n, @bad) = @{ JSON::PP::decode_json(scalar <$in>) };
        waitpid $pid, 0;
        $turns += $n;
        push @wrong, @bad;
    }
    unlink $stop;
    cmp_ok $turns, '>=', scalar @ids, "clients made $turns changes meanwhile";
    return @wrong;
}

sub kept {
    return $s->psql("select coalesce(string_agg(phone, ' ' order by id), '')
                       from clinic.patient where phone is not null");
}


# ---- a new file ----

my $made_here = $s->dir . '/made.key';
like encryption('new', '--file', $made_here),
    qr/\Aencrypts  \S{6}  \S+\nnext      \S{6}  \S+\n\z/, 'a file is made';
is((stat $made_here)[2] & 07777, 0600, 'for its owner only');
like encryption('new', '--file', $made_here), qr/File exists.*exit 1/s,
    'and never made over';
like encryption('rotate', '--file', $made_here), qr/ten minutes/,
    'its next key is too new to be used';
like encryption('turn'), qr/say new, rotate.*exit 2/s, 'other words are unknown';


# ---- a new key ----

$s->token('omar');
my @ids = map {
    as('omar', POST => 'patients', json => { name => "P$_", phone => "+1 $_" })
        ->json->{id}
} 1 .. 4;
my $quiet = as('omar', POST => 'patients',
               json => { name => 'Quiet', phone => '+1 555 0199' },
               headers => ['Idempotency-Key' => 'quiet'])->json->{id};
as('omar', PATCH => "patients/$quiet", json => { phone => '+1 555 0200' });

my $uses = uses();
is_deeply [map { @{ $uses->{$_} } > 0 ? $_ : () } sort keys %$uses],
    ['encrypts', 'plain'], 'at first there is one key';
my $old = $uses->{encrypts}[0][0];
is_deeply $uses->{encrypts}, [[$old, 5, 7, 1]],
    'by which values are encrypted, in events and kept answers as well';
is $uses->{plain}[0][1], 2, 'two of the demo\'s aren\'t yet';

like encryption('rotate'), qr/there was no next key/, 'the next key is made';
like encryption('rotate'), qr/wait until it is ten minutes old/,
    'which must be known before it is used';
is uses()->{encrypts}[0][0], $old, 'so nothing has changed';

my @wrong = meanwhile(sub {
    reload();
    encryption('rotate', '--force');
    reload();
}, @ids[0, 1]);
is_deeply \@wrong, [], 'no request fails while the key is replaced';

$uses = uses();
my $new = $uses->{encrypts}[0][0];
isnt $new, $old, 'now another one encrypts';
is $uses->{decrypts}[0][0], $old, 'and the old one still decrypts';
is as('omar', GET => "patients/$quiet")->json->{phone}, '+1 555 0200',
    'what it had encrypted';
is((stat $file)[2] & 07777, 0600, 'the file is as closed as before');


# ---- and everything under it ----

my $rows = "select string_agg(concat_ws(' ', id, version, updated_at), ','
                              order by id)
              from clinic.patient
             where id not in ('$ids[0]', '$ids[1]', '$ids[2]', '$ids[3]')";
my $before = $s->psql($rows);
@wrong = meanwhile(sub { $uses = encryption('reencrypt') for 1 .. 3 },
                   @ids[2, 3]);
is_deeply \@wrong, [], 'no request fails, no change is lost meanwhile';
like $uses, qr/encrypted \d+ values with key $new/, 'it says what it did';
is $s->psql($rows), $before, 'it is no change of the rows';
unlike kept(), qr/tn1\.$old|(?:^| )\+/, 'nothing is under the old key, or plain';
is as('omar', GET => "patients/$_")->{status}, 200, "$_ can be read"
    for @ids, $quiet, '01900000-000c-7000-8000-000000000401';
is as('rosa', GET => 'patients')->{status}, 200, 'another tenant reads its own';
$uses = uses();
is $uses->{plain}, undef, 'nothing is plain';
is $uses->{decrypts}[0][1], 0, 'no value needs the old key';
cmp_ok $uses->{decrypts}[0][2], '>=', 7, 'but the events of the past do';

my @events = grep { $_->{action} eq 'encryption.renewed' }
    @{ as('nora', GET => 'audit/events?action=encryption.renewed')
       ->json->{data} };
cmp_ok scalar @events, '>=', 1, 'there is an event of it';
is $events[-1]{actor}{type}, 'system', 'which nobody\'s request made';
is_deeply [@{ $events[-1]{metadata} }{qw(column key)}], ['phone', $new],
    'it says which column, and under which key';
is_deeply [@{ $events[-1] }{qw(before after)}], [undef, undef],
    'and nothing of what was there';
like encryption('reencrypt'), qr/encrypted 0 values/, 'again, nothing to do';


# ---- the old key goes ----

sub lines { open my $in, '<', $file or die; return <$in> }
sub keep {
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} @_;
    close $out or die "$file: $!\n";
    reload();
    return;
}

my @lines = lines();
keep(@lines[0, 1]);
is as('omar', GET => "patients/$quiet")->json->{phone}, '+1 555 0200',
    'what was encrypted anew needs it no more';
is uses()->{missing}[0][0], $old, 'list says that events still do';
my ($made) = grep { $_->{version} == 1 }
    @{ as('omar', GET => "patients/$quiet/history")->json->{data} };
is $made->{after}{name}, 'Quiet', 'the history is there';
is $made->{after}{phone}, undef, 'without what the old key had encrypted';
my $log = $s->shell('cat "$nginx/error.log"');
like $log, qr/phone of $quiet can't be decrypted: there is no encryption key $old/,
    'the log says why';
problem_is as('omar', POST => "patients/$quiet/rollback",
              json => { version => 1 }), 422, 'invalid_fields',
    'so that version is none to go back to', '/version' => 'not_found';


# ---- the wrong file ----

keep('A' x 43 . "\n");
my $r = as('omar', GET => "patients/$quiet");
problem_is $r, 500, 'internal', 'without its key a value is an error';
unlike $r->{body}, qr/tn1|555/, 'and neither it nor what is kept is shown';
like encryption('reencrypt'), qr/can't be decrypted \(key $new\)/,
    'nor is it touched';
like encryption('reencrypt'), qr/exit 1/, 'which is a failure';
keep(@lines);
is as('omar', GET => "patients/$quiet")->json->{phone}, '+1 555 0200',
    'with it all is well';

done_testing();
