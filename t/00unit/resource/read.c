/*
 * One row: 200 with its version as ETag, 304 when the client has it, and the
 * same 404 for every id that names nothing.
 */

#include "t/00unit/host.h"


static void
test_row(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/tasks/" TASK, .token = h.member, .request_id = "req-1"),
         { ROWS(12, TASK_CELLS(TASK, "a \"b\"\n\\ \xc3\xa9 \x01", "todo", "3",
                               OWNER)) });

    host_assert(&h, 200, NULL);
    assert_string_equal(
        h.body, TASK_JSON(TASK, "\"a \\\"b\\\"\\n\\\\ \xc3\xa9 \\u0001\"",
                          "todo", "3", OWNER));
    unit_assert_str(host_response_header(&h, "ETag"), "\"3\"");
    unit_assert_str(host_response_header(&h, "Content-Type"),
                    "application/json");
    unit_assert_str(host_response_header(&h, "Cache-Control"),
                    "private, no-cache");
    unit_assert_str(host_response_header(&h, "X-Request-Id"), "req-1");
    unit_assert_str(host_bound(&h, "t.tenant_id = "), ACME);
    unit_assert_str(host_bound(&h, "t.id = "), TASK);
    host_free(&h);
}


static void
test_types(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/projects/" PROJECT, .token = h.owner),
         { ROWS(12, PROJECT, "p", NULL, "1.50",
                "{\"a b\": [1, \"x \\\\\\\" y\"]}", "t", "-7",
                "2026-01-02 03:04:05+00", "1", "2026-11-21 01:33:00+00", NULL,
                "2026-11-21 01:33:00+00") });
    host_assert(&h, 200,
                "\"name\":\"p\",\"code\":null,\"budget\":1.50,"
                "\"settings\":{\"a b\":[1,\"x \\\\\\\" "
                "y\"]},\"archived\":true,\"rank\":-7,"
                "\"due\":\"2026-01-02T03:04:05.000000Z\",\"version\":1,");

    /* JSON has no NaN */
    SEND(&h, R(.path = "/v1/projects/" PROJECT, .token = h.owner),
         { ROWS(12, PROJECT, "p", NULL, "NaN", NULL, "f", "0", NULL, "1",
                "2026-11-21 01:33:00+00", NULL, "2026-11-21 01:33:00+00") });
    host_assert(&h, 200,
                "\"budget\":null,\"settings\":null,\"archived\":false");
    host_free(&h);
}


/* Malformed, absent, foreign: nobody can tell them apart. */
static void
test_absent_ids_are_one(void **state)
{
    unsigned i, k;
    host h;
    char first[4096], path[128];
    const host_request *r;
    static const char *const nothing[17] = { NULL };
    static const host_reply none[] = { { NO_ROWS(12) },
                                       { .rows = { { 17, 17, nothing } } },
                                       { .rows = { { 3, 3, nothing } } } };
    static const char *const methods[] = { "GET", "PATCH", "DELETE" };
    static const char *const ids[] = { "nope",
                                       "0",
                                       "%",
                                       "..",
                                       "0192f0c0-0000-7000-8000-0000000000f",
                                       "0192f0c0-0000-7000-8000-0000000000fg" };
    static const char *const matches[] = { NULL, "\"1\"", "\"x\"",
                                           "\"1\", \"2\"" };

    (void) state;
    host_init(&h);

    for (i = 0; i < 12; i++) {
        r = R(.method = methods[i % 3], .path = path, .token = h.member,
              .request_id = "same", .if_match = matches[i / 3],
              .body = i % 3 == 1 ? "{\"title\":\"x\"}" : NULL);

        snprintf(path, sizeof(path), "/v1/tasks/%s", TASK);
        host_send(&h, r, &none[i % 3], 1);
        assert_int_equal(h.response->status, 404);
        memcpy(first, h.body, sizeof(first));

        for (k = 0; k < sizeof(ids) / sizeof(ids[0]); k++) {
            snprintf(path, sizeof(path), "/v1/tasks/%s", ids[k]);
            SEND0(&h, r);
            assert_string_equal(h.body, first);
        }
    }

    /* upper case names the same row */
    SEND(&h,
         R(.path = "/v1/tasks/0192F0C0-0000-7000-8000-0000000000F1",
           .token = h.member),
         { ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "t.id = "), TASK);
    host_free(&h);
}


static void
test_not_modified(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *tags;
        unsigned status;
    } cases[] = {
        { "\"3\"", 304 },  { "W/\"3\"", 304 },        { "\"1\", \"3\"", 304 },
        { "*", 304 },      { "\"2\"", 200 },          { "3", 200 },
        { "\"33\"", 200 }, { "\"1\",W/\"3\" ", 304 },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND(&h,
             R(.path = "/v1/tasks/" TASK, .token = h.member,
               .if_none_match = cases[i].tags),
             { ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) });
        host_assert(&h, cases[i].status, NULL);
        unit_assert_str(host_response_header(&h, "ETag"), "\"3\"");
    }

    host_free(&h);
}


static void
test_own_scope(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND(&h, R(.path = "/v1/projects/" PROJECT, .token = h.guest),
         { ROWS(12, PROJECT, "p", NULL, NULL, NULL, "f", "0", NULL, "1",
                "2026-11-21 01:33:00+00", GUEST, "2026-11-21 01:33:00+00") });
    host_assert(&h, 200, "\"name\":\"p\"");

    SEND(&h, R(.path = "/v1/projects/" PROJECT, .token = h.guest),
         { ROWS(12, PROJECT, "p", NULL, NULL, NULL, "f", "0", NULL, "1",
                "2026-11-21 01:33:00+00", OWNER, "2026-11-21 01:33:00+00") });
    host_problem(&h, 404, "not_found");

    SEND(&h, R(.path = "/v1/projects/" PROJECT, .token = h.guest),
         { ROWS(12, PROJECT, "p", NULL, NULL, NULL, "f", "0", NULL, "1",
                "2026-11-21 01:33:00+00", NULL, "2026-11-21 01:33:00+00") });
    host_problem(&h, 404, "not_found");
    host_free(&h);
}


static void
test_takes_no_parameters(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/v1/tasks/" TASK, .query = "limit=1&x=1",
                .token = h.member));
    host_problem(&h, 400, "unknown_parameter");
    host_assert(&h, 400, "\"pointer\":\"limit\"");
    host_assert(&h, 400, "\"pointer\":\"x\"");

    /* not even fields= where there is no resource */
    SEND0(&h, R(.path = "/v1/me", .query = "fields=id", .token = h.member));
    host_problem(&h, 400, "unknown_parameter");
    host_free(&h);
}


/* Exactly the fields asked for: another representation, another tag, but a
 * condition on it is one on the version. */
static void
test_fields(void **state)
{
    host h;
    char tag[64];
    tn_str etag;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/tasks/" TASK, .query = "fields=title,id",
           .token = h.member),
         { ROWS(12, TASK_CELLS(TASK, "n", "done", "3", MEMBER)) });
    assert_int_equal(h.response->status, 200);
    assert_string_equal(h.body, "{\"id\":\"" TASK "\",\"title\":\"n\"}");
    etag = host_response_header(&h, "ETag");
    assert_memory_equal(etag.p, "\"3-", 3);
    snprintf(tag, sizeof(tag), "%.*s", (int) etag.n, etag.p);

    SEND(&h,
         R(.path = "/v1/tasks/" TASK, .query = "fields=id,title",
           .if_none_match = tag, .token = h.member),
         { ROWS(12, TASK_CELLS(TASK, "n", "done", "3", MEMBER)) });
    assert_int_equal(h.response->status, 304);
    SEND(&h,
         R(.path = "/v1/tasks/" TASK, .if_none_match = tag, .token = h.member),
         { ROWS(12, TASK_CELLS(TASK, "n", "done", "3", MEMBER)) });
    assert_int_equal(h.response->status, 200);

    SEND(&h,
         R(.method = "DELETE", .path = "/v1/tasks/" TASK, .token = h.owner,
           .if_match = tag),
         { ROWS(3, "3", MEMBER, TASK) });
    host_assert(&h, 204, NULL);
    unit_assert_str(host_bound(&h, "old.version = any("), "{3}");

    SEND0(&h, R(.path = "/v1/tasks/" TASK, .query = "fields=id,tenant_id",
                .token = h.member));
    host_problem(&h, 400, "invalid_parameter");
    SEND0(&h,
          R(.path = "/v1/tasks/" TASK, .query = "fields=", .token = h.member));
    host_problem(&h, 400, "invalid_parameter");
    host_free(&h);
}


/* Rows of the platform's own statements. */
static void
test_me_and_tenant(void **state)
{
    host h;
    char tag[128];

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/me", .token = h.member),
         { ROWS(12, MEMBER, "m@example.org", "M", "member",
                "{\"id\":\"" ACME "\"}", "t", "t", "9", "f",
                "[{\"permission\":\"a.b:c\",\"scope\":\"own\"}]", NULL, "5") });
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body,
                        "{\"id\":\"" MEMBER "\",\"email\":\"m@example.org\","
                        "\"name\":\"M\",\"role\":\"member\",\"tenant\":"
                        "{\"id\":\"" ACME "\"},\"email_verified\":true,"
                        "\"mfa_enabled\":true,\"recovery_codes_left\":9,"
                        "\"impersonated\":false,\"permissions\":"
                        "[{\"permission\":\"a.b:c\",\"scope\":\"own\"}],"
                        "\"api_key\":null}");
    snprintf(tag, sizeof(tag), "%.*s", (int) host_response_header(&h, "ETag").n,
             host_response_header(&h, "ETag").p);
    assert_memory_equal(tag, "\"5-", 3);
    assert_non_null(strstr(host_bound(&h, "as impersonated, ").p,
                           "{\"permission\":\"teamos.task:update\","
                           "\"scope\":\"own\"}"));

    /* what one may do has no version of its own, and yet is of the ETag */
    SEND(&h, R(.path = "/v1/me", .token = h.member, .if_none_match = tag),
         { ROWS(12, MEMBER, "m@example.org", "M", "member",
                "{\"id\":\"" ACME "\"}", "t", "t", "9", "f",
                "[{\"permission\":\"a.b:c\",\"scope\":\"own\"}]", NULL, "5") });
    assert_int_equal(h.response->status, 304);
    SEND(&h, R(.path = "/v1/me", .token = h.member, .if_none_match = tag),
         { ROWS(12, MEMBER, "m@example.org", "M", "member",
                "{\"id\":\"" ACME "\"}", "t", "t", "9", "f",
                "[{\"permission\":\"a.b:d\",\"scope\":\"own\"}]", NULL, "5") });
    host_assert(&h, 200, "a.b:d");
    unit_assert_str(host_bound(&h, "m.user_id = "), MEMBER);

    SEND0(&h, R(.path = "/v1/tenant", .token = h.guest));
    host_problem(&h, 403, "forbidden");

    SEND(&h, R(.path = "/v1/tenant", .token = h.owner),
         { ROWS(8, ACME, "Acme", "acme", "active", "2",
                "2026-11-21 01:33:00+00", NULL, "2026-11-21 01:33:00+00") });
    host_assert(&h, 200, "\"slug\":\"acme\",\"status\":\"active\"");

    SEND(&h, R(.path = "/v1/tenant", .token = h.owner), { NO_ROWS(8) });
    host_problem(&h, 404, "not_found");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_row), cmocka_unit_test(test_types),
          cmocka_unit_test(test_absent_ids_are_one),
          cmocka_unit_test(test_not_modified), cmocka_unit_test(test_own_scope),
          cmocka_unit_test(test_takes_no_parameters),
          cmocka_unit_test(test_fields), cmocka_unit_test(test_me_and_tenant))
