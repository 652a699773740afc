/*
 * gate.c: what a tenant's plan allows. It is asked behind the role, since who
 * may not do something isn't told what it would cost, and in front of the body.
 *
 *   entitled      what is served
 *   trial, full,
 *   grace         all that the plan's features allow
 *   read_only     what reads (GET, and what says so: `in_read_only`), and what
 *                 takes something of the platform's away
 *   suspended,
 *   none          only the latter, and what is needed to pay
 *
 * One's own account is served in any case (whatever needs no permission: me,
 * sessions, passwords), and so is all that says so (`unpaid`).
 * tn__endpoint_paid() (model/model.h) tells them apart.
 */

#include "libcore/billing/billing.h"


static int
is_read(const tn__endpoint *e)
{
    return e->in_read_only || tn__eq(e->method, TN_STR("GET"));
}


static const char *
due(const tn__plan *plan, const tn__endpoint *e)
{
    switch (plan->entitled) {
    case TN__ENTITLED_NONE:
        return "This organization has no plan: its owner can choose one.";
    case TN__ENTITLED_SUSPENDED:
        return "This organization is suspended until it is paid for: its "
               "owner can see to that.";
    case TN__ENTITLED_READ_ONLY:
        return is_read(e) ? NULL
                          : "This organization is read-only until it is paid "
                            "for: its owner can see to that.";
    default:
        return NULL;
    }
}


/* `feature` is a number of the catalogue's and one. */
static int
has_feature(tn_op *op, unsigned feature)
{
    tn_str detail, parts[5];

    if (tn__plan_has(op->plan, feature - 1)) {
        return 1;
    }

    parts[0] = TN_STR("This needs the feature \"");
    parts[1] = op->catalogue->features[feature - 1];
    parts[2] = TN_STR("\", which the plan \"");
    parts[3] = op->plan->name;
    parts[4] = TN_STR("\" doesn't have.");

    if (tn__cat(&detail, parts, 5, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    op->reason = parts[1];
    tn__fail_str(op, TN_E_FEATURE_REQUIRED, detail);

    return 0;
}


int
tn__plan_admits(tn_op *op)
{
    const char *why;
    const tn__endpoint *e;

    if (op->plan == NULL || op->plan->name.n == 0) {
        return 1;
    }

    e = op->endpoint;
    why = due(op->plan, e);

    if (why && tn__endpoint_paid(e)) {
        tn__fail(op, TN_E_PAYMENT_REQUIRED, why);
        return 0;
    }

    return (e->feature == 0 || has_feature(op, e->feature)) &&
           (e->also_feature == 0 || has_feature(op, e->also_feature));
}


void
tn__seats_bind(tn_op *op)
{
    if (op->plan == NULL || op->plan->limits[TN__METER_SEATS].hard < 0) {
        tn__local(op, TN_STR("seats"), TN_NULL);
    } else {
        tn__local_int(op, TN_STR("seats"),
                      op->plan->limits[TN__METER_SEATS].hard);
    }
}


static void
bind_limit(tn_op *op, tn_str name, int64_t limit)
{
    if (limit < 0) {
        tn__local(op, name, TN_NULL);
    } else {
        tn__local_int(op, name, limit);
    }
}


void
tn__unit_bind(tn_op *op)
{
    const tn__limit *limit;

    if (op->endpoint->unit == NULL || op->plan == NULL ||
        op->plan->name.n == 0) {
        return;
    }

    limit = &op->plan->limits[op->endpoint->unit->number];
    bind_limit(op, TN_STR("unit_soft"), limit->soft);
    bind_limit(op, TN_STR("unit_hard"), limit->hard);
    tn__local(op, TN_STR("unit_period"),
              limit->soft < 0 && limit->hard < 0 ? TN_NULL
              : limit->period == TN_PERIOD_NONE
                  ? tn__period_names[TN_PERIOD_MONTH]
                  : tn__period_names[limit->period]);
}
