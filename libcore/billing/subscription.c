/*
 * subscription.c: what becomes of a subscription when its provider says what
 * it is now. The words are Stripe's; they come twice, late and out of order,
 * and some never come.
 *
 * Rows are what it is, columns what is said. `→` in docs/billing.md are the
 * steps; a skip is taken as well, since the word between may have got lost.
 * Nothing leads back to a beginning: who hears of one hears it late. Nothing
 * leads out of an end. A word that isn't known here is kept as it is (`other`)
 * and any other may follow it.
 */

#include "libcore/billing/billing.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* The columns are tn__billing's from INCOMPLETE on. */
#define SAID(state) ((state) -TN__BILLING_INCOMPLETE)

/* clang-format off */
static const tn_str states[TN__BILLING_STATES] = {
    [TN__BILLING_NONE]       = TN_STR_C("none"),
    [TN__BILLING_INCOMPLETE] = TN_STR_C("incomplete"),
    [TN__BILLING_EXPIRED]    = TN_STR_C("incomplete_expired"),
    [TN__BILLING_TRIALING]   = TN_STR_C("trialing"),
    [TN__BILLING_ACTIVE]     = TN_STR_C("active"),
    [TN__BILLING_PAST_DUE]   = TN_STR_C("past_due"),
    [TN__BILLING_UNPAID]     = TN_STR_C("unpaid"),
    [TN__BILLING_PAUSED]     = TN_STR_C("paused"),
    [TN__BILLING_CANCELED]   = TN_STR_C("canceled"),
    [TN__BILLING_OTHER]      = TN_STR_C("other"),
};

#define NONE(s)  TN__CELL(TN__MOVE_NONE,  TN__BILLING_##s)
#define STEP(s)  TN__CELL(TN__MOVE_STEP,  TN__BILLING_##s)
#define SKIP(s)  TN__CELL(TN__MOVE_SKIP,  TN__BILLING_##s)
#define LATE(s)  TN__CELL(TN__MOVE_LATE,  TN__BILLING_##s)
#define FINAL(s) TN__CELL(TN__MOVE_FINAL, TN__BILLING_##s)

static const unsigned char cells[TN__BILLING_STATES][TN__BILLING_WORDS] = {
/*                    incomplete        expired           trialing         active           past_due        unpaid          paused          canceled         other */
[TN__BILLING_NONE] =
                    { STEP(INCOMPLETE), SKIP(EXPIRED),    STEP(TRIALING),  STEP(ACTIVE),    SKIP(PAST_DUE), SKIP(UNPAID),   SKIP(PAUSED),   SKIP(CANCELED),  SKIP(OTHER) },
[TN__BILLING_INCOMPLETE] =
                    { NONE(INCOMPLETE), STEP(EXPIRED),    SKIP(TRIALING),  STEP(ACTIVE),    SKIP(PAST_DUE), SKIP(UNPAID),   SKIP(PAUSED),   SKIP(CANCELED),  SKIP(OTHER) },
[TN__BILLING_EXPIRED] =
                    { FINAL(EXPIRED),   NONE(EXPIRED),    FINAL(EXPIRED),  FINAL(EXPIRED),  FINAL(EXPIRED), FINAL(EXPIRED), FINAL(EXPIRED), FINAL(EXPIRED),  FINAL(EXPIRED) },
[TN__BILLING_TRIALING] =
                    { LATE(TRIALING),   LATE(TRIALING),   NONE(TRIALING),  STEP(ACTIVE),    STEP(PAST_DUE), SKIP(UNPAID),   STEP(PAUSED),   STEP(CANCELED),  SKIP(OTHER) },
[TN__BILLING_ACTIVE] =
                    { LATE(ACTIVE),     LATE(ACTIVE),     SKIP(TRIALING),  NONE(ACTIVE),    STEP(PAST_DUE), SKIP(UNPAID),   SKIP(PAUSED),   STEP(CANCELED),  SKIP(OTHER) },
[TN__BILLING_PAST_DUE] =
                    { LATE(PAST_DUE),   LATE(PAST_DUE),   SKIP(TRIALING),  STEP(ACTIVE),    NONE(PAST_DUE), STEP(UNPAID),   SKIP(PAUSED),   STEP(CANCELED),  SKIP(OTHER) },
[TN__BILLING_UNPAID] =
                    { LATE(UNPAID),     LATE(UNPAID),     SKIP(TRIALING),  STEP(ACTIVE),    SKIP(PAST_DUE), NONE(UNPAID),   SKIP(PAUSED),   STEP(CANCELED),  SKIP(OTHER) },
[TN__BILLING_PAUSED] =
                    { LATE(PAUSED),     LATE(PAUSED),     SKIP(TRIALING),  STEP(ACTIVE),    SKIP(PAST_DUE), SKIP(UNPAID),   NONE(PAUSED),   STEP(CANCELED),  SKIP(OTHER) },
[TN__BILLING_CANCELED] =
                    { FINAL(CANCELED),  FINAL(CANCELED),  FINAL(CANCELED), FINAL(CANCELED), FINAL(CANCELED), FINAL(CANCELED), FINAL(CANCELED), NONE(CANCELED), FINAL(CANCELED) },
[TN__BILLING_OTHER] =
                    { SKIP(INCOMPLETE), SKIP(EXPIRED),    SKIP(TRIALING),  SKIP(ACTIVE),    SKIP(PAST_DUE), SKIP(UNPAID),   SKIP(PAUSED),   SKIP(CANCELED),  NONE(OTHER) },
};
/* clang-format on */

const tn__machine tn__billing_machine = {
    .states = states,
    .nstates = COUNT(states),
    .events = &states[TN__BILLING_INCOMPLETE],
    .nevents = TN__BILLING_WORDS,
    .cells = &cells[0][0],
};


tn__billing
tn__billing_parse(tn_str word)
{
    unsigned i;

    if (word.n == 0) {
        return TN__BILLING_NONE;
    }

    for (i = TN__BILLING_INCOMPLETE; i < TN__BILLING_OTHER; i++) {
        if (tn__eq(word, states[i])) {
            return i;
        }
    }

    return TN__BILLING_OTHER;
}


tn__move
tn__billing_said(tn__billing *to, tn__billing from, tn__billing said)
{
    unsigned state;
    tn__move move;

    move = tn__machine_move(&state, &tn__billing_machine, from, SAID(said));
    *to = state;

    return move;
}


tn_err
tn__billing_deaf(tn_str *out, tn__billing said, tn_mem *mem)
{
    unsigned from;
    tn__buf buf;
    tn__move move;
    tn__billing to;

    tn__buf_init(&buf, mem, 64);
    tn__buf_char(&buf, '{');

    for (from = TN__BILLING_INCOMPLETE; from < TN__BILLING_OTHER; from++) {
        move = tn__billing_said(&to, from, said);

        if (move == TN__MOVE_LATE || move == TN__MOVE_FINAL) {
            if (buf.n > 1) {
                tn__buf_char(&buf, ',');
            }
            tn__buf_add(&buf, states[from]);
        }
    }

    tn__buf_char(&buf, '}');

    return tn__buf_str(out, &buf);
}


int
tn__billing_owes(tn__billing state)
{
    return state == TN__BILLING_PAST_DUE || state == TN__BILLING_UNPAID ||
           state == TN__BILLING_PAUSED || state == TN__BILLING_OTHER;
}
