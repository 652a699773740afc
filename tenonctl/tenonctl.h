/*
 * tenonctl.h: what the commands of tenonctl share: a database session, SQL
 * files run statement by statement, folders, messages.
 *
 * Functions that can fail return 0 on success, -1 after having said on
 * stderr what went wrong; the command's exit code follows from that.
 */

#ifndef TENONCTL_H
#define TENONCTL_H

#include <libpq-fe.h>
#include <stddef.h>
#include <sys/stat.h>
#include <tenon/core.h>

#define CTL_OK     0 /* exit codes */
#define CTL_FAILED 1
#define CTL_USAGE  2

/* "tenonctl: …" and a newline on stderr. Returns -1. */
int ctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));


/* ---- database (db.c) ---- */

/* Connects; conninfo NULL means $TENON_DATABASE, else the given default. */
int ctl_connect(PGconn **conn, const char *conninfo, const char *fallback);

/* Waits for the lock that keeps migrations and loads of apps apart; it goes
 * with the connection. From then on the session waits for no other lock for
 * longer than a second, or its own lock_timeout if it came with one. */
int ctl_lock(PGconn *conn);

/* What to do about an error, in the server's words or ours. Borrowed; NULL
 * when there is nothing to say. */
const char *ctl_hint(const PGresult *res);

/* Says under the name `what` why a statement failed; returns -1. */
int ctl_result_error(PGconn *conn, const PGresult *res, const char *what);

/* Runs one statement with n text parameters; what went wrong is said under
 * the name `what`. *res may be NULL when rows are of no interest. */
int ctl_query(PGresult **res, PGconn *conn, const char *what, const char *sql,
              int n, const char *const *params);


/* ---- the catalogue (catalogue.c) ---- */

/* The library, with keys that are good for nothing. tn_core_free() it. */
int ctl_core(tn_core **core);

/* Reads the catalogue as a worker does, and compiles it. One that can't be
 * served is no failure: *cat is NULL then, and *fault says why (free() it).
 * tn_catalogue_free() the other. */
int ctl_catalogue_read(tn_catalogue **cat, char **fault, tn_core *core,
                       PGconn *conn);

/* A string as libpq wants it; free() it. */
char *ctl_text(tn_str s);


/* ---- SQL files (sql.c) ---- */

/* Runs the statements of a file one after the other in the transaction that
 * is open; errors name file:line. A file that ends the transaction itself
 * is refused. */
int ctl_run_file(PGconn *conn, const char *path, const char *text);

/* The next statement of a text that starts at `p`: *start without leading
 * blanks and comments, *end behind its semicolon. 0 when there is none. */
int ctl_statement(const char **start, const char **end, const char *p);


/* ---- files (files.c) ---- */

typedef struct ctl_file {
    char *name; /* without the folder */
    char *path;
    char *text; /* NUL-terminated */
    size_t size;
} ctl_file;

typedef struct ctl_files {
    ctl_file *list; /* in the order of names */
    size_t n;
} ctl_files;

/* Reads all *.sql of a folder. Free with ctl_files_free(). */
int ctl_files_read(ctl_files *files, const char *dir);
void ctl_files_free(ctl_files *files);

/* Reads one file whole, "-" for stdin; free() the text. */
int ctl_file_read(char **text, size_t *size, const char *path);

/* Where schema/NAME lies: in the current folder when that is a checkout, else
 * where it was installed. free() it. */
char *ctl_schema_path(const char *name);

/* A path below the folder of `make run`; free() it. */
char *ctl_var_path(const char *name);

char *ctl_format(const char *format, ...)
    __attribute__((format(printf, 1, 2))); /* free() it; never NULL */

/* The name of the app that arguments name, if there is one and it can be. */
int ctl_app_name(const char **name, int argc, char **argv);


/* ---- passwords (password.c) ---- */

/* Hashes the first line of a file, "-" for stdin, with the parameters of a
 * core's defaults: so that the first sign-in needs no rehash. */
int ctl_hash_password(char out[128], const char *path);


/* ---- files of keys (ring.c) ---- */

typedef struct ctl_ring_file {
    char *path;
    int fd; /* locked */
    struct stat stat;
    tn_key_ring ring;
} ctl_ring_file;

/* Opens, locks and reads it, whatever links lead there. ctl_ring_close() it, if
 * that failed, too. */
int ctl_ring_open(ctl_ring_file *file, const char *name);
void ctl_ring_close(ctl_ring_file *file);
/* Whole or not at all. `old` NULL: there must be no such file yet. */
int ctl_ring_write(const char *path, const tn_key_ring *ring,
                   const struct stat *old);
/* A new one, there since `now`. */
void ctl_ring_key(tn_signing_key *key, int64_t now);

/* Seconds since 1970 as RFC 3339; 0 is "-". */
#define CTL_TIME_TEXT 32
const char *ctl_time_text(char out[CTL_TIME_TEXT], int64_t since);


/* ---- DNS (dns.c) ---- */

typedef struct ctl_dns ctl_dns;

/* The system's resolver, or the one at "ADDRESS:PORT". ctl_dns_close() it. */
int ctl_dns_open(ctl_dns **dns, const char *resolver);
void ctl_dns_close(ctl_dns *dns);

/* NULL when the name has a TXT record of this text; else why not: static. */
const char *ctl_dns_has_text(ctl_dns *dns, const char *name, const char *text);


/* ---- commands ---- */

int ctl_migrate(int argc, char **argv);
int ctl_app(int argc, char **argv);
int ctl_app_load(int argc, char **argv); /* app load */
int ctl_admin(int argc, char **argv);
int ctl_purge(int argc, char **argv);
int ctl_outbox(int argc, char **argv);
int ctl_keys(int argc, char **argv);
int ctl_encryption(int argc, char **argv);
int ctl_user(int argc, char **argv);
int ctl_domain(int argc, char **argv);
int ctl_doctor(int argc, char **argv);

#endif
