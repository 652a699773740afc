/*
 * usage/usage.h: what tenants use: requests counted on the way, what a node has
 * counted on its way to the database, and what is reported and shown
 * (README.md).
 */

#ifndef TN__USAGE_H
#define TN__USAGE_H

#include "libcore/billing/billing.h"

typedef struct tn__usage tn__usage;

/*
 * Counts the request, where its tenant's plan limits that (take.c). Called
 * until it answers 1: it is counted, or needn't be; or the op has failed or
 * wishes. An op counts once, also where it begins anew.
 */
int tn__usage_take(tn_op *op, const tn_input *input);
/* The op is done, and costs nothing: wishes that the host takes it back, where it
 * was counted. It needn't hear what the host answers. */
void tn__usage_give_back(tn_op *op);
/* Whether that is what the op was refused for. */
int tn__usage_refused(const tn_op *op);

/* What was used, and events of use (usage_endpoints.c). */
extern const tn__slice tn__usage_slice;

#endif
