/*
 * ngx_http_tenon_catalogue.c: which catalogue of apps a worker serves, and how
 * it comes to serve the next one while requests go on.
 *
 *     state   what goes on                            left for
 *     NONE    a connection of its own reads the       SERVED
 *             first one; requests wait for it
 *     SERVED  the timer runs                          ASKED
 *     ASKED   a connection asks for the version       SERVED, READ
 *     READ    a connection reads the whole            SERVED
 *
 * ASKED and READ are batches on the pool's connections like those of requests,
 * but for three things: they never count against the queue's bound, they never
 * keep an exiting worker alive, and a round is put off while requests queue
 * (not for ever: a server that is always busy learns of new apps, too).
 *
 * A catalogue is compiled beside the old one and adopted whole. One that can't
 * be is logged once, and the old one serves on. Requests under way keep the
 * catalogue that they began with. A connection prepared the old statements: it
 * parses new ones as they come, until it is idle and replaced by one that has
 * prepared the new ones. Only one at a time is, so that the others serve.
 */

#include "ngx_http_tenon_pool.h"


/* the longest time between two questions; workers don't ask all at once */
#define NGX_HTTP_TENON_CATALOGUE_INTERVAL 900
#define NGX_HTTP_TENON_CATALOGUE_JITTER   200
/* rounds put off in a row while requests queue */
#define NGX_HTTP_TENON_CATALOGUE_PATIENCE 1


static void ngx_http_tenon_catalogue_turn(ngx_http_tenon_pool_t *pool,
                                          ngx_http_tenon_catalogue_state state);
static void ngx_http_tenon_catalogue_timer(ngx_event_t *ev);
static void ngx_http_tenon_catalogue_asked(ngx_http_tenon_pool_t *pool,
                                           const tn_reply *reply);
static void ngx_http_tenon_catalogue_read(ngx_http_tenon_pool_t *pool,
                                          const tn_reply *reply);
static ngx_int_t
ngx_http_tenon_catalogue_compile(ngx_http_tenon_pool_t *pool,
                                 const tn_reply *reply, tn_str *fault);
static void
ngx_http_tenon_catalogue_adopt(ngx_http_tenon_pool_t *pool, tn_catalogue *cat);
static ngx_int_t
ngx_http_tenon_catalogue_version(ngx_http_tenon_version_t *version,
                                 const tn_reply *reply);


#define ngx_http_tenon_version_eq(a, b) \
    ((a)->catalogue == (b)->catalogue && (a)->schema == (b)->schema)


void
ngx_http_tenon_catalogue_init(ngx_http_tenon_pool_t *pool)
{
    ngx_http_tenon_catalogue_t *catalogue;

    catalogue = &pool->catalogue;

    /* its first statement is the one that answers the version */

    catalogue->question = *tn_catalogue_batch();
    catalogue->question.n = 1;

    catalogue->timer.handler = ngx_http_tenon_catalogue_timer;
    catalogue->timer.data = pool;
    catalogue->timer.log = pool->log;
    catalogue->timer.cancelable = 1;
}


void
ngx_http_tenon_catalogue_done(ngx_http_tenon_pool_t *pool)
{
    if (pool->catalogue.timer.timer_set) {
        ngx_del_timer(&pool->catalogue.timer);
    }
}


/* The one place that changes the state, and begins what goes on in it. */
static void
ngx_http_tenon_catalogue_turn(ngx_http_tenon_pool_t *pool,
                              ngx_http_tenon_catalogue_state state)
{
    ngx_int_t rc;
    ngx_msec_t delay;
    ngx_http_tenon_catalogue_t *catalogue;

    catalogue = &pool->catalogue;
    catalogue->state = state;

    switch (state) {

    case NGX_HTTP_TENON_CATALOGUE_ASKED:
        rc = ngx_http_tenon_pool_run(pool, &catalogue->question, 0,
                                     ngx_http_tenon_catalogue_asked);
        break;

    case NGX_HTTP_TENON_CATALOGUE_READ:
        /* takes longer than a request should wait behind */
        rc = ngx_http_tenon_pool_run(pool, tn_catalogue_batch(), 1,
                                     ngx_http_tenon_catalogue_read);
        break;

    default:
        rc = NGX_DECLINED;
        break;
    }

    if (rc == NGX_OK) {
        return;
    }

    catalogue->state = NGX_HTTP_TENON_CATALOGUE_SERVED;

    delay = NGX_HTTP_TENON_CATALOGUE_INTERVAL -
            ngx_random() % NGX_HTTP_TENON_CATALOGUE_JITTER;

    ngx_add_timer(&catalogue->timer, delay);
}


static void
ngx_http_tenon_catalogue_timer(ngx_event_t *ev)
{
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_catalogue_t *catalogue;

    pool = ev->data;
    catalogue = &pool->catalogue;

    if (ngx_exiting) {
        return;
    }

    if (pool->njoined == 0 ||
        (pool->nqueued &&
         catalogue->skipped < NGX_HTTP_TENON_CATALOGUE_PATIENCE)) {
        catalogue->skipped++;
        ngx_http_tenon_catalogue_turn(pool, NGX_HTTP_TENON_CATALOGUE_SERVED);
        return;
    }

    catalogue->skipped = 0;
    ngx_http_tenon_catalogue_turn(pool, NGX_HTTP_TENON_CATALOGUE_ASKED);
}


static void
ngx_http_tenon_catalogue_asked(ngx_http_tenon_pool_t *pool,
                               const tn_reply *reply)
{
    ngx_uint_t known;
    ngx_http_tenon_version_t *asked;
    ngx_http_tenon_catalogue_t *catalogue;

    catalogue = &pool->catalogue;
    asked = &catalogue->asked;

    /* no answer, or none that helps: the next round asks again */

    known = ngx_http_tenon_catalogue_version(asked, reply) != NGX_OK ||
            ngx_http_tenon_version_eq(asked, &catalogue->served) ||
            (catalogue->hopeless &&
             ngx_http_tenon_version_eq(asked, &catalogue->refused));

    ngx_http_tenon_catalogue_turn(pool, known ? NGX_HTTP_TENON_CATALOGUE_SERVED
                                              : NGX_HTTP_TENON_CATALOGUE_READ);
}


static void
ngx_http_tenon_catalogue_read(ngx_http_tenon_pool_t *pool,
                              const tn_reply *reply)
{
    tn_str fault;
    ngx_int_t rc;
    ngx_http_tenon_version_t *asked;
    ngx_http_tenon_catalogue_t *catalogue;

    catalogue = &pool->catalogue;
    asked = &catalogue->asked;

    rc = ngx_http_tenon_catalogue_compile(pool, reply, &fault);

    /* another load may have come since the question */

    (void) ngx_http_tenon_catalogue_version(asked, reply);

    if (rc == NGX_OK) {
        catalogue->served = *asked;

    } else if (rc == NGX_DECLINED || reply->outcome == TN_DB_ERROR) {

        /* first the server may have refused to answer, then the library to
         * serve the answer: that is the one to mend */

        if (!ngx_http_tenon_version_eq(asked, &catalogue->refused) ||
            (rc == NGX_DECLINED && !catalogue->hopeless)) {
            ngx_log_error(NGX_LOG_ERR, pool->log, 0,
                          "tenon: catalogue version %L is not usable, version "
                          "%L is served on: %*s",
                          asked->catalogue, catalogue->served.catalogue,
                          fault.n, fault.p);
        }

        catalogue->refused = *asked;
        catalogue->hopeless = (rc == NGX_DECLINED);
    }

    ngx_http_tenon_catalogue_turn(pool, NGX_HTTP_TENON_CATALOGUE_SERVED);
}


/* The answer of the connection that reads the first one. */
void
ngx_http_tenon_catalogue_loaded(ngx_http_tenon_pool_t *pool,
                                const tn_reply *reply)
{
    tn_str fault;
    ngx_uint_t level;

    if (ngx_http_tenon_catalogue_compile(pool, reply, &fault) == NGX_OK) {
        (void) ngx_http_tenon_catalogue_version(&pool->catalogue.served, reply);
        ngx_http_tenon_catalogue_turn(pool, NGX_HTTP_TENON_CATALOGUE_SERVED);
        return;
    }

    level =
        ngx_http_tenon_loud(pool->failures + 1) ? NGX_LOG_ERR : NGX_LOG_INFO;

    ngx_log_error(level, pool->log, 0, "tenon: catalogue is not usable: %*s",
                  fault.n, fault.p);
}


/* NGX_OK: it is served from now on; NGX_DECLINED: this one never will be;
 * NGX_AGAIN: the next attempt may do better. */
static ngx_int_t
ngx_http_tenon_catalogue_compile(ngx_http_tenon_pool_t *pool,
                                 const tn_reply *reply, tn_str *fault)
{
    tn_err err;
    tn_catalogue *cat;

    *fault = TN_STR("not enough memory");

    if (reply->outcome != TN_DB_OK) {
        *fault = reply->message.n ? reply->message
                                  : TN_STR("the connection was lost");
        return NGX_AGAIN;
    }

    err = tn_catalogue_new(&cat, pool->conf->worker->core, reply, fault);

    if (err == TN_OK) {
        ngx_http_tenon_catalogue_adopt(pool, cat);
        return NGX_OK;
    }

    /* TN_E_BUSY: an app was being loaded while it was read */

    return err == TN_E_NOMEM || err == TN_E_BUSY ? NGX_AGAIN : NGX_DECLINED;
}


static void
ngx_http_tenon_catalogue_adopt(ngx_http_tenon_pool_t *pool, tn_catalogue *cat)
{
    ngx_int_t i;
    ngx_http_tenon_conn_t *conn;
    ngx_http_tenon_catalogue_t *catalogue;

    catalogue = &pool->catalogue;

    /* those that aren't READY borrow statements from the old catalogue, which
     * goes with its last op: they begin anew */

    for (i = 0; i < pool->conf->pool_size; i++) {
        conn = &pool->conns[i];

        if (!conn->joined && !conn->loading) {
            ngx_http_tenon_conn_close(conn);
        }
    }

    tn_core_adopt(pool->conf->worker->core, cat);

    catalogue->current = cat;
    catalogue->epoch++;
    catalogue->outdated = pool->conf->prepare;
    catalogue->bare = 0;

    ngx_log_error(NGX_LOG_NOTICE, pool->log, 0,
                  "tenon: catalogue version %uL is served",
                  tn_catalogue_version(cat));

    ngx_http_tenon_conn_fill(pool);
}


/* The schema's number is in the same row: it, too, may be what is wrong. */
static ngx_int_t
ngx_http_tenon_catalogue_version(ngx_http_tenon_version_t *version,
                                 const tn_reply *reply)
{
    const tn_rows *rows;

    if (reply->outcome != TN_DB_OK) {
        return NGX_DECLINED;
    }

    rows = &reply->rows[0];

    if (rows->nrows != 1 || rows->ncols != 2) {
        return NGX_DECLINED;
    }

    version->catalogue =
        ngx_atoof((u_char *) rows->cells[0].p, rows->cells[0].n);
    version->schema = ngx_atoof((u_char *) rows->cells[1].p, rows->cells[1].n);

    return NGX_OK;
}


/* Replaces one idle connection that has prepared another catalogue's
 * statements; the next one's turn comes when it has joined. */
void
ngx_http_tenon_catalogue_replace(ngx_http_tenon_pool_t *pool)
{
    ngx_int_t i;
    ngx_uint_t left;
    ngx_http_tenon_conn_t *conn;

    if (!pool->catalogue.outdated || pool->busy || ngx_exiting ||
        !ngx_queue_empty(&pool->queue) || pool->conf->pool_size == 1 ||
        pool->njoined < (ngx_uint_t) pool->conf->pool_size) {
        return;
    }

    left = 0;

    for (i = 0; i < pool->conf->pool_size; i++) {
        conn = &pool->conns[i];

        if (conn->epoch == pool->catalogue.epoch) {
            continue;
        }

        if (ngx_queue_empty(&conn->flight)) {
            ngx_http_tenon_conn_close(conn);
            ngx_http_tenon_conn_open(conn);
            return;
        }

        left = 1;
    }

    pool->catalogue.outdated = left;
}
