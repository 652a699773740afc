/*
 * write.c: create, update, roll back, restore, delete. Each is one statement;
 * its answer tells what happened (model/sql_write.c says which columns).
 */

#include "libcore/resource/resource.h"


/* The allowed states before the one that the body sets, as a text[]: from
 * where an edge leads there, and that state itself. */
static tn_err
from_states(tn_op *op, const tn__field *field, tn_str to, tn_str *out)
{
    unsigned i;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, 64);
    tn__buf_char(&buf, '{');
    tn__buf_json(&buf, to);

    for (i = 0; i < field->nedges; i++) {
        if (tn__eq(field->edges[i].to, to)) {
            tn__buf_char(&buf, ',');
            tn__buf_json(&buf, field->edges[i].from);
        }
    }

    tn__buf_char(&buf, '}');

    return tn__buf_str(out, &buf);
}


static int
bind_states(tn_op *op)
{
    unsigned i;
    tn_str states, name, parts[2];
    const tn__field *field;

    for (i = 0; i < op->endpoint->ninput; i++) {
        field = &op->endpoint->input[i];

        if (field->nedges == 0 || !(op->mask & ((uint64_t) 1 << i))) {
            continue;
        }

        parts[0] = TN_STR("from_");
        parts[1] = field->name;

        if (tn__cat(&name, parts, 2, op->mem) != TN_OK ||
            from_states(op, field, op->values[i], &states) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return 0;
        }

        tn__local(op, name, states);
    }

    return 1;
}


int
tn__bind_conditions(tn_op *op)
{
    tn_err err;
    tn_str versions;

    /* a malformed id is one that no row has, whatever the conditions */
    if (op->path_id.p == NULL) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return 0;
    }

    if (op->endpoint->resource && op->endpoint->resource->require_match &&
        op->if_match.n == 0) {
        tn__fail(op, TN_E_PRECONDITION_REQUIRED, NULL);
        return 0;
    }

    err = tn__if_match(&versions, op);

    if (err == TN_E_PRECONDITION_FAILED) {
        /* no version is 0: the statement tells whether there is a row */
        versions = TN_STR("{0}");

    } else if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return 0;
    }

    tn__local(op, TN_STR("match"), versions);

    return 1;
}


/* Reads reference columns of an answer from `col` on, notes what is missing,
 * and moves *col behind them. Returns 0 when a parent is no more. */
static int
missing_references(tn_op *op, const tn_rows *rows, unsigned *col, int update)
{
    int alive;
    unsigned i;
    tn_str cell;
    const tn__field *field;
    const tn__resource *resource;

    alive = 1;
    resource = op->endpoint->resource;

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!tn__field_checked(field, update)) {
            continue;
        }

        cell = tn__cell(rows, 0, (*col)++);

        if (cell.n && cell.p[0] == 'f') {
            tn__fault_field(op, field->name, TN_F_NOT_FOUND, NULL);
        }

        if (update && field->reference->parent) {
            alive &= tn__pg_true(tn__cell(rows, 0, (*col)++));
        }
    }

    return alive;
}


/* Says of each state that the body sets which ones it may follow. */
static void
state_faults(tn_op *op)
{
    unsigned i, k;
    tn__buf buf;
    tn_str detail;
    const tn__field *field;

    for (i = 0; i < op->endpoint->ninput; i++) {
        field = &op->endpoint->input[i];

        if (field->nedges == 0 || !(op->mask & ((uint64_t) 1 << i))) {
            continue;
        }

        tn__buf_init(&buf, op->mem, 64);
        tn__buf_lit(&buf, "can follow");

        for (k = 0; k < field->nedges; k++) {
            if (tn__eq(field->edges[k].to, op->values[i])) {
                tn__buf_add(&buf, buf.n > sizeof("can follow") ? TN_STR(", ")
                                                               : TN_STR(" "));
                tn__buf_add(&buf, field->edges[k].from);
            }
        }

        if (buf.n < sizeof("can follow")) {
            tn__buf_lit(&buf, " no other state");
        }

        tn__buf_char(&buf, '\0');

        if (tn__buf_str(&detail, &buf) == TN_OK) {
            tn__fault_field(op, field->name, TN_F_NOT_IN_SET, detail.p);
        }
    }
}


int
tn__refused_row(tn_op *op, tn_str version, tn_str owner)
{
    int seen;

    if (version.p == NULL) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return 1;
    }

    if (op->scope != TN__SCOPE_TENANT && !tn__eq(owner, op->principal.user)) {
        /* a scoped statement finds only what may be seen */
        seen = op->scope == TN__SCOPE_ACCOUNT || op->read_scope_tenant;
        op->refused_row = seen ? op->path_id : TN_NULL;
        tn__fail(op, seen ? TN_E_FORBIDDEN : TN_E_NOT_FOUND,
                 !seen ? NULL
                 : op->scope == TN__SCOPE_ACCOUNT
                     ? "Your roles don't allow this to that row."
                     : "Your role may do this only to what you created.");
        return 1;
    }

    if (!tn__if_match_holds(op, version)) {
        tn__fail(op, TN_E_PRECONDITION_FAILED, NULL);
        return 1;
    }

    return 0;
}


int
tn__refused_room(tn_op *op, tn_str room)
{
    tn_str detail, parts[3];

    if (room.n == 0 || tn__pg_true(room)) {
        return 0;
    }

    parts[0] = TN_STR("The plan allows no more of \"");
    parts[1] = op->endpoint->unit->meter;
    parts[2] = TN_STR("\" in this period.");

    if (tn__cat(&detail, parts, 3, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 1;
    }

    op->reason = op->endpoint->unit->meter;
    tn__fail_str(op, TN_E_PLAN_LIMIT, detail);

    return 1;
}


/* The changed row, from `col` on; as it was when it was changed first, where
 * the request comes again. */
static void
changed(tn_op *op, const tn_rows *rows, unsigned col)
{
    tn__respond_row(op, 200, op->endpoint->output, op->endpoint->noutput,
                    rows->cells + col, TN_NULL);
}


/* The rows of a write's answer; `replayed` tells whether they are of an earlier
 * request with this key. NULL when the op has failed. */
static const tn_rows *
answer(tn_op *op, const tn_input *input, int *replayed)
{
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return NULL;
    }

    *replayed = tn__replay(op, rows);

    return *replayed < 0 ? NULL : rows;
}


static void
begin_write(tn_op *op)
{
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, tn__statement(op));
    tn__want_db(op);
}


/* Behind a create's references come the columns, the id first. */
static void
created(tn_op *op, const tn_rows *rows, unsigned col)
{
    tn_str location, parts[4];

    parts[0] = op->request->prefix;
    parts[1] = op->endpoint->path;
    parts[2] = TN_STR("/");
    parts[3] = tn__cell(rows, 0, col);

    if (tn__cat(&location, parts, 4, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond_row(op, 201, op->endpoint->output, op->endpoint->noutput,
                    rows->cells + col, location);
}


void
tn__step_create(tn_op *op, const tn_input *input)
{
    int replayed;
    unsigned col;
    const tn_rows *rows;

    if (op->state++ == 0) {
        op->path_id = tn__new_id(op);

        if (tn__seal_fields(op)) {
            begin_write(op);
        }
        return;
    }

    rows = answer(op, input, &replayed);
    if (rows == NULL) {
        return;
    }

    col = 1;
    missing_references(op, rows, &col, 0);

    if (op->nfaults && !replayed) {
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return;
    }

    if (op->endpoint->unit && !replayed &&
        tn__refused_room(op, tn__cell(rows, 0, col))) {
        return;
    }

    col += op->endpoint->unit != NULL;

    /* a trigger of the app's may swallow the row */
    if (tn__cell(rows, 0, col).p == NULL) {
        tn__fail(op, TN_E_STATE_CONFLICT, NULL);
        return;
    }

    created(op, rows, col);
}


/* Whether a row is read and told as it is; a scoped statement must say besides
 * whether it might be changed. */
static int
reads_only(const tn_op *op)
{
    return op->mask == 0 && op->idem_key.p == NULL &&
           op->scope != TN__SCOPE_ACCOUNT;
}


static void
begin_update(tn_op *op)
{
    if (!tn__bind_conditions(op) || !bind_states(op)) {
        return;
    }

    if (op->mask) {
        if (tn__seal_fields(op)) {
            begin_write(op);
        }
        return;
    }

    /* an empty patch changes nothing, and writes no event */
    tn__batch_begin(op, 1, !reads_only(op));
    tn__batch_add(op, reads_only(op) ? &tn__resource_of(op)->read
                                     : &tn__resource_of(op)->keep);
    tn__want_db(op);
}


/* What an empty patch answers: the row as it is. */
static void
unchanged(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);

    if (rows && !tn__refused_row(
                    op, tn__cell_named(op, rows, TN_STR("version")),
                    tn__cell_named(op, rows, op->endpoint->resource->owner))) {
        changed(op, rows, 0);
    }
}


/* Answers a change of a row, whose columns begin at `col` behind what tells of
 * references. */
static void
finish_change(tn_op *op, const tn_rows *rows, unsigned col,
              const char *conflict)
{
    int alive;

    alive = missing_references(op, rows, &col, 1);

    if (op->nfaults) {
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return;
    }

    if (alive && op->endpoint->unit &&
        tn__refused_room(op, tn__cell(rows, 0, col))) {
        return;
    }

    col += op->endpoint->unit != NULL;

    /* id is the first column and never null in a row that was changed */
    if (tn__cell(rows, 0, col).p) {
        changed(op, rows, col);

    } else if (!alive) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 "What it belongs to is deleted: restore that first.");

    } else {
        state_faults(op);
        tn__fail(op, TN_E_STATE_CONFLICT, conflict);
    }
}


/* Where the columns of an answer begin: they and the two of the key are its
 * end. */
static unsigned
columns_at(const tn_op *op, const tn_rows *rows)
{
    return rows->ncols - 2 - op->endpoint->noutput;
}


void
tn__step_update(tn_op *op, const tn_input *input)
{
    int replayed;
    const tn_rows *rows;

    if (op->state++ == 0) {
        begin_update(op);
        return;
    }

    if (reads_only(op)) {
        unchanged(op, input);
        return;
    }

    rows = answer(op, input, &replayed);
    if (rows == NULL) {
        return;
    }

    if (!replayed &&
        tn__refused_row(op, tn__cell(rows, 0, 0), tn__cell(rows, 0, 1))) {
        return;
    }

    if (replayed || op->mask == 0) {
        changed(op, rows, columns_at(op, rows));
        return;
    }

    finish_change(op, rows, 2, "The current state doesn't allow this change.");
}


/* A version whose key is gone is no version to go back to. */
static int
bind_keys(tn_op *op)
{
    tn_str ids;

    if (!op->endpoint->resource->encrypted) {
        return 1;
    }

    if (tn__keyring_ids(&ids, op) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    tn__local(op, TN_STR("keys"), ids);

    return 1;
}


void
tn__step_rollback(tn_op *op, const tn_input *input)
{
    int replayed;
    const tn_rows *rows;

    if (op->state++ == 0) {
        if (tn__bind_conditions(op) && bind_keys(op)) {
            tn__local(op, TN_STR("version"), op->values[0]);
            begin_write(op);
        }
        return;
    }

    rows = answer(op, input, &replayed);
    if (rows == NULL) {
        return;
    }

    if (replayed) {
        changed(op, rows, columns_at(op, rows));
        return;
    }

    if (tn__refused_row(op, tn__cell(rows, 0, 0), tn__cell(rows, 0, 1))) {
        return;
    }

    if (!tn__pg_true(tn__cell(rows, 0, 2))) {
        tn__fault_field(op, TN_STR("version"), TN_F_NOT_FOUND,
                        "is no version to go back to: there was none, or what "
                        "it said was erased");
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return;
    }

    finish_change(op, rows, 3,
                  "The state of that version can't follow the current one.");
}


void
tn__step_restore(tn_op *op, const tn_input *input)
{
    int replayed;
    const tn_rows *rows;

    if (op->state++ == 0) {
        if (tn__bind_conditions(op)) {
            begin_write(op);
        }
        return;
    }

    rows = answer(op, input, &replayed);
    if (rows == NULL) {
        return;
    }

    if (replayed) {
        changed(op, rows, columns_at(op, rows));
        return;
    }

    if (tn__refused_row(op, tn__cell(rows, 0, 0), tn__cell(rows, 0, 1))) {
        return;
    }

    if (!tn__pg_true(tn__cell(rows, 0, 2))) {
        tn__fail(op, TN_E_STATE_CONFLICT, "It isn't deleted.");
        return;
    }

    finish_change(op, rows, 3, NULL);
}


void
tn__step_delete(tn_op *op, const tn_input *input)
{
    int replayed;
    unsigned col;
    const tn_rows *rows;

    if (op->state++ == 0) {
        if (tn__bind_conditions(op)) {
            begin_write(op);
        }
        return;
    }

    rows = answer(op, input, &replayed);
    if (rows == NULL) {
        return;
    }

    if (!replayed &&
        tn__refused_row(op, tn__cell(rows, 0, 0), tn__cell(rows, 0, 1))) {
        return;
    }

    col = 2;

    if (op->endpoint->unit && !replayed &&
        tn__refused_room(op, tn__cell(rows, 0, col))) {
        return;
    }

    col += op->endpoint->unit != NULL;

    if (tn__cell(rows, 0, col).p == NULL) {
        tn__fail(op, TN_E_STATE_CONFLICT, NULL);
        return;
    }

    tn__respond(op, 204, TN_NULL);
}
