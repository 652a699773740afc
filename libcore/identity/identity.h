/*
 * identity/identity.h: who asks, of which tenant; sign-up, login, logout.
 */

#ifndef TN__IDENTITY_H
#define TN__IDENTITY_H

#include "libcore/http/http.h"

extern const tn__slice tn__identity_slice;

/* ASCII on both sides of the @: what a mail server takes, and what folds to
 * lower case the same way everywhere. */
#define TN__EMAIL_PATTERN "^[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,189}\\z"
/* A host's label: no UUID (Tenon-Tenant takes ids as well) and no "xn--". */
#define TN__SLUG_PATTERN                    \
    "^(?![0-9a-f]{8}-[0-9a-f]{4}-)(?!..--)" \
    "[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])\\z"

/* The platform's roles: what a member or an invitation may be given. */
#define TN__ROLES 3
extern const tn_str tn__role_names[TN__ROLES];

/* What a tenant can be. */
#define TN__TENANT_STATES 2
extern const tn_str tn__tenant_states[TN__TENANT_STATES];

/* Who and where, as sign-up, login and the like answer them. */
#define TN__USER_FIELDS    3
#define TN__TENANT_FIELDS  3
#define TN__SESSION_FIELDS 6
extern const tn__field tn__user_fields[TN__USER_FIELDS];
extern const tn__field tn__tenant_fields[TN__TENANT_FIELDS];
/* What a login answers: the output of endpoints that finish with
 * tn__respond_session(). */
extern const tn__field tn__session_fields[TN__SESSION_FIELDS];

/* What a verified access token says. */
typedef struct tn__claims {
    char user[TN__UUID_TEXT];
    char tenant[TN__UUID_TEXT];
    char session[TN__UUID_TEXT];
    int64_t expires; /* seconds since 1970 */
} tn__claims;

/* Keys, key id, encoded header, JWKS of a core with a signing seed. */
tn_err tn__token_setup(tn_core *core);
/* Signs an access token for the op's tenant and principal. */
tn_err tn__token_sign(tn_str *out, tn_op *op, int64_t expires);
/* TN_OK, TN_E_UNAUTHENTICATED, TN_E_TOKEN_EXPIRED, TN_E_NOMEM. */
tn_err tn__token_verify(tn__claims *out, const tn_op *op, tn_str token);

/* Finds tenant and principal. Called until it returns 1 (both are settled as
 * far as the endpoint needs them) or the op has failed or wishes. */
int tn__resolve(tn_op *op, const tn_input *input);
/* A tenant from a row that begins tenant_id, realm_id, slug, name, status. */
tn_err tn__tenant_row(tn__tenant *tenant, tn_op *op, const tn_rows *rows);
/* For an endpoint that is served without a tenant, too: adds the look-up of the
 * one that host or header names to the batch. 1: it is added; 0: none is named,
 * or the op has failed, since no tenant could have that name. */
int tn__batch_named_tenant(tn_op *op);
/* Whether host and header name the op's tenant, or none at all. */
int tn__tenant_agrees(const tn_op *op);
/* A zone command that makes the principal's session dead on this node. */
void tn__session_tombstone(tn_op *op, tn_zone_cmd *cmd);
/* One that has every session of the tenant looked up anew on this node: run it
 * behind a change of members, roles or the tenant, before it is answered. One
 * for each op at a time: the command's value lies in the op. */
void tn__access_changed(tn_op *op, tn_zone_cmd *cmd, tn_str tenant_id);
/* Two by which the op's tenant is found no more on this node. */
void tn__tenant_gone(tn_op *op, tn_zone_cmd cmds[2]);

void tn__step_signup(tn_op *op, const tn_input *input);
void tn__step_login(tn_op *op, const tn_input *input);
void tn__step_logout(tn_op *op, const tn_input *input);

/* Binds :session_id and :session_ttl of a new session of the op's principal; 0
 * when the op has failed. */
int tn__open_session(tn_op *op);
/* A password was wrong. Binds the attempt row of the address; wishes for the
 * count of failures; writes the row down with that count, and an event where
 * so many are worth one. The event names a user only of this tenant. */
void tn__bind_attempt(tn_op *op, tn_str email);
void tn__count_failure(tn_op *op);
void tn__write_failure(tn_op *op, tn_str user_id, tn_str count);
/* Finishes with what login answers: a token of that session. */
void
tn__respond_session(tn_op *op, tn_str email, tn_str name, tn_str tenant_name);

/* A job for op->job; 0 when the op has failed. `hash` absent: HASH. */
int tn__want_password(tn_op *op, tn_str password, tn_str hash);

#endif
