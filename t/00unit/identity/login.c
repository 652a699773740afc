/*
 * Login answers alike whoever is asked for; its token opens the next
 * request; logout closes it on this node at once.
 */

#include "t/00unit/host.h"

#define LOGIN(...)                                                       \
    R(.method = "POST", .path = "/v1/auth/login",                        \
      .body = "{\"email\":\"Ann@Example.org\",\"password\":\"secret\"}", \
      __VA_ARGS__)

#define METADATA "null, null, null, "


static void
hash_of(char out[128], const char *password)
{
    assert_int_equal(crypto_pwhash_str_alg(out, password, strlen(password),
                                           crypto_pwhash_OPSLIMIT_MIN,
                                           crypto_pwhash_MEMLIMIT_MIN,
                                           crypto_pwhash_ALG_ARGON2ID13),
                     0);
}


static void
member_of(const host *h, const char *name, char out[1024])
{
    char format[64];
    const char *p;

    snprintf(format, sizeof(format), "\"%s\":\"", name);
    p = strstr(h->body, format);
    assert_non_null(p);
    snprintf(format, sizeof(format), "\"%s\":\"%%1023[^\"]", name);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    assert_int_equal(sscanf(p, format, out), 1);
#pragma GCC diagnostic pop
}


static void
test_login(void **state)
{
    host h;
    tn_str session;
    char hash[128], token[1024], sid[40];

    (void) state;
    host_init(&h);
    hash_of(hash, "secret");
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(6, MEMBER, "ann@example.org", "Ann \"A\"", hash, "member",
                "Acme") },
         { ROWS(1, "") });
    host_assert(&h, 200,
                "\"token_type\":\"Bearer\",\"expires_in\":900,"
                "\"refresh_token\":null");
    host_assert(&h, 200,
                "\"user\":{\"id\":\"" MEMBER "\",\"email\":"
                "\"ann@example.org\",\"name\":\"Ann \\\"A\\\"\"},\"tenant\":"
                "{\"id\":\"" ACME "\",\"name\":\"Acme\",\"slug\":\"acme\"}}");
    assert_string_equal(h.trace, "ZdZABDCW");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");

    /* no session was opened: the membership ended meanwhile */
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(6, MEMBER, "ann@example.org", "Ann \"A\"", hash, "member",
                "Acme") },
         { NO_ROWS(1) });
    host_problem(&h, 401, "invalid_credentials");
    assert_null(tn_op_facts(h.op)->user_id.p);
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(6, MEMBER, "ann@example.org", "Ann \"A\"", hash, "member",
                "Acme") },
         { ROWS(1, "") });

    /* the password is nowhere in the answer */
    assert_null(strstr(h.body, "secret"));
    assert_null(strstr(h.body, "argon2"));

    session = host_bound(&h, "select $3::uuid, ");
    assert_int_equal(session.n, 36);
    snprintf(sid, sizeof(sid), "%.36s", session.p);
    member_of(&h, "access_token", token);

    /* the token is good for that very session */
    h.sessions[4] = (host_session){ sid, ACME, MEMBER, "member" };
    SEND(&h, R(.path = "/v1/me", .token = token),
         { ROWS(6, MEMBER, "m", "M", "member", "{}", "1") });
    host_assert(&h, 200, NULL);
    h.sessions[4].id = NULL;
    host_free(&h);
}


/* Unknown, wrong, not a member, disabled: not to be told apart. */
static void
test_failures_are_one(void **state)
{
    unsigned i;
    host h;
    char hash[128], other[128], trace[64], body[4096];
    tn_str sql;

    (void) state;
    host_init(&h);
    hash_of(hash, "secret");
    hash_of(other, "other");

    /* the tenant is known, so that only the person differs */
    SEND(&h, R(.path = "/v1/me", .token = h.member),
         { ROWS(6, MEMBER, "m", "M", "member", "{}", "1") });

    for (i = 0; i < 4; i++) {
        char attempts[32];
        const char *id = i == 0 ? NULL : MEMBER;
        const char *kept = i == 0   ? NULL
                           : i == 1 ? other
                           : i == 2 ? hash
                                    : NULL;
        const char *role = i == 1 || i == 3 ? "member" : NULL;

        SEND(&h, LOGIN(.request_id = "same"),
             { ROWS(6, id, "a", "A", kept, role, "Acme") }, { ROWS(1, "") });
        host_problem(&h, 401, "invalid_credentials");
        assert_true(host_has(h.sql, "'failure'"));

        /* the tenant's log names none but its own */
        unit_assert_str(host_bound(&h, "'tenon.user', "), role ? MEMBER : NULL);
        snprintf(attempts, sizeof(attempts), "{\"attempts\":%u}", i + 1);
        unit_assert_str(host_bound(&h, METADATA), attempts);

        if (i == 0) {
            memcpy(trace, h.trace, sizeof(trace));
            memcpy(body, h.body, sizeof(body));
            sql = h.sql;
            assert_string_equal(trace, "ZABDCZW");
        }

        assert_string_equal(h.trace, trace);
        assert_string_equal(h.body, body);
        assert_ptr_equal(h.sql.p, sql.p);
    }

    host_free(&h);
}


/* Whoever is guessed at, a tenant's log grows by few events; every attempt is
 * counted in its row. */
static void
test_events_are_bounded(void **state)
{
    unsigned i;
    host h;
    char hash[128], want[32];

    (void) state;
    host_init(&h);
    hash_of(hash, "other");

    for (i = 1; i <= 101; i++) {
        const char *kept = i % 2 ? hash : NULL;

        SEND(&h, LOGIN(.tenant = NULL),
             { ROWS(6, kept ? MEMBER : NULL, "a", "A", kept,
                    kept ? "member" : NULL, "Acme") },
             { NO_ROWS(1) });
        host_problem(&h, 401, "invalid_credentials");
        snprintf(want, sizeof(want), "{\"attempts\":%u}", i);
        unit_assert_str(host_bound(&h, METADATA),
                        i <= 10 || i == 100 ? want : NULL);
        assert_int_equal(host_bound(&h, "values ($1::uuid, ").n, 66);
    }

    /* another tenant has a count of its own */
    SEND(&h, LOGIN(.host = "umbrella.tenon.localhost"),
         { ROWS(6, NULL, NULL, NULL, NULL, NULL, "Umbrella") },
         { ROWS(1, "") });
    unit_assert_str(host_bound(&h, METADATA), "{\"attempts\":1}");

    /* and a minute is a window */
    h.now += 61 * 1000000;
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(6, NULL, NULL, NULL, NULL, NULL, "Acme") }, { ROWS(1, "") });
    unit_assert_str(host_bound(&h, METADATA), "{\"attempts\":1}");

    /* what the zone can't count is written down */
    h.lossy = 1;
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(6, NULL, NULL, NULL, NULL, NULL, "Acme") }, { ROWS(1, "") });
    unit_assert_str(host_bound(&h, METADATA), "{\"attempts\":1}");
    host_free(&h);
}


/* The attempt row is one per realm and address, whatever its case, and holds
 * no address. */
static void
test_attempt_key(void **state)
{
    host h;
    char key[80];

    (void) state;
    host_init(&h);
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(6, NULL, NULL, NULL, NULL, NULL, "Acme") }, { ROWS(1, "") });
    assert_int_equal(host_bound(&h, "values ($1::uuid, ").n, 66);
    memcpy(key, host_bound(&h, "values ($1::uuid, ").p, 66);
    key[66] = '\0';

    SEND(&h,
         R(.method = "POST", .path = "/v1/auth/login",
           .body = "{\"email\":\"ANN@example.ORG\",\"password\":\"x\"}"),
         { ROWS(6, NULL, NULL, NULL, NULL, NULL, "Acme") }, { ROWS(1, "") });
    unit_assert_str(host_bound(&h, "values ($1::uuid, "), key);

    SEND(&h,
         R(.method = "POST", .path = "/v1/auth/login",
           .body = "{\"email\":\"bob@example.org\",\"password\":\"x\"}"),
         { ROWS(6, NULL, NULL, NULL, NULL, NULL, "Acme") }, { ROWS(1, "") });
    assert_memory_not_equal(host_bound(&h, "values ($1::uuid, ").p, key, 66);
    host_free(&h);
}


static void
test_refused_early(void **state)
{
    host h;
    char body[2048];

    (void) state;
    host_init(&h);

    /* a tenant must be named, and be there, and be active */
    SEND0(&h, LOGIN(.host = "tenon.localhost"));
    host_problem(&h, 404, "tenant_unknown");
    SEND0(&h, LOGIN(.host = "nobody.tenon.localhost"));
    host_problem(&h, 404, "tenant_unknown");
    SEND0(&h, LOGIN(.host = "sleepy.tenon.localhost"));
    host_problem(&h, 403, "tenant_inactive");

    memset(body, 'x', sizeof(body));
    memcpy(body, "{\"email\":\"a@b\",\"password\":\"", 27);
    memcpy(body + 27 + 1025, "\"}", 3);
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/login", .body = body));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/password\",\"code\":\"too_long\"");

    /* a bad Authorization header is none of login's business */
    SEND(&h, LOGIN(.token = "junk", .no_permit = 1),
         { ROWS(6, NULL, NULL, NULL, NULL, NULL, "Acme") });
    host_problem(&h, 503, "busy");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1");
    host_free(&h);
}


static void
test_logout(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.method = "POST", .path = "/v1/auth/logout", .token = h.member),
         { ROWS(1, "") });
    host_assert(&h, 204, NULL);
    assert_string_equal(h.trace, "ZZdZAWZ");
    unit_assert_str(host_bound(&h, "and id = "), SESSION("a2"));

    /* the directory still knows the session: the zone says no */
    SEND0(&h, R(.path = "/v1/me", .token = h.member));
    host_problem(&h, 401, "unauthenticated");
    assert_string_equal(h.trace, "ZZ");

    /* and a look-up that raced with it can't bring it back */
    h.now += 30 * 1000000;
    SEND0(&h, R(.path = "/v1/me", .token = h.member));
    host_problem(&h, 401, "unauthenticated");
    assert_null(strchr(strchr(h.trace, 'd') ? "" : h.trace, 'A'));

    /* other sessions live on */
    SEND(&h, R(.path = "/v1/me", .token = h.owner),
         { ROWS(6, OWNER, "m", "M", "owner", "{}", "1") });
    host_assert(&h, 200, NULL);

    /* a logout that failed kills nothing */
    SEND(&h, R(.method = "POST", .path = "/v1/auth/logout", .token = h.owner),
         { .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    SEND(&h, R(.path = "/v1/me", .token = h.owner),
         { ROWS(6, OWNER, "m", "M", "owner", "{}", "1") });
    host_assert(&h, 200, NULL);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_login), cmocka_unit_test(test_failures_are_one),
          cmocka_unit_test(test_events_are_bounded),
          cmocka_unit_test(test_attempt_key),
          cmocka_unit_test(test_refused_early), cmocka_unit_test(test_logout))
