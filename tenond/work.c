/*
 * work.c: jobs: planned, claimed, stepped, given back. What a job wants and what
 * becomes of it says libtenon (work.h); here is done what it wants.
 *
 * One batch of tenond's own is under way at a time, the control batch; each
 * job's is in the job.
 */

#include "tenond.h"
#include <stdlib.h>
#include <string.h>

#define PLAN_EVERY      60000 /* ms */
#define CHECK_EVERY     5000  /* while the schema isn't the right one */
#define CONTROL_TIMEOUT 30000
#define WAIT_MOST       20000 /* of a lease of 60 s, for a connection */

struct td_job {
    td_work *owner;
    td_job *next;
    td_mem mem;
    tn_work *work;
    td_batch batch;
    int64_t began;
    unsigned steps;
    int asked; /* the last step wanted a batch */
    int back;  /* it is to be given back */
    int going; /* it is being given back */
};

static void job_step(td_job *job, const tn_input *input);


void
td_work_init(td_work *work, const td_conf *conf, td_db *db, td_http *http)
{
    memset(work, 0, sizeof(td_work));
    work->conf = conf;
    work->db = db;
    work->http = http;
    td_mem_init(&work->mem);
}


/* ---- jobs ---- */

static void
job_free(td_job *job)
{
    td_job **at;

    for (at = &job->owner->jobs; *at != job; at = &(*at)->next) {
        /* to the one that leads to it */
    }

    *at = job->next;
    job->owner->njobs--;
    td_mem_free(&job->mem);
    free(job);
}


static void
job_told(const td_job *job)
{
    const tn_work_tale *t = tn_work_told(job->work);
    tn_str error = t->error.p ? t->error : TN_STR("");

    switch (t->end) {

    case TN_WORK_DONE:
        td_log(TD_INFO, "job %.*s (%.*s): done", (int) t->id.n, t->id.p,
               (int) t->kind.n, t->kind.p);
        break;

    case TN_WORK_AGAIN:
        td_log(TD_WARN,
               "job %.*s (%.*s): attempt %lld failed: %.*s; again in %lld s",
               (int) t->id.n, t->id.p, (int) t->kind.n, t->kind.p,
               (long long) t->attempt, (int) error.n, error.p,
               (long long) t->delay_ms / 1000);
        break;

    case TN_WORK_DEAD:
        td_log(TD_ERROR,
               "job %.*s (%.*s): attempt %lld failed: %.*s; it is "
               "dead",
               (int) t->id.n, t->id.p, (int) t->kind.n, t->kind.p,
               (long long) t->attempt, (int) error.n, error.p);
        break;

    case TN_WORK_OPEN:
    case TN_WORK_LOST:
        td_log(TD_WARN, "job %.*s (%.*s): attempt %lld was lost: %.*s",
               (int) t->id.n, t->id.p, (int) t->kind.n, t->kind.p,
               (long long) t->attempt, (int) error.n, error.p);
        break;
    }
}


static void
job_answered(td_batch *b, const tn_reply *reply)
{
    tn_input input;
    td_job *job = b->data;

    memset(&input, 0, sizeof(input));
    input.reply = reply;
    input.now = td_wall();

    /* Who goes on with it begins where it is now. */
    if (job->owner->stopping && tn_work_yields(job->work, &input)) {
        job->asked = 0;
        job->back = 1;
        return;
    }

    job_step(job, &input);
}


static void
job_answered_http(void *data, const tn_http_answer *answer, const char *why)
{
    tn_input input;
    td_job *job = data;
    const tn_work_tale *t = tn_work_told(job->work);

    if (answer->status == 0) {
        td_log(TD_WARN, "job %.*s (%.*s): no answer: %s", (int) t->id.n,
               t->id.p, (int) t->kind.n, t->kind.p, why);
    }

    memset(&input, 0, sizeof(input));
    input.http = answer;
    input.now = td_wall();
    job_step(job, &input);
}


static void
job_step(td_job *job, const tn_input *input)
{
    tn_input failed;
    const tn_want *want = tn_work_step(job->work, input);

    job->steps++;
    job->asked = want->kind == TN_WANT_DB;

    if (want->kind == TN_WANT_DB) {
        job->batch.batch = want->batch;
        job->batch.done = job_answered;
        job->batch.data = job;
        job->batch.again = 1;
        job->batch.deadline = td_now() + TN_WORK_LEASE * 1000;
        td_db_submit(job->owner->db, &job->batch);
        return;
    }

    if (want->kind == TN_WANT_HTTP) {
        if (td_http_submit(job->owner->http, want->http, job_answered_http,
                           job) != 0) {
            memset(&failed, 0, sizeof(failed));
            failed.failed = TN_E_INTERNAL;
            job_step(job, &failed);
        }

        return;
    }

    job_told(job);
    job_free(job);
}


static void
job_new(td_work *work, const tn_reply *reply, unsigned i)
{
    td_job *job;
    unsigned char entropy[32];

    job = calloc(1, sizeof(td_job));
    if (job == NULL) {
        td_log(TD_ERROR, "out of memory");
        return;
    }

    td_mem_init(&job->mem);
    job->owner = work;
    job->began = td_now();
    td_random(entropy, sizeof(entropy));

    if (tn_work_new(&job->work, reply, i, &work->conf->work, td_wall(), entropy,
                    &job->mem.mem) != TN_OK) {
        td_log(TD_ERROR, "a job that was claimed can't be begun: out of "
                         "memory, or the schema is another");
        td_mem_free(&job->mem);
        free(job);
        return;
    }

    job->next = work->jobs;
    work->jobs = job;
    work->njobs++;

    if (work->stopping) {
        job->back = 1;
    } else {
        job_step(job, NULL);
    }
}


/* ---- the control batch ---- */

static void
control(td_work *work, const tn_batch *batch,
        void (*done)(td_batch *b, const tn_reply *reply), int again)
{
    work->control.batch = batch;
    work->control.done = done;
    work->control.data = work;
    work->control.again = again;
    work->control.control = 1;
    work->control.deadline = td_now() + CONTROL_TIMEOUT;
    work->controlling = 1;
    td_db_submit(work->db, &work->control);
}


/* Whether it was done; if not, why is said. */
static int
control_done(td_work *work, const char *what, const tn_reply *reply)
{
    work->controlling = 0;

    if (reply->outcome == TN_DB_OK) {
        return 1;
    }

    if (reply->outcome == TN_DB_ERROR) {
        td_log(TD_ERROR, "%s: database error %.5s: %.*s", what, reply->sqlstate,
               (int) reply->message.n,
               reply->message.p ? reply->message.p : "");
    }

    return 0;
}


/* Before the migration that lets us ask for the schema's version. */
static int
no_schema(const tn_reply *reply)
{
    return reply->outcome == TN_DB_ERROR &&
           (strncmp(reply->sqlstate, "42501", 5) == 0 || /* may not */
            strncmp(reply->sqlstate, "42P01", 5) == 0 || /* no such table */
            strncmp(reply->sqlstate, "3F000", 5) == 0);  /* no such schema */
}


static void
checked(td_batch *b, const tn_reply *reply)
{
    unsigned schema;
    td_work *work = b->data;

    work->check_at = td_now() + CHECK_EVERY;

    if (no_schema(reply)) {
        work->controlling = 0;
        td_log(TD_ERROR,
               "the database lacks the schema that this tenond needs, %u: run "
               "`tenonctl migrate` (database error %.5s)",
               TN_SCHEMA_VERSION, reply->sqlstate);
        return;
    }

    if (!control_done(work, "looking for the schema's version", reply)) {
        return;
    }

    schema = tn_work_schema(reply);

    if (schema < TN_SCHEMA_VERSION) {
        td_log(TD_ERROR,
               "the database has schema %u, and this tenond needs "
               "%u: run `tenonctl migrate`",
               schema, TN_SCHEMA_VERSION);
        return;
    }

    td_log(TD_NOTICE, "schema %u: looking for work", schema);
    work->ready = 1;
    work->check_at = TD_NEVER;
}


static void
planned(td_batch *b, const tn_reply *reply)
{
    (void) control_done(b->data, "planning", reply);
}


static void
claimed(td_batch *b, const tn_reply *reply)
{
    unsigned i, n;
    td_work *work = b->data;

    work->claim_at = td_now() + td_jitter(work->conf->poll);

    if (!control_done(work, "claiming jobs", reply)) {
        return;
    }

    n = tn_work_claimed(reply);

    for (i = 0; i < n; i++) {
        job_new(work, reply, i);
    }

    /* There may be more. */
    if (n) {
        work->claim_at = 0;
    }
}


/* Whether it waits for a connection still: no statement of it was sent. */
static int
waits(const td_job *job)
{
    return job->steps == 1 && job->asked && !job->batch.sent && !job->back;
}


/* Those that wait, and were claimed by then, are for others to do. */
static void
give_back(td_work *work, int64_t then)
{
    td_job *job;

    for (job = work->jobs; job; job = job->next) {
        job->back |= waits(job) && job->began <= then &&
                     td_db_withdraw(work->db, &job->batch);
    }
}


static void
forget_back(td_work *work)
{
    td_job *job, *next;

    for (job = work->jobs; job; job = next) {
        next = job->next;

        if (job->going) {
            job_free(job);
        }
    }
}


/* Where that failed, their leases run out. */
static void
released(td_batch *b, const tn_reply *reply)
{
    td_work *work = b->data;

    (void) control_done(work, "giving jobs back", reply);
    forget_back(work);
}


/* The batch that gives back what is to be: 0 when there is nothing. */
static int
release(td_work *work)
{
    tn_err err;
    td_job *job;
    unsigned n;
    tn_work **works;
    const tn_batch *batch;

    td_mem_free(&work->mem);
    works = calloc(work->njobs + 1, sizeof(tn_work *));

    for (job = work->jobs, n = 0; job; job = job->next) {
        job->going = job->back; /* who gives way meanwhile goes by the next */

        if (job->going && works) {
            works[n++] = job->work;
        }
    }

    err = works == NULL ? TN_E_NOMEM
          : n == 0      ? TN_OK
                        : tn_work_release(&batch, works, n, &work->mem.mem);
    free(works);

    if (err != TN_OK) {
        td_log(TD_ERROR, "out of memory");
        forget_back(work);
        return 0;
    }

    if (n) {
        control(work, batch, released, 0);
    }

    return n > 0;
}


static int
may_claim(const td_work *work)
{
    return work->njobs < work->conf->jobs && td_db_idle(work->db);
}


static void
control_next(td_work *work, int64_t now)
{
    tn_err err;
    const tn_batch *batch;
    void (*done)(td_batch * b, const tn_reply *reply);

    td_mem_free(&work->mem);

    if (!work->ready) {
        if (now < work->check_at) {
            return;
        }

        control(work, tn_work_schema_batch(), checked, 1);
        return;
    }

    if (now >= work->plan_at) {
        work->plan_at = now + td_jitter(PLAN_EVERY);
        err = tn_work_plan(&batch, &work->mem.mem);
        done = planned;

    } else if (now >= work->claim_at && may_claim(work)) {
        work->claim_at = now + td_jitter(work->conf->poll);
        err = tn_work_claim(&batch, (unsigned) work->conf->jobs - work->njobs,
                            &work->mem.mem);
        done = claimed;

    } else {
        return;
    }

    if (err != TN_OK) {
        td_log(TD_ERROR, "out of memory");
        return;
    }

    control(work, batch, done, 0);
}


void
td_work_turn(td_work *work)
{
    if (work->controlling) {
        return;
    }

    give_back(work, td_now() - WAIT_MOST);

    if (!release(work) && !work->stopping) {
        control_next(work, td_now());
    }
}


int64_t
td_work_timer(const td_work *work)
{
    int64_t timer;
    const td_job *job;

    if (work->controlling) {
        return TD_NEVER;
    }

    if (!work->ready && !work->stopping) {
        return work->check_at;
    }

    timer = work->stopping ? TD_NEVER : work->plan_at;

    if (!work->stopping && work->claim_at < timer && may_claim(work)) {
        timer = work->claim_at;
    }

    for (job = work->jobs; job; job = job->next) {
        if (job->back) {
            return 0;
        }

        if (waits(job) && job->began + WAIT_MOST < timer) {
            timer = job->began + WAIT_MOST;
        }
    }

    return timer;
}


/* ---- the end ---- */

void
td_work_stop(td_work *work)
{
    work->stopping = 1;

    if (work->controlling && td_db_withdraw(work->db, &work->control)) {
        work->controlling = 0;
    }

    give_back(work, TD_NEVER);
}


int
td_work_idle(const td_work *work)
{
    return work->njobs == 0 && !work->controlling;
}


void
td_work_free(td_work *work)
{
    while (work->jobs) {
        job_told(work->jobs);
        job_free(work->jobs);
    }

    td_mem_free(&work->mem);
}
