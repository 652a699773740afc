/*
 * Access tokens: exactly those that a worker with this key made, while they
 * hold; the tokens here are made by hand, from the RFCs.
 */

#include "t/00unit/host.h"

#define ISS "\"iss\":\"https://tenon.localhost\","
#define AUD "\"aud\":\"https://tenon.localhost\","
#define SUB "\"sub\":\"" MEMBER "\","
#define TID "\"tid\":\"" ACME "\","
#define SID "\"sid\":\"" SESSION("a2") "\","
#define NOW "1763690000"


static void
assert_refused(host *h, const char *token)
{
    SEND0(h, R(.path = "/v1/me", .token = token));
    host_problem(h, 401, "unauthenticated");

    /* without a look at the directory's sessions */
    assert_null(strstr(h->trace, "ZZ"));
}


static void
assert_taken(host *h, const char *token)
{
    SEND(h, R(.path = "/v1/me", .token = token),
         { ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    host_assert(h, 200, NULL);
}


static void
test_claims(void **state)
{
    unsigned i;
    host h;
    char token[16384], padded[9000];
    static const char *const refused[] = {
        /* each claim missing */
        "{" AUD SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD TID SID "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB SID "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB TID "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB TID SID "\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB TID SID "\"iat\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB TID SID "\"iat\":1,\"nbf\":1}",
        /* each claim wrong */
        "{\"iss\":\"https://evil\"," AUD SUB TID SID
        "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS "\"aud\":\"https://evil\"," SUB TID SID
        "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS "\"aud\":[\"https://tenon.localhost\"]," SUB TID SID
        "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD "\"sub\":\"me\"," TID SID
        "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB "\"tid\":7," SID
        "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB TID "\"sid\":null,"
        "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":\"2000000000\"}",
        "{" ISS AUD SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":1e300}",
        "{" ISS AUD SUB TID SID "\"iat\":1,\"nbf\":-1,\"exp\":2000000000}",
        "{" ISS AUD SUB TID SID "\"iat\":0.5,\"nbf\":1,\"exp\":2000000000}",
        "{" ISS AUD SUB TID SID
        "\"iat\":1,\"nbf\":1763690006,\"exp\":2000000000}",
        /* no object, no JSON, twice */
        "[]",
        "",
        "{" ISS AUD SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":2000000000",
        "{" ISS ISS AUD SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":2000000000}",
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        host_sign(token, sizeof(token), NULL, refused[i]);
        assert_refused(&h, token);
    }

    host_sign(token, sizeof(token), NULL,
              "{" ISS AUD SUB TID SID
              "\"iat\":1,\"nbf\":1763690005,\"exp\":1763690001}");
    assert_taken(&h, token);

    host_sign(token, sizeof(token), NULL,
              "{" ISS AUD SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":" NOW "}");
    SEND0(&h, R(.path = "/v1/me", .token = token));
    host_problem(&h, 401, "token_expired");

    /* genuine, but of no size that we make */
    memset(padded, ' ', sizeof(padded));
    snprintf(padded + 6000, sizeof(padded) - 6000, "%s",
             "{" ISS AUD SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":2000000000}");
    host_sign(token, sizeof(token), NULL, padded);
    assert_true(strlen(token) > 8192);
    assert_refused(&h, token);
    host_sign(token, sizeof(token), NULL, padded + 1000);
    assert_true(strlen(token) < 8192);
    assert_taken(&h, token);
    host_free(&h);
}


static void
test_headers(void **state)
{
    unsigned i;
    host h;
    char token[4096], kid[64], header[512], claims[512];
    unsigned char public[32], secret[64];
    static const char *const formats[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}",
        "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"other\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"%s\",\"crit\":[]}",
        "{\"alg\":\"EdDSA\",\"kid\":\"%s\",\"typ\":\"at+jwt\"}",
        "",
    };

    (void) state;
    host_init(&h);
    host_keys(public, secret, kid);
    snprintf(claims, sizeof(claims), "%s",
             "{" ISS AUD SUB TID SID "\"iat\":1,\"nbf\":1,\"exp\":2000000000}");

    for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
        snprintf(header, sizeof(header), formats[i], kid);
#pragma GCC diagnostic pop
        host_sign(token, sizeof(token), header, claims);
        assert_refused(&h, token);
    }

    host_sign(token, sizeof(token), NULL, claims);
    assert_taken(&h, token);

    /* no signature, a part too many, a part too few */
    strrchr(token, '.')[1] = '\0';
    assert_refused(&h, token);
    strrchr(token, '.')[0] = '\0';
    assert_refused(&h, token);
    snprintf(token, sizeof(token), "%s.x", h.member);
    assert_refused(&h, token);
    host_free(&h);
}


/* Every single bit counts. */
static void
test_bit_flips(void **state)
{
    size_t i;
    unsigned bit;
    host h;
    char token[1024];

    (void) state;
    host_init(&h);
    memcpy(token, h.member, sizeof(token));

    for (i = 0; token[i]; i++) {
        for (bit = 0; bit < 8; bit += i % 16 ? 5 : 1) {
            token[i] = (char) (token[i] ^ 1 << bit);

            /* a byte that no header holds never gets here */
            if (token[i] > ' ' && token[i] < 0x7f) {
                assert_refused(&h, token);
            }
            token[i] = (char) (token[i] ^ 1 << bit);
        }
    }

    assert_taken(&h, token);
    host_free(&h);
}


static void
test_other_key(void **state)
{
    host h;
    tn_core *core;
    tn_core_conf conf;

    (void) state;
    host_init(&h);
    host_conf(&conf);
    conf.signing.keys[0].seed[0] ^= 1;
    core = h.core;
    assert_int_equal(tn_core_new(&h.core, &conf), TN_OK);
    tn_core_free(core);
    host_adopt(&h);
    assert_refused(&h, h.member);
    host_free(&h);
}


/* What we publish is what we sign with. */
static void
test_jwks(void **state)
{
    host h;
    char kid[64], x[64], jwks[512];
    unsigned char public[32], secret[64];

    (void) state;
    host_init(&h);
    host_keys(public, secret, kid);
    host_b64(x, sizeof(x), public, 32);
    snprintf(jwks, sizeof(jwks),
             "{\"keys\":[{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\","
             "\"alg\":\"EdDSA\",\"use\":\"sig\",\"kid\":\"%s\"}]}",
             x, kid);
    SEND0(&h, R(.path = "/.well-known/jwks.json", .host = ""));
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body, jwks);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_claims), cmocka_unit_test(test_headers),
          cmocka_unit_test(test_bit_flips), cmocka_unit_test(test_other_key),
          cmocka_unit_test(test_jwks))
