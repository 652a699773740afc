/*
 * Rows and parameters of every size, in flight together: nothing stalls,
 * nothing is cut. Run in plain text and under TLS, which holds back bytes
 * where poll() can't see them.
 */

#include "driver.h"

#define SIZES   128
#define LARGEST 409600
#define DEPTH   8
#define FLOOD   40 /* of the largest: more than sockets hold */

static const tn_stmt fill =
    STMT("fill", "select $1::int, repeat('x', $1::int)", 1);
static const tn_stmt echo = STMT("echo", "select $1::text", 1);


/* 1 B to 400 KB, denser where records and buffers end. */
static size_t
size_at(unsigned i)
{
    static const size_t edges[] = {
        1,     2,     8191,  8192,  8193,  16383,
        16384, 16385, 32768, 65535, 65536, LARGEST
    };
    size_t n = sizeof(edges) / sizeof(edges[0]);

    if (i < n) {
        return edges[i];
    }

    return 1 + (size_t) i * (size_t) i * LARGEST / (SIZES * SIZES);
}


static void
rows_of_every_size(void **state)
{
    static char text[SIZES][16];
    tn_pg *pg = open_depth(DEPTH);
    tn_str params[SIZES], got;
    unsigned i, sent;
    void *tag;
    int retry;
    const tn_reply *reply;

    (void) state;
    for (i = 0; i < SIZES; i++) {
        snprintf(text[i], sizeof(text[i]), "%zu", size_at(i));
        params[i] = (tn_str){ text[i], strlen(text[i]) };
    }

    for (sent = 0, i = 0; i < SIZES; i++) {
        while (sent < SIZES && tn_pg_depth(pg) < DEPTH) {
            assert_int_equal(
                send_one(pg, &fill, &params[sent], 0, &params[sent]), TN_OK);
            sent++;
        }

        reply = await(pg, &tag, &retry);
        assert_ptr_equal(tag, &params[i]);
        assert_string_equal(cell(reply, 0, 0), text[i]);

        got = reply->rows[0].cells[1];
        assert_int_equal(got.n, size_at(i));
        assert_int_equal(got.p[0], 'x');
        assert_int_equal(got.p[got.n - 1], 'x');
    }

    tn_pg_free(pg);
}


/* Both directions full at once: a host that only wrote would hang. */
static void
parameters_and_rows_both_large(void **state)
{
    static const tn_stmt nap = STMT("nap", "select pg_sleep(0.5)", 0);
    tn_pg *pg = open_depth(FLOOD + 1);
    char *text = malloc(LARGEST);
    tn_str param = { text, LARGEST };
    unsigned i, blocked = 0;
    void *tag;
    int retry;
    const tn_reply *reply;

    (void) state;
    memset(text, 'y', LARGEST);

    /* while it sleeps the server doesn't read, so that the sockets do fill */
    assert_int_equal(send_one(pg, &nap, NULL, 0, NULL), TN_OK);

    for (i = 0; i < FLOOD; i++) {
        text[0] = (char) ('0' + i);
        assert_int_equal(send_one(pg, &echo, &param, 0, NULL), TN_OK);
        blocked |= tn_pg_wants(pg) & TN_PG_WRITE;
    }

    assert_int_equal(blocked, TN_PG_WRITE);
    assert_int_equal(await(pg, &tag, &retry)->outcome, TN_DB_OK);

    for (i = 0; i < FLOOD; i++) {
        reply = await(pg, &tag, &retry);
        assert_int_equal(reply->outcome, TN_DB_OK);
        assert_int_equal(reply->rows[0].cells[0].n, LARGEST);
        assert_int_equal(reply->rows[0].cells[0].p[0], '0' + (int) i);
    }

    assert_int_equal(tn_pg_wants(pg), TN_PG_READ);
    free(text);
    tn_pg_free(pg);
}


static void
many_rows(void **state)
{
    static const tn_stmt rows = STMT(
        "rows", "select i, null, 'r' || i from generate_series(1, 20000) i", 0);
    tn_pg *pg = open_depth(2);
    unsigned round, i;
    tn_str s;
    char want[16];
    const tn_reply *reply;

    (void) state;
    for (round = 0; round < 2; round++) {
        reply = ask(pg, &rows, NULL);
        assert_int_equal(reply->rows[0].nrows, 20000);

        for (i = 0; i < 20000; i++) {
            snprintf(want, sizeof(want), "r%u", i + 1);
            s = reply->rows[0].cells[i * 3 + 2];
            assert_int_equal(s.n, strlen(want));
            assert_memory_equal(s.p, want, s.n);
            assert_null(reply->rows[0].cells[i * 3 + 1].p);
        }
    }

    tn_pg_free(pg);
}


/* One connection doesn't keep the others waiting: 64 results at most per
 * call, and then it says that there is more. */
static void
results_per_call_are_bounded(void **state)
{
    enum {
        BATCHES = 100,
    };
    static const tn_stmt one = STMT("one", "select 1", 0);
    tn_pg *pg = open_depth(BATCHES);
    unsigned i, got, calls, most;
    struct timespec pause = { 0, 300000000 };
    const tn_reply *reply;
    void *tag;
    int retry;

    (void) state;
    must(pg, &one);

    for (i = 0; i < BATCHES; i++) {
        assert_int_equal(send_one(pg, &one, NULL, 0, NULL), TN_OK);
    }

    nanosleep(&pause, NULL);

    for (got = 0, calls = 0, most = 0; got < BATCHES; calls++) {
        assert_true(calls < 1000);
        turn(pg);
        for (i = 0; tn_pg_next(pg, &tag, &reply, &retry); i++) {
            assert_int_equal(reply->outcome, TN_DB_OK);
        }
        got += i;
        most = i > most ? i : most;
    }

    assert_true(most <= 32); /* a result and a Sync each */
    assert_true(calls >= 4);
    tn_pg_free(pg);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_every_size),
        cmocka_unit_test(parameters_and_rows_both_large),
        cmocka_unit_test(many_rows),
        cmocka_unit_test(results_per_call_are_bounded),
    };

    if (skipped()) {
        return 0;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
