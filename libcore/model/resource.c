/*
 * resource.c: rows of the catalogue as field and resource rows.
 */

#include "libcore/model/compile.h"


static const struct {
    tn_str sql;
    tn__type type;
    int64_t min; /* what the column can hold; 0, 0: no bound of its own */
    int64_t max;
} types[] = {
    { TN_STR_C("text"), TN__TYPE_TEXT, 0, 0 },
    { TN_STR_C("uuid"), TN__TYPE_UUID, 0, 0 },
    { TN_STR_C("bigint"), TN__TYPE_INT, 0, 0 },
    { TN_STR_C("integer"), TN__TYPE_INT, INT32_MIN, INT32_MAX },
    { TN_STR_C("smallint"), TN__TYPE_INT, INT16_MIN, INT16_MAX },
    { TN_STR_C("numeric"), TN__TYPE_NUMBER, 0, 0 },
    { TN_STR_C("double precision"), TN__TYPE_NUMBER, 0, 0 },
    { TN_STR_C("boolean"), TN__TYPE_BOOL, 0, 0 },
    { TN_STR_C("timestamp with time zone"), TN__TYPE_TIME, 0, 0 },
    { TN_STR_C("jsonb"), TN__TYPE_JSON, 0, 0 },
};


static int
is_true(tn_str cell)
{
    return cell.n && cell.p[0] == 't';
}


static tn_err
fault_of(tn__compiler *c, const tn__resource *resource, tn_str field,
         tn_str what)
{
    tn_str parts[5];

    parts[0] = resource->full_name;
    parts[1] = TN_STR(".");
    parts[2] = field;
    parts[3] = TN_STR(": ");
    parts[4] = what;

    return tn__compile_fault(c, parts, 5);
}


static tn_err
compile_type(tn__compiler *c, tn__field *field, const tn__resource *resource,
             tn_str sql)
{
    unsigned i;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (!tn__eq(types[i].sql, sql)) {
            continue;
        }

        field->type = types[i].type;

        if (types[i].max) {
            field->has_min = field->has_max = 1;
            field->min = types[i].min;
            field->max = types[i].max;
        }

        return tn__compile_dup(&field->sql_type, c, sql);
    }

    return fault_of(c, resource, field->name,
                    TN_STR("its type can't be served; use text, uuid, bigint, "
                           "integer, smallint, numeric, double precision, "
                           "boolean, timestamptz or jsonb"));
}


static tn_err
compile_set(tn__compiler *c, tn__field *field, tn_str json)
{
    cJSON *array;
    const cJSON *item;
    tn_str *set;
    tn__json_fault fault;

    if (json.p == NULL) {
        return TN_OK;
    }

    if (tn__json_parse(&array, json, &fault, c->mem) != TN_OK) {
        return TN_E_NOMEM;
    }

    set = tn__alloc(c->mem,
                    ((size_t) cJSON_GetArraySize(array) + 1) * sizeof(tn_str));
    if (set == NULL) {
        return TN_E_NOMEM;
    }

    cJSON_ArrayForEach(item, array)
    {
        if (cJSON_IsString(item)) {
            set[field->nset].p = item->valuestring;
            set[field->nset++].n = strlen(item->valuestring);
        }
    }

    field->set = set;

    return TN_OK;
}


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

        reference->living = is_true(tn__compile_cell(c, READ_REFERENCES, i, 5));
        reference->parent = is_true(tn__compile_cell(c, READ_REFERENCES, i, 6));
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


/* A column's name stands in statements, as a parameter's and as text. */
static int
is_plain(tn_str name)
{
    size_t i;

    for (i = 0; i < name.n; i++) {
        if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || name.p[i] == '_' ||
              (i && name.p[i] >= '0' && name.p[i] <= '9'))) {
            return 0;
        }
    }

    return name.n > 0;
}


static int
is_hidden(tn_str name)
{
    return tn__eq(name, TN_STR("tenant_id")) ||
           tn__eq(name, TN_STR("deleted_at"));
}


/* Declared bounds, within what the column can hold. */
static void
narrow(tn__field *field, tn_str min, tn_str max)
{
    int64_t n;

    if (tn__int_parse(&n, min) && (!field->has_min || n > field->min)) {
        field->has_min = 1;
        field->min = n;
    }

    if (tn__int_parse(&n, max) && (!field->has_max || n < field->max)) {
        field->has_max = 1;
        field->max = n;
    }
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
        err = compile_type(c, field, resource, CELL(3));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&field->default_sql, c, CELL(5));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&pattern, c, CELL(8));
    }

    if (err == TN_OK) {
        err = compile_set(c, field, CELL(9));
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
    narrow(field, CELL(6), CELL(7));
    field->nullable = !is_true(CELL(4));
    field->filter =
        is_true(CELL(10)) || tn__eq(field->name, TN_STR("created_at"));
    field->sort =
        is_true(CELL(11)) || tn__eq(field->name, TN_STR("created_at"));
    field->out = 1;

    writable = !is_system(field->name) && !is_true(CELL(12));
    field->create = writable;
    field->update = writable && !is_true(CELL(13));
    field->required =
        writable && !field->nullable && field->default_sql.p == NULL;

    if (field->filter && field->type == TN__TYPE_JSON) {
        return fault_of(c, resource, field->name,
                        TN_STR("is declared filter => true, but JSON can't be "
                               "compared in a query string"));
    }

    if (field->sort && field->nullable) {
        return fault_of(c, resource, field->name,
                        TN_STR("is declared sort => true but may be null; "
                               "make the column not null"));
    }

#undef CELL

    return TN_OK;
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

            if (!is_plain(name)) {
                return fault_of(c, resource, name,
                                TN_STR("a column's name must be made of a-z, "
                                       "0-9 and _"));
            }

            if (resource->nfields == TN__FIELDS_MAX) {
                return fault_of(c, resource, name,
                                TN_STR("more than 62 columns"));
            }

            err = compile_field(c, &fields[resource->nfields], resource, i);
            if (err != TN_OK) {
                return err;
            }

            if (fields[resource->nfields].type == TN__TYPE_NUMBER) {
                resource->binary = 0;
            }

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
        TN_STR("id"),         TN_STR("version"),    TN_STR("created_at"),
        TN_STR("created_by"), TN_STR("updated_at"), resource->owner,
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!tn__field_find(resource->fields, resource->nfields, names[i])) {
            return fault_of(c, resource, names[i],
                            TN_STR("there is no such column; every resource "
                                   "needs it"));
        }
    }

    return TN_OK;
}


tn_err
tn__compile_fields(tn__compiler *c, tn__field *fields, unsigned n)
{
    int code;
    tn_err err;
    unsigned i;
    tn__buf key;
    tn_str pattern, parts[3];
    PCRE2_SIZE offset;

    for (i = 0; i < n; i++) {
        tn__buf_init(&key, c->mem, fields[i].name.n + 4);
        tn__buf_json(&key, fields[i].name);
        tn__buf_char(&key, ':');

        err = tn__buf_str(&fields[i].key, &key);
        if (err != TN_OK) {
            return err;
        }

        if (fields[i].pattern == NULL) {
            continue;
        }

        /* a pattern that backtracks without end must not hold up a worker */
        parts[0] = TN_STR("(*LIMIT_MATCH=100000)");
        parts[1] = (tn_str){ fields[i].pattern, strlen(fields[i].pattern) };
        err = tn__cat(&pattern, parts, 2, c->mem);
        if (err != TN_OK) {
            return err;
        }

        fields[i].regex = pcre2_compile((PCRE2_SPTR) pattern.p, pattern.n,
                                        PCRE2_UTF, &code, &offset, NULL);
        if (fields[i].regex == NULL) {
            parts[0] = fields[i].name;
            parts[1] = TN_STR(": its pattern is no regular expression: ");
            parts[2] = (tn_str){ fields[i].pattern, strlen(fields[i].pattern) };
            return tn__compile_fault(c, parts, 3);
        }

        pcre2_jit_compile(fields[i].regex, PCRE2_JIT_COMPLETE);
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
    resource->soft_delete = is_true(CELL(4));
    resource->require_match = is_true(CELL(9));
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


void
tn__compile_parents(tn__compiler *c)
{
    unsigned i, k;
    tn__resource *child, *other;

    for (i = 0; i < c->cat->nresources; i++) {
        child = c->cat->resources[i];

        for (k = 0; child->parent.p && k < c->cat->nresources; k++) {
            other = c->cat->resources[k];

            if (tn__eq(other->app, child->app) &&
                tn__eq(other->name, child->parent)) {
                child->parent_resource = other;
            }
        }
    }
}
