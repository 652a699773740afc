package TenonStripe;

# A stand-in for Stripe's HTTP API on loopback: what tenond asks of it, answered
# with objects of Stripe's shapes (API version 2025-02-24.acacia). It keeps keys
# of idempotency as Stripe does, refuses what Stripe would, and fails on demand.
#
#     my $stripe = TenonStripe->new(prices => ['pro', 'team']);   # lookup_keys
#     $stripe->url;  $stripe->key;       # tenond's stripe_api and stripe_key
#     $stripe->key_file;                 # with the key in it, mode 0600
#
#     my $c = $stripe->customer(name => 'Acme');
#     my $s = $stripe->subscribe(customer => $c->{id}, price => 'pro',
#                                quantity => 3, status => 'trialing');
#     $s = $stripe->change($s->{id}, status => 'past_due');
#     $stripe->delete($s->{id});         # asked for it, it says 404
#     $stripe->put(@objects);            # as they are: as many as you like
#     $stripe->object($id);
#     $stripe->complete($session_id);    # a checkout is paid: its events
#     $stripe->expire($session_id);      # or not, in time: its event
#
#     $stripe->event('customer.subscription.updated', $s);  # text, to be sent by
#                                        #   TenonServer's stripe()
#     $stripe->event($type, $object, id => 'evt_1', created => time,
#                    previous => { status => 'active' });
#
#     $stripe->requests;                 # all since the last time: { method,
#                                        #   path, params, key, version, status,
#                                        #   replayed }
#     $stripe->fail('POST /v1/customers', times => 2, status => 429,
#                   headers => { 'Retry-After' => 1 });
#     $stripe->fail('GET /v1/subscriptions/', slow => 500);         # ms
#     $stripe->fail('POST /v1/customers', cut => 'before');  # nothing was done
#     $stripe->fail('POST /v1/customers', cut => 'after');   # it was
#     $stripe->fail('POST ', status => 500, stored => 1);    # for its key
#     $stripe->fail('GET ', body => '<html>', status => 200);
#     $stripe->heal;                     # what is left of these
#
# A failure is for requests whose "METHOD path" begins so. It is a process of
# its own with one loop, and ends with the object.

use strict;
use warnings;

use Digest::SHA ();
use File::Temp ();
use IO::Handle ();
use IO::Select ();
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

use constant VERSION => '2025-02-24.acacia';
use constant KEY => 'sk_test_' . '0123456789abcdef' x 2;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

sub new {
    my ($class, %o) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                         Listen => 256)
        or die "no listener: $!\n";
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!\n";
    $_->autoflush(1) for $ours, $theirs;

    my $self = bless { owner => $$, control => $ours, key => $o{key} // KEY,
                       url => 'http://127.0.0.1:' . $listener->sockport,
                       events => 0 }, $class;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        close $ours;
        eval { _serve($listener, $theirs, $self->{key}); 1 }
            or print {*STDERR} "stripe: $@";
        POSIX::_exit(0);
    }
    close $theirs;
    $self->{pid} = $pid;
    $self->price($_) for @{ $o{prices} || [] };
    return $self;
}

sub url { return $_[0]{url} }
sub key { return $_[0]{key} }

# Readable by its owner alone; the test gives it to whoever tenond is.
sub key_file {
    my ($self) = @_;
    if (!$self->{file}) {
        my $file = File::Temp->new(TEMPLATE => 'tenon-stripe-XXXXXX',
                                   TMPDIR => 1);
        print {$file} "$self->{key}\n";
        $file->flush;
        chmod 0600, "$file" or die "chmod: $!\n";
        $self->{file} = $file;
    }
    return "$self->{file}";
}

sub price     { my ($self, @set) = @_; return $self->_ask(price => @set) }
sub customer  { my ($self, @set) = @_; return $self->_ask(customer => @set) }
sub subscribe { my ($self, @set) = @_; return $self->_ask(subscribe => @set) }
sub change    { my ($self, @set) = @_; return $self->_ask(change => @set) }
sub delete    { my ($self, @id) = @_; return $self->_ask(delete => @id) }
sub object    { my ($self, @id) = @_; return $self->_ask(object => @id) }
sub fail      { my ($self, @set) = @_; return $self->_ask(fail => @set) }
sub heal      { my ($self) = @_; return $self->_ask('heal') }
sub requests  { my ($self) = @_; return @{ $self->_ask('requests') } }

sub put {
    my ($self, @objects) = @_;
    $self->_ask(put => splice @objects, 0, 100) while @objects;
    return;
}

# The bodies of the events that Stripe sends of it, in the order of what happened.
sub complete {
    my ($self, $id, %set) = @_;
    my ($session, $subscription, $invoice) =
        @{ $self->_ask(complete => $id, %set) };
    return ($self->event('checkout.session.completed', $session),
            $self->event('customer.subscription.created', $subscription),
            $self->event('invoice.paid', $invoice));
}

sub expire {
    my ($self, $id) = @_;
    return $self->event('checkout.session.expired', $self->_ask(expire => $id));
}

sub event {
    my ($self, $type, $object, %o) = @_;
    return $json->encode({
        id => $o{id} // _id('evt', ++$self->{events} . "-$self->{pid}"),
        object => 'event',
        api_version => VERSION,
        created => $o{created} // int time,
        data => { object => $object,
                  $o{previous} ? (previous_attributes => $o{previous}) : () },
        livemode => JSON::PP::false,
        pending_webhooks => 1,
        request => { id => undef, idempotency_key => undef },
        type => $type,
    });
}

sub _ask {
    my ($self, @question) = @_;
    print { $self->{control} } $json->encode(\@question), "\n";
    my $line = readline $self->{control};
    die "the stand-in is gone\n" if !defined $line;
    my ($error, $result) = @{ $json->decode($line) };
    die "$error\n" if defined $error;
    return $result;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ($?, $!);
    close $self->{control};
    waitpid $self->{pid}, 0;
    return;
}


# ---- objects ----

my (%object, $made, %kept, @seen, @faults, $secret);
my ($yes, $no) = (JSON::PP::true, JSON::PP::false);

sub _id {
    my ($prefix, $n) = @_;
    return $prefix . '_' . substr Digest::SHA::sha1_hex($n // ++$made), 0, 24;
}

sub _keep { my ($o) = @_; return $object{ $o->{id} } = $o }

sub make_price {
    my ($lookup, %set) = @_;
    return _keep({
        id => _id('price'), object => 'price', active => $yes,
        billing_scheme => 'per_unit', created => int time, currency => 'usd',
        custom_unit_amount => undef, livemode => $no, lookup_key => $lookup,
        metadata => {}, nickname => undef, product => _id('prod'),
        recurring => { aggregate_usage => undef, interval => 'month',
                       interval_count => 1, meter => undef,
                       trial_period_days => undef, usage_type => 'licensed' },
        tax_behavior => 'unspecified', tiers_mode => undef,
        transform_quantity => undef, type => 'recurring',
        unit_amount => 2900, unit_amount_decimal => '2900', %set });
}

sub make_customer {
    my (%set) = @_;
    return _keep({
        id => _id('cus'), object => 'customer', address => undef, balance => 0,
        created => int time, currency => undef, default_source => undef,
        delinquent => $no, description => undef, discount => undef,
        email => undef, invoice_prefix => 'ABCDEF01',
        invoice_settings => { custom_fields => undef,
                              default_payment_method => undef, footer => undef,
                              rendering_options => undef },
        livemode => $no, metadata => {}, name => undef,
        next_invoice_sequence => 1, phone => undef, preferred_locales => [],
        shipping => undef, tax_exempt => 'none', test_clock => undef, %set });
}

# By its id, or its lookup_key.
sub find_price {
    my ($name) = @_;
    my ($price) = grep {
        $_->{object} eq 'price'
            && ($_->{id} eq $name || ($_->{lookup_key} // '') eq $name)
    } values %object;
    return $price;
}

sub make_item {
    my ($subscription, $price, $quantity) = @_;
    return {
        id => _id('si'), object => 'subscription_item',
        billing_thresholds => undef, created => int time, discounts => [],
        metadata => {}, price => $price, quantity => 0 + $quantity,
        subscription => $subscription, tax_rates => [],
        plan => { id => $price->{id}, object => 'plan', active => $yes,
                  amount => $price->{unit_amount}, currency => 'usd',
                  interval => 'month', interval_count => 1, livemode => $no,
                  metadata => {}, product => $price->{product},
                  usage_type => 'licensed' } };
}

sub make_subscription {
    my (%set) = @_;
    my $price = find_price(delete $set{price} // '') or die "no such price\n";
    my $customer = $object{ $set{customer} // '' } or die "no such customer\n";
    my $quantity = delete $set{quantity} // 1;
    my ($id, $now) = (delete $set{id} // _id('sub'), $set{created} // int time);
    my $trial = ($set{status} // '') eq 'trialing';
    return _keep({
        id => $id, object => 'subscription', application => undef,
        application_fee_percent => undef,
        automatic_tax => { disabled_reason => undef, enabled => $no,
                           liability => undef },
        billing_cycle_anchor => $now, billing_cycle_anchor_config => undef,
        billing_thresholds => undef, cancel_at => undef,
        cancel_at_period_end => $no, canceled_at => undef,
        cancellation_details => { comment => undef, feedback => undef,
                                  reason => undef },
        collection_method => 'charge_automatically', created => $now,
        currency => 'usd', current_period_end => $now + 30 * 86400,
        current_period_start => $now, customer => $customer->{id},
        days_until_due => undef, default_payment_method => undef,
        default_source => undef, default_tax_rates => [],
        description => undef, discount => undef, discounts => [],
        ended_at => undef, invoice_settings => { account_tax_ids => undef,
                                                 issuer => { type => 'self' } },
        items => { object => 'list', data => [make_item($id, $price, $quantity)],
                   has_more => $no, total_count => 1,
                   url => "/v1/subscription_items?subscription=$id" },
        latest_invoice => _id('in'), livemode => $no, metadata => {},
        next_pending_invoice_item_invoice => undef, on_behalf_of => undef,
        pause_collection => undef,
        payment_settings => { payment_method_options => undef,
                              payment_method_types => undef,
                              save_default_payment_method => 'off' },
        pending_invoice_item_interval => undef, pending_setup_intent => undef,
        pending_update => undef, quantity => 0 + $quantity, schedule => undef,
        start_date => $now, status => 'active', test_clock => undef,
        transfer_data => undef,
        trial_end => $trial ? $now + 14 * 86400 : undef,
        trial_settings => { end_behavior => {
            missing_payment_method => 'create_invoice' } },
        trial_start => $trial ? $now : undef, %set });
}

sub make_invoice {
    my ($subscription) = @_;
    return _keep({
        id => $subscription->{latest_invoice}, object => 'invoice',
        amount_due => 2900, amount_paid => 2900, amount_remaining => 0,
        billing_reason => 'subscription_create', created => int time,
        currency => 'usd', customer => $subscription->{customer},
        livemode => $no, metadata => {}, paid => $yes, status => 'paid',
        subscription => $subscription->{id}, total => 2900 });
}

sub make_checkout {
    my ($p) = @_;
    my $id = _id('cs_test');
    return _keep({
        id => $id, object => 'checkout.session', adaptive_pricing => undef,
        after_expiration => undef, allow_promotion_codes => undef,
        amount_subtotal => 2900, amount_total => 2900,
        automatic_tax => { enabled => $no, liability => undef,
                           status => undef },
        billing_address_collection => undef, cancel_url => $p->{cancel_url},
        client_reference_id => $p->{client_reference_id},
        client_secret => undef, consent => undef, consent_collection => undef,
        created => int time, currency => 'usd', currency_conversion => undef,
        custom_fields => [],
        custom_text => { after_submit => undef, shipping_address => undef,
                         submit => undef,
                         terms_of_service_acceptance => undef },
        customer => $p->{customer},
        customer_creation => $p->{customer} ? undef : 'always',
        customer_details => undef, customer_email => $p->{customer_email},
        discounts => [],
        expires_at => 0 + ($p->{expires_at} // int(time) + 86400),
        invoice => undef, invoice_creation => undef, livemode => $no,
        locale => $p->{locale}, metadata => $p->{metadata} // {},
        mode => $p->{mode}, payment_intent => undef, payment_link => undef,
        payment_method_collection => 'always',
        payment_method_configuration_details => undef,
        payment_method_options => {}, payment_method_types => ['card'],
        payment_status => 'unpaid', phone_number_collection => {
            enabled => $no },
        recovered_from => undef, saved_payment_method_options => undef,
        setup_intent => undef, shipping_address_collection => undef,
        shipping_cost => undef, shipping_details => undef,
        shipping_options => [], status => 'open', submit_type => undef,
        subscription => undef, success_url => $p->{success_url},
        total_details => { amount_discount => 0, amount_shipping => 0,
                           amount_tax => 0 },
        ui_mode => 'hosted',
        url => "https://checkout.stripe.com/c/pay/$id#fid" });
}

# What was bought isn't shown in the session; it is remembered beside it.
my %bought;

sub complete_checkout {
    my ($id, %set) = @_;
    my $session = $object{$id} or die "no such session\n";
    die "the session is $session->{status}\n" if $session->{status} ne 'open';
    my ($item) = map { $bought{$id}{line_items}{$_} }
        sort keys %{ $bought{$id}{line_items} };
    my $data = $bought{$id}{subscription_data} // {};
    my $subscription = make_subscription(
        customer => $session->{customer} // make_customer()->{id},
        price => $item->{price}, quantity => $item->{quantity} // 1,
        metadata => $data->{metadata} // {}, %set);
    my $customer = $object{ $subscription->{customer} };
    my $invoice = make_invoice($subscription);
    @$session{qw(status payment_status url subscription customer invoice
                 customer_details)} =
        ('complete', 'paid', undef, $subscription->{id}, $customer->{id},
         $invoice->{id},
         { address => undef, email => $customer->{email},
           name => $customer->{name}, phone => undef, tax_exempt => 'none',
           tax_ids => [] });
    return [$session, $subscription, $invoice];
}

sub expire_checkout {
    my ($id) = @_;
    my $session = $object{$id} or die "no such session\n";
    @$session{qw(status url)} = ('expired', undef);
    return $session;
}

sub make_portal {
    my ($p) = @_;
    my $id = _id('bps');
    return _keep({
        id => $id, object => 'billing_portal.session',
        configuration => _id('bpc', 'default'), created => int time,
        customer => $p->{customer}, flow => undef, livemode => $no,
        locale => $p->{locale}, on_behalf_of => undef,
        return_url => $p->{return_url},
        url => "https://billing.stripe.com/p/session/$id" });
}


# ---- what may be asked ----

# What dies here is answered: [status, object].
sub _refuse {
    my ($status, $code, $param, $message) = @_;
    my %error = (message => $message, type => 'invalid_request_error');
    if (($code // '') eq 'idempotency_error') {
        $error{type} = $code;
    }
    elsif (defined $code) {
        @error{qw(code doc_url)} =
            ($code, "https://stripe.com/docs/error-codes/$code");
    }
    $error{param} = $param if defined $param;
    die [$status, { error => \%error }];
}

sub _known {
    my ($p, $required, @optional) = @_;
    for my $name (sort keys %$p) {
        _refuse(400, 'parameter_unknown', $name,
                "Received unknown parameter: $name")
            if !grep { $_ eq $name } @$required, @optional;
    }
    for my $name (@$required) {
        _refuse(400, 'parameter_missing', $name,
                "Missing required param: $name.")
            if !defined $p->{$name} || $p->{$name} eq '';
    }
    return;
}

sub _there {
    my ($status, $kind, $id, $param) = @_;
    my $o = $object{$id};
    _refuse($status, 'resource_missing', $param, "No such $kind: '$id'")
        if !$o || $o->{object} ne $kind;
    return $o;
}

sub _url {
    my ($p, @names) = @_;
    for my $name (grep { defined $p->{$_} } @names) {
        _refuse(400, 'url_invalid', $name, 'Not a valid URL')
            if $p->{$name} !~ m{\Ahttps?://[^/\s]+};
    }
    return;
}

sub _list {
    my ($url, @data) = @_;
    return { object => 'list', url => $url, has_more => $no, data => \@data };
}

sub post_customer {
    my ($p) = @_;
    _known($p, [], qw(name email description metadata phone address
                      preferred_locales));
    return make_customer(%$p);
}

sub post_checkout {
    my ($p) = @_;
    _known($p, [qw(mode success_url)],
           qw(cancel_url customer customer_email client_reference_id
              line_items metadata subscription_data expires_at locale
              allow_promotion_codes automatic_tax tax_id_collection
              billing_address_collection payment_method_collection
              customer_update));
    _refuse(400, 'parameter_missing', 'line_items',
            'You must provide line items in subscription mode.')
        if $p->{mode} ne 'subscription' || ref $p->{line_items} ne 'HASH';
    for my $i (sort keys %{ $p->{line_items} }) {
        my $item = $p->{line_items}{$i};
        my $price = $object{ $item->{price} // '' };
        _refuse(400, 'resource_missing', "line_items[$i][price]",
                "No such price: '" . ($item->{price} // '') . "'")
            if !$price || $price->{object} ne 'price';
        _refuse(400, 'parameter_invalid_integer', "line_items[$i][quantity]",
                'Invalid integer')
            if ($item->{quantity} // 1) !~ /\A[1-9]\d{0,5}\z/;
    }
    _there(400, 'customer', $p->{customer}, 'customer')
        if defined $p->{customer};
    _url($p, qw(success_url cancel_url));
    my $session = make_checkout($p);
    $bought{ $session->{id} } = $p;
    return $session;
}

sub post_portal {
    my ($p) = @_;
    _known($p, ['customer'], qw(return_url configuration locale flow_data));
    _there(400, 'customer', $p->{customer}, 'customer');
    _url($p, 'return_url');
    return make_portal($p);
}

sub list_subscriptions {
    my ($p) = @_;
    _known($p, [], qw(customer status limit starting_after price));
    my $status = $p->{status} // '';
    return _list('/v1/subscriptions',
        sort { $b->{created} <=> $a->{created} || $a->{id} cmp $b->{id} }
        grep { $_->{object} eq 'subscription'
                   && (!defined $p->{customer}
                       || $_->{customer} eq $p->{customer})
                   && ($status eq 'all'
                       || ($status eq '' ? $_->{status} ne 'canceled'
                           : $_->{status} eq $status)) } values %object);
}

sub list_prices {
    my ($p) = @_;
    _known($p, [], qw(lookup_keys active limit type product));
    my %wanted = map { $_ => 1 } values %{ $p->{lookup_keys} || {} };
    return _list('/v1/prices',
        sort { $a->{id} cmp $b->{id} }
        grep { $_->{object} eq 'price'
                   && (!%wanted || $wanted{ $_->{lookup_key} // '' })
                   && (!defined $p->{active}
                       || !!$_->{active} == ($p->{active} eq 'true')) }
        values %object);
}

my %kind = (customers => 'customer', subscriptions => 'subscription',
            prices => 'price', 'checkout/sessions' => 'checkout.session',
            invoices => 'invoice');

sub _answer {
    my ($method, $path, $p) = @_;
    my $at = "$method $path";
    return post_customer($p) if $at eq 'POST /v1/customers';
    return post_checkout($p) if $at eq 'POST /v1/checkout/sessions';
    return post_portal($p) if $at eq 'POST /v1/billing_portal/sessions';
    return list_subscriptions($p) if $at eq 'GET /v1/subscriptions';
    return list_prices($p) if $at eq 'GET /v1/prices';
    if ($at =~ m{\APOST /v1/checkout/sessions/([^/]+)/expire\z}) {
        my $session = _there(404, 'checkout.session', _unescape($1), 'session');
        _refuse(400, 'resource_missing', 'session', 'Only open ones expire.')
            if $session->{status} ne 'open';
        return expire_checkout($session->{id});
    }
    if ($at =~ m{\APOST /v1/subscriptions/([^/]+)\z}) {
        _known($p, [], qw(cancel_at_period_end metadata));
        my $o = _there(404, 'subscription', _unescape($1), 'id');
        $o->{cancel_at_period_end} =
            $p->{cancel_at_period_end} eq 'true' ? $yes : $no
            if defined $p->{cancel_at_period_end};
        return $o;
    }
    if ($at =~ m{\AGET /v1/(.+)/([^/]+)\z} && $kind{$1}) {
        my $o = _there(404, $kind{$1}, _unescape($2), 'id');
        my %inside = map { $_ => $object{ $o->{$_} // '' } // $o->{$_} }
            values %{ $p->{expand} || {} };
        return { %$o, %inside };
    }
    _refuse(404, 'url_invalid', undef,
            "Unrecognized request URL ($method: $path).");
    return;
}


# ---- the process ----

# A connection: { socket, in: bytes not yet understood, out: bytes to be
# written, from: a time, before which they wait; end: close it then }.
my %by;

sub _serve {
    my ($listener, $control, $key) = @_;
    $SIG{PIPE} = $SIG{INT} = 'IGNORE';
    $secret = $key;
    $made = 0;
    my $read = IO::Select->new($listener, $control);

    for (;;) {
        my $now = time;
        my @out = grep { length $_->{out} || $_->{end} } values %by;
        my ($next) = sort { $a <=> $b } map { $_->{from} } @out;
        my $wait = !defined $next ? 60 : $next > $now ? $next - $now : 0;
        my @ready = map { $_->{socket} } grep { $_->{from} <= $now } @out;
        my ($in, $out) = IO::Select->select(
            $read, IO::Select->new(@ready), undef, @ready ? 60 : $wait);
        for my $socket (@{ $in || [] }) {
            if ($socket == $listener) {
                my $new = $listener->accept or next;
                setsockopt $new, IPPROTO_TCP, TCP_NODELAY, 1;
                $new->blocking(0);
                $by{$new} = { socket => $new, in => '', out => '', from => 0 };
                $read->add($new);
            }
            elsif ($socket == $control) {
                _control($control) or return;
            }
            else {
                _read($by{$socket}, $read);
            }
        }
        for my $c (map { $by{$_} // () } @{ $out || [] }) {
            my $n = length $c->{out} ? syswrite $c->{socket}, $c->{out} : 0;
            substr($c->{out}, 0, $n, '') if $n;
            if (length $c->{out}) {
                _close($c, $read) if !defined $n && !$!{EAGAIN};
                next;
            }
            _done($c);
            _close($c, $read) if $c->{end};
        }
    }
    return;
}

# Its key may be used again: what it asked for is done.
sub _done {
    my ($c) = @_;
    my $key = delete $c->{busy} // return;
    delete $kept{$key}{busy};
    return;
}

sub _close {
    my ($c, $read) = @_;
    _done($c);
    $read->remove($c->{socket});
    delete $by{ $c->{socket} };
    close $c->{socket};
    return;
}

sub _control {
    my ($control) = @_;
    my $line = readline $control;
    return 0 if !defined $line;
    my ($what, @arg) = @{ $json->decode($line) };
    my %do = (
        price => sub { make_price(@_) },
        customer => sub { make_customer(@_) },
        subscribe => sub { make_subscription(@_) },
        change => sub {
            my ($id, %set) = @_;
            my $o = $object{$id} or die "no object $id\n";
            return _keep({ %$o, %set });
        },
        delete => sub { delete $object{ $_[0] }; 1 },
        object => sub { $object{ $_[0] } },
        put => sub { _keep($_) for @_; 1 },
        complete => \&complete_checkout,
        expire => \&expire_checkout,
        requests => sub { my @all = @seen; @seen = (); \@all },
        heal => sub { @faults = (); 1 },
        fail => sub {
            my ($begin, %fault) = @_;
            push @faults, { times => 1, %fault, begin => $begin };
            return 1;
        },
    );
    my $result = eval { ($do{$what} or die "no such thing: $what\n")->(@arg) };
    my $error = $@;
    chomp $error;
    print {$control} $json->encode([length $error ? $error : undef, $result]),
        "\n";
    return 1;
}

# One request at a time of a connection; libcurl sends no more.
sub _read {
    my ($c, $read) = @_;
    my $n = sysread $c->{socket}, $c->{in}, 65536, length $c->{in};
    if (!$n) {
        return if !defined $n && $!{EAGAIN};
        return _close($c, $read);
    }
    $c->{in} =~ /\A(.*?)\r\n\r\n/s or return;
    my ($head, $begin) = ($1, $+[0]);
    my ($line, @lines) = split /\r\n/, $head;
    my %header = map { /\A([^:]+):\s*(.*)\z/ ? (lc $1, $2) : () } @lines;
    my $length = $header{'content-length'} // 0;
    return if length($c->{in}) < $begin + $length;
    my $body = substr $c->{in}, $begin, $length;
    substr $c->{in}, 0, $begin + $length, '';
    my ($method, $target) = $line =~ m{\A(\S+) (\S+) HTTP/1\.[01]\z}
        or return _close($c, $read);
    my ($path, $query) = split /\?/, $target, 2;
    _request($c, $read, { method => $method, path => $path, header => \%header,
                          text => $method eq 'POST' ? $body : $query // '' });
    return;
}

sub _request {
    my ($c, $read, $r) = @_;
    my $at = "$r->{method} $r->{path}";
    my $key = $r->{method} eq 'POST' ? $r->{header}{'idempotency-key'} : undef;
    my ($fault) = grep { $_->{times} > 0 && index($at, $_->{begin}) == 0 }
        @faults;
    $fault->{times}-- if $fault;
    $fault //= {};

    my $seen = { method => $r->{method}, path => $r->{path},
                 params => _params($r->{text}), key => $key,
                 version => $r->{header}{'stripe-version'} };
    push @seen, $seen;
    return _close($c, $read) if ($fault->{cut} // '') eq 'before';

    my ($status, $text, $replayed) = _outcome($r, $seen->{params}, $key, $fault);
    @$seen{qw(status replayed)} = ($status, $replayed ? 1 : 0);
    return _close($c, $read) if ($fault->{cut} // '') eq 'after';

    my %headers = (
        'Content-Type' => 'application/json', 'Request-Id' => _id('req'),
        'Stripe-Version' => VERSION, 'Content-Length' => length $text,
        defined $key ? ('Idempotency-Key' => $key) : (),
        $replayed ? ('Idempotent-Replayed' => 'true') : (),
        %{ $fault->{headers} || {} });
    $c->{out} .= "HTTP/1.1 $status Status\r\n"
        . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
        . "\r\n$text";
    $c->{from} = $fault->{slow} ? time + $fault->{slow} / 1000 : 0;
    $c->{busy} = $key if $fault->{slow} && defined $key && $kept{$key};
    $kept{$key}{busy} = 1 if defined $c->{busy};
    $c->{end} = 1 if ($r->{header}{connection} // '') =~ /close/i;
    return;
}

# Status, body, and whether that is what was said to this key before.
sub _outcome {
    my ($r, $params, $key, $fault) = @_;
    my ($status, $text, $replayed);
    my $what = "$r->{method} $r->{path}\n$r->{text}";

    my $result = eval {
        _refuse(401, undef, undef, 'Invalid API Key provided: sk_test_*123')
            if ($r->{header}{authorization} // '') ne "Bearer $secret";

        if (my $old = defined $key ? $kept{$key} : undef) {
            _refuse(400, 'idempotency_error', undef,
                    'Keys for idempotent requests can only be used with the '
                    . 'same parameters they were first used with.')
                if $old->{what} ne $what;
            _refuse(409, 'idempotency_key_in_use', undef,
                    'There is currently another in-progress request using '
                    . 'this Idempotent Key.')
                if $old->{busy};
            ($status, $text, $replayed) = (@$old{qw(status text)}, 1);
            return 1;
        }
        if (defined $fault->{status} || defined $fault->{body}) {
            ($status, $text) = ($fault->{status} // 200, $fault->{body}
                // $json->encode({ error => { type => 'api_error',
                                              message => 'on demand' } }));
            return 1;
        }
        ($status, $text) =
            (200, $json->encode(_answer($r->{method}, $r->{path}, $params)));
        $fault->{stored} = 1;
        return 1;
    };
    if (!$result) {
        my $error = $@;
        die $error if ref $error ne 'ARRAY';
        return ($error->[0], $json->encode($error->[1]), 0);
    }
    $kept{$key} = { what => $what, status => $status, text => $text }
        if defined $key && !$replayed && $fault->{stored};
    return ($status, $text, $replayed);
}

sub _unescape {
    my ($text) = @_;
    $text =~ tr/+/ /;
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/eg;
    utf8::decode($text);
    return $text;
}

# "a[b][0]=c&d[]=e" as { a => { b => { 0 => 'c' } }, d => { 0 => 'e' } }.
sub _params {
    my ($text) = @_;
    my %all;
    for my $pair (split /&/, $text) {
        my ($name, $value) = map { _unescape($_) } split /=/, $pair, 2;
        my ($first, $rest) = $name =~ /\A([^\[]+)((?:\[[^\]]*\])*)\z/ or next;
        my @path = ($first, $rest =~ /\[([^\]]*)\]/g);
        my $last = pop @path;
        my $at = \%all;
        $at = $at->{$_} //= {} for @path;
        $last = scalar keys %$at if $last eq '';
        $at->{$last} = $value // '';
    }
    return \%all;
}

1;
