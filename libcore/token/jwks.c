/*
 * jwks.c: key sets of others. A key is for one algorithm, whatever a token
 * says: the one its `alg` names, else the one that we know for its kind.
 */

#include "libcore/token/jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#define RSA_MIN 2048 /* bits */
#define RSA_MAX (8 * TN__JWS_SIG_MAX)


tn_str
tn__jws_text(const cJSON *object, const char *name)
{
    const cJSON *node;

    node = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(node)
               ? (tn_str){ node->valuestring, strlen(node->valuestring) }
               : TN_NULL;
}


/* A member in base64url; its length, 0 when it isn't that. */
static size_t
octets(unsigned char *out, size_t cap, const cJSON *jwk, const char *name)
{
    size_t n;
    tn_str text;

    text = tn__jws_text(jwk, name);

    return text.n && tn__b64_decode(out, cap, &n, text) ? n : 0;
}


/* NULL when libcrypto makes no key of it. */
static EVP_PKEY *
make_key(const char *kind, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY *pkey;
    OSSL_PARAM *params;
    EVP_PKEY_CTX *ctx;

    pkey = NULL;
    params = OSSL_PARAM_BLD_to_param(bld);
    ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }

    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);

    return pkey;
}


/*
 * Moduli of a library that made its primes as k * M + 65537^a mod M, from
 * which they can be found again (CVE-2017-15361): modulo each small prime they
 * are a power of 65537. Of others one in 2^27 is.
 */
static int
roca(const BIGNUM *n)
{
    size_t i;
    BN_ULONG power, rest;
    static const unsigned char primes[] = { 11,  13,  17,  19,  37, 53,
                                            61,  71,  73,  79,  97, 103,
                                            107, 109, 127, 151, 157 };

    for (i = 0; i < sizeof(primes); i++) {
        rest = BN_mod_word(n, primes[i]);

        for (power = 65537 % primes[i]; power != rest && power != 1;) {
            power = power * (65537 % primes[i]) % primes[i];
        }

        if (power != rest) {
            return 0;
        }
    }

    return 1;
}


static const char *
rsa_fault(const BIGNUM *n, const BIGNUM *e)
{
    if (BN_num_bits(n) < RSA_MIN) {
        return "an RSA key has 2048 bits at least";
    }

    if (BN_num_bits(n) > RSA_MAX) {
        return "an RSA key has 8192 bits at most";
    }

    if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 32) {
        return "this is no RSA key";
    }

    return roca(n) ? "this RSA key can be factored (CVE-2017-15361)" : NULL;
}


static const char *
read_rsa(tn__jwk *key, const cJSON *jwk)
{
    size_t size;
    BIGNUM *n, *e;
    const char *fault;
    OSSL_PARAM_BLD *bld;
    unsigned char bytes[TN__JWS_SIG_MAX + 1];

    size = octets(bytes, sizeof(bytes), jwk, "n");
    n = BN_bin2bn(bytes, (int) size, NULL);
    size = octets(bytes, sizeof(bytes), jwk, "e");
    e = BN_bin2bn(bytes, (int) size, NULL);
    bld = OSSL_PARAM_BLD_new();

    fault = n && e && bld ? rsa_fault(n, e) : "out of memory";

    if (fault == NULL &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e)) {
        key->pkey = make_key("RSA", bld);
    }

    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);

    return fault ? fault : key->pkey ? NULL : "this is no RSA key";
}


/* libcrypto checks that the point lies on the curve. */
static const char *
read_p256(tn__jwk *key, const cJSON *jwk)
{
    OSSL_PARAM_BLD *bld;
    unsigned char point[65];

    point[0] = POINT_CONVERSION_UNCOMPRESSED;

    if (octets(point + 1, 32, jwk, "x") != 32 ||
        octets(point + 33, 32, jwk, "y") != 32) {
        return "x and y of P-256 are 32 bytes each in base64url";
    }

    bld = OSSL_PARAM_BLD_new();

    if (bld &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
                                        "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         sizeof(point))) {
        key->pkey = make_key("EC", bld);
    }

    OSSL_PARAM_BLD_free(bld);

    return key->pkey ? NULL : "this is no point of P-256";
}


static const char *
read_ed25519(tn__jwk *key, const cJSON *jwk)
{
    unsigned char x[32];

    if (octets(x, sizeof(x), jwk, "x") != sizeof(x)) {
        return "x of Ed25519 is 32 bytes in base64url";
    }

    key->pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof(x));

    return key->pkey ? NULL : "this is no Ed25519 key";
}


static const struct {
    const char *kty;
    const char *crv; /* NULL: it has none */
    tn_str algs[2];  /* the first one where the key names none */
    const char *(*read)(tn__jwk *key, const cJSON *jwk);
} kinds[] = {
    { "RSA", NULL, { TN_STR_C("RS256") }, read_rsa },
    { "EC", "P-256", { TN_STR_C("ES256") }, read_p256 },
    { "OKP",
      "Ed25519",
      { TN_STR_C("EdDSA"), TN_STR_C("Ed25519") },
      read_ed25519 },
};

#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))


static int
is_text(const cJSON *object, const char *name, const char *value)
{
    tn_str text;

    text = tn__jws_text(object, name);

    return text.p && strcmp(text.p, value) == 0;
}


/* Meant for verifying signatures, as far as it says what for. */
static int
for_verifying(const cJSON *jwk)
{
    const cJSON *ops, *op;

    if (cJSON_GetObjectItemCaseSensitive(jwk, "use") &&
        !is_text(jwk, "use", "sig")) {
        return 0;
    }

    ops = cJSON_GetObjectItemCaseSensitive(jwk, "key_ops");

    if (ops == NULL) {
        return 1;
    }

    cJSON_ArrayForEach(op, ops)
    {
        if (cJSON_IsString(op) && strcmp(op->valuestring, "verify") == 0) {
            return cJSON_IsArray(ops);
        }
    }

    return 0;
}


/* What the key is for; absent: for nothing that we do. */
static tn_str
algorithm(unsigned *kind, const cJSON *jwk)
{
    unsigned i, k;
    const cJSON *alg;

    alg = cJSON_GetObjectItemCaseSensitive(jwk, "alg");

    for (i = 0; i < NKINDS; i++) {
        if (!is_text(jwk, "kty", kinds[i].kty) ||
            (kinds[i].crv && !is_text(jwk, "crv", kinds[i].crv))) {
            continue;
        }

        *kind = i;

        for (k = 0; k < 2; k++) {
            if (alg == NULL ||
                tn__eq(tn__jws_text(jwk, "alg"), kinds[i].algs[k])) {
                return alg && !cJSON_IsString(alg) ? TN_NULL : kinds[i].algs[k];
            }
        }
    }

    return TN_NULL;
}


static const char *
add_key(tn__jwks *out, const cJSON *jwk, tn_mem *mem)
{
    tn_str kid;
    tn__jwk key;
    unsigned i, kind;
    const char *fault;

    if (!cJSON_IsObject(jwk)) {
        return "a key is an object";
    }

    if (is_text(jwk, "kty", "oct")) {
        return "a symmetric key is no public key: whoever verifies by it can "
               "sign";
    }

    if (cJSON_GetObjectItemCaseSensitive(jwk, "d")) {
        return "this is a private key: only its public half belongs here";
    }

    memset(&key, 0, sizeof(key));
    kind = 0;
    key.alg = algorithm(&kind, jwk);

    if (key.alg.p == NULL || !for_verifying(jwk)) {
        return NULL;
    }

    if (out->n == TN__JWKS_MAX) {
        return "there are more than 64 keys";
    }

    kid = tn__jws_text(jwk, "kid");

    for (i = 0; kid.p && i < out->n; i++) {
        if (tn__eq(kid, out->keys[i].kid)) {
            return "another key has the same kid";
        }
    }

    fault = kinds[kind].read(&key, jwk);

    if (fault == NULL) {
        out->keys[out->n++] = key;

        if (kid.p && tn__dup(&out->keys[out->n - 1].kid, kid, mem) != TN_OK) {
            fault = "out of memory";
        }
    }

    return fault;
}


tn_err
tn__jwks_parse(tn__jwks *out, tn_str text, tn__jwks_fault *fault, tn_mem *mem)
{
    tn_err err;
    cJSON *set;
    const cJSON *keys, *jwk;
    tn__json_fault json;

    memset(out, 0, sizeof(tn__jwks));
    fault->key = 0;
    fault->what = NULL;

    err = tn__json_parse(&set, text, &json, mem);

    if (err != TN_OK) {
        fault->what = err == TN_E_NOMEM ? "out of memory" : json.what;
        return err;
    }

    keys = cJSON_GetObjectItemCaseSensitive(set, "keys");

    if (!cJSON_IsObject(set) || !cJSON_IsArray(keys)) {
        fault->what = "a key set is an object with an array \"keys\"";
        return TN_E_MALFORMED_JSON;
    }

    cJSON_ArrayForEach(jwk, keys)
    {
        fault->key++;
        fault->what = add_key(out, jwk, mem);

        if (fault->what) {
            ERR_clear_error(); /* nginx would take them for its own */
            tn__jwks_free(out);
            return TN_E_MALFORMED_JSON;
        }
    }

    if (out->n == 0) {
        fault->key = 0;
        fault->what = "there is no key for RS256, ES256 or EdDSA";
        return TN_E_MALFORMED_JSON;
    }

    return TN_OK;
}


void
tn__jwks_free(tn__jwks *keys)
{
    unsigned i;

    for (i = 0; i < keys->n; i++) {
        EVP_PKEY_free(keys->keys[i].pkey);
    }

    keys->n = 0;
}
