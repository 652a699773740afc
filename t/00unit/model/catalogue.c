/*
 * A catalogue is compiled whole or refused with a line that says what is
 * wrong and where; the old one keeps serving.
 */

#include "libcore/model/model.h"
#include "t/00unit/host.h"


static void
assert_refused(host *h, const char *a, const char *b)
{
    tn_str fault;
    tn_catalogue *cat;

    assert_int_not_equal(
        tn_catalogue_new(&cat, h->core, teamos_reply(&h->rows), &fault), TN_OK);
    assert_null(cat);

    if (!host_has(fault, a) || !host_has(fault, b)) {
        fail_msg("says: %.*s", (int) fault.n, fault.p);
    }

    /* the old one serves on */
    SEND0(h, R(.path = "/v1/tasks", .host = ACME_HOST));
    host_problem(h, 401, "unauthenticated");
    teamos_rows(&h->rows);
}

#define FIELD(name) teamos_find(&h.rows, TEAMOS_FIELDS, "teamos", "task", name)


static void
test_refusals(void **state)
{
    host h;
    const char **row;

    (void) state;
    host_init(&h);

    FIELD("title")[3] = "money";
    assert_refused(&h, "teamos.task.title", "type can't be served");

    FIELD("title")[3] = "text[]";
    assert_refused(&h, "teamos.task.title", "type can't be served");

    FIELD("priority")[9] = "[\"low\"";
    assert_refused(&h, "a set of values is no JSON: [\"low\"", "");

    FIELD("assignee_id")[11] = "t";
    assert_refused(&h, "teamos.task.assignee_id", "make the column not null");

    FIELD("priority")[16] = "t";
    assert_refused(&h, "teamos.task.priority", "is encrypted, so it must be");

    FIELD("status")[16] = "t";
    assert_refused(&h, "teamos.task.status", "is encrypted, so it must be");

    FIELD("assignee_id")[16] = "t";
    assert_refused(&h, "teamos.task.assignee_id",
                   "is encrypted, so it must be");

    teamos_find(&h.rows, TEAMOS_PERMISSIONS, NULL, "teamos.task:update",
                NULL)[1] = "teamos.task:change";
    assert_refused(&h, "updateTask", "\"teamos.task:update\"");

    teamos_find(&h.rows, TEAMOS_PERMISSIONS, NULL, "teamos.note:history",
                NULL)[1] = "teamos.note:past";
    assert_refused(&h, "listNoteHistory", "\"teamos.note:history\"");

    teamos_find(&h.rows, TEAMOS_PERMISSIONS, NULL, "teamos.task:restore",
                NULL)[1] = "teamos.task:undelete";
    assert_refused(&h, "restoreTask", "\"teamos.task:restore\"");

    /* only a row that is still there can come back */
    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "note", NULL)[4] = "t";
    assert_refused(&h, "restoreNote", "\"teamos.note:restore\"");

    teamos_find(&h.rows, TEAMOS_PERMISSIONS, "1", NULL, NULL)[0] = "0";
    assert_refused(&h, "getTenant", "\"tenon.tenant:read\"");

    h.rows.tables[TEAMOS_VERSION].rows[0][1] = "1";
    assert_refused(&h, "schema version is 1, this build needs " TEAMOS_SCHEMA,
                   "tenonctl migrate");

    h.rows.tables[TEAMOS_VERSION].rows[0][0] = NULL;
    assert_refused(&h, "catalogue_version has no row", "tenonctl migrate");

    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL)[2] =
        "projects";
    assert_refused(&h,
                   "teamos.project and teamos.task would both serve GET "
                   "/v1/projects: give one another path => '…'",
                   "");

    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL)[2] =
        "audit/events";
    assert_refused(&h,
                   "the platform and teamos.task would both serve GET "
                   "/v1/audit/events: give teamos.task another name => '…' "
                   "and path => '…'",
                   "");

    row = teamos_find(&h.rows, TEAMOS_GRANTS, "guest", "70", NULL);
    row[1] = "1025";
    assert_refused(&h, "tenon.grant", "1024");

    row = teamos_find(&h.rows, TEAMOS_GRANTS, "guest", "70", NULL);
    row[0] = "nobody";
    assert_refused(&h, "tenon.grant", "role");

    FIELD("created_at")[2] = "made_at";
    assert_refused(&h, "teamos.task.created_at", "no such column");

    FIELD("id")[2] = "key";
    assert_refused(&h, "teamos.task.id", "no such column");

    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL)[5] =
        "lost_by";
    assert_refused(&h, "teamos.task.lost_by", "no such column");

    FIELD("title")[2] = "ti\"tle";
    assert_refused(&h, "ti\"tle", "made of a-z");

    FIELD("status")[3] = "jsonb";
    assert_refused(&h, "teamos.task.status", "JSON can't be compared");

    /* behind one that compiled: nothing may leak */
    FIELD("title")[8] = "^ok$";
    FIELD("origin")[8] = "(unclosed";
    assert_refused(&h, "origin", "(unclosed");
    host_free(&h);
}


static void
test_unreadable(void **state)
{
    host h;
    tn_str fault;
    tn_reply reply;
    tn_catalogue *cat;

    (void) state;
    host_init(&h);
    reply = *teamos_reply(&h.rows);
    reply.outcome = TN_DB_ERROR;
    reply.message = TN_STR("no such table");
    assert_int_not_equal(tn_catalogue_new(&cat, h.core, &reply, &fault), TN_OK);
    assert_null(cat);
    assert_true(host_has(fault, "no such table"));

    reply = *teamos_reply(&h.rows);
    reply.n--;
    assert_int_not_equal(tn_catalogue_new(&cat, h.core, &reply, &fault), TN_OK);
    assert_null(cat);
    host_free(&h);
}


/* What hosts and tests read of it. */
static void
test_endpoints_and_statements(void **state)
{
    host h;
    unsigned i, k, n, found, apps;
    tn_endpoint_info info;
    const tn_stmt *const *list;

    (void) state;
    host_init(&h);
    assert_int_equal(tn_catalogue_version(h.catalogue), 7);
    assert_int_equal(tn_catalogue_batch()->n, TEAMOS_READS);
    assert_false(tn_catalogue_batch()->writes);

    tn_catalogue_statements(&list, &n, h.catalogue);

    for (i = 0; i < n; i++) {
        assert_true(list[i]->sql.n > 0 && list[i]->name.n < 64);
        assert_int_not_equal(list[i]->sql.p[list[i]->sql.n - 1], ';');

        for (k = 0; k < i; k++) {
            assert_false(
                list[i]->name.n == list[k]->name.n &&
                memcmp(list[i]->name.p, list[k]->name.p, list[i]->name.n) == 0);
        }
    }

    for (i = found = apps = 0; tn_catalogue_endpoint(&info, h.catalogue, i);
         i++) {
        assert_true(info.operation.n && info.permission.n && info.path.n);

        if (!host_has(info.permission, "teamos.")) {
            continue;
        }

        apps++;

        for (k = 0; k < n; k++) {
            found += list[k]->name.p == info.stmt->name.p;
        }

        if (info.operation.n == 9 &&
            memcmp(info.operation.p, "listTasks", 9) == 0) {
            unit_assert_str(info.method, "GET");
            unit_assert_str(info.path, "/v1/tasks");
            unit_assert_str(info.permission, "teamos.task:read");
            assert_int_equal(info.ncolumns, 12);
        }
    }

    /* notes: none can be restored; tasks: those of a project are a list; then
     * actions and queries, which are prepared when they are asked for */
    assert_int_equal(apps, 7 + 8 + 9 + 6);
    assert_int_equal(found, 5 + 5 + 6);
    assert_int_equal(tn_catalogue_endpoint(&info, h.catalogue, 1000), 0);

    tn_catalogue_statements(&list, &n, NULL);
    assert_true(n > 5);
    host_free(&h);
}


static const tn__endpoint *
endpoint(const host *h, const char *operation)
{
    unsigned i;
    const tn__endpoint *e;

    for (i = 0; i < h->catalogue->nendpoints; i++) {
        e = &h->catalogue->endpoints[i];

        if (tn__eq(e->operation, unit_str(operation))) {
            return e;
        }
    }

    return NULL;
}


/* The whole of a resource's endpoints, by their names. */
static void
test_endpoints_of_a_resource(void **state)
{
    host h;
    unsigned i;
    const tn__endpoint *e;
    static const struct {
        const char *operation;
        const char *method;
        const char *path;
        const char *permission;
        const char *also;
        const char *action;
    } rows[] = {
        { "listTasks", "GET", "/v1/tasks", "teamos.task:read", NULL,
          "task.listed" },
        { "createTask", "POST", "/v1/tasks", "teamos.task:create", NULL,
          "task.created" },
        { "getTask", "GET", "/v1/tasks/{id}", "teamos.task:read", NULL,
          "task.read" },
        { "updateTask", "PATCH", "/v1/tasks/{id}", "teamos.task:update", NULL,
          "task.updated" },
        { "deleteTask", "DELETE", "/v1/tasks/{id}", "teamos.task:delete", NULL,
          "task.deleted" },
        { "listTaskHistory", "GET", "/v1/tasks/{id}/history",
          "teamos.task:history", NULL, "task.history_listed" },
        { "rollBackTask", "POST", "/v1/tasks/{id}/rollback",
          "teamos.task:update", "teamos.task:history", "task.rolled_back" },
        { "restoreTask", "POST", "/v1/tasks/{id}/restore",
          "teamos.task:restore", NULL, "task.restored" },
        { "listProjectTasks", "GET", "/v1/projects/{id}/tasks",
          "teamos.task:read", "teamos.project:read", "task.listed" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        e = endpoint(&h, rows[i].operation);
        assert_non_null(e);
        unit_assert_str(e->method, rows[i].method);
        unit_assert_str(e->path, rows[i].path);
        assert_string_equal(e->permission_name, rows[i].permission);
        assert_int_equal(e->also_name != NULL, rows[i].also != NULL);
        assert_true(!e->also_name || strcmp(e->also_name, rows[i].also) == 0);
        unit_assert_str(e->action, rows[i].action);
    }

    assert_null(endpoint(&h, "restoreNote"));
    assert_non_null(endpoint(&h, "rollBackNote"));
    assert_true(endpoint(&h, "updateNote")->resource->require_match);
    assert_false(endpoint(&h, "updateTask")->resource->require_match);
    unit_assert_str(endpoint(&h, "listTasks")->resource->search,
                    "teamos.task_search");
    unit_assert_str(endpoint(&h, "listNotes")->resource->search, NULL);
    host_free(&h);
}


/* What may be refused has a name for the log. */
static void
test_actions(void **state)
{
    host h;
    unsigned i;
    const tn__endpoint *e;

    (void) state;
    host_init(&h);

    for (i = 0; i < h.catalogue->nendpoints; i++) {
        e = &h.catalogue->endpoints[i];

        if (strchr(e->permission_name, ':') && e->action.p == NULL) {
            fail_msg("%.*s has no action", (int) e->operation.n,
                     e->operation.p);
        }

        assert_true(e->action.p == NULL || host_has(e->action, "."));
    }

    host_free(&h);
}


/* Nothing is nested in what isn't there. */
static void
test_parents(void **state)
{
    unsigned i;
    host h;
    const char **row;
    const char *const cases[][2] = { { "nowhere", "project_id" },
                                     { "project", "nothing_id" },
                                     { NULL, NULL },
                                     { "project", NULL } };

    (void) state;

    for (i = 0; i < 4; i++) {
        host_init_bare(&h);
        row = teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL);
        row[6] = cases[i][0];
        row[7] = cases[i][1];
        host_adopt(&h);
        assert_null(endpoint(&h, "listProjectTasks"));
        SEND0(&h, R(.path = "/v1/projects/" PROJECT "/tasks"));
        host_problem(&h, 404, "not_found");
        host_free(&h);
    }

    /* in itself: tasks of tasks */
    host_init_bare(&h);
    row = teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL);
    row[6] = "task";
    row[7] = "assignee_id";
    host_adopt(&h);
    unit_assert_str(endpoint(&h, "listTaskTasks")->path,
                    "/v1/tasks/{id}/tasks");
    host_free(&h);
}


/* Every statement of every resource carries the tenant, and every write its
 * event; what a function of the app's changes, triggers log. */
static void
test_statements_carry_the_tenant(void **state)
{
    host h;
    int logs;
    unsigned i;
    tn_endpoint_info info;

    (void) state;
    host_init(&h);

    for (i = 0; tn_catalogue_endpoint(&info, h.catalogue, i); i++) {
        if (!host_has(info.permission, "teamos.") ||
            host_has(info.path, "/queries/")) {
            continue;
        }

        assert_true(host_has(info.stmt->sql, "tenant_id = $") ||
                    host_has(info.stmt->sql, "(tenant_id, id, created_by"));
        logs = !host_has(info.method, "GET") &&
               !host_has(info.stmt->sql, "_action(");
        assert_int_equal(host_has(info.stmt->sql, "insert into tenon.event ("),
                         logs);
        assert_int_equal(host_has(info.stmt->sql, "tenon.event_body"), logs);
    }

    host_free(&h);
}


/* An op keeps the catalogue that it was made under. */
static void
test_adopt_while_an_op_lives(void **state)
{
    host h;
    tn_op *op;
    unit_arena arena;
    tn_request request;
    const tn_want *want;
    tn_input input;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/v1/tasks"));
    request = h.request;
    memset(&input, 0, sizeof(input));
    unit_arena_init(&arena, 0);
    assert_int_equal(tn_op_new(&op, h.core, &request, &arena.mem), TN_OK);

    /* a new one without tasks; the old one would go if nobody held it */
    host_end(&h);
    h.rows.tables[TEAMOS_RESOURCES].rows[2][0] = NULL;
    h.rows.tables[TEAMOS_CALLS].rows[2][0] = NULL;
    h.rows.tables[TEAMOS_VERSION].rows[0][0] = "8";
    h.rows.tables[TEAMOS_VERSION_AFTER].rows[0][0] = "8";
    host_adopt(&h);
    assert_int_equal(tn_catalogue_version(h.catalogue), 8);

    want = tn_op_step(op, NULL);
    assert_int_equal(want->kind, TN_WANT_ZONE);
    unit_assert_str(tn_op_facts(op)->operation, "listTasks");
    want = tn_op_step(op, &input);
    assert_int_equal(want->kind, TN_WANT_DB);
    tn_op_free(op);
    unit_arena_free(&arena);

    SEND0(&h, R(.path = "/v1/tasks"));
    host_problem(&h, 404, "not_found");

    /* one that was never adopted is the host's to free; the same twice is
     * no change */
    {
        tn_str fault;
        tn_catalogue *cat;

        teamos_rows(&h.rows);
        assert_int_equal(
            tn_catalogue_new(&cat, h.core, teamos_reply(&h.rows), &fault),
            TN_OK);
        tn_catalogue_free(cat);
        host_end(&h); /* nobody but the core holds it */
        tn_core_adopt(h.core, h.catalogue);
        SEND0(&h, R(.path = "/v1/projects"));
        host_problem(&h, 401, "unauthenticated");
    }

    host_free(&h);
}


/* What is in the parentheses of a type: a length is a limit, a scale is the
 * database's to round to. */
static void
test_modifiers_of_types(void **state)
{
    host h;
    const tn__field *field;
    const tn__resource *task;

    (void) state;
    host_init_bare(&h);
    FIELD("title")[3] = "character varying(20)";
    FIELD("title")[7] = NULL;
    FIELD("priority")[3] = "numeric(8,3)";
    FIELD("priority")[9] = NULL;
    FIELD("priority")[5] = NULL;
    host_adopt(&h);
    task = h.catalogue->resources[2];

    field = tn__field_find(task->fields, task->nfields, TN_STR("title"));
    assert_int_equal(field->type, TN__TYPE_TEXT);
    unit_assert_str(field->sql_type, "character varying");
    assert_true(field->has_max);
    assert_int_equal(field->max, 20);

    field = tn__field_find(task->fields, task->nfields, TN_STR("priority"));
    assert_int_equal(field->type, TN__TYPE_NUMBER);
    unit_assert_str(field->sql_type, "numeric");
    assert_false(field->has_max);
    assert_false(task->binary);

    host_free(&h);
}


/* Makes the resource note another app's. */
static void
move_note(host *h, const char *app, const char *name)
{
    unsigned i, k;
    const char **row;
    static char permissions[16][64];
    static const unsigned tables[] = { TEAMOS_RESOURCES, TEAMOS_FIELDS };

    for (k = 0; k < 2; k++) {
        for (i = 0; (row = h->rows.tables[tables[k]].rows[i])[0]; i++) {
            if (strcmp(row[1], "note") == 0) {
                row[0] = app;
                row[1] = name;
            }
        }
    }

    for (i = k = 0; (row = h->rows.tables[TEAMOS_PERMISSIONS].rows[i])[0];
         i++) {
        if (strncmp(row[1], "teamos.note:", 12) == 0) {
            assert_true(k < 16);
            snprintf(permissions[k], sizeof(permissions[k]), "%s.%s:%s", app,
                     name, row[1] + 12);
            row[1] = permissions[k++];
        }
    }

    row = teamos_find(&h->rows, TEAMOS_CALLS, NULL, "action", "note");
    row[0] = app;
    row[2] = name;
}


/* Names go into one document: of two apps, too, they must differ. */
static void
test_two_apps(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    move_note(&h, "alpha", "task");
    assert_refused(&h,
                   "alpha.task and teamos.task would both be createTask: give "
                   "one another name => '…'",
                   "");

    move_note(&h, "alpha", "task");
    teamos_find(&h.rows, TEAMOS_RESOURCES, "alpha", "task", NULL)[2] = "tasks";
    assert_refused(&h,
                   "alpha.task and teamos.task would both serve GET /v1/tasks: "
                   "give one another name => '…' and path => '…'",
                   "");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_two_apps), cmocka_unit_test(test_refusals),
          cmocka_unit_test(test_unreadable),
          cmocka_unit_test(test_endpoints_and_statements),
          cmocka_unit_test(test_endpoints_of_a_resource),
          cmocka_unit_test(test_actions), cmocka_unit_test(test_parents),
          cmocka_unit_test(test_statements_carry_the_tenant),
          cmocka_unit_test(test_modifiers_of_types),
          cmocka_unit_test(test_adopt_while_an_op_lives))
