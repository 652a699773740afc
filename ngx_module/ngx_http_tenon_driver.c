/*
 * ngx_http_tenon_driver.c: drives an op through nginx's phases.
 *
 * PREACCESS steps it until tenant and principal are known (TN_WANT_ADMIT), so
 * that limits and logs can use them; the content handler steps it to its end.
 * Where a want takes time the request is suspended, and
 * ngx_http_tenon_resume() goes on with the answer.
 */

#include "ngx_http_tenon.h"


static ngx_http_tenon_ctx_t *ngx_http_tenon_enter(ngx_http_request_t *r);
static ngx_http_tenon_ctx_t *ngx_http_tenon_create_ctx(ngx_http_request_t *r);
static ngx_int_t ngx_http_tenon_drive(ngx_http_tenon_ctx_t *ctx);
static ngx_int_t ngx_http_tenon_run(ngx_http_tenon_ctx_t *ctx);
static ngx_int_t ngx_http_tenon_watch_client(ngx_http_request_t *r);
static void ngx_http_tenon_body_handler(ngx_http_request_t *r);
static void ngx_http_tenon_abandon(void *data);
static void ngx_http_tenon_cleanup(void *data);


ngx_int_t
ngx_http_tenon_preaccess_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    ngx_http_tenon_ctx_t *ctx;
    ngx_http_tenon_loc_conf_t *tlcf;
    ngx_http_tenon_main_conf_t *tmcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_tenon_module);

    if (!tlcf->enabled || r != r->main || r->err_status) {
        return NGX_DECLINED;
    }

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_tenon_module);

    if (tmcf->worker == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_tenon_enter(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->cold || ctx->batch || ctx->task) {
        /* a write event while suspended */
        return NGX_AGAIN;
    }

    rc = ngx_http_tenon_drive(ctx);

    if (rc == NGX_AGAIN && ngx_http_tenon_watch_client(r) != NGX_OK) {
        ngx_http_tenon_abandon(ctx);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc == NGX_OK && r->method == NGX_HTTP_OPTIONS &&
        ctx->response->status == NGX_HTTP_NO_CONTENT) {
        /*
         * On to the access phase, past the limits: a browser asks before it
         * sends a request, and a page can't read why that is refused.
         */
        return NGX_OK;
    }

    /*
     * A response that is ready is sent by the content handler: limits count
     * refused requests too.
     */

    return rc == NGX_ERROR ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_DECLINED;
}


ngx_int_t
ngx_http_tenon_handler(ngx_http_request_t *r)
{
    ngx_http_tenon_ctx_t *ctx;
    ngx_http_tenon_main_conf_t *tmcf;

    if (r->err_status) {
        /* error_page leads here: the op must not run after a refusal */
        return ngx_http_tenon_problem_handler(r);
    }

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_tenon_module);

    if (tmcf->worker == NULL) {
        /* "master_process off" starts no worker again after a reload */
        return ngx_http_tenon_send_static(r, TN_E_UNAVAILABLE);
    }

    ctx = ngx_http_tenon_enter(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->content = 1;

    return ngx_http_tenon_run(ctx);
}


/* In the content phase: the value is for ngx_http_finalize_request(). */
static ngx_int_t
ngx_http_tenon_run(ngx_http_tenon_ctx_t *ctx)
{
    ngx_int_t rc;
    ngx_http_request_t *r;

    r = ctx->request;

    rc = ngx_http_tenon_drive(ctx);

    switch (rc) {

    case NGX_OK:
        return ngx_http_tenon_send(ctx);

    case NGX_AGAIN:
        r->main->count++;

        if (r == r->main && ngx_http_tenon_watch_client(r) != NGX_OK) {
            r->main->count--;
            ngx_http_tenon_abandon(ctx);
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_DONE;

    case NGX_ERROR:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    default: /* NGX_DONE: the body is being read, or a status */
        return rc;
    }
}


/*
 * Does what the op wants. NGX_OK: the response is ready; NGX_DECLINED: the
 * rest is for the content phase; NGX_AGAIN: an answer will come; NGX_DONE:
 * the body is being read; NGX_ERROR or a status.
 */
static ngx_int_t
ngx_http_tenon_drive(ngx_http_tenon_ctx_t *ctx)
{
    ngx_int_t rc;

    if (ctx->want == NULL && ctx->response == NULL) {

        if (ngx_http_tenon_create_op(ctx) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_http_tenon_cold_wait(ctx) == NGX_AGAIN) {
            return NGX_AGAIN;
        }
    }

    while (ctx->response == NULL) {

        switch (ctx->want->kind) {

        case TN_WANT_NONE:
            ctx->response = tn_op_response(ctx->op);
            return NGX_OK;

        case TN_WANT_ZONE:
            rc = ngx_http_tenon_zone_run(ctx, ctx->want->zone.cmds,
                                         ctx->want->zone.n);
            break;

        case TN_WANT_METER:
            ctx->input.failed = TN_OK;
            ngx_http_tenon_meters_take(
                ngx_http_tenon_zone_meters(ctx->conf->zone), &ctx->input,
                ctx->want->meter.meters, ctx->want->meter.n,
                ctx->want->meter.units);

            rc = NGX_OK;
            break;

        case TN_WANT_ADMIT:
            if (!ctx->admits) {
                ctx->admits = 1;
                ctx->known = ngx_current_msec;
            }

            if (!ctx->content) {
                return NGX_DECLINED;
            }

            ngx_memzero(&ctx->input, sizeof(tn_input));
            ctx->input.waited_ms = ngx_current_msec - ctx->known;

            if (tn_op_facts(ctx->op)->hashes && ngx_http_tenon_jobs_full(ctx)) {
                ctx->input.failed = TN_E_BUSY;
            }

            rc = NGX_OK;
            break;

        case TN_WANT_BODY:
            if (!ctx->content) {
                return NGX_DECLINED;
            }

            rc = ngx_http_tenon_read_body(ctx, ngx_http_tenon_body_handler);
            break;

        case TN_WANT_DB:
            rc = ngx_http_tenon_pool_submit(ctx, ctx->want->batch);
            break;

        case TN_WANT_CPU:
            rc = ngx_http_tenon_job_submit(ctx, ctx->want->job);
            break;

        default:
            ngx_log_error(NGX_LOG_ALERT, ctx->request->connection->log, 0,
                          "tenon op wants an unknown thing: %d",
                          (int) ctx->want->kind);
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        ctx->want = tn_op_step(ctx->op, &ctx->input);
    }

    return NGX_OK;
}


/*
 * An answer has come: ctx->input holds it, and only until the step. The
 * request may be gone when this returns.
 */
void
ngx_http_tenon_resume(ngx_http_tenon_ctx_t *ctx)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, c->log, 0, "tenon resume: \"%V?%V\"",
                   &r->uri, &r->args);

    if (ctx->want) {
        ctx->want = tn_op_step(ctx->op, &ctx->input);
    }

    if (r == r->main) {
        r->read_event_handler = ngx_http_block_reading;
    }

    if (ctx->content) {
        ngx_http_finalize_request(r, ngx_http_tenon_run(ctx));

    } else {
        r->write_event_handler = ngx_http_core_run_phases;
        ngx_http_core_run_phases(r);
    }

    ngx_http_run_posted_requests(c);
}


/* While a request is suspended, a client that goes away ends it. */
static ngx_int_t
ngx_http_tenon_watch_client(ngx_http_request_t *r)
{
    ngx_event_t *rev;

    rev = r->connection->read;

    r->read_event_handler = ngx_http_test_reading;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);
        return NGX_OK;
    }

    return ngx_handle_read_event(rev, 0);
}


static void
ngx_http_tenon_body_handler(ngx_http_request_t *r)
{
    ngx_http_tenon_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_tenon_module);

    if (ngx_http_tenon_collect_body(ctx) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx->want = tn_op_step(ctx->op, &ctx->input);

    ngx_http_finalize_request(r, ngx_http_tenon_run(ctx));
}


/*
 * The context of this location. An internal redirect leads to another one,
 * with another URI and perhaps another method: what was begun before it has
 * been refused or given up, and must not go on there.
 */
static ngx_http_tenon_ctx_t *
ngx_http_tenon_enter(ngx_http_request_t *r)
{
    ngx_http_tenon_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_tenon_module);
    if (ctx) {
        return ctx;
    }

    ctx = ngx_http_tenon_get_ctx(r);
    if (ctx) {
        ngx_http_tenon_abandon(ctx);
    }

    return ngx_http_tenon_create_ctx(r);
}


static ngx_http_tenon_ctx_t *
ngx_http_tenon_create_ctx(ngx_http_request_t *r)
{
    ngx_http_cleanup_t *cln;
    ngx_pool_cleanup_t *pcln;
    ngx_http_tenon_ctx_t *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_tenon_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->conf = ngx_http_get_module_main_conf(r, ngx_http_tenon_module);

    /*
     * Two cleanups: answers must not come any more from the moment that the
     * request is terminated; the op must live until it is logged.
     */

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    pcln = ngx_pool_cleanup_add(r->pool, 0);
    if (pcln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_tenon_abandon;
    cln->data = ctx;

    pcln->handler = ngx_http_tenon_cleanup;
    pcln->data = ctx;

    ngx_http_set_ctx(r, ctx, ngx_http_tenon_module);

    return ctx;
}


/*
 * For variables and logs, which tell of the op that ran last: an internal
 * redirect zeroes r->ctx, the pool's cleanups remain, newest first. The phases
 * must not take that op up again.
 */
ngx_http_tenon_ctx_t *
ngx_http_tenon_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_tenon_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_tenon_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_tenon_cleanup) {
            continue;
        }

        ctx = cln->data;

        if (ctx->request == r) {
            return ctx;
        }
    }

    return NULL;
}


static void
ngx_http_tenon_abandon(void *data)
{
    ngx_http_tenon_ctx_t *ctx = data;

    if (ctx->cold) {
        ngx_http_tenon_cold_leave(ctx);
    }

    if (ctx->batch) {
        ngx_http_tenon_pool_abandon(ctx->batch);
        ctx->batch = NULL;
    }

    if (ctx->task) {
        ngx_http_tenon_job_abandon(ctx->task);
        ctx->task = NULL;
    }
}


static void
ngx_http_tenon_cleanup(void *data)
{
    ngx_http_tenon_ctx_t *ctx = data;

    if (ctx->op) {
        tn_op_free(ctx->op);
        ctx->op = NULL;
    }
}
