/*
 * A tenant's plan as a request meets it: looked up once, kept in the zone under
 * the stamp of the tenant's access, and asked behind the role and in front of
 * the body.
 */

#include "libcore/billing/billing.h"
#include "t/00unit/host.h"

/* What tenon.find_plan() answers, a row after the other. */
#define PLAN(h, ...)                                \
    const char *const cells[] = { __VA_ARGS__ };    \
    (h)->plan = (host_rows)                         \
    {                                               \
        10, sizeof(cells) / sizeof(cells[0]), cells \
    }

#define SUB_1 "0192f0c0-0000-7000-8000-000000005001"
#define SUB_2 "0192f0c0-0000-7000-8000-000000005002"
#define SUB_3 "0192f0c0-0000-7000-8000-000000005003"

#define DAY INT64_C(86400000000)

#define NO_TASKS    \
    {               \
        NO_ROWS(12) \
    }
#define TASKS "/v1/tasks"

/* HOST_START, and some days before it, as the database tells times. */
static char at[40][24];


static const char *
ago(unsigned days)
{
    snprintf(at[days], sizeof(at[days]), "%lld",
             (long long) (HOST_START - days * DAY));

    return at[days];
}


/* As find_plan() answers it for a plan with a week of grace and two of reading.
 */
static void
subscribe(host *h, const char *status, const char *since)
{
    static const char *cells[10];

    cells[0] = "pro";
    cells[1] = status;
    cells[2] = since;
    cells[3] = NULL;
    cells[4] = "604800000000";
    cells[5] = "1209600000000";
    cells[6] = NULL;
    cells[7] = "exports,calls";
    cells[8] = "api_calls:800:1000:month;seats::5:";
    cells[9] = SUB_1;
    h->plan = (host_rows){ 10, 10, cells };
}


static void
expect(host *h, const char *method, const char *path, const char *body,
       unsigned status, const char *code)
{
    host_send(
        h, R(.method = method, .path = path, .token = h->owner, .body = body),
        NULL, 0);
    host_assert(h, status, code);
}


/* Nobody bills: nothing is asked of anybody. */
static void
test_nothing_is_billed(void **state)
{
    host h;

    (void) state;
    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL)[12] =
        "boards";
    host_adopt(&h);
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ZZdZAD");
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_string_equal(h.trace, "ZZAD");
    assert_int_equal(h.op->plan->name.n, 0);
    host_free(&h);
}


/* The second request finds it in the zone, the same in every part. */
static void
test_it_is_kept(void **state)
{
    host h;
    unsigned i;
    tn__plan first;

    (void) state;
    host_init(&h);
    subscribe(&h, "active", NULL);
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_string_equal(h.trace, "ZZdZAMuMD");
    first = *h.op->plan;
    unit_assert_str(first.name, "pro");
    assert_int_equal(first.entitled, TN__ENTITLED_FULL);
    assert_true(first.until == TN__NEVER);
    assert_true(first.month_begins == HOST_START - HOST_START % HOST_MONTH);
    assert_true(first.month_ends == first.month_begins + HOST_MONTH);
    assert_true(first.read_at == HOST_START);
    assert_int_equal(first.limits[TN__METER_API_CALLS].soft, 800);
    assert_int_equal(first.limits[TN__METER_API_CALLS].hard, 1000);
    assert_int_equal(first.limits[TN__METER_API_CALLS].period, TN_PERIOD_MONTH);
    assert_int_equal(first.limits[TN__METER_SEATS].soft, -1);
    assert_int_equal(first.limits[TN__METER_SEATS].hard, 5);
    assert_int_equal(first.limits[TN__METER_SEATS].period, TN_PERIOD_NONE);

    /* also by another person's session, whose own look-up needn't ask it */
    h.plan = (host_rows){ 0, 0, NULL };
    SEND(&h, R(.path = TASKS, .token = h.member), NO_TASKS);
    assert_string_equal(h.trace, "ZZdZAMD");
    unit_assert_str(h.op->plan->name, "pro");
    assert_int_equal(h.op->plan->entitled, first.entitled);
    assert_true(h.op->plan->month_begins == first.month_begins);
    assert_true(h.op->plan->month_ends == first.month_ends);
    assert_true(h.op->plan->read_at == first.read_at);
    assert_memory_equal(h.op->plan->features, first.features,
                        sizeof(first.features));

    assert_in_range(h.op->catalogue->nmeters, TN__METERS_OWN, TN__METERS_MAX);

    for (i = 0; i < h.op->catalogue->nmeters; i++) {
        assert_int_equal(h.op->plan->limits[i].soft, first.limits[i].soft);
        assert_int_equal(h.op->plan->limits[i].hard, first.limits[i].hard);
        assert_int_equal(h.op->plan->limits[i].period, first.limits[i].period);
    }

    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_string_equal(h.trace, "ZZAMD");

    /* another tenant's is its own */
    SEND(&h,
         R(.path = TASKS, .token = h.eve, .host = "umbrella.tenon.localhost"),
         NO_TASKS);
    assert_int_equal(h.op->plan->name.n, 0);
    host_free(&h);
}


/* What it was read under counts no more: a change set another stamp, another
 * catalogue numbers features anew, or its time has come. */
static void
test_it_counts_no_more(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    subscribe(&h, "active", NULL);
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);

    SEND(&h,
         R(.method = "PATCH", .path = "/v1/members/" TASK, .token = h.owner,
           .body = "{\"role\":\"member\"}"),
         { ROWS(10, NULL, TASK, MEMBER, "b@acme.test", "B", "member", "2",
                "2026-11-21 01:33:00+00", FRESH) });
    host_assert(&h, 200, NULL);
    subscribe(&h, "unpaid", ago(1));
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_string_equal(h.trace, "ZZZdZAMD");
    assert_int_equal(h.op->plan->entitled, TN__ENTITLED_READ_ONLY);

    /* five seconds are not waited for: the grace ends now */
    subscribe(&h, "past_due", ago(7));
    h.now -= 1;
    h.nzone = 0;
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_int_equal(h.op->plan->entitled, TN__ENTITLED_GRACE);
    assert_true(h.op->plan->until == HOST_START);
    h.now += 1;
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_string_equal(h.trace, "ZZdZAMD");
    assert_int_equal(h.op->plan->entitled, TN__ENTITLED_READ_ONLY);

    h.rows.tables[TEAMOS_VERSION].rows[0][0] = "8";
    h.rows.tables[TEAMOS_VERSION_AFTER].rows[0][0] = "8";
    host_end(&h);
    host_adopt(&h);
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_string_equal(h.trace, "ZZdZAMD");
    host_free(&h);
}


/* Bytes in the zone that are none of a plan are none. */
static void
test_other_bytes(void **state)
{
    host h;
    size_t n;
    tn__plan plan;
    tn_str packed, stamp = TN_STR("0123456789abcdef");

    (void) state;
    host_init(&h);
    subscribe(&h, "active", NULL);
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_int_equal(tn__plan_pack(&packed, h.op, h.op->plan, stamp), TN_OK);
    assert_true(packed.n <= TN_ZONE_VALUE_MAX);

    for (n = 0; n < packed.n; n++) {
        assert_false(
            tn__plan_unpack(&plan, h.op, stamp, (tn_str){ packed.p, n }));
    }

    assert_true(tn__plan_unpack(&plan, h.op, stamp, packed));
    assert_false(
        tn__plan_unpack(&plan, h.op, TN_STR("0123456789abcdeF"), packed));
    assert_false(tn__plan_unpack(&plan, h.op, TN_NULL, packed));
    assert_false(tn__plan_unpack(&plan, h.op, stamp, TN_NULL));
    host_free(&h);
}


/* What requests are told of a plan lies with it in the zone; where a long name
 * and many units leave no room for that, it is written anew. */
static void
test_policy(void **state)
{
    host h;
    size_t n;
    tn__plan plan, wide;
    unsigned nmeters;
    tn_catalogue *cat;
    tn_str packed, stamp = TN_STR("0123456789abcdef");
    tn_str policy = TN_STR("\"api_calls\";q=1000;w=2592000, "
                           "\"api_rate\";q=100;w=60");

    (void) state;
    host_init(&h);
    PLAN(&h, "pro", "active", NULL, NULL, NULL, NULL, NULL, "calls",
         "api_calls:800:1000:month;api_rate::100:minute", SUB_1);
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    cat = (tn_catalogue *) h.op->catalogue;
    nmeters = cat->nmeters;
    assert_int_equal(tn__plan_pack(&packed, h.op, h.op->plan, stamp), TN_OK);
    assert_true(tn__plan_unpack(&plan, h.op, stamp, packed));
    assert_true(tn__eq(plan.policy, policy));
    n = packed.n - policy.n;
    assert_memory_equal(packed.p + n, policy.p, policy.n);

    wide = *h.op->plan;
    wide.name = TN_STR("a-plan-whose-name-is-as-long-as-the-table-has-it-which-"
                       "is-63---");
    cat->nmeters = TN__METERS_MAX;
    assert_int_equal(tn__plan_pack(&packed, h.op, &wide, stamp), TN_OK);
    assert_true(packed.n <= TN_ZONE_VALUE_MAX);
    assert_memory_equal(packed.p + packed.n - wide.name.n, wide.name.p,
                        wide.name.n);
    assert_true(tn__plan_unpack(&plan, h.op, stamp, packed));
    assert_true(tn__eq(plan.name, wide.name));
    assert_true(tn__eq(plan.policy, policy));
    cat->nmeters = nmeters;
    host_free(&h);
}


/* One beyond what there is room for stays a limit. */
static void
test_largest_limit(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    PLAN(&h, "pro", "active", NULL, NULL, NULL, NULL, NULL, "calls",
         "api_calls::9223372036854775807:month;seats::576460752303423486:",
         SUB_1);
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_true(h.op->plan->limits[TN__METER_API_CALLS].hard == TN__LIMIT_MAX);
    assert_true(h.op->plan->limits[TN__METER_SEATS].hard == TN__LIMIT_MAX - 1);
    unit_assert_str(host_response_header(&h, "RateLimit-Policy"),
                    "\"api_calls\";q=576460752303423487;w=2592000");
    host_free(&h);
}


static void
test_features(void **state)
{
    host h;

    (void) state;
    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL)[12] =
        "boards";
    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "project", NULL)[12] =
        "exports";
    teamos_find(&h.rows, TEAMOS_CALLS, "teamos", "query", NULL)[12] = "calls";
    teamos_find(&h.rows, TEAMOS_CALLS, "teamos", "action", "project")[12] =
        "vaults";
    host_adopt(&h);
    subscribe(&h, "active", NULL);

    expect(&h, "GET", TASKS, NULL, 402, "\"code\":\"feature_required\"");
    host_assert(&h, 402, "\"reason\":\"boards\"");
    host_assert(&h, 402,
                "This needs the feature \\\"boards\\\", which the plan "
                "\\\"pro\\\" doesn't have.");

    /* before the body is read, and told to the tenant */
    expect(&h, "POST", TASKS, "{\"nonsense\":1}", 402, "boards");
    assert_string_equal(h.trace, "ZZAZr");
    unit_assert_str(h.refused.action, "task.created");
    assert_true(host_has(h.refused.metadata, "feature_required"));

    SEND(&h, R(.path = "/v1/projects", .token = h.owner), { NO_ROWS(13) });
    host_assert(&h, 200, NULL);

    /* an action's own is needed beside its resource's */
    expect(&h, "POST", "/v1/projects/" PROJECT "/archive-now", NULL, 402,
           "\"reason\":\"vaults\"");

    /* a role that may not is told that */
    SEND0(&h, R(.path = TASKS, .token = h.guest));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* Who owes reads for some time, and then pays. */
static void
test_what_is_owed(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    subscribe(&h, "past_due", ago(1));
    SEND(&h, R(.method = "DELETE", .path = TASKS "/" TASK, .token = h.owner),
         { ROWS(12, "3", OWNER, "t", "todo", NULL, NULL, NULL, NULL, NULL, NULL,
                FRESH) });
    assert_int_equal(h.op->plan->entitled, TN__ENTITLED_GRACE);
    assert_non_null(strchr(h.trace, 'W'));

    h.nzone = 0;
    subscribe(&h, "past_due", ago(8));
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    host_assert(&h, 200, NULL);
    expect(&h, "POST", TASKS, "{}", 402, "\"code\":\"payment_required\"");
    host_assert(&h, 402, "read-only until it is paid");
    expect(&h, "DELETE", TASKS "/" TASK, NULL, 402, "payment_required");
    expect(&h, "POST", "/v1/invitations", "{}", 402, "payment_required");
    assert_string_equal(h.trace, "ZZAZr");

    h.nzone = 0;
    subscribe(&h, "past_due", ago(22));
    expect(&h, "GET", TASKS, NULL, 402, "\"code\":\"payment_required\"");
    host_assert(&h, 402, "suspended until it is paid");
    expect(&h, "GET", "/v1/audit/events", NULL, 402, "payment_required");

    /* what pays, one's own account, and taking away are served */
    SEND0(&h, R(.path = "/v1/me", .query = "x=1", .token = h.owner));
    host_problem(&h, 400, "unknown_parameter");
    SEND0(&h, R(.path = "/v1/billing/plans", .query = "x=1", .token = h.owner));
    host_problem(&h, 400, "unknown_parameter");
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/members/" TASK, .token = h.owner),
         { ROWS(3, "not_found", FRESH) });
    host_problem(&h, 404, "not_found");

    h.nzone = 0;
    subscribe(&h, "active", NULL);
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    host_assert(&h, 200, NULL);

    /* its period is long over, and nobody told of the next */
    h.nzone = 0;
    subscribe(&h, "active", ago(22));
    expect(&h, "GET", TASKS, NULL, 402, "\"code\":\"payment_required\"");
    host_free(&h);
}


/* What reads by another method than GET says so, and is served as a GET is. */
static void
test_reads_without_get(void **state)
{
    host h;
    tn__endpoint evaluate;

    (void) state;
    host_init(&h);
    subscribe(&h, "past_due", ago(8));
    SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
    assert_int_equal(h.op->plan->entitled, TN__ENTITLED_READ_ONLY);

    evaluate = *h.op->endpoint;
    evaluate.method = TN_STR("POST");
    evaluate.in_read_only = 1;
    h.op->endpoint = &evaluate;
    assert_true(tn__plan_admits(h.op));

    evaluate.in_read_only = 0;
    assert_false(tn__plan_admits(h.op));

    h.nzone = 0;
    subscribe(&h, "past_due", ago(22));
    expect(&h, "GET", TASKS, NULL, 402, "payment_required");
    evaluate = *h.op->endpoint;
    evaluate.method = TN_STR("POST");
    evaluate.in_read_only = 1;
    h.op->endpoint = &evaluate;
    assert_false(tn__plan_admits(h.op));
    host_free(&h);
}


/* The first that entitles to anything is it. */
static void
test_which_plan(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    {
        PLAN(&h, "pro", "canceled", NULL, NULL, NULL, NULL, NULL, "exports",
             "api_calls::50000:month", SUB_1, "free", "active", NULL, NULL,
             NULL, NULL, NULL, "", "api_calls::1000:month", NULL, "none", "",
             NULL, NULL, NULL, NULL, NULL, "", NULL, NULL);
        SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
        unit_assert_str(h.op->plan->name, "free");
        assert_int_equal(h.op->plan->entitled, TN__ENTITLED_FULL);
        assert_int_equal(h.op->plan->limits[TN__METER_API_CALLS].hard, 1000);
    }

    h.nzone = 0;

    {
        PLAN(&h, "pro", "incomplete_expired", NULL, NULL, NULL, NULL, NULL,
             "exports", NULL, SUB_1, "none", "", NULL, NULL, NULL, NULL, NULL,
             "", NULL, NULL);
        SEND0(&h, R(.path = TASKS, .token = h.owner));
        host_problem(&h, 402, "payment_required");
        host_assert(&h, 402, "has no plan");
        unit_assert_str(h.op->plan->name, "none");
    }

    h.nzone = 0;

    {
        PLAN(&h, "pro", "active", NULL, NULL, NULL, NULL, ago(0), "exports",
             NULL, NULL);
        h.now -= 5;
        SEND(&h, R(.path = TASKS, .token = h.owner), NO_TASKS);
        assert_int_equal(h.op->plan->entitled, TN__ENTITLED_FULL);
        assert_true(h.op->plan->until == HOST_START);
    }

    host_free(&h);
}


/* Of a tenant's subscriptions: word, since when it owes, until when it is tried,
 * in the order in which the database tells them. */
typedef struct bought {
    const char *plan, *status, *owing, *trial, *id;
} bought;


/* Which of them counts, behind what the platform grants (or NULL) and in front
 * of the default plan. */
static void
assert_counts(host *h, const char *granted, const bought *subs, unsigned n,
              const char *plan, tn__entitled entitled, const char *id)
{
    unsigned i, k = 0;
    const char *cells[60] = { NULL };

    if (granted) {
        cells[0] = granted;
        cells[1] = "active";
        k++;
    }

    for (i = 0; i < n; i++, k++) {
        cells[k * 10] = subs[i].plan;
        cells[k * 10 + 1] = subs[i].status;
        cells[k * 10 + 2] = subs[i].owing;
        cells[k * 10 + 3] = subs[i].trial;
        cells[k * 10 + 4] = "604800000000";
        cells[k * 10 + 5] = "1209600000000";
        cells[k * 10 + 9] = subs[i].id;
    }

    cells[k * 10] = "free";
    cells[k * 10 + 1] = "active";
    k++;
    h->plan = (host_rows){ 10, k * 10, cells };
    h->nzone = 0;

    for (i = 0; i < 2; i++) { /* looked up, then out of the zone */
        host_send(h, R(.path = "/v1/me", .query = "x=1", .token = h->owner),
                  NULL, 0);
        unit_assert_str(h->op->plan->name, plan);
        assert_int_equal(h->op->plan->entitled, entitled);

        if (id) {
            assert_memory_equal(h->op->plan->subscription, id, TN__UUID_TEXT);
        } else {
            assert_int_equal(h->op->plan->subscription[0], '\0');
        }
    }
}


/* The best, in whatever order they came; the first among equals. */
static void
test_which_subscription(void **state)
{
    host h;
    unsigned i, k;
    bought two[2];
    const bought kinds[] = {
        /* from best to worst */
        { "pro", "active", NULL, NULL, SUB_1 },
        { "pro", "trialing", NULL, "9223372036854775000", SUB_1 },
        { "pro", "past_due", ago(1), NULL, SUB_1 },
        { "pro", "past_due", ago(8), NULL, SUB_1 },
        { "pro", "unpaid", ago(30), NULL, SUB_1 },
        { "pro", "canceled", NULL, NULL, SUB_1 },
    };
    const tn__entitled entitled[] = { TN__ENTITLED_FULL, TN__ENTITLED_TRIAL,
                                      TN__ENTITLED_GRACE,
                                      TN__ENTITLED_READ_ONLY,
                                      TN__ENTITLED_SUSPENDED };

    (void) state;
    host_init(&h);

    for (i = 0; i < 5; i++) {
        for (k = i + 1; k < 6; k++) {
            two[0] = kinds[i];
            two[1] = kinds[k];
            two[1].id = SUB_2;
            assert_counts(&h, NULL, two, 2, "pro", entitled[i], SUB_1);
            two[0] = kinds[k];
            two[1] = kinds[i];
            two[1].id = SUB_3;
            assert_counts(&h, NULL, two, 2, "pro", entitled[i], SUB_3);
        }

        two[0] = two[1] = kinds[i];
        two[0].plan = "team";
        two[1].id = SUB_2;
        assert_counts(&h, NULL, two, 2, "team", entitled[i], SUB_1);
    }

    /* what it pays for is known though it counts for nothing */
    two[0] = kinds[4];
    two[1] = kinds[0];
    two[1].id = SUB_2;
    assert_counts(&h, "partner", two, 2, "partner", TN__ENTITLED_FULL, SUB_2);
    assert_counts(&h, NULL, two, 0, "free", TN__ENTITLED_FULL, NULL);
    host_free(&h);
}


/* All that a tenant's people ask for while it owes is told a few times, not each
 * time. */
static void
test_owing_is_told_seldom(void **state)
{
    host h;
    unsigned i, told, hours;

    (void) state;
    host_init(&h);
    subscribe(&h, "past_due", ago(22));

    for (i = told = hours = 0; i < 40; i++) {
        SEND0(&h, R(.path = i & 1 ? TASKS : "/v1/projects",
                    .token = i & 2 ? h.owner : h.member));
        host_problem(&h, 402, "payment_required");
        told += strchr(h.trace, 'r') != NULL;
    }

    assert_int_equal(told, 10);

    for (i = 0; i < h.nzone; i++) {
        hours += h.zone[i].until == h.now + INT64_C(3600000000);
    }

    assert_int_equal(hours, 1); /* one counter, for an hour */
    host_free(&h);
}


static void
test_unreadable(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    {
        PLAN(&h, "pro", "active", "yesterday", NULL, NULL, NULL, NULL, "", NULL,
             NULL);
        SEND0(&h, R(.path = TASKS, .token = h.owner));
        host_problem(&h, 500, "internal");
    }

    {
        PLAN(&h, "pro", "active", NULL, NULL, NULL, NULL, NULL, "",
             "seats:many::", NULL);
        SEND0(&h, R(.path = TASKS, .token = h.owner));
        host_problem(&h, 500, "internal");
    }

    host_free(&h);
}


static void
test_seats_are_bound(void **state)
{
    host h;
    const host_request *invite;

    (void) state;
    host_init(&h);
    invite = R(.method = "POST", .path = "/v1/invitations", .token = h.owner,
               .body = "{\"email\":\"a@b.test\",\"role\":\"member\"}");
    subscribe(&h, "active", NULL);
    SEND(&h, invite,
         { ROWS(11, "plan_limit: All seats of the plan are taken.", NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, FRESH) });
    host_problem(&h, 402, "plan_limit");
    host_assert(&h, 402, "All seats");
    unit_assert_str(host_bound(&h, "tenon.seats_taken("), "5");

    h.nzone = 0;
    h.plan = (host_rows){ 0, 0, NULL };
    SEND(&h, invite,
         { ROWS(11, "duplicate", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                FRESH) });
    unit_assert_str(host_bound(&h, "tenon.seats_taken("), NULL);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_nothing_is_billed),
          cmocka_unit_test(test_it_is_kept),
          cmocka_unit_test(test_it_counts_no_more),
          cmocka_unit_test(test_other_bytes), cmocka_unit_test(test_policy),
          cmocka_unit_test(test_largest_limit), cmocka_unit_test(test_features),
          cmocka_unit_test(test_what_is_owed),
          cmocka_unit_test(test_reads_without_get),
          cmocka_unit_test(test_which_plan),
          cmocka_unit_test(test_which_subscription),
          cmocka_unit_test(test_owing_is_told_seldom),
          cmocka_unit_test(test_unreadable),
          cmocka_unit_test(test_seats_are_bound))
