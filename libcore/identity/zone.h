/*
 * identity/zone.h: entries of the zone: their keys and values. Private to
 * this folder.
 *
 *   kind          of                 value
 *   token         token, key id      tn__claims, as they lie in memory
 *   session       tenant, session    stamp SEP user SEP role SEP tenant's value
 *   session_of    stamp, session     the same, where `session` is taken
 *   access        tenant id          stamp: TN__STAMP_LEN bytes (resolve.c)
 *   tenant        slug               id SEP realm SEP slug SEP status
 *   tenant_id     id                 the same
 *   login_failed  tenant id          a counter
 *
 * "-" stands for nobody: a tenant there is not, a session that has ended.
 */

#ifndef TN__IDENTITY_ZONE_H
#define TN__IDENTITY_ZONE_H

#include "libcore/identity/identity.h"

#define TN__ZONE_SEPARATOR '\x1f'
#define TN__ZONE_NOBODY    TN_STR("-")
#define TN__STAMP_LEN      ((size_t) 16)

void tn__zone_key(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_op *op,
                  tn_str kind, tn_str a, tn_str b);
/* Joins the parts of a value. */
tn_err tn__zone_value(tn_str *out, tn_op *op, const tn_str *parts, unsigned n);
/* Adds a command that keeps a value, where it is small enough, to the op's n. */
tn_err tn__zone_keep(tn_op *op, unsigned *n, tn_str kind, tn_str a, tn_str b,
                     const tn_str *parts, unsigned nparts, uint32_t ttl);
/* Reads a tenant off the front of *rest, which it points into; 0 if it isn't
 * one. */
int tn__zone_tenant(tn__tenant *tenant, tn_str *rest);

#endif
