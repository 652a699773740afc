/*
 * impersonate.c: an answer for a session of somebody else's.
 */

#include "libcore/session/session.h"


/* Whose request it was, its facts and its log go on to say. */
void
tn__respond_impersonation(tn_op *op, tn_str tenant_id, tn_str slug,
                          tn_str tenant_name, tn_str user, tn_str email,
                          tn_str name, tn_str session)
{
    tn__tenant tenant;
    tn__principal principal;

    tenant = op->tenant;
    principal = op->principal;

    op->tenant.id = tenant_id;
    op->tenant.slug = slug;
    op->principal.user = user;
    op->principal.session = session;
    op->principal.impersonator = principal.user;

    tn__respond_session(op, email, name, tenant_name);

    op->tenant = tenant;
    op->principal = principal;
}
