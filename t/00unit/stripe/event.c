/*
 * event.c: an event of Stripe's, played with literal answers: what it is about
 * is asked for, in the tenant whose it is, and written down as it was answered.
 */

#include "t/00unit/unit.h"
#include "libcore/stripe/stripe.h"
#include "gen/queries.h"

#define PLATFORM "00000000-0000-7000-8000-000000000002"
#define JOB      "0192aaaa-0000-7000-8000-000000000001"
#define ACME     "01900000-000a-7000-8000-000000000001"

/* All that is needed of a subscription; a test says what is another. */
#define HEAD   "\"object\":\"subscription\",\"id\":\"sub_1\","
#define ITEM   "{\"quantity\":3,\"price\":{\"id\":\"price_pro\"}}"
#define ITEMS  "\"items\":{\"object\":\"list\",\"data\":[" ITEM "]},"
#define ACTIVE "\"status\":\"active\","
#define REST   "\"customer\":\"cus_1\",\"created\":1790000000"

static const unsigned char entropy[32] = { 1, 2, 3 };

static const tn_work_conf test_mode = {
    .stripe_api = TN_STR_C("http://stand.in"),
    .stripe_key = TN_STR_C("sk_test_1"),
};

static const tn_work_conf live_mode = {
    .stripe_api = TN_STR_C("http://stand.in"),
    .stripe_key = TN_STR_C("rk_live_1"),
};

typedef struct play {
    unit_arena arena;
    tn_work *work;
    const tn_want *want;
} play;

typedef struct found {
    const char *type;
    const char *livemode;
    const char *object;
    const char *subscription;
    const char *tenant;
} found;

static const found usual = { "customer.subscription.updated", "false", "{}",
                             "sub_1", ACME };


static tn_err
begin(play *p, const tn_work_conf *conf)
{
    tn_err err;
    tn_str cells[] = {
        TN_STR(PLATFORM), TN_STR(JOB), TN_STR("stripe.event"),
        TN_STR("7"),      TN_STR("1"), TN_STR("{\"event\": \"x\"}")
    };
    tn_rows rows = { 1, 6, cells };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = &rows, .n = 1 };

    err = tn_work_new(&p->work, &reply, 0, conf, 1790000000000000, entropy,
                      &p->arena.mem);
    if (err == TN_OK) {
        p->want = tn_work_step(p->work, NULL);
    }

    return err;
}


/* What the two statements answered, behind job_hold's; the memory is gone when
 * the step has been made. */
static void
answer(play *p, tn_rows first, tn_rows second)
{
    unsigned i;
    tn_rows *rows;
    tn_reply reply = { .outcome = TN_DB_OK };
    tn_input input = { .reply = &reply };

    if (p->want->kind != TN_WANT_DB) {
        return;
    }

    reply.n = p->want->batch->n;
    rows = calloc(reply.n, sizeof(tn_rows));
    assert_non_null(rows);

    for (i = 1; i < reply.n; i++) {
        rows[i] = i == 1 ? first : second;
    }

    reply.rows = rows;
    p->want = tn_work_step(p->work, &input);
    free(rows);
}


static tn_str
text(const char *s)
{
    return s ? (tn_str){ s, strlen(s) } : TN_NULL;
}


static void
answer_event(play *p, const found *f)
{
    tn_str cells[] = {
        text(f->type),     TN_STR("evt_1"), TN_STR("2026-09-21 10:13:20+00"),
        text(f->livemode), text(f->object), text(f->subscription),
        TN_STR("cus_1"),   text(f->tenant)
    };

    answer(p, (tn_rows){ 1, 8, cells }, (tn_rows){ 0, 0, NULL });
}


static void
answer_number(play *p)
{
    tn_str number[] = { TN_STR("17"), TN_STR("2026-09-21 10:13:21+00") };
    tn_str prices[] = { TN_STR("price_old"), TN_STR("free"),
                        TN_STR("price_pro"), TN_STR("pro"),
                        TN_STR("by_key"),    TN_STR("team") };

    answer(p, (tn_rows){ 1, 2, number }, (tn_rows){ 3, 2, prices });
}


static void
hear(play *p, unsigned status, const char *body)
{
    tn_http_answer heard = { .status = status, .body = text(body) };
    tn_input input = { .http = &heard };

    if (p->want->kind == TN_WANT_HTTP) {
        p->want = tn_work_step(p->work, &input);
    }
}


static void
wants(const play *p, unsigned n, const tn__bound *const *bounds)
{
    unsigned i;

    assert_int_equal(p->want->kind, TN_WANT_DB);
    assert_int_equal(p->want->batch->n, n);

    for (i = 0; i < n; i++) {
        assert_ptr_equal(p->want->batch->queries[i].stmt, &bounds[i]->stmt);
    }
}

#define WANTS(p, ...)                                         \
    do {                                                      \
        const tn__bound *const bounds[] = { __VA_ARGS__ };    \
        wants(p, sizeof(bounds) / sizeof(bounds[0]), bounds); \
    } while (0)


static tn_str
param(const play *p, unsigned i, const tn__bound *bound, const char *name)
{
    unsigned j;

    for (j = 0; j < bound->stmt.nparams; j++) {
        if (tn__eq(bound->binds[j].name, text(name))) {
            return p->want->batch->queries[i].params[j];
        }
    }

    fail_msg("no parameter %s", name);
    return TN_NULL;
}


static void
open_play(play *p)
{
    unit_arena_init(&p->arena, 0);
    assert_int_equal(begin(p, &test_mode), TN_OK);
}


/* As far as its answer. */
static void
play_event(play *p, const found *f, unsigned status, const char *body)
{
    open_play(p);
    answer_event(p, f);
    answer_number(p);
    assert_int_equal(p->want->kind, TN_WANT_HTTP);
    hear(p, status, body);
}


static void
close_play(play *p)
{
    unit_arena_free(&p->arena);
}


/* It fails, tells why, and in its own tenant. */
static void
fails(play *p, tn_work_end end, const char *why)
{
    assert_int_equal(p->want->kind, TN_WANT_DB);
    assert_int_equal(p->work->ending, end);
    unit_assert_str(tn_work_told(p->work)->error, why);
    assert_null(param(p, 0, &tn__q_job_hold, "acting").p);
    close_play(p);
}


static void
test_is_asked_for_and_kept(void **state)
{
    play p;

    (void) state;
    open_play(&p);
    WANTS(&p, &tn__q_job_hold, &tn__q_stripe_event);
    unit_assert_str(param(&p, 1, &tn__q_stripe_event, "input"),
                    "{\"event\": \"x\"}");
    assert_null(param(&p, 0, &tn__q_job_hold, "acting").p);

    answer_event(&p, &usual);
    WANTS(&p, &tn__q_job_hold, &tn__q_stripe_subscription_ask,
          &tn__q_stripe_prices);
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "acting"), ACME);
    unit_assert_str(
        param(&p, 1, &tn__q_stripe_subscription_ask, "subscription"), "sub_1");
    unit_assert_str(param(&p, 1, &tn__q_stripe_subscription_ask, "received_at"),
                    "2026-09-21 10:13:20+00");
    unit_assert_str(param(&p, 1, &tn__q_stripe_subscription_ask, "final"),
                    "{incomplete_expired,canceled}");

    answer_number(&p);
    assert_int_equal(p.want->kind, TN_WANT_HTTP);
    unit_assert_str(p.want->http->method, "GET");
    unit_assert_str(p.want->http->url, "http://stand.in/v1/subscriptions/sub_1"
                                       "?expand%5B%5D=latest_invoice");

    hear(&p, 200,
         "{" HEAD ITEMS ACTIVE "\"current_period_start\":1790000000,"
         "\"current_period_end\":1792592000,\"cancel_at_period_end\":true,"
         "\"livemode\":false,\"trial_end\":null," REST "}");
    WANTS(&p, &tn__q_job_hold, &tn__q_cause, &tn__q_stripe_customer_keep,
          &tn__q_stripe_subscription_keep, &tn__q_job_done);
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "acting"), ACME);
    unit_assert_str(param(&p, 1, &tn__q_cause, "cause"),
                    "stripe.customer.subscription.updated");
    unit_assert_str(param(&p, 2, &tn__q_stripe_customer_keep, "customer"),
                    "cus_1");
    unit_assert_str(param(&p, 3, &tn__q_stripe_subscription_keep, "asked"),
                    "17");
    unit_assert_str(param(&p, 3, &tn__q_stripe_subscription_keep, "asked_at"),
                    "2026-09-21 10:13:21+00");
    unit_assert_str(param(&p, 3, &tn__q_stripe_subscription_keep, "deaf"),
                    "{incomplete_expired,canceled}");
    unit_assert_str(
        param(&p, 3, &tn__q_stripe_subscription_keep, "said"),
        "{\"plan\":\"pro\",\"price_id\":\"price_pro\","
        "\"customer_id\":\"cus_1\",\"status\":\"active\",\"owes\":false,"
        "\"due\":null,\"trial_end\":null,"
        "\"current_period_start\":1790000000,"
        "\"current_period_end\":1792592000,\"cancel_at_period_end\":true,"
        "\"cancel_at\":null,\"canceled_at\":null,\"ended_at\":null,"
        "\"created\":1790000000,\"livemode\":false,\"quantity\":3}");
    unit_assert_str(param(&p, 4, &tn__q_job_done, "tenant"), PLATFORM);

    answer(&p, (tn_rows){ 0, 0, NULL }, (tn_rows){ 0, 0, NULL });
    assert_int_equal(tn_work_told(p.work)->end, TN_WORK_DONE);
    close_play(&p);
}


static void
test_nothing_to_do(void **state)
{
    play p;
    found f = usual;
    const tn_rows none = { 0, 2, NULL };

    (void) state;

    /* It is gone. */
    open_play(&p);
    answer(&p, (tn_rows){ 0, 8, NULL }, none);
    WANTS(&p, &tn__q_job_hold, &tn__q_job_done);
    close_play(&p);

    /* It is about something else. */
    f.subscription = NULL;
    open_play(&p);
    answer_event(&p, &f);
    WANTS(&p, &tn__q_job_hold, &tn__q_job_done);
    close_play(&p);

    /* It was heard of since, or is over. */
    open_play(&p);
    answer_event(&p, &usual);
    answer(&p, none, none);
    WANTS(&p, &tn__q_job_hold, &tn__q_job_done);
    close_play(&p);

    /* It is nobody's here, and the log says so. */
    f = usual;
    f.tenant = NULL;
    open_play(&p);
    answer_event(&p, &f);
    WANTS(&p, &tn__q_job_hold, &tn__q_stripe_ignored, &tn__q_job_done);
    assert_null(param(&p, 0, &tn__q_job_hold, "acting").p);
    unit_assert_str(param(&p, 1, &tn__q_stripe_ignored, "external_id"),
                    "evt_1");
    close_play(&p);
}


static void
test_modes(void **state)
{
    play p;
    found f = usual;

    (void) state;

    f.livemode = "true";
    open_play(&p);
    answer_event(&p, &f);
    fails(&p, TN_WORK_DEAD,
          "the event is of live mode, and tenond's stripe_key of test mode");

    unit_arena_init(&p.arena, 0);
    assert_int_equal(begin(&p, &live_mode), TN_OK);
    answer_event(&p, &usual);
    fails(&p, TN_WORK_DEAD,
          "the event is of test mode, and tenond's stripe_key of live mode");

    unit_arena_init(&p.arena, 0);
    assert_int_equal(begin(&p, &live_mode), TN_OK);
    answer_event(&p, &f);
    answer_number(&p);
    assert_int_equal(p.want->kind, TN_WANT_HTTP);
    close_play(&p);
}


#define CANT "Stripe's subscription can't be kept: "

static void
test_answers_that_cant_be_kept(void **state)
{
    unsigned i;
    play p;

    static const struct {
        const char *body;
        const char *why;
    } rows[] = {
        { "{}", CANT "it is another kind of object" },
        { "{\"object\":\"customer\"}", CANT "it is another kind of object" },
        { "{\"object\":\"subscription\",\"id\":\"sub_2\"," ITEMS ACTIVE REST
          "}",
          CANT "it has another id than was asked for" },
        { "{" HEAD ITEMS REST "}", CANT "it has no status, or a long one" },
        { "{" HEAD ITEMS
          "\"status\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaa\"," REST "}",
          CANT "it has no status, or a long one" },
        { "{" HEAD ITEMS ACTIVE "\"created\":1}", CANT "it has no customer" },
        { "{" HEAD ACTIVE REST "}", CANT "it has no item with a price" },
        { "{" HEAD ACTIVE "\"items\":{\"data\":[]}," REST "}",
          CANT "it has no item with a price" },
        { "{" HEAD ITEMS ACTIVE "\"customer\":\"cus_1\"}",
          CANT "it doesn't say when it was created" },
        { "{" HEAD ITEMS ACTIVE "\"customer\":\"cus_1\",\"created\":1.5}",
          CANT "it doesn't say when it was created" },
        { "{" HEAD ITEMS "\"status\":\"trialing\"," REST "}",
          CANT "it is trialing and has no trial_end" },
        { "{" HEAD ACTIVE
          "\"items\":{\"data\":[{\"price\":{\"id\":\"price_x\"}}]}," REST "}",
          "no plan goes by price price_x: declare it with tenon.plan_price()" },
        { "{" HEAD ACTIVE "\"items\":{\"data\":[{\"price\":{\"id\":\"price_x\","
          "\"lookup_key\":\"key_x\"}}]}," REST "}",
          "no plan goes by price price_x (lookup_key key_x): declare it with "
          "tenon.plan_price()" },
    };

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        play_event(&p, &usual, 200, rows[i].body);
        fails(&p, TN_WORK_AGAIN, rows[i].why);
    }
}


/* What keep_subscription is told. */
static void
says(const char *body, const char *what)
{
    play p;
    tn_str said;

    play_event(&p, &usual, 200, body);
    WANTS(&p, &tn__q_job_hold, &tn__q_cause, &tn__q_stripe_customer_keep,
          &tn__q_stripe_subscription_keep, &tn__q_job_done);
    said = param(&p, 3, &tn__q_stripe_subscription_keep, "said");

    if (memmem(said.p, said.n, what, strlen(what)) == NULL) {
        fail_msg("%s isn't in %.*s", what, (int) said.n, said.p);
    }

    close_play(&p);
}


#define OWES(more) "{" HEAD ITEMS "\"status\":\"past_due\"," more REST "}"

static void
test_what_is_said(void **state)
{
    (void) state;

    says("{" HEAD ACTIVE "\"items\":{\"data\":[{\"quantity\":9,\"price\":"
         "{\"id\":\"price_x\",\"lookup_key\":\"by_key\"}}]}," REST "}",
         "\"plan\":\"team\",\"price_id\":\"price_x\"");
    says("{" HEAD ACTIVE "\"items\":{\"data\":[{\"quantity\":9,\"price\":"
         "{\"id\":\"price_x\"}}," ITEM "]}," REST "}",
         "\"livemode\":false,\"quantity\":3}");
    says("{" HEAD ACTIVE
         "\"items\":{\"data\":[{\"price\":{\"id\":\"price_pro\"}}]}," REST "}",
         "\"quantity\":1}");
    says("{" HEAD ITEMS ACTIVE "\"customer\":{\"id\":\"cus_2\"},"
         "\"created\":1}",
         "\"customer_id\":\"cus_2\"");
    says("{" HEAD ACTIVE "\"items\":{\"data\":[{\"current_period_end\":5,"
         "\"price\":{\"id\":\"price_pro\"}}]}," REST "}",
         "\"current_period_end\":5,");
    says("{" HEAD ITEMS "\"status\":\"a_new_word\"," REST "}",
         "\"status\":\"a_new_word\",\"owes\":true,\"due\":null");

    /* An end isn't kept from anybody by a price that isn't known. */
    says("{" HEAD "\"items\":{\"data\":[{\"price\":{\"id\":\"price_x\"}}]},"
         "\"status\":\"canceled\",\"ended_at\":9," REST "}",
         "{\"plan\":null,\"price_id\":\"price_x\"");

    says(OWES(""), "\"owes\":true,\"due\":null");
    says(OWES("\"latest_invoice\":\"in_1\","), "\"due\":null");
    says(OWES("\"latest_invoice\":{\"status\":\"paid\",\"created\":7},"),
         "\"due\":null");
    says(OWES("\"latest_invoice\":{\"status\":\"open\",\"created\":7},"),
         "\"due\":7,");
    says(OWES("\"latest_invoice\":{\"status\":\"open\",\"created\":7,"
              "\"status_transitions\":{\"finalized_at\":8}},"),
         "\"due\":8,");
    says("{" HEAD ITEMS "\"status\":\"paused\",\"trial_end\":6," REST "}",
         "\"owes\":true,\"due\":6,");
}


/* What is late changes nothing where there was more already. */
static void
test_deaf(void **state)
{
    play p;

    (void) state;
    play_event(&p, &usual, 200,
               "{" HEAD ITEMS "\"status\":\"incomplete\"," REST "}");
    unit_assert_str(param(&p, 3, &tn__q_stripe_subscription_keep, "deaf"),
                    "{incomplete_expired,trialing,active,past_due,unpaid,"
                    "paused,canceled}");
    close_play(&p);
}


#define MISSING                                                \
    "{\"error\":{\"type\":\"invalid_request_error\",\"code\":" \
    "\"resource_missing\"}}"

static void
test_missing(void **state)
{
    play p;
    found f = usual;

    (void) state;

    play_event(&p, &f, 404, MISSING);
    fails(&p, TN_WORK_AGAIN,
          "Stripe knows no such subscription: is tenond's stripe_key of the "
          "account that sends the events?");

    f.type = "customer.subscription.deleted";
    f.object = "{" HEAD ITEMS "\"status\":\"canceled\"," REST "}";
    play_event(&p, &f, 404, MISSING);
    WANTS(&p, &tn__q_job_hold, &tn__q_cause, &tn__q_stripe_customer_keep,
          &tn__q_stripe_subscription_keep, &tn__q_job_done);
    close_play(&p);

    f.object = "{\"object\":\"sub";
    play_event(&p, &f, 404, MISSING);
    fails(&p, TN_WORK_AGAIN, "the event can't be read");
}


/* Without memory it is lost, or fails; nothing worse. */
static void
test_memory(void **state)
{
    int done = 0;
    play p;
    found f = usual;

    (void) state;
    f.type = "customer.subscription.deleted";
    f.object = "{" HEAD ITEMS "\"status\":\"canceled\"," REST "}";

    UNIT_EACH_FAILURE(p.arena)
    {
        if (begin(&p, &test_mode) != TN_OK) {
            continue;
        }

        answer_event(&p, &f);
        answer_number(&p);
        hear(&p, 404, MISSING);
        answer(&p, (tn_rows){ 0, 0, NULL }, (tn_rows){ 0, 0, NULL });
        assert_int_equal(p.want->kind, TN_WANT_NONE);

        if (tn_work_told(p.work)->end == TN_WORK_DONE) {
            done = 1;
            break;
        }

        assert_true(tn_work_told(p.work)->end == TN_WORK_LOST ||
                    tn_work_told(p.work)->end == TN_WORK_AGAIN);
    }

    assert_true(done);
    unit_arena_free(&p.arena);
}


UNIT_MAIN(cmocka_unit_test(test_is_asked_for_and_kept),
          cmocka_unit_test(test_nothing_to_do), cmocka_unit_test(test_modes),
          cmocka_unit_test(test_answers_that_cant_be_kept),
          cmocka_unit_test(test_what_is_said), cmocka_unit_test(test_deaf),
          cmocka_unit_test(test_missing), cmocka_unit_test(test_memory))
