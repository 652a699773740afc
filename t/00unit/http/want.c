/*
 * What the database's failures come out as, for reads and for writes.
 */

#include "t/00unit/host.h"


static const struct {
    host_reply reply;
    unsigned read;
    const char *read_code;
    unsigned write;
    const char *write_code;
    const char *log;
} cases[] = {
    { { .outcome = TN_DB_BUSY }, 503, "busy", 503, "busy", NULL },
    { { .outcome = TN_DB_DOWN }, 503, "unavailable", 503, "unavailable", NULL },
    { { .outcome = TN_DB_UNKNOWN },
      503,
      "unavailable",
      503,
      "outcome_unknown",
      NULL },
#define ERROR(state, status, code, log)                                     \
    {                                                                       \
        { .outcome = TN_DB_ERROR, .sqlstate = state, .message = "secret" }, \
            status, code, status, code, log                                 \
    }
    ERROR("23505", 409, "duplicate", NULL),
    ERROR("23503", 409, "state_conflict", NULL),
    ERROR("23514", 422, "invalid_fields", NULL),
    ERROR("23502", 422, "invalid_fields", NULL),
    ERROR("55P03", 503, "busy", NULL),
    ERROR("57014", 503, "busy", NULL),
    ERROR("40P01", 503, "busy", NULL),
    ERROR("40001", 503, "busy", NULL),
    ERROR("57P01", 503, "unavailable", NULL),
    ERROR("57P03", 503, "unavailable", NULL),
    ERROR("0A000", 503, "being changed", "database error 0A000: secret"),
    ERROR("26000", 503, "being changed", "database error 26000: secret"),
    ERROR("42883", 503, "being changed", "database error 42883: secret"),
    ERROR("42P01", 503, "being changed", "database error 42P01: secret"),
    ERROR("42703", 503, "being changed", "database error 42703: secret"),
    ERROR("3F000", 503, "being changed", "database error 3F000: secret"),
    ERROR("42501", 503, "being changed", "database error 42501: secret"),
    ERROR("42804", 503, "being changed", "database error 42804: secret"),
    ERROR("42601", 500, "internal", "42601: secret"),
    ERROR("XX000", 500, "internal", "XX000: secret"),
    ERROR("", 500, "internal", ": secret"),
};


static void
check(host *h, unsigned status, const char *code, const char *log)
{
    host_assert(h, status, code);
    assert_null(strstr(h->body, "secret"));
    unit_assert_str(host_response_header(h, "Retry-After"),
                    status == 503 ? "1" : NULL);
    unit_assert_str(host_response_header(h, "Content-Type"),
                    "application/problem+json");

    if (log) {
        assert_true(host_has(tn_op_facts(h->op)->log, log));
    } else {
        assert_null(tn_op_facts(h->op)->log.p);
    }
}


static void
test_outcomes(void **state)
{
    unsigned i;
    host h;

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host_send(&h, R(.path = "/v1/tasks/" TASK, .token = h.owner),
                  &cases[i].reply, 1);
        check(&h, cases[i].read, cases[i].read_code, cases[i].log);

        host_send(
            &h,
            R(.method = "DELETE", .path = "/v1/tasks/" TASK, .token = h.owner),
            &cases[i].reply, 1);
        check(&h, cases[i].write, cases[i].write_code, cases[i].log);

        host_send(&h,
                  R(.method = "PATCH", .path = "/v1/tasks/" TASK,
                    .token = h.owner, .body = "{\"title\":\"x\"}"),
                  &cases[i].reply, 1);
        check(&h, cases[i].write, cases[i].write_code, cases[i].log);

        /* an empty patch reads: an answer that is lost changed nothing */
        host_send(&h,
                  R(.method = "PATCH", .path = "/v1/tasks/" TASK,
                    .token = h.owner, .body = "{}"),
                  &cases[i].reply, 1);
        check(&h, cases[i].read, cases[i].read_code, cases[i].log);
    }

    host_free(&h);
}


/* The platform's own statements are of this build: what they lack is a fault,
 * and a plan that no longer holds is nobody's load of an app. */
static void
test_platform(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/me", .token = h.owner),
         { .outcome = TN_DB_ERROR, .sqlstate = "42501", .message = "secret" });
    check(&h, 500, "internal", "42501: secret");
    SEND(&h, R(.path = "/v1/me", .token = h.owner),
         { .outcome = TN_DB_ERROR, .sqlstate = "0A000", .message = "secret" });
    check(&h, 503, "schema is changing", NULL);
    host_free(&h);
}


/* What is told for the record is text, or it isn't told. */
static void
test_context_of_writes(void **state)
{
    host h;
    unsigned i;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/tasks/" TASK, .token = h.owner,
           .user_agent = "cur\xffl", .request_id = "r1"),
         { ROWS(5, "3", OWNER, TASK, FRESH) });
    host_assert(&h, 204, NULL);
    unit_assert_str(host_bound(&h, "null::jsonb, "), "192.0.2.1");
    unit_assert_str(host_bound(&h, "image.version, "), "r1");
    assert_int_equal(host_bound(&h, "tenon.commitment(").n, 34);

    for (i = 0; i < h.nparams; i++) {
        assert_true(h.params[i].p == NULL || !host_has(h.params[i], "cur"));
    }

    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_outcomes), cmocka_unit_test(test_platform),
          cmocka_unit_test(test_context_of_writes))
