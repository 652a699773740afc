/*
 * Flags as owners manage them: what of their shape is looked at before the
 * database is asked, and what it says then.
 */

#include "t/00unit/host.h"

#define FLAG_ID "0192f0c0-0000-7000-8000-0000000000e7"
#define CREATE(...) \
    R(.method = "POST", .path = "/v1/flags", .token = h.owner, __VA_ARGS__)
#define SHOWN                                                                 \
    FLAG_ID, "new-checkout", "", "boolean", "t",                              \
        "{\"on\": true, \"off\": false}", "off", "off",                       \
        "[{\"name\": null, \"when\": [], \"split\": null, \"variant\": "      \
        "\"on\"}]",                                                           \
        "1", "2026-11-21 01:33:00.12+00", OWNER, "2026-11-21 01:33:00.12+00", \
        FRESH
#define REFUSED(why)                                                       \
    why, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
        NULL, NULL, FRESH


static void
test_create(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         CREATE(.body = "{\"key\":\"new-checkout\",\"rules\":["
                        "{\"variant\":\"on\"}]}"),
         { ROWS(16, NULL, SHOWN) });
    host_assert(&h, 201,
                "{\"id\":\"" FLAG_ID "\",\"key\":\"new-checkout\","
                "\"description\":\"\",\"type\":\"boolean\",\"enabled\":true,"
                "\"variants\":{\"on\":true,\"off\":false},\"default_variant\":"
                "\"off\",\"off_variant\":\"off\",\"rules\":[{\"name\":null,"
                "\"when\":[],\"split\":null,\"variant\":\"on\"}],"
                "\"version\":1,");
    unit_assert_str(host_response_header(&h, "Location"), "/v1/flags/" FLAG_ID);
    unit_assert_str(host_response_header(&h, "ETag"), "\"1\"");

    SEND(&h, CREATE(.body = "{\"key\":\"k\",\"default_variant\":\"x\"}"),
         { ROWS(16, REFUSED("invalid_fields /default_variant not_in_set is no "
                            "variant of this flag;/rules/0 required needs "
                            "either a variant or a split")) });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422,
                "\"errors\":[{\"pointer\":\"/default_variant\",\"code\":"
                "\"not_in_set\",\"detail\":\"is no variant of this flag\"},"
                "{\"pointer\":\"/rules/0\",\"code\":\"required\",");

    /* two at once */
    SEND(&h, CREATE(.body = "{\"key\":\"k\"}"),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "flag_key_key" });
    host_problem(&h, 409, "duplicate");
    host_assert(&h, 409, "\"/key\",\"code\":\"duplicate\"");

    SEND0(&h, R(.method = "POST", .path = "/v1/flags", .token = h.member,
                .body = "{\"key\":\"k\"}"));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


static void
test_shape(void **state)
{
    unsigned i;
    host h;
    char body[512];
    static const struct {
        const char *members;
        const char *fault;
    } cases[] = {
        { "", "\"/key\",\"code\":\"required\"" },
        { "\"key\":\"\"", "\"/key\",\"code\":\"bad_format\"" },
        { "\"key\":\"a b\"", "\"/key\",\"code\":\"bad_format\"" },
        { "\"key\":\"a/b\"", "\"/key\",\"code\":\"bad_format\"" },
        { "\"key\":\".\"", "\"/key\",\"code\":\"bad_format\"" },
        { "\"key\":\"k\",\"type\":\"bool\"",
          "\"/type\",\"code\":\"not_in_set\"" },
        { "\"key\":\"k\",\"enabled\":1",
          "\"/enabled\",\"code\":\"wrong_type\"" },
        { "\"key\":\"k\",\"variants\":null",
          "\"/variants\",\"code\":\"wrong_type\"" },
        { "\"key\":\"k\",\"rules\":{}", "\"/rules\",\"code\":\"wrong_type\"" },
        { "\"key\":\"k\",\"rules\":[{\"then\":\"on\"}]",
          "\"/rules/0/then\",\"code\":\"unknown_field\"" },
        { "\"key\":\"k\",\"rules\":[{\"when\":[{\"op\":\"like\"}]}]",
          "\"/rules/0/when/0/op\",\"code\":\"not_in_set\"" },
        { "\"key\":\"k\",\"rules\":[{\"when\":[{\"op\":\"in\"}]}]",
          "\"/rules/0/when/0/attribute\",\"code\":\"required\"" },
        { "\"key\":\"k\",\"rules\":[{\"split\":[]}]",
          "\"/rules/0/split\",\"code\":\"too_short\"" },
        { "\"key\":\"k\",\"rules\":[{\"split\":[{\"variant\":\"on\","
          "\"weight\":-1}]}]",
          "\"/rules/0/split/0/weight\",\"code\":\"out_of_range\"" },
        { "\"key\":\"k\",\"version\":7",
          "\"/version\",\"code\":\"read_only\"" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(body, sizeof(body), "{%s}", cases[i].members);
        SEND0(&h, CREATE(.body = body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, cases[i].fault);
    }

    SEND0(&h,
          R(.method = "PATCH", .path = "/v1/flags/" FLAG_ID, .token = h.owner,
            .body = "{\"key\":\"k\",\"type\":\"string\"}"));
    host_assert(&h, 422, "\"/key\",\"code\":\"read_only\"");
    host_assert(&h, 422, "\"/type\",\"code\":\"read_only\"");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_create), cmocka_unit_test(test_shape))
