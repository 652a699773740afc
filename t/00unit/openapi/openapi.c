/*
 * The document says what the rows say: the same rows, the same bytes; a server
 * URL that is the request's prefix; schemas that differ between making,
 * changing and reading; refusals by their codes. Without memory there is none.
 */

#include "t/00unit/openapi/document.h"


/* That an operation's description is this and nothing more. */
static void
describes(unit_arena *arena, const char *operation, const char *text)
{
    char path[128], json[512];

    snprintf(path, sizeof(path), "paths %s description", operation);
    snprintf(json, sizeof(json), "\"%s\"", text);
    says(arena, path, json);
}


/* That it holds this. */
static void
says_of(const char *operation, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "paths %s description", operation);

    if (strstr(at(path)->valuestring, text) == NULL) {
        fail_msg("%s: %s", operation, at(path)->valuestring);
    }
}


static void
test_frame(void **state)
{
    host h;
    unit_arena arena;
    const cJSON *tag;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    says(&arena, "openapi", "\"3.1.0\"");
    says(&arena, "info title", "\"Tenon: teamos\"");
    says(&arena, "info version", "\"" TN_VERSION "\"");
    says(&arena, "servers", "[{\"url\":\"/api\"}]");
    says(&arena, "security", "[{\"bearer\":[]},{\"cookie\":[]}]");
    says(&arena, "paths /live servers", "[{\"url\":\"/\"}]");
    assert_null(at("paths /v1/tasks servers"));
    says(&arena, "paths /v1/auth/login post security", "[]");
    says(&arena, "paths /v1/inbound/stripe post security", "[]");
    says(&arena, "paths /v1/inbound/stripe post parameters",
         "[{\"$ref\":\"#/components/parameters/Stripe-Signature\"}]");
    says(&arena,
         "paths /v1/inbound/stripe post requestBody content "
         "application/json schema required",
         "[\"id\",\"type\"]");
    assert_null(at("paths /v1/tasks get security"));
    says(&arena, "paths /v1/tasks get operationId", "\"listTasks\"");
    says(&arena, "paths /v1/projects/{id}/tasks get summary",
         "\"List tasks of a project\"");
    assert_non_null(strstr(at("info description")->valuestring,
                           "any other method answers 405 "
                           "(`method_not_allowed`) with `Allow`, `OPTIONS` "
                           "answers 204 with `Allow`, and `HEAD` as `GET` "
                           "does, without the body."));

    cJSON_ArrayForEach(tag, at("tags"))
    {
        if (!cJSON_HasObjectItem(tag, "description")) {
            fail_msg("the tag %s has no description", tag->child->valuestring);
        }
    }

    unit_arena_free(&arena);
    host_free(&h);
}


/* Rows, and whose: said where there are rows that may be one's own. */
static void
test_permissions(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    describes(&arena, "/v1/tasks post",
              "Needs the permission `teamos.task:create`. Roles: admin, "
              "member, owner.");
    describes(&arena, "/v1/invitations post",
              "Needs the permission `tenon.invitation:create`. Roles: admin, "
              "owner.\\n\\nNot by an API key: 403.\\n\\nNot by who acts as "
              "somebody else: 403.");
    describes(&arena, "/v1/auth/logout post",
              "Open to everybody who is signed in.\\n\\nNot by an API key: "
              "403.");
    describes(&arena, "/v1/me get", "Open to everybody who is signed in.");
    describes(&arena, "/v1/tenant get",
              "Needs the permission `tenon.tenant:read`. Roles: admin, "
              "member, owner.");
    describes(&arena, "/v1/projects get",
              "Needs the permission `teamos.project:read`. Any row: admin, "
              "member, owner. Their own rows: guest.\\n\\nAt most 8 filters "
              "at once.");
    describes(&arena, "/v1/projects/{id}/tasks get",
              "Needs the permission `teamos.task:read`. Any row: admin, "
              "member, owner.\\n\\nNeeds the permission "
              "`teamos.project:read`. Any row: admin, member, owner. Their own "
              "rows: guest.\\n\\nAt most 8 filters at once.");
    describes(&arena, "/v1/tasks/{id} delete",
              "Needs the permission `teamos.task:delete`. Any row: admin, "
              "owner. Their own rows: member.");
    describes(&arena, "/v1/members/{id} delete",
              "Needs the permission `tenon.member:delete`. Any row: admin, "
              "owner. Their own rows: member.\\n\\nNot by who acts as "
              "somebody else: 403.");

    unit_arena_free(&arena);
    host_free(&h);
}


/* Whose rows an operation is about, and what is refused how. */
static void
test_accounts(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

#define YOURS                                                               \
    "Rows of your accounts only: those in which a role of yours holds the " \
    "permission, and all accounts that lie in them. A role of the whole "   \
    "organization holds in every one."
#define NONE " 403 where you hold it in none."

    says_of("/v1/accounts get", "\n\n" YOURS NONE);
    says_of("/v1/account-members get", "\n\n" YOURS NONE);
    says_of("/v1/accounts/{id}/members get",
            "\n\n" YOURS NONE
            " A row of another account is as if it were not: 404.");
    says_of("/v1/accounts/{id} get",
            "\n\n" YOURS NONE
            " A row of another account is as if it were not: 404.");
    says_of("/v1/accounts/{id} patch",
            "\n\n" YOURS NONE
            " A row of another account is as if it were not: 404; one that "
            "you may see and not change so is 403.");
    says_of("/v1/accounts post",
            "\n\nIt has to be of an account in which a role of yours, or one "
            "of the whole organization, holds the permission: another account "
            "is answered as if it were not, 422 `not_found`." NONE);
    assert_null(
        strstr(at("paths /v1/tasks get description")->valuestring, "account"));

    unit_arena_free(&arena);
    host_free(&h);
}


static void
test_schemas(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

#define SCHEMA "components schemas "
    says(&arena, SCHEMA "TaskCreate required", "[\"project_id\",\"title\"]");
    says(&arena, SCHEMA "TaskCreate additionalProperties", "false");
    says(&arena, SCHEMA "TaskCreate properties title",
         "{\"type\":\"string\",\"minLength\":1,\"maxLength\":200}");
    assert_null(at(SCHEMA "TaskCreate properties id"));
    assert_null(at(SCHEMA "TaskUpdate required"));
    assert_null(at(SCHEMA "TaskUpdate properties origin"));
    says(&arena, SCHEMA "TaskUpdate properties assignee_id",
         "{\"type\":[\"string\",\"null\"],\"format\":\"uuid\"}");
    says(&arena, SCHEMA "TaskUpdate properties status description",
         "\"From `in_progress` to `done`, `todo`. From `todo` to "
         "`in_progress`.\"");
    assert_non_null(at(SCHEMA "Task properties origin"));
    assert_null(at(SCHEMA "Task properties title maxLength"));
    assert_int_equal(cJSON_GetArraySize(at(SCHEMA "Task required")), 12);
    assert_null(at(SCHEMA "TaskPart required"));
    says(&arena, SCHEMA "ProjectCreate properties rank minimum", "-2147483648");
    says(&arena, SCHEMA "Session properties refresh_token type",
         "[\"string\",\"null\"]");
    says(&arena, SCHEMA "Session properties tenant required",
         "[\"id\",\"name\",\"slug\"]");
    says(&arena, SCHEMA "EventList properties data items anyOf 0",
         "{\"$ref\":\"#/components/schemas/Event\"}");
    says(&arena,
         "paths /v1/tasks/{id}/history get responses 200 content "
         "application/json schema",
         "{\"$ref\":\"#/components/schemas/EventList\"}");
    assert_int_equal(cJSON_GetArraySize(at(SCHEMA "Problem properties code "
                                                  "enum")),
                     TN_E_COUNT - TN_E_NOMEM - 1);
#undef SCHEMA

    unit_arena_free(&arena);
    host_free(&h);
}


static void
test_parameters(void **state)
{
    host h;
    unit_arena arena;
    const cJSON *status;

#define TASKS "paths /v1/tasks get parameters"
    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    says(&arena, TASKS " 2 schema",
         "{\"type\":\"string\",\"enum\":[\"created_at\",\"-created_at\"],"
         "\"default\":\"-created_at\"}");

    status = parameter(TASKS, "status");
    assert_non_null(status);
    assert_string_equal(
        cJSON_GetObjectItemCaseSensitive(status, "type")->valuestring, "array");
    assert_non_null(parameter(TASKS, "status[ne]"));
    assert_null(parameter(TASKS, "status[gt]"));
    assert_non_null(parameter(TASKS, "created_at[gte]"));
    assert_null(parameter(TASKS, "title"));
    assert_non_null(parameter(TASKS, "Q"));
    assert_null(parameter("paths /v1/notes get parameters", "Q"));
#undef TASKS

    /* an event's actor_id is filtered as "actor" */
    assert_non_null(
        parameter("paths /v1/audit/events get parameters", "actor"));
    assert_null(parameter("paths /v1/audit/events get parameters", "actor_id"));

    assert_non_null(
        parameter("paths /v1/tasks/{id} patch parameters", "IfMatch"));
    assert_non_null(
        parameter("paths /v1/notes/{id} patch parameters", "IfMatchRequired"));
    assert_non_null(
        parameter("paths /v1/tasks post parameters", "IdempotencyKey"));
    assert_null(
        parameter("paths /v1/auth/login post parameters", "IdempotencyKey"));
    assert_non_null(
        parameter("paths /v1/members/{id} delete parameters", "IfMatch"));
    assert_null(parameter("paths /v1/tenants post parameters", "IfMatch"));

    /* of a path: what every method of it heeds */
    assert_non_null(parameter("paths /v1/tasks parameters", "Traceparent"));
    assert_non_null(parameter("paths /live parameters", "Traceparent"));
    says(&arena, "components parameters Traceparent name", "\"traceparent\"");

    /* who accepts names no organization, but may not name another */
    assert_non_null(parameter("paths /v1/invitations/accept post parameters",
                              "TenonTenant"));
    assert_non_null(parameter("paths /v1/tasks get parameters", "TenonTenant"));
    assert_null(at("paths /v1/auth/signup post parameters"));
    assert_null(at("paths /live get parameters"));

    unit_arena_free(&arena);
    host_free(&h);
}


/* What the path of a history says is no filter of it, here and there. */
static void
test_history(void **state)
{
    host h;
    unsigned i;
    unit_arena arena;
    static const char *const names[] = { "resource", "resource_id", "outcome" };
    static const char *const queries[] = { "resource=teamos.task",
                                           "resource_id=" TASK,
                                           "outcome=success",
                                           "outcome[ne]=success" };

#define HISTORY "paths /v1/tasks/{id}/history get parameters"
#define EVENTS  "paths /v1/audit/events get parameters"
    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_null(parameter(HISTORY, names[i]));
        assert_non_null(parameter(EVENTS, names[i]));
    }

    assert_null(parameter(HISTORY, "outcome[ne]"));
    assert_non_null(parameter(HISTORY, "action"));
    assert_non_null(parameter(HISTORY, "actor"));
    assert_non_null(parameter(HISTORY, "at[gte]"));
#undef EVENTS
#undef HISTORY

    for (i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        SEND0(&h, R(.path = "/v1/tasks/" TASK "/history", .query = queries[i],
                    .token = h.member));
        host_problem(&h, 400, "unknown_parameter");
    }

    unit_arena_free(&arena);
    host_free(&h);
}


/* That an answer has these headers, in this order. */
static void
sends(const char *path, const char *names)
{
    size_t n;
    char all[512];
    const cJSON *item;

    for (n = 0, item = at(path) ? at(path)->child : NULL; item;
         item = item->next) {
        n += (size_t) snprintf(all + n, sizeof(all) - n, "%s%s", n ? " " : "",
                               item->string);
    }

    assert_string_equal(n ? all : "", names);
}


static void
test_headers(void **state)
{
    host h;
    unit_arena arena;

#define ALL    "X-Request-Id Cache-Control Vary traceparent"
#define LIMITS "RateLimit-Policy RateLimit"
    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    sends("paths /live get responses 200 headers", ALL);
    sends("paths /v1/tasks get responses 200 headers", ALL " " LIMITS " Link");
    sends("paths /v1/tasks/{id} get responses 200 headers",
          ALL " " LIMITS " ETag");
    sends("paths /v1/tasks post responses 201 headers",
          ALL " " LIMITS " ETag Location Idempotency-Replayed");
    sends("paths /v1/tasks/{id} patch responses 200 headers",
          ALL " " LIMITS " ETag Idempotency-Replayed");

    /* nothing is left that could have a tag */
    sends("paths /v1/tasks/{id} delete responses 204 headers",
          ALL " " LIMITS " Idempotency-Replayed");
    sends("paths /v1/projects/{id} delete responses 204 headers",
          ALL " " LIMITS " Idempotency-Replayed");

    /* another tenant's row has neither path nor tag here */
    sends("paths /v1/tenants post responses 201 headers",
          ALL " Idempotency-Replayed");
    sends("paths /v1/invitations post responses 201 headers",
          ALL " " LIMITS " ETag Location Idempotency-Replayed");

    sends("components responses NotModified headers", ALL " " LIMITS " ETag");
    sends("components responses InvalidCredentials headers",
          ALL " WWW-Authenticate");
    sends("components responses RateLimited headers",
          "X-Request-Id Cache-Control Vary " LIMITS " Retry-After");
    says(&arena, "paths /live get responses 200 headers Cache-Control",
         "{\"$ref\":\"#/components/headers/Cache-Control\"}");
#undef LIMITS
#undef ALL

    unit_arena_free(&arena);
    host_free(&h);
}


static void
test_responses(void **state)
{
    host h;
    unit_arena arena;

#define REF(name) "{\"$ref\":\"#/components/responses/" name "\"}"
    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

    assert_non_null(at("paths /v1/tasks post responses 201 headers Location"));
    assert_non_null(at("paths /v1/tasks/{id} get responses 304"));
    assert_null(at("paths /v1/tasks/{id} delete responses 204 content"));
    assert_non_null(at("paths /v1/notes/{id} patch responses 428"));
    assert_null(at("paths /v1/tasks/{id} patch responses 428"));
    assert_null(at("paths /live get responses 401"));
    says(&arena, "paths /v1/auth/login post responses 401",
         REF("InvalidCredentials"));
    says(&arena, "paths /v1/auth/signup post responses 409",
         REF("EmailTakenOrSlugTaken"));

    /* what the statement itself refuses */
    says(&arena, "paths /v1/members/{id} delete responses 409",
         REF("LastOwnerOrIdempotencyInProgress"));
    says(&arena, "paths /v1/invitations/accept post responses 410",
         REF("SecretSpent"));
    says(&arena,
         "components responses SecretSpent content application/problem+json "
         "schema allOf 1 properties code enum",
         "[\"secret_spent\"]");
    assert_non_null(at("components responses RateLimited headers Retry-After"));
#undef REF

    unit_arena_free(&arena);
    host_free(&h);
}


/* Two apps may name a thing alike; the others keep their names. */
static void
test_names(void **state)
{
    host h;
    unsigned i;
    unit_arena arena;
    tn__resource *task;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);

    for (i = 0; i < h.catalogue->nresources; i++) {
        task = h.catalogue->resources[i];

        if (tn__eq(task->name, TN_STR("task"))) {
            task->name = TN_STR("member"); /* as the platform's */
        }
    }

    assert_int_equal(tn__openapi_build(&h.catalogue->openapi_head,
                                       &h.catalogue->openapi_tail, h.catalogue,
                                       &arena.mem),
                     TN_OK);
    load(&h, &arena);
    assert_non_null(at("components schemas TeamosMember"));
    assert_non_null(at("components schemas TeamosMemberCreate"));
    assert_non_null(at("components schemas Member"));
    assert_non_null(at("components schemas Project"));

    unit_arena_free(&arena);
    host_free(&h);
}


static void
test_same_bytes(void **state)
{
    host a, b;

    (void) state;
    host_init(&a);
    host_init(&b);
    assert_true(tn__eq(a.catalogue->openapi_head, b.catalogue->openapi_head));
    assert_true(tn__eq(a.catalogue->openapi_tail, b.catalogue->openapi_tail));
    assert_true(tn__eq(a.catalogue->openapi_hash, b.catalogue->openapi_hash));
    host_free(&a);
    host_free(&b);
}


static void
etag(char *out, const host *h)
{
    unsigned i;

    for (i = 0; i < h->response->nheaders; i++) {
        if (tn__eq(h->response->headers[i].name, TN_STR("ETag"))) {
            snprintf(out, 64, "%.*s", (int) h->response->headers[i].value.n,
                     h->response->headers[i].value.p);
        }
    }
}


static void
test_served(void **state)
{
    host h;
    char first[64] = "", second[64] = "";

    (void) state;
    host_init_bare(&h);
    SEND0(&h, R(.path = "/v1/openapi.json", .host = ""));
    host_problem(&h, 503, "unavailable");

    host_adopt(&h);
    SEND0(&h, R(.path = "/v1/openapi.json", .host = "", .prefix = "/api"));
    host_assert(&h, 200, "\"servers\":[{\"url\":\"/api\"}]");
    etag(first, &h);
    assert_int_equal(first[0], '"');

    SEND0(&h, R(.path = "/v1/openapi.json", .host = ""));
    host_assert(&h, 200, "\"servers\":[{\"url\":\"/\"}]");
    etag(second, &h);
    assert_string_not_equal(first, second);

    SEND0(&h, R(.path = "/v1/openapi.json", .host = "", .prefix = "/api",
                .if_none_match = first));
    assert_int_equal(h.response->status, 304);
    assert_int_equal(h.response->body.n, 0);
    host_free(&h);
}


static void
test_out_of_memory(void **state)
{
    host h;
    tn_err err;
    size_t n, step;
    unit_arena arena;
    tn_str head, tail;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    assert_int_equal(tn__openapi_build(&head, &tail, h.catalogue, &arena.mem),
                     TN_OK);
    n = arena.calls;
    unit_arena_free(&arena);

    /* each of the first ones, then some of the many that are alike */
    for (step = 1; step <= n; step += step < 300 ? 1 : 251) {
        unit_arena_init(&arena, step);
        err = tn__openapi_build(&head, &tail, h.catalogue, &arena.mem);
        assert_int_equal(err, TN_E_NOMEM);
        unit_arena_free(&arena);
    }

    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_frame), cmocka_unit_test(test_permissions),
          cmocka_unit_test(test_accounts), cmocka_unit_test(test_schemas),
          cmocka_unit_test(test_parameters), cmocka_unit_test(test_history),
          cmocka_unit_test(test_headers), cmocka_unit_test(test_responses),
          cmocka_unit_test(test_names), cmocka_unit_test(test_same_bytes),
          cmocka_unit_test(test_served), cmocka_unit_test(test_out_of_memory))
