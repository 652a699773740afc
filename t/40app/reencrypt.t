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

# A client who changes a patient of its own and reads it back: what goes wrong
# in its n-th turn.
sub changes {
    my ($id) = @_;
    return sub {
        my ($n) = @_;
        my $phone = sprintf '+1 %06d', $n;
        return map {
            my $r = eval {
                as('omar', $_ => "patients/$id",
                   $_ eq 'PATCH' ? (json => { phone => $phone }) : ());
            };
            $r && $r->{status} == 200 && $r->json->{phone} eq $phone
                ? () : "$_ $n: " . ($r ? "$r->{status} $r->{body}" : $@);
        } 'PATCH', 'GET';
    };
}

# One who signs in by password and code; what was used of it is forgotten, since
# a code counts once.
sub sign_in {
    my ($p) = @_;
    my $post = sub {
        my ($path, %json) = @_;
        return $s->request(POST => "auth/$path", at => $p->{at}, json => {%json});
    };
    my $r = $post->('login', email => $p->{email}, password => $s->password);
    return $r if $r->{status} != 200 || !$r->json->{mfa_token};
    $s->psql("update tenon.totp set last_step = 0
               where user_id = '$p->{user_id}'");
    my $code = qx{oathtool --totp --base32 $p->{secret}} =~ /(\d{6})/ ? $1 : '';
    return $post->('mfa/verify', mfa_token => $r->json->{mfa_token},
                   code => $code);
}

sub signs_in {
    my ($p) = @_;
    return sub {
        my $r = eval { sign_in($p) };
        return $r && $r->{status} == 200 && $r->json->{access_token}
            ? () : "sign-in $_[0]: " . ($r ? "$r->{status} $r->{body}" : $@);
    };
}

# Clients who go on meanwhile, turn by turn. Answers what went wrong.
sub meanwhile {
    my ($code, @clients) = @_;
    my $stop = $s->dir . '/stop';
    my @children;
    for my $client (@clients) {
        pipe my $in, my $out or die "pipe: $!\n";
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            my ($n, @wrong) = (0);
            until (-e $stop) {
                push @wrong, $client->(++$n);
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
    cmp_ok $turns, '>=', scalar @clients,
        "clients took $turns turns meanwhile";
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

# A second factor is kept so as well, in a table of the realm's.
my $guarded = { at => 'lakeside', email => 'quinn@lakeside.test',
                user_id => $s->psql("select id from tenon.\"user\"
                                      where email = 'quinn\@lakeside.test'") };
$guarded->{secret} = $s->request(POST => 'auth/mfa/totp', as => 'quinn',
    json => { password => $s->password })->json->{secret};
my $confirmed = $s->request(POST => 'auth/mfa/totp/confirm', as => 'quinn',
    json => { code => qx{oathtool --totp --base32 $guarded->{secret}}
                      =~ /(\d{6})/ ? "$1" : '' });
is $confirmed->{status}, 200, 'a second factor is in force';
my $factor = sub { $s->psql("select secret from tenon.totp
                              where user_id = '$guarded->{user_id}'") };
is sign_in($guarded)->{status}, 200, 'by which somebody signs in';

my $uses = uses();
is_deeply [map { @{ $uses->{$_} } > 0 ? $_ : () } sort keys %$uses],
    ['encrypts', 'plain'], 'at first there is one key';
my $old = $uses->{encrypts}[0][0];
is_deeply $uses->{encrypts}, [[$old, 6, 7, 1]],
    'by which values are encrypted, in events and kept answers as well';
is $uses->{plain}[0][1], 2, 'two of the demo\'s aren\'t yet';
cmp_ok $uses->{plain}[0][2], '>=', 2, 'as events will show for ever';

my ($values, $images) = @{ $uses->{encrypts}[0] }[1, 2];
my $ana = '01900000-000c-7000-8000-000000000401';
as('omar', PATCH => "patients/$ana", json => { phone => '+1 555 0300' });
problem_is as('omar', POST => "patients/$ana/rollback",
              json => { version => 1 }), 422, 'invalid_fields',
    'what was plain doesn\'t come back', '/version' => 'not_found';
is as('omar', GET => "patients/$ana")->json->{phone}, '+1 555 0300',
    'by a rollback';
$s->psql("update clinic.patient set phone = 'tn1.$old.x', version = version + 1
           where id = '$ana'");
problem_is as('omar', POST => "patients/$ana/rollback",
              json => { version => 3 }), 422, 'invalid_fields',
    'nor does what only looks encrypted', '/version' => 'not_found';
$uses = uses();
is_deeply $uses->{encrypts}, [[$old, $values, $images + 2, 1]],
    'what came and went is counted';
is $uses->{plain}[0][1], 2, 'and what only looks encrypted is plain';
my $plain_events = $uses->{plain}[0][2];

like encryption('rotate'), qr/there was no next key/, 'the next key is made';
like encryption('rotate'), qr/wait until it is ten minutes old/,
    'which must be known before it is used';
is uses()->{encrypts}[0][0], $old, 'so nothing has changed';

my @wrong = meanwhile(sub {
    reload();
    encryption('rotate', '--force');
    reload();
}, map({ changes($_) } @ids[0, 1]), signs_in($guarded));
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
like $factor->(), qr/\Atn1\.$old/, 'the factor\'s secret is under the old key';
@wrong = meanwhile(sub { $uses = encryption('reencrypt') for 1 .. 3 },
                   map({ changes($_) } @ids[2, 3]), signs_in($guarded));
is_deeply \@wrong, [], 'no request fails, no change is lost meanwhile';
like $uses, qr/encrypted \d+ values with key $new/, 'it says what it did';
is $s->psql($rows), $before, 'it is no change of the rows';
unlike kept(), qr/tn1\.$old|(?:^| )\+/, 'nothing is under the old key, or plain';
is as('omar', GET => "patients/$_")->{status}, 200, "$_ can be read"
    for @ids, $quiet, $ana;
is as('omar', GET => "patients/$ana")->json->{phone}, "tn1.$old.x",
    'what looked encrypted is now';
is as('rosa', GET => 'patients')->{status}, 200, 'another tenant reads its own';
like $factor->(), qr/\Atn1\.$new/, 'the factor\'s is under the new one';
is sign_in($guarded)->{status}, 200, 'its codes are as good as before';
$uses = uses();
is_deeply $uses->{plain}, [['-', 0, $plain_events, 0]],
    'nothing is plain, but in events';
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


# ---- what an app has left behind ----

my $events = $uses->{decrypts}[0][2];
$s->psql("update tenon.field set encrypted = false where name = 'phone'");
is uses()->{decrypts}[0][2], $events,
    'events need the old key, whatever is declared now';
$s->psql("update tenon.field set encrypted = true where name = 'phone'");


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
is sign_in($guarded)->{status}, 200, 'nor does the second factor';
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
problem_is sign_in($guarded), 500, 'internal',
    'a factor that can\'t be read lets nobody in';
like encryption('reencrypt'), qr/can't be decrypted \(key $new\)/,
    'nor is it touched';
like encryption('reencrypt'), qr/exit 1/, 'which is a failure';
keep(@lines);
is as('omar', GET => "patients/$quiet")->json->{phone}, '+1 555 0200',
    'with it all is well';
is sign_in($guarded)->{status}, 200, 'with the second factor, too';


# ---- keys that nobody ever had ----

$s->psql("do \$\$ begin
    for i in 1 .. 80 loop
        update clinic.patient
           set phone = format('tn1.key%s.%s', lpad(i::text, 3, '0'),
                              repeat('A', 54))
         where id = '$ana';
    end loop;
end \$\$");
$uses = uses();
cmp_ok scalar @{ $uses->{missing} }, '<=', 64, 'are listed up to a bound';
my %missing = map { $_->[0] => $_->[1] + $_->[2] } @{ $uses->{missing} };
cmp_ok $missing{others}, '>', 0, 'the rest together';
my $sum = 0;
$sum += $_ for values %missing;
is $sum, 160, 'none is lost';

done_testing();
