/*
 * What a flag answers to a context: reasons, rules in order, shares; and that a
 * flag which isn't what it should be breaks nothing.
 */

#include "t/00unit/unit.h"
#include "libcore/flags/evaluate.h"

#define ON_OFF "\"variants\":{\"on\":true,\"off\":false}"
#define FLAG(rules)                                                \
    "{\"version\":3,\"enabled\":true,\"default\":\"off\",\"off\":" \
    "\"off\"," ON_OFF ",\"rules\":[" rules "]}"
#define WHEN(attribute, op, values)                            \
    "{\"when\":[{\"attribute\":\"" attribute "\",\"op\":\"" op \
    "\",\"values\":[" values "]}],\"variant\":\"on\"}"
#define SPLIT(a, b)                                                    \
    "{\"split\":[{\"variant\":\"on\",\"weight\":" #a "},{\"variant\":" \
    "\"off\",\"weight\":" #b "}]}"


/* "TARGETING_MATCH on", or what is wrong. */
static const char *
evaluated(unit_arena *arena, const char *key, const char *flag,
          const char *context)
{
    char *out;
    tn__flag_value value;
    tn__flag_context asked;
    tn__json_fault fault;
    cJSON *tree, *about;

    about = NULL;
    assert_int_equal(tn__json_parse(&tree, unit_str(flag), &fault, &arena->mem),
                     TN_OK);

    if (context) {
        assert_int_equal(
            tn__json_parse(&about, unit_str(context), &fault, &arena->mem),
            TN_OK);
    }

    tn__flag_context_init(&asked, about);
    tn__flag_evaluate(&value, unit_str(key), tree, &asked);

    if (value.error) {
        assert_null(value.variant);
        return value.error == TN__FLAG_BROKEN     ? "broken"
               : value.error == TN__FLAG_TOO_LONG ? "too long"
                                                  : "no key";
    }

    out = arena->mem.alloc(arena, 200);
    snprintf(out, 200, "%.*s %s", (int) value.reason.n, value.reason.p,
             value.variant->string);

    return out;
}


#define CHECK(flag, context, want)                                             \
    do {                                                                       \
        unit_arena arena_;                                                     \
        unit_arena_init(&arena_, 0);                                           \
        assert_string_equal(evaluated(&arena_, "new-checkout", flag, context), \
                            want);                                             \
        unit_arena_free(&arena_);                                              \
    } while (0)


static void
test_reasons(void **state)
{
    (void) state;
    CHECK(FLAG(""), NULL, "STATIC off");
    CHECK(FLAG(""), "{}", "STATIC off");
    CHECK("{\"enabled\":false,\"default\":\"on\",\"off\":\"off\"," ON_OFF
          ",\"rules\":[{\"variant\":\"on\"}]}",
          "{}", "DISABLED off");
    CHECK(FLAG(WHEN("plan", "in", "\"pro\"")), "{\"plan\":\"pro\"}",
          "TARGETING_MATCH on");
    CHECK(FLAG(WHEN("plan", "in", "\"pro\"")), "{\"plan\":\"free\"}",
          "DEFAULT off");
    CHECK(FLAG("{\"variant\":\"on\"}"), NULL, "TARGETING_MATCH on");
    CHECK(FLAG("{\"when\":null,\"split\":null,\"variant\":\"on\"}"), NULL,
          "TARGETING_MATCH on");
    CHECK(FLAG(SPLIT(100, 0)), "{\"targetingKey\":\"u\"}", "SPLIT on");
    CHECK(FLAG(SPLIT(0, 100)), "{\"targetingKey\":\"u\"}", "SPLIT off");
    CHECK(FLAG(SPLIT(100, 0)), "{}", "no key");
    CHECK(FLAG(SPLIT(100, 0)), "{\"targetingKey\":7}", "no key");

    /* the first that holds decides, and all of its conditions have to */
    CHECK(FLAG(WHEN("plan", "in", "\"pro\"") "," SPLIT(0, 1)),
          "{\"plan\":\"pro\"}", "TARGETING_MATCH on");
    CHECK(FLAG("{\"when\":[{\"attribute\":\"a\",\"op\":\"exists\"},"
               "{\"attribute\":\"b\",\"op\":\"in\",\"values\":[1]}],"
               "\"variant\":\"on\"}"),
          "{\"a\":false,\"b\":1}", "TARGETING_MATCH on");
    CHECK(FLAG("{\"when\":[{\"attribute\":\"a\",\"op\":\"exists\"},"
               "{\"attribute\":\"b\",\"op\":\"in\",\"values\":[1]}],"
               "\"variant\":\"on\"}"),
          "{\"a\":false,\"b\":2}", "DEFAULT off");
}


static void
test_conditions(void **state)
{
    unsigned i;
    unit_arena arena;
    char flag[1024], context[256];
    static const struct {
        const char *op;
        const char *values;
        const char *have; /* NULL: the attribute is absent */
        int holds;
    } cases[] = {
        { "in", "\"a\",\"b\"", "\"b\"", 1 },
        { "in", "\"a\",\"b\"", "\"c\"", 0 },
        { "in", "\"a\"", "\"A\"", 0 },
        { "in", "1", "1.0", 1 },
        { "in", "1", "\"1\"", 0 },
        { "in", "\"1\"", "1", 0 },
        { "in", "true", "true", 1 },
        { "in", "true", "false", 0 },
        { "in", "true", "\"true\"", 0 },
        { "in", "\"a\"", "[\"x\",\"a\"]", 1 },
        { "in", "\"a\"", "[]", 0 },
        { "in", "\"a\"", "{\"a\":1}", 0 },
        { "in", "\"a\"", NULL, 0 },
        { "in", "\"a\"", "null", 0 },
        { "not_in", "\"a\"", "\"b\"", 1 },
        { "not_in", "\"a\"", "\"a\"", 0 },
        { "not_in", "\"a\"", "[\"b\",\"a\"]", 0 },
        { "not_in", "\"a\"", "[\"b\",\"c\"]", 1 },
        { "not_in", "\"a\"", NULL, 0 },
        { "starts_with", "\"ab\"", "\"abc\"", 1 },
        { "starts_with", "\"abc\"", "\"ab\"", 0 },
        { "starts_with", "\"1\"", "12", 0 },
        { "ends_with", "\"@acme.test\"", "\"a@acme.test\"", 1 },
        { "ends_with", "\"@acme.test\"", "\"@acme.test.x\"", 0 },
        { "ends_with", "\"abc\"", "\"c\"", 0 },
        { "contains", "\"b\",\"x\"", "\"abc\"", 1 },
        { "contains", "\"x\"", "\"abc\"", 0 },
        { "lt", "5", "4.9", 1 },
        { "lt", "5", "5", 0 },
        { "lte", "5", "5", 1 },
        { "gt", "5", "5", 0 },
        { "gt", "5", "6", 1 },
        { "gte", "5", "5", 1 },
        { "gte", "5", "\"6\"", 0 },
        { "gte", "5", NULL, 0 },
        { "exists", "", "0", 1 },
        { "exists", "", NULL, 0 },
        { "exists", "", "null", 0 },
        { "not_exists", "", NULL, 1 },
        { "not_exists", "", "0", 0 },
        { "semver_lt", "\"1.2.3\"", "\"1.2.2\"", 1 },
        { "semver_lt", "\"1.2.3\"", "\"1.2.3\"", 0 },
        { "semver_lt", "\"1.10.0\"", "\"1.9.9\"", 1 },
        { "semver_lt", "\"v1.2.3\"", "\"1.2.3-rc.1\"", 1 },
        { "semver_lt", "\"1.0.0\"", "\"1.0\"", 0 },
        { "semver_lt", "\"1.0.0\"", "\"01.0.0\"", 0 },
        { "semver_lt", "\"1.0.0\"", "0", 0 },
        { "semver_lte", "\"1.2.3\"", "\"1.2.3+build.5\"", 1 },
        { "semver_gte", "\"1.2.3+build.4\"", "\"v1.2.3\"", 1 },
        { "semver_gt", "\"1.2.3-rc.1\"", "\"1.2.3\"", 1 },
        { "semver_gt", "\"2.0.0\"", "\"10.0.0\"", 1 },
        { "semver_gt", "\"1.0.0\"", "\"1.0.0-\"", 0 },
        { "semver_gt", "\"1.0.0\"", "\"2.0.0-a..b\"", 0 },
        { "semver_gt", "\"1.0.0\"", "\"2.0.0-01\"", 0 },
        { "semver_gt", "\"1.0.0\"", "\"2.0.0.0\"", 0 },
        { "semver_gt", "\"1.0.0\"", "\"99999999999999999999.0.0\"", 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(flag, sizeof(flag), FLAG(WHEN("a", "%s", "%s")), cases[i].op,
                 cases[i].values);
        snprintf(context, sizeof(context), "{%s%s}",
                 cases[i].have ? "\"a\":" : "",
                 cases[i].have ? cases[i].have : "");
        unit_arena_init(&arena, 0);

        if (strcmp(evaluated(&arena, "k", flag, context),
                   cases[i].holds ? "TARGETING_MATCH on" : "DEFAULT off") !=
            0) {
            fail_msg("%s %s of %s", cases[i].op, cases[i].values, context);
        }

        unit_arena_free(&arena);
    }
}


/* "*80" in the list: the last character so often. */
static void
written_out(char *out, size_t n, const char *text)
{
    const char *star;
    size_t at;
    long times;

    star = strchr(text, '*');
    at = star ? (size_t) (star - text) : strlen(text);
    times = star ? strtol(star + 1, NULL, 10) : 1;
    assert_in_range(at, 1, n - 1);
    assert_in_range(times, 1, n - at);
    memcpy(out, text, at);
    memset(out + at - 1, text[at - 1], (size_t) times);
    out[at - 1 + (size_t) times] = '\0';
}


/* What counts as a version here and for the database is the same. */
static void
test_versions(void **state)
{
    FILE *in;
    unsigned n;
    unit_arena arena;
    char line[128], text[512], flag[1024], context[1024];

    (void) state;
    in = fopen("t/data/versions.txt", "r");
    assert_non_null(in);

    for (n = 0; fgets(line, sizeof(line), in);) {
        if (line[0] == '#') {
            continue;
        }

        line[strcspn(line, "\n")] = '\0';
        written_out(text, sizeof(text), line + 2);

        /* each is itself, by what it is compared with and as what is */
        snprintf(flag, sizeof(flag), FLAG(WHEN("a", "semver_lte", "\"%s\"")),
                 text);
        snprintf(context, sizeof(context), "{\"a\":\"%s\"}", text);
        unit_arena_init(&arena, 0);

        if (strcmp(evaluated(&arena, "k", flag, context),
                   line[0] == '+' ? "TARGETING_MATCH on" : "DEFAULT off") !=
            0) {
            fail_msg("%s", line);
        }

        unit_arena_free(&arena);
        n++;
    }

    fclose(in);
    assert_in_range(n, 40, 200);
}


/* semver.org, 11: "1.0.0-alpha < 1.0.0-alpha.1 < …". */
static void
test_pre_releases(void **state)
{
    unsigned i, k;
    unit_arena arena;
    char flag[512], context[128];
    static const char *const rising[] = {
        "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
        "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",       "1.0.0",
    };

    (void) state;

    for (i = 0; i < 8; i++) {
        for (k = 0; k < 8; k++) {
            snprintf(flag, sizeof(flag), FLAG(WHEN("a", "semver_lt", "\"%s\"")),
                     rising[k]);
            snprintf(context, sizeof(context), "{\"a\":\"%s\"}", rising[i]);
            unit_arena_init(&arena, 0);
            assert_string_equal(evaluated(&arena, "k", flag, context),
                                i < k ? "TARGETING_MATCH on" : "DEFAULT off");
            unit_arena_free(&arena);
        }
    }
}


/* Vectors that docs/api.md tells, out of sha256sum. */
static void
test_buckets(void **state)
{
    unsigned i;
    static const struct {
        const char *key;
        const char *who;
        uint32_t place;
    } cases[] = {
        { "new-checkout", "user-1", 0xc3da3593 },
        { "new-checkout", "user-2", 0xfcc97079 },
        { "a", "b", 0x6783a31e },
        { "dark-mode", "0192f0c0-0000-7000-8000-0000000000a1", 0x18f195d5 },
        { "x", "", 0x51e33c7c },
        { "x", "\xc3\xbc", 0x486c88b9 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            tn__flag_bucket(unit_str(cases[i].key), unit_str(cases[i].who)),
            cases[i].place);
    }

    /* 0xc3da3593 is 76.5 % of all places, 0xfcc97079 98.7 % */
    CHECK(FLAG(SPLIT(765, 235)), "{\"targetingKey\":\"user-1\"}", "SPLIT off");
    CHECK(FLAG(SPLIT(766, 234)), "{\"targetingKey\":\"user-1\"}", "SPLIT on");
    CHECK(FLAG(SPLIT(766, 234)), "{\"targetingKey\":\"user-2\"}", "SPLIT off");
    CHECK(FLAG(SPLIT(99, 1)), "{\"targetingKey\":\"user-2\"}", "SPLIT on");
}


static unsigned
shared_out(unsigned *of_both, const char *key, const char *flag,
           const char *grown)
{
    unsigned i, n;
    unit_arena arena;
    char context[64];
    int had;

    n = *of_both = 0;

    for (i = 0; i < 10000; i++) {
        snprintf(context, sizeof(context), "{\"targetingKey\":\"user-%u\"}", i);
        unit_arena_init(&arena, 0);
        had = strcmp(evaluated(&arena, key, flag, context), "SPLIT on") == 0;
        n += had;
        *of_both += had && strcmp(evaluated(&arena, key, grown, context),
                                  "SPLIT on") == 0;
        unit_arena_free(&arena);
    }

    return n;
}


/* Of 10,000 with a chance of 0.2 each, five standard deviations are 200. */
static void
test_shares(void **state)
{
    unsigned n, both;

    (void) state;
    n = shared_out(&both, "new-checkout", FLAG(SPLIT(20, 80)),
                   FLAG(SPLIT(30, 70)));
    assert_in_range(n, 1800, 2200);
    assert_int_equal(both, n); /* who had it keeps it while it grows */

    /* the same shares by another flag are other people's */
    n = shared_out(&both, "other", FLAG(SPLIT(20, 80)), FLAG(SPLIT(20, 80)));
    assert_in_range(n, 1800, 2200);
}


/* `n` conditions that fail for every element and value: ["0", …]. */
static const char *
many(char *out, size_t size, const char *op, unsigned n, const char *value,
     unsigned values)
{
    unsigned i, k;
    size_t at;

    at = (size_t) snprintf(out, size, "%s",
                           "{\"enabled\":true,\"default\":\"off\","
                           "\"off\":\"off\"," ON_OFF ",\"rules\":[");

    for (i = 0; i < n; i++) {
        at += (size_t) snprintf(out + at, size - at,
                                "%s{\"when\":[{\"attribute\":\"a\",\"op\":"
                                "\"%s\",\"values\":[",
                                i ? "," : "", op);

        for (k = 0; k < values; k++) {
            at += (size_t) snprintf(out + at, size - at, "%s%s", k ? "," : "",
                                    value);
        }

        at += (size_t) snprintf(out + at, size - at, "]}],\"variant\":\"on\"}");
    }

    at += (size_t) snprintf(out + at, size - at, "]}");
    assert_in_range(at, 1, size - 1);

    return out;
}


/* {"a":["…",…]} of `n` texts of `length`; 0: one text. */
static const char *
elements(char *out, size_t size, unsigned n, unsigned length)
{
    unsigned i;
    size_t at;

    at = (size_t) snprintf(out, size, "{\"a\":%s", n ? "[" : "");

    for (i = 0; i < (n ? n : 1); i++) {
        assert_in_range(at + length + 8, 1, size);
        at += (size_t) snprintf(out + at, size - at, "%s\"", i ? "," : "");
        memset(out + at, 'a', length);
        at += length;
        out[at++] = '"';
        out[at] = '\0';
    }

    (void) snprintf(out + at, size - at, "%s}", n ? "]" : "");

    return out;
}


/* Elements times values times conditions, and long texts: what one request may
 * have compared ends, and until there it is as it would be. */
static void
test_work(void **state)
{
    unsigned i;
    unit_arena arena;
    static char flag[262144], context[70000];
    static const struct {
        const char *op, *value;
        unsigned conditions, values, elements, length;
        int suffices;
    } cases[] = {
        /* of one text, and of lists */
        { "in", "\"x\"", 200, 100, 0, 20, 1 },
        { "in", "\"x\"", 2, 100, 100, 20, 1 },
        { "in", "\"x\"", 3, 100, 100, 20, 0 },
        { "gt", "1", 1000, 1, 0, 20, 1 },
        { "contains", "\"x\"", 40, 1, 0, 1000, 1 },
        { "contains", "\"x\"", 50, 1, 0, 2000, 0 },
        { "contains", "\"x\"", 1, 2, 0, 60000, 0 },
        { "semver_gt", "\"1.2.3\"", 1000, 1, 0, 5, 1 },
        { "semver_gt", "\"1.2.3\"", 50, 1, 100, 20, 0 },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unit_arena_init(&arena, 0);

        if (strcmp(evaluated(&arena, "k",
                             many(flag, sizeof(flag), cases[i].op,
                                  cases[i].conditions, cases[i].value,
                                  cases[i].values),
                             elements(context, sizeof(context),
                                      cases[i].elements, cases[i].length)),
                   cases[i].suffices ? "DEFAULT off" : "too long") != 0) {
            fail_msg("case %u: %s", i, cases[i].op);
        }

        unit_arena_free(&arena);
    }
}


/* What was spent for one flag isn't there for the next; one that needs none is
 * evaluated all the same. */
static void
test_work_is_shared(void **state)
{
    unsigned i;
    unit_arena arena;
    cJSON *tree, *about, *plain;
    tn__flag_value value;
    tn__json_fault fault;
    tn__flag_context asked;
    static char flag[262144], context[70000];

    (void) state;
    unit_arena_init(&arena, 0);
    many(flag, sizeof(flag), "not_in", 1, "1", 100);
    elements(context, sizeof(context), 100, 10);
    assert_int_equal(tn__json_parse(&tree, unit_str(flag), &fault, &arena.mem),
                     TN_OK);
    assert_int_equal(
        tn__json_parse(&about, unit_str(context), &fault, &arena.mem), TN_OK);
    assert_int_equal(
        tn__json_parse(&plain, unit_str(FLAG("")), &fault, &arena.mem), TN_OK);
    tn__flag_context_init(&asked, about);

    for (i = 0; i < 2; i++) {
        tn__flag_evaluate(&value, unit_str("k"), tree, &asked);
        assert_int_equal(value.error, TN__FLAG_OK);
    }

    for (i = 0; i < 3; i++) {
        tn__flag_evaluate(&value, unit_str("k"), tree, &asked);
        assert_int_equal(value.error, TN__FLAG_TOO_LONG);
        assert_null(value.variant);
        assert_int_equal(asked.left, 0);
        tn__flag_evaluate(&value, unit_str("k"), plain, &asked);
        assert_int_equal(value.error, TN__FLAG_OK);
    }

    unit_arena_free(&arena);
}


static void
test_broken(void **state)
{
    (void) state;
    CHECK("{}", "{}", "broken");
    CHECK("[]", "{}", "broken");
    CHECK("{\"enabled\":true}", "{}", "broken");
    CHECK("{\"enabled\":true,\"rules\":[]}", "{}", "broken");
    CHECK("{\"enabled\":true,\"rules\":[],\"default\":\"x\"," ON_OFF "}", "{}",
          "broken");
    CHECK("{\"enabled\":true,\"rules\":[],\"default\":1," ON_OFF "}", "{}",
          "broken");
    CHECK(FLAG("7"), "{}", "broken");
    CHECK(FLAG("{}"), "{}", "broken");
    CHECK(FLAG("{\"variant\":\"x\"}"), "{}", "broken");
    CHECK(FLAG("{\"when\":7,\"variant\":\"on\"}"), "{}", "broken");
    CHECK(FLAG("{\"when\":[7],\"variant\":\"on\"}"), "{}", "broken");
    CHECK(FLAG(WHEN("a", "like", "1")), "{}", "broken");
    CHECK(FLAG("{\"when\":[{\"attribute\":\"a\",\"op\":\"in\"}],"
               "\"variant\":\"on\"}"),
          "{}", "broken");
    CHECK(FLAG("{\"split\":{}}"), "{}", "broken");
    CHECK(FLAG("{\"split\":[]}"), "{\"targetingKey\":\"u\"}", "broken");
    CHECK(FLAG(SPLIT(0, 0)), "{\"targetingKey\":\"u\"}", "broken");
    CHECK(FLAG(SPLIT(-1, 2)), "{\"targetingKey\":\"u\"}", "broken");
    CHECK(FLAG(SPLIT(1e300, 2)), "{\"targetingKey\":\"u\"}", "broken");
    CHECK(FLAG(SPLIT(100001, 2)), "{\"targetingKey\":\"u\"}", "broken");
    CHECK(FLAG(SPLIT(0.5, 2)), "{\"targetingKey\":\"u\"}", "broken");
    CHECK(FLAG(SPLIT(2e1, 0)), "{\"targetingKey\":\"u\"}", "SPLIT on");
    CHECK(FLAG("{\"split\":[{\"variant\":\"x\",\"weight\":1}]}"),
          "{\"targetingKey\":\"u\"}", "broken");
}


UNIT_MAIN(cmocka_unit_test(test_reasons), cmocka_unit_test(test_conditions),
          cmocka_unit_test(test_pre_releases), cmocka_unit_test(test_versions),
          cmocka_unit_test(test_work), cmocka_unit_test(test_work_is_shared),
          cmocka_unit_test(test_buckets), cmocka_unit_test(test_shares),
          cmocka_unit_test(test_broken))
