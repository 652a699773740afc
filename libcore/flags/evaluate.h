/*
 * flags/evaluate.h: what a flag answers to a context. Pure functions over JSON
 * trees; private to this folder and its tests.
 *
 * A flag is the document that tenon.flag_document() writes:
 *
 *     {"version": 3, "enabled": true, "default": "off", "off": "off",
 *      "variants": {"on": true, "off": false},
 *      "rules": [{"when": [{"attribute": "plan", "op": "in",
 *                           "values": ["pro"]}],
 *                 "split": [{"variant": "on", "weight": 20},
 *                           {"variant": "off", "weight": 80}]}]}
 *
 * Members that are null count as absent ones.
 */

#ifndef TN__FLAGS_EVALUATE_H
#define TN__FLAGS_EVALUATE_H

#include "libcore/base/base.h"

typedef enum tn__flag_error {
    TN__FLAG_OK,
    TN__FLAG_NO_TARGETING_KEY, /* the rule that holds splits by it */
    TN__FLAG_BROKEN,           /* the flag isn't what it should be */
    TN__FLAG_TOO_LONG,         /* the context's work doesn't suffice */
} tn__flag_error;

/*
 * What flags are evaluated for, in one request: some comparisons, however many
 * flags they belong to. A unit is one of two short values; longer ones are more
 * (condition.c). All units take a fraction of a millisecond; single short
 * attributes hardly come near it, whatever flags there are.
 */
#define TN__FLAG_WORK 25000

typedef struct tn__flag_context {
    const cJSON *members; /* an object; NULL: an empty one */
    unsigned n;           /* how many */
    unsigned left;        /* of TN__FLAG_WORK */
} tn__flag_context;

void tn__flag_context_init(tn__flag_context *context, const cJSON *members);

/* Both lie in the flag's tree; without an error they are there. */
typedef struct tn__flag_value {
    tn__flag_error error;
    tn_str reason;        /* OpenFeature's word for it; static */
    const cJSON *variant; /* its name is ->string, its value the node itself */
} tn__flag_value;

/* What `flag`, whose key is `key`, answers to a context, whose work it spends. */
void tn__flag_evaluate(tn__flag_value *out, tn_str key, const cJSON *flag,
                       tn__flag_context *context);

/* Where somebody falls among 2^32 places: the first four bytes, the highest
 * first, of SHA-256 over the flag's key, ":" and the targeting key. */
uint32_t tn__flag_bucket(tn_str key, tn_str targeting_key);

enum {
    TN__CONDITION_TOO_LONG = -2,
    TN__CONDITION_BROKEN = -1, /* it isn't what it should be */
    TN__CONDITION_FAILS = 0,
    TN__CONDITION_HOLDS = 1,
};

/* Whether a condition of a rule holds: one of these. */
int tn__flag_condition(const cJSON *condition, tn__flag_context *context);

/* Member of an object; NULL when it is absent or null. */
const cJSON *tn__flag_member(const cJSON *object, const char *name);

#endif
