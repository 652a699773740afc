/*
 * object.c: what Stripe answers, read: a member that isn't what it should be is
 * one that isn't there.
 */

#include "libcore/stripe/stripe.h"


const cJSON *
tn__stripe_member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}


tn_str
tn__stripe_text(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(tn__stripe_member(object, name));

    return text ? (tn_str){ text, strlen(text) } : TN_NULL;
}


int
tn__stripe_int(int64_t *out, const cJSON *object, const char *name)
{
    const cJSON *node = tn__stripe_member(object, name);

    /* The gate has let no whole number beyond a double's pass. */
    if (!cJSON_IsNumber(node) || node->valuedouble < -9007199254740991.0 ||
        node->valuedouble > 9007199254740991.0 ||
        node->valuedouble != (double) (int64_t) node->valuedouble) {
        return 0;
    }

    *out = (int64_t) node->valuedouble;

    return 1;
}


int
tn__stripe_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(tn__stripe_member(object, name));
}


tn_str
tn__stripe_ref(const cJSON *object, const char *name)
{
    tn_str id = tn__stripe_text(object, name);

    return id.p ? id : tn__stripe_text(tn__stripe_member(object, name), "id");
}


const cJSON *
tn__stripe_item(const cJSON *list, unsigned i)
{
    const cJSON *data = tn__stripe_member(list, "data");

    return cJSON_IsArray(data) && i <= INT32_MAX
               ? cJSON_GetArrayItem(data, (int) i)
               : NULL;
}
