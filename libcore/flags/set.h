/*
 * flags/set.h: all flags of a tenant, out of the zone or the database. Private
 * to this folder.
 */

#ifndef TN__FLAGS_SET_H
#define TN__FLAGS_SET_H

#include "libcore/flags/flags.h"
#include "libcore/zone/zone.h"

/* 120 KB: more than what a tenant's flags may come to (tenon.flags_refused). */
#define TN__FLAGS_PARTS_MAX 240

typedef struct tn__flag_set {
    unsigned state;
    char stamp_bytes[TN__STAMP_LEN];
    tn_str stamp; /* under which it counts; absent: nothing is kept */
    tn__entry entry;
    tn_str text; /* found: a line for each, in the order of their keys */
} tn__flag_set;

/* Finds the flags of the op's tenant. Called until it answers 1, with `input`
 * from the second time on: then set->text is there. Else it has wished, or the
 * op has failed. Begins zeroed. */
int tn__flag_set_find(tn__flag_set *set, tn_op *op, const tn_input *input);

/* Takes the next flag off the front of *rest: its key, and its document as
 * evaluate.h has it. 0: there are no more. */
int tn__flag_set_next(tn_str *key, tn_str *document, tn_str *rest);

#endif
