/*
 * external.c: who is meant here by a token of an issuer's. An identity (issuer
 * and subject) belongs to a user of the tenant's realm. Without one yet it is
 * linked, once and in the log, to the member whose address the issuer has
 * verified, and who has shown here that it is theirs; both, or whoever can
 * get hold of one of the two accounts has the other.
 *
 * The look-up gives claims, which then take the way of a session's: what a
 * user may do is read under the stamp of the tenant's access.
 */

#include "libcore/identity/resolve.h"
#include "gen/queries.h"


static void
bind_identity(tn_op *op, const tn__external *external)
{
    tn__local(op, TN_STR("issuer"), external->issuer);
    tn__local(op, TN_STR("subject"), external->subject);
}


static void
ask(tn_op *op, tn__resolver *r)
{
    unsigned nlocals;

    nlocals = op->nlocals;
    bind_identity(op, r->external);
    tn__local(op, TN_STR("named_tenant"), r->external->tenant);
    tn__local(op, TN_STR("verified_email"), r->external->email);

    tn__batch_begin(op, 0, 0);
    tn__batch_add(op, &tn__q_find_subject);

    if (r->domain.p && !r->domain_known) {
        tn__domain_ask(op, r->domain);
    }

    tn__want_db(op);

    /* bound: the step's own are still to come */
    op->nlocals = nlocals;
}


tn_err
tn__external_verify(tn_op *op, tn__resolver *r)
{
    tn_err err;

    r->external = tn__zalloc(op->mem, sizeof(tn__external));
    if (r->external == NULL) {
        return TN_E_NOMEM;
    }

    err = tn__issuers_verify(r->external, op, r->token);

    if (err == TN_OK) {
        ask(op, r);
    } else {
        r->external = NULL;
    }

    return err;
}


static void
nobody(tn__resolver *r)
{
    r->token_err = TN_E_UNAUTHENTICATED;
}


static int
take_id(char out[TN__UUID_TEXT], tn_str cell)
{
    unsigned char uuid[16];

    if (!tn__uuid_parse(uuid, cell)) {
        return 0;
    }

    tn__uuid_text(out, uuid);

    return 1;
}


/* Whose domain the host is; absent: nobody's. What was asked here is not kept:
 * it is for this once, before anything is written down. */
static tn_str
domain_owner(tn_op *op, const tn__resolver *r, const tn_input *input)
{
    const tn_rows *rows;

    if (r->domain.p == NULL || r->domain_known) {
        return r->domain_tenant.id;
    }

    rows = tn__rows(op, input, 1);

    return rows ? tn__cell(rows, 0, 0) : TN_NULL;
}


/* Where the request names another tenant it will be refused: nothing is
 * written down then. */
static int
names_tenant(const tn_op *op, const tn__resolver *r, const tn__tenant *tenant,
             tn_str owner)
{
    return (r->tenant_ref.p == NULL ||
            tn__eq(r->tenant_ref, r->by_id ? tenant->id : tenant->slug)) &&
           (op->tenant_header.n == 0 || tn__header_names(op, tenant)) &&
           (owner.p == NULL || tn__eq(owner, tenant->id)) &&
           (op->tenant.id.p == NULL || tn__eq(op->tenant.id, tenant->id));
}


/* Written down in the tenant and as the user whom the row names; neither is the
 * request's until its identity was looked up. */
static void
link_identity(tn_op *op, tn__resolver *r, const tn__tenant *tenant)
{
    unsigned nlocals;
    tn__tenant kept;

    nlocals = op->nlocals;
    kept = op->tenant;
    op->tenant = *tenant;
    op->principal.user = tn__uuid_str(r->claims.user);

    bind_identity(op, r->external);
    tn__local(op, TN_STR("identity_id"), tn__new_id(op));
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_link_identity);
    tn__want_db(op);

    op->tenant = kept;
    op->principal.user = TN_NULL;
    op->nlocals = nlocals;
    op->event_id = op->salt = TN_NULL; /* the step's event is another */
    r->external->linking = 1;
}


void
tn__external_found(tn_op *op, tn__resolver *r, const tn_input *input)
{
    tn__tenant tenant;
    const tn_rows *rows;

    rows = tn__rows(op, input, 0);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0 || !take_id(r->claims.tenant, tn__cell(rows, 0, 0)) ||
        !take_id(r->claims.user, tn__cell(rows, 0, 5))) {
        nobody(r);
        return;
    }

    r->claims.expires = r->external->expires;

    if (take_id(r->claims.session, tn__cell(rows, 0, 6))) {
        return;
    }

    memset(&tenant, 0, sizeof(tenant));

    if (tn__tenant_row(&tenant, op, rows) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    if (!names_tenant(op, r, &tenant, domain_owner(op, r, input))) {
        nobody(r);
        r->external = NULL; /* of a request, not of the token */
        return;
    }

    link_identity(op, r, &tenant);
}


void
tn__external_linked(tn_op *op, tn__resolver *r, const tn_input *input)
{
    const tn_rows *rows;

    if (!r->external->linking) {
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    /* somebody was quicker, and it need not be the same user */
    if (rows->nrows == 0 || !take_id(r->claims.session, tn__cell(rows, 0, 0)) ||
        !take_id(r->claims.user, tn__cell(rows, 0, 1))) {
        nobody(r);
    }
}
