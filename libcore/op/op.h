/*
 * op/op.h: the outermost room: a core and its catalogues, an op and its
 * phases, the endpoints that belong to no domain.
 */

#ifndef TN__OP_H
#define TN__OP_H

#include "libcore/http/http.h"

/* /live, /ready, /.well-known/jwks.json */
extern const tn__slice tn__service_slice;

#endif
