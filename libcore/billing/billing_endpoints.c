/*
 * billing_endpoints.c: what owners see of plans and of their own, what all see
 * of what that allows, and what the platform grants a tenant besides. Served
 * whatever is owed: it is how one pays, and how a frontend knows.
 */

#include "libcore/billing/billing.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define BODY_MAX 16384

#define NAME_PATTERN "^[a-z][a-z0-9_.]{0,62}\\z"


static const tn__field feature_items[] = {
    { .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .update = 1,
      .pattern = NAME_PATTERN,
      .example = TN_STR_C("\"exports\"") },
};

static const tn_str limit_periods[] = {
    TN_STR_C("minute"),
    TN_STR_C("hour"),
    TN_STR_C("day"),
    TN_STR_C("month"),
};

#define LIMIT_NAME                                                 \
    {                                                              \
        .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1, \
        .create = 1, .required = 1, .pattern = NAME_PATTERN,       \
        .example = TN_STR_C("\"seats\"")                           \
    }
#define LIMIT_AMOUNT(of, words)                                            \
    {                                                                      \
        .name = TN_STR_C(of), .type = TN__TYPE_INT, .out = 1, .create = 1, \
        .nullable = 1, .has_min = 1, .min = 0, .about = TN_STR_C(words)    \
    }
#define LIMIT_SOFT LIMIT_AMOUNT("soft", "What is beyond it is told of")
#define LIMIT_HARD LIMIT_AMOUNT("hard", "What is beyond it is refused")
#define LIMIT_PERIOD                                                         \
    {                                                                        \
        .name = TN_STR_C("period"), .type = TN__TYPE_TEXT, .out = 1,         \
        .nullable = 1, .set = limit_periods, .nset = COUNT(limit_periods),   \
        .about = TN_STR_C("In which it is counted; null: it is on how many " \
                          "there are")                                       \
    }

/* Of a plan. */
static const tn__field limit_fields[] = {
    LIMIT_NAME,
    LIMIT_SOFT,
    LIMIT_HARD,
    LIMIT_PERIOD,
    { .name = TN_STR_C("per_quantity"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .about = TN_STR_C("There is so much of it for each that the "
                        "subscription has (quantity)") },
    { .name = TN_STR_C("overage_amount"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("What overage_units more than the soft limit cost, in "
                        "minor units") },
    { .name = TN_STR_C("overage_units"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1 },
};

/* Of a tenant. */
static const tn__field usage_fields[] = {
    LIMIT_NAME,
    LIMIT_SOFT,
    LIMIT_HARD,
    LIMIT_PERIOD,
    { .name = TN_STR_C("used"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("Up to now; null: it isn't counted here") },
};

/* Of an override. */
static const tn__field override_limit_fields[] = {
    LIMIT_NAME,
    LIMIT_SOFT,
    LIMIT_HARD,
};


static const tn_str plan_periods[] = { TN_STR_C("month"), TN_STR_C("year") };

static const tn__field plan_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"pro\"") },
    { .name = TN_STR_C("position"),
      .type = TN__TYPE_INT,
      .out = 1,
      .sort = 1,
      .about = TN_STR_C("In which order plans are shown") },
    { .name = TN_STR_C("title"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"Pro\"") },
    { .name = TN_STR_C("amount"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("In minor units, a period; null: by agreement, or "
                        "nothing") },
    { .name = TN_STR_C("currency"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .example = TN_STR_C("\"USD\"") },
    { .name = TN_STR_C("period"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = plan_periods,
      .nset = COUNT(plan_periods) },
    { .name = TN_STR_C("trial_days"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("How long it can be tried; null: not at all") },
    { .name = TN_STR_C("trial_at_signup"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .about = TN_STR_C("A new organization begins with that trial; a checkout "
                        "gives none") },
    { .name = TN_STR_C("purchasable"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .about = TN_STR_C("It has a price of Stripe's: a checkout can be asked "
                        "for") },
    { .name = TN_STR_C("features"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = feature_items,
      .nfields = COUNT(feature_items) },
    { .name = TN_STR_C("limits"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = limit_fields,
      .nfields = COUNT(limit_fields),
      .about = TN_STR_C("Of what isn't named there is no limit") },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
};

/* The same for every tenant. */
static const tn__resource plan = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("billing"),
    .full_name = TN_STR_C("tenon.billing"),
    .noun = TN_STR_C("Plan"),
    .relation = TN_STR_C("(select :tenant::uuid as tenant_id, p.*"
                         " from tenon.plan_view p)"),
    .order = TN_STR_C("position"),
    .owner = TN_STR_C("id"),
    .fields = plan_fields,
    .nfields = COUNT(plan_fields),
};


static const tn_str entitlements[] = {
    TN_STR_C("none"),  TN_STR_C("trial"),     TN_STR_C("full"),
    TN_STR_C("grace"), TN_STR_C("read_only"), TN_STR_C("suspended"),
};

#define PLAN_NAME                                                          \
    {                                                                      \
        .name = TN_STR_C("plan"), .type = TN__TYPE_TEXT, .out = 1,         \
        .nullable = 1, .drifts = 1,                                        \
        .about = TN_STR_C("Whose features and limits hold; null: nothing " \
                          "is billed here"),                               \
        .example = TN_STR_C("\"pro\"")                                     \
    }
#define ENTITLEMENT                                                         \
    {                                                                       \
        .name = TN_STR_C("entitlement"), .type = TN__TYPE_TEXT, .out = 1,   \
        .drifts = 1, .set = entitlements, .nset = COUNT(entitlements),      \
        .about = TN_STR_C("grace: all is served though money is due; then " \
                          "read_only, then suspended")                      \
    }
#define CHANGES_AT(of)                                                        \
    {                                                                         \
        .name = TN_STR_C(of), .type = TN__TYPE_TIME, .out = 1, .nullable = 1, \
        .drifts = 1,                                                          \
        .about = TN_STR_C("When it does, if nothing else happens; null: "     \
                          "never")                                            \
    }

static const tn__field subscription_fields[] = {
    { .name = TN_STR_C("id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1,
      .drifts = 1,
      .about = TN_STR_C("null: nothing was ever subscribed to") },
    PLAN_NAME,
    ENTITLEMENT,
    CHANGES_AT("entitlement_changes_at"),
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .drifts = 1,
      .about = TN_STR_C("The provider's word: Stripe's incomplete, "
                        "incomplete_expired, trialing, active, past_due, "
                        "unpaid, paused, canceled, or another one"),
      .example = TN_STR_C("\"active\"") },
    { .name = TN_STR_C("subscribed_plan"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("What it is a subscription to: not the plan, once it "
                        "is canceled"),
      .example = TN_STR_C("\"pro\"") },
    { .name = TN_STR_C("provider"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .example = TN_STR_C("\"stripe\"") },
    { .name = TN_STR_C("quantity"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("owing_since"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("trial_ends_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("current_period_start"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("current_period_end"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("cancel_at_period_end"),
      .type = TN__TYPE_BOOL,
      .out = 1 },
    { .name = TN_STR_C("cancel_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("When it will end, if that was said for a time") },
    { .name = TN_STR_C("canceled_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("When somebody said that it ends; it may go on until "
                        "then") },
    { .name = TN_STR_C("ended_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("updated_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
};

static const tn__field entitlement_fields[] = {
    PLAN_NAME,
    ENTITLEMENT,
    CHANGES_AT("changes_at"),
    { .name = TN_STR_C("features"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .drifts = 1,
      .fields = feature_items,
      .nfields = COUNT(feature_items) },
    { .name = TN_STR_C("limits"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .drifts = 1,
      .fields = usage_fields,
      .nfields = COUNT(usage_fields) },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
};


#define OVERRIDE_LIST(of, words)                                           \
    {                                                                      \
        .name = TN_STR_C(of), .type = TN__TYPE_JSON, .out = 1, .array = 1, \
        .create = 1, .update = 1, .has_max = 1, .max = 64,                 \
        .fields = feature_items, .nfields = COUNT(feature_items),          \
        .about = TN_STR_C(words)                                           \
    }

/* plan_override_update knows their places by :mask. */
static const tn__field override_fields[] = {
    { .name = TN_STR_C("id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .about = TN_STR_C("The tenant's") },
    { .name = TN_STR_C("plan"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .update = 1,
      .nullable = 1,
      .has_max = 1,
      .max = 63,
      .about = TN_STR_C("Instead of what it subscribes to; null: that"),
      .example = TN_STR_C("\"enterprise\"") },
    OVERRIDE_LIST("features_added", "That its plan doesn't have"),
    OVERRIDE_LIST("features_removed", "That its plan has"),
    { .name = TN_STR_C("limits"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .create = 1,
      .update = 1,
      .has_max = 1,
      .max = 64,
      .fields = override_limit_fields,
      .nfields = COUNT(override_limit_fields),
      .about = TN_STR_C("Instead of the plan's of that name; neither soft nor "
                        "hard: no limit") },
    { .name = TN_STR_C("ends_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .update = 1,
      .nullable = 1,
      .about = TN_STR_C("From then on none of it holds; null: without end") },
    { .name = TN_STR_C("reason"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .update = 1,
      .nullable = 1,
      .has_max = 1,
      .max = 1000,
      .example = TN_STR_C("\"contract 4711\"") },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
};

static const tn__resource plan_override = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("platform"),
    .full_name = TN_STR_C("tenon.platform"),
    .noun = TN_STR_C("PlanOverride"),
    .path = TN_STR_C("platform/tenants"),
    .relation = TN_STR_C("tenon.plan_override_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = override_fields,
    .nfields = COUNT(override_fields),
};


static void
bind_plan(tn_op *op, const tn_input *input)
{
    char *at;
    tn_str until;

    (void) input;
    until = TN_NULL;

    if (op->plan->until != TN__NEVER) {
        at = tn__alloc(op->mem, TN__TIME_TEXT);
        if (at == NULL) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }

        tn__time_format(at, op->plan->until);
        until = (tn_str){ at, TN__TIME_TEXT };
    }

    tn__local(op, TN_STR("plan_name"),
              op->plan->name.n ? op->plan->name : TN_NULL);
    tn__local(op, TN_STR("entitlement"), tn__entitled_name(op->plan->entitled));
    tn__local(op, TN_STR("changes_at"), until);
    tn__local(op, TN_STR("subscription"),
              op->plan->subscription[0]
                  ? (tn_str){ op->plan->subscription, TN__UUID_TEXT }
                  : TN_NULL);
}


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listPlans"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/billing/plans"),
      .permission_name = "tenon.billing:read",
      .action = TN_STR_C("billing.plans_listed"),
      .summary = TN_STR_C("List the plans that can be subscribed to"),
      .kind = TN__KIND_LIST,
      .resource = &plan,
      .unpaid = 1 },
    { .operation = TN_STR_C("getSubscription"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/billing/subscription"),
      .permission_name = "tenon.billing:read",
      .action = TN_STR_C("billing.subscription_read"),
      .summary = TN_STR_C("Read what the organization subscribes to, and what "
                          "that entitles it to"),
      .noun = TN_STR_C("Subscription"),
      .kind = TN__KIND_READ,
      .step = bind_plan,
      .stmt = &tn__q_billing_subscription,
      .output = subscription_fields,
      .noutput = COUNT(subscription_fields),
      .unpaid = 1 },
    { .operation = TN_STR_C("getEntitlements"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/billing/entitlements"),
      .permission_name = "tenon.tenant:read",
      .action = TN_STR_C("billing.entitlements_read"),
      .summary = TN_STR_C("Read the features and limits of the "
                          "organization's plan"),
      .noun = TN_STR_C("Entitlements"),
      .kind = TN__KIND_READ,
      .step = bind_plan,
      .stmt = &tn__q_billing_entitlements,
      .output = entitlement_fields,
      .noutput = COUNT(entitlement_fields),
      .unpaid = 1 },
    { .operation = TN_STR_C("getPlanOverride"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/platform/tenants/{id}/billing"),
      .permission_name = "tenon.platform:read",
      .action = TN_STR_C("platform.billing_read"),
      .summary = TN_STR_C("Read what a tenant is granted besides its plan"),
      .kind = TN__KIND_READ,
      .resource = &plan_override },
    { .operation = TN_STR_C("updatePlanOverride"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/platform/tenants/{id}/billing"),
      .permission_name = "tenon.platform:update",
      .action = TN_STR_C("plan_override.updated"),
      .summary = TN_STR_C("Grant a tenant a plan, features or limits"),
      .kind = TN__KIND_WRITE,
      .resource = &plan_override,
      .stmt = &tn__q_plan_override_update,
      .input = override_fields,
      .ninput = COUNT(override_fields),
      .output = override_fields,
      .noutput = COUNT(override_fields),
      .body_max = BODY_MAX,
      .changes_access = 1,
      .of_tenant = 1,
      .by_person = 1 },
};

const tn__slice tn__billing_slice = { endpoints, COUNT(endpoints) };
