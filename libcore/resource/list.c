/*
 * list.c: a page of a resource. The statement's shape follows from which
 * parameters are there (list_query.c); values are always parameters of the
 * statement.
 *
 * A nested list is one of those that belong to {id}, a history one of the
 * events of {id}: in the same batch, a statement before it tells whether
 * there is such a row to be seen at all.
 */

#include "libcore/resource/list.h"


#define PAGE_BYTES (1024 * 1024)


/* The statement of this shape: the one compiled with the catalogue for a
 * plain first page, else one made now. */
static const tn__bound *
statement(tn_op *op, const tn__list *list)
{
    tn_err err;
    tn__bound *bound;
    const tn__list_shape *shape;

    shape = &list->shape;

    if (shape->nfilters == 0 && !shape->own &&
        shape->within == (!list->resource->within     ? 0
                          : list->resource->shareable ? 2
                                                      : 1) &&
        !shape->after && !shape->search && !shape->ascending &&
        tn__eq(shape->sort->name, list->resource->order)) {
        return tn__statement(op);
    }

    bound = tn__zalloc(op->mem, sizeof(tn__bound));
    err = bound ? tn__list_compile(bound, list->resource, shape, op->mem)
                : TN_E_NOMEM;

    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return NULL;
    }

    return bound;
}


/* What the list is of. */
static tn__list *
make_list(tn_op *op)
{
    tn__list *list;
    const tn__endpoint *e;

    list = tn__zalloc(op->mem, sizeof(tn__list));
    if (list == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return NULL;
    }

    e = op->endpoint;
    list->resource = e->resource;
    list->shape.nested = e->kind == TN__KIND_NESTED;
    list->shape.history = e->kind == TN__KIND_HISTORY;

    if (list->shape.history) {
        list->resource = op->catalogue->events;

    } else if (op->scope == TN__SCOPE_ACCOUNT) {
        list->resource = e->resource->scoped;
        list->shape.within = e->resource->shareable || op->reach.any.p ||
                                     op->reach.own.n > TN_STR("{}").n
                                 ? 2
                                 : 1;

    } else {
        list->shape.own = op->scope == TN__SCOPE_OWN;
    }

    op->step_data = list;

    return list;
}


/* The values of the statement's parameters. */
static int
bind_values(tn_op *op, const tn__list *list)
{
    unsigned i;
    tn_str limit;
    tn__buf text;
    static const tn_str names[TN__FILTERS_MAX] = {
        TN_STR_C("v0"), TN_STR_C("v1"), TN_STR_C("v2"), TN_STR_C("v3"),
        TN_STR_C("v4"), TN_STR_C("v5"), TN_STR_C("v6"), TN_STR_C("v7"),
    };

    /* one more than shown tells whether there is a next page */
    tn__buf_init(&text, op->mem, 24);
    tn__buf_int(&text, list->limit + 1);

    if (tn__buf_str(&limit, &text) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    for (i = 0; i < list->shape.nfilters; i++) {
        tn__local(op, names[i], list->values[i]);
    }

    tn__local(op, TN_STR("limit"), limit);
    tn__local(op, TN_STR("after_value"), list->after_value);
    tn__local(op, TN_STR("after_id"), list->after_id);
    tn__local(op, TN_STR("q"), list->q);
    tn__local(op, TN_STR("history"), op->endpoint->resource->full_name);

    return op->phase != TN__PHASE_DONE;
}


static int
looks_into_json(const tn__list_shape *shape)
{
    unsigned i;

    for (i = 0; i < shape->nfilters; i++) {
        if (shape->filters[i].compare == TN__COMPARE_CONTAINS) {
            return 1;
        }
    }

    return 0;
}


static void
begin(tn_op *op)
{
    tn__list *list;
    const tn__bound *bound;
    const tn__resource *parent;

    list = make_list(op);

    if (list == NULL || !tn__list_params(op, list)) {
        return;
    }

    /* a malformed id is one that no row has */
    if ((list->shape.nested || list->shape.history) && op->path_id.p == NULL) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return;
    }

    list->shape.after = list->after_id.p != NULL;

    bound = statement(op, list);
    if (bound == NULL || !bind_values(op, list)) {
        return;
    }

    tn__batch_begin(op, 1, 0);
    /* a common word is in every row, a rare actor in few of a long log */
    op->batch.slow =
        list->shape.search || looks_into_json(&list->shape) ||
        (list->resource->long_filters && list->shape.nfilters != 0);

    if (list->shape.nested) {
        parent = op->endpoint->resource->parent_resource;
        tn__batch_add(op, op->also_scope == TN__SCOPE_ACCOUNT
                              ? &parent->scoped->read
                              : &parent->read);
    } else if (list->shape.history) {
        tn__batch_add(op, &tn__resource_of(op)->known);
    }

    tn__batch_add(op, bound);
    tn__want_db(op);
}


/* Whether {id} is there to be seen, by the statement in front of the list's. */
static int
there(tn_op *op, const tn__list *list, const tn_rows *rows)
{
    tn_str owner;
    const tn__field *field;
    const tn__resource *parent;

    if (list->shape.history) {
        return tn__cell(rows, 0, 0).n && tn__cell(rows, 0, 0).p[0] == 't';
    }

    if (rows->nrows == 0 || op->also_scope != TN__SCOPE_OWN) {
        return rows->nrows != 0;
    }

    parent = op->endpoint->resource->parent_resource;
    field = tn__field_find(parent->fields, parent->nfields, parent->owner);
    owner = tn__cell(rows, 0, (unsigned) (field - parent->fields));

    return tn__eq(owner, op->principal.user);
}


/* The endpoint's path with the id in its place. */
static void
list_path(tn__buf *buf, const tn_op *op)
{
    tn_str rest, path;

    path = op->endpoint->path;
    rest = path;
    tn__buf_add(buf, tn__split(&rest, '{'));

    if (rest.p) {
        tn__buf_add(buf, op->path_id);
        tn__split(&rest, '}');
        tn__buf_add(buf, rest);
    }
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
    list_path(&buf, op);
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


/* The rows of the page; fewer than asked for when they are large, the cursor has
 * the rest. This bounds the answer; what the database sends is bounded by the
 * columns' declared max. */
static unsigned
write_rows(tn__buf *out, tn_op *op, const tn_rows *rows, unsigned most)
{
    unsigned i;
    const tn_str *cells;
    const tn__list *list;

    list = op->step_data;

    for (i = 0; i < most && (i == 0 || out->n < PAGE_BYTES); i++) {
        if (i) {
            tn__buf_char(out, ',');
        }

        cells = tn__unseal_row(op, list->resource,
                               &rows->cells[(size_t) i * rows->ncols]);
        if (cells == NULL) {
            return 0;
        }

        tn__write_row(out, op->endpoint->output, op->endpoint->noutput,
                      op->hidden, cells);
    }

    return i;
}


/* A page after this one begins behind its last row. */
static tn_err
cursor_after(tn_str *cursor, tn_op *op, const tn__list *list,
             const tn_str *last)
{
    const tn__field *id;
    const tn__resource *r;

    r = list->resource;
    id = tn__field_find(r->fields, r->nfields, TN_STR("id"));

    return tn__cursor_seal(cursor, op, list->binding,
                           last[list->shape.sort - r->fields],
                           last[id - r->fields]);
}


static void
finish(tn_op *op, const tn_rows *rows)
{
    tn_err err;
    tn__buf out;
    tn__list *list;
    tn_str cursor, json;
    unsigned shown;

    err = TN_OK;
    list = op->step_data;
    cursor = TN_NULL;

    tn__buf_init(&out, op->mem, 256 + (size_t) rows->nrows * 384);
    tn__buf_lit(&out, "{\"data\":[");
    shown = write_rows(&out, op, rows,
                       rows->nrows > list->limit ? (unsigned) list->limit
                                                 : rows->nrows);
    tn__buf_lit(&out, "],\"next_cursor\":");

    if (op->phase == TN__PHASE_DONE) {
        return;
    }

    if (shown < rows->nrows) {
        err = cursor_after(&cursor, op, list,
                           &rows->cells[(size_t) (shown - 1) * rows->ncols]);

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
    tn__list *list;
    const tn_rows *rows;

    if (op->state++ == 0) {
        begin(op);
        return;
    }

    list = op->step_data;
    rows = tn__rows(op, input, 1);

    if (rows && (list->shape.nested || list->shape.history)) {
        if (!there(op, list, rows)) {
            tn__fail(op, TN_E_NOT_FOUND, NULL);
            return;
        }

        rows = tn__rows(op, input, 2);
    }

    if (rows) {
        finish(op, rows);
    }
}
