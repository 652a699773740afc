/*
 * secret.c: refresh tokens and cookies. They lie nowhere: one is the ids of
 * tenant and session, the generation of the session's secret, and a MAC over
 * them under the core's secret. So a forged one is never looked up, a right one
 * names its session, and who reads the database has none.
 *
 * A session has one secret at a time: the one of the generation that its row
 * says. What an older one is worth is for whoever opens it to say.
 */

#include "libcore/token/token.h"

#include <sodium.h>

#define ID_LEN         16
#define GENERATION_LEN 4
#define NAMES_LEN      (2 * ID_LEN + GENERATION_LEN)
#define MAC_LEN        16
#define RAW_LEN        (NAMES_LEN + MAC_LEN)

/* The prefix tells what it is to who finds one in a log or a repository. */
static const struct {
    tn_str prefix;
    tn_str label; /* so that no MAC of one is good for the other */
} kinds[] = {
    [TN__SECRET_REFRESH] = { TN_STR_C("tnr_"), TN_STR_C("refresh") },
    [TN__SECRET_COOKIE] = { TN_STR_C("tns_"), TN_STR_C("cookie") },
};


static void
secret_mac(unsigned char mac[MAC_LEN], const tn_core *core, tn__secret kind,
           const unsigned char names[NAMES_LEN])
{
    tn_str parts[2];

    parts[0] = kinds[kind].label;
    parts[1] = (tn_str){ (const char *) names, NAMES_LEN };
    tn__mac(mac, MAC_LEN, core->conf.secret, parts, 2);
}


tn_err
tn__secret_make(tn_str *out, tn_op *op, tn__secret kind)
{
    size_t n;
    char *text;
    unsigned i;
    unsigned char raw[RAW_LEN];

    if (!tn__uuid_parse(raw, op->tenant.id) ||
        !tn__uuid_parse(raw + ID_LEN, op->principal.session)) {
        return TN_E_INTERNAL;
    }

    for (i = 0; i < GENERATION_LEN; i++) {
        raw[2 * ID_LEN + i] =
            (unsigned char) (op->principal.generation >> (8 * (3 - i)));
    }

    secret_mac(raw + NAMES_LEN, op->core, kind, raw);

    n = kinds[kind].prefix.n;
    text = tn__alloc(op->mem, n + tn__b64_size(RAW_LEN));
    if (text == NULL) {
        return TN_E_NOMEM;
    }

    memcpy(text, kinds[kind].prefix.p, n);
    n += tn__b64_encode(text + n, raw, RAW_LEN);
    *out = (tn_str){ text, n };

    return TN_OK;
}


tn_err
tn__secret_open(tn__claims *out, const tn_core *core, tn__secret kind,
                tn_str text)
{
    size_t n;
    unsigned i;
    unsigned char raw[RAW_LEN], mac[MAC_LEN];

    if (!tn__starts(text, kinds[kind].prefix) ||
        !tn__b64_decode(raw, sizeof(raw), &n,
                        tn__sub(text, kinds[kind].prefix.n, text.n)) ||
        n != RAW_LEN) {
        return TN_E_UNAUTHENTICATED;
    }

    secret_mac(mac, core, kind, raw);

    if (sodium_memcmp(mac, raw + NAMES_LEN, MAC_LEN) != 0) {
        return TN_E_UNAUTHENTICATED;
    }

    memset(out, 0, sizeof(tn__claims));
    tn__uuid_text(out->tenant, raw);
    tn__uuid_text(out->session, raw + ID_LEN);
    out->expires = INT64_MAX; /* the session's row says when */

    for (i = 0; i < GENERATION_LEN; i++) {
        out->generation = out->generation << 8 | raw[2 * ID_LEN + i];
    }

    return TN_OK;
}
