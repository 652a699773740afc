/*
 * list_sql.c: the statement of a list, by shape.
 */

#include "libcore/model/sql.h"


#define LIT tn__buf_lit
#define ADD tn__buf_add


static void
filters(tn__buf *sql, const tn__list_shape *shape)
{
    unsigned i;
    const tn__field *field;
    static const tn_str before[] = {
        [TN__COMPARE_EQ] = TN_STR_C(" = "),
        [TN__COMPARE_ANY] = TN_STR_C(" = any("),
        [TN__COMPARE_NE] = TN_STR_C(" is distinct from "),
        [TN__COMPARE_GT] = TN_STR_C(" > "),
        [TN__COMPARE_GTE] = TN_STR_C(" >= "),
        [TN__COMPARE_LT] = TN_STR_C(" < "),
        [TN__COMPARE_LTE] = TN_STR_C(" <= "),
    };

    for (i = 0; i < shape->nfilters; i++) {
        field = shape->filters[i].field;

        if (shape->filters[i].compare == TN__COMPARE_CONTAINS) {
            LIT(sql, " and t.id in (select s.id from ");
            ADD(sql, field->contains);
            LIT(sql, "(:v");
            tn__buf_int(sql, i);
            LIT(sql, "::jsonb) s (id))");
            continue;
        }

        LIT(sql, " and ");
        tn__sql_column(sql, TN_STR("t"), field->name);
        ADD(sql, before[shape->filters[i].compare]);
        LIT(sql, ":v");
        tn__buf_int(sql, i);
        LIT(sql, "::");
        ADD(sql, tn__field_sql_type(field));

        if (shape->filters[i].compare == TN__COMPARE_ANY) {
            LIT(sql, "[])");
        }
    }
}


tn_err
tn__list_compile(tn__bound *out, const tn__resource *resource,
                 const tn__list_shape *shape, tn_mem *mem)
{
    tn__buf sql;

    tn__buf_init(&sql, mem, 1024);

    LIT(&sql, "select ");
    tn__resource_columns(&sql, resource, TN_STR("t"));
    LIT(&sql, " from ");
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

    if (shape->within == 1) {
        LIT(&sql, " and ");
        tn__sql_column(&sql, TN_STR("t"), resource->account);
        LIT(&sql, " = any(:reach::uuid[])");

    } else if (shape->within) {
        LIT(&sql, " and ");
        tn__sql_within(&sql, resource, TN_STR("t"), TN__WITHIN_REACH,
                       TN_STR("read"));
    }

    if (shape->nested) {
        LIT(&sql, " and ");
        tn__sql_column(&sql, TN_STR("t"), resource->parent_field->name);
        LIT(&sql, " = :id::uuid");
    }

    if (shape->history) {
        LIT(&sql, " and t.resource_id = :id::uuid"
                  " and t.resource = :history::text"
                  " and t.outcome = 'success'");
    }

    if (shape->search) {
        LIT(&sql, " and t.id in (select s.id from ");
        ADD(&sql, resource->search);
        LIT(&sql, "(:q::text) s (id))");
    }

    filters(&sql, shape);

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

    return tn__sql_read_end(out, &sql, resource);
}
