/*
 * A switch answers as login does, under the other tenant's name; its session
 * ends with the one that asked. Where it fails, the request stays the first
 * tenant's; to where one is there is no way, and no second session.
 */

#include "t/00unit/people/proof.h"

#define SWITCH(...) \
    R(.method = "POST", .path = "/v1/auth/tenant", .body = body, __VA_ARGS__)

#define FOUND_ONE(with) \
    R(.method = "POST", .path = "/v1/tenants", .token = h.member, .body = with)

#define END "2026-01-02 03:04:05+00"

#define FOUND(status)                                                         \
    {                                                                         \
        ROWS(12, UMBRELLA, REALM, "umbrella", "Umbrella", status,             \
             "ann@example.org", "Ann", END, "86400", SESSION("a0"), "t", "t") \
    }
#define UNPROVEN                                                              \
    {                                                                         \
        ROWS(12, UMBRELLA, REALM, "umbrella", "Umbrella", "active",           \
             "ann@example.org", "Ann", END, "86400", SESSION("a0"), "f", "f") \
    }

static char body[200];


/* What proves the session of `token` in such a generation, in a body. */
static void
prove(host *h, const char *token, int64_t generation)
{
    char text[PROOF_LEN];

    host_proof(text, h, token, generation);
    snprintf(body, sizeof(body),
             "{\"tenant\":\"umbrella\",\"refresh_token\":\"%s\"}", text);
}


static void
test_switch(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    prove(&h, h.member, 3);
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
    unit_assert_str(host_bound(&h, "find_session( "), ACME);
    unit_assert_str(host_bound(&h, "when person.id = $2::uuid then "),
                    SESSION("a2"));
    unit_assert_str(host_bound(&h, "::double precision), "), END);
    unit_assert_str(tn_op_facts(h.op)->tenant, "umbrella");

    /* of the same sign-in, with the same second factor */
    unit_assert_str(host_bound(&h, "$13::text, "), SESSION("a0"));
    unit_assert_str(host_bound(&h, "coalesce("), "true");
    host_free(&h);
}


/* An access token alone goes nowhere, nor does any other session's proof; one
 * that was good once ends the session, and what its sign-in opened. */
static void
test_proof(void **state)
{
    host h;
    size_t i;
    static const char *const wrong[] = {
        "{\"tenant\":\"umbrella\",\"refresh_token\":\"tnr_AAAA\"}",
        "{\"tenant\":\"umbrella\",\"refresh_token\":\"\"}",
    };

    (void) state;
    host_init(&h);

    SEND0(&h, R(.method = "POST", .path = "/v1/auth/tenant", .token = h.member,
                .body = "{}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/tenant\",\"code\":\"required\"");
    host_assert(&h, 422, "\"/refresh_token\",\"code\":\"required\"");

    for (i = 0; i < 2; i++) {
        SEND0(&h, R(.method = "POST", .path = "/v1/auth/tenant",
                    .token = h.member, .body = wrong[i]));
        host_problem(&h, 401, "unauthenticated");
    }

    /* of another session, and of one in another tenant */
    prove(&h, h.owner, 0);
    SEND0(&h, SWITCH(.token = h.member));
    host_problem(&h, 401, "unauthenticated");
    prove(&h, h.eve, 0);
    SEND0(&h, SWITCH(.token = h.member));
    host_problem(&h, 401, "unauthenticated");
    assert_null(strchr(h.trace, 'W'));

    prove(&h, h.member, 3);
    SEND(&h, SWITCH(.token = h.member), UNPROVEN,
         { ROWS(7, "f", "5", "3600", "a@b.c", "Ann", "Acme", UMBRELLA) });
    host_problem(&h, 401, "unauthenticated");
    unit_assert_str(host_bound(&h, "s.generation = "), "3");
    assert_string_equal(strchr(h.trace, 'B'), "BDWZZ");

    SEND0(&h, R(.path = "/v1/me", .token = h.member));
    host_problem(&h, 401, "unauthenticated");
    assert_string_equal(h.trace, "ZZ");

    /* it ended in between */
    prove(&h, h.owner, 0);
    SEND(&h, SWITCH(.token = h.owner), UNPROVEN, { NO_ROWS(7) });
    host_problem(&h, 401, "unauthenticated");
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
    prove(&h, h.member, 3);
    SEND(&h, SWITCH(.token = h.member),
         { ROWS(12, ACME, REALM, "acme", "Acme", "active", "ann@example.org",
                "Ann", END, "86400", SESSION("a2"), "f", "t") });
    host_assert(&h, 200, "\"refresh_token\":null");
    host_assert(&h, 200, "\"slug\":\"acme\"");
    assert_null(strchr(h.trace, 'W'));

    from = strstr(h.body, "eyJ");
    assert_non_null(from);
    snprintf(token, sizeof(token), "%.*s", (int) strcspn(from, "\""), from);
    SEND(&h, R(.path = "/v1/me", .token = token),
         { ROWS(12, MEMBER, "ann@example.org", "Ann", "member", "{}", "t", "f",
                NULL, "f", "[]", NULL, "3") });
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
    prove(&h, h.member, 3);

    SEND(&h, SWITCH(.token = h.member),
         { ROWS(12, NULL, NULL, NULL, NULL, NULL, "ann@example.org", "Ann", END,
                "86400", SESSION("a2"), "f", "t") });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/tenant\",\"code\":\"not_found\"");

    /* the session was ended where this node doesn't hear of it */
    SEND(&h, SWITCH(.token = h.member), { NO_ROWS(12) });
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
    prove(&h, h.member, 3);

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


/* An organization outlasts an access token as well. */
static void
test_founded_by_proof(void **state)
{
    host h;
    char text[PROOF_LEN], found[200];

    (void) state;
    host_init(&h);
    SEND0(&h, FOUND_ONE("{\"name\":\"N\",\"slug\":\"new\"}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/refresh_token\",\"code\":\"required\"");

    host_proof(text, &h, h.owner, 0);
    snprintf(found, sizeof(found),
             "{\"name\":\"N\",\"slug\":\"new\",\"refresh_token\":\"%s\"}",
             text);
    SEND0(&h, FOUND_ONE(found));
    host_problem(&h, 401, "unauthenticated");
    assert_null(strchr(h.trace, 'W'));

    host_proof(text, &h, h.member, 7);
    snprintf(found, sizeof(found),
             "{\"name\":\"N\",\"slug\":\"new\",\"refresh_token\":\"%s\"}",
             text);
    SEND(&h, FOUND_ONE(found),
         { ROWS(11, NULL, UMBRELLA, "N", "new", "active", "1", END, MEMBER, END,
                "t", NULL) });
    host_assert(&h, 201, "\"slug\":\"new\"");
    assert_null(strstr(h.body, "refresh_token"));
    unit_assert_str(host_bound(&h, "s.generation = "), "7");

    SEND(&h, FOUND_ONE(found),
         { ROWS(11, "unauthenticated: No more.", NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, "t", NULL) });
    host_problem(&h, 401, "unauthenticated");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_switch), cmocka_unit_test(test_proof),
          cmocka_unit_test(test_here), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_founded_by_proof),
          cmocka_unit_test(test_memory))
