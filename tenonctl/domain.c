/*
 * domain.c: whose the domains are that tenants say are theirs. Verified is one
 * whose DNS holds its challenge. What a verification finds later doesn't undo
 * it: a DNS that is out of order for an hour must not close a tenant's door;
 * who took a domain over has the operator release it.
 */

#include "tenonctl.h"
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct domains {
    const char *database;
    const char *resolver;
    int force;
    int json;
    char **names; /* of these alone; none: of all */
    int nnames;
    PGconn *conn;
    PGresult *all; /* every tenant's; its columns are below */
} domains;

/* The columns of `all`. */
enum {
    TENANT,
    ID,
    DOMAIN,
    CHALLENGE,
    STATUS,
    SLUG,
    TOLD,
};

#define CELL(d, row, column) PQgetvalue((d)->all, (row), (column))


static const char help[] =
    "usage: tenonctl domain list [--json] [--database CONNINFO]\n"
    "       tenonctl domain verify [DOMAIN]... [--resolver ADDRESS:PORT]\n"
    "                              [--force] [--database CONNINFO]\n"
    "       tenonctl domain release DOMAIN... [--database CONNINFO]\n"
    "\n"
    "list     prints the domains of all tenants: tenant, domain, status and\n"
    "         the TXT record that shows whose it is\n"
    "verify   looks for that record at _tenon-challenge.DOMAIN, of the named\n"
    "         domains, or of all that are pending. One that is found makes "
    "the\n"
    "         domain its tenant's: requests to that host are the tenant's.\n"
    "         Run it every few minutes. One that is verified stays so, also\n"
    "         when it is named and its record isn't there any more (exit code\n"
    "         1). Of several tenants who say that a domain is theirs, it is\n"
    "         the first's that is verified; the others' are refused.\n"
    "release  makes verified domains pending again: when another tenant has\n"
    "         come to own it\n"
    "\n"
    "Run it as tenon_owner.\n"
    "\n"
    "  --resolver ADDRESS:PORT  this resolver, not the system's\n"
    "  --force                  don't look: the operator knows; the domain is\n"
    "                           named as SLUG/DOMAIN where several tenants\n"
    "                           have it\n"
    "  --json                   as one JSON array\n"
    "  --database CONNINFO      libpq's form (\"dbname=tenon "
    "user=tenon_owner\")\n";


/* Row security shows one tenant at a time; the look-ups' role sees all. */
static int
read_all(domains *d)
{
    if (ctl_query(NULL, d->conn, "becoming tenon_lookup",
                  "set role tenon_lookup", 0, NULL) != 0 ||
        ctl_query(&d->all, d->conn, "reading domains",
                  "select d.tenant_id, d.id, d.domain, d.challenge,"
                  "       case when d.verified_at is null"
                  "            then 'pending' else 'verified' end,"
                  "       t.slug,"
                  "       json_build_object("
                  "           'tenant', t.slug, 'id', d.id,"
                  "           'domain', d.domain,"
                  "           'status', case when d.verified_at is null"
                  "                          then 'pending'"
                  "                          else 'verified' end,"
                  "           'record', '_tenon-challenge.' || d.domain,"
                  "           'value', d.challenge)"
                  "  from tenon.domain d"
                  "  join tenon.tenant t on t.tenant_id = d.tenant_id"
                  " where t.deleted_at is null or d.verified_at is not null"
                  " order by d.domain, d.created_at, d.id",
                  0, NULL) != 0) {
        return -1;
    }

    return ctl_query(NULL, d->conn, "becoming who connected", "reset role", 0,
                     NULL);
}


/* A name is DOMAIN or SLUG/DOMAIN. */
static int
is_named(const domains *d, int row, const char *name)
{
    size_t n;
    const char *slash;

    slash = strchr(name, '/');

    if (slash == NULL) {
        return strcmp(CELL(d, row, DOMAIN), name) == 0;
    }

    n = (size_t) (slash - name);

    return strlen(CELL(d, row, SLUG)) == n &&
           memcmp(CELL(d, row, SLUG), name, n) == 0 &&
           strcmp(CELL(d, row, DOMAIN), slash + 1) == 0;
}


static int
is_wanted(const domains *d, int row)
{
    int i;

    for (i = 0; i < d->nnames; i++) {
        if (is_named(d, row, d->names[i])) {
            return 1;
        }
    }

    return 0;
}


/* Each name is some tenant's; a forced one is one tenant's. */
static int
check_names(const domains *d)
{
    char *p;
    int i, row, n;

    for (i = 0; i < d->nnames; i++) {
        n = 0;

        for (p = d->names[i]; *p; p++) {
            *p = (char) tolower((unsigned char) *p);
        }

        for (row = 0; row < PQntuples(d->all); row++) {
            n += is_named(d, row, d->names[i]);
        }

        if (n == 0) {
            return ctl_error("no tenant has the domain \"%s\"", d->names[i]);
        }

        if (n > 1 && d->force) {
            return ctl_error("%d tenants have the domain \"%s\": name one as "
                             "SLUG/%s",
                             n, d->names[i], d->names[i]);
        }
    }

    return 0;
}


/* The row, its place in the directory and the event are one statement:
 * triggers see to the latter two, and `cause` names the event. */
static int
change(domains *d, int row, const char *cause, const char *sql)
{
    int rc;
    PGresult *res;
    const char *state, *params[3];

    params[0] = CELL(d, row, TENANT);
    params[1] = CELL(d, row, ID);
    params[2] = cause;

    if (ctl_query(NULL, d->conn, CELL(d, row, DOMAIN),
                  "select set_config('tenon.tenant', $1, false),"
                  "       set_config('tenon.cause_id', $2, false),"
                  "       set_config('tenon.cause', $3, false)",
                  3, params) != 0) {
        return -1;
    }

    res = PQexecParams(d->conn, sql, 2, NULL, params, NULL, NULL, 0);
    state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    rc = 0;

    if (state && strcmp(state, "23505") == 0) {
        rc = ctl_error("%s: it is another tenant's already; if that has lost "
                       "it: tenonctl domain release %s",
                       CELL(d, row, DOMAIN), CELL(d, row, DOMAIN));

    } else if (PQresultStatus(res) != PGRES_COMMAND_OK) {
        rc = ctl_result_error(d->conn, res, CELL(d, row, DOMAIN));

    } else if (strcmp(PQcmdTuples(res), "1") != 0) {
        rc = ctl_error("%s: it was deleted or changed meanwhile",
                       CELL(d, row, DOMAIN));
    }

    PQclear(res);

    return rc;
}


static int
verify_one(domains *d, ctl_dns *dns, int row)
{
    int verified;
    char *name;
    const char *fault;

    fault = NULL;
    verified = strcmp(CELL(d, row, STATUS), "verified") == 0;

    if (!d->force) {
        name = ctl_format("_tenon-challenge.%s", CELL(d, row, DOMAIN));
        fault = ctl_dns_has_text(dns, name, CELL(d, row, CHALLENGE));

        if (fault) {
            ctl_error("%s (%s): %s: %s%s", CELL(d, row, DOMAIN),
                      CELL(d, row, SLUG), name, fault,
                      verified ? "; it stays verified" : "");
        }

        free(name);
    }

    if (fault) {
        return -1;
    }

    if (!verified && change(d, row, "domain.verified",
                            "update tenon.domain set verified_at = now()"
                            " where tenant_id = $1::uuid and id = $2::uuid"
                            "   and verified_at is null") != 0) {
        return -1;
    }

    printf("%s is verified: %s\n", CELL(d, row, DOMAIN), CELL(d, row, SLUG));

    return 0;
}


static int
verify(domains *d)
{
    int row, rc;
    ctl_dns *dns;

    rc = 0;

    if (d->force && d->nnames == 0) {
        return ctl_error("--force needs to be told which domain");
    }

    if (check_names(d) != 0 || ctl_dns_open(&dns, d->resolver) != 0) {
        return -1;
    }

    for (row = 0; row < PQntuples(d->all); row++) {
        if (d->nnames ? is_wanted(d, row)
                      : strcmp(CELL(d, row, STATUS), "pending") == 0) {
            rc |= verify_one(d, dns, row);
        }
    }

    ctl_dns_close(dns);

    return rc;
}


static int
release(domains *d)
{
    int row, rc;

    rc = 0;

    if (d->nnames == 0) {
        return ctl_error("which domain is to be released?");
    }

    if (check_names(d) != 0) {
        return -1;
    }

    for (row = 0; row < PQntuples(d->all); row++) {
        if (!is_wanted(d, row) ||
            strcmp(CELL(d, row, STATUS), "verified") != 0) {
            continue;
        }

        if (change(d, row, "domain.released",
                   "update tenon.domain set verified_at = null"
                   " where tenant_id = $1::uuid and id = $2::uuid"
                   "   and verified_at is not null") != 0) {
            rc = -1;
            continue;
        }

        printf("%s is pending again: %s\n", CELL(d, row, DOMAIN),
               CELL(d, row, SLUG));
    }

    return rc;
}


static int
list(domains *d)
{
    int row;

    for (row = 0; row < PQntuples(d->all); row++) {
        if (d->json) {
            printf("%s %s", row ? ",\n" : "[\n", CELL(d, row, TOLD));
        } else {
            printf("%-16s  %-32s  %-8s  _tenon-challenge.%s TXT \"%s\"\n",
                   CELL(d, row, SLUG), CELL(d, row, DOMAIN),
                   CELL(d, row, STATUS), CELL(d, row, DOMAIN),
                   CELL(d, row, CHALLENGE));
        }
    }

    if (d->json) {
        puts(row ? "\n]" : "[]");
    }

    return 0;
}


static const struct {
    const char *name;
    int (*run)(domains *d);
} actions[] = {
    { "list", list },
    { "verify", verify },
    { "release", release },
};

#define NACTIONS (sizeof(actions) / sizeof(actions[0]))


static int
run(domains *d, int (*action)(domains *d))
{
    int rc;

    if (ctl_connect(&d->conn, d->database, "dbname=tenon user=tenon_owner")) {
        return -1;
    }

    rc = read_all(d);

    if (rc == 0) {
        rc = action(d);
    }

    PQclear(d->all);
    PQfinish(d->conn);

    return rc;
}


int
ctl_domain(int argc, char **argv)
{
    int opt;
    size_t i;
    domains d;

    static const struct option options[] = {
        { "database", required_argument, NULL, 'D' },
        { "resolver", required_argument, NULL, 'r' },
        { "force", no_argument, NULL, 'f' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    memset(&d, 0, sizeof(d));

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'D':
            d.database = optarg;
            break;
        case 'r':
            d.resolver = optarg;
            break;
        case 'f':
            d.force = 1;
            break;
        case 'j':
            d.json = 1;
            break;
        case 'h':
            fputs(help, stdout);
            return CTL_OK;
        default:
            fputs(help, stderr);
            return CTL_USAGE;
        }
    }

    for (i = 0; optind < argc && i < NACTIONS; i++) {
        if (strcmp(argv[optind], actions[i].name) == 0) {
            d.names = argv + optind + 1;
            d.nnames = argc - optind - 1;

            return run(&d, actions[i].run) == 0 ? CTL_OK : CTL_FAILED;
        }
    }

    ctl_error("domain: list, verify or release?");
    fputs(help, stderr);

    return CTL_USAGE;
}
