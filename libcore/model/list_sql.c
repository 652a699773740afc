/*
 * list_sql.c: the statement of a list, by shape.
 */

#include "libcore/model/compile.h"


#define LIT tn__buf_lit
#define ADD tn__buf_add


static void
filters(tn__buf *sql, const tn__resource *resource, uint64_t mask)
{
    unsigned i;
    const tn__field *field;

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!(mask & ((uint64_t) 1 << i))) {
            continue;
        }

        LIT(sql, " and ");
        tn__sql_column(sql, TN_STR("t"), field->name);
        LIT(sql, " = ");
        tn__sql_value(sql, field);
    }
}


tn_err
tn__list_compile(tn__bound *out, const tn__resource *resource,
                 const tn__list_shape *shape, tn_mem *mem)
{
    tn_err err;
    tn_str text;
    tn__buf sql;

    tn__buf_init(&sql, mem, 1024);

    LIT(&sql, "select ");
    tn__resource_columns(&sql, resource, TN_STR("t"));
    LIT(&sql, ", ");
    tn__sql_column(&sql, TN_STR("t"), shape->sort->name);
    LIT(&sql, " as after_value, t.id as after_id from ");
    ADD(&sql, resource->relation);
    LIT(&sql, " t where t.tenant_id = :tenant::uuid");

    if (resource->soft_delete) {
        LIT(&sql, " and t.deleted_at is null");
    }

    if (shape->own) {
        LIT(&sql, " and ");
        tn__sql_column(&sql, TN_STR("t"), resource->owner);
        LIT(&sql, " = :actor::uuid");
    }

    filters(&sql, resource, shape->filters);

    if (shape->after) {
        LIT(&sql, " and (");
        tn__sql_column(&sql, TN_STR("t"), shape->sort->name);
        ADD(&sql,
            shape->ascending ? TN_STR(", t.id) > (") : TN_STR(", t.id) < ("));
        LIT(&sql, ":after_value::");
        ADD(&sql, tn__field_sql_type(shape->sort));
        LIT(&sql, ", :after_id::uuid)");
    }

    LIT(&sql, " order by ");
    tn__sql_column(&sql, TN_STR("t"), shape->sort->name);
    ADD(&sql, shape->ascending ? TN_STR(", t.id") : TN_STR(" desc, t.id desc"));
    LIT(&sql, " limit :limit::bigint");

    err = tn__buf_str(&text, &sql);
    if (err != TN_OK) {
        return err;
    }

    return tn__bound_compile(out, text, resource->fields, resource->nfields,
                             mem);
}
