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


/*
 * One hash over all parts, for a call of it costs as much as forty bytes. A part
 * begins with its length; of a long one, which begins with a byte that is no
 * length, there is its hash.
 */
#define SHORT 48

void
tn__siphash(unsigned char out[16], const unsigned char key[16],
            const tn_str *parts, unsigned n)
{
    unsigned i;
    unsigned char *p, text[TN__SIPHASH_PARTS * (1 + SHORT)];

    p = text;

    for (i = 0; i < n && i < TN__SIPHASH_PARTS; i++) {
        if (parts[i].n > SHORT) {
            *p++ = SHORT + 1;
            crypto_shorthash_siphashx24(p, (const unsigned char *) parts[i].p,
                                        parts[i].n, key);
            p += crypto_shorthash_siphashx24_BYTES;

        } else {
            *p++ = (unsigned char) parts[i].n;

            if (parts[i].n) {
                memcpy(p, parts[i].p, parts[i].n);
                p += parts[i].n;
            }
        }
    }

    crypto_shorthash_siphashx24(out, text, (size_t) (p - text), key);
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
