/*
 * Problems for what hosts refuse themselves, under their own statuses.
 */

#include "t/00unit/host.h"


static void
test_statuses(void **state)
{
    unsigned i;
    unit_arena arena;
    const tn_response *r;
    static const struct {
        unsigned status;
        const char *code;
        unsigned nheaders;
    } cases[] = {
        { 400, "malformed_request", 7 },
        { 401, "unauthenticated", 7 },
        { 403, "forbidden", 7 },
        { 404, "not_found", 7 },
        { 405, "method_not_allowed", 7 },
        { 408, "malformed_request", 7 },
        { 413, "too_large", 7 },
        { 414, "malformed_request", 7 },
        { 415, "unsupported_media_type", 7 },
        { 429, "rate_limited", 8 },
        { 500, "internal", 7 },
        { 502, "unavailable", 8 },
        { 503, "unavailable", 8 },
        { 504, "unavailable", 8 },
    };
    char part[128];

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unit_arena_init(&arena, 0);
        assert_int_equal(tn_response_problem(&r, cases[i].status,
                                             TN_STR("r\"1"), &arena.mem),
                         TN_OK);
        assert_int_equal(r->status, cases[i].status);
        assert_int_equal(r->nheaders, cases[i].nheaders);
        snprintf(part, sizeof(part),
                 "\"code\":\"%s\",\"request_id\":\"r\\\"1\"}", cases[i].code);
        assert_true(host_has(r->body, part));
        snprintf(part, sizeof(part), "\"status\":%u,\"detail\":\"",
                 cases[i].status);
        assert_true(host_has(r->body, part));
        unit_arena_free(&arena);
    }
}


static void
test_out_of_memory(void **state)
{
    unit_arena arena;
    const tn_response *r;
    tn_err err;

    (void) state;

    UNIT_EACH_FAILURE(arena)
    {
        err = tn_response_problem(&r, 429, TN_STR("r"), &arena.mem);
        if (err == TN_OK) {
            break;
        }
        assert_int_equal(err, TN_E_NOMEM);
    }
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_statuses), cmocka_unit_test(test_out_of_memory))
