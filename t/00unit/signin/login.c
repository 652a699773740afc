/*
 * Login answers alike whoever is asked for; its token opens the next
 * request; logout closes it on this node at once.
 */

#include "t/00unit/host.h"
#include "libcore/zone/zone.h"

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
         { ROWS(8, MEMBER, "ann@example.org", "Ann \"A\"", hash, "member",
                "Acme", "f", "f") },
         { ROWS(1, "") });
    host_assert(&h, 200,
                "\"token_type\":\"Bearer\",\"expires_in\":900,"
                "\"refresh_token\":\"tnr_");
    host_assert(&h, 200,
                "\"user\":{\"id\":\"" MEMBER "\",\"email\":"
                "\"ann@example.org\",\"name\":\"Ann \\\"A\\\"\"},\"tenant\":"
                "{\"id\":\"" ACME
                "\",\"name\":\"Acme\",\"slug\":\"acme\"},\"mfa_token\":null}");
    assert_string_equal(h.trace, "ZdZABDZCZW");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");

    /* no session was opened: the membership ended meanwhile */
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(8, MEMBER, "ann@example.org", "Ann \"A\"", hash, "member",
                "Acme", "f", "f") },
         { NO_ROWS(1) });
    host_problem(&h, 401, "invalid_credentials");
    assert_null(tn_op_facts(h.op)->user_id.p);
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(8, MEMBER, "ann@example.org", "Ann \"A\"", hash, "member",
                "Acme", "f", "f") },
         { ROWS(1, "") });

    /* the password is nowhere in the answer */
    assert_null(strstr(h.body, "secret"));
    assert_null(strstr(h.body, "argon2"));

    session = host_bound(&h, "select $6::uuid, ");
    assert_int_equal(session.n, 36);
    snprintf(sid, sizeof(sid), "%.36s", session.p);
    member_of(&h, "access_token", token);

    /* the token is good for that very session */
    h.sessions[4] = (host_session){
        .id = sid, .tenant = ACME, .user = MEMBER, .role = "member"
    };
    SEND(&h, R(.path = "/v1/me", .token = token),
         { ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
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
         { ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });

    for (i = 0; i < 4; i++) {
        char attempts[32];
        const char *id = i == 0 ? NULL : MEMBER;
        const char *kept = i == 0   ? NULL
                           : i == 1 ? other
                           : i == 2 ? hash
                                    : NULL;
        const char *role = i == 1 || i == 3 ? "member" : NULL;

        SEND(&h, LOGIN(.request_id = "same"),
             { ROWS(8, id, "a", "A", kept, role, "Acme", "f", "f") },
             { ROWS(1, "") });
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
            assert_string_equal(trace, "ZABDZCZW");
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
             { ROWS(8, kept ? MEMBER : NULL, "a", "A", kept,
                    kept ? "member" : NULL, "Acme", "f", "f") },
             { NO_ROWS(1) });
        host_problem(&h, 401, "invalid_credentials");
        snprintf(want, sizeof(want), "{\"attempts\":%u}", i);
        unit_assert_str(host_bound(&h, METADATA),
                        i <= 10 || i == 100 ? want : NULL);
        assert_int_equal(host_bound(&h, "values ($1::uuid, ").n, 66);
    }

    /* another tenant has a count of its own */
    SEND(&h, LOGIN(.host = "umbrella.tenon.localhost"),
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Umbrella", "f", "f") },
         { ROWS(1, "") });
    unit_assert_str(host_bound(&h, METADATA), "{\"attempts\":1}");

    /* and an hour is a window */
    h.now += 3601 * 1000000LL;
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
         { ROWS(1, "") });
    unit_assert_str(host_bound(&h, METADATA), "{\"attempts\":1}");

    /* what the zone can't count is written down */
    h.lossy = 1;
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
         { ROWS(1, "") });
    unit_assert_str(host_bound(&h, METADATA), "{\"attempts\":1}");
    host_free(&h);
}


/* A right password during a lock, or from an address that has guessed too much,
 * takes the way of a wrong one: the hash, the counts, the statement. */
static void
test_locked(void **state)
{
    host h;
    unsigned i;
    char hash[128], trace[64], body[4096];
    tn_str sql;

    (void) state;
    host_init(&h);
    hash_of(hash, "secret");

    SEND(&h, R(.path = "/v1/me", .token = h.member),
         { ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    SEND(&h, LOGIN(.request_id = "same"),
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
         { ROWS(2, "", NULL) });
    memcpy(trace, h.trace, sizeof(trace));
    memcpy(body, h.body, sizeof(body));
    sql = h.sql;

    SEND(&h, LOGIN(.request_id = "same"),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "t") },
         { ROWS(2, "", NULL) });
    host_problem(&h, 401, "invalid_credentials");
    assert_string_equal(h.trace, trace);
    assert_string_equal(h.body, body);
    assert_ptr_equal(h.sql.p, sql.p);

    for (i = 2; i < 200; i++) {
        SEND(&h, LOGIN(.request_id = "same"),
             { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
             { ROWS(2, "", NULL) });
    }

    /* the node counts behind the hash, and once more: no more than that */
    SEND(&h, LOGIN(.request_id = "same"),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
         { ROWS(2, "", NULL) });
    host_problem(&h, 401, "invalid_credentials");
    assert_string_equal(h.trace, "ZABDZCZZW");
    assert_string_equal(h.body, body);
    assert_ptr_equal(h.sql.p, sql.p);

    /* a quarter of an hour later it is a new beginning */
    h.now += 901 * 1000000LL;
    SEND(&h, LOGIN(.request_id = "same"),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
         { ROWS(1, "") });
    host_assert(&h, 200, NULL);
    host_free(&h);
}


/* Behind a unix socket all have the same, which is no address: nobody is locked
 * out for what others there have tried, and the database is told of none. */
static void
test_no_address(void **state)
{
    host h;
    unsigned i;
    char hash[128];

    (void) state;
    host_init(&h);
    hash_of(hash, "secret");

    for (i = 0; i < 201; i++) {
        SEND(&h, LOGIN(.address = "unix:"),
             { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
             { ROWS(2, "", NULL) });
    }

    unit_assert_str(host_context_bound(&h, "'tenon.ip', coalesce("), NULL);
    SEND(&h, LOGIN(.address = "unix:"),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
         { ROWS(1, "") });
    host_assert(&h, 200, NULL);

    SEND(&h, LOGIN(.address = "2001:db8::1"),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
         { ROWS(1, "") });
    unit_assert_str(host_context_bound(&h, "'tenon.ip', coalesce("),
                    "2001:db8::1");
    host_free(&h);
}


/* A hash of other parameters than the core's is replaced by the statement that
 * opens the session, and only if it is still the one that was checked. */
static void
test_renewed(void **state)
{
    host h;
    char hash[128], text[128];
    tn_str renewed;

    (void) state;
    host_init(&h);
    assert_int_equal(crypto_pwhash_str_alg(hash, "secret", 6,
                                           crypto_pwhash_OPSLIMIT_MIN + 1,
                                           crypto_pwhash_MEMLIMIT_MIN,
                                           crypto_pwhash_ALG_ARGON2ID13),
                     0);
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
         { ROWS(1, "") });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "is not distinct from "), hash);
    renewed = host_bound(&h, "set password_hash = ");
    assert_in_range(renewed.n, 1, sizeof(text) - 1);
    snprintf(text, sizeof(text), "%.*s", (int) renewed.n, renewed.p);
    assert_int_equal(crypto_pwhash_str_needs_rehash(text,
                                                    crypto_pwhash_OPSLIMIT_MIN,
                                                    crypto_pwhash_MEMLIMIT_MIN),
                     0);
    assert_int_equal(crypto_pwhash_str_verify(text, "secret", 6), 0);

    /* who doesn't get in learns nothing by the time that it takes */
    assert_true(h.renewed);
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "t") },
         { ROWS(2, "", NULL) });
    host_problem(&h, 401, "invalid_credentials");
    assert_false(h.renewed);
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(8, MEMBER, "a", "A", hash, NULL, "Acme", "f", "f") },
         { ROWS(2, "", NULL) });
    host_problem(&h, 401, "invalid_credentials");
    assert_false(h.renewed);

    /* of today's: left alone */
    hash_of(hash, "secret");
    SEND(&h, LOGIN(.tenant = NULL),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
         { ROWS(1, "") });
    unit_assert_str(host_bound(&h, "set password_hash = "), NULL);
    host_free(&h);
}


/* Addresses of one house are one. */
static void
test_address(void **state)
{
    unsigned i;
    tn_op op;
    tn_core core;
    tn_zone_cmd cmd[2];
    static const struct {
        const char *a, *b;
        int same;
    } pairs[] = {
        { "192.0.2.1", "192.0.2.1", 1 },
        { "192.0.2.1", "192.0.2.2", 0 },
        { "2001:db8::1", "2001:db8::ffff:1", 1 },
        { "2001:db8::1", "2001:db8:0:1::1", 0 },
        /* IPv4 on a socket of IPv6: every house is of the same /64 */
        { "::ffff:192.0.2.1", "::ffff:192.0.2.1", 1 },
        { "::ffff:192.0.2.1", "::ffff:192.0.2.2", 0 },
    };

    (void) state;
    memset(&op, 0, sizeof(op));
    memset(&core, 0, sizeof(core));
    op.core = &core;

    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        op.address = unit_str(pairs[i].a);
        tn__zone_address(&cmd[0], TN_ZONE_GET, &op, TN_STR("x"));
        op.address = unit_str(pairs[i].b);
        tn__zone_address(&cmd[1], TN_ZONE_GET, &op, TN_STR("x"));
        assert_int_equal(memcmp(cmd[0].key, cmd[1].key, TN_ZONE_KEY_LEN) == 0,
                         pairs[i].same);
    }
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
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
         { ROWS(1, "") });
    assert_int_equal(host_bound(&h, "values ($1::uuid, ").n, 66);
    memcpy(key, host_bound(&h, "values ($1::uuid, ").p, 66);
    key[66] = '\0';

    SEND(&h,
         R(.method = "POST", .path = "/v1/auth/login",
           .body = "{\"email\":\"ANN@example.ORG\",\"password\":\"x\"}"),
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
         { ROWS(1, "") });
    unit_assert_str(host_bound(&h, "values ($1::uuid, "), key);

    SEND(&h,
         R(.method = "POST", .path = "/v1/auth/login",
           .body = "{\"email\":\"bob@example.org\",\"password\":\"x\"}"),
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
         { ROWS(1, "") });
    assert_memory_not_equal(host_bound(&h, "values ($1::uuid, ").p, key, 66);
    host_free(&h);
}


#define MADE_UP 600

/* Addresses that nobody has share rows, of which a realm has 4,096: making up
 * addresses makes no more. One that somebody has is in none of them. */
static void
test_made_up(void **state)
{
    host h;
    unsigned i, j, n;
    char body[128], hash[128];
    static char keys[MADE_UP][66];

    (void) state;
    host_init(&h);
    hash_of(hash, "other");

    for (i = n = 0; i < MADE_UP; i++) {
        snprintf(body, sizeof(body),
                 "{\"email\":\"%u@example.org\",\"password\":\"x\"}", i);
        SEND(&h, R(.method = "POST", .path = "/v1/auth/login", .body = body),
             { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
             { ROWS(2, "", NULL) });
        assert_int_equal(host_bound(&h, "values ($1::uuid, ").n, 66);
        memcpy(keys[n], host_bound(&h, "values ($1::uuid, ").p, 66);

        for (j = 0; memcmp(keys[j], keys[n], 66); j++) {
        }

        n += j == n;
    }

    /* some 44 of them share one, were they spread by chance */
    assert_in_range(n, 500, 590);

    SEND(&h, R(.method = "POST", .path = "/v1/auth/login", .body = body),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
         { ROWS(2, "", NULL) });

    for (j = 0; j < n; j++) {
        assert_memory_not_equal(host_bound(&h, "values ($1::uuid, ").p, keys[j],
                                66);
    }

    host_free(&h);
}


/* Only who is then told that it was right: else the time of a second hash would
 * tell more. */
static void
test_who_is_renewed(void **state)
{
    host h;
    unsigned i;
    char hash[128];
    static const struct {
        const char *role;
        const char *mfa;
        const char *locked;
        int renew;
    } cases[] = {
        { "member", "f", "f", 1 },
        { "member", "f", "t", 0 },
        { NULL, "f", "f", 0 },
        { "member", "t", "f", 1 }, /* whom an mfa_token tells the same */
    };

    (void) state;
    host_init(&h);
    hash_of(hash, "secret");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        h.renew = -1;
        SEND(&h, LOGIN(.tenant = NULL),
             { ROWS(8, MEMBER, "a", "A", hash, cases[i].role, "Acme",
                    cases[i].mfa, cases[i].locked) },
             { ROWS(2, "", NULL) });
        assert_int_equal(h.renew, cases[i].renew);
    }

    /* an address that has guessed too much: it isn't let in either */
    for (i = 0; i < 200; i++) {
        SEND(&h, LOGIN(.address = "192.0.2.9"),
             { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") },
             { ROWS(2, "", NULL) });
    }

    h.renew = -1;
    SEND(&h, LOGIN(.address = "192.0.2.9"),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
         { ROWS(2, "", NULL) });
    host_problem(&h, 401, "invalid_credentials");
    assert_int_equal(h.renew, 0);
    host_free(&h);
}


/* A hash that found no memory says nothing of the password: nothing is counted
 * and nobody is told. */
static void
test_out_of_memory(void **state)
{
    host h;
    char hash[128];

    (void) state;
    host_init(&h);
    hash_of(hash, "secret");
    SEND(&h, LOGIN(.no_memory = 1),
         { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") });
    host_problem(&h, 503, "busy");
    assert_string_equal(h.trace, "ZdZABDZC");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1");
    assert_true(tn_op_facts(h.op)->log.n > 0);
    host_free(&h);
}


/* Whose session was not opened is nobody to limits and logs. */
static void
test_not_opened(void **state)
{
    host h;
    unsigned i;
    char hash[128];
    static const tn_db_outcome outcomes[] = { TN_DB_BUSY, TN_DB_DOWN,
                                              TN_DB_UNKNOWN };

    (void) state;
    host_init(&h);
    hash_of(hash, "secret");

    for (i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        SEND(&h, LOGIN(.tenant = NULL),
             { ROWS(8, MEMBER, "a", "A", hash, "member", "Acme", "f", "f") },
             { .outcome = outcomes[i] });
        host_assert(&h, 503, NULL);
        assert_null(tn_op_facts(h.op)->user_id.p);
    }

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
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") });
    host_problem(&h, 503, "busy");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1");

    /* whose client has gone while it was hashed: the password goes, too */
    SEND(&h, LOGIN(.gone = 1),
         { ROWS(8, NULL, NULL, NULL, NULL, NULL, "Acme", "f", "f") });
    assert_non_null(h.job);

    /* where none will be had, nothing is looked up for it */
    SEND0(&h, LOGIN(.no_room = 1));
    host_problem(&h, 503, "busy");
    assert_string_equal(h.trace, "ZA");
    SEND(&h, R(.path = "/v1/me", .token = h.member, .no_room = 1),
         { ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    host_assert(&h, 200, NULL);
    host_free(&h);
}


static void
test_logout(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.method = "POST", .path = "/v1/auth/logout", .token = h.member),
         { ROWS(1, NULL) });
    host_assert(&h, 204, NULL);
    assert_string_equal(h.trace, "ZZdZAWZ");
    unit_assert_str(host_bound(&h, "s.id = "), SESSION("a2"));

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
         { ROWS(12, OWNER, "m", "M", "owner", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    host_assert(&h, 200, NULL);

    /* a logout that failed kills nothing */
    SEND(&h, R(.method = "POST", .path = "/v1/auth/logout", .token = h.owner),
         { .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    SEND(&h, R(.path = "/v1/me", .token = h.owner),
         { ROWS(12, OWNER, "m", "M", "owner", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    host_assert(&h, 200, NULL);

    /* one that may have been made does */
    SEND(&h, R(.method = "POST", .path = "/v1/auth/logout", .token = h.owner),
         { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    SEND0(&h, R(.path = "/v1/me", .token = h.owner));
    host_problem(&h, 401, "unauthenticated");
    assert_string_equal(h.trace, "ZZ");
    host_free(&h);
}


#define HER(h) \
    R(.path = "/v1/me", .host = "umbrella.tenon.localhost", .token = (h).eve)
#define HERSELF                                                           \
    {                                                                     \
        ROWS(12, EVE, "e", "E", "owner", "{}", "t", "f", NULL, "f", "[]", \
             NULL, "1")                                                   \
    }


/* Where its sign-in had more, sessions are looked up anew before the answer
 * leaves. */
static void
test_logout_elsewhere(void **state)
{
    host h;
    int i;
    static const char *const ended[] = { NULL, ACME "," UMBRELLA };

    (void) state;

    for (i = 0; i < 2; i++) {
        host_init(&h);
        SEND(&h, HER(h), HERSELF);
        SEND(&h,
             R(.method = "POST", .path = "/v1/auth/logout", .token = h.member),
             { ROWS(1, ended[i]) });
        host_assert(&h, 204, NULL);
        SEND(&h, HER(h), HERSELF);
        host_assert(&h, 200, NULL);
        assert_int_equal(strchr(h.trace, 'd') != NULL, i);
        host_free(&h);
    }
}


#define HIS(h) R(.path = "/v1/me", .token = (h).member)
#define HIMSELF                                                               \
    {                                                                         \
        ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]", \
             NULL, "1")                                                       \
    }


/* What had to go for a session is nobody here; where that is more than one, all
 * are looked up anew. */
static void
test_crowded(void **state)
{
    host h;
    int i;
    char hash[128];
    static const char *const gone[] = { NULL, SESSION("a2"),
                                        SESSION("a9") "," SESSION("a2") };

    (void) state;
    hash_of(hash, "secret");

    for (i = 0; i < 3; i++) {
        host_init(&h);
        SEND(&h, HIS(h), HIMSELF);
        SEND(&h, LOGIN(.tenant = NULL),
             { ROWS(8, MEMBER, "ann@example.org", "Ann", hash, "member", "Acme",
                    "f", "f") },
             { ROWS(2, "", gone[i]) });
        host_assert(&h, 200, NULL);

        if (i == 1) {
            SEND0(&h, HIS(h));
            host_problem(&h, 401, "unauthenticated");

        } else {
            SEND(&h, HIS(h), HIMSELF);
            host_assert(&h, 200, NULL);
        }

        assert_int_equal(strchr(h.trace, 'd') != NULL, i == 2);
        host_free(&h);
    }
}


UNIT_MAIN(cmocka_unit_test(test_login), cmocka_unit_test(test_failures_are_one),
          cmocka_unit_test(test_events_are_bounded),
          cmocka_unit_test(test_locked), cmocka_unit_test(test_renewed),
          cmocka_unit_test(test_address), cmocka_unit_test(test_no_address),
          cmocka_unit_test(test_attempt_key), cmocka_unit_test(test_made_up),
          cmocka_unit_test(test_who_is_renewed),
          cmocka_unit_test(test_out_of_memory),
          cmocka_unit_test(test_not_opened),
          cmocka_unit_test(test_refused_early), cmocka_unit_test(test_logout),
          cmocka_unit_test(test_logout_elsewhere),
          cmocka_unit_test(test_crowded))
