/*
 * calls.c: rows of the catalogue as actions and queries: the functions of an
 * app that are served. What PostgreSQL knows of a function gives types,
 * defaults and columns; the declarations give limits.
 */

#include "libcore/model/compile.h"


/* "clinic.visit.check_in", "clinic.dashboard": for the log. */
static tn_str
full_name(tn__compiler *c, const tn__call *call)
{
    unsigned n;
    tn_str out, parts[5];

    n = 0;
    parts[n++] = call->app;
    parts[n++] = TN_STR(".");

    if (call->resource) {
        parts[n++] = call->resource->name;
        parts[n++] = TN_STR(".");
    }

    parts[n++] = call->name;

    return tn__cat(&out, parts, n, c->mem) == TN_OK ? out : call->name;
}


static tn_err
call_fault(tn__compiler *c, const tn__call *call, tn_str what)
{
    tn_str parts[3];

    parts[0] = full_name(c, call);
    parts[1] = TN_STR(": ");
    parts[2] = what;

    return tn__compile_fault(c, parts, 3);
}


/* Whether a row of another read is of this call: app, kind, resource, name. */
static int
is_of(tn__compiler *c, const tn__call *call, unsigned read, unsigned row)
{
    return tn__eq(tn__compile_cell(c, read, row, 0), call->app) &&
           tn__eq(tn__compile_cell(c, read, row, 1),
                  call->resource ? TN_STR("action") : TN_STR("query")) &&
           tn__eq(tn__compile_cell(c, read, row, 2),
                  call->resource ? call->resource->name : TN_NULL) &&
           tn__eq(tn__compile_cell(c, read, row, 3), call->name);
}


/* Name and type, which arguments and columns have in common. */
static tn_err
begin_field(tn__compiler *c, tn__field *field, const tn__call *call,
            unsigned read, unsigned row)
{
    tn_err err;
    tn_str name;

    name = tn__compile_cell(c, read, row, 4);

    if (!tn__compile_plain(name)) {
        return tn__compile_field_fault(
            c, full_name(c, call), name,
            TN_STR("a name must be made of a-z, 0-9 and _"));
    }

    err = tn__compile_dup(&field->name, c, name);

    return err == TN_OK ? tn__compile_type(c, field, full_name(c, call),
                                           tn__compile_cell(c, read, row, 5))
                        : err;
}


/* "NULL::text" */
static int
is_null(tn_str sql)
{
    return tn__eq(sql, TN_STR("NULL")) || tn__starts(sql, TN_STR("NULL::"));
}


/* One without a default must be there and not null. */
static tn_err
compile_param(tn__compiler *c, tn__field *field, const tn__call *call,
              unsigned row)
{
    tn_err err;
    tn_str pattern;

#define CELL(col) tn__compile_cell(c, READ_PARAMS, row, col)

    err = begin_field(c, field, call, READ_PARAMS, row);

    if (err == TN_OK) {
        err = tn__compile_dup(&field->default_sql, c, CELL(6));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&pattern, c, CELL(9));
    }

    if (err == TN_OK) {
        err = tn__compile_set(c, &field->set, &field->nset, CELL(10));
    }

    if (err != TN_OK) {
        return err;
    }

    field->pattern = pattern.p;
    field->create = 1;
    field->required = field->default_sql.p == NULL;
    field->nullable = is_null(field->default_sql);
    tn__compile_narrow(field, CELL(7), CELL(8));

#undef CELL

    return TN_OK;
}


static tn_err
compile_column(tn__compiler *c, tn__field *field, const tn__call *call,
               unsigned row)
{
    field->out = 1;
    field->nullable = 1; /* nothing says that a function's aren't */

    return begin_field(c, field, call, READ_COLUMNS, row);
}


/* The fields of a call out of a read, each by `one`. *out and *n say at any
 * time what is there to be freed. */
static tn_err
compile_list(tn__compiler *c, tn__field **out, unsigned *n,
             const tn__call *call, unsigned read,
             tn_err (*one)(tn__compiler *c, tn__field *field,
                           const tn__call *call, unsigned row))
{
    tn_err err;
    unsigned row, most;

    for (row = 0, most = 0; row < tn__compile_rows(c, read); row++) {
        most += is_of(c, call, read, row);
    }

    if (most > TN__FIELDS_MAX) {
        return call_fault(c, call, TN_STR("more than 62 arguments or columns"));
    }

    *out = tn__zalloc(c->mem, (most + 1) * sizeof(tn__field));
    if (*out == NULL) {
        return TN_E_NOMEM;
    }

    for (row = 0; row < tn__compile_rows(c, read); row++) {
        if (!is_of(c, call, read, row)) {
            continue;
        }

        err = one(c, &(*out)[*n], call, row);
        if (err != TN_OK) {
            return err;
        }

        if (tn__field_find(*out, *n, (*out)[*n].name)) {
            return tn__compile_field_fault(c, full_name(c, call),
                                           (*out)[*n].name,
                                           TN_STR("is there twice"));
        }

        (*n)++;
    }

    return tn__compile_fields(c, *out, *n);
}


static tn_err
compile_answers(tn__compiler *c, tn__call *call, tn_str answers)
{
    unsigned i;
    static const struct {
        tn_str name;
        unsigned action : 1; /* an action may answer so */
        unsigned query : 1;
    } known[] = {
        [TN__ANSWERS_NOTHING] = { TN_STR_C("nothing"), 1, 0 },
        [TN__ANSWERS_ROW] = { TN_STR_C("row"), 1, 0 },
        [TN__ANSWERS_ONE] = { TN_STR_C("one"), 1, 1 },
        [TN__ANSWERS_MANY] = { TN_STR_C("many"), 0, 1 },
    };

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (tn__eq(known[i].name, answers) &&
            (call->resource ? known[i].action : known[i].query)) {
            call->answers = (tn__answers) i;
            return TN_OK;
        }
    }

    return call_fault(
        c, call,
        call->resource
            ? TN_STR("an action answers nothing, a row or one object")
            : TN_STR("a query answers one object or many"));
}


/* The states that an action is for must be ones of its resource. */
static tn_err
compile_states(tn__compiler *c, tn__call *call, tn_str states, tn_str field)
{
    tn_err err;

    err = tn__compile_set(c, &call->states, &call->nstates, states);

    if (err != TN_OK || call->nstates == 0) {
        return err;
    }

    call->state_field = call->resource
                            ? tn__field_find(call->resource->fields,
                                             call->resource->nfields, field)
                            : NULL;

    if (call->state_field == NULL || call->state_field->type != TN__TYPE_TEXT) {
        return call_fault(c, call,
                          TN_STR("its states are of no text field of the "
                                 "resource; name one as state_field"));
    }

    return TN_OK;
}


static tn_err
compile_columns(tn__compiler *c, tn__call *call)
{
    tn_err err;

    if (call->answers == TN__ANSWERS_NOTHING) {
        return TN_OK;
    }

    if (call->answers == TN__ANSWERS_ROW) {
        call->columns = (tn__field *) call->resource->fields;
        call->ncolumns = call->resource->nfields;
        return TN_OK;
    }

    err = compile_list(c, &call->columns, &call->ncolumns, call, READ_COLUMNS,
                       compile_column);

    if (err == TN_OK && call->ncolumns == 0) {
        return call_fault(c, call, TN_STR("its function answers no columns"));
    }

    return err;
}


static tn_err
compile_call(tn__compiler *c, tn__call *call, unsigned row)
{
    tn_err err;

#define CELL(col) tn__compile_cell(c, READ_CALLS, row, col)

    call->slow = tn__pg_true(CELL(9));
    err = tn__compile_dup(&call->app, c, CELL(0));

    if (err == TN_OK) {
        err = tn__compile_dup(&call->name, c, CELL(3));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&call->function, c, CELL(4));
    }

    if (err == TN_OK) {
        err = tn__compile_dup(&call->summary, c, CELL(8));
    }

    if (err == TN_OK) {
        err = tn__compile_metered(&call->feature, c, CELL(12), CELL(10));
    }

    if (err == TN_OK) {
        err = tn__compile_unit(&call->unit, c, CELL(10), CELL(11), TN_NULL);
    }

    if (err != TN_OK) {
        return err;
    }

    if (!tn__compile_plain(call->name)) {
        return call_fault(c, call,
                          TN_STR("a name must be made of a-z, 0-9 and _"));
    }

    if (tn__eq(CELL(1), TN_STR("action"))) {
        call->resource = tn__compile_find_resource(c, call->app, CELL(2));

        if (call->resource == NULL) {
            return tn__compile_field_fault(
                c, CELL(2), call->name,
                TN_STR("an action of a resource that isn't there"));
        }
    }

    err = compile_answers(c, call, CELL(5));

    if (err == TN_OK) {
        err = compile_states(c, call, CELL(6), CELL(7));
    }

#undef CELL

    if (err == TN_OK) {
        err = compile_list(c, &call->params, &call->nparams, call, READ_PARAMS,
                           compile_param);
    }

    if (err == TN_OK) {
        err = compile_columns(c, call);
    }

    return err == TN_OK ? tn__call_compile(call, c->mem) : err;
}


tn_err
tn__compile_calls(tn__compiler *c)
{
    tn_err err;
    unsigned i, n;

    n = tn__compile_rows(c, READ_CALLS);
    c->cat->calls = tn__zalloc(c->mem, (n + 1) * sizeof(tn__call));
    if (c->cat->calls == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < n; i++) {
        /* one that failed half way holds compiled patterns already */
        c->cat->ncalls++;

        err = compile_call(c, &c->cat->calls[i], i);
        if (err != TN_OK) {
            return err;
        }
    }

    return TN_OK;
}
