/*
 * main.c: tenond, the program that does what requests leave to be done. One
 * loop; SIGTERM and SIGINT end it when what is under way is done.
 */

#include "tenond.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MAX 60000 /* ms */


int64_t
td_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int64_t
td_wall(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


void
td_random(void *out, size_t n)
{
    char *p = out;
    ssize_t got;

    while (n) {
        got = getrandom(p, n, 0);

        if (got < 0 && errno != EINTR) {
            td_log(TD_ERROR, "no random bytes: %s", strerror(errno));
            exit(TD_FAILED);
        }

        if (got > 0) {
            p += got;
            n -= (size_t) got;
        }
    }
}


int64_t
td_jitter(int64_t ms)
{
    uint32_t random;

    td_random(&random, sizeof(random));

    return ms / 2 + (int64_t) (random % (uint64_t) (ms + 1));
}


/* What asks to stop comes in as a descriptor; nothing interrupts a call. */
static int
signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);

    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}


static int
wait_ms(int64_t until)
{
    int64_t ms;

    ms = until == TD_NEVER ? WAIT_MAX : until - td_now();

    return ms < 0 ? 0 : ms > WAIT_MAX ? WAIT_MAX : (int) ms;
}


static int64_t
sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}


/* Until asked to stop, and what is under way is done or its time is over. */
static int
run(td_work *work, td_db *db, td_http *http, const td_conf *conf, int stop_fd)
{
    int ms;
    unsigned n;
    int64_t stop_at = TD_NEVER;
    struct pollfd fds[TD_FDS_MAX];
    struct signalfd_siginfo info;

    for (;;) {
        td_work_turn(work);

        /* Batches go out, and one whose time is over ends: then its job, too. */
        fds[0] = (struct pollfd){ .fd = stop_fd, .events = POLLIN };
        n = 1 + td_db_fds(db, fds + 1);

        if (work->stopping && td_work_idle(work)) {
            td_log(TD_NOTICE, "stopped");
            return TD_OK;
        }

        if (td_now() >= stop_at) {
            td_log(TD_WARN,
                   "stopped with %u jobs under way: their leases "
                   "will run out",
                   work->njobs);
            return TD_OK;
        }

        ms = wait_ms(
            sooner(stop_at, sooner(td_db_timer(db), td_work_timer(work))));

        if (td_http_poll(http, fds, n, ms) != 0) {
            td_log(TD_ERROR, "the loop can't wait");
            return TD_FAILED;
        }

        if (read(stop_fd, &info, sizeof(info)) == (ssize_t) sizeof(info) &&
            !work->stopping) {
            td_log(TD_NOTICE, "asked to stop");
            td_work_stop(work);
            stop_at = td_now() + conf->stop;
        }

        td_db_turn(db);
        td_http_turn(http);
    }
}


int
main(int argc, char **argv)
{
    int rc, fd;
    td_conf conf;
    td_db db;
    td_http http;
    td_work work;

    rc = td_conf_read(&conf, argc, argv);

    if (rc != 0 || conf.check) {
        if (rc == 0) {
            fputs("tenond: the settings are fine\n", stderr);
        }

        td_conf_free(&conf);
        return rc == 0 ? TD_OK : rc - 1;
    }

    td_log_level = (td_level) conf.level;

    fd = signals();
    if (fd < 0) {
        td_log(TD_ERROR, "signalfd: %s", strerror(errno));
        td_conf_free(&conf);
        return TD_FAILED;
    }

    if (td_http_init(&http) != 0) {
        td_log(TD_ERROR, "libcurl can't be used");
        td_conf_free(&conf);
        return TD_FAILED;
    }

    td_db_init(&db, &conf);
    td_work_init(&work, &conf, &db, &http);

    rc = run(&work, &db, &http, &conf, fd);

    td_http_free(&http);
    td_db_free(&db);
    td_work_free(&work);
    td_conf_free(&conf);
    close(fd);

    return rc;
}
