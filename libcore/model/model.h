/*
 * model/model.h: what is served, as rows. An endpoint row holds all that is
 * to be known of an endpoint; a field row all that is to be known of a field.
 * Platform endpoints are tables in C; an app's rows are compiled from the
 * catalogue in the database. Router, checks, validation, binding, responses and
 * audit read these rows; there is no second place.
 */

#ifndef TN__MODEL_H
#define TN__MODEL_H

#include <tenon/core.h>
#include "libcore/access/access.h"
#include "libcore/base/base.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>


/* ---- statements ---- */

/* Where a parameter's value comes from. */
typedef enum tn__source {
    TN__BIND_TENANT,
    TN__BIND_REALM,
    TN__BIND_ACTOR, /* the principal's user; null when there is none */
    TN__BIND_SESSION,
    TN__BIND_IMPERSONATOR, /* who acts as the actor; null: the actor */
    TN__BIND_API_KEY,      /* by which the actor asks; null: none */
    TN__BIND_REQUEST_ID,
    TN__BIND_IP,
    TN__BIND_USER_AGENT,
    TN__BIND_EVENT_ID,  /* a new UUIDv7, one per op */
    TN__BIND_SALT,      /* 16 fresh bytes, one per op */
    TN__BIND_ID,        /* {id} of the path */
    TN__BIND_IDEM_KEY,  /* bytea: of the Idempotency-Key; null without one */
    TN__BIND_IDEM_HASH, /* bytea: of the body, where there is a key */
    TN__BIND_IDEM_LOCK, /* bigint: the advisory lock of that key */
    TN__BIND_OWN,       /* uuid: the actor, where the tenant's role gives this
                         * for own rows only; else null */
    TN__BIND_REACH,     /* uuid[]: accounts in which the principal may do this
                         * to any row; null: it may in the whole tenant */
    TN__BIND_REACH_OWN, /* uuid[]: only to rows of its own */
    TN__BIND_SIGHT,     /* the same of seeing rows */
    TN__BIND_SIGHT_OWN,
    TN__BIND_SIGHT_ANY, /* uuid: whose own rows are seen in every account */
    TN__BIND_SHARED,    /* uuid: whose shares count; null: nobody's */
    TN__BIND_MASK,      /* which fields the body holds, by field index */
    TN__BIND_FIELD,     /* a field of the body, by index */
    TN__BIND_LOCAL,     /* a value that the step sets by name */
} tn__source;

typedef struct tn__bind {
    tn__source source;
    unsigned field; /* FIELD */
    tn_str name;    /* LOCAL */
} tn__bind;

typedef struct tn__bound {
    tn_stmt stmt;
    const tn__bind *binds; /* stmt.nparams of them */
} tn__bound;

typedef struct tn__field tn__field;

/*
 * Compiles ":name" parameters to $1…$n (each name one number) and names the
 * statement by its hash. A name is a context name (see tn__source), else a
 * field of `fields`, else a local. "::" is a cast; quoted text is left alone.
 */
tn_err tn__bound_compile(tn__bound *out, tn_str sql, const tn__field *fields,
                         unsigned nfields, tn_mem *mem);


/* ---- fields ---- */

typedef enum tn__type {
    TN__TYPE_TEXT,
    TN__TYPE_UUID,
    TN__TYPE_INT,    /* smallint, integer, bigint */
    TN__TYPE_NUMBER, /* numeric, real, double precision */
    TN__TYPE_BOOL,
    TN__TYPE_TIME,   /* timestamptz */
    TN__TYPE_DATE,   /* date: "2026-01-31" */
    TN__TYPE_JSON,   /* json, jsonb: passes through */
    TN__TYPE_OBJECT, /* an object; input: with fields of its own */
} tn__type;

/* How parameters are named that say which accounts a role reaches for reading:
 * null is all of them, so that one not bound would be, too (http/want.c). */
#define TN__REACH_OF "reach_"


/* What a field points at: a row of this tenant that must be there. */
typedef struct tn__reference {
    tn_str relation;     /* "teamos.project", quoted as needed */
    tn_str column;       /* "id" */
    unsigned living : 1; /* has deleted_at, which must be null */
    unsigned parent : 1; /* must live for every write, not just when set */
    tn_str account;      /* column that says which account's it is; or absent */
    unsigned permission; /* to read it: in which accounts… */
    tn_str reach;        /* …is the statement's parameter of this name */
} tn__reference;

typedef struct tn__edge {
    tn_str from;
    tn_str to;
} tn__edge;

struct tn__field {
    tn_str name;    /* member in JSON = column in SQL */
    tn_str param;   /* filter's name in a query; absent: `name` */
    tn_str about;   /* for readers of openapi.json; may be absent */
    tn_str example; /* as JSON; absent: made from the type */
    tn_str key;     /* "\"name\":" for the writer; made by compilation */
    tn__type type;
    tn_str sql_type;       /* "uuid", "text"… for casts; absent: by type */
    tn_str default_sql;    /* the column's default, as SQL; absent: none */
    unsigned out : 1;      /* shown; a column of answers in any case */
    unsigned array : 1;    /* JSON with fields: an array of such objects; of
                             * such values where its one field has no name */
    unsigned once : 1;     /* never kept: shown by the answer to what made it,
                             * null in a repetition (op->once) */
    unsigned drifts : 1;   /* changes without a new version: of the ETag */
    unsigned create : 1;   /* may be given on create */
    unsigned update : 1;   /* may be given on update */
    unsigned required : 1; /* must be given on create */
    unsigned proves : 1;   /* the same, where the session that asks is one of
                            * tokens: it shows who has more than one of them */
    unsigned nullable : 1;
    unsigned filter : 1;
    unsigned several : 1; /* text without commas: "a,b" filters by either */
    unsigned sort : 1;
    unsigned pii : 1;          /* tells of a person */
    unsigned encrypted : 1;    /* kept so: its text is sealed for its place */
    unsigned of_path : 1;      /* an event's: said by the path of a history */
    unsigned lower : 1;        /* e-mail: compared and kept in lower case */
    unsigned foreign_host : 1; /* a host outside the base domain */
    unsigned password : 1;     /* at most 1024 bytes: what hashing takes */
    unsigned has_min : 1;
    unsigned has_max : 1;
    int64_t min; /* characters of text, elements of an array, else value */
    int64_t max;
    const tn_str *set; /* allowed values */
    unsigned nset;
    tn_str contains;       /* function (doc) returning ids; absent: no filter
                            * by what the JSON contains */
    const tn__edge *edges; /* allowed changes of state */
    unsigned nedges;
    const char *pattern; /* PCRE2, must match */
    pcre2_code *regex;   /* compiled pattern; made by compilation */
    const tn__reference *reference;
    const tn__field *fields; /* OBJECT; JSON of a known shape in outputs */
    unsigned nfields;
};

#define TN__FIELDS_MAX 62 /* bits of a mask */


/* ---- what plans tell apart ---- */

/* So many names of each may a catalogue ask for: a tenant's plan, in the zone,
 * is the bits and numbers of them. */
#define TN__FEATURES_MAX 256
#define TN__METERS_MAX   16

/* Meters that every catalogue has. */
enum {
    TN__METER_SEATS,     /* members and open invitations */
    TN__METER_API_CALLS, /* requests served: by quota, */
    TN__METER_API_RATE,  /* and by rate */
    TN__METERS_OWN
};

#define TN__NAME_API_CALLS "api_calls"
#define TN__NAME_API_RATE  "api_rate"

/* "minute"…, by tn_period; of none it is empty. */
extern const tn_str tn__period_names[TN_PERIOD_MONTH + 1];


/* What a write counts as, recorded by its statement. */
typedef struct tn__unit {
    tn_str meter;    /* absent: nothing */
    unsigned number; /* among the catalogue's meters */
    int64_t units;
    unsigned kinds; /* of a resource's endpoints: 1 << tn__kind of each that
                     * counts */
} tn__unit;


/* ---- resources ---- */

/* A collection served by the generic steps. */
typedef struct tn__resource tn__resource;
struct tn__resource {
    tn_str app;      /* "teamos" */
    tn_str name;     /* "task" */
    tn_str path;     /* "tasks" */
    tn_str relation; /* "teamos.task", quoted as needed */
    tn_str order;    /* column of the default order, descending */
    tn_str owner;    /* column that scope "own" compares with the principal */
    tn_str account;  /* column of the account a row belongs to; or absent */
    const tn__field *fields;
    unsigned nfields;
    unsigned soft_delete : 1;
    unsigned binary : 1;        /* its columns can be had so (tn_stmt.binary) */
    unsigned encrypted : 1;     /* some field of it is */
    unsigned long_filters : 1;  /* some read much: no index serves them */
    unsigned require_match : 1; /* PATCH, DELETE, … without If-Match: 428 */
    unsigned shareable : 1;     /* rows can be shared one by one */
    unsigned within : 1;        /* its statements ask whose rows they are */
    tn_str search;              /* function (q) returning ids; absent: no ?q= */
    tn_str full_name;           /* "teamos.task" as in permissions and events */
    tn_str noun;   /* in openapi.json: "Event"; absent: from the name */
    tn_str parent; /* name of the parent resource in the app; or absent */
    const tn__field *parent_field; /* refers to the parent's id */
    const tn__resource *parent_resource;
    /* the same for who may do something in some accounts only; NULL: rows
     * belong to none and can't be shared */
    tn__resource *scoped;
    unsigned read_permission; /* its numbers; resolved by compilation */
    unsigned feature;         /* as an endpoint's */
    tn__unit unit;            /* what its writes count as */
    tn__bound read;
    tn__bound create;
    tn__bound update;
    tn__bound keep; /* an update that sets nothing */
    tn__bound remove;
    tn__bound restore;
    tn__bound rollback;
    tn__bound known; /* was there ever a row :id that this role may see? */
};

/* Makes the statements of an app's resource; `read` alone of a platform's. */
tn_err tn__resource_compile(tn__resource *resource, tn_mem *mem);
tn_err tn__resource_compile_read(tn__resource *resource, tn_mem *mem);
tn_err tn__resource_compile_known(tn__resource *resource, tn_mem *mem);


/* ---- calls ---- */

/* What a function of an app's answers. */
typedef enum tn__answers {
    TN__ANSWERS_NOTHING, /* void */
    TN__ANSWERS_ROW,     /* a row of the action's resource */
    TN__ANSWERS_ONE,     /* one object of the columns */
    TN__ANSWERS_MANY,    /* so many of them */
} tn__answers;

/* A function of an app's that is served: an action on a row of a resource, or
 * a query, which has none. */
typedef struct tn__call {
    tn_str app;
    tn_str name; /* "check_in" */
    const tn__resource *resource;
    tn_str function; /* "clinic.visit_check_in", quoted as needed */
    tn_str summary;
    tn__answers answers;
    const tn_str *states; /* it may be called in; none: in all */
    unsigned nstates;
    const tn__field *state_field;
    unsigned slow : 1;
    unsigned feature;  /* as an endpoint's */
    tn__unit unit;     /* what it counts as, if it is an action */
    tn__field *params; /* its arguments, but for an action's id */
    unsigned nparams;
    tn__field *columns; /* what it answers; a ROW's are the resource's */
    unsigned ncolumns;
    tn__bound stmt;
    tn__bound scoped; /* of a principal whose scope is accounts */
} tn__call;

/* Makes the statement of a call (call_sql.c). */
tn_err tn__call_compile(tn__call *call, tn_mem *mem);

/* What an action's statement fails with, by itself and not nested, where the
 * function answers no row though one is due: what it did is rolled back. */
#define TN__ACTION_NO_ROW "22012" /* division by zero */

/* What an action's statement answers in front of the columns. */
enum {
    TN__ACTION_VERSION, /* before it; null where there is no such row */
    TN__ACTION_OWNER,
    TN__ACTION_ALIVE,    /* is the parent there? */
    TN__ACTION_STATE,    /* null where it has none */
    TN__ACTION_ANSWERED, /* did the function answer a row? null: no */
    TN__ACTION_COLUMNS
};

/* A query answers no more rows than these. */
#define TN__QUERY_ROWS_MAX 1000


/* ---- lists ---- */

/* How a filter compares. ANY: one of several values. CONTAINS: JSON that holds
 * what is given. */
typedef enum tn__compare {
    TN__COMPARE_EQ,
    TN__COMPARE_ANY,
    TN__COMPARE_NE,
    TN__COMPARE_GT,
    TN__COMPARE_GTE,
    TN__COMPARE_LT,
    TN__COMPARE_LTE,
    TN__COMPARE_CONTAINS,
} tn__compare;

#define TN__FILTERS_MAX 8

/* What decides a list's statement: values are parameters (:v0, :v1… for the
 * filters in their order). Shapes are many all the same; a connection keeps the
 * ones used last. */
typedef struct tn__list_shape {
    struct {
        const tn__field *field;
        tn__compare compare;
    } filters[TN__FILTERS_MAX]; /* by field, then comparison */
    unsigned nfilters;
    const tn__field *sort; /* ties go by id, in the same direction */
    int ascending;
    int own;     /* owner = :actor */
    int within;  /* rows of the principal's accounts; 2: its own, shared ones,
                  * too */
    int search;  /* found by :q */
    int nested;  /* parent_field = :id */
    int history; /* events of :id of the resource named :history */
    int after;   /* beyond :after_value, :after_id */
} tn__list_shape;

/* A page: the resource's columns; the next goes on after its last row. */
tn_err tn__list_compile(tn__bound *out, const tn__resource *resource,
                        const tn__list_shape *shape, tn_mem *mem);

/* The columns of a resource that responses show, "t.id, t.title…". */
void
tn__resource_columns(tn__buf *sql, const tn__resource *resource, tn_str alias);

const tn__field *
tn__field_find(const tn__field *fields, unsigned n, tn_str name);
tn_str tn__field_sql_type(const tn__field *field);
/* Whether it is an array of values, each as its one nameless field says. */
int tn__field_is_list(const tn__field *field);
/* Whether a write must look at what the field refers to: create and update
 * answer a column r<i> for each such field, update also alive<i> for parents. */
int tn__field_checked(const tn__field *field, int update);


/* ---- endpoints ---- */

/* A browser's session. Browsers take the prefix as a promise: set over TLS, by
 * this very host, for all of its paths. */
#define TN__COOKIE "__Host-tenon"

/* What an endpoint does; STEP has a function of its own. */
typedef enum tn__kind {
    TN__KIND_NONE,
    TN__KIND_LIST,    /* a page of the resource */
    TN__KIND_NESTED,  /* the same of those that belong to the parent {id} */
    TN__KIND_HISTORY, /* a page of the events of {id} */
    TN__KIND_READ,    /* one row: of the resource, or of `stmt` */
    TN__KIND_QUERY,   /* `call` with the query string as its arguments */
    TN__KIND_CREATE,
    TN__KIND_UPDATE,
    TN__KIND_DELETE,
    TN__KIND_RESTORE,
    TN__KIND_ROLLBACK,
    TN__KIND_ACTION, /* `call` on {id} */
    TN__KIND_WRITE,  /* one statement of the platform's: see below */
    TN__KIND_STEP,
} tn__kind;

/*
 * WRITE: `stmt` decides, changes and logs in one statement, and answers one
 * row: `refused`, then the output's columns (and whether anything changed, where
 * the row says `.tells_change`), then idem_go, idem_fingerprint
 * (schema/queries/people.sql). Its parameters are the context's names, the
 * input's fields by name, and
 *
 *   :id     of the path, or a new one where it makes something
 *   :mask   which input fields the body holds, by index
 *   :match  bigint[] of If-Match's versions, or null
 *   :own    uuid of the actor where the grant is for own rows only, or null
 *
 * and what `step`, where there is one, binds as locals beforehand.
 *
 * `refused` is null, or an error's code ("not_found"), with words of its own
 * ("state_conflict: It is in use."), with seconds to wait in front of them
 * ("rate_limited 60: It was too often."), or with faults of fields, which may
 * have words of their own as well, without semicolons: "invalid_fields /role
 * not_in_set;/email duplicate is a member's". Of accounts (:reach,
 * :sight: null for the whole tenant) a statement asks by itself.
 */

/* What breaking a constraint means to a client. */
typedef struct tn__conflict {
    tn_str constraint;
    tn_err err;
    tn_str pointer; /* absent: no field to name */
    tn_fault fault;
    const char *detail; /* of the field's fault; NULL: the default one */
} tn__conflict;

typedef void (*tn__step)(tn_op *op, const tn_input *input);

/* Says a refusal in words of another's protocol, too: adds members, each with a
 * comma in front, to its problem document; answers the error that it is there. */
typedef tn_err (*tn__refusal)(tn_op *op, tn_err err, tn_str detail,
                              tn__buf *members);

typedef struct tn__endpoint {
    tn_str operation; /* "listTasks", stable */
    tn_str method;
    tn_str path;                 /* "/v1/tasks/{id}" */
    const char *permission_name; /* "teamos.task:read", "public",
                                  * "authenticated" */
    const char *also_name;       /* a second one that is needed; or NULL */
    unsigned permission;         /* their numbers; resolved by compilation */
    unsigned also;
    unsigned feature;      /* that a plan must have: 1 + its number in the */
    unsigned also_feature; /* catalogue; 0: none. And a second one */
    const tn__unit *unit;  /* what it counts as; NULL: nothing */
    tn_str action;  /* in the audit log: "task.created"; absent for reads that
                     * are not logged */
    tn_str summary; /* one line for readers of openapi.json */
    tn_str noun;    /* what it answers, there: "Session"; absent: the
                     * resource, or by the operation */
    tn__kind kind;
    tn__step step;       /* STEP; READ and WRITE: what it binds beforehand */
    tn__refusal refuses; /* NULL: as all others */
    const tn__resource *resource;
    const tn__call *call;    /* ACTION, QUERY */
    const tn__bound *stmt;   /* READ without resource */
    const tn__bound *scoped; /* for a scope of accounts; NULL: the same one */
    const tn__field *input;
    unsigned ninput;
    tn_str signature; /* the header that signs the body, whatever that is: the
                       * step gets the bytes (op->raw); absent: JSON as the
                       * input's rows say */
    const tn__field *output;
    unsigned noutput;
    const tn_str *columns; /* what stmt must answer, among others; made by */
    unsigned ncolumns;     /* compilation from output */
    const tn__conflict *conflicts;
    unsigned nconflicts;
    const tn_err *errors; /* of a STEP: what else it may refuse with */
    unsigned nerrors;
    unsigned of_app : 1;         /* its SQL is an app's: that may refuse */
    unsigned tenantless : 1;     /* served where no tenant is named */
    unsigned base_domain : 1;    /* and on the base domain only */
    unsigned realm_wide : 1;     /* public: the base domain means everybody of
                                  * the shared realm, in the platform's name */
    unsigned unkeyed : 1;        /* Idempotency-Key is ignored */
    unsigned changes_access : 1; /* what sessions may do is read anew */
    unsigned tells_change : 1; /* WRITE: unless `stmt` says, in a column behind
                                * the output's, that nothing changed */
    unsigned of_tenant : 1;    /* those of the tenant {id}, not of one's own */
    unsigned ends_tenant : 1;  /* and the tenant is no longer found */
    unsigned changes_domains : 1; /* custom domains are looked up anew */
    unsigned changes_flags : 1;   /* feature flags are read anew */
    unsigned conditional : 1;     /* no GET, and If-None-Match is heeded */
    unsigned ends_session : 1;    /* {id} is a session, which counts no more;
                                   * without {id} the one that asks */
    unsigned opens_session : 1;   /* a cookie's, where Tenon-Session says so */
    unsigned by_key : 1;          /* "authenticated": by an API key as well */
    unsigned by_person : 1;       /* it gives rights away: not by an API key */
    unsigned hashes : 1;          /* it takes a job of password hashing */
    unsigned heeds_caller : 1;    /* "public": and who is signed in is known */
    unsigned unpaid : 1;          /* served whatever the tenant owes */
    unsigned counted : 1;         /* all the same one of its calls */
    unsigned in_read_only : 1;    /* no GET, and served as one is to a tenant
                                   * that is read-only: it reads, or switches
                                   * something off */
    unsigned by_self : 1;         /* nor by who acts as somebody else: what it
                                   * makes or ends outlasts that */
    unsigned in_session : 1;      /* nor by an identity provider's token: it
                                   * reaches beyond the tenant of that */
    unsigned status;              /* WRITE, STEP: of success; 0: 200 */
    unsigned elsewhere : 1; /* WRITE 201: the new row is another tenant's, so
                             * no Location and no ETag of it hold here */
    size_t body_max;        /* 0: the core's */
    tn_str cache_control;   /* absent: "private, no-cache" */
} tn__endpoint;

/* An API key is no person: it neither manages a session or an account nor
 * gives rights away. */
static inline int
tn__endpoint_open_to_keys(const tn__endpoint *e)
{
    return !e->by_person &&
           (e->permission != TN__PERM_AUTHENTICATED || e->by_key);
}


/* A WRITE whose answer names a new row's path: one that is made, or is going to
 * be. */
static inline int
tn__endpoint_makes(const tn__endpoint *e)
{
    return e->status == 201 || e->status == 202;
}


static inline int
tn__endpoint_takes_body(const tn__endpoint *e)
{
    return e->ninput || e->signature.p;
}


/* Whether it is served only to tenants who have paid: one's own account is in
 * any case, and so is what takes rights of the platform's away. */
static inline int
tn__endpoint_paid(const tn__endpoint *e)
{
    return !e->unpaid && e->permission <= TN__PERM_MAX &&
           (e->of_app || !tn__eq(e->method, TN_STR("DELETE")));
}


/* Whether it takes from what the tenant's plan allows of calls: what isn't paid
 * for doesn't, so that who has none left can buy more; but for what could be
 * called without end. */
static inline int
tn__endpoint_counted(const tn__endpoint *e)
{
    return e->counted || tn__endpoint_paid(e);
}


/* ---- the router: a tree of path segments ---- */

typedef struct tn__route tn__route;
struct tn__route {
    tn_str segment; /* "{id}" matches anything but the empty segment */
    size_t key;     /* tn__route_key() of it; 0: it is such a variable */
    tn__route *child;
    tn__route *next;
    const tn__endpoint **endpoints; /* by method */
    unsigned nendpoints;
};

/* Adds an endpoint's path to the tree; the endpoint is borrowed. */
tn_err
tn__route_add(tn__route **root, const tn__endpoint *endpoint, tn_mem *mem);

static inline int
tn__route_variable(const tn__route *route)
{
    return route->key == 0;
}


/* Most siblings differ in it: length and first letter. */
static inline size_t
tn__route_key(tn_str segment)
{
    return (segment.n + 1) << 8 |
           (segment.n ? (unsigned char) segment.p[0] : 0);
}


/* ---- the catalogue ---- */

typedef struct tn__permission {
    tn_str name;
    unsigned number;
} tn__permission;

struct tn_catalogue {
    uint64_t version;
    unsigned references; /* ops + core */
    tn__arena *arena;
    tn__role *roles;
    unsigned nroles;
    tn__permission *permissions; /* by number */
    unsigned npermissions;
    tn__endpoint *endpoints; /* the platform's come first */
    unsigned nendpoints;
    unsigned nplatform;
    tn__resource **resources;
    unsigned nresources;
    tn__call *calls;
    unsigned ncalls;
    tn__conflict *keys; /* columns of unique keys, by app and resource */
    const tn__resource **key_resources; /* whose each of them is */
    unsigned nkeys;
    const tn__resource *events;        /* the event log: what histories show */
    tn_str features[TN__FEATURES_MAX]; /* those that endpoints need */
    unsigned nfeatures;
    tn_str meters[TN__METERS_MAX]; /* TN__METERS_OWN, then an app's units */
    unsigned nmeters;
    tn__route *routes;
    const tn_stmt **statements; /* to prepare ahead */
    unsigned nstatements;
    tn_str openapi_head; /* the document up to servers[0].url's value, and */
    tn_str openapi_tail; /* from there on (openapi/openapi.c) */
    tn_str openapi_hash; /* of both: for its ETag */
};

const tn__role *tn__catalogue_role(const tn_catalogue *cat, tn_str name);

/* The event log as a resource over the view tenon.audit_event. */
extern const tn__resource tn__event_resource;

/* A table of platform endpoints and the resources they need compiled. */
typedef struct tn__slice {
    const tn__endpoint *endpoints;
    unsigned n;
} tn__slice;

/* A NULL reply compiles the slices alone: their permissions must be public. */
tn_err tn__catalogue_compile(tn_catalogue **out, const tn_reply *reply,
                             const tn__slice *slices, unsigned nslices,
                             tn__buf *fault);


/* ---- the core ---- */

/* A key of access tokens that is published and accepted. */
typedef struct tn__token_key {
    unsigned char public_key[32];
    tn_str kid;    /* RFC 7638 thumbprint */
    tn_str header; /* encoded JWT header of the tokens that it signs */
} tn__token_key;

typedef struct tn__issuer tn__issuer; /* token/issuers.c */

struct tn_core {
    tn_core_conf conf;
    tn__token_key token_keys[TN_RING_KEYS_MAX]; /* the first one signs */
    unsigned ntoken_keys;
    unsigned char private_key[64]; /* of the first */
    unsigned char zone_key[16];    /* of the keys of zone entries */
    tn__keyring keyring;           /* of what is kept encrypted */
    tn__issuer *issuers;           /* others whose tokens are accepted */
    unsigned nissuers;
    tn_str base_domain;
    tn_str cors_origins;
    tn_str issuer;   /* "https://" base domain */
    tn_str verifier; /* stands for all that tokens are verified by */
    tn_str jwks;
    char *decoy; /* an Argon2id hash that no password has */
    tn_catalogue *catalogue;
    tn__arena *arena;
    tn__arena *fault_arena; /* of the last tn_catalogue_new */
};

#endif
