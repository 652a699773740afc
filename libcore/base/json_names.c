/*
 * json_names.c: names of an object's members: unescaping them, and finding
 * one that is there twice without comparing each with each.
 */

#include "libcore/base/json.h"

/* Up to so many names are compared pair by pair. */
#define TN_JSON_FEW_NAMES 8


int
tn__json_hex4(const char *p, const char *end)
{
    int i, v = 0;

    if (end - p < 4) {
        return -1;
    }

    for (i = 0; i < 4; i++) {
        char c = p[i];

        if (c >= '0' && c <= '9') {
            v = v << 4 | (c - '0');

        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            v = v << 4 | ((c | 0x20) - 'a' + 10);

        } else {
            return -1;
        }
    }

    return v;
}


static char *
utf8_put(char *p, unsigned c)
{
    if (c < 0x80) {
        *p++ = (char) c;

    } else if (c < 0x800) {
        *p++ = (char) (0xc0 | c >> 6);
        *p++ = (char) (0x80 | (c & 0x3f));

    } else if (c < 0x10000) {
        *p++ = (char) (0xe0 | c >> 12);
        *p++ = (char) (0x80 | (c >> 6 & 0x3f));
        *p++ = (char) (0x80 | (c & 0x3f));

    } else {
        *p++ = (char) (0xf0 | c >> 18);
        *p++ = (char) (0x80 | (c >> 12 & 0x3f));
        *p++ = (char) (0x80 | (c >> 6 & 0x3f));
        *p++ = (char) (0x80 | (c & 0x3f));
    }

    return p;
}


/* It never gets longer. */
int
tn__json_unescape(tn_str *out, tn_str raw, tn_mem *mem)
{
    static const char shorts[] = "b\bf\fn\nr\rt\t";
    const char *p = raw.p, *end = raw.p + raw.n, *at;
    char *to = tn__alloc(mem, raw.n);
    unsigned c;

    if (to == NULL) {
        return 0;
    }

    out->p = to;

    while (p < end) {
        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }

        p++;

        if (*p != 'u') {
            at = strchr(shorts, *p);
            *to++ = at != NULL ? at[1] : *p;
            p++;
            continue;
        }

        c = (unsigned) tn__json_hex4(p + 1, end);
        p += 5;

        if (c >= 0xd800 && c <= 0xdbff) {
            c = 0x10000 + ((c - 0xd800) << 10) +
                ((unsigned) tn__json_hex4(p + 2, end) - 0xdc00);
            p += 6;
        }

        to = utf8_put(to, c);
    }

    out->n = (size_t) (to - out->p);

    return 1;
}


static int
name_cmp(const tn__json_name *a, const tn__json_name *b)
{
    if (a->name.n != b->name.n) {
        return a->name.n < b->name.n ? -1 : 1;
    }

    return memcmp(a->name.p, b->name.p, a->name.n);
}


static void
names_sift(tn__json_name *names, size_t root, size_t n)
{
    tn__json_name moved = names[root];
    size_t child;

    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n && name_cmp(&names[child], &names[child + 1]) < 0) {
            child++;
        }

        if (name_cmp(&moved, &names[child]) >= 0) {
            break;
        }

        names[root] = names[child];
        root = child;
    }

    names[root] = moved;
}


/* A heap sort, because qsort() may call malloc, and because no input makes
 * it quadratic. */
static void
names_sort(tn__json_name *names, size_t n)
{
    tn__json_name last;
    size_t i;

    for (i = n / 2; i-- > 0;) {
        names_sift(names, i, n);
    }

    for (i = n; i-- > 1;) {
        last = names[i];
        names[i] = names[0];
        names[0] = last;
        names_sift(names, 0, i);
    }
}


size_t
tn__json_duplicate(tn__json_name *names, size_t n)
{
    size_t i, j, later, first = SIZE_MAX;
    int few = n <= TN_JSON_FEW_NAMES;

    if (!few) {
        names_sort(names, n);
    }

    for (i = 1; i < n; i++) {
        for (j = few ? 0 : i - 1; j < i; j++) {
            if (name_cmp(&names[i], &names[j]) != 0) {
                continue;
            }

            later = names[i].offset > names[j].offset ? names[i].offset
                                                      : names[j].offset;
            first = later < first ? later : first;
        }
    }

    return first;
}
