/*
 * ngx_http_tenon_conn_event.c: a PostgreSQL connection in nginx's event loop.
 *
 * libpq owns the descriptor: an ngx_connection_t borrows it (c->shared), level-
 * triggered, because libpq reads once per call. libpq may close it inside any
 * call while connecting, so events are deleted before such a call; later only
 * when the connection is lost, and then the kernel has forgotten them.
 */

#include "ngx_http_tenon_pool.h"


static ngx_int_t
ngx_http_tenon_conn_want(ngx_http_tenon_conn_t *conn, ngx_event_t *ev,
                         ngx_int_t event, ngx_uint_t on);
static ngx_uint_t ngx_http_tenon_conn_stale(ngx_http_tenon_conn_t *conn);
static void ngx_http_tenon_conn_event(ngx_event_t *ev);


void
ngx_http_tenon_conn_watch(ngx_http_tenon_conn_t *conn)
{
    int fd;
    unsigned wants;
    ngx_uint_t read;
    tn_pg_state state;
    ngx_connection_t *c;

    fd = tn_pg_fd(conn->pg);
    state = tn_pg_get_state(conn->pg);

    if (conn->c && ngx_http_tenon_conn_stale(conn)) {
        ngx_http_tenon_conn_unwatch(conn);
    }

    if (fd == -1 || state == TN_PG_DEAD || conn->broken) {
        ngx_post_event(&conn->kick, &ngx_posted_next_events);
        return;
    }

    if (conn->c == NULL) {
        c = ngx_get_connection(fd, conn->pool->log);
        if (c == NULL) {
            conn->broken = 1;
            ngx_post_event(&conn->kick, &ngx_posted_next_events);
            return;
        }

        c->shared = 1;
        c->data = conn;
        c->log_error = NGX_ERROR_ERR;

        c->read->handler = ngx_http_tenon_conn_event;
        c->write->handler = ngx_http_tenon_conn_event;
        c->read->log = conn->pool->log;
        c->write->log = conn->pool->log;

        conn->c = c;
        conn->generation = tn_pg_generation(conn->pg);
    }

    wants = tn_pg_wants(conn->pg);
    read = (state != TN_PG_CONNECTING) || (wants & TN_PG_READ);

    if (ngx_http_tenon_conn_want(conn, conn->c->read, NGX_READ_EVENT, read) !=
            NGX_OK ||
        ngx_http_tenon_conn_want(conn, conn->c->write, NGX_WRITE_EVENT,
                                 (wants & TN_PG_WRITE) != 0) != NGX_OK) {
        conn->broken = 1;
        ngx_post_event(&conn->kick, &ngx_posted_next_events);
        return;
    }

    conn->c->idle = conn->joined && ngx_queue_empty(&conn->flight);
}


void
ngx_http_tenon_conn_unwatch(ngx_http_tenon_conn_t *conn)
{
    ngx_connection_t *c;

    c = conn->c;

    if (c == NULL) {
        return;
    }

    if (ngx_http_tenon_conn_stale(conn)) {
        c->read->active = 0;
        c->write->active = 0;

    } else {
        (void) ngx_http_tenon_conn_want(conn, c->read, NGX_READ_EVENT, 0);
        (void) ngx_http_tenon_conn_want(conn, c->write, NGX_WRITE_EVENT, 0);
    }

    ngx_close_connection(c);
    conn->c = NULL;
}


/* Whether the descriptor that is watched isn't libpq's any more. */
static ngx_uint_t
ngx_http_tenon_conn_stale(ngx_http_tenon_conn_t *conn)
{
    return conn->c->fd != tn_pg_fd(conn->pg) ||
           conn->generation != tn_pg_generation(conn->pg);
}


static ngx_int_t
ngx_http_tenon_conn_want(ngx_http_tenon_conn_t *conn, ngx_event_t *ev,
                         ngx_int_t event, ngx_uint_t on)
{
    if (on && !ev->active) {
        return ngx_add_event(ev, event, NGX_LEVEL_EVENT);
    }

    if (!on && ev->active) {
        return ngx_del_event(ev, event, 0);
    }

    return NGX_OK;
}


static void
ngx_http_tenon_conn_event(ngx_event_t *ev)
{
    unsigned ready;
    ngx_connection_t *c;
    ngx_http_tenon_conn_t *conn;

    c = ev->data;
    conn = c->data;

    if (c->close) {
        /* a graceful shutdown closes idle connections, and busy ones when
         * worker_shutdown_timeout is over: their batches must learn that */

        if (ngx_queue_empty(&conn->flight)) {
            ngx_http_tenon_conn_close(conn);
            return;
        }

        conn->broken = 1;
        ngx_http_tenon_conn_process(conn);
        return;
    }

    ready = ev->write ? TN_PG_WRITE : TN_PG_READ;

    if (tn_pg_get_state(conn->pg) == TN_PG_CONNECTING) {
        (void) ngx_http_tenon_conn_want(conn, c->read, NGX_READ_EVENT, 0);
        (void) ngx_http_tenon_conn_want(conn, c->write, NGX_WRITE_EVENT, 0);
    }

    tn_pg_io(conn->pg, ready);

    ngx_http_tenon_conn_process(conn);
}


void
ngx_http_tenon_conn_kick(ngx_event_t *ev)
{
    ngx_http_tenon_conn_t *conn;

    conn = ev->data;

    if (tn_pg_more(conn->pg)) {
        tn_pg_io(conn->pg, TN_PG_READ);
    }

    ngx_http_tenon_conn_process(conn);
}
