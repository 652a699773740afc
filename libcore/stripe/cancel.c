/*
 * cancel.c: the kind "stripe.cancel": what a tenant that was deleted subscribes
 * to ends with what is paid for, and it can subscribe to nothing more. What has
 * become of a subscription by that is told by an event, as ever.
 *
 *     DB    subscriptions that go on, pages that are open     none: done
 *     HTTP  POST /v1/subscriptions/{id}, or …/expire          one after the other
 *     DB    done
 *
 * Asked twice, neither does anything more.
 */

#include "libcore/stripe/stripe.h"
#include "gen/queries.h"

/* What stripe_cancel_asked answers. */
enum {
    WHAT,
    EXTERNAL_ID,
    COLUMNS
};

enum {
    STATE_BEGIN,
    STATE_FOUND,
    STATE_ASKED,
};

typedef struct cancel {
    tn_str (*things)[COLUMNS];
    unsigned n;
    unsigned next;
} cancel;


static void
out_of_memory(tn_work *work)
{
    tn__work_fail(work, TN_STR("out of memory"), 0);
}


static int
is_page(const tn_str *thing)
{
    return tn__eq(thing[WHAT], TN_STR("page"));
}


static void
ask_next(tn_work *work, cancel *c)
{
    const tn_str *thing;
    tn_str parts[2] = { TN_STR("tenon-cancel-"), TN_NULL };
    static const tn__stripe_param params[] = {
        { TN_STR_C("cancel_at_period_end"), TN_STR_C("true") },
    };
    tn__stripe_call call = { .method = TN_STR("POST"),
                             .path = TN_STR("/v1/subscriptions"),
                             .params = params,
                             .nparams = 1 };

    if (c->next == c->n) {
        tn__work_done(work);
        return;
    }

    thing = c->things[c->next++];
    call.id = parts[1] = thing[EXTERNAL_ID];

    if (is_page(thing)) {
        call.path = TN_STR("/v1/checkout/sessions");
        call.verb = TN_STR("expire");
        call.nparams = 0;
    }

    if (tn__cat(&call.key, parts, 2, work->mem) != TN_OK) {
        out_of_memory(work);
        return;
    }

    tn__stripe_ask(work, &call);
}


static void
find(tn_work *work)
{
    work->data = tn__zalloc(work->mem, sizeof(cancel));
    if (work->data == NULL) {
        out_of_memory(work);
        return;
    }

    work->state = STATE_FOUND;
    tn__work_batch(work);
    tn__work_add(work, &tn__q_stripe_cancel_asked);
    tn__work_want_db(work);
}


static void
found(tn_work *work, const tn_input *input, cancel *c)
{
    unsigned i, j;
    const tn_rows *rows;

    rows = tn__work_rows(work, input, 0);
    if (rows == NULL) {
        return;
    }

    c->things = tn__alloc(work->mem, (rows->nrows + 1) * sizeof(c->things[0]));
    if (c->things == NULL) {
        out_of_memory(work);
        return;
    }

    for (i = 0; i < rows->nrows; i++) {
        for (j = 0; j < COLUMNS; j++) {
            if (tn__dup(&c->things[i][j], tn__work_cell(rows, i, j),
                        work->mem) != TN_OK) {
                out_of_memory(work);
                return;
            }
        }
    }

    c->n = rows->nrows;
    work->state = STATE_ASKED;
    ask_next(work, c);
}


/* What Stripe no longer has goes on no more; a page that can't be ended is over,
 * or was paid, and then its subscription has a job of its own. */
static void
asked(tn_work *work, const tn_input *input, cancel *c)
{
    int missing;
    const tn_http_answer *answer = input ? input->http : NULL;

    if (answer && answer->status == 400 && is_page(c->things[c->next - 1])) {
        tn__stripe_skip(work);
        ask_next(work, c);

    } else if (tn__stripe_answer(work, input, &missing) || missing) {
        ask_next(work, c);
    }
}


static void
step(tn_work *work, const tn_input *input)
{
    switch (work->state) {
    case STATE_BEGIN:
        find(work);
        break;
    case STATE_FOUND:
        found(work, input, work->data);
        break;
    case STATE_ASKED:
        asked(work, input, work->data);
        break;
    default:
        break;
    }
}


const tn__work_kind tn__cancel_kind = {
    .kind = TN_STR_C("stripe.cancel"),
    .step = step,
    .attempts = 20,
};
