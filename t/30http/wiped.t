#!/usr/bin/perl

# What a worker's memory holds of keys: the one that signs, and none that did or
# will. And a body with a password never gets onto the disk.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use MIME::Base64 qw(decode_base64url);
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;

sub file_lines {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    return <$in>;
}

# How often a string stands in what a process may write to; undef where we may
# not look.
sub count_in {
    my ($pid, @strings) = @_;
    open my $mem, '<:raw', "/proc/$pid/mem" or return;
    my @n = (0) x @strings;
    no warnings 'portable';
    for my $line (file_lines("/proc/$pid/maps")) {
        my ($from, $to) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
        ($from, $to) = (hex $from, hex $to);
        next if $to - $from > 256 << 20;
        sysseek $mem, $from, 0 or next;
        my ($bytes, $got) = ('');
        while (length $bytes < $to - $from
               && ($got = sysread $mem, $bytes, $to - $from - length $bytes,
                                  length $bytes)) { }
        for my $i (0 .. $#strings) {
            $n[$i]++ while $bytes =~ /\Q$strings[$i]\E/g;
        }
    }
    return @n;
}

subtest 'keys' => sub {
    my $file = $s->var . '/keys/signing.key';
    $s->shell('TENON_VAR=$var build/bin/tenonctl keys rotate --force \
                   --file "$1" 2>&1', $file) for 1, 2;
    my @before = $s->workers;
    $s->reload;
    $s->wait_until(20, sub {
        my %is = map { $_ => 1 } $s->workers;
        return keys(%is) == @before && !grep { $is{$_} } @before;
    }) or die "the old workers stay\n";
    status_is $s->request(GET => 'me', token => $s->login('alice')
                                                  ->json->{access_token}),
        200, 'tokens are signed and verified';

    my @texts = map { /^(\S{43})/ } file_lines($file);
    my @seeds = map { decode_base64url($_) } @texts;
    cmp_ok scalar @seeds, '>=', 3, 'there are three keys';
    for my $pid ($s->workers) {
        my @n = count_in($pid, @seeds, @texts);
    SKIP: {
            skip 'not ours to look at', 2 if !@n;
            cmp_ok shift @n, '>', 0, "worker $pid has the key that signs";
            is_deeply \@n, [(0) x @n], 'and no other, nor the file\'s text';
        }
    }
};

subtest 'a body with a password' => sub {
    for my $chunked (0, 1) {
        my $r = $s->request(POST => 'auth/password/reset', at => 'acme',
            chunked => $chunked,
            json => { token => 'x', password => 'x' x 15_000 });
        status_is $r, 422, 'is read, 15 kB of it';
    }
    $s->request(POST => 'tasks', as => 'carol', chunked => 1,
                json => { title => 'x' x 90_000 });
    my @buffered = $s->shell('cat "$nginx/error.log"') =~
        /a client request body is buffered to a temporary file.*request: "(\S+ \S+)/g;
    is_deeply \@buffered, ['POST /api/v1/tasks'],
        'and stays in memory, unlike a large one of others';
};

done_testing();
