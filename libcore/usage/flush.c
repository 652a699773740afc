/*
 * flush.c: what a node has counted, as a batch; and what came of it.
 */

#include <tenon/usage.h>

#include "libcore/usage/usage.h"
#include "gen/queries.h"

/* The statement's parameters: a flush's id, and a column each of its rows. */
enum {
    FLUSH,
    TENANTS,
    METERS,
    PERIODS,
    BEGINS,
    ENDS,
    SOFTS,
    HARDS,
    UNITS,
    COLUMNS
};

static const tn_str names[COLUMNS] = {
    TN_STR_C("flush"),   TN_STR_C("tenants"), TN_STR_C("meters"),
    TN_STR_C("periods"), TN_STR_C("begins"),  TN_STR_C("ends"),
    TN_STR_C("softs"),   TN_STR_C("hards"),   TN_STR_C("units"),
};


static void
add_uuid(tn__buf *buf, const unsigned char uuid[16])
{
    char text[TN__UUID_TEXT];

    tn__uuid_text(text, uuid);
    tn__buf_add(buf, (tn_str){ text, TN__UUID_TEXT });
}


/* As PostgreSQL writes an array: no name of a meter needs quotes. */
static void
add_row(tn__buf columns[COLUMNS], const tn_usage *row)
{
    unsigned i;
    tn_str name;

    name = (tn_str){ row->name, strnlen(row->name, TN_METER_NAME_MAX) };

    for (i = TENANTS; i < COLUMNS; i++) {
        tn__buf_char(&columns[i], columns[i].n ? ',' : '{');
    }

    add_uuid(&columns[TENANTS], row->tenant);
    tn__buf_add(&columns[METERS], name);
    tn__buf_add(&columns[PERIODS], tn__period_names[row->period]);
    tn__buf_int(&columns[BEGINS], row->begins);
    tn__buf_int(&columns[ENDS], row->ends);
    tn__buf_int(&columns[SOFTS], row->soft);
    tn__buf_int(&columns[HARDS], row->hard);
    tn__buf_int(&columns[UNITS], row->units);
}


static int
is_row(const tn_usage *row)
{
    size_t i;
    char c;

    if (row->period <= TN_PERIOD_NONE || row->period > TN_PERIOD_MONTH) {
        return 0;
    }

    for (i = 0; i < TN_METER_NAME_MAX && row->name[i]; i++) {
        c = row->name[i];

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' &&
            c != '.') {
            return 0;
        }
    }

    return i != 0;
}


tn_err
tn_usage_flush(const tn_batch **out, const unsigned char id[TN_USAGE_ID_LEN],
               const tn_usage *rows, unsigned n, tn_mem *mem)
{
    unsigned i, k;
    tn_str *params;
    tn_query *query;
    tn_batch *batch;
    tn__buf columns[COLUMNS];
    const tn__bound *bound = &tn__q_flush_usage;

    *out = NULL;

    if (n == 0 || n > TN_USAGE_FLUSH_MAX) {
        return TN_E_INTERNAL;
    }

    batch = tn__zalloc(mem, sizeof(tn_batch));
    query = tn__zalloc(mem, sizeof(tn_query));
    params = tn__zalloc(mem, bound->stmt.nparams * sizeof(tn_str));

    if (batch == NULL || query == NULL || params == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < COLUMNS; i++) {
        tn__buf_init(&columns[i], mem, 64);
    }

    add_uuid(&columns[FLUSH], id);

    for (i = 0; i < n; i++) {
        if (!is_row(&rows[i])) {
            return TN_E_INTERNAL;
        }

        add_row(columns, &rows[i]);
    }

    for (i = 0; i < COLUMNS; i++) {
        if (i != FLUSH) {
            tn__buf_char(&columns[i], '}');
        }

        for (k = 0; k < bound->stmt.nparams; k++) {
            if (tn__eq(bound->binds[k].name, names[i]) &&
                tn__buf_str(&params[k], &columns[i]) != TN_OK) {
                return TN_E_NOMEM;
            }
        }
    }

    query->stmt = &bound->stmt;
    query->params = params;
    batch->queries = query;
    batch->n = 1;
    batch->writes = 1;
    *out = batch;

    return TN_OK;
}


int
tn_usage_flushed(int64_t *totals, unsigned n, const tn_reply *reply)
{
    unsigned i;
    const tn_rows *rows;

    if (reply->outcome != TN_DB_OK || reply->n != 1) {
        return 0;
    }

    rows = &reply->rows[0];

    if (rows->nrows != n || rows->ncols != 1) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (!tn__int_parse(&totals[i], rows->cells[i])) {
            return 0;
        }
    }

    return 1;
}
