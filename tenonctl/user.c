/*
 * user.c: what an operator says of a user. Who they are at identity providers
 * outside, where the provider's word for an address isn't enough, or isn't
 * there: the table's trigger writes that down. That they have lost their second
 * factor and its recovery codes.
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
    char tenants[24]; /* how many heard of a reset */
} user_args;


static const char help[] =
    "usage: tenonctl user link --tenant SLUG --email ADDRESS --issuer URL\n"
    "                          --subject TEXT [--database CONNINFO]\n"
    "       tenonctl user unlink --tenant SLUG --issuer URL --subject TEXT\n"
    "                            [--database CONNINFO]\n"
    "       tenonctl user reset-mfa --tenant SLUG --email ADDRESS\n"
    "                               [--database CONNINFO]\n"
    "\n"
    "link says that whom an issuer (nginx's tenon_issuer) names so in its "
    "tokens is\n"
    "this user of the tenant; unlink takes that back, in every tenant of the "
    "realm,\n"
    "and no token links it again.\n"
    "Tokens of whom another user is linked to afterwards are refused for up to "
    "five\n"
    "minutes. reset-mfa removes the second factor of a user who has lost the "
    "device\n"
    "and the recovery codes, and ends their sessions in every tenant; make "
    "sure "
    "first\n"
    "that it is they who ask. Within five seconds nodes know. Run it as "
    "tenon_owner.\n"
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
link_user(PGconn *conn, user_args *args)
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
                  " on conflict (realm_id, issuer, subject)"
                  " do update set id = excluded.id, unlinked_at = null,"
                  "               user_id = excluded.user_id"
                  "  where user_identity.unlinked_at is not null"
                  " returning user_id",
                  3, params) != 0) {
        return -1;
    }

    n = PQntuples(res);
    PQclear(res);

    return n ? 0
             : ctl_error("%s has no member with the address %s, or %s of %s is "
                         "linked already: unlink it first",
                         args->tenant, args->email, args->subject,
                         args->issuer);
}


static int
unlink_user(PGconn *conn, user_args *args)
{
    int n;
    PGresult *res;
    const char *params[] = { args->issuer, args->subject };

    if (ctl_query(&res, conn, "unlinking",
                  "update tenon.user_identity set unlinked_at = now()"
                  " where issuer = $1::text and subject = $2::text"
                  "   and unlinked_at is null"
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


/* Reads the user's ids, and holds the row until the transaction ends. */
static int
hold_user(PGresult **user, PGconn *conn, const user_args *args)
{
    const char *params[] = { args->email };

    if (ctl_query(user, conn, "reading the user",
                  "select u.realm_id, u.id from tenon.\"user\" u"
                  " where u.email = lower($1::text) and u.deleted_at is null"
                  "   and exists (select from tenon.member m"
                  "                where m.realm_id = u.realm_id"
                  "                  and m.user_id = u.id"
                  "                  and m.deleted_at is null)"
                  "   for no key update of u",
                  1, params) != 0) {
        return -1;
    }

    if (PQntuples(*user) == 0) {
        PQclear(*user);
        return ctl_error("%s has no member with the address %s", args->tenant,
                         args->email);
    }

    return 0;
}


static int
drop_factor(PGconn *conn, const user_args *args, const char *const ids[2])
{
    int gone;
    PGresult *res;

    if (ctl_query(&res, conn, "removing the second factor",
                  "select tenon.drop_factor($1::uuid, $2::uuid, 'operator')", 2,
                  ids) != 0) {
        return -1;
    }

    gone = PQgetvalue(res, 0, 0)[0] == 't';
    PQclear(res);

    return gone ? 0 : ctl_error("%s has no second factor", args->email);
}


/* As tenon_api: what tells the tenants is written by the functions, and no
 * trigger adds to it. */
static int
reset_mfa(PGconn *conn, user_args *args)
{
    int rc;
    PGresult *user, *ended;
    const char *ids[2];

    if (ctl_query(NULL, conn, "becoming tenon_api", "set local role tenon_api",
                  0, NULL) != 0 ||
        ctl_query(NULL, conn, "setting lock_timeout",
                  "select set_config('lock_timeout', '5s', true)", 0,
                  NULL) != 0 ||
        hold_user(&user, conn, args) != 0) {
        return -1;
    }

    ids[0] = PQgetvalue(user, 0, 0);
    ids[1] = PQgetvalue(user, 0, 1);
    rc = drop_factor(conn, args, ids);

    if (rc == 0) {
        rc = ctl_query(NULL, conn, "changing the user's version",
                       "update tenon.\"user\""
                       "   set version = version + 1, updated_at = now()"
                       " where realm_id = $1::uuid and id = $2::uuid",
                       2, ids);
    }

    if (rc == 0) {
        rc = ctl_query(&ended, conn, "ending sessions",
                       "select count(*) from tenon.end_sessions("
                       "$1::uuid, $2::uuid, null, 'mfa_reset')",
                       2, ids);
    }

    if (rc == 0) {
        snprintf(args->tenants, sizeof(args->tenants), "%s",
                 PQgetvalue(ended, 0, 0));
        PQclear(ended);
    }

    PQclear(user);

    return rc;
}


/* What may be said, and what of it takes which options. */
static const struct verb {
    const char *name;
    int (*run)(PGconn *conn, user_args *args);
    int email;
    int identity; /* --issuer and --subject */
} verbs[] = {
    { "link", link_user, 1, 1 },
    { "unlink", unlink_user, 0, 1 },
    { "reset-mfa", reset_mfa, 1, 0 },
};

#define NVERBS (sizeof(verbs) / sizeof(verbs[0]))


static int
run(const struct verb *verb, user_args *args)
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
        rc = verb->run(conn, args);
    }

    if (rc == 0) {
        rc = ctl_query(NULL, conn, "committing", "commit", 0, NULL);
    }

    if (rc == 0 && args->tenants[0]) {
        printf("%s: the second factor is gone, and every session is over; "
               "organizations: %s\n",
               args->email, args->tenants);
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


/* Whether what the verb takes is there, and no more. */
static int
complete(const struct verb *verb, const user_args *args)
{
    size_t i;
    const struct {
        const char *name;
        const char *value;
        int wanted;
    } options[] = {
        { "--tenant", args->tenant, 1 },
        { "--email", args->email, verb->email },
        { "--issuer", args->issuer, verb->identity },
        { "--subject", args->subject, verb->identity },
    };

    for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (options[i].wanted != (options[i].value != NULL)) {
            ctl_error("%s %s %s", verb->name,
                      options[i].wanted ? "needs" : "takes no",
                      options[i].name);
            return 0;
        }
    }

    return 1;
}


int
ctl_user(int argc, char **argv)
{
    int opt;
    size_t i;
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

    for (i = 0; i < NVERBS; i++) {
        if (argc - optind == 1 && strcmp(argv[optind], verbs[i].name) == 0) {
            return !complete(&verbs[i], &args)  ? called_wrong()
                   : run(&verbs[i], &args) == 0 ? CTL_OK
                                                : CTL_FAILED;
        }
    }

    ctl_error("say link, unlink or reset-mfa");

    return called_wrong();
}
