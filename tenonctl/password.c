/*
 * password.c: a password out of a file, as a hash for tenon."user".
 */

#include "tenonctl.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>


int
ctl_hash_password(char out[128], const char *path)
{
    int ok;
    char *text;
    size_t size, n;
    tn_job *job;
    tn_core_conf conf;

    if (ctl_file_read(&text, &size, path) != 0) {
        return -1;
    }

    n = strcspn(text, "\r\n");
    job = calloc(1, sizeof(*job));

    if (job == NULL || n < 8 || n > sizeof(job->password)) {
        sodium_memzero(text, size);
        free(text);
        free(job);
        return ctl_error("%s: a password has 8 to 1024 bytes", path);
    }

    tn_core_conf_init(&conf);
    job->kind = TN_JOB_HASH;
    job->ops = conf.hash_ops;
    job->memory = conf.hash_memory;
    job->password_len = n;
    memcpy(job->password, text, n);

    tn_job_run(job);

    ok = job->ok;
    memcpy(out, job->hash, sizeof(job->hash));
    sodium_memzero(text, size);
    free(text);
    free(job);

    return ok ? 0 : ctl_error("can't hash the password: out of memory");
}
