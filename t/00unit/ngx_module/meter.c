/*
 * Counters of what tenants use, in memory that workers share, and their flush
 * to a database that adds each flush once. What was answered is counted, and
 * gets there, once: wherever a worker is killed, which is behind each of its
 * instructions in turn.
 */

#include "t/00unit/unit.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ngx_module/ngx_http_tenon_meter.c"
#include "ngx_module/ngx_http_tenon_meter_seal.c"

#define MEMORY (1 << 20)
#define PAGES  (1 << 4) /* of them, one in eight */
#define FIRST  1000     /* pids */
#define SECOND 1001
#define MONTH  TN_PERIOD_MONTH
#define DAYS30 (30 * 86400ll * 1000000)

/* ---- what nginx would bring ---- */

volatile ngx_msec_t ngx_current_msec;
volatile ngx_cycle_t *ngx_cycle;
ngx_pid_t ngx_pid;
ngx_uint_t ngx_pagesize = 4096;

static ngx_log_t log_of_cycle = { .log_level = NGX_LOG_DEBUG };
static ngx_cycle_t cycle = { .log = &log_of_cycle };
static unsigned logged;

/* Which of the workers there are live. */
static ngx_pid_t living[4];


void
ngx_shmtx_lock(ngx_shmtx_t *mtx)
{
    assert_true(ngx_atomic_cmp_set(mtx->lock, 0, (ngx_atomic_uint_t) ngx_pid));
}


void
ngx_shmtx_unlock(ngx_shmtx_t *mtx)
{
    assert_true(ngx_atomic_cmp_set(mtx->lock, (ngx_atomic_uint_t) ngx_pid, 0));
}


#if !(NGX_HAVE_VARIADIC_MACROS)
#error "this test has nginx log by one function"
#endif

void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
                   const char *fmt, ...)
{
    (void) level;
    (void) log;
    (void) err;
    (void) fmt;
    logged++;
}


int
kill(pid_t pid, int sig)
{
    size_t i;

    assert_int_equal(sig, 0);

    for (i = 0; i < sizeof(living) / sizeof(*living); i++) {
        if (living[i] == pid) {
            return 0;
        }
    }

    errno = ESRCH;
    return -1;
}


/* ---- workers and their database ---- */

#define TENANTS 3
#define IDS     16

/* What the database has: a transaction is a copy that becomes the present one
 * by one store. */
typedef struct tables {
    int64_t total[TENANTS];
    unsigned char ids[IDS][TN_USAGE_ID_LEN];
    unsigned nids;
} tables;

/* All that workers share, and what their clients were told. */
typedef struct node {
    ngx_slab_pool_t slab;
    ngx_atomic_t lock;
    tables tables[2];
    volatile unsigned present;
    volatile int64_t begun[TENANTS]; /* requests that may have been counted */
    volatile int64_t told[TENANTS];  /* that are known to have been */
    _Alignas(64) unsigned char memory[MEMORY];
} node;

static node *shared;
static ngx_http_tenon_meters_t *meters;
static unsigned nextid;


/* All free pages of a new zone. */
void *
ngx_slab_calloc(ngx_slab_pool_t *pool, size_t size)
{
    (void) pool;

    if (size > MEMORY) {
        return NULL;
    }

    memset(shared->memory, 0, size);
    return shared->memory;
}


static int
set_up(void **state)
{
    (void) state;

    shared = mmap(NULL, sizeof(node), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return -1;
    }

    ngx_cycle = &cycle;
    ngx_current_msec = 5000000;
    ngx_pid = FIRST;
    nextid = 1;
    logged = 0;
    memset(living, 0, sizeof(living));
    living[0] = FIRST;
    living[1] = SECOND;

    shared->slab.mutex.lock = &shared->lock;
    shared->slab.pfree = PAGES;
    meters = ngx_http_tenon_meters_create(&shared->slab);

    return meters ? 0 : -1;
}


static int
tear_down(void **state)
{
    (void) state;
    return munmap(shared, sizeof(node));
}


static tn_meter
meter_of(unsigned tenant)
{
    tn_meter meter = { .name = TN_STR_C("api_calls"),
                       .period = MONTH,
                       .begins = 0,
                       .ends = DAYS30,
                       .soft = -1,
                       .hard = -1,
                       .base = -1 };

    memcpy(meter.tenant, &tenant, sizeof(tenant));
    return meter;
}


static tn_taken
take(int64_t *used, const tn_meter *meter, int units)
{
    tn_input input;

    memset(&input, 0, sizeof(input));
    ngx_http_tenon_meters_take(meters, &input, meter, 1, units);
    *used = input.meters[0].used;
    return input.meters[0].taken;
}


/* As a request does: asks the database where the counter isn't known. */
static tn_taken
request(unsigned tenant, int64_t hard)
{
    int64_t used;
    tn_taken taken;
    tn_meter meter = meter_of(tenant);

    meter.hard = hard;
    shared->begun[tenant]++;
    taken = take(&used, &meter, 1);

    if (taken == TN_TAKEN_UNKNOWN) {
        meter.base = shared->tables[shared->present].total[tenant];
        taken = take(&used, &meter, 1);
    }

    if (taken == TN_TAKEN) {
        shared->told[tenant]++;
    } else {
        shared->begun[tenant]--;
    }

    return taken;
}


/* What was answered cost nothing. */
static void
give_back(unsigned tenant)
{
    int64_t used;
    tn_meter meter = meter_of(tenant);

    shared->told[tenant]--;
    (void) take(&used, &meter, -1);
    shared->begun[tenant]--;
}


/* tenon.flush_usage(), and its commit. */
static void
write_down(int64_t *totals, const ngx_http_tenon_sealed_t *sealed)
{
    int is_new;
    unsigned i, tenant;
    tables *next;

    next = &shared->tables[!shared->present];
    *next = shared->tables[shared->present];

    for (i = 0; i < next->nids; i++) {
        if (memcmp(next->ids[i], sealed->id, TN_USAGE_ID_LEN) == 0) {
            break;
        }
    }

    is_new = i == next->nids;

    if (is_new) {
        assert_true(i < IDS);
        memcpy(next->ids[i], sealed->id, TN_USAGE_ID_LEN);
        next->nids++;
    }

    for (i = 0; i < sealed->n; i++) {
        memcpy(&tenant, sealed->rows[i].tenant, sizeof(tenant));
        assert_true(tenant < TENANTS);
        next->total[tenant] += is_new ? sealed->rows[i].units : 0;
        totals[i] = next->total[tenant];
    }

    ngx_memory_barrier();
    shared->present = !shared->present;
    ngx_memory_barrier();
}


static ngx_int_t
seal(ngx_http_tenon_sealed_t *sealed)
{
    u_char id[TN_USAGE_ID_LEN] = { 0 };

    memcpy(id, &nextid, sizeof(nextid));
    nextid++;
    return ngx_http_tenon_meters_seal(meters, sealed, id);
}


/* One round of the flusher's; how many rows. */
static ngx_uint_t
flush(void)
{
    static ngx_http_tenon_sealed_t sealed;
    static int64_t totals[TN_USAGE_FLUSH_MAX];

    if (!ngx_http_tenon_meters_lead(meters) || seal(&sealed) != NGX_OK) {
        return 0;
    }

    write_down(totals, &sealed);
    assert_int_not_equal(ngx_http_tenon_meters_settle(meters, &sealed, totals),
                         NGX_DECLINED);
    return sealed.n;
}


static int64_t
total(unsigned tenant)
{
    return shared->tables[shared->present].total[tenant];
}


/* ---- taking ---- */

static void
a_counter_begins_with_what_the_database_says(void **state)
{
    int64_t used;
    tn_meter meter = meter_of(1);

    (void) state;

    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_UNKNOWN);
    assert_int_equal(used, 0);

    meter.base = 40;
    assert_int_equal(take(&used, &meter, 2), TN_TAKEN);
    assert_int_equal(used, 42);

    /* once: a base that was read meanwhile is older */

    meter.base = 7;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
    assert_int_equal(used, 43);
}


static void
a_counter_has_tenant_name_period_and_begin(void **state)
{
    int64_t used;
    size_t i;
    tn_meter some[6];

    (void) state;

    for (i = 0; i < 6; i++) {
        some[i] = meter_of(1);
        some[i].base = 0;
    }

    some[1].tenant[15] = 1;
    some[2].name = TN_STR("api_call");
    some[3].period = TN_PERIOD_DAY;
    some[4].begins = 1;
    some[5].name = TN_STR("app_calls"); /* in the same set, by the same tag */

    for (i = 0; i < 6; i++) {
        assert_int_equal(take(&used, &some[i], 1), TN_TAKEN);
        assert_int_equal(used, 1);
    }
}


static void
no_unit_is_taken_beyond_the_limit(void **state)
{
    int i;
    int64_t used;
    tn_meter meter = meter_of(1);

    (void) state;

    meter.base = 0;
    meter.hard = 10;

    for (i = 1; i <= 10; i++) {
        assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
        assert_int_equal(used, i);
    }

    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_OVER);
    assert_int_equal(used, 10);

    /* as many as there are, or none; and a larger limit holds at once */

    meter.hard = 12;
    assert_int_equal(take(&used, &meter, 3), TN_TAKEN_OVER);
    assert_int_equal(take(&used, &meter, 2), TN_TAKEN);
    assert_int_equal(used, 12);

    meter.hard = 0;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_OVER);
    meter.hard = -1;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
}


static void
from_all_or_from_none(void **state)
{
    tn_input input;
    tn_meter two[2] = { meter_of(1), meter_of(1) };

    (void) state;

    two[0].base = two[1].base = 0;
    two[1].name = TN_STR("api_rate");
    two[1].hard = 1;

    memset(&input, 0, sizeof(input));
    ngx_http_tenon_meters_take(meters, &input, two, 2, 1);
    assert_int_equal(input.meters[0].taken, TN_TAKEN);
    assert_int_equal(input.meters[0].used, 1);
    assert_int_equal(input.meters[1].taken, TN_TAKEN);
    assert_int_equal(input.meters[1].used, 1);

    ngx_http_tenon_meters_take(meters, &input, two, 2, 1);
    assert_int_equal(input.meters[0].taken, TN_TAKEN);
    assert_int_equal(input.meters[0].used, 1);
    assert_int_equal(input.meters[1].taken, TN_TAKEN_OVER);

    two[1].begins = 60000000;
    two[1].base = -1;
    ngx_http_tenon_meters_take(meters, &input, two, 2, 1);
    assert_int_equal(input.meters[0].used, 1);
    assert_int_equal(input.meters[1].taken, TN_TAKEN_UNKNOWN);
    assert_int_equal(input.meters[1].used, 0);
}


/* ---- room ---- */

static void
what_is_flushed_gives_way_oldest_first(void **state)
{
    int64_t used;
    unsigned i;
    tn_meter meter;

    (void) state;
    assert_int_equal(meters->nsets, 1);

    for (i = 0; i < NGX_HTTP_TENON_METER_WAYS; i++) {
        meter = meter_of(i % TENANTS);
        meter.begins = i;
        meter.base = 0;
        ngx_current_msec++;
        assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
    }

    /* all have something to flush */

    meter = meter_of(0);
    meter.begins = 1000;
    meter.base = 0;
    assert_int_equal(logged, 0);
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_FULL);
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_FULL);
    assert_int_equal(logged, 1);

    /* not while it is under way, either */

    static ngx_http_tenon_sealed_t sealed;
    static int64_t totals[TN_USAGE_FLUSH_MAX];

    assert_true(ngx_http_tenon_meters_lead(meters));
    assert_int_equal(seal(&sealed), NGX_OK);
    assert_int_equal(sealed.n, NGX_HTTP_TENON_METER_WAYS);
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_FULL);

    write_down(totals, &sealed);
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &sealed, totals),
                     NGX_DONE);

    meter.begins = 0; /* the oldest is used once more */
    assert_int_equal(take(&used, &meter, 0), TN_TAKEN);
    meter.begins = 1000;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN);

    meter = meter_of(1);
    meter.begins = 1;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_UNKNOWN);
    meter = meter_of(2);
    meter.begins = 2;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
}


/* Two of one request, the first just found: it is not the one to give way. */
static void
counters_of_one_request_don_t_give_way_to_each_other(void **state)
{
    int64_t used;
    unsigned i;
    tn_input input;
    tn_meter meter, two[2];

    (void) state;

    for (i = 0; i < NGX_HTTP_TENON_METER_WAYS; i++) {
        meter = meter_of(0);
        meter.begins = i;
        meter.base = 0;
        assert_int_equal(take(&used, &meter, i > 0), TN_TAKEN);
    }

    two[0] = meter_of(0);
    two[1] = meter_of(1);
    two[1].base = 0;
    memset(&input, 0, sizeof(input));
    ngx_http_tenon_meters_take(meters, &input, two, 2, 1);
    assert_int_equal(input.meters[0].taken, TN_TAKEN);
    assert_int_equal(input.meters[1].taken, TN_TAKEN_FULL);
    assert_int_equal(input.meters[0].used, 0);
}


/* ---- flushing ---- */

static void
a_flush_is_the_same_until_it_is_settled(void **state)
{
    static ngx_http_tenon_sealed_t first, again;
    static int64_t totals[TN_USAGE_FLUSH_MAX];
    int64_t used;
    tn_meter meter = meter_of(1);

    (void) state;

    meter.base = 0;
    meter.soft = 3;
    assert_int_equal(take(&used, &meter, 5), TN_TAKEN);

    assert_true(ngx_http_tenon_meters_lead(meters));
    assert_int_equal(seal(&first), NGX_OK);
    assert_int_equal(first.n, 1);
    assert_int_equal(first.rows[0].units, 5);
    assert_int_equal(first.rows[0].soft, 3);
    assert_int_equal(first.rows[0].period, MONTH);
    assert_int_equal(first.rows[0].ends, DAYS30);
    assert_string_equal(first.rows[0].name, "api_calls");
    assert_memory_equal(first.rows[0].tenant, meter.tenant, 16);

    /* what comes meanwhile is the next one's */

    assert_int_equal(take(&used, &meter, 2), TN_TAKEN);
    assert_int_equal(used, 7);
    assert_int_equal(seal(&again), NGX_OK);
    assert_memory_equal(again.id, first.id, TN_USAGE_ID_LEN);
    assert_int_equal(again.n, 1);
    assert_int_equal(again.rows[0].units, 5);

    /* another node has added 100 */

    totals[0] = 105;
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &again, totals),
                     NGX_DONE);
    assert_int_equal(take(&used, &meter, 0), TN_TAKEN);
    assert_int_equal(used, 107);

    assert_int_equal(seal(&again), NGX_OK);
    assert_memory_not_equal(again.id, first.id, TN_USAGE_ID_LEN);
    assert_int_equal(again.rows[0].units, 2);
    totals[0] = 107;
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &again, totals),
                     NGX_DONE);
    assert_int_equal(seal(&again), NGX_DECLINED);
}


static void
who_was_refused_is_asked_for(void **state)
{
    int64_t used;
    tn_meter meter = meter_of(1);

    (void) state;

    shared->tables[0].total[1] = 10;
    meter.base = 10;
    meter.hard = 10;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_OVER);

    shared->tables[0].total[1] = 4; /* somebody has mended it */
    assert_int_equal(flush(), 1);
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
    assert_int_equal(used, 5);
    assert_int_equal(flush(), 1);
    assert_int_equal(total(1), 5);
    assert_int_equal(flush(), 0);
}


static void
whose_tenant_is_gone_is_forgotten(void **state)
{
    static ngx_http_tenon_sealed_t sealed;
    int64_t used, none[1] = { -1 };
    ngx_uint_t counters;
    tn_meter meter = meter_of(1);

    (void) state;

    meter.base = 0;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
    assert_true(ngx_http_tenon_meters_lead(meters));
    assert_int_equal(seal(&sealed), NGX_OK);
    assert_int_equal(ngx_http_tenon_meters_left(meters, &counters), 1);
    assert_int_equal(counters, 1);
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &sealed, none),
                     NGX_DONE);
    assert_int_equal(ngx_http_tenon_meters_left(meters, &counters), 0);
    meter.base = -1;
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_UNKNOWN);
}


/* A table of some sets, and n counters with a unit each. */
static void
many(unsigned n)
{
    int64_t used;
    unsigned i;
    tn_meter meter;

    shared->slab.pfree = 400;
    meters = ngx_http_tenon_meters_create(&shared->slab);
    assert_non_null(meters);

    for (i = 0; i < n; i++) {
        meter = meter_of(i % TENANTS);
        meter.begins = i;
        meter.base = 0;
        assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
    }

    assert_true(ngx_http_tenon_meters_lead(meters));
}


static void
a_full_flush_leaves_the_rest_to_the_next(void **state)
{
    static ngx_http_tenon_sealed_t sealed;
    static int64_t totals[TN_USAGE_FLUSH_MAX];
    int64_t units;
    unsigned i, rounds;

    (void) state;
    many(400);

    for (rounds = 0, units = 0; seal(&sealed) == NGX_OK; rounds++) {
        for (i = 0; i < sealed.n; i++) {
            units += sealed.rows[i].units;
        }
        write_down(totals, &sealed);
        assert_int_equal(ngx_http_tenon_meters_settle(meters, &sealed, totals),
                         rounds ? NGX_DONE : NGX_OK);
    }

    assert_int_equal(rounds, 2);
    assert_int_equal(units, 400);
}


/* Flushes until nothing is left to try now, as the flusher does; the rows that
 * begin at `wrong` can't be written. How often the database was asked. */
static unsigned
flush_but(int64_t wrong, unsigned *barred)
{
    static ngx_http_tenon_sealed_t sealed;
    static int64_t totals[TN_USAGE_FLUSH_MAX];
    ngx_int_t rc;
    unsigned i, asked;

    asked = 0;
    *barred = 0;

    do {
        assert_true(ngx_http_tenon_meters_lead(meters));

        if (seal(&sealed) != NGX_OK) {
            break;
        }

        asked++;

        for (i = 0; i < sealed.n && sealed.rows[i].begins != wrong; i++) {
            /* void */
        }

        if (i < sealed.n) {
            rc = ngx_http_tenon_meters_refused(meters, &sealed, 1);
            *barred += rc == NGX_DONE;
        } else {
            write_down(totals, &sealed);
            rc = ngx_http_tenon_meters_settle(meters, &sealed, totals);
        }
    } while (rc == NGX_OK);

    return asked;
}


static void
what_can_t_be_written_holds_up_nothing_else(void **state)
{
    ngx_uint_t counters;
    unsigned barred, asked;
    int64_t wrong;

    (void) state;

    for (wrong = 0; wrong < 200; wrong += 17) {
        many(200);
        assert_true(flush_but(wrong, &barred) <= 40);
        assert_int_equal(barred, 1);
        (void) flush_but(wrong, &barred);
        assert_int_equal(barred, 0);
        assert_int_equal(ngx_http_tenon_meters_left(meters, &counters), 1);
        assert_int_equal(counters, 1);

        /* it is left out, for a while */

        assert_int_equal(flush_but(wrong, &barred), 0);
        ngx_current_msec += NGX_HTTP_TENON_METER_BARRED + 1;
        assert_int_equal(flush_but(-1, &barred), 1);
        assert_int_equal(ngx_http_tenon_meters_left(meters, &counters), 0);
        shared->tables[shared->present].nids = 0;
    }

    /* where all are refused, one question in a round */

    many(200);
    (void) flush_but(-1, &barred);
    many(0);
    many(40);

    for (asked = 0; asked < 3; asked++) {
        static ngx_http_tenon_sealed_t sealed;
        unsigned n = 0;

        do {
            assert_true(ngx_http_tenon_meters_lead(meters));
            assert_int_equal(seal(&sealed), NGX_OK);
            n++;
        } while (ngx_http_tenon_meters_refused(meters, &sealed, 1) == NGX_OK);

        assert_int_equal(n, asked ? 1 : 6);
    }

    assert_int_equal(ngx_http_tenon_meters_left(meters, &counters), 40);
}


/* Once it may be in the database it is the same until the database has it. */
static void
what_may_be_written_is_not_split(void **state)
{
    static ngx_http_tenon_sealed_t first, again;
    static int64_t totals[TN_USAGE_FLUSH_MAX];

    (void) state;
    many(5);

    assert_int_equal(seal(&first), NGX_OK);
    assert_int_equal(ngx_http_tenon_meters_refused(meters, &first, 0),
                     NGX_DECLINED);

    /* not sent; sent, and not heard of; refused the third time */

    assert_int_equal(seal(&again), NGX_OK);
    assert_memory_equal(again.id, first.id, TN_USAGE_ID_LEN);
    assert_int_equal(again.n, 5);
    assert_int_equal(seal(&again), NGX_OK);
    assert_int_equal(ngx_http_tenon_meters_refused(meters, &again, 1),
                     NGX_DECLINED);
    assert_int_equal(seal(&again), NGX_OK);
    assert_memory_equal(again.id, first.id, TN_USAGE_ID_LEN);
    assert_int_equal(again.n, 5);
    write_down(totals, &again);
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &again, totals),
                     NGX_DONE);
    assert_int_equal(total(0) + total(1) + total(2), 5);
}


/* ---- giving back ---- */

static void
what_is_given_back_is_there_again(void **state)
{
    int64_t used;
    tn_input input;
    tn_meter meter = meter_of(1);
    tn_meter two[2] = { meter_of(2), meter_of(1) };

    (void) state;

    /* nothing is made for it */

    assert_int_equal(take(&used, &meter, -1), TN_TAKEN_UNKNOWN);
    assert_int_equal(used, 0);
    assert_int_equal(flush(), 0);

    meter.base = 0;
    meter.hard = 2;
    assert_int_equal(take(&used, &meter, 2), TN_TAKEN);
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN_OVER);
    assert_int_equal(take(&used, &meter, -1), TN_TAKEN);
    assert_int_equal(used, 1);
    assert_int_equal(take(&used, &meter, 1), TN_TAKEN);
    assert_int_equal(used, 2);

    /* also beyond a limit that is smaller now, and where another isn't there */

    two[1].hard = 1;
    memset(&input, 0, sizeof(input));
    ngx_http_tenon_meters_take(meters, &input, two, 2, -1);
    assert_int_equal(input.meters[0].taken, TN_TAKEN_UNKNOWN);
    assert_int_equal(input.meters[1].used, 1);

    assert_int_equal(flush(), 1);
    assert_int_equal(total(1), 1);
}


static void
what_was_flushed_is_given_back(void **state)
{
    static ngx_http_tenon_sealed_t sealed;
    static int64_t totals[TN_USAGE_FLUSH_MAX];
    int64_t used;
    ngx_uint_t counters;
    tn_meter meter = meter_of(1);

    (void) state;

    meter.base = 0;
    assert_int_equal(take(&used, &meter, 2), TN_TAKEN);
    assert_true(ngx_http_tenon_meters_lead(meters));
    assert_int_equal(seal(&sealed), NGX_OK);

    /* what is under way stays as it is */

    assert_int_equal(take(&used, &meter, -1), TN_TAKEN);
    assert_int_equal(used, 1);
    assert_int_equal(sealed.rows[0].units, 2);
    write_down(totals, &sealed);
    assert_int_equal(total(1), 2);
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &sealed, totals),
                     NGX_DONE);
    assert_int_equal(take(&used, &meter, 0), TN_TAKEN);
    assert_int_equal(used, 1);

    /* less than nothing is to be flushed, and keeps its place until it is */

    assert_int_equal(ngx_http_tenon_meters_left(meters, &counters), -1);
    assert_int_equal(counters, 1);
    assert_int_equal(seal(&sealed), NGX_OK);
    assert_int_equal(sealed.rows[0].units, -1);
    write_down(totals, &sealed);
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &sealed, totals),
                     NGX_DONE);
    assert_int_equal(total(1), 1);
    assert_int_equal(take(&used, &meter, 0), TN_TAKEN);
    assert_int_equal(used, 1);
    assert_int_equal(ngx_http_tenon_meters_left(meters, &counters), 0);
}


/* ---- who flushes ---- */

static void
one_flushes_and_who_died_does_no_more(void **state)
{
    static ngx_http_tenon_sealed_t first, second;
    static int64_t totals[TN_USAGE_FLUSH_MAX];

    (void) state;

    assert_int_equal(request(1, -1), TN_TAKEN);
    assert_true(ngx_http_tenon_meters_lead(meters));
    assert_int_equal(seal(&first), NGX_OK);

    ngx_pid = SECOND;
    assert_false(ngx_http_tenon_meters_lead(meters));
    assert_int_equal(seal(&second), NGX_DECLINED);

    living[0] = 0;
    assert_true(ngx_http_tenon_meters_lead(meters));
    assert_int_equal(seal(&second), NGX_OK);
    assert_memory_equal(second.id, first.id, TN_USAGE_ID_LEN);
    write_down(totals, &second);
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &second, totals),
                     NGX_DONE);
    assert_int_equal(total(1), 1);

    /* it only slept, and hears of its flush now */

    living[0] = FIRST;
    ngx_pid = FIRST;
    write_down(totals, &first);
    assert_int_equal(ngx_http_tenon_meters_settle(meters, &first, totals),
                     NGX_DECLINED);
    assert_false(ngx_http_tenon_meters_lead(meters));
    assert_int_equal(total(1), 1);
}


static void
who_isn_t_heard_of_flushes_no_more(void **state)
{
    (void) state;

    assert_true(ngx_http_tenon_meters_lead(meters));
    ngx_pid = SECOND;
    ngx_current_msec += NGX_HTTP_TENON_METER_STALE - 1;
    assert_false(ngx_http_tenon_meters_lead(meters));
    ngx_current_msec += 1;
    assert_true(ngx_http_tenon_meters_lead(meters));
    ngx_pid = FIRST;
    assert_false(ngx_http_tenon_meters_lead(meters));
}


static void
the_last_to_leave_knows(void **state)
{
    (void) state;

    ngx_http_tenon_meters_join(meters);
    ngx_pid = SECOND;
    ngx_http_tenon_meters_join(meters);
    assert_true(ngx_http_tenon_meters_lead(meters));
    assert_true(ngx_http_tenon_meters_leave(meters));

    ngx_pid = FIRST;
    assert_true(ngx_http_tenon_meters_lead(meters)); /* it was given up */
    assert_false(ngx_http_tenon_meters_leave(meters));

    /* who was killed is not there, even if it hadn't left */

    ngx_http_tenon_meters_join(meters);
    ngx_pid = SECOND;
    ngx_http_tenon_meters_join(meters);
    living[0] = 0;
    assert_false(ngx_http_tenon_meters_leave(meters));
}


/* ---- killed behind each instruction ---- */

/* What a worker does: counters found and made, one that gives way, limits,
 * flushes, what is counted while one is under way. */
static void
work(void)
{
    static ngx_http_tenon_sealed_t sealed;
    static int64_t totals[TN_USAGE_FLUSH_MAX];
    int i;

    for (i = 0; i < 2; i++) {
        (void) request(0, -1);
        (void) request(1, 3);
        (void) request(1, 3);

        if (ngx_http_tenon_meters_lead(meters) && seal(&sealed) == NGX_OK) {
            (void) request(0, -1);

            if (ngx_http_tenon_meters_refused(meters, &sealed, 1) == NGX_OK) {
                (void) seal(&sealed);
            }

            /* of those that are under way */
            give_back(0);
            give_back(1);
            (void) request(0, -1);
            write_down(totals, &sealed);
            (void) ngx_http_tenon_meters_settle(meters, &sealed, totals);
        }

        (void) request(2, -1);
        give_back(2);
    }

    give_back(0);
}


/* Another worker takes over what the first left, and flushes it. */
static void
carry_on(unsigned long step)
{
    unsigned i;
    ngx_uint_t counters;

    ngx_pid = SECOND;
    living[0] = 0;
    nextid = 1000;
    shared->lock = 0; /* nginx's master does that */

    assert_int_equal(request(0, -1), TN_TAKEN);
    assert_int_equal(request(2, -1), TN_TAKEN);

    for (i = 0; flush() != 0; i++) {
        assert_true(i < 4);
    }

    assert_int_equal(ngx_http_tenon_meters_left(meters, &counters), 0);

    /* who was killed in the midst of a request has answered nobody: that one
     * may be counted, or not */

    for (i = 0; i < TENANTS; i++) {
        if (total(i) < shared->told[i] || total(i) > shared->begun[i]) {
            print_error("step %lu, tenant %u: %ld of %ld to %ld\n", step, i,
                        (long) total(i), (long) shared->told[i],
                        (long) shared->begun[i]);
        }

        assert_true(total(i) >= shared->told[i]);
        assert_true(total(i) <= shared->begun[i]);
        assert_true(shared->begun[i] - shared->told[i] <= 1);
    }

    assert_true(total(1) <= 3);

    /* and what the counters say is what the database says */

    for (i = 0; i < TENANTS; i++) {
        int64_t used;
        tn_meter meter = meter_of(i);

        meter.base = total(i);
        assert_int_equal(take(&used, &meter, 0), TN_TAKEN);
        assert_int_equal(used, total(i));
    }
}


/* The node as it was, with all that changed since undone. */
static void
put_back(const node *saved)
{
    memcpy(shared, saved, sizeof(node) - MEMORY + 64 * 1024);
    ngx_pid = FIRST;
    living[0] = FIRST;
}


static void
killed_behind_any_instruction(void **state)
{
    int status;
    pid_t child;
    node *saved;
    unsigned i;
    int64_t used;
    unsigned long steps, states;
    const size_t size = sizeof(node) - MEMORY + 64 * 1024;

    (void) state;

    /* all places are taken but those of these tenants, so that the last one's
     * counter is made where another's was */

    for (i = 0; i < NGX_HTTP_TENON_METER_WAYS - 2; i++) {
        tn_meter meter = meter_of(0);

        meter.begins = i + 1;
        meter.base = 0;
        assert_int_equal(take(&used, &meter, 0), TN_TAKEN);
    }

    while (flush()) {
        /* void */
    }

    saved = malloc(sizeof(node));
    assert_non_null(saved);

    child = fork();
    assert_true(child >= 0);

    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) {
            _exit(77);
        }
        raise(SIGSTOP);
        work();
        _exit(0);
    }

    assert_int_equal(waitpid(child, &status, 0), child);

    if (WIFEXITED(status)) {
        free(saved);
        skip(); /* nobody may trace here */
        return;
    }

    memcpy(saved, shared, size);
    steps = 0;
    states = 0;

    for (;;) {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, 0, 0), 0);
        assert_int_equal(waitpid(child, &status, 0), child);

        if (!WIFSTOPPED(status)) {
            break;
        }

        steps++;

        if (memcmp(saved, shared, size) != 0) {
            states++;
            memcpy(saved, shared, size);
            carry_on(steps);
            put_back(saved);
        }
    }

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    carry_on(steps);

    print_message("# killed behind each of %lu instructions, in %lu states\n",
                  steps, states);
    assert_true(states > 100);
    free(saved);
}


#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

UNIT_MAIN(TEST(a_counter_begins_with_what_the_database_says),
          TEST(a_counter_has_tenant_name_period_and_begin),
          TEST(no_unit_is_taken_beyond_the_limit), TEST(from_all_or_from_none),
          TEST(what_is_flushed_gives_way_oldest_first),
          TEST(counters_of_one_request_don_t_give_way_to_each_other),
          TEST(a_flush_is_the_same_until_it_is_settled),
          TEST(who_was_refused_is_asked_for),
          TEST(whose_tenant_is_gone_is_forgotten),
          TEST(a_full_flush_leaves_the_rest_to_the_next),
          TEST(what_can_t_be_written_holds_up_nothing_else),
          TEST(what_may_be_written_is_not_split),
          TEST(what_is_given_back_is_there_again),
          TEST(what_was_flushed_is_given_back),
          TEST(one_flushes_and_who_died_does_no_more),
          TEST(who_isn_t_heard_of_flushes_no_more),
          TEST(the_last_to_leave_knows), TEST(killed_behind_any_instruction))
