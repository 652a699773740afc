/*
 * proof.h: what proves a session to endpoints that make what outlasts it.
 */

#ifndef T_PROOF_H
#define T_PROOF_H

#include "libcore/identity/identity.h"
#include "t/00unit/host.h"

#define PROOF_LEN 100

/* The refresh token, in such a generation, of the session of `token`. */
static inline void
host_proof(char text[PROOF_LEN], host *h, const char *token, int64_t generation)
{
    tn_str made;

    SEND(h,
         R(.path = "/v1/me", .token = token,
           .host = token == h->eve ? "umbrella.tenon.localhost" : NULL),
         { ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    h->op->principal.generation = generation;
    assert_int_equal(tn__secret_make(&made, h->op, TN__SECRET_REFRESH), TN_OK);
    snprintf(text, PROOF_LEN, "%.*s", (int) made.n, made.p);
}

#endif
