/*
 * traceparent (W3C Trace Context): a valid one goes on under the same trace id
 * with a span of ours; any other is as none.
 */

#include "t/00unit/host.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"
#define VALID "00-" TRACE "-" SPAN "-01"


static void
assert_goes_on(const host *h, const char *flags)
{
    size_t i;
    tn_str value;

    value = host_response_header(h, "traceparent");
    assert_int_equal(value.n, 55);
    assert_memory_equal(value.p, "00-" TRACE "-", 36);
    assert_memory_not_equal(value.p + 36, SPAN, 16);
    assert_int_equal(value.p[52], '-');
    assert_memory_equal(value.p + 53, flags, 2);

    for (i = 36; i < 52; i++) {
        assert_non_null(memchr("0123456789abcdef", value.p[i], 16));
    }

    unit_assert_str(tn_op_facts(h->op)->trace_id, TRACE);
}


static void
test_valid(void **state)
{
    unsigned i;
    host h;
    char first[17], part[64];
    static const char *const flags[] = { "01", "00", "ff", "02" };

    (void) state;
    host_init(&h);
    memset(first, 0, sizeof(first));

    for (i = 0; i < 4; i++) {
        snprintf(part, sizeof(part), "00-" TRACE "-" SPAN "-%s", flags[i]);
        SEND0(&h, R(.path = "/live", .traceparent = part));
        host_assert(&h, 200, NULL);
        assert_goes_on(&h, flags[i]);

        /* each request has a span of its own */
        assert_memory_not_equal(host_response_header(&h, "traceparent").p + 36,
                                first, 16);
        memcpy(first, host_response_header(&h, "traceparent").p + 36, 16);
    }

    /* refusals belong to the trace as well */
    SEND0(&h, R(.path = "/v1/tasks", .traceparent = VALID));
    host_problem(&h, 401, "unauthenticated");
    assert_goes_on(&h, "01");
    SEND0(&h, R(.path = "/nowhere", .traceparent = VALID));
    host_problem(&h, 404, "not_found");
    assert_goes_on(&h, "01");
    SEND(&h,
         R(.path = "/v1/tasks/" TASK, .token = h.owner, .traceparent = VALID),
         { ROWS(12, TASK_CELLS(TASK, "n", "todo", "3", OWNER)) });
    host_assert(&h, 200, NULL);
    assert_goes_on(&h, "01");
    host_free(&h);
}


static void
test_invalid(void **state)
{
    unsigned i;
    host h;
    static const char *const bad[] = {
        "",
        "x",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-",
        "00-" TRACE "-" SPAN "-1",
        VALID "0",
        VALID "-00",
        "01-" TRACE "-" SPAN "-01",
        "ff-" TRACE "-" SPAN "-01",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-" SPAN "-01",
        "00-" TRACE "-" SPAN "-0g",
        "00-" TRACE "-" SPAN "-FF",
        "00-4bf92f3577b34da6a3ce929d0e0e473-" SPAN "a-01",
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        SEND0(&h, R(.path = "/live", .traceparent = bad[i]));
        host_assert(&h, 200, NULL);
        assert_null(host_response_header(&h, "traceparent").p);
        assert_null(tn_op_facts(h.op)->trace_id.p);
    }

    SEND0(&h, R(.path = "/live"));
    assert_null(host_response_header(&h, "traceparent").p);

    /* of two, neither is to be believed */
    SEND0(&h, R(.path = "/live", .traceparent = "00-" TRACE "-" SPAN "-01",
                .header = { "traceparent", "00-" TRACE "-" SPAN "-00" }));
    assert_null(host_response_header(&h, "traceparent").p);
    assert_null(tn_op_facts(h.op)->trace_id.p);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_valid), cmocka_unit_test(test_invalid))
