/*
 * driver.h: the smallest host: poll(2), level-triggered. It does what pg.h
 * says and no more, so these tests also prove that pg.h says enough.
 */

#ifndef TENON_T_DRIVER_H
#define TENON_T_DRIVER_H

#include <tenon/pg.h>

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define DEADLINE 30.0 /* seconds that anything may take */

#define STMT(text, query, count)                                           \
    {                                                                      \
        .name = TN_STR_C(text), .sql = TN_STR_C(query), .nparams = (count) \
    }


static inline double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static inline const char *
conninfo(void)
{
    const char *s = getenv("TENON_CONNINFO");

    return s ? s : "";
}


/* Without a server there is nothing to test: NAME.t starts one and runs us. */
static inline int
skipped(void)
{
    if (getenv("TENON_CONNINFO") != NULL) {
        return 0;
    }

    printf("1..0 # SKIP the .t of this name runs it\n");
    return 1;
}


/* Waits once and hands over what the descriptor is ready for. */
static inline void
turn(tn_pg *pg)
{
    struct pollfd pfd;
    unsigned ready, wants;

    if (tn_pg_more(pg)) {
        tn_pg_io(pg, 0);
        return;
    }

    if (tn_pg_fd(pg) < 0) {
        return;
    }

    wants = tn_pg_wants(pg);
    pfd.fd = tn_pg_fd(pg);
    pfd.events = (short) ((wants & TN_PG_READ ? POLLIN : 0) |
                          (wants & TN_PG_WRITE ? POLLOUT : 0));
    pfd.revents = 0;

    if (poll(&pfd, 1, 1000) <= 0) {
        return;
    }

    ready = (pfd.revents & POLLIN ? TN_PG_READ : 0) |
            (pfd.revents & POLLOUT ? TN_PG_WRITE : 0) |
            (pfd.revents & (POLLHUP | POLLERR) ? wants : 0);

    tn_pg_io(pg, ready);
}


/* Until the handshake and the preparing are over, well or badly. */
static inline tn_pg_state
settle(tn_pg *pg)
{
    double end = now() + DEADLINE;

    while (tn_pg_get_state(pg) < TN_PG_READY) {
        assert_true(now() < end);
        turn(pg);
    }

    return tn_pg_get_state(pg);
}


static inline tn_pg *
open_with(const char *info, unsigned depth, unsigned max_statements,
          const tn_stmt *const *prepare, unsigned nprepare)
{
    tn_pg *pg;
    tn_pg_conf conf = { info, prepare, nprepare, depth, max_statements, 0 };

    assert_int_equal(tn_pg_new(&pg, &conf), TN_OK);
    settle(pg);
    return pg;
}


static inline tn_pg *
open_depth(unsigned depth)
{
    tn_pg *pg = open_with(conninfo(), depth, 0, NULL, 0);

    if (tn_pg_get_state(pg) != TN_PG_READY) {
        fail_msg("not ready: %s", tn_pg_error(pg).p);
    }

    return pg;
}


/* The next finished batch; NULL when there will be none. */
static inline const tn_reply *
await(tn_pg *pg, void **tag, int *retry)
{
    double end = now() + DEADLINE;
    const tn_reply *reply;

    while (!tn_pg_next(pg, tag, &reply, retry)) {
        if (tn_pg_depth(pg) == 0) {
            return NULL;
        }
        assert_true(now() < end);
        turn(pg);
    }

    return reply;
}


static inline tn_err
send_one(tn_pg *pg, const tn_stmt *stmt, const tn_str *params, int writes,
         void *tag)
{
    tn_query query = { stmt, params };
    tn_batch batch = { .queries = &query, .n = 1, .writes = writes != 0 };

    return tn_pg_send(pg, &batch, tag);
}


/* One statement, waited for. */
static inline const tn_reply *
ask(tn_pg *pg, const tn_stmt *stmt, const tn_str *params)
{
    int retry;
    void *tag;

    assert_int_equal(send_one(pg, stmt, params, 0, NULL), TN_OK);
    return await(pg, &tag, &retry);
}


static inline void
must(tn_pg *pg, const tn_stmt *stmt)
{
    const tn_reply *reply = ask(pg, stmt, NULL);

    assert_non_null(reply);
    if (reply->outcome != TN_DB_OK) {
        fail_msg("%.*s: %.*s", (int) stmt->sql.n, stmt->sql.p,
                 (int) reply->message.n, reply->message.p);
    }
}


/* The first cell of a statement's rows as a NUL-terminated copy, in static
 * memory. */
static inline const char *
cell(const tn_reply *reply, unsigned statement, unsigned i)
{
    static char copy[256];
    tn_str s;

    assert_int_equal(reply->outcome, TN_DB_OK);
    assert_true(statement < reply->n);
    assert_true(i <
                reply->rows[statement].nrows * reply->rows[statement].ncols);

    s = reply->rows[statement].cells[i];
    assert_non_null(s.p);
    snprintf(copy, sizeof(copy), "%.*s", (int) s.n, s.p);
    return copy;
}


/* What a fresh connection gets for a statement. */
static inline int
ask_fresh(const tn_stmt *stmt)
{
    int n;
    tn_pg *pg = open_depth(1);

    n = (int) strtol(cell(ask(pg, stmt, NULL), 0, 0), NULL, 10);
    tn_pg_free(pg);
    return n;
}

#endif
