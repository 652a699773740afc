/*
 * ngx_http_tenon_variables.c: what is known of a request, for limits and logs.
 * Nothing is cached: what isn't known yet may be known in the next phase.
 */

#include "ngx_http_tenon.h"


static ngx_int_t
ngx_http_tenon_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                        uintptr_t data);
static ngx_int_t
ngx_http_tenon_variable_request_id(ngx_http_request_t *r,
                                   ngx_http_variable_value_t *v,
                                   uintptr_t data);
static ngx_int_t
ngx_http_tenon_variable_error(ngx_http_request_t *r,
                              ngx_http_variable_value_t *v, uintptr_t data);


/* clang-format off */

static ngx_http_variable_t  ngx_http_tenon_vars[] = {

    { ngx_string("tenon_tenant"), NULL, ngx_http_tenon_variable,
      offsetof(tn_facts, tenant), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tenon_tenant_id"), NULL, ngx_http_tenon_variable,
      offsetof(tn_facts, tenant_id), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tenon_user"), NULL, ngx_http_tenon_variable,
      offsetof(tn_facts, user_id), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tenon_request_id"), NULL,
      ngx_http_tenon_variable_request_id, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tenon_operation"), NULL, ngx_http_tenon_variable,
      offsetof(tn_facts, operation), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tenon_trace_id"), NULL, ngx_http_tenon_variable,
      offsetof(tn_facts, trace_id), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tenon_error"), NULL, ngx_http_tenon_variable_error,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};

/* clang-format on */


ngx_int_t
ngx_http_tenon_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t *var, *v;

    for (v = ngx_http_tenon_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static void
ngx_http_tenon_variable_set(ngx_http_variable_value_t *v, tn_str s)
{
    if (s.p == NULL) {
        v->not_found = 1;
        return;
    }

    v->len = s.n;
    v->data = (u_char *) s.p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}


static ngx_int_t
ngx_http_tenon_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                        uintptr_t data)
{
    const char *facts;
    ngx_http_tenon_ctx_t *ctx;

    ctx = ngx_http_tenon_get_ctx(r->main);

    if (ctx == NULL || ctx->op == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    facts = (const char *) tn_op_facts(ctx->op);

    ngx_http_tenon_variable_set(v, *(const tn_str *) (facts + data));

    return NGX_OK;
}


static ngx_int_t
ngx_http_tenon_variable_error(ngx_http_request_t *r,
                              ngx_http_variable_value_t *v, uintptr_t data)
{
    tn_err err;
    ngx_http_tenon_ctx_t *ctx;

    ctx = ngx_http_tenon_get_ctx(r->main);

    err = (ctx && ctx->op) ? tn_op_facts(ctx->op)->error : TN_OK;

    ngx_http_tenon_variable_set(v, err == TN_OK ? TN_NULL : tn_err_code(err));

    return NGX_OK;
}


static ngx_int_t
ngx_http_tenon_variable_request_id(ngx_http_request_t *r,
                                   ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_tenon_variable_set(v, ngx_http_tenon_request_id(r));

    return NGX_OK;
}


tn_str
ngx_http_tenon_request_id(ngx_http_request_t *r)
{
    ngx_http_tenon_ctx_t *ctx;
    ngx_http_variable_value_t *vv;
    ngx_http_tenon_main_conf_t *tmcf;

    ctx = ngx_http_tenon_get_ctx(r->main);

    if (ctx && ctx->op) {
        return tn_op_facts(ctx->op)->request_id;
    }

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_tenon_module);

    if (tmcf->request_id == NGX_CONF_UNSET) {
        return TN_NULL;
    }

    vv = ngx_http_get_indexed_variable(r->main, tmcf->request_id);

    if (vv == NULL || vv->not_found) {
        return TN_NULL;
    }

    return (tn_str){ (char *) vv->data, vv->len };
}
