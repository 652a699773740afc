/*
 * host_parts.h: what host.h puts together: its state, tokens made by hand, a
 * zone in an array. Its database: host_db.h.
 */

#ifndef TENON_HOST_PARTS_H
#define TENON_HOST_PARTS_H

#include "libcore/base/base.h"
#include "t/00unit/teamos.h"
#include <sodium.h>

#define ACME       "0192f0c0-0000-7000-8000-00000000000a"
#define ACME_HOST  "acme.tenon.localhost"
#define UMBRELLA   "0192f0c0-0000-7000-8000-00000000000b"
#define SLEEPY     "0192f0c0-0000-7000-8000-00000000000c"
#define PLATFORM   "00000000-0000-7000-8000-000000000002"
#define REALM      "00000000-0000-7000-8000-000000000001"
#define OWNER      "0192f0c0-0000-7000-8000-0000000000a1"
#define MEMBER     "0192f0c0-0000-7000-8000-0000000000a2"
#define GUEST      "0192f0c0-0000-7000-8000-0000000000a3"
#define EVE        "0192f0c0-0000-7000-8000-0000000000b1"
#define TASK       "0192f0c0-0000-7000-8000-0000000000f1"
#define PROJECT    "0192f0c0-0000-7000-8000-0000000000f2"
#define SESSION(n) "0192f0c0-0000-7000-8000-0000000005" n

#define HOST_ZONE_MAX 256
#define HOST_HEADERS  16
#define HOST_START    1763690000000000 /* 2025-11-21, microseconds */

typedef struct host_rows {
    unsigned ncols;
    unsigned ncells;
    const char *const *cells;
} host_rows;

/* What the database says to one batch; the context's row is added. */
typedef struct host_reply {
    host_rows rows[3];
    int lookup; /* fails a look-up in the directory instead */
    tn_db_outcome outcome;
    const char *sqlstate;
    const char *constraint;
    const char *column;
    const char *message;
    int nested;
} host_reply;

#define CELLS(...)                                                       \
    sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *), \
        (const char *const[])                                            \
    {                                                                    \
        __VA_ARGS__                                                      \
    }
#define ROWS(ncols, ...) .rows = { { (ncols), CELLS(__VA_ARGS__) } }
#define NO_ROWS(ncols)   .rows = { { (ncols), 0, NULL } }

struct host;

/* Absent members take what a browser of acme would send. */
typedef struct host_request {
    const char *method; /* GET */
    const char *path;
    const char *query;
    const char *host; /* ACME_HOST; "" for none */
    const char *body;
    const char *type; /* application/json when there is a body */
    const char *token;
    const char *authorization; /* the whole header, instead of a token */
    const char *tenant;
    const char *if_match;
    const char *if_none_match;
    const char *request_id;
    const char *user_agent;
    const char *key; /* Idempotency-Key */
    const char *origin;
    const char *preflight; /* Access-Control-Request-Method */
    const char *traceparent;
    const char *header[2]; /* one more, name and value, whatever it is */
    const char *prefix;
    const char *address;    /* 192.0.2.1 */
    tn_db_outcome unlogged; /* how writing down a refusal fails */
    int no_count;           /* the zone counts, and forgets */
    int no_zone;            /* it can't even do that */
    /* run when a look-up was answered, before the op hears of it */
    void (*meanwhile)(struct host *h);
    /* run before the zone is asked for the n-th time, from 1 */
    void (*between)(struct host *h, unsigned n);
    /* run while limits are applied, or else while the body comes; how long */
    void (*waiting)(struct host *h);
    uint64_t limits_ms;
    uint64_t body_ms;
    int too_large;  /* the host finds the body over body_max */
    int no_permit;  /* no thread for a job */
    int no_memory;  /* the job runs out of it */
    int gone;       /* the client goes away while a job runs */
    int no_room;    /* and nowhere to wait for one */
    size_t fail_at; /* this call for memory fails */
    uint64_t body_length;
} host_request;

typedef struct host_entry {
    unsigned char key[TN_ZONE_KEY_LEN];
    char value[TN_ZONE_VALUE_MAX];
    size_t n;
    int64_t until;
    int filled;
} host_entry;

typedef struct host_session {
    const char *id;
    const char *tenant;
    const char *user;
    const char *role;
    const char *roles;    /* as find_session tells them */
    const char *accounts; /* the same */
    const char *impersonator;
    const char *generation; /* of its secret; "0" */
    const char *scopes;     /* of an API key; NULL: it is a session */
    const char *ttl_ms;     /* the same */
    const char *hash;       /* of its secret; NULL: any */
} host_session;

/* Whom an issuer means: linked already (id), or to be linked (email). */
typedef struct host_subject {
    const char *issuer;
    const char *subject;
    const char *tenant; /* acme, as the token names it */
    const char *user;
    const char *id;
    const char *email;
} host_subject;

/* The event of a request that was refused. */
typedef struct host_refused {
    unsigned n; /* batches that wrote one: 0 or 1 */
    tn_str tenant;
    tn_str actor;
    tn_str id;
    tn_str action;
    tn_str resource;
    tn_str resource_id;
    tn_str metadata;
} host_refused;

#define HOST_STRIPE_SECRET "whsec_0123456789abcdef0123456789abcdef"

typedef struct host {
    tn_core *core;
    tn_catalogue *catalogue;
    teamos rows;
    int64_t now;
    host_entry zone[HOST_ZONE_MAX];
    unsigned nzone;
    int lossy;                /* the zone keeps nothing */
    host_session sessions[6]; /* ends at an id that is NULL */
    host_subject subjects[4]; /* ends at an issuer that is NULL */
    int sleepy_active;
    host_rows
        plan; /* what tenon.find_plan() answers; none: nothing is billed */
    struct host_counter {
        tn_meter meter;
        char name[TN_METER_NAME_MAX + 1];
        int64_t used;
    } counters[8];
    unsigned ncounters;
    const char *used;       /* what the database says of each of them; "0" */
    int no_counters;        /* there is no room for another */
    const char *domains[3]; /* verified ones of acme, umbrella, sleepy */

    /* tokens of acme's people, and of umbrella's eve */
    char owner[1024];
    char member[1024];
    char guest[1024];
    char eve[1024];

    /* the last request */
    unit_arena arena;
    tn_op *op;
    const tn_job *job; /* the last that was wanted */
    tn_request request;
    tn_header headers[HOST_HEADERS];
    const tn_response *response;
    char trace[64];
    char body[2097152]; /* of the response, NUL-terminated */
    tn_str sql;         /* of the step's last batch, behind the context */
    const tn_str *params;
    unsigned nparams;
    int renewed;    /* a job made a new hash */
    int slow;       /* the batch says that it may take long */
    tn_str context; /* the statement in front of it, and its parameters */
    const tn_str *context_params;
    unsigned context_nparams;
    tn_str before; /* what stands between the two, if anything does */
    host_refused refused;
    int renew; /* whether the last job was to renew a hash */
    tn_db_outcome unlogged;
    const char *address; /* the client's; 192.0.2.1 */
    uint64_t requests;
    int tls;             /* requests come over TLS */
    const char *more[4]; /* two headers more, of all that follow */
} host;


static const unsigned char host_seed[TN_KEY_LEN] = { 7, 7, 7 };

/* The first encrypts, the second is of before. */
static const tn_signing_key host_encryption_keys[] = {
    { .seed = { 0xe1 } },
    { .seed = { 0xe2 } },
};


/* ---- tokens, made by hand: RFC 7515, 7638, 8037 ---- */

static inline size_t
host_b64(char *out, size_t cap, const void *p, size_t n)
{
    sodium_bin2base64(out, cap, p, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return strlen(out);
}


static inline void
host_keys(unsigned char public[32], unsigned char secret[64], char kid[64])
{
    char x[64], jwk[128];
    unsigned char hash[32];

    crypto_sign_seed_keypair(public, secret, host_seed);
    host_b64(x, sizeof(x), public, 32);
    snprintf(jwk, sizeof(jwk),
             "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
    crypto_hash_sha256(hash, (unsigned char *) jwk, strlen(jwk));
    host_b64(kid, 64, hash, 32);
}


/* Signs claims under a header; a NULL header takes the right one. */
static inline void
host_sign(char *out, size_t cap, const char *header, const char *claims)
{
    size_t n;
    char kid[64], right[160];
    unsigned char public[32], secret[64], signature[64];

    host_keys(public, secret, kid);

    if (header == NULL) {
        snprintf(right, sizeof(right),
                 "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", kid);
        header = right;
    }

    n = host_b64(out, cap, header, strlen(header));
    out[n++] = '.';
    n += host_b64(out + n, cap - n, claims, strlen(claims));
    crypto_sign_detached(signature, NULL, (unsigned char *) out, n, secret);
    out[n++] = '.';
    host_b64(out + n, cap - n, signature, sizeof(signature));
}


static inline void
host_token(char *out, size_t cap, const host *h, const host_session *session)
{
    char claims[512];

    snprintf(claims, sizeof(claims),
             "{\"iss\":\"https://tenon.localhost\","
             "\"aud\":\"https://tenon.localhost\",\"sub\":\"%s\","
             "\"tid\":\"%s\",\"sid\":\"%s\",\"iat\":%lld,\"nbf\":%lld,"
             "\"exp\":%lld}",
             session->user, session->tenant, session->id,
             (long long) (h->now / 1000000), (long long) (h->now / 1000000),
             (long long) (h->now / 1000000 + 900));
    host_sign(out, cap, NULL, claims);
}


/* ---- life ---- */

static inline void
host_conf(tn_core_conf *conf)
{
    unsigned line;
    const char *fault;

    tn_core_conf_init(conf);
    assert_true(tn_webhook_secrets_parse(&conf->stripe, &line, &fault,
                                         TN_WEBHOOK_STRIPE,
                                         TN_STR(HOST_STRIPE_SECRET)));
    conf->base_domain = TN_STR("tenon.localhost");
    memset(conf->secret, 0x5e, TN_KEY_LEN);
    memcpy(conf->signing.keys[0].seed, host_seed, TN_KEY_LEN);
    conf->signing.n = 1;
    memcpy(conf->encryption.keys, host_encryption_keys,
           sizeof(host_encryption_keys));
    conf->encryption.n = 2;
    conf->hash_ops = crypto_pwhash_OPSLIMIT_MIN;
    conf->hash_memory = crypto_pwhash_MEMLIMIT_MIN;
    conf->body_max = 4096;
}


/* A core that has read nothing yet; pages of these origins may read it. */
static inline void
host_init_cors(host *h, const char *origins)
{
    tn_core_conf conf;

    memset(h, 0, sizeof(*h));
    host_conf(&conf);
    conf.cors_origins = origins ? unit_str(origins) : TN_NULL;
    assert_int_equal(tn_core_new(&h->core, &conf), TN_OK);
    h->now = HOST_START;
    unit_arena_init(&h->arena, 0);

    h->sessions[0] = (host_session){
        .id = SESSION("a1"), .tenant = ACME, .user = OWNER, .role = "owner"
    };
    h->sessions[1] = (host_session){
        .id = SESSION("a2"), .tenant = ACME, .user = MEMBER, .role = "member"
    };
    h->sessions[2] = (host_session){
        .id = SESSION("a3"), .tenant = ACME, .user = GUEST, .role = "guest"
    };
    h->sessions[3] = (host_session){
        .id = SESSION("b1"), .tenant = UMBRELLA, .user = EVE, .role = "owner"
    };
    host_token(h->owner, sizeof(h->owner), h, &h->sessions[0]);
    host_token(h->member, sizeof(h->member), h, &h->sessions[1]);
    host_token(h->guest, sizeof(h->guest), h, &h->sessions[2]);
    host_token(h->eve, sizeof(h->eve), h, &h->sessions[3]);
    teamos_rows(&h->rows);
}


static inline void
host_init_bare(host *h)
{
    host_init_cors(h, NULL);
}


static inline void
host_adopt(host *h)
{
    tn_str fault;
    tn_catalogue *cat;

    if (tn_catalogue_new(&cat, h->core, teamos_reply(&h->rows), &fault)) {
        fail_msg("catalogue: %.*s", (int) fault.n, fault.p);
    }

    tn_core_adopt(h->core, cat);
    h->catalogue = cat;
}


static inline void
host_init(host *h)
{
    host_init_bare(h);
    host_adopt(h);
}


static inline void
host_end(host *h)
{
    tn_op_free(h->op);

    if (h->job) {
        assert_true(
            sodium_is_zero((const unsigned char *) h->job, sizeof(tn_job)));
    }

    h->op = NULL;
    h->job = NULL;
    unit_arena_free(&h->arena);
}


static inline void
host_free(host *h)
{
    host_end(h);
    tn_core_free(h->core);
}


/* ---- the zone ---- */

static inline host_entry *
host_zone_find(host *h, const unsigned char *key)
{
    unsigned i;

    for (i = 0; i < h->nzone; i++) {
        if (memcmp(h->zone[i].key, key, TN_ZONE_KEY_LEN) == 0 &&
            h->zone[i].until > h->now) {
            return &h->zone[i];
        }
    }

    return NULL;
}


/* In the place of one that is over, if there is one. */
static inline host_entry *
host_zone_add(host *h, const tn_zone_cmd *cmd, tn_str value)
{
    unsigned i;
    host_entry *entry;

    for (i = 0; i < h->nzone && h->zone[i].until > h->now; i++) {
    }

    assert_true(i < HOST_ZONE_MAX);
    h->nzone += i == h->nzone;
    entry = &h->zone[i];
    memset(entry, 0, sizeof(*entry));
    memcpy(entry->key, cmd->key, TN_ZONE_KEY_LEN);
    memcpy(entry->value, value.p, value.n);
    entry->n = value.n;
    entry->until = h->now + (int64_t) cmd->ttl_ms * 1000;
    entry->filled = cmd->verb == TN_ZONE_FILL;

    return entry;
}


static inline void
host_zone(host *h, const tn_want *want, tn_input *input)
{
    unsigned i;
    host_entry *entry;
    const tn_zone_cmd *cmd;

    assert_in_range(want->zone.n, 1, TN_ZONE_CMDS_MAX);

    for (i = 0; i < want->zone.n; i++) {
        cmd = &want->zone.cmds[i];
        entry = host_zone_find(h, cmd->key);

        if (h->lossy) {
            continue;
        }

        if (cmd->verb == TN_ZONE_GET) {
            input->values[i] =
                entry ? (tn_str){ entry->value, entry->n } : TN_NULL;
            continue;
        }

        assert_true(cmd->ttl_ms > 0);

        if (cmd->verb == TN_ZONE_COUNT) {
            if (entry == NULL) {
                entry = host_zone_add(h, cmd, TN_STR("0"));
            }

            entry->n = (size_t) snprintf(entry->value, sizeof(entry->value),
                                         "%d", atoi(entry->value) + 1);
            input->values[i] = (tn_str){ entry->value, entry->n };
            continue;
        }

        assert_in_range(cmd->value.n, 1, TN_ZONE_VALUE_MAX);

        if (entry && cmd->verb == TN_ZONE_ADD) {
            continue;
        }

        if (entry) {
            entry->until = 0;
        }

        host_zone_add(h, cmd, cmd->value);
    }
}

#endif
