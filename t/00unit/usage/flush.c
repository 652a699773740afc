/*
 * flush.c: what a node has counted, as the batch that adds it, and its answer.
 */

#include <tenon/usage.h>

#include "libcore/usage/usage.h"
#include "t/00unit/unit.h"
#include "gen/queries.h"

#define ACME   "0192f0c0-0000-7000-8000-00000000000a"
#define GLOBEX "0192f0c0-0000-7000-8000-00000000000b"

static const unsigned char id[TN_USAGE_ID_LEN] = { 0xab, [15] = 0xcd };


static void
row(tn_usage *out, const char *tenant, const char *name, tn_period period)
{
    memset(out, 0, sizeof(*out));
    assert_true(tn__uuid_parse(out->tenant, unit_str(tenant)));
    strncpy(out->name, name, TN_METER_NAME_MAX);
    out->period = period;
    out->begins = 1795219200123457;
    out->ends = INT64_MAX;
    out->soft = -1;
    out->hard = 1000;
    out->units = 7;
}


static const char *
param(const tn_batch *batch, const char *name)
{
    unsigned i;
    static char text[65536];
    const tn__bound *bound = &tn__q_flush_usage;

    for (i = 0; i < bound->stmt.nparams; i++) {
        if (tn__eq(bound->binds[i].name, unit_str(name))) {
            snprintf(text, sizeof(text), "%.*s",
                     (int) batch->queries[0].params[i].n,
                     batch->queries[0].params[i].p);
            return text;
        }
    }

    fail_msg("no parameter %s", name);
    return NULL;
}


static void
test_batch(void **state)
{
    unsigned i;
    tn_usage rows[2];
    unit_arena arena;
    const tn_batch *batch;

    (void) state;
    row(&rows[0], ACME, "api_calls", TN_PERIOD_MONTH);
    row(&rows[1], GLOBEX, "calls.v2_1", TN_PERIOD_MINUTE);
    rows[1].units = 0;
    rows[1].soft = 5;

    unit_arena_init(&arena, 0);
    assert_int_equal(tn_usage_flush(&batch, id, rows, 2, &arena.mem), TN_OK);
    memset(rows, 0xff, sizeof(rows)); /* all of it was copied */
    assert_int_equal(batch->n, 1);
    assert_true(batch->writes);
    assert_ptr_equal(batch->queries[0].stmt, &tn__q_flush_usage.stmt);
    assert_string_equal(param(batch, "flush"),
                        "ab000000-0000-0000-0000-0000000000cd");
    assert_string_equal(param(batch, "tenants"), "{" ACME "," GLOBEX "}");
    assert_string_equal(param(batch, "meters"), "{api_calls,calls.v2_1}");
    assert_string_equal(param(batch, "periods"), "{month,minute}");
    assert_string_equal(param(batch, "begins"),
                        "{1795219200123457,1795219200123457}");
    assert_string_equal(param(batch, "ends"),
                        "{9223372036854775807,9223372036854775807}");
    assert_string_equal(param(batch, "softs"), "{-1,5}");
    assert_string_equal(param(batch, "hards"), "{1000,1000}");
    assert_string_equal(param(batch, "units"), "{7,0}");

    for (i = 0; i < batch->queries[0].stmt->nparams; i++) {
        assert_non_null(batch->queries[0].params[i].p);
    }

    unit_arena_free(&arena);
}


static void
test_what_is_none(void **state)
{
    unsigned i;
    tn_usage rows[TN_USAGE_FLUSH_MAX + 1];
    unit_arena arena;
    const tn_batch *batch;
    static const char *const names[] = { "", "a,b", "A", "a\"", "a b", "{}" };

    (void) state;
    unit_arena_init(&arena, 0);

    for (i = 0; i <= TN_USAGE_FLUSH_MAX; i++) {
        row(&rows[i], ACME, "api_calls", TN_PERIOD_DAY);
    }

    assert_int_equal(
        tn_usage_flush(&batch, id, rows, TN_USAGE_FLUSH_MAX, &arena.mem),
        TN_OK);
    assert_int_equal(
        tn_usage_flush(&batch, id, rows, TN_USAGE_FLUSH_MAX + 1, &arena.mem),
        TN_E_INTERNAL);
    assert_null(batch);
    assert_int_equal(tn_usage_flush(&batch, id, rows, 0, &arena.mem),
                     TN_E_INTERNAL);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        row(&rows[0], ACME, names[i], TN_PERIOD_DAY);
        assert_int_equal(tn_usage_flush(&batch, id, rows, 1, &arena.mem),
                         TN_E_INTERNAL);
    }

    row(&rows[0], ACME, "api_calls", TN_PERIOD_NONE);
    assert_int_equal(tn_usage_flush(&batch, id, rows, 1, &arena.mem),
                     TN_E_INTERNAL);
    unit_arena_free(&arena);
}


static void
test_answer(void **state)
{
    int64_t totals[3];
    tn_str cells[] = { TN_STR("12"), TN_STR("-1"),
                       TN_STR("9223372036854775807") };
    tn_rows rows = { 3, 1, cells };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = &rows, .n = 1 };

    (void) state;
    assert_true(tn_usage_flushed(totals, 3, &reply));
    assert_int_equal(totals[0], 12);
    assert_int_equal(totals[1], -1);
    assert_true(totals[2] == INT64_MAX);

    assert_false(tn_usage_flushed(totals, 2, &reply));
    cells[1] = TN_NULL;
    assert_false(tn_usage_flushed(totals, 3, &reply));
    cells[1] = TN_STR("x");
    assert_false(tn_usage_flushed(totals, 3, &reply));
    cells[1] = TN_STR("1");

    for (reply.outcome = TN_DB_ERROR; reply.outcome <= TN_DB_UNKNOWN;
         reply.outcome++) {
        assert_false(tn_usage_flushed(totals, 3, &reply));
    }
}


static void
test_no_memory(void **state)
{
    tn_err err;
    size_t i;
    tn_usage rows[2];
    unit_arena arena;
    const tn_batch *batch;

    (void) state;
    row(&rows[0], ACME, "api_calls", TN_PERIOD_MONTH);
    row(&rows[1], GLOBEX, "api_calls", TN_PERIOD_MONTH);

    for (i = 1, err = TN_E_NOMEM; err != TN_OK; i++) {
        unit_arena_init(&arena, i);
        err = tn_usage_flush(&batch, id, rows, 2, &arena.mem);
        assert_true(err == TN_OK || err == TN_E_NOMEM);
        assert_int_equal(batch != NULL, err == TN_OK);
        unit_arena_free(&arena);
        assert_true(i < 100);
    }
}


UNIT_MAIN(cmocka_unit_test(test_batch), cmocka_unit_test(test_what_is_none),
          cmocka_unit_test(test_answer), cmocka_unit_test(test_no_memory))
