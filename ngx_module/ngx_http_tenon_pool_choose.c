/*
 * ngx_http_tenon_pool_choose.c: which connection takes a batch.
 *
 * A read goes to an idle connection, else behind other reads up to
 * NGX_HTTP_TENON_DEPTH. Reads that come in one turn of the event loop go
 * together, NGX_HTTP_TENON_TURN at most: a worker that has several at once is
 * busy, and waking one process of the server for them costs less than waking
 * each its own (docs/adr/0017-reads-of-a-turn.md). A write has its connection to itself, and so has a
 * batch that may take long, a slow one, of which one at a time is under way.
 * Writes and slow ones together leave a connection to reads (unless there are
 * only one or two): locks that they wait for, and searches, hold up no read.
 */

#include "ngx_http_tenon_pool.h"


#define NGX_HTTP_TENON_TURN 4


static ngx_uint_t ngx_http_tenon_pool_takes(ngx_http_tenon_conn_t *conn);
static ngx_uint_t ngx_http_tenon_pool_may_alone(ngx_http_tenon_batch_t *batch);


static ngx_uint_t
ngx_http_tenon_pool_takes(ngx_http_tenon_conn_t *conn)
{
    return conn->joined && !conn->broken &&
           tn_pg_get_state(conn->pg) == TN_PG_READY;
}


/* An idle connection, as long as one is left to reads. */
ngx_http_tenon_conn_t *
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


ngx_uint_t
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
ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose_read(ngx_http_tenon_pool_t *pool,
                                ngx_http_tenon_batch_t *held)
{
    ngx_int_t i;
    unsigned depth, least, second;
    ngx_http_tenon_conn_t *conn, *best, *other;

    conn = pool->reader;

    if (conn && held == NULL && ngx_http_tenon_pool_takes(conn) &&
        !conn->alone && tn_pg_depth(conn->pg) < NGX_HTTP_TENON_TURN) {
        return conn;
    }

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

    if (least >= NGX_HTTP_TENON_DEPTH) {
        return NULL;
    }

    pool->reader = best;
    ngx_post_event(&pool->turn, &ngx_posted_events);

    return best;
}
