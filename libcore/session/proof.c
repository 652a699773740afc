/*
 * proof.c: what shows that who asks has the session itself. An access token may
 * leak out of a log and is over within minutes; what is made by one must not
 * outlast it: sessions elsewhere, API keys, organizations. Whoever has the
 * session has its secret: the cookie that the request came with, or the refresh
 * token in its body.
 *
 * Here it is opened. Whether it is the one in force the statement asks that makes
 * the thing, of the row and not of what the node has kept: {{proof}} in
 * schema/queries/sessions.sql.
 */

#include "libcore/session/session.h"


void
tn__unproven(tn_op *op)
{
    tn__fail(op, TN_E_UNAUTHENTICATED,
             op->principal.cookie
                 ? "This cookie was replaced: sign in again."
                 : "The refresh token is not good, not any more, or not of "
                   "this session: sign in again.");
}


static int
open_refresh_token(tn__claims *claims, tn_op *op, tn_str token)
{
    return tn__secret_open(claims, op->core, TN__SECRET_REFRESH, token) ==
               TN_OK &&
           tn__eq((tn_str){ claims->tenant, TN__UUID_TEXT }, op->tenant.id) &&
           tn__eq((tn_str){ claims->session, TN__UUID_TEXT },
                  op->principal.session);
}


int
tn__prove_session(tn_op *op, tn_str refresh_token)
{
    tn__claims claims;
    const tn__principal *p;

    p = &op->principal;

    if (p->session.p == NULL) {
        tn__fail(op, TN_E_FORBIDDEN,
                 "A token of an identity provider doesn't do for this: sign in "
                 "here, by the account's password. Where there is none yet, "
                 "auth/password/forgot sends a token to set one by.");
        return 0;
    }

    if (p->cookie) {
        tn__local_int(op, TN_STR("refresh_generation"), p->generation);
        return op->phase != TN__PHASE_DONE;
    }

    if (!open_refresh_token(&claims, op, refresh_token)) {
        tn__unproven(op);
        return 0;
    }

    tn__local_int(op, TN_STR("refresh_generation"), claims.generation);

    return op->phase != TN__PHASE_DONE;
}
