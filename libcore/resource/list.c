/*
 * list.c: a page of a resource: equality filters, one sort field, keyset
 * cursors. The statement's shape follows from which parameters are there;
 * values are always parameters, so the number of shapes is bounded by the
 * declarations.
 */

#include "libcore/resource/resource.h"


#define LIMIT_DEFAULT 50
#define LIMIT_MAX     100
#define PAGE_BYTES    (1024 * 1024)

typedef struct tn__list {
    int64_t limit;
    tn__list_shape shape;
    tn_str after_value; /* of the cursor; absent on the first page */
    tn_str after_id;
    tn_str binding; /* what a cursor of this list is bound to */
} tn__list;


static void
read_limit(tn_op *op, tn__list *list)
{
    tn_str value;

    list->limit = LIMIT_DEFAULT;
    value = tn__request_param(op, TN_STR("limit"));

    if (value.p && (!tn__int_parse(&list->limit, value) || list->limit < 1 ||
                    list->limit > LIMIT_MAX)) {
        tn__fault(op, TN_STR("limit"), TN_F_OUT_OF_RANGE,
                  "must be a number from 1 to 100");
    }
}


static void
read_sort(tn_op *op, tn__list *list)
{
    tn_str value;
    const tn__resource *resource;

    resource = op->endpoint->resource;
    value = tn__request_param(op, TN_STR("sort"));

    if (value.p == NULL) {
        list->shape.sort = tn__field_find(resource->fields, resource->nfields,
                                          resource->order);
        return;
    }

    list->shape.ascending = 1;

    if (value.n && value.p[0] == '-') {
        list->shape.ascending = 0;
        value = tn__sub(value, 1, value.n);
    }

    list->shape.sort =
        tn__field_find(resource->fields, resource->nfields, value);

    if (list->shape.sort == NULL || !list->shape.sort->sort) {
        tn__fault(op, TN_STR("sort"), TN_F_NOT_IN_SET,
                  "names no field that this list can be sorted by");
    }
}


/* Turns each filter into SQL text, in op->values and op->mask. Unknown
 * parameters are faults, never ignored. */
static void
read_filters(tn_op *op, int *unknown)
{
    int rc;
    unsigned i, k;
    tn__param *param;
    const tn__field *field;
    const tn__resource *resource;

    resource = op->endpoint->resource;

    for (i = 0; i < op->nparams; i++) {
        param = &op->params[i];

        if (tn__eq(param->name, TN_STR("limit")) ||
            tn__eq(param->name, TN_STR("sort")) ||
            tn__eq(param->name, TN_STR("cursor"))) {
            continue;
        }

        field =
            tn__field_find(resource->fields, resource->nfields, param->name);

        if (field == NULL || !field->filter) {
            *unknown = 1;
            tn__fault(op, param->name, TN_F_UNKNOWN_FIELD,
                      "is no parameter of this list");
            continue;
        }

        k = (unsigned) (field - resource->fields);

        rc = tn__value_parse(&op->values[k], field, param->value, op->mem);

        if (rc < 0) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }

        if (rc == 0) {
            tn__fault(op, param->name,
                      field->nset ? TN_F_NOT_IN_SET : TN_F_BAD_FORMAT, NULL);
            continue;
        }

        op->mask |= (uint64_t) 1 << k;
    }
}


/* Filters in the order of the fields, then the sort: however the query was
 * written. */
static tn_err
bind_cursor(tn_op *op, tn__list *list)
{
    unsigned i;
    tn__buf buf;
    const tn__resource *resource;

    resource = op->endpoint->resource;
    tn__buf_init(&buf, op->mem, 128);

    for (i = 0; i < resource->nfields; i++) {
        if (op->mask & ((uint64_t) 1 << i)) {
            tn__buf_json(&buf, resource->fields[i].name);
            tn__buf_json(&buf, op->values[i]);
        }
    }

    tn__buf_add(&buf, list->shape.ascending ? TN_STR("+") : TN_STR("-"));
    tn__buf_add(&buf, list->shape.sort->name);

    return tn__buf_str(&list->binding, &buf);
}


static int
read_params(tn_op *op, tn__list *list)
{
    int unknown;
    tn_err err;
    tn_str cursor;

    if (!tn__request_params(op)) {
        return 0;
    }

    unknown = 0;
    read_limit(op, list);
    read_sort(op, list);
    read_filters(op, &unknown);

    if (op->nfaults) {
        tn__fail(op, unknown ? TN_E_UNKNOWN_PARAMETER : TN_E_INVALID_PARAMETER,
                 NULL);
        return 0;
    }

    err = bind_cursor(op, list);
    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return 0;
    }

    cursor = tn__request_param(op, TN_STR("cursor"));

    if (cursor.p) {
        err = tn__cursor_open(&list->after_value, &list->after_id, op,
                              list->binding, cursor);

        if (err != TN_OK) {
            tn__fail(op, err,
                     "The cursor is not one of this list: pass next_cursor as "
                     "it came, with the same filters and sort.");
            return 0;
        }
    }

    return op->phase != TN__PHASE_DONE;
}


/* The statement of this shape: the one compiled with the catalogue for a
 * plain first page, else one made now. */
static const tn__bound *
statement(tn_op *op, const tn__list_shape *shape)
{
    tn_err err;
    tn__bound *bound;
    const tn__resource *resource;

    resource = op->endpoint->resource;

    if (shape->filters == 0 && !shape->own && !shape->after &&
        !shape->ascending && tn__eq(shape->sort->name, resource->order)) {
        return op->endpoint->stmt;
    }

    bound = tn__zalloc(op->mem, sizeof(tn__bound));
    err =
        bound ? tn__list_compile(bound, resource, shape, op->mem) : TN_E_NOMEM;

    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return NULL;
    }

    return bound;
}


static void
begin(tn_op *op)
{
    tn_str limit;
    tn__buf text;
    tn__list *list;
    const tn__bound *bound;

    list = tn__zalloc(op->mem, sizeof(tn__list));
    if (list == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    op->step_data = list;

    if (!read_params(op, list)) {
        return;
    }

    list->shape.filters = op->mask;
    list->shape.own = op->scope == TN__SCOPE_OWN;
    list->shape.after = list->after_id.p != NULL;

    bound = statement(op, &list->shape);
    if (bound == NULL) {
        return;
    }

    /* one more than shown tells whether there is a next page */
    tn__buf_init(&text, op->mem, 24);
    tn__buf_int(&text, list->limit + 1);

    if (tn__buf_str(&limit, &text) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__local(op, TN_STR("limit"), limit);
    tn__local(op, TN_STR("after_value"), list->after_value);
    tn__local(op, TN_STR("after_id"), list->after_id);

    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, bound);
    tn__want_db(op);
}


/* Link: <path?the same query, with the next cursor>; rel="next" */
static tn_err
link_next(tn_op *op, tn_str cursor)
{
    unsigned i;
    tn_err err;
    tn__buf buf;
    tn_str link;

    tn__buf_init(&buf, op->mem, 256);
    tn__buf_char(&buf, '<');
    tn__buf_add(&buf, op->request->prefix);
    tn__buf_add(&buf, op->endpoint->path);
    tn__buf_char(&buf, '?');

    for (i = 0; i < op->nparams; i++) {
        if (tn__eq(op->params[i].name, TN_STR("cursor"))) {
            continue;
        }

        tn__buf_uri(&buf, op->params[i].name);
        tn__buf_char(&buf, '=');
        tn__buf_uri(&buf, op->params[i].value);
        tn__buf_char(&buf, '&');
    }

    tn__buf_lit(&buf, "cursor=");
    tn__buf_add(&buf, cursor);
    tn__buf_lit(&buf, ">; rel=\"next\"");

    err = tn__buf_str(&link, &buf);
    if (err == TN_OK) {
        tn__header(op, TN_STR("Link"), link);
    }

    return err;
}


/* The rows of the page; fewer than asked for when they are large: a page is as
 * long as clients and workers can take, the cursor has the rest. */
static unsigned
write_rows(tn__buf *out, const tn_op *op, const tn_rows *rows, unsigned most)
{
    unsigned i;

    for (i = 0; i < most && (i == 0 || out->n < PAGE_BYTES); i++) {
        if (i) {
            tn__buf_char(out, ',');
        }

        tn__write_row(out, op->endpoint->output, op->endpoint->noutput,
                      &rows->cells[(size_t) i * rows->ncols]);
    }

    return i;
}


static void
finish(tn_op *op, const tn_rows *rows)
{
    tn_err err;
    tn__buf out;
    tn__list *list;
    tn_str cursor, json;
    unsigned shown;
    const tn_str *last;

    err = TN_OK;
    list = op->step_data;
    cursor = TN_NULL;

    tn__buf_init(&out, op->mem, 256 + (size_t) rows->nrows * 384);
    tn__buf_lit(&out, "{\"data\":[");
    shown = write_rows(&out, op, rows,
                       rows->nrows > list->limit ? (unsigned) list->limit
                                                 : rows->nrows);
    tn__buf_lit(&out, "],\"next_cursor\":");

    if (shown < rows->nrows) {
        last = &rows->cells[(size_t) shown * rows->ncols - 2];
        err = tn__cursor_seal(&cursor, op, list->binding, last[0], last[1]);

        if (err == TN_OK) {
            err = link_next(op, cursor);
        }

        tn__buf_json(&out, cursor);

    } else {
        tn__buf_lit(&out, "null");
    }

    tn__buf_char(&out, '}');

    if (err == TN_OK) {
        err = tn__buf_str(&json, &out);
    }

    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return;
    }

    tn__respond(op, 200, json);
}


void
tn__step_list(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    if (op->state++ == 0) {
        begin(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows) {
        finish(op, rows);
    }
}
