/*
 * What a field row says as JSON Schema: closed sets as enums, a column's default
 * where it can be told ahead, and patterns as ECMA-262 has them.
 */

#include "t/00unit/openapi/document.h"


/* A closed set is an enum; where it is only shown, nothing is checked by it
 * and nothing filtered. */
static void
test_sets(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

#define SCHEMA   "components schemas "
#define STATUSES "[\"active\",\"suspended\"]"
    /* a role may be the tenant's own */
    assert_null(at(SCHEMA "Me properties role enum"));
    assert_null(at(SCHEMA "Member properties role enum"));
    assert_null(at(SCHEMA "Membership properties role enum"));
    assert_null(at(SCHEMA "InvitationCreate properties role enum"));
    says(&arena, SCHEMA "Member properties role examples", "[\"member\"]");
    says(&arena, SCHEMA "InvitationCreate properties role pattern",
         "\"^[a-z][a-z0-9_]{1,62}$\"");
    says(&arena, SCHEMA "Role properties level enum",
         "[\"tenant\",\"account\",\"platform\"]");
    says(&arena, SCHEMA "RoleCreate properties level enum",
         "[\"tenant\",\"account\"]");
    says(&arena, SCHEMA "RecoveryCodes properties recovery_codes items type",
         "\"string\"");
    assert_non_null(at(SCHEMA "TransferTenantRequest properties member_id"));
    assert_null(at(SCHEMA "MemberCreate"));
    says(&arena, SCHEMA "Me properties permissions items properties scope enum",
         "[\"tenant\",\"accounts\",\"own\"]");
    says(&arena, SCHEMA "RoleCreate properties level default", "\"tenant\"");
    says(&arena, SCHEMA "Membership properties status enum", STATUSES);
    says(&arena, SCHEMA "Tenant properties status enum", STATUSES);
    says(&arena, SCHEMA "Event properties actor properties type enum",
         "[\"user\",\"api_key\",\"anonymous\",\"system\"]");
    says(&arena,
         SCHEMA "Access properties permissions items properties scope enum",
         "[\"tenant\",\"own\"]");
    assert_null(at(SCHEMA "TenantCreate properties status"));
    assert_null(at(SCHEMA "TenantUpdate properties status"));
    assert_null(parameter("paths /v1/me/tenants get parameters", "status"));
    assert_null(parameter("paths /v1/me/tenants get parameters", "role"));
    assert_null(parameter("paths /v1/audit/access get parameters", "scope"));
#undef STATUSES
#undef SCHEMA

    SEND0(&h, R(.path = "/v1/me/tenants", .query = "status=active,suspended",
                .token = h.member));
    host_problem(&h, 400, "unknown_parameter");
    SEND0(&h, R(.path = "/v1/me/tenants", .query = "role=owner",
                .token = h.member));
    host_problem(&h, 400, "unknown_parameter");
    SEND0(&h, R(.method = "POST", .path = "/v1/tenants", .token = h.member,
                .body = "{\"name\":\"N\",\"slug\":\"new\","
                        "\"status\":\"lost\"}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"pointer\":\"/status\",\"code\":\"read_only\"");

    unit_arena_free(&arena);
    host_free(&h);
}


/* The title's default, once a column's is this. */
static void
defaults(tn__type type, const char *sql, const char *json)
{
    host h;
    unsigned i;
    unit_arena arena;
    tn__field *field;
    const tn__resource *task;

    host_init(&h);
    unit_arena_init(&arena, 0);
    field = NULL;

    for (i = 0; i < h.catalogue->nresources; i++) {
        task = h.catalogue->resources[i];

        if (tn__eq(task->name, TN_STR("task"))) {
            field = (tn__field *) tn__field_find(task->fields, task->nfields,
                                                 TN_STR("title"));
        }
    }

    assert_non_null(field);
    field->type = type;
    field->default_sql = unit_str(sql);
    assert_int_equal(tn__openapi_build(&h.catalogue->openapi_head,
                                       &h.catalogue->openapi_tail, h.catalogue,
                                       &arena.mem),
                     TN_OK);
    load(&h, &arena);

#define TITLE "components schemas TaskCreate properties title default"
    if (json) {
        says(&arena, TITLE, json);
    } else if (at(TITLE)) {
        fail_msg("%s is told ahead", sql);
    }
#undef TITLE

    unit_arena_free(&arena);
    host_free(&h);
}


static void
test_defaults(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init(&h);
    unit_arena_init(&arena, 0);
    load(&h, &arena);

#define SCHEMA "components schemas "
    says(&arena, SCHEMA "TaskCreate properties priority default", "\"medium\"");
    says(&arena, SCHEMA "TaskCreate properties status default", "\"todo\"");
    says(&arena, SCHEMA "ProjectCreate properties archived default", "false");
    says(&arena, SCHEMA "ProjectCreate properties rank default", "0");
    assert_null(at(SCHEMA "TaskCreate properties title default"));
    assert_null(at(SCHEMA "TaskUpdate properties priority default"));
    assert_null(at(SCHEMA "Task properties priority default"));
#undef SCHEMA

    unit_arena_free(&arena);
    host_free(&h);

    defaults(TN__TYPE_TEXT, "'it''s \"so\"'::text", "\"it's \\\"so\\\"\"");
    defaults(TN__TYPE_TEXT, "''::text", "\"\"");
    defaults(TN__TYPE_TEXT, "'a'", "\"a\"");
    defaults(TN__TYPE_TEXT, "('a'::text || 'b'::text)", NULL);
    defaults(TN__TYPE_TEXT, "'a'::text || 'b'::text", NULL);
    defaults(TN__TYPE_TEXT, "'abc'::character varying(2)", NULL);
    defaults(TN__TYPE_TEXT, "E'a\\\\b'::text", NULL);
    defaults(TN__TYPE_TEXT, "'a", NULL);
    defaults(TN__TYPE_TEXT, "CURRENT_USER", NULL);
    defaults(TN__TYPE_TEXT, "NULL::text", NULL);
    defaults(TN__TYPE_INT, "'-1'::integer", "-1");
    defaults(TN__TYPE_INT, "9007199254740992", NULL);
    defaults(TN__TYPE_INT, "nextval('s'::regclass)", NULL);
    defaults(TN__TYPE_NUMBER, "12.5", "12.5");
    defaults(TN__TYPE_NUMBER, "'NaN'::numeric", NULL);
    defaults(TN__TYPE_NUMBER, "(1 + 1)", NULL);
    defaults(TN__TYPE_BOOL, "true", "true");
    defaults(TN__TYPE_BOOL, "(1 = 1)", NULL);
    defaults(TN__TYPE_TIME, "'2026-01-31'::date", NULL);
    defaults(TN__TYPE_UUID, "tenon.uuid7()", NULL);
    defaults(TN__TYPE_JSON, "'{}'::jsonb", NULL);
}


static void
pattern(const char *pcre, const char *want)
{
    tn_str out;
    unit_arena arena;

    unit_arena_init(&arena, 0);
    assert_int_equal(tn__openapi_pattern(&out, pcre, &arena.mem), TN_OK);
    unit_assert_str(out, want);
    unit_arena_free(&arena);
}


static void
test_patterns(void **state)
{
    (void) state;
    pattern("^[A-Z]{2,4}\\z", "^[A-Z]{2,4}$");
    pattern("\\Aa+?b*(?:c|d)\\Z", "^a+?b*(?:c|d)$");
    pattern("^(?!..--)[a-z\\-]\\-\\_\\.$", "^(?!..--)[a-z\\-]-_\\.$");
    pattern("[a[b]", "[a\\[b]");
    pattern("(?<=a)b", "(?<=a)b");

    /* what only PCRE knows */
    pattern("a++", NULL);
    pattern("a*+", NULL);
    pattern("(?i)a", NULL);
    pattern("(?>a)", NULL);
    pattern("(?<name>a)", NULL);
    pattern("(*ACCEPT)", NULL);
    pattern("[[:alpha:]]", NULL);
    pattern("[]a]", NULL);
    pattern("a{,3}", NULL);
    pattern("\\h", NULL);
    pattern("\\Qa\\E", NULL);
    pattern("\\", NULL);
}


UNIT_MAIN(cmocka_unit_test(test_sets), cmocka_unit_test(test_defaults),
          cmocka_unit_test(test_patterns))
