/*
 * base/base.h: the ground floor of the library: strings, buffers, numbers,
 * times, UUIDs, base64url, the strict JSON gate. Every other folder may use
 * it; it uses nothing but libsodium and cJSON.
 *
 * A function that allocates takes a tn_mem and answers TN_E_NOMEM; pure ones
 * answer 0 / 1.
 */

#ifndef TN__BASE_H
#define TN__BASE_H

#include <tenon/core.h>
#include <cjson/cJSON.h>
#include <string.h>


/* ---- memory (mem.c) ---- */

void *tn__alloc(tn_mem *mem, size_t n);  /* NULL when there is none */
void *tn__zalloc(tn_mem *mem, size_t n); /* zeroed */

/* A tn_mem over malloc'd chunks, for what outlives requests. */
typedef struct tn__arena tn__arena;
tn__arena *tn__arena_new(void);
tn_mem *tn__arena_mem(tn__arena *arena);
void tn__arena_free(tn__arena *arena);

/* For libraries whose allocator is global: hooks that take from what this
 * thread lent (and free nothing), or from malloc while nothing is lent. */
void tn__mem_lend(tn_mem *mem); /* NULL takes it back */
void *tn__mem_hook_alloc(size_t n);
void tn__mem_hook_free(void *p);


/* ---- strings (str.c) ---- */

int tn__eq(tn_str a, tn_str b);  /* absent equals absent */
int tn__eqi(tn_str a, tn_str b); /* ASCII case folded */
int tn__starts(tn_str s, tn_str prefix);
int tn__pg_true(tn_str cell); /* PostgreSQL's boolean as text; null: false */
tn_str tn__sub(tn_str s, size_t from, size_t to); /* clamped */
tn_str tn__trim(tn_str s);                        /* spaces and tabs */
/* The part of *rest before `sep`; *rest becomes what is behind it, absent at
 * the end: while (rest.p) { part = tn__split(&rest, ','); … } */
tn_str tn__split(tn_str *rest, char sep);
tn_err tn__dup(tn_str *out, tn_str s, tn_mem *mem); /* NUL behind it */
/* Joins n strings. */
tn_err tn__cat(tn_str *out, const tn_str *parts, unsigned n, tn_mem *mem);
/* Bytes of the well-formed character at p; 0 if there is none. */
size_t tn__utf8_step(const char *p, const char *end);
int tn__utf8_valid(tn_str s);
size_t tn__utf8_length(tn_str s);          /* characters, s is valid */
int tn__int_parse(int64_t *out, tn_str s); /* all of s, no blanks */
/* Percent-decodes a query component ('+' is a space); 0 on a bad escape, a
 * NUL or invalid UTF-8; *oom tells lack of memory apart. */
int tn__uri_decode(tn_str *out, tn_str s, tn_mem *mem, int *oom);
/* base64url without padding; the decoder is strict (no padding, no blanks,
 * zero trailing bits). out needs tn__b64_size(n) bytes. */
size_t tn__b64_size(size_t n);
size_t tn__b64_encode(char *out, const void *p, size_t n);
int tn__b64_decode(unsigned char *out, size_t cap, size_t *n, tn_str s);
tn_err tn__b64_text(tn_str *out, tn_str bytes, tn_mem *mem); /* encoded */


/* ---- growing text (buf.c) ---- */

/* Grows by doubling; failure is sticky in err: add freely, look once. */
typedef struct tn__buf {
    char *p;
    size_t n;
    size_t cap;
    tn_mem *mem;
    tn_err err;
} tn__buf;

void tn__buf_init(tn__buf *buf, tn_mem *mem, size_t cap);
void tn__buf_add(tn__buf *buf, tn_str s);
void tn__buf_char(tn__buf *buf, char c);
void tn__buf_int(tn__buf *buf, int64_t v);
void tn__buf_quote(tn__buf *buf, tn_str s);    /* quoted as it is */
void tn__buf_json(tn__buf *buf, tn_str s);     /* quoted, escaped JSON string */
void tn__buf_uri(tn__buf *buf, tn_str s);      /* percent-encoded, RFC 3986
                                             * unreserved characters stay */
tn_err tn__buf_str(tn_str *out, tn__buf *buf); /* what is in it, or err */
#define tn__buf_lit(buf, lit) tn__buf_add((buf), TN_STR(lit))

/* Writes n in decimal, at most TN__DIGITS_MAX bytes; answers its end. */
#define TN__DIGITS_MAX 20
char *tn__digits(char *p, uint64_t n);


/* ---- UUIDs (uuid.c) ---- */

#define TN__UUID_TEXT 36
/* RFC 9562 version 7 from microseconds since 1970 and 10 random bytes. */
void tn__uuid7(unsigned char out[16], int64_t now, const unsigned char *rnd);
void tn__uuid_text(char out[TN__UUID_TEXT], const unsigned char uuid[16]);
/* The 36-character form, either case. */
int tn__uuid_parse(unsigned char out[16], tn_str s);


/* ---- times (time.c) ---- */

#define TN__TIME_TEXT 27 /* 2026-11-21T01:33:00.123456Z */
/* RFC 3339 with any offset to microseconds since 1970; more than 6 digits of
 * fraction are refused; leap second 60 is refused; years 0001–9999. */
int tn__time_parse(int64_t *us, tn_str s);
#define TN__DATE_TEXT 10 /* 2026-11-21 */
/* RFC 3339 full-date, years 0001–9999. */
int tn__date_valid(tn_str s);
void tn__time_format(char out[TN__TIME_TEXT], int64_t us);
/* PostgreSQL's ISO text in UTC ("2026-11-21 01:33:00.12+00") as RFC 3339 with
 * six digits of fraction, as event images have it
 * ("2026-11-21T01:33:00.120000Z"). Anything else is added as it is. */
void tn__buf_pg_time(tn__buf *buf, tn_str pg);


/* ---- randomness out of a request's entropy (rng.c) ---- */

typedef struct tn__rng {
    unsigned char seed[32];
    uint64_t counter;
} tn__rng;

void tn__rng_init(tn__rng *rng, const unsigned char seed[32]);
/* Next bytes of the stream: never the same twice for a seed. Wipe it when it
 * goes: it tells all that there were. */
void tn__rng_bytes(tn__rng *rng, void *out, size_t n);


/* ---- keyed hashes (mac.c) ---- */

/* Keyed BLAKE2b over n parts, each with its length before it, so that no two
 * lists of parts are hashed alike. 16 <= size <= 64. */
void tn__mac(unsigned char *out, size_t size, const unsigned char key[32],
             const tn_str *parts, unsigned n);
/* The same of at most TN__SIPHASH_PARTS parts with SipHash-2-4 of 128 bits, a
 * tenth of the work: for keys of a table, not for what a stranger must be unable
 * to forge for long. */
#define TN__SIPHASH_PARTS 4
void tn__siphash(unsigned char out[16], const unsigned char key[16],
                 const tn_str *parts, unsigned n);
/* Bytes as PostgreSQL's bytea text, "\\x00ff". */
tn_err tn__bytea(tn_str *out, const unsigned char *p, size_t n, tn_mem *mem);


/* ---- state machines (machine.c) ---- */

/* What an event does to a state. */
typedef enum tn__move {
    TN__MOVE_NONE,  /* it is so already */
    TN__MOVE_STEP,  /* as it is meant to go */
    TN__MOVE_SKIP,  /* the same, though a step between wasn't heard of */
    TN__MOVE_LATE,  /* tells of what was before: nothing changes */
    TN__MOVE_FINAL, /* nothing leads out of this state */
} tn__move;

/* A cell of its table: a move and the state that it leads to. */
#define TN__CELL(move, state) ((unsigned char) ((move) << 5 | (state)))

typedef struct tn__machine {
    const tn_str *states;
    unsigned nstates; /* <= 32 */
    const tn_str *events;
    unsigned nevents;
    const unsigned char *cells; /* by state, then event */
} tn__machine;

/* What an event does to a state; *to is where that leads, `from` where it
 * leads nowhere. The only way from one state to another. */
tn__move tn__machine_move(unsigned *to, const tn__machine *machine,
                          unsigned from, unsigned event);
/* Its steps as a state diagram in Mermaid's language. */
void tn__machine_mermaid(tn__buf *out, const tn__machine *machine);


/* ---- text kept encrypted (seal.c) ---- */

typedef struct tn__sealing_key {
    char id[TN_ENCRYPTION_ID_LEN];
    unsigned char key[TN_KEY_LEN];
} tn__sealing_key;

/* The first seals, all unseal. Wipe it when it goes. */
typedef struct tn__keyring {
    tn__sealing_key keys[TN_RING_KEYS_MAX];
    unsigned n;
} tn__keyring;

/* TN_E_INTERNAL when it is full or has a key of this id. */
tn_err tn__keyring_add(tn__keyring *ring, const unsigned char key[TN_KEY_LEN]);
const tn__sealing_key *tn__keyring_find(const tn__keyring *ring, tn_str id);

/* What <tenon/core.h> says of tn_text_seal() and tn_text_unseal() holds. */
tn_err tn__text_seal(tn_str *out, const tn__keyring *ring,
                     const tn_place *place, tn_str text,
                     const unsigned char nonce[TN_NONCE_LEN], tn_mem *mem);
tn_err tn__text_unseal(tn_str *out, const tn__keyring *ring,
                       const tn_place *place, tn_str text, tn_mem *mem);
int tn__text_sealed(tn_str text); /* has that form */


/* ---- JSON in (json.c) ---- */

/*
 * The gate: RFC 8259 and I-JSON over the whole text: UTF-8, depth <= 32, no
 * duplicate member names (compared after unescaping), no NUL (raw or \u0000),
 * no lone surrogates, numbers without fraction or exponent within
 * ±(2^53−1), other numbers finite as double; noncharacters pass; nothing but
 * white space around one value. Linear time but for names within one object
 * (sorted). On a fault returns 0 and says where (byte offset) and what, for
 * people: "duplicate member name".
 */
typedef struct tn__json_fault {
    size_t offset;
    const char *what;
} tn__json_fault;

/* TN_OK, TN_E_MALFORMED_JSON with *fault, or TN_E_NOMEM. */
tn_err tn__json_check(tn_str text, tn__json_fault *fault, tn_mem *mem);

/* The gate, then cJSON's tree, allocated from `mem` (never freed singly;
 * don't call cJSON_Delete). */
tn_err
tn__json_parse(cJSON **out, tn_str text, tn__json_fault *fault, tn_mem *mem);

/* A tree as compact text, allocated from `mem`. */
tn_err tn__json_print(tn_str *out, const cJSON *node, tn_mem *mem);

#endif
