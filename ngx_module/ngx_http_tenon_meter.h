/*
 * ngx_http_tenon_meter.h: counters of what tenants use, in the node's shared
 * memory, and the flush by which the database learns of it.
 *
 *     take         a request takes units, or is told why not
 *     lead         one worker of the node flushes: is it this one?
 *     seal         what is to be flushed, frozen under an id; the same again
 *                  until it is settled
 *     settle       the database has it, and says how much was used
 *     refused      it hasn't, and that is certain
 *     join, leave  which workers there are: the last one flushes the rest
 *
 * What is here is written in an order that bears a kill behind any instruction:
 * ngx_http_tenon_meter.c. Every function takes the zone's lock itself.
 */

#ifndef _NGX_HTTP_TENON_METER_H_INCLUDED_
#define _NGX_HTTP_TENON_METER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <tenon/usage.h>


#if (NGX_PTR_SIZE != 8)
#error "the tenon module requires 64 bits: a counter is written by one store"
#endif


#define NGX_HTTP_TENON_METER_WAYS 32
/* of the zone's pages, one of so many */
#define NGX_HTTP_TENON_METER_PART    8
#define NGX_HTTP_TENON_METER_WORKERS 128
/* a flusher says that it is there each second */
#define NGX_HTTP_TENON_METER_STALE 5000
/* how long a counter that the database refuses is left out */
#define NGX_HTTP_TENON_METER_BARRED 10000


typedef struct {
    u_char tenant[16];
    char name[TN_METER_NAME_MAX + 1];
    tn_period period;
    int64_t begins;
    int64_t ends;
    int64_t soft;
    int64_t hard;

    int64_t origin;
    int64_t counted;
    int64_t sealed;
    int64_t settled;

    uint64_t flush; /* the number of the last one that it was in */
    ngx_msec_t used;
    ngx_msec_t barred; /* until then; 0: it isn't */
} ngx_http_tenon_cell_t;


/* Tags apart from cells, so that a look-up reads few cache lines. */
typedef struct {
    uint32_t dirty; /* a bit for each cell that a flush is to look at */
    uint32_t tag[NGX_HTTP_TENON_METER_WAYS]; /* 0: not in use */
    ngx_http_tenon_cell_t cell[NGX_HTTP_TENON_METER_WAYS];
} ngx_http_tenon_meter_set_t;


typedef enum {
    NGX_HTTP_TENON_FLUSH_NONE = 0,
    NGX_HTTP_TENON_FLUSH_OPEN,
    NGX_HTTP_TENON_FLUSH_SEALED
} ngx_http_tenon_flush_state;


typedef struct {
    ngx_shmtx_t *mutex;
    ngx_uint_t full; /* has been logged */

    ngx_atomic_t pid; /* of who flushes */
    ngx_msec_t beat;  /* when it was last seen */
    ngx_uint_t next;  /* the set that the next flush begins with */

    ngx_http_tenon_flush_state state;
    ngx_uint_t doubt; /* it may be in the database */
    ngx_uint_t most;  /* counters that the next one takes */
    ngx_uint_t well;  /* the last one was written */
    ngx_uint_t alone; /* it was split down to one counter */
    uint64_t number;
    u_char id[TN_USAGE_ID_LEN];
    ngx_uint_t n;
    uint32_t list[TN_USAGE_FLUSH_MAX]; /* set * WAYS + way */

    ngx_pid_t workers[NGX_HTTP_TENON_METER_WORKERS];

    ngx_uint_t nsets;
    ngx_http_tenon_meter_set_t sets[];
} ngx_http_tenon_meters_t;

#define ngx_http_tenon_meter_listed(m, cell) \
    ((m)->state != NGX_HTTP_TENON_FLUSH_NONE && (cell)->flush == (m)->number)


/* A worker's copy of what is sealed. */
typedef struct {
    uint64_t number; /* of the flush: they are counted */
    u_char id[TN_USAGE_ID_LEN];
    ngx_uint_t doubt; /* it may have been in the database before */
    ngx_uint_t more;  /* it took as much as it may: there may be more */
    ngx_uint_t n;
    tn_usage rows[TN_USAGE_FLUSH_MAX];
    uint32_t cells[TN_USAGE_FLUSH_MAX]; /* where each counter lies */
} ngx_http_tenon_sealed_t;


/* Takes its part of a new zone's pages. NULL: there are not enough. */
ngx_http_tenon_meters_t *ngx_http_tenon_meters_create(ngx_slab_pool_t *shpool);

/* Takes the units from all n counters or from none; what of each is to be said
 * goes to input->meters. Less than 0 are given back, to those that there are. */
void ngx_http_tenon_meters_take(ngx_http_tenon_meters_t *m, tn_input *input,
                                const tn_meter *meters, unsigned n, int units);

/* Whether this worker is the one that flushes; it is, from now on, when nobody
 * else is. A flusher that is dead, or hasn't said so for long, is one no more. */
ngx_uint_t ngx_http_tenon_meters_lead(ngx_http_tenon_meters_t *m);

/* Leaves it to another. */
void ngx_http_tenon_meters_yield(ngx_http_tenon_meters_t *m);

/* What was sealed and hasn't been settled; else what there is to flush now, at
 * most TN_USAGE_FLUSH_MAX counters, under the id. NGX_DECLINED: nothing, or
 * another worker flushes. */
ngx_int_t
ngx_http_tenon_meters_seal(ngx_http_tenon_meters_t *m,
                           ngx_http_tenon_sealed_t *sealed, const u_char *id);

/* The database has what is sealed; totals as tn_usage_flushed() tells them.
 * NGX_OK: there may be more to flush; NGX_DONE: that is for the next round;
 * NGX_DECLINED: another worker has taken over meanwhile. */
ngx_int_t ngx_http_tenon_meters_settle(ngx_http_tenon_meters_t *m,
                                       const ngx_http_tenon_sealed_t *sealed,
                                       const int64_t *totals);

/*
 * What is sealed has not been sent or, when `split`, the server has refused it.
 * If that is true of each time that it may have been sent, it is split: half of
 * it is sealed anew, under another id, so that what can't be written holds up
 * nothing else for long. NGX_OK: so it was; NGX_DONE: it was one counter, which is
 * left out for a while; NGX_AGAIN: not for the first time; NGX_DECLINED: it has to
 * be sent again as it is.
 */
ngx_int_t ngx_http_tenon_meters_refused(ngx_http_tenon_meters_t *m,
                                        const ngx_http_tenon_sealed_t *sealed,
                                        ngx_uint_t split);

/* At a worker's start and at its end: it flushes no more, and whether others
 * are there that will. */
void ngx_http_tenon_meters_join(ngx_http_tenon_meters_t *m);
ngx_uint_t ngx_http_tenon_meters_leave(ngx_http_tenon_meters_t *m);

/* Units that aren't known to be in the database, and of how many counters. */
int64_t
ngx_http_tenon_meters_left(ngx_http_tenon_meters_t *m, ngx_uint_t *counters);


#endif /* _NGX_HTTP_TENON_METER_H_INCLUDED_ */
