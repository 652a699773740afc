/*
 * email.c: who reads an address: a token that was sent there comes back.
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

/* The rows of token_input (signin_endpoints.c). */
enum {
    TOKEN,
};

#define PURPOSE TN_STR("verify")


/* Sign-up sends the first one; this sends another, which replaces it. */
void
tn__step_resend(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case 0:
        if (tn__in_person(op)) {
            tn__one_time_count(op, PURPOSE, op->principal.user);
        }
        return;

    case 1:
        if (!tn__one_time_allowed(input)) {
            tn__fail(op, TN_E_RATE_LIMITED,
                     "It was sent several times; wait a quarter of an hour.");
            return;
        }

        tn__one_time_new(op, PURPOSE);
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_email_resend);
        tn__want_db(op);
        return;

    default:
        if (tn__rows(op, input, 1)) {
            tn__respond(op, 204, TN_NULL);
        }
    }
}


void
tn__step_verify(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    if (op->state++ == 0) {
        if (tn__one_time_open(op, PURPOSE, op->values[TOKEN])) {
            tn__batch_begin(op, 1, 1);
            tn__batch_add(op, &tn__q_email_verify);
            tn__want_db(op);
        }
        return;
    }

    rows = tn__rows(op, input, 1);

    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__one_time_forged(op);

    } else if (!tn__pg_true(tn__cell(rows, 0, 0))) {
        tn__one_time_spent(op);

    } else {
        tn__respond(op, 204, TN_NULL);
    }
}
