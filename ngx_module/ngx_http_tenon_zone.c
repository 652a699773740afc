/*
 * ngx_http_tenon_zone.c: the node's shared memory: a lossy key-value store, the
 * permits of password hashing and, in a part of its own, the counters of what
 * tenants use (ngx_http_tenon_meter.c).
 *
 * The store is a set-associative table: a key has one set of WAYS cells, and
 * when none of them is free or expired the one used longest ago gives way: of
 * those that were filled (TN_ZONE_FILL), while there is one, and for a value that
 * is to fill of no others. No pointers and no allocation: a worker that is killed
 * half-way through an update leaves one unused cell, nothing else, and a full
 * table never fails.
 */

#include "ngx_http_tenon.h"


#define NGX_HTTP_TENON_WAYS 16

/* A cell is in use while expires != 0; keys apart from values, so that a
 * lookup reads few cache lines. */
typedef struct {
    u_char key[NGX_HTTP_TENON_WAYS][TN_ZONE_KEY_LEN];
    ngx_msec_t expires[NGX_HTTP_TENON_WAYS];
    ngx_msec_t used[NGX_HTTP_TENON_WAYS];
    u_char filled[NGX_HTTP_TENON_WAYS];
    uint16_t len[NGX_HTTP_TENON_WAYS];
    u_char value[NGX_HTTP_TENON_WAYS][TN_ZONE_VALUE_MAX];
} ngx_http_tenon_set_t;


typedef struct {
    ngx_atomic_t permits[NGX_HTTP_TENON_JOBS_MAX]; /* pids */
    ngx_uint_t full;                               /* has been logged */
    ngx_http_tenon_meters_t *meters;
    ngx_uint_t nsets;
    ngx_http_tenon_set_t *sets;
} ngx_http_tenon_shctx_t;


static ngx_http_tenon_set_t *
ngx_http_tenon_zone_set(ngx_http_tenon_shctx_t *sh, const u_char *key);
static ngx_int_t
ngx_http_tenon_zone_find(ngx_http_tenon_set_t *set, const u_char *key);
static ngx_int_t
ngx_http_tenon_zone_room(ngx_http_tenon_shctx_t *sh, ngx_http_tenon_set_t *set,
                         tn_zone_verb verb, ngx_shm_zone_t *zone);
static ngx_int_t
ngx_http_tenon_zone_change(ngx_http_tenon_shctx_t *sh,
                           ngx_http_tenon_set_t *set, ngx_int_t found,
                           const tn_zone_cmd *cmd, ngx_shm_zone_t *zone);
static void ngx_http_tenon_zone_store(ngx_http_tenon_set_t *set, ngx_uint_t i,
                                      const tn_zone_cmd *cmd);
static void ngx_http_tenon_zone_count(ngx_http_tenon_set_t *set, ngx_uint_t i);


#define ngx_http_tenon_zone_answers(cmd) \
    ((cmd)->verb == TN_ZONE_GET || (cmd)->verb == TN_ZONE_COUNT)


/* What a run answers: the op has read it before there is another one. */
static u_char ngx_http_tenon_zone_values[TN_ZONE_CMDS_MAX][TN_ZONE_VALUE_MAX];


ngx_int_t
ngx_http_tenon_zone_init(ngx_shm_zone_t *zone, void *data)
{
    size_t size, len;
    ngx_slab_pool_t *shpool;
    ngx_http_tenon_shctx_t *sh;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data || zone->shm.exists) {
        zone->data = data ? data : shpool->data;
        return NGX_OK;
    }

    len = sizeof(" in tenon_zone \"\"") + zone->shm.name.len;

    shpool->log_ctx = ngx_slab_alloc(shpool, len);
    if (shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(shpool->log_ctx, " in tenon_zone \"%V\"%Z", &zone->shm.name);

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_tenon_shctx_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    sh->meters = ngx_http_tenon_meters_create(shpool);
    if (sh->meters == NULL) {
        return NGX_ERROR;
    }

    /* nothing else will be allocated: all free pages are one run */

    size = shpool->pfree * ngx_pagesize;
    sh->nsets = size / sizeof(ngx_http_tenon_set_t);

    if (sh->nsets == 0) {
        return NGX_ERROR;
    }

    sh->sets =
        ngx_slab_calloc(shpool, sh->nsets * sizeof(ngx_http_tenon_set_t));
    if (sh->sets == NULL) {
        return NGX_ERROR;
    }

    shpool->data = sh;
    zone->data = sh;

    return NGX_OK;
}


ngx_http_tenon_meters_t *
ngx_http_tenon_zone_meters(ngx_shm_zone_t *zone)
{
    ngx_http_tenon_shctx_t *sh;

    sh = zone->data;

    return sh->meters;
}


ngx_int_t
ngx_http_tenon_zone_run(ngx_http_tenon_ctx_t *ctx, const tn_zone_cmd *cmds,
                        unsigned n)
{
    u_char *copy;
    unsigned i;
    ngx_int_t found;
    ngx_shm_zone_t *zone;
    ngx_slab_pool_t *shpool;
    ngx_http_tenon_set_t *set;
    ngx_http_tenon_shctx_t *sh;

    zone = ctx->conf->zone;
    sh = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    ngx_memzero(&ctx->input, sizeof(tn_input));

    ngx_shmtx_lock(&shpool->mutex);

    for (i = 0; i < n && i < TN_ZONE_CMDS_MAX; i++) {

        set = ngx_http_tenon_zone_set(sh, cmds[i].key);
        found = ngx_http_tenon_zone_find(set, cmds[i].key);

        if (cmds[i].verb != TN_ZONE_GET) {
            found = ngx_http_tenon_zone_change(sh, set, found, &cmds[i], zone);
        }

        if (found == NGX_DECLINED || !ngx_http_tenon_zone_answers(&cmds[i])) {
            continue;
        }

        set->used[found] = ngx_current_msec;
        copy = ngx_http_tenon_zone_values[i];
        ngx_memcpy(copy, set->value[found], set->len[found]);
        ctx->input.values[i].p = (char *) copy;
        ctx->input.values[i].n = set->len[found];
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return NGX_OK;
}


static ngx_http_tenon_set_t *
ngx_http_tenon_zone_set(ngx_http_tenon_shctx_t *sh, const u_char *key)
{
    uint32_t hash;

    /* a key is a keyed hash: any four bytes of it are as good as another */

    ngx_memcpy(&hash, key + TN_ZONE_KEY_LEN - sizeof(hash), sizeof(hash));

    return &sh->sets[hash % sh->nsets];
}


/* As two numbers: memcmp() is a call. */
static ngx_inline ngx_uint_t
ngx_http_tenon_zone_same(const u_char *a, const u_char *b)
{
    uint64_t i[2], k[2];

    ngx_memcpy(i, a, TN_ZONE_KEY_LEN);
    ngx_memcpy(k, b, TN_ZONE_KEY_LEN);

    return i[0] == k[0] && i[1] == k[1];
}


static ngx_int_t
ngx_http_tenon_zone_find(ngx_http_tenon_set_t *set, const u_char *key)
{
    ngx_int_t i;

    for (i = 0; i < NGX_HTTP_TENON_WAYS; i++) {

        if (set->expires[i] == 0 ||
            !ngx_http_tenon_zone_same(set->key[i], key)) {
            continue;
        }

        if ((ngx_msec_int_t) (set->expires[i] - ngx_current_msec) > 0) {
            return i;
        }

        set->expires[i] = 0;
    }

    return NGX_DECLINED;
}


/* Whether what lies in cell i goes before what lies in cell k. */
static ngx_inline ngx_uint_t
ngx_http_tenon_zone_goes_first(const ngx_http_tenon_set_t *set, ngx_uint_t i,
                               ngx_uint_t k)
{
    if (set->filled[i] != set->filled[k]) {
        return set->filled[i];
    }

    return (ngx_msec_int_t) (set->used[i] - set->used[k]) < 0;
}


/* A cell for a new key; NGX_DECLINED: there is none for what is to fill. */
static ngx_int_t
ngx_http_tenon_zone_room(ngx_http_tenon_shctx_t *sh, ngx_http_tenon_set_t *set,
                         tn_zone_verb verb, ngx_shm_zone_t *zone)
{
    ngx_uint_t i, first;

    first = 0;

    for (i = 0; i < NGX_HTTP_TENON_WAYS; i++) {

        if (set->expires[i] == 0 ||
            (ngx_msec_int_t) (set->expires[i] - ngx_current_msec) <= 0) {
            return i;
        }

        if (ngx_http_tenon_zone_goes_first(set, i, first)) {
            first = i;
        }
    }

    if (verb == TN_ZONE_FILL && !set->filled[first]) {
        return NGX_DECLINED;
    }

    if (!sh->full) {
        sh->full = 1;
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "tenon_zone \"%V\" is full, entries give way before "
                      "they expire",
                      &zone->shm.name);
    }

    return first;
}


static ngx_int_t
ngx_http_tenon_zone_change(ngx_http_tenon_shctx_t *sh,
                           ngx_http_tenon_set_t *set, ngx_int_t found,
                           const tn_zone_cmd *cmd, ngx_shm_zone_t *zone)
{
    if (found == NGX_DECLINED) {
        found = ngx_http_tenon_zone_room(sh, set, cmd->verb, zone);

        if (found != NGX_DECLINED) {
            ngx_http_tenon_zone_store(set, found, cmd);
        }

    } else if (cmd->verb == TN_ZONE_SET || cmd->verb == TN_ZONE_FILL) {
        ngx_http_tenon_zone_store(set, found, cmd);

    } else if (cmd->verb == TN_ZONE_COUNT) {
        ngx_http_tenon_zone_count(set, found);
    }

    return found;
}


static void
ngx_http_tenon_zone_store(ngx_http_tenon_set_t *set, ngx_uint_t i,
                          const tn_zone_cmd *cmd)
{
    size_t n;
    tn_str value;
    ngx_msec_t expires;

    /* out of use while it is being written: the writer may be killed */

    set->expires[i] = 0;
    ngx_memory_barrier();

    value = (cmd->verb == TN_ZONE_COUNT) ? TN_STR("1") : cmd->value;
    n = ngx_min(value.n, TN_ZONE_VALUE_MAX);

    ngx_memcpy(set->key[i], cmd->key, TN_ZONE_KEY_LEN);
    ngx_memcpy(set->value[i], value.p, n);
    set->len[i] = (uint16_t) n;
    set->used[i] = ngx_current_msec;
    set->filled[i] = (cmd->verb == TN_ZONE_FILL);

    ngx_memory_barrier();

    expires = ngx_current_msec + cmd->ttl_ms;
    set->expires[i] = expires ? expires : 1;
}


/* One more; it expires when it would have. */
static void
ngx_http_tenon_zone_count(ngx_http_tenon_set_t *set, ngx_uint_t i)
{
    u_char *last;
    ngx_int_t n;
    ngx_msec_t expires;

    n = ngx_atoi(set->value[i], set->len[i]);

    if (n == NGX_ERROR) {
        /* no counter until now */
        n = 0;
    }

    if (n < NGX_MAX_INT_T_VALUE) {
        n++;
    }

    expires = set->expires[i];
    set->expires[i] = 0;
    ngx_memory_barrier();

    last = ngx_sprintf(set->value[i], "%i", n);
    set->len[i] = (uint16_t) (last - set->value[i]);

    ngx_memory_barrier();
    set->expires[i] = expires;
}


/*
 * Permits are taken without the lock: one compare-and-swap each. Those of
 * dead workers are found when no other is left.
 */
ngx_int_t
ngx_http_tenon_permit_take(ngx_shm_zone_t *zone, ngx_uint_t limit)
{
    ngx_uint_t i;
    ngx_atomic_uint_t pid;
    ngx_http_tenon_shctx_t *sh;

    sh = zone->data;

    for (i = 0; i < limit; i++) {
        if (sh->permits[i] == 0 &&
            ngx_atomic_cmp_set(&sh->permits[i], 0, ngx_pid)) {
            return i;
        }
    }

    for (i = 0; i < limit; i++) {
        pid = sh->permits[i];

        if (pid && kill((ngx_pid_t) pid, 0) == -1 && ngx_errno == NGX_ESRCH &&
            ngx_atomic_cmp_set(&sh->permits[i], pid, ngx_pid)) {
            return i;
        }
    }

    return NGX_BUSY;
}


void
ngx_http_tenon_permit_give(ngx_shm_zone_t *zone, ngx_int_t slot)
{
    ngx_http_tenon_shctx_t *sh;

    sh = zone->data;

    (void) ngx_atomic_cmp_set(&sh->permits[slot], ngx_pid, 0);
}


/* At the start of a worker, whose number a dead one may have had, and at its
 * end. */
void
ngx_http_tenon_permit_give_all(ngx_shm_zone_t *zone)
{
    ngx_int_t i;

    for (i = 0; i < NGX_HTTP_TENON_JOBS_MAX; i++) {
        ngx_http_tenon_permit_give(zone, i);
    }
}
