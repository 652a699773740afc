/*
 * stranger.c: who was refused before anybody knew who they are, and whether a
 * tenant is told (op/after.c writes it down):
 *
 *   auth.cookie_refused   a cookie that is no living session's: forged, or of
 *                         one that has ended or got another
 *   auth.subject_refused  a token that an issuer has made for this tenant, for
 *                         somebody who is nobody here
 *   auth.csrf_refused     a page of another origin asks for a cookie
 *
 * A token of ours that is forged or over is none of them: anybody can send one,
 * and who had one has lost nothing.
 *
 * A stranger chooses what they send and, nearly, from where. So they are counted
 * for the tenant as a whole, in few slots of addresses and windows of an hour:
 * what goes into a tenant's log has a bound that no number of addresses lifts.
 */

#include "libcore/identity/resolve.h"

#define WINDOW 3600000 /* ms */
#define SLOTS  16


/* Told to the tenant that was asked; where none was, to the one that the
 * credential was made for. */
void
tn__stranger_note(tn_op *op, const tn__resolver *r)
{
    tn_str made_for;

    made_for = r->claims.tenant[0] ? tn__uuid_str(r->claims.tenant) : TN_NULL;

    if (r->kind == TN__CREDENTIAL_COOKIE &&
        (op->error == TN_E_UNAUTHENTICATED ||
         op->error == TN_E_TENANT_MISMATCH) &&
        op->audit_actor.p == NULL) {
        op->stranger.action = TN_STR("auth.cookie_refused");

    } else if (r->kind == TN__CREDENTIAL_EXTERNAL &&
               op->error == TN_E_UNAUTHENTICATED && made_for.p &&
               (op->tenant.id.p == NULL || tn__eq(op->tenant.id, made_for))) {
        op->stranger.action = TN_STR("auth.subject_refused");

        if (r->external) {
            op->stranger.issuer = r->external->issuer;
            op->stranger.subject = r->external->subject;
        }

    } else {
        return;
    }

    op->audit_tenant = op->tenant;

    if (op->tenant.id.p == NULL) {
        op->audit_tenant.id = made_for;
    }
}


void
tn__stranger_count(tn_op *op, tn_zone_cmd *cmd)
{
    char slot;

    tn__zone_address(cmd, TN_ZONE_COUNT, op, TN_STR("stranger"));
    slot = (char) (cmd->key[0] % SLOTS);
    tn__zone_key(cmd, TN_ZONE_COUNT, op, op->stranger.action, op->tenant.id,
                 (tn_str){ &slot, 1 });
    cmd->ttl_ms = WINDOW;
}
