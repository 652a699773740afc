/*
 * identity/zone.h: entries of the zone: their keys and values. Private to
 * this folder.
 *
 *   kind       of                 value
 *   token      token, key id      tn__claims, as they lie in memory
 *   session    tenant, session    user SEP role SEP tenant's value
 *   tenant     slug               id SEP realm SEP slug SEP status
 *   tenant_id  id                 the same
 *
 * "-" stands for nobody: a tenant there is not, a session that has ended.
 */

#ifndef TN__IDENTITY_ZONE_H
#define TN__IDENTITY_ZONE_H

#include "libcore/identity/identity.h"

#define TN__ZONE_SEPARATOR '\x1f'
#define TN__ZONE_NOBODY    TN_STR("-")

void tn__zone_key(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_op *op,
                  tn_str kind, tn_str a, tn_str b);
/* Joins the parts of a value. */
tn_err tn__zone_value(tn_str *out, tn_op *op, const tn_str *parts, unsigned n);
/* Reads a tenant off the front of *rest, which it points into; 0 if it isn't
 * one. */
int tn__zone_tenant(tn__tenant *tenant, tn_str *rest);

#endif
