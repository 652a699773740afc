/*
 * api_key.c: the text of an API key: "tnk_" and base64url of
 *
 *     key id 16 | tenant id 16 | secret 24 | MAC 12
 *
 * The MAC, under the core's secret, tells a forged key without a look into the
 * database; what lies there is a hash of the secret. So neither who reads the
 * database nor who holds the core's secret can make a key that opens. The id
 * comes first: it is what the beginning of the key, which may be shown, tells
 * keys apart by.
 */

#include "libcore/token/token.h"

#include <sodium.h>

#define PREFIX     TN_STR("tnk_")
#define ID_LEN     16
#define SECRET_LEN 24
#define MAC_LEN    12
#define MADE_LEN   (2 * ID_LEN + SECRET_LEN)
#define KEY_LEN    (MADE_LEN + MAC_LEN)


static void
key_mac(unsigned char mac[MAC_LEN], const tn_core *core,
        const unsigned char raw[MADE_LEN])
{
    tn_str parts[2];
    unsigned char full[32];

    parts[0] = TN_STR("api key");
    parts[1] = (tn_str){ (const char *) raw, MADE_LEN };
    tn__mac(full, sizeof(full), core->conf.secret, parts, 2);
    memcpy(mac, full, MAC_LEN);
}


tn_err
tn__api_key_make(tn_str *key, tn_str *hash, tn_op *op, tn_str id)
{
    char *text;
    tn_err err;
    unsigned char raw[KEY_LEN], digest[32];

    if (!tn__uuid_parse(raw, id) ||
        !tn__uuid_parse(raw + ID_LEN, op->tenant.id)) {
        return TN_E_INTERNAL;
    }

    text = tn__alloc(op->mem, PREFIX.n + tn__b64_size(KEY_LEN));
    if (text == NULL) {
        return TN_E_NOMEM;
    }

    tn__rng_bytes(&op->rng, raw + 2 * ID_LEN, SECRET_LEN);
    key_mac(raw + MADE_LEN, op->core, raw);

    memcpy(text, PREFIX.p, PREFIX.n);
    key->p = text;
    key->n =
        PREFIX.n + tn__b64_encode(text + PREFIX.n, (const char *) raw, KEY_LEN);

    crypto_generichash(digest, sizeof(digest), raw + 2 * ID_LEN, SECRET_LEN,
                       NULL, 0);
    sodium_memzero(raw, sizeof(raw));
    err = tn__bytea(hash, digest, sizeof(digest), op->mem);

    return err;
}


tn_err
tn__api_key_verify(tn__claims *out, const tn_op *op, tn_str text)
{
    size_t n;
    unsigned char raw[KEY_LEN], mac[MAC_LEN];

    text = tn__sub(text, PREFIX.n, text.n);

    if (!tn__b64_decode(raw, sizeof(raw), &n, text) || n != sizeof(raw)) {
        return TN_E_UNAUTHENTICATED;
    }

    key_mac(mac, op->core, raw);

    if (sodium_memcmp(mac, raw + MADE_LEN, MAC_LEN) != 0) {
        return TN_E_UNAUTHENTICATED;
    }

    tn__uuid_text(out->session, raw);
    tn__uuid_text(out->tenant, raw + ID_LEN);
    crypto_generichash(out->hash, sizeof(out->hash), raw + 2 * ID_LEN,
                       SECRET_LEN, NULL, 0);
    sodium_memzero(raw, sizeof(raw));

    return TN_OK;
}
