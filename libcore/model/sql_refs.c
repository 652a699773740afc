/*
 * sql_refs.c: references in a write: what a row points at must be there, in
 * this tenant and alive; and a parent must live for any change of its child.
 */

#include "libcore/model/sql.h"


#define LIT tn__buf_lit
#define ADD tn__buf_add


/* exists (select from x p where p.tenant_id = … and p."id" = VALUE …) */
static void
exists_open(tn__buf *sql, const tn__reference *reference)
{
    LIT(sql, "exists (select from ");
    ADD(sql, reference->relation);
    LIT(sql, " p where p.tenant_id = :tenant::uuid");

    if (reference->living) {
        LIT(sql, " and p.deleted_at is null");
    }

    LIT(sql, " and ");
    tn__sql_column(sql, TN_STR("p"), reference->column);
    LIT(sql, " = ");
}


int
tn__field_checked(const tn__field *field, int update)
{
    if (field->reference == NULL) {
        return 0;
    }

    return update ? field->update || field->reference->parent : field->create;
}


/* (x is null or exists (…)) */
static void
there(tn__buf *sql, const tn__field *field, tn_str alias)
{
    tn__buf_char(sql, '(');
    tn__sql_column(sql, alias, field->name);
    LIT(sql, " is null or ");
    exists_open(sql, field->reference);
    tn__sql_column(sql, alias, field->name);
    LIT(sql, "))");
}


/* What the change sets the field to is there. */
static void
new_value(tn__buf *sql, const tn__field *field, unsigned i, tn__change change)
{
    if (change == TN__CHANGE_RESTORE ||
        (change != TN__CHANGE_CREATE && !field->update)) {
        LIT(sql, "true");
        return;
    }

    if (change == TN__CHANGE_ROLLBACK) {
        there(sql, field, TN_STR("goal"));
        return;
    }

    LIT(sql, "(not (");
    tn__sql_masked(sql, i);
    LIT(sql, ") or ");
    tn__sql_value(sql, field);
    LIT(sql, " is null or ");
    exists_open(sql, field->reference);
    tn__sql_value(sql, field);
    LIT(sql, "))");
}


/* A parent that the change doesn't set still lives. */
static void
old_value(tn__buf *sql, const tn__field *field, unsigned i, tn__change change)
{
    if (change == TN__CHANGE_ROLLBACK && field->update) {
        LIT(sql, "true");
        return;
    }

    if (change == TN__CHANGE_UPDATE && field->update) {
        tn__buf_char(sql, '(');
        tn__sql_masked(sql, i);
        LIT(sql, " or ");
        there(sql, field, TN_STR("old"));
        tn__buf_char(sql, ')');
        return;
    }

    there(sql, field, TN_STR("old"));
}


unsigned
tn__sql_refs(tn__buf *sql, const tn__resource *resource, tn__change change)
{
    unsigned i, n;
    const tn__field *field;

    for (i = 0, n = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!tn__field_checked(field, change != TN__CHANGE_CREATE)) {
            continue;
        }

        ADD(sql, n++ ? TN_STR(", ") : TN_STR(",\nref as (select "));
        new_value(sql, field, i, change);
        LIT(sql, " as r");
        tn__buf_int(sql, i);

        if (change != TN__CHANGE_CREATE && field->reference->parent) {
            LIT(sql, ", ");
            old_value(sql, field, i, change);
            LIT(sql, " as alive");
            tn__buf_int(sql, i);
        }
    }

    if (n == 0) {
        return 0;
    }

    switch (change) {
    case TN__CHANGE_CREATE:
        LIT(sql, ")");
        break;
    case TN__CHANGE_ROLLBACK:
        LIT(sql, " from old, goal)");
        break;
    default:
        LIT(sql, " from old)");
        break;
    }

    return n;
}


int
tn__sql_alive(tn__buf *sql, const tn__resource *resource)
{
    int found;
    unsigned i;
    const tn__field *field;

    for (i = 0, found = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (field->reference && field->reference->parent) {
            ADD(sql, found++ ? TN_STR(" and ") : TN_STR(",\nref as (select "));
            there(sql, field, TN_STR("old"));
        }
    }

    ADD(sql, found ? TN_STR(" as alive from old)") : TN_STR(""));

    return found;
}


void
tn__sql_ref_names(tn__buf *sql, const tn__resource *resource, tn__change change,
                  tn_str before)
{
    unsigned i;
    const tn__field *field;

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!tn__field_checked(field, change != TN__CHANGE_CREATE)) {
            continue;
        }

        ADD(sql, before);
        LIT(sql, "ref.r");
        tn__buf_int(sql, i);

        if (change != TN__CHANGE_CREATE && field->reference->parent) {
            ADD(sql, before);
            LIT(sql, "ref.alive");
            tn__buf_int(sql, i);
        }
    }
}
