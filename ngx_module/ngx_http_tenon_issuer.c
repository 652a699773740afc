/*
 * ngx_http_tenon_issuer.c: the directive "tenon_issuer": others whose tokens
 * are accepted. Their keys are read with the configuration, so a reload brings
 * new ones.
 */

#include "ngx_http_tenon.h"


static ngx_int_t ngx_http_tenon_issuer_param(ngx_conf_t *cf, tn_issuer *issuer,
                                             tn_str *jwks, ngx_str_t *value);
static ngx_int_t ngx_http_tenon_issuer_keys(ngx_conf_t *cf, ngx_command_t *cmd,
                                            tn_issuer *issuer, ngx_str_t *file);


/* 64 keys with their certificates take less */
#define NGX_HTTP_TENON_JWKS_FILE (256 * 1024)


char *
ngx_http_tenon_issuer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tenon_main_conf_t *tmcf = conf;

    unsigned key;
    tn_str jwks;
    ngx_str_t *value, file;
    tn_issuer *issuer, *known;
    ngx_uint_t i;
    const char *fault;

    if (tmcf->issuers == NULL) {
        tmcf->issuers = ngx_array_create(cf->pool, 2, sizeof(tn_issuer));
        if (tmcf->issuers == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (tmcf->issuers->nelts == TN_ISSUERS_MAX) {
        return "stands more than 32 times";
    }

    value = cf->args->elts;
    known = tmcf->issuers->elts;

    for (i = 0; i < tmcf->issuers->nelts; i++) {
        if (known[i].issuer.n == value[1].len &&
            ngx_memcmp(known[i].issuer.p, value[1].data, value[1].len) == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate issuer \"%V\"",
                               &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    issuer = ngx_array_push(tmcf->issuers);
    if (issuer == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(issuer, sizeof(tn_issuer));
    jwks = TN_NULL;
    issuer->issuer.p = (char *) value[1].data;
    issuer->issuer.n = value[1].len;

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_tenon_issuer_param(cf, issuer, &jwks, &value[i]) !=
            NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    file.data = (u_char *) jwks.p;
    file.len = jwks.n;

    if (file.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" requires the \"jwks\" parameter",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (!issuer->tenant.n == !issuer->tenant_claim.n) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" requires either the \"tenant\" or the "
                           "\"tenant_claim\" parameter",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_tenon_issuer_keys(cf, cmd, issuer, &file) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (tn_issuer_check(issuer, &key, &fault)) {
        return NGX_CONF_OK;
    }

    if (key) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": file \"%V\", key %ui: %s", &cmd->name,
                           &file, (ngx_uint_t) key, fault);
    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": issuer \"%V\", file \"%V\": %s", &cmd->name,
                           &value[1], &file, fault);
    }

    return NGX_CONF_ERROR;
}


/* Each once, and not empty. */
static ngx_int_t
ngx_http_tenon_issuer_param(ngx_conf_t *cf, tn_issuer *issuer, tn_str *jwks,
                            ngx_str_t *value)
{
    size_t n;
    tn_str *to;
    ngx_uint_t i;
    const struct {
        ngx_str_t name;
        tn_str *to;
    } params[] = {
        { ngx_string("jwks="), jwks },
        { ngx_string("audience="), &issuer->audience },
        { ngx_string("tenant="), &issuer->tenant },
        { ngx_string("tenant_claim="), &issuer->tenant_claim },
        { ngx_string("user_claim="), &issuer->user_claim },
    };

    for (i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
        n = params[i].name.len;
        to = params[i].to;

        if (value->len <= n || to->n ||
            ngx_strncmp(value->data, params[i].name.data, n) != 0) {
            continue;
        }

        to->p = (char *) value->data + n;
        to->n = value->len - n;

        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", value);

    return NGX_ERROR;
}


/* Public keys: anybody may read them, but nobody else may write. */
static ngx_int_t
ngx_http_tenon_issuer_keys(ngx_conf_t *cf, ngx_command_t *cmd,
                           tn_issuer *issuer, ngx_str_t *file)
{
    u_char *p;
    ssize_t n;

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(cf->pool, NGX_HTTP_TENON_JWKS_FILE);
    if (p == NULL) {
        return NGX_ERROR;
    }

    n = ngx_http_tenon_read_file(cf, &cmd->name, file, S_IWOTH, p,
                                 NGX_HTTP_TENON_JWKS_FILE);
    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (n == NGX_HTTP_TENON_JWKS_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": file \"%V\" is too large", &cmd->name,
                           file);
        return NGX_ERROR;
    }

    issuer->jwks.p = (char *) p;
    issuer->jwks.n = n;

    return NGX_OK;
}


ngx_int_t
ngx_http_tenon_issuers_check(ngx_conf_t *cf, ngx_http_tenon_main_conf_t *tmcf)
{
    ngx_str_t name;
    tn_issuer *issuer;
    ngx_uint_t i;

    if (tmcf->issuers == NULL || tmcf->base_domain.len) {
        return NGX_OK;
    }

    issuer = tmcf->issuers->elts;

    for (i = 0; i < tmcf->issuers->nelts; i++) {
        if (issuer[i].audience.n == 0) {
            name.data = (u_char *) issuer[i].issuer.p;
            name.len = issuer[i].issuer.n;
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "issuer \"%V\" requires the \"audience\" parameter, "
                          "or the \"tenon_base_domain\" directive in "
                          "%s:%ui",
                          &name, tmcf->file, tmcf->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
