/*
 * Idempotency-Key: what a request did is told again, byte for byte; another
 * body under the same key is refused, and so is one that comes too early. The
 * key is nobody's but who sent it, for what it was sent to.
 */

#include "t/00unit/host.h"

#define NO_TASK \
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
#define BODY "{\"title\":\"n\",\"project_id\":\"" PROJECT "\"}"

/* The key as the last statement has it, and the body's. */
#define KEY(h) host_bound((h), "p.key = ")


typedef struct kind {
    const char *method;
    const char *path;
    const char *body;
    const char *match;
    unsigned status;
    unsigned nfront; /* cells in front of the row */
    unsigned nrow;
    const char *front[6]; /* of a request that did something */
    const char *none[6];  /* of one that comes again */
    const char *row[12];
} kind;

#define A_TASK .nrow = 12, .row = { TASK_CELLS(TASK, "n", "todo", "4", OWNER) }

static const kind kinds[] = {
    { "POST", "/v1/tasks", BODY, NULL, 201, 3, .front = { "t", "t", "t" },
      .none = { "t", "f", "f" }, A_TASK },
    { "PATCH", "/v1/tasks/" TASK, "{\"title\":\"n\"}", "\"3\"", 200, 5,
      .front = { "3", OWNER, "t", "t", "t" }, A_TASK },
    { "POST", "/v1/tasks/" TASK "/rollback", "{\"version\":2}", "\"3\"", 200, 6,
      .front = { "3", OWNER, "t", "t", "t", "t" }, .none = { [2] = "f" },
      A_TASK },
    { "POST", "/v1/tasks/" TASK "/restore", NULL, NULL, 200, 6,
      .front = { "3", OWNER, "t", "t", "t", "t" }, A_TASK },
    { "PATCH", "/v1/tasks/" TASK, "{}", "\"3\"", 200, 2,
      .front = { "3", OWNER }, A_TASK },
    { "DELETE", "/v1/tasks/" TASK, NULL, "\"3\"", 204, 2,
      .front = { "3", OWNER }, .nrow = 1, .row = { TASK } },
};

#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))


/* Sends one of a kind; its answer's cells are put together. */
static void
send(host *h, const kind *k, const char *key, const char *const *front,
     int done, const char *go, const char *fingerprint)
{
    unsigned i, n;
    const char *cells[24];
    host_reply reply;

    n = 0;

    for (i = 0; i < k->nfront; i++) {
        cells[n++] = front ? front[i] : NULL;
    }

    for (i = 0; i < k->nrow; i++) {
        cells[n++] = done ? k->row[i] : NULL;
    }

    cells[n++] = go;
    cells[n++] = fingerprint;

    memset(&reply, 0, sizeof(reply));
    reply.rows[0] = (host_rows){ n, n, cells };
    host_send(h,
              R(.method = k->method, .path = k->path, .body = k->body,
                .if_match = k->match, .token = h->owner, .key = key,
                .prefix = "/api"),
              &reply, 1);
}


static char *
text(tn_str s)
{
    char *out;

    out = malloc(s.n + 1);
    assert_non_null(out);
    memcpy(out, s.p ? s.p : "", s.n);
    out[s.n] = '\0';

    return out;
}


static void
test_again(void **state)
{
    unsigned i;
    host h;
    const char *const names[] = { "ETag", "Location", "Content-Type" };
    char *first, *hash, *headers[3];
    unsigned n;

    (void) state;
    host_init(&h);

    for (i = 0; i < NKINDS; i++) {
        send(&h, &kinds[i], "k-1", kinds[i].front, 1, "t", NULL);
        host_assert(&h, kinds[i].status, NULL);
        assert_null(host_response_header(&h, "Idempotency-Replayed").p);
        assert_true(host_has(h.context, "set_config('tenon.go', "
                                        "pg_try_advisory_xact_lock($"));
        assert_int_equal(KEY(&h).n, 66);
        first = text(unit_str(h.body));
        hash = text(host_bound(&h, "insert into tenon.idempotency (tenant_id, "
                                   "key, fingerprint, outcome) select $2::uuid"
                                   ", $1::bytea, "));
        assert_int_equal(strlen(hash), 66);

        for (n = 0; n < 3; n++) {
            headers[n] = text(host_response_header(&h, names[n]));
        }

        /* whatever the conditions would say now: nothing was tried */
        send(&h, &kinds[i], "k-1", kinds[i].none, 1, "t", hash);
        host_assert(&h, kinds[i].status, NULL);
        assert_string_equal(h.body, first);
        unit_assert_str(host_response_header(&h, "Idempotency-Replayed"),
                        "true");

        for (n = 0; n < 3; n++) {
            unit_assert_str(host_response_header(&h, names[n]),
                            headers[n][0] ? headers[n] : NULL);
            free(headers[n]);
        }

        /* another body; nothing of the first's is told */
        send(&h, &kinds[i], "k-1", kinds[i].none, 1, "t", "\\x00");
        host_problem(&h, 422, "idempotency_mismatch");
        assert_null(strstr(h.body, PROJECT));
        assert_null(host_response_header(&h, "ETag").p);
        assert_null(host_response_header(&h, "Idempotency-Replayed").p);

        /* the first is still at work, whatever was found of others */
        send(&h, &kinds[i], "k-1", kinds[i].none, 0, "f", NULL);
        host_problem(&h, 409, "idempotency_in_progress");
        unit_assert_str(host_response_header(&h, "Retry-After"), "1");
        send(&h, &kinds[i], "k-1", kinds[i].none, 0, "f", hash);
        host_problem(&h, 409, "idempotency_in_progress");
        send(&h, &kinds[i], "k-1", kinds[i].none, 0, NULL, NULL);
        host_problem(&h, 409, "idempotency_in_progress");

        free(first);
        free(hash);
    }

    host_free(&h);
}


/* Other conflicts don't say when to come again. */
static void
test_other_conflicts(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    send(&h, &kinds[0], "k", (const char *const[]){ "t", "t", "t" }, 0, "t",
         NULL);
    host_problem(&h, 409, "state_conflict");
    assert_null(host_response_header(&h, "Retry-After").p);

    /* a refusal is none that is kept: the statement takes it from `done` */
    assert_true(host_has(h.sql, "from done where $1::bytea is not null"));
    host_free(&h);
}


/* Without a key there is none of it: no lock, nothing kept. */
static void
test_without(void **state)
{
    unsigned i;
    host h;

    (void) state;
    host_init(&h);

    for (i = 0; i < NKINDS; i++) {
        if (kinds[i].body && strcmp(kinds[i].body, "{}") == 0) {
            continue; /* only reads: resource/write.c */
        }

        send(&h, &kinds[i], NULL, kinds[i].front, 1, "t", NULL);
        host_assert(&h, kinds[i].status, NULL);
        assert_false(host_has(h.context, "tenon.go"));
        unit_assert_str(KEY(&h), NULL);
    }

    host_free(&h);
}


static void
test_malformed(void **state)
{
    unsigned i;
    host h;
    char longest[300], quoted[310];
    static const char *const bad[] = {
        "",        "\"\"", "\"",          "\"a",       "\"a\"b\"", "\"a\\",
        "\"a\\\"", "a\tb", "caf\xc3\xa9", "\"a\x7f\"", "a\x01z",   "\"\\\x01\"",
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        SEND0(&h, R(.method = "POST", .path = "/v1/tasks", .body = "{",
                    .token = h.owner, .key = bad[i]));
        host_problem(&h, 400, "malformed_request");
        host_assert(&h, 400, "Idempotency-Key");
        SEND0(&h, R(.method = "DELETE", .path = "/v1/tasks/" TASK,
                    .token = h.owner, .key = bad[i]));
        host_problem(&h, 400, "malformed_request");
    }

    memset(longest, 'k', sizeof(longest));
    longest[256] = '\0';
    snprintf(quoted, sizeof(quoted), "\"%s\"", longest);
    SEND0(&h, R(.method = "POST", .path = "/v1/tasks", .body = BODY,
                .token = h.owner, .key = longest));
    host_problem(&h, 400, "malformed_request");
    SEND0(&h, R(.method = "POST", .path = "/v1/tasks", .body = BODY,
                .token = h.owner, .key = quoted));
    host_problem(&h, 400, "malformed_request");
    longest[255] = '\0';
    send(&h, &kinds[0], longest, kinds[0].front, 1, "t", NULL);
    host_assert(&h, 201, NULL);
    snprintf(quoted, sizeof(quoted), "\"%s\"", longest);
    send(&h, &kinds[0], quoted, kinds[0].front, 1, "t", NULL);
    host_assert(&h, 201, NULL);

    /* two keys: neither may win */
    SEND0(&h, R(.method = "POST", .path = "/v1/tasks", .body = BODY,
                .token = h.owner, .key = "a",
                .header = { "idempotency-key", "a" }));
    host_problem(&h, 400, "malformed_request");

    /* who isn't let in isn't told about the key */
    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .body = "{}",
                .token = h.guest, .key = ""));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* Quotes are not a part of the key. */
static void
test_forms(void **state)
{
    host h;
    char *key;

    (void) state;
    host_init(&h);
    send(&h, &kinds[0], "a \\b", kinds[0].front, 1, "t", NULL);
    key = text(KEY(&h));
    send(&h, &kinds[0], "\"a \\\\b\"", kinds[0].front, 1, "t", NULL);
    unit_assert_str(KEY(&h), key);
    send(&h, &kinds[0], "  a \\b  ", kinds[0].front, 1, "t", NULL);
    unit_assert_str(KEY(&h), key);
    send(&h, &kinds[0], "\"a \\b\"", kinds[0].front, 1, "t", NULL);
    assert_memory_not_equal(KEY(&h).p, key, 66);
    free(key);
    host_free(&h);
}


static void
test_ignored(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    /* on what only reads */
    SEND(&h, R(.path = "/v1/tasks", .token = h.owner, .key = ""),
         { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    assert_false(host_has(h.context, "tenon.go"));
    SEND(&h,
         R(.method = "HEAD", .path = "/v1/tasks/" TASK, .token = h.owner,
           .key = "\"\""),
         { ROWS(12, TASK_CELLS(TASK, "n", "todo", "4", OWNER)) });
    host_assert(&h, 200, NULL);

    /* on what gives out secrets: they are kept nowhere */
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/login", .body = "{",
                .key = ""));
    host_problem(&h, 400, "malformed_json");
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/signup", .body = "{",
                .host = "tenon.localhost", .key = "\""));
    host_problem(&h, 400, "malformed_json");
    host_free(&h);
}


/* Whatever differs makes it another key: tenant, actor, method, path, text. */
static void
test_bound(void **state)
{
    unsigned i, k;
    host h;
    char *keys[7], *locks[7];
    const char *const patched[] = {
        "3",  OWNER, "t", "t", "t", TASK_CELLS(TASK, "n", "todo", "4", OWNER),
        FRESH
    };
    const char *const removed[] = { "3", OWNER, TASK, FRESH };
    struct {
        const char *method;
        const char *path;
        const char *token;
        const char *host;
        const char *key;
    } cases[] = {
        { "PATCH", "/v1/tasks/" TASK, h.owner, ACME_HOST, "k" },
        { "PATCH", "/v1/tasks/" TASK, h.owner, ACME_HOST, "l" },
        { "PATCH", "/v1/tasks/" TASK, h.member, ACME_HOST, "k" },
        { "PATCH", "/v1/tasks/" TASK, h.eve, "umbrella.tenon.localhost", "k" },
        { "PATCH", "/v1/tasks/" PROJECT, h.owner, ACME_HOST, "k" },
        { "DELETE", "/v1/tasks/" TASK, h.owner, ACME_HOST, "k" },
    };
    host_reply reply;

    (void) state;
    host_init(&h);
    memset(&reply, 0, sizeof(reply));

    for (i = 0; i < 6; i++) {
        reply.rows[0] = cases[i].method[0] == 'D'
                            ? (host_rows){ 5, 5, removed }
                            : (host_rows){ 19, 19, patched };
        host_send(
            &h,
            R(.method = cases[i].method, .path = cases[i].path,
              .token = cases[i].token, .host = cases[i].host,
              .key = cases[i].key,
              .body = cases[i].method[0] == 'D' ? NULL : "{\"title\":\"n\"}"),
            &reply, 1);
        assert_true(h.response->status < 500);
        keys[i] = text(KEY(&h));
        locks[i] = text(host_context_bound(&h, "pg_try_advisory_xact_lock("));
        assert_int_equal(strlen(keys[i]), 66);

        for (k = 0; k < i; k++) {
            assert_string_not_equal(keys[k], keys[i]);
            assert_string_not_equal(locks[k], locks[i]);
        }
    }

    /* and what doesn't: headers, the body */
    reply.rows[0] = (host_rows){ 19, 19, patched };
    host_send(&h,
              R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.owner,
                .key = "k", .tenant = "acme", .user_agent = "x",
                .if_match = "\"3\"", .body = "{\"title\":\"m\"}"),
              &reply, 1);
    host_assert(&h, 200, NULL);
    unit_assert_str(KEY(&h), keys[0]);
    unit_assert_str(host_context_bound(&h, "pg_try_advisory_xact_lock("),
                    locks[0]);

    for (i = 0; i < 6; i++) {
        free(keys[i]);
        free(locks[i]);
    }

    host_free(&h);
}


/* Of the body counts every byte, blanks as well. */
static void
test_fingerprint(void **state)
{
    unsigned i, k;
    host h;
    kind one;
    char *hashes[4];
    static const char *const bodies[] = {
        BODY, BODY " ", "{\"title\":\"m\",\"project_id\":\"" PROJECT "\"}", BODY
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < 4; i++) {
        one = kinds[0];
        one.body = bodies[i];
        send(&h, &one, "k", one.front, 1, "t", NULL);
        hashes[i] = text(host_bound(&h, "select $2::uuid, $1::bytea, "));

        for (k = 0; k < i && i < 3; k++) {
            assert_string_not_equal(hashes[k], hashes[i]);
        }
    }

    assert_string_equal(hashes[0], hashes[3]);

    for (i = 0; i < 4; i++) {
        free(hashes[i]);
    }

    host_free(&h);
}


/* An outcome that nobody knows is asked for again under the same key. */
static void
test_unknown(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks", .body = BODY,
           .token = h.owner, .key = "k"),
         { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_again), cmocka_unit_test(test_other_conflicts),
          cmocka_unit_test(test_without), cmocka_unit_test(test_malformed),
          cmocka_unit_test(test_forms), cmocka_unit_test(test_ignored),
          cmocka_unit_test(test_bound), cmocka_unit_test(test_fingerprint),
          cmocka_unit_test(test_unknown))
