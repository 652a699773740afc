/*
 * Queries: a function of the app's that reads. Its parameters are checked as a
 * body's members are, its rows are one object or a list of one page.
 */

#include "t/00unit/host.h"

#define WORK    "/v1/queries/workload"
#define SUMMARY "/v1/queries/summary"


static void
test_statement(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = WORK, .token = h.member,
           .query = "least=3&since=2026-01-31&word=ab&mine=true&share=0.25"
                    "&by=0192F0C0-0000-7000-8000-0000000000A1"
                    "&until=2026-01-01T02:00:00%2b02:00&shape=%7b%22a%22:1%7d"),
         { ROWS(3, OWNER, "2", "2026-01-31", MEMBER, NULL, "infinity") });
    host_assert(&h, 200, NULL);
    assert_string_equal(
        h.body, "{\"data\":[{\"user_id\":\"" OWNER
                "\",\"tasks\":2,\"last\":\"2026-01-31\"},{\"user_id\":\"" MEMBER
                "\",\"tasks\":null,\"last\":null}],\"next_cursor\":null}");
    unit_assert_str(host_response_header(&h, "Cache-Control"),
                    "private, no-cache");
    unit_assert_str(tn_op_facts(h.op)->operation, "queryWorkload");
    assert_string_equal(h.trace, "ZZdZAD");
    assert_false(h.slow);

    /* the function may ask for tenant and actor, and not for a request */
    unit_assert_str(host_context_bound(&h, "'tenon.tenant', "), ACME);
    unit_assert_str(host_context_bound(&h, "'tenon.actor', coalesce("), MEMBER);
    assert_false(host_has(h.context, "request_id"));

    assert_true(host_has(h.sql, "select f.\"user_id\", f.\"tasks\", "
                                "f.\"last\" from teamos.workload_query("));
    assert_true(host_has(h.sql, ") f limit 1001"));
    unit_assert_str(host_bound(&h, "workload_query("), "2026-01-31");
    unit_assert_str(host_bound(&h, "_query($1::date, (case when "), "509");
    unit_assert_str(host_bound(&h, "& 2 <> 0 then "), NULL);
    unit_assert_str(host_bound(&h, "& 4 <> 0 then "), "ab");
    unit_assert_str(host_bound(&h, "& 8 <> 0 then "), "3");
    unit_assert_str(host_bound(&h, "& 16 <> 0 then "), "0.25");
    unit_assert_str(host_bound(&h, "& 32 <> 0 then "), "{\"a\":1}");
    unit_assert_str(host_bound(&h, "& 64 <> 0 then "), "true");
    unit_assert_str(host_bound(&h, "& 128 <> 0 then "), OWNER);
    unit_assert_str(host_bound(&h, "& 256 <> 0 then "),
                    "2026-01-01T00:00:00.000000Z");
    assert_true(host_has(h.sql, "::text else ('todo'::text) end)::text"));
    host_free(&h);
}


static void
test_one(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = SUMMARY, .token = h.owner),
         { ROWS(2, "7", "2026-01-01 00:00:00+00") });
    host_assert(&h, 200, NULL);
    assert_string_equal(
        h.body, "{\"open\":7,\"as_of\":\"2026-01-01T00:00:00.000000Z\"}");
    assert_true(h.slow);
    assert_null(host_response_header(&h, "ETag").p);

    SEND(&h, R(.path = SUMMARY, .token = h.owner), { NO_ROWS(2) });
    host_problem(&h, 500, "internal");
    unit_assert_str(tn_op_facts(h.op)->log,
                    "teamos.summary_query answered not one row");
    SEND(&h, R(.path = SUMMARY, .token = h.owner), { ROWS(1, "1") });
    host_problem(&h, 500, "internal");
    SEND(&h, R(.path = SUMMARY, .token = h.owner), { .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    host_free(&h);
}


static void
test_parameters(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *query;
        const char *code;
        const char *part;
    } cases[] = {
        { NULL, "invalid_parameter",
          "\"errors\":[{\"pointer\":\"since\",\"code\":\"required\"" },
        { "since=2026-02-29&word=a&least=x&share=2&shape=%7b&mine=1&by=7"
          "&until=now&status=open",
          "invalid_parameter",
          "\"errors\":["
          "{\"pointer\":\"since\",\"code\":\"bad_format\",\"detail\":\"must be "
          "a date as YYYY-MM-DD\"},"
          "{\"pointer\":\"word\",\"code\":\"too_short\",\"detail\":\"must have "
          "at least 2 characters\"},"
          "{\"pointer\":\"least\",\"code\":\"bad_format\",\"detail\":\"must be "
          "an integer\"},"
          "{\"pointer\":\"share\",\"code\":\"out_of_range\",\"detail\":\"must "
          "be at most 1\"},"
          "{\"pointer\":\"shape\",\"code\":\"bad_format\",\"detail\":\"must be "
          "JSON\"},"
          "{\"pointer\":\"mine\",\"code\":\"bad_format\",\"detail\":\"must be "
          "true or false\"},"
          "{\"pointer\":\"by\",\"code\":\"bad_format\",\"detail\":\"must be a "
          "UUID\"},"
          "{\"pointer\":\"until\",\"code\":\"bad_format\",\"detail\":\"must be "
          "an RFC 3339 date and time\"},"
          "{\"pointer\":\"status\",\"code\":\"not_in_set\",\"detail\":\"must "
          "be one of todo, in_progress, done\"}]" },
        { "since=2026-01-01&word=a1", "invalid_parameter",
          "\"pointer\":\"word\",\"code\":\"bad_format\"" },
        { "since=2026-01-01&word=abcdef", "invalid_parameter", "too_long" },
        { "since=2026-01-01&least=101", "invalid_parameter", "at most 100" },
        { "since=2026-01-01&least=-1", "invalid_parameter", "at least 0" },
        { "since=2026-01-01&share=one", "invalid_parameter",
          "must be a number" },
        { "since=2026-01-01&shape=", "invalid_parameter", "must be JSON" },
        { "since=2026-01-01&word=ab%0A", "invalid_parameter",
          "\"pointer\":\"word\",\"code\":\"bad_format\"" },
        { "since=2026-1-1", "invalid_parameter", "must be a date" },
        { "since=0000-01-01", "invalid_parameter", "must be a date" },
        { "since=2026-01-01T00:00:00Z", "invalid_parameter", "must be a date" },
        { "since=2026-01-01&limit=1", "unknown_parameter",
          "\"pointer\":\"limit\",\"code\":\"unknown_field\",\"detail\":\"is no "
          "parameter of this query\"" },
        { "since=2026-01-01&fields=tasks", "unknown_parameter", "fields" },
        { "since=2026-01-01&since=2026-01-02", "invalid_parameter",
          "given twice" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, R(.path = WORK, .query = cases[i].query, .token = h.owner));
        host_assert(&h, 400, cases[i].part);
        host_assert(&h, 400, cases[i].code);
    }

    SEND0(&h, R(.path = SUMMARY, .query = "a=1", .token = h.owner));
    host_problem(&h, 400, "unknown_parameter");

    /* what is 0 in a body is 0 here */
    SEND(&h,
         R(.path = WORK, .query = "since=2026-01-01&share=1e-5000",
           .token = h.owner),
         { NO_ROWS(3) });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "& 16 <> 0 then "), "0");
    host_free(&h);
}


static void
test_access(void **state)
{
    host h;
    const char **row;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = WORK));
    host_problem(&h, 401, "unauthenticated");
    SEND0(&h, R(.path = SUMMARY, .token = h.member));
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "summary.read");
    assert_null(h.refused.resource.p);
    SEND0(&h, R(.method = "POST", .path = SUMMARY, .token = h.owner));
    host_problem(&h, 405, "method_not_allowed");
    SEND0(&h, R(.path = "/v1/queries/nothing", .token = h.owner));
    host_problem(&h, 404, "not_found");
    host_free(&h);

    /* its rows are nobody's own: a grant for own rows is none */
    host_init_bare(&h);
    row = teamos_find(&h.rows, TEAMOS_GRANTS, "member", "140", NULL);
    row[2] = "own";
    host_adopt(&h);
    SEND0(&h, R(.path = WORK, .query = "since=2026-01-01", .token = h.member));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* A thousand rows are answered, one more is told to whoever wrote it. */
static void
test_bound(void **state)
{
    unsigned i;
    host h;
    static const char *cells[1001 * 3];
    static const host_reply at = { .rows = { { 3, 1000 * 3, cells } } };
    static const host_reply beyond = { .rows = { { 3, 1001 * 3, cells } } };

    (void) state;
    host_init(&h);

    for (i = 0; i < 1001; i++) {
        cells[i * 3] = OWNER;
    }

    host_send(&h,
              R(.path = WORK, .query = "since=2026-01-01", .token = h.owner),
              &at, 1);
    host_assert(&h, 200, "\"next_cursor\":null");
    host_send(&h,
              R(.path = WORK, .query = "since=2026-01-01", .token = h.owner),
              &beyond, 1);
    host_problem(&h, 500, "internal");
    unit_assert_str(tn_op_facts(h.op)->log,
                    "teamos.workload_query answered more than 1,000 rows");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_statement), cmocka_unit_test(test_one),
          cmocka_unit_test(test_parameters), cmocka_unit_test(test_access),
          cmocka_unit_test(test_bound))
