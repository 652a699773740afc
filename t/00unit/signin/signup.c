/*
 * Sign-up: hash, then one write; every conflict is told by its field.
 */

#include "t/00unit/host.h"

#define BODY                                                       \
    "{\"email\":\"Ann@Example.org\",\"password\":\"long enough\"," \
    "\"name\":\"Ann\",\"organization\":{\"name\":\"New\",\"slug\":\"new\"}}"
#define SHARED_REALM "00000000-0000-7000-8000-000000000001"
#define SIGNUP(...)                                              \
    R(.method = "POST", .path = "/v1/auth/signup", .body = BODY, \
      .host = "tenon.localhost", __VA_ARGS__)


static void
test_signup(void **state)
{
    host h;
    char hash[128];
    tn_str kept;

    (void) state;
    host_init(&h);
    SEND(&h, SIGNUP(.token = "junk"),
         { ROWS(3, "{\"id\":\"u\"}", "{\"id\":\"t\"}", MEMBER) });
    host_assert(&h, 201, NULL);
    assert_string_equal(h.body,
                        "{\"user\":{\"id\":\"u\"},\"tenant\":{\"id\":\"t\"}}");
    assert_string_equal(h.trace, "ABCW");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");

    /* the address in lower case, the password as a hash that fits it */
    unit_assert_str(host_bound(&h, "tenon.take_over($1::uuid, "),
                    "ann@example.org");
    kept = host_bound(&h, "$5::text, ");
    assert_true(kept.n < sizeof(hash));
    memcpy(hash, kept.p, kept.n);
    hash[kept.n] = '\0';
    assert_int_equal(crypto_pwhash_str_verify(hash, "long enough", 11), 0);

    /* of the shared realm, which is there already */
    unit_assert_str(h.context_params[1], SHARED_REALM);
    unit_assert_str(host_bound(&h, "'own' where "), "f");

    /* the account may be one that was there */
    unit_assert_str(tn_op_facts(h.op)->user_id, MEMBER);
    host_free(&h);
}


/* Where organizations have users of their own, each begins with a realm. */
static void
test_own_realm(void **state)
{
    host h;
    char realm[37];

    (void) state;
    host_init(&h);
    h.core->conf.signup_own_realm = 1;
    SEND(&h, SIGNUP(.token = NULL),
         { ROWS(3, "{\"id\":\"u\"}", "{\"id\":\"t\"}", MEMBER) });
    host_assert(&h, 201, NULL);
    unit_assert_str(host_bound(&h, "'own' where "), "t");
    assert_int_equal(h.context_params[1].n, 36);
    snprintf(realm, sizeof(realm), "%.36s", h.context_params[1].p);
    assert_string_not_equal(realm, SHARED_REALM);
    unit_assert_str(host_bound(&h, "kind) select "), realm);

    SEND(&h, SIGNUP(.token = NULL),
         { ROWS(3, "{\"id\":\"u\"}", "{\"id\":\"t\"}", MEMBER) });
    assert_memory_not_equal(h.context_params[1].p, realm, 36);
    host_free(&h);
}


static void
test_conflicts(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, SIGNUP(.tenant = NULL),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "user_email_key" });
    host_problem(&h, 409, "email_taken");
    host_assert(&h, 409, "[{\"pointer\":\"/email\",\"code\":\"duplicate\"");

    SEND(&h, SIGNUP(.tenant = NULL),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "tenant_slug_pkey" });
    host_problem(&h, 409, "slug_taken");
    host_assert(&h, 409, "\"pointer\":\"/organization/slug\"");

    SEND(&h, SIGNUP(.tenant = NULL),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23514",
           .constraint = "tenant_slug_reserved" });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"pointer\":\"/organization/slug\"");

    SEND(&h, SIGNUP(.tenant = NULL), { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    host_free(&h);
}


static void
test_refused_early(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, SIGNUP(.no_permit = 1));
    host_problem(&h, 503, "busy");

    /* only where no tenant is */
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/signup", .body = BODY));
    host_problem(&h, 404, "not_found");

    /* every fault, nested ones by their pointer */
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/signup",
                .host = "tenon.localhost",
                .body = "{\"email\":\"ann@\",\"password\":\"short\","
                        "\"name\":\"\",\"tenant_id\":\"x\",\"organization\":"
                        "{\"slug\":\"-A\",\"plan/x\":1}}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/email\",\"code\":\"bad_format\"");
    host_assert(&h, 422, "\"/password\",\"code\":\"too_short\"");
    host_assert(&h, 422, "\"/name\",\"code\":\"too_short\"");
    host_assert(&h, 422, "\"/tenant_id\",\"code\":\"read_only\"");
    host_assert(&h, 422, "\"/organization/slug\",\"code\":\"too_short\"");
    host_assert(&h, 422,
                "\"/organization/plan~1x\",\"code\":\"unknown_field\"");
    host_assert(&h, 422, "\"/organization/name\",\"code\":\"required\"");

    SEND0(&h, R(.method = "POST", .path = "/v1/auth/signup",
                .host = "tenon.localhost",
                .body = "{\"email\":\"a@b\",\"password\":\"long enough\","
                        "\"name\":\"n\",\"organization\":[]}"));
    host_assert(&h, 422, "\"/organization\",\"code\":\"wrong_type\"");
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/signup",
                .host = "tenon.localhost",
                .body = "{\"email\":\"a@b\",\"password\":\"long enough\","
                        "\"name\":\"n\",\"organization\":"
                        "{\"name\":\"o\",\"slug\":\"no_good\\n\"}}"));
    host_assert(&h, 422, "\"/organization/slug\",\"code\":\"bad_format\"");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_signup), cmocka_unit_test(test_own_realm),
          cmocka_unit_test(test_conflicts),
          cmocka_unit_test(test_refused_early))
