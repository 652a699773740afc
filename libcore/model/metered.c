/*
 * metered.c: the names by which plans tell tenants apart: features that an app
 * asks for, and units that are counted. Each gets a number in the catalogue, so
 * that a request compares no names.
 */

#include "libcore/model/compile.h"


const tn_str tn__period_names[TN_PERIOD_MONTH + 1] = {
    [TN_PERIOD_NONE] = TN_STR_C(""),
    [TN_PERIOD_MINUTE] = TN_STR_C("minute"),
    [TN_PERIOD_HOUR] = TN_STR_C("hour"),
    [TN_PERIOD_DAY] = TN_STR_C("day"),
    [TN_PERIOD_MONTH] = TN_STR_C("month"),
};


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
    c->cat->meters[TN__METER_API_CALLS] = TN_STR(TN__NAME_API_CALLS);
    c->cat->meters[TN__METER_API_RATE] = TN_STR(TN__NAME_API_RATE);
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


static const struct {
    const char *name;
    tn__kind kind;
} kinds[] = {
    { "create", TN__KIND_CREATE },     { "update", TN__KIND_UPDATE },
    { "delete", TN__KIND_DELETE },     { "restore", TN__KIND_RESTORE },
    { "rollback", TN__KIND_ROLLBACK },
};


static tn_err
read_kinds(unsigned *out, tn__compiler *c, tn_str json)
{
    tn_err err;
    unsigned i, k, n;
    const tn_str *names;

    *out = 0;
    n = 0;
    err = tn__compile_set(c, &names, &n, json);

    for (i = 0; err == TN_OK && i < n; i++) {
        for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            if (tn__eq(names[i], tn__compile_str(kinds[k].name))) {
                *out |= 1u << kinds[k].kind;
            }
        }
    }

    return err;
}


tn_err
tn__compile_unit(tn__unit *out, tn__compiler *c, tn_str meter, tn_str units,
                 tn_str json)
{
    tn_err err;
    tn_str parts[3];

    memset(out, 0, sizeof(*out));

    if (meter.n == 0) {
        return TN_OK;
    }

    if (!tn__int_parse(&out->units, units) || out->units < 1) {
        parts[0] = TN_STR("\"");
        parts[1] = meter;
        parts[2] = TN_STR("\" counts no units: load its app anew");
        return tn__compile_fault(c, parts, 3);
    }

    err = number(&out->number, c, c->cat->meters, &c->cat->nmeters,
                 TN__METERS_MAX, meter);

    if (err == TN_OK) {
        out->meter = c->cat->meters[out->number];
        err = read_kinds(&out->kinds, c, json);
    }

    return err;
}
