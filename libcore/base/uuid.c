/*
 * uuid.c: UUIDs (RFC 9562): made in version 7, so that keys of one time lie
 * together in an index; read in any version.
 */

#include "libcore/base/base.h"

/* Behind which byte a hyphen stands: 8-4-4-4-12. */
#define TN_UUID_HYPHEN(i) ((i) == 4 || (i) == 6 || (i) == 8 || (i) == 10)


void
tn__uuid7(unsigned char out[16], int64_t now, const unsigned char *rnd)
{
    uint64_t ms = now > 0 ? (uint64_t) now / 1000 : 0;
    int i;

    for (i = 5; i >= 0; i--) {
        out[i] = (unsigned char) ms;
        ms >>= 8;
    }

    memcpy(out + 6, rnd, 10);
    out[6] = (out[6] & 0x0f) | 0x70;
    out[8] = (out[8] & 0x3f) | 0x80;
}


void
tn__uuid_text(char out[TN__UUID_TEXT], const unsigned char uuid[16])
{
    static const char hex[] = "0123456789abcdef";
    int i;

    for (i = 0; i < 16; i++) {
        if (TN_UUID_HYPHEN(i)) {
            *out++ = '-';
        }

        *out++ = hex[uuid[i] >> 4];
        *out++ = hex[uuid[i] & 15];
    }
}


static int
uuid_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


int
tn__uuid_parse(unsigned char out[16], tn_str s)
{
    const char *p = s.p;
    int i, high, low;

    if (s.n != TN__UUID_TEXT) {
        return 0;
    }

    for (i = 0; i < 16; i++) {
        if (TN_UUID_HYPHEN(i) && *p++ != '-') {
            return 0;
        }

        high = uuid_hex(*p++);
        low = uuid_hex(*p++);
        if (high < 0 || low < 0) {
            return 0;
        }

        out[i] = (unsigned char) (high << 4 | low);
    }

    return 1;
}
