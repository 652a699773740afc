/*
 * ngx_http_tenon.h: what the files of the module share: configuration, the
 * context of one request, and the five things that a worker owns (database
 * pool, hash jobs, entropy, requests waiting for the catalogue, the flusher of
 * what tenants have used).
 */

#ifndef _NGX_HTTP_TENON_H_INCLUDED_
#define _NGX_HTTP_TENON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <tenon/core.h>
#include <tenon/pg.h>

#include "ngx_http_tenon_meter.h"

#if !(NGX_THREADS)
#error "the tenon module requires nginx built with --with-threads"
#endif


#define NGX_HTTP_TENON_JOBS_MAX 64

typedef struct ngx_http_tenon_ctx_s ngx_http_tenon_ctx_t;
typedef struct ngx_http_tenon_pool_s ngx_http_tenon_pool_t;
typedef struct ngx_http_tenon_batch_s ngx_http_tenon_batch_t;
typedef struct ngx_http_tenon_jobs_s ngx_http_tenon_jobs_t;
typedef struct ngx_http_tenon_task_s ngx_http_tenon_task_t;
typedef struct ngx_http_tenon_random_s ngx_http_tenon_random_t;
typedef struct ngx_http_tenon_flusher_s ngx_http_tenon_flusher_t;


/* What a worker owns: made at its start, torn down at its exit. */
typedef struct {
    tn_core *core;
    ngx_http_tenon_pool_t *pool;
    ngx_http_tenon_jobs_t *jobs;
    ngx_http_tenon_random_t *random;
    ngx_http_tenon_flusher_t *flusher;

    /* requests that came before the catalogue */
    ngx_queue_t cold;
    ngx_uint_t ncold;
    ngx_event_t cold_timer;
} ngx_http_tenon_worker_t;


typedef struct {
    ngx_shm_zone_t *zone;
    ngx_str_t database; /* NUL-terminated */
    ngx_str_t base_domain;
    ngx_str_t cors_origins; /* with blanks between; not set: none */
    tn_key_ring *signing;
    tn_key_ring *encryption;
    u_char *secret;
    tn_webhook_secrets *stripe; /* NULL: Stripe sends nothing in */
    ngx_str_t hsts;             /* "max-age=31536000"; empty: none is sent */
    ngx_array_t *issuers;       /* of tn_issuer; NULL: none */
    ngx_uint_t signup_realm;    /* 1: the new tenant's own */

    ngx_int_t pool_size;
    ngx_int_t queue_size;
    ngx_msec_t queue_timeout;
    ngx_msec_t connect_timeout;
    ngx_msec_t timeout;
    time_t token_ttl;
    time_t session_ttl;
    time_t session_idle;
    ngx_flag_t prepare;
    ngx_int_t hash_jobs;
    ngx_int_t hash_queue;

    ngx_thread_pool_t *thread_pool;
    ngx_int_t request_id; /* nginx's own, for what it refuses itself */

    /* where the first "tenon" directive stands; NULL if there is none */
    u_char *file;
    ngx_uint_t line;

    ngx_http_tenon_worker_t *worker;
} ngx_http_tenon_main_conf_t;


typedef struct {
    ngx_flag_t enabled;
    ngx_str_t prefix;
} ngx_http_tenon_loc_conf_t;


struct ngx_http_tenon_ctx_s {
    ngx_http_request_t *request;
    ngx_http_tenon_main_conf_t *conf;

    tn_mem mem;
    tn_request head;
    tn_op *op;
    const tn_want *want; /* NULL until the op is made */
    const tn_response *response;
    tn_input input;

    ngx_http_tenon_batch_t *batch; /* the answers it waits for */
    ngx_http_tenon_task_t *task;
    ngx_queue_t queue;
    ngx_msec_t deadline;
    ngx_msec_t known; /* when tenant and principal were */

    unsigned content : 1; /* the content handler has taken over */
    unsigned cold : 1;    /* in the queue of those before the catalogue */
    unsigned waited : 1;  /* was in it */
    unsigned admits : 1;  /* `known` is set */
};


/* ngx_http_tenon_module.c */

extern ngx_module_t ngx_http_tenon_module;


/* ngx_http_tenon_conf.c */

char *ngx_http_tenon(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tenon_problem(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tenon_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tenon_database(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *
ngx_http_tenon_base_domain(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tenon_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tenon_hsts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tenon_key_ring(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* What a directive's file holds, up to size bytes; none of the modes `refused`
 * may be set. NGX_ERROR: said why. */
ssize_t
ngx_http_tenon_read_file(ngx_conf_t *cf, ngx_str_t *directive, ngx_str_t *name,
                         mode_t refused, u_char *p, size_t size);
char *ngx_http_tenon_check_idle(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_tenon_check_ttl(ngx_conf_t *cf, void *post, void *data);
char *ngx_http_tenon_check_time(ngx_conf_t *cf, void *post, void *data);


/* ngx_http_tenon_issuer.c */

char *ngx_http_tenon_issuer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* What no single directive can know; said why. */
ngx_int_t
ngx_http_tenon_issuers_check(ngx_conf_t *cf, ngx_http_tenon_main_conf_t *tmcf);


/* ngx_http_tenon_inbound.c */

char *ngx_http_tenon_inbound(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


/* ngx_http_tenon_cors.c */

char *
ngx_http_tenon_cors_origins(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_uint_t ngx_http_tenon_cors_headers(ngx_http_request_t *r, tn_header *out);


/* ngx_http_tenon_variables.c */

ngx_int_t ngx_http_tenon_add_variables(ngx_conf_t *cf);
/* The op's, else nginx's own. */
tn_str ngx_http_tenon_request_id(ngx_http_request_t *r);


/*
 * ngx_http_tenon_driver.c: the phases, and what calls back when an answer is
 * there: ctx->input is filled in, and lives until the call returns.
 */

ngx_int_t ngx_http_tenon_preaccess_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_tenon_handler(ngx_http_request_t *r);
void ngx_http_tenon_resume(ngx_http_tenon_ctx_t *ctx);
ngx_http_tenon_ctx_t *ngx_http_tenon_get_ctx(ngx_http_request_t *r);


/* ngx_http_tenon_cold.c: requests that came before the catalogue */

void ngx_http_tenon_cold_init(ngx_http_tenon_worker_t *worker);
ngx_int_t ngx_http_tenon_cold_wait(ngx_http_tenon_ctx_t *ctx);
void ngx_http_tenon_cold_leave(ngx_http_tenon_ctx_t *ctx);
void ngx_http_tenon_cold_release(ngx_http_tenon_worker_t *worker);


/* ngx_http_tenon_body.c: NGX_OK: ctx->input is filled in; NGX_DONE: being
 * read; else a status */

ngx_int_t ngx_http_tenon_read_body(ngx_http_tenon_ctx_t *ctx,
                                   ngx_http_client_body_handler_pt handler);
ngx_int_t ngx_http_tenon_collect_body(ngx_http_tenon_ctx_t *ctx);


/* ngx_http_tenon_request.c: between nginx's requests and the core's */

ngx_int_t ngx_http_tenon_create_op(ngx_http_tenon_ctx_t *ctx);
ngx_int_t ngx_http_tenon_send(ngx_http_tenon_ctx_t *ctx);
ngx_int_t ngx_http_tenon_send_static(ngx_http_request_t *r, tn_err err);
ngx_int_t ngx_http_tenon_problem_handler(ngx_http_request_t *r);


/* ngx_http_tenon_pool.c (batches and their queue), ngx_http_tenon_conn.c */

ngx_int_t
ngx_http_tenon_pool_init(ngx_http_tenon_main_conf_t *conf, ngx_cycle_t *cycle);
void ngx_http_tenon_pool_done(ngx_http_tenon_pool_t *pool);
/* NGX_AGAIN: ngx_http_tenon_resume() comes with the reply, never from inside
 * this call; NGX_OK: ctx->input.reply is there already (busy, down). */
ngx_int_t
ngx_http_tenon_pool_submit(ngx_http_tenon_ctx_t *ctx, const tn_batch *batch);
/* The request goes away: what isn't sent won't be. */
void ngx_http_tenon_pool_abandon(ngx_http_tenon_batch_t *batch);
/* There is no connection, and the last attempt to get one failed. */
ngx_uint_t ngx_http_tenon_pool_down(ngx_http_tenon_pool_t *pool);


/* ngx_http_tenon_job.c: the same shape for password hashes */

ngx_int_t
ngx_http_tenon_jobs_init(ngx_http_tenon_main_conf_t *conf, ngx_cycle_t *cycle);
void ngx_http_tenon_jobs_done(ngx_http_tenon_main_conf_t *conf);
ngx_int_t
ngx_http_tenon_job_submit(ngx_http_tenon_ctx_t *ctx, const tn_job *job);
/* There is no room for a job of this request's: it need not begin. */
ngx_uint_t ngx_http_tenon_jobs_full(ngx_http_tenon_ctx_t *ctx);
void ngx_http_tenon_job_abandon(ngx_http_tenon_task_t *task);


/* ngx_http_tenon_zone.c */

ngx_int_t ngx_http_tenon_zone_init(ngx_shm_zone_t *zone, void *data);
ngx_http_tenon_meters_t *ngx_http_tenon_zone_meters(ngx_shm_zone_t *zone);
ngx_int_t ngx_http_tenon_zone_run(ngx_http_tenon_ctx_t *ctx,
                                  const tn_zone_cmd *cmds, unsigned n);
/* A permit is a slot in the zone: its number, or NGX_BUSY. */
ngx_int_t ngx_http_tenon_permit_take(ngx_shm_zone_t *zone, ngx_uint_t limit);
void ngx_http_tenon_permit_give(ngx_shm_zone_t *zone, ngx_int_t slot);
void ngx_http_tenon_permit_give_all(ngx_shm_zone_t *zone);


/* ngx_http_tenon_flush.c: what tenants have used, from shared memory to the
 * database */

ngx_int_t
ngx_http_tenon_flush_init(ngx_http_tenon_main_conf_t *conf, ngx_cycle_t *cycle);
/* Behind ngx_http_tenon_pool_done(): the last worker of the node waits for it, a
 * bounded time. */
void ngx_http_tenon_flush_done(ngx_http_tenon_main_conf_t *conf);


/* ngx_http_tenon_random.c */

ngx_http_tenon_random_t *ngx_http_tenon_random_create(ngx_pool_t *pool);
ngx_int_t
ngx_http_tenon_random(ngx_http_tenon_random_t *random, u_char *p, size_t n);


#endif /* _NGX_HTTP_TENON_H_INCLUDED_ */
