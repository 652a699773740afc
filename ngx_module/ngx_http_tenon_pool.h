/*
 * ngx_http_tenon_pool.h: the two halves of the database pool: batches and
 * their queue (ngx_http_tenon_pool.c), connections (ngx_http_tenon_conn.c and
 * ngx_http_tenon_conn_event.c).
 *
 * Requests are resumed from events of the pool only, with pool->busy set: what
 * they submit then is queued, and sent when the last answer has been handed
 * over. A reply is valid only until the next tn_pg_*() call on its connection,
 * so nothing is sent, and no connection is freed, in between.
 */

#ifndef _NGX_HTTP_TENON_POOL_H_INCLUDED_
#define _NGX_HTTP_TENON_POOL_H_INCLUDED_


#include "ngx_http_tenon.h"


#define NGX_HTTP_TENON_DEPTH 8

typedef struct {
    ngx_http_tenon_pool_t *pool;
    tn_pg *pg;           /* NULL: the slot is free */
    ngx_connection_t *c; /* watches its descriptor */
    unsigned generation; /* of the descriptor that c watches */
    ngx_queue_t flight;  /* batches sent, oldest first */
    ngx_event_t timer;   /* connecting; then: answering the oldest */
    ngx_event_t kick;    /* posted: look at the state again */
    ngx_msec_t since;    /* when it joined */

    unsigned joined : 1;  /* takes batches */
    unsigned loading : 1; /* reads the catalogue, never joins */
    unsigned alone : 1;   /* the batch in flight has it to itself */
    unsigned slow : 1;    /* and may take long */
    unsigned broken : 1;  /* to be closed, whatever its state */
} ngx_http_tenon_conn_t;


struct ngx_http_tenon_pool_s {
    ngx_http_tenon_main_conf_t *conf;
    ngx_log_t *log;
    ngx_http_tenon_conn_t *conns;  /* conf->pool_size slots */
    const tn_catalogue *catalogue; /* adopted: the core's */

    ngx_queue_t queue; /* batches that wait for a connection */
    ngx_uint_t nqueued;
    ngx_uint_t nslow;   /* of them, those that may take long */
    ngx_event_t timer;  /* the oldest one's deadline */
    ngx_event_t retry;  /* when to connect again */
    ngx_event_t refuse; /* posted: batches that can't be sent */

    ngx_uint_t njoined;
    ngx_uint_t failures; /* to connect, in a row */
    ngx_uint_t early;    /* connections lost soon after joining, in a row */

    unsigned busy : 1;
};


/* A batch lives on the heap: in flight it outlives the request, whose memory
 * `batch` points into. */
struct ngx_http_tenon_batch_s {
    ngx_queue_t queue;         /* pool->queue or conn->flight */
    ngx_http_tenon_ctx_t *ctx; /* NULL: the client is gone */
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_conn_t *conn; /* NULL: not sent */
    const tn_batch *batch;
    ngx_msec_t deadline; /* to be sent, also the second time */
    ngx_msec_t expires;  /* to be answered, once it is sent */

    unsigned writes : 1;
    unsigned slow : 1;
    unsigned retried : 1;
    unsigned refused : 1; /* can't be sent: waits to be told */
};


/* ngx_http_tenon_pool.c */

void ngx_http_tenon_pool_pump(ngx_http_tenon_pool_t *pool);
/* Hands the reply over, or sends a read again; frees the batch. */
void ngx_http_tenon_batch_finish(ngx_http_tenon_batch_t *batch,
                                 const tn_reply *reply, int retry);
/* The reply of a batch that has none from the server. */
void
ngx_http_tenon_batch_fail(ngx_http_tenon_batch_t *batch, tn_db_outcome outcome);
void ngx_http_tenon_pool_fail_queue(ngx_http_tenon_pool_t *pool,
                                    tn_db_outcome outcome);


/* ngx_http_tenon_conn.c */

void ngx_http_tenon_conn_init(ngx_http_tenon_pool_t *pool,
                              ngx_http_tenon_conn_t *conn);
void ngx_http_tenon_conn_open(ngx_http_tenon_conn_t *conn);
void ngx_http_tenon_conn_close(ngx_http_tenon_conn_t *conn);
/* NGX_DECLINED: this batch can't be sent, another may; NGX_ERROR: the
 * connection is broken. */
ngx_int_t ngx_http_tenon_conn_send(ngx_http_tenon_conn_t *conn,
                                   ngx_http_tenon_batch_t *batch);
/* After anything that may have moved the machine. */
void ngx_http_tenon_conn_process(ngx_http_tenon_conn_t *conn);
/* Opens what is missing, unless backing off. */
void ngx_http_tenon_conn_fill(ngx_http_tenon_pool_t *pool);


/* ngx_http_tenon_conn_event.c */

/* Watches the descriptor as the machine wants it. */
void ngx_http_tenon_conn_watch(ngx_http_tenon_conn_t *conn);
void ngx_http_tenon_conn_unwatch(ngx_http_tenon_conn_t *conn);
void ngx_http_tenon_conn_kick(ngx_event_t *ev);


#endif /* _NGX_HTTP_TENON_POOL_H_INCLUDED_ */
