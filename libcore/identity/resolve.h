/*
 * identity/resolve.h: a request being resolved: what resolve.c and session.c
 * find out together. Private to this folder.
 */

#ifndef TN__IDENTITY_RESOLVE_H
#define TN__IDENTITY_RESOLVE_H

#include "libcore/identity/zone.h"

/* What is found out on the way; dropped once settled. */
typedef struct tn__resolver {
    tn_str tenant_ref; /* slug or id that the request names; absent: none */
    int by_id;
    char id[TN__UUID_TEXT]; /* that id in lower case: one spelling, one entry */
    int tenant_known;       /* looked up: op->tenant.id absent means unknown */
    tn_str token;
    tn_err token_err;
    tn__claims claims;
    int has_claims;
    char stamp_bytes[TN__STAMP_LEN];
    tn_str stamp;      /* of the tenant's access; absent: nothing is kept */
    int session_taken; /* the session's place, by an entry of another stamp */
    int session_known;
    tn__tenant session_tenant;
    int slot_tenant, slot_token; /* which zone answer is whose; -1 none */
    int slot_session, slot_access;
} tn__resolver;

/* Looks up the session of the claims, and the stamp of its tenant's access,
 * behind the n commands that are there already. */
void tn__session_find(tn_op *op, tn__resolver *r, unsigned n);
/* What came of it; may wish to look beside, and then hears what came of that.
 */
void tn__session_cached(tn_op *op, tn__resolver *r, const tn_input *input);
void tn__session_beside(tn_op *op, tn__resolver *r, const tn_input *input);
/* Takes the directory's answer and adds a command that keeps it. */
tn_err
tn__session_found(tn_op *op, tn__resolver *r, const tn_rows *rows, unsigned *n);

/* A UUID as claims hold it. */
static inline tn_str
tn__uuid_str(const char *uuid)
{
    return (tn_str){ uuid, TN__UUID_TEXT };
}

#endif
