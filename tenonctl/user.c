/*
 * user.c: who users are at identity providers outside, where the provider's
 * word for an address isn't enough, or isn't there: said by the operator. The
 * table's trigger writes it down.
 */

#include "tenonctl.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct user_args {
    const char *tenant; /* slug */
    const char *email;
    const char *issuer;
    const char *subject;
    const char *database;
} user_args;


static const char help[] =
    "usage: tenonctl user link --tenant SLUG --email ADDRESS --issuer URL\n"
    "                          --subject TEXT [--database CONNINFO]\n"
    "       tenonctl user unlink --tenant SLUG --issuer URL --subject TEXT\n"
    "                            [--database CONNINFO]\n"
    "\n"
    "Says that whom an issuer (nginx's tenon_issuer) names so in its tokens "
    "is\n"
    "this user of the tenant, or takes that back; within five seconds nodes\n"
    "know. Run it as tenon_owner.\n"
    "\n"
    "  --tenant SLUG        the tenant whose member the user is\n"
    "  --email ADDRESS      the user's\n"
    "  --issuer URL         what its tokens say in iss\n"
    "  --subject TEXT       what they say in sub, or in tenon_issuer's "
    "user_claim\n"
    "  --database CONNINFO  libpq's form (\"dbname=tenon user=tenon_owner\")\n";


/* Whose rows are meant: row security shows one tenant at a time. */
static int
enter(PGconn *conn, const user_args *args)
{
    int rc;
    PGresult *res;
    const char *params[2];

    params[0] = args->tenant;

    if (ctl_query(NULL, conn, "becoming tenon_lookup",
                  "set local role tenon_lookup", 0, NULL) != 0 ||
        ctl_query(&res, conn, "reading tenants",
                  "select tenant_id, realm_id from tenon.tenant"
                  " where deleted_at is null and slug = $1::text",
                  1, params) != 0) {
        return -1;
    }

    if (PQntuples(res) == 0) {
        PQclear(res);
        return ctl_error("there is no tenant \"%s\"", args->tenant);
    }

    params[0] = PQgetvalue(res, 0, 0);
    params[1] = PQgetvalue(res, 0, 1);
    rc = ctl_query(NULL, conn, "becoming who connected", "reset role", 0, NULL);

    if (rc == 0) {
        rc = ctl_query(NULL, conn, args->tenant,
                       "select set_config('tenon.tenant', $1::text, true),"
                       "       set_config('tenon.realm', $2::text, true)",
                       2, params);
    }

    PQclear(res);

    return rc;
}


static int
link_user(PGconn *conn, const user_args *args)
{
    int n;
    PGresult *res;
    const char *params[] = { args->email, args->issuer, args->subject };

    if (ctl_query(&res, conn, "linking",
                  "insert into tenon.user_identity"
                  "       (realm_id, issuer, subject, user_id)"
                  " select u.realm_id, $2::text, $3::text, u.id"
                  "  from tenon.\"user\" u"
                  "  join tenon.member m on m.realm_id = u.realm_id"
                  "                     and m.user_id = u.id"
                  " where u.email = lower($1::text)"
                  "   and u.deleted_at is null and m.deleted_at is null"
                  " returning user_id",
                  3, params) != 0) {
        return -1;
    }

    n = PQntuples(res);
    PQclear(res);

    return n ? 0
             : ctl_error("%s has no member with the address %s", args->tenant,
                         args->email);
}


static int
unlink_user(PGconn *conn, const user_args *args)
{
    int n;
    PGresult *res;
    const char *params[] = { args->issuer, args->subject };

    if (ctl_query(&res, conn, "unlinking",
                  "delete from tenon.user_identity"
                  " where issuer = $1::text and subject = $2::text"
                  " returning user_id",
                  2, params) != 0) {
        return -1;
    }

    n = PQntuples(res);
    PQclear(res);

    return n ? 0
             : ctl_error("nobody is linked to %s of %s", args->subject,
                         args->issuer);
}


static int
run(const user_args *args)
{
    int rc;
    PGconn *conn;

    rc = ctl_connect(&conn, args->database, "dbname=tenon user=tenon_owner");
    if (rc != 0) {
        return rc;
    }

    rc = ctl_query(NULL, conn, "beginning", "begin", 0, NULL);

    if (rc == 0) {
        rc = enter(conn, args);
    }

    if (rc == 0) {
        rc = args->email ? link_user(conn, args) : unlink_user(conn, args);
    }

    if (rc == 0) {
        rc = ctl_query(NULL, conn, "committing", "commit", 0, NULL);
    }

    PQfinish(conn);

    return rc;
}


static int
called_wrong(void)
{
    fputs(help, stderr);

    return CTL_USAGE;
}


int
ctl_user(int argc, char **argv)
{
    int opt, linking;
    user_args args;

    static const struct option options[] = {
        { "tenant", required_argument, NULL, 't' },
        { "email", required_argument, NULL, 'e' },
        { "issuer", required_argument, NULL, 'i' },
        { "subject", required_argument, NULL, 's' },
        { "database", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    memset(&args, 0, sizeof(args));

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 't':
            args.tenant = optarg;
            break;
        case 'e':
            args.email = optarg;
            break;
        case 'i':
            args.issuer = optarg;
            break;
        case 's':
            args.subject = optarg;
            break;
        case 'D':
            args.database = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return CTL_OK;
        default:
            return called_wrong();
        }
    }

    if (argc - optind != 1) {
        ctl_error("say link or unlink");
        return called_wrong();
    }

    linking = strcmp(argv[optind], "link") == 0;

    if (!linking && strcmp(argv[optind], "unlink") != 0) {
        ctl_error("say link or unlink");
        return called_wrong();
    }

    if (!args.tenant || !args.issuer || !args.subject ||
        linking != (args.email != NULL)) {
        ctl_error("%s needs --tenant, --issuer%s", argv[optind],
                  linking ? ", --subject and --email" : " and --subject");
        return called_wrong();
    }

    return run(&args) == 0 ? CTL_OK : CTL_FAILED;
}
