/*
 * ngx_http_tenon_cors.c: pages of other origins: which may read answers, and
 * the headers that say so on answers that the module makes itself. The core
 * puts them on its own, and answers preflights.
 */

#include "ngx_http_tenon.h"


static ngx_int_t ngx_http_tenon_origin(ngx_str_t *origin);
static ngx_int_t
ngx_http_tenon_origin_port(u_char *p, size_t n, ngx_int_t default_port);


char *
ngx_http_tenon_cors_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tenon_main_conf_t *tmcf = conf;

    u_char *p;
    size_t len;
    ngx_str_t *value;
    ngx_uint_t i, j;

    if (tmcf->cors_origins.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    len = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 1 && value[i].data[0] == '*') {

            if (cf->args->nelts > 2) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "\"*\" is all origins: no other can stand "
                                   "beside it in \"%V\" directive",
                                   &cmd->name);
                return NGX_CONF_ERROR;
            }

        } else if (ngx_http_tenon_origin(&value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid origin \"%V\", it must be as browsers "
                               "send it: \"http://\" or \"https://\", a host "
                               "in lower case, a port unless it is the "
                               "default one, no slash behind",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        for (j = 1; j < i; j++) {
            if (value[j].len == value[i].len &&
                ngx_memcmp(value[j].data, value[i].data, value[i].len) == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate origin \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }
        }

        len += value[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    tmcf->cors_origins.data = p;
    tmcf->cors_origins.len = len - 1;

    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ' ';
    }

    return NGX_CONF_OK;
}


/*
 * Origins are compared byte by byte with what browsers send: one that they
 * never send so (a path, upper case, a default port) would allow nobody.
 */
static ngx_int_t
ngx_http_tenon_origin(ngx_str_t *origin)
{
    u_char ch, *p, *host, *last;
    ngx_int_t default_port;
    ngx_uint_t dot;

    p = origin->data;
    last = p + origin->len;

    if (origin->len > 8 && ngx_strncmp(p, "https://", 8) == 0) {
        host = p + 8;
        default_port = 443;

    } else if (origin->len > 7 && ngx_strncmp(p, "http://", 7) == 0) {
        host = p + 7;
        default_port = 80;

    } else {
        return NGX_ERROR;
    }

    p = host;

    if (*p == '[') {
        for (p++; p < last && *p != ']'; p++) {
            if ((*p < '0' || *p > '9') && (*p < 'a' || *p > 'f') && *p != ':') {
                return NGX_ERROR;
            }
        }

        if (p == last || p == host + 1) {
            return NGX_ERROR;
        }

        p++;

    } else {
        dot = 1;

        for (/* void */; p < last && *p != ':'; p++) {
            ch = *p;

            if (ch == '.' && !dot) {
                dot = 1;
                continue;
            }

            if ((ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && ch != '-' &&
                ch != '_') {
                return NGX_ERROR;
            }

            dot = 0;
        }

        if (dot) {
            return NGX_ERROR;
        }
    }

    if (p == last) {
        return NGX_OK;
    }

    if (*p != ':') {
        return NGX_ERROR;
    }

    return ngx_http_tenon_origin_port(p + 1, last - p - 1, default_port);
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
