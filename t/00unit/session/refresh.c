/*
 * A refresh token is looked at before anything is asked of the database; what
 * the database says of it decides; and where it was a copy, the session is dead
 * on this node before the answer leaves.
 */

#include "libcore/session/session.h"
#include "t/00unit/host.h"

#define REFRESH(...) \
    R(.method = "POST", .path = "/v1/auth/refresh", __VA_ARGS__)

/* What rotating and reading its state answer. */
#define STATE(good, generation, tenants)                                 \
    {                                                                    \
        .rows = {                                                        \
            { 1, CELLS("") },                                            \
            { 7, CELLS(good, generation, "3600", "a@b.c", "Ann", "Acme", \
                       tenants) }                                        \
        }                                                                \
    }


static const char *
body_of(host *h, int64_t generation, char out[160])
{
    tn_str text;

    SEND(h, R(.path = "/v1/me", .token = h->member),
         { ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    h->op->principal.generation = generation;
    assert_int_equal(tn__secret_make(&text, h->op, TN__SECRET_REFRESH), TN_OK);
    snprintf(out, 160, "{\"refresh_token\":\"%.*s\"}", (int) text.n, text.p);

    return out;
}


static void
test_refresh(void **state)
{
    host h;
    char body[160], next[160], token[100];

    (void) state;
    host_init(&h);
    body_of(&h, 0, body);
    body_of(&h, 1, next);

    SEND(&h, REFRESH(.body = body), STATE("t", "1", NULL));
    host_assert(&h, 200, "\"token_type\":\"Bearer\"");
    assert_string_equal(h.trace, "ABdW");
    snprintf(token, sizeof(token), "%.74s", strstr(next, "tnr_"));
    host_assert(&h, 200, token);
    unit_assert_str(tn_op_facts(h.op)->user_id, MEMBER);
    unit_assert_str(host_context_bound(&h, "'tenon.actor', coalesce("), MEMBER);
    unit_assert_str(host_bound(&h, "s.generation = "), "0");

    /* on no organization's host it is its own */
    SEND(&h, REFRESH(.host = "tenon.localhost", .body = body),
         STATE("t", "1", NULL));
    host_assert(&h, 200, "\"slug\":\"acme\"");
    host_free(&h);
}


/* Whatever host and header name, and however many of the two, the session's
 * own row is the one that decides. */
static void
test_where(void **state)
{
    host h;
    unsigned i;
    char body[160];
    static const struct {
        const char *host;
        const char *header;
        unsigned status;
        const char *code;
    } cases[] = {
        { "app.acme.test", NULL, 200, NULL },
        { "app.acme.test", "acme", 200, NULL },
        { "app.acme.test", ACME, 200, NULL },
        { "app.acme.test", "umbrella", 403, "tenant_mismatch" },
        { "app.acme.test", "nobody", 403, "tenant_mismatch" },
        { "app.umbrella.test", NULL, 403, "tenant_mismatch" },
        { "app.umbrella.test", "acme", 403, "tenant_mismatch" },
        { "app.umbrella.test", "umbrella", 403, "tenant_mismatch" },
        { "api.internal.test", NULL, 200, NULL },
        { "api.internal.test", "acme", 200, NULL },
        { "api.internal.test", "umbrella", 403, "tenant_mismatch" },
        { "api.internal.test", "nobody", 404, "tenant_unknown" },
        { "127.0.0.1", NULL, 200, NULL },
        { "127.0.0.1", "acme", 200, NULL },
        { "127.0.0.1", "umbrella", 403, "tenant_mismatch" },
        { "tenon.localhost", "acme", 200, NULL },
        { "tenon.localhost", "nobody", 404, "tenant_unknown" },
        { "acme.tenon.localhost", "acme", 200, NULL },
        { "acme.tenon.localhost", "umbrella", 403, "tenant_mismatch" },
    };

    (void) state;
    host_init(&h);
    h.domains[0] = "app.acme.test";
    h.domains[1] = "app.umbrella.test";
    body_of(&h, 0, body);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].code) {
            SEND0(&h, REFRESH(.host = cases[i].host, .tenant = cases[i].header,
                              .body = body));
            host_assert(&h, cases[i].status, cases[i].code);

        } else {
            SEND(&h,
                 REFRESH(.host = cases[i].host, .tenant = cases[i].header,
                         .body = body),
                 STATE("t", "1", NULL));
            host_assert(&h, 200, "\"user\":{\"id\":\"" MEMBER "\"");
            unit_assert_str(tn_op_facts(h.op)->user_id, MEMBER);
        }
    }

    /* no base domain: every host is one that may be a tenant's own */
    h.core->base_domain = TN_NULL;
    SEND(&h, REFRESH(.body = body), STATE("t", "1", NULL));
    host_assert(&h, 200, NULL);
    SEND(&h, REFRESH(.tenant = "acme", .body = body), STATE("t", "1", NULL));
    host_assert(&h, 200, NULL);
    SEND0(&h, REFRESH(.tenant = "umbrella", .body = body));
    host_problem(&h, 403, "tenant_mismatch");

    /* a session that is nobody's any more, whatever is named besides */
    h.sessions[1].tenant = SLEEPY;
    SEND0(&h, REFRESH(.host = "app.acme.test", .tenant = "acme", .body = body));
    host_problem(&h, 401, "unauthenticated");
    host_free(&h);
}


static void
test_copy(void **state)
{
    host h;
    char body[160];

    (void) state;
    host_init(&h);
    body_of(&h, 0, body);
    SEND(&h, REFRESH(.body = body), STATE("f", "2", UMBRELLA "," ACME));
    host_problem(&h, 401, "unauthenticated");
    assert_string_equal(h.trace, "ABdWZZ");
    assert_null(tn_op_facts(h.op)->user_id.p);

    /* dead here, though the directory knew it a moment ago */
    SEND0(&h, R(.path = "/v1/me", .token = h.member));
    host_problem(&h, 401, "unauthenticated");
    assert_string_equal(h.trace, "ZZ");

    /* however many tenants it ends in: six commands to a wish */
    SEND(&h, REFRESH(.body = body),
         STATE("f", "2",
               ACME "," ACME "," ACME "," ACME "," ACME "," ACME "," UMBRELLA));
    host_problem(&h, 401, "unauthenticated");
    assert_string_equal(h.trace, "ABdWZZZ");
    host_free(&h);
}


static void
test_refused(void **state)
{
    host h;
    char body[160];

    (void) state;
    host_init(&h);
    body_of(&h, 0, body);

    SEND0(&h, REFRESH(.body = "{\"refresh_token\":\"tnr_AAAA\"}"));
    host_problem(&h, 401, "unauthenticated");
    assert_string_equal(h.trace, "AB");

    SEND0(&h, REFRESH(.host = "nobody.tenon.localhost", .body = body));
    host_problem(&h, 404, "tenant_unknown");

    SEND0(&h, REFRESH(.host = "umbrella.tenon.localhost", .body = body));
    host_problem(&h, 403, "tenant_mismatch");
    unit_assert_str(h.refused.tenant, ACME);
    unit_assert_str(h.refused.actor, MEMBER);
    unit_assert_str(h.refused.action, "auth.tenant_mismatch");

    /* it ended between the two looks */
    SEND(&h, REFRESH(.body = body),
         { .rows = { { 1, 0, NULL }, { 7, 0, NULL } } });
    host_problem(&h, 401, "unauthenticated");

    SEND(&h, REFRESH(.body = body), { .outcome = TN_DB_UNKNOWN });
    host_problem(&h, 503, "outcome_unknown");

    h.sessions[1].impersonator = OWNER;
    SEND0(&h, REFRESH(.body = body));
    host_problem(&h, 401, "unauthenticated");
    h.sessions[1].impersonator = NULL;

    h.sessions[1].tenant = SLEEPY;
    SEND0(&h, REFRESH(.body = body));
    host_problem(&h, 401, "unauthenticated");
    host_free(&h);
}


static void
test_memory(void **state)
{
    host h;
    size_t n;
    char body[160];

    (void) state;
    host_init(&h);
    body_of(&h, 0, body);

    for (n = 1; n < 1000; n++) {
        SEND(&h, REFRESH(.body = body, .fail_at = n), STATE("t", "1", NULL));
        if (h.response->status == 200) {
            break;
        }
        assert_int_equal(h.response->status, 500);
    }

    assert_in_range(n, 10, 999);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_refresh), cmocka_unit_test(test_where),
          cmocka_unit_test(test_copy), cmocka_unit_test(test_refused),
          cmocka_unit_test(test_memory))
