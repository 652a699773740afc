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

    /* a stranger's is in none, and no password was looked at */
    h.more[2] = "Tenon-Session";
    h.more[3] = "cookie";
    SEND0(&h, R(.method = "POST", .path = "/v1/auth/login",
                .body = "{\"email\":\"a@b.c\",\"password\":\"secret\"}"));
    host_problem(&h, 403, "csrf_refused");
    assert_int_equal(h.refused.n, 0);
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
         { .rows = { { 3, CELLS(NULL, FRESH) }, { 2, CELLS("1", "3600") } } });
    host_assert(&h, 204, NULL);
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
         { ROWS(3, NULL, FRESH) });
    host_assert(&h, 204, NULL);
    assert_null(host_response_header(&h, "Set-Cookie").p);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_generations), cmocka_unit_test(test_pages),
          cmocka_unit_test(test_is_in_the_log), cmocka_unit_test(test_headers),
          cmocka_unit_test(test_rotation))
