/*
 * Refresh tokens and cookies are made of ids, a generation and a key; every
 * letter of one counts, and none is good as the other.
 */

#include "libcore/token/token.h"
#include "t/00unit/host.h"


/* An op whose tenant and session are known. */
static void
begin(host *h)
{
    host_init(h);
    SEND(h, R(.path = "/v1/tasks/" TASK, .token = h->member),
         { ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) });
}


static tn_str
make(host *h, tn__secret kind, int64_t generation)
{
    tn_str text;

    h->op->principal.generation = generation;
    assert_int_equal(tn__secret_make(&text, h->op, kind), TN_OK);

    return text;
}


static void
test_says_what_it_was_made_of(void **state)
{
    host h;
    unsigned i;
    tn_str text;
    tn__claims claims;
    static const int64_t generations[] = {
        0, 1, 255, 256, 0x12345678, INT32_MAX
    };

    (void) state;
    begin(&h);

    for (i = 0; i < sizeof(generations) / sizeof(generations[0]); i++) {
        text = make(&h, TN__SECRET_COOKIE, generations[i]);
        assert_int_equal(text.n, 74);
        assert_true(tn__starts(text, TN_STR("tns_")));
        assert_int_equal(
            tn__secret_open(&claims, h.core, TN__SECRET_COOKIE, text), TN_OK);
        assert_memory_equal(claims.tenant, ACME, 36);
        assert_memory_equal(claims.session, SESSION("a2"), 36);
        assert_int_equal(claims.generation, generations[i]);
    }

    /* the same once more, another of another generation */
    assert_true(tn__eq(make(&h, TN__SECRET_REFRESH, 7),
                       make(&h, TN__SECRET_REFRESH, 7)));
    assert_false(tn__eq(make(&h, TN__SECRET_REFRESH, 7),
                        make(&h, TN__SECRET_REFRESH, 8)));
    assert_true(tn__starts(make(&h, TN__SECRET_REFRESH, 7), TN_STR("tnr_")));
    host_free(&h);
}


static void
test_forged(void **state)
{
    host h;
    size_t i;
    tn_str text;
    tn_core *other;
    tn__claims claims;
    tn_core_conf conf;
    char forged[80];

    (void) state;
    begin(&h);
    text = make(&h, TN__SECRET_REFRESH, 0);

    for (i = 0; i < text.n; i++) {
        memcpy(forged, text.p, text.n);
        forged[i] = forged[i] == 'A' ? 'B' : 'A';
        assert_int_equal(tn__secret_open(&claims, h.core, TN__SECRET_REFRESH,
                                         (tn_str){ forged, text.n }),
                         TN_E_UNAUTHENTICATED);
        assert_int_equal(tn__secret_open(&claims, h.core, TN__SECRET_REFRESH,
                                         tn__sub(text, 0, i)),
                         TN_E_UNAUTHENTICATED);
    }

    memcpy(forged, text.p, text.n);
    forged[text.n] = 'A';
    assert_int_equal(tn__secret_open(&claims, h.core, TN__SECRET_REFRESH,
                                     (tn_str){ forged, text.n + 1 }),
                     TN_E_UNAUTHENTICATED);

    /* under the prefix of the other */
    assert_int_equal(tn__secret_open(&claims, h.core, TN__SECRET_COOKIE, text),
                     TN_E_UNAUTHENTICATED);
    forged[2] = 's';
    assert_int_equal(tn__secret_open(&claims, h.core, TN__SECRET_COOKIE,
                                     (tn_str){ forged, text.n }),
                     TN_E_UNAUTHENTICATED);

    host_conf(&conf);
    conf.secret[31] ^= 1;
    assert_int_equal(tn_core_new(&other, &conf), TN_OK);
    assert_int_equal(tn__secret_open(&claims, other, TN__SECRET_REFRESH, text),
                     TN_E_UNAUTHENTICATED);
    tn_core_free(other);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_says_what_it_was_made_of),
          cmocka_unit_test(test_forged))
