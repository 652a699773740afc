/*
 * app.c: which apps a database has: `app list` tells, `app unload` takes one
 * off the API. Loading has a file of its own, app_load.c.
 */

#include "tenonctl.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static const char help[] =
    "usage: tenonctl app load NAME [OPTION]...\n"
    "       tenonctl app unload NAME [--database CONNINFO]\n"
    "       tenonctl app list [--database CONNINFO]\n"
    "\n"
    "`load` makes an app the API's (`tenonctl app load --help` tells more).\n"
    "`unload` takes away what it declared: endpoints, permissions, grants.\n"
    "Its tables, their rows and their events stay; loading it again brings\n"
    "the rest back. Running nginx workers follow within a second.\n"
    "`list` prints the apps that are loaded, a line each: name, when it was\n"
    "loaded, how many resources it has; tabs between.\n"
    "\n"
    "Run them as tenon_owner.\n"
    "\n"
    "  --database CONNINFO  libpq's form (\"dbname=tenon user=tenon_owner\")\n";


static int
is_app_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return n && n < 32 && name[n] == '\0' && name[0] >= 'a';
}


int
ctl_app_name(const char **name, int argc, char **argv)
{
    if (argc != 1) {
        return ctl_error(argc ? "one app at a time" : "which app?");
    }

    if (!is_app_name(argv[0])) {
        return ctl_error("\"%s\" can't be the name of an app: use a-z, 0-9 "
                         "and _, starting with a letter, at most 31",
                         argv[0]);
    }

    *name = argv[0];

    return 0;
}


static int
list_apps(PGconn *conn)
{
    int row;
    PGresult *res;

    if (ctl_query(&res, conn, "listing the apps",
                  "select a.name, to_char(a.loaded_at at time zone 'UTC',"
                  " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), count(r.name)"
                  "  from tenon.app a"
                  "  left join tenon.resource r on r.app = a.name"
                  " group by a.name order by a.name",
                  0, NULL) != 0) {
        return -1;
    }

    for (row = 0; row < PQntuples(res); row++) {
        printf("%s\t%s\t%s\n", PQgetvalue(res, row, 0), PQgetvalue(res, row, 1),
               PQgetvalue(res, row, 2));
    }

    PQclear(res);

    return 0;
}


/* What a reader of the answer would miss: the paths that are gone. */
static int
drop_app(PGconn *conn, const char *name)
{
    int row, rc;
    PGresult *paths, *version;

    if (ctl_query(&paths, conn, name,
                  "select '/v1/' || path from tenon.resource"
                  " where app = $1"
                  " union all "
                  "select '/v1/' || r.path || '/{id}/' ||"
                  " replace(a.name, '_', '-')"
                  "  from tenon.action a"
                  "  join tenon.resource r"
                  "    on r.app = a.app and r.name = a.resource"
                  " where a.app = $1"
                  " union all "
                  "select '/v1/queries/' || replace(name, '_', '-')"
                  "  from tenon.query where app = $1"
                  " order by 1",
                  1, &name) != 0) {
        return -1;
    }

    rc = ctl_query(NULL, conn, name, "select tenon.app_drop($1)", 1, &name);

    if (rc == 0) {
        rc = ctl_query(&version, conn, name,
                       "select version from tenon.catalogue_version", 0, NULL);
    }

    if (rc == 0) {
        rc = ctl_query(NULL, conn, name, "commit", 0, NULL);

        if (rc == 0) {
            printf("unloaded app %s, catalogue version %s\n", name,
                   PQgetvalue(version, 0, 0));

            for (row = 0; row < PQntuples(paths); row++) {
                printf("  no longer served: %s\n", PQgetvalue(paths, row, 0));
            }

            puts("  its tables, their rows and their events stay");
        }

        PQclear(version);
    }

    PQclear(paths);

    return rc;
}


static int
unload_app(PGconn *conn, const char *name)
{
    if (ctl_lock(conn) != 0 ||
        ctl_query(NULL, conn, name, "begin", 0, NULL) != 0) {
        return -1;
    }

    return drop_app(conn, name);
}


static int
run(const char *command, int argc, char **argv)
{
    int opt, rc;
    PGconn *conn;
    const char *database, *name;

    static const struct option options[] = {
        { "database", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    name = NULL;
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

    if (strcmp(command, "list") == 0) {
        rc = optind == argc ? 0 : ctl_error("what is \"%s\"?", argv[optind]);
    } else {
        rc = ctl_app_name(&name, argc - optind, argv + optind);
    }

    if (rc != 0) {
        fputs(help, stderr);
        return CTL_USAGE;
    }

    if (ctl_connect(&conn, database, "dbname=tenon user=tenon_owner") != 0) {
        return CTL_FAILED;
    }

    rc = name ? unload_app(conn, name) : list_apps(conn);
    PQfinish(conn);

    return rc == 0 ? CTL_OK : CTL_FAILED;
}


int
ctl_app(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "load") == 0) {
        return ctl_app_load(argc - 1, argv + 1);
    }

    if (strcmp(command, "unload") == 0 || strcmp(command, "list") == 0) {
        return run(command, argc - 1, argv + 1);
    }

    if (strcmp(command, "--help") == 0) {
        fputs(help, stdout);
        return CTL_OK;
    }

    if (*command) {
        ctl_error("there is no command \"app %s\"", command);
    }

    fputs(help, stderr);

    return CTL_USAGE;
}
