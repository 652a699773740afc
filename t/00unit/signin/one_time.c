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
          cmocka_unit_test(test_forgot), cmocka_unit_test(test_reset),
          cmocka_unit_test(test_many_tenants), cmocka_unit_test(test_change),
          cmocka_unit_test(test_resend), cmocka_unit_test(test_memory))
