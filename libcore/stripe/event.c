/*
 * event.c: the kind "stripe.event": an event that came in is taken for a hint
 * that a subscription may be another now, which is asked for and written down
 * as it is. So it is of no matter in which order events come, how often, or
 * what is in them; and types that come to be need no code.
 *
 *     DB    the event: which subscription, whose
 *     DB    in that tenant: a number to ask under, unless it was heard of since
 *     HTTP  GET /v1/subscriptions/{id}
 *     DB    what was answered, if nobody with a higher number was faster; done
 *
 * So does the kind "stripe.subscription", without an event: of a subscription
 * that should have been heard of (tenon.refetch_subscriptions).
 *
 * Whose it is say the customers and subscriptions that are known here; what
 * others may write into an event (client_reference_id, metadata) says nothing.
 */

#include "libcore/stripe/stripe.h"
#include "libcore/billing/billing.h"
#include "gen/queries.h"

#define NAME_MAX   255
#define STATUS_MAX 64

/* What stripe_event answers. */
enum {
    TYPE,
    EXTERNAL_ID,
    RECEIVED_AT,
    LIVEMODE,
    OBJECT,
    SUBSCRIPTION,
    CUSTOMER,
    TENANT,
    COLUMNS,
};

enum {
    FIND,
    FOUND,
    NUMBERED,
    HEARD,
};

typedef struct event {
    tn_str cells[COLUMNS];
    tn_rows prices; /* by which plan a price goes */
} event;


/* Rows are there until the next step only. */
static int
keep_cells(tn_work *work, tn_str *to, const tn_str *from, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        to[i] = TN_NULL;

        if (from[i].p && tn__dup(&to[i], from[i], work->mem) != TN_OK) {
            tn__work_fail(work, TN_STR("out of memory"), 0);
            return 0;
        }
    }

    return 1;
}


static void
find(tn_work *work)
{
    tn__work_local(work, TN_STR("input"), work->input);
    tn__work_batch(work);
    tn__work_add(work, work->kind == &tn__stripe_subscription_kind
                           ? &tn__q_stripe_overdue
                           : &tn__q_stripe_event);
    tn__work_want_db(work);
}


/* With a key of the other mode Stripe knows nothing of it. */
static int
is_of_mode(tn_work *work, tn_str livemode)
{
    tn_str mode, key = work->conf ? work->conf->stripe_key : TN_NULL;

    mode = tn__sub(key, 2, key.n < 8 ? key.n : 8); /* sk_test_, rk_live_ */

    if (tn__eq(livemode, TN_STR("true")) && tn__eq(mode, TN_STR("_test_"))) {
        tn__work_refuse(work, TN_STR("the event is of live mode, and tenond's "
                                     "stripe_key of test mode"));
        return 0;
    }

    if (tn__eq(livemode, TN_STR("false")) && tn__eq(mode, TN_STR("_live_"))) {
        tn__work_refuse(work, TN_STR("the event is of test mode, and tenond's "
                                     "stripe_key of live mode"));
        return 0;
    }

    return 1;
}


static void
ask_number(tn_work *work, const event *e)
{
    tn_str final;

    if (tn__billing_deaf(&final, TN__BILLING_OTHER, work->mem) != TN_OK) {
        tn__work_fail(work, TN_STR("out of memory"), 0);
        return;
    }

    tn__work_tenant(work, e->cells[TENANT]);
    tn__work_local(work, TN_STR("subscription"), e->cells[SUBSCRIPTION]);
    tn__work_local(work, TN_STR("received_at"), e->cells[RECEIVED_AT]);
    tn__work_local(work, TN_STR("final"), final);

    tn__work_batch(work);
    tn__work_add(work, &tn__q_stripe_subscription_ask);
    tn__work_add(work, &tn__q_stripe_prices);
    tn__work_want_db(work);
}


static void
found(tn_work *work, const tn_input *input)
{
    event *e = work->data;
    const tn_rows *rows = tn__work_rows(work, input, 0);

    if (rows == NULL) {
        return;
    }

    /* It is gone, or about something else. */
    if (rows->nrows == 0 || tn__work_cell(rows, 0, SUBSCRIPTION).p == NULL) {
        tn__work_done(work);
        return;
    }

    if (rows->ncols != COLUMNS ||
        !keep_cells(work, e->cells, rows->cells, COLUMNS)) {
        return;
    }

    if (e->cells[TENANT].p == NULL) {
        tn__work_local(work, TN_STR("external_id"), e->cells[EXTERNAL_ID]);
        tn__work_local(work, TN_STR("type"), e->cells[TYPE]);
        tn__work_batch(work);
        tn__work_add(work, &tn__q_stripe_ignored);
        tn__work_done(work);
        return;
    }

    if (is_of_mode(work, e->cells[LIVEMODE])) {
        ask_number(work, e);
    }
}


static void
numbered(tn_work *work, const tn_input *input)
{
    tn_str *cells, number[2];
    event *e = work->data;
    const tn_rows *asked = tn__work_rows(work, input, 0);
    const tn_rows *prices = tn__work_rows(work, input, 1);

    static const tn__stripe_param params[] = {
        { TN_STR_C("expand[]"), TN_STR_C("latest_invoice") },
    };

    tn__stripe_call call = { .method = TN_STR("GET"),
                             .path = TN_STR("/v1/subscriptions"),
                             .id = e->cells[SUBSCRIPTION],
                             .params = params,
                             .nparams = 1 };

    if (asked == NULL || prices == NULL) {
        return;
    }

    if (asked->nrows == 0) {
        tn__work_done(work);
        return;
    }

    e->prices = *prices;
    cells = tn__alloc(work->mem, ((size_t) prices->nrows * prices->ncols + 1) *
                                     sizeof(tn_str));
    e->prices.cells = cells;

    if (cells == NULL) {
        tn__work_fail(work, TN_STR("out of memory"), 0);
        return;
    }

    if (!keep_cells(work, cells, prices->cells,
                    (size_t) prices->nrows * prices->ncols) ||
        !keep_cells(work, number, asked->cells, 2)) {
        return;
    }

    tn__work_local(work, TN_STR("asked"), number[0]);
    tn__work_local(work, TN_STR("asked_at"), number[1]);
    tn__stripe_ask(work, &call);
}


/* ---- what was answered ---- */

/* The plan that goes by a price, by its id or its lookup_key. */
static tn_str
plan_of(const event *e, tn_str price)
{
    unsigned i;

    for (i = 0; price.p && i < e->prices.nrows; i++) {
        if (tn__eq(tn__work_cell(&e->prices, i, 0), price)) {
            return tn__work_cell(&e->prices, i, 1);
        }
    }

    return TN_NULL;
}


/* The first item that a plan goes by; else the first, and *plan is absent. */
static const cJSON *
item_of(tn_str *plan, const event *e, const cJSON *subscription)
{
    unsigned i;
    const cJSON *items, *item, *price;

    items = tn__stripe_member(subscription, "items");

    for (i = 0; (item = tn__stripe_item(items, i)) != NULL; i++) {
        price = tn__stripe_member(item, "price");
        *plan = plan_of(e, tn__stripe_text(price, "id"));

        if (plan->p == NULL) {
            *plan = plan_of(e, tn__stripe_text(price, "lookup_key"));
        }

        if (plan->p) {
            return item;
        }
    }

    *plan = TN_NULL;

    return tn__stripe_item(items, 0);
}


static void
unreadable(tn_work *work, const char *what)
{
    tn_str why;
    tn_str parts[] = { TN_STR("Stripe's subscription can't be kept: "),
                       { what, strlen(what) } };

    if (tn__cat(&why, parts, 2, work->mem) != TN_OK) {
        why = TN_STR("out of memory");
    }

    tn__work_fail(work, why, 0);
}


static void
no_plan(tn_work *work, const cJSON *item)
{
    tn_str why;
    tn__buf buf;
    const cJSON *price = tn__stripe_member(item, "price");

    tn__buf_init(&buf, work->mem, 160);
    tn__buf_lit(&buf, "no plan goes by price ");
    tn__buf_add(&buf, tn__stripe_text(price, "id"));

    if (tn__stripe_text(price, "lookup_key").p) {
        tn__buf_lit(&buf, " (lookup_key ");
        tn__buf_add(&buf, tn__stripe_text(price, "lookup_key"));
        tn__buf_char(&buf, ')');
    }

    tn__buf_lit(&buf, ": declare it with tenon.plan_price()");

    if (tn__buf_str(&why, &buf) != TN_OK) {
        why = TN_STR("out of memory");
    }

    tn__work_fail(work, why, 0);
}


static void
add_name(tn__buf *said, const char *name)
{
    tn__buf_char(said, said->n ? ',' : '{');
    tn__buf_quote(said, (tn_str){ name, strlen(name) });
    tn__buf_char(said, ':');
}


static void
add_text(tn__buf *said, const char *name, tn_str text)
{
    add_name(said, name);

    if (text.p) {
        tn__buf_json(said, text);
    } else {
        tn__buf_lit(said, "null");
    }
}


static void
add_bool(tn__buf *said, const char *name, int value)
{
    add_name(said, name);
    tn__buf_add(said, value ? TN_STR("true") : TN_STR("false"));
}


static void
add_int(tn__buf *said, const char *name, const cJSON *object,
        const char *member)
{
    int64_t value;

    add_name(said, name);

    if (tn__stripe_int(&value, object, member)) {
        tn__buf_int(said, value);
    } else {
        tn__buf_lit(said, "null");
    }
}


/* Since when what isn't paid is due: the invoice that is open, or the end of
 * the trial behind which nobody could be charged. */
static void
add_due(tn__buf *said, const cJSON *subscription, tn__billing state)
{
    int64_t at;
    const cJSON *invoice, *times;

    invoice = tn__stripe_member(subscription, "latest_invoice");
    times = tn__stripe_member(invoice, "status_transitions");

    if (state == TN__BILLING_PAUSED) {
        add_int(said, "due", subscription, "trial_end");

    } else if (!tn__eq(tn__stripe_text(invoice, "status"), TN_STR("open"))) {
        add_text(said, "due", TN_NULL);

    } else if (tn__stripe_int(&at, times, "finalized_at")) {
        add_int(said, "due", times, "finalized_at");

    } else {
        add_int(said, "due", invoice, "created");
    }
}


/* Of a subscription, or of its item: newer objects have it there. */
static void
add_period(tn__buf *said, const char *name, const cJSON *subscription,
           const cJSON *item)
{
    int64_t at;

    add_int(said, name,
            tn__stripe_int(&at, subscription, name) ? subscription : item,
            name);
}


/* The document of which tenon.keep_subscription() makes a row. */
static tn_err
write_said(tn_str *out, tn_work *work, const cJSON *s, const cJSON *item,
           tn_str plan, tn__billing state)
{
    int64_t n;
    tn__buf said;

    tn__buf_init(&said, work->mem, 640);
    add_text(&said, "plan", plan);
    add_text(&said, "price_id",
             tn__stripe_text(tn__stripe_member(item, "price"), "id"));
    add_text(&said, "customer_id", tn__stripe_ref(s, "customer"));
    add_text(&said, "status", tn__stripe_text(s, "status"));
    add_bool(&said, "owes", tn__billing_owes(state));
    add_due(&said, s, state);
    add_int(&said, "trial_end", s, "trial_end");
    add_period(&said, "current_period_start", s, item);
    add_period(&said, "current_period_end", s, item);
    add_bool(&said, "cancel_at_period_end",
             tn__stripe_true(s, "cancel_at_period_end"));
    add_int(&said, "cancel_at", s, "cancel_at");
    add_int(&said, "canceled_at", s, "canceled_at");
    add_int(&said, "ended_at", s, "ended_at");
    add_int(&said, "created", s, "created");
    add_bool(&said, "livemode", tn__stripe_true(s, "livemode"));

    /* What is measured has no quantity. */
    add_name(&said, "quantity");
    tn__buf_int(&said, tn__stripe_int(&n, item, "quantity") ? n : 1);
    tn__buf_char(&said, '}');

    return tn__buf_str(out, &said);
}


/* 0 when the attempt has failed. */
static int
is_readable(tn_work *work, const event *e, const cJSON *s, const cJSON *item)
{
    int64_t at;
    const char *fault = NULL;
    tn_str price = tn__stripe_text(tn__stripe_member(item, "price"), "id");
    tn_str status = tn__stripe_text(s, "status");
    tn_str customer = tn__stripe_ref(s, "customer");

    if (!tn__eq(tn__stripe_text(s, "object"), TN_STR("subscription"))) {
        fault = "it is another kind of object";

    } else if (!tn__eq(tn__stripe_text(s, "id"), e->cells[SUBSCRIPTION])) {
        fault = "it has another id than was asked for";

    } else if (status.n == 0 || tn__utf8_length(status) > STATUS_MAX) {
        fault = "it has no status, or a long one";

    } else if (customer.n == 0 || customer.n > NAME_MAX) {
        fault = "it has no customer";

    } else if (price.n == 0 || price.n > NAME_MAX) {
        fault = "it has no item with a price";

    } else if (!tn__stripe_int(&at, s, "created")) {
        fault = "it doesn't say when it was created";

    } else if (tn__eq(status, TN_STR("trialing")) &&
               !tn__stripe_int(&at, s, "trial_end")) {
        fault = "it is trialing and has no trial_end";
    }

    if (fault) {
        unreadable(work, fault);
    }

    return fault == NULL;
}


static void
keep(tn_work *work, const cJSON *s)
{
    const event *e = work->data;
    tn_str plan, said, deaf, cause;
    tn_str parts[] = { TN_STR("stripe."), e->cells[TYPE] };
    tn__billing state;
    const cJSON *item = item_of(&plan, e, s);

    if (!is_readable(work, e, s, item)) {
        return;
    }

    state = tn__billing_parse(tn__stripe_text(s, "status"));

    /* Nobody is kept from an end by a price that isn't known. */
    if (plan.p == NULL && state != TN__BILLING_CANCELED &&
        state != TN__BILLING_EXPIRED) {
        no_plan(work, item);
        return;
    }

    if (write_said(&said, work, s, item, plan, state) != TN_OK ||
        tn__billing_deaf(&deaf, state, work->mem) != TN_OK ||
        tn__cat(&cause, parts, 2, work->mem) != TN_OK) {
        tn__work_fail(work, TN_STR("out of memory"), 0);
        return;
    }

    tn__work_local(work, TN_STR("customer"), tn__stripe_ref(s, "customer"));
    tn__work_local(work, TN_STR("cause"), cause);
    tn__work_local(work, TN_STR("said"), said);
    tn__work_local(work, TN_STR("deaf"), deaf);

    tn__work_batch(work);
    tn__work_add(work, &tn__q_cause);
    tn__work_add(work, &tn__q_stripe_customer_keep);
    tn__work_add(work, &tn__q_stripe_subscription_keep);
    tn__work_done(work);
}


static void
heard(tn_work *work, const tn_input *input)
{
    int missing;
    cJSON *object = NULL;
    const event *e = work->data;
    tn__json_fault fault;
    const cJSON *s = tn__stripe_answer(work, input, &missing);

    if (s) {
        keep(work, s);
        return;
    }

    if (!missing) {
        return;
    }

    /* An end is an end: the event's own word is as good as any. But a key of
     * another account's must not end what goes on. */
    if (!tn__eq(e->cells[TYPE], TN_STR("customer.subscription.deleted"))) {
        tn__work_fail(
            work,
            TN_STR("Stripe knows no such subscription: is tenond's "
                   "stripe_key of the account that sends the events?"),
            0);
        return;
    }

    if (tn__json_parse(&object, e->cells[OBJECT], &fault, work->mem) != TN_OK) {
        tn__work_fail(work, TN_STR("the event can't be read"), 0);
        return;
    }

    keep(work, object);
}


static void
stripe_event(tn_work *work, const tn_input *input)
{
    if (work->data == NULL) {
        work->data = tn__zalloc(work->mem, sizeof(event));

        if (work->data == NULL) {
            tn__work_fail(work, TN_STR("out of memory"), 0);
            return;
        }
    }

    switch (work->state++) {

    case FIND:
        find(work);
        break;

    case FOUND:
        found(work, input);
        break;

    case NUMBERED:
        numbered(work, input);
        break;

    default:
        heard(work, input);
        break;
    }
}


const tn__work_kind tn__stripe_event_kind = {
    .kind = TN_STR_C("stripe.event"),
    .step = stripe_event,
    .attempts = 20,
};


const tn__work_kind tn__stripe_subscription_kind = {
    .kind = TN_STR_C("stripe.subscription"),
    .step = stripe_event,
    .attempts = 8,
};
