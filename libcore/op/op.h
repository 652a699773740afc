/*
 * op/op.h: the outermost room: a core and its catalogues, an op and its
 * phases, the endpoints that belong to no domain.
 */

#ifndef TN__OP_H
#define TN__OP_H

#include "libcore/http/http.h"

/* /live, /ready, /.well-known/jwks.json */
extern const tn__slice tn__service_slice;

/* What follows from an answer (after.c): whether there is anything, and its
 * steps, which wish until the op is done. */
int tn__after_begin(tn_op *op);
void tn__after(tn_op *op, const tn_input *input);

#endif
