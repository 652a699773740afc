/*
 * Of many like attempts, which are worth an event: few, but whoever counts
 * them later learns how many there were to an order of magnitude.
 */

#include "libcore/http/http.h"
#include "t/00unit/unit.h"


static void
test_notable(void **state)
{
    int64_t n, events;

    (void) state;

    for (n = 1; n <= 10; n++) {
        assert_true(tn__notable(n));
    }

    for (n = 1, events = 0; n <= 1000000; n++) {
        events += tn__notable(n);
    }

    assert_int_equal(events, 15); /* 1…10, then five powers */
    assert_false(tn__notable(11));
    assert_false(tn__notable(20));
    assert_false(tn__notable(99));
    assert_true(tn__notable(100));
    assert_false(tn__notable(110));
    assert_false(tn__notable(200));
    assert_true(tn__notable(1000));
    assert_true(tn__notable(1000000000000000000));
    assert_false(tn__notable(INT64_MAX));
}


UNIT_MAIN(cmocka_unit_test(test_notable))
