/*
 * Codes by time as RFC 6238 gives them, and the text of their secret.
 */

#include "t/00unit/unit.h"
#include "libcore/signin/steps.h"

#define SECRET ((const unsigned char *) "12345678901234567890")


/* RFC 6238, appendix B: the last six digits of its eight. */
static void
test_vectors(void **state)
{
    unsigned i;
    char code[TN__TOTP_DIGITS + 1];
    static const struct {
        int64_t time;
        const char *code;
    } vectors[] = {
        { 59, "287082" },         { 1111111109, "081804" },
        { 1111111111, "050471" }, { 1234567890, "005924" },
        { 2000000000, "279037" }, { 20000000000, "353130" },
    };

    (void) state;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        assert_true(tn__totp_code(code, SECRET, vectors[i].time / 30));
        assert_string_equal(code, vectors[i].code);
    }
}


static void
test_match(void **state)
{
    int64_t now;

    (void) state;
    now = 1111111109;

    assert_int_equal(tn__totp_match(SECRET, TN_STR("081804"), now), now / 30);

    /* a step before and behind, no further */
    assert_int_equal(tn__totp_match(SECRET, TN_STR("081804"), now + 30),
                     now / 30);
    assert_int_equal(tn__totp_match(SECRET, TN_STR("081804"), now - 30),
                     now / 30);
    assert_int_equal(tn__totp_match(SECRET, TN_STR("081804"), now + 60), -1);
    assert_int_equal(tn__totp_match(SECRET, TN_STR("081804"), now - 60), -1);

    assert_int_equal(tn__totp_match(SECRET, TN_STR("081805"), now), -1);
    assert_int_equal(tn__totp_match(SECRET, TN_STR("81804"), now), -1);
    assert_int_equal(tn__totp_match(SECRET, TN_STR("0818040"), now), -1);
    assert_int_equal(tn__totp_match(SECRET, TN_STR(""), now), -1);
}


/* RFC 4648, 10, without what fills up. */
static void
test_base32(void **state)
{
    unsigned i;
    char out[64];
    static const char *const vectors[][2] = {
        { "", "" },
        { "f", "MY" },
        { "fo", "MZXQ" },
        { "foo", "MZXW6" },
        { "foob", "MZXW6YQ" },
        { "fooba", "MZXW6YTB" },
        { "foobar", "MZXW6YTBOI" },
    };

    (void) state;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        out[tn__base32(out, (const unsigned char *) vectors[i][0],
                       strlen(vectors[i][0]))] = '\0';
        assert_string_equal(out, vectors[i][1]);
    }
}


UNIT_MAIN(cmocka_unit_test(test_vectors), cmocka_unit_test(test_match),
          cmocka_unit_test(test_base32))
