/*
 * ngx_http_tenon_pool.c: batches, and the bounded queue that they wait in.
 *
 * The queue is first in, first out, but reads may pass those that need a
 * connection to themselves, and everybody may pass slow ones that wait for
 * their turn. Slow ones take at most half of its places.
 */

#include "ngx_http_tenon_pool.h"


static void ngx_http_tenon_pool_send(ngx_http_tenon_conn_t *conn,
                                     ngx_http_tenon_batch_t *batch);
static ngx_uint_t
ngx_http_tenon_pool_full(ngx_http_tenon_pool_t *pool, const tn_batch *b);
static void ngx_http_tenon_pool_enqueue(ngx_http_tenon_batch_t *batch);
static void
ngx_http_tenon_pool_count(ngx_http_tenon_batch_t *batch, ngx_int_t n);
static ngx_uint_t ngx_http_tenon_batch_again(ngx_http_tenon_batch_t *batch,
                                             const tn_reply *reply, int retry);
static void ngx_http_tenon_pool_requeue(ngx_http_tenon_batch_t *batch);
static void ngx_http_tenon_pool_unqueue(ngx_http_tenon_batch_t *batch);
static void ngx_http_tenon_pool_turn(ngx_event_t *ev);
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

    pool->turn.handler = ngx_http_tenon_pool_turn;
    pool->turn.data = pool;
    pool->turn.log = pool->log;

    pool->refuse.handler = ngx_http_tenon_pool_refuse;
    pool->refuse.data = pool;
    pool->refuse.log = cycle->log;

    for (i = 0; i < conf->pool_size; i++) {
        ngx_http_tenon_conn_init(pool, &pool->conns[i]);
    }

    ngx_http_tenon_catalogue_init(pool);

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

    ngx_http_tenon_catalogue_done(pool);

    if (pool->timer.timer_set) {
        ngx_del_timer(&pool->timer);
    }

    if (pool->retry.timer_set) {
        ngx_del_timer(&pool->retry);
    }

    if (pool->refuse.posted) {
        ngx_delete_posted_event(&pool->refuse);
    }

    if (pool->turn.posted) {
        ngx_delete_posted_event(&pool->turn);
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
    batch->alone = b->writes || b->slow;
    ctx->batch = batch;

    ngx_http_tenon_pool_enqueue(batch);

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_tenon_pool_run(ngx_http_tenon_pool_t *pool, const tn_batch *b,
                        ngx_uint_t alone, ngx_http_tenon_reply_pt handler)
{
    ngx_http_tenon_batch_t *batch;

    batch = ngx_calloc(sizeof(ngx_http_tenon_batch_t), pool->log);
    if (batch == NULL) {
        return NGX_ERROR;
    }

    batch->handler = handler;
    batch->pool = pool;
    batch->batch = b;
    batch->alone = alone;

    ngx_http_tenon_pool_enqueue(batch);

    return NGX_OK;
}


static void
ngx_http_tenon_pool_enqueue(ngx_http_tenon_batch_t *batch)
{
    ngx_http_tenon_pool_t *pool;

    pool = batch->pool;

    batch->deadline = ngx_current_msec + pool->conf->queue_timeout;

    ngx_queue_insert_tail(&pool->queue, &batch->queue);
    ngx_http_tenon_pool_count(batch, 1);

    ngx_http_tenon_pool_pump(pool);
}


/* The bounds of the queue are for requests. */
static void
ngx_http_tenon_pool_count(ngx_http_tenon_batch_t *batch, ngx_int_t n)
{
    ngx_http_tenon_pool_t *pool;

    pool = batch->pool;

    if (batch->handler) {
        pool->ninternal += n;
        return;
    }

    pool->nqueued += n;

    if (batch->slow) {
        pool->nslow += n;
    }
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
    ngx_uint_t slow;
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

        if (batch->unsendable || (batch->alone && held) ||
            (batch->slow && slow)) {
            continue;
        }

        conn = batch->alone ? ngx_http_tenon_pool_choose_alone(batch)
                            : ngx_http_tenon_pool_choose_read(pool, held);

        if (conn) {
            slow |= batch->slow;
            ngx_http_tenon_pool_send(conn, batch);

        } else if (batch->alone) {
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

    /* only who waits keeps an exiting worker alive */

    left = (ngx_msec_int_t) (batch->deadline - ngx_current_msec);
    pool->timer.cancelable = (pool->nqueued == 0);
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
        batch->unsendable = 1;
        ngx_post_event(&conn->pool->refuse, &ngx_posted_events);
    }

    ngx_http_tenon_conn_watch(conn);
}


void
ngx_http_tenon_batch_finish(ngx_http_tenon_batch_t *batch,
                            const tn_reply *reply, int retry)
{
    ngx_msec_int_t left;
    ngx_http_tenon_ctx_t *ctx;
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_reply_pt handler;

    ctx = batch->ctx;
    pool = batch->pool;
    handler = batch->handler;

    if (batch->conn) {
        ngx_queue_remove(&batch->queue);
        batch->conn = NULL;

    } else {
        ngx_http_tenon_pool_unqueue(batch);
    }

    left = (ngx_msec_int_t) (batch->deadline - ngx_current_msec);

    if (ctx && left > 0 && ngx_http_tenon_batch_again(batch, reply, retry)) {
        ngx_http_tenon_pool_requeue(batch);
        return;
    }

    ngx_free(batch);

    if (handler) {
        handler(pool, reply);
        return;
    }

    if (ctx == NULL) {
        return;
    }

    ctx->batch = NULL;

    ngx_memzero(&ctx->input, sizeof(tn_input));
    ctx->input.reply = reply;

    ngx_http_tenon_resume(ctx);
}


/*
 * A read whose connection was lost has done nothing: it is sent once more. What
 * was refused for names that are out of date has left no trace, be it a write:
 * it is sent again, twice as often as there are connections that may be so: each
 * is replaced for it, and may find then that it must read text (binary.c).
 */
static ngx_uint_t
ngx_http_tenon_batch_again(ngx_http_tenon_batch_t *batch, const tn_reply *reply,
                           int retry)
{
    if (!retry || batch->retried) {
        return 0;
    }

    if (reply->outcome == TN_DB_ERROR) {
        return batch->resent++ < 2 * (ngx_uint_t) batch->pool->conf->pool_size;
    }

    batch->retried = 1;

    return !batch->writes;
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
    ngx_http_tenon_pool_count(batch, 1);
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

    n = pool->nqueued + pool->ninternal;

    for (/* void */; n && !ngx_queue_empty(&pool->queue); n--) {
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
    ngx_http_tenon_pool_count(batch, -1);

    if (ngx_queue_empty(&pool->queue) && pool->timer.timer_set) {
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

        if (batch->unsendable) {
            ngx_http_tenon_batch_fail(batch, TN_DB_ERROR);

            /* anybody may have left meanwhile */
            q = ngx_queue_head(&pool->queue);
        }
    }

    pool->busy = 0;

    ngx_http_tenon_pool_pump(pool);
}


static void
ngx_http_tenon_pool_turn(ngx_event_t *ev)
{
    ngx_http_tenon_pool_t *pool;

    pool = ev->data;
    pool->reader = NULL;
}


static void
ngx_http_tenon_pool_retry(ngx_event_t *ev)
{
    ngx_http_tenon_conn_fill(ev->data);
}
