/*
 * ngx_http_tenon_body.c: the request body as one run of bytes.
 */

#include "ngx_http_tenon.h"


static ngx_int_t ngx_http_tenon_copy_body(ngx_http_request_t *r, u_char *p);


ngx_int_t
ngx_http_tenon_read_body(ngx_http_tenon_ctx_t *ctx,
                         ngx_http_client_body_handler_pt handler)
{
    ngx_int_t rc;
    ngx_http_request_t *r;

    r = ctx->request;

    if (r->headers_in.content_length_n > (off_t) ctx->want->body_max) {
        ngx_memzero(&ctx->input, sizeof(tn_input));
        ctx->input.failed = TN_E_TOO_LARGE;
        return NGX_OK;
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


/* The body has been read: makes ctx->input of it. */
ngx_int_t
ngx_http_tenon_collect_body(ngx_http_tenon_ctx_t *ctx)
{
    off_t size;
    u_char *p;
    ngx_buf_t *b;
    ngx_chain_t *cl;
    ngx_http_request_t *r;

    r = ctx->request;

    ngx_memzero(&ctx->input, sizeof(tn_input));
    ctx->input.waited_ms = ngx_current_msec - ctx->known;

    size = 0;
    cl = r->request_body ? r->request_body->bufs : NULL;

    for (/* void */; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    if (size > (off_t) ctx->want->body_max) {
        ctx->input.failed = TN_E_TOO_LARGE;
        return NGX_OK;
    }

    ctx->input.body = TN_STR("");

    if (size == 0) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;
    b = cl->buf;

    if (cl->next == NULL && ngx_buf_in_memory(b)) {
        ctx->input.body.p = (char *) b->pos;
        ctx->input.body.n = (size_t) size;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, (size_t) size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->input.body.p = (char *) p;
    ctx->input.body.n = (size_t) size;

    return ngx_http_tenon_copy_body(r, p);
}


/*
 * A body beyond client_body_buffer_size lies in a temporary file. Reading it
 * back blocks for no longer than a page-cache copy of what has just been
 * written, at most body_max bytes.
 */
static ngx_int_t
ngx_http_tenon_copy_body(ngx_http_request_t *r, u_char *p)
{
    size_t n;
    ssize_t got;
    ngx_buf_t *b;
    ngx_chain_t *cl;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (!b->in_file) {
            continue;
        }

        n = (size_t) (b->file_last - b->file_pos);
        got = ngx_read_file(b->file, p, n, b->file_pos);

        if (got == NGX_ERROR) {
            return NGX_ERROR;
        }

        if ((size_t) got != n) {
            ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                          ngx_read_file_n " read only %z of %uz from \"%V\"",
                          got, n, &b->file->name);
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}
