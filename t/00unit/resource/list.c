/*
 * Lists: filters, one sort field, a bounded page, and cursors that hold for
 * the list they came from and no other.
 */

#include "t/00unit/host.h"

#define T1 "0192f0c0-0000-7000-8000-000000000101"
#define T2 "0192f0c0-0000-7000-8000-000000000102"
#define T3 "0192f0c0-0000-7000-8000-000000000103"
#define AT "2026-11-21 01:33:00.12+00"

/* Two on a page and one more: there is a next page. */
#define PAGE                                                  \
    ROWS(14, TASK_CELLS(T1, "a", "todo", "1", OWNER), AT, T1, \
         TASK_CELLS(T2, "b", "done", "2", OWNER), AT, T2,     \
         TASK_CELLS(T3, "c", "todo", "3", OWNER), AT, T3)
#define ONE ROWS(14, TASK_CELLS(T1, "a", "todo", "1", OWNER), AT, T1)


static void
next_cursor(const host *h, char out[512])
{
    const char *p = strstr(h->body, "\"next_cursor\":\"");

    assert_non_null(p);
    assert_int_equal(sscanf(p, "\"next_cursor\":\"%511[A-Za-z0-9_-]\"", out),
                     1);
}


static const tn_stmt *
prepared(const host *h, const char *operation)
{
    unsigned i;
    tn_endpoint_info info;

    for (i = 0; tn_catalogue_endpoint(&info, h->catalogue, i); i++) {
        if (info.operation.n == strlen(operation) &&
            memcmp(info.operation.p, operation, info.operation.n) == 0) {
            return info.stmt;
        }
    }

    return NULL;
}


static void
test_plain_page_is_prepared(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/tasks", .token = h.member), { ONE });
    host_assert(&h, 200, NULL);
    assert_string_equal(h.body,
                        "{\"data\":[" TASK_JSON(T1, "\"a\"", "todo", "1",
                                                OWNER) "],\"next_cursor\":"
                                                       "null}");
    assert_ptr_equal(h.sql.p, prepared(&h, "listTasks")->sql.p);
    unit_assert_str(host_bound(&h, "t.tenant_id = "), ACME);
    unit_assert_str(host_bound(&h, "limit "), "51");
    assert_null(host_response_header(&h, "Link").p);

    SEND(&h, R(.path = "/v1/tasks", .query = "limit=7", .token = h.member),
         { NO_ROWS(14) });
    host_assert(&h, 200, "{\"data\":[],\"next_cursor\":null}");
    assert_ptr_equal(h.sql.p, prepared(&h, "listTasks")->sql.p);
    unit_assert_str(host_bound(&h, "limit "), "8");
    host_free(&h);
}


static void
test_filters_and_sort(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/tasks", .token = h.member,
           .query = "status=in_progress&project%5Fid="
                    "0192F0C0-0000-7000-8000-0000000000F2&sort=created_at"),
         { ONE });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "t.\"status\" = "), "in_progress");
    unit_assert_str(host_bound(&h, "t.\"project_id\" = "), PROJECT);
    assert_true(host_has(h.sql, "order by t.\"created_at\", t.id limit"));

    SEND(&h,
         R(.path = "/v1/projects", .token = h.member,
           .query = "budget=1.5&archived=true&rank=-3&sort=-rank&"
                    "due=2026-01-02T05:04:05%2B02:00"),
         { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "t.\"budget\" = "), "1.5");
    unit_assert_str(host_bound(&h, "t.\"archived\" = "), "true");
    unit_assert_str(host_bound(&h, "t.\"rank\" = "), "-3");
    unit_assert_str(host_bound(&h, "t.\"due\" = "),
                    "2026-01-02T03:04:05.000000Z");
    assert_true(host_has(h.sql, "order by t.\"rank\" desc, t.id desc limit"));
    host_free(&h);
}


static void
test_comparisons(void **state)
{
    host h;
    char sql[8192];

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/tasks", .token = h.member,
           .query = "status=todo,done&created_at%5Bgte%5D=2026-01-01T00:00:00Z"
                    "&created_at[lt]=2026-02-01T00:00:00Z"
                    "&priority[ne]=low&fields=id,title"),
         { ONE });
    host_assert(&h, 200, "{\"data\":[{\"id\":\"" T1 "\",\"title\":\"a\"}]");
    unit_assert_str(host_bound(&h, "t.\"status\" = any("),
                    "{\"todo\",\"done\"}");
    unit_assert_str(host_bound(&h, "t.\"priority\" is distinct from "), "low");
    unit_assert_str(host_bound(&h, "t.\"created_at\" >= "),
                    "2026-01-01T00:00:00.000000Z");
    unit_assert_str(host_bound(&h, "t.\"created_at\" < "),
                    "2026-02-01T00:00:00.000000Z");
    snprintf(sql, sizeof(sql), "%.*s", (int) h.sql.n, h.sql.p);

    /* the same filters in another order are the same statement */
    SEND(&h,
         R(.path = "/v1/tasks", .token = h.member,
           .query = "priority[ne]=low&created_at[lt]=2026-02-01T00:00:00Z"
                    "&created_at[gte]=2026-01-01T00:00:00Z&status=todo,done"),
         { ONE });
    unit_assert_str(h.sql, sql);

    SEND(&h,
         R(.path = "/v1/projects", .token = h.member,
           .query = "rank[gt]=1&rank[lte]=5&budget[ne]=2.5"),
         { NO_ROWS(14) });
    unit_assert_str(host_bound(&h, "t.\"rank\" > "), "1");
    unit_assert_str(host_bound(&h, "t.\"rank\" <= "), "5");
    unit_assert_str(host_bound(&h, "t.\"budget\" is distinct from "), "2.5");
    host_free(&h);
}


static void
test_bad_parameters(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *query;
        const char *code;
        const char *part;
    } cases[] = {
        { "colour=red", "unknown_parameter", "\"pointer\":\"colour\"" },
        { "title=x", "unknown_parameter", "\"pointer\":\"title\"" },
        { "tenant_id=" UMBRELLA, "unknown_parameter", "tenant_id" },
        { "status=lost", "invalid_parameter", "not_in_set" },
        { "project_id=7", "invalid_parameter", "bad_format" },
        { "limit=0", "invalid_parameter", "\"pointer\":\"limit\"" },
        { "limit=101", "invalid_parameter", "out_of_range" },
        { "limit=", "invalid_parameter", "out_of_range" },
        { "limit=2x", "invalid_parameter", "out_of_range" },
        { "sort=title", "invalid_parameter", "\"pointer\":\"sort\"" },
        { "sort=", "invalid_parameter", "\"pointer\":\"sort\"" },
        { "sort=--created_at", "invalid_parameter", "sort" },
        { "status=todo&status=done", "invalid_parameter", "duplicate" },
        { "status=todo,lost", "invalid_parameter", "not_in_set" },
        { "status=todo,", "invalid_parameter", "not_in_set" },
        { "status[gte", "unknown_parameter", "status[gte" },
        { "status[like]=t", "unknown_parameter", "status[like]" },
        { "project_id[gt]=" PROJECT, "invalid_parameter", "no order" },
        { "priority[lt]=high", "invalid_parameter", "no order" },
        { "fields=id,,title", "invalid_parameter", "\"pointer\":\"fields\"" },
        { "status=%ff", "invalid_parameter", NULL },
        { "status=%00", "invalid_parameter", NULL },
        { "status=%4", "invalid_parameter", NULL },
        { "cursor=AAAA", "invalid_cursor", NULL },
        { "cursor=", "invalid_cursor", NULL },
        { "a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q&r&s&t&u&v&w&x&y&z&aa&bb&cc&dd&"
          "ee&ff&gg",
          "invalid_parameter", "32" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, R(.path = "/v1/tasks", .query = cases[i].query,
                    .token = h.member));
        host_assert(&h, 400, cases[i].code);
        host_assert(&h, 400, cases[i].part);
    }

    /* what the column can't hold is the client's fault, not the server's */
    SEND0(&h, R(.path = "/v1/projects", .query = "rank=3000000000",
                .token = h.member));
    host_problem(&h, 400, "invalid_parameter");
    SEND0(&h,
          R(.path = "/v1/projects", .query = "budget=many", .token = h.member));
    host_problem(&h, 400, "invalid_parameter");
    SEND0(&h,
          R(.path = "/v1/projects", .query = "archived=1", .token = h.member));
    host_problem(&h, 400, "invalid_parameter");

    /* every fault at once; one unknown makes it unknown_parameter */
    SEND0(&h, R(.path = "/v1/tasks", .query = "limit=x&sort=y&z=1&&status=?",
                .token = h.member));
    host_problem(&h, 400, "unknown_parameter");
    host_assert(&h, 400, "\"pointer\":\"limit\"");
    host_assert(&h, 400, "\"pointer\":\"sort\"");
    host_assert(&h, 400, "\"pointer\":\"status\"");
    host_assert(&h, 400, "\"pointer\":\"z\"");
    host_free(&h);
}


static void
test_pages(void **state)
{
    host h;
    char cursor[512], query[1024], link[2048];

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/tasks", .query = "limit=2&status=todo",
           .prefix = "/api", .token = h.member),
         { PAGE });
    host_assert(&h, 200, "\"title\":\"b\"");
    assert_null(strstr(h.body, "\"title\":\"c\""));
    next_cursor(&h, cursor);
    snprintf(link, sizeof(link),
             "</api/v1/tasks?limit=2&status=todo&cursor=%s>; rel=\"next\"",
             cursor);
    unit_assert_str(host_response_header(&h, "Link"), link);

    /* beyond the last that was shown */
    snprintf(query, sizeof(query), "limit=2&status=todo&cursor=%s", cursor);
    SEND(&h, R(.path = "/v1/tasks", .query = query, .token = h.member),
         { ONE });
    host_assert(&h, 200, "\"next_cursor\":null");
    assert_null(host_response_header(&h, "Link").p);
    assert_true(host_has(h.sql, "(t.\"created_at\", t.id) < ("));
    unit_assert_str(host_bound(&h, "t.id) < ("), AT);
    unit_assert_str(host_bound(&h, "timestamp with time zone, "), T2);

    /* another page size is the same list; the cursor is not in the new link */
    snprintf(query, sizeof(query), "status=todo&cursor=%s&limit=1", cursor);
    SEND(&h, R(.path = "/v1/tasks", .query = query, .token = h.member),
         { ROWS(14, TASK_CELLS(T1, "a", "todo", "1", OWNER), AT, T1,
                TASK_CELLS(T2, "b", "done", "2", OWNER), AT, T2) });
    host_assert(&h, 200, "\"next_cursor\":\"");
    assert_true(host_has(host_response_header(&h, "Link"),
                         "?status=todo&limit=1&cursor="));
    host_free(&h);
}


/* The same list written otherwise: filters in another order, the default sort
 * said or left out. */
static void
test_cursor_knows_its_list(void **state)
{
    unsigned i;
    host h;
    char cursor[512], query[1024];
    static const char *const same[] = {
        "status=todo&priority=medium",
        "priority=medium&status=todo",
        "priority=medium&sort=-created_at&status=todo",
    };

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/tasks", .query = "status=todo&priority=medium&limit=2",
           .token = h.member),
         { PAGE });
    next_cursor(&h, cursor);

    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        snprintf(query, sizeof(query), "%s&cursor=%s", same[i], cursor);
        SEND(&h, R(.path = "/v1/tasks", .query = query, .token = h.member),
             { ONE });
        host_assert(&h, 200, "\"next_cursor\":null");
    }

    host_free(&h);
}


/* A page ends where it becomes too long to hold; the cursor has the rest. */
static void
test_large_rows_end_a_page(void **state)
{
    host h;
    char *large;

    (void) state;
    host_init(&h);
    large = malloc(1100000);
    assert_non_null(large);
    memset(large, 'x', 1099999);
    large[1099999] = '\0';

    SEND(&h, R(.path = "/v1/tasks", .query = "limit=3", .token = h.member),
         { ROWS(14, TASK_CELLS(T1, "a", "todo", "1", OWNER), AT, T1,
                TASK_CELLS(T2, large, "todo", "1", OWNER), AT, T2,
                TASK_CELLS(T3, "c", "todo", "1", OWNER), AT, T3) });
    assert_int_equal(h.response->status, 200);
    assert_true(host_has(h.response->body, T2));
    assert_false(host_has(h.response->body, T3));
    assert_true(host_has(h.response->body, "\"next_cursor\":\""));
    assert_true(host_has(host_response_header(&h, "Link"), "rel=\"next\""));
    free(large);
    host_free(&h);
}


static void
test_ascending_pages(void **state)
{
    host h;
    char cursor[512], query[1024];

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/projects", .query = "sort=rank&limit=1",
           .token = h.owner),
         { ROWS(14, T1, "p", NULL, NULL, NULL, "f", "5", NULL, "1", AT, NULL,
                AT, "5", T1, T2, "p", NULL, NULL, NULL, "f", "6", NULL, "1", AT,
                NULL, AT, "6", T2) });
    next_cursor(&h, cursor);
    snprintf(query, sizeof(query), "sort=rank&limit=1&cursor=%s", cursor);
    SEND(&h, R(.path = "/v1/projects", .query = query, .token = h.owner),
         { NO_ROWS(14) });
    unit_assert_str(host_bound(&h, "(t.\"rank\", t.id) > ("), "5");
    unit_assert_str(host_bound(&h, "::integer, "), T1);
    host_free(&h);
}


/* A cursor is bound to tenant, list, filters and order, and to its bytes. */
static void
test_cursor_is_bound(void **state)
{
    size_t i;
    host h;
    char cursor[512], query[1024];
    static const struct {
        const char *path;
        const char *query;
    } others[] = {
        { "/v1/tasks", "limit=2" },
        { "/v1/tasks", "limit=2&status=done" },
        { "/v1/tasks", "status=todo&priority=low" },
        { "/v1/tasks", "status=todo&sort=created_at" },
        { "/v1/projects", "limit=2" },
        { "/v1/audit/events", "limit=2" },
    };

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/tasks", .query = "limit=2&status=todo",
           .token = h.owner),
         { PAGE });
    next_cursor(&h, cursor);

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        snprintf(query, sizeof(query), "%s&cursor=%s", others[i].query, cursor);
        SEND0(&h, R(.path = others[i].path, .query = query, .token = h.owner));
        host_problem(&h, 400, "invalid_cursor");
    }

    snprintf(query, sizeof(query), "limit=2&status=todo&cursor=%s", cursor);
    SEND0(&h, R(.path = "/v1/tasks", .query = query, .token = h.eve,
                .host = "umbrella.tenon.localhost"));
    host_problem(&h, 400, "invalid_cursor");

    /* another worker with the same key opens it; a flipped letter doesn't */
    for (i = strlen(query) - strlen(cursor); query[i]; i++) {
        char was = query[i];

        query[i] = was == 'A' ? 'B' : 'A';
        SEND0(&h, R(.path = "/v1/tasks", .query = query, .token = h.owner));
        host_problem(&h, 400, "invalid_cursor");
        query[i] = '\0';
        SEND0(&h, R(.path = "/v1/tasks", .query = query, .token = h.owner));
        host_problem(&h, 400, "invalid_cursor");
        query[i] = was;
    }

    SEND(&h, R(.path = "/v1/tasks", .query = query, .token = h.owner),
         { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    host_free(&h);
}


static void
test_own_scope_lists_own(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/projects", .token = h.guest), { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    unit_assert_str(host_bound(&h, "t.\"created_by\" = "), GUEST);

    SEND(&h, R(.path = "/v1/projects", .token = h.member), { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    assert_false(host_has(h.sql, "\"created_by\" = $"));
    host_free(&h);
}


/* JSON that holds what is given; how it is written makes no other shape. */
static void
test_contains(void **state)
{
    unsigned i;
    host h;
    static const char *const bad[] = {
        "",     "1",        "\"a\"",
        "null", "{\"a\":1", "{} []",
        "%20",  "[1,]",     "{\"a\":1,\"a\":2}"
    };
    static const char *const empty[] = {
        "{}",      "[]",         "%20{%20}%20",
        "[[],{}]", "{\"a\":{}}", "{\"a\\\"1,\":%20[%20{}],\"b\"%20:[]}",
    };
    static const char *const full[] = {
        "[null]",
        "[\"\"]",
        "{\"a\":{},\"b\":0}",
        "{\"\":false}",
        "{\"a\":[{\"b\":\"c\"}]}",
    };
    char query[64];

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/projects", .token = h.owner,
           .query = "settings[contains]=%20{%22a%22:[1,%202]}&archived=true"),
         { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    assert_true(h.slow);
    assert_true(host_has(h.sql, " and t.id in (select s.id from "
                                "teamos.project_settings_contains($2::jsonb) s "
                                "(id)) and t.\"archived\" = "));
    unit_assert_str(host_bound(&h, "_contains("), " {\"a\":[1, 2]}");

    for (i = 0; i < sizeof(full) / sizeof(full[0]); i++) {
        snprintf(query, sizeof(query), "settings[contains]=%s", full[i]);
        SEND(&h, R(.path = "/v1/projects", .token = h.owner, .query = query),
             { NO_ROWS(14) });
        host_assert(&h, 200, NULL);
    }

    /* what every document holds, or what no index knows of */
    for (i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        snprintf(query, sizeof(query), "settings[contains]=%s", empty[i]);
        SEND0(&h, R(.path = "/v1/projects", .token = h.owner, .query = query));
        host_problem(&h, 400, "invalid_parameter");
        host_assert(&h, 400,
                    "\"pointer\":\"settings[contains]\",\"code\":"
                    "\"bad_format\",\"detail\":\"holds nothing to look for");
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(query, sizeof(query), "settings[contains]=%s", bad[i]);
        SEND0(&h, R(.path = "/v1/projects", .token = h.owner, .query = query));
        host_problem(&h, 400, "invalid_parameter");
        host_assert(&h, 400,
                    "\"pointer\":\"settings[contains]\",\"code\":"
                    "\"bad_format\",\"detail\":\"must be a JSON object or "
                    "array\"");
    }

    /* it is compared in no other way, and nothing else is in this one */
    SEND0(&h, R(.path = "/v1/projects", .token = h.owner,
                .query = "settings={}&rank[contains]={}&settings[gte]={}"));
    host_problem(&h, 400, "unknown_parameter");
    host_free(&h);
}


static void
test_dates(void **state)
{
    host h;

    (void) state;
    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_FIELDS, "teamos", "project", "due")[3] = "date";
    host_adopt(&h);
    SEND(&h,
         R(.path = "/v1/projects", .token = h.owner,
           .query = "due[gte]=2026-01-01&due[lt]=2026-02-01"),
         { NO_ROWS(14) });
    host_assert(&h, 200, NULL);
    assert_true(host_has(h.sql, "t.\"due\" >= $2::date and t.\"due\" < "
                                "$3::date"));
    unit_assert_str(host_bound(&h, "t.\"due\" >= "), "2026-01-01");
    SEND(&h,
         R(.path = "/v1/projects", .token = h.owner,
           .query = "due=2026-01-01,2026-02-28"),
         { NO_ROWS(14) });
    unit_assert_str(host_bound(&h, "t.\"due\" = any("),
                    "{\"2026-01-01\",\"2026-02-28\"}");
    SEND0(&h, R(.path = "/v1/projects", .token = h.owner,
                .query = "due=2026-02-29"));
    host_problem(&h, 400, "invalid_parameter");
    SEND0(&h, R(.path = "/v1/projects", .token = h.owner,
                .query = "due=2026-01-01T00:00:00Z"));
    host_problem(&h, 400, "invalid_parameter");

    /* out as it is; what is no date elsewhere is null */
    SEND(&h, R(.path = "/v1/projects/" PROJECT, .token = h.owner),
         { ROWS(12, PROJECT, "p", NULL, NULL, NULL, "f", "0", "2026-01-31", "1",
                "2026-01-01 00:00:00+00", OWNER, "2026-01-01 00:00:00+00") });
    host_assert(&h, 200, "\"due\":\"2026-01-31\"");
    SEND(&h, R(.path = "/v1/projects/" PROJECT, .token = h.owner),
         { ROWS(12, PROJECT, "p", NULL, NULL, NULL, "f", "0", "infinity", "1",
                "2026-01-01 00:00:00+00", OWNER, "2026-01-01 00:00:00+00") });
    host_assert(&h, 200, "\"due\":null");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_contains), cmocka_unit_test(test_dates),
          cmocka_unit_test(test_plain_page_is_prepared),
          cmocka_unit_test(test_filters_and_sort),
          cmocka_unit_test(test_comparisons),
          cmocka_unit_test(test_bad_parameters), cmocka_unit_test(test_pages),
          cmocka_unit_test(test_ascending_pages),
          cmocka_unit_test(test_cursor_is_bound),
          cmocka_unit_test(test_cursor_knows_its_list),
          cmocka_unit_test(test_large_rows_end_a_page),
          cmocka_unit_test(test_own_scope_lists_own))
