/*
 * What a tenant is told of its plan, played with literal answers: which of
 * several rows counts, that each tenant is told in its own context, and that it
 * goes on until none is due.
 */

#include "libcore/billing/billing.h"
#include "t/00unit/unit.h"
#include "libcore/job/job.h"
#include "gen/queries.h"

#define JOB "0192aaaa-0000-7000-8000-000000000001"
#define A   "0192f0c0-0000-7000-8000-00000000000a"
#define B   "0192f0c0-0000-7000-8000-00000000000b"
#define S_1 "0192f0c0-0000-7000-8000-000000005001"
#define S_2 "0192f0c0-0000-7000-8000-000000005002"

#define NOW INT64_C(1790000000000000)
#define DAY INT64_C(86400000000)

#define COLUMNS 10

typedef struct play {
    unit_arena arena;
    tn_work *work;
    const tn_want *want;
} play;


static void
begin(play *p)
{
    static const unsigned char entropy[32] = { 7 };
    tn_str cells[] = { TN_STR("00000000-0000-7000-8000-000000000002"),
                       TN_STR(JOB),
                       TN_STR("billing.entitlements"),
                       TN_STR("3"),
                       TN_STR("1"),
                       TN_STR("{}") };
    tn_rows rows = { 1, 6, cells };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = &rows, .n = 1 };

    unit_arena_init(&p->arena, 0);
    assert_int_equal(
        tn_work_new(&p->work, &reply, 0, NULL, NOW, entropy, &p->arena.mem),
        TN_OK);
    p->want = tn_work_step(p->work, NULL);
}


static void
answer(play *p, const char *const *texts, unsigned nrows, unsigned ncols)
{
    unsigned i;
    tn_str cells[64 * COLUMNS];
    tn_rows rows[3] = { { 0 } };
    tn_reply reply = { .outcome = TN_DB_OK, .rows = rows };
    tn_input input = { .reply = &reply, .now = NOW };

    assert_int_equal(p->want->kind, TN_WANT_DB);
    assert_true(nrows <= 64);
    reply.n = p->want->batch->n;
    assert_true(reply.n <= 3);

    for (i = 0; i < nrows * ncols; i++) {
        cells[i] = texts[i] ? unit_str(texts[i]) : TN_NULL;
    }

    rows[1] = (tn_rows){ nrows, ncols, cells };
    p->want = tn_work_step(p->work, &input);

    /* what was answered isn't there any more */
    memset(cells, 0xee, sizeof(cells));
}

#define ANSWER(p, ...)                                                         \
    do {                                                                       \
        const char *const texts[] = { __VA_ARGS__ };                           \
        answer(p, texts, sizeof(texts) / sizeof(texts[0]) / COLUMNS, COLUMNS); \
    } while (0)


static void
told(play *p)
{
    static const char *const yes[] = { "t" };

    answer(p, yes, 1, 1);
}


static tn_str
param(const play *p, unsigned i, const tn__bound *bound, const char *name)
{
    unsigned j;

    assert_int_equal(p->want->kind, TN_WANT_DB);
    assert_true(i < p->want->batch->n);
    assert_ptr_equal(p->want->batch->queries[i].stmt, &bound->stmt);

    for (j = 0; j < bound->stmt.nparams; j++) {
        if (tn__eq(bound->binds[j].name, unit_str(name))) {
            return p->want->batch->queries[i].params[j];
        }
    }

    fail_msg("no parameter %s", name);
    return TN_NULL;
}

#define TELL(p, name) param(p, 1, &tn__q_entitlement_tell, name)


static void
asks(const play *p)
{
    assert_null(param(p, 0, &tn__q_job_hold, "acting").p);
    unit_assert_str(param(p, 1, &tn__q_entitlement_due, "most"), "50");
}


static void
is_done(play *p)
{
    assert_null(param(p, 0, &tn__q_job_hold, "acting").p);
    assert_ptr_equal(p->want->batch->queries[p->want->batch->n - 1].stmt,
                     &tn__q_job_done.stmt);
    told(p);
    assert_int_equal(p->want->kind, TN_WANT_NONE);
    assert_int_equal(tn_work_told(p->work)->end, TN_WORK_DONE);
    unit_arena_free(&p->arena);
}


static void
test_nobody_is_due(void **state)
{
    play p;

    (void) state;
    begin(&p);
    asks(&p);
    answer(&p, NULL, 0, COLUMNS);
    assert_int_equal(p.want->batch->n, 2);
    is_done(&p);
}


/* Each in its own context, the best subscription counts, and what is past. */
static void
test_each_is_told(void **state)
{
    play p;
    char ago[24], ahead[24], text[24];

    (void) state;
    snprintf(ago, sizeof(ago), "%lld", (long long) (NOW - 8 * DAY));
    snprintf(ahead, sizeof(ahead), "%lld", (long long) (NOW + 2 * DAY));
    begin(&p);

    ANSWER(&p,
           /* owes for eight days, seven of them grace; and was paid twice */
           A, "4", "pro", "past_due", ago, NULL, "604800000000",
           "1209600000000", NULL, S_1,
           /* the other one is in its trial, which the platform ends at once */
           A, "4", "team", "trialing", NULL, ahead, "604800000000",
           "1209600000000", NULL, S_2,
           /* counts where none entitles to anything */
           A, "4", "free", "active", NULL, NULL, "604800000000",
           "1209600000000", NULL, NULL,
           /* nobody bills this one */
           B, "9", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

    unit_assert_str(param(&p, 0, &tn__q_job_hold, "acting"), A);
    unit_assert_str(TELL(&p, "acting"), A);
    unit_assert_str(TELL(&p, "seen"), "4");
    unit_assert_str(TELL(&p, "plan"), "team");
    unit_assert_str(TELL(&p, "entitlement"), "trial");
    unit_assert_str(TELL(&p, "subscription"), S_2);
    unit_assert_str(TELL(&p, "trial_ends_at"), ahead);
    unit_assert_str(TELL(&p, "changes_at"), ahead);
    told(&p);

    unit_assert_str(param(&p, 0, &tn__q_job_hold, "acting"), B);
    unit_assert_str(TELL(&p, "seen"), "9");
    assert_null(TELL(&p, "plan").p);
    unit_assert_str(TELL(&p, "entitlement"), "full");
    assert_null(TELL(&p, "subscription").p);
    assert_null(TELL(&p, "trial_ends_at").p);
    assert_null(TELL(&p, "changes_at").p);
    told(&p);
    is_done(&p);

    /* nobody has told how it goes on, so it owes */
    begin(&p);
    ANSWER(&p, A, "5", "pro", "active", ago, NULL, "604800000000",
           "1209600000000", NULL, S_1);
    unit_assert_str(TELL(&p, "entitlement"), "read_only");
    snprintf(text, sizeof(text), "%lld", (long long) (NOW + 13 * DAY));
    unit_assert_str(TELL(&p, "changes_at"), text);
    assert_null(TELL(&p, "trial_ends_at").p);
    told(&p);
    is_done(&p);

    /* what the platform grants ends before */
    begin(&p);
    ANSWER(&p, A, "6", "pro", "past_due", ago, NULL, "604800000000",
           "1209600000000", ahead, S_1);
    unit_assert_str(TELL(&p, "changes_at"), ahead);
    told(&p);
    is_done(&p);
}


/* As many as there are, in one job or in several. */
static void
test_many_are_due(void **state)
{
    play p;
    unsigned i, round;
    char ids[50][40];
    const char *texts[50 * COLUMNS] = { NULL };

    (void) state;
    begin(&p);

    for (i = 0; i < 50; i++) {
        snprintf(ids[i], sizeof(ids[i]),
                 "0192f0c0-0000-7000-8000-0000000001%02u", i);
        texts[i * COLUMNS] = ids[i];
        texts[i * COLUMNS + 1] = "1";
    }

    for (round = 0; round < 20; round++) {
        asks(&p);
        answer(&p, texts, 50, COLUMNS);

        for (i = 0; i < 50; i++) {
            unit_assert_str(TELL(&p, "acting"), ids[i]);
            told(&p);
        }
    }

    assert_int_equal(p.want->batch->n, 3);
    assert_ptr_equal(p.want->batch->queries[1].stmt,
                     &tn__q_entitlement_more.stmt);
    is_done(&p);
}


static void
test_what_cant_be_read(void **state)
{
    play p;

    (void) state;
    begin(&p);
    ANSWER(&p, A, "4", "pro", "past_due", "yesterday", NULL, "604800000000",
           "1209600000000", NULL, S_1);
    unit_assert_str(param(&p, 1, &tn__q_job_failed, "error"),
                    "what is due can't be read");
    unit_arena_free(&p.arena);
}


/* One whom telling fails is put off, the others are told, and it is said. */
static void
test_one_cant_be_told(void **state)
{
    play p;
    tn_reply reply = { .outcome = TN_DB_ERROR, .sqlstate = "22008" };
    tn_input input = { .reply = &reply };

    (void) state;
    begin(&p);
    ANSWER(&p, A, "4", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, B, "9",
           NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    unit_assert_str(TELL(&p, "acting"), A);
    p.want = tn_work_step(p.work, &input);

    unit_assert_str(param(&p, 0, &tn__q_job_hold, "acting"), A);
    unit_assert_str(param(&p, 1, &tn__q_entitlement_put_off, "acting"), A);
    unit_assert_str(param(&p, 1, &tn__q_entitlement_put_off, "seen"), "4");
    told(&p);

    unit_assert_str(TELL(&p, "acting"), B);
    told(&p);
    unit_assert_str(param(&p, 1, &tn__q_job_failed, "error"),
                    "not all tenants could be told; they are looked at again "
                    "in an hour");
    unit_arena_free(&p.arena);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_is_due),
        cmocka_unit_test(test_each_is_told),
        cmocka_unit_test(test_many_are_due),
        cmocka_unit_test(test_what_cant_be_read),
        cmocka_unit_test(test_one_cant_be_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
