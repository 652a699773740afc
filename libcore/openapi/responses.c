/*
 * responses.c: success and refusals of an operation. A refusal is a component
 * that is named by its codes: the same codes, the same component.
 */

#include "libcore/openapi/doc.h"


static const struct {
    tn_str name;
    tn_str json;
} headers[] = {
    { TN_STR_C("X-Request-Id"),
      TN_STR_C("{\"description\":\"Names the request.\",\"schema\":"
               "{\"type\":\"string\"}}") },
    { TN_STR_C("traceparent"),
      TN_STR_C("{\"description\":\"Of a request that has a valid one: the "
               "same trace, our span.\",\"schema\":{\"type\":\"string\"}}") },
    { TN_STR_C("Cache-Control"),
      TN_STR_C("{\"description\":\"Whether and how long it may be kept.\","
               "\"schema\":{\"type\":\"string\"}}") },
    { TN_STR_C("Vary"),
      TN_STR_C("{\"description\":\"What else it depends on: `Authorization, "
               "Cookie, Tenon-Tenant` where it is of an organization, `Origin` "
               "where "
               "pages of other origins may ask.\",\"schema\":"
               "{\"type\":\"string\"}}") },
    { TN_STR_C("ETag"),
      TN_STR_C("{\"description\":\"For If-Match and If-None-Match.\","
               "\"schema\":{\"type\":\"string\"}}") },
    { TN_STR_C("Location"),
      TN_STR_C("{\"description\":\"Where the new row is read.\",\"schema\":"
               "{\"type\":\"string\",\"format\":\"uri-reference\"}}") },
    { TN_STR_C("Link"),
      TN_STR_C("{\"description\":\"With rel=\\\"next\\\": the next page.\","
               "\"schema\":{\"type\":\"string\"}}") },
    { TN_STR_C("Set-Cookie"),
      TN_STR_C("{\"description\":\"With Tenon-Session: cookie, the session, "
               "for a browser to keep.\",\"schema\":{\"type\":\"string\"}}") },
    { TN_STR_C("Idempotency-Replayed"),
      TN_STR_C("{\"description\":\"It was done before, under the same key.\","
               "\"schema\":{\"type\":\"string\",\"const\":\"true\"}}") },
    { TN_STR_C("Retry-After"),
      TN_STR_C("{\"description\":\"Seconds to wait.\",\"schema\":"
               "{\"type\":\"integer\",\"minimum\":0}}") },
    { TN_STR_C("RateLimit-Policy"),
      TN_STR_C("{\"description\":\"Where the plan limits requests: how many "
               "there may be (q) in how many seconds (w), by the limit's "
               "name.\",\"schema\":{\"type\":\"string\"}}") },
    { TN_STR_C("RateLimit"),
      TN_STR_C("{\"description\":\"How many are left (r), and for how many "
               "seconds (t), by the limit's name.\",\"schema\":"
               "{\"type\":\"string\"}}") },
    { TN_STR_C("WWW-Authenticate"),
      TN_STR_C("{\"description\":\"How to sign in.\",\"schema\":"
               "{\"type\":\"string\"}}") },
};


/* "ETag" → "#/components/headers/ETag", which comes along. */
static void
header(tn__doc *doc, cJSON *list, tn_str name)
{
    unsigned i;
    cJSON *components, *section;

    tn__doc_ref(doc, tn__doc_object(doc, list, name), TN_STR("headers"), name);

    components = cJSON_GetObjectItemCaseSensitive(doc->root, "components");
    section = cJSON_GetObjectItemCaseSensitive(components, "headers");

    if (cJSON_GetObjectItemCaseSensitive(section, tn__doc_c(doc, name))) {
        return;
    }

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (tn__eq(headers[i].name, name)) {
            tn__doc_raw(doc, section, name, headers[i].json);
        }
    }
}


static void
common_headers(tn__doc *doc, cJSON *list, unsigned status)
{
    header(doc, list, TN_STR("X-Request-Id"));
    header(doc, list, TN_STR("Cache-Control"));
    header(doc, list, TN_STR("Vary"));

    /* the host refuses as well, and goes on with no trace */
    if (status != 429) {
        header(doc, list, TN_STR("traceparent"));
    }
}


static void
limit_headers(tn__doc *doc, cJSON *list)
{
    header(doc, list, TN_STR("RateLimit-Policy"));
    header(doc, list, TN_STR("RateLimit"));
}


/* "404" */
static tn_str
digits(tn__doc *doc, unsigned status)
{
    tn__buf buf;

    tn__buf_init(&buf, &doc->lent, 8);
    tn__buf_int(&buf, status);

    return tn__doc_buf(doc, &buf);
}


/* ---- success ---- */

static tn_str
named(tn__doc *doc, tn_str noun, tn_str tail)
{
    tn_str parts[2];

    parts[0] = noun;
    parts[1] = tail;

    return tn__doc_cat(doc, parts, 2);
}


/* The row whole, or what ?fields= leaves of it. */
static void
row(tn__doc *doc, cJSON *schema, const tn__endpoint *e, tn_str noun)
{
    tn_str part;
    cJSON *list, *component;

    component = tn__doc_component(doc, doc->schemas, noun);
    if (component) {
        tn__doc_fields(doc, component, e->output, e->noutput, TN__USE_OUTPUT);
    }

    if (!tn__doc_takes_fields(e)) {
        tn__doc_ref(doc, schema, TN_STR("schemas"), noun);
        return;
    }

    part = named(doc, noun, TN_STR("Part"));
    component = tn__doc_component(doc, doc->schemas, part);
    if (component) {
        tn__doc_lit(doc, component, "description",
                    "What `fields` leaves of it.");
        tn__doc_fields(doc, component, e->output, e->noutput, TN__USE_PART);
    }

    list = tn__doc_array(doc, schema, TN_STR("anyOf"));
    tn__doc_ref(doc, tn__doc_item_object(doc, list), TN_STR("schemas"), noun);
    tn__doc_ref(doc, tn__doc_item_object(doc, list), TN_STR("schemas"), part);
}


static void
page(tn__doc *doc, cJSON *schema, const tn__endpoint *e, tn_str noun)
{
    tn_str name;
    cJSON *component, *properties, *data;

    name = named(doc, noun, TN_STR("List"));
    tn__doc_ref(doc, schema, TN_STR("schemas"), name);

    component = tn__doc_component(doc, doc->schemas, name);
    if (component == NULL) {
        return;
    }

    tn__doc_lit(doc, component, "type", "object");
    tn__doc_raw(doc, component, TN_STR("required"),
                TN_STR("[\"data\",\"next_cursor\"]"));
    properties = tn__doc_object(doc, component, TN_STR("properties"));
    data = tn__doc_object(doc, properties, TN_STR("data"));
    tn__doc_lit(doc, data, "type", "array");
    row(doc, tn__doc_object(doc, data, TN_STR("items")), e, noun);
    tn__doc_raw(doc, properties, TN_STR("next_cursor"),
                TN_STR("{\"type\":[\"string\",\"null\"],\"description\":"
                       "\"Null on the last page.\"}"));
}


static void
output_example(tn__doc *doc, cJSON *media, const tn__endpoint *e, tn_str noun)
{
    int list;
    tn__buf buf;
    tn_str name;
    cJSON *example;

    list = tn__doc_is_page(e);
    name = list ? named(doc, noun, TN_STR("List")) : noun;

    tn__doc_ref(doc,
                tn__doc_object(
                    doc, tn__doc_object(doc, media, TN_STR("examples")), name),
                TN_STR("examples"), name);

    example = tn__doc_component(doc, doc->examples, name);
    if (example == NULL) {
        return;
    }

    tn__buf_init(&buf, &doc->lent, 512);
    tn__buf_add(&buf, list ? TN_STR("{\"data\":[") : TN_STR(""));
    tn__doc_example(&buf, e->output, e->noutput, TN__USE_OUTPUT);
    tn__buf_add(&buf, list ? TN_STR("],\"next_cursor\":null}") : TN_STR(""));
    tn__doc_raw(doc, example, TN_STR("value"), tn__doc_buf(doc, &buf));
}


static void
success_headers(tn__doc *doc, cJSON *response, const tn__endpoint *e)
{
    cJSON *list;

    list = tn__doc_object(doc, response, TN_STR("headers"));
    common_headers(doc, list, tn__doc_status(e));

    if (tn__endpoint_counted(e)) {
        limit_headers(doc, list);
    }

    if (tn__doc_has_etag(e)) {
        header(doc, list, TN_STR("ETag"));
    }

    if (tn__doc_has_location(e)) {
        header(doc, list, TN_STR("Location"));
    }

    if (tn__doc_is_list(e)) {
        header(doc, list, TN_STR("Link"));
    }

    if (e->opens_session) {
        header(doc, list, TN_STR("Set-Cookie"));
    }

    if (tn__doc_takes_key(e)) {
        header(doc, list, TN_STR("Idempotency-Replayed"));
    }
}


static void
not_modified(tn__doc *doc, cJSON *responses)
{
    cJSON *component, *list;

    tn__doc_ref(doc, tn__doc_object(doc, responses, TN_STR("304")),
                TN_STR("responses"), TN_STR("NotModified"));

    component = tn__doc_component(doc, doc->responses, TN_STR("NotModified"));
    if (component) {
        tn__doc_lit(doc, component, "description",
                    "It is as If-None-Match has it.");
        list = tn__doc_object(doc, component, TN_STR("headers"));
        common_headers(doc, list, 304);
        limit_headers(doc, list);
        header(doc, list, TN_STR("ETag"));
    }
}


void
tn__doc_success(tn__doc *doc, cJSON *responses, const tn__endpoint *e)
{
    tn_str noun;
    unsigned status;
    cJSON *response, *media, *schema;

    status = tn__doc_status(e);
    response = tn__doc_object(doc, responses, digits(doc, status));
    tn__doc_str(doc, response, TN_STR("description"),
                status == 204        ? TN_STR("It is done.")
                : status == 201      ? TN_STR("It is made.")
                : status == 202      ? TN_STR("It is going to be made; "
                                                   "Location tells how far it is.")
                : tn__doc_is_page(e) ? TN_STR("A page.")
                                     : TN_STR("As asked."));
    success_headers(doc, response, e);

    if (status != 204) {
        noun = tn__doc_output_noun(doc, e);
        media = tn__doc_object(doc,
                               tn__doc_object(doc, response, TN_STR("content")),
                               TN_STR("application/json"));
        schema = tn__doc_object(doc, media, TN_STR("schema"));

        if (tn__doc_is_page(e)) {
            page(doc, schema, e, noun);
        } else {
            row(doc, schema, e, noun);
        }

        output_example(doc, media, e, noun);
    }

    if (tn__doc_revalidates(e)) {
        not_modified(doc, responses);
    }
}


/* ---- refusals ---- */

/* "NotFound"; of several codes "NotFoundOrTenantUnknown". */
static tn_str
codes_name(tn__doc *doc, uint64_t bits)
{
    unsigned err;
    tn__buf buf;

    tn__buf_init(&buf, &doc->lent, 64);

    for (err = TN_E_NOMEM + 1; err < TN_E_COUNT; err++) {
        if (bits & ((uint64_t) 1 << err)) {
            tn__buf_add(&buf, buf.n ? TN_STR("Or") : TN_STR(""));
            tn__doc_pascal(&buf, tn_err_code((tn_err) err));
        }
    }

    return tn__doc_buf(doc, &buf);
}


static tn_str
codes_about(tn__doc *doc, uint64_t bits)
{
    unsigned err;
    tn__buf buf;

    tn__buf_init(&buf, &doc->lent, 256);

    for (err = TN_E_NOMEM + 1; err < TN_E_COUNT; err++) {
        if (bits & ((uint64_t) 1 << err)) {
            tn__buf_add(&buf, buf.n ? TN_STR(" `") : TN_STR("`"));
            tn__buf_add(&buf, tn_err_code((tn_err) err));
            tn__buf_lit(&buf, "`: ");
            tn__buf_add(&buf, tn_err_detail((tn_err) err));
        }
    }

    return tn__doc_buf(doc, &buf);
}


static void
problem_example(tn__doc *doc, cJSON *examples, tn_err err)
{
    cJSON *value;
    tn_str parts[2];

    parts[0] = TN_STR("urn:tenon:problem:");
    parts[1] = tn_err_code(err);

    value = tn__doc_object(doc, tn__doc_object(doc, examples, tn_err_code(err)),
                           TN_STR("value"));
    tn__doc_str(doc, value, TN_STR("type"), tn__doc_cat(doc, parts, 2));
    tn__doc_str(doc, value, TN_STR("title"), tn_err_title(err));
    tn__doc_int(doc, value, TN_STR("status"), tn_err_status(err));
    tn__doc_str(doc, value, TN_STR("detail"), tn_err_detail(err));
    tn__doc_str(doc, value, TN_STR("code"), tn_err_code(err));
    tn__doc_lit(doc, value, "request_id",
                "01890a5d-ac96-774b-bcce-b302099a8057");

    if (err == TN_E_INVALID_FIELDS) {
        tn__doc_raw(doc, value, TN_STR("errors"),
                    TN_STR("[{\"pointer\":\"/name\",\"code\":\"too_short\","
                           "\"detail\":\"must have at least 1 character\"}]"));
    }
}


static void
refusal_headers(tn__doc *doc, cJSON *component, unsigned status, uint64_t bits)
{
    cJSON *list;

    list = tn__doc_object(doc, component, TN_STR("headers"));
    common_headers(doc, list, status);

    if (status == 401) {
        header(doc, list, TN_STR("WWW-Authenticate"));
    } else {
        limit_headers(doc, list);
    }

    if (status == 429 || status == 503 ||
        (bits & ((uint64_t) 1 << TN_E_IDEMPOTENCY_IN_PROGRESS))) {
        header(doc, list, TN_STR("Retry-After"));
    }
}


/* A problem that has one of these codes. */
static void
refusal(tn__doc *doc, cJSON *component, unsigned status, uint64_t bits)
{
    unsigned err;
    cJSON *media, *all, *narrower, *set, *examples;

    tn__doc_str(doc, component, TN_STR("description"), codes_about(doc, bits));
    refusal_headers(doc, component, status, bits);

    media =
        tn__doc_object(doc, tn__doc_object(doc, component, TN_STR("content")),
                       TN_STR("application/problem+json"));
    all = tn__doc_array(doc, tn__doc_object(doc, media, TN_STR("schema")),
                        TN_STR("allOf"));
    tn__doc_ref(doc, tn__doc_item_object(doc, all), TN_STR("schemas"),
                TN_STR("Problem"));
    narrower = tn__doc_object(doc, tn__doc_item_object(doc, all),
                              TN_STR("properties"));
    set = tn__doc_array(doc, tn__doc_object(doc, narrower, TN_STR("code")),
                        TN_STR("enum"));
    examples = tn__doc_object(doc, media, TN_STR("examples"));

    for (err = TN_E_NOMEM + 1; err < TN_E_COUNT; err++) {
        if (bits & ((uint64_t) 1 << err)) {
            tn__doc_item(doc, set, tn_err_code((tn_err) err));
            problem_example(doc, examples, (tn_err) err);
        }
    }
}


void
tn__doc_refusals(tn__doc *doc, cJSON *responses, const tn__endpoint *e)
{
    tn_str name;
    cJSON *component;
    unsigned status, err;
    uint64_t bits, group;

    bits = tn__doc_errors(e);

    for (status = 400; status < 600; status++) {
        group = 0;

        for (err = TN_E_NOMEM + 1; err < TN_E_COUNT; err++) {
            if (tn_err_status((tn_err) err) == status) {
                group |= bits & ((uint64_t) 1 << err);
            }
        }

        if (group == 0) {
            continue;
        }

        name = codes_name(doc, group);
        tn__doc_ref(doc, tn__doc_object(doc, responses, digits(doc, status)),
                    TN_STR("responses"), name);

        component = tn__doc_component(doc, doc->responses, name);
        if (component) {
            refusal(doc, component, status, group);
        }
    }
}
