/*
 * plan.c: the plan of the tenant that a credential names: what the zone keeps
 * of it, and what the database says.
 *
 * A plan counts under the stamp of its tenant's access, as sessions do, so that
 * a change which sets a new stamp holds at this node's next request. All of the
 * tenant's sessions share one entry. It is SET, not added: one that is over
 * needn't be waited for, and a late reader's is of a stamp that nobody asks for,
 * and costs the next one a look-up.
 */

#include "libcore/identity/resolve.h"
#include "gen/queries.h"

#define PLAN_TTL 5000 /* ms */


/* Of the command that looks up the tenant's access: keys are keyed hashes, so
 * its neighbour is nobody else's, and a second hash isn't paid for. */
static void
plan_key(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_zone_cmd *access)
{
    *cmd = *access;
    cmd->verb = verb;
    cmd->key[TN_ZONE_KEY_LEN - 1] ^= 1;
}


unsigned
tn__plan_find(tn_op *op, tn__resolver *r, unsigned n)
{
    r->slot_plan = (int) n;
    plan_key(&op->zone[n], TN_ZONE_GET, &op->zone[n - 1]);

    return n + 1;
}


void
tn__plan_cached(tn_op *op, tn__resolver *r, tn_str value)
{
    r->plan_known =
        !op->plan_anew && tn__plan_unpack(&r->plan, op, r->stamp, value);
}


void
tn__plan_ask(tn_op *op, tn__resolver *r)
{
    r->plan_asked =
        !r->plan_known && !(r->session_known && op->principal.user.p == NULL);

    if (r->plan_asked) {
        tn__local(op, TN_STR("token_tenant"), tn__uuid_str(r->claims.tenant));
        tn__batch_add(op, &tn__q_find_plan);
    }
}


tn_err
tn__plan_found(tn_op *op, tn__resolver *r, const tn_rows *rows, unsigned *n)
{
    tn_err err;
    tn_zone_cmd *cmd, access;

    err = tn__plan_read(&r->plan, op, rows);

    if (err == TN_OK &&
        !tn__uuid_parse(r->plan.tenant, tn__uuid_str(r->claims.tenant))) {
        err = TN_E_INTERNAL;
    }

    if (err != TN_OK || r->stamp.p == NULL) {
        return err;
    }

    cmd = &op->zone[*n];
    tn__zone_key(&access, TN_ZONE_GET, op, TN_STR("access"),
                 tn__uuid_str(r->claims.tenant), TN_STR(""));
    plan_key(cmd, TN_ZONE_SET, &access);
    cmd->ttl_ms = PLAN_TTL;
    err = tn__plan_pack(&cmd->value, op, &r->plan, r->stamp);

    if (err == TN_OK) {
        (*n)++;
    }

    return err;
}
