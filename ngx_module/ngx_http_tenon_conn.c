/*
 * ngx_http_tenon_conn.c: the life of one PostgreSQL connection: opened, joined,
 * used, lost, replaced. The first one of a worker reads the catalogue; those
 * after it prepare its statements before they join. When one of them can't be
 * prepared (a table is gone, or locked by a load), the rest must be served all
 * the same: the connection joins with what it has, and parses the others as
 * they come. When the server takes longer over it than tenon_connect_timeout,
 * the next one prepares nothing.
 */

#include "ngx_http_tenon_pool.h"


#define NGX_HTTP_TENON_BACKOFF_MIN 50
#define NGX_HTTP_TENON_BACKOFF_MAX 1000
/* a connection that lived shorter than this counts as a failure */
#define NGX_HTTP_TENON_STABLE 1000
/* how long none is prepared after one that took too long to be */
#define NGX_HTTP_TENON_BARE 30000


static ngx_uint_t ngx_http_tenon_conn_bare(ngx_http_tenon_pool_t *pool);
static void ngx_http_tenon_conn_timeout(ngx_event_t *ev);
static ngx_http_tenon_batch_t *
ngx_http_tenon_conn_overdue(ngx_http_tenon_conn_t *conn);
static void ngx_http_tenon_conn_drain(ngx_http_tenon_conn_t *conn);
static void ngx_http_tenon_conn_advance(ngx_http_tenon_conn_t *conn);
static void ngx_http_tenon_conn_join(ngx_http_tenon_conn_t *conn);
static void
ngx_http_tenon_conn_lost(ngx_http_tenon_conn_t *conn, const char *why);
static void ngx_http_tenon_conn_set_timer(ngx_http_tenon_conn_t *conn);
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
    conf.unprepared = !pool->conf->prepare;

    conn->joined = 0;
    conn->alone = 0;
    conn->slow = 0;
    conn->broken = 0;
    conn->bare = ngx_http_tenon_conn_bare(pool);
    conn->loading = (pool->catalogue.current == NULL);
    conn->epoch = pool->catalogue.epoch;

    if (!conn->loading) {
        tn_catalogue_statements(&list, &n, pool->catalogue.current);
        conf.prepare = list;
        conf.nprepare = conn->bare ? 0 : n;
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


/* Preparing took too long just now. */
static ngx_uint_t
ngx_http_tenon_conn_bare(ngx_http_tenon_pool_t *pool)
{
    ngx_msec_t until;

    until = pool->catalogue.bare;

    return until && (ngx_msec_int_t) (until - ngx_current_msec) > 0;
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

    conn->alone = batch->alone;
    conn->slow = batch->slow;
    batch->expires = ngx_current_msec + conn->pool->conf->timeout;

    if (conn->c) {
        conn->c->idle = 0;
    }

    if (!conn->timer.timer_set) {
        conn->timer.cancelable = 1;
        ngx_add_timer(&conn->timer, conn->pool->conf->timeout);
    }

    if (batch->handler == NULL) {
        /* somebody waits for it: it keeps an exiting worker alive */
        conn->timer.cancelable = 0;
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
    ngx_http_tenon_catalogue_replace(pool);

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
            /* has nothing prepared: makes room for one that has */
            conn->broken = 1;
            ngx_http_tenon_catalogue_loaded(conn->pool, reply);
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

    ngx_http_tenon_conn_log_back(pool);
    ngx_http_tenon_conn_log_lacks(conn);

    if (pool->retry.timer_set) {
        ngx_del_timer(&pool->retry);
    }

    ngx_http_tenon_conn_fill(pool);
}


/* The connection is of no more use: its batches learn that, the slot becomes
 * free, and somebody connects again. */
static void
ngx_http_tenon_conn_lost(ngx_http_tenon_conn_t *conn, const char *why)
{
    ngx_queue_t *q, flight;
    ngx_uint_t loaded, refused, joined, early;
    ngx_http_tenon_pool_t *pool;

    pool = conn->pool;

    joined = conn->joined;
    loaded = conn->loading && pool->catalogue.current;
    refused = conn->loading && conn->broken;
    early = joined && ngx_current_msec - conn->since < NGX_HTTP_TENON_STABLE;

    if (!loaded) {
        if (!joined || early) {
            pool->failures++;
        }

        /* a server that takes connections and drops them at once has "come
         * back" each time: back off from that as well */

        pool->early = early ? pool->early + 1 : joined ? 0 : pool->early;

        if (!refused) {
            ngx_http_tenon_conn_log_lost(conn, why, early);
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
        ngx_http_tenon_conn_log_back(pool);
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

    conn->timer.cancelable = 1;

    for (q = ngx_queue_last(&conn->flight);
         q != ngx_queue_sentinel(&conn->flight); q = ngx_queue_prev(q)) {
        batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

        if (batch->handler == NULL) {
            conn->timer.cancelable = 0;
        }
    }

    q = ngx_queue_head(&conn->flight);
    batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

    left = (ngx_msec_int_t) (batch->expires - ngx_current_msec);

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

    if (tn_pg_get_state(conn->pg) == TN_PG_PREPARING) {
        pool->catalogue.bare = ngx_current_msec + NGX_HTTP_TENON_BARE;
        ngx_http_tenon_conn_lost(conn, "timed out preparing its statements");

    } else {
        ngx_http_tenon_conn_lost(conn, "timed out");
    }

    pool->busy = 0;

    ngx_http_tenon_pool_pump(pool);
}
