/*
 * purge.c: removes what has run out, batch by batch, each a transaction of its
 * own, so that nothing is locked for long and a purge that is stopped has lost
 * nothing. What may go, and when, is tenon.purge()'s to say.
 */

#include "tenonctl.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "usage: tenonctl purge [--database CONNINFO]\n"
    "\n"
    "Removes outcomes kept under Idempotency-Keys after a day; failed "
    "sign-ins,\n"
    "one-time tokens and ended sessions after thirty. Run it once a day, as\n"
    "tenon_worker; it may be stopped and run again at any time.\n"
    "\n"
    "  --database CONNINFO  libpq's form (\"dbname=tenon "
    "user=tenon_worker\")\n";


static int
purge(PGconn *conn)
{
    long gone, total;
    PGresult *res;

    total = 0;

    do {
        if (ctl_query(&res, conn, "removing what has run out",
                      "select tenon.purge()", 0, NULL) != 0) {
            return -1;
        }

        gone = strtol(PQgetvalue(res, 0, 0), NULL, 10);
        total += gone;
        PQclear(res);

    } while (gone > 0);

    printf("removed %ld rows\n", total);

    return 0;
}


int
ctl_purge(int argc, char **argv)
{
    int opt, rc;
    const char *database;
    PGconn *conn;

    static const struct option options[] = {
        { "database", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    database = NULL;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'D':
            database = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return CTL_OK;
        default:
            fputs(help, stderr);
            return CTL_USAGE;
        }
    }

    if (optind != argc) {
        ctl_error("what is \"%s\"?", argv[optind]);
        fputs(help, stderr);
        return CTL_USAGE;
    }

    rc = ctl_connect(&conn, database, "dbname=tenon user=tenon_worker");

    if (rc == 0) {
        rc = purge(conn);
        PQfinish(conn);
    }

    return rc == 0 ? CTL_OK : CTL_FAILED;
}
