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

    if (uses->n >= SEALED_KEYS_MAX && sealed_use_of(uses, id) == NULL) {
        id = SEALED_OTHERS;
    }

    use = sealed_use_of(uses, id);

    if (use == NULL) {
        use = &uses->list[uses->n++];
        snprintf(use->id, sizeof(use->id), "%s", id);
    }

    return use;
}


/* Rows of (key, values, events, replays), added up. */
static int
add_uses(sealed_walk *w, const char *what, const char *sql, int nparams,
         const char *const *params)
{
    int i;
    PGresult *res;
    sealed_use *use;

    if (ctl_query(&res, w->conn, what, sql, nparams, params) != 0) {
        return -1;
    }

    for (i = 0; i < PQntuples(res); i++) {
        use = use_of(w->uses, PQgetvalue(res, i, 0));
        use->values += strtoul(PQgetvalue(res, i, 1), NULL, 10);
        use->events += strtoul(PQgetvalue(res, i, 2), NULL, 10);
        use->replays += strtoul(PQgetvalue(res, i, 3), NULL, 10);
    }

    PQclear(res);

    return 0;
}


#define IS_SEALED(value) value " ~ '" TN_SEALED_PATTERN "'"
#define ID_OF(value)     "substr(" value ", " TN_SEALED_ID_AT ")"
#define KEY_OF(value) \
    "case when " IS_SEALED(value) " then " ID_OF(value) " else '' end"


/* What the past needs of the ring's keys, whatever was declared then: an app may
 * be gone, or a declaration, and its history is still shown. */
static int
count_past(sealed_walk *w, const char *tenant)
{
    const char *params[2];

    params[0] = tenant;
    params[1] = w->key_ids;

    return add_uses(
        w, "counting events and kept answers",
        "select " ID_OF(
            "x.value") ", 0, sum(x.event), sum(1 - x.event)"
                       " from (select i.value, 1 as event from "
                       "tenon.event_body b"
                       "       cross join lateral (select * from "
                       "jsonb_each_text(b.before)"
                       "       union all select * from "
                       "jsonb_each_text(b.after)) i"
                       "       where b.tenant_id = $1::uuid"
                       "       union all"
                       "       select i.value, 0 from tenon.idempotency k"
                       "       cross join lateral jsonb_each_text(k.outcome) i"
                       "       where k.tenant_id = $1::uuid"
                       "       and k.at > now() - interval '24 hours') x"
                       " where " IS_SEALED("x.value") " and " ID_OF(
                           "x.value") " = any($2::text[]) group by 1",
        2, params);
}


static int
count(sealed_walk *w, const sealed_column *c, const char *scope)
{
    int rc;
    char *sql;
    const char *params[4];

    params[0] = scope;
    sql = ctl_format(
        "select " KEY_OF(
            "%1$s") ", count(*), 0, 0"
                    " from %2$s where %3$s = $1::uuid and %1$s is not null"
                    " group by 1",
        c->sql, c->table, c->scope);
    rc = add_uses(w, c->relation, sql, 1, params);
    free(sql);

    if (rc != 0 || strcmp(c->scope, "tenant_id") != 0) {
        return rc;
    }

    params[1] = c->relation;
    params[2] = c->name;
    params[3] = w->key_ids;

    return add_uses(
        w, "counting events",
        "select " KEY_OF(
            "x.v") ", 0, count(*), 0"
                   " from tenon.event e"
                   " join tenon.event_body b on b.tenant_id = e.tenant_id"
                   " and b.at = e.at and b.event_id = e.id"
                   " cross join lateral (values (b.before ->> $3::text),"
                   " (b.after ->> $3::text)) x (v)"
                   " where e.tenant_id = $1::uuid and e.resource = $2::text"
                   " and x.v is not null"
                   " and " KEY_OF("x.v") " <> all($4::text[]) group by 1",
        4, params);
}


static char *
ids_of(const tn_key_ring *ring)
{
    unsigned i;
    size_t n;
    char text[TN_RING_KEYS_MAX * (TN_ENCRYPTION_ID_LEN + 1) + 2];

    n = 0;

    for (i = 0; i < ring->n; i++) {
        text[n++] = i ? ',' : '{';
        tn_encryption_key_id(text + n, ring->keys[i].seed);
        n += TN_ENCRYPTION_ID_LEN;
    }

    text[n++] = '}';

    return ctl_format("%.*s", (int) n, text);
}


int
sealed_count(sealed_uses *uses, PGconn *conn, const tn_key_ring *ring)
{
    int rc;
    sealed_walk w;

    memset(uses, 0, sizeof(*uses));
    rc = sealed_begin(&w, conn);
    w.uses = uses;
    w.key_ids = ids_of(ring);

    if (rc == 0) {
        rc = sealed_each(&w, count_past, count);
    }

    free(w.key_ids);
    sealed_end(&w);

    return rc;
}
