/*
 * reset.c: a password that was forgotten, or is to be another.
 *
 * On an organization's host its members can have forgotten it. The base domain
 * names none: there anybody of the shared realm can, of whatever organization,
 * or of none any more (op->realm_wide); the platform keeps the log.
 *
 * A new password ends the user's sessions in every tenant of the realm: all of
 * them by a token that was sent, all but this one by who knows the old one. The
 * statement ends the rows (tenon.end_sessions); that no worker of the node goes
 * on with what it knew of them is op/after.c's, by op->also_access. Which
 * tenants these are is read beforehand, for the case that the connection is
 * lost and nobody knows what came of the change.
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

#define PURPOSE TN_STR("reset")


/* ---- forgotten: whoever is asked for, the same is done and said ---- */

void
tn__step_forgot(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case 0:
        tn__one_time_from(op);
        return;

    case 1:
        if (tn__one_time_from_allowed(op, input)) {
            tn__one_time_for(op, PURPOSE, op->values[0]);
        } else {
            tn__respond(op, 204, TN_NULL);
        }
        return;

    case 2:
        if (tn__one_time_for_allowed(input)) {
            tn__one_time_anybody(op, PURPOSE, op->values[0]);
        } else {
            tn__respond(op, 204, TN_NULL);
        }
        return;

    case 3:
        tn__local(op, TN_STR("realm_wide"),
                  op->realm_wide ? TN_STR("t") : TN_STR("f"));
        tn__local(op, TN_STR("metadata"),
                  tn__attempts_notable(op, input->values[0]));
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_password_forgot);
        tn__want_db(op);
        return;

    default:
        if (tn__rows(op, input, 1)) {
            tn__respond(op, 204, TN_NULL);
        }
    }
}


/* ---- reset, by a token ---- */

/* The rows of reset_input (signin_endpoints.c). */
enum {
    RESET_TOKEN,
    RESET_PASSWORD,
};

/* What reset_find answers. */
enum {
    TOKEN_LIVE,
    TOKEN_USER,
    TOKEN_EMAIL,
    TOKEN_TENANTS,
};


/* Nothing is hashed for a token that is none. */
static void
token_found(tn_op *op, const tn_input *input)
{
    tn_str email;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__one_time_forged(op);
        return;
    }

    if (!tn__pg_true(tn__cell(rows, 0, TOKEN_LIVE))) {
        tn__one_time_spent(op);
        return;
    }

    if (tn__dup(&op->principal.user, tn__cell(rows, 0, TOKEN_USER), op->mem) !=
            TN_OK ||
        tn__dup(&email, tn__cell(rows, 0, TOKEN_EMAIL), op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__attempt_bind(op, email);
    tn__sessions_ended(op, tn__cell(rows, 0, TOKEN_TENANTS));
    tn__want_password(op, op->values[RESET_PASSWORD], TN_NULL);
}


static void
write_password(tn_op *op, const tn_input *input, tn_str name,
               const tn__bound *stmt)
{
    tn_str hash;

    if (!tn__password_hashed(&hash, op, input)) {
        return;
    }

    tn__local(op, name, hash);
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, stmt);
    tn__session_rotate(op);
    tn__want_db(op);
}


void
tn__step_reset(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    switch (op->state++) {

    case 0:
        if (tn__one_time_open(op, PURPOSE, op->values[RESET_TOKEN])) {
            tn__batch_begin(op, 1, 0);
            tn__batch_add(op, &tn__q_reset_find);
            tn__want_db(op);
        }
        return;

    case 1:
        token_found(op, input);
        return;

    case 2:
        write_password(op, input, TN_STR("password_hash"), &tn__q_reset_done);
        return;
    }

    rows = tn__rows(op, input, 1);

    if (rows && rows->nrows == 0) {
        tn__one_time_spent(op);

    } else if (rows) {
        tn__sessions_ended(op, tn__cell(rows, 0, 1));
        tn__respond(op, 204, TN_NULL);
    }
}


/* ---- changed, by who knows the old one ---- */

/* The rows of change_input (signin_endpoints.c). */
enum {
    CHANGE_CURRENT,
    CHANGE_PASSWORD,
};

/* What person_find answers. */
enum {
    PERSON_ID,
    PERSON_EMAIL,
    PERSON_HASH,
    PERSON_TENANTS,
};

enum {
    FIND,
    VERIFY,
    JUDGE,
    HASH,
    WRITE,
    ANSWER,
};

static const char wrong[] = "This is not your password.";


static void
verify_current(tn_op *op, const tn_input *input)
{
    tn_str hash, email;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__fail(op, TN_E_UNAUTHENTICATED, NULL);
        return;
    }

    hash = tn__cell(rows, 0, PERSON_HASH);

    if (tn__dup(&email, tn__cell(rows, 0, PERSON_EMAIL), op->mem) != TN_OK ||
        (hash.p && tn__dup(&hash, hash, op->mem) != TN_OK)) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__attempt_bind(op, email);
    tn__local(op, TN_STR("purpose"), PURPOSE);
    tn__local(op, TN_STR("password_hash"), hash);
    tn__sessions_ended(op, tn__cell(rows, 0, PERSON_TENANTS));
    tn__want_password(op, op->values[CHANGE_CURRENT],
                      hash.p ? hash : tn__decoy(op));
}


static void
changed(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);

    if (rows && rows->nrows == 0) {
        tn__fail(op, TN_E_REAUTHENTICATION_FAILED, wrong);

    } else if (rows) {
        tn__sessions_ended(op, tn__cell(rows, 0, 1));
        tn__session_rotated(op, input, 2);
        tn__respond(op, 204, TN_NULL);
    }
}


void
tn__step_change_password(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case FIND:
        if (tn__in_person(op)) {
            tn__batch_begin(op, 1, 0);
            tn__batch_add(op, &tn__q_person_find);
            tn__want_db(op);
        }
        return;

    case VERIFY:
        verify_current(op, input);
        return;

    case JUDGE:
        tn__attempt_judge(op, input->job && input->job->ok);
        return;

    case HASH:
        if (tn__attempt_settle(op, input, HASH, TN_STR("user.password_changed"),
                               op->principal.user, TN_E_REAUTHENTICATION_FAILED,
                               wrong)) {
            tn__local(op, TN_STR("user_id"), op->principal.user);
            tn__want_password(op, op->values[CHANGE_PASSWORD], TN_NULL);
        }
        return;

    case WRITE:
        write_password(op, input, TN_STR("new_hash"), &tn__q_password_change);
        return;

    default:
        changed(op, input);
    }
}
