/*
 * ngx_http_tenon_meter.c: the counters' table, set-associative as the zone's
 * (ngx_http_tenon_zone.c), and what of it is being flushed.
 *
 * A worker may be killed behind any instruction, also while it holds the lock,
 * which nginx's master then takes from it. No unit may be lost by that, and
 * none told to the database twice. So a counter has no number that moves from
 * one place to another; it has three that are written by one store each:
 *
 *     counted    units taken on this node
 *     sealed     of them, those that a flush was given
 *     settled    of them, those that the database is known to have
 *
 * counted - sealed is new, sealed - settled is under way; either is less than 0
 * where what was flushed is given back. What was used in the period, on all
 * nodes, is counted + origin: a total that the database tells,
 * with what was sealed in it, moves the origin alone, by one store.
 *
 * The flush under way lies here as a list of cells, under an id that makes it
 * harmless to send it again:
 *
 *     OPEN     cells are put on the list, and sealed: number and cell first,
 *              then the length of the list, then the units. Whoever finds it
 *              half made takes what is on the list: the rest waits for the
 *              next flush
 *     SEALED   may have been sent: list and units stay as they are until the
 *              database has said that it has them
 *     NONE     (again, when all of the list is settled)
 *
 * Before it is sent it is in doubt, until the server says that it has refused
 * it: then the units may be taken back, one store each, and given to other
 * flushes. Without that, one row that can't be written would hold up all.
 *
 * Whoever finds a flush SEALED sends the same rows under the same id. If its
 * predecessor was killed while it settled, some of the counters have no units
 * under way any more, and their rows say 0: the id is in the database already,
 * which looks at units no more, only answers totals.
 *
 * A cell gives way only when it has nothing that isn't settled, and isn't on
 * the list. It is out of use (tag 0) while it is being written. A set's bit is
 * set before a counter counts, and cleared behind sealing it: a bit may be
 * there for nothing, which asks for a total, and is never missing. That is also
 * how a counter that refused somebody is asked for.
 */

#include "ngx_http_tenon_meter.h"


typedef struct {
    ngx_http_tenon_meter_set_t *set;
    ngx_http_tenon_cell_t *cell;
} ngx_http_tenon_place_t;


static uint32_t ngx_http_tenon_meter_tag(const tn_meter *meter);
static tn_taken
ngx_http_tenon_meter_find(ngx_http_tenon_meters_t *m,
                          ngx_http_tenon_place_t *place, const tn_meter *meter,
                          const ngx_http_tenon_place_t *others, unsigned n);
static ngx_http_tenon_cell_t *
ngx_http_tenon_meter_room(ngx_http_tenon_meters_t *m,
                          ngx_http_tenon_meter_set_t *set,
                          const ngx_http_tenon_place_t *others, unsigned n);
static void ngx_http_tenon_meter_make(ngx_http_tenon_place_t *place,
                                      const tn_meter *meter, uint32_t tag);


#define ngx_http_tenon_meter_bit(place) \
    ((uint32_t) 1 << ((place)->cell - (place)->set->cell))


ngx_http_tenon_meters_t *
ngx_http_tenon_meters_create(ngx_slab_pool_t *shpool)
{
    size_t size, head, set;
    ngx_http_tenon_meters_t *m;

    head = sizeof(ngx_http_tenon_meters_t);
    set = sizeof(ngx_http_tenon_meter_set_t);

    size = shpool->pfree / NGX_HTTP_TENON_METER_PART * ngx_pagesize;
    size = ngx_max(size, head + set);
    size = ngx_align(size, ngx_pagesize);

    m = ngx_slab_calloc(shpool, size);
    if (m == NULL) {
        return NULL;
    }

    m->mutex = &shpool->mutex;
    m->most = TN_USAGE_FLUSH_MAX;
    m->well = 1;
    m->nsets = (size - head) / set;

    return m;
}


void
ngx_http_tenon_meters_take(ngx_http_tenon_meters_t *m, tn_input *input,
                           const tn_meter *meters, unsigned n, int units)
{
    int64_t used;
    unsigned i;
    ngx_uint_t refused;
    ngx_http_tenon_cell_t *cell;
    ngx_http_tenon_place_t places[TN_METERS_MAX];

    ngx_memzero(places, sizeof(places));
    refused = 0;

    ngx_shmtx_lock(m->mutex);

    for (i = 0; i < n && i < TN_METERS_MAX; i++) {

        input->meters[i].used = 0;
        input->meters[i].taken =
            ngx_http_tenon_meter_find(m, &places[i], &meters[i], places, i);

        cell = places[i].cell;

        if (cell == NULL) {
            refused |= (units >= 0);
            continue;
        }

        used = cell->origin + cell->counted;
        input->meters[i].used = used;

        if (units >= 0 && cell->hard >= 0 && used > cell->hard - units) {
            input->meters[i].taken = TN_TAKEN_OVER;
            refused = 1;

            /* the next flush asks whether that is still so */
            places[i].set->dirty |= ngx_http_tenon_meter_bit(&places[i]);
        }
    }

    /* who is killed among these has answered nobody */

    for (i = 0; !refused && i < n && i < TN_METERS_MAX; i++) {

        if (places[i].cell == NULL) {
            continue;
        }

        places[i].set->dirty |= ngx_http_tenon_meter_bit(&places[i]);
        ngx_memory_barrier();

        places[i].cell->counted += units;
        input->meters[i].used += units;
    }

    ngx_shmtx_unlock(m->mutex);
}


/* Nobody chooses what it is of, so it need only be quick: of a name that is its
 * length and its ends, and names that are equal in that share a set. */
static uint32_t
ngx_http_tenon_meter_tag(const tn_meter *meter)
{
    uint64_t tenant[2], n;
    uint32_t tag;

    ngx_memcpy(tenant, meter->tenant, sizeof(tenant));

    n = meter->name.n;

    if (n) {
        n = (n << 8) + (u_char) meter->name.p[0];
        n = (n << 8) + (u_char) meter->name.p[meter->name.n - 1];
    }

    n = (n << 3) + meter->period;

    /* multipliers that mix well: SplitMix64's */

    n = (n ^ tenant[0]) * UINT64_C(0x9e3779b97f4a7c15);
    n = (n ^ (n >> 32) ^ tenant[1]) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 32) ^ (uint64_t) meter->begins) *
        UINT64_C(0x94d049bb133111eb);

    tag = (uint32_t) (n >> 32);

    return tag ? tag : 1;
}


/* As two numbers: memcmp() is a call. */
static ngx_inline ngx_uint_t
ngx_http_tenon_meter_whose(const ngx_http_tenon_cell_t *cell,
                           const tn_meter *meter)
{
    uint64_t a[2], b[2];

    ngx_memcpy(a, cell->tenant, sizeof(a));
    ngx_memcpy(b, meter->tenant, sizeof(b));

    return a[0] == b[0] && a[1] == b[1];
}


/* The counter, made where there is none and it has a base. None of the n others
 * gives way to it. */
static tn_taken
ngx_http_tenon_meter_find(ngx_http_tenon_meters_t *m,
                          ngx_http_tenon_place_t *place, const tn_meter *meter,
                          const ngx_http_tenon_place_t *others, unsigned n)
{
    uint32_t tag;
    ngx_uint_t i;
    ngx_http_tenon_cell_t *cell;
    ngx_http_tenon_meter_set_t *set;

    if (meter->name.n > TN_METER_NAME_MAX) {
        return TN_TAKEN_UNKNOWN;
    }

    tag = ngx_http_tenon_meter_tag(meter);
    set = &m->sets[tag % m->nsets];
    place->set = set;

    for (i = 0; i < NGX_HTTP_TENON_METER_WAYS; i++) {
        if (set->tag[i] != tag) {
            continue;
        }

        cell = &set->cell[i];

        if (cell->begins != meter->begins || cell->period != meter->period ||
            !ngx_http_tenon_meter_whose(cell, meter) ||
            ngx_memcmp(cell->name, meter->name.p, meter->name.n) != 0 ||
            cell->name[meter->name.n] != '\0') {
            continue;
        }

        /* as the plan is now */

        cell->ends = meter->ends;
        cell->soft = meter->soft;
        cell->hard = meter->hard;
        cell->used = ngx_current_msec;

        place->cell = cell;
        return TN_TAKEN;
    }

    if (meter->base < 0) {
        return TN_TAKEN_UNKNOWN;
    }

    place->cell = ngx_http_tenon_meter_room(m, set, others, n);

    if (place->cell == NULL) {
        return TN_TAKEN_FULL;
    }

    ngx_http_tenon_meter_make(place, meter, tag);

    return TN_TAKEN;
}


/* A cell that is free, else of those with nothing to flush the one used longest
 * ago. */
static ngx_http_tenon_cell_t *
ngx_http_tenon_meter_room(ngx_http_tenon_meters_t *m,
                          ngx_http_tenon_meter_set_t *set,
                          const ngx_http_tenon_place_t *others, unsigned n)
{
    unsigned k;
    ngx_uint_t i;
    ngx_http_tenon_cell_t *cell, *oldest;

    oldest = NULL;

    for (i = 0; i < NGX_HTTP_TENON_METER_WAYS; i++) {
        cell = &set->cell[i];

        if (ngx_http_tenon_meter_listed(m, cell)) {
            continue;
        }

        if (set->tag[i] == 0) {
            return cell;
        }

        for (k = 0; k < n && others[k].cell != cell; k++) {
            /* void */
        }

        if (k < n || cell->counted != cell->settled) {
            continue;
        }

        if (oldest == NULL ||
            (ngx_msec_int_t) (cell->used - oldest->used) < 0) {
            oldest = cell;
        }
    }

    if (oldest == NULL && !m->full) {
        m->full = 1;
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                      "tenon: no room for more counters of usage: requests of "
                      "tenants that have none are refused until some are "
                      "flushed; a larger tenon_zone has more");
    }

    return oldest;
}


static void
ngx_http_tenon_meter_make(ngx_http_tenon_place_t *place, const tn_meter *meter,
                          uint32_t tag)
{
    ngx_uint_t i;
    ngx_http_tenon_cell_t *cell;

    cell = place->cell;
    i = cell - place->set->cell;

    place->set->tag[i] = 0;
    ngx_memory_barrier();

    ngx_memzero(cell, sizeof(ngx_http_tenon_cell_t));
    ngx_memcpy(cell->tenant, meter->tenant, 16);
    ngx_memcpy(cell->name, meter->name.p, meter->name.n);

    cell->period = meter->period;
    cell->begins = meter->begins;
    cell->ends = meter->ends;
    cell->soft = meter->soft;
    cell->hard = meter->hard;
    cell->origin = meter->base;
    cell->used = ngx_current_msec;

    place->set->dirty &= ~ngx_http_tenon_meter_bit(place);
    ngx_memory_barrier();

    place->set->tag[i] = tag;
}
