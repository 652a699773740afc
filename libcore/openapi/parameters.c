/*
 * parameters.c: what a request may carry besides its body.
 */

#include "libcore/openapi/doc.h"


/* Parameters that look the same wherever they are taken. */
static const struct {
    tn_str name;
    tn_str json;
} shared[] = {
    { TN_STR_C("Id"),
      TN_STR_C("{\"name\":\"id\",\"in\":\"path\",\"required\":true,"
               "\"schema\":{\"type\":\"string\",\"format\":\"uuid\"}}") },
    { TN_STR_C("Key"),
      TN_STR_C("{\"name\":\"key\",\"in\":\"path\",\"required\":true,"
               "\"schema\":{\"type\":\"string\"}}") },
    { TN_STR_C("XRequestId"),
      TN_STR_C("{\"name\":\"X-Request-Id\",\"in\":\"header\","
               "\"description\":\"Names the request in answers, events and "
               "logs. One that is not as it should be is replaced.\","
               "\"schema\":{\"type\":\"string\","
               "\"pattern\":\"^[A-Za-z0-9._-]{1,128}$\"}}") },
    { TN_STR_C("Traceparent"),
      TN_STR_C("{\"name\":\"traceparent\",\"in\":\"header\","
               "\"description\":\"The trace that the request belongs to, as "
               "W3C Trace Context has it: answered with a span of our own. One "
               "that is not as it should be is ignored.\","
               "\"schema\":{\"type\":\"string\",\"pattern\":"
               "\"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}"
               "-[0-9a-f]{2}$\"}}") },
    { TN_STR_C("TenonTenant"),
      TN_STR_C("{\"name\":\"Tenon-Tenant\",\"in\":\"header\","
               "\"description\":\"Slug or id of the organization, where the "
               "host names none. All that name one must agree.\","
               "\"schema\":{\"type\":\"string\",\"minLength\":1}}") },
    { TN_STR_C("TenonSession"),
      TN_STR_C("{\"name\":\"Tenon-Session\",\"in\":\"header\","
               "\"description\":\"`cookie`: the session is a cookie of this "
               "host, and no token is told.\","
               "\"schema\":{\"type\":\"string\","
               "\"enum\":[\"token\",\"cookie\"],\"default\":\"token\"}}") },
    { TN_STR_C("IfMatch"),
      TN_STR_C("{\"name\":\"If-Match\",\"in\":\"header\","
               "\"description\":\"The ETag that was read: if the row has "
               "another version by now, nothing is done.\","
               "\"schema\":{\"type\":\"string\"},\"example\":\"\\\"1\\\"\"}") },
    { TN_STR_C("IfMatchRequired"),
      TN_STR_C("{\"name\":\"If-Match\",\"in\":\"header\",\"required\":true,"
               "\"description\":\"The ETag that was read: if the row has "
               "another version by now, nothing is done.\","
               "\"schema\":{\"type\":\"string\"},\"example\":\"\\\"1\\\"\"}") },
    { TN_STR_C("IfNoneMatch"),
      TN_STR_C("{\"name\":\"If-None-Match\",\"in\":\"header\","
               "\"description\":\"The ETag that was read: if it still holds, "
               "the answer is 304.\","
               "\"schema\":{\"type\":\"string\"},\"example\":\"\\\"1\\\"\"}") },
    { TN_STR_C("IdempotencyKey"),
      TN_STR_C("{\"name\":\"Idempotency-Key\",\"in\":\"header\","
               "\"description\":\"The same request under the same key is done "
               "once and answered alike for 24 hours.\","
               "\"schema\":{\"type\":\"string\",\"minLength\":1,"
               "\"maxLength\":257,\"pattern\":\"^[ -~]+$\"}}") },
    { TN_STR_C("Stripe-Signature"),
      TN_STR_C("{\"name\":\"Stripe-Signature\",\"in\":\"header\","
               "\"required\":true,\"description\":\"Time and signatures over "
               "the body's bytes, as Stripe makes them.\","
               "\"schema\":{\"type\":\"string\"},\"example\":"
               "\"t=1795276800,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e"
               "56ff536d0ce8e108d8bd\"}") },
    { TN_STR_C("Limit"),
      TN_STR_C("{\"name\":\"limit\",\"in\":\"query\","
               "\"description\":\"The most rows of a page; large rows make it "
               "shorter.\",\"schema\":{\"type\":\"integer\",\"minimum\":1,"
               "\"maximum\":100,\"default\":50}}") },
    { TN_STR_C("Cursor"),
      TN_STR_C("{\"name\":\"cursor\",\"in\":\"query\","
               "\"description\":\"`next_cursor` of the page before, with the "
               "same filters and sort.\",\"schema\":{\"type\":\"string\","
               "\"pattern\":\"^[A-Za-z0-9_-]+$\"}}") },
    { TN_STR_C("Q"),
      TN_STR_C("{\"name\":\"q\",\"in\":\"query\","
               "\"description\":\"Finds what contains this text, whatever its "
               "case. At least three characters, or two beyond ASCII.\","
               "\"schema\":{\"type\":\"string\",\"minLength\":2,"
               "\"maxLength\":200,"
               "\"pattern\":\"[\\\\s\\\\S]{3}|[^\\\\x00-\\\\x7F]\"}}") },
};


/* Adds a reference to a shared one, which comes along. */
static void
share(tn__doc *doc, cJSON *list, tn_str name)
{
    unsigned i;

    tn__doc_ref(doc, tn__doc_item_object(doc, list), TN_STR("parameters"),
                name);

    if (cJSON_GetObjectItemCaseSensitive(doc->parameters,
                                         tn__doc_c(doc, name))) {
        return;
    }

    for (i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
        if (tn__eq(shared[i].name, name)) {
            tn__doc_raw(doc, doc->parameters, name, shared[i].json);
        }
    }
}


static cJSON *
query(tn__doc *doc, cJSON *list, tn_str name, tn_str about)
{
    cJSON *parameter;

    parameter = tn__doc_item_object(doc, list);
    tn__doc_str(doc, parameter, TN_STR("name"), name);
    tn__doc_lit(doc, parameter, "in", "query");

    if (about.n) {
        tn__doc_str(doc, parameter, TN_STR("description"), about);
    }

    return parameter;
}


/* The schema of a value, for one with commas between several. */
static cJSON *
several(tn__doc *doc, cJSON *parameter)
{
    cJSON *schema;

    tn__doc_lit(doc, parameter, "style", "form");
    tn__doc_bool(doc, parameter, TN_STR("explode"), 0);
    schema = tn__doc_object(doc, parameter, TN_STR("schema"));
    tn__doc_lit(doc, schema, "type", "array");
    tn__doc_int(doc, schema, TN_STR("minItems"), 1);

    return tn__doc_object(doc, schema, TN_STR("items"));
}


static void
sort(tn__doc *doc, cJSON *list, const tn__resource *r)
{
    unsigned i, k;
    tn_str name, parts[2];
    cJSON *schema, *set;
    const tn__field *order;

    schema = tn__doc_object(
        doc,
        query(doc, list, TN_STR("sort"),
              TN_STR("A minus turns the order round; ties go by `id`.")),
        TN_STR("schema"));
    tn__doc_lit(doc, schema, "type", "string");
    set = tn__doc_array(doc, schema, TN_STR("enum"));
    parts[0] = TN_STR("-");

    for (i = 0; i < r->nfields; i++) {
        for (k = 0; r->fields[i].sort && k < 2; k++) {
            parts[1] = r->fields[i].name;
            name = k ? tn__doc_cat(doc, parts, 2) : parts[1];
            tn__doc_item(doc, set, name);
        }
    }

    order = tn__field_find(r->fields, r->nfields, r->order);

    if (order && order->sort) {
        parts[1] = r->order;
        tn__doc_str(doc, schema, TN_STR("default"), tn__doc_cat(doc, parts, 2));
    }
}


static void
fields(tn__doc *doc, cJSON *list, const tn__endpoint *e)
{
    unsigned i;
    cJSON *items, *set;

    items = several(doc, query(doc, list, TN_STR("fields"),
                               TN_STR("Answers exactly these members.")));
    tn__doc_lit(doc, items, "type", "string");
    set = tn__doc_array(doc, items, TN_STR("enum"));

    for (i = 0; i < e->noutput; i++) {
        if (e->output[i].out) {
            tn__doc_item(doc, set, e->output[i].name);
        }
    }
}


static void
compare(tn__doc *doc, cJSON *list, const tn__field *field, tn_str name,
        tn_str how)
{
    tn_str parts[4];
    cJSON *parameter;

    parts[0] = name;
    parts[1] = TN_STR("[");
    parts[2] = how;
    parts[3] = TN_STR("]");

    parameter = query(doc, list, tn__doc_cat(doc, parts, 4), TN_NULL);
    tn__doc_value(doc, tn__doc_object(doc, parameter, TN_STR("schema")), field,
                  TN__USE_FILTER);
}


/* In free text a comma is a comma; what has a set or no order is not compared
 * by size. */
static void
filter(tn__doc *doc, cJSON *list, const tn__field *field)
{
    int ordered;
    unsigned i;
    tn_str name;
    cJSON *parameter, *schema;
    static const tn_str hows[] = {
        TN_STR_C("ne"), TN_STR_C("gt"),  TN_STR_C("gte"),
        TN_STR_C("lt"), TN_STR_C("lte"),
    };

    name = field->param.p ? field->param : field->name;
    ordered = field->type != TN__TYPE_UUID && field->type != TN__TYPE_BOOL &&
              field->nset == 0;

    if (field->type == TN__TYPE_TEXT && field->nset == 0 && !field->several) {
        parameter = query(doc, list, name, TN_STR("Exactly this."));
        schema = tn__doc_object(doc, parameter, TN_STR("schema"));
    } else {
        parameter = query(doc, list, name, TN_STR("One of these."));
        schema = several(doc, parameter);
    }

    tn__doc_value(doc, schema, field, TN__USE_FILTER);

    for (i = 0; i < (ordered ? sizeof(hows) / sizeof(hows[0]) : 1); i++) {
        compare(doc, list, field, name, hows[i]);
    }
}


/* JSON as text, as a query string has it. */
static void
json_text(tn__doc *doc, cJSON *parameter)
{
    cJSON *schema;

    schema = tn__doc_object(doc, parameter, TN_STR("schema"));
    tn__doc_lit(doc, schema, "type", "string");
    tn__doc_lit(doc, schema, "contentMediaType", "application/json");
}


static void
contains(tn__doc *doc, cJSON *list, const tn__field *field)
{
    tn_str parts[2];

    parts[0] = field->name;
    parts[1] = TN_STR("[contains]");
    json_text(doc, query(doc, list, tn__doc_cat(doc, parts, 2),
                         TN_STR("What contains this JSON object or array, at "
                                "any place of its own shape.")));
}


/* What is left out is the default; a null can't be given. */
static void
of_query(tn__doc *doc, cJSON *list, const tn__call *call)
{
    unsigned i;
    cJSON *parameter;
    tn__field field;

    for (i = 0; i < call->nparams; i++) {
        field = call->params[i];
        field.nullable = 0;
        parameter = query(doc, list, field.name, TN_NULL);

        if (field.required) {
            tn__doc_bool(doc, parameter, TN_STR("required"), 1);
        }

        if (field.type == TN__TYPE_JSON) {
            json_text(doc, parameter);
        } else {
            tn__doc_value(doc, tn__doc_object(doc, parameter, TN_STR("schema")),
                          &field, TN__USE_CREATE);
        }
    }
}


static void
of_list(tn__doc *doc, cJSON *list, const tn__endpoint *e)
{
    unsigned i;
    const tn__resource *r;

    r = e->kind == TN__KIND_HISTORY ? doc->cat->events : e->resource;

    share(doc, list, TN_STR("Limit"));
    share(doc, list, TN_STR("Cursor"));
    sort(doc, list, r);
    fields(doc, list, e);

    if (r->search.p) {
        share(doc, list, TN_STR("Q"));
    }

    for (i = 0; i < r->nfields; i++) {
        if (r->fields[i].filter &&
            !(e->kind == TN__KIND_HISTORY && r->fields[i].of_path)) {
            filter(doc, list, &r->fields[i]);
        }

        if (r->fields[i].contains.p) {
            contains(doc, list, &r->fields[i]);
        }
    }
}


void
tn__doc_path_parameters(tn__doc *doc, cJSON *path, const tn__endpoint *e)
{
    cJSON *list;
    tn_str rest;

    list = tn__doc_array(doc, path, TN_STR("parameters"));
    rest = e->path;
    tn__split(&rest, '{');

    if (rest.p) {
        share(doc, list,
              tn__starts(rest, TN_STR("key}")) ? TN_STR("Key") : TN_STR("Id"));
    }

    share(doc, list, TN_STR("XRequestId"));
    share(doc, list, TN_STR("Traceparent"));
}


void
tn__doc_parameters(tn__doc *doc, cJSON *node, const tn__endpoint *e)
{
    cJSON *list;

    list = cJSON_CreateArray();

    if (tn__doc_is_list(e)) {
        of_list(doc, list, e);

    } else if (e->kind == TN__KIND_QUERY) {
        of_query(doc, list, e->call);

    } else if (tn__doc_takes_fields(e)) {
        fields(doc, list, e);
    }

    if (tn__doc_takes_tenant(e)) {
        share(doc, list, TN_STR("TenonTenant"));
    }

    if (e->opens_session) {
        share(doc, list, TN_STR("TenonSession"));
    }

    if (tn__doc_takes_match(e)) {
        share(doc, list,
              e->resource && e->resource->require_match
                  ? TN_STR("IfMatchRequired")
                  : TN_STR("IfMatch"));
    }

    if (tn__doc_revalidates(e)) {
        share(doc, list, TN_STR("IfNoneMatch"));
    }

    if (e->signature.p) {
        share(doc, list, e->signature);
    }

    if (tn__doc_takes_key(e)) {
        share(doc, list, TN_STR("IdempotencyKey"));
    }

    if (list && list->child) {
        cJSON_AddItemToObject(node, "parameters", list);
    }
}
