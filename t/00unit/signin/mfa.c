/*
 * The second factor: what a device gets, what is kept of it, the token between
 * password and code.
 */

#include "t/00unit/host.h"
#include "libcore/http/http.h"
#include "libcore/signin/steps.h"

#define POST(what, ...) \
    R(.method = "POST", .path = "/v1/auth/" what, __VA_ARGS__)
#define LOGIN POST("login", .body = login_body)
#define ENROL(h, said)                     \
    POST("mfa/totp", .token = (h)->member, \
         .body = "{\"password\":\"" said "\"}")

static const char login_body[] =
    "{\"email\":\"ann@example.org\",\"password\":\"secret\"}";

typedef struct device {
    char sealed[256];
    unsigned char secret[TN__TOTP_SECRET];
    char hash[128];
    char codes[10][12];
    char macs[512]; /* with commas between */
} device;


/* The value of a member of the answer. */
static void
member_of(const host *h, const char *name, char *out, size_t cap)
{
    char start[64];
    const char *p;

    snprintf(start, sizeof(start), "\"%s\":\"", name);
    p = strstr(h->body, start);
    assert_non_null(p);
    p += strlen(start);
    snprintf(out, cap, "%.*s", (int) strcspn(p, "\""), p);
}


static void
unbase32(unsigned char *out, const char *text)
{
    size_t n;
    unsigned bits, have;
    const char *at;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    bits = have = 0;

    for (n = 0; *text; text++) {
        at = strchr(digits, *text);
        assert_non_null(at);
        bits = (bits << 5 | (unsigned) (at - digits)) & 0xffff;
        have += 5;

        if (have >= 8) {
            have -= 8;
            out[n++] = (unsigned char) (bits >> have);
        }
    }

    assert_int_equal(n, TN__TOTP_SECRET);
}


static const char *
code_of(const host *h, const device *d, int steps)
{
    static char code[TN__TOTP_DIGITS + 1];

    assert_true(tn__totp_code(code, d->secret, h->now / 1000000 / 30 + steps));

    return code;
}


static const char *
with_code(const char *code, const char *more)
{
    static char body[512];

    snprintf(body, sizeof(body), "{\"code\":\"%s\"%s}", code, more);

    return body;
}


/* The reply of totp_find. */
#define FACTOR(d, confirmed, step)                                      \
    {                                                                   \
        ROWS(11, MEMBER, "ann@example.org", "Ann", (d)->hash, "member", \
             "Acme", (d)->sealed, step, confirmed, (d)->macs, NULL)     \
    }


/* The same before any was asked for. */
#define NO_FACTOR(hash)                                                    \
    {                                                                      \
        ROWS(10, MEMBER, "ann@example.org", "Ann", hash, "member", "Acme", \
             NULL, NULL, "f", NULL)                                        \
    }


static void
keep(char *out, size_t cap, tn_str s)
{
    assert_true(s.n < cap);
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
}


/* Enrols and confirms as bob the member. */
static void
device_init(device *d, host *h)
{
    int i;
    char secret[64], list[512];
    const char *p;

    memset(d, 0, sizeof(*d));
    assert_int_equal(crypto_pwhash_str_alg(d->hash, "secret", 6,
                                           crypto_pwhash_OPSLIMIT_MIN,
                                           crypto_pwhash_MEMLIMIT_MIN,
                                           crypto_pwhash_ALG_ARGON2ID13),
                     0);
    SEND(h, ENROL(h, "secret"), NO_FACTOR(d->hash),
         { ROWS(2, "ann@example.org", "t") });
    host_assert(h, 200, "otpauth://totp/tenon.localhost:ann%40example.org?");
    member_of(h, "secret", secret, sizeof(secret));
    unbase32(d->secret, secret);
    keep(d->sealed, sizeof(d->sealed),
         host_bound(h, "select $1::uuid, person.id, "));
    assert_memory_equal(d->sealed, "tn1.", 4);

    SEND(h,
         POST("mfa/totp/confirm", .token = h->member,
              .body = with_code(code_of(h, d, 0), "")),
         FACTOR(d, "f", "0"), { ROWS(2, MEMBER, ACME "," UMBRELLA) });
    host_assert(h, 200, "{\"recovery_codes\":[\"");
    /* sessions that it was not asked of are looked up anew */
    assert_string_equal(strchr(h->trace, 'W'), "WZZ");
    unit_assert_str(host_bound(h, "f.secret = "), d->sealed);

    for (i = 0, p = strchr(h->body, '['); i < 10; i++, p += 14) {
        snprintf(d->codes[i], sizeof(d->codes[i]), "%.11s", p + 2);
    }

    keep(list, sizeof(list), host_bound(h, "recovery = "));
    assert_int_equal(list[0], '{');
    snprintf(d->macs, sizeof(d->macs), "%.*s", (int) strlen(list) - 2,
             list + 1);
}


/* The password was right. */
static void
challenge(host *h, const device *d, char token[256])
{
    SEND(h, LOGIN,
         { ROWS(8, MEMBER, "ann@example.org", "Ann", d->hash, "member", "Acme",
                "t", "f") },
         { ROWS(1, "") });
    host_assert(h, 200, "{\"access_token\":null,");
    host_assert(h, 200, "\"refresh_token\":null,");
    assert_true(host_has(h->sql, "user.mfa_challenged"));
    assert_null(tn_op_facts(h->op)->user_id.p);
    member_of(h, "mfa_token", token, 256);
}


static const char *
answer_body(const char *token, const char *code)
{
    static char body[512];

    snprintf(body, sizeof(body), "{\"mfa_token\":\"%s\",\"code\":\"%s\"}",
             token, code);

    return body;
}


static void
test_enrol(void **state)
{
    host h;
    device d;

    (void) state;
    host_init(&h);
    device_init(&d, &h);

    /* in force already, or meanwhile */
    SEND(&h, ENROL(&h, "secret"), FACTOR(&d, "t", "0"));
    host_problem(&h, 409, "state_conflict");
    assert_null(strchr(h.trace, 'C'));
    SEND(&h, ENROL(&h, "secret"), NO_FACTOR(d.hash),
         { ROWS(2, "ann@example.org", "f") });
    host_problem(&h, 409, "state_conflict");
    assert_null(strstr(h.body, "otpauth"));
    SEND(&h,
         POST("mfa/totp/confirm", .token = h.member,
              .body = with_code(code_of(&h, &d, 0), "")),
         FACTOR(&d, "t", "0"));
    host_problem(&h, 409, "state_conflict");

    /* never asked for */
    d.sealed[0] = '\0';
    SEND(&h,
         POST("mfa/totp/confirm", .token = h.member,
              .body = with_code(code_of(&h, &d, 0), "")),
         NO_FACTOR(d.hash));
    host_problem(&h, 409, "state_conflict");
    host_free(&h);
}


/* A session alone makes none: it takes the password, which is tried like any. */
static void
test_step_up(void **state)
{
    host h;
    device d;

    (void) state;
    host_init(&h);
    device_init(&d, &h);

    SEND(&h, ENROL(&h, "secret"), NO_FACTOR(d.hash),
         { ROWS(2, "ann@example.org", "t") });
    host_assert(&h, 200, "otpauth://");
    assert_true(tn_op_facts(h.op)->hashes);
    assert_string_equal(strchr(h.trace, 'D'), "DCZW");
    unit_assert_str(host_bound(&h, "is not distinct from "), d.hash);

    SEND0(&h, POST("mfa/totp", .token = h.member, .body = "{}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/password\",\"code\":\"required\"");

    SEND(&h, ENROL(&h, "guess"), NO_FACTOR(d.hash), { ROWS(2, "", "") });
    host_problem(&h, 422, "reauthentication_failed");
    assert_true(host_has(h.sql, "'failure'"));
    unit_assert_str(host_bound(&h, "tenon.log_event( $4::uuid, "),
                    "user.mfa_enrolled");

    /* a lock, or another password meanwhile */
    SEND(&h, ENROL(&h, "secret"), NO_FACTOR(d.hash), { NO_ROWS(2) });
    host_problem(&h, 422, "reauthentication_failed");
    assert_null(strstr(h.body, "otpauth"));

    /* who has no password shows none, and no decoy will do */
    SEND(&h, ENROL(&h, "secret"), NO_FACTOR(NULL));
    host_problem(&h, 409, "state_conflict");
    host_assert(&h, 409, "auth/password/forgot");
    assert_null(strchr(h.trace, 'C'));
    host_free(&h);
}


static void
test_login(void **state)
{
    host h;
    device d;
    char token[256], step[24];

    (void) state;
    host_init(&h);
    device_init(&d, &h);
    challenge(&h, &d, token);
    assert_int_equal(strlen(token), 139);

    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         FACTOR(&d, "t", "0"), { ROWS(1, "") });
    host_assert(&h, 200, "\"mfa_token\":null}");
    assert_string_equal(strchr(h.trace, 'D'), "DZW");
    unit_assert_str(host_bound(&h, "is not distinct from "), d.hash);

    /* the step that was used, or one before it */
    snprintf(step, sizeof(step), "%lld", (long long) (h.now / 30000000));
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         FACTOR(&d, "t", step), { ROWS(2, "", "") });
    host_problem(&h, 401, "invalid_credentials");
    assert_true(host_has(h.sql, "'failure'"));
    SEND(&h,
         POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, -1))),
         FACTOR(&d, "t", step), { ROWS(2, "", "") });
    host_problem(&h, 401, "invalid_credentials");
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 1))),
         FACTOR(&d, "t", step), { ROWS(1, "") });
    host_assert(&h, 200, NULL);

    /* somebody was faster */
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         FACTOR(&d, "t", "0"), { NO_ROWS(1) });
    host_problem(&h, 401, "invalid_credentials");
    assert_null(tn_op_facts(h.op)->user_id.p);

    /* nobody knows whether a session was opened */
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         FACTOR(&d, "t", "0"), { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    assert_null(tn_op_facts(h.op)->user_id.p);

    /* five minutes */
    h.now += 299 * 1000000LL;
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         FACTOR(&d, "t", "0"), { ROWS(1, "") });
    host_assert(&h, 200, NULL);
    h.now += 1000000;
    SEND0(&h,
          POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))));
    host_problem(&h, 401, "invalid_credentials");
    host_free(&h);
}


/* What is not as it was made is never looked up. */
static void
test_token(void **state)
{
    host h;
    size_t i;
    device d;
    char token[256], kept;

    (void) state;
    host_init(&h);
    device_init(&d, &h);
    challenge(&h, &d, token);

    for (i = 0; i < strlen(token); i += 3) {
        kept = token[i];
        token[i] = kept == 'x' ? 'y' : 'x';
        SEND0(&h, POST("mfa/verify",
                       .body = answer_body(token, code_of(&h, &d, 0))));
        host_problem(&h, 401, "invalid_credentials");
        token[i] = kept;
    }

    /* elsewhere */
    SEND0(&h, POST("mfa/verify", .host = "umbrella.tenon.localhost",
                   .body = answer_body(token, code_of(&h, &d, 0))));
    host_problem(&h, 401, "invalid_credentials");

    /* the password is another one, the factor is gone, so is the member */
    d.hash[40] ^= 1;
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         FACTOR(&d, "t", "0"));
    host_problem(&h, 401, "invalid_credentials");
    d.hash[40] ^= 1;
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         FACTOR(&d, "f", "0"));
    host_problem(&h, 401, "invalid_credentials");
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         { NO_ROWS(10) });
    host_problem(&h, 401, "invalid_credentials");
    host_free(&h);
}


static void
test_recovery(void **state)
{
    host h;
    device d;
    char token[256];

    (void) state;
    host_init(&h);
    device_init(&d, &h);
    challenge(&h, &d, token);

    SEND(&h, POST("mfa/verify", .body = answer_body(token, d.codes[9])),
         FACTOR(&d, "t", "0"), { ROWS(1, "") });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "last_step = coalesce("), NULL);
    assert_int_equal(host_bound(&h, "array_remove(f.recovery, ").n, 32);

    SEND(&h, POST("mfa/verify", .body = answer_body(token, "aaaaa-aaaaa")),
         FACTOR(&d, "t", "0"), { ROWS(2, "", "") });
    host_problem(&h, 401, "invalid_credentials");
    SEND(&h, POST("mfa/verify", .body = answer_body(token, "aaaaa-aaaaa-a")),
         FACTOR(&d, "t", "0"), { ROWS(2, "", "") });
    host_problem(&h, 401, "invalid_credentials");

    /* a new tenon_secret voids the token, and no code */
    h.core->conf.secret[0] ^= 1;
    SEND0(&h, POST("mfa/verify", .body = answer_body(token, d.codes[8])));
    host_problem(&h, 401, "invalid_credentials");
    challenge(&h, &d, token);
    SEND(&h, POST("mfa/verify", .body = answer_body(token, d.codes[8])),
         FACTOR(&d, "t", "0"), { ROWS(1, "") });
    host_assert(&h, 200, NULL);

    /* new codes take one of the device's */
    SEND(&h,
         POST("mfa/recovery-codes", .token = h.member,
              .body = with_code(code_of(&h, &d, 0), "")),
         FACTOR(&d, "t", "0"), { ROWS(1, "") });
    host_assert(&h, 200, "{\"recovery_codes\":[\"");
    assert_null(strstr(h.body, d.codes[0]));
    host_free(&h);
}


static void
test_disable(void **state)
{
    host h;
    device d;
    const char *body;

    (void) state;
    host_init(&h);
    device_init(&d, &h);

    body = with_code(code_of(&h, &d, 0), ",\"password\":\"secret\"");
    SEND(&h, POST("mfa/totp/disable", .token = h.member, .body = body),
         FACTOR(&d, "t", "0"), { ROWS(2, MEMBER, ACME "," UMBRELLA) });
    host_assert(&h, 204, NULL);
    assert_string_equal(strchr(h.trace, 'D'), "DCZWZZ");

    body = with_code(code_of(&h, &d, 0), ",\"password\":\"guess\"");
    SEND(&h, POST("mfa/totp/disable", .token = h.member, .body = body),
         FACTOR(&d, "t", "0"), { ROWS(2, "", "") });
    host_problem(&h, 422, "reauthentication_failed");
    body = with_code("000000", ",\"password\":\"secret\"");
    SEND(&h, POST("mfa/totp/disable", .token = h.member, .body = body),
         FACTOR(&d, "t", "0"), { ROWS(2, "", "") });
    host_problem(&h, 422, "reauthentication_failed");
    SEND(&h, POST("mfa/totp/disable", .token = h.member, .body = body),
         FACTOR(&d, "f", "0"));
    host_problem(&h, 409, "state_conflict");
    host_free(&h);
}


/* A secret that can't be read lets nobody in, and an operator hears of it. */
static void
test_damaged(void **state)
{
    host h;
    device d;
    char token[256];

    (void) state;
    host_init(&h);
    device_init(&d, &h);
    challenge(&h, &d, token);
    d.sealed[20] ^= 1;
    SEND(&h, POST("mfa/verify", .body = answer_body(token, code_of(&h, &d, 0))),
         FACTOR(&d, "t", "0"));
    host_problem(&h, 500, "internal");
    assert_true(tn_op_facts(h.op)->log.n > 0);
    host_free(&h);
}


static void
test_memory(void **state)
{
    host h;
    size_t i;
    device d;
    char token[256], body[512];

    (void) state;
    host_init(&h);
    device_init(&d, &h);
    challenge(&h, &d, token);
    snprintf(body, sizeof(body), "%s", answer_body(token, code_of(&h, &d, 0)));

    for (i = 1;; i++) {
        SEND(&h, POST("mfa/verify", .body = body, .fail_at = i),
             FACTOR(&d, "t", "0"), { ROWS(1, "") });

        if (h.response->status != 500) {
            break;
        }
    }

    assert_int_equal(h.response->status, 200);
    assert_true(i > 20);

    for (i = 1;; i++) {
        SEND(&h,
             POST("mfa/totp", .token = h.member, .fail_at = i,
                  .body = "{\"password\":\"secret\"}"),
             NO_FACTOR(d.hash), { ROWS(2, "ann@example.org", "t") });

        if (h.response->status != 500) {
            break;
        }
    }

    assert_int_equal(h.response->status, 200);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_enrol), cmocka_unit_test(test_step_up),
          cmocka_unit_test(test_login), cmocka_unit_test(test_token),
          cmocka_unit_test(test_recovery), cmocka_unit_test(test_disable),
          cmocka_unit_test(test_damaged), cmocka_unit_test(test_memory))
