/*
 * Paths and methods: 404, 405 with Allow, HEAD as GET.
 */

#include "t/00unit/host.h"


static void
test_unknown_paths(void **state)
{
    unsigned i;
    host h;
    static const char *const paths[] = {
        "/",
        "",
        "v1/tasks",
        "/v1",
        "/v1/",
        "/v1/task",
        "/v1/tasks/",
        "/v1//tasks",
        "//v1/tasks",
        "/v1/tasks/" TASK "/",
        "/v1/tasks/" TASK "/x",
        "/V1/tasks",
        "/v1/tasks//",
        "/v1/auth",
        "/a/b/c/d/e/f/g/h/i/j/k/l",
        "/v1/{id}",
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        SEND0(&h, R(.path = paths[i], .token = h.owner));
        host_problem(&h, 404, "not_found");
        assert_string_equal(h.trace, "");
        assert_null(tn_op_facts(h.op)->operation.p);
    }

    host_free(&h);
}


static void
test_methods(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *method;
        const char *path;
        const char *allow;
    } cases[] = {
        { "PUT", "/v1/tasks", "GET, HEAD, POST, OPTIONS" },
        { "get", "/v1/tasks", "GET, HEAD, POST, OPTIONS" },
        { "", "/v1/tasks", "GET, HEAD, POST, OPTIONS" },
        { "POST", "/v1/tasks/" TASK, "GET, HEAD, PATCH, DELETE, OPTIONS" },
        { "POST", "/v1/tasks/nope", "GET, HEAD, PATCH, DELETE, OPTIONS" },
        { "GET", "/v1/auth/login", "POST, OPTIONS" },
        { "HEAD", "/v1/auth/login", "POST, OPTIONS" },
        { "GET", "/v1/tasks/" TASK "/restore", "POST, OPTIONS" },
        { "DELETE", "/v1/projects/" PROJECT "/tasks", "GET, HEAD, OPTIONS" },
        { "DELETE", "/live", "GET, HEAD, OPTIONS" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, R(.method = cases[i].method, .path = cases[i].path));
        host_problem(&h, 405, "method_not_allowed");
        unit_assert_str(host_response_header(&h, "Allow"), cases[i].allow);
    }

    host_free(&h);
}


static void
test_head_is_get(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.method = "HEAD", .path = "/v1/tasks/" TASK, .token = h.owner),
         { ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_response_header(&h, "ETag"), "\"3\"");
    SEND(&h,
         R(.method = "HEAD", .path = "/v1/tasks/" TASK, .token = h.owner,
           .if_none_match = "\"3\""),
         { ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) });
    host_assert(&h, 304, NULL);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_unknown_paths), cmocka_unit_test(test_methods),
          cmocka_unit_test(test_head_is_get))
