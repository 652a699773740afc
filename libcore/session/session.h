/*
 * session/session.h: sessions as they are opened, renewed, listed and ended.
 */

#ifndef TN__SESSION_H
#define TN__SESSION_H

#include "libcore/identity/identity.h"

extern const tn__slice tn__sessions_slice;

/* Who and where, as sign-up, login and the like answer them. */
#define TN__USER_FIELDS    3
#define TN__TENANT_FIELDS  3
#define TN__SESSION_FIELDS 7
extern const tn__field tn__user_fields[TN__USER_FIELDS];
extern const tn__field tn__tenant_fields[TN__TENANT_FIELDS];
/* What a login answers: the output of endpoints that finish with
 * tn__respond_session(). */
extern const tn__field tn__session_fields[TN__SESSION_FIELDS];

void tn__step_refresh(tn_op *op, const tn_input *input);
/* refresh_state has found that a token is a copy: has the op's session dead on
 * this node. Then tn__access_void(), until nothing is left. */
void tn__refresh_reused(tn_op *op, const tn_rows *rows);

/* Binds what {{session_row}} (schema/queries/sessions.sql) says of a new session
 * of the op's principal; 0 when the op has failed. A step may say more:
 * :session_mfa, :session_end, :session_family. */
int tn__open_session(tn_op *op);
/* Behind {{new_session}}: notes which sessions had to go for it, the last column
 * of its statement, so that they are dead on this node, too. */
void tn__session_crowded(tn_op *op, const tn_rows *rows);
/* What tells, in a body, that who asks has the session: binds
 * :refresh_generation for {{proof}}, of the cookie or of the refresh token. 0
 * when it shows nothing, and the op has failed. The field is one that .proves. */
#define TN__PROOF_FIELD                                                        \
    {                                                                          \
        .name = TN_STR_C("refresh_token"), .type = TN__TYPE_TEXT, .create = 1, \
        .proves = 1, .has_max = 1, .max = 200,                                 \
        .about = TN_STR_C("Of the session that asks, which it proves: "        \
                          "required unless that is a cookie's. It stays "      \
                          "good")                                              \
    }
int tn__prove_session(tn_op *op, tn_str refresh_token);
void tn__unproven(tn_op *op);

/* Finishes with what login answers: tokens of that session, or its cookie. */
void
tn__respond_session(tn_op *op, tn_str email, tn_str name, tn_str tenant_name);

/* The same for a session in which the op's principal acts as another tenant's
 * user. */
void tn__respond_impersonation(tn_op *op, tn_str tenant_id, tn_str slug,
                               tn_str tenant_name, tn_str user, tn_str email,
                               tn_str name, tn_str session);

#define TN__CHALLENGE_TTL 300 /* seconds */
/* The same where the second factor is still to come: no session, but a token
 * for it. op->principal is nobody yet. */
void tn__respond_challenge(tn_op *op, tn_str user_id, tn_str email, tn_str name,
                           tn_str tenant_name, tn_str mfa_token);

#endif
