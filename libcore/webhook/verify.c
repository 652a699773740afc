/*
 * verify.c: signatures over a body's raw bytes, as Stripe, Standard Webhooks
 * (https://www.standardwebhooks.com) and Slack make them.
 *
 * Each scheme reads its headers into what was signed, when, and the signatures
 * as text. Ours are made in the same text and compared as a whole: so there is
 * one spelling of each, and a changed bit anywhere is another signature.
 */

#include "libcore/webhook/webhook.h"

#include <sodium.h>

#define SIGNATURES_MAX \
    16                   /* how many there are says the sender; more are
                            * passed over */
#define VERIFIED_MAX 4   /* each costs a hash over the body */
#define ID_MAX       255 /* bytes */
#define TIME_MAX     12  /* digits */
#define PARTS_MAX    5

#define MAC    crypto_auth_hmacsha256_BYTES
#define HEX    (2 * MAC)
#define BASE64 sodium_base64_ENCODED_LEN(MAC, sodium_base64_VARIANT_ORIGINAL)

/* Characters of an Ed25519 signature. */
#define ED25519                                                  \
    (sodium_base64_ENCODED_LEN(crypto_sign_BYTES,                \
                               sodium_base64_VARIANT_ORIGINAL) - \
     1)

typedef struct claim {
    tn_str parts[PARTS_MAX]; /* what was signed, one behind the other */
    unsigned nparts;
    tn_str time;
    unsigned named;                    /* signatures that there are… */
    tn_str signatures[SIGNATURES_MAX]; /* …and those that may be right */
    unsigned n;
    tn_str verified[VERIFIED_MAX]; /* those of Ed25519 */
    unsigned nverified;
} claim;


/* The value of a header that may be there once; 0 when it isn't. */
static int
header(tn_str *value, const tn_header *headers, unsigned n, tn_str name)
{
    unsigned i, found;

    for (i = 0, found = 0; i < n; i++) {
        if (tn__eqi(headers[i].name, name)) {
            *value = headers[i].value;
            found++;
        }
    }

    return found == 1;
}


/* As sodium_bin2hex() writes it. */
static int
is_hex(tn_str text)
{
    size_t i;

    for (i = 0; i < text.n; i++) {
        if (!((text.p[i] >= '0' && text.p[i] <= '9') ||
              (text.p[i] >= 'a' && text.p[i] <= 'f'))) {
            return 0;
        }
    }

    return text.n == HEX;
}


/* What can't be right is put aside before anything is hashed for it. */
static void
add(claim *c, tn_str text, int possible)
{
    c->named++;

    if (possible && c->n < SIGNATURES_MAX) {
        c->signatures[c->n++] = text;
    }
}


static void
add_verified(claim *c, tn_str text)
{
    c->named++;

    if (text.n == ED25519 && c->nverified < VERIFIED_MAX) {
        c->verified[c->nverified++] = text;
    }
}


static void
sign_over(claim *c, tn_str part)
{
    c->parts[c->nparts++] = part;
}


static tn_webhook_verdict
read_stripe(claim *c, const tn_header *headers, unsigned n)
{
    tn_str rest, name, value;

    if (!header(&rest, headers, n, TN_STR("stripe-signature"))) {
        return TN_WEBHOOK_UNSIGNED;
    }

    while (rest.p) {
        value = tn__split(&rest, ',');
        name = tn__split(&value, '=');

        if (value.p == NULL) {
            return TN_WEBHOOK_MALFORMED;
        }

        if (tn__eq(name, TN_STR("t"))) {
            if (c->time.p) {
                return TN_WEBHOOK_MALFORMED;
            }
            c->time = value;

        } else if (tn__eq(name, TN_STR("v1"))) {
            add(c, value, is_hex(value));
        }
    }

    sign_over(c, c->time);
    sign_over(c, TN_STR("."));

    return TN_WEBHOOK_GOOD;
}


/* The three of one family; of svix- where the sender hasn't the others. */
static int
standard_headers(tn_str out[3], const tn_header *headers, unsigned n)
{
    unsigned i, k;
    static const tn_str names[2][3] = {
        { TN_STR_C("webhook-id"), TN_STR_C("webhook-timestamp"),
          TN_STR_C("webhook-signature") },
        { TN_STR_C("svix-id"), TN_STR_C("svix-timestamp"),
          TN_STR_C("svix-signature") },
    };

    for (i = 0; i < 2; i++) {
        for (k = 0; k < 3 && header(&out[k], headers, n, names[i][k]); k++) {
            /* void */
        }

        if (k == 3) {
            return 1;
        }
    }

    return 0;
}


static tn_webhook_verdict
read_standard(claim *c, const tn_header *headers, unsigned n)
{
    tn_str given[3], rest, name, value;

    if (!standard_headers(given, headers, n)) {
        return TN_WEBHOOK_UNSIGNED;
    }

    /* with a dot in it, one text could be of two pairs of id and time */
    if (given[0].n == 0 || given[0].n > ID_MAX ||
        memchr(given[0].p, '.', given[0].n)) {
        return TN_WEBHOOK_MALFORMED;
    }

    rest = given[2];

    while (rest.p) {
        value = tn__split(&rest, ' ');
        name = tn__split(&value, ',');

        if (value.p == NULL) {
            return TN_WEBHOOK_MALFORMED;
        }

        if (tn__eq(name, TN_STR("v1"))) {
            add(c, value, value.n == BASE64 - 1);
        } else if (tn__eq(name, TN_STR("v1a"))) {
            add_verified(c, value);
        }
    }

    c->time = given[1];
    sign_over(c, given[0]);
    sign_over(c, TN_STR("."));
    sign_over(c, c->time);
    sign_over(c, TN_STR("."));

    return TN_WEBHOOK_GOOD;
}


static tn_webhook_verdict
read_slack(claim *c, const tn_header *headers, unsigned n)
{
    tn_str signature, version;

    if (!header(&c->time, headers, n, TN_STR("x-slack-request-timestamp")) ||
        !header(&signature, headers, n, TN_STR("x-slack-signature"))) {
        return TN_WEBHOOK_UNSIGNED;
    }

    version = tn__split(&signature, '=');

    if (!tn__eq(version, TN_STR("v0")) || signature.p == NULL) {
        return TN_WEBHOOK_MALFORMED;
    }

    add(c, signature, is_hex(signature));
    sign_over(c, TN_STR("v0:"));
    sign_over(c, c->time);
    sign_over(c, TN_STR(":"));

    return TN_WEBHOOK_GOOD;
}


/* Digits alone; 0: it is none. */
static int
read_time(int64_t *seconds, tn_str text)
{
    size_t i;

    if (text.n == 0 || text.n > TIME_MAX) {
        return 0;
    }

    for (i = 0, *seconds = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return 0;
        }
        *seconds = *seconds * 10 + (text.p[i] - '0');
    }

    return 1;
}


/* The signature that a key makes, as the scheme writes it. */
static size_t
make(char *text, size_t size, const claim *c, const tn_webhook_key *key,
     tn_webhook_scheme scheme)
{
    unsigned i;
    unsigned char mac[MAC];
    crypto_auth_hmacsha256_state state;

    crypto_auth_hmacsha256_init(&state, key->bytes, key->n);

    for (i = 0; i < c->nparts; i++) {
        crypto_auth_hmacsha256_update(
            &state, (const unsigned char *) c->parts[i].p, c->parts[i].n);
    }

    crypto_auth_hmacsha256_final(&state, mac);

    if (scheme == TN_WEBHOOK_STANDARD) {
        sodium_bin2base64(text, size, mac, MAC, sodium_base64_VARIANT_ORIGINAL);
    } else {
        sodium_bin2hex(text, size, mac, MAC);
    }

    sodium_memzero(mac, sizeof(mac));
    sodium_memzero(&state, sizeof(state));

    return strlen(text);
}


static int
macs_match(const claim *c, const tn_webhook_key *key, tn_webhook_scheme scheme)
{
    int good;
    size_t n;
    unsigned i;
    char text[HEX + BASE64];

    good = 0;
    n = make(text, sizeof(text), c, key, scheme);

    for (i = 0; i < c->n; i++) {
        good |= c->signatures[i].n == n &&
                sodium_memcmp(c->signatures[i].p, text, n) == 0;
    }

    sodium_memzero(text, sizeof(text));

    return good;
}


static int
ed25519_match(const claim *c, const tn_webhook_key *key, tn_str message)
{
    int good;
    size_t n;
    unsigned i;
    unsigned char signature[crypto_sign_BYTES];

    for (i = 0, good = 0; i < c->nverified; i++) {
        good |= sodium_base642bin(signature, sizeof(signature),
                                  c->verified[i].p, c->verified[i].n, NULL, &n,
                                  NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
                n == sizeof(signature) &&
                crypto_sign_verify_detached(signature,
                                            (const unsigned char *) message.p,
                                            message.n, key->bytes) == 0;
    }

    return good;
}


/* Every secret against every signature, whether or not one was right; but for
 * those of the other sort. */
static tn_err
judge(tn_webhook_verdict *verdict, const tn_webhook_secrets *secrets,
      const claim *c, tn_mem *mem)
{
    int good;
    unsigned i;
    tn_str message;

    good = 0;
    message = TN_NULL;

    for (i = 0; i < secrets->n; i++) {
        if (!secrets->keys[i].verifies) {
            good |= c->n && macs_match(c, &secrets->keys[i], secrets->scheme);
            continue;
        }

        if (c->nverified == 0) {
            continue;
        }

        if (message.p == NULL &&
            tn__cat(&message, c->parts, c->nparts, mem) != TN_OK) {
            return TN_E_NOMEM;
        }

        good |= ed25519_match(c, &secrets->keys[i], message);
    }

    *verdict = good ? TN_WEBHOOK_GOOD : TN_WEBHOOK_FORGED;

    return TN_OK;
}


tn_err
tn_webhook_verify(tn_webhook_verdict *verdict,
                  const tn_webhook_secrets *secrets, const tn_header *headers,
                  unsigned nheaders, tn_str body, int64_t now, tn_mem *mem)
{
    claim c;
    int64_t seconds, age;
    tn_webhook_verdict said;
    static tn_webhook_verdict (*const readers[])(claim *, const tn_header *,
                                                 unsigned) = {
        [TN_WEBHOOK_STRIPE] = read_stripe,
        [TN_WEBHOOK_STANDARD] = read_standard,
        [TN_WEBHOOK_SLACK] = read_slack,
    };

    memset(&c, 0, sizeof(c));
    *verdict = TN_WEBHOOK_FORGED;

    said = readers[secrets->scheme](&c, headers, nheaders);

    if (said != TN_WEBHOOK_GOOD) {
        *verdict = said;
        return TN_OK;
    }

    if (!read_time(&seconds, c.time) || c.named == 0) {
        *verdict = TN_WEBHOOK_MALFORMED;
        return TN_OK;
    }

    age = now / 1000000 - seconds;

    if (age > TN_WEBHOOK_TOLERANCE || age < -TN_WEBHOOK_TOLERANCE) {
        *verdict = TN_WEBHOOK_STALE;
        return TN_OK;
    }

    sign_over(&c, body);

    return judge(verdict, secrets, &c, mem);
}
