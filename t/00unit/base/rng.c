/*
 * A seed gives one stream, never the same bytes twice; other seeds, others.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"


static void
test_a_seed_repeats_its_stream(void **state)
{
    unsigned char seed[32] = { 1 }, a[100], b[100];
    tn__rng x, y;
    size_t n;

    (void) state;
    tn__rng_init(&x, seed);
    tn__rng_init(&y, seed);

    for (n = 1; n <= sizeof(a); n++) {
        tn__rng_bytes(&x, a, n);
        tn__rng_bytes(&y, b, n);
        assert_memory_equal(a, b, n);
    }
}


static void
test_no_draw_repeats(void **state)
{
    enum {
        DRAWS = 300
    };
    unsigned char seed[32] = { 2 }, out[DRAWS][16];
    tn__rng rng;
    int i, j;

    (void) state;
    tn__rng_init(&rng, seed);

    for (i = 0; i < DRAWS; i++) {
        tn__rng_bytes(&rng, out[i], 16);
        for (j = 0; j < i; j++) {
            assert_memory_not_equal(out[i], out[j], 16);
        }
    }
}


static void
test_seeds_differ(void **state)
{
    unsigned char seed[32] = { 3 }, a[16], b[16];
    tn__rng rng;

    (void) state;
    tn__rng_init(&rng, seed);
    tn__rng_bytes(&rng, a, 16);
    seed[31] ^= 1;
    tn__rng_init(&rng, seed);
    tn__rng_bytes(&rng, b, 16);
    assert_memory_not_equal(a, b, 16);
}


/* ChaCha20 with a zero key and nonce: RFC 8439, appendix A.1, vector 1. */
static void
test_is_chacha20(void **state)
{
    static const unsigned char want[8] = { 0x76, 0xb8, 0xe0, 0xad,
                                           0xa0, 0xf1, 0x3d, 0x90 };
    unsigned char seed[32] = { 0 }, out[8];
    tn__rng rng;

    (void) state;
    tn__rng_init(&rng, seed);
    tn__rng_bytes(&rng, out, 8);
    assert_memory_equal(out, want, 8);
}


UNIT_MAIN(cmocka_unit_test(test_a_seed_repeats_its_stream),
          cmocka_unit_test(test_no_draw_repeats),
          cmocka_unit_test(test_seeds_differ),
          cmocka_unit_test(test_is_chacha20))
