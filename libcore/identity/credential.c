/*
 * credential.c: what a request shows to say who asks. Each kind is verified into
 * claims without a look into the database, so that a forged one never gets
 * there, and then names a look-up.
 *
 * A further kind: a line in tn__credential_kind, a row here, and the form by
 * which tn__credential_read() tells it from the others.
 */

#include "libcore/identity/resolve.h"
#include "gen/queries.h"

#define TOKEN_TTL   300000 /* ms */
#define UNKNOWN_TTL 1000


const tn__credential tn__credentials[TN__CREDENTIALS] = {
    [TN__CREDENTIAL_ACCESS] = { .verify = tn__token_verify,
                                .find = &tn__q_find_session,
                                .kept = 1 },
    [TN__CREDENTIAL_EXTERNAL] = { .find = &tn__q_find_identity, .kept = 1 },
    [TN__CREDENTIAL_COOKIE] = { .verify = tn__cookie_verify,
                                .find = &tn__q_find_cookie,
                                .secret = 1 },
    [TN__CREDENTIAL_API_KEY] = { .verify = tn__api_key_verify,
                                 .find = &tn__q_find_api_key,
                                 .scoped = 1 },
};


/* A header is the client's own word, a cookie may be the browser's: where both
 * are sent, the header is meant. */
void
tn__credential_read(const tn_op *op, tn__resolver *r)
{
    tn_str scheme, value;

    r->token_err = TN_E_UNAUTHENTICATED;

    if (op->authorization.p == NULL) {
        if (op->cookie.n) {
            r->token = op->cookie;
            r->kind = TN__CREDENTIAL_COOKIE;
        }
        return;
    }

    value = op->authorization;
    scheme = tn__split(&value, ' ');

    if (tn__eqi(scheme, TN_STR("bearer")) && value.p) {
        r->token = tn__trim(value);
        r->kind = tn__starts(r->token, TN_STR("tnk_")) ? TN__CREDENTIAL_API_KEY
                  : op->core->nissuers && !tn__token_ours(op->core, r->token)
                      ? TN__CREDENTIAL_EXTERNAL
                      : TN__CREDENTIAL_ACCESS;
    }
}


/* Claims are plain data and go into the zone as they lie in memory: the zone
 * lives no longer than the binary that laid them so. */
int
tn__claims_cached(tn_op *op, tn__resolver *r, tn_str value)
{
    if (tn__eq(value, TN__ZONE_NOBODY)) {
        r->token_err = TN_E_UNAUTHENTICATED;
        return 1;
    }

    if (value.p == NULL || value.n != sizeof(tn__claims)) {
        return 0;
    }

    memcpy(&r->claims, value.p, sizeof(tn__claims));
    r->token_err = r->claims.expires > op->request->now / 1000000
                       ? TN_OK
                       : TN_E_TOKEN_EXPIRED;

    return 1;
}


void
tn__claims_keep(tn_op *op, const tn__resolver *r, unsigned *n)
{
    int64_t left;
    tn_zone_cmd *cmd;

    cmd = &op->zone[(*n)++];
    tn__zone_key(cmd, TN_ZONE_ADD, op, TN_STR("token"), r->token,
                 op->core->verifier);

    if (r->token_err != TN_OK) {
        cmd->value = TN__ZONE_NOBODY;
        cmd->ttl_ms = UNKNOWN_TTL;
        return;
    }

    left = (r->claims.expires - op->request->now / 1000000) * 1000;
    cmd->value = (tn_str){ (char *) &r->claims, sizeof(tn__claims) };
    cmd->ttl_ms = (uint32_t) (left < TOKEN_TTL ? left : TOKEN_TTL);
}
