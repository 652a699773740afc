/*
 * openapi.c: the frame of the document. It is built once for a catalogue, and
 * printed in two halves: between them goes what only a request knows, the
 * prefix under which it is served.
 */

#include "libcore/openapi/doc.h"

#include <sodium.h>


/* Stands where the prefix goes: no JSON text has it. */
#define PREFIX '\x01'

#define DESCRIPTION                                                            \
    "A multi-tenant backend. Sign in with `POST /v1/auth/login` and send the " \
    "access token as `Authorization: Bearer …`. The organization is named "  \
    "by the host, by a `Tenon-Tenant` header or by the token; all that name "  \
    "one must agree.\n\n"                                                      \
    "Errors are `application/problem+json`: go by `code`. Lists are pages: "   \
    "pass `next_cursor` as `cursor`. A change is conditional with `If-Match` " \
    "and the `ETag` that was read, and may be repeated safely with an "        \
    "`Idempotency-Key`. A row of another organization answers exactly as one " \
    "that doesn't exist.\n\n"                                                  \
    "On a path of this document any other method answers 405 "                 \
    "(`method_not_allowed`) with `Allow`, `OPTIONS` answers 204 with "         \
    "`Allow`, and `HEAD` as `GET` does, without the body."


static void
info(tn__doc *doc)
{
    unsigned i, k;
    tn__buf title;
    cJSON *node, *license;
    const tn_catalogue *cat;

    cat = doc->cat;
    tn__buf_init(&title, &doc->lent, 64);
    tn__buf_lit(&title, "Tenon");

    for (i = 0; i < cat->nresources; i++) {
        for (k = 0; k < i; k++) {
            if (tn__eq(cat->resources[k]->app, cat->resources[i]->app)) {
                break;
            }
        }

        if (k == i) {
            tn__buf_add(&title, i ? TN_STR(", ") : TN_STR(": "));
            tn__buf_add(&title, cat->resources[i]->app);
        }
    }

    node = tn__doc_object(doc, doc->root, TN_STR("info"));
    tn__doc_str(doc, node, TN_STR("title"), tn__doc_buf(doc, &title));
    tn__doc_lit(doc, node, "version", TN_VERSION);
    tn__doc_lit(doc, node, "description", DESCRIPTION);
    license = tn__doc_object(doc, node, TN_STR("license"));
    tn__doc_lit(doc, license, "name", "BSD 2-Clause License");
    tn__doc_lit(doc, license, "identifier", "BSD-2-Clause");
}


/* "code" among an object's properties: a text of a set. Returns the set. */
static cJSON *
code_set(tn__doc *doc, cJSON *properties)
{
    cJSON *node;

    node = tn__doc_object(doc, properties, TN_STR("code"));
    tn__doc_lit(doc, node, "type", "string");

    return tn__doc_array(doc, node, TN_STR("enum"));
}


static void
problem_schema(tn__doc *doc)
{
    unsigned err;
    cJSON *node, *properties, *set;

    node = tn__doc_object(doc, doc->schemas, TN_STR("Problem"));
    tn__doc_lit(doc, node, "description",
                "What went wrong, as RFC 9457 has it.");
    tn__doc_lit(doc, node, "type", "object");
    tn__doc_raw(doc, node, TN_STR("required"),
                TN_STR("[\"type\",\"title\",\"status\",\"detail\",\"code\"]"));
    properties = tn__doc_object(doc, node, TN_STR("properties"));
    tn__doc_raw(doc, properties, TN_STR("type"),
                TN_STR("{\"type\":\"string\",\"format\":\"uri\"}"));
    tn__doc_raw(doc, properties, TN_STR("title"),
                TN_STR("{\"type\":\"string\"}"));
    tn__doc_raw(doc, properties, TN_STR("status"),
                TN_STR("{\"type\":\"integer\",\"minimum\":400,"
                       "\"maximum\":599}"));
    tn__doc_raw(doc, properties, TN_STR("detail"),
                TN_STR("{\"type\":\"string\"}"));
    set = code_set(doc, properties);

    for (err = TN_E_NOMEM + 1; err < TN_E_COUNT; err++) {
        tn__doc_item(doc, set, tn_err_code((tn_err) err));
    }

    tn__doc_raw(doc, properties, TN_STR("request_id"),
                TN_STR("{\"type\":\"string\",\"description\":\"Tell it to the "
                       "operator; it is in the logs.\"}"));
    tn__doc_raw(doc, properties, TN_STR("reason"),
                TN_STR("{\"type\":\"string\",\"pattern\":"
                       "\"^[a-z0-9_]{1,63}$\",\"description\":\"Why an app's "
                       "own rule refuses, for machines.\"}"));
    tn__doc_raw(doc, properties, TN_STR("key"),
                TN_STR("{\"type\":\"string\",\"description\":\"OFREP: the "
                       "flag that was asked for.\"}"));
    tn__doc_raw(doc, properties, TN_STR("errorCode"),
                TN_STR("{\"type\":\"string\",\"description\":\"OFREP: "
                       "OpenFeature's word for it.\"}"));
    tn__doc_raw(doc, properties, TN_STR("errorDetails"),
                TN_STR("{\"type\":\"string\",\"description\":\"OFREP: as "
                       "`detail`.\"}"));
    tn__doc_raw(doc, properties, TN_STR("errors"),
                TN_STR("{\"type\":\"array\",\"description\":\"Every fault of "
                       "the body or the query.\",\"items\":{\"$ref\":"
                       "\"#/components/schemas/FieldError\"}}"));
}


static void
field_error_schema(tn__doc *doc)
{
    unsigned i;
    cJSON *node, *properties, *set;
    static const char *const codes[] = {
#define TN_X(name, code, text) code,
        TN_FIELD_FAULT_MAP(TN_X)
#undef TN_X
    };

    node = tn__doc_object(doc, doc->schemas, TN_STR("FieldError"));
    tn__doc_lit(doc, node, "type", "object");
    tn__doc_raw(doc, node, TN_STR("required"),
                TN_STR("[\"pointer\",\"code\",\"detail\"]"));
    properties = tn__doc_object(doc, node, TN_STR("properties"));
    tn__doc_raw(doc, properties, TN_STR("pointer"),
                TN_STR("{\"type\":\"string\",\"description\":\"A JSON Pointer "
                       "into the body, or a parameter's name.\"}"));
    set = code_set(doc, properties);

    for (i = 0; i < TN_F_COUNT; i++) {
        tn__doc_item(doc, set, (tn_str){ codes[i], strlen(codes[i]) });
    }

    tn__doc_raw(doc, properties, TN_STR("detail"),
                TN_STR("{\"type\":\"string\"}"));
}


static void
frame(tn__doc *doc)
{
    cJSON *components;
    static const char server[] = { '[', '{', '"',    'u', 'r', 'l',
                                   '"', ':', PREFIX, '}', ']' };

    info(doc);
    tn__doc_raw(doc, doc->root, TN_STR("servers"),
                (tn_str){ server, sizeof(server) });
    tn__doc_raw(doc, doc->root, TN_STR("security"),
                TN_STR("[{\"bearer\":[]},{\"cookie\":[]}]"));
    doc->tags = tn__doc_array(doc, doc->root, TN_STR("tags"));
    doc->paths = tn__doc_object(doc, doc->root, TN_STR("paths"));

    components = tn__doc_object(doc, doc->root, TN_STR("components"));
    tn__doc_raw(doc, components, TN_STR("securitySchemes"),
                TN_STR("{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\","
                       "\"bearerFormat\":\"JWT\","
                       "\"description\":\"The access token of a session (a "
                       "JWT), or an API key (`tnk_…`), which may do what its "
                       "scopes say as far as its maker may.\"},"
                       "\"cookie\":{\"type\":\"apiKey\",\"in\":\"cookie\","
                       "\"name\":\"" TN__COOKIE "\",\"description\":\"A "
                       "browser's session (Tenon-Session: cookie). What "
                       "changes something is refused from pages of other "
                       "origins.\"}}"));
    doc->parameters = tn__doc_object(doc, components, TN_STR("parameters"));
    doc->schemas = tn__doc_object(doc, components, TN_STR("schemas"));
    tn__doc_object(doc, components, TN_STR("headers"));
    doc->responses = tn__doc_object(doc, components, TN_STR("responses"));
    doc->examples = tn__doc_object(doc, components, TN_STR("examples"));
    problem_schema(doc);
    field_error_schema(doc);
}


static void
add_endpoint(tn__doc *doc, const tn__endpoint *e)
{
    cJSON *path;

    path =
        cJSON_GetObjectItemCaseSensitive(doc->paths, tn__doc_c(doc, e->path));

    if (path == NULL) {
        path = tn__doc_object(doc, doc->paths, e->path);

        /* what machines ask lies beside the prefix, not below it */
        if (!tn__starts(e->path, TN_STR("/v1/"))) {
            tn__doc_raw(doc, path, TN_STR("servers"),
                        TN_STR("[{\"url\":\"/\"}]"));
        }

        tn__doc_path_parameters(doc, path, e);
    }

    tn__doc_operation(doc, path, e);
}


tn_err
tn__openapi_build(tn_str *head, tn_str *tail, const tn_catalogue *cat,
                  tn_mem *mem)
{
    tn_err err;
    tn__doc doc;
    unsigned i;
    tn_str text;
    const char *at;

    *head = *tail = TN_NULL;
    tn__doc_begin(&doc, cat, mem);

    if (doc.failed) {
        return TN_E_NOMEM;
    }

    tn__mem_lend(&doc.lent);
    frame(&doc);

    for (i = 0; i < cat->nendpoints && !doc.failed; i++) {
        add_endpoint(&doc, &cat->endpoints[i]);
    }

    tn__mem_lend(NULL);

    if (doc.failed) {
        return TN_E_NOMEM;
    }

    err = tn__json_print(&text, doc.root, mem);
    if (err != TN_OK) {
        return err;
    }

    at = memchr(text.p, PREFIX, text.n);
    if (at == NULL) {
        return TN_E_INTERNAL;
    }

    *head = tn__sub(text, 0, (size_t) (at - text.p));
    *tail = tn__sub(text, head->n + 1, text.n);

    return TN_OK;
}


/* The tree is many times as large as the text, and of no use after it. */
tn_err
tn__openapi_compile(tn_catalogue *cat)
{
    tn_err err;
    tn__arena *arena;
    tn_str head, tail;
    unsigned char *hash;
    crypto_generichash_state state;

    arena = tn__arena_new();
    if (arena == NULL) {
        return TN_E_NOMEM;
    }

    err = tn__openapi_build(&head, &tail, cat, tn__arena_mem(arena));

    if (err == TN_OK) {
        err = tn__dup(&cat->openapi_head, head, tn__arena_mem(cat->arena));
    }

    if (err == TN_OK) {
        err = tn__dup(&cat->openapi_tail, tail, tn__arena_mem(cat->arena));
    }

    tn__arena_free(arena);

    if (err != TN_OK) {
        return err;
    }

    hash = tn__alloc(tn__arena_mem(cat->arena), 16);
    if (hash == NULL) {
        return TN_E_NOMEM;
    }

    crypto_generichash_init(&state, NULL, 0, 16);
    crypto_generichash_update(&state,
                              (const unsigned char *) cat->openapi_head.p,
                              cat->openapi_head.n);
    crypto_generichash_update(&state,
                              (const unsigned char *) cat->openapi_tail.p,
                              cat->openapi_tail.n);
    crypto_generichash_final(&state, hash, 16);
    cat->openapi_hash = (tn_str){ (const char *) hash, 16 };

    return TN_OK;
}
