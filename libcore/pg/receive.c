/*
 * receive.c: readiness in, results taken up. The order matters and is always
 * the same: read, read what TLS holds back, flush, then take results while
 * libpq isn't busy: asked while busy, PQgetResult() would block.
 *
 * A command gives one result and then NULL, a Sync one result and no NULL.
 * Only the Sync ends a batch: an error may still come after the last command
 * (a deferred constraint, checked at commit).
 */

#include "pg.h"

#include <limits.h>
#include <openssl/ssl.h>
#include <stdio.h>

#define RESULTS_MAX 64 /* per wake-up: other connections wait as well */


/* The server's plan, or its names, are not what this connection takes them
 * for: schema changed, statements dropped by others, a pooler between. */
static int
is_stale(const PGresult *error, const char *sqlstate)
{
    const char *function, *message;

    /* the name of the server's function is never translated; what an app's
     * function raises, whatever it calls it, says nothing of our names */

    function = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);

    if (function != NULL && strcmp(function, "exec_stmt_raise") == 0) {
        return 0;
    }

    /* ours are Parse and Bind, which have no context; EXECUTE and PREPARE in a
     * function have */

    if (strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0) {
        return PQresultErrorField(error, PG_DIAG_CONTEXT) == NULL;
    }

    if (strcmp(sqlstate, "0A000") != 0) {
        return 0;
    }

    /* 0A000 has other meanings, and the message may be translated */

    message = PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY);

    return (function != NULL &&
            strcmp(function, "RevalidateCachedQuery") == 0) ||
           (message != NULL && strstr(message, "cached plan") != NULL);
}


static void
prepared(tn_pg *pg, const PGresult *error)
{
    if (error != NULL &&
        is_stale(error, PQresultErrorField(error, PG_DIAG_SQLSTATE))) {
        tn__pg_lose(pg, pg->refusal);
        return;
    }

    tn__pg_prepared(pg);
}


static void
finish(tn_pg *pg)
{
    const char *sqlstate;
    tn__pg_job *job;

    job = pg->flight.head;

    if (job->error == NULL &&
        (job->at < job->ncmds || job->nresults < job->n)) {
        tn__pg_lose(pg, "a Sync came before its results");
        return;
    }

    tn__pg_pop(&pg->flight);

    if (job->internal) {
        prepared(pg, job->error);
        tn__pg_job_free(job);
        return;
    }

    if (job->error == NULL) {
        job->outcome = TN_DB_OK;

    } else {
        job->outcome = TN_DB_ERROR;
        sqlstate = PQresultErrorField(job->error, PG_DIAG_SQLSTATE);

        if (is_stale(job->error, sqlstate)) {

            /* the Sync is back: all of the batch is rolled back */

            job->retry = 1;
            tn__pg_turn(pg, TN_PG_RETIRING);
        }
    }

    tn__pg_push(&pg->done, job);
}


static void
succeed(tn_pg *pg, PGresult *res)
{
    tn__pg_job *job;
    tn__pg_cmd *cmd;

    job = pg->flight.head;

    if (job->at == job->ncmds) {
        PQclear(res);
        tn__pg_lose(pg, "a result came that nobody asked for");
        return;
    }

    cmd = &job->cmds[job->at++];

    switch (cmd->verb) {

    case TN__PG_EXECUTE:
        job->results[job->nresults++] = res;
        return;

    case TN__PG_PARSE:
        cmd->stmt->known = TN__PG_PREPARED;
        break;

    case TN__PG_DEALLOCATE:
        tn__pg_forget(&pg->table, cmd->stmt);
        break;
    }

    PQclear(res);
}


/* The command didn't happen: an error, or one before it. */
static void
skip(tn_pg *pg, const char *sqlstate)
{
    tn__pg_job *job;
    tn__pg_cmd *cmd;

    job = pg->flight.head;

    if (job->at == job->ncmds) {
        return;
    }

    cmd = &job->cmds[job->at++];

    if (cmd->verb == TN__PG_PARSE ||
        (cmd->verb == TN__PG_DEALLOCATE && strcmp(sqlstate, "26000") == 0)) {
        tn__pg_forget(&pg->table, cmd->stmt);

    } else if (cmd->verb == TN__PG_DEALLOCATE) {
        tn__pg_restore(&pg->table, cmd->stmt);
    }
}


static void
refuse(tn_pg *pg, const char *name, const PGresult *res)
{
    const char *message;

    message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    snprintf(pg->refusal, sizeof(pg->refusal),
             "statement %s can't be prepared yet: %s", name,
             message ? message : "no reason given");

    pg->refusal_len = strlen(pg->refusal);
}


static void
fail(tn_pg *pg, PGresult *res)
{
    const char *severity, *sqlstate;
    tn__pg_job *job;
    tn__pg_cmd *cmd;

    job = pg->flight.head;
    severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    /* An error without an SQLSTATE is libpq's own: the connection is gone, or
     * there was no memory for what the server sent. The server may have
     * committed all the same. */

    if (sqlstate == NULL || severity == NULL ||
        strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0) {
        tn__pg_lose(pg, PQresultErrorMessage(res));
        PQclear(res);
        return;
    }

    if (job->internal && job->at < job->ncmds) {
        cmd = &job->cmds[job->at];
        refuse(pg, cmd->stmt->name, res);
    }

    skip(pg, sqlstate);

    if (job->error == NULL) {
        job->error = res;
    } else {
        PQclear(res);
    }
}


static void
take(tn_pg *pg, PGresult *res)
{
    switch (PQresultStatus(res)) {

    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        succeed(pg, res);
        break;

    case PGRES_FATAL_ERROR:
        fail(pg, res);
        break;

    case PGRES_PIPELINE_ABORTED:
        PQclear(res);
        skip(pg, "");
        break;

    case PGRES_PIPELINE_SYNC:
        PQclear(res);
        finish(pg);
        break;

    default:
        PQclear(res);
        tn__pg_lose(pg, "a result came that a pipeline can't have");
        break;
    }
}


/* Returns 1 when it stopped at `max` results with more to take. */
static int
take_all(tn_pg *pg, unsigned max)
{
    unsigned n, nulls;
    PGresult *res;

    n = 0;
    nulls = 0;

    while (pg->conn != NULL && !PQisBusy(pg->conn) && pg->flight.head != NULL) {

        if (n == max) {
            return 1;
        }

        res = PQgetResult(pg->conn);

        if (res != NULL) {
            nulls = 0;
            n++;
            take(pg, res);
            continue;
        }

        /* one ends a command; a second one in a row means that libpq waits
         * for nothing, though we do */

        if (++nulls == 2) {
            tn__pg_lose(pg, PQstatus(pg->conn) == CONNECTION_BAD
                                ? PQerrorMessage(pg->conn)
                                : "libpq has lost count");
        }
    }

    return 0;
}


/* What came before the end still counts, so that no more batches than need be
 * are of unknown outcome. */
void
tn__pg_end(tn_pg *pg)
{
    take_all(pg, UINT_MAX);

    if (pg->conn != NULL) {
        tn__pg_lose(pg, PQerrorMessage(pg->conn));
    }
}


/* Takes up bytes that TLS holds back, where poll() can't see them. */
static int
unbuffer(tn_pg *pg)
{
    SSL *ssl;

    while ((ssl = PQsslStruct(pg->conn, "OpenSSL")) != NULL &&
           SSL_pending(ssl) > 0) {
        if (!PQconsumeInput(pg->conn)) {
            return 0;
        }
    }

    return 1;
}


int
tn__pg_flush(tn_pg *pg)
{
    int left;

    left = PQflush(pg->conn);

    if (left < 0 || !unbuffer(pg)) {
        return 0;
    }

    pg->wants = left ? TN_PG_READ | TN_PG_WRITE : TN_PG_READ;

    return 1;
}


void
tn_pg_io(tn_pg *pg, unsigned ready)
{
    int alive;

    if (pg->state == TN_PG_DEAD) {
        return;
    }

    pg->more = 0;

    if (pg->state == TN_PG_CONNECTING) {
        if (ready) {
            tn__pg_connect_poll(pg);
        }
        return;
    }

    alive = 1;

    if (ready & TN_PG_READ) {
        alive = PQconsumeInput(pg->conn) && unbuffer(pg);
    }

    if (alive) {
        alive = tn__pg_flush(pg);
    }

    if (!alive) {
        tn__pg_end(pg);
        return;
    }

    if (take_all(pg, RESULTS_MAX)) {
        pg->more = 1;
    }

    if (pg->fatal) {
        tn__pg_lose(pg, NULL);
    }
}
