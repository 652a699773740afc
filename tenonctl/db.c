/*
 * db.c: one blocking session with the database, as a command may have.
 */

#include "tenonctl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "tenon" in ASCII: one lock for all that changes the schema. (The number
 * after it is that of tenon.make_partitions().) */
#define LOCK_KEY "499917942638"

/* Whoever touches a table queues behind an ALTER that waits for it. Shorter
 * than tenon_api's own lock_timeout: such requests are late, but don't fail. */
#define LOCK_TIMEOUT "1s"

#define SQLSTATE_LOCK_TIMEOUT "55P03"


/* libpq's messages end in a newline. */
static int
trimmed(const char *message)
{
    size_t n = strlen(message);

    while (n && message[n - 1] == '\n') {
        n--;
    }

    return (int) n;
}


static void
notice(void *arg, const PGresult *res)
{
    const char *severity, *message;

    (void) arg;

    severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    if (severity && message && strcmp(severity, "NOTICE") != 0) {
        fprintf(stderr, "tenonctl: %s: %s\n", severity, message);
    }
}


int
ctl_connect(PGconn **conn, const char *conninfo, const char *fallback)
{
    const char *message;

    if (conninfo == NULL) {
        conninfo = getenv("TENON_DATABASE");
    }

    if (conninfo == NULL || conninfo[0] == '\0') {
        conninfo = fallback;
    }

    *conn = PQconnectdb(conninfo);

    if (PQstatus(*conn) != CONNECTION_OK) {
        message = PQerrorMessage(*conn);
        ctl_error("can't connect: %.*s", trimmed(message), message);
        PQfinish(*conn);
        *conn = NULL;
        return -1;
    }

    PQsetNoticeReceiver(*conn, notice, NULL);
    PQsetClientEncoding(*conn, "UTF8");

    return 0;
}


int
ctl_lock(PGconn *conn)
{
    if (ctl_query(NULL, conn, "waiting for the schema lock",
                  "select pg_advisory_lock(" LOCK_KEY ")", 0, NULL) != 0) {
        return -1;
    }

    return ctl_query(NULL, conn, "setting lock_timeout",
                     "select set_config('lock_timeout', '" LOCK_TIMEOUT "',"
                     " false) where current_setting('lock_timeout') = '0'",
                     0, NULL);
}


const char *
ctl_hint(const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    if (state && strcmp(state, SQLSTATE_LOCK_TIMEOUT) == 0) {
        return "another session has locked what this must change, so it was "
               "given up rather than make all others wait; run it again when "
               "that session has ended its transaction (pg_stat_activity), or "
               "with a longer PGOPTIONS='-c lock_timeout=…'";
    }

    return PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
}


int
ctl_result_error(PGconn *conn, const PGresult *res, const char *what)
{
    const char *message, *hint;

    message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    hint = ctl_hint(res);

    if (message == NULL) {
        message = PQerrorMessage(conn);
    }

    return ctl_error("%s: %.*s%s%s", what, trimmed(message), message,
                     hint ? "\n  hint: " : "", hint ? hint : "");
}


int
ctl_query(PGresult **out, PGconn *conn, const char *what, const char *sql,
          int n, const char *const *params)
{
    PGresult *res;

    res = PQexecParams(conn, sql, n, NULL, params, NULL, NULL, 0);

    switch (PQresultStatus(res)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        break;

    default:
        ctl_result_error(conn, res, what);
        PQclear(res);
        return -1;
    }

    if (out) {
        *out = res;
    } else {
        PQclear(res);
    }

    return 0;
}
