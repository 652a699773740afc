/*
 * tenant.c: the tenant that host or header name: what a request says of it, what
 * the zone keeps of it, and what the directory answers.
 */

#include "libcore/identity/resolve.h"
#include "gen/queries.h"

#define TENANT_TTL  5000
#define UNKNOWN_TTL 1000
#define GONE_TTL    60000 /* longer than any reader may be late */
#define CHANGED_TTL 5000  /* as long as anybody else takes to hear of it */

/* In place of a tenant that has to be looked up. */
static const tn_str changed = TN_STR_C("?");

const tn_str tn__tenant_states[TN__TENANT_STATES] = {
    TN_STR_C("active"),
    TN_STR_C("suspended"),
};


/* A slug may look like another tenant's id: they are kept apart. */
static tn_str
tenant_kind(const tn__resolver *r)
{
    return r->by_id ? TN_STR("tenant_id") : TN_STR("tenant");
}


static void
read_tenant_header(tn_op *op, tn__resolver *r)
{
    unsigned char uuid[16];

    r->tenant_ref = op->tenant_header;

    /* what looks like an id is one: never some tenant's slug */
    if (tn__uuid_parse(uuid, op->tenant_header)) {
        tn__uuid_text(r->id, uuid);
        r->tenant_ref = tn__uuid_str(r->id);
        r->by_id = 1;
    }
}


int
tn__header_names(const tn_op *op, const tn__tenant *tenant)
{
    unsigned char uuid[16];

    return tn__uuid_parse(uuid, op->tenant_header)
               ? tn__eqi(op->tenant_header, tenant->id)
               : tn__eq(op->tenant_header, tenant->slug);
}


void
tn__tenant_read(tn_op *op, tn__resolver *r)
{
    r->tenant_ref = tn__host_slug(op);
    r->domain = tn__host_domain(op);

    if (r->tenant_ref.p == NULL && op->tenant_header.n) {
        read_tenant_header(op, r);
    }

    r->tenant_known =
        r->tenant_ref.p && !r->by_id && !tn__slug_like(r->tenant_ref);
}


unsigned
tn__tenant_find(tn_op *op, tn__resolver *r, unsigned n)
{
    r->slot_tenant = (int) n;
    tn__zone_key(&op->zone[n++], TN_ZONE_GET, op, tenant_kind(r), r->tenant_ref,
                 TN_STR(""));

    return n;
}


void
tn__tenant_cached(tn_op *op, tn__resolver *r, tn_str value)
{
    tn_str rest;

    if (value.p == NULL) {
        return;
    }

    if (tn__eq(value, TN__ZONE_NOBODY)) {
        r->tenant_known = 1;
        return;
    }

    if (tn__eq(value, changed)) {
        return;
    }

    if (tn__dup(&rest, value, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    r->tenant_known = tn__zone_tenant(&op->tenant, &rest);
}


void
tn__tenant_ask(tn_op *op, const tn__resolver *r)
{
    tn__local(op, r->by_id ? TN_STR("tenant_ref") : TN_STR("slug"),
              r->tenant_ref);
    tn__batch_add(op, r->by_id ? &tn__q_find_tenant_by_id : &tn__q_find_tenant);
}


/* Columns: tenant_id, realm_id, slug, name, status[, …]. */
tn_err
tn__tenant_row(tn__tenant *tenant, tn_op *op, const tn_rows *rows)
{
    tn_err err;

    err = tn__dup(&tenant->id, tn__cell(rows, 0, 0), op->mem);

    if (err == TN_OK) {
        err = tn__dup(&tenant->realm, tn__cell(rows, 0, 1), op->mem);
    }

    if (err == TN_OK) {
        err = tn__dup(&tenant->slug, tn__cell(rows, 0, 2), op->mem);
    }

    tenant->active = tn__eq(tn__cell(rows, 0, 4), TN_STR("active"));

    return err;
}


tn_err
tn__tenant_found(tn_op *op, tn__resolver *r, const tn_rows *rows, unsigned *n)
{
    tn_err err;
    tn_str parts[4];

    r->tenant_known = 1;

    if (rows->nrows == 0) {
        parts[0] = TN__ZONE_NOBODY;
        return tn__zone_keep(op, n, tenant_kind(r), r->tenant_ref, TN_STR(""),
                             parts, 1, UNKNOWN_TTL);
    }

    err = tn__tenant_row(&op->tenant, op, rows);
    if (err != TN_OK) {
        return err;
    }

    parts[0] = op->tenant.id;
    parts[1] = op->tenant.realm;
    parts[2] = op->tenant.slug;
    parts[3] = tn__cell(rows, 0, 4);

    return tn__zone_keep(op, n, tenant_kind(r), r->tenant_ref, TN_STR(""),
                         parts, 4, TENANT_TTL);
}


unsigned
tn__batch_named_tenant(tn_op *op)
{
    unsigned n;
    tn__resolver *r;

    r = tn__zalloc(op->mem, sizeof(tn__resolver));
    if (r == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    n = 0;
    tn__tenant_read(op, r);

    if (r->tenant_known) {
        tn__fail(op, TN_E_TENANT_UNKNOWN, NULL);
        return 0;
    }

    if (r->domain.p) {
        tn__domain_ask(op, r->domain);
        n++;
    }

    if (r->tenant_ref.p) {
        tn__tenant_ask(op, r);
        n++;
    }

    return op->phase != TN__PHASE_DONE ? n : 0;
}


int
tn__named_tenant(tn_op *op, const tn_input *input, unsigned n)
{
    unsigned i;
    const tn_rows *rows;

    i = 0;

    if (n && tn__host_domain(op).p) {
        rows = tn__rows(op, input, i++);

        if (rows == NULL || tn__dup(&op->domain_tenant, tn__cell(rows, 0, 0),
                                    op->mem) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return 0;
        }
    }

    if (i < n) {
        rows = tn__rows(op, input, i);

        if (rows && rows->nrows == 0 && op->domain_tenant.p == NULL) {
            tn__fail(op, TN_E_TENANT_UNKNOWN, NULL);
        }
    }

    return op->phase != TN__PHASE_DONE;
}


int
tn__host_names_tenant(const tn_op *op)
{
    return tn__host_slug(op).p || op->domain_tenant.p;
}


int
tn__tenant_agrees(const tn_op *op)
{
    tn_str slug;

    slug = tn__host_slug(op);

    return (slug.p == NULL || tn__eq(slug, op->tenant.slug)) &&
           (op->domain_tenant.p == NULL ||
            tn__eq(op->domain_tenant, op->tenant.id)) &&
           (op->tenant_header.n == 0 || tn__header_names(op, &op->tenant));
}


static void
set_both(tn_op *op, tn_zone_cmd cmds[2], tn_str id, tn_str slug, tn_str value,
         uint32_t ttl)
{
    unsigned i;

    tn__zone_key(&cmds[0], TN_ZONE_SET, op, TN_STR("tenant"), slug, TN_STR(""));
    tn__zone_key(&cmds[1], TN_ZONE_SET, op, TN_STR("tenant_id"), id,
                 TN_STR(""));

    for (i = 0; i < 2; i++) {
        cmds[i].value = value;
        cmds[i].ttl_ms = ttl;
    }
}


void
tn__tenant_gone(tn_op *op, tn_zone_cmd cmds[2])
{
    set_both(op, cmds, op->tenant.id, op->tenant.slug, TN__ZONE_NOBODY,
             GONE_TTL);
}


/* What a reader found before may not take its place: it is looked up as often as
 * it is asked for until then. */
void
tn__tenant_changed(tn_op *op, tn_zone_cmd cmds[2], tn_str id, tn_str slug)
{
    set_both(op, cmds, id, slug, changed, CHANGED_TTL);
}
