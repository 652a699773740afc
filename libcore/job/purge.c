/*
 * purge.c: the kind "purge": once a day, what has run out is removed. What may
 * go, and when, is tenon.purge()'s to say. Each round is a transaction of its
 * own, so that nothing is locked for long.
 */

#include "libcore/job/job.h"
#include "gen/queries.h"

#define ROUNDS_MAX 10000 /* a day */


static void
purge(tn_work *work, const tn_input *input)
{
    const tn_rows *rows;

    if (work->state++ > 0) {
        rows = tn__work_rows(work, input, 0);
        if (rows == NULL) {
            return;
        }

        if (tn__eq(tn__work_cell(rows, 0, 0), TN_STR("0")) ||
            work->state > ROUNDS_MAX) {
            tn__work_done(work);
            return;
        }
    }

    tn__work_batch(work);
    tn__work_add(work, &tn__q_job_purge);
    tn__work_want_db(work);
}


const tn__work_kind tn__purge_kind = {
    .kind = TN_STR_C("purge"),
    .step = purge,
    .attempts = 8,
    .yields = 1,
    .every = 86400,
};
