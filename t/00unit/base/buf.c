/*
 * A buffer grows as it must, escapes what it must, and keeps its first error.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"

#include <inttypes.h>


static void
test_grows(void **state)
{
    unit_arena arena;
    tn__buf buf;
    tn_str out;
    size_t i;

    (void) state;
    unit_arena_init(&arena, 0);
    tn__buf_init(&buf, &arena.mem, 1);

    for (i = 0; i < 10000; i++) {
        tn__buf_char(&buf, (char) ('a' + i % 26));
    }

    assert_int_equal(tn__buf_str(&out, &buf), TN_OK);
    assert_int_equal(out.n, 10000);
    for (i = 0; i < 10000; i++) {
        assert_int_equal(out.p[i], 'a' + i % 26);
    }

    assert_in_range(arena.calls, 1, 12);
    unit_arena_free(&arena);
}


static void
test_nothing_is_the_empty_string(void **state)
{
    unit_arena arena;
    tn__buf buf;
    tn_str out;

    (void) state;
    unit_arena_init(&arena, 1);
    tn__buf_init(&buf, &arena.mem, 0);
    tn__buf_add(&buf, TN_NULL);
    assert_int_equal(tn__buf_str(&out, &buf), TN_OK);
    unit_assert_str(out, "");
    assert_int_equal(arena.calls, 0);
}


static void
test_int(void **state)
{
    unit_arena arena;
    tn__buf buf;
    tn_str out;

    (void) state;
    unit_arena_init(&arena, 0);
    tn__buf_init(&buf, &arena.mem, 0);
    tn__buf_int(&buf, 0);
    tn__buf_lit(&buf, " ");
    tn__buf_int(&buf, -7);
    tn__buf_lit(&buf, " ");
    tn__buf_int(&buf, INT64_MAX);
    tn__buf_lit(&buf, " ");
    tn__buf_int(&buf, INT64_MIN);
    assert_int_equal(tn__buf_str(&out, &buf), TN_OK);
    unit_assert_str(out, "0 -7 9223372036854775807 -9223372036854775808");
    unit_arena_free(&arena);
}


static void
test_digits(void **state)
{
    int k, around;
    uint64_t n, tens;
    char got[TN__DIGITS_MAX + 1], expected[TN__DIGITS_MAX + 1];

    (void) state;

    for (k = 0, tens = 1; k < 20; k++, tens *= 10) {
        for (around = -1; around <= 1; around++) {
            n = tens + (uint64_t) around;
            *tn__digits(got, n) = '\0';
            snprintf(expected, sizeof(expected), "%" PRIu64, n);
            assert_string_equal(got, expected);

            n = tens * 9 / 7;
            *tn__digits(got, n) = '\0';
            snprintf(expected, sizeof(expected), "%" PRIu64, n);
            assert_string_equal(got, expected);
        }
    }

    *tn__digits(got, UINT64_MAX) = '\0';
    assert_string_equal(got, "18446744073709551615");
}


static void
test_json(void **state)
{
    unit_arena arena;
    tn__buf buf;
    tn_str out;

    (void) state;
    unit_arena_init(&arena, 0);
    tn__buf_init(&buf, &arena.mem, 0);
    tn__buf_json(&buf, TN_STR("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f\xc3\xa4\0z"));
    tn__buf_json(&buf, TN_NULL);
    assert_int_equal(tn__buf_str(&out, &buf), TN_OK);
    unit_assert_str(out,
                    "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa4"
                    "\\u0000z\"\"\"");
    unit_arena_free(&arena);
}


static void
test_uri(void **state)
{
    unit_arena arena;
    tn__buf buf;
    tn_str out;

    (void) state;
    unit_arena_init(&arena, 0);
    tn__buf_init(&buf, &arena.mem, 0);
    tn__buf_uri(&buf, TN_STR("aZ09-._~ +/?%\xc3\xbc"));
    assert_int_equal(tn__buf_str(&out, &buf), TN_OK);
    unit_assert_str(out, "aZ09-._~%20%2B%2F%3F%25%C3%BC");
    unit_arena_free(&arena);
}


static tn_err
fill(tn_str *out, tn_mem *mem)
{
    tn__buf buf;
    int i;

    tn__buf_init(&buf, mem, 8);

    for (i = 0; i < 100; i++) {
        tn__buf_int(&buf, i);
        tn__buf_json(&buf, TN_STR("\"\n"));
        tn__buf_uri(&buf, TN_STR(" /"));
        tn__buf_pg_time(&buf, TN_STR("2026-11-21 01:33:00+00"));
        tn__buf_char(&buf, ';');
    }

    return tn__buf_str(out, &buf);
}


static void
test_failure_sticks(void **state)
{
    unit_arena arena;
    tn_str out;
    tn_err err;

    (void) state;

    UNIT_EACH_FAILURE(arena)
    {
        err = fill(&out, &arena.mem);
        if (err == TN_OK) {
            break;
        }

        assert_int_equal(err, TN_E_NOMEM);
        assert_int_equal(arena.calls, arena.fail_at);
        unit_assert_str(out, NULL);
    }

    assert_true(arena.fail_at > 3);
    unit_arena_free(&arena);
}


static void
test_too_much(void **state)
{
    unit_arena arena;
    tn__buf buf;
    tn_str out;

    (void) state;
    unit_arena_init(&arena, 0);
    tn__buf_init(&buf, &arena.mem, 16);
    tn__buf_add(&buf, (tn_str){ "x", SIZE_MAX - 4 });
    assert_int_equal(tn__buf_str(&out, &buf), TN_E_NOMEM);
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_grows),
          cmocka_unit_test(test_nothing_is_the_empty_string),
          cmocka_unit_test(test_int), cmocka_unit_test(test_digits),
          cmocka_unit_test(test_json), cmocka_unit_test(test_uri),
          cmocka_unit_test(test_failure_sticks),
          cmocka_unit_test(test_too_much))
