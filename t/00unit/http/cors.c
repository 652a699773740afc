/*
 * OPTIONS, and pages of other origins: who may read an answer, and what a
 * browser is told before it asks.
 */

#include "libcore/model/model.h"
#include "t/00unit/host.h"

#define APP   "https://app.example.org"
#define LOCAL "http://localhost:5173"
#define EVIL  "https://evil.example"


/* A header that may be there more than once: whether one of them is this. */
static int
has_header(const host *h, const char *name, const char *value)
{
    unsigned i;
    const tn_header *header;

    for (i = 0; i < h->response->nheaders; i++) {
        header = &h->response->headers[i];

        if (header->name.n == strlen(name) &&
            memcmp(header->name.p, name, strlen(name)) == 0 &&
            header->value.n == strlen(value) &&
            memcmp(header->value.p, value, strlen(value)) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
assert_allowed(const host *h, const char *origin)
{
    tn_str exposed;

    /* where there are origins, also for those that may not: caches keep each
     * origin's answer apart */
    assert_int_equal(has_header(h, "Vary", "Origin"),
                     h->core->cors_origins.p != NULL);

    unit_assert_str(host_response_header(h, "Access-Control-Allow-Origin"),
                    origin);
    exposed = host_response_header(h, "Access-Control-Expose-Headers");

    if (origin == NULL) {
        assert_null(exposed.p);
        assert_null(host_response_header(h, "Access-Control-Allow-Methods").p);
        return;
    }

    assert_true(host_has(exposed, "ETag"));
    assert_true(host_has(exposed, "Link"));
    assert_true(host_has(exposed, "Location"));
    assert_true(host_has(exposed, "Retry-After"));
    assert_true(host_has(exposed, "X-Request-Id"));
    assert_true(host_has(exposed, "Idempotency-Replayed"));

    /* tokens are sent by the page itself: no cookies, ever */
    assert_null(host_response_header(h, "Access-Control-Allow-Credentials").p);
}


static void
test_options(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *path;
        const char *allow;
    } cases[] = {
        { "/v1/tasks", "GET, HEAD, POST, OPTIONS" },
        { "/v1/tasks/" TASK, "GET, HEAD, PATCH, DELETE, OPTIONS" },
        { "/v1/tasks/x", "GET, HEAD, PATCH, DELETE, OPTIONS" },
        { "/v1/tasks/" TASK "/history", "GET, HEAD, OPTIONS" },
        { "/v1/tasks/" TASK "/rollback", "POST, OPTIONS" },
        { "/v1/auth/login", "POST, OPTIONS" },
        { "/live", "GET, HEAD, OPTIONS" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* before tenant and token: neither is looked at */
        SEND0(&h, R(.method = "OPTIONS", .path = cases[i].path,
                    .host = "nobody.tenon.localhost", .token = "x",
                    .request_id = "r-1"));
        host_assert(&h, 204, NULL);
        assert_string_equal(h.trace, "");
        unit_assert_str(host_response_header(&h, "Allow"), cases[i].allow);
        unit_assert_str(host_response_header(&h, "X-Request-Id"), "r-1");
        assert_null(host_response_header(&h, "Content-Type").p);
        assert_allowed(&h, NULL);
        assert_int_equal(tn_op_facts(h.op)->error, TN_OK);
    }

    SEND0(&h, R(.method = "OPTIONS", .path = "/v1/nowhere"));
    host_problem(&h, 404, "not_found");
    host_free(&h);
}


/* What is malformed is so for OPTIONS as well. */
static void
test_options_malformed(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.method = "OPTIONS", .path = "/v1/tasks", .token = h.owner,
                .header = { "authorization", "Bearer x" }));
    host_problem(&h, 400, "malformed_request");
    unit_assert_str(host_response_header(&h, "Content-Type"),
                    "application/problem+json");
    assert_null(host_response_header(&h, "Allow").p);
    assert_int_equal(tn_op_facts(h.op)->error, TN_E_MALFORMED_REQUEST);
    host_free(&h);
}


static void
test_preflight(void **state)
{
    unsigned i;
    host h;
    tn_str headers;
    static const char *const names[] = {
        "Authorization", "Content-Type",    "If-Match",     "If-None-Match",
        "Tenon-Tenant",  "Idempotency-Key", "X-Request-Id", "traceparent",
        "tracestate",    "baggage",
    };

    (void) state;
    host_init_cors(&h, APP " " LOCAL);
    host_adopt(&h);
    SEND0(&h, R(.method = "OPTIONS", .path = "/v1/tasks/" TASK, .origin = LOCAL,
                .preflight = "PATCH"));
    host_assert(&h, 204, NULL);
    assert_allowed(&h, LOCAL);
    unit_assert_str(host_response_header(&h, "Access-Control-Allow-Methods"),
                    "GET, HEAD, PATCH, DELETE, OPTIONS");
    unit_assert_str(host_response_header(&h, "Access-Control-Max-Age"), "600");
    headers = host_response_header(&h, "Access-Control-Allow-Headers");

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(host_has(headers, names[i]));
    }

    /* another method, another origin, no preflight */
    SEND0(&h, R(.method = "OPTIONS", .path = "/v1/tasks/" TASK, .origin = EVIL,
                .preflight = "PATCH"));
    host_assert(&h, 204, NULL);
    assert_allowed(&h, NULL);
    assert_null(host_response_header(&h, "Access-Control-Max-Age").p);
    SEND0(&h, R(.method = "OPTIONS", .path = "/v1/tasks/" TASK, .origin = APP));
    host_assert(&h, 204, NULL);
    assert_allowed(&h, APP);
    assert_null(host_response_header(&h, "Access-Control-Allow-Methods").p);
    SEND0(&h, R(.method = "OPTIONS", .path = "/v1/nowhere", .origin = APP,
                .preflight = "GET"));
    host_problem(&h, 404, "not_found");
    assert_allowed(&h, APP);
    host_free(&h);
}


static void
test_origins(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *conf;
        const char *origin;
        const char *answer;
    } cases[] = {
        { NULL, APP, NULL },
        { "", APP, NULL },
        { APP, APP, APP },
        { APP, NULL, NULL },
        { APP, "", NULL },
        { APP, "null", NULL },
        { APP, "*", NULL },
        { APP, EVIL, NULL },
        { APP, "http://app.example.org", NULL },
        { APP, APP ":443", NULL },
        { APP, APP "/", NULL },
        { APP, APP ".evil.example", NULL },
        { APP, "https://app.example.or", NULL },
        { APP " " LOCAL, LOCAL, LOCAL },
        { APP " " LOCAL, APP " " LOCAL, NULL },
        { APP "  " LOCAL, LOCAL, LOCAL },
        { APP "  " LOCAL, "", NULL },
        { "*", APP, "*" },
        { "*", EVIL, "*" },
        { "*", NULL, NULL },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host_init_cors(&h, cases[i].conf);
        host_adopt(&h);
        SEND0(&h, R(.path = "/live", .origin = cases[i].origin));
        host_assert(&h, 200, NULL);
        assert_allowed(&h, cases[i].answer);
        SEND0(&h, R(.path = "/v1/tasks", .origin = cases[i].origin));
        host_problem(&h, 401, "unauthenticated");
        assert_allowed(&h, cases[i].answer);
        host_free(&h);
    }
}


/* Every answer is readable, refusals as well, and the tag still holds. */
static void
test_every_answer(void **state)
{
    host h;

    (void) state;
    host_init_cors(&h, APP);
    host_adopt(&h);
    SEND(&h, R(.path = "/v1/tasks/" TASK, .token = h.owner, .origin = APP),
         { ROWS(12, TASK_CELLS(TASK, "n", "todo", "3", OWNER)) });
    host_assert(&h, 200, NULL);
    assert_allowed(&h, APP);
    assert_true(has_header(&h, "Vary", "Authorization, Cookie, Tenon-Tenant"));
    SEND(&h,
         R(.path = "/v1/tasks/" TASK, .token = h.owner, .origin = APP,
           .if_none_match = "\"3\""),
         { ROWS(12, TASK_CELLS(TASK, "n", "todo", "3", OWNER)) });
    host_assert(&h, 304, NULL);
    assert_allowed(&h, APP);
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/tasks/" TASK, .token = h.owner,
           .origin = APP),
         { ROWS(5, "3", OWNER, TASK, FRESH) });
    host_assert(&h, 204, NULL);
    assert_allowed(&h, APP);
    SEND(&h, R(.path = "/v1/tasks/" TASK, .token = h.owner, .origin = APP),
         { .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    assert_allowed(&h, APP);
    SEND0(&h, R(.path = "/v1/projects", .method = "POST", .token = h.guest,
                .origin = APP, .body = "{}"));
    host_problem(&h, 403, "forbidden");
    assert_allowed(&h, APP);
    SEND0(&h, R(.path = "/v1/tasks", .method = "PUT", .origin = APP));
    host_problem(&h, 405, "method_not_allowed");
    assert_allowed(&h, APP);
    SEND0(&h, R(.path = "/nowhere", .origin = APP));
    host_problem(&h, 404, "not_found");
    assert_allowed(&h, APP);
    host_free(&h);
}


/* For answers that the host makes itself. */
static void
test_for_hosts(void **state)
{
    host h;
    unsigned n;
    tn_header headers[TN_CORS_HEADERS_MAX];

    (void) state;
    host_init_cors(&h, APP);
    n = tn_cors_headers(headers, h.core, TN_STR(APP));
    assert_int_equal(n, 3);
    unit_assert_str(headers[0].name, "Vary");
    unit_assert_str(headers[1].name, "Access-Control-Allow-Origin");
    unit_assert_str(headers[1].value, APP);
    assert_int_equal(tn_cors_headers(headers, h.core, TN_STR(EVIL)), 1);
    assert_int_equal(tn_cors_headers(headers, h.core, TN_NULL), 1);
    unit_assert_str(headers[0].value, "Origin");
    host_free(&h);

    host_init_cors(&h, "*");
    assert_int_equal(tn_cors_headers(headers, h.core, TN_STR(EVIL)), 3);
    unit_assert_str(headers[1].value, "*");
    host_free(&h);

    host_init_cors(&h, NULL);
    assert_int_equal(tn_cors_headers(headers, h.core, TN_STR(EVIL)), 0);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_options),
          cmocka_unit_test(test_options_malformed),
          cmocka_unit_test(test_preflight), cmocka_unit_test(test_origins),
          cmocka_unit_test(test_every_answer), cmocka_unit_test(test_for_hosts))
