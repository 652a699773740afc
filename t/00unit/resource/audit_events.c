/*
 * The event log is a list like any other: newest first, by its own columns.
 */

#include "t/00unit/host.h"

#define EVENT "0192f0c0-0000-7000-8000-0000000000e1"
#define AT    "2026-11-21 01:33:00.5+00"


static void
test_list(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/audit/events", .token = h.owner,
           .query = "resource_id=" TASK),
         { ROWS(17, EVENT, AT, "task.created", "success", NULL, OWNER,
                "teamos.task", TASK, "1", "r-1", "192.0.2.1", NULL, "{}", NULL,
                "{\"title\": \"a, b\"}", AT, EVENT) });
    host_assert(&h, 200, NULL);
    assert_string_equal(
        h.body,
        "{\"data\":[{\"id\":\"" EVENT "\",\"at\":\"2026-11-21T01:33:00."
        "500000Z\",\"action\":\"task.created\",\"outcome\":\"success\","
        "\"actor\":null,\"resource\":\"teamos.task\",\"resource_id\":\"" TASK
        "\",\"version\":1,\"request_id\":\"r-1\",\"ip\":\"192.0.2.1\","
        "\"user_agent\":null,\"metadata\":{},\"before\":null,\"after\":"
        "{\"title\":\"a, b\"}}],\"next_cursor\":null}");
    unit_assert_str(host_bound(&h, "t.\"resource_id\" = "), TASK);
    unit_assert_str(host_bound(&h, "t.tenant_id = "), ACME);
    assert_true(host_has(h.sql, "from tenon.audit_event t"));
    assert_true(host_has(h.sql, "order by t.\"at\" desc, t.id desc"));
    host_free(&h);
}


/* What the audit asks: who, what, when, how it ended; a filter's name is that
 * of the member it looks into. */
static void
test_filters(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/audit/events", .token = h.owner,
           .query = "actor=" MEMBER "&action=task.created,x&outcome=refused"
                    "&request_id=r-1&resource=teamos.task"
                    "&at[gte]=2026-01-01T00:00:00Z&at[lt]=2026-02-01T00:00:00Z"
                    "&sort=at"),
         { NO_ROWS(17) });
    host_assert(&h, 200, "{\"data\":[],");
    unit_assert_str(host_bound(&h, "t.\"actor_id\" = "), MEMBER);
    unit_assert_str(host_bound(&h, "t.\"action\" = any("),
                    "{\"task.created\",\"x\"}");
    unit_assert_str(host_bound(&h, "t.\"outcome\" = "), "refused");
    unit_assert_str(host_bound(&h, "t.\"request_id\" = "), "r-1");
    unit_assert_str(host_bound(&h, "t.\"resource\" = "), "teamos.task");
    unit_assert_str(host_bound(&h, "t.\"at\" >= "),
                    "2026-01-01T00:00:00.000000Z");
    unit_assert_str(host_bound(&h, "t.\"at\" < "),
                    "2026-02-01T00:00:00.000000Z");
    assert_true(host_has(h.sql, "order by t.\"at\", t.id limit"));

    SEND(&h,
         R(.path = "/v1/audit/events", .token = h.owner,
           .query = "outcome=refused,failure"),
         { NO_ROWS(17) });
    unit_assert_str(host_bound(&h, "t.\"outcome\" = any("),
                    "{\"refused\",\"failure\"}");

    SEND0(&h, R(.path = "/v1/audit/events", .token = h.owner,
                .query = "actor_id=" MEMBER));
    host_problem(&h, 400, "unknown_parameter");
    SEND0(&h, R(.path = "/v1/audit/events", .token = h.owner,
                .query = "outcome=lost"));
    host_problem(&h, 400, "invalid_parameter");
    SEND0(&h, R(.path = "/v1/audit/events", .token = h.owner, .query = "q=x"));
    host_problem(&h, 400, "unknown_parameter");
    host_free(&h);
}


static void
test_refused(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/v1/audit/events", .token = h.member));
    host_problem(&h, 403, "forbidden");
    SEND0(&h, R(.path = "/v1/audit/events", .token = h.owner,
                .query = "user_agent=x"));
    host_problem(&h, 400, "unknown_parameter");
    SEND0(&h,
          R(.method = "POST", .path = "/v1/audit/events", .token = h.owner));
    host_problem(&h, 405, "method_not_allowed");
    SEND0(&h, R(.path = "/v1/audit/events/" EVENT, .token = h.owner));
    host_problem(&h, 404, "not_found");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_list), cmocka_unit_test(test_filters),
          cmocka_unit_test(test_refused))
