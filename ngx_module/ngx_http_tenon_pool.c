/*
 * ngx_http_tenon_pool.c: batches, and the bounded queue that they wait in.
 *
 * A read goes to an idle connection, else behind other reads up to
 * NGX_HTTP_TENON_DEPTH. A write has its connection to itself, and so has a
 * batch that may take long, a slow one, of which one at a time is under way.
 * Writes and slow ones together leave a connection to reads (unless there are
 * only one or two): locks that they wait for, and searches, hold up no read.
 *
 * The queue is first in, first out, but reads may pass those that need a
 * connection to themselves, and everybody may pass slow ones that wait for
 * their turn. Slow ones take at most half of its places.
 */

#include "ngx_http_tenon_pool.h"


static void ngx_http_tenon_pool_send(ngx_http_tenon_conn_t *conn,
                                     ngx_http_tenon_batch_t *batch);
static ngx_uint_t ngx_http_tenon_pool_takes(ngx_http_tenon_conn_t *conn);
static ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose_alone(ngx_http_tenon_batch_t *batch);
static ngx_uint_t ngx_http_tenon_pool_may_alone(ngx_http_tenon_batch_t *batch);
static ngx_uint_t ngx_http_tenon_pool_slow(ngx_http_tenon_pool_t *pool);
static ngx_uint_t
ngx_http_tenon_pool_full(ngx_http_tenon_pool_t *pool, const tn_batch *b);
static ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose_read(ngx_http_tenon_pool_t *pool,
                                ngx_http_tenon_batch_t *held);
static void ngx_http_tenon_pool_requeue(ngx_http_tenon_batch_t *batch);
static void ngx_http_tenon_pool_unqueue(ngx_http_tenon_batch_t *batch);
static void ngx_http_tenon_pool_timeout(ngx_event_t *ev);
static void ngx_http_tenon_pool_refuse(ngx_event_t *ev);
static void ngx_http_tenon_pool_retry(ngx_event_t *ev);


static const tn_reply ngx_http_tenon_replies[] = {
    [TN_DB_ERROR] = { .outcome = TN_DB_ERROR,
                      .message = TN_STR_C("the statements can't be sent") },
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

    pool->refuse.handler = ngx_http_tenon_pool_refuse;
    pool->refuse.data = pool;
    pool->refuse.log = cycle->log;

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

    if (pool->refuse.posted) {
        ngx_delete_posted_event(&pool->refuse);
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

    if (ngx_http_tenon_pool_down(pool)) {
        ctx->input.reply = &ngx_http_tenon_replies[TN_DB_DOWN];
        return NGX_OK;
    }

    if (ngx_http_tenon_pool_full(pool, b)) {
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
    batch->slow = b->slow;
    batch->deadline = ngx_current_msec + pool->conf->queue_timeout;

    ctx->batch = batch;

    ngx_queue_insert_tail(&pool->queue, &batch->queue);
    pool->nqueued++;
    pool->nslow += batch->slow;

    ngx_http_tenon_pool_pump(pool);

    return NGX_AGAIN;
}


static ngx_uint_t
ngx_http_tenon_pool_full(ngx_http_tenon_pool_t *pool, const tn_batch *b)
{
    ngx_uint_t places;

    places = pool->conf->queue_size;

    return pool->nqueued >= places ||
           (b->slow && pool->nslow >= ngx_max(places / 2, 1));
}


ngx_uint_t
ngx_http_tenon_pool_down(ngx_http_tenon_pool_t *pool)
{
    return pool->njoined == 0 && pool->failures;
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
    ngx_queue_t *q, *next;
    ngx_uint_t slow, alone;
    ngx_msec_int_t left;
    ngx_http_tenon_conn_t *conn;
    ngx_http_tenon_batch_t *batch, *held;

    if (pool->busy) {
        return;
    }

    held = NULL;
    slow = ngx_http_tenon_pool_slow(pool);

    for (q = ngx_queue_head(&pool->queue);
         q != ngx_queue_sentinel(&pool->queue); q = next) {
        next = ngx_queue_next(q);
        batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

        alone = batch->writes || batch->slow;

        if (batch->refused || (alone && held) || (batch->slow && slow)) {
            continue;
        }

        conn = alone ? ngx_http_tenon_pool_choose_alone(batch)
                     : ngx_http_tenon_pool_choose_read(pool, held);

        if (conn) {
            slow |= batch->slow;
            ngx_http_tenon_pool_send(conn, batch);

        } else if (alone) {
            held = batch;

        } else {
            break;
        }
    }

    if (ngx_queue_empty(&pool->queue)) {
        return;
    }

    ngx_http_tenon_conn_fill(pool);

    q = ngx_queue_head(&pool->queue);
    batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

    left = (ngx_msec_int_t) (batch->deadline - ngx_current_msec);
    ngx_add_timer(&pool->timer, (ngx_msec_t) ngx_max(left, 1));
}


static void
ngx_http_tenon_pool_send(ngx_http_tenon_conn_t *conn,
                         ngx_http_tenon_batch_t *batch)
{
    ngx_int_t rc;

    rc = ngx_http_tenon_conn_send(conn, batch);

    if (rc == NGX_OK) {
        ngx_http_tenon_pool_unqueue(batch);
        batch->conn = conn;
        ngx_queue_insert_tail(&conn->flight, &batch->queue);

    } else if (rc == NGX_DECLINED) {
        /* it is the batch: its request is told, but not from in here */
        batch->refused = 1;
        ngx_post_event(&conn->pool->refuse, &ngx_posted_events);
    }

    ngx_http_tenon_conn_watch(conn);
}


static ngx_uint_t
ngx_http_tenon_pool_takes(ngx_http_tenon_conn_t *conn)
{
    return conn->joined && !conn->broken &&
           tn_pg_get_state(conn->pg) == TN_PG_READY;
}


/* An idle connection, as long as one is left to reads. */
static ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose_alone(ngx_http_tenon_batch_t *batch)
{
    ngx_int_t i;
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_conn_t *conn, *idle;

    if (!ngx_http_tenon_pool_may_alone(batch)) {
        return NULL;
    }

    pool = batch->pool;
    idle = NULL;

    for (i = 0; i < pool->conf->pool_size && idle == NULL; i++) {
        conn = &pool->conns[i];

        if (ngx_http_tenon_pool_takes(conn) && tn_pg_depth(conn->pg) == 0) {
            idle = conn;
        }
    }

    return idle;
}


/* One connection is left to reads; but of two a slow one has, a write, which is
 * soon through, may take the other. */
static ngx_uint_t
ngx_http_tenon_pool_may_alone(ngx_http_tenon_batch_t *batch)
{
    ngx_int_t i;
    ngx_uint_t n, slow;
    ngx_http_tenon_pool_t *pool;

    n = 0;
    pool = batch->pool;
    slow = ngx_http_tenon_pool_slow(pool);

    for (i = 0; i < pool->conf->pool_size; i++) {
        n += pool->conns[i].joined && pool->conns[i].alone;
    }

    return n == 0 || n + 1 < pool->njoined || (n == 1 && slow && !batch->slow);
}


static ngx_uint_t
ngx_http_tenon_pool_slow(ngx_http_tenon_pool_t *pool)
{
    ngx_int_t i;
    ngx_uint_t slow;

    slow = 0;

    for (i = 0; i < pool->conf->pool_size; i++) {
        slow |= pool->conns[i].joined && pool->conns[i].slow;
    }

    return slow;
}


/*
 * The one with the fewest reads. While somebody waits for reads to be through,
 * that one is left to them: reads that pass must not keep them waiting for
 * ever.
 */
static ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose_read(ngx_http_tenon_pool_t *pool,
                                ngx_http_tenon_batch_t *held)
{
    ngx_int_t i;
    unsigned depth, least, second;
    ngx_http_tenon_conn_t *conn, *best, *other;

    best = NULL;
    other = NULL;
    least = NGX_HTTP_TENON_DEPTH;
    second = NGX_HTTP_TENON_DEPTH;

    for (i = 0; i < pool->conf->pool_size; i++) {
        conn = &pool->conns[i];

        if (!ngx_http_tenon_pool_takes(conn) || conn->alone) {
            continue;
        }

        depth = tn_pg_depth(conn->pg);

        if (best == NULL || depth < least) {
            other = best;
            second = least;
            best = conn;
            least = depth;

        } else if (other == NULL || depth < second) {
            other = conn;
            second = depth;
        }
    }

    if (held && ngx_http_tenon_pool_may_alone(held)) {
        best = other;
        least = second;
    }

    return least < NGX_HTTP_TENON_DEPTH ? best : NULL;
}


void
ngx_http_tenon_batch_finish(ngx_http_tenon_batch_t *batch,
                            const tn_reply *reply, int retry)
{
    ngx_msec_int_t left;
    ngx_http_tenon_ctx_t *ctx;

    ctx = batch->ctx;

    if (batch->conn) {
        ngx_queue_remove(&batch->queue);
        batch->conn = NULL;

    } else {
        ngx_http_tenon_pool_unqueue(batch);
    }

    left = (ngx_msec_int_t) (batch->deadline - ngx_current_msec);

    if (ctx && retry && !batch->writes && !batch->retried && left > 0) {
        batch->retried = 1;
        ngx_http_tenon_pool_requeue(batch);
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


/* Back to its place: the queue is in the order of deadlines. */
static void
ngx_http_tenon_pool_requeue(ngx_http_tenon_batch_t *batch)
{
    ngx_queue_t *q;
    ngx_http_tenon_batch_t *other;
    ngx_http_tenon_pool_t *pool;

    pool = batch->pool;

    for (q = ngx_queue_head(&pool->queue);
         q != ngx_queue_sentinel(&pool->queue); q = ngx_queue_next(q)) {
        other = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);

        if ((ngx_msec_int_t) (other->deadline - batch->deadline) >= 0) {
            break;
        }
    }

    /* in front of q */

    ngx_queue_insert_tail(q, &batch->queue);
    pool->nqueued++;
    pool->nslow += batch->slow;
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
    pool->nslow -= batch->slow;

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


/* Those that no connection could take: the next would do no better. */
static void
ngx_http_tenon_pool_refuse(ngx_event_t *ev)
{
    ngx_queue_t *q;
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_batch_t *batch;

    pool = ev->data;
    pool->busy = 1;

    q = ngx_queue_head(&pool->queue);

    while (q != ngx_queue_sentinel(&pool->queue)) {
        batch = ngx_queue_data(q, ngx_http_tenon_batch_t, queue);
        q = ngx_queue_next(q);

        if (batch->refused) {
            ngx_http_tenon_batch_fail(batch, TN_DB_ERROR);

            /* anybody may have left meanwhile */
            q = ngx_queue_head(&pool->queue);
        }
    }

    pool->busy = 0;

    ngx_http_tenon_pool_pump(pool);
}


static void
ngx_http_tenon_pool_retry(ngx_event_t *ev)
{
    ngx_http_tenon_conn_fill(ev->data);
}
