/*
 * retry.c: when a failed job is tried again: the time to wait doubles, and any
 * moment of it is as likely as another ("full jitter"): what failed together
 * doesn't come back together.
 */

#include "libcore/job/job.h"


int64_t
tn__retry_ceiling(int64_t attempt)
{
    int64_t ceiling = TN__RETRY_FIRST;

    while (attempt-- > 1 && ceiling < TN__RETRY_MOST) {
        ceiling *= 2;
    }

    return ceiling < TN__RETRY_MOST ? ceiling : TN__RETRY_MOST;
}


int64_t
tn__retry_delay(int64_t attempt, uint64_t random)
{
    return (int64_t) (random % ((uint64_t) tn__retry_ceiling(attempt) + 1));
}
