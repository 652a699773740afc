/*
 * Bodies: the media type, the gate, and every fault of every field at once.
 */

#include "t/00unit/host.h"


static void
test_media_types(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *method;
        const char *type;
        unsigned status; /* 422: it was read */
    } cases[] = {
        { "POST", "application/json", 422 },
        { "POST", "Application/JSON ; charset=UTF-8", 422 },
        { "POST", "application/json;charset=\"utf-8\"", 422 },
        { "POST", "application/json; charset=latin1", 415 },
        { "POST", "application/merge-patch+json", 415 },
        { "POST", "text/json", 415 },
        { "POST", "application/jsonp", 415 },
        { "POST", "", 415 },
        { "PATCH", "application/json", 422 },
        { "PATCH", "application/merge-patch+json", 422 },
        { "PATCH", "application/json-patch+json", 415 },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, R(.method = cases[i].method, .token = h.owner,
                    .path = cases[i].method[1] == 'O' ? "/v1/tasks"
                                                      : "/v1/tasks/" TASK,
                    .type = cases[i].type, .body = "{\"x\":1}"));
        host_assert(&h, cases[i].status, NULL);
    }

    host_free(&h);
}


static void
test_malformed(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *body;
        const char *part;
    } cases[] = {
        { "{\"a\": tru}", "at byte " },
        { "", "at byte 0." },
        { "{\"title\":\"a\",\"title\":\"b\"}", "duplicate" },
        { "{\"title\":\"\xff\"}", "at byte 10." },
        { "{\"title\":\"\\ud800\"}", "at byte " },
        { "{} {}", "at byte 3." },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SEND0(&h, R(.method = "POST", .path = "/v1/tasks", .token = h.owner,
                    .body = cases[i].body, .type = "application/json"));
        host_problem(&h, 400, "malformed_json");
        host_assert(&h, 400, cases[i].part);
    }

    SEND0(&h, R(.method = "POST", .path = "/v1/tasks", .token = h.owner,
                .body = "[{}]"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "{\"pointer\":\"\",\"code\":\"wrong_type\"");
    host_free(&h);
}


static void
test_all_faults_at_once(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.method = "POST", .path = "/v1/tasks", .token = h.owner,
                .body = "{\"id\":\"" TASK "\",\"tenant_id\":\"" UMBRELLA
                        "\",\"title\":\"\",\"priority\":\"huge\",\"status\":1,"
                        "\"assignee_id\":\"x\",\"origin\":true,\"score\":5,"
                        "\"version\":9,\"deleted_at\":null,\"~/\":0}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/id\",\"code\":\"read_only\"");
    host_assert(&h, 422, "\"/tenant_id\",\"code\":\"read_only\"");
    host_assert(&h, 422, "\"/title\",\"code\":\"too_short\"");
    host_assert(&h, 422,
                "\"/priority\",\"code\":\"not_in_set\",\"detail\":\"must be "
                "one of low, medium, high, urgent\"");
    host_assert(&h, 422, "\"/status\",\"code\":\"wrong_type\"");
    host_assert(&h, 422, "\"/assignee_id\",\"code\":\"bad_format\"");
    host_assert(&h, 422, "\"/origin\",\"code\":\"wrong_type\"");
    host_assert(&h, 422, "\"/score\",\"code\":\"read_only\"");
    host_assert(&h, 422, "\"/version\",\"code\":\"read_only\"");
    host_assert(&h, 422, "\"/deleted_at\",\"code\":\"unknown_field\"");
    host_assert(&h, 422, "\"/~0~1\",\"code\":\"unknown_field\"");
    host_assert(&h, 422, "\"/project_id\",\"code\":\"required\"");

    /* only on creation */
    SEND0(&h, R(.method = "PATCH", .path = "/v1/tasks/" TASK, .token = h.owner,
                .body = "{\"origin\":\"x\"}"));
    host_assert(&h, 422,
                "\"/origin\",\"code\":\"read_only\",\"detail\":\"can't be "
                "changed\"");
    host_free(&h);
}


static void
test_values(void **state)
{
    unsigned i;
    host h;
    char body[1024], name[256];
    static const struct {
        const char *json;
        const char *fault; /* NULL: fits */
        const char *bound; /* behind what; */
        const char *value;
    } cases[] = {
        { "\"rank\":1.0", NULL, "\"rank\" = case when", "1" },
        { "\"rank\":1.5", "wrong_type", NULL, NULL },
        { "\"rank\":1e300", "out_of_range", NULL, NULL },
        { "\"rank\":2147483648", "out_of_range", NULL, NULL },
        { "\"rank\":-2147483648", NULL, "\"rank\" = case when", "-2147483648" },
        { "\"rank\":null", "wrong_type", NULL, NULL },
        { "\"budget\":-0.5", "out_of_range", NULL, NULL },
        { "\"budget\":1000.5", "out_of_range", NULL, NULL },
        { "\"budget\":0.25", NULL, "\"budget\" = case when", "0.25" },
        { "\"budget\":\"1\"", "wrong_type", NULL, NULL },
        { "\"budget\":null", NULL, "\"budget\" = case when", NULL },
        { "\"archived\":true", NULL, "\"archived\" = case when", "true" },
        { "\"archived\":\"true\"", "wrong_type", NULL, NULL },
        { "\"code\":\"ABCD\"", NULL, "\"code\" = case when", "ABCD" },
        { "\"code\":\"abc\"", "bad_format", NULL, NULL },
        { "\"code\":\"ABCDE\"", "bad_format", NULL, NULL },
        { "\"code\":\"ABC\\n\"", "bad_format", NULL, NULL },
        { "\"due\":\"2026-01-02T03:04:05.5+01:00\"", NULL,
          "\"due\" = case when", "2026-01-02T02:04:05.500000Z" },
        { "\"due\":\"2026-01-02\"", "bad_format", NULL, NULL },
        { "\"due\":1", "wrong_type", NULL, NULL },
        { "\"settings\":{\"a\":[1,null,\"x\"]}", NULL,
          "\"settings\" = case when", "{\"a\":[1,null,\"x\"]}" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host_request r = { .method = "PATCH",
                           .path = "/v1/projects/" PROJECT,
                           .token = h.owner,
                           .body = body };
        const char *at;

        snprintf(body, sizeof(body), "{%s}", cases[i].json);

        if (cases[i].fault) {
            SEND0(&h, &r);
            host_assert(&h, 422, cases[i].fault);
            continue;
        }

        SEND(&h, &r,
             { ROWS(14, "1", OWNER, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                    NULL, NULL, NULL, NULL, NULL) });
        host_problem(&h, 409, "state_conflict");

        /* "x" = case when $m::bigint & BIT <> 0 then $n */
        at = memmem(h.sql.p, h.sql.n, cases[i].bound, strlen(cases[i].bound));
        assert_non_null(at);
        assert_int_equal(sscanf(strchr(at, '&'), "& %200[^$]", name + 2), 1);
        memcpy(name, "& ", 2);
        unit_assert_str(host_bound(&h, name), cases[i].value);
    }

    host_free(&h);
}


/* Lengths are in characters, not bytes. */
static void
test_lengths(void **state)
{
    unsigned i;
    host h;
    char body[1024];
    size_t n;

    (void) state;
    host_init(&h);

    for (i = 199; i <= 201; i++) {
        n = (size_t) snprintf(body, sizeof(body), "{\"name\":\"");
        while (n < 9 + 2 * i) {
            n += (size_t) snprintf(body + n, sizeof(body) - n, "\xc3\xa9");
        }
        snprintf(body + n, sizeof(body) - n, "\"}");

        if (i <= 200) {
            SEND(&h,
                 R(.method = "POST", .path = "/v1/projects", .token = h.owner,
                   .body = body),
                 { .outcome = TN_DB_BUSY });
            host_problem(&h, 503, "busy");
        } else {
            SEND0(&h, R(.method = "POST", .path = "/v1/projects",
                        .token = h.owner, .body = body));
            host_assert(&h, 422, "must have at most 200 characters");
        }
    }

    host_free(&h);
}


/* More faults than there is room for: the first ones have to do. */
static void
test_flood_of_faults(void **state)
{
    unsigned i;
    host h;
    char body[4096];
    size_t n;

    (void) state;
    host_init(&h);
    n = (size_t) snprintf(body, sizeof(body), "{\"x\":0");
    for (i = 0; i < 300; i++) {
        n += (size_t) snprintf(body + n, sizeof(body) - n, ",\"x%u\":0", i);
    }
    snprintf(body + n, sizeof(body) - n, "}");

    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .token = h.owner,
                .body = body));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/x62\"");
    assert_null(strstr(h.body, "\"/x63\""));
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_media_types), cmocka_unit_test(test_malformed),
          cmocka_unit_test(test_all_faults_at_once),
          cmocka_unit_test(test_values), cmocka_unit_test(test_lengths),
          cmocka_unit_test(test_flood_of_faults))
