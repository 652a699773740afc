/*
 * Roles of a tenant's own: what is sent is looked at element by element, and
 * what the statement refuses, in its own words, reaches the client. A role
 * that may change a row it may not see learns nothing by trying.
 */

#include "t/00unit/host.h"

#define ROLE "0192f0c0-0000-7000-8000-0000000000c1"
#define TIME "2026-01-02 03:04:05+00"

#define CREATE(...) \
    R(.method = "POST", .path = "/v1/roles", .token = h.owner, __VA_ARGS__)
#define CHANGE(...) R(.method = "PATCH", .path = "/v1/roles/" ROLE, __VA_ARGS__)

#define HELD                                   \
    "[{\"permission\" : \"teamos.task:read\"," \
    " \"scope\" : \"own\"}]"
#define SHOWN(version) \
    ROLE, "reviewer", "Reviewer", "tenant", "f", HELD, version, TIME, TIME
#define REFUSED(why)                                                        \
    {                                                                       \
        ROWS(12, why, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
             "t", NULL)                                                     \
    }


static void
test_create(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         CREATE(.body = "{\"name\":\"reviewer\",\"title\":\"Reviewer\","
                        "\"permissions\":[{\"permission\":"
                        "\"teamos.task:read\",\"scope\":\"own\"}]}"),
         { ROWS(12, NULL, SHOWN("1"), "t", NULL) });
    host_assert(&h, 201,
                "\"name\":\"reviewer\",\"title\":\"Reviewer\","
                "\"level\":\"tenant\",\"shipped\":false,\"permissions\":"
                "[{\"permission\":\"teamos.task:read\",\"scope\":\"own\"}],"
                "\"version\":1,");
    unit_assert_str(host_response_header(&h, "Location"), "/v1/roles/" ROLE);
    unit_assert_str(host_response_header(&h, "ETag"), "\"1\"");
    unit_assert_str(host_bound(&h, "me.role, "),
                    "[{\"permission\":\"teamos.task:read\",\"scope\":"
                    "\"own\"}]");
    host_free(&h);
}


/* Each element by its place. */
static void
test_elements(void **state)
{
    unsigned i;
    host h;
    char body[1024];
    static const struct {
        const char *permissions;
        const char *part;
    } cases[] = {
        { "{}",
          "\"/permissions\",\"code\":\"wrong_type\",\"detail\":\"must be an "
          "array\"" },
        { "null", "\"/permissions\",\"code\":\"wrong_type\"" },
        { "[1]", "\"/permissions/0\",\"code\":\"wrong_type\",\"detail\":\"must "
                 "be an object\"" },
        { "[{\"permission\":\"a\"},null]",
          "\"/permissions/1\",\"code\":\"wrong_type\"" },
        { "[{\"permission\":\"a\"},{}]",
          "\"/permissions/1/permission\",\"code\":\"required\"" },
        { "[{\"permission\":7}]",
          "\"/permissions/0/permission\",\"code\":\"wrong_type\"" },
        { "[{\"permission\":\"a\",\"scope\":\"all\"}]",
          "\"/permissions/0/scope\",\"code\":\"not_in_set\",\"detail\":\"must "
          "be one of tenant, own\"" },
        { "[{\"permission\":\"a\",\"~\":1}]",
          "\"/permissions/0/~0\",\"code\":\"unknown_field\"" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(body, sizeof(body),
                 "{\"name\":\"x1\",\"title\":\"x\",\"permissions\":%s}",
                 cases[i].permissions);
        SEND0(&h, CREATE(.body = body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, cases[i].part);

        /* what changes a role is as whole as what makes one */
        snprintf(body, sizeof(body), "{\"permissions\":%s}",
                 cases[i].permissions);
        SEND0(&h, CHANGE(.token = h.owner, .body = body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, cases[i].part);
    }

    SEND0(&h, CREATE(.body = "{\"name\":\"No\",\"level\":\"x\"}"));
    host_assert(&h, 422, "\"/name\",\"code\":\"bad_format\"");
    host_assert(&h, 422, "\"/level\",\"code\":\"not_in_set\"");
    host_assert(&h, 422, "\"/title\",\"code\":\"required\"");
    SEND0(&h, CHANGE(.token = h.owner,
                     .body = "{\"name\":\"other\",\"level\":\"account\"}"));
    host_assert(&h, 422, "\"/name\",\"code\":\"read_only\"");
    host_assert(&h, 422, "\"/level\",\"code\":\"read_only\"");
    host_free(&h);
}


static void
test_too_many(void **state)
{
    host h;
    unsigned i;
    size_t n;
    static char body[3600];

    (void) state;
    host_init(&h);

    n = (size_t) snprintf(body, sizeof(body), "{\"permissions\":[1");

    for (i = 0; i < 1024; i++) {
        n += (size_t) snprintf(body + n, sizeof(body) - n, ",1");
    }

    snprintf(body + n, sizeof(body) - n, "]}");
    SEND0(&h, CHANGE(.token = h.owner, .body = body));
    host_assert(&h, 422,
                "\"errors\":[{\"pointer\":\"/permissions\",\"code\":"
                "\"too_long\",\"detail\":\"must have at most 1024 "
                "elements\"}]");
    host_free(&h);
}


static void
test_refused(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    SEND(&h, CREATE(.body = "{\"name\":\"owner\",\"title\":\"x\"}"),
         REFUSED("duplicate /name duplicate"));
    host_problem(&h, 409, "duplicate");
    host_assert(&h, 409,
                "\"/name\",\"code\":\"duplicate\",\"detail\":\"is taken\"");

    SEND(&h, CHANGE(.token = h.owner, .body = "{\"permissions\":[]}"),
         REFUSED("forbidden /permissions/0 refused is more than your role "
                 "holds;/permissions/2 refused"));
    host_problem(&h, 403, "forbidden");
    host_assert(&h, 403,
                "[{\"pointer\":\"/permissions/0\",\"code\":\"refused\","
                "\"detail\":\"is more than your role holds\"},{\"pointer\":"
                "\"/permissions/2\",\"code\":\"refused\",\"detail\":\"was "
                "refused\"}]");
    unit_assert_str(h.refused.resource_id, ROLE);
    unit_assert_str(h.refused.action, "role.updated");

    SEND(&h, R(.method = "DELETE", .path = "/v1/roles/" ROLE, .token = h.owner),
         { ROWS(3, "state_conflict: It is in use (members: 2).", "t", NULL) });
    host_problem(&h, 409, "state_conflict");
    host_assert(&h, 409, "\"detail\":\"It is in use (members: 2).\"");
    host_free(&h);
}


/* The member of these tests may change roles, but not read them. */
static void
test_unseen(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, CHANGE(.token = h.member, .body = "{\"title\":\"x\"}"),
         REFUSED("forbidden: It holds more than your role does."));
    host_problem(&h, 404, "not_found");
    assert_int_equal(h.refused.n, 0);
    assert_null(strstr(h.body, "holds"));

    SEND(&h, CHANGE(.token = h.member, .body = "{\"title\":\"Reviewer\"}"),
         { ROWS(12, NULL, SHOWN("2"), "t", NULL) });
    host_assert(&h, 200, "\"version\":2");
    host_free(&h);
}


/* A role of the tenant's own does what its definition says, and nothing once
 * it says nothing. */
static void
test_own_role(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    h.sessions[2].role = "reviewer";
    h.sessions[2].roles = "other=4t;reviewer=5t,12t,14o;x=13t";
    SEND(&h, R(.path = "/v1/roles", .token = h.guest), { NO_ROWS(9) });
    host_assert(&h, 200, "\"data\":[]");
    SEND0(&h, R(.method = "POST", .path = "/v1/roles", .token = h.guest,
                .body = "{}"));
    host_problem(&h, 403, "forbidden");
    SEND0(&h, R(.path = "/v1/tenant", .token = h.guest));
    host_problem(&h, 403, "forbidden");

    h.nzone = 0;
    h.sessions[2].roles = "other=4t;reviewer=;x=13t";
    SEND0(&h, R(.path = "/v1/roles", .token = h.guest));
    host_problem(&h, 403, "forbidden");

    h.nzone = 0;
    h.sessions[2].roles = "reviewer=12t,nonsense";
    SEND0(&h, R(.path = "/v1/roles", .token = h.guest));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


static void
test_permissions(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/permissions", .token = h.owner),
         { ROWS(4, ROLE, "teamos.task:read", "Read task",
                "[\"tenant\", \"own\"]") });
    host_assert(&h, 200,
                "\"data\":[{\"name\":\"teamos.task:read\",\"description\":"
                "\"Read task\",\"scopes\":[\"tenant\",\"own\"]}]");
    host_free(&h);
}


static void
test_transfer(void **state)
{
    host h;

    (void) state;
    host_init(&h);

#define TRANSFER(...)                                  \
    R(.method = "POST", .path = "/v1/tenant/transfer", \
      .body = "{\"member_id\":\"" ROLE "\"}", __VA_ARGS__)
#define NEW_OWNER ROLE, MEMBER, "a@b.test", "Ann", "owner", "2", TIME

    SEND(&h, TRANSFER(.token = h.owner),
         { ROWS(10, NULL, NEW_OWNER, "t", NULL) });
    host_assert(&h, 200, "\"role\":\"owner\"");
    unit_assert_str(host_bound(&h, "::uuid union all select "), ROLE);
    assert_string_equal(strchr(h.trace, 'W'), "WZ");

    SEND0(&h, TRANSFER(.token = h.member));
    host_problem(&h, 403, "forbidden");

    SEND(&h, TRANSFER(.token = h.owner),
         { ROWS(10, "invalid_fields /member_id not_in_set is yourself", NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, "t", NULL) });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422,
                "\"/member_id\",\"code\":\"not_in_set\",\"detail\":\"is "
                "yourself\"");
    host_free(&h);
}


static void
test_memory(void **state)
{
    host h;
    size_t n;

    (void) state;
    host_init(&h);

    for (n = 1;; n++) {
        SEND(&h,
             CHANGE(.token = h.owner, .fail_at = n,
                    .body = "{\"permissions\":[{\"permission\":\"a\"},"
                            "{\"permission\":\"b\"}]}"),
             { ROWS(12, NULL, SHOWN("2"), "t", NULL) });
        if (h.response->status == 200) {
            break;
        }
        assert_int_equal(h.response->status, 500);
    }

    assert_true(n > 10);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_create), cmocka_unit_test(test_elements),
          cmocka_unit_test(test_too_many), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_unseen), cmocka_unit_test(test_own_role),
          cmocka_unit_test(test_permissions), cmocka_unit_test(test_transfer),
          cmocka_unit_test(test_memory))
