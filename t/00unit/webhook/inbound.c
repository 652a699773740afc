/*
 * An event of Stripe's: judged before it is read, stored as it came, with its
 * job, and answered when that is committed; what isn't signed is counted for the
 * platform.
 */

#include "t/00unit/host.h"

#define EVENT "{ \"id\": \"evt_1\", \"type\":\"invoice.paid\",\"x\":[1.10]}"

static char signature[128];


static const char *
signed_at(const char *secret, const char *body, int64_t us)
{
    int n;
    char hex[65];
    unsigned char mac[32];
    crypto_auth_hmacsha256_state state;

    n = snprintf(signature, sizeof(signature), "%lld.",
                 (long long) (us / 1000000));
    crypto_auth_hmacsha256_init(&state, (const unsigned char *) secret,
                                strlen(secret));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *) signature,
                                  (unsigned) n);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *) body,
                                  strlen(body));
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_bin2hex(hex, sizeof(hex), mac, sizeof(mac));
    snprintf(signature, sizeof(signature), "t=%lld,v1=%s",
             (long long) (us / 1000000), hex);

    return signature;
}

#define AT(text, ...) \
    R(.path = "/v1/inbound/stripe", .body = (text), __VA_ARGS__)
#define HERE .method = "POST", .host = "tenon.localhost"
#define SIGNED(by, text, us) \
    .header = { "Stripe-Signature", signed_at((by), (text), (us)) }
#define GOOD(text)      SIGNED(HOST_STRIPE_SECRET, (text), h.now)
#define POST(text, ...) AT((text), HERE, GOOD(text), __VA_ARGS__)


static void
test_taken(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, POST(EVENT, .type = "application/json; charset=utf-8"),
         { ROWS(1, "0192f0c0-0000-7000-8000-000000000001") });
    host_assert(&h, 204, "");
    assert_string_equal(h.trace, "ABW");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");
    unit_assert_str(tn_op_facts(h.op)->tenant_id, PLATFORM);
    unit_assert_str(tn_op_facts(h.op)->user_id, NULL);
    unit_assert_str(host_context_bound(&h, "'tenon.tenant', "), PLATFORM);
    unit_assert_str(host_context_bound(&h, "'tenon.realm', "), REALM);
    unit_assert_str(host_bound(&h, "values ("), PLATFORM);
    unit_assert_str(h.params[2], "stripe");
    unit_assert_str(h.params[3], "evt_1");
    unit_assert_str(h.params[4], "invoice.paid");
    unit_assert_str(h.params[5], EVENT); /* to the byte */
    assert_int_equal(h.refused.n, 0);

    /* it was there already */
    SEND(&h, POST(EVENT, ), { NO_ROWS(1) });
    host_assert(&h, 204, "");

    /* a key is the sender's business */
    SEND(&h, POST(EVENT, .key = "k"), { NO_ROWS(1) });
    host_assert(&h, 204, "");
    assert_string_equal(h.trace, "ABW");

    /* it isn't said to be taken before it is */
    SEND(&h, POST(EVENT, ), { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    SEND(&h, POST(EVENT, ), { .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    host_free(&h);
}


static void
test_refused(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, AT(EVENT, HERE, SIGNED("whsec_another", EVENT, h.now)));
    host_problem(&h, 400, "signature_refused");
    host_assert(&h, 400, "another secret");
    assert_string_equal(h.trace, "ABZr");
    unit_assert_str(h.refused.tenant, PLATFORM);
    unit_assert_str(h.refused.actor, NULL);
    unit_assert_str(h.refused.action, "inbound.signature_refused");
    unit_assert_str(h.refused.resource, NULL);
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"signature_refused\"}");
    unit_assert_str(tn_op_facts(h.op)->log, NULL);

    SEND0(&h, AT(EVENT, HERE,
                 SIGNED(HOST_STRIPE_SECRET, EVENT, h.now - 301000000)));
    host_problem(&h, 400, "signature_refused");
    host_assert(&h, 400, "5 minutes");

    SEND0(&h, AT(EVENT, HERE, .header = { "Stripe-Signature", "t=1,v1" }));
    host_problem(&h, 400, "signature_refused");

    SEND0(&h, AT(EVENT, HERE, .header = { "X-Other", "t=1,v1=a" }));
    host_problem(&h, 400, "signature_refused");

    /* nothing of what isn't signed is read */
    SEND0(&h, AT("{", HERE, SIGNED("whsec_another", "{", h.now)));
    host_problem(&h, 400, "signature_refused");
    host_free(&h);
}


/* Signed and unreadable: not lost without a word. */
static void
test_unreadable(void **state)
{
    host h;
    unsigned i;
    static const struct {
        const char *body;
        unsigned status;
        const char *part;
    } cases[] = {
        { "", 400, "malformed_json" },
        { "{", 400, "malformed_json" },
        { "{\"id\":\"a\",\"id\":\"b\",\"type\":\"c\"}", 400, "malformed_json" },
        { "{\"id\":\"a\\u0000\",\"type\":\"c\"}", 400, "malformed_json" },
        { "[]", 422, "invalid_fields" },
        { "{}", 422,
          "\"/id\",\"code\":\"required\",\"detail\":\"is required\"},"
          "{\"pointer\":\"/type\",\"code\":\"required\"" },
        { "{\"id\":1,\"type\":null}", 422, "\"/id\",\"code\":\"wrong_type\"" },
        { "{\"id\":\"\",\"type\":\"a\"}", 422,
          "\"/id\",\"code\":\"too_short\"" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, POST(cases[i].body, .type = "application/json"));
        host_assert(&h, cases[i].status, cases[i].part);
        unit_assert_str(h.refused.tenant, PLATFORM);
        unit_assert_str(h.refused.action, "inbound.unreadable");
        assert_true(tn_op_facts(h.op)->log.n > 0);
    }

    host_free(&h);
}


static void
test_where(void **state)
{
    host h;
    tn_core_conf conf;

    (void) state;
    host_init(&h);

    SEND0(&h, AT(EVENT, .method = "POST", GOOD(EVENT)));
    host_problem(&h, 404, "not_found");
    SEND0(&h, POST(EVENT, .query = "a=b"));
    host_problem(&h, 400, "unknown_parameter");
    SEND0(&h, POST(EVENT, .type = "text/plain"));
    host_problem(&h, 415, "unsupported_media_type");
    SEND0(&h, POST(EVENT, .body_length = 262145));
    host_problem(&h, 413, "too_large");
    SEND0(&h, POST(EVENT, .body_length = UINT64_MAX, .too_large = 1));
    host_problem(&h, 413, "too_large");
    SEND0(&h, AT(EVENT, .host = "tenon.localhost", GOOD(EVENT)));
    host_problem(&h, 405, "method_not_allowed");
    host_free(&h);

    /* nobody's secret is known */
    host_init(&h);
    memset(&conf, 0, sizeof(conf));
    h.core->conf.stripe = conf.stripe;
    SEND0(&h, POST(EVENT, ));
    host_problem(&h, 404, "not_found");
    assert_int_equal(h.refused.n, 0);
    host_free(&h);
}


/* A body that took so long that the op began anew is judged as it came, at the
 * time when all of it was there. */
static void
test_late(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, POST(EVENT, .body_ms = 5000),
         { ROWS(1, "0192f0c0-0000-7000-8000-000000000001") });
    host_assert(&h, 204, "");
    assert_string_equal(h.trace, "ABW");
    unit_assert_str(h.params[3], "evt_1");
    unit_assert_str(h.params[5], EVENT);
    unit_assert_str(tn_op_facts(h.op)->tenant_id, PLATFORM);

    SEND0(&h, POST("", .body_ms = 5000));
    host_problem(&h, 400, "malformed_json");
    SEND0(&h, AT(EVENT, HERE, .body_ms = 5000,
                 SIGNED("whsec_another", EVENT, h.now)));
    host_problem(&h, 400, "signature_refused");
    unit_assert_str(h.refused.action, "inbound.signature_refused");
    SEND0(&h, AT(EVENT, HERE, .body_ms = 5000,
                 SIGNED(HOST_STRIPE_SECRET, EVENT, h.now - 297000000)));
    host_problem(&h, 400, "signature_refused");
    host_assert(&h, 400, "5 minutes");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_taken), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_unreadable), cmocka_unit_test(test_where),
          cmocka_unit_test(test_late))
