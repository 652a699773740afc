/*
 * The gate refuses what RFC 8259 and I-JSON refuse, and says where; what
 * passes becomes a tree; trees print so that they read back the same.
 *
 * JSONTestSuite is looked for in $TENON_VECTORS, else in ../shared/vectors.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"

#include <dirent.h>
#include <math.h>

#define NAMES 5000

/* Right by RFC 8259, but not interoperable: I-JSON or we refuse them. */
static const char *const suite_exceptions[] = {
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
    "y_object_escaped_null_in_key.json",
    "y_string_null_escape.json",
};


static void
test_says_where_and_what(void **state)
{
    static const struct {
        tn_str text;
        size_t offset;
        const char *what;
    } rows[] = {
        { TN_STR_C(""), 0, "unexpected end" },
        { TN_STR_C("  "), 2, "unexpected end" },
        { TN_STR_C("[1,]"), 3, "expected a value" },
        { TN_STR_C("[1 2]"), 3, "expected ',' or ']'" },
        { TN_STR_C("{\"a\" 1}"), 5, "expected ':'" },
        { TN_STR_C("{\"a\":1 \"b\"}"), 7, "expected ',' or '}'" },
        { TN_STR_C("{\"a\":1,}"), 7, "expected a member name" },
        { TN_STR_C("{a:1}"), 1, "expected a member name" },
        { TN_STR_C("1 1"), 2, "text behind the value" },
        { TN_STR_C("1\0"), 1, "text behind the value" },
        { TN_STR_C("[\0]"), 1, "NUL character" },
        { TN_STR_C("\"a\0b\""), 2, "NUL character" },
        { TN_STR_C("\"a\\u0000b\""), 2, "NUL character" },
        { TN_STR_C("\"abcdefgh\n\""), 9, "control character in a string" },
        { TN_STR_C("\"abcdefghijkl"), 0, "unterminated string" },
        { TN_STR_C("\"\\"), 1, "unterminated string" },
        { TN_STR_C("\"\\x\""), 1, "invalid escape" },
        { TN_STR_C("\"\\u12g4\""), 1, "invalid \\u escape" },
        { TN_STR_C("\"\\ud800\""), 1, "lone surrogate" },
        { TN_STR_C("\"\\ud800\\u0041\""), 1, "lone surrogate" },
        { TN_STR_C("\"\\udc00\\ud800\""), 1, "lone surrogate" },
        { TN_STR_C("\"\\ud800\\udc0"), 1, "lone surrogate" },
        { TN_STR_C("\"12345678\xff\""), 9, "invalid UTF-8" },
        { TN_STR_C("\"\xed\xa0\x80\""), 1, "invalid UTF-8" },
        { TN_STR_C("\xef\xbb\xbf{}"), 0, "expected a value" },
        { TN_STR_C("[01]"), 2, "expected ',' or ']'" },
        { TN_STR_C("[-]"), 1, "invalid number" },
        { TN_STR_C("[1.]"), 1, "invalid number" },
        { TN_STR_C("[1e+]"), 1, "invalid number" },
        { TN_STR_C("[9007199254740992]"), 1, "integer beyond 2^53-1" },
        { TN_STR_C("[-9007199254740992]"), 1, "integer beyond 2^53-1" },
        { TN_STR_C("[1e309]"), 1, "number out of range" },
        { TN_STR_C("{\"a\":1,\"b\":2,\"a\":3}"), 13, "duplicate member name" },
        { TN_STR_C("{\"a\":1,\"\\u0061\":2}"), 7, "duplicate member name" },
        { TN_STR_C("{\"\xf0\x9f\x98\x80\":1,\"\\uD83d\\uDe00\":2}"), 10,
          "duplicate member name" },
        { TN_STR_C("{\"/\\n\":1,\"\\/\\u000A\":2}"), 9,
          "duplicate member name" },
        { TN_STR_C("[{\"x\":{\"\":1,\"\":2}}]"), 12, "duplicate member name" },
    };
    unit_arena arena;
    tn__json_fault fault;
    size_t i;

    (void) state;
    unit_arena_init(&arena, 0);

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fault = (tn__json_fault){ SIZE_MAX, "nothing" };
        assert_int_equal(tn__json_check(rows[i].text, &fault, &arena.mem),
                         TN_E_MALFORMED_JSON);
        assert_string_equal(fault.what, rows[i].what);
        assert_int_equal(fault.offset, rows[i].offset);
        assert_int_equal(tn__json_check(rows[i].text, NULL, &arena.mem),
                         TN_E_MALFORMED_JSON);
    }

    assert_int_equal(tn__json_check(TN_NULL, &fault, &arena.mem),
                     TN_E_MALFORMED_JSON);
    unit_arena_free(&arena);
}


static void
test_accepts(void **state)
{
    static const char *const good[] = {
        " \t\r\n1 \t\r\n",
        "{}",
        "[[],{},\"\",0,-0,true,false,null]",
        "[9007199254740991,-9007199254740991]",
        "[1e308,-1.5E-400,0.1e+1,1e-999999]",
        "{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}],\"A\":1}",
        "{\"a\":1,\"a \":1,\"\\u00e4\":1,\"a\\u0308\":1}",
        "\"\\ufffe\\uffff\xef\xbf\xbf\\ud83f\\udfff\"",
        "\"\x7f\"",
    };
    unit_arena arena;
    tn__json_fault fault;
    cJSON *tree;
    size_t i;

    (void) state;
    unit_arena_init(&arena, 0);

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (tn__json_parse(&tree, unit_str(good[i]), &fault, &arena.mem)) {
            fail_msg("%s: %s at %zu", good[i], fault.what, fault.offset);
        }
    }

    unit_arena_free(&arena);
}


static void
test_depth(void **state)
{
    char text[80];
    unit_arena arena;
    tn__json_fault fault;
    cJSON *tree;

    (void) state;
    unit_arena_init(&arena, 0);

    memset(text, '[', 32);
    memset(text + 32, ']', 32);
    assert_int_equal(
        tn__json_parse(&tree, (tn_str){ text, 64 }, &fault, &arena.mem), TN_OK);

    memset(text, '[', 33);
    memset(text + 33, ']', 33);
    assert_int_equal(tn__json_check((tn_str){ text, 66 }, &fault, &arena.mem),
                     TN_E_MALFORMED_JSON);
    assert_int_equal(fault.offset, 32);
    assert_string_equal(fault.what, "nested too deep");
    unit_arena_free(&arena);
}


/* An object of many names, of which the last is the `same`-th again. */
static tn_str
many_names(unit_arena *arena, int same)
{
    tn__buf buf;
    tn_str out;
    int i;

    tn__buf_init(&buf, &arena->mem, 0);
    tn__buf_char(&buf, '{');

    for (i = 0; i < NAMES; i++) {
        tn__buf_lit(&buf, "\"name");
        tn__buf_int(&buf, i * 7919 % 10007);
        tn__buf_lit(&buf, "\":0,");
    }

    tn__buf_lit(&buf, "\"n\\u0061me");
    tn__buf_int(&buf, same < 0 ? 99999 : same * 7919 % 10007);
    tn__buf_lit(&buf, "\":0}");
    assert_int_equal(tn__buf_str(&out, &buf), TN_OK);

    return out;
}


static void
test_many_names(void **state)
{
    static const int same[] = { 0, 1, NAMES / 2, NAMES - 1 };
    unit_arena arena;
    tn__json_fault fault;
    tn_str text;
    size_t i;

    (void) state;
    unit_arena_init(&arena, 0);

    text = many_names(&arena, -1);
    assert_int_equal(tn__json_check(text, &fault, &arena.mem), TN_OK);

    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        text = many_names(&arena, same[i]);
        assert_int_equal(tn__json_check(text, &fault, &arena.mem),
                         TN_E_MALFORMED_JSON);
        assert_string_equal(fault.what, "duplicate member name");
        assert_memory_equal(text.p + fault.offset, "\"n\\u0061me", 10);
    }

    unit_arena_free(&arena);
}


static void
test_tree(void **state)
{
    unit_arena arena;
    tn__json_fault fault;
    cJSON *tree;

    (void) state;
    unit_arena_init(&arena, 0);
    assert_int_equal(
        tn__json_parse(&tree,
                       TN_STR("{\"n\":-12.5,\"s\":\"\\u00e4\\n\",\"t\":true,"
                              "\"z\":null,\"a\":[1,2]}"),
                       &fault, &arena.mem),
        TN_OK);

    assert_true(cJSON_IsObject(tree));
    assert_true(cJSON_GetObjectItemCaseSensitive(tree, "n")->valuedouble ==
                -12.5);
    assert_string_equal(
        cJSON_GetObjectItemCaseSensitive(tree, "s")->valuestring, "\xc3\xa4\n");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(tree, "t")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(tree, "z")));
    assert_int_equal(
        cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(tree, "a")), 2);
    unit_arena_free(&arena);
}


static void
test_prints(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        { " { \"a\" : [ 1 , true , false , null , { } , [ ] ] } ",
          "{\"a\":[1,true,false,null,{},[]]}" },
        { "[9007199254740991,-9007199254740991,2147483648,0,-0]",
          "[9007199254740991,-9007199254740991,2147483648,0,-0.0]" },
        { "[9007199254740993.0,1e16]", "[9007199254740992.0,1e+16]" },
        { "[0.1,1.0,1e3,1e22,-1.5e-7,0.30000000000000004]",
          "[0.1,1,1000,1e+22,-1.5e-07,0.30000000000000004]" },
        { "\"\\u00e4\\/\\\"\\u001f\\ud83d\\ude00\"",
          "\"\xc3\xa4/\\\"\\u001f\xf0\x9f\x98\x80\"" },
        { "{\"\":\"\",\"\\n\":1}", "{\"\":\"\",\"\\n\":1}" },
    };
    unit_arena arena;
    tn__json_fault fault;
    cJSON *tree;
    tn_str out;
    size_t i;

    (void) state;
    unit_arena_init(&arena, 0);

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(
            tn__json_parse(&tree, unit_str(rows[i].in), &fault, &arena.mem),
            TN_OK);
        assert_int_equal(tn__json_print(&out, tree, &arena.mem), TN_OK);
        unit_assert_str(out, rows[i].out);
    }

    unit_arena_free(&arena);
}


static void
test_doubles_round_trip(void **state)
{
    cJSON node = { .type = cJSON_Number };
    uint64_t bits = 88172645463325252u;
    unit_arena arena;
    tn__json_fault fault;
    cJSON *tree;
    tn_str out;
    int i;

    (void) state;

    for (i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&node.valuedouble, &bits, sizeof(bits));
        unit_arena_init(&arena, 0);

        if (!isfinite(node.valuedouble)) {
            assert_int_equal(tn__json_print(&out, &node, &arena.mem),
                             TN_E_INTERNAL);
            unit_arena_free(&arena);
            continue;
        }

        assert_int_equal(tn__json_print(&out, &node, &arena.mem), TN_OK);
        assert_int_equal(tn__json_parse(&tree, out, &fault, &arena.mem), TN_OK);
        assert_memory_equal(&tree->valuedouble, &bits, sizeof(bits));
        unit_arena_free(&arena);
    }
}


/* Longer than cJSON's own number buffer. */
static void
test_long_numbers(void **state)
{
    char text[600], digits[101];
    unit_arena arena;
    tn__json_fault fault;
    cJSON *tree;
    tn_str out;

    (void) state;
    unit_arena_init(&arena, 0);
    memset(digits, '0', 100);
    digits[100] = '\0';

    (void) snprintf(text, sizeof(text),
                    "{\"1.%s\\\"\":[1.5%s,-2.%s1e2,1%s.25]}", digits, digits,
                    digits, digits);
    assert_int_equal(tn__json_parse(&tree, unit_str(text), &fault, &arena.mem),
                     TN_OK);
    assert_int_equal(tn__json_print(&out, tree, &arena.mem), TN_OK);

    (void) snprintf(text, sizeof(text), "{\"1.%s\\\"\":[1.5,-200,1e+100]}",
                    digits);
    unit_assert_str(out, text);
    unit_arena_free(&arena);
}


static void
test_refuses_odd_trees(void **state)
{
    cJSON nodes[200], odd = { .type = cJSON_Invalid };
    unit_arena arena;
    tn_str out;
    size_t i;

    (void) state;
    unit_arena_init(&arena, 0);
    memset(nodes, 0, sizeof(nodes));

    for (i = 0; i < 200; i++) {
        nodes[i].type = cJSON_Array;
        nodes[i].child = i + 1 < 200 ? &nodes[i + 1] : NULL;
    }

    assert_int_equal(tn__json_print(&out, nodes, &arena.mem), TN_E_INTERNAL);
    unit_assert_str(out, NULL);
    assert_int_equal(tn__json_print(&out, &odd, &arena.mem), TN_E_INTERNAL);
    assert_int_equal(tn__json_print(&out, NULL, &arena.mem), TN_E_INTERNAL);
    unit_arena_free(&arena);
}


static void
test_survives_lack_of_memory(void **state)
{
    static const char text[] =
        "{\"\\u0061\":[1,\"x\",{\"b\":null}],\"c\":1.0000000000000000000000000"
        "000000000000000000000000000000000000000000000001,\"d\":\"yyyyyyyyyyyy"
        "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        "\""
        ",\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\""
        ":9,\"10\":10,\"11\":11,\"12\":12,\"13\":13,\"14\":14,\"15\":15}";
    unit_arena arena, other;
    tn__json_fault fault;
    cJSON *tree;
    tn_str out;
    tn_err err;

    (void) state;

    UNIT_EACH_FAILURE(arena)
    {
        err = tn__json_parse(&tree, unit_str(text), &fault, &arena.mem);
        if (err == TN_OK) {
            break;
        }

        assert_int_equal(err, TN_E_NOMEM);
        assert_null(tree);
    }

    assert_true(arena.fail_at > 20);

    UNIT_EACH_FAILURE(other)
    {
        err = tn__json_print(&out, tree, &other.mem);
        if (err == TN_OK) {
            break;
        }

        assert_int_equal(err, TN_E_NOMEM);
        unit_assert_str(out, NULL);
    }

    assert_true(other.fail_at > 2);
    unit_arena_free(&other);
    unit_arena_free(&arena);
}


static int
suite_excepted(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(suite_exceptions) / sizeof(char *); i++) {
        if (strcmp(name, suite_exceptions[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


static tn_str
suite_read(const char *dir, const char *name, unit_arena *arena)
{
    char path[4096];
    tn_str text;
    char *p;
    FILE *file;
    long n;

    (void) snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    n = ftell(file);
    assert_true(n >= 0);
    rewind(file);

    p = unit_arena_alloc(arena, (size_t) n);
    text = (tn_str){ p, fread(p, 1, (size_t) n, file) };
    assert_int_equal(text.n, n);
    fclose(file);

    return text;
}


/* What is accepted must also come out of the printer and go in again. */
static void
suite_file(const char *dir, const char *name)
{
    unit_arena arena;
    tn__json_fault fault;
    cJSON *tree, *again;
    tn_str text, out;
    tn_err err, want;

    unit_arena_init(&arena, 0);
    text = suite_read(dir, name, &arena);
    err = tn__json_parse(&tree, text, &fault, &arena.mem);
    want = name[0] == 'n' || suite_excepted(name) ? TN_E_MALFORMED_JSON : TN_OK;

    if (err != want && name[0] != 'i') {
        fail_msg("%s: %s", name, err ? fault.what : "accepted");
    }

    if (err == TN_OK) {
        assert_int_equal(tn__json_print(&out, tree, &arena.mem), TN_OK);
        assert_int_equal(tn__json_parse(&again, out, &fault, &arena.mem),
                         TN_OK);
        assert_true(cJSON_Compare(tree, again, 1));
    }

    unit_arena_free(&arena);
}


static DIR *
suite_open(char *dir, size_t size)
{
    const char *vectors = getenv("TENON_VECTORS");

    (void) snprintf(dir, size, "%s/jsontestsuite/test_parsing",
                    vectors ? vectors : "../shared/vectors");

    return opendir(dir);
}


static void
test_json_test_suite(void **state)
{
    struct dirent *entry;
    char dir[3000];
    size_t n, files = 0;
    DIR *list = suite_open(dir, sizeof(dir));

    (void) state;
    assert_non_null(list);

    while ((entry = readdir(list)) != NULL) {
        n = strlen(entry->d_name);
        if (n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0) {
            suite_file(dir, entry->d_name);
            files++;
        }
    }

    closedir(list);
    assert_true(files > 300);
}


static void
test_nothing(void **state)
{
    (void) state;
}


/* cmocka's own skip() says "not ok", which prove takes for a failure: so a
 * skipped test is an empty one with TAP's directive in its name. */
int
main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_where_and_what),
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_prints),
        cmocka_unit_test(test_doubles_round_trip),
        cmocka_unit_test(test_long_numbers),
        cmocka_unit_test(test_refuses_odd_trees),
        cmocka_unit_test(test_survives_lack_of_memory),
        cmocka_unit_test(test_json_test_suite),
    };
    char dir[3000];
    DIR *list = suite_open(dir, sizeof(dir));

    if (list != NULL) {
        closedir(list);

    } else {
        tests[10].name = "test_json_test_suite # SKIP its files aren't there";
        tests[10].test_func = test_nothing;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
