/*
 * ngx_http_tenon_pool.h: the parts of the database pool: batches and their
 * queue (ngx_http_tenon_pool.c), connections (ngx_http_tenon_conn.c and
 * ngx_http_tenon_conn_event.c, their log in ngx_http_tenon_conn_log.c), the
 * catalogue that they are prepared for (ngx_http_tenon_catalogue.c).
 *
 * Requests are resumed from events of the pool only, with pool->busy set: what
 * they submit then is queued, and sent when the last answer has been handed
 * over. A reply is valid only until the next tn_pg_*() call on its connection,
 * so nothing is sent there in between, nor is that connection freed.
 */

#ifndef _NGX_HTTP_TENON_POOL_H_INCLUDED_
#define _NGX_HTTP_TENON_POOL_H_INCLUDED_


#include "ngx_http_tenon.h"


#define NGX_HTTP_TENON_DEPTH 8

/* of the failures in a row, these are worth an operator's attention */
#define ngx_http_tenon_loud(n) ((n) == 1 || (n) % 60 == 0)

typedef struct {
    ngx_http_tenon_pool_t *pool;
    tn_pg *pg;           /* NULL: the slot is free */
    ngx_connection_t *c; /* watches its descriptor */
    unsigned generation; /* of the descriptor that c watches */
    ngx_queue_t flight;  /* batches sent, oldest first */
    ngx_event_t timer;   /* connecting; then: answering the oldest */
    ngx_event_t kick;    /* posted: look at the state again */
    ngx_msec_t since;    /* when it joined */
    ngx_uint_t epoch;    /* of the catalogue whose statements it prepared */

    unsigned joined : 1;  /* takes batches */
    unsigned loading : 1; /* reads the first catalogue, never joins */
    unsigned alone : 1;   /* the batch in flight has it to itself */
    unsigned slow : 1;    /* and may take long */
    unsigned broken : 1;  /* to be closed, whatever its state */
    unsigned bare : 1;    /* opened with nothing to prepare */
} ngx_http_tenon_conn_t;


/* What a worker knows of catalogues: ngx_http_tenon_catalogue.c. */

typedef enum {
    NGX_HTTP_TENON_CATALOGUE_NONE = 0,
    NGX_HTTP_TENON_CATALOGUE_SERVED,
    NGX_HTTP_TENON_CATALOGUE_ASKED,
    NGX_HTTP_TENON_CATALOGUE_READ
} ngx_http_tenon_catalogue_state;


typedef struct {
    off_t catalogue;
    off_t schema;
} ngx_http_tenon_version_t;


typedef struct {
    const tn_catalogue *current; /* adopted: the core's */
    ngx_uint_t epoch;            /* how many have been */

    ngx_http_tenon_catalogue_state state;
    ngx_http_tenon_version_t served;
    ngx_http_tenon_version_t asked;
    ngx_http_tenon_version_t refused; /* and logged */

    tn_batch question; /* which version there is */
    ngx_event_t timer;
    ngx_uint_t skipped; /* rounds in a row */
    ngx_msec_t bare;    /* until then connections prepare nothing; 0: no */

    unsigned hopeless : 1; /* the refused one need not be read again */
    unsigned outdated : 1; /* connections wait to be replaced */
} ngx_http_tenon_catalogue_t;


struct ngx_http_tenon_pool_s {
    ngx_http_tenon_main_conf_t *conf;
    ngx_log_t *log;
    ngx_http_tenon_conn_t *conns; /* conf->pool_size slots */
    ngx_http_tenon_catalogue_t catalogue;

    ngx_queue_t queue;    /* batches that wait for a connection */
    ngx_uint_t nqueued;   /* of them, those of requests */
    ngx_uint_t ninternal; /* the others */
    ngx_uint_t nslow;     /* of requests' those that may take long */
    ngx_event_t timer;    /* the oldest one's deadline */
    ngx_event_t retry;    /* when to connect again */
    ngx_event_t turn;     /* posted: this turn of the event loop is over */
    ngx_http_tenon_conn_t *reader; /* takes the reads of this turn */
    ngx_event_t refuse;            /* posted: batches that can't be sent */

    ngx_uint_t njoined;
    ngx_uint_t failures; /* to connect, in a row */
    uint32_t said;       /* of the last one's reason */
    uint32_t lacking;    /* of the statement that connections serve without */
    ngx_uint_t early;    /* connections lost soon after joining, in a row */

    unsigned busy : 1;
};


/* Takes the reply to a batch of the worker's own, once. */
typedef void (*ngx_http_tenon_reply_pt)(ngx_http_tenon_pool_t *pool,
                                        const tn_reply *reply);


/* A batch lives on the heap: in flight it outlives the request, whose memory
 * `batch` points into. */
struct ngx_http_tenon_batch_s {
    ngx_queue_t queue;               /* pool->queue or conn->flight */
    ngx_http_tenon_ctx_t *ctx;       /* NULL: the client is gone, or */
    ngx_http_tenon_reply_pt handler; /* no request's, but the worker's own */
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_conn_t *conn; /* NULL: not sent */
    const tn_batch *batch;
    ngx_msec_t deadline; /* to be sent, also the second time */
    ngx_msec_t expires;  /* to be answered, once it is sent */

    ngx_uint_t resent; /* after refusals for names that are out of date */

    unsigned writes : 1;
    unsigned slow : 1;
    unsigned alone : 1; /* wants a connection to itself */
    unsigned retried : 1;
    unsigned unsendable : 1; /* waits to be told */
};


/* ngx_http_tenon_pool.c */

void ngx_http_tenon_pool_pump(ngx_http_tenon_pool_t *pool);
/* A batch of the worker's own, which lives until the handler is called. The
 * handler gets the pool and the reply, never from inside this call, and not at
 * all when the worker exits. It is not sent a second time. */
ngx_int_t
ngx_http_tenon_pool_run(ngx_http_tenon_pool_t *pool, const tn_batch *b,
                        ngx_uint_t alone, ngx_http_tenon_reply_pt handler);
/* Hands the reply over and frees the batch, or sends it again. */
void ngx_http_tenon_batch_finish(ngx_http_tenon_batch_t *batch,
                                 const tn_reply *reply, int retry);
/* The reply of a batch that has none from the server. */
void
ngx_http_tenon_batch_fail(ngx_http_tenon_batch_t *batch, tn_db_outcome outcome);
void ngx_http_tenon_pool_fail_queue(ngx_http_tenon_pool_t *pool,
                                    tn_db_outcome outcome);


/* ngx_http_tenon_pool_choose.c */

/* For a write or a slow batch; NULL: none for now. */
ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose_alone(ngx_http_tenon_batch_t *batch);
/* For a read; `held` waits for a connection to itself. */
ngx_http_tenon_conn_t *
ngx_http_tenon_pool_choose_read(ngx_http_tenon_pool_t *pool,
                                ngx_http_tenon_batch_t *held);
/* A slow batch is under way. */
ngx_uint_t ngx_http_tenon_pool_slow(ngx_http_tenon_pool_t *pool);


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


/* ngx_http_tenon_catalogue.c */

void ngx_http_tenon_catalogue_init(ngx_http_tenon_pool_t *pool);
void ngx_http_tenon_catalogue_done(ngx_http_tenon_pool_t *pool);
void ngx_http_tenon_catalogue_loaded(ngx_http_tenon_pool_t *pool,
                                     const tn_reply *reply);
void ngx_http_tenon_catalogue_replace(ngx_http_tenon_pool_t *pool);


/* ngx_http_tenon_conn_log.c */

void ngx_http_tenon_conn_log_lost(ngx_http_tenon_conn_t *conn, const char *why,
                                  ngx_uint_t early);
/* Counts failures anew. */
void ngx_http_tenon_conn_log_back(ngx_http_tenon_pool_t *pool);
/* Says once what connections serve without, and once that it is over. */
void ngx_http_tenon_conn_log_lacks(ngx_http_tenon_conn_t *conn);


/* ngx_http_tenon_conn_event.c */

/* Watches the descriptor as the machine wants it. */
void ngx_http_tenon_conn_watch(ngx_http_tenon_conn_t *conn);
void ngx_http_tenon_conn_unwatch(ngx_http_tenon_conn_t *conn);
void ngx_http_tenon_conn_kick(ngx_event_t *ev);


#endif /* _NGX_HTTP_TENON_POOL_H_INCLUDED_ */
