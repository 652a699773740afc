/*
 * webhook.h: who sent a webhook that came in: a signature over the raw bytes of
 * its body, made with a secret that both sides know. Pure: nothing here reads
 * the body, a clock or a file.
 *
 *     tn_webhook_secrets_parse(&secrets, &line, &fault, scheme, text);
 *     tn_webhook_verify(&verdict, &secrets, headers, n, body, now, mem);
 *
 * Verify before anything else looks at the body: what is not signed is bytes of
 * a stranger's.
 */

#ifndef TENON_WEBHOOK_H
#define TENON_WEBHOOK_H

#include <tenon/op.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tn_webhook_scheme {
    TN_WEBHOOK_STRIPE,   /* Stripe-Signature: t=TIME,v1=HEX,…: the HMAC-SHA256
                          * of TIME.BODY; other schemes in it (v0) don't count */
    TN_WEBHOOK_STANDARD, /* Standard Webhooks: webhook-id, webhook-timestamp,
                          * webhook-signature: v1,BASE64 (HMAC-SHA256 of
                          * ID.TIME.BODY) or v1a,BASE64 (Ed25519), with blanks
                          * between; or the same three named svix-… */
    TN_WEBHOOK_SLACK,    /* X-Slack-Request-Timestamp; X-Slack-Signature:
                          * v0=HEX, the HMAC-SHA256 of v0:TIME:BODY */
} tn_webhook_scheme;

/* Signatures of this many seconds ago, or ahead, still count. */
#define TN_WEBHOOK_TOLERANCE 300

#define TN_WEBHOOK_SECRETS_MAX 4
#define TN_WEBHOOK_KEY_MAX     128 /* bytes */

typedef struct tn_webhook_key {
    unsigned char bytes[TN_WEBHOOK_KEY_MAX];
    size_t n;
    unsigned verifies : 1; /* Ed25519: the public half, for v1a */
} tn_webhook_key;

/* All of them count, so that a secret can be changed without a gap. Wipe it
 * when it goes. */
typedef struct tn_webhook_secrets {
    tn_webhook_scheme scheme;
    tn_webhook_key keys[TN_WEBHOOK_SECRETS_MAX];
    unsigned n; /* 0: none are known, nothing verifies */
} tn_webhook_secrets;

/*
 * Reads a file's text: a secret a line, as the sender shows it. Stripe's and
 * those of Standard Webhooks begin with "whsec_", the latter's public keys with
 * "whpk_". 0 when it isn't such a text, or holds no secret: *fault says what is
 * wrong in which *line, from 1, and *out is wiped.
 */
TN_API int tn_webhook_secrets_parse(tn_webhook_secrets *out, unsigned *line,
                                    const char **fault,
                                    tn_webhook_scheme scheme, tn_str text);

typedef enum tn_webhook_verdict {
    TN_WEBHOOK_GOOD,      /* one of the signatures is of one of the secrets */
    TN_WEBHOOK_UNSIGNED,  /* a header that is needed is absent, or there twice */
    TN_WEBHOOK_MALFORMED, /* they aren't of that scheme's form */
    TN_WEBHOOK_STALE,     /* made too long ago, or for too far ahead; whether
                           * it is right isn't looked at */
    TN_WEBHOOK_FORGED,    /* of other bytes, or by none of the secrets */
} tn_webhook_verdict;

/* Who stands behind `body`, at `now` (microseconds since 1970). Signatures are
 * compared in constant time. TN_E_NOMEM: *verdict says nothing good. */
TN_API tn_err tn_webhook_verify(tn_webhook_verdict *verdict,
                                const tn_webhook_secrets *secrets,
                                const tn_header *headers, unsigned nheaders,
                                tn_str body, int64_t now, tn_mem *mem);

#ifdef __cplusplus
}
#endif

#endif
