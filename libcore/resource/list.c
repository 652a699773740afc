/*
 * list.c: a page of a resource: filters, search, one sort field, keyset
 * cursors. The statement's shape follows from which parameters are there;
 * values are always parameters of the statement.
 *
 * A nested list is one of those that belong to {id}, a history one of the
 * events of {id}: in the same batch, a statement before it tells whether
 * there is such a row to be seen at all.
 */

#include "libcore/resource/resource.h"


#define LIMIT_DEFAULT 50
#define LIMIT_MAX     100
#define PAGE_BYTES    (1024 * 1024)
#define SEARCH_MIN    2 /* characters: a word in some languages */
#define SEARCH_BYTES  3 /* but not two letters, which are in every row */
#define SEARCH_MAX    200

typedef struct tn__list {
    const tn__resource *resource; /* what is listed: a history lists events */
    int64_t limit;
    tn_str q;
    tn__list_shape shape;
    tn_str after_value; /* of the cursor; absent on the first page */
    tn_str after_id;
    tn_str values[TN__FILTERS_MAX]; /* of the shape's filters */
    tn_str binding;                 /* what a cursor of this list is bound to */
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

    resource = list->resource;
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


static void
read_search(tn_op *op, tn__list *list)
{
    size_t n;

    list->q = tn__request_param(op, TN_STR("q"));

    if (list->q.p == NULL || list->resource->search.p == NULL) {
        return; /* read_filters says so */
    }

    n = tn__utf8_length(list->q);
    list->shape.search = 1;

    if (n < SEARCH_MIN || list->q.n < SEARCH_BYTES || n > SEARCH_MAX) {
        tn__fault(op, TN_STR("q"), TN_F_OUT_OF_RANGE,
                  "must be 3 to 200 characters, or 2 beyond ASCII");
    }
}


/* "created_at[gte]": the field's name and how it compares; 0 when the brackets
 * are not such. */
static int
split_name(tn_str *field, tn__compare *compare, tn_str name)
{
    unsigned i;
    tn_str rest;
    static const struct {
        tn_str text;
        tn__compare compare;
    } compares[] = {
        { TN_STR_C("ne]"), TN__COMPARE_NE },
        { TN_STR_C("gt]"), TN__COMPARE_GT },
        { TN_STR_C("gte]"), TN__COMPARE_GTE },
        { TN_STR_C("lt]"), TN__COMPARE_LT },
        { TN_STR_C("lte]"), TN__COMPARE_LTE },
    };

    rest = name;
    *field = tn__split(&rest, '[');
    *compare = TN__COMPARE_EQ;

    if (rest.p == NULL) {
        return 1;
    }

    for (i = 0; i < sizeof(compares) / sizeof(compares[0]); i++) {
        if (tn__eq(rest, compares[i].text)) {
            *compare = compares[i].compare;
            return 1;
        }
    }

    return 0;
}


/* Text in an array's text, quoted. */
static void
array_item(tn__buf *buf, tn_str item)
{
    size_t i;

    tn__buf_char(buf, '"');

    for (i = 0; i < item.n; i++) {
        if (item.p[i] == '"' || item.p[i] == '\\') {
            tn__buf_char(buf, '\\');
        }
        tn__buf_char(buf, item.p[i]);
    }

    tn__buf_char(buf, '"');
}


/* "todo,done" as a text[]; -1 no memory, 0 one of them can't be. */
static int
parse_several(tn_str *out, const tn__field *field, tn_str rest, tn_mem *mem)
{
    int rc;
    tn_str value;
    tn__buf buf;

    tn__buf_init(&buf, mem, 128);

    while (rest.p) {
        rc = tn__value_parse(&value, field, tn__split(&rest, ','), mem);
        if (rc <= 0) {
            return rc;
        }

        tn__buf_char(&buf, buf.n ? ',' : '{');
        array_item(&buf, value);
    }

    tn__buf_char(&buf, '}');

    return tn__buf_str(out, &buf) == TN_OK ? 1 : -1;
}


/* Puts a filter where it belongs among the others, so that one list has one
 * shape however its query is written. */
static void
add_filter(tn__list *list, const tn__field *field, tn__compare compare,
           tn_str value)
{
    unsigned i;
    tn__list_shape *shape;

    shape = &list->shape;

    for (i = shape->nfilters; i > 0; i--) {
        if (shape->filters[i - 1].field < field ||
            (shape->filters[i - 1].field == field &&
             shape->filters[i - 1].compare < compare)) {
            break;
        }

        shape->filters[i] = shape->filters[i - 1];
        list->values[i] = list->values[i - 1];
    }

    shape->filters[i].field = field;
    shape->filters[i].compare = compare;
    list->values[i] = value;
    shape->nfilters++;
}


static void
read_filter(tn_op *op, tn__list *list, const tn__field *field,
            tn__compare compare, const tn__param *param)
{
    int rc;
    tn_str value;

    if (compare > TN__COMPARE_NE &&
        (field->type == TN__TYPE_UUID || field->type == TN__TYPE_BOOL ||
         field->nset)) {
        tn__fault(op, param->name, TN_F_NOT_IN_SET,
                  "has no order to compare by");
        return;
    }

    if (list->shape.nfilters == TN__FILTERS_MAX) {
        tn__fault(op, param->name, TN_F_OUT_OF_RANGE, "is one filter too many");
        return;
    }

    /* in free text a comma is a comma */
    if (compare == TN__COMPARE_EQ && param->value.n &&
        (field->nset || field->several || field->type != TN__TYPE_TEXT) &&
        memchr(param->value.p, ',', param->value.n)) {
        compare = TN__COMPARE_ANY;
        rc = parse_several(&value, field, param->value, op->mem);
    } else {
        rc = tn__value_parse(&value, field, param->value, op->mem);
    }

    if (rc < 0) {
        tn__fail(op, TN_E_NOMEM, NULL);
    } else if (rc == 0) {
        tn__fault(op, param->name,
                  field->nset ? TN_F_NOT_IN_SET : TN_F_BAD_FORMAT, NULL);
    } else {
        add_filter(list, field, compare, value);
    }
}


/* The field that a parameter filters by; its name there may be another. */
static const tn__field *
filter_field(const tn__resource *resource, tn_str param)
{
    unsigned i;
    const tn__field *field;

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (field->filter &&
            tn__eq(field->param.p ? field->param : field->name, param)) {
            return field;
        }
    }

    return NULL;
}


/* Unknown parameters are faults, never ignored. */
static void
read_filters(tn_op *op, tn__list *list, int *unknown)
{
    unsigned i;
    tn_str name;
    tn__param *param;
    tn__compare compare;
    const tn__field *field;

    for (i = 0; i < op->nparams; i++) {
        param = &op->params[i];

        if (tn__eq(param->name, TN_STR("limit")) ||
            tn__eq(param->name, TN_STR("sort")) ||
            tn__eq(param->name, TN_STR("fields")) ||
            tn__eq(param->name, TN_STR("cursor")) ||
            (list->shape.search && tn__eq(param->name, TN_STR("q")))) {
            continue;
        }

        field = NULL;

        if (split_name(&name, &compare, param->name)) {
            field = filter_field(list->resource, name);
        }

        if (field == NULL) {
            *unknown = 1;
            tn__fault(op, param->name, TN_F_UNKNOWN_FIELD,
                      "is no parameter of this list");
            continue;
        }

        read_filter(op, list, field, compare, param);
    }
}


/* Filters in the order of the fields, then the sort: however the query was
 * written. */
static tn_err
bind_cursor(tn_op *op, tn__list *list)
{
    unsigned i;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, 128);

    if (list->shape.nested || list->shape.history) {
        tn__buf_add(&buf, op->path_id);
    }

    if (list->shape.search) {
        tn__buf_lit(&buf, "?");
        tn__buf_json(&buf, list->q);
    }

    for (i = 0; i < list->shape.nfilters; i++) {
        tn__buf_json(&buf, list->shape.filters[i].field->name);
        tn__buf_int(&buf, list->shape.filters[i].compare);
        tn__buf_json(&buf, list->values[i]);
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
    read_search(op, list);
    read_filters(op, list, &unknown);
    tn__request_fields(op);

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
statement(tn_op *op, const tn__list *list)
{
    tn_err err;
    tn__bound *bound;
    const tn__list_shape *shape;

    shape = &list->shape;

    if (shape->nfilters == 0 && !shape->own && !shape->after &&
        !shape->search && !shape->ascending &&
        tn__eq(shape->sort->name, list->resource->order)) {
        return op->endpoint->stmt;
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
    tn__local(op, TN_STR("own"),
              op->scope == TN__SCOPE_OWN ? op->principal.user : TN_NULL);

    return op->phase != TN__PHASE_DONE;
}


static void
begin(tn_op *op)
{
    tn__list *list;
    const tn__bound *bound;

    list = make_list(op);

    if (list == NULL || !read_params(op, list)) {
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

    if (list->shape.nested) {
        tn__batch_add(op, &op->endpoint->resource->parent_resource->read);
    } else if (list->shape.history) {
        tn__batch_add(op, &op->endpoint->resource->known);
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

    if (rows->nrows == 0 || op->also_scope == TN__SCOPE_TENANT) {
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
write_rows(tn__buf *out, const tn_op *op, const tn_rows *rows, unsigned most)
{
    unsigned i;

    for (i = 0; i < most && (i == 0 || out->n < PAGE_BYTES); i++) {
        if (i) {
            tn__buf_char(out, ',');
        }

        tn__write_row(out, op->endpoint->output, op->endpoint->noutput,
                      op->hidden, &rows->cells[(size_t) i * rows->ncols]);
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
