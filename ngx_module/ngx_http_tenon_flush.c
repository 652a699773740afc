/*
 * ngx_http_tenon_flush.c: brings what tenants have used from shared memory to
 * the database.
 *
 * Each worker's timer asks each second whether it is the one that flushes; one
 * of the node is. It sends what is sealed, on a connection of the pool that it
 * has to itself meanwhile, and goes on at once while there is more. Whatever
 * isn't known to have been written is sent again, at the next second, by
 * whoever flushes then: same rows, same id, added once.
 *
 * A worker that exits leaves that to the others. The last one has nobody to
 * leave it to: it brings the rest itself, on a connection of its own, and waits
 * for it here, where there is no event loop any more, but not for long
 * (docs/adr/0029-counted-in-memory-flushed-by-id.md).
 */

#include "ngx_http_tenon_pool.h"

#include <poll.h>


#define NGX_HTTP_TENON_FLUSH_INTERVAL 1000
/* What an exit may take. A master that was told to stop fast kills its workers
 * some 1.5 seconds later. */
#define NGX_HTTP_TENON_FLUSH_STOP  1000
#define NGX_HTTP_TENON_FLUSH_QUIT  2000
#define NGX_HTTP_TENON_FLUSH_PAUSE 100
/* a failure that goes by itself is nobody's business before so many rounds */
#define NGX_HTTP_TENON_FLUSH_PATIENCE 5


struct ngx_http_tenon_flusher_s {
    ngx_http_tenon_main_conf_t *conf;
    ngx_log_t *log;
    ngx_http_tenon_meters_t *meters;
    ngx_event_t timer;
    ngx_uint_t failures; /* in a row */
    ngx_pool_t *pool;    /* holds the batch under way; NULL: there is none */
    ngx_http_tenon_sealed_t sealed;
};


static void ngx_http_tenon_flush_timer(ngx_event_t *ev);
static void ngx_http_tenon_flush_send(ngx_http_tenon_flusher_t *flusher);
static const tn_batch *
ngx_http_tenon_flush_batch(ngx_http_tenon_flusher_t *flusher);
static void *ngx_http_tenon_flush_alloc(void *self, size_t n);
static void
ngx_http_tenon_flush_sent(ngx_http_tenon_pool_t *pool, const tn_reply *reply);
static ngx_int_t ngx_http_tenon_flush_settle(ngx_http_tenon_flusher_t *flusher,
                                             const tn_reply *reply);
static void ngx_http_tenon_flush_lasts(ngx_http_tenon_flusher_t *flusher);
static void ngx_http_tenon_flush_refused(ngx_http_tenon_flusher_t *flusher,
                                         const tn_reply *reply, ngx_int_t rc);
static void
ngx_http_tenon_flush_all(ngx_http_tenon_flusher_t *flusher, ngx_msec_t end);
static ngx_int_t
ngx_http_tenon_flush_now(ngx_http_tenon_flusher_t *flusher, tn_pg **pg,
                         const tn_batch *batch, ngx_msec_t end);
static ngx_int_t
ngx_http_tenon_flush_turn(tn_pg *pg, ngx_msec_t time, ngx_msec_t end);
static void ngx_http_tenon_flush_drop(ngx_http_tenon_flusher_t *flusher);


ngx_int_t
ngx_http_tenon_flush_init(ngx_http_tenon_main_conf_t *conf, ngx_cycle_t *cycle)
{
    ngx_http_tenon_flusher_t *flusher;

    flusher = ngx_pcalloc(cycle->pool, sizeof(ngx_http_tenon_flusher_t));
    if (flusher == NULL) {
        return NGX_ERROR;
    }

    flusher->conf = conf;
    flusher->log = cycle->log;
    flusher->meters = ngx_http_tenon_zone_meters(conf->zone);

    flusher->timer.handler = ngx_http_tenon_flush_timer;
    flusher->timer.data = flusher;
    flusher->timer.log = cycle->log;
    flusher->timer.cancelable = 1;

    conf->worker->flusher = flusher;

    ngx_http_tenon_meters_join(flusher->meters);

    ngx_add_timer(&flusher->timer, NGX_HTTP_TENON_FLUSH_INTERVAL);

    return NGX_OK;
}


static void
ngx_http_tenon_flush_timer(ngx_event_t *ev)
{
    ngx_http_tenon_flusher_t *flusher;

    flusher = ev->data;

    ngx_add_timer(&flusher->timer, NGX_HTTP_TENON_FLUSH_INTERVAL);

    if (ngx_exiting && flusher->conf->worker->pool->njoined == 0) {
        /* it connects for requests only, and may live long with the last one */
        ngx_http_tenon_meters_yield(flusher->meters);
        return;
    }

    if (ngx_http_tenon_meters_lead(flusher->meters) && flusher->pool == NULL) {
        ngx_http_tenon_flush_send(flusher);
    }
}


static void
ngx_http_tenon_flush_send(ngx_http_tenon_flusher_t *flusher)
{
    ngx_int_t rc;
    const tn_batch *batch;
    ngx_http_tenon_pool_t *pool;

    pool = flusher->conf->worker->pool;

    batch = ngx_http_tenon_flush_batch(flusher);

    if (batch == NULL) {
        return;
    }

    /* without a connection it would wait, for what may not come */

    rc = pool->njoined ? ngx_http_tenon_pool_run(pool, batch, 1,
                                                 ngx_http_tenon_flush_sent)
                       : NGX_ERROR;

    if (rc != NGX_OK) {
        (void) ngx_http_tenon_meters_refused(flusher->meters, &flusher->sealed,
                                             0);
        ngx_http_tenon_flush_lasts(flusher);
        ngx_http_tenon_flush_drop(flusher);
    }
}


/* NULL: there is nothing to flush, or no way to. */
static const tn_batch *
ngx_http_tenon_flush_batch(ngx_http_tenon_flusher_t *flusher)
{
    u_char id[TN_USAGE_ID_LEN];
    tn_mem mem;
    const tn_batch *batch;
    ngx_http_tenon_sealed_t *sealed;

    sealed = &flusher->sealed;

    flusher->pool = ngx_create_pool(16384, flusher->log);
    if (flusher->pool == NULL) {
        return NULL;
    }

    mem.alloc = ngx_http_tenon_flush_alloc;
    mem.self = flusher->pool;

    if (ngx_http_tenon_random(flusher->conf->worker->random, id, sizeof(id)) ==
            NGX_OK &&
        ngx_http_tenon_meters_seal(flusher->meters, sealed, id) == NGX_OK) {

        if (tn_usage_flush(&batch, sealed->id, sealed->rows,
                           (unsigned) sealed->n, &mem) == TN_OK) {
            return batch;
        }

        (void) ngx_http_tenon_meters_refused(flusher->meters, sealed, 1);
        ngx_http_tenon_flush_lasts(flusher);
    }

    ngx_http_tenon_flush_drop(flusher);

    return NULL;
}


static void *
ngx_http_tenon_flush_alloc(void *self, size_t n)
{
    return ngx_palloc(self, n);
}


static void
ngx_http_tenon_flush_drop(ngx_http_tenon_flusher_t *flusher)
{
    ngx_destroy_pool(flusher->pool);
    flusher->pool = NULL;
}


static void
ngx_http_tenon_flush_sent(ngx_http_tenon_pool_t *pool, const tn_reply *reply)
{
    ngx_int_t rc;
    ngx_http_tenon_flusher_t *flusher;

    flusher = pool->conf->worker->flusher;

    rc = ngx_http_tenon_flush_settle(flusher, reply);

    ngx_http_tenon_flush_drop(flusher);

    if (rc == NGX_OK) {
        ngx_http_tenon_flush_send(flusher);
    }
}


/* NGX_OK: there may be more to flush at once; NGX_DONE: that is done. */
static ngx_int_t
ngx_http_tenon_flush_settle(ngx_http_tenon_flusher_t *flusher,
                            const tn_reply *reply)
{
    int64_t totals[TN_USAGE_FLUSH_MAX];
    ngx_int_t rc;
    ngx_http_tenon_sealed_t *sealed;

    sealed = &flusher->sealed;

    if (tn_usage_flushed(totals, (unsigned) sealed->n, reply)) {

        if (flusher->failures >= NGX_HTTP_TENON_FLUSH_PATIENCE) {
            ngx_log_error(NGX_LOG_NOTICE, flusher->log, 0,
                          "tenon: usage reaches the database again");
        }

        flusher->failures = 0;

        return ngx_http_tenon_meters_settle(flusher->meters, sealed, totals);
    }

    switch (reply->outcome) {

    case TN_DB_BUSY:
    case TN_DB_DOWN:
        (void) ngx_http_tenon_meters_refused(flusher->meters, sealed, 0);
        break;

    case TN_DB_ERROR:
        rc = ngx_http_tenon_meters_refused(flusher->meters, sealed, 1);
        ngx_http_tenon_flush_refused(flusher, reply, rc);
        return rc;

    default:
        break;
    }

    ngx_http_tenon_flush_lasts(flusher);

    return NGX_AGAIN;
}


/* What the pool says itself (no connection, no answer) is said here only when
 * it lasts. */
static void
ngx_http_tenon_flush_lasts(ngx_http_tenon_flusher_t *flusher)
{
    ngx_uint_t n;

    n = ++flusher->failures;

    if (n == NGX_HTTP_TENON_FLUSH_PATIENCE || n % 60 == 0) {
        ngx_log_error(NGX_LOG_WARN, flusher->log, 0,
                      "tenon: usage hasn't reached the database for %ui "
                      "rounds, it is kept and sent again",
                      n);
    }
}


/* An error is said at once, each minute, and when it is known whose it is. */
static void
ngx_http_tenon_flush_refused(ngx_http_tenon_flusher_t *flusher,
                             const tn_reply *reply, ngx_int_t rc)
{
    u_char id[2 * 16];
    tn_str why;
    tn_usage *row;
    ngx_uint_t n;

    n = ++flusher->failures;
    row = &flusher->sealed.rows[0];
    why = reply->message;

    if (rc == NGX_DONE && n < 60) {
        ngx_hex_dump(id, row->tenant, 16);
        ngx_log_error(NGX_LOG_ERR, flusher->log, 0,
                      "tenon: usage of tenant %*s, \"%s\", is refused by the "
                      "database; it is kept and tried again: %*s",
                      sizeof(id), id, row->name, why.n, why.p);

    } else if (ngx_http_tenon_loud(n)) {
        ngx_log_error(NGX_LOG_ERR, flusher->log, 0,
                      "tenon: usage is refused by the database, it is kept and "
                      "sent again: %*s",
                      why.n, why.p);
    }
}


void
ngx_http_tenon_flush_done(ngx_http_tenon_main_conf_t *conf)
{
    int64_t units;
    ngx_uint_t counters;
    ngx_msec_t begun, time;
    ngx_http_tenon_flusher_t *flusher;

    flusher = conf->worker->flusher;

    if (flusher == NULL) {
        return;
    }

    if (flusher->timer.timer_set) {
        ngx_del_timer(&flusher->timer);
    }

    if (flusher->pool) {
        ngx_http_tenon_flush_drop(flusher);
    }

    if (ngx_http_tenon_meters_leave(flusher->meters)) {
        return;
    }

    ngx_time_update();
    begun = ngx_current_msec;
    time =
        ngx_terminate ? NGX_HTTP_TENON_FLUSH_STOP : NGX_HTTP_TENON_FLUSH_QUIT;

    ngx_http_tenon_flush_all(flusher, begun + time);

    (void) ngx_http_tenon_meters_leave(flusher->meters);

    units = ngx_http_tenon_meters_left(flusher->meters, &counters);

    if (units) {
        ngx_log_error(NGX_LOG_ERR, flusher->log, 0,
                      "tenon: %L units of %ui counters are lost: the database "
                      "didn't take them in %M ms",
                      units, counters, ngx_current_msec - begun);
    }
}


/* Until there is nothing left to flush, or it is `end`. */
static void
ngx_http_tenon_flush_all(ngx_http_tenon_flusher_t *flusher, ngx_msec_t end)
{
    tn_pg *pg;
    ngx_int_t rc;
    const tn_batch *batch;

    pg = NULL;

    do {
        rc = NGX_AGAIN;

        if (ngx_http_tenon_meters_lead(flusher->meters)) {

            batch = ngx_http_tenon_flush_batch(flusher);
            if (batch == NULL) {
                break;
            }

            rc = ngx_http_tenon_flush_now(flusher, &pg, batch, end);

            ngx_http_tenon_flush_drop(flusher);
        }

        /* another worker flushes, though it isn't on the list of them, or the
         * database is about to come back */

    } while (rc == NGX_OK || rc == NGX_DONE ||
             ngx_http_tenon_flush_turn(NULL, NGX_HTTP_TENON_FLUSH_PAUSE, end) ==
                 NGX_OK);

    if (pg) {
        tn_pg_free(pg);
    }
}


/* As ngx_http_tenon_flush_settle(). */
static ngx_int_t
ngx_http_tenon_flush_now(ngx_http_tenon_flusher_t *flusher, tn_pg **pg,
                         const tn_batch *batch, ngx_msec_t end)
{
    int retry;
    void *tag;
    ngx_int_t rc;
    tn_pg_conf conf;
    const tn_reply *reply;

    if (*pg == NULL) {
        ngx_memzero(&conf, sizeof(tn_pg_conf));

        conf.conninfo = (char *) flusher->conf->database.data;
        conf.max_depth = 1;
        conf.unprepared = !flusher->conf->prepare;

        if (tn_pg_new(pg, &conf) != TN_OK) {
            *pg = NULL;
            return NGX_AGAIN;
        }
    }

    rc = NGX_AGAIN;

    do {
        if (tn_pg_get_state(*pg) == TN_PG_READY && tn_pg_depth(*pg) == 0 &&
            tn_pg_send(*pg, batch, NULL) != TN_OK) {
            break;
        }

        if (tn_pg_next(*pg, &tag, &reply, &retry)) {
            rc = ngx_http_tenon_flush_settle(flusher, reply);
            break;
        }

    } while (tn_pg_get_state(*pg) != TN_PG_DEAD &&
             ngx_http_tenon_flush_turn(*pg, end - ngx_current_msec, end) ==
                 NGX_OK);

    if (tn_pg_get_state(*pg) != TN_PG_READY || tn_pg_depth(*pg)) {
        tn_pg_free(*pg);
        *pg = NULL;
    }

    return rc;
}


/* Waits for the connection, if there is one, so many milliseconds at most.
 * NGX_DECLINED: it is `end`. */
static ngx_int_t
ngx_http_tenon_flush_turn(tn_pg *pg, ngx_msec_t time, ngx_msec_t end)
{
    int n;
    unsigned ready, wants;
    struct pollfd pfd;

    ngx_time_update();

    if ((ngx_msec_int_t) (end - ngx_current_msec) <= 0) {
        return NGX_DECLINED;
    }

    if (pg && tn_pg_more(pg)) {
        tn_pg_io(pg, 0);
        return NGX_OK;
    }

    wants = pg ? tn_pg_wants(pg) : 0;

    pfd.fd = pg ? tn_pg_fd(pg) : -1;
    pfd.events =
        (wants & TN_PG_READ ? POLLIN : 0) | (wants & TN_PG_WRITE ? POLLOUT : 0);
    pfd.revents = 0;

    n = poll(&pfd, 1, (int) ngx_min(time, end - ngx_current_msec));

    ngx_time_update();

    if (n == 1) {
        ready = (pfd.revents & POLLIN ? TN_PG_READ : 0) |
                (pfd.revents & POLLOUT ? TN_PG_WRITE : 0) |
                (pfd.revents & (POLLHUP | POLLERR) ? wants : 0);

        tn_pg_io(pg, ready);
    }

    return NGX_OK;
}
