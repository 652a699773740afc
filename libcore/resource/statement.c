/*
 * statement.c: the platform's writes: one statement of schema/queries/ each,
 * that decides, changes and logs, and says why where it did nothing
 * (TN__KIND_WRITE in model/model.h).
 */

#include "libcore/resource/resource.h"


/* "/role not_in_set;/email duplicate is a member's": notes the faults. */
static void
field_faults(tn_op *op, tn_str rest)
{
    unsigned i;
    tn_str pointer, fault, detail;
    static const tn_str codes[] = {
#define TN_X(name, code, text) TN_STR_C(code),
        TN_FIELD_FAULT_MAP(TN_X)
#undef TN_X
    };

    while (rest.p) {
        detail = tn__split(&rest, ';');
        pointer = tn__split(&detail, ' ');
        fault = tn__split(&detail, ' ');

        for (i = 0; i < TN_F_COUNT; i++) {
            if (tn__eq(codes[i], fault)) {
                tn__fault_str(op, pointer, (tn_fault) i, detail);
            }
        }
    }
}


/* Whether the path holds {id}. */
static int
names_row(const tn__endpoint *endpoint)
{
    return memchr(endpoint->path.p, '{', endpoint->path.n) != NULL;
}


/* "1800: It was too often.": seconds and words. */
static tn_str
wait_first(tn_op *op, tn_str rest)
{
    int64_t seconds;
    tn_str number;
    tn__buf buf;

    number = tn__split(&rest, ':');

    if (!tn__int_parse(&seconds, number) || seconds < 1) {
        tn__log(op, TN_STR("a statement doesn't say for how long to wait"));
        return TN_NULL;
    }

    tn__buf_init(&buf, op->mem, 24);
    tn__buf_int(&buf, seconds);

    if (tn__buf_str(&op->retry_after, &buf) != TN_OK) {
        op->retry_after = TN_NULL;
    }

    return rest.n ? tn__sub(rest, 1, rest.n) : TN_NULL;
}


static void
fail_refused(tn_op *op, tn_str refused)
{
    unsigned err;
    tn_str code, detail;

    code = tn__split(&refused, ' ');
    detail = TN_NULL;

    if (code.n && code.p[code.n - 1] == ':') {
        code.n--;
        detail = refused;
        refused = TN_NULL;
    }

    for (err = TN_E_NOMEM + 1; err < TN_E_COUNT; err++) {
        if (tn__eq(tn_err_code((tn_err) err), code)) {
            break;
        }
    }

    if (err == TN_E_COUNT) {
        tn__log(op, TN_STR("a statement refuses with a code that is none"));
        err = TN_E_INTERNAL;
    }

    /* the statement says "forbidden" of a row that is there; whoever may not
     * see it learns nothing of that (of accounts it finds what may be seen) */
    if (err == TN_E_FORBIDDEN && names_row(op->endpoint) &&
        op->endpoint->resource && !op->read_scope_tenant &&
        op->scope != TN__SCOPE_ACCOUNT) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return;
    }

    if ((err == TN_E_FORBIDDEN || err == TN_E_LAST_OWNER) &&
        names_row(op->endpoint)) {
        op->refused_row = op->path_id;
    }

    if (err == TN_E_RATE_LIMITED && refused.p) {
        detail = wait_first(op, refused);
        refused = TN_NULL;
    }

    field_faults(op, refused);
    tn__fail_str(op, (tn_err) err, detail);
}


static void
begin(tn_op *op)
{
    unsigned i;
    const tn__endpoint *e;

    e = op->endpoint;

    /* without {id} in the path there is a row all the same: the tenant's, or a
     * new one */
    if (!names_row(e)) {
        op->path_id = tn__new_id(op);
    }

    if (!tn__bind_conditions(op)) {
        return;
    }

    for (i = 0; i < e->ninput; i++) {
        tn__local(op, e->input[i].name, op->values[i]);
    }

    if (e->step) {
        e->step(op, NULL);
    }

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, e->stmt);
    tn__want_db(op);
}


/* The output's cells, with what is shown once in its place. */
static const tn_str *
shown(tn_op *op, const tn_rows *rows, int replayed)
{
    unsigned i;
    tn_str *cells;
    const tn__endpoint *e;

    e = op->endpoint;

    if (replayed || op->once.p == NULL) {
        return rows->cells + 1;
    }

    cells = tn__alloc(op->mem, e->noutput * sizeof(tn_str));
    if (cells == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return NULL;
    }

    for (i = 0; i < e->noutput; i++) {
        cells[i] = e->output[i].once ? op->once : rows->cells[1 + i];
    }

    return cells;
}


/* The path of the new row. */
static tn_err
location_of(tn_str *out, tn_op *op, const tn_rows *rows)
{
    tn_str parts[4];

    parts[0] = op->request->prefix;
    parts[1] = op->endpoint->path;
    parts[2] = TN_STR("/");
    parts[3] = tn__cell(rows, 0, 1);

    return tn__cat(out, parts, 4, op->mem);
}


/* By it the node has the tenant {id}, too. */
static int
keep_slug(tn_op *op, const tn_rows *rows)
{
    unsigned i;
    const tn__endpoint *e;

    e = op->endpoint;

    for (i = 0; i < e->noutput; i++) {
        if (tn__eq(e->output[i].name, TN_STR("slug")) &&
            tn__dup(&op->other_slug, tn__cell(rows, 0, i + 1), op->mem) !=
                TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return 0;
        }
    }

    return 1;
}


void
tn__step_write(tn_op *op, const tn_input *input)
{
    int replayed;
    tn_str location;
    const tn_str *cells;
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

    replayed = tn__replay(op, rows);
    if (replayed < 0) {
        return;
    }

    if (!replayed && tn__cell(rows, 0, 0).p) {
        fail_refused(op, tn__cell(rows, 0, 0));
        return;
    }

    if (rows->nrows == 0 || rows->ncols < e->noutput + 3) {
        tn__log(op, TN_STR("a statement answered no row, or not its columns"));
        tn__fail(op, TN_E_INTERNAL, NULL);
        return;
    }

    if (e->tells_change && !replayed) {
        op->unchanged = !tn__pg_true(tn__cell(rows, 0, e->noutput + 1));
    }

    if (e->of_tenant && !keep_slug(op, rows)) {
        return;
    }

    if (e->noutput == 0) {
        tn__respond(op, 204, TN_NULL);
        return;
    }

    location = TN_NULL;

    if (tn__endpoint_makes(e) && !e->elsewhere &&
        location_of(&location, op, rows) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    cells = shown(op, rows, replayed);
    if (cells) {
        tn__respond_row(op, e->status ? e->status : 200, e->output, e->noutput,
                        cells, location);
    }
}
