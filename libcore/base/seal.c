/*
 * seal.c: text that is kept encrypted, and knows its place.
 *
 * XChaCha20-Poly1305 (libsodium's crypto_aead_xchacha20poly1305_ietf) with a
 * random nonce. The associated data is where the text is kept: whose, in which
 * relation, column and row. So a sealed text opens nowhere but there, and to
 * copy one into another tenant's row gains nothing.
 *
 *     tn1.<key id>.<base64url of nonce | ciphertext | tag>
 *
 * The key's id is a hash of it: a text says which key it needs, and nothing
 * else has to be kept with the keys.
 */

#include "libcore/base/base.h"

#include <sodium.h>


#define PREFIX     "tn1."
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define HEAD_LEN   (PREFIX_LEN + TN_ENCRYPTION_ID_LEN + 1)
#define NONCE_LEN  crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN    crypto_aead_xchacha20poly1305_ietf_ABYTES

_Static_assert(NONCE_LEN == TN_NONCE_LEN, "the length of a nonce");


void
tn_encryption_key_id(char id[TN_ENCRYPTION_ID_LEN],
                     const unsigned char key[TN_KEY_LEN])
{
    char text[TN_ENCRYPTION_ID_LEN + 1];
    tn_str label;
    unsigned char hash[16];

    /* keyed by it: nobody finds the key by its id but by trying all keys */
    label = TN_STR("tenon encryption key");
    tn__mac(hash, sizeof(hash), key, &label, 1);

    tn__b64_encode(text, hash, 4);
    memcpy(id, text, TN_ENCRYPTION_ID_LEN);
    sodium_memzero(hash, sizeof(hash));
}


tn_err
tn__keyring_add(tn__keyring *ring, const unsigned char key[TN_KEY_LEN])
{
    tn__sealing_key *k;

    if (ring->n == TN_RING_KEYS_MAX) {
        return TN_E_INTERNAL;
    }

    k = &ring->keys[ring->n];
    tn_encryption_key_id(k->id, key);

    if (tn__keyring_find(ring, (tn_str){ k->id, TN_ENCRYPTION_ID_LEN })) {
        return TN_E_INTERNAL;
    }

    memcpy(k->key, key, TN_KEY_LEN);
    ring->n++;

    return TN_OK;
}


const tn__sealing_key *
tn__keyring_find(const tn__keyring *ring, tn_str id)
{
    unsigned i;

    for (i = 0; i < ring->n; i++) {
        if (tn__eq(id, (tn_str){ ring->keys[i].id, TN_ENCRYPTION_ID_LEN })) {
            return &ring->keys[i];
        }
    }

    return NULL;
}


/* Each part with its length before it, so that no two places are alike. */
static void
place_hash(unsigned char out[32], const tn_place *place)
{
    tn_str parts[5];
    static const unsigned char key[32] = "tenon place of a sealed text";

    parts[0] = TN_STR(PREFIX);
    parts[1] = place->scope;
    parts[2] = place->relation;
    parts[3] = place->column;
    parts[4] = place->id;
    tn__mac(out, 32, key, parts, 5);
}


tn_err
tn__text_seal(tn_str *out, const tn__keyring *ring, const tn_place *place,
              tn_str text, const unsigned char nonce[TN_NONCE_LEN], tn_mem *mem)
{
    size_t n;
    char *p;
    const tn__sealing_key *k;
    unsigned char *raw, ad[32];

    if (ring->n == 0) {
        return TN_E_INTERNAL;
    }

    k = &ring->keys[0];
    n = NONCE_LEN + text.n + TAG_LEN;
    raw = tn__alloc(mem, n);
    p = tn__alloc(mem, HEAD_LEN + tn__b64_size(n) + 1);

    if (raw == NULL || p == NULL) {
        return TN_E_NOMEM;
    }

    place_hash(ad, place);
    memcpy(raw, nonce, NONCE_LEN);
    crypto_aead_xchacha20poly1305_ietf_encrypt(
        raw + NONCE_LEN, NULL, (const unsigned char *) text.p, text.n, ad,
        sizeof(ad), NULL, nonce, k->key);

    memcpy(p, PREFIX, PREFIX_LEN);
    memcpy(p + PREFIX_LEN, k->id, TN_ENCRYPTION_ID_LEN);
    p[HEAD_LEN - 1] = '.';
    *out = (tn_str){ p, HEAD_LEN + tn__b64_encode(p + HEAD_LEN, raw, n) };

    return TN_OK;
}


static int
is_base64url(tn_str s)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        if (!((s.p[i] >= 'A' && s.p[i] <= 'Z') ||
              (s.p[i] >= 'a' && s.p[i] <= 'z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' ||
              s.p[i] == '_')) {
            return 0;
        }
    }

    return 1;
}


/* Anybody may write "tn1." somewhere: what can't be ours is ordinary text, which
 * keeps no row from being read. As TN_SEALED_PATTERN says it. */
int
tn__text_sealed(tn_str text)
{
    return text.n >= HEAD_LEN + tn__b64_size(NONCE_LEN + TAG_LEN) &&
           memcmp(text.p, PREFIX, PREFIX_LEN) == 0 &&
           text.p[HEAD_LEN - 1] == '.' &&
           is_base64url(tn__sub(text, PREFIX_LEN, HEAD_LEN - 1)) &&
           is_base64url(tn__sub(text, HEAD_LEN, text.n));
}


tn_str
tn_text_key(tn_str text)
{
    if (!tn__text_sealed(text)) {
        return TN_NULL;
    }

    return tn__sub(text, PREFIX_LEN, HEAD_LEN - 1);
}


tn_err
tn__text_unseal(tn_str *out, const tn__keyring *ring, const tn_place *place,
                tn_str text, tn_mem *mem)
{
    size_t n;
    tn_str coded;
    const tn__sealing_key *k;
    unsigned char *raw, *plain, ad[32];

    if (!tn__text_sealed(text)) {
        *out = text;
        return TN_OK;
    }

    *out = TN_NULL;
    k = tn__keyring_find(ring, tn_text_key(text));
    if (k == NULL) {
        return TN_E_INTERNAL;
    }

    coded = tn__sub(text, HEAD_LEN, text.n);
    raw = tn__alloc(mem, coded.n + 1);
    plain = tn__alloc(mem, coded.n + 1);

    if (raw == NULL || plain == NULL) {
        return TN_E_NOMEM;
    }

    place_hash(ad, place);

    if (!tn__b64_decode(raw, coded.n, &n, coded) || n < NONCE_LEN + TAG_LEN ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            plain, NULL, NULL, raw + NONCE_LEN, n - NONCE_LEN, ad, sizeof(ad),
            raw, k->key) != 0) {
        return TN_E_INTERNAL;
    }

    *out = (tn_str){ (char *) plain, n - NONCE_LEN - TAG_LEN };

    return TN_OK;
}
