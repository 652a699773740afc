/*
 * catalogue.c: the catalogue of apps as a worker reads and compiles it, but
 * over a session of ours: in whatever transaction is open, so that what isn't
 * committed yet can be tried.
 */

#include "tenonctl.h"
#include <stdlib.h>
#include <string.h>


char *
ctl_text(tn_str s)
{
    return ctl_format("%.*s", (int) s.n, s.p ? s.p : "");
}


static int
rows_of(tn_rows *rows, PGresult *res)
{
    int row, col;
    tn_str *cells;

    rows->nrows = (unsigned) PQntuples(res);
    rows->ncols = (unsigned) PQnfields(res);
    rows->cells = cells =
        calloc((size_t) rows->nrows * rows->ncols + 1, sizeof(tn_str));

    if (cells == NULL) {
        return ctl_error("out of memory");
    }

    for (row = 0; row < PQntuples(res); row++) {
        for (col = 0; col < PQnfields(res); col++, cells++) {
            if (!PQgetisnull(res, row, col)) {
                cells->p = PQgetvalue(res, row, col);
                cells->n = (size_t) PQgetlength(res, row, col);
            }
        }
    }

    return 0;
}


/* The statements of the catalogue's batch have no parameters. */
static int
run_query(PGresult **res, PGconn *conn, const tn_query *query)
{
    int rc;
    char *sql;

    sql = ctl_text(query->stmt->sql);
    rc = ctl_query(res, conn, "reading the catalogue", sql, 0, NULL);
    free(sql);

    return rc;
}


int
ctl_catalogue_read(tn_catalogue **cat, char **fault, tn_core *core,
                   PGconn *conn)
{
    int rc;
    unsigned i, n;
    tn_str why;
    tn_rows *rows;
    tn_reply reply;
    PGresult **results;
    const tn_batch *batch = tn_catalogue_batch();

    *cat = NULL;
    *fault = NULL;

    rows = calloc(batch->n + 1, sizeof(*rows));
    results = calloc(batch->n + 1, sizeof(*results));
    rc = rows && results ? 0 : ctl_error("out of memory");

    for (n = 0; rc == 0 && n < batch->n; n++) {
        rc = run_query(&results[n], conn, &batch->queries[n]);

        if (rc == 0) {
            rc = rows_of(&rows[n], results[n]);
        }
    }

    if (rc == 0) {
        memset(&reply, 0, sizeof(reply));
        reply.outcome = TN_DB_OK;
        reply.rows = rows;
        reply.n = batch->n;
        why = TN_NULL;

        if (tn_catalogue_new(cat, core, &reply, &why) != TN_OK) {
            *cat = NULL;
            *fault = ctl_text(why);
        }
    }

    for (i = 0; i < n; i++) {
        free((void *) rows[i].cells);
        PQclear(results[i]);
    }

    free(rows);
    free(results);

    return rc;
}


int
ctl_core(tn_core **core)
{
    tn_core_conf conf;

    tn_core_conf_init(&conf);

    return tn_core_new(core, &conf) == TN_OK
               ? 0
               : ctl_error("can't start the library");
}
