/*
 * list_query.c: what a list's query string asks for. Every parameter is known
 * or refused, and all faults are told at once; what is left is the shape of the
 * statement and the values of its parameters.
 */

#include "libcore/resource/list.h"


#define LIMIT_DEFAULT 50
#define LIMIT_MAX     100
#define SEARCH_MIN    2 /* characters: a word in some languages */
#define SEARCH_BYTES  3 /* but not two letters, which are in every row */
#define SEARCH_MAX    200


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
        { TN_STR_C("contains]"), TN__COMPARE_CONTAINS },
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


/* The value that a field is compared with; 0 when it can't be one (`detail`
 * says why, NULL for what is said of the field's type), -1 when there is no
 * memory. */
static int
filter_value(tn_str *out, const char **detail, const tn__field *field,
             tn__compare *compare, tn_str text, tn_mem *mem)
{
    int rc, empty;

    *detail = NULL;

    if (*compare == TN__COMPARE_CONTAINS) {
        *out = text;
        rc = tn__value_tree(text, &empty, mem);
        *detail = empty ? "holds nothing to look for: it needs a value, as in "
                          "{\"a\":1}"
                        : "must be a JSON object or array";
        return rc;
    }

    /* in free text a comma is a comma */
    if (*compare == TN__COMPARE_EQ && text.n &&
        (field->nset || field->several || field->type != TN__TYPE_TEXT) &&
        memchr(text.p, ',', text.n)) {
        *compare = TN__COMPARE_ANY;
        return parse_several(out, field, text, mem);
    }

    return tn__value_parse(out, field, text, mem);
}


static void
read_filter(tn_op *op, tn__list *list, const tn__field *field,
            tn__compare compare, const tn__param *param)
{
    int rc;
    tn_str value;
    const char *detail;

    if (compare > TN__COMPARE_NE && compare != TN__COMPARE_CONTAINS &&
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

    rc = filter_value(&value, &detail, field, &compare, param->value, op->mem);

    if (rc < 0) {
        tn__fail(op, TN_E_NOMEM, NULL);
    } else if (rc == 0) {
        tn__fault(op, param->name,
                  field->nset ? TN_F_NOT_IN_SET : TN_F_BAD_FORMAT, detail);
    } else {
        add_filter(list, field, compare, value);
    }
}


/* The field that a parameter filters by; its name there may be another. */
static const tn__field *
filter_field(const tn__list *list, tn_str param, tn__compare compare)
{
    unsigned i, filters;
    const tn__field *field;

    for (i = 0; i < list->resource->nfields; i++) {
        field = &list->resource->fields[i];

        filters = compare == TN__COMPARE_CONTAINS ? field->contains.p != NULL
                                                  : field->filter;

        if (filters && !(list->shape.history && field->of_path) &&
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
            field = filter_field(list, name, compare);
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


int
tn__list_params(tn_op *op, tn__list *list)
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
