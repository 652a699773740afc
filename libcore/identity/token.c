/*
 * token.c: access tokens: JWTs (RFC 7519, RFC 9068) signed with Ed25519.
 *
 * A token made here begins with one exact encoded header, so the verifier
 * compares that prefix instead of reading a header that an attacker wrote:
 * algorithm, type and key id are pinned, and there is no room for "none",
 * embedded keys, "crit" or "b64".
 */

#include "libcore/identity/identity.h"

#include <sodium.h>

#define TOKEN_MAX  8192
#define CLOCK_SKEW 5 /* seconds: `nbf` of another node of ours */


static tn_err
encode(tn_str *out, tn_str s, tn_mem *mem)
{
    char *p;

    p = tn__alloc(mem, tn__b64_size(s.n));
    if (p == NULL) {
        return TN_E_NOMEM;
    }

    *out = (tn_str){ p, tn__b64_encode(p, s.p, s.n) };

    return TN_OK;
}


/* The members in the order RFC 7638 hashes them. */
static tn_err
public_jwk(tn_str *out, tn_core *core, tn_mem *mem)
{
    tn_err err;
    tn_str x, parts[3];

    err = encode(&x, (tn_str){ (char *) core->public_key, 32 }, mem);
    if (err != TN_OK) {
        return err;
    }

    parts[0] = TN_STR("{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
    parts[1] = x;
    parts[2] = TN_STR("\"}");

    return tn__cat(out, parts, 3, mem);
}


tn_err
tn__token_setup(tn_core *core)
{
    tn_err err;
    tn_mem *mem;
    tn_str jwk, header, parts[5];
    unsigned char thumbprint[crypto_hash_sha256_BYTES];

    mem = tn__arena_mem(core->arena);
    crypto_sign_seed_keypair(core->public_key, core->private_key,
                             core->conf.signing_seed);

    err = public_jwk(&jwk, core, mem);
    if (err != TN_OK) {
        return err;
    }

    crypto_hash_sha256(thumbprint, (const unsigned char *) jwk.p, jwk.n);
    err = encode(&core->kid,
                 (tn_str){ (char *) thumbprint, sizeof(thumbprint) }, mem);

    if (err == TN_OK) {
        parts[0] = TN_STR("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"");
        parts[1] = core->kid;
        parts[2] = TN_STR("\"}");
        err = tn__cat(&header, parts, 3, mem);
    }

    if (err == TN_OK) {
        err = encode(&core->token_header, header, mem);
    }

    if (err == TN_OK) {
        parts[0] = TN_STR("{\"keys\":[");
        parts[1] = tn__sub(jwk, 0, jwk.n - 1);
        parts[2] = TN_STR(",\"alg\":\"EdDSA\",\"use\":\"sig\",\"kid\":\"");
        parts[3] = core->kid;
        parts[4] = TN_STR("\"}]}");
        err = tn__cat(&core->jwks, parts, 5, mem);
    }

    return err;
}


static void
claim(tn__buf *buf, tn_str name, tn_str value)
{
    tn__buf_json(buf, name);
    tn__buf_char(buf, ':');
    tn__buf_json(buf, value);
    tn__buf_char(buf, ',');
}


tn_err
tn__token_sign(tn_str *out, tn_op *op, int64_t expires)
{
    tn_err err;
    int64_t now;
    tn__buf payload;
    tn_str text, encoded, signature, parts[3];
    unsigned char raw[crypto_sign_BYTES];

    now = op->request->now / 1000000;
    tn__buf_init(&payload, op->mem, 512);
    tn__buf_char(&payload, '{');
    claim(&payload, TN_STR("iss"), op->core->issuer);
    claim(&payload, TN_STR("aud"), op->core->issuer);
    claim(&payload, TN_STR("sub"), op->principal.user);
    claim(&payload, TN_STR("tid"), op->tenant.id);
    claim(&payload, TN_STR("sid"), op->principal.session);
    tn__buf_lit(&payload, "\"iat\":");
    tn__buf_int(&payload, now);
    tn__buf_lit(&payload, ",\"nbf\":");
    tn__buf_int(&payload, now);
    tn__buf_lit(&payload, ",\"exp\":");
    tn__buf_int(&payload, expires);
    tn__buf_char(&payload, '}');

    err = tn__buf_str(&text, &payload);

    if (err == TN_OK) {
        err = encode(&encoded, text, op->mem);
    }

    if (err == TN_OK) {
        parts[0] = op->core->token_header;
        parts[1] = TN_STR(".");
        parts[2] = encoded;
        err = tn__cat(&text, parts, 3, op->mem);
    }

    if (err != TN_OK) {
        return err;
    }

    crypto_sign_detached(raw, NULL, (const unsigned char *) text.p, text.n,
                         op->core->private_key);
    err = encode(&signature, (tn_str){ (char *) raw, sizeof(raw) }, op->mem);

    if (err == TN_OK) {
        parts[0] = text;
        parts[1] = TN_STR(".");
        parts[2] = signature;
        err = tn__cat(out, parts, 3, op->mem);
    }

    return err;
}


static int
claim_is(const cJSON *claims, const char *name, tn_str value)
{
    const cJSON *node;

    node = cJSON_GetObjectItemCaseSensitive(claims, name);

    return cJSON_IsString(node) &&
           tn__eq((tn_str){ node->valuestring, strlen(node->valuestring) },
                  value);
}


static int
claim_uuid(char out[TN__UUID_TEXT], const cJSON *claims, const char *name)
{
    const cJSON *node;
    unsigned char uuid[16];

    node = cJSON_GetObjectItemCaseSensitive(claims, name);

    if (!cJSON_IsString(node) ||
        !tn__uuid_parse(
            uuid, (tn_str){ node->valuestring, strlen(node->valuestring) })) {
        return 0;
    }

    tn__uuid_text(out, uuid);

    return 1;
}


static int
claim_time(int64_t *out, const cJSON *claims, const char *name)
{
    const cJSON *node;

    node = cJSON_GetObjectItemCaseSensitive(claims, name);

    if (!cJSON_IsNumber(node) || node->valuedouble < 0 ||
        node->valuedouble > 253402300799.0 ||
        node->valuedouble != (double) (int64_t) node->valuedouble) {
        return 0;
    }

    *out = (int64_t) node->valuedouble;

    return 1;
}


tn_err
tn__token_verify(tn__claims *out, const tn_op *op, tn_str token)
{
    size_t n;
    tn_err err;
    int64_t now, not_before, issued;
    tn_str rest, payload, signed_part;
    cJSON *claims;
    const tn_core *core;
    unsigned char signature[crypto_sign_BYTES + 8], *json;
    tn__json_fault fault;

    core = op->core;
    rest = token;

    if (token.n > TOKEN_MAX ||
        !tn__eq(tn__split(&rest, '.'), core->token_header)) {
        return TN_E_UNAUTHENTICATED;
    }

    payload = tn__split(&rest, '.');
    signed_part = tn__sub(token, 0, core->token_header.n + 1 + payload.n);

    if (rest.p == NULL ||
        !tn__b64_decode(signature, sizeof(signature), &n, rest) ||
        n != crypto_sign_BYTES ||
        crypto_sign_verify_detached(signature,
                                    (const unsigned char *) signed_part.p,
                                    signed_part.n, core->public_key) != 0) {
        return TN_E_UNAUTHENTICATED;
    }

    json = tn__alloc(op->mem, payload.n + 1);
    if (json == NULL) {
        return TN_E_NOMEM;
    }

    if (!tn__b64_decode(json, payload.n, &n, payload)) {
        return TN_E_UNAUTHENTICATED;
    }

    err =
        tn__json_parse(&claims, (tn_str){ (char *) json, n }, &fault, op->mem);
    if (err != TN_OK) {
        return err == TN_E_NOMEM ? err : TN_E_UNAUTHENTICATED;
    }

    if (!claim_is(claims, "iss", core->issuer) ||
        !claim_is(claims, "aud", core->issuer) ||
        !claim_uuid(out->user, claims, "sub") ||
        !claim_uuid(out->tenant, claims, "tid") ||
        !claim_uuid(out->session, claims, "sid") ||
        !claim_time(&issued, claims, "iat") ||
        !claim_time(&not_before, claims, "nbf") ||
        !claim_time(&out->expires, claims, "exp")) {
        return TN_E_UNAUTHENTICATED;
    }

    now = op->request->now / 1000000;

    if (not_before > now + CLOCK_SKEW) {
        return TN_E_UNAUTHENTICATED;
    }

    return out->expires > now ? TN_OK : TN_E_TOKEN_EXPIRED;
}
