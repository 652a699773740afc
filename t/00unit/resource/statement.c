/*
 * The platform's writes: the statement decides and says why; here that becomes
 * an answer. And what a broken constraint means is what the row says.
 */

#include "t/00unit/things.h"

#define BODY "{\"email\":\"A@Example.org\",\"role\":\"member\"}"
#define SHOWN                                                        \
    "{\"id\":\"" THING_ID "\",\"email\":\"a@example.org\",\"role\":" \
    "\"member\",\"version\":4}"


static void
test_update(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);
    SEND(&h,
         R(.method = "PATCH", .path = THING, .token = h.owner,
           .if_match = "\"3\"", .body = "{\"role\":\"member\"}"),
         { ROWS(7, THING_ROW("4"), FRESH) });
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body, SHOWN);
    unit_assert_str(host_response_header(&h, "ETag"), "\"4\"");
    assert_null(host_response_header(&h, "Location").p);
    assert_string_equal(strchr(h.trace, 'B'), "BWZ"); /* access changed */

    unit_assert_str(host_bound(&h, "tenant = "), ACME);
    unit_assert_str(host_bound(&h, "actor = "), OWNER);
    unit_assert_str(host_bound(&h, " id = "), THING_ID);
    unit_assert_str(host_bound(&h, "mask = "), "2");
    unit_assert_str(host_bound(&h, "match = "), "{3}");
    unit_assert_str(host_bound(&h, "own = "), NULL);
    unit_assert_str(host_bound(&h, "email = "), NULL);
    unit_assert_str(host_bound(&h, "role = "), "member");
    unit_assert_str(host_bound(&h, "key = "), NULL);
    assert_int_equal(host_bound(&h, "event = ").n, 36);
    assert_int_equal(host_bound(&h, "salt = ").n, 34);

    /* null is a value, and a version that can't be is one that none has */
    SEND(&h,
         R(.method = "PATCH", .path = THING, .token = h.owner,
           .if_match = "\"x\"", .body = "{\"role\":null,\"email\":\"A@B\"}"),
         { ROWS(7, THING_REFUSED("precondition_failed")) });
    host_problem(&h, 412, "precondition_failed");
    unit_assert_str(host_bound(&h, "mask = "), "3");
    unit_assert_str(host_bound(&h, "role = "), NULL);
    unit_assert_str(host_bound(&h, "email = "), "a@b");
    unit_assert_str(host_bound(&h, "match = "), "{0}");

    /* faults that need no database never get there */
    SEND0(&h, R(.method = "PATCH", .path = THING, .token = h.owner,
                .body = "{\"role\":\"king\"}"));
    host_assert(&h, 422, "\"pointer\":\"/role\",\"code\":\"not_in_set\"");
    SEND0(&h, R(.method = "PATCH", .path = "/v1/things/x", .token = h.owner,
                .body = "{\"role\":\"member\"}"));
    host_problem(&h, 404, "not_found");
    host_free(&h);
    unit_arena_free(&arena);
}


static void
test_create(void **state)
{
    host h;
    tn_str id;
    unit_arena arena;

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner,
           .prefix = "/api", .body = BODY),
         { ROWS(7, THING_ROW("4"), FRESH) });
    host_assert(&h, 201, NULL);
    assert_string_equal(h.body, SHOWN);
    unit_assert_str(host_response_header(&h, "ETag"), "\"4\"");
    unit_assert_str(host_response_header(&h, "Location"),
                    "/api/v1/things/" THING_ID);
    unit_assert_str(host_bound(&h, "mask = "), "3");
    unit_assert_str(host_bound(&h, "email = "), "a@example.org");
    id = host_bound(&h, " id = "); /* a new one */
    assert_int_equal(id.n, 36);
    assert_memory_not_equal(id.p, THING_ID, 36);

    /* of another tenant's row neither path nor version mean anything here */
    SEND(&h,
         R(.method = "POST", .path = "/v1/thing", .token = h.owner,
           .prefix = "/api", .body = BODY),
         { ROWS(7, THING_ROW("4"), FRESH) });
    host_assert(&h, 201, NULL);
    assert_null(host_response_header(&h, "Location").p);
    assert_null(host_response_header(&h, "ETag").p);

    SEND0(&h, R(.method = "POST", .path = "/v1/things", .token = h.owner,
                .body = "{}"));
    host_assert(&h, 422, "\"pointer\":\"/email\",\"code\":\"required\"");
    host_free(&h);
    unit_arena_free(&arena);
}


static void
test_remove(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);
    SEND(
        &h,
        R(.method = "DELETE", .path = THING, .token = h.owner, .if_match = "*"),
        { ROWS(3, NULL, FRESH) });
    host_assert(&h, 204, NULL);
    assert_null(host_response_header(&h, "Content-Type").p);
    unit_assert_str(host_bound(&h, "match = "), NULL);
    unit_assert_str(host_bound(&h, "own = "), NULL);

    /* own rows only: the statement is told whose */
    SEND(&h, R(.method = "DELETE", .path = THING, .token = h.member),
         { ROWS(3, "not_found", FRESH) });
    host_problem(&h, 404, "not_found");
    unit_assert_str(host_bound(&h, "own = "), MEMBER);

    SEND(&h, R(.method = "DELETE", .path = THING, .token = h.owner),
         { NO_ROWS(3) });
    host_problem(&h, 500, "internal");
    assert_true(host_has(tn_op_facts(h.op)->log, "no row"));
    host_free(&h);
    unit_arena_free(&arena);
}


static void
test_refused(void **state)
{
    unsigned i;
    host h;
    unit_arena arena;
    static const struct {
        const char *refused;
        unsigned status;
        const char *code;
    } cases[] = {
        { "not_found", 404, "not_found" },
        { "forbidden", 403, "forbidden" },
        { "last_owner", 409, "last_owner" },
        { "duplicate", 409, "duplicate" },
        { "precondition_failed", 412, "precondition_failed" },
        { "secret_spent", 410, "secret_spent" },
        { "invalid_credentials", 401, "invalid_credentials" },
        { "invalid_fields /role not_in_set", 422, "invalid_fields" },
        { "nonsense", 500, "internal" },
        { "", 500, "internal" },
    };

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND(&h,
             R(.method = "POST", .path = "/v1/things", .token = h.owner,
               .body = BODY, .key = "k"),
             { ROWS(7, THING_REFUSED(cases[i].refused)) });
        host_assert(&h, cases[i].status, cases[i].code);
        assert_null(host_response_header(&h, "Location").p);
        assert_null(host_response_header(&h, "ETag").p);
        assert_int_equal(tn_op_facts(h.op)->log.p != NULL,
                         cases[i].status == 500);
    }

    /* every fault is told, in order; what is no fault isn't */
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner,
           .body = BODY),
         { ROWS(7, THING_REFUSED("invalid_fields /role not_in_set;"
                                 "/email duplicate;/x nonsense")) });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422,
                "\"errors\":[{\"pointer\":\"/role\",\"code\":"
                "\"not_in_set\",\"detail\":\"");
    host_assert(&h, 422, "},{\"pointer\":\"/email\",\"code\":\"duplicate\"");
    assert_null(strstr(h.body, "/x"));
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner,
           .body = BODY),
         { ROWS(7, THING_REFUSED("duplicate /email duplicate")) });
    host_problem(&h, 409, "duplicate");
    host_assert(&h, 409, "\"errors\":[{\"pointer\":\"/email\"");

    /* a statement that answers other columns than its row says */
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner,
           .body = BODY),
         { ROWS(6, NULL, THING_ID, "a", "member", FRESH) });
    host_problem(&h, 500, "internal");
    assert_true(host_has(tn_op_facts(h.op)->log, "not its columns"));
    host_free(&h);
    unit_arena_free(&arena);
}


static void
test_keyed(void **state)
{
    host h;
    unit_arena arena;
    char body[512], hash[80];

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner, .key = "k",
           .body = BODY),
         { ROWS(7, THING_ROW("4"), FRESH) });
    host_assert(&h, 201, NULL);
    assert_int_equal(host_bound(&h, "key = ").n, 66);
    snprintf(hash, sizeof(hash), "%.*s", (int) host_bound(&h, "hash = ").n,
             host_bound(&h, "hash = ").p);
    snprintf(body, sizeof(body), "%.511s", h.body);

    /* it was done: what the statement would say now doesn't count */
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner, .key = "k",
           .body = BODY),
         { ROWS(7, "duplicate", THING_ID, "a@example.org", "member", "4", "t",
                hash) });
    host_assert(&h, 201, NULL);
    assert_string_equal(h.body, body);
    unit_assert_str(host_response_header(&h, "Location"),
                    "/v1/things/" THING_ID);
    unit_assert_str(host_response_header(&h, "ETag"), "\"4\"");
    unit_assert_str(host_response_header(&h, "Idempotency-Replayed"), "true");

    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner, .key = "k",
           .body = BODY),
         { ROWS(7, NULL, THING_ID, "a@example.org", "member", "4", "t",
                "\\x00") });
    host_problem(&h, 422, "idempotency_mismatch");
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner, .key = "k",
           .body = BODY),
         { ROWS(7, "not_found", NULL, NULL, NULL, NULL, "f", NULL) });
    host_problem(&h, 409, "idempotency_in_progress");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1");

    snprintf(hash, sizeof(hash), "%s", "");
    SEND(&h, R(.method = "DELETE", .path = THING, .token = h.owner, .key = "k"),
         { ROWS(3, NULL, FRESH) });
    host_assert(&h, 204, NULL);
    snprintf(hash, sizeof(hash), "%.*s", (int) h.op->idem_hash.n,
             h.op->idem_hash.p);
    SEND(&h, R(.method = "DELETE", .path = THING, .token = h.owner, .key = "k"),
         { ROWS(3, "not_found", "t", hash) });
    host_assert(&h, 204, NULL);
    unit_assert_str(host_response_header(&h, "Idempotency-Replayed"), "true");

    /* where keys are ignored they are: even one that is none */
    SEND(&h,
         R(.method = "POST", .path = "/v1/thing", .token = h.owner, .key = "\"",
           .body = BODY),
         { ROWS(7, THING_ROW("4"), FRESH) });
    host_assert(&h, 201, NULL);
    unit_assert_str(host_bound(&h, "key = "), NULL);
    assert_false(host_has(h.context, "tenon.go"));
    host_free(&h);
    unit_arena_free(&arena);
}


static void
test_conflicts(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner,
           .body = BODY),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "thing_email_key" });
    host_problem(&h, 409, "duplicate");
    host_assert(&h, 409,
                "\"errors\":[{\"pointer\":\"/email\",\"code\":\"duplicate\","
                "\"detail\":\"is somebody's\"}]");
    assert_null(tn_op_facts(h.op)->log.p);

    /* without a field to name; whatever the class of the error */
    SEND(&h,
         R(.method = "PATCH", .path = THING, .token = h.owner,
           .body = "{\"role\":\"member\"}"),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23514",
           .constraint = "thing_owner_check" });
    host_problem(&h, 409, "last_owner");
    assert_null(strstr(h.body, "\"errors\""));

    /* a constraint that no row knows is what its class says */
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner,
           .body = BODY),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "thing_email_key2" });
    host_problem(&h, 409, "duplicate");
    assert_null(strstr(h.body, "\"errors\""));

    /* nor is another endpoint's */
    SEND(&h, R(.method = "DELETE", .path = THING, .token = h.owner),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23514",
           .constraint = "thing_owner_check" });
    host_problem(&h, 422, "invalid_fields");
    host_free(&h);
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_update), cmocka_unit_test(test_create),
          cmocka_unit_test(test_remove), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_keyed), cmocka_unit_test(test_conflicts))
