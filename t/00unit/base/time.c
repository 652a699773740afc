/*
 * RFC 3339 in and out, and PostgreSQL's text on its way out.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"


static void
test_parses(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } rows[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01t00:00:00z", 0 },
        { "1970-01-01T00:00:00.1Z", 100000 },
        { "1970-01-01T00:00:00.000001Z", 1 },
        { "1969-12-31T23:59:59.999999Z", -1 },
        { "1970-01-01T01:00:00+01:00", 0 },
        { "1969-12-31T18:30:00-05:30", 0 },
        { "1970-01-01T23:59:00+23:59", 0 },
        { "1970-01-01T00:00:00-00:00", 0 },
        { "2026-11-21T01:33:00.123456Z", INT64_C(1795224780123456) },
        { "2000-02-29T00:00:00Z", INT64_C(951782400000000) },
        { "0001-01-01T00:00:00Z", INT64_C(-62135596800000000) },
        { "9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999) },
    };
    int64_t us;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(tn__time_parse(&us, unit_str(rows[i].text)));
        assert_int_equal(us, rows[i].us);
    }
}


static void
test_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-11-21",
        "2026-11-21T01:33:00",
        "2026-11-21T01:33Z",
        "2026-11-21 01:33:00Z",
        "2026-11-21T01:33:00.Z",
        "2026-11-21T01:33:00.1234567Z",
        "2026-11-21T01:33:00,5Z",
        "2026-11-21T01:33:00+0100",
        "2026-11-21T01:33:00+01",
        "2026-11-21T01:33:00+24:00",
        "2026-11-21T01:33:00+00:60",
        "2026-11-21T01:33:00Z ",
        " 2026-11-21T01:33:00Z",
        "2026-11-21T01:33:60Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T01:60:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "0000-12-31T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "12026-11-21T01:33:00Z",
        "-026-11-21T01:33:00Z",
        "2026-1a-21T01:33:00Z",
        "2026-11-21T01:33:00ZZ",
    };
    int64_t us = 4711;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (tn__time_parse(&us, unit_str(bad[i]))) {
            fail_msg("accepted %s", bad[i]);
        }
    }

    assert_false(tn__time_parse(&us, TN_NULL));
    assert_int_equal(us, 4711);
}


/* Every day of 400 years follows the one before, and reads back. */
static void
test_days_follow_each_other(void **state)
{
    static const int64_t day = INT64_C(86400000000);
    int64_t from = INT64_C(-11644473600000000), us, back;
    char text[TN__TIME_TEXT], last[TN__TIME_TEXT];
    int i;

    (void) state;
    memset(last, 0, sizeof(last));

    for (i = 0; i < 146097; i++) {
        us = from + i * day + i;
        tn__time_format(text, us);
        assert_true(memcmp(last, text, sizeof(text)) < 0);
        assert_true(tn__time_parse(&back, (tn_str){ text, sizeof(text) }));
        assert_int_equal(us, back);
        memcpy(last, text, sizeof(text));
    }

    unit_assert_str(((tn_str){ text, 10 }), "2000-12-31");
}


static void
test_formats(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {
        { 0, "1970-01-01T00:00:00.000000Z" },
        { -1, "1969-12-31T23:59:59.999999Z" },
        { INT64_C(1795224780123456), "2026-11-21T01:33:00.123456Z" },
        { INT64_MIN, "0001-01-01T00:00:00.000000Z" },
        { INT64_MAX, "9999-12-31T23:59:59.999999Z" },
    };
    char text[TN__TIME_TEXT];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tn__time_format(text, rows[i].us);
        unit_assert_str(((tn_str){ text, sizeof(text) }), rows[i].text);
    }
}


static void
test_pg_time(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        { "2026-11-21 01:33:00.12+00", "2026-11-21T01:33:00.120000Z" },
        { "2026-11-21 01:33:00+00", "2026-11-21T01:33:00.000000Z" },
        { "2026-11-21 01:33:00.123456+00", "2026-11-21T01:33:00.123456Z" },
        { "2026-11-21 01:33:00.12+01", "2026-11-21 01:33:00.12+01" },
        { "2026-11-21 01:33:00+00:30", "2026-11-21 01:33:00+00:30" },
        { "2026-11-21 01:33:00", "2026-11-21 01:33:00" },
        { "0044-03-15 12:00:00+00 BC", "0044-03-15 12:00:00+00 BC" },
        { "10000-01-01 00:00:00+00", "10000-01-01 00:00:00+00" },
        { "infinity", "infinity" },
        { "", "" },
    };
    unit_arena arena;
    tn__buf buf;
    tn_str out;
    size_t i;

    (void) state;
    unit_arena_init(&arena, 0);

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tn__buf_init(&buf, &arena.mem, 0);
        tn__buf_pg_time(&buf, unit_str(rows[i].in));
        assert_int_equal(tn__buf_str(&out, &buf), TN_OK);
        unit_assert_str(out, rows[i].out);
    }

    unit_arena_free(&arena);
}


static void
test_dates(void **state)
{
    size_t i;
    static const char *const good[] = { "0001-01-01", "9999-12-31",
                                        "2024-02-29", "2000-02-29" };
    static const char *const bad[] = {
        "",           "0000-01-01",  "2026-00-01",  "2026-13-01", "2026-01-00",
        "2026-01-32", "2026-02-29",  "1900-02-29",  "2026-1-1",   "26-01-01",
        "2026/01/01", "2026-01-01Z", " 2026-01-01", "2026-01-1x", "infinity",
    };

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(tn__date_valid(unit_str(good[i])));
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tn__date_valid(unit_str(bad[i])));
    }
}


UNIT_MAIN(cmocka_unit_test(test_dates), cmocka_unit_test(test_parses),
          cmocka_unit_test(test_refuses),
          cmocka_unit_test(test_days_follow_each_other),
          cmocka_unit_test(test_formats), cmocka_unit_test(test_pg_time))
