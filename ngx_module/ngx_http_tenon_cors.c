/*
 * ngx_http_tenon_cors.c: pages of other origins: which may read answers, and
 * the headers that say so on answers that the module makes itself. The core
 * puts them on its own, and answers preflights.
 */

#include "ngx_http_tenon.h"


static ngx_int_t
ngx_http_tenon_origins_check(ngx_conf_t *cf, const ngx_str_t *name);
static ngx_int_t ngx_http_tenon_origins_join(ngx_str_t *out, ngx_array_t *args,
                                             ngx_pool_t *pool);
static ngx_int_t ngx_http_tenon_origin(const ngx_str_t *origin);
static u_char *ngx_http_tenon_origin_address(u_char *p, u_char *last);
static u_char *ngx_http_tenon_origin_name(u_char *p, u_char *last);
static ngx_int_t
ngx_http_tenon_origin_port(u_char *p, size_t n, ngx_int_t default_port);


char *
ngx_http_tenon_cors_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tenon_main_conf_t *tmcf = conf;

    if (tmcf->cors_origins.data) {
        return "is duplicate";
    }

    if (ngx_http_tenon_origins_check(cf, &cmd->name) != NGX_OK ||
        ngx_http_tenon_origins_join(&tmcf->cors_origins, cf->args, cf->pool) !=
            NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_tenon_origins_check(ngx_conf_t *cf, const ngx_str_t *name)
{
    ngx_str_t *value;
    ngx_uint_t i, j;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 1 && value[i].data[0] == '*') {

            if (cf->args->nelts > 2) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "\"*\" is all origins: no other can stand "
                                   "beside it in \"%V\" directive",
                                   name);
                return NGX_ERROR;
            }

        } else if (ngx_http_tenon_origin(&value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid origin \"%V\", it must be as browsers "
                               "send it: \"http://\" or \"https://\", a host "
                               "in lower case, a port unless it is the "
                               "default one, no slash behind",
                               &value[i]);
            return NGX_ERROR;
        }

        for (j = 1; j < i; j++) {
            if (value[j].len == value[i].len &&
                ngx_memcmp(value[j].data, value[i].data, value[i].len) == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate origin \"%V\"", &value[i]);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* The directive's arguments with a space between: as the core takes them. */
static ngx_int_t
ngx_http_tenon_origins_join(ngx_str_t *out, ngx_array_t *args, ngx_pool_t *pool)
{
    u_char *p;
    size_t len;
    ngx_str_t *value;
    ngx_uint_t i;

    value = args->elts;
    len = 0;

    for (i = 1; i < args->nelts; i++) {
        len += value[i].len + 1;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;
    out->len = len - 1;

    for (i = 1; i < args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ' ';
    }

    return NGX_OK;
}


/*
 * Origins are compared byte by byte with what browsers send: one that they
 * never send so (a path, upper case, a default port) would allow nobody.
 */
static ngx_int_t
ngx_http_tenon_origin(const ngx_str_t *origin)
{
    u_char *p, *last;
    ngx_int_t default_port;

    p = origin->data;
    last = p + origin->len;

    if (origin->len > 8 && ngx_strncmp(p, "https://", 8) == 0) {
        p += 8;
        default_port = 443;

    } else if (origin->len > 7 && ngx_strncmp(p, "http://", 7) == 0) {
        p += 7;
        default_port = 80;

    } else {
        return NGX_ERROR;
    }

    p = *p == '[' ? ngx_http_tenon_origin_address(p + 1, last)
                  : ngx_http_tenon_origin_name(p, last);

    if (p == NULL || (p < last && *p != ':')) {
        return NGX_ERROR;
    }

    if (p == last) {
        return NGX_OK;
    }

    return ngx_http_tenon_origin_port(p + 1, last - p - 1, default_port);
}


/* Behind the bracket that ends an IPv6 address; NULL: it is none. */
static u_char *
ngx_http_tenon_origin_address(u_char *p, u_char *last)
{
    u_char *first;

    for (first = p; p < last && *p != ']'; p++) {
        if ((*p < '0' || *p > '9') && (*p < 'a' || *p > 'f') && *p != ':') {
            return NULL;
        }
    }

    return p == last || p == first ? NULL : p + 1;
}


/* Behind a host's name; NULL: it is none. */
static u_char *
ngx_http_tenon_origin_name(u_char *p, u_char *last)
{
    u_char ch;
    ngx_uint_t dot;

    dot = 1;

    for (/* void */; p < last && *p != ':'; p++) {
        ch = *p;

        if (ch == '.' && !dot) {
            dot = 1;
            continue;
        }

        if ((ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && ch != '-' &&
            ch != '_') {
            return NULL;
        }

        dot = 0;
    }

    return dot ? NULL : p;
}


static ngx_int_t
ngx_http_tenon_origin_port(u_char *p, size_t n, ngx_int_t default_port)
{
    ngx_int_t port;

    if (n == 0 || n > 5 || p[0] == '0') {
        return NGX_ERROR;
    }

    port = ngx_atoi(p, n);

    return (port == NGX_ERROR || port > 65535 || port == default_port)
               ? NGX_ERROR
               : NGX_OK;
}


/* Writes at most TN_CORS_HEADERS_MAX headers; returns how many. */
ngx_uint_t
ngx_http_tenon_cors_headers(ngx_http_request_t *r, tn_header *out)
{
    tn_str origin;
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_http_tenon_main_conf_t *tmcf;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_tenon_module);

    if (tmcf->worker == NULL) {
        return 0;
    }

    origin = TN_NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == sizeof("Origin") - 1 &&
                ngx_strncasecmp(h[i].key.data, (u_char *) "Origin",
                                sizeof("Origin") - 1) == 0) {

                origin.p = (char *) h[i].value.data;
                origin.n = h[i].value.len;
            }
        }
    }

    return tn_cors_headers(out, tmcf->worker->core, origin);
}
