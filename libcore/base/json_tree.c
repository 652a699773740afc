/*
 * json_tree.c: cJSON's tree behind the gate, and trees as text.
 *
 * The printer is our own: cJSON's compares doubles with a tolerance, so that
 * 2^53-1 comes out as 9.00719925474099e+15. Numbers are read and written in
 * the "C" locale: a host must leave LC_NUMERIC alone.
 */

#include "libcore/base/json.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define TN_JSON_PRINT_DEPTH 128
#define TN_JSON_INT_MAX     9007199254740991.0

/* What "%.17g" needs, ".0" and a NUL. */
#define TN_JSON_DOUBLE_SIZE 32

typedef struct json_lender {
    tn_mem *mem;
    int failed;
} json_lender;

static pthread_once_t hooks_once = PTHREAD_ONCE_INIT;


static void
hooks_install(void)
{
    cJSON_Hooks hooks = { tn__mem_hook_alloc, tn__mem_hook_free };

    cJSON_InitHooks(&hooks);
}


/* cJSON answers NULL for anything: remembers what it was. */
static void *
lender_alloc(void *self, size_t n)
{
    json_lender *lender = self;
    void *p = tn__alloc(lender->mem, n);

    if (p == NULL) {
        lender->failed = 1;
    }

    return p;
}


/* The shortest text that reads back as the same double, and that the gate
 * takes for one: without a point, 2^53 would be an integer out of range. */
static size_t
json_double(char out[TN_JSON_DOUBLE_SIZE], double v)
{
    int digits, n = 0;

    for (digits = 15; digits <= 17; digits++) {
        n = snprintf(out, TN_JSON_DOUBLE_SIZE, "%.*g", digits, v);
        if (strtod(out, NULL) == v) {
            break;
        }
    }

    if (strpbrk(out, ".e") == NULL) {
        memcpy(out + n, ".0", 3);
        n += 2;
    }

    return (size_t) n;
}


static size_t
json_number_span(const char *p, const char *end)
{
    const char *from = p;

    while (p < end && ((*p >= '0' && *p <= '9') || *p == '-' || *p == '+' ||
                       *p == '.' || *p == 'e' || *p == 'E')) {
        p++;
    }

    return (size_t) (p - from);
}


/* The text with numbers too long for cJSON written shorter. */
static int
json_shorten(tn_str *out, tn_str text, tn_mem *mem)
{
    const char *p = text.p, *end = text.p + text.n;
    char number[TN_JSON_DOUBLE_SIZE];
    char *to = tn__alloc(mem, text.n + 1);
    int quoted = 0;
    size_t n;

    if (to == NULL) {
        return 0;
    }

    out->p = to;

    while (p < end) {
        n = quoted ? 0 : json_number_span(p, end);

        if (n > TN__JSON_NUMBER_MAX) {
            memcpy(to, p, n);
            to[n] = '\0';
            p += n;

            n = json_double(number, strtod(to, NULL));
            memcpy(to, number, n);
            to += n;
            continue;
        }

        /* An escape's second character can't end the string. */
        if (quoted && *p == '\\') {
            *to++ = *p++;

        } else if (*p == '"') {
            quoted = !quoted;
        }

        n = n ? n : 1;
        memcpy(to, p, n);
        to += n;
        p += n;
    }

    out->n = (size_t) (to - out->p);

    return 1;
}


tn_err
tn__json_parse(cJSON **out, tn_str text, tn__json_fault *fault, tn_mem *mem)
{
    json_lender lender = { mem, 0 };
    tn_mem lent = { lender_alloc, &lender };
    const char *end;
    tn_err err;
    int long_numbers;

    *out = NULL;

    err = tn__json_gate(&long_numbers, text, fault, mem);
    if (err) {
        return err;
    }

    if (long_numbers && !json_shorten(&text, text, mem)) {
        return TN_E_NOMEM;
    }

    pthread_once(&hooks_once, hooks_install);

    tn__mem_lend(&lent);
    *out = cJSON_ParseWithLengthOpts(text.p, text.n, &end, 0);
    tn__mem_lend(NULL);

    if (*out != NULL) {
        return TN_OK;
    }

    if (lender.failed) {
        return TN_E_NOMEM;
    }

    if (fault != NULL) {
        fault->offset = (size_t) (end - text.p);
        fault->what = "refused by the parser";
    }

    return TN_E_MALFORMED_JSON;
}


static void
print_number(tn__buf *buf, double v)
{
    char text[TN_JSON_DOUBLE_SIZE];

    if (!isfinite(v)) {
        buf->err = buf->err ? buf->err : TN_E_INTERNAL;
        return;
    }

    /* A minus zero isn't an integer: it would come out as zero. */
    if (fabs(v) <= TN_JSON_INT_MAX && v == (double) (int64_t) v &&
        (v != 0 || !signbit(v))) {
        tn__buf_int(buf, (int64_t) v);
        return;
    }

    tn__buf_add(buf, (tn_str){ text, json_double(text, v) });
}


static tn_str
print_c_str(const char *p)
{
    return p != NULL ? (tn_str){ p, strlen(p) } : TN_STR("");
}


static void print_node(tn__buf *buf, const cJSON *node, unsigned depth);


static void
print_children(tn__buf *buf, const cJSON *node, unsigned depth)
{
    int object = cJSON_IsObject(node);
    const cJSON *child;

    tn__buf_char(buf, object ? '{' : '[');

    for (child = node->child; child != NULL && !buf->err; child = child->next) {
        if (child != node->child) {
            tn__buf_char(buf, ',');
        }

        if (object) {
            tn__buf_json(buf, print_c_str(child->string));
            tn__buf_char(buf, ':');
        }

        print_node(buf, child, depth + 1);
    }

    tn__buf_char(buf, object ? '}' : ']');
}


static void
print_node(tn__buf *buf, const cJSON *node, unsigned depth)
{
    switch (node->type & 0xff) {
    case cJSON_NULL:
        tn__buf_lit(buf, "null");
        return;
    case cJSON_False:
        tn__buf_lit(buf, "false");
        return;
    case cJSON_True:
        tn__buf_lit(buf, "true");
        return;
    case cJSON_Number:
        print_number(buf, node->valuedouble);
        return;
    case cJSON_String:
        tn__buf_json(buf, print_c_str(node->valuestring));
        return;
    case cJSON_Raw:
        tn__buf_add(buf, print_c_str(node->valuestring));
        return;
    case cJSON_Array:
    case cJSON_Object:
        if (depth < TN_JSON_PRINT_DEPTH) {
            print_children(buf, node, depth);
            return;
        }
    }

    buf->err = buf->err ? buf->err : TN_E_INTERNAL;
}


tn_err
tn__json_print(tn_str *out, const cJSON *node, tn_mem *mem)
{
    tn__buf buf;

    tn__buf_init(&buf, mem, 256);

    if (node != NULL) {
        print_node(&buf, node, 0);

    } else {
        buf.err = TN_E_INTERNAL;
    }

    return tn__buf_str(out, &buf);
}
