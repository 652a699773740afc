/*
 * What a write counts as: recorded by its own statement, with the limits of the
 * plan, and refused behind the hard one; and what programs report.
 */

#include "libcore/billing/billing.h"
#include "t/00unit/host.h"

#define TASKS  "/v1/tasks"
#define TASK_1 TASKS "/" TASK
#define EVENTS "/v1/usage/events"
#define EVENT  "0192f0c0-0000-7000-8000-000000006001"

#define BODY_ONE "{\"title\":\"n\",\"project_id\":\"" PROJECT "\"}"
#define PATCH    "{\"title\":\"n\"}"
#define NO_TASK \
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
#define SOME_TASK(version) TASK_CELLS(TASK, "n", "todo", version, MEMBER), FRESH

/* tried, two references, room, the row */
#define CREATED(room, ...)                                \
    {                                                     \
        ROWS(18, "t", "t", "t", room, __VA_ARGS__, FRESH) \
    }


/* As find_plan() answers it. */
static void
subscribe(host *h, const char *limits)
{
    static const char *cells[10];

    cells[0] = "pro";
    cells[1] = "active";
    cells[8] = limits;
    h->plan = (host_rows){ 10, 10, cells };
}


/* Tasks count as two "tasks" each, where these kinds of writes do. */
static void
begin(host *h, const char *kinds, const char *limits)
{
    const char **row;

    host_init_bare(h);
    row = teamos_find(&h->rows, TEAMOS_RESOURCES, "teamos", "task", NULL);
    row[10] = "tasks";
    row[11] = "2";
    row[15] = kinds;
    host_adopt(h);

    if (limits) {
        subscribe(h, limits);
    }
}


static const host_request *
create(const host *h)
{
    static host_request request;

    request = (host_request){
        .method = "POST", .path = TASKS, .token = h->owner, .body = BODY_ONE
    };

    return &request;
}


static void
test_create_records(void **state)
{
    host h;

    (void) state;
    begin(&h, "[\"create\"]", "api_calls::1000:month;tasks:8:10:day");
    SEND(&h, create(&h),
         CREATED("t", TASK_CELLS(TASK, "n", "todo", "1", MEMBER)));
    host_assert(&h, 201, NULL);
    assert_true(host_has(h.sql, "tenon.usage_room($"));
    assert_true(host_has(h.sql, "::uuid, 'tasks', 2, $"));
    assert_true(host_has(h.sql, " and room.ok and ref."));
    assert_true(host_has(h.sql, "recorded as (insert into tenon.usage_event"));
    assert_true(host_has(h.sql, "'teamos.task', done.id, "));
    unit_assert_str(host_bound(&h, "case when "), "10");
    unit_assert_str(host_bound(&h, "month.begins, month.ends, "), "8");
    assert_true(host_has(h.sql, "from done, tenon.usage_period("));
    host_free(&h);
}


static void
test_create_without_limits(void **state)
{
    host h;

    (void) state;

    /* nothing is billed, or this isn't limited: recorded all the same */
    begin(&h, "[\"create\"]", NULL);
    SEND(&h, create(&h),
         CREATED("t", TASK_CELLS(TASK, "n", "todo", "1", MEMBER)));
    host_assert(&h, 201, NULL);
    unit_assert_str(host_bound(&h, "case when "), NULL);
    unit_assert_str(host_bound(&h, "month.begins, month.ends, "), NULL);
    host_free(&h);

    begin(&h, "[\"create\"]", "seats::5:");
    SEND(&h, create(&h),
         CREATED("t", TASK_CELLS(TASK, "n", "todo", "1", MEMBER)));
    host_assert(&h, 201, NULL);
    unit_assert_str(host_bound(&h, "case when "), NULL);
    host_free(&h);
}


static void
test_create_without_room(void **state)
{
    host h;

    (void) state;
    begin(&h, "[\"create\"]", "tasks::10:month");
    SEND(&h, create(&h), CREATED("f", NO_TASK));
    host_problem(&h, 402, "plan_limit");
    host_assert(&h, 402, "\"reason\":\"tasks\"");
    host_assert(&h, 402, "allows no more of \\\"tasks\\\"");

    /* what refers to nothing is told so first, and a repetition is answered */
    SEND(&h, create(&h), { ROWS(18, "t", "f", "t", NULL, NO_TASK, FRESH) });
    host_problem(&h, 422, "invalid_fields");
    host_free(&h);
}


/* An old plan refuses nobody: the database is asked for a new one. */
static void
test_upgraded(void **state)
{
    host h;
    host_rows none = { 0, 0, NULL };

    (void) state;
    begin(&h, "[\"create\"]", "tasks::10:month");
    SEND(&h, create(&h), CREATED("f", NO_TASK));
    host_problem(&h, 402, "plan_limit");
    h.now += TN__PLAN_FRESH + 1;
    h.plan = none;
    SEND(&h, create(&h), CREATED("f", NO_TASK),
         CREATED("t", TASK_CELLS(TASK, "n", "todo", "1", MEMBER)));
    host_assert(&h, 201, NULL);
    unit_assert_str(host_bound(&h, "case when "), NULL);
    host_free(&h);
}


static void
test_other_writes(void **state)
{
    host h;

    (void) state;

    /* only what is named counts */
    begin(&h, "[\"create\"]", "tasks::10:month");
    SEND(&h,
         R(.method = "PATCH", .path = TASK_1, .token = h.owner, .body = PATCH),
         { ROWS(19, "1", MEMBER, "t", "t", "t", SOME_TASK("2")) });
    host_assert(&h, 200, NULL);
    assert_false(host_has(h.sql, "usage_event"));
    host_free(&h);

    begin(&h, "[\"update\",\"delete\",\"restore\",\"rollback\"]", "tasks::10:");
    SEND(&h, create(&h), { ROWS(17, "t", "t", "t", SOME_TASK("1")) });
    host_assert(&h, 201, NULL);
    assert_false(host_has(h.sql, "usage_event"));

    SEND(&h,
         R(.method = "PATCH", .path = TASK_1, .token = h.owner, .body = PATCH),
         { ROWS(20, "1", MEMBER, "t", "t", "t", "t", SOME_TASK("2")) });
    host_assert(&h, 200, NULL);
    assert_true(host_has(h.sql, "as ok from old)"));
    assert_true(host_has(h.sql, ", room where room.ok and t.tenant_id"));
    unit_assert_str(host_bound(&h, "case when "), "10");
    assert_true(host_has(h.sql, "insert into tenon.usage_event"));

    SEND(&h,
         R(.method = "PATCH", .path = TASK_1, .token = h.owner, .body = PATCH),
         { ROWS(20, "1", MEMBER, "t", "t", "t", "f", NO_TASK, FRESH) });
    host_problem(&h, 402, "plan_limit");
    SEND(&h,
         R(.method = "PATCH", .path = TASK_1, .token = h.owner, .body = PATCH),
         { ROWS(20, NULL, NULL, "t", "t", "t", NULL, NO_TASK, FRESH) });
    host_problem(&h, 404, "not_found");

    SEND(&h, R(.method = "DELETE", .path = TASK_1, .token = h.owner),
         { ROWS(6, "1", MEMBER, "t", TASK, FRESH) });
    host_assert(&h, 204, NULL);
    SEND(&h, R(.method = "DELETE", .path = TASK_1, .token = h.owner),
         { ROWS(6, "1", MEMBER, "f", NULL, FRESH) });
    host_problem(&h, 402, "plan_limit");

    SEND(&h, R(.method = "POST", .path = TASK_1 "/restore", .token = h.owner),
         { ROWS(21, "1", MEMBER, "t", "t", "t", "t", "t", SOME_TASK("2")) });
    host_assert(&h, 200, NULL);
    assert_true(host_has(h.sql, "insert into tenon.usage_event"));

    /* an empty patch changes nothing, and counts as nothing */
    SEND(&h,
         R(.method = "PATCH", .path = TASK_1, .token = h.owner, .body = "{}",
           .key = "k"),
         { ROWS(16, "1", MEMBER, SOME_TASK("1")) });
    host_assert(&h, 200, NULL);
    assert_false(host_has(h.sql, "usage_event"));
    host_free(&h);
}


static void
test_action(void **state)
{
    host h;
    const char **row;

    (void) state;
    host_init_bare(&h);
    row = teamos_find(&h.rows, TEAMOS_CALLS, "teamos", "action", "task");
    while (strcmp(row[3], "start") != 0) {
        row += TEAMOS_COLS_MAX;
    }
    row[10] = "starts";
    row[11] = "3";
    host_adopt(&h);
    subscribe(&h, "starts::10:hour");

    SEND(&h, R(.method = "POST", .path = TASK_1 "/start", .token = h.owner),
         { ROWS(20, "3", MEMBER, "t", "todo", "t", "t", SOME_TASK("4")) });
    host_assert(&h, 200, NULL);
    assert_true(host_has(h.sql, "allowed as materialized (select old.id"));
    assert_true(host_has(h.sql, "'starts', 3, "));
    assert_true(host_has(h.sql, "from allowed, room where room.ok)"));
    assert_true(host_has(h.sql, "'teamos.task', gate.id, "));
    unit_assert_str(host_bound(&h, "case when "), "10");

    SEND(&h, R(.method = "POST", .path = TASK_1 "/start", .token = h.owner),
         { ROWS(20, "3", MEMBER, "t", "todo", NULL, "f", NO_TASK, FRESH) });
    host_problem(&h, 402, "plan_limit");

    /* in a state that it isn't for, that is what is told */
    SEND(&h, R(.method = "POST", .path = TASK_1 "/start", .token = h.owner),
         { ROWS(20, "3", MEMBER, "t", "in_progress", NULL, NULL, NO_TASK,
                FRESH) });
    host_problem(&h, 409, "state_conflict");
    host_free(&h);
}


static void
test_report(void **state)
{
    host h;
    const host_request *one;

    (void) state;
    host_init(&h);
    subscribe(&h, "tasks::10:month");
    one = R(.method = "POST", .path = EVENTS, .token = h.owner,
            .body = "{\"events\":[{\"id\":\"" EVENT
                    "\",\"meter\":\"minutes\",\"quantity\":3.0,"
                    "\"at\":\"2026-11-21T01:00:00Z\"}]}");
    SEND(&h, one,
         { ROWS(4, NULL, "[{\"id\":\"" EVENT "\",\"quantity\":3}]", FRESH) });
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body,
                        "{\"events\":[{\"id\":\"" EVENT "\",\"quantity\":3}]}");
    assert_true(host_has(h.sql, "tenon.record_usage("));
    assert_true(host_has(h.sql, "where idem.go and idem.fingerprint is null"));

    SEND(&h, one, { ROWS(4, "plan_limit: The plan allows 2.", NULL, FRESH) });
    host_problem(&h, 402, "plan_limit");
    host_assert(&h, 402, "The plan allows 2.");

    SEND(&h, one,
         { ROWS(4, "invalid_fields /events/0/meter not_in_set is no meter here",
                NULL, FRESH) });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"pointer\":\"/events/0/meter\"");

    SEND0(&h, R(.method = "POST", .path = EVENTS, .token = h.owner,
                .body = "{\"events\":[{\"id\":7,\"meter\":\"m\","
                        "\"quantity\":1.5,\"value\":\"\"},{}]}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"pointer\":\"/events/0/id\"");
    host_assert(&h, 422, "\"pointer\":\"/events/0/quantity\"");
    host_assert(&h, 422, "\"pointer\":\"/events/0/value\"");
    host_assert(&h, 422, "\"pointer\":\"/events/1/meter\"");

    SEND0(&h, R(.method = "POST", .path = EVENTS, .token = h.member,
                .body = "{\"events\":[]}"));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* As many as one likes, but for who isn't entitled to anything. */
static void
test_report_unpaid(void **state)
{
    unsigned i;
    host h;
    char since[24];
    const char *cells[10];
    static const struct {
        const char *status, *most;
        int owes;
    } cases[] = {
        { "active", NULL, 0 },
        { "unpaid", "10000", 1 },
    };

    (void) state;
    snprintf(since, sizeof(since), "%lld",
             (long long) (HOST_START - 30 * INT64_C(86400000000)));

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host_init(&h);
        subscribe(&h, "api_calls::10:month");
        memcpy(cells, h.plan.cells, sizeof(cells));
        cells[1] = cases[i].status;
        cells[2] = cases[i].owes ? since : NULL;
        cells[4] = cells[5] = "604800000000"; /* a week */
        h.plan.cells = cells;
        SEND(&h,
             R(.method = "POST", .path = EVENTS, .token = h.owner,
               .body = "{\"events\":[{\"id\":\"" EVENT
                       "\",\"meter\":\"minutes\"}]}"),
             { ROWS(4, NULL, "[]", FRESH) });
        host_assert(&h, 200, NULL);
        unit_assert_str(host_bound(&h, "most => "), cases[i].most);

        /* it is one of the tenant's calls all the same */
        unit_assert_str(host_response_header(&h, "RateLimit-Policy"),
                        "\"api_calls\";q=10;w=2592000");
        host_free(&h);
    }
}


static void
test_shown(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    subscribe(&h, "tasks::10:month");
    SEND(&h, R(.path = "/v1/usage", .token = h.owner),
         { ROWS(3, "2026-11-01 00:00:00+00", "2026-12-01 00:00:00+00", "[]") });
    host_assert(&h, 200, "\"meters\":[]");
    unit_assert_str(host_bound(&h, "tenon.told_limits( "), "pro");
    host_free(&h);
}


static void
test_catalogue_refused(void **state)
{
    host h;
    tn_str fault;
    tn_catalogue *cat;

    (void) state;
    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL)[10] =
        "tasks";
    assert_int_not_equal(
        tn_catalogue_new(&cat, h.core, teamos_reply(&h.rows), &fault), TN_OK);
    unit_assert_str(fault, "\"tasks\" counts no units: load its app anew");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_create_records),
          cmocka_unit_test(test_create_without_limits),
          cmocka_unit_test(test_create_without_room),
          cmocka_unit_test(test_upgraded), cmocka_unit_test(test_other_writes),
          cmocka_unit_test(test_action), cmocka_unit_test(test_report),
          cmocka_unit_test(test_report_unpaid), cmocka_unit_test(test_shown),
          cmocka_unit_test(test_catalogue_refused))
