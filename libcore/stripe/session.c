/*
 * session.c: the kinds "stripe.checkout" and "stripe.portal": a page of
 * Stripe's is made for an owner.
 *
 *     ASKED     DB     what is wanted; whose customer the tenant is
 *     CUSTOMER  HTTP   it becomes one, if it isn't yet…
 *     STORED    DB     …which is kept before it is used
 *     PRICED    HTTP   a checkout: which price a lookup_key stands for
 *     MADE      HTTP   the page
 *     KEPT      DB     its address is kept, where the tenant has no other page
 *     EXPIRED   HTTP   that one is ended first…
 *     LOOKED_UP HTTP   …and looked at, where it can't be: was it paid?
 *               DB     done
 *
 * So a tenant has one page at a time on which it could subscribe, and none once
 * it has: two that are paid are two subscriptions.
 *
 * What is made twice all the same is one thing: a customer by the tenant's id, a
 * page by the job's. Where Stripe has failed at that once, it goes on answering so
 * for a day; then it is asked for another.
 */

#include "libcore/stripe/stripe.h"
#include "gen/queries.h"

/* Waits of 10, 20, 40, 80 s at most: somebody sits in front of it. */
#define ATTEMPTS 5

/* Stripe's portal opens for five minutes only. */
#define PORTAL_TTL 300 /* s */

#define PRICES_MAX 10 /* as many as Stripe takes */

#define OTHERS_MAX 50 /* ended in one attempt */

#define SUBSCRIBED \
    "there is a subscription already: it is changed in the portal"

/* What session_asked answers. */
enum {
    KIND,
    PLAN,
    QUANTITY,
    SUCCESS_URL,
    CANCEL_URL,
    RETURN_URL,
    CUSTOMER,
    NAME,
    NAME_VERSION,
    PRICES,
    TRIAL_DAYS,
    LIVE, /* "t": it has subscribed meanwhile */
    COLUMNS
};

/* What session_ready answers. */
enum {
    READY,
    READY_LIVE,
    READY_OTHER, /* a page that is to be ended first */
};

enum {
    STATE_BEGIN,
    STATE_ASKED,
    STATE_CUSTOMER,
    STATE_STORED,
    STATE_PRICED,
    STATE_MADE,
    STATE_KEPT,
    STATE_EXPIRED,
    STATE_LOOKED_UP,
    STATE_CLOSED,
};

typedef struct session {
    tn_str asked[COLUMNS];
    tn_str customer;
    tn_str price;
    tn_str other; /* page that is in the way */
    unsigned others;
    unsigned anew : 1; /* Stripe is stuck */
} session;


static void
out_of_memory(tn_work *work)
{
    tn__work_fail(work, TN_STR("out of memory"), 0);
}


/* "tenon-checkout-" and an id: the same in every attempt, unless it is asked anew:
 * then this attempt's own. */
static tn_str
key_of(tn_work *work, tn_str what, tn_str id, const session *s)
{
    tn_str key, parts[5];

    parts[0] = TN_STR("tenon-");
    parts[1] = what;
    parts[2] = id;
    parts[3] = s->anew ? TN_STR("-again-") : TN_STR("");
    parts[4] = s->anew ? work->version : TN_STR("");

    return tn__cat(&key, parts, 5, work->mem) == TN_OK ? key : TN_NULL;
}


static void
post(tn_work *work, const tn__stripe_call *what, tn_str key)
{
    tn__stripe_call call = *what;

    if (key.p == NULL) {
        out_of_memory(work);
        return;
    }

    call.method = TN_STR("POST");
    call.key = key;
    tn__stripe_ask(work, &call);
}


/* Its name is what people at Stripe know it by; one that is renamed meanwhile
 * asks for another, since a key is for one request. */
static void
ask_customer(tn_work *work, const session *s)
{
    tn__stripe_param params[] = {
        { TN_STR("name"), s->asked[NAME] },
        { TN_STR("metadata[tenant_id]"), work->tale.tenant_id },
    };

    tn__stripe_call call = { .path = TN_STR("/v1/customers"),
                             .params = params,
                             .nparams = 2 };
    tn_str of, parts[3] = { work->tale.tenant_id, TN_STR("-"),
                            s->asked[NAME_VERSION] };

    if (tn__cat(&of, parts, 3, work->mem) != TN_OK) {
        out_of_memory(work);
        return;
    }

    work->state = STATE_CUSTOMER;
    post(work, &call, key_of(work, TN_STR("customer-"), of, s));
}


static void
ask_page(tn_work *work, const session *s)
{
    tn_str id = work->tale.id, tenant = work->tale.tenant_id;
    int portal = tn__eq(s->asked[KIND], TN_STR("portal"));
    const tn__stripe_param to_portal[] = {
        { TN_STR("customer"), s->customer },
        { TN_STR("return_url"), s->asked[RETURN_URL] },
    };
    const tn__stripe_param to_checkout[] = {
        { TN_STR("mode"), TN_STR("subscription") },
        { TN_STR("customer"), s->customer },
        { TN_STR("client_reference_id"), tenant },
        { TN_STR("line_items[0][price]"), s->price },
        { TN_STR("line_items[0][quantity]"), s->asked[QUANTITY] },
        { TN_STR("success_url"), s->asked[SUCCESS_URL] },
        { TN_STR("cancel_url"), s->asked[CANCEL_URL] },
        { TN_STR("metadata[tenant_id]"), tenant },
        { TN_STR("metadata[billing_session]"), id },
        { TN_STR("subscription_data[metadata][tenant_id]"), tenant },
        { TN_STR("subscription_data[trial_period_days]"),
          s->asked[TRIAL_DAYS] },
    };
    tn__stripe_call call = { .path = TN_STR("/v1/checkout/sessions"),
                             .params = to_checkout,
                             .nparams = 11 };

    if (portal) {
        call.path = TN_STR("/v1/billing_portal/sessions");
        call.params = to_portal;
        call.nparams = 2;
    }

    work->state = STATE_MADE;
    post(work, &call,
         key_of(work, portal ? TN_STR("portal-") : TN_STR("checkout-"), id, s));
}


static int
is_price_id(tn_str external_id)
{
    return tn__starts(external_id, TN_STR("price_"));
}


/* By lookup_key, which is the same in test and live; by a price's own id where
 * the plan has none. */
static void
ask_price(tn_work *work, session *s)
{
    unsigned n = 0;
    tn_str rest = s->asked[PRICES], one;
    tn__stripe_param params[PRICES_MAX + 1];
    tn__stripe_call call = { .method = TN_STR("GET"),
                             .path = TN_STR("/v1/prices"),
                             .params = params };

    while (rest.p && n < PRICES_MAX) {
        one = tn__split(&rest, '\n');

        if (is_price_id(one)) {
            s->price = s->price.p ? s->price : one;
        } else if (one.n) {
            params[n++] = (tn__stripe_param){ TN_STR("lookup_keys[]"), one };
        }
    }

    if (n) {
        params[n++] = (tn__stripe_param){ TN_STR("active"), TN_STR("true") };
        call.nparams = n;
        work->state = STATE_PRICED;
        tn__stripe_ask(work, &call);

    } else if (s->price.p) {
        ask_page(work, s);

    } else {
        tn__work_refuse(work, TN_STR("the plan is no longer sold by Stripe"));
    }
}


static void
go_on(tn_work *work, session *s)
{
    if (s->customer.p == NULL) {
        ask_customer(work, s);

    } else if (tn__eq(s->asked[KIND], TN_STR("checkout"))) {
        ask_price(work, s);

    } else {
        ask_page(work, s);
    }
}


static void
asked(tn_work *work, const tn_input *input, session *s)
{
    unsigned i;
    const tn_rows *rows;

    rows = tn__work_rows(work, input, 0);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__work_done(work);
        return;
    }

    for (i = 0; i < COLUMNS; i++) {
        if (tn__work_cell(rows, 0, i).p &&
            tn__dup(&s->asked[i], tn__work_cell(rows, 0, i), work->mem) !=
                TN_OK) {
            out_of_memory(work);
            return;
        }
    }

    if (tn__eq(s->asked[LIVE], TN_STR("t"))) {
        tn__work_refuse(work, TN_STR(SUBSCRIBED));
        return;
    }

    s->customer = s->asked[CUSTOMER];
    go_on(work, s);
}


/* Once in an attempt. */
static int
is_stuck(tn_work *work, session *s, const tn_input *input)
{
    if (s->anew || !tn__stripe_stuck(input)) {
        return 0;
    }

    s->anew = 1;
    tn__stripe_skip(work);

    return 1;
}


static void
became_customer(tn_work *work, const tn_input *input, session *s)
{
    tn_str id;
    const cJSON *customer;

    if (is_stuck(work, s, input)) {
        ask_customer(work, s);
        return;
    }

    customer = tn__stripe_answer(work, input, NULL);
    if (customer == NULL) {
        return;
    }

    id = tn__stripe_text(customer, "id");

    if (id.n == 0) {
        tn__work_fail(work, TN_STR("Stripe's customer has no id"), 0);
        return;
    }

    work->state = STATE_STORED;
    tn__work_batch(work);
    tn__work_local(work, TN_STR("customer"), id);
    tn__work_add(work, &tn__q_customer_store);
    tn__work_want_db(work);
}


static void
stored(tn_work *work, const tn_input *input, session *s)
{
    const tn_rows *rows;

    rows = tn__work_rows(work, input, 0);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__work_fail(work, TN_STR("another job made the customer just now"),
                      0);
        return;
    }

    if (tn__dup(&s->customer, tn__work_cell(rows, 0, 0), work->mem) != TN_OK) {
        out_of_memory(work);
        return;
    }

    go_on(work, s);
}


/* The first of the plan's that Stripe has. */
static void
priced(tn_work *work, const tn_input *input, session *s)
{
    unsigned i;
    tn_str rest = s->asked[PRICES], key;
    const cJSON *list, *price, *found = NULL;

    list = tn__stripe_answer(work, input, NULL);
    if (list == NULL) {
        return;
    }

    while (rest.p && found == NULL) {
        key = tn__split(&rest, '\n');

        for (i = 0; (price = tn__stripe_item(list, i)) != NULL; i++) {
            if (key.n && tn__eq(tn__stripe_text(price, "lookup_key"), key)) {
                found = price;
            }
        }
    }

    if (found) {
        s->price = tn__stripe_text(found, "id");
    }

    if (s->price.n == 0) {
        tn__work_refuse(work, TN_STR("Stripe has no active price with a "
                                     "lookup_key of the plan's"));
        return;
    }

    ask_page(work, s);
}


static void
made(tn_work *work, const tn_input *input, session *s)
{
    int64_t expires;
    const cJSON *page;
    tn_str id, url;
    int portal = tn__eq(s->asked[KIND], TN_STR("portal"));

    if (is_stuck(work, s, input)) {
        ask_page(work, s);
        return;
    }

    page = tn__stripe_answer(work, input, NULL);
    if (page == NULL) {
        return;
    }

    id = tn__stripe_text(page, "id");
    url = tn__stripe_text(page, "url");

    if (id.n == 0 || !tn__starts(url, TN_STR("https://")) ||
        !tn__stripe_int(&expires, page, portal ? "created" : "expires_at")) {
        tn__work_fail(work, TN_STR("Stripe's session has no address"), 0);
        return;
    }

    tn__work_batch(work);
    tn__work_local(work, TN_STR("external_id"), id);
    tn__work_local(work, TN_STR("url"), url);
    tn__work_local_int(work, TN_STR("expires"),
                       portal ? expires + PORTAL_TTL : expires);
    tn__work_add(work, &tn__q_session_ready);
    work->state = STATE_KEPT;
    tn__work_want_db(work);
}


/* ---- one page at a time ---- */

static void
expire(tn_work *work, session *s, tn_str other)
{
    tn__stripe_call call = { .path = TN_STR("/v1/checkout/sessions"),
                             .verb = TN_STR("expire") };

    if (s->others++ == OTHERS_MAX) {
        tn__work_fail(work, TN_STR("it has too many other pages"), 0);
        return;
    }

    if (tn__dup(&s->other, other, work->mem) != TN_OK) {
        out_of_memory(work);
        return;
    }

    call.id = s->other;
    work->state = STATE_EXPIRED;
    post(work, &call, key_of(work, TN_STR("expire-"), s->other, s));
}


/* Row i says how far the page is. */
static void
kept(tn_work *work, const tn_input *input, session *s, unsigned i)
{
    const tn_rows *rows;

    rows = tn__work_rows(work, input, i);
    if (rows == NULL) {
        return;
    }

    if (tn__eq(tn__work_cell(rows, 0, READY_LIVE), TN_STR("t"))) {
        tn__work_refuse(work, TN_STR(SUBSCRIBED));

    } else if (tn__work_cell(rows, 0, READY_OTHER).p) {
        expire(work, s, tn__work_cell(rows, 0, READY_OTHER));

    } else {
        tn__work_done(work); /* or purged meanwhile */
    }
}


/* The other page is no longer open: it was paid for this subscription, or, if
 * that is absent, never will be. */
static void
close_other(tn_work *work, session *s, tn_str subscription)
{
    work->state = STATE_CLOSED;
    tn__work_batch(work);
    tn__work_local(work, TN_STR("other"), s->other);
    tn__work_local(work, TN_STR("paid_for"), subscription);
    tn__work_add(work, &tn__q_session_over);
    tn__work_add(work, &tn__q_session_ready);
    tn__work_want_db(work);
}


static void
expired(tn_work *work, const tn_input *input, session *s)
{
    const tn_http_answer *answer = input ? input->http : NULL;
    tn__stripe_call call = { .method = TN_STR("GET"),
                             .path = TN_STR("/v1/checkout/sessions"),
                             .id = s->other };

    if (is_stuck(work, s, input)) {
        expire(work, s, s->other);

    } else if (answer && (answer->status == 400 || answer->status == 404)) {
        tn__stripe_skip(work);
        work->state = STATE_LOOKED_UP;
        tn__stripe_ask(work, &call);

    } else if (tn__stripe_answer(work, input, NULL)) {
        close_other(work, s, TN_NULL);
    }
}


static void
looked_up(tn_work *work, const tn_input *input, session *s)
{
    int missing;
    tn_str status;
    const cJSON *page = tn__stripe_answer(work, input, &missing);

    if (page == NULL && !missing) {
        return;
    }

    status = tn__stripe_text(page, "status");

    if (tn__eq(status, TN_STR("open"))) {
        tn__work_fail(work, TN_STR("another page can't be ended"), 0);

    } else {
        close_other(work, s, tn__stripe_ref(page, "subscription"));
    }
}


static void
closed(tn_work *work, const tn_input *input, session *s)
{
    const tn_rows *rows;

    rows = tn__work_rows(work, input, 0);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__work_fail(work,
                      TN_STR("another page was paid just now; the "
                             "subscription isn't known here yet"),
                      0);
        return;
    }

    kept(work, input, s, 1);
}


static void
begin(tn_work *work)
{
    work->data = tn__zalloc(work->mem, sizeof(session));
    if (work->data == NULL) {
        out_of_memory(work);
        return;
    }

    work->state = STATE_ASKED;
    tn__work_batch(work);
    tn__work_add(work, &tn__q_session_asked);
    tn__work_want_db(work);
}


static void
step(tn_work *work, const tn_input *input)
{
    switch (work->state) {
    case STATE_BEGIN:
        begin(work);
        break;
    case STATE_ASKED:
        asked(work, input, work->data);
        break;
    case STATE_CUSTOMER:
        became_customer(work, input, work->data);
        break;
    case STATE_STORED:
        stored(work, input, work->data);
        break;
    case STATE_PRICED:
        priced(work, input, work->data);
        break;
    case STATE_MADE:
        made(work, input, work->data);
        break;
    case STATE_KEPT:
        kept(work, input, work->data, 0);
        break;
    case STATE_EXPIRED:
        expired(work, input, work->data);
        break;
    case STATE_LOOKED_UP:
        looked_up(work, input, work->data);
        break;
    case STATE_CLOSED:
        closed(work, input, work->data);
        break;
    default:
        break;
    }
}


const tn__work_kind tn__checkout_kind = {
    .kind = TN_STR_C("stripe.checkout"),
    .step = step,
    .attempts = ATTEMPTS,
};

const tn__work_kind tn__portal_kind = {
    .kind = TN_STR_C("stripe.portal"),
    .step = step,
    .attempts = ATTEMPTS,
};
