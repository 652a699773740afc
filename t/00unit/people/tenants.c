/*
 * A switch answers as login does, under the other tenant's name; its session
 * ends with the one that asked. Where it fails, the request stays the first
 * tenant's; to where one is there is no way, and no second session.
 */

#include "t/00unit/host.h"

#define SWITCH(...)                                \
    R(.method = "POST", .path = "/v1/auth/tenant", \
      .body = "{\"tenant\":\"umbrella\"}", __VA_ARGS__)

#define END "2026-01-02 03:04:05+00"

#define FOUND(status)                                            \
    {                                                            \
        ROWS(9, UMBRELLA, REALM, "umbrella", "Umbrella", status, \
             "ann@example.org", "Ann", END, "86400")             \
    }


static void
test_switch(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, SWITCH(.token = h.member), FOUND("active"), { ROWS(1, "") });
    host_assert(&h, 200, "{\"access_token\":\"");
    host_assert(&h, 200,
                "\"token_type\":\"Bearer\",\"expires_in\":900,"
                "\"refresh_token\":\"tnr_");
    host_assert(
        &h, 200,
        "\"user\":{\"id\":\"" MEMBER
        "\",\"email\":\"ann@example.org\",\"name\":\"Ann\"},"
        "\"tenant\":{\"id\":\"" UMBRELLA
        "\",\"name\":\"Umbrella\",\"slug\":\"umbrella\"},\"mfa_token\":null}");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");

    /* the session is the other tenant's, of a new id */
    unit_assert_str(h.context_params[0], UMBRELLA);
    assert_int_equal(host_bound(&h, "select $5::uuid, ").n, 36);
    assert_true(
        memcmp(host_bound(&h, "select $5::uuid, ").p, SESSION("a2"), 36) != 0);

    /* and is opened by the one that asks, while that holds */
    unit_assert_str(host_bound(&h, "find_session("), ACME);
    unit_assert_str(host_bound(&h, "find_session($3::uuid, "), SESSION("a2"));
    unit_assert_str(host_bound(&h, "::double precision), "), END);
    unit_assert_str(tn_op_facts(h.op)->tenant, "umbrella");
    host_free(&h);
}


/* The token is of the same session, and nothing is written. */
static void
test_here(void **state)
{
    host h;
    const char *from;
    char token[1024];

    (void) state;
    host_init(&h);
    SEND(&h, SWITCH(.token = h.member),
         { ROWS(9, ACME, REALM, "acme", "Acme", "active", "ann@example.org",
                "Ann", END, "86400") });
    host_assert(&h, 200, "\"refresh_token\":null");
    host_assert(&h, 200, "\"slug\":\"acme\"");
    assert_null(strchr(h.trace, 'W'));

    from = strstr(h.body, "eyJ");
    assert_non_null(from);
    snprintf(token, sizeof(token), "%.*s", (int) strcspn(from, "\""), from);
    SEND(&h, R(.path = "/v1/me", .token = token),
         { ROWS(9, MEMBER, "ann@example.org", "Ann", "member", "{}", "t", "f",
                NULL, "3") });
    host_assert(&h, 200, NULL);
    unit_assert_str(tn_op_facts(h.op)->user_id, MEMBER);
    host_free(&h);
}


static void
test_refused(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND(&h, SWITCH(.token = h.member),
         { ROWS(9, NULL, NULL, NULL, NULL, NULL, "ann@example.org", "Ann", END,
                "86400") });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/tenant\",\"code\":\"not_found\"");

    /* the session was ended where this node doesn't hear of it */
    SEND(&h, SWITCH(.token = h.member), { NO_ROWS(9) });
    host_problem(&h, 401, "unauthenticated");

    SEND(&h, SWITCH(.token = h.member), FOUND("suspended"));
    host_problem(&h, 403, "tenant_inactive");

    /* the membership ended in between */
    SEND(&h, SWITCH(.token = h.member), FOUND("active"), { NO_ROWS(1) });
    host_problem(&h, 422, "invalid_fields");
    unit_assert_str(tn_op_facts(h.op)->tenant, "acme");

    SEND(&h, SWITCH(.token = h.member), FOUND("active"),
         { .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    unit_assert_str(tn_op_facts(h.op)->tenant, "acme");

    SEND0(&h, SWITCH(.token = NULL));
    host_problem(&h, 401, "unauthenticated");
    host_free(&h);
}


static void
test_memory(void **state)
{
    host h;
    size_t n;

    (void) state;
    host_init(&h);

    for (n = 1;; n++) {
        SEND(&h, SWITCH(.token = h.member, .fail_at = n), FOUND("active"),
             { ROWS(1, "") });
        if (h.response->status == 200) {
            break;
        }
        assert_int_equal(h.response->status, 500);
    }

    assert_true(n > 10);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_switch), cmocka_unit_test(test_here),
          cmocka_unit_test(test_refused), cmocka_unit_test(test_memory))
