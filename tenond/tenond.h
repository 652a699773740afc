/*
 * tenond.h: what the files of tenond share. README.md tells what it does.
 *
 *     main.c   signals, the loop
 *     conf.c   command line and file
 *     log.c    lines on stderr
 *     mem.c    memory that goes all at once
 *     http.c   requests to other people's servers
 *     db.c     connections to PostgreSQL, and batches that wait for one
 *     work.c   jobs planned, claimed, stepped, given back
 *
 * One thread, one loop, no blocking call in it. Times are milliseconds of the
 * monotonic clock, but for td_wall().
 */

#ifndef TENOND_H
#define TENOND_H

#include <poll.h>
#include <tenon/core.h>
#include <tenon/pg.h>
#include <tenon/work.h>

#define TD_OK     0 /* exit codes */
#define TD_FAILED 1
#define TD_USAGE  2

#define TD_CONNECTIONS_MAX 32
#define TD_NEVER           INT64_MAX


/* ---- log (log.c) ---- */

typedef enum td_level {
    TD_ERROR,
    TD_WARN,
    TD_NOTICE,
    TD_INFO,
} td_level;

/* The last one that is written. */
extern td_level td_log_level;

void td_log(td_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));


/* ---- configuration (conf.c) ---- */

#define TD_KEY_MAX 255 /* bytes */

typedef struct td_conf {
    char *database; /* libpq's conninfo */
    char *stripe_api;
    char *stripe_key;         /* its file… */
    char key[TD_KEY_MAX + 2]; /* …and what it holds */
    tn_work_conf work;
    long connections; /* for jobs */
    long jobs;        /* under way at a time */
    long poll;        /* ms between claims while there is nothing to do */
    long stop;        /* ms that what is under way gets when asked to stop */
    long prepare;
    long level;
    int check; /* look at the configuration, and no more */
} td_conf;

/* Reads file and command line, which comes first. 0, or an exit code + 1 after
 * having said on stdout or stderr what there is to say. */
int td_conf_read(td_conf *conf, int argc, char **argv);
void td_conf_free(td_conf *conf);


/* ---- memory (mem.c) ---- */

typedef struct td_block td_block;

typedef struct td_mem {
    tn_mem mem;
    td_block *blocks;
} td_mem;

void td_mem_init(td_mem *mem);
void td_mem_free(td_mem *mem); /* may be used again */


/* ---- time and chance (main.c) ---- */

int64_t td_now(void);
int64_t td_wall(void); /* microseconds since 1970 */
void td_random(void *out, size_t n);
/* Anything from half of it to one and a half. */
int64_t td_jitter(int64_t ms);


/* ---- the database (db.c) ---- */

typedef struct td_batch td_batch;

struct td_batch {
    const tn_batch *batch;
    void (*done)(td_batch *b, const tn_reply *reply);
    void *data;
    int64_t deadline; /* then it is done, badly, wherever it is */
    int again;        /* it may be sent once more where it may have been done */
    int control;      /* it goes by the first connection, and alone */
    unsigned sent;    /* times, since it was submitted */
    td_batch *next;
};

typedef struct td_conn {
    tn_pg *pg;
    td_batch *flight;
    int64_t timer;      /* connecting, or an answer, takes no longer */
    struct pollfd *pfd; /* of this turn */
} td_conn;

typedef struct td_db {
    const td_conf *conf;
    td_conn conns[TD_CONNECTIONS_MAX + 1];
    td_batch *head;
    td_batch **tail;
    int64_t backoff; /* ms; 0: the last connection was a success */
    int64_t retry;   /* no new one before then */
    int away;        /* it was said so in the log… */
    int64_t say;     /* …and is to be said again */
} td_db;

void td_db_init(td_db *db, const td_conf *conf);
void td_db_free(td_db *db);

/* In time `done` is called, never from within; all but it may be submitted
 * again from there. */
void td_db_submit(td_db *db, td_batch *b);
/* Whether a job's batch would find a connection that isn't taken. */
int td_db_idle(const td_db *db);
/* Takes one back that was not sent: 0 when it was. */
int td_db_withdraw(td_db *db, td_batch *b);

/* A turn of the loop: what to wait for, until when; and what has come. */
unsigned td_db_fds(td_db *db, struct pollfd *fds);
int64_t td_db_timer(const td_db *db);
void td_db_turn(td_db *db);


/* ---- other people's servers (http.c) ---- */

#define TD_FDS_MAX (TD_CONNECTIONS_MAX + 2)

typedef struct td_call td_call;

typedef struct td_http {
    void *multi; /* libcurl's */
    td_call *calls;
} td_http;

/* The answer is borrowed for the call. Where there was none, `why` tells more
 * than its fault: for the log. */
typedef void
td_answered(void *data, const tn_http_answer *answer, const char *why);

int td_http_init(td_http *http);  /* 0, or -1 */
void td_http_free(td_http *http); /* calls under way are never answered */

/* In time `done` is called, never from within; the request may be gone by
 * then. -1 when it can't be made: no memory, or a header of two lines. */
int td_http_submit(td_http *http, const tn_http *want, td_answered *done,
                   void *data);

/* Waits for our n descriptors and its own, ms at most; -1 when it can't. */
int td_http_poll(td_http *http, struct pollfd *fds, unsigned n, int ms);
void td_http_turn(td_http *http);


/* ---- jobs (work.c) ---- */

typedef struct td_work td_work;
typedef struct td_job td_job;

struct td_work {
    const td_conf *conf;
    td_db *db;
    td_http *http;
    td_job *jobs; /* under way */
    unsigned njobs;
    int stopping;
    int ready;        /* the schema is one that this was built for */
    td_mem mem;       /* of the control batches, each in turn */
    td_batch control; /* one at a time */
    int controlling;
    int64_t check_at; /* TD_NEVER once ready */
    int64_t plan_at;
    int64_t claim_at;
};

void td_work_init(td_work *work, const td_conf *conf, td_db *db, td_http *http);
void td_work_free(td_work *work);

int64_t td_work_timer(const td_work *work);
void td_work_turn(td_work *work);

/* Claims no more, gives back what isn't begun. */
void td_work_stop(td_work *work);
/* Whether nothing is under way any more. */
int td_work_idle(const td_work *work);

#endif
