/*
 * zone/zone.h: entries of the zone: their keys and values.
 *
 *   kind          of                 value
 *   token         token, key id      tn__claims, as they lie in memory
 *   session       tenant, session    stamp SEP user SEP role SEP … SEP tenant's
 *                                    value (session.c)
 *   session_of    stamp, session     the same, where `session` is taken
 *   api_key       tenant, hash       the same of an API key and its secret
 *   api_key_of    stamp, hash        the same, where `api_key` is taken
 *   access        tenant id          stamp: TN__STAMP_LEN bytes (resolve.c)
 *   tenant        slug               id SEP realm SEP slug SEP status
 *   tenant_id     id                 the same
 *   domain        host               stamp SEP tenant's value (host.c)
 *   domains                          that stamp: TN__STAMP_LEN bytes
 *   login_failed  tenant, slot       a counter (attempt.c)
 *   attempts_from client's address   a counter: failures
 *   one_time      purpose, whom      a counter: tokens asked for (one_time.c)
 *   one_time_from client's address   the same
 *
 * "-" stands for nobody: a tenant there is not, a session that has ended.
 */

#ifndef TN__ZONE_H
#define TN__ZONE_H

#include "libcore/http/http.h"

#define TN__ZONE_SEPARATOR '\x1f'
#define TN__ZONE_NOBODY    TN_STR("-")
#define TN__STAMP_LEN      ((size_t) 16)

void tn__zone_key(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_op *op,
                  tn_str kind, tn_str a, tn_str b);
/* The same of the client's address. */
void tn__zone_address(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_op *op,
                      tn_str kind);
/* Joins the parts of a value. */
tn_err tn__zone_value(tn_str *out, tn_op *op, const tn_str *parts, unsigned n);
/* Adds a command that keeps a value, where it is small enough, to the op's n. */
tn_err tn__zone_keep(tn_op *op, unsigned *n, tn_str kind, tn_str a, tn_str b,
                     const tn_str *parts, unsigned nparts, uint32_t ttl);
/* Reads a tenant off the front of *rest, which it points into; 0 if it isn't
 * one. */
int tn__zone_tenant(tn__tenant *tenant, tn_str *rest);

#endif
