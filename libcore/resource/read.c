/*
 * read.c: one row, of a resource or of a statement of the platform's.
 */

#include "libcore/resource/resource.h"


tn_str
tn__cell_named(const tn_op *op, const tn_rows *rows, tn_str name)
{
    const tn__field *field;
    const tn__resource *resource;

    resource = op->endpoint->resource;
    field = tn__field_find(resource->fields, resource->nfields, name);

    return field ? tn__cell(rows, 0, (unsigned) (field - resource->fields))
                 : TN_NULL;
}


const tn__resource *
tn__resource_of(const tn_op *op)
{
    return op->scope == TN__SCOPE_ACCOUNT ? op->endpoint->resource->scoped
                                          : op->endpoint->resource;
}


const tn__bound *
tn__statement(const tn_op *op)
{
    return op->scope == TN__SCOPE_ACCOUNT && op->endpoint->scoped
               ? op->endpoint->scoped
               : op->endpoint->stmt;
}


/* Whether a row may be seen by who asks: scope "own" sees only own rows; a
 * statement of accounts answers no others. */
static int
visible(const tn_op *op, const tn_rows *rows)
{
    if (rows->nrows == 0) {
        return 0;
    }

    return op->endpoint->resource == NULL || op->scope != TN__SCOPE_OWN ||
           tn__eq(tn__cell_named(op, rows, op->endpoint->resource->owner),
                  op->principal.user);
}


void
tn__step_read(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;
    const tn__endpoint *endpoint;

    endpoint = op->endpoint;

    if (op->state++ == 0) {
        /* a malformed id is one that no row has */
        if (endpoint->resource && op->path_id.p == NULL) {
            tn__fail(op, TN_E_NOT_FOUND, NULL);
            return;
        }

        if (endpoint->step) {
            endpoint->step(op, NULL);
        }

        tn__batch_begin(op, 1, 0);
        tn__batch_add(op, tn__statement(op));
        tn__want_db(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (!visible(op, rows)) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return;
    }

    tn__respond_row(op, 200, endpoint->output, endpoint->noutput, rows->cells,
                    TN_NULL);
}
