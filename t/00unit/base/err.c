/*
 * Every error has its row; what no client may see answers as internal.
 */

#include "libcore/base/base.h"
#include "t/00unit/unit.h"


static void
test_rows_are_the_list(void **state)
{
    (void) state;

#define TN_X(name, status, code, title, detail)           \
    assert_int_equal(tn_err_status(TN_E_##name), status); \
    unit_assert_str(tn_err_code(TN_E_##name), code);      \
    unit_assert_str(tn_err_title(TN_E_##name), title);
    TN_ERROR_MAP(TN_X)
#undef TN_X
}


static void
test_codes_differ(void **state)
{
    int a, b;

    (void) state;

    for (a = TN_E_NOMEM + 1; a < TN_E_COUNT; a++) {
        for (b = a + 1; b < TN_E_COUNT; b++) {
            assert_false(
                tn__eq(tn_err_code((tn_err) a), tn_err_code((tn_err) b)));
        }
    }
}


static void
test_the_rest_is_internal(void **state)
{
    (void) state;
    assert_int_equal(tn_err_status(TN_OK), 200);
    assert_int_equal(tn_err_status(TN_E_NOMEM), 500);
    assert_int_equal(tn_err_status(TN_E_COUNT), 500);
    unit_assert_str(tn_err_code(TN_E_NOMEM), "internal");
    unit_assert_str(tn_err_code((tn_err) 4711), "internal");
    unit_assert_str(tn_err_title((tn_err) -1), "Internal error");
}


UNIT_MAIN(cmocka_unit_test(test_rows_are_the_list),
          cmocka_unit_test(test_codes_differ),
          cmocka_unit_test(test_the_rest_is_internal))
