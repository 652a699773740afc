/*
 * The life of an op: which check comes before which, what is wished in which
 * order, and that what is finished stays finished.
 */

#include "libcore/http/http.h"
#include "t/00unit/host.h"


static void
test_before_the_catalogue(void **state)
{
    host h;

    (void) state;
    host_init_bare(&h);
    assert_false(tn_core_ready(h.core));
    SEND0(&h, R(.path = "/live", .host = ""));
    host_assert(&h, 200, "{\"status\":\"live\"}");
    assert_string_equal(h.trace, "A");
    SEND0(&h, R(.path = "/v1/tasks"));
    host_problem(&h, 503, "unavailable");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1");
    host_adopt(&h);
    assert_true(tn_core_ready(h.core));
    SEND0(&h, R(.path = "/v1/tasks"));
    host_problem(&h, 401, "unauthenticated");
    host_free(&h);
}


static void
test_ready(void **state)
{
    host h;

    (void) state;
    host_init_bare(&h);
    SEND(&h, R(.path = "/ready"), { ROWS(1, TEAMOS_SCHEMA) });
    host_assert(&h, 200, "{\"status\":\"ready\"}");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");
    SEND(&h, R(.path = "/ready"), { ROWS(1, "1") });
    host_problem(&h, 503, "unavailable");
    assert_true(host_has(tn_op_facts(h.op)->log, "migrate"));
    SEND(&h, R(.path = "/ready"), { .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    host_free(&h);
}


/* 404 and 405, tenant, token, role, body, database: each request here breaks
 * everything behind the check that answers. */
static void
test_order_of_checks(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.method = "PUT", .path = "/v1/tasks/" TASK,
                .host = "nobody.tenon.localhost", .token = "x", .body = "{"));
    host_problem(&h, 405, "method_not_allowed");
    assert_string_equal(h.trace, "");
    SEND0(&h, R(.method = "POST", .path = "/v1/projects",
                .host = "nobody.tenon.localhost", .token = "x", .body = "{"));
    host_problem(&h, 404, "tenant_unknown");
    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .token = "x",
                .body = "{"));
    host_problem(&h, 401, "unauthenticated");
    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .token = h.guest,
                .body = "{", .type = "text/plain"));
    host_problem(&h, 403, "forbidden");
    assert_string_equal(h.trace + strlen(h.trace) - 3, "AZr");
    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .token = h.member,
                .body = "{", .type = "text/plain"));
    host_problem(&h, 415, "unsupported_media_type");
    assert_null(strchr(h.trace, 'B'));
    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .token = h.member,
                .body = "{", .body_length = 4097));
    host_problem(&h, 413, "too_large");
    assert_null(strchr(h.trace, 'B'));
    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .token = h.member,
                .body = "{", .body_length = UINT64_MAX, .too_large = 1));
    host_problem(&h, 413, "too_large");
    assert_non_null(strchr(h.trace, 'B'));
    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .token = h.member,
                .body = "{", .body_length = 4096));
    host_problem(&h, 400, "malformed_json");
    host_free(&h);
}


static void
test_finished_stays_finished(void **state)
{
    unsigned i;
    host h;
    tn_input input;
    tn_reply reply;
    const tn_response *r;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/tasks/" TASK, .token = h.owner), { NO_ROWS(12) });
    host_problem(&h, 404, "not_found");
    r = tn_op_response(h.op);

    memset(&input, 0, sizeof(input));
    memset(&reply, 0, sizeof(reply));
    input.reply = &reply;
    input.failed = TN_E_BUSY;

    for (i = 0; i < 5; i++) {
        assert_int_equal(tn_op_step(h.op, i % 2 ? &input : NULL)->kind,
                         TN_WANT_NONE);
        assert_ptr_equal(tn_op_response(h.op), r);
        assert_int_equal(tn_op_response(h.op)->status, 404);
    }

    host_free(&h);
}


/* A host that can't do what is wished says why, and that is the answer. */
static void
test_host_failures(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/tasks/" TASK, .token = h.owner), { NO_ROWS(12) });
    SEND0(&h, R(.method = "POST", .path = "/v1/tasks", .token = h.owner,
                .body = "{}", .too_large = 1));
    host_problem(&h, 413, "too_large");
    assert_int_equal(tn_op_facts(h.op)->error, TN_E_TOO_LARGE);
    host_free(&h);
}


static void
test_request_ids(void **state)
{
    host h;
    char first[64], longest[160];

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/nowhere", .request_id = "a.B-c_9"));
    host_assert(&h, 404, "\"request_id\":\"a.B-c_9\"");
    unit_assert_str(host_response_header(&h, "X-Request-Id"), "a.B-c_9");

    /* what could break a log line is replaced by one of our own */
    SEND0(&h, R(.path = "/nowhere", .request_id = "a b"));
    assert_int_equal(host_response_header(&h, "X-Request-Id").n, 36);
    memcpy(first, host_response_header(&h, "X-Request-Id").p, 36);
    SEND0(&h, R(.path = "/nowhere", .request_id = ""));
    assert_int_equal(host_response_header(&h, "X-Request-Id").n, 36);
    assert_memory_not_equal(host_response_header(&h, "X-Request-Id").p, first,
                            36);
    memset(longest, 'x', sizeof(longest));
    longest[129] = '\0';
    SEND0(&h, R(.path = "/nowhere", .request_id = longest));
    assert_int_equal(host_response_header(&h, "X-Request-Id").n, 36);
    longest[128] = '\0';
    SEND0(&h, R(.path = "/nowhere", .request_id = longest));
    unit_assert_str(host_response_header(&h, "X-Request-Id"), longest);
    host_free(&h);
}


/* What an op drew its ids and secrets from goes with it, not with its memory. */
static void
test_seed(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/live", .host = ""));
    assert_false(
        sodium_is_zero((const unsigned char *) &h.op->rng, sizeof(h.op->rng)));
    tn_op_free(h.op);
    assert_true(
        sodium_is_zero((const unsigned char *) &h.op->rng, sizeof(h.op->rng)));
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_seed),
          cmocka_unit_test(test_before_the_catalogue),
          cmocka_unit_test(test_ready), cmocka_unit_test(test_order_of_checks),
          cmocka_unit_test(test_finished_stays_finished),
          cmocka_unit_test(test_host_failures),
          cmocka_unit_test(test_request_ids))
