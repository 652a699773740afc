/*
 * What an app's functions and triggers raise for clients, and unique keys of
 * its tables. Nothing else of the server's ever shows its message.
 */

#include "t/00unit/host.h"

#define START "/v1/tasks/" TASK "/start"


static const host_request *
start(const host *h)
{
    static host_request r;

    r = (host_request){ .method = "POST", .path = START, .token = h->owner };

    return &r;
}


static void
test_codes(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *sqlstate;
        unsigned status;
        const char *code;
        const char *retry_after;
    } cases[] = {
        { "TN403", 403, "\"code\":\"forbidden\"", NULL },
        { "TN404", 404, "\"code\":\"not_found\"", NULL },
        { "TN409", 409, "\"code\":\"state_conflict\"", NULL },
        { "TN422", 422, "\"code\":\"invalid_fields\"", NULL },
        { "TN429", 429, "\"code\":\"rate_limited\"", "1" },
        { "TN503", 503, "\"code\":\"busy\"", "1" },
        { "P0001", 409, "\"code\":\"state_conflict\"", NULL },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND(&h, start(&h),
             { .outcome = TN_DB_ERROR,
               .sqlstate = cases[i].sqlstate,
               .message = "The \"ward\" is full." });
        host_assert(&h, cases[i].status, cases[i].code);
        host_assert(&h, cases[i].status,
                    "\"detail\":\"The \\\"ward\\\" is full.\"");
        assert_null(strstr(h.body, "\"errors\""));
        assert_null(strstr(h.body, "\"reason\""));
        unit_assert_str(host_response_header(&h, "Retry-After"),
                        cases[i].retry_after);
        assert_null(tn_op_facts(h.op)->log.p);

        /* in any of an app's endpoints: a trigger may raise it */
        SEND(&h,
             R(.method = "PATCH", .path = "/v1/projects/" PROJECT,
               .token = h.owner, .body = "{\"name\":\"n\"}"),
             { .outcome = TN_DB_ERROR,
               .sqlstate = cases[i].sqlstate,
               .message = "Not now." });
        host_assert(&h, cases[i].status, "\"detail\":\"Not now.\"");
    }

    /* a refusal is written down with the row, which may be seen */
    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR, .sqlstate = "TN403", .message = "No." });
    unit_assert_str(h.refused.resource_id, TASK);

    /* the platform's statements have no such codes */
    SEND(&h, R(.path = "/v1/me", .token = h.owner),
         { .outcome = TN_DB_ERROR, .sqlstate = "TN409", .message = "secret" });
    host_problem(&h, 500, "internal");
    assert_null(strstr(h.body, "secret"));
    host_free(&h);
}


static void
test_column_and_reason(void **state)
{
    unsigned i;
    host h;
    char long_reason[65];
    const char *none[] = { "", "Ward full", "ward-full", "ward.full",
                           long_reason };

    (void) state;
    memset(long_reason, 'a', 64);
    long_reason[64] = '\0';
    host_init(&h);

    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "TN422",
           .message = "No such ward.",
           .column = "a/b",
           .constraint = "ward_1" });
    host_assert(&h, 422,
                "\"reason\":\"ward_1\",\"errors\":[{\"pointer\":"
                "\"/a~1b\",\"code\":\"refused\",\"detail\":"
                "\"was refused\"}]}");

    /* a query has no body to point into */
    SEND(&h,
         R(.path = "/v1/queries/workload", .query = "since=2026-01-01",
           .token = h.owner),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "TN422",
           .message = "Too long ago.",
           .column = "since" });
    host_assert(&h, 422,
                "\"errors\":[{\"pointer\":\"since\",\"code\":"
                "\"refused\"");

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        SEND(&h, start(&h),
             { .outcome = TN_DB_ERROR,
               .sqlstate = "TN409",
               .message = "No.",
               .constraint = none[i] });
        host_assert(&h, 409, "\"detail\":\"No.\"");
        assert_null(strstr(h.body, "reason"));
    }

    host_free(&h);
}


/* Text that can't be shown is not; long text is cut between characters. */
static void
test_messages(void **state)
{
    host h;
    char text[1104];

    (void) state;
    host_init(&h);
    SEND(&h, start(&h), { .outcome = TN_DB_ERROR, .sqlstate = "TN409" });
    host_assert(&h, 409, "The current state doesn't allow this.");
    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR, .sqlstate = "TN409", .message = "" });
    host_assert(&h, 409, "The current state doesn't allow this.");
    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "TN409",
           .message = "\xff",
           .column = "\xff" });
    host_assert(&h, 409, "The current state doesn't allow this.");
    assert_null(strstr(h.body, "errors"));

    memset(text, 'x', sizeof(text));
    memcpy(text + 999, "\xc3\xa9", 2);
    text[sizeof(text) - 1] = '\0';
    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR, .sqlstate = "TN409", .message = text });
    host_assert(&h, 409, "xxx\",\"code\"");
    host_free(&h);
}


static void
test_others(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *sqlstate;
        unsigned status;
        const char *log; /* NULL: nothing an operator must hear of */
    } cases[] = {
        { "22012", 422,
          "teamos.task_start_action: database error 22012: "
          "secret" },
        { "23502", 422,
          "teamos.task_start_action: database error 23502: "
          "secret" },
        { "P0002", 500,
          "teamos.task_start_action: database error P0002: "
          "secret" },
        { "TN400", 500,
          "teamos.task_start_action: database error TN400: "
          "secret" },
        { "57014", 503,
          "teamos.task_start_action: database error 57014: "
          "secret" },
        { "40001", 503, NULL },
        { "55P03", 503, NULL },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND(&h, start(&h),
             { .outcome = TN_DB_ERROR,
               .sqlstate = cases[i].sqlstate,
               .message = "secret",
               .constraint = "ward_full",
               .column = "ward",
               .nested = 1 });
        host_assert(&h, cases[i].status, NULL);
        assert_null(strstr(h.body, "secret"));
        assert_null(strstr(h.body, "ward"));
        unit_assert_str(tn_op_facts(h.op)->log, cases[i].log);
    }

    host_free(&h);
}


/* A statement that asks for what is gone came before a load: that passes. What
 * a function itself asks for in vain is its author's fault, and doesn't. */
static void
test_behind(void **state)
{
    unsigned i;
    host h;
    char line[80];
    static const char *const codes[] = { "42883", "42501", "42P01", "42703",
                                         "3F000", "42804", "0A000", "26000" };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        snprintf(line, sizeof(line),
                 "teamos.task_start_action: database error %s: secret",
                 codes[i]);

        SEND(&h, start(&h),
             { .outcome = TN_DB_ERROR,
               .sqlstate = codes[i],
               .message = "secret" });
        host_problem(&h, 503, "unavailable");
        host_assert(&h, 503,
                    "\"detail\":\"The app is being changed; try again in a "
                    "moment.\"");
        unit_assert_str(host_response_header(&h, "Retry-After"), "1");
        unit_assert_str(tn_op_facts(h.op)->log, line);

        SEND(&h, start(&h),
             { .outcome = TN_DB_ERROR,
               .sqlstate = codes[i],
               .message = "secret",
               .nested = 1 });
        host_problem(&h, 500, "internal");
        unit_assert_str(tn_op_facts(h.op)->log, line);
        assert_null(strstr(h.body, "secret"));

        /* a trigger's, behind a resource */
        SEND(&h,
             R(.method = "PATCH", .path = "/v1/projects/" PROJECT,
               .token = h.owner, .body = "{\"name\":\"n\"}"),
             { .outcome = TN_DB_ERROR,
               .sqlstate = codes[i],
               .message = "secret",
               .nested = 1 });
        host_problem(&h, 500, "internal");
        assert_true(host_has(tn_op_facts(h.op)->log, codes[i]));
    }

    host_free(&h);
}


/* A message may quote what a client sent: in the log it is one line, and moves
 * no cursor of whoever reads it. */
static void
test_log_lines(void **state)
{
    host h;
    tn_str log;
    char text[1104];

    (void) state;
    host_init(&h);
    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "22P02",
           .message = "bad: \"1\n2026 [alert]\r\t\x1b[31m\x7f"
                      "\xc2\x9b\xc3\x9b\"" });
    unit_assert_str(tn_op_facts(h.op)->log,
                    "teamos.task_start_action: database error 22P02: bad: "
                    "\"1?2026 [alert]???[31m???\xc3\x9b\"");

    memset(text, 'x', sizeof(text));
    memcpy(text + 499, "\xc3\xa9", 2);
    text[sizeof(text) - 1] = '\0';
    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR, .sqlstate = "22P02", .message = text });
    log = tn_op_facts(h.op)->log;
    assert_int_equal(log.n, strlen("teamos.task_start_action: database error "
                                   "22P02: ") +
                                499);
    assert_int_equal(log.p[log.n - 1], 'x');
    host_free(&h);
}


/* A broken key names its columns, and those that the body may hold one by
 * one. */
static void
test_keys(void **state)
{
    host h;
    static const char project[] = "/v1/projects/" PROJECT;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "PATCH", .path = project, .token = h.owner,
           .body = "{\"code\":\"AB\"}"),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .message = "secret",
           .constraint = "project_code_key" });
    host_assert(&h, 409,
                "\"detail\":\"There is one already with the same code.\","
                "\"code\":\"duplicate\"");
    host_assert(&h, 409,
                "\"errors\":[{\"pointer\":\"/code\",\"code\":"
                "\"duplicate\",\"detail\":\"is taken\"}]");

    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks", .token = h.owner,
           .body = "{\"title\":\"n\",\"project_id\":\"" PROJECT "\"}"),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "task_slot_key" });
    host_assert(&h, 409, "the same project_id, title.");
    host_assert(
        &h, 409,
        "\"errors\":[{\"pointer\":\"/project_id\",\"code\":"
        "\"duplicate\",\"detail\":\"is taken\"},{\"pointer\":\"/title\"");

    /* an action may break the key of any table of its app; its body has none
     * of the columns */
    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "project_code_key" });
    host_assert(&h, 409, "the same code.");
    assert_null(strstr(h.body, "errors"));

    /* what isn't known of is told as it was; so is another app's or table's */
    SEND(&h, start(&h),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "project_lower_idx" });
    host_assert(&h, 409, "\"detail\":\"Such a row exists already.\"");
    SEND(&h,
         R(.method = "PATCH", .path = project, .token = h.owner,
           .body = "{\"code\":\"AB\"}"),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "task_slot_key" });
    host_assert(&h, 409, "\"detail\":\"Such a row exists already.\"");
    SEND(&h, start(&h), { .outcome = TN_DB_ERROR, .sqlstate = "23505" });
    host_assert(&h, 409, "\"detail\":\"Such a row exists already.\"");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_codes),
          cmocka_unit_test(test_column_and_reason),
          cmocka_unit_test(test_messages), cmocka_unit_test(test_others),
          cmocka_unit_test(test_behind), cmocka_unit_test(test_log_lines),
          cmocka_unit_test(test_keys))
