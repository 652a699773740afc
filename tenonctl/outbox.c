/*
 * outbox.c: the tokens that are on their way to somebody, for as long as nothing
 * mails them: of pending invitations, of addresses to be verified, of passwords
 * to be reset. A tool for development: a token lies nowhere, but who has the key
 * file and the database can make every one of them, and so can this.
 */

#include "tenonctl.h"
#include <tenon/core.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct outbox {
    const char *tenant; /* slug; NULL: all */
    const char *secret; /* file */
    const char *database;
    int json;
    unsigned long shown;
    tn_core *core;
} outbox;


static const char help[] =
    "usage: tenonctl outbox [OPTION]...\n"
    "\n"
    "Prints what would be mailed: of each token that can still be used the\n"
    "tenant, purpose (verify, reset, invitation), address, role, end and "
    "token,\n"
    "a line each. For development; run it as tenon_owner.\n"
    "\n"
    "  --tenant SLUG        of this tenant alone\n"
    "  --json               as one JSON array\n"
    "  --secret FILE        nginx's tenon_secret, \"-\" is stdin\n"
    "                       ($TENON_VAR/keys/secret.key)\n"
    "  --database CONNINFO  libpq's form (the one in $TENON_VAR, if there is\n"
    "                       one; else \"dbname=tenon user=tenon_owner\")\n"
    "\n"
    "Without $TENON_VAR it is ./var, where `make run` keeps things.\n";


/* A core is what makes tokens; nothing else of it is used. */
static int
make_core(outbox *out)
{
    int rc;
    size_t size, n;
    char *path, *text;
    tn_core_conf conf;

    path = out->secret ? ctl_format("%s", out->secret)
                       : ctl_var_path("keys/secret.key");
    rc = ctl_file_read(&text, &size, path);

    if (rc != 0) {
        free(path);
        return rc;
    }

    tn_core_conf_init(&conf);
    n = strcspn(text, "\r\n");

    if (sodium_base642bin(conf.secret, sizeof(conf.secret), text, n, NULL, &n,
                          NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
        n != sizeof(conf.secret)) {
        rc = ctl_error("%s: a key is 32 bytes in base64url without padding",
                       path);

    } else if (tn_core_new(&out->core, &conf) != TN_OK) {
        rc = ctl_error("out of memory");
    }

    sodium_memzero(&conf, sizeof(conf));
    sodium_memzero(text, size);
    free(text);
    free(path);

    return rc;
}


/* What a row holds. */
enum {
    PURPOSE,
    ID,
    EMAIL,
    EMAIL_JSON,
    ROLE, /* null: the purpose knows none */
    END,
    REALM,
};


static void
show(outbox *out, const char *slug, const char *token, const PGresult *res,
     int row)
{
    int has_role;
    const char *quote, *role;

    has_role = !PQgetisnull(res, row, ROLE);
    role = PQgetvalue(res, row, ROLE);
    quote = has_role ? "\"" : "";

    if (out->json) {
        printf("%s\n {\"tenant\":\"%s\",\"purpose\":\"%s\",\"id\":\"%s\","
               "\"email\":%s,\"role\":%s%s%s,\"expires_at\":\"%s\","
               "\"token\":\"%s\"}",
               out->shown ? "," : "", slug, PQgetvalue(res, row, PURPOSE),
               PQgetvalue(res, row, ID), PQgetvalue(res, row, EMAIL_JSON),
               quote, has_role ? role : "null", quote,
               PQgetvalue(res, row, END), token);
    } else {
        printf("%-16s  %-10s  %-32s  %-6s  %s  %s\n", slug,
               PQgetvalue(res, row, PURPOSE), PQgetvalue(res, row, EMAIL),
               has_role ? role : "-", PQgetvalue(res, row, END), token);
    }

    out->shown++;
}


static tn_err
make_token(char token[TN_ONE_TIME_TOKEN_SIZE], const outbox *out,
           const char *tenant, const PGresult *res, int row)
{
    const char *purpose, *id, *realm;

    purpose = PQgetvalue(res, row, PURPOSE);
    id = PQgetvalue(res, row, ID);
    realm = PQgetvalue(res, row, REALM);

    if (strcmp(purpose, "invitation") == 0) {
        return tn_invitation_token(token, out->core,
                                   (tn_str){ tenant, strlen(tenant) },
                                   (tn_str){ id, strlen(id) });
    }

    return tn_one_time_token(
        token, out->core, (tn_str){ purpose, strlen(purpose) },
        (tn_str){ realm, strlen(realm) }, (tn_str){ id, strlen(id) });
}


_Static_assert(TN_ONE_TIME_TOKEN_SIZE == TN_INVITATION_TOKEN_SIZE,
               "one buffer for either");


/* Row security shows one tenant at a time, to its owner too. */
static int
show_tenant(outbox *out, PGconn *conn, const char *id, const char *slug)
{
    int i;
    PGresult *res;
    const char *params[1];
    char token[TN_ONE_TIME_TOKEN_SIZE];

    params[0] = id;

    if (ctl_query(NULL, conn, slug,
                  "select set_config('tenon.tenant', $1, false)", 1,
                  params) != 0 ||
        ctl_query(NULL, conn, slug,
                  "select set_config('tenon.realm', realm_id::text, false)"
                  "  from tenon.tenant where tenant_id = $1::uuid",
                  1, params) != 0 ||
        ctl_query(&res, conn, slug,
                  "select purpose, id, email, to_json(email), role,"
                  " to_char(expires_at at time zone 'UTC',"
                  " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), realm_id"
                  "  from (select 0 as place, purpose, id, email,"
                  "               null::text as role, expires_at, created_at,"
                  "               realm_id"
                  "          from tenon.one_time"
                  "         where tenant_id = $1::uuid and used_at is null"
                  "           and user_id is not null"
                  "        union all"
                  "        select 1, 'invitation', id, email, role,"
                  "               expires_at, created_at, realm_id"
                  "          from tenon.invitation"
                  "         where tenant_id = $1::uuid and status = 'pending'"
                  "           and deleted_at is null) pending"
                  " where expires_at > now()"
                  " order by place, created_at, id",
                  1, params) != 0) {
        return -1;
    }

    for (i = 0; i < PQntuples(res); i++) {
        if (make_token(token, out, id, res, i) != TN_OK) {
            PQclear(res);
            return ctl_error("%s: row %d has an id that is no UUID", slug, i);
        }

        show(out, slug, token, res, i);
        sodium_memzero(token, sizeof(token));
    }

    PQclear(res);

    return 0;
}


static int
show_all(outbox *out, PGconn *conn)
{
    int i, rc;
    PGresult *res;
    const char *params[1];

    params[0] = out->tenant;

    /* whose the tenants are, only the look-ups' role sees */
    if (ctl_query(NULL, conn, "becoming tenon_lookup", "set role tenon_lookup",
                  0, NULL) != 0 ||
        ctl_query(&res, conn, "reading tenants",
                  "select tenant_id, slug from tenon.tenant"
                  " where deleted_at is null"
                  "   and ($1::text is null or slug = $1::text)"
                  " order by slug",
                  1, params) != 0) {
        return -1;
    }

    rc = ctl_query(NULL, conn, "becoming who connected", "reset role", 0, NULL);

    if (rc == 0 && out->tenant && PQntuples(res) == 0) {
        rc = ctl_error("there is no tenant \"%s\"", out->tenant);
    }

    if (rc == 0 && out->json) {
        putchar('[');
    }

    for (i = 0; rc == 0 && i < PQntuples(res); i++) {
        rc = show_tenant(out, conn, PQgetvalue(res, i, 0),
                         PQgetvalue(res, i, 1));
    }

    if (rc == 0 && out->json) {
        puts(out->shown ? "\n]" : "]");
    }

    PQclear(res);

    return rc;
}


static int
run(outbox *out)
{
    int rc;
    char *host, *fallback;
    PGconn *conn;

    rc = make_core(out);
    if (rc != 0) {
        return rc;
    }

    host = ctl_var_path("run");
    fallback = host[0] == '/' ? ctl_format("host=%s port=5432 dbname=tenon "
                                           "user=tenon_owner",
                                           host)
                              : ctl_format("dbname=tenon user=tenon_owner");

    rc = ctl_connect(&conn, out->database, fallback);

    if (rc == 0) {
        rc = show_all(out, conn);
        PQfinish(conn);
    }

    tn_core_free(out->core);
    free(fallback);
    free(host);

    return rc;
}


int
ctl_outbox(int argc, char **argv)
{
    int opt;
    outbox out;

    static const struct option options[] = {
        { "tenant", required_argument, NULL, 't' },
        { "json", no_argument, NULL, 'j' },
        { "secret", required_argument, NULL, 's' },
        { "database", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    memset(&out, 0, sizeof(out));

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 't':
            out.tenant = optarg;
            break;
        case 'j':
            out.json = 1;
            break;
        case 's':
            out.secret = optarg;
            break;
        case 'D':
            out.database = optarg;
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

    return run(&out) == 0 ? CTL_OK : CTL_FAILED;
}
