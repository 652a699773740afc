/*
 * uuid.c: UUIDs (RFC 9562): made in version 7, so that keys of one time lie
 * together in an index; read in any version.
 */

#include "libcore/base/base.h"

/* Where each byte's two digits stand: 8-4-4-4-12. */
static const unsigned char uuid_at[] = { 0,  2,  4,  6,  9,  11, 14, 16,
                                         19, 21, 24, 26, 28, 30, 32, 34 };


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
    int i;
    static const char hex[] = "000102030405060708090a0b0c0d0e0f"
                              "101112131415161718191a1b1c1d1e1f"
                              "202122232425262728292a2b2c2d2e2f"
                              "303132333435363738393a3b3c3d3e3f"
                              "404142434445464748494a4b4c4d4e4f"
                              "505152535455565758595a5b5c5d5e5f"
                              "606162636465666768696a6b6c6d6e6f"
                              "707172737475767778797a7b7c7d7e7f"
                              "808182838485868788898a8b8c8d8e8f"
                              "909192939495969798999a9b9c9d9e9f"
                              "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
                              "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
                              "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
                              "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
                              "e0e1e2e3e4e5e6e7e8e9eaebecedeeef"
                              "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

    out[8] = out[13] = out[18] = out[23] = '-';

    for (i = 0; i < 16; i++) {
        memcpy(out + uuid_at[i], hex + 2 * uuid[i], 2);
    }
}


int
tn__uuid_parse(unsigned char out[16], tn_str s)
{
    int i;
    const char *p;
    unsigned char high, low, all;
    /* a bit that says it is a digit, and its value */
    static const unsigned char digits[256] = {
        ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14,
        ['5'] = 0x15, ['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19,
        ['a'] = 0x1a, ['b'] = 0x1b, ['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e,
        ['f'] = 0x1f, ['A'] = 0x1a, ['B'] = 0x1b, ['C'] = 0x1c, ['D'] = 0x1d,
        ['E'] = 0x1e, ['F'] = 0x1f,
    };

    if (s.n != TN__UUID_TEXT || s.p[8] != '-' || s.p[13] != '-' ||
        s.p[18] != '-' || s.p[23] != '-') {
        return 0;
    }

    all = 0x10;

    for (i = 0; i < 16; i++) {
        p = s.p + uuid_at[i];
        high = digits[(unsigned char) p[0]];
        low = digits[(unsigned char) p[1]];
        all &= high & low;
        out[i] = (unsigned char) (high << 4 | (low & 0x0f));
    }

    return all != 0;
}
