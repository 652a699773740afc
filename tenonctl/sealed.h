/*
 * sealed.h: what the database keeps encrypted, where it is, and under which
 * key. Private to `tenonctl encryption`.
 */

#ifndef TENONCTL_SEALED_H
#define TENONCTL_SEALED_H

#include "tenonctl.h"

typedef struct sealed_counts {
    unsigned long renewed;
    unsigned long raced;      /* changed by somebody else meanwhile */
    unsigned long unreadable; /* no key, or damaged */
} sealed_counts;

/* Encrypts with the ring's first key whatever isn't yet; counts is filled in
 * also when it fails half way, which can be gone on with. */
int sealed_renew(sealed_counts *counts, PGconn *conn, const tn_key_ring *ring);


#define SEALED_KEYS_MAX 64

typedef struct sealed_use {
    char id[TN_ENCRYPTION_ID_LEN + 1]; /* empty: not encrypted */
    unsigned long values;
    unsigned long events;  /* of the past: stay as they are */
    unsigned long replays; /* answers kept under an Idempotency-Key, a day */
    int known;             /* the caller's */
} sealed_use;

/* Whatever has the form of a key's id may stand in a text: those for which there
 * is no room are counted together, as this one's. */
#define SEALED_OTHERS "others"

typedef struct sealed_uses {
    sealed_use list[SEALED_KEYS_MAX + 1];
    unsigned n;
} sealed_uses;

/* Of the ring's keys whatever needs them; of others, and of none, what is
 * declared to be kept encrypted. */
int sealed_count(sealed_uses *uses, PGconn *conn, const tn_key_ring *ring);
/* NULL: that key has no use. */
sealed_use *sealed_use_of(sealed_uses *uses, const char *id);


/* ---- going through it (sealed.c) ---- */

/* A column of sealed text: a tn_place, but for scope and id of a row. */
typedef struct sealed_column {
    char *relation; /* as in tn_place */
    char *table;    /* quoted as needed, as are the following */
    char *scope;
    char *id;
    char *sql;
    char *name; /* as in tn_place */
} sealed_column;

typedef struct sealed_walk {
    PGconn *conn;
    sealed_column *columns;
    int ncolumns;
    PGresult *tenants;
    char **realms; /* that have been visited */
    int nrealms;
    tn_core *core; /* what follows: of a renewal */
    char key_id[TN_ENCRYPTION_ID_LEN + 1];
    sealed_counts *counts;
    sealed_uses *uses; /* of a count */
    char *key_ids;     /* text[] */
} sealed_walk;

/* Finds it all, and becomes tenon_api. sealed_end() it, if that failed, too. */
int sealed_begin(sealed_walk *w, PGconn *conn);
void sealed_end(sealed_walk *w);

/* Calls `visit` for each column of each tenant, in its context; for what is a
 * realm's once. Before them `visit_tenant`, unless NULL. */
int sealed_each(sealed_walk *w,
                int (*visit_tenant)(sealed_walk *w, const char *tenant),
                int (*visit)(sealed_walk *w, const sealed_column *c,
                             const char *scope));

#endif
