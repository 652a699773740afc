/*
 * inbound.c: events that others send in. Verified over the bytes as they came,
 * before anything reads them; stored together with the job that will work on
 * them; answered once that is committed. What is in an event is not looked at
 * here, but for what tells it from others.
 *
 * Senders repeat what they weren't told was taken, and more: an event of an id
 * that is there already is taken, and nothing is done.
 */

#include "libcore/webhook/webhook.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* Whose events these are. */
#define PLATFORM_TENANT "00000000-0000-7000-8000-000000000002"
#define SHARED_REALM    "00000000-0000-7000-8000-000000000001"

#define BODY_MAX 262144 /* bytes */
#define NAME_MAX 255    /* characters of an id or a type */


static void
as_platform(tn_op *op)
{
    op->tenant.id = TN_STR(PLATFORM_TENANT);
    op->tenant.realm = TN_STR(SHARED_REALM);
    op->tenant.slug = TN_STR("platform");
}


static int
is_signed(tn_op *op, const tn_webhook_secrets *secrets)
{
    tn_webhook_verdict verdict;
    static const char *const why[] = {
        [TN_WEBHOOK_UNSIGNED] = "There is no header that signs the body, or "
                                "there are two.",
        [TN_WEBHOOK_MALFORMED] = "The header that signs the body is not as it "
                                 "should be.",
        [TN_WEBHOOK_STALE] = "The signature is of more than 5 minutes ago, or "
                             "ahead: are both clocks right?",
        [TN_WEBHOOK_FORGED] = "The signature is of another body, or made with "
                              "another secret than is known here.",
    };

    if (secrets->n == 0) {
        tn__fail(op, TN_E_NOT_FOUND,
                 "No secret is known here: tenon_inbound names its file.");
        return 0;
    }

    if (tn_webhook_verify(&verdict, secrets, op->request->headers,
                          op->request->nheaders, op->raw, op->request->now,
                          op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    if (verdict != TN_WEBHOOK_GOOD) {
        op->stranger.action = TN_STR("inbound.signature_refused");
        tn__fail(op, TN_E_SIGNATURE_REFUSED, why[verdict]);
        return 0;
    }

    return 1;
}


/* A member that every event has, as text. */
static tn_str
name_of(tn_op *op, const char *member)
{
    tn_str name, text;
    const cJSON *node;

    name = (tn_str){ member, strlen(member) };
    node = cJSON_GetObjectItemCaseSensitive(op->body, member);
    text = TN_NULL;

    if (node == NULL) {
        tn__fault_field(op, name, TN_F_REQUIRED, NULL);

    } else if (!cJSON_IsString(node)) {
        tn__fault_field(op, name, TN_F_WRONG_TYPE, "must be text");

    } else {
        text = (tn_str){ node->valuestring, strlen(node->valuestring) };

        if (text.n == 0) {
            tn__fault_field(op, name, TN_F_TOO_SHORT, NULL);

        } else if (tn__utf8_length(text) > NAME_MAX) {
            tn__fault_field(op, name, TN_F_TOO_LONG, NULL);
        }
    }

    return text;
}


/* Who signed it can't be told here what is wrong, so an operator is. */
static void
unreadable(tn_op *op)
{
    op->stranger.action = TN_STR("inbound.unreadable");
    tn__log(op, TN_STR("an event with a good signature is not as it should "
                       "be, and isn't taken"));
}


static int
is_readable(tn_op *op)
{
    if (!tn__request_json(op, op->raw)) {
        if (op->error == TN_E_MALFORMED_JSON) {
            unreadable(op);
        }
        return 0;
    }

    if (!cJSON_IsObject(op->body)) {
        tn__fault(op, TN_STR(""), TN_F_WRONG_TYPE, "must be an object");

    } else {
        tn__local(op, TN_STR("external_id"), name_of(op, "id"));
        tn__local(op, TN_STR("type"), name_of(op, "type"));
    }

    if (op->nfaults) {
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        unreadable(op);
        return 0;
    }

    return 1;
}


static void
store(tn_op *op, tn_str provider, tn_str job)
{
    tn_str body;

    if (tn__dup(&body, op->raw, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__local(op, TN_STR("inbound_id"), tn__new_id(op));
    tn__local(op, TN_STR("job_id"), tn__new_id(op));
    tn__local(op, TN_STR("provider"), provider);
    tn__local(op, TN_STR("job"), job);
    tn__local(op, TN_STR("body"), body);

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_inbound_store);
    tn__want_db(op);
}


static void
receive_stripe(tn_op *op, const tn_input *input)
{
    if (op->state++) {
        if (tn__rows(op, input, 1)) {
            tn__respond(op, 204, TN_NULL);
        }
        return;
    }

    as_platform(op);

    if (is_signed(op, &op->core->conf.stripe) && is_readable(op)) {
        store(op, TN_STR("stripe"), TN_STR("stripe.event"));
    }
}


static const tn_err receive_errors[] = { TN_E_SIGNATURE_REFUSED,
                                         TN_E_NOT_FOUND };

static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("receiveStripeEvent"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/inbound/stripe"),
      .permission_name = "public",
      .summary = TN_STR_C("Take an event that Stripe has signed"),
      .kind = TN__KIND_STEP,
      .step = receive_stripe,
      .tenantless = 1,
      .base_domain = 1,
      .signature = TN_STR_C("Stripe-Signature"),
      .action = TN_STR_C("inbound.received"),
      .errors = receive_errors,
      .nerrors = COUNT(receive_errors),
      .status = 204,
      .unkeyed = 1,
      .body_max = BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
};

const tn__slice tn__inbound_slice = { endpoints, COUNT(endpoints) };
