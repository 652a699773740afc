/*
 * schema.c: field rows as JSON Schema (2020-12, as OpenAPI 3.1 has it).
 *
 * Input says all that is checked, so that a form can check it first. Output
 * says types and sets but no lengths and ranges: rows that are older than a
 * rule stay what they are.
 */

#include "libcore/openapi/doc.h"


static int
is_input(tn__use use)
{
    return use == TN__USE_CREATE || use == TN__USE_UPDATE;
}


int
tn__doc_shown(const tn__field *field, tn__use use)
{
    switch (use) {
    case TN__USE_CREATE:
        return field->create;
    case TN__USE_UPDATE:
        return field->update;
    default:
        return field->out;
    }
}


static void
type(tn__doc *doc, cJSON *node, tn_str name, int nullable)
{
    cJSON *types;

    if (!nullable) {
        tn__doc_str(doc, node, TN_STR("type"), name);
        return;
    }

    types = tn__doc_array(doc, node, TN_STR("type"));
    tn__doc_item(doc, types, name);
    tn__doc_item(doc, types, TN_STR("null"));
}


static void
text(tn__doc *doc, cJSON *node, const tn__field *field, tn__use use,
     int nullable)
{
    unsigned i;
    cJSON *set;
    tn_str pattern;

    type(doc, node, TN_STR("string"), nullable);

    if (field->nset) {
        set = tn__doc_array(doc, node, TN_STR("enum"));

        for (i = 0; i < field->nset; i++) {
            tn__doc_item(doc, set, field->set[i]);
        }

        if (nullable) {
            cJSON_AddItemToArray(set, cJSON_CreateNull());
        }
        return;
    }

    if (!is_input(use)) {
        return;
    }

    if (field->password) {
        tn__doc_lit(doc, node, "format", "password");
    }

    if (field->has_min && field->min > 0) {
        tn__doc_int(doc, node, TN_STR("minLength"), field->min);
    }

    if (field->has_max) {
        tn__doc_int(doc, node, TN_STR("maxLength"), field->max);

    } else if (field->password) {
        tn__doc_int(doc, node, TN_STR("maxLength"),
                    (int64_t) sizeof(((tn_job *) 0)->password));
    }

    if (field->pattern) {
        if (tn__openapi_pattern(&pattern, field->pattern, &doc->lent) ==
                TN_OK &&
            pattern.p) {
            tn__doc_str(doc, node, TN_STR("pattern"), pattern);
        }
    }
}


static void
integer(tn__doc *doc, cJSON *node, const tn__field *field, tn__use use,
        int nullable)
{
    type(doc, node, TN_STR("integer"), nullable);
    tn__doc_lit(doc, node, "format", "int64");

    if (is_input(use) || (use == TN__USE_FILTER && field->has_min)) {
        tn__doc_int(doc, node, TN_STR("minimum"),
                    field->has_min && field->min > -TN__DOC_INT_MAX
                        ? field->min
                        : -TN__DOC_INT_MAX);
    }

    if (is_input(use) || (use == TN__USE_FILTER && field->has_max)) {
        tn__doc_int(doc, node, TN_STR("maximum"),
                    field->has_max && field->max < TN__DOC_INT_MAX
                        ? field->max
                        : TN__DOC_INT_MAX);
    }
}


static void
number(tn__doc *doc, cJSON *node, const tn__field *field, tn__use use,
       int nullable)
{
    type(doc, node, TN_STR("number"), nullable);

    if (is_input(use) && field->has_min) {
        tn__doc_int(doc, node, TN_STR("minimum"), field->min);
    }

    if (is_input(use) && field->has_max) {
        tn__doc_int(doc, node, TN_STR("maximum"), field->max);
    }
}


/* Of an unknown shape: anything, but for a null that would be refused. */
static void
any(tn__doc *doc, cJSON *node, tn__use use, int nullable)
{
    unsigned i;
    cJSON *types;
    static const tn_str names[] = {
        TN_STR_C("object"), TN_STR_C("array"),   TN_STR_C("string"),
        TN_STR_C("number"), TN_STR_C("boolean"),
    };

    if (nullable || !is_input(use)) {
        return;
    }

    types = tn__doc_array(doc, node, TN_STR("type"));

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tn__doc_item(doc, types, names[i]);
    }
}


static void
members(tn__doc *doc, cJSON *node, const tn__field *fields, unsigned n,
        tn__use use)
{
    unsigned i;
    cJSON *required, *properties;

    required = NULL;

    for (i = 0; i < n; i++) {
        if (!tn__doc_shown(&fields[i], use) || use == TN__USE_PART ||
            use == TN__USE_UPDATE ||
            (use == TN__USE_CREATE && !fields[i].required)) {
            continue;
        }

        if (required == NULL) {
            required = tn__doc_array(doc, node, TN_STR("required"));
        }

        tn__doc_item(doc, required, fields[i].name);
    }

    properties = tn__doc_object(doc, node, TN_STR("properties"));

    for (i = 0; i < n; i++) {
        if (tn__doc_shown(&fields[i], use)) {
            tn__doc_value(doc, tn__doc_object(doc, properties, fields[i].name),
                          &fields[i], use);
        }
    }

    if (is_input(use)) {
        tn__doc_bool(doc, node, TN_STR("additionalProperties"), 0);
    }
}


void
tn__doc_fields(tn__doc *doc, cJSON *node, const tn__field *fields, unsigned n,
               tn__use use)
{
    type(doc, node, TN_STR("object"), 0);
    members(doc, node, fields, n, use);
}


/* An element that is sent is whole, also where it changes what is there. */
static void
array(tn__doc *doc, cJSON *node, const tn__field *field, tn__use use,
      int nullable)
{
    cJSON *items;

    type(doc, node, TN_STR("array"), nullable);

    if (is_input(use) && field->has_min) {
        tn__doc_int(doc, node, TN_STR("minItems"), field->min);
    }

    if (is_input(use) && field->has_max) {
        tn__doc_int(doc, node, TN_STR("maxItems"), field->max);
    }

    use = use == TN__USE_UPDATE ? TN__USE_CREATE : use;
    items = tn__doc_object(doc, node, TN_STR("items"));

    if (tn__field_is_list(field)) {
        tn__doc_value(doc, items, &field->fields[0], use);
    } else {
        tn__doc_fields(doc, items, field->fields, field->nfields, use);
    }
}


/* What a row shows as JSON is whole, whatever ?fields= says. */
static void
object(tn__doc *doc, cJSON *node, const tn__field *field, tn__use use,
       int nullable)
{
    if (use == TN__USE_PART) {
        use = TN__USE_OUTPUT;
    }

    if (field->nfields == 0 && field->type == TN__TYPE_OBJECT) {
        type(doc, node, TN_STR("object"), nullable);
        tn__doc_bool(doc, node, TN_STR("additionalProperties"), 1);

    } else if (field->nfields == 0) {
        any(doc, node, use, nullable);

    } else if (field->array) {
        array(doc, node, field, use, nullable);

    } else {
        type(doc, node, TN_STR("object"), nullable);
        members(doc, node, field->fields, field->nfields, use);
    }
}


/* "From todo: in_progress. From in_progress: done, todo." */
static void
edges(tn__buf *buf, const tn__field *field)
{
    unsigned i, k;
    tn_str from;

    for (i = 0; i < field->nedges; i++) {
        from = field->edges[i].from;

        for (k = 0; k < i && !tn__eq(field->edges[k].from, from); k++) {
        }

        if (k < i) {
            continue; /* told with the first of them */
        }

        tn__buf_add(buf, buf->n ? TN_STR(" From `") : TN_STR("From `"));
        tn__buf_add(buf, from);
        tn__buf_lit(buf, "` to ");

        for (k = i; k < field->nedges; k++) {
            if (tn__eq(field->edges[k].from, from)) {
                tn__buf_add(buf, k > i ? TN_STR(", `") : TN_STR("`"));
                tn__buf_add(buf, field->edges[k].to);
                tn__buf_char(buf, '`');
            }
        }

        tn__buf_char(buf, '.');
    }
}


static void
reference(tn__doc *doc, tn__buf *buf, const tn__field *field)
{
    unsigned i;
    const tn__resource *r;

    for (i = 0; field->reference && i < doc->cat->nresources; i++) {
        r = doc->cat->resources[i];

        if (tn__eq(r->relation, field->reference->relation)) {
            tn__buf_add(buf, buf->n ? TN_STR(" Of `") : TN_STR("Of `"));
            tn__buf_add(buf, r->full_name);
            tn__buf_lit(buf, "`.");
        }
    }
}


static void
about(tn__doc *doc, cJSON *node, const tn__field *field, tn__use use)
{
    tn__buf buf;

    tn__buf_init(&buf, &doc->lent, 64);

    if (field->about.p) {
        tn__buf_add(&buf, field->about);
        tn__buf_char(&buf, '.');
    }

    if (use == TN__USE_UPDATE) {
        edges(&buf, field);
    }

    if (field->lower && is_input(use)) {
        tn__buf_add(&buf, buf.n ? TN_STR(" ") : TN_STR(""));
        tn__buf_lit(&buf, "Kept in lower case.");
    }

    reference(doc, &buf, field);

    if (buf.n) {
        tn__doc_str(doc, node, TN_STR("description"), tn__doc_buf(doc, &buf));
    }
}


void
tn__doc_value(tn__doc *doc, cJSON *node, const tn__field *field, tn__use use)
{
    int nullable;
    cJSON *examples;
    tn_str initial;

    nullable = field->nullable && use != TN__USE_FILTER;

    switch (field->type) {

    case TN__TYPE_TEXT:
        text(doc, node, field, use, nullable);
        break;

    case TN__TYPE_UUID:
        type(doc, node, TN_STR("string"), nullable);
        tn__doc_lit(doc, node, "format", "uuid");
        break;

    case TN__TYPE_TIME:
        type(doc, node, TN_STR("string"), nullable);
        tn__doc_lit(doc, node, "format", "date-time");
        break;

    case TN__TYPE_DATE:
        type(doc, node, TN_STR("string"), nullable);
        tn__doc_lit(doc, node, "format", "date");
        break;

    case TN__TYPE_INT:
        integer(doc, node, field, use, nullable);
        break;

    case TN__TYPE_NUMBER:
        number(doc, node, field, use, nullable);
        break;

    case TN__TYPE_BOOL:
        type(doc, node, TN_STR("boolean"), nullable);
        break;

    case TN__TYPE_JSON:
    case TN__TYPE_OBJECT:
        object(doc, node, field, use, nullable);
        break;
    }

    if (use == TN__USE_FILTER) {
        return;
    }

    if (field->pii) {
        tn__doc_bool(doc, node, TN_STR("x-pii"), 1);
    }

    if (use == TN__USE_CREATE && tn__doc_default(&initial, doc, field)) {
        tn__doc_raw(doc, node, TN_STR("default"), initial);
    }

    about(doc, node, field, use);

    if (field->example.p) {
        examples = tn__doc_array(doc, node, TN_STR("examples"));
        cJSON_AddItemToArray(examples,
                             cJSON_CreateRaw(tn__doc_c(doc, field->example)));
    }
}
