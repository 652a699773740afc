/*
 * evaluate.c: what a flag answers: switched off, the variant for that; else the
 * first rule whose conditions all hold; else the default.
 *
 *   reason            where
 *   DISABLED          the flag is switched off
 *   TARGETING_MATCH   a rule holds and names a variant
 *   SPLIT             a rule holds and shares out by the targeting key
 *   DEFAULT           there are rules, and none holds
 *   STATIC            there are none
 *
 * A share is a run of places among 2^32, each as long as its weight, in the order
 * of the rule. So everybody keeps their place whatever node asks and whenever, and
 * who had the first variant keeps it while its weight grows.
 */

#include "libcore/flags/evaluate.h"

#include <sodium.h>

#define WEIGHT_MAX 100000
#define SPLIT_MAX  1000 /* shares that are looked at: weights don't run over */


const cJSON *
tn__flag_member(const cJSON *object, const char *name)
{
    const cJSON *node;

    node = object ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;

    return node && !cJSON_IsNull(node) ? node : NULL;
}


void
tn__flag_context_init(tn__flag_context *context, const cJSON *members)
{
    context->members = members;
    context->n = members ? (unsigned) cJSON_GetArraySize(members) : 0;
    context->left = TN__FLAG_WORK;
}


uint32_t
tn__flag_bucket(tn_str key, tn_str targeting_key)
{
    crypto_hash_sha256_state state;
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const unsigned char *) key.p, key.n);
    crypto_hash_sha256_update(&state, (const unsigned char *) ":", 1);
    crypto_hash_sha256_update(&state, (const unsigned char *) targeting_key.p,
                              targeting_key.n);
    crypto_hash_sha256_final(&state, hash);

    return (uint32_t) hash[0] << 24 | (uint32_t) hash[1] << 16 |
           (uint32_t) hash[2] << 8 | hash[3];
}


static void
broken(tn__flag_value *out)
{
    out->error = TN__FLAG_BROKEN;
    out->variant = NULL;
}


/* Answers the variant that `name` names. */
static void
answer(tn__flag_value *out, const cJSON *flag, const cJSON *name, tn_str reason)
{
    const cJSON *variants;

    variants = tn__flag_member(flag, "variants");
    out->variant = cJSON_IsString(name) && cJSON_IsObject(variants)
                       ? tn__flag_member(variants, name->valuestring)
                       : NULL;
    out->reason = reason;

    if (out->variant == NULL) {
        broken(out);
    }
}


static int
weight_of(const cJSON *share)
{
    const cJSON *weight;

    weight = tn__flag_member(share, "weight");

    return cJSON_IsNumber(weight) && weight->valuedouble >= 0 &&
                   weight->valuedouble <= WEIGHT_MAX &&
                   weight->valuedouble == (int) weight->valuedouble
               ? (int) weight->valuedouble
               : -1;
}


/* Whose run of places holds this one. */
static void
split(tn__flag_value *out, tn_str key, const cJSON *flag, const cJSON *shares,
      const cJSON *targeting_key)
{
    int weight;
    unsigned n;
    uint64_t total, place;
    const cJSON *share;

    total = n = 0;

    for (share = shares->child; share; share = share->next) {
        weight = weight_of(share);

        if (weight < 0 || n++ == SPLIT_MAX) {
            broken(out);
            return;
        }

        total += (unsigned) weight;
    }

    if (total == 0) {
        broken(out);
        return;
    }

    place =
        tn__flag_bucket(key, (tn_str){ targeting_key->valuestring,
                                       strlen(targeting_key->valuestring) }) *
            total >>
        32;
    share = shares->child;

    while (place >= (uint64_t) weight_of(share)) {
        place -= (uint64_t) weight_of(share);
        share = share->next;
    }

    answer(out, flag, tn__flag_member(share, "variant"), TN_STR("SPLIT"));
}


/* Whether all conditions of a rule hold, as none do; as a condition says it. */
static int
rule_holds(const cJSON *rule, tn__flag_context *context)
{
    int held;
    const cJSON *when, *condition;

    when = tn__flag_member(rule, "when");

    if (when == NULL) {
        return TN__CONDITION_HOLDS;
    }

    if (!cJSON_IsArray(when)) {
        return TN__CONDITION_BROKEN;
    }

    for (condition = when->child; condition; condition = condition->next) {
        held = tn__flag_condition(condition, context);

        if (held != TN__CONDITION_HOLDS) {
            return held;
        }
    }

    return TN__CONDITION_HOLDS;
}


static void
apply(tn__flag_value *out, tn_str key, const cJSON *flag, const cJSON *rule,
      const tn__flag_context *context)
{
    const cJSON *shares, *targeting_key;

    shares = tn__flag_member(rule, "split");

    if (shares == NULL) {
        answer(out, flag, tn__flag_member(rule, "variant"),
               TN_STR("TARGETING_MATCH"));
        return;
    }

    if (!cJSON_IsArray(shares)) {
        broken(out);
        return;
    }

    targeting_key = tn__flag_member(context->members, "targetingKey");

    if (!cJSON_IsString(targeting_key)) {
        out->error = TN__FLAG_NO_TARGETING_KEY;
        return;
    }

    split(out, key, flag, shares, targeting_key);
}


void
tn__flag_evaluate(tn__flag_value *out, tn_str key, const cJSON *flag,
                  tn__flag_context *context)
{
    int held;
    const cJSON *rules, *rule;

    memset(out, 0, sizeof(*out));

    if (!cJSON_IsTrue(tn__flag_member(flag, "enabled"))) {
        answer(out, flag, tn__flag_member(flag, "off"), TN_STR("DISABLED"));
        return;
    }

    rules = tn__flag_member(flag, "rules");

    if (!cJSON_IsArray(rules)) {
        broken(out);
        return;
    }

    for (rule = rules->child; rule; rule = rule->next) {
        held = rule_holds(rule, context);

        switch (held) {

        case TN__CONDITION_TOO_LONG:
            out->error = TN__FLAG_TOO_LONG;
            return;

        case TN__CONDITION_BROKEN:
            broken(out);
            return;

        case TN__CONDITION_HOLDS:
            apply(out, key, flag, rule, context);
            return;
        }
    }

    answer(out, flag, tn__flag_member(flag, "default"),
           rules->child ? TN_STR("DEFAULT") : TN_STR("STATIC"));
}
