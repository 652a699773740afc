/*
 * signin/steps.h: the steps of sign-in and what they share. Private to this
 * folder.
 */

#ifndef TN__SIGNIN_STEPS_H
#define TN__SIGNIN_STEPS_H

#include "libcore/signin/signin.h"

void tn__step_signup(tn_op *op, const tn_input *input);
void tn__step_login(tn_op *op, const tn_input *input);
void tn__step_logout(tn_op *op, const tn_input *input);


/* ---- one-time tokens (one_time.c) ---- */

/* Opens one made for `purpose` in the op's realm; fails the op otherwise. */
int tn__one_time_open(tn_op *op, tn_str purpose, tn_str token);
/* Binds :purpose and the :one_time_id of a new one. */
void tn__one_time_new(tn_op *op, tn_str purpose);
/* Fails the op: it is none; it was one. */
void tn__one_time_forged(tn_op *op);
void tn__one_time_spent(tn_op *op);
/* Wishes to count those that are asked for from a client's address, and then
 * for an address (or whoever it is); whether this one may be made. In that order:
 * for made-up addresses without end no counts are kept. */
void tn__one_time_from(tn_op *op);
int tn__one_time_from_allowed(const tn_op *op, const tn_input *input);
void tn__one_time_for(tn_op *op, tn_str purpose, tn_str whom);
int tn__one_time_for_allowed(const tn_input *input);
/* For an address, be it anybody's: binds what tn__one_time_new() does, :email and
 * the :nobody_id of the row that it shares with others if it is nobody's; wishes
 * to count how many were asked for. */
void tn__one_time_anybody(tn_op *op, tn_str purpose, tn_str email);

/* Fails the op unless a person asks for themselves: neither a key of theirs nor
 * somebody acting as them. */
int tn__in_person(tn_op *op);
/* And in a session of ours: not by an identity provider's token either. */
int tn__in_session(tn_op *op);

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
int tn__recovery_new(tn_op *op, const tn__factor *f, tn_str *json);

void tn__step_enrol(tn_op *op, const tn_input *input);
void tn__step_confirm(tn_op *op, const tn_input *input);
void tn__step_disable(tn_op *op, const tn_input *input);
void tn__step_renew_codes(tn_op *op, const tn_input *input);

/* By which whoever showed the right password goes on. */
tn_err tn__challenge_token(tn_str *out, tn_op *op, tn_str user_id, tn_str hash);
void tn__step_challenge(tn_op *op, const tn_input *input);

#endif
