/*
 * ":name" becomes $1…$n: once per name, never inside quotes, and a column's
 * name can't take the place of the context's.
 */

#include "libcore/model/model.h"
#include "t/00unit/unit.h"


static const tn__field fields[] = {
    { .name = TN_STR_C("tenant") },
    { .name = TN_STR_C("title") },
};


static void
test_names(void **state)
{
    unit_arena arena;
    tn__bound bound;

    (void) state;
    unit_arena_init(&arena, 0);
    assert_int_equal(
        tn__bound_compile(&bound,
                          TN_STR("select ':no', \":no\", x::text, 'it''s :no' "
                                 "where a = :tenant::uuid and b = :f_title or "
                                 "c = :tenant or d = :f_tenant and e = :other"
                                 " and f = :f_none and g = a[1:2]"),
                          fields, 2, &arena.mem),
        TN_OK);
    unit_assert_str(bound.stmt.sql,
                    "select ':no', \":no\", x::text, 'it''s :no' "
                    "where a = $1::uuid and b = $2 or c = $1 or d = $3 and "
                    "e = $4 and f = $5 and g = a[1$6]");
    assert_int_equal(bound.binds[0].source, TN__BIND_TENANT);
    assert_int_equal(bound.binds[1].source, TN__BIND_FIELD);
    assert_int_equal(bound.binds[1].field, 1);
    assert_int_equal(bound.binds[2].source, TN__BIND_FIELD);
    assert_int_equal(bound.binds[2].field, 0);
    assert_int_equal(bound.binds[3].source, TN__BIND_LOCAL);
    unit_assert_str(bound.binds[3].name, "other");
    assert_int_equal(bound.binds[4].source, TN__BIND_LOCAL);
    unit_arena_free(&arena);
}


static void
test_equal_text_equal_name(void **state)
{
    unit_arena arena;
    tn__bound a, b, c;

    (void) state;
    unit_arena_init(&arena, 0);
    tn__bound_compile(&a, TN_STR("select :a::int"), NULL, 0, &arena.mem);
    tn__bound_compile(&b, TN_STR("select :b::int"), NULL, 0, &arena.mem);
    tn__bound_compile(&c, TN_STR("select  :a::int"), NULL, 0, &arena.mem);
    assert_int_equal(a.stmt.name.n, b.stmt.name.n);
    assert_memory_equal(a.stmt.name.p, b.stmt.name.p, a.stmt.name.n);
    assert_memory_not_equal(a.stmt.name.p, c.stmt.name.p, a.stmt.name.n);
    assert_true(a.stmt.name.n < 64); /* PostgreSQL's identifiers */
    unit_arena_free(&arena);
}


static void
test_too_many(void **state)
{
    unsigned i;
    char sql[8192];
    size_t n = 0;
    unit_arena arena;
    tn__bound bound;

    (void) state;
    unit_arena_init(&arena, 0);

    for (i = 0; i < 500; i++) {
        n += (size_t) snprintf(sql + n, sizeof(sql) - n, ":p%u ", i);
    }

    assert_int_not_equal(
        tn__bound_compile(&bound, unit_str(sql), NULL, 0, &arena.mem), TN_OK);
    unit_arena_free(&arena);
}


static void
test_out_of_memory(void **state)
{
    unit_arena arena;
    tn__bound bound;
    tn_err err;

    (void) state;

    UNIT_EACH_FAILURE(arena)
    {
        err = tn__bound_compile(&bound, TN_STR("select :a, :b, :tenant"), NULL,
                                0, &arena.mem);
        if (err == TN_OK) {
            break;
        }
        assert_int_equal(err, TN_E_NOMEM);
    }
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_names),
          cmocka_unit_test(test_equal_text_equal_name),
          cmocka_unit_test(test_too_many), cmocka_unit_test(test_out_of_memory))
