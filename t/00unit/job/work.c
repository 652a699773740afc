/*
 * work.c: an attempt at a job, played with literal answers: how it ends, and
 * that whoever lost it changes nothing.
 */

#include "t/00unit/unit.h"
#include "libcore/job/job.h"
#include "gen/queries.h"

#define TENANT "00000000-0000-7000-8000-000000000002"
#define OTHER  "01900000-000b-7000-8000-000000000001"
#define JOB    "0192aaaa-0000-7000-8000-000000000001"

static const unsigned char entropy[32] = { 1, 2, 3 };

static const tn_work_conf conf = { .stripe_api = TN_STR_C("http://stand.in"),
                                   .stripe_key = TN_STR_C("sk_test_1") };

typedef struct play {
    unit_arena arena;
    tn_work *work;
    const tn_want *want;
    int64_t now; /* of the next answer */
} play;


/* What job_claim answers of one job of a kind. */
static tn_err
claim_kind(play *p, const char *kind, const char *attempts)
{
    tn_str cells[] = { TN_STR(TENANT),
                       TN_STR(JOB),
                       { kind, strlen(kind) },
                       TN_STR("7"),
                       { attempts, strlen(attempts) },
                       TN_STR("{}") };
    tn_rows rows = { 1, 6, cells };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = &rows, .n = 1 };

    assert_int_equal(tn_work_claimed(&reply), 1);
    p->now = 0;

    return tn_work_new(&p->work, &reply, 0, &conf, 1790000000000000, entropy,
                       &p->arena.mem);
}


static tn_err
claim(play *p, const char *attempts)
{
    return claim_kind(p, "purge", attempts);
}


static void
begin(play *p, const char *attempts)
{
    unit_arena_init(&p->arena, 0);
    assert_int_equal(claim(p, attempts), TN_OK);
    p->want = tn_work_step(p->work, NULL);
}


/* The batch was done; its statements answered a cell each. */
static void
answer(play *p, const char *cell)
{
    unsigned i;
    tn_str cells[] = { { cell, strlen(cell) } };
    tn_rows rows[TN__WORK_QUERIES_MAX];
    tn_reply reply = { .outcome = TN_DB_OK, .rows = rows };
    tn_input input = { .reply = &reply };

    assert_int_equal(p->want->kind, TN_WANT_DB);
    input.now = p->now;
    reply.n = p->want->batch->n;

    for (i = 0; i < reply.n; i++) {
        rows[i] = (tn_rows){ 1, 1, cells };
    }

    p->want = tn_work_step(p->work, &input);
}


static void
refuse(play *p, tn_db_outcome outcome, const char *sqlstate)
{
    tn_reply reply = { .outcome = outcome,
                       .constraint = TN_STR("some_key"),
                       .message = TN_STR("a@example.com is there already") };
    tn_input input = { .reply = &reply };

    assert_int_equal(p->want->kind, TN_WANT_DB);
    memcpy(reply.sqlstate, sqlstate, strlen(sqlstate));
    p->want = tn_work_step(p->work, &input);
}


static void
wants(const play *p, unsigned n, const tn__bound *const *bounds)
{
    unsigned i;

    assert_int_equal(p->want->kind, TN_WANT_DB);
    assert_int_equal(p->want->batch->n, n);
    assert_true(p->want->batch->writes);

    for (i = 0; i < n; i++) {
        assert_ptr_equal(p->want->batch->queries[i].stmt, &bounds[i]->stmt);
    }
}

#define WANTS(p, ...)                                         \
    do {                                                      \
        const tn__bound *const bounds[] = { __VA_ARGS__ };    \
        wants(p, sizeof(bounds) / sizeof(bounds[0]), bounds); \
    } while (0)


/* The value of a parameter of the i-th statement. */
static tn_str
param(const play *p, unsigned i, const tn__bound *bound, const char *name)
{
    unsigned j;

    for (j = 0; j < bound->stmt.nparams; j++) {
        if (tn__eq(bound->binds[j].name, (tn_str){ name, strlen(name) })) {
            return p->want->batch->queries[i].params[j];
        }
    }

    fail_msg("no parameter %s", name);
    return TN_NULL;
}


static void
ends(const play *p, tn_work_end end)
{
    assert_int_equal(p->want->kind, TN_WANT_NONE);
    assert_int_equal(tn_work_told(p->work)->end, end);
}


static void
test_works_until_done(void **state)
{
    play p;

    (void) state;

    begin(&p, "1");
    WANTS(&p, &tn__q_job_hold, &tn__q_job_purge);
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "tenant"), TENANT);
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "id"), JOB);
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "version"), "7");
    /* It may be a while since the claim. */
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "lease"), "60");

    answer(&p, "1000");
    WANTS(&p, &tn__q_job_hold, &tn__q_job_purge);
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "lease"), "60");

    answer(&p, "0");
    WANTS(&p, &tn__q_job_hold, &tn__q_job_done);
    unit_assert_str(param(&p, 1, &tn__q_job_done, "version"), "7");
    assert_null(param(&p, 0, &tn__q_job_hold, "lease").p);

    answer(&p, "done");
    ends(&p, TN_WORK_DONE);
    assert_null(tn_work_told(p.work)->error.p);

    /* After the end further steps change nothing. */
    p.want = tn_work_step(p.work, NULL);
    ends(&p, TN_WORK_DONE);
    unit_arena_free(&p.arena);
}


/* What failed is tried again; the words of the server may quote a row. */
static void
test_tries_again(void **state)
{
    play p;
    int64_t delay;
    const tn_work_tale *tale;

    (void) state;

    begin(&p, "3");
    refuse(&p, TN_DB_ERROR, "23505");
    WANTS(&p, &tn__q_job_hold, &tn__q_job_failed);
    unit_assert_str(param(&p, 1, &tn__q_job_failed, "error"),
                    "database error 23505, constraint some_key");
    assert_true(
        tn__int_parse(&delay, param(&p, 1, &tn__q_job_failed, "delay")));
    assert_in_range(delay, 0, 40000);

    answer(&p, "queued");
    ends(&p, TN_WORK_AGAIN);
    tale = tn_work_told(p.work);
    assert_int_equal(tale->delay_ms, delay);
    assert_int_equal(tale->attempt, 3);
    unit_assert_str(tale->error, "database error 23505, constraint some_key");
    unit_arena_free(&p.arena);
}


static void
test_gives_up(void **state)
{
    play p;

    (void) state;

    begin(&p, "8");
    refuse(&p, TN_DB_ERROR, "42501");
    WANTS(&p, &tn__q_job_hold, &tn__q_cause, &tn__q_job_failed);
    unit_assert_str(param(&p, 1, &tn__q_cause, "cause"), "job.dead");
    unit_assert_str(param(&p, 1, &tn__q_cause, "id"), JOB);
    assert_null(param(&p, 2, &tn__q_job_failed, "delay").p);

    answer(&p, "dead");
    ends(&p, TN_WORK_DEAD);
    unit_arena_free(&p.arena);
}


/* Whoever began it so often died over it: it isn't begun once more. */
static void
test_poison(void **state)
{
    play p;

    (void) state;

    begin(&p, "9");
    WANTS(&p, &tn__q_job_hold, &tn__q_cause, &tn__q_job_failed);
    answer(&p, "dead");
    ends(&p, TN_WORK_DEAD);
    unit_arena_free(&p.arena);
}


static void
test_loses(void **state)
{
    unsigned i;
    play p;

    static const struct {
        tn_db_outcome outcome;
        const char *sqlstate;
    } lost[] = {
        { TN_DB_ERROR, "TNJ01" },
        { TN_DB_UNKNOWN, "" },
        { TN_DB_DOWN, "" },
        { TN_DB_BUSY, "" },
    };

    (void) state;

    for (i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {

        /* while it works */
        begin(&p, "1");
        refuse(&p, lost[i].outcome, lost[i].sqlstate);
        ends(&p, TN_WORK_LOST);
        unit_arena_free(&p.arena);

        /* and when it has done all */
        begin(&p, "1");
        answer(&p, "0");
        refuse(&p, lost[i].outcome, lost[i].sqlstate);
        ends(&p, TN_WORK_LOST);
        unit_arena_free(&p.arena);
    }
}


/* The batch that was to end it is refused: nothing of it was done. */
static void
test_end_refused(void **state)
{
    play p;

    (void) state;

    begin(&p, "1");
    answer(&p, "0");
    refuse(&p, TN_DB_ERROR, "57014");
    WANTS(&p, &tn__q_job_hold, &tn__q_job_failed);

    /* Nor can that be written down. */
    refuse(&p, TN_DB_ERROR, "57014");
    ends(&p, TN_WORK_LOST);
    unit_arena_free(&p.arena);
}


static void
test_strange_answers(void **state)
{
    play p;
    tn_reply reply = { .outcome = TN_DB_OK };
    tn_input input = { .reply = &reply };

    (void) state;

    begin(&p, "1");
    p.want = tn_work_step(p.work, &input);
    ends(&p, TN_WORK_LOST);
    unit_arena_free(&p.arena);

    begin(&p, "1");
    p.want = tn_work_step(p.work, NULL);
    ends(&p, TN_WORK_LOST);
    unit_arena_free(&p.arena);

    assert_int_equal(tn_work_claimed(&reply), 0);
    assert_int_equal(tn_work_schema(&reply), 0);
}


/* A kind that asks by what the host was told of the other's address and key. */
static void
ask_as_told(tn_work *work, const tn_input *input)
{
    static tn_header header = { .name = TN_STR_C("Authorization") };
    static tn_http http = { .method = TN_STR_C("GET"),
                            .headers = &header,
                            .nheaders = 1 };

    (void) input;
    http.url = work->conf->stripe_api;
    header.value = work->conf->stripe_key;
    tn__work_want_http(work, &http);
}


static void
test_conf(void **state)
{
    play p;

    static const tn__work_kind kind = { .kind = TN_STR_C("told"),
                                        .step = ask_as_told,
                                        .attempts = 3 };

    (void) state;
    unit_arena_init(&p.arena, 0);
    assert_int_equal(claim(&p, "1"), TN_OK);
    p.work->kind = &kind;
    p.want = tn_work_step(p.work, NULL);
    assert_int_equal(p.want->kind, TN_WANT_HTTP);
    unit_assert_str(p.want->http->url, "http://stand.in");
    unit_assert_str(p.want->http->headers[0].value, "sk_test_1");
    unit_arena_free(&p.arena);
}


/* A kind that asks somebody else first, and writes down what it heard. */
static void
ask(tn_work *work, const tn_input *input)
{
    const tn_http_answer *answer;

    static const tn_http http = { .method = TN_STR_C("GET"),
                                  .url = TN_STR_C("http://127.0.0.1/") };

    if (work->state++ == 0) {
        tn__work_want_http(work, &http);
        return;
    }

    answer = tn__work_answer(work, input);

    if (answer && answer->status == 410) {
        tn__work_refuse(work, TN_STR("it is gone"));

    } else if (answer && answer->status != 200) {
        tn__work_fail(work, TN_STR("it says no"), 3600000);

    } else if (answer) {
        tn__work_done(work);
    }
}


static void
hear(play *p, const tn_http_answer *answer)
{
    tn_input input = { .http = answer, .failed = answer ? 0 : TN_E_INTERNAL };

    static const tn__work_kind kind = { .kind = TN_STR_C("ask"),
                                        .step = ask,
                                        .attempts = 3 };

    unit_arena_init(&p->arena, 0);
    assert_int_equal(claim(p, "1"), TN_OK);
    p->work->kind = &kind;
    p->want = tn_work_step(p->work, NULL);
    assert_int_equal(p->want->kind, TN_WANT_HTTP);
    unit_assert_str(p->want->http->url, "http://127.0.0.1/");
    p->want = tn_work_step(p->work, &input);
}


static void
test_asks_others(void **state)
{
    play p;
    unsigned i;
    tn_http_answer heard = { .status = 200 };

    static const char *const told[] = {
        [TN_HTTP_NOT_MADE] = "the request can't be made",
        [TN_HTTP_NO_ADDRESS] = "no address is known of the server's name",
        [TN_HTTP_NO_CONNECTION] = "the server can't be reached",
        [TN_HTTP_NO_TLS] = "no TLS with the server, or its certificate is not "
                           "to be trusted",
        [TN_HTTP_TIMEOUT] = "the server didn't answer in time",
        [TN_HTTP_TOO_LARGE] = "the server's answer is too large",
        [TN_HTTP_BROKEN] = "the server's answer is broken",
    };

    (void) state;

    hear(&p, &heard);
    WANTS(&p, &tn__q_job_hold, &tn__q_job_done);
    assert_null(param(&p, 0, &tn__q_job_hold, "lease").p);
    answer(&p, "done");
    ends(&p, TN_WORK_DONE);
    unit_arena_free(&p.arena);

    heard.status = 503;
    hear(&p, &heard);
    WANTS(&p, &tn__q_job_hold, &tn__q_job_failed);
    unit_assert_str(param(&p, 1, &tn__q_job_failed, "error"), "it says no");
    /* Never sooner than it asks for. */
    unit_assert_str(param(&p, 1, &tn__q_job_failed, "delay"), "3600000");
    unit_arena_free(&p.arena);

    heard.status = 410;
    hear(&p, &heard);
    WANTS(&p, &tn__q_job_hold, &tn__q_cause, &tn__q_job_failed);
    unit_assert_str(param(&p, 2, &tn__q_job_failed, "error"), "it is gone");
    unit_arena_free(&p.arena);

    for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        heard = (tn_http_answer){ .fault = (tn_http_fault) i };
        hear(&p, &heard);
        WANTS(&p, &tn__q_job_hold, &tn__q_job_failed);
        unit_assert_str(param(&p, 1, &tn__q_job_failed, "error"), told[i]);
        unit_arena_free(&p.arena);
    }

    hear(&p, NULL);
    WANTS(&p, &tn__q_job_hold, &tn__q_job_failed);
    unit_assert_str(param(&p, 1, &tn__q_job_failed, "error"),
                    "the request can't be made");
    unit_arena_free(&p.arena);
}


/* A kind with two batches, each with an event, the second with one more. */
static const tn__bind tell_binds[] = {
    { TN__BIND_EVENT_ID, 0, TN_STR_C("event_id") },
    { TN__BIND_SALT, 0, TN_STR_C("salt") },
    { TN__BIND_LOCAL, 0, TN_STR_C("further") },
};

static const tn__bound tell_bound = { .stmt = { .nparams = 3 },
                                      .binds = tell_binds };


static void
tell(tn_work *work, const tn_input *input)
{
    (void) input;

    tn__work_batch(work);
    tn__work_local(work, TN_STR("further"), tn__work_new_id(work));
    tn__work_add(work, &tell_bound);

    if (work->state++ == 0) {
        tn__work_want_db(work);
    } else {
        tn__work_done(work);
    }
}


/* Each batch is a transaction, and an event's id is used once; its time is that
 * of the step. */
static void
test_events(void **state)
{
    play p;
    tn_str id, salt, further;

    static const tn__work_kind kind = { .kind = TN_STR_C("tell"),
                                        .step = tell,
                                        .attempts = 3 };

    (void) state;
    unit_arena_init(&p.arena, 0);
    assert_int_equal(claim(&p, "1"), TN_OK);
    p.work->kind = &kind;
    p.want = tn_work_step(p.work, NULL);
    WANTS(&p, &tn__q_job_hold, &tell_bound);
    id = param(&p, 1, &tell_bound, "event_id");
    salt = param(&p, 1, &tell_bound, "salt");
    further = param(&p, 1, &tell_bound, "further");
    assert_int_equal(id.n, 36);
    assert_int_equal(further.n, 36);
    assert_memory_equal(id.p, "01a0c450-6c00-7", 15);
    assert_memory_not_equal(id.p, further.p, 36);

    /* a minute later */
    p.now = 1790000060000000;
    answer(&p, "");
    WANTS(&p, &tn__q_job_hold, &tell_bound, &tn__q_job_done);
    assert_memory_not_equal(param(&p, 1, &tell_bound, "event_id").p, id.p, 36);
    assert_memory_not_equal(param(&p, 1, &tell_bound, "salt").p, salt.p,
                            salt.n);
    assert_memory_not_equal(param(&p, 1, &tell_bound, "further").p, further.p,
                            36);
    assert_memory_equal(param(&p, 1, &tell_bound, "event_id").p,
                        "01a0c451-5660-7", 15);

    answer(&p, "done");
    ends(&p, TN_WORK_DONE);
    unit_arena_free(&p.arena);
}


/* A kind that acts in a tenant that it has looked up, and fails there. */
static void
visit(tn_work *work, const tn_input *input)
{
    if (work->state++ == 0) {
        tn__work_batch(work);
        tn__work_add(work, &tn__q_job_purge);
        tn__work_want_db(work);
        return;
    }

    if (tn__work_rows(work, input, 0) != NULL) {
        tn__work_tenant(work, TN_STR(OTHER));
        tn__work_batch(work);
        tn__work_add(work, &tn__q_job_purge);
        tn__work_want_db(work);
    }
}


/* What it does is done there; that it is dead is told where it was made. */
static void
test_acts_in_a_tenant(void **state)
{
    play p;

    static const tn__work_kind kind = { .kind = TN_STR_C("visit"),
                                        .step = visit,
                                        .attempts = 1 };

    (void) state;
    unit_arena_init(&p.arena, 0);
    assert_int_equal(claim(&p, "1"), TN_OK);
    p.work->kind = &kind;
    p.want = tn_work_step(p.work, NULL);
    WANTS(&p, &tn__q_job_hold, &tn__q_job_purge);
    assert_null(param(&p, 0, &tn__q_job_hold, "acting").p);

    answer(&p, "");
    WANTS(&p, &tn__q_job_hold, &tn__q_job_purge);
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "tenant"), TENANT);
    unit_assert_str(param(&p, 0, &tn__q_job_hold, "acting"), OTHER);

    refuse(&p, TN_DB_ERROR, "42501");
    WANTS(&p, &tn__q_job_hold, &tn__q_cause, &tn__q_job_failed);
    assert_null(param(&p, 0, &tn__q_job_hold, "acting").p);

    answer(&p, "dead");
    ends(&p, TN_WORK_DEAD);
    unit_arena_free(&p.arena);
}


static void
test_control_batches(void **state)
{
    play p;
    tn_str kinds;
    const tn_batch *batch;
    tn_want want = { .kind = TN_WANT_DB };
    tn_work *works[2];

    (void) state;

    unit_arena_init(&p.arena, 0);
    p.want = &want;

    assert_int_equal(tn_work_plan(&batch, &p.arena.mem), TN_OK);
    want.batch = batch;
    WANTS(&p, &tn__q_job_plan, &tn__q_job_plan, &tn__q_job_plan);
    unit_assert_str(param(&p, 0, &tn__q_job_plan, "kind"), "purge");
    unit_assert_str(param(&p, 0, &tn__q_job_plan, "every"), "86400");
    unit_assert_str(param(&p, 1, &tn__q_job_plan, "kind"), "usage.roll_up");
    unit_assert_str(param(&p, 1, &tn__q_job_plan, "every"), "60");
    unit_assert_str(param(&p, 2, &tn__q_job_plan, "kind"),
                    "billing.entitlements");

    assert_int_equal(tn_work_claim(&batch, 100000, &p.arena.mem), TN_OK);
    want.batch = batch;
    WANTS(&p, &tn__q_job_claim);
    kinds = param(&p, 0, &tn__q_job_claim, "kinds");
    unit_assert_str(tn__sub(kinds, 0, 7), "{purge,");
    unit_assert_str(tn__sub(kinds, kinds.n - 1, kinds.n), "}");
    unit_assert_str(param(&p, 0, &tn__q_job_claim, "n"), "256");
    unit_assert_str(param(&p, 0, &tn__q_job_claim, "lease"), "60");

    assert_int_equal(claim(&p, "1"), TN_OK);
    works[0] = p.work;
    assert_int_equal(claim(&p, "1"), TN_OK);
    works[1] = p.work;
    assert_int_equal(tn_work_release(&batch, works, 2, &p.arena.mem), TN_OK);
    want.batch = batch;
    WANTS(&p, &tn__q_job_release);
    unit_assert_str(param(&p, 0, &tn__q_job_release, "tenants"),
                    "{" TENANT "," TENANT "}");
    unit_assert_str(param(&p, 0, &tn__q_job_release, "ids"),
                    "{" JOB "," JOB "}");
    unit_assert_str(param(&p, 0, &tn__q_job_release, "versions"), "{7,7}");

    unit_arena_free(&p.arena);
}


/* Without memory a job is lost, or never begun; nothing worse. */
static void
test_memory(void **state)
{
    int done;
    play p;
    const tn_batch *batch;

    (void) state;

    done = 0;

    UNIT_EACH_FAILURE(p.arena)
    {
        if (tn_work_plan(&batch, &p.arena.mem) != TN_OK ||
            tn_work_claim(&batch, 1, &p.arena.mem) != TN_OK ||
            claim(&p, "8") != TN_OK ||
            tn_work_release(&batch, &p.work, 1, &p.arena.mem) != TN_OK) {
            continue;
        }

        p.want = tn_work_step(p.work, NULL);

        if (p.want->kind == TN_WANT_DB) {
            answer(&p, "1");
        }

        if (p.want->kind == TN_WANT_DB) {
            refuse(&p, TN_DB_ERROR, "42501");
        }

        if (p.want->kind == TN_WANT_DB) {
            answer(&p, "dead");
        }

        assert_int_equal(p.want->kind, TN_WANT_NONE);

        if (tn_work_told(p.work)->end == TN_WORK_DEAD) {
            done = 1;
            break;
        }

        ends(&p, TN_WORK_LOST);
    }

    assert_true(done);
    unit_arena_free(&p.arena);
}


/* Of which month how many were counted; no meter: none was left. */
static void
counted(play *p, const char *meter, const char *n)
{
    unsigned i;
    tn_str cells[] = { meter ? TN_STR(TENANT) : TN_NULL,
                       meter ? (tn_str){ meter, strlen(meter) } : TN_NULL,
                       meter ? TN_STR("2026-11-03 00:00:00+00") : TN_NULL,
                       { n, strlen(n) } };
    tn_rows rows[] = { { 1, 4, cells }, { 1, 4, cells } };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = rows, .n = 2 };
    tn_input input = { .reply = &reply };

    WANTS(p, &tn__q_job_hold, &tn__q_usage_roll_up);
    p->want = tn_work_step(p->work, &input);

    for (i = 0; i < 4; i++) {
        cells[i] = TN_STR("gone"); /* it was borrowed */
    }
}


static void
goes_behind(play *p, const char *meter)
{
    WANTS(p, &tn__q_job_hold, &tn__q_usage_roll_up);
    unit_assert_str(param(p, 1, &tn__q_usage_roll_up, "after_meter"), meter);
    unit_assert_str(param(p, 1, &tn__q_usage_roll_up, "after_tenant"),
                    meter ? TENANT : NULL);
    unit_assert_str(param(p, 1, &tn__q_usage_roll_up, "after_begins"),
                    meter ? "2026-11-03 00:00:00+00" : NULL);
}


/* What isn't counted yet is, some of each at a time, round after round until
 * one counts nothing: what can't be counted is left, and stops nobody. */
static void
test_roll_up(void **state)
{
    play p;

    (void) state;

    unit_arena_init(&p.arena, 0);
    assert_int_equal(claim_kind(&p, "usage.roll_up", "1"), TN_OK);
    p.want = tn_work_step(p.work, NULL);
    goes_behind(&p, NULL);
    counted(&p, "bytes", "1000");
    goes_behind(&p, "bytes");
    counted(&p, "tasks", "0");
    goes_behind(&p, "tasks");
    counted(&p, NULL, "0");
    goes_behind(&p, NULL);
    counted(&p, "bytes", "7");
    counted(&p, "tasks", "0");
    counted(&p, NULL, "0");
    goes_behind(&p, NULL);
    counted(&p, "tasks", "0");
    counted(&p, NULL, "0");
    WANTS(&p, &tn__q_job_hold, &tn__q_job_done);
    answer(&p, "done");
    ends(&p, TN_WORK_DONE);
    unit_arena_free(&p.arena);
}


static void
test_retry(void **state)
{
    int64_t n, delay, most;
    uint64_t random;

    static const int64_t seconds[] = { 10,    20,    40,    80,   160,
                                       320,   640,   1280,  2560, 5120,
                                       10240, 20480, 21600, 21600 };

    (void) state;

    for (n = 1; n <= 14; n++) {
        assert_int_equal(tn__retry_ceiling(n), seconds[n - 1] * 1000);
    }

    assert_int_equal(tn__retry_ceiling(INT64_MAX), 21600000);
    assert_int_equal(tn__retry_ceiling(0), 10000);

    /* All of it, and evenly enough. */
    for (random = 0, most = 0; random < 100000; random++) {
        delay = tn__retry_delay(1, random * 7919);
        assert_in_range(delay, 0, 10000);
        most = delay > most ? delay : most;
    }

    assert_int_equal(most, 10000);
}


UNIT_MAIN(cmocka_unit_test(test_works_until_done),
          cmocka_unit_test(test_tries_again), cmocka_unit_test(test_gives_up),
          cmocka_unit_test(test_poison), cmocka_unit_test(test_loses),
          cmocka_unit_test(test_end_refused),
          cmocka_unit_test(test_strange_answers), cmocka_unit_test(test_conf),
          cmocka_unit_test(test_asks_others), cmocka_unit_test(test_events),
          cmocka_unit_test(test_acts_in_a_tenant),
          cmocka_unit_test(test_control_batches), cmocka_unit_test(test_memory),
          cmocka_unit_test(test_roll_up), cmocka_unit_test(test_retry))
