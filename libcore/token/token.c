/*
 * token.c: access tokens: JWTs (RFC 7519, RFC 9068) signed with Ed25519.
 *
 * A token made with one of our keys begins with that key's one exact encoded
 * header, so the verifier compares this prefix instead of reading a header
 * that an attacker wrote: algorithm, type and key id are pinned, and there is
 * no room for "none", embedded keys, "crit" or "b64".
 */

#include "libcore/token/issuers.h"

#include <sodium.h>

#define TOKEN_MAX  8192
#define CLOCK_SKEW 5 /* seconds: `nbf` of another node of ours */


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

    if (op->core->ntoken_keys == 0) {
        return TN_E_INTERNAL;
    }

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

    /* RFC 8693: who acts as the subject */
    if (op->principal.impersonator.p) {
        tn__buf_lit(&payload, ",\"act\":{\"sub\":");
        tn__buf_json(&payload, op->principal.impersonator);
        tn__buf_char(&payload, '}');
    }

    tn__buf_char(&payload, '}');

    err = tn__buf_str(&text, &payload);

    if (err == TN_OK) {
        err = tn__b64_text(&encoded, text, op->mem);
    }

    if (err == TN_OK) {
        parts[0] = op->core->token_keys[0].header;
        parts[1] = TN_STR(".");
        parts[2] = encoded;
        err = tn__cat(&text, parts, 3, op->mem);
    }

    if (err != TN_OK) {
        return err;
    }

    crypto_sign_detached(raw, NULL, (const unsigned char *) text.p, text.n,
                         op->core->private_key);
    err = tn__b64_text(&signature, (tn_str){ (char *) raw, sizeof(raw) },
                       op->mem);

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


int
tn__claim_time(int64_t *out, const cJSON *claims, const char *name)
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


/* Headers hold nothing secret: what they are may show in the time. */
static const tn__token_key *
key_of(const tn_core *core, tn_str header)
{
    unsigned i;

    for (i = 0; i < core->ntoken_keys; i++) {
        if (tn__eq(header, core->token_keys[i].header)) {
            return &core->token_keys[i];
        }
    }

    return NULL;
}


int
tn__token_ours(const tn_core *core, tn_str token)
{
    return key_of(core, tn__split(&token, '.')) != NULL;
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
    const tn__token_key *key;
    unsigned char signature[crypto_sign_BYTES + 8], *json;
    tn__json_fault fault;

    core = op->core;
    rest = token;

    if (token.n > TOKEN_MAX) {
        return TN_E_UNAUTHENTICATED;
    }

    key = key_of(core, tn__split(&rest, '.'));
    if (key == NULL) {
        return TN_E_UNAUTHENTICATED;
    }

    payload = tn__split(&rest, '.');
    signed_part = tn__sub(token, 0, key->header.n + 1 + payload.n);

    if (rest.p == NULL ||
        !tn__b64_decode(signature, sizeof(signature), &n, rest) ||
        n != crypto_sign_BYTES ||
        crypto_sign_verify_detached(signature,
                                    (const unsigned char *) signed_part.p,
                                    signed_part.n, key->public_key) != 0) {
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
        !tn__claim_time(&issued, claims, "iat") ||
        !tn__claim_time(&not_before, claims, "nbf") ||
        !tn__claim_time(&out->expires, claims, "exp")) {
        return TN_E_UNAUTHENTICATED;
    }

    now = op->request->now / 1000000;

    if (not_before > now + CLOCK_SKEW) {
        return TN_E_UNAUTHENTICATED;
    }

    return out->expires > now ? TN_OK : TN_E_TOKEN_EXPIRED;
}
