/*
 * secrets.c: the secrets of a sender, from a file's text.
 */

#include "libcore/webhook/webhook.h"

#include <sodium.h>

#define KEY_MIN 16 /* bytes: what is shorter is no secret */


/* What base64 says, with its padding; 0 when it is something else or not of so
 * many bytes. */
static int
decode(tn_webhook_key *key, tn_str text, size_t min, size_t max)
{
    return sodium_base642bin(key->bytes, sizeof(key->bytes), text.p, text.n,
                             NULL, &key->n, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           key->n >= min && key->n <= max;
}


static int
copy(tn_webhook_key *key, tn_str text)
{
    if (text.n < KEY_MIN || text.n > sizeof(key->bytes)) {
        return 0;
    }

    memcpy(key->bytes, text.p, text.n);
    key->n = text.n;

    return 1;
}


static const char *
read_key(tn_webhook_key *key, tn_webhook_scheme scheme, tn_str line)
{
    tn_str whsec, whpk;

    whsec = TN_STR("whsec_");
    whpk = TN_STR("whpk_");

    switch (scheme) {

    case TN_WEBHOOK_STRIPE:
        if (!tn__starts(line, whsec)) {
            return "is no signing secret: those of Stripe begin with "
                   "\"whsec_\"";
        }
        return line.n >= whsec.n + KEY_MIN && copy(key, line)
                   ? NULL
                   : "is not as long as a signing secret of Stripe's is";

    case TN_WEBHOOK_STANDARD:
        if (tn__starts(line, whpk)) {
            key->verifies = 1;
            return decode(key, tn__sub(line, whpk.n, line.n),
                          crypto_sign_PUBLICKEYBYTES,
                          crypto_sign_PUBLICKEYBYTES)
                       ? NULL
                       : "is no Ed25519 key in base64 behind \"whpk_\"";
        }
        return tn__starts(line, whsec) &&
                       decode(key, tn__sub(line, whsec.n, line.n), KEY_MIN,
                              sizeof(key->bytes))
                   ? NULL
                   : "is not 16 to 128 bytes in base64 behind \"whsec_\"";

    case TN_WEBHOOK_SLACK:
        break;
    }

    return copy(key, line) ? NULL : "is not 16 to 128 characters long";
}


static int
known(const tn_webhook_secrets *secrets, const tn_webhook_key *key)
{
    unsigned i;

    for (i = 0; i < secrets->n; i++) {
        if (secrets->keys[i].n == key->n &&
            sodium_memcmp(secrets->keys[i].bytes, key->bytes, key->n) == 0) {
            return 1;
        }
    }

    return 0;
}


static const char *
take_line(tn_webhook_secrets *out, tn_str line)
{
    size_t i;
    const char *fault;
    tn_webhook_key *key;

    if (line.n == 0) {
        return out->n ? "is empty" : "there is no secret";
    }

    for (i = 0; i < line.n; i++) {
        if (line.p[i] <= ' ' || line.p[i] > '~') {
            return "holds a blank, or a character that is in no secret";
        }
    }

    if (out->n == TN_WEBHOOK_SECRETS_MAX) {
        return "is one more than the 4 secrets that there may be";
    }

    key = &out->keys[out->n];
    fault = read_key(key, out->scheme, line);

    if (fault == NULL && known(out, key)) {
        return "is there twice";
    }

    out->n += fault == NULL;

    return fault;
}


int
tn_webhook_secrets_parse(tn_webhook_secrets *out, unsigned *line,
                         const char **fault, tn_webhook_scheme scheme,
                         tn_str text)
{
    memset(out, 0, sizeof(*out));
    out->scheme = scheme;
    *line = 0;
    *fault = NULL;

    if (text.n && text.p[text.n - 1] == '\n') {
        text.n--;
    }

    do {
        (*line)++;
        *fault = take_line(out, tn__split(&text, '\n'));
    } while (*fault == NULL && text.p);

    if (*fault) {
        sodium_memzero(out, sizeof(*out));
        return 0;
    }

    return 1;
}
