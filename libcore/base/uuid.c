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
    int i;
    static const unsigned char at[] = { 0,  2,  4,  6,  9,  11, 14, 16,
                                        19, 21, 24, 26, 28, 30, 32, 34 };
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
        memcpy(out + at[i], hex + 2 * uuid[i], 2);
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
