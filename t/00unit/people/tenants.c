/*
 * A switch answers as login does, under the other tenant's name; where it
 * fails, the request stays the first tenant's.
 */

#include "t/00unit/host.h"

#define SWITCH(...)                                \
    R(.method = "POST", .path = "/v1/auth/tenant", \
      .body = "{\"tenant\":\"umbrella\"}", __VA_ARGS__)

#define FOUND(status)                                            \
    {                                                            \
        ROWS(7, UMBRELLA, REALM, "umbrella", "Umbrella", status, \
             "ann@example.org", "Ann")                           \
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
                "\"refresh_token\":null,\"user\":{\"id\":\"" MEMBER
                "\",\"email\":\"ann@example.org\",\"name\":\"Ann\"},"
                "\"tenant\":{\"id\":\"" UMBRELLA
                "\",\"name\":\"Umbrella\",\"slug\":\"umbrella\"}}");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");

    /* the session is the other tenant's, of a new id */
    unit_assert_str(h.context_params[0], UMBRELLA);
    assert_int_equal(host_bound(&h, "values ($1::uuid, ").n, 36);
    assert_true(
        memcmp(host_bound(&h, "values ($1::uuid, ").p, SESSION("a2"), 36) != 0);
    unit_assert_str(tn_op_facts(h.op)->tenant, "umbrella");
    host_free(&h);
}


static void
test_refused(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND(&h, SWITCH(.token = h.member), { NO_ROWS(7) });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/tenant\",\"code\":\"not_found\"");

    SEND(&h, SWITCH(.token = h.member), FOUND("suspended"));
    host_problem(&h, 403, "tenant_inactive");

    /* the membership ended in between */
    SEND(&h, SWITCH(.token = h.member), FOUND("active"),
         { .outcome = TN_DB_ERROR, .sqlstate = "23503" });
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


UNIT_MAIN(cmocka_unit_test(test_switch), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_memory))
