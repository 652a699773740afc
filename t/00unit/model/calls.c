/*
 * Actions and queries out of the catalogue: endpoints, or a refusal that says
 * what is wrong and where. A load in between the reads is told apart.
 */

#include "libcore/model/model.h"
#include "t/00unit/host.h"


/* The row of a call, argument or column that is named. */
static const char **
row_of(host *h, unsigned table, unsigned col, const char *name)
{
    unsigned i;
    const char **row;

    for (i = 0; h->rows.tables[table].rows[i][0]; i++) {
        row = h->rows.tables[table].rows[i];

        if (strcmp(row[col], name) == 0) {
            return row;
        }
    }

    fail_msg("no %s", name);
    return NULL;
}

#define CALL_ROW(name)   row_of(&h, TEAMOS_CALLS, 3, name)
#define PARAM_ROW(name)  row_of(&h, TEAMOS_PARAMS, 4, name)
#define COLUMN_ROW(name) row_of(&h, TEAMOS_COLUMNS, 4, name)


static tn_err
refused(host *h, const char *part)
{
    tn_err err;
    tn_str fault;
    tn_catalogue *cat;

    err = tn_catalogue_new(&cat, h->core, teamos_reply(&h->rows), &fault);
    assert_int_not_equal(err, TN_OK);
    assert_null(cat);

    if (!host_has(fault, part)) {
        fail_msg("says: %.*s", (int) fault.n, fault.p);
    }

    teamos_rows(&h->rows);

    return err;
}


static void
test_endpoints(void **state)
{
    host h;
    unsigned i, k, found;
    const tn__endpoint *e;
    static const struct {
        const char *operation;
        const char *method;
        const char *path;
        const char *permission;
        const char *action;
        tn__answers answers;
    } rows[] = {
        { "pinNote", "POST", "/v1/notes/{id}/pin", "teamos.note:pin",
          "note.pin", TN__ANSWERS_ROW },
        { "archiveNowProject", "POST", "/v1/projects/{id}/archive-now",
          "teamos.project:archive_now", "project.archive_now",
          TN__ANSWERS_NOTHING },
        { "handOverTask", "POST", "/v1/tasks/{id}/hand-over",
          "teamos.task:hand_over", "task.hand_over", TN__ANSWERS_ONE },
        { "startTask", "POST", "/v1/tasks/{id}/start", "teamos.task:start",
          "task.start", TN__ANSWERS_ROW },
        { "querySummary", "GET", "/v1/queries/summary", "teamos.summary:read",
          "summary.read", TN__ANSWERS_ONE },
        { "queryWorkload", "GET", "/v1/queries/workload",
          "teamos.workload:read", "workload.read", TN__ANSWERS_MANY },
    };

    (void) state;
    host_init(&h);

    for (i = found = 0; i < h.catalogue->nendpoints; i++) {
        e = &h.catalogue->endpoints[i];

        for (k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
            if (!tn__eq(e->operation, unit_str(rows[k].operation))) {
                continue;
            }

            found++;
            unit_assert_str(e->method, rows[k].method);
            unit_assert_str(e->path, rows[k].path);
            unit_assert_str(e->action, rows[k].action);
            assert_string_equal(e->permission_name, rows[k].permission);
            assert_int_equal(e->call->answers, rows[k].answers);
        }

        /* an app's, and no one else's, may refuse in its own words */
        assert_int_equal(e->of_app,
                         strncmp(e->permission_name, "teamos.", 7) == 0);
    }

    assert_int_equal(found, 6);
    host_free(&h);
}


static void
test_refusals(void **state)
{
    host h;
    unsigned i;
    char names[63][4];
    const char **row;

    (void) state;
    host_init(&h);

    CALL_ROW("start")[2] = "errand";
    refused(&h, "errand.start: an action of a resource that isn't there");
    CALL_ROW("start")[5] = "many";
    refused(&h, "teamos.task.start: an action answers nothing, a row or one");
    CALL_ROW("workload")[5] = "nothing";
    refused(&h, "teamos.workload: a query answers one object or many");
    CALL_ROW("workload")[5] = "all";
    refused(&h, "teamos.workload: a query answers");
    CALL_ROW("start")[7] = "stage";
    refused(&h, "teamos.task.start: its states are of no text field");
    CALL_ROW("start")[7] = "score";
    refused(&h, "teamos.task.start: its states are of no text field");
    CALL_ROW("start")[7] = NULL;
    refused(&h, "teamos.task.start: its states are of no text field");
    CALL_ROW("workload")[6] = "[\"a\"]";
    refused(&h, "teamos.workload: its states are of no text field");
    CALL_ROW("workload")[3] = "work-load";
    refused(&h, "teamos.work-load: a name must be made of a-z");

    PARAM_ROW("remark")[5] = "text[]";
    refused(&h, "teamos.task.start.remark: its type can't be served");
    PARAM_ROW("remark")[4] = "Remark";
    refused(&h, "teamos.task.start.Remark: a name must be made of a-z");
    PARAM_ROW("remark")[4] = "at";
    refused(&h, "teamos.task.start.at: is there twice");

    /* behind one that compiled: nothing may leak */
    PARAM_ROW("remark")[9] = "^ok$";
    PARAM_ROW("word")[9] = "(unclosed";
    refused(&h, "word: its pattern is no regular expression: (unclosed");

    COLUMN_ROW("tasks")[5] = "interval";
    refused(&h, "teamos.workload.tasks: its type can't be served");
    COLUMN_ROW("tasks")[4] = "the tasks";
    refused(&h, "teamos.workload.the tasks: a name must be made of a-z");

    for (i = 0; i < 3; i++) {
        row = COLUMN_ROW(i == 0 ? "user_id" : i == 1 ? "tasks" : "last");
        row[3] = "other";
    }
    refused(&h, "teamos.workload: its function answers no columns");

    for (i = 0; i < 63; i++) {
        snprintf(names[i], sizeof(names[i]), "a%u", i);
        row = h.rows.tables[TEAMOS_PARAMS].rows[i];
        row[0] = "teamos";
        row[1] = "query";
        row[2] = NULL;
        row[3] = "summary";
        row[4] = names[i];
        row[5] = "text";
        row[6] = NULL;
    }
    refused(&h, "teamos.summary: more than 62 arguments or columns");

    teamos_find(&h.rows, TEAMOS_PERMISSIONS, NULL, "teamos.task:start",
                NULL)[1] = "teamos.task:begin";
    refused(&h, "startTask: its permission \"teamos.task:start\" is not in");

    /* names of other endpoints */
    CALL_ROW("start")[3] = "get";
    teamos_find(&h.rows, TEAMOS_PERMISSIONS, NULL, "teamos.task:start",
                NULL)[1] = "teamos.task:get";
    refused(&h, "teamos.task and teamos.task:get would both be getTask: give "
                "one another name => '…'");
    host_free(&h);
}


/* 62 arguments are served; the last one's bit is far up in the mask. */
static void
test_as_many_as_may_be(void **state)
{
    host h;
    unsigned i;
    char names[62][4];
    const char **row;

    (void) state;
    host_init_bare(&h);

    for (i = 0; i < 62; i++) {
        snprintf(names[i], sizeof(names[i]), "a%u", i);
        row = h.rows.tables[TEAMOS_PARAMS].rows[i];
        memset(row, 0, sizeof(teamos_row));
        row[0] = "teamos";
        row[1] = "action";
        row[2] = "task";
        row[3] = "start";
        row[4] = names[i];
        row[5] = "bigint";
        row[6] = "0";
    }

    host_adopt(&h);
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks/" TASK "/start",
           .token = h.owner, .body = "{\"a61\":7}"),
         { .outcome = TN_DB_ERROR, .sqlstate = "TN409" });
    host_problem(&h, 409, "state_conflict");
    unit_assert_str(host_bound(&h, "& 2305843009213693952 <> 0 then "), "7");
    unit_assert_str(host_bound(&h, "(gate.id, (case when "),
                    "2305843009213693952");
    host_free(&h);
}


/* Each read has its own snapshot: what a load came between is neither the old
 * catalogue nor the new one. */
static void
test_load_between(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    h.rows.tables[TEAMOS_VERSION_AFTER].rows[0][0] = "8";
    assert_int_equal(refused(&h, "an app is being loaded"), TN_E_BUSY);
    h.rows.tables[TEAMOS_VERSION_AFTER].rows[0][0] = NULL;
    assert_int_equal(refused(&h, "an app is being loaded"), TN_E_BUSY);
    host_free(&h);
}


/* An op under the old catalogue calls the old function while the new one is
 * adopted. */
static void
test_reload_while_called(void **state)
{
    host h;
    tn_op *op;
    unit_arena arena;
    tn_request request;
    tn_input input;
    const tn_want *want;
    unsigned steps;
    char bearer[1100];

    (void) state;
    host_init(&h);
    snprintf(bearer, sizeof(bearer), "Bearer %s", h.owner);
    SEND(&h, R(.path = "/v1/queries/summary", .authorization = bearer),
         { ROWS(2, "7", NULL) });
    request = h.request;
    unit_arena_init(&arena, 0);
    assert_int_equal(tn_op_new(&op, h.core, &request, &arena.mem), TN_OK);

    host_end(&h);
    CALL_ROW("summary")[4] = "teamos.other_query";
    h.rows.tables[TEAMOS_VERSION].rows[0][0] = "8";
    h.rows.tables[TEAMOS_VERSION_AFTER].rows[0][0] = "8";
    host_adopt(&h);

    want = tn_op_step(op, NULL);

    for (steps = 0; want->kind != TN_WANT_DB; steps++) {
        assert_true(steps < 4);
        memset(&input, 0, sizeof(input));

        if (want->kind == TN_WANT_ZONE) {
            host_zone(&h, want, &input);
        }

        want = tn_op_step(op, want->kind == TN_WANT_ADMIT ? NULL : &input);
    }

    assert_true(
        host_has(want->batch->queries[1].stmt->sql, "teamos.summary_query()"));
    tn_op_free(op);
    unit_arena_free(&arena);

    SEND(&h, R(.path = "/v1/queries/summary", .token = h.owner),
         { ROWS(2, "7", NULL) });
    assert_true(host_has(h.sql, "teamos.other_query()"));
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_endpoints), cmocka_unit_test(test_refusals),
          cmocka_unit_test(test_as_many_as_may_be),
          cmocka_unit_test(test_load_between),
          cmocka_unit_test(test_reload_while_called))
