/*
 * Who asks, of which tenant: by host, by header, by token alone; all that
 * name one must agree. A warm request costs two looks into the zone.
 */

#include "libcore/identity/identity.h"
#include "t/00unit/host.h"

#define ROW                                                 \
    {                                                       \
        ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) \
    }
#define PATH .path = "/v1/tasks/" TASK


static void
test_named_by(void **state)
{
    unsigned i;
    host h;
    static const struct {
        const char *host;
        const char *header;
    } cases[] = {
        { ACME_HOST, NULL },
        { ACME_HOST, "acme" },
        { ACME_HOST, ACME },
        { "", "acme" },
        { "", ACME },
        { "", "0192F0C0-0000-7000-8000-00000000000A" },
        { "tenon.localhost", "acme" },
        { "tenon.localhost", NULL },
        { "", NULL },
        { "elsewhere.example", NULL },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host_init(&h);
        SEND(&h,
             R(PATH, .host = cases[i].host, .tenant = cases[i].header,
               .token = h.member),
             ROW);
        host_assert(&h, 200, NULL);
        unit_assert_str(tn_op_facts(h.op)->tenant_id, ACME);
        unit_assert_str(tn_op_facts(h.op)->tenant, "acme");
        unit_assert_str(tn_op_facts(h.op)->user_id, MEMBER);
        unit_assert_str(tn_op_facts(h.op)->operation, "getTask");
        unit_assert_str(host_bound(&h, "t.tenant_id = "), ACME);
        host_free(&h);
    }
}


static void
test_refused(void **state)
{
    int stray;
    unsigned i;
    host h;
    static const struct {
        const char *host;
        const char *header;
        unsigned status;
        const char *code;
    } cases[] = {
        { "nobody.tenon.localhost", NULL, 404, "tenant_unknown" },
        { "", "nobody", 404, "tenant_unknown" },
        { "", TASK, 404, "tenant_unknown" },
        { "a.acme.tenon.localhost", NULL, 404, "tenant_unknown" },
        { "acme_.tenon.localhost", NULL, 404, "tenant_unknown" },
        { "", "ACME", 404, "tenant_unknown" },
        { "", "\xff\xfe", 404, "tenant_unknown" },
        { "sleepy.tenon.localhost", NULL, 403, "tenant_inactive" },
        { "", SLEEPY, 403, "tenant_inactive" },
        { "umbrella.tenon.localhost", NULL, 403, "tenant_mismatch" },
        { "", "umbrella", 403, "tenant_mismatch" },
        { ACME_HOST, "umbrella", 403, "tenant_mismatch" },
        { ACME_HOST, UMBRELLA, 403, "tenant_mismatch" },
        { ACME_HOST, "\xff", 403, "tenant_mismatch" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        host_init(&h);
        SEND0(&h, R(PATH, .host = cases[i].host, .tenant = cases[i].header,
                    .token = h.member));
        host_assert(&h, cases[i].status, cases[i].code);

        /* and again, from the zone */
        SEND0(&h, R(PATH, .host = cases[i].host, .tenant = cases[i].header,
                    .token = h.member));
        host_assert(&h, cases[i].status, cases[i].code);
        assert_null(strchr(h.trace, 'd'));

        /* a member who looks elsewhere is held to account at home */
        stray = strcmp(cases[i].code, "tenant_mismatch") == 0;
        assert_int_equal(h.refused.n, stray);
        unit_assert_str(h.op->audit_actor, stray ? MEMBER : NULL);
        unit_assert_str(h.op->audit_tenant.id, stray ? ACME : NULL);
        unit_assert_str(h.refused.tenant, stray ? ACME : NULL);
        unit_assert_str(h.refused.actor, stray ? MEMBER : NULL);

        /* limits and logs must not take a stranger for a member */
        assert_null(tn_op_facts(h.op)->user_id.p);
        host_free(&h);
    }
}


/* A slug may look like an id; it must not stand in for it in the zone. */
static void
test_slug_is_no_id(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND0(&h, R(PATH, .host = ACME ".tenon.localhost", .token = h.member));
    host_problem(&h, 404, "tenant_unknown");
    SEND(&h, R(PATH, .host = "", .tenant = ACME, .token = h.member), ROW);
    host_assert(&h, 200, NULL);
    host_free(&h);
}


static void
test_not_signed_in(void **state)
{
    unsigned i;
    host h;
    static const char *const headers[] = { NULL,         "",
                                           "Bearer",     "Bearer ",
                                           "Basic YTpi", "bearer x.y.z" };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        SEND0(&h, R(PATH, .authorization = headers[i]));
        host_problem(&h, 401, "unauthenticated");
        unit_assert_str(host_response_header(&h, "WWW-Authenticate"),
                        i ? "Bearer error=\"invalid_token\"" : "Bearer");
        unit_assert_str(host_response_header(&h, "Content-Type"),
                        "application/problem+json");
        unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");
    }

    /* no tenant, no token: that one is missing is told */
    SEND0(&h, R(PATH, .host = ""));
    host_problem(&h, 401, "unauthenticated");

    /* the scheme's case doesn't matter */
    {
        char lower[1100];

        snprintf(lower, sizeof(lower), "bEARER  %s ", h.member);
        SEND(&h, R(PATH, .authorization = lower), ROW);
        host_assert(&h, 200, NULL);
    }

    host_free(&h);
}


static void
test_warm_request(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(PATH, .token = h.member), ROW);
    assert_string_equal(h.trace, "ZZdZAD");
    SEND(&h, R(PATH, .token = h.member), ROW);
    assert_string_equal(h.trace, "ZZAD");

    /* by token alone as well */
    SEND(&h, R(PATH, .host = "", .token = h.member), ROW);
    assert_string_equal(h.trace, "ZZAD");

    /* an entry that is gone costs a look-up, no more */
    h.now += 6 * 1000000;
    SEND(&h, R(PATH, .token = h.member), ROW);
    assert_string_equal(h.trace, "ZZdZAD");

    /* junk in the zone is as good as nothing */
    {
        unsigned i;

        for (i = 0; i < h.nzone; i++) {
            memset(h.zone[i].value, '?', h.zone[i].n);
            h.zone[i].n = h.zone[i].n / 2;
        }
    }
    SEND(&h, R(PATH, .token = h.member), ROW);
    host_assert(&h, 200, NULL);
    host_free(&h);
}


/* Revoked, or not this tenant's: not signed in, and asked for every time. */
static void
test_session_gone(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    h.sessions[1].id = SESSION("ff");
    SEND0(&h, R(PATH, .token = h.member));
    host_problem(&h, 401, "unauthenticated");
    SEND0(&h, R(PATH, .token = h.member, .host = ""));
    host_problem(&h, 401, "unauthenticated");
    assert_string_equal(h.trace, "ZZd");

    /* a mismatch of nobody is nobody's */
    SEND0(&h, R(PATH, .token = h.member, .tenant = "umbrella"));
    host_problem(&h, 403, "tenant_mismatch");
    assert_null(h.op->audit_actor.p);
    assert_null(h.op->audit_tenant.id.p);
    assert_int_equal(h.refused.n, 0);
    host_free(&h);
}


static void
test_token_expires_in_the_zone(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    h.now += 899 * 1000000ll;
    SEND(&h, R(PATH, .token = h.member), ROW);
    host_assert(&h, 200, NULL);
    h.now += 1000000;
    SEND0(&h, R(PATH, .token = h.member));
    host_problem(&h, 401, "token_expired");
    host_free(&h);
}


/* Roles come from the database, permissions from the catalogue. */
static void
test_role(void **state)
{
    host h;

    (void) state;
    host_init(&h);

    /* before the body is read: a guest may not create */
    SEND0(&h, R(.method = "POST", .path = "/v1/projects", .token = h.guest,
                .body = "{\"name\":\"x\"}"));
    host_problem(&h, 403, "forbidden");
    assert_null(strchr(h.trace, 'B'));
    SEND0(&h, R(.path = "/v1/audit/events", .token = h.member));
    host_problem(&h, 403, "forbidden");

    /* a role that the catalogue doesn't know holds nothing but itself */
    h.nzone = 0;
    h.sessions[1].role = "stranger";
    SEND0(&h, R(PATH, .token = h.member));
    host_problem(&h, 403, "forbidden");
    SEND(&h, R(.path = "/v1/me", .token = h.member),
         { ROWS(6, MEMBER, "m", "M", "stranger", "{}", "1") });
    host_assert(&h, 200, NULL);
    host_free(&h);
}


static void
test_database_fails_the_lookup(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(PATH, .token = h.member),
         { .lookup = 1, .outcome = TN_DB_DOWN });
    host_problem(&h, 503, "unavailable");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1");
    SEND(&h, R(PATH, .token = h.member),
         { .lookup = 1, .outcome = TN_DB_BUSY });
    host_problem(&h, 503, "busy");
    SEND(&h, R(PATH, .token = h.member),
         { .lookup = 1, .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "unavailable");

    /* and nothing wrong was kept */
    SEND(&h, R(PATH, .token = h.member), ROW);
    host_assert(&h, 200, NULL);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_named_by), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_slug_is_no_id),
          cmocka_unit_test(test_not_signed_in),
          cmocka_unit_test(test_warm_request),
          cmocka_unit_test(test_session_gone),
          cmocka_unit_test(test_token_expires_in_the_zone),
          cmocka_unit_test(test_role),
          cmocka_unit_test(test_database_fails_the_lookup))
