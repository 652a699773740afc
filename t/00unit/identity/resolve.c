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


/*
 * Every pair of what can name a tenant: a subdomain or a domain of its own, a
 * header, a token; each agreeing and disagreeing. A bad header beside a good
 * host disagrees; a host that is nobody's names nothing.
 */
static void
test_pairs(void **state)
{
    unsigned i, k, m, round;
    host h;
    static const struct {
        const char *host;
        const char *tenant; /* whom it names; NULL: nobody */
        unsigned status;    /* refused by itself */
        const char *code;
    } hosts[] = {
        { "tenon.localhost", NULL, 0, NULL },
        { "elsewhere.example", NULL, 0, NULL },
        { "192.0.2.7", NULL, 0, NULL },
        { "[2001:db8::1]", NULL, 0, NULL },
        { "localhost", NULL, 0, NULL },
        { ACME_HOST, ACME, 0, NULL },
        { "umbrella.tenon.localhost", UMBRELLA, 0, NULL },
        { "nobody.tenon.localhost", NULL, 404, "tenant_unknown" },
        { "sleepy.tenon.localhost", SLEEPY, 403, "tenant_inactive" },
        { "app.acme.example", ACME, 0, NULL },
        { "xn--bcher-kva.example", UMBRELLA, 0, NULL },
        { "sleepy.example", SLEEPY, 403, "tenant_inactive" },
    };
    static const struct {
        const char *header;
        const char *tenant;
        const char *code; /* where no host names a tenant */
    } headers[] = {
        { NULL, NULL, NULL },
        { "acme", ACME, NULL },
        { ACME, ACME, NULL },
        { "umbrella", UMBRELLA, NULL },
        { UMBRELLA, UMBRELLA, NULL },
        { "nobody", NULL, "tenant_unknown" },
        { "sleepy", SLEEPY, "tenant_inactive" },
    };

    (void) state;

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        for (k = 0; k < sizeof(headers) / sizeof(headers[0]); k++) {
            for (m = 0; m < 3; m++) {
                unsigned status;
                const char *code, *named, *token;

                named = hosts[i].tenant ? hosts[i].tenant : headers[k].tenant;
                token = m == 0 ? NULL : m == 1 ? ACME : UMBRELLA;
                status = 200;
                code = NULL;

                if (hosts[i].code) {
                    status = hosts[i].status;
                    code = hosts[i].code;
                } else if (hosts[i].tenant && headers[k].header &&
                           (headers[k].tenant == NULL ||
                            strcmp(hosts[i].tenant, headers[k].tenant))) {
                    status = 403;
                    code = "tenant_mismatch";
                } else if (hosts[i].tenant == NULL && headers[k].code) {
                    code = headers[k].code;
                    status = strcmp(code, "tenant_unknown") ? 403 : 404;
                } else if (token == NULL) {
                    status = 401;
                    code = "unauthenticated";
                } else if (named && strcmp(named, token)) {
                    status = 403;
                    code = "tenant_mismatch";
                }

                host_init(&h);
                h.domains[0] = "app.acme.example";
                h.domains[1] = "xn--bcher-kva.example";
                h.domains[2] = "sleepy.example";

                /* from the database, then from the zone */
                for (round = 0; round < 2; round++) {
                    host_request r = { PATH, .host = hosts[i].host,
                                       .tenant = headers[k].header,
                                       .token = m == 0   ? NULL
                                                : m == 1 ? h.member
                                                         : h.eve };
                    host_reply row = ROW;

                    host_send(&h, &r, &row, code == NULL);

                    if (h.response->status != status ||
                        (code && strstr(h.body, code) == NULL)) {
                        fail_msg("%s, %s, token %u, round %u: %u %s, not "
                                 "%u %s",
                                 hosts[i].host,
                                 headers[k].header ? headers[k].header : "-", m,
                                 round, h.response->status, h.body, status,
                                 code ? code : "");
                    }

                    if (code == NULL) {
                        unit_assert_str(tn_op_facts(h.op)->tenant_id, token);
                        unit_assert_str(host_bound(&h, "t.tenant_id = "),
                                        token);
                    }

                    /* at home, and there alone */
                    if (code && strcmp(code, "tenant_mismatch") == 0 && m) {
                        unit_assert_str(h.refused.tenant, token);
                    }

                    assert_true(round == 0 || strchr(h.trace, 'd') == NULL);
                }

                host_free(&h);
            }
        }
    }
}


/* A domain that was deleted here is nobody's at once, also for who had asked
 * just before; on another node, and one that was verified, within seconds. */
static void
test_domain_changes(void **state)
{
    host h;
    tn_zone_cmd cmd;
    tn_want want;
    tn_input input;

#define ASK SEND0(&h, R(PATH, .host = "app.acme.example"))

    (void) state;
    host_init(&h);
    h.domains[0] = "app.acme.example";
    ASK;
    unit_assert_str(tn_op_facts(h.op)->tenant, "acme");
    assert_string_equal(h.trace, "ZdZ");
    ASK;
    assert_string_equal(h.trace, "Z");

    /* deleted by SQL */
    h.domains[0] = NULL;
    ASK;
    unit_assert_str(tn_op_facts(h.op)->tenant, "acme");
    h.now += 5 * 1000000;
    ASK;
    unit_assert_str(tn_op_facts(h.op)->tenant, NULL);

    /* verified: not before it is asked for again */
    h.domains[0] = "app.acme.example";
    ASK;
    unit_assert_str(tn_op_facts(h.op)->tenant, NULL);
    h.now += 1000000;
    ASK;
    unit_assert_str(tn_op_facts(h.op)->tenant, "acme");

    /* deleted by the API */
    h.domains[0] = NULL;
    tn__domains_changed(h.op, &cmd);
    memset(&want, 0, sizeof(want));
    memset(&input, 0, sizeof(input));
    want.zone.cmds = &cmd;
    want.zone.n = 1;
    host_zone(&h, &want, &input);
    ASK;
    unit_assert_str(tn_op_facts(h.op)->tenant, NULL);
    assert_string_equal(h.trace, "ZdZ");
    ASK;
    assert_string_equal(h.trace, "Z");

    /* a zone that keeps nothing costs look-ups, no more */
    h.domains[0] = "app.acme.example";
    h.lossy = 1;
    ASK;
    unit_assert_str(tn_op_facts(h.op)->tenant, "acme");
    ASK;
    unit_assert_str(tn_op_facts(h.op)->tenant, "acme");
    assert_string_equal(h.trace, "Zd");
    host_free(&h);
#undef ASK
}


static void
test_domain_memory(void **state)
{
    host h;
    size_t n;

    (void) state;

    for (n = 1;; n++) {
        host_init(&h);
        h.domains[0] = "app.acme.example";
        SEND(&h,
             R(PATH, .host = "app.acme.example", .token = h.member,
               .fail_at = n),
             ROW);

        if (h.response->status == 200) {
            host_free(&h);
            break;
        }

        host_assert(&h, 500, NULL);
        host_free(&h);
        assert_true(n < 200);
    }

    assert_true(n > 10);
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
         { ROWS(12, MEMBER, "m", "M", "stranger", "{}", "t", "f", NULL, "f",
                "[]", NULL, "1") });
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
          cmocka_unit_test(test_pairs), cmocka_unit_test(test_domain_changes),
          cmocka_unit_test(test_domain_memory),
          cmocka_unit_test(test_slug_is_no_id),
          cmocka_unit_test(test_not_signed_in),
          cmocka_unit_test(test_warm_request),
          cmocka_unit_test(test_session_gone),
          cmocka_unit_test(test_token_expires_in_the_zone),
          cmocka_unit_test(test_role),
          cmocka_unit_test(test_database_fails_the_lookup))
