/*
 * host.c: what a request's host says of its tenant. Below the base domain the
 * label in front is a slug. Elsewhere a host may be a domain of a tenant's own,
 * once that was verified; if it is nobody's, it names no tenant, and what else
 * the request brings decides.
 *
 * What the zone keeps of domains holds while the stamp of all domains is the
 * one that its reader had found before it asked the database, as with
 * sessions (session.c): so a domain that was deleted here is nobody's for every
 * request that begins after that was answered.
 */

#include "libcore/identity/resolve.h"
#include "gen/queries.h"

#define DOMAIN_TTL  5000 /* ms */
#define UNKNOWN_TTL 1000
#define STAMP_TTL   300000 /* any: its end costs look-ups, no more */


tn_str
tn__host_slug(const tn_op *op)
{
    size_t n;
    tn_str host, base;

    host = op->request->host;
    base = op->core->base_domain;

    if (base.n == 0 || host.n <= base.n + 1) {
        return TN_NULL;
    }

    n = host.n - base.n - 1;

    if (host.p[n] != '.' || !tn__eqi(tn__sub(host, n + 1, host.n), base)) {
        return TN_NULL;
    }

    return tn__sub(host, 0, n);
}


/* Names of several labels, in lower case as the host gives them: the last
 * one begins with a letter, so addresses are none. */
static int
domain_like(tn_str host)
{
    char c;
    size_t i, last;

    last = 0;

    for (i = 0; i < host.n; i++) {
        c = host.p[i];

        if (c == '.') {
            last = i + 1;

        } else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '-')) {
            return 0;
        }
    }

    return last > 1 && last < host.n && host.n <= 253 && host.p[last] >= 'a' &&
           host.p[last] <= 'z';
}


tn_str
tn__host_domain(const tn_op *op)
{
    tn_str host;

    host = op->request->host;

    return domain_like(host) && !tn__host_is_ours(host, op->core->base_domain)
               ? host
               : TN_NULL;
}


static void
stamp(tn_op *op, tn_zone_cmd *cmd, tn_zone_verb verb)
{
    tn__rng_bytes(&op->rng, op->domains_stamp, TN__STAMP_LEN);
    tn__zone_key(cmd, verb, op, TN_STR("domains"), TN_STR(""), TN_STR(""));
    cmd->ttl_ms = STAMP_TTL;
    cmd->value = (tn_str){ (char *) op->domains_stamp, TN__STAMP_LEN };
}


void
tn__domains_changed(tn_op *op, tn_zone_cmd *cmd)
{
    stamp(op, cmd, TN_ZONE_SET);
}


unsigned
tn__domain_find(tn_op *op, tn__resolver *r, unsigned n)
{
    r->slot_domain = (int) n;
    tn__zone_key(&op->zone[n++], TN_ZONE_GET, op, TN_STR("domain"), r->domain,
                 TN_STR(""));
    stamp(op, &op->zone[n], TN_ZONE_ADD);
    op->zone[n + 1] = op->zone[n];
    op->zone[n + 1].verb = TN_ZONE_GET;

    return n + 2;
}


void
tn__domain_cached(tn_op *op, tn__resolver *r, const tn_input *input)
{
    tn_str found, value;

    value = input->values[r->slot_domain];
    found = input->values[r->slot_domain + 2];

    if (found.p == NULL || found.n != TN__STAMP_LEN) {
        return;
    }

    memcpy(r->domain_stamp_bytes, found.p, TN__STAMP_LEN);
    r->domain_stamp = (tn_str){ r->domain_stamp_bytes, TN__STAMP_LEN };

    if (value.p == NULL || value.n <= TN__STAMP_LEN ||
        !tn__eq(tn__sub(value, 0, TN__STAMP_LEN), r->domain_stamp)) {
        return;
    }

    value = tn__sub(value, TN__STAMP_LEN + 1, value.n);

    if (tn__eq(value, TN__ZONE_NOBODY)) {
        r->domain_known = 1;
        return;
    }

    if (tn__dup(&value, value, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    r->domain_known = tn__zone_tenant(&r->domain_tenant, &value);

    if (!r->domain_known) {
        memset(&r->domain_tenant, 0, sizeof(r->domain_tenant));
    }
}


void
tn__domain_ask(tn_op *op, tn_str domain)
{
    tn__local(op, TN_STR("host_domain"), domain);
    tn__batch_add(op, &tn__q_find_tenant_by_domain);
}


tn_err
tn__domain_found(tn_op *op, tn__resolver *r, const tn_rows *rows, unsigned *n)
{
    tn_err err;
    tn_str parts[5];
    unsigned nparts, before;

    r->domain_known = 1;
    nparts = 2;
    parts[1] = TN__ZONE_NOBODY;

    if (rows->nrows) {
        err = tn__tenant_row(&r->domain_tenant, op, rows);
        if (err != TN_OK) {
            return err;
        }

        nparts = 5;
        parts[1] = r->domain_tenant.id;
        parts[2] = r->domain_tenant.realm;
        parts[3] = r->domain_tenant.slug;
        parts[4] = tn__cell(rows, 0, 4);
    }

    if (r->domain_stamp.p == NULL) {
        return TN_OK;
    }

    parts[0] = r->domain_stamp;
    before = *n;
    err = tn__zone_keep(op, n, TN_STR("domain"), r->domain, TN_STR(""), parts,
                        nparts, rows->nrows ? DOMAIN_TTL : UNKNOWN_TTL);

    /* an entry of another stamp is in nobody's way */
    if (*n > before) {
        op->zone[before].verb = TN_ZONE_SET;
    }

    return err;
}
