/*
 * ngx_http_tenon_pool.c: batches, and the bounded queue that they wait in.
 *
 * The queue is first in, first out. A read goes to an idle connection, else
 * behind other reads up to NGX_HTTP_TENON_DEPTH; a write has its connection
 * to itself, so that a lock that it waits for holds up nobody.
 */

#include "ngx_http_tenon_pool.h"


static ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose(ngx_http_tenon_pool_t *pool,
                           ngx_http_tenon_batch_t *batch);
static void ngx_http_tenon_pool_unqueue(ngx_http_tenon_batch_t *batch);
static void ngx_http_tenon_pool_timeout(ngx_event_t *ev);
static void ngx_http_tenon_pool_retry(ngx_event_t *ev);


static const tn_reply ngx_http_tenon_replies[] = {
    [TN_DB_ERROR] = { .outcome = TN_DB_ERROR },
    [TN_DB_BUSY] = { .outcome = TN_DB_BUSY },
    [TN_DB_DOWN] = { .outcome = TN_DB_DOWN },
    [TN_DB_UNKNOWN] = { .outcome = TN_DB_UNKNOWN },
};


ngx_int_t
ngx_http_tenon_pool_init(ngx_http_tenon_main_conf_t *conf, ngx_cycle_t *cycle)
{
    ngx_int_t i;
    ngx_http_tenon_pool_t *pool;

    pool = ngx_pcalloc(cycle->pool, sizeof(ngx_http_tenon_pool_t));
    if (pool == NULL) {
        return NGX_ERROR;
    }

    pool->conns = ngx_pcalloc(cycle->pool,
                              conf->pool_size * sizeof(ngx_http_tenon_conn_t));
    if (pool->conns == NULL) {
        return NGX_ERROR;
    }

    pool->conf = conf;
    pool->log = cycle->log;

    ngx_queue_init(&pool->queue);

    pool->timer.handler = ngx_http_tenon_pool_timeout;
    pool->timer.data = pool;
    pool->timer.log = cycle->log;

    pool->retry.handler = ngx_http_tenon_pool_retry;
    pool->retry.data = pool;
    pool->retry.log = cycle->log;
    pool->retry.cancelable = 1;

    for (i = 0; i < conf->pool_size; i++) {
        ngx_http_tenon_conn_init(pool, &pool->conns[i]);
    }

    conf->worker->pool = pool;

    ngx_http_tenon_conn_fill(pool);

    return NGX_OK;
}


/* The worker exits: nobody is left to be told. */
void
ngx_http_tenon_pool_done(ngx_http_tenon_pool_t *pool)
{
    ngx_int_t i;
    ngx_queue_t *q;
    ngx_http_tenon_conn_t *conn;
    ngx_http_tenon_batch_t *batch;

    if (pool == NULL) {
        return;
    }

    if (pool->timer.timer_set) {
        ngx_del_timer(&pool->timer);
    }

    if (pool->retry.timer_set) {
        ngx_del_timer(&pool->retry);
    }

    for (i = 0; i < pool->conf->pool_size; i++) {
        conn = &pool->conns[i];

        while (!ngx_queue_empty(&conn->flight)) {
            q = ngx_queue_head(&conn->flight);
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&pool->queue, q);
        }

        ngx_http_tenon_conn_close(conn);
    }

    while (!ngx_queue_empty(&pool->queue)) {
        q = ngx_queue_head(&pool->queue);
        batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

        if (batch->ctx) {
            batch->ctx->batch = NULL;
        }

        ngx_queue_remove(q);
        ngx_free(batch);
    }
}


ngx_int_t
ngx_http_tenon_pool_submit(ngx_http_tenon_ctx_t *ctx, const tn_batch *b)
{
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_batch_t *batch;

    pool = ctx->conf->worker->pool;

    ngx_memzero(&ctx->input, sizeof(tn_input));

    if (pool->njoined == 0 && pool->failures) {
        ctx->input.reply = &ngx_http_tenon_replies[TN_DB_DOWN];
        return NGX_OK;
    }

    if (pool->nqueued >= (ngx_uint_t) pool->conf->queue_size) {
        ctx->input.reply = &ngx_http_tenon_replies[TN_DB_BUSY];
        return NGX_OK;
    }

    batch = ngx_calloc(sizeof(ngx_http_tenon_batch_t),
                       ctx->request->connection->log);
    if (batch == NULL) {
        return NGX_ERROR;
    }

    batch->ctx = ctx;
    batch->pool = pool;
    batch->batch = b;
    batch->writes = b->writes;
    batch->deadline = ngx_current_msec + pool->conf->queue_timeout;

    ctx->batch = batch;

    ngx_queue_insert_tail(&pool->queue, &batch->queue);
    pool->nqueued++;

    ngx_http_tenon_pool_pump(pool);

    return NGX_AGAIN;
}


void
ngx_http_tenon_pool_abandon(ngx_http_tenon_batch_t *batch)
{
    batch->ctx = NULL;

    if (batch->conn == NULL) {
        ngx_http_tenon_pool_unqueue(batch);
        ngx_free(batch);
    }
}


/* Sends what can be sent; resumes nobody. */
void
ngx_http_tenon_pool_pump(ngx_http_tenon_pool_t *pool)
{
    ngx_queue_t *q;
    ngx_msec_int_t left;
    ngx_http_tenon_conn_t *conn;
    ngx_http_tenon_batch_t *batch;

    if (pool->busy) {
        return;
    }

    while (!ngx_queue_empty(&pool->queue)) {
        q = ngx_queue_head(&pool->queue);
        batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

        conn = ngx_http_tenon_pool_choose(pool, batch);
        if (conn == NULL) {
            break;
        }

        if (ngx_http_tenon_conn_send(conn, batch) == NGX_OK) {
            ngx_http_tenon_pool_unqueue(batch);
            batch->conn = conn;
            ngx_queue_insert_tail(&conn->flight, &batch->queue);
        }

        ngx_http_tenon_conn_watch(conn);
    }

    if (ngx_queue_empty(&pool->queue)) {
        return;
    }

    ngx_http_tenon_conn_fill(pool);

    if (!pool->timer.timer_set) {
        q = ngx_queue_head(&pool->queue);
        batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

        left = (ngx_msec_int_t) (batch->deadline - ngx_current_msec);
        ngx_add_timer(&pool->timer, (ngx_msec_t) ngx_max(left, 1));
    }
}


static ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose(ngx_http_tenon_pool_t *pool,
                           ngx_http_tenon_batch_t *batch)
{
    ngx_int_t i;
    unsigned depth, least;
    ngx_http_tenon_conn_t *conn, *best;

    best = NULL;
    least = NGX_HTTP_TENON_DEPTH;

    for (i = 0; i < pool->conf->pool_size; i++) {
        conn = &pool->conns[i];

        if (!conn->joined || conn->broken ||
            tn_pg_get_state(conn->pg) != TN_PG_READY) {
            continue;
        }

        depth = tn_pg_depth(conn->pg);

        if (depth == 0) {
            return conn;
        }

        if (!batch->writes && !conn->writing && depth < least) {
            best = conn;
            least = depth;
        }
    }

    return best;
}


void
ngx_http_tenon_batch_finish(ngx_http_tenon_batch_t *batch,
                            const tn_reply *reply, int retry)
{
    ngx_http_tenon_ctx_t *ctx;
    ngx_http_tenon_pool_t *pool;

    ctx = batch->ctx;
    pool = batch->pool;

    if (batch->conn) {
        ngx_queue_remove(&batch->queue);
        batch->conn = NULL;

    } else {
        ngx_http_tenon_pool_unqueue(batch);
    }

    if (ctx && retry && !batch->writes && !batch->retried) {
        batch->retried = 1;
        batch->deadline = ngx_current_msec + pool->conf->queue_timeout;

        ngx_queue_insert_head(&pool->queue, &batch->queue);
        pool->nqueued++;
        return;
    }

    ngx_free(batch);

    if (ctx == NULL) {
        return;
    }

    ctx->batch = NULL;

    ngx_memzero(&ctx->input, sizeof(tn_input));
    ctx->input.reply = reply;

    ngx_http_tenon_resume(ctx);
}


void
ngx_http_tenon_batch_fail(ngx_http_tenon_batch_t *batch, tn_db_outcome outcome)
{
    /* a lost read has done nothing: it may be sent again */

    ngx_http_tenon_batch_finish(batch, &ngx_http_tenon_replies[outcome],
                                outcome == TN_DB_UNKNOWN);
}


void
ngx_http_tenon_pool_fail_queue(ngx_http_tenon_pool_t *pool,
                               tn_db_outcome outcome)
{
    ngx_queue_t *q;
    ngx_uint_t n;

    /* those who come while the others are told have their own fate */

    for (n = pool->nqueued; n && !ngx_queue_empty(&pool->queue); n--) {
        q = ngx_queue_head(&pool->queue);
        ngx_http_tenon_batch_fail(
            ngx_queue_data(q, ngx_http_tenon_batch_t, queue), outcome);
    }
}


static void
ngx_http_tenon_pool_unqueue(ngx_http_tenon_batch_t *batch)
{
    ngx_http_tenon_pool_t *pool;

    pool = batch->pool;

    ngx_queue_remove(&batch->queue);
    pool->nqueued--;

    if (pool->nqueued == 0 && pool->timer.timer_set) {
        ngx_del_timer(&pool->timer);
    }
}


static void
ngx_http_tenon_pool_timeout(ngx_event_t *ev)
{
    ngx_queue_t *q;
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_batch_t *batch;

    pool = ev->data;
    pool->busy = 1;

    while (!ngx_queue_empty(&pool->queue)) {
        q = ngx_queue_head(&pool->queue);
        batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

        if ((ngx_msec_int_t) (batch->deadline - ngx_current_msec) > 0) {
            break;
        }

        ngx_http_tenon_batch_fail(batch, TN_DB_BUSY);
    }

    pool->busy = 0;

    ngx_http_tenon_pool_pump(pool);
}


static void
ngx_http_tenon_pool_retry(ngx_event_t *ev)
{
    ngx_http_tenon_conn_fill(ev->data);
}
