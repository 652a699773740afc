/*
 * resource.c: rows of the catalogue as field and resource rows.
 */

#include "libcore/model/compile.h"


static tn_err
compile_edges(tn__compiler *c, tn__field *field, const tn__resource *resource)
{
    unsigned i, n;
    tn__edge *edges;

    n = tn__compile_rows(c, READ_TRANSITIONS);
    edges = tn__alloc(c->mem, (n + 1) * sizeof(tn__edge));
    if (edges == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < n; i++) {
        if (!tn__eq(tn__compile_cell(c, READ_TRANSITIONS, i, 0),
                    resource->app) ||
            !tn__eq(tn__compile_cell(c, READ_TRANSITIONS, i, 1),
                    resource->name) ||
            !tn__eq(tn__compile_cell(c, READ_TRANSITIONS, i, 2), field->name)) {
            continue;
        }

        if (tn__compile_dup(&edges[field->nedges].from, c,
                            tn__compile_cell(c, READ_TRANSITIONS, i, 3)) !=
                TN_OK ||
            tn__compile_dup(&edges[field->nedges].to, c,
                            tn__compile_cell(c, READ_TRANSITIONS, i, 4)) !=
                TN_OK) {
            return TN_E_NOMEM;
        }

        field->nedges++;
    }

    field->edges = edges;

    return TN_OK;
}


static tn_err
compile_reference(tn__compiler *c, tn__field *field,
                  const tn__resource *resource)
{
    unsigned i;
    tn__reference *reference;

    for (i = 0; i < tn__compile_rows(c, READ_REFERENCES); i++) {
        if (!tn__eq(tn__compile_cell(c, READ_REFERENCES, i, 0),
                    resource->app) ||
            !tn__eq(tn__compile_cell(c, READ_REFERENCES, i, 1),
                    resource->name) ||
            !tn__eq(tn__compile_cell(c, READ_REFERENCES, i, 2), field->name)) {
            continue;
        }

        reference = tn__zalloc(c->mem, sizeof(tn__reference));
        if (reference == NULL ||
            tn__compile_dup(&reference->relation, c,
                            tn__compile_cell(c, READ_REFERENCES, i, 3)) !=
                TN_OK ||
            tn__compile_dup(&reference->column, c,
                            tn__compile_cell(c, READ_REFERENCES, i, 4)) !=
                TN_OK) {
            return TN_E_NOMEM;
        }

        reference->living =
            tn__pg_true(tn__compile_cell(c, READ_REFERENCES, i, 5));
        reference->parent =
            tn__pg_true(tn__compile_cell(c, READ_REFERENCES, i, 6));
        field->reference = reference;
        return TN_OK;
    }

    return TN_OK;
}


/* The columns that every resource has: shown, never written by a body. */
static int
is_system(tn_str name)
{
    return tn__eq(name, TN_STR("id")) || tn__eq(name, TN_STR("version")) ||
           tn__eq(name, TN_STR("created_at")) ||
           tn__eq(name, TN_STR("created_by")) ||
           tn__eq(name, TN_STR("updated_at"));
}


static int
is_hidden(tn_str name)
{
    return tn__eq(name, TN_STR("tenant_id")) ||
           tn__eq(name, TN_STR("deleted_at"));
}


/* What the declaration refused may have come about since, by states that were
 * declared after it or by SQL. */
static tn_err
check_encrypted(tn__compiler *c, const tn__field *field,
                const tn__resource *resource)
{
    if (field->type == TN__TYPE_TEXT && field->default_sql.p == NULL &&
        !field->filter && !field->sort && !field->nedges && !field->reference &&
        field->update) {
        return TN_OK;
    }

    return tn__compile_field_fault(
        c, resource->full_name, field->name,
        TN_STR("is encrypted, so it must be text that the API may write, "
               "without default, states, filter, sort or reference"));
}


static tn_err
compile_field(tn__compiler *c, tn__field *field, const tn__resource *resource,
              unsigned row)
{
    tn_err err;
    tn_str pattern;
    unsigned writable;

#define CELL(col) tn__compile_cell(c, READ_FIELDS, row, col)

    err = tn__compile_dup(&field->name, c, CELL(2));

    if (err == TN_OK) {
        err = tn__compile_type(c, field, resource->full_name, CELL(3));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&field->default_sql, c, CELL(5));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&pattern, c, CELL(8));
    }

    if (err == TN_OK) {
        err = tn__compile_set(c, &field->set, &field->nset, CELL(9));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&field->contains, c, CELL(15));
    }

    if (err == TN_OK) {
        err = compile_edges(c, field, resource);
    }

    if (err == TN_OK) {
        err = compile_reference(c, field, resource);
    }

    if (err != TN_OK) {
        return err;
    }

    field->pattern = pattern.p;
    tn__compile_narrow(field, CELL(6), CELL(7));
    field->nullable = !tn__pg_true(CELL(4));
    field->filter =
        tn__pg_true(CELL(10)) || tn__eq(field->name, TN_STR("created_at"));
    field->sort =
        tn__pg_true(CELL(11)) || tn__eq(field->name, TN_STR("created_at"));
    field->pii = tn__pg_true(CELL(14));
    field->encrypted = tn__pg_true(CELL(16));
    field->out = 1;

    writable = !is_system(field->name) && !tn__pg_true(CELL(12));
    field->create = writable;
    field->update = writable && !tn__pg_true(CELL(13));
    field->required =
        writable && !field->nullable && field->default_sql.p == NULL;

    if (field->filter && field->type == TN__TYPE_JSON) {
        return tn__compile_field_fault(
            c, resource->full_name, field->name,
            TN_STR("is declared filter => true, but JSON can't be "
                   "compared in a query string"));
    }

    if (field->sort && field->nullable) {
        return tn__compile_field_fault(
            c, resource->full_name, field->name,
            TN_STR("is declared sort => true but may be null; "
                   "make the column not null"));
    }

#undef CELL

    return field->encrypted ? check_encrypted(c, field, resource) : TN_OK;
}


/* id first, the app's columns as the table has them, then the rest. */
static unsigned
rank(tn_str name)
{
    if (tn__eq(name, TN_STR("id"))) {
        return 0;
    }

    return is_system(name) ? 2 : 1;
}


static tn_err
compile_columns(tn__compiler *c, tn__resource *resource)
{
    tn_err err;
    tn_str name;
    unsigned i, n, pass;
    tn__field *fields;

    n = tn__compile_rows(c, READ_FIELDS);
    fields = tn__zalloc(c->mem, (TN__FIELDS_MAX + 1) * sizeof(tn__field));
    if (fields == NULL) {
        return TN_E_NOMEM;
    }

    resource->fields = fields;
    resource->binary = 1;

    for (pass = 0; pass < 3; pass++) {
        for (i = 0; i < n; i++) {
            if (!tn__eq(tn__compile_cell(c, READ_FIELDS, i, 0),
                        resource->app) ||
                !tn__eq(tn__compile_cell(c, READ_FIELDS, i, 1),
                        resource->name)) {
                continue;
            }

            name = tn__compile_cell(c, READ_FIELDS, i, 2);
            if (is_hidden(name) || rank(name) != pass) {
                continue;
            }

            if (!tn__compile_plain(name)) {
                return tn__compile_field_fault(
                    c, resource->full_name, name,
                    TN_STR("a column's name must be made of a-z, "
                           "0-9 and _"));
            }

            if (resource->nfields == TN__FIELDS_MAX) {
                return tn__compile_field_fault(c, resource->full_name, name,
                                               TN_STR("more than 62 columns"));
            }

            err = compile_field(c, &fields[resource->nfields], resource, i);
            if (err != TN_OK) {
                return err;
            }

            if (fields[resource->nfields].type == TN__TYPE_NUMBER) {
                resource->binary = 0;
            }

            resource->encrypted |= fields[resource->nfields].encrypted;

            resource->nfields++;
        }
    }

    return tn__compile_fields(c, fields, resource->nfields);
}


/* What the statements name whatever the table looks like. */
static tn_err
require_columns(tn__compiler *c, const tn__resource *resource)
{
    unsigned i;
    tn_str names[] = {
        TN_STR("id"),
        TN_STR("version"),
        TN_STR("created_at"),
        TN_STR("created_by"),
        TN_STR("updated_at"),
        resource->owner,
        resource->account.p ? resource->account : TN_STR("id"),
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!tn__field_find(resource->fields, resource->nfields, names[i])) {
            return tn__compile_field_fault(
                c, resource->full_name, names[i],
                TN_STR("there is no such column; every resource "
                       "needs it"));
        }
    }

    return TN_OK;
}


tn_err
tn__compile_resource(tn__resource **out, tn__compiler *c, unsigned row)
{
    tn_err err;
    tn_str parts[3];
    tn__resource *resource;

#define CELL(col) tn__compile_cell(c, READ_RESOURCES, row, col)

    resource = tn__zalloc(c->mem, sizeof(tn__resource));
    if (resource == NULL) {
        return TN_E_NOMEM;
    }

    *out = resource;
    resource->soft_delete = tn__pg_true(CELL(4));
    resource->require_match = tn__pg_true(CELL(9));
    resource->shareable = tn__pg_true(CELL(14));
    resource->order = TN_STR("created_at");

    err = tn__compile_dup(&resource->app, c, CELL(0));

    if (err == TN_OK) {
        err = tn__compile_dup(&resource->name, c, CELL(1));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&resource->path, c, CELL(2));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&resource->relation, c, CELL(3));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&resource->owner, c, CELL(5));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&resource->parent, c, CELL(6));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&resource->search, c, CELL(8));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&resource->account, c, CELL(13));
    }

    if (err == TN_OK) {
        err = tn__compile_metered(&resource->feature, c, CELL(12), CELL(10));
    }

    if (err == TN_OK) {
        err =
            tn__compile_unit(&resource->unit, c, CELL(10), CELL(11), CELL(15));
    }

    if (err == TN_OK) {
        parts[0] = resource->app;
        parts[1] = TN_STR(".");
        parts[2] = resource->name;
        err = tn__cat(&resource->full_name, parts, 3, c->mem);
    }

    if (err == TN_OK) {
        err = compile_columns(c, resource);
    }

    if (err == TN_OK) {
        err = require_columns(c, resource);
    }

    if (err == TN_OK) {
        resource->parent_field =
            tn__field_find(resource->fields, resource->nfields, CELL(7));
        err = tn__resource_compile(resource, c->mem);
    }

#undef CELL

    return err;
}


tn__resource *
tn__compile_find_resource(const tn__compiler *c, tn_str app, tn_str name)
{
    unsigned i;

    for (i = 0; i < c->cat->nresources; i++) {
        if (tn__eq(c->cat->resources[i]->app, app) &&
            tn__eq(c->cat->resources[i]->name, name)) {
            return c->cat->resources[i];
        }
    }

    return NULL;
}


void
tn__compile_parents(tn__compiler *c)
{
    unsigned i;
    tn__resource *child;

    for (i = 0; i < c->cat->nresources; i++) {
        child = c->cat->resources[i];

        if (child->parent.p) {
            child->parent_resource =
                tn__compile_find_resource(c, child->app, child->parent);
        }
    }
}
