/*
 * Rows in the server's own form say what its text says: each type's values,
 * the least, the greatest and the odd ones, asked for both ways. Times alone
 * differ: RFC 3339 instead of the server's way.
 */

#include "driver.h"

#define SPREAD(type, values) \
    "select v::" type " from unnest(array[" values "]) v"

static const char *const alike[] = {
    SPREAD("text", "'', 'a', null, E'\\u00e4\\n\"', repeat('x', 100000)"),
    SPREAD("varchar", "'', 'short', null"),
    SPREAD("uuid", "'00000000-0000-0000-0000-000000000000', null, "
                   "'ffffffff-ffff-ffff-ffff-ffffffffffff', "
                   "'0190a7b2-3c4d-7e5f-8a9b-0c1d2e3f4a5b'"),
    SPREAD("int2", "0, 1, -1, 32767, -32768, null"),
    SPREAD("int4", "0, 10, -10, 2147483647, -2147483648, null"),
    SPREAD("int8", "0, 9, 9007199254740993, 9223372036854775807, "
                   "-9223372036854775808, null"),
    SPREAD("bool", "true, false, null"),
    SPREAD("jsonb", "'{}', '[1, \"\\u00e4\"]', 'null', '\"\"', null"),
    SPREAD("json", "'{ }', 'null', null"),
    SPREAD("date", "'2026-11-21', '1999-12-31', '0001-01-01', '9999-12-31', "
                   "'infinity', '-infinity', null"),
    "select 1::int8, null::text, 'x'::text, true where false",
    "select 1::int8, null::text, 'x'::text, true from generate_series(1, 900)",
};

static const struct {
    const char *sql;
    const char *text; /* NULL: null */
} times[] = {
    { "'2026-11-21 07:19:23.5+00'", "2026-11-21T07:19:23.500000Z" },
    { "'2000-01-01 00:00:00+00'", "2000-01-01T00:00:00.000000Z" },
    { "'1999-12-31 23:59:59.999999+00'", "1999-12-31T23:59:59.999999Z" },
    { "'0001-01-01 00:00:00+00'", "0001-01-01T00:00:00.000000Z" },
    { "'2024-02-29 12:00:00+02'", "2024-02-29T10:00:00.000000Z" },
    { "'9999-12-31 23:59:59.999999+00'", "9999-12-31T23:59:59.999999Z" },
    { "'20000-01-01 00:00:00+00'", "9999-12-31T23:59:59.999999Z" },
    { "'infinity'", "infinity" },
    { "'-infinity'", "-infinity" },
    { "null", NULL },
};

/* What text would say differently, or not as RFC 3339 has it. */
static const struct {
    const char *sql;
    const char *text;
} far_dates[] = {
    { "'10000-01-01'", "9999-12-31" },   { "'300000-01-01'", "9999-12-31" },
    { "'5874897-12-31'", "9999-12-31" }, { "'0001-12-31 BC'", "0001-01-01" },
    { "'4713-01-01 BC'", "0001-01-01" },
};


static tn_stmt
statement(const char *name, const char *sql, unsigned binary)
{
    return (tn_stmt){ .name = { name, strlen(name) },
                      .sql = { sql, strlen(sql) },
                      .binary = binary & 1 };
}


static void
assert_cell(tn_str a, tn_str b)
{
    assert_int_equal(a.p == NULL, b.p == NULL);
    assert_int_equal(a.n, b.n);
    if (a.n) {
        assert_memory_equal(a.p, b.p, a.n);
    }
}


static void
says_what_text_says(void **state)
{
    unsigned i, c, n;
    tn_pg *text = open_depth(1), *binary = open_depth(1);

    (void) state;

    for (i = 0; i < sizeof(alike) / sizeof(alike[0]); i++) {
        tn_stmt a = statement("", alike[i], 0), b = statement("", alike[i], 1);
        char name[8];
        const tn_reply *ra, *rb;

        snprintf(name, sizeof(name), "s%u", i);
        a.name = b.name = (tn_str){ name, strlen(name) };

        ra = ask(text, &a, NULL);
        rb = ask(binary, &b, NULL);
        assert_int_equal(ra->outcome, TN_DB_OK);
        assert_int_equal(rb->outcome, TN_DB_OK);
        assert_int_equal(ra->rows[0].nrows, rb->rows[0].nrows);
        assert_int_equal(ra->rows[0].ncols, rb->rows[0].ncols);

        n = ra->rows[0].nrows * ra->rows[0].ncols;
        for (c = 0; c < n; c++) {
            assert_cell(rb->rows[0].cells[c], ra->rows[0].cells[c]);
        }
    }

    tn_pg_free(text);
    tn_pg_free(binary);
}


static void
times_are_rfc_3339(void **state)
{
    unsigned i;
    tn_pg *pg = open_depth(1);

    (void) state;

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char name[8], sql[80];
        tn_str want = { times[i].text,
                        times[i].text ? strlen(times[i].text) : 0 };
        tn_stmt stmt;

        snprintf(name, sizeof(name), "t%u", i);
        snprintf(sql, sizeof(sql), "select %s::timestamptz", times[i].sql);
        stmt = statement(name, sql, 1);
        assert_cell(ask(pg, &stmt, NULL)->rows[0].cells[0], want);
    }

    tn_pg_free(pg);
}


static void
far_dates_are_the_nearest(void **state)
{
    unsigned i;
    tn_pg *pg = open_depth(1);

    (void) state;

    for (i = 0; i < sizeof(far_dates) / sizeof(far_dates[0]); i++) {
        char name[8], sql[80];
        tn_str want = { far_dates[i].text, strlen(far_dates[i].text) };
        tn_stmt stmt;

        snprintf(name, sizeof(name), "d%u", i);
        snprintf(sql, sizeof(sql), "select date %s", far_dates[i].sql);
        stmt = statement(name, sql, 1);
        assert_cell(ask(pg, &stmt, NULL)->rows[0].cells[0], want);
    }

    tn_pg_free(pg);
}


/* Several results of a batch, text and binary, share the memory. */
static void
results_side_by_side(void **state)
{
    static const tn_stmt many = {
        .name = TN_STR_C("many"),
        .sql = TN_STR_C("select n::int8 from generate_series(1, 500) n"),
        .binary = 1
    };
    static const tn_stmt few = STMT("few", "select 'text'::text, 7::int", 0);
    tn_query queries[] = { { &many, NULL }, { &few, NULL }, { &many, NULL } };
    tn_batch batch = { .queries = queries, .n = 3 };
    const tn_reply *reply;
    void *tag;
    int retry;
    tn_pg *pg = open_depth(1);

    (void) state;
    assert_int_equal(tn_pg_send(pg, &batch, NULL), TN_OK);
    reply = await(pg, &tag, &retry);
    assert_string_equal(cell(reply, 0, 0), "1");
    assert_string_equal(cell(reply, 0, 499), "500");
    assert_string_equal(cell(reply, 1, 0), "text");
    assert_string_equal(cell(reply, 1, 1), "7");
    assert_string_equal(cell(reply, 2, 499), "500");
    tn_pg_free(pg);
}


/* Nothing is guessed: what can't be read is asked for again, as text. */
static void
unknown_types_are_asked_for_as_text(void **state)
{
    static const tn_stmt number = { .name = TN_STR_C("number"),
                                    .sql = TN_STR_C("select 1.5::numeric"),
                                    .binary = 1 };
    int retry;
    void *tag;
    const tn_reply *reply;
    tn_pg *pg = open_depth(1);

    (void) state;
    assert_int_equal(send_one(pg, &number, NULL, 0, NULL), TN_OK);
    reply = await(pg, &tag, &retry);
    assert_int_equal(reply->outcome, TN_DB_ERROR);
    assert_string_equal(reply->sqlstate, "0A000");
    assert_int_equal(retry, 1);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);

    assert_string_equal(cell(ask(pg, &number, NULL), 0, 0), "1.5");
    tn_pg_free(pg);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_text_says),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(far_dates_are_the_nearest),
        cmocka_unit_test(results_side_by_side),
        cmocka_unit_test(unknown_types_are_asked_for_as_text),
    };

    return skipped() ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
