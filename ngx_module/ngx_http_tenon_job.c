/*
 * ngx_http_tenon_job.c: password hashes in the thread pool.
 *
 * A hash takes 64 MiB and tens of milliseconds, so the node has few permits.
 * A permit belongs to the job, not to its request: a client that goes away
 * frees none before the hash is through. Jobs without one wait in a bounded
 * queue, of which one client address may have half, so that no single one that
 * guesses passwords keeps others from signing in; many together can, as far as
 * limit_req lets them. Permits that are given back are found by looking, also by
 * the worker that gave them: each has the same chance.
 *
 * A hash has a low priority: of a processor that it and an event loop both want
 * the event loop gets nine tenths, and who signs in waits for others, not they
 * for them. The tenth is so that nobody keeps others from signing in by asking
 * for much that is cheap. It also asks for long slices of time, since Linux from
 * 6.12 on lets a task of shorter ones interrupt it as soon as it wakes, which an
 * older kernel does by the priority alone.
 *
 * It has a thread of its own for that: one of the pool's would keep all this for
 * whatever else it is given later, the reading of files perhaps, since only root
 * could give it back. What a thread costs is nothing beside a hash.
 */

#include "ngx_http_tenon.h"

#include <pthread.h>

#if (NGX_LINUX)
#include <sys/resource.h>
#include <sys/syscall.h>
#endif


#define NGX_HTTP_TENON_JOB_RETRY 5
#define NGX_HTTP_TENON_JOB_HOLD  60000
#define NGX_HTTP_TENON_JOB_NICE  10
#define NGX_HTTP_TENON_JOB_SLICE 100000000 /* ns; the most there is */

#define NGX_HTTP_TENON_JOB_PREFIX 8 /* bytes of an IPv6 address */

#if (NGX_LINUX)

/* sched_setattr(2)'s; the C library has neither that nor this */

typedef struct {
    uint32_t size;
    uint32_t policy; /* 0: SCHED_OTHER, whose slice is runtime */
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime;
    uint64_t deadline;
    uint64_t period;
} ngx_http_tenon_sched_t;

#endif

struct ngx_http_tenon_jobs_s {
    ngx_http_tenon_main_conf_t *conf;
    ngx_queue_t waiting;
    ngx_uint_t nwaiting;
    ngx_event_t timer;
};

struct ngx_http_tenon_task_s {
    ngx_thread_task_t task; /* its ctx is this structure */
    ngx_queue_t queue;
    ngx_http_tenon_ctx_t *ctx; /* NULL: the client is gone */
    ngx_http_tenon_jobs_t *jobs;
    ngx_msec_t deadline;
    ngx_int_t permit; /* NGX_BUSY while it waits */
    tn_job job;
};


static void ngx_http_tenon_jobs_pump(ngx_http_tenon_jobs_t *jobs);
static void ngx_http_tenon_jobs_timer(ngx_event_t *ev);
static ngx_uint_t
ngx_http_tenon_jobs_crowd(ngx_http_tenon_jobs_t *jobs, ngx_connection_t *c);
static ngx_uint_t
ngx_http_tenon_same_house(ngx_connection_t *a, ngx_connection_t *b);
static ngx_int_t ngx_http_tenon_job_start(ngx_http_tenon_task_t *task);
static void ngx_http_tenon_job_thread(void *data, ngx_log_t *log);
static void *ngx_http_tenon_job_run(void *data);
static void ngx_http_tenon_job_event(ngx_event_t *ev);
static void ngx_http_tenon_job_unqueue(ngx_http_tenon_task_t *task);
static void ngx_http_tenon_job_refuse(ngx_http_tenon_task_t *task);
static void ngx_http_tenon_job_free(ngx_http_tenon_task_t *task);


ngx_int_t
ngx_http_tenon_jobs_init(ngx_http_tenon_main_conf_t *conf, ngx_cycle_t *cycle)
{
    ngx_http_tenon_jobs_t *jobs;

    jobs = ngx_pcalloc(cycle->pool, sizeof(ngx_http_tenon_jobs_t));
    if (jobs == NULL) {
        return NGX_ERROR;
    }

    jobs->conf = conf;
    ngx_queue_init(&jobs->waiting);

    jobs->timer.handler = ngx_http_tenon_jobs_timer;
    jobs->timer.data = jobs;
    jobs->timer.log = cycle->log;

    conf->worker->jobs = jobs;

    ngx_http_tenon_permit_give_all(conf->zone);

    return NGX_OK;
}


void
ngx_http_tenon_jobs_done(ngx_http_tenon_main_conf_t *conf)
{
    ngx_queue_t *q;
    ngx_http_tenon_jobs_t *jobs;
    ngx_http_tenon_task_t *task;

    jobs = conf->worker->jobs;

    while (!ngx_queue_empty(&jobs->waiting)) {
        q = ngx_queue_head(&jobs->waiting);
        task = ngx_queue_data(q, ngx_http_tenon_task_t, queue);

        task->ctx->task = NULL;
        ngx_http_tenon_job_unqueue(task);
        ngx_http_tenon_job_free(task);
    }

    ngx_http_tenon_permit_give_all(conf->zone);
}


ngx_int_t
ngx_http_tenon_job_submit(ngx_http_tenon_ctx_t *ctx, const tn_job *job)
{
    ngx_http_tenon_jobs_t *jobs;
    ngx_http_tenon_task_t *task;

    jobs = ctx->conf->worker->jobs;

    ngx_memzero(&ctx->input, sizeof(tn_input));

    task = ngx_calloc(sizeof(ngx_http_tenon_task_t),
                      ctx->request->connection->log);
    if (task == NULL) {
        return NGX_ERROR;
    }

    task->ctx = ctx;
    task->jobs = jobs;
    task->job = *job;
    task->permit = NGX_BUSY;

    task->task.ctx = task;
    task->task.handler = ngx_http_tenon_job_thread;
    task->task.event.handler = ngx_http_tenon_job_event;
    task->task.event.data = task;
    task->task.event.log = ngx_cycle->log;

    if (ngx_queue_empty(&jobs->waiting) &&
        ngx_http_tenon_job_start(task) == NGX_OK) {
        ctx->task = task;
        return NGX_AGAIN;
    }

    if (ngx_http_tenon_jobs_full(ctx)) {
        ngx_http_tenon_job_free(task);
        ctx->input.failed = TN_E_BUSY;
        return NGX_OK;
    }

    ctx->task = task;
    task->deadline = ngx_current_msec + ctx->conf->queue_timeout;

    ngx_queue_insert_tail(&jobs->waiting, &task->queue);
    jobs->nwaiting++;

    if (!jobs->timer.timer_set) {
        ngx_add_timer(&jobs->timer, NGX_HTTP_TENON_JOB_RETRY);
    }

    return NGX_AGAIN;
}


ngx_uint_t
ngx_http_tenon_jobs_full(ngx_http_tenon_ctx_t *ctx)
{
    ngx_http_tenon_jobs_t *jobs;

    jobs = ctx->conf->worker->jobs;

    return jobs->nwaiting >= (ngx_uint_t) ctx->conf->hash_queue ||
           ngx_http_tenon_jobs_crowd(jobs, ctx->request->connection);
}


/* Whether this address has as many jobs waiting as one address may. */
static ngx_uint_t
ngx_http_tenon_jobs_crowd(ngx_http_tenon_jobs_t *jobs, ngx_connection_t *c)
{
    ngx_uint_t n;
    ngx_queue_t *q;
    ngx_connection_t *other;
    ngx_http_tenon_task_t *task;

    n = 0;

    for (q = ngx_queue_head(&jobs->waiting);
         q != ngx_queue_sentinel(&jobs->waiting); q = ngx_queue_next(q)) {
        task = ngx_queue_data(q, ngx_http_tenon_task_t, queue);
        other = task->ctx->request->connection;

        if (ngx_http_tenon_same_house(c, other)) {
            n++;
        }
    }

    return n >= ngx_max((ngx_uint_t) jobs->conf->hash_queue / 2, 1);
}


/*
 * As failures are counted (libcore's attempt.c): a house has all of a /64, and
 * the clients of a unix socket have no address.
 */
static ngx_uint_t
ngx_http_tenon_same_house(ngx_connection_t *a, ngx_connection_t *b)
{
#if (NGX_HAVE_INET6)
    struct in6_addr *a6, *b6;
#endif

    if (a->sockaddr->sa_family != b->sockaddr->sa_family) {
        return 0;
    }

    switch (a->sockaddr->sa_family) {

#if (NGX_HAVE_UNIX_DOMAIN)
    case AF_UNIX:
        return 0;
#endif

#if (NGX_HAVE_INET6)
    case AF_INET6:
        a6 = &((struct sockaddr_in6 *) a->sockaddr)->sin6_addr;
        b6 = &((struct sockaddr_in6 *) b->sockaddr)->sin6_addr;

        if (!IN6_IS_ADDR_V4MAPPED(a6)) {
            return ngx_memcmp(a6, b6, NGX_HTTP_TENON_JOB_PREFIX) == 0;
        }

        break;
#endif
    }

    return ngx_cmp_sockaddr(a->sockaddr, a->socklen, b->sockaddr, b->socklen,
                            0) == NGX_OK;
}


void
ngx_http_tenon_job_abandon(ngx_http_tenon_task_t *task)
{
    task->ctx = NULL;

    if (task->permit == NGX_BUSY) {
        ngx_http_tenon_job_unqueue(task);
        ngx_http_tenon_job_free(task);
    }
}


static ngx_int_t
ngx_http_tenon_job_start(ngx_http_tenon_task_t *task)
{
    ngx_http_tenon_main_conf_t *conf;

    conf = task->jobs->conf;

    task->permit = ngx_http_tenon_permit_take(conf->zone, conf->hash_jobs);

    if (task->permit == NGX_BUSY) {
        return NGX_BUSY;
    }

    if (ngx_thread_task_post(conf->thread_pool, &task->task) != NGX_OK) {
        ngx_http_tenon_permit_give(conf->zone, task->permit);
        task->permit = NGX_BUSY;
        return NGX_BUSY;
    }

    /* holds a worker that shuts down: no other timer does */

    ngx_add_timer(&task->task.event, NGX_HTTP_TENON_JOB_HOLD);

    return NGX_OK;
}


static void
ngx_http_tenon_job_thread(void *data, ngx_log_t *log)
{
    ngx_http_tenon_task_t *task = data;

    pthread_t thread;

    if (pthread_create(&thread, NULL, ngx_http_tenon_job_run, &task->job)) {
        tn_job_run(&task->job);
        return;
    }

    (void) pthread_join(thread, NULL);
}


static void *
ngx_http_tenon_job_run(void *data)
{
#if (NGX_LINUX)

    ngx_http_tenon_sched_t sched;

    ngx_memzero(&sched, sizeof(ngx_http_tenon_sched_t));

    sched.size = sizeof(ngx_http_tenon_sched_t);
    sched.nice = NGX_HTTP_TENON_JOB_NICE;
    sched.runtime = NGX_HTTP_TENON_JOB_SLICE;

    /* of this thread alone; a sandbox may know none but the second */

    if (syscall(SYS_sched_setattr, 0, &sched, 0) == -1) {
        (void) setpriority(PRIO_PROCESS, 0, NGX_HTTP_TENON_JOB_NICE);
    }

#endif

    tn_job_run(data);

    return NULL;
}


static void
ngx_http_tenon_job_event(ngx_event_t *ev)
{
    ngx_http_tenon_ctx_t *ctx;
    ngx_http_tenon_jobs_t *jobs;
    ngx_http_tenon_task_t *task;

    task = ev->data;
    jobs = task->jobs;
    ctx = task->ctx;

    if (ev->timedout) {
        ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                      "tenon password hash took too long");
        ev->timedout = 0;
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ngx_http_tenon_permit_give(jobs->conf->zone, task->permit);

    if (ctx) {
        ctx->task = NULL;

        ngx_memzero(&ctx->input, sizeof(tn_input));
        ctx->input.job = &task->job;

        ngx_http_tenon_resume(ctx);
    }

    ngx_http_tenon_job_free(task);
}


static void
ngx_http_tenon_jobs_timer(ngx_event_t *ev)
{
    ngx_http_tenon_jobs_pump(ev->data);
}


/* Starts and times out those who wait, oldest first. */
static void
ngx_http_tenon_jobs_pump(ngx_http_tenon_jobs_t *jobs)
{
    ngx_queue_t *q;
    ngx_http_tenon_task_t *task;

    while (!ngx_queue_empty(&jobs->waiting)) {
        q = ngx_queue_head(&jobs->waiting);
        task = ngx_queue_data(q, ngx_http_tenon_task_t, queue);

        if ((ngx_msec_int_t) (task->deadline - ngx_current_msec) <= 0) {
            ngx_http_tenon_job_refuse(task);
            continue;
        }

        if (ngx_http_tenon_job_start(task) != NGX_OK) {
            break;
        }

        ngx_http_tenon_job_unqueue(task);
    }

    if (!ngx_queue_empty(&jobs->waiting) && !jobs->timer.timer_set) {
        ngx_add_timer(&jobs->timer, NGX_HTTP_TENON_JOB_RETRY);
    }
}


static void
ngx_http_tenon_job_unqueue(ngx_http_tenon_task_t *task)
{
    ngx_http_tenon_jobs_t *jobs;

    jobs = task->jobs;

    ngx_queue_remove(&task->queue);
    jobs->nwaiting--;

    if (jobs->nwaiting == 0 && jobs->timer.timer_set) {
        ngx_del_timer(&jobs->timer);
    }
}


static void
ngx_http_tenon_job_refuse(ngx_http_tenon_task_t *task)
{
    ngx_http_tenon_ctx_t *ctx;

    ctx = task->ctx;

    ngx_http_tenon_job_unqueue(task);
    ngx_http_tenon_job_free(task);

    ctx->task = NULL;

    ngx_memzero(&ctx->input, sizeof(tn_input));
    ctx->input.failed = TN_E_BUSY;

    ngx_http_tenon_resume(ctx);
}


static void
ngx_http_tenon_job_free(ngx_http_tenon_task_t *task)
{
    ngx_explicit_memzero(&task->job, sizeof(tn_job));
    ngx_free(task);
}
