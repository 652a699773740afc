/*
 * stripe/stripe.h: Stripe's HTTP API, for kinds of work that ask it. README.md
 * tells how.
 *
 *     tn__stripe_param params[] = {
 *         { TN_STR("email"), email },
 *         { TN_STR("metadata[tenant_id]"), work->tale.tenant_id },
 *     };
 *     tn__stripe_call call = {
 *         .method = TN_STR("POST"),
 *         .path = TN_STR("/v1/customers"),
 *         .params = params, .nparams = 2,
 *         .key = key,
 *     };
 *
 *     tn__stripe_ask(work, &call);                 ends this step
 *     …
 *     object = tn__stripe_answer(work, input, NULL);
 *     if (object == NULL) {
 *         return;                                  the attempt has ended
 *     }
 *     id = tn__stripe_text(object, "id");
 */

#ifndef TN__STRIPE_H
#define TN__STRIPE_H

#include "libcore/job/job.h"

/* What objects look like goes by it, whatever the account's own version is. */
#define TN__STRIPE_VERSION "2025-02-24.acacia"

typedef struct tn__stripe_param {
    tn_str name;  /* "line_items[0][price]" */
    tn_str value; /* absent: left out */
} tn__stripe_param;

typedef struct tn__stripe_call {
    tn_str method; /* "GET", "POST", "DELETE" */
    tn_str path;   /* "/v1/subscriptions" */
    tn_str id;     /* of one object below it; absent: none */
    tn_str verb;   /* "expire": what is done to that; absent: nothing */
    const tn__stripe_param *params;
    unsigned nparams;
    tn_str key; /* POST: the same for all attempts at one thing; <= 255 */
} tn__stripe_call;


/* ---- asking (client.c) ---- */

/* The step's last deed: wants the call made. Without a key of Stripe's, or
 * memory, the attempt has failed. */
void tn__stripe_ask(tn_work *work, const tn__stripe_call *call);

/* The object that was answered, in the work's memory. NULL when there is none,
 * and the attempt has ended: it is tried again where that may help, and not
 * where Stripe refuses what was asked. But where `missing` is given and Stripe has
 * no such object, it is set, NULL is answered, and the attempt goes on. */
const cJSON *
tn__stripe_answer(tn_work *work, const tn_input *input, int *missing);

/* The same of an answer whose object nobody wants to know. */
void tn__stripe_skip(tn_work *work);

/* Whether the answer is a failure of Stripe's own to an earlier request of this
 * key, which it repeats for a day: only another key helps. */
int tn__stripe_stuck(const tn_input *input);


/* ---- reading what was answered (object.c) ---- */

/* Of an object's member; absent, 0, or NULL where it is missing, null or
 * something else. What is absent of NULL is absent, too. */
tn_str tn__stripe_text(const cJSON *object, const char *name);
int tn__stripe_int(int64_t *out, const cJSON *object, const char *name);
int tn__stripe_true(const cJSON *object, const char *name);
const cJSON *tn__stripe_member(const cJSON *object, const char *name);
/* The id of what it refers to, be that there as an id or as the object. */
tn_str tn__stripe_ref(const cJSON *object, const char *name);
/* Of a list ({"object": "list", "data": […]}) the i-th; NULL behind the last. */
const cJSON *tn__stripe_item(const cJSON *list, unsigned i);


/* ---- events that came in (event.c) ---- */

extern const tn__work_kind tn__stripe_event_kind;
extern const tn__work_kind tn__stripe_subscription_kind;


/* ---- tenants that were deleted (cancel.c) ---- */

extern const tn__work_kind tn__cancel_kind;


/* ---- pages of Stripe's for owners (session.c, session_endpoints.c) ---- */

extern const tn__work_kind tn__checkout_kind;
extern const tn__work_kind tn__portal_kind;
extern const tn__slice tn__billing_sessions_slice;

#endif
