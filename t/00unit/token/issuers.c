/*
 * Tokens of issuers outside, made here with fresh keys of all three kinds: who
 * gets in and as whom, who doesn't and doesn't even get to the directory.
 * TENON_LONG=1: 100,000 changes of a good one, else a tenth (make chaos).
 */

#include "t/00unit/token/outside.h"


static void
test_accepted(void **state)
{
    int key;
    unsigned i;
    outside o;
    const char *token;
    static const char *const claims[] = {
        CLAIMS,
        CLAIMS_OF(SUBJECT, ",\"nbf\":1763690030"),
        /* audiences; a tenant's id */
        "{\"iss\":\"" ISSUER "\",\"aud\":[\"a\",\"" AUDIENCE
        "\"],\"sub\":\"" SUBJECT "\",\"org\":\"acme\",\"exp\":1763690001}",
    };
    static const char *const headers[] = {
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"RS256\",\"kid\":\"rs\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"RS256\",\"kid\":\"rs\",\"typ\":\"application/at+JWT\"}",
        "{\"alg\":\"RS256\",\"kid\":\"rs\",\"x5t\":\"AAAA\",\"cty\":\"x\"}",
    };

    (void) state;
    setup(&o);

    for (key = RS; key <= ED; key++) {
        for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
            token = token_of(&o, key, NULL, claims[i]);
            o.h.nzone = 0;
            SEND(&o.h, R(.path = "/v1/me", .token = token), { ME });
            host_assert(&o.h, 200, NULL);
            assert_string_equal(o.h.trace, "ZdZdZAD");
            assert_memory_equal(tn_op_facts(o.h.op)->user_id.p, MEMBER, 36);

            /* and then neither verified nor looked up again */
            SEND(&o.h, R(.path = "/v1/me", .token = token), { ME });
            host_assert(&o.h, 200, NULL);
            assert_string_equal(o.h.trace, "ZZAD");
        }
    }

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        token = token_of(&o, RS, headers[i], CLAIMS);
        SEND(&o.h, R(.path = "/v1/me", .token = token), { ME });
        host_assert(&o.h, 200, NULL);
    }

    /* the tenant is the token's where the request names none */
    token = token_of(&o, RS, NULL, CLAIMS_OF(SUBJECT, ",\"a\":1"));
    SEND(&o.h, R(.path = "/v1/me", .token = token, .host = ""), { ME });
    host_assert(&o.h, 200, NULL);
    /* there is no session to end */
    SEND0(&o.h, R(.method = "POST", .path = "/v1/auth/logout", .token = token));
    host_problem(&o.h, 409, "state_conflict");
    /* nor to take elsewhere */
    SEND0(&o.h, R(.method = "POST", .path = "/v1/auth/tenant", .token = token,
                  .body = "{\"tenant\":\"umbrella\"}"));
    host_problem(&o.h, 409, "state_conflict");
    /* nor does it do for a second factor here */
    SEND0(&o.h, R(.method = "POST", .path = "/v1/auth/mfa/totp", .token = token,
                  .body = "{\"password\":\"secret\"}"));
    host_problem(&o.h, 403, "forbidden");
    host_assert(&o.h, 403, "sign in here");
    /* our own count beside them */
    SEND(&o.h, R(.path = "/v1/me", .token = o.h.member), { ME });
    host_assert(&o.h, 200, NULL);
    teardown(&o);
}


static void
test_another_form(void **state)
{
    outside o;
    const char *token;

    (void) state;
    setup(&o);
    o.h.subjects[0] = (host_subject){ .issuer = OTHER,
                                      .subject = "42",
                                      .tenant = ACME,
                                      .user = MEMBER,
                                      .id = IDENTITY };
    token = token_of(&o, ES, NULL,
                     "{\"iss\":\"" OTHER "\",\"aud\":\"tenon\",\"oid\":\"42\","
                     "\"sub\":\"no\",\"exp\":1763690900}");
    o.h.subjects[0].tenant = ACME;
    SEND0(&o.h, R(.path = "/v1/me", .token = token,
                  .host = "umbrella.tenon."
                          "localhost"));
    host_problem(&o.h, 403, "tenant_mismatch");
    assert_int_equal(o.h.refused.n, 1);
    SEND(&o.h, R(.path = "/v1/me", .token = token), { ME });
    host_assert(&o.h, 200, NULL);
    teardown(&o);
}


/* None of these gets to the directory. */
static void
test_refused(void **state)
{
    unsigned i;
    outside o;
    static const struct {
        int key;
        const char *header;
        const char *claims;
        int expired;
    } tokens[] = {
        { STRANGER, NULL, CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"es\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"ES256\",\"kid\":\"rs\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"ES256\",\"kid\":\"es\"}", CLAIMS, 0 },
        { ED, "{\"alg\":\"Ed25519\",\"kid\":\"ed\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS512\",\"kid\":\"rs\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"PS256\",\"kid\":\"rs\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"HS256\",\"kid\":\"rs\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"none\",\"kid\":\"rs\"}", CLAIMS, 0 },
        { RS, "{\"kid\":\"rs\"}", CLAIMS, 0 },
        { RS, "{\"alg\":[\"RS256\"],\"kid\":\"rs\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":1}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":null}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"typ\":\"logout+jwt\"}",
          CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"typ\":\"\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"typ\":1}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"jwk\":{}}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"jku\":\"a\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"x5u\":\"a\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"x5c\":[]}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"crit\":[\"exp\"]}", CLAIMS,
          0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"crit\":null}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"b64\":false}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"b64\":true}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"kid\":\"rs\",\"zip\":\"DEF\"}", CLAIMS, 0 },
        { RS, "{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"rs\"}", CLAIMS,
          0 },
        { RS, "[]", CLAIMS, 0 },
        { RS, "RS256", CLAIMS, 0 },
        { RS, "", CLAIMS, 0 },
        /* an issuer's keys are not another's name */
        { RS, NULL, "{\"iss\":\"https://evil.example\"}", 0 },
        { RS, NULL, "{}", 0 },
        { RS, NULL, "[]", 0 },
        { RS, NULL, "", 0 },
        { RS, NULL, "\"" ISSUER "\"", 0 },
        { RS, NULL,
          "{\"iss\":[\"" ISSUER "\"],\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"acme\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "/\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"acme\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" AUDIENCE "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"acme\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER
          "\",\"aud\":\"tenon\",\"sub\":\"a\",\"org\":\"acme\","
          "\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"sub\":\"a\",\"org\":\"acme\",\"exp\":"
          "1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":[\"" AUDIENCE
          "\",7],\"sub\":\"a\",\"org\":\"acme\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":{\"a\":\"" AUDIENCE
          "\"},\"sub\":\"a\",\"org\":\"acme\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"org\":\"acme\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":7,\"org\":\"acme\",\"exp\":1763690900}",
          0 },
        { RS, NULL, CLAIMS_OF("", ""), 0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"Acme!\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"platform\",\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"00000000-0000-7000-8000-000000000002\","
          "\"exp\":1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"acme\"}",
          0 },
        { RS, NULL, CLAIMS_OF(SUBJECT, ",\"exp\":1763690900"), 0 },
        { RS, NULL, CLAIMS_OF(SUBJECT, ",\"nbf\":1763690031"), 0 },
        { RS, NULL, CLAIMS_OF(SUBJECT, ",\"nbf\":\"1\""), 0 },
        { RS, NULL, CLAIMS_OF(SUBJECT, ",\"nbf\":1.5"), 0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"acme\",\"iat\":1763690031,\"exp\":"
          "1763690900}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"acme\",\"exp\":\"1763690900\"}",
          0 },
        { RS, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"acme\",\"exp\":1763690000}",
          1 },
        { STRANGER, NULL,
          "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
          "\",\"sub\":\"a\",\"org\":\"acme\",\"exp\":1763690000}",
          0 },
    };

    (void) state;
    setup(&o);

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        SEND0(&o.h, R(.path = "/v1/me",
                      .token = token_of(&o, tokens[i].key, tokens[i].header,
                                        tokens[i].claims)));

        if (o.h.response->status != 401) {
            fail_msg("%u: %u", i, o.h.response->status);
        }

        host_assert(&o.h, 401,
                    tokens[i].expired ? "\"code\":\"token_expired\""
                                      : "\"code\":\"unauthenticated\"");
        /* acme was found, and kept */
        assert_string_equal(o.h.trace, i ? "Z" : "ZdZ");
    }

    teardown(&o);
}


static void
test_linked_by_address(void **state)
{
    outside o;
    unsigned i;
    const char *token;
    static const char *const unverified[] = {
        CLAIMS_OF("new", ""),
        CLAIMS_OF("new", ",\"email\":\"ann@acme.test\""),
        CLAIMS_OF("new",
                  ",\"email\":\"ann@acme.test\",\"email_verified\":false"),
        CLAIMS_OF("new",
                  ",\"email\":\"ann@acme.test\",\"email_verified\":\"true\""),
        CLAIMS_OF("new", ",\"email\":\"ann@acme.test\",\"email_verified\":1"),
        CLAIMS_OF("new",
                  ",\"email\":[\"ann@acme.test\"],\"email_verified\":true"),
        CLAIMS_OF("new",
                  ",\"email\":\"bob@acme.test\",\"email_verified\":true"),
    };

    (void) state;
    setup(&o);

    for (i = 0; i < sizeof(unverified) / sizeof(unverified[0]); i++) {
        token = token_of(&o, ES, NULL, unverified[i]);
        SEND0(&o.h, R(.path = "/v1/me", .token = token));
        host_problem(&o.h, 401, "unauthenticated");
        assert_null(strchr(o.h.trace, 'W'));

        /* asked once a second at the most */
        SEND0(&o.h, R(.path = "/v1/me", .token = token));
        host_problem(&o.h, 401, "unauthenticated");
        assert_string_equal(o.h.trace, "Z");
    }

    token = token_of(
        &o, ES, NULL,
        CLAIMS_OF("new",
                  ",\"email\":\"Ann@ACME.test\",\"email_verified\":true"));

    /* in a tenant that the token isn't for, nothing is written down */
    SEND0(&o.h, R(.path = "/v1/me", .token = token,
                  .host = "umbrella.tenon.localhost"));
    host_problem(&o.h, 401, "unauthenticated");
    assert_null(strchr(o.h.trace, 'W'));

    /* however that is named: by its domain, known to the zone or not, by a
     * header beside a host of the token's own */
    o.h.domains[1] = "app.umbrella.test";

    for (i = 0; i < 2; i++) {
        SEND0(&o.h,
              R(.path = "/v1/me", .token = token, .host = "app.umbrella.test"));
        host_problem(&o.h, 401, "unauthenticated");
        assert_null(strchr(o.h.trace, 'W'));
    }

    SEND0(&o.h, R(.path = "/v1/me", .token = token, .tenant = "umbrella"));
    host_problem(&o.h, 403, "tenant_mismatch");
    assert_null(strchr(o.h.trace, 'W'));

    SEND(&o.h, R(.path = "/v1/me", .token = token),
         { ROWS(2, IDENTITY, MEMBER) }, { ME });
    host_assert(&o.h, 200, NULL);
    assert_string_equal(o.h.trace, "ZdWZdZAD");

    SEND(&o.h, R(.path = "/v1/me", .token = token), { ME });
    assert_string_equal(o.h.trace, "ZZAD");
    teardown(&o);
}


/* Somebody whom the issuer knows, and nobody here does: the tenant that the
 * token is for hears of it. */
static void
test_nobody_here(void **state)
{
    outside o;
    host *h;
    const char *token;

    (void) state;
    setup(&o);
    h = &o.h;
    token = token_of(&o, ES, NULL, CLAIMS_OF("mal\\\"lory", ""));
    SEND0(h, R(.path = "/v1/me", .token = token));
    host_problem(h, 401, "unauthenticated");
    assert_string_equal(h->trace, "ZdZdZZr");
    unit_assert_str(h->refused.tenant, ACME);
    unit_assert_str(h->refused.actor, NULL);
    unit_assert_str(h->refused.action, "auth.subject_refused");
    unit_assert_str(h->refused.resource, NULL);
    unit_assert_str(h->refused.resource_id, NULL);
    unit_assert_str(h->refused.metadata,
                    "{\"attempts\":1,\"code\":\"unauthenticated\","
                    "\"issuer\":\"" ISSUER "\",\"subject\":\"mal\\\"lory\"}");

    /* within a second nobody looks again */
    SEND0(h, R(.path = "/v1/me", .token = token));
    assert_string_equal(h->trace, "Z");
    assert_int_equal(h->refused.n, 0);

    /* where no tenant is named but by the token */
    h->now += 2000000;
    SEND0(h, R(.path = "/v1/me", .token = token, .host = ""));
    host_problem(h, 401, "unauthenticated");
    assert_int_equal(h->refused.n, 1);
    unit_assert_str(h->refused.tenant, ACME);
    assert_null(tn_op_facts(h->op)->tenant_id.p);

    /* where another is: neither hears of the other's */
    h->now += 2000000;
    SEND0(h, R(.path = "/v1/me", .token = token,
               .host = "umbrella.tenon.localhost"));
    host_problem(h, 401, "unauthenticated");
    assert_int_equal(h->refused.n, 0);

    /* nor anybody of a token that was forged, or is over */
    SEND0(h, R(.path = "/v1/me",
               .token = token_of(&o, STRANGER, NULL, CLAIMS_OF("x", ""))));
    assert_int_equal(h->refused.n, 0);
    SEND0(h, R(.path = "/v1/me",
               .token = token_of(&o, ES, NULL,
                                 "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
                                 "\",\"sub\":\"a\",\"org\":\"nowhere\",\"exp\":"
                                 "1763690900}")));
    host_problem(h, 401, "unauthenticated");
    assert_int_equal(h->refused.n, 0);

    /* known, and a member no more: by the look-up, and by what was kept */
    h->sessions[4].id = SESSION("ff");
    token = token_of(&o, ES, NULL, CLAIMS);
    SEND0(h, R(.path = "/v1/me", .token = token));
    host_problem(h, 401, "unauthenticated");
    assert_int_equal(h->refused.n, 1);
    unit_assert_str(h->refused.actor, NULL);
    SEND0(h, R(.path = "/v1/me", .token = token, .host = ""));
    host_problem(h, 401, "unauthenticated");
    assert_int_equal(h->refused.n, 1);
    unit_assert_str(h->refused.tenant, ACME);
    teardown(&o);
}


/* The link is the tenant's and the user's whom the token names, whatever the
 * request does next. */
static void
test_the_link(void **state)
{
    outside o;
    const char *token;

    (void) state;
    setup(&o);
    token = token_of(
        &o, ES, NULL,
        CLAIMS_OF("new",
                  ",\"email\":\"ann@acme.test\",\"email_verified\":true"));
    SEND(&o.h, R(.path = "/v1/me", .token = token, .host = ""),
         { .outcome = TN_DB_DOWN });
    host_problem(&o.h, 503, "unavailable");
    assert_memory_equal(o.h.context_params[0].p, ACME, 36);
    assert_memory_equal(o.h.context_params[1].p, REALM, 36);
    assert_memory_equal(o.h.context_params[2].p, MEMBER, 36);
    assert_true(host_has(o.h.sql, "user.identity_linked"));

    /* nobody is there any more */
    SEND(&o.h, R(.path = "/v1/me", .token = token, .host = ""), { NO_ROWS(2) });
    host_problem(&o.h, 401, "unauthenticated");
    teardown(&o);
}


/* A membership that ends, ends: the token is worth what the row says. */
static void
test_no_member(void **state)
{
    outside o;
    const char *token;

    (void) state;
    setup(&o);
    o.h.sessions[4].id = NULL;
    token = token_of(&o, ES, NULL, CLAIMS);
    SEND0(&o.h, R(.path = "/v1/me", .token = token));
    host_problem(&o.h, 401, "unauthenticated");
    teardown(&o);
}


static void
test_out_of_memory(void **state)
{
    size_t i;
    outside o;
    char token[16384];

    (void) state;
    setup(&o);
    snprintf(token, sizeof(token), "%s",
             token_of(&o, RS, NULL,
                      CLAIMS_OF("new", ",\"email\":\"ann@acme.test\","
                                       "\"email_verified\":true")));

    for (i = 1;; i++) {
        o.h.nzone = 0;
        SEND(&o.h, R(.path = "/v1/me", .token = token, .fail_at = i),
             { ROWS(2, IDENTITY, MEMBER) }, { ME });

        if (o.h.response->status == 200) {
            break;
        }

        assert_true(o.h.response->status >= 500);
    }

    assert_true(i > 10);
    teardown(&o);
}


static void
test_mutations(void **state)
{
    outside o;
    size_t n, at;
    unsigned i, rounds = getenv("TENON_LONG") ? 100000 : 10000;
    char good[16384], token[16384];
    uint64_t random = 88172645463325252;
    static const char bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
                                "stuvwxyz0123456789-_.=";

    (void) state;
    setup(&o);
    snprintf(good, sizeof(good), "%s", token_of(&o, ES, NULL, CLAIMS));
    n = strlen(good);

    for (i = 0; i < rounds; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        memcpy(token, good, n + 1);
        at = random % n;
        token[at] = bytes[(random >> 32) % (sizeof(bytes) - 1)];

        if (i % 3 == 0) {
            memmove(token + at, token + at + 1, n - at);
        }

        if (strcmp(token, good) == 0) {
            continue;
        }

        SEND0(&o.h, R(.path = "/v1/me", .token = token, .host = ""));
        assert_int_equal(o.h.response->status, 401);
        assert_string_equal(o.h.trace, "Z");
    }

    teardown(&o);
}


static void
test_configurations(void **state)
{
    outside o;
    unsigned i, key;
    const char *fault;
    tn_issuer issuers[6];
    static const char *const faults[] = { "255 bytes", "either", "either",
                                          "its slug",  "array",  NULL };

    (void) state;
    setup(&o);

    for (i = 0; i < 6; i++) {
        issuers[i] = o.issuers[0];
    }

    issuers[0].issuer = TN_STR("");
    issuers[1].tenant_claim = TN_NULL;
    issuers[2].tenant = TN_STR("acme");
    issuers[3].tenant_claim = TN_NULL;
    issuers[3].tenant = TN_STR("Acme Inc.");
    issuers[4].jwks = TN_STR("[]");

    for (i = 0; i < 6; i++) {
        assert_int_equal(tn_issuer_check(&issuers[i], &key, &fault),
                         faults[i] == NULL);

        if (faults[i]) {
            assert_non_null(strstr(fault, faults[i]));
        }
    }

    teardown(&o);
}


UNIT_MAIN(cmocka_unit_test(test_nobody_here), cmocka_unit_test(test_accepted),
          cmocka_unit_test(test_another_form), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_linked_by_address),
          cmocka_unit_test(test_the_link), cmocka_unit_test(test_no_member),
          cmocka_unit_test(test_out_of_memory),
          cmocka_unit_test(test_mutations),
          cmocka_unit_test(test_configurations))
