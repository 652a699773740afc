/*
 * One-time tokens: a forged one never reaches the database, one for something
 * else is forged, a new password voids what the node knows of sessions in every
 * tenant, and every want of memory on the way is survived.
 */

#include "t/00unit/host.h"
#include "libcore/http/http.h"

#define ROW   "0192f0c0-0000-7000-8000-0000000000c1"
#define OTHER "00000000-0000-7000-8000-0000000000ff"

#define POST(what, ...) \
    R(.method = "POST", .path = "/v1/auth/" what, __VA_ARGS__)

#define ME(user)                                                            \
    {                                                                       \
        ROWS(12, user, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]", \
             NULL, "1")                                                     \
    }


static const char *
body_of(const host *h, const char *purpose, const char *realm, const char *more)
{
    static char body[512];
    char token[TN_ONE_TIME_TOKEN_SIZE];

    assert_int_equal(tn_one_time_token(token, h->core, unit_str(purpose),
                                       unit_str(realm), TN_STR(ROW)),
                     TN_OK);
    assert_int_equal(strlen(token), TN_ONE_TIME_TOKEN_SIZE - 1);
    snprintf(body, sizeof(body), "{\"token\":\"%s\"%s}", token, more);

    return body;
}

#define PASSWORD ",\"password\":\"correct horse\""


static void
test_token(void **state)
{
    host h;
    size_t i;
    char body[512], *at;

    (void) state;
    host_init(&h);

    /* every character of it counts */
    snprintf(body, sizeof(body), "%s", body_of(&h, "verify", REALM, ""));
    at = strstr(body, ":\"") + 2;

    for (i = 0; i < TN_ONE_TIME_TOKEN_SIZE - 1; i++) {
        at[i] = at[i] == 'x' ? 'y' : 'x';
        SEND0(&h, POST("email/verify", .body = body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, "\"/token\",\"code\":\"not_found\"");
        assert_null(strchr(h.trace, 'W'));
        snprintf(body, sizeof(body), "%s", body_of(&h, "verify", REALM, ""));
    }

    /* for something else, of another realm, of an id that is none */
    SEND0(&h, POST("email/verify", .body = body_of(&h, "reset", REALM, "")));
    host_problem(&h, 422, "invalid_fields");
    SEND0(&h, POST("password/reset",
                   .body = body_of(&h, "verify", REALM, PASSWORD)));
    host_problem(&h, 422, "invalid_fields");
    SEND0(&h, POST("email/verify", .body = body_of(&h, "verify", OTHER, "")));
    host_problem(&h, 422, "invalid_fields");
    assert_int_equal(tn_one_time_token(body, h.core, TN_STR("verify"),
                                       TN_STR("x"), TN_STR(ROW)),
                     TN_E_INTERNAL);
    host_free(&h);
}


/* What verify_find says of a token of MEMBER's. */
#define OF_MEMBER(hash)                             \
    {                                               \
        ROWS(4, "t", MEMBER, "m@example.org", hash) \
    }


static void
make_hash(char hash[128])
{
    assert_int_equal(crypto_pwhash_str_alg(hash, "secret", 6,
                                           crypto_pwhash_OPSLIMIT_MIN,
                                           crypto_pwhash_MEMLIMIT_MIN,
                                           crypto_pwhash_ALG_ARGON2ID13),
                     0);
}


/* By whoever is signed in as the token's user. */
static void
test_verify(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         POST("email/verify", .token = h.member,
              .body = body_of(&h, "verify", REALM, "")),
         OF_MEMBER("x"), { ROWS(1, "t") });
    host_assert(&h, 204, NULL);
    assert_null(strchr(h.trace, 'C'));
    assert_string_equal(strchr(h.trace, 'D'), "DW");
    unit_assert_str(host_bound(&h, "v.id = "), ROW);
    unit_assert_str(host_bound(&h, ", person.id, "), "verify");
    unit_assert_str(host_bound(&h, "v.tenant_id = "), ACME);
    unit_assert_str(host_bound(&h, "u.id = "), MEMBER);
    assert_false(host_has(h.sql, "login_attempt"));

    /* used, or meanwhile */
    SEND(&h,
         POST("email/verify", .token = h.member,
              .body = body_of(&h, "verify", REALM, "")),
         { ROWS(4, "f", MEMBER, "m@example.org", "x") });
    host_problem(&h, 410, "secret_spent");
    SEND(&h,
         POST("email/verify", .token = h.member,
              .body = body_of(&h, "verify", REALM, "")),
         OF_MEMBER("x"), { ROWS(1, "f") });
    host_problem(&h, 410, "secret_spent");

    /* another tenant's answers as a forged one */
    SEND(&h,
         POST("email/verify", .token = h.member,
              .body = body_of(&h, "verify", REALM, "")),
         { NO_ROWS(4) });
    host_problem(&h, 422, "invalid_fields");
    host_free(&h);
}


/* The token alone, or with somebody else's session: alike. */
static void
test_token_alone(void **state)
{
    host h;
    int64_t now;
    char body[2048];

    (void) state;
    host_init(&h);
    SEND(&h,
         POST("email/verify", .request_id = "r",
              .body = body_of(&h, "verify", REALM, "")),
         OF_MEMBER("x"));
    host_problem(&h, 401, "unauthenticated");
    host_assert(&h, 401, "resets it");
    assert_null(strchr(h.trace, 'W'));
    snprintf(body, sizeof(body), "%.2000s", h.body);

    SEND(&h,
         POST("email/verify", .token = h.owner, .request_id = "r",
              .body = body_of(&h, "verify", REALM, "")),
         OF_MEMBER("x"));
    assert_string_equal(h.body, body);
    assert_null(strchr(h.trace, 'W'));

    /* a session that is over is none, and one that would do is asked for */
    h.sessions[1].id = "0192f0c0-0000-7000-8000-000000000599";
    h.nzone = 0;
    SEND(&h,
         POST("email/verify", .token = h.member, .request_id = "r",
              .body = body_of(&h, "verify", REALM, "")),
         OF_MEMBER("x"));
    assert_string_equal(h.body, body);
    now = h.now;
    h.now += 7200 * 1000000LL;
    SEND(&h,
         POST("email/verify", .token = h.owner,
              .body = body_of(&h, "verify", REALM, "")),
         OF_MEMBER("x"));
    host_problem(&h, 401, "token_expired");
    h.now = now;

    /* another tenant's stranger */
    SEND0(&h, POST("email/verify", .token = h.eve,
                   .body = body_of(&h, "verify", REALM, "")));
    host_problem(&h, 403, "tenant_mismatch");
    host_free(&h);
}


static void
test_verify_by_password(void **state)
{
    host h;
    char hash[128];

    (void) state;
    host_init(&h);
    make_hash(hash);

#define GUESS  ",\"password\":\"guess\""
#define SECRET ",\"password\":\"secret\""

    SEND(&h, POST("email/verify", .body = body_of(&h, "verify", REALM, SECRET)),
         OF_MEMBER(hash), { ROWS(1, "t") });
    host_assert(&h, 204, NULL);
    assert_true(tn_op_facts(h.op)->hashes);
    assert_string_equal(strchr(h.trace, 'D'), "DCZW");
    unit_assert_str(host_bound(&h, "is not distinct from "), hash);
    assert_memory_equal(tn_op_facts(h.op)->user_id.p, MEMBER, 36);

    /* whoever else is signed in: it is the account's owner who did this */
    SEND(&h,
         POST("email/verify", .token = h.owner,
              .body = body_of(&h, "verify", REALM, SECRET)),
         OF_MEMBER(hash), { ROWS(1, "t") });
    host_assert(&h, 204, NULL);
    assert_memory_equal(tn_op_facts(h.op)->user_id.p, MEMBER, 36);

    SEND(&h, POST("email/verify", .body = body_of(&h, "verify", REALM, GUESS)),
         OF_MEMBER(hash), { ROWS(2, "", "") });
    host_problem(&h, 401, "invalid_credentials");
    assert_true(host_has(h.sql, "'failure'"));
    unit_assert_str(host_bound(&h, "tenon.log_event( $4::uuid, "),
                    "user.email_verified");
    assert_null(tn_op_facts(h.op)->user_id.p);

    /* nobody has a password: that is wrong as well */
    SEND(&h, POST("email/verify", .body = body_of(&h, "verify", REALM, SECRET)),
         OF_MEMBER(NULL), { ROWS(2, "", "") });
    host_problem(&h, 401, "invalid_credentials");

    /* a lock, or another password meanwhile; the token meanwhile */
    SEND(&h, POST("email/verify", .body = body_of(&h, "verify", REALM, SECRET)),
         OF_MEMBER(hash), { NO_ROWS(1) });
    host_problem(&h, 401, "invalid_credentials");
    assert_null(tn_op_facts(h.op)->user_id.p);
    SEND(&h, POST("email/verify", .body = body_of(&h, "verify", REALM, SECRET)),
         OF_MEMBER(hash), { ROWS(1, "f") });
    host_problem(&h, 410, "secret_spent");

    host_free(&h);
}


/* Known or not can't be told from what was done; too much is too much. */
static void
test_forgot(void **state)
{
    host h;
    unsigned i;

    (void) state;
    host_init(&h);

    for (i = 0; i < 4; i++) {
        if (i < 3) {
            SEND(&h,
                 POST("password/forgot",
                      .body = "{\"email\":\"Ann@Example.org\"}"),
                 { ROWS(1, "") });
            assert_string_equal(h.trace + strlen(h.trace) - 2, "ZW");
        } else {
            SEND0(&h, POST("password/forgot",
                           .body = "{\"email\":\"ann@example.org\"}"));
            assert_null(strchr(h.trace, 'W'));
        }

        host_assert(&h, 204, NULL);
    }

    SEND(&h, POST("password/forgot", .body = "{\"email\":\"bob@example.org\"}"),
         { ROWS(1, "") });
    assert_non_null(strchr(h.trace, 'W'));

    /* nobody who asks elsewhere can use it up here */
    SEND(&h,
         POST("password/forgot", .host = "umbrella.tenon.localhost",
              .body = "{\"email\":\"ann@example.org\"}"),
         { ROWS(1, "") });
    assert_non_null(strchr(h.trace, 'W'));
    unit_assert_str(host_bound(&h, "and ("), "f");
    host_free(&h);
}


/* However many addresses are made up: so many rows, and so many events. */
static void
test_forgot_is_bounded(void **state)
{
    host h;
    unsigned i, j, n, told;
    char body[64], address[32];
    static char rows[300][36];

    (void) state;
    host_init(&h);

    for (i = n = 0; i < 2000; i++) {
        snprintf(body, sizeof(body), "{\"email\":\"%u@example.org\"}", i);
        SEND(&h, POST("password/forgot", .body = body), { ROWS(1, "") });
        assert_true(n < 300);
        memcpy(rows[n], host_bound(&h, "person.id is null then ").p, 36);

        for (j = 0; memcmp(rows[j], rows[n], 36); j++) {
        }

        n += j == n;
        h.now += 901 * 1000000LL;
    }

    assert_in_range(n, 200, 256);

    /* within an hour: forty addresses, twelve times each */
    for (i = told = 0; i < 480; i++) {
        snprintf(body, sizeof(body), "{\"email\":\"%u@example.org\"}", i % 40);
        snprintf(address, sizeof(address), "192.0.2.%u", i / 30);
        SEND(&h, POST("password/forgot", .body = body, .address = address),
             { ROWS(1, "") });
        told += host_bound(&h, "select case when ").p != NULL;

        if (i % 120 == 119) {
            h.now += 901 * 1000000LL;
        }
    }

    assert_in_range(told, 200, 400);
    h.now += 3600 * 1000000LL;
    SEND(&h, POST("password/forgot", .body = body), { ROWS(1, "") });
    unit_assert_str(host_bound(&h, "select case when "), "{\"attempts\":1}");

    /* clients of a unix socket are bounded all the same, all as one */
    h.now += 3600 * 1000000LL;

    for (i = 0; i < 300; i++) {
        snprintf(body, sizeof(body), "{\"email\":\"%u@example.org\"}", i / 3);
        SEND(&h, POST("password/forgot", .body = body, .address = "unix:"),
             { ROWS(1, "") });
    }

    SEND0(&h, POST("password/forgot", .body = "{\"email\":\"x@example.org\"}",
                   .address = "unix:"));
    host_assert(&h, 204, NULL);
    host_free(&h);
}


#define PLATFORM "00000000-0000-7000-8000-000000000002"
#define SHARED   "00000000-0000-7000-8000-000000000001"

/* The base domain names no organization: there it is for everybody who shares
 * the realm, whatever they belong to. */
static void
test_realm_wide(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND(&h,
         POST("password/forgot", .host = "tenon.localhost",
              .body = "{\"email\":\"ann@example.org\"}"),
         { ROWS(1, "") });
    host_assert(&h, 204, NULL);
    assert_null(strchr(h.trace, 'd'));
    unit_assert_str(host_bound(&h, "and ("), "t");
    unit_assert_str(h.context_params[0], PLATFORM);
    unit_assert_str(h.context_params[1], SHARED);
    unit_assert_str(tn_op_facts(h.op)->tenant, "platform");

    SEND(&h,
         POST("password/reset", .host = "tenon.localhost",
              .body = body_of(&h, "reset", SHARED, PASSWORD)),
         { ROWS(4, "t", MEMBER, "m@example.org", NULL) },
         { ROWS(3, MEMBER, NULL, "0") });
    host_assert(&h, 204, NULL);
    unit_assert_str(host_bound(&h, "o.tenant_id = "), PLATFORM);

    /* named by the header, it is that organization's */
    SEND(&h,
         POST("password/forgot", .host = "tenon.localhost", .tenant = "acme",
              .body = "{\"email\":\"ann@example.org\"}"),
         { ROWS(1, "") });
    unit_assert_str(host_bound(&h, "and ("), "f");
    unit_assert_str(h.context_params[0], ACME);

    /* no other host that names none, and nothing else */
    SEND0(&h, POST("password/forgot", .host = "nobody.example",
                   .body = "{\"email\":\"ann@example.org\"}"));
    host_problem(&h, 404, "tenant_unknown");
    SEND0(&h, POST("login", .host = "tenon.localhost",
                   .body = "{\"email\":\"ann@example.org\","
                           "\"password\":\"x\"}"));
    host_problem(&h, 404, "tenant_unknown");
    host_free(&h);
}


static void
know(host *h)
{
    SEND(h, R(.path = "/v1/me", .token = h->member), ME(MEMBER));
    SEND(h,
         R(.path = "/v1/me", .token = h->eve,
           .host = "umbrella.tenon.localhost"),
         ME(EVE));
    SEND(h, R(.path = "/v1/me", .token = h->member), ME(MEMBER));
    assert_string_equal(h->trace, "ZZAD");
}


/* Whether the node asks the database for both of them again. */
static void
assert_void(host *h, int is)
{
    SEND(h, R(.path = "/v1/me", .token = h->member), ME(MEMBER));
    assert_int_equal(strchr(h->trace, 'd') != NULL, is);
    SEND(h,
         R(.path = "/v1/me", .token = h->eve,
           .host = "umbrella.tenon.localhost"),
         ME(EVE));
    assert_int_equal(strchr(h->trace, 'd') != NULL, is);
}

#define FOUND                                                    \
    {                                                            \
        ROWS(4, "t", MEMBER, "m@example.org", ACME "," UMBRELLA) \
    }


static void
test_reset(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    /* nothing is hashed for a token that was used */
    SEND(&h,
         POST("password/reset", .body = body_of(&h, "reset", REALM, PASSWORD)),
         { ROWS(4, "f", MEMBER, "m@example.org", NULL) });
    host_problem(&h, 410, "secret_spent");
    assert_null(strchr(h.trace, 'C'));

    know(&h);
    SEND(&h,
         POST("password/reset", .body = body_of(&h, "reset", REALM, PASSWORD)),
         FOUND, { ROWS(2, MEMBER, ACME "," UMBRELLA) });
    host_assert(&h, 204, NULL);
    assert_string_equal(strchr(h.trace, 'D'), "DCWZZ");
    assert_true(host_has(host_bound(&h, "set password_hash = "), "$argon2id$"));
    assert_void(&h, 1);
    assert_void(&h, 0);

    /* nobody knows what came of it: better ask */
    SEND(&h,
         POST("password/reset", .body = body_of(&h, "reset", REALM, PASSWORD)),
         FOUND, { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    assert_void(&h, 1);

    /* somebody was faster: nothing was done */
    SEND(&h,
         POST("password/reset", .body = body_of(&h, "reset", REALM, PASSWORD)),
         FOUND, { NO_ROWS(2) });
    host_problem(&h, 410, "secret_spent");
    assert_void(&h, 0);
    host_free(&h);
}


/* More tenants than one look into the zone takes. */
static void
test_many_tenants(void **state)
{
    host h;
    unsigned i;
    char list[37 * 9];

    (void) state;
    host_init(&h);

    for (i = 0; i < 9; i++) {
        snprintf(list + 37 * i, sizeof(list) - 37 * i, "%s%s",
                 i == 8 ? UMBRELLA : "0192f0c0-0000-7000-8000-0000000000ee",
                 i == 8 ? "" : ",");
    }

    know(&h);
    SEND(&h,
         POST("password/reset", .body = body_of(&h, "reset", REALM, PASSWORD)),
         FOUND, { ROWS(2, MEMBER, list) });
    host_assert(&h, 204, NULL);
    assert_string_equal(strchr(h.trace, 'D'), "DCWZZZ");
    assert_void(&h, 1);
    host_free(&h);
}


static void
test_change(void **state)
{
    host h;
    char hash[128];
    static const char body[] = "{\"current_password\":\"secret\","
                               "\"password\":\"correct horse\"}";

    (void) state;
    host_init(&h);
    make_hash(hash);
    know(&h);
    SEND(&h, POST("password/change", .token = h.member, .body = body),
         { ROWS(4, MEMBER, "m@example.org", hash, ACME "," UMBRELLA) },
         { ROWS(2, MEMBER, ACME "," UMBRELLA) });
    host_assert(&h, 204, NULL);
    assert_string_equal(strchr(h.trace, 'D'), "DCZCWZZ");
    unit_assert_str(host_bound(&h, "is not distinct from "), hash);
    assert_void(&h, 1);

    /* a lock, or another password meanwhile */
    SEND(&h, POST("password/change", .token = h.member, .body = body),
         { ROWS(4, MEMBER, "m@example.org", hash, ACME) }, { NO_ROWS(2) });
    host_problem(&h, 422, "reauthentication_failed");

    /* nobody has a password: that is wrong as well */
    SEND(&h, POST("password/change", .token = h.member, .body = body),
         { ROWS(4, MEMBER, "m@example.org", NULL, ACME) }, { ROWS(2, "", "") });
    host_problem(&h, 422, "reauthentication_failed");
    assert_true(host_has(h.sql, "'failure'"));
    unit_assert_str(host_bound(&h, "tenon.log_event( $4::uuid, "),
                    "user.password_changed");
    host_free(&h);
}


static void
test_resend(void **state)
{
    host h;
    unsigned i;

    (void) state;
    host_init(&h);

    for (i = 0; i < 3; i++) {
        SEND(&h, POST("email/resend", .token = h.member), { NO_ROWS(1) });
        host_assert(&h, 204, NULL);
    }

    SEND0(&h, POST("email/resend", .token = h.member));
    host_problem(&h, 429, "rate_limited");
    host_free(&h);
}


static void
test_memory(void **state)
{
    host h;
    size_t i;
    char body[512], hash[128];

    (void) state;
    host_init(&h);
    make_hash(hash);
    snprintf(body, sizeof(body), "%s", body_of(&h, "reset", REALM, PASSWORD));

    for (i = 1;; i++) {
        SEND(&h, POST("password/reset", .body = body, .fail_at = i), FOUND,
             { ROWS(2, MEMBER, ACME "," UMBRELLA) });

        if (h.response->status != 500) {
            break;
        }
    }

    assert_int_equal(h.response->status, 204);
    assert_true(i > 20);

    snprintf(body, sizeof(body), "%s", body_of(&h, "verify", REALM, SECRET));

    for (i = 1;; i++) {
        SEND(&h, POST("email/verify", .body = body, .fail_at = i),
             OF_MEMBER(hash), { ROWS(1, "t") });

        if (h.response->status != 500) {
            break;
        }
    }

    assert_int_equal(h.response->status, 204);
    assert_true(i > 20);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_token), cmocka_unit_test(test_verify),
          cmocka_unit_test(test_token_alone),
          cmocka_unit_test(test_verify_by_password),
          cmocka_unit_test(test_forgot),
          cmocka_unit_test(test_forgot_is_bounded),
          cmocka_unit_test(test_realm_wide), cmocka_unit_test(test_reset),
          cmocka_unit_test(test_many_tenants), cmocka_unit_test(test_change),
          cmocka_unit_test(test_resend), cmocka_unit_test(test_memory))
