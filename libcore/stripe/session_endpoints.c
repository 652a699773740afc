/*
 * session_endpoints.c: pages of Stripe's that an owner asks for: a checkout, to
 * subscribe to a plan, and the portal, to see to what is paid. Each is asked for
 * here and made by a job (session.c); its address is read where Location says.
 *
 * Stripe sends the browser back to where the owner says. That is somewhere of
 * this organization's or the operator's, lest a page that somebody was lured to
 * pay on leads on to a stranger's.
 */

#include "libcore/stripe/stripe.h"
#include "libcore/http/http.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define BODY_MAX 16384
#define URL_MAX  2000
#define SEATS    100000

/* No user, no white space; a port if one likes. */
#define URL_PATTERN                                            \
    "^https?://(?:[A-Za-z0-9-]+\\.)*[A-Za-z0-9-]+(?::[0-9]+)?" \
    "(?:[/?#][\\x21-\\x5b\\x5d-\\x7e]*)?\\z"

static const tn_str statuses[] = { TN_STR_C("pending"), TN_STR_C("ready"),
                                   TN_STR_C("expired"), TN_STR_C("failed") };

#define BACK(of, words)                                                      \
    {                                                                        \
        .name = TN_STR_C(of), .type = TN__TYPE_TEXT, .out = 1, .create = 1,  \
        .required = 1, .has_max = 1, .max = URL_MAX, .pattern = URL_PATTERN, \
        .about = TN_STR_C(words),                                            \
        .example = TN_STR_C("\"https://acme.tenon.example/billing\"")        \
    }

/* What comes of it. */
#define OUTCOME                                                                \
    { .name = TN_STR_C("status"),                                              \
      .type = TN__TYPE_TEXT,                                                   \
      .out = 1,                                                                \
      .drifts = 1,                                                             \
      .set = statuses,                                                         \
      .nset = COUNT(statuses),                                                 \
      .about = TN_STR_C("pending: read it again in a second") },               \
        { .name = TN_STR_C("url"),                                             \
          .type = TN__TYPE_TEXT,                                               \
          .out = 1,                                                            \
          .nullable = 1,                                                       \
          .drifts = 1,                                                         \
          .about = TN_STR_C("Once it is ready: where to send the owner's "     \
                            "browser, and nobody else's") },                   \
        { .name = TN_STR_C("expires_at"),                                      \
          .type = TN__TYPE_TIME,                                               \
          .out = 1,                                                            \
          .nullable = 1,                                                       \
          .about = TN_STR_C("From then on it leads nowhere") },                \
        { .name = TN_STR_C("error"),                                           \
          .type = TN__TYPE_TEXT,                                               \
          .out = 1,                                                            \
          .nullable = 1,                                                       \
          .drifts = 1,                                                         \
          .about = TN_STR_C("Why it failed, or, while it is pending, why the " \
                            "last attempt did") },                             \
        { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },       \
        { .name = TN_STR_C("created_at"), .type = TN__TYPE_TIME, .out = 1 },   \
    {                                                                          \
        .name = TN_STR_C("created_by"), .type = TN__TYPE_UUID, .out = 1,       \
        .nullable = 1                                                          \
    }

static const tn__field checkout_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("plan"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .has_max = 1,
      .max = 63,
      .about = TN_STR_C("Of GET /v1/billing/plans, one that is purchasable"),
      .example = TN_STR_C("\"pro\"") },
    { .name = TN_STR_C("quantity"),
      .type = TN__TYPE_INT,
      .out = 1,
      .create = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = SEATS,
      .about = TN_STR_C("How often its price is paid; 1 unless given"),
      .example = TN_STR_C("1") },
    BACK("success_url", "Where who has paid is sent to; Stripe puts its id in "
                        "the place of {CHECKOUT_SESSION_ID}"),
    BACK("cancel_url", "Where who goes back is sent to"),
    OUTCOME,
};

static const tn__field portal_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    BACK("return_url", "Where who is done is sent to"),
    OUTCOME,
};

/* Whoever may begin one may read it: its address is a key to what is paid. */
static const tn__resource checkout = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("billing"),
    .full_name = TN_STR_C("tenon.billing_session"),
    .noun = TN_STR_C("CheckoutSession"),
    .path = TN_STR_C("billing/checkout-sessions"),
    .relation = TN_STR_C("tenon.checkout_session_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = checkout_fields,
    .nfields = COUNT(checkout_fields),
};

static const tn__resource portal = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("billing"),
    .full_name = TN_STR_C("tenon.billing_session"),
    .noun = TN_STR_C("PortalSession"),
    .path = TN_STR_C("billing/portal-sessions"),
    .relation = TN_STR_C("tenon.portal_session_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = portal_fields,
    .nfields = COUNT(portal_fields),
};


/* The host of what the pattern has let pass, in lower case, without a port; and
 * in *origin all that is in front of the path. */
static tn_str
host_of(tn_op *op, tn_str *origin, tn_str url)
{
    size_t i, from, to;
    char *lower;

    for (from = 0; url.p[from] != '/'; from++) {
        /* behind "https:" */
    }

    from += 2;

    for (to = from; to < url.n && !memchr("/?#", url.p[to], 3); to++) {
        /* to the path */
    }

    *origin = tn__sub(url, 0, to);

    for (i = from; i < to && url.p[i] != ':'; i++) {
        /* to the port */
    }

    to = i;
    lower = tn__alloc(op->mem, to - from + 1);
    if (lower == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return TN_NULL;
    }

    for (i = from; i < to; i++) {
        lower[i - from] = url.p[i] >= 'A' && url.p[i] <= 'Z'
                              ? (char) (url.p[i] + ('a' - 'A'))
                              : url.p[i];
    }

    return (tn_str){ lower, to - from };
}


/* An origin whose pages may read answers is one that the operator trusts;
 * "anybody's" is no such word. */
static int
is_trusted(const tn_core *core, tn_str origin)
{
    tn_str rest = core->cors_origins;

    while (rest.p) {
        if (tn__eq(tn__split(&rest, ' '), origin)) {
            return 1;
        }
    }

    return 0;
}


/* "localhost" itself, what is below it, and the address. */
static int
is_loopback(tn_str host)
{
    return tn__host_is_ours(host, TN_STR("localhost")) ||
           tn__eq(host, TN_STR("127.0.0.1"));
}


/* What is left to be asked of a host: absent when it may be led to, empty when it
 * may not, else whether it is a domain of the tenant's. */
static tn_str
to_ask(tn_op *op, tn_str url)
{
    tn_str base, host, origin, slug;

    base = op->core->base_domain;
    slug = op->tenant.slug;
    host = host_of(op, &origin, url);

    if (host.p == NULL || is_trusted(op->core, origin)) {
        return TN_NULL;
    }

    /* on a developer's machine */
    if (is_loopback(host) && is_loopback(base)) {
        return TN_NULL;
    }

    if (!tn__starts(url, TN_STR("https:"))) {
        return TN_STR("");
    }

    if (!tn__host_is_ours(host, base)) {
        return host;
    }

    /* below the base domain are other tenants, too */
    if (host.n == base.n || (host.n == slug.n + 1 + base.n &&
                             tn__eqi(tn__sub(host, 0, slug.n), slug))) {
        return TN_NULL;
    }

    return TN_STR("");
}


/* "success_url" is asked about as :success_host, and so on. */
static void
bind_hosts(tn_op *op, const tn_input *input)
{
    unsigned i;
    tn_str name, asked, parts[2];
    const tn__endpoint *e = op->endpoint;

    (void) input;

    for (i = 0; i < e->ninput; i++) {
        name = e->input[i].name;

        if (!e->input[i].create || name.n < 4 ||
            !tn__eq(tn__sub(name, name.n - 4, name.n), TN_STR("_url"))) {
            continue;
        }

        parts[0] = tn__sub(name, 0, name.n - 4);
        parts[1] = TN_STR("_host");

        if (tn__cat(&asked, parts, 2, op->mem) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }

        tn__local(op, asked, to_ask(op, op->values[i]));
    }
}


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("createCheckoutSession"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/billing/checkout-sessions"),
      .permission_name = "tenon.billing:update",
      .action = TN_STR_C("billing_session.created"),
      .summary = TN_STR_C("Ask for a page on which a plan is subscribed to"),
      .kind = TN__KIND_WRITE,
      .resource = &checkout,
      .step = bind_hosts,
      .stmt = &tn__q_checkout_create,
      .input = checkout_fields,
      .ninput = COUNT(checkout_fields),
      .output = checkout_fields,
      .noutput = COUNT(checkout_fields),
      .body_max = BODY_MAX,
      .status = 202,
      .unpaid = 1,
      .by_person = 1 },
    { .operation = TN_STR_C("getCheckoutSession"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/billing/checkout-sessions/{id}"),
      .permission_name = "tenon.billing:update",
      .action = TN_STR_C("billing_session.read"),
      .summary = TN_STR_C("Read whether it is ready, and where it is"),
      .kind = TN__KIND_READ,
      .resource = &checkout,
      .cache_control = TN_STR_C("no-store"),
      .unpaid = 1,
      .by_person = 1 },
    { .operation = TN_STR_C("createPortalSession"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/billing/portal-sessions"),
      .permission_name = "tenon.billing:update",
      .action = TN_STR_C("billing_session.created"),
      .summary = TN_STR_C("Ask for a page on which payment, invoices and the "
                          "subscription are seen to"),
      .kind = TN__KIND_WRITE,
      .resource = &portal,
      .step = bind_hosts,
      .stmt = &tn__q_portal_create,
      .input = portal_fields,
      .ninput = COUNT(portal_fields),
      .output = portal_fields,
      .noutput = COUNT(portal_fields),
      .body_max = BODY_MAX,
      .status = 202,
      .unpaid = 1,
      .by_person = 1 },
    { .operation = TN_STR_C("getPortalSession"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/billing/portal-sessions/{id}"),
      .permission_name = "tenon.billing:update",
      .action = TN_STR_C("billing_session.read"),
      .summary = TN_STR_C("Read whether it is ready, and where it is"),
      .kind = TN__KIND_READ,
      .resource = &portal,
      .cache_control = TN_STR_C("no-store"),
      .unpaid = 1,
      .by_person = 1 },
};

const tn__slice tn__billing_sessions_slice = { endpoints, COUNT(endpoints) };
