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

#endif
