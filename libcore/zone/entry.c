/*
 * entry.c: an entry of the zone that may be longer than a cell.
 *
 *     first cell   stamp | number of parts 1 | [digest 16] | the first bytes
 *     part i       the next bytes: TN_ZONE_VALUE_MAX of them, the last one fewer
 *
 * The digest is a keyed hash of whose entry it is and of all the bytes. A part
 * lies under a key made of the stamp, the digest and its number, so whoever reads
 * the first cell finds parts of that very entry, read under the same stamp, or
 * none; and once all are there the digest is computed again. So cells that gave
 * way, were never written or aren't where they belong cost a look-up, and nobody
 * has a part of an entry.
 *
 * Parts are sent before the first cell, and overwrite what is there: under that
 * key nothing else can be. That renews those of an entry of which one was lost,
 * without a word to its first cell, which ADD could not change; and readers who
 * come at one time write the same cells.
 *
 * The first cell says how long the entry counts; a part that outlives it is found
 * by nobody.
 */

#include "libcore/zone/zone.h"

#define PART TN_ZONE_VALUE_MAX


static void
digest(unsigned char out[TN__ENTRY_DIGEST], const tn__entry *entry,
       const tn_op *op)
{
    tn_str parts[3];

    parts[0] = TN_STR("entry");
    parts[1] = entry->of;
    parts[2] = entry->packed;
    tn__siphash(out, op->core->zone_key, parts, 3);
}


static void
part_key(tn_zone_cmd *cmd, tn_zone_verb verb, const tn__entry *entry,
         const tn_op *op, unsigned i)
{
    unsigned char name[TN__ENTRY_DIGEST + 1];

    memcpy(name, entry->digest, TN__ENTRY_DIGEST);
    name[TN__ENTRY_DIGEST] = (unsigned char) i;
    tn__zone_key(cmd, verb, op, TN_STR("part"), entry->stamp,
                 (tn_str){ (char *) name, sizeof(name) });
}


void
tn__entry_init(tn__entry *entry, tn_str stamp, tn_str of)
{
    memset(entry, 0, sizeof(*entry));
    entry->stamp = stamp;
    entry->of = of;
}


tn_err
tn__entry_make(tn__entry *entry, tn_op *op, tn_str packed)
{
    char parts;
    size_t first;
    tn_str head[4];

    entry->packed = packed;
    first = PART - entry->stamp.n - 1;

    if (packed.n > first) {
        first -= TN__ENTRY_DIGEST;
        entry->nparts = (unsigned) ((packed.n - first + PART - 1) / PART);
        digest(entry->digest, entry, op);
    }

    if (entry->nparts > TN__ENTRY_PARTS_MAX) {
        entry->nparts = 0;
        return TN_OK;
    }

    entry->n = packed.n < first ? packed.n : first;
    parts = (char) entry->nparts;
    head[0] = entry->stamp;
    head[1] = (tn_str){ &parts, 1 };
    head[2] = (tn_str){ (char *) entry->digest,
                        entry->nparts ? TN__ENTRY_DIGEST : 0 };
    head[3] = tn__sub(packed, 0, entry->n);

    return tn__cat(&entry->head, head, 4, op->mem);
}


void
tn__entry_send(tn__entry *entry, tn_op *op, unsigned *n, uint32_t ttl)
{
    tn_zone_cmd *cmd;

    for (; entry->at < entry->nparts && *n < TN_ZONE_CMDS_MAX; entry->at++) {
        cmd = &op->zone[(*n)++];
        part_key(cmd, TN_ZONE_SET, entry, op, entry->at);
        cmd->ttl_ms = ttl;
        cmd->value = tn__sub(entry->packed, entry->n, entry->n + PART);
        entry->n += cmd->value.n;
    }
}


int
tn__entry_open(tn__entry *entry, tn_op *op, tn_str value)
{
    size_t n;
    tn_str stamp;

    stamp = entry->stamp;
    n = stamp.n + 1;

    if (stamp.p == NULL || value.n <= n ||
        !tn__eq(tn__sub(value, 0, stamp.n), stamp)) {
        return 0;
    }

    entry->nparts = (unsigned char) value.p[stamp.n];

    if (entry->nparts) {
        n += TN__ENTRY_DIGEST;

        if (entry->nparts > TN__ENTRY_PARTS_MAX || value.n != PART) {
            return 0;
        }

        memcpy(entry->digest, value.p + stamp.n + 1, TN__ENTRY_DIGEST);
    }

    entry->p = tn__alloc(op->mem, value.n - n + entry->nparts * PART);
    if (entry->p == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    entry->n = value.n - n;
    memcpy(entry->p, value.p + n, entry->n);

    if (entry->nparts == 0) {
        entry->packed = (tn_str){ entry->p, entry->n };
    }

    return 1;
}


/* How many at a time. */
static unsigned
next_parts(const tn__entry *entry)
{
    unsigned left;

    left = entry->nparts - entry->at;

    return left < TN_ZONE_CMDS_MAX ? left : TN_ZONE_CMDS_MAX;
}


void
tn__entry_ask(const tn__entry *entry, tn_op *op)
{
    unsigned i, n;

    n = next_parts(entry);

    for (i = 0; i < n; i++) {
        part_key(&op->zone[i], TN_ZONE_GET, entry, op, entry->at + i);
    }

    tn__want_zone(op, n);
}


int
tn__entry_heard(tn__entry *entry, tn_op *op, const tn_input *input)
{
    tn_str part;
    unsigned i, n;
    unsigned char found[TN__ENTRY_DIGEST];

    n = next_parts(entry);

    for (i = 0; i < n; i++) {
        part = input->values[i];

        if (part.n == 0 || part.n > PART ||
            (part.n < PART && entry->at + 1 < entry->nparts)) {
            return 0;
        }

        memcpy(entry->p + entry->n, part.p, part.n);
        entry->n += part.n;
        entry->at++;
    }

    if (entry->at < entry->nparts) {
        return 1;
    }

    entry->packed = (tn_str){ entry->p, entry->n };
    digest(found, entry, op);

    return memcmp(found, entry->digest, TN__ENTRY_DIGEST) == 0;
}
