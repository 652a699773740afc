/*
 * Fields that are kept encrypted: sealed for their row when they are written,
 * opened when they are shown, in events, too; and never shown as they are kept.
 */

#include "libcore/http/http.h"
#include "t/00unit/host.h"

#define OTHER_ID "0192f0c0-0000-7000-8000-0000000000f9"
#define EVENT    "0192f0c0-0000-7000-8000-0000000000e1"
#define AT       "2026-11-21 01:33:00.5+00"
#define SECRET   "+43 \"1\" 5550101"
#define PATH     "/v1/projects/" PROJECT
#define GONE     "tn1.AAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

#define PROJECT_CELLS(id, code, version)                  \
    id, "p", code, "1.50", NULL, "f", "0", NULL, version, \
        "2026-01-01 00:00:00+00", OWNER, "2026-01-01 00:00:00+00"


static void
init(host *h)
{
    host_init_bare(h);
    teamos_find(&h->rows, TEAMOS_FIELDS, "teamos", "project", "code")[16] = "t";
    host_adopt(h);
}


/* As the core keeps it, NUL-terminated; lives until it is asked again. */
static const char *
sealed_at(const host *h, const char *tenant, const char *id, const char *text)
{
    tn_str out;
    tn_place place;
    unit_arena arena;
    static char kept[512];
    static const unsigned char nonce[TN_NONCE_LEN] = { 1 };

    unit_arena_init(&arena, 0);
    place = (tn_place){ unit_str(tenant), TN_STR("teamos.project"),
                        TN_STR("code"), unit_str(id) };
    assert_int_equal(
        tn_text_seal(&out, h->core, &place, unit_str(text), nonce, &arena.mem),
        TN_OK);
    assert_true(out.n < sizeof(kept));
    memcpy(kept, out.p, out.n);
    kept[out.n] = '\0';
    unit_arena_free(&arena);

    return kept;
}


static const char *
sealed(const host *h)
{
    return sealed_at(h, ACME, PROJECT, SECRET);
}


/* What a bound value is once it is opened at a place. */
static void
assert_opens(const host *h, tn_str bound, const char *id, const char *text)
{
    tn_str out;
    tn_place place;
    unit_arena arena;

    unit_arena_init(&arena, 0);
    place = (tn_place){ TN_STR(ACME), TN_STR("teamos.project"), TN_STR("code"),
                        unit_str(id) };
    assert_true(tn__text_sealed(bound));
    assert_int_equal(tn_text_unseal(&out, h->core, &place, bound, &arena.mem),
                     TN_OK);
    unit_assert_str(out, text);
    unit_arena_free(&arena);
}


/* The one parameter that is sealed. */
static tn_str
bound_sealed(const host *h)
{
    unsigned i;
    tn_str found;

    found = TN_NULL;

    for (i = 0; i < h->nparams; i++) {
        if (h->params[i].p && tn__text_sealed(h->params[i])) {
            assert_null(found.p);
            found = h->params[i];
        }
    }

    assert_non_null(found.p);

    return found;
}


static void
test_what_is_written_is_sealed(void **state)
{
    host h;
    char id[TN__UUID_TEXT + 1];

    (void) state;
    init(&h);
    SEND(&h,
         R(.method = "POST", .path = "/v1/projects", .token = h.owner,
           .body = "{\"name\":\"p\",\"code\":\"AB\"}"),
         { ROWS(
             15, "t",
             PROJECT_CELLS(OTHER_ID, sealed_at(&h, ACME, OTHER_ID, "AB"), "1"),
             FRESH) });
    host_assert(&h, 201, "\"code\":\"AB\"");
    snprintf(id, sizeof(id), "%.*s", TN__UUID_TEXT, h.op->path_id.p);
    assert_opens(&h, bound_sealed(&h), id, "AB");

    SEND(&h,
         R(.method = "PATCH", .path = PATH, .token = h.owner,
           .body = "{\"code\":\"CD\"}"),
         { ROWS(16, "3", OWNER,
                PROJECT_CELLS(PROJECT, sealed_at(&h, ACME, PROJECT, "CD"), "4"),
                FRESH) });
    host_assert(&h, 200, "\"code\":\"CD\"");
    assert_opens(&h, bound_sealed(&h), PROJECT, "CD");

    /* null has nothing to hide */
    SEND(&h,
         R(.method = "PATCH", .path = PATH, .token = h.owner,
           .body = "{\"code\":null}"),
         { ROWS(16, "3", OWNER, PROJECT_CELLS(PROJECT, NULL, "4"), FRESH) });
    host_assert(&h, 200, "\"code\":null");
    assert_null(host_bound(&h, "& 4 <> 0 then ").p);

    /* the limits are of the text */
    SEND0(&h, R(.method = "PATCH", .path = PATH, .token = h.owner,
                .body = "{\"code\":\"toolong\"}"));
    host_problem(&h, 422, "invalid_fields");
    host_free(&h);
}


static void
test_what_is_shown_is_opened(void **state)
{
    host h;

    (void) state;
    init(&h);
    SEND(&h, R(.path = PATH, .token = h.owner),
         { ROWS(12, PROJECT_CELLS(PROJECT, sealed(&h), "3")) });
    host_assert(&h, 200, "\"code\":\"+43 \\\"1\\\" 5550101\"");

    SEND(&h, R(.path = "/v1/projects", .token = h.owner),
         { ROWS(14, PROJECT_CELLS(PROJECT, sealed(&h), "3"),
                "2026-01-01 00:00:00+00", PROJECT) });
    host_assert(&h, 200, "\"code\":\"+43 \\\"1\\\" 5550101\"");

    /* what was never sealed is not encrypted yet */
    SEND(&h, R(.path = PATH, .token = h.owner),
         { ROWS(12, PROJECT_CELLS(PROJECT, "AB", "3")) });
    host_assert(&h, 200, "\"code\":\"AB\"");
    host_free(&h);
}


static void
refused(host *h, const char *kept, const char *told)
{
    SEND(h, R(.path = PATH, .token = h->owner),
         { ROWS(12, PROJECT_CELLS(PROJECT, kept, "3")) });
    host_problem(h, 500, "internal");
    assert_null(strstr(h->body, "tn1."));
    assert_true(host_has(tn_op_facts(h->op)->log, told));
    assert_false(host_has(tn_op_facts(h->op)->log, "tn1."));

    /* one row takes no page along, and what was changed is changed */
    SEND(h, R(.path = "/v1/projects", .token = h->owner),
         { ROWS(14, PROJECT_CELLS(PROJECT, kept, "3"), "2026-01-01 00:00:00+00",
                PROJECT) });
    host_assert(h, 200, "\"code\":null");
    assert_null(strstr(h->body, "tn1."));
    assert_true(host_has(tn_op_facts(h->op)->log, told));

    SEND(h,
         R(.method = "PATCH", .path = PATH, .token = h->owner,
           .body = "{\"name\":\"q\"}"),
         { ROWS(16, "3", OWNER, PROJECT_CELLS(PROJECT, kept, "4"), FRESH) });
    host_assert(h, 200, "\"code\":null");

    /* who doesn't ask for it need not be able to read it */
    SEND(h, R(.path = PATH, .token = h->owner, .query = "fields=id,name"),
         { ROWS(12, PROJECT_CELLS(PROJECT, kept, "3")) });
    host_assert(h, 200, NULL);
    assert_null(strstr(h->body, "tn1."));
}


static void
test_what_cant_be_opened_is_not_shown(void **state)
{
    host h;

    (void) state;
    init(&h);
    refused(&h, sealed_at(&h, UMBRELLA, PROJECT, SECRET),
            "teamos.project.code of " PROJECT " can't be decrypted: it is "
            "damaged, or was encrypted for another place");
    refused(&h, sealed_at(&h, ACME, OTHER_ID, SECRET), "for another place");
    refused(&h, GONE, "there is no encryption key AAAAAA");
    host_free(&h);
}


/* An event's image: replaced are an object's own members, the rest stays byte
 * for byte. */
static void
assert_event(host *h, const char *image, const char *want)
{
    SEND(h, R(.path = "/v1/audit/events", .token = h->owner),
         { ROWS(17, EVENT, AT, "project.updated", "success", NULL, OWNER,
                "teamos.project", PROJECT, "1", "r-1", NULL, NULL, NULL, NULL,
                image, AT, EVENT) });
    host_assert(h, 200, want);
    assert_null(strstr(h->body, "tn1.AAAAAA"));
}


static void
test_events_show_what_there_was(void **state)
{
    host h;
    char image[1024];

    (void) state;
    init(&h);
    snprintf(image, sizeof(image),
             "{\"n\": 12345678901234567890.10, \"name\": \"a\\\"{,:\", "
             "\"code\": \"%s\", \"doc\": {\"code\": \"x\"}}",
             sealed(&h));
    assert_event(&h, image,
                 "{\"n\":12345678901234567890.10,\"name\":\"a\\\"{,:\","
                 "\"code\":\"+43 \\\"1\\\" 5550101\","
                 "\"doc\":{\"code\":\"x\"}}");

    /* a key that is gone took this with it, and nothing else */
    assert_event(&h, "{\"code\": \"" GONE "\", \"name\": \"n\"}",
                 "{\"code\":null,\"name\":\"n\"}");
    assert_true(host_has(tn_op_facts(h.op)->log, "no encryption key AAAAAA"));

    /* an ordinary text may look like anything */
    assert_event(&h, "{\"name\": \"tn1.BBBBBB.x\"}",
                 "{\"name\":\"tn1.BBBBBB.x\"}");
    assert_null(tn_op_facts(h.op)->log.p);
    host_free(&h);
}


static void
test_rolling_back_needs_the_key(void **state)
{
    host h;
    char ids[32], id[TN_ENCRYPTION_ID_LEN];
    static const char *const absent[19] = { "3", OWNER, "f", [17] = "t" };

    (void) state;
    init(&h);
    SEND(&h,
         R(.method = "POST", .path = PATH "/rollback", .token = h.owner,
           .body = "{\"version\":1}"),
         { .rows = { { 17, 17, absent } } });
    host_problem(&h, 422, "invalid_fields");

    tn_encryption_key_id(id, host_encryption_keys[0].seed);
    snprintf(ids, sizeof(ids), "{%.6s,", id);
    assert_true(host_has(host_bound(&h, "5, 6) = any("), ids));
    host_free(&h);
}


/* Every call for memory fails once: a plain 500, and never what is kept. */
static void
test_without_memory_nothing_is_shown(void **state)
{
    host h;
    size_t n;
    char image[512];
    host_request one;
    unsigned which;

    (void) state;

    for (which = 0; which < 3; which++) {
        for (n = 1;; n++) {
            init(&h);
            snprintf(image, sizeof(image), "{\"code\": \"%s\"}", sealed(&h));
            one = which == 0 ? *R(.path = PATH, .token = h.owner)
                  : which == 1
                      ? *R(.path = "/v1/audit/events", .token = h.owner)
                      : *R(.method = "PATCH", .path = PATH, .token = h.owner,
                           .body = "{\"code\":\"CD\"}");
            one.fail_at = n;

            if (which == 0) {
                SEND(&h, &one,
                     { ROWS(12, PROJECT_CELLS(PROJECT, sealed(&h), "3")) });
            } else if (which == 1) {
                SEND(&h, &one,
                     { ROWS(17, EVENT, AT, "x", "success", NULL, OWNER,
                            "teamos.project", PROJECT, "1", "r-1", NULL, NULL,
                            NULL, image, image, AT, EVENT) });
            } else {
                SEND(&h, &one,
                     { ROWS(16, "3", OWNER,
                            PROJECT_CELLS(PROJECT, sealed(&h), "4"), FRESH) });
            }

            assert_null(
                memmem(h.response->body.p, h.response->body.n, "tn1.", 4));

            if (h.response->status == 200) {
                break;
            }

            assert_int_equal(h.response->status, 500);
            host_free(&h);
        }

        assert_in_range(n, 10, 500);
        host_free(&h);
    }
}


UNIT_MAIN(cmocka_unit_test(test_what_is_written_is_sealed),
          cmocka_unit_test(test_what_is_shown_is_opened),
          cmocka_unit_test(test_what_cant_be_opened_is_not_shown),
          cmocka_unit_test(test_events_show_what_there_was),
          cmocka_unit_test(test_rolling_back_needs_the_key),
          cmocka_unit_test(test_without_memory_nothing_is_shown))
