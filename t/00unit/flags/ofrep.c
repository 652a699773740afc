/*
 * Flags evaluated over OFREP, out of the zone or the database; and that a change
 * of a flag holds from the next request on.
 */

#include "t/00unit/host.h"

#define FLAG_ID "0192f0c0-0000-7000-8000-0000000000e7"
#define AS(who, ...)                                                  \
    R(.method = "POST", .path = "/ofrep/v1/evaluate/flags/dark-mode", \
      .token = (who), __VA_ARGS__)
#define ONE(...) AS(h.member, __VA_ARGS__)
#define ALL(...)                                                               \
    R(.method = "POST", .path = "/ofrep/v1/evaluate/flags", .token = h.member, \
      __VA_ARGS__)
#define EMPTY "{\"context\":{}}"
#define DOCUMENT(version, enabled, rules)                   \
    "{\"version\":" version ",\"enabled\":" enabled         \
    ",\"default\":\"on\",\"off\":\"off\",\"rules\":[" rules \
    "],\"variants\":{\"on\":true,\"off\":false}}"
#define DARK(version) "dark-mode\x1f" DOCUMENT(version, "true", "")
#define SHARED(key)                  \
    key "\x1f" DOCUMENT("1", "true", \
                        "{\"split\":[{\"variant\":\"on\",\"weight\":1}]}")
#define UPDATED(changed)                                                      \
    NULL, FLAG_ID, "dark-mode", "", "boolean", "f", "{}", "on", "off", "[]",  \
        "2", "2026-11-21 01:33:00.12+00", OWNER, "2026-11-21 01:33:00.12+00", \
        (changed), FRESH


static void
test_one(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, ONE(.body = EMPTY), { ROWS(1, DARK("3")) });
    host_assert(&h, 200,
                "{\"key\":\"dark-mode\",\"value\":true,\"reason\":\"STATIC\","
                "\"variant\":\"on\",\"metadata\":{\"version\":3}}");
    assert_null(host_response_header(&h, "ETag").p);

    /* and then without a trip */
    SEND0(&h, ONE(.body = EMPTY));
    host_assert(&h, 200, "\"reason\":\"STATIC\"");
    assert_null(strpbrk(h.trace, "dD"));

    /* whoever of the tenant asks */
    SEND0(&h, AS(h.owner, .body = "{}"));
    host_assert(&h, 200, "\"value\":true");
    SEND0(&h, AS(h.owner, .body = "{\"context\":null}"));
    host_assert(&h, 200, "\"value\":true");

    /* another tenant has its own */
    SEND(&h, AS(h.eve, .body = EMPTY, .host = "umbrella.tenon.localhost"),
         { ROWS(1, "") });
    host_problem(&h, 404, "not_found");
    SEND0(&h, AS(h.eve, .body = EMPTY, .host = "umbrella.tenon.localhost"));
    host_problem(&h, 404, "not_found");

    /* nobody is told anything */
    SEND0(&h, R(.method = "POST", .path = "/ofrep/v1/evaluate/flags/dark-mode",
                .body = EMPTY));
    host_problem(&h, 401, "unauthenticated");
    SEND0(&h, R(.method = "POST", .path = "/ofrep/v1/evaluate/flags/dark-mode",
                .body = EMPTY, .token = h.guest));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


static void
test_refusals(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, ONE(.body = EMPTY),
         { ROWS(1, SHARED("dark-mode") "\n" SHARED("e")) });
    host_problem(&h, 400, "targeting_key_missing");
    host_assert(&h, 400,
                "\"key\":\"dark-mode\",\"errorCode\":\"TARGETING_KEY_MISSING\","
                "\"errorDetails\":\"");

    SEND0(&h, R(.method = "POST", .path = "/ofrep/v1/evaluate/flags/dark",
                .body = EMPTY, .token = h.member));
    host_problem(&h, 404, "not_found");
    host_assert(&h, 404,
                "\"key\":\"dark\",\"errorCode\":\"FLAG_NOT_FOUND\","
                "\"errorDetails\":\"There is no flag of this key.\"}");

    SEND0(&h, ONE(.body = "{\"context\":"));
    host_problem(&h, 400, "malformed_json");
    host_assert(&h, 400, "\"key\":\"dark-mode\",\"errorCode\":\"PARSE_ERROR\"");

    SEND0(&h, ONE(.body = "{\"context\":[]}"));
    host_problem(&h, 400, "invalid_context");
    host_assert(&h, 400, "\"pointer\":\"/context\"");
    host_assert(&h, 400, "\"errorCode\":\"INVALID_CONTEXT\"");

    SEND0(&h, ONE(.body = "{\"context\":{\"targetingKey\":7}}"));
    host_problem(&h, 400, "invalid_context");
    host_assert(&h, 400, "\"pointer\":\"/context/targetingKey\"");

    /* the path is what it is, decoded */
    SEND0(&h, R(.method = "POST", .path = "/ofrep/v1/evaluate/flags/\xff\"",
                .body = EMPTY, .token = h.member));
    host_problem(&h, 404, "not_found");
    host_assert(&h, 404, "\"errorCode\":\"FLAG_NOT_FOUND\"");
    assert_null(strstr(h.body, "\"key\":"));

    SEND0(&h, ALL(.body = "{\"context\":{},\"flags\":[]}"));
    host_problem(&h, 400, "invalid_context");
    host_assert(&h, 400, "\"pointer\":\"/flags\",\"code\":\"unknown_field\"");
    assert_null(strstr(h.body, "\"key\":"));

    SEND0(&h, R(.method = "POST", .path = "/ofrep/v1/evaluate/flags",
                .query = "x=1", .body = EMPTY, .token = h.member));
    host_problem(&h, 400, "unknown_parameter");
    host_assert(&h, 400, "\"errorCode\":\"GENERAL\"");

    SEND0(&h, R(.path = "/ofrep/v1/evaluate/flags", .token = h.member));
    host_problem(&h, 405, "method_not_allowed");
    assert_null(strstr(h.body, "errorCode"));
    host_free(&h);
}


/* n of `one`, with commas between and numbers for its %u, in the context's
 * braces or an array's of "a~/b". */
static const char *
context_of(char *out, size_t size, unsigned n, int array)
{
    unsigned i;
    size_t at;

    at = (size_t) snprintf(out, size, "{\"context\":{%s",
                           array ? "\"a~/b\":[" : "");

    for (i = 0; i < n; i++) {
        at +=
            (size_t) snprintf(out + at, size - at,
                              array ? "%s%u" : "%s\"m%u\":0", i ? "," : "", i);
    }

    at += (size_t) snprintf(out + at, size - at, "%s}}", array ? "]" : "");
    assert_in_range(at, 1, size - 1);

    return out;
}


/* Only what can be compared in no time is a context. */
static void
test_bounds(void **state)
{
    host h;
    char key[300], body[4096];

    (void) state;
    host_init(&h);
    SEND(&h, ONE(.body = context_of(body, sizeof(body), 200, 0)),
         { ROWS(1, SHARED("dark-mode")) });
    host_problem(&h, 400, "targeting_key_missing");
    SEND0(&h, ONE(.body = context_of(body, sizeof(body), 100, 1)));
    host_problem(&h, 400, "targeting_key_missing");

    SEND0(&h, ONE(.body = context_of(body, sizeof(body), 201, 0)));
    host_problem(&h, 400, "invalid_context");
    host_assert(&h, 400,
                "{\"pointer\":\"/context\",\"code\":\"too_long\",\"detail\":"
                "\"must have at most 200 members\"}");
    SEND0(&h, ALL(.body = context_of(body, sizeof(body), 101, 1)));
    host_problem(&h, 400, "invalid_context");
    host_assert(&h, 400,
                "{\"pointer\":\"/context/a~0~1b\",\"code\":\"too_long\","
                "\"detail\":\"must have at most 100 elements\"}");

    memset(key, 'u', sizeof(key));
    snprintf(body, sizeof(body), "{\"context\":{\"targetingKey\":\"%.256s\"}}",
             key);
    SEND0(&h, ONE(.body = body));
    host_assert(&h, 200, "\"reason\":\"SPLIT\"");
    snprintf(body, sizeof(body), "{\"context\":{\"targetingKey\":\"%.257s\"}}",
             key);
    SEND0(&h, ONE(.body = body));
    host_problem(&h, 400, "invalid_context");
    host_assert(&h, 400,
                "{\"pointer\":\"/context/targetingKey\",\"code\":"
                "\"too_long\"");
    host_free(&h);
}


/* "k", which compares 100 elements with 100 values five times over, and what
 * stands before and behind it. */
static void
test_too_long(void **state)
{
    host h;
    unsigned i, k;
    size_t n;
    char body[4096];
    static char rows[16384];

    (void) state;
    host_init(&h);
    n = (size_t) snprintf(rows, sizeof(rows),
                          "a\x1f%s\nk\x1f"
                          "{\"enabled\":true,\"rules\":[{\"when\":[",
                          DOCUMENT("1", "true", ""));

    for (i = 0; i < 5; i++) {
        n += (size_t) snprintf(rows + n, sizeof(rows) - n,
                               "%s{\"attribute\":\"a~/b\",\"op\":\"not_in\","
                               "\"values\":[-1",
                               i ? "," : "");

        for (k = 1; k < 100; k++) {
            n += (size_t) snprintf(rows + n, sizeof(rows) - n, ",-%u", k);
        }

        n += (size_t) snprintf(rows + n, sizeof(rows) - n, "]}");
    }

    n += (size_t) snprintf(rows + n, sizeof(rows) - n,
                           "],\"variant\":\"on\"}]}\nz\x1f%s",
                           DOCUMENT("1", "true", ""));
    assert_in_range(n, 1, sizeof(rows) - 1);
    context_of(body, sizeof(body), 100, 1);

    SEND(&h, ALL(.body = body), { ROWS(1, rows) });
    host_assert(&h, 200, "{\"flags\":[{\"key\":\"a\",\"value\":true,");
    host_assert(&h, 200,
                "{\"key\":\"k\",\"errorCode\":\"GENERAL\",\"errorDetails\":"
                "\"The flags' conditions and the context make more comparisons "
                "than a request may");
    host_assert(&h, 200, "{\"key\":\"z\",\"value\":true,");

    SEND0(&h, R(.method = "POST", .path = "/ofrep/v1/evaluate/flags/k",
                .body = body, .token = h.member));
    host_problem(&h, 400, "evaluation_too_long");
    host_assert(&h, 400, "\"key\":\"k\",\"errorCode\":\"GENERAL\"");
    host_free(&h);
}


static void
test_all(void **state)
{
    host h;
    char etag[64];

    (void) state;
    host_init(&h);
    SEND(&h, ALL(.body = EMPTY),
         { ROWS(1, DARK("3") "\n" SHARED("e") "\nf\x1f{}\ng\x1f{") });
    host_assert(&h, 200,
                "{\"flags\":[{\"key\":\"dark-mode\",\"value\":true,\"reason\":"
                "\"STATIC\",\"variant\":\"on\",\"metadata\":{\"version\":3}},"
                "{\"key\":\"e\",\"errorCode\":\"TARGETING_KEY_MISSING\","
                "\"errorDetails\":\"");
    host_assert(&h, 200, "{\"key\":\"f\",\"errorCode\":\"GENERAL\",");
    host_assert(&h, 200, "{\"key\":\"g\",\"errorCode\":\"GENERAL\",");
    snprintf(etag, sizeof(etag), "%.*s",
             (int) host_response_header(&h, "ETag").n,
             host_response_header(&h, "ETag").p);

    SEND0(&h, ALL(.body = EMPTY, .if_none_match = etag));
    host_assert(&h, 304, NULL);
    unit_assert_str(host_response_header(&h, "ETag"), etag);

    /* another context, another answer */
    SEND0(&h, ALL(.body = "{\"context\":{\"targetingKey\":\"u\"}}",
                  .if_none_match = etag));
    host_assert(&h, 200, "{\"key\":\"e\",\"value\":true,\"reason\":\"SPLIT\",");

    /* there are none */
    h.now += 6000000;
    SEND(&h, ALL(.body = EMPTY, .if_none_match = etag), { ROWS(1, "") });
    host_assert(&h, 200, "{\"flags\":[]}");
    SEND0(&h, ALL(.body = EMPTY));
    host_assert(&h, 200, "{\"flags\":[]}");
    host_free(&h);
}


/* Forty flags. */
static void
many_rows(char *rows, size_t size)
{
    unsigned i;
    size_t n;

    n = 0;

    for (i = 0; i < 40; i++) {
        n += (size_t) snprintf(rows + n, size - n, "%skey-%02u\x1f%s",
                               i ? "\n" : "", i, DOCUMENT("1", "true", ""));
    }
}


/* Longer than a cell, and than one look; parts that are lost cost a trip. */
static void
test_many(void **state)
{
    unsigned i;
    host h;
    static char rows[32768];

    (void) state;
    host_init(&h);
    many_rows(rows, sizeof(rows));
    SEND(&h, ALL(.body = EMPTY), { ROWS(1, rows) });
    host_assert(&h, 200, "{\"key\":\"key-39\",\"value\":true");
    SEND0(&h, ALL(.body = EMPTY));
    host_assert(&h, 200, "{\"key\":\"key-39\",\"value\":true");
    SEND0(&h, R(.method = "POST", .path = "/ofrep/v1/evaluate/flags/key-39",
                .body = EMPTY, .token = h.member));
    host_assert(&h, 200, "\"value\":true");

    /* the last part gives way */
    for (i = 0; i < h.nzone; i++) {
        if (h.zone[i].n && memmem(h.zone[i].value, h.zone[i].n, "key-39", 6)) {
            h.zone[i].until = 0;
        }
    }

    SEND(&h, ALL(.body = EMPTY), { ROWS(1, rows) });
    host_assert(&h, 200, "{\"key\":\"key-39\",\"value\":true");
    SEND0(&h, ALL(.body = EMPTY));
    host_assert(&h, 200, "{\"key\":\"key-39\",\"value\":true");

    /* a zone that keeps nothing */
    h.lossy = 1;
    SEND(&h, ALL(.body = EMPTY), { ROWS(1, rows) });
    host_assert(&h, 200, "{\"key\":\"key-39\",\"value\":true");
    host_free(&h);
}


static unsigned
cells(const host *h)
{
    unsigned i, n;

    n = 0;

    for (i = 0; i < h->nzone; i++) {
        n += h->zone[i].until > h->now;
    }

    return n;
}


/* Whoever makes the node read its flags anew takes no further cells, but for the
 * first. */
static void
test_same_cells(void **state)
{
    unsigned i, before;
    host h;
    host_request patch = { .method = "PATCH", .path = "/v1/flags/" FLAG_ID };
    static char rows[32768];

    (void) state;
    host_init(&h);
    patch.token = h.owner;
    patch.body = "{\"enabled\":false}";
    many_rows(rows, sizeof(rows));
    SEND(&h, &patch, { .outcome = TN_DB_UNKNOWN });
    SEND(&h, ALL(.body = EMPTY), { ROWS(1, rows) });
    before = cells(&h);
    assert_in_range(before, 10, 60);

    for (i = 1; i < 4; i++) {
        SEND(&h, &patch, { .outcome = TN_DB_UNKNOWN });
        SEND(&h, ALL(.body = EMPTY), { ROWS(1, rows) });
        host_assert(&h, 200, "{\"key\":\"key-39\",\"value\":true");
        assert_int_equal(cells(&h), before + i);
        SEND0(&h, ALL(.body = EMPTY));
        host_assert(&h, 200, "{\"key\":\"key-39\",\"value\":true");
    }

    host_free(&h);
}


static void
test_changes(void **state)
{
    host h;
    host_request patch = { .method = "PATCH", .path = "/v1/flags/" FLAG_ID };

    (void) state;
    host_init(&h);
    patch.token = h.owner;
    patch.body = "{\"enabled\":false}";
    SEND(&h, ONE(.body = EMPTY), { ROWS(1, DARK("1")) });

    /* nothing was done: nothing is forgotten */
    SEND(&h, &patch,
         { ROWS(17, "not_found", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, "f", FRESH) });
    host_problem(&h, 404, "not_found");
    SEND0(&h, ONE(.body = EMPTY));

    SEND(&h, &patch, { ROWS(17, UPDATED("f")) });
    host_assert(&h, 200, "\"enabled\":false");
    SEND0(&h, ONE(.body = EMPTY));

    SEND(&h, &patch, { ROWS(17, UPDATED("t")) });
    host_assert(&h, 200, "\"enabled\":false");
    SEND(&h, ONE(.body = EMPTY), { ROWS(1, DARK("2")) });
    host_assert(&h, 200, "\"version\":2");
    SEND0(&h, ONE(.body = EMPTY));

    /* nor does anybody know whether it was */
    SEND(&h, &patch, { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    SEND(&h, ONE(.body = EMPTY), { ROWS(1, DARK("3")) });

    /* another node's change */
    h.now += 5100000;
    SEND(&h, ONE(.body = EMPTY), { ROWS(1, DARK("4")) });
    host_assert(&h, 200, "\"version\":4");
    host_free(&h);
}


/* A reader that was late keeps what nobody asks for. */
static void
change_meanwhile(host *h, unsigned n)
{
    unsigned i;

    if (n != 6) { /* it has read, and not kept yet */
        return;
    }

    for (i = 0; i < h->nzone; i++) {
        if (h->zone[i].n == 16 && h->zone[i].until > h->now + 200000000) {
            h->zone[i].value[0] ^= 1;
        }
    }
}


static void
test_late(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, ONE(.body = EMPTY), { ROWS(1, DARK("1")) });
    h.now += 5100000;
    SEND(&h, ONE(.body = EMPTY, .between = change_meanwhile),
         { ROWS(1, DARK("1")) });
    SEND(&h, ONE(.body = EMPTY), { ROWS(1, DARK("2")) });
    host_assert(&h, 200, "\"version\":2");
    host_free(&h);
}


/* Every call for memory fails once: a plain 500, and nothing leaks. */
static void
test_memory(void **state)
{
    size_t n;
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, ALL(.body = EMPTY), { ROWS(1, DARK("1") "\n" SHARED("e")) });

    for (n = 1; n < 1000; n++) {
        SEND0(&h, ALL(.body = EMPTY, .fail_at = n));

        if (h.response->status == 200) {
            break;
        }

        assert_int_equal(h.response->status, 500);
    }

    assert_in_range(n, 10, 999);

    /* and where the database is asked, and where it is refused */
    h.lossy = 1;

    for (n = 1; n < 1000; n++) {
        SEND(&h, ONE(.body = EMPTY, .fail_at = n),
             { ROWS(1, SHARED("dark-mode")) });

        if (h.response->status == 400) {
            break;
        }

        assert_int_equal(h.response->status, 500);
    }

    assert_in_range(n, 10, 999);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_one), cmocka_unit_test(test_refusals),
          cmocka_unit_test(test_bounds), cmocka_unit_test(test_too_long),
          cmocka_unit_test(test_all), cmocka_unit_test(test_many),
          cmocka_unit_test(test_same_cells), cmocka_unit_test(test_changes),
          cmocka_unit_test(test_late), cmocka_unit_test(test_memory))
