/*
 * http/http.h: a request being answered, and what every step does with it:
 * route, read parameters and body, bind, respond.
 *
 * A step is called with the host's answer to its last wish (NULL at first).
 * It either wishes again (tn__want_…) or finishes (tn__respond_…, tn__fail).
 * Failure is sticky: once finished, the op stays finished.
 */

#ifndef TN__HTTP_H
#define TN__HTTP_H

#include "libcore/model/model.h"


#define TN__HEADERS_MAX  28
#define TN__FAULTS_MAX   64
#define TN__BATCH_MAX    4
#define TN__LOCALS_MAX   40
#define TN__PARAMS_MAX   32
#define TN__SEGMENTS_MAX 8


/* One thing that is wrong with a body or a query. */
typedef struct tn__field_fault {
    tn_str pointer; /* JSON Pointer into the body, or a parameter's name */
    tn_fault fault;
    tn_str detail;
} tn__field_fault;

typedef struct tn__param {
    tn_str name;
    tn_str value;
} tn__param;

typedef enum tn__phase {
    TN__PHASE_RESOLVE,
    TN__PHASE_ADMIT,
    TN__PHASE_METER, /* it is counted, where its plan limits that (usage/) */
    TN__PHASE_BODY,
    TN__PHASE_STEP,
    TN__PHASE_AFTER, /* answered; what follows from it is done (op/after.c) */
    TN__PHASE_DONE,
} tn__phase;

/* Who asks, of which tenant. Strings live as long as the op. */
typedef struct tn__tenant {
    tn_str id;
    tn_str realm;
    tn_str slug;
    tn_str name;
    int active;
} tn__tenant;

typedef struct tn__principal {
    tn_str user;
    tn_str session;      /* absent with an API key */
    tn_str api_key;      /* its id; absent without one */
    tn_str scopes;       /* "12t,13o": what that key may do at most */
    tn_str impersonator; /* who acts as the user; absent: the user */
    int64_t generation;  /* of the session's secret */
    int cookie;          /* the session is a cookie's */
    int64_t lasts; /* seconds until the session ends, where its secret is to
                    * be told; else 0 */
    tn_str role_name;
    tn_str roles;    /* "name=12t,13o;…": those the tenant defines itself */
    tn_str accounts; /* "uuid:role,…": where else the user holds one */
    const tn__role *role;
    const struct tn__held *held; /* `accounts`, read (identity/scope.c) */
    unsigned nheld;
} tn__principal;

/* In which accounts, as uuid[]: null where it is all of the tenant. */
typedef struct tn__reach {
    tn_str whole; /* any row */
    tn_str own;   /* rows of the principal's own */
    tn_str any;   /* the principal: its own rows in every account */
} tn__reach;

/* Somebody tries a password or a code (signin/attempt.c). */
typedef struct tn__attempt {
    char slot;     /* where a failure is counted */
    tn_str nobody; /* the row of addresses that nobody has, as bytea */
    int right;
    int written; /* that it wasn't */
} tn__attempt;

/* Who was refused before anybody knew who they are, as events tell it
 * (identity/stranger.c); no action: nobody is told. */
typedef struct tn__stranger {
    tn_str action;
    tn_str issuer; /* whose token it was; absent: no issuer's */
    tn_str subject;
} tn__stranger;

struct tn_op {
    tn_core *core;
    tn_catalogue *catalogue;
    tn_mem *mem;
    const tn_request *request;
    tn__rng rng;

    /* begun anew, since the client took long (op/op.c) */
    unsigned counted : 1; /* admitted before; its limits were applied then */
    uint64_t waited_ms;   /* how long */
    tn_str came;          /* its body, as far as it came */

    /* begun anew, since it was refused by a plan that may be old */
    unsigned plan_anew : 1;

    /* headers that matter */
    tn_str authorization;
    tn_str content_type;
    tn_str if_match;
    tn_str if_none_match;
    tn_str tenant_header;
    tn_str user_agent;
    tn_str request_id;
    tn_str origin;
    tn_str preflight; /* Access-Control-Request-Method */
    tn_str idempotency_header;
    tn_str traceparent;    /* absent unless valid */
    tn_str cookie;         /* the value of ours */
    tn_str session_header; /* Tenon-Session: "cookie" or "token" */
    tn_str fetch_site;     /* Sec-Fetch-Site */
    tn_str host_header;    /* with the port, where one is given */

    tn_str address; /* the client's; absent where it has none, as behind a
                     * unix socket */

    /* an Idempotency-Key, where the endpoint heeds it */
    tn_str idem_key;  /* bytea text */
    tn_str idem_hash; /* bytea text */
    tn_str idem_lock; /* bigint text */

    /* route */
    const tn__endpoint *endpoint;
    const tn__route *route;
    tn_str path_id;   /* {id}, lower case UUID text */
    tn_str path_name; /* what stands in its place, whatever it is */

    /* who asks */
    tn__tenant tenant;
    tn__principal principal;
    const struct tn__plan *plan; /* the principal's tenant's (billing/); NULL
                                  * where nobody is signed in */
    struct tn__usage *usage;     /* what it was counted as (usage/); NULL: it
                                  * wasn't */
    tn_str domain_tenant;  /* id of whose custom domain the host is, once that
                            * was looked up; absent: nobody's */
    int realm_wide;        /* no tenant is named, nor need be: the op's is the
                            * platform's, and meant are all of the realm */
    int caller_expired;    /* the token has that nobody needs (heeds_caller) */
    int settled;           /* tenant and principal agree: both may be told */
    tn__scope scope;       /* of endpoint->permission */
    tn__scope also_scope;  /* of endpoint->also */
    tn__reach reach;       /* of the permission, where the scope is accounts */
    tn__reach sight;       /* of reading, too; a nested list's: the parent */
    int read_scope_tenant; /* may read what others made */

    /* who is told of a refusal where that isn't the request's tenant: of a
     * living session that asked for another, its own and its user; of a
     * stranger, the tenant alone; else absent */
    tn__tenant audit_tenant;
    tn_str audit_actor;
    tn__stranger stranger;

    /* body */
    tn_str raw; /* as it was sent, for the first step of who asks for that
                 * (endpoint->signature); borrowed from the host */
    cJSON *body;
    uint64_t mask;                 /* fields given, by index */
    tn_str values[TN__FIELDS_MAX]; /* their values as SQL text */
    unsigned nfaults;

    uint64_t hidden; /* fields that ?fields= leaves out, by index */

    /* query string, decoded */
    unsigned nparams;

    /* the step */
    tn__phase phase;
    unsigned state;  /* the step's own */
    void *step_data; /* the step's own */
    unsigned nlocals;
    tn__attempt attempt;
    tn_str crowded_out;   /* ids of sessions in this tenant, with commas
                         * between, that ended since another was opened */
    tn_str also_access;   /* ids of tenants, with commas between, in which
                         * sessions have ended or may have, and changes_access
                         * holds as well */
    int unchanged;        /* all was so before: no access changes */
    struct tn_op *before; /* as it was first begun, where it began anew: of its
                           * catalogue the host may still have strings */
    tn_str other_slug;  /* of the tenant {id}, which has changed (of_tenant) */
    tn_str refused_row; /* a row that was refused though it may be seen */
    tn_str reason;      /* an app's, for machines; in its problem document */
    tn_str once;        /* the value of the field that is shown once */
    tn_str event_id;
    tn_str salt;

    /* wishes */
    tn_want want;
    tn_batch batch;
    unsigned char access_stamp[16];  /* of a command (identity/session.c) */
    unsigned char domains_stamp[16]; /* the same (identity/host.c) */
    unsigned char flags_stamp[16];   /* the same (flags/set.c) */
    tn_job *job;

    /* the answer */
    tn_err error;
    tn_response response;
    tn_str limits;      /* RateLimit-Policy, once it was counted; or absent */
    tn_str limits_left; /* RateLimit */
    tn_str retry_after; /* seconds; absent: the usual */
    tn_facts facts;

    /* lists: what lies behind their counts, which are above, is nothing yet, and
     * isn't zeroed (op/op.c): it is 6 KB */
    tn__field_fault faults[TN__FAULTS_MAX];
    tn__param params[TN__PARAMS_MAX];
    tn__param locals[TN__LOCALS_MAX];
    tn_query queries[TN__BATCH_MAX];
    tn_zone_cmd zone[TN_ZONE_CMDS_MAX];
    tn_header headers[TN__HEADERS_MAX];
};


/* ---- routing (router.c) ---- */

/* Finds the endpoint of op->request; sets endpoint, route, path_id.
 * TN_E_NOT_FOUND, TN_E_METHOD_NOT_ALLOWED. A malformed {id} matches: its row
 * is absent, and says so when it is looked for. */
tn_err tn__route_find(tn_op *op, const tn__route *root);


/* ---- reading the request (request.c) ---- */

void tn__request_headers(tn_op *op);
/* Whether a host is the base domain, or lies below it. */
int tn__host_is_ours(tn_str host, tn_str base);
/* Whether this can be a slug at all: what can't is no tenant's, and is never
 * asked for. */
int tn__slug_like(tn_str s);
/* Decodes the query string into op->params; fails the op if it can't. */
int tn__request_params(tn_op *op);
/* The same where no parameter but fields= of a resource is known. */
int tn__request_no_params(tn_op *op);
/* Reads ?fields=a,b into op->hidden; notes faults. */
void tn__request_fields(tn_op *op);
/* The value of a parameter, absent if not given. */
tn_str tn__request_param(const tn_op *op, tn_str name);
/* Content-Type is JSON of a kind the method takes. */
int tn__request_json_type(const tn_op *op);
/* Reads the body into op->body; fails the op when it isn't JSON. */
int tn__request_json(tn_op *op, tn_str body);
/* Parses and validates the body against the endpoint's input rows; fills
 * mask and values; fails the op with every fault at once. */
int tn__request_body(tn_op *op, tn_str body);


/* ---- Idempotency-Key (idempotency.c) ---- */

/* Binds the key, if there is one that the endpoint heeds, to who asks and to
 * the body; 0 when the op has failed. */
int tn__idempotency_begin(tn_op *op, tn_str body);
/* Makes the key what these parts say, where a step knows better than who asks
 * whose it is. */
tn_err tn__idempotency_bind(tn_op *op, const tn_str *parts, unsigned n);
/* What a write's answer, whose last columns are idem_go and idem_fingerprint,
 * says of the key: 0 the change was tried; 1 it had been made before, and the
 * row is the one of then; -1 the op has failed. */
int tn__replay(tn_op *op, const tn_rows *rows);


/* ---- other origins, OPTIONS (cors.c) ---- */

void tn__cors(tn_op *op);
tn_err tn__allow(tn_str *out, const tn_op *op);
void tn__respond_options(tn_op *op);


/* ---- text kept encrypted (sealed.c) ---- */

/* Text as it is to be kept at a place: `scope` is the tenant, or the realm of
 * what belongs to one. Where the op's own row is meant: op->path_id. Fails the
 * op. */
tn_err tn__seal(tn_str *out, tn_op *op, const tn_place *place, tn_str text);
/* The reverse; what was never sealed stays as it is. TN_E_INTERNAL: the key is
 * missing or it isn't of this place: the op fails, and the log says which key.
 * Never show `sealed` then. */
tn_err tn__unseal(tn_str *out, tn_op *op, const tn_place *place, tn_str sealed);

/* Seals what a create or update of op->path_id sets; 0 when the op has failed. */
int tn__seal_fields(tn_op *op);
/* A row of a resource as it is shown; NULL when the op has failed: what can't be
 * read is null, but in a row that was asked for by itself. */
const tn_str *
tn__unseal_row(tn_op *op, const tn__resource *resource, const tn_str *cells);
/* The ids of the keys there are, as a text[]. */
tn_err tn__keyring_ids(tn_str *out, tn_op *op);


/* ---- faults (validate.c) ---- */

/* Notes a fault; a NULL detail takes the default one. */
void tn__fault(tn_op *op, tn_str pointer, tn_fault fault, const char *detail);
/* The same with words that live as long as the op; absent: the default ones. */
void tn__fault_str(tn_op *op, tn_str pointer, tn_fault fault, tn_str detail);
/* The same for a member of the body: pointer "/name". */
void
tn__fault_field(tn_op *op, tn_str name, tn_fault fault, const char *detail);
/* The same for a member of what `base` points to: "/base/name". */
void tn__fault_below(tn_op *op, tn_str base, tn_str name, tn_fault fault,
                     const char *detail);
/* Checks an object's members against rows. `base` is the pointer of the
 * object; values and mask are by row. */
void tn__validate(tn_op *op, const cJSON *object, tn_str base,
                  const tn__field *fields, unsigned nfields, int create,
                  tn_str *values, uint64_t *mask);
/* Checks a parameter of a query as a member of a body is checked; `at` is its
 * name. */
void tn__validate_param(tn_op *op, tn_str at, const tn__field *field,
                        tn_str text, tn_str *value);


/* ---- values (value.c) ---- */

/* Whether text is among the values that its field's row allows. */
int tn__value_allowed(const tn__field *field, tn_str text);
/* Whether text is JSON, an object or an array that holds a value to look for:
 * every document with such members holds `{"a":{}}`, and no index knows it;
 * *empty tells that it is this. -1 when there is no memory. */
int tn__value_tree(tn_str text, int *empty, tn_mem *mem);
/* Text as a number, and as SQL text of one; 0 when it isn't one, -1 when there
 * is no memory. */
int tn__value_number(tn_str *out, double *number, tn_str text, tn_mem *mem);
/* Turns a text value as a query parameter gives it into SQL text of the
 * field's type; 0 when it isn't one, -1 when there is no memory. */
int
tn__value_parse(tn_str *out, const tn__field *field, tn_str text, tn_mem *mem);


/* ---- wishes (want.c) ---- */

/* A value for a statement's parameter that is no field and no context. */
void tn__local(tn_op *op, tn_str name, tn_str value);
void tn__local_int(tn_op *op, tn_str name, int64_t value);
/* Starts a batch; `context` puts the tenant's context in front. */
void tn__batch_begin(tn_op *op, int context, int writes);
void tn__batch_add(tn_op *op, const tn__bound *bound);
void tn__want_db(tn_op *op);
void tn__want_zone(tn_op *op, unsigned n);
/* A new UUIDv7 as text. */
tn_str tn__new_id(tn_op *op);
/* 16 fresh bytes as bytea text. */
tn_str tn__new_salt(tn_op *op);
/* The rows of the batch's i-th statement, the context being one; fails the op
 * and answers NULL when the batch failed. */
const tn_rows *tn__rows(tn_op *op, const tn_input *input, unsigned i);
tn_str tn__cell(const tn_rows *rows, unsigned row, unsigned col);
/* Answers the failed batch: constraint names that mean something are mapped
 * by the step before it calls this. */
void tn__fail_db(tn_op *op, const tn_reply *reply);


/* ---- errors of an app's SQL (app_error.c) ---- */

/* Answers what a function or a trigger of the app's raised for clients, or the
 * unique key that was broken; 0 when it is neither. */
int tn__app_refused(tn_op *op, const tn_reply *reply);
/* Whether it is an error of a statement that no longer fits the schema, or
 * else, where it is nested, of a function that never did. */
int tn__app_behind(const tn_reply *reply);


/* ---- headers of all answers (security.c) ---- */

/* clang-format off */
#define TN__SECURITY_HEADERS                                              \
    { TN_STR_C("X-Content-Type-Options"), TN_STR_C("nosniff") },          \
    { TN_STR_C("Content-Security-Policy"),                                \
      TN_STR_C("default-src 'none'; frame-ancestors 'none'") },           \
    { TN_STR_C("Referrer-Policy"), TN_STR_C("no-referrer") },             \
    { TN_STR_C("Cross-Origin-Resource-Policy"), TN_STR_C("same-origin") }
/* clang-format on */
#define TN__NSECURITY_HEADERS 4

void tn__security(tn_op *op);


/* ---- responding (respond.c, problem.c) ---- */

void tn__header(tn_op *op, tn_str name, tn_str value);
/* Another value for one that is there. */
void tn__header_change(tn_op *op, tn_str name, tn_str value);
/* Finishes with a problem document. */
void tn__fail(tn_op *op, tn_err err, const char *detail);
void tn__fail_str(tn_op *op, tn_err err, tn_str detail);
/* What an operator should read in the log. */
void tn__log(tn_op *op, tn_str line);
/* Finishes with a status and a JSON body; no body when absent. */
void tn__respond(tn_op *op, unsigned status, tn_str json);
/* RateLimit and RateLimit-Policy, where the request was counted. */
void tn__limit_headers(tn_op *op);
/* One row as a JSON object: a cell for each field; those not `out`, and those
 * hidden (by index), are left out. */
void tn__write_row(tn__buf *out, const tn__field *fields, unsigned nfields,
                   uint64_t hidden, const tn_str *cells);
/* Finishes with one row: 200, ETag and If-None-Match included, or 201 with
 * Location when `location` is given. Extra columns are not shown. */
void tn__respond_row(tn_op *op, unsigned status, const tn__field *fields,
                     unsigned nfields, const tn_str *cells, tn_str location);

/* If-Match as a bigint[] of versions, absent when there is no condition or it
 * is "*"; TN_E_PRECONDITION_FAILED when it names nothing that is a version. */
tn_err tn__if_match(tn_str *versions, const tn_op *op);
/* Whether a version satisfies it. */
int tn__if_match_holds(const tn_op *op, tn_str version);
int tn__if_none_match(const tn_op *op, tn_str etag);


/* ---- attempts (notable.c) ---- */

/* Whether the n-th of like attempts within a window is worth an event: each of
 * the first ten, then powers of ten. An attack must not become a flood of
 * writes. */
int tn__notable(int64_t n);


/* ---- cursors (cursor.c) ---- */

/* Seals a place in a list: base64url over MAC and payload, bound to tenant,
 * endpoint and `binding`, the list's filters and order. */
tn_err tn__cursor_seal(tn_str *out, tn_op *op, tn_str binding, tn_str value,
                       tn_str id);
/* Opens one; TN_E_INVALID_CURSOR when it isn't of this tenant and list. */
tn_err tn__cursor_open(tn_str *value, tn_str *id, tn_op *op, tn_str binding,
                       tn_str cursor);

#endif
