/*
 * roll_up.c: the kind "usage.roll_up": each minute, what tenants have used and
 * no total has yet is counted: round after round through what is left, some of
 * one month of a tenant's meter at a time, so that who has much keeps nobody
 * waiting.
 *
 *     roll up   the first month                 acme   tasks   Nov 3   1000
 *     roll up   the one behind it               globex tasks   Nov 9     17
 *     roll up   none is left: from the first    -
 *     roll up   what of it is left              acme   tasks   Nov 3    250
 *     roll up                                   -
 *     roll up   a round that counts nothing     -            …so it is done
 *
 * What is added is marked in the same statement, so a batch that comes twice adds
 * nothing; what isn't counted yet is shown all the same. Each batch is a
 * transaction of its own: nobody waits longer than for one of them.
 */

#include "libcore/job/job.h"
#include "gen/queries.h"

/* A minute. A round that has begun goes on to its end, so that none is left out
 * each time. */
#define BATCHES_MAX 10000

/* What usage_roll_up answers. */
enum {
    TENANT,
    METER,
    BEGINS,
    COUNTED,
};

typedef struct after {
    char tenant[TN__UUID_TEXT];
    char meter[64];
    char begins[64];
    unsigned batches;
    int counted; /* something, in this round */
} after;


/* Memory of the job's is for as long as it lives: not for each batch. */
static int
keep(tn_work *work, const char *name, char *room, size_t size, tn_str text)
{
    if (text.n > size) {
        tn__work_refuse(work, TN_STR("what was counted can't be read"));
        return 0;
    }

    if (text.n) {
        memcpy(room, text.p, text.n);
    }

    tn__work_local(work, (tn_str){ name, strlen(name) },
                   text.p ? (tn_str){ room, text.n } : TN_NULL);

    return 1;
}


static int
go_behind(tn_work *work, after *after, const tn_rows *rows)
{
#define KEEP(name, member, col)                                     \
    keep(work, "after_" name, after->member, sizeof(after->member), \
         tn__work_cell(rows, 0, col))

    return KEEP("tenant", tenant, TENANT) && KEEP("meter", meter, METER) &&
           KEEP("begins", begins, BEGINS);

#undef KEEP
}


/* 1 when nothing is left, or enough was done. */
static int
is_over(after *after, const tn_rows *rows)
{
    int over;

    if (tn__work_cell(rows, 0, TENANT).p) {
        after->counted |= !tn__eq(tn__work_cell(rows, 0, COUNTED), TN_STR("0"));
        return 0;
    }

    over = !after->counted || after->batches >= BATCHES_MAX;
    after->counted = 0;

    return over;
}


static void
roll_up(tn_work *work, const tn_input *input)
{
    after *after;
    const tn_rows *rows;

    if (work->data == NULL) {
        work->data = tn__zalloc(work->mem, sizeof(struct after));

        if (work->data == NULL) {
            tn__work_fail(work, TN_STR("out of memory"), 0);
            return;
        }
    }

    after = work->data;

    if (after->batches++ > 0) {
        rows = tn__work_rows(work, input, 0);

        if (rows == NULL || !go_behind(work, after, rows)) {
            return;
        }

        if (is_over(after, rows)) {
            tn__work_done(work);
            return;
        }
    }

    tn__work_batch(work);
    tn__work_add(work, &tn__q_usage_roll_up);
    tn__work_want_db(work);
}


const tn__work_kind tn__roll_up_kind = {
    .kind = TN_STR_C("usage.roll_up"),
    .step = roll_up,
    .attempts = 8,
    .yields = 1,
    .every = 60,
};
