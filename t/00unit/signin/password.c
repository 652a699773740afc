/*
 * Jobs are plain data: whatever is in one, running it does no harm, and the
 * password is gone behind it.
 */

#include "t/00unit/host.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>


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


/* A hash of other parameters takes as long again: only where that is asked for,
 * and only for the right password. */
static void
test_renewed(void **state)
{
    unsigned i;
    tn_job hash, job;

    (void) state;
    hash = job_of(TN_JOB_HASH, "secret", NULL);
    hash.ops++;
    tn_job_run(&hash);

    for (i = 0; i < 4; i++) {
        job = job_of(TN_JOB_VERIFY, i & 1 ? "secret" : "wrong", hash.hash);
        job.renew = i & 2;
        tn_job_run(&job);
        assert_int_equal(job.ok, i & 1);
        assert_int_equal(job.renewed, i == 3);
        assert_int_equal(strcmp(job.hash, hash.hash) != 0, i == 3);
    }
}


/* Little more than what is there already. */
static void
take_memory(void)
{
    long pages;
    FILE *in;
    struct rlimit limit;

    in = fopen("/proc/self/statm", "r");

    if (in == NULL || fscanf(in, "%ld", &pages) != 1) {
        _exit(2);
    }

    fclose(in);
    limit.rlim_cur = limit.rlim_max =
        (rlim_t) (pages * sysconf(_SC_PAGESIZE)) + 32 * 1024 * 1024;

    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        _exit(2);
    }
}


/* Hashes of other programs count as well, as the reference implementation has
 * them in its own tests; what only looks like one doesn't. */
static void
test_other_forms(void **state)
{
    unsigned i;
    tn_job job;
    static const struct {
        const char *hash;
        int ok;
    } hashes[] = {
        { "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
          "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
          1 },
        { "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$"
          "bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
          1 },
        { "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$"
          "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/5",
          0 },
        { "$argon2id$v=19$m=256,t=2,p=1", 0 },
        { "$argon2id$v=19$m=256,t=2,p=1$", 0 },
        { "$argon2id$v=19$m=256,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA", 0 },
        { "$argon2id$v=19$m=256,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$", 0 },
        { "$argon2id$v=19$m=256,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA", 0 },
        { "$argon2id$v=19$m=256,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA*", 0 },
        { "$argon2id$v=19$m=256,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
          "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA$x",
          0 },
        { "$argon2id$v=19$m=-8,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
          "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
          0 },
        { "$argon2id$v=19$m=256,t=0,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
          "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
          0 },
    };

    (void) state;

    for (i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        job = job_of(TN_JOB_VERIFY, "password", hashes[i].hash);
        tn_job_run(&job);
        assert_int_equal(job.ok, hashes[i].ok);
        assert_false(job.failed);
    }
}


/* What couldn't be checked is not wrong. */
static void
test_out_of_memory(void **state)
{
    int status;
    pid_t pid;
    tn_job hash, job, wrong;

    (void) state;
    hash = job_of(TN_JOB_HASH, "secret", NULL);
    hash.ops = 1;
    hash.memory = 64 * 1024 * 1024;
    tn_job_run(&hash);
    assert_true(hash.ok);
    job = job_of(TN_JOB_VERIFY, "secret", hash.hash);
    wrong = job_of(TN_JOB_VERIFY, "Secret", hash.hash);
    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        take_memory();
        tn_job_run(&job);
        _exit(job.failed && !job.ok ? 0 : 1);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);

    tn_job_run(&job);
    assert_true(job.ok);
    assert_false(job.failed);
    tn_job_run(&wrong);
    assert_false(wrong.ok);
    assert_false(wrong.failed);
}


UNIT_MAIN(cmocka_unit_test(test_round_trip),
          cmocka_unit_test(test_unaffordable),
          cmocka_unit_test(test_broken_jobs), cmocka_unit_test(test_renewed),
          cmocka_unit_test(test_other_forms),
          cmocka_unit_test(test_out_of_memory))
