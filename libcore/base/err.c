/*
 * err.c: what an error looks like to a client, out of TN_ERROR_MAP.
 */

#include "libcore/base/base.h"

typedef struct err_row {
    unsigned status;
    tn_str code;
    tn_str title;
    tn_str detail;
} err_row;

#define TN_X(name, status, code, title, detail)                  \
    [TN_E_##name] = { (status), TN_STR_C(code), TN_STR_C(title), \
                      TN_STR_C(detail) },

static const err_row err_rows[TN_E_COUNT] = {
    [TN_OK] = { 200, TN_STR_C("ok"), TN_STR_C("OK"), TN_STR_C("") },
    TN_ERROR_MAP(TN_X)
};

#undef TN_X


static const err_row *
err_find(tn_err err)
{
    if ((unsigned) err >= TN_E_COUNT || err == TN_E_NOMEM) {
        err = TN_E_INTERNAL;
    }

    return &err_rows[err];
}


unsigned
tn_err_status(tn_err err)
{
    return err_find(err)->status;
}


tn_str
tn_err_code(tn_err err)
{
    return err_find(err)->code;
}


tn_str
tn_err_title(tn_err err)
{
    return err_find(err)->title;
}


tn_str
tn_err_detail(tn_err err)
{
    return err_find(err)->detail;
}
