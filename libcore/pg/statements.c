/*
 * statements.c: the names that the server has prepared on this connection: a
 * hash table, and the order of use. A name counts as prepared only when its
 * Parse has come back well: prepared statements outlive a rolled-back
 * transaction, so nothing that happens afterwards in its batch matters.
 */

#include "pg.h"

#include <stdlib.h>


tn_err
tn__pg_table_init(tn__pg_table *table, unsigned max)
{
    unsigned n;

    table->max = max ? max : 256;

    for (n = 64; n < table->max && n < 65536; n *= 2) {
    }

    table->buckets = calloc(n, sizeof(tn__pg_stmt *));
    if (table->buckets == NULL) {
        return TN_E_NOMEM;
    }

    table->mask = n - 1;
    return TN_OK;
}


void
tn__pg_table_free(tn__pg_table *table)
{
    while (table->newest != NULL) {
        tn__pg_forget(table, table->newest);
    }

    free(table->buckets);
}


/* FNV-1a: names are hashes already, this only folds them */
static uint32_t
fold(tn_str name)
{
    size_t i;
    uint32_t hash = 2166136261u;

    for (i = 0; i < name.n; i++) {
        hash = (hash ^ (unsigned char) name.p[i]) * 16777619u;
    }

    return hash;
}


tn__pg_stmt *
tn__pg_find(const tn__pg_table *table, tn_str name)
{
    uint32_t hash;
    tn__pg_stmt *stmt;

    hash = fold(name);

    for (stmt = table->buckets[hash & table->mask]; stmt != NULL;
         stmt = stmt->chain) {
        if (stmt->hash == hash && strlen(stmt->name) == name.n &&
            memcmp(stmt->name, name.p, name.n) == 0) {
            return stmt;
        }
    }

    return NULL;
}


static void
link_in(tn__pg_table *table, tn__pg_stmt *stmt)
{
    tn__pg_stmt **bucket;

    bucket = &table->buckets[stmt->hash & table->mask];
    stmt->chain = *bucket;
    *bucket = stmt;
    table->n++;

    stmt->newer = NULL;
    stmt->older = table->newest;
    if (stmt->older != NULL) {
        stmt->older->newer = stmt;
    } else {
        table->oldest = stmt;
    }
    table->newest = stmt;
}


static void
link_out(tn__pg_table *table, tn__pg_stmt *stmt)
{
    tn__pg_stmt **at;

    at = &table->buckets[stmt->hash & table->mask];
    while (*at != stmt) {
        at = &(*at)->chain;
    }
    *at = stmt->chain;
    table->n--;

    if (stmt->newer != NULL) {
        stmt->newer->older = stmt->older;
    } else {
        table->newest = stmt->older;
    }

    if (stmt->older != NULL) {
        stmt->older->newer = stmt->newer;
    } else {
        table->oldest = stmt->newer;
    }
}


tn__pg_stmt *
tn__pg_add(tn__pg_table *table, tn_str name)
{
    tn__pg_stmt *stmt;

    if (name.n > TN__PG_NAME_MAX) {
        return NULL;
    }

    stmt = calloc(1, sizeof(tn__pg_stmt));
    if (stmt == NULL) {
        return NULL;
    }

    memcpy(stmt->name, name.p, name.n);
    stmt->hash = fold(name);
    stmt->known = TN__PG_PENDING;
    link_in(table, stmt);

    return stmt;
}


void
tn__pg_touch(tn__pg_table *table, tn__pg_stmt *stmt, unsigned send)
{
    stmt->used = send;

    if (table->newest != stmt) {
        link_out(table, stmt);
        link_in(table, stmt);
    }
}


tn__pg_stmt *
tn__pg_evict(tn__pg_table *table, unsigned missing, unsigned send)
{
    tn__pg_stmt *stmt;

    if (table->n + missing <= table->max) {
        return NULL;
    }

    for (stmt = table->oldest; stmt != NULL; stmt = stmt->newer) {
        if (stmt->known == TN__PG_PREPARED && stmt->used != send) {
            link_out(table, stmt);
            stmt->known = TN__PG_CLOSING;
            return stmt;
        }
    }

    return NULL;
}


void
tn__pg_restore(tn__pg_table *table, tn__pg_stmt *stmt)
{
    tn_str name = { stmt->name, strlen(stmt->name) };

    /* if it was asked for again in the meantime, that Parse fails for the
     * name being taken, and the connection retires */

    if (tn__pg_find(table, name) != NULL) {
        free(stmt);
        return;
    }

    stmt->known = TN__PG_PREPARED;
    link_in(table, stmt);
}


void
tn__pg_forget(tn__pg_table *table, tn__pg_stmt *stmt)
{
    if (stmt->known != TN__PG_CLOSING) {
        link_out(table, stmt);
    }

    free(stmt);
}
