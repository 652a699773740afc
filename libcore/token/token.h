/*
 * token/token.h: the texts by which a client says who it is: access tokens, ours
 * and others', refresh tokens, cookies, API keys. Made here, and verified
 * without a look into the database.
 */

#ifndef TN__TOKEN_H
#define TN__TOKEN_H

#include "libcore/http/http.h"

/* What a credential says that was made by us, or by whom we trust. */
typedef struct tn__claims {
    char user[TN__UUID_TEXT];
    char tenant[TN__UUID_TEXT];
    char session[TN__UUID_TEXT]; /* or the API key's id */
    int64_t generation;          /* of the secret, where it names one */
    unsigned char hash[32];      /* of an API key's secret */
    int64_t expires;             /* seconds since 1970 */
} tn__claims;

/* A UUID as claims hold it. */
static inline tn_str
tn__uuid_str(const char *uuid)
{
    return (tn_str){ uuid, TN__UUID_TEXT };
}

/* Keys, key ids, encoded headers, JWKS of a core with a key ring. */
tn_err tn__token_setup(tn_core *core);
/* Signs an access token for the op's tenant and principal. */
tn_err tn__token_sign(tn_str *out, tn_op *op, int64_t expires);
/* TN_OK, TN_E_UNAUTHENTICATED, TN_E_TOKEN_EXPIRED, TN_E_NOMEM. */
tn_err tn__token_verify(tn__claims *out, const tn_op *op, tn_str token);
/* Whether a key of ours could have made it. */
int tn__token_ours(const tn_core *core, tn_str token);

/* What a token of somebody else's says. */
typedef struct tn__external {
    tn_str issuer;
    tn_str subject;
    tn_str tenant; /* slug or id */
    tn_str email;  /* lower case; absent unless they have verified it */
    int64_t expires;
    int linking; /* a first time: the link is being written down */
} tn__external;

/* Others whose tokens are accepted: before tn__token_setup(). */
tn_err tn__issuers_setup(tn_core *core);
void tn__issuers_free(tn_core *core);
/* Verifies such a token: the errors of tn__token_verify(). */
tn_err tn__issuers_verify(tn__external *out, const tn_op *op, tn_str token);

/* The text of the API key `id` of the op's tenant with a fresh secret, and the
 * secret's hash as bytea text. */
tn_err tn__api_key_make(tn_str *key, tn_str *hash, tn_op *op, tn_str id);
/* As tn__token_verify(). */
tn_err tn__api_key_verify(tn__claims *out, const tn_op *op, tn_str text);

/* The secrets of a session (secret.c): what replaces an access token once it has
 * expired, and what a browser keeps. */
typedef enum tn__secret {
    TN__SECRET_REFRESH,
    TN__SECRET_COOKIE,
} tn__secret;

/* That of the op's session in its present generation. TN_E_NOMEM. */
tn_err tn__secret_make(tn_str *out, tn_op *op, tn__secret kind);
/* What one says that was made here. TN_OK, TN_E_UNAUTHENTICATED. */
tn_err tn__secret_open(tn__claims *out, const tn_core *core, tn__secret kind,
                       tn_str text);

/* Of browsers (cookie.c). Whether a session that is opened now is a cookie's. */
int tn__cookie_mode(const tn_op *op);
/* A cookie as a credential, before its session is looked up. */
tn_err tn__cookie_verify(tn__claims *out, const tn_op *op, tn_str text);
/* Adds the header that has the browser keep the session's secret as long as it
 * lasts (principal.lasts), or forget it (0). TN_E_NOMEM. */
tn_err tn__cookie_set(tn_op *op);
/* Whether the request may act by a cookie: not where another site's page sent
 * it. 0: the op has failed. */
int tn__cookie_admitted(tn_op *op);

/* Where what the session may do changes: adds a statement to the batch that
 * replaces the secret of a cookie's session, and, once the batch was answered,
 * tells the browser the new one. The old one is good for nothing from then on:
 * let the endpoint say `changes_access`. It is replaced only behind a change that
 * has written the op's event (:event_id). `i` is the statement's place in the
 * batch. */
void tn__session_rotate(tn_op *op);
void tn__session_rotated(tn_op *op, const tn_input *input, unsigned i);

#endif
