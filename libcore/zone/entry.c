/*
 * entry.c: an entry of the zone that may be longer than a cell.
 *
 *     first cell   stamp | number of parts 1 | [name 16 | seal 16] | own bytes,
 *                  and those that are shared where they fit
 *     part i       shared bytes: TN_ZONE_VALUE_MAX of them, the last one fewer
 *
 * Parts lie under a key made of the stamp, their name and their number, and the
 * name is a keyed hash of all that they hold. So all credentials of a person,
 * however many, have the same parts; and whoever reads a first cell finds parts of
 * those very bytes, read under the same stamp, or none. Once all are there the
 * hash is computed again. The seal, a keyed hash of whose entry it is, its own
 * bytes and the name, says the same of the first cell. So cells that gave way, were
 * never written or aren't where they belong cost a look-up, and nobody has a part
 * of an entry.
 *
 * Parts are sent before the first cell, and overwrite what is there: under that
 * key nothing else can be. That renews those of an entry of which one was lost,
 * without a word to its first cell, which ADD could not change; and readers who
 * come at one time write the same cells. They only fill room that is left: who
 * has much makes nobody lose a count or the mark of a logout.
 *
 * The first cell says how long the entry counts; a part that outlives it is found
 * by nobody. One thing that mends a part can do is late: a reader that asked the
 * database before a change which this node can't stamp (by SQL, or on another
 * node) still sends parts under the stamp in force. If a first cell of the same
 * facts had lost them, it is whole once more, though a newer entry may lie beside
 * it. It says what was so within its own five seconds, and ends with them: later
 * than what such a change is promised to take, nobody has the old rights.
 */

#include "libcore/zone/zone.h"

#define PART TN_ZONE_VALUE_MAX


static void
name_parts(unsigned char out[TN__ENTRY_DIGEST], const tn_op *op, tn_str shared)
{
    tn_str parts[2];

    parts[0] = TN_STR("parts");
    parts[1] = shared;
    tn__siphash(out, op->core->zone_key, parts, 2);
}


static void
seal(unsigned char out[TN__ENTRY_DIGEST], const tn__entry *entry,
     const tn_op *op, tn_str own)
{
    tn_str parts[4];

    parts[0] = TN_STR("entry");
    parts[1] = entry->of;
    parts[2] = own;
    parts[3] = (tn_str){ (const char *) entry->name, TN__ENTRY_DIGEST };
    tn__siphash(out, op->core->zone_key, parts, 4);
}


static void
part_key(tn_zone_cmd *cmd, tn_zone_verb verb, const tn__entry *entry,
         const tn_op *op, unsigned i)
{
    unsigned char name[TN__ENTRY_DIGEST + 1];

    memcpy(name, entry->name, TN__ENTRY_DIGEST);
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
    entry->max = TN__ENTRY_PARTS_MAX;
}


/* Puts the shared bytes into parts. 0: they, or its own, are too many. */
static int
lay_out(tn__entry *entry, tn_op *op, tn_str own, tn_str shared, size_t room)
{
    size_t nparts;

    nparts = (shared.n + PART - 1) / PART;

    if (own.n > room || nparts > entry->max) {
        return 0;
    }

    entry->nparts = (unsigned) nparts;
    entry->shared = shared;
    name_parts(entry->name, op, shared);

    return 1;
}


tn_err
tn__entry_make(tn__entry *entry, tn_op *op, tn_str own, tn_str shared)
{
    char parts;
    size_t room;
    tn_str head[6];
    unsigned char sealed[TN__ENTRY_DIGEST];

    room = PART - entry->stamp.n - 1;
    head[2] = head[3] = TN_NULL;
    head[4] = own;
    head[5] = shared;

    if (own.n + shared.n > room) {
        if (!lay_out(entry, op, own, shared, room - 2 * TN__ENTRY_DIGEST)) {
            return TN_OK;
        }

        seal(sealed, entry, op, own);
        head[2] = (tn_str){ (char *) entry->name, TN__ENTRY_DIGEST };
        head[3] = (tn_str){ (char *) sealed, TN__ENTRY_DIGEST };
        head[5] = TN_NULL;
    }

    parts = (char) entry->nparts;
    head[0] = entry->stamp;
    head[1] = (tn_str){ &parts, 1 };

    return tn__cat(&entry->head, head, 6, op->mem);
}


void
tn__entry_send(tn__entry *entry, tn_op *op, unsigned *n, uint32_t ttl)
{
    tn_zone_cmd *cmd;

    for (; entry->at < entry->nparts && *n < TN_ZONE_CMDS_MAX; entry->at++) {
        cmd = &op->zone[(*n)++];
        part_key(cmd, TN_ZONE_FILL, entry, op, entry->at);
        cmd->ttl_ms = ttl;
        cmd->value = tn__sub(entry->shared, entry->n, entry->n + PART);
        entry->n += cmd->value.n;
    }
}


/* Name and seal off the front of *rest; 0 unless the seal is this entry's. */
static int
open_seal(tn__entry *entry, const tn_op *op, tn_str *rest)
{
    unsigned char found[TN__ENTRY_DIGEST];
    const char *sealed;

    if (entry->nparts > entry->max || rest->n < 2 * TN__ENTRY_DIGEST) {
        return 0;
    }

    memcpy(entry->name, rest->p, TN__ENTRY_DIGEST);
    sealed = rest->p + TN__ENTRY_DIGEST;
    *rest = tn__sub(*rest, 2 * TN__ENTRY_DIGEST, rest->n);
    seal(found, entry, op, *rest);

    return memcmp(found, sealed, TN__ENTRY_DIGEST) == 0;
}


int
tn__entry_open(tn__entry *entry, tn_op *op, tn_str value)
{
    size_t n;
    tn_str stamp, rest;

    stamp = entry->stamp;
    n = stamp.n + 1;

    if (stamp.p == NULL || value.n <= n ||
        !tn__eq(tn__sub(value, 0, stamp.n), stamp)) {
        return 0;
    }

    entry->nparts = (unsigned char) value.p[stamp.n];
    rest = tn__sub(value, n, value.n);

    if (entry->nparts && !open_seal(entry, op, &rest)) {
        return 0;
    }

    entry->p = tn__alloc(op->mem, rest.n + entry->nparts * PART);
    if (entry->p == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    entry->own = entry->n = rest.n;
    memcpy(entry->p, rest.p, rest.n);

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
    name_parts(found, op, tn__sub(entry->packed, entry->own, entry->n));

    return memcmp(found, entry->name, TN__ENTRY_DIGEST) == 0;
}
