/*
 * plan.c: the plan of a request's tenant: out of the database's rows, and into
 * the zone and out of it again.
 *
 * In the zone it is a few fixed bytes, so that reading it costs no more than
 * copying them:
 *
 *     stamp 16      of the tenant's access: the plan counts under that alone
 *     catalogue 8   whose numbers features and limits have
 *     until 8       from then on it entitles to something else
 *     entitled 1, name 1 + n, features 32, subscription 36, limits 17 each
 */

#include "libcore/billing/billing.h"

/* What tenon.find_plan() answers. */
enum {
    PLAN,
    STATUS,
    OWING_SINCE,
    TRIAL_ENDS,
    GRACE,
    READ_ONLY,
    ENDS,         /* the row counts until then */
    FEATURES,     /* "calls,exports" */
    LIMITS,       /* "api_calls:800:1000:month;seats::5:" */
    SUBSCRIPTION, /* by which it is so, if it is by one */
};

#define HEAD          (TN__STAMP_LEN + 2 * sizeof(uint64_t) + 2)
#define PLAN_NAME_MAX 63 /* as the table has it */

_Static_assert(HEAD + PLAN_NAME_MAX + TN__FEATURES_MAX / 8 + TN__UUID_TEXT +
                       TN__METERS_MAX * (2 * sizeof(int64_t) + 1) <=
                   TN_ZONE_VALUE_MAX,
               "a plan fits a cell");


/* Of several subscriptions the one that entitles to most counts: who has paid
 * once isn't held to what else is owed. */
static const unsigned char worth[TN__ENTITLED_STATES] = {
    [TN__ENTITLED_SUSPENDED] = 1, [TN__ENTITLED_READ_ONLY] = 2,
    [TN__ENTITLED_GRACE] = 3,     [TN__ENTITLED_TRIAL] = 4,
    [TN__ENTITLED_FULL] = 5,
};


/* A number, or what stands for there being none; 0 when it is no number. */
static int
number(int64_t *out, tn_str text, int64_t none)
{
    *out = none;

    return text.n == 0 || tn__int_parse(out, text);
}


static void
read_features(tn__plan *plan, const tn_catalogue *cat, tn_str list)
{
    unsigned i;
    tn_str name;

    while (list.n) {
        name = tn__split(&list, ',');

        for (i = 0; i < cat->nfeatures; i++) {
            if (tn__eq(name, cat->features[i])) {
                plan->features[i / 8] |= (unsigned char) (1u << (i % 8));
                break;
            }
        }
    }
}


/* "month" → 'm'; a limit of no period is on how many there are. */
static char
period(tn_str name)
{
    return name.n ? name.p[0] : '\0';
}


static int
read_limit(tn__plan *plan, const tn_catalogue *cat, tn_str text)
{
    unsigned i;
    tn__limit limit;
    tn_str name, soft, hard;

    name = tn__split(&text, ':');
    soft = tn__split(&text, ':');
    hard = tn__split(&text, ':');

    if (!number(&limit.soft, soft, -1) || !number(&limit.hard, hard, -1)) {
        return 0;
    }

    limit.period = period(text);

    for (i = 0; i < cat->nmeters; i++) {
        if (tn__eq(name, cat->meters[i])) {
            plan->limits[i] = limit;
            break;
        }
    }

    return 1;
}


static int
read_limits(tn__plan *plan, const tn_catalogue *cat, tn_str list)
{
    while (list.n) {
        if (!read_limit(plan, cat, tn__split(&list, ';'))) {
            return 0;
        }
    }

    return 1;
}


static void
clear(tn__plan *plan)
{
    unsigned i;

    memset(plan, 0, sizeof(*plan));
    plan->name = TN_STR("");
    plan->until = TN__NEVER;

    for (i = 0; i < TN__METERS_MAX; i++) {
        plan->limits[i] = (tn__limit){ .soft = -1, .hard = -1 };
    }
}


/* 0 when it can't be read. */
static int
read_row(tn__plan *plan, const tn_op *op, const tn_rows *rows, unsigned row)
{
    int64_t ends;
    tn__dues dues;

#define CELL(col) tn__cell(rows, row, col)

    if (!number(&dues.owing_since, CELL(OWING_SINCE), TN__NEVER) ||
        !number(&dues.trial_ends, CELL(TRIAL_ENDS), TN__NEVER) ||
        !number(&dues.grace, CELL(GRACE), TN__NEVER) ||
        !number(&dues.read_only, CELL(READ_ONLY), TN__NEVER) ||
        !number(&ends, CELL(ENDS), TN__NEVER)) {
        return 0;
    }

    clear(plan);
    dues.state = tn__billing_parse(CELL(STATUS));
    plan->entitled = tn__entitled_at(&plan->until, &dues, op->request->now);
    plan->name = CELL(PLAN);
    read_features(plan, op->catalogue, CELL(FEATURES));

    if (plan->name.n > PLAN_NAME_MAX ||
        !read_limits(plan, op->catalogue, CELL(LIMITS))) {
        return 0;
    }

    if (CELL(SUBSCRIPTION).n == TN__UUID_TEXT) {
        memcpy(plan->subscription, CELL(SUBSCRIPTION).p, TN__UUID_TEXT);
    }

    if (ends < plan->until) {
        plan->until = ends;
    }

#undef CELL

    return 1;
}


/* Whether a row behind the one that counts so far counts in its place. */
static int
counts_before(const tn__plan *row, const tn__plan *plan)
{
    return plan->name.n == 0 || plan->entitled == TN__ENTITLED_NONE ||
           (plan->subscription[0] && row->subscription[0] &&
            worth[row->entitled] > worth[plan->entitled]);
}


tn_err
tn__plan_read(tn__plan *plan, tn_op *op, const tn_rows *rows)
{
    unsigned i;
    tn__plan row, subscribed;

    clear(plan);
    clear(&subscribed);
    plan->entitled = TN__ENTITLED_FULL;

    for (i = 0; i < rows->nrows; i++) {
        if (!read_row(&row, op, rows, i)) {
            tn__log(op, TN_STR("a tenant's plan can't be read"));
            return TN_E_INTERNAL;
        }

        if (row.subscription[0] && counts_before(&row, &subscribed)) {
            subscribed = row;
        }

        if (counts_before(&row, plan)) {
            *plan = row;
        }
    }

    /* also where the platform grants another plan instead */
    memcpy(plan->subscription, subscribed.subscription, TN__UUID_TEXT);

    return tn__dup(&plan->name, plan->name, op->mem);
}


static void
put(tn__buf *out, const void *p, size_t n)
{
    tn__buf_add(out, (tn_str){ p, n });
}


tn_err
tn__plan_pack(tn_str *out, tn_op *op, const tn__plan *plan, tn_str stamp)
{
    unsigned i;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, TN_ZONE_VALUE_MAX);
    tn__buf_add(&buf, stamp);
    put(&buf, &op->catalogue->version, sizeof(uint64_t));
    put(&buf, &plan->until, sizeof(int64_t));
    tn__buf_char(&buf, (char) plan->entitled);
    tn__buf_char(&buf, (char) plan->name.n);
    tn__buf_add(&buf, plan->name);
    put(&buf, plan->features, sizeof(plan->features));
    put(&buf, plan->subscription, TN__UUID_TEXT);

    for (i = 0; i < op->catalogue->nmeters; i++) {
        put(&buf, &plan->limits[i].soft, sizeof(int64_t));
        put(&buf, &plan->limits[i].hard, sizeof(int64_t));
        tn__buf_char(&buf, plan->limits[i].period);
    }

    return tn__buf_str(out, &buf);
}


static int
take(void *out, tn_str *rest, size_t n)
{
    if (rest->n < n) {
        return 0;
    }

    memcpy(out, rest->p, n);
    *rest = (tn_str){ rest->p + n, rest->n - n };

    return 1;
}


static int
take_limits(tn__plan *plan, tn_str *rest, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (!take(&plan->limits[i].soft, rest, sizeof(int64_t)) ||
            !take(&plan->limits[i].hard, rest, sizeof(int64_t)) ||
            !take(&plan->limits[i].period, rest, 1)) {
            return 0;
        }
    }

    return rest->n == 0;
}


int
tn__plan_unpack(tn__plan *plan, tn_op *op, tn_str stamp, tn_str value)
{
    uint64_t version;
    unsigned char head[2];
    tn_str name;

    if (value.p == NULL || stamp.p == NULL || !tn__starts(value, stamp)) {
        return 0;
    }

    clear(plan);
    value = tn__sub(value, stamp.n, value.n);

    if (!take(&version, &value, sizeof(version)) ||
        version != op->catalogue->version ||
        !take(&plan->until, &value, sizeof(plan->until)) ||
        plan->until <= op->request->now || !take(head, &value, sizeof(head)) ||
        head[0] >= TN__ENTITLED_STATES || value.n < head[1]) {
        return 0;
    }

    plan->entitled = head[0];
    name = tn__sub(value, 0, head[1]);
    value = tn__sub(value, head[1], value.n);

    if (!take(plan->features, &value, sizeof(plan->features)) ||
        !take(plan->subscription, &value, TN__UUID_TEXT) ||
        !take_limits(plan, &value, op->catalogue->nmeters)) {
        return 0;
    }

    if (tn__dup(&plan->name, name, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    return 1;
}


int
tn__plan_has(const tn__plan *plan, unsigned feature)
{
    return plan->name.n == 0 ||
           (plan->features[feature / 8] >> (feature % 8) & 1);
}
