/*
 * metered.c: the names by which plans tell tenants apart: features that an app
 * asks for, and units that are counted. Each gets a number in the catalogue, so
 * that a request compares no names.
 */

#include "libcore/model/compile.h"


static tn_err
number(unsigned *out, tn__compiler *c, tn_str *names, unsigned *n, unsigned max,
       tn_str name)
{
    unsigned i;
    tn_str parts[3];

    for (i = 0; i < *n; i++) {
        if (tn__eq(names[i], name)) {
            *out = i;
            return TN_OK;
        }
    }

    if (*n == max) {
        parts[0] = TN_STR("there are too many features or units for plans to "
                          "tell apart: \"");
        parts[1] = name;
        parts[2] = TN_STR("\" is one more than can be (256 features, 16 "
                          "units)");
        return tn__compile_fault(c, parts, 3);
    }

    *out = (*n)++;

    return tn__compile_dup(&names[*out], c, name);
}


tn_err
tn__compile_meters(tn__compiler *c)
{
    c->cat->meters[TN__METER_SEATS] = TN_STR("seats");
    c->cat->meters[TN__METER_API_CALLS] = TN_STR("api_calls");
    c->cat->nmeters = TN__METERS_OWN;

    return TN_OK;
}


tn_err
tn__compile_metered(unsigned *feature, tn__compiler *c, tn_str name,
                    tn_str unit)
{
    tn_err err;
    unsigned n;
    tn_catalogue *cat;

    cat = c->cat;
    err = TN_OK;
    *feature = 0;

    if (name.n) {
        err = number(&n, c, cat->features, &cat->nfeatures, TN__FEATURES_MAX,
                     name);
        *feature = n + 1;
    }

    if (err == TN_OK && unit.n) {
        err = number(&n, c, cat->meters, &cat->nmeters, TN__METERS_MAX, unit);
    }

    return err;
}
