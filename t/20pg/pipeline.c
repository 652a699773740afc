/* Batches: one Sync each, answered in order, one's error its own. */

#include "driver.h"

static const tn_stmt one = STMT("one", "select 1::int", 0);
static const tn_stmt echo = STMT("echo", "select $1::text, $2::text", 2);
static const tn_stmt put = STMT(
    "put",
    "insert into item (id, name) values ($1::int, $2::text) returning id", 2);
static const tn_stmt child = STMT(
    "child", "insert into child (id, parent) values ($1::int, $2::int)", 2);
static const tn_stmt gone = STMT("gone", "select no_such_function()", 0);
static const tn_stmt calls = STMT("calls", "select item_broken()", 0);
static const tn_stmt count = STMT("count", "select count(*) from item", 0);
static const tn_stmt children =
    STMT("children", "select count(*) from child", 0);


static int
setup(void **state)
{
    static const tn_stmt drop =
        STMT("d", "drop table if exists child, item", 0);
    static const tn_stmt item =
        STMT("i",
             "create table item (id int primary key, name text not null "
             "constraint item_name_short check (length(name) < 9))",
             0);
    static const tn_stmt kid =
        STMT("c",
             "create table child (id int primary key, parent int not null "
             "constraint child_has_parent references item "
             "deferrable initially deferred)",
             0);
    static const tn_stmt broken =
        STMT("b",
             "create or replace function item_broken() returns int "
             "language plpgsql as 'begin return no_such_function(); end'",
             0);
    tn_pg *pg = open_depth(64);

    must(pg, &broken);
    must(pg, &drop);
    must(pg, &item);
    must(pg, &kid);
    *state = pg;
    return 0;
}


static int
teardown(void **state)
{
    tn_pg_free(*state);
    return 0;
}


static void
prepared_before_ready(void **state)
{
    static const tn_stmt names =
        STMT("names", "select count(*) from pg_prepared_statements", 0);
    const tn_stmt *list[] = { &one, &echo, &put, &one };
    tn_pg *pg = open_with(conninfo(), 4, 0, list, 4);

    (void) state;
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    assert_int_equal(tn_pg_syncs(pg), 1);
    assert_int_equal(tn_pg_depth(pg), 0);
    assert_string_equal(cell(ask(pg, &names, NULL), 0, 0), "4");
    assert_string_equal(cell(ask(pg, &one, NULL), 0, 0), "1");
    assert_string_equal(cell(ask(pg, &names, NULL), 0, 0), "4");
    tn_pg_free(pg);
}


static void
one_sync_per_batch(void **state)
{
    tn_pg *pg = *state;
    tn_str params[] = { TN_STR("a"), TN_STR("b") };
    tn_query queries[] = { { &one, NULL }, { &echo, params }, { &one, NULL } };
    tn_batch batch = { .queries = queries, .n = 3 };
    const tn_reply *reply;
    unsigned before = tn_pg_syncs(pg);
    void *tag;
    int retry;

    assert_int_equal(tn_pg_send(pg, &batch, &batch), TN_OK);
    assert_int_equal(tn_pg_syncs(pg), before + 1);

    reply = await(pg, &tag, &retry);
    assert_ptr_equal(tag, &batch);
    assert_int_equal(reply->outcome, TN_DB_OK);
    assert_int_equal(reply->n, 3);
    assert_int_equal(retry, 0);
    assert_string_equal(cell(reply, 0, 0), "1");
    assert_string_equal(cell(reply, 1, 0), "a");
    assert_string_equal(cell(reply, 1, 1), "b");
    assert_string_equal(cell(reply, 2, 0), "1");
    assert_int_equal(tn_pg_depth(pg), 0);
}


static void
empty_batch_is_a_sync(void **state)
{
    tn_pg *pg = *state;
    tn_batch batch = { .n = 0 };
    void *tag;
    int retry;
    const tn_reply *reply;

    assert_int_equal(tn_pg_send(pg, &batch, NULL), TN_OK);
    reply = await(pg, &tag, &retry);
    assert_int_equal(reply->outcome, TN_DB_OK);
    assert_int_equal(reply->n, 0);
}


static void
an_error_touches_only_its_batch(void **state)
{
    tn_pg *pg = *state;
    tn_str a[] = { TN_STR("1"), TN_STR("a") };
    tn_str b[] = { TN_STR("2"), TN_STR("b") };
    tn_str c[] = { TN_STR("3"), TN_STR("c") };
    tn_query first[] = { { &put, a } };
    tn_query second[] = { { &put, b }, { &put, a }, { &put, c } };
    tn_query third[] = { { &put, c }, { &count, NULL } };
    tn_batch batches[] = {
        { .queries = first, .n = 1, .writes = 1 },
        { .queries = second, .n = 3, .writes = 1 },
        { .queries = third, .n = 2, .writes = 1 },
    };
    const tn_reply *reply;
    void *tag;
    int i, retry;

    for (i = 0; i < 3; i++) {
        assert_int_equal(tn_pg_send(pg, &batches[i], &batches[i]), TN_OK);
    }

    assert_int_equal(tn_pg_depth(pg), 3);

    reply = await(pg, &tag, &retry);
    assert_ptr_equal(tag, &batches[0]);
    assert_string_equal(cell(reply, 0, 0), "1");

    reply = await(pg, &tag, &retry);
    assert_ptr_equal(tag, &batches[1]);
    assert_int_equal(reply->outcome, TN_DB_ERROR);
    assert_string_equal(reply->sqlstate, "23505");
    assert_memory_equal(reply->constraint.p, "item_pkey", 9);
    assert_int_equal(reply->n, 0);
    assert_null(reply->rows);
    assert_int_equal(retry, 0);

    reply = await(pg, &tag, &retry);
    assert_ptr_equal(tag, &batches[2]);
    assert_string_equal(cell(reply, 1, 0), "2"); /* 1 and 3 */

    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
}


static void
constraint_is_named(void **state)
{
    tn_str params[] = { TN_STR("10"), TN_STR("much too long") };
    const tn_reply *reply = ask(*state, &put, params);

    assert_int_equal(reply->outcome, TN_DB_ERROR);
    assert_string_equal(reply->sqlstate, "23514");
    assert_int_equal(reply->constraint.n, strlen("item_name_short"));
    assert_memory_equal(reply->constraint.p, "item_name_short", 15);
    assert_non_null(reply->message.p);

    /* the values of the row stay in the server's log */
    assert_null(strstr(reply->message.p, "much too long"));
}


static void
column_is_named(void **state)
{
    tn_str params[] = { TN_STR("10"), TN_NULL };
    const tn_reply *reply = ask(*state, &put, params);

    assert_int_equal(reply->outcome, TN_DB_ERROR);
    assert_string_equal(reply->sqlstate, "23502");
    assert_null(reply->constraint.p);
    assert_int_equal(reply->column.n, 4);
    assert_memory_equal(reply->column.p, "name", 4);
}


/* Whose error is it: the statement's, or that of a function it calls? */
static void
an_error_within_a_function_is_nested(void **state)
{
    const tn_reply *reply = ask(*state, &gone, NULL);

    assert_string_equal(reply->sqlstate, "42883");
    assert_false(reply->nested);

    reply = ask(*state, &calls, NULL);
    assert_string_equal(reply->sqlstate, "42883");
    assert_true(reply->nested);
}


static void
an_error_at_commit_is_an_error(void **state)
{
    tn_pg *pg = *state;
    tn_str lost[] = { TN_STR("1"), TN_STR("4711") };
    tn_query queries[] = { { &child, lost }, { &one, NULL } };
    tn_batch batch = { .queries = queries, .n = 2, .writes = 1 };
    const tn_reply *reply;
    void *tag;
    int retry;

    assert_int_equal(tn_pg_send(pg, &batch, &batch), TN_OK);
    assert_int_equal(send_one(pg, &children, NULL, 0, pg), TN_OK);

    reply = await(pg, &tag, &retry);
    assert_ptr_equal(tag, &batch);
    assert_int_equal(reply->outcome, TN_DB_ERROR);
    assert_string_equal(reply->sqlstate, "23503");
    assert_memory_equal(reply->constraint.p, "child_has_parent", 16);

    reply = await(pg, &tag, &retry);
    assert_ptr_equal(tag, pg);
    assert_string_equal(cell(reply, 0, 0), "0");
}


static void
null_is_not_empty(void **state)
{
    tn_str params[] = { TN_NULL, TN_STR("") };
    const tn_reply *reply = ask(*state, &echo, params);

    assert_int_equal(reply->outcome, TN_DB_OK);
    assert_int_equal(reply->rows[0].nrows, 1);
    assert_int_equal(reply->rows[0].ncols, 2);
    assert_null(reply->rows[0].cells[0].p);
    assert_non_null(reply->rows[0].cells[1].p);
    assert_int_equal(reply->rows[0].cells[1].n, 0);
}


static void
rows_come_row_by_row(void **state)
{
    static const tn_stmt grid =
        STMT("grid", "select i, i * 10 from generate_series(1, 3) i", 0);
    static const tn_stmt none = STMT("none", "select 1, 2 where false", 0);
    const tn_reply *reply = ask(*state, &grid, NULL);

    assert_int_equal(reply->rows[0].nrows, 3);
    assert_int_equal(reply->rows[0].ncols, 2);
    assert_string_equal(cell(reply, 0, 1 * 2 + 0), "2");
    assert_string_equal(cell(reply, 0, 2 * 2 + 1), "30");

    reply = ask(*state, &none, NULL);
    assert_int_equal(reply->rows[0].nrows, 0);
    assert_int_equal(reply->rows[0].ncols, 2);
}


static void
context_ends_with_its_batch(void **state)
{
    static const tn_stmt set =
        STMT("set", "select set_config('tenon.tenant', $1::text, true)", 1);
    static const tn_stmt get =
        STMT("get",
             "select coalesce(nullif(current_setting('tenon.tenant', true), "
             "''), 'unset')",
             0);
    tn_pg *pg = *state;
    tn_str params[] = { TN_STR("t1") };
    tn_query queries[] = { { &set, params }, { &get, NULL } };
    tn_batch batch = { .queries = queries, .n = 2 };
    void *tag;
    int retry;

    assert_int_equal(tn_pg_send(pg, &batch, NULL), TN_OK);
    assert_int_equal(send_one(pg, &get, NULL, 0, NULL), TN_OK);
    assert_string_equal(cell(await(pg, &tag, &retry), 1, 0), "t1");
    assert_string_equal(cell(await(pg, &tag, &retry), 0, 0), "unset");
}


static void
too_deep_is_busy(void **state)
{
    tn_pg *pg = open_depth(2);
    unsigned syncs = tn_pg_syncs(pg);
    void *tag;
    int retry;

    (void) state;
    assert_int_equal(send_one(pg, &one, NULL, 0, NULL), TN_OK);
    assert_int_equal(send_one(pg, &one, NULL, 0, NULL), TN_OK);
    assert_int_equal(send_one(pg, &one, NULL, 0, NULL), TN_E_BUSY);
    assert_int_equal(tn_pg_depth(pg), 2);
    assert_int_equal(tn_pg_syncs(pg), syncs + 2);
    assert_non_null(await(pg, &tag, &retry));
    assert_int_equal(send_one(pg, &one, NULL, 0, NULL), TN_OK);
    assert_non_null(await(pg, &tag, &retry));
    assert_non_null(await(pg, &tag, &retry));
    assert_null(await(pg, &tag, &retry));
    tn_pg_free(pg);
}


static void
what_cannot_be_sent_is_refused(void **state)
{
    static const tn_stmt nameless = STMT("", "select 1", 0);
    static const tn_stmt longer =
        STMT("a234567890123456789012345678901234567890123456789012345678901234",
             "select 1", 0);
    tn_pg *pg = *state;
    unsigned syncs = tn_pg_syncs(pg);
    tn_str params[] = { TN_STR("cut\0here"), TN_NULL };

    assert_int_equal(send_one(pg, &echo, params, 0, NULL), TN_E_INTERNAL);
    assert_int_equal(send_one(pg, &nameless, NULL, 0, NULL), TN_E_INTERNAL);
    assert_int_equal(send_one(pg, &longer, NULL, 0, NULL), TN_E_INTERNAL);
    assert_int_equal(tn_pg_syncs(pg), syncs);
    assert_int_equal(tn_pg_depth(pg), 0);
    assert_string_equal(cell(ask(pg, &one, NULL), 0, 0), "1");
}


static void
not_ready_is_unavailable(void **state)
{
    tn_pg *pg;
    tn_pg_conf conf = { .conninfo = conninfo(), .max_depth = 1 };

    (void) state;
    assert_int_equal(tn_pg_new(&pg, &conf), TN_OK);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_CONNECTING);
    assert_int_equal(tn_pg_wants(pg), TN_PG_WRITE);
    assert_int_equal(send_one(pg, &one, NULL, 0, NULL), TN_E_UNAVAILABLE);
    tn_pg_free(pg);
}


static void
freed_in_mid_flight(void **state)
{
    static const tn_stmt nap = STMT("nap", "select pg_sleep(0.05)", 0);
    tn_pg *pg = open_depth(8);
    void *tag;
    int i, retry;

    (void) state;
    for (i = 0; i < 4; i++) {
        assert_int_equal(send_one(pg, i < 2 ? &one : &nap, NULL, 0, NULL),
                         TN_OK);
    }
    assert_non_null(await(pg, &tag, &retry));
    tn_pg_free(pg);
    tn_pg_free(NULL);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepared_before_ready),
        cmocka_unit_test(one_sync_per_batch),
        cmocka_unit_test(empty_batch_is_a_sync),
        cmocka_unit_test(an_error_touches_only_its_batch),
        cmocka_unit_test(constraint_is_named),
        cmocka_unit_test(column_is_named),
        cmocka_unit_test(an_error_within_a_function_is_nested),
        cmocka_unit_test(an_error_at_commit_is_an_error),
        cmocka_unit_test(null_is_not_empty),
        cmocka_unit_test(rows_come_row_by_row),
        cmocka_unit_test(context_ends_with_its_batch),
        cmocka_unit_test(too_deep_is_busy),
        cmocka_unit_test(what_cannot_be_sent_is_refused),
        cmocka_unit_test(not_ready_is_unavailable),
        cmocka_unit_test(freed_in_mid_flight),
    };

    if (skipped()) {
        return 0;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("pipeline", tests, setup, teardown);
}
