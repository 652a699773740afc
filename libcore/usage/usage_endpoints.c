/*
 * usage_endpoints.c: what a tenant has used of each meter, in the periods in
 * which it is counted; and events of use, reported by programs. Served whatever
 * is owed, for what was used is owed for, too; but a call like any other, and
 * who has no plan that is paid reports a bounded number of events a day.
 *
 * Whether events are right, were there before, and fit into the plan is
 * tenon.record_usage()'s to say (schema/migrations/0031_usage_events.sql): it
 * sees what others record meanwhile.
 */

#include "libcore/usage/usage.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define EVENTS_MAX   100
#define QUANTITY_MAX 1000000000000
#define BODY_MAX     65536

/* A day, of who isn't entitled to anything: each is a row that stays. */
#define UNENTITLED_MAX 10000

#define METER_PATTERN "^[a-z][a-z0-9_.]{0,62}\\z"


#define EVENT_METER                                                        \
    {                                                                      \
        .name = TN_STR_C("meter"), .type = TN__TYPE_TEXT, .out = 1,        \
        .create = 1, .required = 1, .filter = 1, .pattern = METER_PATTERN, \
        .about = TN_STR_C("What is used"),                                 \
        .example = TN_STR_C("\"minutes_processed\"")                       \
    }
#define EVENT_QUANTITY                                                        \
    {                                                                         \
        .name = TN_STR_C("quantity"), .type = TN__TYPE_INT, .out = 1,         \
        .create = 1, .has_min = 1, .min = 0, .has_max = 1,                    \
        .max = QUANTITY_MAX,                                                  \
        .about = TN_STR_C("How much. Of a meter that is a sum 1 where it is " \
                          "left out; of one that counts events or values "    \
                          "always 1, and left out"),                          \
        .example = TN_STR_C("3")                                              \
    }
#define EVENT_VALUE                                                            \
    {                                                                          \
        .name = TN_STR_C("value"), .type = TN__TYPE_TEXT, .out = 1,            \
        .create = 1, .nullable = 1, .has_min = 1, .min = 1, .has_max = 1,      \
        .max = 255,                                                            \
        .about = TN_STR_C("Which one, of a meter that counts the values that " \
                          "differ"),                                           \
        .example = TN_STR_C("null")                                            \
    }
#define EVENT_AT                                                              \
    {                                                                         \
        .name = TN_STR_C("at"), .type = TN__TYPE_TIME, .out = 1, .create = 1, \
        .about = TN_STR_C("When; left out: now. Not more than 35 days ago, "  \
                          "nor before the organization was made, nor more "   \
                          "than 5 minutes ahead")                             \
    }

static const tn__field event_items[] = {
    { .name = TN_STR_C("id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .create = 1,
      .required = 1,
      .about = TN_STR_C("Given by who reports it: what has the id of one that "
                        "is there is that one, and counts once") },
    EVENT_METER,
    EVENT_QUANTITY,
    EVENT_VALUE,
    EVENT_AT,
    { .name = TN_STR_C("created_at"), .type = TN__TYPE_TIME, .out = 1 },
};

static const tn__field batch_fields[] = {
    { .name = TN_STR_C("events"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .create = 1,
      .required = 1,
      .array = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = EVENTS_MAX,
      .fields = event_items,
      .nfields = COUNT(event_items),
      .about = TN_STR_C("In any order; all of them are recorded, or none") },
};

static const tn__field event_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    EVENT_METER,
    EVENT_QUANTITY,
    EVENT_VALUE,
    EVENT_AT,
    { .name = TN_STR_C("resource"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("Of what a write has recorded: the resource"),
      .example = TN_STR_C("\"teamos.task\"") },
    { .name = TN_STR_C("resource_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("And its row") },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
    { .name = TN_STR_C("created_by"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1 },
};

static const tn__resource usage_event = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("usage"),
    .full_name = TN_STR_C("tenon.usage"),
    .noun = TN_STR_C("UsageEvent"),
    .path = TN_STR_C("usage/events"),
    .relation = TN_STR_C("tenon.usage_event"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = event_fields,
    .nfields = COUNT(event_fields),
};


static const tn_str aggregates[] = {
    TN_STR_C("sum"), TN_STR_C("count"), TN_STR_C("unique"),
    TN_STR_C("max"), TN_STR_C("last"),
};

static const tn_str periods[] = {
    TN_STR_C("minute"),
    TN_STR_C("hour"),
    TN_STR_C("day"),
    TN_STR_C("month"),
};

#define LIMIT(of, words)                                                     \
    {                                                                        \
        .name = TN_STR_C(of), .type = TN__TYPE_INT, .out = 1, .nullable = 1, \
        .about = TN_STR_C(words)                                             \
    }
#define EDGE(of, words)                                        \
    {                                                          \
        .name = TN_STR_C(of), .type = TN__TYPE_TIME, .out = 1, \
        .about = TN_STR_C(words)                               \
    }

static const tn__field meter_items[] = {
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"minutes_processed\"") },
    { .name = TN_STR_C("title"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"Minutes processed\"") },
    { .name = TN_STR_C("unit"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .example = TN_STR_C("\"minute\"") },
    { .name = TN_STR_C("aggregate"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = aggregates,
      .nset = COUNT(aggregates),
      .about = TN_STR_C("unique: how many values differ; max, last: the "
                        "largest or last quantity") },
    { .name = TN_STR_C("period"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = periods,
      .nset = COUNT(periods),
      .about = TN_STR_C("Of the plan's limit; without one, month") },
    EDGE("begins_at", "When that period began"),
    EDGE("ends_at", "And when it ends"),
    { .name = TN_STR_C("used"),
      .type = TN__TYPE_INT,
      .out = 1,
      .about = TN_STR_C("In that period, up to now") },
    LIMIT("soft", "What is beyond it is told of; null: there is none"),
    LIMIT("hard", "What is beyond it is refused; null: there is none"),
    { .name = TN_STR_C("overage"),
      .type = TN__TYPE_INT,
      .out = 1,
      .about = TN_STR_C("How much more than soft it is") },
    { .name = TN_STR_C("used_in_month"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("The same as used, where the period is a month; null: "
                        "calls are counted in their limit's period alone") },
};

static const tn__field usage_fields[] = {
    EDGE("begins_at", "When the organization's month began"),
    EDGE("ends_at", "And when it ends"),
    { .name = TN_STR_C("meters"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = meter_items,
      .nfields = COUNT(meter_items) },
};


static int
is_billed(const tn_op *op)
{
    return op->plan && op->plan->name.n;
}


static void
bind_plan(tn_op *op, const tn_input *input)
{
    (void) input;

    tn__local(op, TN_STR("plan_name"),
              is_billed(op) ? op->plan->name : TN_NULL);
}


static void
bind_events(tn_op *op, const tn_input *input)
{
    bind_plan(op, input);

    if (is_billed(op) && (op->plan->entitled == TN__ENTITLED_NONE ||
                          op->plan->entitled == TN__ENTITLED_SUSPENDED)) {
        tn__local_int(op, TN_STR("most_events"), UNENTITLED_MAX);
    } else {
        tn__local(op, TN_STR("most_events"), TN_NULL);
    }
}


static const tn_err refusals[] = { TN_E_PLAN_LIMIT, TN_E_PAYMENT_REQUIRED };

static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("getUsage"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/usage"),
      .permission_name = "tenon.usage:read",
      .action = TN_STR_C("usage.read"),
      .summary = TN_STR_C("Read what the organization has used, and what its "
                          "plan allows"),
      .noun = TN_STR_C("Usage"),
      .kind = TN__KIND_READ,
      .step = bind_plan,
      .stmt = &tn__q_usage_read,
      .output = usage_fields,
      .noutput = COUNT(usage_fields),
      .unpaid = 1,
      .counted = 1 },
    { .operation = TN_STR_C("listUsageEvents"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/usage/events"),
      .permission_name = "tenon.usage:read",
      .action = TN_STR_C("usage.listed"),
      .summary = TN_STR_C("List what was recorded of use"),
      .kind = TN__KIND_LIST,
      .resource = &usage_event,
      .unpaid = 1,
      .counted = 1 },
    { .operation = TN_STR_C("recordUsage"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/usage/events"),
      .permission_name = "tenon.usage:create",
      .action = TN_STR_C("usage.recorded"),
      .summary = TN_STR_C("Report what was used"),
      .noun = TN_STR_C("UsageBatch"),
      .kind = TN__KIND_WRITE,
      .step = bind_events,
      .stmt = &tn__q_usage_record,
      .input = batch_fields,
      .ninput = COUNT(batch_fields),
      .output = batch_fields,
      .noutput = COUNT(batch_fields),
      .errors = refusals,
      .nerrors = COUNT(refusals),
      .body_max = BODY_MAX,
      .unpaid = 1,
      .counted = 1 },
};

const tn__slice tn__usage_slice = { endpoints, COUNT(endpoints) };
