/*
 * ngx_http_tenon_request.c: an nginx request as a tn_request, a tn_response
 * as nginx's answer.
 */

#include "ngx_http_tenon.h"


static void *ngx_http_tenon_alloc(void *self, size_t n);
static void ngx_http_tenon_path(ngx_http_request_t *r, tn_request *head);
static ngx_int_t
ngx_http_tenon_headers_in(ngx_http_request_t *r, tn_request *head);
static ngx_int_t
ngx_http_tenon_output_own(ngx_http_request_t *r, const tn_response *response);
static ngx_int_t
ngx_http_tenon_output(ngx_http_request_t *r, const tn_response *response);
static ngx_int_t
ngx_http_tenon_header_out(ngx_http_request_t *r, const tn_header *header);
static ngx_int_t ngx_http_tenon_hsts_out(ngx_http_request_t *r);
static ngx_int_t
ngx_http_tenon_has_header(ngx_http_request_t *r, const tn_header *header);


#define ngx_http_tenon_str(s) ((tn_str){ (char *) (s)->data, (s)->len })

#define ngx_http_tenon_name_is(header, lit)                       \
    ((header)->name.n == sizeof(lit) - 1 &&                       \
     ((header)->name.p[0] | 0x20) == ((lit)[0] | 0x20) &&         \
     ngx_strncasecmp((u_char *) (header)->name.p, (u_char *) lit, \
                     sizeof(lit) - 1) == 0)


ngx_int_t
ngx_http_tenon_create_op(ngx_http_tenon_ctx_t *ctx)
{
    tn_err err;
    struct timeval tv;
    tn_request *head;
    ngx_http_request_t *r;
    ngx_http_tenon_worker_t *worker;

    r = ctx->request;
    head = &ctx->head;
    worker = ctx->conf->worker;

    ctx->mem.alloc = ngx_http_tenon_alloc;
    ctx->mem.self = r->pool;

    head->method = ngx_http_tenon_str(&r->method_name);
    head->host = ngx_http_tenon_str(&r->headers_in.server);
    head->query = r->args.len ? ngx_http_tenon_str(&r->args) : TN_NULL;
    head->address = ngx_http_tenon_str(&r->connection->addr_text);

    ngx_http_tenon_path(r, head);

    if (ngx_http_tenon_headers_in(r, head) != NGX_OK) {
        return NGX_ERROR;
    }

    /* nginx caches time by the millisecond */

    ngx_gettimeofday(&tv);
    head->now = (int64_t) tv.tv_sec * 1000000 + tv.tv_usec;

    head->body_length = r->headers_in.chunked ? UINT64_MAX
                        : r->headers_in.content_length_n > 0
                            ? (uint64_t) r->headers_in.content_length_n
                            : 0;

#if (NGX_HTTP_SSL)
    head->tls = r->connection->ssl != NULL;
#endif

    if (ngx_http_tenon_random(worker->random, head->entropy,
                              sizeof(head->entropy)) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, ngx_errno,
                      "getrandom() failed");
        return NGX_ERROR;
    }

    err = tn_op_new(&ctx->op, worker->core, head, &ctx->mem);

    ngx_explicit_memzero(head->entropy, sizeof(head->entropy));

    if (err == TN_E_NOMEM) {
        ctx->op = NULL;
        ctx->response = tn_response_static(TN_E_INTERNAL);
        return NGX_OK;
    }

    ctx->want = tn_op_step(ctx->op, NULL);

    return NGX_OK;
}


static void *
ngx_http_tenon_alloc(void *self, size_t n)
{
    return ngx_palloc(self, n);
}


static void
ngx_http_tenon_path(ngx_http_request_t *r, tn_request *head)
{
    ngx_str_t *prefix;
    ngx_http_tenon_loc_conf_t *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_tenon_module);
    prefix = &tlcf->prefix;

    head->prefix = ngx_http_tenon_str(prefix);
    head->path = ngx_http_tenon_str(&r->uri);

    /* outside of the prefix: the whole URI, which is nobody's path */

    if (r->uri.len < prefix->len ||
        ngx_strncmp(r->uri.data, prefix->data, prefix->len) != 0) {
        return;
    }

    if (r->uri.len == prefix->len) {
        head->path = TN_STR("/");
        return;
    }

    if (r->uri.data[prefix->len] == '/') {
        head->path.p += prefix->len;
        head->path.n -= prefix->len;
    }
}


static ngx_int_t
ngx_http_tenon_headers_in(ngx_http_request_t *r, tn_request *head)
{
    size_t n;
    tn_header *headers;
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        n += part->nelts;
    }

    headers = ngx_palloc(r->pool, (n ? n : 1) * sizeof(tn_header));
    if (headers == NULL) {
        return NGX_ERROR;
    }

    head->headers = headers;
    head->nheaders = n;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            headers->name = ngx_http_tenon_str(&h[i].key);
            headers->value = ngx_http_tenon_str(&h[i].value);
            headers++;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_tenon_send(ngx_http_tenon_ctx_t *ctx)
{
    const tn_facts *facts;
    ngx_http_request_t *r;

    r = ctx->request;

    if (ctx->op == NULL) {
        return ngx_http_tenon_output_own(r, ctx->response);
    }

    facts = tn_op_facts(ctx->op);

    if (facts->log.n) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "tenon: %*s, request id: %*s", facts->log.n, facts->log.p,
                      facts->request_id.n, facts->request_id.p);
    }

    return ngx_http_tenon_output(r, ctx->response);
}


ngx_int_t
ngx_http_tenon_send_static(ngx_http_request_t *r, tn_err err)
{
    return ngx_http_tenon_output_own(r, tn_response_static(err));
}


/*
 * A response that no op has made: with the headers that an op would have
 * added, and without those that are there already.
 */
static ngx_int_t
ngx_http_tenon_output_own(ngx_http_request_t *r, const tn_response *response)
{
    unsigned i, n;
    tn_header *headers;
    tn_response own;

    headers = ngx_palloc(r->pool, (TN_CORS_HEADERS_MAX + response->nheaders) *
                                      sizeof(tn_header));
    if (headers == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    n = ngx_http_tenon_cors_headers(r, headers);

    for (i = 0; i < response->nheaders; i++) {
        headers[n++] = response->headers[i];
    }

    own = *response;
    own.headers = headers;
    own.nheaders = 0;

    for (i = 0; i < n; i++) {
        if (!ngx_http_tenon_has_header(r, &headers[i])) {
            headers[own.nheaders++] = headers[i];
        }
    }

    return ngx_http_tenon_output(r, &own);
}


static ngx_int_t
ngx_http_tenon_output(ngx_http_request_t *r, const tn_response *response)
{
    ngx_int_t rc;
    ngx_buf_t *b;
    ngx_uint_t i;
    ngx_chain_t out;

    /* an unread body would be taken for the next request */

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    r->headers_out.status = response->status;
    r->headers_out.content_length_n = response->body.n;

    /* preconditions have been decided, in the database */

    r->disable_not_modified = 1;

    for (i = 0; i < response->nheaders; i++) {
        if (ngx_http_tenon_header_out(r, &response->headers[i]) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ngx_http_tenon_hsts_out(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (response->status == NGX_HTTP_NO_CONTENT ||
        response->status == NGX_HTTP_NOT_MODIFIED) {
        r->headers_out.content_length_n = -1;
        r->header_only = 1;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    if (response->body.n == 0) {
        return ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = (u_char *) response->body.p;
    b->last = b->pos + response->body.n;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_tenon_header_out(ngx_http_request_t *r, const tn_header *header)
{
    ngx_table_elt_t *h;

    if (ngx_http_tenon_name_is(header, "Content-Type")) {
        r->headers_out.content_type.data = (u_char *) header->value.p;
        r->headers_out.content_type.len = header->value.n;
        r->headers_out.content_type_len = header->value.n;
        r->headers_out.content_type_lowcase = NULL;
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) header->name.p;
    h->key.len = header->name.n;
    h->value.data = (u_char *) header->value.p;
    h->value.len = header->value.n;
    h->lowcase_key = NULL;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    /*
     * Location stays out of headers_out.location: nginx would make it
     * absolute with a scheme and port that a proxy in front may not have.
     */

    if (ngx_http_tenon_name_is(header, "ETag")) {
        r->headers_out.etag = h;

    } else if (ngx_http_tenon_name_is(header, "WWW-Authenticate")) {
        r->headers_out.www_authenticate = h;
    }

    return NGX_OK;
}


/* Browsers take it over TLS only, and RFC 6797 has it sent nowhere else. */
static ngx_int_t
ngx_http_tenon_hsts_out(ngx_http_request_t *r)
{
#if (NGX_HTTP_SSL)
    tn_header header;
    ngx_http_tenon_main_conf_t *tmcf;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_tenon_module);

    if (tmcf->hsts.len && r->connection->ssl) {
        header.name = TN_STR("Strict-Transport-Security");
        header.value = ngx_http_tenon_str(&tmcf->hsts);

        return ngx_http_tenon_header_out(r, &header);
    }
#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_tenon_has_header(ngx_http_request_t *r, const tn_header *header)
{
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    /* another one says that the answer varies by something else as well */

    if (ngx_http_tenon_name_is(header, "Vary")) {
        return 0;
    }

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash && h[i].key.len == header->name.n &&
                ngx_strncasecmp(h[i].key.data, (u_char *) header->name.p,
                                header->name.n) == 0) {
                return 1;
            }
        }
    }

    return 0;
}


/*
 * For error_page: what nginx itself refused, as problem+json. Headers that
 * the refusal brought along (Retry-After, WWW-Authenticate, Allow) stay.
 */
ngx_int_t
ngx_http_tenon_problem_handler(ngx_http_request_t *r)
{
    tn_mem mem;
    tn_str request_id;
    ngx_uint_t status;
    const tn_response *response;

    status = r->err_status ? r->err_status : r->headers_out.status;

    if (status > 493 && status < 499) {
        /* nginx's own codes for bad TLS and bad header lines */
        status = NGX_HTTP_BAD_REQUEST;

    } else if (status < 400 || status > 599) {
        status = NGX_HTTP_NOT_FOUND;
    }

    request_id = ngx_http_tenon_request_id(r);

    mem.alloc = ngx_http_tenon_alloc;
    mem.self = r->pool;

    if (tn_response_problem(&response, (unsigned) status, request_id, &mem) !=
        TN_OK) {
        response = tn_response_static(TN_E_INTERNAL);
    }

    r->err_status = response->status;

    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);
    ngx_http_clear_content_length(r);

    return ngx_http_tenon_output_own(r, response);
}
