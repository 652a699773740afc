/*
 * connect.c: from nothing to READY: libpq's handshake, then the statements of
 * conf.prepare as one pipeline with one Sync. Preparing ahead is a help, not a
 * need: one statement that is refused (its table is locked, or gone) must not
 * keep a connection from all the others, so it is READY with what it has, and
 * parses the rest as it comes. Only a name that is taken ends it: then the
 * session isn't its own.
 *
 * libpq may close the descriptor and open another at any poll of the
 * handshake (TLS refused, next host), and the new one may bear the old number,
 * so each poll counts as a new generation.
 */

#include "pg.h"


/* Without a receiver libpq prints notices to stderr. A server that shuts down
 * says so to an idle connection in a FATAL notice: keep its words. */
static void
notice(void *arg, const PGresult *res)
{
    tn_pg *pg = arg;
    const char *severity;

    severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);

    if (severity != NULL &&
        (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)) {
        tn__pg_note(pg, "%s", PQresultErrorMessage(res));
        pg->fatal = 1;
    }
}


void
tn__pg_connect_start(tn_pg *pg, const char *conninfo)
{
    /* later ones win, so these are defaults that conninfo may override */

    const char *const keys[] = { "gssencmode", "client_encoding",
                                 "fallback_application_name", "dbname", NULL };
    const char *const values[] = { "disable", "UTF8", "tenon", conninfo, NULL };

    pg->conn = PQconnectStartParams(keys, values, 1);

    if (pg->conn == NULL) {
        tn__pg_lose(pg, "out of memory");
        return;
    }

    if (PQstatus(pg->conn) == CONNECTION_BAD) {
        tn__pg_lose(pg, PQerrorMessage(pg->conn));
        return;
    }

    PQsetNoticeReceiver(pg->conn, notice, pg);

    pg->fd = PQsocket(pg->conn);
    pg->generation++;
    pg->wants = TN_PG_WRITE;
}


static int
prepare_one(tn_pg *pg, tn__pg_job *job, const tn_stmt *stmt)
{
    tn__pg_cmd *cmd;

    if (!tn__pg_sendable(stmt) ||
        tn__pg_reserve(pg, stmt->name.n + stmt->sql.n + 2) != TN_OK) {
        return 0;
    }

    if (tn__pg_find(&pg->table, stmt->name) != NULL) {
        return 1;
    }

    cmd = &job->cmds[job->ncmds];
    cmd->verb = TN__PG_PARSE;
    cmd->stmt = tn__pg_add(&pg->table, stmt->name);

    if (cmd->stmt == NULL || !tn__pg_parse(pg, stmt)) {
        return 0;
    }

    job->ncmds++;
    return 1;
}


static void
prepare(tn_pg *pg)
{
    unsigned i;
    tn__pg_job *job;
    const tn_stmt *stmt;

    tn__pg_turn(pg, TN_PG_PREPARING);

    job = tn__pg_job_new(0, pg->nprepare);
    if (job == NULL) {
        tn__pg_lose(pg, "out of memory");
        return;
    }

    job->internal = 1;

    for (i = 0; i < pg->nprepare; i++) {
        stmt = pg->prepare[i];

        if (!prepare_one(pg, job, stmt)) {
            tn__pg_note(pg, "statement %.*s can't be sent", (int) stmt->name.n,
                        stmt->name.p);
            tn__pg_job_free(job);
            tn__pg_lose(pg, NULL);
            return;
        }
    }

    tn__pg_sync(pg, job);
}


void
tn__pg_prepared(tn_pg *pg)
{
    pg->prepare = NULL;
    tn__pg_turn(pg, TN_PG_READY);
}


static void
connected(tn_pg *pg)
{
    if (PQsetnonblocking(pg->conn, 1) != 0 || !PQenterPipelineMode(pg->conn)) {
        tn__pg_lose(pg, PQerrorMessage(pg->conn));
        return;
    }

    pg->wants = TN_PG_READ;

    if (pg->nprepare == 0) {
        tn__pg_turn(pg, TN_PG_READY);
        return;
    }

    prepare(pg);
}


void
tn__pg_connect_poll(tn_pg *pg)
{
    PostgresPollingStatusType status;

    status = PQconnectPoll(pg->conn);

    pg->fd = PQsocket(pg->conn);
    pg->generation++;

    switch (status) {

    case PGRES_POLLING_READING:
        pg->wants = TN_PG_READ;
        break;

    case PGRES_POLLING_WRITING:
        pg->wants = TN_PG_WRITE;
        break;

    case PGRES_POLLING_OK:
        connected(pg);
        break;

    default:
        tn__pg_lose(pg, PQerrorMessage(pg->conn));
        break;
    }
}
