/*
 * A cookie says who asks as long as it is of the session's generation, and a
 * page of another origin changes nothing by it.
 */

#include "libcore/token/token.h"
#include "t/00unit/host.h"

#define ROW                                                 \
    {                                                       \
        ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) \
    }
#define READ(...) R(.path = "/v1/tasks/" TASK, __VA_ARGS__)
#define COOKIE(text)    \
    {                   \
        "Cookie", text, \
    }


/* The cookie of the member's session, as a header. */
static const char *
cookie_of(host *h, int64_t generation, char out[128])
{
    tn_str text;

    SEND(h, READ(.token = h->member), ROW);
    h->op->principal.generation = generation;
    assert_int_equal(tn__secret_make(&text, h->op, TN__SECRET_COOKIE), TN_OK);
    snprintf(out, 128, "x=1; __Host-tenon=%.*s;y=\"2\"", (int) text.n, text.p);

    return out;
}


static void
test_generations(void **state)
{
    host h;
    char old[128], new[128];

    (void) state;
    host_init(&h);
    cookie_of(&h, 0, old);
    cookie_of(&h, 1, new);

    SEND(&h, READ(.header = COOKIE(old)), ROW);
    host_assert(&h, 200, NULL);
    unit_assert_str(tn_op_facts(h.op)->user_id, MEMBER);
    assert_string_equal(h.trace, "ZZAD");

    /* not before it is there, whatever the zone has kept */
    SEND0(&h, READ(.header = COOKIE(new)));
    host_problem(&h, 401, "unauthenticated");

    /* replaced: the new one is looked up and good at once */
    h.sessions[1].generation = "1";
    SEND(&h, READ(.header = COOKIE(new)), ROW);
    host_assert(&h, 200, NULL);

    /* the old one is good as long as it is kept, and no longer */
    h.now += 6 * 1000000;
    SEND0(&h, READ(.header = COOKIE(old)));
    host_problem(&h, 401, "unauthenticated");
    SEND(&h, READ(.header = COOKIE(new)), ROW);
    host_assert(&h, 200, NULL);
    SEND(&h, READ(.header = COOKIE(new)), ROW);
    host_assert(&h, 200, NULL);
    host_free(&h);
}


/* What a page may do by the cookie, and how it is told who it is. */
static void
test_pages(void **state)
{
    host h;
    unsigned i, k;
    char cookie[128];
    static const struct {
        const char *name;
        const char *value;
        int tls;
        int passes;
    } cases[] = {
        { "Sec-Fetch-Site", "same-origin", 0, 1 },
        { "Sec-Fetch-Site", "none", 0, 1 },
        { "Sec-Fetch-Site", "same-site", 0, 0 },
        { "Sec-Fetch-Site", "cross-site", 0, 0 },
        { "Origin", "https://acme.tenon.localhost", 0, 1 },
        { "Origin", "https://ACME.tenon.localhost", 1, 1 },
        { "Origin", "http://acme.tenon.localhost", 0, 1 },
        { "Origin", "http://acme.tenon.localhost", 1, 0 },
        { "Origin", "https://acme.tenon.localhost:8443", 0, 0 },
        { "Origin", "https://tenon.localhost", 0, 0 },
        { "Origin", "https://", 0, 0 },
        { "Origin", "null", 0, 0 },
        { "X-None", "x", 1, 1 },
    };

    (void) state;
    host_init(&h);
    cookie_of(&h, 0, cookie);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (k = 0; k < 2; k++) {
            h.tls = cases[i].tls;
            h.more[0] = "Host";
            h.more[1] = ACME_HOST;
            h.more[2] = cases[i].name;
            h.more[3] = cases[i].value;

            if (k == 0) {
                SEND(&h, READ(.header = COOKIE(cookie)), ROW);
                host_assert(&h, 200, NULL);

            } else if (cases[i].passes) {
                SEND(&h,
                     R(.method = "POST", .path = "/v1/auth/logout",
                       .header = COOKIE(cookie)),
                     { .outcome = TN_DB_BUSY });
                host_problem(&h, 503, "busy");

            } else {
                SEND0(&h, R(.method = "POST", .path = "/v1/auth/logout",
                            .header = COOKIE(cookie)));
                host_problem(&h, 403, "csrf_refused");
            }
        }
    }

    host_free(&h);
}


static void
test_is_in_the_log(void **state)
{
    host h;
    char cookie[128];

    (void) state;
    host_init(&h);
    cookie_of(&h, 0, cookie);
    h.more[0] = "Sec-Fetch-Site";
    h.more[1] = "cross-site";
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/logout",
                .header = COOKIE(cookie)));
    host_problem(&h, 403, "csrf_refused");
    assert_int_equal(h.refused.n, 1);
    unit_assert_str(h.refused.actor, MEMBER);
    unit_assert_str(h.refused.action, "auth.csrf_refused");
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"csrf_refused\"}");

    /* a stranger's is told as one, and no password was looked at */
    h.more[2] = "Tenon-Session";
    h.more[3] = "cookie";
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/login",
                .body = "{\"email\":\"a@b.c\",\"password\":\"secret\"}"));
    host_problem(&h, 403, "csrf_refused");
    assert_int_equal(h.refused.n, 1);
    unit_assert_str(h.refused.tenant, ACME);
    unit_assert_str(h.refused.actor, NULL);
    unit_assert_str(h.refused.action, "auth.csrf_refused");
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"csrf_refused\"}");
    host_free(&h);
}


/* A cookie that is nobody's is told to the tenant that was asked, else to the
 * one that it was made for. */
static void
test_strangers(void **state)
{
    host h;
    char forged[128], ended[128];

    (void) state;
    host_init(&h);
    cookie_of(&h, 0, ended);
    memcpy(forged, ended, sizeof(forged));
    forged[strlen(forged) - 10] ^= 1;

    SEND0(&h, READ(.header = COOKIE(forged)));
    host_problem(&h, 401, "unauthenticated");
    assert_int_equal(h.refused.n, 1);
    unit_assert_str(h.refused.tenant, ACME);
    unit_assert_str(h.refused.actor, NULL);
    unit_assert_str(h.refused.action, "auth.cookie_refused");
    unit_assert_str(h.refused.resource, NULL);
    unit_assert_str(h.refused.resource_id, NULL);
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"unauthenticated\"}");

    /* what was forged names no tenant */
    SEND0(&h, READ(.header = COOKIE(forged), .host = ""));
    host_problem(&h, 401, "unauthenticated");
    assert_int_equal(h.refused.n, 0);

    h.sessions[1].id = SESSION("ff");
    h.nzone = 0;
    SEND0(&h, READ(.header = COOKIE(ended), .host = ""));
    host_problem(&h, 401, "unauthenticated");
    assert_int_equal(h.refused.n, 1);
    unit_assert_str(h.refused.tenant, ACME);
    unit_assert_str(h.refused.actor, NULL);

    SEND0(&h,
          READ(.header = COOKIE(ended), .host = "umbrella.tenon.localhost"));
    host_problem(&h, 403, "tenant_mismatch");
    assert_int_equal(h.refused.n, 1);
    unit_assert_str(h.refused.tenant, UMBRELLA);
    unit_assert_str(h.refused.action, "auth.cookie_refused");
    unit_assert_str(h.refused.metadata,
                    "{\"attempts\":1,\"code\":\"tenant_mismatch\"}");
    assert_true(tn__eq(h.op->tenant.id, TN_STR(UMBRELLA)));

    /* who may come without one has shown none */
    SEND(&h,
         R(.method = "POST", .path = "/v1/auth/login", .header = COOKIE(forged),
           .body = "{\"email\":\"a@b.c\",\"password\":\"secret88\"}"),
         { .outcome = TN_DB_DOWN });
    assert_int_equal(h.refused.n, 0);
    host_free(&h);
}


/* However many they are, and wherever they come from: a number of events that
 * is bounded, within an hour. */
static void
test_strangers_are_counted(void **state)
{
    host h;
    unsigned i, written;
    char cookie[128], address[32];

    (void) state;
    host_init(&h);
    cookie_of(&h, 0, cookie);
    cookie[strlen(cookie) - 10] ^= 1;

    for (i = 1, written = 0; i <= 101; i++) {
        SEND0(&h, READ(.header = COOKIE(cookie)));
        assert_int_equal(h.refused.n, i <= 10 || i == 100);
        written += h.refused.n;
    }

    assert_int_equal(written, 11);
    h.now += 61 * (int64_t) 1000000;
    SEND0(&h, READ(.header = COOKIE(cookie)));
    assert_int_equal(h.refused.n, 0);
    h.now += 3600 * (int64_t) 1000000;
    SEND0(&h, READ(.header = COOKIE(cookie)));
    assert_int_equal(h.refused.n, 1);

    for (i = 1, written = 0; i <= 2000; i++) {
        snprintf(address, sizeof(address), "10.%u.%u.1", i / 200, i % 200);
        h.address = address;
        SEND0(&h, READ(.header = COOKIE(cookie)));
        written += h.refused.n;
    }

    assert_in_range(written, 20, 16 * 11);
    host_free(&h);
}


static void
test_headers(void **state)
{
    host h;
    char cookie[128];

    (void) state;
    host_init(&h);
    cookie_of(&h, 0, cookie);

    /* a token beside it is meant */
    SEND(&h, READ(.token = h.owner, .header = COOKIE(cookie)), ROW);
    unit_assert_str(tn_op_facts(h.op)->user_id, OWNER);

    h.more[0] = "cookie";
    h.more[1] = "__Host-tenon=tns_x";
    SEND0(&h, READ(.header = COOKIE(cookie)));
    host_problem(&h, 400, "malformed_request");
    h.more[1] = "__host-tenon=tns_x; __Host-tenon2=y; __Host-tenon";
    SEND(&h, READ(.header = COOKIE(cookie)), ROW);
    host_assert(&h, 200, NULL);
    h.more[0] = "Tenon-Session";
    h.more[1] = "Cookie";
    SEND0(&h, READ(.header = COOKIE(cookie)));
    host_problem(&h, 400, "malformed_request");
    host_free(&h);
}


/* The browser forgets it, also where nobody knows whether the session has
 * ended; not where it hasn't. */
static void
test_logout(void **state)
{
    host h;
    tn_str set;
    unsigned i;
    char cookie[128];
    const host_reply replies[] = { { .outcome = TN_DB_BUSY },
                                   { .outcome = TN_DB_UNKNOWN },
                                   { ROWS(1, "") } };

    (void) state;

    for (i = 0; i < 3; i++) {
        host_init(&h);
        cookie_of(&h, 0, cookie);
        SEND(&h,
             R(.method = "POST", .path = "/v1/auth/logout",
               .header = COOKIE(cookie)),
             replies[i]);
        host_assert(&h, i < 2 ? 503 : 204, NULL);
        set = host_response_header(&h, "Set-Cookie");
        unit_assert_str(set, i == 0 ? NULL
                                    : "__Host-tenon=; Secure; HttpOnly; "
                                      "SameSite=Lax; Path=/; Max-Age=0");

        if (i) {
            SEND0(&h, READ(.header = COOKIE(cookie)));
            host_problem(&h, 401, "unauthenticated");
        }

        host_free(&h);
    }
}


/* All others end, and a copy of this one's cookie with them. */
static void
test_rotation(void **state)
{
    host h;
    tn_str set;
    char cookie[128];

    (void) state;
    host_init(&h);
    cookie_of(&h, 0, cookie);
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/me/sessions",
           .header = COOKIE(cookie)),
         { .rows = { { 5, CELLS(NULL, NULL, "t", FRESH) },
                     { 2, CELLS("1", "3600") } } });
    host_assert(&h, 204, NULL);
    assert_int_equal(host_bound(&h, "and e.id = ").n, 36);
    set = host_response_header(&h, "Set-Cookie");
    assert_true(tn__starts(set, TN_STR("__Host-tenon=tns_")));
    assert_true(host_has(set, "; Secure; HttpOnly; SameSite=Lax; Path=/; "
                              "Max-Age=3600"));
    assert_null(strstr(cookie, "tns_")
                    ? memmem(set.p, set.n, strstr(cookie, "tns_"), 74)
                    : NULL);

    /* a token's session has no cookie to replace */
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/me/sessions", .token = h.member),
         { ROWS(5, NULL, UMBRELLA, "t", FRESH) });
    host_assert(&h, 204, NULL);
    assert_null(host_response_header(&h, "Set-Cookie").p);
    assert_string_equal(strchr(h.trace, 'W'), "WZZ");

    /* where there was no other, nobody has to be looked up anew */
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/me/sessions", .token = h.member),
         { ROWS(5, NULL, NULL, "f", FRESH) });
    host_assert(&h, 204, NULL);
    assert_string_equal(strchr(h.trace, 'W'), "W");
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/me/sessions", .token = h.member),
         { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");
    assert_string_equal(strchr(h.trace, 'W'), "WZ");
    host_free(&h);
}


/* Of two requests by one cookie, both on their way, the second replaces
 * nothing: the generation that it shows is another by then. */
static void
test_late_rotation(void **state)
{
    host h;
    char cookie[128];

    (void) state;
    host_init(&h);
    cookie_of(&h, 0, cookie);
    SEND(&h,
         R(.method = "DELETE", .path = "/v1/me/sessions",
           .header = COOKIE(cookie)),
         { .rows = { { 5, CELLS(NULL, NULL, "t", FRESH) }, { 2, 0, NULL } } });
    host_assert(&h, 204, NULL);
    assert_null(host_response_header(&h, "Set-Cookie").p);
    unit_assert_str(host_bound(&h, "and generation = "), "0");
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_strangers),
          cmocka_unit_test(test_strangers_are_counted),
          cmocka_unit_test(test_generations), cmocka_unit_test(test_pages),
          cmocka_unit_test(test_is_in_the_log), cmocka_unit_test(test_headers),
          cmocka_unit_test(test_logout), cmocka_unit_test(test_rotation),
          cmocka_unit_test(test_late_rotation))
