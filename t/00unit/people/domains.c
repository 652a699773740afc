/*
 * Domains of a tenant's own: what can be one, and that one that is given up is
 * nobody's from the next request on.
 */

#include "t/00unit/host.h"

#define DOMAIN_ID "0192f0c0-0000-7000-8000-0000000000e1"
#define CREATE(...) \
    R(.method = "POST", .path = "/v1/domains", .token = h.owner, __VA_ARGS__)
#define DELETE \
    R(.method = "DELETE", .path = "/v1/domains/" DOMAIN_ID, .token = h.owner)


static void
test_create(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, CREATE(.body = "{\"domain\":\"app.acme.example\"}"),
         { ROWS(11, NULL, DOMAIN_ID, "app.acme.example", "pending",
                "{\"name\":\"n\",\"type\":\"TXT\",\"value\":\"v\"}", NULL, "1",
                "2026-11-21 01:33:00.12+00", OWNER, FRESH) });
    host_assert(&h, 201,
                "{\"id\":\"" DOMAIN_ID "\",\"domain\":\"app.acme.example\","
                "\"status\":\"pending\",\"challenge\":{\"name\":\"n\","
                "\"type\":\"TXT\",\"value\":\"v\"},\"verified_at\":null,"
                "\"version\":1,");
    unit_assert_str(host_response_header(&h, "Location"),
                    "/v1/domains/" DOMAIN_ID);
    unit_assert_str(host_response_header(&h, "ETag"), "\"1\"");

    SEND(&h, CREATE(.body = "{\"domain\":\"app.acme.example\"}"),
         { ROWS(11, "limit_reached", NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                NULL, FRESH) });
    host_problem(&h, 409, "limit_reached");

    /* two at once */
    SEND(&h, CREATE(.body = "{\"domain\":\"app.acme.example\"}"),
         { .outcome = TN_DB_ERROR,
           .sqlstate = "23505",
           .constraint = "domain_name_key" });
    host_problem(&h, 409, "duplicate");
    host_assert(&h, 409, "\"/domain\",\"code\":\"duplicate\"");

    SEND0(&h, R(.method = "POST", .path = "/v1/domains", .token = h.member,
                .body = "{\"domain\":\"app.acme.example\"}"));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


static void
test_names(void **state)
{
    unsigned i;
    host h;
    char body[512];
    static const struct {
        const char *name;
        const char *code;
    } cases[] = {
        { "localhost", "bad_format" },
        { "192.0.2.1", "bad_format" },
        { "a.example.", "bad_format" },
        { "a..example", "bad_format" },
        { "*.example.com", "bad_format" },
        { "a.example:443", "bad_format" },
        { "Ab--cd.example", "bad_format" },
        { "ab--cd.example", "bad_format" },
        { "Acme.TENON.localhost", "refused" },
        { "tenon.localhost", "refused" },
        { "acme.tenon.localhost", "refused" },
        { "a.b.c.tenon.localhost", "refused" },
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(body, sizeof(body), "{\"domain\":\"%s\"}", cases[i].name);
        SEND0(&h, CREATE(.body = body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, cases[i].code);
    }

    host_free(&h);
}


/* Whether the node knows whom the domain names, without asking. */
static int
is_warm(host *h)
{
    SEND0(h, R(.path = "/v1/me", .host = "app.acme.example"));

    return strchr(h->trace, 'd') == NULL;
}


static void
test_delete(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    h.domains[0] = "app.acme.example";
    (void) is_warm(&h);
    assert_true(is_warm(&h));

    /* not when nothing was done */
    SEND(&h, DELETE, { ROWS(3, "precondition_failed", FRESH) });
    host_problem(&h, 412, "precondition_failed");
    assert_true(is_warm(&h));

    SEND(&h, DELETE, { ROWS(3, NULL, FRESH) });
    host_assert(&h, 204, NULL);
    assert_false(is_warm(&h));
    assert_true(is_warm(&h));

    /* nor when nobody knows */
    SEND(&h, DELETE, { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    assert_false(is_warm(&h));

    /* what sessions may do is as it was */
    SEND(&h, R(.path = "/v1/tenant", .token = h.owner), { NO_ROWS(8) });
    SEND(&h, DELETE, { ROWS(3, NULL, FRESH) });
    SEND(&h, R(.path = "/v1/tenant", .token = h.owner), { NO_ROWS(8) });
    assert_null(strchr(h.trace, 'd'));
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_create), cmocka_unit_test(test_names),
          cmocka_unit_test(test_delete))
