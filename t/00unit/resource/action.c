/*
 * Actions: a function of the app's on a row. What the statement says, what it
 * is refused with and in which order, what is answered, what may be sent.
 */

#include "t/00unit/host.h"

#define NOTE    "0192f0c0-0000-7000-8000-0000000000f3"
#define START   "/v1/tasks/" TASK "/start"
#define HAND    "/v1/tasks/" TASK "/hand-over"
#define ARCHIVE "/v1/projects/" PROJECT "/archive-now"

/* old_version, old_owner, alive, old_state, answered, then the columns. */
#define ROW(version, owner, alive, state, answered, ...)              \
    {                                                                 \
        ROWS(19, version, owner, alive, state, answered, __VA_ARGS__) \
    }
#define NO_TASK \
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
#define DONE TASK_CELLS(TASK, "n", "in_progress", "4", MEMBER), FRESH
#define NONE NO_TASK, FRESH


static void
test_statement(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "POST", .path = START, .token = h.member,
           .if_match = "\"3\"", .body = "{\"remark\":\"go\"}"),
         ROW("3", MEMBER, "t", "todo", "t", DONE));
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body,
                        TASK_JSON(TASK, "\"n\"", "in_progress", "4", MEMBER));
    unit_assert_str(host_response_header(&h, "ETag"), "\"4\"");
    assert_null(host_response_header(&h, "Location").p);
    unit_assert_str(tn_op_facts(h.op)->operation, "startTask");
    assert_string_equal(h.trace, "ZZdZABW");

    /* the row is locked, looked at, and the function called behind that */
    assert_true(host_has(h.sql, "from idem, teamos.task t where t.tenant_id"));
    assert_true(host_has(h.sql, "t.deleted_at is null for no key update of t"));
    assert_true(host_has(h.sql, "gate as materialized (select old.id from old, "
                                "ref where "));
    assert_true(host_has(
        h.sql, "and old.\"status\" in ('todo', 'done') and ref.alive"));
    assert_true(host_has(h.sql, " from gate, teamos.task_start_action(gate.id, "
                                "(case when "));
    assert_true(host_has(h.sql, "::text else (NULL::text) end)::text, "));
    assert_true(host_has(h.sql, "::date else (CURRENT_DATE) end)::date) f "
                                "where 1 / (f.\"id\" is not null)::int = 1)"));
    assert_true(host_has(h.sql, "(select true from done) as answered"));
    assert_false(host_has(h.sql, "tenon.event"));

    unit_assert_str(host_bound(&h, "t.id = "), TASK);
    unit_assert_str(host_bound(&h, "old.version = any("), "{3}");
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), MEMBER);
    unit_assert_str(host_bound(&h, "(gate.id, (case when "), "1"); /* mask */
    unit_assert_str(host_bound(&h, "& 1 <> 0 then "), "go");
    unit_assert_str(host_bound(&h, "& 2 <> 0 then "), NULL);

    /* what triggers log says where it comes from */
    assert_true(host_has(h.before, "set_config('tenon.cause', "));
    host_free(&h);
}


static void
test_refused(void **state)
{
    host h;
    const host_request *any;

    (void) state;
    host_init(&h);
    any = R(.method = "POST", .path = START, .token = h.member,
            .if_match = "\"3\"");

    /* in this order: each answer breaks all that comes behind */
    SEND(&h, any, ROW(NULL, NULL, NULL, NULL, NULL, NONE));
    host_problem(&h, 404, "not_found");
    SEND(&h, any, ROW("4", OWNER, "f", "in_progress", NULL, NONE));
    host_problem(&h, 403, "forbidden");
    SEND(&h, any, ROW("4", MEMBER, "f", "in_progress", NULL, NONE));
    host_problem(&h, 412, "precondition_failed");
    SEND(&h, any, ROW("3", MEMBER, "f", "in_progress", NULL, NONE));
    host_assert(&h, 409, "\"detail\":\"What it belongs to is deleted");
    SEND(&h, any, ROW("3", MEMBER, "t", "in_progress", NULL, NONE));
    host_assert(&h, 409,
                "\"detail\":\"The status is in_progress; it must be todo or "
                "done.\",\"code\":\"state_conflict\"");
    SEND(&h, any, ROW("3", MEMBER, "t", NULL, NULL, NONE));
    host_assert(&h, 409, "The status is null; it must be");

    /* the function found no row to answer: the statement fails, so that nothing
     * of it stays */
    SEND(&h, any,
         { .outcome = TN_DB_ERROR, .sqlstate = "22012", .message = "secret" });
    host_problem(&h, 404, "not_found");
    assert_null(tn_op_facts(h.op)->log.p);

    /* but a division of the function's own is no such answer, nor is one where
     * no row is due */
    SEND(&h, any,
         { .outcome = TN_DB_ERROR,
           .sqlstate = "22012",
           .message = "secret",
           .nested = 1 });
    host_problem(&h, 422, "invalid_fields");
    SEND(&h, R(.method = "POST", .path = ARCHIVE, .token = h.owner),
         { .outcome = TN_DB_ERROR, .sqlstate = "22012", .message = "secret" });
    host_problem(&h, 422, "invalid_fields");

    /* before any of it: who may do it at all, and to what */
    SEND0(&h, R(.method = "POST", .path = START, .token = h.guest));
    host_problem(&h, 403, "forbidden");
    SEND0(&h, R(.method = "POST", .path = HAND, .token = h.member));
    host_problem(&h, 403, "forbidden");
    SEND0(&h,
          R(.method = "POST", .path = "/v1/tasks/x/start", .token = h.owner));
    host_problem(&h, 404, "not_found");
    SEND0(&h, R(.method = "POST", .path = "/v1/notes/" NOTE "/pin",
                .token = h.owner));
    host_problem(&h, 428, "precondition_required");
    SEND0(&h, R(.path = START, .token = h.owner));
    host_problem(&h, 405, "method_not_allowed");
    unit_assert_str(host_response_header(&h, "Allow"), "POST, OPTIONS");
    SEND0(&h,
          R(.method = "POST", .path = START, .query = "a=1", .token = h.owner));
    host_problem(&h, 400, "unknown_parameter");
    host_free(&h);
}


/* Who may see a row is told "not allowed", who may not "not found"; the event
 * of the refusal has the action's name. */
static void
test_refusal_is_logged(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.method = "POST", .path = START, .token = h.member),
         ROW("3", OWNER, "t", "todo", NULL, NONE));
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "task.start");
    unit_assert_str(h.refused.resource, "teamos.task");
    unit_assert_str(h.refused.resource_id, TASK);
    host_free(&h);
}


static void
test_answers(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    /* nothing */
    SEND(&h, R(.method = "POST", .path = ARCHIVE, .token = h.owner),
         { ROWS(8, "3", OWNER, "t", NULL, "t", PROJECT, FRESH) });
    host_assert(&h, 204, NULL);
    assert_true(host_has(h.sql,
                         "done as materialized (select gate.id from gate, "
                         "teamos.project_archive_now_action(gate.id) "
                         "f)"));
    assert_false(host_has(h.sql, "1 / "));
    assert_true(host_has(h.sql, "null as old_state"));
    assert_false(host_has(h.sql, " ref "));

    /* one object: a version in it is not the row's */
    SEND(&h,
         R(.method = "POST", .path = HAND, .token = h.owner,
           .body = "{\"user_id\":\"" MEMBER "\"}"),
         { ROWS(9, "3", OWNER, "t", NULL, "t", "9", "t", FRESH) });
    host_assert(&h, 200, "{\"version\":9,\"accepted\":true}");
    assert_null(host_response_header(&h, "ETag").p);
    unit_assert_str(host_bound(&h, "_action(gate.id, "), MEMBER);
    assert_true(host_has(h.sql, "::smallint else (7) end)::smallint) f)"));

    /* one that is due and doesn't come: an operator should hear of it */
    SEND(&h,
         R(.method = "POST", .path = HAND, .token = h.owner,
           .body = "{\"user_id\":\"" MEMBER "\"}"),
         { ROWS(9, "3", OWNER, "t", NULL, NULL, NULL, NULL, FRESH) });
    host_problem(&h, 500, "internal");
    unit_assert_str(tn_op_facts(h.op)->log,
                    "teamos.task_hand_over_action answered no row");

    /* not what was asked for */
    SEND(&h, R(.method = "POST", .path = ARCHIVE, .token = h.owner),
         { ROWS(2, "3", OWNER) });
    host_problem(&h, 500, "internal");
    SEND(&h, R(.method = "POST", .path = ARCHIVE, .token = h.owner),
         { NO_ROWS(8) });
    host_problem(&h, 500, "internal");
    SEND(&h, R(.method = "POST", .path = ARCHIVE, .token = h.owner),
         { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    host_free(&h);
}


/* Where nothing must be said, nothing need be sent; what is sent is looked
 * at. */
static void
test_bodies(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *path;
        const char *body;
        unsigned status;
        const char *part;
    } cases[] = {
        { START, "[]", 422, "\"pointer\":\"\",\"code\":\"wrong_type\"" },
        { START, "{", 400, "malformed_json" },
        { START,
          "{\"remark\":\"aaaaaaaaaaaaaaaaaaaaa\",\"at\":\"2026-02-29\","
          "\"x\":1,\"tenant_id\":2}",
          422,
          "\"errors\":["
          "{\"pointer\":\"/remark\",\"code\":\"too_long\",\"detail\":"
          "\"must have at most 20 characters\"},"
          "{\"pointer\":\"/at\",\"code\":\"bad_format\",\"detail\":"
          "\"must be a date as YYYY-MM-DD\"},"
          "{\"pointer\":\"/x\",\"code\":\"unknown_field\",\"detail\":"
          "\"is no argument of this action\"},"
          "{\"pointer\":\"/tenant_id\",\"code\":\"unknown_field\"" },
        { START, "{\"at\":null}", 422, "must not be null" },
        { START, "{\"at\":5}", 422, "must be a string" },
        { HAND, "{}", 422, "\"pointer\":\"/user_id\",\"code\":\"required\"" },
        { HAND, "{\"user_id\":null,\"days\":31}", 422,
          "{\"pointer\":\"/days\",\"code\":\"out_of_range\"" },
        { ARCHIVE, "{\"a\":1}", 422,
          "\"pointer\":\"/a\",\"code\":\"unknown_field\"" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, R(.method = "POST", .path = cases[i].path, .token = h.owner,
                    .body = cases[i].body));
        host_assert(&h, cases[i].status, cases[i].part);
    }

    /* no body, an empty one of unknown length, an empty object, a null that
     * is the default */
    SEND(&h, R(.method = "POST", .path = START, .token = h.owner),
         ROW("3", OWNER, "t", "todo", "t", DONE));
    host_assert(&h, 200, NULL);
    assert_null(strchr(h.trace, 'B'));
    SEND(&h,
         R(.method = "POST", .path = START, .token = h.owner,
           .body_length = UINT64_MAX),
         ROW("3", OWNER, "t", "todo", "t", DONE));
    host_assert(&h, 200, NULL);
    SEND(&h,
         R(.method = "POST", .path = START, .token = h.owner,
           .body = "{\"remark\":null,\"at\":\"0001-01-01\"}"),
         ROW("3", OWNER, "t", "todo", "t", DONE));
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "(gate.id, (case when "), "3");
    unit_assert_str(host_bound(&h, "& 2 <> 0 then "), "0001-01-01");
    SEND(&h,
         R(.method = "POST", .path = ARCHIVE, .token = h.owner, .body = "{}"),
         { ROWS(8, "3", OWNER, "t", NULL, "t", PROJECT, FRESH) });
    host_assert(&h, 204, NULL);

    /* one that must be said is asked for as JSON, as everywhere */
    SEND0(&h, R(.method = "POST", .path = HAND, .token = h.owner));
    host_problem(&h, 415, "unsupported_media_type");
    SEND0(&h, R(.method = "POST", .path = START, .token = h.owner,
                .type = "text/plain", .body = "x"));
    host_problem(&h, 415, "unsupported_media_type");
    assert_null(strchr(h.trace, 'B'));
    SEND0(&h, R(.method = "POST", .path = START, .token = h.owner,
                .type = "text/plain", .body = "x", .body_length = UINT64_MAX));
    host_problem(&h, 415, "unsupported_media_type");
    SEND0(&h, R(.method = "POST", .path = START, .token = h.owner, .body = "{}",
                .body_length = 4097));
    host_problem(&h, 413, "too_large");
    host_free(&h);
}


/* What was done under a key is answered again, whatever the row is by now. */
static void
test_keys(void **state)
{
    host h;
    tn_str kept;
    char hash[80];
    const host_request *any;

    (void) state;
    host_init(&h);
    any = R(.method = "POST", .path = START, .token = h.member, .key = "k");
    SEND(&h, any, ROW("3", MEMBER, "t", "todo", "t", DONE));
    host_assert(&h, 200, NULL);

    /* the fingerprint of this body, by its place in `kept` */
    kept = host_bound(&h, "outcome) select $2::uuid, $1::bytea, ");
    snprintf(hash, sizeof(hash), "%.*s", (int) kept.n, kept.p);

    SEND(&h, any,
         ROW(NULL, NULL, NULL, NULL, NULL,
             TASK_CELLS(TASK, "n", "in_progress", "4", MEMBER), "t", hash));
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body,
                        TASK_JSON(TASK, "\"n\"", "in_progress", "4", MEMBER));
    unit_assert_str(host_response_header(&h, "Idempotency-Replayed"), "true");

    SEND(&h, any, ROW(NULL, NULL, NULL, NULL, NULL, NO_TASK, "t", "\\x00"));
    host_problem(&h, 422, "idempotency_mismatch");
    SEND(&h, any, ROW(NULL, NULL, NULL, NULL, NULL, NO_TASK, "f", NULL));
    host_problem(&h, 409, "idempotency_in_progress");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_statement), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_refusal_is_logged),
          cmocka_unit_test(test_answers), cmocka_unit_test(test_bodies),
          cmocka_unit_test(test_keys))
