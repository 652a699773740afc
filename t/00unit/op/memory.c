/*
 * Every call for memory of every endpoint fails once: the answer is a plain
 * 500, nothing crashes, nothing leaks. What follows from an answer leaves it
 * as it was.
 */

#include "t/00unit/things.h"

typedef struct scenario {
    host_request request;
    host_reply replies[2];
    unsigned nreplies;
    unsigned status;
} scenario;

#define DENY       .outcome = TN_DB_ERROR, .sqlstate
#define THING_BODY "{\"email\":\"a@b\",\"role\":\"member\"}"
#define JSON_TASK \
    "{\"title\":\"n\",\"project_id\":\"" PROJECT "\",\"status\":\"todo\"}"

static const char *const task_cells[] = { TASK_CELLS(TASK, "a", "todo", "3",
                                                     OWNER) };
static const char *const page_cells[] = {
    TASK_CELLS(TASK, "a", "todo", "3", OWNER), "2026-01-01 00:00:00+00", TASK,
    TASK_CELLS(TASK, "a", "todo", "3", OWNER), "2026-01-01 00:00:00+00", TASK
};
static const char *const created[] = {
    "t", "t", "t", TASK_CELLS(TASK, "a", "todo", "1", OWNER), FRESH
};
static const char *const missing[17] = { "t", "f", "f", [15] = "t" };
static const char *const updated[] = {
    "3", OWNER, "t", "t", "t", TASK_CELLS(TASK, "a", "todo", "4", OWNER), FRESH
};
static const char *const lost[19] = { "3", OWNER, "f", "f", "f", [17] = "t" };
static const char *const removed[] = { "3", OWNER, TASK, FRESH };
static const char *const swallowed[15] = { "t", [13] = "t" };
static const char *const kept[] = { "3", OWNER,
                                    TASK_CELLS(TASK, "a", "todo", "3", OWNER),
                                    FRESH };
static const char *const back[] = {
    "3",  OWNER, "t", "t", "t", "t", TASK_CELLS(TASK, "a", "todo", "4", OWNER),
    FRESH
};
static const char *const not_found[20] = { "3", OWNER, "f", [18] = "t" };
static const char *const working[17] = { "t", "t", "t", [15] = "f" };
static const char *const mismatch[] = {
    "t", "t", "t", TASK_CELLS(TASK, "a", "todo", "1", OWNER), "t", "\\x00"
};
static const char *const thing[] = { THING_ROW("4"), FRESH };
static const char *const thing_refused[] = { THING_REFUSED(
    "invalid_fields /role not_in_set;/email duplicate") };
static const char *const thing_forbidden[] = { THING_REFUSED("forbidden") };
static const char *const project_cells[] = {
    PROJECT, "p",
    NULL,    NULL,
    NULL,    "f",
    "0",     NULL,
    "1",     "2026-01-01 00:00:00+00",
    OWNER,   "2026-01-01 00:00:00+00"
};
static const char *const known[] = { "t" };
static const char *const me_cells[] = { OWNER, "m",  "M", "owner", "{}", "t",
                                        "f",   NULL, "f", "[]",    NULL, "1" };
static const char *const tenant_cells[] = { ACME,   "Acme",
                                            "acme", "active",
                                            "2",    "2026-01-01 00:00:00+00",
                                            NULL,   "2026-01-01 00:00:00+00" };
static const char *const event_cells[] = { TASK,
                                           "2026-01-01 00:00:00+00",
                                           "task.created",
                                           "success",
                                           "{\"a\": 1}",
                                           OWNER,
                                           "teamos.task",
                                           TASK,
                                           "1",
                                           "r",
                                           NULL,
                                           NULL,
                                           NULL,
                                           NULL,
                                           "{}",
                                           "2026-01-01 00:00:00+00",
                                           TASK };
static const char *const pair[] = { "{}", "{}" };
static const char *const schema[] = { TEAMOS_SCHEMA };
static const char *const two[] = { "2" };
static const char *const found_none[8] = { NULL, NULL,   NULL, NULL,
                                           NULL, "Acme", "f",  "f" };
static char hash[128];
static const char *found_member[8] = { OWNER,   "a",    "A", hash,
                                       "owner", "Acme", "f", "f" };

static const char *const started[] = {
    "3",  OWNER, "t", "todo", "t", TASK_CELLS(TASK, "a", "todo", "4", OWNER),
    FRESH
};
static const char *const elsewhere[19] = { "3", OWNER, "t",
                                           "lost", [17] = "t" };
static const char *const handed[] = { "3", OWNER, "t", NULL,
                                      "t", "3",   "t", FRESH };
static const char *const archived[] = {
    "3", OWNER, "t", NULL, "t", TASK, FRESH
};
static const char *const workload[] = { OWNER, "2", "2026-01-31",
                                        OWNER, "2", "2026-01-31" };

/* of the event below, at HOST_START by HOST_STRIPE_SECRET */
#define EVENT_V1 \
    "a9f43147aec04a4eb08e14bf2028ce1f41bd50f4fe4163bf523f710f74e3097d"

#define START "/v1/tasks/" TASK "/start"

#define FILLED(ncols, cells)                               \
    {                                                      \
        (ncols), sizeof(cells) / sizeof(cells[0]), (cells) \
    }
#define TABLE(ncols, cells)                                                \
    {                                                                      \
        .rows = { { (ncols), sizeof(cells) / sizeof(cells[0]), (cells) } } \
    }

static const scenario scenarios[] = {
    { { .path = "/live" }, { { .lookup = 0 } }, 0, 200 },
    { { .path = "/ready" }, { TABLE(1, schema) }, 1, 200 },
    { { .path = "/.well-known/jwks.json" }, { { .lookup = 0 } }, 0, 200 },
    { { .path = "/nowhere" }, { { .lookup = 0 } }, 0, 404 },
    { { .method = "PUT", .path = "/v1/tasks" }, { { .lookup = 0 } }, 0, 405 },
    { { .path = "/v1/tasks", .query = "limit=x&y=%ff" },
      { { .lookup = 0 } },
      0,
      400 },
    { { .path = "/v1/tasks", .query = "limit=x&y=1" },
      { { .lookup = 0 } },
      0,
      400 },
    { { .path = "/v1/tasks",
        .query = "limit=1&project_id=" PROJECT "&status=todo" },
      { TABLE(14, page_cells) },
      1,
      200 },
    { { .path = "/v1/projects",
        .query = "due=2026-01-01T00:00:00Z&budget=1.5&sort=rank" },
      { { NO_ROWS(14) } },
      1,
      200 },
    { { .path = "/v1/audit/events" }, { TABLE(17, event_cells) }, 1, 200 },
    { { .path = "/v1/tasks/" TASK }, { TABLE(12, task_cells) }, 1, 200 },
    { { .path = "/v1/tasks/" TASK, .if_none_match = "\"3\"" },
      { TABLE(12, task_cells) },
      1,
      304 },
    { { .path = "/v1/tasks/" TASK }, { { DENY = "XX000" } }, 1, 500 },
    { { .method = "POST", .path = "/v1/tasks", .body = JSON_TASK },
      { TABLE(17, created) },
      1,
      201 },
    { { .method = "POST", .path = "/v1/tasks", .body = JSON_TASK },
      { TABLE(17, missing) },
      1,
      422 },
    { { .method = "POST", .path = "/v1/tasks", .body = "{\"a\":" },
      { { .lookup = 0 } },
      0,
      400 },
    { { .method = "POST",
        .path = "/v1/projects",
        .body = "{\"name\":\"n\",\"due\":\"2026-01-01T00:00:00Z\","
                "\"settings\":{\"a\":[1,2]},\"budget\":1.5,\"rank\":3,"
                "\"code\":\"AB\"}" },
      { TABLE(15, swallowed) },
      1,
      409 },
    { { .method = "POST",
        .path = "/v1/projects",
        .body = "{\"name\":\"\",\"due\":\"x\",\"a/b\":1,\"budget\":-1,"
                "\"rank\":1e99,\"code\":\"x\"}" },
      { { .lookup = 0 } },
      0,
      422 },
    { { .method = "PATCH",
        .path = "/v1/tasks/" TASK,
        .if_match = "\"3\"",
        .body = JSON_TASK },
      { TABLE(19, updated) },
      1,
      200 },
    { { .method = "PATCH", .path = "/v1/tasks/" TASK, .body = JSON_TASK },
      { TABLE(19, lost) },
      1,
      422 },
    { { .method = "PATCH",
        .path = "/v1/tasks/" TASK,
        .body = "{\"priority\":\"no\"}" },
      { { .lookup = 0 } },
      0,
      422 },
    { { .method = "PATCH", .path = "/v1/tasks/" TASK, .body = "{}" },
      { TABLE(12, task_cells) },
      1,
      200 },
    { { .method = "DELETE", .path = "/v1/tasks/" TASK },
      { TABLE(5, removed) },
      1,
      204 },
    { { .method = "POST",
        .path = "/v1/inbound/stripe",
        .host = "tenon.localhost",
        .header = { "Stripe-Signature", "t=1763690000,v1=" EVENT_V1 },
        .body = "{\"id\":\"a\",\"type\":\"b\"}" },
      { TABLE(1, known) },
      1,
      204 },
    { { .path = "/v1/me" }, { TABLE(12, me_cells) }, 1, 200 },
    { { .path = "/v1/tenant" }, { TABLE(8, tenant_cells) }, 1, 200 },
    { { .method = "POST", .path = "/v1/auth/logout" },
      { { .rows = { { 1, 0, NULL } } } },
      1,
      204 },
    { { .method = "POST",
        .path = "/v1/auth/login",
        .body = "{\"email\":\"a@b\",\"password\":\"x\"}" },
      { TABLE(8, found_none), TABLE(1, two) },
      2,
      401 },
    { { .method = "POST",
        .path = "/v1/auth/login",
        .body = "{\"email\":\"a@b\",\"password\":\"x\"}" },
      { TABLE(8, found_member), TABLE(1, two) },
      2,
      200 },
    { { .method = "POST",
        .path = "/v1/auth/signup",
        .host = "tenon.localhost",
        .body = "{\"email\":\"a@b\",\"password\":\"12345678\",\"name\":\"n\","
                "\"organization\":{\"name\":\"o\",\"slug\":\"abc\"}}" },
      { TABLE(2, pair) },
      1,
      201 },
    { { .method = "POST",
        .path = "/v1/auth/signup",
        .host = "tenon.localhost",
        .body = "{\"email\":\"a@b\",\"password\":\"12345678\",\"name\":\"n\","
                "\"organization\":{\"name\":\"o\",\"slug\":\"abc\"}}" },
      { { DENY = "23505", .constraint = "user_email_key" } },
      1,
      409 },
};


/* With a key, and what else a request may carry. */
#define KEYED                                            \
    .key = "\"k\"", .origin = "https://app.example.org", \
    .traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static const scenario contract[] = {
    { { .method = "OPTIONS", .path = "/v1/tasks", .preflight = "POST", KEYED },
      { { .lookup = 0 } },
      0,
      204 },
    { { .method = "POST", .path = "/v1/tasks", .body = JSON_TASK, KEYED },
      { TABLE(17, created) },
      1,
      201 },
    { { .method = "POST", .path = "/v1/tasks", .body = JSON_TASK, KEYED },
      { TABLE(17, working) },
      1,
      409 },
    { { .method = "POST", .path = "/v1/tasks", .body = JSON_TASK, KEYED },
      { TABLE(17, mismatch) },
      1,
      422 },
    { { .method = "POST", .path = "/v1/tasks", .body = "{}", .key = "\"" },
      { { .lookup = 0 } },
      0,
      400 },
    { { .method = "PATCH",
        .path = "/v1/tasks/" TASK,
        .if_match = "\"3\"",
        .body = JSON_TASK,
        KEYED },
      { TABLE(19, updated) },
      1,
      200 },
    { { .method = "PATCH", .path = "/v1/tasks/" TASK, .body = "{}", KEYED },
      { TABLE(16, kept) },
      1,
      200 },
    { { .method = "DELETE", .path = "/v1/tasks/" TASK, KEYED },
      { TABLE(5, removed) },
      1,
      204 },
    { { .method = "POST",
        .path = "/v1/tasks/" TASK "/rollback",
        .if_match = "\"3\"",
        .body = "{\"version\":2}",
        KEYED },
      { TABLE(20, back) },
      1,
      200 },
    { { .method = "POST",
        .path = "/v1/tasks/" TASK "/rollback",
        .body = "{\"version\":2}" },
      { TABLE(20, not_found) },
      1,
      422 },
    { { .method = "POST", .path = "/v1/tasks/" TASK "/restore", KEYED },
      { TABLE(20, back) },
      1,
      200 },
    { { .method = "POST", .path = "/v1/tasks/" TASK "/restore" },
      { TABLE(20, not_found) },
      1,
      409 },
    { { .method = "DELETE", .path = "/v1/notes/" TASK, KEYED },
      { { .lookup = 0 } },
      0,
      428 },
    { { .path = "/v1/tasks/" TASK "/history", .query = "limit=1&fields=id" },
      { { .rows = { FILLED(1, known), FILLED(17, event_cells) } } },
      1,
      200 },
    { { .path = "/v1/projects/" PROJECT "/tasks", .query = "limit=1&q=abc" },
      { { .rows = { FILLED(12, project_cells), FILLED(14, page_cells) } } },
      1,
      200 },
    { { .method = "POST", .path = "/v1/things", .body = THING_BODY, KEYED },
      { TABLE(7, thing) },
      1,
      201 },
    { { .method = "PATCH", .path = THING, .body = THING_BODY, KEYED },
      { TABLE(7, thing) },
      1,
      200 },
    { { .method = "PATCH", .path = THING, .body = THING_BODY, KEYED },
      { TABLE(7, thing_refused) },
      1,
      422 },
    { { .method = "POST", .path = "/v1/things", .body = THING_BODY },
      { { DENY = "23505", .constraint = "thing_email_key" } },
      1,
      409 },
    { { .method = "PATCH", .path = THING, .body = THING_BODY, KEYED },
      { TABLE(7, thing_forbidden) },
      1,
      403 },
    { { .method = "POST",
        .path = START,
        .if_match = "\"3\"",
        .body = "{\"remark\":\"r\",\"at\":\"2026-01-31\"}",
        KEYED },
      { TABLE(19, started) },
      1,
      200 },
    { { .method = "POST", .path = START, KEYED },
      { TABLE(19, elsewhere) },
      1,
      409 },
    { { .method = "POST",
        .path = START,
        .body = "{\"remark\":\"012345678901234567890\",\"at\":\"x\"}" },
      { { .lookup = 0 } },
      0,
      422 },
    { { .method = "POST",
        .path = "/v1/tasks/" TASK "/hand-over",
        .body = "{\"user_id\":\"" OWNER "\",\"days\":3}",
        KEYED },
      { TABLE(9, handed) },
      1,
      200 },
    { { .method = "POST",
        .path = "/v1/projects/" PROJECT "/archive-now",
        KEYED },
      { TABLE(8, archived) },
      1,
      204 },
    { { .method = "POST", .path = START },
      { { DENY = "TN422", .constraint = "ward_full", .column = "ward",
          .message = "No." } },
      1,
      422 },
    { { .method = "POST", .path = START },
      { { DENY = "42883", .message = "no such function", .nested = 1 } },
      1,
      500 },
    { { .method = "POST", .path = START },
      { { DENY = "TN403", .message = "No." } },
      1,
      403 },
    { { .method = "PATCH",
        .path = "/v1/projects/" PROJECT,
        .body = "{\"code\":\"AB\"}" },
      { { DENY = "23505", .constraint = "project_code_key" } },
      1,
      409 },
    { { .path = "/v1/queries/workload",
        .query = "since=2026-01-31&word=ab&mine=true&share=0.25&least=1"
                 "&until=2026-01-01T00:00:00Z&shape=[1]&by=" OWNER },
      { TABLE(3, workload) },
      1,
      200 },
    { { .path = "/v1/queries/workload",
        .query = "word=a&least=-1&share=2&shape=x&by=x&status=x&y=1" },
      { { .lookup = 0 } },
      0,
      400 },
    { { .path = "/v1/queries/summary" }, { TABLE(2, pair) }, 1, 200 },
    { { .path = "/v1/projects", .query = "settings[contains]={\"a\":[1]}" },
      { { NO_ROWS(14) } },
      1,
      200 },
    { { .path = "/v1/tasks", .host = "umbrella.tenon.localhost" },
      { { .lookup = 0 } },
      0,
      403 },
};


/* Whether the answer stood before the memory was gone: a refusal is written
 * down behind it. */
static int
stands(const host *h, const scenario *s)
{
    return s->status == 403 && h->response->status == 403 &&
           strchr(h->trace, 'Z') && tn_op_facts(h->op)->error != TN_OK;
}


static void
walk(host *h, const scenario *s, const host_request *r)
{
    size_t n;
    unsigned stood;
    host_request one = *r;

    stood = 0;

    for (n = 1;; n++) {
        assert_true(n < 2000);
        h->nzone = 0;
        one.fail_at = n;
        host_send(h, &one, s->replies, s->nreplies);

        if (h->arena.calls < n) {
            break;
        }

        if (stands(h, s)) {
            stood++;
            continue;
        }

        assert_int_equal(stood, 0);

        if (h->response->status != 500) {
            fail_msg("%s %s: call %zu failed, yet: %u %s", r->method, r->path,
                     n, h->response->status, h->body);
        }

        if (h->op) {
            assert_int_equal(tn_op_facts(h->op)->error, TN_E_INTERNAL);
        }
    }

    host_assert(h, s->status, NULL);
    assert_true(n > 1);
    assert_int_equal(stood > 0, s->status == 403);
}


static void
test_every_call_fails_once(void **state)
{
    size_t i;
    host h;
    host_request r;

    (void) state;
    host_init(&h);
    assert_int_equal(crypto_pwhash_str_alg(hash, "x", 1,
                                           crypto_pwhash_OPSLIMIT_MIN,
                                           crypto_pwhash_MEMLIMIT_MIN,
                                           crypto_pwhash_ALG_ARGON2ID13),
                     0);

    for (i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        r = scenarios[i].request;
        r.token = h.owner;
        walk(&h, &scenarios[i], &r);
    }

    host_free(&h);
}


static void
test_contract(void **state)
{
    size_t i;
    host h;
    host_request r;
    unit_arena arena;

    (void) state;
    host_init_cors(&h, "https://app.example.org");
    things_adopt(&h, &arena);

    for (i = 0; i < sizeof(contract) / sizeof(contract[0]); i++) {
        r = contract[i].request;
        r.token = h.owner;
        walk(&h, &contract[i], &r);
    }

    host_free(&h);
    unit_arena_free(&arena);
}


/* The static answer is whole: a problem with everything but an id. */
static void
test_static_responses(void **state)
{
    int err;
    unsigned i, retry;
    const tn_response *r;
    char status[64];

    (void) state;

    for (err = -1; err <= TN_E_COUNT; err++) {
        r = tn_response_static((tn_err) err);
        assert_true(r->status >= 400 && r->status < 600);
        snprintf(status, sizeof(status), "\"status\":%u,\"detail\":\"",
                 r->status);
        assert_true(host_has(r->body, status));

        for (i = retry = 0; i < r->nheaders; i++) {
            retry += host_has(r->headers[i].name, "Retry-After");
        }
        assert_int_equal(retry, r->status == 503);
    }

    assert_int_equal(tn_response_static(TN_OK)->status, 500);
    assert_int_equal(tn_response_static(TN_E_BUSY)->status, 503);
    assert_int_equal(tn_response_static(TN_E_DUPLICATE)->status, 409);
}


UNIT_MAIN(cmocka_unit_test(test_every_call_fails_once),
          cmocka_unit_test(test_contract),
          cmocka_unit_test(test_static_responses))
