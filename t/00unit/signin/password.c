/*
 * Jobs are plain data: whatever is in one, running it does no harm, and the
 * password is gone behind it.
 */

#include "t/00unit/host.h"


static tn_job
job_of(int kind, const char *password, const char *hash)
{
    tn_job job;

    memset(&job, 0, sizeof(job));
    job.kind = kind;
    job.ops = crypto_pwhash_OPSLIMIT_MIN;
    job.memory = crypto_pwhash_MEMLIMIT_MIN;
    job.password_len = strlen(password);
    memcpy(job.password, password, job.password_len);

    if (hash) {
        memcpy(job.hash, hash, strlen(hash));
    }

    return job;
}


static void
test_round_trip(void **state)
{
    tn_job hash, job;

    (void) state;
    hash = job_of(TN_JOB_HASH, "secret", NULL);
    tn_job_run(&hash);
    assert_true(hash.ok);
    assert_memory_equal(hash.hash, "$argon2id$", 10);
    assert_true(sodium_is_zero((unsigned char *) hash.password, 1024));

    job = job_of(TN_JOB_VERIFY, "secret", hash.hash);
    tn_job_run(&job);
    assert_true(job.ok);
    assert_true(sodium_is_zero((unsigned char *) job.password, 1024));

    job = job_of(TN_JOB_VERIFY, "Secret", hash.hash);
    tn_job_run(&job);
    assert_false(job.ok);
}


/* What a stored hash asks for is bounded: a gigabyte, sixteen passes. */
static void
test_unaffordable(void **state)
{
    unsigned i;
    tn_job job;
    static const char *const hashes[] = {
        "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=4000000,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2i$v=19$m=8,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8",
    };

    (void) state;

    for (i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        job = job_of(TN_JOB_VERIFY, "x", hashes[i]);
        tn_job_run(&job);
        assert_false(job.ok);
    }
}


static void
test_broken_jobs(void **state)
{
    tn_job job;

    (void) state;
    job = job_of(TN_JOB_VERIFY, "x", "not a hash");
    tn_job_run(&job);
    assert_false(job.ok);

    /* a hash that doesn't end, a password longer than its room */
    job = job_of(TN_JOB_VERIFY, "x", "");
    memset(job.hash, 'x', sizeof(job.hash));
    tn_job_run(&job);
    assert_false(job.ok);

    job = job_of(TN_JOB_HASH, "x", NULL);
    job.password_len = sizeof(job.password) + 1;
    job.ok = 1;
    tn_job_run(&job);
    assert_false(job.ok);
}


UNIT_MAIN(cmocka_unit_test(test_round_trip),
          cmocka_unit_test(test_unaffordable),
          cmocka_unit_test(test_broken_jobs))
