/*
 * work.c of tenond: when jobs are claimed, how long one waits for a connection
 * before it is given back, and what is told of a failed request. Time, database
 * and servers are the test's.
 */

#include "t/00unit/unit.h"
#include "tenond/work.c"
#include "tenond/mem.c"
#include "gen/queries.h"
#include "libcore/job/job.h"

#include <stdarg.h>

#define TENANT "00000000-0000-7000-8000-000000000002"

static int64_t clock_ms;
static int idle;
static td_batch *queue[64]; /* submitted, in order; NULL: withdrawn */
static unsigned nqueue;
static char said[4096];


int64_t
td_now(void)
{
    return clock_ms;
}


int64_t
td_wall(void)
{
    return 1790000000000000 + clock_ms * 1000;
}


int64_t
td_jitter(int64_t ms)
{
    return ms;
}


void
td_random(void *out, size_t n)
{
    memset(out, 7, n);
}


void
td_log(td_level level, const char *format, ...)
{
    size_t n = strlen(said);
    va_list args;

    (void) level;
    va_start(args, format);
    vsnprintf(said + n, sizeof(said) - n, format, args);
    va_end(args);
}


void
td_db_submit(td_db *db, td_batch *b)
{
    (void) db;
    assert_true(nqueue < 64);
    queue[nqueue++] = b;
}


int
td_db_withdraw(td_db *db, td_batch *b)
{
    unsigned i;

    (void) db;

    for (i = 0; i < nqueue; i++) {
        if (queue[i] == b) {
            queue[i] = NULL;
            return 1;
        }
    }

    return 0;
}


int
td_db_idle(const td_db *db)
{
    (void) db;
    return idle;
}


int
td_http_submit(td_http *http, const tn_http *want, td_answered *done,
               void *data)
{
    (void) http;
    (void) want;
    (void) done;
    (void) data;
    return -1;
}


/* The last batch that was submitted, which is this statement's. */
static td_batch *
submitted(const tn__bound *bound)
{
    td_batch *b;

    assert_true(nqueue > 0);
    b = queue[nqueue - 1];
    assert_non_null(b);
    assert_ptr_equal(b->batch->queries[0].stmt, &bound->stmt);

    return b;
}


static void
answer(td_batch *b, tn_rows *rows)
{
    tn_reply reply = { .outcome = TN_DB_OK, .rows = rows, .n = 1 };

    b->done(b, &reply);
}


/* Ready, with n jobs claimed; of those the first's batch is sent. */
static void
begin(td_work *work, td_conf *conf, unsigned n)
{
    unsigned i;
    char ids[8][48];
    tn_str cells[8][6];
    tn_rows rows = { n, 6, cells[0] };

    clock_ms = 1000;
    idle = 1;
    nqueue = 0;
    said[0] = '\0';
    memset(conf, 0, sizeof(*conf));
    conf->jobs = 8;
    conf->poll = 1000;
    td_work_init(work, conf, NULL, NULL);
    work->ready = 1;
    work->check_at = TD_NEVER;
    work->plan_at = TD_NEVER;

    for (i = 0; i < n; i++) {
        snprintf(ids[i], sizeof(ids[i]),
                 "0192aaaa-0000-7000-8000-00000000000%u", i);
        cells[i][0] = TN_STR(TENANT);
        cells[i][1] = unit_str(ids[i]);
        cells[i][2] = TN_STR("purge");
        cells[i][3] = TN_STR("7");
        cells[i][4] = TN_STR("1");
        cells[i][5] = TN_STR("{}");
    }

    td_work_turn(work);
    answer(submitted(&tn__q_job_claim), &rows);
    assert_int_equal(work->njobs, n);
    assert_int_equal(nqueue, 1 + n);
    queue[1]->sent = 1;
}


static void
test_claims(void **state)
{
    td_conf conf;
    td_work work;
    tn_rows none = { 0, 6, NULL };

    (void) state;
    begin(&work, &conf, 1);

    /* there may be more: at once, if there is a connection for it */
    idle = 0;
    assert_true(td_work_timer(&work) > clock_ms);
    td_work_turn(&work);
    assert_int_equal(nqueue, 2);

    idle = 1;
    assert_true(td_work_timer(&work) <= clock_ms);
    td_work_turn(&work);
    answer(submitted(&tn__q_job_claim), &none);

    /* there was none */
    assert_int_equal(td_work_timer(&work), clock_ms + 1000);
    td_work_turn(&work);
    assert_int_equal(nqueue, 3);
    td_work_free(&work);
}


/* What waits for a third of its lease is given back, once. */
static void
test_gives_back(void **state)
{
    td_batch *b;
    td_conf conf;
    td_work work;
    tn_rows none = { 0, 1, NULL };

    (void) state;
    begin(&work, &conf, 3);
    idle = 0;
    assert_int_equal(td_work_timer(&work), 21000);

    clock_ms = 20999;
    td_work_turn(&work);
    assert_int_equal(nqueue, 4);

    clock_ms = 21000;
    td_work_turn(&work);
    b = submitted(&tn__q_job_release);
    assert_non_null(queue[1]); /* it was sent: it has begun */
    assert_null(queue[2]);
    assert_null(queue[3]);
    unit_assert_str(b->batch->queries[0].params[1],
                    "{0192aaaa-0000-7000-8000-000000000002,"
                    "0192aaaa-0000-7000-8000-000000000001}");
    assert_int_equal(td_work_timer(&work), TD_NEVER);

    answer(b, &none);
    assert_int_equal(work.njobs, 1);
    assert_int_equal(td_work_timer(&work), TD_NEVER);
    td_work_turn(&work);
    assert_int_equal(nqueue, 5);
    td_work_free(&work);
}


/* Who is told what becomes of a job needn't know whom we reach, and how. */
static void
test_no_answer(void **state)
{
    td_conf conf;
    td_work work;
    tn_http_answer none = { .fault = TN_HTTP_NO_CONNECTION };

    (void) state;
    begin(&work, &conf, 1);
    job_answered_http(work.jobs, &none, "Failed to connect to 10.0.0.7");
    assert_non_null(strstr(said, "job 0192aaaa-0000-7000-8000-000000000000 "
                                 "(purge): no answer: Failed to connect to "
                                 "10.0.0.7"));
    td_work_free(&work);
}


/* At the end it isn't waited for at all. */
static void
test_stops(void **state)
{
    td_conf conf;
    td_work work;
    tn_rows none = { 0, 1, NULL };

    (void) state;
    begin(&work, &conf, 3);
    td_work_stop(&work);
    assert_int_equal(td_work_timer(&work), 0);
    td_work_turn(&work);
    answer(submitted(&tn__q_job_release), &none);
    assert_int_equal(work.njobs, 1);
    assert_false(td_work_idle(&work));
    assert_int_equal(td_work_timer(&work), TD_NEVER);
    td_work_turn(&work);
    assert_int_equal(nqueue, 5);
    td_work_free(&work);
}


/* What is long is given back between two batches. */
static void
test_stops_long(void **state)
{
    unsigned sent;
    td_conf conf;
    td_work work;
    tn_str none_gone = TN_STR("7");
    tn_rows none = { 0, 1, NULL };
    tn_rows rounds[] = { { 0, 0, NULL }, { 1, 1, &none_gone } };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = rounds, .n = 2 };
    td_batch *b;

    (void) state;
    begin(&work, &conf, 1);
    b = queue[1];
    sent = nqueue;

    /* goes on while it may */
    b->done(b, &reply);
    assert_int_equal(nqueue, sent + 1);
    assert_ptr_equal(queue[nqueue - 1], b);
    b->sent = 1;

    td_work_stop(&work);
    assert_false(td_work_idle(&work));
    b->done(b, &reply);
    assert_int_equal(nqueue, sent + 1);
    assert_int_equal(td_work_timer(&work), 0);
    td_work_turn(&work);
    answer(submitted(&tn__q_job_release), &none);
    assert_true(td_work_idle(&work));
    td_work_free(&work);
}


UNIT_MAIN(cmocka_unit_test(test_claims), cmocka_unit_test(test_gives_back),
          cmocka_unit_test(test_no_answer), cmocka_unit_test(test_stops),
          cmocka_unit_test(test_stops_long))
