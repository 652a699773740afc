/*
 * bind.c: statements with named parameters.
 */

#include "libcore/model/model.h"

#include <sodium.h>


static const struct {
    tn_str name;
    tn__source source;
} context_names[] = {
    { TN_STR_C("tenant"), TN__BIND_TENANT },
    { TN_STR_C("realm"), TN__BIND_REALM },
    { TN_STR_C("actor"), TN__BIND_ACTOR },
    { TN_STR_C("session"), TN__BIND_SESSION },
    { TN_STR_C("impersonator"), TN__BIND_IMPERSONATOR },
    { TN_STR_C("api_key"), TN__BIND_API_KEY },
    { TN_STR_C("request_id"), TN__BIND_REQUEST_ID },
    { TN_STR_C("ip"), TN__BIND_IP },
    { TN_STR_C("user_agent"), TN__BIND_USER_AGENT },
    { TN_STR_C("event_id"), TN__BIND_EVENT_ID },
    { TN_STR_C("salt"), TN__BIND_SALT },
    { TN_STR_C("id"), TN__BIND_ID },
    { TN_STR_C("idem_key"), TN__BIND_IDEM_KEY },
    { TN_STR_C("idem_hash"), TN__BIND_IDEM_HASH },
    { TN_STR_C("idem_lock"), TN__BIND_IDEM_LOCK },
    { TN_STR_C("own"), TN__BIND_OWN },
    { TN_STR_C("reach"), TN__BIND_REACH },
    { TN_STR_C("reach_own"), TN__BIND_REACH_OWN },
    { TN_STR_C("sight"), TN__BIND_SIGHT },
    { TN_STR_C("sight_own"), TN__BIND_SIGHT_OWN },
    { TN_STR_C("sight_any"), TN__BIND_SIGHT_ANY },
    { TN_STR_C("shared_with"), TN__BIND_SHARED },
    { TN_STR_C("mask"), TN__BIND_MASK },
};

#define NBINDS_MAX (TN__FIELDS_MAX * 2 + 32)


static int
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}


/* A field's parameter is ":f_title", so that a column named "id", "tenant"
 * or "mask" can't take the place of the context's. */
static void
resolve(tn__bind *bind, tn_str name, const tn__field *fields, unsigned nfields)
{
    unsigned i;
    tn_str field;

    bind->field = 0;
    bind->name = name;

    for (i = 0; i < sizeof(context_names) / sizeof(context_names[0]); i++) {
        if (tn__eq(name, context_names[i].name)) {
            bind->source = context_names[i].source;
            return;
        }
    }

    bind->source = TN__BIND_LOCAL;

    if (tn__starts(name, TN_STR("f_"))) {
        field = tn__sub(name, 2, name.n);

        for (i = 0; i < nfields; i++) {
            if (tn__eq(field, fields[i].name)) {
                bind->source = TN__BIND_FIELD;
                bind->field = i;
                return;
            }
        }
    }
}


static unsigned
number_of(tn__bind *binds, unsigned *n, tn_str name, const tn__field *fields,
          unsigned nfields)
{
    unsigned i;

    for (i = 0; i < *n; i++) {
        if (tn__eq(binds[i].name, name)) {
            return i + 1;
        }
    }

    if (*n == NBINDS_MAX) {
        return 0;
    }

    resolve(&binds[(*n)++], name, fields, nfields);

    return *n;
}


tn_err
tn__bound_compile(tn__bound *out, tn_str sql, const tn__field *fields,
                  unsigned nfields, tn_mem *mem)
{
    size_t i, start;
    unsigned n, number;
    char quote, *name;
    tn__bind binds[NBINDS_MAX], *kept;
    tn__buf text;
    unsigned char hash[16];

    n = 0;
    quote = 0;
    tn__buf_init(&text, mem, sql.n + 64);

    for (i = 0; i < sql.n; i++) {
        if (quote) {
            quote = sql.p[i] == quote ? 0 : quote;

        } else if (sql.p[i] == '\'' || sql.p[i] == '"') {
            quote = sql.p[i];

        } else if (sql.p[i] == ':' && i + 1 < sql.n && sql.p[i + 1] == ':') {
            tn__buf_lit(&text, "::");
            i++;
            continue;

        } else if (sql.p[i] == ':' && i + 1 < sql.n && is_name(sql.p[i + 1])) {
            start = i + 1;

            while (i + 1 < sql.n && is_name(sql.p[i + 1])) {
                i++;
            }

            number = number_of(binds, &n, tn__sub(sql, start, i + 1), fields,
                               nfields);
            if (number == 0) {
                return TN_E_INTERNAL;
            }

            tn__buf_char(&text, '$');
            tn__buf_int(&text, number);
            continue;
        }

        tn__buf_char(&text, sql.p[i]);
    }

    if (tn__buf_str(&out->stmt.sql, &text) != TN_OK) {
        return TN_E_NOMEM;
    }

    kept = tn__alloc(mem, (n + 1) * sizeof(tn__bind));
    name = tn__alloc(mem, 3 + 2 * sizeof(hash) + 1);
    if (kept == NULL || name == NULL) {
        return TN_E_NOMEM;
    }

    memcpy(kept, binds, n * sizeof(tn__bind));

    for (i = 0; i < n; i++) {
        if (tn__dup(&kept[i].name, binds[i].name, mem) != TN_OK) {
            return TN_E_NOMEM;
        }
    }

    crypto_generichash(hash, sizeof(hash),
                       (const unsigned char *) out->stmt.sql.p, out->stmt.sql.n,
                       NULL, 0);
    memcpy(name, "tn_", 3);
    sodium_bin2hex(name + 3, 2 * sizeof(hash) + 1, hash, sizeof(hash));

    out->stmt.name.p = name;
    out->stmt.name.n = 3 + 2 * sizeof(hash);
    out->stmt.nparams = n;
    out->binds = kept;

    return TN_OK;
}
