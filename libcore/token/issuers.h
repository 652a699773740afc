/*
 * token/issuers.h: what tokens of ours and of others have in common. Private to
 * this folder.
 */

#ifndef TN__TOKEN_ISSUERS_H
#define TN__TOKEN_ISSUERS_H

#include "libcore/token/token.h"

#include <sodium.h>

/* A claim that is a whole number of seconds, within years that dates have. */
int tn__claim_time(int64_t *out, const cJSON *claims, const char *name);
/* Adds to a hash all that decides about tokens of others (issuers.c). */
void tn__issuers_hash(const tn_core *core, crypto_generichash_state *state);

#endif
