/*
 * Create, update, delete: one statement each, and an answer that says which
 * of its conditions was not met: 404, 403, 412, 422, 409, in that order.
 */

#include "t/00unit/host.h"

#define BODY_ONE "{\"title\":\"n\",\"project_id\":\"" PROJECT "\"}"

#define NO_TASK \
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL

/* old_version, old_owner, r project, alive project, r assignee, the row;
 * without a key */
#define UPDATED(version, owner, r, alive, assignee, ...)                 \
    {                                                                    \
        ROWS(19, version, owner, r, alive, assignee, __VA_ARGS__, FRESH) \
    }


static void
test_create(void **state)
{
    host h;
    tn_str id;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks", .prefix = "/api",
           .token = h.member, .user_agent = "ua",
           .body = "{\"title\":\"n\",\"assignee_id\":null,"
                   "\"origin\":\"mail\",\"project_id\":\"" PROJECT "\"}"),
         { ROWS(17, "t", "t", "t", TASK_CELLS(TASK, "n", "todo", "1", MEMBER),
                FRESH) });
    host_assert(&h, 201, NULL);
    assert_string_equal(h.trace, "ZZdZABW");
    assert_string_equal(h.body, TASK_JSON(TASK, "\"n\"", "todo", "1", MEMBER));
    unit_assert_str(host_response_header(&h, "ETag"), "\"1\"");

    /* the id is the server's, and Location names what the database kept */
    id = host_bound(&h, "\"origin\") select $2::uuid, ");
    assert_int_equal(id.n, 36);
    assert_memory_not_equal(id.p, TASK, 36);
    unit_assert_str(host_response_header(&h, "Location"),
                    "/api/v1/tasks/" TASK);

    /* id 0, project_id 1, title 2, priority 3, status 4, assignee_id 5,
     * origin 6: what was given, null included */
    unit_assert_str(host_bound(&h, "(not ("), "102");
    assert_true(host_has(h.sql, "else 'medium'::text end"));
    assert_true(host_has(h.sql, "insert into tenon.event ("));
    assert_true(host_has(h.sql, "'task.created', 'teamos.task'"));
    host_free(&h);
}


static void
test_create_missing_references(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks", .token = h.member,
           .body = BODY_ONE),
         { ROWS(17, "t", "f", "f", NO_TASK, FRESH) });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422,
                "\"errors\":[{\"pointer\":\"/project_id\",\"code\":"
                "\"not_found\",\"detail\":\"refers to nothing\"},{"
                "\"pointer\":\"/assignee_id\",\"code\":\"not_found\"");

    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks", .token = h.member,
           .body = BODY_ONE),
         { ROWS(17, "t", "t", "f", NO_TASK, FRESH) });
    host_assert(&h, 422, "\"errors\":[{\"pointer\":\"/assignee_id\"");
    host_free(&h);
}


/* An app's trigger may swallow a row: that is no 201. */
static void
test_create_swallowed(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks", .token = h.member,
           .body = BODY_ONE),
         { ROWS(17, "t", "t", "t", NO_TASK, FRESH) });
    host_problem(&h, 409, "state_conflict");
    SEND(&h,
         R(.method = "POST", .path = "/v1/projects", .token = h.member,
           .body = "{\"name\":\"p\"}"),
         { ROWS(15, "t", NO_TASK, FRESH) });
    host_problem(&h, 409, "state_conflict");
    host_free(&h);
}


static void
test_update(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.member,
           .if_match = "W/\"3\"", .type = "application/merge-patch+json",
           .body = "{\"title\":\"n\",\"assignee_id\":null,"
                   "\"status\":\"done\"}"),
         UPDATED("3", MEMBER, "t", "t", "t",
                 TASK_CELLS(TASK, "n", "done", "4", MEMBER)));
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ZZdZABW");
    assert_string_equal(h.body, TASK_JSON(TASK, "\"n\"", "done", "4", MEMBER));
    unit_assert_str(host_response_header(&h, "ETag"), "\"4\"");

    /* absent, null and a value are three things: title 4, status 16,
     * assignee_id 32 */
    unit_assert_str(host_bound(&h, "\"title\" = case when "), "52");
    unit_assert_str(host_bound(&h, "bigint & 4 <> 0 then "), "n");
    unit_assert_str(host_bound(&h, "bigint & 16 <> 0 then "), "done");
    unit_assert_str(host_bound(&h, "bigint & 32 <> 0 then "), NULL);
    unit_assert_str(host_bound(&h, "bigint & 2 <> 0 then "), NULL);
    unit_assert_str(host_bound(&h, "old.\"status\" = any("),
                    "{\"done\",\"in_progress\"}");
    unit_assert_str(host_bound(&h, "old.version = any("), "{3}");
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), MEMBER);
    unit_assert_str(host_bound(&h, "t.id = "), TASK);

    /* what is only for creation is never set */
    assert_false(host_has(h.sql, "\"origin\" = case"));
    assert_false(host_has(h.sql, "\"score\" = case"));

    /* no state given: no state asked for; no condition, no owner */
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.owner,
           .body = "{\"title\":\"n\"}"),
         UPDATED("3", MEMBER, "t", "t", "t",
                 TASK_CELLS(TASK, "n", "done", "4", MEMBER)));
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "old.\"status\" = any("), NULL);
    unit_assert_str(host_bound(&h, "old.version = any("), NULL);
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), NULL);
    host_free(&h);
}


static void
test_update_refused(void **state)
{
    unsigned i;
    host h;
    static const char *const never[] = { "\"x\"",  "3",
                                         "\"\"",   "\"-3\"",
                                         "\"03\"", "\"+3\"",
                                         "\"0\"",  "\"99999999999999999999\"" };
    const host_request *any;

    (void) state;
    host_init(&h);
    any = R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.member,
            .if_match = "\"3\"", .body = "{\"title\":\"n\"}");

    /* in this order: each answer breaks all that comes behind */
    SEND(&h, any, UPDATED(NULL, NULL, "f", "f", "f", NO_TASK));
    host_problem(&h, 404, "not_found");
    SEND(&h, any, UPDATED("4", OWNER, "f", "f", "f", NO_TASK));
    host_problem(&h, 403, "forbidden");
    SEND(&h, any, UPDATED("4", MEMBER, "f", "f", "f", NO_TASK));
    host_problem(&h, 412, "precondition_failed");
    SEND(&h, any, UPDATED("3", MEMBER, "f", "f", "f", NO_TASK));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"pointer\":\"/assignee_id\"");
    SEND(&h, any, UPDATED("3", MEMBER, "t", "f", "t", NO_TASK));
    host_problem(&h, 409, "state_conflict");

    /* tags that no version has: 404 or 412, as any other that doesn't match */
    for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        any = R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.member,
                .if_match = never[i], .body = "{\"title\":\"n\"}");
        SEND(&h, any, UPDATED("3", MEMBER, "t", "t", "t", NO_TASK));
        host_problem(&h, 412, "precondition_failed");
        unit_assert_str(host_bound(&h, "old.version = any("), "{0}");
        SEND(&h, any, UPDATED(NULL, NULL, "f", "f", "f", NO_TASK));
        host_problem(&h, 404, "not_found");
    }

    /* of a list, any may match */
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.owner,
           .if_match = "\"2\", \"3\"", .body = "{\"title\":\"n\"}"),
         UPDATED("3", MEMBER, "t", "t", "t",
                 TASK_CELLS(TASK, "n", "done", "4", MEMBER)));
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "old.version = any("), "{2,3}");

    /* of a list, the one that can match; "*" matches what is there */
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.owner,
           .if_match = "\"abc\", W/\"3\"", .body = "{\"title\":\"n\"}"),
         UPDATED("3", MEMBER, "t", "t", "t",
                 TASK_CELLS(TASK, "n", "done", "4", MEMBER)));
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "old.version = any("), "{3}");
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.owner,
           .if_match = "*", .body = "{\"title\":\"n\"}"),
         UPDATED(NULL, NULL, "t", "t", "t", NO_TASK));
    host_problem(&h, 404, "not_found");
    unit_assert_str(host_bound(&h, "old.version = any("), NULL);
    host_free(&h);
}


/* Who may not see a row is not told that it is there. */
static void
test_own_scope_invisible(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/projects/" PROJECT, .token = h.guest,
           .body = "{\"name\":\"n\"}"),
         { ROWS(16, "1", OWNER, NO_TASK, FRESH) });
    host_problem(&h, 404, "not_found");
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), GUEST);

    SEND(&h,
         R(.method = "DELETE", .path = "/v1/projects/" PROJECT,
           .token = h.guest),
         { ROWS(5, "1", OWNER, NULL, FRESH) });
    host_problem(&h, 404, "not_found");

    /* the member sees all and owns some */
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/projects/" PROJECT,
           .token = h.member),
         { ROWS(5, "1", OWNER, NULL, FRESH) });
    host_problem(&h, 403, "forbidden");
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/projects/" PROJECT,
           .token = h.member),
         { ROWS(5, "1", NULL, NULL, FRESH) });
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


static void
test_empty_patch_reads(void **state)
{
    host h;
    const host_request *empty;

    (void) state;
    host_init(&h);
    empty = R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.member,
              .if_match = "\"3\"", .body = "{}");
    SEND(&h, empty, { ROWS(12, TASK_CELLS(TASK, "n", "done", "3", MEMBER)) });
    host_assert(&h, 200, "\"version\":3");
    assert_string_equal(h.trace, "ZZdZABD");
    assert_false(host_has(h.sql, "for no key update"));
    unit_assert_str(host_response_header(&h, "ETag"), "\"3\"");

    SEND(&h, empty, { ROWS(12, TASK_CELLS(TASK, "n", "done", "4", MEMBER)) });
    host_problem(&h, 412, "precondition_failed");
    SEND(&h, empty, { ROWS(12, TASK_CELLS(TASK, "n", "done", "3", OWNER)) });
    host_problem(&h, 403, "forbidden");
    SEND(&h, empty, { NO_ROWS(12) });
    host_problem(&h, 404, "not_found");
    host_free(&h);
}


static void
test_delete(void **state)
{
    host h;
    const host_request *any;

    (void) state;
    host_init(&h);
    any = R(.method = "DELETE", .path = "/v1/tasks/" TASK, .token = h.owner,
            .if_match = "\"3\"");
    SEND(&h, any, { ROWS(5, "3", MEMBER, TASK, FRESH) });
    host_assert(&h, 204, NULL);
    assert_string_equal(h.trace, "ZZdZAW");
    assert_null(host_response_header(&h, "Content-Type").p);
    assert_true(host_has(h.sql, "deleted_at = now()"));
    unit_assert_str(host_bound(&h, "old.version = any("), "{3}");

    SEND(&h, any, { ROWS(5, NULL, NULL, NULL, FRESH) });
    host_problem(&h, 404, "not_found");
    SEND(&h, any, { ROWS(5, "4", MEMBER, NULL, FRESH) });
    host_problem(&h, 412, "precondition_failed");
    SEND(&h, any, { ROWS(5, "3", MEMBER, NULL, FRESH) });
    host_problem(&h, 409, "state_conflict");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_create),
          cmocka_unit_test(test_create_missing_references),
          cmocka_unit_test(test_create_swallowed),
          cmocka_unit_test(test_update), cmocka_unit_test(test_update_refused),
          cmocka_unit_test(test_own_scope_invisible),
          cmocka_unit_test(test_empty_patch_reads),
          cmocka_unit_test(test_delete))
