/*
 * reply.c: the results of a finished batch as a tn_reply. Rows stay where
 * libpq put them; only the cells that point to them are ours, and their memory
 * is used again for the next reply.
 */

#include "pg.h"

#include <stdint.h>
#include <stdlib.h>

#define CELLS_KEPT 16384 /* more than so many are given back after use */


void
tn__pg_release(tn_pg *pg)
{
    if (pg->given == NULL) {
        return;
    }

    tn__pg_job_free(pg->given);
    pg->given = NULL;

    if (pg->ncells > CELLS_KEPT) {
        free(pg->cells);
        pg->cells = NULL;
        pg->ncells = 0;
    }
}


static tn_err
make_room(tn_pg *pg, const tn__pg_job *job)
{
    size_t n;
    tn_str *cells;
    tn_rows *rows;
    unsigned i;

    n = 0;

    for (i = 0; i < job->nresults; i++) {
        n += (size_t) PQntuples(job->results[i]) *
             (size_t) PQnfields(job->results[i]);
    }

    if (n > SIZE_MAX / sizeof(tn_str)) {
        return TN_E_NOMEM;
    }

    if (n > pg->ncells) {
        cells = malloc(n * sizeof(tn_str));
        if (cells == NULL) {
            return TN_E_NOMEM;
        }

        free(pg->cells);
        pg->cells = cells;
        pg->ncells = n;
    }

    if (job->n > pg->nrows) {
        rows = malloc(job->n * sizeof(tn_rows));
        if (rows == NULL) {
            return TN_E_NOMEM;
        }

        free(pg->rows);
        pg->rows = rows;
        pg->nrows = job->n;
    }

    return TN_OK;
}


static tn_str *
fill(tn_rows *rows, tn_str *cell, const PGresult *res)
{
    int row, col, nrows, ncols;

    nrows = PQntuples(res);
    ncols = PQnfields(res);

    rows->nrows = (unsigned) nrows;
    rows->ncols = (unsigned) ncols;
    rows->cells = cell;

    for (row = 0; row < nrows; row++) {
        for (col = 0; col < ncols; col++, cell++) {

            if (PQgetisnull(res, row, col)) {
                *cell = TN_NULL;
                continue;
            }

            cell->p = PQgetvalue(res, row, col);
            cell->n = (size_t) PQgetlength(res, row, col);
        }
    }

    return cell;
}


static void
reply_ok(tn_pg *pg, const tn__pg_job *job)
{
    unsigned i;
    tn_str *cell;

    if (make_room(pg, job) != TN_OK) {

        /* it is committed, but what it said is lost */

        pg->reply.outcome = TN_DB_UNKNOWN;
        return;
    }

    cell = pg->cells;

    for (i = 0; i < job->n; i++) {
        cell = fill(&pg->rows[i], cell, job->results[i]);
    }

    pg->reply.rows = pg->rows;
    pg->reply.n = job->n;
}


static tn_str
field(const PGresult *error, int code)
{
    const char *p;

    p = PQresultErrorField(error, code);

    return p ? (tn_str){ p, strlen(p) } : TN_NULL;
}


static void
reply_error(tn_pg *pg, const tn__pg_job *job)
{
    tn_str sqlstate;

    sqlstate = field(job->error, PG_DIAG_SQLSTATE);

    if (sqlstate.n < sizeof(pg->reply.sqlstate)) {
        memcpy(pg->reply.sqlstate, sqlstate.p, sqlstate.n);
    }

    /* the primary message only: DETAIL holds the values of rows */

    pg->reply.constraint = field(job->error, PG_DIAG_CONSTRAINT_NAME);
    pg->reply.message = field(job->error, PG_DIAG_MESSAGE_PRIMARY);
}


int
tn_pg_next(tn_pg *pg, void **tag, const tn_reply **reply, int *retry)
{
    tn__pg_job *job;

    tn__pg_release(pg);

    job = tn__pg_pop(&pg->done);
    if (job == NULL) {
        return 0;
    }

    pg->given = job;
    pg->depth--;

    memset(&pg->reply, 0, sizeof(pg->reply));
    pg->reply.outcome = job->outcome;

    if (job->outcome == TN_DB_OK) {
        reply_ok(pg, job);
    } else if (job->outcome == TN_DB_ERROR) {
        reply_error(pg, job);
    }

    *tag = job->tag;
    *reply = &pg->reply;
    *retry = job->retry;

    return 1;
}
