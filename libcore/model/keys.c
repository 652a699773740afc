/*
 * keys.c: unique keys of an app's tables, as what breaking one means to a
 * client: a conflict for each of its columns, in their order.
 */

#include "libcore/model/compile.h"


tn_err
tn__compile_keys(tn__compiler *c)
{
    tn_err err;
    unsigned i, n;
    tn_str parts[2];
    tn__conflict *key;

    n = tn__compile_rows(c, READ_KEYS);
    c->cat->keys = tn__zalloc(c->mem, (n + 1) * sizeof(tn__conflict));
    c->cat->key_resources =
        tn__zalloc(c->mem, (n + 1) * sizeof(tn__resource *));

    if (c->cat->keys == NULL || c->cat->key_resources == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < n; i++) {
        key = &c->cat->keys[i];
        key->err = TN_E_DUPLICATE;
        key->fault = TN_F_DUPLICATE;
        c->cat->key_resources[i] =
            tn__compile_find_resource(c, tn__compile_cell(c, READ_KEYS, i, 0),
                                      tn__compile_cell(c, READ_KEYS, i, 1));

        err = tn__compile_dup(&key->constraint, c,
                              tn__compile_cell(c, READ_KEYS, i, 2));

        parts[0] = TN_STR("/");
        parts[1] = tn__compile_cell(c, READ_KEYS, i, 3);

        if (err == TN_OK) {
            err = tn__cat(&key->pointer, parts, 2, c->mem);
        }

        if (err != TN_OK) {
            return err;
        }
    }

    c->cat->nkeys = n;

    return TN_OK;
}


static int
concerns(const tn__endpoint *e, const tn__resource *of)
{
    switch (e->kind) {

    case TN__KIND_CREATE:
    case TN__KIND_UPDATE:
    case TN__KIND_RESTORE:
    case TN__KIND_ROLLBACK:
        return e->resource == of;

    case TN__KIND_ACTION:
        return of && tn__eq(e->resource->app, of->app);

    default:
        return 0;
    }
}


/* The rows are ordered by app and resource: what is wanted stands together. */
void
tn__compile_conflicts(const tn__compiler *c, tn__endpoint *e)
{
    unsigned i;

    for (i = 0; i < c->cat->nkeys; i++) {
        if (concerns(e, c->cat->key_resources[i])) {
            if (e->nconflicts == 0) {
                e->conflicts = &c->cat->keys[i];
            }

            e->nconflicts++;
        }
    }
}
