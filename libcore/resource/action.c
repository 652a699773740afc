/*
 * action.c: a function of an app's, called on a row. One statement looks at
 * the row, calls the function once if that may be, and tells what happened
 * (model/call_sql.c). What the function changes is logged by triggers, which
 * learn from the context what the cause is.
 */

#include "libcore/resource/resource.h"
#include "gen/queries.h"


static void
begin(tn_op *op)
{
    if (!tn__bind_conditions(op)) {
        return;
    }

    tn__local(op, TN_STR("cause"), op->endpoint->action);
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_cause);
    tn__batch_add(op, tn__statement(op));
    tn__want_db(op);
}


/* Whether the row is in a state that the action is for. */
static int
in_state(const tn__call *call, tn_str state)
{
    unsigned i;

    for (i = 0; i < call->nstates; i++) {
        if (tn__eq(call->states[i], state)) {
            return 1;
        }
    }

    return call->nstates == 0;
}


/* "The status is done; it must be booked or confirmed." */
static void
fail_state(tn_op *op, tn_str state)
{
    unsigned i;
    tn_err err;
    tn__buf buf;
    tn_str detail;
    const tn__call *call;

    call = op->endpoint->call;
    tn__buf_init(&buf, op->mem, 128);
    tn__buf_lit(&buf, "The ");
    tn__buf_add(&buf, call->state_field->name);
    tn__buf_lit(&buf, " is ");
    tn__buf_add(&buf, state.p ? state : TN_STR("null"));
    tn__buf_lit(&buf, "; it must be ");

    for (i = 0; i < call->nstates; i++) {
        tn__buf_add(&buf, i ? TN_STR(" or ") : TN_STR(""));
        tn__buf_add(&buf, call->states[i]);
    }

    tn__buf_char(&buf, '.');
    err = tn__buf_str(&detail, &buf);
    tn__fail_str(op, err == TN_OK ? TN_E_STATE_CONFLICT : err, detail);
}


/* Whether the function was called; else the op has failed. */
static int
called(tn_op *op, const tn_rows *rows)
{
    if (tn__refused_row(op, tn__cell(rows, 0, TN__ACTION_VERSION),
                        tn__cell(rows, 0, TN__ACTION_OWNER))) {
        return 0;
    }

    if (!tn__pg_true(tn__cell(rows, 0, TN__ACTION_ALIVE))) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 "What it belongs to is deleted: restore that first.");
        return 0;
    }

    if (!in_state(op->endpoint->call, tn__cell(rows, 0, TN__ACTION_STATE))) {
        fail_state(op, tn__cell(rows, 0, TN__ACTION_STATE));
        return 0;
    }

    if (op->endpoint->unit &&
        tn__refused_room(op, tn__cell(rows, 0, TN__ACTION_COLUMNS))) {
        return 0;
    }

    return 1;
}


static void
no_answer(tn_op *op)
{
    tn_str line, parts[2];

    parts[0] = op->endpoint->call->function;
    parts[1] = TN_STR(" answered no row");

    if (tn__cat(&line, parts, 2, op->mem) == TN_OK) {
        tn__log(op, line);
    }

    tn__fail(op, TN_E_INTERNAL, NULL);
}


/* What a function found no row for was not there for it. */
static int
found_no_row(const tn_op *op, const tn_input *input)
{
    const tn_reply *reply;

    reply = input ? input->reply : NULL;

    return reply && reply->outcome == TN_DB_ERROR && !reply->nested &&
           op->endpoint->call->answers == TN__ANSWERS_ROW &&
           strcmp(reply->sqlstate, TN__ACTION_NO_ROW) == 0;
}


/* Where what the function answered begins: behind `room`, where that is. */
static unsigned
columns_at(const tn__endpoint *e)
{
    return TN__ACTION_COLUMNS + (e->unit != NULL);
}


static void
finish(tn_op *op, const tn_rows *rows, int answered)
{
    const tn__endpoint *e;

    e = op->endpoint;

    if (!answered) {
        no_answer(op);

    } else if (e->call->answers == TN__ANSWERS_NOTHING) {
        tn__respond(op, 204, TN_NULL);

    } else {
        tn__respond_row(op, 200, e->output, e->noutput,
                        rows->cells + columns_at(e), TN_NULL);
    }
}


void
tn__step_action(tn_op *op, const tn_input *input)
{
    int replayed;
    const tn_rows *rows;

    if (op->state++ == 0) {
        begin(op);
        return;
    }

    if (found_no_row(op, input)) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return;
    }

    rows = tn__rows(op, input, 2);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0 ||
        rows->ncols < columns_at(op->endpoint) + op->endpoint->noutput + 2) {
        tn__log(op, TN_STR("an action answered no row, or not its columns"));
        tn__fail(op, TN_E_INTERNAL, NULL);
        return;
    }

    replayed = tn__replay(op, rows);

    if (replayed > 0 || (replayed == 0 && called(op, rows))) {
        finish(op, rows,
               replayed || tn__pg_true(tn__cell(rows, 0, TN__ACTION_ANSWERED)));
    }
}
