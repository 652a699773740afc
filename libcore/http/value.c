/*
 * value.c: text as a query parameter gives it, as SQL text of a field's type.
 */

#include "libcore/http/http.h"


int
tn__value_allowed(const tn__field *field, tn_str text)
{
    unsigned i;

    for (i = 0; i < field->nset; i++) {
        if (tn__eq(field->set[i], text)) {
            return 1;
        }
    }

    return field->nset == 0;
}


/* -1: no memory. */
static int
parsed(tn_str *out, tn_mem *mem, size_t n)
{
    char *p;

    p = tn__alloc(mem, n);
    *out = (tn_str){ p, n };

    return p ? 1 : -1;
}


int
tn__value_number(tn_str *out, double *number, tn_str text, tn_mem *mem)
{
    tn_err err;
    cJSON *node;
    tn__json_fault fault;

    err = tn__json_parse(&node, text, &fault, mem);
    if (err != TN_OK) {
        return err == TN_E_NOMEM ? -1 : 0;
    }

    if (!cJSON_IsNumber(node)) {
        return 0;
    }

    /* 1e-5000 is 0 in a body; as text the server would refuse it */
    *out = node->valuedouble == 0 ? TN_STR("0") : text;
    *number = node->valuedouble;

    return 1;
}


/* The first byte behind white space. */
static size_t
skip(tn_str text, size_t i)
{
    while (i < text.n && memchr(" \t\r\n", text.p[i], 4)) {
        i++;
    }

    return i;
}


/* The first byte behind the string that begins at i. */
static size_t
skip_string(tn_str text, size_t i)
{
    for (i++; i < text.n && text.p[i] != '"'; i++) {
        i += text.p[i] == '\\';
    }

    return i + 1;
}


/* Whether there is more in valid JSON than members' names and brackets. */
static int
has_scalar(tn_str text)
{
    size_t i;

    for (i = 0; i < text.n; i++) {
        if (text.p[i] == '"') {
            i = skip(text, skip_string(text, i));

            if (i >= text.n || text.p[i] != ':') {
                return 1;
            }

        } else if (!memchr("{}[],: \t\r\n", text.p[i], 10)) {
            return 1;
        }
    }

    return 0;
}


int
tn__value_tree(tn_str text, int *empty, tn_mem *mem)
{
    size_t i;
    tn_err err;
    tn__json_fault fault;

    *empty = 0;

    err = tn__json_check(text, &fault, mem);
    if (err != TN_OK) {
        return err == TN_E_NOMEM ? -1 : 0;
    }

    i = skip(text, 0);

    if (text.p[i] != '{' && text.p[i] != '[') {
        return 0;
    }

    *empty = !has_scalar(text);

    return !*empty;
}


/* What the types of bodies and parameters share. */
int
tn__value_parse(tn_str *out, const tn__field *field, tn_str text, tn_mem *mem)
{
    int rc;
    int64_t n;
    double number;
    unsigned char uuid[16];

    *out = text;

    switch (field->type) {

    case TN__TYPE_TEXT:
        return tn__value_allowed(field, text);

    case TN__TYPE_UUID:
        if (!tn__uuid_parse(uuid, text)) {
            return 0;
        }
        rc = parsed(out, mem, TN__UUID_TEXT);
        if (rc > 0) {
            tn__uuid_text((char *) out->p, uuid);
        }
        return rc;

    case TN__TYPE_TIME:
        if (!tn__time_parse(&n, text)) {
            return 0;
        }
        rc = parsed(out, mem, TN__TIME_TEXT);
        if (rc > 0) {
            tn__time_format((char *) out->p, n);
        }
        return rc;

    case TN__TYPE_DATE:
        return tn__date_valid(text);

    case TN__TYPE_INT:
        /* beyond the column's own bounds the server would refuse it */
        return tn__int_parse(&n, text) &&
               (!field->has_min || n >= field->min) &&
               (!field->has_max || n <= field->max);

    case TN__TYPE_NUMBER:
        return tn__value_number(out, &number, text, mem);

    case TN__TYPE_BOOL:
        return tn__eq(text, TN_STR("true")) || tn__eq(text, TN_STR("false"));

    default:
        return 0;
    }
}
