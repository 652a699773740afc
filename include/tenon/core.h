/*
 * core.h: what lives longer than a request: configuration and keys (tn_core),
 * and the compiled catalogue of apps that it serves.
 *
 *     tn_core_new(&core, &conf);
 *     batch = tn_catalogue_batch();         run it, as any batch
 *     tn_catalogue_new(&cat, core, &reply, &fault);
 *     tn_core_adopt(core, cat);             from now on ops are made under it
 *     …
 *     tn_core_free(core);
 *
 * Not thread-safe: one core per worker.
 */

#ifndef TENON_CORE_H
#define TENON_CORE_H

#include <tenon/op.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_catalogue tn_catalogue;

#define TN_KEY_LEN 32

typedef struct tn_core_conf {
    tn_str base_domain;                /* "tenon.localhost"; may be empty */
    unsigned char secret[TN_KEY_LEN];  /* signs cursors, keys attempt rows */
    unsigned char signing_seed[TN_KEY_LEN]; /* Ed25519 seed: access tokens */
    uint32_t token_ttl;                /* seconds an access token lives */
    uint32_t session_ttl;              /* seconds a session lives */
    uint64_t hash_ops;                 /* Argon2id passes */
    size_t hash_memory;                /* Argon2id bytes */
    size_t body_max;                   /* bytes of a JSON body */
    tn_str cors_origins; /* origins whose pages may read answers, with blanks
                          * between, or "*"; absent: none */
} tn_core_conf;

/* Sensible values for everything but domain and keys. */
TN_API void tn_core_conf_init(tn_core_conf *conf);

/* Copies `conf`. malloc()s: a core is made at start, not per request.
 * TN_E_INTERNAL when libsodium can't be initialised. */
TN_API tn_err tn_core_new(tn_core **core, const tn_core_conf *conf);
TN_API void tn_core_free(tn_core *core);

/* Whether a catalogue has been adopted: before that, ops answer 503, but for
 * the few that need none (/live, /.well-known/jwks.json). */
TN_API int tn_core_ready(const tn_core *core);

/* The statements that read the catalogue, as one batch. Static memory. */
TN_API const tn_batch *tn_catalogue_batch(void);

/* Compiles a catalogue from the reply to tn_catalogue_batch(). On failure
 * *cat is NULL and *fault says what is wrong, where, and how to mend it
 * (valid until the next call). The old catalogue keeps serving. TN_E_BUSY: an
 * app was loaded while it was read, so that it is neither the old nor the new;
 * read it again. */
TN_API tn_err tn_catalogue_new(tn_catalogue **cat, tn_core *core,
                               const tn_reply *reply, tn_str *fault);

/* What lets a page of another origin read an answer: headers to add to one
 * that the host makes itself (an op's responses have them). Returns how many,
 * at most TN_CORS_HEADERS_MAX: Vary alone where the origin is absent or not
 * allowed, none where no origin is. The origin is borrowed. */
#define TN_CORS_HEADERS_MAX 3
TN_API unsigned tn_cors_headers(tn_header *out, const tn_core *core,
                                tn_str origin);

/* The one-time secret by which an invitation is accepted, for whoever carries
 * it to the invited: base64url with a NUL behind it. It is made from the core's
 * secret and lies nowhere. TN_E_INTERNAL when an id is no UUID. */
#define TN_INVITATION_TOKEN_SIZE 87
TN_API tn_err tn_invitation_token(char *out, const tn_core *core,
                                  tn_str tenant_id, tn_str invitation_id);

/* Swaps the catalogue in, whole; the old one goes with its last op. */
TN_API void tn_core_adopt(tn_core *core, tn_catalogue *cat);

TN_API uint64_t tn_catalogue_version(const tn_catalogue *cat);
TN_API void tn_catalogue_free(tn_catalogue *cat); /* only if never adopted */

/* The statements worth preparing before a connection joins a pool: context,
 * platform, and the fixed ones of every resource. Borrowed from `cat`, or the
 * platform's alone when cat is NULL. */
TN_API void tn_catalogue_statements(const tn_stmt *const **list, unsigned *n,
                                    const tn_catalogue *cat);

/* For tests and `tenonctl doctor`: the i-th endpoint, its statement and the
 * columns it must answer. Returns 0 past the end. */
typedef struct tn_endpoint_info {
    tn_str operation;  /* "listTasks" */
    tn_str method;
    tn_str path;       /* "/v1/tasks/{id}" */
    tn_str permission; /* "teamos.task:read", "public", "authenticated" */
    const tn_stmt *stmt; /* NULL for endpoints of several steps */
    const tn_str *columns;
    unsigned ncolumns;
} tn_endpoint_info;

TN_API int tn_catalogue_endpoint(tn_endpoint_info *info,
                                 const tn_catalogue *cat, unsigned i);

#ifdef __cplusplus
}
#endif

#endif
