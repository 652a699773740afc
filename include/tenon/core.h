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
#include <tenon/webhook.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_catalogue tn_catalogue;

#define TN_KEY_LEN 32

/*
 * The keys of access tokens, as the file of `tenon_signing_key` lists them, a
 * line each: the Ed25519 seed in base64url without padding and, behind a
 * blank, the time (RFC 3339) since which the key has had its place. The first
 * signs; the others are published and accepted: the second is the next to
 * sign, the rest have signed before.
 */
#define TN_RING_KEYS_MAX 8 /* of either kind of ring */

/* Also what `tenon_encryption_key` names is such a file. */
typedef struct tn_signing_key {
    unsigned char seed[TN_KEY_LEN];
    int64_t since; /* seconds since 1970; 0: not told */
} tn_signing_key;

typedef struct tn_key_ring {
    tn_signing_key keys[TN_RING_KEYS_MAX];
    unsigned n;
} tn_key_ring;

/* Reads such a file's text. 0 when it isn't one: *fault says what is wrong in
 * which *line, from 1, and the ring is wiped. */
TN_API int tn_key_ring_parse(tn_key_ring *ring, unsigned *line,
                             const char **fault, tn_str text);

/* A key's id as tokens and the JWKS have it, with a NUL behind it: the RFC 7638
 * thumbprint of its public half. */
#define TN_KEY_ID_SIZE 44
TN_API void
tn_signing_key_id(char out[TN_KEY_ID_SIZE], const tn_signing_key *key);

/* Somebody else whose JWTs are accepted beside our own: RS256, ES256, EdDSA. */
#define TN_ISSUERS_MAX 32

typedef struct tn_issuer {
    tn_str issuer;   /* what `iss` says, byte for byte */
    tn_str jwks;     /* the text of its JWK Set */
    tn_str audience; /* `aud` is or has it; absent: "https://" base domain */
    tn_str tenant;   /* the tenant's slug or id; absent: a claim says it */
    tn_str tenant_claim; /* that claim */
    tn_str user_claim;   /* who it is there; absent: `sub` */
} tn_issuer;

/* Whether an issuer can be served: 0 says what is wrong, and in which key of
 * the set, from 1 (0: none). */
TN_API int
tn_issuer_check(const tn_issuer *issuer, unsigned *key, const char **fault);

typedef struct tn_core_conf {
    tn_str base_domain;               /* "tenon.localhost"; may be empty */
    unsigned char secret[TN_KEY_LEN]; /* signs cursors, keys attempt rows */
    tn_key_ring signing;              /* access tokens; none: none are made */
    tn_key_ring encryption;           /* of what is kept encrypted: the first
                                        * encrypts, all decrypt */
    uint32_t token_ttl;               /* seconds an access token lives */
    uint32_t session_ttl;             /* seconds a session lives */
    uint32_t session_idle;            /* seconds it may lie unused; 0: any */
    uint64_t hash_ops;                /* Argon2id passes */
    size_t hash_memory;               /* Argon2id bytes */
    size_t body_max;                  /* bytes of a JSON body */
    const tn_issuer *issuers;         /* those that tn_issuer_check() takes */
    unsigned nissuers;
    tn_webhook_secrets stripe; /* of what Stripe sends in; none: 404 */
    int signup_own_realm; /* signing up makes a realm of the new tenant's own;
                           * 0: its people are of the shared one */
    tn_str cors_origins;  /* origins whose pages may read answers, with blanks
                          * between, or "*"; absent: none */
} tn_core_conf;

/* Sensible values for everything but domain and keys. */
TN_API void tn_core_conf_init(tn_core_conf *conf);

/* Copies `conf`. malloc()s: a core is made at start, not per request.
 * TN_E_INTERNAL when libsodium can't be initialised, or when two encryption keys
 * have one id. */
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
TN_API unsigned
tn_cors_headers(tn_header *out, const tn_core *core, tn_str origin);

/* The one-time secret by which an invitation is accepted, for whoever carries
 * it to the invited: base64url with a NUL behind it. It is made from the core's
 * secret and lies nowhere. TN_E_INTERNAL when an id is no UUID. */
#define TN_INVITATION_TOKEN_SIZE 87
TN_API tn_err tn_invitation_token(char *out, const tn_core *core,
                                  tn_str tenant_id, tn_str invitation_id);

/* Where a text is kept that is kept encrypted: whose (a tenant, or a realm), in
 * which relation ("clinic.patient", "tenon.totp"), column and row. Ids are
 * UUIDs as text, in lower case. */
typedef struct tn_place {
    tn_str scope;
    tn_str relation;
    tn_str column;
    tn_str id;
} tn_place;

/* Text as it is kept: "tn1.", the key's id, ".", base64url. It can be read at
 * this place only. The nonce must be random. TN_E_INTERNAL without a key. */
#define TN_NONCE_LEN 24
TN_API tn_err tn_text_seal(tn_str *out, const tn_core *core,
                           const tn_place *place, tn_str text,
                           const unsigned char nonce[TN_NONCE_LEN],
                           tn_mem *mem);

/* The reverse. Text that hasn't that form was never sealed, whatever it begins
 * with, and stays as it is. TN_E_INTERNAL when the key is missing, or it isn't what was sealed
 * at this place; *out is absent then. */
TN_API tn_err tn_text_unseal(tn_str *out, const tn_core *core,
                             const tn_place *place, tn_str text, tn_mem *mem);

/* The form, as a regular expression of PostgreSQL's; the key's id is at
 * TN_SEALED_ID_AT. */
#define TN_SEALED_PATTERN "^tn1[.][A-Za-z0-9_-]{6}[.][A-Za-z0-9_-]{54,}$"
#define TN_SEALED_ID_AT   "5, 6" /* of substr() */

/* The id of the key that a sealed text needs, borrowed from it; absent when it
 * isn't sealed. */
TN_API tn_str tn_text_key(tn_str sealed);

/* The id of an encryption key: what tells one from another, and nothing about
 * it. */
#define TN_ENCRYPTION_ID_LEN 6
TN_API void tn_encryption_key_id(char id[TN_ENCRYPTION_ID_LEN],
                                 const unsigned char key[TN_KEY_LEN]);

/* The same of a token that verifies an address ("verify") or resets a password
 * ("reset"): tenon.one_time. TN_E_INTERNAL when an id is no UUID. */
#define TN_ONE_TIME_TOKEN_SIZE 87
TN_API tn_err tn_one_time_token(char *out, const tn_core *core, tn_str purpose,
                                tn_str realm_id, tn_str id);

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
    tn_str operation; /* "listTasks" */
    tn_str method;
    tn_str path;         /* "/v1/tasks/{id}" */
    tn_str permission;   /* "teamos.task:read", "public", "authenticated" */
    const tn_stmt *stmt; /* NULL for endpoints of several steps */
    int scoped;          /* stmt is for who may do this in some accounts only */
    const tn_str *columns;
    unsigned ncolumns;
} tn_endpoint_info;

TN_API int tn_catalogue_endpoint(tn_endpoint_info *info,
                                 const tn_catalogue *cat, unsigned i);

#ifdef __cplusplus
}
#endif

#endif
