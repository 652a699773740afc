/*
 * zone.c: keys and values of zone entries. Keys are keyed hashes: nobody can
 * make two names fall on one, or tell a token from what lies in the zone.
 */

#include "libcore/zone/zone.h"

#include <arpa/inet.h>

/* A house has all of a /64: addresses within it are one, but for IPv4's, which
 * a socket of both has within a single one. */
#define PREFIX_LEN 8


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
    tn__siphash(cmd->key, op->core->zone_key, parts, 3);
}


void
tn__zone_address(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_op *op,
                 tn_str kind)
{
    tn_str address;
    char text[INET6_ADDRSTRLEN];
    struct in6_addr raw;

    address = op->address;

    if (address.n && memchr(address.p, ':', address.n)) {
        memcpy(text, address.p, address.n);
        text[address.n] = '\0';

        if (inet_pton(AF_INET6, text, &raw) == 1 &&
            !IN6_IS_ADDR_V4MAPPED(&raw)) {
            address = (tn_str){ (const char *) &raw, PREFIX_LEN };
        }
    }

    tn__zone_key(cmd, verb, op, kind, address, TN_STR(""));
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


tn_err
tn__zone_keep(tn_op *op, unsigned *n, tn_str kind, tn_str a, tn_str b,
              const tn_str *parts, unsigned nparts, uint32_t ttl)
{
    tn_err err;
    tn_zone_cmd *cmd;

    cmd = &op->zone[*n];
    tn__zone_key(cmd, TN_ZONE_ADD, op, kind, a, b);
    cmd->ttl_ms = ttl;
    err = tn__zone_value(&cmd->value, op, parts, nparts);

    if (err == TN_OK && cmd->value.n <= TN_ZONE_VALUE_MAX) {
        (*n)++;
    }

    return err;
}
