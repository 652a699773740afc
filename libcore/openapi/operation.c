/*
 * operation.c: one endpoint as an operation.
 */

#include "libcore/openapi/doc.h"


/* Whether the path names a row. */
static int
of_one(const tn__endpoint *e)
{
    tn_str rest;

    rest = e->path;
    tn__split(&rest, '{');

    return rest.p != NULL;
}


/* Whether it is about rows that are there, some of which may be one's own:
 * not one that is made, nor the one organization. */
static int
of_rows(const tn__endpoint *e)
{
    return tn__doc_is_list(e) || of_one(e);
}


/* " Roles: owner, admin."; nothing where no role has one of these scopes. */
static void
roles(tn__doc *doc, tn__buf *buf, unsigned permission, tn_str label,
      tn__scope narrowest, tn__scope widest)
{
    int first;
    unsigned i;
    tn__scope scope;
    const tn__role *role;

    first = 1;

    for (i = 0; i < doc->cat->nroles; i++) {
        role = &doc->cat->roles[i];
        scope = tn__role_scope(role, permission);

        if (scope >= narrowest && scope <= widest) {
            tn__buf_add(buf, first ? label : TN_STR(", "));
            tn__buf_add(buf, role->name);
            first = 0;
        }
    }

    tn__buf_add(buf, first ? TN_STR("") : TN_STR("."));
}


static void
permission(tn__doc *doc, tn__buf *buf, const tn__endpoint *e, const char *name,
           unsigned number)
{
    tn__buf_add(buf, buf->n ? TN_STR("\n\n") : TN_STR(""));
    tn__buf_lit(buf, "Needs the permission `");
    tn__buf_add(buf, (tn_str){ name, strlen(name) });
    tn__buf_lit(buf, "`.");

    if (!of_rows(e)) {
        roles(doc, buf, number, TN_STR(" Roles: "), TN__SCOPE_OWN,
              TN__SCOPE_TENANT);
        return;
    }

    roles(doc, buf, number, TN_STR(" Any row: "), TN__SCOPE_TENANT,
          TN__SCOPE_TENANT);
    roles(doc, buf, number, TN_STR(" Their own rows: "), TN__SCOPE_OWN,
          TN__SCOPE_OWN);
}


/* Of rows that belong to accounts: which they are, and how the others are
 * refused (identity/scope.c). */
static void
of_accounts(tn__buf *buf, const tn__endpoint *e)
{
    int get, by_share;

    if (!of_rows(e)) {
        tn__buf_lit(buf, "\n\nIt has to be of an account in which a role of "
                         "yours, or one of the whole organization, holds the "
                         "permission: another account is answered as if it "
                         "were not, 422 `not_found`. 403 where you hold it in "
                         "none.");
        return;
    }

    get = tn__eq(e->method, TN_STR("GET"));
    by_share = e->resource->shareable && e->kind != TN__KIND_HISTORY &&
               (get || e->kind == TN__KIND_UPDATE);

    tn__buf_lit(buf, "\n\nRows of your accounts only: those in which a role of "
                     "yours holds the permission, and all accounts that lie in "
                     "them. A role of the whole organization holds in every "
                     "one.");
    tn__buf_add(buf, by_share ? TN_STR(" Besides, rows that were shared with "
                                       "you for this.")
                              : TN_STR(" 403 where you hold it in none."));

    if (!of_one(e)) {
        return;
    }

    tn__buf_lit(buf, " A row of another account is as if it were not: 404");
    tn__buf_add(buf, get ? TN_STR(".")
                         : TN_STR("; one that you may see and not change so "
                                  "is 403."));
}


/* Whom it is closed to, whatever they may do else (op/op.c). */
static void
by_whom(tn__buf *buf, const tn__endpoint *e)
{
    if (e->permission == TN__PERM_PUBLIC) {
        return;
    }

    if (!tn__endpoint_open_to_keys(e)) {
        tn__buf_lit(buf, "\n\nNot by an API key: 403.");
    }

    if (e->by_self || e->by_person) {
        tn__buf_lit(buf, "\n\nNot by who acts as somebody else: 403.");
    }
}


static void
of_call(tn__buf *buf, const tn__call *call)
{
    unsigned i;

    for (i = 0; i < call->nstates; i++) {
        if (i == 0) {
            tn__buf_lit(buf, "\n\nOnly while `");
            tn__buf_add(buf, call->state_field->name);
            tn__buf_lit(buf, "` is `");
        } else {
            tn__buf_lit(buf, "` or `");
        }

        tn__buf_add(buf, call->states[i]);
    }

    tn__buf_add(buf, call->nstates ? TN_STR("`.") : TN_STR(""));

    if (call->answers == TN__ANSWERS_MANY) {
        tn__buf_lit(buf, "\n\nOne page of at most 1,000 rows.");
    }
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
        permission(doc, &buf, e, e->permission_name, e->permission);
    }

    if (e->also_name) {
        permission(doc, &buf, e, e->also_name, e->also);
    }

    by_whom(&buf, e);

    if (e->resource && e->resource->scoped) {
        of_accounts(&buf, e);
    }

    if (e->base_domain) {
        tn__buf_lit(&buf, "\n\nServed on the base domain only, which names no "
                          "organization.");
    }

    if (e->realm_wide) {
        tn__buf_lit(&buf, "\n\nOn the base domain, with no organization "
                          "named, it is for everybody of the realm that "
                          "organizations share.");
    }

    if (tn__doc_is_list(e)) {
        tn__buf_lit(&buf, "\n\nAt most 8 filters at once.");
    }

    if (e->call) {
        of_call(&buf, e->call);
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


/* Somebody else's document, of which all is kept. */
static void
signed_body(tn__doc *doc, cJSON *operation)
{
    tn__doc_raw(doc, operation, TN_STR("requestBody"),
                TN_STR("{\"required\":true,\"content\":"
                       "{\"application/json\":{\"schema\":"
                       "{\"type\":\"object\",\"required\":[\"id\",\"type\"],"
                       "\"properties\":{\"id\":{\"type\":\"string\"},"
                       "\"type\":{\"type\":\"string\"}},"
                       "\"additionalProperties\":true}}}}"));
}


static void
body(tn__doc *doc, cJSON *operation, const tn__endpoint *e)
{
    tn_str noun;
    cJSON *request, *content;

    if (e->signature.p) {
        signed_body(doc, operation);
        return;
    }

    if (e->ninput == 0) {
        return;
    }

    noun = tn__doc_input_noun(doc, e);
    input_schema(doc, e, noun);

    request = tn__doc_object(doc, operation, TN_STR("requestBody"));
    tn__doc_bool(doc, request, TN_STR("required"), tn__doc_needs_body(e));
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

    if (e->heeds_caller) {
        tn__doc_raw(doc, operation, TN_STR("security"),
                    TN_STR("[{},{\"bearer\":[]},{\"cookie\":[]}]"));

    } else if (e->permission == TN__PERM_PUBLIC) {
        tn__doc_array(doc, operation, TN_STR("security"));
    }

    tn__doc_parameters(doc, operation, e);
    body(doc, operation, e);

    responses = tn__doc_object(doc, operation, TN_STR("responses"));
    tn__doc_success(doc, responses, e);
    tn__doc_refusals(doc, responses, e);
}
