/*
 * pg/pg.h: what the files of this folder share. README.md tells the story;
 * the only folder that includes libpq.
 *
 *     conn.c        life of a connection, its state, its end
 *     connect.c     handshake, statements prepared before READY
 *     statements.c  names the server has: table and order of use
 *     send.c        a batch on its way out
 *     receive.c     readiness in, results taken up
 *     reply.c       results into tn_reply
 *     binary.c      cells in the server's own form as text
 */

#ifndef TN__PG_PG_H
#define TN__PG_PG_H

#include <tenon/pg.h>
#include <libpq-fe.h>
#include <string.h>

#define TN__PG_ERROR_MAX 512 /* bytes of the text kept for logs */
#define TN__PG_NAME_MAX  63  /* the server cuts longer names off */


/* A statement's name as far as the server knows it. */
typedef enum tn__pg_known {
    TN__PG_PENDING,  /* its Parse is on its way: may yet fail */
    TN__PG_PREPARED, /* its Parse came back well */
    TN__PG_CLOSING,  /* its DEALLOCATE is on its way: no longer in the table */
} tn__pg_known;

typedef struct tn__pg_stmt tn__pg_stmt;

struct tn__pg_stmt {
    tn__pg_known known;
    unsigned used; /* number of the send that used it last */
    uint32_t hash;
    tn__pg_stmt *chain; /* next in its bucket */
    tn__pg_stmt *newer; /* order of use */
    tn__pg_stmt *older;
    char name[TN__PG_NAME_MAX + 1];
};

typedef struct tn__pg_table {
    tn__pg_stmt **buckets;
    unsigned mask; /* buckets - 1 */
    unsigned n;    /* in the table: PENDING and PREPARED */
    unsigned max;
    tn__pg_stmt *newest;
    tn__pg_stmt *oldest;
} tn__pg_table;


/* One command of a batch: the server answers them in order. */
typedef enum tn__pg_verb {
    TN__PG_DEALLOCATE,
    TN__PG_PARSE,
    TN__PG_EXECUTE,
} tn__pg_verb;

typedef struct tn__pg_cmd {
    tn__pg_verb verb;
    tn__pg_stmt *stmt; /* NULL for EXECUTE */
    unsigned query;    /* PARSE, EXECUTE: which one of the batch */
} tn__pg_cmd;

/* A batch from send to tn_pg_next(). */
typedef struct tn__pg_job tn__pg_job;

struct tn__pg_job {
    tn__pg_job *next;
    void *tag;
    tn_db_outcome outcome;
    unsigned internal : 1; /* the statements of conf.prepare */
    unsigned reads : 1;    /* and nothing else: nothing is done twice */
    unsigned retry : 1;
    PGresult *error; /* the first one */
    tn__pg_cmd *cmds;
    unsigned ncmds;
    unsigned at;        /* the command that the next result answers */
    PGresult **results; /* of EXECUTE, in order */
    unsigned nresults;
    unsigned n; /* statements of the batch */
};

typedef struct tn__pg_queue {
    tn__pg_job *head;
    tn__pg_job **tail;
} tn__pg_queue;


struct tn_pg {
    PGconn *conn; /* NULL when DEAD */
    tn_pg_state state;
    int fd;
    unsigned generation;
    unsigned wants;
    unsigned text_only : 1; /* a binary answer held a type unknown here */
    unsigned more : 1;      /* results can be taken without another read */
    unsigned fatal : 1;     /* the server said farewell while idle */
    unsigned unprepared : 1;

    const tn_stmt *const *prepare;
    unsigned nprepare;
    unsigned max_depth;

    unsigned depth; /* jobs in flight and finished, but internal ones */
    unsigned syncs;
    unsigned sends;
    tn__pg_queue flight; /* sent, Sync not yet back */
    tn__pg_queue done;   /* for tn_pg_next() */
    tn__pg_job *given;   /* lent out by tn_pg_next() */
    tn__pg_table table;

    char *scratch; /* one statement's parameters with their NULs */
    size_t scratch_size;
    const char **values;
    unsigned nvalues;

    tn_reply reply; /* and what it points to */
    tn_rows *rows;
    unsigned nrows;
    tn_str *cells;
    size_t ncells;
    char *text; /* of cells that came in binary */
    size_t text_size;

    size_t error_len;
    char error[TN__PG_ERROR_MAX];
    size_t refusal_len;
    char refusal[TN__PG_ERROR_MAX]; /* of a statement of conf.prepare */
};


/* conn.c */

/* The one place where the state changes. */
void tn__pg_turn(tn_pg *pg, tn_pg_state state);

/* Keeps the first error, without the line feeds at its end. */
void tn__pg_note(tn_pg *pg, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The connection is of no use any more: every batch in flight becomes
 * UNKNOWN, the descriptor is closed, the state is DEAD. `text` may belong to
 * the connection; it is kept unless an earlier error is. */
void tn__pg_lose(tn_pg *pg, const char *text);

void tn__pg_push(tn__pg_queue *queue, tn__pg_job *job);
tn__pg_job *tn__pg_pop(tn__pg_queue *queue);
void tn__pg_job_free(tn__pg_job *job);


/* connect.c */

void tn__pg_connect_start(tn_pg *pg, const char *conninfo);
void tn__pg_connect_poll(tn_pg *pg);

/* The Sync behind conf.prepare came back: READY. */
void tn__pg_prepared(tn_pg *pg);


/* statements.c */

tn_err tn__pg_table_init(tn__pg_table *table, unsigned max);
void tn__pg_table_free(tn__pg_table *table);

/* NULL when the server hasn't got it, nor is about to. */
tn__pg_stmt *tn__pg_find(const tn__pg_table *table, tn_str name);

/* A new entry, PENDING and in the table; NULL when out of memory. */
tn__pg_stmt *tn__pg_add(tn__pg_table *table, tn_str name);

/* Now the most recently used one. */
void tn__pg_touch(tn__pg_table *table, tn__pg_stmt *stmt, unsigned send);

/* The least recently used PREPARED entry that this send doesn't use, taken
 * out of the table, CLOSING; NULL if there is none, or if the table has room
 * for `missing` more. */
tn__pg_stmt *tn__pg_evict(tn__pg_table *table, unsigned missing, unsigned send);

/* A DEALLOCATE that did not happen: the server still has the name. */
void tn__pg_restore(tn__pg_table *table, tn__pg_stmt *stmt);

/* The server hasn't got it: takes it out of the table if it is in, frees. */
void tn__pg_forget(tn__pg_table *table, tn__pg_stmt *stmt);


/* send.c */

/* A job for n statements with room for ncmds commands; NULL when out of
 * memory. */
tn__pg_job *tn__pg_job_new(unsigned n, unsigned ncmds);

/* Whether the protocol can carry its name and text. */
int tn__pg_sendable(const tn_stmt *stmt);

/* Parse, by name and text of the statement. 0 when libpq refuses. */
int tn__pg_parse(tn_pg *pg, const tn_stmt *stmt);

/* The job's Sync, and the job into the queue. A connection that can't is
 * lost, the job with it. */
void tn__pg_sync(tn_pg *pg, tn__pg_job *job);

/* At least `size` bytes in pg->scratch. */
tn_err tn__pg_reserve(tn_pg *pg, size_t size);


/* receive.c */

/* Sends what is left to send and works out what to wait for. 0 when the
 * connection broke: then tn__pg_end(). */
int tn__pg_flush(tn_pg *pg);

/* The connection broke: takes up what came before, then loses it. */
void tn__pg_end(tn_pg *pg);


/* reply.c */

/* Takes back what tn_pg_next() lent out. */
void tn__pg_release(tn_pg *pg);


/* binary.c */

typedef enum tn__pg_form {
    TN__PG_FORM_TEXT,
    TN__PG_FORM_JSONB,
    TN__PG_FORM_BOOL,
    TN__PG_FORM_INT,
    TN__PG_FORM_DATE,
    TN__PG_FORM_TIME,
    TN__PG_FORM_UUID,
} tn__pg_form;

#define TN__PG_COLUMNS_MAX 128

typedef struct tn__pg_column {
    tn__pg_form form;
    unsigned size; /* bytes of a value; 0: any */
} tn__pg_column;

/* What the columns of a binary result hold (room for TN__PG_COLUMNS_MAX), and
 * the bytes that all its text takes at most. 0 when there are more, or a type
 * that isn't known here. */
int
tn__pg_binary_space(size_t *space, tn__pg_column *columns, const PGresult *res);

/* A value as text: in place, or at *at, which moves on. Times are RFC 3339.
 * 0 when the value isn't what its type says. */
int tn__pg_decode(tn_str *cell, char **at, const tn__pg_column *column);

#endif
