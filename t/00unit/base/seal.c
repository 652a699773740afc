/*
 * Text kept encrypted opens where it was sealed and nowhere else, and not when
 * a bit of it is another.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"


#define TENANT "01900000-000c-7000-8000-000000000001"
#define OTHER  "01900000-000d-7000-8000-000000000001"
#define ROW    "01900000-000c-7000-8000-000000000401"

static const unsigned char old_key[TN_KEY_LEN] = { 1 };
static const unsigned char new_key[TN_KEY_LEN] = { 2 };
static const unsigned char nonce[TN_NONCE_LEN] = { 3 };
static const tn_place place = { TN_STR_C(TENANT), TN_STR_C("clinic.patient"),
                                TN_STR_C("phone"), TN_STR_C(ROW) };


static void
ring_of(tn__keyring *ring, const unsigned char *first,
        const unsigned char *second)
{
    memset(ring, 0, sizeof(*ring));
    assert_int_equal(tn__keyring_add(ring, first), TN_OK);
    if (second) {
        assert_int_equal(tn__keyring_add(ring, second), TN_OK);
    }
}


static tn_str
seal(const tn__keyring *ring, tn_str text, tn_mem *mem)
{
    tn_str out;

    assert_int_equal(tn__text_seal(&out, ring, &place, text, nonce, mem),
                     TN_OK);

    return out;
}


static void
test_text_comes_back(void **state)
{
    size_t n;
    char text[300];
    tn_str sealed, out;
    unit_arena arena;
    tn__keyring ring;

    (void) state;
    unit_arena_init(&arena, 0);
    ring_of(&ring, new_key, NULL);
    memset(text, 'x', sizeof(text));

    for (n = 0; n < sizeof(text); n++) {
        sealed = seal(&ring, (tn_str){ text, n }, &arena.mem);
        assert_true(tn__text_sealed(sealed));
        assert_int_equal(
            tn__text_unseal(&out, &ring, &place, sealed, &arena.mem), TN_OK);
        assert_non_null(out.p);
        assert_int_equal(out.n, n);
        assert_memory_equal(out.p, text, n);
    }

    unit_arena_free(&arena);
}


/* Ours is what anybody gets who follows the description with libsodium. */
static void
test_the_form_is_the_described_one(void **state)
{
    char id[TN_ENCRYPTION_ID_LEN];
    tn_str sealed;
    unit_arena arena;
    tn__keyring ring;

    (void) state;
    unit_arena_init(&arena, 0);
    ring_of(&ring, new_key, old_key);
    sealed = seal(&ring, TN_STR("+43 1 5550101"), &arena.mem);

    tn_encryption_key_id(id, new_key);
    assert_memory_equal(sealed.p, "tn1.", 4);
    assert_memory_equal(sealed.p + 4, id, TN_ENCRYPTION_ID_LEN);
    assert_int_equal(sealed.p[10], '.');
    assert_int_equal(sealed.n, 11 + tn__b64_size(24 + 13 + 16));
    assert_true(tn__eq(tn_text_key(sealed), (tn_str){ id, sizeof(id) }));
    assert_null(memmem(sealed.p, sealed.n, "5550101", 7));

    unit_arena_free(&arena);
}


static void
test_no_place_takes_another_ones(void **state)
{
    unsigned i;
    tn_str sealed, out;
    unit_arena arena;
    tn__keyring ring;
    const tn_place others[] = {
        { TN_STR(OTHER), place.relation, place.column, place.id },
        { place.scope, TN_STR("clinic.visit"), place.column, place.id },
        { place.scope, place.relation, TN_STR("email"), place.id },
        { place.scope, place.relation, place.column, TN_STR(OTHER) },
        { place.scope, place.relation, place.column, TN_NULL },
        /* the same bytes, cut elsewhere */
        { place.scope, TN_STR("clinic.patientp"), TN_STR("hone"), place.id },
    };

    (void) state;
    unit_arena_init(&arena, 0);
    ring_of(&ring, new_key, NULL);
    sealed = seal(&ring, TN_STR("+43 1 5550101"), &arena.mem);

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(
            tn__text_unseal(&out, &ring, &others[i], sealed, &arena.mem),
            TN_E_INTERNAL);
        assert_null(out.p);
    }

    unit_arena_free(&arena);
}


static void
test_every_bit_counts(void **state)
{
    int bit;
    size_t i;
    char *copy;
    tn_str sealed, out;
    unit_arena arena;
    tn__keyring ring;

    (void) state;
    unit_arena_init(&arena, 0);
    ring_of(&ring, new_key, old_key);
    sealed = seal(&ring, TN_STR("+43 1 5550101"), &arena.mem);

    for (i = 0; i < sealed.n; i++) {
        for (bit = 0; bit < 8; bit++) {
            copy = malloc(sealed.n);
            assert_non_null(copy);
            memcpy(copy, sealed.p, sealed.n);
            copy[i] ^= (char) (1 << bit);
            assert_false(tn__text_unseal(&out, &ring, &place,
                                         (tn_str){ copy, sealed.n },
                                         &arena.mem) == TN_OK &&
                         tn__eq(out, TN_STR("+43 1 5550101")));
            /* text of another form was never sealed */
            assert_true(out.p == NULL || out.p == copy);
            assert_int_equal(out.p == copy,
                             !tn__text_sealed((tn_str){ copy, sealed.n }));
            free(copy);
        }

        /* and cut off there; shorter than that nothing is sealed */
        assert_int_equal(tn__text_unseal(&out, &ring, &place,
                                         tn__sub(sealed, 0, i), &arena.mem),
                         i >= 11 + tn__b64_size(24 + 16) ? TN_E_INTERNAL
                                                         : TN_OK);
    }

    unit_arena_free(&arena);
}


static void
test_old_keys_open_and_the_first_seals(void **state)
{
    tn_str before, after, out;
    unit_arena arena;
    tn__keyring old, both, new;

    (void) state;
    unit_arena_init(&arena, 0);
    ring_of(&old, old_key, NULL);
    ring_of(&both, new_key, old_key);
    ring_of(&new, new_key, NULL);

    before = seal(&old, TN_STR("x"), &arena.mem);
    after = seal(&both, TN_STR("x"), &arena.mem);
    assert_int_equal(tn__text_unseal(&out, &both, &place, before, &arena.mem),
                     TN_OK);
    assert_int_equal(tn__text_unseal(&out, &new, &place, after, &arena.mem),
                     TN_OK);
    assert_int_equal(tn__text_unseal(&out, &new, &place, before, &arena.mem),
                     TN_E_INTERNAL);
    assert_null(out.p);

    unit_arena_free(&arena);
}


#define B53 "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

static void
test_text_that_was_never_sealed_stays(void **state)
{
    unsigned i;
    tn_str out;
    unit_arena arena;
    tn__keyring ring;
    const tn_str texts[] = {
        TN_STR(""),
        TN_STR("tn1"),
        TN_STR("tn1."),
        TN_STR("tn2.x"),
        TN_STR("+43 1 5550101"),
        TN_STR("tn1.AAAAAA." B53),
        TN_STR("tn1.AAAAAA" B53 "AA"),
        TN_STR("tn1.AAAAA." B53 "AA"),
        TN_STR("tn1.AA+AAA." B53 "A"),
        TN_STR("tn1.AAAAAA." B53 "="),
        TN_STR("tn1.AAAAAA." B53 "A\n"),
        TN_STR("tn2.AAAAAA." B53 "A"),
    };

    (void) state;
    unit_arena_init(&arena, 0);
    ring_of(&ring, new_key, NULL);
    assert_true(tn__text_sealed(TN_STR("tn1.AAAAAA." B53 "A")));

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(
            tn__text_unseal(&out, &ring, &place, texts[i], &arena.mem), TN_OK);
        assert_true(tn__eq(out, texts[i]));
        assert_null(tn_text_key(texts[i]).p);
    }

    unit_arena_free(&arena);
}


static void
test_a_ring_has_each_key_once_and_bounds(void **state)
{
    unsigned i;
    tn_str out;
    unit_arena arena;
    tn__keyring ring;
    unsigned char key[TN_KEY_LEN] = { 9 };

    (void) state;
    unit_arena_init(&arena, 0);
    memset(&ring, 0, sizeof(ring));
    assert_int_equal(
        tn__text_seal(&out, &ring, &place, TN_STR("x"), nonce, &arena.mem),
        TN_E_INTERNAL);

    for (i = 0; i < TN_RING_KEYS_MAX; i++) {
        key[1] = (unsigned char) i;
        assert_int_equal(tn__keyring_add(&ring, key), TN_OK);
        if (i + 1 < TN_RING_KEYS_MAX) {
            assert_int_equal(tn__keyring_add(&ring, key), TN_E_INTERNAL);
        }
    }

    key[1] = 99;
    assert_int_equal(tn__keyring_add(&ring, key), TN_E_INTERNAL);
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_text_comes_back),
          cmocka_unit_test(test_the_form_is_the_described_one),
          cmocka_unit_test(test_no_place_takes_another_ones),
          cmocka_unit_test(test_every_bit_counts),
          cmocka_unit_test(test_old_keys_open_and_the_first_seals),
          cmocka_unit_test(test_text_that_was_never_sealed_stays),
          cmocka_unit_test(test_a_ring_has_each_key_once_and_bounds))
