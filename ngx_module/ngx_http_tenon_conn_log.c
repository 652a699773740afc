/*
 * ngx_http_tenon_conn_log.c: what the error log says of database connections:
 * that one was lost and why, that the database is back, what can't be prepared.
 * Once and not again for each attempt: a server that is away for an hour, or a
 * table that is gone, must not fill a disk.
 */

#include "ngx_http_tenon_pool.h"


static ngx_uint_t
ngx_http_tenon_conn_news(ngx_http_tenon_pool_t *pool, tn_str error);
static tn_str ngx_http_tenon_first_line(tn_str s);


void
ngx_http_tenon_conn_log_lost(ngx_http_tenon_conn_t *conn, const char *why,
                             ngx_uint_t early)
{
    tn_str error;
    ngx_uint_t level, loud;
    ngx_http_tenon_pool_t *pool;

    pool = conn->pool;
    error = ngx_http_tenon_first_line(tn_pg_error(conn->pg));

    loud = ngx_http_tenon_loud(early ? pool->early : pool->failures) ||
           (conn->joined && !early);

    if (!conn->joined && ngx_http_tenon_conn_news(pool, error)) {
        loud = 1;
    }

    level = loud ? NGX_LOG_ERR : NGX_LOG_INFO;

    ngx_log_error(level, pool->log, 0, "tenon: database connection %s%s%*s",
                  why, error.n ? ": " : "", error.n, error.n ? error.p : "");
}


/* Another reason why nobody gets in, however many attempts have failed. */
static ngx_uint_t
ngx_http_tenon_conn_news(ngx_http_tenon_pool_t *pool, tn_str error)
{
    uint32_t said;

    said = pool->said;
    pool->said = ngx_crc32_short((u_char *) error.p, error.n);

    return pool->said != said;
}


void
ngx_http_tenon_conn_log_back(ngx_http_tenon_pool_t *pool)
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


void
ngx_http_tenon_conn_log_lacks(ngx_http_tenon_conn_t *conn)
{
    tn_str why;
    uint32_t lacking;
    ngx_uint_t level;
    ngx_http_tenon_pool_t *pool;

    pool = conn->pool;
    why = ngx_http_tenon_first_line(tn_pg_refusal(conn->pg));

    if (why.n) {
        lacking = ngx_crc32_short((u_char *) why.p, why.n);
        level = lacking != pool->lacking ? NGX_LOG_WARN : NGX_LOG_INFO;
        ngx_log_error(level, pool->log, 0,
                      "tenon: %*s, connections serve without", why.n, why.p);
        pool->lacking = lacking;

    } else if (pool->lacking && !conn->bare) {
        ngx_log_error(NGX_LOG_NOTICE, pool->log, 0,
                      "tenon: all statements are prepared again");
        pool->lacking = 0;
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
