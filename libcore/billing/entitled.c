/*
 * entitled.c: what a tenant may do, by what its provider says and since when
 * it owes.
 *
 *   word                      entitles to
 *   none, incomplete,
 *   incomplete_expired,
 *   canceled                  none: the next plan that there is for it
 *   trialing                  trial; behind its end as past_due since then, but
 *                             for an hour's grace at least: the provider tells
 *                             of the payment when it has it
 *   active                    full; once its period is long over, and nobody told
 *                             how it goes on, as past_due since then
 *   past_due, other           grace, read_only, suspended, one after the other
 *   unpaid, paused            the same, but no grace any more
 *
 * How long grace and read_only last, the plan declares. Whoever pays is back at
 * full at once. A word that isn't known is no reason to cut somebody off, nor
 * to serve them for ever.
 */

#include "libcore/billing/billing.h"

#define SLACK INT64_C(3600000000)


/* clang-format off */
static const tn_str names[TN__ENTITLED_STATES] = {
    [TN__ENTITLED_NONE]      = TN_STR_C("none"),
    [TN__ENTITLED_TRIAL]     = TN_STR_C("trial"),
    [TN__ENTITLED_FULL]      = TN_STR_C("full"),
    [TN__ENTITLED_GRACE]     = TN_STR_C("grace"),
    [TN__ENTITLED_READ_ONLY] = TN_STR_C("read_only"),
    [TN__ENTITLED_SUSPENDED] = TN_STR_C("suspended"),
};
/* clang-format on */

/* Of several subscriptions the one that entitles to most counts: who has paid
 * once isn't held to what else is owed. */
static const unsigned char worth[TN__ENTITLED_STATES] = {
    [TN__ENTITLED_SUSPENDED] = 1, [TN__ENTITLED_READ_ONLY] = 2,
    [TN__ENTITLED_GRACE] = 3,     [TN__ENTITLED_TRIAL] = 4,
    [TN__ENTITLED_FULL] = 5,
};


static int64_t
later(int64_t at, int64_t span)
{
    int64_t end;

    return at == TN__NEVER || span == TN__NEVER ||
                   __builtin_add_overflow(at, span, &end)
               ? TN__NEVER
               : end;
}


/* Since when it owes isn't known: what is first stays. */
static tn__entitled
dunning(int64_t *until, const tn__dues *dues, int64_t since, int64_t now,
        int graceless)
{
    int64_t grace_ends, read_only_ends;

    grace_ends = later(since, dues->grace);
    read_only_ends = later(grace_ends, dues->read_only);

    /* a plan that grants grace for ever goes on to read-only all the same,
     * once its provider has given up */
    if (graceless && grace_ends == TN__NEVER) {
        read_only_ends = later(since, dues->read_only);
    }

    if (!graceless && now < grace_ends) {
        *until = grace_ends;
        return TN__ENTITLED_GRACE;
    }

    if (now < read_only_ends) {
        *until = read_only_ends;
        return TN__ENTITLED_READ_ONLY;
    }

    *until = TN__NEVER;

    return TN__ENTITLED_SUSPENDED;
}


tn__entitled
tn__entitled_at(int64_t *until, const tn__dues *dues, int64_t now)
{
    tn__dues late;

    *until = TN__NEVER;

    switch (dues->state) {

    case TN__BILLING_TRIALING:
        if (now < dues->trial_ends) {
            *until = dues->trial_ends;
            return TN__ENTITLED_TRIAL;
        }

        late = *dues;
        late.grace = dues->grace < SLACK ? SLACK : dues->grace;

        return dunning(until, &late, dues->trial_ends, now, 0);

    case TN__BILLING_ACTIVE:
        if (now < dues->owing_since) {
            return TN__ENTITLED_FULL;
        }

        return dunning(until, dues, dues->owing_since, now, 0);

    case TN__BILLING_PAST_DUE:
    case TN__BILLING_OTHER:
        return dunning(until, dues, dues->owing_since, now, 0);

    case TN__BILLING_UNPAID:
    case TN__BILLING_PAUSED:
        return dunning(until, dues, dues->owing_since, now, 1);

    default:
        return TN__ENTITLED_NONE;
    }
}


tn_str
tn__entitled_name(tn__entitled entitled)
{
    return names[entitled];
}


int
tn__entitled_counts_before(tn__entitled row, int subscribed,
                           tn__entitled so_far, int subscribed_so_far)
{
    return so_far == TN__ENTITLED_NONE ||
           (subscribed && subscribed_so_far && worth[row] > worth[so_far]);
}


static int
time_or_never(int64_t *out, tn_str text)
{
    *out = TN__NEVER;

    return text.n == 0 || tn__int_parse(out, text);
}


int
tn__dues_read(tn__dues *dues, const tn_rows *rows, unsigned row, unsigned first)
{
    dues->state = tn__billing_parse(tn__cell(rows, row, first));

    return time_or_never(&dues->owing_since, tn__cell(rows, row, first + 1)) &&
           time_or_never(&dues->trial_ends, tn__cell(rows, row, first + 2)) &&
           time_or_never(&dues->grace, tn__cell(rows, row, first + 3)) &&
           time_or_never(&dues->read_only, tn__cell(rows, row, first + 4));
}
