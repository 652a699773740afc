/*
 * job/job.h: one attempt at a job, and what a kind of work is written with.
 * README.md tells how a job lives.
 *
 *     static void
 *     greet(tn_work *work, const tn_input *input)
 *     {
 *         if (work->state++ == 0) {
 *             tn__work_batch(work);
 *             tn__work_add(work, &tn__q_greet);
 *             tn__work_done(work);      its effect and its end are one batch
 *         }
 *     }
 *
 * A step is called with the answer to its last wish, NULL at first; it wishes
 * again or ends the attempt: done, failed, refused. What comes back of a batch
 * that ends it is looked at by work.c, not by the step.
 */

#ifndef TN__JOB_H
#define TN__JOB_H

#include <tenon/work.h>
#include "libcore/model/model.h"

#define TN__WORK_QUERIES_MAX 6
#define TN__WORK_LOCALS_MAX  24

typedef void (*tn__work_step)(tn_work *work, const tn_input *input);

/* A kind of work, as an endpoint is a row. */
typedef struct tn__work_kind {
    tn_str kind;
    tn__work_step step;
    unsigned attempts; /* begun so often, it is dead */
    uint32_t every; /* seconds: made once in each such period; 0: by others */
    unsigned yields : 1; /* between two batches it may be given back */
} tn__work_kind;

typedef enum tn__work_phase {
    TN__WORK_STEPPING,
    TN__WORK_ENDING, /* the batch that says so is under way */
    TN__WORK_OVER,
} tn__work_phase;

struct tn_work {
    tn_mem *mem;
    const tn__work_kind *kind;
    const tn_work_conf *conf;
    tn__work_phase phase;
    unsigned state;  /* the step's own; starts at 0 */
    void *data;      /* the same */
    tn_str input;    /* the job's, JSON */
    tn_str version;  /* of the claim */
    tn_str event_id; /* of the batch */
    tn_str salt;     /* the same */
    int64_t now;     /* of the step */
    tn__rng rng;
    tn_work_end ending;
    tn_work_tale tale;
    tn_want want;
    tn_batch batch;
    tn_query queries[TN__WORK_QUERIES_MAX];
    unsigned nlocals;
    struct {
        tn_str name;
        tn_str value;
    } locals[TN__WORK_LOCALS_MAX];
};


/* ---- for steps (work.c) ---- */

/* What `:name` of its statements stands for; :tenant, :id, :version,
 * :event_id and :salt are there already. The last two are new in each batch;
 * for further events in one, or rows, there are more ids. */
tn_str tn__work_new_id(tn_work *work);
void tn__work_local(tn_work *work, tn_str name, tn_str value);
void tn__work_local_int(tn_work *work, tn_str name, int64_t value);

/* In which tenant the batches from now on act: the platform's jobs alone may do
 * so. Their statements name it :acting; :tenant is the job's. How the attempt ends
 * badly is told in the job's own again. */
void tn__work_tenant(tn_work *work, tn_str id);

/* A new batch, which holds the claim and sets the tenant's context. */
void tn__work_batch(tn_work *work);
void tn__work_add(tn_work *work, const tn__bound *bound);
void tn__work_want_db(tn_work *work);

/* The i-th result of the step's own statements; NULL when there is none, and
 * the attempt has failed. */
const tn_rows *tn__work_rows(tn_work *work, const tn_input *input, unsigned i);
tn_str tn__work_cell(const tn_rows *rows, unsigned row, unsigned col);

/* A request to somebody else's server; it is borrowed until the answer. */
void tn__work_want_http(tn_work *work, const tn_http *http);

/* What was answered; NULL when nothing was, and the attempt has failed. */
const tn_http_answer *tn__work_answer(tn_work *work, const tn_input *input);

/* Ends the attempt well, by the batch that was begun, or one of its own. */
void tn__work_done(tn_work *work);
/* Ends it badly: tried again, if not too often, after a while, min_ms at
 * least. `why` is shown to people: no secrets. */
void tn__work_fail(tn_work *work, tn_str why, int64_t min_ms);
/* Ends it for good: trying again won't help. */
void tn__work_refuse(tn_work *work, tn_str why);


/* ---- when it is tried again (retry.c) ---- */

#define TN__RETRY_FIRST 10000    /* ms: the most to wait after the first… */
#define TN__RETRY_MOST  21600000 /* …and after many, six hours */

/* The most to wait after the n-th attempt, from 1: doubles up to six hours. */
int64_t tn__retry_ceiling(int64_t attempt);
/* Anything from nothing to that, evenly: `random` picks. */
int64_t tn__retry_delay(int64_t attempt, uint64_t random);


/* ---- kinds ---- */

extern const tn__work_kind tn__purge_kind;        /* purge.c */
extern const tn__work_kind tn__roll_up_kind;      /* roll_up.c */
extern const tn__work_kind tn__entitlements_kind; /* dunning.c */


/* ---- endpoints (jobs.c) ---- */

extern const tn__slice tn__jobs_slice;

#endif
