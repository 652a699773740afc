/*
 * Roles are bitsets; nothing is granted that wasn't granted.
 */

#include "libcore/access/access.h"
#include "t/00unit/unit.h"


static void
test_every_number_is_its_own(void **state)
{
    unsigned n, k;
    tn__role role;

    (void) state;

    for (n = 1; n <= TN__PERM_MAX; n++) {
        memset(&role, 0, sizeof(role));
        assert_true(
            tn__role_grant(&role, n, n % 2 ? TN__SCOPE_TENANT : TN__SCOPE_OWN));

        for (k = 0; k <= TN__PERM_MAX; k++) {
            assert_int_equal(tn__role_scope(&role, k), k != n ? TN__SCOPE_NONE
                                                       : n % 2 == 1
                                                           ? TN__SCOPE_TENANT
                                                           : TN__SCOPE_OWN);
        }
    }
}


static void
test_numbers_out_of_range(void **state)
{
    unsigned i;
    tn__role role;
    static const unsigned bad[] = { 0, TN__PERM_MAX + 1, TN__PERM_MAX + 2,
                                    UINT32_MAX };

    (void) state;
    memset(&role, 0, sizeof(role));

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tn__role_grant(&role, bad[i], TN__SCOPE_TENANT));
        assert_false(tn__role_grant(&role, bad[i], TN__SCOPE_OWN));
    }

    memset(&role, 0xff, sizeof(role));
    assert_int_equal(tn__role_scope(&role, 0), TN__SCOPE_NONE);
    assert_int_equal(tn__role_scope(&role, TN__PERM_MAX + 3), TN__SCOPE_NONE);
    assert_int_equal(tn__role_scope(&role, UINT32_MAX), TN__SCOPE_NONE);
}


/* In no scope does one hold more than both. */
static void
test_narrow(void **state)
{
    unsigned a, b;
    tn__role x, y, both;
    static const tn__scope scopes[] = { TN__SCOPE_NONE, TN__SCOPE_OWN,
                                        TN__SCOPE_TENANT };

    (void) state;

    for (a = 0; a < 3; a++) {
        for (b = 0; b < 3; b++) {
            memset(&x, 0, sizeof(x));
            memset(&y, 0, sizeof(y));
            memset(&both, 0, sizeof(both));

            if (a) {
                tn__role_grant(&x, TN__PERM_MAX, scopes[a]);
            }

            if (b) {
                tn__role_grant(&y, TN__PERM_MAX, scopes[b]);
            }

            tn__role_grant(&x, 1, TN__SCOPE_TENANT);
            tn__role_grant(&y, 2, TN__SCOPE_TENANT);
            tn__role_narrow(&both, &x, &y);
            assert_int_equal(tn__role_scope(&both, TN__PERM_MAX),
                             scopes[a < b ? a : b]);
            assert_int_equal(tn__role_scope(&both, 1), TN__SCOPE_NONE);
            assert_int_equal(tn__role_scope(&both, 2), TN__SCOPE_NONE);
        }
    }
}


static void
test_widest_scope_wins(void **state)
{
    tn__role role;

    (void) state;
    memset(&role, 0, sizeof(role));
    tn__role_grant(&role, 64, TN__SCOPE_TENANT);
    tn__role_grant(&role, 64, TN__SCOPE_OWN);
    assert_int_equal(tn__role_scope(&role, 64), TN__SCOPE_TENANT);
}


static void
test_no_role(void **state)
{
    (void) state;
    assert_int_equal(tn__role_scope(NULL, 1), TN__SCOPE_NONE);
    assert_int_equal(tn__role_scope(NULL, 0), TN__SCOPE_NONE);
    assert_int_equal(tn__role_scope(NULL, TN__PERM_PUBLIC), TN__SCOPE_TENANT);
    assert_int_equal(tn__role_scope(NULL, TN__PERM_AUTHENTICATED),
                     TN__SCOPE_TENANT);
}


UNIT_MAIN(cmocka_unit_test(test_every_number_is_its_own),
          cmocka_unit_test(test_numbers_out_of_range),
          cmocka_unit_test(test_narrow),
          cmocka_unit_test(test_widest_scope_wins),
          cmocka_unit_test(test_no_role))
