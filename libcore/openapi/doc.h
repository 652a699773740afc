/*
 * openapi/doc.h: what the files of this folder share; for nobody else.
 *
 * A document is a cJSON tree in memory that is dropped when it is printed. Lack
 * of memory is noted by the lender (tree.c) and seen once, at the end: cJSON's
 * functions take NULL for a node that couldn't be made.
 */

#ifndef TN__OPENAPI_DOC_H
#define TN__OPENAPI_DOC_H

#include "libcore/openapi/openapi.h"

typedef struct tn__doc {
    const tn_catalogue *cat;
    tn_mem *mem;
    tn_mem lent; /* mem, with failures noted */
    int failed;
    cJSON *root;
    cJSON *tags;
    cJSON *paths;
    cJSON *schemas; /* of components, as the rest */
    cJSON *responses;
    cJSON *parameters;
    cJSON *examples;
} tn__doc;

#define TN__DOC_INT_MAX 9007199254740991 /* I-JSON: 2^53-1 */

/* What a schema is for. */
typedef enum tn__use {
    TN__USE_OUTPUT,
    TN__USE_PART, /* output that ?fields= narrows: nothing is required */
    TN__USE_CREATE,
    TN__USE_UPDATE,
    TN__USE_FILTER, /* one value of a query parameter */
} tn__use;


/* ---- the tree (tree.c) ---- */

void tn__doc_begin(tn__doc *doc, const tn_catalogue *cat, tn_mem *mem);
/* A string with a NUL behind it. */
const char *tn__doc_c(tn__doc *doc, tn_str s);
/* n strings as one. */
tn_str tn__doc_cat(tn__doc *doc, const tn_str *parts, unsigned n);
/* What is in a buffer; "" when there was no memory. */
tn_str tn__doc_buf(tn__doc *doc, tn__buf *buf);

cJSON *tn__doc_object(tn__doc *doc, cJSON *parent, tn_str name);
cJSON *tn__doc_array(tn__doc *doc, cJSON *parent, tn_str name);
void tn__doc_str(tn__doc *doc, cJSON *parent, tn_str name, tn_str value);
void tn__doc_int(tn__doc *doc, cJSON *parent, tn_str name, int64_t value);
void tn__doc_bool(tn__doc *doc, cJSON *parent, tn_str name, int value);
void tn__doc_raw(tn__doc *doc, cJSON *parent, tn_str name, tn_str json);
void tn__doc_item(tn__doc *doc, cJSON *array, tn_str value);
cJSON *tn__doc_item_object(tn__doc *doc, cJSON *array);
/* "$ref" to a component: section is "schemas", "responses"… */
void tn__doc_ref(tn__doc *doc, cJSON *node, tn_str section, tn_str name);
/* A new member of a section, or NULL when it has one of that name. */
cJSON *tn__doc_component(tn__doc *doc, cJSON *section, tn_str name);

/* A member with a literal text. */
#define tn__doc_lit(doc, parent, name, value) \
    tn__doc_str(doc, parent, TN_STR(name), TN_STR(value))


/* ---- names (names.c) ---- */

/* "Task": the schema of a resource; unchanged by what else is served, but for
 * a resource of another app with the same name. */
tn_str tn__doc_noun(tn__doc *doc, const tn__resource *resource);
/* The schema of one row that an endpoint answers. */
tn_str tn__doc_output_noun(tn__doc *doc, const tn__endpoint *e);
/* The schema of its body. */
tn_str tn__doc_input_noun(tn__doc *doc, const tn__endpoint *e);
tn_str tn__doc_summary(tn__doc *doc, const tn__endpoint *e);
/* The tag, which is made when it is new. */
tn_str tn__doc_tag(tn__doc *doc, const tn__endpoint *e);
/* "not_found" → "NotFound", added. */
void tn__doc_pascal(tn__buf *buf, tn_str name);


/* ---- schemas and examples (schema.c, default.c, example.c) ---- */

void
tn__doc_value(tn__doc *doc, cJSON *node, const tn__field *field, tn__use use);
void tn__doc_fields(tn__doc *doc, cJSON *node, const tn__field *fields,
                    unsigned n, tn__use use);
/* Whether a field is a member of what the schema is for. */
int tn__doc_shown(const tn__field *field, tn__use use);
/* A column's default as JSON; 0 when it is none that can be told ahead. */
int tn__doc_default(tn_str *json, tn__doc *doc, const tn__field *field);
/* Adds an example object as JSON; 0 when none can be made. */
int
tn__doc_example(tn__buf *buf, const tn__field *fields, unsigned n, tn__use use);


/* ---- what an endpoint's row implies (facts.c) ---- */

int tn__doc_is_list(const tn__endpoint *e);
/* A list, or the rows of a query: {"data":[…],"next_cursor":…}. */
int tn__doc_is_page(const tn__endpoint *e);
int tn__doc_needs_body(const tn__endpoint *e);
int tn__doc_takes_fields(const tn__endpoint *e);
int tn__doc_takes_key(const tn__endpoint *e);
int tn__doc_takes_match(const tn__endpoint *e);
int tn__doc_takes_tenant(const tn__endpoint *e);
int tn__doc_has_etag(const tn__endpoint *e);
/* If-None-Match may spare it the answer. */
int tn__doc_revalidates(const tn__endpoint *e);
int tn__doc_has_location(const tn__endpoint *e);
unsigned tn__doc_status(const tn__endpoint *e);
/* A bit for each error that it may answer. */
uint64_t tn__doc_errors(const tn__endpoint *e);


/* ---- operations (operation.c, parameters.c, responses.c) ---- */

void tn__doc_operation(tn__doc *doc, cJSON *path, const tn__endpoint *e);
/* Those of a path, and those of one method. */
void tn__doc_path_parameters(tn__doc *doc, cJSON *path, const tn__endpoint *e);
void tn__doc_parameters(tn__doc *doc, cJSON *node, const tn__endpoint *e);
void tn__doc_success(tn__doc *doc, cJSON *responses, const tn__endpoint *e);
void tn__doc_refusals(tn__doc *doc, cJSON *responses, const tn__endpoint *e);

#endif
