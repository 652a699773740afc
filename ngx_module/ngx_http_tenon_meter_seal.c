/*
 * ngx_http_tenon_meter_seal.c: what of the counters is being flushed, and by
 * whom. In which order it is written, and why: ngx_http_tenon_meter.c.
 */

#include "ngx_http_tenon_meter.h"


static void ngx_http_tenon_meter_list(ngx_http_tenon_meters_t *m);
static void
ngx_http_tenon_meter_list_set(ngx_http_tenon_meters_t *m, ngx_uint_t s);
static ngx_int_t ngx_http_tenon_meter_split(ngx_http_tenon_meters_t *m);
static ngx_uint_t
ngx_http_tenon_meter_is(ngx_http_tenon_meters_t *m,
                        const ngx_http_tenon_sealed_t *sealed);
static ngx_http_tenon_cell_t *
ngx_http_tenon_meter_cell(ngx_http_tenon_meters_t *m, uint32_t at);
static ngx_uint_t ngx_http_tenon_meter_alive(ngx_pid_t pid);
static void ngx_http_tenon_meter_unbar(ngx_http_tenon_meters_t *m);


/*
 * The one who was seen last may have been killed, and its number may even be
 * another process's by now; or it may sleep, and go on later: then it finds
 * that it isn't the flusher any more. Two who send the same flush do no harm.
 */
ngx_uint_t
ngx_http_tenon_meters_lead(ngx_http_tenon_meters_t *m)
{
    ngx_uint_t leads;
    ngx_atomic_uint_t pid;

    pid = m->pid;

    if (pid && pid != (ngx_atomic_uint_t) ngx_pid &&
        (ngx_msec_int_t) (ngx_current_msec - m->beat) <
            NGX_HTTP_TENON_METER_STALE &&
        ngx_http_tenon_meter_alive((ngx_pid_t) pid)) {
        return 0;
    }

    ngx_shmtx_lock(m->mutex);

    leads = (m->pid == pid);

    if (leads) {
        /* a beat for nobody harms less than a flusher without one */
        m->beat = ngx_current_msec;
        ngx_memory_barrier();
        m->pid = ngx_pid;

        if (m->well) {
            m->most = TN_USAGE_FLUSH_MAX;
        }
    }

    ngx_shmtx_unlock(m->mutex);

    return leads;
}


void
ngx_http_tenon_meters_yield(ngx_http_tenon_meters_t *m)
{
    if (m->pid == (ngx_atomic_uint_t) ngx_pid) {
        (void) ngx_atomic_cmp_set(&m->pid, (ngx_atomic_uint_t) ngx_pid, 0);
    }
}


ngx_int_t
ngx_http_tenon_meters_seal(ngx_http_tenon_meters_t *m,
                           ngx_http_tenon_sealed_t *sealed, const u_char *id)
{
    ngx_uint_t i;
    tn_usage *row;
    ngx_http_tenon_cell_t *cell;

    sealed->n = 0;

    ngx_shmtx_lock(m->mutex);

    if (m->pid == (ngx_atomic_uint_t) ngx_pid) {

        if (m->state == NGX_HTTP_TENON_FLUSH_OPEN && m->n == 0) {
            m->state = NGX_HTTP_TENON_FLUSH_NONE;
        }

        if (m->state == NGX_HTTP_TENON_FLUSH_NONE) {
            ngx_memcpy(m->id, id, TN_USAGE_ID_LEN);
            m->n = 0;
            m->doubt = 0;
            m->number++;
            ngx_memory_barrier();

            m->state = NGX_HTTP_TENON_FLUSH_OPEN;
            ngx_memory_barrier();

            ngx_http_tenon_meter_list(m);
            ngx_memory_barrier();
        }

        m->state =
            m->n ? NGX_HTTP_TENON_FLUSH_SEALED : NGX_HTTP_TENON_FLUSH_NONE;

        /* from here on it may be sent, by whoever takes over as well */

        sealed->doubt = m->doubt;
        m->doubt = 1;

        sealed->n = m->n;
        sealed->more = (m->n >= m->most);
        sealed->number = m->number;
        ngx_memcpy(sealed->id, m->id, TN_USAGE_ID_LEN);
    }

    for (i = 0; i < sealed->n; i++) {
        sealed->cells[i] = m->list[i];
        cell = ngx_http_tenon_meter_cell(m, m->list[i]);
        row = &sealed->rows[i];

        ngx_memcpy(row->tenant, cell->tenant, 16);
        ngx_memcpy(row->name, cell->name, sizeof(row->name));
        row->period = cell->period;
        row->begins = cell->begins;
        row->ends = cell->ends;
        row->soft = cell->soft;
        row->hard = cell->hard;
        row->units = cell->sealed - cell->settled;
    }

    ngx_shmtx_unlock(m->mutex);

    return sealed->n ? NGX_OK : NGX_DECLINED;
}


/* Puts on the list what there is, or as much as it takes; the next one begins
 * behind that. */
static void
ngx_http_tenon_meter_list(ngx_http_tenon_meters_t *m)
{
    ngx_uint_t i, s;

    s = m->next % m->nsets;

    for (i = 0; i < m->nsets; i++) {

        if (m->sets[s].dirty) {
            ngx_http_tenon_meter_list_set(m, s);
        }

        if (m->n == m->most) {
            break;
        }

        s = (s + 1) % m->nsets;
    }

    m->next = s;
}


static void
ngx_http_tenon_meter_list_set(ngx_http_tenon_meters_t *m, ngx_uint_t s)
{
    uint32_t bit;
    ngx_uint_t i;
    ngx_http_tenon_cell_t *cell;
    ngx_http_tenon_meter_set_t *set;

    set = &m->sets[s];

    for (i = 0; i < NGX_HTTP_TENON_METER_WAYS; i++) {
        bit = (uint32_t) 1 << i;
        cell = &set->cell[i];

        if (!(set->dirty & bit)) {
            continue;
        }

        if (m->n == m->most) {
            return;
        }

        if (set->tag[i] && cell->barred &&
            (ngx_msec_int_t) (cell->barred - ngx_current_msec) > 0) {
            continue;
        }

        if (set->tag[i]) {
            cell->flush = m->number;
            ngx_memory_barrier();

            m->list[m->n] = s * NGX_HTTP_TENON_METER_WAYS + i;
            ngx_memory_barrier();

            m->n++;
            ngx_memory_barrier();

            cell->sealed = cell->counted;
            ngx_memory_barrier();
        }

        set->dirty &= ~bit;
    }
}


ngx_int_t
ngx_http_tenon_meters_settle(ngx_http_tenon_meters_t *m,
                             const ngx_http_tenon_sealed_t *sealed,
                             const int64_t *totals)
{
    uint32_t at;
    ngx_int_t rc;
    ngx_uint_t i;
    ngx_http_tenon_cell_t *cell;

    rc = NGX_DECLINED;

    ngx_shmtx_lock(m->mutex);

    if (ngx_http_tenon_meter_is(m, sealed)) {

        for (i = 0; i < sealed->n; i++) {
            at = sealed->cells[i];
            cell = ngx_http_tenon_meter_cell(m, at);

            if (totals[i] < 0) {
                /* its tenant is gone */
                m->sets[at / NGX_HTTP_TENON_METER_WAYS]
                    .tag[at % NGX_HTTP_TENON_METER_WAYS] = 0;
                continue;
            }

            cell->origin = totals[i] - cell->sealed;
            ngx_memory_barrier();

            cell->settled = cell->sealed;
            cell->barred = 0;
        }

        if (m->alone) {
            /* it wasn't all that is refused, but some one */
            m->most = TN_USAGE_FLUSH_MAX;
            m->alone = 0;
        }

        m->well = 1;
        ngx_memory_barrier();

        m->state = NGX_HTTP_TENON_FLUSH_NONE;

        rc = sealed->more ? NGX_OK : NGX_DONE;
    }

    ngx_shmtx_unlock(m->mutex);

    return rc;
}


ngx_int_t
ngx_http_tenon_meters_refused(ngx_http_tenon_meters_t *m,
                              const ngx_http_tenon_sealed_t *sealed,
                              ngx_uint_t split)
{
    ngx_int_t rc;

    rc = NGX_DECLINED;

    ngx_shmtx_lock(m->mutex);

    if (ngx_http_tenon_meter_is(m, sealed) && !sealed->doubt) {
        m->doubt = 0;

        if (split) {
            rc = ngx_http_tenon_meter_split(m);
        }
    }

    ngx_shmtx_unlock(m->mutex);

    return rc;
}


/* Who is killed in here leaves a flush that is as sealed as before, of fewer
 * units; those taken back are on no list, and each set's bit says so. */
static ngx_int_t
ngx_http_tenon_meter_split(ngx_http_tenon_meters_t *m)
{
    uint32_t at;
    ngx_int_t rc;
    ngx_uint_t i;
    ngx_http_tenon_cell_t *cell;

    rc = NGX_OK;

    for (i = 0; i < m->n; i++) {
        at = m->list[i];
        cell = ngx_http_tenon_meter_cell(m, at);

        if (m->n == 1) {
            rc = cell->barred ? NGX_AGAIN : NGX_DONE;
            cell->barred = ngx_current_msec + NGX_HTTP_TENON_METER_BARRED;
        }

        m->sets[at / NGX_HTTP_TENON_METER_WAYS].dirty |=
            (uint32_t) 1 << at % NGX_HTTP_TENON_METER_WAYS;
        ngx_memory_barrier();

        cell->sealed = cell->settled;
    }

    /* the same ones first */

    m->next = m->list[0] / NGX_HTTP_TENON_METER_WAYS;
    m->most = ngx_max(m->n / 2, 1);
    m->alone = (m->n == 1);
    m->well = 0;
    ngx_memory_barrier();

    m->state = NGX_HTTP_TENON_FLUSH_NONE;

    return rc;
}


static ngx_uint_t
ngx_http_tenon_meter_is(ngx_http_tenon_meters_t *m,
                        const ngx_http_tenon_sealed_t *sealed)
{
    return m->pid == (ngx_atomic_uint_t) ngx_pid &&
           m->state == NGX_HTTP_TENON_FLUSH_SEALED &&
           m->number == sealed->number;
}


static ngx_http_tenon_cell_t *
ngx_http_tenon_meter_cell(ngx_http_tenon_meters_t *m, uint32_t at)
{
    return &m->sets[at / NGX_HTTP_TENON_METER_WAYS]
                .cell[at % NGX_HTTP_TENON_METER_WAYS];
}


static ngx_uint_t
ngx_http_tenon_meter_alive(ngx_pid_t pid)
{
    return kill(pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}


void
ngx_http_tenon_meters_join(ngx_http_tenon_meters_t *m)
{
    ngx_int_t i, place;

    place = NGX_ERROR;

    ngx_shmtx_lock(m->mutex);

    for (i = NGX_HTTP_TENON_METER_WORKERS - 1; i >= 0; i--) {

        /* a dead one may have had this number */

        if (m->workers[i] == 0 || m->workers[i] == ngx_pid ||
            !ngx_http_tenon_meter_alive(m->workers[i])) {
            m->workers[i] = 0;
            place = i;
        }
    }

    /* one too many isn't waited for by others, and leaves as they do */

    if (place != NGX_ERROR) {
        m->workers[place] = ngx_pid;
    }

    ngx_shmtx_unlock(m->mutex);
}


/*
 * Under the lock, so that of workers that leave at the same time one is the
 * last, and finds nobody: what the others have counted is there by then.
 */
ngx_uint_t
ngx_http_tenon_meters_leave(ngx_http_tenon_meters_t *m)
{
    ngx_uint_t i, others;

    others = 0;

    ngx_shmtx_lock(m->mutex);

    for (i = 0; i < NGX_HTTP_TENON_METER_WORKERS; i++) {

        if (m->workers[i] == ngx_pid) {
            m->workers[i] = 0;

        } else if (m->workers[i] && !others) {
            others = ngx_http_tenon_meter_alive(m->workers[i]);
        }
    }

    ngx_http_tenon_meters_yield(m);

    if (!others) {
        ngx_http_tenon_meter_unbar(m);
    }

    ngx_shmtx_unlock(m->mutex);

    return others;
}


/* The last worker tries them once more. */
static void
ngx_http_tenon_meter_unbar(ngx_http_tenon_meters_t *m)
{
    ngx_uint_t i, s;

    for (s = 0; s < m->nsets; s++) {
        for (i = 0; i < NGX_HTTP_TENON_METER_WAYS; i++) {
            m->sets[s].cell[i].barred = 0;
        }
    }
}


int64_t
ngx_http_tenon_meters_left(ngx_http_tenon_meters_t *m, ngx_uint_t *counters)
{
    int64_t units;
    ngx_uint_t i, s;
    ngx_http_tenon_cell_t *cell;

    units = 0;
    *counters = 0;

    ngx_shmtx_lock(m->mutex);

    for (s = 0; s < m->nsets; s++) {
        for (i = 0; i < NGX_HTTP_TENON_METER_WAYS; i++) {
            cell = &m->sets[s].cell[i];

            if (m->sets[s].tag[i] && cell->counted != cell->settled) {
                units += cell->counted - cell->settled;
                *counters += 1;
            }
        }
    }

    ngx_shmtx_unlock(m->mutex);

    return units;
}
