/*
 * password.c: Argon2id as a job for a thread; plain data in and out.
 */

#include "libcore/signin/signin.h"

#include <sodium.h>


/* "$argon2id$v=19$m=65536,t=2,p=1$SALT$HASH": a stored hash says what its check
 * costs, so what it says is bounded before it is believed. */
#define HEAD       "$argon2id$v=19$m="
#define KIB_MAX    (1024 * 1024)
#define PASSES_MAX 16

typedef struct stored {
    int64_t kib;
    int64_t passes;
    unsigned char salt[crypto_pwhash_SALTBYTES];
    unsigned char hash[64];
    size_t n; /* bytes of hash; 0: of a form that libsodium reads alone */
} stored;


/* "p=1$SALT$HASH", as libsodium writes it. */
static void
read_hash(stored *s, tn_str rest)
{
    size_t n;
    tn_str lanes, salt;

    lanes = tn__split(&rest, '$');
    salt = rest.p ? tn__split(&rest, '$') : TN_NULL;

    if (rest.p == NULL || !tn__eq(lanes, TN_STR("p=1")) || s->passes < 1 ||
        s->kib < crypto_pwhash_MEMLIMIT_MIN / 1024 ||
        sodium_base642bin(s->salt, sizeof(s->salt), salt.p, salt.n, NULL, &n,
                          NULL,
                          sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 ||
        n != sizeof(s->salt) ||
        sodium_base642bin(s->hash, sizeof(s->hash), rest.p, rest.n, NULL, &n,
                          NULL,
                          sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 ||
        n < crypto_pwhash_BYTES_MIN) {
        return;
    }

    s->n = n;
}


static int
affordable(stored *s, const char *hash)
{
    tn_str rest, memory, passes;

    memset(s, 0, sizeof(stored));
    rest = (tn_str){ hash, strlen(hash) };

    if (!tn__starts(rest, TN_STR(HEAD))) {
        return 0;
    }

    rest = tn__sub(rest, sizeof(HEAD) - 1, rest.n);
    memory = tn__split(&rest, ',');

    if (rest.p == NULL || !tn__starts(rest, TN_STR("t="))) {
        return 0;
    }

    rest = tn__sub(rest, 2, rest.n);
    passes = tn__split(&rest, ',');

    if (!tn__int_parse(&s->kib, memory) || s->kib > KIB_MAX ||
        !tn__int_parse(&s->passes, passes) || s->passes > PASSES_MAX) {
        return 0;
    }

    if (rest.p) {
        read_hash(s, rest);
    }

    return 1;
}


static int
make_hash(tn_job *job)
{
    return crypto_pwhash_str_alg(job->hash, job->password, job->password_len,
                                 job->ops, job->memory,
                                 crypto_pwhash_ALG_ARGON2ID13) == 0;
}


/* Under the one permit: what the check has taken is free again, and who signs
 * in pays for it once. */
static void
renew(tn_job *job)
{
    char old[sizeof(job->hash)];

    memcpy(old, job->hash, sizeof(old));
    job->renewed = make_hash(job);

    if (!job->renewed) {
        memcpy(job->hash, old, sizeof(old));
    }
}


/* Hashed here and compared: crypto_pwhash_str_verify() says of a hash that found
 * no memory that the password is wrong, and whoever owns it would be locked out. */
static void
verify(tn_job *job, const stored *s)
{
    unsigned char hash[sizeof(s->hash)];

    if (s->n == 0) {
        job->ok = crypto_pwhash_str_verify(job->hash, job->password,
                                           job->password_len) == 0;
        return;
    }

    job->failed =
        crypto_pwhash(hash, s->n, job->password, job->password_len, s->salt,
                      (unsigned long long) s->passes, (size_t) s->kib * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0;
    job->ok = !job->failed && sodium_memcmp(hash, s->hash, s->n) == 0;
    sodium_memzero(hash, sizeof(hash));
}


void
tn_job_run(tn_job *job)
{
    stored s;

    job->ok = job->failed = job->renewed = 0;

    /* a length past the array must never reach libsodium */
    if (job->password_len > sizeof(job->password)) {
        sodium_memzero(job->password, sizeof(job->password));
        return;
    }

    if (job->kind == TN_JOB_HASH) {
        job->ok = make_hash(job);

    } else {
        job->hash[sizeof(job->hash) - 1] = '\0';

        if (affordable(&s, job->hash)) {
            verify(job, &s);
        }

        if (job->ok && job->renew &&
            crypto_pwhash_str_needs_rehash(job->hash, job->ops, job->memory) ==
                1) {
            renew(job);
        }
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


/* The host wipes the job when the step has heard of it, be the batch that the
 * step wishes for sent by then or still waiting for a connection. */
int
tn__password_hashed(tn_str *out, tn_op *op, const tn_input *input)
{
    const tn_job *job;

    job = input->job;

    if (job == NULL || !job->ok) {
        tn__log(op, TN_STR("a password could not be hashed: out of memory"));
        tn__fail(op, TN_E_BUSY, NULL);
        return 0;
    }

    if (tn__dup(out, (tn_str){ job->hash, strlen(job->hash) }, op->mem) !=
        TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    return 1;
}


tn_str
tn__decoy(const tn_op *op)
{
    return (tn_str){ op->core->decoy, strlen(op->core->decoy) };
}
