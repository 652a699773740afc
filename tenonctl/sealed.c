/*
 * sealed.c: goes through all that is kept encrypted: tenant by tenant, column
 * by column.
 *
 * It works as tenon_api, under whose policies it sees one tenant at a time, and
 * for whom the triggers of tables do nothing: what is encrypted anew is no new
 * version of a row.
 */

#include "sealed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the platform itself keeps so; an app's fields are in the catalogue. */
static const struct {
    const char *relation; /* which is the table, too */
    const char *scope;
    const char *id;
    const char *column;
} fixed[] = {
    { "tenon.totp", "realm_id", "user_id", "secret" },
};

#define NFIXED (sizeof(fixed) / sizeof(fixed[0]))


static int
read_columns(sealed_walk *w)
{
    int i, n;
    sealed_column *c;
    PGresult *res;

    if (ctl_query(&res, w->conn, "reading what apps keep encrypted",
                  "select r.app || '.' || r.name,"
                  "       format('%I.%I', r.schema_name, r.table_name),"
                  "       quote_ident(f.name), f.name"
                  "  from tenon.field f"
                  "  join tenon.resource r on r.app = f.app"
                  "                       and r.name = f.resource"
                  " where f.encrypted order by 1, 4",
                  0, NULL) != 0) {
        return -1;
    }

    n = PQntuples(res);
    w->columns = calloc((size_t) n + NFIXED, sizeof(sealed_column));
    if (w->columns == NULL) {
        PQclear(res);
        return ctl_error("out of memory");
    }

    for (i = 0; i < n; i++) {
        c = &w->columns[w->ncolumns++];
        c->relation = ctl_format("%s", PQgetvalue(res, i, 0));
        c->table = ctl_format("%s", PQgetvalue(res, i, 1));
        c->scope = ctl_format("tenant_id");
        c->id = ctl_format("id");
        c->sql = ctl_format("%s", PQgetvalue(res, i, 2));
        c->name = ctl_format("%s", PQgetvalue(res, i, 3));
    }

    PQclear(res);

    return 0;
}


static int
add_fixed(sealed_walk *w)
{
    int there;
    size_t i;
    sealed_column *c;
    PGresult *res;
    const char *params[1];

    for (i = 0; i < NFIXED; i++) {
        params[0] = fixed[i].relation;

        if (ctl_query(&res, w->conn, fixed[i].relation,
                      "select to_regclass($1) is not null", 1, params) != 0) {
            return -1;
        }

        there = PQgetvalue(res, 0, 0)[0] == 't';
        PQclear(res);

        if (there) {
            c = &w->columns[w->ncolumns++];
            c->relation = ctl_format("%s", fixed[i].relation);
            c->table = ctl_format("%s", fixed[i].relation);
            c->scope = ctl_format("%s", fixed[i].scope);
            c->id = ctl_format("%s", fixed[i].id);
            c->sql = ctl_format("%s", fixed[i].column);
            c->name = ctl_format("%s", fixed[i].column);
        }
    }

    return 0;
}


/* Becomes tenon_api, whom the owner may become. */
int
sealed_begin(sealed_walk *w, PGconn *conn)
{
    memset(w, 0, sizeof(*w));
    w->conn = conn;

    if (read_columns(w) != 0 || add_fixed(w) != 0 ||
        ctl_query(&w->tenants, conn, "reading tenants",
                  "select t::text from tenon.every_tenant() t order by 1", 0,
                  NULL) != 0) {
        return -1;
    }

    w->realms = calloc((size_t) PQntuples(w->tenants) + 1, sizeof(char *));
    if (w->realms == NULL) {
        return ctl_error("out of memory");
    }

    if (ctl_query(NULL, conn, "becoming tenon_api", "set role tenon_api", 0,
                  NULL) != 0) {
        return ctl_error("run schema/bootstrap.sql again, as a superuser: it "
                         "lets tenon_owner be tenon_api");
    }

    return ctl_query(NULL, conn, "setting lock_timeout",
                     "select set_config('lock_timeout', '5s', false)", 0, NULL);
}


void
sealed_end(sealed_walk *w)
{
    int i;
    sealed_column *c;

    for (i = 0; i < w->ncolumns; i++) {
        c = &w->columns[i];
        free(c->relation);
        free(c->table);
        free(c->scope);
        free(c->id);
        free(c->sql);
        free(c->name);
    }

    for (i = 0; i < w->nrealms; i++) {
        free(w->realms[i]);
    }

    free(w->columns);
    free(w->realms);
    PQclear(w->tenants);
    tn_core_free(w->core);
}


/* Sets the context of a tenant; *realm (free() it) is NULL where the tenant has
 * gone meanwhile. */
static int
enter(sealed_walk *w, const char *tenant, char **realm)
{
    PGresult *res;
    const char *params[1];

    params[0] = tenant;
    *realm = NULL;

    if (ctl_query(NULL, w->conn, tenant,
                  "select set_config('tenon.tenant', $1, false)", 1,
                  params) != 0 ||
        ctl_query(&res, w->conn, tenant,
                  "select realm_id, set_config('tenon.realm', realm_id::text,"
                  " false) from tenon.tenant where tenant_id = $1::uuid",
                  1, params) != 0) {
        return -1;
    }

    if (PQntuples(res)) {
        *realm = ctl_format("%s", PQgetvalue(res, 0, 0));
    }

    PQclear(res);

    return 0;
}


/* Whether the realm is met for the first time. */
static int
is_new(sealed_walk *w, const char *realm)
{
    int i;

    for (i = 0; i < w->nrealms; i++) {
        if (strcmp(w->realms[i], realm) == 0) {
            return 0;
        }
    }

    /* no more than there are tenants */
    w->realms[w->nrealms++] = ctl_format("%s", realm);

    return 1;
}


int
sealed_each(sealed_walk *w,
            int (*visit_tenant)(sealed_walk *w, const char *tenant),
            int (*visit)(sealed_walk *w, const sealed_column *c,
                         const char *scope))
{
    int i, k, rc, first;
    char *realm;
    const char *tenant;
    const sealed_column *c;

    rc = 0;

    for (i = 0; rc == 0 && i < PQntuples(w->tenants); i++) {
        tenant = PQgetvalue(w->tenants, i, 0);
        rc = enter(w, tenant, &realm);

        if (rc != 0 || realm == NULL) {
            continue;
        }

        first = is_new(w, realm);
        rc = visit_tenant ? visit_tenant(w, tenant) : 0;

        for (k = 0; rc == 0 && k < w->ncolumns; k++) {
            c = &w->columns[k];

            if (strcmp(c->scope, "tenant_id") == 0) {
                rc = visit(w, c, tenant);
            } else if (first) {
                rc = visit(w, c, realm);
            }
        }

        free(realm);
    }

    return rc;
}
