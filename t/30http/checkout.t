#!/usr/bin/perl

# Pages of Stripe's on which an owner pays: asked for, made by tenond, read; and
# what happens where Stripe doesn't answer as it should.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

use Test::More;
use TenonCheck;
use TenonServer ();
use TenonStripe ();

my $stripe = TenonStripe->new(prices => ['teamos_pro_monthly']);
my $s = TenonServer->new(stripe => 1, tenond => { poll_interval => 50 }, asks => $stripe);
my $home = 'https://acme.tenon.localhost/billing';

sub checkout {
    my (%o) = @_;
    my $json = { plan => 'pro', success_url => "$home?paid",
                 cancel_url => $home, %{ delete $o{json} || {} } };
    delete @$json{ grep { !defined $json->{$_} } keys %$json };
    return $s->request(POST => 'billing/checkout-sessions', as => 'alice',
                       json => $json, %o);
}

sub portal {
    my (%o) = @_;
    return $s->request(POST => 'billing/portal-sessions', as => 'alice',
                       json => { return_url => $home }, %o);
}

# What becomes of one that is asked for.
sub outcome {
    my ($r, %o) = @_;
    my $location = $r->header('Location') // return { status => 'no Location' };
    my $page;
    $s->wait_until(20, sub {
        $page = $s->request(GET => $location, as => 'alice', %o)->json;
        $page->{status} ne 'pending';
    });
    return $page;
}

# What was asked of Stripe: method, path.
sub asked { return map { "$_->{method} $_->{path}" } $stripe->requests }

# Jobs that wait for another attempt don't wait any longer.
sub hurry {
    $s->psql("update tenon.job set run_at = now() where status = 'queued'
                 and attempts > 0");
    return;
}

sub acme {
    return $s->psql("select tenant_id from tenon.tenant where slug = 'acme'");
}

my $acme = acme();
my $customer;

# The demo's.
$s->psql("delete from tenon.subscription where tenant_id = '$acme'");

subtest 'a checkout' => sub {
    my $r = checkout(json => { quantity => 3 });
    status_is $r, 202, 'is asked for';
    my $asked = $r->json;
    is $r->header('Location'),
        "/api/v1/billing/checkout-sessions/$asked->{id}", 'is to be read there';
    is_deeply [@$asked{qw(plan quantity status url error success_url)}],
        ['pro', 3, 'pending', undef, undef, "$home?paid"], 'isn\'t there yet';

    my $page = outcome($r);
    is $page->{status}, 'ready', 'is made';
    like $page->{url}, qr{\Ahttps://checkout\.stripe\.com/c/pay/cs_test_},
        'has an address';
    like $page->{expires_at}, qr/\A\d{4}-/, 'and an end';
    is $page->{error}, undef, 'and no fault';

    my @requests = $stripe->requests;
    is_deeply [map { "$_->{method} $_->{path}" } @requests],
        ['POST /v1/customers', 'GET /v1/prices', 'POST /v1/checkout/sessions'],
        'Stripe was asked for a customer, the price, the page';
    is_deeply [grep { $_->{version} ne TenonStripe::VERSION } @requests], [],
        'in the version that is known here';
    is_deeply $requests[0]{params},
        { name => 'Acme Inc.', metadata => { tenant_id => $acme } },
        'the customer is the tenant';
    is $requests[0]{key}, "tenon-customer-$acme-1", 'made once';

    my ($id) = $page->{url} =~ /(cs_test_\w+)/;
    $customer = $stripe->object($id)->{customer};
    is_deeply $requests[2]{params},
        { mode => 'subscription', customer => $customer,
          client_reference_id => $acme,
          line_items => { 0 => {
              price => $stripe->object($customer) && $requests[2]{params}
                  {line_items}{0}{price}, quantity => 3 } },
          success_url => "$home?paid", cancel_url => $home,
          metadata => { tenant_id => $acme, billing_session => $asked->{id} },
          subscription_data => { metadata => { tenant_id => $acme } } },
        'the page is for it, and says whose it is';
    is $stripe->object($requests[2]{params}{line_items}{0}{price})
        ->{lookup_key}, 'teamos_pro_monthly', 'at the plan\'s price';
    is $requests[2]{key}, "tenon-checkout-$asked->{id}", 'made once';

    is $s->psql("select external_id from tenon.billing_customer"), $customer,
        'the customer is kept';
    is $s->psql("select tenant_id from tenon.billing_ref
                  where external_id = '$customer'"), $acme, 'as the tenant\'s';
};

subtest 'its address is a key' => sub {
    my $page = outcome(checkout());
    my ($url) = $page->{url} =~ m{(cs_test_\w+)};
    my $at = "billing/checkout-sessions/$page->{id}";
    status_is $s->request(GET => $at, as => 'bob'), 403, 'not an admin\'s';
    status_is $s->request(GET => $at, as => 'dave'), 404, 'nor another\'s owner\'s';
    status_is $s->request(GET => "billing/portal-sessions/$page->{id}",
                          as => 'alice'), 404, 'it is no portal';
    my $r = $s->request(GET => $at, as => 'alice');
    is $r->header('Cache-Control'), 'no-store', 'kept by nobody';
    is $s->psql("select count(*) from tenon.event_body b
                  where concat(b.before, b.after, b.metadata)
                        like '%/pay/cs\\_test%'"), 0, 'in no event';
    is $s->psql("select count(*) from tenon.idempotency i
                  where i.outcome::text like '%/pay/cs\\_test%'"), 0,
        'nor in an outcome';
    is $s->psql("select string_agg(e.action, ' ' order by e.at)
                   from tenon.event e where e.resource_id = '$page->{id}'"),
        'billing_session.created billing_session.ready',
        'that it was made is told';
    my $logs = join '', map { TenonServer::_slurp($_) }
        $s->error_log, $s->access_log, $s->var . '/tenond/log';
    unlike $logs, qr/\Q$url\E/, 'and in no log';
    unlike $logs, qr/${\ $stripe->key }/, 'nor is Stripe\'s key';

    $s->psql("update tenon.billing_session set expires_at = now()
               where id = '$page->{id}'");
    $page = $s->request(GET => $at, as => 'alice')->json;
    is_deeply [@$page{qw(status url)}], ['expired', undef],
        'and when it has run out it is no more told';
    asked();
};

subtest 'who may ask' => sub {
    status_is checkout(as => $_), 403, "not $_" for qw(bob carol);
    status_is $s->request(POST => 'billing/checkout-sessions', at => 'acme',
                          json => {}), 401, 'nor nobody';
    my $key = $s->request(POST => 'api-keys', as => 'alice', proven => 1,
                          json => { name => 'pay', scopes =>
                                        ['tenon.billing:update'] });
    status_is $key, 201, 'a key';
    status_is checkout(as => undef, token => $key->json->{secret}), 403,
        'can\'t either';

};

sub faults {
    my ($r) = @_;
    return join ' ', map { "$_->{pointer}:$_->{code}" }
        @{ ($r->json || {})->{errors} || [] };
}

subtest 'what can\'t be' => sub {
    my $r = checkout(json => { plan => 'enterprise', quantity => 0,
                               success_url => 'javascript:alert(1)',
                               cancel_url => "https://a\@acme.test/" });
    status_is $r, 422, 'is refused';
    is faults($r), '/cancel_url:bad_format /quantity:out_of_range '
        . '/success_url:bad_format', 'with all that is wrong by itself';
    $r = checkout(json => { plan => 'enterprise',
                            success_url => 'https://evil.test/',
                            cancel_url => 'https://globex.tenon.localhost.evil/' });
    is faults($r), '/plan:not_in_set /success_url:refused /cancel_url:refused',
        'and all that is wrong here';
    is faults(checkout(json => { plan => 'none' })), '/plan:not_in_set',
        'a plan that is none';
    is faults(checkout(json => { success_url => undef })),
        '/success_url:required', 'no way back';
    for my $url ('https://acme.tenon.localhost\\@evil.test/',
                 "https://acme.tenon.localhost/ b", 'https:///x', '//evil.test',
                 'https://acme.tenon.localhost:80:81/', 'https://[::1]/') {
        is faults(checkout(json => { cancel_url => $url })),
            '/cancel_url:bad_format', $url;
    }
    is_deeply [asked()], [], 'Stripe hears of none of it';
};

subtest 'ways back' => sub {
    $s->psql("begin;
              select set_config('tenon.tenant', '$acme', true);
              insert into tenon.domain (tenant_id, id, domain, verified_at)
              values ('$acme', tenon.uuid7(), 'pay.acme.test', now()),
                     ('$acme', tenon.uuid7(), 'later.acme.test', null);
              commit");
    for my $case (['http://localhost:3000/done', 1, 'a developer\'s'],
                  ['http://globex.tenon.localhost/', 1, 'loopback, all of it'],
                  ['https://PAY.acme.test:8443/x?id={CHECKOUT_SESSION_ID}', 1,
                   'a domain of the tenant\'s'],
                  ['http://pay.acme.test/', 0, 'not without TLS'],
                  ['https://later.acme.test/', 0, 'not before it is verified'],
                  ['https://x.pay.acme.test/', 0, 'nor what lies below it']) {
        my ($url, $good, $what) = @$case;
        is faults(checkout(json => { success_url => $url })),
            $good ? '' : '/success_url:refused', $what;
    }
    $s->wait_until(10, sub {
        $s->psql("select count(*) from tenon.job
                   where status in ('queued', 'running')") == 0;
    });
    asked();
};

subtest 'the same once more' => sub {
    my @key = (headers => ['Idempotency-Key' => 'pay-once']);
    my $first = checkout(@key);
    my $again = checkout(@key);
    status_is $again, 202, 'is answered';
    is $again->json->{id}, $first->json->{id}, 'as the first';
    is $again->header('Location'), $first->header('Location'), 'with its place';
    outcome($first);
    is_deeply [map { s/cs_\w+/…/r } asked()],
        ['GET /v1/prices', 'POST /v1/checkout/sessions',
         'POST /v1/checkout/sessions/…/expire'],
        'and made once, and the one before is ended';
};

subtest 'one page at a time' => sub {
    $s->psql("delete from tenon.billing_session");
    my $first = outcome(checkout());
    asked();
    my $second = outcome(checkout());
    is $second->{status}, 'ready', 'another tab has a page of its own';
    my $at = sub {
        $s->request(GET => "billing/checkout-sessions/$_[0]{id}",
                    as => 'alice')->json };
    is_deeply [@{ $at->($first) }{qw(status url)}], ['expired', undef],
        'the first is no more';
    my ($id) = $first->{url} =~ m{(cs_test_\w+)#};
    is $stripe->object($id)->{status}, 'expired', 'nor is it at Stripe';
    is $s->psql("select url is null from tenon.billing_session
                   where external_id = '$id'"), 't', 'its address is forgotten';
    is $s->psql("select string_agg(e.action, ' ' order by e.at)
                   from tenon.event e where e.resource_id = '$first->{id}'"),
        'billing_session.created billing_session.ready '
        . 'billing_session.expired', 'and that is told';

    my @pages = map { checkout() } 1 .. 6;
    $s->wait_until(20, sub {
        hurry();
        !$s->psql("select count(*) from tenon.job
                    where status in ('queued', 'running')");
    });
    is join(' ', sort map { outcome($_)->{status} } @pages),
        'expired expired expired expired expired ready', 'of six at once, too';
    is $s->psql("select count(*) from tenon.billing_session
                   where expires_at > now()"), 1, 'there is one';

    # Ended behind our back.
    my $open = sub {
        return $s->psql("select external_id from tenon.billing_session
                           where expires_at > now()");
    };
    $stripe->expire($open->());
    is outcome(checkout())->{status}, 'ready', 'one that is over is no matter';

    # One is paid, and the other is asked for before Stripe's event comes.
    my $paid = $open->();
    my @events = $stripe->complete($paid);
    my $r = checkout();
    $s->wait_until(10, sub {
        $s->psql("select last_error from tenon.job
                   where id = '" . $r->json->{id} . "'") =~ /was paid just now/;
    });
    like $s->psql("select last_error from tenon.job
                     where id = '" . $r->json->{id} . "'"),
        qr/\Aanother page was paid just now/, 'one that was paid is waited for';
    my $waits = $at->($r->json);
    is $waits->{status}, 'pending', 'so there is no page';
    like $waits->{error}, qr/\Aanother page was paid just now/, 'and why';
    $s->stripe($_) for @events;
    $s->wait_until(20, sub {
        $s->psql("select count(*) from tenon.subscription
                   where tenant_id = '$acme' and status = 'active'") == 1;
    });
    hurry();
    my $page = outcome($r);
    is_deeply [@$page{qw(status error)}],
        ['failed', 'there is a subscription already: it is changed in the '
                   . 'portal'], 'and none behind it';
    status_is $s->request(POST => 'jobs/' . $r->json->{id} . '/retry',
                          as => 'alice'), 200, 'whoever insists';
    $s->wait_until(10, sub { $at->($r->json)->{status} ne 'pending' });
    is $at->($r->json)->{status}, 'failed', 'is refused again';

    # It ends, and the same day another is to be had.
    $s->psql("update tenon.subscription set status = 'canceled'
               where tenant_id = '$acme'");
    is outcome(checkout())->{status}, 'ready', 'who has ended it begins anew';
    is $s->psql("select count(*) from tenon.event
                   where action = 'billing_session.completed'"), 1,
        'and what was paid is no more in the way';
    $s->psql("delete from tenon.billing_session;
              delete from tenon.subscription where tenant_id = '$acme'");
    asked();
};

subtest 'two that go on' => sub {
    my @sub = map { $stripe->subscribe(customer => $customer,
                                       price => 'teamos_pro_monthly') } 1 .. 2;
    $s->stripe($stripe->event('customer.subscription.created', $_)) for @sub;
    $s->wait_until(20, sub {
        $s->psql("select count(*) from tenon.subscription
                   where tenant_id = '$acme'") == 2;
    });
    my ($told) = grep { $_->{action} eq 'subscription.duplicate' }
        @{ $s->request(GET => 'audit/events?action=subscription.duplicate',
                       as => 'alice')->json->{data} };
    my $said = ($told || {})->{metadata} || {};
    is_deeply [sort $said->{external_id} // '', @{ $said->{others} || [] }],
        [sort map { $_->{id} } @sub], 'are told of';
    is $s->psql("select count(*), count(distinct e.tenant_id)
                   from tenon.event e
                  where e.action = 'subscription.duplicate'"), '2|2',
        'to the tenant and the platform, once';
    is $s->psql("select a.metadata ->> 'tenant_id' from tenon.audit_event a
                  where a.action = 'subscription.duplicate'
                    and a.tenant_id <> '$acme'"), $acme, 'which hears whose';
    $s->psql("delete from tenon.subscription where tenant_id = '$acme'");
    asked();
};

subtest 'the portal' => sub {
    my $r = portal();
    status_is $r, 202, 'is asked for';
    is $r->header('Location'), '/api/v1/billing/portal-sessions/'
        . $r->json->{id}, 'is to be read there';
    my $page = outcome($r);
    like $page->{url}, qr{\Ahttps://billing\.stripe\.com/p/session/bps_},
        'and made';
    my ($request) = $stripe->requests;
    is_deeply $request->{params}, { customer => $customer,
                                    return_url => $home }, 'for the customer';

    $r = $s->request(POST => 'billing/portal-sessions', as => 'dave',
                     json => { return_url =>
                                   'https://globex.tenon.localhost/' });
    status_is $r, 409, 'who never paid has none';
    is $r->json->{code}, 'state_conflict', 'and is told so';
    is faults(portal(json => { return_url => 'https://evil.test' })),
        '/return_url:refused', 'and none leads away';
};

subtest 'Stripe fails' => sub {
    my $r;
    for my $case ([{ status => 500 }, 'an error of its own'],
                  [{ status => 409, body => '{"error":{"code":"lock_timeout",'
                     . '"type":"invalid_request_error"}}' }, 'a lock'],
                  [{ status => 429 }, 'too much'],
                  [{ status => 500, stored => 1 }, 'one that it repeats'],
                  [{ cut => 'before' }, 'a line that is cut'],
                  [{ cut => 'after' }, 'and one that is cut behind it'],
                  [{ body => '<html>' }, 'no JSON']) {
        my ($how, $what) = @$case;
        $stripe->fail('POST /v1/checkout/sessions', %$how);
        $r = checkout();
        $s->wait_until(10, sub { hurry(); 0 + grep { $_->{status} eq 'ready' }
            $s->request(GET => $r->header('Location'), as => 'alice')->json });
        is outcome($r)->{status}, 'ready', "$what: made in the end";
        my @made = grep { $_->{path} eq '/v1/checkout/sessions' }
            $stripe->requests;
        is @made, $how->{stored} ? 3 : 2, 'at the second try';
        is $made[1]{key}, $made[0]{key}, 'with the key of the first';
        is $made[1]{replayed},
            ($how->{cut} // '') eq 'after' || $how->{stored} ? 1 : 0,
            'and there is one page';
        $stripe->heal;
        $s->psql("delete from tenon.billing_session");
    }

    $stripe->fail('POST /v1/checkout/sessions', status => 400, body =>
        '{"error":{"type":"invalid_request_error","code":"parameter_invalid",'
        . '"param":"success_url","message":"sk_test_secret"}}');
    my $page = outcome($r = checkout());
    is $page->{status}, 'failed', 'what it refuses is not asked again';
    my $why = 'invalid_request_error, code parameter_invalid, '
        . 'param success_url';
    like $page->{error}, qr/\AStripe answered 400: $why, request req_\w+\z/,
        'and told why';
    my $id = $r->json->{id};
    status_is $s->request(POST => "jobs/$id/retry", as => 'alice'), 200,
        'but when somebody says so';
    is outcome($r)->{status}, 'ready', 'it is';

    $stripe->fail('POST /v1/checkout/sessions', status => 503, times => 5);
    $r = checkout();
    $s->wait_until(20, sub {
        hurry();
        $s->psql("select status from tenon.job where id = '"
                 . $r->json->{id} . "'") eq 'dead';
    });
    is outcome($r)->{status}, 'failed', 'after five attempts it is given up';
    asked();
};

subtest 'tenond is killed' => sub {
    $stripe->fail('POST /v1/checkout/sessions', slow => 2000);
    asked();
    my $r = checkout();
    my @asked;
    $s->wait_until(10, sub {
        push @asked, grep { $_->{path} eq '/v1/checkout/sessions' }
            $stripe->requests;
        @asked;
    });
    $s->shell('kill -KILL $(tenond_pid)');
    $s->start;
    $s->psql("update tenon.job set lease_until = now()
               where status = 'running'");
    $s->wait_until(10, sub {
        hurry();
        $s->request(GET => $r->header('Location'), as => 'alice')
            ->json->{status} eq 'ready';
    });
    is outcome($r)->{status}, 'ready', 'another goes on';
    my @again = grep { $_->{path} eq '/v1/checkout/sessions' }
        $stripe->requests;
    is_deeply [map { $_->{key} } @again], [($asked[0]{key}) x @again],
        'with the same key';
    is $again[-1]{replayed}, 1, 'and there is one page';
    $stripe->heal;
};

subtest 'a customer is one' => sub {
    my $globex = $s->psql("select tenant_id from tenon.tenant
                            where slug = 'globex'");
    $stripe->fail('POST /v1/customers', slow => 300, times => 3);
    my @pages = map {
        $s->request(POST => 'billing/checkout-sessions', as => 'dave',
                    json => { plan => 'pro', map { $_ =>
                        'https://globex.tenon.localhost/' }
                        qw(success_url cancel_url) })
    } 1 .. 3;
    $s->wait_until(20, sub {
        hurry();
        !$s->psql("select count(*) from tenon.job
                    where status in ('queued', 'running')");
    });
    is join(' ', sort map { outcome($_, as => 'dave')->{status} } @pages),
        'expired expired ready', 'three at once are made, and one is left';
    my @requests = $stripe->requests;
    my %made = map { $_->{key} => 1 }
        grep { $_->{path} eq '/v1/customers' } @requests;
    is keys %made, 1, 'the customer by one key';
    my %of = map { $_->{params}{customer} => 1 }
        grep { $_->{path} eq '/v1/checkout/sessions' } @requests;
    is_deeply [keys %of], [$s->psql("select external_id
        from tenon.billing_customer where tenant_id = '$globex'")],
        'and all pages are that one\'s';
};

subtest 'a trial' => sub {
    $s->psql("delete from tenon.billing_session;
              update tenon.plan set trial_days = 14 where name = 'pro'");
    asked();
    my $days = sub {
        outcome(checkout());
        my ($page) = grep { $_->{path} eq '/v1/checkout/sessions' }
            $stripe->requests;
        return $page->{params}{subscription_data}{trial_period_days};
    };
    is $days->(), 14, 'is for who never subscribed';
    $s->psql("insert into tenon.subscription (tenant_id, plan, provider,
                                              external_id, status)
              values ('$acme', 'pro', 'stripe', 'sub_0', 'canceled')");
    is $days->(), undef, 'and nobody else';
    $s->psql("delete from tenon.subscription where tenant_id = '$acme';
              update tenon.plan set trial_days = null where name = 'pro'");
};

subtest 'paid' => sub {
    my $page = outcome(checkout(json => { quantity => 4 }));
    my ($id) = $page->{url} =~ m{(cs_test_\w+)#};
    my @events = $stripe->complete($id);
    is join(' ', map { $s->stripe($_)->{status} } reverse @events),
        '204 204 204', 'Stripe tells of it, in whatever order';
    my $mine;
    $s->wait_until(20, sub {
        $mine = $s->request(GET => 'billing/subscription', as => 'alice')
            ->json;
        ($mine->{status} // '') eq 'active' && $mine->{plan} eq 'pro';
    });
    is_deeply [@$mine{qw(plan entitlement status quantity)}],
        ['pro', 'full', 'active', 4], 'and the tenant has its plan';
    $s->wait_until(20, sub {
        $s->psql("select count(*) from tenon.inbound_event
                   where status <> 'processed'") == 0;
    });
    is $s->psql("select string_agg(distinct status, ' ')
                   from tenon.inbound_event"), 'processed',
        'all of it was understood';
    status_is portal(), 202, 'in the portal it is seen to';

    is_deeply [map { exists $mine->{$_} && !defined $mine->{$_} }
               qw(cancel_at canceled_at ended_at)], [1, 1, 1],
        'no end is in sight';
    my $sub = $s->psql("select external_id from tenon.subscription
                          where tenant_id = '$acme'");
    my $now = int time;
    $stripe->change($sub, canceled_at => $now, cancel_at => $now + 86400,
                    cancel_at_period_end => JSON::PP::true);
    $s->stripe($stripe->event('customer.subscription.updated',
                              $stripe->object($sub)));
    $s->wait_until(10, sub {
        $mine = $s->request(GET => 'billing/subscription', as => 'alice')
            ->json;
        defined $mine->{cancel_at};
    });
    my @at = map { POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime $_) }
        $now + 86400, $now;
    like $mine->{cancel_at}, qr/\A$at[0]/, 'until somebody says when';
    like $mine->{canceled_at}, qr/\A$at[1]/, 'and that it was said is told';
    is $mine->{ended_at}, undef, 'it goes on till then';

    $s->psql("delete from tenon.billing_session;
              delete from tenon.subscription where tenant_id = '$acme'");
};

subtest 'too often' => sub {
    my $page = sub {
        my ($n, $age) = @_;
        return "select '$acme'::uuid, tenon.uuid7(), 'portal', 'https://a/',
                       now() - interval '$age' + n * interval '1 second'
                  from generate_series(1, $n) n";
    };
    $s->psql("begin;
              select set_config('tenon.tenant', '$acme', true);
              delete from tenon.billing_session;
              insert into tenon.billing_session (tenant_id, id, kind,
                                                 return_url, created_at)
              @{[ $page->(5, '2 hours') ]} union all
              @{[ $page->(29, '30 minutes') ]};
              commit");
    status_is checkout(), 202, 'the 30th within an hour';
    for my $r (checkout(), portal()) {
        problem_is $r, 429, 'rate_limited', 'is the last';
        my $wait = $r->header('Retry-After') // '';
        ok $wait =~ /\A\d+\z/ && $wait > 1740 && $wait <= 1801,
            'until the first is an hour old' or diag $wait;
    }
    is faults(checkout(json => { plan => 'none' })), '/plan:not_in_set',
        'what is wrong is told first';
    $s->psql("begin;
              select set_config('tenon.tenant', '$acme', true);
              update tenon.billing_session
                 set created_at = now() - interval '61 minutes'
               where id = (select id from tenon.billing_session
                            where created_at > now() - interval '1 hour'
                            order by created_at limit 1);
              commit");
    status_is checkout(), 202, 'then there is another';
    $s->wait_until(10, sub {
        $s->psql("select count(*) from tenon.job
                   where status in ('queued', 'running')") == 0;
    });
    $s->psql("delete from tenon.billing_session");
    asked();
};

subtest 'who pays already' => sub {
    $s->psql("insert into tenon.subscription (tenant_id, plan, provider,
                                              external_id, status)
              values ('$acme', 'pro', 'stripe', 'sub_1', 'active')");
    my $r = checkout();
    status_is $r, 409, 'doesn\'t subscribe again';
    like $r->json->{detail}, qr/portal/, 'but is told of the portal';
    $s->psql("delete from tenon.subscription where tenant_id = '$acme'");
};

subtest 'who owes' => sub {
    asked();
    $s->psql("insert into tenon.subscription (tenant_id, plan, provider,
                                              status, owing_since)
              values ('$acme', 'pro', 'other', 'unpaid',
                      now() - interval '1 year')");
    sleep 5.2;    # the zone has the plan for so long
    status_is $s->request(GET => 'tasks', as => 'alice'), 402,
        'who is suspended';
    my $r = checkout();
    status_is $r, 202, 'may pay';
    is outcome($r)->{status}, 'ready', 'and does';
    is join(' ', asked()), 'GET /v1/prices POST /v1/checkout/sessions',
        'as the customer that it is';
};

subtest 'seats that are paid for' => sub {
    $s->psql("delete from tenon.billing_session;
              delete from tenon.subscription where tenant_id = '$acme';
              update tenon.plan_override set limits = '[]';
              insert into tenon.plan_limit (plan, name, hard, per_quantity)
              values ('pro', 'seats', 2, true)");
    my $sub = $stripe->subscribe(customer => $customer, quantity => 1,
                                 price => 'teamos_pro_monthly');
    my $seats = sub {
        my ($l) = grep { $_->{name} eq 'seats' } @{ $s->request(
            GET => 'billing/entitlements', as => 'alice')->json->{limits} };
        return $l || {};
    };
    my $hear = sub {
        my ($hard) = @_;
        $s->stripe($stripe->event('customer.subscription.updated', $sub));
        return $s->wait_until(10, sub {
            ($seats->()->{hard} // -1) == $hard
                && $s->request(GET => 'billing/subscription', as => 'alice')
                     ->json->{entitlement} eq 'full';
        });
    };
    ok $hear->(2), 'one has two';
    my $taken = $seats->()->{used};
    my $paid = 1 + int $taken / 2;
    my $invite = sub {
        return $s->request(POST => 'invitations', as => 'alice', json => {
            email => "$_[0]\@seats.test", role => 'member' });
    };
    my $r = $invite->('none');
    status_is $r, 402, "$taken people take more";
    is $r->json->{code}, 'plan_limit', 'which is said';

    my $pay = sub {
        my ($quantity) = @_;
        my $items = $stripe->object($sub->{id})->{items};
        $items->{data}[0]{quantity} = $quantity;
        $stripe->change($sub->{id}, quantity => $quantity, items => $items);
        return $hear->(2 * $quantity);
    };
    ok $pay->($paid), "$paid have twice as many";
    my $left = 2 * $paid - $taken;
    for my $n (1 .. $left) {
        ok $s->wait_until(2, sub { $invite->("some$n")->{status} == 201 }),
            "$n of $left more";
    }
    status_is $invite->('more'), 402, 'and no more';
    ok $pay->($paid + 1), 'until more is paid';
    ok $s->wait_until(2, sub { $invite->('more')->{status} == 201 }),
        'then more, within a second';
    my ($plan) = grep { $_->{name} eq 'pro' } @{ $s->request(
        GET => 'billing/plans', as => 'alice')->json->{data} };
    my ($l) = grep { $_->{name} eq 'seats' } @{ $plan->{limits} };
    is_deeply [@$l{qw(hard per_quantity)}], [2, JSON::PP::true],
        'the plan says what one has';
    $s->psql("delete from tenon.subscription where tenant_id = '$acme'");
};

subtest 'who is gone' => sub {
    $s->psql("delete from tenon.billing_session");
    my $globex = $s->psql("select tenant_id from tenon.tenant
                            where slug = 'globex'");
    my $theirs = $s->psql("select external_id from tenon.billing_customer
                             where tenant_id = '$globex'");
    my $page = outcome($s->request(
        POST => 'billing/checkout-sessions', as => 'dave',
        json => { plan => 'pro', map { $_ => 'https://globex.tenon.localhost/' }
                  qw(success_url cancel_url) }), as => 'dave');
    my ($open) = $page->{url} =~ m{(cs_test_\w+)#};
    my $sub = $stripe->subscribe(customer => $theirs,
                                 price => 'teamos_pro_monthly');
    $s->stripe($stripe->event('customer.subscription.created', $sub));
    $s->wait_until(10, sub {
        $s->psql("select count(*) from tenon.subscription
                   where external_id = '$sub->{id}'") == 1;
    });
    asked();
    $stripe->fail('POST /v1/subscriptions/', status => 500);
    $s->psql("begin; select set_config('tenon.tenant', '$globex', true);
              update tenon.tenant set deleted_at = now()
               where tenant_id = '$globex'; commit");
    $s->wait_until(20, sub {
        hurry();
        $s->psql("select status from tenon.job
                   where kind = 'stripe.cancel'") eq 'done';
    });
    is $s->psql("select status from tenon.job where kind = 'stripe.cancel'"),
        'done', 'has its subscriptions canceled';
    ok $stripe->object($sub->{id})->{cancel_at_period_end},
        'with what is paid for';
    is $stripe->object($open)->{status}, 'expired', 'and can\'t subscribe';
    my @asked = grep { $_->{path} =~ /subscriptions/ } $stripe->requests;
    is_deeply [map { $_->{key} } @asked], [("tenon-cancel-$sub->{id}") x 2],
        'once';
};

is_deeply [$s->alarms], [], 'nothing is alarming';

done_testing;
