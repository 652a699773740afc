/*
 * session_endpoints.c: where pages of Stripe's may lead back to, and what who
 * asks for one is answered.
 */

#include "t/00unit/host.h"

#define PAGE_ID "0192f0c0-0000-7000-8000-0000000000e1"
#define CREATED "2026-11-21 01:33:00.12+00"
#define PORTAL(...)                                            \
    R(.method = "POST", .path = "/v1/billing/portal-sessions", \
      .token = h.owner, __VA_ARGS__)
#define BACK_TO(url) "{\"return_url\":\"" url "\"}"
#define PENDING                                                               \
    ROWS(12, NULL, PAGE_ID, "https://acme.tenon.localhost/", "pending", NULL, \
         NULL, NULL, "1", CREATED, OWNER, FRESH)


static void
test_create(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         PORTAL(.prefix = "/api",
                .body = BACK_TO("https://acme.tenon.localhost/")),
         { PENDING });
    host_assert(&h, 202,
                "{\"id\":\"" PAGE_ID "\",\"return_url\":"
                "\"https://acme.tenon.localhost/\",\"status\":\"pending\","
                "\"url\":null,\"expires_at\":null,\"error\":null,");
    unit_assert_str(host_response_header(&h, "Location"),
                    "/api/v1/billing/portal-sessions/" PAGE_ID);

    SEND(&h, PORTAL(.body = BACK_TO("https://evil.test/")),
         { ROWS(12, "invalid_fields /return_url refused must lead back", NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, FRESH) });
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "must lead back");

    SEND(&h, PORTAL(.body = BACK_TO("https://acme.tenon.localhost/")),
         { ROWS(12, "rate_limited 1800: 30 pages: wait.", NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, NULL, FRESH) });
    host_problem(&h, 429, "rate_limited");
    host_assert(&h, 429, "\"detail\":\"30 pages: wait.\"");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1800");

    SEND(&h, PORTAL(.body = BACK_TO("https://acme.tenon.localhost/")),
         { ROWS(12, "rate_limited soon: 30 pages.", NULL, NULL, NULL, NULL,
                NULL, NULL, NULL, NULL, NULL, FRESH) });
    host_problem(&h, 429, "rate_limited");
    unit_assert_str(host_response_header(&h, "Retry-After"), "1");

    SEND0(&h, R(.method = "POST", .path = "/v1/billing/portal-sessions",
                .token = h.member,
                .body = BACK_TO("https://acme.tenon.localhost/")));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


static void
test_read(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h,
         R(.path = "/v1/billing/portal-sessions/" PAGE_ID, .token = h.owner),
         { ROWS(9, PAGE_ID, "https://acme.tenon.localhost/", "ready",
                "https://billing.stripe.com/p/1", CREATED, NULL, "2", CREATED,
                OWNER) });
    host_assert(&h, 200, "\"url\":\"https://billing.stripe.com/p/1\"");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");
    host_free(&h);
}


/* What the statement is asked about a host: "-" is nothing, for it may be led
 * to; empty that it never may. */
static void
asks(host *h, const char *url, const char *want)
{
    char body[512];
    tn_str host;

    snprintf(body, sizeof(body), BACK_TO("%s"), url);
    SEND(h,
         R(.method = "POST", .path = "/v1/billing/portal-sessions",
           .token = h->owner, .body = body),
         { PENDING });
    host = host_bound(h, "is_foreign_host(");

    if (strcmp(want, "-") == 0) {
        assert_null(host.p);
    } else {
        assert_non_null(host.p);
        unit_assert_str(host, want);
    }
}


/* In development a tenant's people come by loopback. */
static void
test_hosts_of_developers(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    asks(&h, "https://acme.tenon.localhost/x", "-");
    asks(&h, "https://tenon.localhost", "-");
    asks(&h, "http://localhost:3000/#done", "-");
    asks(&h, "http://127.0.0.1:3000?x", "-");
    asks(&h, "https://App.Acme.EXAMPLE:8443/", "app.acme.example");
    asks(&h, "http://app.acme.example/", "");
    asks(&h, "https://notlocalhost/", "notlocalhost");
    host_free(&h);
}


static void
test_hosts(void **state)
{
    host h;
    tn_str base = TN_STR("tenon.example");

    (void) state;
    host_init_cors(&h, "https://app.front.example http://dev.example:3000 *");
    h.core->base_domain = base;
    host_adopt(&h);
    asks(&h, "https://ACME.tenon.example/x", "-");
    asks(&h, "https://tenon.example/x", "-");
    asks(&h, "http://acme.tenon.example/x", "");
    asks(&h, "https://umbrella.tenon.example/x", "");
    asks(&h, "https://x.acme.tenon.example/x", "");
    asks(&h, "https://xtenon.example/x", "xtenon.example");
    asks(&h, "http://localhost:3000/", "");
    asks(&h, "https://localhost/", "localhost");
    asks(&h, "https://app.front.example/x", "-");
    asks(&h, "http://app.front.example/x", "");
    asks(&h, "https://app.front.example:444/x", "app.front.example");
    asks(&h, "http://dev.example:3000/x", "-");
    host_free(&h);
}


/* What isn't even an address. */
static void
test_no_urls(void **state)
{
    host h;
    unsigned i;
    char body[512];
    static const char *const urls[] = {
        "",
        "javascript:alert(1)",
        "//evil.test/",
        "https:/evil.test",
        "https://",
        "https:///x",
        "https://a@evil.test/",
        "https://acme.tenon.localhost@evil.test/",
        "https://acme.tenon.localhost\\\\@evil.test/",
        "https://acme.tenon.localhost:80:81/",
        "https://acme.tenon.localhost:80@evil.test/",
        "https://acme.tenon.localhost/a b",
        "https://acme.tenon.localhost/\\n",
        "https://[::1]/",
        "http://dev.example:3000.evil.example/x",
        "https://a..b/",
        "ftp://acme.tenon.localhost/",
        " https://acme.tenon.localhost/",
    };

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        snprintf(body, sizeof(body), BACK_TO("%s"), urls[i]);
        SEND0(&h, PORTAL(.body = body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, "bad_format");
    }

    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_create), cmocka_unit_test(test_read),
          cmocka_unit_test(test_hosts_of_developers),
          cmocka_unit_test(test_hosts), cmocka_unit_test(test_no_urls))
