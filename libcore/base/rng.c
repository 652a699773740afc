/*
 * rng.c: as many random bytes as an op needs out of the 32 that its request
 * brought: ChaCha20 under the seed, a fresh nonce for each draw. A seed given
 * twice repeats the stream: that is what makes an op replayable.
 */

#include "libcore/base/base.h"

#include <sodium.h>


void
tn__rng_init(tn__rng *rng, const unsigned char seed[32])
{
    memcpy(rng->seed, seed, sizeof(rng->seed));
    rng->counter = 0;
}


void
tn__rng_bytes(tn__rng *rng, void *out, size_t n)
{
    unsigned char nonce[crypto_stream_chacha20_NONCEBYTES];
    uint64_t counter = rng->counter++;
    size_t i;

    /* Byte by byte: the same stream on every machine. */
    for (i = 0; i < sizeof(nonce); i++) {
        nonce[i] = (unsigned char) (counter >> (8 * i));
    }

    crypto_stream_chacha20(out, n, nonce, rng->seed);
}
