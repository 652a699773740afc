/*
 * unit.h: what every unit test starts from: cmocka speaking TAP, and a tn_mem
 * that counts its calls and fails at the n-th.
 *
 *     static void
 *     test_joins(void **state)
 *     {
 *         unit_arena arena;
 *         tn_str out;
 *
 *         unit_arena_init(&arena, 0);
 *         assert_int_equal(tn__cat(&out, parts, 2, &arena.mem), TN_OK);
 *         unit_assert_str(out, "ab");
 *         unit_arena_free(&arena);
 *     }
 *
 *     UNIT_MAIN(cmocka_unit_test(test_joins))
 *
 * To walk through every failing allocation:
 *
 *     UNIT_EACH_FAILURE(arena) {
 *         if (tn__cat(&out, parts, 2, &arena.mem) == TN_OK) {
 *             break;
 *         }
 *     }
 *     unit_arena_free(&arena);
 */

#ifndef TENON_UNIT_H
#define TENON_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tenon/base.h>

/* Each block is a malloc() of its own, so that the sanitiser sees a byte
 * read or written beyond it. */
typedef struct unit_block {
    struct unit_block *next;
    max_align_t data[];
} unit_block;

typedef struct unit_arena {
    tn_mem mem;
    size_t calls;   /* so far */
    size_t fail_at; /* the call that answers NULL, from 1; 0: none */
    unit_block *blocks;
} unit_arena;


static inline void *
unit_arena_alloc(void *self, size_t n)
{
    unit_arena *arena = self;
    unit_block *block;

    arena->calls++;
    if (arena->calls == arena->fail_at) {
        return NULL;
    }

    block = malloc(sizeof(unit_block) + n);
    if (block == NULL) {
        abort();
    }

    /* Nobody may count on zeroes. */
    memset(block->data, 0xa5, n);
    block->next = arena->blocks;
    arena->blocks = block;

    return block->data;
}


static inline void
unit_arena_init(unit_arena *arena, size_t fail_at)
{
    memset(arena, 0, sizeof(*arena));
    arena->mem.alloc = unit_arena_alloc;
    arena->mem.self = arena;
    arena->fail_at = fail_at;
}


static inline void
unit_arena_free(unit_arena *arena)
{
    unit_block *block, *next;

    for (block = arena->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }

    arena->blocks = NULL;
}


/* Frees what the last round left, and fails one call later; ends the test if
 * the round before didn't even reach its failing call. */
static inline int
unit_arena_next(unit_arena *arena)
{
    size_t fail_at = arena->fail_at + 1;

    assert_true(arena->calls >= arena->fail_at);
    unit_arena_free(arena);
    unit_arena_init(arena, fail_at);

    return 1;
}

/* The body runs with the 1st, 2nd, … call failing, until it breaks. Set
 * arena.fail_at to 0 before taking more from the arena behind it. */
#define UNIT_EACH_FAILURE(arena) \
    for (unit_arena_init(&(arena), 0); unit_arena_next(&(arena));)


static inline void
unit_assert_str_at(tn_str s, const char *want, const char *file, int line)
{
    if (want == NULL) {
        _assert_true(s.p == NULL, "string is absent", file, line);
        return;
    }

    if (s.p == NULL || s.n != strlen(want) || memcmp(s.p, want, s.n) != 0) {
        print_error("\"%.*s\" != \"%s\"\n", (int) s.n, s.p ? s.p : "", want);
        _fail(file, line);
    }
}

/* That a tn_str is this C string (NULL: absent). */
#define unit_assert_str(s, want) \
    unit_assert_str_at((s), (want), __FILE__, __LINE__)


/* A C string as tn_str, without its NUL. */
static inline tn_str
unit_str(const char *s)
{
    return (tn_str){ s, strlen(s) };
}

#define UNIT_MAIN(...)                                     \
    int main(void)                                         \
    {                                                      \
        const struct CMUnitTest tests[] = { __VA_ARGS__ }; \
                                                           \
        cmocka_set_message_output(CM_OUTPUT_TAP);          \
                                                           \
        return cmocka_run_group_tests(tests, NULL, NULL);  \
    }

#endif
