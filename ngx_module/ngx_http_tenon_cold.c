/*
 * ngx_http_tenon_cold.c: requests that came before the catalogue was read.
 * They wait for it, as many and as long as a batch may wait for a connection;
 * after that, or when the database turns out to be down, the core answers
 * them 503.
 */

#include "ngx_http_tenon.h"


static void ngx_http_tenon_cold_timeout(ngx_event_t *ev);


void
ngx_http_tenon_cold_init(ngx_http_tenon_worker_t *worker)
{
    ngx_queue_init(&worker->cold);

    worker->cold_timer.handler = ngx_http_tenon_cold_timeout;
    worker->cold_timer.data = worker;
    worker->cold_timer.log = ngx_cycle->log;
}


/*
 * Puts a request off that the core refused for want of a catalogue; what needs
 * none (/live) goes on. NGX_AGAIN: ngx_http_tenon_resume() comes, and the
 * request begins anew; NGX_DECLINED: no need, no room or no use to wait.
 */
ngx_int_t
ngx_http_tenon_cold_wait(ngx_http_tenon_ctx_t *ctx)
{
    ngx_http_tenon_worker_t *worker;

    worker = ctx->conf->worker;

    if (ctx->waited || ctx->op == NULL || tn_core_ready(worker->core) ||
        ctx->want->kind != TN_WANT_NONE ||
        tn_op_facts(ctx->op)->error != TN_E_UNAVAILABLE ||
        ngx_http_tenon_pool_down(worker->pool) ||
        worker->ncold >= (ngx_uint_t) ctx->conf->queue_size) {
        return NGX_DECLINED;
    }

    tn_op_free(ctx->op);
    ctx->op = NULL;
    ctx->want = NULL;

    ctx->cold = 1;
    ctx->waited = 1;
    ctx->deadline = ngx_current_msec + ctx->conf->queue_timeout;

    ngx_queue_insert_tail(&worker->cold, &ctx->queue);
    worker->ncold++;

    if (!worker->cold_timer.timer_set) {
        ngx_add_timer(&worker->cold_timer, ctx->conf->queue_timeout);
    }

    return NGX_AGAIN;
}


void
ngx_http_tenon_cold_leave(ngx_http_tenon_ctx_t *ctx)
{
    ngx_http_tenon_worker_t *worker;

    worker = ctx->conf->worker;

    ngx_queue_remove(&ctx->queue);
    ctx->cold = 0;
    worker->ncold--;

    if (worker->ncold == 0 && worker->cold_timer.timer_set) {
        ngx_del_timer(&worker->cold_timer);
    }
}


void
ngx_http_tenon_cold_release(ngx_http_tenon_worker_t *worker)
{
    ngx_queue_t *q;
    ngx_http_tenon_ctx_t *ctx;

    while (!ngx_queue_empty(&worker->cold)) {
        q = ngx_queue_head(&worker->cold);
        ctx = ngx_queue_data(q, ngx_http_tenon_ctx_t, queue);

        ngx_http_tenon_cold_leave(ctx);
        ngx_http_tenon_resume(ctx);
    }
}


static void
ngx_http_tenon_cold_timeout(ngx_event_t *ev)
{
    ngx_queue_t *q;
    ngx_msec_int_t left;
    ngx_http_tenon_ctx_t *ctx;
    ngx_http_tenon_worker_t *worker;

    worker = ev->data;

    while (!ngx_queue_empty(&worker->cold)) {
        q = ngx_queue_head(&worker->cold);
        ctx = ngx_queue_data(q, ngx_http_tenon_ctx_t, queue);

        left = (ngx_msec_int_t) (ctx->deadline - ngx_current_msec);

        if (left > 0) {
            ngx_add_timer(ev, (ngx_msec_t) left);
            return;
        }

        ngx_http_tenon_cold_leave(ctx);
        ngx_http_tenon_resume(ctx);
    }
}
