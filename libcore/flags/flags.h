/*
 * flags/flags.h: feature flags of a tenant: their management, and what they
 * answer, by OpenFeature's Remote Evaluation Protocol.
 */

#ifndef TN__FLAGS_H
#define TN__FLAGS_H

#include "libcore/http/http.h"

extern const tn__slice tn__flags_slice;
extern const tn__slice tn__ofrep_slice;

/* A zone command by which the tenant's flags are read anew on this node: run it
 * behind a change of them, before it is answered. Its value lies in the op. */
void tn__flags_changed(tn_op *op, tn_zone_cmd *cmd);

#endif
