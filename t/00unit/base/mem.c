/*
 * The arena gives aligned memory of any size that stays until it is freed;
 * the hooks for global allocators take from what is lent.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"


static void
test_zalloc_is_zero(void **state)
{
    unit_arena arena;
    unsigned char *p;
    size_t i;

    (void) state;
    unit_arena_init(&arena, 2);

    p = tn__zalloc(&arena.mem, 100);
    for (i = 0; i < 100; i++) {
        assert_int_equal(p[i], 0);
    }

    assert_null(tn__zalloc(&arena.mem, 100));
    unit_arena_free(&arena);
}


static void
test_nothing_is_something(void **state)
{
    unit_arena arena;

    (void) state;
    unit_arena_init(&arena, 0);
    assert_non_null(tn__alloc(&arena.mem, 0));
    assert_non_null(tn__zalloc(&arena.mem, 0));
    unit_arena_free(&arena);
}


static void
test_arena_keeps_all(void **state)
{
    static const size_t sizes[] = { 1, 7, 16, 100, 4096, 4097, 16384, 100000 };
    enum {
        ROUNDS = 200
    };
    unsigned char *p[ROUNDS];
    tn__arena *arena = tn__arena_new();
    tn_mem *mem = tn__arena_mem(arena);
    size_t n;
    int i;

    (void) state;

    for (i = 0; i < ROUNDS; i++) {
        n = sizes[i % 8];
        p[i] = tn__alloc(mem, n);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t) p[i] % _Alignof(max_align_t), 0);
        memset(p[i], i, n);
    }

    for (i = 0; i < ROUNDS; i++) {
        n = sizes[i % 8];
        assert_int_equal(p[i][0], i);
        assert_int_equal(p[i][n - 1], i);
    }

    tn__arena_free(arena);
}


static void
test_arena_refuses_the_impossible(void **state)
{
    tn__arena *arena = tn__arena_new();

    (void) state;
    assert_null(tn__alloc(tn__arena_mem(arena), SIZE_MAX));
    assert_null(tn__alloc(tn__arena_mem(arena), SIZE_MAX - 20));
    tn__arena_free(arena);
    tn__arena_free(NULL);
}


static void
test_hooks_take_from_what_is_lent(void **state)
{
    unit_arena arena;
    void *p;

    (void) state;
    unit_arena_init(&arena, 0);

    tn__mem_lend(&arena.mem);
    p = tn__mem_hook_alloc(10);
    tn__mem_hook_free(p);
    tn__mem_lend(NULL);

    assert_int_equal(arena.calls, 1);
    memset(p, 1, 10);
    unit_arena_free(&arena);

    p = tn__mem_hook_alloc(10);
    assert_non_null(p);
    assert_int_equal(arena.calls, 1);
    tn__mem_hook_free(p);
}


UNIT_MAIN(cmocka_unit_test(test_zalloc_is_zero),
          cmocka_unit_test(test_nothing_is_something),
          cmocka_unit_test(test_arena_keeps_all),
          cmocka_unit_test(test_arena_refuses_the_impossible),
          cmocka_unit_test(test_hooks_take_from_what_is_lent))
