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
 * An entry that doesn't fit a cell goes on in others (entry.c), which all entries
 * of the person share.
 *
 * Nothing else is needed of the zone. A reader who is late, however late, adds
 * an entry of a stamp that is over. A stamp that expires or gives way takes
 * its entries along: the next one is another. An entry that is over stands in
 * the way of ADD until it expires, so the next reader keeps its own beside it,
 * under a key of stamp and session.
 *
 * A session that ends leaves a tombstone in its place, where every reader looks
 * first and which ADD can't overwrite: it outlives any entry beside it and any
 * reader's wait for the database. Those that end with it, being of the same
 * sign-in, have a new stamp of their tenant's access instead: nobody here knows
 * their ids.
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
    tn__want_zone(op, tn__plan_find(op, r, n));
}


/* What an entry holds: first what is the credential's, then what all those of
 * the person have in common and, where there is much of it, share. */
enum {
    GENERATION,
    IMPERSONATOR,
    SCOPES,
    OWN,
    USER = OWN,
    ROLE,
    ROLES,
    ACCOUNTS,
    FOUND, /* all of these are told by find_session */
    TENANT = FOUND,
    REALM,
    SLUG,
    STATUS,
    KEPT
};

static const tn__fact_form forms[KEPT] = {
    [SCOPES] = TN__FACT_GRANTS,
    [ROLES] = TN__FACT_ROLES,
    [ACCOUNTS] = TN__FACT_ACCOUNTS,
    [STATUS] = TN__FACT_TEXT, /* as all others */
};

/* Its columns, behind the tenant's. */
static const unsigned columns[FOUND] = {
    [USER] = 5,       [ROLE] = 6,          [ROLES] = 7,   [ACCOUNTS] = 8,
    [GENERATION] = 9, [IMPERSONATOR] = 10, [SCOPES] = 11,
};

enum {
    STATUS_COLUMN = 4,
    TTL_MS_COLUMN = 12, /* of an API key */
};


/* 0 when the credential is one that was replaced. */
static int
principal_is(tn_op *op, const tn__resolver *r, const tn_str facts[FOUND])
{
    tn__principal *p;

    p = &op->principal;

    if (!tn__int_parse(&p->generation, facts[GENERATION]) ||
        (tn__credentials[r->kind].secret &&
         p->generation != r->claims.generation)) {
        return 0;
    }

    p->user = facts[USER];
    p->role_name = facts[ROLE];
    p->roles = facts[ROLES];
    p->accounts = facts[ACCOUNTS];
    p->impersonator = facts[IMPERSONATOR].n ? facts[IMPERSONATOR] : TN_NULL;

    if (tn__credentials[r->kind].scoped) {
        p->api_key = tn__uuid_str(r->claims.session);
        p->scopes = facts[SCOPES];
    }

    return 1;
}


/* An entry that is complete. It may be of another secret. */
static void
session_read(tn_op *op, tn__resolver *r)
{
    tn_err err;
    tn_str facts[KEPT];

    err = tn__facts_unpack(facts, forms, KEPT, r->entry.packed, op->mem);

    if (err == TN_E_NOMEM) {
        tn__fail(op, err, NULL);
        return;
    }

    if (err != TN_OK || !principal_is(op, r, facts)) {
        return;
    }

    r->session_known = 1;
    r->session_tenant = (tn__tenant){
        .id = facts[TENANT],
        .realm = facts[REALM],
        .slug = facts[SLUG],
        .active = tn__eq(facts[STATUS], TN_STR("active")),
    };
}


/* Its first cell, or a tombstone: known, and nobody. */
static void
session_open(tn_op *op, tn__resolver *r, tn_str value)
{
    tn__entry_init(&r->entry, r->stamp, session_name(r));

    if (tn__eq(value, TN__ZONE_NOBODY)) {
        r->session_known = 1;

    } else if (!tn__entry_open(&r->entry, op, value)) {
        r->entry.nparts = 0;

    } else if (r->entry.nparts) {
        tn__entry_ask(&r->entry, op);

    } else {
        session_read(op, r);
    }
}


/* Further cells. */
static void
session_heard(tn_op *op, tn__resolver *r, const tn_input *input)
{
    if (!tn__entry_heard(&r->entry, op, input)) {
        r->entry.nparts = 0;

    } else if (r->entry.at < r->entry.nparts) {
        tn__entry_ask(&r->entry, op);

    } else {
        r->entry.nparts = 0;
        session_read(op, r);
    }
}


static void
read_stamp(tn__resolver *r, tn_str stamp)
{
    if (stamp.p && stamp.n == TN__STAMP_LEN) {
        memcpy(r->stamp_bytes, stamp.p, TN__STAMP_LEN);
        r->stamp = (tn_str){ r->stamp_bytes, TN__STAMP_LEN };
    }
}


int
tn__session_cached(tn_op *op, tn__resolver *r, const tn_input *input)
{
    if (r->entry.nparts) {
        session_heard(op, r, input);

    } else if (r->session_taken) {
        session_open(op, r, input->values[0]);

    } else {
        read_stamp(r, input->values[r->slot_access]);
        tn__plan_cached(op, r, input->values[r->slot_plan]);

        if (input->values[r->slot_session].p == NULL) {
            return 1;
        }

        session_open(op, r, input->values[r->slot_session]);
    }

    if (op->want.kind != TN_WANT_NONE) {
        return 0;
    }

    if (r->session_known || r->session_taken || r->stamp.p == NULL ||
        op->phase == TN__PHASE_DONE) {
        return 1;
    }

    r->session_taken = 1;
    tn__zone_key(&op->zone[0], TN_ZONE_GET, op, session_kind(r),
                 session_owner(r), session_name(r));
    tn__want_zone(op, 1);

    return 0;
}


/* An entry doesn't outlive what it was made by. */
static uint32_t
entry_ttl(const tn_rows *rows)
{
    int64_t left;

    return tn__int_parse(&left, tn__cell(rows, 0, TTL_MS_COLUMN)) &&
                   left < SESSION_TTL
               ? (uint32_t) left
               : SESSION_TTL;
}


tn_err
tn__session_found(tn_op *op, tn__resolver *r, const tn_rows *rows)
{
    tn_err err;
    unsigned i;
    tn_str own, shared, facts[KEPT];

    r->session_known = 1;

    if (rows->nrows == 0) {
        return TN_OK;
    }

    err = tn__tenant_row(&r->session_tenant, op, rows);

    for (i = 0; i < FOUND && err == TN_OK; i++) {
        err = tn__dup(&facts[i], tn__cell(rows, 0, columns[i]), op->mem);
    }

    if (err != TN_OK || !principal_is(op, r, facts) || r->stamp.p == NULL) {
        return err;
    }

    facts[TENANT] = r->session_tenant.id;
    facts[REALM] = r->session_tenant.realm;
    facts[SLUG] = r->session_tenant.slug;
    facts[STATUS] = tn__cell(rows, 0, STATUS_COLUMN);
    err = tn__facts_pack(&own, facts, forms, OWN, op->mem);

    if (err == TN_OK) {
        err = tn__facts_pack(&shared, facts + OWN, forms + OWN, KEPT - OWN,
                             op->mem);
    }

    if (err == TN_OK && own.p && shared.p) {
        r->entry_ttl = entry_ttl(rows);
        tn__entry_init(&r->entry, r->stamp, session_name(r));
        err = tn__entry_make(&r->entry, op, own, shared);
    }

    return err;
}


void
tn__session_keep(tn_op *op, tn__resolver *r, unsigned *n)
{
    tn_zone_cmd *cmd;

    if (r->entry.head.p == NULL) {
        return;
    }

    tn__entry_send(&r->entry, op, n, SESSION_TTL);

    if (*n == TN_ZONE_CMDS_MAX) {
        return;
    }

    cmd = &op->zone[(*n)++];
    tn__zone_key(cmd, TN_ZONE_ADD, op, session_kind(r), session_owner(r),
                 session_name(r));
    cmd->value = r->entry.head;
    cmd->ttl_ms = r->entry_ttl;
    r->entry.head = TN_NULL;
}


void
tn__access_changed(tn_op *op, tn_zone_cmd *cmd, tn_str tenant_id)
{
    access_stamp(op, cmd, TN_ZONE_SET, tenant_id);
}


void
tn__sessions_ended(tn_op *op, tn_str tenants)
{
    if (tenants.p && tn__dup(&op->also_access, tenants, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
    }
}


int
tn__access_void(tn_op *op)
{
    unsigned n;

    for (n = 0; n < TN_ZONE_CMDS_MAX && op->also_access.n; n++) {
        tn__access_changed(op, &op->zone[n], tn__split(&op->also_access, ','));
    }

    if (n) {
        tn__want_zone(op, n);
    }

    return n != 0;
}


void
tn__session_tombstone(tn_op *op, tn_zone_cmd *cmd, tn_str session_id)
{
    tn__zone_key(cmd, TN_ZONE_SET, op, TN_STR("session"), op->tenant.id,
                 session_id);
    cmd->value = TN__ZONE_NOBODY;
    cmd->ttl_ms = TOMBSTONE_TTL;
}
