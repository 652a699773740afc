/*
 * reply.c: the results of a finished batch as a tn_reply. Rows stay where
 * libpq put them; only the cells that point to them are ours, and their memory
 * is used again for the next reply.
 */

#include "pg.h"

#include <stdint.h>
#include <stdlib.h>

/* more than so much is given back after use */
#define CELLS_KEPT 16384
#define TEXT_KEPT  (CELLS_KEPT * 32)


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

    if (pg->text_size > TEXT_KEPT) {
        free(pg->text);
        pg->text = NULL;
        pg->text_size = 0;
    }
}


/* Room for the text of binary cells, used again for the next reply. */
static tn_err
reserve_text(tn_pg *pg, size_t size)
{
    char *text;

    if (size <= pg->text_size) {
        return TN_OK;
    }

    text = malloc(size);
    if (text == NULL) {
        return TN_E_NOMEM;
    }

    free(pg->text);
    pg->text = text;
    pg->text_size = size;

    return TN_OK;
}


static tn_err
make_room(tn_pg *pg, const tn__pg_job *job)
{
    size_t n, space, text;
    tn_str *cells;
    tn_rows *rows;
    unsigned i;
    const PGresult *res;
    tn__pg_column columns[TN__PG_COLUMNS_MAX];

    n = 0;
    text = 0;

    for (i = 0; i < job->nresults; i++) {
        res = job->results[i];
        n += (size_t) PQntuples(res) * (size_t) PQnfields(res);

        if (PQbinaryTuples(res)) {
            if (!tn__pg_binary_space(&space, columns, res)) {
                return TN_E_INTERNAL;
            }
            text += space;
        }
    }

    if (n > SIZE_MAX / sizeof(tn_str)) {
        return TN_E_NOMEM;
    }

    if (reserve_text(pg, text) != TN_OK) {
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


static void
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
            cell->n = (size_t) PQgetlength(res, row, col);
            cell->p = cell->n == 0 && PQgetisnull(res, row, col)
                          ? NULL
                          : PQgetvalue(res, row, col);
        }
    }
}


/* Cells in the server's form become text at *at. */
static int
decode(char **at, tn_str *cell, const PGresult *res)
{
    int row, col, nrows, ncols;
    size_t space;
    tn__pg_column columns[TN__PG_COLUMNS_MAX];

    if (!tn__pg_binary_space(&space, columns, res)) {
        return 0;
    }

    nrows = PQntuples(res);
    ncols = PQnfields(res);

    for (row = 0; row < nrows; row++) {
        for (col = 0; col < ncols; col++, cell++) {
            if (cell->p && !tn__pg_decode(cell, at, &columns[col])) {
                return 0;
            }
        }
    }

    return 1;
}


/* TN_E_INTERNAL when a binary answer can't be read. */
static tn_err
fill_all(tn_pg *pg, const tn__pg_job *job)
{
    char *at;
    tn_err err;
    tn_str *cell;
    unsigned i;
    const PGresult *res;

    err = make_room(pg, job);
    if (err != TN_OK) {
        return err;
    }

    cell = pg->cells;
    at = pg->text;

    for (i = 0; i < job->n; i++) {
        res = job->results[i];
        fill(&pg->rows[i], cell, res);

        if (PQbinaryTuples(res) && !decode(&at, cell, res)) {
            return TN_E_INTERNAL;
        }

        cell += (size_t) pg->rows[i].nrows * pg->rows[i].ncols;
    }

    return TN_OK;
}


static void
reply_ok(tn_pg *pg, tn__pg_job *job)
{
    tn_err err;

    err = fill_all(pg, job);

    if (err == TN_E_INTERNAL && job->reads) {

        /* a column has another type than when its statement was made: from
         * here on this connection asks for text, and this read may, too */

        pg->text_only = 1;
        job->retry = 1;
        pg->reply.outcome = TN_DB_ERROR;
        memcpy(pg->reply.sqlstate, "0A000", 6);
        pg->reply.message = TN_STR("a column has a type that can't be read in "
                                   "binary");
        return;
    }

    if (err != TN_OK) {

        /* it is committed, but what it said is lost */

        pg->reply.outcome = TN_DB_UNKNOWN;
        return;
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
    pg->reply.column = field(job->error, PG_DIAG_COLUMN_NAME);
    pg->reply.message = field(job->error, PG_DIAG_MESSAGE_PRIMARY);
    pg->reply.nested = field(job->error, PG_DIAG_CONTEXT).n != 0;
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
