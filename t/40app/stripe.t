#!/usr/bin/perl

# What Stripe's own library (stripe, from npm) signs is taken, and where it says
# that a signature isn't good, so do we; but that we refuse those of the future,
# too.

use strict;
use warnings;

use File::Temp ();
use FindBin ();
use lib "$FindBin::Bin/../lib";
use IPC::Open2 qw(open2);
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(sleep time);

use Test::More;
use TenonCheck;
use TenonNpm ();
use TenonServer ();

my $source = "$FindBin::Bin/stripe";
my $tools = TenonNpm::install($source, 'stripe');
my $json = JSON::PP->new->canonical;
my $work = File::Temp->newdir('tenon-stripe-XXXXXX', TMPDIR => 1);
my $secret = TenonServer::STRIPE_SECRET;

# Modules are looked for beside the program.
symlink "$tools/node_modules", "$work/node_modules" or die "symlink: $!\n";
open my $in, '<', "$source/stripe.mjs" or die "stripe.mjs: $!\n";
open my $out, '>', "$work/stripe.mjs" or die "$work: $!\n";
print {$out} <$in>;
close $out or die "$work: $!\n";

my $pid = open2(my $from, my $to, 'node', "$work/stripe.mjs");
my $s = TenonServer->new(stripe => 1);
my $c = $s->connect;

END {
    local $?;
    if ($pid) {
        close $to;
        waitpid $pid, 0;
    }
}

# Events as they are, from short to long.
my $object = '{"id":"sub_1","object":"subscription","status":"active",'
    . '"customer":"cus_1","current_period_end":1797955200,'
    . '"items":{"object":"list","data":[{"id":"si_1","price":'
    . '{"id":"price_1","unit_amount":2900,"recurring":'
    . '{"interval":"month"}}}],"has_more":false},'
    . qq("metadata":{"tenant":"acme","note":"caf\xc3\xa9 \xf0\x9f\x9a\x80"}});
my @types = qw(checkout.session.completed customer.subscription.created
               customer.subscription.updated customer.subscription.deleted
               invoice.paid invoice.payment_failed);

sub event {
    my ($id, $type) = @_;
    return qq({"id":"$id","object":"event","api_version":"2024-06-20",)
        . qq("created":1795276800,"data":{"object":$object},)
        . qq("livemode":false,"pending_webhooks":1,"request":)
        . qq({"id":null,"idempotency_key":null},"type":"$type"}\n);
}

# What the library makes of a body, and says of it.
sub library {
    my ($body, %o) = @_;
    print {$to} $json->encode({
        body => encode_base64($body, ''), at => int($o{at} // time),
        secret => $o{secret} // $secret,
        defined $o{header} ? (header => $o{header}) : () }), "\n";
    $to->flush;
    return $json->decode(scalar <$from> // die "the library has gone\n");
}

# What we say of it.
sub ours {
    my ($body, $header) = @_;
    my $r = $s->stripe($body, header => $header, on => $c);
    return $r->{status} == 204 ? 'good' : $r->json->{code};
}

subtest 'what it signs' => sub {
    my $n = 0;
    for my $type (@types) {
        my $body = event('evt_lib' . ++$n, $type);
        is ours($body, library($body)->{header}), 'good', $type;
    }
    is $s->psql("select count(*), count(distinct type) from tenon.inbound_event
                  where external_id like 'evt_lib%'"),
        join('|', $n, $n), 'is all there';
};

subtest 'another secret' => sub {
    my $body = event('evt_secret', 'invoice.paid');
    my $header = library($body, secret => 'whsec_' . 'x' x 32)->{header};
    is library($body, header => $header)->{verdict},
        'StripeSignatureVerificationError', 'the library refuses it';
    is ours($body, $header), 'signature_refused', 'so do we';
};

subtest 'time' => sub {
    my $body = event('evt_time', 'invoice.paid');
    for my $late (0, 299, 300, 301, 86400) {
        # the beginning of a second: its end may be one more
        sleep 1.02 - (time - int time);
        my $made = library($body, at => int(time) - $late);
        is ours($body, $made->{header}),
            $made->{verdict} eq 'good' ? 'good' : 'signature_refused',
            "$late seconds old: $made->{verdict}, and we say the same";
        is $made->{verdict} eq 'good' ? 1 : 0, $late <= 300 ? 1 : 0,
            'which is right';
    }
    for my $ahead (299, 300, 301, 86400) {
        sleep 1.02 - (time - int time);
        my $made = library($body, at => int(time) + $ahead);
        is ours($body, $made->{header}),
            $ahead <= 300 ? 'good' : 'signature_refused',
            "$ahead seconds ahead: not beyond 5 minutes";
    }
};

# Every bit of body and header: where the library still says that it is good we
# may, and nowhere else.
subtest 'bits' => sub {
    my $body = '{"id":"evt_bits","object":"event","type":"a.b"}';
    my $header = library($body, at => time + 100)->{header};
    my %seen;
    for my $part (\$body, \$header) {
        my $as_sent = $$part;
        for my $bit (0 .. 8 * length($as_sent) - 1) {
            vec($$part, $bit, 1) ^= 1;
            # nginx refuses it, or takes blanks at its ends away
            if ($part == \$body || $header !~ /[\x00-\x20\x7f-\xff]/) {
                my $theirs = library($body, header => $header)->{verdict};
                $theirs = 'refused' if $theirs ne 'good';
                $seen{"$theirs: " . ours($body, $header)}++;
            }
            $$part = $as_sent;
        }
    }
    is_deeply [keys %seen], ['refused: signature_refused'],
        'any one changed is refused by both' or diag explain \%seen;
    is ours($body, $header), 'good', 'none changed is good';
};

done_testing;
