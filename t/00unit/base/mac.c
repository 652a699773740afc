/*
 * No two lists of parts are hashed alike: not when they read the same, nor when
 * a part is another's hash.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"

#include <sodium.h>


#define LONG 200

static const unsigned char key[16] = { 1, 2, 3 };


static void
assert_all_differ(unsigned char (*hashes)[16], unsigned n)
{
    unsigned i, k;

    for (i = 0; i < n; i++) {
        for (k = 0; k < i; k++) {
            assert_memory_not_equal(hashes[i], hashes[k], 16);
        }
    }
}


static void
test_where_parts_end(void **state)
{
    unsigned i;
    unsigned char hashes[7][16];
    const tn_str lists[][3] = {
        { TN_STR_C("abc"), TN_STR_C(""), TN_STR_C("") },
        { TN_STR_C("ab"), TN_STR_C("c"), TN_STR_C("") },
        { TN_STR_C("a"), TN_STR_C("bc"), TN_STR_C("") },
        { TN_STR_C(""), TN_STR_C("abc"), TN_STR_C("") },
        { TN_STR_C("ab"), TN_STR_C(""), TN_STR_C("c") },
        { TN_STR_C(""), TN_STR_C(""), TN_STR_C("abc") },
    };

    (void) state;

    for (i = 0; i < 6; i++) {
        tn__siphash(hashes[i], key, lists[i], 3);
    }

    tn__siphash(hashes[6], key, lists[0], 1);
    assert_all_differ(hashes, 7);
}


/* Whatever their length, and whichever byte is another. */
static void
test_every_byte_counts(void **state)
{
    tn_str part;
    unsigned i;
    char text[LONG] = { 0 };
    unsigned char hashes[2 * LONG][16];

    (void) state;

    for (i = 0; i < LONG; i++) {
        part = (tn_str){ text, i };
        tn__siphash(hashes[2 * i], key, &part, 1);
        part.n = LONG;
        text[i] = 1;
        tn__siphash(hashes[2 * i + 1], key, &part, 1);
        text[i] = 0;
    }

    assert_all_differ(hashes, 2 * LONG);
}


static void
test_a_hash_is_not_what_it_is_of(void **state)
{
    tn_str part;
    char text[LONG] = { 0 };
    unsigned char inner[16], hashes[3][16];

    (void) state;
    crypto_shorthash_siphashx24(inner, (unsigned char *) text, LONG, key);
    part = (tn_str){ text, LONG };
    tn__siphash(hashes[0], key, &part, 1);
    part = (tn_str){ (char *) inner, sizeof(inner) };
    tn__siphash(hashes[1], key, &part, 1);
    part.n = 0;
    tn__siphash(hashes[2], key, &part, 1);
    assert_all_differ(hashes, 3);
    assert_memory_not_equal(hashes[0], inner, 16);
}


static void
test_the_key_counts(void **state)
{
    tn_str part = TN_STR("abc");
    unsigned char hashes[2][16], other[16] = { 1, 2, 4 };

    (void) state;
    tn__siphash(hashes[0], key, &part, 1);
    tn__siphash(hashes[1], other, &part, 1);
    assert_all_differ(hashes, 2);
    tn__siphash(hashes[1], key, &part, 1);
    assert_memory_equal(hashes[0], hashes[1], 16);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_parts_end),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_a_hash_is_not_what_it_is_of),
        cmocka_unit_test(test_the_key_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
