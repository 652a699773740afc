/*
 * What is taken from somebody while their body comes is taken from that request
 * too: where they took long, it is answered as one that begins behind the body.
 */

#include "libcore/identity/identity.h"
#include "libcore/zone/zone.h"
#include "t/00unit/host.h"

#define PATCH_TASK(...)                                               \
    R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.owner, \
      .body = "{\"title\":\"n\"}", __VA_ARGS__)
#define DONE                                                   \
    {                                                          \
        ROWS(19, "3", OWNER, "t", "t", "t",                    \
             TASK_CELLS(TASK, "n", "todo", "4", OWNER), FRESH) \
    }
#define MINUTE 60000


static void
run(host *h, const tn_zone_cmd *cmds, unsigned n)
{
    tn_input input;
    tn_want want = { .kind = TN_WANT_ZONE, .zone = { cmds, n } };

    host_zone(h, &want, &input);
}


static void
stamp(host *h)
{
    tn_op other;
    tn_zone_cmd cmd;

    other = *h->op; /* it is another request that says so */
    tn__access_changed(&other, &cmd, TN_STR(ACME));
    run(h, &cmd, 1);
}


static void
demote(host *h)
{
    h->sessions[0].role = "guest";
    stamp(h);
}


static void
end_session(host *h)
{
    h->sessions[0].id = SESSION("ff");
    stamp(h);
}


static void
suspend(host *h)
{
    h->sleepy_active = 0;
}


/* Another catalogue is taken up. */
static void
reload(host *h)
{
    host_adopt(h);
}


static void
test_short(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, PATCH_TASK(.body_ms = 10), DONE);
    host_assert(&h, 200, NULL);
    SEND(&h, PATCH_TASK(.body_ms = 1000), DONE);
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ZZABW");

    /* what an op knows holds for a moment, as it does without a body */
    SEND(&h, PATCH_TASK(.body_ms = 1000, .waiting = demote), DONE);
    host_assert(&h, 200, NULL);
    host_free(&h);
}


static void
test_long(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, PATCH_TASK(.body_ms = 10), DONE);
    SEND(&h, PATCH_TASK(.body_ms = 1001, .request_id = "r-1", .key = "k"),
         DONE);
    host_assert(&h, 200, "\"title\":\"n\"");
    unit_assert_str(host_response_header(&h, "X-Request-Id"), "r-1");
    unit_assert_str(tn_op_facts(h.op)->user_id, OWNER);
    unit_assert_str(tn_op_facts(h.op)->operation, "updateTask");

    /* what it knew is still known, and limits aren't asked twice */
    assert_string_equal(h.trace, "ZZABZZW");
    SEND(&h, PATCH_TASK(.body_ms = 6000), DONE);
    assert_string_equal(h.trace, "ZZABZZdZW");

    /* an id that was made up stays the request's */
    SEND(&h, PATCH_TASK(.body_ms = 6000), DONE);
    assert_int_equal(host_response_header(&h, "X-Request-Id").n, 36);
    host_free(&h);
}


static void
test_taken_meanwhile(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, PATCH_TASK(.body_ms = 1001, .waiting = demote));
    host_problem(&h, 403, "forbidden");
    assert_string_equal(strchr(h.trace, 'B'), "BZZZdZZr");
    unit_assert_str(h.refused.actor, OWNER);
    host_free(&h);

    host_init(&h);
    SEND0(&h, PATCH_TASK(.body_ms = 1001, .waiting = end_session));
    host_problem(&h, 401, "unauthenticated");
    assert_null(tn_op_facts(h.op)->user_id.p);
    host_free(&h);

    /* before what is wrong with the body */
    host_init(&h);
    SEND0(&h, R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.owner,
                .body = "{", .body_ms = 1001, .waiting = end_session));
    host_problem(&h, 401, "unauthenticated");
    SEND0(&h, R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.member,
                .body = "{", .body_ms = 1001));
    host_problem(&h, 400, "malformed_json");
    host_free(&h);

    host_init(&h);
    SEND0(&h, PATCH_TASK(.body_ms = 16 * MINUTE));
    host_problem(&h, 401, "token_expired");
    host_free(&h);

    /* a body without end ends nevertheless */
    host_init(&h);
    SEND(&h, PATCH_TASK(.body_length = UINT64_MAX, .body_ms = 1001), DONE);
    host_assert(&h, 200, NULL);
    host_free(&h);
}


static void
test_public(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    h.sleepy_active = 1;
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/login",
                .host = "sleepy.tenon.localhost", .body_ms = 6000,
                .waiting = suspend,
                .body = "{\"email\":\"a@b.c\",\"password\":\"0123456789\"}"));
    host_problem(&h, 403, "tenant_inactive");
    host_free(&h);
}


static void
test_limits(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/v1/tasks/" TASK, .token = h.owner, .limits_ms = 1001,
                .waiting = demote));
    host_problem(&h, 403, "forbidden");
    host_free(&h);

    host_init(&h);
    SEND0(&h, PATCH_TASK(.limits_ms = 1001, .waiting = demote));
    host_problem(&h, 403, "forbidden");
    assert_null(strchr(h.trace, 'B'));
    host_free(&h);

    /* both, one after the other */
    host_init(&h);
    SEND(&h, PATCH_TASK(.limits_ms = 1001, .body_ms = 1001), DONE);
    host_assert(&h, 200, NULL);
    assert_string_equal(h.trace, "ZZdZAZZBZZW");
    SEND(&h, PATCH_TASK(.limits_ms = 1001, .body_ms = 1000), DONE);
    assert_string_equal(strchr(h.trace, 'A'), "AZZBW");
    host_free(&h);
}


static void
test_catalogue(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, PATCH_TASK(.body_ms = 1001, .waiting = reload), DONE);
    host_assert(&h, 200, NULL);
    assert_ptr_equal(h.op->catalogue, h.core->catalogue);
    SEND(&h, PATCH_TASK(.body_ms = 1000, .waiting = reload), DONE);
    assert_ptr_not_equal(h.op->catalogue, h.core->catalogue);
    host_free(&h);
}


static void
test_memory(void **state)
{
    host h;
    size_t n;
    unsigned ok;

    (void) state;

    for (n = 1, ok = 0; !ok && n < 1000; n++) {
        host_init(&h);
        SEND(&h, PATCH_TASK(.body_ms = 1001, .key = "k", .fail_at = n), DONE);
        ok = h.response->status == 200;
        assert_true(ok || h.response->status == 500);
        host_free(&h);
    }

    assert_in_range(n, 20, 999);
}


UNIT_MAIN(cmocka_unit_test(test_short), cmocka_unit_test(test_long),
          cmocka_unit_test(test_taken_meanwhile), cmocka_unit_test(test_public),
          cmocka_unit_test(test_limits), cmocka_unit_test(test_catalogue),
          cmocka_unit_test(test_memory))
