/*
 * document.h: the document of a catalogue as a tree, and what it says where.
 */

#ifndef TENON_DOCUMENT_H
#define TENON_DOCUMENT_H

#include "libcore/openapi/openapi.h"
#include "t/00unit/host.h"

static const cJSON *doc;


/* A member by its path, with blanks between: names hold slashes. */
static inline const cJSON *
at(const char *path)
{
    char name[128];
    size_t n;
    const cJSON *node = doc;

    while (*path) {
        n = strcspn(path, " ");
        snprintf(name, sizeof(name), "%.*s", (int) n, path);
        node = cJSON_IsArray(node)
                   ? cJSON_GetArrayItem(node, atoi(name))
                   : cJSON_GetObjectItemCaseSensitive(node, name);
        if (node == NULL) {
            return NULL;
        }
        path += n + (path[n] == ' ');
    }

    return node;
}


/* That what is there is this JSON. */
static inline void
says(unit_arena *arena, const char *path, const char *json)
{
    tn_str text;

    if (at(path) == NULL) {
        fail_msg("there is no %s", path);
    }

    assert_int_equal(tn__json_print(&text, at(path), &arena->mem), TN_OK);

    if (text.n != strlen(json) || memcmp(text.p, json, text.n) != 0) {
        fail_msg("%s is %.*s", path, (int) text.n, text.p);
    }
}


/* The parameter of an operation by its name. */
static inline const cJSON *
parameter(const char *path, const char *name)
{
    const cJSON *item;
    const cJSON *own;

    cJSON_ArrayForEach(item, at(path))
    {
        own = cJSON_GetObjectItemCaseSensitive(item, "name");
        if (own && strcmp(own->valuestring, name) == 0) {
            return cJSON_GetObjectItemCaseSensitive(item, "schema");
        }
        own = cJSON_GetObjectItemCaseSensitive(item, "$ref");
        if (own && strcmp(strrchr(own->valuestring, '/') + 1, name) == 0) {
            return own;
        }
    }

    return NULL;
}


/* The document of a catalogue, as a tree. */
static inline void
load(host *h, unit_arena *arena)
{
    cJSON *root;
    tn_str text, parts[3];
    tn__json_fault fault;

    parts[0] = h->catalogue->openapi_head;
    parts[1] = TN_STR("\"/api\"");
    parts[2] = h->catalogue->openapi_tail;
    assert_int_equal(tn__cat(&text, parts, 3, &arena->mem), TN_OK);

    if (tn__json_parse(&root, text, &fault, &arena->mem) != TN_OK) {
        fail_msg("%s at byte %zu", fault.what, fault.offset);
    }

    doc = root;
}

#endif
