/*
 * tree.c: a cJSON tree out of a host's memory, without a look at every step.
 */

#include "libcore/openapi/doc.h"


static void *
lend(void *self, size_t n)
{
    tn__doc *doc = self;
    void *p;

    p = tn__alloc(doc->mem, n);
    doc->failed |= p == NULL;

    return p;
}


void
tn__doc_begin(tn__doc *doc, const tn_catalogue *cat, tn_mem *mem)
{
    memset(doc, 0, sizeof(tn__doc));
    doc->cat = cat;
    doc->mem = mem;
    doc->lent.alloc = lend;
    doc->lent.self = doc;

    /* the parser sees to it that cJSON asks us for memory */
    if (tn__json_parse(&doc->root, TN_STR("{\"openapi\":\"3.1.0\"}"), NULL,
                       mem) != TN_OK) {
        doc->failed = 1;
    }
}


const char *
tn__doc_c(tn__doc *doc, tn_str s)
{
    tn_str copy;

    return tn__cat(&copy, &s, 1, &doc->lent) == TN_OK ? copy.p : "";
}


tn_str
tn__doc_cat(tn__doc *doc, const tn_str *parts, unsigned n)
{
    tn_str out;

    return tn__cat(&out, parts, n, &doc->lent) == TN_OK ? out : TN_STR("");
}


tn_str
tn__doc_buf(tn__doc *doc, tn__buf *buf)
{
    tn_str out;

    if (tn__buf_str(&out, buf) != TN_OK) {
        doc->failed = 1;
        return TN_STR("");
    }

    return out;
}


cJSON *
tn__doc_object(tn__doc *doc, cJSON *parent, tn_str name)
{
    return cJSON_AddObjectToObject(parent, tn__doc_c(doc, name));
}


cJSON *
tn__doc_array(tn__doc *doc, cJSON *parent, tn_str name)
{
    return cJSON_AddArrayToObject(parent, tn__doc_c(doc, name));
}


void
tn__doc_str(tn__doc *doc, cJSON *parent, tn_str name, tn_str value)
{
    cJSON_AddItemToObject(parent, tn__doc_c(doc, name),
                          cJSON_CreateStringReference(tn__doc_c(doc, value)));
}


void
tn__doc_int(tn__doc *doc, cJSON *parent, tn_str name, int64_t value)
{
    cJSON_AddNumberToObject(parent, tn__doc_c(doc, name), (double) value);
}


void
tn__doc_bool(tn__doc *doc, cJSON *parent, tn_str name, int value)
{
    cJSON_AddBoolToObject(parent, tn__doc_c(doc, name), value);
}


void
tn__doc_raw(tn__doc *doc, cJSON *parent, tn_str name, tn_str json)
{
    cJSON_AddRawToObject(parent, tn__doc_c(doc, name), tn__doc_c(doc, json));
}


void
tn__doc_item(tn__doc *doc, cJSON *array, tn_str value)
{
    cJSON_AddItemToArray(array,
                         cJSON_CreateStringReference(tn__doc_c(doc, value)));
}


cJSON *
tn__doc_item_object(tn__doc *doc, cJSON *array)
{
    cJSON *item;

    (void) doc;
    item = cJSON_CreateObject();

    return cJSON_AddItemToArray(array, item) ? item : NULL;
}


void
tn__doc_ref(tn__doc *doc, cJSON *node, tn_str section, tn_str name)
{
    tn_str parts[4];

    parts[0] = TN_STR("#/components/");
    parts[1] = section;
    parts[2] = TN_STR("/");
    parts[3] = name;

    tn__doc_str(doc, node, TN_STR("$ref"), tn__doc_cat(doc, parts, 4));
}


cJSON *
tn__doc_component(tn__doc *doc, cJSON *section, tn_str name)
{
    if (cJSON_GetObjectItemCaseSensitive(section, tn__doc_c(doc, name))) {
        return NULL;
    }

    return tn__doc_object(doc, section, name);
}
