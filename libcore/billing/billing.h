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
    int64_t owing_since; /* TN__NEVER: not known, or nothing is due */
    int64_t trial_ends;  /* TN__NEVER: not known, or none */
    int64_t grace;       /* TN__NEVER: for ever; the same below */
    int64_t read_only;   /* behind the grace */
} tn__dues;

/* What they entitle to at a time, and until when that is so if nothing else
 * happens: *until, TN__NEVER. */
tn__entitled tn__entitled_at(int64_t *until, const tn__dues *dues, int64_t now);
tn_str tn__entitled_name(tn__entitled entitled);


/* ---- a tenant's plan (plan.c) ---- */

typedef struct tn__limit {
    int64_t soft; /* what is beyond it is told of; -1: none */
    int64_t hard; /* what is beyond it is refused; -1: none */
    char period;  /* in which it is counted: month, day, hour, by their first
                   * letters; '\0': it is on how many there are */
} tn__limit;

/* What a request's tenant may do: what billing says of it, in one piece.
 * Features and limits are known by the numbers that the catalogue gives their
 * names. */
typedef struct tn__plan {
    tn_str name; /* empty: nothing is billed here, and all allowed */
    tn__entitled entitled;
    int64_t until; /* it is looked up anew then */
    unsigned char features[TN__FEATURES_MAX / 8];
    char subscription[TN__UUID_TEXT]; /* whose id: of the tenant's the one that
                                       * counts; "\0…": it has none that does */
    tn__limit limits[TN__METERS_MAX];
} tn__plan;

/* The columns of tenon.find_plan(), which are rows in the order in which they
 * count: the first that entitles to anything, and of subscriptions the one that
 * entitles to most. TN_E_NOMEM, TN_E_INTERNAL when a
 * row can't be read. */
tn_err tn__plan_read(tn__plan *plan, tn_op *op, const tn_rows *rows);

/* As it lies in the zone, behind the stamp under which it counts. */
tn_err
tn__plan_pack(tn_str *out, tn_op *op, const tn__plan *plan, tn_str stamp);
/* 0 when it is of another stamp or catalogue, or over. */
int tn__plan_unpack(tn__plan *plan, tn_op *op, tn_str stamp, tn_str value);

/* Of a catalogue's number; a plan that is none has all of them. */
int tn__plan_has(const tn__plan *plan, unsigned feature);


/* ---- what it allows (gate.c) ---- */

/* Whether the op's plan allows its endpoint at all: 0 when the op has failed
 * with payment_required or feature_required. */
int tn__plan_admits(tn_op *op);
/* Binds :seats: how many members and invitations there may be, or null. */
void tn__seats_bind(tn_op *op);


/* ---- endpoints (billing_endpoints.c) ---- */

extern const tn__slice tn__billing_slice;

#endif
