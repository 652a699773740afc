/*
 * email.c: who reads an address: a token that was sent there comes back.
 *
 * The token shows who reads the address, and not who made the account: somebody
 * else may have signed up with it, and waits for its owner to follow the link.
 * So it counts together with a session of that account, or its password. Its
 * owner, who has neither, resets the password: that verifies as well, and the
 * account is theirs from then on (reset.c).
 *
 *   state     does                                      then
 *   OPEN      looks the token and its user up           LOOK
 *   LOOK      the user's own session: verifies          ANSWER
 *             else checks the password                  JUDGE
 *   JUDGE     looks up, or counts, what came of this
 *             address                                   SETTLE
 *   SETTLE    right: verifies                           ANSWER
 *             wrong: writes the failure, as a login's;
 *             then it is refused (attempt.c)            SETTLE
 *   ANSWER
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

/* The rows of verify_input (signin_endpoints.c). */
enum {
    TOKEN,
    PASSWORD,
};

#define PURPOSE TN_STR("verify")


static void
sent_often(tn_op *op)
{
    tn__fail(op, TN_E_RATE_LIMITED,
             "It was sent several times; wait a quarter of an hour.");
}


/* Sign-up sends the first one; this sends another, which replaces it. */
void
tn__step_resend(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case 0:
        if (tn__in_person(op)) {
            tn__one_time_from(op);
        }
        return;

    case 1:
        if (tn__one_time_from_allowed(op, input)) {
            tn__one_time_for(op, PURPOSE, op->principal.user);
        } else {
            sent_often(op);
        }
        return;

    case 2:
        if (!tn__one_time_for_allowed(input)) {
            sent_often(op);
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


/* ---- the token comes back ---- */

enum {
    OPEN,
    LOOK,
    JUDGE,
    SETTLE,
    ANSWER,
};

/* What verify_find answers. */
enum {
    FOUND_LIVE,
    FOUND_USER,
    FOUND_EMAIL,
    FOUND_HASH,
};

typedef struct verification {
    tn_str user; /* the token's */
    tn_str hash; /* of their password, where that is what is checked */
} verification;

static const char wrong[] =
    "This is not the password of the account that the token is of. Who doesn't "
    "know it resets it, which verifies the address as well.";


/* Alike for whoever the token is of, and whoever else is signed in. */
static void
unproved(tn_op *op)
{
    tn__fail(op, op->caller_expired ? TN_E_TOKEN_EXPIRED : TN_E_UNAUTHENTICATED,
             "The token shows who reads the address, not whose the account "
             "is: sign in to that and send it again, or send the account's "
             "password along. Who doesn't know it resets it, which verifies "
             "the address as well.");
}


static void
write(tn_op *op, const tn__bound *stmt)
{
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, stmt);
    tn__want_db(op);
}


static void
look(tn_op *op, const tn_input *input)
{
    tn_str email;
    verification *v;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__one_time_forged(op);
        return;
    }

    if (!tn__pg_true(tn__cell(rows, 0, FOUND_LIVE))) {
        tn__one_time_spent(op);
        return;
    }

    op->step_data = v = tn__zalloc(op->mem, sizeof(verification));

    if (v == NULL ||
        tn__dup(&v->user, tn__cell(rows, 0, FOUND_USER), op->mem) != TN_OK ||
        tn__dup(&email, tn__cell(rows, 0, FOUND_EMAIL), op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    if (op->principal.user.p && tn__eq(op->principal.user, v->user)) {
        op->state = ANSWER;
        write(op, &tn__q_email_verify);
        return;
    }

    if (op->values[PASSWORD].p == NULL) {
        unproved(op);
        return;
    }

    if (tn__cell(rows, 0, FOUND_HASH).p &&
        tn__dup(&v->hash, tn__cell(rows, 0, FOUND_HASH), op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__attempt_bind(op, email);
    tn__want_password(op, op->values[PASSWORD],
                      v->hash.p ? v->hash : tn__decoy(op));
}


/* Whoever was signed in, it is the password's owner who does this. */
static void
settle(tn_op *op, const tn_input *input)
{
    const verification *v;

    v = op->step_data;

    if (!tn__attempt_settle(op, input, SETTLE, TN_STR("user.email_verified"),
                            v->user, TN_E_INVALID_CREDENTIALS, wrong)) {
        return;
    }

    memset(&op->principal, 0, sizeof(op->principal));
    op->principal.user = v->user;
    tn__local(op, TN_STR("user_id"), v->user);
    tn__local(op, TN_STR("password_hash"), v->hash);
    write(op, &tn__q_email_verify_by_password);
}


static void
answer(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;
    const verification *v;

    v = op->step_data;
    rows = tn__rows(op, input, 1);

    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0 && v->hash.p) {
        op->principal.user = TN_NULL;
        tn__fail(op, TN_E_INVALID_CREDENTIALS, wrong);

    } else if (rows->nrows == 0 || !tn__pg_true(tn__cell(rows, 0, 0))) {
        tn__one_time_spent(op);

    } else {
        tn__respond(op, 204, TN_NULL);
    }
}


void
tn__step_verify(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case OPEN:
        if (tn__one_time_open(op, PURPOSE, op->values[TOKEN])) {
            tn__batch_begin(op, 1, 0);
            tn__batch_add(op, &tn__q_verify_find);
            tn__want_db(op);
        }
        return;

    case LOOK:
        look(op, input);
        return;

    case JUDGE:
        tn__attempt_judge(op, input->job && input->job->ok);
        return;

    case SETTLE:
        settle(op, input);
        return;

    default:
        answer(op, input);
    }
}
