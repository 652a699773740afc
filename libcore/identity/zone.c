/*
 * zone.c: keys and values of zone entries. Keys are keyed hashes: nobody can
 * make two names fall on one, or tell a token from what lies in the zone.
 */

#include "libcore/identity/zone.h"

#define TOMBSTONE_TTL 60000 /* ms: longer than any reader may be late */


void
tn__zone_key(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_op *op, tn_str kind,
             tn_str a, tn_str b)
{
    tn_str parts[3];

    cmd->verb = verb;
    cmd->value = TN_NULL;
    cmd->ttl_ms = 0;

    parts[0] = kind;
    parts[1] = a;
    parts[2] = b;
    tn__mac(cmd->key, TN_ZONE_KEY_LEN, op->core->conf.secret, parts, 3);
}


tn_err
tn__zone_value(tn_str *out, tn_op *op, const tn_str *parts, unsigned n)
{
    unsigned i;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, 192);

    for (i = 0; i < n; i++) {
        if (i) {
            tn__buf_char(&buf, TN__ZONE_SEPARATOR);
        }
        tn__buf_add(&buf, parts[i]);
    }

    return tn__buf_str(out, &buf);
}


int
tn__zone_tenant(tn__tenant *tenant, tn_str *rest)
{
    tn_str status;

    tenant->id = tn__split(rest, TN__ZONE_SEPARATOR);
    tenant->realm = rest->p ? tn__split(rest, TN__ZONE_SEPARATOR) : TN_NULL;
    tenant->slug = rest->p ? tn__split(rest, TN__ZONE_SEPARATOR) : TN_NULL;
    status = rest->p ? tn__split(rest, TN__ZONE_SEPARATOR) : TN_NULL;
    tenant->active = tn__eq(status, TN_STR("active"));

    return tenant->id.n == TN__UUID_TEXT && tenant->slug.p && status.p;
}


void
tn__session_tombstone(tn_op *op, tn_zone_cmd *cmd)
{
    tn__zone_key(cmd, TN_ZONE_SET, op, TN_STR("session"), op->tenant.id,
                 op->principal.session);
    cmd->value = TN__ZONE_NOBODY;
    cmd->ttl_ms = TOMBSTONE_TTL;
}


void
tn__access_changed(tn_op *op, tn_zone_cmd *cmd, tn_str tenant_id)
{
    tn__zone_key(cmd, TN_ZONE_SET, op, TN_STR("access"), tenant_id,
                 TN_STR(""));
    cmd->value = tn__new_id(op);
    cmd->ttl_ms = TOMBSTONE_TTL;
}


void
tn__tenant_gone(tn_op *op, tn_zone_cmd cmds[2])
{
    unsigned i;

    tn__zone_key(&cmds[0], TN_ZONE_SET, op, TN_STR("tenant"), op->tenant.slug,
                 TN_STR(""));
    tn__zone_key(&cmds[1], TN_ZONE_SET, op, TN_STR("tenant_id"), op->tenant.id,
                 TN_STR(""));

    for (i = 0; i < 2; i++) {
        cmds[i].value = TN__ZONE_NOBODY;
        cmds[i].ttl_ms = TOMBSTONE_TTL;
    }
}
