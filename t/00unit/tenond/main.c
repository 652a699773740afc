/*
 * main.c of tenond: the loop. All that it turns is the test's: what happens in
 * a turn, and whether the loop then waits.
 */

#include "t/00unit/unit.h"

#include <fcntl.h>

#define main tenond_main
#include "tenond/main.c"
#undef main

static int longest; /* ms that the loop waited for at a time */
static unsigned polls;
static int ends_in_fds; /* the last job ends where batches go out */
static td_work *work_of_test;

td_level td_log_level;


void
td_log(td_level level, const char *format, ...)
{
    (void) level;
    (void) format;
}


int
td_conf_read(td_conf *conf, int argc, char **argv)
{
    (void) conf;
    (void) argc;
    (void) argv;
    return 1;
}


void
td_conf_free(td_conf *conf)
{
    (void) conf;
}


void
td_db_init(td_db *db, const td_conf *conf)
{
    (void) db;
    (void) conf;
}


void
td_db_free(td_db *db)
{
    (void) db;
}


unsigned
td_db_fds(td_db *db, struct pollfd *fds)
{
    (void) db;
    (void) fds;

    if (ends_in_fds && work_of_test->stopping) {
        work_of_test->njobs = 0;
    }

    return 0;
}


int64_t
td_db_timer(const td_db *db)
{
    (void) db;
    return TD_NEVER;
}


void
td_db_turn(td_db *db)
{
    (void) db;
}


int
td_http_init(td_http *http)
{
    (void) http;
    return 0;
}


void
td_http_free(td_http *http)
{
    (void) http;
}


int
td_http_poll(td_http *http, struct pollfd *fds, unsigned n, int ms)
{
    (void) http;
    (void) fds;
    (void) n;
    polls++;
    longest = ms > longest ? ms : longest;
    return 0;
}


void
td_http_turn(td_http *http)
{
    (void) http;
}


void
td_work_init(td_work *work, const td_conf *conf, td_db *db, td_http *http)
{
    (void) work;
    (void) conf;
    (void) db;
    (void) http;
}


void
td_work_free(td_work *work)
{
    (void) work;
}


int64_t
td_work_timer(const td_work *work)
{
    (void) work;
    return TD_NEVER;
}


void
td_work_turn(td_work *work)
{
    (void) work;
}


void
td_work_stop(td_work *work)
{
    work->stopping = 1;
}


int
td_work_idle(const td_work *work)
{
    return work->njobs == 0;
}


static void
stop(td_work *work, unsigned jobs, long ms)
{
    int fd[2];
    td_db db = { 0 };
    td_http http = { 0 };
    td_conf conf = { .stop = ms };
    struct signalfd_siginfo info = { .ssi_signo = SIGTERM };

    memset(work, 0, sizeof(*work));
    work_of_test = work;
    work->njobs = jobs;
    polls = 0;
    longest = 0;

    assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
    assert_int_equal(write(fd[1], &info, sizeof(info)), sizeof(info));
    assert_int_equal(run(work, &db, &http, &conf, fd[0]), TD_OK);
    close(fd[0]);
    close(fd[1]);
}


/* What ends while batches go out is no more to be waited for. */
static void
test_ends(void **state)
{
    td_work work;

    (void) state;
    ends_in_fds = 1;
    stop(&work, 1, 20000);
    assert_int_equal(work.njobs, 0);
    assert_int_equal(polls, 1); /* the one that the signal came in by */

    ends_in_fds = 0;
    stop(&work, 0, 20000);
    assert_int_equal(polls, 1);
}


/* What doesn't end is waited for as long as was said. */
static void
test_waits(void **state)
{
    td_work work;

    (void) state;
    ends_in_fds = 0;
    stop(&work, 1, 50);
    assert_int_equal(work.njobs, 1);
    assert_true(polls > 1);
    assert_true(longest == WAIT_MAX); /* before it was asked to stop */
}


UNIT_MAIN(cmocka_unit_test(test_ends), cmocka_unit_test(test_waits))
