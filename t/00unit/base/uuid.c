/*
 * UUIDs of version 7 carry their time and sort by it; text reads back.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"


/* RFC 9562, appendix A.6. */
static void
test_version_7_of_the_rfc(void **state)
{
    static const unsigned char rnd[10] = { 0x0c, 0xc3, 0x18, 0xc4, 0xdc,
                                           0x0c, 0x0c, 0x07, 0x39, 0x8f };
    unsigned char uuid[16];
    char text[TN__UUID_TEXT];

    (void) state;
    tn__uuid7(uuid, INT64_C(0x017f22e279b0) * 1000 + 999, rnd);
    tn__uuid_text(text, uuid);
    unit_assert_str(((tn_str){ text, sizeof(text) }),
                    "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}


static void
test_later_is_greater(void **state)
{
    static const unsigned char low[10] = { 0 };
    unsigned char high[10], a[16], b[16];
    int64_t ms;

    (void) state;
    memset(high, 0xff, sizeof(high));

    for (ms = 1; ms < INT64_C(1) << 47; ms *= 3) {
        tn__uuid7(a, ms * 1000, high);
        tn__uuid7(b, (ms + 1) * 1000, low);
        assert_true(memcmp(a, b, 16) < 0);
        assert_int_equal(a[6], 0x7f);
        assert_int_equal(a[8], 0xbf);
        assert_int_equal(b[6], 0x70);
        assert_int_equal(b[8], 0x80);
    }

    tn__uuid7(a, -1, low);
    assert_int_equal(a[0] | a[5], 0);
}


static void
test_text_reads_back(void **state)
{
    unsigned char in[16], out[16];
    char text[TN__UUID_TEXT];
    int i;

    (void) state;

    for (i = 0; i < 16; i++) {
        in[i] = (unsigned char) (i * 0x11);
    }

    tn__uuid_text(text, in);
    assert_true(tn__uuid_parse(out, (tn_str){ text, sizeof(text) }));
    assert_memory_equal(in, out, 16);
    assert_true(
        tn__uuid_parse(out, TN_STR("00112233-4455-6677-8899-AABBCCDDEEFF")));
    assert_memory_equal(in, out, 16);
}


static void
test_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "0",
        "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233-4455-6677-8899-aabbccddeefg",
        "00112233-4455-6677-8899_aabbccddeeff",
        "0011223-34455-6677-8899-aabbccddeeff",
        "{0112233-4455-6677-8899-aabbccddeef}",
        "00112233-4455-6677-8899-aabbccddee f",
        "0011223\xb0-4455-6677-8899-aabbccddeeff",
    };
    unsigned char out[16];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tn__uuid_parse(out, unit_str(bad[i])));
    }

    assert_false(tn__uuid_parse(out, TN_NULL));
}


UNIT_MAIN(cmocka_unit_test(test_version_7_of_the_rfc),
          cmocka_unit_test(test_later_is_greater),
          cmocka_unit_test(test_text_reads_back),
          cmocka_unit_test(test_refuses))
