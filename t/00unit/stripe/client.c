/*
 * client.c: what a call of Stripe's API is as a request, and what each answer
 * makes of the attempt.
 */

#include "t/00unit/unit.h"
#include "libcore/stripe/stripe.h"

#define TENANT "00000000-0000-7000-8000-000000000002"
#define JOB    "0192aaaa-0000-7000-8000-000000000001"

static const unsigned char entropy[32] = { 1, 2, 3 };

static const tn_work_conf conf = { .stripe_api = TN_STR_C("http://stand.in"),
                                   .stripe_key = TN_STR_C("sk_test_1") };

typedef struct play {
    unit_arena arena;
    tn_work *work;
    const tn_want *want;
} play;

/* What the step below asks, and what it heard. */
static const tn__stripe_call *asked;
static int may_miss;
static int missing;
static const cJSON *heard;


static void
ask(tn_work *work, const tn_input *input)
{
    if (work->state++ == 0) {
        tn__stripe_ask(work, asked);
        return;
    }

    heard = tn__stripe_answer(work, input, may_miss ? &missing : NULL);

    if (heard || missing) {
        tn__work_done(work);
    }
}


static void
begin(play *p, const tn_work_conf *c, unsigned fail_at)
{
    tn_str cells[] = { TN_STR(TENANT), TN_STR(JOB), TN_STR("purge"),
                       TN_STR("7"),    TN_STR("1"), TN_STR("{}") };
    tn_rows rows = { 1, 6, cells };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = &rows, .n = 1 };

    static const tn__work_kind kind = { .kind = TN_STR_C("ask"),
                                        .step = ask,
                                        .attempts = 3 };

    heard = NULL;
    missing = 0;
    unit_arena_init(&p->arena, 0);
    assert_int_equal(tn_work_new(&p->work, &reply, 0, c, 1790000000000000,
                                 entropy, &p->arena.mem),
                     TN_OK);
    p->arena.fail_at = fail_at ? p->arena.calls + fail_at : 0;
    p->work->kind = &kind;
    p->want = tn_work_step(p->work, NULL);
}


static const tn__stripe_param params[] = {
    { TN_STR_C("customer"), TN_STR_C("cus_1") },
    { TN_STR_C("name"), TN_STR_C("M\xc3\xbcller & Co=1") },
    { TN_STR_C("left_out"), { NULL, 0 } },
    { TN_STR_C("line_items[0][quantity]"), TN_STR_C("3") },
};

static const tn__stripe_call post = { .method = TN_STR_C("POST"),
                                      .path = TN_STR_C("/v1/things"),
                                      .params = params,
                                      .nparams = 4,
                                      .key = TN_STR_C("thing-1") };

static const tn__stripe_call get = { .method = TN_STR_C("GET"),
                                     .path = TN_STR_C("/v1/things"),
                                     .id = TN_STR_C("a/../b?c") };


static tn_str
sent(const play *p, const char *name)
{
    unsigned i;

    for (i = 0; i < p->want->http->nheaders; i++) {
        if (tn__eqi(p->want->http->headers[i].name,
                    (tn_str){ name, strlen(name) })) {
            return p->want->http->headers[i].value;
        }
    }

    return TN_NULL;
}


static void
test_post(void **state)
{
    play p;

    (void) state;
    asked = &post;
    begin(&p, &conf, 0);
    assert_int_equal(p.want->kind, TN_WANT_HTTP);
    unit_assert_str(p.want->http->method, "POST");
    unit_assert_str(p.want->http->url, "http://stand.in/v1/things");
    unit_assert_str(sent(&p, "Authorization"), "Bearer sk_test_1");
    unit_assert_str(sent(&p, "Stripe-Version"), TN__STRIPE_VERSION);
    unit_assert_str(sent(&p, "Idempotency-Key"), "thing-1");
    unit_assert_str(sent(&p, "Content-Type"),
                    "application/x-www-form-urlencoded");
    unit_assert_str(p.want->http->body,
                    "customer=cus_1&name=M%C3%BCller%20%26%20Co%3D1"
                    "&line_items%5B0%5D%5Bquantity%5D=3");
    unit_arena_free(&p.arena);
}


static void
test_get(void **state)
{
    play p;

    static const tn__stripe_call list = { .method = TN_STR_C("GET"),
                                          .path = TN_STR_C("/v1/prices"),
                                          .params = params,
                                          .nparams = 1 };

    (void) state;
    asked = &get;
    begin(&p, &conf, 0);
    unit_assert_str(p.want->http->url,
                    "http://stand.in/v1/things/a%2F..%2Fb%3Fc");
    assert_null(p.want->http->body.p);
    assert_null(sent(&p, "Idempotency-Key").p);
    unit_arena_free(&p.arena);

    asked = &list;
    begin(&p, &conf, 0);
    unit_assert_str(p.want->http->url,
                    "http://stand.in/v1/prices?customer=cus_1");
    unit_arena_free(&p.arena);
}


static void
answer(play *p, const tn_http_answer *a)
{
    tn_input input = { .http = a };
    tn_str auth;
    size_t i;

    asked = &get;
    begin(p, &conf, 0);
    auth = sent(p, "Authorization");
    p->want = tn_work_step(p->work, &input);

    for (i = 0; i < auth.n; i++) {
        assert_int_equal(auth.p[i], 0);
    }
}


/* How the attempt is going to end, once its batch is done. */
static void
ends(play *p, tn_work_end end, const char *error, int64_t min_ms)
{
    const tn_work_tale *tale = tn_work_told(p->work);

    assert_int_equal(p->want->kind, TN_WANT_DB);
    assert_int_equal(p->work->ending, end);

    if (error) {
        unit_assert_str(tale->error, error);
    }

    if (end == TN_WORK_AGAIN) {
        assert_true(tale->delay_ms >= min_ms);
    }

    unit_arena_free(&p->arena);
}


#define REFUSAL                                                \
    "{\"error\":{\"type\":\"invalid_request_error\",\"code\":" \
    "\"resource_missing\",\"param\":\"line_items[0][price]\"," \
    "\"message\":\"No such price: 'sk_live_oops'\"}}"


static void
test_answers(void **state)
{
    play p;
    unsigned i;

    static const tn_header request_id = { TN_STR_C("Request-Id"),
                                          TN_STR_C("req_1") };
    static const tn_header strange_id = { TN_STR_C("request-id"),
                                          TN_STR_C("a b\"c") };
    static const tn_header after = { TN_STR_C("retry-after"), TN_STR_C("99") };
    static const tn_header long_after = { TN_STR_C("Retry-After"),
                                          TN_STR_C("99999999") };
    static const tn_header dont = { TN_STR_C("Stripe-Should-Retry"),
                                    TN_STR_C("false") };
    static const tn_header doo = { TN_STR_C("Stripe-Should-Retry"),
                                   TN_STR_C("true") };

    static const struct {
        unsigned status;
        const tn_header *header;
        const char *body;
        tn_work_end end;
        const char *error;
        int64_t min_ms;
    } rows[] = {
        { 400, &request_id, REFUSAL, TN_WORK_DEAD,
          "Stripe answered 400: invalid_request_error, code "
          "resource_missing, param line_items[0][price], request req_1",
          0 },
        { 404, NULL, REFUSAL, TN_WORK_DEAD, NULL, 0 },
        { 402, &strange_id, "<html>", TN_WORK_DEAD, "Stripe answered 402", 0 },
        { 302, NULL, "", TN_WORK_DEAD, "Stripe answered 302", 0 },
        { 400, &doo, "{}", TN_WORK_AGAIN, NULL, 0 },
        { 401, NULL, "{}", TN_WORK_AGAIN, "Stripe answered 401", 60000 },
        { 403, NULL, "{}", TN_WORK_AGAIN, "Stripe answered 403", 60000 },
        { 409, NULL, "{}", TN_WORK_AGAIN, "Stripe answered 409", 0 },
        { 409, &dont, "{}", TN_WORK_DEAD, NULL, 0 },
        { 429, &after, "{}", TN_WORK_AGAIN, NULL, 99000 },
        { 429, &long_after, "{}", TN_WORK_AGAIN, NULL, 3600000 },
        { 429, &dont, "{}", TN_WORK_AGAIN, NULL, 0 },
        { 500, NULL, "", TN_WORK_AGAIN, "Stripe answered 500", 0 },
        { 503, &after, "x", TN_WORK_AGAIN, NULL, 99000 },
        { 200, NULL, "{", TN_WORK_AGAIN, "Stripe's answer is no JSON object",
          0 },
        { 200, NULL, "[]", TN_WORK_AGAIN, "Stripe's answer is no JSON object",
          0 },
        { 200, NULL, "{\"id\":1,\"id\":2}", TN_WORK_AGAIN, NULL, 0 },
        { 0, NULL, "", TN_WORK_AGAIN, "the request can't be made", 0 },
        { 200, NULL, "{}", TN_WORK_DONE, NULL, 0 },
        { 201, NULL, "{}", TN_WORK_DONE, NULL, 0 },
    };

    (void) state;
    may_miss = 0;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        answer(&p, &(tn_http_answer){
                       .status = rows[i].status,
                       .headers = rows[i].header,
                       .nheaders = rows[i].header != NULL,
                       .body = { rows[i].body, strlen(rows[i].body) } });
        ends(&p, rows[i].end, rows[i].error, rows[i].min_ms);
        assert_int_equal(heard != NULL, rows[i].end == TN_WORK_DONE);
    }
}


/* Where a step can go on without the object, it is told; but of no other 404. */
static void
test_missing(void **state)
{
    play p;

    (void) state;
    may_miss = 1;
    answer(&p, &(tn_http_answer){ .status = 404, .body = TN_STR(REFUSAL) });
    assert_true(missing);
    assert_null(heard);
    ends(&p, TN_WORK_DONE, NULL, 0);

    answer(&p, &(tn_http_answer){ .status = 404, .body = TN_STR("{}") });
    assert_false(missing);
    ends(&p, TN_WORK_DEAD, "Stripe answered 404", 0);
    may_miss = 0;
}


static void
test_no_key(void **state)
{
    play p;

    static const tn_work_conf keyless = { .stripe_api =
                                              TN_STR_C("http://stand.in") };

    (void) state;
    asked = &get;
    begin(&p, &keyless, 0);
    ends(&p, TN_WORK_AGAIN,
         "Stripe can't be asked: tenond is told no stripe_key", 60000);
    begin(&p, NULL, 0);
    ends(&p, TN_WORK_AGAIN, NULL, 60000);
}


static void
test_no_memory(void **state)
{
    play p;
    unsigned i;
    tn_want_kind kind = TN_WANT_NONE;

    (void) state;
    asked = &post;

    for (i = 1; kind != TN_WANT_HTTP && i < 100; i++) {
        begin(&p, &conf, i);
        kind = p.want->kind;
        assert_true(kind == TN_WANT_HTTP || kind == TN_WANT_DB ||
                    tn_work_told(p.work)->end == TN_WORK_LOST);
        unit_arena_free(&p.arena);
    }

    assert_true(i > 4);
    assert_int_equal(kind, TN_WANT_HTTP);
}


static void
test_objects(void **state)
{
    int64_t n = -1;
    cJSON *o;
    unit_arena arena;
    tn__json_fault fault;

    static const char text[] =
        "{\"id\":\"sub_1\",\"customer\":{\"id\":\"cus_1\"},\"n\":1797955200,"
        "\"half\":1.5,\"big\":1e300,\"yes\":true,\"null\":null,"
        "\"items\":{\"object\":\"list\",\"data\":[{\"id\":\"si_1\"}]}}";

    (void) state;
    unit_arena_init(&arena, 0);
    assert_int_equal(tn__json_parse(&o, (tn_str){ text, sizeof(text) - 1 },
                                    &fault, &arena.mem),
                     TN_OK);

    unit_assert_str(tn__stripe_text(o, "id"), "sub_1");
    unit_assert_str(tn__stripe_ref(o, "id"), "sub_1");
    unit_assert_str(tn__stripe_ref(o, "customer"), "cus_1");
    assert_null(tn__stripe_text(o, "customer").p);
    assert_null(tn__stripe_text(o, "null").p);
    assert_null(tn__stripe_ref(o, "none").p);
    assert_null(tn__stripe_text(NULL, "id").p);

    assert_true(tn__stripe_int(&n, o, "n"));
    assert_true(n == 1797955200);
    assert_false(tn__stripe_int(&n, o, "half"));
    assert_false(tn__stripe_int(&n, o, "big"));
    assert_false(tn__stripe_int(&n, o, "null"));
    assert_true(tn__stripe_true(o, "yes"));
    assert_false(tn__stripe_true(o, "n"));

    unit_assert_str(
        tn__stripe_text(tn__stripe_item(tn__stripe_member(o, "items"), 0),
                        "id"),
        "si_1");
    assert_null(tn__stripe_item(tn__stripe_member(o, "items"), 1));
    assert_null(tn__stripe_item(NULL, 0));
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_post), cmocka_unit_test(test_get),
          cmocka_unit_test(test_answers), cmocka_unit_test(test_missing),
          cmocka_unit_test(test_no_key), cmocka_unit_test(test_no_memory),
          cmocka_unit_test(test_objects))
