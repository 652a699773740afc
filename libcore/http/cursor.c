/*
 * cursor.c: a place in a list, sealed: MAC (16 bytes), then the value and the
 * id of the last row shown. The MAC binds tenant, endpoint and what decides the
 * list (`binding`: filters and order), so a cursor can't be carried into another
 * list, another order or another tenant.
 */

#include "libcore/http/http.h"

#include <sodium.h>

#define MAC_LEN 16


static void
mac(unsigned char out[MAC_LEN], const tn_op *op, tn_str binding, tn_str payload)
{
    tn_str parts[5];

    parts[0] = TN_STR("cursor");
    parts[1] = op->tenant.id;
    parts[2] = op->endpoint->operation;
    parts[3] = binding;
    parts[4] = payload;
    tn__mac(out, MAC_LEN, op->core->conf.secret, parts, 5);
}


tn_err
tn__cursor_seal(tn_str *out, tn_op *op, tn_str binding, tn_str value, tn_str id)
{
    char *text;
    size_t n;
    unsigned char *raw;

    n = MAC_LEN + id.n + value.n;
    raw = tn__alloc(op->mem, n);
    text = tn__alloc(op->mem, tn__b64_size(n));

    if (raw == NULL || text == NULL) {
        return TN_E_NOMEM;
    }

    memcpy(raw + MAC_LEN, id.p, id.n);
    memcpy(raw + MAC_LEN + id.n, value.p, value.n);
    mac(raw, op, binding, (tn_str){ (char *) raw + MAC_LEN, n - MAC_LEN });

    out->p = text;
    out->n = tn__b64_encode(text, raw, n);

    return TN_OK;
}


tn_err
tn__cursor_open(tn_str *value, tn_str *id, tn_op *op, tn_str binding,
                tn_str cursor)
{
    size_t n;
    unsigned char *raw, expected[MAC_LEN];

    raw = tn__alloc(op->mem, cursor.n + 1);
    if (raw == NULL) {
        return TN_E_NOMEM;
    }

    if (!tn__b64_decode(raw, cursor.n, &n, cursor) ||
        n < MAC_LEN + TN__UUID_TEXT) {
        return TN_E_INVALID_CURSOR;
    }

    mac(expected, op, binding, (tn_str){ (char *) raw + MAC_LEN, n - MAC_LEN });

    if (sodium_memcmp(expected, raw, MAC_LEN) != 0) {
        return TN_E_INVALID_CURSOR;
    }

    *id = (tn_str){ (char *) raw + MAC_LEN, TN__UUID_TEXT };
    *value = (tn_str){ (char *) raw + MAC_LEN + TN__UUID_TEXT,
                       n - MAC_LEN - TN__UUID_TEXT };

    return TN_OK;
}
