/*
 * session.c: what the zone keeps of sessions, and when that counts.
 *
 * What a session may do changes when somebody changes members, roles or the
 * tenant. On this node that holds for every request that begins after the
 * change was answered:
 *
 *   - A tenant's access has a stamp in the zone: fresh bytes, put there by the
 *     first reader who finds none (ADD), or by a change behind its commit
 *     (SET), before it is answered. A stamp that is gone never comes back.
 *   - A session's entry begins with the stamp that its reader had found before
 *     it asked the database, and counts only where that is the stamp still. So
 *     an entry that counts was read behind every change whose stamp was set
 *     before: the stamp could not be found until then.
 *
 * Nothing else is needed of the zone. A reader who is late, however late, adds
 * an entry of a stamp that is over. A stamp that expires or gives way takes
 * its entries along: the next one is another. An entry that is over stands in
 * the way of ADD until it expires, so the next reader keeps its own beside it,
 * under a key of stamp and session.
 *
 * A session that ends leaves a tombstone in its place, where every reader looks
 * first and which ADD can't overwrite: it outlives any entry beside it and any
 * reader's wait for the database.
 *
 * An API key's entry lies under the secret that it was made by: what another
 * secret opened serves nobody else, also not while one replaces the other. It
 * lives no longer than that secret.
 *
 * What this node can't stamp ends with its entry, within SESSION_TTL: a change
 * made on another node or by SQL, or committed after its connection was lost;
 * a tombstone that gave way while a late reader was about.
 */

#include "libcore/identity/resolve.h"

#define SESSION_TTL   5000   /* ms */
#define ACCESS_TTL    300000 /* any: its end costs look-ups, no more */
#define TOMBSTONE_TTL 60000  /* longer than any reader may be late */


/* Where the session's entry lies: in its place, or beside it. */
static tn_str
session_kind(const tn__resolver *r)
{
    if (tn__credentials[r->kind].scoped) {
        return r->session_taken ? TN_STR("api_key_of") : TN_STR("api_key");
    }

    return r->session_taken ? TN_STR("session_of") : TN_STR("session");
}


static tn_str
session_name(const tn__resolver *r)
{
    return tn__credentials[r->kind].scoped
               ? (tn_str){ (const char *) r->claims.hash,
                           sizeof(r->claims.hash) }
               : tn__uuid_str(r->claims.session);
}


static tn_str
session_owner(const tn__resolver *r)
{
    return r->session_taken ? r->stamp : tn__uuid_str(r->claims.tenant);
}


/* A fresh stamp, which lies in the op until the next one is made. */
static void
access_stamp(tn_op *op, tn_zone_cmd *cmd, tn_zone_verb verb, tn_str tenant_id)
{
    tn__rng_bytes(&op->rng, op->access_stamp, TN__STAMP_LEN);
    tn__zone_key(cmd, verb, op, TN_STR("access"), tenant_id, TN_STR(""));
    cmd->ttl_ms = ACCESS_TTL;
    cmd->value = (tn_str){ (char *) op->access_stamp, TN__STAMP_LEN };
}


/* Its session, and the stamp of its tenant's access: made here if there is
 * none. */
void
tn__session_find(tn_op *op, tn__resolver *r, unsigned n)
{
    r->has_claims = 1;
    r->slot_session = (int) n;
    tn__zone_key(&op->zone[n++], TN_ZONE_GET, op, session_kind(r),
                 session_owner(r), session_name(r));
    access_stamp(op, &op->zone[n], TN_ZONE_ADD, tn__uuid_str(r->claims.tenant));
    r->slot_access = (int) ++n;
    op->zone[n] = op->zone[n - 1];
    op->zone[n++].verb = TN_ZONE_GET;
    tn__want_zone(op, n);
}


/* What find_session answers behind the tenant, in the order in which an entry
 * holds it. */
enum {
    USER = 5,
    ROLE,
    ROLES,
    ACCOUNTS,
    GENERATION,
    IMPERSONATOR,
    SCOPES,
    COLUMNS,
    TTL_MS = COLUMNS /* of an API key; no fact */
};

#define FACTS (COLUMNS - USER)


/* 0 when the credential is one that was replaced. */
static int
principal_is(tn_op *op, const tn__resolver *r, const tn_str facts[FACTS])
{
    tn__principal *p;

    p = &op->principal;

    if (!tn__int_parse(&p->generation, facts[GENERATION - USER]) ||
        (tn__credentials[r->kind].secret &&
         p->generation != r->claims.generation)) {
        return 0;
    }

    p->user = facts[0];
    p->role_name = facts[ROLE - USER];
    p->roles = facts[ROLES - USER];
    p->accounts = facts[ACCOUNTS - USER];
    p->impersonator =
        facts[IMPERSONATOR - USER].n ? facts[IMPERSONATOR - USER] : TN_NULL;

    if (tn__credentials[r->kind].scoped) {
        p->api_key = tn__uuid_str(r->claims.session);
        p->scopes = facts[SCOPES - USER];
    }

    return 1;
}


/* The stamp, the principal's facts, the tenant; or a tombstone: known, and
 * nobody. 0 when it is of another stamp, or of another secret. */
static int
session_cached(tn_op *op, tn__resolver *r, tn_str value)
{
    unsigned i;
    tn_str rest, facts[FACTS];

    if (tn__eq(value, TN__ZONE_NOBODY)) {
        r->session_known = 1;
        return 1;
    }

    if (value.n <= TN__STAMP_LEN ||
        !tn__eq(tn__sub(value, 0, TN__STAMP_LEN), r->stamp)) {
        return 0;
    }

    value = tn__sub(value, TN__STAMP_LEN + 1, value.n);

    if (tn__dup(&rest, value, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 1;
    }

    for (i = 0; i < FACTS; i++) {
        facts[i] = rest.p ? tn__split(&rest, TN__ZONE_SEPARATOR) : TN_NULL;
    }

    r->session_known = rest.p && tn__zone_tenant(&r->session_tenant, &rest) &&
                       principal_is(op, r, facts);

    return r->session_known;
}


void
tn__session_cached(tn_op *op, tn__resolver *r, const tn_input *input)
{
    tn_str stamp, value;

    stamp = input->values[r->slot_access];
    value = input->values[r->slot_session];

    if (stamp.p && stamp.n == TN__STAMP_LEN) {
        memcpy(r->stamp_bytes, stamp.p, TN__STAMP_LEN);
        r->stamp = (tn_str){ r->stamp_bytes, TN__STAMP_LEN };
    }

    if (value.p == NULL || session_cached(op, r, value) || !r->stamp.p) {
        return;
    }

    r->session_taken = 1;
    tn__zone_key(&op->zone[0], TN_ZONE_GET, op, session_kind(r),
                 session_owner(r), session_name(r));
    tn__want_zone(op, 1);
}


void
tn__session_beside(tn_op *op, tn__resolver *r, const tn_input *input)
{
    if (r->session_taken) {
        (void) session_cached(op, r, input->values[0]);
    }
}


/* An entry doesn't outlive what it was made by. */
static uint32_t
entry_ttl(const tn_rows *rows)
{
    int64_t left;

    return tn__int_parse(&left, tn__cell(rows, 0, TTL_MS)) && left < SESSION_TTL
               ? (uint32_t) left
               : SESSION_TTL;
}


tn_err
tn__session_found(tn_op *op, tn__resolver *r, const tn_rows *rows, unsigned *n)
{
    tn_err err;
    unsigned i;
    tn_str facts[FACTS], parts[1 + FACTS + 4];

    r->session_known = 1;

    if (rows->nrows == 0) {
        return TN_OK;
    }

    err = tn__tenant_row(&r->session_tenant, op, rows);

    for (i = 0; i < FACTS && err == TN_OK; i++) {
        err = tn__dup(&facts[i], tn__cell(rows, 0, USER + i), op->mem);
    }

    if (err != TN_OK || !principal_is(op, r, facts) || r->stamp.p == NULL) {
        return err;
    }

    parts[0] = r->stamp;
    memcpy(&parts[1], facts, sizeof(facts));
    parts[1 + FACTS] = r->session_tenant.id;
    parts[2 + FACTS] = r->session_tenant.realm;
    parts[3 + FACTS] = r->session_tenant.slug;
    parts[4 + FACTS] = tn__cell(rows, 0, 4);

    return tn__zone_keep(op, n, session_kind(r), session_owner(r),
                         session_name(r), parts, 5 + FACTS, entry_ttl(rows));
}


void
tn__access_changed(tn_op *op, tn_zone_cmd *cmd, tn_str tenant_id)
{
    access_stamp(op, cmd, TN_ZONE_SET, tenant_id);
}


void
tn__session_tombstone(tn_op *op, tn_zone_cmd *cmd, tn_str session_id)
{
    tn__zone_key(cmd, TN_ZONE_SET, op, TN_STR("session"), op->tenant.id,
                 session_id);
    cmd->value = TN__ZONE_NOBODY;
    cmd->ttl_ms = TOMBSTONE_TTL;
}
