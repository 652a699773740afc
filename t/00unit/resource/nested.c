/*
 * Lists of a row: its history, what belongs to it; and ?q=. Each is a list as
 * any other, behind a look at whether the row is there to be seen.
 */

#include "libcore/http/http.h"
#include "t/00unit/host.h"

#define T1    "0192f0c0-0000-7000-8000-000000000101"
#define T2    "0192f0c0-0000-7000-8000-000000000102"
#define OTHER "0192f0c0-0000-7000-8000-0000000000f9"
#define EVENT "0192f0c0-0000-7000-8000-0000000000e1"
#define AT    "2026-11-21 01:33:00.12+00"

#define PROJECT_ROW(owner)                                                 \
    {                                                                      \
        12, CELLS(PROJECT, "p", NULL, NULL, NULL, "f", "0", NULL, "1", AT, \
                  owner, AT)                                               \
    }
#define NO_PROJECT  \
    {               \
        12, 0, NULL \
    }
#define KNOWN(b)    \
    {               \
        1, CELLS(b) \
    }
#define A_TASK TASK_CELLS(T1, "a", "todo", "1", OWNER), AT, T1
#define B_TASK TASK_CELLS(T2, "b", "todo", "1", OWNER), AT, T2
#define AN_EVENT(id)                                                  \
    id, AT, "task.updated", "success", "{\"type\": \"user\"}", OWNER, \
        "teamos.task", TASK, "2", "r-1", NULL, NULL, NULL, "{}", "{}", AT, id

#define NESTED  "/v1/projects/" PROJECT "/tasks"
#define HISTORY "/v1/tasks/" TASK "/history"


static void
next_cursor(const host *h, char out[512])
{
    const char *p = strstr(h->body, "\"next_cursor\":\"");

    assert_non_null(p);
    assert_int_equal(sscanf(p, "\"next_cursor\":\"%511[A-Za-z0-9_-]\"", out),
                     1);
}


static void
test_nested(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = NESTED, .token = h.member),
         { .rows = { PROJECT_ROW(OWNER), { 14, CELLS(A_TASK) } } });
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body,
                        "{\"data\":[" TASK_JSON(T1, "\"a\"", "todo", "1",
                                                OWNER) "],\"next_cursor\":"
                                                       "null}");
    unit_assert_str(tn_op_facts(h.op)->operation, "listProjectTasks");
    unit_assert_str(host_bound(&h, "t.\"project_id\" = "), PROJECT);
    unit_assert_str(host_bound(&h, "t.tenant_id = "), ACME);
    assert_true(host_has(h.before, "from teamos.project t where t.tenant_id "
                                   "= $"));
    assert_true(host_has(h.before, "t.deleted_at is null"));

    /* filters, sort, as in any list; also the parent's own column */
    SEND(&h,
         R(.path = NESTED, .token = h.member,
           .query = "status=todo&sort=created_at&fields=title&q=abc"),
         { .rows = { PROJECT_ROW(OWNER), { 14, CELLS(A_TASK) } } });
    host_assert(&h, 200, "{\"data\":[{\"title\":\"a\"}],");
    unit_assert_str(host_bound(&h, "t.\"status\" = "), "todo");
    unit_assert_str(host_bound(&h, "t.\"project_id\" = "), PROJECT);
    unit_assert_str(host_bound(&h, "teamos.task_search("), "abc");

    /* a parent that isn't there, or can't be, is not found: not empty */
    SEND(&h, R(.path = NESTED, .token = h.member),
         { .rows = { NO_PROJECT, { 14, 0, NULL } } });
    host_problem(&h, 404, "not_found");
    SEND0(&h, R(.path = "/v1/projects/x/tasks", .token = h.member));
    host_problem(&h, 404, "not_found");
    SEND(&h, R(.path = NESTED, .token = h.member),
         { .rows = { PROJECT_ROW(OWNER), { 14, 0, NULL } } });
    host_assert(&h, 200, "{\"data\":[],\"next_cursor\":null}");
    host_free(&h);
}


/* It takes reading both, each in its own scope. */
static void
test_nested_scopes(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = NESTED, .token = h.guest));
    host_problem(&h, 403, "forbidden");
    host_free(&h);

    /* guest sees its own projects; tasks of all in them */
    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_GRANTS, "guest", "72", NULL)[1] = "130";
    teamos_find(&h.rows, TEAMOS_GRANTS, "guest", "130", NULL)[2] = "tenant";
    host_adopt(&h);
    SEND(&h, R(.path = NESTED, .token = h.guest),
         { .rows = { PROJECT_ROW(GUEST), { 14, CELLS(A_TASK) } } });
    host_assert(&h, 200, "\"title\":\"a\"");
    assert_false(host_has(h.sql, "t.\"created_by\" = $"));
    SEND(&h, R(.path = NESTED, .token = h.guest),
         { .rows = { PROJECT_ROW(OWNER), { 14, CELLS(A_TASK) } } });
    host_problem(&h, 404, "not_found");
    SEND(&h, R(.path = NESTED, .token = h.guest),
         { .rows = { PROJECT_ROW(NULL), { 14, CELLS(A_TASK) } } });
    host_problem(&h, 404, "not_found");
    host_free(&h);

    /* and the other way round: all projects, own tasks */
    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_GRANTS, "member", "130", NULL)[2] = "own";
    host_adopt(&h);
    SEND(&h, R(.path = NESTED, .token = h.member),
         { .rows = { PROJECT_ROW(OWNER), { 14, CELLS(A_TASK) } } });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "t.\"created_by\" = "), MEMBER);
    host_free(&h);
}


static void
test_history(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = HISTORY, .token = h.member),
         { .rows = { KNOWN("t"), { 17, CELLS(AN_EVENT(EVENT)) } } });
    host_assert(&h, 200, NULL);
    assert_string_equal(
        h.body,
        "{\"data\":[{\"id\":\"" EVENT "\",\"at\":\"2026-11-21T01:33:00."
        "120000Z\",\"action\":\"task.updated\",\"outcome\":\"success\","
        "\"actor\":{\"type\":\"user\"},\"resource\":\"teamos.task\","
        "\"resource_id\":\"" TASK "\",\"version\":2,\"request_id\":\"r-1\","
        "\"ip\":null,\"user_agent\":null,\"metadata\":null,\"before\":{},"
        "\"after\":{}}],\"next_cursor\":null}");
    unit_assert_str(tn_op_facts(h.op)->operation, "listTaskHistory");
    unit_assert_str(host_bound(&h, "t.resource_id = "), TASK);
    unit_assert_str(host_bound(&h, "t.resource = "), "teamos.task");
    unit_assert_str(host_bound(&h, "t.tenant_id = "), ACME);
    assert_true(host_has(h.sql, "from tenon.audit_event t"));
    assert_true(host_has(h.sql, "t.outcome = 'success'"));
    assert_true(host_has(h.sql, "order by t.\"at\" desc, t.id desc"));
    assert_true(host_has(h.before, "as known"));

    /* filters, fields and sort are those of events */
    SEND(&h,
         R(.path = HISTORY, .token = h.member,
           .query = "action=task.updated&actor=" OWNER "&fields=id,version"),
         { .rows = { KNOWN("t"), { 17, CELLS(AN_EVENT(EVENT)) } } });
    host_assert(&h, 200, "{\"data\":[{\"id\":\"" EVENT "\",\"version\":2}],");
    unit_assert_str(host_bound(&h, "t.\"actor_id\" = "), OWNER);
    SEND0(&h, R(.path = HISTORY, .token = h.member, .query = "status=todo"));
    host_problem(&h, 400, "unknown_parameter");
    SEND0(&h, R(.path = HISTORY, .token = h.member, .query = "q=x"));
    host_problem(&h, 400, "unknown_parameter");
    SEND0(&h, R(.path = HISTORY, .token = h.member, .query = "sort=title"));
    host_problem(&h, 400, "invalid_parameter");

    SEND(&h, R(.path = HISTORY, .token = h.member),
         { .rows = { KNOWN("f"), { 17, 0, NULL } } });
    host_problem(&h, 404, "not_found");
    SEND(&h, R(.path = HISTORY, .token = h.member),
         { .rows = { { 1, 0, NULL }, { 17, 0, NULL } } });
    host_problem(&h, 404, "not_found");
    SEND0(&h, R(.path = "/v1/tasks/x/history", .token = h.member));
    host_problem(&h, 404, "not_found");
    SEND0(&h, R(.path = HISTORY, .token = h.guest));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* Whose grant is for own rows asks as one who has to own the row. */
static void
test_history_own(void **state)
{
    host h;
    const tn__endpoint *e;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/projects/" PROJECT "/history", .token = h.guest),
         { .rows = { KNOWN("t"), { 17, 0, NULL } } });
    host_assert(&h, 200, NULL);
    assert_true(host_has(h.before, "t.\"created_by\" = $"));

    /* the actor goes to the look, not to the list */
    assert_false(host_has(h.sql, "actor_id\" = $"));
    e = h.op->endpoint;
    assert_int_equal(h.op->scope, TN__SCOPE_OWN);
    assert_ptr_equal(h.before.p, e->resource->known.stmt.sql.p);
    unit_assert_str(
        host_behind(h.op->queries[1].stmt->sql, h.op->queries[1].params,
                    h.op->queries[1].stmt->nparams, "t.\"created_by\" = "),
        GUEST);
    host_free(&h);
}


static void
test_search(void **state)
{
    host h;
    unsigned i;
    char query[1024];

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/tasks", .token = h.member,
           .query = "q=100%25_a%2Cb%27&status=todo"),
         { ROWS(14, A_TASK) });
    host_assert(&h, 200, "\"title\":\"a\"");
    unit_assert_str(host_bound(&h, "t.id in (select s.id from "
                                   "teamos.task_search("),
                    "100%_a,b'");
    unit_assert_str(host_bound(&h, "t.tenant_id = "), ACME);
    assert_true(h.slow);

    /* no other list says so */
    SEND(&h, R(.path = "/v1/tasks", .token = h.member, .query = "status=todo"),
         { ROWS(14, A_TASK) });
    host_assert(&h, 200, "\"title\":\"a\"");
    assert_false(h.slow);

    /* declared by tasks alone */
    SEND0(&h, R(.path = "/v1/projects", .token = h.member, .query = "q=abc"));
    host_problem(&h, 400, "unknown_parameter");
    host_assert(&h, 400, "\"pointer\":\"q\"");
    SEND0(&h,
          R(.path = "/v1/audit/events", .token = h.owner, .query = "q=abc"));
    host_problem(&h, 400, "unknown_parameter");

    /* 3 to 200 characters, two where they are not ASCII */
    SEND0(&h, R(.path = "/v1/tasks", .token = h.member, .query = "q=ab"));
    host_problem(&h, 400, "invalid_parameter");
    SEND0(&h, R(.path = "/v1/tasks", .token = h.member, .query = "q="));
    host_problem(&h, 400, "invalid_parameter");
    host_assert(&h, 400, "\"pointer\":\"q\",\"code\":\"out_of_range\"");
    SEND0(&h, R(.path = "/v1/tasks", .token = h.member, .query = "q=a&q=b"));
    host_problem(&h, 400, "invalid_parameter");
    SEND0(&h, R(.path = "/v1/tasks", .token = h.member, .query = "q=%ff"));
    host_problem(&h, 400, "invalid_parameter");
    SEND0(&h, R(.path = "/v1/tasks", .token = h.member, .query = "q[gt]=a"));
    host_problem(&h, 400, "unknown_parameter");

    query[0] = 'q';
    query[1] = '=';
    for (i = 0; i < 200; i++) {
        memcpy(query + 2 + 2 * i, "\xc3\xa9", 3);
    }
    SEND(&h, R(.path = "/v1/tasks", .token = h.member, .query = query),
         { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    memcpy(query + 402, "e", 2);
    SEND0(&h, R(.path = "/v1/tasks", .token = h.member, .query = query));
    host_problem(&h, 400, "invalid_parameter");
    host_free(&h);
}


/* A page of tasks with a next one. */
#define TWO                       \
    {                             \
        14, CELLS(A_TASK, B_TASK) \
    }


static void
test_cursors(void **state)
{
    size_t i;
    host h;
    char cursor[512], query[1024], link[1024];
    static const struct {
        const char *path;
        const char *query;
    } others[] = {
        { "/v1/projects/" PROJECT "/tasks", "limit=1" },
        { "/v1/projects/" PROJECT "/tasks", "limit=1&q=two" },
        { "/v1/projects/" OTHER "/tasks", "limit=1&q=one" },
        { "/v1/tasks", "limit=1&q=one" },
        { "/v1/tasks", "limit=1&q=one&project_id=" PROJECT },
        { "/v1/tasks/" TASK "/history", "limit=1" },
    };

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = NESTED, .token = h.owner, .query = "limit=1&q=one",
           .prefix = "/api"),
         { .rows = { PROJECT_ROW(OWNER), TWO } });
    next_cursor(&h, cursor);
    snprintf(link, sizeof(link),
             "</api" NESTED "?limit=1&q=one&cursor=%s>; rel=\"next\"", cursor);
    unit_assert_str(host_response_header(&h, "Link"), link);

    snprintf(query, sizeof(query), "q=one&cursor=%s", cursor);
    SEND(&h, R(.path = NESTED, .token = h.owner, .query = query),
         { .rows = { PROJECT_ROW(OWNER), { 14, 0, NULL } } });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "t.id) < ("), AT);
    unit_assert_str(host_bound(&h, "t.\"project_id\" = "), PROJECT);
    unit_assert_str(host_bound(&h, "teamos.task_search("), "one");

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        snprintf(query, sizeof(query), "%s&cursor=%s", others[i].query, cursor);
        SEND0(&h, R(.path = others[i].path, .query = query, .token = h.owner));
        host_problem(&h, 400, "invalid_cursor");
    }

    /* a history's is of that row's, and no part of the log's */
    SEND(&h, R(.path = HISTORY, .token = h.owner, .query = "limit=1"),
         { .rows = { KNOWN("t"),
                     { 17, CELLS(AN_EVENT(EVENT), AN_EVENT(T1)) } } });
    next_cursor(&h, cursor);
    snprintf(link, sizeof(link),
             "<" HISTORY "?limit=1&cursor=%s>; rel=\"next\"", cursor);
    unit_assert_str(host_response_header(&h, "Link"), link);
    snprintf(query, sizeof(query), "cursor=%s", cursor);
    SEND(&h, R(.path = HISTORY, .token = h.owner, .query = query),
         { .rows = { KNOWN("t"), { 17, 0, NULL } } });
    host_assert(&h, 200, NULL);
    SEND0(&h, R(.path = "/v1/tasks/" OTHER "/history", .token = h.owner,
                .query = query));
    host_problem(&h, 400, "invalid_cursor");
    SEND0(&h, R(.path = "/v1/audit/events", .token = h.owner, .query = query));
    host_problem(&h, 400, "invalid_cursor");
    SEND0(&h, R(.path = "/v1/projects/" TASK "/history", .token = h.owner,
                .query = query));
    host_problem(&h, 400, "invalid_cursor");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_nested), cmocka_unit_test(test_nested_scopes),
          cmocka_unit_test(test_history), cmocka_unit_test(test_history_own),
          cmocka_unit_test(test_search), cmocka_unit_test(test_cursors))
