/*
 * A token of an invitation is made from ids and a secret, and from nothing
 * else; a password is worked on only for one that is right and can be
 * accepted; whoever was not born is in no log.
 */

#include "t/00unit/host.h"
#include "libcore/http/http.h"

#define INVITATION "0192f0c0-0000-7000-8000-0000000000e1"
#define USER_JSON  "{\"id\":\"" MEMBER "\"}"

#define ACCEPT(...) \
    R(.method = "POST", .path = "/v1/invitations/accept", __VA_ARGS__)

#define PREVIEW(...) \
    R(.method = "POST", .path = "/v1/invitations/preview", __VA_ARGS__)

/* What invitation_find answers of one that is live, and of its address. */
#define FOUND(live, user, status, hash, member)                            \
    {                                                                      \
        ROWS(13, live, user, status, hash, member, "zed@example.org", "t", \
             NULL, NULL, NULL, NULL, "t", NULL)                            \
    }
#define UNVERIFIED(hash, member)                                              \
    {                                                                         \
        ROWS(13, "t", MEMBER, "active", hash, member, "zed@example.org", "f", \
             UMBRELLA, NULL, NULL, NULL, "t", NULL)                           \
    }
#define STRANGER FOUND("t", NULL, NULL, NULL, NULL)
#define JOINED                                                                 \
    {                                                                          \
        ROWS(8, USER_JSON, "{\"slug\":\"acme\"}", "{\"role\":\"admin\"}", "f", \
             NULL, NULL, "t", NULL)                                            \
    }
#define TOO_LATE                                             \
    {                                                        \
        ROWS(8, NULL, NULL, NULL, "f", "f", NULL, "t", NULL) \
    }


static void
token_of(const host *h, char out[TN_INVITATION_TOKEN_SIZE])
{
    assert_int_equal(
        tn_invitation_token(out, h->core, TN_STR(ACME), TN_STR(INVITATION)),
        TN_OK);
}


/* A body with the right token; `more` begins with a comma. */
static const char *
body_of(const host *h, const char *more)
{
    static char body[512];
    char token[TN_INVITATION_TOKEN_SIZE];

    token_of(h, token);
    snprintf(body, sizeof(body), "{\"token\":\"%s\"%s}", token, more);

    return body;
}

#define NEW ",\"name\":\"Zed\",\"password\":\"correct horse\""


static void
test_token(void **state)
{
    host h;
    tn_core *other;
    tn_core_conf conf;
    char a[TN_INVITATION_TOKEN_SIZE], b[TN_INVITATION_TOKEN_SIZE];

    (void) state;
    host_init(&h);
    token_of(&h, a);
    assert_int_equal(strlen(a), TN_INVITATION_TOKEN_SIZE - 1);
    assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                               "qrstuvwxyz0123456789-_"),
                     strlen(a));

    token_of(&h, b);
    assert_string_equal(a, b);
    assert_int_equal(
        tn_invitation_token(b, h.core, TN_STR(INVITATION), TN_STR(ACME)),
        TN_OK);
    assert_string_not_equal(a, b);
    assert_int_equal(
        tn_invitation_token(b, h.core, TN_STR("acme"), TN_STR(INVITATION)),
        TN_E_INTERNAL);
    assert_int_equal(tn_invitation_token(b, h.core, TN_STR(ACME), TN_NULL),
                     TN_E_INTERNAL);

    host_conf(&conf);
    conf.secret[0] ^= 1;
    assert_int_equal(tn_core_new(&other, &conf), TN_OK);
    assert_int_equal(
        tn_invitation_token(b, other, TN_STR(ACME), TN_STR(INVITATION)), TN_OK);
    assert_string_not_equal(a, b);
    tn_core_free(other);
    host_free(&h);
}


/* Every byte of a token counts; a forged one costs no look-up, but that of the
 * tenant it is said to be of. */
static void
test_forged(void **state)
{
    host h;
    unsigned i;
    char body[256], token[TN_INVITATION_TOKEN_SIZE];

    (void) state;
    host_init(&h);

    for (i = 0; i < TN_INVITATION_TOKEN_SIZE - 1; i++) {
        token_of(&h, token);
        token[i] = token[i] == 'A' ? 'B' : 'A';
        snprintf(body, sizeof(body), "{\"token\":\"%s\"" NEW "}", token);
        SEND0(&h, ACCEPT(.host = "tenon.localhost", .body = body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, "\"/token\",\"code\":\"not_found\"");
        assert_string_equal(h.trace, "AB");

        SEND0(&h, ACCEPT(.body = body));
        host_problem(&h, 422, "invalid_fields");
        assert_string_equal(h.trace, "ABd");
    }

    host_free(&h);
}


/* Who names a tenant that isn't there hears that first, whatever the token. */
static void
test_unknown_tenant(void **state)
{
    host h;
    unsigned i;
    const char *body;
    char right[512];
    static const char id[] = "0192F0C0-0000-7000-8000-0000000000FF";

    (void) state;
    host_init(&h);
    snprintf(right, sizeof(right), "%s", body_of(&h, NEW));

    for (i = 0; i < 2; i++) {
        body = i ? right : "{\"token\":\"forged\"}";

        SEND0(&h, ACCEPT(.host = "nowhere.tenon.localhost", .body = body));
        host_problem(&h, 404, "tenant_unknown");
        assert_string_equal(h.trace, "ABd");
        assert_null(tn_op_facts(h.op)->tenant.p);

        SEND0(&h, ACCEPT(.host = "tenon.localhost", .tenant = "nowhere",
                         .body = body));
        host_problem(&h, 404, "tenant_unknown");
        SEND0(&h,
              ACCEPT(.host = "tenon.localhost", .tenant = id, .body = body));
        host_problem(&h, 404, "tenant_unknown");

        /* what can't be a slug is not asked for */
        SEND0(&h, ACCEPT(.host = "no_slug.tenon.localhost", .body = body));
        host_problem(&h, 404, "tenant_unknown");
        assert_string_equal(h.trace, "AB");
        SEND0(&h, ACCEPT(.host = "tenon.localhost", .tenant = "\xff",
                         .body = body));
        host_problem(&h, 404, "tenant_unknown");
        assert_string_equal(h.trace, "AB");
    }

    host_free(&h);
}


/* Two tenants are looked up at once: the one that is named and the token's. */
static void
test_named_by_id(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND0(&h, ACCEPT(.host = "tenon.localhost", .tenant = UMBRELLA,
                     .body = body_of(&h, NEW)));
    host_problem(&h, 403, "tenant_mismatch");
    assert_string_equal(h.trace, "ABd");

    SEND0(&h, ACCEPT(.host = "tenon.localhost", .tenant = UMBRELLA,
                     .body = "{\"token\":\"forged\"}"));
    host_problem(&h, 422, "invalid_fields");

    SEND0(&h, ACCEPT(.body = body_of(&h, NEW), .tenant = "nowhere"));
    host_problem(&h, 403, "tenant_mismatch");
    host_free(&h);
}


static void
test_stranger(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)), STRANGER, JOINED);
    host_assert(&h, 200,
                "{\"user\":" USER_JSON ",\"tenant\":{\"slug\":\"acme\"},"
                "\"member\":{\"role\":\"admin\"}}");
    assert_string_equal(h.trace, "ABdDCW");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");
    unit_assert_str(host_bound(&h, "i.id = "), INVITATION);
    assert_true(host_has(host_bound(&h, "from live where "), "$argon2id$"));
    unit_assert_str(tn_op_facts(h.op)->tenant, "acme");
    assert_int_equal(tn_op_facts(h.op)->user_id.n, 36);

    /* the tenant's host is as good as the base domain */
    SEND(&h, ACCEPT(.host = "tenon.localhost", .body = body_of(&h, NEW)),
         STRANGER, JOINED);
    host_assert(&h, 200, NULL);
    SEND(&h,
         ACCEPT(.host = "tenon.localhost", .tenant = ACME,
                .body = body_of(&h, NEW)),
         STRANGER, JOINED);
    host_assert(&h, 200, NULL);

    /* name and password are asked for when it is known that they are needed */
    SEND(&h, ACCEPT(.body = body_of(&h, "")), STRANGER);
    host_assert(&h, 422,
                "{\"pointer\":\"/name\",\"code\":\"required\",\"detail\":\"is "
                "required\"},{\"pointer\":\"/password\"");
    assert_string_equal(h.trace, "ABdD");
    host_free(&h);
}


/* Nothing is hashed for an invitation that is worth nothing. */
static void
test_refused_before_hashing(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)),
         FOUND("f", NULL, NULL, NULL, NULL));
    host_problem(&h, 410, "secret_spent");
    assert_string_equal(h.trace, "ABdD");

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)),
         FOUND("t", MEMBER, "active", "x", TASK));
    host_problem(&h, 409, "duplicate");
    assert_string_equal(h.trace, "ABdD");

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)),
         FOUND("t", MEMBER, "disabled", "x", NULL));
    host_problem(&h, 403, "forbidden");

    SEND0(&h,
          ACCEPT(.host = "umbrella.tenon.localhost", .body = body_of(&h, NEW)));
    host_problem(&h, 403, "tenant_mismatch");
    assert_string_equal(h.trace, "ABd");

    SEND0(&h, ACCEPT(.host = "tenon.localhost", .tenant = "umbrella",
                     .body = body_of(&h, NEW)));
    host_problem(&h, 403, "tenant_mismatch");

    /* another's own domain, whatever the header says; and one's own */
    h.domains[0] = "app.acme.example";
    h.domains[1] = "umbrella.example";
    SEND0(&h, ACCEPT(.host = "umbrella.example", .body = body_of(&h, NEW)));
    host_problem(&h, 403, "tenant_mismatch");
    SEND0(&h, ACCEPT(.host = "umbrella.example", .tenant = "acme",
                     .body = body_of(&h, NEW)));
    host_problem(&h, 403, "tenant_mismatch");
    SEND0(&h, ACCEPT(.host = "app.acme.example", .tenant = "umbrella",
                     .body = body_of(&h, NEW)));
    host_problem(&h, 403, "tenant_mismatch");
    SEND0(&h, ACCEPT(.host = "elsewhere.example", .tenant = "nowhere",
                     .body = body_of(&h, NEW)));
    host_problem(&h, 404, "tenant_unknown");
    SEND(&h,
         ACCEPT(.host = "app.acme.example", .tenant = "acme",
                .body = body_of(&h, NEW)),
         FOUND("f", NULL, NULL, NULL, NULL));
    host_problem(&h, 410, "secret_spent");
    SEND(&h,
         ACCEPT(.host = "elsewhere.example", .tenant = ACME,
                .body = body_of(&h, NEW)),
         FOUND("f", NULL, NULL, NULL, NULL));
    host_problem(&h, 410, "secret_spent");
    host_free(&h);
}


static void
test_known(void **state)
{
    host h;
    char hash[128];

    (void) state;
    host_init(&h);
    assert_int_equal(crypto_pwhash_str_alg(hash, "correct horse", 13,
                                           crypto_pwhash_OPSLIMIT_MIN,
                                           crypto_pwhash_MEMLIMIT_MIN,
                                           crypto_pwhash_ALG_ARGON2ID13),
                     0);

    /* the token alone is not enough for one who has an account: whoever took
     * the address first may be somebody else */
    SEND(&h, ACCEPT(.body = body_of(&h, ",\"name\":\"Zed\"")),
         FOUND("t", MEMBER, "active", hash, NULL));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422,
                "\"errors\":[{\"pointer\":\"/password\",\"code\":"
                "\"required\",\"detail\":\"is required\"}]");
    assert_string_equal(h.trace, "ABdD");

    /* the password must be theirs; the name stays */
    SEND(&h, ACCEPT(.body = body_of(&h, ",\"password\":\"correct horse\"")),
         FOUND("t", MEMBER, "active", hash, NULL), JOINED);
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ABdDCZW");
    unit_assert_str(host_bound(&h, "from live where "), NULL);
    unit_assert_str(tn_op_facts(h.op)->user_id, MEMBER);

    SEND(&h, ACCEPT(.body = body_of(&h, ",\"password\":\"another horse\"")),
         FOUND("t", MEMBER, "active", hash, NULL), { ROWS(1, "") });
    host_problem(&h, 401, "invalid_credentials");
    assert_false(host_has(unit_str(h.body), "Leave"));

    /* counted and written down as login does */
    assert_string_equal(h.trace, "ABdDCZW");
    unit_assert_str(host_bound(&h, "tenon.log_event( $4::uuid, "),
                    "user.login");
    assert_int_equal(host_bound(&h, "values ($1::uuid, ").n, 66);
    unit_assert_str(host_bound(&h, "'tenon.user', "), NULL);
    assert_null(tn_op_facts(h.op)->user_id.p);

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)),
         FOUND("t", MEMBER, "active", NULL, NULL), { ROWS(1, "") });
    host_problem(&h, 401, "invalid_credentials");

    /* right, and not joined: locked meanwhile, or who knows */
    SEND(&h, ACCEPT(.body = body_of(&h, ",\"password\":\"correct horse\"")),
         FOUND("t", MEMBER, "active", hash, NULL),
         { ROWS(8, NULL, NULL, NULL, "t", NULL, NULL, "t", NULL) });
    host_problem(&h, 401, "invalid_credentials");
    assert_null(tn_op_facts(h.op)->user_id.p);
    SEND(&h, ACCEPT(.body = body_of(&h, ",\"password\":\"correct horse\"")),
         FOUND("t", MEMBER, "active", hash, NULL),
         { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    assert_null(tn_op_facts(h.op)->user_id.p);

    /* not checked is not wrong */
    SEND(&h,
         ACCEPT(.body = body_of(&h, ",\"password\":\"correct horse\""),
                .no_memory = 1),
         FOUND("t", MEMBER, "active", hash, NULL));
    host_problem(&h, 503, "busy");
    host_free(&h);
}


/* Who reads the address of an account that nobody had verified is whose it is:
 * nothing that its maker knows is asked for, nor good. */
static void
test_unverified(void **state)
{
    host h;
    char hash[128];

    (void) state;
    host_init(&h);
    assert_int_equal(crypto_pwhash_str_alg(hash, "correct horse", 13,
                                           crypto_pwhash_OPSLIMIT_MIN,
                                           crypto_pwhash_MEMLIMIT_MIN,
                                           crypto_pwhash_ALG_ARGON2ID13),
                     0);

    SEND(&h, ACCEPT(.body = body_of(&h, ",\"password\":\"correct horse\"")),
         UNVERIFIED(hash, NULL));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "[{\"pointer\":\"/name\",\"code\":\"required\"");

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)), UNVERIFIED(hash, TASK));
    host_problem(&h, 409, "duplicate");

    /* hashed, not compared; its sessions elsewhere are looked up anew */
    SEND(&h, ACCEPT(.body = body_of(&h, NEW)), UNVERIFIED(hash, NULL),
         { ROWS(8, USER_JSON, "{}", "{}", "f", "f", UMBRELLA, "t", NULL) });
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ABdDCWZ");
    assert_int_equal(h.job->kind, TN_JOB_HASH);
    unit_assert_str(host_bound(&h, "true) t where "), "t");
    assert_int_equal(host_bound(&h, "from invitation where ").n, 66);
    unit_assert_str(tn_op_facts(h.op)->user_id, MEMBER);

    /* verified while the password was hashed */
    SEND(&h, ACCEPT(.body = body_of(&h, NEW)), UNVERIFIED(hash, NULL),
         { ROWS(8, NULL, NULL, NULL, "f", "t", NULL, "t", NULL) });
    host_problem(&h, 409, "email_taken");
    assert_null(tn_op_facts(h.op)->user_id.p);

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)), UNVERIFIED(hash, NULL),
         { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    assert_string_equal(h.trace, "ABdDCWZ");
    host_free(&h);
}


/* Somebody was faster, with the invitation or with the address. */
static void
test_late(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)), STRANGER, TOO_LATE);
    host_problem(&h, 410, "secret_spent");

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)), STRANGER,
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "user_email_key" });
    host_problem(&h, 409, "email_taken");
    assert_null(tn_op_facts(h.op)->user_id.p);

    SEND(&h, ACCEPT(.body = body_of(&h, NEW)), STRANGER,
         { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");

    SEND(&h, ACCEPT(.body = body_of(&h, NEW), .no_permit = 1), STRANGER);
    host_problem(&h, 503, "busy");
    host_free(&h);
}


/* Whoever has the token may see what it is to; a bad one is a bad one. */
static void
test_preview(void **state)
{
    host h;
    size_t i;
    const char *body;
    char bad[512];
    static const char *const forged[] = { "x", "AAAA", "" };

    (void) state;
    host_init(&h);
    body = body_of(&h, "");

    SEND(&h, PREVIEW(.body = body),
         { ROWS(5, "{\"name\":\"Acme\",\"slug\":\"acme\"}", "zed@example.org",
                "t", "member", "2026-11-28 01:33:00+00") });
    host_assert(&h, 200,
                "{\"tenant\":{\"name\":\"Acme\",\"slug\":\"acme\"},"
                "\"email\":\"zed@example.org\",\"has_account\":true,"
                "\"role\":\"member\","
                "\"expires_at\":\"2026-11-28T01:33:00.000000Z\"}");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");
    assert_string_equal(h.trace, "ABdD");
    assert_false(host_has(h.sql, "insert"));
    assert_false(host_has(h.sql, "log_event"));

    SEND(&h, PREVIEW(.body = body), { NO_ROWS(5) });
    host_problem(&h, 410, "secret_spent");

    /* a forged one is answered alike, and never looked up */
    for (i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        snprintf(bad, sizeof(bad), "{\"token\":\"%s\"}", forged[i]);
        SEND0(&h, PREVIEW(.body = bad));
        host_problem(&h, 410, "secret_spent");
        assert_null(strchr(h.trace, 'D'));
        SEND0(&h, PREVIEW(.body = bad, .host = "acme.tenon.localhost"));
        host_problem(&h, 410, "secret_spent");
    }

    SEND0(&h, PREVIEW(.body = body, .host = "umbrella.tenon.localhost"));
    host_problem(&h, 403, "tenant_mismatch");
    SEND0(&h, PREVIEW(.body = "{}"));
    host_problem(&h, 422, "invalid_fields");
    host_free(&h);
}


/* However little memory there is, there is an answer. */
static void
test_memory(void **state)
{
    host h;
    size_t n;
    const char *body;

    (void) state;
    host_init(&h);
    body = body_of(&h, NEW);

    for (n = 1;; n++) {
        SEND(&h, ACCEPT(.body = body, .fail_at = n), STRANGER, JOINED);
        if (h.response->status == 200) {
            break;
        }
        assert_int_equal(h.response->status, 500);
    }

    assert_true(n > 10);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_token), cmocka_unit_test(test_forged),
          cmocka_unit_test(test_unknown_tenant),
          cmocka_unit_test(test_named_by_id), cmocka_unit_test(test_stranger),
          cmocka_unit_test(test_refused_before_hashing),
          cmocka_unit_test(test_known), cmocka_unit_test(test_unverified),
          cmocka_unit_test(test_late), cmocka_unit_test(test_preview),
          cmocka_unit_test(test_memory))
