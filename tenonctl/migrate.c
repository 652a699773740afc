/*
 * migrate.c: applies the numbered files of schema/migrations, each in one
 * transaction, and remembers their checksums: a file that was applied never
 * changes and never goes; what comes new comes behind.
 */

#include "tenonctl.h"
#include <ctype.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MONTHS_AHEAD  12
#define CHECKSUM_TEXT (2 * crypto_hash_sha256_BYTES + 1)

typedef struct migration {
    const ctl_file *file;
    long version;
    char *name; /* "platform" of 0001_platform.sql */
    char checksum[CHECKSUM_TEXT];
} migration;


static const char help[] =
    "usage: tenonctl migrate [--dir DIR] [--database CONNINFO]\n"
    "\n"
    "Applies the files NNNN_name.sql of DIR (schema/migrations) that the\n"
    "database doesn't have yet, in order, each in one transaction, and makes\n"
    "the partitions of events for a year ahead. Run it as tenon_owner, as\n"
    "often as you like. It refuses to go on when a file that was applied has\n"
    "changed or is missing, and gives up where another session keeps a table\n"
    "locked for over a second (unless PGOPTIONS sets another lock_timeout).\n"
    "\n"
    "  --dir DIR            where the files lie\n"
    "  --database CONNINFO  libpq's form (\"dbname=tenon user=tenon_owner\")\n";


/* The table belongs to the first migration too, in the same words: a file
 * may also be run by hand, with psql. */
static const char create_table[] =
    "do $$ begin"
    "  if to_regclass('tenon.migration') is null then"
    "    create schema if not exists tenon;"
    "    create table tenon.migration ("
    "      version int primary key, name text not null,"
    "      checksum text not null,"
    "      applied_at timestamptz not null default now());"
    "  end if;"
    "end $$";


static int
parse_name(migration *m, const ctl_file *file)
{
    size_t i, n;
    const char *name = file->name;

    n = strlen(name) - strlen(".sql");

    for (i = 0; i < n; i++) {
        if (i < 4 ? !isdigit((unsigned char) name[i])
            : i == 4
                ? name[i] != '_'
                : !islower((unsigned char) name[i]) &&
                      !isdigit((unsigned char) name[i]) && name[i] != '_') {
            break;
        }
    }

    if (i < n || n < 6) {
        return ctl_error("%s: a migration is called NNNN_name.sql: four "
                         "digits, then a-z, 0-9 and _",
                         file->path);
    }

    m->file = file;
    m->version = strtol(name, NULL, 10);
    m->name = ctl_format("%.*s", (int) n - 5, name + 5);

    return 0;
}


static int
read_migrations(migration **list, const ctl_files *files)
{
    size_t i;
    unsigned char sum[crypto_hash_sha256_BYTES];
    migration *m;

    *list = m = calloc(files->n + 1, sizeof(migration));
    if (m == NULL) {
        return ctl_error("out of memory");
    }

    for (i = 0; i < files->n; i++) {
        if (parse_name(&m[i], &files->list[i]) != 0) {
            return -1;
        }

        if (i && m[i].version == m[i - 1].version) {
            return ctl_error("%s and %s have the same number",
                             m[i - 1].file->path, m[i].file->path);
        }

        crypto_hash_sha256(sum, (const unsigned char *) m[i].file->text,
                           m[i].file->size);
        sodium_bin2hex(m[i].checksum, CHECKSUM_TEXT, sum, sizeof(sum));
    }

    return 0;
}


static void
free_migrations(migration *list, size_t n)
{
    size_t i;

    for (i = 0; list && i < n; i++) {
        free(list[i].name);
    }

    free(list);
}


/* What the database has must be the first files, unchanged. */
static int
compare(size_t *applied, const migration *list, size_t n, PGconn *conn)
{
    int i, rows, rc;
    long version;
    const char *name;
    PGresult *res;

    if (ctl_query(&res, conn, "reading tenon.migration",
                  "select version, name, checksum from tenon.migration "
                  "order by version",
                  0, NULL) != 0) {
        return -1;
    }

    rows = PQntuples(res);
    rc = 0;

    for (i = 0; i < rows && rc == 0; i++) {
        version = strtol(PQgetvalue(res, i, 0), NULL, 10);
        name = PQgetvalue(res, i, 1);

        if ((size_t) i >= n || list[i].version > version) {
            rc = ctl_error("the database has migration %04ld_%s.sql, but the "
                           "file is missing; is this an older version of "
                           "Tenon?",
                           version, name);

        } else if (list[i].version < version) {
            rc = ctl_error("%s is new, but comes before %04ld_%s.sql, which "
                           "was applied; give it a number at the end",
                           list[i].file->path, version, name);

        } else if (strcmp(list[i].checksum, PQgetvalue(res, i, 2)) != 0 ||
                   strcmp(list[i].name, name) != 0) {
            rc = ctl_error("%s was changed after it was applied; put it back "
                           "as it was, and write the change as a new "
                           "migration",
                           list[i].file->path);
        }
    }

    PQclear(res);
    *applied = (size_t) rows;

    return rc;
}


static int
apply(const migration *m, PGconn *conn)
{
    int rc;
    char version[16];
    const char *params[3];

    snprintf(version, sizeof(version), "%ld", m->version);
    params[0] = version;
    params[1] = m->name;
    params[2] = m->checksum;

    if (ctl_query(NULL, conn, m->file->path, "begin", 0, NULL) != 0) {
        return -1;
    }

    rc = ctl_run_file(conn, m->file->path, m->file->text);

    if (rc == 0) {
        rc = ctl_query(NULL, conn, m->file->path,
                       "insert into tenon.migration (version, name, checksum) "
                       "values ($1::int, $2::text, $3::text)",
                       3, params);
    }

    if (rc == 0) {
        rc = ctl_query(NULL, conn, m->file->path, "commit", 0, NULL);
    }

    if (rc == 0) {
        printf("applied %s\n", m->file->name);
        fflush(stdout);
    }

    return rc;
}


/* Month by month, each in a transaction of its own: making one locks the
 * DEFAULT partition. Also when no migration was due, for time goes by. */
static int
make_partitions(PGconn *conn)
{
    int rc;
    long made;
    unsigned months;
    char text[16];
    PGresult *res;
    const char *params[1];

    params[0] = text;
    made = 0;
    rc = 0;

    for (months = 0; months <= MONTHS_AHEAD && rc == 0; months++) {
        snprintf(text, sizeof(text), "%u", months);

        rc = ctl_query(&res, conn, "making partitions of events",
                       "select tenon.make_partitions($1::int)", 1, params);

        if (rc == 0) {
            made += strtol(PQgetvalue(res, 0, 0), NULL, 10);
            PQclear(res);
        }
    }

    if (made) {
        printf("made %ld partition%s of events\n", made, made > 1 ? "s" : "");
    }

    return rc;
}


static int
migrate(const char *dir, PGconn *conn)
{
    int rc;
    size_t i, applied;
    ctl_files files;
    migration *list;

    if (ctl_files_read(&files, dir) != 0) {
        return -1;
    }

    list = NULL;
    applied = 0;
    rc = -1;

    if (files.n == 0) {
        ctl_error("there are no migrations in %s", dir);
    } else if (read_migrations(&list, &files) == 0 && ctl_lock(conn) == 0 &&
               ctl_query(NULL, conn, "making tenon.migration", create_table, 0,
                         NULL) == 0) {
        rc = compare(&applied, list, files.n, conn);
    }

    for (i = applied; rc == 0 && i < files.n; i++) {
        rc = apply(&list[i], conn);
    }

    if (rc == 0 && applied == files.n) {
        printf("up to date: %04ld_%s\n", list[applied - 1].version,
               list[applied - 1].name);
    }

    if (rc == 0) {
        rc = make_partitions(conn);
    }

    free_migrations(list, files.n);
    ctl_files_free(&files);

    return rc;
}


int
ctl_migrate(int argc, char **argv)
{
    int opt, rc;
    char *dir;
    const char *database;
    PGconn *conn;

    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' },
        { "database", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    dir = NULL;
    database = NULL;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'd':
            free(dir);
            dir = ctl_format("%s", optarg);
            break;
        case 'D':
            database = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            free(dir);
            return CTL_OK;
        default:
            fputs(help, stderr);
            free(dir);
            return CTL_USAGE;
        }
    }

    if (optind != argc) {
        ctl_error("what is \"%s\"?", argv[optind]);
        fputs(help, stderr);
        free(dir);
        return CTL_USAGE;
    }

    if (dir == NULL) {
        dir = ctl_schema_path("migrations");
    }

    rc = ctl_connect(&conn, database, "dbname=tenon user=tenon_owner");

    if (rc == 0) {
        rc = migrate(dir, conn);
        PQfinish(conn);
    }

    free(dir);

    return rc == 0 ? CTL_OK : CTL_FAILED;
}
