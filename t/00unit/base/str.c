/*
 * Strings are compared, cut, joined, decoded and measured as base.h says.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"


static void
test_compares(void **state)
{
    (void) state;
    assert_true(tn__eq(TN_STR("ab"), TN_STR("ab")));
    assert_false(tn__eq(TN_STR("ab"), TN_STR("aB")));
    assert_false(tn__eq(TN_STR("ab"), TN_STR("abc")));
    assert_true(tn__eq(TN_STR(""), TN_STR("")));
    assert_true(tn__eq(TN_NULL, TN_NULL));
    assert_false(tn__eq(TN_NULL, TN_STR("")));
    assert_false(tn__eq(TN_STR(""), TN_NULL));

    assert_true(tn__eqi(TN_STR("Content-TYPE"), TN_STR("content-type")));
    assert_false(tn__eqi(TN_STR("@"), TN_STR("`")));
    assert_false(tn__eqi(TN_STR("["), TN_STR("{")));
    assert_false(tn__eqi(TN_STR("\xc3\x84"), TN_STR("\xc3\xa4")));
    assert_true(tn__eqi(TN_NULL, TN_NULL));
    assert_false(tn__eqi(TN_NULL, TN_STR("")));

    assert_true(tn__starts(TN_STR("/v1/x"), TN_STR("/v1/")));
    assert_true(tn__starts(TN_STR("x"), TN_STR("")));
    assert_false(tn__starts(TN_STR("/v"), TN_STR("/v1")));
    assert_false(tn__starts(TN_NULL, TN_STR("x")));
}


static void
test_cuts(void **state)
{
    (void) state;
    unit_assert_str(tn__sub(TN_STR("abcd"), 1, 3), "bc");
    unit_assert_str(tn__sub(TN_STR("abcd"), 2, 99), "cd");
    unit_assert_str(tn__sub(TN_STR("abcd"), 9, 99), "");
    unit_assert_str(tn__sub(TN_STR("abcd"), 3, 1), "");
    unit_assert_str(tn__sub(TN_NULL, 0, 1), NULL);

    unit_assert_str(tn__trim(TN_STR(" \t a b\t ")), "a b");
    unit_assert_str(tn__trim(TN_STR(" \t ")), "");
    unit_assert_str(tn__trim(TN_STR("\na")), "\na");
    unit_assert_str(tn__trim(TN_NULL), NULL);
}


static void
test_splits(void **state)
{
    tn_str rest = TN_STR("a,,b,");

    (void) state;
    unit_assert_str(tn__split(&rest, ','), "a");
    unit_assert_str(tn__split(&rest, ','), "");
    unit_assert_str(tn__split(&rest, ','), "b");
    assert_non_null(rest.p);
    unit_assert_str(tn__split(&rest, ','), "");
    assert_null(rest.p);
    unit_assert_str(tn__split(&rest, ','), NULL);

    rest = TN_STR("");
    unit_assert_str(tn__split(&rest, ','), "");
    assert_null(rest.p);
}


static void
test_joins(void **state)
{
    static const tn_str parts[] = {
        TN_STR_C("ab"), { NULL, 0 }, TN_STR_C(""), TN_STR_C("c")
    };
    unit_arena arena;
    tn_str out;

    (void) state;

    UNIT_EACH_FAILURE(arena)
    {
        if (tn__cat(&out, parts, 4, &arena.mem) == TN_OK) {
            break;
        }

        unit_assert_str(out, NULL);
    }

    unit_assert_str(out, "abc");
    assert_int_equal(out.p[out.n], '\0');

    arena.fail_at = 0;
    assert_int_equal(tn__cat(&out, parts, 0, &arena.mem), TN_OK);
    unit_assert_str(out, "");
    unit_arena_free(&arena);
}


static void
test_joins_never_overflow(void **state)
{
    const tn_str parts[] = { { "x", SIZE_MAX / 2 },
                             { "x", SIZE_MAX / 2 },
                             { "x", 1 } };
    unit_arena arena;
    tn_str out;

    (void) state;
    unit_arena_init(&arena, 0);
    assert_int_equal(tn__cat(&out, parts, 3, &arena.mem), TN_E_NOMEM);
    assert_int_equal(arena.calls, 0);
}


static void
test_dup(void **state)
{
    unit_arena arena;
    tn_str out;

    (void) state;

    UNIT_EACH_FAILURE(arena)
    {
        if (tn__dup(&out, TN_STR("abc"), &arena.mem) == TN_OK) {
            break;
        }
    }

    unit_assert_str(out, "abc");
    assert_int_equal(out.p[3], '\0');

    assert_int_equal(tn__dup(&out, TN_NULL, &arena.mem), TN_OK);
    unit_assert_str(out, NULL);
    unit_arena_free(&arena);
}


static void
test_utf8(void **state)
{
    static const char *const good[] = {
        "",
        "plain ASCII that is longer than eight bytes",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "12345678\xc3\xa4",
        "1234567\xc3\xa4",
    };
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82",
        "\xe2\x28\xa1",
        "\xe2\x82\x28",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf0\x9f\x98",
        "\xf0\x9f\x98(",
        "\xf5\x80\x80\x80",
        "\xff",
        "12345678\xff",
        "1234567\xff zzzzzzzz",
    };
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(tn__utf8_valid(unit_str(good[i])));
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tn__utf8_valid(unit_str(bad[i])));
    }

    assert_true(tn__utf8_valid(TN_NULL));
    assert_int_equal(tn__utf8_length(TN_STR("a\xc3\xa4\xf0\x9f\x98\x80z")), 4);
    assert_int_equal(tn__utf8_length(TN_NULL), 0);
}


static void
test_integers(void **state)
{
    static const char *const bad[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "--1",
        "1-",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999999",
    };
    int64_t v = 4711;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tn__int_parse(&v, unit_str(bad[i])));
    }

    assert_false(tn__int_parse(&v, TN_NULL));
    assert_int_equal(v, 4711);

    assert_true(tn__int_parse(&v, TN_STR("0")) && v == 0);
    assert_true(tn__int_parse(&v, TN_STR("-0")) && v == 0);
    assert_true(tn__int_parse(&v, TN_STR("-12")) && v == -12);
    assert_true(tn__int_parse(&v, TN_STR("9223372036854775807")));
    assert_true(v == INT64_MAX);
    assert_true(tn__int_parse(&v, TN_STR("-9223372036854775808")));
    assert_true(v == INT64_MIN);
}


static void
test_uri_decodes(void **state)
{
    static const char *const bad[] = {
        "%", "%4", "%4g", "%g4", "a%00b", "%ff", "%c3", "%ed%a0%80", "%+1",
    };
    unit_arena arena;
    tn_str out;
    size_t i;
    int oom;

    (void) state;

    UNIT_EACH_FAILURE(arena)
    {
        if (tn__uri_decode(&out, TN_STR("a+b%20%C3%a4%2B"), &arena.mem, &oom)) {
            break;
        }

        assert_true(oom);
        unit_assert_str(out, NULL);
    }

    arena.fail_at = 0;
    assert_false(oom);
    unit_assert_str(out, "a b \xc3\xa4+");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tn__uri_decode(&out, unit_str(bad[i]), &arena.mem, &oom));
        assert_false(oom);
        unit_assert_str(out, NULL);
    }

    assert_false(tn__uri_decode(&out, TN_STR("a\0b"), &arena.mem, &oom));
    assert_true(tn__uri_decode(&out, TN_STR(""), &arena.mem, &oom));
    unit_assert_str(out, "");
    assert_true(tn__uri_decode(&out, TN_NULL, &arena.mem, &oom));
    unit_assert_str(out, NULL);
    unit_arena_free(&arena);
}


static void
test_b64_there_and_back(void **state)
{
    unsigned char in[200], out[200];
    char text[300];
    size_t i, n, size;

    (void) state;

    for (i = 0; i < sizeof(in); i++) {
        in[i] = (unsigned char) (i * 37);
    }

    for (n = 0; n <= sizeof(in); n++) {
        memset(text, '!', sizeof(text));
        size = tn__b64_encode(text, in, n);
        assert_int_equal(size, tn__b64_size(n));
        assert_int_equal(text[size], '!');
        assert_true(tn__b64_decode(out, n, &i, (tn_str){ text, size }));
        assert_int_equal(i, n);
        assert_memory_equal(in, out, n);

        if (n > 0) {
            assert_false(
                tn__b64_decode(out, n - 1, &i, (tn_str){ text, size }));
        }
    }

    assert_int_equal(tn__b64_encode(text, "\xfb\xff", 2), 3);
    assert_memory_equal(text, "-_8", 3);
}


static void
test_b64_is_strict(void **state)
{
    static const char *const bad[] = {
        "A",   "AA==", "AB",    "AAB",    "AA=",  "AA\n", " AA",
        "A A", "+/AA", "AAAAA", "AA\xc3", "AAA=", "__9",
    };
    unsigned char out[16];
    size_t i, n;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (tn__b64_decode(out, sizeof(out), &n, unit_str(bad[i]))) {
            fail_msg("accepted %s", bad[i]);
        }
    }

    assert_false(tn__b64_decode(out, sizeof(out), &n, TN_NULL));
    assert_false(tn__b64_decode(out, sizeof(out), &n, TN_STR("AA\0\0")));

    for (i = 0x80; i <= 0xff; i++) {
        const char text[4] = { 'A', (char) i, 'A', 'A' };

        assert_false(tn__b64_decode(out, sizeof(out), &n, (tn_str){ text, 4 }));
    }
}


UNIT_MAIN(cmocka_unit_test(test_compares), cmocka_unit_test(test_cuts),
          cmocka_unit_test(test_splits), cmocka_unit_test(test_joins),
          cmocka_unit_test(test_joins_never_overflow),
          cmocka_unit_test(test_dup), cmocka_unit_test(test_utf8),
          cmocka_unit_test(test_integers), cmocka_unit_test(test_uri_decodes),
          cmocka_unit_test(test_b64_there_and_back),
          cmocka_unit_test(test_b64_is_strict))
