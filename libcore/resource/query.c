/*
 * query.c: a function of an app's that reads. Its arguments are the query
 * string's parameters, checked as a body's members are; its rows are one
 * object, or a list that has no further page.
 */

#include "libcore/resource/resource.h"
#include "gen/queries.h"


/* Reads the query string as the function's arguments; all faults at once. 0
 * when the op has failed. */
static int
read_arguments(tn_op *op)
{
    unsigned i;
    int unknown;
    const tn__call *call;
    const tn__field *field;

    if (!tn__request_params(op)) {
        return 0;
    }

    unknown = 0;
    call = op->endpoint->call;

    for (i = 0; i < op->nparams; i++) {
        field = tn__field_find(call->params, call->nparams, op->params[i].name);

        if (field == NULL) {
            unknown = 1;
            tn__fault(op, op->params[i].name, TN_F_UNKNOWN_FIELD,
                      "is no parameter of this query");
            continue;
        }

        op->mask |= (uint64_t) 1 << (field - call->params);
        tn__validate_param(op, field->name, field, op->params[i].value,
                           &op->values[field - call->params]);
    }

    for (i = 0; i < call->nparams; i++) {
        if (call->params[i].required && !(op->mask & ((uint64_t) 1 << i))) {
            tn__fault(op, call->params[i].name, TN_F_REQUIRED, NULL);
        }
    }

    if (op->nfaults) {
        tn__fail(op, unknown ? TN_E_UNKNOWN_PARAMETER : TN_E_INVALID_PARAMETER,
                 NULL);
    }

    return op->phase != TN__PHASE_DONE;
}


static void
begin(tn_op *op)
{
    if (!read_arguments(op)) {
        return;
    }

    tn__batch_begin(op, 0, 0);
    op->batch.slow = op->endpoint->call->slow;
    tn__batch_add(op, &tn__q_context_actor);
    tn__batch_add(op, op->endpoint->stmt);
    tn__want_db(op);
}


static void
fail_logged(tn_op *op, tn_str what)
{
    tn_str line, parts[2];

    parts[0] = op->endpoint->call->function;
    parts[1] = what;

    if (tn__cat(&line, parts, 2, op->mem) == TN_OK) {
        tn__log(op, line);
    }

    tn__fail(op, TN_E_INTERNAL, NULL);
}


static void
many(tn_op *op, const tn_rows *rows)
{
    unsigned i;
    tn__buf out;
    tn_str json;
    const tn__endpoint *e;

    e = op->endpoint;
    tn__buf_init(&out, op->mem, 256 + (size_t) rows->nrows * 256);
    tn__buf_lit(&out, "{\"data\":[");

    for (i = 0; i < rows->nrows; i++) {
        tn__buf_add(&out, i ? TN_STR(",") : TN_STR(""));
        tn__write_row(&out, e->output, e->noutput, 0,
                      &rows->cells[(size_t) i * rows->ncols]);
    }

    tn__buf_lit(&out, "],\"next_cursor\":null}");

    if (tn__buf_str(&json, &out) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond(op, 200, json);
}


void
tn__step_query(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;
    const tn__endpoint *e;

    e = op->endpoint;

    if (op->state++ == 0) {
        begin(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (rows->ncols < e->noutput) {
        fail_logged(op, TN_STR(" answered not its columns"));

    } else if (e->call->answers == TN__ANSWERS_MANY) {
        if (rows->nrows > TN__QUERY_ROWS_MAX) {
            fail_logged(op, TN_STR(" answered more than 1,000 rows"));
        } else {
            many(op, rows);
        }

    } else if (rows->nrows != 1) {
        fail_logged(op, TN_STR(" answered not one row"));

    } else {
        tn__respond_row(op, 200, e->output, e->noutput, rows->cells, TN_NULL);
    }
}
