/*
 * take.c: a request is counted, behind role and plan and in front of its body:
 * one unit of each meter on which its tenant's plan has a limit, from all of
 * them or, where one has none left, from none.
 *
 *   state   does                                            then
 *   BEGIN   finds the meters and their periods; none: done  TAKEN
 *   TAKEN   hears what the host took: all of them: done;
 *           where one has none left, or no room: refused;
 *           where one isn't known, asks what was used       FOUND
 *   FOUND   hears it, and takes with that to begin with     TAKEN
 *
 * A quota is of a month, and who has used it up needs another plan: 402. A rate
 * is of less, and comes back by itself: 429.
 *
 * What costs nothing in the end is given back: the host hears so, and nobody
 * waits for what becomes of it.
 */

#include "libcore/usage/usage.h"
#include "gen/queries.h"

enum {
    BEGIN,
    TAKEN,
    FOUND,
};

/* A counter that is made takes one more round; one that is lost in between
 * takes another. */
#define ROUNDS_MAX 3

#define SECOND INT64_C(1000000)

_Static_assert(TN__COUNTED <= TN_METERS_MAX, "all are taken at once");

/* What is said of one: more than that isn't. */
#define LEFT_MAX (TN__POLICY_MAX / TN__COUNTED)

struct tn__usage {
    tn_meter meters[TN__COUNTED];
    unsigned numbers[TN__COUNTED]; /* theirs in the catalogue */
    int64_t used[TN__COUNTED];     /* -1: not known */
    unsigned n;
    unsigned rounds;
    int counted;
    char left[TN__COUNTED * LEFT_MAX]; /* RateLimit */
};


static void
set_period(tn_meter *meter, const tn__plan *plan, const tn__limit *limit,
           int64_t now)
{
    int64_t span;

    meter->period = limit->period;

    if (meter->period == TN_PERIOD_MONTH) {
        meter->begins = plan->month_begins;
        meter->ends = plan->month_ends;
        return;
    }

    span = tn__limit_span(plan, limit);
    meter->begins = now - now % span;
    meter->ends = meter->begins + span;
}


static void
find_meters(tn__usage *usage, tn_op *op)
{
    unsigned i;
    tn_meter *meter;
    const tn__limit *limit;

    for (i = TN__COUNTED_FIRST; i <= TN__COUNTED_LAST; i++) {
        if (!(op->plan->counts & (1u << i))) {
            continue;
        }

        limit = &op->plan->limits[i];
        usage->numbers[usage->n] = i;
        meter = &usage->meters[usage->n++];
        meter->name = op->catalogue->meters[i];
        meter->soft = limit->soft;
        meter->hard = limit->hard;
        meter->base = -1;
        set_period(meter, op->plan, limit, op->request->now);

        /* of a minute that begins nothing was used, and what was is heard of
         * with the next flush */
        if (meter->period == TN_PERIOD_MINUTE) {
            meter->base = 0;
        }

        memcpy(meter->tenant, op->plan->tenant, sizeof(meter->tenant));
    }
}


static void
want(tn_op *op, const tn__usage *usage, int units)
{
    op->want.kind = TN_WANT_METER;
    op->want.meter.meters = usage->meters;
    op->want.meter.n = usage->n;
    op->want.meter.units = units;
}


static void
want_one(tn_op *op, tn__usage *usage)
{
    usage->rounds++;
    want(op, usage, 1);
}


/* 1 when there is nothing to count. */
static int
begin(tn_op *op)
{
    tn__usage *usage;

    if (op->usage && op->usage->counted) {
        return 1;
    }

    op->usage = NULL;

    if (op->plan == NULL || op->plan->counts == 0 ||
        !tn__endpoint_counted(op->endpoint)) {
        return 1;
    }

    usage = tn__alloc(op->mem, sizeof(tn__usage));
    if (usage == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    usage->n = usage->rounds = 0;
    usage->counted = 0;
    op->usage = usage;

    find_meters(usage, op);
    want_one(op, usage);

    return 0;
}


/* ---- what clients are told ---- */

/* Whole seconds, and none too few. */
static int64_t
seconds_left(const tn_meter *meter, int64_t now)
{
    return meter->ends > now ? (meter->ends - now + SECOND - 1) / SECOND : 1;
}


/* RateLimit-Policy and RateLimit of what is refused beyond (the IETF's
 * draft-ietf-httpapi-ratelimit-headers-11), and known; none where nothing is.
 * Every request that is counted pays for this: what is as long in any case is
 * copied whole. */
static void
tell(tn_op *op, tn__usage *usage)
{
    char *p;
    unsigned i;
    int64_t unused;
    const tn_meter *meter;
    static const char heads[][16] = {
        [TN__METER_API_CALLS] = "\"" TN__NAME_API_CALLS "\";r=",
        [TN__METER_API_RATE] = "\"" TN__NAME_API_RATE "\";r=",
    };

    if (op->plan->policy.n == 0) {
        return;
    }

    p = usage->left;

    for (i = 0; i < usage->n; i++) {
        meter = &usage->meters[i];

        if (meter->hard < 0 || usage->used[i] < 0) {
            continue;
        }

        if (p > usage->left) {
            memcpy(p, ", ", 2);
            p += 2;
        }

        unused = meter->hard - usage->used[i];
        memcpy(p, heads[usage->numbers[i]], sizeof(heads[0]));
        p = tn__digits(p + meter->name.n + 5,
                       unused > 0 ? (uint64_t) unused : 0);
        memcpy(p, ";t=", 3);
        p = tn__digits(p + 3, (uint64_t) seconds_left(meter, op->request->now));
    }

    op->limits = op->plan->policy;
    op->limits_left = (tn_str){ usage->left, (size_t) (p - usage->left) };
}


static void
refuse(tn_op *op, const tn_meter *meter)
{
    int quota;
    tn_str detail;
    tn__buf buf, after;
    char at[TN__TIME_TEXT];

    quota = meter->period == TN_PERIOD_MONTH;
    tn__buf_init(&buf, op->mem, 160);
    tn__buf_lit(&buf, "The plan \"");
    tn__buf_add(&buf, op->plan->name);
    tn__buf_lit(&buf, "\" allows ");
    tn__buf_int(&buf, meter->hard);
    tn__buf_lit(&buf, " requests a ");
    tn__buf_add(&buf, tn__period_names[meter->period]);
    tn__buf_lit(&buf, ", and that is used up until ");
    tn__time_format(at, meter->ends);
    tn__buf_add(&buf, (tn_str){ at, TN__TIME_TEXT });
    tn__buf_add(&buf, quota ? TN_STR(": the owner can choose another one.")
                            : TN_STR("."));

    tn__buf_init(&after, op->mem, 24);
    tn__buf_int(&after, seconds_left(meter, op->request->now));

    if (tn__buf_str(&detail, &buf) != TN_OK ||
        tn__buf_str(&op->retry_after, &after) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    op->reason = meter->name;
    tn__fail_str(op, quota ? TN_E_PLAN_LIMIT : TN_E_RATE_LIMITED, detail);
}


/* ---- what the host says ---- */

/* Of those that have none left, the one for which is waited longest. */
static const tn_meter *
used_up(const tn__usage *usage, const tn_input *input)
{
    unsigned i;
    const tn_meter *over;

    over = NULL;

    for (i = 0; i < usage->n; i++) {
        if (input->meters[i].taken == TN_TAKEN_OVER &&
            (over == NULL || usage->meters[i].ends > over->ends)) {
            over = &usage->meters[i];
        }
    }

    return over;
}


static int
any(const tn__usage *usage, const tn_input *input, tn_taken taken)
{
    unsigned i;

    for (i = 0; i < usage->n; i++) {
        if (input->meters[i].taken == taken) {
            return 1;
        }
    }

    return 0;
}


static void
ask(tn_op *op, const tn__usage *usage)
{
    unsigned i, nlocals;
    tn__buf names, periods, begins;
    tn_str text[3];

    tn__buf_init(&names, op->mem, 64);
    tn__buf_init(&periods, op->mem, 64);
    tn__buf_init(&begins, op->mem, 64);

    for (i = 0; i < usage->n; i++) {
        tn__buf_char(&names, i ? ',' : '{');
        tn__buf_add(&names, usage->meters[i].name);
        tn__buf_char(&periods, i ? ',' : '{');
        tn__buf_add(&periods, tn__period_names[usage->meters[i].period]);
        tn__buf_char(&begins, i ? ',' : '{');
        tn__buf_int(&begins, usage->meters[i].begins);
    }

    tn__buf_char(&names, '}');
    tn__buf_char(&periods, '}');
    tn__buf_char(&begins, '}');

    if (tn__buf_str(&text[0], &names) != TN_OK ||
        tn__buf_str(&text[1], &periods) != TN_OK ||
        tn__buf_str(&text[2], &begins) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    /* what the role reaches is bound already, for the step */
    nlocals = op->nlocals;
    tn__local(op, TN_STR("meters"), text[0]);
    tn__local(op, TN_STR("periods"), text[1]);
    tn__local(op, TN_STR("begins"), text[2]);
    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, &tn__q_find_usage);
    tn__want_db(op);
    op->nlocals = nlocals;
}


/* Somebody may have written down less than this node has given back since. */
static int64_t
used(const tn_input *input, unsigned i)
{
    if (input->meters[i].taken == TN_TAKEN_UNKNOWN ||
        input->meters[i].taken == TN_TAKEN_FULL) {
        return -1;
    }

    return input->meters[i].used > 0 ? input->meters[i].used : 0;
}


/* One isn't known, or there is no room for it. */
static void
untaken(tn_op *op, tn__usage *usage, const tn_input *input)
{
    if (any(usage, input, TN_TAKEN_UNKNOWN) && usage->rounds < ROUNDS_MAX) {
        ask(op, usage);
        return;
    }

    tn__fail(op, TN_E_BUSY, NULL); /* the host has logged it, once */
}


/* 1 when all of it is taken. */
static int
taken(tn_op *op, tn__usage *usage, const tn_input *input)
{
    unsigned i, all;
    const tn_meter *over;

    if (input == NULL || input->failed) {
        tn__fail(op, input ? input->failed : TN_E_INTERNAL, NULL);
        return 0;
    }

    all = 1;

    for (i = 0; i < usage->n; i++) {
        usage->used[i] = used(input, i);
        all &= input->meters[i].taken == TN_TAKEN;
    }

    over = all ? NULL : used_up(usage, input);

    if (!all && over == NULL) {
        untaken(op, usage, input);
        return 0;
    }

    tell(op, usage);

    if (over) {
        refuse(op, over);
        return 0;
    }

    usage->counted = 1;

    return 1;
}


static void
found(tn_op *op, tn__usage *usage, const tn_input *input)
{
    unsigned i;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    for (i = 0; i < usage->n; i++) {
        if (!tn__int_parse(&usage->meters[i].base, tn__cell(rows, i, 0))) {
            tn__log(op, TN_STR("what a tenant has used can't be read"));
            tn__fail(op, TN_E_INTERNAL, NULL);
            return;
        }
    }

    want_one(op, usage);
}


int
tn__usage_refused(const tn_op *op)
{
    return op->usage && !op->usage->counted;
}


void
tn__usage_give_back(tn_op *op)
{
    unsigned i;
    tn__usage *usage;

    usage = op->usage;

    if (usage == NULL || !usage->counted) {
        return;
    }

    usage->counted = 0;

    for (i = 0; i < usage->n; i++) {
        usage->meters[i].base = -1; /* none is made for this */
        usage->used[i] -= usage->used[i] > 0;
    }

    tell(op, usage);

    if (op->limits_left.p) {
        tn__header_change(op, TN_STR("RateLimit"), op->limits_left);
    }

    want(op, usage, -1);
}


int
tn__usage_take(tn_op *op, const tn_input *input)
{
    switch (op->state) {

    case BEGIN:
        if (begin(op)) {
            return 1;
        }

        op->state = TAKEN;
        return 0;

    case TAKEN:
        if (taken(op, op->usage, input)) {
            op->state = 0;
            op->batch.n = 0;
            return 1;
        }

        op->state = FOUND;
        return 0;

    default:
        found(op, op->usage, input);
        op->state = TAKEN;
        return 0;
    }
}
