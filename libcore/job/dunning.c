/*
 * dunning.c: the kind "billing.entitlements": tenants are told when what their
 * plan entitles them to has changed, by what somebody said or by time alone.
 *
 *     ask       which are due, and what their plans may be    tenant -
 *     tell      what it is now, one tenant after the other    tenant A
 *     tell                                                    tenant B
 *     ask       …until none is due                            tenant -
 *
 * Requests don't depend on it: they work that out anew (billing/plan.c), by the same
 * function. What was worked out here counts only if its tenant's row is the one
 * that was read: so each change is told once, however many look at the same time
 * and however often a batch is sent.
 */

#include "libcore/billing/billing.h"
#include "libcore/job/job.h"
#include "gen/queries.h"

#define AT_ONCE    50
#define ROUNDS_MAX 20 /* then another job goes on: this one's memory grows */

/* What entitlement_due answers: of each tenant what find_plan() does. */
enum {
    TENANT_ID,
    VERSION,
    PLAN, /* absent: nothing is billed */
    STATUS,
    TRIAL_ENDS = STATUS + 2,
    ENDS = STATUS + 5, /* the row counts until then */
    SUBSCRIPTION,
};

typedef struct due {
    tn_str tenant, version, plan, subscription;
    tn__entitled entitled;
    int64_t until;
    tn_str trial_ends; /* of the row that counts */
} due;

typedef struct dunning {
    due tenants[AT_ONCE];
    unsigned n;
    unsigned told;
    unsigned rounds;
    unsigned failed;
} dunning;

enum {
    STATE_ASK,
    STATE_TELL,
    STATE_PUT_OFF,
};


static void
ask(tn_work *work)
{
    tn__work_tenant(work, TN_NULL);
    tn__work_batch(work);
    tn__work_local_int(work, TN_STR("most"), AT_ONCE);
    tn__work_add(work, &tn__q_entitlement_due);
    tn__work_want_db(work);
}


/* 0 when the row can't be read. */
static int
read_row(due *d, const tn_rows *rows, unsigned row, int64_t now)
{
    int64_t ends = TN__NEVER;
    tn__dues dues;
    tn_str text = tn__work_cell(rows, row, ENDS);

    if (!tn__dues_read(&dues, rows, row, STATUS) ||
        (text.n && !tn__int_parse(&ends, text))) {
        return 0;
    }

    memset(d, 0, sizeof(due));
    d->tenant = tn__work_cell(rows, row, TENANT_ID);
    d->version = tn__work_cell(rows, row, VERSION);
    d->plan = tn__work_cell(rows, row, PLAN);
    d->subscription = tn__work_cell(rows, row, SUBSCRIPTION);
    d->until = TN__NEVER;
    d->entitled =
        d->plan.p ? tn__entitled_at(&d->until, &dues, now) : TN__ENTITLED_FULL;

    if (d->entitled == TN__ENTITLED_TRIAL) {
        d->trial_ends = tn__work_cell(rows, row, TRIAL_ENDS);
    }

    if (ends < d->until) {
        d->until = ends;
    }

    return 1;
}


static int
read_due(tn_work *work, dunning *all, const tn_rows *rows)
{
    due d, *last;
    unsigned i;

    all->n = all->told = 0;

    for (i = 0; i < rows->nrows; i++) {
        if (!read_row(&d, rows, i, work->now)) {
            return 0;
        }

        last = all->n ? &all->tenants[all->n - 1] : NULL;

        if (last == NULL || !tn__eq(last->tenant, d.tenant)) {
            if (all->n == AT_ONCE) {
                return 0;
            }

            all->tenants[all->n++] = d;

        } else if (tn__entitled_counts_before(
                       d.entitled, d.subscription.p != NULL, last->entitled,
                       last->subscription.p != NULL)) {
            *last = d;
        }
    }

    return 1;
}


/* Rows are there until the next step only. */
static int
keep_text(tn_work *work, dunning *all)
{
    unsigned i, j;

    for (i = 0; i < all->n; i++) {
        due *d = &all->tenants[i];
        tn_str *texts[] = { &d->tenant, &d->version, &d->plan, &d->subscription,
                            &d->trial_ends };

        for (j = 0; j < sizeof(texts) / sizeof(texts[0]); j++) {
            if (texts[j]->p &&
                tn__dup(texts[j], *texts[j], work->mem) != TN_OK) {
                tn__work_fail(work, TN_STR("out of memory"), 0);
                return 0;
            }
        }
    }

    return 1;
}


static void
tell(tn_work *work, const due *d)
{
    tn__work_tenant(work, d->tenant);
    tn__work_local(work, TN_STR("seen"), d->version);
    tn__work_local(work, TN_STR("plan"), d->plan);
    tn__work_local(work, TN_STR("entitlement"), tn__entitled_name(d->entitled));
    tn__work_local(work, TN_STR("subscription"), d->subscription);
    tn__work_local(work, TN_STR("trial_ends_at"), d->trial_ends);
    tn__work_local(work, TN_STR("changes_at"), TN_NULL);

    if (d->until != TN__NEVER) {
        tn__work_local_int(work, TN_STR("changes_at"), d->until);
    }

    tn__work_batch(work);
    tn__work_add(work, &tn__q_entitlement_tell);
    tn__work_want_db(work);
}


/* One who can't be told keeps nobody else waiting. */
static void
put_off(tn_work *work, dunning *all)
{
    all->failed++;
    work->state = STATE_PUT_OFF;
    tn__work_batch(work);
    tn__work_add(work, &tn__q_entitlement_put_off);
    tn__work_want_db(work);
}


static void
end(tn_work *work, const dunning *all, int more)
{
    tn__work_tenant(work, TN_NULL);

    if (all->failed) {
        tn__work_fail(work,
                      TN_STR("not all tenants could be told; they are looked "
                             "at again in an hour"),
                      0);
        return;
    }

    if (more) {
        tn__work_batch(work);
        tn__work_add(work, &tn__q_entitlement_more);
    }

    tn__work_done(work);
}


static void
next(tn_work *work, dunning *all)
{
    if (all->told < all->n) {
        work->state = STATE_TELL;
        tell(work, &all->tenants[all->told++]);
        return;
    }

    work->state = STATE_ASK;

    /* What was told meanwhile may have become due again by then. */
    if (all->n < AT_ONCE || all->rounds == ROUNDS_MAX) {
        end(work, all, all->n == AT_ONCE);
        return;
    }

    ask(work);
}


static void
entitlements(tn_work *work, const tn_input *input)
{
    dunning *all = work->data;
    const tn_rows *rows;

    if (all == NULL) {
        all = work->data = tn__zalloc(work->mem, sizeof(dunning));

        if (all == NULL) {
            tn__work_fail(work, TN_STR("out of memory"), 0);
            return;
        }

        ask(work);
        return;
    }

    if (work->state == STATE_TELL && input->reply->outcome == TN_DB_ERROR) {
        put_off(work, all);
        return;
    }

    rows = tn__work_rows(work, input, 0);
    if (rows == NULL) {
        return;
    }

    if (work->state == STATE_ASK) {
        all->rounds++;

        if (!read_due(work, all, rows)) {
            tn__work_fail(work, TN_STR("what is due can't be read"), 0);
            return;
        }

        if (!keep_text(work, all)) {
            return;
        }
    }

    next(work, all);
}


const tn__work_kind tn__entitlements_kind = {
    .kind = TN_STR_C("billing.entitlements"),
    .step = entitlements,
    .attempts = 8,
    .yields = 1,
    .every = 60,
};
