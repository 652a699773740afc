/*
 * outside.h: issuers outside for a test: fresh keys of all three kinds, tokens
 * made with them, and a host that trusts two who have these keys.
 */

#ifndef TENON_OUTSIDE_H
#define TENON_OUTSIDE_H

#include "t/00unit/host.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#define ISSUER   "https://id.example.com"
#define OTHER    "https://other.example.com"
#define AUDIENCE "https://tenon.localhost"
#define SUBJECT  "auth0|ann"
#define IDENTITY SESSION("e1")

/* the kinds of keys, and one of Ed25519 that nobody knows */
enum {
    RS,
    ES,
    ED,
    STRANGER,
    KEYS
};

typedef struct outside {
    host h;
    EVP_PKEY *keys[KEYS];
    char jwks[4096];
    tn_issuer issuers[2];
} outside;


/* ---- keys and signatures ---- */

static inline void
number(char *out, size_t cap, EVP_PKEY *key, const char *name, size_t size)
{
    int n;
    BIGNUM *bn = NULL;
    unsigned char bytes[512];

    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &bn), 1);
    n = BN_bn2binpad(bn, bytes,
                     (int) (size ? size : (size_t) BN_num_bytes(bn)));
    assert_true(n > 0);
    host_b64(out, cap, bytes, (size_t) n);
    BN_free(bn);
}


static inline void
make_keys(outside *o)
{
    size_t size;
    char n[1024], x[64], y[64], ed[64];
    unsigned char raw[32];

    o->keys[RS] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);
    o->keys[ES] = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    o->keys[ED] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    o->keys[STRANGER] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    number(n, sizeof(n), o->keys[RS], OSSL_PKEY_PARAM_RSA_N, 0);
    number(x, sizeof(x), o->keys[ES], OSSL_PKEY_PARAM_EC_PUB_X, 32);
    number(y, sizeof(y), o->keys[ES], OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    size = sizeof(raw);
    assert_int_equal(EVP_PKEY_get_raw_public_key(o->keys[ED], raw, &size), 1);
    host_b64(ed, sizeof(ed), raw, size);

    snprintf(o->jwks, sizeof(o->jwks),
             "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"rs\",\"n\":\"%s\",\"e\":"
             "\"AQAB\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"es\","
             "\"alg\":\"ES256\",\"x\":\"%s\",\"y\":\"%s\"},{\"kty\":\"OKP\","
             "\"crv\":\"Ed25519\",\"kid\":\"ed\",\"x\":\"%s\"}]}",
             n, x, y, ed);
}


static inline size_t
sign_with(unsigned char *out, EVP_PKEY *key, const char *text)
{
    size_t size;
    EVP_MD_CTX *ctx;
    ECDSA_SIG *sig;
    const unsigned char *p;
    unsigned char raw[512];
    int ed = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;

    size = sizeof(raw);
    ctx = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit(ctx, NULL, ed ? NULL : EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, raw, &size,
                                    (const unsigned char *) text, strlen(text)),
                     1);
    EVP_MD_CTX_free(ctx);

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) {
        memcpy(out, raw, size);
        return size;
    }

    p = raw;
    sig = d2i_ECDSA_SIG(NULL, &p, (long) size);
    assert_non_null(sig);
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32);
    ECDSA_SIG_free(sig);

    return 64;
}


static inline const char *
token_of(outside *o, int key, const char *header, const char *claims)
{
    size_t n;
    unsigned char signature[512];
    static char token[16384];
    static const char *const headers[] = {
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"rs\"}",
        "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"es\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"ed\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"ed\"}",
    };

    header = header ? header : headers[key];
    n = host_b64(token, sizeof(token), header, strlen(header));
    token[n++] = '.';
    n += host_b64(token + n, sizeof(token) - n, claims, strlen(claims));
    token[n] = '\0';
    host_b64(token + n + 1, sizeof(token) - n - 1, signature,
             sign_with(signature, o->keys[key], token));
    token[n] = '.';

    return token;
}


/* ---- a host that trusts two issuers ---- */

static inline void
setup(outside *o)
{
    tn_core *core;
    tn_core_conf conf;

    memset(o, 0, sizeof(*o));
    make_keys(o);
    host_init(&o->h);
    o->issuers[0] = (tn_issuer){ .issuer = TN_STR(ISSUER),
                                 .jwks = unit_str(o->jwks),
                                 .tenant_claim = TN_STR("org") };
    o->issuers[1] = (tn_issuer){ .issuer = TN_STR(OTHER),
                                 .jwks = unit_str(o->jwks),
                                 .audience = TN_STR("tenon"),
                                 .tenant = TN_STR(ACME),
                                 .user_claim = TN_STR("oid") };
    host_conf(&conf);
    conf.issuers = o->issuers;
    conf.nissuers = 2;
    core = o->h.core;
    assert_int_equal(tn_core_new(&o->h.core, &conf), TN_OK);
    tn_core_free(core);
    host_adopt(&o->h);

    o->h.subjects[0] = (host_subject){ .issuer = ISSUER,
                                       .subject = SUBJECT,
                                       .tenant = "acme",
                                       .user = MEMBER,
                                       .id = IDENTITY };
    o->h.subjects[1] = (host_subject){ .issuer = ISSUER,
                                       .subject = "new",
                                       .tenant = "acme",
                                       .user = MEMBER,
                                       .email = "ann@acme.test" };
    o->h.sessions[4] = (host_session){
        .id = IDENTITY, .tenant = ACME, .user = MEMBER, .role = "member"
    };
}


static inline void
teardown(outside *o)
{
    int i;

    host_free(&o->h);

    for (i = 0; i < KEYS; i++) {
        EVP_PKEY_free(o->keys[i]);
    }
}

#define ME                                                                \
    ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]", \
         NULL, "1")

/* Claims of the first issuer, with more behind. */
#define CLAIMS_OF(sub, more)                                          \
    "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"sub\":\"" sub \
    "\",\"org\":\"acme\",\"iat\":1763690000,\"exp\":1763690900" more "}"
#define CLAIMS CLAIMS_OF(SUBJECT, "")

#endif
