/*
 * pg.h: a PostgreSQL connection as a machine that any event loop can drive:
 * a descriptor and the readiness it wants come out, "readable" and "writable"
 * go in. It never blocks, never sleeps, has no clock.
 *
 *     tn_pg_new(&pg, &conf);
 *     loop: fd = tn_pg_fd(pg), wants = tn_pg_wants(pg)
 *           — the fd may change after any call while CONNECTING: register
 *             anew whenever tn_pg_generation() changed; watch it
 *             level-triggered (libpq reads once per call, TLS holds back
 *             bytes that poll() can't see)
 *           tn_pg_io(pg, ready)       when the fd is ready as wanted
 *           tn_pg_next(pg, …)         until it returns 0
 *           tn_pg_send(pg, batch, tag) while READY
 *     tn_pg_free(pg);
 *
 * Batches go out in pipeline mode, each behind its own Sync, so one's error
 * never touches another; completion is driven by the Sync result. A lost
 * connection fails every batch in flight once, as TN_DB_UNKNOWN.
 */

#ifndef TENON_PG_H
#define TENON_PG_H

#include <tenon/op.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_pg tn_pg;

typedef enum tn_pg_state {
    TN_PG_CONNECTING, /* libpq's handshake */
    TN_PG_PREPARING,  /* statements of conf.prepare are on their way */
    TN_PG_READY,      /* takes batches */
    TN_PG_RETIRING,   /* takes no more; free it when tn_pg_depth() is 0 */
    TN_PG_DEAD,       /* lost; free it once tn_pg_next() is drained */
} tn_pg_state;

#define TN_PG_READ  1u
#define TN_PG_WRITE 2u

typedef struct tn_pg_conf {
    const char *conninfo;          /* libpq's, NUL-terminated */
    const tn_stmt *const *prepare; /* prepared before READY, as far as the
                                    * server will; borrowed until then */
    unsigned nprepare;
    unsigned max_depth;      /* batches in flight, >= 1 */
    unsigned max_statements; /* prepared per connection; the least recently
                              * used goes first; 0: 256 */
    unsigned unprepared : 1; /* behind a pooler in transaction mode: no name
                              * is kept on the server, each statement goes
                              * with its text; `prepare` is not looked at */
} tn_pg_conf;

/* Whether that is libpq's form, "name=value …" or a URI, with no setting that it
 * doesn't know. (What is wrong isn't said: libpq quotes it, and it may be a
 * password.) */
TN_API int tn_pg_conninfo_valid(const char *conninfo);

/* Starts connecting. malloc()s; *pg is NULL only on TN_E_NOMEM. A connection
 * that can't even start is DEAD with tn_pg_error(). */
TN_API tn_err tn_pg_new(tn_pg **pg, const tn_pg_conf *conf);
TN_API void tn_pg_free(tn_pg *pg);

TN_API tn_pg_state tn_pg_get_state(const tn_pg *pg);
TN_API int tn_pg_fd(const tn_pg *pg);             /* -1 when there is none */
TN_API unsigned tn_pg_generation(const tn_pg *pg); /* bumps with a new fd */
TN_API unsigned tn_pg_wants(const tn_pg *pg);     /* TN_PG_READ | _WRITE */
TN_API unsigned tn_pg_depth(const tn_pg *pg);     /* batches in flight */
TN_API unsigned tn_pg_syncs(const tn_pg *pg);     /* Syncs ever sent: tests */
TN_API tn_str tn_pg_error(const tn_pg *pg);       /* for logs */

/* The first statement of conf.prepare that the server refused, and why, for
 * logs; empty when it refused none. The connection is READY all the same: that
 * statement, and those after it, are parsed when a batch first has them. */
TN_API tn_str tn_pg_refusal(const tn_pg *pg);

/* The descriptor is ready: reads and flushes what it can. A bounded number of
 * results is taken up per call; if more are waiting, tn_pg_more() is true, also
 * after tn_pg_send(): call this again soon, with nothing ready. */
TN_API void tn_pg_io(tn_pg *pg, unsigned ready);
TN_API int tn_pg_more(const tn_pg *pg);

/*
 * Sends a batch: Parse for statements this connection hasn't yet, Bind and
 * Execute each, one Sync. Copies what it needs. TN_OK, or: TN_E_BUSY at full
 * depth; TN_E_UNAVAILABLE when not READY. Nothing was sent on an error.
 */
TN_API tn_err tn_pg_send(tn_pg *pg, const tn_batch *batch, void *tag);

/*
 * The oldest finished batch: returns 1 with its tag and reply, 0 when there
 * is none. The reply is valid until the next tn_pg_* call on this connection.
 * Errors that say that prepared statements are out of date (0A000 for a cached
 * plan, 26000, 42P05) turn the connection RETIRING; *retry is then 1: the
 * batch, a write too, has left no trace and may be sent again elsewhere. It is
 * 0 for everything else: after TN_DB_UNKNOWN only the host knows which batches
 * do no harm twice.
 */
TN_API int tn_pg_next(tn_pg *pg, void **tag, const tn_reply **reply,
                      int *retry);

#ifdef __cplusplus
}
#endif

#endif
