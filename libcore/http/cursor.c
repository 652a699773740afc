/*
 * cursor.c: a place in a list, sealed: MAC (16 bytes), then the value and the
 * id of the last row shown. The MAC binds tenant, endpoint and every query
 * parameter but cursor and limit, so a cursor can't be carried into another
 * list, another order or another tenant.
 */

#include "libcore/http/http.h"

#include <sodium.h>

#define MAC_LEN 16


static void
mac_str(crypto_generichash_state *state, tn_str s)
{
    uint64_t n;

    n = s.n;
    crypto_generichash_update(state, (const unsigned char *) &n, sizeof(n));
    crypto_generichash_update(state, (const unsigned char *) s.p, s.n);
}


static void
mac(unsigned char out[MAC_LEN], const tn_op *op, tn_str payload)
{
    unsigned i;
    crypto_generichash_state state;

    crypto_generichash_init(&state, op->core->conf.secret, TN_KEY_LEN, MAC_LEN);
    mac_str(&state, TN_STR("cursor"));
    mac_str(&state, op->tenant.id);
    mac_str(&state, op->endpoint->operation);

    for (i = 0; i < op->nparams; i++) {
        if (!tn__eq(op->params[i].name, TN_STR("cursor")) &&
            !tn__eq(op->params[i].name, TN_STR("limit"))) {
            mac_str(&state, op->params[i].name);
            mac_str(&state, op->params[i].value);
        }
    }

    mac_str(&state, payload);
    crypto_generichash_final(&state, out, MAC_LEN);
}


tn_err
tn__cursor_seal(tn_str *out, tn_op *op, tn_str value, tn_str id)
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
    mac(raw, op, (tn_str){ (char *) raw + MAC_LEN, n - MAC_LEN });

    out->p = text;
    out->n = tn__b64_encode(text, raw, n);

    return TN_OK;
}


tn_err
tn__cursor_open(tn_str *value, tn_str *id, tn_op *op, tn_str cursor)
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

    mac(expected, op, (tn_str){ (char *) raw + MAC_LEN, n - MAC_LEN });

    if (sodium_memcmp(expected, raw, MAC_LEN) != 0) {
        return TN_E_INVALID_CURSOR;
    }

    *id = (tn_str){ (char *) raw + MAC_LEN, TN__UUID_TEXT };
    *value = (tn_str){ (char *) raw + MAC_LEN + TN__UUID_TEXT,
                       n - MAC_LEN - TN__UUID_TEXT };

    return TN_OK;
}
