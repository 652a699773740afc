/*
 * ngx_http_tenon_module.c: directives, configuration, start and end of a
 * worker.
 */

#include "ngx_http_tenon.h"


/* as libcore's PUBLIC_BODY_MAX, and room for chunks around it */
#define NGX_HTTP_TENON_BODY_BUFFER 32768


static void *ngx_http_tenon_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_tenon_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_tenon_create_loc_conf(ngx_conf_t *cf);
static char *
ngx_http_tenon_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_tenon_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_tenon_init_process(ngx_cycle_t *cycle);
static void ngx_http_tenon_exit_process(ngx_cycle_t *cycle);


static ngx_conf_num_bounds_t ngx_http_tenon_pool_size_bounds = {
    ngx_conf_check_num_bounds, 1, 100
};

static ngx_conf_num_bounds_t ngx_http_tenon_queue_size_bounds = {
    ngx_conf_check_num_bounds, 1, 65536
};

static ngx_conf_num_bounds_t ngx_http_tenon_hash_jobs_bounds = {
    ngx_conf_check_num_bounds, 1, NGX_HTTP_TENON_JOBS_MAX
};

static ngx_conf_num_bounds_t ngx_http_tenon_hash_queue_bounds = {
    ngx_conf_check_num_bounds, 1, 65536
};

static ngx_conf_enum_t ngx_http_tenon_signup_realms[] = {
    { ngx_string("shared"), 0 },
    { ngx_string("own"), 1 },
    { ngx_null_string, 0 }
};

static ngx_conf_post_t ngx_http_tenon_time_post = { ngx_http_tenon_check_time };
static ngx_conf_post_t ngx_http_tenon_ttl_post = { ngx_http_tenon_check_ttl };
static ngx_conf_post_t ngx_http_tenon_idle_post = { ngx_http_tenon_check_idle };


/* clang-format off */

static ngx_command_t  ngx_http_tenon_commands[] = {

    { ngx_string("tenon"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_tenon,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tenon_problem"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_tenon_problem,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tenon_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_tenon_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tenon_database"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_tenon_database,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tenon_base_domain"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_tenon_base_domain,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tenon_cors_origins"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_tenon_cors_origins,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tenon_signing_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_tenon_key_ring,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, signing),
      NULL },

    { ngx_string("tenon_encryption_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_tenon_key_ring,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, encryption),
      NULL },

    { ngx_string("tenon_issuer"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_tenon_issuer,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tenon_inbound"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_tenon_inbound,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tenon_secret"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_tenon_key,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, secret),
      NULL },

    { ngx_string("tenon_hsts"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_tenon_hsts,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },
    { ngx_string("tenon_signup_realm"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, signup_realm),
      &ngx_http_tenon_signup_realms },

    { ngx_string("tenon_pool_size"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, pool_size),
      &ngx_http_tenon_pool_size_bounds },

    { ngx_string("tenon_queue_size"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, queue_size),
      &ngx_http_tenon_queue_size_bounds },

    { ngx_string("tenon_queue_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, queue_timeout),
      &ngx_http_tenon_time_post },

    { ngx_string("tenon_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, connect_timeout),
      &ngx_http_tenon_time_post },

    { ngx_string("tenon_prepare"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, prepare),
      NULL },

    { ngx_string("tenon_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, timeout),
      &ngx_http_tenon_time_post },

    { ngx_string("tenon_token_ttl"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, token_ttl),
      &ngx_http_tenon_ttl_post },

    { ngx_string("tenon_session_ttl"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, session_ttl),
      &ngx_http_tenon_ttl_post },

    { ngx_string("tenon_session_idle"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, session_idle),
      &ngx_http_tenon_idle_post },

    { ngx_string("tenon_hash_jobs"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, hash_jobs),
      &ngx_http_tenon_hash_jobs_bounds },

    { ngx_string("tenon_hash_queue"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_tenon_main_conf_t, hash_queue),
      &ngx_http_tenon_hash_queue_bounds },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_tenon_module_ctx = {
    ngx_http_tenon_add_variables,          /* preconfiguration */
    ngx_http_tenon_init,                   /* postconfiguration */

    ngx_http_tenon_create_main_conf,       /* create main configuration */
    ngx_http_tenon_init_main_conf,         /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_tenon_create_loc_conf,        /* create location configuration */
    ngx_http_tenon_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_http_tenon_module = {
    NGX_MODULE_V1,
    &ngx_http_tenon_module_ctx,            /* module context */
    ngx_http_tenon_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_tenon_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_tenon_exit_process,           /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};

/* clang-format on */


static void *
ngx_http_tenon_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_tenon_main_conf_t *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_tenon_main_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->zone = NULL;
     *     conf->database = { 0, NULL };
     *     conf->base_domain = { 0, NULL };
     *     conf->cors_origins = { 0, NULL };
     *     conf->signing = NULL;
     *     conf->encryption = NULL;
     *     conf->secret = NULL;
     *     conf->stripe = NULL;
     *     conf->hsts = { 0, NULL };
     *     conf->issuers = NULL;
     *     conf->thread_pool = NULL;
     *     conf->file = NULL;
     *     conf->line = 0;
     *     conf->worker = NULL;
     */

    conf->request_id = NGX_CONF_UNSET;
    conf->signup_realm = NGX_CONF_UNSET_UINT;
    conf->pool_size = NGX_CONF_UNSET;
    conf->queue_size = NGX_CONF_UNSET;
    conf->queue_timeout = NGX_CONF_UNSET_MSEC;
    conf->connect_timeout = NGX_CONF_UNSET_MSEC;
    conf->timeout = NGX_CONF_UNSET_MSEC;
    conf->token_ttl = NGX_CONF_UNSET;
    conf->session_ttl = NGX_CONF_UNSET;
    conf->session_idle = NGX_CONF_UNSET;
    conf->prepare = NGX_CONF_UNSET;
    conf->hash_jobs = NGX_CONF_UNSET;
    conf->hash_queue = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_http_tenon_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_tenon_main_conf_t *tmcf = conf;

    const char *missing;

    ngx_conf_init_uint_value(tmcf->signup_realm, 0);
    ngx_conf_init_value(tmcf->pool_size, 4);
    ngx_conf_init_value(tmcf->queue_size, 512);
    ngx_conf_init_msec_value(tmcf->queue_timeout, 2000);
    ngx_conf_init_msec_value(tmcf->connect_timeout, 3000);
    ngx_conf_init_msec_value(tmcf->timeout, 10000);
    ngx_conf_init_value(tmcf->token_ttl, 15 * 60);
    ngx_conf_init_value(tmcf->session_ttl, 30 * 24 * 3600);
    ngx_conf_init_value(tmcf->session_idle, 0);
    ngx_conf_init_value(tmcf->prepare, 1);
    ngx_conf_init_value(tmcf->hash_jobs, 2);
    ngx_conf_init_value(tmcf->hash_queue, 16);

    if (tmcf->file == NULL) {
        return NGX_CONF_OK;
    }

    missing = tmcf->zone == NULL         ? "tenon_zone"
              : tmcf->database.len == 0  ? "tenon_database"
              : tmcf->signing == NULL    ? "tenon_signing_key"
              : tmcf->secret == NULL     ? "tenon_secret"
              : tmcf->encryption == NULL ? "tenon_encryption_key"
                                         : NULL;

    if (missing) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"tenon\" requires the \"%s\" directive in %s:%ui",
                      missing, tmcf->file, tmcf->line);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_tenon_issuers_check(cf, tmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    tmcf->thread_pool = ngx_thread_pool_add(cf, NULL);
    if (tmcf->thread_pool == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_tenon_create_loc_conf(ngx_conf_t *cf)
{
    /*
     * set by ngx_pcalloc():
     *
     *     conf->enabled = 0;
     *     conf->prefix = { 0, NULL };
     */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_tenon_loc_conf_t));
}


static char *
ngx_http_tenon_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_tenon_loc_conf_t *prev = parent;
    ngx_http_tenon_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t *clcf;

    /* "if" and "limit_except" blocks are the location that they stand in */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && clcf->handler == NULL && prev->enabled) {
        *conf = *prev;
        clcf->handler = ngx_http_tenon_handler;
    }

    /* bodies with passwords, 16k at most, must not get onto the disk */

    if (conf->enabled &&
        clcf->client_body_buffer_size < NGX_HTTP_TENON_BODY_BUFFER) {
        clcf->client_body_buffer_size = NGX_HTTP_TENON_BODY_BUFFER;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_tenon_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt *h;
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_tenon_main_conf_t *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tenon_module);

    if (tmcf->file == NULL) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_tenon_preaccess_handler;

    return NGX_OK;
}


static tn_core *
ngx_http_tenon_create_core(ngx_http_tenon_main_conf_t *tmcf, ngx_log_t *log)
{
    tn_err err;
    tn_core *core;
    tn_core_conf conf;

    tn_core_conf_init(&conf);

    conf.base_domain.p = (char *) tmcf->base_domain.data;
    conf.base_domain.n = tmcf->base_domain.len;
    conf.cors_origins.p = (char *) tmcf->cors_origins.data;
    conf.cors_origins.n = tmcf->cors_origins.len;
    conf.signing = *tmcf->signing;
    conf.encryption = *tmcf->encryption;

    if (tmcf->issuers) {
        conf.issuers = tmcf->issuers->elts;
        conf.nissuers = (unsigned) tmcf->issuers->nelts;
    }

    if (tmcf->stripe) {
        conf.stripe = *tmcf->stripe;
    }

    conf.token_ttl = (uint32_t) tmcf->token_ttl;
    conf.session_ttl = (uint32_t) tmcf->session_ttl;
    conf.session_idle = (uint32_t) tmcf->session_idle;
    conf.signup_own_realm = (int) tmcf->signup_realm;
    ngx_memcpy(conf.secret, tmcf->secret, TN_KEY_LEN);

    err = tn_core_new(&core, &conf);

    ngx_explicit_memzero(&conf, sizeof(tn_core_conf));

    if (err != TN_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "tenon core could not be made");
        return NULL;
    }

    return core;
}


/*
 * A core has of them what it needs; what the master keeps is for the next
 * worker.
 */
static void
ngx_http_tenon_wipe_keys(ngx_http_tenon_main_conf_t *tmcf)
{
    ngx_explicit_memzero(tmcf->signing, sizeof(tn_key_ring));
    ngx_explicit_memzero(tmcf->encryption, sizeof(tn_key_ring));
    ngx_explicit_memzero(tmcf->secret, TN_KEY_LEN);

    if (tmcf->stripe) {
        ngx_explicit_memzero(tmcf->stripe, sizeof(tn_webhook_secrets));
    }
}


static ngx_int_t
ngx_http_tenon_init_process(ngx_cycle_t *cycle)
{
    ngx_http_tenon_worker_t *worker;
    ngx_http_tenon_main_conf_t *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_tenon_module);

    if (tmcf == NULL || tmcf->file == NULL) {
        return NGX_OK;
    }

    if (ngx_process != NGX_PROCESS_WORKER &&
        ngx_process != NGX_PROCESS_SINGLE) {
        ngx_http_tenon_wipe_keys(tmcf);
        return NGX_OK;
    }

    worker = ngx_pcalloc(cycle->pool, sizeof(ngx_http_tenon_worker_t));
    if (worker == NULL) {
        return NGX_ERROR;
    }

    worker->random = ngx_http_tenon_random_create(cycle->pool);
    if (worker->random == NULL) {
        return NGX_ERROR;
    }

    worker->core = ngx_http_tenon_create_core(tmcf, cycle->log);

    ngx_http_tenon_wipe_keys(tmcf);

    if (worker->core == NULL) {
        return NGX_ERROR;
    }

    tmcf->worker = worker;

    ngx_http_tenon_cold_init(worker);

    if (ngx_http_tenon_jobs_init(tmcf, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_tenon_pool_init(tmcf, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_tenon_flush_init(tmcf, cycle);
}


static void
ngx_http_tenon_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_tenon_main_conf_t *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_tenon_module);

    if (tmcf == NULL || tmcf->worker == NULL) {
        return;
    }

    ngx_http_tenon_pool_done(tmcf->worker->pool);
    ngx_http_tenon_jobs_done(tmcf);
    ngx_http_tenon_flush_done(tmcf);

    /*
     * Requests that a fast shutdown cuts off still hold ops of the core:
     * their pools are never destroyed, and the process ends here.
     */

    tn_core_free(tmcf->worker->core);
    tmcf->worker = NULL;
}
