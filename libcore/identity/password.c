/*
 * password.c: Argon2id as a job for a thread; plain data in and out.
 */

#include "libcore/identity/identity.h"

#include <sodium.h>


/* "$argon2id$v=19$m=65536,t=2,p=1$…": a stored hash says what its check costs,
 * so what it says is bounded before it is believed. */
#define KIB_MAX    (1024 * 1024)
#define PASSES_MAX 16


static int
affordable(const char *hash)
{
    tn_str rest, memory, passes;
    int64_t kib, n;

    rest = (tn_str){ hash, strlen(hash) };

    if (!tn__starts(rest, TN_STR("$argon2id$v=19$m="))) {
        return 0;
    }

    rest = tn__sub(rest, sizeof("$argon2id$v=19$m=") - 1, rest.n);
    memory = tn__split(&rest, ',');

    if (rest.p == NULL || !tn__starts(rest, TN_STR("t="))) {
        return 0;
    }

    rest = tn__sub(rest, 2, rest.n);
    passes = tn__split(&rest, ',');

    return tn__int_parse(&kib, memory) && kib <= KIB_MAX &&
           tn__int_parse(&n, passes) && n <= PASSES_MAX;
}


void
tn_job_run(tn_job *job)
{
    /* a length past the array must never reach libsodium */
    if (job->password_len > sizeof(job->password)) {
        job->ok = 0;

    } else if (job->kind == TN_JOB_HASH) {
        job->ok = crypto_pwhash_str_alg(
                      job->hash, job->password, job->password_len, job->ops,
                      job->memory, crypto_pwhash_ALG_ARGON2ID13) == 0;

    } else {
        job->hash[sizeof(job->hash) - 1] = '\0';
        job->ok = affordable(job->hash) &&
                  crypto_pwhash_str_verify(job->hash, job->password,
                                           job->password_len) == 0;
    }

    sodium_memzero(job->password, sizeof(job->password));
}


int
tn__want_password(tn_op *op, tn_str password, tn_str hash)
{
    tn_job *job;

    job = tn__zalloc(op->mem, sizeof(tn_job));
    if (job == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    if (password.n > sizeof(job->password) || hash.n >= sizeof(job->hash)) {
        tn__fail(op, TN_E_INTERNAL, NULL);
        return 0;
    }

    job->kind = hash.p ? TN_JOB_VERIFY : TN_JOB_HASH;
    job->ops = op->core->conf.hash_ops;
    job->memory = op->core->conf.hash_memory;
    job->password_len = password.n;
    memcpy(job->password, password.p, password.n);

    if (hash.p) {
        memcpy(job->hash, hash.p, hash.n);
    }

    op->job = job;
    op->want.kind = TN_WANT_CPU;
    op->want.job = job;

    return 1;
}
