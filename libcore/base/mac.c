/*
 * mac.c: keyed hashes, and bytes as the database writes them.
 */

#include "libcore/base/base.h"

#include <sodium.h>


void
tn__mac(unsigned char *out, size_t size, const unsigned char key[32],
        const tn_str *parts, unsigned n)
{
    unsigned i;
    uint64_t length;
    crypto_generichash_state state;

    crypto_generichash_init(&state, key, 32, size);

    for (i = 0; i < n; i++) {
        length = parts[i].n;
        crypto_generichash_update(&state, (const unsigned char *) &length,
                                  sizeof(length));
        crypto_generichash_update(&state, (const unsigned char *) parts[i].p,
                                  parts[i].n);
    }

    crypto_generichash_final(&state, out, size);
}


void
tn__siphash(unsigned char out[16], const unsigned char key[16],
            const tn_str *parts, unsigned n)
{
    unsigned i;
    unsigned char text[2 * crypto_shorthash_siphashx24_BYTES];

    /* a chain over the hashes of the parts: of one length each, so that no two
     * lists are hashed alike */

    memset(text, 0, sizeof(text));

    for (i = 0; i < n; i++) {
        crypto_shorthash_siphashx24(text + crypto_shorthash_siphashx24_BYTES,
                                    (const unsigned char *) parts[i].p,
                                    parts[i].n, key);
        crypto_shorthash_siphashx24(text, text, sizeof(text), key);
    }

    memcpy(out, text, crypto_shorthash_siphashx24_BYTES);
}


tn_err
tn__bytea(tn_str *out, const unsigned char *p, size_t n, tn_mem *mem)
{
    char *text;

    text = tn__alloc(mem, 2 + 2 * n + 1);
    if (text == NULL) {
        return TN_E_NOMEM;
    }

    memcpy(text, "\\x", 2);
    sodium_bin2hex(text + 2, 2 * n + 1, p, n);
    *out = (tn_str){ text, 2 + 2 * n };

    return TN_OK;
}
