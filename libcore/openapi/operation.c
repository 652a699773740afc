/*
 * operation.c: one endpoint as an operation.
 */

#include "libcore/openapi/doc.h"


/* "owner, admin; member for rows of their own" */
static void
roles(tn__doc *doc, tn__buf *buf, unsigned permission)
{
    int first;
    unsigned i, scope;
    const tn__role *role;

    for (scope = TN__SCOPE_TENANT; scope >= TN__SCOPE_OWN; scope--) {
        first = 1;

        for (i = 0; i < doc->cat->nroles; i++) {
            role = &doc->cat->roles[i];

            if (tn__role_scope(role, permission) != (tn__scope) scope) {
                continue;
            }

            tn__buf_add(buf, !first                      ? TN_STR(", ")
                             : scope == TN__SCOPE_TENANT ? TN_STR(" Any row: ")
                                                         : TN_STR(" Their own "
                                                                  "rows: "));
            tn__buf_add(buf, role->name);
            first = 0;
        }

        tn__buf_add(buf, first ? TN_STR("") : TN_STR("."));
    }
}


static void
permission(tn__doc *doc, tn__buf *buf, const char *name, unsigned number)
{
    tn__buf_add(buf, buf->n ? TN_STR("\n\n") : TN_STR(""));
    tn__buf_lit(buf, "Needs the permission `");
    tn__buf_add(buf, (tn_str){ name, strlen(name) });
    tn__buf_lit(buf, "`.");
    roles(doc, buf, number);
}


static void
description(tn__doc *doc, cJSON *operation, const tn__endpoint *e)
{
    tn__buf buf;

    tn__buf_init(&buf, &doc->lent, 256);

    if (e->permission == TN__PERM_PUBLIC) {
        tn__buf_lit(&buf, "Open to everybody.");

    } else if (e->permission == TN__PERM_AUTHENTICATED) {
        tn__buf_lit(&buf, "Open to everybody who is signed in.");

    } else {
        permission(doc, &buf, e->permission_name, e->permission);
    }

    if (e->also_name) {
        permission(doc, &buf, e->also_name, e->also);
    }

    if (e->base_domain) {
        tn__buf_lit(&buf, "\n\nServed on the base domain only, which names no "
                          "organization.");
    }

    if (tn__doc_is_list(e)) {
        tn__buf_lit(&buf, "\n\nAt most 8 filters at once.");
    }

    tn__doc_str(doc, operation, TN_STR("description"), tn__doc_buf(doc, &buf));
}


static tn__use
use_of(const tn__endpoint *e)
{
    return tn__eq(e->method, TN_STR("PATCH")) ? TN__USE_UPDATE : TN__USE_CREATE;
}


static void
input_schema(tn__doc *doc, const tn__endpoint *e, tn_str noun)
{
    tn__buf buf;
    cJSON *component;

    component = tn__doc_component(doc, doc->schemas, noun);
    if (component == NULL) {
        return;
    }

    tn__doc_fields(doc, component, e->input, e->ninput, use_of(e));
    tn__buf_init(&buf, &doc->lent, 256);

    if (tn__doc_example(&buf, e->input, e->ninput, use_of(e))) {
        component = tn__doc_component(doc, doc->examples, noun);
        tn__doc_raw(doc, component, TN_STR("value"), tn__doc_buf(doc, &buf));
    }
}


static void
media(tn__doc *doc, cJSON *content, tn_str type, tn_str noun)
{
    cJSON *node, *examples;

    node = tn__doc_object(doc, content, type);
    tn__doc_ref(doc, tn__doc_object(doc, node, TN_STR("schema")),
                TN_STR("schemas"), noun);

    if (cJSON_GetObjectItemCaseSensitive(doc->examples, tn__doc_c(doc, noun))) {
        examples = tn__doc_object(doc, node, TN_STR("examples"));
        tn__doc_ref(doc, tn__doc_object(doc, examples, noun),
                    TN_STR("examples"), noun);
    }
}


static void
body(tn__doc *doc, cJSON *operation, const tn__endpoint *e)
{
    tn_str noun;
    cJSON *request, *content;

    if (e->ninput == 0) {
        return;
    }

    noun = tn__doc_input_noun(doc, e);
    input_schema(doc, e, noun);

    request = tn__doc_object(doc, operation, TN_STR("requestBody"));
    tn__doc_bool(doc, request, TN_STR("required"), 1);
    content = tn__doc_object(doc, request, TN_STR("content"));
    media(doc, content, TN_STR("application/json"), noun);

    if (use_of(e) == TN__USE_UPDATE) {
        media(doc, content, TN_STR("application/merge-patch+json"), noun);
    }
}


/* "POST" → "post" */
static tn_str
method(tn__doc *doc, const tn__endpoint *e)
{
    size_t i;
    tn__buf buf;

    tn__buf_init(&buf, &doc->lent, 8);

    for (i = 0; i < e->method.n; i++) {
        tn__buf_char(&buf, (char) (e->method.p[i] + 32));
    }

    return tn__doc_buf(doc, &buf);
}


void
tn__doc_operation(tn__doc *doc, cJSON *path, const tn__endpoint *e)
{
    cJSON *operation, *responses;

    operation = tn__doc_object(doc, path, method(doc, e));
    tn__doc_str(doc, operation, TN_STR("operationId"), e->operation);
    tn__doc_item(doc, tn__doc_array(doc, operation, TN_STR("tags")),
                 tn__doc_tag(doc, e));
    tn__doc_str(doc, operation, TN_STR("summary"), tn__doc_summary(doc, e));
    description(doc, operation, e);

    if (e->permission == TN__PERM_PUBLIC) {
        tn__doc_array(doc, operation, TN_STR("security"));
    }

    tn__doc_parameters(doc, operation, e);
    body(doc, operation, e);

    responses = tn__doc_object(doc, operation, TN_STR("responses"));
    tn__doc_success(doc, responses, e);
    tn__doc_refusals(doc, responses, e);
}
