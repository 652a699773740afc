/*
 * db.c of tenond: what is told of a database that is away, and for how long a
 * batch waits for it. Time is the test's; the connections are real ones, to
 * where nobody listens.
 */

#include "t/00unit/unit.h"
#include "tenond/db.c"

static int64_t clock_ms = 1000;
static unsigned lines;
static unsigned answers;
static tn_db_outcome outcome;


int64_t
td_now(void)
{
    return clock_ms;
}


int64_t
td_jitter(int64_t ms)
{
    return ms;
}


void
td_log(td_level level, const char *format, ...)
{
    (void) format;
    assert_int_equal(level, TD_ERROR);
    lines++;
}


static void
done(td_batch *b, const tn_reply *reply)
{
    (void) b;
    answers++;
    outcome = reply->outcome;
}


/* A database that is away is told of each minute, not with each try. */
static void
test_away(void **state)
{
    td_db db;
    td_conf conf = { .connections = 1 };
    td_batch batch = { .done = done, .control = 1, .again = 1 };
    struct pollfd fds[TD_CONNECTIONS_MAX + 1];

    (void) state;
    conf.database = (char *) "host=/nonexistent dbname=tenon";
    td_db_init(&db, &conf);
    batch.deadline = clock_ms + 290000;
    td_db_submit(&db, &batch);

    for (; clock_ms < 300000; clock_ms += 50) {
        (void) td_db_fds(&db, fds);
        td_db_turn(&db);
    }

    assert_int_equal(lines, 5);
    assert_int_equal(answers, 1);
    assert_int_equal(outcome, TN_DB_DOWN);
    td_db_free(&db);
}


/* A job finds a connection where one is free, and nobody waits for it. */
static void
test_idle(void **state)
{
    td_db db;
    td_conf conf = { .connections = 2 };
    td_batch batches[4] = { { .control = 1 } };

    (void) state;
    td_db_init(&db, &conf);
    td_db_submit(&db, &batches[0]);
    assert_true(td_db_idle(&db));
    td_db_submit(&db, &batches[1]);
    assert_true(td_db_idle(&db));
    td_db_submit(&db, &batches[2]);
    assert_false(td_db_idle(&db));

    assert_true(td_db_withdraw(&db, &batches[2]));
    assert_false(td_db_withdraw(&db, &batches[2]));
    db.conns[2].flight = &batches[3];
    assert_false(td_db_idle(&db));
    db.conns[2].flight = NULL;
    db.conns[0].flight = &batches[3];
    assert_true(td_db_idle(&db));
}


UNIT_MAIN(cmocka_unit_test(test_away), cmocka_unit_test(test_idle))
