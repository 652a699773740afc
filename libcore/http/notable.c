/*
 * notable.c: which of many like attempts are worth an event.
 */

#include "libcore/http/http.h"

#define EACH 10


int
tn__notable(int64_t n)
{
    if (n <= EACH) {
        return 1;
    }

    while (n % 10 == 0) {
        n /= 10;
    }

    return n == 1;
}
