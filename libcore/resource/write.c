/*
 * write.c: create, update, delete. Each is one statement; its answer tells
 * what happened (model/sql.c says which columns).
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


/* Binds If-Match and the owner; 0 when the op has failed. */
static int
bind_conditions(tn_op *op)
{
    tn_err err;
    tn_str match;

    err = tn__if_match(op, &match);

    if (err != TN_OK) {
        tn__fail(op, err,
                 err == TN_E_MALFORMED_REQUEST
                     ? "If-Match names more than one version."
                     : NULL);
        return 0;
    }

    tn__local(op, TN_STR("match"), match);
    tn__local(op, TN_STR("own"),
              op->scope == TN__SCOPE_OWN ? op->principal.user : TN_NULL);

    return 1;
}


/* Reads reference columns of an answer from `col` on, notes what is missing,
 * and moves *col behind them. */
static void
missing_references(tn_op *op, const tn_rows *rows, unsigned *col, int update)
{
    unsigned i;
    tn_str cell;
    const tn__field *field;
    const tn__resource *resource;

    resource = op->endpoint->resource;

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (field->reference == NULL ||
            !(update ? field->update || field->reference->parent
                     : field->create)) {
            continue;
        }

        cell = tn__cell(rows, 0, (*col)++);

        if (cell.n && cell.p[0] == 'f') {
            tn__fault_field(op, field->name, TN_F_NOT_FOUND, NULL);
        }

        if (update && field->reference->parent) {
            (*col)++; /* alive: told by the conflict */
        }
    }
}


/* What every change of a row says when it wasn't made: see model/sql.c.
 * Returns 1 when it failed the op. */
static int
refused(tn_op *op, const tn_rows *rows)
{
    tn_str version, owner, match;

    version = tn__cell(rows, 0, 0);
    owner = tn__cell(rows, 0, 1);

    if (version.p == NULL) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return 1;
    }

    if (op->scope == TN__SCOPE_OWN && !tn__eq(owner, op->principal.user)) {
        tn__fail(op, op->read_scope_tenant ? TN_E_FORBIDDEN : TN_E_NOT_FOUND,
                 op->read_scope_tenant
                     ? "Your role may do this only to what you created."
                     : NULL);
        return 1;
    }

    if (tn__if_match(op, &match) == TN_OK && match.p &&
        !tn__eq(match, version)) {
        tn__fail(op, TN_E_PRECONDITION_FAILED, NULL);
        return 1;
    }

    return 0;
}


void
tn__step_create(tn_op *op, const tn_input *input)
{
    unsigned col;
    const tn_rows *rows;
    tn_str location, parts[4];
    const tn__endpoint *endpoint;

    endpoint = op->endpoint;

    if (op->state++ == 0) {
        op->path_id = tn__new_id(op);
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, endpoint->stmt);
        tn__want_db(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    col = 1;
    missing_references(op, rows, &col, 0);

    if (op->nfaults) {
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return;
    }

    /* a trigger of the app's may swallow the row */
    if (tn__cell(rows, 0, col).p == NULL) {
        tn__fail(op, TN_E_STATE_CONFLICT, NULL);
        return;
    }

    parts[0] = op->request->prefix;
    parts[1] = endpoint->path;
    parts[2] = TN_STR("/");
    parts[3] = op->path_id;

    if (tn__cat(&location, parts, 4, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond_row(op, 201, endpoint->output, endpoint->noutput,
                    rows->cells + col, location);
}


/* The index of the owner among a read's columns is the resource's own; an
 * empty patch needs the version and the owner, as an update answers them. */
static int
empty_patch_refused(tn_op *op, const tn_rows *rows)
{
    unsigned i, n;
    tn_rows pair;
    tn_str cells[2];
    const tn__resource *resource;

    resource = op->endpoint->resource;
    cells[0] = cells[1] = TN_NULL;

    for (i = 0, n = 0; i < resource->nfields; i++) {
        if (!resource->fields[i].out) {
            continue;
        }
        if (tn__eq(resource->fields[i].name, TN_STR("version"))) {
            cells[0] = tn__cell(rows, 0, n);
        }
        if (tn__eq(resource->fields[i].name, resource->owner)) {
            cells[1] = tn__cell(rows, 0, n);
        }
        n++;
    }

    pair.nrows = 1;
    pair.ncols = 2;
    pair.cells = cells;

    return refused(op, &pair);
}


static void
begin_update(tn_op *op)
{
    if (!bind_conditions(op) || !bind_states(op)) {
        return;
    }

    if (op->path_id.p == NULL) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return;
    }

    /* an empty patch changes nothing, and writes no event */
    tn__batch_begin(op, 1, op->mask != 0);
    tn__batch_add(op, op->mask ? op->endpoint->stmt
                               : &op->endpoint->resource->read);
    tn__want_db(op);
}


void
tn__step_update(tn_op *op, const tn_input *input)
{
    unsigned col;
    const tn_rows *rows;
    const tn__endpoint *endpoint;

    endpoint = op->endpoint;

    if (op->state++ == 0) {
        begin_update(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (op->mask == 0) {
        if (!empty_patch_refused(op, rows)) {
            tn__respond_row(op, 200, endpoint->output, endpoint->noutput,
                            rows->cells, TN_NULL);
        }
        return;
    }

    if (refused(op, rows)) {
        return;
    }

    col = 2;
    missing_references(op, rows, &col, 1);

    if (op->nfaults) {
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return;
    }

    /* id is the first column and never null in a row that was changed */
    if (tn__cell(rows, 0, col).p == NULL) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 "The current state doesn't allow this change, or what it "
                 "belongs to was deleted.");
        return;
    }

    tn__respond_row(op, 200, endpoint->output, endpoint->noutput,
                    rows->cells + col, TN_NULL);
}


void
tn__step_delete(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    if (op->state++ == 0) {
        if (!bind_conditions(op)) {
            return;
        }

        if (op->path_id.p == NULL) {
            tn__fail(op, TN_E_NOT_FOUND, NULL);
            return;
        }

        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, op->endpoint->stmt);
        tn__want_db(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL || refused(op, rows)) {
        return;
    }

    if (tn__cell(rows, 0, 2).p == NULL) {
        tn__fail(op, TN_E_STATE_CONFLICT, NULL);
        return;
    }

    tn__respond(op, 204, TN_NULL);
}
