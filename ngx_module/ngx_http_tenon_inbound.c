/*
 * ngx_http_tenon_inbound.c: the directive "tenon_inbound": who may send events
 * in, and the secrets that they are signed with. These are read with the
 * configuration, so a reload brings new ones.
 */

#include "ngx_http_tenon.h"


static char *
ngx_http_tenon_inbound_read(ngx_conf_t *cf, ngx_command_t *cmd, ngx_str_t *name,
                            tn_webhook_scheme scheme,
                            tn_webhook_secrets *secrets);
static void ngx_http_tenon_wipe_secrets(void *data);


/* as many secrets as there may be, and room to see that more follow */
#define NGX_HTTP_TENON_SECRETS_FILE 1024


typedef struct {
    ngx_str_t name;
    tn_webhook_scheme scheme;
    size_t offset;
} ngx_http_tenon_provider_t;


static ngx_http_tenon_provider_t ngx_http_tenon_providers[] = {
    { ngx_string("stripe"), TN_WEBHOOK_STRIPE,
      offsetof(ngx_http_tenon_main_conf_t, stripe) },
    { ngx_null_string, 0, 0 }
};


char *
ngx_http_tenon_inbound(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    char *rv;
    ngx_str_t *value;
    ngx_pool_cleanup_t *cln;
    tn_webhook_secrets **secrets;
    ngx_http_tenon_provider_t *provider;

    value = cf->args->elts;

    for (provider = ngx_http_tenon_providers; provider->name.len; provider++) {

        if (value[1].len != provider->name.len ||
            ngx_strncmp(value[1].data, provider->name.data, value[1].len) !=
                0) {
            continue;
        }

        secrets = (tn_webhook_secrets **) (p + provider->offset);

        if (*secrets) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate provider "
                               "\"%V\"",
                               &value[1]);
            return NGX_CONF_ERROR;
        }

        cln = ngx_pool_cleanup_add(cf->pool, sizeof(tn_webhook_secrets));
        if (cln == NULL) {
            return NGX_CONF_ERROR;
        }

        cln->handler = ngx_http_tenon_wipe_secrets;

        rv = ngx_http_tenon_inbound_read(cf, cmd, &value[2], provider->scheme,
                                         cln->data);

        if (rv == NGX_CONF_OK) {
            *secrets = cln->data;
        }

        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid provider \"%V\", it must be \"stripe\"",
                       &value[1]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_tenon_inbound_read(ngx_conf_t *cf, ngx_command_t *cmd, ngx_str_t *name,
                            tn_webhook_scheme scheme,
                            tn_webhook_secrets *secrets)
{
    int ok;
    u_char text[NGX_HTTP_TENON_SECRETS_FILE];
    tn_str s;
    ssize_t n;
    unsigned line;
    ngx_str_t file;
    const char *fault;

    file = *name;

    if (ngx_conf_full_name(cf->cycle, &file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    n = ngx_http_tenon_read_file(cf, &cmd->name, &file, S_IROTH | S_IWOTH, text,
                                 sizeof(text));
    if (n == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    s.p = (char *) text;
    s.n = n;
    ok = tn_webhook_secrets_parse(secrets, &line, &fault, scheme, s);

    ngx_explicit_memzero(text, sizeof(text));

    if (!ok) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": file \"%V\", line %ui: %s", &cmd->name,
                           &file, (ngx_uint_t) line, fault);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_tenon_wipe_secrets(void *data)
{
    ngx_explicit_memzero(data, sizeof(tn_webhook_secrets));
}
