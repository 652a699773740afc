/*
 * str.c: looking at, cutting, joining and decoding strings. Comparisons here
 * are not constant in time: use libsodium's for secrets.
 */

#include "libcore/base/base.h"

#include <sodium.h>


static unsigned char
str_lower(char c)
{
    return (unsigned char) (c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}


int
tn__eq(tn_str a, tn_str b)
{
    if (a.p == NULL || b.p == NULL) {
        return a.p == b.p;
    }

    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}


int
tn__eqi(tn_str a, tn_str b)
{
    size_t i;

    if (a.p == NULL || b.p == NULL) {
        return a.p == b.p;
    }

    if (a.n != b.n) {
        return 0;
    }

    for (i = 0; i < a.n; i++) {
        if (str_lower(a.p[i]) != str_lower(b.p[i])) {
            return 0;
        }
    }

    return 1;
}


int
tn__pg_true(tn_str cell)
{
    return cell.n && cell.p[0] == 't';
}


int
tn__starts(tn_str s, tn_str prefix)
{
    if (s.n < prefix.n) {
        return 0;
    }

    return prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0;
}


tn_str
tn__sub(tn_str s, size_t from, size_t to)
{
    if (s.p == NULL) {
        return s;
    }

    if (to > s.n) {
        to = s.n;
    }

    if (from > to) {
        from = to;
    }

    return (tn_str){ s.p + from, to - from };
}


tn_str
tn__trim(tn_str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }

    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }

    return s;
}


tn_str
tn__split(tn_str *rest, char sep)
{
    tn_str part = *rest;
    const char *at = part.n ? memchr(part.p, sep, part.n) : NULL;

    if (at == NULL) {
        *rest = TN_NULL;
        return part;
    }

    part.n = (size_t) (at - part.p);
    rest->p += part.n + 1;
    rest->n -= part.n + 1;

    return part;
}


tn_err
tn__dup(tn_str *out, tn_str s, tn_mem *mem)
{
    if (s.p == NULL) {
        *out = TN_NULL;
        return TN_OK;
    }

    return tn__cat(out, &s, 1, mem);
}


tn_err
tn__cat(tn_str *out, const tn_str *parts, unsigned n, tn_mem *mem)
{
    size_t size = 0;
    unsigned i;
    char *p;

    *out = TN_NULL;

    for (i = 0; i < n; i++) {
        if (parts[i].n >= SIZE_MAX - size) {
            return TN_E_NOMEM;
        }

        size += parts[i].n;
    }

    p = tn__alloc(mem, size + 1);
    if (p == NULL) {
        return TN_E_NOMEM;
    }

    *out = (tn_str){ p, size };

    for (i = 0; i < n; i++) {
        if (parts[i].n != 0) {
            memcpy(p, parts[i].p, parts[i].n);
            p += parts[i].n;
        }
    }

    *p = '\0';

    return TN_OK;
}


/* RFC 3629, table of well-formed sequences (Unicode 15, table 3-7): only the
 * second byte's range depends on the first. */
size_t
tn__utf8_step(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *) p;
    size_t n, i, left = (size_t) (end - p);
    unsigned char low = 0x80, high = 0xbf;

    if (left == 0) {
        return 0;
    }

    if (u[0] < 0x80) {
        return 1;
    }

    if (u[0] < 0xc2 || u[0] > 0xf4) {
        return 0;
    }

    n = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    if (left < n) {
        return 0;
    }

    switch (u[0]) {
    case 0xe0:
        low = 0xa0;
        break;
    case 0xed:
        high = 0x9f;
        break;
    case 0xf0:
        low = 0x90;
        break;
    case 0xf4:
        high = 0x8f;
        break;
    }

    if (u[1] < low || u[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}


int
tn__utf8_valid(tn_str s)
{
    const char *p = s.p;
    const char *end = s.n ? s.p + s.n : s.p;
    uint64_t word;
    size_t n;

    while (p < end) {
        if (end - p >= 8) {
            memcpy(&word, p, 8);
            if ((word & 0x8080808080808080u) == 0) {
                p += 8;
                continue;
            }
        }

        n = tn__utf8_step(p, end);
        if (n == 0) {
            return 0;
        }

        p += n;
    }

    return 1;
}


size_t
tn__utf8_length(tn_str s)
{
    size_t i, n = 0;

    for (i = 0; i < s.n; i++) {
        n += ((unsigned char) s.p[i] & 0xc0) != 0x80;
    }

    return n;
}


int
tn__int_parse(int64_t *out, tn_str s)
{
    uint64_t v = 0, limit = INT64_MAX;
    size_t i = 0;
    int minus = 0;

    if (s.n > 0 && s.p[0] == '-') {
        minus = 1;
        limit++;
        i++;
    }

    if (i == s.n) {
        return 0;
    }

    for (; i < s.n; i++) {
        unsigned digit = (unsigned char) s.p[i] - (unsigned) '0';

        if (digit > 9 || v > (limit - digit) / 10) {
            return 0;
        }

        v = v * 10 + digit;
    }

    /* -INT64_MIN doesn't fit: negate while unsigned. */
    *out = minus ? (int64_t) (0 - v) : (int64_t) v;

    return 1;
}


static int
str_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


int
tn__uri_decode(tn_str *out, tn_str s, tn_mem *mem, int *oom)
{
    size_t i, n = 0;
    int high, low;
    char *p;

    *out = TN_NULL;
    *oom = 0;

    if (s.p == NULL) {
        return 1;
    }

    p = tn__alloc(mem, s.n + 1);
    if (p == NULL) {
        *oom = 1;
        return 0;
    }

    for (i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '+') {
            c = ' ';

        } else if (c == '%') {
            if (s.n - i < 3 || (high = str_hex(s.p[i + 1])) < 0 ||
                (low = str_hex(s.p[i + 2])) < 0) {
                return 0;
            }

            c = (char) (high << 4 | low);
            i += 2;
        }

        if (c == '\0') {
            return 0;
        }

        p[n++] = c;
    }

    p[n] = '\0';
    *out = (tn_str){ p, n };

    if (!tn__utf8_valid(*out)) {
        *out = TN_NULL;
        return 0;
    }

    return 1;
}


size_t
tn__b64_size(size_t n)
{
    return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}


size_t
tn__b64_encode(char *out, const void *p, size_t n)
{
    const unsigned char *u = p;
    char piece[65];
    size_t part, size, total = 0;

    /* libsodium's encoder takes the same time for any bytes, but puts a NUL
     * behind: out has no room for it. */
    while (n > 0) {
        part = n < 48 ? n : 48;
        size = tn__b64_size(part);

        sodium_bin2base64(piece, sizeof(piece), u, part,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        memcpy(out + total, piece, size);

        total += size;
        u += part;
        n -= part;
    }

    sodium_memzero(piece, sizeof(piece));

    return total;
}


int
tn__b64_decode(unsigned char *out, size_t cap, size_t *n, tn_str s)
{
    size_t i;

    *n = 0;

    if (s.n == 0) {
        return s.p != NULL;
    }

    /* libsodium 1.0.18 takes each of these for '_' where char is signed */
    for (i = 0; i < s.n; i++) {
        if ((unsigned char) s.p[i] >= 0x80) {
            return 0;
        }
    }

    return sodium_base642bin(out, cap, s.p, s.n, NULL, n, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
}


tn_err
tn__b64_text(tn_str *out, tn_str bytes, tn_mem *mem)
{
    char *p;

    p = tn__alloc(mem, tn__b64_size(bytes.n));
    if (p == NULL) {
        return TN_E_NOMEM;
    }

    *out = (tn_str){ p, tn__b64_encode(p, bytes.p, bytes.n) };

    return TN_OK;
}
