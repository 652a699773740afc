/*
 * idempotency.c: requests that may come twice (Idempotency-Key; IETF
 * draft-ietf-httpapi-idempotency-key-header-07, and Stripe's habits).
 *
 * The key is bound to tenant, actor, method and path by a MAC, so nobody meets
 * another's. What a request did is kept by the statement that did it; a second
 * one with the same body is answered from there, byte for byte, one with
 * another body refused, and one that comes while the first is at work told so
 * at once: nobody waits. A request that was refused did nothing and keeps
 * nothing: it may be mended and sent again.
 */

#include "libcore/http/http.h"

#define KEY_MAX 255


/* Bare, or a quoted string (RFC 8941): its text in *out; 0 if it is neither. */
static int
unquote(tn_str *out, tn_str key, tn_mem *mem)
{
    size_t i, n;
    char *text;

    text = tn__alloc(mem, key.n + 1);
    if (text == NULL) {
        return -1;
    }

    if (key.n && key.p[0] == '"') {
        if (key.n < 2 || key.p[key.n - 1] != '"') {
            return 0;
        }
        key = tn__sub(key, 1, key.n - 1);

        for (i = n = 0; i < key.n; i++) {
            if (key.p[i] == '"' || (key.p[i] == '\\' && ++i == key.n)) {
                return 0;
            }
            text[n++] = key.p[i];
        }

    } else {
        memcpy(text, key.p, key.n);
        n = key.n;
    }

    for (i = 0; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return 0;
        }
    }

    *out = (tn_str){ text, n };

    return n > 0 && n <= KEY_MAX;
}


tn_err
tn__idempotency_bind(tn_op *op, const tn_str *parts, unsigned n)
{
    int64_t lock;
    tn__buf text;
    unsigned char raw[32];

    tn__mac(raw, sizeof(raw), op->core->conf.secret, parts, n);

    memcpy(&lock, raw, sizeof(lock));
    tn__buf_init(&text, op->mem, 24);
    tn__buf_int(&text, lock);

    return tn__buf_str(&op->idem_lock, &text) == TN_OK
               ? tn__bytea(&op->idem_key, raw, sizeof(raw), op->mem)
               : TN_E_NOMEM;
}


static tn_err
bind_key(tn_op *op, tn_str key)
{
    tn_str parts[7];

    parts[0] = TN_STR("idempotency");
    parts[1] = op->tenant.id;
    parts[2] = op->principal.user;
    parts[3] = op->request->method;
    parts[4] = op->request->path;
    parts[5] = key;
    parts[6] = op->principal.api_key; /* another actor than who made it */

    return tn__idempotency_bind(op, parts, parts[6].p ? 7 : 6);
}


int
tn__idempotency_begin(tn_op *op, tn_str body)
{
    int rc;
    tn_str key, parts[2];
    unsigned char hash[32];

    if (op->idempotency_header.p == NULL || op->endpoint->unkeyed ||
        tn__eq(op->endpoint->method, TN_STR("GET"))) {
        return 1;
    }

    rc = unquote(&key, op->idempotency_header, op->mem);

    if (rc == 0) {
        tn__fail(op, TN_E_MALFORMED_REQUEST,
                 "An Idempotency-Key is 1 to 255 printable ASCII characters, "
                 "bare or in double quotes.");
        return 0;
    }

    /* keyed: a body may hold a password, and a plain hash of it could be
     * guessed at by whoever reads the table */
    parts[0] = TN_STR("fingerprint");
    parts[1] = body;
    tn__mac(hash, sizeof(hash), op->core->conf.secret, parts, 2);

    if (rc < 0 || bind_key(op, key) != TN_OK ||
        tn__bytea(&op->idem_hash, hash, sizeof(hash), op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    return 1;
}


int
tn__replay(tn_op *op, const tn_rows *rows)
{
    tn_str go, fingerprint;

    if (op->idem_key.p == NULL) {
        return 0;
    }

    go = tn__cell(rows, 0, rows->ncols - 2);
    fingerprint = tn__cell(rows, 0, rows->ncols - 1);

    if (go.n == 0 || go.p[0] != 't') {
        tn__fail(op, TN_E_IDEMPOTENCY_IN_PROGRESS, NULL);
        return -1;
    }

    if (fingerprint.p == NULL) {
        return 0;
    }

    if (!tn__eq(fingerprint, op->idem_hash)) {
        tn__fail(op, TN_E_IDEMPOTENCY_MISMATCH, NULL);
        return -1;
    }

    tn__header(op, TN_STR("Idempotency-Replayed"), TN_STR("true"));

    return 1;
}
