/*
 * doctor.c: looks at a live database with the eyes of the API: is the role
 * as powerless as it must be, do all tables defend themselves, does every
 * statement that the workers will run fit the schema. Changes nothing.
 */

#include "tenonctl.h"
#include <tenon/core.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static const char help[] =
    "usage: tenonctl doctor [--statements] [--database CONNINFO]\n"
    "\n"
    "Checks the database: the rights of role tenon_api, row security on all\n"
    "its tables, and every statement of every endpoint against the schema.\n"
    "Run it as tenon_api, as the workers do: then the rights each statement\n"
    "needs are checked too. Prints a line per check; changes nothing.\n"
    "\n"
    "  --statements         print each endpoint's statement instead, a line\n"
    "                       each: its name, a tab, the SQL\n"
    "  --database CONNINFO  libpq's form (\"dbname=tenon user=tenon_api\")\n";


/* Each answers one row per thing that is wrong: what it is. */
static const struct {
    const char *promise;
    const char *sql;
} checks[] = {
    { "role tenon_api exists and may log in",
      "select 'there is no such role' where not exists (select from pg_roles"
      " where rolname = 'tenon_api' and rolcanlogin)" },

    { "tenon_api has no power of its own",
      "select 'it has ' || p from pg_roles,"
      " unnest(array[case when rolsuper then 'SUPERUSER' end,"
      " case when rolbypassrls then 'BYPASSRLS' end,"
      " case when rolcreaterole then 'CREATEROLE' end,"
      " case when rolcreatedb then 'CREATEDB' end,"
      " case when rolreplication then 'REPLICATION' end]) p"
      " where rolname = 'tenon_api' and p is not null" },

    { "tenon_api is a member of no other role",
      "select 'it is a member of ' || g.rolname from pg_auth_members m"
      " join pg_roles r on r.oid = m.member"
      " join pg_roles g on g.oid = m.roleid where r.rolname = 'tenon_api'" },

    { "tenon_api owns nothing",
      "select 'it owns ' || pg_describe_object(d.classid, d.objid, d.objsubid)"
      " from pg_shdepend d join pg_roles r on r.oid = d.refobjid"
      " where d.refclassid = 'pg_authid'::regclass and d.deptype = 'o'"
      " and r.rolname = 'tenon_api'"
      " and d.dbid in (0, (select oid from pg_database"
      " where datname = current_database()))" },

    { "tables that tenon_api reaches force row security, or are global and"
      " read-only",
      "select c.oid::regclass::text from pg_class c"
      " join pg_namespace n on n.oid = c.relnamespace"
      " where c.relkind in ('r', 'p')"
      " and n.nspname not in ('pg_catalog', 'information_schema')"
      " and has_table_privilege('tenon_api', c.oid,"
      " 'select, insert, update, delete')"
      " and not (c.relrowsecurity and c.relforcerowsecurity)"
      " and (has_table_privilege('tenon_api', c.oid,"
      " 'insert, update, delete, truncate')"
      " or coalesce(obj_description(c.oid, 'pg_class'), '')"
      " not like 'global:%')" },

    { "tenon_api can't truncate, nor change an event",
      "select c.oid::regclass::text from pg_class c"
      " join pg_namespace n on n.oid = c.relnamespace"
      " where c.relkind in ('r', 'p')"
      " and n.nspname not in ('pg_catalog', 'information_schema')"
      " and (has_table_privilege('tenon_api', c.oid, 'truncate, trigger')"
      " or (n.nspname = 'tenon' and c.relname ~ '^event(_body)?($|_)'"
      " and has_table_privilege('tenon_api', c.oid, 'update, delete')))" },

    { "events have partitions for this month and the next",
      "select 'there is no tenon.' || part || '; run tenonctl migrate'"
      " from unnest(array['event', 'event_body']) parent,"
      " generate_series(0, 1) ahead,"
      " format('%s_%s', parent, to_char(date_trunc('month',"
      " now() at time zone 'UTC') + ahead * interval '1 month', 'YYYY_MM'))"
      " part where not exists (select from pg_inherits"
      " where inhrelid = to_regclass('tenon.' || part)"
      " and inhparent = to_regclass('tenon.' || parent))" },
};

/* Prepared under numbers of their own, past every endpoint's. */
#define PLATFORM 100000

#define NCHECKS (sizeof(checks) / sizeof(checks[0]))


static void
verdict(int *failures, const char *promise, int ok)
{
    printf("%s %s\n", ok ? "ok  " : "FAIL", promise);
    *failures += !ok;
}


static void __attribute__((format(printf, 1, 2)))
reason(const char *format, ...)
{
    va_list args;

    fputs("     ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fputc('\n', stdout);
}


static int
check_rights(int *failures, PGconn *conn)
{
    int row;
    size_t i;
    PGresult *res;

    for (i = 0; i < NCHECKS; i++) {
        if (ctl_query(&res, conn, checks[i].promise, checks[i].sql, 0, NULL) !=
            0) {
            return -1;
        }

        verdict(failures, checks[i].promise, PQntuples(res) == 0);

        for (row = 0; row < PQntuples(res); row++) {
            reason("%s", PQgetvalue(res, row, 0));
        }

        PQclear(res);
    }

    return 0;
}


/* Plans the statement, which also checks the rights that it needs. */
static int
explain(PGconn *conn, const char *name, unsigned nparams)
{
    int ok;
    size_t n;
    char *sql;
    PGresult *res;

    n = sizeof("explain execute \"\" ()") + strlen(name) + 6 * nparams;
    sql = calloc(1, n);
    if (sql == NULL) {
        return 0;
    }

    snprintf(sql, n, "explain execute \"%s\"", name);

    for (unsigned i = 0; i < nparams; i++) {
        size_t used = strlen(sql);

        snprintf(sql + used, n - used, "%s", i ? ",null" : "(null");
    }

    if (nparams) {
        size_t used = strlen(sql);

        snprintf(sql + used, n - used, ")");
    }

    res = PQexec(conn, sql);
    ok = PQresultStatus(res) == PGRES_TUPLES_OK;

    if (!ok) {
        reason("%s", PQerrorMessage(conn));
    }

    PQclear(res);
    free(sql);

    return ok;
}


static int
is_column(PGresult *res, unsigned i, tn_str name)
{
    const char *p = PQfname(res, (int) i);

    return p && strlen(p) == name.n && memcmp(p, name.p, name.n) == 0;
}


/* A statement answers the declared columns, one behind the other, among
 * others that only steer the library (what was locked, the cursor). */
static int
compare_columns(const tn_endpoint_info *info, PGresult *res)
{
    unsigned i, from, n;

    n = (unsigned) PQnfields(res);

    for (from = 0; from + info->ncolumns <= n; from++) {
        for (i = 0; i < info->ncolumns; i++) {
            if (!is_column(res, from + i, info->columns[i])) {
                break;
            }
        }

        if (i == info->ncolumns) {
            return 1;
        }
    }

    reason("it does not answer the columns that are declared:");

    for (i = 0; i < info->ncolumns; i++) {
        reason("  declared %.*s", (int) info->columns[i].n, info->columns[i].p);
    }

    for (i = 0; i < n; i++) {
        reason("  answered %s", PQfname(res, (int) i));
    }

    return 0;
}


static int
check_statement(const tn_endpoint_info *info, PGconn *conn, unsigned i)
{
    int ok;
    char name[32], *sql;
    PGresult *res;

    snprintf(name, sizeof(name), "doctor_%u", i);
    sql = ctl_text(info->stmt->sql);
    res = PQprepare(conn, name, sql, 0, NULL);
    free(sql);

    ok = PQresultStatus(res) == PGRES_COMMAND_OK;
    if (!ok) {
        reason("%s", PQerrorMessage(conn));
    }

    PQclear(res);

    if (ok) {
        res = PQdescribePrepared(conn, name);
        ok = PQresultStatus(res) == PGRES_COMMAND_OK &&
             (unsigned) PQnparams(res) == info->stmt->nparams;

        if (!ok) {
            reason("it has %d parameters, %u are declared", PQnparams(res),
                   info->stmt->nparams);
        } else {
            ok = compare_columns(info, res);
        }

        PQclear(res);
    }

    return ok && explain(conn, name, info->stmt->nparams);
}


static void
check_endpoints(int *failures, const tn_catalogue *cat, PGconn *conn)
{
    int ok;
    char *line;
    unsigned i;
    tn_endpoint_info info;

    for (i = 0; tn_catalogue_endpoint(&info, cat, i); i++) {
        ok = info.stmt == NULL || check_statement(&info, conn, i);
        line = ctl_format("%.*s %.*s (%.*s)%s", (int) info.method.n,
                          info.method.p, (int) info.path.n, info.path.p,
                          (int) info.permission.n, info.permission.p,
                          info.scoped ? " in some accounts" : "");
        verdict(failures, line, ok);
        free(line);
    }

    verdict(failures, "there are endpoints", i > 0);
}


/* Those of endpoints that take several steps, and what all share. */
static void
check_platform(int *failures, const tn_catalogue *cat, PGconn *conn)
{
    int ok;
    unsigned i, n;
    tn_endpoint_info info;
    const tn_stmt *const *list;

    tn_catalogue_statements(&list, &n, cat);
    ok = n > 0;

    for (i = 0; i < n; i++) {
        memset(&info, 0, sizeof(info));
        info.stmt = list[i];
        ok = check_statement(&info, conn, PLATFORM + i) && ok;
    }

    verdict(failures, "all statements that workers prepare ahead", ok);
}


static void
print_statements(const tn_catalogue *cat)
{
    char *p, *sql;
    unsigned i;
    tn_endpoint_info info;

    for (i = 0; tn_catalogue_endpoint(&info, cat, i); i++) {
        if (info.stmt == NULL) {
            continue;
        }

        sql = ctl_text(info.stmt->sql);

        for (p = sql; *p; p++) {
            *p = *p == '\n' ? ' ' : *p;
        }

        printf("%.*s%s\t%s\n", (int) info.operation.n, info.operation.p,
               info.scoped ? "_scoped" : "", sql);
        free(sql);
    }
}


static int
examine(int *failures, PGconn *conn, int statements)
{
    int rc;
    char *fault;
    tn_core *core;
    tn_catalogue *cat;

    rc = statements ? 0 : check_rights(failures, conn);
    if (rc != 0 || ctl_core(&core) != 0) {
        return -1;
    }

    rc = ctl_catalogue_read(&cat, &fault, core, conn);

    if (rc == 0) {
        verdict(failures, "the catalogue of apps compiles", cat != NULL);
    }

    if (fault) {
        reason("%s", fault);
        free(fault);
    }

    if (cat && statements) {
        print_statements(cat);

    } else if (cat) {
        check_endpoints(failures, cat, conn);
        check_platform(failures, cat, conn);
    }

    tn_catalogue_free(cat);
    tn_core_free(core);

    return rc;
}


int
ctl_doctor(int argc, char **argv)
{
    int opt, rc, failures, statements;
    const char *database;
    PGconn *conn;

    static const struct option options[] = {
        { "database", required_argument, NULL, 'D' },
        { "statements", no_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    database = NULL;
    statements = 0;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'D':
            database = optarg;
            break;
        case 's':
            statements = 1;
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

    if (ctl_connect(&conn, database, "dbname=tenon user=tenon_api") != 0) {
        return CTL_FAILED;
    }

    failures = 0;
    rc = examine(&failures, conn, statements);
    PQfinish(conn);

    if (rc == 0 && !statements) {
        printf("%s\n", failures ? "something is wrong" : "all is well");
    }

    return rc == 0 && failures == 0 ? CTL_OK : CTL_FAILED;
}
