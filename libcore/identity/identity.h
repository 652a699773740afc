/*
 * identity/identity.h: who asks, of which tenant; sign-up, login, logout.
 */

#ifndef TN__IDENTITY_H
#define TN__IDENTITY_H

#include "libcore/token/token.h"

extern const tn__slice tn__identity_slice;
extern const tn__slice tn__sessions_slice;
extern const tn__slice tn__signin_slice;

/* ASCII on both sides of the @: what a mail server takes, and what folds to
 * lower case the same way everywhere. */
#define TN__EMAIL_PATTERN "^[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,189}\\z"
/* A host's label: no UUID (Tenon-Tenant takes ids as well) and no "xn--". */
#define TN__SLUG_PATTERN                    \
    "^(?![0-9a-f]{8}-[0-9a-f]{4}-)(?!..--)" \
    "[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])\\z"

/* What a role is called, shipped or a tenant's own. */
#define TN__ROLE_PATTERN "^[a-z][a-z0-9_]{1,62}\\z"

/* What a tenant can be. */
#define TN__TENANT_STATES 2
extern const tn_str tn__tenant_states[TN__TENANT_STATES];

/* Who and where, as sign-up, login and the like answer them. */
#define TN__USER_FIELDS    3
#define TN__TENANT_FIELDS  3
#define TN__SESSION_FIELDS 7
extern const tn__field tn__user_fields[TN__USER_FIELDS];
extern const tn__field tn__tenant_fields[TN__TENANT_FIELDS];
/* What a login answers: the output of endpoints that finish with
 * tn__respond_session(). */
extern const tn__field tn__session_fields[TN__SESSION_FIELDS];

/* Finds tenant and principal. Called until it returns 1 (both are settled as
 * far as the endpoint needs them) or the op has failed or wishes. */
int tn__resolve(tn_op *op, const tn_input *input);
/* A tenant from a row that begins tenant_id, realm_id, slug, name, status. */
tn_err tn__tenant_row(tn__tenant *tenant, tn_op *op, const tn_rows *rows);
/* For an endpoint that is served without a tenant, too: adds the look-ups of
 * what host and header name to the batch, as its first. How many: 0 when they
 * name nothing, or the op has failed, since no tenant could have that name. */
unsigned tn__batch_named_tenant(tn_op *op);
/* Hears those n look-ups; 0 when the op has failed: there is no such tenant. */
int tn__named_tenant(tn_op *op, const tn_input *input, unsigned n);
/* Whether host and header name the op's tenant, or none at all; a custom
 * domain's is known once tn__named_tenant() heard it. */
int tn__tenant_agrees(const tn_op *op);
/* Whether the host itself names a tenant: another's cookie can't be set there. */
int tn__host_names_tenant(const tn_op *op);
/* A zone command that makes a session of the op's tenant dead on this node. */
void tn__session_tombstone(tn_op *op, tn_zone_cmd *cmd, tn_str session_id);
/* A zone command by which every custom domain is looked up anew on this node. */
void tn__domains_changed(tn_op *op, tn_zone_cmd *cmd);
/* One that has every session of the tenant looked up anew on this node: run it
 * behind a change of members, roles or the tenant, before it is answered. Those
 * of one wish share a value, which lies in the op. */
void tn__access_changed(tn_op *op, tn_zone_cmd *cmd, tn_str tenant_id);
/* Two by which the op's tenant is found no more on this node. */
void tn__tenant_gone(tn_op *op, tn_zone_cmd cmds[2]);

/* A role by its name: the catalogue's, or as the tenant defines it in
 * op->principal.roles; with an API key, as far as its scopes go. NULL: no such role, or the op has failed. */
const tn__role *tn__principal_role(tn_op *op, tn_str name);

/* How far the endpoint's permissions reach for the principal: op->scope,
 * also_scope, reach, sight. */
void tn__scope_find(tn_op *op);

void tn__step_refresh(tn_op *op, const tn_input *input);
void tn__step_signup(tn_op *op, const tn_input *input);
void tn__step_login(tn_op *op, const tn_input *input);
void tn__step_logout(tn_op *op, const tn_input *input);

/* Binds what {{session_row}} (schema/queries/sessions.sql) says of a new session
 * of the op's principal; 0 when the op has failed. A step may say more:
 * :session_mfa, :session_end. */
int tn__open_session(tn_op *op);
/* Finishes with what login answers: tokens of that session, or its cookie. */
void
tn__respond_session(tn_op *op, tn_str email, tn_str name, tn_str tenant_name);

/* The same for a session in which the op's principal acts as another tenant's
 * user. */
void tn__respond_impersonation(tn_op *op, tn_str tenant_id, tn_str slug,
                               tn_str tenant_name, tn_str user, tn_str email,
                               tn_str name, tn_str session);

/* The same where the second factor is still to come: no session, but a token
 * for it. op->principal is nobody yet. */
void tn__respond_challenge(tn_op *op, tn_str user_id, tn_str email, tn_str name,
                           tn_str tenant_name, tn_str mfa_token);

/* A job for op->job; 0 when the op has failed. `hash` absent: HASH. A hash that
 * was made with other parameters than the core's is renewed where the password
 * is right. */
int tn__want_password(tn_op *op, tn_str password, tn_str hash);
/* The hash that came of it, in the op's memory; fails the op where there is
 * none. */
int tn__password_hashed(tn_str *hash, tn_op *op, const tn_input *input);
/* A hash that no password has. */
tn_str tn__decoy(const tn_op *op);


/* ---- attempts (attempt.c) ---- */

/* Binds :attempt_key: the row of an address in the op's realm. */
void tn__attempt_bind(tn_op *op, tn_str email);
/* A password or a code was right, or wasn't. Wishes, and so does
 * tn__attempt_judged() in the next state, until it answers 1: it may count as
 * right. Else its failure has been written, under `action` and a user of this
 * tenant or none, and the op goes on in state `refused`. */
void tn__attempt_judge(tn_op *op, int right);
int tn__attempt_judged(tn_op *op, const tn_input *input, tn_str action,
                       tn_str user_id, unsigned refused);
/* Finishes in that state; also where the change was refused by a lock. */
void tn__attempt_refuse(tn_op *op, const tn_input *input, const char *detail);


/* ---- one-time tokens (one_time.c) ---- */

/* Opens one made for `purpose` in the op's realm; fails the op otherwise. */
int tn__one_time_open(tn_op *op, tn_str purpose, tn_str token);
/* Binds :purpose and the :one_time_id of a new one. */
void tn__one_time_new(tn_op *op, tn_str purpose);
/* Fails the op: it is none; it was one. */
void tn__one_time_forged(tn_op *op);
void tn__one_time_spent(tn_op *op);
/* Wishes to count those that are asked for, for an address (or whoever it is)
 * and from an address; then, whether this one may be made. */
void tn__one_time_count(tn_op *op, tn_str purpose, tn_str whom);
int tn__one_time_allowed(const tn_input *input);

/* Fails the op unless a person asks for themselves: neither a key of theirs nor
 * somebody acting as them. */
int tn__in_person(tn_op *op);

void tn__step_verify(tn_op *op, const tn_input *input);
void tn__step_resend(tn_op *op, const tn_input *input);
void tn__step_forgot(tn_op *op, const tn_input *input);
void tn__step_reset(tn_op *op, const tn_input *input);
void tn__step_change_password(tn_op *op, const tn_input *input);


/* ---- the second factor (totp.c, factor.c, mfa.c, challenge.c) ---- */

#define TN__TOTP_SECRET    20 /* bytes, as long as the hash: RFC 4226, 4 */
#define TN__TOTP_DIGITS    6
#define TN__RECOVERY_CODES 10

/* RFC 6238 with HMAC-SHA-1 and steps of 30 seconds; a NUL behind it. 0 when
 * libcrypto has no memory. */
int tn__totp_code(char out[TN__TOTP_DIGITS + 1],
                  const unsigned char secret[TN__TOTP_SECRET], int64_t step);
/* The step around `now` (seconds) whose code this is, or -1. */
int64_t tn__totp_match(const unsigned char secret[TN__TOTP_SECRET], tn_str code,
                       int64_t now);
/* RFC 4648, without padding; out needs (n + 4) / 5 * 8 bytes. */
size_t tn__base32(char *out, const unsigned char *p, size_t n);

/* What totp_find answers. */
typedef struct tn__factor {
    tn_str id;
    tn_str email;
    tn_str name;
    tn_str hash;
    tn_str role;
    tn_str tenant_name;
    tn_str secret; /* sealed; absent: never asked for */
    int64_t last_step;
    int confirmed;
    tn_str recovery; /* with commas between */
} tn__factor;

/* Asks for it: of the op's principal, or of a user. */
void tn__factor_find(tn_op *op, tn_str user_id);
/* NULL when the op has failed; a factor without id where there is no such
 * member. */
tn__factor *tn__factor_read(tn_op *op, const tn_input *input);
/* Makes a new secret, bound as :secret; 0 when the op has failed. */
int tn__factor_new(tn_op *op, unsigned char secret[TN__TOTP_SECRET]);
/* Whether the code is right, and not used yet; binds :step or :recovery_code,
 * and what the change is of: :user_id, :password_hash. */
int tn__factor_right(tn_op *op, const tn__factor *f, tn_str code);
/* The same of a code by time alone. */
int tn__factor_right_now(tn_op *op, const tn__factor *f, tn_str code);
/* Makes new recovery codes, bound as :recovery_codes; the JSON that tells them.
 * 0 when the op has failed. */
int tn__recovery_new(tn_op *op, tn_str *json);

void tn__step_enrol(tn_op *op, const tn_input *input);
void tn__step_confirm(tn_op *op, const tn_input *input);
void tn__step_disable(tn_op *op, const tn_input *input);
void tn__step_renew_codes(tn_op *op, const tn_input *input);

#define TN__CHALLENGE_TTL 300 /* seconds */
/* By which whoever showed the right password goes on. */
tn_err tn__challenge_token(tn_str *out, tn_op *op, tn_str user_id, tn_str hash);
void tn__step_challenge(tn_op *op, const tn_input *input);

#endif
