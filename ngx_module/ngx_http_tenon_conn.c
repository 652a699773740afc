/*
 * ngx_http_tenon_conn.c: the life of one PostgreSQL connection: opened, joined,
 * used, lost, replaced. The first one of a worker reads the catalogue; those
 * after it prepare its statements before they join.
 */

#include "ngx_http_tenon_pool.h"


#define NGX_HTTP_TENON_BACKOFF_MIN 50
#define NGX_HTTP_TENON_BACKOFF_MAX 1000
/* a connection that lived shorter than this counts as a failure */
#define NGX_HTTP_TENON_STABLE 1000
/* of the failures in a row, these are worth an operator's attention */
#define ngx_http_tenon_loud(n) ((n) == 1 || (n) % 60 == 0)


static void ngx_http_tenon_conn_timeout(ngx_event_t *ev);
static ngx_http_tenon_batch_t *
ngx_http_tenon_conn_overdue(ngx_http_tenon_conn_t *conn);
static void ngx_http_tenon_conn_drain(ngx_http_tenon_conn_t *conn);
static void ngx_http_tenon_conn_advance(ngx_http_tenon_conn_t *conn);
static void ngx_http_tenon_conn_join(ngx_http_tenon_conn_t *conn);
static void
ngx_http_tenon_conn_lost(ngx_http_tenon_conn_t *conn, const char *why);
static void ngx_http_tenon_conn_catalogue(ngx_http_tenon_conn_t *conn,
                                          const tn_reply *reply);
static void ngx_http_tenon_conn_set_timer(ngx_http_tenon_conn_t *conn);
static void ngx_http_tenon_conn_recovered(ngx_http_tenon_pool_t *pool);
static tn_str ngx_http_tenon_first_line(tn_str s);
static void ngx_http_tenon_conn_backoff(ngx_http_tenon_pool_t *pool);


void
ngx_http_tenon_conn_init(ngx_http_tenon_pool_t *pool,
                         ngx_http_tenon_conn_t *conn)
{
    conn->pool = pool;

    ngx_queue_init(&conn->flight);

    conn->timer.handler = ngx_http_tenon_conn_timeout;
    conn->timer.data = conn;
    conn->timer.log = pool->log;

    conn->kick.handler = ngx_http_tenon_conn_kick;
    conn->kick.data = conn;
    conn->kick.log = pool->log;
}


void
ngx_http_tenon_conn_fill(ngx_http_tenon_pool_t *pool)
{
    ngx_int_t i, want;

    if (pool->retry.timer_set) {
        return;
    }

    /* one goes ahead; an exiting worker connects only for who waits */

    want = pool->njoined ? pool->conf->pool_size : 1;

    if (ngx_exiting) {
        want = pool->nqueued ? 1 : 0;
    }

    for (i = 0; i < pool->conf->pool_size; i++) {
        if (pool->conns[i].pg) {
            want--;
        }
    }

    for (i = 0; want > 0 && i < pool->conf->pool_size; i++) {
        if (pool->conns[i].pg == NULL) {
            ngx_http_tenon_conn_open(&pool->conns[i]);
            want--;
        }
    }
}


void
ngx_http_tenon_conn_open(ngx_http_tenon_conn_t *conn)
{
    unsigned n;
    tn_pg_conf conf;
    ngx_http_tenon_pool_t *pool;
    const tn_stmt *const *list;

    pool = conn->pool;

    ngx_memzero(&conf, sizeof(tn_pg_conf));

    conf.conninfo = (char *) pool->conf->database.data;
    conf.max_depth = NGX_HTTP_TENON_DEPTH;

    conn->joined = 0;
    conn->alone = 0;
    conn->slow = 0;
    conn->broken = 0;
    conn->loading = (pool->catalogue == NULL);

    if (!conn->loading) {
        tn_catalogue_statements(&list, &n, pool->catalogue);
        conf.prepare = list;
        conf.nprepare = n;
        conf.max_statements = n + 256;
    }

    if (tn_pg_new(&conn->pg, &conf) != TN_OK) {
        pool->failures++;
        ngx_http_tenon_conn_backoff(pool);
        return;
    }

    conn->timer.cancelable = 1;
    ngx_add_timer(&conn->timer, pool->conf->connect_timeout);

    ngx_http_tenon_conn_watch(conn);
}


/* Closes without a word to those whose batches are in flight. */
void
ngx_http_tenon_conn_close(ngx_http_tenon_conn_t *conn)
{
    if (conn->pg == NULL) {
        return;
    }

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (conn->kick.posted) {
        ngx_delete_posted_event(&conn->kick);
    }

    ngx_http_tenon_conn_unwatch(conn);

    if (conn->joined) {
        conn->joined = 0;
        conn->pool->njoined--;
    }

    tn_pg_free(conn->pg);
    conn->pg = NULL;
}


ngx_int_t
ngx_http_tenon_conn_send(ngx_http_tenon_conn_t *conn,
                         ngx_http_tenon_batch_t *batch)
{
    tn_err err;

    err = tn_pg_send(conn->pg, batch->batch, batch);

    if (err == TN_E_UNAVAILABLE ||
        (err != TN_OK && tn_pg_get_state(conn->pg) == TN_PG_DEAD)) {
        conn->broken = 1;
        return NGX_ERROR;
    }

    if (err != TN_OK) {
        return NGX_DECLINED;
    }

    conn->alone = batch->writes || batch->slow;
    conn->slow = batch->slow;
    batch->expires = ngx_current_msec + conn->pool->conf->timeout;

    if (conn->c) {
        conn->c->idle = 0;
    }

    if (!conn->timer.timer_set) {
        /* somebody waits for it: it keeps an exiting worker alive */
        conn->timer.cancelable = 0;
        ngx_add_timer(&conn->timer, conn->pool->conf->timeout);
    }

    return NGX_OK;
}


/* After anything that may have moved the machine. */
void
ngx_http_tenon_conn_process(ngx_http_tenon_conn_t *conn)
{
    ngx_http_tenon_pool_t *pool;

    pool = conn->pool;

    pool->busy = 1;

    ngx_http_tenon_conn_drain(conn);
    ngx_http_tenon_conn_advance(conn);

    pool->busy = 0;

    if (conn->pg) {
        ngx_http_tenon_conn_watch(conn);

        if (tn_pg_more(conn->pg)) {
            ngx_post_event(&conn->kick, &ngx_posted_next_events);
        }
    }

    ngx_http_tenon_pool_pump(pool);

    if (conn->pg && ngx_exiting && conn->joined &&
        ngx_queue_empty(&conn->flight)) {
        ngx_http_tenon_conn_close(conn);
    }
}


static void
ngx_http_tenon_conn_drain(ngx_http_tenon_conn_t *conn)
{
    int retry;
    void *tag;
    const tn_reply *reply;
    ngx_http_tenon_batch_t *batch;

    while (tn_pg_next(conn->pg, &tag, &reply, &retry)) {

        if (conn->loading) {
            ngx_http_tenon_conn_catalogue(conn, reply);
            continue;
        }

        batch = tag;
        conn->alone = 0;
        conn->slow = 0;

        ngx_http_tenon_batch_finish(batch, reply,
                                    retry || reply->outcome == TN_DB_UNKNOWN);
    }

    if (!conn->loading && conn->joined) {
        ngx_http_tenon_conn_set_timer(conn);
    }
}


/* One place decides what the state of the machine means for the pool. */
static void
ngx_http_tenon_conn_advance(ngx_http_tenon_conn_t *conn)
{
    if (conn->broken) {
        ngx_http_tenon_conn_lost(conn, "closed");
        return;
    }

    switch (tn_pg_get_state(conn->pg)) {

    case TN_PG_CONNECTING:
    case TN_PG_PREPARING:
        return;

    case TN_PG_READY:

        if (!conn->joined) {
            ngx_http_tenon_conn_join(conn);
        }

        return;

    case TN_PG_RETIRING:

        if (tn_pg_depth(conn->pg) == 0) {
            ngx_log_error(NGX_LOG_INFO, conn->pool->log, 0,
                          "tenon: database connection is replaced, "
                          "its statements are out of date");
            ngx_http_tenon_conn_close(conn);
            ngx_http_tenon_conn_fill(conn->pool);
        }

        return;

    case TN_PG_DEAD:
        ngx_http_tenon_conn_lost(conn, "lost");
        return;
    }
}


static void
ngx_http_tenon_conn_join(ngx_http_tenon_conn_t *conn)
{
    ngx_http_tenon_pool_t *pool;

    pool = conn->pool;

    if (conn->loading) {

        /* the connect timer goes on until the catalogue is there */

        if (tn_pg_depth(conn->pg) == 0 &&
            tn_pg_send(conn->pg, tn_catalogue_batch(), NULL) != TN_OK) {
            ngx_http_tenon_conn_lost(conn, "lost");
        }

        return;
    }

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    conn->joined = 1;
    conn->since = ngx_current_msec;
    pool->njoined++;

    ngx_http_tenon_conn_recovered(pool);

    if (pool->retry.timer_set) {
        ngx_del_timer(&pool->retry);
    }

    ngx_http_tenon_conn_fill(pool);
}


static void
ngx_http_tenon_conn_catalogue(ngx_http_tenon_conn_t *conn,
                              const tn_reply *reply)
{
    tn_str fault;
    ngx_uint_t level;
    tn_catalogue *cat;
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_worker_t *worker;

    pool = conn->pool;
    fault = TN_STR("not enough memory");
    worker = pool->conf->worker;

    conn->broken = 1; /* has nothing prepared: makes room for one that has */

    if (reply->outcome != TN_DB_OK) {
        fault = reply->message.n ? reply->message
                                 : TN_STR("the connection was lost");

    } else if (tn_catalogue_new(&cat, worker->core, reply, &fault) == TN_OK) {
        tn_core_adopt(worker->core, cat);
        pool->catalogue = cat;
        return;
    }

    level =
        ngx_http_tenon_loud(pool->failures + 1) ? NGX_LOG_ERR : NGX_LOG_INFO;

    ngx_log_error(level, pool->log, 0, "tenon: catalogue is not usable: %*s",
                  fault.n, fault.p);
}


/* The connection is of no more use: its batches learn that, the slot becomes
 * free, and somebody connects again. */
static void
ngx_http_tenon_conn_lost(ngx_http_tenon_conn_t *conn, const char *why)
{
    tn_str error;
    ngx_queue_t *q, flight;
    ngx_uint_t loaded, refused, joined, early, level;
    ngx_http_tenon_pool_t *pool;

    pool = conn->pool;

    joined = conn->joined;
    loaded = conn->loading && pool->catalogue;
    refused = conn->loading && conn->broken;
    early = joined && ngx_current_msec - conn->since < NGX_HTTP_TENON_STABLE;

    if (!loaded) {
        if (!joined || early) {
            pool->failures++;
        }

        /* a server that takes connections and drops them at once has "come
         * back" each time: back off from that as well */

        pool->early = early ? pool->early + 1 : joined ? 0 : pool->early;

        level = (joined && !early) || ngx_http_tenon_loud(
                                          early ? pool->early : pool->failures)
                    ? NGX_LOG_ERR
                    : NGX_LOG_INFO;
        error = ngx_http_tenon_first_line(tn_pg_error(conn->pg));

        if (!refused) {
            ngx_log_error(level, pool->log, 0,
                          "tenon: database connection %s%s%*s", why,
                          error.n ? ": " : "", error.n, error.n ? error.p : "");
        }
    }

    ngx_queue_init(&flight);

    if (!ngx_queue_empty(&conn->flight)) {
        ngx_queue_add(&flight, &conn->flight);
        ngx_queue_init(&conn->flight);
    }

    ngx_http_tenon_conn_close(conn);

    /* the youngest first: so reads go back to the queue in their order */

    while (!ngx_queue_empty(&flight)) {
        q = ngx_queue_last(&flight);
        ngx_http_tenon_batch_fail(
            ngx_queue_data(q, ngx_http_tenon_batch_t, queue), TN_DB_UNKNOWN);
    }

    if (loaded) {
        ngx_http_tenon_conn_recovered(pool);
        ngx_http_tenon_conn_fill(pool);
        ngx_http_tenon_cold_release(pool->conf->worker);
        return;
    }

    if (ngx_http_tenon_pool_down(pool)) {
        ngx_http_tenon_pool_fail_queue(pool, TN_DB_DOWN);
        ngx_http_tenon_cold_release(pool->conf->worker);
    }

    if (joined && !early) {
        ngx_http_tenon_conn_fill(pool);
        return;
    }

    ngx_http_tenon_conn_backoff(pool);
}


static void
ngx_http_tenon_conn_recovered(ngx_http_tenon_pool_t *pool)
{
    ngx_uint_t level;

    if (pool->failures) {
        level = pool->early ? NGX_LOG_INFO : NGX_LOG_NOTICE;
        ngx_log_error(level, pool->log, 0,
                      "tenon: database is back after %ui failed attempts",
                      pool->failures);
        pool->failures = 0;
    }
}


/* libpq explains at length; a log takes a line. */
static tn_str
ngx_http_tenon_first_line(tn_str s)
{
    u_char *p, *last;

    if (s.n) {
        p = (u_char *) s.p;
        last = ngx_strlchr(p, p + s.n, LF);
        s.n = last ? (size_t) (last - p) : s.n;
    }

    return s;
}


static void
ngx_http_tenon_conn_backoff(ngx_http_tenon_pool_t *pool)
{
    ngx_uint_t n;
    ngx_msec_t delay;

    if (pool->retry.timer_set) {
        return;
    }

    n = ngx_max(pool->failures, pool->early);
    delay = NGX_HTTP_TENON_BACKOFF_MIN << ngx_min(n - 1, 5);
    delay = ngx_min(delay, NGX_HTTP_TENON_BACKOFF_MAX);

    /* workers and nodes must not come all at once */

    delay = delay / 2 + ngx_random() % (delay / 2 + 1);

    ngx_add_timer(&pool->retry, delay);
}


static void
ngx_http_tenon_conn_set_timer(ngx_http_tenon_conn_t *conn)
{
    ngx_queue_t *q;
    ngx_msec_int_t left;
    ngx_http_tenon_batch_t *batch;

    if (ngx_queue_empty(&conn->flight)) {

        if (conn->timer.timer_set) {
            ngx_del_timer(&conn->timer);
        }

        return;
    }

    q = ngx_queue_head(&conn->flight);
    batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

    left = (ngx_msec_int_t) (batch->expires - ngx_current_msec);

    conn->timer.cancelable = 0;
    ngx_add_timer(&conn->timer, (ngx_msec_t) ngx_max(left, 1));
}


/* The oldest batch in flight, if its time is over. */
static ngx_http_tenon_batch_t *
ngx_http_tenon_conn_overdue(ngx_http_tenon_conn_t *conn)
{
    ngx_queue_t *q;
    ngx_http_tenon_batch_t *batch;

    if (ngx_queue_empty(&conn->flight)) {
        return NULL;
    }

    q = ngx_queue_head(&conn->flight);
    batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

    return (ngx_msec_int_t) (batch->expires - ngx_current_msec) > 0 ? NULL
                                                                    : batch;
}


static void
ngx_http_tenon_conn_timeout(ngx_event_t *ev)
{
    ngx_http_tenon_conn_t *conn;
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_batch_t *batch;

    conn = ev->data;
    pool = conn->pool;

    pool->busy = 1;

    if (conn->joined) {

        /* a worker that was held up itself finds answers that came in time */

        do {
            tn_pg_io(conn->pg, TN_PG_READ);
            ngx_http_tenon_conn_drain(conn);
        } while (tn_pg_more(conn->pg) &&
                 tn_pg_get_state(conn->pg) != TN_PG_DEAD);

        batch = ngx_http_tenon_conn_overdue(conn);

        if (batch == NULL) {
            ngx_http_tenon_conn_process(conn);
            return;
        }

        /* it has had its time: not even a read gets more */
        batch->retried = 1;
    }

    ngx_http_tenon_conn_lost(conn, "timed out");

    pool->busy = 0;

    ngx_http_tenon_pool_pump(pool);
}
