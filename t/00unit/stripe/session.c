/*
 * session.c: a page of Stripe's is made, played with literal answers: what is
 * asked in which order, and where it ends.
 */

#include "t/00unit/unit.h"
#include "libcore/stripe/stripe.h"
#include "gen/queries.h"

#define TENANT "0192aaaa-0000-7000-8000-00000000000a"
#define JOB    "0192aaaa-0000-7000-8000-000000000001"

static const unsigned char entropy[32] = { 1, 2, 3 };

static const tn_work_conf conf = { .stripe_api = TN_STR_C("http://stand.in"),
                                   .stripe_key = TN_STR_C("sk_test_1") };

typedef struct play {
    unit_arena arena;
    tn_work *work;
    const tn_want *want;
} play;

/* What session_asked answers. */
typedef struct asked {
    const char *cells[12];
} asked;

static const asked a_checkout = {
    { "checkout", "pro", "3", "https://a.test/ok", "https://a.test/no", NULL,
      NULL, "Acme", "4", "price_old\npro_monthly\npro_yearly", NULL, NULL }
};
static const asked a_portal = { { "portal", NULL, NULL, NULL, NULL,
                                  "https://a.test/back", "cus_1", "Acme", "4",
                                  NULL, NULL, NULL } };


static tn_err
begin(play *p, const char *kind, size_t fail_at)
{
    tn_str cells[] = { TN_STR(TENANT), TN_STR(JOB), { kind, strlen(kind) },
                       TN_STR("7"),    TN_STR("1"), TN_STR("{}") };
    tn_rows rows = { 1, 6, cells };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = &rows, .n = 1 };

    unit_arena_init(&p->arena, fail_at);

    if (tn_work_new(&p->work, &reply, 0, &conf, 1790000000000000, entropy,
                    &p->arena.mem) != TN_OK) {
        return TN_E_NOMEM;
    }

    p->want = tn_work_step(p->work, NULL);

    return TN_OK;
}


/* The batch was done; its own statement answered this row, or none. */
static void
rows_came(play *p, const char *const *cells, unsigned n)
{
    unsigned i;
    tn_str row[16];
    tn_rows rows[TN__WORK_QUERIES_MAX] = { { 0, 0, NULL } };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = rows };
    tn_input input = { .reply = &reply };

    if (p->want->kind != TN_WANT_DB) {
        return;
    }

    for (i = 0; i < n; i++) {
        row[i] = cells[i] ? unit_str(cells[i]) : TN_NULL;
    }

    reply.n = p->want->batch->n;
    rows[1] = (tn_rows){ n ? 1 : 0, n, row };
    p->want = tn_work_step(p->work, &input);
}


static void
stripe_says(play *p, const char *body)
{
    tn_http_answer answer = { .status = 200, .body = unit_str(body) };
    tn_input input = { .http = &answer };

    if (p->want->kind == TN_WANT_HTTP) {
        p->want = tn_work_step(p->work, &input);
    }
}


static void
asks(const play *p, const char *method, const char *path, const char *body)
{
    char url[256];

    assert_int_equal(p->want->kind, TN_WANT_HTTP);
    unit_assert_str(p->want->http->method, method);
    snprintf(url, sizeof(url), "http://stand.in%s", path);
    unit_assert_str(p->want->http->url, url);

    if (body) {
        unit_assert_str(p->want->http->body, body);
    }
}


static void
has_key(const play *p, const char *key)
{
    unsigned i;

    for (i = 0; i < p->want->http->nheaders; i++) {
        if (tn__eq(p->want->http->headers[i].name, TN_STR("Idempotency-Key"))) {
            unit_assert_str(p->want->http->headers[i].value, key);
            return;
        }
    }

    fail_msg("no Idempotency-Key");
}


static void
does(const play *p, const tn__bound *bound)
{
    assert_int_equal(p->want->kind, TN_WANT_DB);
    assert_true(p->want->batch->n >= 2);
    assert_ptr_equal(p->want->batch->queries[1].stmt, &bound->stmt);
}


/* The value of a parameter of the batch's second statement. */
static tn_str
bound(const play *p, const tn__bound *b, const char *name)
{
    unsigned i;

    for (i = 0; i < b->stmt.nparams; i++) {
        if (tn__eq(b->binds[i].name, unit_str(name))) {
            return p->want->batch->queries[1].params[i];
        }
    }

    fail_msg("no parameter %s", name);
    return TN_NULL;
}


static void
ends(play *p, tn_work_end end, const char *error)
{
    assert_int_equal(p->want->kind, TN_WANT_DB);
    assert_int_equal(p->work->ending, end);

    if (error) {
        unit_assert_str(tn_work_told(p->work)->error, error);
    }

    unit_arena_free(&p->arena);
}


/* What session_ready answers. */
static const char *const ready[] = { "t", NULL, NULL };
static const char *const live[] = { NULL, "t", NULL };
static const char *const other[] = { NULL, NULL, "cs_0" };


#define PRICES                                                           \
    "{\"object\":\"list\",\"data\":[{\"id\":\"price_y\",\"lookup_key\":" \
    "\"pro_yearly\"},{\"id\":\"price_m\",\"lookup_key\":"                \
    "\"pro_monthly\"}]}"
#define PAGE                                                               \
    "{\"id\":\"cs_1\",\"url\":\"https://checkout.stripe.com/c/pay/cs_1\"," \
    "\"expires_at\":1790086400}"


static void
test_checkout(void **state)
{
    play p;

    (void) state;
    assert_int_equal(begin(&p, "stripe.checkout", 0), TN_OK);
    does(&p, &tn__q_session_asked);
    rows_came(&p, a_checkout.cells, 12);

    asks(&p, "POST", "/v1/customers",
         "name=Acme&metadata%5Btenant_id%5D=" TENANT);
    has_key(&p, "tenon-customer-" TENANT "-4");
    stripe_says(&p, "{\"id\":\"cus_9\"}");

    does(&p, &tn__q_customer_store);
    unit_assert_str(bound(&p, &tn__q_customer_store, "customer"), "cus_9");
    rows_came(&p, (const char *const[]){ "cus_7" }, 1); /* another was first */

    asks(&p, "GET",
         "/v1/prices?lookup_keys%5B%5D=pro_monthly"
         "&lookup_keys%5B%5D=pro_yearly&active=true",
         NULL);
    stripe_says(&p, PRICES);

    asks(&p, "POST", "/v1/checkout/sessions",
         "mode=subscription&customer=cus_7&client_reference_id=" TENANT
         "&line_items%5B0%5D%5Bprice%5D=price_m"
         "&line_items%5B0%5D%5Bquantity%5D=3"
         "&success_url=https%3A%2F%2Fa.test%2Fok"
         "&cancel_url=https%3A%2F%2Fa.test%2Fno"
         "&metadata%5Btenant_id%5D=" TENANT
         "&metadata%5Bbilling_session%5D=" JOB
         "&subscription_data%5Bmetadata%5D%5Btenant_id%5D=" TENANT);
    has_key(&p, "tenon-checkout-" JOB);
    stripe_says(&p, PAGE);

    does(&p, &tn__q_session_ready);
    unit_assert_str(bound(&p, &tn__q_session_ready, "external_id"), "cs_1");
    unit_assert_str(bound(&p, &tn__q_session_ready, "url"),
                    "https://checkout.stripe.com/c/pay/cs_1");
    unit_assert_str(bound(&p, &tn__q_session_ready, "expires"), "1790086400");
    rows_came(&p, ready, 3);
    ends(&p, TN_WORK_DONE, NULL);
}


static void
test_portal(void **state)
{
    play p;

    (void) state;
    assert_int_equal(begin(&p, "stripe.portal", 0), TN_OK);
    rows_came(&p, a_portal.cells, 12);
    asks(&p, "POST", "/v1/billing_portal/sessions",
         "customer=cus_1&return_url=https%3A%2F%2Fa.test%2Fback");
    has_key(&p, "tenon-portal-" JOB);
    stripe_says(&p, "{\"id\":\"bps_1\",\"url\":\"https://billing.stripe.com/"
                    "p/session/1\",\"created\":1790000000}");
    does(&p, &tn__q_session_ready);
    unit_assert_str(bound(&p, &tn__q_session_ready, "expires"), "1790000300");
    rows_came(&p, ready, 3);
    ends(&p, TN_WORK_DONE, NULL);
}


/* A plan that can be tried is, by who never subscribed. */
static void
test_trial(void **state)
{
    play p;
    asked a = a_checkout;

    (void) state;
    a.cells[6] = "cus_1";
    a.cells[9] = "price_1";
    a.cells[10] = "14";
    assert_int_equal(begin(&p, "stripe.checkout", 0), TN_OK);
    rows_came(&p, a.cells, 12);
    assert_int_equal(p.want->kind, TN_WANT_HTTP);
    assert_non_null(memmem(p.want->http->body.p, p.want->http->body.n,
                           "trial_period_days%5D=14", 23));
    unit_arena_free(&p.arena);
}


/* Who has subscribed meanwhile needs no page. */
static void
test_subscribed(void **state)
{
    play p;
    asked a = a_checkout;
    static const char why[] =
        "there is a subscription already: it is changed in the portal";

    (void) state;
    a.cells[11] = "t";
    assert_int_equal(begin(&p, "stripe.checkout", 0), TN_OK);
    rows_came(&p, a.cells, 12);
    ends(&p, TN_WORK_DEAD, why);

    a.cells[6] = "cus_1";
    a.cells[9] = "price_1";
    a.cells[11] = NULL;
    assert_int_equal(begin(&p, "stripe.checkout", 0), TN_OK);
    rows_came(&p, a.cells, 12);
    stripe_says(&p, PAGE);
    rows_came(&p, live, 3);
    ends(&p, TN_WORK_DEAD, why);
}


/* A page was made, and another one is open. */
static void
with_other(play *p)
{
    asked a = a_checkout;

    a.cells[6] = "cus_1";
    a.cells[9] = "price_1";
    assert_int_equal(begin(p, "stripe.checkout", 0), TN_OK);
    rows_came(p, a.cells, 12);
    stripe_says(p, PAGE);
    rows_came(p, other, 3);
    asks(p, "POST", "/v1/checkout/sessions/cs_0/expire", "");
    has_key(p, "tenon-expire-cs_0");
}


/* What is told of it, and how far the new one is: two results of a batch. */
static void
closed(play *p, int known, const char *const *how)
{
    unsigned i;
    tn_str one = TN_STR("1"), row[3];
    tn_rows rows[4] = { { 0, 0, NULL } };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = rows, .n = 3 };
    tn_input input = { .reply = &reply };

    does(p, &tn__q_session_over);
    assert_int_equal(p->want->batch->n, 3);
    assert_ptr_equal(p->want->batch->queries[2].stmt,
                     &tn__q_session_ready.stmt);

    for (i = 0; i < 3; i++) {
        row[i] = how[i] ? unit_str(how[i]) : TN_NULL;
    }

    rows[1] = (tn_rows){ known ? 1 : 0, 1, &one };
    rows[2] = (tn_rows){ 1, 3, row };
    p->want = tn_work_step(p->work, &input);
}


static void
stripe_refuses(play *p, unsigned status, const char *body)
{
    tn_http_answer answer = { .status = status, .body = unit_str(body) };
    tn_input input = { .http = &answer };

    assert_int_equal(p->want->kind, TN_WANT_HTTP);
    p->want = tn_work_step(p->work, &input);
}


/* One at a time: another is ended before this one's address is told. */
static void
test_other_pages(void **state)
{
    play p;
    unsigned i;

    (void) state;

    /* one after the other */
    with_other(&p);
    stripe_says(&p, "{\"id\":\"cs_0\",\"status\":\"expired\"}");
    unit_assert_str(bound(&p, &tn__q_session_over, "other"), "cs_0");
    assert_null(bound(&p, &tn__q_session_over, "paid_for").p);
    closed(&p, 1, other);
    asks(&p, "POST", "/v1/checkout/sessions/cs_0/expire", "");
    stripe_says(&p, "{\"id\":\"cs_0\",\"status\":\"expired\"}");
    closed(&p, 1, ready);
    ends(&p, TN_WORK_DONE, NULL);

    /* over already, or Stripe has forgotten it */
    with_other(&p);
    stripe_refuses(&p, 400, "{}");
    asks(&p, "GET", "/v1/checkout/sessions/cs_0", NULL);
    stripe_says(&p, "{\"id\":\"cs_0\",\"status\":\"expired\"}");
    closed(&p, 1, ready);
    ends(&p, TN_WORK_DONE, NULL);

    with_other(&p);
    stripe_refuses(&p, 404, "{}");
    stripe_refuses(&p, 404, "{\"error\":{\"code\":\"resource_missing\"}}");
    closed(&p, 1, ready);
    ends(&p, TN_WORK_DONE, NULL);

    /* paid: its subscription is waited for */
    with_other(&p);
    stripe_refuses(&p, 400, "{}");
    stripe_says(&p, "{\"id\":\"cs_0\",\"status\":\"complete\","
                    "\"subscription\":\"sub_1\"}");
    unit_assert_str(bound(&p, &tn__q_session_over, "paid_for"), "sub_1");
    closed(&p, 0, other);
    ends(&p, TN_WORK_AGAIN,
         "another page was paid just now; the subscription isn't known here "
         "yet");

    with_other(&p);
    stripe_refuses(&p, 400, "{}");
    stripe_says(&p, "{\"id\":\"cs_0\",\"status\":\"complete\","
                    "\"subscription\":\"sub_1\"}");
    closed(&p, 1, live);
    ends(&p, TN_WORK_DEAD, NULL);

    /* neither */
    with_other(&p);
    stripe_refuses(&p, 400, "{}");
    stripe_says(&p, "{\"id\":\"cs_0\",\"status\":\"open\"}");
    ends(&p, TN_WORK_AGAIN, "another page can't be ended");
    with_other(&p);
    stripe_refuses(&p, 503, "{}");
    ends(&p, TN_WORK_AGAIN, "Stripe answered 503");

    /* and not for ever */
    with_other(&p);

    for (i = 0; i < 50; i++) {
        stripe_says(&p, "{\"id\":\"cs_0\",\"status\":\"expired\"}");
        closed(&p, 1, other);
    }

    ends(&p, TN_WORK_AGAIN, "it has too many other pages");
}


/* By whichever road somebody has done it before. */
static void
test_nothing_left(void **state)
{
    play p;

    (void) state;
    assert_int_equal(begin(&p, "stripe.checkout", 0), TN_OK);
    rows_came(&p, NULL, 0);
    ends(&p, TN_WORK_DONE, NULL);
}


/* How a checkout goes on that has these prices. */
static void
with_prices(play *p, const char *prices)
{
    asked a = a_checkout;

    a.cells[6] = "cus_1";
    a.cells[9] = prices;
    assert_int_equal(begin(p, "stripe.checkout", 0), TN_OK);
    rows_came(p, a.cells, 12);
}


static void
test_prices(void **state)
{
    play p;

    (void) state;

    /* by its own id, where there is no other way */
    with_prices(&p, "price_1\nprice_2");
    assert_int_equal(p.want->kind, TN_WANT_HTTP);
    assert_non_null(memmem(p.want->http->body.p, p.want->http->body.n,
                           "price%5D=price_1&", 17));
    unit_arena_free(&p.arena);

    /* none any more */
    with_prices(&p, NULL);
    ends(&p, TN_WORK_DEAD, "the plan is no longer sold by Stripe");

    /* at Stripe there is none, or it says what wasn't asked */
    with_prices(&p, "pro");
    stripe_says(&p, "{\"object\":\"list\",\"data\":[]}");
    ends(&p, TN_WORK_DEAD,
         "Stripe has no active price with a lookup_key of the plan's");
    with_prices(&p, "pro");
    stripe_says(&p, PRICES);
    ends(&p, TN_WORK_DEAD, NULL);
}


static void
test_strange_answers(void **state)
{
    unsigned i;
    play p;
    static const char *const pages[] = {
        "{}",
        "{\"id\":\"cs_1\",\"expires_at\":1}",
        "{\"id\":\"cs_1\",\"url\":\"javascript:1\",\"expires_at\":1}",
        "{\"id\":\"cs_1\",\"url\":\"https://c.test\"}",
        "{\"url\":\"https://c.test\",\"expires_at\":1}",
    };

    (void) state;

    for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        with_prices(&p, "price_1");
        stripe_says(&p, pages[i]);
        ends(&p, TN_WORK_AGAIN, "Stripe's session has no address");
    }

    assert_int_equal(begin(&p, "stripe.checkout", 0), TN_OK);
    rows_came(&p, a_checkout.cells, 12);
    stripe_says(&p, "{\"id\":7}");
    ends(&p, TN_WORK_AGAIN, "Stripe's customer has no id");

    assert_int_equal(begin(&p, "stripe.checkout", 0), TN_OK);
    rows_came(&p, a_checkout.cells, 12);
    stripe_says(&p, "{\"id\":\"cus_9\"}");
    rows_came(&p, NULL, 0);
    ends(&p, TN_WORK_AGAIN, "another job made the customer just now");
}


/* What failed at Stripe goes on failing under its key. */
static void
test_stuck(void **state)
{
    play p;
    static const tn_header replayed = { TN_STR_C("idempotent-replayed"),
                                        TN_STR_C("true") };
    tn_http_answer answer = {
        .status = 500, .headers = &replayed, .nheaders = 1, .body = TN_STR("{}")
    };
    tn_input input = { .http = &answer };

    (void) state;
    assert_int_equal(begin(&p, "stripe.checkout", 0), TN_OK);
    rows_came(&p, a_checkout.cells, 12);
    has_key(&p, "tenon-customer-" TENANT "-4");
    p.want = tn_work_step(p.work, &input);
    asks(&p, "POST", "/v1/customers",
         "name=Acme&metadata%5Btenant_id%5D=" TENANT);
    has_key(&p, "tenon-customer-" TENANT "-4-again-7");

    /* and once is enough */
    p.want = tn_work_step(p.work, &input);
    ends(&p, TN_WORK_AGAIN, "Stripe answered 500");

    with_prices(&p, "price_1");
    has_key(&p, "tenon-checkout-" JOB);
    p.want = tn_work_step(p.work, &input);
    has_key(&p, "tenon-checkout-" JOB "-again-7");

    /* a failure of the moment is no such thing */
    answer.nheaders = 0;
    p.want = tn_work_step(p.work, &input);
    ends(&p, TN_WORK_AGAIN, "Stripe answered 500");
    with_prices(&p, "price_1");
    p.want = tn_work_step(p.work, &input);
    ends(&p, TN_WORK_AGAIN, "Stripe answered 500");
}


/* Whatever call for memory fails, the attempt ends, and badly. */
static void
test_no_memory(void **state)
{
    size_t i;
    int done = 0;
    play p;

    (void) state;

    for (i = 1; !done && i < 1000; i++) {
        if (begin(&p, "stripe.checkout", i) == TN_OK) {
            rows_came(&p, a_checkout.cells, 12);
            stripe_says(&p, "{\"id\":\"cus_9\"}");
            rows_came(&p, (const char *const[]){ "cus_9" }, 1);
            stripe_says(&p, PRICES);
            stripe_says(&p, PAGE);
            rows_came(&p, ready, 3);
            done = p.arena.calls < i;
            assert_true(done == (p.work->ending == TN_WORK_DONE) ||
                        tn_work_told(p.work)->end == TN_WORK_LOST);
        }

        unit_arena_free(&p.arena);
    }

    assert_true(done);
    assert_true(i > 20);
}


UNIT_MAIN(cmocka_unit_test(test_checkout), cmocka_unit_test(test_portal),
          cmocka_unit_test(test_trial), cmocka_unit_test(test_subscribed),
          cmocka_unit_test(test_other_pages),
          cmocka_unit_test(test_nothing_left), cmocka_unit_test(test_prices),
          cmocka_unit_test(test_strange_answers), cmocka_unit_test(test_stuck),
          cmocka_unit_test(test_no_memory))
