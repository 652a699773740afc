/*
 * op.h: the host contract. One HTTP request is one tn_op: the host makes it
 * from the request's head, steps it, does what it wants, steps again, until
 * it wants nothing more and the response is ready.
 *
 *     tn_op_new(&op, core, &request, &mem);
 *     for (want = tn_op_step(op, NULL); want->kind != TN_WANT_NONE;
 *          want = tn_op_step(op, &input)) {
 *         do what want->kind says; fill in input;
 *     }
 *     send tn_op_response(op);
 *     tn_op_free(op);
 *
 * The library does no I/O, reads no clock and makes no randomness: time,
 * entropy and memory come in with the request; wishes go out as data. An op
 * belongs to one thread at a time. Facts and response live as long as the op, a
 * want until the next step; input is borrowed for the call of tn_op_step(), a
 * body for the life of the op.
 */

#ifndef TENON_OP_H
#define TENON_OP_H

#include <tenon/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_core tn_core; /* core.h */
typedef struct tn_op tn_op;


/* ---- the request ------------------------------------------------------ */

typedef struct tn_header {
    tn_str name; /* any case in requests; as sent in responses */
    tn_str value;
} tn_header;

/* The head of a request. Strings are borrowed for the life of the op; entropy
 * isn't: wipe it behind tn_op_new(). */
typedef struct tn_request {
    tn_str method; /* "GET", upper case */
    tn_str host;   /* the Host header without port, lower case; may be empty */
    tn_str prefix; /* what stands before `path` in links, e.g. "/api" */
    tn_str path;   /* decoded, below the prefix: "/v1/tasks", "/ready" */
    tn_str query;  /* raw, without '?'; absent if there is none */
    const tn_header *headers;
    unsigned nheaders;
    tn_str address; /* the client's, as text; what is no address is none */
    int64_t now;    /* wall clock, microseconds since 1970 */
    uint64_t body_length;      /* Content-Length; UINT64_MAX if chunked */
    unsigned tls : 1;          /* it came over TLS */
    unsigned char entropy[32]; /* fresh and unpredictable, per request */
} tn_request;


/* ---- what an op wants -------------------------------------------------- */

/* A prepared statement. `name` is a hash of `sql`: equal text, equal name. */
typedef struct tn_stmt {
    tn_str name;
    tn_str sql; /* $1…$n, every parameter cast; no trailing semicolon */
    unsigned nparams;
    unsigned binary : 1; /* ask for rows in the server's own form; they come as
                          * text all the same, times in RFC 3339. Types: text,
                          * varchar, uuid, integers, bool, timestamptz, date,
                          * json, jsonb */
} tn_stmt;

typedef struct tn_query {
    const tn_stmt *stmt;
    const tn_str *params; /* text format, no NUL inside; p == NULL is NULL */
} tn_query;

/* Statements sent as one pipeline with one Sync: one implicit transaction.
 * The first one sets the tenant context when the batch needs one. */
typedef struct tn_batch {
    const tn_query *queries;
    unsigned n;
    unsigned writes : 1; /* never retried by the host; keep to an own lane */
    unsigned slow : 1;   /* may take long: the host gives it no more than a part
                          * of its connections */
} tn_batch;

typedef enum tn_db_outcome {
    TN_DB_OK,      /* every statement succeeded and is committed */
    TN_DB_ERROR,   /* the server refused one: nothing is committed */
    TN_DB_BUSY,    /* never sent: queue full, or its deadline passed */
    TN_DB_DOWN,    /* never sent: no connection */
    TN_DB_UNKNOWN, /* sent, answer lost: may or may not be committed */
} tn_db_outcome;

/* One statement's rows, as PostgreSQL's text (but see tn_stmt.binary):
 * cells[row * ncols + col]. */
typedef struct tn_rows {
    unsigned nrows;
    unsigned ncols;
    const tn_str *cells;
} tn_rows;

typedef struct tn_reply {
    tn_db_outcome outcome;
    const tn_rows *rows; /* one per statement of the batch, when OK */
    unsigned n;
    char sqlstate[6];    /* when ERROR, else "" */
    tn_str constraint;   /* when ERROR and the server named one */
    tn_str column;       /* the same */
    tn_str message;      /* when ERROR: for logs; of what an app's own SQL
                          * raised for clients, for them */
    unsigned nested : 1; /* when ERROR: the server told a context: it came up
                          * inside a function that the statement called, not
                          * in the statement itself */
} tn_reply;

/*
 * A node-wide, bounded, lossy key-value store in shared memory. GET answers
 * what is live; ADD stores unless a live entry is there; SET overwrites; FILL
 * overwrites too, but only takes room that nothing else has or that was filled,
 * and gives it up before anything else has to. COUNT
 * adds one to a counter, made as 0 with the time to live where none is live,
 * and answers the sum as decimal text. Losing an entry at any moment must be
 * harmless but for cost.
 */
typedef enum tn_zone_verb {
    TN_ZONE_GET,
    TN_ZONE_ADD,
    TN_ZONE_SET,
    TN_ZONE_FILL,
    TN_ZONE_COUNT,
} tn_zone_verb;

#define TN_ZONE_KEY_LEN   16
#define TN_ZONE_VALUE_MAX 512
#define TN_ZONE_CMDS_MAX  6

typedef struct tn_zone_cmd {
    tn_zone_verb verb;
    unsigned char key[TN_ZONE_KEY_LEN]; /* a keyed hash: any part of it is
                                         * as good as a hash of it */
    tn_str value;    /* ADD, SET, FILL: at most TN_ZONE_VALUE_MAX bytes */
    uint32_t ttl_ms; /* ADD, SET, FILL, COUNT (of a new counter) */
} tn_zone_cmd;

/*
 * Counters of what tenants use, in the node's shared memory: how many units of
 * a kind in a period. One is known by tenant, name, period and begin, and is
 * made when it is first taken from. Unlike the zone's they aren't lossy: what
 * was taken lies there until it has been flushed (usage.h).
 */
typedef enum tn_period {
    TN_PERIOD_NONE, /* not by time: how many there are */
    TN_PERIOD_MINUTE,
    TN_PERIOD_HOUR,
    TN_PERIOD_DAY,
    TN_PERIOD_MONTH,
} tn_period;

#define TN_METER_NAME_MAX 63
#define TN_METERS_MAX     4

typedef struct tn_meter {
    unsigned char tenant[16];
    tn_str name; /* "api_calls"; at most TN_METER_NAME_MAX bytes */
    tn_period period;
    int64_t begins, ends; /* microseconds since 1970 */
    int64_t soft, hard;   /* -1: none. No unit is taken beyond `hard`; a flush
                           * is handed both, as they were last */
    int64_t base;         /* what the database says was used: where there is no
                           * counter yet, it begins with it; -1: not asked */
} tn_meter;

typedef enum tn_taken {
    TN_TAKEN,         /* there is room for the units */
    TN_TAKEN_OVER,    /* they would go beyond `hard` */
    TN_TAKEN_UNKNOWN, /* there is no counter, and no base to begin one with */
    TN_TAKEN_FULL,    /* there is no counter, and no room for one: all that are
                       * there have something to flush */
} tn_taken;

/* Password hashing: plain data, run anywhere, for example in a thread pool.
 * The host copies it, runs tn_job_run() on the copy (which wipes the
 * password), and hands the copy back. Memory and time are those of
 * Argon2id. */
typedef struct tn_job {
    enum {
        TN_JOB_HASH,
        TN_JOB_VERIFY,
    } kind;
    uint64_t ops;  /* passes of a new hash */
    size_t memory; /* bytes of a new hash */
    size_t password_len;
    char password[1024];
    char hash[128]; /* VERIFY: in; HASH: out. NUL-terminated */
    int renew;      /* VERIFY: where the password is right, and its hash
                           * was made with other passes or bytes, make a new
                           * one; that takes as long again */
    int ok;         /* out: hashed, or verified */
    int renewed;    /* out: so it was, and this is the new one */
    int failed;     /* out: VERIFY ran out of memory: it may be right */
} tn_job;

TN_API void tn_job_run(tn_job *job);

/* A request to somebody else's server, over http or https. No redirect is
 * followed. */
typedef struct tn_http {
    tn_str method; /* "POST" */
    tn_str url;
    const tn_header *headers;
    unsigned nheaders;
    tn_str body;         /* absent: none */
    uint32_t timeout_ms; /* for all of it; the host's own limit is 30 s */
    size_t answer_max;   /* bytes of body; an answer with more is a failure */
} tn_http;

/* Why there was no answer: its kind alone. What more the host knows, such as
 * addresses, is for its log, not for who wanted it asked. */
typedef enum tn_http_fault {
    TN_HTTP_NOT_MADE, /* no such request can be made */
    TN_HTTP_NO_ADDRESS,
    TN_HTTP_NO_CONNECTION,
    TN_HTTP_NO_TLS, /* or a certificate that isn't to be trusted */
    TN_HTTP_TIMEOUT,
    TN_HTTP_TOO_LARGE,
    TN_HTTP_BROKEN, /* it ended too early, or isn't HTTP */
} tn_http_fault;

typedef struct tn_http_answer {
    unsigned status; /* 0: there was no answer */
    const tn_header *headers;
    unsigned nheaders;
    tn_str body;
    tn_http_fault fault; /* why there was none */
} tn_http_answer;

typedef enum tn_want_kind {
    TN_WANT_NONE,  /* the response is ready */
    TN_WANT_ZONE,  /* run zone.cmds in order; answer input.values[] */
    TN_WANT_METER, /* take meter.units from each of the counters or, where one
                    * of them isn't TN_TAKEN, from none; in one go. Less than
                    * 0: give them back to those that there still are, whatever
                    * their limit is. Answer input.meters[] */
    TN_WANT_ADMIT, /* tenant and principal are known (tn_op_facts): apply
                    * limits, then step again with input == NULL; or with
                    * input.waited_ms, where they make it wait; or with
                    * input.failed = TN_E_BUSY where facts say that it will
                    * want a job and there is no room for one */
    TN_WANT_BODY,  /* read the body, at most body_max bytes, else step with
                    * input.failed = TN_E_TOO_LARGE; tell input.waited_ms:
                    * behind more than a second the op finds out anew who
                    * asks */
    TN_WANT_DB,    /* run the batch; answer input.reply */
    TN_WANT_CPU,   /* run a copy of the job; answer input.job; or
                    * input.failed = TN_E_BUSY when no permit is to be had */
    TN_WANT_HTTP,  /* never an op's, but background work's (work.h): make the
                    * request; answer input.http, or input.failed when it
                    * can't be made */
} tn_want_kind;

typedef struct tn_want {
    tn_want_kind kind;
    union {
        struct {
            const tn_zone_cmd *cmds;
            unsigned n; /* <= TN_ZONE_CMDS_MAX */
        } zone;
        struct {
            const tn_meter *meters;
            unsigned n; /* <= TN_METERS_MAX */
            int units;
        } meter;
        size_t body_max;
        const tn_batch *batch;
        const tn_job *job;
        const tn_http *http;
    };
} tn_want;

/* The answer to the last want: `failed`, and the want's own member. */
typedef struct tn_input {
    tn_err failed;                   /* the host could not do it: why */
    tn_str values[TN_ZONE_CMDS_MAX]; /* ZONE: what GET and COUNT answer;
                                      * p NULL = miss */
    struct {
        tn_taken taken; /* what of this one alone is to be said */
        int64_t used;   /* in its period, on all nodes as far as is known here,
                         * with what was taken; 0 where there is no counter */
    } meters[TN_METERS_MAX];
    tn_str body;
    uint64_t waited_ms; /* ADMIT, BODY: since the op wished to be admitted, by
                         * a clock that nobody sets */
    const tn_reply *reply;
    const tn_job *job;
    const tn_http_answer *http;
    int64_t now; /* of background work alone: microseconds since 1970; 0: no
                  * later than before */
} tn_input;


/* ---- the response ------------------------------------------------------ */

typedef struct tn_response {
    unsigned status;
    const tn_header *headers; /* Content-Type, ETag, Location… but never
                               * Content-Length, Date, Connection */
    unsigned nheaders;
    tn_str body; /* empty for 204, 304 */
} tn_response;

/* What is known of the request so far, for variables and logs; absent
 * strings are not known (yet). */
typedef struct tn_facts {
    tn_str tenant;       /* slug */
    tn_str tenant_id;    /* UUID text */
    tn_str user_id;      /* UUID text */
    tn_str request_id;   /* always there after tn_op_new */
    tn_str operation;    /* operationId, "listTasks" */
    tn_str trace_id;     /* of a valid traceparent, 32 hex digits */
    unsigned hashes : 1; /* it is going to want a job */
    tn_err error;        /* what it was refused with */
    tn_str log;          /* a line for error.log when something went wrong
                        * that an operator must hear of; no secrets */
} tn_facts;


/* ---- driving ----------------------------------------------------------- */

/*
 * Makes an op for a request. *op is NULL only on TN_E_NOMEM (answer
 * tn_response_static). All memory comes from `mem`; the op keeps the
 * catalogue it was made under alive until tn_op_free().
 */
TN_API tn_err tn_op_new(tn_op **op, tn_core *core, const tn_request *request,
                        tn_mem *mem);

/* Goes on with the answer to the last want (NULL for none); returns the next
 * want, valid until the next step. Failures are sticky in the op and come
 * out as its response: after TN_WANT_NONE further steps change nothing. */
TN_API const tn_want *tn_op_step(tn_op *op, const tn_input *input);

TN_API const tn_facts *tn_op_facts(const tn_op *op);

/* The response, once the op wants nothing more. */
TN_API const tn_response *tn_op_response(tn_op *op);

/* Lets go of the catalogue. Memory is the host's to drop. */
TN_API void tn_op_free(tn_op *op);

/* A complete problem response in static memory, for when there is no memory
 * or no op (a request refused by the host itself). Has no request id. */
TN_API const tn_response *tn_response_static(tn_err err);

/* A problem response for an HTTP status that the host itself arrived at
 * (nginx's own 400, 413, 414, 429, 502…): the error that fits the status
 * best; statuses that no error fits get code "malformed_request" below 500
 * and "unavailable" from 500 on, under the given status. */
TN_API tn_err tn_response_problem(const tn_response **out, unsigned status,
                                  tn_str request_id, tn_mem *mem);

#ifdef __cplusplus
}
#endif

#endif
