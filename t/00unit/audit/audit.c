/*
 * The event's CTEs: names are literals that can't break out, and what is
 * absent is null.
 */

#include "libcore/audit/audit.h"
#include "t/00unit/unit.h"


static int
has(tn_str s, const char *part)
{
    return memmem(s.p, s.n, part, strlen(part)) != NULL;
}


static tn_str
sql_of(unit_arena *arena, const tn__event_sql *event)
{
    tn__buf buf;
    tn_str sql;

    tn__buf_init(&buf, &arena->mem, 0);
    tn__event_ctes(&buf, event);
    assert_int_equal(tn__buf_str(&sql, &buf), TN_OK);

    return sql;
}


static void
test_images(void **state)
{
    tn_str sql;
    unit_arena arena;

    (void) state;
    unit_arena_init(&arena, 0);
    sql = sql_of(&arena, &(tn__event_sql){ .action = TN_STR("task.updated"),
                                           .resource = TN_STR("teamos.task"),
                                           .before = TN_STR("B(old)"),
                                           .after = TN_STR("A(done)"),
                                           .metadata = TN_STR("M(old)"),
                                           .from = TN_STR("done, old") });
    assert_true(has(sql, ", B(old) as before, A(done) as after from done, "
                         "old)"));
    assert_true(has(sql, "'task.updated', 'teamos.task', image.id"));

    /* both rows come from what was changed, and from nothing else */
    assert_true(has(sql, "from image),\nbodied as"));
    assert_true(has(sql, "from image)"));

    /* the commitment is to the metadata that is stored */
    assert_true(has(sql, "image.before, image.after, M(old), :ip::text, "
                         ":user_agent::text) from image)"));
    assert_true(has(sql, "salt, before, after, metadata, ip, user_agent)"));
    assert_true(has(sql, ":salt::bytea, image.before, image.after, M(old), "
                         ":ip::text, :user_agent::text from image)"));

    sql = sql_of(&arena, &(tn__event_sql){ .action = TN_STR("a"),
                                           .resource = TN_STR("b"),
                                           .from = TN_STR("done") });
    assert_true(
        has(sql, "null::jsonb as before, null::jsonb as after from done)"));
    assert_true(has(sql, "image.after, null::jsonb, :ip::text"));
    assert_false(has(sql, "M(old)"));
    unit_arena_free(&arena);
}


static void
test_literals(void **state)
{
    tn_str sql;
    unit_arena arena;

    (void) state;
    unit_arena_init(&arena, 0);
    sql = sql_of(&arena, &(tn__event_sql){ .action = TN_STR("it's"),
                                           .resource = TN_STR("'; drop --"),
                                           .from = TN_STR("done") });
    assert_true(has(sql, "'it''s', '''; drop --', image.id"));
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_images), cmocka_unit_test(test_literals))
