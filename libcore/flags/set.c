/*
 * set.c: all flags of a tenant, as the node knows them.
 *
 *   state   does                                          then
 *   STAMP   reads the stamp of the tenant's flags, made
 *           here if there is none                         ENTRY
 *   ENTRY   looks for what was read under that stamp      OPEN
 *   OPEN    has it, or the first cell of it               PARTS, ASK
 *   PARTS   hears the further ones                        PARTS, ASK
 *   ASK     asks the database                             ROWS
 *   ROWS    hears it                                      KEEP
 *   KEEP    keeps it for the next                         KEEP
 *
 * A change sets a new stamp before its answer leaves, and an entry lies under the
 * stamp that was there before the database was asked. So whoever asks afterwards,
 * on any worker of the node, doesn't find what was; a reader who was late keeps
 * something that nobody asks for. On other nodes an entry ends within FLAGS_TTL.
 */

#include "libcore/flags/set.h"
#include "gen/queries.h"

#define FLAGS_TTL 5000   /* ms */
#define STAMP_TTL 300000 /* any: its end costs look-ups, no more */

#define SEPARATOR '\x1f'

enum {
    STAMP,
    ENTRY,
    OPEN,
    PARTS,
    ASK,
    ROWS,
    KEEP,
};


static void
stamp(tn_op *op, tn_zone_cmd *cmd, tn_zone_verb verb)
{
    tn__rng_bytes(&op->rng, op->flags_stamp, TN__STAMP_LEN);
    tn__zone_key(cmd, verb, op, TN_STR("flags"), op->tenant.id, TN_STR(""));
    cmd->ttl_ms = STAMP_TTL;
    cmd->value = (tn_str){ (char *) op->flags_stamp, TN__STAMP_LEN };
}


void
tn__flags_changed(tn_op *op, tn_zone_cmd *cmd)
{
    stamp(op, cmd, TN_ZONE_SET);
}


static void
find_stamp(tn_op *op)
{
    stamp(op, &op->zone[0], TN_ZONE_ADD);
    op->zone[1] = op->zone[0];
    op->zone[1].verb = TN_ZONE_GET;
    tn__want_zone(op, 2);
}


static void
entry_key(const tn__flag_set *set, tn_op *op, tn_zone_cmd *cmd,
          tn_zone_verb verb)
{
    tn__zone_key(cmd, verb, op, TN_STR("flags_of"), set->stamp, op->tenant.id);
}


/* Its parts lie under no stamp, but by what they hold: read anew, the same flags
 * take the cells that they have. Which of them count says the first cell, that
 * does lie under the stamp. */
static void
entry_init(tn__flag_set *set, tn_op *op)
{
    tn__entry_init(&set->entry, op->tenant.id, op->tenant.id);
    set->entry.max = TN__FLAGS_PARTS_MAX;
}


/* 0: the zone keeps nothing, so there is nothing to look for. */
static int
find_entry(tn__flag_set *set, tn_op *op, tn_str value)
{
    if (value.p == NULL || value.n != TN__STAMP_LEN) {
        return 0;
    }

    memcpy(set->stamp_bytes, value.p, TN__STAMP_LEN);
    set->stamp = (tn_str){ set->stamp_bytes, TN__STAMP_LEN };
    entry_key(set, op, &op->zone[0], TN_ZONE_GET);
    tn__want_zone(op, 1);

    return 1;
}


/* What the entry holds, once it is complete. An empty set is a line's end. */
static void
take(tn__flag_set *set)
{
    if (set->entry.packed.n) {
        set->text = tn__sub(set->entry.packed, 1, set->entry.packed.n);
    }
}


static void
open_entry(tn__flag_set *set, tn_op *op, tn_str value)
{
    entry_init(set, op);

    if (!tn__entry_open(&set->entry, op, value)) {
        set->entry.nparts = 0;

    } else if (set->entry.nparts) {
        tn__entry_ask(&set->entry, op);

    } else {
        take(set);
    }
}


static void
hear_parts(tn__flag_set *set, tn_op *op, const tn_input *input)
{
    if (!tn__entry_heard(&set->entry, op, input)) {
        set->entry.nparts = 0;

    } else if (set->entry.at < set->entry.nparts) {
        tn__entry_ask(&set->entry, op);

    } else {
        take(set);
    }
}


static void
ask(tn_op *op)
{
    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, &tn__q_flags_load);
    tn__want_db(op);
}


static void
hear_rows(tn__flag_set *set, tn_op *op, const tn_input *input)
{
    tn_err err;
    tn_str parts[2];
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    parts[0] = TN_STR("\n");
    parts[1] = tn__cell(rows, 0, 0);
    entry_init(set, op);
    err = tn__cat(&set->entry.packed, parts, 2, op->mem);

    if (err == TN_OK && set->stamp.p) {
        err = tn__entry_make(&set->entry, op, TN_STR(""), set->entry.packed);
    }

    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return;
    }

    take(set);
}


/* Parts first: who finds the first cell is to find them. */
static void
keep(tn__flag_set *set, tn_op *op)
{
    unsigned n;
    tn_zone_cmd *cmd;

    n = 0;

    if (set->entry.head.p == NULL) {
        return;
    }

    tn__entry_send(&set->entry, op, &n, FLAGS_TTL);

    if (n < TN_ZONE_CMDS_MAX) {
        cmd = &op->zone[n++];
        entry_key(set, op, cmd, TN_ZONE_SET);
        cmd->value = set->entry.head;
        cmd->ttl_ms = FLAGS_TTL;
        set->entry.head = TN_NULL;
    }

    tn__want_zone(op, n);
}


int
tn__flag_set_find(tn__flag_set *set, tn_op *op, const tn_input *input)
{
    while (op->want.kind == TN_WANT_NONE && op->phase != TN__PHASE_DONE) {
        switch (set->state++) {

        case STAMP:
            find_stamp(op);
            break;

        case ENTRY:
            if (!find_entry(set, op, input->values[1])) {
                set->state = ASK;
            }
            break;

        case OPEN:
            open_entry(set, op, input->values[0]);
            break;

        case PARTS:
            if (set->entry.nparts && set->text.p == NULL) {
                hear_parts(set, op, input);

                if (op->want.kind != TN_WANT_NONE) {
                    set->state = PARTS;
                }
            }

            if (set->text.p) {
                return 1;
            }
            break;

        case ASK:
            ask(op);
            break;

        case ROWS:
            hear_rows(set, op, input);
            break;

        case KEEP:
            keep(set, op);

            if (op->want.kind == TN_WANT_NONE) {
                return op->phase != TN__PHASE_DONE;
            }

            set->state = KEEP;
            break;
        }
    }

    return 0;
}


int
tn__flag_set_next(tn_str *key, tn_str *document, tn_str *rest)
{
    if (rest->n == 0) {
        return 0;
    }

    *document = tn__split(rest, '\n');
    *key = tn__split(document, SEPARATOR);

    return document->p != NULL;
}
