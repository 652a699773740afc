/*
 * sealed_renew.c: encrypts with the first key what another one has, or what
 * isn't encrypted yet, in batches in the order of the primary key.
 *
 * A value is replaced only if it is still the one that was read, so whoever
 * changes a row meanwhile is never undone. The event of a batch says how many
 * there were, and nothing of them.
 */

#include "sealed.h"
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH      200
#define BATCH_TEXT "200"
#define FIRST_ID   "00000000-0000-0000-0000-000000000000"


/* ---- memory of a batch, wiped behind it ---- */

typedef struct block {
    struct block *next;
    size_t n;
} block;

static void *
take(void *self, size_t n)
{
    block *b, **list;

    list = self;
    n += 2 * sizeof(block);
    b = malloc(n);
    if (b == NULL) {
        return NULL;
    }

    b->n = n;
    b->next = *list;
    *list = b;

    return b + 2;
}


static void
wipe(block **list)
{
    block *b;

    while ((b = *list)) {
        *list = b->next;
        sodium_memzero(b, b->n);
        free(b);
    }
}


/* ---- renewal ---- */

static tn_str
str(const char *s)
{
    return (tn_str){ s, strlen(s) };
}


/* The value as it shall be kept; absent when it can't be read. */
static int
renewed(tn_str *out, sealed_walk *w, const tn_place *place, tn_str value,
        tn_mem *mem)
{
    tn_err err;
    tn_str text;
    unsigned char nonce[TN_NONCE_LEN];

    *out = TN_NULL;
    err = tn_text_unseal(&text, w->core, place, value, mem);

    if (err == TN_OK) {
        randombytes_buf(nonce, sizeof(nonce));
        err = tn_text_seal(out, w->core, place, text, nonce, mem);

    } else if (err != TN_E_NOMEM) {
        w->counts->unreadable++;
        ctl_error("%.*s.%.*s of %.*s can't be decrypted (key %.*s)",
                  (int) place->relation.n, place->relation.p,
                  (int) place->column.n, place->column.p, (int) place->id.n,
                  place->id.p, (int) tn_text_key(value).n,
                  tn_text_key(value).n ? tn_text_key(value).p : "");
        return 0;
    }

    return err == TN_OK ? 0 : ctl_error("out of memory");
}


/* An element of an array's text. */
static void
add_element(FILE *out, tn_str s)
{
    size_t i;

    putc(ftell(out) > 1 ? ',' : ' ', out);
    putc('"', out);

    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') {
            putc('\\', out);
        }
        putc(s.p[i], out);
    }

    putc('"', out);
}


/* Replaces what was read, where it is still there. */
static int
replace(sealed_walk *w, const sealed_column *c, const char *scope,
        char *const arrays[3], unsigned long n)
{
    int rc;
    char *sql;
    PGresult *res;
    unsigned long done;
    const char *params[7];

    sql = ctl_format(
        "with done as (update %s t set %s = u.new"
        " from unnest($2::uuid[], $3::text[], $4::text[]) u (id, old, new)"
        " where t.%s = $1::uuid and t.%s = u.id and t.%s = u.old"
        " returning t.%s), n as (select count(*) as n from done)"
        " select n.n, case when n.n > 0 then tenon.log_event(tenon.uuid7(),"
        " 'encryption.renewed', $5, null, null, null, null,"
        " jsonb_build_object('column', $6::text, 'values', n.n,"
        " 'key', $7::text), uuid_send(gen_random_uuid())) end from n",
        c->table, c->sql, c->scope, c->id, c->sql, c->id);

    params[0] = scope;
    params[1] = arrays[0];
    params[2] = arrays[1];
    params[3] = arrays[2];
    params[4] = c->relation;
    params[5] = c->name;
    params[6] = w->key_id;
    rc = ctl_query(&res, w->conn, c->relation, sql, 7, params);
    free(sql);

    if (rc == 0) {
        done = strtoul(PQgetvalue(res, 0, 0), NULL, 10);
        w->counts->renewed += done;
        w->counts->raced += n - done;
        PQclear(res);
    }

    return rc;
}


/* Encrypts the values of a batch; the arrays are of ids, old and new ones. */
static int
renew_rows(sealed_walk *w, const sealed_column *c, const char *scope,
           const PGresult *res)
{
    int i, k, rc;
    block *blocks;
    char *texts[3];
    size_t sizes[3];
    FILE *arrays[3];
    tn_mem mem;
    tn_str value;
    tn_place place;
    unsigned long n;

    rc = 0;
    n = 0;
    blocks = NULL;
    mem = (tn_mem){ take, &blocks };
    place = (tn_place){ str(scope), str(c->relation), str(c->name), TN_NULL };

    for (k = 0; k < 3; k++) {
        arrays[k] = open_memstream(&texts[k], &sizes[k]);
        if (arrays[k] == NULL) {
            ctl_error("out of memory");
            exit(CTL_FAILED);
        }
        putc('{', arrays[k]);
    }

    for (i = 0; rc == 0 && i < PQntuples(res); i++) {
        place.id = str(PQgetvalue(res, i, 0));
        rc = renewed(&value, w, &place, str(PQgetvalue(res, i, 1)), &mem);

        if (rc == 0 && value.p) {
            add_element(arrays[0], place.id);
            add_element(arrays[1], str(PQgetvalue(res, i, 1)));
            add_element(arrays[2], value);
            n++;
        }
    }

    for (k = 0; k < 3; k++) {
        putc('}', arrays[k]);
        fclose(arrays[k]);
    }

    if (rc == 0 && n) {
        rc = replace(w, c, scope, texts, n);
    }

    for (k = 0; k < 3; k++) {
        sodium_memzero(texts[k], sizes[k]);
        free(texts[k]);
    }

    wipe(&blocks);

    return rc;
}


static int
renew(sealed_walk *w, const sealed_column *c, const char *scope)
{
    int rc, n;
    char *sql, last[sizeof(FIRST_ID)] = FIRST_ID;
    PGresult *res;
    const char *params[3];

    sql = ctl_format("select %s, %s from %s where %s = $1::uuid"
                     " and %s > $2::uuid and %s is not null"
                     " and not (%s ~ '" TN_SEALED_PATTERN "'"
                     " and substr(%s, " TN_SEALED_ID_AT ") = $3)"
                     " order by %s limit " BATCH_TEXT,
                     c->id, c->sql, c->table, c->scope, c->id, c->sql, c->sql,
                     c->sql, c->id);

    do {
        params[0] = scope;
        params[1] = last;
        params[2] = w->key_id;
        rc = ctl_query(&res, w->conn, c->relation, sql, 3, params);

        if (rc != 0) {
            break;
        }

        n = PQntuples(res);
        rc = renew_rows(w, c, scope, res);

        if (n) {
            memcpy(last, PQgetvalue(res, n - 1, 0), sizeof(last));
        }

        PQclear(res);

    } while (rc == 0 && n == BATCH);

    free(sql);

    return rc;
}


int
sealed_renew(sealed_counts *counts, PGconn *conn, const tn_key_ring *ring)
{
    int rc;
    sealed_walk w;
    tn_core_conf conf;

    memset(counts, 0, sizeof(*counts));
    rc = sealed_begin(&w, conn);
    w.counts = counts;
    tn_encryption_key_id(w.key_id, ring->keys[0].seed);

    tn_core_conf_init(&conf);
    conf.encryption = *ring;

    if (rc == 0 && tn_core_new(&w.core, &conf) != TN_OK) {
        rc = ctl_error("the library can't be started");
    }

    sodium_memzero(&conf, sizeof(conf));

    if (rc == 0) {
        rc = sealed_each(&w, NULL, renew);
    }

    sealed_end(&w);

    return rc;
}
