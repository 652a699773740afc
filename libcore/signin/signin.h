/*
 * signin/signin.h: how somebody shows who they are for the first time: sign-up,
 * login and its second factor, passwords forgotten, addresses verified.
 */

#ifndef TN__SIGNIN_H
#define TN__SIGNIN_H

#include "libcore/session/session.h"

extern const tn__slice tn__login_slice;
extern const tn__slice tn__signin_slice;


/* ---- passwords (password.c) ---- */

/* A job for op->job; 0 when the op has failed. `hash` absent: HASH. The step goes
 * on only where the password could be checked: else the op fails. */
int tn__want_password(tn_op *op, tn_str password, tn_str hash);
/* The hash that came of it, in the op's memory; fails the op where there is
 * none. */
int tn__password_hashed(tn_str *hash, tn_op *op, const tn_input *input);
/* A hash that no password has. */
tn_str tn__decoy(const tn_op *op);


/* ---- attempts (attempt.c) ---- */

/* Binds :attempt_key: the row of an address in the op's realm. */
void tn__attempt_bind(tn_op *op, tn_str email);
/* Behind it, where nobody has the address: the row that it shares with others
 * of its kind. */
void tn__attempt_nobody(tn_op *op);
/* Wishes to know how often this client's address has failed; then, whether a
 * right password from there counts as one. */
void tn__attempt_address(tn_op *op);
int tn__attempt_open(const tn_op *op, tn_str failures);
/* A password or a code was right, or wasn't. Wishes. */
void tn__attempt_judge(tn_op *op, int right);
/* In the state behind that, `here`: 1 when it may count as right. Else it has
 * wished, and the op comes back to `here`; or the op has failed with `err` and
 * `detail`, when the failure was written under `action` and a user of this
 * tenant or none. Who isn't signed in is INVALID_CREDENTIALS, 401; who is, and
 * shows once more that it is them, REAUTHENTICATION_FAILED, 422: the session
 * holds. */
int tn__attempt_settle(tn_op *op, const tn_input *input, unsigned here,
                       tn_str action, tn_str user_id, tn_err err,
                       const char *detail);
/* {"attempts":n} where the n-th of like attempts is worth an event, else
 * absent; of a count that was lost it is the first. Fails the op. */
tn_str tn__attempts_notable(tn_op *op, tn_str count);

#endif
