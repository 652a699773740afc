/*
 * jws.c: a token of somebody else's: taken apart, and verified by their keys.
 * What its header says chooses among these keys and can do nothing else: no
 * key, address, extension or algorithm of its own is heeded.
 */

#include "libcore/token/jws.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>

#define HALF 32 /* of an ES256 signature */


/* Members that no token of an issuer's needs, and that have been the way in
 * elsewhere. We know no extension, so `crit` names what we don't. */
static const char *const refused[] = { "crit", "b64", "jwk", "jku",
                                       "x5u",  "x5c", "zip", "enc" };


static tn_err
decode(tn_str *out, tn_str text, tn_mem *mem)
{
    size_t n;
    unsigned char *p;

    p = tn__alloc(mem, text.n + 1);
    if (p == NULL) {
        return TN_E_NOMEM;
    }

    if (!tn__b64_decode(p, text.n, &n, text)) {
        return TN_E_UNAUTHENTICATED;
    }

    *out = (tn_str){ (char *) p, n };

    return TN_OK;
}


static tn_err
read_header(tn__jws *out, tn_str text, tn_mem *mem)
{
    size_t i;
    tn_err err;
    tn_str json;
    cJSON *header;
    tn__json_fault fault;

    err = decode(&json, text, mem);

    if (err == TN_OK) {
        err = tn__json_parse(&header, json, &fault, mem);
    }

    if (err != TN_OK) {
        return err;
    }

    if (!cJSON_IsObject(header)) {
        return TN_E_UNAUTHENTICATED;
    }

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (cJSON_GetObjectItemCaseSensitive(header, refused[i])) {
            return TN_E_UNAUTHENTICATED;
        }
    }

    out->header = header;

    return TN_OK;
}


tn_err
tn__jws_read(tn__jws *out, tn_str token, tn_mem *mem)
{
    tn_err err;
    tn_str rest, header, payload;

    rest = token;
    header = tn__split(&rest, '.');
    payload = rest.p ? tn__split(&rest, '.') : TN_NULL;

    if (token.n > TN__JWS_MAX || rest.p == NULL || header.n == 0 ||
        rest.n == 0 ||
        !tn__b64_decode(out->signature, sizeof(out->signature),
                        &out->nsignature, rest)) {
        return TN_E_UNAUTHENTICATED;
    }

    out->signed_part = tn__sub(token, 0, header.n + 1 + payload.n);
    err = read_header(out, header, mem);

    if (err == TN_OK) {
        err = decode(&out->payload, payload, mem);
    }

    return err == TN_OK || err == TN_E_NOMEM ? err : TN_E_UNAUTHENTICATED;
}


/* r and s as JWS has them, to what libcrypto takes. */
static int
ecdsa_der(unsigned char **out, const tn__jws *jws)
{
    int n;
    BIGNUM *r, *s;
    ECDSA_SIG *sig;

    if (jws->nsignature != 2 * HALF) {
        return 0;
    }

    sig = ECDSA_SIG_new();
    r = BN_bin2bn(jws->signature, HALF, NULL);
    s = BN_bin2bn(jws->signature + HALF, HALF, NULL);

    if (sig == NULL || r == NULL || s == NULL ||
        ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return 0;
    }

    *out = NULL;
    n = i2d_ECDSA_SIG(sig, out);
    ECDSA_SIG_free(sig);

    return n;
}


static int
signed_by(const tn__jws *jws, const tn__jwk *key)
{
    int ok, n;
    EVP_MD_CTX *ctx;
    const EVP_MD *md;
    unsigned char *der;

    der = NULL;
    n = (int) jws->nsignature;
    md = EVP_PKEY_base_id(key->pkey) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();

    if (EVP_PKEY_base_id(key->pkey) == EVP_PKEY_EC) {
        n = ecdsa_der(&der, jws);
    }

    ctx = EVP_MD_CTX_new();
    ok = ctx && n > 0 &&
         EVP_DigestVerifyInit(ctx, NULL, md, NULL, key->pkey) == 1 &&
         EVP_DigestVerify(ctx, der ? der : jws->signature, (size_t) n,
                          (const unsigned char *) jws->signed_part.p,
                          jws->signed_part.n) == 1;

    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    /* nginx would take them for its own */
    ERR_clear_error();

    return ok;
}


int
tn__jws_verify(const tn__jws *jws, const tn__jwks *keys)
{
    unsigned i;
    tn_str alg, kid;
    const tn__jwk *key;

    alg = tn__jws_text(jws->header, "alg");
    kid = tn__jws_text(jws->header, "kid");
    key = NULL;

    if (cJSON_GetObjectItemCaseSensitive(jws->header, "kid") && !kid.p) {
        return 0;
    }

    for (i = 0; alg.p && i < keys->n; i++) {
        if (!tn__eq(keys->keys[i].alg, alg) ||
            (kid.p && !tn__eq(keys->keys[i].kid, kid))) {
            continue;
        }

        if (key) {
            return 0;
        }

        key = &keys->keys[i];
    }

    return key && signed_by(jws, key);
}
