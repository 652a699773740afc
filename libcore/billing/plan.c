/*
 * plan.c: the plan of a request's tenant: out of the database's rows, and into
 * the zone and out of it again.
 *
 * Every request reads it there, so that has to cost no more than copying it:
 *
 *     stamp 16      of the tenant's access: the plan counts under that alone
 *     catalogue 8   whose numbers features and limits have
 *     facts         tn__plan's members from `entitled` on, as they lie in memory
 *     limits 16     each of the catalogue's units, the same
 *     name 1 + n
 *     policy 1 + n  where there is room for it; else it is written anew
 */

#include "libcore/billing/billing.h"

#define SECOND INT64_C(1000000)

/* What tenon.find_plan() answers. */
enum {
    PLAN,
    STATUS, /* and what else decides: tn__dues_read() */
    OWING_SINCE,
    TRIAL_ENDS,
    GRACE,
    READ_ONLY,
    ENDS,         /* the row counts until then */
    FEATURES,     /* "calls,exports" */
    LIMITS,       /* "api_calls:800:1000:month;seats::5:" */
    SUBSCRIPTION, /* by which it is so, if it is by one */
    MONTH_BEGINS,
    MONTH_ENDS,
};

/* Where its facts begin and end, in memory and in the zone. */
#define FACTS     offsetof(tn__plan, entitled)
#define FACTS_LEN (offsetof(tn__plan, limits) - FACTS)
#define HEAD      (TN__STAMP_LEN + sizeof(uint64_t))
#define LIMIT_LEN sizeof(tn__limit)

_Static_assert(HEAD + FACTS_LEN + TN__METERS_MAX * LIMIT_LEN + 2 +
                       TN__PLAN_NAME_MAX <=
                   TN_ZONE_VALUE_MAX,
               "a plan fits a cell");
_Static_assert(LIMIT_LEN == 16 && HEAD == 3 * sizeof(uint64_t),
               "they are copied as they lie");
_Static_assert(TN__POLICY_MAX <= UINT8_MAX, "its length is a byte");


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


/* 0 when there is no such period; none is on how many there are. */
static int
read_period(tn_period *period, tn_str name)
{
    tn_period i;

    *period = TN_PERIOD_NONE;

    if (name.n == 0) {
        return 1;
    }

    for (i = TN_PERIOD_MINUTE; i <= TN_PERIOD_MONTH; i++) {
        if (tn__eq(name, tn__period_names[i])) {
            *period = i;
            return 1;
        }
    }

    return 0;
}


static int
read_limit(tn__plan *plan, const tn_catalogue *cat, tn_str text)
{
    unsigned i;
    int64_t most;
    tn_period period;
    tn__limit limit;
    tn_str name, soft, hard;

    name = tn__split(&text, ':');
    soft = tn__split(&text, ':');
    hard = tn__split(&text, ':');

    if (!number(&limit.soft, soft, -1) || !number(&most, hard, -1) ||
        !read_period(&period, text)) {
        return 0;
    }

    limit.hard = most < TN__LIMIT_MAX ? most : TN__LIMIT_MAX;
    limit.period = period;

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
    plan->name = plan->policy = TN_STR("");
    plan->until = plan->month_ends = TN__NEVER;

    for (i = 0; i < TN__METERS_MAX; i++) {
        plan->limits[i] = (tn__limit){ .soft = -1, .hard = -1 };
    }
}


static char *
put(char *p, tn_str s)
{
    memcpy(p, s.p, s.n);

    return p + s.n;
}


/* What it counts requests by, and what they are told of that (the IETF's
 * draft-ietf-httpapi-ratelimit-headers-11): so many in so many seconds. */
static void
set_policy(tn__plan *plan, const tn_catalogue *cat, char *text)
{
    char *p;
    unsigned i;
    const tn__limit *limit;

    p = text;

    for (i = TN__COUNTED_FIRST; i <= TN__COUNTED_LAST; i++) {
        limit = &plan->limits[i];

        if ((limit->soft < 0 && limit->hard < 0) ||
            limit->period == TN_PERIOD_NONE) {
            continue;
        }

        plan->counts |= (1u << i);

        if (limit->hard < 0) {
            continue;
        }

        p = put(p, p > text ? TN_STR(", \"") : TN_STR("\""));
        p = put(p, cat->meters[i]);
        p = put(p, TN_STR("\";q="));
        p = tn__digits(p, (uint64_t) limit->hard);
        p = put(p, TN_STR(";w="));
        p = tn__digits(p, (uint64_t) tn__limit_span(plan, limit) / SECOND);
    }

    plan->policy = (tn_str){ text, (size_t) (p - text) };
}


int64_t
tn__limit_span(const tn__plan *plan, const tn__limit *limit)
{
    static const int64_t spans[TN_PERIOD_MONTH] = {
        [TN_PERIOD_MINUTE] = 60 * SECOND,
        [TN_PERIOD_HOUR] = 3600 * SECOND,
        [TN_PERIOD_DAY] = 86400 * SECOND,
    };

    return limit->period == TN_PERIOD_MONTH
               ? plan->month_ends - plan->month_begins
               : spans[limit->period];
}


/* 0 when it can't be read. */
static int
read_row(tn__plan *plan, const tn_op *op, const tn_rows *rows, unsigned row)
{
    int64_t ends;
    tn__dues dues;

#define CELL(col) tn__cell(rows, row, col)

    if (!tn__dues_read(&dues, rows, row, STATUS) ||
        !number(&ends, CELL(ENDS), TN__NEVER)) {
        return 0;
    }

    clear(plan);

    if (!tn__int_parse(&plan->month_begins, CELL(MONTH_BEGINS)) ||
        !tn__int_parse(&plan->month_ends, CELL(MONTH_ENDS))) {
        return 0;
    }

    plan->entitled = tn__entitled_at(&plan->until, &dues, op->request->now);
    plan->name = CELL(PLAN);
    read_features(plan, op->catalogue, CELL(FEATURES));

    if (plan->name.n > TN__PLAN_NAME_MAX ||
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
    return plan->name.n == 0 ||
           tn__entitled_counts_before(
               row->entitled, row->subscription[0] != '\0', plan->entitled,
               plan->subscription[0] != '\0');
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
    plan->read_at = op->request->now;
    set_policy(plan, op->catalogue, plan->text);

    return tn__dup(&plan->name, plan->name, op->mem);
}


tn_err
tn__plan_pack(tn_str *out, tn_op *op, const tn__plan *plan, tn_str stamp)
{
    char *p;
    size_t limits;
    tn_str policy;

    p = tn__alloc(op->mem, TN_ZONE_VALUE_MAX);
    if (p == NULL) {
        return TN_E_NOMEM;
    }

    out->p = p;
    memcpy(p, stamp.p, TN__STAMP_LEN);
    memcpy(p + TN__STAMP_LEN, &op->catalogue->version, sizeof(uint64_t));
    p += HEAD;
    memcpy(p, (const char *) plan + FACTS, FACTS_LEN);
    p += FACTS_LEN;

    limits = op->catalogue->nmeters * LIMIT_LEN;
    memcpy(p, plan->limits, limits);
    p += limits;
    policy = plan->policy;

    if ((size_t) (p + 2 - out->p) + plan->name.n + policy.n >
        TN_ZONE_VALUE_MAX) {
        policy = TN_STR("");
    }

    *p++ = (char) plan->name.n;
    *p++ = (char) policy.n;
    p = put(put(p, plan->name), policy);
    out->n = (size_t) (p - out->p);

    return TN_OK;
}


/* Whether it lies there whole, and says something of this catalogue. */
static int
is_ours(const tn_op *op, tn_str stamp, tn_str value)
{
    size_t text;
    uint64_t head[3], of[2];

    text = HEAD + FACTS_LEN + op->catalogue->nmeters * LIMIT_LEN + 2;

    if (stamp.p == NULL || value.n < text ||
        value.n != text + (unsigned char) value.p[text - 2] +
                       (unsigned char) value.p[text - 1] ||
        (unsigned char) value.p[text - 2] > TN__PLAN_NAME_MAX ||
        (unsigned char) value.p[text - 1] > TN__POLICY_MAX) {
        return 0;
    }

    /* as numbers: memcmp() is a call */
    memcpy(head, value.p, HEAD);
    memcpy(of, stamp.p, TN__STAMP_LEN);

    return head[0] == of[0] && head[1] == of[1] &&
           head[2] == op->catalogue->version;
}


int
tn__plan_unpack(tn__plan *plan, const tn_op *op, tn_str stamp, tn_str value)
{
    size_t limits;
    const char *p;

    if (!is_ours(op, stamp, value)) {
        return 0;
    }

    p = value.p + HEAD;
    memcpy((char *) plan + FACTS, p, FACTS_LEN);
    p += FACTS_LEN;

    if (plan->until <= op->request->now ||
        plan->month_ends <= op->request->now ||
        plan->entitled >= TN__ENTITLED_STATES) {
        return 0;
    }

    limits = op->catalogue->nmeters * LIMIT_LEN;
    memcpy(plan->limits, p, limits);
    p += limits;
    plan->name = (tn_str){ plan->text, (unsigned char) p[0] };
    plan->policy = (tn_str){ plan->text + plan->name.n, (unsigned char) p[1] };
    memcpy(plan->text, p + 2, plan->name.n + plan->policy.n);

    if (plan->counts && plan->policy.n == 0) {
        set_policy(plan, op->catalogue, plan->text + plan->name.n);
    }

    return 1;
}


int
tn__plan_is_old(const tn__plan *plan, int64_t now)
{
    return now < plan->read_at || now - plan->read_at > TN__PLAN_FRESH;
}


int
tn__plan_has(const tn__plan *plan, unsigned feature)
{
    return plan->name.n == 0 ||
           (plan->features[feature / 8] >> (feature % 8) & 1);
}
