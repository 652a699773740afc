/*
 * usage.h: how what a node has counted (tn_meter, op.h) gets to the database.
 *
 *     tn_usage_flush(&batch, id, rows, n, &mem);
 *     run it, as any batch that writes;
 *     if (tn_usage_flushed(totals, n, &reply)) what was flushed is written
 *     else the same rows again, under the same id, however often
 *
 * A flush id is written down with its rows: one that came before adds nothing.
 */

#ifndef TENON_USAGE_H
#define TENON_USAGE_H

#include <tenon/op.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TN_USAGE_FLUSH_MAX 256
#define TN_USAGE_ID_LEN    16

typedef struct tn_usage {
    unsigned char tenant[16];
    char name[TN_METER_NAME_MAX + 1]; /* NUL-terminated */
    tn_period period;
    int64_t begins, ends;
    int64_t soft, hard; /* -1: none. Where the total passes them, the tenant is
                         * told */
    int64_t units;      /* to be added; 0: only the total is asked for */
} tn_usage;

/* The batch that adds n rows, at most TN_USAGE_FLUSH_MAX, no two of them of one
 * counter. The id is random; from it and the rows alone the batch is made, so
 * that it can be made once more. Everything is copied into `mem`. TN_E_NOMEM;
 * TN_E_INTERNAL when there are too many rows. */
TN_API tn_err tn_usage_flush(const tn_batch **batch,
                             const unsigned char id[TN_USAGE_ID_LEN],
                             const tn_usage *rows, unsigned n, tn_mem *mem);

/* 0 when the reply isn't that all is written. Else each row's total is what was
 * used in its period, on all nodes, in the order of the rows; -1: its tenant is
 * gone, and nobody need count it any more. */
TN_API int tn_usage_flushed(int64_t *totals, unsigned n, const tn_reply *reply);

#ifdef __cplusplus
}
#endif

#endif
