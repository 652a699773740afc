/*
 * app_load.c: loads an app: the SQL files of its folder, and what they
 * declare, all in one transaction. Before it commits the new catalogue is
 * compiled as workers will compile it, and the app's statements are parsed: what
 * they couldn't serve is never there. Running workers serve it within a
 * second.
 */

#include "tenonctl.h"
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEMO_FILE "demo.sql"

typedef struct app_load {
    const char *name;
    const char *dir; /* schema/apps */
    const char *database;
    const char *password_file;
    int demo;
    int check;
    char hash[128]; /* of the password for --demo */
} app_load;


static const char help[] =
    "usage: tenonctl app load NAME [OPTION]...\n"
    "\n"
    "Runs the *.sql files of DIR/NAME in the order of their names and makes\n"
    "what they declare the API's, all in one transaction. Run it as\n"
    "tenon_owner, as often as you like. Running nginx workers serve it within\n"
    "a second of its commit; nginx needs no reload.\n"
    "\n"
    "  --dir DIR                  where apps lie (schema/apps)\n"
    "  --check                    try everything, then change nothing\n"
    "  --demo                     also run demo.sql: tenants and people to\n"
    "                             try things out with\n"
    "  --demo-password-file FILE  holds the password of those people, \"-\" "
    "is\n"
    "                             stdin; needed with --demo\n"
    "  --database CONNINFO        libpq's form (\"dbname=tenon "
    "user=tenon_owner\")\n";


static const ctl_file *
find_demo(const ctl_files *files)
{
    size_t i;

    for (i = 0; i < files->n; i++) {
        if (strcmp(files->list[i].name, DEMO_FILE) == 0) {
            return &files->list[i];
        }
    }

    return NULL;
}


/* Hashing takes long on purpose: it is done before the transaction, which holds
 * locks. */
static int
prepare_demo(app_load *load, const ctl_files *files)
{
    if (find_demo(files) == NULL) {
        return ctl_error("app %s has no %s", load->name, DEMO_FILE);
    }

    return ctl_hash_password(load->hash, load->password_file);
}


static int
run_demo(const app_load *load, PGconn *conn, const ctl_files *files)
{
    int rc;
    const ctl_file *file;
    const char *params[1];

    file = find_demo(files);
    params[0] = load->hash;
    rc = ctl_query(NULL, conn, "handing over the demo password",
                   "select set_config('tenon.demo_password_hash', $1, true)", 1,
                   params);

    if (rc == 0) {
        rc = ctl_run_file(conn, file->path, file->text);
    }

    return rc;
}


/* The files begin and end the app themselves, so that they can be run by hand
 * too; here is only looked whether they did. Answers the new catalogue's
 * version. */
static int
verify(char **version, PGconn *conn, const char *name)
{
    int rc;
    PGresult *res;

    rc = ctl_query(&res, conn, name,
                   "select version,"
                   " exists (select from tenon.app"
                   "          where name = $1 and loaded_at = now()),"
                   " coalesce(current_setting('tenon.app', true), '')"
                   "  from tenon.catalogue_version",
                   1, &name);
    if (rc != 0) {
        return rc;
    }

    if (strcmp(PQgetvalue(res, 0, 1), "t") != 0) {
        rc = ctl_error("app %s: its files declare nothing; begin them with"
                       " select tenon.app_begin('%s')",
                       name, name);

    } else if (*PQgetvalue(res, 0, 2) != '\0') {
        rc = ctl_error("app %s: its files don't end it; close them with"
                       " select tenon.app_end('%s')",
                       name, name);

    } else {
        *version = ctl_format("%s", PQgetvalue(res, 0, 0));
    }

    PQclear(res);

    return rc;
}


/* A right that only tenon_api has or lacks is for the doctor to find: this
 * session is another role's. */
static int
parse_statements(const char *name, const tn_catalogue *cat, PGconn *conn)
{
    int rc;
    char *what, *sql;
    size_t n;
    unsigned i;
    PGresult *res;
    tn_endpoint_info info;

    n = strlen(name);
    rc = 0;

    for (i = 0; rc == 0 && tn_catalogue_endpoint(&info, cat, i); i++) {

        /* permissions are named app.resource:verb */

        if (info.stmt == NULL || info.permission.n <= n ||
            memcmp(info.permission.p, name, n) != 0 ||
            info.permission.p[n] != '.') {
            continue;
        }

        sql = ctl_text(info.stmt->sql);
        res = PQprepare(conn, "", sql, 0, NULL);

        if (PQresultStatus(res) != PGRES_COMMAND_OK) {
            what = ctl_format("app %s: %.*s %.*s", name, (int) info.method.n,
                              info.method.p, (int) info.path.n, info.path.p);
            rc = ctl_result_error(conn, res, what);
            free(what);
        }

        PQclear(res);
        free(sql);
    }

    return rc;
}


/* As a worker will see it when this transaction has committed. */
static int
compile(const char *name, PGconn *conn)
{
    int rc;
    char *fault;
    tn_core *core;
    tn_catalogue *cat;

    if (ctl_core(&core) != 0) {
        return -1;
    }

    rc = ctl_catalogue_read(&cat, &fault, core, conn);

    if (fault) {
        rc = ctl_error("app %s: %s", name, fault);
        free(fault);
    }

    if (cat) {
        rc = parse_statements(name, cat, conn);
    }

    tn_catalogue_free(cat);
    tn_core_free(core);

    return rc;
}


static int
run_files(const app_load *load, PGconn *conn, const ctl_files *files)
{
    int rc;
    size_t i;
    char *version = NULL;
    const char *name = load->name;

    if (ctl_query(NULL, conn, name, "begin", 0, NULL) != 0) {
        return -1;
    }

    for (i = 0; i < files->n; i++) {
        const ctl_file *file = &files->list[i];

        if (strcmp(file->name, DEMO_FILE) != 0 &&
            ctl_run_file(conn, file->path, file->text) != 0) {
            return -1;
        }
    }

    if (verify(&version, conn, name) != 0) {
        return -1;
    }

    rc = compile(name, conn);

    if (rc == 0 && load->demo) {
        rc = run_demo(load, conn, files);
    }

    if (rc == 0) {
        rc = ctl_query(NULL, conn, name, load->check ? "rollback" : "commit", 0,
                       NULL);
    }

    if (rc == 0) {
        printf("%s app %s, catalogue version %s\n",
               load->check ? "checked" : "loaded", name, version);

        if (!load->check) {
            puts("running nginx workers serve it within a second, without a "
                 "reload");
        }
    }

    free(version);

    return rc;
}


static int
load_app(app_load *load)
{
    int rc;
    char *base, *dir;
    PGconn *conn;
    ctl_files files;

    base = load->dir ? ctl_format("%s", load->dir) : ctl_schema_path("apps");
    dir = ctl_format("%s/%s", base, load->name);
    free(base);

    rc = ctl_files_read(&files, dir);

    if (rc == 0 && files.n == 0) {
        rc = ctl_error("there is no SQL in %s", dir);
    }

    if (rc == 0 && load->demo) {
        rc = prepare_demo(load, &files);
    }

    if (rc == 0) {
        rc =
            ctl_connect(&conn, load->database, "dbname=tenon user=tenon_owner");
    }

    if (rc == 0) {
        rc = ctl_lock(conn);

        if (rc == 0) {
            rc = run_files(load, conn, &files);
        }

        PQfinish(conn);
    }

    ctl_files_free(&files);
    free(dir);

    return rc;
}


int
ctl_app_load(int argc, char **argv)
{
    int opt;
    app_load load;

    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' },
        { "database", required_argument, NULL, 'D' },
        { "demo", no_argument, NULL, 'm' },
        { "demo-password-file", required_argument, NULL, 'p' },
        { "check", no_argument, NULL, 'c' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    memset(&load, 0, sizeof(load));

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'd':
            load.dir = optarg;
            break;
        case 'D':
            load.database = optarg;
            break;
        case 'm':
            load.demo = 1;
            break;
        case 'p':
            load.password_file = optarg;
            break;
        case 'c':
            load.check = 1;
            break;
        case 'h':
            fputs(help, stdout);
            return CTL_OK;
        default:
            fputs(help, stderr);
            return CTL_USAGE;
        }
    }

    if (ctl_app_name(&load.name, argc - optind, argv + optind) != 0) {
        fputs(help, stderr);
        return CTL_USAGE;
    }

    if (load.demo && load.password_file == NULL) {
        ctl_error("--demo needs --demo-password-file");
        return CTL_USAGE;
    }

    return load_app(&load) == 0 ? CTL_OK : CTL_FAILED;
}
