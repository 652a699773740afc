/*
 * login.c: password to session and access token; and the way out.
 *
 *   state    does                                  then
 *   FIND     looks the person up                   VERIFY
 *   VERIFY   checks the password                   SETTLE
 *   SETTLE   good: opens a session                 ANSWER
 *            else: counts the failure              RECORD
 *   RECORD   writes the attempt, and the event     ANSWER
 *            where this many are notable
 *   ANSWER
 *
 * Unknown address, wrong password, not a member, disabled: the same steps,
 * the same statements, the same answer. Who isn't known is checked against a
 * decoy hash, and the attempt row is written for known and unknown alike;
 * otherwise the extra work is the leak.
 */

#include "libcore/identity/identity.h"
#include "gen/queries.h"

enum {
    FIND,
    VERIFY,
    SETTLE,
    RECORD,
    ANSWER,
};

/* The input's rows, in the order of login_input (endpoints.c). */
enum {
    EMAIL,
    PASSWORD,
};

/* What login_find answers. */
enum {
    FOUND_ID,
    FOUND_EMAIL,
    FOUND_NAME,
    FOUND_HASH,
    FOUND_ROLE,
    FOUND_TENANT_NAME,
    FOUND_COUNT
};

typedef struct login {
    tn_str found[FOUND_COUNT];
} login;


static void
find(tn_op *op)
{
    tn__local(op, TN_STR("email"), op->values[EMAIL]);
    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, &tn__q_login_find);
    tn__want_db(op);
}


static void
verify(tn_op *op, const tn_input *input)
{
    unsigned i;
    login *l;
    tn_str decoy;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    l = tn__zalloc(op->mem, sizeof(login));
    if (l == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    for (i = 0; i < FOUND_COUNT; i++) {
        if (tn__cell(rows, 0, i).p &&
            tn__dup(&l->found[i], tn__cell(rows, 0, i), op->mem) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }
    }

    op->step_data = l;
    decoy = (tn_str){ op->core->decoy, strlen(op->core->decoy) };
    tn__want_password(op, op->values[PASSWORD],
                      l->found[FOUND_HASH].p ? l->found[FOUND_HASH] : decoy);
}


static void
settle(tn_op *op, const tn_input *input)
{
    login *l;

    l = op->step_data;
    tn__bind_attempt(op, op->values[EMAIL]);

    if (input->job == NULL || !input->job->ok ||
        l->found[FOUND_ROLE].p == NULL) {
        tn__count_failure(op);
        return;
    }

    op->state = ANSWER;

    op->principal.user = l->found[FOUND_ID];
    tn__local(op, TN_STR("user_id"), op->principal.user);

    if (!tn__open_session(op)) {
        return;
    }

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_login_done);
    tn__want_db(op);
}


static void
record(tn_op *op, const tn_input *input)
{
    login *l;

    l = op->step_data;

    /* the tenant's log names the user only if it is one of its own */
    tn__write_failure(op, l->found[FOUND_ROLE].p ? l->found[FOUND_ID] : TN_NULL,
                      input->values[0]);
}


static void
answer(tn_op *op, const tn_input *input)
{
    login *l;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    l = op->step_data;

    /* the membership may have ended meanwhile */
    if (op->principal.user.p && rows->nrows == 0) {
        op->principal.user = TN_NULL;
    }

    if (op->principal.user.p == NULL) {
        tn__fail(op, TN_E_INVALID_CREDENTIALS,
                 "No such e-mail address and password in this organization.");
        return;
    }

    tn__respond_session(op, l->found[FOUND_EMAIL], l->found[FOUND_NAME],
                        l->found[FOUND_TENANT_NAME]);
}


void
tn__step_login(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case FIND:
        find(op);
        return;

    case VERIFY:
        verify(op, input);
        return;

    case SETTLE:
        settle(op, input);
        return;

    case RECORD:
        record(op, input);
        return;

    default:
        answer(op, input);
    }
}


void
tn__step_logout(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case 0:
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_logout);
        tn__want_db(op);
        return;

    case 1:
        if (tn__rows(op, input, 1) == NULL) {
            return;
        }

        /* dead on this node before the answer leaves */
        tn__session_tombstone(op, &op->zone[0]);
        tn__want_zone(op, 1);
        return;

    default:
        tn__respond(op, 204, TN_NULL);
    }
}
