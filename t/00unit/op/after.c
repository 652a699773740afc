/*
 * What follows from an answer: refusals of members are counted and written
 * down, a change of access voids what the node knows of sessions; and the
 * answer is none the worse for it.
 */

#include "t/00unit/things.h"

#define PATCH_TASK(who)                                             \
    R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = (who), \
      .body = "{\"title\":\"n\"}")
#define NO_TASK \
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
/* what the statement says of a row that is somebody else's */
#define OTHERS ROWS(19, "3", OWNER, "t", "t", "t", NO_TASK, FRESH)
#define POST_PROJECT                                              \
    R(.method = "POST", .path = "/v1/projects", .token = h.guest, \
      .body = "{\"name\":\"p\"}")


static void
test_by_role(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, POST_PROJECT);
    host_problem(&h, 403, "forbidden");
    assert_string_equal(strchr(h.trace, 'A'), "AZr");
    assert_int_equal(h.refused.n, 1);
    unit_assert_str(h.refused.tenant, ACME);
    unit_assert_str(h.refused.actor, GUEST);
    unit_assert_str(h.refused.action, "project.created");
    unit_assert_str(h.refused.resource, "teamos.project");
    unit_assert_str(h.refused.resource_id, NULL);
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"forbidden\"}");
    assert_int_equal(h.refused.id.n, 36);
    assert_int_equal(tn_op_facts(h.op)->error, TN_E_FORBIDDEN);

    /* a row that may not be seen isn't named, be it in the path */
    SEND0(&h, R(.path = "/v1/tasks/" TASK, .token = h.guest));
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "task.read");
    unit_assert_str(h.refused.resource, "teamos.task");
    unit_assert_str(h.refused.resource_id, NULL);
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"forbidden\"}");

    /* endpoints without a resource have an action all the same */
    SEND0(&h, R(.path = "/v1/tenant", .token = h.guest));
    host_problem(&h, 403, "forbidden");
    assert_int_equal(h.refused.n, 1);
    assert_true(h.refused.action.n > 0);
    unit_assert_str(h.refused.resource_id, NULL);
    host_free(&h);
}


static void
test_by_row(void **state)
{
    host h;
    char first[36];

    (void) state;
    host_init(&h);
    SEND(&h, PATCH_TASK(h.member), { OTHERS });
    host_problem(&h, 403, "forbidden");
    assert_string_equal(strchr(h.trace, 'B'), "BWZr");
    unit_assert_str(h.refused.actor, MEMBER);
    unit_assert_str(h.refused.action, "task.updated");
    unit_assert_str(h.refused.resource, "teamos.task");
    unit_assert_str(h.refused.resource_id, TASK);
    memcpy(first, h.refused.id.p, 36);

    SEND(&h,
         R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.member,
           .body = "{}"),
         { ROWS(12, TASK_CELLS(TASK, "n", "todo", "3", OWNER)) });
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "task.updated");
    unit_assert_str(h.refused.resource_id, TASK);
    assert_memory_not_equal(h.refused.id.p, first, 36);

    SEND(&h,
         R(.method = "DELETE", .path = "/v1/tasks/" TASK, .token = h.member,
           .key = "k"),
         { ROWS(5, "3", OWNER, NULL, FRESH) });
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "task.deleted");
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks/" TASK "/restore",
           .token = h.member),
         { ROWS(20, "3", OWNER, "t", "t", "t", "t", NO_TASK, FRESH) });
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "task.restored");
    unit_assert_str(h.refused.resource_id, TASK);
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks/" TASK "/rollback",
           .token = h.member, .body = "{\"version\":1}"),
         { ROWS(20, "3", OWNER, "t", "t", "t", "t", NO_TASK, FRESH) });
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "task.rolled_back");

    /* who isn't told that it is there leaves no trace of having asked */
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/projects/" PROJECT,
           .token = h.guest),
         { ROWS(5, "3", OWNER, NULL, FRESH) });
    host_problem(&h, 404, "not_found");
    assert_int_equal(h.refused.n, 0);
    assert_null(strchr(h.trace, 'r'));
    host_free(&h);
}


/* Platform writes say themselves who may not. */
static void
test_by_statement(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);
    SEND(&h,
         R(.method = "PATCH", .path = THING, .token = h.owner,
           .body = "{\"role\":\"member\"}"),
         { ROWS(7, THING_REFUSED("forbidden")) });
    host_problem(&h, 403, "forbidden");
    assert_string_equal(strchr(h.trace, 'B'), "BWZr");
    unit_assert_str(h.refused.action, "thing.updated");
    unit_assert_str(h.refused.resource, NULL);
    unit_assert_str(h.refused.resource_id, THING_ID);

    /* a new one isn't there yet; what has no id in its path names none */
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner,
           .body = "{\"email\":\"a@b\"}"),
         { ROWS(7, THING_REFUSED("forbidden")) });
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "thing.created");
    unit_assert_str(h.refused.resource_id, NULL);
    SEND(&h,
         R(.method = "PATCH", .path = "/v1/thing", .token = h.owner,
           .body = "{\"role\":\"member\"}"),
         { ROWS(7, THING_REFUSED("forbidden")) });
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.action, "thing.updated");
    unit_assert_str(h.refused.resource_id, NULL);
    host_free(&h);
    unit_arena_free(&arena);
}


/* Told to the tenant whose member it was, and to nobody else. */
static void
test_mismatch(void **state)
{
    unsigned i;
    host h;

    (void) state;
    host_init(&h);

    for (i = 0; i < 2; i++) { /* cold, warm */
        SEND0(&h, R(.path = "/v1/tasks", .token = h.eve));
        host_problem(&h, 403, "tenant_mismatch");
        assert_int_equal(h.refused.n, 1);
        assert_string_equal(h.trace + strlen(h.trace) - 2, "Zr");
        assert_null(strchr(h.trace, 'A'));
        unit_assert_str(h.refused.tenant, UMBRELLA);
        unit_assert_str(h.refused.actor, EVE);
        unit_assert_str(h.refused.action, "auth.tenant_mismatch");
        unit_assert_str(h.refused.resource_id, NULL);
        assert_null(strstr(h.body, EVE));
        assert_null(strstr(h.body, "umbrella"));
        assert_true(tn__eq(h.op->tenant.id, TN_STR(ACME)));
        assert_null(tn_op_facts(h.op)->user_id.p);
    }

    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":2,\"code\":\"tenant_mismatch\"}");

    /* no session, no member */
    h.sessions[3].id = SESSION("ff");
    h.nzone = 0;
    SEND0(&h, R(.path = "/v1/tasks", .token = h.eve));
    assert_true(h.response->status == 401 || h.response->status == 403);
    assert_int_equal(h.refused.n, 0);
    host_free(&h);
}


static void
test_strangers(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/v1/tasks"));
    host_problem(&h, 401, "unauthenticated");
    assert_int_equal(h.refused.n, 0);
    SEND0(&h, R(.path = "/v1/tasks", .token = "x"));
    host_problem(&h, 401, "unauthenticated");
    assert_int_equal(h.refused.n, 0);
    SEND0(&h, R(.path = "/v1/tasks", .host = "sleepy.tenon.localhost",
                .token = h.owner));
    assert_int_equal(h.response->status / 100, 4);
    host_free(&h);
}


static void
test_aggregated(void **state)
{
    unsigned i, written;
    host h;
    char metadata[64];

    (void) state;
    host_init(&h);

    for (i = 1, written = 0; i <= 101; i++) {
        SEND0(&h, POST_PROJECT);
        host_problem(&h, 403, "forbidden");
        assert_int_equal(h.refused.n, i <= 10 || i == 100);
        assert_string_equal(strchr(h.trace, 'A'), h.refused.n ? "AZr" : "AZ");
        written += h.refused.n;

        if (h.refused.n) {
            snprintf(metadata, sizeof(metadata),
                     "{\"attempts\":%u,\"code\":\"forbidden\"}", i);
            unit_assert_str(h.refused.metadata, metadata);
        }
    }

    assert_int_equal(written, 11);

    /* each operation counts by itself, so that noise can't hide another; so
     * does each member */
    SEND0(&h, R(.path = "/v1/tasks", .token = h.guest));
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"forbidden\"}");
    SEND(&h, PATCH_TASK(h.member), { OTHERS });
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"forbidden\"}");

    /* a minute later it begins anew */
    h.now += 61 * (int64_t) 1000000;
    SEND0(&h, POST_PROJECT);
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"forbidden\"}");
    host_free(&h);
}


static void
test_unwritten(void **state)
{
    unsigned i;
    host h;
    char body[1024];
    static const tn_db_outcome outcomes[] = { TN_DB_ERROR, TN_DB_BUSY,
                                              TN_DB_DOWN, TN_DB_UNKNOWN };

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/v1/tasks", .token = h.guest, .request_id = "r"));
    host_problem(&h, 403, "forbidden");
    snprintf(body, sizeof(body), "%.1023s", h.body);

    for (i = 0; i < 4; i++) {
        SEND0(&h, R(.path = "/v1/tasks", .token = h.guest, .request_id = "r",
                    .unlogged = outcomes[i]));
        assert_int_equal(h.response->status, 403);
        assert_string_equal(h.body, body);
        assert_int_equal(h.refused.n, 1);
        assert_int_equal(tn_op_facts(h.op)->error, TN_E_FORBIDDEN);
        assert_null(host_response_header(&h, "Retry-After").p);
    }

    /* the zone may lose anything */
    SEND0(&h, R(.path = "/v1/tasks", .token = h.guest, .request_id = "r",
                .no_count = 1));
    assert_string_equal(h.body, body);
    assert_int_equal(h.refused.n, 0);
    SEND0(&h, R(.path = "/v1/tasks", .token = h.guest, .request_id = "r",
                .no_zone = 1));
    assert_string_equal(h.body, body);
    assert_int_equal(h.refused.n, 0);
    host_free(&h);
}


/* Finished stays finished, behind what follows as well. */
static void
test_steps_on(void **state)
{
    unsigned i;
    host h;
    tn_input input;

    (void) state;
    host_init(&h);
    memset(&input, 0, sizeof(input));
    SEND0(&h, POST_PROJECT);

    for (i = 0; i < 4; i++) {
        assert_int_equal(tn_op_step(h.op, i % 2 ? &input : NULL)->kind,
                         TN_WANT_NONE);
        assert_int_equal(tn_op_response(h.op)->status, 403);
    }

    host_free(&h);
}


/* A warm request asks the directory nothing; one behind a change does. */
static int
is_warm(host *h)
{
    SEND(h, R(.path = "/v1/tasks", .token = h->owner), { NO_ROWS(14) });
    host_assert(h, 200, NULL);

    return strchr(h->trace, 'd') == NULL;
}


static void
test_changes_access(void **state)
{
    host h;
    unit_arena arena;
    const host_request *change;

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);
    change = R(.method = "PATCH", .path = THING, .token = h.owner,
               .body = "{\"role\":\"member\"}");
    is_warm(&h);
    assert_true(is_warm(&h));

    SEND(&h, change, { ROWS(7, THING_ROW("4"), FRESH) });
    host_assert(&h, 200, NULL);
    assert_string_equal(strchr(h.trace, 'B'), "BWZ");
    assert_false(is_warm(&h));
    assert_true(is_warm(&h));

    /* done or not, nobody knows: as if done */
    SEND(&h, change, { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    assert_string_equal(strchr(h.trace, 'B'), "BWZ");
    assert_false(is_warm(&h));
    assert_true(is_warm(&h));

    /* what was refused changed nothing */
    SEND(&h, change, { ROWS(7, THING_REFUSED("last_owner")) });
    host_problem(&h, 409, "last_owner");
    assert_string_equal(strchr(h.trace, 'B'), "BWZr");
    SEND(&h, change, { .outcome = TN_DB_ERROR, .sqlstate = "40001" });
    host_problem(&h, 503, "busy");
    SEND(&h, change, { .outcome = TN_DB_BUSY });
    host_problem(&h, 503, "busy");
    assert_string_equal(strchr(h.trace, 'B'), "BW");
    assert_true(is_warm(&h));

    /* nor does what changes no access */
    SEND(&h,
         R(.method = "POST", .path = "/v1/things", .token = h.owner,
           .body = "{\"email\":\"a@b\"}"),
         { ROWS(7, THING_ROW("4"), FRESH) });
    host_assert(&h, 201, NULL);
    assert_string_equal(strchr(h.trace, 'B'), "BW");

    /* a change that nothing is answered to is one */
    SEND(&h, R(.method = "DELETE", .path = THING, .token = h.owner),
         { ROWS(3, NULL, FRESH) });
    host_assert(&h, 204, NULL);
    assert_string_equal(strchr(h.trace, 'W'), "WZ");
    assert_false(is_warm(&h));
    host_free(&h);
    unit_arena_free(&arena);
}


/* What is as it was asked for already voids nothing, however often it is asked
 * for. */
#define KEY_ROW(changed)                                                       \
    {                                                                          \
        ROWS(17, NULL, TASK, "CI", "tnk_AZ", "[]", "active", NULL, NULL, NULL, \
             NULL, "1", "2026-11-21 01:33:00+00", OWNER,                       \
             "2026-11-21 01:33:00+00", changed, FRESH)                         \
    }

static void
test_unchanged(void **state)
{
    host h;
    const host_request *change;

    (void) state;
    host_init(&h);
    change = R(.method = "PATCH", .path = "/v1/api-keys/" TASK,
               .token = h.owner, .body = "{\"name\":\"CI\"}");
    is_warm(&h);
    SEND(&h, change, KEY_ROW("f"));
    host_assert(&h, 200, "\"name\":\"CI\"");
    assert_string_equal(strchr(h.trace, 'B'), "BW");
    assert_true(is_warm(&h));
    SEND(&h, change, KEY_ROW("t"));
    host_assert(&h, 200, NULL);
    assert_string_equal(strchr(h.trace, 'B'), "BWZ");
    assert_false(is_warm(&h));
    SEND(&h, change, { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    assert_false(is_warm(&h));
    host_free(&h);
}


static void
test_ends_tenant(void **state)
{
    host h;
    unit_arena arena;

    (void) state;
    host_init_bare(&h);
    things_adopt(&h, &arena);
    is_warm(&h);
    SEND(&h, R(.method = "DELETE", .path = "/v1/thing", .token = h.owner),
         { ROWS(3, "forbidden", FRESH) });
    host_problem(&h, 403, "forbidden");
    assert_true(is_warm(&h));

    SEND(&h, R(.method = "DELETE", .path = "/v1/thing", .token = h.owner),
         { ROWS(3, NULL, FRESH) });
    host_assert(&h, 204, NULL);
    SEND0(&h, R(.path = "/v1/tasks", .token = h.owner));
    host_problem(&h, 404, "tenant_unknown");
    SEND0(&h, R(.path = "/v1/tasks", .token = h.owner,
                .host = "tenon.localhost", .tenant = ACME));
    host_problem(&h, 404, "tenant_unknown");

    /* others live on */
    SEND(&h,
         R(.path = "/v1/tasks", .token = h.eve,
           .host = "umbrella.tenon.localhost"),
         { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    host_free(&h);
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_by_role), cmocka_unit_test(test_by_row),
          cmocka_unit_test(test_by_statement), cmocka_unit_test(test_mismatch),
          cmocka_unit_test(test_strangers), cmocka_unit_test(test_aggregated),
          cmocka_unit_test(test_unwritten), cmocka_unit_test(test_steps_on),
          cmocka_unit_test(test_changes_access),
          cmocka_unit_test(test_unchanged), cmocka_unit_test(test_ends_tenant))
