/*
 * Roll back, restore, and changes that must name a version: what each is
 * refused with, in which order.
 */

#include "t/00unit/host.h"

#define NOTE "0192f0c0-0000-7000-8000-0000000000f3"

#define NO_TASK \
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL

/* old_version, old_owner, found or deleted, r project, alive project,
 * r assignee, the row */
#define ANSWER(version, owner, told, r, alive, assignee, ...)                  \
    {                                                                          \
        ROWS(20, version, owner, told, r, alive, assignee, __VA_ARGS__, FRESH) \
    }
#define DONE TASK_CELLS(TASK, "n", "todo", "4", MEMBER)

#define ROLLBACK "/v1/tasks/" TASK "/rollback"
#define RESTORE  "/v1/tasks/" TASK "/restore"


static void
test_rollback(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "POST", .path = ROLLBACK, .token = h.member,
           .if_match = "\"3\"", .body = "{\"version\":2}"),
         ANSWER("3", MEMBER, "t", "t", "t", "t", DONE));
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body, TASK_JSON(TASK, "\"n\"", "todo", "4", MEMBER));
    unit_assert_str(host_response_header(&h, "ETag"), "\"4\"");
    assert_null(host_response_header(&h, "Location").p);
    unit_assert_str(tn_op_facts(h.op)->operation, "rollBackTask");

    unit_assert_str(host_bound(&h, "and e.version = "), "2");
    unit_assert_str(host_bound(&h, "e.resource_id = "), TASK);
    unit_assert_str(host_bound(&h, "t.id = "), TASK);
    unit_assert_str(host_bound(&h, "old.version = any("), "{3}");
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), MEMBER);
    assert_true(host_has(h.sql, "e.resource = 'teamos.task'"));
    assert_true(host_has(h.sql, "'task.rolled_back', 'teamos.task'"));

    /* what no body may change stays as it is */
    assert_true(host_has(h.sql, ", \"title\" = goal.\"title\""));
    assert_false(host_has(h.sql, "\"origin\" = goal"));
    assert_false(host_has(h.sql, "\"score\" = goal"));
    assert_false(host_has(h.sql, "\"created_by\" = goal"));

    /* the way there is one that the states allow */
    assert_true(host_has(h.sql, "and (old.\"status\" = goal.\"status\" or "
                                "(old.\"status\", goal.\"status\") in "
                                "(('in_progress', 'done'), "
                                "('in_progress', 'todo'), "
                                "('todo', 'in_progress')))"));
    host_free(&h);
}


static void
test_rollback_refused(void **state)
{
    host h;
    const host_request *any;

    (void) state;
    host_init(&h);
    any = R(.method = "POST", .path = ROLLBACK, .token = h.member,
            .if_match = "\"3\"", .body = "{\"version\":2}");

    /* in this order: each answer breaks all that comes behind */
    SEND(&h, any, ANSWER(NULL, NULL, "f", NULL, NULL, NULL, NO_TASK));
    host_problem(&h, 404, "not_found");
    SEND(&h, any, ANSWER("4", OWNER, "f", NULL, NULL, NULL, NO_TASK));
    host_problem(&h, 403, "forbidden");
    SEND(&h, any, ANSWER("4", MEMBER, "f", NULL, NULL, NULL, NO_TASK));
    host_problem(&h, 412, "precondition_failed");
    SEND(&h, any, ANSWER("3", MEMBER, "f", NULL, NULL, NULL, NO_TASK));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422,
                "\"errors\":[{\"pointer\":\"/version\",\"code\":\"not_found\"");
    SEND(&h, any, ANSWER("3", MEMBER, "t", "t", "t", "f", NO_TASK));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422,
                "\"errors\":[{\"pointer\":\"/assignee_id\",\"code\":"
                "\"not_found\"");
    SEND(&h, any, ANSWER("3", MEMBER, "t", "f", "t", "f", NO_TASK));
    host_assert(&h, 422, "\"errors\":[{\"pointer\":\"/project_id\"");
    SEND(&h, any, ANSWER("3", MEMBER, "t", "t", "t", "t", NO_TASK));
    host_problem(&h, 409, "state_conflict");
    host_free(&h);
}


static void
test_rollback_input(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *body;
        const char *part;
    } cases[] = {
        { "{}", "\"pointer\":\"/version\",\"code\":\"required\"" },
        { "{\"version\":null}", "\"pointer\":\"/version\"" },
        { "{\"version\":\"2\"}", "\"code\":\"wrong_type\"" },
        { "{\"version\":2.5}", "\"pointer\":\"/version\"" },
        { "{\"version\":0}", "\"pointer\":\"/version\"" },
        { "{\"version\":-1}", "\"pointer\":\"/version\"" },
        { "{\"version\":2,\"title\":\"x\"}",
          "\"pointer\":\"/title\",\"code\":\"unknown_field\"" },
        { "[]", "\"code\":\"wrong_type\"" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, R(.method = "POST", .path = ROLLBACK, .token = h.owner,
                    .body = cases[i].body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, cases[i].part);
    }

    SEND0(&h,
          R(.method = "POST", .path = ROLLBACK, .token = h.owner, .body = "{"));
    host_problem(&h, 400, "malformed_json");
    SEND0(&h, R(.method = "POST", .path = ROLLBACK, .token = h.owner,
                .body = "{\"version\":2}", .type = "text/plain"));
    host_problem(&h, 415, "unsupported_media_type");
    SEND0(&h, R(.method = "POST", .path = "/v1/tasks/x/rollback",
                .token = h.owner, .body = "{\"version\":2}"));
    host_problem(&h, 404, "not_found");
    host_free(&h);
}


/* It takes two permissions, and the narrower of their scopes. */
static void
test_rollback_permissions(void **state)
{
    host h;
    const char **row;

    (void) state;
    host_init_bare(&h);
    row = teamos_find(&h.rows, TEAMOS_GRANTS, "member", "133", NULL);
    row[0] = "admin"; /* a second time: no history for members */
    host_adopt(&h);
    SEND0(&h, R(.method = "POST", .path = ROLLBACK, .token = h.member,
                .body = "{\"version\":2}"));
    host_problem(&h, 403, "forbidden");
    host_free(&h);

    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_GRANTS, "owner", "133", NULL)[2] = "own";
    host_adopt(&h);
    SEND(&h,
         R(.method = "POST", .path = ROLLBACK, .token = h.owner,
           .body = "{\"version\":2}"),
         ANSWER("3", MEMBER, "t", "t", "t", "t", NO_TASK));
    host_problem(&h, 403, "forbidden");
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), OWNER);
    host_free(&h);

    /* who sees only own rows isn't told of others */
    host_init(&h);
    SEND(&h,
         R(.method = "POST", .path = "/v1/projects/" PROJECT "/rollback",
           .token = h.guest, .body = "{\"version\":2}"),
         { ROWS(17, "1", OWNER, "t", NO_TASK, FRESH) });
    host_problem(&h, 404, "not_found");
    host_free(&h);
}


static void
test_restore(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "POST", .path = RESTORE, .token = h.member,
           .if_match = "\"3\""),
         ANSWER("3", MEMBER, "t", "t", "t", "t", DONE));
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body, TASK_JSON(TASK, "\"n\"", "todo", "4", MEMBER));
    unit_assert_str(host_response_header(&h, "ETag"), "\"4\"");
    assert_null(strchr(h.trace, 'B'));
    unit_assert_str(host_bound(&h, "old.version = any("), "{3}");
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), MEMBER);
    assert_true(host_has(h.sql, "'task.restored', 'teamos.task'"));
    assert_true(host_has(h.sql, ", deleted_at = null from old, ref where "));
    assert_true(host_has(h.sql, " and old.was_deleted and ref.r1 and "
                                "ref.alive1"));
    assert_false(host_has(h.sql, "t.deleted_at is null"));

    /* without references: projects */
    SEND(&h,
         R(.method = "POST", .path = "/v1/projects/" PROJECT "/restore",
           .token = h.owner),
         { ROWS(17, "1", OWNER, "t", PROJECT, "p", NULL, NULL, NULL, "f", "0",
                NULL, "2", "2026-11-21 01:33:00+00", OWNER,
                "2026-11-21 01:33:00+00", FRESH) });
    host_assert(&h, 200, "\"name\":\"p\"");
    unit_assert_str(host_response_header(&h, "ETag"), "\"2\"");
    assert_true(host_has(h.sql, ", deleted_at = null from old where "));
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), NULL);
    host_free(&h);
}


static void
test_restore_refused(void **state)
{
    host h;
    const host_request *any;

    (void) state;
    host_init(&h);
    any = R(.method = "POST", .path = RESTORE, .token = h.member,
            .if_match = "\"3\"");

    SEND(&h, any, ANSWER(NULL, NULL, NULL, NULL, NULL, NULL, NO_TASK));
    host_problem(&h, 404, "not_found");
    SEND(&h, any, ANSWER("4", OWNER, "f", "t", "f", "t", NO_TASK));
    host_problem(&h, 403, "forbidden");
    SEND(&h, any, ANSWER("4", MEMBER, "f", "t", "f", "t", NO_TASK));
    host_problem(&h, 412, "precondition_failed");
    SEND(&h, any, ANSWER("3", MEMBER, "f", "t", "f", "t", NO_TASK));
    host_problem(&h, 409, "state_conflict");
    host_assert(&h, 409, "isn't deleted");
    SEND(&h, any, ANSWER("3", MEMBER, "t", "t", "f", "t", NO_TASK));
    host_problem(&h, 409, "state_conflict");
    host_assert(&h, 409, "restore that first");

    SEND0(&h,
          R(.method = "POST", .path = "/v1/tasks/x/restore", .token = h.owner));
    host_problem(&h, 404, "not_found");
    SEND0(&h, R(.method = "POST", .path = RESTORE, .token = h.guest));
    host_problem(&h, 403, "forbidden");

    /* what is deleted for good has no way back */
    SEND0(&h, R(.method = "POST", .path = "/v1/notes/" NOTE "/restore",
                .token = h.owner));
    host_problem(&h, 404, "not_found");
    host_free(&h);
}


/* id, text, version, created_at, created_by, updated_at */
#define NOTE_CELLS \
    NOTE, "t", "4", "2026-11-21 01:33:00+00", OWNER, "2026-11-21 01:33:00+00"
#define NO_NOTE NULL, NULL, NULL, NULL, NULL, NULL


static void
test_required_match(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *method;
        const char *path;
        const char *body;
    } cases[] = {
        { "PATCH", "/v1/notes/" NOTE, "{\"text\":\"t\"}" },
        { "PATCH", "/v1/notes/" NOTE, "{}" },
        { "DELETE", "/v1/notes/" NOTE, NULL },
        { "POST", "/v1/notes/" NOTE "/rollback", "{\"version\":1}" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, R(.method = cases[i].method, .path = cases[i].path,
                    .body = cases[i].body, .token = h.owner, .key = "k"));
        host_problem(&h, 428, "precondition_required");
        SEND0(&h, R(.method = cases[i].method, .path = cases[i].path,
                    .body = cases[i].body, .token = h.owner, .if_match = ""));
        host_problem(&h, 428, "precondition_required");
        SEND0(&h, R(.method = cases[i].method, .path = cases[i].path,
                    .body = cases[i].body, .token = h.member));
        host_problem(&h, 403, "forbidden");
    }

    /* a row that can't be is not there, and a bad body is bad, all the same */
    SEND0(&h, R(.method = "DELETE", .path = "/v1/notes/x", .token = h.owner));
    host_problem(&h, 404, "not_found");
    SEND0(&h, R(.method = "PATCH", .path = "/v1/notes/" NOTE,
                .body = "{\"text\":1}", .token = h.owner));
    host_problem(&h, 422, "invalid_fields");

    /* any condition is one */
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/notes/" NOTE, .token = h.owner,
           .if_match = "*"),
         { ROWS(5, "3", OWNER, NOTE, FRESH) });
    host_assert(&h, 204, NULL);
    assert_true(
        host_has(h.sql, "done as (delete from teamos.note t using old"));
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/notes/" NOTE, .token = h.owner,
           .if_match = "\"3\"", .body = "{\"text\":\"t\"}"),
         { ROWS(10, "3", OWNER, NOTE_CELLS, FRESH) });
    host_assert(&h, 200, "\"text\":\"t\",\"version\":4");
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/notes/" NOTE, .token = h.owner,
           .if_match = "\"x\"", .body = "{\"text\":\"t\"}"),
         { ROWS(10, "3", OWNER, NO_NOTE, FRESH) });
    host_problem(&h, 412, "precondition_failed");

    /* there is nothing yet that a new one could match */
    SEND(&h,
         R(.method = "POST", .path = "/v1/notes", .token = h.owner,
           .body = "{\"text\":\"t\"}"),
         { ROWS(9, "t", NOTE_CELLS, FRESH) });
    host_assert(&h, 201, NULL);
    unit_assert_str(host_response_header(&h, "Location"), "/v1/notes/" NOTE);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_rollback),
          cmocka_unit_test(test_rollback_refused),
          cmocka_unit_test(test_rollback_input),
          cmocka_unit_test(test_rollback_permissions),
          cmocka_unit_test(test_restore),
          cmocka_unit_test(test_restore_refused),
          cmocka_unit_test(test_required_match))
