/*
 * login.c: password to session and access token; and the way out.
 *
 *   state    does                                  then
 *   FIND     looks person and lock up              ADDRESS
 *   ADDRESS  looks up what came of this address    VERIFY
 *   VERIFY   checks the password                   JUDGE
 *   JUDGE    looks that up anew, or counts         SETTLE
 *   SETTLE   good: opens a session, or asks for
 *            the second factor                     ANSWER
 *            else: writes the attempt, and the
 *            event where this many are notable;
 *            then it is refused (attempt.c)        SETTLE
 *   ANSWER
 *
 * Unknown address, wrong password, not a member, disabled, locked: the same
 * steps, the same statements, the same answer. Who isn't known is checked
 * against a decoy hash, the lock is heeded behind the hash, and the attempt row
 * is written for known and unknown alike; otherwise the extra work is the leak.
 * That is why the address is looked up before: a hash that is renewed takes twice
 * the time, and who may not enter is not to see that the password was right.
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

enum {
    FIND,
    ADDRESS,
    VERIFY,
    JUDGE,
    SETTLE,
    ANSWER,
};

/* The input's rows, in the order of login_input (login_endpoints.c). */
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
    FOUND_MFA,
    FOUND_LOCKED,
    FOUND_COUNT
};

typedef struct login {
    tn_str found[FOUND_COUNT];
    tn_str renewed; /* a hash of today's parameters; absent: as before */
} login;

static const char nobody[] =
    "No such e-mail address and password in this organization.";


static void
find(tn_op *op)
{
    tn__attempt_bind(op, op->values[EMAIL]);
    tn__local(op, TN_STR("email"), op->values[EMAIL]);
    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, &tn__q_login_find);
    tn__want_db(op);
}


/* With the right password. Who may not is not to learn by the time that a new
 * hash takes that it was. */
static int
may_enter(const login *l)
{
    return l->found[FOUND_ROLE].p && !tn__pg_true(l->found[FOUND_LOCKED]);
}


static void
look_at_address(tn_op *op, const tn_input *input)
{
    unsigned i;
    login *l;
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

    if (l->found[FOUND_ID].p == NULL) {
        tn__attempt_nobody(op);
    }

    tn__attempt_address(op);
}


static void
verify(tn_op *op, const tn_input *input)
{
    const login *l;

    l = op->step_data;

    if (tn__want_password(op, op->values[PASSWORD],
                          l->found[FOUND_HASH].p ? l->found[FOUND_HASH]
                                                 : tn__decoy(op))) {
        op->job->renew = may_enter(l) && tn__attempt_open(op, input->values[0]);
    }
}


static void
judge(tn_op *op, const tn_input *input)
{
    login *l;
    const tn_job *job;

    l = op->step_data;
    job = input->job;

    if (job && job->ok && job->renewed) {
        if (tn__dup(&l->renewed, (tn_str){ job->hash, strlen(job->hash) },
                    op->mem) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }

        tn__local(op, TN_STR("renewed_hash"), l->renewed);
    }

    tn__attempt_judge(op, job && job->ok && may_enter(l));
}


static void
settle(tn_op *op, const tn_input *input)
{
    login *l;

    l = op->step_data;

    /* the tenant's log names the user only if it is one of its own */
    if (!tn__attempt_settle(op, input, SETTLE, TN_STR("user.login"),
                            l->found[FOUND_ROLE].p ? l->found[FOUND_ID]
                                                   : TN_NULL,
                            TN_E_INVALID_CREDENTIALS, nobody)) {
        return;
    }

    tn__local(op, TN_STR("user_id"), l->found[FOUND_ID]);
    tn__local(op, TN_STR("password_hash"), l->found[FOUND_HASH]);

    if (tn__pg_true(l->found[FOUND_MFA])) {
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_login_challenged);
        tn__want_db(op);
        return;
    }

    op->principal.user = l->found[FOUND_ID];

    if (tn__open_session(op)) {
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_login_done);
        tn__want_db(op);
    }
}


/* The token is good as long as the password is this one. */
static void
challenge(tn_op *op, const login *l, int renewed)
{
    tn_str token;

    if (tn__challenge_token(&token, op, l->found[FOUND_ID],
                            renewed ? l->renewed : l->found[FOUND_HASH]) !=
        TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond_challenge(op, l->found[FOUND_ID], l->found[FOUND_EMAIL],
                          l->found[FOUND_NAME], l->found[FOUND_TENANT_NAME],
                          token);
}


static void
answer(tn_op *op, const tn_input *input)
{
    login *l;
    const tn_rows *rows;

    l = op->step_data;
    rows = tn__rows(op, input, 1);

    if (rows == NULL) {
        op->principal.user = TN_NULL; /* nobody has signed in */

    } else if (rows->nrows == 0) {
        op->principal.user = TN_NULL;
        tn__fail(op, TN_E_INVALID_CREDENTIALS, nobody);

    } else if (op->principal.user.p) {
        tn__session_crowded(op, rows);
        tn__respond_session(op, l->found[FOUND_EMAIL], l->found[FOUND_NAME],
                            l->found[FOUND_TENANT_NAME]);

    } else {
        challenge(op, l, tn__pg_true(tn__cell(rows, 0, 1)));
    }
}


void
tn__step_login(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case FIND:
        find(op);
        return;

    case ADDRESS:
        look_at_address(op, input);
        return;

    case VERIFY:
        verify(op, input);
        return;

    case JUDGE:
        judge(op, input);
        return;

    case SETTLE:
        settle(op, input);
        return;

    default:
        answer(op, input);
    }
}


void
tn__step_logout(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    switch (op->state++) {

    case 0:
        if (op->principal.session.p == NULL) {
            tn__fail(op, TN_E_STATE_CONFLICT,
                     "There is no session of ours behind this token: sign out "
                     "where it was made.");
            return;
        }

        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_logout);
        tn__want_db(op);
        return;

    default:
        rows = tn__rows(op, input, 1);

        if (rows && rows->nrows) {
            tn__sessions_ended(op, tn__cell(rows, 0, 0));
        }

        if (rows == NULL && op->error != TN_E_OUTCOME_UNKNOWN) {
            return;
        }

        /* ended, or so it may be: it is dead on this node before the answer
         * leaves, with all others of the sign-in (op/after.c), and the browser
         * forgets it */
        if (op->principal.cookie && tn__cookie_set(op) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }

        tn__respond(op, 204, TN_NULL);
    }
}
