/*
 * work.c: an attempt at a job, from its claim to the batch that ends it. All
 * changes of its phase are made here.
 */

#include "libcore/job/job.h"
#include "gen/queries.h"

#define ERROR_MAX 1000 /* bytes of what is kept */


/* Nothing more can be written down: its lease runs out. */
static void
lose(tn_work *work, tn_str why)
{
    work->phase = TN__WORK_OVER;
    work->tale.end = TN_WORK_LOST;
    work->tale.error = why;
    work->want.kind = TN_WANT_NONE;
}


static void
out_of_memory(tn_work *work)
{
    lose(work, TN_STR("out of memory"));
}


void
tn__work_local(tn_work *work, tn_str name, tn_str value)
{
    unsigned i;

    for (i = 0; i < work->nlocals; i++) {
        if (tn__eq(work->locals[i].name, name)) {
            work->locals[i].value = value;
            return;
        }
    }

    if (work->nlocals == TN__WORK_LOCALS_MAX) {
        lose(work, TN_STR("more locals than there is room for"));
        return;
    }

    work->locals[work->nlocals].name = name;
    work->locals[work->nlocals++].value = value;
}


void
tn__work_local_int(tn_work *work, tn_str name, int64_t value)
{
    tn_str text;
    tn__buf buf;

    tn__buf_init(&buf, work->mem, 24);
    tn__buf_int(&buf, value);

    if (tn__buf_str(&text, &buf) != TN_OK) {
        out_of_memory(work);
        return;
    }

    tn__work_local(work, name, text);
}


tn_str
tn__work_new_id(tn_work *work)
{
    char *text;
    unsigned char rnd[10], uuid[16];

    text = tn__alloc(work->mem, TN__UUID_TEXT);
    if (text == NULL) {
        out_of_memory(work);
        return TN_NULL;
    }

    tn__rng_bytes(&work->rng, rnd, sizeof(rnd));
    tn__uuid7(uuid, work->now, rnd);
    tn__uuid_text(text, uuid);

    return (tn_str){ text, TN__UUID_TEXT };
}


static tn_str
new_salt(tn_work *work)
{
    tn_str text;
    unsigned char salt[16];

    tn__rng_bytes(&work->rng, salt, sizeof(salt));

    if (tn__bytea(&text, salt, sizeof(salt), work->mem) != TN_OK) {
        out_of_memory(work);
        return TN_NULL;
    }

    return text;
}


void
tn__work_tenant(tn_work *work, tn_str id)
{
    tn__work_local(work, TN_STR("acting"), id);
}


/* There is no request: what only a request has is null. */
static tn_str
bind(tn_work *work, const tn__bind *b)
{
    unsigned i;

    switch (b->source) {
    case TN__BIND_TENANT:
        return work->tale.tenant_id;
    case TN__BIND_ID:
        return work->tale.id;
    case TN__BIND_EVENT_ID:
        if (work->event_id.p == NULL) {
            work->event_id = tn__work_new_id(work);
        }
        return work->event_id;
    case TN__BIND_SALT:
        if (work->salt.p == NULL) {
            work->salt = new_salt(work);
        }
        return work->salt;
    default:
        break;
    }

    for (i = 0; i < work->nlocals; i++) {
        if (tn__eq(work->locals[i].name, b->name)) {
            return work->locals[i].value;
        }
    }

    return TN_NULL;
}


static void
put(tn_work *work, tn_query *query, const tn__bound *bound)
{
    unsigned i;
    tn_str *params;

    params = tn__alloc(work->mem, (bound->stmt.nparams + 1) * sizeof(tn_str));
    if (params == NULL) {
        out_of_memory(work);
        return;
    }

    for (i = 0; i < bound->stmt.nparams; i++) {
        params[i] = bind(work, &bound->binds[i]);
    }

    query->stmt = &bound->stmt;
    query->params = params;
}


void
tn__work_add(tn_work *work, const tn__bound *bound)
{
    if (work->phase == TN__WORK_OVER) {
        return;
    }

    if (work->batch.n == TN__WORK_QUERIES_MAX) {
        lose(work, TN_STR("more statements than a batch may have"));
        return;
    }

    put(work, &work->queries[work->batch.n++], bound);
}


/* Its first statement holds the claim. It is a transaction of its own, so its
 * event is one, too. */
void
tn__work_batch(tn_work *work)
{
    work->event_id = TN_NULL;
    work->salt = TN_NULL;
    work->batch.queries = work->queries;
    work->batch.n = 1;
    work->batch.writes = 1;
}


/* The lease is prolonged by each batch, the first too, for that may have waited
 * for a connection; but where the batch gives the claim up. */
void
tn__work_want_db(tn_work *work)
{
    tn__work_local(work, TN_STR("lease"), TN_NULL);

    if (work->phase == TN__WORK_STEPPING) {
        tn__work_local_int(work, TN_STR("lease"), TN_WORK_LEASE);
    }

    put(work, &work->queries[0], &tn__q_job_hold);

    if (work->phase == TN__WORK_OVER) {
        return;
    }

    work->want.kind = TN_WANT_DB;
    work->want.batch = &work->batch;
}


void
tn__work_want_http(tn_work *work, const tn_http *http)
{
    if (work->phase == TN__WORK_OVER) {
        return;
    }

    work->want.kind = TN_WANT_HTTP;
    work->want.http = http;
}


/* The batch that is begun ends the attempt, if it is done. */
static void
end_by_batch(tn_work *work, tn_work_end end)
{
    if (work->phase == TN__WORK_OVER) {
        return;
    }

    work->phase = TN__WORK_ENDING;
    work->ending = end;
    tn__work_want_db(work);
}


void
tn__work_done(tn_work *work)
{
    /* A batch that was answered is no longer open. */
    if (work->batch.n == 0) {
        tn__work_batch(work);
    }

    tn__work_add(work, &tn__q_job_done);
    end_by_batch(work, TN_WORK_DONE);
}


static void
end_badly(tn_work *work, tn_str why, tn_work_end end)
{
    if (work->phase != TN__WORK_STEPPING) {
        return;
    }

    work->tale.error = tn__sub(why, 0, ERROR_MAX);

    while (!tn__utf8_valid(work->tale.error) && work->tale.error.n) {
        work->tale.error.n--; /* not in the middle of a character */
    }

    tn__work_batch(work);
    tn__work_tenant(work, TN_NULL);
    tn__work_local(work, TN_STR("error"), work->tale.error);
    tn__work_local(work, TN_STR("delay"), TN_NULL);

    if (end == TN_WORK_AGAIN) {
        tn__work_local_int(work, TN_STR("delay"), work->tale.delay_ms);

    } else {
        tn__work_local(work, TN_STR("cause"), TN_STR("job.dead"));
        tn__work_add(work, &tn__q_cause);
    }

    tn__work_add(work, &tn__q_job_failed);
    end_by_batch(work, end);
}


void
tn__work_fail(tn_work *work, tn_str why, int64_t min_ms)
{
    uint64_t random;

    if (work->tale.attempt >= (int64_t) work->kind->attempts) {
        end_badly(work, why, TN_WORK_DEAD);
        return;
    }

    tn__rng_bytes(&work->rng, &random, sizeof(random));
    work->tale.delay_ms = tn__retry_delay(work->tale.attempt, random);

    if (work->tale.delay_ms < min_ms) {
        work->tale.delay_ms = min_ms;
    }

    end_badly(work, why, TN_WORK_AGAIN);
}


void
tn__work_refuse(tn_work *work, tn_str why)
{
    end_badly(work, why, TN_WORK_DEAD);
}


/* For people: which error it was. Its words may quote what a row holds. */
static tn_str
told_error(tn_work *work, const tn_reply *reply)
{
    tn_str text;
    tn__buf buf;

    tn__buf_init(&buf, work->mem, 128);
    tn__buf_lit(&buf, "database error ");
    tn__buf_add(&buf, (tn_str){ reply->sqlstate, strnlen(reply->sqlstate, 5) });

    if (reply->constraint.p) {
        tn__buf_lit(&buf, ", constraint ");
        tn__buf_add(&buf, reply->constraint);
    }

    if (tn__buf_str(&text, &buf) != TN_OK) {
        out_of_memory(work);
        return TN_NULL;
    }

    return text;
}


/* A batch that wasn't done: 0 when that ends the work. */
static int
answered(tn_work *work, const tn_reply *reply)
{
    if (reply == NULL ||
        (reply->outcome == TN_DB_OK && reply->n != work->batch.n)) {
        lose(work, TN_STR("a reply has not as many results as its batch"));
        return 0;
    }

    switch (reply->outcome) {

    case TN_DB_OK:
        return 1;

    case TN_DB_ERROR:

        if (strncmp(reply->sqlstate, "TNJ01", 5) == 0) {
            lose(work, TN_STR("its lease ran out, or it was ended by a batch "
                              "whose answer was lost"));
            return 0;
        }

        return 1;

    case TN_DB_BUSY:
    case TN_DB_DOWN:
    case TN_DB_UNKNOWN:
        break;
    }

    lose(work, TN_STR("the database can't be reached"));

    return 0;
}


const tn_rows *
tn__work_rows(tn_work *work, const tn_input *input, unsigned i)
{
    const tn_reply *reply = input->reply;

    if (work->phase != TN__WORK_STEPPING) {
        return NULL;
    }

    if (reply->outcome == TN_DB_ERROR) {
        tn__work_fail(work, told_error(work, reply), 0);
        return NULL;
    }

    if (i + 1 >= reply->n) {
        lose(work, TN_STR("a step asks for a result that its batch has not"));
        return NULL;
    }

    return &reply->rows[i + 1]; /* the first is that of job_hold */
}


/* For people: why nothing was answered. */
static tn_str
told_fault(tn_http_fault fault)
{
    switch (fault) {
    case TN_HTTP_NO_ADDRESS:
        return TN_STR("no address is known of the server's name");
    case TN_HTTP_NO_CONNECTION:
        return TN_STR("the server can't be reached");
    case TN_HTTP_NO_TLS:
        return TN_STR("no TLS with the server, or its certificate is not to "
                      "be trusted");
    case TN_HTTP_TIMEOUT:
        return TN_STR("the server didn't answer in time");
    case TN_HTTP_TOO_LARGE:
        return TN_STR("the server's answer is too large");
    case TN_HTTP_BROKEN:
        return TN_STR("the server's answer is broken");
    case TN_HTTP_NOT_MADE:
        break;
    }

    return TN_STR("the request can't be made");
}


const tn_http_answer *
tn__work_answer(tn_work *work, const tn_input *input)
{
    const tn_http_answer *answer = input ? input->http : NULL;

    if (work->phase != TN__WORK_STEPPING) {
        return NULL;
    }

    if (answer && answer->status) {
        return answer;
    }

    tn__work_fail(work, told_fault(answer ? answer->fault : TN_HTTP_NOT_MADE),
                  0);

    return NULL;
}


tn_str
tn__work_cell(const tn_rows *rows, unsigned row, unsigned col)
{
    if (row >= rows->nrows || col >= rows->ncols) {
        return TN_NULL;
    }

    return rows->cells[(size_t) row * rows->ncols + col];
}


static void
ended(tn_work *work, const tn_reply *reply)
{
    if (reply->outcome == TN_DB_OK) {
        work->phase = TN__WORK_OVER;
        work->tale.end = work->ending;
        return;
    }

    if (work->ending != TN_WORK_DONE) {
        lose(work, told_error(work, reply));
        return;
    }

    /* What it did is refused, and its end with it. */
    work->phase = TN__WORK_STEPPING;
    tn__work_fail(work, told_error(work, reply), 0);
}


const tn_want *
tn_work_step(tn_work *work, const tn_input *input)
{
    tn_want_kind last = work->want.kind;

    work->want.kind = TN_WANT_NONE;

    if (input && input->now) {
        work->now = input->now;
    }

    if (work->phase == TN__WORK_OVER ||
        (last == TN_WANT_DB && !answered(work, input ? input->reply : NULL))) {
        return &work->want;
    }

    work->batch.n = 0;

    if (work->phase == TN__WORK_ENDING) {
        ended(work, input->reply);

    } else if (work->tale.attempt > (int64_t) work->kind->attempts) {
        tn__work_refuse(work, TN_STR("it was begun again and again, and "
                                     "whoever did it never came to an end"));

    } else {
        work->kind->step(work, input);
    }

    if (work->want.kind == TN_WANT_NONE && work->phase != TN__WORK_OVER) {
        lose(work, TN_STR("its step neither wants anything nor ends"));
    }

    return &work->want;
}


int
tn_work_yields(const tn_work *work, const tn_input *input)
{
    return work->kind->yields && work->phase == TN__WORK_STEPPING &&
           work->want.kind == TN_WANT_DB && input && input->reply &&
           input->reply->outcome == TN_DB_OK;
}


const tn_work_tale *
tn_work_told(const tn_work *work)
{
    return &work->tale;
}
