/*
 * Requests are counted by what their tenant's plan limits: behind role and
 * plan, in front of the body, once; and nobody is refused by an old plan.
 */

#include "libcore/billing/billing.h"
#include "t/00unit/host.h"

#define TASKS   "/v1/tasks"
#define TASKS_1 R(.path = TASKS, .token = h.owner)
#define NO_TASKS    \
    {               \
        NO_ROWS(12) \
    }
#define BOTH   "api_calls:800:1000:month;api_rate::100:minute;seats::5:"
#define SECOND INT64_C(1000000)
#define HEADER(h, name, value) \
    unit_assert_str(host_response_header((h), (name)), (value))


/* As find_plan() answers it. */
static void
subscribe(host *h, const char *plan, const char *limits)
{
    static const char *cells[10];

    cells[0] = plan;
    cells[1] = "active";
    cells[7] = "calls";
    cells[8] = limits;
    h->plan = (host_rows){ 10, 10, cells };
}


static void
begin(host *h, const char *limits, const char *used)
{
    host_init(h);
    subscribe(h, "pro", limits);
    h->used = used;
}


/* What a counter has, by its meter's name; -1: there is none. */
static int64_t
used(const host *h, const char *name)
{
    unsigned i;

    for (i = 0; i < h->ncounters; i++) {
        if (strcmp(h->counters[i].name, name) == 0) {
            return h->counters[i].used;
        }
    }

    return -1;
}


static void
test_one_unit(void **state)
{
    host h;

    (void) state;
    begin(&h, BOTH, "7");
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ZZdZAMuMD");
    assert_int_equal(h.ncounters, 2);
    assert_int_equal(used(&h, "api_calls"), 8);
    assert_int_equal(used(&h, "api_rate"), 1);
    unit_assert_str(host_response_header(&h, "RateLimit-Policy"),
                    "\"api_calls\";q=1000;w=2592000, \"api_rate\";q=100;w=60");
    unit_assert_str(host_response_header(&h, "RateLimit"),
                    "\"api_calls\";r=992;t=1462000, \"api_rate\";r=99;t=40");

    /* the next needs no database, and counts whatever becomes of it */
    SEND(&h, R(.path = "/v1/tasks/" TASK, .token = h.member), { NO_ROWS(12) });
    host_problem(&h, 404, "not_found");
    assert_string_equal(h.trace, "ZZdZAMD");
    assert_int_equal(used(&h, "api_calls"), 9);
    unit_assert_str(host_response_header(&h, "RateLimit"),
                    "\"api_calls\";r=991;t=1462000, \"api_rate\";r=98;t=40");

    SEND0(&h,
          R(.method = "POST", .path = TASKS, .token = h.owner, .body = "{"));
    host_problem(&h, 400, "malformed_json");
    assert_string_equal(h.trace, "ZZAMB");
    assert_int_equal(used(&h, "api_calls"), 10);
    host_free(&h);
}


/* Each counter is of one tenant, and of one period. */
static void
test_whose_it_is(void **state)
{
    host h;
    int64_t minute;
    unsigned char acme[16];

    (void) state;
    begin(&h, BOTH, NULL);
    SEND(&h, TASKS_1, NO_TASKS);
    /* the minute's is there before anybody has answered of the month */
    assert_true(tn__uuid_parse(acme, TN_STR(ACME)));
    assert_memory_equal(h.counters[0].meter.tenant, acme, 16);
    minute = HOST_START - HOST_START % (60 * SECOND);
    assert_int_equal(h.counters[0].meter.period, TN_PERIOD_MINUTE);
    assert_true(h.counters[0].meter.begins == minute);
    assert_true(h.counters[0].meter.ends == minute + 60 * SECOND);
    assert_int_equal(h.counters[0].meter.soft, -1);
    assert_int_equal(h.counters[0].meter.hard, 100);
    assert_int_equal(h.counters[1].meter.soft, 800);
    assert_int_equal(h.counters[1].meter.period, TN_PERIOD_MONTH);
    assert_true(h.counters[1].meter.ends - h.counters[1].meter.begins ==
                HOST_MONTH);

    SEND(&h,
         R(.path = TASKS, .token = h.eve, .host = "umbrella.tenon.localhost"),
         NO_TASKS);
    assert_int_equal(h.ncounters, 4);
    assert_int_equal(h.counters[1].used, 1);

    h.now += 60 * SECOND;
    SEND(&h, TASKS_1, NO_TASKS);
    assert_int_equal(h.ncounters, 5);
    assert_int_equal(h.counters[1].used, 2);
    assert_int_equal(h.counters[0].used, 1);
    assert_int_equal(h.counters[4].used, 1);
    host_free(&h);

    begin(&h, "api_calls::10:day;api_rate::5:hour", NULL);
    SEND(&h, TASKS_1, NO_TASKS);
    unit_assert_str(host_response_header(&h, "RateLimit-Policy"),
                    "\"api_calls\";q=10;w=86400, \"api_rate\";q=5;w=3600");
    assert_true(h.counters[0].meter.begins ==
                HOST_START - HOST_START % (86400 * SECOND));
    assert_true(h.counters[1].meter.begins ==
                HOST_START - HOST_START % (3600 * SECOND));
    host_free(&h);
}


static void
test_what_is_not_counted(void **state)
{
    host h;

    (void) state;
    begin(&h, BOTH, NULL);

    SEND(&h, R(.path = "/v1/me", .token = h.owner),
         { ROWS(12, OWNER, "o", "O", "owner", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    assert_null(strchr(h.trace, 'M'));
    assert_null(host_response_header(&h, "RateLimit").p);

    /* nor what the role, or the plan, doesn't allow */
    SEND0(&h, R(.method = "POST", .path = TASKS, .token = h.guest,
                .body = "{\"title\":\"n\"}"));
    host_problem(&h, 403, "forbidden");
    assert_null(strchr(h.trace, 'M'));
    assert_int_equal(h.ncounters, 0);

    /* nor where there is no limit */
    subscribe(&h, "pro", "seats::5:");
    h.nzone = 0;
    SEND(&h, TASKS_1, NO_TASKS);
    assert_string_equal(h.trace, "ZZdZAD");
    assert_null(host_response_header(&h, "RateLimit").p);
    host_free(&h);

    /* of a soft one nobody is refused, or told here */
    begin(&h, "api_calls:1::month", "1");
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);
    assert_int_equal(used(&h, "api_calls"), 2);
    assert_null(host_response_header(&h, "RateLimit").p);
    host_free(&h);
}


static void
test_used_up(void **state)
{
    host h;

    (void) state;
    begin(&h, "api_calls::10:month", "9");
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);
    HEADER(&h, "RateLimit", "\"api_calls\";r=0;t=1462000");
    SEND0(&h, TASKS_1);
    host_problem(&h, 402, "plan_limit");
    host_assert(&h, 402, "\"reason\":\"api_calls\"");
    host_assert(&h, 402,
                "The plan \\\"pro\\\" allows 10 requests a month, and that is "
                "used up until 2025-12-08T00:00:00.000000Z: the owner can "
                "choose another one.");
    assert_string_equal(h.trace, "ZZAMZr");
    assert_int_equal(used(&h, "api_calls"), 10);
    HEADER(&h, "RateLimit", "\"api_calls\";r=0;t=1462000");
    HEADER(&h, "RateLimit-Policy", "\"api_calls\";q=10;w=2592000");
    assert_null(host_response_header(&h, "Retry-After").p);
    host_free(&h);

    begin(&h, "api_calls::1000:month;api_rate::2:minute", "0");
    SEND(&h, TASKS_1, NO_TASKS);
    SEND(&h, TASKS_1, NO_TASKS);
    SEND0(&h, TASKS_1);
    host_problem(&h, 429, "rate_limited");
    host_assert(&h, 429, "\"reason\":\"api_rate\"");
    assert_string_equal(h.trace, "ZZAM");
    HEADER(&h, "Retry-After", "40");
    HEADER(&h, "RateLimit",
           "\"api_calls\";r=998;t=1462000, \"api_rate\";r=0;t=40");
    assert_int_equal(used(&h, "api_calls"), 2); /* none was taken from either */

    /* a minute later */
    h.now += 40 * SECOND;
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);
    host_free(&h);
}


/* Waiting doesn't help where the month is used up as well. */
static void
test_both_used_up(void **state)
{
    host h;

    (void) state;
    begin(&h, "api_calls::2:month;api_rate::2:minute", "2");
    SEND0(&h, TASKS_1);
    host_problem(&h, 402, "plan_limit");
    host_free(&h);
}


/* Who has just paid for more isn't refused by what the zone still has. */
static void
test_old_plan(void **state)
{
    host h;

    (void) state;
    begin(&h, "api_calls::1:month", NULL);
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);

    /* it is as new as needs be */
    subscribe(&h, "max", "api_calls::3:month");
    h.now += TN__PLAN_FRESH;
    SEND0(&h, TASKS_1);
    host_problem(&h, 402, "plan_limit");
    assert_string_equal(h.trace, "ZZAMZr");

    h.now += 1;
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ZZAMZZdZMD");
    unit_assert_str(h.op->plan->name, "max");
    assert_int_equal(used(&h, "api_calls"), 2);
    HEADER(&h, "RateLimit", "\"api_calls\";r=1;t=1462000");

    /* the zone has it now; at its limit it is asked once more, and no more */
    h.now += 2 * TN__PLAN_FRESH;
    SEND(&h, TASKS_1, NO_TASKS);
    assert_string_equal(h.trace, "ZZAMD");
    SEND0(&h, TASKS_1);
    host_problem(&h, 402, "plan_limit");
    assert_string_equal(h.trace, "ZZAMZZdZMZr");
    SEND0(&h, TASKS_1);
    host_problem(&h, 402, "plan_limit");
    assert_string_equal(h.trace, "ZZAMZr");

    /* a clock that was set back makes it old, too */
    h.now -= TN__PLAN_FRESH * 4;
    SEND0(&h, TASKS_1);
    assert_string_equal(h.trace, "ZZAMZZdZMZr");
    host_free(&h);
}


/* The same of what else a plan refuses: what is owed, and what a statement
 * finds used up; there the body is at hand. */
static void
test_old_plan_of_others(void **state)
{
    host h;

    (void) state;
    begin(&h, BOTH, NULL);
    ((const char **) h.plan.cells)[1] = "paused";
    ((const char **) h.plan.cells)[2] = "0";
    ((const char **) h.plan.cells)[4] = "1";
    ((const char **) h.plan.cells)[5] = "1";
    SEND0(&h, TASKS_1);
    host_problem(&h, 402, "payment_required");
    assert_string_equal(h.trace, "ZZdZAZr");
    subscribe(&h, "pro", BOTH);
    ((const char **) h.plan.cells)[2] = NULL;
    h.now += TN__PLAN_FRESH + 1;
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ZZAZZdZMuMD");

    subscribe(&h, "max", "api_calls::9:month;seats::9:");
    h.now += TN__PLAN_FRESH + 1;
    SEND(&h,
         R(.method = "POST", .path = "/v1/invitations", .token = h.owner,
           .body = "{\"email\":\"n@acme.test\",\"role\":\"member\"}"),
         { ROWS(11, "plan_limit: All seats of the plan are taken.", NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, FRESH) },
         { ROWS(11, "plan_limit: All seats of the plan are taken.", NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, FRESH) });
    host_problem(&h, 402, "plan_limit");
    assert_string_equal(h.trace, "ZZAMBWZZdZWZr");
    unit_assert_str(host_bound(&h, "tenon.seats_taken("), "9");
    assert_int_equal(used(&h, "api_calls"), 2); /* one request is one unit */
    host_free(&h);
}


/* Of a minute nobody is asked what was used: it begins. */
static void
test_minute_begins(void **state)
{
    host h;

    (void) state;
    begin(&h, "api_rate::2:minute", "2");
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ZZdZAMD");
    HEADER(&h, "RateLimit", "\"api_rate\";r=1;t=40");
    h.now += 40 * SECOND;
    SEND(&h, TASKS_1, NO_TASKS);
    assert_string_equal(h.trace, "ZZdZAMD"); /* no u */
    HEADER(&h, "RateLimit", "\"api_rate\";r=1;t=60");
    host_free(&h);
}


/* How many are left isn't told where it isn't known, even where another has none
 * left; the policy is the plan's. */
static void
test_what_is_not_known(void **state)
{
    host h;

    (void) state;
    begin(&h, "api_calls::10:month;api_rate::1:minute", "0");
    SEND(&h, TASKS_1, NO_TASKS);
    host_assert(&h, 200, NULL);
    assert_int_equal(h.ncounters, 2);

    /* the quota's has given way */
    h.counters[0] = h.counters[h.counters[0].meter.period == TN_PERIOD_MONTH];
    h.ncounters = 1;
    assert_int_equal(h.counters[0].meter.period, TN_PERIOD_MINUTE);
    SEND0(&h, TASKS_1);
    host_problem(&h, 429, "rate_limited");
    HEADER(&h, "RateLimit", "\"api_rate\";r=0;t=40");
    HEADER(&h, "RateLimit-Policy",
           "\"api_calls\";q=10;w=2592000, \"api_rate\";q=1;w=60");
    host_free(&h);
}


/* What somebody has already costs nothing; what they haven't does. */
static void
test_not_modified(void **state)
{
    host h;

    (void) state;
    begin(&h, BOTH, "7");
    SEND(&h,
         R(.path = "/v1/tasks/" TASK, .token = h.owner,
           .if_none_match = "\"3\""),
         { ROWS(12, TASK_CELLS(TASK, "n", "todo", "3", OWNER)) });
    host_assert(&h, 304, NULL);
    assert_string_equal(h.trace, "ZZdZAMuMDM");
    assert_int_equal(used(&h, "api_calls"), 7);
    assert_int_equal(used(&h, "api_rate"), 0);
    HEADER(&h, "RateLimit",
           "\"api_calls\";r=993;t=1462000, \"api_rate\";r=100;t=40");
    host_free(&h);
}


static void
test_no_room(void **state)
{
    host h;

    (void) state;
    begin(&h, BOTH, NULL);
    h.no_counters = 1;
    SEND0(&h, TASKS_1);
    host_problem(&h, 503, "busy");
    assert_string_equal(h.trace, "ZZdZAMuM");
    assert_null(tn_op_facts(h.op)->log.p); /* the host logs it, once */
    host_free(&h);
}


/* Those that are known go on, whatever becomes of the database. */
static void
test_no_database(void **state)
{
    host h;

    (void) state;
    begin(&h, BOTH, NULL);
    SEND(&h, TASKS_1, NO_TASKS);
    SEND(&h, TASKS_1, { .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    assert_string_equal(h.trace, "ZZAMD");
    assert_int_equal(used(&h, "api_calls"), 2);

    h.ncounters = 0;
    SEND(&h, TASKS_1, { .lookup = 1, .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    assert_string_equal(h.trace, "ZZAMu");

    /* what it says is a number */
    h.used = "what";
    SEND0(&h, TASKS_1);
    host_problem(&h, 500, "internal");
    host_free(&h);
}


/* Who sends a body slowly is looked at twice, and counted once. */
static void
test_late_body(void **state)
{
    host h;

    (void) state;
    begin(&h, BOTH, NULL);
    SEND(&h, TASKS_1, NO_TASKS);
    SEND0(&h, R(.method = "POST", .path = TASKS, .token = h.owner, .body = "{",
                .body_ms = 60000));
    host_problem(&h, 400, "malformed_json");
    assert_string_equal(h.trace, "ZZAMBZZdZ");
    assert_int_equal(used(&h, "api_calls"), 2);
    assert_int_equal(used(&h, "api_rate"), 2);
    assert_non_null(host_response_header(&h, "RateLimit").p);
    host_free(&h);
}


/* No memory at any moment is an answer, too. */
static void
test_no_memory(void **state)
{
    host h;
    size_t i;
    int served = 0;

    (void) state;
    begin(&h, BOTH, NULL);
    SEND(&h, TASKS_1, NO_TASKS);

    for (i = 1; !served; i++) {
        h.ncounters = 0;
        SEND(&h, R(.path = TASKS, .token = h.owner, .fail_at = i), NO_TASKS);
        served = h.response->status == 200;
        assert_true(served || h.response->status == 500);
        assert_true(i < 1000);
    }

    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_one_unit), cmocka_unit_test(test_whose_it_is),
          cmocka_unit_test(test_what_is_not_counted),
          cmocka_unit_test(test_used_up), cmocka_unit_test(test_both_used_up),
          cmocka_unit_test(test_old_plan),
          cmocka_unit_test(test_old_plan_of_others),
          cmocka_unit_test(test_minute_begins),
          cmocka_unit_test(test_what_is_not_known),
          cmocka_unit_test(test_not_modified), cmocka_unit_test(test_no_room),
          cmocka_unit_test(test_no_database), cmocka_unit_test(test_late_body),
          cmocka_unit_test(test_no_memory))
