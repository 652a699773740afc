/*
 * sealed_count.c: what needs which key: values, the events of the past that
 * show them, and answers that are kept for a day.
 */

#include "sealed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


sealed_use *
sealed_use_of(sealed_uses *uses, const char *id)
{
    unsigned i;

    for (i = 0; i < uses->n; i++) {
        if (strcmp(uses->list[i].id, id) == 0) {
            return &uses->list[i];
        }
    }

    return NULL;
}


static sealed_use *
use_of(sealed_uses *uses, const char *id)
{
    sealed_use *use;

    use = sealed_use_of(uses, id);

    if (use == NULL && uses->n < SEALED_KEYS_MAX) {
        use = &uses->list[uses->n++];
        snprintf(use->id, sizeof(use->id), "%s", id);
    }

    return use;
}


/* Rows of (key, values, events, replays), added up. */
static int
add_uses(sealed_walk *w, const char *what, const char *sql, const char *scope,
         const char *relation, const char *name)
{
    int i;
    PGresult *res;
    sealed_use *use;
    const char *params[3];

    params[0] = scope;
    params[1] = relation;
    params[2] = name;

    if (ctl_query(&res, w->conn, what, sql, 3, params) != 0) {
        return -1;
    }

    for (i = 0; i < PQntuples(res); i++) {
        use = use_of(w->uses, PQgetvalue(res, i, 0));

        if (use == NULL) {
            PQclear(res);
            return ctl_error("there are values under more than %d keys",
                             SEALED_KEYS_MAX);
        }

        use->values += strtoul(PQgetvalue(res, i, 1), NULL, 10);
        use->events += strtoul(PQgetvalue(res, i, 2), NULL, 10);
        use->replays += strtoul(PQgetvalue(res, i, 3), NULL, 10);
    }

    PQclear(res);

    return 0;
}


#define KEY_OF(value)                                               \
    "case when " value " like 'tn1.%%' then left(split_part(" value \
    ", '.', 2), 6) else '' end"

static int
count(sealed_walk *w, const sealed_column *c, const char *scope)
{
    int rc;
    char *sql;

    sql = ctl_format(
        "select " KEY_OF(
            "%1$s") ", count(*), 0, 0"
                    " from %2$s where %3$s = $1::uuid and %1$s is not null"
                    " and $2::text is not null and $3::text is not null"
                    " group by 1",
        c->sql, c->table, c->scope);
    rc = add_uses(w, c->relation, sql, scope, c->relation, c->name);
    free(sql);

    if (rc != 0 || strcmp(c->scope, "tenant_id") != 0) {
        return rc;
    }

    rc = add_uses(w, "counting events",
                  "select left(split_part(x.v, '.', 2), 6), 0, count(*), 0"
                  " from tenon.event e"
                  " join tenon.event_body b on b.tenant_id = e.tenant_id"
                  " and b.at = e.at and b.event_id = e.id"
                  " cross join lateral (values (b.before ->> $3::text),"
                  " (b.after ->> $3::text)) x (v)"
                  " where e.tenant_id = $1::uuid and e.resource = $2::text"
                  " and x.v like 'tn1.%' group by 1",
                  scope, c->relation, c->name);

    return rc == 0 ? add_uses(w, "counting kept answers",
                              "select left(split_part(i.outcome ->> $3::text,"
                              " '.', 2), 6), 0, 0, count(*)"
                              " from tenon.idempotency i"
                              " where i.tenant_id = $1::uuid"
                              " and i.at > now() - interval '24 hours'"
                              " and i.outcome ->> $3::text like 'tn1.%'"
                              " and $2::text is not null group by 1",
                              scope, c->relation, c->name)
                   : rc;
}


int
sealed_count(sealed_uses *uses, PGconn *conn)
{
    int rc;
    sealed_walk w;

    memset(uses, 0, sizeof(*uses));
    rc = sealed_begin(&w, conn);
    w.uses = uses;

    if (rc == 0) {
        rc = sealed_each(&w, count);
    }

    sealed_end(&w);

    return rc;
}
