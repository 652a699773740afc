/*
 * admin.c: the platform's own people. The first one has nobody to invite them,
 * so a command makes them; from then on they invite each other.
 */

#include "tenonctl.h"
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct admin {
    const char *email;
    const char *name;
    const char *password_file; /* NULL: they set one as if it were forgotten */
    const char *database;
} admin;


static const char help[] =
    "usage: tenonctl admin add EMAIL [OPTION]...\n"
    "       tenonctl admin list [--database CONNINFO]\n"
    "\n"
    "Makes somebody a super admin of the platform, who signs in at the host\n"
    "platform.BASE-DOMAIN; or lists those there are. Run it as tenon_owner.\n"
    "Who is a super admin already stays one, with name and password as they\n"
    "are. To take it away, remove the member from the platform over the API.\n"
    "\n"
    "  --name NAME           of one who is new (the address)\n"
    "  --password-file FILE  holds the password of one who is new, \"-\" is\n"
    "                        stdin; without it they set one by way of a\n"
    "                        forgotten one\n"
    "  --database CONNINFO   libpq's form (\"dbname=tenon "
    "user=tenon_owner\")\n";

/* Whose rows are meant: the platform's, and then those of its realm. */
static const char as_platform[] =
    "select set_config('tenon.tenant', tenon.platform()::text, true)";

static const char in_realm[] =
    "select set_config('tenon.realm', t.realm_id::text, true)"
    "  from tenon.tenant t where t.tenant_id = tenon.platform()";

/* One statement, so that two commands at once make one person. */
static const char add_person[] =
    "with made as ("
    "  insert into tenon.\"user\" (realm_id, email, name, password_hash)"
    "  values (current_setting('tenon.realm')::uuid, lower($1), $2, $3)"
    "      on conflict (realm_id, email) where deleted_at is null do nothing"
    "  returning id)"
    "select id from made union all "
    "select u.id from tenon.\"user\" u"
    " where u.realm_id = current_setting('tenon.realm')::uuid"
    "   and u.email = lower($1) and u.deleted_at is null"
    "   and u.status = 'active'"
    "   and (u.email_verified_at is not null or u.password_hash is null"
    "        or exists ("
    "        select from tenon.member m"
    "         where m.tenant_id = tenon.platform() and m.user_id = u.id"
    "           and m.role = 'super_admin' and m.deleted_at is null))";

static const char add_member[] =
    "insert into tenon.member (tenant_id, realm_id, user_id, role)"
    " values (tenon.platform(), current_setting('tenon.realm')::uuid, $1,"
    "         'super_admin')"
    "    on conflict (tenant_id, user_id) do update"
    "   set role = 'super_admin', created_at = case"
    "       when member.deleted_at is null then member.created_at"
    "       else now() end, deleted_at = null"
    " where member.role <> 'super_admin' or member.deleted_at is not null";

static const char list_people[] =
    "select u.email, u.name, m.created_at::date"
    "  from tenon.member m"
    "  join tenon.\"user\" u on u.realm_id = m.realm_id and u.id = m.user_id"
    " where m.tenant_id = tenon.platform() and m.role = 'super_admin'"
    "   and m.deleted_at is null"
    " order by m.created_at, m.id";


static int
in_context(PGconn *conn)
{
    if (ctl_query(NULL, conn, "beginning", "begin", 0, NULL) != 0 ||
        ctl_query(NULL, conn, "finding the platform", as_platform, 0, NULL) !=
            0) {
        return -1;
    }

    return ctl_query(NULL, conn, "finding its realm", in_realm, 0, NULL);
}


static int
add(const admin *a, PGconn *conn)
{
    int rc;
    char hash[128];
    PGresult *res;
    const char *params[3];

    if (a->password_file && ctl_hash_password(hash, a->password_file) != 0) {
        return -1;
    }

    params[0] = a->email;
    params[1] = a->name ? a->name : a->email;
    params[2] = a->password_file ? hash : NULL;

    if (in_context(conn) != 0 ||
        ctl_query(&res, conn, "making the user", add_person, 3, params) != 0) {
        return -1;
    }

    /* whoever has signed up with an address may not be whose it is */
    if (PQntuples(res) == 0) {
        PQclear(res);
        return ctl_error("%s: there is a user of this address who hasn't "
                         "verified it, or is disabled: have them reset their "
                         "password first",
                         a->email);
    }

    params[0] = PQgetvalue(res, 0, 0);
    rc = ctl_query(NULL, conn, "making the member", add_member, 1, params);
    PQclear(res);
    sodium_memzero(hash, sizeof(hash));

    return rc == 0 ? ctl_query(NULL, conn, "committing", "commit", 0, NULL)
                   : -1;
}


static int
list(PGconn *conn)
{
    int i;
    PGresult *res;

    if (in_context(conn) != 0 ||
        ctl_query(&res, conn, "reading", list_people, 0, NULL) != 0) {
        return -1;
    }

    for (i = 0; i < PQntuples(res); i++) {
        printf("%s\t%s\tsince %s\n", PQgetvalue(res, i, 0),
               PQgetvalue(res, i, 1), PQgetvalue(res, i, 2));
    }

    PQclear(res);

    return 0;
}


static int
usage(const char *what)
{
    if (what) {
        ctl_error("what is \"%s\"?", what);
    }

    fputs(help, stderr);

    return CTL_USAGE;
}


int
ctl_admin(int argc, char **argv)
{
    int opt, rc, adds;
    admin a;
    PGconn *conn;

    static const struct option options[] = {
        { "name", required_argument, NULL, 'n' },
        { "password-file", required_argument, NULL, 'p' },
        { "database", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    memset(&a, 0, sizeof(a));

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'n':
            a.name = optarg;
            break;
        case 'p':
            a.password_file = optarg;
            break;
        case 'D':
            a.database = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return CTL_OK;
        default:
            return usage(NULL);
        }
    }

    argc -= optind;
    argv += optind;
    adds = argc == 2 && strcmp(argv[0], "add") == 0;

    if (!adds && (argc != 1 || strcmp(argv[0], "list") != 0)) {
        return usage(argc ? argv[argc - 1] : NULL);
    }

    a.email = adds ? argv[1] : NULL;

    if (adds && (strchr(a.email, '@') == NULL || strlen(a.email) > 254)) {
        ctl_error("\"%s\" is no e-mail address", a.email);
        return CTL_USAGE;
    }

    rc = ctl_connect(&conn, a.database, "dbname=tenon user=tenon_owner");

    if (rc == 0) {
        rc = adds ? add(&a, conn) : list(conn);
        PQfinish(conn);
    }

    return rc == 0 ? CTL_OK : CTL_FAILED;
}
