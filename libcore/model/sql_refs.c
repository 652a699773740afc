/*
 * sql_refs.c: references in a write: what a row points at must be there, in
 * this tenant and alive; and a parent must live for any change of its child.
 * A statement of accounts takes only what the principal may read for there,
 * and only an account in which it may do what it does.
 */

#include "libcore/model/sql.h"


#define LIT tn__buf_lit
#define ADD tn__buf_add


/* exists (select from x p where p.tenant_id = … and p."id" = VALUE …) */
static void
exists_open(tn__buf *sql, const tn__reference *reference, int within)
{
    LIT(sql, "exists (select from ");
    ADD(sql, reference->relation);
    LIT(sql, " p where p.tenant_id = :tenant::uuid");

    if (reference->living) {
        LIT(sql, " and p.deleted_at is null");
    }

    if (within && reference->account.p) {
        LIT(sql, " and (:");
        ADD(sql, reference->reach);
        LIT(sql, "::uuid[] is null or ");
        tn__sql_column(sql, TN_STR("p"), reference->account);
        LIT(sql, " = any(:");
        ADD(sql, reference->reach);
        LIT(sql, "::uuid[]))");
    }

    LIT(sql, " and ");
    tn__sql_column(sql, TN_STR("p"), reference->column);
    LIT(sql, " = ");
}


static int
is_account(const tn__resource *resource, const tn__field *field)
{
    return resource->within && resource->account.p &&
           tn__eq(resource->account, field->name);
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
there(tn__buf *sql, const tn__field *field, tn_str alias, int within)
{
    tn__buf_char(sql, '(');
    tn__sql_column(sql, alias, field->name);
    LIT(sql, " is null or ");
    exists_open(sql, field->reference, within);
    tn__sql_column(sql, alias, field->name);
    LIT(sql, "))");
}


/* goal."account_id", :f_account_id::uuid */
static void
goal(tn__buf *sql, const tn__field *field, tn__change change)
{
    if (change == TN__CHANGE_ROLLBACK) {
        tn__sql_column(sql, TN_STR("goal"), field->name);
    } else {
        tn__sql_value(sql, field);
    }
}


/* The account that the row comes to is one in which the principal may do this;
 * the one that it stays in may be named. */
static void
new_account(tn__buf *sql, const tn__resource *resource, const tn__field *field,
            unsigned i, tn__change change)
{
    int create;

    create = change == TN__CHANGE_CREATE;
    LIT(sql, "coalesce(");

    if (!create) {
        if (change == TN__CHANGE_UPDATE) {
            LIT(sql, "not (");
            tn__sql_masked(sql, i);
            LIT(sql, ") or ");
        }

        goal(sql, field, change);
        LIT(sql, " is not distinct from ");
        tn__sql_column(sql, TN_STR("old"), field->name);
        LIT(sql, " or ");
    }

    tn__buf_char(sql, '(');
    goal(sql, field, change);
    LIT(sql, " = any(:reach::uuid[]) or ");

    if (create) {
        LIT(sql, ":own::uuid is not null or ");
    } else {
        tn__sql_column(sql, TN_STR("old"), resource->owner);
        LIT(sql, " = :own::uuid or ");
        tn__sql_column(sql, TN_STR("old"), resource->owner);
        LIT(sql, " = :actor::uuid and ");
    }

    goal(sql, field, change);
    LIT(sql, " = any(:reach_own::uuid[])) and (");
    goal(sql, field, change);
    LIT(sql, " is null or ");
    exists_open(sql, field->reference, 0);
    goal(sql, field, change);
    LIT(sql, ")), false)");
}


/* What the change sets the field to is there. */
static void
new_value(tn__buf *sql, const tn__resource *resource, const tn__field *field,
          unsigned i, tn__change change)
{
    if (change == TN__CHANGE_RESTORE ||
        (change != TN__CHANGE_CREATE && !field->update)) {
        LIT(sql, "true");
        return;
    }

    if (is_account(resource, field)) {
        new_account(sql, resource, field, i, change);
        return;
    }

    if (change == TN__CHANGE_ROLLBACK) {
        there(sql, field, TN_STR("goal"), resource->within);
        return;
    }

    LIT(sql, "(not (");
    tn__sql_masked(sql, i);
    LIT(sql, ") or ");
    tn__sql_value(sql, field);
    LIT(sql, " is null or ");
    exists_open(sql, field->reference, resource->within);
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
        there(sql, field, TN_STR("old"), 0);
        tn__buf_char(sql, ')');
        return;
    }

    there(sql, field, TN_STR("old"), 0);
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
        new_value(sql, resource, field, i, change);
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
            there(sql, field, TN_STR("old"), 0);
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
