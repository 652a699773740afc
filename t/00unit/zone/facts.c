/*
 * What is packed comes back as the very text that it was, whatever it looks
 * like; what is no such bytes is refused.
 */

#include "libcore/base/base.h"
#include "libcore/zone/zone.h"
#include "t/00unit/unit.h"

#define A "0192f0c0-0000-7000-8000-0000000000aa"
#define B "0192f0c0-0000-7000-8000-0000000000bb"

typedef struct example {
    tn__fact_form form;
    const char *text;
    int shorter; /* than the text and its head of three bytes */
} example;

static const example examples[] = {
    { TN__FACT_TEXT, "", 0 },
    { TN__FACT_TEXT, "owner", 0 },
    { TN__FACT_GRANTS, "", 0 },
    { TN__FACT_GRANTS, "1t", 0 },
    { TN__FACT_GRANTS, "1t,2t,3o,4t,5o,6t", 1 },
    { TN__FACT_GRANTS, "1t,1o,2t,3t,4t,5t", 1 },
    { TN__FACT_GRANTS, "1o,1t,2t,3t,4t,5t", 0 }, /* another order */
    { TN__FACT_GRANTS, "1t,1t,2t,3t,4t,5t", 0 },
    { TN__FACT_GRANTS, "0t,1t,2t,3t,4t,5t", 0 },
    { TN__FACT_GRANTS, "01t,2t,3t,4t,5t,6t", 0 },
    { TN__FACT_GRANTS, "1t,2t,3t,4t,5t,6t,", 0 },
    { TN__FACT_GRANTS, "1t,2t,3t,4t,5t,,6t", 0 },
    { TN__FACT_GRANTS, "1t,2t,3t,4t,5t,6x,7t", 0 },
    { TN__FACT_GRANTS, "1t,2t,3t,4t,5t,1024t", 0 },
    { TN__FACT_GRANTS, "1t,2t,3t,4t,5t,1025t", 0 },
    { TN__FACT_GRANTS, "1t,2t,3t,4t,5t,99999999999999999999t", 0 },
    { TN__FACT_ROLES, "", 0 },
    { TN__FACT_ROLES, "desk=", 0 },
    { TN__FACT_ROLES, "desk=1t,2t,3t,4t,5t,6t,7t;help=1o,2o,3o,4o,5o,6o,7o",
      1 },
    { TN__FACT_ROLES, "desk=1t,2t,3t,4t,5t,6t,7t;help=", 1 },
    { TN__FACT_ROLES, "desk", 0 },
    { TN__FACT_ROLES, ";=;", 0 },
    { TN__FACT_ROLES, "desk=1t,2t,3t,4t,5t,6t,7t;", 0 },
    { TN__FACT_ROLES, "desk=what,2t,3t,4t,5t,6t,7t;help=1t,2t,3t,4t,5t,6t,7t",
      1 },
    { TN__FACT_ACCOUNTS, "", 0 },
    { TN__FACT_ACCOUNTS, A ":account_owner", 1 },
    { TN__FACT_ACCOUNTS, A ":account_owner," A ":desk," B ":account_owner", 1 },
    { TN__FACT_ACCOUNTS, B ":desk," A ":desk", 1 },
    { TN__FACT_ACCOUNTS, A, 0 },
    { TN__FACT_ACCOUNTS, A ":", 1 },
    { TN__FACT_ACCOUNTS, ":desk", 0 },
    { TN__FACT_ACCOUNTS, A ":desk,", 0 },
    { TN__FACT_ACCOUNTS, A ":desk,," B ":desk", 0 },
    { TN__FACT_ACCOUNTS, A "," B ":desk", 0 },
    { TN__FACT_ACCOUNTS, "0192F0C0-0000-7000-8000-0000000000AA:desk", 0 },
    { TN__FACT_ACCOUNTS, A ":desk:x", 1 },
};

#define N (sizeof(examples) / sizeof(examples[0]))


static size_t
assert_back(tn__fact_form form, tn_str text)
{
    unit_arena arena;
    tn_str packed, back;

    unit_arena_init(&arena, 0);
    assert_int_equal(tn__facts_pack(&packed, &text, &form, 1, &arena.mem),
                     TN_OK);
    assert_non_null(packed.p);
    assert_int_equal(tn__facts_unpack(&back, &form, 1, packed, &arena.mem),
                     TN_OK);
    assert_int_equal(back.n, text.n);
    assert_memory_equal(back.p, text.n ? text.p : "", text.n);
    unit_arena_free(&arena);

    return packed.n;
}


static void
test_back(void **state)
{
    size_t i, n;

    (void) state;

    for (i = 0; i < N; i++) {
        n = assert_back(examples[i].form, unit_str(examples[i].text));

        if ((n < strlen(examples[i].text) + 3) != examples[i].shorter) {
            fail_msg("%s takes %zu bytes", examples[i].text, n);
        }
    }

    assert_int_equal(assert_back(TN__FACT_GRANTS, TN_NULL), 3);
}


/* The sizes that what docs/directives.md says of tenon_zone comes from. */
static void
test_sizes(void **state)
{
    size_t n;
    unsigned i;
    static char text[2048 * 64];

    (void) state;

    for (i = 0, n = 0; i < 1024; i++) {
        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%ut",
                               i ? "," : "", i + 1);
    }

    assert_int_equal(assert_back(TN__FACT_GRANTS, (tn_str){ text, n }),
                     3 + 1 + 129);

    for (i = 0, n = 0; i < 1000; i++) {
        n += (size_t) snprintf(text + n, sizeof(text) - n,
                               "%s0192f0c0-0000-7000-8000-%012u:account_user",
                               i ? "," : "", i);
    }

    assert_int_equal(assert_back(TN__FACT_ACCOUNTS, (tn_str){ text, n }),
                     3 + 1 + 13 + 17 * 1000);

    /* more roles than have a number, and names that are too long: as it is */
    for (i = 0, n = 0; i < 256; i++) {
        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s" A ":r%u",
                               i ? "," : "", i);
    }

    assert_int_equal(assert_back(TN__FACT_ACCOUNTS, (tn_str){ text, n }),
                     n + 3);
    n = (size_t) snprintf(text, sizeof(text), A ":%0256u", 1);
    assert_int_equal(assert_back(TN__FACT_ACCOUNTS, (tn_str){ text, n }),
                     n + 3);
}


static void
test_too_long(void **state)
{
    unit_arena arena;
    tn_str packed, text;
    tn__fact_form form = TN__FACT_TEXT;
    static char many[65536];

    (void) state;
    memset(many, 'x', sizeof(many));
    assert_back(TN__FACT_TEXT, (tn_str){ many, 65535 });

    unit_arena_init(&arena, 0);
    text = (tn_str){ many, 65536 };
    assert_int_equal(tn__facts_pack(&packed, &text, &form, 1, &arena.mem),
                     TN_OK);
    assert_null(packed.p);
    unit_arena_free(&arena);
}


/* All of them in one, then bytes changed, cut off and added. */
static void
test_other_bytes(void **state)
{
    char *copy;
    size_t i, k;
    unit_arena arena;
    tn_str packed, facts[N], back[N];
    tn__fact_form forms[N];

    (void) state;
    unit_arena_init(&arena, 0);

    for (i = 0; i < N; i++) {
        facts[i] = unit_str(examples[i].text);
        forms[i] = examples[i].form;
    }

    assert_int_equal(tn__facts_pack(&packed, facts, forms, N, &arena.mem),
                     TN_OK);
    assert_int_equal(tn__facts_unpack(back, forms, N, packed, &arena.mem),
                     TN_OK);

    for (i = 0; i < N; i++) {
        assert_int_equal(back[i].n, facts[i].n);
        assert_memory_equal(back[i].p, facts[i].p, facts[i].n);
    }

    for (i = 0; i <= packed.n; i++) {
        /* a block of its own: a byte behind it is seen */
        copy = tn__alloc(&arena.mem, i ? i : 1);
        memcpy(copy, packed.p, i);
        assert_int_equal(
            tn__facts_unpack(back, forms, N, (tn_str){ copy, i }, &arena.mem),
            i == packed.n ? TN_OK : TN_E_INTERNAL);
    }

    for (i = 0; i < packed.n; i++) {
        for (k = 0; k < 8; k++) {
            copy = tn__alloc(&arena.mem, packed.n);
            memcpy(copy, packed.p, packed.n);
            copy[i] = (char) (copy[i] ^ 1 << k);
            (void) tn__facts_unpack(back, forms, N, (tn_str){ copy, packed.n },
                                    &arena.mem);
        }
    }

    copy = tn__alloc(&arena.mem, packed.n + 1);
    memcpy(copy, packed.p, packed.n);
    copy[packed.n] = 0;
    assert_int_equal(tn__facts_unpack(back, forms, N,
                                      (tn_str){ copy, packed.n + 1 },
                                      &arena.mem),
                     TN_E_INTERNAL);
    /* one form isn't another */
    forms[N - 1] = TN__FACT_GRANTS;
    assert_int_equal(tn__facts_unpack(back, forms, N, packed, &arena.mem),
                     TN_E_INTERNAL);
    unit_arena_free(&arena);
}


static void
test_memory(void **state)
{
    size_t i;
    tn_err err;
    unit_arena arena;
    tn_str packed, facts[N], back[N];
    tn__fact_form forms[N];

    (void) state;
    err = TN_E_NOMEM;

    for (i = 0; i < N; i++) {
        facts[i] = unit_str(examples[i].text);
        forms[i] = examples[i].form;
    }

    UNIT_EACH_FAILURE(arena)
    {
        err = tn__facts_pack(&packed, facts, forms, N, &arena.mem);

        if (err == TN_OK) {
            err = tn__facts_unpack(back, forms, N, packed, &arena.mem);
        }

        if (err == TN_OK) {
            break;
        }

        assert_int_equal(err, TN_E_NOMEM);
    }

    assert_in_range(arena.calls, N, 1000);
    unit_arena_free(&arena);
}


/* Text that couldn't grow doesn't come back without what was lost, though there
 * is memory again for the rest: a role would be without its permissions. */
static void
test_memory_of_roles(void **state)
{
    size_t n;
    tn_err err;
    unsigned i;
    unit_arena arena;
    tn_str packed, text, back;
    tn__fact_form form = TN__FACT_ROLES;
    static char roles[8 * 1024];

    (void) state;
    err = TN_E_NOMEM;

    for (i = 0, n = 0; i < 800; i++) {
        n += (size_t) snprintf(roles + n, sizeof(roles) - n, "%s%ut",
                               i % 200    ? ","
                               : i == 0   ? "desk="
                               : i == 200 ? ";help="
                               : i == 400 ? ";shop="
                                          : ";till=",
                               i % 200 + 1);
    }

    text = (tn_str){ roles, n };
    back = TN_NULL;

    UNIT_EACH_FAILURE(arena)
    {
        err = tn__facts_pack(&packed, &text, &form, 1, &arena.mem);

        if (err == TN_OK) {
            assert_true(packed.n < text.n);
            err = tn__facts_unpack(&back, &form, 1, packed, &arena.mem);
        }

        if (err == TN_OK) {
            break;
        }

        assert_int_equal(err, TN_E_NOMEM);
    }

    assert_true(tn__eq(back, text));
    assert_in_range(arena.calls, 10, 1000);
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_back), cmocka_unit_test(test_sizes),
          cmocka_unit_test(test_too_long), cmocka_unit_test(test_other_bytes),
          cmocka_unit_test(test_memory), cmocka_unit_test(test_memory_of_roles))
