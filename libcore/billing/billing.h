/*
 * billing/billing.h: what a tenant has paid for, and what that entitles it to.
 *
 * The provider's word (tn__billing) says what became of a subscription; what
 * the tenant may do (tn__entitled) is ours to say: by that word, the time since
 * it owes, and what its plan declares (README.md).
 */

#ifndef TN__BILLING_H
#define TN__BILLING_H

#include "libcore/zone/zone.h"

/* ---- what the provider says (subscription.c) ---- */

typedef enum tn__billing {
    TN__BILLING_NONE, /* nothing yet */
    TN__BILLING_INCOMPLETE,
    TN__BILLING_EXPIRED, /* incomplete_expired */
    TN__BILLING_TRIALING,
    TN__BILLING_ACTIVE,
    TN__BILLING_PAST_DUE,
    TN__BILLING_UNPAID,
    TN__BILLING_PAUSED,
    TN__BILLING_CANCELED,
    TN__BILLING_OTHER, /* a word that isn't known here */
    TN__BILLING_STATES
} tn__billing;

/* What can be said: all of them but NONE. */
#define TN__BILLING_WORDS (TN__BILLING_STATES - 1)

/* Its events are the states behind NONE. */
extern const tn__machine tn__billing_machine;

/* "past_due"; an empty word is NONE, one that isn't known OTHER. */
tn__billing tn__billing_parse(tn_str word);
/* What a word does to a subscription: *to is what it is then. `said` is none of
 * NONE. */
tn__move tn__billing_said(tn__billing *to, tn__billing from, tn__billing said);
/* The states in which a word changes nothing, late or after the end, as
 * PostgreSQL writes an array. An end is what is deaf to OTHER. */
tn_err tn__billing_deaf(tn_str *out, tn__billing said, tn_mem *mem);
/* Whether money is due in that state: from the first of these on the time runs
 * by which a plan's dunning goes. */
int tn__billing_owes(tn__billing state);


/* ---- what that entitles to (entitled.c) ---- */

typedef enum tn__entitled {
    TN__ENTITLED_NONE, /* no plan */
    TN__ENTITLED_TRIAL,
    TN__ENTITLED_FULL,
    TN__ENTITLED_GRACE, /* owes, and may do all for some time */
    TN__ENTITLED_READ_ONLY,
    TN__ENTITLED_SUSPENDED,
    TN__ENTITLED_STATES
} tn__entitled;

#define TN__NEVER INT64_MAX

/* What decides it. Times are microseconds since 1970, spans microseconds. */
typedef struct tn__dues {
    tn__billing state;
    int64_t owing_since; /* TN__NEVER: not known, or nothing is due. Of one that
                          * is active: when its period will be long over */
    int64_t trial_ends;  /* TN__NEVER: not known, or none */
    int64_t grace;       /* TN__NEVER: for ever; the same below */
    int64_t read_only;   /* behind the grace */
} tn__dues;

/* What they entitle to at a time, and until when that is so if nothing else
 * happens: *until, TN__NEVER. That a paid period is followed by another is what
 * is expected to happen: of that none is told. */
tn__entitled tn__entitled_at(int64_t *until, const tn__dues *dues, int64_t now);
tn_str tn__entitled_name(tn__entitled entitled);

/* Whether a row of tenon.find_plan() counts in the place of that which counts
 * so far: where that entitles to nothing, or both are subscriptions and this
 * one entitles to more. */
int tn__entitled_counts_before(tn__entitled row, int subscribed,
                               tn__entitled so_far, int subscribed_so_far);

/* Five of that function's columns, in its order, from `first` on: status,
 * owing_since, trial_ends_at, grace, read_only. 0 when they can't be read. */
int tn__dues_read(tn__dues *dues, const tn_rows *rows, unsigned row,
                  unsigned first);


/* ---- a tenant's plan (plan.c) ---- */

/* In the zone as in memory: in 16 bytes, for which no limit may be larger. */
typedef struct tn__limit {
    int64_t soft;        /* what is beyond it is told of; -1: none */
    int64_t hard : 60;   /* what is beyond it is refused; -1: none */
    uint64_t period : 4; /* in which it is counted: a tn_period */
} tn__limit;

#define TN__LIMIT_MAX ((INT64_C(1) << 59) - 1)

#define TN__PLAN_NAME_MAX 63 /* as the table has it */

/* The meters that count requests follow each other. */
#define TN__COUNTED_FIRST TN__METER_API_CALLS
#define TN__COUNTED_LAST  TN__METER_API_RATE
#define TN__COUNTED       (TN__COUNTED_LAST - TN__COUNTED_FIRST + 1)

/* ', "api_calls";q=1000;w=60' of each: no name is longer. */
#define TN__POLICY_MAX \
    (TN__COUNTED * (sizeof(TN__NAME_API_CALLS) + 10 + 2 * TN__DIGITS_MAX))

/* What a request's tenant may do: what billing says of it, in one piece.
 * Features and limits are known by the numbers that the catalogue gives their
 * names. */
typedef struct tn__plan {
    tn_str name;   /* empty: nothing is billed here, and all allowed */
    tn_str policy; /* RateLimit-Policy, as requests are told: empty where it
                    * refuses none by their number */

    /* from here to the limits it lies in the zone as it does in memory */
    tn__entitled entitled;
    unsigned counts; /* requests, by these meters: bits of their numbers */
    int64_t until;   /* what it entitles to is something else then */
    int64_t read_at; /* when the database said so */
    int64_t month_begins, month_ends; /* in which it is read */
    unsigned char tenant[16];         /* whose it is */
    unsigned char features[TN__FEATURES_MAX / 8];
    char subscription[TN__UUID_TEXT]; /* whose id: of the tenant's the one that
                                       * counts; "\0…": it has none that does */
    tn__limit limits[TN__METERS_MAX]; /* of the catalogue's nmeters */
    char text[TN__PLAN_NAME_MAX + TN__POLICY_MAX]; /* name and policy, out of
                                                    * the zone */
} tn__plan;

/* What a plan is told of is true for so long: whom an older one would refuse,
 * the database is asked once more. */
#define TN__PLAN_FRESH 500000 /* microseconds */

/* The columns of tenon.find_plan(), which are rows in the order in which they
 * count: the first that entitles to anything, and of subscriptions the one that
 * entitles to most. TN_E_NOMEM, TN_E_INTERNAL when a
 * row can't be read. */
tn_err tn__plan_read(tn__plan *plan, tn_op *op, const tn_rows *rows);

/* As it lies in the zone, behind the stamp under which it counts. */
tn_err
tn__plan_pack(tn_str *out, tn_op *op, const tn__plan *plan, tn_str stamp);
/* 0 when it is of another stamp or catalogue, or over. */
int
tn__plan_unpack(tn__plan *plan, const tn_op *op, tn_str stamp, tn_str value);

/* How long the period of one of its limits is that has one, microseconds. */
int64_t tn__limit_span(const tn__plan *plan, const tn__limit *limit);

/* Whether it is older than that. */
int tn__plan_is_old(const tn__plan *plan, int64_t now);

/* Of a catalogue's number; a plan that is none has all of them. */
int tn__plan_has(const tn__plan *plan, unsigned feature);


/* ---- what it allows (gate.c) ---- */

/* Whether the op's plan allows its endpoint at all: 0 when the op has failed
 * with payment_required or feature_required. */
int tn__plan_admits(tn_op *op);
/* Binds :unit_soft, :unit_hard and :unit_period, the limits on what the op's
 * endpoint counts as, if it does and they are; its statement heeds them
 * (model/sql_unit.c). */
void tn__unit_bind(tn_op *op);
/* Binds :seats: how many members and invitations there may be, or null. */
void tn__seats_bind(tn_op *op);


/* ---- endpoints (billing_endpoints.c) ---- */

extern const tn__slice tn__billing_slice;

#endif
