/*
 * buf.c: text that grows. Memory of outgrown blocks stays with the owner, so
 * doubling bounds the waste by the final size: pass a good first size.
 */

#include "libcore/base/base.h"

#define TN_BUF_MIN 64

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

static const char two_digits[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536"
    "37383940414243444546474849505152535455565758596061626364656667686970717273"
    "7475767778798081828384858687888990919293949596979899";


void
tn__buf_init(tn__buf *buf, tn_mem *mem, size_t cap)
{
    *buf = (tn__buf){ .mem = mem };

    if (cap != 0) {
        buf->p = tn__alloc(mem, cap);
        if (buf->p == NULL) {
            buf->err = TN_E_NOMEM;
            return;
        }

        buf->cap = cap;
    }
}


static char *
buf_grow(tn__buf *buf, size_t n)
{
    size_t cap;
    char *p;

    if (buf->err) {
        return NULL;
    }

    if (n > SIZE_MAX / 2 - buf->n) {
        buf->err = TN_E_NOMEM;
        buf->cap = buf->n;
        return NULL;
    }

    cap = buf->cap < TN_BUF_MIN ? TN_BUF_MIN : buf->cap * 2;
    if (cap < buf->n + n) {
        cap = buf->n + n;
    }

    p = tn__alloc(buf->mem, cap);
    if (p == NULL) {
        buf->err = TN_E_NOMEM;
        buf->cap = buf->n;
        return NULL;
    }

    if (buf->n != 0) {
        memcpy(p, buf->p, buf->n);
    }

    buf->p = p;
    buf->cap = cap;

    return p + buf->n;
}


/* Makes room for n more bytes and returns where they go. After an error there
 * is none left. */
static inline char *
buf_room(tn__buf *buf, size_t n)
{
    return n <= buf->cap - buf->n ? buf->p + buf->n : buf_grow(buf, n);
}


void
tn__buf_add(tn__buf *buf, tn_str s)
{
    char *p;

    if (s.n == 0) {
        return;
    }

    p = buf_room(buf, s.n);
    if (p != NULL) {
        memcpy(p, s.p, s.n);
        buf->n += s.n;
    }
}


void
tn__buf_char(tn__buf *buf, char c)
{
    char *p = buf_room(buf, 1);

    if (p != NULL) {
        *p = c;
        buf->n++;
    }
}


/* As many digits as n has bits times log10(2), or one more. */
static unsigned
count_digits(uint64_t n)
{
    unsigned digits;
    static const uint64_t tens[] = {
        UINT64_C(0),
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };

    digits = (64 - (unsigned) __builtin_clzll(n | 1)) * 1233 >> 12;

    return digits + (n >= tens[digits]);
}


/* Two at a time, from the last. Most numbers have half as many bits as they
 * may, and are divided in half the time. */
static void
put_digits(char *end, uint64_t n)
{
    uint32_t left;

    for (; n > UINT32_MAX; n /= 100) {
        end -= 2;
        memcpy(end, two_digits + 2 * (n % 100), 2);
    }

    for (left = (uint32_t) n; left >= 100; left /= 100) {
        end -= 2;
        memcpy(end, two_digits + 2 * (left % 100), 2);
    }

    if (left >= 10) {
        memcpy(end - 2, two_digits + 2 * left, 2);
    } else {
        end[-1] = (char) ('0' + left);
    }
}


char *
tn__digits(char *p, uint64_t n)
{
    p += count_digits(n);
    put_digits(p, n);

    return p;
}


void
tn__buf_int(tn__buf *buf, int64_t v)
{
    size_t n;
    uint64_t u = v < 0 ? 0 - (uint64_t) v : (uint64_t) v;
    char *p;

    n = count_digits(u) + (v < 0);
    p = buf_room(buf, n);

    if (p != NULL) {
        *p = '-';
        put_digits(p + n, u);
        buf->n += n;
    }
}


/* Whether c stands as it is in a JSON string. */
static int
buf_json_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}


/* Writes c's escape into esc[6]; returns its length. */
static size_t
buf_json_escape(char *esc, unsigned char c)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    size_t i;

    esc[0] = '\\';

    for (i = 0; i < sizeof(shorts) - 1; i += 2) {
        if ((unsigned char) shorts[i] == c) {
            esc[1] = shorts[i + 1];
            return 2;
        }
    }

    memcpy(esc + 1, "u00", 3);
    esc[4] = hex_lower[c >> 4];
    esc[5] = hex_lower[c & 15];

    return 6;
}


void
tn__buf_quote(tn__buf *buf, tn_str s)
{
    char *p = buf_room(buf, s.n + 2);

    if (p != NULL) {
        *p++ = '"';
        if (s.n) {
            memcpy(p, s.p, s.n);
        }
        p[s.n] = '"';
        buf->n += s.n + 2;
    }
}


void
tn__buf_json(tn__buf *buf, tn_str s)
{
    size_t i, from;
    char esc[6];

    for (i = 0; i < s.n && buf_json_plain((unsigned char) s.p[i]); i++) {
    }

    if (i == s.n) {
        tn__buf_quote(buf, s);
        return;
    }

    tn__buf_char(buf, '"');

    for (from = 0; i < s.n; i++) {
        if (!buf_json_plain((unsigned char) s.p[i])) {
            tn__buf_add(buf, tn__sub(s, from, i));
            tn__buf_add(buf, (tn_str){ esc, buf_json_escape(
                                                esc, (unsigned char) s.p[i]) });
            from = i + 1;
        }
    }

    tn__buf_add(buf, tn__sub(s, from, s.n));
    tn__buf_char(buf, '"');
}


static int
buf_uri_unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}


void
tn__buf_uri(tn__buf *buf, tn_str s)
{
    size_t i, from = 0;
    char esc[3] = { '%' };

    for (i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char) s.p[i];

        if (buf_uri_unreserved(c)) {
            continue;
        }

        esc[1] = hex_upper[c >> 4];
        esc[2] = hex_upper[c & 15];
        tn__buf_add(buf, tn__sub(s, from, i));
        tn__buf_add(buf, (tn_str){ esc, 3 });
        from = i + 1;
    }

    tn__buf_add(buf, tn__sub(s, from, s.n));
}


tn_err
tn__buf_str(tn_str *out, tn__buf *buf)
{
    if (buf->err) {
        *out = TN_NULL;
        return buf->err;
    }

    *out = buf->p != NULL ? (tn_str){ buf->p, buf->n } : TN_STR("");

    return TN_OK;
}
