/*
 * Actions and queries in the document, and what else apps bring: JSON filters,
 * dates, fields that tell of people, reasons.
 */

#include "t/00unit/openapi/document.h"

#define START "paths /v1/tasks/{id}/start post"
#define WORK  "paths /v1/queries/workload get"


static void
test_actions(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    says(&arena, START " operationId", "\"startTask\"");
    says(&arena, START " summary", "\"Start: an action of a task\"");
    says(&arena, START " tags", "[\"tasks\"]");
    says(
        &arena, START " description",
        "\"Needs the permission `teamos.task:start`. Any row: owner. Their own "
        "rows: member.\\n\\nOnly while `status` is `todo` or `done`.\"");

    /* nothing must be sent */
    says(&arena, START " requestBody required", "false");
    says(&arena, START " requestBody content application/json schema $ref",
         "\"#/components/schemas/StartTaskRequest\"");
    says(&arena, "components schemas StartTaskRequest",
         "{\"type\":\"object\",\"properties\":{\"remark\":{\"type\":"
         "[\"string\",\"null\"],\"maxLength\":20},\"at\":{\"type\":\"string\","
         "\"format\":\"date\"}},\"additionalProperties\":false}");
    says(&arena, "components examples StartTaskRequest value",
         "{\"remark\":\"Remark\",\"at\":\"2026-01-31\"}");

    /* the row */
    says(&arena, START " responses 200 content application/json schema $ref",
         "\"#/components/schemas/Task\"");
    assert_non_null(at(START " responses 200 headers ETag"));
    assert_non_null(parameter(START " parameters", "IfMatch"));
    assert_non_null(parameter(START " parameters", "IdempotencyKey"));
    says(&arena, START " responses 409 $ref",
         "\"#/components/responses/StateConflictOrDuplicateOrIdempotency"
         "InProgress\"");
    assert_non_null(at(START " responses 412"));
    assert_non_null(at(START " responses 415"));

    /* an object of its own */
    says(&arena, "paths /v1/tasks/{id}/hand-over post requestBody required",
         "true");
    says(&arena, "components schemas HandOverTaskRequest properties days",
         "{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":1,"
         "\"maximum\":30,\"default\":7}");
    says(&arena, "components schemas HandOverTaskRequest required",
         "[\"user_id\"]");
    says(&arena, "components schemas HandOverTaskResponse properties accepted",
         "{\"type\":[\"boolean\",\"null\"]}");
    assert_null(at("paths /v1/tasks/{id}/hand-over post responses 200 headers "
                   "ETag"));

    /* nothing in, nothing out */
    says(&arena, "paths /v1/projects/{id}/archive-now post summary",
         "\"Put a project away\"");
    assert_null(at("paths /v1/projects/{id}/archive-now post requestBody"));
    assert_null(at("paths /v1/projects/{id}/archive-now post responses 200"));
    assert_null(
        at("paths /v1/projects/{id}/archive-now post responses 204 content"));
    assert_non_null(at("paths /v1/projects/{id}/archive-now post responses "
                       "422"));
    assert_non_null(parameter("paths /v1/notes/{id}/pin post parameters",
                              "IfMatchRequired"));

    unit_arena_free(&arena);
    host_free(&h);
}


static void
test_queries(void **state)
{
    host h;
    tn_str text;
    unit_arena arena;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    says(&arena, WORK " operationId", "\"queryWorkload\"");
    says(&arena, WORK " summary", "\"Who has how much to do\"");
    says(&arena, "paths /v1/queries/summary get summary",
         "\"The query summary\"");
    says(&arena, "paths /v1/tasks/{id}/hand-over post summary",
         "\"Hand over: an action of a task\"");
    says(&arena, WORK " tags", "[\"queries\"]");
    says(&arena, WORK " description",
         "\"Needs the permission `teamos.workload:read`. Roles: member, owner."
         "\\n\\nOne page of at most 1,000 rows.\"");
    says(&arena, WORK " parameters 0",
         "{\"name\":\"since\",\"in\":\"query\",\"required\":true,\"schema\":"
         "{\"type\":\"string\",\"format\":\"date\"}}");
    says(&arena, WORK " parameters 1",
         "{\"name\":\"status\",\"in\":\"query\",\"schema\":{\"type\":"
         "\"string\",\"enum\":[\"todo\",\"in_progress\",\"done\"],"
         "\"default\":\"todo\"}}");

    /* its default is null, which a query string can't say */
    says(&arena, WORK " parameters 2 schema",
         "{\"type\":\"string\",\"minLength\":2,\"maxLength\":5,\"pattern\":"
         "\"^[a-z]+$\"}");
    says(&arena, WORK " parameters 3 schema",
         "{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":0,"
         "\"maximum\":100,\"default\":0}");
    says(&arena, WORK " parameters 5 schema",
         "{\"type\":\"string\",\"contentMediaType\":\"application/json\"}");
    assert_null(parameter(WORK " parameters", "limit"));
    assert_null(parameter(WORK " parameters", "fields"));
    assert_non_null(parameter(WORK " parameters", "TenonTenant"));
    assert_null(at(WORK " responses 200 headers Link"));
    assert_null(at(WORK " responses 304"));

    says(&arena, WORK " responses 200 content application/json schema $ref",
         "\"#/components/schemas/QueryWorkloadRowList\"");
    says(&arena,
         "components schemas QueryWorkloadRowList properties data items $ref",
         "\"#/components/schemas/QueryWorkloadRow\"");
    says(&arena, "components schemas QueryWorkloadRow properties last",
         "{\"type\":[\"string\",\"null\"],\"format\":\"date\"}");
    says(&arena, "components examples QueryWorkloadRowList value next_cursor",
         "null");
    says(&arena,
         "paths /v1/queries/summary get responses 200 content application/json "
         "schema $ref",
         "\"#/components/schemas/QuerySummaryResponse\"");

    assert_int_equal(tn__json_print(&text, at("tags"), &arena.mem), TN_OK);
    assert_true(host_has(text, "{\"name\":\"queries\",\"description\":"));

    unit_arena_free(&arena);
    host_free(&h);
}


static void
test_fields(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_FIELDS, "teamos", "project", "due")[3] = "date";
    host_adopt(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    says(&arena, "components schemas Project properties due",
         "{\"type\":[\"string\",\"null\"],\"format\":\"date\"}");
    says(&arena, "components schemas Project properties code",
         "{\"type\":[\"string\",\"null\"],\"x-pii\":true}");
    says(&arena, "components schemas ProjectCreate properties code x-pii",
         "true");
    assert_null(at("components schemas Project properties name x-pii"));

    assert_string_equal(
        parameter("paths /v1/projects get parameters", "settings[contains]")
            ->child->next->valuestring,
        "application/json");
    assert_non_null(parameter("paths /v1/projects get parameters", "due[gte]"));
    assert_null(
        parameter("paths /v1/tasks get parameters", "settings[contains]"));

    says(&arena, "components schemas Problem properties reason pattern",
         "\"^[a-z0-9_]{1,63}$\"");
    says(&arena, "components schemas FieldError properties code enum 11",
         "\"refused\"");

    unit_arena_free(&arena);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_actions), cmocka_unit_test(test_queries),
          cmocka_unit_test(test_fields))
