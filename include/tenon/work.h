/*
 * work.h: the host contract of background work: jobs that wait in tenon.job
 * are claimed, each is one tn_work, stepped as a request's op is (op.h):
 *
 *     tn_work_plan(&batch, mem);           from time to time: run it
 *     tn_work_claim(&batch, n, mem);       run it; of its reply, for each row
 *     tn_work_new(&work, reply, i, conf, now, entropy, mem);
 *     for (want = tn_work_step(work, NULL); want->kind != TN_WANT_NONE;
 *          want = tn_work_step(work, &input)) {
 *         do what want->kind says; fill in input;
 *     }
 *     tn_work_told(work);                  what became of it, for the log
 *
 * A work wants TN_WANT_DB and TN_WANT_HTTP, and what became of a job is written
 * by its last batch. Each batch begins by holding the claim: whoever was too slow, and
 * lost the job to another, changes nothing any more. So a batch that may or
 * may not have been done (TN_DB_UNKNOWN) may be sent again as it is; a kind of
 * work is written so that it does no harm twice.
 *
 * No I/O, no clock, no randomness here; a work belongs to one thread at a time,
 * and all of its memory is that which it was made with.
 */

#ifndef TENON_WORK_H
#define TENON_WORK_H

#include <tenon/op.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_work tn_work;

/* What kinds of work need of the host's configuration. The host keeps it for
 * longer than any work, and wipes what is secret. */
typedef struct tn_work_conf {
    tn_str stripe_api; /* "https://api.stripe.com": paths go behind it */
    tn_str stripe_key; /* secret; absent: there is none */
} tn_work_conf;

/* Seconds for which a claim holds; each batch but the last prolongs it. What
 * isn't ended by then is another's to take. So a host lets no work wait long
 * for its first batch, and gives it back instead. */
#define TN_WORK_LEASE 60

/* At most so many at a time. */
#define TN_WORK_CLAIM_MAX 256

/* The batch that answers the schema's version, to be compared with
 * TN_SCHEMA_VERSION before anything else is asked; and its answer, 0 for
 * none. Static memory. */
TN_API const tn_batch *tn_work_schema_batch(void);
TN_API unsigned tn_work_schema(const tn_reply *reply);

/* The batch that makes the jobs that are due by schedule: harmless however
 * often and by however many it is sent. */
TN_API tn_err tn_work_plan(const tn_batch **batch, tn_mem *mem);

/* The batch that claims n jobs at most, of the kinds that are known here. */
TN_API tn_err tn_work_claim(const tn_batch **batch, unsigned n, tn_mem *mem);

/* How many were claimed. */
TN_API unsigned tn_work_claimed(const tn_reply *reply);

/* The i-th of them. The reply is borrowed for the call, conf for the work's
 * life; entropy must be fresh
 * and unpredictable; now is microseconds since 1970. *work is NULL on an
 * error: TN_E_NOMEM, or TN_E_INTERNAL when it is no such reply. */
TN_API tn_err tn_work_new(tn_work **work, const tn_reply *reply, unsigned i,
                          const tn_work_conf *conf, int64_t now,
                          const unsigned char entropy[32], tn_mem *mem);

/* Whether a host that stops may give the job back in place of the step that
 * this answer is for: it is long, and begins anew where it is now. */
TN_API int tn_work_yields(const tn_work *work, const tn_input *input);

/* The batch that gives n jobs back that were claimed and never stepped, or that
 * yield: as if they had never been taken. */
TN_API tn_err tn_work_release(const tn_batch **batch, tn_work *const *works,
                              unsigned n, tn_mem *mem);

/* Goes on with the answer to the last want (NULL at first); returns the next,
 * valid until the next step. */
TN_API const tn_want *tn_work_step(tn_work *work, const tn_input *input);

typedef enum tn_work_end {
    TN_WORK_OPEN, /* not ended yet */
    TN_WORK_DONE,
    TN_WORK_AGAIN, /* failed; it is tried again after delay_ms */
    TN_WORK_DEAD,  /* failed; and not again, unless somebody says so */
    TN_WORK_LOST,  /* its claim, or the database: another will take it */
} tn_work_end;

typedef struct tn_work_tale {
    tn_str tenant_id;
    tn_str id;
    tn_str kind;
    int64_t attempt; /* from 1 */
    tn_work_end end;
    tn_str error;     /* why not DONE; absent when it is */
    int64_t delay_ms; /* AGAIN */
} tn_work_tale;

/* Lives as long as the work. */
TN_API const tn_work_tale *tn_work_told(const tn_work *work);

#ifdef __cplusplus
}
#endif

#endif
